"""Keeps which orders fail, from the records of invoicekey, and tells another system of each change.

A record is handled once, by its id, and an order ends as its newest record says, in whatever order records come.
"""

import json
import os
import time
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function
from aws_lambda_powertools.utilities.typing import LambdaContext

IS_OPEN = {
    "invoicekey.order.failing.v1": True,
    "invoicekey.order.resolved.v1": False,
    "invoicekey.order.expired.v1": False,
}
KEPT_SECONDS = 90 * 24 * 3600
"""Longer than a record can be on its way, and than an open failure goes without one: it expires after thirty days."""

logger = Logger(service="invoicekey-consumer")
orders = boto3.resource("dynamodb").Table(os.environ["ORDERS_TABLE_NAME"])
handled = DynamoDBPersistenceLayer(table_name=os.environ["HANDLED_TABLE_NAME"])
once = IdempotencyConfig("id", raise_on_no_idempotency_key=True, expires_after_seconds=KEPT_SECONDS)
# Where every record of a batch failed, each is tried again all the same: no reason to fail as a function.
processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False, logger=logger)  # type: ignore[arg-type]


def tell(record: dict[str, Any]) -> None:
    """Do in your system what a record asks for: this is yours. It may be called twice with the same record."""
    codes = [problem["code"] for problem in record["data"]["problems"]]
    logger.info("order told", order=order_of(record), report=record["data"]["report"], type=record["type"], codes=codes)


def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Handle a batch of the queue; what fails is tried again by itself, and is a dead letter after five times."""
    once.register_lambda_context(context)
    return process_partial_response(event=event, record_handler=take, processor=processor, context=context)


def take(record: SQSRecord) -> None:
    """Handle one message of the queue; KeyError, TypeError or ValueError where it is no record of invoicekey's."""
    handle(record=record.json_body)


@idempotent_function(data_keyword_argument="record", persistence_store=handled, config=once)  # type: ignore[untyped-decorator]
def handle(*, record: dict[str, Any]) -> None:
    """Keep a record, and tell how its order stands.

    A newer record may be kept while an older one is being told, and the older told last. So each looks once more
    when it has told, and ends when what it told is still the newest.
    """
    keep(record)
    told = 0
    while (newest := newest_of(record))["data"]["report"] > told:
        tell(newest)
        told = newest["data"]["report"]


def keep(record: dict[str, Any]) -> None:
    """Keep a record as its order's newest, unless one with its report number or a higher one is kept."""
    report = record["data"]["report"]
    item = {
        "order": order_of(record),
        "report": report,
        "is_open": IS_OPEN[record["type"]],
        "record": json.dumps(record),
        "expires_at": int(time.time()) + KEPT_SECONDS,
    }
    try:
        orders.put_item(
            Item=item,
            ConditionExpression="attribute_not_exists(report) OR report < :report",
            ExpressionAttributeValues={":report": report},
        )
    except orders.meta.client.exceptions.ConditionalCheckFailedException:
        logger.info("no newer record than is kept", order=item["order"], report=report)


def newest_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the newest record that is kept of a record's order."""
    item = orders.get_item(Key={"order": order_of(record)}, ConsistentRead=True)["Item"]
    newest: dict[str, Any] = json.loads(str(item["record"]))
    return newest


def order_of(record: dict[str, Any]) -> str:
    """Return what names an order in the table: its id belongs to its account."""
    return f"{record['data']['account']}/{record['data']['order_id']}"
