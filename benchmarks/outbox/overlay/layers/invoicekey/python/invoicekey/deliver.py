"""Delivery from the table's stream: each write that carries a report brings it here, in its order's order.

The stream hands a write out until it is settled, and all after it in its shard; so what was sent is noted beside the
order, by the report's number, and not sent again. docs/architecture.md draws the states of a report.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from invoicekey import telemetry
from invoicekey.errors import TryAgainLater
from invoicekey.ledger import Delivery, Entry, HeldBack, Ledger
from invoicekey.notification import OrderRef
from invoicekey.outlets import Outlets
from invoicekey.policy import Limit
from invoicekey.record import RecordType
from invoicekey.telemetry import logger

PARALLEL = 10
FAILING = "failing"
_KINDS: dict[str, str] = {
    RecordType.FAILING: FAILING,
    RecordType.RESOLVED: "resolved",
    RecordType.EXPIRED: "expired",
}


@dataclass(frozen=True, slots=True)
class Written:
    """A write of the stream that carries a report."""

    sequence: str
    """Its number in the shard."""
    entry: Entry


def _ten_threads() -> Executor:
    return ThreadPoolExecutor(PARALLEL, thread_name_prefix="deliver")


class Deliveries:
    """Delivers reports, one batch of a shard after the other."""

    def __init__(
        self, ledger: Ledger, outlets: Outlets, limit: Limit, *, make_pool: Callable[[], Executor] = _ten_threads
    ) -> None:
        self._ledger = ledger
        self._outlets = outlets
        self._limit = limit
        self._notes = make_pool()
        self._done: dict[OrderRef, Delivery] = {}

    def deliver(self, written: Sequence[Written], now: datetime) -> list[str]:
        """Send what is not noted as sent; return the sequence numbers of what is to be handed out again."""
        try:
            self._done = self._ledger.deliveries({one.entry.ref for one in written})
        except TryAgainLater as trouble:
            logger.warning("nothing is delivered without the ledger", extra={"why": trouble.why})
            return [one.sequence for one in written]
        failed: dict[OrderRef, str] = {}
        for some in _one_of_each_order(written):
            entries = [one.entry for one in some if one.entry.ref not in failed]
            told = self._send(entries, now)
            failed |= {one.entry.ref: one.sequence for one in some if one.entry.ref not in told | failed.keys()}
        return list(failed.values())

    def _send(self, entries: Sequence[Entry], now: datetime) -> set[OrderRef]:
        """Send the records, then the alerts, noting each; return the orders whose reports are told."""
        told = {entry.ref for entry in entries}
        unrecorded = [entry for entry in entries if self._of(entry).recorded < entry.last_report_number]
        recorded = self._noted(self._outlets.send_records(unrecorded), self._ledger.note_recorded)
        told -= {entry.ref for entry in unrecorded} - recorded
        unalerted = [
            entry for entry in entries if entry.ref in told and self._of(entry).alerted < entry.last_report_number
        ]
        silent = [entry for entry in unalerted if entry.report and entry.report.alert is None]
        going_out, held_back = self._share_turns([entry for entry in unalerted if entry not in silent], now)
        alerted = self._noted(self._outlets.publish_alerts(going_out), self._ledger.note_alerted)
        called_off = self._noted(silent, self._ledger.note_alerted)
        held = self._noted(held_back, lambda entry, of: self._ledger.note_held_back(entry, of, _held_back(entry, now)))
        told -= {entry.ref for entry in unalerted} - alerted - held - called_off
        telemetry.count("report_recorded", len(recorded))
        telemetry.count("alert_published", len(alerted))
        telemetry.count("alert_held_back", len(held))
        return told

    def _share_turns(self, entries: Sequence[Entry], now: datetime) -> tuple[list[Entry], list[Entry]]:
        """Part the alerts that go out now from those that wait for a digest.

        Whose failure was told in a digest is told resolved there too. Without the ledger nothing goes out.
        """
        going_out: list[Entry] = []
        held_back: list[Entry] = []
        kinds: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            if self._of(entry).is_in_digests and _kind(entry) != FAILING:
                held_back.append(entry)
            else:
                kinds.setdefault((entry.ref.account, _kind(entry)), []).append(entry)
        for (account, kind), group in kinds.items():
            try:
                turns = self._ledger.take_turns(account, kind, len(group), now, self._limit)
            except TryAgainLater as trouble:
                logger.warning("no alert goes out without the ledger", extra={"account": account, "why": trouble.why})
                continue
            going_out += group[:turns]
            held_back += group[turns:]
        return going_out, held_back

    def _noted(self, entries: Iterable[Entry], note: Callable[[Entry, Delivery], Delivery]) -> set[OrderRef]:
        def try_to_note(entry: Entry) -> OrderRef | None:
            try:
                self._done[entry.ref] = note(entry, self._of(entry))
            except Exception as error:  # noqa: BLE001 - an unnoted report is sent once more, whatever failed
                logger.warning("a report was sent but not noted", extra={"error": type(error).__name__})
                return None
            return entry.ref

        return {ref for ref in self._notes.map(try_to_note, entries) if ref}

    def _of(self, entry: Entry) -> Delivery:
        return self._done[entry.ref]


def _one_of_each_order(written: Iterable[Written]) -> list[list[Written]]:
    """Part a batch so that an order's reports go out one after the other."""
    rounds: list[dict[OrderRef, Written]] = []
    for one in written:
        free = next((some for some in rounds if one.entry.ref not in some), None)
        if free is None:
            rounds.append(free := {})
        free[one.entry.ref] = one
    return [list(some.values()) for some in rounds]


def _kind(entry: Entry) -> str:
    return _KINDS[entry.report.type] if entry.report else FAILING


def _held_back(entry: Entry, now: datetime) -> HeldBack:
    return HeldBack(_kind(entry), now, tuple(dict.fromkeys(error.code for error in entry.errors)))
