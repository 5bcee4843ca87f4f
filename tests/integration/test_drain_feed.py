"""The drain's entry file, with AWS in this process and the simulator as VTEX: the feed in, the queue out."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from invoicekey.ledger.accounts import Account, Accounts
from invoicekey.ledger.table import Table
from invoicekey.runtime.errors import RetryLater
from local.vtex_simulator import Fault, VtexSimulator
from tests.entries import (
    BUT_FOR_LOCAL_SERVERS,
    assert_that_it_does_not_start_without,
    at_home,
    credentials_secret,
    received,
    run,
    start,
    start_again,
)
from tests.fakes_visits import OTHER, SHOP, app_key, put_feed
from tests.figures import hear_the_log, lines_of_figures
from tests.ledger_table import NAME, make_ledger_table

FUNCTION = "drain_feed"
FEED_CONFIG = {"filter": {"type": "FromWorkflow", "status": ["invoiced"]}, "queue": {}}


@dataclass
class Stack:
    """The function, and what it was given."""

    vtex: VtexSimulator
    queue_url: str
    secret_arn: str
    entry: ModuleType

    def run(self) -> dict[str, Any]:
        return run(self.entry)

    def messages(self) -> list[Any]:
        return received(self.queue_url, visible_again_after=0)

    def left(self, account: str = SHOP) -> int:
        return len(self.vtex.feeds[app_key(account)].uncommitted())

    def put_credentials(self, *accounts: str) -> None:
        secret = credentials_secret(*accounts)
        boto3.client("secretsmanager").put_secret_value(SecretId=self.secret_arn, SecretString=secret)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    at_home(monkeypatch)
    with mock_aws(config=BUT_FOR_LOCAL_SERVERS), VtexSimulator() as vtex:
        secret = boto3.client("secretsmanager").create_secret(Name="vtex", SecretString=credentials_secret(SHOP))["ARN"]
        queue_url = boto3.client("sqs").create_queue(QueueName="hooks")["QueueUrl"]
        make_ledger_table()
        environment = {
            "HOOK_QUEUE_URL": queue_url,
            "HOOK_URL": "https://abc123.execute-api.us-east-1.amazonaws.com/hooks/vtex/orders",
            "LEDGER_TABLE_NAME": "ledger",
            "RETRY_BASE_SECONDS": "60",
            "VTEX_ACCOUNTS": "",
            "VTEX_BASE_URL": vtex.url + "/{account}",
            "VTEX_CREDENTIALS_SECRET_ARN": secret,
            "VTEX_CREDENTIALS_PREFIX": "/vtex-credentials/a-shop/",
            "VTEX_REQUESTS_PER_MINUTE": "6000",
            "WATCHED_STATUSES": "invoiced",
        }
        for account in (SHOP, OTHER):
            put_feed(vtex, FEED_CONFIG, account)
        yield Stack(vtex, queue_url, secret, start(FUNCTION, monkeypatch, environment))


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
        "unreached": 0,
    }


def test_an_event_waits_so_that_the_hook_comes_first(stack: Stack) -> None:
    stack.vtex.put_feed_event(SHOP, "VVJ-1-01")

    stack.run()

    assert stack.messages() == []


def test_every_account_with_credentials_is_drained(stack: Stack) -> None:
    stack.put_credentials(SHOP, OTHER, "No.Account")
    stack.vtex.put_feed_event(OTHER, "VVJ-1-01")

    assert stack.run()["ended"] == {SHOP: "empty", OTHER: "empty"}
    assert stack.left(OTHER) == 0


def test_where_accounts_are_set_the_others_are_not_asked(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.put_credentials(SHOP, OTHER)
    stack.entry = start(FUNCTION, monkeypatch, {"VTEX_ACCOUNTS": OTHER})

    assert stack.run()["ended"] == {OTHER: "empty"}


def test_an_account_s_own_item_counts_from_the_next_run_on(stack: Stack) -> None:
    stack.put_credentials(SHOP, OTHER)
    accounts = Accounts(Table(boto3.client("dynamodb"), NAME))
    accounts.write(Account(OTHER, is_off=True))
    accounts.write(Account("third", credentials="v1"))

    assert stack.run()["ended"] == {SHOP: "empty", "third": "credentials_refused"}  # it has none in the secret


def test_a_silence_is_kept_by_the_next_environment(stack: Stack) -> None:
    stack.vtex.fail(Fault("status", status=429, retry_after=120, route="feed"))
    stack.run()
    stack.vtex.requests.clear()
    stack.entry = start_again(FUNCTION)

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


def test_a_wrong_deployment_fails_at_once_and_says_which_variable(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_that_it_does_not_start_without(
        monkeypatch,
        FUNCTION,
        "HOOK_URL",
        "HOOK_QUEUE_URL",
        "LEDGER_TABLE_NAME",
        "WATCHED_STATUSES",
        "RETRY_BASE_SECONDS",
    )
