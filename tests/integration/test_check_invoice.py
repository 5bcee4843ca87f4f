"""The entry file's handler, on moto and the simulator: what a check costs, and how its batches are answered."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.hooks import HierarchicalEmitter

from local.vtex_simulator import Fault
from operations.deployment.credentials import CredentialsPlace
from tests.desk import ACCOUNT
from tests.orders import sale
from tests.whole_stack import APP_KEYS, SECOND_ACCOUNT, WholeStack, notification, whole_stack

PREFIX = "/vtex-credentials/a-shop/"


@pytest.fixture
def stack() -> Iterator[WholeStack]:
    with whole_stack() as stack:
        yield stack


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the calls to AWS, by operation."""
    calls: Counter[str] = Counter()
    emitter: Any = HierarchicalEmitter
    emit = emitter._emit

    def counting(self: Any, event_name: str, *arguments: Any, **named: Any) -> Any:
        if event_name.startswith("before-call."):
            calls[event_name.rpartition(".")[2]] += 1
        return emit(self, event_name, *arguments, **named)

    monkeypatch.setattr(HierarchicalEmitter, "_emit", counting)
    return calls


def orders(stack: WholeStack, number: int, **changes: Any) -> list[str]:
    ids = [f"VVJ-{index}-01" for index in range(number)]
    for order_id in ids:
        stack.invoice(order_id, sale(**changes))
    return ids


@pytest.mark.parametrize("write", ["TransactWriteItems", "PutItem"], ids=["that claims its key", "that has it"])
def test_an_order_without_fault_costs_one_vtex_call_one_ledger_read_and_one_write(
    stack: WholeStack, calls: Counter[str], write: str
) -> None:
    (order_id,) = orders(stack, 1)
    stack.invoice("VVJ-9-01", sale(key=None))
    stack.check("VVJ-9-01")  # for it the credentials are read, and what is noted once an hour is noted
    if write == "PutItem":
        stack.check(order_id)
    stack.vtex.requests.clear()
    calls.clear()

    assert stack.check(order_id) == []
    assert calls == {"BatchGetItem": 1, write: 1}
    assert len(stack.vtex.calls()) == 1


def test_ten_failing_orders_cost_one_batch_of_records_one_of_alerts_and_their_turns(
    stack: WholeStack, calls: Counter[str]
) -> None:
    assert stack.check(*orders(stack, 10, key=None)) == []
    assert (calls["SendMessageBatch"], calls["PublishBatch"], calls["BatchGetItem"]) == (0, 2, 2)
    assert [item["kind"]["S"] for item in stack.items() if item["pk"]["S"].startswith("held#")] == ["failing"] * 5


def test_a_failing_order_leaves_one_record_however_often_it_comes(stack: WholeStack) -> None:
    (order_id,) = orders(stack, 1, key=None)
    for _ in range(3):
        stack.check(order_id, order_id)

    (record,) = stack.records()
    assert record["data"]["problems"][0]["code"] == "missing"


def test_only_what_could_not_be_checked_goes_back(stack: WholeStack) -> None:
    good, bad = orders(stack, 2)
    stack.vtex.fail(Fault("status", order_id=bad, status=500))

    assert stack.check(good, bad) == [f"m-{bad}"]


def test_a_sample_without_what_sqs_adds_is_checked_as_it_is(stack: WholeStack) -> None:
    (order_id,) = orders(stack, 1)
    assert stack.check(order_id, attributes=None, messageAttributes=None, receiptHandle=None) == []


def test_a_body_that_is_no_notification_is_a_dead_letter_at_once(stack: WholeStack) -> None:
    assert stack.check_messages([{"messageId": "m", "body": "{}"}]) == []

    (letter,) = stack.taken("HookDeadLetterQueueUrl")
    assert (letter["Body"], letter["MessageAttributes"]["reason"]["StringValue"]) == ("{}", "malformed")


# ---- An account's own credentials


@pytest.fixture
def place(stack: WholeStack) -> CredentialsPlace:
    """Give the account a place of its own, where the ledger says so."""
    return CredentialsPlace(boto3.client("ssm"), PREFIX, "alias/aws/ssm")


def keep_own(stack: WholeStack, place: CredentialsPlace, app_key: str, token: str) -> None:
    stamp = place.put(ACCOUNT, app_key, token)
    item = {"pk": f"account#{ACCOUNT}", "version": 1, "credentials": stamp}
    stack.desk.shop.table.put(item)


def test_ten_orders_of_an_account_with_credentials_of_its_own_read_them_once(
    stack: WholeStack, place: CredentialsPlace, calls: Counter[str]
) -> None:
    keep_own(stack, place, "vtexappkey-of-its-own", "TOKEN")
    stack.vtex.refused = {APP_KEYS[ACCOUNT]}  # the secret's
    order_ids = orders(stack, 10)

    assert [stack.check(*order_ids) for _ in range(2)] == [[], []]
    assert calls["GetParameters"] == 1


def test_a_change_by_the_command_counts_at_the_next_batch(stack: WholeStack, place: CredentialsPlace) -> None:
    (order_id,) = orders(stack, 1)
    keep_own(stack, place, "vtexappkey-of-its-own", "OLD")
    stack.check(order_id)
    stack.vtex.refused = {"OLD"}
    keep_own(stack, place, "vtexappkey-of-its-own", "NEW")

    assert stack.check(order_id) == []
    assert [request.status for request in stack.vtex.calls()] == [200, 200]


def test_an_account_whose_own_place_is_empty_waits_and_no_other_does(
    stack: WholeStack, place: CredentialsPlace
) -> None:
    keep_own(stack, place, "vtexappkey-of-its-own", "TOKEN")
    place.delete(ACCOUNT)
    (order_id,) = orders(stack, 1)
    stack.invoice("VVJ-7-01", sale(), account=SECOND_ACCOUNT)
    of_the_other = {"messageId": "m-other", "body": json.dumps(notification("VVJ-7-01", SECOND_ACCOUNT))}
    of_the_account = {"messageId": "m-own", "body": json.dumps(notification(order_id))}

    assert stack.check_messages([of_the_account, of_the_other]) == ["m-own"]
