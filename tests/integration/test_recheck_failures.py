"""The re-check's entry file, with AWS in this process: what is due goes from the table to the queue."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from invoicekey.ledger.entries import Entry, Ledger
from invoicekey.ledger.table import Table
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.settings import SettingsError
from tests.fakes_visits import import_afresh
from tests.figures import hear_the_log, lines_of_figures
from tests.ledger_table import NAME, make_ledger_table

ENTRY = Path(__file__).parents[2] / "functions/recheck_failures/recheck_failures.py"
HOUR = timedelta(hours=1)


@dataclass
class Context:
    seconds_left: float = 300.0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds_left * 1000)


@dataclass
class Stack:
    """The function, and what it was given."""

    ledger: Ledger
    queue: str
    entry: ModuleType

    def follow(self, order_id: str, due: datetime) -> None:
        checked_at = datetime.now(UTC) - HOUR
        self.ledger.write(
            Entry(
                OrderRef("luxstore", order_id),
                checked_at=checked_at,
                outcome="failing",
                errors_reported="f" * 64,
                opened_at=checked_at,
                recheck_at=due,
            )
        )

    def run(self, event: dict[str, Any] | None = None, seconds_left: float = 300.0) -> dict[str, Any]:
        answer: dict[str, Any] = self.entry.handler(event or {}, Context(seconds_left))
        parsed: dict[str, Any] = json.loads(json.dumps(answer))
        return parsed

    def queued(self) -> list[str]:
        answer = boto3.client("sqs").receive_message(
            QueueUrl=self.queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        messages = answer.get("Messages", [])
        assert {message["MessageAttributes"]["source"]["StringValue"] for message in messages} <= {"recheck"}
        return sorted(json.loads(message["Body"])["OrderId"] for message in messages)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        make_ledger_table()
        queue = boto3.client("sqs").create_queue(QueueName="hook")["QueueUrl"]
        monkeypatch.setenv("HOOK_QUEUE_URL", queue)
        monkeypatch.setenv("LEDGER_TABLE_NAME", NAME)
        yield Stack(Ledger(Table(boto3.client("dynamodb"), NAME)), queue, import_afresh(ENTRY))


def test_what_is_due_is_queued_once(stack: Stack) -> None:
    now = datetime.now(UTC)
    stack.follow("A", now - HOUR)
    stack.follow("B", now + HOUR)
    assert stack.run() == {"queued": 1, "refused": 0, "is_complete": True}
    assert stack.run()["queued"] == 0
    assert stack.queued() == ["A"]


@pytest.mark.parametrize(("event", "queued"), [({"all": True}, ["A", "B"]), ({"all": "true"}, ["A"]), ({}, ["A"])])
def test_all_that_is_followed_is_queued_where_the_event_says_so(
    stack: Stack, event: dict[str, Any], queued: list[str]
) -> None:
    now = datetime.now(UTC)
    stack.follow("A", now - HOUR)
    stack.follow("B", now + HOUR)
    assert stack.run(event)["queued"] == len(queued)
    assert stack.queued() == queued


def test_with_no_time_left_nothing_is_queued_and_it_is_said(stack: Stack) -> None:
    stack.follow("A", datetime.now(UTC) - HOUR)
    assert stack.run(seconds_left=10) == {"queued": 0, "refused": 0, "is_complete": False}
    assert stack.run()["queued"] == 1


def test_a_queue_that_is_gone_leaves_all_due(stack: Stack) -> None:
    stack.follow("A", datetime.now(UTC) - HOUR)
    boto3.client("sqs").delete_queue(QueueUrl=stack.queue)
    assert [stack.run(), stack.run()] == 2 * [{"queued": 0, "refused": 1, "is_complete": True}]


def test_a_postponed_order_is_as_a_check_left_it_but_for_its_time(stack: Stack) -> None:
    stack.follow("A", datetime.now(UTC) - HOUR)
    ref = OrderRef("luxstore", "A")
    before = stack.ledger.read([ref]).entries[ref]
    stack.run()
    after = stack.ledger.read([ref]).entries[ref]
    assert after.recheck_at
    assert after.recheck_at > datetime.now(UTC) + 5 * HOUR
    assert stack.ledger.write(before).version == after.version + 1


def test_a_run_is_counted_in_one_line(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hear_the_log(monkeypatch)
    stack.follow("A", datetime.now(UTC) - HOUR)
    stack.run()
    (line,) = lines_of_figures(capsys.readouterr().out)
    assert line["counts"] == {"recheck_queued": 1}


def test_what_was_counted_is_told_also_where_the_run_fails(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hear_the_log(monkeypatch)
    stack.follow("A", datetime.now(UTC) - HOUR)

    def dies(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stack.entry.recheck._backlog, "postpone", dies)
    with pytest.raises(ZeroDivisionError):
        stack.run()
    (line,) = lines_of_figures(capsys.readouterr().out)
    assert line["counts"] == {"recheck_queued": 1}


@pytest.mark.parametrize("name", ["HOOK_QUEUE_URL", "LEDGER_TABLE_NAME"])
def test_a_wrong_deployment_fails_at_once_and_says_which_variable(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=name):
        import_afresh(ENTRY)
