"""The deployed template in the emulator: from the hook to the record in the failure queue, one order at a time.

The emulator wakes its poller at each write of a table, so its latency is not AWS's; what this shows is that the parts
fit: stream, filter, function, permissions. It does not know partial answers of streams. ::

    .venv/bin/python -m benchmarks.outbox.emulated
    benchmarks/outbox/overlaid.sh python -m benchmarks.outbox.emulated
"""

import json
import statistics
import time
from pathlib import Path

from local import events
from local.processes import free_ports
from local.stack import STATE, LocalStack
from tests.orders import cnova_order, sale

ORDERS = 20


def main() -> None:
    """Deploy, post, and print what came."""
    emulator, vtex = free_ports(2)
    parameters = {**events.PARAMETERS, "RetryBaseSeconds": "1", "AlertBurst": "5"}
    with LocalStack(emulator, vtex, Path(STATE) / "emulated", parameters, say=print) as stack:
        sqs, queue = stack.client("sqs"), stack.outputs["FailureQueueUrl"]
        took = []
        for number in range(ORDERS + 1):
            order = f"VVJ-{number}-01"
            stack.vtex("PUT", "orders", [cnova_order(sale(key=None), orderId=order, hostname=events.ACCOUNT)])
            body = {"OrderId": order, "State": "invoiced", "Origin": {"Account": events.ACCOUNT, "Key": "k"}}
            began = time.time()
            status = stack.post_hook(json.dumps(body).encode())
            message = _wait_for(sqs, queue)
            if number:  # the first pays for the cold starts
                took.append(int(message["Attributes"]["SentTimestamp"]) / 1000 - began)
            assert (status, json.loads(message["Body"])["subject"]) == (200, order)
        print(f"hook to record: median {statistics.median(took) * 1000:.0f} ms, most {max(took) * 1000:.0f} ms")
        time.sleep(3)
        table = stack.client("dynamodb").scan(TableName=stack.outputs["LedgerTableName"])["Items"]
        kinds = [item["pk"]["S"].partition("#")[0] for item in table]
        print("items of the ledger:", {kind: kinds.count(kind) for kind in sorted(set(kinds))})
        for group in stack.client("logs").describe_log_groups()["logGroups"]:
            if "DeliverReports" in group["logGroupName"]:
                lines = stack.client("logs").filter_log_events(logGroupName=group["logGroupName"])["events"]
                print("invocations of the deliverer:", sum('"_aws"' in line["message"] for line in lines))


def _wait_for(sqs: object, queue: str) -> dict[str, object]:
    end = time.time() + 30
    while time.time() < end:
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1, AttributeNames=["All"], WaitTimeSeconds=1)
        for message in found.get("Messages", []):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return message
    raise SystemExit("no record came")


if __name__ == "__main__":
    main()
