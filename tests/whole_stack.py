"""All functions of the stack in this process, by their entry files alone, on moto's AWS and the simulator's VTEX.

It knows the handlers, the environment, the queues and the topics, and nothing of the code behind them: so the same
script runs on another version's code (tests/ledger_writer.py).
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import boto3
import pytest
from moto.sns.models import sns_backends

from local import vtex_simulator
from tests.desk import ACCOUNT, CREDENTIALS, REGION, Desk, at_a_desk
from tests.fakes_visits import import_afresh
from tests.one_at_a_time import calls_pass_one_at_a_time
from tests.orders import cnova_order
from tests.record_topic import record_topic

ROOT = Path(__file__).parents[1]
SECOND_ACCOUNT = "another-shop"
APP_KEYS = {ACCOUNT: CREDENTIALS["app_key"], SECOND_ACCOUNT: "vtexappkey-of-the-other"}
HOOK_URL = "https://abc123.execute-api.us-east-1.amazonaws.com/hooks/vtex/orders"
HOOK_SECRET = "s3cret"
CHANGED_AT = "2026-03-03T14:54:00.5436574+00:00"
_AWS_ACCOUNT = "123456789012"


class Context:
    """What Lambda tells a function of its time."""

    def get_remaining_time_in_millis(self) -> int:
        """Return it."""
        return 60_000


@dataclass
class WholeStack:
    """The functions, and what they were given."""

    desk: Desk
    functions: dict[str, ModuleType] = field(default_factory=dict)
    """Those that have run, by their entry files' names."""

    @property
    def vtex(self) -> vtex_simulator.VtexSimulator:
        """Return the simulator."""
        return self.desk.vtex

    def start(self, function: str) -> Any:
        """Start a function, where it was not yet, and return its entry file."""
        if function not in self.functions:
            self.functions[function] = import_afresh(ROOT / "functions" / function / f"{function}.py")
        return self.functions[function]

    def run(self, function: str, **event: Any) -> dict[str, Any]:
        """Run a function; the first time it starts."""
        answer: dict[str, Any] = self.start(function).handler(event, Context())
        return answer

    # ---- Orders and their events

    def invoice(self, order_id: str, *packages: Any, account: str = ACCOUNT, **changes: Any) -> None:
        """Put an order into VTEX."""
        self.vtex.put_order(cnova_order(*packages, orderId=order_id, hostname=account, **changes))

    def receive(self, order_id: str, account: str = ACCOUNT) -> int:
        """Let VTEX call the hook."""
        event = {
            "headers": {"x-hook-secret": HOOK_SECRET},
            "requestContext": {"requestId": f"request-{order_id}"},
            "body": json.dumps(notification(order_id, account)),
        }
        return int(self.run("receive_hook", **event)["statusCode"])

    def check(self, *order_ids: str, account: str = ACCOUNT, **more: Any) -> list[str]:
        """Check orders for an event of VTEX's each; return the ids of the messages that go back to the queue."""
        return self.check_messages(
            [
                {"messageId": f"m-{order_id}", "body": json.dumps(notification(order_id, account)), **more}
                for order_id in order_ids
            ]
        )

    def check_messages(self, records: Sequence[dict[str, Any]]) -> list[str]:
        """Check what an SQS event brings."""
        failed = self.run("check_invoice", Records=list(records))["batchItemFailures"]
        return [failure["itemIdentifier"] for failure in failed]

    # ---- What is kept and what came out

    def items(self) -> list[dict[str, Any]]:
        """Return the ledger's items in DynamoDB's own JSON."""
        found = boto3.client("dynamodb").scan(TableName="ledger", ConsistentRead=True)["Items"]
        return sorted(json.loads(json.dumps(found)), key=lambda item: str(item["pk"]["S"]))

    def item(self, key: str) -> dict[str, Any]:
        """Return one item, empty where there is none."""
        return next((item for item in self.items() if item["pk"]["S"] == key), {})

    def taken(self, queue: str) -> list[dict[str, Any]]:
        """Take what a queue holds: an output's name, `alerts` or `operations`."""
        sqs, url = boto3.client("sqs"), self.desk.deployment.outputs[queue]
        taken: list[Any] = []
        while batch := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        ).get("Messages"):
            for message in batch:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            taken += batch
        return taken

    def records(self) -> list[dict[str, Any]]:
        """Take the records that the failure queue holds."""
        return [json.loads(message["Body"]) for message in self.taken("FailureQueueUrl")]

    def alerts(self) -> list[dict[str, Any]]:
        """Take what people were sent, as SNS tells it to a queue."""
        return [json.loads(message["Body"]) for message in self.taken("alerts")]

    @contextlib.contextmanager
    def without_record_topic(self) -> Iterator[None]:
        """Let the record topic be gone for a while."""
        outputs = self.desk.deployment.outputs
        boto3.client("sns").delete_topic(TopicArn=outputs["RecordTopicArn"])
        yield
        assert record_topic(outputs["FailureQueueUrl"]) == outputs["RecordTopicArn"]

    @contextlib.contextmanager
    def without_alert_topic(self) -> Iterator[None]:
        """Let the alert topic be gone for a while."""
        boto3.client("sns").delete_topic(TopicArn=self.desk.deployment.outputs["AlertTopicArn"])
        yield
        _listen("alerts")


def notification(order_id: str, account: str = ACCOUNT) -> dict[str, Any]:
    """Return an event as VTEX sends it."""
    return {
        "Domain": "Fulfillment",
        "OrderId": order_id,
        "State": "invoiced",
        "LastState": "invoice",
        "LastChange": CHANGED_AT,
        "CurrentChange": CHANGED_AT,
        "Origin": {"Account": account, "Key": APP_KEYS[account]},
    }


@contextlib.contextmanager
def whole_stack() -> Iterator[WholeStack]:
    """Let it stand: nothing is in the ledger, nothing at VTEX."""
    with at_a_desk() as desk, pytest.MonkeyPatch.context() as patch:
        calls_pass_one_at_a_time(patch)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.setattr(vtex_simulator, "ping", lambda _: True)
        pairs = {account: {"app_key": key, "app_token": f"token-{account}"} for account, key in APP_KEYS.items()}
        desk.deployment.secrets["VtexCredentialsSecretArn"] = pairs
        outputs = desk.deployment.outputs
        for name in ("alerts", "operations"):
            outputs[name] = boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]
            _listen(name)
        given = {
            "ALERT_TOPIC_ARN": outputs["AlertTopicArn"],
            "HOOK_SECRET_ARN": _secret("hook", {"current": HOOK_SECRET, "previous": ""}),
            "HOOK_URL": HOOK_URL,
            "OPERATIONS_TOPIC_ARN": f"arn:aws:sns:{REGION}:{_AWS_ACCOUNT}:operations",
            "QUIET_ALARM_HOURS": "48",
            "SUMMARY_ORDERS": "20",
            "VTEX_ACCOUNTS": "",
            "VTEX_CREDENTIALS_SECRET_ARN": _secret("vtex", pairs),
            "VTEX_CREDENTIALS_PREFIX": "/vtex-credentials/a-shop/",
            "VTEX_REQUESTS_PER_MINUTE": "60000",
            "WATCHED_STATUSES": "invoiced",
        }
        desk.environment.update(given)
        with mock.patch.dict("os.environ", desk.environment):
            yield WholeStack(desk)


def _secret(name: str, value: object) -> str:
    return str(boto3.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(value))["ARN"])


def _listen(topic: str) -> None:
    """Make a topic to which the queue of its name is subscribed; moto itself never counts one as confirmed."""
    sns = boto3.client("sns")
    arn = sns.create_topic(Name=topic)["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{_AWS_ACCOUNT}:{topic}")
    backend: Any = sns_backends[_AWS_ACCOUNT][REGION]
    backend.topics[arn].subscriptions_confimed = int(topic == "alerts")
