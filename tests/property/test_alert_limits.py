"""Whatever stands in an order's fields, an alert keeps its limits and its layout; so does a summary of any number."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from invoicekey.messages import alert, summary, texts
from invoicekey.messages.alert import Alert, Style
from invoicekey.messages.chat import ChatMessage
from invoicekey.messages.links import LONGEST_TOKEN
from invoicekey.messages.summary import DeferredOrder, Fault, OpenFailure, SinceLast, Snoozed, Week, WeekOfFailures
from invoicekey.rules.notification import is_order_id
from invoicekey.rules.order import Order
from invoicekey.rules.verdict import NOT_ON_ITS_WAY, Code, Problem, Severity, Suggestion, SuggestionSource

slow_at_first = settings(deadline=None)
"""The first example of a template pays for its compilation."""

KEY = "35260311222333000181550010006437971732194052"

order_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(is_order_id)
accounts = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
nasty = st.sampled_from(
    ["\n", "\r\n", "\u2028", "\x85", "\x00", "\u202e", "«", "»", "<", "@", "://", "{{ 1 }}", "{number}"]
)
pieces = st.lists(st.one_of(st.text(max_size=20), nasty, st.sampled_from([KEY, "9" * 5_000])), max_size=6)
foreign = pieces.map("".join)
values = st.one_of(foreign, st.none(), st.integers(), st.floats(), st.booleans(), st.lists(foreign, max_size=2))
errors = st.sampled_from([code for code in Code if code.severity is Severity.ERROR])
suggestions = st.none() | st.builds(Suggestion, st.just(KEY), st.sampled_from(SuggestionSource))
numbers = st.none() | foreign
other_orders = st.none() | order_ids
problems = st.builds(Problem, st.sampled_from(Code), numbers, values, suggestions, numbers)
overdue = st.builds(Problem, st.sampled_from(sorted(NOT_ON_ITS_WAY)), numbers, values, is_overdue=st.just(True))
reused = st.builds(Problem, st.just(Code.REUSED), numbers, values, suggestions, numbers, other_orders)
first_problems = st.one_of(st.builds(Problem, errors, numbers, values, suggestions, numbers), reused, overdue)
stacks = st.just("invoicekey") | st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,127}", fullmatch=True)
styles = st.builds(
    Style, st.sampled_from(texts.LANGUAGES), st.sampled_from(["America/Sao_Paulo", "America/Rio_Branco"]), stack=stacks,
)  # fmt: skip
LINK = f"https://a1b2c3d4e5.execute-api.ap-southeast-7.amazonaws.com/desk/{'-_Aa' * (LONGEST_TOKEN // 4)}"
links = st.none() | st.just(LINK)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001

weeks_of_failures = st.builds(
    WeekOfFailures,
    moments.map(datetime.date),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.none() | st.timedeltas(timedelta(0), timedelta(400)),
)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    types = draw(st.lists(st.sampled_from(["Output", "Input"]), max_size=3))
    return Order.model_validate({
        "orderId": draw(order_ids),
        "status": draw(foreign),
        "marketplaceOrderId": draw(values),
        "invoicedDate": draw(st.one_of(values, st.datetimes().map(datetime.isoformat))),
        "packageAttachment": {"packages": [{"type": kind} for kind in types]},
    })  # fmt: skip


@st.composite
def _problems_found(draw: st.DrawFn) -> list[Problem]:
    return [draw(first_problems), *draw(st.lists(st.one_of(problems, overdue, reused), max_size=8))]


problems_found = _problems_found()


@st.composite
def failing_alerts(draw: st.DrawFn) -> tuple[Order, Alert]:
    order = draw(orders())
    told = alert.failing(
        draw(accounts), order, draw(problems_found), draw(styles),
        mended_at=draw(st.none() | moments), desk_link=draw(links),
    )  # fmt: skip
    return order, told


@st.composite
def expired_alerts(draw: st.DrawFn) -> tuple[Order, Alert]:
    order, opened = draw(orders()), draw(moments)
    now = opened + draw(st.timedeltas(timedelta(days=-1), timedelta(days=10_000)))
    told = alert.expired(
        draw(accounts), order, draw(problems_found), opened_at=opened, now=now, style=draw(styles),
        desk_link=draw(links),
    )  # fmt: skip
    return order, told


@st.composite
def resolved_alerts(draw: st.DrawFn) -> tuple[Order, Alert]:
    order = draw(orders())
    keys = draw(st.lists(st.tuples(numbers, foreign), max_size=8))
    warnings = [problem for problem in draw(st.lists(problems, max_size=8)) if problem.severity is Severity.WARNING]
    opened = draw(moments)
    now = opened + draw(st.timedeltas(timedelta(days=-1), timedelta(days=60)))
    told = alert.resolved(
        draw(accounts), order, keys, warnings, opened_at=opened, now=now, style=draw(styles), desk_link=draw(links)
    )  # fmt: skip
    return order, told


told_of_orders = st.one_of(failing_alerts(), resolved_alerts(), expired_alerts())


@st.composite
def digests(draw: st.DrawFn) -> Alert:
    one = st.builds(
        DeferredOrder,
        order_ids,
        st.sampled_from(["failing", "resolved", "expired"]),
        st.lists(faults, max_size=6).map(tuple),
        moments,
    )
    held = draw(st.lists(one, min_size=1, max_size=8))
    return summary.digest(draw(accounts), held * draw(times), draw(styles), desk_link=draw(links))


@st.composite
def reminders(draw: st.DrawFn) -> Alert:
    one = st.builds(OpenFailure, order_ids, moments, moments, st.lists(faults, min_size=1, max_size=6).map(tuple))
    open_failures = draw(st.lists(one, min_size=1, max_size=8))
    counts = st.integers(0, 10_000)
    return summary.reminder(
        draw(accounts),
        open_failures * draw(times),
        now=draw(moments),
        since_last=draw(st.none() | st.builds(SinceLast, moments, counts, counts)),
        without_tracking=draw(counts),
        last_week=draw(st.none() | weeks_of_failures),
        style=draw(styles),
        snoozed=draw(st.none() | st.builds(Snoozed, st.integers(1, 10_000), moments)),
        desk_link=draw(links),
    )


failures = errors | st.sampled_from(sorted(NOT_ON_ITS_WAY))
faults = st.builds(Fault, failures, numbers, st.none() | st.just(KEY), st.booleans())
times = st.sampled_from([1, 2, 7, 1_000])
weeks = st.builds(Week, st.integers(0, 10_000), st.none() | moments, weeks_of_failures)
summaries = st.one_of(
    digests(),
    reminders(),
    st.builds(summary.all_well, accounts, weeks, styles),
    st.builds(summary.trial, accounts, styles),
)


@slow_at_first
@given(told_of_orders)
def test_the_limits_hold(told_of_order: tuple[Order, Alert]) -> None:
    order, told = told_of_order

    assert len(told.body.splitlines()) <= 18
    assert len(told.body.encode()) < 20_000
    for text, longest in ((told.subject, 99), (told.sms, 140)):
        assert text.startswith(f"{order.order_id}: ")
        assert len(text) <= longest
        assert re.fullmatch(r"[ -~]+", text)
    assert not set("[]{}~^|\\`") & set(told.sms)


@slow_at_first
@given(told_of_orders)
def test_nothing_foreign_gets_out_of_its_place(told_of_order: tuple[Order, Alert]) -> None:
    _, told = told_of_order

    assert all(line.isprintable() for line in told.body.split("\n"))
    assert "<" not in told.body
    assert "@" not in told.body
    assert told.body.count("://") == 1 + told.body.split("\n").count(LINK)
    assert told.body.count("«") == told.body.count("»") <= 1
    assert json.loads(told.message())["sms"] == told.sms


@slow_at_first
@given(told_of_orders)
def test_a_chat_message_keeps_its_limits_and_its_thread(told_of_order: tuple[Order, Alert]) -> None:
    order, told = told_of_order

    message = _chat(told)
    content, shown = message["content"], json.dumps(message["content"], ensure_ascii=False)

    ChatMessage.model_validate(message)
    assert message["metadata"]["threadId"] == f"{told.attributes['account']}:{order.order_id}"
    has_link = LINK in told.body
    assert shown.count("://") == 1 + has_link
    assert content["description"].split("\n").count(LINK) == has_link
    told_there = "\n".join([content["title"], content["description"], *content.get("nextSteps", [])])
    assert not set("*~[]") & set(told_there)
    assert not re.search(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", without_addresses(told_there))
    assert all(re.fullmatch(r"`[0-9A-Z]{44}`|[^`]*", line) for line in content["description"].split("\n"))


def without_addresses(text: str) -> str:
    return re.sub(r"\S*://\S*", "", text)


@slow_at_first
@given(summaries)
def test_a_summary_keeps_its_limits(told: Alert) -> None:
    account = f"{told.attributes['account']}: "

    assert all(line.isprintable() for line in told.body.split("\n"))
    assert "\n\n\n" not in told.body
    for text, longest in ((told.subject, 99), (told.sms, 140)):
        assert text.startswith(account)
        assert text != account
        assert len(text) <= longest
        assert re.fullmatch(r"[ -~]+", text)
    assert not set("[]{}~^|\\`") & set(told.sms)
    ChatMessage.model_validate(_chat(told))
    assert len(told.message(chat=True).encode()) < 50_000


def _chat(told: Alert) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(json.loads(told.message(chat=True))["https"])
    return message


@slow_at_first
@given(errors, foreign, foreign.filter(str.strip), orders(), styles)
def test_hostile_fields_leave_the_lines_where_they_are(
    code: Code, number: str, key: str, order: Order, style: Style
) -> None:
    hostile = alert.failing("luxstore", order, [Problem(code, number, key, reused_on=number)], style)
    harmless = alert.failing("luxstore", order, [Problem(code, "643797", "1", reused_on="643798")], style)

    assert [_kind(line) for line in hostile.body.split("\n")[1:]] == [
        _kind(line) for line in harmless.body.split("\n")[1:]
    ]


def _kind(line: str) -> str:
    """Return what a line begins with, which says what it is about."""
    return line[:4]
