"""A failure that a person dealt with elsewhere: closed for the reason `dismissed`, and opened again only when it changes.

VTEX's FAQ 715 advises to update the order in the marketplace's back office; VTEX never hears of it, so a person says so.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from invoicekey import record
from invoicekey.errors import TryAgainLater
from invoicekey.ledger import DISMISSED, Entry, Ledger, Report
from invoicekey.notification import OrderRef
from invoicekey.order import Order
from invoicekey.outlets import Outlets
from invoicekey.record import CloseReason


class Dismissed(StrEnum):
    """What came of a dismissal, or of taking one back."""

    DONE = "done"
    NOT_OPEN = "not_open"
    """There is no open failure (or, to be taken back, no dismissal)."""
    BUSY = "busy"
    """Its last report is being told at this moment; try again in a minute."""


class Dismissals:
    """Dismisses failures, and takes it back."""

    def __init__(self, ledger: Ledger, outlets: Outlets, lease: timedelta, language: str) -> None:
        self._ledger = ledger
        self._outlets = outlets
        self._lease = lease
        self._language = language

    def dismiss(self, ref: OrderRef, reason: str, now: datetime) -> Dismissed:
        """Close an open failure, and tell the machines; people are not alerted.

        Written like any report: intent first, so that who dies before the record is sent leaves it to a check, which
        the order's next reading brings about.
        """
        entry = self._ledger.read([ref]).entries[ref]
        if not entry.has_open_failure:
            return Dismissed.NOT_OPEN
        if entry.report and not entry.report.is_told:
            return Dismissed.BUSY
        written = self._ledger.write(self._intended(entry, reason, now))
        if not self._outlets.send_records([written]):
            raise TryAgainLater("the failure queue did not take the record; the order's next check sends it")
        self._ledger.note_recorded(written)
        return Dismissed.DONE

    def take_back(self, ref: OrderRef, now: datetime) -> Dismissed:
        """Follow a dismissed failure again: the next check, which is due at once, tells it anew."""
        entry = self._ledger.read([ref]).entries[ref]
        if entry.set_aside != DISMISSED:
            return Dismissed.NOT_OPEN
        self._ledger.write(
            replace(entry, errors_told=None, errors=(), set_aside=None, set_aside_why=None, recheck_at=now)
        )
        return Dismissed.DONE

    def _intended(self, entry: Entry, reason: str, now: datetime) -> Entry:
        number = entry.last_report_number + 1
        sent = record.resolved(
            entry.ref.account, _as_told(entry), (), report=number, first_seen_at=entry.first_heard_at or now, now=now,
            language=self._language, reason=CloseReason.DISMISSED,
        )  # fmt: skip
        report = Report(
            number, sent.type, sent.model_dump_json(), alert=None, lease_until=now + self._lease, alerted=True
        )
        return replace(
            entry,
            set_aside=DISMISSED,
            set_aside_why=f"{now.isoformat(timespec='seconds')} {reason}",
            recheck_at=now + self._lease,
            claims=frozenset(),
            report=report,
        )


def _as_told(entry: Entry) -> Order:
    """Return the order as its last record told it; it is not read at VTEX for this."""
    told = json.loads(entry.report.record)["data"] if entry.report else {}
    return Order(
        order_id=entry.ref.order_id,
        marketplace_order_id=told.get("marketplace_order_id"),
        affiliate_id=told.get("affiliate_id"),
        status=told.get("order_status"),
        invoiced_date=told.get("invoiced_at"),
    )
