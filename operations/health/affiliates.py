"""Whose orders an account invoiced of late: by affiliate id, and which of them count as CNova's.

A look at samples: of each of the last seven days the first hundred orders of VTEX's list, and of each affiliate id that
the setting does not name a few orders themselves, for the list does not show what tells a marketplace.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from invoicekey.rules.notification import OrderRef, is_order_id
from invoicekey.rules.order import Order
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import Circumstances, Outcome, Verdict, judge
from invoicekey.runtime.errors import OrderNotFound
from invoicekey.vtex.client import Vtex
from invoicekey.vtex.order_list import OrderList, OrderRow
from operations.deployment.visit import LIST_ORDERS, SECONDS, VIEW_ORDER, needing

DAYS = 7
MOST_AFFILIATES = 8
SUGGESTED = "VVJ"
"""VTEX's suggestion for the connector's form; the seller may choose another."""
MOST_READ = 2
"""So many orders are read of each affiliate id, and of so many ids."""


@dataclass(frozen=True, slots=True)
class Week:
    """The orders that an account invoiced in the last seven days: how many, and some of them."""

    total: int
    rows: tuple[OrderRow, ...]


@dataclass(frozen=True, slots=True)
class Affiliate:
    """The orders of one affiliate id."""

    id: str | None
    """None: the shop's own sales."""
    count: int
    is_named: bool
    """Whether the setting CnovaAffiliateIds names it."""
    read: int = 0
    """How many of its orders were read."""
    with_app: int = 0
    """How many of these carry CNova's app, and so count as CNova's whatever the setting is."""
    suspects: int = 0
    """How many of these smell of CNova, and do not count as CNova's."""

    @property
    def is_cnova(self) -> bool:
        """Say whether its orders seem to be CNova's."""
        return self.is_named or bool(self.with_app or self.suspects)

    @property
    def counts(self) -> bool:
        """Say whether its orders count as CNova's, as far as was seen."""
        return self.is_named or (self.with_app > 0 and not self.suspects)


def last_week(vtex: Vtex, account: str, now: datetime | None = None) -> Week:
    """Read the list; raises Trouble where the appKey may not."""
    end = now or datetime.now(UTC)
    orders, total, rows = OrderList(vtex), 0, dict[str, OrderRow]()
    with needing(LIST_ORDERS, account):
        for days_ago in range(DAYS):
            until = end - timedelta(days=days_ago)
            page = orders.page(account, until - timedelta(days=1), until, 1, SECONDS)
            total += page.total
            rows |= {row.order_id: row for row in page.rows}
    return Week(total, tuple(rows.values()))


def affiliates(vtex: Vtex, account: str, week: Week, policy: Policy) -> list[Affiliate]:
    """Tell the affiliate ids of a week's orders, the most frequent first; raises Trouble where the appKey may not."""
    counted = Counter(row.affiliate_id for row in week.rows)
    found = [Affiliate(name, count, _is_named(name, account, policy)) for name, count in counted.most_common()]
    return [
        one if one.is_named or place >= MOST_AFFILIATES else _looked_into(vtex, account, one, week.rows)
        for place, one in enumerate(found)
    ]


def proposed(found: Iterable[Affiliate], account: str, policy: Policy, *, is_only_account: bool) -> list[str]:
    """Return what CnovaAffiliateIds is to be: what it is, and the ids whose orders seem to be CNova's.

    Where there are none for the account, the id that VTEX suggests is put in their place.
    """
    prefix = "" if is_only_account else f"{account}:"
    new = [f"{prefix}{one.id.upper()}" for one in found if one.id and one.is_cnova and not one.is_named]
    ids = [*sorted(_as_written(name) for name in policy.affiliate_ids), *new]
    return ids if hold_for(account, ids) else [*ids, f"{prefix}{SUGGESTED}"]


def hold_for(account: str, ids: Iterable[str]) -> bool:
    """Say whether one of the setting's affiliate ids holds for an account."""
    return any(name.rpartition(":")[0] in {"", account} for name in ids)


def _as_written(name: str) -> str:
    account, _, affiliate = name.rpartition(":")
    return f"{account}:{affiliate.upper()}" if account else affiliate.upper()


def _is_named(name: str | None, account: str, policy: Policy) -> bool:
    affiliate = (name or "").casefold()
    return bool(affiliate) and not policy.affiliate_ids.isdisjoint({affiliate, f"{account}:{affiliate}"})


def _looked_into(vtex: Vtex, account: str, affiliate: Affiliate, rows: Sequence[OrderRow]) -> Affiliate:
    of_it = [row for row in rows if row.affiliate_id == affiliate.id and is_order_id(row.order_id)][-MOST_READ:]
    with needing(VIEW_ORDER, account):
        verdicts = [_judged(order, account) for order in _orders(vtex, account, of_it)]
    return Affiliate(
        affiliate.id,
        affiliate.count,
        affiliate.is_named,
        read=len(verdicts),
        with_app=sum(verdict.outcome is not Outcome.OTHER_MARKETPLACE for verdict in verdicts),
        suspects=sum(verdict.is_suspect for verdict in verdicts),
    )


def _orders(vtex: Vtex, account: str, rows: Iterable[OrderRow]) -> Iterator[Order]:
    for row in rows:
        try:
            yield vtex.read_order(OrderRef(account, row.order_id), SECONDS)
        except OrderNotFound:
            continue


def _judged(order: Order, account: str) -> Verdict:
    """Judge an order as if the setting named no affiliate id."""
    now = datetime.now(UTC)
    return judge(order, Policy(), Circumstances(account, now, first_seen_at=now))
