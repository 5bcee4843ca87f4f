"""CheckInvoiceFunction: checks the orders that the hook queue names."""

import gc

gc.disable()  # until all is made: imports leave no garbage to look for (docs/decisions/0032)

import os
import time
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from invoicekey.delivery.queues import HOOK, Message, Outlets
from invoicekey.ledger.activity import Activities
from invoicekey.ledger.entries import Ledger
from invoicekey.ledger.table import Table
from invoicekey.runtime import aws
from invoicekey.runtime.desk import DeskLinks
from invoicekey.runtime.secrets import AccountCredentials, CachedSecret
from invoicekey.runtime.settings import CheckerSettings, OfAccounts
from invoicekey.runtime.telemetry import as_handler
from invoicekey.vtex.client import RateLimiter, Vtex
from invoicekey.work.batch import AccountRules, BatchCheck, rules_of
from invoicekey.work.check import Clock

settings = OfAccounts(CheckerSettings, os.environ)


def build(of_accounts: OfAccounts[CheckerSettings]) -> BatchCheck:
    """Put the parts together."""
    settings = of_accounts.of_stack
    secrets_manager = aws.client("secretsmanager", aws.QUICK)
    credentials = AccountCredentials(
        CachedSecret(secrets_manager, settings.credentials_secret_arn),
        ssm=lambda: aws.client("ssm", aws.QUICK),
        prefix=settings.credentials_prefix,
    )
    vtex = Vtex(
        settings.vtex_base_url,
        credentials=credentials.of,
        after_refusal=credentials.after_refusal,
        limiter=RateLimiter(settings.requests_per_minute, settings.burst),
        default_backoff=settings.retry_base.total_seconds(),
    )
    table = Table(aws.client("dynamodb", aws.QUICK), settings.ledger_table)
    ledger = Ledger(table)
    outlets = Outlets(
        sqs=lambda: aws.client("sqs", aws.QUICK),
        sns=lambda: aws.client("sns", aws.QUICK),
        hook_queue=settings.hook_queue_url,
        dead_letters=settings.dead_letter_queue_url,
        records=settings.record_topic_arn,
        alerts=settings.alert_topic_arn,
    )
    desk_link = _desk_links(settings, secrets_manager).to

    def of_account(own: Mapping[str, str]) -> AccountRules:
        return rules_of(own, of_accounts, vtex, ledger, desk_link)

    return BatchCheck(
        vtex,
        ledger,
        outlets,
        of_account,
        settings.retry_base,
        activities=Activities(table),
        keep_credentials=credentials.keep_all,
    )


def _desk_links(settings: CheckerSettings, secrets_manager: Any) -> DeskLinks:
    if not settings.desk_url:
        return DeskLinks()
    return DeskLinks(settings.desk_url, CachedSecret(secrets_manager, settings.desk_secret_arn))


batch_check = build(settings)
gc.freeze()
gc.enable()


@as_handler
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
