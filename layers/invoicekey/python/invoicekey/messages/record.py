"""What is sent to machines: CloudEvents 1.0 in JSON, one record an event in an order's life.

The models here are the contract of the failure queue; docs/schemas holds their JSON Schemas. A field may be added; none
changes its meaning without a new version of the type.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from invoicekey.messages import texts
from invoicekey.rules import markup
from invoicekey.rules.order import Order
from invoicekey.rules.verdict import Code, Problem, Severity, SuggestionSource

FIELD_LENGTH = 64
MOST_PROBLEMS = 200
"""So many at the most stand in one record, errors first, for SQS takes 256 KiB; `problems_found` counts them all."""


class RecordType(StrEnum):
    """What happened to an order."""

    FAILING = "invoicekey.order.failing.v1"
    RESOLVED = "invoicekey.order.resolved.v1"
    EXPIRED = "invoicekey.order.expired.v1"


class CloseReason(StrEnum):
    """Why a failure is closed."""

    OK = "ok"
    CANCELED = "canceled"
    RETURNED = "returned"
    NOT_INVOICED = "not_invoiced"
    NOT_FOUND = "not_found"
    DISMISSED = "dismissed"


ShortText = Annotated[str, Field(max_length=FIELD_LENGTH)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


class ProblemEntry(_Model):
    """One problem of one invoice, as machines see it."""

    code: Code
    severity: Severity
    invoice_number: ShortText | None
    invoice_key: ShortText | None
    suggested_key: str | None
    suggested_from: SuggestionSource | None
    reused_in: str | None
    """With `reused`: the order that carries the key as well."""
    message: str
    """For people, in AlertLanguage."""


class Links(_Model):
    """Where a person goes on."""

    order: str


class Data(_Model):
    """The order, as far as it was read, and what is wrong with it."""

    report: int = Field(ge=1)
    """Only grows for an order: consumers keep the highest."""
    account: str
    order_id: str
    marketplace_order_id: ShortText | None
    affiliate_id: ShortText | None
    order_status: ShortText | None
    invoiced_at: ShortText | None
    """As VTEX writes it."""
    first_seen_at: str
    problems: tuple[ProblemEntry, ...]
    problems_found: int
    links: Links


class FailingData(Data):
    """Data of invoicekey.order.failing.v1."""


class ResolvedData(Data):
    """Data of invoicekey.order.resolved.v1: `problems` holds warnings alone."""

    reason: CloseReason


class ExpiredData(Data):
    """Data of invoicekey.order.expired.v1: what was still wrong when the failure expired."""


class _Record(_Model):
    specversion: Literal["1.0"] = "1.0"
    id: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of account, order, type and report number: the same for the same report, however often it is sent."""
    source: str
    subject: str
    time: str
    datacontenttype: Literal["application/json"] = "application/json"


class FailingRecord(_Record):
    """An order began to fail, or fails otherwise than was reported."""

    type: Literal[RecordType.FAILING] = RecordType.FAILING
    data: FailingData


class ResolvedRecord(_Record):
    """A failure that was reported is closed."""

    type: Literal[RecordType.RESOLVED] = RecordType.RESOLVED
    data: ResolvedData


class ExpiredRecord(_Record):
    """A failure that was reported did not close in thirty days, and is not followed any longer."""

    type: Literal[RecordType.EXPIRED] = RecordType.EXPIRED
    data: ExpiredData


type Record = FailingRecord | ResolvedRecord | ExpiredRecord


def write[R: _Record](
    kind: type[R],
    account: str,
    order: Order,
    problems: Iterable[Problem],
    *,
    report: int,
    first_seen_at: datetime,
    now: datetime,
    language: str,
    reason: CloseReason | None = None,
) -> R:
    """Write a record of one of the types; `reason` is for a ResolvedRecord, which needs it, and for no other."""
    event_type, order_id = kind.model_fields["type"].default, str(order.order_id)
    found = sorted(problems, key=lambda problem: problem.severity is Severity.WARNING)
    data = {
        "report": report,
        "account": account,
        "order_id": order_id,
        "marketplace_order_id": shown(order.marketplace_order_id),
        "affiliate_id": shown(order.affiliate_id),
        "order_status": shown(order.status),
        "invoiced_at": shown(order.invoiced_date),
        "first_seen_at": timestamp(first_seen_at),
        "problems": tuple(_entry(problem, order_id, language) for problem in found[:MOST_PROBLEMS]),
        "problems_found": len(found),
        "links": Links(order=order_url(account, order_id)),
    } | ({"reason": reason} if reason else {})
    identity = "\n".join((account, order_id, event_type, str(report)))
    envelope = {
        "id": hashlib.sha256(identity.encode()).hexdigest(),
        "source": f"https://{account}.myvtex.com",
        "subject": order_id,
        "time": timestamp(now),
    }
    return kind.model_validate(envelope | {"data": data})


def as_sqs_takes_it(sent: Record) -> str:
    """Return a record as JSON, with the two characters escaped that are JSON as they are, and that SQS refuses."""
    return sent.model_dump_json().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def order_url(account: str, order_id: str) -> str:
    """Return the address of the order in VTEX's Admin."""
    return f"https://{account}.myvtex.com/admin/orders/{order_id}"


def timestamp(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(value: object) -> str | None:
    """Return a field as text, cut to 64 characters with `…`; XML in any wrapping, objects and lists are not shown."""
    if value is None:
        return None
    if isinstance(value, dict | list):
        return "(object)" if isinstance(value, dict) else "(list)"
    text = value if isinstance(value, str) else json.dumps(value)
    text = text.encode("utf-8", "replace").decode()
    if markup.is_markup(text):
        return "(xml)"
    return text if len(text) <= FIELD_LENGTH else text[: FIELD_LENGTH - 1] + "…"


def _entry(problem: Problem, order_id: str, language: str) -> ProblemEntry:
    suggestion = problem.suggestion
    return ProblemEntry(
        code=problem.code,
        severity=problem.severity,
        invoice_number=shown(problem.invoice_number),
        invoice_key=shown(problem.key_as_it_came),
        suggested_key=suggestion.key if suggestion else None,
        suggested_from=suggestion.source if suggestion else None,
        reused_in=(problem.reused_in or order_id) if problem.code is Code.REUSED else None,
        message=texts.problem_message(problem, order_id, language),
    )
