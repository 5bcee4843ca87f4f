"""`invoicekey explain`: an order's whole story, from the ledger and the functions' logs."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from invoicekey.ledger.entries import CORRUPT, Entry
from invoicekey.ledger.lists import DeferredAlert
from invoicekey.messages.fields import order_url
from invoicekey.rules.notification import OrderRef
from operations.deployment.order_ids import named
from operations.deployment.shop import Shop
from operations.deployment.stack import Trouble
from operations.health import story
from operations.health.story import Dead, LogLine
from operations.tasks.redrive import DeadLetters
from operations.terminal.cli import FAILING, IN_THE_WAY, err, out
from operations.terminal.plain import date, plainly, say

LOGS = ("ReceiveHookLogs", "DrainFeedLogs", "CheckInvoiceLogs")


def explain(of: Shop, order: str, account: str | None, days: int) -> int:
    """Tell an order's story; return the exit code."""
    with plainly():
        # An account without credentials has a story too.
        (one,) = named(of, account, [order], in_any_account=True)
        ref = one.ref
        entry, deferred = of.ledger.read([ref]).entries.get(ref), _deferred(of, ref)
        if entry is None:
            raise Trouble(f"{ref.order_id}: {CORRUPT} (docs/runbook.md#ledger-unreadable).")
        troubles: list[Trouble] = []
        with err.status("searching the logs"):
            lines = _read(lambda: _lines(of, ref, datetime.now(UTC) - timedelta(days=days)), troubles, "The logs")
        with err.status("looking at the dead letters"):
            dead = _read(lambda: _dead(of, ref), troubles, "The dead letters")
        if not (entry.version or lines or dead or troubles):
            raise Trouble(_unknown(of, ref, days))
        _tell(of, entry, deferred, dead, lines)
    for trouble in troubles:
        err.print(str(trouble), style="red", markup=False)
    if entry.has_open_failure or dead:
        return FAILING
    return IN_THE_WAY if troubles else 0


def _read[T](look: Callable[[], list[T]], troubles: list[Trouble], what: str) -> list[T]:
    """Return what is there; the story is told all the same where it can't be read."""
    try:
        return look()
    except Trouble as met:
        troubles.append(Trouble(f"{what} could not be read, so what they know is missing here: {met}"))
        return []


def _deferred(of: Shop, ref: OrderRef) -> DeferredAlert | None:
    return next((alert for alert in of.backlog.deferred().get(ref.account, []) if alert.ref == ref), None)


def _dead(of: Shop, ref: OrderRef) -> list[Dead]:
    url = of.deployment.output("HookDeadLetterQueueUrl")
    again = of.command(f"redrive {ref.order_id} --account {ref.account} --yes")
    letters = DeadLetters(partial(of.ask, "sqs"), url).about(ref)
    return [Dead(letter.sent_at, letter.reason, again) for letter in letters]


def _lines(of: Shop, ref: OrderRef, since: datetime) -> list[LogLine]:
    lines = [logged for group in LOGS for logged in _logged(of, group, ref.order_id, since) if logged.is_about(ref)]
    messages = set[str]().union(*(logged.correlations for logged in lines))
    if messages:
        # These lines name the message alone.
        dead = _logged(of, "CheckInvoiceLogs", story.DEAD_LETTERS, since)
        lines += [logged for logged in dead if logged.message == story.DEAD_LETTERS and logged.correlations & messages]
    return lines


def _logged(of: Shop, group: str, term: str, since: datetime) -> Iterator[LogLine]:
    name = of.resource(group)
    query = {"logGroupName": name, "filterPattern": f'"{term}"', "startTime": int(since.timestamp() * 1000)}
    while True:
        page = of.ask("logs", "filter_log_events", **query)
        yield from filter(None, map(LogLine.read, page.get("events", [])))
        if not page.get("nextToken"):
            return
        query["nextToken"] = page["nextToken"]


def _tell(of: Shop, entry: Entry, deferred: DeferredAlert | None, dead: list[Dead], lines: list[LogLine]) -> None:
    ref, timezone = entry.ref, of.style.timezone
    say(out, story.summary(ref, entry), style="bold")
    say(out, order_url(ref.account, ref.order_id))
    out.print()
    day = ""
    for moment in story.moments(entry, lines, timezone):
        today = story.day(moment.at, timezone)
        if today != day:
            say(out, f"{today} ({timezone})" if not day else today, style="bold")
        day = today
        say(out, moment.what, indent=2, lead=f"{story.clock(moment.at, timezone)}  ")
    if entry.version or dead:
        out.print()
        say(out, "Now", style="bold")
        for told in story.standing(entry, deferred, dead, datetime.now(UTC), lambda when: date(when, of)):
            say(out, told, indent=2)


def _unknown(of: Shop, ref: OrderRef, days: int) -> str:
    look = of.command(f"check {ref.order_id} --account {ref.account}")
    return (
        f"Nobody here knows the order {ref.order_id} of {ref.account}: it is not in the ledger, nor in the logs of the "
        f"last {days} days. Read it at VTEX: {look}"
    )
