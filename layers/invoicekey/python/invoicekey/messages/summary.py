"""What is sent to people about many orders: digests, the daily reminder, the sign of life, the test.

However many orders it is about, a summary has 30 lines at the most as long as it names 20 of them (SummaryOrders). The
bodies are templates, as those of alerts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched

from invoicekey.messages import texts
from invoicekey.messages.alert import (
    LONGEST_SMS,
    LONGEST_SUBJECT,
    Alert,
    Style,
    attributes_of,
    first_that_fits,
    local_date,
    render,
    sms_ways,
)
from invoicekey.messages.texts import Said
from invoicekey.rules.verdict import NOT_ON_ITS_WAY, Code

MOST_EXPIRED = 10
"""So many besides, for no later summary names them."""
ORDERS_A_LINE = 5
MOST_COUNTS = 6
"""So many problems are counted each by itself, the most frequent ones."""
FRESH_FOR = timedelta(minutes=75)
"""A reading that is older when a reminder is written was to be renewed before, and was not."""


@dataclass(frozen=True, slots=True)
class DeferredOrder:
    """An order whose alert was deferred."""

    order_id: str
    kind: str
    """As in the alert's attribute `type`: failing, resolved or expired."""
    codes: tuple[Code, ...]
    """Of a failing one: its errors, the first one first."""
    since: datetime


@dataclass(frozen=True, slots=True)
class OpenFailure:
    """An order that was told as failing and is not mended; the code, number and suggestion are its first error's."""

    order_id: str
    opened_at: datetime
    checked_at: datetime
    code: Code
    invoice_number: str | None
    has_suggestion: bool


@dataclass(frozen=True, slots=True)
class SinceLast:
    """What became of the list since the last reminder."""

    at: datetime
    opened: int
    resolved: int


@dataclass(frozen=True, slots=True)
class Week:
    """What was read in seven days."""

    checked: int
    mended: int
    """Failures that were told and closed as ok."""
    last_checked_at: datetime | None


def digest(account: str, deferred: Sequence[DeferredOrder], style: Style) -> Alert:
    """Write the alerts that were deferred as one; one of them at least."""
    language = style.language
    failing, expired, resolved = (_of_kind(deferred, kind) for kind in ("failing", "expired", "resolved"))
    since = texts.local(min(order.since for order in deferred), style.timezone)
    codes = [code for order in failing for code in order.codes]
    body = render(
        "digest",
        style,
        account=account,
        since=texts.date(since, language),
        failing=len(failing),
        expired=len(expired),
        resolved=len(resolved),
        has_missing=Code.MISSING in codes,
        has_tracking=not NOT_ON_ITS_WAY.isdisjoint(codes),
        counts=_counts(failing, language),
        groups=[
            *_group(failing, style.summary_orders),
            *_group(expired, MOST_EXPIRED),
            *_group(resolved, max(0, style.summary_orders - len(failing))),
        ],
        list_command=_command(f"failures --account {account} --format csv", style),
        dashboard_url=style.dashboard_url,
    )
    worst_first = ((texts.DIGEST_FAILING, failing), (texts.DIGEST_EXPIRED, expired), (texts.DIGEST_RESOLVED, resolved))
    headline, count = next((said, len(orders)) for said, orders in worst_first if orders)  # there is room for one
    is_in_key = (NOT_ON_ITS_WAY | {Code.NO_INVOICE}).isdisjoint(codes)
    where = (texts.IN_KEY if is_in_key else texts.IN_INVOICE).to(language)
    ways = headline.ways(language, count, where=where, time=texts.time(since, language))
    return _summary(account, "digest", "error" if failing or expired else "info", ways, body, style, codes=codes)


def reminder(
    account: str,
    failures: Sequence[OpenFailure],
    *,
    now: datetime,
    since_last: SinceLast | None,
    without_tracking: int,
    style: Style,
) -> Alert:
    """Write the daily list of what is open, one failure at least.

    `without_tracking` counts the orders with good keys that lack their tracking number or carrier.
    """
    language = style.language
    oldest_first = sorted(failures, key=lambda failure: (failure.opened_at, failure.order_id))
    codes = [failure.code for failure in oldest_first]
    is_about_keys = NOT_ON_ITS_WAY.isdisjoint(codes)  # the others have good keys
    what = texts.WITHOUT_KEY if is_about_keys else texts.TO_BE_FIXED
    age = texts.age(now - oldest_first[0].opened_at, language)
    body = render(
        "reminder",
        style,
        account=account,
        count=len(failures),
        is_about_keys=is_about_keys,
        stale=sum(now - failure.checked_at > FRESH_FOR for failure in failures),
        oldest_reading=local_date(min(failure.checked_at for failure in failures), style),
        readings=_readings([failure.checked_at for failure in failures], style),
        rows=[_row(failure, now, language) for failure in oldest_first[: style.summary_orders]],
        more=max(0, len(failures) - style.summary_orders),
        since_last=since_last,
        since=local_date(since_last.at, style) if since_last else None,
        without_tracking=without_tracking,
        dismiss_command=_command(f"dismiss {_AN_ORDER.to(language)} --account {account}", style),
        list_command=_command(f"failures --account {account} --format csv", style),
    )
    ways = texts.REMINDER.ways(language, len(failures), what=what.to(language), age=age)
    return _summary(account, "reminder", "error", ways, body, style, codes=codes)


def all_well(account: str, week: Week, style: Style) -> Alert:
    """Write the sign of life of a week at whose end nothing is open; where nothing was read, it asks for a look."""
    template, headline, severity = (
        ("all_well", texts.ALL_WELL, "info") if week.checked else ("none_read", texts.NONE_READ, "error")
    )
    body = render(
        template,
        style,
        account=account,
        checked=week.checked,
        mended=week.mended,
        last_checked_at=local_date(week.last_checked_at, style) if week.last_checked_at else None,
    )
    return _summary(account, "reminder", severity, headline.ways(style.language, week.checked), body, style)


def trial(account: str, style: Style) -> Alert:
    """Write the test e-mail that shows that alerts arrive."""
    body = render("trial", style, account=account)
    return _summary(account, "test", "info", texts.TRIAL.ways(style.language), body, style)


_AN_ORDER = Said("PEDIDO", "ORDER")


def _summary(
    account: str,
    kind: str,
    severity: str,
    ways: Sequence[str],
    body: str,
    style: Style,
    *,
    codes: Sequence[Code] = (),
) -> Alert:
    return Alert(
        subject=first_that_fits(account, ways, LONGEST_SUBJECT),
        body=body,
        sms=first_that_fits(account, sms_ways(ways, texts.SMS_GO_ON.to(style.language)), LONGEST_SMS),
        title=f"{account}: {ways[0]}",
        attributes=attributes_of(kind, account, severity, codes),
    )


def _of_kind(deferred: Iterable[DeferredOrder], kind: str) -> list[DeferredOrder]:
    """Return the orders of a kind, those deferred first first."""
    return sorted((order for order in deferred if order.kind == kind), key=lambda order: (order.since, order.order_id))


def _counts(failing: Sequence[DeferredOrder], language: str) -> str:
    """Count the orders by their first error: "31 sem chave de acesso | 4 com chave fora do formato"."""
    orders = Counter(order.codes[0] for order in failing if order.codes).most_common(MOST_COUNTS)
    others = len(failing) - sum(count for _, count in orders)
    told = [f"{count} {texts.PHRASES[code].tallied.to(language)}" for code, count in orders]
    return " | ".join(told + ([f"{others} {texts.TALLIED_OTHERWISE.to(language)}"] if others else []))


@dataclass(frozen=True, slots=True)
class _Group:
    """Orders of a kind, as far as there is room to name them."""

    kind: str
    count: int
    named: int
    lines: tuple[str, ...]


def _group(orders: Sequence[DeferredOrder], most: int) -> list[_Group]:
    """Name the first orders of a kind; no group where there is none to name."""
    named = [order.order_id for order in orders[:most]]
    lines = tuple(", ".join(line) for line in batched(named, ORDERS_A_LINE, strict=False))
    return [_Group(orders[0].kind, len(orders), len(named), lines)] if named else []


def _row(failure: OpenFailure, now: datetime, language: str) -> str:
    number = texts.number_shown(failure.invoice_number)
    problem = texts.PHRASES[failure.code].tallied.to(language)
    told = (
        texts.age(now - failure.opened_at, language),
        failure.order_id,
        texts.AN_INVOICE_BRIEFLY.to(language).format(number=number) if number else None,
        problem + (texts.WITH_SUGGESTION.to(language) if failure.has_suggestion else ""),
    )
    return " | ".join(part for part in told if part)


def _readings(moments: Sequence[datetime], style: Style) -> str:
    first, last = (texts.local(moment, style.timezone) for moment in (min(moments), max(moments)))
    return texts.readings(first, last, style.language)


def _command(arguments: str, style: Style) -> str:
    """Return a command of the operators, for the stack that sends the text."""
    return f"invoicekey {arguments}{texts.leading_to(style.stack)}"
