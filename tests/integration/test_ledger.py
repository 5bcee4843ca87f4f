"""The ledger's promises, held against the fake that the other tests use and against DynamoDB's own conditions."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from invoicekey.errors import Conflict, TryAgainLater
from invoicekey.ledger import Entry, Ledger, Report
from invoicekey.notification import OrderRef
from tests.fakes_outside import FakeLedger, Steps

REF = OrderRef("luxstore", "VVJ-1-01")
NOW = datetime(2026, 3, 3, 14, 54, 1, tzinfo=UTC)
REPORT = Report(1, "invoicekey.order.failing.v1", '{"a": "é"}', '{"b": 1}', NOW + timedelta(seconds=60))
FULL = Entry(
    REF, first_heard_at=NOW, checked_at=NOW, outcome="failing", errors_told="f" * 64, opened_at=NOW, report=REPORT
)


@pytest.fixture
def dynamodb_ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="ledger",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        yield Ledger(client, "ledger")


@pytest.fixture(params=["dynamodb", "fake"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "fake":
        return FakeLedger(Steps())
    real: Ledger = request.getfixturevalue("dynamodb_ledger")
    return real


def read(ledger: Ledger) -> Entry:
    return ledger.read([REF]).entries[REF]


def test_an_order_that_it_does_not_hold_has_version_zero(ledger: Ledger) -> None:
    assert read(ledger) == Entry(REF)


def test_what_is_written_is_read(ledger: Ledger) -> None:
    assert ledger.write(FULL) == replace(FULL, version=1)
    assert read(ledger) == replace(FULL, version=1)


def test_a_second_first_write_is_a_conflict(ledger: Ledger) -> None:
    ledger.write(FULL)
    with pytest.raises(Conflict):
        ledger.write(FULL)


def test_a_write_on_an_older_reading_is_a_conflict(ledger: Ledger) -> None:
    older = ledger.write(FULL)
    ledger.write(older)
    with pytest.raises(Conflict):
        ledger.write(older)


def test_what_is_none_again_is_forgotten(ledger: Ledger) -> None:
    written = ledger.write(FULL)
    ledger.write(replace(written, errors_told=None, opened_at=None))

    assert (read(ledger).has_open_failure, read(ledger).opened_at) == (False, None)


def test_each_half_of_a_report_is_noted_by_itself(ledger: Ledger) -> None:
    written = ledger.write(FULL)
    ledger.note_recorded(written)
    halfway = read(ledger).report
    ledger.note_alerted(written)
    whole = read(ledger).report

    assert halfway
    assert whole
    assert (halfway.recorded, halfway.alerted, halfway.is_told) == (True, False, False)
    assert whole.is_told


def test_a_note_makes_older_readings_conflict(ledger: Ledger) -> None:
    written = ledger.write(FULL)
    ledger.note_recorded(written)
    with pytest.raises(Conflict):
        ledger.write(written)


def test_a_note_about_another_report_is_a_conflict(ledger: Ledger) -> None:
    written = ledger.write(FULL)
    with pytest.raises(Conflict):
        ledger.note_alerted(replace(written, report=replace(REPORT, number=2)))


def test_a_silence_is_read_with_its_account_s_orders_and_only_grows(ledger: Ledger) -> None:
    ledger.note_silence("luxstore", 2_000_000_000)
    ledger.note_silence("luxstore", 1_900_000_000)

    assert ledger.read([REF]).silent_until == {"luxstore": 2_000_000_001}
    assert ledger.read([OrderRef("othershop", "VVJ-1-01")]).silent_until == {}


def test_put_backs_are_counted_by_message(ledger: Ledger) -> None:
    ledger.note_put_back("a")
    ledger.note_put_back("a")

    assert ledger.read([REF], ["a", "b"]).put_back == {"a": 2}


def test_an_open_failure_never_expires_and_a_closed_one_does(dynamodb_ledger: Ledger) -> None:
    opened = dynamodb_ledger.write(FULL)
    client = dynamodb_ledger._client
    key = {"pk": {"S": "order#luxstore#VVJ-1-01"}}
    assert "expires_at" not in client.get_item(TableName="ledger", Key=key)["Item"]

    dynamodb_ledger.write(replace(opened, errors_told=None))
    assert "expires_at" in client.get_item(TableName="ledger", Key=key)["Item"]


def test_the_bytes_of_an_alert_are_kept_until_it_is_told(dynamodb_ledger: Ledger) -> None:
    written = dynamodb_ledger.write(FULL)
    dynamodb_ledger.note_recorded(written)
    halfway = read(dynamodb_ledger).report
    dynamodb_ledger.note_alerted(written)
    whole = read(dynamodb_ledger).report

    assert halfway
    assert whole
    assert (halfway.alert, whole.alert, whole.record) == (REPORT.alert, None, REPORT.record)


def test_a_table_that_is_not_there_is_trouble_for_later(dynamodb_ledger: Ledger) -> None:
    dynamodb_ledger._client.delete_table(TableName="ledger")
    with pytest.raises(TryAgainLater, match="ResourceNotFoundException"):
        read(dynamodb_ledger)


def test_no_answer_is_trouble_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    nowhere = boto3.client("dynamodb", region_name="us-east-1", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(TryAgainLater, match="no answer"):
        read(Ledger(nowhere, "ledger"))


def test_what_dynamodb_left_unread_is_trouble_for_later(
    dynamodb_ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    unprocessed: dict[str, Any] = {"Responses": {}, "UnprocessedKeys": {"ledger": {"Keys": []}}}
    monkeypatch.setattr(dynamodb_ledger._client, "batch_get_item", lambda **_: unprocessed)
    with pytest.raises(TryAgainLater, match="too busy"):
        read(dynamodb_ledger)
