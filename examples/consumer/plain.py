"""Reads the failure queue: handles each record once, and of an order never an older one after a newer. Needs boto3."""

import json
import logging
import os
import sqlite3
from typing import Any

import boto3

TABLE = "CREATE TABLE IF NOT EXISTS orders (account, order_id, report, PRIMARY KEY (account, order_id))"
# The same id is the same report: what comes again, and what is older than what was handled, changes no row.
NOTE = """INSERT INTO orders VALUES (:account, :order_id, :report) ON CONFLICT (account, order_id)
          DO UPDATE SET report = excluded.report WHERE excluded.report > orders.report"""


def handle(record: dict[str, Any]) -> None:
    """Do what there is to do about an order: this is yours."""
    codes = [problem["code"] for problem in record["data"]["problems"]]
    print(record["id"], record["type"], record["subject"], *codes, flush=True)


if __name__ == "__main__":
    sqs, queue = boto3.client("sqs"), os.environ["FAILURE_QUEUE_URL"]
    notes = sqlite3.connect(os.environ.get("NOTES", "consumer.sqlite3"))
    notes.execute(TABLE)
    while True:
        received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20, VisibilityTimeout=60)
        for message in received.get("Messages", []):
            try:
                record = json.loads(message["Body"])
                with notes:  # handled and noted, or neither
                    if notes.execute(NOTE, record["data"]).rowcount:
                        handle(record)
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            except Exception:
                logging.exception("not handled or not deleted: SQS brings it again")
