"""What is still to be done: orders to be read again, alerts held back for a digest, and what was checked of late.

Read by the table's index, never by a scan. The index lags a moment behind the items, so whoever acts on what it says
does so on condition that the item still says it.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from invoicekey.errors import Conflict
from invoicekey.ledger import FOLLOWED, HELD_BACK, Shown, checked_list, held_key, order_key, ref_of
from invoicekey.notification import OrderRef
from invoicekey.table import Item, Table

_ACCOUNTS = "accounts"
_OK = "ok"


@dataclass(frozen=True, slots=True)
class FollowedOrder:
    """An order that is read again: for its open failure, or for what may become overdue."""

    ref: OrderRef
    due_at: datetime
    opened_at: datetime | None
    """When its failure was first told; None where none is open."""
    checked_at: datetime
    outcome: str | None
    mended_at: datetime | None
    """When a failure of it was last closed as ok."""
    set_aside: str | None
    errors: tuple[Shown, ...]

    @property
    def is_open(self) -> bool:
        """Say whether it has an open failure; a dismissed one is still read once more, and is none."""
        return self.opened_at is not None and self.set_aside is None

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
    set_aside: str | None


@dataclass(frozen=True, slots=True)
class HeldAlert:
    """An alert that a digest is to tell."""

    ref: OrderRef
    kind: str
    codes: tuple[str, ...]
    since: datetime
    digest: int | None
    """The run that has taken it up for its digest, told or not."""


class Backlog:
    """The lists."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def followed(self, due_by: datetime | None = None) -> Iterator[FollowedOrder]:
        """Yield the orders that are read again, or those of them that are due; the longest due first."""
        until = _text(due_by) if due_by else "~"
        for item in self._table.listed(FOLLOWED, until=until):
            yield FollowedOrder(
                ref=ref_of(item["pk"]),
                due_at=datetime.fromisoformat(item["list_at"]),
                opened_at=_moment(item.get("opened_at")),
                checked_at=datetime.fromisoformat(item["checked_at"]),
                outcome=item.get("outcome"),
                mended_at=_moment(item.get("mended_at")),
                set_aside=item.get("set_aside"),
                errors=tuple(Shown(**error) for error in item.get("errors", ())),
            )

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
        for item in self._table.listed(checked_list(account), since=_text(since)):
            yield CheckedOrder(
                ref=ref_of(item["pk"]),
                outcome=item["outcome"],
                checked_at=datetime.fromisoformat(item["checked_at"]),
                mended_at=_moment(item.get("mended_at")),
                set_aside=item.get("set_aside"),
            )

    def held_back(self) -> dict[str, list[HeldAlert]]:
        """Return the alerts that are held back, by account, the oldest first."""
        held: dict[str, list[HeldAlert]] = {}
        for item in self._table.listed(HELD_BACK):
            alert = _held(item)
            held.setdefault(alert.ref.account, []).append(alert)
        return held

    def take_up(self, alert: HeldAlert, digest: int) -> bool:
        """Note that a run takes up an alert for its digest; say whether it is still the one that was listed."""
        # The SDK repeats a write of which it lost the answer, and must not meet its own.
        was_taken_up_by = "attribute_not_exists(digest)" if alert.digest is None else "digest = :before"
        before = {} if alert.digest is None else {"before": alert.digest}
        try:
            self._table.update(
                held_key(alert.ref),
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

    def drop(self, alert: HeldAlert) -> None:
        """Forget an alert that the digest has told which took it up, unless the order has another one by now."""
        with suppress(Conflict):
            self._table.delete(held_key(alert.ref), "digest = :digest", digest=alert.digest)

    def note_accounts(self, accounts: Iterable[str]) -> None:
        """Keep which accounts are served, for those who may not read the credentials."""
        self._table.put({"pk": _ACCOUNTS, "names": sorted(accounts)})

    def accounts(self) -> list[str]:
        """Return the accounts that were noted."""
        names: list[str] = self._table.get([_ACCOUNTS]).get(_ACCOUNTS, {}).get("names", [])
        return names


def _held(item: Item) -> HeldAlert:
    return HeldAlert(
        ref=ref_of(item["pk"]),
        kind=item["kind"],
        codes=tuple(item.get("codes", ())),
        since=datetime.fromisoformat(item["list_at"]),
        digest=int(item["digest"]) if "digest" in item else None,
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
