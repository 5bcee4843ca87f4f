import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any
from unittest import mock

import pytest

from invoicekey.delivery.queues import Event, HookQueue
from operations.commands import redrive as command
from operations.deployment.stack import Trouble
from operations.tasks.redrive import HIDDEN_SECONDS, Choice, DeadLetters, Redrive, count
from tests.desk import Desk, at_a_desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk, mock.patch.object(command, "DeadLetters", partial(DeadLetters, wait_seconds=0)):
        yield desk


def left(desk: Desk) -> list[str]:
    return [json.loads(message["Body"])["OrderId"] for message in desk.messages("HookDeadLetterQueueUrl")]


@pytest.fixture
def buried(desk: Desk) -> Desk:
    desk.send_to_dead_letters("VVJ-1-01", reason="gave_up", correlation_id="c-1")
    desk.send_to_dead_letters("VVJ-2-01", reason="not_found", correlation_id="c-2")
    desk.send_to_dead_letters("VVJ-3-01", reason="malformed", correlation_id="c-3")
    desk.send_to_dead_letters("VVJ-4-01")
    return desk


def test_without_yes_it_counts_and_changes_nothing(buried: Desk) -> None:
    said = buried.run("redrive")

    assert said.code == 3
    for reason in ("gave_up", "malformed", "none", "not_found"):
        assert f"1 {reason}: " in said.out
    assert "Nothing was done. To send 3 back: invoicekey redrive --yes" in said.err
    assert buried.queued() == []
    assert len(left(buried)) == 4


@pytest.mark.parametrize(
    ("reasons", "moved"),
    [
        ("", ["VVJ-1-01", "VVJ-2-01", "VVJ-4-01"]),
        ("--reason gave_up", ["VVJ-1-01"]),
        ("--reason gave_up --reason NOT_FOUND", ["VVJ-1-01", "VVJ-2-01"]),
        ("--reason malformed", ["VVJ-3-01"]),
        ("--reason none", ["VVJ-4-01"]),
    ],
)
def test_those_of_the_reasons_are_moved_or_all_but_malformed_ones(buried: Desk, reasons: str, moved: list[str]) -> None:
    said = buried.run(f"redrive --yes --rate 100 {reasons}")
    assert (said.code, said.out.split(" message")[0]) == (0, str(len(moved)))
    assert sorted(buried.queued()) == moved
    assert len(left(buried)) == 4 - len(moved)


def test_body_and_correlation_id_stay_as_they_are(buried: Desk) -> None:
    buried.run("redrive --yes --reason gave_up")
    (message,) = buried.messages("HookQueueUrl")

    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}

    assert json.loads(message["Body"]) == {"OrderId": "VVJ-1-01", "Origin": {"Account": "luxstore"}}
    assert attributes == {"correlation_id": "c-1", "source": "redrive"}


def test_an_unknown_reason_is_one_line(buried: Desk) -> None:
    said = buried.run("redrive --reason nonsense --yes")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert len(left(buried)) == 4


def test_what_the_hook_queue_refuses_is_told_with_what_to_look_at(buried: Desk) -> None:
    buried.deployment.outputs["HookQueueUrl"] += "-gone"
    said = buried.run("redrive --yes --rate 100")
    assert said.code == 1
    assert "3 were not taken by the hook queue, and stay dead letters. Run it again; if that repeats" in said.err
    assert "your AWS identity may not send to it (--profile names another)" in said.err


def test_what_to_type_next_leads_to_the_same_place(buried: Desk) -> None:
    buried.is_given(region="sa-east-1")
    assert "invoicekey redrive --yes --region sa-east-1" in buried.run("redrive").err
    assert "invoicekey explain ORDER --region sa-east-1" in buried.run("redrive --yes --rate 100").out


def test_an_empty_queue_is_said(desk: Desk) -> None:
    said = desk.run("redrive")
    assert (said.code, said.out) == (0, "")
    assert "no dead letters" in said.err


def test_ctrl_c_says_how_many_were_moved_and_loses_none(buried: Desk) -> None:
    pressed = mock.Mock(side_effect=KeyboardInterrupt)
    with mock.patch.object(command, "Redrive", partial(Redrive, sleep=pressed)):
        said = buried.run("redrive --yes --rate 1")

    assert said.code == 130
    assert "Interrupted: 1 message moved" in said.err
    assert len(buried.queued()) + len(left(buried)) == 4


# ---- The core, with a queue that can be told to fail


LONG_AGO, LATELY = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 22, 12, tzinfo=UTC)


class Queue:
    """A dead-letter queue: what is received is hidden, what is made visible is there again."""

    says_the_time = True

    def __init__(self, *reasons: str) -> None:
        self.there = {str(number): message(str(number), reason) for number, reason in enumerate(reasons)}
        self.hidden: set[str] = set()
        self.steps: list[str] = []

    def ask(self, operation: str, **arguments: Any) -> Any:
        self.steps.append(operation)
        return getattr(self, operation)(**arguments)

    def receive_message(self, MaxNumberOfMessages: int, VisibilityTimeout: int, **_: Any) -> Any:  # noqa: N803
        assert VisibilityTimeout == HIDDEN_SECONDS
        ids = list(itertools.islice((one for one in self.there if one not in self.hidden), MaxNumberOfMessages))
        self.hidden |= set(ids)
        headers = {"date": format_datetime(LATELY, usegmt=True)} if self.says_the_time else {}
        return {"Messages": [self.there[one] for one in ids], "ResponseMetadata": {"HTTPHeaders": headers}}

    def delete_message_batch(self, Entries: list[Any], **_: Any) -> None:  # noqa: N803
        for entry in Entries:
            del self.there[entry["ReceiptHandle"]]
            self.hidden.discard(entry["ReceiptHandle"])

    def change_message_visibility_batch(self, Entries: list[Any], **_: Any) -> None:  # noqa: N803
        self.hidden -= {entry["ReceiptHandle"] for entry in Entries}


class Way(HookQueue):
    """The hook queue; it refuses the messages it is told to, and may bring a message back as a dead letter."""

    def __init__(self, queue: Queue, *, refuses: int = 0, comes_back: bool = False) -> None:
        self.sent: list[Event] = []
        self._queue = queue
        self._refuses = refuses
        self._comes_back = comes_back

    def send(self, events: Any) -> list[Event]:
        self._queue.steps.append("send")
        taken = list(events)[self._refuses :]
        self.sent += taken
        if self._comes_back:
            number = f"again-{len(self.sent)}"
            again = message(number, "not_found", taken[0].correlation_id, taken[0].body, sent_at=LATELY)
            self._queue.there[number] = again
        return taken


def message(
    number: str,
    reason: str,
    correlation_id: str | None = None,
    body: str | None = None,
    *,
    sent_at: datetime = LONG_AGO,
) -> dict[str, Any]:
    attributes = {"reason": {"StringValue": reason}, "correlation_id": {"StringValue": correlation_id or f"c-{number}"}}
    return {
        "MessageId": number,
        "ReceiptHandle": number,
        "Body": body or f"body {number}",
        "MessageAttributes": attributes,
        "Attributes": {"SentTimestamp": str(int(sent_at.timestamp() * 1000))},
    }


def redrive(queue: Queue, way: Way, rate: float = 100, **options: Any) -> Redrive:
    return Redrive(DeadLetters(queue.ask, "url"), way, rate, sleep=options.pop("sleep", lambda _: None))


def test_received_then_sent_then_deleted() -> None:
    queue = Queue("gave_up")
    redrive(queue, Way(queue)).run(Choice({"gave_up"}))
    assert queue.steps == ["receive_message", "send", "delete_message_batch", "receive_message"]


def test_a_count_makes_everything_visible_again() -> None:
    queue = Queue(*["gave_up"] * 25)
    tally = count(DeadLetters(queue.ask, "url"))
    assert tally.numbers == {"gave_up": 25}
    assert (len(queue.there), queue.hidden) == (25, set())


def test_what_the_hook_queue_refuses_stays_a_dead_letter() -> None:
    queue = Queue("gave_up", "gave_up")
    run = redrive(queue, Way(queue, refuses=1))

    run.run(Choice({"gave_up"}))

    assert (run.moved.total(), run.refused, len(queue.there), queue.hidden) == (1, 1, 1, set())


def test_one_that_is_a_dead_letter_again_at_once_does_not_go_round_and_round() -> None:
    queue = Queue("not_found")
    run = redrive(queue, Way(queue, comes_back=True))

    run.run(Choice({"not_found"}))

    assert (run.moved.total(), run.back_again, len(queue.there)) == (1, 1, 1)


def with_twins() -> Queue:
    """Return a queue in which an interrupted run left a message beside what came of it; ten are received at once."""
    queue = Queue(*["gave_up"] * 12)
    queue.there["twin"] = message("twin", "not_found", "c-0", "body 0")
    return queue


def test_a_twin_that_was_there_before_is_moved_with_the_other_one() -> None:
    queue = with_twins()
    way = Way(queue)
    run = redrive(queue, way)

    run.run(Choice({"gave_up", "not_found"}))

    assert [event.body for event in way.sent].count("body 0") == 1
    assert (run.moved["gave_up"], run.moved["not_found"], run.back_again) == (12, 1, 0)
    assert queue.there == {}


def test_where_sqs_does_not_say_the_time_none_is_taken_for_a_twin() -> None:
    queue = with_twins()
    queue.says_the_time = False
    run = redrive(queue, Way(queue))

    run.run(Choice({"gave_up", "not_found"}))

    assert (run.moved.total(), run.back_again, list(queue.there)) == (12, 1, ["twin"])


def test_the_rate_is_kept() -> None:
    slept: list[float] = []
    queue = Queue(*["gave_up"] * 12)
    redrive(queue, Way(queue), rate=5, sleep=slept.append).run(Choice({"gave_up"}))
    assert sum(slept) == pytest.approx(12 / 5)


def test_aws_failing_midway_makes_the_others_visible_again() -> None:
    queue = Queue(*["gave_up", "malformed"] * 6)

    def fail(**_: Any) -> None:
        raise Trouble("AWS answered ThrottlingException to DeleteMessageBatch.")

    with mock.patch.object(queue, "delete_message_batch", fail), pytest.raises(Trouble):
        redrive(queue, Way(queue), rate=1).run(Choice({"gave_up"}))

    assert len(queue.there) == 12
    assert len(queue.hidden) == 1
