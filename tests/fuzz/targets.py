"""What `make fuzz` feeds: a target takes bytes, as they may come from outside, and raises where a parser is at fault.

A parser may refuse what it gets, by the exceptions that it declares. Any other is a fault, and so is a result that
cannot be.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

from invoicekey.ledger.failures import State
from invoicekey.messages import fields
from invoicekey.messages.links import ExpiredToken, ForgedToken, Links, Target
from invoicekey.rules import access_key, markup
from invoicekey.rules.notification import (
    AccountRefused,
    ForeignOrderId,
    Malformed,
    account_of,
    event_id,
    is_account,
    is_order_id,
    is_ping,
    is_watched,
    order_ref,
    parse,
    says_invoiced,
)
from invoicekey.rules.order import Order
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import Circumstances, Outcome, judge
from invoicekey.runtime import desk
from invoicekey.runtime.errors import RetryLater
from invoicekey.work import desk_list
from local.events import sample

NOW = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
YEAR = NOW.year
SIGNED = (Target("luxstore", "VVJ-975102-01"), Target("luxstore"), Target("luxstore", "VVJ-975102-01", NOW))
KEY_OF_LINKS = "a key for tokens of the corpus"
LINKS = Links("https://api.example/desk/", [KEY_OF_LINKS])
POLICY = Policy(
    affiliate_ids=frozenset({"vvj"}),
    seller_tax_ids=frozenset({"11222333000181", "12ABC34501DE35"}),
    tracking_grace=timedelta(hours=1),
)
_PACKAGE, _CUSTOM = "packageAttachment.packages.0.", "customData.customApps.0."
PLACES = (
    "orderId", "status", "affiliateId", "marketplaceOrderId", "marketplaceServicesEndpoint", "invoicedDate",
    "marketplace", "marketplace.baseURL", "marketplace.name", "customData", "customData.customApps", f"{_CUSTOM}id",
    "packageAttachment", "packageAttachment.packages", "packageAttachment.packages.1",
    f"{_PACKAGE}type", f"{_PACKAGE}invoiceNumber", f"{_PACKAGE}invoiceValue", f"{_PACKAGE}invoiceKey",
    f"{_PACKAGE}invoiceUrl", f"{_PACKAGE}embeddedInvoice", f"{_PACKAGE}issuanceDate", f"{_PACKAGE}trackingNumber",
    f"{_PACKAGE}courier",
)  # fmt: skip
"""Where an order is changed: by the first byte of a line, beginning at `A`; the rest of the line is JSON, or a text."""


def notification(data: bytes) -> None:
    """Read a hook's body, as the receiver and the checker do."""
    account_of(data.decode("utf-8", "replace"))
    try:
        body = parse(data)
    except Malformed:
        return
    is_ping(body)
    is_watched(body, frozenset({"invoiced"}))
    says_invoiced(body)
    event_id(body)
    with suppress(Malformed, AccountRefused):
        try:
            ref = order_ref(body)
        except ForeignOrderId as foreign:
            _expect(foreign.order_id.isascii() and is_account(foreign.account), "a foreign id is shown in ASCII")
        else:
            _expect(is_order_id(ref.order_id) and is_account(ref.account), "what is kept is safe in a path")


def order(data: bytes) -> None:
    """Read an order, judge it, and show what is shown of it: none of that refuses anything."""
    read = Order.model_validate(order_document(data), by_name=False)
    verdict = judge(read, POLICY, Circumstances("luxstore", NOW, NOW - timedelta(hours=2)))
    _expect(verdict.outcome is not Outcome.FAILING or bool(verdict.errors), "an order fails for an error")
    _expect(verdict.outcome is not Outcome.OK or not verdict.errors, "no order is good with an error")
    for problem in verdict.problems:
        _expect(json.loads(problem.identity)[0] == problem.code, "an error has an identity")
        for value in (problem.invoice_number, problem.key_as_it_came):
            _expect(len(fields.shown(value) or "") <= fields.FIELD_LENGTH, "what is shown is cut")


def xml(data: bytes) -> None:
    """Look for markup in a text, and read the documents in it."""
    text = data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace") if _is_text(data) else str(data)
    _expect(markup.is_markup(text) or "<" not in text, "what holds a < is markup")
    _expect(markup.is_markup(text) or not markup.documents(text), "a document is markup")
    shown = fields.shown(text)
    _expect(shown is not None and "<" not in shown, "no markup is shown")
    access_key.read_xml(text, current_year=YEAR)


def key(data: bytes) -> None:
    """Read an access key, and look for one in what is none."""
    text = data.decode("utf-8", "replace")
    read = access_key.parse(text)
    if read is not None:
        _expect(read.text == text, "a key is its text")
        access_key.first_fault(read, current_year=YEAR)
    access_key.manglings(text)
    for found in (access_key.clean(text, current_year=YEAR), access_key.find_in_text(text, current_year=YEAR)):
        _expect(found is None or access_key.is_valid(found, current_year=YEAR), "a suggested key is valid")


def token(data: bytes) -> None:
    """Read a link's token; and the secret that it is signed with."""
    with suppress(ForgedToken, ExpiredToken):
        _expect(LINKS.read(data.decode("utf-8", "replace"), NOW) in SIGNED, "no token opens what was not signed")
    with suppress(RetryLater, Malformed):
        _expect(all(desk.keys(parse(data), NOW)), "no key is empty")


def form(data: bytes) -> None:
    """Read an address's filters and a list's form, as the desk does."""
    try:
        given = parse_qs(data.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=500)
    except ValueError:
        return  # functions/desk takes it for a form without fields
    desk_list.Tally.of(given)
    with suppress(ValueError):
        filters = desk_list.Filters.of(given)
        _expect(filters.state in State and filters.page > 0, "a list has a state and a page")
        filters.address()
    with suppress(ValueError):
        chosen = desk_list.chosen("luxstore", given)
        _expect(all(is_order_id(ref.order_id) for ref, _ in chosen), "an order that is chosen has an order's id")


TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType({
    "notification": notification, "order": order, "xml": xml, "key": key, "token": token, "form": form,
})  # fmt: skip


def order_document(data: bytes) -> dict[str, Any]:
    """Return the sample order with what the lines put into it."""
    document = sample("order") | {"packageAttachment": {"packages": [sample("invoice")]}}
    for line in data.decode("utf-8", "replace").split("\n"):
        if line:
            _put(document, PLACES[(ord(line[0]) - ord("A")) % len(PLACES)].split("."), _value(line[1:]))
    return document


def _put(document: Any, place: list[str], value: Any) -> None:
    """Put a value there, unless something else than an object or a list is in its way by now."""
    *way, last = place
    for step in way:
        document = document.get(step) if isinstance(document, dict) else _entry(document, step)
    if isinstance(document, dict):
        document[last] = value
    elif isinstance(document, list) and last.isdecimal():
        document.insert(int(last), value)


def _entry(document: Any, step: str) -> Any:
    is_there = isinstance(document, list) and step.isdecimal() and int(step) < len(document)
    return document[int(step)] if is_there else None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _expect(is_so: bool, what: str) -> None:
    if not is_so:
        raise AssertionError(f"expected that {what}")
