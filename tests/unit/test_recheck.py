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
    before: Callable[[str], object] = lambda _: None

    def send_message_batch(self, *, QueueUrl: str, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 - AWS's names
        self.before("send")
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

    def follow_many(self, number: int, apart: timedelta = timedelta(0)) -> list[str]:
        """Follow so many orders that are due, or one after the other; return their ids."""
        orders = [f"{place:03}" for place in range(number)]
        for place, order_id in enumerate(orders):
            self.follow(order_id, NOW + place * apart)
        return orders

    def run(self, *, everything: bool = False, seconds_left: Callable[[], float] = lambda: 300.0) -> Queued:
        recheck = Recheck(self.backlog, HookQueue(cast("SQSClient", self.sqs), "https://sqs.example/hook"))
        return recheck.run(seconds_left, everything=everything, now=lambda: self.now)

    @property
    def due(self) -> list[str]:
        return [order.ref.order_id for order in self.backlog.followed(self.now)]


def at(operation: str, error: BaseException, times: int = 1) -> Callable[[str], None]:
    """Return what lets an operation fail so often."""
    errors = iter([error] * times)

    def fail(called: str) -> None:
        if called == operation and (trouble := next(errors, None)):
            raise trouble

    return fail


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.mark.parametrize(("everything", "queued"), [(False, ["A", "B"]), (True, ["A", "B", "C"])])
def test_what_is_due_is_queued_and_on_demand_all_that_is_followed(
    shop: Shop, queued: list[str], *, everything: bool
) -> None:
    for order_id, due in (("A", NOW - HOUR), ("B", NOW), ("C", NOW + 720 * HOUR)):
        shop.follow(order_id, due)
    assert shop.run(everything=everything) == Queued(len(queued))
    assert sorted(shop.sqs.orders) == queued


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


def test_what_was_queued_is_not_queued_again_for_a_while_but_on_demand(shop: Shop) -> None:
    shop.follow("A")
    shop.run()
    shop.now += PENDING / 2
    assert shop.run() == Queued(0)
    shop.now += PENDING / 2
    assert shop.run() == Queued(1)
    assert shop.run(everything=True) == Queued(1)


def test_who_dies_before_postponing_queues_once_more_and_loses_none(shop: Shop) -> None:
    shop.follow_many(2)
    shop.dynamodb.before = at("update_item", Crash(), times=2)
    with pytest.raises(Crash):
        shop.run()
    assert sorted(shop.sqs.orders) == shop.due == ["000", "001"]

    shop.run()
    assert sorted(shop.sqs.orders) == ["000", "000", "001", "001"]
    assert not shop.due


def test_an_order_that_sqs_refuses_stays_due(shop: Shop) -> None:
    shop.follow_many(3)
    shop.sqs.refused = {"001"}
    assert shop.run() == Queued(2, refused=1)
    assert shop.due == ["001"]


def test_where_a_whole_batch_fails_it_stays_due_and_the_others_are_queued(shop: Shop) -> None:
    orders = shop.follow_many(25)
    shop.sqs.before = at("send", DOWN)
    result = shop.run()
    assert (result.queued, result.refused) in {(15, 10), (20, 5)}
    assert len(shop.sqs.orders) == result.queued
    assert sorted(shop.due + shop.sqs.orders) == orders


def test_where_the_time_is_up_the_rest_stays_due(shop: Shop) -> None:
    orders = shop.follow_many(250)
    left = iter([300.0, 14.9])
    assert shop.run(seconds_left=lambda: next(left)) == Queued(100, is_complete=False)
    assert shop.due == orders[100:]


def test_each_order_is_queued_once_though_postponing_moves_it_in_the_list_that_is_read(shop: Shop) -> None:
    shop.dynamodb.page = 7
    orders = shop.follow_many(120, apart=timedelta(minutes=1))
    assert shop.run(everything=True) == Queued(120)
    assert sorted(shop.sqs.orders) == orders


def test_an_order_that_could_not_be_postponed_is_queued_once_more_and_the_others_are_not_left(shop: Shop) -> None:
    orders = shop.follow_many(120)
    shop.dynamodb.before = at("update_item", DOWN)
    assert shop.run() == Queued(120)
    (left,) = shop.due
    assert shop.run() == Queued(1)
    assert sorted(shop.sqs.orders) == sorted([*orders, left])


def test_a_thousand_orders_take_a_hundred_calls(shop: Shop) -> None:
    orders = shop.follow_many(1_000)
    assert shop.run() == Queued(1_000)
    assert len(shop.sqs.batches) <= 100
    assert sorted(shop.sqs.orders) == orders
    assert shop.dynamodb.calls.count("update_item") == 1_000
    assert not shop.due
