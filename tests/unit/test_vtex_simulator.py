"""The VTEX simulator: what other tests and the demo rely on when they make VTEX misbehave."""

import base64
import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from local.vtex_simulator import BadInput, Fault, InvoiceEdit, Kind, OrderUnknown, VtexSimulator

ROOT = Path(__file__).parents[2]
CREDENTIALS = {"X-VTEX-API-AppKey": "vtexappkey-luxstore", "X-VTEX-API-AppToken": "TOKEN"}
ORDER_ID = "VVJ-975102-01"
ORDER_PATH = f"/luxstore/api/oms/pvt/orders/{ORDER_ID}"
KEY = "31170758731662018088550010006437971006437976"
FIVE_MEGABYTES = 5 * 1024 * 1024
LIST_PATH, FEED_PATH = "/luxstore/api/oms/pvt/orders", "/luxstore/api/orders/feed"
FEED_CONFIG_PATH, HOOK_CONFIG_PATH = FEED_PATH + "/config", "/luxstore/api/orders/hook/config"
INVOICED = {"type": "FromWorkflow", "status": ["invoiced"]}
FEED_CONFIG = {
    "filter": INVOICED,
    "queue": {"visibilityTimeoutInSeconds": 240, "MessageRetentionPeriodInSeconds": 345600},
}


def an_order(order_id: str = ORDER_ID, account: str = "luxstore", **changes: object) -> dict[str, Any]:
    sale = {"type": "Output", "invoiceNumber": "643797", "invoiceKey": None, "trackingNumber": None, "courier": None}
    order = {"orderId": order_id, "hostname": account, "status": "invoiced", "lastChange": "2026-03-03T14:54:00+00:00"}
    return {**order, "packageAttachment": {"packages": [sale]}, **changes}


def connect(vtex: VtexSimulator, **headers: str | None) -> httpx.Client:
    wanted = {name: value for name, value in (headers or CREDENTIALS).items() if value is not None}
    return httpx.Client(base_url=vtex.url, headers=wanted, trust_env=False, verify=False, timeout=5)


@pytest.fixture
def vtex() -> Iterator[VtexSimulator]:
    with VtexSimulator() as simulator:
        simulator.put_order(an_order())
        yield simulator


@pytest.fixture
def client(vtex: VtexSimulator) -> Iterator[httpx.Client]:
    with connect(vtex) as http:
        yield http


def listed(client: httpx.Client, path: str = LIST_PATH, **query: str | int) -> list[str]:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return [row["orderId"] for row in answer.json()["list"]]


def configure_feed(client: httpx.Client, account: str = "luxstore", **queue: float) -> None:
    config = {"filter": {"type": "FromWorkflow", "status": ["invoiced", "canceled"]}, "queue": queue}
    assert client.post(f"/{account}/api/orders/feed/config", json=config).status_code == 200


def read_feed(client: httpx.Client, maxlot: int = 10) -> list[dict[str, Any]]:
    answer = client.get(FEED_PATH, params={"maxlot": maxlot})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()
    return items


def commit(client: httpx.Client, items: list[dict[str, Any]]) -> httpx.Response:
    return client.post(FEED_PATH, json={"handles": [item["handle"] for item in items]})


# ---- Orders


def test_an_order_is_served_as_it_was_put(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order(openTextField="ação", unknownField=[1, None]))

    answer = client.get(ORDER_PATH)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json() == an_order(openTextField="ação", unknownField=[1, None])


def test_an_unknown_order_is_vtex_own_404(client: httpx.Client) -> None:
    answer = client.get("/luxstore/api/oms/pvt/orders/VVJ-0-01")

    assert answer.status_code == 404
    assert answer.json() == {"error": {"code": "OMS007", "message": "Order Not Found", "exception": None}}


def test_an_order_is_not_found_in_another_account(client: httpx.Client) -> None:
    assert client.get(f"/otherstore/api/oms/pvt/orders/{ORDER_ID}").status_code == 404


def test_two_accounts_may_have_the_same_order_id(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order(account="otherstore", status="canceled"))

    assert client.get(ORDER_PATH).json()["status"] == "invoiced"
    assert client.get(f"/otherstore/api/oms/pvt/orders/{ORDER_ID}").json()["status"] == "canceled"


def test_a_path_without_an_account_finds_what_one_account_has(vtex: VtexSimulator, client: httpx.Client) -> None:
    assert client.get(f"/api/oms/pvt/orders/{ORDER_ID}").status_code == 200
    assert vtex.calls()[0].account == "luxstore"


def test_a_path_without_an_account_does_not_guess_among_several(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order(account="otherstore"))

    assert client.get(f"/api/oms/pvt/orders/{ORDER_ID}").status_code == 404


def test_a_quoted_order_id_is_read_as_what_it_stands_for(vtex: VtexSimulator, client: httpx.Client) -> None:
    client.get("/luxstore/api/oms/pvt/orders/a%2Fb")

    assert vtex.calls()[0].order_id == "a/b"


def test_an_order_without_its_account_is_refused(vtex: VtexSimulator) -> None:
    with pytest.raises(BadInput, match="hostname"):
        vtex.put_order({"orderId": "VVJ-1-01"})


def test_orders_are_loaded_from_a_directory(vtex: VtexSimulator, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(an_order("VVJ-1-01")))
    (tmp_path / "notes.txt").write_text("no order")

    vtex.load_orders(tmp_path)

    assert vtex.order("VVJ-1-01") == an_order("VVJ-1-01")


@pytest.mark.parametrize("content", ["{", "[]", '{"orderId": "VVJ-1-01"}'])
def test_a_file_that_is_no_order_is_named(vtex: VtexSimulator, tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.json").write_text(content)

    with pytest.raises(BadInput, match=r"broken\.json"):
        vtex.load_orders(tmp_path)


# ---- The list of orders


def test_a_row_of_the_list_is_told_from_its_order(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(
        an_order(
            creationDate="2026-03-03T14:00:00.0000000+00:00",
            value=12990,
            marketplaceOrderId="975102",
            sequence="502556",
            salesChannel="2",
            affiliateId="VVJ",
            origin="Fulfillment",
            workflowIsInError=True,
        )
    )

    [row] = client.get(LIST_PATH).json()["list"]

    person = {name: row.pop(name) for name in ("clientName", "lastMessageUnread")}
    assert all("Maria da Silva" in text for text in person.values())
    assert row == {
        "orderId": ORDER_ID,
        "creationDate": "2026-03-03T14:00:00.0000000+00:00",
        "totalValue": 12990,
        "status": "invoiced",
        "statusDescription": "Faturado",
        "marketPlaceOrderId": "975102",
        "sequence": "502556",
        "salesChannel": "2",
        "affiliateId": "VVJ",
        "origin": "Fulfillment",
        "workflowInErrorState": True,
        "workflowInRetry": False,
        "items": None,
        "paymentNames": "",
        "ShippingEstimatedDate": None,
        "ShippingEstimatedDateMax": None,
        "ShippingEstimatedDateMin": None,
        "orderIsComplete": True,
        "listId": None,
        "listType": None,
        "authorizedDate": None,
        "callCenterOperatorName": None,
        "totalItems": 0,
        "currencyCode": "BRL",
    }


def test_a_list_shows_an_order_as_it_was_last_put(vtex: VtexSimulator, client: httpx.Client) -> None:
    assert listed(client, f_status="canceled") == []

    vtex.put_order(an_order(status="canceled"))

    assert listed(client, f_status="canceled") == [ORDER_ID]
    assert listed(client, f_status="invoiced") == []


def test_a_list_may_stay_behind_its_order_for_good(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.lag(ORDER_ID, "handling")
    vtex.put_order(an_order())

    assert client.get(ORDER_PATH).json()["status"] == "invoiced"
    assert listed(client, f_status="invoiced") == []
    assert listed(client, f_status="handling") == listed(client) == [ORDER_ID]


def test_a_list_is_of_one_account(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order("VVJ-2-01", account="otherstore"))

    assert listed(client) == [ORDER_ID]
    assert listed(client, "/otherstore/api/oms/pvt/orders") == ["VVJ-2-01"]
    assert listed(client, "/nostore/api/oms/pvt/orders") == []


def test_a_list_without_an_account_is_of_the_only_one_and_of_none_among_several(
    vtex: VtexSimulator, client: httpx.Client
) -> None:
    assert listed(client, "/api/oms/pvt/orders") == [ORDER_ID]

    vtex.put_order(an_order("VVJ-2-01", account="otherstore"))

    assert listed(client, "/api/oms/pvt/orders") == []


def test_a_list_can_be_of_a_status_and_an_affiliate(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order("VVJ-2-01", affiliateId="VVJ"))
    vtex.put_order(an_order("VVJ-3-01", affiliateId="VVJ", status="canceled"))
    vtex.put_order(an_order("MBS-4-01", affiliateId="MBS"))

    assert listed(client, f_status="invoiced", f_affiliateId="VVJ") == ["VVJ-2-01"]


@pytest.mark.parametrize("name", ["invoicedDate", "creationDate"])
def test_a_period_holds_both_its_ends(vtex: VtexSimulator, client: httpx.Client, name: str) -> None:
    moments = {
        "VVJ-1-01": "2026-01-01T01:59:59.9999999Z",
        "VVJ-2-01": "2026-01-01T02:00:00.0000000+00:00",
        "VVJ-3-01": "2026-01-01T22:59:59.9990000-03:00",
        "VVJ-4-01": "2026-01-02T02:00:00Z",
    }
    for order_id, moment in moments.items():
        vtex.put_order(an_order(order_id, **{name: moment}))

    period = f"{name}:[2026-01-01T02:00:00.000Z TO 2026-01-02T01:59:59.999Z]"

    assert sorted(listed(client, **{f"f_{name}": period})) == ["VVJ-2-01", "VVJ-3-01"]


@pytest.mark.parametrize("moment", [None, "", "soon", 20260101, {"at": "2026-01-01"}])
def test_an_order_without_a_usable_invoiced_date_is_in_no_period(
    vtex: VtexSimulator, client: httpx.Client, moment: object
) -> None:
    vtex.put_order(an_order(invoicedDate=moment))

    assert listed(client, f_invoicedDate="invoicedDate:[0001-01-01T00:00:00Z TO 9999-12-31T23:59:59Z]") == []


def test_a_list_is_ordered_by_creation_the_newest_first_unless_told(vtex: VtexSimulator, client: httpx.Client) -> None:
    for day in (2, 1, 3):
        vtex.put_order(an_order(f"VVJ-{day}-01", creationDate=f"2026-01-0{day}T12:00:00Z"))

    newest_first = ["VVJ-3-01", "VVJ-2-01", "VVJ-1-01", ORDER_ID]

    assert listed(client) == newest_first
    assert listed(client, orderBy="creationDate,desc") == newest_first
    assert listed(client, orderBy="creationDate,asc") == newest_first[::-1]


def test_pages_follow_each_other_without_a_gap(vtex: VtexSimulator, client: httpx.Client) -> None:
    for number in range(6):
        vtex.put_order(an_order(f"VVJ-{number}-01", creationDate="2026-01-01T12:00:00Z"))

    pages = [client.get(LIST_PATH, params={"per_page": 3, "page": page}).json() for page in range(1, 5)]

    assert [len(page["list"]) for page in pages] == [3, 3, 1, 0]
    assert len({row["orderId"] for page in pages for row in page["list"]}) == 7
    assert pages[1]["paging"] == {"total": 7, "pages": 3, "currentPage": 2, "perPage": 3}


def test_fifteen_rows_are_a_page_unless_told(vtex: VtexSimulator, client: httpx.Client) -> None:
    for number in range(20):
        vtex.put_order(an_order(f"VVJ-{number}-01"))

    assert len(listed(client)) == 15
    assert len(listed(client, per_page=100)) == 21


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("per_page", value) for value in ("0", "101", "-1", "ten", "1.5", "9" * 5000)],
        *[("page", value) for value in ("0", "31", "first")],
        *[("orderBy", value) for value in ("invoicedDate,desc", "creationDate", "creationDate,up", "unknown,asc")],
        ("f_invoicedDate", "[2026-01-01T02:00:00.000Z TO 2026-01-02T01:59:59.999Z]"),
        ("f_invoicedDate", "creationDate:[2026-01-01T02:00:00.000Z TO 2026-01-02T01:59:59.999Z]"),
        ("f_invoicedDate", "invoicedDate:[yesterday TO today]"),
        ("f_creationDate", "creationDate:[2026-01-01T02:00:00.000Z]"),
    ],
)
def test_a_list_that_vtex_does_not_give_is_refused(client: httpx.Client, name: str, value: str) -> None:
    answer = client.get(LIST_PATH, params={name: value})

    assert answer.status_code == 400
    assert name in answer.json()["error"]["message"]


def test_all_that_match_are_counted_and_three_thousand_are_shown(vtex: VtexSimulator, client: httpx.Client) -> None:
    for number in range(10_000):
        vtex.put_order(an_order(f"VVJ-{number}-01", affiliateId="VVJ", creationDate="2026-01-01T12:00:00Z"))

    pages = [
        client.get(LIST_PATH, params={"f_affiliateId": "VVJ", "per_page": 100, "page": page}).json()
        for page in range(1, 31)
    ]

    assert len({row["orderId"] for page in pages for row in page["list"]}) == 3_000
    assert pages[0]["paging"]["total"] == 10_000


# ---- The feed


def test_a_feed_configuration_is_shown_as_it_was_posted_until_it_is_removed(client: httpx.Client) -> None:
    assert client.get(FEED_CONFIG_PATH).status_code == 404

    assert client.post(FEED_CONFIG_PATH, json=FEED_CONFIG).status_code == 200
    assert client.get(FEED_CONFIG_PATH).json() == FEED_CONFIG

    assert client.delete(FEED_CONFIG_PATH).status_code == 200
    assert client.get(FEED_CONFIG_PATH).status_code == 404


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ([], "object"),
        ({}, "filter"),
        ({"filter": None}, "filter"),
        ({"filter": {"status": ["invoiced"]}}, "filter.type"),
        ({"filter": {"type": ["FromWorkflow"], "status": ["invoiced"]}}, "filter.type"),
        *[({"filter": INVOICED | {"status": status}}, "filter.status") for status in (None, [], "invoiced", [1])],
        ({"filter": INVOICED, "queue": []}, "queue"),
        *[
            ({"filter": INVOICED, "queue": {name: seconds}}, "MessageRetentionPeriodInSeconds")
            for name in ("MessageRetentionPeriodInSeconds", "messageRetentionPeriodInSeconds")
            for seconds in (345599, 1209601, "345600", None)
        ],
        *[
            ({"filter": INVOICED, "queue": {"visibilityTimeoutInSeconds": seconds}}, "visibilityTimeoutInSeconds")
            for seconds in (-1, 43201, "240", True)
        ],
    ],
)
def test_a_feed_configuration_that_is_not_whole_is_refused(
    client: httpx.Client, config: object, complaint: str
) -> None:
    answer = client.post(FEED_CONFIG_PATH, json=config)

    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]
    assert client.get(FEED_CONFIG_PATH).status_code == 404


@pytest.mark.parametrize("seconds", [345600, 1209600])
def test_a_feed_keeps_events_for_four_to_fourteen_days(client: httpx.Client, seconds: int) -> None:
    config = {"filter": INVOICED, "queue": {"MessageRetentionPeriodInSeconds": seconds}}

    assert client.post(FEED_CONFIG_PATH, json=config).status_code == 200


def test_an_app_key_without_a_feed_reads_none(client: httpx.Client) -> None:
    assert client.get(FEED_PATH).status_code == 404


def test_a_feed_without_events_is_an_empty_list(client: httpx.Client) -> None:
    configure_feed(client)

    assert read_feed(client) == []


def test_an_event_is_read_with_its_handle(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client)
    given = {"lastState": "handling", "lastChange": "2026-03-03T14:54:00.0617185Z", "domain": "Marketplace"}
    vtex.put_feed_event("luxstore", ORDER_ID, "invoiced", **given, currentChange="2026-03-03T14:55:00.0617185Z")

    [item] = read_feed(client)

    assert item.pop("eventId")
    assert len([base64.urlsafe_b64decode(part + "==") for part in item.pop("handle").split(".")]) == 3
    assert item == {
        **given,
        "orderId": ORDER_ID,
        "state": "invoiced",
        "currentChange": "2026-03-03T14:55:00.0617185Z",
    }


def test_what_is_not_said_of_an_event_is_made_up(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client)
    vtex.put_feed_event("luxstore", ORDER_ID)

    [item] = read_feed(client)

    assert (item["state"], item["domain"]) == ("invoiced", "Fulfillment")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", item["currentChange"])
    assert item["lastChange"] < item["currentChange"]


def test_a_feed_has_events_of_its_account_and_its_states_alone(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client)
    for state in ("invoiced", "Invoiced", "invoice", "canceled", ""):
        vtex.put_feed_event("luxstore", f"VVJ-{state}", state)
    vtex.put_feed_event("otherstore", "VVJ-elsewhere")

    assert [item["orderId"] for item in read_feed(client)] == ["VVJ-invoiced", "VVJ-canceled"]


def test_each_app_key_has_its_own_feed(vtex: VtexSimulator, client: httpx.Client) -> None:
    with connect(vtex, **CREDENTIALS | {"X-VTEX-API-AppKey": "vtexappkey-erp"}) as erp:
        configure_feed(client)
        configure_feed(erp)

        assert vtex.put_feed_event("luxstore", ORDER_ID) == 2
        commit(client, read_feed(client))

        assert [item["orderId"] for item in read_feed(erp)] == [ORDER_ID]
    assert set(vtex.feeds) == {"vtexappkey-luxstore", "vtexappkey-erp"}


def test_a_feed_takes_no_events_from_before_it_was_configured(vtex: VtexSimulator, client: httpx.Client) -> None:
    assert vtex.put_feed_event("luxstore", ORDER_ID) == 0
    configure_feed(client)

    assert read_feed(client) == []


def test_a_feed_that_is_configured_again_keeps_its_events(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client)
    vtex.put_feed_event("luxstore", ORDER_ID)
    client.post(FEED_CONFIG_PATH, json=FEED_CONFIG)

    assert vtex.put_feed_event("luxstore", "VVJ-2-01", "canceled") == 0
    assert [item["orderId"] for item in read_feed(client)] == [ORDER_ID]


def test_a_feed_that_is_configured_for_another_account_begins_empty(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client)
    vtex.put_feed_event("luxstore", ORDER_ID)
    configure_feed(client, "otherstore")

    assert read_feed(client) == []
    assert vtex.put_feed_event("otherstore", ORDER_ID) == 1


def test_a_feed_of_no_account_takes_the_events_of_each(vtex: VtexSimulator, client: httpx.Client) -> None:
    client.post("/api/orders/feed/config", json=FEED_CONFIG)

    assert [vtex.put_feed_event(account, ORDER_ID) for account in ("luxstore", "otherstore")] == [1, 1]


@pytest.mark.parametrize(("query", "read"), [({}, 1), ({"maxlot": "3"}, 3), ({"maxlot": "10"}, 10)])
def test_a_read_gives_as_many_as_it_asks_for(
    vtex: VtexSimulator, client: httpx.Client, query: Mapping[str, str], read: int
) -> None:
    configure_feed(client)
    for number in range(12):
        vtex.put_feed_event("luxstore", f"VVJ-{number}-01")

    assert len(client.get(FEED_PATH, params=query).json()) == read


@pytest.mark.parametrize("maxlot", ["0", "11", "-1", "all"])
def test_a_read_of_none_or_more_than_ten_is_refused(client: httpx.Client, maxlot: str) -> None:
    configure_feed(client)

    assert client.get(FEED_PATH, params={"maxlot": maxlot}).status_code == 400


def test_what_was_read_is_hidden_and_comes_back_with_a_new_handle(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client, visibilityTimeoutInSeconds=0.2)
    vtex.put_feed_event("luxstore", ORDER_ID)
    [first] = read_feed(client)
    assert read_feed(client) == []

    time.sleep(0.25)
    [second] = read_feed(client)

    assert second["handle"] != first["handle"]
    assert {**second, "handle": None} == {**first, "handle": None}


def test_what_was_read_is_hidden_for_the_usual_time_unless_told(vtex: VtexSimulator, client: httpx.Client) -> None:
    client.post(FEED_CONFIG_PATH, json={"filter": INVOICED})
    vtex.put_feed_event("luxstore", ORDER_ID)

    assert [len(read_feed(client)) for _ in range(2)] == [1, 0]


def test_what_is_committed_does_not_come_back(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client, visibilityTimeoutInSeconds=0)
    for number in range(3):
        vtex.put_feed_event("luxstore", f"VVJ-{number}-01")
    items = read_feed(client)

    assert commit(client, [items[0], items[2]]).status_code == 200

    assert [item["orderId"] for item in read_feed(client)] == ["VVJ-1-01"]


def test_an_outdated_handle_commits_nothing(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client, visibilityTimeoutInSeconds=0)
    vtex.put_feed_event("luxstore", ORDER_ID)
    outdated = read_feed(client)
    read_feed(client)

    commit(client, outdated)

    assert len(read_feed(client)) == 1


@pytest.mark.parametrize("handles", [[], [""], ["unknown"], ["unknown", "another"]])
def test_an_unknown_handle_is_ignored(vtex: VtexSimulator, client: httpx.Client, handles: list[str]) -> None:
    configure_feed(client)
    vtex.put_feed_event("luxstore", ORDER_ID)

    assert client.post(FEED_PATH, json={"handles": handles}).status_code == 200
    assert len(read_feed(client)) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"handles": "one"}', b'{"handles": [1]}', b'{"handles": null}'])
def test_a_commit_without_a_list_of_texts_is_refused(client: httpx.Client, body: bytes) -> None:
    configure_feed(client)

    assert client.post(FEED_PATH, content=body).status_code == 400


@pytest.mark.parametrize("order_id", ["", "../../x", "seq501456", "VVJ 1/2", "pedido-nº-1", "\ud800", "x" * 5000])
def test_an_event_may_name_any_order(vtex: VtexSimulator, client: httpx.Client, order_id: str) -> None:
    configure_feed(client)
    event = json.dumps({"account": "luxstore", "orderId": order_id, "state": "invoiced"})
    client.post("/_simulator/feed-events", content=event.encode())

    assert [item["orderId"] for item in read_feed(client)] == [order_id]
    assert client.get("/_simulator/feed-events").json()["events"][0]["orderId"] == order_id


def test_many_readers_at_once_do_not_read_the_same_event(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client)
    for number in range(200):
        vtex.put_feed_event("luxstore", f"VVJ-{number}-01")
    seen: list[str] = []

    def read() -> None:
        with connect(vtex) as http:
            while items := read_feed(http):
                seen.extend(item["orderId"] for item in items)
                commit(http, items)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == len(set(seen)) == 200
    assert vtex.feeds["vtexappkey-luxstore"].uncommitted() == []


def test_an_event_with_an_unknown_field_is_refused(vtex: VtexSimulator) -> None:
    with pytest.raises(BadInput, match="last_state is not one of"):
        vtex.put_feed_event("luxstore", ORDER_ID, last_state="handling")


# ---- What a person does in the Admin


def test_a_person_adds_the_key(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_key=KEY, tracking_number="AA1", courier="Correios"))

    order = client.get(ORDER_PATH).json()
    [sale] = order["packageAttachment"]["packages"]
    assert (sale["invoiceKey"], sale["trackingNumber"], sale["courier"]) == (KEY, "AA1", "Correios")
    assert order["lastChange"] > an_order()["lastChange"]


def test_an_edit_leaves_alone_what_it_does_not_name(vtex: VtexSimulator) -> None:
    vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_key=KEY))
    order = vtex.edit_invoice(InvoiceEdit(ORDER_ID, tracking_number="AA1"))

    assert order["packageAttachment"]["packages"][0]["invoiceKey"] == KEY


def test_an_edit_reaches_the_invoice_with_that_number_only(vtex: VtexSimulator) -> None:
    packages = [
        {"type": kind, "invoiceNumber": number} for kind, number in (("Output", "1"), (None, "2"), ("Input", "2"))
    ]
    vtex.put_order(an_order(packageAttachment={"packages": packages}))

    order = vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_number="2", invoice_key=KEY))

    assert [package.get("invoiceKey") for package in order["packageAttachment"]["packages"]] == [None, KEY, None]


def test_an_edit_does_not_guess_among_several_invoices(vtex: VtexSimulator) -> None:
    vtex.put_order(an_order(packageAttachment={"packages": [{"invoiceNumber": "1"}, {"invoiceNumber": "2"}]}))

    with pytest.raises(BadInput, match="invoice_number"):
        vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_key=KEY))


@pytest.mark.parametrize("attachment", [None, {"packages": []}, {"packages": [{"type": "Input"}]}])
def test_an_order_without_a_sale_invoice_cannot_be_edited(vtex: VtexSimulator, attachment: object) -> None:
    vtex.put_order(an_order(packageAttachment=attachment))

    with pytest.raises(BadInput, match="no such sale invoice"):
        vtex.edit_invoice(InvoiceEdit(ORDER_ID, invoice_key=KEY))


def test_an_unknown_order_cannot_be_edited(vtex: VtexSimulator) -> None:
    with pytest.raises(OrderUnknown):
        vtex.edit_invoice(InvoiceEdit("VVJ-0-01", invoice_key=KEY))


# ---- Credentials


@pytest.mark.parametrize("missing", CREDENTIALS)
@pytest.mark.parametrize("value", [None, ""])
def test_a_request_without_both_credentials_is_unauthorized(
    vtex: VtexSimulator, missing: str, value: str | None
) -> None:
    with connect(vtex, **CREDENTIALS | {missing: value}) as stranger:
        assert stranger.get(ORDER_PATH).status_code == 401


def test_credential_headers_count_in_any_case(vtex: VtexSimulator) -> None:
    with connect(vtex, **{name.lower(): value for name, value in CREDENTIALS.items()}) as client:
        assert client.get(ORDER_PATH).status_code == 200


@pytest.mark.parametrize("refused", CREDENTIALS.values())
def test_refused_credentials_are_forbidden_until_they_are_taken_back(
    vtex: VtexSimulator, client: httpx.Client, refused: str
) -> None:
    vtex.refused.add(refused)
    assert client.get(ORDER_PATH).status_code == 403

    vtex.refused.clear()
    assert client.get(ORDER_PATH).status_code == 200


@pytest.mark.parametrize(("token", "status"), [("TOKEN", 200), ("ANOTHER", 401)])
def test_one_pair_alone_is_accepted_when_it_is_given(token: str, status: int) -> None:
    with VtexSimulator(credentials=("vtexappkey-luxstore", token)) as vtex, connect(vtex) as client:
        vtex.put_order(an_order())

        assert client.get(ORDER_PATH).status_code == status


# ---- Faults


def test_a_delay_holds_the_answer_back(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("delay", seconds=0.1))
    began = time.monotonic()

    assert client.get(ORDER_PATH).status_code == 200
    assert time.monotonic() - began >= 0.1


def test_a_delayed_answer_is_the_order_as_it_was_when_asked_for(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("delay", seconds=0.2))
    change = threading.Timer(0.05, vtex.put_order, [an_order(status="canceled")])
    change.start()

    assert client.get(ORDER_PATH).json()["status"] == "invoiced"
    change.join()


def test_a_client_that_does_not_wait_meets_its_timeout(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("delay", seconds=30))

    with pytest.raises(httpx.ReadTimeout):
        client.get(ORDER_PATH, timeout=0.05)


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [(None, None), (7, "7"), ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT"), ("soon", "soon")],
)
def test_too_many_requests_may_say_how_long_to_wait(
    vtex: VtexSimulator, client: httpx.Client, retry_after: int | str | None, header: str | None
) -> None:
    vtex.fail(Fault("status", status=429, retry_after=retry_after))

    answer = client.get(ORDER_PATH)

    assert answer.status_code == 429
    assert answer.headers.get("Retry-After") == header


@pytest.mark.parametrize("status", [400, 401, 403, 500, 502, 503, 504, 599])
def test_any_error_status_can_be_answered(vtex: VtexSimulator, client: httpx.Client, status: int) -> None:
    vtex.fail(Fault("status", status=status))

    assert client.get(ORDER_PATH).status_code == status


def test_an_order_may_become_visible_late(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("status", status=404, times=2))

    answers = [client.get(ORDER_PATH) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [404, 404, 200]
    assert answers[0].json()["error"]["code"] == "OMS007"


def test_packages_may_become_visible_late(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("no_packages", times=2))

    attachments = [client.get(ORDER_PATH).json()["packageAttachment"] for _ in range(3)]

    assert attachments == [None, None, an_order()["packageAttachment"]]


def test_a_connection_is_dropped_before_any_byte(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("drop"))

    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        client.get(ORDER_PATH)
    assert [call.status for call in vtex.calls()] == [None]


def test_a_connection_is_dropped_in_the_middle_of_the_body(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("drop_midway"))

    with client.stream("GET", ORDER_PATH) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
            answer.read()


def test_a_login_page_comes_with_200(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("login_page"))

    answer = client.get(ORDER_PATH)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_a_redirect_leads_to_the_login_page_and_is_seen_when_followed(
    vtex: VtexSimulator, client: httpx.Client
) -> None:
    vtex.fail(Fault("login_redirect"))

    answer = client.get(ORDER_PATH, follow_redirects=True)

    assert [hop.status_code for hop in answer.history] == [302]
    assert "<form>" in answer.text
    assert [call.order_id for call in vtex.calls()] == [ORDER_ID, ""]


def test_an_empty_object_shows_neither_what_is_there_nor_that_nothing_is(
    vtex: VtexSimulator, client: httpx.Client
) -> None:
    vtex.fail(Fault("empty_object"))

    answers = [client.get(path) for path in (ORDER_PATH, f"{ORDER_PATH}-of-nobody")]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {}), (200, {})]


def test_truncated_json_has_the_right_length(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("truncated_json"))

    answer = client.get(ORDER_PATH)

    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()


def test_the_wrong_order_is_another_one_of_the_account(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order("VVJ-2-01", account="otherstore"))
    vtex.put_order(an_order("VVJ-3-01"))
    vtex.fail(Fault("wrong_order"))

    assert client.get(ORDER_PATH).json()["orderId"] == "VVJ-3-01"


def test_the_wrong_order_is_made_up_where_there_is_no_other(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("wrong_order"))

    assert client.get(ORDER_PATH).json() == an_order("OTHER-1")


def test_a_trickle_outlasts_a_timeout_for_each_read_and_ends_as_no_json(
    vtex: VtexSimulator, client: httpx.Client
) -> None:
    vtex.fail(Fault("trickle", seconds=0.2))
    began = time.monotonic()

    answer = client.get(ORDER_PATH, timeout=0.15)

    assert time.monotonic() - began >= 0.2
    assert re.fullmatch(rb"\{ +", answer.content)


@pytest.mark.parametrize(("kind", "says_its_length"), [("oversized", True), ("oversized_stream", False)])
def test_an_oversized_body_is_a_good_order_otherwise(
    vtex: VtexSimulator, client: httpx.Client, kind: Kind, says_its_length: bool
) -> None:
    vtex.fail(Fault(kind))

    answer = client.get(ORDER_PATH)

    assert len(answer.content) > FIVE_MEGABYTES
    assert ("Content-Length" in answer.headers) == says_its_length
    assert answer.json()["orderId"] == ORDER_ID


def test_a_fault_is_for_its_account_and_order_alone(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.put_order(an_order("VVJ-2-01"))
    vtex.put_order(an_order(account="otherstore"))
    vtex.fail(Fault("status", account="luxstore", order_id=ORDER_ID))

    paths = [ORDER_PATH, "/luxstore/api/oms/pvt/orders/VVJ-2-01", f"/otherstore/api/oms/pvt/orders/{ORDER_ID}"]

    assert [client.get(path).status_code for path in paths] == [503, 200, 200]


def test_faults_follow_each_other_and_count_their_uses(vtex: VtexSimulator, client: httpx.Client) -> None:
    throttle = vtex.fail(Fault("status", status=429, times=2))
    outage = vtex.fail(Fault("status", status=503, times=1))

    assert [client.get(ORDER_PATH).status_code for _ in range(4)] == [429, 429, 503, 200]
    assert (throttle.used, outage.used) == (2, 1)


def test_a_fault_stays_until_it_is_cleared(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("status"))
    assert [client.get(ORDER_PATH).status_code for _ in range(3)] == [503, 503, 503]

    vtex.faults.clear()
    assert client.get(ORDER_PATH).status_code == 200


def test_a_fault_is_not_spent_on_a_request_without_credentials(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("status", times=1))
    with connect(vtex, **{"User-Agent": "stranger"}) as stranger:
        stranger.get(ORDER_PATH)

    assert client.get(ORDER_PATH).status_code == 503


# ---- Faults of one route


REQUESTS: dict[str, tuple[str, str, bytes]] = {
    "order": ("GET", ORDER_PATH, b""),
    "list": ("GET", LIST_PATH, b""),
    "feed": ("GET", FEED_PATH, b""),
    "commit": ("POST", FEED_PATH, b'{"handles": []}'),
    "hook_config": ("DELETE", HOOK_CONFIG_PATH, b""),
    "feed_config": ("POST", FEED_CONFIG_PATH, json.dumps(FEED_CONFIG).encode()),
}


def ask(client: httpx.Client, route: str) -> httpx.Response:
    method, path, body = REQUESTS[route]
    return client.request(method, path, content=body)


@pytest.mark.parametrize("route", REQUESTS)
def test_a_fault_is_for_its_route_alone(vtex: VtexSimulator, client: httpx.Client, route: str) -> None:
    configure_feed(client)
    vtex.fail(Fault("status", status=429, retry_after=7, route=route))

    answers = {name: ask(client, name) for name in REQUESTS}

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(REQUESTS, 200) | {route: 429}
    assert answers[route].headers["Retry-After"] == "7"


@pytest.mark.parametrize("route", REQUESTS)
def test_each_route_can_be_slow(vtex: VtexSimulator, client: httpx.Client, route: str) -> None:
    configure_feed(client)
    vtex.fail(Fault("delay", seconds=0.1, route=route))
    began = time.monotonic()

    assert ask(client, route).status_code == 200
    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("route", REQUESTS)
def test_each_route_can_drop_the_connection(vtex: VtexSimulator, client: httpx.Client, route: str) -> None:
    vtex.fail(Fault("drop", route=route))

    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        ask(client, route)
    assert [(call.route, call.status, call.fault) for call in vtex.calls()] == [(route, None, "drop")]


@pytest.mark.parametrize("route", REQUESTS)
def test_each_route_can_end_at_the_login_page(vtex: VtexSimulator, client: httpx.Client, route: str) -> None:
    vtex.fail(Fault("login_page", route=route))

    answer = ask(client, route)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("route", REQUESTS)
def test_each_route_can_cut_its_json(vtex: VtexSimulator, client: httpx.Client, route: str) -> None:
    configure_feed(client)
    vtex.put_feed_event("luxstore", ORDER_ID)
    vtex.fail(Fault("truncated_json", route=route))

    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        ask(client, route).json()


@pytest.mark.parametrize("route", ["list", "feed"])
def test_lists_can_be_oversized_too(vtex: VtexSimulator, client: httpx.Client, route: str) -> None:
    configure_feed(client)
    vtex.fail(Fault("oversized", route=route))

    answer = ask(client, route)

    assert len(answer.content) > FIVE_MEGABYTES
    answer.json()


def test_only_an_order_that_is_not_found_is_an_oms007(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client)
    vtex.fail(Fault("status", status=404, route="feed"))

    answer = ask(client, "feed")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "404")


def test_a_refused_read_of_the_feed_hides_nothing(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client)
    vtex.put_feed_event("luxstore", ORDER_ID)
    vtex.fail(Fault("status", status=429, route="feed", times=1))

    assert ask(client, "feed").status_code == 429
    assert len(read_feed(client)) == 1


def test_a_dropped_read_of_the_feed_hides_what_it_handed_out(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client)
    vtex.put_feed_event("luxstore", ORDER_ID)
    vtex.fail(Fault("drop", route="feed", times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        ask(client, "feed")

    assert read_feed(client) == []
    assert [event["is_visible"] for event in vtex.feeds["vtexappkey-luxstore"].uncommitted()] == [False]


@pytest.mark.parametrize(("kind", "left"), [("status", 1), ("drop", 0)])
def test_a_refused_commit_is_none_and_a_dropped_one_is(
    vtex: VtexSimulator, client: httpx.Client, kind: Kind, left: int
) -> None:
    configure_feed(client)
    vtex.put_feed_event("luxstore", ORDER_ID)
    items = read_feed(client)
    vtex.fail(Fault(kind, route="commit"))

    if kind == "drop":
        with pytest.raises(httpx.RemoteProtocolError):
            commit(client, items)
    else:
        commit(client, items)

    assert len(vtex.feeds["vtexappkey-luxstore"].uncommitted()) == left


def test_a_fault_of_a_feed_is_for_its_account_alone(vtex: VtexSimulator, client: httpx.Client) -> None:
    configure_feed(client)
    vtex.fail(Fault("status", route="feed", account="otherstore"))

    assert ask(client, "feed").status_code == 200
    assert client.get("/otherstore/api/orders/feed").status_code == 503


@pytest.mark.parametrize("route", sorted(set(REQUESTS) - {"order"}))
@pytest.mark.parametrize("kind", ["wrong_order", "no_packages"])
def test_a_fault_that_makes_no_sense_for_a_route_is_refused(route: str, kind: Kind) -> None:
    with pytest.raises(BadInput, match="is for the route order"):
        Fault(kind, route=route)


@pytest.mark.parametrize("kind", sorted(set(get_args(Kind)) - {"wrong_order", "no_packages", "delay", "trickle"}))
@pytest.mark.parametrize("route", REQUESTS)
def test_every_other_fault_reaches_each_route(
    vtex: VtexSimulator, client: httpx.Client, route: str, kind: Kind
) -> None:
    configure_feed(client)
    vtex.requests.clear()
    vtex.fail(Fault(kind, route=route, times=1))

    with contextlib.suppress(httpx.RemoteProtocolError):
        ask(client, route)

    assert [(call.route, call.fault) for call in vtex.calls()] == [(route, kind)]


# ---- Latency


@pytest.mark.parametrize("route", REQUESTS)
def test_latency_holds_back_every_answer_of_vtex(vtex: VtexSimulator, client: httpx.Client, route: str) -> None:
    configure_feed(client)
    vtex.latency = 0.1
    began = time.monotonic()

    assert ask(client, route).status_code == 200
    assert time.monotonic() - began >= 0.1


def test_latency_is_set_and_taken_back_over_http_and_is_not_of_the_control_api(
    vtex: VtexSimulator, client: httpx.Client
) -> None:
    assert client.put("/_simulator/latency", json={"seconds": 5}).json() == {"seconds": 5}
    client.timeout = httpx.Timeout(4)
    client.get("/_simulator/health")

    assert client.put("/_simulator/latency", json={"seconds": 0}).json() == {"seconds": 0}
    assert ask(client, "order").status_code == 200


def test_a_fault_that_says_how_long_is_not_made_longer_by_the_latency(
    vtex: VtexSimulator, client: httpx.Client
) -> None:
    vtex.latency = 5
    vtex.fail(Fault("delay", seconds=0.1))

    assert client.get(ORDER_PATH, timeout=3).status_code == 200


# ---- What was asked


def test_each_read_is_recorded_in_its_order(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("status", status=429, times=1))
    client.get(ORDER_PATH)
    client.get(ORDER_PATH)

    calls = vtex.calls(ORDER_ID, account="luxstore")

    assert [(call.method, call.status, call.fault) for call in calls] == [("GET", 429, "status"), ("GET", 200, None)]
    assert calls[0].at <= calls[1].at


def test_calls_can_be_asked_for_by_account_and_order(vtex: VtexSimulator, client: httpx.Client) -> None:
    client.get(ORDER_PATH)
    client.get("/otherstore/api/oms/pvt/orders/VVJ-2-01")

    assert [call.order_id for call in vtex.calls(account="otherstore")] == ["VVJ-2-01"]
    assert [call.account for call in vtex.calls(ORDER_ID)] == ["luxstore"]
    assert vtex.calls(ORDER_ID, account="otherstore") == []


def test_a_connection_that_is_kept_counts_once(vtex: VtexSimulator, client: httpx.Client) -> None:
    for _ in range(3):
        client.get(ORDER_PATH)
    assert vtex.connections == 1

    with connect(vtex) as another:
        another.get(ORDER_PATH)
    assert vtex.connections == 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("route", ["/invoice", "/invoice/643797", "/invoice/643797/tracking"])
def test_a_write_is_refused_and_counted(vtex: VtexSimulator, client: httpx.Client, method: str, route: str) -> None:
    answer = client.request(method, ORDER_PATH + route, json={"invoiceKey": KEY})

    assert answer.status_code == 405
    assert [(call.method, call.order_id) for call in vtex.forbidden_writes] == [(method, ORDER_ID)]
    assert client.get(ORDER_PATH).json() == an_order()


def test_configurations_and_commits_are_no_forbidden_writes(vtex: VtexSimulator, client: httpx.Client) -> None:
    vtex.fail(Fault("status", status=405, route="commit"))
    for path in (FEED_CONFIG_PATH, HOOK_CONFIG_PATH, FEED_PATH):
        client.post(path, json=FEED_CONFIG)
        client.delete(path + "/config" if path == FEED_PATH else path)

    assert [call.status for call in vtex.calls(route="commit")] == [405]
    assert vtex.forbidden_writes == []


@pytest.mark.parametrize("path", [LIST_PATH, ORDER_PATH, ORDER_PATH + "/cancel"])
def test_a_write_to_orders_is_of_no_route_and_forbidden(vtex: VtexSimulator, client: httpx.Client, path: str) -> None:
    client.post(path, json={})

    assert [(call.route, call.is_forbidden_write) for call in vtex.calls()] == [("", True)]


def test_calls_can_be_asked_for_by_route(vtex: VtexSimulator, client: httpx.Client) -> None:
    for route in REQUESTS:
        ask(client, route)
    client.get("/luxstore/api/oms/pvt/nothing")

    assert {route: len(vtex.calls(route=route)) for route in (*REQUESTS, "")} == dict.fromkeys((*REQUESTS, ""), 1)
    shown = client.get("/_simulator/requests", params={"route": "commit"}).json()
    assert [(one["method"], one["route"]) for one in shown["requests"]] == [("POST", "commit")]


@pytest.mark.parametrize("route", REQUESTS)
def test_every_route_asks_for_credentials(vtex: VtexSimulator, route: str) -> None:
    with connect(vtex, **{"User-Agent": "stranger"}) as stranger:
        assert ask(stranger, route).status_code == 401
    assert [call.route for call in vtex.calls()] == [route]


def test_a_write_of_unknown_length_is_counted_too(vtex: VtexSimulator, client: httpx.Client) -> None:
    client.post(ORDER_PATH + "/invoice", content=iter([b"{}"]))

    assert len(vtex.forbidden_writes) == 1


def test_many_clients_at_once_are_all_counted(vtex: VtexSimulator) -> None:
    fault = vtex.fail(Fault("status", times=30))

    def read() -> None:
        with connect(vtex) as http:
            for _ in range(10):
                http.get(ORDER_PATH)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert fault.used == 30
    assert sorted(call.status or 0 for call in vtex.calls()) == [200] * 50 + [503] * 30
    assert vtex.connections == 8


def test_nothing_is_printed_unless_it_is_asked_for(
    vtex: VtexSimulator, client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    vtex.fail(Fault("drop", times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(ORDER_PATH)
    client.get(ORDER_PATH)

    assert capfd.readouterr() == ("", "")


def test_a_verbose_line_holds_no_secret(capfd: pytest.CaptureFixture[str]) -> None:
    with VtexSimulator(verbose=True) as vtex, connect(vtex) as client:
        client.get("/luxstore/api/oms/pvt/orders/a%0Ab?an=TOKEN")

    line = capfd.readouterr().out
    assert line.count("\n") == 1
    assert "404" in line
    assert not any(secret in line for secret in CREDENTIALS.values())


def test_closing_ends_what_is_held_back_and_what_is_kept_open() -> None:
    with VtexSimulator() as vtex, connect(vtex) as client:
        vtex.put_order(an_order())
        client.get(ORDER_PATH)
        vtex.fail(Fault("delay", seconds=60))
        threading.Timer(0.05, vtex.close).start()

        with pytest.raises(httpx.TransportError) as ended:
            client.get(ORDER_PATH, timeout=30)
        assert not isinstance(ended.value, httpx.TimeoutException)


def test_it_listens_on_each_host_on_one_port() -> None:
    with VtexSimulator(hosts=("127.0.0.1", "127.0.0.2")) as vtex, connect(vtex) as client:
        answers = [client.get(f"http://{host}:{vtex.port}/_simulator/health") for host in vtex.hosts]

    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_port_in_use_is_not_shared(vtex: VtexSimulator) -> None:
    with pytest.raises(OSError, match="in use"):
        VtexSimulator(port=vtex.port).start()


# ---- Control over HTTP


def test_orders_are_put_and_listed_over_http(vtex: VtexSimulator, client: httpx.Client) -> None:
    assert client.put("/_simulator/orders", json=an_order("VVJ-2-01")).json() == {"put": 1}
    assert client.put("/_simulator/orders", json=[an_order("VVJ-3-01"), an_order("VVJ-4-01")]).json() == {"put": 2}

    listed = client.get("/_simulator/orders").json()["orders"]
    assert [order["orderId"] for order in listed] == ["VVJ-2-01", "VVJ-3-01", "VVJ-4-01", ORDER_ID]
    assert client.get("/_simulator/health").json() == {"status": "ok", "orders": 4}


def test_the_key_is_set_over_http(vtex: VtexSimulator, client: httpx.Client) -> None:
    edit = {"account": "luxstore", "order_id": ORDER_ID, "invoice_number": "643797", "invoice_key": KEY}

    assert client.post("/_simulator/invoice-key", json=edit).json() == {"edited": ORDER_ID}
    assert vtex.order(ORDER_ID)["packageAttachment"]["packages"][0]["invoiceKey"] == KEY


def test_faults_are_set_listed_and_cleared_over_http(client: httpx.Client) -> None:
    fault = {"kind": "status", "status": 429, "retry_after": 2, "account": "luxstore"}

    assert client.post("/_simulator/faults", json=fault).json().items() >= (fault | {"used": 0}).items()
    assert client.get(ORDER_PATH).status_code == 429
    assert [one["used"] for one in client.get("/_simulator/faults").json()["faults"]] == [1]

    client.delete("/_simulator/faults")
    assert client.get(ORDER_PATH).status_code == 200


def test_feed_events_are_put_listed_and_emptied_over_http(client: httpx.Client) -> None:
    configure_feed(client)
    event = {"account": "luxstore", "orderId": ORDER_ID, "state": "invoiced"}

    assert client.post("/_simulator/feed-events", json=event).json() == {"put": 1, "kept": 1}
    read_feed(client)
    others = [event | {"orderId": "VVJ-2-01"}, event | {"account": "otherstore"}]
    assert client.post("/_simulator/feed-events", json=others).json() == {"put": 2, "kept": 1}

    assert client.get("/_simulator/feed-events").json()["events"] == [
        event | {"is_visible": False},
        event | {"orderId": "VVJ-2-01", "is_visible": True},
    ]
    client.delete("/_simulator/feed-events")
    assert client.get("/_simulator/feed-events").json() == {"events": []}
    assert read_feed(client) == []


def test_one_bad_event_keeps_out_the_others_of_its_list(client: httpx.Client) -> None:
    configure_feed(client)
    event = {"account": "luxstore", "orderId": ORDER_ID, "state": "invoiced"}

    assert client.post("/_simulator/feed-events", json=[event, {}]).status_code == 400
    assert read_feed(client) == []


def test_requests_are_shown_and_forgotten_over_http(client: httpx.Client) -> None:
    client.get(ORDER_PATH)
    client.post(ORDER_PATH + "/invoice", json={})

    shown = client.get("/_simulator/requests").json()
    assert {name: shown[name] for name in ("count", "connections", "forbidden_writes")} == {
        "count": 2,
        "connections": 1,
        "forbidden_writes": 1,
    }
    assert shown["requests"][0].items() >= {"account": "luxstore", "order_id": ORDER_ID, "status": 200}.items()
    assert client.get("/_simulator/requests", params={"account": "otherstore"}).json()["count"] == 0

    client.delete("/_simulator/requests")
    assert client.get("/_simulator/requests").json()["count"] == 0


def test_credentials_are_refused_over_http(client: httpx.Client) -> None:
    client.put("/_simulator/refused", json=["TOKEN"])
    assert client.get(ORDER_PATH).status_code == 403

    client.put("/_simulator/refused", json=[])
    assert client.get(ORDER_PATH).status_code == 200


@pytest.mark.parametrize(
    ("method", "route", "body", "complaint"),
    [
        ("PUT", "orders", b"{", "not JSON"),
        ("PUT", "orders", b"", "not JSON"),
        ("PUT", "orders", b"[1]", "object"),
        ("PUT", "orders", b'{"orderId": "VVJ-1-01"}', "hostname"),
        ("PUT", "orders", b'{"orderId": "VVJ-1-01", "hostname": "luxstore", "value": NaN}', "JSON"),
        ("POST", "invoice-key", b"{}", "order_id"),
        ("POST", "invoice-key", b'{"order_id": 1}', "order_id must be str"),
        ("POST", "invoice-key", b'{"order_id": "VVJ-975102-01", "invoiceKey": "1"}', "invoiceKey"),
        ("POST", "invoice-key", b'{"order_id": "VVJ-975102-01", "invoice_number": "1"}', "no such sale invoice"),
        ("POST", "faults", b"{}", "kind"),
        ("POST", "faults", b'{"kind": "explode"}', "kind must be one of"),
        ("POST", "faults", b'{"kind": ["drop"]}', "kind must be one of"),
        ("POST", "faults", b'{"kind": "drop", "used": 1}', "used"),
        ("POST", "faults", b'{"kind": "drop", "times": 0}', "times"),
        ("POST", "faults", b'{"kind": "drop", "times": "2"}', "times must be int | None"),
        ("POST", "faults", b'{"kind": "delay"}', "seconds"),
        ("POST", "faults", b'{"kind": "delay", "seconds": 301}', "seconds"),
        ("POST", "faults", b'{"kind": "status", "status": 200}', "status"),
        ("POST", "faults", b'{"kind": "status", "retry_after": "1\\r\\nX: y"}', "retry_after"),
        ("POST", "faults", b'{"kind": "drop", "route": "cart"}', "route must be one of"),
        ("POST", "faults", b'{"kind": "drop", "route": ["feed"]}', "route must be str"),
        ("POST", "faults", b'{"kind": "drop", "route": "feed", "order_id": "VVJ-1-01"}', "order_id is for"),
        ("PUT", "refused", b'"TOKEN"', "list"),
        ("PUT", "latency", b"1", "object"),
        ("PUT", "latency", b"{}", "seconds must be 0 to 5"),
        ("PUT", "latency", b'{"seconds": 5.1}', "seconds must be 0 to 5"),
        ("PUT", "latency", b'{"seconds": -1}', "seconds must be 0 to 5"),
        ("PUT", "latency", b'{"seconds": NaN}', "seconds must be 0 to 5"),
        ("PUT", "latency", b'{"seconds": true}', "seconds must be 0 to 5"),
        ("POST", "feed-events", b"1", "object"),
        ("POST", "feed-events", b'{"orderId": "VVJ-1-01", "state": "invoiced"}', "account"),
        ("POST", "feed-events", b'{"account": "", "orderId": "VVJ-1-01", "state": "invoiced"}', "account"),
        ("POST", "feed-events", b'{"account": "luxstore", "state": "invoiced"}', "orderId"),
        ("POST", "feed-events", b'{"account": "luxstore", "orderId": "VVJ-1-01"}', "state"),
        ("POST", "feed-events", b'{"account": "a", "orderId": "b", "state": "c", "domain": 1}', "domain must be"),
        ("POST", "feed-events", b'{"account": "a", "orderId": "b", "state": "c", "order_id": ""}', "order_id is not"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(
    client: httpx.Client, method: str, route: str, body: bytes, complaint: str
) -> None:
    answer = client.request(method, f"/_simulator/{route}", content=body)

    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]


def test_editing_an_unknown_order_over_http_is_a_404(client: httpx.Client) -> None:
    assert client.post("/_simulator/invoice-key", json={"order_id": "VVJ-0-01"}).status_code == 404


@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("POST", 405)])
def test_the_control_api_has_no_other_routes(
    vtex: VtexSimulator, client: httpx.Client, method: str, status: int
) -> None:
    assert client.request(method, "/_simulator/nothing").status_code == status
    assert vtex.calls() == []


# ---- The command


def test_the_command_serves_a_directory_in_silence(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(json.dumps(an_order()))
    command = [sys.executable, "-m", "local.vtex_simulator", "--port", "0", "--orders", str(tmp_path)]

    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert process.stdout
            url = process.stderr.readline().split()[-1]
            answer = httpx.get(url + ORDER_PATH, headers=CREDENTIALS, trust_env=False)
        finally:
            process.terminate()
        assert answer.json() == an_order()
        assert process.stdout.read() == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--app-key", "only"], "go together"),
        (["--orders", "no/such/directory"], "not a directory"),
        (["--host", "192.0.2.1", "--port", "0"], "assign"),
    ],
)
def test_the_command_says_what_it_cannot_do(arguments: list[str], complaint: str) -> None:
    command = [sys.executable, "-m", "local.vtex_simulator", *arguments]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)

    assert ended.returncode == 2
    assert complaint in ended.stderr
