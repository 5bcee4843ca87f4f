import importlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.hooks import HierarchicalEmitter
from moto import mock_aws

from local.vtex_simulator import Fault, VtexSimulator
from tests.ledger_table import NAME, make_ledger_table
from tests.one_at_a_time import calls_pass_one_at_a_time
from tests.orders import cnova_order, sale
from tests.record_topic import record_topic

ROOT = Path(__file__).parents[2]
ACCOUNT = "luxstore"


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 30_000


class Stack:
    """The entry file's handler, on moto and the simulator."""

    def __init__(self, module: ModuleType, vtex: VtexSimulator, queues: dict[str, str], calls: Counter[str]) -> None:
        self.module, self.vtex, self.queues, self.calls = module, vtex, queues, calls

    def check(self, *order_ids: str, **more: Any) -> list[str]:
        records = [
            {
                "messageId": f"message-{number}",
                "body": json.dumps(
                    {
                        "OrderId": order_id,
                        "State": "invoiced",
                        "LastChange": "2026-03-03T14:54:00.5436574+00:00",
                        "Origin": {"Account": ACCOUNT},
                    }
                ),
                **more,
            }
            for number, order_id in enumerate(order_ids)
        ]
        self.calls.clear()
        answer = self.module.handler({"Records": records}, Context())
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def items(self, prefix: str) -> list[Any]:
        """List the ledger's items whose keys begin so."""
        items = boto3.resource("dynamodb").Table(NAME).scan()["Items"]
        return [item for item in items if str(item["pk"]).startswith(prefix)]

    def messages(self, queue: str) -> list[Any]:
        sqs = boto3.client("sqs")
        answer = sqs.receive_message(
            QueueUrl=self.queues[queue], MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
        )
        return list(answer.get("Messages", []))


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws(config={"core": {"passthrough": {"urls": [r"http://127\.0\.0\.1.*"]}}}), VtexSimulator() as vtex:
        sqs, secrets = boto3.client("sqs"), boto3.client("secretsmanager")
        queues = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("hooks", "dead", "failures")}
        make_ledger_table()
        secret = secrets.create_secret(
            Name="vtex", SecretString=json.dumps({ACCOUNT: {"app_key": "key", "app_token": "token"}})
        )
        environment = {
            "HOOK_QUEUE_URL": queues["hooks"],
            "HOOK_DEAD_LETTER_QUEUE_URL": queues["dead"],
            "RECORD_TOPIC_ARN": record_topic(queues["failures"]),
            "ALERT_TOPIC_ARN": boto3.client("sns").create_topic(Name="alerts")["TopicArn"],
            "LEDGER_TABLE_NAME": NAME,
            "VTEX_CREDENTIALS_SECRET_ARN": secret["ARN"],
            "VTEX_BASE_URL": vtex.url + "/{account}",
            "VTEX_REQUESTS_PER_MINUTE": "6000",
            "RETRY_BASE_SECONDS": "60",
            "FUNCTION_TIMEOUT_SECONDS": "30",
            "ALERT_LANGUAGE": "pt-BR",
            "ALERT_TIMEZONE": "America/Sao_Paulo",
            "CNOVA_AFFILIATE_IDS": "VVJ",
            "INVOICE_GRACE_SECONDS": "600",
            "KEY_GRACE_SECONDS": "0",
            "TRACKING_GRACE_HOURS": "0",
            "ALERT_BURST": "5",
            "ALERT_WINDOW_MINUTES": "15",
            "CHAT_ALERTS": "no",
            "DASHBOARD_URL": "https://dashboard.example",
            "POWERTOOLS_SERVICE_NAME": "invoicekey",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        calls: Counter[str] = Counter()
        count_aws_calls(monkeypatch, calls)
        calls_pass_one_at_a_time(monkeypatch)
        monkeypatch.syspath_prepend(str(ROOT / "functions" / "check_invoice"))
        sys.modules.pop("check_invoice", None)
        yield Stack(importlib.import_module("check_invoice"), vtex, queues, calls)
        sys.modules.pop("check_invoice", None)


def count_aws_calls(monkeypatch: pytest.MonkeyPatch, calls: Counter[str]) -> None:
    emitter: Any = HierarchicalEmitter
    emit = emitter._emit

    def counting(self: Any, event_name: str, *arguments: Any, **named: Any) -> Any:
        if event_name.startswith("before-call."):
            calls[event_name.rpartition(".")[2]] += 1
        return emit(self, event_name, *arguments, **named)

    monkeypatch.setattr(HierarchicalEmitter, "_emit", counting)


def orders(stack: Stack, number: int, **changes: Any) -> list[str]:
    ids = [f"VVJ-{index}-01" for index in range(number)]
    for order_id in ids:
        stack.vtex.put_order(cnova_order(sale(**changes), orderId=order_id))
    return ids


@pytest.mark.parametrize("write", ["TransactWriteItems", "PutItem"], ids=["that claims its key", "that has it"])
def test_an_order_without_fault_costs_one_vtex_call_one_ledger_read_and_one_write(stack: Stack, write: str) -> None:
    (order_id,) = orders(stack, 1)
    stack.check("an-order-for-which-the-credentials-are-read")
    if write == "PutItem":
        stack.check(order_id)
    stack.vtex.requests.clear()

    assert stack.check(order_id) == []
    assert stack.calls == {"BatchGetItem": 1, write: 1}
    assert len(stack.vtex.calls()) == 1


def test_ten_failing_orders_cost_one_batch_of_records_one_of_alerts_and_their_turns(stack: Stack) -> None:
    assert stack.check(*orders(stack, 10, key=None)) == []
    assert (stack.calls["SendMessageBatch"], stack.calls["PublishBatch"]) == (0, 2)
    assert stack.calls["BatchGetItem"] == 2
    assert [item["kind"] for item in stack.items("held#")] == ["failing"] * 5


def test_a_key_that_another_order_carries_fails_with_that_order_s_id(stack: Stack) -> None:
    first, second = orders(stack, 2)
    stack.check(first)
    assert stack.check(second) == []

    (message,) = stack.messages("failures")
    (problem,) = json.loads(message["Body"])["data"]["problems"]
    assert (problem["code"], problem["reused_in"]) == ("reused", first)


def test_an_event_of_the_feed_that_the_hook_brought_causes_no_vtex_call(stack: Stack) -> None:
    (order_id,) = orders(stack, 1)
    stack.check(order_id)
    stack.vtex.requests.clear()

    assert stack.check(order_id, messageAttributes={"source": {"stringValue": "feed"}}) == []
    assert not stack.vtex.calls()


def test_a_failing_order_leaves_one_record_however_often_it_comes(stack: Stack) -> None:
    (order_id,) = orders(stack, 1, key=None)
    for _ in range(3):
        stack.check(order_id, order_id)

    (message,) = stack.messages("failures")
    assert json.loads(message["Body"])["data"]["problems"][0]["code"] == "missing"
    assert {name: value["StringValue"] for name, value in message["MessageAttributes"].items()} == {
        "type": "invoicekey.order.failing.v1",
        "account": ACCOUNT,
    }


def test_only_what_could_not_be_checked_goes_back(stack: Stack) -> None:
    good, bad = orders(stack, 2)
    stack.vtex.fail(Fault("status", order_id=bad, status=500))

    assert stack.check(good, bad) == ["message-1"]


def test_a_sample_without_what_sqs_adds_is_checked_as_it_is(stack: Stack) -> None:
    (order_id,) = orders(stack, 1)
    assert stack.check(order_id, attributes=None, messageAttributes=None, receiptHandle=None) == []


def test_a_body_that_is_no_notification_is_a_dead_letter_at_once(stack: Stack) -> None:
    answer = stack.module.handler({"Records": [{"messageId": "m", "body": "{}"}]}, Context())

    (letter,) = stack.messages("dead")
    assert answer == {"batchItemFailures": []}
    assert (letter["Body"], letter["MessageAttributes"]["reason"]["StringValue"]) == ("{}", "malformed")
