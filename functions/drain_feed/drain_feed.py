"""DrainFeedFunction: queues what VTEX's feed knows and the hook missed."""

import gc

gc.disable()  # until all is made: imports leave no garbage to look for (docs/decisions/0032)

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
from invoicekey.runtime.settings import DrainSettings, OfAccounts
from invoicekey.runtime.telemetry import as_handler
from invoicekey.vtex.client import RateLimiter, Vtex
from invoicekey.vtex.feed import Feed
from invoicekey.vtex.subscriptions import Configurations
from invoicekey.work.drain import PROMISED, DrainFeed, OwnFeeds
from invoicekey.work.rounds import AT_ONCE, Rounds, SharedBackoff, accounts_served

of_accounts = OfAccounts(DrainSettings, os.environ)
settings = of_accounts.of_stack
table = Table(aws.client("dynamodb", aws.QUICK, connections=AT_ONCE), settings.ledger_table)
secret = CachedSecret(aws.client("secretsmanager", aws.QUICK), settings.vtex.credentials_secret_arn)
credentials = AccountCredentials(
    secret, lambda: aws.client("ssm", aws.QUICK, connections=AT_ONCE), settings.vtex.credentials_prefix
)


def build() -> DrainFeed:
    """Put the parts together."""
    vtex = Vtex(
        settings.vtex.base_url,
        credentials=credentials.of,
        after_refusal=partial(credentials.after_refusal, of_same_app_key=True),
        limiter=RateLimiter(settings.vtex.requests_per_minute),
        default_backoff=settings.retry_base.total_seconds(),
        at_once=AT_ONCE,
    )
    sqs = aws.client("sqs", aws.QUICK, connections=AT_ONCE)
    return DrainFeed(
        of_accounts,
        Feed(vtex),
        HookQueue(sqs, settings.hook_queue_url, delay=settings.retry_base),
        keep_pace=vtex.keep_pace,
        backoff=SharedBackoff(vtex, Ledger(table), table),
        own_feeds=OwnFeeds(Configurations(vtex), RegistrationStates(table), credentials.of, hook_url=settings.hook_url),
        rounds=Rounds(table, "drain", PROMISED),
    )


drain_feed = build()
gc.freeze()
gc.enable()


@as_handler
def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Drain the feeds of all accounts; answer how many events became what."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    accounts = accounts_served(secret.value(), Accounts(table), settings.vtex.accounts)
    credentials.keep_all({name: account.credentials for name, account in accounts.items()})
    return asdict(drain_feed.run(accounts, lambda: deadline - time.monotonic()))
