"""The check of one order: read VTEX, judge, write what was found to the ledger.

A report is written with what was found, pending under a lease (an outbox); batch.py delivers it.
docs/architecture/follow-up.md draws the states of an entry.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from invoicekey.delivery.queues import alert_entry
from invoicekey.ledger.entries import DISMISSED, EXPIRED, MOST_CLAIMS, Claim, Entry, KeyTaken, Ledger, Report
from invoicekey.ledger.failures import Shown
from invoicekey.ledger.schedule import FOLLOWED_FOR, next_reading
from invoicekey.messages import alert, fields
from invoicekey.messages.fields import CloseReason, OrderShown, RecordType
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.order import Order
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import (
    OWNS_NO_KEY,
    Circumstances,
    Outcome,
    Verdict,
    judge,
)
from invoicekey.runtime.errors import Conflict, OrderNotFound, OutOfTime, RateLimited, RetryLater
from invoicekey.vtex.client import Vtex
from invoicekey.work import episodes
from invoicekey.work.reported import order_as_reported, pending, problems_as_reported

REPORTING_SECONDS = 5.0
"""Kept free at the end of an invocation for writing, sending and noting."""
UNREAD_FOR = timedelta(hours=12)
"""So long an order is read in vain before its failure expires: half a message's life, for it may have to tell that."""
_TRIES_ON_CONFLICT = 3
_TRIES_ON_TAKEN_KEYS = 3


class DeadLetterReason(StrEnum):
    """Why a message goes to the dead-letter queue."""

    MALFORMED = "malformed"
    NOT_FOUND = "not_found"
    GAVE_UP = "gave_up"
    NO_CREDENTIALS = "no_credentials"


type DeskLink = Callable[[str, str | None], str | None]
"""Returns the address of an order's page on the desk, or with no order of its account's list; None without a desk."""


def no_link(_account: str, _order_id: str | None) -> None:
    """Return no address: the stack has no desk."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the shop has set for checks and reports."""

    policy: Policy
    style: alert.Style
    lease: timedelta
    desk_link: DeskLink = no_link


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of day and the time left of the invocation."""

    seconds_left: Callable[[], float]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    patience: float = math.inf
    """So many seconds at the most is it waited for a turn of an account's rate limit."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What caused a check: when its first event was queued, and the ids of those that have one."""

    at: datetime
    events: tuple[str, ...]
    events_of_hook: tuple[str, ...]
    """Those of them that came by the hook, or by hand: not from the feed."""
    says_invoiced: bool
    """Whether one of them claims that the order became invoiced."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of a check. With no other field set, the order needs nothing more."""

    verdict: Verdict | None = None
    report: Entry | None = None
    """The entry whose report has to be sent before anything else."""
    is_unfinished: bool = False
    """The report is one that another environment left unfinished; the order itself is still to be checked."""
    wait_until: datetime | None = None
    """The end of the order's grace."""
    retry: RetryLater | None = None
    is_unread: bool = False
    """With `retry`: VTEX did not give the order; nothing is written of it but that it is let go."""
    dead: DeadLetterReason | None = None


class _Unread(Exception):
    """VTEX does not give the order, or the one that owns its key; `trouble` says why."""

    def __init__(self, trouble: RetryLater) -> None:
        self.trouble = trouble


class OrderCheck:
    """Checks one order at a time; any number of threads may call it at once."""

    def __init__(self, vtex: Vtex, ledger: Ledger, rules: Rules) -> None:
        self._vtex = vtex
        self._ledger = ledger
        self._rules = rules

    def check(self, entry: Entry, trigger: Trigger, clock: Clock) -> CheckResult:
        """Check the order of a ledger entry, for the events that `trigger` sums up."""
        try:
            for _ in range(_TRIES_ON_CONFLICT):
                try:
                    return self._check(entry, trigger, clock)
                except Conflict:
                    entry = self._ledger.read_one(entry.ref)
        except RetryLater as trouble:
            return CheckResult(retry=trouble)
        return CheckResult(retry=RetryLater("the order was written by others again and again"))

    def _check(self, entry: Entry, trigger: Trigger, clock: Clock) -> CheckResult:
        if entry.report and not entry.report.is_delivered:
            return self._take_over(entry, entry.report, clock)
        try:
            return self._look(entry, trigger, clock)
        except _Unread as unread:
            return replace(
                self._expire_unread(entry, trigger, unread.trouble, clock), retry=unread.trouble, is_unread=True
            )

    def _look(self, entry: Entry, trigger: Trigger, clock: Clock) -> CheckResult:
        """Read the order, judge it, write down what was found."""
        order = self._read(entry.ref, clock)
        now, first_seen = clock.now(), min(trigger.at, entry.first_seen_at or trigger.at)
        checked = replace(
            entry,
            first_seen_at=first_seen,
            checked_at=now,
            recheck_at=next_reading(now, now) if trigger.says_invoiced else None,  # for a second look, see _followed_on
        ).with_events(trigger.events)
        given = Circumstances(entry.ref.account, now, first_seen, entry.has_open_failure)
        if order is None:
            result = self._not_found(entry, replace(checked, claims=frozenset()))
        else:
            result = self._conclude(entry, checked, order, given, clock)
        if result.wait_until:
            self._remember(entry, trigger.events_of_hook)
        return result

    def _remember(self, before: Entry, events: tuple[str, ...]) -> None:
        """Write down the events of an order that waits, so that the feed's copies of them cause no reading.

        Of an event that the feed alone brought the message that waits is the only one: it is to be read again.
        """
        remembering = before.with_events(events)
        if remembering.events != before.events:
            self._ledger.write(remembering)

    def _take_over(self, entry: Entry, report: Report, clock: Clock) -> CheckResult:
        """Wait for another environment's report while its lease lives; after that, send that very report."""
        if clock.now() < report.lease_until:
            left = (report.lease_until - clock.now()).total_seconds()
            raise OutOfTime("another environment is delivering the last report", wait=left)
        _expect_time_to_report(clock)
        renewed = replace(report, lease_until=clock.now() + self._rules.lease)
        return CheckResult(report=self._ledger.write(replace(entry, report=renewed)), is_unfinished=True)

    def _read(self, ref: OrderRef, clock: Clock) -> Order | None:
        time_left = clock.seconds_left() - REPORTING_SECONDS
        if time_left < 1:
            raise OutOfTime("too little time is left to read the order")
        try:
            order = self._vtex.read_order(ref, time_left, clock.patience)
        except OrderNotFound:
            order = None
        except OutOfTime:
            raise
        except RetryLater as trouble:
            raise _Unread(trouble) from trouble
        _expect_time_to_report(clock)
        return order

    def _expire_unread(self, entry: Entry, trigger: Trigger, trouble: RetryLater, clock: Clock) -> CheckResult:
        """Follow an order no longer that can't be read, and whose time is over: its failure expires as it was reported.

        A passing trouble does not do it, nor what says nothing of the order. Who asked for the check still wants it.
        """
        if entry.recheck_at is None or isinstance(trouble, RateLimited):
            return CheckResult()
        now, followed_from = clock.now(), entry.followed_from or _checked(entry)
        if now < max(followed_from + FOLLOWED_FOR, trigger.at + UNREAD_FOR):
            return CheckResult()
        _expect_time_to_report(clock)
        if not entry.has_open_failure:
            let_go = replace(entry, recheck_at=None)
            self._ledger.write(episodes.ended_unreported(let_go, entry, EXPIRED, (), now))
            return CheckResult()
        problems = problems_as_reported(entry) if entry.outcome == Outcome.FAILING else ()
        expired = self._expire(entry, order_as_reported(entry), Verdict(Outcome.FAILING, problems), now)
        return replace(expired, verdict=None)

    def _not_found(self, before: Entry, entry: Entry) -> CheckResult:
        grace_end = _first_seen(entry) + self._rules.policy.invoice_grace
        if entry.is_to_be_closed:
            unknown = Order(order_id=entry.ref.order_id)
            closed = self._close(entry, unknown, Verdict(Outcome.OK), CloseReason.NOT_FOUND)
            return replace(closed, verdict=None, dead=DeadLetterReason.NOT_FOUND)
        if _checked(entry) < grace_end:
            return CheckResult(wait_until=grace_end)
        let_go = replace(entry, recheck_at=None)
        self._pass_over(before, episodes.ended_unreported(let_go, entry, CloseReason.NOT_FOUND, (), _checked(entry)))
        return CheckResult(dead=DeadLetterReason.NOT_FOUND)

    def _conclude(self, before: Entry, entry: Entry, order: Order, given: Circumstances, clock: Clock) -> CheckResult:
        """Judge and write what was found; where another order owns a key, see whether it still does and judge anew."""
        owners: dict[str, str] = {}
        former: dict[str, str] = {}
        for _ in range(_TRIES_ON_TAKEN_KEYS):
            verdict = judge(order, self._rules.policy, replace(given, owners=owners))
            concluded = replace(entry, outcome=verdict.outcome, claims=_claims(entry, verdict), claims_from=former)
            try:
                return self._write_down(before, concluded, order, verdict)
            except KeyTaken as taken:
                for key, claim in taken.claims.items():
                    keeps = self._still_owns(claim, key, given, clock)
                    (owners if keeps else former)[key] = claim.order_id
        raise Conflict

    def _still_owns(self, claim: Claim, key: str, given: Circumstances, clock: Clock) -> bool:
        """Say whether an order still carries the key that it showed first; who mends one order often spoils another."""
        if claim.until <= given.now:
            return False
        owner = self._read(OrderRef(given.account, claim.order_id), clock)
        if owner is None or judge(owner, self._rules.policy, given).outcome in OWNS_NO_KEY:
            return False
        return any(sale.invoice_key == key for sale in owner.sale_invoices)

    def _write_down(self, before: Entry, entry: Entry, order: Order, verdict: Verdict) -> CheckResult:
        """Write to the ledger what the verdict calls for; where that is news, the report is in the same write.

        An order that waits needs no write: it is checked again.
        """
        match verdict.outcome:
            case Outcome.WAITING:
                return CheckResult(verdict, wait_until=verdict.wait_until)
            case Outcome.CANCELED | Outcome.RETURNED | Outcome.NOT_INVOICED | Outcome.OK if entry.is_to_be_closed:
                return self._close(entry, order, verdict, CloseReason(verdict.outcome.value))
            case Outcome.FAILING if entry.errors_reported != fingerprint(verdict):
                return self._open(entry, order, verdict)
            case Outcome.FAILING | Outcome.OTHER_MARKETPLACE if _is_over(entry):
                return self._expire(entry, order, verdict, _checked(entry))
            case Outcome.CANCELED | Outcome.RETURNED | Outcome.NOT_INVOICED | Outcome.OTHER_MARKETPLACE:
                self._pass_over(before, _ended_unreported(_followed_on(entry), entry, verdict))
            case Outcome.OK:
                self._ledger.write(_ended_unreported(_settled(entry, verdict), entry, verdict))
            case Outcome.FAILING:  # pragma: no branch - mypy sees that there is no other outcome
                named = fields.shown(order.marketplace_order_id)  # a former version kept none
                still = replace(_still_failing(entry, verdict), errors=_shown(verdict), marketplace_order_id=named)
                self._ledger.write(still)
        return CheckResult(verdict)

    def _pass_over(self, before: Entry, entry: Entry) -> None:
        """Write an entry of which there is nothing to report: a slower check of an older reading must meet a conflict.

        No grace begins with it, so when the order was first seen stays as it was.
        """
        self._ledger.write(replace(entry, first_seen_at=before.first_seen_at))

    def _open(self, entry: Entry, order: Order, verdict: Verdict) -> CheckResult:
        now = _checked(entry)
        notice = alert.failing(
            entry.ref.account, order, verdict.problems, self._rules.style,
            mended_at=None if entry.has_open_failure else entry.mended_at, desk_link=self._desk_link(entry),
        )  # fmt: skip
        with_episode = episodes.opened(entry, verdict, (entry.opened_at if entry.has_open_failure else None) or now)
        opened = replace(
            with_episode,
            errors_reported=fingerprint(verdict),
            errors=_shown(verdict),
            archived=None,
            archived_why=None,
            opened_at=with_episode.episodes[-1].opened_at,
            snoozed_until=None,
            marketplace_order_id=fields.shown(order.marketplace_order_id),
            followed_from=now,
            recheck_at=next_reading(now, now),
        )
        return self._report(opened, RecordType.FAILING, order, verdict, notice, now=now)

    def _expire(self, entry: Entry, order: OrderShown, verdict: Verdict, now: datetime) -> CheckResult:
        """Let a failure expire, with one last alert; with none where by now the settings say that it is not ours."""
        notice = None
        if verdict.errors:
            opened_at, style = entry.opened_at or now, self._rules.style
            notice = alert.expired(
                entry.ref.account, order, verdict.problems, opened_at=opened_at, now=now, style=style,
                desk_link=self._desk_link(entry),
            )  # fmt: skip
        ended = episodes.archived(entry, entry, EXPIRED, now) if entry.has_open_failure else entry
        expired = replace(ended, archived=EXPIRED, recheck_at=None, snoozed_until=None)
        return self._report(expired, RecordType.EXPIRED, order, verdict, notice, now=now)

    def _close(self, entry: Entry, order: Order, verdict: Verdict, reason: CloseReason) -> CheckResult:
        """Close a failure; people hear of it where it was open and is mended, for what expired had its last notice."""
        now, notice = _checked(entry), None
        if reason is CloseReason.OK and entry.has_open_failure:
            notice = alert.resolved(
                entry.ref.account, order, verdict.keys, verdict.warnings,
                opened_at=entry.opened_at or now, now=now, style=self._rules.style, desk_link=self._desk_link(entry),
            )  # fmt: skip
        mended_at = now if reason is CloseReason.OK else entry.mended_at
        closed = replace(
            episodes.closed(_settled(entry, verdict), entry, reason, _keys(verdict), now), mended_at=mended_at
        )
        return self._report(closed, RecordType.RESOLVED, order, verdict, notice, now=now, reason=reason)

    def _report(
        self,
        entry: Entry,
        kind: RecordType,
        order: OrderShown,
        verdict: Verdict,
        notice: alert.Alert | None,
        *,
        now: datetime,
        reason: CloseReason | None = None,
    ) -> CheckResult:
        """Write an entry with its next report, for machines and, where there is a notice, for people."""
        from invoicekey.messages import record  # its models are heavy, and most starts have nothing to report

        style = self._rules.style
        sent = record.write(
            record.BY_TYPE[kind], entry.ref.account, order, verdict.warnings if reason else verdict.problems,
            reason=reason, report=entry.last_report_number + 1, first_seen_at=_first_seen(entry), now=now,
            language=style.language,
        )  # fmt: skip
        message = alert_entry(notice.subject, notice.message(chat=style.chat), notice.attributes) if notice else None
        report = pending(entry, sent, message, now + self._rules.lease)
        return CheckResult(verdict, report=self._ledger.write(replace(entry, report=report)))

    def _desk_link(self, entry: Entry) -> str | None:
        return self._rules.desk_link(entry.ref.account, entry.ref.order_id)


def fingerprint(verdict: Verdict) -> str:
    """Return what tells one set of errors from another: their codes, invoice numbers and keys as they came."""
    return hashlib.sha256("\n".join(sorted({error.identity for error in verdict.errors})).encode()).hexdigest()


def _settled(entry: Entry, verdict: Verdict) -> Entry:
    """Return the entry with no failure, read again only where something may become overdue."""
    return replace(
        entry,
        errors_reported=None,
        errors=(),
        archived=None,
        archived_why=None,
        opened_at=None,
        snoozed_until=None,
        followed_from=None,
        recheck_at=_read_after_all(entry, verdict),
    )


def _read_after_all(entry: Entry, verdict: Verdict) -> datetime | None:
    """Return when an order without a failure is read again: for what may become overdue, or for a second look."""
    match verdict.outcome:
        case Outcome.OK:
            return verdict.overdue_at
        case Outcome.NOT_INVOICED:
            return entry.recheck_at
        case _:
            return None


def _claims(entry: Entry, verdict: Verdict) -> frozenset[str]:
    """Return the keys that an order is to own: those that it shows as its own, and none as long as it is dismissed."""
    still_fails_so = verdict.outcome is Outcome.FAILING and entry.errors_reported == fingerprint(verdict)
    owns_nothing = entry.archived == DISMISSED and still_fails_so
    return frozenset() if owns_nothing else frozenset(verdict.own_keys[:MOST_CLAIMS])


def _is_over(entry: Entry) -> bool:
    is_over = entry.followed_from is not None and _checked(entry) >= entry.followed_from + FOLLOWED_FOR
    return entry.has_open_failure and is_over


def _followed_on(entry: Entry) -> Entry:
    """Return the entry with the next reading of its open failure, and with none where none is open.

    But where its event said invoiced, and the order does not, VTEX may lag, and sends no other event: one more look.
    """
    if not entry.has_open_failure:
        return entry if entry.outcome == Outcome.NOT_INVOICED else replace(entry, recheck_at=None)
    begin = entry.followed_from or _checked(entry)  # the first version kept none
    return replace(entry, followed_from=begin, recheck_at=next_reading(begin, _checked(entry)))


def _still_failing(entry: Entry, verdict: Verdict) -> Entry:
    """Return an entry that fails as before. Where it is open, its episode goes on: one of a former version begins."""
    followed = _followed_on(entry)
    if not entry.has_open_failure:
        return followed
    return episodes.opened(followed, verdict, entry.opened_at or _checked(entry))


def _ended_unreported(entry: Entry, before: Entry, verdict: Verdict) -> Entry:
    """Return an entry without a failure whose episode ends, where a dismissal of it was taken back."""
    now = _checked(before)
    ended = episodes.ended_unreported(entry, before, verdict.outcome, _keys(verdict), now)
    is_mended = verdict.outcome is Outcome.OK and ended.episodes != before.episodes
    return replace(ended, mended_at=now) if is_mended else ended


def _keys(verdict: Verdict) -> list[str]:
    return [key for _, key in verdict.keys]


def _shown(verdict: Verdict) -> tuple[Shown, ...]:
    return tuple(
        Shown(
            error.code,
            fields.shown(error.invoice_number),
            has_suggestion=error.suggestion is not None,
            suggested_key=error.suggestion.key if error.suggestion else None,
        )
        for error in verdict.errors
    )


def _expect_time_to_report(clock: Clock) -> None:
    if clock.seconds_left() < REPORTING_SECONDS / 2:
        raise OutOfTime("too little time is left to write down and report what was found")


def _first_seen(entry: Entry) -> datetime:
    if entry.first_seen_at is None:
        raise ValueError("an order is checked only after it was first seen")
    return entry.first_seen_at


def _checked(entry: Entry) -> datetime:
    if entry.checked_at is None:
        raise ValueError("a report is written only after a check")
    return entry.checked_at
