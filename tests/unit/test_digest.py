"""Each alert that was deferred is told in one digest, and each account is reminded of what is open, each once."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from invoicekey.delivery.queues import AlertTopic, alert_entry
from invoicekey.ledger.entries import DISMISSED, EXPIRED
from invoicekey.ledger.failures import Episode, FailureLists, Shown
from invoicekey.messages import summary
from invoicekey.messages.alert import Alert, Style
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater, Unforeseen
from invoicekey.work import digest
from invoicekey.work.digest import DROPPING_SECONDS, MOST_SENT, SENDING_SECONDS, WANTED_FOR, Digests, SummaryStates
from tests.fakes_digest import LEASE, MINUTE, OTHER, PLENTY, SHOP, TUESDAY, DigestShop, at, die, fail, when
from tests.fakes_outside import Crash

HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
A, B, C = "VVJ-1-01", "VVJ-2-01", "VVJ-3-01"
MONDAY_AT_9 = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
KEY = "35260311222333000181550010006438111732194050"
ERRORS = (
    Shown("malformed", "643811", has_suggestion=True, suggested_key=KEY),
    Shown("missing", "643812", has_suggestion=False),
)
LISTED = f"""{A} | nota 643811 | com chave fora do formato, chave sugerida:
{KEY}
Também: nota 643812 | sem chave de acesso
https://luxstore.myvtex.com/admin/orders/{A}
"""
ALERT = alert_entry("the subject", '{"default": "the body"}', {"type": "failing", "account": SHOP, "severity": "error"})
MOST_MOMENTS = 60
"""A run that sends two digests or reminders has no more moments than this."""


@pytest.fixture
def shop() -> DigestShop:
    return DigestShop()


def moments_of(run: Callable[[DigestShop], object], make: Callable[[], DigestShop]) -> Iterator[tuple[int, DigestShop]]:
    """Yield a shop for each moment of a run, before it runs."""
    shop = make()
    run(shop)
    count = len(shop.moments.passed)
    assert count < MOST_MOMENTS
    for number in range(count):
        yield number, make()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted = Counter[str]()
    monkeypatch.setattr(telemetry, "count", lambda name, number=1: counted.update({name: number}))
    return counted


def not_of(account: str, write: Callable[..., Alert]) -> Callable[..., Alert]:
    """Return what writes summaries, but none of an account: there it has a fault."""

    def written(name: str, *given: Any, **named: Any) -> Alert:
        return 1 // 0 if name == account else write(name, *given, **named)  # type: ignore[return-value]

    return written


def with_two_alerts() -> DigestShop:
    shop = DigestShop()
    shop.hold_back(A)
    shop.hold_back(B, "resolved")
    return shop


class TestDigest:
    def test_all_that_is_held_back_is_told_by_account(self, shop: DigestShop) -> None:
        shop.hold_back(A, "failing", "missing")
        shop.hold_back(B, "resolved")
        shop.hold_back(C, "expired", account=OTHER)
        assert shop.tell() == 2
        assert [(told.type, told.account, told.orders) for told in shop.topic.published] == [
            ("digest", SHOP, [A, B]),
            ("digest", OTHER, [C]),
        ]
        assert not shop.held

    @pytest.mark.parametrize("kind", ["failing", "expired"])
    def test_it_lists_every_error_with_its_suggested_key(self, shop: DigestShop, kind: str) -> None:
        shop.hold_back(A, kind, "malformed", "missing", errors=ERRORS)
        shop.tell()
        assert LISTED in shop.topic.published[0].body

    def test_one_of_one_is_that_alert_and_one_of_two_is_none(self, shop: DigestShop) -> None:
        shop.hold_back(A, alert=ALERT)
        assert shop.tell() == 1
        (told,) = shop.topic.published
        assert (told.subject, told.body, told.type) == ("the subject", "the body", "failing")
        assert not shop.held
        shop.hold_back(A, alert=ALERT)
        shop.hold_back(B, alert=ALERT)
        shop.tell()
        assert [(told.type, told.orders) for told in shop.topic.published[1:]] == [("digest", [A, B])]

    def test_one_whose_order_has_another_alert_by_now_is_told_as_it_was_listed(self, shop: DigestShop) -> None:
        shop.hold_back(A, alert=ALERT)
        shop.moments.happens = when("after update_item", lambda: shop.hold_back(A, "resolved", alert=ALERT))
        shop.tell()
        assert [told.type for told in shop.topic.published] == ["digest"]
        shop.wait()
        shop.tell()
        assert [told.type for told in shop.topic.published] == ["digest", "failing"]

    def test_one_of_one_that_sns_refuses_is_sent_by_the_next_run(self, shop: DigestShop) -> None:
        shop.hold_back(A, alert=ALERT)
        shop.topic.refused = {SHOP}
        assert shop.tell() == 0
        shop.topic.refused.clear()
        shop.wait()
        assert shop.tell() == 1
        assert [told.type for told in shop.topic.published] == ["failing"]

    def test_where_nothing_is_held_back_nothing_is_told_and_nothing_written(self, shop: DigestShop) -> None:
        shop.backlog.note_accounts([SHOP])
        assert shop.tell() == 0
        calls = Counter(moment.split()[1] for moment in shop.moments.passed if moment.startswith("before"))
        # The accounts, how far the digests and the reminders of the one have come, and whether a reminder is due.
        assert calls == {"query": 1, "batch_get_item": 4}

    def test_the_alerts_of_a_digest_that_could_not_be_sent_may_be_gone_when_it_is(self, shop: DigestShop) -> None:
        shop.backlog.note_accounts([SHOP])
        shop.hold_back(A)
        shop.topic.refused = {SHOP}
        shop.tell()
        shop.publish_alert(A)
        assert not shop.held

        shop.topic.refused.clear()
        shop.wait()
        assert [shop.tell(), shop.tell()] == [1, 0]
        assert shop.told == [[A]]

    def test_only_so_many_digests_are_remembered(self, shop: DigestShop) -> None:
        for _ in range(MOST_SENT + 2):
            shop.hold_back(A)
            shop.tell()
        assert len(SummaryStates(shop.dynamodb.table).read(SHOP, "digest").digests) == MOST_SENT
        assert len(shop.topic.published) == MOST_SENT + 2


class TestDigestsThatFail:
    def test_a_run_that_died_keeps_the_account_to_itself_until_its_lease_is_over(self, shop: DigestShop) -> None:
        shop.hold_back(A)
        shop.moments.happens = when("before publish", die)
        with pytest.raises(Crash):
            shop.tell()
        shop.wait(LEASE - SECOND)
        assert shop.tell() == 0
        shop.wait(SECOND)
        assert shop.tell() == 1
        assert shop.told == [[A]]

    def test_a_fault_of_ours_fails_the_function_when_the_others_were_told(
        self, shop: DigestShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(summary, "digest", not_of(SHOP, summary.digest))
        shop.hold_back(A)
        shop.hold_back(B, account=OTHER)
        with pytest.raises(Unforeseen, match="1 accounts could not be notified"):
            shop.tell()
        assert [told.account for told in shop.topic.published] == [OTHER]
        assert shop.held == [A]

    def test_an_alert_that_somebody_spoilt_is_no_trouble_of_the_others(self, shop: DigestShop) -> None:
        shop.hold_back(A, "failing", "no_such_code")
        shop.hold_back(B)
        assert shop.tell() == 1
        assert shop.told == [[B]]
        assert shop.held == [A]

    def test_a_list_that_can_t_be_read_fails_the_function(self, shop: DigestShop) -> None:
        shop.moments.happens = when("before query", fail)
        with pytest.raises(RetryLater):
            shop.tell()

    def test_what_came_of_a_run_is_counted_and_postponed_accounts_once(
        self, shop: DigestShop, counted: Counter[str]
    ) -> None:
        for order_id, account in ((A, SHOP), (B, OTHER), (C, "third")):
            shop.hold_back(order_id, account=account)
        shop.topic.refused = {SHOP, "third"}
        assert shop.tell() == 1
        assert [told.account for told in shop.topic.published] == [OTHER]
        shop.keep("VVJ-4-01", account=OTHER)
        shop.remind()
        assert counted == {"digest_published": 1, "digest_postponed": 1, "reminder_published": 1}


class TestAnIndexThatLags:
    def test_an_alert_that_a_dead_run_took_up_and_that_the_next_does_not_see_is_not_lost(
        self, shop: DigestShop
    ) -> None:
        shop.hold_back(A)
        shop.moments.happens = when("after update_item", die)
        with pytest.raises(Crash):
            shop.tell()
        shop.dynamodb.lags = True
        shop.hold_back(B)
        shop.dynamodb.catch_up(f"held#luxstore#{B}")
        shop.dynamodb.hide(f"held#luxstore#{A}")
        shop.wait()
        shop.tell()
        shop.dynamodb.catch_up()
        shop.wait()
        shop.tell()
        assert shop.told == [[B], [A]]
        assert not shop.held

    def test_an_alert_that_was_told_and_could_not_be_forgotten_is_not_told_again_however_late_it_is_seen(
        self, shop: DigestShop
    ) -> None:
        shop.hold_back(A)
        shop.moments.happens = when("before delete_item", die)
        with pytest.raises(Crash):
            shop.tell()
        shop.dynamodb.lags = True
        for number in range(3, 10):
            shop.hold_back(f"VVJ-{number}-01")
            shop.dynamodb.catch_up(f"held#luxstore#VVJ-{number}-01")
            shop.tell()
        shop.dynamodb.lags = False
        assert shop.tell() == 0
        assert Counter(order for told in shop.told for order in told)[A] == 1
        assert not shop.held


class TestManyAlerts:
    def test_thousands_are_told_at_once_in_an_alert_of_a_few_kilobytes(self, shop: DigestShop) -> None:
        shop.dynamodb.page = 2_000
        for number in range(2_000):
            shop.hold_back(f"VVJ-{number}-01")
        sizes: list[int] = []
        shop.moments.happens = when("before publish", lambda: sizes.append(size(shop)))
        assert shop.tell() == 1
        assert "2000 pedidos" in shop.topic.published[0].body
        assert sizes[0] < 20_000
        assert not shop.held

    def test_with_little_time_left_the_rest_is_told_by_the_next_run(self, shop: DigestShop) -> None:
        for number in range(digest.AT_ONCE + 5):
            shop.hold_back(f"VVJ-{number}-01")
        left = iter([PLENTY, PLENTY, SENDING_SECONDS - 1])
        shop.digests().send_digests(lambda: next(left, PLENTY), lambda: shop.now)
        assert len(shop.held) == 5
        shop.tell()
        assert len(shop.told) == 2
        assert not shop.held

    def test_with_too_little_time_an_account_is_not_begun(self, shop: DigestShop) -> None:
        shop.hold_back(A)
        shop.left = SENDING_SECONDS - 1
        assert shop.tell() == 0
        shop.left = PLENTY
        assert shop.tell() == 1

    def test_where_no_time_is_left_to_forget_what_was_told_the_next_run_does(self, shop: DigestShop) -> None:
        shop.hold_back(A)
        shop.moments.happens = when("after publish", lambda: setattr(shop, "left", DROPPING_SECONDS - 1))
        assert shop.tell() == 1
        assert shop.held == [A]
        shop.left = PLENTY
        assert shop.tell() == 0
        assert not shop.held


def size(shop: DigestShop) -> int:
    (item,) = shop.dynamodb.items("told#")
    return len(str(item))


class TestReminder:
    def test_what_is_open_is_told_the_oldest_first(self, shop: DigestShop) -> None:
        shop.keep(A, opened_at=TUESDAY - HOUR)
        shop.keep(B, opened_at=TUESDAY - 3 * DAY)
        shop.keep(C, account=OTHER)
        assert shop.remind() == 2
        assert [(told.type, told.account, told.orders) for told in shop.topic.published] == [
            ("reminder", SHOP, [B, A]),
            ("reminder", OTHER, [C]),
        ]

    @pytest.mark.parametrize("archived", [DISMISSED, EXPIRED])
    def test_what_is_set_aside_is_not(self, shop: DigestShop, archived: str) -> None:
        shop.keep(A, archived=archived)
        shop.keep(B, archived=archived, recheck_at=None)
        shop.keep(C)
        shop.remind()
        assert shop.told == [[C]]

    def test_it_lists_every_error_with_its_suggested_key(self, shop: DigestShop) -> None:
        shop.keep(A, errors=ERRORS)
        shop.remind()
        assert LISTED in shop.topic.published[0].body

    def test_a_suggestion_that_the_former_version_kept_is_told_without_its_key(self, shop: DigestShop) -> None:
        shop.keep(A, errors=(Shown("malformed", "643811", has_suggestion=True),))
        shop.remind()
        assert "643811 | com chave fora do formato, há chave sugerida\n" in shop.topic.published[0].body

    def test_a_failure_of_the_first_version_is_listed_and_the_first_reminder_compares_with_none(
        self, shop: DigestShop
    ) -> None:
        shop.keep(A, errors=())
        shop.remind()
        assert shop.told == [[A]]
        assert "Desde" not in shop.topic.published[0].body

    def test_it_says_what_came_and_went_since_the_last_one(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.keep("VVJ-10-01")
        shop.keep_good("VVJ-11-01", mended_at=shop.now - SECOND)
        shop.wait(SECOND)
        shop.remind()
        shop.wait(HOUR)
        shop.keep(B)
        shop.keep_good("VVJ-10-01", mended_at=shop.now)
        shop.keep_good("VVJ-12-01", mended_at=shop.now, recheck_at=shop.now + DAY)
        shop.keep_good("VVJ-13-01", mended_at=None)
        shop.wait(DAY)
        shop.keep("VVJ-14-01", mended_at=shop.now)  # came back, so it is open
        shop.remind()
        assert ": 2 entraram na lista, 2 resolvidos." in shop.topic.published[-1].body

    def test_what_comes_while_it_is_written_belongs_to_the_next_one(self, shop: DigestShop) -> None:
        shop.keep(A, opened_at=TUESDAY - HOUR)
        clock = iter([shop.now, shop.now + 2 * SECOND])
        shop.moments.happens = when("after query", lambda: shop.keep(B, opened_at=shop.now + SECOND))
        shop.digests().send_reminders(lambda: PLENTY, None, lambda: next(clock))
        shop.wait(DAY)
        shop.remind()
        assert ": 1 entrou na lista" in shop.topic.published[-1].body

    def test_orders_that_only_lack_their_tracking_are_counted_and_not_listed(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.keep_good(B, recheck_at=shop.now + DAY)
        shop.keep_good(C, recheck_at=shop.now + DAY)
        shop.keep("VVJ-4-01", archived=DISMISSED)
        shop.keep("VVJ-5-01", errors_reported=None, errors=(), opened_at=None)  # taken back, and not read yet
        shop.remind()
        assert shop.told == [[A]]
        assert ": 2 pedidos." in shop.topic.published[0].body

    def test_a_failure_that_somebody_spoilt_is_left_out(self, shop: DigestShop) -> None:
        shop.keep(A, errors=(Shown("no_such_code", None, has_suggestion=False),))
        shop.keep(B)
        shop.dynamodb.table.put({"pk": f"order#{SHOP}#{C}", "list": "followed", "list_at": TUESDAY.isoformat()})
        assert shop.remind() == 1
        assert shop.told == [[B]]

    def test_a_scheduler_that_calls_twice_for_one_occasion_reminds_once(self, shop: DigestShop) -> None:
        shop.keep(A)
        assert [shop.remind("Tuesday"), shop.remind(), shop.remind("Tuesday"), shop.remind("Wednesday")] == [1, 1, 0, 1]

    def test_of_two_calls_at_once_one_reminds(self) -> None:
        for number, shop in moments_of(lambda shop: shop.remind("Tuesday"), with_two_reminders_due):
            shop.moments.happens = at(number, partial(shop.remind, "Tuesday"))
            shop.remind("Tuesday")
            assert sorted(shop.told) == [[A], [B]]

    def test_one_that_could_not_be_sent_does_not_take_the_place_of_the_next_one(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.topic.refused = {SHOP}
        shop.remind("Tuesday")
        shop.topic.refused.clear()
        shop.wait(DAY)
        shop.keep(B)
        assert shop.remind("Wednesday") == 2
        assert sorted(shop.told, key=len) == [[A], [A, B]]

    def test_one_that_could_not_be_sent_is_no_trouble_of_the_digest(self, shop: DigestShop) -> None:
        shop.backlog.note_accounts([SHOP])
        shop.keep(A)
        shop.moments.happens = when("before publish", fail)
        shop.remind()
        shop.wait()
        shop.hold_back(B)
        shop.moments.happens = when("before publish", fail)
        assert shop.tell() == 1
        assert shop.told == [[B]]

    def test_one_account_s_trouble_is_not_another_s(self, shop: DigestShop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(summary, "reminder", not_of(OTHER, summary.reminder))
        shop.keep(A)
        shop.keep(B, account=OTHER)
        shop.keep(C, account="third")
        shop.topic.refused = {SHOP}
        with pytest.raises(Unforeseen, match="could not be notified"):
            shop.remind()
        assert shop.told == [[C]]


def with_one_reminder_due() -> DigestShop:
    """An account has an open failure, of which it was reminded yesterday."""
    shop = DigestShop()
    shop.backlog.note_accounts([SHOP])
    shop.keep(A)
    shop.remind("yesterday")
    shop.topic.published.clear()
    shop.wait(DAY)
    shop.moments.passed.clear()
    return shop


def with_two_reminders_due() -> DigestShop:
    """Another account has one too, and was not reminded before."""
    shop = with_one_reminder_due()
    shop.backlog.note_accounts([SHOP, OTHER])
    shop.keep(B, account=OTHER)
    return shop


def with_two_signs_of_life_due() -> DigestShop:
    """It is Monday, and two accounts have nothing open."""
    shop = DigestShop()
    shop.backlog.note_accounts([SHOP, OTHER])
    shop.now = MONDAY_AT_9
    return shop


class TestAReminderThatIsDue:
    """As deployed: Lambda repeats a call that fails, the lease outlasts that, and digests have a run in 15 minutes."""

    @pytest.mark.parametrize(("first", "second"), [(die, die), (die, fail), (fail, die), (fail, fail)])
    def test_its_run_and_whichever_comes_then_may_die_or_fail_at_any_moment(
        self, first: Callable[[], None], second: Callable[[], None]
    ) -> None:
        for number, _ in moments_of(lambda shop: shop.remind("today"), with_one_reminder_due):
            if first is die and number % 2:  # after a call: as good as before the next one
                continue
            # What the first one ends, the second one does not see; the moment after it is one before a call.
            for later in range(1, MOST_MOMENTS, 2 if second is die else 1):
                shop = with_one_reminder_due()
                shop.moments.happens = both(at(number, first), at(number + later, second))
                shop.be_called_to_remind("today")
                shop.go_on(HOUR)
                sent, *again = shop.topic.published
                assert sent.orders == [A]
                assert again in ([], [sent], [sent, sent])

    def test_all_that_lambda_makes_of_a_call_may_die_once_it_is_noted(self) -> None:
        for number, shop in moments_of(lambda shop: shop.remind("today"), with_two_reminders_due):
            if number == 0:
                continue
            for _ in range(3):
                shop.moments.happens = at(number, die)
                with suppress(Crash):
                    shop.remind("today")
                shop.wait(MINUTE)
            shop.go_on(HOUR)
            assert {(told.account, *told.orders) for told in shop.topic.published} == {(SHOP, A), (OTHER, B)}
            assert len({str(told) for told in shop.topic.published}) == 2

    def test_a_ledger_that_gives_no_answer_for_hours_delays_it(self) -> None:
        shop = with_two_reminders_due()

        def fail_but_for_the_note(moment: str) -> None:
            if shop.moments.passed.count("before put_item") > 1:
                fail()

        shop.moments.happens = fail_but_for_the_note
        shop.be_called_to_remind("today")
        shop.go_on(WANTED_FOR - HOUR)
        shop.moments.happens = lambda moment: None
        shop.go_on(HOUR)
        assert sorted(shop.told) == [[A], [B]]

    def test_one_for_which_there_was_no_time_is_sent_by_the_next_digest_run(self) -> None:
        shop = with_two_reminders_due()
        shop.left = SENDING_SECONDS - 1
        assert shop.remind("today") == 0
        shop.left = PLENTY
        shop.wait()
        assert [shop.tell(), shop.tell()] == [0, 0]
        assert sorted(shop.told) == [[A], [B]]

    def test_who_was_reminded_is_not_reminded_again_for_another_s_trouble(self) -> None:
        shop = with_two_reminders_due()
        shop.topic.refused = {OTHER}
        shop.be_called_to_remind("today")
        shop.go_on(HOUR)
        assert shop.told == [[A]]
        shop.topic.refused.clear()
        shop.go_on(HOUR)
        assert shop.told == [[A], [B]]

    def test_one_is_not_sent_when_the_day_is_over(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.left = SENDING_SECONDS - 1
        shop.remind("Tuesday")
        shop.left = PLENTY
        shop.wait(WANTED_FOR)
        shop.tell()
        assert not shop.told
        shop.wait(DAY - WANTED_FOR)
        shop.remind("Wednesday")
        shop.go_on(HOUR)
        assert shop.told == [[A]]

    def test_a_sign_of_life_that_comes_after_midnight_is_monday_s(self) -> None:
        shop = with_two_signs_of_life_due()
        shop.now += 14 * HOUR  # 23:00
        shop.left = SENDING_SECONDS - 1
        shop.remind("Monday")
        shop.left = PLENTY
        shop.wait(2 * HOUR)
        shop.tell()
        assert {told.account for told in shop.topic.published} == {SHOP, OTHER}

    def test_where_a_failure_is_spoilt_there_is_no_sign_of_life(self) -> None:
        shop = with_two_signs_of_life_due()
        shop.keep(A, errors=(Shown("no_such_code", None, has_suggestion=False),))
        shop.remind("Monday")
        assert [told.account for told in shop.topic.published] == [OTHER]

    def test_one_that_a_person_asks_for_is_not_sent_later_where_there_was_no_time(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.left = SENDING_SECONDS - 1
        assert shop.remind() == 0
        shop.left = PLENTY
        shop.go_on(DAY)
        assert not shop.told

    def test_a_fault_in_one_keeps_no_digest_from_going_out(
        self, shop: DigestShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(summary, "reminder", not_of(SHOP, summary.reminder))
        shop.keep(A)
        with pytest.raises(Unforeseen):
            shop.remind("today")
        shop.hold_back(B)
        with pytest.raises(Unforeseen):
            shop.tell()
        assert [told.type for told in shop.topic.published] == ["digest"]


def both(*happenings: Callable[[str], None]) -> Callable[[str], None]:
    """Return what lets each of them happen."""

    def happen(moment: str) -> None:
        for happening in happenings:
            happening(moment)

    return happen


class TestSignOfLife:
    def test_on_mondays_every_account_hears_even_where_nothing_is_open(self, shop: DigestShop) -> None:
        shop.backlog.note_accounts([SHOP, OTHER])
        shop.now = MONDAY_AT_9
        shop.keep(A, account=OTHER)
        shop.keep_good(B)
        shop.keep_good(C, recheck_at=shop.now + DAY, checked_at=shop.now - HOUR)
        long_ago: dict[str, Any] = {"checked_at": shop.now - 8 * DAY}
        shop.keep_good("VVJ-4-01", **long_ago)
        shop.keep_good("VVJ-5-01", **long_ago, recheck_at=shop.now + DAY)
        assert shop.remind() == 2
        well, other = shop.topic.published
        assert (well.account, well.severity) == (SHOP, "info")
        assert well.subject == "luxstore: tudo em dia - 2 pedidos Casas Bahia verificados em 7 dias"
        assert (other.account, other.severity) == (OTHER, "error")

    def test_it_has_the_figures_of_the_week_that_ended_by_the_shop_s_clocks(self, shop: DigestShop) -> None:
        shop.backlog.note_accounts([SHOP])
        shop.now = MONDAY_AT_9
        midnight = datetime(2026, 3, 9, 3, tzinfo=UTC)
        for order_id, opened_at, closed_at in (
            (A, midnight - 9 * DAY, midnight - 7 * DAY - SECOND),
            (B, midnight - 8 * DAY, midnight - 7 * DAY),
            (C, midnight - SECOND, midnight),
        ):
            shop.keep_good(order_id, episodes=(Episode(opened_at, ("missing",), closed_at=closed_at, reason="ok"),))
        shop.remind()
        (well,) = shop.topic.published
        assert "De 02/03 a 08/03: 1 pedido novo com problema, 1 corrigido (em 1 dia)." in well.body.splitlines()

    @pytest.mark.parametrize(("day", "has_figures"), [(0, True), (1, False)])
    def test_on_mondays_the_reminder_has_them_too(self, shop: DigestShop, day: int, has_figures: bool) -> None:
        shop.now = MONDAY_AT_9 + day * DAY
        shop.backlog.note_accounts([SHOP])
        shop.keep(A, episodes=(Episode(MONDAY_AT_9 - 2 * DAY, ("missing",)),))
        shop.remind()
        (reminder,) = shop.topic.published
        assert ("De 02/03 a 08/03: 1 pedido novo com problema, nenhum corrigido." in reminder.body) is has_figures

    def test_a_week_in_which_nothing_was_read_is_told_too(self, shop: DigestShop) -> None:
        shop.backlog.note_accounts([SHOP])
        shop.now = MONDAY_AT_9
        assert shop.remind() == 1
        assert "nenhum pedido" in shop.topic.published[0].subject

    def test_accounts_that_are_set_count_instead_of_those_that_were_noted(self, shop: DigestShop) -> None:
        shop.backlog.note_accounts([OTHER])
        shop.now = MONDAY_AT_9
        shop.remind(accounts=[SHOP])
        assert [told.account for told in shop.topic.published] == [SHOP]

    @pytest.mark.parametrize(
        ("now", "timezone", "count"),
        [
            ("2026-03-09T02:59:59+00:00", "America/Sao_Paulo", 0),
            ("2026-03-09T03:00:00+00:00", "America/Sao_Paulo", 1),
            ("2026-03-10T02:00:00+00:00", "America/Sao_Paulo", 1),
            ("2026-03-10T03:00:00+00:00", "America/Sao_Paulo", 0),
            ("2026-03-08T23:30:00+00:00", "UTC", 0),
            ("2026-03-08T23:30:00+00:00", "Asia/Tokyo", 1),
        ],
    )
    def test_it_comes_where_it_is_monday_at_the_shop_and_on_no_other_day(
        self, shop: DigestShop, now: str, timezone: str, count: int
    ) -> None:
        shop.backlog.note_accounts([SHOP])
        shop.now = datetime.fromisoformat(now)
        assert shop.remind(style=Style(timezone=timezone)) == count
        assert bool(shop.dynamodb.items("told#")) is bool(count)


class TestWhatIsSnoozed:
    def test_nobody_is_reminded_of_it_and_it_is_said_how_many_there_are(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.keep_snoozed(B, shop.now + 2 * DAY)
        shop.keep_snoozed(C, shop.now + DAY)
        assert shop.remind() == 1
        (told,) = shop.topic.published
        assert told.orders == [A]
        assert "1 pedido" in told.body
        assert "Adiados, fora desta lista: 2. O próximo volta em 04/03/2026." in told.body

    def test_from_its_day_on_it_is_on_the_list_again(self, shop: DigestShop) -> None:
        shop.keep_snoozed(A, shop.now + DAY)
        shop.now += DAY
        assert shop.remind() == 1
        assert shop.told == [[A]]
        assert "Adiado" not in shop.topic.published[0].body

    def test_where_all_is_snoozed_there_is_no_reminder(self, shop: DigestShop) -> None:
        shop.keep_snoozed(A, shop.now + DAY)
        assert shop.remind() == 0

    def test_on_mondays_the_sign_of_life_comes_nevertheless_and_says_so(self, shop: DigestShop) -> None:
        shop.now = MONDAY_AT_9
        shop.keep_snoozed(A, shop.now + DAY)
        assert shop.remind() == 1
        assert "Adiado, fora dessa lista: 1. Volta em 10/03/2026." in shop.topic.published[0].body

    def test_another_account_s_is_no_concern_of_this_one(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.keep_snoozed(B, shop.now + DAY, OTHER)
        shop.remind()
        assert [told.account for told in shop.topic.published] == [SHOP]
        assert "Adiado" not in shop.topic.published[0].body

    def test_one_that_is_good_by_now_though_the_index_lags_is_not_counted(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.keep_snoozed(B, shop.now + DAY)
        shop.dynamodb.table.update(f"order#{SHOP}#{B}", "REMOVE opened_at")
        shop.remind()
        assert "Adiado" not in shop.topic.published[0].body

    def test_one_that_somebody_corrupted_keeps_no_reminder_from_going_out(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.keep_snoozed(B, shop.now + DAY)
        shop.dynamodb.table.update(f"order#{SHOP}#{B}", "SET failure = :text", text="not JSON")
        assert shop.remind() == 1
        assert set(shop.topic.published[0].orders) == {A, B}

    def test_an_account_without_an_open_failure_is_not_asked_for_its_snoozed_ones(self, shop: DigestShop) -> None:
        shop.keep_good(A, recheck_at=shop.now + HOUR)
        shop.backlog.note_accounts([SHOP])
        shop.dynamodb.calls.clear()
        shop.remind()
        assert shop.dynamodb.calls.count("query") == 1


class TestTheLinkToTheDesk:
    LINK = f"https://api.example/desk/{SHOP}"

    @pytest.fixture
    def shop(self) -> DigestShop:
        shop = DigestShop()
        shop.has_desk = True
        return shop

    def test_a_digest_holds_that_of_its_account_s_list_alone_on_a_line(self, shop: DigestShop) -> None:
        for order_id in (A, B):
            shop.hold_back(order_id)
        shop.tell()
        (told,) = shop.topic.published
        assert self.LINK in told.body.splitlines()
        assert "invoicekey failures" not in told.body

    def test_so_does_a_reminder(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.remind()
        (told,) = shop.topic.published
        assert self.LINK in told.body.splitlines()
        assert "Marque-o como resolvido na página da lista." in told.body
        assert "invoicekey" not in told.body

    def test_so_does_the_sign_of_life(self, shop: DigestShop) -> None:
        shop.now = MONDAY_AT_9
        shop.keep_good(A)
        shop.backlog.note_accounts([SHOP])
        shop.remind()
        assert self.LINK in shop.topic.published[0].body.splitlines()

    def test_a_chat_message_has_it_too(self, shop: DigestShop) -> None:
        shop.keep(A)
        shop.remind(style=Style(chat=True))
        chat = json.loads(json.loads(shop.topic.published[0].entry["Message"])["https"])
        assert self.LINK in chat["content"]["description"].splitlines()

    def test_without_a_desk_the_texts_lead_to_the_technical_team(self, shop: DigestShop) -> None:
        shop.has_desk = False
        shop.keep(A)
        shop.remind()
        assert "Peça à equipe técnica: invoicekey dismiss" in shop.topic.published[0].body


def test_the_alerts_of_an_account_are_written_side_by_side() -> None:
    """Its own pool, and no fake: what the function has."""
    shop = DigestShop()
    shop.hold_back(A)
    shop.hold_back(B)
    topic: Any = shop.topic
    table = shop.dynamodb.table
    failures, style = FailureLists(table), Style()
    digests = Digests(
        shop.backlog, SummaryStates(table), AlertTopic(topic, "arn"), lambda _: style, LEASE, failures=failures
    )
    assert digests.send_digests(lambda: PLENTY) == 1
    assert digests.send_reminders(lambda: PLENTY) == 0
    assert not shop.held


# ---- Accounts with settings of their own


def test_each_account_is_told_in_its_own_language() -> None:
    shop = DigestShop()
    shop.styles[OTHER] = Style(language="en")
    for account in (SHOP, OTHER):
        shop.hold_back(A, account=account)
        shop.hold_back(B, account=account)

    assert shop.tell() == 2

    texts = {sent.account: sent.body for sent in shop.topic.published}
    assert "pedidos" in texts[SHOP]
    assert "orders" in texts[OTHER]
    assert "pedidos" not in texts[OTHER]


def test_an_account_that_is_off_is_told_what_was_deferred_and_reminded_of_nothing() -> None:
    shop = DigestShop()
    shop.off.add(SHOP)
    shop.keep(A)
    shop.hold_back(B)

    assert shop.remind() == 0
    assert shop.tell() == 1
