"""SendDigestFunction: tells what was deferred; for `{"reminder": true}` reminds of what is open."""

import gc

gc.disable()  # until all is made: imports leave no garbage to look for (docs/decisions/0032)

import os
import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from invoicekey.delivery.queues import AlertTopic
from invoicekey.ledger.accounts import Accounts
from invoicekey.ledger.failures import FailureLists
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.table import Table
from invoicekey.runtime import aws
from invoicekey.runtime.desk import DeskLinks
from invoicekey.runtime.secrets import CachedSecret
from invoicekey.runtime.settings import DigestSettings, OfAccounts
from invoicekey.runtime.telemetry import as_handler
from invoicekey.work.digest import Digests, SummaryStates
from invoicekey.work.own_settings import OwnSettings

of_accounts = OfAccounts(DigestSettings, os.environ)
settings = of_accounts.of_stack


def _desk_links(settings: DigestSettings) -> DeskLinks:
    if not settings.desk_url:
        return DeskLinks()
    secret = CachedSecret(aws.client("secretsmanager", aws.QUICK), settings.desk_secret_arn)
    return DeskLinks(settings.desk_url, secret)


table = Table(aws.client("dynamodb", aws.PATIENT), settings.ledger_table)
own = OwnSettings(Accounts(table), of_accounts.of)
digests = Digests(
    Backlog(table),
    SummaryStates(table),
    AlertTopic(aws.client("sns", aws.PATIENT), settings.alert_topic_arn),
    lambda account: own.of(account).style,
    settings.lease,
    failures=FailureLists(table),
    accounts=settings.accounts,
    is_off=own.is_off,
    desk_link=_desk_links(settings).to,
)
gc.freeze()
gc.enable()


@as_handler
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Tell, and answer how many went out."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000

    def seconds_left() -> float:
        return deadline - time.monotonic()

    if event.get("reminder") is True:
        return {"reminders": digests.send_reminders(seconds_left, occasion=event.get("scheduled"))}
    return {"digests": digests.send_digests(seconds_left)}
