"""`invoicekey doctor`: each line a tick or what to do, and an exit code that says which."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from invoicekey.ledger.entries import Entry
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import RetryLater
from invoicekey.vtex.client import Answer, Vtex
from local import events
from local.vtex_simulator import Fault
from operations.deployment.template import version
from operations.health import account as health_at_vtex
from operations.terminal.findings import Finding, Section, State, show
from tests.operated import ACCOUNT, KEYS, RESOURCES, Operated, Told, denied, operated

ALERTS, OPERATIONS = "AlertTopicArn", "OperationsTopicArn"
NOW = datetime.now(UTC)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    """Return a stack with which all is well."""
    with operated(monkeypatch) as made:
        made.subscribe(ALERTS)
        made.subscribe(OPERATIONS)
        made.run("hook", "install")
        invoiced(made, "VVJ", count=3)
        made.tell("cloudwatch", get_metric_statistics=heard(0))
        yield made


def invoiced(
    stack: Operated, affiliate: str, count: int = 1, channel: events.Channel = events.CNOVA, days_ago: float = 1
) -> None:
    """Let VTEX have orders of an affiliate id that were invoiced of late."""
    document = events.order_document(replace(events.BY_NAME["good-key"], channel=channel))
    for number in range(count):
        at = (NOW - timedelta(days=days_ago, minutes=number)).isoformat()
        order_id = f"{affiliate or 'v'}-{number}-01"
        stack.vtex.put_order({**document, "orderId": order_id, "affiliateId": affiliate, "invoicedDate": at})


def findings(stack: Operated, code: int) -> list[dict[str, Any]]:
    """Run doctor for machines, and return what it found."""
    assert stack.run("doctor", "--json") == code
    found: list[dict[str, Any]] = stack.said.json["findings"]
    return found


def failing(order_id: str, opened: datetime) -> Entry:
    return Entry(
        OrderRef(ACCOUNT, order_id), first_seen_at=opened, checked_at=NOW, outcome="failing",
        errors_reported="f" * 64, opened_at=opened, recheck_at=NOW,
    )  # fmt: skip


def to_do(found: list[dict[str, Any]]) -> list[str]:
    return [f"{one['says']} → {one['to_do']}" for one in found if one["state"] == "to_do"]


def left_to_do(stack: Operated) -> str:
    """Run doctor, and return the one thing that it says is to be done."""
    (only,) = to_do(findings(stack, 3))
    return only


def unknown(stack: Operated) -> list[dict[str, Any]]:
    """Run doctor, and return what it could not find out."""
    return [one for one in findings(stack, 1) if one["state"] == "unknown"]


def says(stack: Operated, code: int = 0) -> str:
    """Run doctor, and return all that it says."""
    return "\n".join(one["says"] for one in findings(stack, code))


def test_where_all_is_well_nothing_is_to_do(stack: Operated) -> None:
    found = findings(stack, 0)
    assert not [one for one in found if one["state"] in {"to_do", "unknown"}]
    assert {one["section"] for one in found} == {
        "AWS",
        "Who is notified",
        "Secrets",
        "Queues",
        "Orders",
        f"{ACCOUNT} at VTEX",
    }


def test_people_read_the_same_lines(stack: Operated) -> None:
    seen = says(stack)
    assert stack.run("doctor") == 0
    text = stack.said.out
    assert not [line for line in seen.splitlines() if line not in text]


def test_nothing_is_changed_by_looking(stack: Operated) -> None:
    stack.vtex.requests.clear()
    stack.run("doctor")
    assert {call.method for call in stack.vtex.calls()} == {"GET"}


def test_a_stack_that_is_not_there_is_said_in_one_line(stack: Operated) -> None:
    del stack.deployment.__dict__["outputs"]
    stack.deployment.told["cloudformation"] = Told(describe_stacks=denied("DescribeStacks"))
    assert stack.run("doctor") == 1
    assert stack.said.err.count("\n") == 1


# ---- AWS


def heard(*hours_ago: int) -> dict[str, Any]:
    """Return CloudWatch's figures of hooks that came so many hours ago."""
    return {"Datapoints": [{"Timestamp": NOW - timedelta(hours=hours), "Sum": 1.0} for hours in hours_ago]}


def fail_to_update(stack: Operated) -> None:
    whole = stack.deployment.told["lambda"].answers["get_function_configuration"]
    failed = {"GuardHookFunction": {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "no such layer"}}
    stack.tell("lambda", get_function_configuration=lambda **a: {**whole(**a), **failed.get(a["FunctionName"], {})})


@pytest.mark.parametrize(
    ("befalls", "told"),
    [
        (
            lambda stack: stack.deployment.outputs.update(Version="0.9.9"),
            f"the stack is of version 0.9.9, this command of {version()} → make deploy from",
        ),
        (
            lambda stack: stack.deployment.outputs.pop("Version"),
            f"the stack is of an older version, this command of {version()} → ",
        ),
        (fail_to_update, "GuardHookFunction is Active, its last update Failed: no such layer"),
        (
            lambda stack: stack.tell("lambda", get_event_source_mapping={"State": "Disabled"}),
            "aws lambda update-event-source-mapping --enabled --uuid CheckInvoiceFunctionHookQueue --profile shop",
        ),
        (lambda stack: stack.tell("scheduler", get_schedule={"State": "DISABLED"}), "GuardHookFunctionGuard"),
        (lambda stack: stack.unsubscribe(OPERATIONS), "OperationsEmail"),
        (lambda stack: stack.keep("VtexCredentialsSecretArn", {}), "→ invoicekey setup"),
        (lambda stack: stack.tell("cloudwatch", get_metric_statistics=heard(90, 50)), "72 hours"),
        (lambda stack: stack.vtex.hooks.clear(), f"→ invoicekey hook install --account {ACCOUNT}"),
        (
            lambda stack: invoiced(stack, "CSB", 2, events.CNOVA_UNKNOWN_TO_THE_SETTING),
            'CnovaAffiliateIds="VVJ,CSB"',
        ),
    ],
    ids=[
        "version",
        "no-version",
        "update",
        "event-source",
        "schedule",
        "unheard",
        "no-credentials",
        "long-quiet",
        "no-hook",
        "smells-of-cnova",
    ],
)
def test_what_is_wrong_is_the_one_thing_to_do(
    befalls: Callable[[Operated], object], told: str, stack: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(stack.deployment), "aws_options", " --profile shop")
    befalls(stack)
    assert told in left_to_do(stack)


def test_an_alarm_that_rings_is_told_with_its_section(stack: Operated) -> None:
    alarm = {
        "AlarmName": "DeadLettersAlarm",
        "AlarmDescription": "Events wait for a person. See docs/runbook.md#dead-letters",
        "AlarmActions": ["arn"],
        "StateValue": "ALARM",
    }
    still = {**alarm, "AlarmName": "QuietAlarm", "StateValue": "OK"}
    part = {"AlarmName": "NothingHeard", "AlarmDescription": "A part.", "AlarmActions": []}
    stack.tell("cloudwatch", describe_alarms={"MetricAlarms": [alarm, part], "CompositeAlarms": [still]})
    assert left_to_do(stack) == "DeadLettersAlarm: Events wait for a person. → see docs/runbook.md#dead-letters"


def action(state: str, days_ago: int, **data: str) -> dict[str, Any]:
    said = {"Succeeded": "Successfully executed", "Failed": "Failed to execute"}[state]
    return {
        "AlarmName": "DeadLettersAlarm",
        "Timestamp": NOW - timedelta(days=days_ago),
        "HistoryItemType": "Action",
        "HistorySummary": f"{said} action arn:aws:sns:us-east-1:123456789012:operations",
        "HistoryData": json.dumps({"actionState": state, **data}),
    }


def test_an_alarm_that_told_nobody_when_it_last_rang_is_told_until_that_is_mended(stack: Operated) -> None:
    alarm = {"AlarmName": "DeadLettersAlarm", "AlarmActions": ["arn"], "StateValue": "OK"}
    why = "CloudWatch Alarms is not authorized to perform: SNS:Publish on resource: arn:aws:sns:…"
    history = [action("Failed", 2, error=why), action("Succeeded", 3)]
    stack.tell(
        "cloudwatch",
        describe_alarms={"MetricAlarms": [alarm]},
        describe_alarm_history=lambda **_: {"AlarmHistoryItems": history},
    )

    told = left_to_do(stack)

    assert told.startswith("DeadLettersAlarm rang on ")
    assert "notified nobody: CloudWatch Alarms is not authorized to perform: SNS:Publish" in told
    assert told.endswith("then invoicekey alarms test --alarm DeadLettersAlarm")
    history.insert(0, action("Succeeded", 1))
    findings(stack, 0)


@pytest.mark.parametrize(("seconds", "is_told"), [(5, False), (200, True), (-200, True)])
def test_clocks_that_differ_are_told(seconds: int, is_told: bool, stack: Operated) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    listed = stack.deployment.told["cloudformation"].answers["list_stack_resources"]
    stack.tell("cloudformation", list_stack_resources={**listed, "ResponseMetadata": {"HTTPHeaders": {"date": date}}})
    told = to_do(findings(stack, 3 if is_told else 0))
    assert [("behind" if seconds > 0 else "ahead of") in line for line in told] == [True] * is_told


@pytest.mark.parametrize(
    ("befalls", "told", "how"),
    [
        (lambda stack: stack.tell("scheduler", get_schedule=denied("GetSchedule")), "GetSchedule", ""),
        (lambda stack: stack.tell("scheduler", get_schedule=denied("GetSchedule")), "may not do that", ""),
        (
            lambda stack: stack.vtex.fail(Fault("empty_object", route="hook_config")),
            "VTEX does not say whether there is a hook",
            "",
        ),
        (
            lambda stack: stack.vtex.fail(Fault("status", status=404, route="list")),
            "List Orders: VTEX answered 404",
            "Data Protection Plus",
        ),
    ],
)
def test_what_cannot_be_seen_exits_1(
    befalls: Callable[[Operated], object], told: str, how: str, stack: Operated
) -> None:
    befalls(stack)
    (only,) = unknown(stack)
    assert told in only["says"]
    assert how in (only["to_do"] or "")


def test_without_the_right_to_read_the_secrets_the_rest_is_looked_at(
    stack: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = Told(get_secret_value=denied("GetSecretValue"))
    monkeypatch.setattr(stack.deployment.client("secretsmanager"), "get_secret_value", refusing.get_secret_value)
    found = findings(stack, 1)
    assert "all 3 functions are active" in [one["says"] for one in found]
    assert [one["section"] for one in found if one["state"] == "unknown"] == ["Secrets"] * 3


def test_resources_are_listed_page_by_page(stack: Operated) -> None:
    stack.list_resources_in_pages()
    functions = sum(kind == "AWS::Lambda::Function" for kind in RESOURCES.values())
    assert f"all {functions} functions are active" in says(stack)


# ---- Who is told, and by which secrets


def test_a_desk_without_a_key_is_told_with_its_cure(stack: Operated) -> None:
    stack.keep("DeskSecretArn", {})
    assert "invoicekey secrets rotate --desk" in to_do(findings(stack, 3))[0]


def test_a_stack_without_a_desk_is_as_it_should_be(stack: Operated) -> None:
    stack.environments["CheckInvoiceFunction"]["DESK_URL"] = ""
    assert any("DeskLinks=no" in one["says"] for one in findings(stack, 0))


def test_the_former_key_of_the_desk_is_told_while_its_links_work(stack: Operated) -> None:
    stack.run("secrets", "rotate", "--desk")
    assert any("the key before it is accepted until" in one["says"] for one in findings(stack, 0))


def test_an_empty_hook_secret_is_told_with_its_cure(stack: Operated) -> None:
    stack.keep("HookSecretArn", {"current": "  ", "previous": ""})
    assert "invoicekey secrets rotate" in to_do(findings(stack, 3))[0]


@pytest.mark.parametrize(
    ("accounts", "kept", "told"),
    [
        ("luxstore,othershop", {}, "VtexAccounts names othershop"),
        ("othershop", {"othershop": KEYS}, "its events are refused"),
        ("", {"othershop": {"app_key": "with a blank", "app_token": "x"}}, "could not be sent"),
    ],
)
def test_accounts_and_credentials_that_do_not_fit_are_told(
    accounts: str, kept: dict[str, Any], told: str, stack: Operated
) -> None:
    stack.environments["GuardHookFunction"]["VTEX_ACCOUNTS"] = accounts
    stack.keep("VtexCredentialsSecretArn", {ACCOUNT: KEYS, **kept})
    assert told in " ".join(to_do(findings(stack, 3)))


# ---- Queues and orders


def test_dead_letters_are_told_by_reason_and_can_be_received_after_it(stack: Operated) -> None:
    sqs, url = stack.deployment.client("sqs"), stack.deployment.output("HookDeadLetterQueueUrl")
    for reason in (*["gave_up"] * 11, "malformed"):
        attributes = {"reason": {"DataType": "String", "StringValue": reason}}
        sqs.send_message(QueueUrl=url, MessageBody="{}", MessageAttributes=attributes)
    assert left_to_do(stack).startswith("dead letters: 12 (gave_up 11, malformed 1) → invoicekey redrive")
    assert len(sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]) == 10


def test_open_failures_are_told_with_the_oldest_and_are_no_trouble_of_the_system(stack: Operated) -> None:
    for number, days in enumerate((2, 5)):
        stack.shop.ledger.write(failing(f"VVJ-{number}-01", NOW - timedelta(days=days)))
    assert f"open failures: {ACCOUNT} 2; the oldest for 5 days" in says(stack)


def test_a_ledger_that_may_not_be_read_is_told_with_what_to_do(
    stack: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack.deployment.client("dynamodb"), "query", Told(query=denied("Query")).query)
    assert {one["to_do"] for one in unknown(stack)} == {"your AWS identity may not do that; --profile names another"}


def test_a_new_shop_that_heard_nothing_yet_is_well_and_later_its_last_check_is_told(stack: Operated) -> None:
    stack.tell("cloudwatch", get_metric_statistics=heard())
    assert "no hook was received yet" in says(stack)
    ref = OrderRef(ACCOUNT, "VVJ-1-01")
    stack.shop.ledger.write(Entry(ref, first_seen_at=NOW, checked_at=NOW, outcome="ok"))
    assert "the last check of an order was" in says(stack)


# ---- At VTEX


@pytest.mark.parametrize(
    ("route", "permission"),
    [("list", "List Orders"), ("order", "View order"), ("hook_config", "Feed v3 and Hook Admin")],
)
def test_a_permission_that_is_missing_is_named(route: str, permission: str, stack: Operated) -> None:
    stack.vtex.fail(Fault("status", status=403, route=route))
    told = to_do(findings(stack, 3))
    assert len(told) == 1
    assert told[0].count(f"“{permission}”") == 2


def test_credentials_that_vtex_does_not_take_are_told_once(stack: Operated) -> None:
    for route in ("list", "order", "hook_config"):
        stack.vtex.fail(Fault("status", status=401, route=route))
    assert "make credentials" in left_to_do(stack)


def test_vtex_down_exits_1(stack: Operated) -> None:
    for route in ("list", "order", "hook_config"):
        stack.vtex.fail(Fault("status", status=500, route=route))
    assert all("VTEX answered 500" in one["says"] for one in unknown(stack))


def test_orders_are_told_by_affiliate_and_which_are_cnova_s(stack: Operated) -> None:
    invoiced(stack, "CSB", 2, events.CNOVA_BY_ITS_APP)
    invoiced(stack, "MBS", 4, events.ANOTHER_MARKETPLACE)
    invoiced(stack, "", 1, events.OWN_SHOP)
    found = findings(stack, 3)
    seen = " ".join(one["says"] for one in found)
    assert "10 orders were invoiced in the last seven days" in seen
    assert "VVJ, 3 orders: they count as CNova's, for CnovaAffiliateIds names it" in seen
    assert "not CNova's: MBS 4, own sales 1" in seen
    (by_app,) = to_do(found)
    assert "CSB, 2 orders: they count as CNova's by the connector's app in it alone, which fades" in by_app
    assert 'CnovaAffiliateIds="VVJ,CSB"' in by_app


@pytest.mark.parametrize(
    ("ids", "channel", "proposed"),
    [
        ("", events.CNOVA_BY_ITS_APP, "VVJ"),
        ("", events.ANOTHER_MARKETPLACE, "VVJ"),
        ("othershop:CSB", events.CNOVA_BY_ITS_APP, "othershop:CSB,VVJ"),
    ],
)
def test_a_setting_that_names_no_affiliate_id_of_an_account_is_something_to_mend(
    ids: str, channel: events.Channel, proposed: str, stack: Operated
) -> None:
    stack.environments["CheckInvoiceFunction"]["CNOVA_AFFILIATE_IDS"] = ids
    invoiced(stack, "VVJ", 3, channel)
    first, *_ = to_do(findings(stack, 3))
    assert f"CnovaAffiliateIds names no affiliate id of {ACCOUNT}: an order is recognised by the connector's" in first
    assert f'set CnovaAffiliateIds="{proposed}"' in first


@pytest.mark.parametrize("ids", ["VVJ", f"{ACCOUNT}:VVJ", "othershop:CSB,vvj"])
def test_a_setting_that_names_one_is_well(ids: str, stack: Operated) -> None:
    stack.environments["CheckInvoiceFunction"]["CNOVA_AFFILIATE_IDS"] = ids
    assert not to_do(findings(stack, 0))


@pytest.mark.parametrize("fault", [None, Fault("status", status=403, route="list")])
def test_an_empty_setting_is_told_whatever_can_be_seen_of_the_orders(fault: Fault | None, stack: Operated) -> None:
    stack.environments["CheckInvoiceFunction"]["CNOVA_AFFILIATE_IDS"] = ""
    if fault:
        stack.vtex.fail(fault)
    else:
        invoiced(stack, "VVJ", 3, days_ago=30)
    told = [line for line in to_do(findings(stack, 3)) if "names no affiliate id" in line]
    assert len(told) == 1


@pytest.mark.parametrize("odd", ["../..", "seq501456", "AMZ 1/2"])
def test_an_odd_order_id_of_the_list_is_counted_and_never_asked_for(odd: str, stack: Operated) -> None:
    invoiced(stack, "MBS", 2, events.ANOTHER_MARKETPLACE)
    document = events.order_document(events.BY_NAME["other-marketplace"])
    for minutes in (0, 60):  # the first and the last of the list
        at = (NOW - timedelta(days=1, minutes=minutes)).isoformat()
        order_id = odd if minutes else f"{odd}2"
        stack.vtex.put_order({**document, "orderId": order_id, "invoicedDate": at, "creationDate": at})

    seen = says(stack)

    assert "not CNova's: MBS 4" in seen
    asked = {call.order_id for call in stack.vtex.calls(route="order")}
    assert asked
    assert not [order_id for order_id in asked if order_id.startswith(odd)]


def test_none_of_cnova_among_many_is_told(stack: Operated) -> None:
    invoiced(stack, "VVJ", 3, days_ago=30)
    invoiced(stack, "MBS", health_at_vtex.ENOUGH_ORDERS, events.ANOTHER_MARKETPLACE)
    assert "none of these orders is CNova's" in left_to_do(stack)


def test_an_account_without_orders_is_no_trouble(stack: Operated) -> None:
    stack.keep("VtexCredentialsSecretArn", {"newshop": {"app_key": "another-key", "app_token": "t"}})
    stack.run("hook", "install")
    seen = says(stack)
    assert "no order was invoiced in the last seven days" in seen
    assert "the appKey may “View order”" in seen


# ---- Data Protection Plus: an order that VTEX gives at another address alone


@pytest.fixture
def document(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer | Exception], list[str]]:
    """Return what has VTEX answer at the address of Data Protection Plus, and lists the orders it is asked for."""

    def answers(told: Answer | Exception) -> list[str]:
        asked: list[str] = []
        call = Vtex.call

        def answer(vtex: Vtex, account: str, method: str, path: str, **more: Any) -> Answer:
            before, _, order_id = path.partition("/api/orders/pvt/document/")
            if before:
                return call(vtex, account, method, path, **more)
            asked.append(order_id)
            if isinstance(told, Exception):
                raise told
            return told

        monkeypatch.setattr(Vtex, "call", answer)
        return asked

    return answers


type Document = Callable[[Answer | Exception], list[str]]


@pytest.mark.parametrize("status", [404, 302, 400, 410])
def test_an_order_that_is_given_at_another_address_alone_is_told_as_data_protection_plus(
    status: int, stack: Operated, document: Document
) -> None:
    stack.vtex.fail(Fault("login_redirect") if status == 302 else Fault("status", status=status))
    asked = document(Answer(200, {"orderId": "VVJ-0-01", "clientProfileData": {"firstName": "M***a"}}))
    (only,) = [line for line in to_do(findings(stack, 3)) if "address" in line]
    assert only.startswith("VTEX gives VVJ-0-01 at another address alone: accounts with Data Protection Plus")
    assert asked == ["VVJ-0-01"]


@pytest.mark.parametrize("status", [500, 503, 429, 401, 403])
def test_trouble_and_a_missing_right_are_not_taken_for_it(status: int, stack: Operated, document: Document) -> None:
    stack.vtex.fail(Fault("status", status=status))
    asked = document(Answer(200, {"orderId": "VVJ-0-01"}))
    assert "Data Protection Plus" not in str(findings(stack, 3 if status in {401, 403} else 1))
    assert asked == []


@pytest.mark.parametrize(
    "told", [Answer(200, {"orderId": "VVJ-9-01"}), Answer(200, []), RetryLater("VTEX answered 404")]
)
def test_an_order_that_is_given_nowhere_is_no_sign_of_it(
    told: Answer | Exception, stack: Operated, document: Document
) -> None:
    stack.vtex.fail(Fault("status", status=404))
    document(told)
    seen = says(stack)
    assert "VTEX lists VVJ-0-01, and does not know it" in seen
    assert "Data Protection Plus" not in seen


def test_where_vtex_lists_nothing_an_order_that_is_followed_is_asked_for(stack: Operated, document: Document) -> None:
    invoiced(stack, "VVJ", 3, days_ago=30)
    stack.shop.ledger.write(failing("VVJ-77-01", NOW))
    asked = document(Answer(200, {"orderId": "VVJ-77-01"}))
    assert "VTEX gives VVJ-77-01 at another address alone" in to_do(findings(stack, 3))[0]
    assert asked == ["VVJ-77-01"]


def test_one_account_alone_may_be_looked_at(stack: Operated) -> None:
    stack.keep("VtexCredentialsSecretArn", {ACCOUNT: KEYS, "newshop": {"app_key": "another-key", "app_token": "t"}})
    assert stack.run("doctor", "--account", ACCOUNT) == 0
    assert "newshop at VTEX" not in stack.said.out
    assert stack.run("doctor", "--account", "lixstore") == 2


# ---- On a screen


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_on_a_terminal_each_line_fits_and_what_to_do_stands_below(columns: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=columns, soft_wrap=True)
    wrong = Finding(State.TO_DO, "a [bold]foreign[/] text " * 6, "what to do " * 12)

    show(console, Section("A place", (wrong,)))

    lines = Text.from_ansi(console.file.getvalue()).plain.splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= columns
    assert "[bold]foreign[/]" in " ".join(lines)
    assert [line for line in lines if line.strip().startswith("→ what to do")]
