"""The VTEX simulator: what it does besides VTEX's API, which tests, demo and benchmarks rely on.

That it answers as VTEX documents is in test_vtex_contract.py.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from local.vtex_simulator import ROUTES, BadInput, Fault, InvoiceEdit, Kind, VtexSimulator, ping
from tests.fakes_visits import OTHER, SHOP, app_key, headers
from tests.orders import KEY, cnova_order, returned, sale

ROOT = Path(__file__).parents[2]
ORDER_ID = "VVJ-975102-01"
ORDER = cnova_order(sale(key=None))
HOOKS: dict[str, Any] = {"another-key": {"filter": {}, "hook": {}}}
MEGABYTES_5 = 5 * 1024 * 1024
ORDER_PATH, LIST_PATH, FEED_PATH = f"/api/oms/pvt/orders/{ORDER_ID}", "/api/oms/pvt/orders", "/api/orders/feed"
FEED: dict[str, Any] = {"filter": {"type": "FromWorkflow", "status": ["invoiced", "canceled"]}, "queue": {}}
REQUESTS: dict[str, tuple[str, str, object]] = {
    "order": ("GET", ORDER_PATH, None),
    "list": ("GET", LIST_PATH, None),
    "feed": ("GET", f"{FEED_PATH}?maxlot=10", None),
    "commit": ("POST", FEED_PATH, {"handles": []}),
    "hook_config": ("DELETE", "/api/orders/hook/config", None),
    "feed_config": ("GET", f"{FEED_PATH}/config", None),
}
"""A request to each route."""


def connect(vtex: VtexSimulator, account: str = SHOP, **more: str) -> httpx.Client:
    """Return a client of an account; `more` are headers besides its credentials, or instead of them."""
    return httpx.Client(base_url=f"{vtex.url}/{account}", headers=headers(account) | more, verify=False)


@pytest.fixture
def vtex() -> Iterator[VtexSimulator]:
    """Return a VTEX where the shop has an order, and a feed that holds nothing."""
    with VtexSimulator() as simulator, connect(simulator) as client:
        simulator.put_order(ORDER)
        client.post(f"{FEED_PATH}/config", json=FEED).raise_for_status()
        simulator.requests.clear()
        yield simulator


@pytest.fixture
def client(vtex: VtexSimulator) -> Iterator[httpx.Client]:
    with connect(vtex) as http:
        yield http


@pytest.fixture
def control(vtex: VtexSimulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{vtex.url}/_simulator/", verify=False) as http:
        yield http


def ask(client: httpx.Client, route: str) -> httpx.Response:
    method, path, body = REQUESTS[route]
    return client.request(method, path, json=body)


def read_feed(client: httpx.Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = ask(client, "feed").raise_for_status().json()
    return items


def commit(client: httpx.Client, items: list[dict[str, Any]]) -> None:
    client.post(FEED_PATH, json={"handles": [item["handle"] for item in items]})


# ---- Faults


@dataclass
class Seen:
    """What a client sees of an answer, the error that ended it, and the seconds that it took."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    error: str = ""
    seconds: float = 0

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", -1))

    @property
    def document(self) -> Any:
        with suppress(ValueError):
            return json.loads(self.content)


def see(client: httpx.Client) -> Seen:
    seen, began = Seen(), time.monotonic()
    try:
        with client.stream("GET", ORDER_PATH) as answer:
            seen.status, seen.headers = answer.status_code, dict(answer.headers)
            seen.content = answer.read()
    except httpx.RemoteProtocolError as error:
        seen.error = str(error)
    seen.seconds = time.monotonic() - began
    return seen


FAULTS: dict[Kind, tuple[dict[str, Any], Callable[[Seen], bool]]] = {
    "delay": ({"seconds": 0.1}, lambda seen: seen.seconds >= 0.1 and seen.document == ORDER),
    "status": ({"retry_after": 7}, lambda seen: (seen.status, seen.headers["retry-after"]) == (503, "7")),
    "drop": ({}, lambda seen: seen.status is None and "without sending a response" in seen.error),
    "drop_midway": ({}, lambda seen: seen.status == 200 and "complete message body" in seen.error),
    "login_page": ({}, lambda seen: (seen.status, seen.headers["content-type"][:9]) == (200, "text/html")),
    "login_redirect": ({}, lambda seen: (seen.status, seen.headers["location"]) == (302, "/_v/login")),
    "truncated_json": ({}, lambda seen: seen.document is None and seen.length == len(seen.content) > 100),
    "empty_object": ({}, lambda seen: (seen.status, seen.document) == (200, {})),
    "wrong_order": ({}, lambda seen: seen.document == ORDER | {"orderId": "OTHER-1"}),
    "trickle": ({"seconds": 0.2}, lambda seen: seen.seconds >= 0.2 and set(seen.content.decode()) == set("{ ")),
    "oversized": ({}, lambda seen: seen.length > MEGABYTES_5 and seen.document["orderId"] == ORDER_ID),
    "oversized_stream": ({}, lambda seen: seen.length == -1 and len(seen.content) > MEGABYTES_5 and seen.document),
}  # fmt: skip
"""How each kind of fault is asked for, and what a client sees of it."""


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_fault_does_what_its_name_says(vtex: VtexSimulator, client: httpx.Client, kind: Kind) -> None:
    settings, is_seen = FAULTS[kind]
    vtex.fail(Fault(kind, times=1, **settings))

    spoilt = see(client)

    assert is_seen(spoilt), spoilt
    assert see(client).document == ORDER


@pytest.mark.parametrize("route", ROUTES)
def test_each_route_can_have_each_fault_alone_but_a_wrong_order(
    vtex: VtexSimulator, client: httpx.Client, route: str
) -> None:
    kinds, another = [kind for kind in get_args(Kind) if kind != "wrong_order"], "list" if route == "feed" else "feed"
    for kind in kinds:
        vtex.fail(Fault(kind, times=1, route=route, **FAULTS[kind][0]))
        assert ask(client, another).status_code == 200
        with suppress(httpx.RemoteProtocolError):
            ask(client, route)

    assert [call.fault for call in vtex.calls(route=route)] == kinds


def test_a_fault_is_for_its_account_and_order_alone(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(ORDER | {"orderId": "VVJ-2-01"})
    vtex.put_order(ORDER | {"hostname": OTHER})
    vtex.fail(Fault("status", account=SHOP, order_id=ORDER_ID))

    with connect(vtex, OTHER) as other:
        statuses = [ask(client, "order").status_code, client.get(f"{LIST_PATH}/VVJ-2-01").status_code]
        assert [*statuses, ask(other, "order").status_code] == [503, 200, 200]


def test_faults_follow_each_other_and_count_their_uses(vtex: VtexSimulator, client: httpx.Client) -> None:
    throttle, outage = vtex.fail(Fault("status", status=429, times=2)), vtex.fail(Fault("status", status=503, times=1))
    with connect(vtex, **{"X-VTEX-API-AppKey": ""}) as stranger:
        assert ask(stranger, "order").status_code == 401

    assert [ask(client, "order").status_code for _ in range(4)] == [429, 429, 503, 200]
    assert (throttle.used, outage.used) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "left"), [("status", [("READ-1", False), ("UNREAD-1", True)]), ("drop", [("UNREAD-1", False)])]
)
def test_what_a_fault_refuses_is_not_done_and_what_it_drops_is(
    vtex: VtexSimulator, client: httpx.Client, kind: Kind, left: list[tuple[str, bool]]
) -> None:
    vtex.put_feed_event(SHOP, "READ-1")
    items = read_feed(client)
    vtex.put_feed_event(SHOP, "UNREAD-1")
    for route in ("feed", "commit"):
        vtex.fail(Fault(kind, route=route))

    with suppress(httpx.RemoteProtocolError):
        ask(client, "feed")
    with suppress(httpx.RemoteProtocolError):
        commit(client, items)

    assert [(event["orderId"], event["is_visible"]) for event in vtex.feeds[app_key()].uncommitted()] == left


def test_latency_holds_back_every_answer_that_no_fault_holds_back(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.latency = 0.1
    assert see(client).seconds >= 0.1

    vtex.latency = 3_600
    vtex.fail(Fault("delay", seconds=0.1))
    assert see(client).status == 200


# ---- Orders


def test_an_order_is_its_account_s_alone(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(ORDER | {"hostname": OTHER, "status": "canceled"})

    with connect(vtex, OTHER) as other, connect(vtex, "nobody") as nobody:
        assert [one.get(ORDER_PATH).json().get("status") for one in (client, other, nobody)] == [
            "invoiced", "canceled", None,
        ]  # fmt: skip
        assert [len(ask(one, "list").json()["list"]) for one in (client, other, nobody)] == [1, 1, 0]
    assert httpx.get(vtex.url + LIST_PATH, headers=headers()).status_code == 404


def test_a_period_holds_both_its_ends(vtex: VtexSimulator, client: httpx.Client) -> None:
    moments = [None, "soon", "2026-01-01T01:59:59.9999999Z", "2026-01-01T02:00:00.0000000+00:00",
               "2026-01-01T22:59:59.9990000-03:00", "2026-01-02T02:00:00Z"]  # fmt: skip
    for number, moment in enumerate(moments):
        vtex.put_order(ORDER | {"orderId": f"VVJ-{number}-01", "invoicedDate": moment})
    period = "invoicedDate:[2026-01-01T02:00:00.000Z TO 2026-01-02T01:59:59.999Z]"

    rows = client.get(LIST_PATH, params={"f_invoicedDate": period, "f_status": "invoiced"}).json()["list"]

    assert [row["orderId"] for row in rows] == ["VVJ-4-01", "VVJ-3-01"]


def test_a_person_adds_the_key(vtex: VtexSimulator) -> None:
    vtex.put_order(ORDER | {"packageAttachment": {"packages": [sale(key=None), returned()]}})

    order = vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_key=KEY))

    assert vtex.order(ORDER_ID) == order
    assert [package["invoiceKey"] for package in order["packageAttachment"]["packages"]] == [KEY, None]
    assert order["lastChange"] > ORDER["lastChange"]


@pytest.mark.parametrize("attachment", [None, {"packages": [returned()]}, {"packages": [sale(), sale()]}])
def test_there_is_no_guess_which_invoice_gets_the_key(vtex: VtexSimulator, attachment: object) -> None:
    vtex.put_order(ORDER | {"packageAttachment": attachment})

    with pytest.raises(BadInput, match="sale invoices"):
        vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_key=KEY))


# ---- Hook and feed


@pytest.mark.parametrize(("status", "is_taken"), [(200, True), (204, False)])
def test_a_ping_is_answered_well_with_200_alone(status: int, is_taken: bool) -> None:
    bodies: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://hooks.localhost:{server.server_port}/hooks"
        assert ping(url) is is_taken

    assert not ping(url)
    assert bodies == [b'{"hookConfig":"ping"}']


def test_each_app_key_has_its_own_feed_of_its_account_and_states(vtex: VtexSimulator, client: httpx.Client) -> None:
    with connect(vtex, **{"X-VTEX-API-AppKey": "erp"}) as erp:
        commit(erp, [{"handle": "of-no-feed"}])
        erp.post(f"{FEED_PATH}/config", json=FEED)

        kept = [vtex.put_feed_event(SHOP, ORDER_ID, state) for state in ("invoiced", "Invoiced", "handling")]
        commit(client, read_feed(client))

        assert [*kept, vtex.put_feed_event(OTHER, ORDER_ID)] == [2, 0, 0, 0]
        assert len(read_feed(erp)) == 1


def test_what_was_read_comes_back_with_a_new_handle_and_the_old_one_commits_nothing(
    vtex: VtexSimulator, client: httpx.Client
) -> None:
    client.post(f"{FEED_PATH}/config", json=FEED | {"queue": {"visibilityTimeoutInSeconds": 0.2}})
    vtex.put_feed_event(SHOP, ORDER_ID)
    commit(client, [{"handle": ""}, {"handle": "of-nobody"}])
    first = read_feed(client)
    assert read_feed(client) == []

    time.sleep(0.25)
    second = read_feed(client)
    commit(client, first)
    assert second != first
    assert [{**item, "handle": None} for item in second] == [{**item, "handle": None} for item in first]
    assert len(vtex.feeds[app_key()].uncommitted()) == 1

    commit(client, second)
    assert vtex.feeds[app_key()].uncommitted() == []


@pytest.mark.parametrize(("account", "left"), [(SHOP, 1), (OTHER, 0)])
def test_a_feed_that_is_configured_again_keeps_its_events_in_its_account_alone(
    vtex: VtexSimulator, account: str, left: int
) -> None:
    vtex.put_feed_event(SHOP, ORDER_ID)

    with connect(vtex, account, **headers()) as client:
        client.post(f"{FEED_PATH}/config", json=FEED).raise_for_status()
        assert len(read_feed(client)) == left


# ---- Who asked, and what


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_asks_for_credentials(vtex: VtexSimulator, route: str) -> None:
    for name in headers():
        with connect(vtex, **{name: ""}) as stranger:
            assert ask(stranger, route).status_code == 401
    vtex.refused.add(app_key())
    with connect(vtex) as refused:
        assert ask(refused, route).status_code == 403

    assert [(call.route, call.status) for call in vtex.calls()] == [(route, 401), (route, 401), (route, 403)]


def test_calls_can_be_asked_for_by_account_order_and_route(vtex: VtexSimulator, client: httpx.Client) -> None:
    with connect(vtex, OTHER) as other:
        ask(other, "order")
    ask(client, "order")
    ask(client, "list")

    assert [call.account for call in vtex.calls(ORDER_ID)] == [OTHER, SHOP]
    assert [call.status for call in vtex.calls(ORDER_ID, account=OTHER)] == [404]
    assert [call.order_id for call in vtex.calls(route="list")] == [""]
    assert vtex.connections == 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_a_write_is_refused_and_counted(vtex: VtexSimulator, client: httpx.Client, method: str) -> None:
    for path in (ORDER_PATH, f"{ORDER_PATH}/invoice", LIST_PATH):
        assert client.request(method, path, content=iter([b"{}"])).status_code == 405
    ask(client, "commit")
    ask(client, "hook_config")

    assert [(call.method, call.order_id) for call in vtex.forbidden_writes] == [
        (method, ORDER_ID), (method, ORDER_ID), (method, ""),
    ]  # fmt: skip
    assert vtex.order(ORDER_ID) == ORDER


# ---- The server and the control API


@pytest.mark.parametrize(("is_verbose", "lines"), [(True, 1), (False, 0)])
def test_a_line_a_request_is_printed_where_it_is_asked_for_and_holds_no_secret(
    capfd: pytest.CaptureFixture[str], is_verbose: bool, lines: int
) -> None:
    with VtexSimulator(verbose=is_verbose) as vtex, connect(vtex) as client:
        client.get("/api/oms/pvt/orders/a%0Ab?an=HUSH")

    output = "".join(capfd.readouterr())
    assert (output.count("\n"), output.count("404")) == (lines, lines)
    assert "HUSH" not in output


def test_closing_ends_what_is_held_back(vtex: VtexSimulator) -> None:
    vtex.fail(Fault("delay", seconds=60))
    threading.Timer(0.05, vtex.close).start()

    with connect(vtex) as client, pytest.raises(httpx.TransportError) as ended:
        ask(client, "order")

    assert not isinstance(ended.value, httpx.TimeoutException)


def test_it_listens_on_each_host_on_a_port_of_its_own() -> None:
    with VtexSimulator(hosts=("127.0.0.1", "127.0.0.2")) as vtex:
        for host in vtex.hosts:
            assert httpx.get(f"http://{host}:{vtex.port}/_simulator/health").json() == {"status": "ok"}
        with pytest.raises(OSError, match="in use"):
            VtexSimulator(port=vtex.port).start()


def test_what_is_put_over_http_is_shown_there(vtex: VtexSimulator, control: httpx.Client) -> None:
    event, fault = {"account": SHOP, "orderId": "\ud800", "state": "invoiced"}, {"kind": "drop"}
    assert control.put("orders", json=[ORDER, ORDER | {"orderId": "VVJ-2-01"}]).json() == {"put": 2}
    assert control.post("feed-events", content=json.dumps(event).encode()).json() == {"put": 1, "kept": 1}
    assert control.post("faults", json=fault).json().items() >= fault.items()
    assert control.put("hooks", json=HOOKS).json() == {"put": 1}
    assert control.post("invoice-key", json={"order_id": ORDER_ID, "invoice_key": KEY}).json() == {"edited": ORDER_ID}

    shown = {name: control.get(name).json() for name in ("feed-events", "faults", "hooks", "feeds")}

    assert vtex.order("VVJ-2-01")["orderId"] == "VVJ-2-01"
    assert shown["feed-events"] == {"events": [event | {"is_visible": True}]}
    assert [one["used"] for one in shown["faults"]["faults"]] == [0]
    assert (shown["hooks"], shown["feeds"]) == (HOOKS, {app_key(): FEED})
    assert vtex.order(ORDER_ID)["packageAttachment"]["packages"][0]["invoiceKey"] == KEY
    assert vtex.calls() == []


def test_what_was_asked_is_shown_and_forgotten_over_http(client: httpx.Client, control: httpx.Client) -> None:
    control.post("faults", json={"kind": "drop", "route": "list"})
    ask(client, "order")
    client.post(f"{ORDER_PATH}/invoice", json={})

    shown = control.get("requests", params={"account": SHOP}).json()
    assert [shown[name] for name in ("count", "connections", "forbidden_writes")] == [2, 1, 1]
    assert shown["requests"][0].items() >= {"account": SHOP, "order_id": ORDER_ID, "status": 200}.items()

    control.delete("requests")
    control.delete("faults")
    assert control.get("requests").json()["count"] == 0
    assert control.get("faults").json() == {"faults": []}


@pytest.mark.parametrize(
    ("method", "route", "body", "complaint"),
    [
        ("PUT", "orders", "{", "not JSON"),
        ("PUT", "orders", '{"orderId": "VVJ-1-01"}', "hostname"),
        ("PUT", "orders", '{"orderId": "VVJ-1-01", "hostname": "luxstore", "value": NaN}', "JSON"),
        ("POST", "invoice-key", "{}", "order_id"),
        ("POST", "invoice-key", '{"order_id": 1}', "order_id must be str"),
        ("POST", "faults", '{"kind": "explode"}', "kind must be one of"),
        ("POST", "faults", '{"kind": "drop", "used": 1}', "used is not one of"),
        ("POST", "faults", '{"kind": "delay"}', "seconds"),
        ("POST", "faults", '{"kind": "status", "status": 200}', "status"),
        ("POST", "faults", '{"kind": "status", "retry_after": "1\\r\\nX: y"}', "retry_after"),
        ("POST", "faults", '{"kind": "drop", "route": "cart"}', "route must be one of"),
        ("POST", "faults", '{"kind": "wrong_order", "route": "list"}', "is for the route order"),
        ("POST", "faults", '{"kind": "drop", "route": "feed", "order_id": "VVJ-1-01"}', "order_id is for"),
        ("POST", "feed-events", '{"account": "a", "orderId": "b", "state": "c", "domain": 1}', "domain must be"),
        ("POST", "feed-events", '[{"account": "a", "orderId": "b", "state": "c", "order_id": ""}]', "order_id is not"),
    ],
)
def test_what_would_be_waited_for_in_vain_is_refused_with_what_is_wrong(
    control: httpx.Client, method: str, route: str, body: str, complaint: str
) -> None:
    answer = control.request(method, route, content=body)

    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]


def test_the_control_api_says_what_is_not_there(control: httpx.Client) -> None:
    assert control.post("invoice-key", json={"order_id": "VVJ-0-01"}).status_code == 404
    assert (control.get("nothing").status_code, control.post("nothing").status_code) == (404, 405)
