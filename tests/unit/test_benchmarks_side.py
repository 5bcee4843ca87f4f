"""What stands beside the product in `make bench`: the peers, the faults they all meet, and what is made of it."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from benchmarks import bills, load, orders
from benchmarks.bills import KINDS, Taken
from benchmarks.contenders import body_of, events_of, product, webhook
from benchmarks.fairness import STORM, Message, Outcome, Scenario
from benchmarks.faulty_aws import IDEMPOTENCY, AwsFault, FaultyAws
from benchmarks.figures import with_section
from benchmarks.peers.orders import problems_of
from benchmarks.plots import Plot, rounded_ticks
from benchmarks.side_by_side import Spread

NOTHING = Taken(vtex=1, calls={}, units={}, cpu_seconds=0.01, log_bytes=100)


@pytest.fixture
def aws() -> FaultyAws:
    return FaultyAws()


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (None, "missing"),
        ("NFe 35", "malformed"),
        (orders.key_of(1)[:-1] + str((int(orders.key_of(1)[-1]) + 1) % 10), "invalid_check_digit"),
    ],
    ids=["missing", "malformed", "wrong digit"],
)
def test_a_peer_finds_a_wrong_key(monkeypatch: pytest.MonkeyPatch, key: str | None, problem: str) -> None:
    monkeypatch.setenv("CNOVA_AFFILIATE_IDS", "VVJ")

    assert [found.rpartition(": ")[2] for found in problems_of(orders.with_key("VVJ-1", 1, key))] == [problem]


@pytest.mark.parametrize("order", [orders.good("VVJ-1", 1), orders.with_key("X-1", 1, None) | {"affiliateId": "X"}])
def test_a_peer_finds_nothing_else(monkeypatch: pytest.MonkeyPatch, order: dict[str, Any]) -> None:
    monkeypatch.setenv("CNOVA_AFFILIATE_IDS", "VVJ")

    assert problems_of(order) == []


def test_a_webhook_is_called_for_each_order_and_a_checker_once_for_all() -> None:
    assert len(events_of(webhook(), "A-1", "A-2")) == 2
    assert [len(event["Records"]) for event in events_of(product(), "A-1", "A-2")] == [2]


def test_an_order_may_be_of_another_account() -> None:
    assert '"Account": "shop-1"' in body_of("shop-1/A-1")


def test_a_fault_befalls_so_many_calls_of_its_operation_and_topic(aws: FaultyAws) -> None:
    fault = AwsFault(["Publish"], "reset", times=1, topic=":alerts")
    aws.faults = [fault]

    assert aws.take_fault("PutItem", "") is None
    assert aws.take_fault("Publish", "arn:records") is None
    assert aws.take_fault("Publish", "arn:alerts") is fault
    assert aws.take_fault("Publish", "arn:alerts") is None


def test_a_fault_may_befall_every_third_of_its_calls(aws: FaultyAws) -> None:
    aws.faults = [AwsFault(["Publish"], "reset", times=2, every=3)]

    befallen = [aws.take_fault("Publish", "") is not None for _ in range(12)]

    assert befallen == [False, False, True, False, False, True, *[False] * 6]


def test_what_is_published_in_a_batch_is_kept_message_by_message(aws: FaultyAws) -> None:
    entries = {f"PublishBatchRequestEntries.member.{number}.Message": [f"order {number}"] for number in (1, 2)}

    aws.answer_form({"Action": ["PublishBatch"], "TopicArn": ["arn:alerts"], **entries})

    assert aws.sent == [("arn:alerts", "order 1"), ("arn:alerts", "order 2")]


def test_a_peer_s_item_is_there_until_it_expires(aws: FaultyAws) -> None:
    now = datetime.now(UTC).timestamp()
    item = {"pk": {"S": "k"}, "expires_at": {"N": str(int(now + 3600))}}
    aws.answer("PutItem", {"TableName": IDEMPOTENCY, "Item": item})
    read = {"TableName": IDEMPOTENCY, "Key": {"pk": {"S": "k"}}}

    assert aws.answer("GetItem", read) == {"Item": item}

    aws.do("PUT", "later", b"86400")

    assert aws.answer("GetItem", read) == {}


@pytest.mark.parametrize(
    ("item", "units"),
    [
        ({"pk": {"S": "k"}}, 1),
        ({"pk": {"S": "k"}, "text": {"S": "x" * 1500}}, 2),
        ({"pk": {"S": "k"}, "list": {"S": "open"}, "list_at": {"S": "2026"}}, 2),
    ],
    ids=["small", "over a kilobyte", "in an index"],
)
def test_an_item_s_write_units(aws: FaultyAws, item: dict[str, Any], units: int) -> None:
    aws.answer("PutItem", {"TableName": IDEMPOTENCY, "Item": item})

    assert aws.units["write"] == units


def test_the_kinds_of_events_are_all_of_them() -> None:
    assert sum(KINDS.values()) == pytest.approx(1)


def test_a_batch_pays_its_waiting_once_and_a_worker_for_each_order() -> None:
    takes = {(kind, size): NOTHING for kind in KINDS for size in (1, 10)}

    waits_once = bills.bill("product", 0.5, takes, 10)
    waits_for_each = bills.bill("worker", 0.5, takes, 10)

    assert waits_for_each.function > waits_once.function
    assert (waits_once + waits_for_each).total == pytest.approx(waits_once.total + waits_for_each.total)


def test_what_is_passed_over_is_not_waited_for_but_a_batch_waits_for_any_that_is_read() -> None:
    def function(*passed_over: str, size: int) -> float:
        takes = {
            (kind, number): replace(NOTHING, vtex=float(kind not in passed_over))
            for kind in KINDS
            for number in (1, 10)
        }
        return bills.bill("product", 0.0, takes, size).function

    def waited(size: int) -> float:
        no_waits = function(*KINDS, size=size)
        return (function("MLB", size=size) - no_waits) / (function(size=size) - no_waits)

    assert waited(1) == pytest.approx(1 - KINDS["MLB"])
    assert waited(10) == pytest.approx(1 - KINDS["MLB"] ** 10)


def test_a_spread_tells_the_median_and_where_eight_of_ten_lie() -> None:
    assert Spread([10.0, 11.0, 12.0, 13.0, 100.0]).shown(" ms") == "12 ms (10–65)"


def test_a_plot_is_xml_and_names_its_lines() -> None:
    svg = Plot("A < B", "x", "y", {"one": [(1, 5), (10, 7)], "two": [(1, 0), (10, 1)]}, is_log=True).svg()

    texts = [element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]

    assert {"A < B", "one", "two"} <= set(texts)


def test_names_at_the_ends_of_lines_do_not_lie_on_each_other() -> None:
    svg = Plot("t", "x", "y", {"one": [(0, 5)], "two": [(0, 5)]}).svg()

    heights = [float(e.attrib["y"]) for e in ET.fromstring(svg).iter() if e.text in {"one", "two"}]

    assert abs(heights[0] - heights[1]) >= 12


@pytest.mark.parametrize("most", [0.3, 1, 7, 99, 1234])
def test_ticks_reach_the_largest_value_in_a_few_steps(most: float) -> None:
    ticks = rounded_ticks(most)

    assert ticks[0] == 0
    assert ticks[-2] < most <= ticks[-1] * 1.000001
    assert len(ticks) <= 7


def test_a_section_takes_the_place_of_the_one_of_its_title() -> None:
    page = "# Proof\n\n## Faults\n\nnone\n\n## Load\n\nold\n\n### of\n\nold\n\n## Costs\n\nlow\n"

    assert with_section(page, "Load", "## Load\n\nnew\n") == page.replace("old\n\n### of\n\nold", "new")


def test_a_section_that_is_new_stands_at_the_end() -> None:
    assert with_section("# Proof\n", "Load", "## Load\n\nnew\n") == "# Proof\n\n## Load\n\nnew\n"


def test_a_backlog_may_take_what_the_pace_takes_or_the_time_in_which_it_came() -> None:
    assert load.allowed_seconds(Scenario(storm=900, storm_lasts=10, requests_per_minute=1_000)) == 60
    assert load.allowed_seconds(Scenario(storm=900, storm_lasts=3_600, requests_per_minute=1_000)) == 3_600


def test_the_oldest_message_s_age_minute_by_minute() -> None:
    messages = [Message(STORM, 0, done_at=130), Message(STORM, 60, done_at=70)]

    assert load.oldest_ages(Outcome(messages)) == [(0, 0), (1, 1), (2, 2), (3, 0)]


def test_the_pace_minute_by_minute() -> None:
    outcome = Outcome()
    outcome.asked[STORM] += [1, 59, 130]

    assert load.paces(outcome) == [(0, 2), (1, 0), (2, 1)]


def test_a_burst_is_the_same_each_time() -> None:
    assert load.BURSTS[0].moments() == load.BURSTS[0].moments()
