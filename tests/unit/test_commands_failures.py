import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from operations.plain import short_age
from tests.desk import Desk, Said, at_a_desk
from tests.keys import make_key
from tests.orders import sale

NOW = datetime.now(UTC)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        desk.check(desk.invoice("VVJ-1-01", sale("1", None)), at=NOW - timedelta(hours=1))
        desk.check(desk.invoice("VVJ-2-01", sale("2", f"NFe {make_key(number=2)}")), at=NOW - timedelta(days=3))
        desk.check(desk.invoice("VVJ-3-01", sale()), at=NOW)
        yield desk


def orders(said: Said) -> list[str]:
    return [one["order"] for one in said.json]


def test_open_failures_come_oldest_first(desk: Desk) -> None:
    said = desk.run("failures --format json")
    assert (said.code, orders(said)) == (0, ["VVJ-2-01", "VVJ-1-01"])


def test_a_row_says_what_is_wrong_and_where_to_go_on(desk: Desk) -> None:
    (row, _) = csv.DictReader(io.StringIO(desk.run("failures --format csv").out))

    assert row["account"] == "luxstore"
    assert row["order"] == "VVJ-2-01"
    assert row["codes"] == "malformed"
    assert row["invoices"] == "2"
    assert row["suggestion"] == "yes"
    assert row["age"] == "3 days"
    assert row["link"] == "https://luxstore.myvtex.com/admin/orders/VVJ-2-01"
    assert datetime.fromisoformat(row["opened"]) == (NOW - timedelta(days=3)).replace(microsecond=0)
    assert row["next_reading"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--code malformed", ["VVJ-2-01"]),
        ("--code MISSING --code malformed", ["VVJ-2-01", "VVJ-1-01"]),
        ("--code reused", []),
        ("--older-than 2d", ["VVJ-2-01"]),
        ("--older-than 30m", ["VVJ-2-01", "VVJ-1-01"]),
        ("--account luxstore", ["VVJ-2-01", "VVJ-1-01"]),
    ],
)
def test_filters(desk: Desk, options: str, expected: list[str]) -> None:
    assert orders(desk.run(f"failures --format json {options}")) == expected


def test_what_is_set_aside_is_listed_only_with_all(desk: Desk) -> None:
    desk.run("dismiss VVJ-1-01 --reason x")

    assert orders(desk.run("failures --format json")) == ["VVJ-2-01"]
    assert [(one["order"], one["state"]) for one in desk.run("failures --format json --all").json] == [
        ("VVJ-2-01", "open"),
        ("VVJ-1-01", "dismissed"),
    ]


def test_what_was_set_aside_long_ago_is_found_by_its_last_check(desk: Desk) -> None:
    desk.run("dismiss VVJ-1-01 --reason x")
    desk.check(desk.invoice("VVJ-1-01", sale("1", None)), at=NOW)

    found = {one["order"]: one["state"] for one in desk.run("failures --format json --all").json}

    assert found == {"VVJ-2-01": "open", "VVJ-1-01": "dismissed"}


def test_none_is_said_on_stderr_and_is_no_error() -> None:
    with at_a_desk() as desk:
        said = desk.run("failures")
        assert (said.code, said.out) == (0, "")
        assert "No failure is open." in said.err
        assert desk.run("failures --format json").json == []


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(desk: Desk, columns: int) -> None:
    said = desk.run("failures", columns=columns)

    assert "VVJ-2-01" in said.out
    assert max(map(len, said.out.splitlines())) <= columns


def test_in_a_pipe_the_table_is_neither_cut_nor_coloured(desk: Desk) -> None:
    line = desk.run("failures").out.splitlines()[1]
    assert line.rstrip().endswith("https://luxstore.myvtex.com/admin/orders/VVJ-2-01")


def test_no_cell_of_the_csv_is_a_formula(desk: Desk) -> None:
    desk.check(desk.invoice("VVJ-4-01", sale('=HYPERLINK("http://x")', None)), at=NOW)
    rows = {row["order"]: row for row in csv.DictReader(io.StringIO(desk.run("failures --format csv").out))}
    assert not rows["VVJ-4-01"]["invoices"].startswith("=")


@pytest.mark.parametrize(
    ("span", "told"),
    [({"seconds": 59}, "0 min"), ({"minutes": 59}, "59 min"), ({"hours": 23}, "23 h"), ({"hours": 50}, "2 d")],
)
def test_an_age_is_told_in_its_largest_unit(span: dict[str, int], told: str) -> None:
    assert short_age(timedelta(**span)) == told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--code nonsense", "no such problem code"),
        ("--older-than soon", "no span of time"),
        ("--account nobody", "no credentials of nobody"),
    ],
)
def test_bad_input_is_one_line(desk: Desk, options: str, told: str) -> None:
    said = desk.run(f"failures {options}")
    assert (said.code, said.err.count("\n"), said.out) == (1, 1, "")
    assert told in said.err
