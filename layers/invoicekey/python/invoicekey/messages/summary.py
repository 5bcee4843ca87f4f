"""What is sent to people about many orders: digests, the daily reminder, the sign of life, the test.

However many orders it is about, a summary lists 20 of them (SummaryOrders), each with what it takes to mend it: what is
wrong with which invoice, the key that we suggest, and the order's link. The others are counted. The bodies are
templates, as those of alerts.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import batched, islice

from invoicekey.messages import fields, texts
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

LONGEST_LISTING = 60_000
"""So many bytes of listed orders at the most. SNS takes 256 KB, and a body stands in a message twice."""
MOST_EXPIRED = 10
"""So many besides, for no later summary names them."""
ORDERS_A_LINE = 5
MOST_COUNTS = 6
"""So many problems are counted each by itself, the most frequent ones."""
FRESH_FOR = timedelta(minutes=75)
"""A reading that is older when a reminder is written was to be renewed before, and was not."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an invoice of an order."""

    code: Code
    invoice_number: str | None = None
    suggested_key: str | None = None
    has_suggestion: bool = False
    """Of some failures it is known alone that there is a suggested key."""


@dataclass(frozen=True, slots=True)
class DeferredOrder:
    """An order whose alert was deferred."""

    order_id: str
    kind: str
    """As in the alert's attribute `type`: failing, resolved or expired."""
    faults: tuple[Fault, ...]
    """Of a failing or expired one: its errors, the first one first."""
    since: datetime


@dataclass(frozen=True, slots=True)
class OpenFailure:
    """An order that was told as failing and is not mended."""

    order_id: str
    opened_at: datetime
    checked_at: datetime
    faults: tuple[Fault, ...]
    """Its errors, one at least; the first one is what it is counted by."""


@dataclass(frozen=True, slots=True)
class SinceLast:
    """What became of the list since the last reminder."""

    at: datetime
    opened: int
    resolved: int


@dataclass(frozen=True, slots=True)
class WeekOfFailures:
    """How many failures there were from a Monday to the Sunday after it."""

    monday: date
    opened: int
    mended: int
    """Closed as ok."""
    time_to_mend: timedelta | None
    """The median of those mended; None where none was."""


@dataclass(frozen=True, slots=True)
class Week:
    """What was read in seven days."""

    checked: int
    last_checked_at: datetime | None
    failures: WeekOfFailures


@dataclass(frozen=True, slots=True)
class Snoozed:
    """Open failures that somebody put off: they are on no list of what is open."""

    count: int
    next_at: datetime
    """When the first of them is on it again."""


def digest(account: str, deferred: Sequence[DeferredOrder], style: Style, *, desk_link: str | None = None) -> Alert:
    """Write the alerts that were deferred as one; one of them at least.

    `desk_link` is here and below the address of the account's list on the desk, where there is one.
    """
    language = style.language
    failing, expired, resolved = (_of_kind(deferred, kind) for kind in ("failing", "expired", "resolved"))
    since = texts.local(min(order.since for order in deferred), style.timezone)
    codes = [fault.code for order in failing for fault in order.faults]
    failures = _within_limits((_listed(account, order, language) for order in failing), style.summary_orders)
    last_notices = _within_limits((_listed(account, order, language) for order in expired), MOST_EXPIRED)
    with_archived = " --all" if len(last_notices) < len(expired) else ""  # no later list has those that expired
    body = render(
        "digest",
        style,
        account=account,
        since=texts.date(since, language),
        failing=len(failing),
        expired=len(expired),
        resolved=len(resolved),
        has_missing=Code.MISSING in codes,
        lacks_invoice=Code.NO_INVOICE in codes,
        has_tracking=not NOT_ON_ITS_WAY.isdisjoint(codes),
        has_keys=_have_keys([*failing[: len(failures)], *expired[: len(last_notices)]]),
        counts=_counts(failing, language),
        groups=[
            *_group("failing", len(failing), failures),
            *_group("expired", len(expired), last_notices),
            *_group_of_resolved(resolved, max(0, style.summary_orders - len(failing))),
        ],
        has_unnamed=len(last_notices) < len(expired),
        list_command=_command(f"failures --account {account}{with_archived} --format csv", style),
        desk_link=desk_link,
    )
    worst_first = ((texts.DIGEST_FAILING, failing), (texts.DIGEST_EXPIRED, expired), (texts.DIGEST_RESOLVED, resolved))
    headline, count = next((said, len(orders)) for said, orders in worst_first if orders)  # there is room for one
    is_in_key = (NOT_ON_ITS_WAY | {Code.NO_INVOICE}).isdisjoint(codes)
    where = (texts.IN_KEY if is_in_key else texts.IN_INVOICE).to(language)
    ways = headline.ways(language, count, where=where, since=texts.since(since, language))
    return _summary(account, "digest", "error" if failing or expired else "info", ways, body, style, codes=codes)


def reminder(
    account: str,
    failures: Sequence[OpenFailure],
    *,
    now: datetime,
    since_last: SinceLast | None,
    without_tracking: int,
    last_week: WeekOfFailures | None = None,
    style: Style,
    snoozed: Snoozed | None = None,
    desk_link: str | None = None,
) -> Alert:
    """Write the daily list of what is open, one failure at least.

    `without_tracking` counts the orders with good keys that lack their tracking number or carrier. `last_week` is told
    where it is given.
    """
    language = style.language
    oldest_first = sorted(failures, key=lambda failure: (failure.opened_at, failure.order_id))
    codes = [failure.faults[0].code for failure in oldest_first]
    is_about_keys = NOT_ON_ITS_WAY.isdisjoint(codes)  # the others have good keys
    what = texts.WITHOUT_KEY if is_about_keys else texts.TO_BE_FIXED
    age = texts.age(now - oldest_first[0].opened_at, language)
    reason = _SETTLED.to(language)
    ages = [texts.age(now - failure.opened_at, language) for failure in oldest_first]
    rows = (_listed(account, failure, language, open_for) for failure, open_for in zip(oldest_first, ages, strict=True))
    listed = _within_limits(rows, style.summary_orders)
    body = render(
        "reminder",
        style,
        account=account,
        count=len(failures),
        is_about_keys=is_about_keys,
        stale=sum(now - failure.checked_at > FRESH_FOR for failure in failures),
        oldest_reading=local_date(min(failure.checked_at for failure in failures), style),
        readings=_readings([failure.checked_at for failure in failures], style),
        lacks_invoice=any(fault.code is Code.NO_INVOICE for failure in failures for fault in failure.faults),
        lines=_apart(listed),
        more=len(failures) - len(listed),
        has_keys=_have_keys(oldest_first[: len(listed)]),
        since_last=since_last,
        since=local_date(since_last.at, style) if since_last else None,
        without_tracking=without_tracking,
        last_week=_told_of_week(last_week, language) if last_week else "",
        dismiss_command=_command(f'dismiss {_AN_ORDER.to(language)} --account {account} --reason "{reason}"', style),
        list_command=_command(f"failures --account {account} --format csv", style),
        **_snoozed(snoozed, style),
        desk_link=desk_link,
    )
    ways = texts.REMINDER.ways(language, len(failures), what=what.to(language), age=age)
    return _summary(account, "reminder", "error", ways, body, style, codes=codes)


def all_well(
    account: str, week: Week, style: Style, *, snoozed: Snoozed | None = None, desk_link: str | None = None
) -> Alert:
    """Write the sign of life of a week at whose end nothing is open; where nothing was read, it asks for a look."""
    template, headline, severity = (
        ("all_well", texts.ALL_WELL, "info") if week.checked else ("none_read", texts.NONE_READ, "error")
    )
    body = render(
        template,
        style,
        account=account,
        checked=week.checked,
        last_week=_told_of_week(week.failures, style.language),
        last_checked_at=local_date(week.last_checked_at, style) if week.last_checked_at else None,
        **_snoozed(snoozed, style),
        desk_link=desk_link,
    )
    return _summary(account, "reminder", severity, headline.ways(style.language, week.checked), body, style)


def trial(account: str, style: Style) -> Alert:
    """Write the test e-mail that shows that alerts arrive."""
    body = render("trial", style, account=account)
    return _summary(account, "test", "info", texts.TRIAL.ways(style.language), body, style)


_AN_ORDER = Said("PEDIDO", "ORDER")
_SETTLED = Said("resolvido no portal da Casas Bahia", "settled in the Casas Bahia portal")


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
    orders = Counter(order.faults[0].code for order in failing if order.faults).most_common(MOST_COUNTS)
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


def _group(kind: str, count: int, listed: Sequence[Sequence[str]]) -> list[_Group]:
    """Return the orders of a kind, of which some are listed; no group where none is."""
    return [_Group(kind, count, len(listed), tuple(_apart(listed)))] if listed else []


def _group_of_resolved(orders: Sequence[DeferredOrder], most: int) -> list[_Group]:
    """Return the orders on which nothing is to be done at VTEX, by their ids alone."""
    named = [order.order_id for order in orders[:most]]
    lines = tuple(", ".join(line) for line in batched(named, ORDERS_A_LINE, strict=False))
    return [_Group("resolved", len(orders), len(named), lines)] if named else []


def _listed(account: str, order: DeferredOrder | OpenFailure, language: str, *before: str) -> list[str]:
    """Return an order as a list has it: what is wrong with which invoice, the key that we suggest, the order's link."""
    begin = (*before, order.order_id)
    lines = _fault_lines(order.faults[0], language, *begin) if order.faults else [" | ".join(begin)]
    others = order.faults[1:]
    for fault in others[: texts.MOST_OTHERS]:
        more, *key = _fault_lines(fault, language)
        lines += [texts.ALSO.to(language) + more, *key]
    if others[texts.MOST_OTHERS :]:
        lines.append(texts.and_more(len(others) - texts.MOST_OTHERS, language))
    return [*lines, fields.order_url(account, order.order_id)]


def _fault_lines(fault: Fault, language: str, *before: str) -> list[str]:
    """Return a fault in a line; a suggested key stands alone on a second one, to be copied."""
    number = texts.number_shown(fault.invoice_number)
    of_invoice = [texts.AN_INVOICE_BRIEFLY.to(language).format(number=number)] if number else []
    row = " | ".join([*before, *of_invoice, texts.PHRASES[fault.code].tallied.to(language)])
    if fault.suggested_key:
        return [row + texts.SUGGESTED_KEY.to(language), fault.suggested_key]
    return [row + (texts.WITH_SUGGESTION.to(language) if fault.has_suggestion else "")]


def _within_limits(listed: Iterable[list[str]], most: int) -> list[list[str]]:
    """Return the first ones, so many and so many bytes at the most: the others are counted."""
    left, fitting = LONGEST_LISTING, []
    for lines in islice(listed, most):
        left -= len(json.dumps(lines, ensure_ascii=False).encode())
        if left < 0:
            break
        fitting.append(lines)
    return fitting


def _apart(listed: Sequence[Sequence[str]]) -> list[str]:
    """Return their lines, with an empty one between two orders."""
    return [line for lines in listed for line in ("", *lines)][1:]


def _snoozed(snoozed: Snoozed | None, style: Style) -> dict[str, object]:
    if snoozed is None:
        return {"snoozed": 0}
    back_on = texts.day(texts.local(snoozed.next_at, style.timezone), style.language)
    return {"snoozed": snoozed.count, "back_on": back_on}


def _have_keys(orders: Sequence[DeferredOrder | OpenFailure]) -> bool:
    return any(fault.suggested_key for order in orders for fault in order.faults[: texts.MOST_OTHERS + 1])


def _readings(moments: Sequence[datetime], style: Style) -> str:
    first, last = (texts.local(moment, style.timezone) for moment in (min(moments), max(moments)))
    return texts.readings(first, last, style.language)


def _told_of_week(week: WeekOfFailures, language: str) -> str:
    """Say what became of a week in one line; nothing where nothing happened in it."""
    if not (week.opened or week.mended):
        return ""
    first, last = (texts.day_and_month(day, language) for day in (week.monday, week.monday + timedelta(days=6)))
    return texts.week(first, last, opened=week.opened, mended=week.mended, within=week.time_to_mend, language=language)


def _command(arguments: str, style: Style) -> str:
    """Return a command of the operators, for the stack that sends the text."""
    return f"invoicekey {arguments}{texts.leading_to(style.stack)}"
