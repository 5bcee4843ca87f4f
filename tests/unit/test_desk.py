"""The desk: what it answers to whoever opens a link, and what it does for them."""

import json
import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from invoicekey.delivery.queues import HookQueue
from invoicekey.ledger.entries import DISMISSED, EXPIRED, Entry
from invoicekey.ledger.failures import FailureLists
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.schedule import FOLLOWED_FOR
from invoicekey.messages import pages
from invoicekey.messages.links import Links, Target
from invoicekey.runtime.desk import DeskLinks
from invoicekey.runtime.errors import Conflict
from invoicekey.runtime.secrets import CachedSecret
from invoicekey.runtime.telemetry import METRICS
from invoicekey.work.acts import Acts
from invoicekey.work.desk import ASKED_ALREADY, AccountDesk, Answer, Desk, Request, Style
from invoicekey.work.desk_list import Lists
from tests.fakes import FakeSecretsManager
from tests.fakes_outside import LEASE, ORDER_ID, REF, Outside, unreachable
from tests.orders import KEY, cnova_order, sale

ADDRESS = "https://api.example/desk/"
KEYLESS, GOOD = cnova_order(sale(key=None)), cnova_order(sale())
OTHER = cnova_order(sale(key=KEY[:-2]))
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


class Queue(HookQueue):
    """The hook queue: it keeps what it is given, or takes nothing while it is away."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.is_away = False

    def send(self, events: Any) -> list[Any]:
        if self.is_away:
            return []
        self.sent += [{"body": json.loads(event.body), "source": event.source} for event in events]
        return list(events)


class Shop:
    """A shop whose order fails, and whoever got the alert's link."""

    def __init__(self, language: str = "pt-BR") -> None:
        self.outside = Outside()
        # Links are signed by the clock on the wall.
        self.outside.time.advance(datetime.now(UTC) - self.outside.time.now)
        self.queue = Queue()
        self.secrets = FakeSecretsManager()
        self.secrets.put("desk", {"current": "a key"})
        links = DeskLinks(ADDRESS, CachedSecret(self.secrets.client, "desk"))
        ledger = self.outside.ledger
        acts = Acts(ledger, self.outside.outlets, LEASE, language, by="link")
        style = Style(language, "America/Sao_Paulo")
        failures = FailureLists(ledger.dynamodb.table)
        lists = Lists(failures, Backlog(ledger.dynamodb.table), language, style.timezone)
        of_account = AccountDesk(
            links,
            ledger,
            lambda: self.queue,
            acts,
            style,
            lists=lists,
            failures=failures,
            now=lambda: self.outside.time.now,
        )
        self.desk = Desk(links, lambda _account: of_account, language, now=lambda: self.outside.time.now)
        self.token = Links(ADDRESS, ["a key"]).token(Target(REF.account, ORDER_ID))

    def check(self, document: dict[str, Any] | None = None) -> None:
        """Let the stack check the order, at VTEX as it is or as it is to be."""
        if document is not None:
            self.outside.vtex.put(document)
        assert self.outside.check(self.outside.message()) == set()

    def get(self, **query: str) -> Answer:
        return self.desk.answer(Request("GET", self.token, {name: [value] for name, value in query.items()}))

    def post(self, act: str, **fields: str) -> Answer:
        form = {"act": act, **fields}
        return self.desk.answer(Request("POST", self.token, form={name: [value] for name, value in form.items()}))

    @property
    def entry(self) -> Entry:
        return self.outside.ledger.entries[REF]

    @property
    def today(self) -> str:
        return (self.outside.time.now - timedelta(hours=3)).date().isoformat()

    def day(self, days: int) -> str:
        return (self.outside.time.now - timedelta(hours=3) + days * DAY).date().isoformat()


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.check(KEYLESS)
    return shop


def text(answer: Answer) -> str:
    """Return what a page says."""
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<(style|script).*?</\1>", "", answer.body, flags=re.S)).split())


class TestAnOrder:
    def test_its_page_says_what_is_wrong_and_what_to_do_as_its_alert_did(self, shop: Shop) -> None:
        answer = shop.get()
        assert answer.status == HTTPStatus.OK
        assert "A nota 643797 está sem a chave de acesso da NF-e." in text(answer)
        body = json.loads(json.loads(shop.outside.outlets.alerts[0].text)["Message"])["email"]
        steps = [line for line in body.split("\n") if re.match(r"[0-9]\. ", line)]
        assert len(steps) >= 3
        for step in steps:
            assert step[3:].replace(">", "&gt;") in text(answer)

    def test_a_suggested_key_is_there_to_be_copied(self) -> None:
        shop = Shop()
        shop.check(cnova_order(sale(key=f"NFe{KEY}")))
        assert f'<code class="key" id="key-1">{KEY}</code>' in shop.get().body

    def test_what_a_shop_writes_is_no_markup(self) -> None:
        shop = Shop()
        shop.check(cnova_order(sale('<b onclick="x()">"1"</b>', key="<script>alert(1)</script>")))
        body = shop.get().body
        assert "<script>alert" not in body
        assert "<b " not in body

    def test_in_english_where_the_alerts_are(self) -> None:
        shop = Shop("en")
        shop.check(KEYLESS)
        assert "I put the key in: look again now" in text(shop.get())

    def test_one_that_the_ledger_does_not_know_is_said_to_be_unchecked(self) -> None:
        assert "Ainda não verificado" in text(Shop().get())

    def test_opening_it_changes_nothing(self, shop: Shop) -> None:
        before = shop.outside.ledger.dynamodb.items("")
        for method in ("GET", "HEAD"):
            assert shop.desk.answer(Request(method, shop.token)).status == HTTPStatus.OK
        assert shop.outside.ledger.dynamodb.items("") == before
        assert shop.queue.sent == []

    def test_what_happened_says_how_a_failure_ended(self, shop: Shop) -> None:
        shop.check(GOOD)
        assert "Em ordem: todas as chaves certas" in text(shop.get())
        shop.check(KEYLESS)
        shop.check(cnova_order(sale(key=None), status="canceled"))
        assert "Encerrado: o pedido foi cancelado ou devolvido" in text(shop.get())

    def test_what_happened_tells_a_command_from_a_link(self, shop: Shop) -> None:
        acts = Acts(shop.outside.ledger, shop.outside.outlets, LEASE, "pt-BR")
        acts.snooze(REF, shop.outside.time.now + DAY, shop.outside.time.now)
        shop.post("undo")
        said = text(shop.get())
        assert "Adiado pela equipe técnica até" in said
        assert "Desfeito por link" in said

    def test_another_method_is_refused(self, shop: Shop) -> None:
        assert shop.desk.answer(Request("DELETE", shop.token)).status == HTTPStatus.METHOD_NOT_ALLOWED

    def test_it_weighs_little(self, shop: Shop) -> None:
        assert len(shop.get().body.encode()) < 20_000

    def test_the_policy_names_the_very_style_and_script_of_the_page(self, shop: Shop) -> None:
        policy = pages.content_security_policy()
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert not re.search(r"\son[a-z]+=|\sstyle=|https?://(?!luxstore\.myvtex\.com)", shop.get().body)


class TestLookingAgain:
    def test_a_check_is_queued_with_its_source_and_the_page_says_that_it_is_under_way(self, shop: Shop) -> None:
        answer = shop.post("check")
        assert (answer.status, answer.location) == (HTTPStatus.SEE_OTHER, f"{shop.token}?done=check")
        (event,) = shop.queue.sent
        assert (event["source"], event["body"]["OrderId"]) == ("desk", ORDER_ID)
        assert "Conferindo na VTEX" in text(shop.get(done="check"))
        assert [act.partition(" ")[2] for act in shop.entry.acts] == ["look asked for by link"]

    def test_the_page_says_what_came_of_it(self, shop: Shop) -> None:
        shop.post("check")
        shop.outside.time.advance(SECOND)
        shop.check(GOOD)
        shown = text(shop.get(done="check"))
        assert "Em ordem na VTEX" in shown
        assert "Conferido agora: está em ordem." in shown
        assert "data-checking" not in re.sub(r"<script.*?</script>", "", shop.get().body, flags=re.S)

    def test_it_says_so_too_where_the_problem_is_still_there(self, shop: Shop) -> None:
        shop.post("check")
        shop.outside.time.advance(SECOND)
        shop.check()
        assert "Conferido agora: o problema continua na VTEX." in text(shop.get(done="check"))

    def test_one_that_is_not_followed_any_longer_can_be_looked_at(self, shop: Shop) -> None:
        shop.outside.time.advance(FOLLOWED_FOR)
        shop.check()
        assert shop.entry.archived == EXPIRED
        shop.token = Links(ADDRESS, ["a key"]).token(Target(REF.account, ORDER_ID))
        shop.outside.time.advance(-FOLLOWED_FOR + SECOND)
        assert shop.post("check").status == HTTPStatus.SEE_OTHER

    def test_asked_twice_it_is_queued_once(self, shop: Shop) -> None:
        assert [shop.post("check").status for _ in range(3)] == [HTTPStatus.SEE_OTHER] * 3
        assert len(shop.queue.sent) == 1
        shop.outside.time.advance(ASKED_ALREADY + SECOND)
        shop.post("check")
        assert len(shop.queue.sent) == 2

    def test_an_order_that_was_closed_meanwhile_is_left_alone(self, shop: Shop) -> None:
        shop.check(GOOD)
        answer = shop.post("check")
        assert answer.status == HTTPStatus.CONFLICT
        assert "Nada foi feito" in text(answer)
        assert shop.queue.sent == []

    def test_without_the_queue_nothing_is_noted_and_the_page_says_so(self, shop: Shop) -> None:
        shop.queue.is_away = True
        before = shop.entry
        answer = shop.post("check")
        assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert "Nada foi feito" in text(answer)
        assert shop.entry == before

    def test_a_note_that_is_lost_does_not_take_the_check_back(self, shop: Shop) -> None:
        shop.outside.steps.before("write", unreachable(), times=None)
        assert shop.post("check").status == HTTPStatus.SEE_OTHER
        assert len(shop.queue.sent) == 1


class TestDismissing:
    def test_it_closes_the_failure_and_tells_machines_why(self, shop: Shop) -> None:
        answer = shop.post("dismiss", reason="portal", note="atualizei  lá")
        assert answer.status == HTTPStatus.SEE_OTHER
        assert shop.entry.archived == DISMISSED
        assert shop.outside.outlets.records[-1].document["data"]["reason"] == "dismissed"
        assert "Dado por resolvido" in text(shop.get(done="dismiss"))
        assert "Dado por resolvido por link: Atualizado no portal da Casas Bahia: atualizei lá" in text(shop.get())

    @pytest.mark.parametrize(
        "fields",
        [{"reason": ""}, {"reason": "x" * 121}, {"reason": "a\x1bb"}, {"reason": "portal", "note": "x" * 121},
         {"reason": "portal", "note": "a\x1bb"}, {"reason": "portal", "seen": "one"}],
    )  # fmt: skip
    def test_a_form_without_sense_does_nothing(self, shop: Shop, fields: dict[str, str]) -> None:
        before = shop.entry
        assert shop.post("dismiss", **fields).status == HTTPStatus.BAD_REQUEST
        assert shop.entry == before

    @pytest.mark.parametrize(
        ("fields", "kept"),
        [({}, "Atualizado no portal da Casas Bahia"), ({"reason": "resolvido por telefone"}, "resolvido por telefone")],
    )
    def test_a_reason_may_be_left_out_or_be_of_one_s_own(self, shop: Shop, fields: dict[str, str], kept: str) -> None:
        assert shop.post("dismiss", **fields).status == HTTPStatus.SEE_OTHER
        assert shop.entry.acts[-1].endswith(f"dismissed by link: {kept}")

    def test_clicked_twice_it_is_done_once_and_both_see_it_done(self, shop: Shop) -> None:
        seen = str(shop.entry.last_report_number)
        assert [shop.post("dismiss", reason="portal", seen=seen).status for _ in range(2)] == [HTTPStatus.SEE_OTHER] * 2
        assert [record.type for record in shop.outside.outlets.records] == ["failing", "resolved"]

    def test_whoever_saw_other_errors_than_it_has_by_now_dismisses_nothing(self, shop: Shop) -> None:
        seen = str(shop.entry.last_report_number)
        shop.outside.time.advance(SECOND)
        shop.check(OTHER)
        answer = shop.post("dismiss", reason="portal", seen=seen)
        assert answer.status == HTTPStatus.CONFLICT
        assert "o pedido mudou" in text(answer)
        assert shop.entry.archived is None

    def test_one_that_is_in_order_by_now_is_not_dismissed(self, shop: Shop) -> None:
        shop.check(GOOD)
        assert shop.post("dismiss", reason="portal").status == HTTPStatus.CONFLICT
        assert shop.entry.archived is None

    def test_a_check_under_way_has_it_done_anew(self, shop: Shop) -> None:
        shop.outside.steps.before("write", Conflict())
        assert shop.post("dismiss", reason="portal").status == HTTPStatus.SEE_OTHER

    def test_without_the_ledger_nothing_is_done_and_the_page_says_so(self, shop: Shop) -> None:
        shop.outside.steps.before("write", unreachable(), times=None)
        answer = shop.post("dismiss", reason="portal")
        assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
        assert [record.type for record in shop.outside.outlets.records] == ["failing"]


class TestSnoozing:
    def test_nobody_is_reminded_until_the_morning_of_that_day_on_the_shop_s_clocks(self, shop: Shop) -> None:
        assert shop.post("snooze", until=shop.day(3)).status == HTTPStatus.SEE_OTHER
        until = shop.entry.snoozed_until
        assert until
        assert until.astimezone(UTC).isoformat() == f"{shop.day(3)}T03:00:00+00:00"
        assert "Adiado até" in text(shop.get(done="snooze"))

    @pytest.mark.parametrize("days", [0, -1, 15, 400])
    def test_a_day_that_is_past_or_too_far_is_refused(self, shop: Shop, days: int) -> None:
        assert shop.post("snooze", until=shop.day(days)).status == HTTPStatus.BAD_REQUEST
        assert shop.entry.snoozed_until is None

    @pytest.mark.parametrize("until", ["", "tomorrow", "2026-13-40", "9999-12-31"])
    def test_what_is_no_day_is_refused(self, shop: Shop, until: str) -> None:
        assert shop.post("snooze", until=until).status == HTTPStatus.BAD_REQUEST

    def test_the_last_day_that_the_page_offers_is_taken(self, shop: Shop) -> None:
        last = re.search(r'max="([0-9-]+)"', shop.get().body)
        assert last
        assert shop.post("snooze", until=last[1]).status == HTTPStatus.SEE_OTHER

    def test_other_errors_end_it_and_people_hear_of_them(self, shop: Shop) -> None:
        shop.post("snooze", until=shop.day(3))
        shop.outside.time.advance(SECOND)
        shop.check(OTHER)
        assert shop.entry.snoozed_until is None
        assert len(shop.outside.outlets.alerts) == 2

    def test_the_same_errors_do_not(self, shop: Shop) -> None:
        shop.post("snooze", until=shop.day(3))
        shop.outside.time.advance(SECOND)
        shop.check()
        assert shop.entry.snoozed_until
        assert len(shop.outside.outlets.alerts) == 1

    def test_its_day_ends_it(self, shop: Shop) -> None:
        shop.post("snooze", until=shop.day(1))
        shop.outside.time.advance(DAY)
        assert "Em aberto desde" in text(shop.get())


class TestUndoing:
    def test_a_snooze_is_taken_back(self, shop: Shop) -> None:
        shop.post("snooze", until=shop.day(3))
        assert shop.post("undo").status == HTTPStatus.SEE_OTHER
        assert shop.entry.snoozed_until is None
        assert "Pronto: desfeito." in text(shop.get(done="undo"))

    def test_a_dismissal_is_taken_back_and_the_order_checked_at_once(self, shop: Shop) -> None:
        shop.post("dismiss", reason="portal")
        assert shop.post("undo").status == HTTPStatus.SEE_OTHER
        assert [event["source"] for event in shop.queue.sent] == ["desk"]
        assert "Conferindo na VTEX" in text(shop.get(done="undo"))
        assert "Não há problema em aberto" not in text(shop.get())
        shop.outside.time.advance(SECOND)
        shop.check()
        assert shop.entry.has_open_failure

    def test_it_is_taken_back_without_the_queue_too_for_it_is_due(self, shop: Shop) -> None:
        shop.post("dismiss", reason="portal")
        shop.queue.is_away = True
        assert shop.post("undo").status == HTTPStatus.SEE_OTHER
        assert shop.entry.recheck_at == shop.outside.time.now

    def test_where_there_is_nothing_to_undo_that_is_as_good(self, shop: Shop) -> None:
        assert shop.post("undo").status == HTTPStatus.SEE_OTHER

    def test_a_closed_failure_is_not_undone(self, shop: Shop) -> None:
        shop.check(GOOD)
        assert shop.post("undo").status == HTTPStatus.CONFLICT

    def test_an_old_address_claims_no_act_that_was_not_done(self, shop: Shop) -> None:
        assert "Pronto" not in text(shop.get(done="dismiss"))
        assert "Pronto" not in text(shop.get(done="<script>"))


class TestOtherForms:
    @pytest.mark.parametrize("form", [{}, {"act": ["delete"]}, {"act": ["check", "dismiss"]}, {"act": [""]}])
    def test_they_do_nothing(self, shop: Shop, form: dict[str, list[str]]) -> None:
        before = shop.entry
        answer = shop.desk.answer(Request("POST", shop.token, form=form))
        assert answer.status == HTTPStatus.BAD_REQUEST
        assert (shop.entry, shop.queue.sent) == (before, [])


class TestTokens:
    @pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
    def test_what_is_no_token_never_reaches_the_ledger(self, shop: Shop, method: str) -> None:
        shop.outside.ledger.dynamodb.calls.clear()
        for token in ("", "x", shop.token[:-4], f"{shop.token}A", Links(ADDRESS, ["foreign"]).token(Target("a", "b"))):
            answer = shop.desk.answer(Request(method, token, form={"act": ["check"]}))
            assert answer.status == HTTPStatus.FORBIDDEN
        assert shop.outside.ledger.dynamodb.calls == []
        assert shop.queue.sent == []

    def test_one_that_is_over_says_what_comes_next(self, shop: Shop) -> None:
        shop.outside.time.advance(31 * DAY)
        answer = shop.get()
        assert answer.status == HTTPStatus.GONE
        assert "O próximo lembrete traz um novo." in text(answer)

    def test_after_a_rotation_the_former_links_work_until_they_are_over(self, shop: Shop) -> None:
        until = shop.outside.time.now + 30 * DAY
        shop.secrets.put("desk", {"current": "new", "previous": "a key", "previous_until": until.isoformat()})
        assert shop.get().status == HTTPStatus.OK
        shop.outside.time.advance(30 * DAY)
        assert shop.get().status == HTTPStatus.FORBIDDEN

    @pytest.mark.parametrize("secret", [{}, {"current": ""}, {"current": 7}])
    def test_without_a_key_nobody_is_let_in(self, shop: Shop, secret: dict[str, Any]) -> None:
        shop.secrets.put("desk", secret)
        assert shop.get().status == HTTPStatus.SERVICE_UNAVAILABLE

    def test_without_secrets_manager_the_page_says_that_it_is_away(self, shop: Shop) -> None:
        shop.secrets.trouble = EndpointConnectionError(endpoint_url="https://aws.example")
        assert shop.get().status == HTTPStatus.SERVICE_UNAVAILABLE


class TestFaultsOfOurs:
    def test_whoever_waits_gets_a_page_and_operations_hear_of_it(self, shop: Shop) -> None:
        shop.outside.steps.before("read", ZeroDivisionError("a fault"), times=None)
        answer = shop.get()
        assert answer.status == HTTPStatus.INTERNAL_SERVER_ERROR
        assert "Algo falhou aqui" in text(answer)
        assert "desk_failed" in METRICS


class TestLogs:
    def test_no_line_holds_a_token(self, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
        shop.get()
        shop.post("check")
        shop.post("dismiss", reason="portal", note="a remark")
        shop.desk.answer(Request("GET", shop.token[:-1]))
        out = "".join(capsys.readouterr())
        assert shop.token[:-1] not in out
        assert "a remark" not in out
