"""`invoicekey backfill`: which of a period's orders are stuck?"""

import hashlib
import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from invoicekey.delivery.queues import Event
from invoicekey.rules.notification import OrderRef, own_event
from invoicekey.rules.policy import Policy
from invoicekey.runtime.settings import CheckerSettings
from invoicekey.work.rounds import SharedBackoff
from operations.deployment.shop import Shop, commands_share
from operations.deployment.stack import NotUnderstood, Trouble
from operations.tasks import backfill_notes as notes
from operations.tasks import backfill_report
from operations.tasks.asking import Stopped
from operations.tasks.backfill import Backfill, Chosen, transport
from operations.tasks.backfill_notes import About, Notes
from operations.tasks.backfill_report import Result
from operations.tasks.judging import claims_of
from operations.terminal.cli import FAILING, IN_THE_WAY, INTERRUPTED, Format, err, out
from operations.terminal.period import Period, period
from operations.terminal.plain import NOT_SENT, as_json, orders, plainly, queue, say, show, write
from operations.terminal.sheet import save, see_that_it_can_be_written

SOURCE = "backfill"
_AT_ONCE = 25


def backfill(
    of: Shop,
    *,
    first: str | None,
    last: str | None,
    account: str | None,
    open_: bool,
    form: Format,
    csv: Path | None,
    pace: int | None,
    every_affiliate: bool,
    state: Path | None,
) -> int:
    """List what is failing of a period's orders; return the exit code."""
    with plainly():
        days = period(first, last, of.style.timezone, datetime.now(UTC))
        about = _about(of, of.account(account), days)
        requests_per_minute = _pace(of.settings_of(about.account), pace)
        if csv or form is Format.TABLE:
            see_that_it_can_be_written(csv or _usual_csv(about))
        path = state or notes.usual_folder() / about.file_name
        with notes.opened(path, about, datetime.now(UTC)) as kept:
            result = _run(of, about.account, days, requests_per_minute, kept, every_affiliate=every_affiliate)
            result.known = _known(of, about.account, result)
            _tell(of, result, about, form, csv)
            if open_:
                _open(of, about.account, result)
            if result.is_complete:
                kept.remove()
    if result.failing:
        return FAILING
    return 0 if result.is_complete else IN_THE_WAY


def _about(of: Shop, account: str, days: Period) -> About:
    return About(
        of.deployment.stack,
        of.deployment.region or "",
        account,
        days.first.isoformat(),
        days.last.isoformat(),
        _fingerprint(of.settings_of(account).policy),
    )


def _fingerprint(policy: Policy) -> str:
    rules = [sorted(policy.affiliate_ids), sorted(policy.seller_tax_ids), str(policy.tracking_grace)]
    return hashlib.sha256(repr(rules).encode()).hexdigest()[:16]


def _pace(settings: CheckerSettings, pace: int | None) -> int:
    most = settings.requests_per_minute_of_all
    if pace and pace > most:
        raise NotUnderstood(
            f"--pace {pace} is more than the stack may ask of VTEX: {most} a minute (VtexRequestsPerMinute)."
        )
    return pace or commands_share(settings)


def _run(
    of: Shop, account: str, days: Period, requests_per_minute: int, kept: Notes, *, every_affiliate: bool
) -> Result:
    """List and read; whatever ends it early says how to go on."""
    if kept.why_anew:
        err.print(f"What a former run found does not count, for {kept.why_anew}: everything is read anew.")
    result = Result(Chosen.nothing())
    try:
        with _beginning(of, account, requests_per_minute) as backfill:
            with err.status("listing orders") as status:
                result.chosen = backfill.pick(
                    days.begin,
                    days.end,
                    lambda rows: status.update(f"listing orders: {rows:,}"),
                    every_affiliate=every_affiliate,
                )
            _read(backfill, account, requests_per_minute, kept, result)
    except (KeyboardInterrupt, Stopped):
        err.print(
            f"\nInterrupted after {orders(len(result.found))}. The same command goes on from there, within a day."
        )
        raise typer.Exit(INTERRUPTED) from None
    except Trouble as trouble:
        how = "The same command goes on where this one stopped, within a day." if result.found else "Nothing was read."
        raise Trouble(f"{str(trouble).rstrip('.')}. {how}") from None
    return result


@contextmanager
def _beginning(of: Shop, account: str, requests_per_minute: int) -> Iterator[Backfill]:
    vtex = of.vtex(requests_per_minute, transport=transport())
    with SharedBackoff(vtex, of.ledger, of.table).kept_for([account]):
        try:
            with Backfill(
                account, vtex, of.settings_of(account).policy, claims_of(of.table),
                requests_per_minute=requests_per_minute, note_backoff_at=_note_backoff,
            ) as backfill:  # fmt: skip
                yield backfill
        finally:
            vtex.answers.clear()  # the figures are the functions' own


def _read(backfill: Backfill, account: str, requests_per_minute: int, kept: Notes, result: Result) -> None:
    """Read and judge the orders that no former run has judged."""
    for order_id in result.chosen.order_ids:
        if former := kept.found.get(order_id):
            result.found[order_id] = former
            backfill.remember(former)
    _announce(account, len(result.chosen.order_ids), len(result.found), requests_per_minute)
    left = [order_id for order_id in result.chosen.order_ids if order_id not in result.found]
    with _progress(result) as tell:
        for found in backfill.read(left):
            kept.add(found, datetime.now(UTC))
            result.found[found.order_id] = found
            tell()


def _announce(account: str, number: int, done: int, requests_per_minute: int) -> None:
    if number > done:
        going_on = f", {done:,} of them by a former run" if done else ""
        minutes = math.ceil((number - done) / requests_per_minute)
        err.print(
            f"{number:,} orders of {account}{going_on}; at {requests_per_minute:,} a minute about {minutes:,} min."
        )


@contextmanager
def _progress(result: Result) -> Iterator[Callable[[], None]]:
    columns = (
        TextColumn("reading"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failing]} failing"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=err, transient=True, expand=True, disable=not err.is_terminal) as progress:
        failing = len(result.failing)
        number = len(result.chosen.order_ids)
        task = progress.add_task("", total=number, completed=len(result.found), failing=failing)

        def tell() -> None:
            last = next(reversed(result.found.values()))
            nonlocal failing
            failing += last.is_failing
            progress.update(task, completed=len(result.found), failing=failing)

        yield tell


def _note_backoff(wait: float) -> None:
    err.print(f"VTEX limits the rate; going on in {wait:.0f} s.")


def _known(of: Shop, account: str, result: Result) -> dict[str, str]:
    """Return how the stack has the failing ones."""
    known = {}
    for some in batched(result.failing, _AT_ONCE, strict=False):
        for ref, entry in of.ledger.read([OrderRef(account, one.order_id) for one in some]).entries.items():
            if entry.archived or entry.has_open_failure:
                known[ref.order_id] = entry.archived or "open"
    return known


def _usual_csv(about: About) -> Path:
    return Path(f"backfill-{about.account}-{about.begin}-{about.end}.csv")


def _tell(of: Shop, result: Result, about: About, form: Format, path: Path | None) -> None:
    if form is Format.JSON:
        write(out, as_json(backfill_report.document(result, about)))
    elif form is Format.CSV:
        write(out, backfill_report.csv(result, about.account))
    elif result.failing:
        show(out, backfill_report.TABLE, backfill_report.cells(result, about.account))
        path = path or _usual_csv(about)
    if path:
        save(path, backfill_report.spreadsheet(result, about.account, of.style))
        say(err, f"The same for spreadsheets: {path}")
    for told in backfill_report.summary(result):
        say(err, told)


def _open(of: Shop, account: str, result: Result) -> None:
    """Queue the failing ones, and before them those whose keys they show: of two with one key the first owns it."""
    owners = [error.reused_in for one in result.failing for error in one.errors if error.reused_in]
    order_ids = list(dict.fromkeys([*owners, *(one.order_id for one in result.failing)]))
    events = [Event(own_event(OrderRef(account, name)), str(uuid.uuid4()), SOURCE) for name in order_ids]
    taken = queue(of, events)
    if len(taken) < len(events):
        raise Trouble(
            f"The hook queue took {len(taken)} of {len(events)} orders. Run the same command again; {NOT_SENT}."
        )
    if events:
        are = "is" if len(events) == 1 else "are"
        say(err, f"{orders(len(events))} {are} queued for a check; what fails is reported as usual.")
