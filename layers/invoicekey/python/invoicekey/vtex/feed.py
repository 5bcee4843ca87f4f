"""VTEX's feed v3: what the hook told, or was to tell, kept for us until we say that we have it.

A page of up to ten events is handed out and hidden for a while; what is not committed by then is handed out again. The
handles that a commit takes are secrets: they name the appKey. (Orders API; developers.vtex.com/docs/guides/orders-feed)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.vtex.client import Vtex

ROUTE = "/api/orders/feed"
MOST_EVENTS = 10
"""So many at a time: no more of VTEX's feed, and no more in a batch of SQS."""


class FeedNotConfigured(Exception):
    """VTEX answered 404: the appKey has no feed."""


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """An event, with the fields of its notification as VTEX sent them, whatever they hold."""

    fields: dict[str, Any]
    handle: str = field(repr=False)

    def notification(self, account: str) -> dict[str, Any]:
        """Return what VTEX's hook tells of the same event; its State and LastChange are the same texts."""
        told = {_pascal_case(name): self.fields.get(name) for name in _FIELDS}
        return {**told, "Origin": {"Account": account}}


class Feed:
    """The feeds of the accounts: one an appKey."""

    def __init__(self, vtex: Vtex) -> None:
        self._vtex = vtex

    def read(self, account: str, time_left: float) -> list[FeedEvent]:
        """Read a page; empty where the feed has nothing now. Entries that could not be committed are left out.

        Raises FeedNotConfigured, and RetryLater and its kinds as `Vtex.call` does.
        """
        query = {"maxlot": str(MOST_EVENTS)}
        expects = {httpx.codes.NOT_FOUND}
        answer = self._vtex.call(account, "GET", ROUTE, query=query, time_left=time_left, expects=expects)
        if answer.status == httpx.codes.NOT_FOUND:
            raise FeedNotConfigured
        if not isinstance(answer.document, list):
            raise RetryLater("VTEX answered 200 without a page of the feed in it")
        events = [FeedEvent(_without_handle(entry), entry["handle"]) for entry in answer.document if _is_event(entry)]
        if odd := len(answer.document) - len(events):
            telemetry.count("feed_unreadable", odd)
        return events

    def commit(self, account: str, handles: Sequence[str], time_left: float) -> None:
        """Have VTEX forget events of the last page, by their handles; raises as `Vtex.call` does."""
        self._vtex.call(account, "POST", ROUTE, body={"handles": list(handles)}, time_left=time_left)


_FIELDS = ("domain", "orderId", "state", "lastState", "lastChange", "currentChange")


def _pascal_case(name: str) -> str:
    return name[0].upper() + name[1:]


def _is_event(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("handle"), str) and bool(entry["handle"])


def _without_handle(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name in _FIELDS}
