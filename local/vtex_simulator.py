"""A VTEX on this machine: it serves orders, lists and feeds, misbehaves on demand and counts what it was asked.

In a test::

    with VtexSimulator() as vtex:
        vtex.put_order({"orderId": "VVJ-1-01", "hostname": "luxstore", "status": "invoiced"})
        vtex.fail(Fault("status", status=429, retry_after=2, account="luxstore", times=1))
        ...  # a client reads f"{vtex.url}/luxstore/api/oms/pvt/orders/VVJ-1-01" until it has it
        assert [call.status for call in vtex.calls("VVJ-1-01")] == [429, 200]

What it answers of VTEX, under ``/{account}``, with an appKey and an appToken; in brackets its name for faults::

    GET /api/oms/pvt/orders/{order_id}                [order] the document, as it was put
    GET /api/oms/pvt/orders                           [list] rows without packages: f_status, f_affiliateId,
                                                      f_invoicedDate, f_creationDate, per_page, page, orderBy
    GET /api/orders/feed?maxlot=10                    [feed] what the feed of the appKey has
    POST /api/orders/feed                             [commit] {"handles": ["…"]}
    GET, POST, DELETE /api/orders/feed/config         [feed_config] one an appKey
    GET, POST, DELETE /api/orders/hook/config         [hook_config] one an appKey

From the shell, with a control API under ``/_simulator/``, JSON in and out::

    python -m local.vtex_simulator --port 8910 --host 127.0.0.1

    GET health                      200 once it listens
    PUT orders                      one order document or a list of them
    POST invoice-key                a person's edit in the Admin, an InvoiceEdit: {"order_id": "…", "invoice_key": "…"}
    GET, POST feed-events           POST one or a list: {"account": "…", "orderId": "…", "state": "invoiced"}
    GET, PUT hooks                  the hook configurations by appKey; PUT pings nobody: {"an-app-key": {…}}
    GET feeds                       the feed configurations by appKey
    GET, POST, DELETE faults        POST a Fault: {"kind": "status", "status": 503, "times": 2, "route": "feed"}
    GET, DELETE requests            what was asked, of one ?account=…, ?order_id=… or ?route=…

An order belongs to the account in its ``hostname``.
"""

import argparse
import contextlib
import itertools
import json
import re
import socket
import socketserver
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from email.message import Message
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self, get_args
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from local.vtex_routes import (
    BadInput,
    Feed,
    FeedEvent,
    OrderList,
    Query,
    TwoTypes,
    as_object,
    expect,
    filter_of,
    handles,
)

__all__ = ["BadInput", "Fault", "InvoiceEdit", "Kind", "OrderUnknown", "Request", "VtexSimulator"]

Order = dict[str, Any]
Kind = Literal[
    "delay",  # the usual answer, after `seconds`
    "status",  # `status`, with `retry_after` where it is set; a 404 is VTEX's "Order Not Found"
    "drop",  # the connection closes before the first byte
    "drop_midway",  # the connection closes in the middle of the body
    "login_page",  # 200 text/html
    "login_redirect",  # 302 to the login page
    "truncated_json",  # the length is right, the JSON is cut
    "empty_object",  # 200 with {}, whether there is something or not
    "wrong_order",  # the document says that it is another order
    "trickle",  # a byte now and then for `seconds` (60 unless told), then the connection closes
    "oversized",  # over 5 MB, and Content-Length says so
    "oversized_stream",  # over 5 MB, of no stated length
]
Delivery = Literal["whole", "drop", "half", "unsized", "trickle"]
ROUTES = ("order", "list", "feed", "commit", "hook_config", "feed_config")
"""The names of what VTEX answers here."""

_OVERSIZE, _LARGEST_BODY = 5 * 1024 * 1024 + 1, 64 * 1024 * 1024
_TRICKLE_SECONDS, _TRICKLE_INTERVAL, _LONGEST_SECONDS = 60, 0.02, 300
_VTEX_PATH = re.compile(r"/(?P<account>[^/]+)(?P<route>/api/.+)")
_ORDER_ID = re.compile(r"(?<=/pvt/orders/)[^/]+")


class OrderUnknown(LookupError):
    """No such order, or one that several accounts have and none was named."""


@dataclass
class Fault:
    """One way to misbehave, on the next `times` requests that fit or until cleared. The first that fits is used.

    It is for one `route`, reads of an order unless told; `wrong_order` makes sense for these alone.
    With a status or the login page nothing is done; otherwise it is done, and the client may not learn of it: what a
    dropped read of the feed handed out is hidden for a while, and a dropped commit is a commit. `seconds` holds the
    answer back, whatever the kind; for a trickle it is how long it lasts. `retry_after` is sent as it is: seconds, an
    HTTP date, or any other text.
    """

    kind: Kind
    account: str | None = None
    order_id: str | None = None
    times: int | None = None
    seconds: int | float = 0
    status: int = 503
    retry_after: int | str | None = None
    route: str = "order"
    used: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Refuse what would be waited for in vain."""
        expect(self.kind in get_args(Kind), f"kind must be one of {', '.join(get_args(Kind))}")
        expect(self.times is None or self.times > 0, "times must be 1 or more, or null")
        expect(0 <= self.seconds <= _LONGEST_SECONDS, f"seconds must be 0 to {_LONGEST_SECONDS}")
        expect(self.kind != "delay" or self.seconds > 0, "a delay needs seconds above 0")
        expect(self.status in range(400, 600), "status must be 400 to 599")
        expect(str(self.retry_after).isascii() and str(self.retry_after).isprintable(), "retry_after must be ASCII")
        expect(self.route in ROUTES, f"route must be one of {', '.join(ROUTES)}")
        expect(self.route == "order" or self.kind != "wrong_order", "wrong_order is for the route order")
        expect(self.route == "order" or self.order_id is None, "an order_id is for the route order")

    def fits(self, route: str, account: str, order_id: str) -> bool:
        """Say whether it spoils the next request to this route, and to this order."""
        is_left = self.times is None or self.used < self.times
        return is_left and self.route == route and self.account in {None, account} and self.order_id in {None, order_id}


@dataclass(frozen=True)
class Request:
    """What was asked and when it came. `status` is None where the connection was dropped.

    `connection` numbers the client's TCP connections; `account` and `order_id` are empty where the path names none.
    `route` is one of ROUTES, or empty where it is none of them.
    """

    at: datetime
    method: str
    account: str
    order_id: str
    status: int | None
    fault: Kind | None
    connection: int
    route: str = ""

    @property
    def is_forbidden_write(self) -> bool:
        """Say whether it tried to change something at VTEX other than a configuration or a feed."""
        return self.method != "GET" and self.status == HTTPStatus.METHOD_NOT_ALLOWED and not self.route


@dataclass(frozen=True)
class InvoiceEdit:
    """The key that a person saves in the Admin for an order's one sale invoice.

    `account` may be left out where one account alone has the order.
    """

    order_id: str
    account: str | None = None
    invoice_key: str = ""

    def apply(self, order: Order) -> None:
        """Change the invoice in the order document, and lastChange with it."""
        packages = (order.get("packageAttachment") or {}).get("packages") or []
        sales = [package for package in packages if package.get("type") == "Output"]
        expect(len(sales) == 1, f"order {self.order_id} has {len(sales)} sale invoices, and one is expected")
        sales[0]["invoiceKey"] = self.invoice_key
        order["lastChange"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0+00:00")


@dataclass(frozen=True)
class Call:
    """A request as the routes see it; `path` has {account} and {order_id} where the request named them."""

    method: str
    path: str
    query: Query
    headers: Message
    body: bytes
    account: str = ""
    order_id: str = ""

    @property
    def key(self) -> str:
        """Name it as the tables of routes do."""
        return f"{self.method} {self.path}"

    @property
    def app_key(self) -> str:
        """Say who asks."""
        return str(self.headers.get("X-VTEX-API-AppKey", ""))

    def json(self) -> object:
        """Read the body, or raise BadInput."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"the body is not JSON: {error}") from error


@dataclass(frozen=True)
class Answer:
    """A response, and how it reaches the client."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json; charset=utf-8"})
    delivery: Delivery = "whole"
    seconds: float = 0
    fault: Kind | None = None


Work = Callable[["VtexSimulator", Call], object]
"""A route: it gives an Answer, or a document that is sent as JSON."""


class VtexSimulator:
    """The simulator, served on `hosts` between start and close. Port 0 takes a free one.

    `faults` are tried in their order, `requests` holds what was asked since it was last cleared, `refused` the appKeys
    and appTokens that get a 403, `latency` the seconds that every answer of VTEX takes unless a fault says otherwise;
    all four may be changed at any time.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        hosts: tuple[str, ...] = ("127.0.0.1",),
        credentials: tuple[str, str] | None = None,
        verbose: bool = False,
    ) -> None:
        """Accept any appKey and appToken that are not empty, or only the pair in `credentials`."""
        self.port, self.hosts = port, hosts
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.refused: set[str] = set()
        self.latency: float = 0
        self.hooks: dict[str, dict[str, Any]] = {}
        """The hook configuration of each appKey, as it was posted."""
        self.feeds: dict[str, Feed] = {}
        """The feed of each appKey."""
        self.closing = threading.Event()
        self.connection_numbers = itertools.count(1)
        self._credentials, self._verbose = credentials, verbose
        self._orders: dict[str, dict[str, bytes]] = {}  # order id, account: document
        self._list = OrderList()
        self._lock = threading.RLock()
        self._servers: list[_Server] = []

    def start(self) -> Self:
        """Listen on every host; raises OSError where one cannot be had."""
        for host in self.hosts:
            server = _Server(host, self.port, self)
            self.port = server.server_port
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def close(self) -> None:
        """Stop listening and close every connection, even those that are deferred."""
        self.closing.set()
        for server in self._servers:
            server.close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    @property
    def url(self) -> str:
        """Where it listens; a base URL may go on with /{account}."""
        return f"http://{self.hosts[0]}:{self.port}"

    def put_order(self, order: Order) -> None:
        """Put or replace an order document, kept as it is, under the account in its hostname."""
        order_id, account = order.get("orderId"), order.get("hostname")
        if not (isinstance(order_id, str) and order_id and isinstance(account, str) and account):
            raise BadInput("an order needs its id in orderId and its account in hostname, both texts")
        document = _encode(order)
        with self._lock:
            self._orders.setdefault(order_id, {})[account] = document
            self._list.put(account, order)

    def lag(self, order_id: str, status: str) -> None:
        """Let the list show this status of an order from now on, whatever becomes of the order; raises OrderUnknown."""
        order = self.order(order_id)
        self._list.lags[order_id] = status
        self._list.put(order["hostname"], order)

    def order(self, order_id: str, account: str | None = None) -> Order:
        """Return a copy of an order document; raises OrderUnknown."""
        return as_object(json.loads(self.document(order_id, account or self.account_of(order_id))))

    def document(self, order_id: str, account: str) -> bytes:
        """Return an order as it is served; raises OrderUnknown."""
        try:
            return self._orders[order_id][account]
        except KeyError:
            raise OrderUnknown(f"no order {order_id} in account {account or '(name one)'}") from None

    def order_page(self, account: str, query: Query) -> dict[str, Any]:
        """Answer List orders as OrderList.page does; raises BadInput."""
        return self._list.page(account, query)

    def account_of(self, order_id: str) -> str:
        """Return the one account that has the order, or "" where none or several have it."""
        owners = list(self._orders.get(order_id, ()))
        return owners[0] if len(owners) == 1 else ""

    def edit_invoice(self, edit: InvoiceEdit) -> Order:
        """Do what a person does in the Admin after the invoice; returns the order as it is then."""
        with self._lock:
            order = self.order(edit.order_id, edit.account)
            edit.apply(order)
            self.put_order(order)
        return order

    def put_feed_event(self, account: str, order_id: str, state: str = "invoiced", **fields: str | None) -> int:
        """Put an event into every feed of the account that wants its state; returns how many kept it.

        `fields` are those of the control API: lastState, lastChange, currentChange, domain. Raises BadInput.
        """
        return self.offer(FeedEvent.of({**fields, "account": account, "orderId": order_id, "state": state}))

    def offer(self, event: FeedEvent) -> int:
        """Put an event into every feed that wants it; returns how many kept it."""
        return sum(feed.offer(event) for feed in list(self.feeds.values()))

    def fail(self, fault: Fault) -> Fault:
        """Misbehave from now on; the fault's `used` counts how often it did."""
        self.faults.append(fault)
        return fault

    def next_fault(self, route: str, account: str, order_id: str) -> Fault | None:
        """Take the fault of this request, if it has one."""
        with self._lock:
            fault = next((fault for fault in self.faults if fault.fits(route, account, order_id)), None)
            if fault:
                fault.used += 1
            return fault

    def calls(
        self, order_id: str | None = None, *, account: str | None = None, route: str | None = None
    ) -> list[Request]:
        """List what was asked, of one order, account or route if named; the control API is left out."""
        of_order = [one for one in list(self.requests) if order_id in {None, one.order_id}]
        return [one for one in of_order if account in {None, one.account} and route in {None, one.route}]

    @property
    def connections(self) -> int:
        """Count the distinct TCP connections on which the calls came."""
        return len({call.connection for call in self.calls()})

    @property
    def forbidden_writes(self) -> list[Request]:
        """List the calls that tried to change something at VTEX."""
        return [call for call in self.calls() if call.is_forbidden_write]

    def refusal(self, headers: Message) -> Answer | None:
        """Judge the credentials; None lets the request in."""
        pair = tuple(str(headers.get(f"X-VTEX-API-{name}", "")).strip() for name in ("AppKey", "AppToken"))
        if not all(pair) or self._credentials not in {None, pair}:
            return _error(HTTPStatus.UNAUTHORIZED, "Access not authorized")
        return _error(HTTPStatus.FORBIDDEN, "Access denied") if self.refused.intersection(pair) else None

    def answer(self, call: Call, connection: int) -> Answer:
        """Answer a call; what is not for the control API is recorded first."""
        if call.path.startswith("/_simulator/"):
            return _route(self, call)
        came = datetime.now(UTC)
        call = self._located(call)
        answer = _route(self, call)
        answer = replace(answer, seconds=answer.seconds or self.latency)
        route, _ = _AT_VTEX.get(call.key, ("", None))
        status = None if answer.delivery == "drop" else int(answer.status)
        seen = Request(came, call.method, call.account, call.order_id, status, answer.fault, connection, route)
        self.requests.append(seen)
        if self._verbose:
            print(f"{seen.method} {call.path!r} {seen.account!r} {seen.order_id!r} {status} {seen.fault}", flush=True)
        return answer

    def _located(self, call: Call) -> Call:
        at_vtex = _VTEX_PATH.fullmatch(call.path)
        if not at_vtex:
            return call
        order = _ORDER_ID.search(at_vtex["route"])
        order_id = unquote(order[0]) if order else ""
        path = "/{account}" + _ORDER_ID.sub("{order_id}", at_vtex["route"], count=1)
        return replace(call, path=path, account=at_vtex["account"], order_id=order_id)


def _route(vtex: VtexSimulator, call: Call) -> Answer:
    if call.key in _AT_VTEX:
        return _state(vtex, call, *_AT_VTEX[call.key])
    if call.key in _OPEN:
        return _done(vtex, call, _OPEN[call.key])
    if call.method == "GET":
        return _error(HTTPStatus.NOT_FOUND, "no such route")
    return _error(HTTPStatus.METHOD_NOT_ALLOWED, f"{call.method} is not answered here")


def _state(vtex: VtexSimulator, call: Call, route: str, work: Work) -> Answer:
    """Answer as VTEX does: to who is known, and not always well."""
    if refusal := vtex.refusal(call.headers):
        return refusal
    fault = vtex.next_fault(route, call.account, call.order_id)
    if not fault:
        return _done(vtex, call, work)
    answer = _INSTEAD[fault.kind](fault) if fault.kind in _INSTEAD else _done(vtex, call, work)
    spoiled = _SPOIL[fault.kind](answer) if fault.kind in _SPOIL else answer
    lasting = fault.seconds or (_TRICKLE_SECONDS if fault.kind == "trickle" else 0)
    return replace(spoiled, fault=fault.kind, seconds=lasting)


def _done(vtex: VtexSimulator, call: Call, work: Work) -> Answer:
    try:
        reply = work(vtex, call)
    except TwoTypes as error:
        return _error(HTTPStatus.CONFLICT, str(error))
    except BadInput as error:
        return _error(HTTPStatus.BAD_REQUEST, str(error))
    except OrderUnknown as error:
        return _error(HTTPStatus.NOT_FOUND, str(error))
    return reply if isinstance(reply, Answer) else Answer(HTTPStatus.OK, _encode(reply))


def _read_order(vtex: VtexSimulator, call: Call) -> Answer:
    try:
        return Answer(HTTPStatus.OK, vtex.document(call.order_id, call.account))
    except OrderUnknown:
        return _NOT_FOUND


def _fail(fault: Fault) -> Answer:
    is_missing = fault.status == HTTPStatus.NOT_FOUND and fault.route == "order"
    answer = _NOT_FOUND if is_missing else _error(fault.status, "The simulator was told to fail")
    wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return replace(answer, headers={**answer.headers, **wait})


def _one_or_several(document: object) -> list[dict[str, Any]]:
    return [as_object(one) for one in (document if isinstance(document, list) else [document])]


def _put_orders(vtex: VtexSimulator, call: Call) -> object:
    orders = _one_or_several(call.json())
    for order in orders:
        vtex.put_order(order)
    return {"put": len(orders)}


def _edit_invoice(vtex: VtexSimulator, call: Call) -> object:
    return {"edited": vtex.edit_invoice(_from_json(InvoiceEdit, call.json()))["orderId"]}


def _add_fault(vtex: VtexSimulator, call: Call) -> object:
    return asdict(vtex.fail(_from_json(Fault, call.json())))


def _show_requests(vtex: VtexSimulator, call: Call) -> object:
    query = call.query
    seen = vtex.calls(query.get("order_id"), account=query.get("account"), route=query.get("route"))
    return {
        "count": len(seen),
        "connections": len({one.connection for one in seen}),
        "forbidden_writes": sum(one.is_forbidden_write for one in seen),
        "requests": [asdict(one) | {"at": one.at.isoformat()} for one in seen],
    }


def _emptied(kept: list[Any]) -> object:
    kept.clear()
    return {"left": 0}


def _put_feed_events(vtex: VtexSimulator, call: Call) -> object:
    events = [FeedEvent.of(event) for event in _one_or_several(call.json())]
    return {"put": len(events), "kept": sum(vtex.offer(event) for event in events)}


def _show_feed_events(vtex: VtexSimulator, _: Call) -> object:
    return _in_ascii({"events": [event for feed in list(vtex.feeds.values()) for event in feed.uncommitted()]})


def _show_feed(vtex: VtexSimulator, call: Call) -> object:
    feed = vtex.feeds.get(call.app_key)
    return feed.config if feed else _NO_FEED


def _configure_feed(vtex: VtexSimulator, call: Call) -> object:
    """Keep a feed configuration; what the appKey's feed of the same account holds stays in it."""
    wanted, former = as_object(call.json()), vtex.feeds.get(call.app_key)
    if former and former.account == call.account:
        former.configure(wanted)
    else:
        vtex.feeds[call.app_key] = Feed(call.app_key, call.account, wanted)
    return {}


def _remove_feed(vtex: VtexSimulator, call: Call) -> object:
    vtex.feeds.pop(call.app_key, None)
    return {}


def _read_feed(vtex: VtexSimulator, call: Call) -> Answer:
    feed = vtex.feeds.get(call.app_key)
    return _in_ascii(feed.read(call.query)) if feed else _NO_FEED


def _commit(vtex: VtexSimulator, call: Call) -> object:
    done = handles(call.json())
    if feed := vtex.feeds.get(call.app_key):
        feed.commit(done)
    return {}


def _show_hook(vtex: VtexSimulator, call: Call) -> object:
    return vtex.hooks.get(call.app_key, _error(HTTPStatus.NOT_FOUND, "no hook is configured"))


def _configure_hook(vtex: VtexSimulator, call: Call) -> object:
    """Keep a hook configuration, once its address answered the ping with exactly 200."""
    wanted = as_object(call.json())
    hook = as_object(wanted.get("hook"))
    filter_of(wanted)
    expect(isinstance(hook.get("url"), str) and isinstance(hook.get("headers"), dict), "hook needs url and headers")
    expect(ping(hook["url"]), "the address did not answer the ping with 200")
    vtex.hooks[call.app_key] = wanted
    return {}


def _put_hooks(vtex: VtexSimulator, call: Call) -> object:
    """Configure hooks as another system would have: nobody is pinged."""
    vtex.hooks.update({app_key: as_object(config) for app_key, config in as_object(call.json()).items()})
    return {"put": len(vtex.hooks)}


def _remove_hook(vtex: VtexSimulator, call: Call) -> object:
    vtex.hooks.pop(call.app_key, None)
    return {}


def ping(url: str) -> bool:
    """Post VTEX's ping to an address of this machine; names below .localhost are this machine too."""
    address = urlsplit(url)
    local = address.hostname == "localhost" or (address.hostname or "").endswith(".localhost")
    target = address._replace(netloc=f"127.0.0.1:{address.port or 80}") if local else address
    request = urllib.request.Request(urlunsplit(target), data=b'{"hookConfig":"ping"}', method="POST")
    request.add_header("Host", address.netloc)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _from_json[T: (Fault, InvoiceEdit)](kind: type[T], document: object) -> T:
    types: dict[str, Any] = {one.name: one.type for one in fields(kind) if one.init}
    for name, value in as_object(document).items():
        expect(name in types, f"{name} is not one of {', '.join(types)}")
        expect(
            name == "kind" or isinstance(value, types[name]),
            f"{name} must be {getattr(types[name], '__name__', types[name])}",
        )
    try:
        return kind(**as_object(document))
    except TypeError as error:
        raise BadInput(str(error)) from error


def _encode(document: object) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise BadInput(f"this cannot be sent as JSON: {error}") from error


def _in_ascii(document: object) -> Answer:
    """Send texts that UTF-8 has no form for, too: an event may hold any."""
    return Answer(HTTPStatus.OK, json.dumps(document).encode())


def _with(document: bytes, **changes: object) -> bytes:
    return _encode(json.loads(document) | changes)


def _oversized(answer: Answer, delivery: Delivery) -> Answer:
    is_object = answer.body.startswith(b"{")
    body = _with(answer.body, padding="x" * _OVERSIZE) if is_object else answer.body + b" " * _OVERSIZE
    return replace(answer, body=body, delivery=delivery)


def _emptied_answer(answer: Answer) -> Answer:
    expects = answer.status in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}
    return replace(answer, status=HTTPStatus.OK, body=b"{}") if expects else answer


def _error(status: int, message: str, code: str | None = None) -> Answer:
    return Answer(status, _encode({"error": {"code": code or str(int(status)), "message": message, "exception": None}}))


_HTML = {"Content-Type": "text/html; charset=utf-8"}
_NOT_FOUND = _error(HTTPStatus.NOT_FOUND, "Order Not Found", "OMS007")
_LOGIN_PAGE = Answer(HTTPStatus.OK, b"<!DOCTYPE html><html><title>Login</title><form>Sign in</form></html>", _HTML)
_TO_LOGIN = Answer(HTTPStatus.FOUND, b"", {**_HTML, "Location": "/_v/login"})

_NO_FEED = _error(HTTPStatus.NOT_FOUND, "no feed is configured")

_INSTEAD: Mapping[Kind, Callable[[Fault], Answer]] = {
    "status": _fail,
    "login_page": lambda _: _LOGIN_PAGE,
    "login_redirect": lambda _: _TO_LOGIN,
}
_SPOIL: Mapping[Kind, Callable[[Answer], Answer]] = {
    "drop": lambda answer: replace(answer, delivery="drop"),
    "drop_midway": lambda answer: replace(answer, delivery="half"),
    "truncated_json": lambda answer: replace(answer, body=answer.body[: len(answer.body) // 2]),
    "trickle": lambda answer: replace(answer, body=b"{", delivery="trickle"),
    "oversized": lambda answer: _oversized(answer, "whole"),
    "oversized_stream": lambda answer: _oversized(answer, "unsized"),
    "empty_object": _emptied_answer,
    "wrong_order": lambda answer: replace(answer, body=_with(answer.body, orderId="OTHER-1")),
}

_AT_VTEX: Mapping[str, tuple[str, Work]] = {
    "GET /{account}/api/oms/pvt/orders/{order_id}": ("order", _read_order),
    "GET /{account}/api/oms/pvt/orders": ("list", lambda vtex, call: vtex.order_page(call.account, call.query)),
    "GET /{account}/api/orders/feed": ("feed", _read_feed),
    "POST /{account}/api/orders/feed": ("commit", _commit),
    "GET /{account}/api/orders/feed/config": ("feed_config", _show_feed),
    "POST /{account}/api/orders/feed/config": ("feed_config", _configure_feed),
    "DELETE /{account}/api/orders/feed/config": ("feed_config", _remove_feed),
    "GET /{account}/api/orders/hook/config": ("hook_config", _show_hook),
    "POST /{account}/api/orders/hook/config": ("hook_config", _configure_hook),
    "DELETE /{account}/api/orders/hook/config": ("hook_config", _remove_hook),
}

_OPEN: Mapping[str, Work] = {
    "GET /_v/login": lambda *_: _LOGIN_PAGE,
    "GET /_simulator/health": lambda *_: {"status": "ok"},
    "PUT /_simulator/orders": _put_orders,
    "POST /_simulator/invoice-key": _edit_invoice,
    "GET /_simulator/hooks": lambda vtex, _: vtex.hooks,
    "PUT /_simulator/hooks": _put_hooks,
    "GET /_simulator/feeds": lambda vtex, _: {app_key: feed.config for app_key, feed in vtex.feeds.items()},
    "GET /_simulator/feed-events": _show_feed_events,
    "POST /_simulator/feed-events": _put_feed_events,
    "GET /_simulator/faults": lambda vtex, _: {"faults": [asdict(fault) for fault in vtex.faults]},
    "POST /_simulator/faults": _add_fault,
    "DELETE /_simulator/faults": lambda vtex, _: _emptied(vtex.faults),
    "GET /_simulator/requests": _show_requests,
    "DELETE /_simulator/requests": lambda vtex, _: _emptied(vtex.requests),
}


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    allow_reuse_port = False  # two simulators on one port would share its traffic unseen

    def __init__(self, host: str, port: int, vtex: VtexSimulator) -> None:
        self.vtex = vtex
        self._open: set[Any] = set()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks the DNS for a name that nobody reads
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection_number = next(self.server.vtex.connection_numbers)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a client may hang up at any time
            super().handle()

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        is_readable = "Transfer-Encoding" not in self.headers and length.isdecimal() and int(length) <= _LARGEST_BODY
        body = self.rfile.read(int(length)) if is_readable else b""
        self.close_connection = self.close_connection or not is_readable
        path, _, query = self.path.partition("?")
        call = Call(self.command, path, dict(parse_qsl(query, keep_blank_values=True)), self.headers, body)
        self._deliver(self.server.vtex.answer(call, self.connection_number))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _deliver(self, answer: Answer) -> None:
        self.close_connection = self.close_connection or answer.delivery != "whole"
        if answer.delivery == "trickle":
            self._trickle(answer)
            return
        if answer.seconds and self.server.vtex.closing.wait(answer.seconds):
            self.close_connection = True
        elif answer.delivery == "half":
            self.wfile.write(self._head(answer) + answer.body[: len(answer.body) // 2])
        elif answer.delivery != "drop":
            self.wfile.write(self._head(answer) + answer.body)

    def _trickle(self, answer: Answer) -> None:
        end = time.monotonic() + answer.seconds
        self.wfile.write(self._head(answer) + answer.body)
        while time.monotonic() < end and not self.server.vtex.closing.wait(_TRICKLE_INTERVAL):
            self.wfile.write(b" ")

    def _head(self, answer: Answer) -> bytes:
        headers = {"Date": formatdate(usegmt=True), **answer.headers}
        if answer.delivery in {"whole", "half"}:
            headers["Content-Length"] = str(len(answer.body))
        if self.close_connection:
            headers["Connection"] = "close"
        status_line = f"HTTP/1.1 {int(answer.status)} {self.responses.get(answer.status, ('',))[0]}"
        lines = [status_line, *(f"{name}: {text}" for name, text in headers.items()), "", ""]
        return "\r\n".join(lines).encode("ascii")


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="vtex_simulator", description="A VTEX on this machine.")
    parser.add_argument("--port", type=int, default=8910, help="0 takes a free one")
    parser.add_argument("--host", action="append", help="may be repeated; 127.0.0.1 where left out")
    parser.add_argument("--verbose", action="store_true", help="a line a request on stdout")
    options = parser.parse_args()
    vtex = VtexSimulator(
        port=options.port,
        hosts=tuple(options.host or ["127.0.0.1"]),
        verbose=options.verbose,
    )
    try:
        vtex.start()
    except OSError as error:
        parser.error(str(error))
    print(f"VTEX simulator on {vtex.url}", file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    vtex.close()


if __name__ == "__main__":
    main()
