"""What was reported of an order, as its last record has it, and the report that is to be delivered next."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from invoicekey.ledger.entries import Entry, Report
from invoicekey.messages.fields import as_sqs_takes_it
from invoicekey.rules.verdict import Code, Problem, Suggestion, SuggestionSource

if TYPE_CHECKING:
    from invoicekey.messages.record import Record


class ReportedOrder(NamedTuple):
    """An order as its last record has it."""

    order_id: str | None
    marketplace_order_id: str | None
    affiliate_id: str | None
    status: str | None
    invoiced_date: str | None
    sale_invoices: tuple[()] = ()
    """None: a record holds no invoice but what is wrong with it."""
    returns: tuple[()] = ()


def pending(entry: Entry, sent: "Record", message: str | None, lease_until: datetime) -> Report:
    """Return a report that is to be delivered: a record, and an alert's message where people are to hear of it."""
    return Report(
        number=sent.data.report,
        type=sent.type,
        record=as_sqs_takes_it(sent.model_dump_json()),
        alert=message,
        lease_until=lease_until,
        alerted=message is None and not entry.is_in_digests,  # else there may be older news to be called off
    )


def order_as_reported(entry: Entry) -> ReportedOrder:
    """Return the order as its last record has it; it is not read at VTEX for this."""
    reported = _reported(entry)
    return ReportedOrder(
        order_id=entry.ref.order_id,
        marketplace_order_id=reported.get("marketplace_order_id"),
        affiliate_id=reported.get("affiliate_id"),
        status=reported.get("order_status"),
        invoiced_date=reported.get("invoiced_at"),
    )


def problems_as_reported(entry: Entry) -> tuple[Problem, ...]:
    """Return the problems that the last record has: those of an open failure. Of a long key the end is lost."""
    return tuple(_problem(problem, entry.ref.order_id) for problem in _reported(entry).get("problems", ()))


def _reported(entry: Entry) -> dict[str, Any]:
    reported: dict[str, Any] = json.loads(entry.report.record)["data"] if entry.report else {}
    return reported


def _problem(reported: Mapping[str, Any], order_id: str) -> Problem:
    code, key, owner, suggested = (
        Code(reported["code"]),
        reported["invoice_key"],
        reported.get("reused_in"),
        reported["suggested_key"],
    )
    return Problem(
        code,
        reported["invoice_number"],
        _NOT_REPEATED.get(key, key),
        suggestion=Suggestion(suggested, SuggestionSource(reported["suggested_from"])) if suggested else None,
        reused_in=owner if owner != order_id else None,
        is_overdue=reported["severity"] != code.severity,
    )


_NOT_REPEATED: Mapping[str | None, Any] = {"(xml)": "<", "(list)": [], "(object)": {}}
"""For what a record shows in the place of a field (record.shown): one of which the texts say the same."""
