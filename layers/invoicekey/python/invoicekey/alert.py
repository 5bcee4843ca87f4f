"""What is sent to people: one alert about one order, as subject, e-mail and text message in their language.

An e-mail has 18 lines at the most, whatever the order holds. It claims no more than was read at VTEX, and holds nothing
of the order but its ids, invoice numbers and keys, and what is wrong with them. The bodies are the templates beside
this module.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from invoicekey import access_key, record, texts
from invoicekey.order import Order
from invoicekey.verdict import Code, Problem, Severity

if TYPE_CHECKING:
    import jinja2

LONGEST_SUBJECT = 99
LONGEST_SMS = 140
LONGEST_ORDER_ID_SHOWN = 40
MOST_KEYS = 3

_TEMPLATES: Mapping[Code, str] = {
    Code.MISSING: "missing",
    Code.WRONG_MODEL: "wrong_model",
    Code.ISSUER_MISMATCH: "issuer_mismatch",
    Code.REUSED: "reused",
    Code.NO_INVOICE: "no_invoice",
}
"""The problems with a body of their own; any other fault of a key has the general one."""
_GENERAL = "failing"


@dataclass(frozen=True, slots=True)
class Style:
    """How the shop wants its alerts."""

    language: str = "pt-BR"
    """One of texts.LANGUAGES."""
    timezone: str = "America/Sao_Paulo"
    """An IANA name. Lambda's image has no time zones of its own: the package tzdata brings them."""
    invoice_grace: timedelta = timedelta(seconds=600)
    """As in the policy; the text about an absent invoice names it."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert, as SNS takes it."""

    subject: str
    """ASCII, below 100 characters."""
    body: str
    sms: str
    """ASCII, 140 characters at the most."""
    attributes: dict[str, str | list[str]]
    """For filter policies: type, account, severity, and codes where there are any (SNS takes no empty array)."""

    def message(self) -> str:
        """Return the document to publish with MessageStructure json."""
        return json.dumps({"default": self.body, "email": self.body, "sms": self.sms}, ensure_ascii=False)


def failing(account: str, order: Order, problems: Sequence[Problem], style: Style) -> Alert:
    """Write the alert about an order that fails; `problems` as in the verdict, with one error at least."""
    first, *others = (problem for problem in problems if problem.severity is Severity.ERROR)
    language = style.language
    invoiced_at = texts.moment(order.invoiced_date)
    key = access_key.parse(first.key_as_it_came)
    body = _render(
        _TEMPLATES.get(first.code, _GENERAL),
        style,
        **_whereabouts(account, order),
        opening=texts.opening(first, _id(order), language),
        also=texts.also([other for other in others if not _is_the_same_pair(first, other)], language),
        value=_value(first),
        invoiced_at=texts.date(texts.local(invoiced_at, style.timezone), language) if invoiced_at else None,
        is_invoiced=(order.status or "").casefold() == "invoiced",
        of_invoice=texts.of_the_invoice(texts.number_shown(first.invoice_number), language),
        model=key.model if key else None,
        suggested_key=first.suggestion.key if first.suggestion else None,
        found=texts.FOUND[first.suggestion.source].to(language) if first.suggestion else None,
        grace=texts.duration(style.invoice_grace, language) if style.invoice_grace else None,
        has_returns=bool(order.returns),
        watch=_watch(order, problems, language),
    )
    return Alert(
        subject=_failing_subject(order, first, language),
        body=body,
        sms=_failing_sms(order, first, language),
        attributes=_attributes("failing", account, "error", problems),
    )


def resolved(
    account: str,
    order: Order,
    keys: Sequence[tuple[str | None, str]],
    warnings: Sequence[Problem],
    *,
    opened_at: datetime,
    now: datetime,
    style: Style,
) -> Alert:
    """Write the alert about a failure closed as ok: every sale invoice has a good key, `keys` as in the verdict."""
    language = style.language
    opened, closed = texts.local(opened_at, style.timezone), texts.local(now, style.timezone)
    body = _render(
        "resolved",
        style,
        **_whereabouts(account, order),
        order_id=_id(order),
        duration=texts.duration(now - opened_at, language),
        period=texts.period(opened, closed, language),
        keys=[(texts.number_shown(number), texts.plain(key, texts.LONGEST_VALUE)) for number, key in keys[:MOST_KEYS]],
        more_keys=max(0, len(keys) - MOST_KEYS),
        watch=_watch(order, warnings, language),
    )
    headline = texts.RESOLVED_HEADLINE.to(language)
    return Alert(
        subject=_first_that_fits(_id(order), [headline + texts.SHOP, headline], LONGEST_SUBJECT),
        body=body,
        sms=_first_that_fits(_id(order), [f"{headline}.{texts.SMS_CONFIRM.to(language)}", f"{headline}."], LONGEST_SMS),
        attributes=_attributes("resolved", account, "warning" if warnings else "info", warnings),
    )


def _id(order: Order) -> str:
    return str(order.order_id)


def _whereabouts(account: str, order: Order) -> dict[str, object]:
    return {
        "account": account,
        "marketplace_order_id": texts.plain(order.marketplace_order_id, LONGEST_ORDER_ID_SHOWN),
        "order_url": record.order_url(account, _id(order)),
    }


def _value(problem: Problem) -> str | None:
    """Quote the key as it came, where it is one line of something; lists and objects may hold anything."""
    value = problem.key_as_it_came
    if problem.code in (Code.MISSING, Code.NO_INVOICE) or isinstance(value, bool):
        return None
    return texts.quoted(record.shown(value) or "") if isinstance(value, str | int | float) else None


def _is_the_same_pair(first: Problem, other: Problem) -> bool:
    """Say whether a reused key is told already: where two invoices share one, each has the problem."""
    return first.reused_on is not None and first.reused_on == other.invoice_number and other.code is Code.REUSED


def _watch(order: Order, problems: Sequence[Problem], language: str) -> str:
    warnings = [problem for problem in problems if problem.severity is Severity.WARNING]
    return texts.watch(warnings, language, with_numbers=len(order.sale_invoices) > 1)


def _failing_subject(order: Order, problem: Problem, language: str) -> str:
    full, short = _headlines(problem, language, at_vtex=False)
    return _first_that_fits(_id(order), [full + texts.SHOP, full, short], LONGEST_SUBJECT)


def _failing_sms(order: Order, problem: Problem, language: str) -> str:
    full, short = _headlines(problem, language, at_vtex=True)
    consequence, go_on = texts.SMS_CONSEQUENCE.to(language), texts.SMS_GO_ON.to(language)
    ways = [f"{full}.{consequence}{go_on}", f"{full}.{consequence}", f"{full}.", f"{short}."]
    return _first_that_fits(_id(order), ways, LONGEST_SMS)


def _headlines(problem: Problem, language: str, *, at_vtex: bool) -> list[str]:
    """Return the headline with the invoice's number and without."""
    number = texts.ascii_only(texts.number_shown(problem.invoice_number) or "")
    return [texts.headline(problem.code, told, language, at_vtex=at_vtex) for told in (number, None)]


def _first_that_fits(order_id: str, ways: Sequence[str], longest: int) -> str:
    """Put the order in front of the first way to say it that fits; the last one always does."""
    told = [f"{order_id}: {texts.ascii_only(way)}" for way in ways]
    return next((text for text in told if len(text) <= longest), told[-1])


def _attributes(kind: str, account: str, severity: str, problems: Sequence[Problem]) -> dict[str, str | list[str]]:
    codes: list[str] = list(dict.fromkeys(problem.code.value for problem in problems))
    always: dict[str, str | list[str]] = {"type": kind, "account": account, "severity": severity}
    return always | ({"codes": codes} if codes else {})


def _render(template: str, style: Style, **values: object) -> str:
    return _templates().get_template(f"{style.language}/{template}.txt.j2").render(values).strip()


@cache
def _templates() -> "jinja2.Environment":
    # Only orders at fault need it, and every cold start would pay for it.
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,  # noqa: S701 (plain text)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
