"""What is still to be done: orders to be read again, alerts deferred for a digest, and what was checked of late.

Read by the table's index, never by a scan. The index lags a moment behind the items, so whoever acts on what it says
does so on condition that the item still says it. An item that somebody corrupt by hand is left out.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter

from invoicekey.ledger.entries import DEFERRED, FOLLOWED, checked_list, deferred_key, order_key, ref_of, shown
from invoicekey.ledger.failures import FailureLists, Shown, State, failure_of
from invoicekey.ledger.table import Item, Table
from invoicekey.ledger.values import time_in
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.verdict import Code
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import Conflict
from invoicekey.runtime.telemetry import logger

_ACCOUNTS = "accounts"
_OK, _NOT_INVOICED = "ok", "not_invoiced"
_KINDS = ("failing", "resolved", "expired")


@dataclass(frozen=True, slots=True)
class FollowedOrder:
    """An order that is read again: for its open failure, or for what may become overdue."""

    ref: OrderRef
    due_at: datetime
    opened_at: datetime | None
    """When its failure was first reported; None where none is open."""
    checked_at: datetime
    outcome: str | None
    mended_at: datetime | None
    """When a failure of it was last closed as ok."""
    archived: str | None
    errors: tuple[Shown, ...]

    @property
    def is_open(self) -> bool:
        """Say whether it has an open failure; a dismissed one is still read once more, and is none."""
        return self.opened_at is not None and self.archived is None

    @property
    def is_second_look(self) -> bool:
        """Say whether it is read once more because its event said that it was invoiced, and it was not yet."""
        return self.outcome == _NOT_INVOICED

    @property
    def is_good(self) -> bool:
        """Say whether its keys are good: it is read again for what may become overdue."""
        return self.outcome == _OK


@dataclass(frozen=True, slots=True)
class CheckedOrder:
    """An order that was checked, and is not followed."""

    ref: OrderRef
    outcome: str
    checked_at: datetime
    mended_at: datetime | None
    """When a failure of it was last closed as ok."""
    archived: str | None


@dataclass(frozen=True, slots=True)
class DeferredAlert:
    """An alert that waits for a digest."""

    ref: OrderRef
    kind: str
    codes: tuple[Code, ...]
    since: datetime
    digest: int | None
    """The run whose digest it is assigned to, sent or not."""
    errors: tuple[Shown, ...] = ()
    """Of a failing or expired one; empty where the former version deferred it."""


class Backlog:
    """The lists."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def followed(self, due_by: datetime | None = None) -> Iterator[FollowedOrder]:
        """Yield the orders that are read again, or those of them that are due; the longest due first."""
        return self._listed(FOLLOWED, _followed, until=_text(due_by) if due_by else "~")

    def next_readings(self) -> dict[OrderRef, datetime]:
        """Return when each followed order is read next, and no more of them: there may be ten thousand."""
        items = self._table.listed(FOLLOWED, only=("pk", "list_at"))
        return dict(readable(items, lambda item: (ref_of(item["pk"]), time_in(item["list_at"])), key=itemgetter("pk")))

    def snoozed(self, account: str, now: datetime) -> dict[OrderRef, datetime]:
        """Return an account's orders of which nobody is to be reminded, and until when."""
        items = FailureLists(self._table).items(account, [State.SNOOZED])
        found = readable(items, failure_of, key=itemgetter("pk"))
        return {one.ref: one.snoozed_until for one in found if one.snoozed_until and one.is_snoozed(now)}

    def postpone(self, order: FollowedOrder, until: datetime) -> None:
        """Let an order not be due again before `until`, unless a check has said otherwise meanwhile.

        Its version stays as it is: a check that is under way knows better, and is not to meet a conflict. A check that
        is over may have left the same time, so the time of the check counts too.
        """
        with suppress(Conflict):
            self._table.update(
                order_key(order.ref),
                "SET recheck_at = :until, list_at = :until",
                "recheck_at = :due AND checked_at = :checked",
                until=_text(until),
                due=_text(order.due_at),
                checked=_text(order.checked_at),
            )

    def checked(self, account: str, since: datetime) -> Iterator[CheckedOrder]:
        """Yield an account's orders that were last checked since then, and are not followed."""
        return self._listed(checked_list(account), _checked, since=_text(since))

    def deferred(self) -> dict[str, list[DeferredAlert]]:
        """Return the alerts that are deferred, by account, the oldest first."""
        deferred: dict[str, list[DeferredAlert]] = {}
        for alert in self._listed(DEFERRED, _deferred):
            deferred.setdefault(alert.ref.account, []).append(alert)
        return deferred

    def assign(self, alert: DeferredAlert, digest: int) -> bool:
        """Assign an alert to the digest of a run; say whether it is still the one that was listed."""
        # The SDK repeats a write of which it lost the answer, and must not meet its own.
        was_taken_up_by = "attribute_not_exists(digest)" if alert.digest is None else "digest = :before"
        before = {} if alert.digest is None else {"before": alert.digest}
        try:
            self._table.update(
                deferred_key(alert.ref),
                "SET digest = :digest",
                f"list_at = :since AND kind = :kind AND ({was_taken_up_by} OR digest = :digest)",
                digest=digest,
                since=_text(alert.since),
                kind=alert.kind,
                **before,
            )
        except Conflict:
            return False
        return True

    def text_of(self, alert: DeferredAlert) -> str | None:
        """Return the alert's PublishBatch entry as JSON; None where it has none, or the order has another alert by now.

        The index does not hold it: alerts are large, and few are sent on their own.
        """
        key = deferred_key(alert.ref)
        item = self._table.get([key]).get(key, {})
        text: str | None = item.get("alert") if item.get("digest") == alert.digest else None
        return text

    def drop(self, alert: DeferredAlert) -> None:
        """Forget an alert whose digest was sent, unless the order has another one by now."""
        with suppress(Conflict):
            self._table.delete(deferred_key(alert.ref), "digest = :digest", digest=alert.digest)

    def note_accounts(self, accounts: Iterable[str]) -> None:
        """Keep which accounts are served, for those who may not read the credentials."""
        self._table.put({"pk": _ACCOUNTS, "names": sorted(accounts)})

    def accounts(self) -> list[str]:
        """Return the accounts that were noted."""
        names: list[str] = self._table.get([_ACCOUNTS]).get(_ACCOUNTS, {}).get("names", [])
        return names

    def _listed[T](self, name: str, read: Callable[[Item], T], **between: str) -> Iterator[T]:
        return readable(self._table.listed(name, **between), read, key=itemgetter("pk"))


def readable[T, U](things: Iterable[T], read: Callable[[T], U], key: Callable[[T], str]) -> Iterator[U]:
    """Yield what is read of each thing; one that can't be read is left out, and logged by its item's key alone."""
    for thing in things:
        try:
            was_read = read(thing)
        except (KeyError, TypeError, ValueError):
            telemetry.count("ledger_unreadable")
            account, _, order_id = key(thing).partition("#")[2].partition("#")
            logger.error("an item in the ledger is corrupt: mend it", extra={"account": account, "order_id": order_id})
        else:
            yield was_read


def _followed(item: Item) -> FollowedOrder:
    return FollowedOrder(
        ref=ref_of(item["pk"]),
        due_at=time_in(item["list_at"]),
        opened_at=_moment(item.get("opened_at")),
        checked_at=time_in(item["checked_at"]),
        outcome=item.get("outcome"),
        mended_at=_moment(item.get("mended_at")),
        archived=item.get("set_aside"),
        errors=tuple(map(_shown, item.get("errors", ()))),
    )


def _checked(item: Item) -> CheckedOrder:
    return CheckedOrder(
        ref=ref_of(item["pk"]),
        outcome=item["outcome"],
        checked_at=time_in(item["checked_at"]),
        mended_at=_moment(item.get("mended_at")),
        archived=item.get("set_aside"),
    )


def _shown(error: Item) -> Shown:
    if not isinstance(error["invoice_number"], str | None):
        raise TypeError("expected an invoice's number as text")
    return shown(error)


def _deferred(item: Item) -> DeferredAlert:
    if item["kind"] not in _KINDS:
        raise ValueError(f"expected one of {', '.join(_KINDS)}")
    return DeferredAlert(
        ref=ref_of(item["pk"]),
        kind=item["kind"],
        codes=tuple(map(Code, item.get("codes", ()))),
        since=time_in(item["list_at"]),
        digest=int(item["digest"]) if "digest" in item else None,
        errors=tuple(map(_known, item.get("errors", ()))),
    )


def _known(error: Item) -> Shown:
    read = _shown(error)
    Code(read.code)  # one that nobody knows would keep all of its account from the digest
    return read


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _moment(text: str | None) -> datetime | None:
    return time_in(text) if text else None
