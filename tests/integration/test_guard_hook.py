"""The guard's entry file, with AWS in this process and the simulator as VTEX: configurations, notes and notices."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.sns.models import sns_backends

from invoicekey.delivery.topics import Topics
from invoicekey.ledger.accounts import Account, Accounts
from invoicekey.ledger.activity import Activities
from invoicekey.ledger.table import Table
from invoicekey.runtime.errors import RetryLater
from local import vtex_simulator
from local.vtex_simulator import Fault, VtexSimulator
from tests.entries import (
    BUT_FOR_LOCAL_SERVERS,
    a_listening_queue,
    assert_that_it_does_not_start_without,
    at_home,
    credentials_secret,
    received,
    run,
    start,
    start_again,
)
from tests.fakes_visits import OTHER, SHOP, app_key
from tests.figures import lines_of_figures, metrics_in
from tests.ledger_table import NAME, make_ledger_table

FUNCTION = "guard_hook"
URL = "https://abc123.execute-api.us-east-1.amazonaws.com/hooks/vtex/orders"


@dataclass
class Stack:
    """The function, and what it was given."""

    vtex: VtexSimulator
    secret_arn: str
    topics: dict[str, str]
    ears: dict[str, str]
    """The queues that are subscribed to the topics."""
    entry: ModuleType

    def run(self) -> dict[str, Any]:
        return run(self.entry)

    def told(self, topic: str) -> list[Any]:
        return [json.loads(message["Body"]) for message in received(self.ears[topic])]

    def item(self, key: str) -> dict[str, Any]:
        item = boto3.client("dynamodb").get_item(TableName="ledger", Key={"pk": {"S": key}})["Item"]
        return dict(item)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    at_home(monkeypatch)
    monkeypatch.setattr(vtex_simulator, "ping", lambda _: True)
    with mock_aws(config=BUT_FOR_LOCAL_SERVERS), VtexSimulator() as vtex:
        secrets, sns = boto3.client("secretsmanager"), boto3.client("sns")
        credentials = secrets.create_secret(Name="vtex", SecretString=credentials_secret(SHOP, OTHER))["ARN"]
        hook = secrets.create_secret(Name="hook", SecretString='{"current": "HUSH-1", "previous": ""}')["ARN"]
        topics = {name: sns.create_topic(Name=name)["TopicArn"] for name in ("alert", "operations")}
        ears = {name: a_listening_queue(name, arn) for name, arn in topics.items()}
        for arn in topics.values():
            let_listen(arn, 1)
        make_ledger_table()
        environment = {
            "ALERT_LANGUAGE": "pt-BR",
            "ALERT_TOPIC_ARN": topics["alert"],
            "HOOK_SECRET_ARN": hook,
            "HOOK_URL": URL,
            "LEDGER_TABLE_NAME": "ledger",
            "OPERATIONS_TOPIC_ARN": topics["operations"],
            "POWERTOOLS_SERVICE_NAME": "invoicekey",
            "QUIET_ALARM_HOURS": "48",
            "VTEX_ACCOUNTS": SHOP,
            "VTEX_BASE_URL": vtex.url + "/{account}",
            "VTEX_CREDENTIALS_SECRET_ARN": credentials,
            "VTEX_CREDENTIALS_PREFIX": "/vtex-credentials/a-shop/",
            "VTEX_REQUESTS_PER_MINUTE": "6000",
            "WATCHED_STATUSES": "invoiced",
        }
        yield Stack(vtex, hook, topics, ears, start(FUNCTION, monkeypatch, environment))


def let_listen(topic_arn: str, confirmed: int) -> None:
    """Set what SNS counts: moto itself never counts a subscription as confirmed."""
    backend: Any = sns_backends["123456789012"]["us-east-1"]
    backend.topics[topic_arn].subscriptions_confimed = confirmed


def test_hook_and_feed_are_registered_once(stack: Stack) -> None:
    first, second = stack.run(), stack.run()

    calm = {"unconfirmed": [], "unreached": 0, "is_failed": False}
    assert first == {"accounts": {SHOP: ["hook_installed", "feed_installed"]}, **calm}
    assert second == {"accounts": {SHOP: []}, **calm}
    assert stack.vtex.hooks[app_key()]["hook"] == {"url": URL, "headers": {"X-Hook-Secret": "HUSH-1"}}
    assert stack.vtex.feeds[app_key()].config["filter"] == {"type": "FromWorkflow", "status": ["invoiced"]}


def test_what_was_done_is_noted_without_a_secret(stack: Stack) -> None:
    stack.run()

    item = stack.item(f"guard#{SHOP}")
    assert item["hook_installed"] == {"BOOL": True}
    assert "HUSH" not in json.dumps(item)
    assert stack.item("accounts")["names"] == {"L": [{"S": SHOP}]}


def test_what_an_account_has_of_its_own_is_taken_up_by_the_next_run(stack: Stack) -> None:
    stack.run()
    accounts = Accounts(Table(boto3.client("dynamodb"), NAME))
    own = accounts.write(Account(SHOP, settings={"WatchedStatuses": "invoiced,handling"}))
    stack.run()

    hook = stack.vtex.hooks[app_key()]
    assert hook["filter"]["status"] == ["handling", "invoiced"]
    assert hook["hook"]["headers"] == {"X-Hook-Secret": "HUSH-1", "X-Watched-Statuses": "handling,invoiced"}
    accounts.write(replace(own, is_off=True))
    assert stack.run()["accounts"] == {}


def test_a_hook_at_another_system_stays_and_a_person_is_told_once(stack: Stack) -> None:
    theirs = {"filter": {"type": "FromWorkflow"}, "hook": {"url": "https://erp.example.com/", "headers": {"a": "HUSH"}}}
    stack.vtex.hooks[app_key()] = theirs

    stack.run()
    stack.run()

    (told,) = stack.told("operations")
    assert told["Subject"] == "luxstore: o hook da VTEX aponta para outro sistema"
    assert "«erp.example.com»" in told["Message"]
    assert {name: value["Value"] for name, value in told["MessageAttributes"].items()} == {
        "type": "operations",
        "account": SHOP,
    }
    assert "HUSH" not in json.dumps(told)
    assert stack.vtex.hooks[app_key()] == theirs


def test_where_nobody_hears_the_alarms_the_alert_topic_is_told_once(stack: Stack) -> None:
    let_listen(stack.topics["operations"], 0)

    assert stack.run()["unconfirmed"] == ["operations"]
    stack.run()

    (told,) = stack.told("alert")
    assert told["MessageAttributes"] == {"type": {"Type": "String", "Value": "operations"}}
    assert told["Message"].startswith("Assine os alarmes")


def test_topics_that_are_heard_again_are_noted(stack: Stack) -> None:
    let_listen(stack.topics["operations"], 0)
    stack.run()
    let_listen(stack.topics["operations"], 1)

    assert stack.run()["unconfirmed"] == []
    assert stack.item("guard_topics")["told"] == {"NULL": True}
    assert stack.run()["unconfirmed"] == []


def test_of_several_accounts_one_that_fell_silent_is_told_once(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VTEX_ACCOUNTS", "")
    stack.entry = start_again(FUNCTION)
    long_ago = {"hook_at": {"S": "2026-01-01T12:00:00+00:00"}}
    boto3.client("dynamodb").put_item(TableName="ledger", Item={"pk": {"S": f"activity#{OTHER}"}, **long_ago})

    stack.run()
    stack.run()

    (told,) = stack.told("operations")
    assert told["Subject"] == f"{OTHER}: nenhum hook em 48 horas"
    assert told["MessageAttributes"] == {"type": {"Type": "String", "Value": "operations"}}
    assert stack.item(f"activity#{OTHER}")["troubles"]["M"].keys() == {"quiet"}


def test_a_run_is_counted_in_one_line(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    let_listen(stack.topics["alert"], 0)

    stack.run()

    out = capsys.readouterr().out
    (line,) = lines_of_figures(out)
    assert (line["counts"]["topic_unconfirmed"], line["counts"]["hook_installed"]) == (1, 1)
    assert [metric.name for metric in metrics_in(out)] == ["topic_unconfirmed"]
    assert "HUSH" not in out


def test_a_run_that_fails_at_topics_at_vtex_and_at_the_accounts_counts_once(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RetryLater("no answer")

    monkeypatch.setattr(Topics, "has_confirmed_subscription", fail)
    monkeypatch.setattr(Activities, "read", fail)
    for route in ("hook_config", "feed_config"):
        stack.vtex.fail(Fault("status", status=500, route=route))

    assert stack.run() == {
        "accounts": {SHOP: ["guard_failed"] * 2},
        "unconfirmed": [],
        "unreached": 0,
        "is_failed": True,
    }
    (line,) = lines_of_figures(capsys.readouterr().out)
    assert line["counts"]["guard_failed"] == 1


def test_a_wrong_deployment_fails_at_once_and_says_which_variable(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_that_it_does_not_start_without(
        monkeypatch, FUNCTION, "HOOK_URL", "HOOK_SECRET_ARN", "OPERATIONS_TOPIC_ARN", "ALERT_LANGUAGE"
    )
