"""What is sent to machines: CloudEvents 1.0 in JSON, one record an event in an order's life.

The models here are the contract of the failure queue; docs/schemas holds their JSON Schemas. The text under each field
is its description there: local/schemas.py reads it in the source, the functions never do. A field may be added; none
changes its meaning without a new version of the type.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from invoicekey.messages import texts
from invoicekey.messages.fields import (
    FIELD_LENGTH,
    CloseReason,
    OrderShown,
    RecordType,
    order_url,
    shown,
    timestamp,
)
from invoicekey.rules.verdict import Code, Problem, Severity, SuggestionSource

MOST_PROBLEMS = 200
"""So many at the most stand in one record, errors first, for SQS takes 256 KiB; `problems_found` counts them all."""


# What is extra is for the schemas alone: what is written here keeps to it by itself.
_SHOWN = {"description": "Cut to 64 characters, the last of them …; (xml), (list) or (object) where the field is one."}
ShortText = Annotated[str, Field(max_length=FIELD_LENGTH, json_schema_extra=_SHOWN)]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Address = Annotated[str, Field(json_schema_extra={"format": "uri"})]
Account = Annotated[str, Field(json_schema_extra={"pattern": "^[a-z0-9][a-z0-9-]{0,62}$"})]
GoodKey = Annotated[str, Field(json_schema_extra={"pattern": "^[0-9]{6}[A-Z0-9]{12}[0-9]{26}$"})]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


class ProblemEntry(_Model):
    """One problem of one invoice, as machines see it."""

    code: Code
    """What is wrong. Codes may be added."""
    severity: Severity
    """Go by this, not by the code: with the setting TrackingGraceHours, tracking_missing and courier_missing become
    errors."""
    invoice_number: ShortText | None
    """The sale invoice's number as text, as it stands at VTEX. Null where VTEX has none, and with no_invoice."""
    invoice_key: ShortText | None
    """The invoice's key field as text, as it stands at VTEX, whatever that is. Null where VTEX has none, and with
    no_invoice."""
    suggested_key: GoodKey | None
    """A valid key that was found for this invoice, for a person to look at. Null where none was found."""
    suggested_from: SuggestionSource | None
    """Where the suggested key was found. Null where there is none."""
    reused_in: str | None
    """With reused, the order that carries the key as well: another one, or this one, where two of its invoices have the
    same key. Null with every other code."""
    message: str
    """The problem in a sentence for people, in the language of the setting AlertLanguage. It may be worded anew at any
    time."""


class Links(_Model):
    """Where a person goes on."""

    order: Address
    """The order in VTEX's Admin."""


class Data(_Model):
    """The order, as far as it was read, and what is wrong with it."""

    report: int = Field(ge=1)
    """The report's number. Only grows for an order: consumers keep the highest."""
    account: Account
    """The VTEX account."""
    order_id: str
    """VTEX's id of the order. It belongs to its account: another account may have the same."""
    marketplace_order_id: ShortText | None
    """The marketplace's id of the order. Null where VTEX has none."""
    affiliate_id: ShortText | None
    """The affiliate id by which VTEX knows the marketplace. Null where VTEX has none."""
    order_status: ShortText | None
    """The order's status as VTEX writes it. Null where VTEX has none."""
    invoiced_at: ShortText | None
    """When the order was invoiced, as VTEX writes it: mostly RFC 3339, with seven digits of a second. Null where VTEX
    has none."""
    first_seen_at: Moment
    """When this system first heard of the order: RFC 3339 in UTC, to the second."""
    problems: tuple[ProblemEntry, ...] = Field(max_length=MOST_PROBLEMS)
    """What is wrong, errors first; at most 200. An invoice has one error at most, and any number of warnings."""
    problems_found: int = Field(ge=0)
    """How many problems there are: more than stand in the record, where there are more than 200."""
    links: Links
    """Where a person goes on."""


class FailingData(Data):
    """Data of invoicekey.order.failing.v1."""


class ResolvedData(Data):
    """Data of invoicekey.order.resolved.v1: `problems` holds warnings alone."""

    reason: CloseReason
    """Why the failure is closed."""


class ExpiredData(Data):
    """Data of invoicekey.order.expired.v1: what was still wrong when the failure expired."""


class _Record(_Model):
    specversion: Literal["1.0"] = "1.0"
    """The version of CloudEvents."""
    id: str = Field(pattern="^[0-9a-f]{64}$")
    """SHA-256 of account, order, type and report number: the same for the same report, however often it is sent."""
    source: Address
    """The VTEX account, as its address."""
    subject: str
    """VTEX's id of the order, as data.order_id."""
    time: Moment
    """When the report was written: RFC 3339 in UTC, to the second."""
    datacontenttype: Literal["application/json"] = "application/json"
    """What `data` is."""


class FailingRecord(_Record):
    """An order began to fail, or fails otherwise than was reported."""

    type: Literal[RecordType.FAILING] = RecordType.FAILING
    """What happened, with the version of what the fields mean."""
    data: FailingData
    """The order, as far as it was read, and what is wrong with it."""


class ResolvedRecord(_Record):
    """A failure that was reported is closed."""

    type: Literal[RecordType.RESOLVED] = RecordType.RESOLVED
    """What happened, with the version of what the fields mean."""
    data: ResolvedData
    """The order, as far as it was read, and what is wrong with it."""


class ExpiredRecord(_Record):
    """A failure that was reported did not close in thirty days, and is not followed any longer."""

    type: Literal[RecordType.EXPIRED] = RecordType.EXPIRED
    """What happened, with the version of what the fields mean."""
    data: ExpiredData
    """The order, as far as it was read, and what is wrong with it."""


type Record = FailingRecord | ResolvedRecord | ExpiredRecord

BY_TYPE: Mapping[RecordType, type[Record]] = {
    RecordType.FAILING: FailingRecord,
    RecordType.RESOLVED: ResolvedRecord,
    RecordType.EXPIRED: ExpiredRecord,
}
"""What is written for a type."""


def write[R: _Record](
    kind: type[R],
    account: str,
    order: OrderShown,
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
