"""The follow-up in the deployed stack: failures close by themselves, nothing is missed, nobody is flooded."""

import json

import jsonschema
import pytest

from local import events
from local.stack import LocalStack
from local.watch import Json, Mailbox, Watch, until
from tests.keys import make_key
from tests.stack.conftest import ALERT_BURST
from tests.stack.shop import FED, GUARDED, STORM, Shop, app_key
from tests.stack.test_stack import FAILING, RESOLVED, ROOT, told

pytestmark = pytest.mark.stack


def key_of(number: int) -> str:
    return make_key(tax_id=events.CNPJ, number=number, month=11)


def mend(stack: LocalStack, order_id: str, key: str, account: str = events.ACCOUNT) -> None:
    stack.vtex("POST", "invoice-key", {"order_id": order_id, "account": account, "invoice_key": key})


def checked(watch: Watch, order_id: str, outcome: str) -> Json:
    def last() -> Json:
        found = [check for check in watch.checks(order_id) if check.get("outcome") == outcome]
        return found[-1] if found else {}

    return until(last, f"{order_id} as {outcome}")


# ---- Re-check


def test_a_failure_that_is_mended_closes_by_itself_and_is_told(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    order_id = shop.invoice()
    shop.notify(order_id)
    told(watch, order_id)
    mend(stack, order_id, key_of(700001))

    stack.invoke("RecheckFailuresFunction", {"all": True})

    records = sorted(told(watch, order_id, times=2), key=lambda record: record["data"]["report"])
    assert [record["type"] for record in records] == [FAILING, RESOLVED]
    assert len(stack.vtex("GET", f"requests?order_id={order_id}")["requests"]) == 2


def test_the_mailbox_of_make_up_has_what_comes_by_each_channel(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    mailbox, order_id = Mailbox(stack), shop.invoice()
    shop.notify(order_id)

    (alert,) = until(lambda: [one for one in mailbox.told() if order_id in one.subject], "the alert")

    (email,) = watch.emails(order_id)
    assert (alert.kind, alert.subject, alert.email) == ("failing", email.subject, email.text)
    assert order_id in alert.sms
    assert alert.chat
    assert order_id in alert.chat["content"]["title"]


def test_what_is_not_due_is_not_read_again(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    order_id = shop.invoice()
    shop.notify(order_id)
    told(watch, order_id)

    assert stack.invoke("RecheckFailuresFunction", {}) == {"queued": 0, "refused": 0, "is_complete": True}


def test_a_reminder_lists_what_is_open(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    order_id = shop.invoice("downshop")
    shop.notify(order_id, account="downshop")
    told(watch, order_id)

    stack.invoke("SendDigestFunction", {"reminder": True})

    (reminder,) = until(lambda: [e for e in watch.emails(kind="reminder") if "downshop" in e.subject], "the reminder")
    assert order_id in reminder.text


# ---- Storm


def test_a_storm_is_told_in_one_digest_and_what_becomes_of_one_order_waits_for_the_next_run(
    shop: Shop, stack: LocalStack, watch: Watch
) -> None:
    order_ids = [shop.invoice(STORM) for _ in range(ALERT_BURST + 6)]
    shop.notify(*order_ids, account=STORM)

    until(lambda: len(records_of(watch, STORM)) == len(order_ids), "a record of each order")
    until(lambda: len(deferred(stack, watch)) == 6, "six alerts deferred")
    alerted = {email.order_id for email in watch.emails(kind="failing")} & set(order_ids)
    quiet = sorted(set(order_ids) - alerted)
    assert len(alerted) == ALERT_BURST

    assert stack.invoke("SendDigestFunction", {}) == {"digests": 1}
    assert stack.invoke("SendDigestFunction", {}) == {"digests": 0}
    (digest,) = until(lambda: watch.emails(kind="digest"), "the digest")
    assert all(order_id in digest.text for order_id in quiet)
    assert digest.attributes["account"] == STORM

    mend(stack, quiet[0], key_of(700002), STORM)
    shop.notify(quiet[0], account=STORM)
    until(lambda: deferred(stack, watch) == quiet[:1], "the resolution deferred")
    assert not watch.emails(quiet[0])
    assert stack.invoke("SendDigestFunction", {}) == {"digests": 1}
    (alone,) = until(lambda: watch.emails(quiet[0]), "a digest of one, which is that alert")
    assert alone.attributes["type"] == "resolved"


def records_of(watch: Watch, account: str) -> list[Json]:
    return [record for record in watch.records() if record["data"]["account"] == account]


def deferred(stack: LocalStack, watch: Watch) -> list[str]:
    table = stack.outputs["LedgerTableName"]
    answer = stack.client("dynamodb").query(
        TableName=table,
        IndexName="Lists",
        KeyConditionExpression="#list = :list",
        ExpressionAttributeNames={"#list": "list"},
        ExpressionAttributeValues={":list": {"S": "held_back"}},
    )
    return sorted(item["pk"]["S"].split("#")[2] for item in answer["Items"])


# ---- Feed and hook


def test_the_feed_brings_what_the_hook_missed_and_costs_no_second_reading(
    shop: Shop, stack: LocalStack, watch: Watch
) -> None:
    stack.invoke("GuardHookFunction", {})
    missed, known = shop.invoice(FED), shop.invoice(FED)
    shop.notify(known, account=FED)
    told(watch, known)
    for order_id in (missed, known):
        change = events.notification(order_id, account=FED)["LastChange"]
        stack.vtex(
            "POST", "feed-events", {"account": FED, "orderId": order_id, "state": "invoiced", "lastChange": change}
        )

    before = of_feed(watch)

    answer = stack.invoke("DrainFeedFunction", {})

    assert (answer["read"], answer["queued"], answer["committed"]) == (2, 2, 2)
    told(watch, missed)
    assert [entry["orderId"] for entry in stack.vtex("GET", "feed-events")["events"]] == []
    until(lambda: of_feed(watch) == before + 2, "both events are done with")
    assert len(shop.reads(known)) == 1


def of_feed(watch: Watch) -> int:
    """Count the feed's events that the checker has done with: of each it says whether the hook knew it."""
    return sum(len(figures.get("feed_only", [])) for figures in watch.figures())


def test_the_guard_registers_hook_and_feed_and_never_takes_another_system_s_hook(
    stack: LocalStack, watch: Watch
) -> None:
    operations = watch.subscribe("OperationsTopicArn")
    stack.invoke("GuardHookFunction", {})
    own = app_key(GUARDED)
    hook = stack.vtex("GET", "hooks")[own]
    assert hook["hook"]["url"] == stack.outputs["HookUrl"]
    assert hook["filter"] == {"type": "FromWorkflow", "status": ["invoiced"]}
    assert stack.vtex("GET", "feeds")[own]["filter"]["status"] == ["invoiced"]

    theirs = {"filter": hook["filter"], "hook": {"url": "https://erp.example/vtex", "headers": {}}}
    stack.vtex("PUT", "hooks", {own: theirs})
    stack.invoke("GuardHookFunction", {})
    stack.invoke("GuardHookFunction", {})

    assert stack.vtex("GET", "hooks")[own] == theirs

    def of_the_hook() -> list[Json]:  # what other tests did may have put other accounts into trouble
        return [message.body for message in watch.received(operations) if "erp.example" in json.dumps(message.body)]

    assert len(until(of_the_hook, "a message to the operators")) == 1


# ---- Claims


def test_the_first_order_that_shows_a_key_owns_it(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    key = key_of(700003)
    first, second = shop.invoice(invoice_key=key), shop.invoice(invoice_key=key)
    shop.notify(first)
    checked(watch, first, "ok")
    shop.notify(second)

    (record,) = told(watch, second)

    schema = json.loads((ROOT / "docs" / "schemas" / "failing.v1.schema.json").read_text())
    jsonschema.validate(record, schema)
    error = record["data"]["problems"][0]
    assert (error["code"], error["reused_in"]) == ("reused", first)

    mend(stack, first, key_of(700004))
    stack.invoke("RecheckFailuresFunction", {"all": True})
    assert told(watch, second, times=2)[-1]["type"] == RESOLVED
