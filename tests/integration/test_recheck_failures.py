"""The re-check's entry file, with AWS in this process: what is due goes from the table to the queue."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from invoicekey.ledger.entries import Entry, Ledger
from invoicekey.ledger.table import Table
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import Unforeseen
from tests.entries import assert_that_it_does_not_start_without, at_home, received, run, start
from tests.figures import hear_the_log, lines_of_figures
from tests.ledger_table import NAME, make_ledger_table

FUNCTION = "recheck_failures"
HOUR = timedelta(hours=1)


@dataclass
class Stack:
    """The function, and what it was given."""

    ledger: Ledger
    queue: str
    entry: ModuleType

    def follow(self, order_id: str, due: timedelta) -> None:
        now = datetime.now(UTC)
        known: dict[str, Any] = {"checked_at": now - HOUR, "outcome": "failing", "opened_at": now - HOUR}
        ref = OrderRef("luxstore", order_id)
        self.ledger.write(Entry(ref, **known, errors_reported="f" * 64, recheck_at=now + due))

    def run(self, event: dict[str, Any] | None = None, seconds_left: float = 300.0) -> dict[str, Any]:
        return run(self.entry, event, seconds_left)

    def queued(self) -> list[str]:
        messages = received(self.queue)
        assert {message["MessageAttributes"]["source"]["StringValue"] for message in messages} <= {"recheck"}
        return sorted(json.loads(message["Body"])["OrderId"] for message in messages)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    at_home(monkeypatch)
    with mock_aws():
        make_ledger_table()
        queue = boto3.client("sqs").create_queue(QueueName="hook")["QueueUrl"]
        entry = start(FUNCTION, monkeypatch, {"HOOK_QUEUE_URL": queue, "LEDGER_TABLE_NAME": NAME})
        yield Stack(Ledger(Table(boto3.client("dynamodb"), NAME)), queue, entry)


def test_what_is_due_is_queued_once(stack: Stack) -> None:
    stack.follow("A", -HOUR)
    stack.follow("B", HOUR)
    assert stack.run() == {"queued": 1, "refused": 0, "is_complete": True}
    assert stack.run()["queued"] == 0
    assert stack.queued() == ["A"]


@pytest.mark.parametrize(("event", "queued"), [({"all": True}, ["A", "B"]), ({"all": "true"}, ["A"])])
def test_all_that_is_followed_is_queued_where_the_event_says_so(
    stack: Stack, event: dict[str, Any], queued: list[str]
) -> None:
    stack.follow("A", -HOUR)
    stack.follow("B", HOUR)
    assert stack.run(event)["queued"] == len(queued)
    assert stack.queued() == queued


def test_with_no_time_left_nothing_is_queued_and_it_is_said(stack: Stack) -> None:
    stack.follow("A", -HOUR)
    assert stack.run(seconds_left=10) == {"queued": 0, "refused": 0, "is_complete": False}
    assert stack.run()["queued"] == 1


def test_a_queue_that_is_gone_leaves_all_due(stack: Stack) -> None:
    stack.follow("A", -HOUR)
    boto3.client("sqs").delete_queue(QueueUrl=stack.queue)
    assert [stack.run(), stack.run()] == 2 * [{"queued": 0, "refused": 1, "is_complete": True}]


def test_a_postponed_order_is_as_a_check_left_it_but_for_its_time(stack: Stack) -> None:
    stack.follow("A", -HOUR)
    ref = OrderRef("luxstore", "A")
    before = stack.ledger.read([ref]).entries[ref]
    stack.run()
    after = stack.ledger.read([ref]).entries[ref]
    assert after.recheck_at
    assert after.recheck_at > datetime.now(UTC) + 5 * HOUR
    assert stack.ledger.write(before).version == after.version + 1


def test_what_was_counted_is_told_also_where_the_run_fails(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hear_the_log(monkeypatch)
    stack.follow("A", -HOUR)

    def dies(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stack.entry.recheck._backlog, "postpone", dies)
    with pytest.raises(Unforeseen, match="ZeroDivisionError"):
        stack.run()
    (line,) = lines_of_figures(capsys.readouterr().out)
    assert line["counts"] == {"recheck_queued": 1}


def test_a_wrong_deployment_fails_at_once_and_says_which_variable(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_that_it_does_not_start_without(monkeypatch, FUNCTION, "HOOK_QUEUE_URL", "LEDGER_TABLE_NAME")
