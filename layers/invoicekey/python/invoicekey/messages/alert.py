"""What is sent to people: one alert about one order, as subject, e-mail, text and chat message in their language.

An e-mail has 18 lines at the most, whatever the order holds, with the link to its page on the desk where there is one.
It claims no more than was read at VTEX, and holds nothing of the order but its ids, invoice numbers and keys, and what
is wrong with them. The bodies are the templates beside this module.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from invoicekey.messages import fields, texts
from invoicekey.messages.fields import OrderShown
from invoicekey.rules import access_key
from invoicekey.rules.verdict import NOT_ON_ITS_WAY, Code, Problem, Severity

if TYPE_CHECKING:
    import jinja2

LONGEST_SUBJECT = 99
LONGEST_SMS = 140
LONGEST_ORDER_ID_SHOWN = 40
MOST_KEYS = 3
MOST_LINES = 18
"""An e-mail's: it is read on a phone, between other things."""

_TEMPLATES: Mapping[Code, str] = {
    Code.MISSING: "missing",
    Code.WRONG_MODEL: "wrong_model",
    Code.ISSUER_MISMATCH: "issuer_mismatch",
    Code.REUSED: "reused",
    Code.NO_INVOICE: "no_invoice",
    Code.TRACKING_MISSING: "tracking",
    Code.COURIER_MISSING: "tracking",
}
"""The problems with a body of their own; any other fault of a key has the general one."""
_GENERAL = "failing"
_WITHOUT_VALUE = frozenset({Code.MISSING, Code.NO_INVOICE}) | NOT_ON_ITS_WAY
"""The problems that no value in the key's field shows."""


@dataclass(frozen=True, slots=True)
class Style:
    """How the shop wants its alerts."""

    language: str = "pt-BR"
    """One of texts.LANGUAGES."""
    timezone: str = "America/Sao_Paulo"
    """An IANA name. Lambda's image has no time zones of its own: the package tzdata brings them."""
    invoice_grace: timedelta = timedelta(seconds=600)
    """As in the policy; the text about an absent invoice names it."""
    summary_orders: int = 20
    """So many orders a digest or a reminder lists; how many more there are is told."""
    chat: bool = False
    """Whether a chat application listens to the topic; for `Alert.message`."""
    stack: str = "invoicekey"
    """The stack's name: commands in the texts carry it where it is another."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert, as SNS takes it."""

    subject: str
    """ASCII, below 100 characters."""
    body: str
    sms: str
    """ASCII, 140 characters at the most."""
    title: str
    """The subject of a chat message: with its accents, and as long as it is."""
    attributes: dict[str, str | list[str]]
    """For filter policies: type, account, severity, and codes where there are any (SNS takes no empty array)."""
    order_id: str | None = None
    """The order that it is about, where it is one."""

    @property
    def thread(self) -> str:
        """Return what holds chat messages together: what becomes of an order is told under its first alert."""
        return f"{self.attributes['account']}:{self.order_id or self.attributes['type']}"

    def message(self, *, chat: bool = False) -> str:
        """Return the document to publish with MessageStructure json; with `chat`, a chat message is in it."""
        told = {"default": self.body, "email": self.body, "sms": self.sms}
        if chat:
            from invoicekey.messages.chat import chat_message  # its models are heavy, and few topics have a chat

            message = chat_message(
                title=self.title,
                body=self.body,
                thread=self.thread,
                attributes=self.attributes,
                order_id=self.order_id,
            )
            told["https"] = message.model_dump_json(by_alias=True, exclude_none=True)
        return json.dumps(told, ensure_ascii=False)


def failing(
    account: str,
    order: OrderShown,
    problems: Sequence[Problem],
    style: Style,
    *,
    mended_at: datetime | None = None,
    desk_link: str | None = None,
) -> Alert:
    """Write the alert about an order that fails; `problems` as in the verdict, with one error at least.

    `mended_at` is when it was in order before, where it fails again. `desk_link` is the address of the order's page on
    the desk, where there is one.
    """
    first, language = _errors(problems)[0], style.language
    values = _failing_values(account, order, problems, style)
    again = texts.day(texts.local(mended_at, style.timezone), language) if mended_at else None
    body = _rendered(_template(first), style, **values, mended_at=again, desk_link=desk_link)
    what_then = texts.SMS_NOT_SHIPPED if first.code in NOT_ON_ITS_WAY else texts.SMS_CONSEQUENCE
    sms = sms_ways(_headlines(first, language, at_vtex=True), what_then.to(language), texts.SMS_GO_ON.to(language))
    attributes = attributes_of("failing", account, "error", _codes(problems))
    headlines = _headlines(first, language)
    again_first = [texts.AGAIN.to(language) + headlines[0]] if mended_at else []
    return _about(order, [*again_first, *headlines], body, sms, attributes)


def _template(first: Problem) -> str:
    return _TEMPLATES.get(first.code, _GENERAL)


def _failing_values(account: str, order: OrderShown, problems: Sequence[Problem], style: Style) -> dict[str, object]:
    """Return what the templates of a failing order are filled in with."""
    first, language = _errors(problems)[0], style.language
    invoiced_at = texts.moment(order.invoiced_date)
    key = access_key.parse(first.key_as_it_came)
    lacking = _lacking(first, problems)
    return {
        **_whereabouts(account, order),
        **_what_is_wrong(order, problems, language),
        "value": _value(first, language),
        "invoiced_at": local_date(invoiced_at, style) if invoiced_at else None,
        "is_invoiced": (order.status or "").casefold() == "invoiced",
        "of_invoice": texts.of_the_invoice(texts.number_shown(first.invoice_number), language),
        "model": key.model if key else None,
        "lacks_tracking": Code.TRACKING_MISSING in lacking,
        "lacks_courier": Code.COURIER_MISSING in lacking,
        "reused_in": texts.order_shown(first.reused_in),
        "grace": texts.duration(style.invoice_grace, language) if style.invoice_grace else None,
        "has_returns": bool(order.returns),
        "watch": _watch(order, _not_yet_told(first, problems), language, with_consequence=not lacking),
    }


def guidance(account: str, order: OrderShown, problems: Sequence[Problem], style: Style) -> tuple[list[str], str]:
    """Return the steps of the alert about an order that fails, less the key that it offers, and what not to do."""
    first = _errors(problems)[0]
    template = _templates().get_template(f"{style.language}/{_template(first)}.txt.j2")
    alone = {"mended_at": None, "desk_link": None, "is_brief": False}
    values = {**_failing_values(account, order, problems, style), **alone}
    context = template.new_context({**values, "to_do": texts.TO_DO.to(style.language)})
    told = "".join(template.root_render_func(context))
    return texts.steps_apart(told)[1], _block(context, "warning")


def _block(context: "jinja2.runtime.Context", block: str) -> str:
    return "".join(context.blocks[block][0](context)).strip() if block in context.blocks else ""


def resolved(
    account: str,
    order: OrderShown,
    keys: Sequence[tuple[str | None, str]],
    warnings: Sequence[Problem],
    *,
    opened_at: datetime,
    now: datetime,
    style: Style,
    desk_link: str | None = None,
) -> Alert:
    """Write the alert about a failure closed as ok: every sale invoice has a good key, `keys` as in the verdict."""
    language = style.language
    opened, closed = texts.local(opened_at, style.timezone), texts.local(now, style.timezone)
    body = _rendered(
        "resolved",
        style,
        **_whereabouts(account, order),
        duration=texts.duration(now - opened_at, language),
        period=texts.period(opened, closed, language),
        keys=[(texts.number_shown(number), texts.plain(key, texts.LONGEST_VALUE)) for number, key in keys[:MOST_KEYS]],
        more_keys=max(0, len(keys) - MOST_KEYS),
        watch=_watch(order, warnings, language),
        desk_link=desk_link,
    )
    headline = texts.RESOLVED_HEADLINE.to(language)
    sms = sms_ways([headline], texts.SMS_CONFIRM.to(language))
    attributes = attributes_of("resolved", account, "warning" if warnings else "info", _codes(warnings))
    return _about(order, [headline], body, sms, attributes)


def expired(
    account: str,
    order: OrderShown,
    problems: Sequence[Problem],
    *,
    opened_at: datetime,
    now: datetime,
    style: Style,
    desk_link: str | None = None,
) -> Alert:
    """Write the last alert about a failure that expires; `problems` as in the verdict, with one error at least."""
    language = style.language
    age = texts.age(now - opened_at, language)
    body = _rendered(
        "expired",
        style,
        **_whereabouts(account, order),
        age=age,
        opened_at=local_date(opened_at, style),
        **_what_is_wrong(order, problems, language),
        has_invoice=_errors(problems)[0].code is not Code.NO_INVOICE,
        desk_link=desk_link,
    )
    headlines = [texts.EXPIRED_HEADLINE.to(language).format(age=age), texts.EXPIRED_BRIEFLY.to(language)]
    sms = sms_ways(headlines, texts.SMS_NOT_FOLLOWED.to(language), texts.SMS_GO_ON.to(language))
    return _about(order, headlines, body, sms, attributes_of("expired", account, "error", _codes(problems)))


def first_that_fits(about: str, ways: Sequence[str], longest: int) -> str:
    """Put the order or account in front of the first way to say it that fits; the last one always does."""
    told = [f"{about}: {texts.ascii_only(way)}" for way in ways]
    return next((text for text in told if len(text) <= longest), told[-1])


def sms_ways(headlines: Sequence[str], *behind: str) -> list[str]:
    """Return the ways to say a headline, first with all that is said behind it, then with ever less of it."""
    full, *shorter = headlines
    told = ["".join(behind[:most]) for most in range(len(behind), -1, -1)]
    return [*(f"{full}.{more}" for more in told), *(f"{short}." for short in shorter)]


def attributes_of(kind: str, account: str, severity: str, codes: Sequence[Code]) -> dict[str, str | list[str]]:
    """Return the message attributes that subscribers filter by, each code once."""
    always: dict[str, str | list[str]] = {"type": kind, "account": account, "severity": severity}
    return always | ({"codes": list(dict.fromkeys(code.value for code in codes))} if codes else {})


def _rendered(template: str, style: Style, **values: object) -> str:
    """Fill in an alert's template; one that would be too long is brief: the order's page on the desk says the rest."""
    body = render(template, style, **values, is_brief=False)
    return body if body.count("\n") < MOST_LINES else render(template, style, **values, is_brief=True)


def render(template: str, style: Style, **values: object) -> str:
    """Fill in a template of the style's language."""
    to_do = texts.TO_DO.to(style.language)
    return _templates().get_template(f"{style.language}/{template}.txt.j2").render(values, to_do=to_do).strip()


def local_date(moment: datetime, style: Style) -> str:
    """Write a date as the shop's clocks have it."""
    return texts.date(texts.local(moment, style.timezone), style.language)


def _about(
    order: OrderShown, headlines: Sequence[str], body: str, sms: Sequence[str], attributes: dict[str, str | list[str]]
) -> Alert:
    full = headlines[0]
    return Alert(
        subject=first_that_fits(_id(order), [full + texts.SHOP, *headlines], LONGEST_SUBJECT),
        body=body,
        sms=first_that_fits(_id(order), sms, LONGEST_SMS),
        title=f"{_id(order)}: {full}",
        attributes=attributes,
        order_id=_id(order),
    )


def _id(order: OrderShown) -> str:
    return str(order.order_id)


def _errors(problems: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def _codes(problems: Sequence[Problem]) -> list[Code]:
    return [problem.code for problem in problems]


def _whereabouts(account: str, order: OrderShown) -> dict[str, object]:
    return {
        "account": account,
        "order_id": _id(order),
        "marketplace_order_id": texts.plain(order.marketplace_order_id, LONGEST_ORDER_ID_SHOWN),
        "order_url": fields.order_url(account, _id(order)),
    }


def _what_is_wrong(order: OrderShown, problems: Sequence[Problem], language: str) -> dict[str, object]:
    first, *others = _errors(problems)
    lacks_courier = Code.COURIER_MISSING in _lacking(first, problems)
    return {
        "opening": texts.opening(first, _id(order), language, lacks_courier=lacks_courier),
        "also": texts.also([other for other in others if not _is_the_same_pair(first, other)], language),
        "suggested_key": first.suggestion.key if first.suggestion else None,
        "found": texts.FOUND[first.suggestion.source].to(language) if first.suggestion else None,
        "may_fail": _saving_fails(first, problems, language),
    }


def _lacking(first: Problem, problems: Sequence[Problem]) -> set[Code]:
    """Return what the first problem's invoice needs to be shipped, where that is why the order fails."""
    if first.code not in NOT_ON_ITS_WAY:
        return set()
    return {problem.code for problem in problems if _is_of_same_invoice(first, problem)} & NOT_ON_ITS_WAY


def _saving_fails(first: Problem, problems: Sequence[Problem], language: str) -> str:
    """Say that saving will probably fail, where the first problem's invoice has a number over which VTEX stumbles."""
    is_unsafe = any(problem.code is Code.UNSAFE_NUMBER and _is_of_same_invoice(first, problem) for problem in problems)
    return texts.saving_fails(texts.number_shown(first.invoice_number), language) if is_unsafe else ""


def _not_yet_told(first: Problem, problems: Sequence[Problem]) -> list[Problem]:
    """Leave out what the opening and the steps tell besides the first problem."""
    told = _lacking(first, problems) | {Code.UNSAFE_NUMBER}
    return [problem for problem in problems if problem.code not in told or not _is_of_same_invoice(first, problem)]


def _is_of_same_invoice(first: Problem, other: Problem) -> bool:
    return (first.invoice_number, first.key_as_it_came) == (other.invoice_number, other.key_as_it_came)


def _value(problem: Problem, language: str) -> str | None:
    """Quote the key as it came, where it is one line of something; lists and objects may hold anything."""
    value = problem.key_as_it_came
    if problem.code in _WITHOUT_VALUE or isinstance(value, bool):
        return None
    return texts.quoted(fields.shown(value) or "", language) if isinstance(value, str | int | float) else None


def _is_the_same_pair(first: Problem, other: Problem) -> bool:
    """Say whether a reused key is told already: where two invoices share one, each has the problem."""
    return first.reused_on is not None and first.reused_on == other.invoice_number and other.code is Code.REUSED


def _watch(order: OrderShown, problems: Sequence[Problem], language: str, *, with_consequence: bool = True) -> str:
    warnings = [problem for problem in problems if problem.severity is Severity.WARNING]
    with_numbers = len(order.sale_invoices) > 1
    return texts.watch(warnings, language, with_numbers=with_numbers, with_consequence=with_consequence)


def _headlines(problem: Problem, language: str, *, at_vtex: bool = False) -> list[str]:
    """Return the headline with all that it may name, without the invoice's number, and without the other order."""
    number, other = texts.number_shown(problem.invoice_number), texts.order_shown(problem.reused_in)
    return [
        texts.headline(problem.code, told_number, language, reused_in=told_order, at_vtex=at_vtex)
        for told_number, told_order in ((number, other), (None, other), (None, None))
    ]


@cache
def _templates() -> "jinja2.Environment":
    # Only orders at fault need it, and every cold start would pay for it.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,  # noqa: S701 (plain text)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = lambda count, one, more: f"{count} {one if count == 1 else more}"
    return environment
