"""Delivery from the table's stream: each write that carries a report brings it here, in its order's order.

Nothing is noted: the stream's checkpoint is all that is kept, and what fails is sent again from its record on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from invoicekey import telemetry
from invoicekey.errors import TryAgainLater
from invoicekey.ledger import Entry, HeldBack, Ledger
from invoicekey.outlets import Outlets
from invoicekey.policy import Limit
from invoicekey.record import RecordType
from invoicekey.telemetry import logger

_KINDS: dict[str, str] = {
    RecordType.FAILING: "failing",
    RecordType.RESOLVED: "resolved",
    RecordType.EXPIRED: "expired",
}


@dataclass(frozen=True, slots=True)
class Written:
    """A write of the stream that carries a report."""

    sequence: str
    """Its number in the shard."""
    entry: Entry


class Deliveries:
    """Delivers reports, one after the other."""

    def __init__(self, ledger: Ledger, outlets: Outlets, limit: Limit) -> None:
        self._ledger = ledger
        self._outlets = outlets
        self._limit = limit

    def deliver(self, written: Sequence[Written], now: datetime) -> list[str]:
        """Send the reports up to the first that does not get through; return its sequence number."""
        for one in written:
            try:
                is_told = self._tell(one.entry, now)
            except TryAgainLater as trouble:
                logger.warning("no alert goes out without the ledger", extra={"why": trouble.why})
                is_told = False
            if not is_told:
                return [one.sequence]
        return []

    def _tell(self, entry: Entry, now: datetime) -> bool:
        if not self._outlets.send_records([entry]):
            return False
        telemetry.count("report_recorded")
        if entry.report and entry.report.alert:
            kind = _KINDS[entry.report.type]
            if not self._ledger.take_turns(entry.ref.account, kind, 1, now, self._limit):
                codes = tuple(dict.fromkeys(error.code for error in entry.errors))
                self._ledger.hold_back(entry, HeldBack(kind, now, codes))
                telemetry.count("alert_held_back")
                return True
            if not self._outlets.publish_alerts([entry]):
                return False
            telemetry.count("alert_published")
        self._ledger.call_off(entry.ref)
        return True
