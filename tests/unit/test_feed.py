"""The feed: what a page gives, what an event tells, what is committed, and what each answer means."""

import json
import logging
from collections.abc import Iterator

import pytest

from invoicekey.rules.notification import event_id
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.vtex.feed import Feed, FeedEvent, FeedNotConfigured
from local.vtex_simulator import Fault, VtexSimulator
from tests.fakes_visits import SHOP, Figures, a_vtex, a_vtex_that_answers, app_key, credentials, put_feed

TIME_ENOUGH = 25.0
BY_STATUS = {"filter": {"type": "FromWorkflow", "status": ["invoiced", "handling"]}, "queue": {}}


@pytest.fixture
def simulator() -> Iterator[VtexSimulator]:
    with VtexSimulator() as running:
        put_feed(running, BY_STATUS)
        yield running


@pytest.fixture
def feed(simulator: VtexSimulator) -> Feed:
    return Feed(a_vtex(simulator.url))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Figures:
    figures = Figures()
    monkeypatch.setattr(telemetry, "count", figures)
    return figures


def a_feed_that_answers(document: object) -> Feed:
    return Feed(a_vtex_that_answers(document))


def an_entry(**fields: object) -> dict[str, object]:
    return {"orderId": "VVJ-1-01", "state": "invoiced", "lastChange": "2026-03-03T14:53:39.2550122Z", **fields}


# ---- A page


def test_a_page_has_ten_events_of_the_feed_at_the_most(feed: Feed, simulator: VtexSimulator) -> None:
    for number in range(12):
        simulator.put_feed_event(SHOP, f"VVJ-{number}-01")

    first, second, third = (feed.read(SHOP, TIME_ENOUGH) for _ in range(3))

    assert [event.fields["orderId"] for event in [*first, *second]] == [f"VVJ-{number}-01" for number in range(12)]
    assert (len(first), third) == (10, [])
    assert all(event.handle for event in first)


def test_without_a_feed_there_is_no_page() -> None:
    with VtexSimulator() as simulator, pytest.raises(FeedNotConfigured):
        Feed(a_vtex(simulator.url)).read(SHOP, TIME_ENOUGH)


@pytest.mark.parametrize(
    "entry", [None, "text", 7, [], {}, {"handle": ""}, {"handle": 7}, {"handle": None}, {"Handle": "h"}], ids=str
)
def test_an_entry_that_could_not_be_committed_is_left_out_and_counted(entry: object, figures: Figures) -> None:
    page = a_feed_that_answers([entry, an_entry(handle="good")]).read(SHOP, TIME_ENOUGH)

    assert [event.handle for event in page] == ["good"]
    assert figures.sums == {"feed_unreadable": 1}


@pytest.mark.parametrize("document", [None, {}, {"list": []}, "text", 7])
def test_an_answer_that_is_no_list_is_tried_again_later(document: object) -> None:
    with pytest.raises(RetryLater, match="without a page"):
        a_feed_that_answers(document).read(SHOP, TIME_ENOUGH)


# ---- An event


def test_an_event_tells_what_the_hook_tells() -> None:
    entry = {
        "eventId": "ED423DDED4C1AE580CADAC1A4D02DA3F",
        "handle": "secret",
        "domain": "Fulfillment",
        "state": "invoiced",
        "lastState": "invoice",
        "orderId": "VVJ-975101-01",
        "lastChange": "2026-03-03T14:53:39.2550122Z",
        "currentChange": "2026-03-03T14:54:00.5436574Z",
    }

    (event,) = a_feed_that_answers([entry]).read(SHOP, TIME_ENOUGH)

    assert event.notification("luxstore") == {
        "Domain": "Fulfillment",
        "OrderId": "VVJ-975101-01",
        "State": "invoiced",
        "LastState": "invoice",
        "LastChange": "2026-03-03T14:53:39.2550122Z",
        "CurrentChange": "2026-03-03T14:54:00.5436574Z",
        "Origin": {"Account": "luxstore"},
    }


@pytest.mark.parametrize("state", ["invoiced", " Invoiced", "faturado é", "\ud800", None])
@pytest.mark.parametrize("last_change", ["2026-03-03T14:53:39.2550122", "0001-01-01T00:00:00", "ontem", None])
def test_an_event_of_the_feed_is_the_hook_s_where_state_and_last_change_are_the_same_texts(
    state: str | None, last_change: str | None
) -> None:
    hook = {"OrderId": "VVJ-1-01", "State": state, "LastChange": last_change, "Domain": "Marketplace"}
    event = FeedEvent({"orderId": "VVJ-1-01", "state": state, "lastChange": last_change}, "handle")

    assert event_id(json.loads(json.dumps(event.notification(SHOP)))) == event_id(json.loads(json.dumps(hook)))


def test_no_text_of_an_event_has_its_handle() -> None:
    assert "HUSH" not in repr(FeedEvent({"orderId": "VVJ-1-01"}, "HUSH"))


# ---- A commit


def test_what_is_committed_does_not_come_again(feed: Feed, simulator: VtexSimulator) -> None:
    simulator.put_feed_event(SHOP, "VVJ-1-01")
    simulator.put_feed_event(SHOP, "VVJ-2-01")
    first, _ = feed.read(SHOP, TIME_ENOUGH)

    feed.commit(SHOP, [first.handle], TIME_ENOUGH)

    assert [event["orderId"] for event in simulator.feeds[app_key()].uncommitted()] == ["VVJ-2-01"]


@pytest.mark.parametrize("fault", [None, Fault("status", status=500, route="commit"), Fault("drop", route="commit")])
def test_no_log_and_no_error_has_a_handle_or_credentials(
    feed: Feed, simulator: VtexSimulator, fault: Fault | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    simulator.put_feed_event(SHOP, "VVJ-1-01")
    (event,) = feed.read(SHOP, TIME_ENOUGH)
    told = ""
    if fault:
        simulator.fail(fault)

    try:
        feed.commit(SHOP, [event.handle], TIME_ENOUGH)
    except RetryLater as trouble:
        told = f"{trouble!r} {vars(trouble)}"

    told += caplog.text
    assert event.handle not in told
    assert "HUSH" not in told
    assert credentials(SHOP).app_token not in told
