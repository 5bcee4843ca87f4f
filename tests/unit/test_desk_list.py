"""The desk's list: what it holds, how it is narrowed, what is done to several orders at once, and its CSV."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicekey.delivery.queues import HookQueue
from invoicekey.ledger.entries import DISMISSED, EXPIRED, Entry, Report
from invoicekey.ledger.failures import Episode, FailureLists, Shown, State
from invoicekey.ledger.lists import Backlog
from invoicekey.messages import sheet
from invoicekey.messages.links import Links, Target
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.verdict import Code
from invoicekey.runtime.desk import DeskLinks
from invoicekey.runtime.secrets import CachedSecret
from invoicekey.work import desk_list
from invoicekey.work.acts import ActResult, Acts
from invoicekey.work.desk import LONGEST_ACT, AccountDesk, Answer, Desk, Request, Style
from invoicekey.work.desk_list import CLOSED_WITHIN, ON_A_PAGE, Filters, Lists, Tally
from tests.fakes import FakeSecretsManager
from tests.fakes_outside import LEASE, FakeLedger, FakeOutlets, Steps, unreachable
from tests.keys import make_key

ACCOUNT, OTHER = "luxstore", "othershop"
ADDRESS = "https://api.example/desk/"
KEY = make_key(number=2)
HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
MISSING = Shown("missing", "643797", has_suggestion=False)
MALFORMED = Shown("malformed", "643811", has_suggestion=True, suggested_key=KEY)
A, B, C = "VVJ-975102-01", "VVJ-975103-01", "VVJ-975104-01"
HEAVIEST = [Shown("invalid_emission_type", f"{n}" * 64, has_suggestion=True, suggested_key=KEY) for n in range(10)]


class Queue(HookQueue):
    """The hook queue: it takes so many events, all of them unless told."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.takes: int | None = None

    def send(self, events: Sequence[Any]) -> list[Any]:
        taken = list(events)[: self.takes]
        self.sent += [json.loads(event.body)["OrderId"] for event in taken]
        return taken


class ListShop:
    """A shop with failures, and whoever got the link to its list."""

    def __init__(self, language: str = "pt-BR") -> None:
        self.now = datetime.now(UTC)  # links are signed by the clock on the wall
        self.steps = Steps()
        self.ledger = FakeLedger(self.steps)
        self.outlets = FakeOutlets(self.steps)
        self.queue = Queue()
        secrets = FakeSecretsManager()
        secrets.put("desk", {"current": "a key"})
        table = self.ledger.dynamodb.table
        links = DeskLinks(ADDRESS, CachedSecret(secrets.client, "desk"))
        of_account = AccountDesk(
            links,
            self.ledger,
            lambda: self.queue,
            Acts(self.ledger, self.outlets, LEASE, language, by="link"),
            Style(language, "America/Sao_Paulo"),
            lists=Lists(FailureLists(table), Backlog(table), language, "America/Sao_Paulo"),
            failures=FailureLists(table),
            now=lambda: self.now,
        )
        self.desk = Desk(links, lambda _account: of_account, language, now=lambda: self.now)
        self.token = Links(ADDRESS, ["a key"]).token(Target(ACCOUNT))

    def keep(self, order_id: str, *errors: Shown, age: timedelta = DAY, account: str = ACCOUNT, **changes: Any) -> None:
        """Keep an order with an open failure, unless the changes say otherwise."""
        errors = errors or (MISSING,)
        opened_at = self.now - age
        record = json.dumps({"data": {"problems": [], "report": 1}})
        given: dict[str, Any] = {
            "first_seen_at": opened_at,
            "checked_at": opened_at,
            "outcome": "failing",
            "errors_reported": "f" * 64,
            "errors": errors,
            "opened_at": opened_at,
            "recheck_at": self.now + HOUR,
            "marketplace_order_id": order_id.removeprefix("VVJ-"),
            "episodes": (Episode(opened_at, tuple(dict.fromkeys(error.code for error in errors))),),
            "report": Report(1, "invoicekey.order.failing.v1", record, None, opened_at, recorded=True, alerted=True),
        }
        self.ledger.write(Entry(OrderRef(account, order_id), **given | changes))

    def keep_over(self, order_id: str, reason: str, *, age: timedelta = DAY) -> None:
        """Keep an order whose failure ended so long ago."""
        is_archived = reason in {DISMISSED, EXPIRED}
        opened_at = self.now - age - DAY
        changes: dict[str, Any] = {} if is_archived else {"errors": (), "errors_reported": None, "outcome": "ok"}
        episode = Episode(opened_at, ("missing",), closed_at=self.now - age, reason=reason)
        self.keep(order_id, episodes=(episode,), archived=reason if is_archived else None, recheck_at=None, **changes)

    def get(self, **query: str) -> Answer:
        return self.desk.answer(Request("GET", self.token, {name: [value] for name, value in query.items()}))

    def follow(self, answer: Answer) -> Answer:
        """Open the address to which an answer leads."""
        token, _, query = str(answer.location).partition("?")
        assert token == self.token
        return self.desk.answer(Request("GET", token, parse_qs(query)))

    def post(self, act: str, *orders: str, query: str = "", **fields: str) -> Answer:
        form = {"act": [act], "order": list(orders), **{name: [value] for name, value in fields.items()}}
        return self.desk.answer(Request("POST", self.token, parse_qs(query), form))

    def entry(self, order_id: str) -> Entry:
        return self.ledger.entries[OrderRef(ACCOUNT, order_id)]

    def day(self, days: int) -> str:
        return (self.now - timedelta(hours=3) + days * DAY).date().isoformat()


@pytest.fixture
def shop() -> ListShop:
    return ListShop()


@pytest.fixture
def three() -> ListShop:
    shop = ListShop()
    for order_id in (A, B, C):
        shop.keep(order_id)
    return shop


def orders(answer: Answer) -> list[str]:
    """List the orders of a page, as they stand in it."""
    assert answer.status == HTTPStatus.OK
    return re.findall(r"<strong>([^<]+)</strong></a>", answer.body)


def text(answer: Answer) -> str:
    """Return what a page says."""
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script).*?</\1>", "", answer.body, flags=re.S)).split())


def tabs(answer: Answer) -> dict[str, str]:
    """Return how many each list has, by its name."""
    return dict(re.findall(r'href="\?state=(\w+)"[^>]*>[^<]+ <span>([^<]+)</span>', answer.body))


def rows(answer: Answer, delimiter: str = ";") -> list[dict[str, str]]:
    assert answer.body.startswith(sheet.MARK)
    return list(csv.DictReader(io.StringIO(answer.body.removeprefix(sheet.MARK)), delimiter=delimiter))


class TestTheList:
    def test_it_holds_what_is_open_the_oldest_first(self, shop: ListShop) -> None:
        for order_id, age in ((A, 2 * DAY), (B, 3 * DAY), (C, HOUR)):
            shop.keep(order_id, age=age)
        shop.keep("VVJ-1-01", account=OTHER)
        assert orders(shop.get()) == [B, A, C]

    def test_a_row_says_what_is_wrong_since_when_and_offers_the_key(self, shop: ListShop) -> None:
        shop.keep(A, MISSING, MALFORMED, age=6 * DAY)
        answer = shop.get()
        shown = text(answer)
        assert f"{A} na Casas Bahia: 975102-01 Há 6 dias desde" in shown
        assert "Nota 643797: sem chave de acesso Nota 643811: com chave fora do formato" in shown
        assert f'<code class="key">{KEY}</code>' in answer.body

    def test_a_row_leads_to_the_order_s_own_page(self, three: ListShop) -> None:
        address = re.findall(rf'<a href="([^"]+)"><strong>{A}', three.get().body)
        assert Links(ADDRESS, ["a key"]).read(address[0], three.now) == Target(ACCOUNT, A)
        assert three.desk.answer(Request("GET", address[0])).status == HTTPStatus.OK

    def test_each_state_has_its_list_and_its_number(self, three: ListShop) -> None:
        three.keep("VVJ-1-01", snoozed_until=three.now + DAY)
        three.keep_over("VVJ-2-01", DISMISSED)
        three.keep_over("VVJ-3-01", EXPIRED, age=2 * DAY)
        three.keep_over("VVJ-4-01", "ok")
        found = {state: orders(three.get(state=state)) for state in State}
        assert found == {
            State.OPEN: [A, B, C],
            State.SNOOZED: ["VVJ-1-01"],
            State.ARCHIVED: ["VVJ-2-01", "VVJ-3-01"],
            State.CLOSED: ["VVJ-4-01"],
        }
        for state in State:
            assert tabs(three.get(state=state)) == {"open": "3", "snoozed": "1", "archived": "2", "closed": "1"}

    def test_one_whose_day_has_come_is_open_again_without_a_write(self, shop: ListShop) -> None:
        shop.keep(A, age=2 * DAY)
        shop.keep(B, age=3 * DAY, snoozed_until=shop.now + DAY)
        shop.now += DAY
        assert orders(shop.get()) == [B, A]
        assert orders(shop.get(state="snoozed")) == []
        assert tabs(shop.get())["open"] == "2"

    def test_what_is_over_stands_with_the_newest_first_and_says_why(self, shop: ListShop) -> None:
        for number, reason in enumerate(("ok", "canceled", "returned", "not_found")):
            shop.keep_over(f"VVJ-{number}-01", reason, age=(number + 1) * DAY)
        shop.keep_over("VVJ-9-01", "ok", age=CLOSED_WITHIN + DAY)
        closed = shop.get(state="closed")
        assert orders(closed) == ["VVJ-0-01", "VVJ-1-01", "VVJ-2-01", "VVJ-3-01"]
        for said in ("Em ordem na VTEX desde", "Venda cancelada", "Devolvido", "Não existe mais na VTEX", "Era: sem"):
            assert said in text(closed)

    def test_one_that_had_been_in_order_says_so(self, shop: ListShop) -> None:
        former = Episode(shop.now - 9 * DAY, ("missing",), closed_at=shop.now - 8 * DAY, reason="ok")
        shop.keep(A, episodes=(former, Episode(shop.now - DAY, ("missing",))))
        assert "De novo: já tinha ficado em ordem." in text(shop.get())

    def test_an_empty_one_says_that_there_is_nothing_to_do(self, shop: ListShop) -> None:
        answer = shop.get()
        assert "Nenhum pedido em aberto: não há nada a fazer." in text(answer)
        assert 'name="act"' not in answer.body

    def test_each_list_offers_what_makes_sense_in_it(self, three: ListShop) -> None:
        three.keep("VVJ-1-01", snoozed_until=three.now + DAY)
        three.keep_over("VVJ-2-01", DISMISSED)
        three.keep_over("VVJ-3-01", EXPIRED)
        three.keep_over("VVJ-4-01", "ok")
        offered = {state: re.findall(r'name="act" value="(\w+)"', three.get(state=state).body) for state in State}
        assert offered == {
            State.OPEN: ["check", "dismiss", "snooze"],
            State.SNOOZED: ["check", "dismiss", "snooze", "undo"],
            State.ARCHIVED: ["undo"],
            State.CLOSED: [],
        }
        archived = three.get(state="archived").body
        assert re.findall(r'name="order" value="([^"]+)"', archived) == ["VVJ-2-01"]  # what expired is over

    def test_in_english_where_the_alerts_are(self) -> None:
        shop = ListShop("en")
        shop.keep(A, MISSING)
        assert "Invoice 643797: without an access key" in text(shop.get())

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("query", [{}, {"format": ["csv"]}, {"done": ["dismiss"], "n": ["3"]}])
    def test_opening_it_changes_nothing(self, three: ListShop, method: str, query: dict[str, list[str]]) -> None:
        before = three.ledger.dynamodb.items("")
        assert three.desk.answer(Request(method, three.token, query)).status == HTTPStatus.OK
        assert (three.ledger.dynamodb.items(""), three.queue.sent) == (before, [])

    def test_without_the_ledger_it_says_so(self, three: ListShop) -> None:
        three.ledger.dynamodb.before = _away
        assert three.get().status == HTTPStatus.SERVICE_UNAVAILABLE

    def test_an_item_that_somebody_corrupted_keeps_nobody_else_from_the_list(self, three: ListShop) -> None:
        three.ledger.dynamodb.table.update(f"order#{ACCOUNT}#{A}", "SET failure = :text", text="not JSON")
        assert orders(three.get()) == [B, C]
        assert orders(three.get(q="975")) == [B, C]
        assert [row["Pedido na VTEX"] for row in rows(three.get(format="csv"))] == [B, C]


def _away(_: str) -> None:
    raise unreachable()


class TestPages:
    def test_fifty_are_on_a_page_and_it_says_which_of_how_many(self, shop: ListShop) -> None:
        for number in range(120):
            shop.keep(f"VVJ-{number}-01", age=(200 - number) * HOUR)
        pages = [shop.get(page=str(number)) for number in (1, 2, 3)]
        assert [len(orders(page)) for page in pages] == [50, 50, 20]
        assert [order for page in pages for order in orders(page)] == [f"VVJ-{number}-01" for number in range(120)]
        assert "101–120 de 120" in text(pages[2])
        assert 'rel="prev"' not in pages[0].body
        assert 'rel="next" href="?state=open&amp;page=3"' in pages[1].body
        assert 'rel="next"' not in pages[2].body

    @pytest.mark.parametrize("page", ["4", "999999"])
    def test_one_beyond_the_last_is_the_last(self, shop: ListShop, page: str) -> None:
        for number in range(ON_A_PAGE + 1):
            shop.keep(f"VVJ-{number}-01", age=(200 - number) * HOUR)
        assert orders(shop.get(page=page)) == [f"VVJ-{ON_A_PAGE}-01"]

    @pytest.mark.parametrize("page", ["0", "-1", "x", "", "1e9", "٣", "9" * 400])
    def test_what_is_no_page_is_the_first(self, three: ListShop, page: str) -> None:
        assert orders(three.get(page=page)) == [A, B, C]

    def test_ten_thousand_are_counted_in_their_language(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for language, told in (("pt-BR", "10.000"), ("en", "10,000")):
            shop = ListShop(language)
            shop.keep(A)
            monkeypatch.setattr(FailureLists, "count", lambda *_: 10_000)
            assert tabs(shop.get())["archived"] == told

    def test_the_heaviest_page_weighs_no_more_than_sixty_kilobytes(self, shop: ListShop) -> None:
        for number in range(ON_A_PAGE):
            shop.keep(f"VVJ-{number}-01", *HEAVIEST, snoozed_until=shop.now + DAY)
        page = shop.get(state="snoozed")
        assert len(orders(page)) == ON_A_PAGE
        assert len(page.body.encode()) <= 60_000


class TestFilters:
    def test_by_problem(self, three: ListShop) -> None:
        three.keep("VVJ-1-01", MISSING, MALFORMED, age=HOUR)
        three.keep_over("VVJ-2-01", "ok")
        assert orders(three.get(problem="malformed")) == ["VVJ-1-01"]
        assert orders(three.get(problem="missing")) == [A, B, C, "VVJ-1-01"]
        assert orders(three.get(problem="missing", state="closed")) == ["VVJ-2-01"]
        assert "Nenhum pedido com esses filtros." in text(three.get(problem="reused"))

    def test_by_age(self, shop: ListShop) -> None:
        shop.keep(A, age=3 * DAY + SECOND)
        shop.keep(B, age=3 * DAY - SECOND)
        assert orders(shop.get(age="3")) == [A]
        assert orders(shop.get(age="1")) == [A, B]

    def test_with_a_likely_key(self, three: ListShop) -> None:
        three.keep("VVJ-1-01", MALFORMED)
        three.keep("VVJ-2-01", Shown("wrong_model", "1", has_suggestion=True))
        assert orders(three.get(key="1")) == ["VVJ-1-01", "VVJ-2-01"]

    @pytest.mark.parametrize(
        "sought",
        ["VVJ-975102-01", "vvj 975102 01", "975102", "VVJ97510201", "5102-01", " 975102-01 ", "643797", "6437",
         "LOJA.7", "loja 7-é"],
    )  # fmt: skip
    def test_by_a_part_of_any_of_its_numbers_however_it_is_written(self, shop: ListShop, sought: str) -> None:
        shop.keep(A, MISSING, marketplace_order_id="Loja.7-É")
        shop.keep("VVJ-1-01", MALFORMED, marketplace_order_id=None)
        assert orders(shop.get(q=sought)) == [A]

    @pytest.mark.parametrize("sought", ["975102x", "missing", "luxstore", "order", "01975102"])
    def test_what_is_none_of_its_numbers_finds_nothing(self, shop: ListShop, sought: str) -> None:
        shop.keep(A)
        assert orders(shop.get(q=sought)) == []

    def test_they_go_together_and_keep_their_values(self, three: ListShop) -> None:
        three.keep("VVJ-1-01", MALFORMED, age=8 * DAY)
        answer = three.get(state="open", problem="malformed", age="7", key="1", q='VVJ-1"')
        assert orders(answer) == ["VVJ-1-01"]
        for kept in ('value="malformed" selected', 'value="7" selected', 'value="1" checked', 'value="VVJ-1&#34;"'):
            assert kept in answer.body

    def test_what_is_no_filter_is_left_alone(self, three: ListShop) -> None:
        assert orders(three.get(colour="red", key="yes", format="pdf")) == [A, B, C]

    @pytest.mark.parametrize(
        "query",
        [
            {"state": "gone"},
            {"problem": "fun"},
            {"problem": "<script>"},
            {"age": "-1"},
            {"age": "old"},
            {"age": "9999"},
        ],
    )
    def test_a_value_that_there_is_not_is_refused(self, three: ListShop, query: dict[str, str]) -> None:
        assert three.get(**query).status == HTTPStatus.BAD_REQUEST
        assert three.post("check", A, query="&".join(f"{n}={v}" for n, v in query.items())).status == 400

    @pytest.mark.parametrize(
        "hostile", ["<script>alert(1)</script>", '" autofocus onfocus="x()', "</title><b>", "{{ 77*7777 }}"]
    )
    def test_what_shops_and_visitors_write_is_no_markup(self, shop: ListShop, hostile: str) -> None:
        shop.keep(A, Shown("missing", hostile, has_suggestion=False), marketplace_order_id=hostile)
        for answer in (shop.get(), shop.get(q=hostile), shop.get(done=hostile, n=hostile)):
            body = re.sub(r"<(style|script)>.*?</\1>", "", answer.body, flags=re.S)
            assert "<script" not in body
            assert "<b>" not in body
            assert ' onfocus="' not in body
            assert "598829" not in text(answer)


ORDER_IDS = st.integers(1, 40).map(lambda number: f"VVJ-{number}-01")
FAULTS = st.lists(
    st.builds(
        lambda code, number, key: Shown(code, number, has_suggestion=bool(key), suggested_key=key),
        st.sampled_from(["missing", "malformed", "reused"]),
        st.none() | st.integers(1, 99).map(str),
        st.none() | st.just(KEY),
    ),
    min_size=1,
    max_size=3,
)
FILTERS = st.builds(
    Filters,
    state=st.just(State.OPEN),
    problem=st.none() | st.sampled_from([Code.MISSING, Code.MALFORMED, Code.REUSED]),
    days=st.sampled_from([0, 1, 3, 7]),
    with_key=st.booleans(),
    sought=st.sampled_from(["", "1", "vvj-2", "9", "3 01"]),
)


@given(st.dictionaries(ORDER_IDS, st.tuples(FAULTS, st.integers(0, 240)), max_size=12), FILTERS)
def test_the_filters_leave_just_what_has_all_that_they_ask_for(
    kept: dict[str, tuple[list[Shown], int]], filters: Filters
) -> None:
    shop = ListShop()
    for order_id, (errors, hours) in kept.items():
        shop.keep(order_id, *errors, age=hours * HOUR + SECOND)

    def is_wanted(order_id: str, errors: list[Shown], hours: int) -> bool:
        sought = filters.sought.upper().replace("-", "").replace(" ", "")
        numbers = [order_id, order_id.removeprefix("VVJ-"), *(error.invoice_number or "" for error in errors)]
        return (
            (filters.problem is None or any(error.code == filters.problem for error in errors))
            and hours >= filters.days * 24
            and (not filters.with_key or any(error.suggested_key for error in errors))
            and any(sought in number.replace("-", "") for number in numbers)
        )

    expected = {order_id for order_id, (errors, hours) in kept.items() if is_wanted(order_id, errors, hours)}
    found = shop.desk.answer(Request("GET", shop.token, parse_qs(filters.address().removeprefix("?"))))
    assert set(orders(found)) == expected
    assert [kept[order_id][1] for order_id in orders(found)] == sorted((kept[o][1] for o in expected), reverse=True)


@given(FILTERS, st.integers(1, 9))
def test_an_address_gives_back_the_filters_that_it_was_made_of(filters: Filters, page: int) -> None:
    filters = replace(filters, page=page)
    assert Filters.of(parse_qs(filters.address().removeprefix("?"))) == filters


class TestActing:
    def test_several_are_looked_at_again(self, three: ListShop) -> None:
        answer = three.post("check", A, B, query="state=open&q=975")
        assert answer.status == HTTPStatus.SEE_OTHER
        assert three.queue.sent == [A, B]
        assert "look asked for by link" in three.entry(A).acts[-1]
        followed = three.follow(answer)
        assert "Pedidos que vamos conferir agora: 2." in text(followed)
        assert 'value="975"' in followed.body

    def test_asked_twice_they_are_queued_once(self, three: ListShop) -> None:
        three.post("check", A)
        assert three.post("check", A, B).status == HTTPStatus.SEE_OTHER
        assert three.queue.sent == [A, B]

    def test_several_are_dismissed_and_the_list_says_how_many(self, three: ListShop) -> None:
        answer = three.post("dismiss", A, B, reason="portal")
        assert [three.entry(order_id).archived for order_id in (A, B, C)] == [DISMISSED, DISMISSED, None]
        followed = three.follow(answer)
        assert "Pronto. Dados por resolvidos: 2." in text(followed)
        assert orders(followed) == [C]

    def test_several_are_snoozed_and_taken_back(self, three: ListShop) -> None:
        three.post("snooze", A, B, until=three.day(3))
        assert orders(three.get(state="snoozed")) == [A, B]
        assert "Adiado até" in text(three.get(state="snoozed"))
        answer = three.post("undo", A, query="state=snoozed")
        assert orders(three.follow(answer)) == [B]

    def test_a_dismissal_is_taken_back_and_checked_at_once(self, three: ListShop) -> None:
        three.post("dismiss", A, reason="other")
        assert three.post("undo", A, query="state=archived").status == HTTPStatus.SEE_OTHER
        assert three.queue.sent == [A]

    def test_those_that_changed_meanwhile_are_left_alone_and_counted(self, three: ListShop) -> None:
        seen = {f"seen.{A}": "1", f"seen.{B}": "0"}
        answer = three.post("dismiss", A, B, reason="portal", **seen)
        assert [three.entry(order_id).archived for order_id in (A, B)] == [DISMISSED, None]
        assert "Nada foi feito com 1: mudaram enquanto isso." in text(three.follow(answer))

    def test_the_page_sends_which_report_was_seen(self, three: ListShop) -> None:
        assert f'name="seen.{A}" value="1"' in three.get().body

    def test_where_all_changed_nothing_is_done(self, three: ListShop) -> None:
        answer = three.post("dismiss", A, reason="portal", **{f"seen.{A}": "7"})
        assert answer.status == HTTPStatus.CONFLICT
        assert "Nada foi feito" in text(answer)
        assert three.entry(A).archived is None

    def test_without_the_queue_nothing_is_noted(self, three: ListShop) -> None:
        three.queue.takes = 0
        before = three.ledger.entries
        assert three.post("check", A, B).status == HTTPStatus.SERVICE_UNAVAILABLE
        assert three.ledger.entries == before

    def test_what_the_queue_did_not_take_is_said_to_be_left(self, three: ListShop) -> None:
        three.queue.takes = 1
        answer = three.post("check", A, B, C)
        assert [bool(three.entry(order_id).acts) for order_id in (A, B, C)] == [True, False, False]
        assert "conferir agora: 1. " in text(three.follow(answer))
        assert "Faltam 2" in text(three.follow(answer))

    def test_without_the_ledger_nothing_is_done(self, three: ListShop) -> None:
        three.steps.before("write", unreachable(), times=None)
        assert three.post("dismiss", A, B, reason="portal").status == HTTPStatus.SERVICE_UNAVAILABLE
        assert three.entry(A).archived is None

    def test_where_the_ledger_goes_away_in_the_middle_the_rest_is_said_to_be_left(self, three: ListShop) -> None:
        three.steps.before("write", unreachable(), about=B, times=None)
        answer = three.post("snooze", A, B, C, until=three.day(2))
        assert [bool(three.entry(order_id).snoozed_until) for order_id in (A, B, C)] == [True, False, False]
        assert "Pronto. Adiados: 1. Faltam 2" in text(three.follow(answer))

    def test_what_takes_too_long_is_left(self, three: ListShop, monkeypatch: pytest.MonkeyPatch) -> None:
        snooze = Acts.snooze

        def slow(*given: Any, **options: Any) -> ActResult:
            three.now += LONGEST_ACT + SECOND
            return snooze(*given, **options)

        monkeypatch.setattr(Acts, "snooze", slow)
        answer = three.post("snooze", A, B, until=three.day(2))
        assert "Adiados: 1. Faltam 1" in text(three.follow(answer))

    def test_with_none_chosen_it_says_so(self, three: ListShop) -> None:
        answer = three.post("check")
        assert answer.status == HTTPStatus.BAD_REQUEST
        assert "Nenhum pedido foi escolhido" in text(answer)

    @pytest.mark.parametrize(
        "order_ids", [["VVJ-404-01"], [A, "VVJ-404-01"], ["seq1"], [A, "../x"], [""], ["<b>"], ["VVJ-9-01"]]
    )
    def test_what_is_no_order_of_the_account_s_is_refused_and_nothing_done(
        self, three: ListShop, order_ids: list[str]
    ) -> None:
        three.keep("VVJ-9-01", account=OTHER)
        before = three.ledger.entries
        assert three.post("dismiss", *order_ids, reason="portal").status == HTTPStatus.BAD_REQUEST
        assert three.ledger.entries == before

    @pytest.mark.parametrize(
        ("act", "fields"),
        [("delete", {}), ("dismiss", {"reason": " "}), ("snooze", {}), ("snooze", {"until": "x"}),
         ("dismiss", {"reason": "portal", f"seen.{A}": "x"})],
    )  # fmt: skip
    def test_a_form_without_sense_does_nothing(self, three: ListShop, act: str, fields: dict[str, str]) -> None:
        before = three.ledger.entries
        assert three.post(act, A, B, **fields).status == HTTPStatus.BAD_REQUEST
        assert three.ledger.entries == before

    def test_a_hundred_at_the_most(self, shop: ListShop) -> None:
        order_ids = [f"VVJ-{number}-01" for number in range(101)]
        for order_id in order_ids:
            shop.keep(order_id)
        assert shop.post("check", *order_ids).status == HTTPStatus.BAD_REQUEST
        assert shop.post("check", *order_ids[:100]).status == HTTPStatus.SEE_OTHER
        assert len(shop.queue.sent) == 100

    @pytest.mark.parametrize("query", [{"done": "fun", "n": "3"}, {"done": "dismiss", "n": "-3"}, {"n": "3"}])
    def test_an_address_that_no_act_led_to_claims_nothing(self, three: ListShop, query: dict[str, str]) -> None:
        assert 'class="notice"' not in three.get(**query).body


@given(st.builds(Tally, *[st.integers(0, 100)] * 3))
def test_a_tally_comes_back_from_its_address(tally: Tally) -> None:
    query = parse_qs(tally.address(Filters(), "snooze").removeprefix("?"))
    assert (Tally.of(query), query["done"]) == (tally, ["snooze"])


class TestCsv:
    @pytest.fixture
    def answer(self, shop: ListShop) -> Answer:
        shop.keep(A, MALFORMED, Shown("missing", "0003", has_suggestion=False), age=60 * HOUR)
        return shop.get(format="csv")

    def test_it_is_what_the_command_writes(self, answer: Answer, shop: ListShop) -> None:
        first, second = rows(answer)
        assert list(first) == [said.to("pt-BR") for said in sheet.HEADINGS.values()]
        next_reading = shop.now + HOUR - 3 * HOUR
        assert first == {
            "Pedido na VTEX": A,
            "Pedido no marketplace": '="975102-01"',
            "Conta VTEX": ACCOUNT,
            "Nota fiscal": '="643811"',
            "Problema": "Chave da nota 643811 fora do formato",
            "Código do problema": "malformed",
            "Chave sugerida": f'="{KEY}"',
            "Em aberto desde": f"{shop.now - 63 * HOUR:%d/%m/%Y %H:%M}",
            "Dias em aberto": "2,5",
            "Próxima leitura": f"{next_reading:%d/%m/%Y %H:%M}",
            "Situação": "em aberto",
            "Adiado até": "",
            "Link": f"https://luxstore.myvtex.com/admin/orders/{A}",
        }
        assert (second["Nota fiscal"], second["Chave sugerida"]) == ('="0003"', "")

    def test_it_is_a_file_with_a_name(self, answer: Answer, shop: ListShop) -> None:
        assert answer.content_type == "text/csv; charset=utf-8"
        assert answer.filename == f"invoicekey-luxstore-open-{shop.day(0)}.csv"

    def test_it_holds_all_that_the_filters_leave(self, shop: ListShop) -> None:
        for number in range(ON_A_PAGE + 10):
            shop.keep(f"VVJ-{number}-01", MISSING if number else MALFORMED)
        assert len(rows(shop.get(format="csv", page="2"))) == ON_A_PAGE + 10
        assert len(rows(shop.get(format="csv", problem="malformed"))) == 1

    def test_each_state_is_said_in_words(self, shop: ListShop) -> None:
        shop.keep(A, snoozed_until=shop.now + DAY)
        shop.keep_over(B, DISMISSED)
        shop.keep_over(C, "ok")
        (snoozed,) = rows(shop.get(state="snoozed", format="csv"))
        assert snoozed["Adiado até"] == f"{shop.now + DAY - 3 * HOUR:%d/%m/%Y %H:%M}"
        told = {state: [row["Situação"] for row in rows(shop.get(state=state, format="csv"))] for state in State}
        assert told == {State.OPEN: [], State.SNOOZED: ["adiado"], State.ARCHIVED: ["dispensado"],
                        State.CLOSED: ["resolvido"]}  # fmt: skip

    def test_no_cell_is_a_formula(self, shop: ListShop) -> None:
        shop.keep(A, Shown("missing", "=1+1", has_suggestion=False), marketplace_order_id='1";=HYPERLINK("x")')
        (row,) = rows(shop.get(format="csv"))
        assert row["Nota fiscal"] == "'=1+1"
        assert row["Pedido no marketplace"] == '1",=HYPERLINK("x")'

    def test_in_english_it_is_as_english_spreadsheets_take_it(self) -> None:
        shop = ListShop("en")
        shop.keep(A, age=12 * HOUR)
        (row,) = rows(shop.get(format="csv"), ",")
        assert (row["Problem"], row["Days open"]) == ("Invoice 643797 has no access key", "0.5")

    def test_what_lambda_could_not_answer_is_cut_and_the_last_line_says_so(
        self, shop: ListShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(desk_list, "LONGEST_CSV", 2_000)
        for number in range(20):
            shop.keep(f"VVJ-{number}-01")
        answer = shop.get(format="csv")
        *_, last = answer.body.splitlines()
        missing = re.fullmatch(r"A lista não coube toda: faltam ([0-9]+) linhas\. Use os filtros\.", last)
        assert missing
        assert len(rows(answer)) - 1 + int(missing[1]) == 20
        assert len(json.dumps(answer.body)) < 2_300
