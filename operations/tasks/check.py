"""What `check` says of an order: the outcome and why, and of each sale invoice the rules of its key, one by one.

No rule is judged here. The judgement gives an invoice the first of its rules that is broken, in the order in which they
are looked at; so those before it hold, and those after it were not reached.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from invoicekey.messages import fields, texts
from invoicekey.rules import access_key
from invoicekey.rules.access_key import MODELS, AccessKey, KeyFault
from invoicekey.rules.order import Package
from invoicekey.rules.policy import Policy
from invoicekey.rules.verdict import TAX_OFFICE_SERIES, Code, Outcome, Problem, Severity
from operations.tasks.judging import Judged, why_cnova
from operations.terminal.plain import LANGUAGE


class Mark(StrEnum):
    """How a rule came out."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_REACHED = "not_reached"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of one invoice's key, how it came out, and what was found."""

    name: str
    mark: Mark
    found: str


@dataclass(frozen=True, slots=True)
class Invoice:
    """A sale invoice as it was judged."""

    number: str | None
    key: str | None
    """As it came, made fit to be shown."""
    rules: tuple[Rule, ...]
    problems: tuple[Problem, ...]

    @property
    def error(self) -> Problem | None:
        """Return what makes the order failing, where it is this invoice."""
        return next((problem for problem in self.problems if problem.severity is Severity.ERROR), None)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """List what rides along."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.WARNING)


_NAMES: Mapping[Code, str] = {
    Code.MISSING: "there",
    Code.MALFORMED: "shape",
    Code.INVALID_CHECK_DIGIT: "check digit",
    Code.INVALID_STATE: "state",
    Code.INVALID_YEAR: "year",
    Code.INVALID_MONTH: "month",
    Code.INVALID_TAX_ID: "tax id",
    Code.WRONG_MODEL: "model",
    Code.INVALID_NUMBER: "number",
    Code.INVALID_EMISSION_TYPE: "emission type",
    Code.ISSUER_MISMATCH: "issuer",
    Code.REUSED: "used once",
}
_IN_ORDER = (Code.MISSING, *(Code(fault.value) for fault in KeyFault), Code.ISSUER_MISMATCH, Code.REUSED)

_PARTS: Mapping[Code, Callable[[AccessKey], str]] = {
    Code.MALFORMED: lambda _: "44 characters, each where it may be",
    Code.INVALID_CHECK_DIGIT: lambda key: key.check_digit,
    Code.INVALID_STATE: lambda key: key.state,
    Code.INVALID_YEAR: lambda key: str(key.year),
    Code.INVALID_MONTH: lambda key: f"{key.month:02}",
    Code.INVALID_TAX_ID: lambda key: f"{key.tax_id}, series {key.series}",
    Code.WRONG_MODEL: lambda key: " ".join(part for part in (key.model, MODELS.get(key.model)) if part),
    Code.INVALID_NUMBER: lambda key: str(key.number),
    Code.INVALID_EMISSION_TYPE: lambda key: key.emission_type or "none, as it was before April 2011",
}


def invoices(judged: Judged, policy: Policy) -> list[Invoice]:
    """List the order's sale invoices with their rules; none where the order was not judged by its invoices."""
    by_their_keys = judged.verdict.outcome in {Outcome.OK, Outcome.FAILING, Outcome.WAITING}
    return [_invoice(sale, judged, policy) for sale in judged.order.sale_invoices] if by_their_keys else []


def _invoice(sale: Package, judged: Judged, policy: Policy) -> Invoice:
    # Invoices with the same number and the same key are judged alike.
    problems = {
        problem.code: problem
        for problem in judged.verdict.problems
        if (problem.invoice_number, problem.key_as_it_came) == (sale.invoice_number, sale.invoice_key)
    }
    rules = tuple(_rules(sale, problems, policy))
    return Invoice(sale.invoice_number, fields.shown(sale.invoice_key), rules, tuple(problems.values()))


def _rules(sale: Package, problems: Mapping[Code, Problem], policy: Policy) -> Iterator[Rule]:
    key = access_key.parse(sale.invoice_key)
    mark = Mark.HOLDS
    for code in _IN_ORDER:
        broken = problems.get(code)
        mark = Mark.BROKEN if broken else Mark.NOT_REACHED if mark is not Mark.HOLDS else Mark.HOLDS
        yield Rule(_NAMES[code], mark, _found(code, sale, key, broken, policy))


def _found(code: Code, sale: Package, key: AccessKey | None, broken: Problem | None, policy: Policy) -> str:
    if code is Code.MISSING:
        return "no" if broken else shown_key(sale.invoice_key)
    if key is None:
        return ""
    if code is Code.ISSUER_MISMATCH:
        return _issuer(key, broken, policy)
    if code is Code.REUSED:
        return _other_place(broken)
    return _PARTS[code](key)


def _issuer(key: AccessKey, broken: Problem | None, policy: Policy) -> str:
    if not policy.seller_tax_ids:
        return "any: SellerTaxIds is empty"
    if broken:
        return f"{key.tax_id} is not in SellerTaxIds"
    if key.series in TAX_OFFICE_SERIES:
        return f"series {key.series}: the tax office's own"
    return key.tax_id


def _other_place(broken: Problem | None) -> str:
    if broken is None:
        return ""
    if broken.reused_in:
        return f"order {broken.reused_in} has it too, and had it first"
    return f"invoice {texts.plain(broken.reused_on, texts.LONGEST_NUMBER)} of this order has it too"


def shown_key(value: object) -> str:
    """Return a key as it came, between quotation marks where it is none, for a terminal."""
    if access_key.parse(value) is not None:
        return str(value)
    return texts.quoted(fields.shown(value) or "", LANGUAGE)


def sentence(problem: Problem, order_id: str) -> str:
    """Say in a sentence what is wrong."""
    return texts.problem_message(problem, order_id, LANGUAGE)


def document(judged: Judged, policy: Policy) -> dict[str, Any]:
    """Return it all for machines."""
    verdict, order_id = judged.verdict, judged.ref.order_id
    return {
        "account": judged.ref.account,
        "order_id": order_id,
        "outcome": verdict.outcome,
        "order_status": fields.shown(judged.order.status),
        "affiliate_id": fields.shown(judged.order.affiliate_id),
        "invoiced_at": fields.shown(judged.order.invoiced_date),
        "heard_at": fields.timestamp(judged.given.first_seen_at),
        "waiting_until": fields.timestamp(verdict.wait_until) if verdict.wait_until else None,
        "marketplace": why_cnova(judged, policy),
        "is_suspect": verdict.is_suspect,
        "has_open_failure": judged.entry.has_open_failure,
        "set_aside": judged.entry.archived,
        "problems": [_problem(problem, order_id) for problem in verdict.problems],
        "invoices": [_as_json(invoice) for invoice in invoices(judged, policy)],
        "link": fields.order_url(judged.ref.account, order_id),
    }


def _problem(problem: Problem, order_id: str) -> dict[str, Any]:
    suggestion = problem.suggestion
    return {
        "code": problem.code,
        "severity": problem.severity,
        "invoice_number": fields.shown(problem.invoice_number),
        "invoice_key": fields.shown(problem.key_as_it_came),
        "suggested_key": suggestion.key if suggestion else None,
        "suggested_from": suggestion.source if suggestion else None,
        "reused_in": (problem.reused_in or order_id) if problem.code is Code.REUSED else None,
        "message": sentence(problem, order_id),
    }


def _as_json(invoice: Invoice) -> dict[str, Any]:
    return {
        "invoice_number": fields.shown(invoice.number),
        "invoice_key": invoice.key,
        "rules": [{"rule": rule.name, "result": rule.mark, "found": rule.found or None} for rule in invoice.rules],
    }
