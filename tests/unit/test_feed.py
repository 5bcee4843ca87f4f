"""The feed: what a page gives, what an event tells, what is committed, and what each answer means."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from invoicekey.rules.notification import event_id
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import CredentialsRefused, RateLimited, RetryLater
from invoicekey.vtex.feed import Feed, FeedEvent, FeedNotConfigured
from local.vtex_simulator import Fault, VtexSimulator
from tests.fakes_visits import SHOP, Figures, a_vtex, a_vtex_that_answers, app_key, credentials, headers

TIME_ENOUGH = 25.0
BY_STATUS = {"filter": {"type": "FromWorkflow", "status": ["invoiced", "handling"]}, "queue": {}}


def configure(simulator: VtexSimulator, account: str = SHOP, config: dict[str, Any] | None = None) -> None:
    url = f"{simulator.url}/{account}/api/orders/feed/config"
    httpx.post(url, json=config or BY_STATUS, headers=headers(account)).raise_for_status()


@pytest.fixture
def simulator() -> Iterator[VtexSimulator]:
    with VtexSimulator() as running:
        configure(running)
        running.requests.clear()
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


def test_a_page_has_the_events_of_the_feed(feed: Feed, simulator: VtexSimulator) -> None:
    simulator.put_feed_event(SHOP, "VVJ-1-01", lastChange="2026-03-03T14:53:39.2550122Z")

    (event,) = feed.read(SHOP, TIME_ENOUGH)

    assert event.fields["orderId"] == "VVJ-1-01"
    assert event.handle


def test_a_page_has_ten_events_at_the_most(feed: Feed, simulator: VtexSimulator) -> None:
    for number in range(12):
        simulator.put_feed_event(SHOP, f"VVJ-{number}-01")

    assert [len(feed.read(SHOP, TIME_ENOUGH)) for _ in range(3)] == [10, 2, 0]


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


@pytest.mark.parametrize(
    ("fault", "meaning"),
    [
        (Fault("login_page", route="feed"), RetryLater),
        (Fault("login_redirect", route="feed"), RetryLater),
        (Fault("truncated_json", route="feed"), RetryLater),
        (Fault("drop", route="feed"), RetryLater),
        (Fault("status", status=500, route="feed"), RetryLater),
        (Fault("status", status=401, route="feed"), CredentialsRefused),
        (Fault("status", status=403, route="feed"), CredentialsRefused),
        (Fault("status", status=429, retry_after=5, route="feed"), RateLimited),
        (Fault("status", status=503, route="feed"), RateLimited),
    ],
    ids=["login-page", "login-redirect", "cut-json", "drop", "500", "401", "403", "429", "503"],
)
def test_what_is_no_page_is_told_as_what_it_is(
    feed: Feed, simulator: VtexSimulator, fault: Fault, meaning: type[RetryLater]
) -> None:
    simulator.put_feed_event(SHOP, "VVJ-1-01")
    simulator.fail(fault)

    with pytest.raises(RetryLater) as caught:
        feed.read(SHOP, TIME_ENOUGH)

    assert type(caught.value) is meaning


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


def test_a_commit_may_be_answered_with_nothing() -> None:
    vtex = a_vtex("http://localhost", transport=httpx.MockTransport(lambda _: httpx.Response(204)))

    Feed(vtex).commit(SHOP, ["handle"], TIME_ENOUGH)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("login_page", route="commit"),
        Fault("login_redirect", route="commit"),
        Fault("status", status=404, route="commit"),
    ],
    ids=["login-page", "login-redirect", "404"],
)
def test_a_commit_that_vtex_did_not_take_is_told_so(feed: Feed, simulator: VtexSimulator, fault: Fault) -> None:
    simulator.fail(fault)

    with pytest.raises(RetryLater):
        feed.commit(SHOP, ["handle"], TIME_ENOUGH)


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
