"""events/: the files are those of the tables in local/events.py, and the code does what the tables expect of it."""

import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from invoicekey.rules.order import Order
from invoicekey.rules.verdict import Circumstances, judge
from invoicekey.runtime.settings import CheckerSettings
from local import events
from local.events import CHECKS, HOOKS, ORDERS, CheckCase, HookCase, OrderCase
from local.vtex_simulator import VtexSimulator
from tests.desk import CHECKER, make_client
from tests.one_at_a_time import calls_pass_one_at_a_time
from tests.record_topic import record_topic

FUNCTIONS = Path(__file__).parents[2] / "functions"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 30_000)


def event(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((events.EVENTS / path).read_text(encoding="utf-8"))
    return content


# ---- The files


def test_the_files_are_what_the_generator_writes() -> None:
    committed = {
        str(path.relative_to(events.EVENTS)): path.read_text("utf-8") for path in events.EVENTS.rglob("*.json")
    }

    assert committed == {name: events.text(document) for name, document in events.files().items()}, (
        "write them anew: .venv-tools/bin/python -m local.events"
    )


def test_every_order_has_an_id_and_invoice_numbers_of_its_own() -> None:
    numbers = [package["invoiceNumber"] for case in ORDERS for package in case.packages or ()]

    assert len({case.order_id for case in ORDERS}) == len(ORDERS)
    assert len(set(numbers)) == len(numbers)


def test_no_order_holds_a_person() -> None:
    for case in ORDERS:
        order = event(f"orders/{case.name}.json")

        assert order["clientProfileData"] == {}
        assert order["shippingData"]["address"] is None
        assert "@" not in json.dumps(order)


# ---- Orders


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return {
        **AWS,
        **CHECKER,
        "CNOVA_AFFILIATE_IDS": events.PARAMETERS["CnovaAffiliateIds"],
        "SELLER_TAX_IDS": events.PARAMETERS["SellerTaxIds"],
        "VTEX_ACCOUNTS": events.PARAMETERS["VtexAccounts"],
        "WATCHED_STATUSES": "invoiced",
        "VTEX_BASE_URL": "http://127.0.0.1:1",
        "HOOK_QUEUE_URL": "hooks",
        "HOOK_DEAD_LETTER_QUEUE_URL": "dead",
        "RECORD_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:records",
        "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alerts",
        "LEDGER_TABLE_NAME": "ledger",
        "HOOK_SECRET_ARN": "hook",
        "VTEX_CREDENTIALS_SECRET_ARN": "vtex",
        "VTEX_CREDENTIALS_PREFIX": "/vtex-credentials/a-shop/",
    }


@pytest.mark.parametrize("case", ORDERS, ids=lambda case: case.name)
def test_an_order_comes_out_as_the_table_says(case: OrderCase, environment: dict[str, str]) -> None:
    policy = CheckerSettings.read(environment).policy
    order = Order.model_validate(event(f"orders/{case.name}.json"))

    verdict = judge(order, policy, Circumstances(events.ACCOUNT, NOW, first_seen_at=NOW))

    assert verdict.outcome == case.outcome
    assert tuple(error.code for error in verdict.errors) == case.errors
    assert tuple(warning.code for warning in verdict.warnings) == case.warnings
    assert verdict.is_suspect == case.is_suspect
    suggestions = [problem.suggestion for problem in verdict.problems]
    assert [suggestion.source for suggestion in suggestions if suggestion] == list(filter(None, [case.suggested_from]))


# ---- Hook calls and batches, through the functions as they are deployed


@pytest.fixture(scope="module")
def aws(environment: dict[str, str]) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        calls_pass_one_at_a_time(patch)
        yield patch


@pytest.fixture(scope="module")
def vtex() -> Iterator[VtexSimulator]:
    with VtexSimulator() as simulator:
        for case in ORDERS:
            simulator.put_order(event(f"orders/{case.name}.json"))
        yield simulator


def load(function: str) -> ModuleType:
    """Import a function's entry file anew: it reads its environment."""
    spec = importlib.util.spec_from_file_location(function, FUNCTIONS / function / f"{function}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_queue(name: str) -> str:
    return str(make_client("sqs").create_queue(QueueName=name)["QueueUrl"])


def messages(queue: str) -> list[Any]:
    received = make_client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    return list(received.get("Messages", []))


def keep_secret(name: str, value: object) -> str:
    return str(make_client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(value))["ARN"])


@pytest.mark.parametrize("case", HOOKS, ids=lambda case: case.name)
def test_a_hook_call_gets_the_answer_of_the_table(case: HookCase, aws: pytest.MonkeyPatch) -> None:
    queue = make_queue(f"hooks-{case.name}")
    secret = keep_secret(f"hook-{case.name}", {"current": events.HOOK_SECRET, "previous": events.PREVIOUS_HOOK_SECRET})
    aws.setenv("HOOK_QUEUE_URL", queue)
    aws.setenv("HOOK_SECRET_ARN", secret)

    answer = load("receive_hook").handler(event(f"hooks/{case.name}.json"), CONTEXT)

    assert answer == {"statusCode": case.status}
    assert [message["Body"] for message in messages(queue)] == [case.body] * case.is_kept


@dataclass(frozen=True)
class Ending:
    """What became of a batch."""

    returned: list[int]
    reasons: list[str]
    records: list[tuple[str, list[str]]]


@pytest.fixture(scope="module")
def endings(aws: pytest.MonkeyPatch, vtex: VtexSimulator) -> dict[str, Ending]:
    credentials = {events.ACCOUNT: {"app_key": "key", "app_token": "token"}}
    aws.setenv("VTEX_BASE_URL", f"{vtex.url}/{{account}}")
    aws.setenv("VTEX_CREDENTIALS_SECRET_ARN", keep_secret("vtex", credentials))
    aws.setenv("ALERT_TOPIC_ARN", make_client("sns").create_topic(Name="alerts")["TopicArn"])
    aws.setenv("HOOK_QUEUE_URL", make_queue("hooks"))
    return {case.name: ending(case, aws) for case in CHECKS}


def ending(case: CheckCase, aws: pytest.MonkeyPatch) -> Ending:
    """Run a batch on a ledger and queues of its own."""
    dead, failures = make_queue(f"dead-{case.name}"), make_queue(f"failures-{case.name}")
    make_client("dynamodb").create_table(
        TableName=case.name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    aws.setenv("HOOK_DEAD_LETTER_QUEUE_URL", dead)
    aws.setenv("RECORD_TOPIC_ARN", record_topic(failures, f"records-{case.name}"))
    aws.setenv("LEDGER_TABLE_NAME", case.name)
    batch = event(f"checks/{case.name}.json")
    answer = load("check_invoice").handler(batch, CONTEXT)
    ids = [record["messageId"] for record in batch["Records"]]
    records = [json.loads(message["Body"]) for message in messages(failures)]
    return Ending(
        [ids.index(failed["itemIdentifier"]) for failed in answer["batchItemFailures"]],
        [message["MessageAttributes"]["reason"]["StringValue"] for message in messages(dead)],
        [(record["subject"], [problem["code"] for problem in record["data"]["problems"]]) for record in records],
    )


@pytest.mark.parametrize("case", CHECKS, ids=lambda case: case.name)
def test_those_messages_go_back_or_are_dead_that_the_table_says(case: CheckCase, endings: dict[str, Ending]) -> None:
    assert endings[case.name].returned == list(case.returned)
    assert endings[case.name].reasons == list(filter(None, [case.dead]))


@pytest.mark.parametrize("case", ORDERS, ids=lambda case: case.name)
def test_one_failure_record_comes_of_a_failing_order_and_none_of_another(
    case: OrderCase, endings: dict[str, Ending]
) -> None:
    told = [(order_id, sorted(codes)) for order_id, codes in endings[case.name].records]

    assert told == [(case.order_id, sorted(case.errors + case.warnings))] * (case.outcome == "failing")


def test_one_failure_record_comes_of_a_batch_with_one_failing_order(endings: dict[str, Ending]) -> None:
    batches = endings.keys() - {case.name for case in ORDERS}
    found = {check: [code for _, codes in endings[check].records for code in codes] for check in batches}

    assert {check: codes for check, codes in found.items() if codes} == {
        "one-order-twice": ["missing"],
        "no-invoice-after-the-grace": ["no_invoice"],
        "batch-of-five": ["missing"],
        "from-the-feed": ["missing"],
        "read-again": ["missing"],
    }
