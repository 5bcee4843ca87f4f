"""DeliverReportsFunction: sends the reports that the ledger's writes carry."""

import os
from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

from invoicekey import telemetry
from invoicekey.deliver import Deliveries, Written
from invoicekey.ledger import Ledger, entry_of, ref_of
from invoicekey.outlets import Outlets
from invoicekey.settings import DeliverySettings
from invoicekey.table import Table
from invoicekey.telemetry import logger, metrics

_AWS = Config(
    connect_timeout=1, read_timeout=2, max_pool_connections=10, retries={"total_max_attempts": 3, "mode": "standard"}
)

settings = DeliverySettings.read(os.environ)
deliveries = Deliveries(
    Ledger(Table(boto3.client("dynamodb", config=_AWS), settings.ledger_table)),
    Outlets(
        sqs=lambda: boto3.client("sqs", config=_AWS),
        sns=lambda: boto3.client("sns", config=_AWS),
        hook_queue="",
        dead_letters="",
        failures=settings.failure_queue_url,
        alerts=settings.alert_topic_arn,
    ),
    settings.limit,
)


@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Deliver a batch of a shard; answer which of it is to be handed out again."""
    written = [one for change in event["Records"] if (one := _written(change["dynamodb"]))]
    failed = deliveries.deliver(written, datetime.now(UTC))
    return {"batchItemFailures": [{"itemIdentifier": sequence} for sequence in failed]}


def _written(change: dict[str, Any]) -> Written | None:
    """Read a write of the stream; one that somebody made by hand and that can't be read must not keep up the shard."""
    deserializer = TypeDeserializer()
    was = change.get("OldImage", {}).get("report", {}).get("M", {}).get("number")
    try:
        if change["NewImage"]["report"]["M"]["number"] == was:
            return None  # another write of the same report, such as one that puts a reading off
        image = {name: deserializer.deserialize(value) for name, value in change["NewImage"].items()}
        return Written(change["SequenceNumber"], entry_of(ref_of(image["pk"]), image))
    except (KeyError, TypeError, ValueError):
        telemetry.count("ledger_unreadable")
        logger.error("a report can't be read in the stream", extra={"sequence": change.get("SequenceNumber")})
        return None
