import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from invoicekey.alert import Style
from invoicekey.check import REPORTING_SECONDS, DeadLetterReason, Finding, Heard, OrderCheck, Rules
from invoicekey.errors import Conflict, OutOfTime, TryAgainLater
from invoicekey.ledger import Entry, Report
from invoicekey.policy import Policy
from tests.fakes_outside import GRACE, LEASE, NOON, ORDER_ID, REF, Crash, Outside, unreachable
from tests.orders import KEY, cnova_order, own_order, returned, sale

SHORT_KEY = KEY[:-1]
SECOND = timedelta(seconds=1)
TOO_LITTLE = REPORTING_SECONDS / 2 - 0.1

GOOD = cnova_order(sale())
KEYLESS = cnova_order(sale(key=None))
CANCELED = cnova_order(sale(key=None), status="canceled")
RETURNED = cnova_order(sale(key=None), returned())
NOT_INVOICED = cnova_order(status="handling")
NO_INVOICE = cnova_order()


@pytest.fixture
def outside() -> Outside:
    return Outside()


def check(outside: Outside, document: dict[str, Any] | None = None, heard: timedelta = timedelta(0)) -> Finding:
    """Check the order alone, as far as the ledger; `heard` is how long ago its event was queued."""
    if document is not None:
        outside.vtex.put(document)
    order_check = OrderCheck(outside.vtex, outside.ledger, Rules(outside.policy, Style(), LEASE))
    entry = outside.ledger.read([REF]).entries[REF]
    outside.steps.taken.clear()
    return order_check.check(entry, Heard(outside.time.now - heard), outside.time.clock())


def tell(outside: Outside, document: dict[str, Any] | None = None) -> None:
    """Check the order with a batch of its own, so that reports are sent."""
    if document is not None:
        outside.vtex.put(document)
    outside.check(outside.message())


def held(outside: Outside) -> Entry:
    return outside.ledger.entries[REF]


def report(outside: Outside) -> Report:
    found = held(outside).report
    assert found is not None
    return found


class TestOutcomes:
    def test_an_order_with_a_good_key_is_written_down_and_nobody_is_told(self, outside: Outside) -> None:
        tell(outside, GOOD)
        assert (held(outside).outcome, held(outside).first_heard_at) == ("ok", NOON)
        assert held(outside).report is None
        assert not outside.outlets.records
        assert not outside.outlets.alerts

    def test_a_failing_order_is_recorded_and_alerted(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        (record,), (alert,) = outside.outlets.records, outside.outlets.alerts
        assert (record.type, record.number, record.codes) == ("failing", 1, ["missing"])
        assert alert.document["MessageAttributes"]["type"]["StringValue"] == "failing"
        assert held(outside).has_open_failure
        assert report(outside).is_told

    def test_an_order_of_another_marketplace_leaves_nothing_behind(self, outside: Outside) -> None:
        finding = check(outside, own_order(sale(key=None), orderId=ORDER_ID))
        assert finding.verdict
        assert finding.verdict.outcome == "other_marketplace"
        assert outside.steps.taken == ["read_order"]

    @pytest.mark.parametrize("document", [CANCELED, RETURNED, NOT_INVOICED])
    def test_an_order_that_needs_no_key_is_told_to_nobody(self, outside: Outside, document: dict[str, Any]) -> None:
        tell(outside, document)
        assert not outside.outlets.records
        assert not outside.outlets.alerts

    @pytest.mark.parametrize("document", [CANCELED, RETURNED, NOT_INVOICED])
    def test_it_is_written_all_the_same_so_that_a_slower_check_meets_a_conflict(
        self, outside: Outside, document: dict[str, Any]
    ) -> None:
        # The first check has read the order and not yet written when a second one finds it in another state.
        outside.steps.before("write", lambda: tell(outside, document))
        tell(outside, KEYLESS)
        assert not outside.outlets.records

    @pytest.mark.parametrize("document", [CANCELED, RETURNED, NOT_INVOICED])
    def test_no_grace_begins_with_it(self, outside: Outside, document: dict[str, Any]) -> None:
        tell(outside, document)
        outside.time.advance(GRACE * 2)
        assert check(outside, NO_INVOICE).wait_until == outside.time.now + GRACE

    def test_an_order_without_invoice_waits_for_the_end_of_its_grace(self, outside: Outside) -> None:
        finding = check(outside, NO_INVOICE, heard=SECOND)
        assert finding.wait_until == outside.time.now - SECOND + GRACE
        assert outside.steps.taken == ["read_order"]

    def test_it_fails_when_the_grace_is_over(self, outside: Outside) -> None:
        assert check(outside, NO_INVOICE, heard=GRACE).report is not None
        assert json.loads(report(outside).record)["data"]["problems"][0]["code"] == "no_invoice"

    def test_the_grace_runs_from_when_the_ledger_first_heard_of_the_order(self, outside: Outside) -> None:
        tell(outside, GOOD)
        outside.time.advance(GRACE)
        assert check(outside, NO_INVOICE).report is not None

    def test_an_event_older_than_the_ledger_moves_that_back(self, outside: Outside) -> None:
        tell(outside, GOOD)
        check(outside, heard=GRACE)
        assert held(outside).first_heard_at == NOON - GRACE

    def test_a_key_that_is_only_missing_waits_where_the_shop_wants_so(self) -> None:
        outside = Outside(Policy(affiliate_ids=frozenset({"vvj"}), key_grace=GRACE))
        assert check(outside, KEYLESS).wait_until == NOON + GRACE

    def test_an_order_with_an_open_failure_has_no_grace(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        assert check(outside, NO_INVOICE).report is not None


class TestReportsAgain:
    def test_the_same_errors_are_not_told_again(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        tell(outside)
        assert len(outside.outlets.records) == len(outside.outlets.alerts) == 1

    def test_they_are_written_down_so_that_nothing_older_passes(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        version = held(outside).version
        tell(outside)
        assert held(outside).version == version + 1

    @pytest.mark.parametrize(
        "changed",
        [
            cnova_order(sale(key=None, courier=None, trackingNumber=None)),
            cnova_order(sale(key=None, invoiceUrl=f"https://nfe.example/{KEY}")),
            cnova_order(sale(key=None), status="shipped"),
            cnova_order(sale(key=None), sale(key=None)),
        ],
        ids=["warnings", "a suggestion", "the order's status", "the same error twice"],
    )
    def test_what_is_no_news_is_not_told(self, outside: Outside, changed: dict[str, Any]) -> None:
        tell(outside, KEYLESS)
        tell(outside, changed)
        assert len(outside.outlets.records) == 1

    @pytest.mark.parametrize(
        "changed",
        [
            cnova_order(sale(key=SHORT_KEY)),
            cnova_order(sale("643798", None)),
            cnova_order(sale(key="")),
            cnova_order(sale(key=None), sale("643798", None)),
        ],
        ids=["another code", "another invoice", "another key", "one more"],
    )
    def test_a_changed_set_of_errors_is_told_with_a_new_number(self, outside: Outside, changed: dict[str, Any]) -> None:
        tell(outside, KEYLESS)
        tell(outside, changed)
        assert [record.number for record in outside.outlets.records] == [1, 2]
        assert [record.type for record in outside.outlets.records] == ["failing", "failing"]
        assert len({record.document["id"] for record in outside.outlets.records}) == 2
        assert len(outside.outlets.alerts) == 2

    def test_the_failure_stays_open_since_it_was_first_told(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        outside.time.advance(SECOND)
        tell(outside, cnova_order(sale(key=SHORT_KEY)))
        assert held(outside).opened_at == NOON


class TestClosing:
    def test_a_failure_that_is_mended_is_recorded_and_alerted_as_resolved(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        tell(outside, cnova_order(sale(courier=None)))
        record, alert = outside.outlets.records[-1], outside.outlets.alerts[-1]
        assert (record.type, record.number, record.data["reason"]) == ("resolved", 2, "ok")
        assert record.codes == ["courier_missing"]
        assert alert.document["MessageAttributes"]["type"]["StringValue"] == "resolved"
        assert not held(outside).has_open_failure
        assert held(outside).opened_at is None

    @pytest.mark.parametrize(
        ("document", "reason"), [(CANCELED, "canceled"), (RETURNED, "returned"), (NOT_INVOICED, "not_invoiced")]
    )
    def test_any_other_close_sends_its_record_and_no_alert(
        self, outside: Outside, document: dict[str, Any], reason: str
    ) -> None:
        tell(outside, KEYLESS)
        tell(outside, document)
        assert outside.outlets.records[-1].data["reason"] == reason
        assert len(outside.outlets.alerts) == 1
        assert report(outside).is_told
        assert report(outside).alert is None

    def test_a_failure_that_comes_back_is_a_new_report(self, outside: Outside) -> None:
        for document in (KEYLESS, GOOD, KEYLESS):
            tell(outside, document)
        assert [(record.type, record.number) for record in outside.outlets.records] == [
            ("failing", 1),
            ("resolved", 2),
            ("failing", 3),
        ]

    def test_a_failure_that_is_closed_is_not_closed_again(self, outside: Outside) -> None:
        for document in (KEYLESS, CANCELED, CANCELED, GOOD):
            tell(outside, document)
        assert len(outside.outlets.records) == 2


class TestNotFound:
    def test_an_order_that_vtex_does_not_know_yet_is_checked_again(self, outside: Outside) -> None:
        finding = check(outside, heard=SECOND)
        assert finding == Finding(wait_until=NOON - SECOND + GRACE)

    def test_past_the_grace_it_is_dead(self, outside: Outside) -> None:
        assert check(outside, heard=GRACE) == Finding(dead=DeadLetterReason.NOT_FOUND)

    def test_it_is_written_down_then_so_that_a_slower_check_meets_a_conflict(self, outside: Outside) -> None:
        check(outside, heard=GRACE)
        assert held(outside).version == 1
        assert held(outside).first_heard_at is None

    def test_an_open_failure_is_closed_with_the_same_reason_at_once(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        outside.vtex.documents.clear()
        tell(outside)
        record = outside.outlets.records[-1]
        assert (record.type, record.data["reason"]) == ("resolved", "not_found")
        assert len(outside.outlets.alerts) == 1
        assert [reason for _, reason in outside.outlets.dead_letters] == ["not_found"]


class TestOthersAtWork:
    def test_a_conflict_does_the_whole_check_anew(self, outside: Outside) -> None:
        outside.steps.before("write", Conflict())
        outside.steps.after("read_order", lambda: outside.vtex.put(GOOD))
        tell(outside, KEYLESS)
        assert outside.vtex.reads[REF] == 2
        assert held(outside).outcome == "ok"
        assert not outside.outlets.records

    def test_conflict_after_conflict_puts_it_off(self, outside: Outside) -> None:
        outside.steps.before("write", Conflict(), times=None)
        finding = check(outside, GOOD)
        assert finding.retry
        assert "again and again" in finding.retry.why
        assert outside.vtex.reads[REF] == 3

    def test_a_ledger_that_cannot_be_read_anew_puts_it_off(self, outside: Outside) -> None:
        outside.steps.before("write", Conflict())
        outside.steps.after("read_order", lambda: outside.steps.before("read", unreachable("the ledger")))
        assert check(outside, GOOD).retry

    def test_a_report_under_a_live_lease_is_left_alone(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        outside.time.advance(LEASE - SECOND)
        before = held(outside)
        finding = check(outside, GOOD)
        assert isinstance(finding.retry, OutOfTime)
        assert finding.retry.wait == 1
        assert (held(outside), outside.vtex.reads[REF]) == (before, 1)

    def test_after_its_lease_that_very_report_is_to_be_sent(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        before = report(outside)
        outside.time.advance(LEASE)
        finding = check(outside, GOOD)
        assert finding.is_left_over
        assert finding.report == held(outside)
        assert report(outside) == replace(before, lease_until=outside.time.now + LEASE)

    def test_an_order_that_is_good_by_then_is_still_told_failing_then_resolved(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        bytes_then = report(outside).record
        outside.time.advance(LEASE)
        tell(outside, GOOD)
        first, second = outside.outlets.records
        assert first.text == bytes_then
        assert (first.type, second.type) == ("failing", "resolved")
        assert [alert.number for alert in outside.outlets.alerts] == [1, 2]

    def test_of_two_that_want_to_take_it_over_one_does(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        outside.time.advance(LEASE)
        outside.steps.before("write", lambda: tell(outside))
        finding = check(outside)
        assert finding.report is None
        assert len(outside.outlets.records) == 1

    @pytest.mark.parametrize(
        ("step", "taken_already"),
        [("send_records", 0), ("note_recorded", 1), ("publish_alerts", 1), ("note_alerted", 1)],
    )
    def test_a_function_that_dies_before_a_step_is_made_up_for(
        self, outside: Outside, step: str, taken_already: int
    ) -> None:
        outside.vtex.put(KEYLESS)
        outside.steps.before(step, Crash())
        with pytest.raises(Crash):
            tell(outside)
        assert len(outside.outlets.records) == taken_already
        outside.time.advance(LEASE)
        tell(outside)
        assert len({record.text for record in outside.outlets.records}) == 1
        assert len({alert.text for alert in outside.outlets.alerts}) == 1
        assert report(outside).is_told

    def test_only_what_was_not_noted_is_sent_again(self, outside: Outside) -> None:
        outside.vtex.put(KEYLESS)
        outside.steps.before("publish_alerts", Crash())
        with pytest.raises(Crash):
            tell(outside)
        outside.time.advance(LEASE)
        tell(outside)
        assert (len(outside.outlets.records), len(outside.outlets.alerts)) == (1, 1)


class TestTime:
    def test_an_order_is_not_read_where_too_little_time_is_left(self, outside: Outside) -> None:
        outside.time.left = REPORTING_SECONDS + 0.9
        assert isinstance(check(outside, GOOD).retry, OutOfTime)
        assert not outside.vtex.reads

    @pytest.mark.parametrize("document", [KEYLESS, None], ids=["failing", "not found"])
    def test_nothing_is_written_where_too_little_is_left_to_tell_it(
        self, outside: Outside, document: dict[str, Any] | None
    ) -> None:
        outside.steps.before("read_order", lambda: setattr(outside.time, "left", TOO_LITTLE))
        assert isinstance(check(outside, document, heard=GRACE).retry, OutOfTime)
        assert not outside.ledger.entries

    def test_nothing_is_taken_over_where_too_little_is_left_to_tell_it(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        before = held(outside)
        outside.time.advance(LEASE)
        outside.time.left = TOO_LITTLE
        assert isinstance(check(outside).retry, OutOfTime)
        assert held(outside) == before


class TestTrouble:
    def test_trouble_at_vtex_is_a_reason_to_try_again(self, outside: Outside) -> None:
        trouble = TryAgainLater("VTEX answered 500")
        outside.vtex.fail(trouble)
        assert check(outside, GOOD) == Finding(retry=trouble)

    def test_a_write_that_is_refused_tells_nobody(self, outside: Outside) -> None:
        outside.steps.before("write", unreachable("the ledger"))
        finding = check(outside, KEYLESS)
        assert finding.report is None
        assert finding.retry

    def test_a_write_without_answer_is_told_after_its_lease(self, outside: Outside) -> None:
        outside.steps.after("write", unreachable("the ledger"))
        tell(outside, KEYLESS)
        assert not outside.outlets.records
        outside.time.advance(LEASE)
        tell(outside)
        assert len(outside.outlets.records) == len(outside.outlets.alerts) == 1


class TestWhatIsKept:
    def test_a_record_holds_no_character_that_sqs_refuses(self, outside: Outside) -> None:
        bad = "3526\uffff\ufffe\x00\x0b"
        check(outside, cnova_order(sale(key=bad)))
        sent = report(outside).record
        assert json.loads(sent)["data"]["problems"][0]["invoice_key"] == bad
        assert not set(sent) & {"\uffff", "\ufffe", "\x00", "\x0b"}

    def test_an_entry_that_was_never_heard_of_or_checked_is_a_bug(self, outside: Outside) -> None:
        order_check = OrderCheck(outside.vtex, outside.ledger, Rules(outside.policy, Style(), LEASE))
        with pytest.raises(ValueError, match="only after it was heard of"):
            order_check._not_found(Entry(REF), Entry(REF))
        with pytest.raises(ValueError, match="only after a check"):
            order_check._not_found(Entry(REF), Entry(REF, first_heard_at=NOON))
