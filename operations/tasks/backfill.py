"""All orders invoiced in a period: listed window by window, read at a pace, judged, and nothing written.

Everything that it needs is handed in, so that tests and the benchmark run the very code of the command::

    with Backfill("luxstore", vtex, policy, claims, requests_per_minute=600) as backfill:
        chosen = backfill.pick(begin, end)
        for found in backfill.read(chosen.order_ids):
            ...
"""

import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self

from invoicekey.ledger.entries import Entry
from invoicekey.messages import fields
from invoicekey.rules.notification import OrderRef, is_order_id
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import Code, Outcome, Problem
from invoicekey.runtime.errors import CredentialsRefused, OrderNotFound, RetryLater
from invoicekey.vtex.client import Vtex
from invoicekey.vtex.connections import Connections
from invoicekey.vtex.order_list import MOST_ROWS, ROWS_A_PAGE, OrderList, OrderPage, OrderRow
from operations.deployment.visit import LIST_ORDERS, VIEW_ORDER, needing
from operations.tasks.asking import Asking
from operations.tasks.judging import Claims, Judged, Judging, digest_of

MOST_AT_ONCE = 64
SECONDS = 12.0
"""Of one question to VTEX: a little patience for its turn, and the request. Who waits longer waits interruptibly."""
NARROWEST = timedelta(minutes=1)
OVERLAP = timedelta(seconds=1)
"""Windows overlap: where the edges were equal, what was invoiced between two milliseconds would be lost."""
NOT_FOUND, UNREAD = "not_found", "unread"
NO_AFFILIATE, ODD_ID, OTHERS = "no affiliate", "odd order id", "other affiliates"


def transport() -> Connections:
    """Return what lets a client of VTEX have as many connections as a backfill may need."""
    return Connections(MOST_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The orders of a period that may be CNova's."""

    order_ids: tuple[str, ...]
    listed: int
    unlisted: int
    skipped: Counter[str]
    """The orders that are not read, by affiliate."""

    @classmethod
    def nothing(cls) -> Self:
        """Return no order, before the list is read."""
        return cls((), 0, 0, Counter())


class Backfill:
    """One look back over the orders of an account. Leaving it ends what is under way."""

    def __init__(
        self,
        account: str,
        vtex: Vtex,
        policy: Policy,
        claims: Claims,
        *,
        requests_per_minute: int,
        note_backoff_at: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._account = account
        self._orders = OrderList(vtex)
        self._policy = policy
        self._asking = Asking(note_backoff_at)
        self._load = Load(requests_per_minute, vtex.answers)
        self._judging = Judging(lambda ref: self._asking.ask(lambda: vtex.read_order(ref, SECONDS)), claims, policy)
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="backfill")

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End, and let nobody wait any longer."""
        self._asking.stop()
        self._pool.shutdown(cancel_futures=True)

    def pick(
        self,
        begin: datetime,
        end: datetime,
        tell: Callable[[int], object] = lambda _: None,
        *,
        every_affiliate: bool = False,
    ) -> Chosen:
        """List the orders invoiced between two times that may be CNova's; raises Trouble where the appKey may not.

        Where affiliate ids are configured, VTEX is asked for their orders, and for one page of everybody's.
        """
        configured = frozenset[str]() if every_affiliate else self._policy.affiliate_ids
        wanted = _affiliates(configured, self._account)
        with needing(LIST_ORDERS, self._account):
            listed = (
                self._list_of(wanted, begin, end, tell)
                if wanted
                else list_orders(self._page, begin, end, self._pool, tell)
            )
        return choose(listed, self._account, replace(self._policy, affiliate_ids=configured))

    def remember(self, found: "Found") -> None:
        """Take note of what a former run found: who showed which key first."""
        self._judging.remember(OrderRef(self._account, found.order_id), found.digests)

    def read(self, order_ids: Iterable[str]) -> Iterator["Found"]:
        """Read and judge orders side by side, and yield what each came to, as soon as it did.

        Raises Trouble where the appKey may not, and where VTEX stays down.
        """
        with needing(VIEW_ORDER, self._account):
            yield from side_by_side(self._one, order_ids, self._pool, self._load.at_once)

    def _list_of(
        self, wanted: Collection[str], begin: datetime, end: datetime, tell: Callable[[int], object]
    ) -> "Listed":
        everybody = self._page(begin, end, 1)
        parts = {
            name: list_orders(partial(self._page, affiliate=name), begin, end, self._pool, tell)
            for name in spellings(wanted, everybody.rows)
        }
        return together(everybody, parts)

    def _page(self, begin: datetime, end: datetime, number: int, *, affiliate: str | None = None) -> OrderPage:
        return self._asking.ask(
            lambda: self._orders.page(self._account, begin, end, number, SECONDS, affiliate=affiliate)
        )

    def _one(self, order_id: str) -> "Found":
        try:
            return Found.of(self._judging.judge(Entry(OrderRef(self._account, order_id))))
        except OrderNotFound:
            return Found(order_id, NOT_FOUND)
        except CredentialsRefused:
            raise
        except RetryLater as trouble:
            return Found(order_id, UNREAD, why=trouble.why)


class Load:
    """How many questions to have under way: as many as the pace and VTEX's latency need (Little's law)."""

    def __init__(self, requests_per_minute: int, answers: deque[tuple[str, float]]) -> None:
        self._a_second = requests_per_minute / 60
        self._answers = answers
        self._latency = 0.5

    def at_once(self) -> int:
        """Return it, as VTEX answered of late. Half as many again, and one, are there to take their turn at once."""
        while self._answers:
            _, seconds = self._answers.popleft()
            self._latency += (seconds - self._latency) / 20
        return min(MOST_AT_ONCE, math.ceil(1.5 * self._latency * self._a_second) + 1)


def side_by_side[T, R](
    work: Callable[[T], R], things: Iterable[T], pool: ThreadPoolExecutor, at_once: Callable[[], int]
) -> Iterator[R]:
    """Do the work for each thing, so many at once, and yield the results as they come."""
    under_way: set[Future[R]] = set()
    try:
        for thing in things:
            while len(under_way) >= at_once():
                ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
            under_way.add(pool.submit(work, thing))
        while under_way:
            ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ended)
    finally:
        for future in under_way:
            future.cancel()


# ---- Which orders there are


@dataclass(frozen=True, slots=True)
class Listed:
    """The orders of a period, each once."""

    rows: tuple[OrderRow, ...]
    unlisted: int
    """How many VTEX counted and did not show."""
    others: int = 0
    """How many it has besides, of affiliates that it was not asked for."""


@dataclass(frozen=True, slots=True)
class _Window:
    begin: datetime
    end: datetime
    first: OrderPage

    @property
    def pages(self) -> int:
        return math.ceil(min(self.first.total, MOST_ROWS) / ROWS_A_PAGE)


type Page = Callable[[datetime, datetime, int], OrderPage]


def list_orders(
    page: Page, begin: datetime, end: datetime, pool: ThreadPoolExecutor, tell: Callable[[int], object] = lambda _: None
) -> Listed:
    """List all orders between two times, both counted in; periods of more than 3,000 orders are halved.

    `tell` hears how many rows there are so far.
    """
    windows = list(_windows(page, begin, end))
    others = [(window, number) for window in windows for number in range(2, window.pages + 1)]
    read = pool.map(lambda other: page(other[0].begin, other[0].end, other[1]), others)
    rows: dict[str, OrderRow] = {}
    shown = 0
    for one in itertools.chain((window.first for window in windows), read):
        shown += len(one.rows)
        for row in one.rows:
            rows.setdefault(row.order_id, row)
        tell(len(rows))
    counted = sum(window.first.total for window in windows)
    return Listed(tuple(rows.values()), unlisted=max(0, counted - shown))


def _windows(page: Page, begin: datetime, end: datetime) -> Iterator[_Window]:
    first = page(begin, end, 1)
    if first.total <= MOST_ROWS or end - begin <= NARROWEST:
        yield _Window(begin, end, first)
        return
    middle = begin + (end - begin) / 2
    yield from _windows(page, begin, middle)
    yield from _windows(page, middle - OVERLAP, end)


def spellings(wanted: Collection[str], sample: Iterable[OrderRow]) -> list[str]:
    """Return the ways to write affiliate ids to VTEX, whose list may know one spelling alone.

    As VTEX's documents write them, in capitals; in small letters, as somebody may have typed them; and as a sample of
    the orders shows them. To ask for one that nobody has costs one request; not to ask for the right one, every order.
    """
    seen = {row.affiliate_id for row in sample if row.affiliate_id and row.affiliate_id.casefold() in wanted}
    return sorted(seen | {name.upper() for name in wanted} | {name.lower() for name in wanted})


def together(everybody: OrderPage, parts: Mapping[str, Listed]) -> Listed:
    """Put together what was listed by affiliate id, each spelling by itself, and the first page of everybody's."""
    rows = {row.order_id: row for part in parts.values() for row in part.rows}
    rows |= {row.order_id: row for row in everybody.rows if row.order_id not in rows}
    unlisted: dict[str, int] = {}
    for name, part in parts.items():  # where VTEX takes two spellings for one, both lack the same
        unlisted[name.casefold()] = max(part.unlisted, unlisted.get(name.casefold(), 0))
    return Listed(tuple(rows.values()), sum(unlisted.values()), others=max(0, everybody.total - len(rows)))


def choose(listed: Listed, account: str, policy: Policy) -> Chosen:
    """Leave out what cannot be CNova's by the setting: a shop's other orders are not to be read in bulk."""
    wanted = _affiliates(policy.affiliate_ids, account)
    skipped = Counter({OTHERS: listed.others} if listed.others else {})
    chosen = []
    for row in listed.rows:
        affiliate = row.affiliate_id or ""
        if not is_order_id(row.order_id):
            skipped[ODD_ID] += 1
        elif affiliate and (not wanted or affiliate.casefold() in wanted):
            chosen.append(row.order_id)
        else:
            skipped[affiliate or NO_AFFILIATE] += 1
    return Chosen(tuple(chosen), len(listed.rows), listed.unlisted, skipped)


def _affiliates(configured: Collection[str], account: str) -> set[str]:
    """Return the affiliate ids that count in an account: those for every account, and its own."""
    return {name for of, _, name in (one.rpartition(":") for one in configured) if of in {"", account}}


# ---- What is thought of them


@dataclass(frozen=True, slots=True)
class FoundProblem:
    """An error of an order, fit to be shown and kept."""

    code: str
    invoice_number: str | None
    suggested_key: str | None
    suggested_from: str | None
    reused_in: str | None

    @classmethod
    def of(cls, problem: Problem, order_id: str) -> "FoundProblem":
        """Take of a problem what is listed."""
        suggestion = problem.suggestion
        return cls(
            problem.code,
            fields.shown(problem.invoice_number),
            suggestion.key if suggestion else None,
            suggestion.source if suggestion else None,
            (problem.reused_in or order_id) if problem.code is Code.REUSED else None,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What an order came to: an outcome of the judgement, not_found, or unread."""

    order_id: str
    outcome: str
    errors: tuple[FoundProblem, ...] = ()
    digests: tuple[str, ...] = ()
    """Of the keys that it owns, so that a run that goes on knows them."""
    why: str | None = None
    """Why it could not be read."""
    suspect: str | None = None
    """With other_marketplace: its affiliateId, where it smells of CNova."""
    marketplace_order_id: str | None = None
    """Of a failing one, as the marketplace knows it."""

    @classmethod
    def of(cls, judged: Judged) -> "Found":
        """Take of a judgement what is listed."""
        verdict, order_id = judged.verdict, judged.ref.order_id
        errors = verdict.errors if judged.is_failing else ()
        return cls(
            order_id,
            verdict.outcome,
            tuple(FoundProblem.of(error, order_id) for error in errors),
            tuple(map(digest_of, verdict.own_keys)),
            suspect=fields.shown(judged.order.affiliate_id) if verdict.is_suspect else None,
            marketplace_order_id=fields.shown(judged.order.marketplace_order_id) if judged.is_failing else None,
        )

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> "Found":
        """Return what asdict wrote as JSON."""
        errors = tuple(FoundProblem(**error) for error in kept["errors"])
        return cls(**{**kept, "errors": errors, "digests": tuple(kept["digests"])})

    @property
    def is_failing(self) -> bool:
        """Say whether it is failing."""
        return self.outcome == Outcome.FAILING
