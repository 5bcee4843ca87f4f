"""RecheckFailuresFunction: queues the open failures again that are due; all of them for `{"all": true}`."""

import os
import time
from dataclasses import asdict
from typing import Any

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from invoicekey.backlog import Backlog
from invoicekey.outlets import HookQueue
from invoicekey.recheck import PARALLEL, Recheck
from invoicekey.settings import RecheckSettings
from invoicekey.table import Table
from invoicekey.telemetry import metrics

_AWS = Config(
    connect_timeout=1,
    read_timeout=5,
    max_pool_connections=PARALLEL,
    retries={"total_max_attempts": 3, "mode": "standard"},
)

settings = RecheckSettings.read(os.environ)
recheck = Recheck(
    Backlog(Table(boto3.client("dynamodb", config=_AWS), settings.ledger_table)),
    HookQueue(boto3.client("sqs", config=_AWS), settings.hook_queue_url),
)


@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Queue, and answer how many."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    return asdict(recheck.run(lambda: deadline - time.monotonic(), everything=event.get("all") is True))
