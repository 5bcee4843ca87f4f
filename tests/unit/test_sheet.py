"""Lists for spreadsheets: as Brazil's take them, with everything that one needs to mend an order."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from invoicekey.messages.sheet import Exact, problem, sheet
from tests.desk import Desk, at_a_desk
from tests.keys import make_key
from tests.orders import sale

NOW = datetime.now(UTC)
KEY = make_key(number=2)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with at_a_desk() as desk:
        order = desk.invoice("VVJ-2-01", sale("2", f"NFe {KEY}"), sale("0003", None), marketplaceOrderId="2-01")
        desk.check(order, at=NOW - timedelta(days=2, hours=12))
        yield desk


def rows(path: Path, delimiter: str = ";") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), delimiter=delimiter))


def test_each_error_is_a_row_with_words_beside_the_code_and_the_key(desk: Desk) -> None:
    said = desk.run("failures --csv open.csv")

    first, second = sorted(rows(Path("open.csv")), key=lambda row: row["Código do problema"])
    assert said.code == 3
    assert "The same for spreadsheets: open.csv" in said.err
    assert (first["Pedido na VTEX"], first["Pedido no marketplace"]) == ("VVJ-2-01", '="2-01"')
    assert first["Problema"] == "Chave da nota 2 fora do formato"
    assert first["Chave sugerida"] == f'="{KEY}"'
    assert (second["Nota fiscal"], second["Problema"]) == ('="0003"', "Nota 0003 sem chave de acesso")
    assert second["Chave sugerida"] == ""


def test_times_are_the_shops_and_numbers_have_a_comma(desk: Desk) -> None:
    desk.run("failures --csv open.csv")
    row = rows(Path("open.csv"))[0]
    opened = NOW - timedelta(days=2, hours=12) - timedelta(hours=3)
    assert row["Em aberto desde"] == f"{opened:%d/%m/%Y %H:%M}"
    assert row["Dias em aberto"] == "2,5"
    assert row["Situação"] == "em aberto"


def test_what_is_snoozed_is_said_in_words_with_its_day(desk: Desk) -> None:
    desk.run("snooze 2 --days 3")
    desk.run("failures --csv open.csv")
    day = (NOW - timedelta(hours=3) + timedelta(days=3)).date()
    assert {(row["Situação"], row["Adiado até"]) for row in rows(Path("open.csv"))} == {
        ("adiado", f"{day:%d/%m/%Y} 00:00")
    }


def test_what_is_archived_is_said_in_words_too(desk: Desk) -> None:
    desk.run("dismiss 2 --reason done")
    desk.run("failures --all --csv open.csv")
    assert {(row["Situação"], row["Próxima leitura"]) for row in rows(Path("open.csv"))} == {("dispensado", "")}


def test_in_english_it_is_as_english_spreadsheets_take_it(tmp_path: Path) -> None:
    with at_a_desk(ALERT_LANGUAGE="en") as desk:
        desk.check(desk.invoice("VVJ-1-01", sale("1", None)), at=NOW - timedelta(hours=12))
        desk.run(f"failures --csv {tmp_path / 'open.csv'}")
    (row,) = rows(tmp_path / "open.csv", ",")
    assert (row["Problem"], row["Days open"]) == ("Invoice 1 has no access key", "0.5")


def test_with_none_open_the_file_has_its_headings(desk: Desk) -> None:
    desk.run("failures --code reused --csv open.csv")
    assert Path("open.csv").read_text(encoding="utf-8-sig").count("\n") == 1


def test_format_csv_stays_plain_for_programs(desk: Desk) -> None:
    said = desk.run("failures --format csv")
    assert said.out.splitlines()[0] == (
        "account,order,opened,age,codes,invoices,suggestion,next_reading,link,state,snoozed_until"
    )


def test_an_order_whose_record_is_not_readable_lacks_its_key_alone(desk: Desk) -> None:
    desk.shop.table.update("order#luxstore#VVJ-2-01", "SET report.#record = :x", x=json.dumps({"data": None}))
    desk.run("failures --csv open.csv")
    assert {row["Chave sugerida"] for row in rows(Path("open.csv"))} == {""}


def test_a_backfill_writes_the_same(desk: Desk) -> None:
    day = (NOW - timedelta(days=1)).strftime("%Y-%m-%d")
    desk.invoice("VVJ-3-01", sale("3", f"NFe {make_key(number=3)}"), invoicedDate=f"{day}T15:00:00Z")
    desk.run(f"backfill --from {day} --to {day} --csv stuck.csv")
    (row,) = [row for row in rows(Path("stuck.csv")) if row["Pedido na VTEX"] == "VVJ-3-01"]
    assert row["Chave sugerida"] == f'="{make_key(number=3)}"'
    assert row["Situação"] == "ainda não acompanhado"
    assert row["Pedido no marketplace"].startswith('="')


@pytest.mark.parametrize("command", ["failures", "backfill --from 2026-10-01 --to 2026-10-02"])
@pytest.mark.parametrize("place", ["nowhere/open.csv", "."])
def test_a_place_that_cannot_be_written_is_said_before_anything_is_read(desk: Desk, command: str, place: str) -> None:
    desk.vtex.calls().clear()
    said = desk.run(f"{command} --csv {place}")
    assert (said.code, said.out) == (1, "")
    assert "cannot be written" in said.err
    assert not [call for call in desk.vtex.calls() if "invoiced" in str(call)]


def test_the_look_whether_it_can_be_written_leaves_nothing(desk: Desk) -> None:
    Path("mine.csv").write_text("mine")
    desk.run("failures --account nobody --csv mine.csv")
    desk.run("failures --account nobody --csv new.csv")
    assert Path("mine.csv").read_text() == "mine"
    assert not Path("new.csv").exists()


def test_what_only_looks_exact_is_no_formula(desk: Desk) -> None:
    written = sheet(("order", "invoice"), [{"order": "=1+1", "invoice": Exact('1";=2')}], desk.shop.style)
    assert list(csv.reader(io.StringIO(written), delimiter=";"))[1] == ["'=1+1", '1",=2']


def test_a_code_of_another_version_stands_for_itself(desk: Desk) -> None:
    assert problem("brand_new", "1", desk.shop.style) == "brand_new"
