"""The sample consumers beside the deployed stack.

The plain one reads the failure queue with the rights that docs/consuming.md gives it. The application is a stack of its
own, subscribed to the record topic.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import events
from local.processes import stop
from local.stack import REGION, ROOT, LocalStack
from local.watch import Watch, until
from tests.keys import make_key
from tests.stack.shop import Shop

pytestmark = pytest.mark.stack

EXAMPLE = ROOT / "examples" / "consumer"
APPLICATION = "invoicekey-consumer"
FAILING, RESOLVED = "invoicekey.order.failing.v1", "invoicekey.order.resolved.v1"


class Consumer:
    """The plain consumer, as a program of its own."""

    def __init__(self, stack: LocalStack, home: Path) -> None:
        self._out, self._home = home / "handled", home
        self._sqs = stack.client("sqs")
        self.queue, arn = self._queue_like_the_failure_queue(stack)
        outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._environment = outside | self._rights(stack, arn) | {
            "AWS_ENDPOINT_URL": stack.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "FAILURE_QUEUE_URL": self.queue,
            "NOTES": str(home / "notes.sqlite3"),
        }  # fmt: skip

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [sys.executable, str(EXAMPLE / "plain.py")]
        with self._out.open("a") as out, (self._home / "errors").open("a") as errors:
            child = subprocess.Popen(
                command, env=self._environment, stdout=out, stderr=errors, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        try:
            yield
            assert child.poll() is None, (self._home / "errors").read_text()
        finally:
            stop([child.pid])

    def handled(self, order_id: str) -> list[str]:
        """List the types of an order's records that were handled, once for each time."""
        lines = [line.split() for line in self._out.read_text().splitlines()]
        return [kind for _, kind, subject, *_ in lines if subject == order_id]

    def client_of_its_own(self, stack: LocalStack) -> Any:
        """Make a client with the consumer's rights."""
        return stack.client(
            "sqs",
            aws_access_key_id=self._environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._environment["AWS_SECRET_ACCESS_KEY"],
        )

    def send(self, body: str) -> None:
        self._sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def left(self) -> int:
        return left(self._sqs, self.queue)

    def empty(self) -> None:
        """Leave nothing to who reads the queue next."""
        self._sqs.purge_queue(QueueUrl=self.queue)

    def _queue_like_the_failure_queue(self, stack: LocalStack) -> tuple[str, str]:
        """Subscribe another queue to the records, as the failure queue is; return its address and ARN.

        In the emulator a killed program's last request goes on waiting, and takes what comes for the next reader.
        """
        url = self._sqs.create_queue(QueueName="of-the-plain-consumer")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        of_failures = self._sqs.get_queue_attributes(
            QueueUrl=stack.outputs["FailureQueueUrl"], AttributeNames=["Policy", "QueueArn"]
        )["Attributes"]
        policy = of_failures["Policy"].replace(of_failures["QueueArn"], arn)
        self._sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        stack.client("sns").subscribe(
            TopicArn=stack.outputs["RecordTopicArn"],
            Protocol="sqs",
            Endpoint=arn,
            Attributes={"RawMessageDelivery": "true"},
        )
        return url, arn

    @staticmethod
    def _rights(stack: LocalStack, arn: str) -> dict[str, str]:
        """Make a user with the document's policy for a queue, and return its credentials."""
        (policy,) = re.findall(r"^```json policy\n(.*?)^```$", consuming(), re.MULTILINE | re.DOTALL)
        document = json.loads(policy)
        document["Statement"][0]["Resource"] = arn
        iam = stack.client("iam")
        iam.create_user(UserName="a-consumer")
        iam.put_user_policy(UserName="a-consumer", PolicyName="reads", PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName="a-consumer")["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


class Application:
    """The sample application, deployed as its README says."""

    def __init__(self, stack: LocalStack) -> None:
        topics = {"RecordTopicArn": "RecordTopicArn", "AlarmTopicArn": "OperationsTopicArn"}
        given = {parameter: stack.outputs[output] for parameter, output in topics.items()}
        self._outputs = stack.deploy_beside(EXAMPLE / "template.yaml", APPLICATION, given)
        self._stack, self._sqs = stack, stack.client("sqs")

    def kept(self, order_id: str) -> tuple[int, bool] | None:
        """Return the newest report that is kept of an order, and whether that is open; None where there is none."""
        item = self._stack.client("dynamodb").get_item(
            TableName=self._outputs["OrdersTableName"], Key={"order": {"S": f"{events.ACCOUNT}/{order_id}"}}
        ).get("Item")  # fmt: skip
        return item and (int(item["report"]["N"]), item["is_open"]["BOOL"])

    def told(self, order_id: str) -> list[str]:
        """List the types of an order's records that the other system was told, once for each time."""
        pages = self._stack.client("logs").get_paginator("filter_log_events").paginate(logGroupName=self._log_group)
        lines = [event["message"] for page in pages for event in page["events"] if '"order told"' in event["message"]]
        return [told["type"] for told in map(json.loads, lines) if told["order"].endswith(f"/{order_id}")]

    def send(self, *bodies: str) -> None:
        entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies)]
        self._sqs.send_message_batch(QueueUrl=self._queue, Entries=entries)

    def left(self) -> int:
        return left(self._sqs, self._queue)

    def dead_letters(self) -> list[str]:
        return [message["Body"] for message in self._stack.messages(self._outputs["DeadLetterQueueUrl"])]

    def is_impatient(self) -> None:
        """Let what fails come again at once."""
        self._sqs.set_queue_attributes(QueueUrl=self._queue, Attributes={"VisibilityTimeout": "1"})

    @property
    def _queue(self) -> str:
        return self._outputs["RecordQueueUrl"]

    @cached_property
    def _log_group(self) -> str:
        resource = self._stack.client("cloudformation").describe_stack_resource(
            StackName=APPLICATION, LogicalResourceId="ConsumerLogs"
        )
        return str(resource["StackResourceDetail"]["PhysicalResourceId"])


def left(sqs: Any, queue_url: str) -> int:
    """Count the messages that are in a queue, in a reader's hands or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    return sum(int(number) for number in answer["Attributes"].values())


def consuming() -> str:
    return (ROOT / "docs" / "consuming.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def consumer(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumer]:
    """Run it once: the last request of one that is stopped stays in the emulator and takes what the next waits for."""
    consumer = Consumer(stack, tmp_path_factory.mktemp("consumer"))
    with consumer.running():
        yield consumer
    consumer.empty()


@pytest.fixture(scope="module")
def application(stack: LocalStack) -> Application:
    return Application(stack)


# ---- The plain one


def test_each_record_is_handled_once_however_often_it_comes(
    shop: Shop, stack: LocalStack, watch: Watch, consumer: Consumer
) -> None:
    order_id = shop.invoice()
    key = make_key(tax_id=events.CNPJ, number=710001, month=11)
    shop.notify(order_id)
    until(lambda: consumer.handled(order_id) == [FAILING], "the failing record", 60)
    failing = watch.ledger_item(order_id)["report"]["record"]

    consumer.send(failing)
    stack.vtex("POST", "invoice-key", {"order_id": order_id, "invoice_key": key})
    shop.notify(order_id)
    until(lambda: len(consumer.handled(order_id)) > 1, "the resolved record", 60)
    consumer.send(failing)  # once more, and older by now than what was handled
    until(lambda: consumer.left() == 0, "the end of the queue", 60)

    assert consumer.handled(order_id) == [FAILING, RESOLVED]


def test_a_record_of_a_later_version_is_handled_and_what_is_none_stays(consumer: Consumer) -> None:
    consumer.send("no record")
    consumer.send(of_a_later_version("VVJ-710007-01"))

    until(lambda: consumer.handled("VVJ-710007-01") == [FAILING], "the record", 60)
    until(lambda: consumer.left() == 1, "all but what is no record", 60)


def test_its_rights_are_to_read_and_no_more(stack: LocalStack, consumer: Consumer) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        consumer.client_of_its_own(stack).send_message(QueueUrl=consumer.queue, MessageBody="{}")


# ---- The application


def test_an_order_is_open_until_it_is_mended(shop: Shop, stack: LocalStack, application: Application) -> None:
    order_id = shop.invoice()
    shop.notify(order_id)
    until(lambda: application.kept(order_id) == (1, True), "the open order", 60)

    key = make_key(tax_id=events.CNPJ, number=710002, month=11)
    stack.vtex("POST", "invoice-key", {"order_id": order_id, "invoice_key": key})
    shop.notify(order_id)

    until(lambda: application.kept(order_id) == (2, False), "the closed order", 60)
    until(lambda: application.told(order_id) == [FAILING, RESOLVED], "both records told")


def test_records_that_come_again_are_told_once(application: Application) -> None:
    failing = record("failing", "VVJ-710003-01")
    application.send(failing, failing)
    until(lambda: application.told("VVJ-710003-01"), "the failing record", 60)
    application.send(failing)
    until(lambda: application.left() == 0, "the end of the queue", 60)

    assert application.told("VVJ-710003-01") == [FAILING]


def test_an_order_that_was_closed_stays_so_when_its_failing_record_comes_late(application: Application) -> None:
    application.send(record("resolved", "VVJ-710004-01"))
    until(lambda: application.kept("VVJ-710004-01"), "the resolved record", 60)
    application.send(record("failing", "VVJ-710004-01"))
    until(lambda: application.left() == 0, "the end of the queue", 60)

    assert application.kept("VVJ-710004-01") == (2, False)
    assert FAILING not in application.told("VVJ-710004-01")


def test_what_a_later_version_adds_is_taken(application: Application) -> None:
    application.send(of_a_later_version("VVJ-710005-01"))

    until(lambda: application.kept("VVJ-710005-01") == (1, True), "the open order", 60)


def test_only_what_is_no_record_is_tried_again_and_becomes_a_dead_letter(application: Application) -> None:
    application.is_impatient()
    application.send("no record", record("failing", "VVJ-710006-01"))

    until(lambda: application.dead_letters() == ["no record"], "the dead letter", 60)
    assert application.kept("VVJ-710006-01") == (1, True)


def record(kind: str, order_id: str) -> str:
    """Return the record that the documents show, of another order."""
    shown = json.loads((ROOT / "docs" / "schemas" / "examples" / f"{kind}.v1.json").read_text(encoding="utf-8"))
    shown["data"]["order_id"] = order_id
    return json.dumps(shown | {"id": f"{kind}-{order_id}", "subject": order_id})


def of_a_later_version(order_id: str) -> str:
    """Return a record with a code and a field that no version has yet."""
    later = json.loads(record("failing", order_id))
    later["data"]["problems"][0] |= {"code": "of_a_later_version", "added": True}
    return json.dumps(later)
