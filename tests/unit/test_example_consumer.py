"""The sample application over moto, with the tables of its own template and the records that the documents show."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws

from invoicekey.messages.fields import RecordType
from operations.deployment.template import ROOT, template

EXAMPLE = ROOT / "examples" / "consumer"
TABLES = {"OrdersTable": "ORDERS_TABLE_NAME", "HandledTable": "HANDLED_TABLE_NAME"}
CONTEXT = SimpleNamespace(
    function_name="consumer", memory_limit_in_mb=512, aws_request_id="1",
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:consumer",
    get_remaining_time_in_millis=lambda: 30_000,
)  # fmt: skip

type Json = dict[str, Any]


def resources() -> Json:
    return cast("Json", template(EXAMPLE / "template.yaml")["Resources"])


class Consumer:
    """The application, and what it told the other system."""

    def __init__(self, app: Any, patch: pytest.MonkeyPatch) -> None:
        self.app, self.told = app, cast("list[Json]", [])
        self._patch, self._bodies = patch, cast("list[str]", [])
        self.tells(self.told.append)

    def tells(self, tell: Any) -> None:
        """Put another system in place."""
        self._patch.setattr(self.app, "tell", tell)

    def receive(self, *records: Json | str) -> list[str]:
        """Hand over a batch; return the bodies that are to be tried again."""
        bodies = [record if isinstance(record, str) else json.dumps(record) for record in records]
        entries = [
            {"messageId": str(place), "receiptHandle": "r", "body": body, "eventSource": "aws:sqs", "attributes": {}}
            for place, body in enumerate(bodies)
        ]
        answer = self.app.handler({"Records": entries}, CONTEXT)
        return [bodies[int(failed["itemIdentifier"])] for failed in answer["batchItemFailures"]]

    def is_open(self) -> dict[str, bool]:
        """Tell of each order that is kept whether it fails."""
        return {item["order"]: item["is_open"] for item in self.app.orders.scan()["Items"]}

    @property
    def last_told(self) -> tuple[int, str]:
        return self.told[-1]["data"]["report"], self.told[-1]["type"]


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Consumer]:
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    with mock_aws():
        for table, variable in TABLES.items():
            keys = ("AttributeDefinitions", "KeySchema", "BillingMode")
            declared = resources()[table]["Properties"]
            boto3.client("dynamodb").create_table(TableName=table, **{key: declared[key] for key in keys})
            monkeypatch.setenv(variable, table)
        yield Consumer(load(EXAMPLE / "src" / "app.py"), monkeypatch)


def load(path: Path) -> Any:
    """Import a function's module as Lambda does: anew, with the environment as it is now."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def record(kind: str, report: int = 1, account: str = "luxstore") -> Json:
    """Return the record that the documents show, with another number."""
    shown: Json = json.loads((ROOT / "docs" / "schemas" / "examples" / f"{kind}.v1.json").read_text("utf-8"))
    shown["data"] |= {"report": report, "account": account}
    return shown | {"id": f"{account}-{kind}-{report}"}


ORDER = "luxstore/VVJ-975102-01"
FAILING, RESOLVED = record("failing", 1), record("resolved", 2)


# ---- What becomes of an order


def test_a_failing_order_is_open(consumer: Consumer) -> None:
    assert consumer.receive(FAILING) == []
    assert consumer.is_open() == {ORDER: True}
    assert consumer.told == [FAILING]


@pytest.mark.parametrize("kind", ["resolved", "expired"])
def test_an_order_is_open_no_longer_when_it_is_over(consumer: Consumer, kind: str) -> None:
    consumer.receive(FAILING, record(kind, 2))

    assert consumer.is_open() == {ORDER: False}
    assert consumer.last_told == (2, f"invoicekey.order.{kind}.v1")


def test_an_order_that_fails_again_is_open_again(consumer: Consumer) -> None:
    consumer.receive(FAILING, RESOLVED, record("failing", 3))

    assert consumer.is_open() == {ORDER: True}


def test_an_order_id_belongs_to_its_account(consumer: Consumer) -> None:
    consumer.receive(record("failing", 1), record("resolved", 2, account="othershop"))

    assert consumer.is_open() == {ORDER: True, "othershop/VVJ-975102-01": False}


# ---- Again, and late


def test_a_record_that_comes_again_in_the_same_batch_is_told_once(consumer: Consumer) -> None:
    assert consumer.receive(FAILING, FAILING) == []
    assert consumer.told == [FAILING]


def test_a_record_that_comes_again_after_a_newer_one_is_not_told_again(consumer: Consumer) -> None:
    for one in (FAILING, RESOLVED, FAILING):
        consumer.receive(one)

    assert consumer.told == [FAILING, RESOLVED]


def test_an_older_record_that_comes_late_leaves_the_order_closed(consumer: Consumer) -> None:
    assert consumer.receive(RESOLVED, FAILING) == []
    assert consumer.is_open() == {ORDER: False}


def test_an_older_record_that_comes_late_is_never_told(consumer: Consumer) -> None:
    consumer.receive(RESOLVED, FAILING)

    assert FAILING not in consumer.told
    assert consumer.last_told == (2, RESOLVED["type"])


def test_a_newer_record_that_is_told_meanwhile_is_told_last(consumer: Consumer) -> None:
    def tell(told: Json) -> None:
        if told == FAILING and not consumer.told:
            consumer.app.keep(RESOLVED)  # as another environment does
            consumer.told.append(RESOLVED)
        consumer.told.append(told)

    consumer.tells(tell)

    consumer.receive(FAILING)

    assert consumer.told == [RESOLVED, FAILING, RESOLVED]


# ---- What fails


def test_a_record_that_could_not_be_told_is_told_when_it_comes_again(consumer: Consumer) -> None:
    def tell(told: Json) -> None:
        raise ConnectionError

    consumer.tells(tell)
    assert consumer.receive(FAILING) == [json.dumps(FAILING)]

    consumer.tells(consumer.told.append)
    assert consumer.receive(FAILING) == []
    assert consumer.told == [FAILING]


WITHOUT_ID = {name: value for name, value in FAILING.items() if name != "id"}
OF_NO_TYPE = FAILING | {"type": "x", "id": "2"}


@pytest.mark.parametrize(
    "poison", ["no JSON", "[]", "{}", '{"id": "1"}', json.dumps(WITHOUT_ID), json.dumps(OF_NO_TYPE)]
)
def test_of_a_batch_only_what_is_no_record_is_tried_again(consumer: Consumer, poison: str) -> None:
    assert consumer.receive(poison, FAILING) == [poison]
    assert consumer.told == [FAILING]


def test_a_batch_of_which_all_failed_is_no_failure_of_the_function(consumer: Consumer) -> None:
    assert consumer.receive("no JSON") == ["no JSON"]


# ---- What later versions add


def test_a_code_that_is_not_known_is_a_problem_like_others(consumer: Consumer) -> None:
    later = record("failing")
    later["data"]["problems"][0]["code"] = "of_a_later_version"
    log_of: Json = {}
    consumer.tells(log_of.update)

    assert consumer.receive(later) == []
    assert log_of["data"]["problems"][0]["code"] == "of_a_later_version"


def test_a_field_that_is_not_known_is_let_pass(consumer: Consumer) -> None:
    later = record("failing") | {"added": 1}
    later["data"] |= {"added": {"more": True}}

    assert consumer.receive(later) == []
    assert consumer.told == [later]


def test_what_is_to_be_replaced_takes_every_type_as_it_stands(consumer: Consumer) -> None:
    module = load(EXAMPLE / "src" / "app.py")

    for kind in ("failing", "resolved", "expired"):
        module.tell(record(kind))


# ---- The template


def test_the_types_that_are_subscribed_are_those_that_are_understood(consumer: Consumer) -> None:
    subscribed = resources()["RecordSubscription"]["Properties"]["FilterPolicy"]["type"]

    assert set(subscribed) == set(consumer.app.IS_OPEN) == set(RecordType)


def test_powertools_is_the_version_that_is_tested_here() -> None:
    wanted = (EXAMPLE / "src" / "requirements.txt").read_text("utf-8").strip()
    (tested,) = re.findall(
        r"^aws-lambda-powertools==\S+", (ROOT / "requirements" / "dev.txt").read_text("utf-8"), re.MULTILINE
    )

    assert wanted == tested, (
        "examples/consumer/src/requirements.txt pins another than requirements/dev.txt: write that there"
    )
