"""What records, texts and pages have in common: which fields of an order they show, and how they show one.

Light on purpose: the desk shows pages at a cold start, and needs no model of an order for that.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from invoicekey.rules import markup

if TYPE_CHECKING:
    from invoicekey.rules.order import Package

FIELD_LENGTH = 64


class RecordType(StrEnum):
    """What happened to an order."""

    FAILING = "invoicekey.order.failing.v1"
    RESOLVED = "invoicekey.order.resolved.v1"
    EXPIRED = "invoicekey.order.expired.v1"


class CloseReason(StrEnum):
    """Why a failure is closed."""

    OK = "ok"
    """Every sale invoice carries a good key."""
    CANCELED = "canceled"
    """The order is canceled, or about to be."""
    RETURNED = "returned"
    """All that was sold came back."""
    NOT_INVOICED = "not_invoiced"
    """The order has no sale invoice any more, and is invoiced no longer."""
    NOT_FOUND = "not_found"
    """VTEX does not know the order any more."""
    DISMISSED = "dismissed"
    """A person closed it."""


class OrderShown(Protocol):
    """An order, as far as it is shown: one that was read, or one as it was reported."""

    @property
    def order_id(self) -> str | None:
        """Its id at VTEX."""

    @property
    def status(self) -> str | None:
        """Its state at VTEX."""

    @property
    def affiliate_id(self) -> str | None:
        """The seller's affiliate id of the marketplace."""

    @property
    def marketplace_order_id(self) -> str | None:
        """Its id at the marketplace."""

    @property
    def invoiced_date(self) -> str | None:
        """When it was invoiced, as VTEX writes it."""

    @property
    def sale_invoices(self) -> "Sequence[Package]":
        """Its sale invoices."""

    @property
    def returns(self) -> "Sequence[Package]":
        """Its return invoices."""


def order_url(account: str, order_id: str) -> str:
    """Return the address of the order in VTEX's Admin."""
    return f"https://{account}.myvtex.com/admin/orders/{order_id}"


def as_sqs_takes_it(document: str) -> str:
    """Return a JSON document with the two characters escaped that are JSON as they are, and that SQS refuses."""
    return document.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


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
