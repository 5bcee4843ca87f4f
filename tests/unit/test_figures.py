"""The figures: which week a failure counts in, and what the desk's page and its charts show of them."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from invoicekey.ledger.failures import Episode, Failure, FailureLists, Issuer, State, attributes
from invoicekey.messages import charts, pages
from invoicekey.messages.links import Links, Target
from invoicekey.messages.phrases import Words
from invoicekey.rules.notification import OrderRef
from invoicekey.work import desk_figures
from invoicekey.work.desk import Request
from invoicekey.work.figures import WEEKS, Figures, Share, Week, WeeklyFigures, figures
from tests.fake_dynamodb import FakeDynamoDb
from tests.fakes_outside import ACCOUNT
from tests.unit.test_desk import ADDRESS, KEYLESS, Shop

ZONE = ZoneInfo("America/Sao_Paulo")
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
MONDAY = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)
"""Midnight in São Paulo."""
NOW = MONDAY + 11 * HOUR
OURS, BRANCH, FARM = Issuer("11222333000181", 1), Issuer("11222333000262", 2), Issuer("12345678909", 920)


def episode(opened_at: datetime, closed_at: datetime | None = None, reason: str = "ok", **more: Any) -> Episode:
    ended = {"closed_at": closed_at, "reason": reason} if closed_at else {}
    return Episode(opened_at, **{"codes": ("missing",), **ended, **more})


def of(*episodes: Episode, now: datetime = NOW) -> Figures:
    ref = OrderRef(ACCOUNT, "VVJ-1-01")
    return figures([Failure(ref, State.OPEN, now, episodes=(one,)) for one in episodes], now, ZONE)


def per_week(found: Figures, number: str) -> list[int]:
    """Return a number of the last three weeks."""
    return [getattr(week, number) for week in found.weeks[-3:]]


class TestWeeks:
    def test_there_are_twelve_and_the_last_one_has_not_ended(self) -> None:
        weeks = of().weeks
        assert len(weeks) == WEEKS
        assert (weeks[0].monday, weeks[-1].monday) == (date(2026, 9, 14), date(2026, 11, 30))

    def test_a_week_begins_on_monday_at_midnight_by_the_shop_s_clocks(self) -> None:
        assert per_week(of(episode(MONDAY - SECOND), episode(MONDAY)), "opened") == [0, 1, 1]

    def test_a_week_in_which_the_clocks_change_has_seven_days(self) -> None:
        zone, now = ZoneInfo("Europe/Lisbon"), datetime(2026, 11, 2, 12, tzinfo=UTC)
        sunday = datetime(2026, 10, 25, 23, 59, 59, tzinfo=UTC)
        found = figures([Failure(OrderRef(ACCOUNT, "a"), State.OPEN, now, episodes=(episode(sunday),))], now, zone)
        assert per_week(found, "opened") == [1, 0, 0]

    def test_what_is_open_is_counted_at_each_week_s_end(self) -> None:
        found = of(episode(MONDAY - 9 * DAY, MONDAY - HOUR), episode(MONDAY - 400 * DAY), episode(MONDAY - DAY))
        assert per_week(found, "open_at_end") == [2, 2, 2]

    def test_what_ended_before_is_not_counted(self) -> None:
        begin = MONDAY - 77 * DAY
        found = of(episode(begin - DAY, begin - SECOND, issuers=(OURS,)), episode(begin - DAY, begin))
        assert found.weeks[0] == Week(date(2026, 9, 14), mended=1, time_to_mend=DAY)
        assert OURS not in found.issuers

    def test_each_end_has_its_number(self) -> None:
        reasons = ["ok", "ok", "dismissed", "expired", "canceled", "returned", "not_invoiced", "not_found"]
        week = of(*(episode(MONDAY - DAY, MONDAY, reason) for reason in reasons)).weeks[-1]
        assert (week.mended, week.dismissed, week.expired, week.otherwise, week.closed) == (2, 1, 1, 4, 8)

    def test_the_time_to_mend_is_the_median_of_what_was_mended(self) -> None:
        times = (HOUR, 2 * HOUR, 10 * HOUR, 30 * HOUR)
        found = of(*(episode(MONDAY - time, MONDAY) for time in times), episode(MONDAY - 9 * DAY, MONDAY, "dismissed"))
        assert found.weeks[-1].time_to_mend == found.time_to_mend == 6 * HOUR

    def test_suggested_keys_are_counted_in_the_week_of_the_end(self) -> None:
        found = of(episode(MONDAY - DAY, MONDAY, suggested=3, suggested_rightly=2))
        assert per_week(found, "suggested") == [0, 0, 3]
        assert per_week(found, "suggested_rightly") == [0, 0, 2]


class TestShares:
    def test_a_failure_counts_with_each_of_its_problems(self) -> None:
        found = of(episode(NOW, codes=("missing", "reused")), episode(NOW - 7 * DAY, NOW, codes=("missing",)))
        assert {code: (share.opened[-2:], share.still_open) for code, share in found.problems.items()} == {
            "missing": ((1, 1), 1),
            "reused": ((0, 1), 1),
        }

    def test_the_issuer_with_most_failures_comes_first_and_the_unknown_one_is_told(self) -> None:
        found = of(episode(NOW, issuers=(OURS,)), episode(NOW, issuers=(BRANCH,)), episode(NOW, issuers=(BRANCH,)))
        assert list(found.issuers) == [BRANCH, OURS]
        assert list(of(episode(NOW)).issuers) == [None]

    def test_one_that_was_open_before_is_none_of_those_opened(self) -> None:
        assert of(episode(NOW - 100 * DAY)).problems == {"missing": Share((0,) * WEEKS, 1)}


class TestReading:
    def test_every_list_of_the_account_is_read_and_no_other_s(self) -> None:
        dynamodb = FakeDynamoDb()
        for number, state in enumerate(State):
            keep(dynamodb, f"VVJ-{number}-01", state, episode(NOW - DAY))
        keep(dynamodb, "VVJ-9-01", State.OPEN, episode(NOW - DAY), account="othershop")
        assert read(dynamodb).weeks[-2].opened == len(State)

    def test_an_order_whose_failure_ends_while_the_lists_are_read_counts_once(self) -> None:
        dynamodb = FakeDynamoDb()
        keep(dynamodb, "VVJ-1-01", State.OPEN, episode(NOW - DAY))
        queries = iter(State)

        def ends_before_the_last_list_is_read(_: str) -> None:
            if next(queries) is State.CLOSED:
                dynamodb.before = lambda operation: None
                keep(dynamodb, "VVJ-1-01", State.CLOSED, episode(NOW - DAY, NOW))

        dynamodb.before = ends_before_the_last_list_is_read
        found = read(dynamodb)
        assert (found.weeks[-2].opened, found.weeks[-1].mended, found.weeks[-1].open_at_end) == (1, 1, 0)

    def test_an_item_that_somebody_corrupted_is_left_out(self) -> None:
        dynamodb = FakeDynamoDb()
        keep(dynamodb, "VVJ-1-01", State.OPEN, episode(NOW))
        keep(dynamodb, "VVJ-2-01", State.OPEN, episode(NOW), failure="{")
        assert read(dynamodb).weeks[-1].opened == 1


def keep(
    dynamodb: FakeDynamoDb, order_id: str, state: State, *episodes: Episode, account: str = ACCOUNT, **more: Any
) -> None:
    failure = Failure(OrderRef(account, order_id), state, episodes[-1].closed_at or NOW, episodes=episodes)
    dynamodb.table.put({"pk": f"order#{account}#{order_id}", **attributes(failure), **more})


def read(dynamodb: FakeDynamoDb) -> Figures:
    return WeeklyFigures(FailureLists(dynamodb.table), "America/Sao_Paulo").of(ACCOUNT, NOW)


# ---- The page


def many() -> Figures:
    """Return figures of every kind, as large as they get: all problems, more issuers than are listed."""
    codes = ("missing", "malformed", "invalid_check_digit", "invalid_state", "invalid_year", "invalid_month",
             "invalid_tax_id", "wrong_model", "invalid_number", "invalid_emission_type", "issuer_mismatch", "reused",
             "no_invoice", "tracking_missing", "courier_missing")  # fmt: skip
    return of(
        *(
            episode(
                NOW - 2 * week * DAY - number * HOUR,
                NOW - 2 * week * DAY,
                codes=(codes[number % len(codes)],),
                issuers=(Issuer("11222333000181", number),),
                suggested=1,
                suggested_rightly=number % 2,
            )
            for week in range(40)
            for number in range(30)
        ),
        episode(NOW, issuers=(FARM,)),
    )


def page(found: Figures, language: str = "pt-BR") -> str:
    return pages.figures_page(ACCOUNT, desk_figures.shown(found, language), Words(language))


def rows(html: str, caption: str) -> list[list[str]]:
    """Return the cells of the table with a caption."""
    (table,) = [table for table in re.findall(r"<table>.*?</table>", html, re.DOTALL) if f">{caption}<" in table]
    found = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [[re.sub(r"\s+", " ", cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)] for row in found]


class TestPage:
    def test_a_week_s_ends_are_in_a_row_and_the_current_week_comes_first(self) -> None:
        html = page(of(episode(MONDAY - DAY, MONDAY), episode(MONDAY, NOW, "dismissed"), episode(MONDAY)))
        assert rows(html, "Abertos e encerrados por semana")[:3] == [
            ["Semana de", "Abertos", "Encerrados", "Corrigidos na VTEX", "Dados por resolvidos",
             "Não corrigidos em 30 dias", "Cancelados, devolvidos e outros"],
            ["30/11, até agora", "2", "2", "1", "1", "0", "0"],
            ["23/11", "1", "0", "0", "0", "0", "0"],
        ]  # fmt: skip
        assert rows(html, "Em aberto no fim de cada semana")[1:3] == [["30/11, até agora", "1"], ["23/11", "1"]]

    def test_the_time_to_mend_and_the_suggested_keys_are_in_a_row(self) -> None:
        html = page(of(episode(MONDAY - 28 * HOUR, MONDAY, suggested=2, suggested_rightly=1)), "en")
        assert rows(html, "Fixed in VTEX by week")[1:3] == [
            ["30 Nov, so far", "1", "1 day 4 h", "2", "1"],
            ["23 Nov", "0", "–", "0", "0"],
        ]

    def test_problems_are_in_words_and_issuers_as_people_write_them(self) -> None:
        html = page(of(episode(NOW, issuers=(OURS, FARM)), episode(NOW)))
        assert rows(html, "Abertos por problema")[1][:4] == ["sem chave de acesso", "2", "2", "2"]
        assert [row[0] for row in rows(html, "Abertos por emitente e série")[1:]] == [
            "11.222.333/0001-81, série 1",
            "123.456.789-09, série 920",
            "Ainda desconhecido: não há chave",
        ]

    def test_issuers_that_do_not_fit_are_one_row(self) -> None:
        table = rows(page(many()), "Abertos por emitente e série")[1:]
        assert len(table) == 21
        assert table[-1][0] == "Outros (11)"
        assert sum(int(row[1].replace(".", "")) for row in table) == sum(week.opened for week in many().weeks)

    def test_a_problem_that_a_later_version_knows_has_its_code(self) -> None:
        assert rows(page(of(episode(NOW, codes=("<b>",)))), "Abertos por problema")[1][0] == "&lt;b&gt;"

    def test_where_nothing_failed_it_says_so(self) -> None:
        html = page(of())
        assert "Nenhum problema em 12 semanas" in html
        assert "<svg" not in html

    @pytest.mark.parametrize("language", ["pt-BR", "en"])
    def test_it_weighs_little_and_needs_nothing_that_the_policy_forbids(self, language: str) -> None:
        html = page(many(), language)
        assert len(html.encode()) < 60_000
        assert " style=" not in html
        assert html.count("<style>") == 1
        assert "<script" not in html

    def test_a_list_s_link_opens_it_and_nothing_is_written(self) -> None:
        shop = Shop()
        shop.check(KEYLESS)
        written = list(shop.outside.ledger.dynamodb.items(""))
        token = Links(ADDRESS, ["a key"]).token(Target(ACCOUNT))
        answer = shop.desk.answer(Request("GET", token, {"view": ["figures"]}))
        assert answer.status == HTTPStatus.OK
        assert "Números das últimas 12 semanas" in answer.body
        assert shop.outside.ledger.dynamodb.items("") == written


# ---- Charts


def chart(*numbers: int, labels: Sequence[str] = ()) -> charts.Chart:
    return charts.bars(labels or [f"{place}" for place in range(len(numbers))], [("opened", numbers)])


class TestCharts:
    def test_bars_are_as_high_as_their_numbers(self) -> None:
        first, second, third = chart(0, 5, 10).bars
        assert (first.height, second.height * 2) == (0, third.height)
        assert second.y + second.height == first.y

    def test_two_series_stand_side_by_side(self) -> None:
        drawn = charts.bars(["a"], [("opened", [3]), ("closed", [2])])
        assert [(bar.series, bar.told) for bar in drawn.bars] == [(0, "a: opened 3"), (1, "a: closed 2")]
        assert drawn.bars[0].x + drawn.bars[0].width == pytest.approx(drawn.bars[1].x, abs=0.1)

    @pytest.mark.parametrize(
        ("highest", "lines"),
        [
            (0, ["0", "1"]),
            (1, ["0", "1"]),
            (4, ["0", "1", "2", "3", "4"]),
            (9, ["0", "5", "10"]),
            (37, ["0", "10", "20", "30", "40"]),
            (1_300, ["0", "500", "1000", "1500"]),
        ],
    )
    def test_lines_have_round_numbers_and_reach_above_every_bar(self, highest: int, lines: list[str]) -> None:
        drawn = chart(highest, 0)
        assert [line.text for line in drawn.lines] == lines
        assert drawn.bars[0].y >= drawn.lines[-1].at

    def test_of_many_labels_so_many_are_shown_as_fit_the_last_one_among_them(self) -> None:
        assert [label.text for label in chart(*range(12)).labels] == ["1", "3", "5", "7", "9", "11"]

    def test_it_keeps_within_its_drawing(self) -> None:
        drawn = charts.bars(["a"] * 12, [("opened", [99] * 12), ("closed", [7] * 12)])
        assert all(bar.x >= 0 and bar.x + bar.width <= drawn.width and bar.y >= 0 for bar in drawn.bars)
