"""What people do with a failure: dismiss it, snooze it, take that back. By a link to the desk, or by a command.

A dismissed failure was dealt with elsewhere: it is closed, and opened again only when its errors change. VTEX's FAQ
715 advises to update the order in the marketplace's back office. VTEX never hears of that; a person says so. A snoozed
one stays open: nobody is reminded of it until its day.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from invoicekey.delivery.queues import Outlets
from invoicekey.ledger.entries import DISMISSED, Entry, Ledger
from invoicekey.messages.fields import CloseReason
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import Conflict, RetryLater
from invoicekey.work import episodes
from invoicekey.work.reported import order_as_reported, pending

type Write = Callable[[Entry], Entry]

LONGEST_SNOOZE = timedelta(days=14)
_TRIES_ON_CONFLICT = 3


class ActResult(StrEnum):
    """What came of an act."""

    DONE = "done"
    UNSENT = "unsent"
    """Dismissed, but the record topic did not take the record: the order's next check sends it."""
    NOT_OPEN = "not_open"
    """There is no open failure: none was reported, or it is closed, dismissed, expired. To take back: nothing."""
    BUSY = "busy"
    """A check is reporting or writing it at this moment; try again in a minute."""
    CHANGED = "changed"
    """It has another report than the one that was seen: its errors changed meanwhile."""


class Acts:
    """Does what people ask. Each act is kept with the order, with its time and by what it was done.

    `by` is "a person" for a command, "link" for the desk.
    """

    def __init__(
        self, ledger: Ledger, outlets: Outlets, lease: timedelta, language: str, *, by: str = "a person"
    ) -> None:
        self._ledger = ledger
        self._outlets = outlets
        self._lease = lease
        self._language = language
        self._by = by

    def dismiss(self, ref: OrderRef, reason: str, now: datetime, *, seen: int | None = None) -> ActResult:
        """Close an open failure, and report that to machines; people are not alerted.

        Written like any report: pending first, so that who dies before the record is sent leaves it to a check, which
        the order's next reading brings about; where it is noted as sent there is none. Raises RetryLater where
        nothing was done. `seen` is the number of the report that the person saw; None does not compare.
        """
        written = self._write(ref, lambda entry: _unless_changed(entry, seen) or self._dismissed(entry, reason, now))
        if isinstance(written, ActResult):
            return written
        if not self._outlets.send_records([written]):
            return ActResult.UNSENT
        with suppress(RetryLater):  # unnoted, the next check sends the same record once more
            self._note_dismissed(written)
        return ActResult.DONE

    def _note_dismissed(self, written: Entry) -> None:
        """Note that the record was sent, also where the order meanwhile lost a key to another, or was undismissed."""
        entry = written
        for _ in range(_TRIES_ON_CONFLICT):
            if entry.report != written.report:  # a check has taken it over
                return
            with suppress(Conflict):
                if entry.archived == DISMISSED:
                    self._ledger.note_dismissed(entry)
                else:  # not note_recorded, for the desk may not update an item
                    self._ledger.write(replace(entry, report=entry.report and replace(entry.report, recorded=True)))
                return
            entry = self._ledger.read_one(written.ref)

    def undismiss(self, ref: OrderRef, now: datetime) -> ActResult:
        """Follow a dismissed failure again: the next check, which is due at once, reports it anew."""
        return self._done(ref, lambda entry: self._undismissed(entry, now))

    def snooze(self, ref: OrderRef, until: datetime, now: datetime, *, seen: int | None = None) -> ActResult:
        """Leave an open failure out of digests and reminders until then; `until` is in the next 14 days."""
        if not now < until <= now + LONGEST_SNOOZE + timedelta(days=1):
            raise ValueError("expected a moment of the next 14 days")
        return self._done(
            ref,
            lambda entry: _unless_changed(entry, seen) or self._snoozed(entry, until, now),
            write=self._ledger.write_snoozed,
        )

    def wake(self, ref: OrderRef, now: datetime) -> ActResult:
        """Take a snooze back."""
        return self._done(ref, lambda entry: self._woken(entry, now))

    def note(self, ref: OrderRef, what: str, now: datetime) -> ActResult:
        """Keep that a person did something that changes nothing in the ledger, such as asking for a look."""
        return self._done(ref, lambda entry: entry.with_act(now, f"{what} by {self._by}"))

    def _done(
        self, ref: OrderRef, change: Callable[[Entry], Entry | ActResult], write: Write | None = None
    ) -> ActResult:
        written = self._write(ref, change, write)
        return written if isinstance(written, ActResult) else ActResult.DONE

    def _write(
        self, ref: OrderRef, change: Callable[[Entry], Entry | ActResult], write: Write | None = None
    ) -> Entry | ActResult:
        """Write an entry that is changed; a check that writes it meanwhile has it changed anew."""
        for _ in range(_TRIES_ON_CONFLICT):
            changed = change(self._ledger.read_one(ref))
            if isinstance(changed, ActResult):
                return changed
            with suppress(Conflict):
                return (write or self._ledger.write)(changed)
        return ActResult.BUSY

    def _dismissed(self, entry: Entry, reason: str, now: datetime) -> Entry | ActResult:
        if not entry.has_open_failure:
            return ActResult.NOT_OPEN
        if entry.report and not entry.report.is_delivered:
            return ActResult.BUSY
        from invoicekey.messages import record  # its models are heavy, and only this needs them

        sent = record.write(
            record.ResolvedRecord, entry.ref.account, order_as_reported(entry), (), reason=CloseReason.DISMISSED,
            report=entry.last_report_number + 1, first_seen_at=entry.first_seen_at or now, now=now,
            language=self._language,
        )  # fmt: skip
        return replace(
            episodes.archived(entry.with_act(now, f"dismissed by {self._by}: {reason}"), entry, DISMISSED, now),
            archived=DISMISSED,
            archived_why=f"{now.isoformat(timespec='seconds')} {reason}",
            snoozed_until=None,
            recheck_at=now + self._lease,
            claims=frozenset(),
            report=pending(entry, sent, None, now + self._lease),
        )

    def _undismissed(self, entry: Entry, now: datetime) -> Entry | ActResult:
        if entry.archived != DISMISSED:
            return ActResult.NOT_OPEN
        return replace(
            episodes.reopened(entry.with_act(now, f"taken back by {self._by}: followed again")),
            errors_reported=None,
            archived=None,
            archived_why=None,
            opened_at=None,
            followed_from=now,
            recheck_at=now,
        )

    def _snoozed(self, entry: Entry, until: datetime, now: datetime) -> Entry | ActResult:
        if not entry.has_open_failure:
            return ActResult.NOT_OPEN
        if entry.report and not entry.report.is_delivered:
            return ActResult.BUSY
        day = until.isoformat(timespec="seconds")
        return replace(
            episodes.kept(entry.with_act(now, f"snoozed by {self._by} until {day}"), now), snoozed_until=until
        )

    def _woken(self, entry: Entry, now: datetime) -> Entry | ActResult:
        if not entry.has_open_failure or entry.snoozed_until is None:
            return ActResult.NOT_OPEN
        return replace(entry.with_act(now, f"snooze ended by {self._by}"), snoozed_until=None)


def _unless_changed(entry: Entry, seen: int | None) -> ActResult | None:
    return ActResult.CHANGED if seen is not None and seen != entry.last_report_number else None
