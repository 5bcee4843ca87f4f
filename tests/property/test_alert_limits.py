"""Whatever stands in an order's fields, an alert keeps its limits and its layout."""

import json
import re
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from invoicekey import alert, texts
from invoicekey.alert import Alert, Style
from invoicekey.order import Order
from invoicekey.verdict import Code, Problem, Severity, Suggestion, SuggestionSource

slow_at_first = settings(deadline=None)
"""The first example of a template pays for its compilation."""

KEY = "35260311222333000181550010006437971732194052"

order_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", fullmatch=True)
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
problems = st.builds(Problem, st.sampled_from(Code), numbers, values, suggestions, numbers)
first_problems = st.builds(Problem, errors, numbers, values, suggestions, numbers)
styles = st.builds(Style, st.sampled_from(texts.LANGUAGES))


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
def failing_alerts(draw: st.DrawFn) -> tuple[Order, Alert]:
    order = draw(orders())
    found = [draw(first_problems), *draw(st.lists(problems, max_size=8))]
    return order, alert.failing(draw(accounts), order, found, draw(styles))


@st.composite
def resolved_alerts(draw: st.DrawFn) -> tuple[Order, Alert]:
    order = draw(orders())
    keys = draw(st.lists(st.tuples(numbers, foreign), max_size=8))
    warnings = [problem for problem in draw(st.lists(problems, max_size=8)) if problem.severity is Severity.WARNING]
    opened = draw(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
    now = opened + draw(st.timedeltas(timedelta(days=-1), timedelta(days=60)))
    return order, alert.resolved(draw(accounts), order, keys, warnings, opened_at=opened, now=now, style=draw(styles))


told_of_orders = st.one_of(failing_alerts(), resolved_alerts())


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
    assert told.body.count("://") == 1
    assert told.body.count("«") == told.body.count("»") <= 1
    assert json.loads(told.message())["sms"] == told.sms


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
