"""The drain's entry file, with AWS in this process and the simulator as VTEX: the feed in, the queue out."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import httpx
import pytest
from moto import mock_aws

from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.settings import SettingsError
from local.vtex_simulator import Fault, VtexSimulator
from tests.fakes_visits import OTHER, SHOP, app_key, headers, import_afresh
from tests.figures import hear_the_log, lines_of_figures

ENTRY = Path(__file__).parents[2] / "functions/drain_feed/drain_feed.py"
FEED_CONFIG = {"filter": {"type": "FromWorkflow", "status": ["invoiced"]}, "queue": {}}
LOCAL: Any = {"core": {"passthrough": {"urls": [r"http://127\.0\.0\.1.*"]}}}


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@dataclass
class Stack:
    """The function, and what it was given."""

    vtex: VtexSimulator
    queue_url: str
    secret_arn: str
    entry: ModuleType

    def run(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.entry.handler({}, Context())
        parsed: dict[str, Any] = json.loads(json.dumps(answer))
        return parsed

    def messages(self) -> list[Any]:
        answer = boto3.client("sqs").receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
        )
        return list(answer.get("Messages", []))

    def left(self, account: str = SHOP) -> int:
        return len(self.vtex.feeds[app_key(account)].uncommitted())

    def put_credentials(self, *accounts: str) -> None:
        secret = {a: {"app_key": app_key(a), "app_token": f"HUSH-{a}"} for a in accounts}
        boto3.client("secretsmanager").put_secret_value(SecretId=self.secret_arn, SecretString=json.dumps(secret))


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws(config=LOCAL), VtexSimulator() as vtex:
        secret = boto3.client("secretsmanager").create_secret(Name="vtex", SecretString="{}")["ARN"]
        queue_url = boto3.client("sqs").create_queue(QueueName="hooks")["QueueUrl"]
        boto3.client("dynamodb").create_table(
            TableName="ledger",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        environment = {
            "HOOK_QUEUE_URL": queue_url,
            "HOOK_URL": "https://abc123.execute-api.us-east-1.amazonaws.com/hooks/vtex/orders",
            "LEDGER_TABLE_NAME": "ledger",
            "RETRY_BASE_SECONDS": "1",
            "VTEX_ACCOUNTS": "",
            "VTEX_BASE_URL": vtex.url + "/{account}",
            "VTEX_CREDENTIALS_SECRET_ARN": secret,
            "VTEX_REQUESTS_PER_MINUTE": "6000",
            "WATCHED_STATUSES": "invoiced",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        stack = Stack(vtex, queue_url, secret, import_afresh(ENTRY))
        stack.put_credentials(SHOP)
        for account in (SHOP, OTHER):
            url = f"{vtex.url}/{account}/api/orders/feed/config"
            httpx.post(url, json=FEED_CONFIG, headers=headers(account)).raise_for_status()
        yield stack


def without_delay(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack.entry.drain_feed._queue, "_delay", 0)


def test_what_the_feed_knows_is_in_the_queue_and_committed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    without_delay(stack, monkeypatch)
    stack.vtex.put_feed_event(SHOP, "VVJ-1-01", lastChange="2026-03-03T14:53:39.2550122Z", currentChange=None)

    answer = stack.run()

    (message,) = stack.messages()
    assert json.loads(message["Body"]) == {
        "Domain": "Fulfillment",
        "OrderId": "VVJ-1-01",
        "State": "invoiced",
        "LastState": "invoice",
        "LastChange": "2026-03-03T14:53:39.2550122Z",
        "CurrentChange": None,
        "Origin": {"Account": SHOP},
    }
    assert message["MessageAttributes"]["source"]["StringValue"] == "feed"
    assert message["MessageAttributes"]["correlation_id"]["StringValue"]
    assert stack.left() == 0
    assert answer == {
        "read": 1,
        "queued": 1,
        "not_watched": 0,
        "foreign": 0,
        "unreadable": 0,
        "refused": 0,
        "committed": 1,
        "ended": {SHOP: "empty"},
    }


def test_an_event_waits_so_that_the_hook_comes_first(stack: Stack) -> None:
    stack.vtex.put_feed_event(SHOP, "VVJ-1-01")

    stack.run()

    assert stack.entry.drain_feed._queue._delay == 1
    assert stack.messages() == []


def test_a_page_of_ten_costs_one_read_one_batch_and_one_commit(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    without_delay(stack, monkeypatch)
    for number in range(10):
        stack.vtex.put_feed_event(SHOP, f"VVJ-{number}-01")
    stack.vtex.requests.clear()

    stack.run()

    # Until the guard has noted the feed as ours, each run looks whether it is.
    assert [call.route for call in stack.vtex.calls()] == ["feed_config", "hook_config", "feed", "commit", "feed"]
    assert len(stack.messages()) == 10


def test_a_queue_that_is_gone_loses_nothing(stack: Stack) -> None:
    boto3.client("sqs").delete_queue(QueueUrl=stack.queue_url)
    stack.vtex.put_feed_event(SHOP, "VVJ-1-01")

    assert stack.run()["ended"] == {SHOP: "not_queued"}
    assert stack.left() == 1


def test_every_account_with_credentials_is_drained(stack: Stack) -> None:
    stack.put_credentials(SHOP, OTHER, "No.Account")
    stack.vtex.put_feed_event(OTHER, "VVJ-1-01")

    assert stack.run()["ended"] == {SHOP: "empty", OTHER: "empty"}
    assert stack.left(OTHER) == 0


def test_where_accounts_are_set_the_others_are_not_asked(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VTEX_ACCOUNTS", OTHER)
    stack.put_credentials(SHOP, OTHER)
    stack.entry = import_afresh(ENTRY)

    assert stack.run()["ended"] == {OTHER: "empty"}


def test_a_silence_is_kept_by_the_next_environment(stack: Stack) -> None:
    stack.vtex.fail(Fault("status", status=429, retry_after=120, route="feed"))
    stack.run()
    stack.vtex.requests.clear()
    stack.entry = import_afresh(ENTRY)

    assert stack.run()["ended"] == {SHOP: "check_rate_limited"}
    assert stack.vtex.calls() == []


def test_without_the_credentials_secret_the_run_fails_and_says_so(stack: Stack) -> None:
    boto3.client("secretsmanager").delete_secret(SecretId=stack.secret_arn, ForceDeleteWithoutRecovery=True)

    with pytest.raises(RetryLater, match="Secrets Manager"):
        stack.run()


def test_a_run_is_counted_in_one_line_and_tells_no_secret(
    stack: Stack,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hear_the_log(monkeypatch)
    caplog.set_level(logging.DEBUG, logger="httpx")
    stack.vtex.put_feed_event(SHOP, "VVJ-1-01")

    stack.run()

    out = capsys.readouterr().out
    (line,) = lines_of_figures(out)
    assert (line["counts"]["feed_read"], line["counts"]["feed_committed"]) == (1, 1)
    for secret in ("HUSH", "eyJ"):
        assert secret not in out + caplog.text


@pytest.mark.parametrize(
    "name", ["HOOK_URL", "HOOK_QUEUE_URL", "LEDGER_TABLE_NAME", "WATCHED_STATUSES", "RETRY_BASE_SECONDS"]
)
def test_a_wrong_deployment_fails_at_once_and_says_which_variable(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)

    with pytest.raises(SettingsError, match=name):
        import_afresh(ENTRY)
