"""DeskFunction: answers who opens a link to the desk."""

import gc

gc.disable()  # until all is made: imports leave no garbage to look for (docs/decisions/0032)

import base64
import binascii
import os
from functools import cache
from typing import Any
from urllib.parse import parse_qs

from invoicekey.delivery.queues import HookQueue, Outlets
from invoicekey.ledger.accounts import Accounts
from invoicekey.ledger.entries import Ledger
from invoicekey.ledger.failures import FailureLists
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.table import Table
from invoicekey.messages import pages
from invoicekey.runtime import aws
from invoicekey.runtime.desk import DeskLinks
from invoicekey.runtime.secrets import CachedSecret
from invoicekey.runtime.settings import DeskSettings, OfAccounts
from invoicekey.runtime.telemetry import as_handler
from invoicekey.work.acts import Acts
from invoicekey.work.desk import CHECKED_AFTER, AccountDesk, Answer, Desk, Request, Style
from invoicekey.work.desk_list import Lists
from invoicekey.work.own_settings import OwnSettings

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": pages.content_security_policy(),
}


def build(of_accounts: OfAccounts[DeskSettings]) -> Desk:
    """Put the parts together."""
    settings = of_accounts.of_stack
    table = Table(aws.client("dynamodb", aws.QUICK), settings.ledger_table)
    links = DeskLinks(
        settings.desk_url, CachedSecret(aws.client("secretsmanager", aws.QUICK), settings.desk_secret_arn)
    )
    own = OwnSettings(Accounts(table), of_accounts.of)

    @cache
    def in_style(style: Style) -> AccountDesk:
        ledger, failures = Ledger(table), FailureLists(table)
        outlets = Outlets(
            sqs=lambda: aws.client("sqs", aws.QUICK),
            sns=lambda: aws.client("sns", aws.QUICK),
            hook_queue=settings.hook_queue_url,
            dead_letters="",
            records=settings.record_topic_arn,
            alerts="",
        )
        return AccountDesk(
            links,
            ledger,
            lambda: HookQueue(aws.client("sqs", aws.QUICK), settings.hook_queue_url, delay=CHECKED_AFTER),
            Acts(ledger, outlets, settings.lease, style.language, by="link"),
            style,
            lists=Lists(failures, Backlog(table), style.language, style.timezone),
            failures=failures,
        )

    def of_account(account: str) -> AccountDesk:
        of_it = own.of(account)
        return in_style(Style(of_it.language, of_it.timezone))

    return Desk(links, of_account, settings.language)


desk = build(OfAccounts(DeskSettings, os.environ))
gc.freeze()
gc.enable()


@as_handler
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer an event of the HTTP API (payload format 2.0)."""
    method = event["requestContext"]["http"]["method"]
    request = Request(
        method,
        token=(event.get("pathParameters") or {}).get("token", ""),
        query=parse_qs(event.get("rawQueryString") or ""),
        form=_form(event) if method == "POST" else {},
    )
    return _shown(desk.answer(request), is_wanted=method != "HEAD")


def _form(event: dict[str, Any]) -> dict[str, list[str]]:
    """Read a form; one that can't be read has no field."""
    body = event.get("body") or ""
    try:
        text = base64.b64decode(body, validate=True).decode() if event.get("isBase64Encoded") else body
        return parse_qs(text, keep_blank_values=True, max_num_fields=500)
    except (binascii.Error, ValueError):
        return {}


def _shown(answer: Answer, *, is_wanted: bool) -> dict[str, Any]:
    headers = {**HEADERS, "Content-Type": answer.content_type}
    if answer.location:
        headers["Location"] = answer.location
    if answer.filename:
        headers["Content-Disposition"] = f'attachment; filename="{answer.filename}"'
    return {"statusCode": answer.status, "headers": headers, "body": answer.body if is_wanted else ""}
