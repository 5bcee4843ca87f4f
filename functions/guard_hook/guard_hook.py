"""GuardHookFunction: keeps the hook and feed configurations at VTEX alive."""

import gc

gc.disable()  # until all is made: imports leave no garbage to look for (docs/decisions/0032)

import os
import time
from dataclasses import asdict
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from invoicekey.delivery.topics import Topics
from invoicekey.ledger.accounts import Accounts
from invoicekey.ledger.activity import Activities
from invoicekey.ledger.entries import Ledger
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.registrations import RegistrationStates
from invoicekey.ledger.table import Table
from invoicekey.runtime import aws
from invoicekey.runtime.secrets import AccountCredentials, CachedSecret
from invoicekey.runtime.settings import GuardSettings, OfAccounts
from invoicekey.runtime.telemetry import as_handler
from invoicekey.vtex.client import RateLimiter, Vtex
from invoicekey.vtex.subscriptions import Configurations
from invoicekey.work.guard import PROMISED, HookGuard
from invoicekey.work.rounds import AT_ONCE, Rounds, SharedBackoff, accounts_served
from invoicekey.work.silence import AccountWatch

of_accounts = OfAccounts(GuardSettings, os.environ)
settings = of_accounts.of_stack
secrets_manager = aws.client("secretsmanager", aws.QUICK, connections=AT_ONCE)
secret = CachedSecret(secrets_manager, settings.vtex.credentials_secret_arn)
table = Table(aws.client("dynamodb", aws.QUICK, connections=AT_ONCE), settings.ledger_table)
credentials = AccountCredentials(
    secret, lambda: aws.client("ssm", aws.QUICK, connections=AT_ONCE), settings.vtex.credentials_prefix
)
topics = Topics(aws.client("sns", aws.QUICK))


def build() -> HookGuard:
    """Put the parts together."""
    vtex = Vtex(
        settings.vtex.base_url,
        credentials.of,
        RateLimiter(settings.vtex.requests_per_minute),
        after_refusal=partial(credentials.after_refusal, of_same_app_key=True),
        at_once=AT_ONCE,
    )
    return HookGuard(
        of_accounts,
        CachedSecret(secrets_manager, settings.hook_secret_arn),
        Configurations(vtex),
        credentials=credentials.of,
        keep_pace=vtex.keep_pace,
        topics=topics,
        notes=RegistrationStates(table),
        backlog=Backlog(table),
        backoff=SharedBackoff(vtex, Ledger(table), table),
        rounds=Rounds(table, "guard", PROMISED),
    )


hook_guard = build()
account_watch = AccountWatch(settings, Activities(table), topics)
gc.freeze()
gc.enable()


@as_handler
def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Guard the hooks and feeds of all accounts; answer what was found and done."""
    deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000
    accounts = accounts_served(secret.value(), Accounts(table), settings.vtex.accounts)
    credentials.keep_all({name: account.credentials for name, account in accounts.items()})
    watch = hook_guard.run(accounts, lambda: deadline - time.monotonic())
    account_watch.run(accounts, watch)
    return asdict(watch)
