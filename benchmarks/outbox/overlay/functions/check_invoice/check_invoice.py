"""CheckInvoiceFunction: checks the orders that the hook queue names."""

import os
import time
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from invoicekey.batch import BatchCheck
from invoicekey.check import Clock, OrderCheck, Rules
from invoicekey.ledger import Ledger
from invoicekey.outlets import HOOK, Message, Outlets
from invoicekey.secrets import CachedSecret, vtex_credentials
from invoicekey.settings import CheckerSettings
from invoicekey.table import Table
from invoicekey.telemetry import metrics
from invoicekey.vtex import Pace, Vtex

_AWS = Config(
    connect_timeout=1, read_timeout=2, max_pool_connections=10, retries={"total_max_attempts": 3, "mode": "standard"}
)

settings = CheckerSettings.read(os.environ)


def build(settings: CheckerSettings) -> BatchCheck:
    """Put the parts together."""
    secret = CachedSecret(boto3.client("secretsmanager", config=_AWS), settings.credentials_secret_arn)
    vtex = Vtex(
        settings.vtex_base_url,
        credentials=lambda account: vtex_credentials(secret.value(), account),
        pace=Pace(settings.requests_per_minute),
        usual_silence=settings.retry_base.total_seconds(),
    )
    ledger = Ledger(Table(boto3.client("dynamodb", config=_AWS), settings.ledger_table))
    outlets = Outlets(
        sqs=lambda: boto3.client("sqs", config=_AWS),
        sns=lambda: boto3.client("sns", config=_AWS),
        hook_queue=settings.hook_queue_url,
        dead_letters=settings.dead_letter_queue_url,
        failures=settings.failure_queue_url,
        alerts=settings.alert_topic_arn,
    )
    rules = Rules(settings.policy, settings.style)
    order_check = OrderCheck(vtex, ledger, rules)
    return BatchCheck(vtex, ledger, outlets, order_check, settings.retry_base)


batch_check = build(settings)


@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Check a batch; answer which messages go back to the queue."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    clock = Clock(seconds_left=lambda: deadline - time.monotonic())
    messages = [_message(entry) for entry in event["Records"]]
    failed = batch_check.check(messages, clock)
    return {"batchItemFailures": [{"itemIdentifier": message.id} for message in messages if message.id in failed]}


def _message(entry: dict[str, Any]) -> Message:
    """Read an SQS event's record; a sample may leave out what SQS itself would add."""
    attributes = entry.get("attributes") or {}
    named = entry.get("messageAttributes") or {}
    return Message(
        id=entry["messageId"],
        body=entry["body"],
        receipt_handle=entry.get("receiptHandle") or "none",
        sent_at=float(attributes.get("SentTimestamp") or time.time() * 1000) / 1000,
        receive_count=int(attributes.get("ApproximateReceiveCount") or 1),
        correlation_id=(named.get("correlation_id") or {}).get("stringValue") or entry["messageId"],
        source=(named.get("source") or {}).get("stringValue") or HOOK,
    )
