"""How an account stands at VTEX: what its appKey may, its hook and feed, whose orders it invoices, the clock.

All of it is read; nothing is changed.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import httpx

from invoicekey import texts
from invoicekey.connections import Connections
from invoicekey.errors import CredentialsRefused, OrderNotFound
from invoicekey.notification import OrderRef
from invoicekey.secrets import vtex_credentials
from invoicekey.vtex import BURST, Vtex
from operations.affiliates import Affiliate, Week, affiliates, last_week, proposed
from operations.findings import Finding, Section, looked, note, to_do, unknown, well
from operations.health import ahead, clock_findings
from operations.registration import Registration, findings
from operations.shop import Shop
from operations.visit import HOOK_ADMIN, LIST_ORDERS, SECONDS, VIEW_ORDER, needing, visiting

ENOUGH_ORDERS = 50
"""Among so many, none of CNova is no chance."""
_NO_SUCH_ORDER = "invoicekey-doctor"
"""For an account without orders: who may see orders hears that there is none of this id."""
LONGEST_AFFILIATE = 20


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
        try:
            vtex_credentials(self._shop.credentials, self._account)
        except CredentialsRefused:
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
        week = weeks[0] if weeks else Week(0, ())
        yield from looked(VIEW_ORDER, lambda: self._view(vtex, week))
        if weeks:
            yield from looked("the orders of seven days", lambda: self._affiliates(vtex, week))

    def _list(self, vtex: Vtex, weeks: list[Week]) -> Iterator[Finding]:
        weeks.append(last_week(vtex, self._account))
        yield well(f"the appKey may “{LIST_ORDERS}”")

    def _view(self, vtex: Vtex, week: Week) -> Iterator[Finding]:
        order_id = week.rows[0].order_id if week.rows else _NO_SUCH_ORDER
        with needing(VIEW_ORDER, self._account), suppress(OrderNotFound):
            vtex.read_order(OrderRef(self._account, order_id), SECONDS)
        yield well(f"the appKey may “{VIEW_ORDER}”")

    def _hook_and_feed(self, vtex: Vtex) -> Iterator[Finding]:
        standing = Registration(self._shop, vtex).read(self._account)
        yield well(f"the appKey may see hook and feed (“{HOOK_ADMIN}”, or the view alone)")
        yield from findings(standing, self._shop)

    def _affiliates(self, vtex: Vtex, week: Week) -> Iterator[Finding]:
        if not week.total:
            yield note("no order was invoiced in the last seven days")
            return
        found = affiliates(vtex, self._account, week, self._shop.policy)
        sample = f"; {len(week.rows)} were looked at" if len(week.rows) < week.total else ""
        yield note(f"{week.total} orders were invoiced in the last seven days{sample}")
        yield from affiliate_findings(self._shop, self._account, found)


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
    for one in found:
        if one.suspects:
            yield to_do(f"{_orders_of(one)}: some smell of CNova's, and do not count as such", how)
        elif one.is_named:
            yield well(f"{_orders_of(one)}: they count as CNova's, for CnovaAffiliateIds names it")
        elif one.with_app:
            yield well(f"{_orders_of(one)}: they count as CNova's by their app; CnovaAffiliateIds does not name it")
    others = [one for one in found if not one.is_cnova]
    if others:
        yield note(f"not CNova's: {', '.join(f'{_name_of(one)} {one.count}' for one in others)}")
    if len(others) < len(found):
        return
    if sum(one.count for one in found) >= ENOUGH_ORDERS:
        yield to_do("none of these orders is CNova's: is CnovaAffiliateIds right?", how)
    else:
        yield note("none of these few orders is CNova's")


def setting(shop: Shop, account: str, found: list[Affiliate]) -> str:
    """Say how CnovaAffiliateIds is set to what it is, and the ids that were seen."""
    ids = proposed(found, account, shop.policy, is_only_account=len(shop.accounts) <= 1) or ["VVJ"]
    return f'set CnovaAffiliateIds="{",".join(ids)}" in parameter_overrides of samconfig.toml, then make deploy'


def _orders_of(affiliate: Affiliate) -> str:
    orders = "1 order" if affiliate.count == 1 else f"{affiliate.count} orders"
    return f"{_name_of(affiliate)}, {orders}"


def _name_of(affiliate: Affiliate) -> str:
    return texts.plain(affiliate.id, LONGEST_AFFILIATE) or "own sales"
