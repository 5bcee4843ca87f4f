"""RecheckFailuresFunction: queues the open failures again that are due; all of them for `{"all": true}`."""

import gc

gc.disable()  # until all is made: imports leave no garbage to look for (docs/decisions/0032)

import os
import time
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from invoicekey.delivery.queues import HookQueue
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.table import Table
from invoicekey.runtime import aws
from invoicekey.runtime.settings import RecheckSettings
from invoicekey.runtime.telemetry import as_handler
from invoicekey.work.recheck import Recheck

settings = RecheckSettings.read(os.environ)
recheck = Recheck(
    Backlog(Table(aws.client("dynamodb", aws.PATIENT), settings.ledger_table)),
    HookQueue(aws.client("sqs", aws.PATIENT), settings.hook_queue_url),
)
gc.freeze()
gc.enable()


@as_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Queue, and answer how many."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    return asdict(recheck.run(lambda: deadline - time.monotonic(), everything=event.get("all") is True))
