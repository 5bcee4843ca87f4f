import codecs
import csv
import io
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import OrderNotFound, OutOfTime, RateLimited, RetryLater
from invoicekey.vtex.order_list import MOST_ROWS, ROWS_A_PAGE, OrderPage, OrderRow
from local.vtex_simulator import Fault
from operations.deployment.stack import Trouble
from operations.tasks import asking
from operations.tasks.asking import Asking, Stopped
from operations.tasks.backfill import Backfill, Found, Listed, Load, list_orders, together
from operations.tasks.backfill_notes import About, opened
from operations.terminal.period import period
from tests.desk import Desk, Said, at_a_desk
from tests.keys import make_key
from tests.orders import PERSONAL, sale

OCTOBER = "backfill --from 2026-10-01 --to 2026-10-31"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    with at_a_desk() as desk:
        yield desk


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let nobody really wait, and note how long they would have."""
    waits: list[float] = []
    monkeypatch.setattr(Asking, "_pause", lambda _, seconds: waits.append(seconds) if seconds > 0 else None)
    return waits


def invoice(desk: Desk, number: int, *packages: Any, day: int = 15, **changes: Any) -> str:
    moment = datetime(2026, 10, day, 12, tzinfo=UTC) + timedelta(seconds=number)
    order_id = f"VVJ-{number}-01"
    sales = packages or (sale(str(number), make_key(number=number, month=10), issuanceDate=None),)
    given = {"creationDate": moment.isoformat(), "invoicedDate": moment.isoformat(), "customData": None}
    desk.invoice(order_id, *sales, **given | changes)
    return order_id


def failing(said: Said) -> list[str]:
    return [one["order_id"] for one in said.json["failing"]]


def rows(written: bytes, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written.decode("utf-8-sig")), delimiter=delimiter))


def states(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "state" / "invoicekey").glob("*"))


# ---- The command


def test_a_periods_failing_orders_are_listed(desk: Desk, tmp_path: Path) -> None:
    for number in range(1, 6):
        invoice(desk, number)
    stuck = invoice(desk, 6, sale("6", None))
    invoice(desk, 7, sale("7", None), day=31)
    invoice(desk, 8, sale("8", None), invoicedDate="2026-11-01T03:00:01Z")

    said = desk.run(OCTOBER)

    assert said.code == 3
    assert stuck in said.out
    assert "7 orders read: 2 failing, 5 good." in said.err
    written = (tmp_path / "backfill-luxstore-2026-10-01-2026-10-31.csv").read_bytes()
    listed = [(row["Pedido na VTEX"], row["Código do problema"]) for row in rows(written, delimiter=";")]
    assert listed == [("VVJ-6-01", "missing"), ("VVJ-7-01", "missing")]
    assert states(tmp_path) == []


def test_the_csv_file_shows_its_accents_in_excel_and_ends_no_cell_early(desk: Desk, tmp_path: Path) -> None:
    invoice(desk, 1, sale("Nº 1;=HYPERLINK(A1)", None), sale("2", None))
    desk.run(f"{OCTOBER} --csv stuck.csv")
    written = (tmp_path / "stuck.csv").read_bytes()
    assert written.startswith(codecs.BOM_UTF8)
    assert [row["Nota fiscal"] for row in rows(written, delimiter=";")] == ["Nº 1,=HYPERLINK(A1)", '="2"']


@pytest.mark.parametrize("number", [0, 1])
def test_none_failing_is_exit_code_0_and_no_file(desk: Desk, tmp_path: Path, number: int) -> None:
    for one in range(1, number + 1):
        invoice(desk, one)
    said = desk.run(OCTOBER)
    assert (said.code, said.out) == (0, "")
    assert not list(tmp_path.glob("*.csv"))


def test_it_only_lists(desk: Desk) -> None:
    ref = OrderRef("luxstore", invoice(desk, 1, sale("1", None)))
    desk.run(OCTOBER)
    assert desk.queued() == []
    assert desk.messages("FailureQueueUrl") == []
    assert desk.shop.ledger.read([ref]).entries[ref].version == 0


def test_with_open_the_failing_ones_are_queued_for_a_check(desk: Desk) -> None:
    invoice(desk, 1)
    invoice(desk, 2, sale("2", None))

    said = desk.run(f"{OCTOBER} --open")

    (message,) = desk.messages("HookQueueUrl")
    assert json.loads(message["Body"])["OrderId"] == "VVJ-2-01"
    assert message["MessageAttributes"]["source"]["StringValue"] == "backfill"
    assert "1 order is queued" in said.err


def test_a_queue_that_takes_nothing_is_told_with_what_to_look_at(desk: Desk) -> None:
    invoice(desk, 2, sale("2", None))
    desk.environment["HOOK_QUEUE_URL"] = desk.deployment.outputs["HookQueueUrl"] = "https://sqs.example/gone"
    said = desk.run(f"{OCTOBER} --open")
    assert said.code == 1
    assert "took 0 of 1 orders" in said.err
    assert "your AWS identity may not send to it" in said.err


def test_of_two_orders_with_one_key_the_later_is_failing_and_both_are_queued_the_owner_first(desk: Desk) -> None:
    key = make_key(number=5, month=10)
    for number in (1, 2):
        invoice(desk, number, sale("5", key))

    said = desk.run(f"{OCTOBER} --format json --open --pace 600")

    (stuck,) = said.json["failing"]
    (problem,) = stuck["problems"]
    assert problem["code"] == "reused"
    assert desk.queued() == [problem["reused_in"], stuck["order_id"]]


def test_what_the_stack_knows_of_them_is_said(desk: Desk) -> None:
    orders = [invoice(desk, number, sale(str(number), None)) for number in (1, 2, 3)]
    desk.check(*(OrderRef("luxstore", order_id) for order_id in orders[:2]))
    desk.run("dismiss VVJ-2-01 --reason x")

    known = {one["order_id"]: one["known"] for one in desk.run(f"{OCTOBER} --format json").json["failing"]}

    assert known == {"VVJ-1-01": "open", "VVJ-2-01": "dismissed", "VVJ-3-01": None}


def test_orders_of_other_affiliates_are_not_read_and_counted(desk: Desk) -> None:
    invoice(desk, 1)
    invoice(desk, 2, affiliateId="MBS")
    invoice(desk, 3, affiliateId="")

    said = desk.run(OCTOBER)

    assert "1 MBS, 1 no affiliate" in said.err
    assert {call.order_id for call in desk.vtex.calls(route="order")} == {"VVJ-1-01"}


@pytest.mark.parametrize(
    ("listed", "status", "code"),
    [
        ("handling", "invoiced", 3),
        ("payment-approved", "invoiced", 3),
        ("canceled", "invoiced", 3),
        ("invoiced", "canceled", 0),
    ],
)
def test_what_an_order_is_says_the_order_and_not_the_list_which_stays_behind(
    desk: Desk, listed: str, status: str, code: int
) -> None:
    desk.vtex.lag(invoice(desk, 1, sale("1", None), status=status), listed)

    said = desk.run(OCTOBER)

    assert said.code == code
    assert f"1 order read: 1 {'failing' if code else 'canceled'}" in said.err


@pytest.mark.parametrize(
    ("configured", "affiliate"),
    [("VVJ", "VVJ"), ("VVJ", "vvj"), ("vvj", "VVJ"), ("luxstore:Vvj", "VVJ"), ("luxstore:Vvj", "vvj")],
)
def test_an_affiliate_s_orders_are_found_however_its_id_is_written(desk: Desk, configured: str, affiliate: str) -> None:
    desk.environment["CNOVA_AFFILIATE_IDS"] = configured
    stuck = invoice(desk, 500, sale("500", None), affiliateId=affiliate)
    for number in range(120):  # none of the affiliate's orders is on the first page of everybody's
        invoice(desk, number, affiliateId="MBS")

    said = desk.run(f"{OCTOBER} --format json")

    assert failing(said) == [stuck]
    assert {call.order_id for call in desk.vtex.calls(route="order")} == {stuck}


def test_a_spelling_that_the_first_page_shows_is_asked_for_too(desk: Desk) -> None:
    orders = [invoice(desk, number, sale(str(number), None), affiliateId="Vvj") for number in range(101)]

    assert failing(desk.run(f"{OCTOBER} --format json --pace 6000")) == orders


def test_of_a_large_shop_s_other_orders_one_page_is_listed_and_the_rest_counted(desk: Desk) -> None:
    for number in range(350):
        invoice(desk, number, affiliateId="MBS")
    invoice(desk, 400)

    said = desk.run(OCTOBER)

    assert len(desk.vtex.calls(route="list")) == 3
    assert "250 other affiliates, 100 MBS" in said.err
    assert "1 order read: 1 good." in said.err


def test_odd_order_ids_of_other_marketplaces_are_counted_and_amazons_read_like_any_other(desk: Desk) -> None:
    at = {"invoicedDate": "2026-10-10T12:00:00Z", "creationDate": "2026-10-10T11:00:00Z"}
    for order_id in ("seq501456", "AMZ 1/2", "VVJ-701-2345678_DBA"):
        desk.invoice(order_id, sale("1", None), **at)

    said = desk.run(f"{OCTOBER} --format json")

    assert [one["order_id"] for one in said.json["failing"]] == ["VVJ-701-2345678_DBA"]
    assert said.json["skipped"] == {"odd order id": 2}
    assert {call.order_id for call in desk.vtex.calls(route="order")} == {"VVJ-701-2345678_DBA"}


def test_with_every_affiliate_an_order_that_names_cnovas_app_alone_is_found(desk: Desk) -> None:
    app = {"customApps": [{"id": "cn-viavarejo-integration", "fields": {}}]}
    invoice(desk, 1, sale("1", None), affiliateId="MBS", customData=app)

    assert "VVJ-1-01" in desk.run(f"{OCTOBER} --every-affiliate --format csv").out


@pytest.mark.parametrize("configured", ["", "othershop:MBS"])
def test_where_no_affiliate_of_it_is_configured_all_are_read_and_those_that_smell_of_cnova_are_named(
    desk: Desk, configured: str
) -> None:
    desk.environment["CNOVA_AFFILIATE_IDS"] = configured
    invoice(desk, 1, sale("1", None), affiliateId="CSB")
    invoice(desk, 2, affiliateId="")

    said = desk.run(OCTOBER)

    assert said.code == 0
    assert "1 order of CSB may be CNova's" in said.err
    assert "1 no affiliate" in said.err


def test_json_holds_the_suggested_keys_and_csv_where_they_were_found(desk: Desk) -> None:
    key = make_key(number=9, month=10)
    invoice(desk, 9, sale("9", f"NFe {key}"))

    (stuck,) = desk.run(f"{OCTOBER} --format json").json["failing"]
    (row,) = csv.DictReader(io.StringIO(desk.run(f"{OCTOBER} --format csv").out))

    assert stuck["problems"][0]["suggested_key"] == key
    assert row["suggestion"] == "cleaned"


def test_an_interrupted_run_goes_on_where_it_stopped(desk: Desk, tmp_path: Path) -> None:
    for number in range(1, 31):
        invoice(desk, number, *([sale(str(number), None)] if number % 5 == 0 else []))
    with interrupted_after(12):
        first = desk.run(f"{OCTOBER} --pace 6000")
    (path,) = states(tmp_path)
    noted = len(path.read_text().splitlines()) - 1

    second = desk.run(f"{OCTOBER} --format json")

    assert first.code == 130
    assert "The same command goes on from there, within a day." in first.err
    assert 0 < noted < 30
    assert f"{noted} of them by a former run" in second.err
    assert failing(second) == [f"VVJ-{number}-01" for number in range(5, 31, 5)]
    assert second.json["outcomes"] == {"ok": 24, "failing": 6}
    read = [call.order_id for call in desk.vtex.calls(route="order")]
    assert len(read) < 30 + 25  # what was under way is read twice, and nothing else
    assert states(tmp_path) == []


def test_a_key_that_a_former_run_met_is_remembered(desk: Desk) -> None:
    key = make_key(number=500, month=10)
    invoice(desk, 1, sale("500", key))
    for number in range(2, 20):
        invoice(desk, number)
    invoice(desk, 20, sale("500", key), day=20)
    with interrupted_after(6):
        desk.run(f"{OCTOBER} --pace 60")
    assert failing(desk.run(f"{OCTOBER} --format json")) == ["VVJ-20-01"]


def test_nothing_of_a_customer_is_in_its_files(desk: Desk, tmp_path: Path) -> None:
    for number in range(1, 9):
        invoice(desk, number, sale(str(number), None), **PERSONAL)
    with interrupted_after(3):
        said = desk.run(f"{OCTOBER} --pace 600")
    (path,) = states(tmp_path)
    assert "marker" not in path.read_text() + said.all
    assert "Maria" not in path.read_text() + desk.run(OCTOBER).all


def test_a_state_file_of_one_s_own_is_kept_for_its_backfill_alone(desk: Desk, tmp_path: Path) -> None:
    for number in range(1, 9):
        invoice(desk, number)
    with interrupted_after(3):
        desk.run(f"{OCTOBER} --pace 600 --state here.jsonl")
    assert (tmp_path / "here.jsonl").exists()
    assert "another backfill" in desk.run("backfill --from 2026-10-02 --to 2026-10-03 --state here.jsonl").err
    assert desk.run(f"{OCTOBER} --state here.jsonl").code == 0
    assert not (tmp_path / "here.jsonl").exists()


def test_a_file_that_is_something_else_is_left_alone(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Sir")
    said = desk.run(f"{OCTOBER} --state letter.txt")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert (tmp_path / "letter.txt").read_text() == "Dear Sir"


def test_vtex_asking_for_silence_is_waited_for(desk: Desk) -> None:
    for number in range(1, 6):
        invoice(desk, number)
    desk.vtex.fail(Fault("status", status=429, retry_after=1, times=1))
    began = time.monotonic()

    said = desk.run(OCTOBER)

    assert said.code == 0
    assert time.monotonic() - began >= 1
    assert "VTEX limits the rate; going on in 1 s." in said.err
    assert "5 orders read: 5 good." in said.err


def test_an_order_that_cannot_be_read_makes_it_incomplete_and_is_read_alone_the_next_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TRIES", 1)
    for number in range(1, 6):
        invoice(desk, number)
    desk.vtex.fail(Fault("status", status=500, order_id="VVJ-3-01", times=1))

    first = desk.run(OCTOBER)
    desk.vtex.requests.clear()
    second = desk.run(OCTOBER)

    assert first.code == 1
    assert "Not read: 1 (VTEX answered 500)" in first.err
    assert second.code == 0
    assert [call.order_id for call in desk.vtex.calls(route="order")] == ["VVJ-3-01"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("status", status=403), "View order"),
        (Fault("status", status=403, route="list"), "List Orders"),
        (Fault("status", status=401, route="list"), "make credentials"),
    ],
)
def test_no_permission_is_one_line_and_leaves_no_file(desk: Desk, tmp_path: Path, fault: Fault, told: str) -> None:
    invoice(desk, 1)
    desk.vtex.fail(fault)

    said = desk.run(OCTOBER)

    assert said.code == 1
    assert told in said.err.splitlines()[-1]
    assert states(tmp_path) == []


def test_vtex_down_ends_it_and_says_how_to_go_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.2)
    for number in range(1, 30):
        invoice(desk, number)
    desk.vtex.fail(Fault("delay", times=5, seconds=0.01))
    desk.vtex.fail(Fault("drop"))

    said = desk.run(f"{OCTOBER} --pace 600")

    assert said.code == 1
    assert "The same command goes on where this one stopped, within a day." in said.err.splitlines()[-1]
    desk.vtex.faults.clear()
    assert desk.run(OCTOBER).code == 0


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("backfill", "Say which days"),
        ("backfill --from 2026-10-01", "Say which days"),
        ("backfill --from 01/10/2026 --to 2026-10-31", "is no day"),
        ("backfill --from 2026-10-31 --to 2026-10-01", "ends before it begins"),
        ("backfill --from 2026-10-31 --to 2999-10-01", "is in the future"),
        ("backfill --from 2019-10-01 --to 2019-10-31", "no orders older than 2 years"),
        (f"{OCTOBER} --pace 99999999", "VtexRequestsPerMinute"),
        (f"{OCTOBER} --account nobody", "no credentials of nobody"),
        (f"{OCTOBER} --state /proc/nowhere/state", "cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_asks_vtex_nothing(desk: Desk, command: str, told: str) -> None:
    said = desk.run(command)
    assert (said.code, said.err.count("\n"), said.out) == (1 if "--state" in command else 2, 1, "")
    assert told in said.err
    assert not desk.vtex.calls()


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_the_terminal(desk: Desk, columns: int) -> None:
    invoice(desk, 1, sale("1", None))
    said = desk.run(OCTOBER, columns=columns)
    assert max(map(len, said.out.splitlines())) <= columns


@contextmanager
def interrupted_after(calls: int) -> Iterator[None]:
    """Press Ctrl-C, once so many orders were read."""
    original = Backfill.read

    def read(backfill: Backfill, order_ids: Any) -> Iterator[Found]:
        for number, found in enumerate(original(backfill, order_ids)):
            if number == calls:
                raise KeyboardInterrupt
            yield found

    with mock.patch.object(Backfill, "read", read):
        yield


# ---- The list of orders


class List:
    """A list of orders: one every so many seconds; what a window has more than it can show stays unseen."""

    def __init__(self, begin: datetime, number: int, every: timedelta) -> None:
        self.moments = [begin + every * one for one in range(number)]
        self.windows: list[tuple[datetime, datetime, int]] = []

    def page(self, begin: datetime, end: datetime, number: int) -> OrderPage:
        self.windows.append((begin, end, number))
        assert number * ROWS_A_PAGE <= MOST_ROWS
        inside = [f"VVJ-{one}-01" for one, moment in enumerate(self.moments) if begin <= moment <= end]
        rows = inside[(number - 1) * ROWS_A_PAGE : number * ROWS_A_PAGE]
        return OrderPage(len(inside), tuple(OrderRow(row, "VVJ") for row in rows))


BEGIN = datetime(2026, 10, 1, tzinfo=UTC)


def listed(orders: List, end: datetime) -> Listed:
    with ThreadPoolExecutor(4) as pool:
        return list_orders(orders.page, BEGIN, end, pool)


@pytest.mark.parametrize(
    ("number", "windows"),
    [(0, 1), (1, 1), (100, 1), (101, 2), (3000, 30), (3001, None), (10_000, None)],
)
def test_each_order_is_listed_once_and_a_window_of_3000_is_not_split(number: int, windows: int | None) -> None:
    orders = List(BEGIN, number, timedelta(minutes=4))
    found = listed(orders, BEGIN + timedelta(days=31))
    assert sorted(row.order_id for row in found.rows) == sorted(f"VVJ-{one}-01" for one in range(number))
    assert found.unlisted == 0
    assert windows in {None, len(orders.windows)}


def test_windows_overlap() -> None:
    orders = List(BEGIN, 6000, timedelta(minutes=4))
    listed(orders, BEGIN + timedelta(days=31))
    windows = sorted({(begin, end) for begin, end, _ in orders.windows})
    leaves = [
        one
        for one in windows
        if not any(one != other and one[0] <= other[0] and other[1] <= one[1] for other in windows)
    ]
    assert all(later[0] < earlier[1] for earlier, later in itertools.pairwise(leaves))


def test_what_a_minute_has_above_3000_is_said_to_be_missing() -> None:
    orders = List(BEGIN, 5000, timedelta(0))
    found = listed(orders, BEGIN + timedelta(minutes=8))
    assert len(found.rows) == 3000
    assert found.unlisted == 2000


def test_what_two_spellings_lack_is_counted_once_where_vtex_takes_them_for_one() -> None:
    def part(*names: str, unlisted: int = 0) -> Listed:
        return Listed(tuple(OrderRow(name, "VVJ") for name in names), unlisted)

    parts = {
        "VVJ": part("VVJ-1-01", unlisted=7),
        "vvj": part("VVJ-1-01", unlisted=5),
        "CSB": part("CSB-1-01", unlisted=2),
    }
    everybody = OrderPage(10, (OrderRow("MBS-1-01", "MBS"), OrderRow("VVJ-1-01", "VVJ")))

    listed = together(everybody, parts)

    assert [row.order_id for row in listed.rows] == ["VVJ-1-01", "CSB-1-01", "MBS-1-01"]
    assert (listed.unlisted, listed.others) == (9, 7)


# ---- Asking politely


def answers(*results: Any) -> Callable[[], Any]:
    left = deque(results)

    def question() -> Any:
        result = left.popleft()
        if isinstance(result, Exception):
            raise result
        return result

    return question


def test_what_fails_for_a_moment_is_asked_again_ever_later_and_given_up_after_five_tries(at_once: list[float]) -> None:
    trouble = RetryLater("VTEX answered 500")
    assert Asking().ask(answers(trouble, trouble, trouble, "order")) == "order"
    assert [0.5 <= at_once[0] <= 1, 1 <= at_once[1] <= 2, 2 <= at_once[2] <= 4] == [True] * 3
    with pytest.raises(RetryLater):
        Asking().ask(answers(*[trouble] * 5, "too late"))


def test_silence_is_kept_for_as_long_as_asked_and_told_once(at_once: list[float]) -> None:
    told: list[float] = []
    assert Asking(told.append).ask(answers(RateLimited("429", wait=42.0), "order")) == "order"
    assert told == [42.0]
    assert at_once == [pytest.approx(42, abs=0.5)]


def test_silence_grows_where_it_is_asked_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    hundred_seconds_a_look = itertools.count(0, 100)
    monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: float(next(hundred_seconds_a_look))))
    Asking(told.append).ask(answers(*[RateLimited("429", wait=0.0)] * 8, "order"))
    assert told == [1, 2, 4, 8, 16, 32, 60, 60]


def test_it_is_no_trouble_when_the_pace_has_no_turn_yet(at_once: list[float]) -> None:
    assert Asking().ask(answers(*[OutOfTime("pace", wait=1.5)] * 9, "order")) == "order"
    assert at_once == [1.5] * 9


def test_an_order_that_vtex_does_not_know_is_an_answer() -> None:
    with pytest.raises(OrderNotFound):
        Asking().ask(answers(OrderNotFound()))


def test_who_waits_is_told_to_stop() -> None:
    asks = Asking()
    threading.Timer(0.1, asks.stop).start()
    with pytest.raises(Stopped):
        asks.ask(answers(RateLimited("429", wait=3600.0), "order"))


def test_where_vtex_stays_down_all_who_ask_hear_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", -1.0)
    asks = Asking()
    for _ in range(2):
        with pytest.raises(Trouble, match="no good answer"):
            asks.ask(answers(*[RetryLater("VTEX answered 500")] * 5))


def test_so_many_are_under_way_as_pace_and_latency_need() -> None:
    slow, quick = deque([("200", 1.0)] * 200), deque([("200", 0.05)] * 200)
    assert Load(600, slow).at_once() == 16  # 10 a second for a second, half as many again
    assert Load(600, quick).at_once() == 2
    assert Load(60_000, slow).at_once() == 64


# ---- Days, and notes


def test_a_period_is_that_of_the_shops_clocks() -> None:
    days = period("2026-10-01", "2026-10-01", "America/Sao_Paulo", NOW)
    assert days.begin.astimezone(UTC) == datetime(2026, 10, 1, 3, tzinfo=UTC)
    assert days.end - days.begin == timedelta(days=1)


def test_today_and_the_day_two_years_ago_are_the_edges() -> None:
    assert period("2024-11-22", "2026-11-22", "America/Sao_Paulo", NOW).first == date(2024, 11, 22)
    with pytest.raises(Trouble, match="begin with --from 2024-11-22"):
        period("2024-11-21", "2026-11-22", "America/Sao_Paulo", NOW)
    leap_day = datetime(2028, 2, 29, 12, tzinfo=UTC)
    assert period("2026-02-28", "2028-02-29", "America/Sao_Paulo", leap_day).first == date(2026, 2, 28)


ABOUT = About("invoicekey", "us-east-1", "luxstore", "2026-10-01", "2026-10-31", "policy")


def write(path: Path, *order_ids: str, at: datetime = NOW) -> None:
    with opened(path, ABOUT, at) as notes:
        for order_id in order_ids:
            notes.add(Found(order_id, "ok"), at)


def test_a_line_that_was_cut_costs_that_order_alone(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write(path, "VVJ-1-01", "VVJ-2-01")
    path.write_text(path.read_text()[:-20])
    write(path, "VVJ-3-01")
    with opened(path, ABOUT, NOW) as notes:
        assert set(notes.found) == {"VVJ-1-01", "VVJ-3-01"}


@pytest.mark.parametrize(
    ("about", "later"), [(ABOUT, timedelta(hours=25)), (replace(ABOUT, policy="new"), timedelta(0))]
)
def test_what_is_old_or_was_judged_otherwise_does_not_count(tmp_path: Path, about: About, later: timedelta) -> None:
    path = tmp_path / "state"
    write(path, "VVJ-1-01")
    with opened(path, about, NOW + later) as notes:
        assert notes.found == {}
        assert notes.why_anew


def test_each_order_counts_for_a_day_from_its_own_reading(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write(path, "VVJ-1-01", "VVJ-2-01")
    write(path, "VVJ-2-01", "VVJ-3-01", at=NOW + timedelta(hours=20))
    with opened(path, ABOUT, NOW + timedelta(hours=30)) as notes:
        assert set(notes.found) == {"VVJ-2-01", "VVJ-3-01"}
        assert notes.why_anew is None


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with opened(path, ABOUT, NOW), pytest.raises(Trouble, match="Another backfill"), opened(path, ABOUT, NOW):
        pass


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write(path, "VVJ-1-01")
    assert path.stat().st_mode & 0o077 == 0
