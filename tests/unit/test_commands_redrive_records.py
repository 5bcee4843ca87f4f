"""`invoicekey redrive --records`: what SNS could not deliver, back to the failure queue."""

import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from tests.desk import Desk, at_a_desk, make_client


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        yield desk


def undelivered(desk: Desk, number: int) -> None:
    url = desk.deployment.outputs["UndeliveredRecordsQueueUrl"]
    for one in range(number):
        make_client("sqs").send_message(
            QueueUrl=url,
            MessageBody=json.dumps({"number": one}),
            MessageAttributes={"codes": {"DataType": "String.Array", "StringValue": '["missing"]'}},
        )


def test_they_are_counted_and_moved_only_when_asked_for(desk: Desk) -> None:
    assert desk.run("redrive --records").code == 0
    undelivered(desk, 12)

    said = desk.run("redrive --records")

    assert said.code == 3
    assert "12 undelivered. To move them: invoicekey redrive --records --yes" in said.out
    assert desk.messages("FailureQueueUrl") == []


def test_they_are_moved_as_they_are(desk: Desk) -> None:
    undelivered(desk, 12)

    assert desk.run("redrive --records --yes").out == "12 records moved to the failure queue.\n"

    moved = desk.messages("FailureQueueUrl")
    assert sorted(json.loads(message["Body"])["number"] for message in moved) == list(range(12))
    assert {message["MessageAttributes"]["codes"]["StringValue"] for message in moved} == {'["missing"]'}
    assert desk.messages("UndeliveredRecordsQueueUrl") == []


def test_what_the_failure_queue_refuses_stays(desk: Desk) -> None:
    undelivered(desk, 2)
    ask, refused = desk.shop.ask, {"Successful": [{"Id": "0"}], "Failed": [{"Id": "1"}]}

    def some(service: str, operation: str, **arguments: Any) -> Any:
        return refused if operation == "send_message_batch" else ask(service, operation, **arguments)

    with mock.patch.object(type(desk.shop), "ask", side_effect=some):
        said = desk.run("redrive --records --yes")

    assert said.code == 1
    assert "took 1 records and refused others, which stay" in said.err


def test_it_moves_all_or_none(desk: Desk) -> None:
    assert desk.run("redrive VVJ-1-01 --records --yes").code == 2
