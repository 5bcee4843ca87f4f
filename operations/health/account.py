"""How an account stands at VTEX: what its appKey may, its hook and feed, whose orders it invoices, the clock.

All of it is read; nothing is changed.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import quote

import httpx

from invoicekey.messages import texts
from invoicekey.rules.notification import OrderRef, is_order_id
from invoicekey.runtime.errors import OrderNotFound, RateLimited, RetryLater
from invoicekey.vtex.client import BURST, Vtex
from invoicekey.vtex.connections import Connections
from operations.deployment.shop import NoCredentials, Shop
from operations.deployment.visit import HOOK_ADMIN, LIST_ORDERS, SECONDS, VIEW_ORDER, needing, visiting
from operations.health.accounts import of_own
from operations.health.affiliates import Affiliate, Week, affiliates, hold_for, last_week, proposed
from operations.health.registration import Registration, findings
from operations.health.stack import ahead, clock_findings
from operations.terminal.findings import Finding, Section, looked, note, to_do, unknown, well

ENOUGH_ORDERS = 50
"""Among so many, none of CNova is no chance."""
_NO_SUCH_ORDER = "invoicekey-doctor"
"""For an account without orders that can be asked for: who may see orders hears that there is none of this id."""
LONGEST_AFFILIATE = 20
AFFILIATE_IDS = "CnovaAffiliateIds"
DATA_PROTECTION_PLUS = "accounts with Data Protection Plus have addresses of their own, which are not served here yet"
_MORE = "see docs/deploying.md#data-protection-plus"
"""GET /api/orders/pvt/document/{orderId}, and another list. What the usual addresses answer for such an account is not
documented, and other accounts may be answered there too: so the sign is an order that is given there and not here.
"""


class AccountHealth:
    """One account at VTEX, as it is now."""

    def __init__(self, shop: Shop, account: str) -> None:
        self._shop = shop
        self._account = account
        self._clock = _Clock()

    def section(self) -> Section:
        """Look at everything."""
        return self._section(self._look)

    def orders(self) -> Section:
        """Look whether the appKey may read orders, and whose orders they are."""
        return self._section(self._look_at_orders)

    def _section(self, look: Callable[[], Iterator[Finding]]) -> Section:
        # An appKey that VTEX does not take at all is told once, whatever was asked.
        return Section(f"{self._account} at VTEX", tuple(dict.fromkeys(looked("VTEX", look))))

    def _look(self) -> Iterator[Finding]:
        if keeps := of_own(self._shop, self._account):
            yield keeps
            return
        try:
            self._shop.credentials_of(self._account)
        except NoCredentials:
            yield unknown("without a usable appKey and appToken VTEX cannot be asked")
            return
        with visiting(self._shop, [self._account], self._clock) as vtex:
            yield from looked(HOOK_ADMIN, lambda: self._hook_and_feed(vtex))
            yield from self._orders(vtex)
            yield from clock_findings("VTEX", self._clock.ahead)

    def _look_at_orders(self) -> Iterator[Finding]:
        with visiting(self._shop, [self._account]) as vtex:
            yield from self._orders(vtex)

    def _orders(self, vtex: Vtex) -> Iterator[Finding]:
        weeks: list[Week] = []
        yield from looked(LIST_ORDERS, lambda: self._list(vtex, weeks))
        yield from looked(VIEW_ORDER, lambda: self._view(vtex, weeks))
        if weeks:
            yield from looked("the orders of seven days", lambda: self._affiliates(vtex, weeks[0]))
        else:
            yield from looked("CnovaAffiliateIds", lambda: unnamed(self._shop, self._account, []))

    def _list(self, vtex: Vtex, weeks: list[Week]) -> Iterator[Finding]:
        try:
            weeks.append(last_week(vtex, self._account))
        except RetryLater as trouble:
            if not _is_for_good(trouble):
                raise
            yield unknown(f"{LIST_ORDERS}: {trouble.why}", f"{DATA_PROTECTION_PLUS}; {_MORE}")
            return
        yield well(f"the appKey may “{LIST_ORDERS}”")

    def _view(self, vtex: Vtex, weeks: list[Week]) -> Iterator[Finding]:
        listed = next((row.order_id for week in weeks for row in week.rows if is_order_id(row.order_id)), None)
        order_id = listed or self._followed() or _NO_SUCH_ORDER
        try:
            with needing(VIEW_ORDER, self._account):
                vtex.read_order(OrderRef(self._account, order_id), SECONDS)
        except OrderNotFound:
            if order_id != _NO_SUCH_ORDER and self._is_given_elsewhere(vtex, order_id):
                yield _given_elsewhere(order_id)
                return
            if listed:
                yield note(f"VTEX lists {listed}, and does not know it when it is asked for it")
        except RetryLater as trouble:
            if not (_is_for_good(trouble) and self._is_given_elsewhere(vtex, order_id)):
                raise
            yield _given_elsewhere(order_id)
            return
        yield well(f"the appKey may “{VIEW_ORDER}”")

    def _followed(self) -> str | None:
        """Return an order of the account's that is followed, so that VTEX has given it once."""
        followed = (order.ref for order in self._shop.backlog.followed())
        return next((ref.order_id for ref in followed if ref.account == self._account), None)

    def _is_given_elsewhere(self, vtex: Vtex, order_id: str) -> bool:
        """Say whether VTEX gives an order at the address of Data Protection Plus; nothing but its id is looked at."""
        path = f"/api/orders/pvt/document/{quote(order_id, safe='')}"
        try:
            answer = vtex.call(self._account, "GET", path, time_left=SECONDS)
        except RetryLater:
            return False
        return isinstance(answer.document, dict) and answer.document.get("orderId") == order_id

    def _hook_and_feed(self, vtex: Vtex) -> Iterator[Finding]:
        standing = Registration(self._shop, vtex).read(self._account)
        yield well(f"the appKey may see hook and feed (“{HOOK_ADMIN}”, or the view alone)")
        yield from findings(standing, self._shop)

    def _affiliates(self, vtex: Vtex, week: Week) -> Iterator[Finding]:
        if not week.total:
            yield note("no order was invoiced in the last seven days")
            yield from unnamed(self._shop, self._account, [])
            return
        found = affiliates(vtex, self._account, week, self._shop.settings_of(self._account).policy)
        sample = f"; {len(week.rows)} were looked at" if len(week.rows) < week.total else ""
        yield note(f"{week.total} orders were invoiced in the last seven days{sample}")
        yield from affiliate_findings(self._shop, self._account, found)


def _is_for_good(trouble: RetryLater) -> bool:
    """Say whether VTEX answered that it will not, not that it cannot now: a redirect, or the caller's fault."""
    return bool(re.fullmatch("VTEX answered [34][0-9][0-9]", trouble.why)) and not isinstance(trouble, RateLimited)


def _given_elsewhere(order_id: str) -> Finding:
    return to_do(
        f"VTEX gives {order_id} at another address alone: {DATA_PROTECTION_PLUS}",
        f"ask VTEX whether this account has it; {_MORE}",
    )


class _Clock(Connections):
    """Reads VTEX's clock from its answers."""

    def __init__(self) -> None:
        super().__init__(BURST)
        self.ahead: timedelta | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self.ahead = ahead(response.headers.get("date"))
        return response


def affiliate_findings(shop: Shop, account: str, found: list[Affiliate]) -> Iterator[Finding]:
    """Say whose orders count as CNova's, and what the setting is to be where it seems wrong."""
    how = setting(shop, account, found)
    yield from unnamed(shop, account, found)
    for one in found:
        if one.suspects:
            yield to_do(f"{_orders_of(one)}: some smell of CNova's, and do not count as such", how)
        elif one.is_named:
            yield well(f"{_orders_of(one)}: they count as CNova's, for CnovaAffiliateIds names it")
        elif one.with_app:
            yield to_do(f"{_orders_of(one)}: they count as CNova's by {_APP_ALONE}", how)
    others = [one for one in found if not one.is_cnova]
    if others:
        yield note(f"not CNova's: {', '.join(f'{_name_of(one)} {one.count}' for one in others)}")
    if len(others) < len(found):
        return
    if sum(one.count for one in found) >= ENOUGH_ORDERS:
        yield to_do("none of these orders is CNova's: is CnovaAffiliateIds right?", how)
    else:
        yield note("none of these few orders is CNova's")


def unnamed(shop: Shop, account: str, found: list[Affiliate]) -> Iterator[Finding]:
    """Say where the setting names no affiliate id that holds for an account."""
    if not hold_for(account, shop.settings_of(account).policy.affiliate_ids):
        yield to_do(
            f"CnovaAffiliateIds names no affiliate id of {account}: an order is recognised by {_APP_ALONE}",
            f"{setting(shop, account, found)} (an order's id begins with the affiliate id)",
        )


_APP_ALONE = "the connector's app in it alone, which fades: VTEX moves such data elsewhere, connector by connector"
"""From customData.customApps to paymentData (VTEX's release note of 8 May 2026); of CNova's connector not seen yet."""


def setting(shop: Shop, account: str, found: list[Affiliate]) -> str:
    """Say how CnovaAffiliateIds is set to what it is, and the ids that were seen."""
    own = shop.own.get(account)
    has_own = own is not None and AFFILIATE_IDS in own.settings
    is_only_account = has_own or len(shop.accounts) <= 1
    ids = proposed(found, account, shop.settings_of(account).policy, is_only_account=is_only_account)
    if has_own:
        joined = ",".join(ids)
        return shop.command(f"accounts set {account} CnovaAffiliateIds={joined}")
    return f'set CnovaAffiliateIds="{",".join(ids)}" in parameter_overrides of samconfig.toml, then make deploy'


def _orders_of(affiliate: Affiliate) -> str:
    orders = "1 order" if affiliate.count == 1 else f"{affiliate.count} orders"
    return f"{_name_of(affiliate)}, {orders}"


def _name_of(affiliate: Affiliate) -> str:
    return texts.plain(affiliate.id, LONGEST_AFFILIATE) or "own sales"
