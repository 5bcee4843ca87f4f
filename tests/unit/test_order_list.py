"""The list of invoiced orders: what a page asks, what it gives, and that nothing about people is kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from invoicekey.runtime.errors import RetryLater
from invoicekey.vtex.order_list import OrderList, OrderPage, OrderRow
from local.vtex_simulator import VtexSimulator
from tests.fakes_visits import SHOP, a_vtex, a_vtex_that_answers

TIME_ENOUGH = 25.0
BEGIN, END = datetime(2026, 3, 3, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)


def an_order(number: int, **fields: object) -> dict[str, Any]:
    usual = {
        "orderId": f"VVJ-{number}-01",
        "hostname": SHOP,
        "status": "invoiced",
        "affiliateId": "VVJ",
        "creationDate": f"2026-03-01T00:{number // 60:02}:{number % 60:02}+00:00",
        "invoicedDate": "2026-03-03T14:54:00.5436574+00:00",
    }
    return usual | fields


@pytest.fixture
def simulator() -> Iterator[VtexSimulator]:
    with VtexSimulator() as running:
        yield running


@pytest.fixture
def orders(simulator: VtexSimulator) -> OrderList:
    return OrderList(a_vtex(simulator.url))


def a_list_that_answers(document: object) -> OrderList:
    return OrderList(a_vtex_that_answers(document))


def test_a_page_has_the_orders_invoiced_in_the_period(orders: OrderList, simulator: VtexSimulator) -> None:
    simulator.put_order(an_order(1))
    simulator.put_order(an_order(2, affiliateId=None))
    simulator.put_order(an_order(3, invoicedDate="2026-03-05T00:00:00+00:00"))
    simulator.put_order(an_order(4, status="handling", invoicedDate=None))

    page = orders.page(SHOP, BEGIN, END, 1, TIME_ENOUGH)

    assert page == OrderPage(2, (OrderRow("VVJ-1-01", "VVJ"), OrderRow("VVJ-2-01", None)))


def test_an_order_whose_status_stays_behind_in_the_list_is_there(orders: OrderList, simulator: VtexSimulator) -> None:
    simulator.put_order(an_order(1))
    simulator.lag("VVJ-1-01", "handling")

    assert orders.page(SHOP, BEGIN, END, 1, TIME_ENOUGH).rows == (OrderRow("VVJ-1-01", "VVJ"),)


def test_a_page_can_be_of_one_affiliate(orders: OrderList, simulator: VtexSimulator) -> None:
    simulator.put_order(an_order(1))
    simulator.put_order(an_order(2, affiliateId="MBS"))
    simulator.put_order(an_order(3, affiliateId="vvj"))

    page = orders.page(SHOP, BEGIN, END, 1, TIME_ENOUGH, affiliate="VVJ")

    assert page == OrderPage(1, (OrderRow("VVJ-1-01", "VVJ"),))


def test_a_period_is_read_page_by_page_oldest_first(orders: OrderList, simulator: VtexSimulator) -> None:
    for number in range(150):
        simulator.put_order(an_order(number))

    pages = [orders.page(SHOP, BEGIN, END, number, TIME_ENOUGH) for number in (1, 2, 3)]

    assert [(page.total, len(page.rows)) for page in pages] == [(150, 100), (150, 50), (150, 0)]
    assert [row.order_id for page in pages for row in page.rows] == [f"VVJ-{number}-01" for number in range(150)]


@pytest.mark.parametrize(
    ("affiliate", "filters"), [(None, {}), ("VVJ", {"f_affiliateId": "VVJ"})], ids=["everybody", "affiliate"]
)
def test_the_query_is_what_vtex_documents(affiliate: str | None, filters: dict[str, str]) -> None:
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json={"list": [], "paging": {"total": 0}})

    brasilia = timezone(timedelta(hours=-3))
    orders = OrderList(a_vtex("http://localhost", transport=httpx.MockTransport(answer)))
    begin, end = datetime(2026, 3, 3, tzinfo=brasilia), datetime(2026, 3, 3, 12, 0, 0, 1999, UTC)
    orders.page(SHOP, begin, end, 7, TIME_ENOUGH, affiliate=affiliate)

    assert asked[0].path == "/luxstore/api/oms/pvt/orders"
    assert dict(asked[0].params) == {
        **filters,
        "f_invoicedDate": "invoicedDate:[2026-03-03T03:00:00.000Z TO 2026-03-03T12:00:00.001Z]",
        "orderBy": "creationDate,asc",
        "per_page": "100",
        "page": "7",
    }
    assert b"%20TO%20" in asked[0].query


def test_nothing_about_a_person_is_kept(orders: OrderList, simulator: VtexSimulator) -> None:
    simulator.put_order(an_order(1))

    assert "Maria" not in repr(orders.page(SHOP, BEGIN, END, 1, TIME_ENOUGH))


@pytest.mark.parametrize("row", [None, "text", {}, {"orderId": None}, {"orderId": ""}, {"orderId": 7}], ids=str)
def test_a_row_that_names_no_order_is_counted(row: object) -> None:
    good = {"orderId": "VVJ-1-01", "affiliateId": ""}

    page = a_list_that_answers({"list": [row, good], "paging": {"total": 2}}).page(SHOP, BEGIN, END, 1, TIME_ENOUGH)

    assert page == OrderPage(2, (OrderRow("VVJ-1-01", None),), unreadable=1)


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"list": []}, {"list": [], "paging": None}, {"list": None, "paging": {"total": 1}}],
    ids=str,
)
def test_an_answer_that_is_no_list_is_tried_again_later(document: object) -> None:
    with pytest.raises(RetryLater, match="without a list"):
        a_list_that_answers(document).page(SHOP, BEGIN, END, 1, TIME_ENOUGH)
