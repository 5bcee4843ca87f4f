"""The deployed template, from the outside: hooks in by HTTP, outcomes, records and alerts out."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from botocore.exceptions import ClientError

from local import events
from local import stack as local_stack
from local.events import HOOKS, ORDERS, HookCase, OrderCase
from local.stack import LocalStack
from local.watch import Json, Watch, until
from operations.deployment.credentials import CredentialsPlace
from tests.stack.shop import OWN_PLACE, STRANGER, Shop, app_key

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
PLACES = f"/vtex-credentials/{local_stack.STACK_NAME}/"
FAILING, RESOLVED = "invoicekey.order.failing.v1", "invoicekey.order.resolved.v1"


def told(watch: Watch, order_id: str, times: int = 1) -> list[Json]:
    """Wait until an order was told so many times, to machines and people; return the records."""

    def all_told() -> list[Json]:
        records = watch.records(order_id)
        return records if len(records) >= times and len(watch.emails(order_id)) >= times else []

    return until(all_told, f"{times} reports about {order_id}")


def outcomes(watch: Watch, order_id: str) -> list[str]:
    return [check["outcome"] for check in watch.checks(order_id) if "outcome" in check]


# ---- Every case of the table, at once


@pytest.fixture(scope="module")
def posted(stack: LocalStack, watch: Watch) -> list[int]:
    return Shop(stack).notify(*(case.order_id for case in ORDERS))


def test_every_event_is_answered_with_200(posted: list[int]) -> None:
    assert set(posted) == {200}


@pytest.mark.parametrize("case", ORDERS, ids=lambda case: case.name)
def test_an_order_comes_out_as_the_table_says(case: OrderCase, posted: list[int], watch: Watch) -> None:
    def last_check() -> Json:
        final = [check for check in watch.checks(case.order_id) if check.get("outcome", "waiting") != "waiting"]
        return final[-1] if final else {}

    check = until(last_check, f"the outcome of {case.order_id}")

    assert (check["outcome"], check["problems"]) == (case.outcome_after_grace, case.codes)


@pytest.mark.parametrize(
    "case", [case for case in ORDERS if case.outcome_after_grace == "failing"], ids=lambda case: case.name
)
def test_a_failing_order_is_told_once_to_machines_and_people(case: OrderCase, posted: list[int], watch: Watch) -> None:
    (record,) = told(watch, case.order_id)
    (email,) = watch.emails(case.order_id)

    assert record["type"] == FAILING
    assert record["data"]["report"] == 1
    assert sorted({problem["code"] for problem in record["data"]["problems"]}) == case.codes
    assert email.attributes["type"] == "failing"


def test_an_order_without_an_invoice_yet_waits_before_it_fails(posted: list[int], watch: Watch) -> None:
    order_id = events.BY_NAME["no-invoice-yet"].order_id
    told(watch, order_id)

    assert outcomes(watch, order_id)[0] == "waiting"
    assert outcomes(watch, order_id)[-1] == "failing"


# ---- The hook endpoint


@pytest.mark.parametrize("case", [case for case in HOOKS if not case.is_base64], ids=lambda case: case.name)
def test_the_endpoint_answers_as_the_table_says(case: HookCase, stack: LocalStack) -> None:
    assert stack.post_hook(case.body.encode(), case.headers) == case.status


# Of a body that is not in UTF-8 the emulator makes a text: what is no JSON before stays none after it.
@pytest.mark.parametrize(
    ("body", "answer"), [(b'{"OrderId": \xff}', 400), (b"", 400), (b"[" * 30_000, 400), (b" " * 65_537, 413)]
)
def test_the_endpoint_refuses_what_is_no_event(body: bytes, answer: int, stack: LocalStack) -> None:
    assert stack.post_hook(body) == answer


def test_a_new_hook_secret_is_taken_up_and_the_previous_one_still_accepted(stack: LocalStack) -> None:
    ping_like = json.dumps(events.notification("VVJ-1-01", "handling")).encode()
    rotated = {"current": "the-next-secret", "previous": events.HOOK_SECRET}
    stack.client("secretsmanager").put_secret_value(
        SecretId=stack.outputs["HookSecretArn"], SecretString=json.dumps(rotated)
    )

    until(lambda: stack.post_hook(ping_like, {"X-Hook-Secret": "the-next-secret"}) == 200, "the new secret", seconds=35)
    assert stack.post_hook(ping_like, {"X-Hook-Secret": events.HOOK_SECRET}) == 200
    assert stack.post_hook(ping_like, {"X-Hook-Secret": "no-secret-at-all"}) == 401


# ---- Once, and never lost


def test_thirty_hooks_for_ten_orders_give_one_record_each(shop: Shop, watch: Watch) -> None:
    order_ids = [shop.invoice() for _ in range(10)]

    answers = shop.notify(*(order_ids * 3))

    assert set(answers) == {200}
    until(lambda: events_looked_at(watch, order_ids) == 30, "a look at each event")
    reports = {order_id: (len(told(watch, order_id)), len(watch.emails(order_id))) for order_id in order_ids}
    assert reports == dict.fromkeys(order_ids, (1, 1))


def events_looked_at(watch: Watch, order_ids: list[str]) -> int:
    """Count the events that led to a check; those that met a report under way have to come again later."""
    checks = [check for check in watch.checks() if check["order_id"] in order_ids]
    return len({correlation_id for check in checks for correlation_id in check["correlation_ids"]})


def test_an_event_of_a_failing_order_that_is_mended_is_told_as_resolved(
    shop: Shop, stack: LocalStack, watch: Watch
) -> None:
    order_id = shop.invoice()
    shop.notify(order_id)
    told(watch, order_id)
    stack.vtex("POST", "invoice-key", {"order_id": order_id, "invoice_key": events.RIGHT_KEY})

    shop.notify(order_id)

    records = sorted(told(watch, order_id, times=2), key=lambda record: record["data"]["report"])
    assert [record["type"] for record in records] == [FAILING, RESOLVED]
    assert records[-1]["data"]["reason"] == "ok"
    assert [email.attributes["type"] for email in watch.emails(order_id)] == ["failing", "resolved"]
    assert watch.ledger_item(order_id)["outcome"] == "ok"


def test_a_failure_that_changes_is_told_anew(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    order_id = shop.invoice()
    shop.notify(order_id)
    told(watch, order_id)
    stack.vtex("POST", "invoice-key", {"order_id": order_id, "invoice_key": "see the DANFE"})

    shop.notify(order_id)

    codes = [[problem["code"] for problem in record["data"]["problems"]] for record in told(watch, order_id, times=2)]
    assert codes == [["missing"], ["malformed"]]


def test_an_order_that_fails_to_be_read_does_not_hold_back_its_batch(shop: Shop, watch: Watch) -> None:
    order_ids = [shop.invoice() for _ in range(5)]
    unlucky, *others = order_ids
    shop.misbehave(kind="status", status=500, order_id=unlucky, times=2)

    shop.notify(*order_ids)

    for order_id in order_ids:
        told(watch, order_id)
    assert [read["status"] for read in shop.reads(unlucky)] == [500, 500, 200]
    assert [[read["status"] for read in shop.reads(order_id)] for order_id in others] == [[200]] * len(others)


# ---- VTEX in trouble


@pytest.mark.parametrize("fault", [{"kind": "drop"}, {"kind": "login_page"}, {"kind": "status", "status": 502}])
def test_vtex_down_and_up_again_loses_nothing(fault: Json, shop: Shop, watch: Watch) -> None:
    order_ids = [shop.invoice("downshop") for _ in range(3)]
    shop.misbehave(account="downshop", **fault)
    shop.notify(*order_ids, account="downshop")
    until(lambda: all(len(shop.reads(order_id)) > 1 for order_id in order_ids), "reads in vain")
    assert not [record for order_id in order_ids for record in watch.records(order_id)]

    shop.behave()

    assert [len(told(watch, order_id)) for order_id in order_ids] == [1, 1, 1]


def test_after_a_429_nothing_is_asked_until_its_retry_after_is_over(shop: Shop, watch: Watch) -> None:
    first, *others = [shop.invoice("quietshop") for _ in range(4)]
    shop.misbehave(kind="status", status=429, retry_after=4, account="quietshop", times=1)
    shop.notify(first, account="quietshop")
    (refusal,) = until(lambda: shop.reads(first), "the 429")

    shop.notify(*others, account="quietshop")

    for order_id in (first, *others):
        told(watch, order_id)
    later = [datetime.fromisoformat(read["at"]) for order_id in (first, *others) for read in shop.reads(order_id)]
    later.remove(refused_at := datetime.fromisoformat(refusal["at"]))
    assert refusal["status"] == 429
    assert min(later) - refused_at >= timedelta(seconds=3.9)


def test_an_account_without_credentials_is_tried_again_and_never_asked(shop: Shop, watch: Watch) -> None:
    order_id = shop.invoice(STRANGER)

    shop.notify(order_id, account=STRANGER)

    until(lambda: len([check for check in watch.checks(order_id) if "retry" in check]) > 1, "tries")
    assert shop.reads(order_id) == []
    assert not [letter for letter in watch.dead_letters() if is_about(letter.body, order_id)]


# ---- Dead letters


def is_about(body: Any, order_id: str) -> bool:
    return isinstance(body, dict) and body.get("OrderId") == order_id


def test_an_order_that_vtex_does_not_know_becomes_a_dead_letter_after_the_grace(shop: Shop, watch: Watch) -> None:
    shop.notify("VVJ-404404-01")

    (letter,) = until(
        lambda: [letter for letter in watch.dead_letters() if is_about(letter.body, "VVJ-404404-01")], "the dead letter"
    )
    assert letter.attributes["reason"] == "not_found"
    assert len(shop.reads("VVJ-404404-01")) > 1


def test_a_message_that_is_no_notification_becomes_a_dead_letter(stack: LocalStack, watch: Watch) -> None:
    stack.client("sqs").send_message(QueueUrl=stack.outputs["HookQueueUrl"], MessageBody="not a notification")

    (letter,) = until(
        lambda: [letter for letter in watch.dead_letters() if letter.body == "not a notification"], "the dead letter"
    )
    assert letter.attributes["reason"] == "malformed"


# ---- Contracts with others


def test_every_record_keeps_to_its_schema(posted: list[int], watch: Watch) -> None:
    told(watch, events.BY_NAME["key-with-nfe-prefix-and-spaces"].order_id)
    schemas = {
        name: json.loads(
            (ROOT / "docs" / "schemas" / f"{name.removeprefix('invoicekey.order.')}.schema.json").read_text()
        )
        for name in (FAILING, RESOLVED)
    }

    for record in watch.records():
        jsonschema.validate(record, schemas[record["type"]], format_checker=jsonschema.FormatChecker())


def test_every_alert_can_be_filtered_and_sent(posted: list[int], watch: Watch) -> None:
    told(watch, events.BY_NAME["key-missing"].order_id)

    for email in [*watch.emails(kind="failing"), *watch.emails(kind="resolved")]:
        assert email.subject.isascii()
        assert len(email.subject) < 100
        assert email.attributes["account"] in email.text


def test_no_report_is_told_twice(watch: Watch) -> None:
    ids = [record["id"] for record in watch.records()]

    assert len(ids) == len(set(ids))


def test_nobody_s_data_leave_vtex(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    person = {"email": "someone@example.com", "firstName": "Fulana", "document": "12345678909"}
    order_id = shop.invoice(clientProfileData=person, openTextField={"value": "for Fulana"})

    shop.notify(order_id)

    shown = json.dumps(told(watch, order_id)) + "".join(email.text for email in watch.emails(order_id))
    shown += (stack.home / "emulator.log").read_text()
    assert not [value for value in person.values() if value in shown]


def test_nothing_is_ever_written_to_vtex(posted: list[int], stack: LocalStack) -> None:
    assert stack.vtex("GET", "requests")["forbidden_writes"] == 0


# ---- Least privilege: the emulator holds every role to its policies


@pytest.mark.parametrize(
    ("role", "secret"), [("ReceiveHookRole", "VtexCredentialsSecretArn"), ("CheckInvoiceRole", "HookSecretArn")]
)
def test_a_function_cannot_read_the_other_s_secret(role: str, secret: str, stack: LocalStack) -> None:
    secrets = as_role(stack, role, "secretsmanager")

    with pytest.raises(ClientError, match="AccessDenied"):
        secrets.get_secret_value(SecretId=stack.outputs[secret])


def test_an_account_s_own_credentials_are_read_in_its_own_place(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    place = CredentialsPlace(stack.client("ssm"), PLACES, resource(stack, "OperationsKey"))
    stamp = place.put(OWN_PLACE, app_key(OWN_PLACE), "a-token-of-its-own")
    item = {"pk": {"S": f"account#{OWN_PLACE}"}, "version": {"N": "1"}, "credentials": {"S": stamp}}
    stack.client("dynamodb").put_item(TableName=stack.outputs["LedgerTableName"], Item=item)
    order_id = shop.invoice(OWN_PLACE)
    shop.notify(order_id, account=OWN_PLACE)

    told(watch, order_id)


@pytest.mark.parametrize("role", ["ReceiveHookRole", "RecheckFailuresRole", "SendDigestRole", "DeskRole"])
def test_who_does_not_ask_vtex_cannot_read_an_account_s_own_place(role: str, stack: LocalStack) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        as_role(stack, role, "ssm").get_parameters(Names=[PLACES + OWN_PLACE], WithDecryption=True)


@pytest.mark.parametrize("role", ["CheckInvoiceRole", "DrainFeedRole", "GuardHookRole"])
def test_who_asks_vtex_reads_no_other_stack_s_places(role: str, stack: LocalStack) -> None:
    parameters = as_role(stack, role, "ssm")
    parameters.get_parameters(Names=[PLACES + OWN_PLACE], WithDecryption=True)

    with pytest.raises(ClientError, match="AccessDenied"):
        parameters.get_parameters(Names=["/vtex-credentials/another-stack/ownshop"], WithDecryption=True)


def test_the_receiver_cannot_tell_of_failures(stack: LocalStack) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        as_role(stack, "ReceiveHookRole", "sqs").send_message(
            QueueUrl=stack.outputs["FailureQueueUrl"], MessageBody="{}"
        )


def as_role(stack: LocalStack, logical_id: str, service: str) -> Any:
    """Make a client with the rights of a role of the stack."""
    arn = stack.client("iam").get_role(RoleName=resource(stack, logical_id))["Role"]["Arn"]
    credentials = stack.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    return stack.client(
        service,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def resource(stack: LocalStack, logical_id: str) -> str:
    """Return the physical id of one of the stack's resources."""
    resources = stack.client("cloudformation").describe_stack_resources(StackName=local_stack.STACK_NAME)
    names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources["StackResources"]}
    return str(names[logical_id])


# ---- What is committed for `sam local`


def test_the_committed_variables_are_those_of_the_stack_that_make_up_deploys(stack: LocalStack) -> None:
    committed = json.loads((ROOT / "local" / "sam-env.json").read_text())
    functions = stack.client("lambda").list_functions()["Functions"]
    deployed = {function["FunctionName"].split("-")[2]: function["Environment"]["Variables"] for function in functions}

    for function, variables in committed.items():
        for name, value in variables.items():
            if local_stack.STACK_NAME in value:
                assert name_in(value) == name_in(deployed[function][name])


def name_in(value: str) -> str | None:
    """Take a resource's name out of an address or an ARN, without what is random in a secret's."""
    found = re.search(rf"{local_stack.STACK_NAME}-\w+-[0-9A-F]{{13}}", value)
    return found and found[0]


def test_the_committed_settings_are_those_of_make_up() -> None:
    committed = json.loads((ROOT / "local" / "sam-env.json").read_text())
    settings = {name: value for variables in committed.values() for name, value in variables.items()}

    for parameter, value in local_stack.PARAMETERS.items():
        variable = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in parameter).lstrip("_")
        assert settings[variable] == value
