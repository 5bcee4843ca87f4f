"""`invoicekey snooze`: nobody is reminded of an order before a day, and it can be taken back."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from invoicekey.ledger.entries import Entry
from invoicekey.rules.notification import OrderRef
from invoicekey.work.acts import LONGEST_SNOOZE
from operations.command_line import MOST_DAYS
from operations.commands.snooze import _read
from tests.desk import Desk, at_a_desk
from tests.orders import sale

ZONE = ZoneInfo("America/Sao_Paulo")


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        desk.check(*(desk.invoice(f"VVJ-{number}-01", sale(str(number), None)) for number in (1, 2)))
        desk.check(desk.invoice("VVJ-3-01", sale()))
        yield desk


def entry(desk: Desk, order_id: str) -> Entry:
    return desk.shop.ledger.read_one(OrderRef("luxstore", order_id))


def today() -> date:
    return datetime.now(UTC).astimezone(ZONE).date()


def in_days(days: int) -> date:
    return today() + timedelta(days=days)


def snoozed_until(desk: Desk, order_id: str) -> date | None:
    until = entry(desk, order_id).snoozed_until
    return until.astimezone(ZONE).date() if until else None


def test_each_order_is_snoozed_until_the_shop_s_day_begins_and_told_in_a_line(desk: Desk) -> None:
    said = desk.run("snooze VVJ-1-01 VVJ-2-01 --days 3")

    assert said.code == 0
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["VVJ-1-01", "VVJ-2-01"]
    assert {snoozed_until(desk, f"VVJ-{number}-01") for number in (1, 2)} == {in_days(3)}
    until = entry(desk, "VVJ-1-01").snoozed_until
    assert until is not None
    assert f"{until.astimezone(ZONE):%H:%M:%S}" == "00:00:00"
    assert f"No reminder before {in_days(3).day} {in_days(3):%b %Y}" in said.out


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d/%m", "%d/%m/%Y"])
def test_a_day_is_named_as_people_write_it(desk: Desk, form: str) -> None:
    assert desk.run(f"snooze VVJ-1-01 --until {in_days(14):{form}}").code == 0
    assert snoozed_until(desk, "VVJ-1-01") == in_days(14)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-12-04", date(2026, 12, 4)),
        ("04/12", date(2026, 12, 4)),
        ("4/12", date(2026, 12, 4)),
        ("02/01", date(2027, 1, 2)),
        ("30/12", date(2026, 12, 30)),
        ("31/02", None),
        ("12/31", None),
        ("tomorrow", None),
    ],
)
def test_a_day_without_a_year_is_the_next_one(text: str, day: date | None) -> None:
    assert _read(text, date(2026, 11, 30)) == day


@pytest.mark.parametrize("days", [-1, 0, 15])
def test_a_day_that_is_over_or_too_far_away_is_refused_with_what_may_be_named(desk: Desk, days: int) -> None:
    said = desk.run(f"snooze VVJ-1-01 --until {in_days(days)}")
    assert said.code == 2
    assert f"from {in_days(1)} to {in_days(14)}" in said.err
    assert snoozed_until(desk, "VVJ-1-01") is None


@pytest.mark.parametrize(
    "options", ["", "--days 0", "--days 15", "--until soon", "--days 2 --undo", f"--days 2 --until {date.max}"]
)
def test_one_way_to_say_until_when_is_needed(desk: Desk, options: str) -> None:
    assert desk.run(f"snooze VVJ-1-01 {options}").code == 2
    assert snoozed_until(desk, "VVJ-1-01") is None


def test_what_is_not_open_is_told_and_the_others_are_done(desk: Desk) -> None:
    said = desk.run("snooze VVJ-3-01 VVJ-9-01 VVJ-1-01 --days 1")
    assert said.code == 1
    assert "VVJ-3-01: it is not failing" in said.err
    assert "VVJ-9-01: this stack has never seen it" in said.err
    assert snoozed_until(desk, "VVJ-1-01") == in_days(1)


def test_it_is_taken_back(desk: Desk) -> None:
    desk.run("snooze VVJ-1-01 --days 1")
    said = desk.run("snooze VVJ-1-01 VVJ-2-01 --undo")
    assert said.code == 1
    assert "VVJ-1-01: no longer snoozed" in said.out
    assert "VVJ-2-01: it is open since" in said.err
    assert snoozed_until(desk, "VVJ-1-01") is None


def test_an_order_that_is_dismissed_is_no_longer_snoozed(desk: Desk) -> None:
    desk.run("snooze VVJ-1-01 --days 1")
    desk.run("dismiss VVJ-1-01 --reason x")
    said = desk.run("snooze VVJ-1-01 --days 1")
    assert said.code == 1
    assert "it is archived already" in said.err


def test_what_is_snoozed_still_fails(desk: Desk) -> None:
    desk.run("snooze VVJ-1-01 --days 1")
    assert desk.run("failures").code == 3


def test_the_help_s_longest_time_is_the_longest_that_is_done() -> None:
    assert LONGEST_SNOOZE.days == MOST_DAYS
