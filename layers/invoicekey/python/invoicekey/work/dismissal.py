"""A failure that a person dealt with elsewhere: closed as `dismissed`, and opened again only when its errors change.

VTEX's FAQ 715 advises to update the order in the marketplace's back office. VTEX never hears of that; a person says so.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from invoicekey.delivery.queues import Outlets
from invoicekey.ledger.entries import DISMISSED, Entry, Ledger
from invoicekey.messages import record
from invoicekey.messages.record import CloseReason, ResolvedRecord
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import Conflict, RetryLater
from invoicekey.work.check import order_as_reported, pending

_TRIES_ON_CONFLICT = 3


class Dismissed(StrEnum):
    """What came of a dismissal, or of taking it back."""

    DONE = "done"
    UNSENT = "unsent"
    """Dismissed, but the failure queue did not take the record: the order's next check sends it."""
    NOT_OPEN = "not_open"
    """There is no open failure: none was reported, or it is closed, dismissed, expired. To undismiss: no dismissal."""
    BUSY = "busy"
    """A check is reporting or writing it at this moment; try again in a minute."""


class Dismissals:
    """Dismisses failures, and takes it back."""

    def __init__(self, ledger: Ledger, outlets: Outlets, lease: timedelta, language: str) -> None:
        self._ledger = ledger
        self._outlets = outlets
        self._lease = lease
        self._language = language

    def dismiss(self, ref: OrderRef, reason: str, now: datetime) -> Dismissed:
        """Close an open failure, and report that to machines; people are not alerted.

        Written like any report: pending first, so that who dies before the record is sent leaves it to a check, which
        the order's next reading brings about; where it is noted as sent there is none. Raises RetryLater where
        nothing was done.
        """
        written = self._write(ref, lambda entry: self._dismissed(entry, reason, now))
        if isinstance(written, Dismissed):
            return written
        if not self._outlets.send_records([written]):
            return Dismissed.UNSENT
        with suppress(Conflict, RetryLater):  # unnoted, the next check sends the same record once more
            self._ledger.note_dismissed(written)
        return Dismissed.DONE

    def undismiss(self, ref: OrderRef, now: datetime) -> Dismissed:
        """Follow a dismissed failure again: the next check, which is due at once, reports it anew."""
        written = self._write(ref, lambda entry: _undismissed(entry, now))
        return written if isinstance(written, Dismissed) else Dismissed.DONE

    def _write(self, ref: OrderRef, change: Callable[[Entry], Entry | Dismissed]) -> Entry | Dismissed:
        """Write an entry that is changed; a check that writes it meanwhile has it changed anew."""
        for _ in range(_TRIES_ON_CONFLICT):
            changed = change(self._ledger.read_one(ref))
            if isinstance(changed, Dismissed):
                return changed
            with suppress(Conflict):
                return self._ledger.write(changed)
        return Dismissed.BUSY

    def _dismissed(self, entry: Entry, reason: str, now: datetime) -> Entry | Dismissed:
        if not entry.has_open_failure:
            return Dismissed.NOT_OPEN
        if entry.report and not entry.report.is_delivered:
            return Dismissed.BUSY
        sent = record.write(
            ResolvedRecord, entry.ref.account, order_as_reported(entry), (), reason=CloseReason.DISMISSED,
            report=entry.last_report_number + 1, first_seen_at=entry.first_seen_at or now, now=now,
            language=self._language,
        )  # fmt: skip
        return replace(
            entry.with_act(now, f"dismissed by a person: {reason}"),
            archived=DISMISSED,
            archived_why=f"{now.isoformat(timespec='seconds')} {reason}",
            recheck_at=now + self._lease,
            claims=frozenset(),
            report=pending(entry, sent, None, now + self._lease),
        )


def _undismissed(entry: Entry, now: datetime) -> Entry | Dismissed:
    if entry.archived != DISMISSED:
        return Dismissed.NOT_OPEN
    return replace(
        entry.with_act(now, "taken back by a person: followed again"),
        errors_reported=None,
        errors=(),
        archived=None,
        archived_why=None,
        opened_at=None,
        followed_from=now,
        recheck_at=now,
    )
