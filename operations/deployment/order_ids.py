"""Order ids as people have them: in any case, the marketplace's number alone, the link of an e-mail.

What was typed may be an order's id in several ways. The ledger is asked first, by key and in one request, for it knows
the orders that people ask about; then its lists, for a number whose affiliate id is in no setting. Where it knows none,
the likeliest ways are left for whoever asks VTEX.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched, islice

from invoicekey.ledger.entries import FOLLOWED, checked_list, order_key, ref_of
from invoicekey.rules.notification import OrderRef, is_account, is_order_id
from invoicekey.runtime.errors import OrderNotFound
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood

_LINK = re.compile(
    r"(?:https?://)?([a-z0-9-]+)\.(?:myvtex\.com|vtexcommercestable\.com\.br)/admin/\S*?orders/([^/?#\s]+)\S*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(-\d+)?")
_OF_A_MARKETPLACE = re.compile(r"[A-Za-z]+-\d+(-\d+)?")
_AROUND = " \t\r\n<>()[]\"'“”‘’.,;:#"
"""What comes along when an id is copied out of a text."""
_FIRST, _OTHERS = "-01", ("-02", "-03")
"""VTEX ends an order's id so; the parts of an order that it split are counted."""
_MOST_KEYS = 100
_MOST_LISTED = 20_000
_LOOK_BACK = timedelta(days=30)
"""So far the lists are searched for a number whose affiliate id is in no setting."""


@dataclass(frozen=True, slots=True)
class Named:
    """An order that somebody named."""

    text: str
    refs: tuple[OrderRef, ...]
    """The order where the ledger knows it; else those that it may be, the likeliest first."""
    is_known: bool

    @property
    def ref(self) -> OrderRef:
        """Return the order, or the one that it most likely is."""
        return self.refs[0]


def named(of: Shop, account: str | None, typed: Sequence[str], *, in_any_account: bool = False) -> list[Named]:
    """Return the orders that are meant, each once, whose account is the one named, the link's or the ledger's.

    Raises NotUnderstood for what is no id, and where one fits several; `in_any_account`: without credentials too.
    """
    wanted = [_Typed.read(text, account) for text in typed]
    ways = {one: _ways(of, one, in_any_account=in_any_account) for one in dict.fromkeys(wanted)}
    known = _in_ledger(of, [ref for one, refs in ways.items() for ref in (*refs, *_split(one, refs))])
    found = [_found(of, one, refs, known) for one, refs in ways.items()]
    return list({one.ref: one for one in found}.values())


def checked_account(account: str | None) -> str | None:
    """Return an account that was named, with credentials or without; raises NotUnderstood for what is no name."""
    if account is not None and not is_account(account):
        raise NotUnderstood(
            f"{account[:80]!r} is no account's name. Expected the NAME of https://NAME.myvtex.com, in lower-case "
            "letters, digits and dashes."
        )
    return account


def at_vtex[T](one: Named, read: Callable[[OrderRef], T]) -> tuple[OrderRef, T]:
    """Read the order at VTEX, by what it may be one after the other; raises OrderNotFound where VTEX knows none.

    A number is read in all its ways, for it may fit several: raises NotUnderstood where it does.
    """
    found: dict[OrderRef, T] = {}
    for ref in one.refs:
        try:
            found[ref] = read(ref)
        except OrderNotFound:
            continue
        if not _NUMBER.fullmatch(one.text):
            break
    if not found:
        raise OrderNotFound
    ref = only(one, list(found))
    return ref, found[ref]


def unknown_to_vtex(one: Named) -> str:
    """Say that VTEX knows the order in none of the ways it may be written."""
    spelled = " or ".join(dict.fromkeys(ref.order_id for ref in one.refs))
    it = "it" if spelled == one.text else spelled
    return f"VTEX does not know {it} in the account {one.ref.account}: is it another account's, or over two years old?"


def only(one: Named, fitting: Sequence[OrderRef]) -> OrderRef:
    """Return the order that fits what was typed, raising NotUnderstood with a list where several do."""
    if len(fitting) == 1:
        return fitting[0]
    accounts = {ref.account for ref in fitting}
    listed = ", ".join(
        f"{ref.order_id} --account {ref.account}" if len(accounts) > 1 else ref.order_id for ref in fitting
    )
    raise NotUnderstood(f"{one.text!r} fits {len(fitting)} orders; name one of them: {listed}. Nothing was done.")


@dataclass(frozen=True, slots=True)
class _Typed:
    """What was typed, taken apart."""

    text: str
    """The id, or a part of it."""
    account: str | None

    @classmethod
    def read(cls, text: str, account: str | None) -> "_Typed":
        bare = text.strip(_AROUND)
        if link := _LINK.fullmatch(bare):
            of_link, bare = link[1].lower(), link[2].strip(_AROUND)
            if account not in {None, of_link}:
                raise NotUnderstood(f"The link is one of {of_link}, and --account says {account}. Leave one out.")
            account = of_link
        if not is_order_id(bare):
            raise NotUnderstood(
                f"{text[:80]!r} is no order's id that this system reads. Expected the id as VTEX shows it, such as "
                "VVJ-975102-01 (up to 64 letters, digits, dots, underscores and dashes, a letter or a digit first, and "
                "no sequence, seq…); the marketplace's number, such as 975102; or the order's link in the Admin."
            )
        return cls(bare, checked_account(account))

    @property
    def is_number(self) -> bool:
        """Say whether it is a number without the affiliate id that an order's id begins with."""
        return _NUMBER.fullmatch(self.text) is not None

    @property
    def is_cut(self) -> bool:
        """Say whether the end of the id is missing."""
        whole = _NUMBER.fullmatch(self.text) or _OF_A_MARKETPLACE.fullmatch(self.text)
        return whole is not None and whole[1] is None


def _ways(of: Shop, typed: _Typed, *, in_any_account: bool) -> list[OrderRef]:
    """Return what it may be, the likeliest first."""
    if typed.account and in_any_account:
        accounts = [typed.account]
    else:
        accounts = [of.account(typed.account)] if typed.account or len(of.accounts) <= 1 else of.accounts
    return [OrderRef(account, order_id) for account in accounts for order_id in _ids(typed, _affiliates(of, account))]


def _ids(typed: _Typed, affiliates: Iterable[str]) -> list[str]:
    text, end = typed.text, _FIRST if typed.is_cut else ""
    if typed.is_number:
        ids = [*(f"{affiliate}-{text}{end}" for affiliate in affiliates), f"{text}{end}", text]
    elif _OF_A_MARKETPLACE.fullmatch(text):
        ids = [f"{text.upper()}{end}", f"{text}{end}", text]
    else:
        ids = [text, text.lower(), text.upper()]
    return list(dict.fromkeys(ids))


def _affiliates(of: Shop, account: str) -> list[str]:
    """List CNova's affiliate ids of an account, in capitals, as VTEX writes them."""
    entries = (entry.rpartition(":") for entry in sorted(of.settings_of(account).policy.affiliate_ids))
    return list(dict.fromkeys(name.upper() for owner, _, name in entries if owner in {"", account}))


def _split(typed: _Typed, refs: Iterable[OrderRef]) -> list[OrderRef]:
    """Return the further parts of an order that VTEX may have split, where the end of the id was not typed."""
    if not typed.is_cut:
        return []
    ends_first = [ref for ref in refs if ref.order_id.endswith(_FIRST)]
    return [OrderRef(ref.account, ref.order_id.removesuffix(_FIRST) + end) for ref in ends_first for end in _OTHERS]


def _in_ledger(of: Shop, refs: Iterable[OrderRef]) -> set[OrderRef]:
    keys = [order_key(ref) for ref in dict.fromkeys(refs)]
    return {ref_of(key) for some in batched(keys, _MOST_KEYS, strict=False) for key in of.table.get(some)}


def _found(of: Shop, typed: _Typed, refs: list[OrderRef], known: set[OrderRef]) -> Named:
    exactly = [ref for ref in refs if ref.order_id == typed.text and ref in known]
    fitting = exactly or [ref for ref in (*refs, *_split(typed, refs)) if ref in known]
    if not fitting and typed.is_number:
        fitting = _in_lists(of, typed, sorted({ref.account for ref in refs}))
    guess = Named(typed.text, tuple(refs), is_known=False)
    if fitting:
        return Named(typed.text, (only(guess, fitting),), is_known=True)
    if len({ref.account for ref in refs}) > 1:
        of.account(None)  # says that an account has to be named
    return guess


def _in_lists(of: Shop, typed: _Typed, accounts: Sequence[str]) -> list[OrderRef]:
    """Search the ledger's lists for the orders with this number: the open ones, else those checked of late."""
    ending = "" if not typed.is_cut else r"(?:-\d+)?"
    pattern = re.compile(
        rf"order#(?:{'|'.join(map(re.escape, accounts))})#(?:[A-Za-z]+-)?{re.escape(typed.text)}{ending}"
    )
    since = (datetime.now(UTC) - _LOOK_BACK).isoformat()
    for items in (
        of.table.listed(FOLLOWED),
        *(of.table.listed(checked_list(account), since=since) for account in accounts),
    ):
        keys = dict.fromkeys(item["pk"] for item in islice(items, _MOST_LISTED))
        if fitting := [ref_of(key) for key in keys if pattern.fullmatch(key)]:
            return fitting
    return []
