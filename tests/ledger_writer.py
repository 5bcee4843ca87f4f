"""Writes what a version leaves behind: every kind of item in its ledger, and messages in its hook queue.

Before a release is followed by another, its state is kept, so that the next one can be shown to go on with it:

    PYTHONPATH=.:layers/invoicekey/python python -m tests.ledger_writer tests/data/ledger-1.0.json

(1.0.0 is older than this file: it was put, with whole_stack.py, beside the code of that version.)
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.client import BaseClient

from local.vtex_simulator import Fault
from tests.desk import ACCOUNT
from tests.keys import make_key
from tests.orders import own_order, sale
from tests.whole_stack import APP_KEYS, SECOND_ACCOUNT, WholeStack, whole_stack

OCCASIONS = ("2026-03-09T12:00:00Z", "2026-03-10T12:00:00Z")
FOREIGN_HOOK = {"filter": {"type": "FromWorkflow"}, "hook": {"url": "https://erp.example/hook", "headers": {}}}
QUEUED = ("VVJ-QUEUED-01", "VVJ-FED-01", "VVJ-SECOND-LOOK-01")
"""Orders that messages in the queue are about: of the hook, of the feed, of a re-check."""


class Dead(BaseException):
    """The function dies. Nothing may catch it."""


def main(file: Path) -> None:
    """Write the file."""
    with whole_stack() as stack:
        document = {"written_at": datetime.now(UTC).isoformat(), **written(stack)}
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def written(stack: WholeStack) -> dict[str, Any]:
    """Live through it; return the items, the messages that wait in the hook queue, and the ids of the records sent."""
    stack.vtex.hooks[APP_KEYS[SECOND_ACCOUNT]] = FOREIGN_HOOK
    stack.run("guard_hook")
    of_outages(stack)  # first, for what the failure queue holds is lost with it
    of_orders(stack)
    deferred(stack)
    of_a_second_account(stack)
    messages = in_the_queue(stack)
    summarised(stack)
    of_vtex_s_troubles(stack)
    return {"sent": [record["id"] for record in stack.records()], "messages": messages, "items": stack.items()}


def of_orders(stack: WholeStack) -> None:
    """Check orders of every outcome: four more alerts go out, and with that of the outage all that may at once."""
    stack.invoice("VVJ-GOOD-01", sale("643797"))
    stack.invoice("VVJ-OPEN-01", sale("643801", key=None))
    stack.invoice("VVJ-MENDED-01", sale("643802", key=None))
    stack.invoice("VVJ-DISMISSED-01", sale("643803", key=None))
    stack.invoice("VVJ-EXPIRED-01", sale("643804", key=None))
    stack.invoice("VVJ-WAITING-01")
    stack.invoice("VVJ-LAGGING-01", status="handling")
    stack.invoice("VVJ-CANCELED-01", sale("643805", key=None), status="canceled")
    stack.vtex.put_order(own_order(sale("643806", key=None), orderId="SITE-01"))
    stack.check("VVJ-GOOD-01", "VVJ-OPEN-01", "VVJ-MENDED-01", "VVJ-DISMISSED-01", "VVJ-EXPIRED-01")
    stack.check("VVJ-WAITING-01", "VVJ-LAGGING-01", "VVJ-CANCELED-01", "SITE-01")

    stack.invoice("VVJ-MENDED-01", sale("643802", key=key_of("643802")))
    stack.check("VVJ-MENDED-01")
    said = stack.desk.run(f"dismiss VVJ-DISMISSED-01 --account {ACCOUNT} --reason 'sent at the marketplace'")
    assert said.code == 0, said.all
    long_ago = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    change(f"order#{ACCOUNT}#VVJ-EXPIRED-01", "SET followed_from = :to, opened_at = :to", long_ago)
    stack.check("VVJ-EXPIRED-01")


def of_outages(stack: WholeStack) -> None:
    """Write reports down that cannot be sent: one not at all, one to the machines alone."""
    stack.invoice("VVJ-UNSENT-01", sale("643807", key=None))
    with stack.without_record_topic():
        stack.check("VVJ-UNSENT-01")
    stack.invoice("VVJ-UNALERTED-01", sale("643808", key=None))
    with stack.without_alert_topic():
        stack.check("VVJ-UNALERTED-01")


def of_a_second_account(stack: WholeStack) -> None:
    """Let another account have more failures than may be told at once."""
    for number in range(6):
        order_id = f"VVJ-MANY-{number}"
        stack.invoice(order_id, sale(f"64400{number}", key=None), account=SECOND_ACCOUNT)
        stack.check(order_id, account=SECOND_ACCOUNT)


def deferred(stack: WholeStack) -> None:
    """Let alerts wait for a digest; send the first one, and the first reminder."""
    stack.invoice("VVJ-TOLD-IN-A-DIGEST-01", sale("643809", key=None))
    stack.check("VVJ-TOLD-IN-A-DIGEST-01")
    stack.run("send_digest")
    stack.run("send_digest", reminder=True, scheduled=OCCASIONS[0])
    stack.invoice("VVJ-REUSED-01", sale("643797"))
    stack.check("VVJ-REUSED-01")


def in_the_queue(stack: WholeStack) -> list[dict[str, Any]]:
    """Let the receiver, the drain and the re-check queue an order each; return the messages as SQS has them."""
    hooked, fed, followed = QUEUED
    stack.invoice(followed, status="handling")
    stack.check(followed)
    stack.taken("HookQueueUrl")
    change(f"order#{ACCOUNT}#{followed}", "SET recheck_at = :to, list_at = :to", datetime.now(UTC).isoformat())
    stack.run("recheck_failures")
    stack.receive(hooked)
    stack.vtex.put_feed_event(ACCOUNT, fed)
    stack.run("drain_feed")
    messages: list[dict[str, Any]] = []
    while len(messages) < len(QUEUED):  # what the feed brought is delayed by a second
        messages += stack.taken("HookQueueUrl")
    return [{name: message[name] for name in ("Body", "MessageAttributes", "Attributes")} for message in messages]


def summarised(stack: WholeStack) -> None:
    """Let a digest and a reminder be written down and not sent, and a run die that had begun a digest."""
    end_leases(stack)
    with stack.without_alert_topic():
        stack.run("send_digest", reminder=True, scheduled=OCCASIONS[1])
        end_leases(stack)
        with dying_at_a_second_write_of(f"told#{SECOND_ACCOUNT}#digest"), suppress(Dead):
            stack.run("send_digest")
    stack.invoice("VVJ-DEFERRED-01", sale("643810", key=None))
    stack.check("VVJ-DEFERRED-01")


def of_vtex_s_troubles(stack: WholeStack) -> None:
    """Let a message go back to the queue, and an account ask for silence."""
    stack.invoice("VVJ-RETRIED-01", sale("643811", key=None))
    stack.vtex.fail(Fault("status", order_id="VVJ-RETRIED-01", times=2, status=500))
    for receives in (1, 2):
        stack.check("VVJ-RETRIED-01", attributes={"ApproximateReceiveCount": str(receives)})
    stack.invoice("VVJ-SILENT-01", sale("643812", key=None), account=SECOND_ACCOUNT)
    stack.vtex.fail(Fault("status", account=SECOND_ACCOUNT, times=1, status=429, retry_after=3600))
    stack.check("VVJ-SILENT-01", account=SECOND_ACCOUNT)


def key_of(number: str) -> str:
    """Return a good access key of an invoice."""
    return make_key(month=3, tax_id="11222333000181", number=int(number))


def change(key: str, expression: str, to: str) -> None:
    """Turn a clock in an item, which nobody can wait for."""
    boto3.client("dynamodb").update_item(
        TableName="ledger",
        Key={"pk": {"S": key}},
        UpdateExpression=expression,
        ExpressionAttributeValues={":to": {"S": to}},
    )


def end_leases(stack: WholeStack) -> None:
    """Let the leases of digests and reminders run out."""
    for item in stack.items():
        if item["pk"]["S"].startswith("told#") and "lease_until" in item:
            change(item["pk"]["S"], "SET lease_until = :to", datetime.now(UTC).isoformat())


@contextmanager
def dying_at_a_second_write_of(key: str) -> Iterator[None]:
    """Let the function die when it writes an item for the second time."""
    client: Any = BaseClient
    call, writes = client._make_api_call, []

    def dying(self: Any, operation: str, arguments: Any) -> Any:
        if operation == "PutItem" and arguments["Item"]["pk"] == {"S": key}:
            writes.append(key)
            if len(writes) > 1:
                raise Dead
        return call(self, operation, arguments)

    client._make_api_call = dying
    try:
        yield
    finally:
        client._make_api_call = call


if __name__ == "__main__":
    main(Path(sys.argv[1]))
