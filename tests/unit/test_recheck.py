"""What is due is queued: each order once, and none lost whoever dies or refuses."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError

from invoicekey.delivery.queues import HookQueue
from invoicekey.ledger.entries import Entry, Ledger
from invoicekey.ledger.lists import Backlog
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime import telemetry
from invoicekey.work.recheck import PENDING, Queued, Recheck
from tests.fake_dynamodb import FakeDynamoDb
from tests.fakes_outside import Crash

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

NOW = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DOWN = ClientError({"Error": {"Code": "ServiceUnavailable"}}, "AnyOperation")


@dataclass
class FakeSqs:
    """Takes batches, but for the orders in `refused`; `before` is called first, and may raise."""

    batches: list[list[Any]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    before: Callable[[], object] = lambda: None

    def send_message_batch(self, *, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 - AWS's names
        self.before()
        assert 0 < len(Entries) <= 10
        failed = [entry for entry in Entries if self._order(entry) in self.refused]
        self.batches.append([entry for entry in Entries if entry not in failed])
        return {
            "Successful": [{"Id": entry["Id"]} for entry in self.batches[-1]],
            "Failed": [{"Id": entry["Id"], "Code": "InternalError"} for entry in failed],
        }

    @property
    def messages(self) -> list[Any]:
        return [entry for batch in self.batches for entry in batch]

    @property
    def orders(self) -> list[str]:
        return [self._order(entry) for entry in self.messages]

    def _order(self, entry: Any) -> str:
        order_id: str = json.loads(entry["MessageBody"])["OrderId"]
        return order_id


class Shop:
    """The table and the queue, and the runs over them."""

    def __init__(self) -> None:
        self.dynamodb = FakeDynamoDb()
        self.sqs = FakeSqs()
        self.backlog = Backlog(self.dynamodb.table)
        self.now = NOW

    def follow(self, order_id: str, due: datetime = NOW, **changes: Any) -> None:
        entry = Entry(
            OrderRef("luxstore", order_id),
            checked_at=NOW - HOUR,
            outcome="failing",
            errors_reported="f" * 64,
            opened_at=NOW - HOUR,
            recheck_at=due,
        )
        Ledger(self.dynamodb.table).write(replace(entry, **changes))

    def run(self, *, everything: bool = False, seconds_left: Callable[[], float] = lambda: 300.0) -> Queued:
        recheck = Recheck(self.backlog, HookQueue(cast("SQSClient", self.sqs), "https://sqs.example/hook"))
        return recheck.run(seconds_left, everything=everything, now=lambda: self.now)

    @property
    def due(self) -> list[str]:
        return [order.ref.order_id for order in self.backlog.followed(self.now)]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_only_what_is_due_is_queued(shop: Shop) -> None:
    shop.follow("A", NOW - HOUR)
    shop.follow("B", NOW)
    shop.follow("C", NOW + HOUR)
    assert shop.run() == Queued(2)
    assert sorted(shop.sqs.orders) == ["A", "B"]


def test_all_that_is_followed_is_queued_on_demand(shop: Shop) -> None:
    shop.follow("A", NOW - HOUR)
    shop.follow("B", NOW + 720 * HOUR)
    assert shop.run(everything=True) == Queued(2)
    assert sorted(shop.sqs.orders) == ["A", "B"]


def test_an_item_that_somebody_spoilt_is_no_trouble_of_the_others(shop: Shop) -> None:
    shop.follow("A")
    corrupt = {"pk": "order#luxstore#B", "list": "followed", "list_at": (NOW - HOUR).isoformat(), "checked_at": "today"}
    shop.dynamodb.table.put(corrupt)
    shop.follow("C")
    assert shop.run() == Queued(2)
    assert sorted(shop.sqs.orders) == ["A", "C"]


def test_an_order_is_queued_as_an_event_of_ours(shop: Shop) -> None:
    shop.follow("A")
    shop.run()
    (message,) = shop.sqs.messages
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert json.loads(message["MessageBody"]) == {"OrderId": "A", "Origin": {"Account": "luxstore"}}
    assert attributes["source"] == "recheck"
    assert uuid.UUID(attributes["correlation_id"]).version == 4


def test_a_second_look_is_not_brought_forward(shop: Shop) -> None:
    not_yet: dict[str, Any] = {"outcome": "not_invoiced", "errors_reported": None, "opened_at": None}
    shop.follow("A", NOW + HOUR)
    shop.follow("B", NOW + HOUR, **not_yet)
    shop.follow("C", NOW, **not_yet)
    assert shop.run(everything=True) == Queued(2)
    assert sorted(shop.sqs.orders) == ["A", "C"]


def test_what_was_queued_is_not_queued_again_for_a_while(shop: Shop) -> None:
    shop.follow("A")
    shop.run()
    shop.now += PENDING / 2
    assert shop.run() == Queued(0)
    shop.now += PENDING / 2
    assert shop.run() == Queued(1)


def test_on_demand_it_is_queued_all_the_same(shop: Shop) -> None:
    shop.follow("A")
    shop.run()
    assert shop.run(everything=True) == Queued(1)


def test_who_dies_before_postponing_queues_once_more_and_loses_none(shop: Shop) -> None:
    shop.follow("A")
    shop.follow("B")

    def die(operation: str) -> None:
        if operation == "update_item":
            raise Crash

    shop.dynamodb.before = die
    with pytest.raises(Crash):
        shop.run()
    assert sorted(shop.sqs.orders) == shop.due == ["A", "B"]

    shop.dynamodb.before = lambda _: None
    shop.run()
    assert sorted(shop.sqs.orders) == ["A", "A", "B", "B"]
    assert not shop.due


def test_who_dies_before_sending_has_postponed_nothing(shop: Shop) -> None:
    def die() -> None:
        raise Crash

    shop.follow("A")
    shop.sqs.before = die
    with pytest.raises(Crash):
        shop.run()
    assert shop.due == ["A"]


def test_an_order_that_sqs_refuses_stays_due(shop: Shop) -> None:
    for order_id in "ABC":
        shop.follow(order_id)
    shop.sqs.refused = {"B"}
    assert shop.run() == Queued(2, refused=1)
    assert shop.due == ["B"]


def test_where_a_whole_batch_fails_it_stays_due_and_the_others_are_queued(shop: Shop) -> None:
    for number in range(25):
        shop.follow(f"{number:02}")
    calls = iter([DOWN])

    def fail_once() -> None:
        if error := next(calls, None):
            raise error

    shop.sqs.before = fail_once
    result = shop.run()
    assert result.queued + result.refused == 25
    assert len(shop.sqs.orders) == result.queued >= 15
    assert {*shop.due, *shop.sqs.orders} == {f"{number:02}" for number in range(25)}
    assert len(shop.due) == result.refused >= 5


def test_where_the_time_is_up_the_rest_stays_due(shop: Shop) -> None:
    for number in range(250):
        shop.follow(f"{number:03}")
    left = iter([300.0, 14.9])
    assert shop.run(seconds_left=lambda: next(left)) == Queued(100, is_complete=False)
    assert shop.due == [f"{number:03}" for number in range(100, 250)]


def test_each_order_is_queued_once_though_postponing_moves_it_in_the_list_that_is_read(shop: Shop) -> None:
    shop.dynamodb.page = 7
    for number in range(120):
        shop.follow(f"{number:03}", NOW + timedelta(minutes=number))
    assert shop.run(everything=True) == Queued(120)
    assert sorted(shop.sqs.orders) == [f"{number:03}" for number in range(120)]


def test_an_order_that_could_not_be_postponed_is_queued_once_more_and_the_others_are_not_left(shop: Shop) -> None:
    for number in range(120):
        shop.follow(f"{number:03}")
    troubles = iter([DOWN])

    def fail_once(operation: str) -> None:
        if operation == "update_item" and (error := next(troubles, None)):
            raise error

    shop.dynamodb.before = fail_once
    assert shop.run() == Queued(120)
    (left,) = shop.due
    assert shop.run() == Queued(1)
    assert sorted(shop.sqs.orders) == sorted([f"{number:03}" for number in range(120)] + [left])


def test_ten_thousand_orders_take_a_thousand_calls(shop: Shop) -> None:
    shop.dynamodb.page = 10_000
    for number in range(10_000):
        shop.follow(f"{number:05}")
    assert shop.run() == Queued(10_000)
    assert len(shop.sqs.batches) <= 1_000
    assert len(set(shop.sqs.orders)) == 10_000
    assert shop.dynamodb.calls.count("update_item") == 10_000
    assert not shop.due


def test_what_came_of_a_run_is_counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[str, float]] = []
    monkeypatch.setattr(telemetry, "count", lambda name, number=1: counted.append((name, number)))
    shop.follow("A")
    shop.follow("B")
    shop.sqs.refused = {"B"}
    shop.run()
    assert counted == [("recheck_queued", 1), ("recheck_refused", 1)]
