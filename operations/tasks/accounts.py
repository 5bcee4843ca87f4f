"""Adding accounts and changing what they have of their own: every step may be repeated, and none is half done.

An account is added in this order: its credentials are tried at VTEX, and kept; then its item is written; then hook and
feed are registered. Whoever is interrupted does the same again: what is there is seen, and left.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType

from invoicekey.ledger.accounts import Account, CorruptAccount, account_key
from invoicekey.ledger.registrations import RegistrationStates, digest
from invoicekey.rules.notification import OrderRef, is_account, is_order_id
from invoicekey.runtime.errors import Conflict, CredentialsRefused, OrderNotFound, RetryLater
from invoicekey.runtime.secrets import Credentials
from invoicekey.runtime.settings import OF_ACCOUNTS, WATCHED_STATUSES, CheckerSettings, SettingsError, read_with
from invoicekey.vtex.client import Vtex
from invoicekey.vtex.order_list import OrderList
from operations.deployment.credentials import CredentialsPlace
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood, Trouble
from operations.deployment.visit import LIST_ORDERS, SECONDS, VIEW_ORDER, Refused, needing
from operations.health.accounts import known_accounts
from operations.health.registration import Registration
from operations.terminal.findings import State

NO_SUCH_ORDER = "invoicekey-accounts"
"""For an account without orders: who may see orders hears that there is none of this id."""
_TRIES = 3

type Fault = Callable[[str, str], str | None]
"""Says what is wrong with a setting by its name and text, as the template has it; None where nothing is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an account is to be: its credentials, and settings over those that it has of its own already."""

    account: str
    credentials: Credentials = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    switches_on: bool = True
    """Where it was removed and its failures kept, and so is off and without credentials."""


class Outcome(StrEnum):
    """What became of an account."""

    DONE = "done"
    SKIPPED = "skipped"
    """All was there already."""
    UNFINISHED = "left to do"
    """It is there, and something is left to a person."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an account, and why."""

    account: str
    outcome: Outcome
    why: str = ""


# ---- Settings


def settings_in(texts: Collection[str]) -> dict[str, str]:
    """Read `Setting=value`, raising NotUnderstood; a value that may be a secret typed amiss is never repeated."""
    found: dict[str, str] = {}
    for number, text in enumerate(texts, 1):
        name, equals, value = text.partition("=")
        if not equals:
            raise NotUnderstood(f"Setting {number}: expected Setting=value, such as SellerTaxIds=11222333000181.")
        found[setting_named(name)] = value.strip()
    return found


def setting_named(name: str) -> str:
    """Return a setting's name as the template writes it, raising NotUnderstood, which names those that there are."""
    known = {one.casefold(): one for one in OF_ACCOUNTS}
    if name.strip().casefold() in known:
        return known[name.strip().casefold()]
    raise NotUnderstood(
        f"{name.strip()[:40]}: no setting that an account may have of its own. There are: {', '.join(OF_ACCOUNTS)}"
    )


def fault_of_settings(of: Shop, settings: Mapping[str, str], fault: Fault) -> str | None:
    """Say what is wrong with an account's own settings, over the stack's; None where nothing is."""
    for name, text in settings.items():
        # The template asks for an answer to some of what an account may leave empty, such as no tax id.
        if text and (wrong := fault(name, text)):
            return wrong
    try:
        read_with(CheckerSettings, of.environment, settings)
    except SettingsError as error:
        return str(error)
    return None


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Tell each setting that changes, before and after."""
    return [
        f"{name}: {_told(before.get(name))} → {_told(after.get(name))}"
        for name in OF_ACCOUNTS
        if before.get(name) != after.get(name)
    ]


def _told(text: str | None) -> str:
    return "the stack's" if text is None else text or "empty"


# ---- Names


def see_that_it_is_served(of: Shop, account: str) -> str | None:
    """Say what is wrong where the stack would refuse an account's events; None where it would not."""
    served = of.guard_settings.vtex.accounts
    if served and account not in served:
        return f"VtexAccounts does not name {account}, so its events would be refused: add it there, and make deploy"
    return None


def known(of: Shop, account: str) -> str:
    """Return an account that the stack knows, or raise NotUnderstood, which names those that are written alike."""
    names = known_accounts(of)
    if account in names:
        return account
    near = get_close_matches(account, names) if is_account(account) else []
    meant = f"Did you mean {' or '.join(near)}?" if near else f"{of.command('accounts list')} names all."
    raise NotUnderstood(f"There is no account {account[:63]!r} here. {meant} Nothing was changed.")


# ---- Adding


class Adding:
    """Adds accounts, or changes those that are there to be as wanted; safe from several threads."""

    def __init__(self, of: Shop, vtex: Vtex, place: CredentialsPlace) -> None:
        self._of = of
        self._vtex = vtex
        self._place = place
        self._registration = Registration(of, vtex)

    def plan(self, wanted: Wanted) -> list[str]:
        """Say what would be done; nothing where all is there already. VTEX is not asked."""
        before = self._of.own.get(wanted.account, Account(wanted.account))
        if before is None:
            return ["its corrupt item is written anew", "hook and feed are registered"]
        steps = [] if self._has_credentials(before, wanted) else ["credentials are kept in its own place"]
        steps += changes(before.settings, self._after(before, wanted).settings)
        return steps if self._is_registered(wanted) else [*steps, "hook and feed are registered"]

    def add(self, wanted: Wanted) -> Result:
        """Add an account, whatever comes of it; what is there already is left."""
        done = ""
        try:
            is_news = self.keep(wanted)
            done = "credentials and settings are kept; hook and feed: "
            if self._is_registered(wanted) or self._is_off(wanted.account):
                return Result(wanted.account, Outcome.DONE if is_news else Outcome.SKIPPED)
            findings = self._registration.install(wanted.account)
        except RetryLater as trouble:
            return Result(wanted.account, Outcome.FAILED, done + trouble.why)
        except Trouble as trouble:
            return Result(wanted.account, Outcome.FAILED, done + str(trouble))
        except Conflict:
            return Result(wanted.account, Outcome.FAILED, "somebody else is changing it at this moment")
        left = [f"{one.says}: {one.to_do}" for one in findings if one.state is State.TO_DO]
        return Result(wanted.account, Outcome.UNFINISHED if left else Outcome.DONE, "; ".join(left))

    def keep(self, wanted: Wanted) -> bool:
        """Try the credentials at VTEX, keep them, write the item; say whether anything was written.

        Raises Trouble and RetryLater where VTEX does not take the credentials: nothing is written then.
        """
        account = wanted.account
        before = self._read(account)
        has_credentials = before is not None and self._has_credentials(before, wanted)
        self._of.offered[account] = wanted.credentials
        if has_credentials and before is not None and self._after(before, wanted) == before:
            return False
        stamp = before.credentials if before else None
        if not has_credentials:
            try_at_vtex(self._vtex, account)
            stamp = self._place.put(account, wanted.credentials.app_key, wanted.credentials.app_token)
        if before is None:
            self._of.table.delete(account_key(account))
        self._of.own[account] = written(
            self._of, account, lambda now: replace(self._after(now, wanted), credentials=stamp)
        )
        return True

    def _read(self, account: str) -> Account | None:
        try:
            return self._of.of_accounts.read_one(account)
        except CorruptAccount:
            return None

    @staticmethod
    def _after(before: Account, wanted: Wanted) -> Account:
        is_off = before.is_off and not (wanted.switches_on and before.credentials is None)
        return replace(before, settings={**before.settings, **wanted.settings}, is_off=is_off)

    def _has_credentials(self, before: Account, wanted: Wanted) -> bool:
        if before.credentials is None:
            return False
        try:
            return self._of.kept_in_own_place(before) == wanted.credentials
        except CredentialsRefused:
            return False

    def _is_registered(self, wanted: Wanted) -> bool:
        noted = RegistrationStates(self._of.table).read([wanted.account])[wanted.account]
        return noted.app_key == digest(wanted.credentials.app_key) and noted.hook_installed and noted.feed_installed

    def _is_off(self, account: str) -> bool:
        own = self._of.own.get(account)
        return own is not None and own.is_off


def written(of: Shop, account: str, change: Callable[[Account], Account]) -> Account:
    """Change an account's item, on whatever somebody else writes meanwhile. Raises Conflict where that goes on."""
    for tries_left in reversed(range(_TRIES)):
        try:
            return of.of_accounts.write(change(of.of_accounts.read_one(account)))
        except Conflict:
            if not tries_left:
                raise
    raise AssertionError("not reached")


def try_at_vtex(vtex: Vtex, account: str) -> None:
    """See that the credentials may list and read orders. Raises Trouble, what they lack, and RetryLater."""
    end = datetime.now(UTC)
    try:
        with needing(LIST_ORDERS, account):
            page = OrderList(vtex).page(account, end - timedelta(days=1), end, 1, SECONDS)
        order_id = next((row.order_id for row in page.rows if is_order_id(row.order_id)), NO_SUCH_ORDER)
        with needing(VIEW_ORDER, account):
            vtex.read_order(OrderRef(account, order_id), SECONDS)
    except OrderNotFound:
        pass
    except Refused as refused:
        how = refused.how if refused.lacks else "mind which is which, and blanks at the ends"
        raise Refused(f"{refused.says}; nothing was kept", how, lacks=refused.lacks) from None
    except RetryLater as trouble:
        raise Trouble(
            f"{trouble.why}. Nothing was kept. Is {account} the account's name? If so, try again later."
        ) from None


# ---- Changing


@dataclass(frozen=True, slots=True)
class Change:
    """What of an account's item a person wants otherwise."""

    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    unset: frozenset[str] = frozenset()
    is_off: bool | None = None

    def of(self, before: Account) -> Account:
        """Return the account as it is to be."""
        kept = {name: text for name, text in before.settings.items() if name not in self.unset}
        is_off = before.is_off if self.is_off is None else self.is_off
        return replace(before, settings={**kept, **self.settings}, is_off=is_off)


def changed(of: Shop, before: Account, change: Change, fault: Fault) -> tuple[Account, list[str]]:
    """Write what is wanted, on condition that the item is as it was read; return it, and what changed in words.

    Raises NotUnderstood where a setting is wrong, and Conflict where somebody else was first: nothing was done then.
    """
    after = change.of(before)
    if wrong := fault_of_settings(of, after.settings, fault):
        raise NotUnderstood(f"{wrong}. Nothing was changed.")
    told = changes(before.settings, after.settings)
    if after.is_off != before.is_off:
        told.append("on → off" if after.is_off else "off → on")
    if not told:
        return before, []
    of.own[before.name] = after = of.of_accounts.write(after)
    return after, told


def needs_registration(before: Account, after: Account) -> bool:
    """Say whether hook and feed are to be registered again: their filter is by the watched statuses."""
    is_other = before.settings.get(WATCHED_STATUSES) != after.settings.get(WATCHED_STATUSES)
    return not after.is_off and (is_other or before.is_off)
