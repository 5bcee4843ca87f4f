import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from invoicekey.delivery.queues import FEED, MOST_BYTES, AlertTopic, Event, HookQueue, Outlets, alert_entry
from invoicekey.ledger.entries import Entry, Report
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import RetryLater
from tests.fakes_outside import FakeOutlets, Steps, message
from tests.record_topic import record_topic

NOW = datetime(2026, 3, 3, tzinfo=UTC)
ALERT = alert_entry("A subject", json.dumps({"default": "é"}), {"type": "failing", "codes": ["missing", "reused"]})
RECORD = '{"é": 1, "data": {"problems": [{"code": "missing"}, {"code": "missing"}, {"code": "reused"}]}}'
REFUSED = ClientError({"Error": {"Code": "ServiceUnavailable"}}, "PublishBatch")


def entry(number: int, record: str = RECORD) -> Entry:
    return Entry(
        OrderRef("luxstore", f"VVJ-{number}-01"),
        report=Report(1, "invoicekey.order.failing.v1", record, ALERT, NOW),
    )


class Real:
    """The outlets on moto, and what reached the other side."""

    def __init__(self) -> None:
        self.sqs, self.sns = boto3.client("sqs"), boto3.client("sns")
        self.urls = {name: self.sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("hooks", "dead", "failures")}
        self.urls["inbox"] = self.sqs.create_queue(QueueName="inbox")["QueueUrl"]
        self.topic = self.sns.create_topic(Name="alerts")["TopicArn"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.urls["inbox"], AttributeNames=["QueueArn"])["Attributes"]
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn["QueueArn"])
        self.outlets = Outlets(
            lambda: self.sqs,
            lambda: self.sns,
            hook_queue=self.urls["hooks"],
            dead_letters=self.urls["dead"],
            records=record_topic(self.urls["failures"]),
            alerts=self.topic,
        )

    def messages(self, name: str) -> list[Any]:
        found: list[Any] = []
        while batch := self.sqs.receive_message(
            QueueUrl=self.urls[name], MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            found += batch
        return found


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[Real]:
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with mock_aws():
        yield Real()


@pytest.fixture(params=["sqs and sns", "fake"])
def outlets(request: pytest.FixtureRequest) -> Outlets:
    if request.param == "fake":
        return FakeOutlets(Steps())
    real: Real = request.getfixturevalue("real")
    return real.outlets


def test_what_got_through_is_returned_in_order(outlets: Outlets) -> None:
    entries = [entry(number) for number in range(3)]
    assert outlets.send_records(entries) == entries
    assert outlets.publish_alerts(entries) == entries


def test_where_there_is_nothing_to_send_nothing_happens(outlets: Outlets) -> None:
    assert outlets.send_records([]) == []
    assert outlets.publish_alerts([]) == []
    assert outlets.return_to_queue([]) == []


def test_a_handle_that_is_none_is_returned_as_refused(outlets: Outlets) -> None:
    if isinstance(outlets, FakeOutlets):
        outlets.refuse("return_to_queue", message().id)
    assert outlets.return_to_queue([(message(receipt_handle="none"), 1)]) == [message(receipt_handle="none")]


def test_an_entry_without_a_report_is_a_mistake_of_ours(outlets: Outlets) -> None:
    with pytest.raises(ValueError, match="without a report"):
        outlets.send_records([replace(entry(1), report=None)])


def test_a_record_is_sent_as_it_is_with_type_and_account(real: Real) -> None:
    assert real.outlets.send_records([entry(1)]) == [entry(1)]

    (sent,) = real.messages("failures")
    assert sent["Body"] == RECORD
    assert {name: value["StringValue"] for name, value in sent["MessageAttributes"].items()} == {
        "type": "invoicekey.order.failing.v1",
        "account": "luxstore",
        "codes": '["missing", "reused"]',
    }


def test_a_record_without_problems_has_no_codes(real: Real) -> None:
    real.outlets.send_records([entry(1, '{"data": {"problems": []}}')])

    (sent,) = real.messages("failures")
    assert sent["MessageAttributes"].keys() == {"type", "account"}


def test_more_than_ten_go_in_several_batches_and_all_get_through(real: Real) -> None:
    assert len(real.outlets.send_records([entry(number) for number in range(23)])) == 23
    assert len(real.messages("failures")) == 23


def test_a_batch_is_split_before_it_is_too_large(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    publish = real.sns.publish_batch

    def measuring(**call: Any) -> Any:
        sizes.append(len(call["PublishBatchRequestEntries"]))
        return publish(**call)

    monkeypatch.setattr(real.sns, "publish_batch", measuring)
    large = json.dumps({"data": {"problems": [], "x": "x" * (MOST_BYTES // 3)}})
    assert len(real.outlets.send_records([entry(number, large) for number in range(5)])) == 5
    assert sizes == [2, 2, 1]


def test_an_alert_reaches_its_subscribers_with_text_and_attributes(real: Real) -> None:
    assert real.outlets.publish_alerts([entry(1)]) == [entry(1)]

    (received,) = real.messages("inbox")
    envelope = json.loads(received["Body"])
    assert (envelope["Subject"], envelope["Message"]) == ("A subject", "é")
    assert envelope["MessageAttributes"]["codes"] == {"Type": "String.Array", "Value": '["missing", "reused"]'}


def test_the_entries_that_were_not_taken_are_told_apart(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"Successful": [{"Id": "1"}], "Failed": [{"Id": "0", "Code": "InternalError"}]}
    monkeypatch.setattr(real.sns, "publish_batch", lambda **_: answer)

    assert real.outlets.send_records([entry(1), entry(2)]) == [entry(2)]


def test_of_a_batch_that_fails_nothing_got_through(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise REFUSED

    monkeypatch.setattr(real.sns, "publish_batch", refuse)
    assert real.outlets.send_records([entry(1)]) == []


def test_a_topic_that_gives_no_answer_took_nothing(real: Real) -> None:
    nowhere = boto3.client("sns", endpoint_url="http://127.0.0.1:9", region_name="us-east-1")
    outlets = Outlets(lambda: real.sqs, lambda: nowhere, hook_queue="", dead_letters="", records="", alerts="arn")
    assert outlets.publish_alerts([entry(1)]) == []


def test_a_dead_letter_has_its_reason_and_correlation_id(real: Real) -> None:
    real.outlets.send_to_dead_letters(message(body="the body"), "malformed")

    (letter,) = real.messages("dead")
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert letter["Body"] == "the body"
    assert attributes == {"reason": "malformed", "correlation_id": message().correlation_id}


def test_a_dead_letter_that_is_refused_is_trouble_for_later(real: Real) -> None:
    real.sqs.delete_queue(QueueUrl=real.urls["dead"])
    with pytest.raises(RetryLater):
        real.outlets.send_to_dead_letters(message(), "malformed")


@pytest.mark.parametrize(("wait", "told"), [(0, 0), (1.2, 2), (99_999.0, 43_000)])
def test_a_wait_is_whole_seconds_never_shorter_and_no_longer_than_sqs_takes(
    real: Real, monkeypatch: pytest.MonkeyPatch, wait: float, told: int
) -> None:
    visibilities: list[int] = []

    def remembering(**call: Any) -> dict[str, Any]:
        visibilities.extend(entry["VisibilityTimeout"] for entry in call["Entries"])
        return {}

    monkeypatch.setattr(real.sqs, "change_message_visibility_batch", remembering)
    real.outlets.return_to_queue([(message(), wait)])
    assert visibilities == [told]


def test_a_message_is_put_back_and_a_refused_handle_is_told(real: Real) -> None:
    real.sqs.send_message(QueueUrl=real.urls["hooks"], MessageBody="{}")
    (received,) = real.sqs.receive_message(QueueUrl=real.urls["hooks"], VisibilityTimeout=600)["Messages"]
    good, stale = message("VVJ-1-01", receipt_handle=received["ReceiptHandle"]), message("VVJ-2-01")

    assert real.outlets.return_to_queue([(good, 0), (stale, 99_999.0)]) == [stale]
    assert len(real.messages("hooks")) == 1


# ---- The way in


def event(number: int) -> Event:
    return Event(f'{{"number": {number}}}', f"correlation-{number}", FEED)


def remembered(real: Real, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let SQS take nothing, and return what it is given."""
    sent: list[Any] = []

    def remembering(**call: Any) -> dict[str, Any]:
        sent.extend(call["Entries"])
        return {}

    monkeypatch.setattr(real.sqs, "send_message_batch", remembering)
    return sent


def test_an_event_is_queued_as_it_is_with_its_source(real: Real) -> None:
    assert HookQueue(real.sqs, real.urls["hooks"]).send([event(1)]) == [event(1)]

    (queued,) = real.messages("hooks")
    attributes = {name: value["StringValue"] for name, value in queued["MessageAttributes"].items()}
    assert queued["Body"] == '{"number": 1}'
    assert attributes == {"correlation_id": "correlation-1", "source": "feed"}


@pytest.mark.parametrize(
    ("body", "group"),
    [('{"OrderId": "VVJ-1-01", "Origin": {"Account": "luxstore"}}', "luxstore"), ('{"Origin": {"Account": 7}}', None),
     ('{"Origin": []}', None), ("no JSON", None)],
)  # fmt: skip
def test_an_event_is_queued_in_the_group_of_its_account_where_it_names_one(
    real: Real, monkeypatch: pytest.MonkeyPatch, body: str, group: str | None
) -> None:
    sent = remembered(real, monkeypatch)
    HookQueue(real.sqs, real.urls["hooks"]).send([Event(body, "correlation", FEED)])

    assert [entry.get("MessageGroupId") for entry in sent] == [group]


def test_the_events_that_were_queued_are_returned(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event(number) for number in range(12)]
    answers = iter([{"Successful": [{"Id": "3"}, {"Id": "5"}]}, {"Successful": [{"Id": "1"}]}])
    monkeypatch.setattr(real.sqs, "send_message_batch", lambda **_: next(answers))

    assert HookQueue(real.sqs, real.urls["hooks"]).send(events) == [event(3), event(5), event(11)]


@pytest.mark.parametrize(
    ("delay", "told"),
    [(timedelta(0), None), (timedelta(minutes=1), 60), (timedelta(hours=1), 900)],
    ids=["none", "a minute", "more than SQS takes"],
)
def test_an_event_may_be_hidden_for_a_while(
    real: Real, monkeypatch: pytest.MonkeyPatch, delay: timedelta, told: int | None
) -> None:
    sent = remembered(real, monkeypatch)
    HookQueue(real.sqs, real.urls["hooks"], delay=delay).send([event(1)])
    assert [entry.get("DelaySeconds") for entry in sent] == [told]


# ---- The topic, for what is not about one order


def test_a_summary_reaches_its_subscribers_with_text_and_attributes(real: Real) -> None:
    AlertTopic(real.sns, real.topic).publish(ALERT)

    (received,) = real.messages("inbox")
    envelope = json.loads(received["Body"])
    assert (envelope["Subject"], envelope["Message"]) == ("A subject", "é")
    assert envelope["MessageAttributes"]["type"] == {"Type": "String", "Value": "failing"}


def test_a_topic_that_is_not_there_is_trouble_for_later_and_no_text_is_repeated(real: Real) -> None:
    real.sns.delete_topic(TopicArn=real.topic)
    with pytest.raises(RetryLater, match="Publish NotFound") as trouble:
        AlertTopic(real.sns, real.topic).publish(ALERT)

    assert "A subject" not in str(trouble.value)
