"""The check of one order: read VTEX, judge, write what was found to the ledger.

What is to be told is written with the finding, as an intent under a lease; batch.py sends it. docs/architecture.md
draws the states of an entry.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from invoicekey.delivery.queues import alert_entry
from invoicekey.ledger.entries import DISMISSED, EXPIRED, MOST_CLAIMS, Claim, Entry, KeyTaken, Ledger, Report, Shown
from invoicekey.ledger.schedule import FOLLOWED_FOR, next_reading
from invoicekey.messages import alert, record
from invoicekey.messages.record import CloseReason
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.order import Order
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import (
    OWNS_NO_KEY,
    Circumstances,
    Code,
    Outcome,
    Problem,
    Suggestion,
    SuggestionSource,
    Verdict,
    judge,
)
from invoicekey.runtime.errors import Conflict, OrderNotFound, OutOfTime, SilenceAsked, TryAgainLater
from invoicekey.vtex.client import Vtex

REPORTING_SECONDS = 5.0
"""Kept free at the end of an invocation for writing, sending and noting."""
UNREAD_FOR = timedelta(hours=12)
"""So long an order is tried in vain before it is let go: half a message's life, for it may have to tell that."""
_TRIES_ON_CONFLICT = 3
_TRIES_ON_TAKEN_KEYS = 3


class DeadLetterReason(StrEnum):
    """Why a message goes to the dead-letter queue."""

    MALFORMED = "malformed"
    NOT_FOUND = "not_found"
    GAVE_UP = "gave_up"
    NO_CREDENTIALS = "no_credentials"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the shop has set for checks and reports."""

    policy: Policy
    style: alert.Style
    lease: timedelta


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of day and the time left of the invocation."""

    seconds_left: Callable[[], float]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Heard:
    """What caused a check: when its first event was queued, and the ids of those that have one."""

    at: datetime
    events: tuple[str, ...] = ()
    events_of_hook: tuple[str, ...] = ()
    """Those of them that came by the hook, or by hand: not from the feed."""
    says_invoiced: bool = False
    """Whether one of them claims that the order became invoiced."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a check. With no other field set, the order needs nothing more."""

    verdict: Verdict | None = None
    report: Entry | None = None
    """The entry whose report has to be sent before anything else."""
    is_left_over: bool = False
    """The report is one that another environment left unfinished; the order itself is still to be checked."""
    wait_until: datetime | None = None
    """The end of the order's grace."""
    retry: TryAgainLater | None = None
    is_unread: bool = False
    """With `retry`: VTEX did not give the order; nothing is written of it but that it is let go."""
    dead: DeadLetterReason | None = None


class _Unread(Exception):
    """VTEX does not give the order, or the one that owns its key; `trouble` says why."""

    def __init__(self, trouble: TryAgainLater) -> None:
        super().__init__(trouble.why)
        self.trouble = trouble


class OrderCheck:
    """Checks one order at a time; any number of threads may call it at once."""

    def __init__(self, vtex: Vtex, ledger: Ledger, rules: Rules) -> None:
        self._vtex = vtex
        self._ledger = ledger
        self._rules = rules

    def check(self, entry: Entry, heard: Heard, clock: Clock) -> Finding:
        """Check the order of a ledger entry, for the events that `heard` sums up."""
        try:
            for _ in range(_TRIES_ON_CONFLICT):
                try:
                    return self._check(entry, heard, clock)
                except Conflict:
                    entry = self._ledger.read_one(entry.ref)
        except TryAgainLater as trouble:
            return Finding(retry=trouble)
        return Finding(retry=TryAgainLater("the order was written by others again and again"))

    def _check(self, entry: Entry, heard: Heard, clock: Clock) -> Finding:
        if entry.report and not entry.report.is_told:
            return self._take_over(entry, entry.report, clock)
        try:
            return self._look(entry, heard, clock)
        except _Unread as unread:
            return replace(self._let_go(entry, heard, unread.trouble, clock), retry=unread.trouble, is_unread=True)

    def _look(self, entry: Entry, heard: Heard, clock: Clock) -> Finding:
        """Read the order, judge it, write down what was found."""
        order = self._read(entry.ref, clock)
        now, first_heard = clock.now(), min(heard.at, entry.first_heard_at or heard.at)
        checked = replace(
            entry,
            first_heard_at=first_heard,
            checked_at=now,
            recheck_at=next_reading(now, now) if heard.says_invoiced else None,  # for a second look, see _followed_on
        ).with_events(heard.events)
        given = Circumstances(entry.ref.account, now, first_heard, entry.has_open_failure)
        if order is None:
            finding = self._not_found(entry, replace(checked, claims=frozenset()))
        else:
            finding = self._conclude(entry, checked, order, given, clock)
        if finding.wait_until:
            self._remember(entry, heard.events_of_hook)
        return finding

    def _remember(self, before: Entry, events: tuple[str, ...]) -> None:
        """Write down the events of an order that waits, so that the feed's copies of them cause no reading.

        Of an event that the feed alone brought the message that waits is the only one: it is to be read again.
        """
        remembering = before.with_events(events)
        if remembering.events != before.events:
            self._ledger.write(remembering)

    def _take_over(self, entry: Entry, report: Report, clock: Clock) -> Finding:
        """Wait for another environment's report while its lease lives; after that, send that very report."""
        if clock.now() < report.lease_until:
            left = (report.lease_until - clock.now()).total_seconds()
            raise OutOfTime("another environment is telling the last report", wait=left)
        _expect_time_to_report(clock)
        renewed = replace(report, lease_until=clock.now() + self._rules.lease)
        return Finding(report=self._ledger.write(replace(entry, report=renewed)), is_left_over=True)

    def _read(self, ref: OrderRef, clock: Clock) -> Order | None:
        time_left = clock.seconds_left() - REPORTING_SECONDS
        if time_left < 1:
            raise OutOfTime("too little time is left to read the order")
        try:
            order = self._vtex.read_order(ref, time_left)
        except OrderNotFound:
            order = None
        except OutOfTime:
            raise
        except TryAgainLater as trouble:
            raise _Unread(trouble) from trouble
        _expect_time_to_report(clock)
        return order

    def _let_go(self, entry: Entry, heard: Heard, trouble: TryAgainLater, clock: Clock) -> Finding:
        """Follow an order no longer whose time is over, and that can't be read: give its failure up as it was told.

        A passing trouble does not do it, nor what says nothing of the order. Who asked for the check still wants it.
        """
        if entry.recheck_at is None or isinstance(trouble, SilenceAsked):
            return Finding()
        now, followed_from = clock.now(), entry.followed_from or _checked(entry)
        if now < max(followed_from + FOLLOWED_FOR, heard.at + UNREAD_FOR):
            return Finding()
        _expect_time_to_report(clock)
        if not entry.has_open_failure:
            self._ledger.write(replace(entry, recheck_at=None))
            return Finding()
        problems = problems_as_told(entry) if entry.outcome == Outcome.FAILING else ()
        given_up = self._expire(entry, order_as_told(entry), Verdict(Outcome.FAILING, problems), now)
        return replace(given_up, verdict=None)

    def _not_found(self, before: Entry, entry: Entry) -> Finding:
        grace_end = _first_heard(entry) + self._rules.policy.invoice_grace
        if entry.is_to_be_closed:
            unknown = Order(order_id=entry.ref.order_id)
            closed = self._close(entry, unknown, Verdict(Outcome.OK), CloseReason.NOT_FOUND)
            return replace(closed, verdict=None, dead=DeadLetterReason.NOT_FOUND)
        if _checked(entry) < grace_end:
            return Finding(wait_until=grace_end)
        self._pass_over(before, replace(entry, recheck_at=None))
        return Finding(dead=DeadLetterReason.NOT_FOUND)

    def _conclude(self, before: Entry, entry: Entry, order: Order, given: Circumstances, clock: Clock) -> Finding:
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

    def _write_down(self, before: Entry, entry: Entry, order: Order, verdict: Verdict) -> Finding:
        """Write to the ledger what the verdict calls for, with the intent to report it where it is news.

        An order that waits needs no write: it is checked again.
        """
        match verdict.outcome:
            case Outcome.WAITING:
                return Finding(verdict, wait_until=verdict.wait_until)
            case Outcome.CANCELED | Outcome.RETURNED | Outcome.NOT_INVOICED | Outcome.OK if entry.is_to_be_closed:
                return self._close(entry, order, verdict, CloseReason(verdict.outcome.value))
            case Outcome.FAILING if entry.errors_told != fingerprint(verdict):
                return self._open(entry, order, verdict)
            case Outcome.FAILING | Outcome.OTHER_MARKETPLACE if _is_given_up(entry):
                return self._expire(entry, order, verdict, _checked(entry))
            case Outcome.CANCELED | Outcome.RETURNED | Outcome.NOT_INVOICED | Outcome.OTHER_MARKETPLACE:
                self._pass_over(before, _followed_on(entry))
            case Outcome.OK:
                self._ledger.write(_settled(entry, verdict))
            case Outcome.FAILING:  # pragma: no branch - mypy sees that there is no other outcome
                self._ledger.write(replace(_followed_on(entry), errors=_shown(verdict)))
        return Finding(verdict)

    def _pass_over(self, before: Entry, entry: Entry) -> None:
        """Write an entry of which there is nothing to tell: a slower check of an older reading must meet a conflict.

        No grace begins with it, so when the order was first heard of stays as it was.
        """
        self._ledger.write(replace(entry, first_heard_at=before.first_heard_at))

    def _open(self, entry: Entry, order: Order, verdict: Verdict) -> Finding:
        now, style = _checked(entry), self._rules.style
        sent = record.failing(
            entry.ref.account, order, verdict.problems,
            report=entry.last_report_number + 1, first_seen_at=_first_heard(entry), now=now, language=style.language,
        )  # fmt: skip
        told = alert.failing(entry.ref.account, order, verdict.problems, style)
        opened = replace(
            entry,
            errors_told=fingerprint(verdict),
            errors=_shown(verdict),
            set_aside=None,
            set_aside_why=None,
            opened_at=(entry.opened_at if entry.has_open_failure else None) or now,
            followed_from=now,
            recheck_at=next_reading(now, now),
        )
        return Finding(verdict, report=self._ledger.write(self._intend(opened, sent, told, now)))

    def _expire(self, entry: Entry, order: Order, verdict: Verdict, now: datetime) -> Finding:
        """Give a failure up, with one last alert; with none where the settings say by now that it is not the shop's."""
        style = self._rules.style
        sent = record.expired(
            entry.ref.account, order, verdict.problems,
            report=entry.last_report_number + 1, first_seen_at=_first_heard(entry), now=now, language=style.language,
        )  # fmt: skip
        told = None
        if verdict.errors:
            told = alert.expired(
                entry.ref.account, order, verdict.problems, opened_at=entry.opened_at or now, now=now, style=style
            )
        given_up = replace(entry, set_aside=EXPIRED, recheck_at=None)
        return Finding(verdict, report=self._ledger.write(self._intend(given_up, sent, told, now)))

    def _close(self, entry: Entry, order: Order, verdict: Verdict, reason: CloseReason) -> Finding:
        """Close a failure; people hear of it where it was open and is mended, for what expired had its last notice."""
        now, style = _checked(entry), self._rules.style
        sent = record.resolved(
            entry.ref.account, order, verdict.warnings, report=entry.last_report_number + 1,
            first_seen_at=_first_heard(entry), now=now, language=style.language, reason=reason,
        )  # fmt: skip
        told = None
        if reason is CloseReason.OK and entry.has_open_failure:
            told = alert.resolved(
                entry.ref.account, order, verdict.keys, verdict.warnings,
                opened_at=entry.opened_at or now, now=now, style=style,
            )  # fmt: skip
        mended_at = now if reason is CloseReason.OK else entry.mended_at
        closed = replace(_settled(entry, verdict), mended_at=mended_at)
        return Finding(verdict, report=self._ledger.write(self._intend(closed, sent, told, now)))

    def _intend(self, entry: Entry, sent: record.Record, told: alert.Alert | None, now: datetime) -> Entry:
        style = self._rules.style
        report = Report(
            number=sent.data.report,
            type=sent.type,
            record=record.as_sqs_takes_it(sent),
            alert=alert_entry(told.subject, told.message(chat=style.chat), told.attributes) if told else None,
            lease_until=now + self._rules.lease,
            alerted=told is None and not entry.is_in_digests,  # else there may be older news to be called off
        )
        return replace(entry, report=report)


def fingerprint(verdict: Verdict) -> str:
    """Return what tells one set of errors from another: their codes, invoice numbers and keys as they came."""
    return hashlib.sha256("\n".join(sorted({error.identity for error in verdict.errors})).encode()).hexdigest()


def order_as_told(entry: Entry) -> Order:
    """Return the order as its last record told it; it is not read at VTEX for this."""
    told = _told(entry)
    return Order(
        order_id=entry.ref.order_id,
        marketplace_order_id=told.get("marketplace_order_id"),
        affiliate_id=told.get("affiliate_id"),
        status=told.get("order_status"),
        invoiced_date=told.get("invoiced_at"),
    )


def problems_as_told(entry: Entry) -> tuple[Problem, ...]:
    """Return the problems that the last record told: those of an open failure. Of a long key the end is lost."""
    return tuple(_problem(problem, entry.ref.order_id) for problem in _told(entry).get("problems", ()))


def _told(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(entry.report.record)["data"] if entry.report else {}
    return told


def _problem(told: Mapping[str, Any], order_id: str) -> Problem:
    code, key, owner, suggested = Code(told["code"]), told["invoice_key"], told.get("reused_in"), told["suggested_key"]
    return Problem(
        code,
        told["invoice_number"],
        _NOT_REPEATED.get(key, key),
        suggestion=Suggestion(suggested, SuggestionSource(told["suggested_from"])) if suggested else None,
        reused_in=owner if owner != order_id else None,
        is_overdue=told["severity"] != code.severity,
    )


_NOT_REPEATED: Mapping[str | None, Any] = {"(xml)": "<", "(list)": [], "(object)": {}}
"""For what a record shows in the place of a field (record.shown): one of which the texts say the same."""


def _settled(entry: Entry, verdict: Verdict) -> Entry:
    """Return the entry with no failure, read again only where something may become overdue."""
    return replace(
        entry,
        errors_told=None,
        errors=(),
        set_aside=None,
        set_aside_why=None,
        opened_at=None,
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
    still_fails_so = verdict.outcome is Outcome.FAILING and entry.errors_told == fingerprint(verdict)
    owns_nothing = entry.set_aside == DISMISSED and still_fails_so
    return frozenset() if owns_nothing else frozenset(verdict.own_keys[:MOST_CLAIMS])


def _is_given_up(entry: Entry) -> bool:
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


def _shown(verdict: Verdict) -> tuple[Shown, ...]:
    return tuple(
        Shown(error.code, record.shown(error.invoice_number), error.suggestion is not None) for error in verdict.errors
    )


def _expect_time_to_report(clock: Clock) -> None:
    if clock.seconds_left() < REPORTING_SECONDS / 2:
        raise OutOfTime("too little time is left to write down and tell what was found")


def _first_heard(entry: Entry) -> datetime:
    if entry.first_heard_at is None:
        raise ValueError("an order is checked only after it was heard of")
    return entry.first_heard_at


def _checked(entry: Entry) -> datetime:
    if entry.checked_at is None:
        raise ValueError("a report is written only after a check")
    return entry.checked_at
