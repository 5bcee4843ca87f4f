"""An order's story: what the ledger holds of it, and what the functions logged about it, in plain words."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from invoicekey.ledger.entries import Entry, Report
from invoicekey.ledger.failures import Episode, Shown
from invoicekey.ledger.lists import DeferredAlert
from invoicekey.messages import texts
from invoicekey.messages.fields import CloseReason, RecordType
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.verdict import Outcome
from operations.terminal.plain import line

CHECKED, QUEUED, FROM_FEED = "order checked", "hook queued", "feed event queued"
DEAD_LETTERS = "a message went to the dead-letter queue"
_SAME_MOMENT, _SOON = timedelta(seconds=30), timedelta(hours=1)
_TYPES: Mapping[str, str] = {
    RecordType.FAILING: "failing",
    RecordType.RESOLVED: "resolved",
    RecordType.EXPIRED: "expired, its last notice",
}
REASONS: Mapping[str, str] = {
    "malformed": "it is no notification, and can never succeed",
    "not_found": "VTEX did not know the order: mostly the wrong account",
    "gave_up": "VTEX or AWS failed for 24 hours",
    "no_credentials": "VTEX refused the credentials for 24 hours",
    "none": "the function died with it 200 times",
}
"""Why a message is a dead letter, by the reason that it carries; `none` where SQS itself moved it."""
_BROUGHT_BY: Mapping[str, str] = {
    "hook": "VTEX's hook",
    "feed": "VTEX's feed",
    "recheck": "the re-check that was due",
    "backfill": "a back-fill",
    "redrive": "a redrive of dead letters",
    "undismiss": "a dismissal that was taken back",
    "command": "the command recheck",
    "desk": "the desk",
}
"""What brings an order in, by the source of its message."""
_ENDS: Mapping[str, str] = {
    CloseReason.OK: "the key was right",
    CloseReason.CANCELED: "the order was canceled",
    CloseReason.RETURNED: "the order was returned",
    CloseReason.NOT_INVOICED: "the order is no longer invoiced",
    CloseReason.NOT_FOUND: "VTEX no longer knows the order",
    Outcome.OTHER_MARKETPLACE: "by CnovaAffiliateIds it is no order of CNova",
}
"""Why a failure was closed, by the reason that its episode keeps; a dismissal or an expiry is told as itself."""
_BY_LINK = re.compile(r"(look asked for|dismissed|snoozed|snooze ended|taken back) by (link|a person)")
_UNTIL = re.compile(r"(snoozed by .+ until )(\S+)")

type Date = Callable[[datetime], str]


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a function logged: one JSON object."""

    at: datetime
    fields: Mapping[str, Any]

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> "LogLine | None":
        """Read an event of CloudWatch Logs; None where it is no line of ours."""
        try:
            fields = json.loads(event["message"])
        except ValueError:
            return None
        at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
        return cls(at, fields) if isinstance(fields, dict) and "message" in fields else None

    @property
    def message(self) -> str:
        """Return what was logged."""
        return str(self.fields["message"])

    @property
    def correlations(self) -> set[str]:
        """Return the messages that it is about."""
        ids = [*self.fields.get("correlation_ids", ()), self.fields.get("correlation_id")]
        return {str(one) for one in ids if one}

    def is_about(self, ref: OrderRef) -> bool:
        """Say whether it names the order."""
        return (self.fields.get("account"), self.fields.get("order_id")) == (ref.account, ref.order_id)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened."""

    at: datetime
    what: str


def moments(entry: Entry, lines: Collection[LogLine], timezone: str) -> list[Moment]:
    """Return what happened, in the order of events: of what both tell, what the functions logged."""
    logged = [Moment(line.at, _told(line)) for line in sorted(lines, key=lambda line: line.at)]
    queued = [line.at for line in lines if line.message in {QUEUED, FROM_FEED}]
    checks = [line.at for line in lines if line.message == CHECKED]
    heard = [] if _are_near(entry.first_seen_at, queued) else list(_first_seen(entry, lines))
    # In this order where two are of the same moment.
    return sorted([*heard, *logged, *_of_ledger(entry, checks, timezone)], key=lambda moment: moment.at)


def _are_near(moment: datetime | None, others: Collection[datetime]) -> bool:
    return moment is not None and any(abs(moment - other) < _SAME_MOMENT for other in others)


def _first_seen(entry: Entry, lines: Collection[LogLine]) -> Iterator[Moment]:
    if entry.first_seen_at:
        checks = sorted((line for line in lines if line.message == CHECKED), key=lambda line: line.at)
        first = next(iter(checks), None)
        brought = _brought(first.fields) if first and _is_soon(entry.first_seen_at, first.at) else ""
        yield Moment(entry.first_seen_at, f"the stack first saw the order{brought}")


def _is_soon(moment: datetime, later: datetime) -> bool:
    return moment <= later < moment + _SOON


def _of_ledger(entry: Entry, checks: Collection[datetime], timezone: str) -> Iterator[Moment]:
    if entry.checked_at and not _are_near(entry.checked_at, checks):
        yield Moment(entry.checked_at, f"read at VTEX and judged: {entry.outcome} (its last check, by the ledger)")
    for at, what in _turns(entry):
        yield Moment(_after_its_check(at, checks), what)
    for kept in entry.acts:
        when, what = act(kept)
        if when:
            yield Moment(when, _plain_act(what, timezone))


def _turns(entry: Entry) -> Iterator[tuple[datetime, str]]:
    """Yield when its failures were opened and closed; of one that an older version wrote, the last of each."""
    for episode in entry.episodes:
        yield episode.opened_at, "its failure was opened"
        if episode.closed_at and (why := _ENDS.get(episode.reason or "")):
            yield episode.closed_at, f"its failure was closed: {why}"
    if not entry.episodes and entry.opened_at:
        yield entry.opened_at, "its failure was opened"
    if entry.mended_at and entry.mended_at not in {episode.closed_at for episode in entry.episodes}:
        yield entry.mended_at, f"its failure was closed: {_ENDS[CloseReason.OK]}"


def _plain_act(what: str, timezone: str) -> str:
    """Say what somebody did, where an act keeps it in the ledger's words."""
    if until := _UNTIL.fullmatch(what):
        with suppress(ValueError):
            what = until[1] + day(datetime.fromisoformat(until[2]), timezone)
    if known := _BY_LINK.match(what):
        done = "a look was asked for" if known[1] == "look asked for" else known[1]
        by = "a link to the desk" if known[2] == "link" else known[2]
        return f"{done} by {by}{what[known.end() :]}"
    return what


def _after_its_check(moment: datetime, checks: Collection[datetime]) -> datetime:
    """Return when the check was logged that wrote something: it notes its time, writes and sends, and logs at last."""
    return min((check for check in checks if moment <= check < moment + _SAME_MOMENT), default=moment)


def act(kept: str | None) -> tuple[datetime | None, str]:
    """Take apart what the ledger keeps of what a person did: when, and what or why."""
    when, _, reason = (kept or "").partition(" ")
    try:
        return datetime.fromisoformat(when), line(reason, 240)
    except ValueError:
        return None, line(kept, 240)


def archived(entry: Entry, date: Date) -> str:
    """Say since when and why a failure is archived: `dismissed 3 Mar 2026, 11:54: updated in the portal`."""
    when, reason = act(entry.archived_why)
    return f"{entry.archived}{f' {date(when)}' if when else ''}{f': {reason}' if entry.archived_why else ''}"


def _told(logged: LogLine) -> str:
    fields = logged.fields
    match logged.message:
        case message if message == QUEUED:
            return "VTEX's hook brought an event, and it was queued"
        case message if message == FROM_FEED:
            return "VTEX's feed brought an event, and it was queued"
        case message if message == DEAD_LETTERS:
            reason = str(fields.get("reason"))
            return f"a message about it went to the dead letters: {REASONS.get(reason, reason)} ({reason})"
        case message if message == CHECKED:
            return _check(fields)
        case message:
            return line(message, 120)


def _check(fields: Mapping[str, Any]) -> str:
    kind = _TYPES.get(str(fields.get("report_type")))
    told = f"; reported as number {fields.get('report')} ({kind})" if kind else ""
    told += _brought(fields)
    if why := fields.get("retry"):
        return f"not checked: {line(str(why), 120)}; it is tried again{told}"
    if "outcome" not in fields:
        yet = "" if fields.get("dead") else " yet"
        return f"read: VTEX does not know the order{yet}{told}"
    problems = f" ({', '.join(fields['problems'])})" if fields.get("problems") else ""
    if prefix := fields.get("passed_over"):
        return f"not read: by its prefix ({line(str(prefix), 10)}) it is another marketplace's{told}"
    suspect = "; it smells of CNova: is CnovaAffiliateIds right?" if fields.get("is_suspect") else ""
    return f"read at VTEX and judged: {fields['outcome']}{problems}{suspect}{told}"


def _brought(fields: Mapping[str, Any]) -> str:
    sources = [_BROUGHT_BY.get(str(one), line(str(one), 40)) for one in fields.get("sources", ())]
    return f"; brought by {' and '.join(sources)}" if sources else ""


@dataclass(frozen=True, slots=True)
class Dead:
    """A message about the order that lies in the dead-letter queue, and what sends it back."""

    since: datetime
    reason: str
    redrive: str


def standing(
    entry: Entry, deferred: DeferredAlert | None, dead: Sequence[Dead], now: datetime, date: Date
) -> Iterator[str]:
    """Say how the order stands now, a line each."""
    for letter in dead:
        why = REASONS.get(letter.reason, letter.reason)
        yield f"It lies in the dead letters since {date(letter.since)}, because {why} ({letter.reason})."
        yield f"Once that is over: {letter.redrive}"
    if not entry.version:
        return
    yield f"{_state(entry, now, date)}."
    for before in _before(entry):
        yield f"{_failed(before, date)}."
    if entry.errors:
        yield f"Its errors: {'; '.join(errors(entry))}."
    if entry.report:
        yield f"{_report(entry, deferred, date)}."
    if entry.recheck_at:
        is_due = entry.recheck_at <= now
        yield "It is due to be read again." if is_due else f"It is read again {date(entry.recheck_at)}."
    if entry.claims:
        yield f"{_owned(sorted(entry.claims))} is reported as reused."


def _state(entry: Entry, now: datetime, date: Date) -> str:
    if entry.archived:
        return f"It is archived ({archived(entry, date)}): it opens again only when its errors change"
    if entry.has_open_failure and entry.opened_at:
        return f"It is open as failing since {date(entry.opened_at)}{_snoozed(entry, now, date)}"
    if entry.outcome is None:
        return "Its first check has not ended yet"
    return f"Nothing is open; it was last found {entry.outcome}"


def _snoozed(entry: Entry, now: datetime, date: Date) -> str:
    if entry.snoozed_until is None or entry.snoozed_until <= now:
        return ""
    return f", and snoozed: nobody is reminded of it before {date(entry.snoozed_until)}, unless its errors change"


def _before(entry: Entry) -> list[Episode]:
    """List its failures but the one that is told as its state."""
    is_told = entry.has_open_failure or entry.archived is not None
    return list(entry.episodes[:-1] if is_told else entry.episodes)


def _failed(episode: Episode, date: Date) -> str:
    told = f"It failed before: opened {date(episode.opened_at)}"
    if episode.closed_at is None:
        return told
    return f"{told}, closed {date(episode.closed_at)} ({_ENDS.get(episode.reason or '', episode.reason)})"


def errors(entry: Entry) -> list[str]:
    """Say what is wrong with an order, an invoice an entry: `missing (invoice 643797)`."""
    return [_error(error) for error in entry.errors]


def _error(error: Shown) -> str:
    invoice = f" (invoice {line(error.invoice_number)})" if error.invoice_number else ""
    return f"{error.code}{invoice}{', a key is suggested' if error.has_suggestion else ''}"


def _report(entry: Entry, deferred: DeferredAlert | None, date: Date) -> str:
    report = entry.report
    if report is None:
        return ""
    name = f"Its last report is number {report.number} ({_TYPES.get(report.type, report.type)})"
    if not report.is_delivered:
        missing = [what for what, is_sent in (("record", report.recorded), ("alert", report.alerted)) if not is_sent]
        return f"{name}; its {' and its '.join(missing)} is not noted as sent, and is sent again after " + date(
            report.lease_until
        )
    if deferred:
        return (
            f"{name}: its record is sent, and nobody is notified yet: its alert ({deferred.kind}) is deferred to the "
            f"next digest since {date(deferred.since)}"
        )
    if not _alerts(report):
        return f"{name}: its record is sent; people get no alert of that"
    if entry.is_in_digests:
        return f"{name}: its record is sent, and a digest has told of it"
    return f"{name}: its record and its alert are sent"


def _alerts(report: Report) -> bool:
    """Say whether people are alerted by a report: of a close, only where the key was right."""
    if report.type != RecordType.RESOLVED:
        return True
    with suppress(ValueError, KeyError, TypeError):
        return bool(json.loads(report.record)["data"]["reason"] == CloseReason.OK)
    return True


def _owned(keys: Sequence[str]) -> str:
    if len(keys) == 1:
        return f"It owns the key {keys[0]}: another order that shows it"
    return f"It owns the keys {', '.join(keys)}: another order that shows one of them"


def summary(ref: OrderRef, entry: Entry) -> str:
    """Name the order and what became of it."""
    return f"{ref.order_id} of {ref.account}: {entry.archived or entry.outcome or 'not checked yet'}"


def day(moment: datetime, timezone: str) -> str:
    """Write a day on the shop's calendar."""
    local = texts.local(moment, timezone)
    return f"{local.day} {local:%b %Y}"


def clock(moment: datetime, timezone: str) -> str:
    """Write a time of day, to the second."""
    return f"{texts.local(moment, timezone):%H:%M:%S}"
