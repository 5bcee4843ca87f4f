"""A batch of messages of the hook queue: check their orders side by side, send the reports, settle each.

A message that is neither done nor dead goes back to the queue with a wait of its own. Nothing sleeps
here but for the pace of VTEX.
"""

import random
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from invoicekey.delivery.queues import FEED, RECHECK, Message, Outlets
from invoicekey.ledger.entries import SPOILT, Entry, HeldBack, Ledger, Page
from invoicekey.messages.record import RecordType
from invoicekey.rules.notification import (
    AccountRefused,
    ForeignOrderId,
    Malformed,
    OrderRef,
    event_id,
    order_ref,
    parse,
    says_invoiced,
)
from invoicekey.rules.policy import Limit
from invoicekey.rules.verdict import Outcome
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import CredentialsRefused, LedgerAway, OutOfTime, SilenceAsked, TryAgainLater
from invoicekey.runtime.telemetry import logger
from invoicekey.vtex.client import Vtex
from invoicekey.work.check import Clock, DeadLetterReason, Finding, Heard, OrderCheck

PARALLEL = 10
GIVE_UP_AFTER = timedelta(hours=24)
LONGEST_RETRY = 3600.0
DEATHS_OF_A_SUSPECT = 2
MOST_UNNOTED = 5000
"""So many put-backs are kept until the ledger can note them."""
LEAST_HIDDEN_SECONDS = 180.0
"""As the queue hides what it hands out: so long a message that may kill the function is hidden at the least."""
SETTLING_SECONDS = 3.5
"""Kept free at the very end, to send the reports of what did end in time and to put messages back."""


@dataclass(slots=True)
class Case:
    """One order of a batch: its messages and what the ledger holds of it."""

    ref: OrderRef
    messages: list[Message]
    entry: Entry

    @property
    def heard(self) -> Heard:
        """Sum up the events that caused the check."""
        first = datetime.fromtimestamp(min(message.sent_at for message in self.messages), UTC)
        events = [(event, message.source) for message in self.messages if (event := _event(message))]
        of_hook = tuple(event for event, source in events if source != FEED)
        is_said = any(says_invoiced(_body(message)) for message in self.messages)
        return Heard(first, tuple(event for event, _ in events), of_hook, says_invoiced=is_said)

    @property
    def is_known(self) -> bool:
        """Say whether all that is new here is what the feed repeats of events whose checks have ended."""
        is_told = self.entry.report is None or self.entry.report.is_told
        return is_told and all(m.source == FEED and _event(m) in self.entry.events for m in self.messages)


@dataclass(slots=True)
class _Waits:
    """The messages of a batch that go back."""

    ids: set[str] = field(default_factory=set)
    due: dict[str, tuple[Message, float]] = field(default_factory=dict)
    """Those that SQS is still to be told of, and after how many seconds they are to come."""

    def add(self, message: Message, seconds: float) -> None:
        self.ids.add(message.id)
        self.due[message.id] = (message, seconds)

    def take_due(self) -> list[tuple[Message, float]]:
        due, self.due = list(self.due.values()), {}
        return due


def _ten_threads() -> Executor:
    return ThreadPoolExecutor(PARALLEL, thread_name_prefix="check")


class BatchCheck:
    """Checks batches, one after the other, in one environment."""

    def __init__(
        self,
        vtex: Vtex,
        ledger: Ledger,
        outlets: Outlets,
        order_check: OrderCheck,
        retry_base: timedelta,
        limit: Limit,
        *,
        longest_grace: timedelta = timedelta(0),
        make_pool: Callable[[], Executor] = _ten_threads,
    ) -> None:
        self._vtex = vtex
        self._ledger = ledger
        self._outlets = outlets
        self._order_check = order_check
        self._retry_base = retry_base.total_seconds()
        self._limit = limit
        self._longest_grace = longest_grace.total_seconds()
        self._unnoted: deque[str] = deque(maxlen=MOST_UNNOTED)
        self._checks = make_pool()
        self._notes = make_pool()  # apart, so that checks that hang do not keep what was sent from being noted

    def check(self, messages: Sequence[Message], clock: Clock) -> set[str]:
        """Check the orders that the messages are about; return the ids of the messages that go back to the queue."""
        waits = _Waits()
        self._measure_age(messages, clock)
        cases = self._open_cases(messages, clock, waits)
        while cases:
            findings = self._check_side_by_side(cases, clock)
            told = self._send([finding.report for finding in findings if finding.report], clock)
            for case, finding in zip(cases, findings, strict=True):
                self._settle(case, finding, told, clock, waits)
            left_over = [case for case, found in zip(cases, findings, strict=True) if _is_left_over(found, told)]
            cases = self._read_anew(left_over, clock, waits)
        self._share_silences()
        self._put_back(waits)
        return waits.ids

    def _measure_age(self, messages: Sequence[Message], clock: Clock) -> None:
        """Measure how late the oldest message is; one that waits for its order's grace is not late."""
        oldest = min((message.sent_at for message in messages), default=clock.now().timestamp())
        late = clock.now().timestamp() - oldest - self._longest_grace
        telemetry.measure_seconds("oldest_check_age", max(0.0, late))

    def _open_cases(self, messages: Sequence[Message], clock: Clock, waits: _Waits) -> list[Case]:
        """Group the messages by order and read the ledger; what can't be a notification is buried.

        What is about an order that can't be CNova's is done: to keep it would be to keep another marketplace's events.
        """
        by_order: dict[OrderRef, list[Message]] = {}
        for message in messages:
            try:
                by_order.setdefault(order_ref(parse(message.body)), []).append(message)
            except (Malformed, AccountRefused):
                self._bury(message, DeadLetterReason.MALFORMED, waits)
            except ForeignOrderId as foreign:
                telemetry.count("check_foreign_order_id")
                logger.info("an order that cannot be CNova's", extra=_of_foreign(foreign, message))
        if not by_order:
            return []
        self._make_up_for_notes(clock)
        often = [message.id for group in by_order.values() for message in group if _may_be_a_suspect(message)]
        try:
            page = self._ledger.read(by_order, often)
        except TryAgainLater as trouble:
            self._postpone(by_order, trouble, clock, waits)
            return []
        for account, until in page.silent_until.items():
            self._vtex.be_silent(account, until)
        cases = self._cases(by_order, page, clock, waits)
        for case in cases:
            _count_feed(case)
        return self._suspect_alone([case for case in cases if not case.is_known], page, clock, waits)

    def _cases(self, by_order: Mapping[OrderRef, list[Message]], page: Page, clock: Clock, waits: _Waits) -> list[Case]:
        """Put messages and ledger together; those of items that are spoilt go back."""
        spoilt = {ref: group for ref, group in by_order.items() if ref not in page.entries}
        self._postpone(spoilt, TryAgainLater(SPOILT), clock, waits)
        return [Case(ref, by_order[ref], entry) for ref, entry in page.entries.items()]

    def _postpone(
        self, by_order: Mapping[OrderRef, list[Message]], trouble: TryAgainLater, clock: Clock, waits: _Waits
    ) -> None:
        """Put back the messages of orders that are not checked for something in the ledger."""
        for ref, group in by_order.items():
            case, finding = Case(ref, group, Entry(ref)), Finding(retry=trouble)
            _log(case, finding)
            self._settle(case, finding, set(), clock, waits)

    def _suspect_alone(self, cases: list[Case], page: Page, clock: Clock, waits: _Waits) -> list[Case]:
        """Where a message has killed the function twice, keep its order alone; the others go back before it is checked.

        It is hidden ever longer in case it kills again: by age it is to be given up, and never by count.
        """
        suspects = [case for case in cases if any(_deaths(m, page) >= DEATHS_OF_A_SUSPECT for m in case.messages)]
        if not suspects:
            return cases
        alone = suspects[0]
        logger.warning("an order is checked alone: the function died with it", extra=_ids(alone))
        for case in cases:
            for message in case.messages if case is not alone else ():
                waits.add(message, 0)
        self._put_back(waits)
        for message in [m for m in alone.messages if _deaths(m, page) >= DEATHS_OF_A_SUSPECT and _is_old(m, clock)]:
            self._bury(message, DeadLetterReason.GAVE_UP, waits)
            alone.messages.remove(message)
        self._change_visibility([(m, max(LEAST_HIDDEN_SECONDS, self._growing_wait(m))) for m in alone.messages])
        return [alone] if alone.messages else []

    def _check_side_by_side(self, cases: Sequence[Case], clock: Clock) -> list[Finding]:
        """Check the cases in parallel; what does not end in time goes back, whatever it waits for."""
        futures = [self._checks.submit(self._order_check.check, case.entry, case.heard, clock) for case in cases]
        wait(futures, timeout=max(0.0, clock.seconds_left() - SETTLING_SECONDS))
        findings = [_result(future, case) for future, case in zip(futures, cases, strict=True)]
        for case, finding in zip(cases, findings, strict=True):
            _log(case, finding)
            _count(finding)
        while self._vtex.answers:
            telemetry.count_answer(*self._vtex.answers.popleft())
        return findings

    def _send(self, entries: Sequence[Entry], clock: Clock) -> set[OrderRef]:
        """Send the records, then the alerts, noting each; return the orders whose reports are told."""
        if not entries:
            return set()
        told = {entry.ref for entry in entries}
        unrecorded = [entry for entry in entries if entry.report and not entry.report.recorded]
        recorded = self._noted(self._outlets.send_records(unrecorded), self._ledger.note_recorded)
        telemetry.count("report_recorded", len(recorded))
        told -= {entry.ref for entry in unrecorded} - recorded
        unalerted = [entry for entry in entries if entry.report and not entry.report.alerted and entry.ref in told]
        silent = [entry for entry in unalerted if entry.report and entry.report.alert is None]
        going_out, held_back = self._share_turns([entry for entry in unalerted if entry not in silent], clock)
        alerted = self._noted(self._outlets.publish_alerts(going_out), self._ledger.note_alerted)
        telemetry.count("alert_published", len(alerted))
        called_off = self._noted(silent, self._ledger.note_alerted)
        held = self._noted(held_back, lambda entry: self._ledger.note_held_back(entry, _held_back(entry, clock)))
        told -= {entry.ref for entry in unalerted} - alerted - held - called_off
        telemetry.count("alert_held_back", len(held))
        return told

    def _share_turns(self, entries: Sequence[Entry], clock: Clock) -> tuple[list[Entry], list[Entry]]:
        """Part the alerts that go out now from those that wait for a digest.

        Whose failure was told in a digest is told resolved there too. Without the ledger nothing goes out.
        """
        going_out: list[Entry] = []
        held_back: list[Entry] = []
        kinds: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            if entry.is_in_digests and _kind(entry) != FAILING:
                held_back.append(entry)
            else:
                kinds.setdefault((entry.ref.account, _kind(entry)), []).append(entry)
        for (account, kind), group in kinds.items():
            try:
                turns = self._ledger.take_turns(account, kind, len(group), clock.now(), self._limit)
            except TryAgainLater as trouble:
                logger.warning("no alert goes out without the ledger", extra={"account": account, "why": trouble.why})
                continue
            going_out += group[:turns]
            held_back += group[turns:]
        return going_out, held_back

    def _noted(self, entries: Iterable[Entry], note: Callable[[Entry], None]) -> set[OrderRef]:
        def try_to_note(entry: Entry) -> OrderRef | None:
            try:
                note(entry)
            except Exception as error:  # noqa: BLE001 - an unnoted report is sent again after its lease, whatever failed
                logger.warning("a report was sent but not noted", extra={"error": type(error).__name__})
                return None
            return entry.ref

        return {ref for ref in self._notes.map(try_to_note, entries) if ref}

    def _settle(self, case: Case, finding: Finding, told: set[OrderRef], clock: Clock, waits: _Waits) -> None:
        """Decide what becomes of the messages of a case: done, dead, or back to the queue.

        What is written down and untold is never given up, nor what the ledger may hold of it while it gives no answer:
        the message may be all that brings it about.
        """
        now = clock.now()
        is_untold = finding.report is not None and case.ref not in told
        if finding.report and is_untold:
            trouble = TryAgainLater("the report could not be told", wait=_lease_left(finding.report, now))
            finding = Finding(retry=trouble)
        for message in case.messages:
            if finding.retry and not is_untold and _counts_towards_giving_up(finding.retry) and _is_old(message, clock):
                self._give_up(case, message, finding, waits)
            elif finding.dead:
                self._bury(message, finding.dead, waits)
            elif finding.retry:
                waits.add(message, self._retry_wait(message, finding.retry))
            elif finding.wait_until:
                left = max(1.0, (finding.wait_until - now).total_seconds() + 1)
                waits.add(message, min(left, self._growing_wait(message)))

    def _give_up(self, case: Case, message: Message, finding: Finding, waits: _Waits) -> None:
        """Bury a message after a day of trouble; but a re-check of an order that could not be read just ends.

        It is no event of VTEX's: the list that it came from has the order as long as it is followed, and queues it
        again. With any other trouble a report may be written down that only the message brings about.
        """
        if message.source == RECHECK and finding.is_unread:
            telemetry.count("recheck_unread")
            logger.warning("a re-check ends unread; the order's next one is queued in time", extra=_ids(case))
            return
        is_refused = isinstance(finding.retry, CredentialsRefused)
        self._bury(message, DeadLetterReason.NO_CREDENTIALS if is_refused else DeadLetterReason.GAVE_UP, waits)

    def _retry_wait(self, message: Message, trouble: TryAgainLater) -> float:
        asked = 0.0 if trouble.wait is None else max(1.0, trouble.wait) * random.uniform(1.0, 1.1)  # noqa: S311
        if isinstance(trouble, OutOfTime):
            return max(1.0, asked)
        return max(asked, self._growing_wait(message))

    def _growing_wait(self, message: Message) -> float:
        """Return a wait that doubles with each receive up to an hour, with jitter."""
        doublings = min(message.receive_count - 1, 12)
        return min(self._retry_base * float(2**doublings), LONGEST_RETRY) * random.uniform(0.5, 1.0)  # noqa: S311

    def _read_anew(self, cases: list[Case], clock: Clock, waits: _Waits) -> list[Case]:
        """Read the ledger again for orders whose left-over report is told now: they are still to be checked."""
        by_order = {case.ref: case.messages for case in cases}
        if not by_order:
            return []
        try:
            page = self._ledger.read(by_order)
        except TryAgainLater as trouble:
            self._postpone(by_order, trouble, clock, waits)
            return []
        return self._cases(by_order, page, clock, waits)

    def _bury(self, message: Message, reason: DeadLetterReason, waits: _Waits) -> None:
        try:
            self._outlets.bury(message, reason)
        except TryAgainLater as trouble:
            waits.add(message, self._retry_wait(message, trouble))
            return
        telemetry.count(f"dead_letter_{reason}")
        logger.error(
            "a message went to the dead-letter queue",
            extra={"reason": reason, "message_id": message.id, "correlation_id": message.correlation_id},
        )

    def _share_silences(self) -> None:
        for account, until in self._vtex.take_new_silences().items():
            try:
                self._ledger.note_silence(account, until)
            except TryAgainLater as trouble:
                logger.warning("a silence could not be shared", extra={"account": account, "why": trouble.why})

    def _put_back(self, waits: _Waits) -> None:
        due = waits.take_due()
        list(self._notes.map(self._note_put_back, [message.id for message, _ in due]))
        self._change_visibility(due)

    def _change_visibility(self, waits: Sequence[tuple[Message, float]]) -> None:
        for message in self._outlets.put_back(waits):
            logger.warning(
                "SQS refused a receipt handle; the message returns when its visibility ends",
                extra={"message_id": message.id},
            )

    def _note_put_back(self, message_id: str) -> bool:
        try:
            self._ledger.note_put_back(message_id)
        except TryAgainLater as trouble:
            self._unnoted.append(message_id)
            logger.warning("a put-back could not be noted", extra={"message_id": message_id, "why": trouble.why})
            return False
        return True

    def _make_up_for_notes(self, clock: Clock) -> None:
        """Note what could not be noted, lest every message that met an outage of the ledger be taken for a killer.

        One first, then ten at once, as long as the ledger takes them and half of the time is left for the batch.
        """
        if not self._unnoted:
            return
        kept_free, at_once = clock.seconds_left() / 2, 1
        while self._unnoted and clock.seconds_left() > kept_free:
            some = [self._unnoted.popleft() for _ in range(min(at_once, len(self._unnoted)))]
            if not all(list(self._notes.map(self._note_put_back, some))):
                break
            at_once = PARALLEL


def _result(future: "Future[Finding]", case: Case) -> Finding:
    if not future.done():
        future.cancel()
        return Finding(retry=TryAgainLater("the check did not end in time"))
    error = future.exception()
    if error is None:
        return future.result()
    # One order's bad luck must not take the batch with it: its messages are tried again and, after a day, buried.
    # The text of the error may hold what the order holds: only its type and place are logged.
    place = traceback.extract_tb(error.__traceback__)[-1]
    logger.error(
        "a check failed unexpectedly",
        extra=_ids(case) | {"error": type(error).__name__, "place": f"{place.name}:{place.lineno}"},
    )
    return Finding(retry=TryAgainLater(f"unexpected {type(error).__name__}"))


def _is_left_over(finding: Finding, told: set[OrderRef]) -> bool:
    return finding.is_left_over and finding.report is not None and finding.report.ref in told


def _lease_left(entry: Entry, now: datetime) -> float:
    return (entry.report.lease_until - now).total_seconds() + 1 if entry.report else 0.0


def _counts_towards_giving_up(trouble: TryAgainLater) -> bool:
    """Say whether a day of this trouble is enough: of waiting for our turn, or for the ledger, it is not."""
    return not isinstance(trouble, OutOfTime | LedgerAway)


def _is_old(message: Message, clock: Clock) -> bool:
    return clock.now().timestamp() - message.sent_at >= GIVE_UP_AFTER.total_seconds()


def _may_be_a_suspect(message: Message) -> bool:
    return message.receive_count > DEATHS_OF_A_SUSPECT


def _deaths(message: Message, page: Page) -> int:
    """Count the receives of a message, before this one, that did not end with it being put back on purpose."""
    return message.receive_count - 1 - page.put_back.get(message.id, 0) if _may_be_a_suspect(message) else 0


def _event(message: Message) -> str | None:
    return event_id(_body(message))


def _body(message: Message) -> dict[str, Any]:
    try:
        return parse(message.body)
    except Malformed:  # nested to the limit, it could be read where less of the stack was used
        return {}


def _kind(entry: Entry) -> str:
    return _KINDS[entry.report.type] if entry.report else FAILING


def _held_back(entry: Entry, clock: Clock) -> HeldBack:
    return HeldBack(_kind(entry), clock.now(), tuple(dict.fromkeys(error.code for error in entry.errors)))


def _count_feed(case: Case) -> None:
    """Count, of the feed's events, which ones only the feed knew: the average is the share that the hook missed."""
    known = {*case.entry.events, *(_event(message) for message in case.messages if message.source != FEED)}
    for message in case.messages:
        if message.source == FEED and message.receive_count == 1:
            telemetry.count("feed_only", 0 if _event(message) in known else 1)


def _ids(case: Case) -> dict[str, object]:
    return {
        "account": case.ref.account,
        "order_id": case.ref.order_id,
        "correlation_ids": [message.correlation_id for message in case.messages],
    }


def _of_foreign(foreign: ForeignOrderId, message: Message) -> dict[str, object]:
    correlation_ids = [message.correlation_id]
    return {"account": foreign.account, "order_id": foreign.order_id, "correlation_ids": correlation_ids}


def _log(case: Case, finding: Finding) -> None:
    """Log the one line about this decision."""
    details = _ids(case)
    if finding.verdict:
        details["outcome"] = finding.verdict.outcome
        details["problems"] = sorted({problem.code for problem in finding.verdict.problems})
        details["is_suspect"] = finding.verdict.is_suspect
    if finding.retry:
        details["retry"] = finding.retry.why
    if finding.dead:
        details["dead"] = finding.dead
    if finding.report and finding.report.report:
        details["report"] = finding.report.report.number
        details["report_type"] = finding.report.report.type
    logger.info("order checked", extra=details)


def _count(finding: Finding) -> None:
    if finding.verdict:
        telemetry.count(f"check_{finding.verdict.outcome}")
        telemetry.count("cnova_order", 0 if finding.verdict.outcome is Outcome.OTHER_MARKETPLACE else 1)
        for problem in finding.verdict.problems:
            telemetry.count(f"problem_{problem.code}")
        if finding.verdict.is_suspect:
            telemetry.count("cnova_suspect")
    if finding.retry:
        telemetry.count(_RETRY_METRICS.get(type(finding.retry), "check_retried"))


FAILING = "failing"
_KINDS: dict[str, str] = {
    RecordType.FAILING: FAILING,
    RecordType.RESOLVED: "resolved",
    RecordType.EXPIRED: "expired",
}

_RETRY_METRICS: dict[type[TryAgainLater], str] = {
    CredentialsRefused: "credentials_refused",
    SilenceAsked: "silence_kept",
    OutOfTime: "check_postponed",
}
