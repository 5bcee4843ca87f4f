"""The sample consumer, with the rights that docs/consuming.md gives it, reads the deployed stack's failure queue."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import events
from local.processes import stop
from local.stack import REGION, ROOT, LocalStack
from local.watch import until
from tests.keys import make_key
from tests.stack.shop import Shop

pytestmark = pytest.mark.stack

FAILING, RESOLVED = "invoicekey.order.failing.v1", "invoicekey.order.resolved.v1"


class Consumer:
    """The sample consumer, as a program of its own."""

    def __init__(self, stack: LocalStack, home: Path) -> None:
        self._out, self._home = home / "handled", home
        self._sqs, self._queue = stack.client("sqs"), stack.outputs["FailureQueueUrl"]
        outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._environment = outside | self._rights(stack) | {
            "AWS_ENDPOINT_URL": stack.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "FAILURE_QUEUE_URL": self._queue,
            "NOTES": str(home / "notes.sqlite3"),
        }  # fmt: skip

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [sys.executable, str(ROOT / "examples" / "consumer.py")]
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
        self._sqs.send_message(QueueUrl=self._queue, MessageBody=body)

    def left(self) -> int:
        """Count the messages that are in the queue, in a reader's hands or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=names)
        return sum(int(number) for number in answer["Attributes"].values())

    @staticmethod
    def _rights(stack: LocalStack) -> dict[str, str]:
        """Make a user with the document's policy for this stack's queue, and return its credentials."""
        (policy,) = re.findall(r"^```json policy\n(.*?)^```$", consuming(), re.MULTILINE | re.DOTALL)
        arn = stack.client("sqs").get_queue_attributes(
            QueueUrl=stack.outputs["FailureQueueUrl"], AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
        document = json.loads(policy)
        document["Statement"][0]["Resource"] = arn
        iam = stack.client("iam")
        iam.create_user(UserName="a-consumer")
        iam.put_user_policy(UserName="a-consumer", PolicyName="reads", PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName="a-consumer")["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def consuming() -> str:
    return (ROOT / "docs" / "consuming.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def consumer(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Consumer:
    return Consumer(stack, tmp_path_factory.mktemp("consumer"))


def test_each_record_is_handled_once_however_often_it_comes(shop: Shop, stack: LocalStack, consumer: Consumer) -> None:
    order_id = shop.invoice()
    key = make_key(tax_id=events.CNPJ, number=710001, month=11)
    shop.notify(order_id)
    failing = until(lambda: record_of(stack, order_id), "the record")

    with consumer.running():
        until(lambda: consumer.handled(order_id) == [FAILING], "the failing record", 60)
        consumer.send(failing)
        stack.vtex("POST", "invoice-key", {"order_id": order_id, "invoice_key": key})
        shop.notify(order_id)
        until(lambda: len(consumer.handled(order_id)) > 1, "the resolved record", 60)
        consumer.send(failing)  # once more, and older by now than what was handled
        until(lambda: consumer.left() == 0, "the end of the queue", 60)

    assert consumer.handled(order_id) == [FAILING, RESOLVED]


def test_its_rights_are_to_read_and_no_more(stack: LocalStack, consumer: Consumer) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        consumer.client_of_its_own(stack).send_message(QueueUrl=stack.outputs["FailureQueueUrl"], MessageBody="{}")


def record_of(stack: LocalStack, order_id: str) -> str:
    bodies = [str(message["Body"]) for message in stack.messages(stack.outputs["FailureQueueUrl"])]
    return next((body for body in bodies if json.loads(body)["subject"] == order_id), "")
