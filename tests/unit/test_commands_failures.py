import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from invoicekey.rules.notification import OrderRef
from operations.terminal.plain import as_csv, short_age
from tests.desk import CREDENTIALS, Desk, Said, at_a_desk
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
    assert (said.code, orders(said)) == (3, ["VVJ-2-01", "VVJ-1-01"])


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


def test_an_item_that_somebody_spoilt_is_left_out_and_the_others_are_listed(desk: Desk) -> None:
    desk.shop.table.update("order#luxstore#VVJ-2-01", "SET opened_at = :corrupt", corrupt="yesterday")

    said = desk.run("failures --format json")

    assert (said.code, orders(said)) == (3, ["VVJ-1-01"])


@pytest.mark.parametrize("is_checked_since", [False, True])
def test_what_is_set_aside_is_listed_only_with_all(desk: Desk, is_checked_since: bool) -> None:
    desk.run("dismiss VVJ-1-01 --reason x")
    if is_checked_since:
        desk.check(desk.invoice("VVJ-1-01", sale("1", None)), at=NOW)

    assert orders(desk.run("failures --format json")) == ["VVJ-2-01"]
    found = {one["order"]: one["state"] for one in desk.run("failures --format json --all").json}
    assert found == {"VVJ-2-01": "open", "VVJ-1-01": "dismissed"}


def test_one_that_is_snoozed_is_listed_with_its_day_and_fails_all_the_same(desk: Desk) -> None:
    desk.run("snooze VVJ-1-01 --days 3")
    desk.run("dismiss VVJ-2-01 --reason x")

    said = desk.run("failures --format json")

    assert said.code == 3
    (row,) = said.json
    assert (row["order"], row["state"]) == ("VVJ-1-01", "snoozed")
    assert datetime.fromisoformat(row["snoozed_until"]) > NOW + timedelta(days=2)


def test_one_whose_day_has_come_is_open_again(desk: Desk) -> None:
    ledger = desk.shop.ledger
    entry = ledger.read_one(OrderRef("luxstore", "VVJ-1-01"))
    ledger.write(replace(entry, snoozed_until=NOW - timedelta(minutes=1)))

    states = {one["order"]: one["state"] for one in desk.run("failures --format json").json}

    assert states == {"VVJ-1-01": "open", "VVJ-2-01": "open"}


def test_the_table_has_columns_for_the_state_only_where_one_is_snoozed(desk: Desk) -> None:
    before = desk.run("failures", columns=200).out
    desk.run("snooze VVJ-1-01 --days 3")
    said = desk.run("failures", columns=200)

    assert "snoozed until" not in before
    assert "snoozed until" in said.out.splitlines()[0]
    assert "1 open, 1 snoozed." in said.err


def test_none_is_said_on_stderr_and_is_no_error() -> None:
    with at_a_desk() as desk:
        said = desk.run("failures")
        assert (said.code, said.out) == (0, "")
        assert said.err == "No failure is open.\n"
        assert desk.run("failures --format json").json == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--code reused", "None of the 2 open failures is like that.\n"),
        ("--older-than 4d --account luxstore", "None of the 2 open failures of luxstore is like that.\n"),
        ("--code reused --all", "None of the 2 failures is like that.\n"),
    ],
)
def test_that_none_is_like_what_was_asked_for_is_not_that_none_is_open(desk: Desk, options: str, told: str) -> None:
    said = desk.run(f"failures {options}")
    assert (said.code, said.out, said.err) == (0, "", told)


def test_what_to_type_next_leads_to_the_same_place(desk: Desk) -> None:
    desk.is_given(region="sa-east-1")
    said = desk.run("failures")
    assert "Why: invoicekey check ORDER --region sa-east-1." in said.err
    assert "invoicekey explain ORDER --region sa-east-1." in said.err


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(desk: Desk, columns: int) -> None:
    said = desk.run("failures", columns=columns)

    assert "VVJ-2-01" in said.out
    assert max(map(len, said.out.splitlines())) <= columns


def test_order_and_account_are_never_cut(desk: Desk) -> None:
    order_id, account = f"VVJ-{'7' * 60}", "a-shop-with-a-long-name"
    desk.check(desk.invoice(order_id, sale("1", None)), at=NOW)
    desk.deployment.secrets["VtexCredentialsSecretArn"][account] = CREDENTIALS
    desk.check(desk.invoice("VVJ-9-01", sale("1", None), account=account), at=NOW)

    lines = desk.run("failures", columns=80).out.splitlines()

    assert order_id in lines
    assert f"account {account};" in " ".join(lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("columns", "shown", "left_out"),
    [
        (80, "order opened age problem invoice suggestion next", ""),
        (65, "order age problem invoice suggestion next", "opened"),
        (50, "order age problem invoice suggestion", "opened, next"),
        (40, "order age problem invoice", "opened, suggestion, next"),
    ],
)
def test_a_column_is_left_out_only_where_there_is_no_room_and_it_is_said(
    desk: Desk, columns: int, shown: str, left_out: str
) -> None:
    said = desk.run("failures", columns=columns)
    assert said.out.split("\n")[0].split() == shown.split()
    told = re.findall(r"Left out for want of room: (.*?)\.", " ".join(said.err.split()))
    assert told == ([left_out] if left_out else [])


def test_where_no_table_fits_each_failure_has_all_of_it_on_lines_of_its_own(desk: Desk) -> None:
    said = desk.run("failures", columns=30)
    first = " ".join(said.out.split("VVJ-1-01")[0].split())
    assert re.fullmatch(r"VVJ-2-01 opened .+; age 3 d; problem malformed; invoice 2; suggestion yes; next .+", first)
    assert "Left out" not in said.err


def test_in_a_pipe_the_table_is_neither_cut_nor_coloured(desk: Desk) -> None:
    line = desk.run("failures").out.splitlines()[1]
    assert line.rstrip().endswith("https://luxstore.myvtex.com/admin/orders/VVJ-2-01")


def test_no_cell_of_the_csv_is_a_formula_wherever_a_spreadsheet_splits(desk: Desk) -> None:
    """Excel splits at `;` where 1,5 is a number, as in Brazil; a cell's quotes mean nothing to it then."""
    numbers = ('=HYPERLINK("http://x")', "1;=HYPERLINK(A1)", "+5", "@A1", "2")
    desk.check(desk.invoice("VVJ-4-01", *(sale(number, None) for number in numbers)), at=NOW)

    written = desk.run("failures --format csv").out

    for delimiter in ",;\t":
        cells = [cell for row in csv.reader(io.StringIO(written), delimiter=delimiter) for cell in row]
        assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@"))]
    assert "VVJ-4-01" in written


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=A1", "'=A1"),
        ("  =A1", "'=A1"),
        ("＝A1", "'＝A1"),
        ("1;=A1", "1,=A1"),
        (";=A1", ",=A1"),
        ("1\n=A1", "1 =A1"),
        ("1\r=A1", "1 =A1"),
        ("1\t=A1", "1 =A1"),
        ("643797", "643797"),
    ],
)
def test_a_cell_holds_no_formula_and_nothing_that_ends_it(value: str, cell: str) -> None:
    _, row = csv.reader(io.StringIO(as_csv(["only"], [{"only": value}])))
    assert row == [cell]


def test_several_codes_and_invoices_share_a_cell(desk: Desk) -> None:
    desk.check(desk.invoice("VVJ-4-01", sale("8", None), sale("9", "rubbish")), at=NOW)
    rows = {row["order"]: row for row in csv.DictReader(io.StringIO(desk.run("failures --format csv").out))}
    assert rows["VVJ-4-01"]["codes"] == "missing | malformed"
    assert rows["VVJ-4-01"]["invoices"] == "8 | 9"


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
        ("--code number_mismatch", "a warning, which opens no failure. There are: missing, malformed,"),
        ("--older-than soon", "no span of time"),
        ("--account nobody", "no credentials of nobody"),
    ],
)
def test_bad_input_is_one_line(desk: Desk, options: str, told: str) -> None:
    said = desk.run(f"failures {options}")
    assert (said.code, said.err.count("\n"), said.out) == (2, 1, "")
    assert told in said.err
