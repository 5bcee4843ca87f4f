"""DrainFeedFunction: queues what VTEX's feed knows and the hook missed."""

import os
import time
from dataclasses import asdict
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from invoicekey.delivery.queues import HookQueue
from invoicekey.ledger.accounts import Accounts
from invoicekey.ledger.entries import Ledger
from invoicekey.ledger.registrations import RegistrationStates
from invoicekey.ledger.table import Table
from invoicekey.runtime import aws
from invoicekey.runtime.secrets import AccountCredentials, CachedSecret
from invoicekey.runtime.settings import DrainSettings
from invoicekey.runtime.telemetry import log_figures
from invoicekey.vtex.client import RateLimiter, Vtex
from invoicekey.vtex.feed import Feed
from invoicekey.vtex.subscriptions import Configurations
from invoicekey.work.drain import DrainFeed, OwnFeeds
from invoicekey.work.rounds import Rounds, SharedBackoff, accounts_served

settings = DrainSettings.read(os.environ)
table = Table(aws.client("dynamodb", aws.QUICK), settings.ledger_table)
secret = CachedSecret(aws.client("secretsmanager", aws.QUICK), settings.vtex.credentials_secret_arn)
credentials = AccountCredentials(secret, lambda: aws.client("ssm", aws.QUICK), settings.vtex.credentials_prefix)


def build(settings: DrainSettings) -> DrainFeed:
    """Put the parts together."""
    vtex = Vtex(
        settings.vtex.base_url,
        credentials=credentials.of,
        after_refusal=partial(credentials.after_refusal, of_same_app_key=True),
        limiter=RateLimiter(settings.vtex.requests_per_minute),
        default_backoff=settings.retry_base.total_seconds(),
    )
    return DrainFeed(
        Feed(vtex),
        HookQueue(aws.client("sqs", aws.QUICK), settings.hook_queue_url, delay=settings.retry_base),
        SharedBackoff(vtex, Ledger(table), table),
        OwnFeeds(
            Configurations(vtex),
            RegistrationStates(table),
            credentials.of,
            hook_url=settings.hook_url,
            statuses=settings.vtex.watched_statuses,
        ),
        Rounds(table, "drain"),
        watched_statuses=settings.vtex.watched_statuses,
    )


drain_feed = build(settings)


@log_figures
def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Drain the feeds of all accounts; answer how many events became what."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    accounts = accounts_served(secret.value(), settings.vtex.accounts)
    own = Accounts(table).read(accounts)
    credentials.keep_all({account.name: account.credentials for account in own.values() if account})
    return asdict(drain_feed.run(accounts, lambda: deadline - time.monotonic()))
