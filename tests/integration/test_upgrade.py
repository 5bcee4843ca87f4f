"""Whoever has the version before this one deploys this one over it: it goes on with what that one left behind.

tests/data/ledger-1.0.json is the ledger of version 1.0.0, as its code wrote it (tests/ledger_writer.py): every kind of
item, reports and summaries that were under way, and messages in its hook queue. Nothing is moved for it and no command
is run. Its times are put so that it was left five minutes ago.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.desk import ACCOUNT
from tests.ledger_writer import FOREIGN_HOOK, OCCASIONS, QUEUED, key_of
from tests.orders import own_order, sale
from tests.whole_stack import APP_KEYS, HOOK_URL, SECOND_ACCOUNT, WholeStack, whole_stack

FORMER: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/ledger-1.0.json").read_text(encoding="utf-8"))
LEFT_AGO = timedelta(minutes=5)
KINDS = {
    "accounts", "guard", "guard_topics", "held", "key", "message", "order", "reminder_due", "round", "silence", "told",
    "turns",
}  # fmt: skip
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)")
FAILING, RESOLVED = "invoicekey.order.failing.v1", "invoicekey.order.resolved.v1"
INVOICES = {
    "VVJ-OPEN-01": "643801",
    "VVJ-DISMISSED-01": "643803",
    "VVJ-EXPIRED-01": "643804",
    "VVJ-UNSENT-01": "643807",
    "VVJ-UNALERTED-01": "643808",
    "VVJ-TOLD-IN-A-DIGEST-01": "643809",
    "VVJ-DEFERRED-01": "643810",
}
"""The orders that fail for want of a key."""


def moved(value: Any, by: timedelta, name: str = "") -> Any:
    """Return a value of DynamoDB's JSON with its times moved. What was fixed to be sent (record, alert) stays."""
    match value:
        case {"S": str(text)} if MOMENT.fullmatch(text) and name != "occasion":
            return {"S": (datetime.fromisoformat(text) + by).isoformat()}
        case {"S": str(text)} if name == "taken":
            return {"S": str(float(text) + by.total_seconds())}
        case {"N": str(whole)} if name in {"until", "expires_at"}:
            return {"N": str(int(whole) + round(by.total_seconds()))}
        case {"M": dict(members)}:
            return {"M": {key: moved(member, by, key) for key, member in members.items()}}
        case {"L": list(members)}:
            return {"L": [moved(member, by, name) for member in members]}
        case _:
            return value


@pytest.fixture
def stack() -> Iterator[WholeStack]:
    """Deploy this version over the former one's ledger; VTEX is as it was."""
    by = datetime.now(UTC) - LEFT_AGO - datetime.fromisoformat(FORMER["written_at"])
    with whole_stack() as made:
        for item in FORMER["items"]:
            kept = {name: moved(value, by, name) for name, value in item.items()}
            boto3.client("dynamodb").put_item(TableName="ledger", Item=kept)
        for order_id, invoice_number in INVOICES.items():
            made.invoice(order_id, sale(invoice_number, key=None))
        made.invoice("VVJ-GOOD-01", sale("643797"))
        made.invoice("VVJ-MENDED-01", sale("643802", key=key_of("643802")))
        made.invoice("VVJ-REUSED-01", sale("643797"))
        made.invoice("VVJ-WAITING-01")
        made.invoice("VVJ-LAGGING-01", status="handling")
        made.invoice("VVJ-CANCELED-01", sale("643805", key=None), status="canceled")
        made.vtex.put_order(own_order(sale("643806", key=None), orderId="SITE-01"))
        for number in range(6):
            made.invoice(f"VVJ-MANY-{number}", sale(f"64400{number}", key=None), account=SECOND_ACCOUNT)
        yield made


def orders_of(account: str) -> list[str]:
    keys = [item["pk"]["S"].split("#") for item in FORMER["items"]]
    return [key[2] for key in keys if key[:2] == ["order", account]]


def written(order_id: str, account: str = ACCOUNT) -> dict[str, Any]:
    """Return the report of an order as the former version fixed it."""
    (item,) = [item for item in FORMER["items"] if item["pk"]["S"] == f"order#{account}#{order_id}"]
    report: dict[str, Any] = item["report"]["M"]
    return report


def summary_written(account: str, kind: str) -> str:
    """Return the subject of a summary that the former version wrote down and could not send."""
    (item,) = [item for item in FORMER["items"] if item["pk"]["S"] == f"told#{account}#{kind}"]
    return str(json.loads(item["alert"]["S"])["Subject"])


def delete(key: str) -> None:
    boto3.client("dynamodb").delete_item(TableName="ledger", Key={"pk": {"S": key}})


def silence_ends() -> None:
    delete(f"silence#{SECOND_ACCOUNT}")


def test_the_former_ledger_has_every_kind_of_item() -> None:
    assert {item["pk"]["S"].partition("#")[0] for item in FORMER["items"]} == KINDS


def check_all(stack: WholeStack) -> None:
    silence_ends()
    for account in (ACCOUNT, SECOND_ACCOUNT):
        stack.check(*orders_of(account), account=account)


def test_nothing_is_reported_twice_and_what_was_under_way_goes_out_as_it_was_written(stack: WholeStack) -> None:
    """One report had not gone out at all, of another the alert was left; the quota of these minutes is used up."""
    check_all(stack)
    assert stack.records() == [json.loads(written("VVJ-UNSENT-01")["record"]["S"])]
    assert stack.alerts() == []
    check_all(stack)
    assert stack.records() == []

    stack.run("send_digest")
    (text,) = [alert["Message"] for alert in stack.alerts() if is_digest(alert) and "VVJ-UNSENT-01" in alert["Message"]]
    assert "VVJ-UNALERTED-01" in text


def test_an_alert_under_way_goes_out_as_it_was_written_once_there_is_a_place(stack: WholeStack) -> None:
    for item in stack.items():
        if item["pk"]["S"].startswith("turns#"):
            delete(item["pk"]["S"])
    check_all(stack)
    under_way = [json.loads(written(order_id)["alert"]["S"]) for order_id in ("VVJ-UNSENT-01", "VVJ-UNALERTED-01")]
    assert sorted(alert["Subject"] for alert in stack.alerts()) == sorted(alert["Subject"] for alert in under_way)


def known(item: dict[str, Any]) -> dict[str, Any]:
    """Return what an item says of its order besides its last check; what is no or nothing may be left out."""
    nothing = ({"NULL": True}, {"BOOL": False})
    report = item.get("report", {"M": {}})["M"]
    said = {f"report {name}": value for name, value in report.items()} | item
    return {name: value for name, value in said.items() if name not in OF_THE_CHECK and value not in nothing}


OF_THE_CHECK = {"report", "version", "written_by", "checked_at", "recheck_at", "list", "list_at", "expires_at",
                "events", "failures", "failures_at", "failure"}  # fmt: skip


def test_all_that_was_known_of_an_order_is_known_and_it_is_judged_as_it_was(stack: WholeStack) -> None:
    """A check writes the whole item anew: what it did not read would be gone."""
    before = stack.items()
    check_all(stack)
    after = {item["pk"]["S"]: item for item in stack.items()}
    under_way = {f"order#{ACCOUNT}#{order_id}" for order_id in ("VVJ-UNSENT-01", "VVJ-UNALERTED-01")}
    orders = [item for item in before if item["pk"]["S"].startswith("order#") and item["pk"]["S"] not in under_way]
    assert [known(after[item["pk"]["S"]]) for item in orders] == [known(item) for item in orders]


def test_an_alert_that_the_former_version_deferred_goes_out_once(stack: WholeStack) -> None:
    stack.run("send_digest")
    told = stack.alerts()
    stack.run("send_digest")

    kinds = Counter(
        (alert["MessageAttributes"]["account"]["Value"], alert["MessageAttributes"]["type"]["Value"]) for alert in told
    )
    assert kinds == {
        (ACCOUNT, "digest"): 2,
        (ACCOUNT, "reminder"): 1,
        (SECOND_ACCOUNT, "digest"): 1,
        (SECOND_ACCOUNT, "reminder"): 1,
    }
    subjects = [alert["Subject"] for alert in told]
    assert summary_written(ACCOUNT, "digest") in subjects
    naming = {
        order: [text["Subject"] for text in told if order in text["Message"] and is_digest(text)] for order in HELD
    }
    assert {order: len(texts) for order, texts in naming.items()} == dict.fromkeys(HELD, 1)
    assert naming["VVJ-REUSED-01"] == [summary_written(ACCOUNT, "digest")]
    assert stack.alerts() == []
    assert not [item for item in stack.items() if item["pk"]["S"].startswith("held#")]


HELD = ("VVJ-REUSED-01", "VVJ-DEFERRED-01", "VVJ-MANY-5")
"""Told in a digest that was not sent, not yet in any, and taken up by a run that died."""


def is_digest(alert: dict[str, Any]) -> bool:
    return bool(alert["MessageAttributes"]["type"]["Value"] == "digest")


def test_the_accounts_that_were_noted_are_served_where_nothing_waits(stack: WholeStack) -> None:
    for order_id, account in zip(HELD, (ACCOUNT, ACCOUNT, SECOND_ACCOUNT), strict=True):
        delete(f"held#{account}#{order_id}")
    stack.run("send_digest")
    assert [a["Subject"] for a in stack.alerts() if is_digest(a)] == [summary_written(ACCOUNT, "digest")]


def test_a_reminder_that_was_written_down_goes_out_once_for_its_occasion(stack: WholeStack) -> None:
    stack.run("send_digest")
    reminders = [alert["Subject"] for alert in stack.alerts() if not is_digest(alert)]
    assert sorted(reminders) == sorted(summary_written(account, "reminder") for account in APP_KEYS)
    assert stack.run("send_digest", reminder=True, scheduled=OCCASIONS[1]) == {"reminders": 0}
    assert not stack.item("reminder_due")


def test_the_next_reminder_names_what_is_open_and_nothing_that_is_archived(stack: WholeStack) -> None:
    stack.run("send_digest")
    stack.alerts()
    stack.run("send_digest", reminder=True, scheduled="2026-03-11T12:00:00Z")
    (text,) = [
        alert["Message"] for alert in stack.alerts() if alert["MessageAttributes"]["account"]["Value"] == ACCOUNT
    ]
    named = {order for order in orders_of(ACCOUNT) if order in text}
    assert named == INVOICES.keys() - {"VVJ-DISMISSED-01", "VVJ-EXPIRED-01"} | {"VVJ-REUSED-01"}


def test_the_back_off_that_an_account_asked_for_is_respected(stack: WholeStack) -> None:
    assert stack.check("VVJ-MANY-0", account=SECOND_ACCOUNT) == ["m-VVJ-MANY-0"]
    stack.run("drain_feed")
    stack.run("guard_hook")
    assert {call.account for call in stack.vtex.calls()} == {ACCOUNT}


@pytest.mark.parametrize(("last", "next_one"), [(ACCOUNT, SECOND_ACCOUNT), (SECOND_ACCOUNT, ACCOUNT)])
def test_a_round_begins_after_the_account_that_had_the_last_turn(stack: WholeStack, last: str, next_one: str) -> None:
    silence_ends()
    boto3.client("dynamodb").put_item(TableName="ledger", Item={"pk": {"S": "round#guard"}, "last": {"S": last}})
    stack.start("guard_hook").hook_guard._rounds._at_once = 1  # side by side nobody could tell who was first
    stack.run("guard_hook")
    assert stack.vtex.calls()[0].account == next_one


def test_the_alert_quota_that_was_used_is_used(stack: WholeStack) -> None:
    stack.invoice("VVJ-NEW-01", sale("643900", key=None))
    stack.check("VVJ-NEW-01")
    assert [record["subject"] for record in stack.records()] == ["VVJ-NEW-01"]
    assert stack.alerts() == []
    assert stack.item(f"held#{ACCOUNT}#VVJ-NEW-01")


def test_failures_that_the_former_version_reported_are_resolved(stack: WholeStack) -> None:
    orders = ["VVJ-DEFERRED-01", "VVJ-EXPIRED-01", "VVJ-OPEN-01", "VVJ-TOLD-IN-A-DIGEST-01"]
    for order_id in orders:
        stack.invoice(order_id, sale(INVOICES[order_id], key=key_of(INVOICES[order_id])))
    stack.check(*orders)
    records = sorted(stack.records(), key=itemgetter("subject"))
    assert [record["subject"] for record in records] == orders
    assert {(record["type"], record["data"]["reason"]) for record in records} == {(RESOLVED, "ok")}
    numbers = [int(written(order_id)["number"]["N"]) + 1 for order_id in orders]
    assert [record["data"]["report"] for record in records] == numbers
    assert not {record["id"] for record in records} & set(FORMER["sent"])
    first_seen = [datetime.fromisoformat(record["data"]["first_seen_at"]) for record in records]
    assert max(first_seen) < datetime.now(UTC) - LEFT_AGO / 2


def test_a_resolved_order_that_fails_anew_has_a_higher_number(stack: WholeStack) -> None:
    stack.invoice("VVJ-MENDED-01", sale("643802", key=None))
    stack.check("VVJ-MENDED-01")
    (record,) = stack.records()
    assert (record["type"], record["data"]["report"]) == (FAILING, 3)


def test_a_dismissal_holds_until_the_errors_change(stack: WholeStack) -> None:
    stack.invoice("VVJ-DISMISSED-01", sale("643803", key="abc"))
    stack.check("VVJ-DISMISSED-01")
    (record,) = stack.records()
    assert (record["type"], record["data"]["report"]) == (FAILING, 3)


def test_a_key_that_an_order_owned_is_its_own(stack: WholeStack) -> None:
    stack.invoice("VVJ-SHOWS-IT-TOO-01", sale("643802", key=key_of("643802")))
    stack.check("VVJ-SHOWS-IT-TOO-01")
    (record,) = stack.records()
    assert [(p["code"], p["reused_in"]) for p in record["data"]["problems"]] == [("reused", "VVJ-MENDED-01")]


def test_a_message_that_the_former_version_returned_is_no_poison(stack: WholeStack) -> None:
    """Two of its three receives are known to be no deaths: it is checked beside others."""
    third = {"attributes": {"ApproximateReceiveCount": "3"}}
    stack.invoice("VVJ-RETRIED-01", sale("643811", key=None))
    records = [
        {
            "messageId": f"m-{order_id}",
            "body": json.dumps({"OrderId": order_id, "Origin": {"Account": ACCOUNT}}),
            **third,
        }
        for order_id in ("VVJ-RETRIED-01", "VVJ-GOOD-01")
    ]
    records[1].pop("attributes")
    assert stack.check_messages(records) == []


def test_messages_of_the_former_version_are_taken(stack: WholeStack) -> None:
    for number, order_id in enumerate(QUEUED):
        stack.invoice(order_id, sale(f"64370{number}", key=None))
    by = datetime.now(UTC) - LEFT_AGO - datetime.fromisoformat(FORMER["written_at"])
    failed = stack.check_messages(
        [
            {
                "messageId": f"message-{number}",
                "body": message["Body"],
                "messageAttributes": {
                    name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
                    for name, value in message["MessageAttributes"].items()
                },
                "attributes": message["Attributes"]
                | {"SentTimestamp": str(int(message["Attributes"]["SentTimestamp"]) + int(by.total_seconds() * 1000))},
            }
            for number, message in enumerate(FORMER["messages"])
        ]
    )
    assert failed == []
    assert {record["subject"] for record in stack.records()} == set(QUEUED)


def test_the_orders_that_were_due_are_queued_again(stack: WholeStack) -> None:
    stack.run("recheck_failures", all=True)
    queued = [json.loads(message["Body"]) for message in stack.taken("HookQueueUrl")]
    followed = {
        (item["pk"]["S"].split("#")[1], item["pk"]["S"].split("#")[2])
        for item in FORMER["items"]
        if item.get("list") == {"S": "followed"} and "opened_at" in item
    }
    assert followed <= {(body["Origin"]["Account"], body["OrderId"]) for body in queued}


def test_the_guard_goes_on_with_hook_and_feed(stack: WholeStack) -> None:
    """VTEX has lost the hook: it is restored, for it had been installed; nobody is told again what they were told."""
    silence_ends()
    stack.vtex.hooks[APP_KEYS[SECOND_ACCOUNT]] = FOREIGN_HOOK
    answer = stack.run("guard_hook")
    assert answer["accounts"][ACCOUNT] == ["hook_restored", "feed_restored"]
    assert stack.vtex.hooks[APP_KEYS[ACCOUNT]]["hook"]["url"] == HOOK_URL
    assert stack.vtex.hooks[APP_KEYS[SECOND_ACCOUNT]] == FOREIGN_HOOK
    assert (stack.alerts(), stack.taken("operations")) == ([], [])


def test_the_commands_read_it(stack: WholeStack) -> None:
    said = stack.desk.run(f"failures --account {ACCOUNT} --format csv")
    assert said.code in {0, 3}
    assert {order for order in INVOICES if order in said.out} >= {"VVJ-OPEN-01", "VVJ-DEFERRED-01"}
    explained = stack.desk.run(f"explain VVJ-DISMISSED-01 --account {ACCOUNT}")
    assert "sent at the marketplace" in explained.out
    undone = stack.desk.run(f"undismiss VVJ-DISMISSED-01 --account {ACCOUNT}")
    assert undone.code == 0, undone.all
    stack.check("VVJ-DISMISSED-01")
    assert [record["type"] for record in stack.records()] == [FAILING]
