"""What the simulated VTEX knows of many orders at once: the list of orders, and feed v3.

Both are plain objects that take what a client sent and give the document that VTEX would answer, or raise BadInput::

    orders = OrderList()
    orders.put("luxstore", {"orderId": "VVJ-1-01", "creationDate": "2026-03-03T14:54:00Z", "status": "invoiced"})
    assert orders.page("luxstore", {"f_status": "invoiced"})["paging"]["total"] == 1

    feed = Feed("vtexappkey-luxstore", "luxstore", {"filter": {"type": "FromWorkflow", "status": ["invoiced"]}})
    feed.offer(FeedEvent.of({"account": "luxstore", "orderId": "VVJ-1-01", "state": "invoiced"}))
    [item] = feed.hand_out(10)
    feed.commit([item["handle"]])

Sources: VTEX's Orders API (List orders, Feed v3) and the guide orders-feed.
"""

import base64
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from math import ceil
from typing import Any, Self, TypeGuard
from uuid import uuid4

Query = Mapping[str, str]

MOST_ROWS, MOST_PAGES, MOST_ITEMS = 100, 30, 10
"""Rows a page, pages a query and items a read of the feed: VTEX's limits, so a query shows 3,000 orders at most."""

_USUAL_ROWS = 15
_USUAL_VISIBILITY, _LONGEST_VISIBILITY = 240, 12 * 60 * 60
_SHORTEST_RETENTION, _LONGEST_RETENTION = 4 * 24 * 60 * 60, 14 * 24 * 60 * 60
_OF_THE_OTHER_TYPE = {
    "FromWorkflow": frozenset({"expression", "disableSingleFire"}),
    "FromOrders": frozenset({"status"}),
}
_FILTER_TYPES = tuple(_OF_THE_OTHER_TYPE)

_NEWEST_FIRST, _OLDEST_FIRST = "creationDate,desc", "creationDate,asc"
_TEXT_FILTERS = {"f_status": "status", "f_affiliateId": "affiliateId"}
_PERIOD_FILTERS = {"f_creationDate": "creationDate", "f_invoicedDate": "invoicedDate"}
_PARAMETERS = frozenset({"per_page", "page", "orderBy", *_TEXT_FILTERS, *_PERIOD_FILTERS})
_PERIOD = re.compile(r"(\w+):\[(\S+) TO (\S+)\]")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")

_PERSON = "Maria da Silva"
_MESSAGE = f"Lux Store Sua Nota Fiscal foi emitida. Olá, {_PERSON}. Estamos empacotando seu produto"
_DESCRIPTIONS = {
    "payment-pending": "Pagamento Pendente",
    "payment-approved": "Pagamento Aprovado",
    "ready-for-handling": "Pronto para o Manuseio",
    "handling": "Preparando Entrega",
    "invoiced": "Faturado",
    "canceled": "Cancelado",
}


class BadInput(ValueError):
    """The simulator was told to do what it cannot; the message says what it expects."""


class TwoTypes(BadInput):
    """A filter has what belongs to the other type; VTEX answers 409 to it."""


def expect(holds: bool, otherwise: str) -> None:
    """Raise BadInput with what was expected, unless it holds."""
    if not holds:
        raise BadInput(otherwise)


def as_object(document: object, called: str = "the document") -> dict[str, Any]:
    """Return a JSON object as such, or raise BadInput."""
    if not isinstance(document, dict):
        raise BadInput(f"{called} must be a JSON object")
    return document


def filter_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter of a hook or a feed; raises BadInput without a type, TwoTypes with what is the other type's."""
    chosen = as_object(config.get("filter"), "filter")
    expect(chosen.get("type") in _FILTER_TYPES, f"filter.type must be one of {', '.join(_FILTER_TYPES)}")
    if mixed := _OF_THE_OTHER_TYPE[chosen["type"]] & chosen.keys():
        raise TwoTypes(f"{', '.join(sorted(mixed))} may not be in a filter of this type")
    return chosen


def is_within(value: object, least: float, most: float) -> TypeGuard[float]:
    """Say whether it is a JSON number from least to most."""
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def is_texts(value: object) -> TypeGuard[list[str]]:
    """Say whether it is a list that holds nothing but texts."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


# ---- List orders


class OrderList:
    """The rows of List orders, an account. They are parsed when an order is put, so that pages of many are cheap.

    As at VTEX, filters compare letter by letter, and what they compare is the row and not the order: one that `lags`
    shows an old status, by which it is found, whatever the order says (known issue 577103).
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, _Row]] = {}  # account, order id
        self.lags: dict[str, str] = {}
        """The status that the list goes on showing of an order, by its id."""
        self._newest_first: dict[str, list[_Row]] = {}  # as sorted when last asked for
        self._lock = threading.Lock()

    def put(self, account: str, order: Mapping[str, Any]) -> None:
        """Show the order as it is now."""
        row = _Row.of(order, self.lags.get(order["orderId"]))
        with self._lock:
            self._rows.setdefault(account, {})[order["orderId"]] = row
            self._newest_first.pop(account, None)

    def page(self, account: str, query: Query) -> dict[str, Any]:
        """Answer List orders; raises BadInput.

        `paging` counts all that match, also beyond the 3,000 that can be read; a page after the last one is empty.
        """
        for name in query.keys() - _PARAMETERS:
            raise BadInput(f"{name} is not simulated")
        per_page = _whole_number(query, "per_page", _USUAL_ROWS, MOST_ROWS)
        page = _whole_number(query, "page", 1, MOST_PAGES)
        filters = list(_filters(query))
        rows = [row.shown for row in self._sorted(account, query) if all(is_wanted(row) for is_wanted in filters)]
        values = [row["totalValue"] for row in rows if isinstance(row["totalValue"], int | float)]
        return {
            "list": rows[(page - 1) * per_page : page * per_page],
            "facets": [],
            "paging": {
                "total": len(rows),
                "pages": ceil(len(rows) / per_page),
                "currentPage": page,
                "perPage": per_page,
            },
            "stats": {"stats": {"totalValue": {"Count": len(values), "Sum": sum(values)}}},
        }

    def _sorted(self, account: str, query: Query) -> list["_Row"]:
        order_by = query.get("orderBy", _NEWEST_FIRST)
        expect(order_by in {_NEWEST_FIRST, _OLDEST_FIRST}, f"orderBy must be {_NEWEST_FIRST} or {_OLDEST_FIRST}")
        with self._lock:
            if account not in self._newest_first:
                self._newest_first[account] = sorted(self._rows.get(account, {}).values(), key=_age, reverse=True)
            newest_first = self._newest_first[account]
        return newest_first if order_by == _NEWEST_FIRST else newest_first[::-1]


@dataclass(frozen=True, slots=True)
class _Row:
    shown: Mapping[str, Any]
    times: Mapping[str, datetime | None]

    @classmethod
    def of(cls, order: Mapping[str, Any], lagging: str | None = None) -> Self:
        status = lagging or order.get("status")
        shown = {
            "orderId": order["orderId"],
            "creationDate": order.get("creationDate"),
            "clientName": _PERSON,
            "items": None,
            "totalValue": order.get("value"),
            "paymentNames": "",
            "status": status,
            "statusDescription": _DESCRIPTIONS.get(str(status), ""),
            "marketPlaceOrderId": order.get("marketplaceOrderId"),
            "sequence": order.get("sequence"),
            "salesChannel": order.get("salesChannel"),
            "affiliateId": order.get("affiliateId"),
            "origin": order.get("origin"),
            "workflowInErrorState": bool(order.get("workflowIsInError")),
            "workflowInRetry": False,
            "lastMessageUnread": _MESSAGE,
            "ShippingEstimatedDate": None,
            "ShippingEstimatedDateMax": None,
            "ShippingEstimatedDateMin": None,
            "orderIsComplete": bool(order.get("isCompleted", True)),
            "listId": None,
            "listType": None,
            "authorizedDate": order.get("authorizedDate"),
            "callCenterOperatorName": None,
            "totalItems": len(order.get("items") or ()),
            "currencyCode": "BRL",
        }
        return cls(shown, {name: _time(order.get(name)) for name in _PERIOD_FILTERS.values()})


def _age(row: _Row) -> tuple[datetime, str]:
    return row.times["creationDate"] or datetime.min.replace(tzinfo=UTC), row.shown["orderId"]


def _filters(query: Query) -> Iterator[Callable[[_Row], bool]]:
    for name in _TEXT_FILTERS.keys() & query.keys():
        yield partial(_has, _TEXT_FILTERS[name], query[name])
    for name in _PERIOD_FILTERS.keys() & query.keys():
        time_of = _PERIOD_FILTERS[name]
        period = _PERIOD.fullmatch(query[name])
        first, last = (_time(period[2]), _time(period[3])) if period and period[1] == time_of else (None, None)
        if not first or not last:
            raise BadInput(f"{name} must be {time_of}:[2026-01-01T02:00:00.000Z TO 2026-01-02T01:59:59.999Z]")
        yield partial(_is_in, time_of, first, last)


def _has(name: str, wanted: str, row: _Row) -> bool:
    return bool(row.shown[name] == wanted)


def _is_in(time_of: str, first: datetime, last: datetime, row: _Row) -> bool:
    moment = row.times[time_of]
    return moment is not None and first <= moment <= last


def _time(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and not moment.tzinfo else moment


def _whole_number(query: Query, name: str, usual: int, most: int) -> int:
    text = query.get(name, str(usual))
    expect(bool(_WHOLE_NUMBER.fullmatch(text)) and 1 <= int(text) <= most, f"{name} must be 1 to {most}")
    return int(text)


# ---- Feed v3


@dataclass(frozen=True)
class FeedEvent:
    """A change of an order's state on its way into the feeds of an account; `item` is what a feed shows of it."""

    account: str
    item: Mapping[str, str | None]

    @classmethod
    def of(cls, document: Mapping[str, object]) -> Self:
        """Read {account, orderId, state}, and {lastState, lastChange, currentChange, domain} where they are given.

        Any text is taken as it is: real events are odd at times. Raises BadInput.
        """
        now = datetime.now(UTC)
        optional: dict[str, object] = {
            "domain": "Fulfillment",
            "lastState": "invoice",
            "lastChange": _vtex_time(now - timedelta(minutes=1)),
            "currentChange": _vtex_time(now),
        }
        required = ("account", "orderId", "state")
        for name in required:
            expect(isinstance(document.get(name), str), f"an event needs its {name}, a text")
        expect(document["account"] != "", "an event needs its account, a text that is not empty")
        for name in document.keys() - set(required):
            expect(name in optional, f"{name} is not one of {', '.join((*required, *optional))}")
            expect(isinstance(document[name], str | None), f"{name} must be a text or null")
        given: dict[str, Any] = optional | dict(document)
        return cls(given.pop("account"), {"eventId": uuid4().hex.upper(), **given})


@dataclass
class _Kept:
    event: FeedEvent
    handle: str = ""
    visible_at: float = 0


class Feed:
    """The one feed of an appKey: what its configuration lets in, until it is committed.

    An event that is handed out cannot be seen for the visibility timeout, then it is there again with a new handle.
    It takes the events of the account in whose path it was configured.
    """

    def __init__(self, app_key: str, account: str, config: Mapping[str, Any]) -> None:
        """Raises BadInput for a configuration that VTEX refuses."""
        self.app_key, self.account = app_key, account
        self._kept: list[_Kept] = []
        self._lock = threading.Lock()
        self.configure(config)

    def configure(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration and keep the events; raises BadInput.

        As at VTEX, nobody looks whether a status is one. Unlike there, the queue may leave its times out, and the
        visibility timeout may be 0 or a fraction, for tests.
        """
        chosen = filter_of(config)
        queue = {name.lower(): value for name, value in as_object(config.get("queue"), "queue").items()}
        visibility = queue.get("visibilitytimeoutinseconds", _USUAL_VISIBILITY)
        retention = queue.get("messageretentionperiodinseconds", _SHORTEST_RETENTION)
        expect(is_texts(chosen.get("status")) and bool(chosen["status"]), "filter.status must be a list of statuses")
        expect(
            is_within(visibility, 0, _LONGEST_VISIBILITY),
            f"visibilityTimeoutInSeconds must be 0 to {_LONGEST_VISIBILITY}",
        )
        expect(
            is_within(retention, _SHORTEST_RETENTION, _LONGEST_RETENTION),
            f"MessageRetentionPeriodInSeconds must be {_SHORTEST_RETENTION} to {_LONGEST_RETENTION}",
        )
        self.config = config
        self._states, self._visibility = frozenset(chosen["status"]), visibility

    def offer(self, event: FeedEvent) -> bool:
        """Keep an event of this account whose state is asked for, letter by letter; says whether it was kept."""
        if self.account != event.account or event.item["state"] not in self._states:
            return False
        with self._lock:
            self._kept.append(_Kept(event))
        return True

    def read(self, query: Query) -> list[dict[str, str | None]]:
        """Hand out as many as ?maxlot= says; raises BadInput where it is left out, and above 10."""
        return self.hand_out(_whole_number(query, "maxlot", 0, MOST_ITEMS))

    def hand_out(self, count: int) -> list[dict[str, str | None]]:
        """Give up to `count` visible items, {eventId, handle, domain, state, …}, and hide them for the timeout."""
        now = time.monotonic()
        with self._lock:
            handed = list(islice((kept for kept in self._kept if kept.visible_at <= now), count))
            for kept in handed:
                kept.handle, kept.visible_at = self._new_handle(kept.event), now + self._visibility
            return [{**kept.event.item, "handle": kept.handle} for kept in handed]

    def commit(self, handles: Collection[str]) -> None:
        """Remove what was last handed out under these handles; a handle that is unknown or outdated does nothing."""
        done = set(handles)
        with self._lock:
            self._kept = [kept for kept in self._kept if kept.handle not in done or not kept.handle]

    def uncommitted(self) -> list[dict[str, Any]]:
        """List what is left, as {account, orderId, state, is_visible}."""
        now = time.monotonic()
        with self._lock:
            return [
                {
                    "account": kept.event.account,
                    "orderId": kept.event.item["orderId"],
                    "state": kept.event.item["state"],
                    "is_visible": kept.visible_at <= now,
                }
                for kept in self._kept
            ]

    def _new_handle(self, event: FeedEvent) -> str:
        claims = {"appKey": self.app_key, "account": event.account, "orderId": event.item["orderId"]}
        parts = (_json({"alg": "HS256", "typ": "JWT"}), _json(claims | {"jti": uuid4().hex}), secrets.token_bytes(32))
        return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def handles(document: object) -> list[str]:
    """Read the body of a commit, {"handles": ["…"]}; raises BadInput."""
    given = as_object(document).get("handles")
    if not is_texts(given):
        raise BadInput("handles must be a list of texts")
    return given


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _vtex_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
