"""A failure that a person dealt with elsewhere: closed as `dismissed`, and opened again only when its errors change.

VTEX's FAQ 715 advises to update the order in the marketplace's back office. VTEX never hears of that; a person says so.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from invoicekey import record
from invoicekey.check import order_as_told
from invoicekey.errors import Conflict
from invoicekey.ledger import DISMISSED, Entry, Ledger, Report
from invoicekey.notification import OrderRef
from invoicekey.record import CloseReason

_TRIES_ON_CONFLICT = 3


class Dismissed(StrEnum):
    """What came of a dismissal, or of taking one back."""

    DONE = "done"
    NOT_OPEN = "not_open"
    """There is no open failure: none was told, or it is closed, dismissed or given up. To take back: no dismissal."""
    BUSY = "busy"
    """A check is telling or writing it at this moment; try again in a minute."""


class Dismissals:
    """Dismisses failures, and takes it back."""

    def __init__(self, ledger: Ledger, language: str) -> None:
        self._ledger = ledger
        self._language = language

    def dismiss(self, ref: OrderRef, reason: str, now: datetime) -> Dismissed:
        """Close an open failure, and tell the machines; people are not alerted.

        Written like any report: the stream delivers it. Raises TryAgainLater where nothing was done.
        """
        written = self._write(ref, lambda entry: self._dismissed(entry, reason, now))
        return written if isinstance(written, Dismissed) else Dismissed.DONE

    def take_back(self, ref: OrderRef, now: datetime) -> Dismissed:
        """Follow a dismissed failure again: the next check, which is due at once, tells it anew."""
        written = self._write(ref, lambda entry: _taken_back(entry, now))
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
        number, order = entry.last_report_number + 1, order_as_told(entry)
        sent = record.resolved(
            entry.ref.account, order, (), report=number, first_seen_at=entry.first_heard_at or now, now=now,
            language=self._language, reason=CloseReason.DISMISSED,
        )  # fmt: skip
        report = Report(number=number, type=sent.type, record=record.as_sqs_takes_it(sent))
        return replace(
            entry.with_act(now, f"dismissed by a person: {reason}"),
            set_aside=DISMISSED,
            set_aside_why=f"{now.isoformat(timespec='seconds')} {reason}",
            recheck_at=None,
            claims=frozenset(),
            report=report,
        )


def _taken_back(entry: Entry, now: datetime) -> Entry | Dismissed:
    if entry.set_aside != DISMISSED:
        return Dismissed.NOT_OPEN
    return replace(
        entry.with_act(now, "taken back by a person: followed again"),
        errors_told=None,
        errors=(),
        set_aside=None,
        set_aside_why=None,
        opened_at=None,
        followed_from=now,
        recheck_at=now,
    )
