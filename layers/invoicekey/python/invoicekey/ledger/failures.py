"""Each account's failures: what is open, snoozed, archived, and what was closed, each a list by time.

An order's item is in one of the lists at the most, with what the lists show of it as one short text: so ten thousand
are read within a second, and a re-check that finds nothing new does not touch the index. They are written with the
order's item, in the same write, and so are as exact as it is: however often a message comes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from invoicekey.ledger.table import FAILURES, Item, Table
from invoicekey.rules.notification import OrderRef

MOST_EPISODES = 30
"""So many failures of one order are remembered: the figures of twelve weeks are exact for who fails every third day."""


_SHOWN = ("pk", "failures_at", "failure")
"""What is read of an item. The list's name is known."""


class State(StrEnum):
    """In which of its account's lists an order stands."""

    OPEN = "open"
    SNOOZED = "snoozed"
    """Open, and nobody is reminded of it until its day."""
    ARCHIVED = "archived"
    """Dismissed or expired."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Shown:
    """An error of an order, as lists show it."""

    code: str
    invoice_number: str | None
    has_suggestion: bool
    suggested_key: str | None = None
    """Unknown of what the former version stored: it kept only that there is one."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who writes an invoice: it tells which system or branch sends rubbish. Both are part of an access key."""

    tax_id: str
    series: int


@dataclass(frozen=True, slots=True)
class Episode:
    """A failure of an order from its opening to its end."""

    opened_at: datetime
    codes: tuple[str, ...]
    """Of the errors that it has had, each once, those that it began with first."""
    issuers: tuple[Issuer, ...] = ()
    """Of its invoices, by their keys when it was mended; until then by the keys suggested, or those that are there."""
    suggested: int = 0
    """For so many invoices that were mended a key had been suggested."""
    suggested_rightly: int = 0
    """So many of them got that very key."""
    closed_at: datetime | None = None
    reason: str | None = None
    """A record's `reason`, or `expired`; None while it is open."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An order in one of its account's lists."""

    ref: OrderRef
    state: State
    at: datetime
    """When it was opened; of an archived or closed one, since when it is that."""
    errors: tuple[Shown, ...] = ()
    marketplace_order_id: str | None = None
    snoozed_until: datetime | None = None
    archived: str | None = None
    """`dismissed` or `expired`."""
    episodes: tuple[Episode, ...] = ()
    """Its failures, the newest last; that of an open order has no end yet."""
    report: int = 0
    """The number of its last report: who acts on another one saw something else. 0 where it is not known."""

    def is_snoozed(self, now: datetime) -> bool:
        """Say whether nobody is to be reminded of it: its day has not come."""
        return self.state is State.SNOOZED and self.snoozed_until is not None and now < self.snoozed_until


def attributes(failure: Failure) -> Item:
    """Return what an order's item holds for the lists."""
    shown = {
        "errors": [[e.code, e.invoice_number, e.suggested_key or e.has_suggestion] for e in failure.errors],
        "marketplace_order_id": failure.marketplace_order_id,
        "snoozed_until": _text(failure.snoozed_until),
        "archived": failure.archived,
        "episodes": [_episode_item(episode) for episode in failure.episodes],
        "report": failure.report,
    }  # fmt: skip
    return {
        "failures": _list(failure.ref.account, failure.state),
        "failures_at": _text(failure.at),
        "failure": json.dumps({name: value for name, value in shown.items() if value}, separators=(",", ":")),
    }


def failure_of(item: Mapping[str, Any]) -> Failure:
    """Return what an item of the index holds; KeyError, TypeError or ValueError where somebody corrupted it."""
    _, account, order_id = item["pk"].split("#")
    shown = json.loads(item["failure"])
    return Failure(
        OrderRef(account, order_id),
        State(item["failures"].partition("#")[0]),
        datetime.fromisoformat(item["failures_at"]),
        errors=tuple(_shown(*error) for error in shown.get("errors", ())),
        marketplace_order_id=shown.get("marketplace_order_id"),
        snoozed_until=_moment(shown.get("snoozed_until")),
        archived=shown.get("archived"),
        episodes=tuple(map(_episode_of, shown.get("episodes", ()))),
        report=int(shown.get("report", 0)),
    )


@dataclass(slots=True)
class Glimpse:
    """What lists are narrowed by, read of each of ten thousand items: so it is little, and not frozen."""

    codes: list[str]
    """Of its errors; of a closed one, of those that it had."""
    invoice_numbers: list[str]
    marketplace_order_id: str | None
    has_suggestion: bool


def glimpse_of(item: Mapping[str, Any]) -> Glimpse:
    """Return the little that an item of the index is looked at for first; raises as `failure_of` does."""
    shown = json.loads(item["failure"])
    errors, episodes = shown.get("errors", ()), shown.get("episodes", ())
    return Glimpse(
        [code for code, _, _ in errors] or list(episodes[-1][1] if episodes else ()),
        [number for _, number, _ in errors if number],
        shown.get("marketplace_order_id"),
        any(suggestion for _, _, suggestion in errors),
    )


class FailureLists:
    """The lists."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def items(self, account: str, states: Sequence[State], since: datetime | None = None) -> Iterator[Item]:
        """Yield the items of some lists, each oldest first, for `failure_of`; `since` leaves out what is older."""
        for state in states:
            name = _list(account, state)
            for item in self._table.listed(name, index=FAILURES, since=_text(since) or "", only=_SHOWN):
                item["failures"] = name
                yield item

    def count(self, account: str, state: State, since: datetime | None = None) -> int:
        """Count a list."""
        return self._table.count(_list(account, state), index=FAILURES, since=_text(since) or "")


def _list(account: str, state: State) -> str:
    return f"{state}#{account}"


def _shown(code: str, number: str | None, suggestion: str | bool) -> Shown:
    return Shown(code, number, bool(suggestion), suggestion if isinstance(suggestion, str) else None)


def _episode_item(episode: Episode) -> list[Any]:
    issuers = [[issuer.tax_id, issuer.series] for issuer in episode.issuers]
    ended = [_text(episode.closed_at), episode.reason] if episode.closed_at else []
    return [
        _text(episode.opened_at),
        list(episode.codes),
        issuers,
        episode.suggested,
        episode.suggested_rightly,
        *ended,
    ]


def _episode_of(stored: Sequence[Any]) -> Episode:
    """Return an episode as it is stored."""
    opened_at, codes, issuers, suggested, rightly, *ended = stored
    closed_at, reason = ended or (None, None)
    return Episode(
        datetime.fromisoformat(opened_at),
        tuple(codes),
        tuple(Issuer(tax_id, int(series)) for tax_id, series in issuers),
        int(suggested),
        int(rightly),
        _moment(closed_at),
        reason,
    )


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
