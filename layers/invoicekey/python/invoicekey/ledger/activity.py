"""When an account last gave a sign of life, and which of its troubles the guard has noted.

An item an account, `activity#luxstore`. The checker notes what it sees, the guard what is wrong; each writes attributes
of its own, so that neither undoes the other's.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import batched
from types import MappingProxyType

from invoicekey.ledger.table import Item, Table
from invoicekey.ledger.values import time_in
from invoicekey.runtime import telemetry
from invoicekey.runtime.telemetry import logger

NOTED_FOR = timedelta(hours=1)
"""So long a sign is not written again by the same environment: a time of the item may be so much too old."""
_MOST_KEYS = 100


class Sign(StrEnum):
    """What is noted of an account; named as its attribute is."""

    HOOK = "hook_at"
    """The hook brought an event."""
    CNOVA = "cnova_at"
    """An event was about an order of CNova's."""
    FEED_ONLY = "feed_only_at"
    """The feed brought an event that the hook had not."""
    REFUSED = "refused_at"
    """VTEX refused the credentials, or there are none."""


@dataclass(frozen=True, slots=True)
class Activity:
    """An account's item; None is what was never seen. Times are too old by NOTED_FOR at the most."""

    account: str
    first_hook_at: datetime | None = None
    hook_at: datetime | None = None
    cnova_at: datetime | None = None
    feed_only_at: datetime | None = None
    refused_at: datetime | None = None
    troubles: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))
    """The troubles that the guard saw last (work/silence.py), and when each was last told, or was seen if it is not."""


class Activities:
    """The items, for one environment."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._noted: dict[tuple[str, Sign], datetime] = {}

    def read(self, accounts: Iterable[str]) -> dict[str, Activity]:
        """Read the items of these accounts, consistently; a corrupt one is read as empty, and counted.

        Raises LedgerUnavailable.
        """
        found: dict[str, Activity] = {}
        for some in batched(accounts, _MOST_KEYS, strict=False):
            items = self._table.get([activity_key(account) for account in some])
            found |= {account: _readable(account, items.get(activity_key(account), {})) for account in some}
        return found

    def note(self, account: str, signs: Collection[Sign], now: datetime) -> None:
        """Note what was seen of an account, in one write; none where all of it was noted in the last hour.

        Raises LedgerUnavailable.
        """
        if all(self._is_noted(account, sign, now) for sign in signs):
            return
        changes = [f"{sign} = :now" for sign in sorted(signs)]
        if Sign.HOOK in signs:
            changes.append("first_hook_at = if_not_exists(first_hook_at, :now)")
        self._table.update(activity_key(account), f"SET {', '.join(changes)}", now=now.isoformat())
        self._noted |= {(account, sign): now for sign in signs}

    def note_troubles(self, account: str, troubles: Mapping[str, datetime]) -> None:
        """Note the troubles that an account has now. Raises LedgerUnavailable."""
        told = {trouble: at.isoformat() for trouble, at in troubles.items()}
        self._table.update(activity_key(account), "SET troubles = :troubles", troubles=told)

    def _is_noted(self, account: str, sign: Sign, now: datetime) -> bool:
        noted = self._noted.get((account, sign))
        return noted is not None and now - noted < NOTED_FOR


def activity_key(account: str) -> str:
    """Return the key of an account's item."""
    return f"activity#{account}"


def _readable(account: str, item: Item) -> Activity:
    try:
        return Activity(
            account,
            first_hook_at=_moment(item.get("first_hook_at")),
            hook_at=_moment(item.get(Sign.HOOK)),
            cnova_at=_moment(item.get(Sign.CNOVA)),
            feed_only_at=_moment(item.get(Sign.FEED_ONLY)),
            refused_at=_moment(item.get(Sign.REFUSED)),
            troubles=MappingProxyType({str(trouble): time_in(at) for trouble, at in item.get("troubles", {}).items()}),
        )
    except (AttributeError, TypeError, ValueError):
        telemetry.count("ledger_unreadable")
        logger.error("an account's activity in the ledger is corrupt: delete the item", extra={"account": account})
        return Activity(account)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else time_in(text)
