import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from invoicekey import batch as batch_module
from invoicekey.batch import PARALLEL
from invoicekey.check import Clock
from invoicekey.errors import Conflict, CredentialsRefused, OutOfTime, SilenceAsked, TryAgainLater
from invoicekey.telemetry import logger
from tests.fakes_outside import ACCOUNT, GRACE, LEASE, ORDER_ID, REF, Crash, Outside, message, unreachable
from tests.orders import cnova_order, returned, sale

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


def put_back(outside: Outside, message_id: str, times: int) -> None:
    for _ in range(times):
        outside.ledger.note_put_back(message_id)


def reasons(outside: Outside) -> list[str]:
    return [reason for _, reason in outside.outlets.dead_letters]


# ---- What each outcome comes to


def test_a_failing_order_is_recorded_and_then_alerted(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))

    assert outside.check(message()) == set()
    assert kinds(outside) == (["failing"], ["failing"])
    assert outside.steps.taken == ["read", "read_order", "write", "send_records", "note_recorded", "publish_alerts",
                                   "note_alerted"]  # fmt: skip


def test_an_ok_order_is_written_and_nothing_more(outside: Outside) -> None:
    at_vtex(outside, sale())

    assert outside.check(message()) == set()
    assert outside.steps.taken == ["read", "read_order", "write"]


def test_an_order_of_another_marketplace_is_not_written(outside: Outside) -> None:
    at_vtex(outside, sale(key=None), affiliateId="MBS", customData=None)

    assert outside.check(message()) == set()
    assert outside.steps.taken == ["read", "read_order"]


def test_the_same_failure_is_told_once_however_often_it_is_met(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    for _ in range(5):
        outside.check(message())

    assert kinds(outside) == (["failing"], ["failing"])


def test_messages_of_one_order_in_one_batch_are_one_check(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))

    assert outside.check(message(id="1"), message(id="2"), message(id="3")) == set()
    assert outside.vtex.reads[REF] == 1


def test_another_error_is_told_anew_with_a_higher_number(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.check(message())
    at_vtex(outside, sale(key="123"))
    outside.check(message())

    assert [record.number for record in outside.outlets.records] == [1, 2]
    assert outside.outlets.records[1].codes == ["malformed"]


def test_a_warning_more_is_not_told_anew(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.check(message())
    at_vtex(outside, sale(key=None, courier=None, trackingNumber=None))
    outside.check(message())

    assert kinds(outside) == (["failing"], ["failing"])


def test_a_mended_order_is_told_as_resolved(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.check(message())
    at_vtex(outside, sale())
    outside.check(message())

    assert kinds(outside) == (["failing", "resolved"], ["failing", "resolved"])
    assert outside.outlets.records[-1].data["reason"] == "ok"


def test_an_order_that_fails_again_after_it_was_resolved_has_a_new_number_and_id(outside: Outside) -> None:
    for key in (None, "", None):
        at_vtex(outside, sale(key=key) if key is None else sale())
        outside.check(message())

    first, _, last = outside.outlets.records
    assert (first.type, last.type, last.number) == ("failing", "failing", 3)
    assert first.document["id"] != last.document["id"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "canceled"}, "canceled"),
        ({"status": "handling", "packageAttachment": None}, "not_invoiced"),
    ],
)
def test_a_close_other_than_ok_leaves_a_record_and_no_alert(
    outside: Outside, change: dict[str, Any], reason: str
) -> None:
    at_vtex(outside, sale(key=None))
    outside.check(message())
    at_vtex(outside, sale(key=None), **change)
    outside.check(message())

    assert kinds(outside) == (["failing", "resolved"], ["failing"])
    assert outside.outlets.records[-1].data["reason"] == reason


def test_a_returned_order_closes_its_failure(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.check(message())
    at_vtex(outside, sale(key=None), returned())
    outside.check(message())

    assert outside.outlets.records[-1].data["reason"] == "returned"


# ---- Graces


def test_an_order_without_invoice_waits_within_its_grace(outside: Outside) -> None:
    at_vtex(outside)

    assert outside.check(message()) == {message().id}
    assert outside.wait_of(message()) <= 60
    assert kinds(outside) == ([], [])


def test_a_wait_for_the_grace_ends_when_the_grace_does(outside: Outside) -> None:
    at_vtex(outside)
    outside.time.advance(GRACE - timedelta(seconds=5))
    outside.check(message(receive_count=8))

    assert outside.wait_of(message()) == 6


def test_an_order_without_invoice_past_its_grace_is_failing(outside: Outside) -> None:
    at_vtex(outside)
    outside.time.advance(GRACE)

    assert outside.check(message()) == set()
    assert outside.outlets.records[0].codes == ["no_invoice"]


def test_an_unknown_order_waits_within_the_grace(outside: Outside) -> None:
    assert outside.check(message()) == {message().id}


def test_an_unknown_order_past_the_grace_is_a_dead_letter(outside: Outside) -> None:
    outside.time.advance(GRACE)

    assert outside.check(message()) == set()
    assert reasons(outside) == ["not_found"]


def test_an_open_failure_of_an_order_that_is_gone_is_closed_and_its_message_a_dead_letter(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.check(message())
    outside.vtex.documents.clear()

    assert outside.check(message()) == set()
    assert outside.outlets.records[-1].data["reason"] == "not_found"
    assert (reasons(outside), kinds(outside)[1]) == (["not_found"], ["failing"])


# ---- Dead letters


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"OrderId": "seq1"}', '{"OrderId": "A", "Origin": {"Account": "A"}}']
)
def test_what_is_no_notification_is_a_dead_letter_at_once(outside: Outside, body: str) -> None:
    assert outside.check(message(body=body)) == set()
    assert reasons(outside) == ["malformed"]


def test_a_dead_letter_that_the_queue_refuses_goes_back(outside: Outside) -> None:
    outside.steps.before("bury", unreachable())

    assert outside.check(message(body="[]")) == {message().id}


@pytest.mark.parametrize(
    ("trouble", "reason"), [(unreachable(), "gave_up"), (CredentialsRefused("VTEX answered 403"), "no_credentials")]
)
def test_after_a_day_of_trouble_a_message_is_given_up(outside: Outside, trouble: TryAgainLater, reason: str) -> None:
    outside.vtex.fail(trouble)
    outside.time.advance(DAY)

    assert outside.check(message()) == set()
    assert reasons(outside) == [reason]


def test_before_a_day_is_over_no_count_of_receives_gives_a_message_up(outside: Outside) -> None:
    outside.vtex.fail(unreachable())
    put_back(outside, message().id, 198)
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
    put_back(outside, message().id, receives)
    outside.check(message(receive_count=receives))

    assert longest / 2 <= outside.wait_of(message()) <= longest


def test_messages_that_fail_together_come_back_apart(outside: Outside) -> None:
    outside.vtex.fail(unreachable(), times=None)
    outside.check(*(message(f"VVJ-{number}-01") for number in range(5)))

    assert len({wait for _, wait in outside.outlets.put_backs}) == 5


def test_a_wait_is_never_shorter_than_vtex_asked(outside: Outside) -> None:
    outside.vtex.fail(SilenceAsked("VTEX answered 429", wait=900))
    outside.check(message())

    assert 900 <= outside.wait_of(message()) <= 990


def test_a_silence_is_kept_by_the_rest_of_the_batch_and_told_to_other_environments(outside: Outside) -> None:
    at_vtex(outside, sale(), orderId="VVJ-1-01")
    outside.vtex.fail(SilenceAsked("VTEX answered 503", wait=30))

    assert len(outside.check(message("VVJ-1-01"), message("VVJ-2-01"), message("VVJ-3-01"))) == 3
    assert sum(outside.vtex.reads.values()) == 1
    assert outside.ledger.read([REF]).silent_until[ACCOUNT] >= outside.time.timestamp() + 30


def test_a_silence_that_another_environment_heard_of_is_kept(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.ledger.note_silence(ACCOUNT, outside.time.timestamp() + 30)

    assert outside.check(message()) == {message().id}
    assert not outside.vtex.reads


def test_a_silence_that_cannot_be_shared_stops_nothing(outside: Outside) -> None:
    outside.vtex.fail(SilenceAsked("VTEX answered 429", wait=30))
    outside.steps.before("note_silence", unreachable())

    assert outside.check(message()) == {message().id}


def test_a_check_that_has_no_turn_comes_again_soon_and_is_never_given_up(outside: Outside) -> None:
    outside.vtex.fail(OutOfTime("the pace allows no more now", wait=3))
    outside.time.advance(DAY * 2)
    outside.check(message(receive_count=2))

    assert 3 <= outside.wait_of(message()) <= 3.3


def test_a_refused_receipt_handle_is_no_more_than_a_line_in_the_log(outside: Outside) -> None:
    outside.vtex.fail(unreachable())
    outside.outlets.refuse("put_back")

    assert outside.check(message()) == {message().id}


def test_a_put_back_that_cannot_be_noted_happens_all_the_same(outside: Outside) -> None:
    outside.vtex.fail(unreachable())
    outside.steps.before("note_put_back", unreachable())
    outside.check(message())

    assert len(outside.outlets.put_backs) == 1


def test_without_the_ledger_everything_goes_back_and_nothing_is_read(outside: Outside) -> None:
    outside.steps.before("read", unreachable("the ledger"))

    assert outside.check(message(), message("VVJ-2-01")) == {message().id, message("VVJ-2-01").id}
    assert not outside.vtex.reads


# ---- Reports that get through in part


def test_a_refused_record_goes_back_until_its_lease_is_over_and_is_not_alerted(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.outlets.refuse("send_records")

    assert outside.check(message()) == {message().id}
    assert kinds(outside) == ([], [])
    assert outside.wait_of(message()) >= LEASE.total_seconds()


def test_one_refused_entry_does_not_keep_the_others_back(outside: Outside) -> None:
    for order_id in ("VVJ-1-01", "VVJ-2-01"):
        at_vtex(outside, sale(key=None), orderId=order_id)
    outside.outlets.refuse("publish_alerts", "VVJ-1-01")

    assert outside.check(message("VVJ-1-01"), message("VVJ-2-01")) == {message("VVJ-1-01").id}
    assert [alert.ref.order_id for alert in outside.outlets.alerts] == ["VVJ-2-01"]


def test_after_the_lease_only_what_is_missing_is_sent(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.outlets.refuse("publish_alerts")
    outside.check(message())
    outside.time.advance(LEASE)

    assert outside.check(message()) == set()
    assert kinds(outside) == (["failing"], ["failing"])


@pytest.mark.parametrize("step", ["send_records", "publish_alerts"])
def test_after_a_death_the_very_same_report_is_sent_once_its_lease_is_over(outside: Outside, step: str) -> None:
    at_vtex(outside, sale(key=None))
    outside.steps.after(step, Crash())
    with pytest.raises(Crash):
        outside.check(message())
    outside.time.advance(LEASE)
    outside.environment().check([message()], outside.time.clock())

    sent = outside.outlets.records if step == "send_records" else outside.outlets.alerts
    assert len(sent) == 2
    assert sent[0].text == sent[1].text


def test_a_report_under_a_live_lease_is_left_to_its_writer(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.steps.before("send_records", Crash())
    with pytest.raises(Crash):
        outside.check(message())

    assert outside.check(message()) == {message().id}
    assert kinds(outside) == ([], [])
    assert outside.wait_of(message()) >= LEASE.total_seconds()


def test_an_order_that_is_good_by_the_time_its_report_is_taken_over_is_told_resolved_after_it(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.steps.before("send_records", Crash())
    with pytest.raises(Crash):
        outside.check(message())
    at_vtex(outside, sale())
    outside.time.advance(LEASE)

    assert outside.check(message()) == set()
    assert kinds(outside) == (["failing", "resolved"], ["failing", "resolved"])


def test_when_the_ledger_fails_after_a_take_over_the_message_goes_back(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.steps.before("send_records", Crash())
    with pytest.raises(Crash):
        outside.check(message())
    outside.time.advance(LEASE)
    outside.steps.after("note_alerted", lambda: outside.steps.before("read", unreachable("the ledger")))

    assert outside.check(message()) == {message().id}


def test_a_sent_report_that_could_not_be_noted_goes_back(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.steps.before("note_recorded", unreachable("the ledger"))

    assert outside.check(message()) == {message().id}
    assert kinds(outside) == (["failing"], [])


# ---- Others that write the same order


def test_a_conflict_does_the_whole_check_anew(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))

    def another_was_faster() -> None:
        outside.environment().check([message(id="another")], outside.time.clock())

    outside.steps.before("write", another_was_faster)

    assert outside.check(message()) == set()
    assert kinds(outside) == (["failing"], ["failing"])
    assert outside.vtex.reads[REF] == 3


def test_conflicts_without_end_send_the_message_back(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.steps.before("write", Conflict(), times=None)

    assert outside.check(message()) == {message().id}


# ---- Time


def test_nothing_is_begun_with_too_little_time(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.time.left = 5.5

    assert outside.check(message()) == {message().id}
    assert not outside.vtex.reads


def test_what_was_read_too_late_is_not_written(outside: Outside) -> None:
    at_vtex(outside, sale(key=None))
    outside.steps.after("read_order", lambda: setattr(outside.time, "left", 1.0))

    assert outside.check(message()) == {message().id}
    assert "write" not in outside.steps.taken


def test_a_check_that_hangs_goes_back(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    at_vtex(outside, sale())
    monkeypatch.setattr(batch_module, "wait", lambda *_, **__: None)
    monkeypatch.setattr(Future, "done", lambda _: False)

    assert outside.check(message()) == {message().id}


def test_checks_that_hang_keep_nothing_from_being_put_back(outside: Outside) -> None:
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
    environment = outside.environment(make_pool=lambda: ThreadPoolExecutor(PARALLEL))

    went_back = environment.check(messages, Clock(seconds_left, lambda: outside.time.now))
    go_on.set()
    assert went_back == {hanging.id for hanging in messages}
    assert outside.ledger.put_backs.total() == PARALLEL
    assert False not in were_released


# ---- Orders that kill


def test_a_message_that_killed_the_function_twice_is_checked_alone(outside: Outside) -> None:
    for order_id in ("VVJ-1-01", "VVJ-2-01"):
        at_vtex(outside, sale(), orderId=order_id)

    assert outside.check(message("VVJ-1-01", receive_count=3), message("VVJ-2-01")) == {message("VVJ-2-01").id}
    assert [ref.order_id for ref in outside.vtex.reads] == ["VVJ-1-01"]
    assert outside.wait_of(message("VVJ-2-01")) == 0


def test_the_others_are_put_back_before_the_suspect_is_checked(outside: Outside) -> None:
    at_vtex(outside, sale(), orderId="VVJ-1-01")
    outside.steps.before("read_order", Crash())
    with pytest.raises(Crash):
        outside.check(message("VVJ-1-01", receive_count=3), message("VVJ-2-01"))

    assert outside.wait_of(message("VVJ-2-01")) == 0


def test_a_message_that_was_put_back_on_purpose_is_no_suspect(outside: Outside) -> None:
    for order_id in ("VVJ-1-01", "VVJ-2-01"):
        at_vtex(outside, sale(), orderId=order_id)
    put_back(outside, message("VVJ-1-01").id, 8)

    assert outside.check(message("VVJ-1-01", receive_count=10), message("VVJ-2-01")) == set()


def test_a_message_that_kills_for_a_day_is_given_up_untried(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.time.advance(DAY)

    assert outside.check(message(receive_count=20)) == set()
    assert reasons(outside) == ["gave_up"]
    assert not outside.vtex.reads


def test_a_suspect_is_hidden_before_it_is_checked_so_that_no_count_of_deaths_gives_it_up(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.steps.before("read_order", Crash(), times=None)
    for receives, longest in ((3, 240), (20, HOUR)):
        with pytest.raises(Crash):
            outside.check(message(receive_count=receives))
        assert max(180, longest / 2) <= outside.wait_of(message()) <= longest
    assert not outside.ledger.put_backs


def test_a_younger_message_of_an_order_that_kills_is_not_given_up_with_the_old_one(outside: Outside) -> None:
    at_vtex(outside, sale())
    outside.time.advance(DAY)

    assert outside.check(message(id="old", receive_count=20), outside.message(id="young", receive_count=3)) == set()
    assert [letter.id for letter, _ in outside.outlets.dead_letters] == ["old"]
    assert outside.vtex.reads[REF] == 1


def test_of_several_suspects_each_is_checked_alone(outside: Outside) -> None:
    suspects = [message(f"VVJ-{number}-01", receive_count=3) for number in (1, 2)]
    for suspect in suspects:
        at_vtex(outside, sale(), orderId=suspect.id.removeprefix("message-"))

    assert outside.check(*suspects) == {suspects[1].id}
    assert outside.check(suspects[1]) == set()


# ---- Bad luck, and what is said of it


def test_an_unexpected_error_in_one_order_does_not_take_the_others_with_it(outside: Outside) -> None:
    for order_id in ("VVJ-1-01", "VVJ-2-01"):
        at_vtex(outside, sale(key=None), orderId=order_id)
    outside.vtex.fail(RuntimeError("Maria da Silva"), order_id="VVJ-1-01")

    assert outside.check(message("VVJ-1-01"), message("VVJ-2-01")) == {message("VVJ-1-01").id}
    assert [record.ref.order_id for record in outside.outlets.records] == ["VVJ-2-01"]


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
