"""The operators' commands, as they are typed, against the deployed stack: its ledger, logs and queues."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local import events
from local.reader import open_link
from local.stack import KEYS, ROOT, STACK_NAME, LocalStack
from local.watch import Watch, until
from tests.stack.shop import ADDED, Shop, app_key

pytestmark = pytest.mark.stack


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return what was written for machines."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Operator:
    """Somebody at a shell, who has the AWS keys of the stack."""

    stack: LocalStack
    home: Path

    def types(self, *arguments: str, **environment: str) -> Said:
        """Run `invoicekey …` to its end."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        ended = subprocess.run(
            [sys.executable, "-m", "operations", "--stack", STACK_NAME, *arguments],
            cwd=self.home,
            env={
                **own, **KEYS, "AWS_ENDPOINT_URL": self.stack.endpoint, "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true",
                "XDG_STATE_HOME": str(self.home), "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/invoicekey/python'}",
                **environment,
            },
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return Said(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def operator(stack: LocalStack, tmp_path: Path) -> Operator:
    return Operator(stack, tmp_path)


@pytest.fixture
def failing(shop: Shop, watch: Watch) -> str:
    """Return an order that is failing, and told."""
    order_id = shop.invoice()
    shop.notify(order_id)
    until(lambda: watch.ledger_item(order_id).get("report", {}).get("alerted"), f"the report about {order_id}")
    return order_id


def test_an_operator_finds_explains_and_dismisses_a_failure(operator: Operator, failing: str, watch: Watch) -> None:
    account = ("--account", events.ACCOUNT)

    checked = operator.types("check", failing, *account)
    listed = until(lambda: [one for one in _failures(operator) if one["order"] == failing], "the index")
    explained = operator.types("explain", failing, *account)
    rechecked = operator.types("recheck", failing.lower(), *account)
    dismissed = operator.types("dismiss", failing, "--reason", "updated in the portal", *account)
    taken_back = operator.types("undismiss", failing, *account)

    assert checked.code == 3
    assert "✗ there" in checked.out
    assert listed[0]["codes"] == ["missing"]
    assert "VTEX's hook brought an event" in explained.out
    assert "read at VTEX and judged: failing (missing); reported as number 1" in explained.out
    assert (explained.code, dismissed.code, taken_back.code) == (3, 0, 0)
    assert (rechecked.code, rechecked.out.partition(":")[0]) == (3, failing)
    assert "still failing: missing" in rechecked.out
    # Number 2 told machines that it was dismissed; by number 3 it is told anew.
    until(lambda: watch.ledger_item(failing)["report"]["number"] == 3, "the report after the dismissal was taken back")


def test_an_operator_puts_a_failure_off_and_opens_its_page(operator: Operator, failing: str, watch: Watch) -> None:
    account = ("--account", events.ACCOUNT)

    snoozed = operator.types("snooze", failing, "--days", "3", *account)
    linked = operator.types("desk", failing, *account)
    page = open_link(linked.out.strip())
    listed = until(
        lambda: [one for one in _failures(operator) if (one["order"], one["state"]) == (failing, "snoozed")],
        "the index of failures",
    )
    taken_back = operator.types("snooze", failing, "--undo", *account)

    assert (snoozed.code, linked.code, taken_back.code) == (0, 0, 0), (snoozed.err, linked.err, taken_back.err)
    assert page.status == 200
    assert failing in page.html
    assert listed[0]["snoozed_until"]


def test_an_account_that_an_operator_adds_is_checked_until_it_is_removed(
    operator: Operator, shop: Shop, watch: Watch
) -> None:
    file = operator.home / "shops.csv"
    file.touch(mode=0o600)
    file.write_text(f"account,app_key,app_token,AlertLanguage\n{ADDED},{app_key(ADDED)},token,en\n", "utf-8")

    shop.notify(shop.invoice())  # so that the receiver has started when VTEX pings it
    added = operator.types("accounts", "add", "--from", str(file))
    again = operator.types("accounts", "add", "--from", str(file))
    alerted = operator.types("accounts", "set", ADDED, "--alert-email", "fiscal@example.com")
    assert (added.code, added.out) == (0, "1 account: 1 done.\n"), added
    assert (again.code, again.out) == (0, "1 account: 0 done, 1 skipped.\n"), again
    assert alerted.code == 0, alerted
    order_id = shop.invoice(ADDED)
    shop.notify(order_id, account=ADDED)
    until(lambda: watch.ledger_item(order_id, ADDED).get("report", {}).get("alerted"), f"the report about {order_id}")
    listed = {one["account"]: one for one in operator.types("accounts", "list", "--json").json["accounts"]}
    undecided = operator.types("accounts", "remove", ADDED, "--yes")
    removed = operator.types("accounts", "remove", ADDED, "--yes", "--close-open")
    gone = operator.types("accounts", "set", ADDED, "--off")

    assert (undecided.code, removed.code, gone.code) == (2, 0, 2)
    line = listed[ADDED]
    assert (line["credentials"], line["hook"], line["open"]) == ("own place", "ours", 1)
    assert line["emails"][0].startswith("fiscal@example.com")
    assert watch.ledger_item(order_id, ADDED)["set_aside"] == "dismissed"


def _failures(operator: Operator) -> list[dict[str, Any]]:
    said = operator.types("failures", "--format", "json")
    assert said.code in {0, 3}, said.err
    failures: list[dict[str, Any]] = said.json
    return failures


def test_a_backfill_lists_what_is_stuck_and_open_has_it_checked(operator: Operator, shop: Shop, watch: Watch) -> None:
    order_id = shop.invoice(invoicedDate="2026-09-05T12:00:00.0000000+00:00")

    said = operator.types(
        "backfill", "--from", "2026-09-01", "--to", "2026-09-30", "--account", events.ACCOUNT, "--open",
        "--format", "json",
    )  # fmt: skip

    assert said.code == 3, said.err
    assert [one["order_id"] for one in said.json["failing"]] == [order_id]
    until(lambda: watch.checks(order_id), "a check of it")


def test_a_real_alarm_rings_for_a_moment_and_is_put_back(operator: Operator, stack: LocalStack) -> None:
    """The emulator carries the action out, and writes the changes of state into the history; the action it does not."""
    watch = stack.client("cloudwatch")
    (before,) = _alarms(watch, "DeadLettersAlarm")

    said = operator.types("alarms", "test", "--alarm", "DeadLettersAlarm", "--wait", "1")

    (after,) = _alarms(watch, "DeadLettersAlarm")
    history = watch.describe_alarm_history(AlarmName=before["AlarmName"], HistoryItemType="StateUpdate")
    changes = [item["HistorySummary"] for item in history["AlarmHistoryItems"]]
    assert (said.code, said.err) == (1 if _listeners(stack) else 3, "")
    assert "has no action for" in said.out
    assert f"DeadLettersAlarm is {before['StateValue']} again" in said.out
    assert after["StateValue"] == before["StateValue"]
    assert changes[:2] == [
        f"Alarm updated from ALARM to {before['StateValue']}", f"Alarm updated from {before['StateValue']} to ALARM",
    ]  # fmt: skip


def _listeners(stack: LocalStack) -> list[Any]:
    """Return who hears the operations topic: nobody at first, and what other tests have subscribed by now."""
    topic = stack.outputs["OperationsTopicArn"]
    found = stack.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return [one for one in found if one["SubscriptionArn"].startswith("arn:")]


def _alarms(watch: Any, name: str) -> list[Any]:
    return [alarm for alarm in watch.describe_alarms()["MetricAlarms"] if name in alarm["AlarmName"]]


def test_a_dead_letter_is_counted_then_moved_and_checked(
    operator: Operator, stack: LocalStack, shop: Shop, watch: Watch
) -> None:
    order_id = shop.invoice()
    body = json.dumps(events.notification(order_id))
    attributes = {"reason": {"DataType": "String", "StringValue": "gave_up"}}
    queue = stack.outputs["HookDeadLetterQueueUrl"]
    stack.client("sqs").send_message(QueueUrl=queue, MessageBody=body, MessageAttributes=attributes)

    counted = operator.types("redrive", "--reason", "gave_up")
    moved = operator.types("redrive", "--reason", "gave_up", "--yes")

    assert "To send 1 back: invoicekey redrive --reason gave_up --yes" in counted.err
    assert moved.out.startswith("1 message moved (1 gave_up)")
    until(lambda: watch.checks(order_id), "a check of it")


def test_whoever_may_not_is_told_so_in_one_line(operator: Operator) -> None:
    stranger = {"AWS_ACCESS_KEY_ID": "AKIASTRANGER00000000", "AWS_SECRET_ACCESS_KEY": "no"}
    said = operator.types("failures", **stranger)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "Traceback" not in said.err


def test_an_unknown_stack_is_told_so_in_one_line(operator: Operator) -> None:
    said = operator.types("failures", "--stack", "no-such-stack")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)


# ---- The version


def test_the_command_the_stack_and_its_functions_are_of_one_version(operator: Operator, stack: LocalStack) -> None:
    version = stack.outputs["Version"]
    assert operator.types("--version").out == f"invoicekey {version}\n"
    found = operator.types("doctor", "--json").json["findings"]
    assert f"the stack and this command are of version {version}" in [finding["says"] for finding in found]
    functions = stack.client("lambda").list_functions()["Functions"]
    told = {one["Environment"]["Variables"].get("INVOICEKEY_VERSION") for one in functions if "Environment" in one}
    assert told == {version}
