"""`invoicekey backfill`: which of a period's orders are stuck?"""

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import batched
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import httpx
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from invoicekey import texts
from invoicekey.errors import CredentialsRefused
from invoicekey.ledger import Entry
from invoicekey.notification import Malformed, OrderRef, own_event
from invoicekey.order_list import OrderList, OrderRow
from invoicekey.outlets import Event
from invoicekey.policy import Policy
from invoicekey.record import order_url
from invoicekey.verdict import Outcome
from invoicekey.visits import Visits
from invoicekey.vtex import Vtex
from operations import notes
from operations.backfilling import (
    MOST_AT_ONCE,
    NOT_FOUND,
    SECONDS,
    UNREAD,
    Asking,
    Found,
    Listed,
    Load,
    Reading,
    Stopped,
    list_orders,
)
from operations.cli import FAILING, IN_THE_WAY, INTERRUPTED, app, err, out, shop
from operations.deployment import Trouble
from operations.judging import Judging, claims_of
from operations.notes import About, Notes
from operations.plain import Format, as_csv, as_json, line, plainly, queue, say, show, write
from operations.shop import Shop
from operations.visit import LIST_ORDERS, VIEW_ORDER, needing

SOURCE = "backfill"
COLUMNS = ("order", "invoices", "codes", "suggestion", "known", "link")
YEARS_KEPT = 2
"""VTEX gives no older orders."""
_AT_ONCE = 40
_OUTCOMES: Mapping[str, str] = {
    Outcome.FAILING: "failing",
    Outcome.OK: "good",
    Outcome.WAITING: "waiting",
    Outcome.CANCELED: "canceled",
    Outcome.RETURNED: "returned",
    Outcome.NOT_INVOICED: "not invoiced",
    Outcome.OTHER_MARKETPLACE: "not CNova's",
    NOT_FOUND: "unknown to VTEX by now",
    UNREAD: "not read",
}


@dataclass(frozen=True, slots=True)
class Period:
    """Days of the shop's calendar, both counted in."""

    first: date
    last: date
    timezone: str

    @property
    def begin(self) -> datetime:
        """Return the moment at which it begins."""
        return datetime.combine(self.first, time(), ZoneInfo(self.timezone))

    @property
    def end(self) -> datetime:
        """Return the moment at which it ends."""
        return datetime.combine(self.last + timedelta(days=1), time(), ZoneInfo(self.timezone))


@dataclass(slots=True)
class Result:
    """What a backfill came to."""

    listed: int = 0
    unlisted: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Orders of other affiliates, by affiliate."""
    found: dict[str, Found] = field(default_factory=dict)
    """In the list's order."""

    @property
    def failing(self) -> list[Found]:
        """List the failing ones."""
        return [one for one in self.found.values() if one.is_failing]

    @property
    def outcomes(self) -> Counter[str]:
        """Count the outcomes."""
        return Counter(one.outcome for one in self.found.values())

    @property
    def is_complete(self) -> bool:
        """Say whether every order of the period was read."""
        return not self.unlisted and not self.outcomes[UNREAD]


@app.command()
def backfill(
    context: typer.Context,
    first: Annotated[str | None, typer.Option("--from", help="The first day: 2026-10-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day, counted in.")] = None,
    account: Annotated[str | None, typer.Option(help="The VTEX account, where there are several.")] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Queue the failing ones for a check, so that the stack tells them.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="Table (and a CSV file), or plain CSV or JSON.")] = (
        Format.TABLE
    ),
    csv: Annotated[Path | None, typer.Option(help="Where the table is kept as CSV.")] = None,
    pace: Annotated[
        int | None, typer.Option(min=1, help="Requests a minute; by default a tenth of VtexRequestsPerMinute.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Where its progress is kept meanwhile.")] = None,
) -> int:
    """Read every invoiced CNova order of a period at VTEX, and list those that are failing. It only lists.

    Interrupted, the same command goes on where it stopped. Exit code 0 where none is failing, 3 where some are, 1
    where none is but some could not be read.
    """
    of = shop(context)
    with plainly():
        period = _period(first, last, of.style.timezone, datetime.now(UTC))
        name = of.account(account)
        requests_per_minute = _pace(of, pace)
        about = About(
            of.deployment.stack, of.deployment.region or "", name, period.first.isoformat(), period.last.isoformat(),
            _fingerprint(of.policy),
        )  # fmt: skip
        with notes.opened(state or notes.usual_folder() / about.file_name, about, datetime.now(UTC)) as kept:
            result = _run(of, name, period, requests_per_minute, kept)
            known = _known(of, name, result)
            if open_:
                _open(of, name, result)
            if result.is_complete:
                kept.remove()
        _write(of, about, result, known, form, csv)
    if result.failing:
        return FAILING
    return 0 if result.is_complete else IN_THE_WAY


# ---- What was asked for


def _period(first: str | None, last: str | None, timezone: str, now: datetime) -> Period:
    if not first or not last:
        raise Trouble("Say which days: --from 2026-10-01 --to 2026-10-31")
    begin, end = _day(first), _day(last)
    today = texts.local(now, timezone).date()
    oldest = _years_before(today, YEARS_KEPT)
    if begin > end:
        raise Trouble(f"The period ends before it begins: --from {begin} --to {end}")
    if end > today:
        raise Trouble(f"{end} is in the future: today is {today} in {timezone}.")
    if begin < oldest:
        raise Trouble(f"VTEX gives no orders that are older than {YEARS_KEPT} years: begin with --from {oldest} or later.")
    return Period(begin, end, timezone)


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day, with no time in it
    except ValueError:
        raise Trouble(f"{text[:40]!r} is no day. Expected year, month and day, such as 2026-10-01.") from None


def _years_before(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February
        return day.replace(year=day.year - years, day=28)


def _pace(of: Shop, pace: int | None) -> int:
    most = of.most_requests_per_minute
    if pace and pace > most:
        raise Trouble(f"--pace {pace} is more than the stack's VtexRequestsPerMinute, {most}: that is what VTEX is told.")
    return pace or of.requests_per_minute


def _fingerprint(policy: Policy) -> str:
    rules = [sorted(policy.affiliate_ids), sorted(policy.seller_tax_ids), str(policy.tracking_grace)]
    return hashlib.sha256(repr(rules).encode()).hexdigest()[:16]


# ---- The run


def _run(of: Shop, account: str, period: Period, requests_per_minute: int, kept: Notes) -> Result:
    """List and read, with the progress on the screen; an interruption says how to go on."""
    result = Result()
    if kept.why_anew:
        err.print(f"What a former run had found does not count: {kept.why_anew}.")
    asking = Asking(lambda wait: err.print(f"VTEX asks for silence; going on in {wait:.0f} s."))
    try:
        with _at_vtex(of, account, requests_per_minute) as vtex, _pool(asking) as pool:
            rows = _list(of, account, period, vtex, asking, pool, result)
            _read(of, account, rows, Load(requests_per_minute, vtex.answers), vtex, asking, pool, kept, result)
    except (KeyboardInterrupt, Stopped):
        number = len(result.found)
        err.print(f"\nInterrupted after {number} orders. The same command goes on from there.", markup=False)
        raise typer.Exit(INTERRUPTED) from None
    except Trouble as trouble:
        raise Trouble(f"{str(trouble).rstrip('.')}. The same command goes on where this one stopped.") from None
    return result


@contextmanager
def _at_vtex(of: Shop, account: str, requests_per_minute: int) -> Iterator[Vtex]:
    connections = httpx.Limits(
        max_connections=MOST_AT_ONCE, max_keepalive_connections=MOST_AT_ONCE, keepalive_expiry=300
    )
    vtex = of.vtex(requests_per_minute, transport=httpx.HTTPTransport(limits=connections, trust_env=False))
    with Visits(vtex, of.ledger, of.table).to([account]):
        try:
            yield vtex
        finally:
            vtex.answers.clear()  # the figures are the functions' own


@contextmanager
def _pool(asking: Asking) -> Iterator[ThreadPoolExecutor]:
    """Lend threads, and let none of them wait any longer where the run is ended."""
    pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="backfill")
    try:
        yield pool
    finally:
        asking.stop()
        pool.shutdown(cancel_futures=True)


def _list(
    of: Shop, account: str, period: Period, vtex: Vtex, asking: Asking, pool: ThreadPoolExecutor, result: Result
) -> list[OrderRow]:
    """List the period's orders, and return those that are to be read."""
    orders = OrderList(vtex)
    with needing(LIST_ORDERS, account), err.status("listing orders") as status:
        listed = list_orders(
            lambda begin, end, number: asking.ask(lambda: orders.page(account, begin, end, number, SECONDS)),
            period.begin,
            period.end,
            pool,
            lambda rows: status.update(f"listing orders: {rows}"),
        )
    result.listed, result.unlisted = len(listed.rows), listed.unlisted
    return _chosen(of.policy, account, listed, result)


def _chosen(policy: Policy, account: str, listed: Listed, result: Result) -> list[OrderRow]:
    """Leave out what cannot be CNova's by the setting: the shop's other orders are not to be read in bulk."""
    configured = {
        affiliate.rpartition(":")[2] for affiliate in policy.affiliate_ids if affiliate.partition(":")[0] in {account, affiliate}
    }
    chosen = []
    for row in listed.rows:
        affiliate = row.affiliate_id or ""
        if affiliate and (not configured or affiliate.casefold() in configured):
            chosen.append(row)
        else:
            result.skipped[line(affiliate) if affiliate else "none"] += 1
    return chosen


def _read(
    of: Shop,
    account: str,
    rows: Sequence[OrderRow],
    load: Load,
    vtex: Vtex,
    asking: Asking,
    pool: ThreadPoolExecutor,
    kept: Notes,
    result: Result,
) -> None:
    """Read and judge the orders that no former run has judged."""
    judging = Judging(lambda ref: asking.ask(lambda: vtex.read_order(ref, SECONDS)), claims_of(of.table), of.policy)
    wanted = _safe(of, account, rows, result)
    for ref in wanted:
        if former := kept.found.get(ref.order_id):
            result.found[ref.order_id] = former
            judging.remember(ref, former.digests)
    left = [ref.order_id for ref in wanted if ref.order_id not in result.found]
    reading = Reading(lambda order_id: judging.judge(Entry(OrderRef(account, order_id))), load, asking)
    with _progress(account, len(wanted), result) as tell:
        for found in reading.run(left, pool):
            kept.add(found)
            result.found[found.order_id] = found
            tell()
