import json
import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from invoicekey.delivery.queues import FEED, HOOK, RECHECK, Message
from invoicekey.ledger.activity import Activity
from invoicekey.ledger.entries import DEFERRED, Report
from invoicekey.ledger.schedule import FOLLOWED_FOR
from invoicekey.rules.notification import Malformed, OrderRef, own_event, parse
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import (
    CredentialsRefused,
    LedgerUnavailable,
    NoTurn,
    OutOfTime,
    RateLimited,
    RetryLater,
)
from invoicekey.runtime.telemetry import logger
from invoicekey.work import batch as batch_module
from invoicekey.work.batch import GIVE_UP_AFTER, OTHERS_ARE_ABOUT, PARALLEL, PATIENCE_AMONG_OTHERS, hidden_without_turn
from invoicekey.work.check import Clock
from tests.fake_dynamodb import LOST_ANSWERS
from tests.fakes import UNREACHABLE
from tests.fakes_outside import ACCOUNT, GRACE, LEASE, LIMIT, ORDER_ID, REF, Crash, Outside, message, unreachable
from tests.orders import KEY, cnova_order, own_order, returned, sale
from tests.vtex_facts import FACTS

ONE, TWO = "VVJ-1-01", "VVJ-2-01"
HOUR = 3600.0
DAY = timedelta(hours=24)


@pytest.fixture
def outside() -> Outside:
    return Outside()


def at_vtex(outside: Outside, *packages: Any, **changes: Any) -> None:
    outside.vtex.put(cnova_order(*packages, **{"orderId": ORDER_ID, **changes}))


def kinds(outside: Outside) -> tuple[list[str], list[str]]:
    """Return what was told to machines and to people."""
    return [sent.type for sent in outside.outlets.records], [sent.type for sent in outside.outlets.alerts]


def was_returned(outside: Outside, message_id: str, times: int) -> None:
    for _ in range(times):
        outside.ledger.note_returned(message_id)


def put_two(outside: Outside, *packages: Any, order_ids: tuple[str, ...] = (ONE, TWO)) -> None:
    """Put two orders at VTEX that are alike."""
    for order_id in order_ids:
        at_vtex(outside, *packages, orderId=order_id)


def dies(outside: Outside, step: str, *messages: Message) -> None:
    """Let the function die before a step, when it checks an order whose key is missing; its lease is over then."""
    at_vtex(outside, sale(key=None))
    outside.steps.before(step, Crash())
    with pytest.raises(Crash):
        outside.check(*(messages or (message(),)))
    outside.time.advance(LEASE)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """What was counted, by name."""
    counted: dict[str, list[float]] = {}

    def count(name: str, number: float = 1) -> None:
        counted.setdefault(name, []).append(number)

    monkeypatch.setattr(telemetry, "count", count)
    return counted


def keyless(outside: Outside, *numbers: int, account: str = ACCOUNT) -> list[Message]:
    """Put keyless orders at VTEX, and return the messages about them."""
    for number in numbers:
        at_vtex(outside, sale(key=None), orderId=f"VVJ-{number}-01", hostname=account)
    return [outside.message(f"VVJ-{number}-01", account=account, id=f"{account}-{number}") for number in numbers]


def alerted(outside: Outside) -> list[str]:
    """List the orders and kinds of the alerts that went out at once."""
    return [f"{alert.ref.order_id} {alert.type}" for alert in outside.outlets.alerts]


def report(outside: Outside, order_id: str = ORDER_ID) -> Report:
    found = outside.ledger.entries[OrderRef(ACCOUNT, order_id)].report
    assert found
    return found


def spoil(outside: Outside, order_id: str) -> None:
    """Let somebody write into an order's item by hand what can't be read."""
    item = {"pk": f"order#{ACCOUNT}#{order_id}", "version": 1, "checked_at": "yesterday"}
    outside.ledger.dynamodb.table.put(item)


def reasons(outside: Outside) -> list[str]:
    return [reason for _, reason in outside.outlets.dead_letters]


# ---- Messages of one order, and their graces


def test_messages_of_one_order_in_one_batch_are_one_check(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))

    assert outside.check(message(id="1"), message(id="2"), message(id="3")) == set()
    assert outside.vtex.reads[REF] == 1


@pytest.mark.parametrize(
    ("passed", "receives", "least", "most"),
    [(timedelta(0), 1, 30, 60), (GRACE - timedelta(seconds=5), 8, 6, 6)],
    ids=["at first", "at its end"],
)
def test_an_order_without_invoice_waits_ever_longer_and_no_longer_than_its_grace(
    outside: Outside, passed: timedelta, receives: int, least: float, most: float
) -> None:
    at_vtex(outside)
    outside.time.advance(passed)

    assert outside.check(message(receive_count=receives)) == {message().id}
    assert least <= outside.wait_of(message()) <= most


def test_a_grace_runs_from_the_first_message_of_an_order_in_a_batch(outside: Outside) -> None:
    at_vtex(outside)
    outside.time.advance(GRACE)
    late = message(id="late", sent_at=outside.time.timestamp())

    assert outside.check(message(), late) == set()
    assert kinds(outside) == (["failing"], ["failing"])


# ---- Dead letters


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"OrderId": ""}', '{"OrderId": "seq1"}', '{"OrderId": "A", "Origin": {"Account": "A"}}'],
)
def test_what_is_no_notification_is_a_dead_letter_at_once(outside: Outside, body: str) -> None:
    assert outside.check(message(body=body)) == set()
    assert reasons(outside) == ["malformed"]


@pytest.mark.parametrize("source", ["hook", "feed", "redrive"])
@pytest.mark.parametrize("order_id", ["seq501456", "AMZ 1/2", "é", "A" * 65], ids=ascii)
def test_an_order_that_cannot_be_cnova_s_is_counted_and_done_and_no_dead_letter(
    outside: Outside, figures: dict[str, list[float]], order_id: str, source: str
) -> None:
    at_vtex(outside, sale())

    assert outside.check(message(order_id, source=source), message()) == set()
    assert (reasons(outside), figures["check_foreign_order_id"]) == ([], [1])
    assert list(outside.ledger.entries) == [REF]


@pytest.mark.parametrize("order_id", FACTS.order_ids)
def test_an_order_id_as_vtex_documents_them_is_checked_and_told_like_any_other(outside: Outside, order_id: str) -> None:
    at_vtex(outside, sale(key=None), orderId=order_id)

    assert outside.check(message(order_id)) == set()
    ((record,), (alert,)) = outside.outlets.records, outside.outlets.alerts
    assert record.data["order_id"] == order_id
    assert alert.document["Subject"].startswith(f"{order_id}: ")
    assert order_id in alert.document["Message"]


def test_a_body_that_is_nested_to_the_limit_takes_no_other_with_it(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_vtex(outside, sale())
    times = iter([True])

    def parse_where_there_is_room(body: str) -> dict[str, Any]:
        if "deep" in body and not next(times, False):
            raise Malformed("expected a JSON object in UTF-8")
        return parse(body)

    monkeypatch.setattr(batch_module, "parse", parse_where_there_is_room)
    deep = message(ONE, last_change="deep")
    at_vtex(outside, sale(), orderId=ONE)

    assert outside.check(deep, message()) == set()
    assert reasons(outside) == []


def test_a_dead_letter_that_the_queue_refuses_goes_back(outside: Outside) -> None:
    outside.steps.before("send_to_dead_letters", unreachable())

    assert outside.check(message(body="[]")) == {message().id}


@pytest.mark.parametrize(
    ("trouble", "reason"), [(unreachable(), "gave_up"), (CredentialsRefused("VTEX answered 403"), "no_credentials")]
)
def test_after_a_day_of_trouble_a_message_is_given_up(outside: Outside, trouble: RetryLater, reason: str) -> None:
    outside.vtex.fail(trouble)
    outside.time.advance(DAY)

    assert outside.check(message()) == set()
    assert reasons(outside) == [reason]


TROUBLES = [unreachable(), CredentialsRefused("VTEX answered 403"), RateLimited("VTEX answered 503", wait=60)]
re_check = partial(message, body=own_event(REF), source=RECHECK, id="re-check")


def followed(outside: Outside) -> None:
    """Let the order have an open failure, which is read again."""
    at_vtex(outside, sale(key=None))
    outside.check(message())
    assert outside.ledger.entries[REF].recheck_at


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
@pytest.mark.parametrize("key", [None, KEY], ids=["followed", "followed no longer"])
def test_a_re_check_that_cannot_be_read_is_no_dead_letter_for_the_list_has_the_order(
    outside: Outside, figures: dict[str, list[float]], key: str | None, trouble: RetryLater
) -> None:
    followed(outside)
    at_vtex(outside, sale(key=key))
    outside.check(message())
    before = outside.ledger.entries
    outside.vtex.fail(trouble)
    outside.time.advance(DAY)

    assert outside.check(re_check()) == set()
    assert reasons(outside) == []
    assert figures["recheck_unread"] == [1]
    assert outside.ledger.entries == before


def test_it_is_tried_for_a_day_as_any_other(outside: Outside, figures: dict[str, list[float]]) -> None:
    followed(outside)
    outside.vtex.fail(CredentialsRefused("VTEX answered 403"))
    outside.time.advance(DAY - timedelta(seconds=1))

    assert outside.check(re_check()) == {"re-check"}
    assert figures["credentials_refused"] == [1]
    assert "recheck_unread" not in figures


def test_an_event_of_vtex_beside_it_is_a_dead_letter(outside: Outside) -> None:
    followed(outside)
    outside.vtex.fail(unreachable())
    outside.time.advance(DAY)

    assert outside.check(re_check(), message(id="hook"), message(id="redriven", source="redrive")) == set()
    assert [letter.id for letter, _ in outside.outlets.dead_letters] == ["hook", "redriven"]


@pytest.mark.parametrize("source", [HOOK, RECHECK])
@pytest.mark.parametrize("step", ["read", "write"])
def test_while_the_ledger_gives_no_answer_nothing_is_given_up_for_a_report_may_be_written_in_it(
    outside: Outside, step: str, source: str
) -> None:
    followed(outside)
    at_vtex(outside, sale())
    outside.time.advance(DAY)
    outside.steps.after(step, LedgerUnavailable("the ledger gave no answer"))
    late = replace(re_check(), source=source)

    assert outside.check(late) == {late.id}
    assert reasons(outside) == []


@pytest.mark.parametrize("source", [HOOK, RECHECK])
@pytest.mark.parametrize("step", ["send_records", "note_recorded", "publish_alerts", "note_alerted"])
def test_what_is_written_down_and_untold_is_never_given_up(outside: Outside, step: str, source: str) -> None:
    followed(outside)
    at_vtex(outside, sale())
    outside.time.advance(DAY)
    if step in {"send_records", "publish_alerts"}:
        outside.outlets.refuse(step)
    else:
        outside.steps.before(step, unreachable("the ledger"))
    late = replace(re_check(), source=source)

    assert outside.check(late) == {late.id}
    assert reasons(outside) == []
    outside.time.advance(LEASE)
    assert outside.check(late) == set()
    assert kinds(outside)[1][-1] == "resolved"
    assert report(outside).is_delivered


def test_its_last_report_is_told_though_sqs_refused_it_at_first(outside: Outside) -> None:
    followed(outside)
    outside.time.advance(FOLLOWED_FOR + DAY / 2)
    re_checked = re_check(sent_at=(outside.time.now - DAY / 2).timestamp())
    outside.vtex.fail(CredentialsRefused("VTEX answered 403"), times=None)
    outside.outlets.refuse("send_records")

    assert outside.check(re_checked) == {"re-check"}
    outside.time.advance(outside.wait_of(re_checked))
    assert outside.check(re_checked) == {"re-check"}
    assert kinds(outside) == (["failing", "expired"], ["failing", "expired"])


def test_before_a_day_is_over_no_count_of_receives_gives_a_message_up(outside: Outside) -> None:
    outside.vtex.fail(unreachable())
    was_returned(outside, message().id, 198)
    outside.time.advance(DAY - timedelta(seconds=1))

    assert outside.check(message(receive_count=199)) == {message().id}
    assert reasons(outside) == []


def test_an_old_message_is_tried_before_it_is_given_up(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.time.advance(DAY * 2)

    assert outside.check(message()) == set()
    assert reasons(outside) == []


# ---- Waits


@pytest.mark.parametrize(("receives", "longest"), [(1, 60), (2, 120), (4, 480), (7, HOUR), (100, HOUR)])
def test_a_wait_doubles_with_each_receive_up_to_an_hour(outside: Outside, receives: int, longest: float) -> None:
    outside.vtex.fail(unreachable())
    was_returned(outside, message().id, receives)
    outside.check(message(receive_count=receives))

    assert longest / 2 <= outside.wait_of(message()) <= longest


def test_messages_that_fail_together_come_back_apart(outside: Outside) -> None:
    outside.vtex.fail(unreachable(), times=None)
    outside.check(*(message(f"VVJ-{number}-01") for number in range(5)))

    assert len({wait for _, wait in outside.outlets.returns_to_queue}) == 5


@pytest.mark.parametrize(("asked", "receives", "least", "most"), [(900, 1, 900, 990), (1, 5, 480, 960)])
def test_a_wait_is_never_shorter_than_vtex_asked_nor_than_ours(
    outside: Outside, asked: float, receives: int, least: float, most: float
) -> None:
    outside.vtex.fail(RateLimited("VTEX answered 429", wait=asked))
    outside.check(message(receive_count=receives))

    assert least <= outside.wait_of(message()) <= most


def test_a_silence_is_kept_by_the_rest_of_the_batch_and_told_to_other_environments(outside: Outside) -> None:
    at_vtex(outside, sale(), orderId=ONE)
    outside.vtex.fail(RateLimited("VTEX answered 503", wait=30))

    assert len(outside.check(message(ONE), message(TWO), message("VVJ-3-01"))) == 3
    assert sum(outside.vtex.reads.values()) == 1
    assert outside.ledger.read([REF]).backoff_until[ACCOUNT] >= outside.time.timestamp() + 30


def test_a_silence_that_another_environment_heard_of_is_kept(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.ledger.note_backoff(ACCOUNT, outside.time.timestamp() + 30)

    assert outside.check(message()) == {message().id}
    assert not outside.vtex.reads


def test_a_silence_that_cannot_be_shared_stops_nothing(outside: Outside) -> None:
    outside.vtex.fail(RateLimited("VTEX answered 429", wait=30))
    outside.steps.before("note_backoff", unreachable())

    assert outside.check(message()) == {message().id}


def test_a_check_that_has_no_turn_comes_again_soon_and_is_never_given_up(outside: Outside) -> None:
    outside.vtex.fail(OutOfTime("the pace allows no more now", wait=3))
    outside.time.advance(DAY * 2)
    outside.check(message(receive_count=2))

    assert 3 <= outside.wait_of(message()) <= 3.3


def test_a_check_that_its_account_s_rate_limit_allows_no_more_is_not_received_again_at_once(outside: Outside) -> None:
    outside.vtex.fail(NoTurn("the rate limit allows no more now", wait=0.2))
    outside.time.advance(DAY * 2)
    outside.check(message(receive_count=1))

    assert 2.5 <= outside.wait_of(message()) <= 7.5


def test_a_check_that_often_had_no_turn_is_hidden_longer_and_half_a_minute_or_so_at_the_most(outside: Outside) -> None:
    outside.vtex.fail(NoTurn("the rate limit allows no more now", wait=0.2))
    outside.check(message(receive_count=15))

    assert 15 <= outside.wait_of(message()) <= 45


def test_in_a_storm_of_days_no_message_is_received_as_often_as_sqs_allows() -> None:
    until, receives = 0.0, 0
    while until < GIVE_UP_AFTER.total_seconds() * 4:
        receives += 1
        until += hidden_without_turn(receives)

    assert receives < 1000


def test_no_account_s_turn_is_waited_for_where_others_orders_are_in_the_batch(outside: Outside) -> None:
    alone, mixed = keyless(outside, 1), [*keyless(outside, 2), *keyless(outside, 3, account="another-shop")]
    outside.check(*alone)
    outside.check(*mixed)

    assert outside.vtex.patience == [math.inf, PATIENCE_AMONG_OTHERS, PATIENCE_AMONG_OTHERS]


def test_nor_is_it_where_the_environment_met_another_account_s_order_lately(outside: Outside) -> None:
    outside.check(*keyless(outside, 1, account="another-shop"))
    outside.check(*keyless(outside, 2))
    outside.time.advance(OTHERS_ARE_ABOUT)
    outside.check(*keyless(outside, 3))

    assert outside.vtex.patience == [math.inf, PATIENCE_AMONG_OTHERS, math.inf]


def test_a_refused_receipt_handle_is_no_more_than_a_line_in_the_log(outside: Outside) -> None:
    outside.vtex.fail(unreachable())
    outside.outlets.refuse("return_to_queue")

    assert outside.check(message()) == {message().id}


def test_after_an_outage_of_the_ledger_nobody_is_taken_for_a_killer(outside: Outside) -> None:
    orders = [f"VVJ-{number}-01" for number in range(10)]
    for order_id in orders:
        at_vtex(outside, sale(), orderId=order_id)
    for receives in (1, 2):
        outside.steps.before("read", unreachable())
        outside.steps.before("note_returned", unreachable(), times=10)
        assert len(outside.check(*(message(order_id, receive_count=receives) for order_id in orders))) == 10

    assert outside.check(*(message(order_id, receive_count=3) for order_id in orders)) == set()


def test_while_the_ledger_is_away_one_note_is_tried_and_the_others_are_kept(outside: Outside) -> None:
    outside.steps.before("note_returned", unreachable(), times=3)
    for order_id in (ONE, TWO):
        outside.vtex.fail(unreachable("VTEX"))
        assert outside.check(message(order_id)) == {message(order_id).id}
    assert (len(outside.outlets.returns_to_queue), outside.ledger.returns_to_queue.total()) == (2, 0)

    outside.check(message("VVJ-3-01"))

    noted = outside.ledger.returns_to_queue
    assert (noted["message-VVJ-1-01"], noted["message-VVJ-2-01"]) == (1, 1)


def test_without_the_ledger_everything_goes_back_and_nothing_is_read(outside: Outside) -> None:
    outside.steps.before("read", unreachable("the ledger"))

    assert outside.check(message(), message(TWO)) == {message().id, message(TWO).id}
    assert not outside.vtex.reads


# ---- Reports that get through in part


def test_a_refused_record_goes_back_until_its_lease_is_over_and_is_not_alerted(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.outlets.refuse("send_records")

    assert outside.check(message()) == {message().id}
    assert kinds(outside) == ([], [])
    assert outside.wait_of(message()) >= LEASE.total_seconds()


@pytest.mark.parametrize("lost", LOST_ANSWERS, ids=["its repetition meets it", "no answer comes"])
def test_a_report_whose_own_write_was_not_answered_is_told_at_once(outside: Outside, lost: Exception) -> None:
    at_vtex(outside, sale(key=None))
    outside.ledger.dynamodb.lose_answer(lost)
    assert not outside.check(message())
    assert kinds(outside) == (["failing"], ["failing"])


def test_one_refused_entry_does_not_keep_the_others_back(outside: Outside) -> None:
    put_two(outside, sale(key=None))
    outside.outlets.refuse("publish_alerts", ONE)

    assert outside.check(message(ONE), message(TWO)) == {message(ONE).id}
    assert [alert.ref.order_id for alert in outside.outlets.alerts] == [TWO]


def test_after_the_lease_only_what_is_missing_is_sent(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.outlets.refuse("publish_alerts")
    outside.check(message())
    outside.time.advance(LEASE)

    assert outside.check(message()) == set()
    assert kinds(outside) == (["failing"], ["failing"])


@pytest.mark.parametrize(
    "trouble",
    [lambda outside: outside.steps.before("read", unreachable("the ledger")), lambda outside: spoil(outside, ORDER_ID)],
    ids=["the ledger fails", "the item is corrupt"],
)
def test_when_the_order_cannot_be_read_anew_after_a_take_over_the_message_goes_back(
    outside: Outside, trouble: Callable[[Outside], None]
) -> None:
    dies(outside, "send_records")
    outside.steps.after("note_alerted", lambda: trouble(outside))

    assert outside.check(message()) == {message().id}
    assert kinds(outside) == (["failing"], ["failing"])


# ---- Alerts take turns


def test_the_first_five_go_out_at_once_and_the_others_are_held_back(
    outside: Outside, figures: dict[str, list[float]]
) -> None:
    messages = keyless(outside, *range(1, 8))

    assert outside.check(*messages) == set()
    assert len(outside.outlets.records) == 7
    assert alerted(outside) == [f"VVJ-{number}-01 failing" for number in range(1, 6)]
    assert outside.ledger.deferred == {"VVJ-6-01": "failing", "VVJ-7-01": "failing"}
    assert (figures["alert_published"], figures["alert_deferred"]) == ([5], [2])
    items = outside.ledger.dynamodb.items("held#")
    assert [item["errors"][0]["invoice_number"] for item in items] == ["643797"] * 2
    assert {json.loads(item["alert"])["Subject"].partition(":")[0] for item in items} == {"VVJ-6-01", "VVJ-7-01"}


def test_a_digest_is_given_what_went_wrong_and_since_when(outside: Outside) -> None:
    outside.check(*keyless(outside, *range(1, 6)))
    at_vtex(outside, sale("1", None), sale("2", "junk"), sale("3", None), orderId="VVJ-6-01")
    outside.check(outside.message("VVJ-6-01"))

    (held,) = outside.ledger.dynamodb.table.listed(DEFERRED)
    assert (held["kind"], held["codes"]) == ("failing", ["missing", "malformed"])
    assert held["list_at"] == outside.time.now.isoformat()


def test_each_kind_and_each_account_has_its_own_turns(outside: Outside) -> None:
    outside.check(*keyless(outside, *range(1, 6)))
    at_vtex(outside, sale(), orderId=ONE)
    outside.check(outside.message(ONE))
    outside.check(*keyless(outside, *range(1, 6), account="othershop"))

    assert Counter(alert.type for alert in outside.outlets.alerts) == {"failing": 10, "resolved": 1}
    assert not outside.ledger.deferred


def deferred(outside: Outside, order_id: str = ORDER_ID) -> None:
    """Let the failure of an order be deferred."""
    outside.check(*keyless(outside, *range(101, 106)))
    at_vtex(outside, sale(key=None), orderId=order_id)
    outside.check(outside.message(order_id))
    outside.outlets.alerts.clear()
    assert outside.ledger.deferred == {order_id: "failing"}


def test_whose_failing_was_held_back_is_told_resolved_in_a_digest_too(outside: Outside) -> None:
    deferred(outside)
    at_vtex(outside, sale())
    outside.check(outside.message())

    assert alerted(outside) == []
    assert outside.ledger.deferred == {ORDER_ID: "resolved"}
    assert outside.outlets.records[-1].type == "resolved"


def test_whose_failing_was_held_back_is_given_up_in_a_digest_too_and_in_none_where_it_is_mended_before(
    outside: Outside,
) -> None:
    deferred(outside)
    outside.time.advance(FOLLOWED_FOR)
    outside.check(outside.message())
    assert (outside.ledger.deferred, alerted(outside)) == ({ORDER_ID: "expired"}, [])

    at_vtex(outside, sale())
    outside.check(outside.message())

    assert [record.type for record in outside.outlets.records[-2:]] == ["expired", "resolved"]
    assert (outside.ledger.deferred, alerted(outside)) == ({}, [])


def test_a_close_without_an_alert_takes_no_turn_and_calls_off_what_was_held_back(outside: Outside) -> None:
    deferred(outside)
    at_vtex(outside, sale(key=None), status="canceled")
    outside.steps.taken.clear()
    outside.check(outside.message())

    assert "acquire_alert_quota" not in outside.steps.taken
    assert alerted(outside) == []
    assert outside.ledger.deferred == {}


def test_once_the_storm_is_over_a_failure_that_changes_is_told_at_once_and_the_old_one_not_at_all(
    outside: Outside,
) -> None:
    deferred(outside)
    outside.time.advance(LIMIT.window)
    at_vtex(outside, sale(key="123"))
    outside.check(outside.message())
    assert (alerted(outside), outside.ledger.deferred) == ([f"{ORDER_ID} failing"], {})

    at_vtex(outside, sale())
    outside.check(outside.message())
    assert (alerted(outside)[1:], outside.ledger.deferred) == ([f"{ORDER_ID} resolved"], {})


def test_without_the_ledger_no_turn_is_taken_and_the_alert_is_told_after_the_lease(outside: Outside) -> None:
    messages = keyless(outside, 1) + keyless(outside, 2, account="othershop")
    outside.steps.before("acquire_alert_quota", unreachable("the ledger"))

    assert outside.check(*messages) == {messages[0].id}
    assert alerted(outside) == ["VVJ-2-01 failing"]
    outside.time.advance(LEASE)
    assert outside.check(messages[0]) == set()
    assert alerted(outside) == ["VVJ-2-01 failing", "VVJ-1-01 failing"]
    assert len(outside.outlets.records) == 2


# ---- Events that are known

CHANGED = "2026-03-03T14:54:00.5436574+00:00"
STATES_AT_VTEX = {
    "other_marketplace": own_order(sale(), orderId=ORDER_ID),
    "canceled": cnova_order(sale(), status="canceled"),
    "returned": cnova_order(sale(), returned()),
    "not_invoiced": cnova_order(status="handling"),
    "waiting": cnova_order(),
    "ok": cnova_order(sale()),
    "failing": cnova_order(sale(key=None)),
}
from_hook = partial(message, last_change=CHANGED)
from_feed = partial(message, last_change=CHANGED, source=FEED, id="of the feed")


@pytest.mark.parametrize("outcome", STATES_AT_VTEX)
def test_a_feed_event_that_the_hook_brought_causes_no_reading_whatever_came_of_it(
    outside: Outside, outcome: str
) -> None:
    outside.vtex.put(STATES_AT_VTEX[outcome])
    outside.check(from_hook())

    assert outside.check(from_feed()) == set()
    assert outside.vtex.reads[REF] == 1


@pytest.mark.parametrize("after", [timedelta(0), GRACE], ids=["within its grace", "dead"])
def test_nor_does_one_of_an_order_that_vtex_does_not_know(outside: Outside, after: timedelta) -> None:
    outside.time.advance(after)
    outside.check(from_hook())

    assert outside.check(from_feed()) == set()
    assert outside.vtex.reads[REF] == 1


@pytest.mark.parametrize(
    "other",
    [{"last_change": "2026-03-03T14:54:00.5436575+00:00"}, {"last_change": None}, {"order_id": TWO}],
    ids=["another change", "no change", "another order"],
)
def test_a_feed_event_that_nobody_brought_is_read(outside: Outside, other: dict[str, Any]) -> None:
    put_two(outside, sale(key=None), order_ids=(ORDER_ID, TWO))
    outside.check(from_hook())
    outside.check(from_feed(**other))

    assert outside.vtex.reads.total() == 2


@pytest.mark.parametrize(("source", "reads"), [(HOOK, 2), (RECHECK, 2), ("redrive", 2), (FEED, 1)])
def test_any_other_event_is_read_though_it_is_known(outside: Outside, source: str, reads: int) -> None:
    at_vtex(outside, sale())
    for _ in range(2):
        outside.check(from_hook(source=source))

    assert outside.vtex.reads[REF] == reads


def test_a_re_check_is_read_and_leaves_no_event_behind(outside: Outside) -> None:
    at_vtex(outside, sale())
    for _ in range(2):
        outside.check(message(body=own_event(REF), source=RECHECK))

    assert outside.vtex.reads[REF] == 2
    assert outside.ledger.entries[REF].events == ()


@pytest.mark.parametrize(
    ("new", "reads"),
    [(from_hook(last_change="later"), {REF: 2}), (from_feed(TWO, id="new"), {REF: 1, OrderRef(ACCOUNT, TWO): 1})],
    ids=["of its order", "of another order"],
)
def test_beside_a_new_event_a_known_one_is_done(outside: Outside, new: Message, reads: dict[OrderRef, int]) -> None:
    put_two(outside, sale(key=None), order_ids=(ORDER_ID, TWO))
    outside.check(from_hook())

    assert outside.check(from_feed(), new) == set()
    assert outside.vtex.reads == reads


def test_a_known_event_is_read_where_the_report_of_its_check_is_not_told(outside: Outside) -> None:
    dies(outside, "send_records", from_hook())

    assert outside.check(from_feed()) == set()
    assert kinds(outside) == (["failing"], ["failing"])


def test_a_feed_event_that_waits_is_read_until_its_check_ends(outside: Outside) -> None:
    at_vtex(outside)
    for receives in (1, 2):
        assert outside.check(from_feed(receive_count=receives)) == {"of the feed"}
    outside.time.advance(GRACE)

    assert outside.check(from_feed(receive_count=3)) == set()
    assert outside.outlets.records[0].codes == ["no_invoice"]


def test_a_known_event_that_killed_the_function_is_no_suspect(outside: Outside) -> None:
    put_two(outside, sale(), order_ids=(ORDER_ID, TWO))
    outside.check(from_hook())

    assert outside.check(from_feed(receive_count=9), message(TWO)) == set()


@pytest.mark.parametrize(
    ("batches", "told"),
    [
        ([[from_feed()]], [1]),
        ([[from_feed(receive_count=2)]], None),
        ([[from_hook()]], None),
        ([[from_hook()], [from_feed()]], [0]),
        ([[from_hook(), from_feed()]], [0]),
        ([[from_hook(last_change="another"), from_feed()]], [1]),
        ([[from_hook(TWO), from_feed()]], [1]),
        ([[from_feed(), from_feed(TWO, id="another")]], [1, 1]),
    ],
    ids=[
        "by the feed alone", "counted before", "by the hook", "the hook first", "in one batch", "another event",
        "another order", "two",
    ],
)  # fmt: skip
def test_what_only_the_feed_knew_is_counted(
    outside: Outside, figures: dict[str, list[float]], batches: list[list[Message]], told: list[float] | None
) -> None:
    put_two(outside, sale(), order_ids=(ORDER_ID, TWO))
    for batch in batches:
        outside.check(*batch)

    assert figures.get("feed_only") == told


# ---- What is noted of the accounts


def test_an_event_of_the_hook_about_an_order_of_cnova_s_is_noted_of_its_account(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.check(message())

    now = outside.time.now
    assert outside.activity() == Activity(ACCOUNT, first_hook_at=now, hook_at=now, cnova_at=now)


def test_an_order_of_another_marketplace_is_noted_as_the_hook_s_alone(outside: Outside) -> None:
    outside.vtex.put(own_order(orderId=ORDER_ID))
    outside.check(message())

    assert (outside.activity().hook_at, outside.activity().cnova_at) == (outside.time.now, None)


@pytest.mark.parametrize(
    "messages", [[message(source=RECHECK)], [message(source="redrive")]], ids=["recheck", "redrive"]
)
def test_what_is_read_again_brings_no_news_of_its_account(outside: Outside, messages: list[Message]) -> None:
    at_vtex(outside, sale())
    outside.check(*messages)

    assert outside.activity() == Activity(ACCOUNT)


def test_a_message_that_comes_again_is_no_new_call_of_the_hook(outside: Outside) -> None:
    at_vtex(outside)
    outside.check(message(receive_count=2))

    assert outside.activity().hook_at is None


def test_what_only_the_feed_knew_is_noted(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.check(message(source=FEED, last_change="1"))

    now = outside.time.now
    assert outside.activity() == Activity(ACCOUNT, cnova_at=now, feed_only_at=now)


def test_what_the_hook_had_brought_before_the_feed_is_not_noted_as_missed(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.check(message(last_change="1"))
    outside.check(message(source=FEED, last_change="1"))

    assert outside.activity().feed_only_at is None


def test_refused_credentials_are_noted_of_their_account_alone(outside: Outside) -> None:
    (mine,), (theirs,) = keyless(outside, 1), keyless(outside, 2, account="othershop")
    outside.vtex.fail(CredentialsRefused("VTEX answered 403"), order_id="VVJ-1-01")
    outside.check(mine, theirs)

    assert (outside.activity().refused_at, outside.activity("othershop").refused_at) == (outside.time.now, None)


def test_of_an_account_that_is_off_nothing_is_noted(outside: Outside) -> None:
    outside.ledger.dynamodb.table.put({"pk": f"account#{ACCOUNT}", "version": 1, "is_off": True})
    outside.check(message())

    assert outside.activity() == Activity(ACCOUNT)


def test_a_later_batch_within_the_hour_costs_no_write_more(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.check(message())
    calls = outside.ledger.dynamodb.calls
    calls.clear()

    outside.check(message(id="later"))
    assert "update_item" not in calls


def test_a_note_that_fails_touches_no_check_and_is_made_by_the_next_batch(outside: Outside) -> None:
    put_two(outside, sale(key=None))

    def fail(operation: str) -> None:
        if operation == "update_item" and len(outside.outlets.alerts) == 1 and noted(outside):
            raise UNREACHABLE

    outside.ledger.dynamodb.before = fail
    assert outside.check(message(ONE)) == set()
    assert (kinds(outside), outside.activity().hook_at) == ((["failing"], ["failing"]), None)

    outside.ledger.dynamodb.before = lambda _: None
    assert outside.check(message(TWO)) == set()
    assert outside.activity().hook_at == outside.time.now


def noted(outside: Outside) -> bool:
    """Say whether the reports are delivered and noted."""
    found = report(outside, ONE)
    return found.recorded and found.alerted


# ---- Others that write the same order


# ---- Time


def test_what_hangs_is_waited_for_until_there_is_just_time_to_settle(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(batch_module, "wait", lambda *_, timeout: waited.append(timeout))
    outside.time.left = 20

    outside.check(message())

    assert waited == [20 - batch_module.SETTLING_SECONDS, batch_module.NOTING_SECONDS]


def test_checks_that_hang_keep_nothing_from_going_back(outside: Outside) -> None:
    messages = [message(f"VVJ-{number}-01") for number in range(PARALLEL)]
    all_hang, go_on = threading.Barrier(PARALLEL + 1, timeout=30), threading.Event()

    def seconds_left() -> float:
        if threading.current_thread() is not threading.main_thread():
            return 30
        all_hang.wait()
        return 0

    were_released: list[bool] = []

    def hang() -> None:
        all_hang.wait()
        were_released.append(go_on.wait(10))

    outside.steps.before("read_order", hang, times=None)
    environment = outside.environment(make_pool=batch_module._ten_threads)

    went_back = environment.check(messages, Clock(seconds_left, lambda: outside.time.now))
    go_on.set()
    assert went_back == {hanging.id for hanging in messages}
    assert outside.ledger.returns_to_queue.total() == PARALLEL
    assert False not in were_released


# ---- Orders that kill


@pytest.mark.parametrize("receives", [1, 3], ids=["not tried yet", "it killed too"])
def test_a_message_that_killed_the_function_twice_is_checked_alone(outside: Outside, receives: int) -> None:
    put_two(outside, sale())
    other = message(TWO, receive_count=receives)

    assert outside.check(message(ONE, receive_count=3), other) == {other.id}
    assert [ref.order_id for ref in outside.vtex.reads] == [ONE]
    assert outside.wait_of(other) == 0
    assert outside.check(other) == set()


def test_the_others_are_put_back_before_the_suspect_is_checked(outside: Outside) -> None:
    at_vtex(outside, sale(), orderId=ONE)
    outside.steps.before("read_order", Crash())
    with pytest.raises(Crash):
        outside.check(message(ONE, receive_count=3), message(TWO))

    assert outside.wait_of(message(TWO)) == 0


def test_a_message_that_was_put_back_on_purpose_is_no_suspect(outside: Outside) -> None:
    put_two(outside, sale())
    was_returned(outside, message(ONE).id, 8)

    assert outside.check(message(ONE, receive_count=10), message(TWO)) == set()


@pytest.mark.parametrize("source", [HOOK, RECHECK])
def test_a_message_that_kills_for_a_day_is_given_up_untried(outside: Outside, source: str) -> None:
    at_vtex(outside, sale())
    outside.time.advance(DAY)

    assert outside.check(message(receive_count=20, source=source)) == set()
    assert reasons(outside) == ["gave_up"]
    assert not outside.vtex.reads


def test_a_suspect_is_hidden_before_it_is_checked_so_that_no_count_of_deaths_gives_it_up(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.steps.before("read_order", Crash(), times=None)
    for receives, longest in ((3, 240), (20, HOUR)):
        with pytest.raises(Crash):
            outside.check(message(receive_count=receives))
        assert max(180, longest / 2) <= outside.wait_of(message()) <= longest
    assert not outside.ledger.returns_to_queue


def test_a_younger_message_of_an_order_that_kills_is_not_given_up_with_the_old_one(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.time.advance(DAY)

    assert outside.check(message(id="old", receive_count=20), outside.message(id="young", receive_count=3)) == set()
    assert [letter.id for letter, _ in outside.outlets.dead_letters] == ["old"]
    assert outside.vtex.reads[REF] == 1


# ---- Bad luck, and what is said of it


def test_an_unexpected_error_in_one_order_does_not_take_the_others_with_it(outside: Outside) -> None:
    put_two(outside, sale(key=None))
    outside.vtex.fail(RuntimeError("Maria da Silva"), order_id=ONE)

    assert outside.check(message(ONE), message(TWO)) == {message(ONE).id}
    assert [record.ref.order_id for record in outside.outlets.records] == [TWO]


def test_the_log_names_ids_and_codes_and_nobody(outside: Outside, caplog: pytest.LogCaptureFixture) -> None:
    at_vtex(outside, sale(key="Maria da Silva"), clientProfileData={"firstName": "Maria"})
    outside.check(message())
    outside.vtex.fail(RuntimeError("Maria da Silva"))
    outside.check(message())

    said = json.dumps([record.__dict__ for record in caplog.records], default=str)
    assert ORDER_ID in said
    assert "malformed" in said
    assert "Maria" not in said
    assert logger.name == caplog.records[0].name


def test_a_suspect_of_cnova_is_said(outside: Outside, caplog: pytest.LogCaptureFixture) -> None:
    at_vtex(outside, sale(), affiliateId="CSB", customData=None)
    outside.check(message())

    assert [record.__dict__["is_suspect"] for record in caplog.records if record.message == "order checked"] == [True]


def test_an_empty_batch_is_no_trouble(outside: Outside) -> None:
    assert outside.check() == set()


def test_an_item_that_somebody_spoilt_is_no_trouble_of_the_other_orders(outside: Outside) -> None:
    at_vtex(outside, sale())
    spoil(outside, "SPOILT-1")

    returned = outside.check(outside.message("SPOILT-1"), outside.message())

    assert returned == {"message-SPOILT-1"}
    assert dict(outside.vtex.reads) == {OrderRef("luxstore", ORDER_ID): 1}
