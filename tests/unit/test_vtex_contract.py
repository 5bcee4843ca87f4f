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
from local.vtex_routes import Feed as SimulatedFeed
from local.vtex_simulator import VtexSimulator
from tests.fakes_visits import AS_FAST_AS_IT_GOES, OTHER, SHOP, app_key, credentials, headers
from tests.orders import cnova_order, custom_apps, own_order, returned, sale
from tests.vtex_facts import FACTS, Route, nullable, with_null

ROOT = Path(__file__).parents[2]
TIME_ENOUGH = 25.0
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
REF = OrderRef(SHOP, "VVJ-975102-01")
STATUSES = frozenset({"invoiced", "payment-approved"})
FULL = cnova_order(sale(), customData=custom_apps("CN-Viavarejo-Integration"))
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
        for case in events.ORDERS:
            simulator.put_order(events.order_document(case))
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


def test_each_row_of_the_list_says_of_an_order_what_the_order_does(seen: Any) -> None:
    ((_, answer, listing),) = exchanges(seen, "list orders")
    shared = listing.answer["properties"]["list"]["items"]["properties"].keys() & FACTS.order["properties"].keys()
    shared -= {"items", "statusDescription"}  # nothing in a row, a list in an order; VTEX's words for the status
    orders = {case.order_id: events.order_document(case) for case in events.ORDERS}

    rows = [row for row in answer.json()["list"] if row["orderId"] in orders]

    assert len(rows) > 30
    assert {"orderId", "status", "affiliateId", "creationDate"} <= shared
    for row in rows:
        order = orders[row["orderId"]]
        assert {name: row[name] for name in shared} == {name: order[name] for name in shared}
        assert row["totalValue"] == order["value"]


# ---- What our simulator takes


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[VtexSimulator]:
    """Return a simulator with an order and a feed, which reaches one address alone with its ping."""
    monkeypatch.setattr(vtex_simulator, "ping", lambda url: url == WANTED.url)
    with VtexSimulator() as running:
        running.put_order(FULL)
        running.feeds[app_key()] = SimulatedFeed(app_key(), SHOP, FEED)
        yield running


def ask(simulator: VtexSimulator, method: str, path: str, account: str = SHOP, **more: Any) -> httpx.Response:
    url, path = f"{simulator.url}/{account}", path.replace("{orderId}", FULL["orderId"])
    return httpx.request(method, url + path, headers=headers(account), verify=False, **more)


PATHS = sorted({route.facts["path"] for route in FACTS.routes})
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@pytest.mark.parametrize(("method", "path"), list(product(METHODS, [*PATHS, f"{PATHS[0]}/{{orderId}}/invoice"])))
def test_the_simulator_has_the_documented_routes_and_no_others(
    simulator: VtexSimulator, method: str, path: str
) -> None:
    answer = ask(simulator, method, path)

    is_there = answer.status_code != 405 and "no such route" not in answer.text
    assert is_there == bool(FACTS.route(method, path))
    assert is_there == bool(simulator.calls()[0].route)


def bad_queries() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each query with one parameter that is not as documented, of those that have a limit or a pattern."""
    for route in FACTS.routes:
        whole = {name: "1" for name, fact in route.facts["query"].items() if fact.get("required")}
        for name, fact in route.facts["query"].items():
            bad = ["0", "-1", "ten", str(fact["maximum"] + 1)] if "maximum" in fact else []
            bad += ["", "soon", f"{name}:[yesterday TO today]"] if "pattern" in fact else []
            yield from ((route.facts["path"], whole | {name: text}) for text in bad)
            if fact.get("required"):
                yield route.facts["path"], {key: text for key, text in whole.items() if key != name}


@pytest.mark.parametrize(("path", "query"), list(bad_queries()), ids=str)
def test_the_simulator_refuses_a_query_that_is_not_as_documented(
    simulator: VtexSimulator, path: str, query: dict[str, str]
) -> None:
    documented = FACTS.route("GET", path)

    assert documented
    assert documented.faults_of_query(query)
    assert ask(simulator, "GET", path, params=query).status_code == 400


LARGEST = [
    (route.facts["path"], name, fact["maximum"])
    for route in FACTS.routes
    for name, fact in route.facts["query"].items()
    if "maximum" in fact
]


@pytest.mark.parametrize(("path", "name", "most"), LARGEST)
def test_the_simulator_takes_as_much_as_is_documented(
    simulator: VtexSimulator, path: str, name: str, most: int
) -> None:
    assert [ask(simulator, "GET", path, params={name: number}).status_code for number in (1, most)] == [200, 200]


FEED: dict[str, Any] = {
    "filter": {"type": "FromWorkflow", "status": ["invoiced"]},
    "queue": {"visibilityTimeoutInSeconds": 240, "MessageRetentionPeriodInSeconds": FACTS.all["retention_seconds"][0]},
}
BODIES: dict[str, Any] = {
    "/api/orders/hook/config": {"filter": FEED["filter"], "hook": {"url": WANTED.url, "headers": {}}},
    "/api/orders/feed/config": FEED,
    "/api/orders/feed": {"handles": ["a-handle"]},
}
CONFIGURATIONS = ("/api/orders/hook/config", "/api/orders/feed/config")


def required(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each member that a body has to have."""
    for name in schema.get("required", []):
        yield (*path, name)
        yield from required(schema["properties"][name], (*path, name))


REQUIRED = [
    (route.facts["path"], member)
    for route in FACTS.routes
    for member in required(route.facts.get("body") or {})
    if member[0] != "queue" or len(member) == 1  # the simulator lets a queue leave its times out
]


@pytest.mark.parametrize(("path", "member"), REQUIRED, ids=str)
def test_the_simulator_refuses_a_body_that_is_not_whole(
    simulator: VtexSimulator, path: str, member: tuple[str, ...]
) -> None:
    whole = BODIES[path]
    documented = FACTS.route("POST", path)
    assert documented
    assert documented.faults_of_body(whole) == []

    assert ask(simulator, "POST", path, json=without(whole, member)).status_code == 400
    assert ask(simulator, "POST", path, json=with_null(whole, member)).status_code == 400
    assert ask(simulator, "POST", path, json=whole).status_code == 200


def without(document: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Return a document without the member at a path."""
    name, *rest = path
    if rest:
        return document | {name: without(document[name], tuple(rest))}
    return {key: value for key, value in document.items() if key != name}


def test_the_simulator_keeps_events_as_long_as_vtex_does(simulator: VtexSimulator) -> None:
    least, most = FACTS.all["retention_seconds"]
    statuses = {
        seconds: ask(
            simulator, "POST", "/api/orders/feed/config",
            json=FEED | {"queue": {"MessageRetentionPeriodInSeconds": seconds}},
        ).status_code
        for seconds in (least - 1, least, most, most + 1, str(least))
    }  # fmt: skip

    assert statuses == {least - 1: 400, least: 200, most: 200, most + 1: 400, str(least): 400}


@pytest.mark.parametrize("path", CONFIGURATIONS)
def test_a_configuration_is_there_as_it_was_posted_until_it_is_removed(simulator: VtexSimulator, path: str) -> None:
    assert ask(simulator, "POST", path, json=BODIES[path]).status_code == 200
    assert ask(simulator, "GET", path).json() == BODIES[path]

    assert ask(simulator, "DELETE", path).status_code == 200
    assert ask(simulator, "GET", path).status_code == 404


def test_a_hook_whose_address_does_not_answer_the_ping_is_not_kept(simulator: VtexSimulator) -> None:
    path, hook = "/api/orders/hook/config", {"url": "https://elsewhere.example/", "headers": {}}

    assert ask(simulator, "POST", path, json=BODIES[path] | {"hook": hook}).status_code == 400
    assert ask(simulator, "GET", path).status_code == 404


NOTHING_THERE = [
    ("GET", "/api/orders/feed?maxlot=10", 404),
    ("DELETE", "/api/orders/feed/config", 200),
    ("DELETE", "/api/orders/hook/config", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), NOTHING_THERE)
def test_where_nothing_is_configured_the_simulator_answers_with_a_documented_status(
    simulator: VtexSimulator, method: str, path: str, status: int
) -> None:
    documented = FACTS.route(method, urlsplit(path).path)

    assert documented
    assert status in documented.facts["statuses"]
    assert ask(simulator, method, path, OTHER).status_code == status


MIXED: dict[str, Any] = {
    "by status": {"type": "FromWorkflow", "status": ["invoiced"], "expression": "true"},
    "by content": {"type": "FromOrders", "expression": "true", "disableSingleFire": False, "status": ["invoiced"]},
}


@pytest.mark.parametrize(("mixed", "path"), list(product(MIXED, CONFIGURATIONS)))
def test_the_simulator_refuses_a_filter_of_two_types_as_vtex_does(
    simulator: VtexSimulator, mixed: str, path: str
) -> None:
    assert FACTS.faults_of_filter(MIXED[mixed])
    assert ask(simulator, "POST", path, json=BODIES[path] | {"filter": MIXED[mixed]}).status_code == 409


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
        "VTEX_BASE_URL": BASE_URL, "VTEX_CREDENTIALS_SECRET_ARN": "arn", "VTEX_CREDENTIALS_PREFIX": "/p/",
        "VTEX_REQUESTS_PER_MINUTE": "1200", "VTEX_ACCOUNTS": "", "WATCHED_STATUSES": default_of("WatchedStatuses"),
    }  # fmt: skip

    assert VtexSettings.read(environment, 1.0).watched_statuses <= FILTER_STATES


# ---- What may be null

NULLABLE = sorted(nullable(FACTS.order))
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
