"""Orders judged as the stack would judge them now, with nothing written: for `check` and `backfill`.

The judgement is verdict.judge alone. What is added here is what the checker gives it too: since when an order has been
heard of, and which other orders own its keys.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import batched
from urllib.parse import urlsplit

from invoicekey.ledger.entries import Claim, Entry, claim_key
from invoicekey.ledger.table import Table
from invoicekey.messages import texts
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.order import Order
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import OWNS_NO_KEY, Circumstances, Outcome, Verdict, judge
from invoicekey.runtime.errors import OrderNotFound

_MOST_KEYS, _MOST_THREADS = 100, 8

type Read = Callable[[OrderRef], Order]
type Claims = Callable[[str, Iterable[str]], Mapping[str, Claim]]
"""Takes an account and keys, and returns the claims of those that are claimed."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An order as it was read, and what is thought of it."""

    ref: OrderRef
    order: Order
    verdict: Verdict
    given: Circumstances
    entry: Entry
    """What the ledger holds of it."""

    @property
    def is_failing(self) -> bool:
        """Say whether it is failing."""
        return self.verdict.outcome is Outcome.FAILING


class Judging:
    """Judges orders, any number of threads at once; of a key that two of them show, the first one owns it."""

    def __init__(
        self, read: Read, claims: Claims, policy: Policy, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._read = read
        self._claims = claims
        self._policy = policy
        self._now = now
        self._shown_by: dict[tuple[str, str], str] = {}

    def judge(self, entry: Entry) -> Judged:
        """Read an order at VTEX and judge it; raises OrderNotFound, and what `Vtex.read_order` raises besides."""
        order = self._read(entry.ref)
        now = self._now()
        given = Circumstances(entry.ref.account, now, received_at(entry, order, now), entry.has_open_failure)
        verdict = judge(order, self._policy, given)
        if owners := self._owners(entry.ref, verdict, given):
            given = replace(given, owners=owners)
            verdict = judge(order, self._policy, given)
        return Judged(entry.ref, order, verdict, given, entry)

    def remember(self, ref: OrderRef, digests: Iterable[str]) -> None:
        """Take note of the keys, by their digests, that an order showed before."""
        for digest in digests:
            self._shown_by.setdefault((ref.account, digest), ref.order_id)

    def _owners(self, ref: OrderRef, verdict: Verdict, given: Circumstances) -> dict[str, str]:
        """Return which other orders own keys that this one shows as its own."""
        claims = self._claims(ref.account, verdict.own_keys) if verdict.own_keys else {}
        owners: dict[str, str] = {}
        for key in verdict.own_keys:
            # Atomic, so that of two threads with the same key one is the first.
            first = self._shown_by.setdefault((ref.account, digest_of(key)), ref.order_id)
            claim = claims.get(key)
            if claim and claim.order_id != ref.order_id and self._still_owns(claim, key, given):
                owners[key] = claim.order_id
            elif first != ref.order_id:
                owners[key] = first
        return owners

    def _still_owns(self, claim: Claim, key: str, given: Circumstances) -> bool:
        if claim.until <= given.now:
            return False
        try:
            owner = self._read(OrderRef(given.account, claim.order_id))
        except OrderNotFound:
            return False
        if judge(owner, self._policy, given).outcome in OWNS_NO_KEY:
            return False
        return any(sale.invoice_key == key for sale in owner.sale_invoices)


def digest_of(key: str) -> str:
    """Return what tells one key from another, and says nothing of it."""
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def received_at(entry: Entry, order: Order, now: datetime) -> datetime:
    """Return from when the order's graces run: when the stack first seen it, else when VTEX says it was invoiced.

    An order that the stack never heard of has been like this since then: to let a grace begin now would hide it.
    """
    return entry.first_seen_at or min(texts.moment(order.invoiced_date) or now, now)


def claims_of(table: Table) -> Claims:
    """Return what reads claims from the ledger's table; few threads at once, as boto3 keeps few connections."""
    turns = threading.BoundedSemaphore(_MOST_THREADS)

    def read(account: str, keys: Iterable[str]) -> dict[str, Claim]:
        by_item = {claim_key(account, key): key for key in keys}
        found = {}
        for some in batched(by_item, _MOST_KEYS, strict=False):
            with turns:
                items = table.get(some)
            for name, item in items.items():
                found[by_item[name]] = Claim(item["order_id"], datetime.fromtimestamp(int(item["expires_at"]), UTC))
        return found

    return read


def why_cnova(judged: Judged, policy: Policy) -> str:
    """Say by what the judgement knows a CNova order, or why it is none.

    It is asked again without the one sign and without the other, so that its rule stands in one place.
    """
    if judged.verdict.outcome is Outcome.OTHER_MARKETPLACE:
        return _why_not(judged)
    order = judged.order
    without_affiliate = order.model_copy(update={"affiliate_id": None})
    without_apps = order.model_copy(update={"custom_data": type(order.custom_data)()})
    signs = {
        f"its affiliateId {_shown(order.affiliate_id)}, which is in CnovaAffiliateIds": without_apps,
        f"its custom app {_apps(order)}": without_affiliate,
    }
    told = [
        sign
        for sign, alone in signs.items()
        if judge(alone, policy, judged.given).outcome is not Outcome.OTHER_MARKETPLACE
    ]
    return f"a CNova order, by {', and by '.join(told)}"


def _why_not(judged: Judged) -> str:
    order = judged.order
    affiliate = _shown(order.affiliate_id)
    why = f"its affiliateId {affiliate} is not in CnovaAffiliateIds" if affiliate else "it has no affiliateId"
    apps = f"its custom apps ({_apps(order)}) are not CNova's" if _apps(order) else "it has no custom app"
    if not judged.verdict.is_suspect:
        return f"no CNova order: {why}, and {apps}"
    told = ", ".join(dict.fromkeys(map(_host, order.marketplace_addresses)))
    return (
        f"no CNova order for the stack: {why}, and {apps}. But it smells of CNova (its marketplace: {told}), so "
        "CnovaAffiliateIds is probably wrong"
    )


def _host(address: str) -> str:
    try:
        return "".join(filter(str.isprintable, urlsplit(address).hostname or _shown(address)))[:60]
    except ValueError:
        return _shown(address)


def _apps(order: Order) -> str:
    return ", ".join(map(_shown, order.custom_app_ids))


def _shown(text: str | None) -> str:
    return texts.plain(text, 60) or ""
