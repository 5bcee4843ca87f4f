"""Client and simulator beside what VTEX publishes of its Orders API (tests/data/vtex-orders-api.json).

The real client asks at VTEX's own address; what it asks is written down and handed to the simulator, and so is what
the simulator answers.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import yaml

from benchmarks import orders as benchmark_orders
from invoicekey.rules.notification import FILTER_STATES, KNOWN_STATES, OrderRef, is_order_id, is_watched, order_ref
from invoicekey.rules.order import Order
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import Circumstances, Code, Outcome, judge
from invoicekey.runtime.settings import VtexSettings
from invoicekey.vtex.client import RateLimiter, Vtex
from invoicekey.vtex.feed import Feed
from invoicekey.vtex.order_list import OrderList
from invoicekey.vtex.subscriptions import Configurations, WantedHook
from local import events, vtex_simulator
from local.vtex_simulator import VtexSimulator
from tests.fakes_visits import AS_FAST_AS_IT_GOES, SHOP, app_key, credentials
from tests.orders import cnova_order, custom_apps, own_order, returned, sale
from tests.vtex_facts import FACTS, Route, nullable, with_null

ROOT = Path(__file__).parents[2]
TIME_ENOUGH = 25.0
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
REF = OrderRef(SHOP, "VVJ-975102-01")
STATUSES = frozenset({"invoiced", "payment-approved"})
WANTED = WantedHook("https://abc123.execute-api.sa-east-1.amazonaws.com/hooks/vtex/orders", "HUSH", STATUSES)


def default_of(parameter: str) -> str:
    """Return a parameter's default in the template."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda *_: None)
    template = yaml.load((ROOT / "template.yaml").read_text("utf-8"), Loader)
    return str(template["Parameters"][parameter]["Default"])


BASE_URL = default_of("VtexBaseUrl")


@dataclass
class AtVtex(httpx.BaseTransport):
    """VTEX's own address, behind which the simulator answers; keeps what was asked, and what was answered."""

    simulator: VtexSimulator
    seen: list[tuple[httpx.Request, httpx.Response]] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host, account = urlsplit(self.simulator.url), request.url.host.split(".")[0]
        path = f"/{account}".encode() + request.url.raw_path
        url = request.url.copy_with(scheme=host.scheme, host=host.hostname, port=host.port, raw_path=path)
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        with httpx.Client(trust_env=False) as client:
            answer = client.request(request.method, url, headers=headers, content=request.read())
        self.seen.append((request, answer))
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


type Act = Callable[[Vtex], object]


def _list(vtex: Vtex) -> object:
    return OrderList(vtex).page(SHOP, NOW - timedelta(days=30), NOW, 1, TIME_ENOUGH)


def _commit(vtex: Vtex) -> None:
    feed = Feed(vtex)
    feed.commit(SHOP, [event.handle for event in feed.read(SHOP, TIME_ENOUGH)], TIME_ENOUGH)


ACTS: dict[str, Act] = {
    "read an order": lambda vtex: vtex.read_order(REF, TIME_ENOUGH),
    "list orders": _list,
    "read the hook": lambda vtex: Configurations(vtex).hook(SHOP, TIME_ENOUGH),
    "install the hook": lambda vtex: Configurations(vtex).install_hook(SHOP, WANTED, TIME_ENOUGH),
    "remove the hook": lambda vtex: Configurations(vtex).remove_hook(SHOP, TIME_ENOUGH),
    "read the feed's configuration": lambda vtex: Configurations(vtex).feed(SHOP, TIME_ENOUGH),
    "install the feed": lambda vtex: Configurations(vtex).install_feed(SHOP, STATUSES, TIME_ENOUGH),
    "remove the feed": lambda vtex: Configurations(vtex).remove_feed(SHOP, TIME_ENOUGH),
    "read and commit the feed": _commit,
}


@pytest.fixture(scope="module")
def seen() -> dict[str, list[tuple[httpx.Request, httpx.Response]]]:
    """Return what each act asked and was answered, of an account that has an order, a hook and a feed with an event."""
    found = {}
    with pytest.MonkeyPatch.context() as patch, VtexSimulator() as simulator:
        patch.setattr(vtex_simulator, "ping", lambda _: True)
        simulator.load_orders(events.EVENTS / "orders")
        simulator.put_order(benchmark_orders.good("VVJ-975102-01", 1, hostname=SHOP))
        for name, act in ACTS.items():
            at_vtex = AtVtex(simulator)
            vtex = Vtex(BASE_URL, credentials, RateLimiter(AS_FAST_AS_IT_GOES), transport=at_vtex)
            Configurations(vtex).install_hook(SHOP, WANTED, TIME_ENOUGH)
            Configurations(vtex).install_feed(SHOP, STATUSES, TIME_ENOUGH)
            simulator.put_feed_event(SHOP, REF.order_id)
            at_vtex.seen.clear()
            act(vtex)
            found[name] = at_vtex.seen
    return found


def exchanges(seen: dict[str, list[tuple[httpx.Request, httpx.Response]]], act: str) -> Iterator[Any]:
    """Yield each request of an act, its answer and its route; a request to no route of VTEX's fails."""
    assert seen[act]
    for request, answer in seen[act]:
        route = FACTS.route(request.method, request.url.path)
        assert route, f"{request.method} {request.url.path} is none of VTEX's routes"
        yield request, answer, route


def query_of(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))


def body_of(request: httpx.Request) -> Any:
    return json.loads(request.content) if request.content else None


# ---- What our client asks

EACH_ACT = pytest.mark.parametrize("act", ACTS)


@EACH_ACT
def test_we_ask_at_the_account_s_own_host_over_https(act: str, seen: Any) -> None:
    for request, _, _ in exchanges(seen, act):
        assert request.url.scheme == "https"
        assert request.url.host == FACTS.all["host"].replace("{account}", SHOP)


@EACH_ACT
def test_our_headers_are_those_that_vtex_requires(act: str, seen: Any) -> None:
    for request, _, _ in exchanges(seen, act):
        assert [request.headers[name] for name in FACTS.all["headers"]] == [app_key(), f"HUSH-{SHOP}"]
        assert request.headers["Accept"] == "application/json"
        assert not request.content or request.headers["Content-Type"] == "application/json"


@EACH_ACT
def test_our_queries_have_documented_parameters_within_their_limits(act: str, seen: Any) -> None:
    for request, _, route in exchanges(seen, act):
        assert route.faults_of_query(query_of(request)) == []


@EACH_ACT
def test_our_bodies_have_the_documented_shape(act: str, seen: Any) -> None:
    for request, _, route in exchanges(seen, act):
        assert route.faults_of_body(body_of(request)) == []


@pytest.mark.parametrize("act", ["install the hook", "install the feed"])
def test_our_filters_are_of_one_type_and_name_documented_states(act: str, seen: Any) -> None:
    for request, _, _ in exchanges(seen, act):
        assert FACTS.faults_of_filter(body_of(request)["filter"]) == []


def test_our_feed_keeps_its_events_as_long_as_vtex_allows(seen: Any) -> None:
    least, most = FACTS.all["retention_seconds"]

    for request, _, _ in exchanges(seen, "install the feed"):
        assert least <= body_of(request)["queue"]["MessageRetentionPeriodInSeconds"] <= most


def test_every_documented_route_is_asked(seen: Any) -> None:
    asked = {route.name for act in ACTS for _, _, route in exchanges(seen, act)}

    assert asked == {route.name for route in FACTS.routes}


# ---- What our simulator answers


@EACH_ACT
def test_the_simulator_answers_in_the_documented_shape(act: str, seen: Any) -> None:
    for _, answer, route in exchanges(seen, act):
        assert route.faults_of_answer(answer.status_code, answer.json()) == []


def route(name: str) -> Route:
    return next(route for route in FACTS.routes if route.name == name)


@pytest.mark.parametrize("name", [case.name for case in events.ORDERS])
def test_a_sample_order_has_the_documented_shape(name: str) -> None:
    document = json.loads((events.EVENTS / "orders" / f"{name}.json").read_text("utf-8"))

    assert route("GET /api/oms/pvt/orders/{orderId}").faults_of_answer(200, document) == []


TEST_ORDERS = {
    "cnova": cnova_order(sale(), returned()),
    "keyless": cnova_order(sale(key=None, number="1")),
    "own": own_order(sale()),
    "without packages": cnova_order(packageAttachment=None),
    "measured with": benchmark_orders.good("VVJ-1-01", 1, items=benchmark_orders.items_of(5_000)),
}


@pytest.mark.parametrize("name", TEST_ORDERS)
def test_the_orders_of_our_tests_have_the_documented_shape(name: str) -> None:
    assert route("GET /api/oms/pvt/orders/{orderId}").faults_of_answer(200, TEST_ORDERS[name]) == []


def test_each_row_of_the_simulator_s_list_has_the_documented_members(seen: Any) -> None:
    ((_, answer, _),) = exchanges(seen, "list orders")
    rows, documented = answer.json()["list"], route("GET /api/oms/pvt/orders").answer["properties"]["list"]["items"]

    assert rows
    assert all(set(documented["required"]) <= row.keys() for row in rows)


def an_answer(method: str, path: str, account: str = SHOP, **request: Any) -> httpx.Response:
    headers = {"X-VTEX-API-AppKey": app_key(account), "X-VTEX-API-AppToken": "HUSH"}
    with VtexSimulator() as simulator:
        return httpx.request(method, f"{simulator.url}/{account}{path}", headers=headers, **request)


NOTHING_THERE = [
    ("GET", "/api/orders/feed?maxlot=10", 404),
    ("DELETE", "/api/orders/feed/config", 200),
    ("DELETE", "/api/orders/hook/config", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), NOTHING_THERE)
def test_where_nothing_is_configured_the_simulator_answers_with_a_documented_status(
    method: str, path: str, status: int
) -> None:
    documented = FACTS.route(method, urlsplit(path).path)

    assert documented
    assert status in documented.facts["statuses"]
    assert an_answer(method, path).status_code == status


MIXED: dict[str, Any] = {
    "by status": {"type": "FromWorkflow", "status": ["invoiced"], "expression": "true"},
    "by content": {"type": "FromOrders", "expression": "true", "disableSingleFire": False, "status": ["invoiced"]},
}
REST: dict[str, Any] = {
    "/api/orders/hook/config": {"hook": {"url": "http://localhost/", "headers": {}}},
    "/api/orders/feed/config": {"queue": {}},
}


@pytest.mark.parametrize(("mixed", "path"), list(product(MIXED, REST)))
def test_the_simulator_refuses_a_filter_of_two_types_as_vtex_does(mixed: str, path: str) -> None:
    assert FACTS.faults_of_filter(MIXED[mixed])
    assert an_answer("POST", path, json={"filter": MIXED[mixed], **REST[path]}).status_code == 409


# ---- Order ids and states


@pytest.mark.parametrize("order_id", FACTS.order_ids)
def test_a_documented_order_id_is_read_like_any_other(order_id: str) -> None:
    body = {"OrderId": order_id, "State": "invoiced", "Origin": {"Account": SHOP}}

    assert is_order_id(order_id)
    assert order_ref(body) == OrderRef(SHOP, order_id)


@pytest.mark.parametrize("order_id", [*FACTS.order_ids, "a..", "a._-", "A" * 64])
def test_an_order_id_is_one_segment_of_the_path(order_id: str) -> None:
    with VtexSimulator() as simulator:
        simulator.put_order({"orderId": order_id, "hostname": SHOP})
        at_vtex = AtVtex(simulator)
        vtex = Vtex(BASE_URL, credentials, RateLimiter(AS_FAST_AS_IT_GOES), transport=at_vtex)

        assert vtex.read_order(OrderRef(SHOP, order_id), TIME_ENOUGH).order_id == order_id

    ((request, _),) = at_vtex.seen
    assert request.url.path == f"/api/oms/pvt/orders/{order_id}"


def test_the_states_of_vtex_s_filters_are_known() -> None:
    assert frozenset(FACTS.filter_statuses) == FILTER_STATES
    assert FILTER_STATES < KNOWN_STATES


@pytest.mark.parametrize("state", FACTS.filter_statuses)
def test_each_state_that_vtex_can_tell_may_be_watched_or_not(state: str) -> None:
    assert is_watched({"State": state}, frozenset({state}))
    assert not is_watched({"State": state}, frozenset())


def test_the_states_watched_unless_set_otherwise_are_some_that_vtex_tells() -> None:
    environment = {
        "VTEX_BASE_URL": BASE_URL, "VTEX_CREDENTIALS_SECRET_ARN": "arn", "VTEX_REQUESTS_PER_MINUTE": "1200",
        "VTEX_ACCOUNTS": "", "WATCHED_STATUSES": default_of("WatchedStatuses"),
    }  # fmt: skip

    assert VtexSettings.read(environment, 1.0).watched_statuses <= FILTER_STATES


# ---- What may be null

NULLABLE = sorted(nullable(FACTS.order))
FULL = cnova_order(sale(), customData=custom_apps("CN-Viavarejo-Integration"))
WHERE_NULL_MEANS_SOMETHING: dict[tuple[str, ...], tuple[Outcome, list[Code]]] = {
    ("packageAttachment",): (Outcome.FAILING, [Code.NO_INVOICE]),
    ("packageAttachment", "packages", "*", "invoiceKey"): (Outcome.FAILING, [Code.MISSING]),
    ("packageAttachment", "packages", "*", "trackingNumber"): (Outcome.OK, [Code.TRACKING_MISSING]),
    ("packageAttachment", "packages", "*", "courier"): (Outcome.OK, [Code.COURIER_MISSING]),
}


def verdict_on(document: Any, policy: Policy) -> tuple[Outcome, list[Code]]:
    verdict = judge(Order.model_validate(document), policy, Circumstances(SHOP, NOW, NOW - timedelta(days=1)))
    return verdict.outcome, [problem.code for problem in verdict.problems]


@pytest.mark.parametrize("path", NULLABLE, ids=".".join)
def test_what_vtex_may_leave_null_is_judged_as_it_is_meant(path: tuple[str, ...]) -> None:
    by_affiliate = Policy(affiliate_ids=frozenset({"vvj"}))

    assert verdict_on(FULL, by_affiliate) == (Outcome.OK, [])
    assert verdict_on(with_null(FULL, path), by_affiliate) == WHERE_NULL_MEANS_SOMETHING.get(path, (Outcome.OK, []))


@pytest.mark.parametrize("path", [("customData",), ("customData", "customApps"), ("customData", "customApps", "*")])
def test_an_order_that_only_its_app_tells_for_cnova_s_is_another_s_without_it(path: tuple[str, ...]) -> None:
    assert path in NULLABLE
    assert verdict_on(FULL, Policy())[0] is Outcome.OK
    assert verdict_on(with_null(FULL, path), Policy())[0] is Outcome.OTHER_MARKETPLACE


@pytest.mark.parametrize("name", FACTS.order["properties"])
def test_a_member_that_an_order_does_not_have_breaks_nothing(name: str) -> None:
    without = {key: value for key, value in FULL.items() if key != name}

    outcome, _ = verdict_on(without, Policy(affiliate_ids=frozenset({"vvj"})))

    assert outcome in {Outcome.OK, Outcome.NOT_INVOICED, Outcome.FAILING}
