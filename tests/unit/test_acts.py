"""Acts: the machines are told, people are left alone, and a change of the errors brings the order back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from invoicekey.ledger.entries import DISMISSED, EXPIRED, Deferral, Entry, Report, checked_list
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.schedule import FOLLOWED_FOR
from invoicekey.messages.record import ResolvedRecord
from invoicekey.runtime.errors import Conflict, CredentialsRefused, RetryLater
from invoicekey.work.acts import ActResult, Acts
from invoicekey.work.check import UNREAD_FOR
from tests.fakes_outside import ACCOUNT, LEASE, NOON, REF, Crash, Outside, unreachable
from tests.keys import make_key
from tests.orders import KEY, cnova_order, sale

DAY = timedelta(days=1)
KEYLESS = cnova_order(sale(key=None))
OTHER_KEY = make_key(tax_id="11222333000181", month=3, number=643798)
HALF_GOOD = cnova_order(sale(key=None), sale("643798", OTHER_KEY))
GOOD = cnova_order(sale())
WHY = "mended in the back office"


@pytest.fixture
def outside() -> Outside:
    return Outside()


def dismissals(outside: Outside) -> Acts:
    return Acts(outside.ledger, outside.outlets, LEASE, "pt-BR")


def dismiss(outside: Outside) -> ActResult:
    return dismissals(outside).dismiss(REF, WHY, outside.time.now)


def undismiss(outside: Outside) -> ActResult:
    return dismissals(outside).undismiss(REF, outside.time.now)


def check(outside: Outside, document: dict[str, Any] | None = None) -> None:
    if document is not None:
        outside.vtex.put(document)
    assert outside.check(outside.message()) == set()


def held(outside: Outside) -> Entry:
    return outside.ledger.entries[REF]


def report(outside: Outside) -> Report:
    found = held(outside).report
    assert found
    return found


def dismissed(outside: Outside, document: dict[str, Any] = KEYLESS) -> None:
    """Let the failure of an order be dismissed."""
    check(outside, document)
    assert dismiss(outside) is ActResult.DONE


def hold_back(outside: Outside) -> None:
    """Let the alert of its failure wait for a digest."""
    outside.ledger.note_deferred(held(outside), Deferral("failing", NOON, ("missing",)))


def records(outside: Outside) -> list[tuple[str, int]]:
    return [(record.type, record.number) for record in outside.outlets.records]


def due(outside: Outside) -> list[str]:
    backlog = Backlog(outside.ledger.dynamodb.table)
    return [order.ref.order_id for order in backlog.followed(outside.time.now)]


class TestDismissing:
    def test_the_machines_are_told_and_people_are_not_and_vtex_is_not_asked(self, outside: Outside) -> None:
        dismissed(outside)
        assert outside.vtex.reads[REF] == 1
        assert records(outside) == [("failing", 1), ("resolved", 2)]
        assert outside.outlets.records[-1].data["reason"] == "dismissed"
        assert len(outside.outlets.alerts) == 1
        assert report(outside).is_delivered

    def test_the_record_says_of_the_order_what_the_last_one_said(self, outside: Outside) -> None:
        check(outside, cnova_order(sale(key=None), marketplaceOrderId="9" * 80))
        outside.time.advance(DAY)
        dismiss(outside)
        failing, resolved = outside.outlets.records
        assert resolved.data == failing.data | {
            "report": 2, "problems": [], "problems_found": 0, "reason": "dismissed",
        }  # fmt: skip
        assert resolved.document["source"] == failing.document["source"]
        ResolvedRecord.model_validate_json(resolved.text)

    def test_who_dismissed_it_why_and_when_is_kept(self, outside: Outside) -> None:
        dismissed(outside)
        assert (held(outside).archived, held(outside).archived_why) == (DISMISSED, f"{NOON.isoformat()} {WHY}")

    def test_what_sqs_would_refuse_is_written_so_that_it_takes_it(self, outside: Outside) -> None:
        dismissed(outside, cnova_order(sale(key=None), marketplaceOrderId="a\ufffe\uffff"))
        record = outside.outlets.records[-1]
        assert record.text.isascii()
        assert record.data["marketplace_order_id"] == "a\ufffe\uffff"

    def test_its_keys_are_free_until_its_errors_change(self, outside: Outside) -> None:
        check(outside, HALF_GOOD)
        assert outside.ledger.owners == {OTHER_KEY: REF.order_id}
        dismiss(outside)
        assert outside.ledger.owners == {}
        check(outside)
        assert outside.ledger.owners == {}
        check(outside, cnova_order(sale(key=KEY[:-1]), sale("643798", OTHER_KEY)))
        assert outside.ledger.owners == {OTHER_KEY: REF.order_id}

    def test_an_alert_that_waits_for_a_digest_is_forgotten(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        hold_back(outside)
        assert dismiss(outside) is ActResult.DONE
        assert outside.ledger.deferred == {}
        assert not held(outside).is_in_digests

    def test_it_needs_no_reading_any_more_and_is_kept_no_longer_than_others(self, outside: Outside) -> None:
        dismissed(outside)
        assert held(outside).recheck_at is None
        (item,) = outside.ledger.dynamodb.items("order#")
        assert item["list"] == checked_list(ACCOUNT)
        assert "expires_at" in item

    def test_a_failure_of_which_no_report_was_kept_can_be_dismissed(self, outside: Outside) -> None:
        outside.ledger.write(Entry(REF, outcome="failing", errors_reported="f" * 64))
        assert dismiss(outside) is ActResult.DONE
        assert outside.outlets.records[-1].data["marketplace_order_id"] is None

    def test_where_the_ledger_gives_no_answer_nothing_is_done(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        outside.steps.before("write", unreachable())
        with pytest.raises(RetryLater):
            dismiss(outside)
        assert held(outside).has_open_failure
        assert len(outside.outlets.records) == 1


def expired(outside: Outside) -> None:
    """Let the failure of an order expire."""
    check(outside, KEYLESS)
    outside.time.advance(FOLLOWED_FOR)
    check(outside)
    assert held(outside).archived == EXPIRED


@pytest.mark.parametrize(
    "become",
    [lambda _: None, lambda outside: check(outside, GOOD), dismissed, expired],
    ids=["nobody heard of it", "it is good", "it is dismissed already", "it expired: no list and no reminder holds it"],
)
def test_what_is_not_open_cannot_be_dismissed(outside: Outside, become: Callable[[Outside], None]) -> None:
    become(outside)
    before = outside.ledger.entries
    assert dismiss(outside) is ActResult.NOT_OPEN
    assert outside.ledger.entries == before


class TestOthersAtWork:
    def test_while_its_last_report_is_being_told_nothing_is_done(self, outside: Outside) -> None:
        outside.vtex.put(KEYLESS)
        outside.steps.before("send_records", lambda: outcomes.append(dismiss(outside)))
        outcomes: list[ActResult] = []
        check(outside)
        assert outcomes == [ActResult.BUSY]
        assert records(outside) == [("failing", 1)]
        assert dismiss(outside) is ActResult.DONE

    def test_an_order_that_is_read_meanwhile_is_dismissed_all_the_same(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        outside.steps.before("write", lambda: check(outside))
        assert dismiss(outside) is ActResult.DONE
        assert held(outside).archived == DISMISSED

    def test_an_order_that_is_mended_meanwhile_is_not(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        outside.steps.before("write", lambda: check(outside, GOOD))
        assert dismiss(outside) is ActResult.NOT_OPEN
        assert held(outside).archived is None
        assert records(outside) == [("failing", 1), ("resolved", 2)]

    def test_an_order_that_others_write_again_and_again_is_for_later(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        outside.steps.before("write", Conflict(), times=None)
        assert dismiss(outside) is ActResult.BUSY
        assert undismiss(outside) is ActResult.NOT_OPEN

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("trouble", [unreachable(), Conflict()])
    def test_a_record_that_could_not_be_noted_is_sent_once_more_at_the_most(
        self, outside: Outside, when: str, trouble: Exception
    ) -> None:
        check(outside, KEYLESS)
        hold_back(outside)
        plan: Callable[..., None] = getattr(outside.steps, when)
        plan("note_dismissed", trouble, times=None)
        assert dismiss(outside) is ActResult.DONE
        outside.steps.forget_plans()
        outside.time.advance(LEASE)
        check(outside)
        dismissed, *again = outside.outlets.records[1:]
        assert again == ([dismissed] if when == "before" else [])
        assert report(outside).is_delivered
        assert outside.ledger.deferred == {}

    def test_a_record_is_noted_though_another_order_takes_a_key_away_meanwhile(self, outside: Outside) -> None:
        key = f"order#{ACCOUNT}#{REF.order_id}"
        taken = partial(outside.ledger.dynamodb.table.update, key, "ADD version :one", "attribute_exists(pk)", one=1)
        check(outside, KEYLESS)
        hold_back(outside)
        outside.steps.before("note_dismissed", taken)
        assert dismiss(outside) is ActResult.DONE
        assert report(outside).is_delivered
        assert due(outside) == []
        assert outside.ledger.deferred == {}

    def test_a_record_is_noted_though_the_dismissal_is_taken_back_meanwhile(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        outside.steps.before("note_dismissed", lambda: undismiss(outside))
        assert dismiss(outside) is ActResult.DONE
        assert report(outside).is_delivered
        assert due(outside) == [REF.order_id]
        check(outside)
        assert records(outside) == [("failing", 1), ("resolved", 2), ("failing", 3)]

    def test_who_notes_it_after_the_order_was_told_otherwise_changes_nothing(self, outside: Outside) -> None:
        def others_go_on() -> None:
            outside.time.advance(LEASE)
            check(outside, cnova_order(sale(key=KEY[:-1])))
            hold_back(outside)

        check(outside, KEYLESS)
        outside.steps.before("note_dismissed", others_go_on)
        assert dismiss(outside) is ActResult.DONE
        assert held(outside).has_open_failure
        assert held(outside).recheck_at
        assert outside.ledger.deferred == {REF.order_id: "failing"}

    def test_an_item_that_is_spoilt_is_for_later(self, outside: Outside) -> None:
        outside.ledger.dynamodb.table.put({"pk": f"order#{ACCOUNT}#{REF.order_id}", "version": "one"})
        with pytest.raises(RetryLater, match="corrupt"):
            dismiss(outside)


def die_dismissing(outside: Outside, when: str) -> None:
    """Let the command die before or after it has sent the record."""
    check(outside, KEYLESS)
    plan: Callable[..., None] = getattr(outside.steps, when)
    plan("send_records", Crash())
    with pytest.raises(Crash):
        dismiss(outside)


class TestDying:
    @pytest.mark.parametrize("dies", ["before", "after"])
    def test_who_dies_as_the_record_is_sent_leaves_it_to_the_next_check(self, outside: Outside, dies: str) -> None:
        die_dismissing(outside, dies)
        assert due(outside) == []

        outside.time.advance(LEASE)
        assert due(outside) == [REF.order_id]
        check(outside)
        first, *again = outside.outlets.records[1:]
        assert (first.type, first.data["reason"]) == ("resolved", "dismissed")
        assert again == ([first] if dies == "after" else [])
        assert len(outside.outlets.alerts) == 1

    @pytest.mark.parametrize("then", [[], [("failing", 3)]], ids=["it stays so", "it is taken back meanwhile"])
    def test_a_record_that_sqs_refuses_is_sent_by_the_next_check(
        self, outside: Outside, then: list[tuple[str, int]]
    ) -> None:
        check(outside, KEYLESS)
        outside.outlets.refuse("send_records")
        assert dismiss(outside) is ActResult.UNSENT
        if then:
            undismiss(outside)
        outside.time.advance(LEASE)
        check(outside)
        assert records(outside) == [("failing", 1), ("resolved", 2), *then]

    def test_one_that_cannot_be_read_is_told_by_the_next_check_all_the_same_and_then_let_go(
        self, outside: Outside
    ) -> None:
        die_dismissing(outside, "before")
        outside.vtex.fail(CredentialsRefused("VTEX answered 403"), times=None)
        outside.time.advance(LEASE)
        assert outside.check(outside.message())
        assert records(outside) == [("failing", 1), ("resolved", 2)]

        outside.time.advance(FOLLOWED_FOR)
        assert due(outside) == [REF.order_id]
        assert outside.check(outside.message(sent_at=(outside.time.now - UNREAD_FOR).timestamp()))
        assert due(outside) == []
        assert held(outside).archived == DISMISSED
        assert len(outside.outlets.records) == 2


class TestSnoozing:
    def test_a_failure_that_a_former_version_opened_is_put_off_too(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        outside.ledger.write(replace(held(outside), episodes=()))
        until = outside.time.now + 3 * DAY

        assert dismissals(outside).snooze(REF, until, outside.time.now) is ActResult.DONE
        assert held(outside).snoozed_until == until
        assert held(outside).episodes[-1].opened_at == held(outside).opened_at


class TestTakingBack:
    def test_it_is_tried_for_as_long_as_any_other_though_it_cannot_be_read(self, outside: Outside) -> None:
        dismissed(outside)
        outside.time.advance(FOLLOWED_FOR)
        undismiss(outside)
        outside.vtex.fail(CredentialsRefused("VTEX answered 403"), times=None)
        for after, still_due in ((UNREAD_FOR, [REF.order_id]), (FOLLOWED_FOR, [])):
            outside.time.advance(after)
            assert outside.check(outside.message(sent_at=(outside.time.now - UNREAD_FOR).timestamp()))
            assert due(outside) == still_due

    def test_it_is_due_at_once_and_told_anew_with_a_higher_number(self, outside: Outside) -> None:
        dismissed(outside)
        outside.time.advance(DAY)
        assert undismiss(outside) is ActResult.DONE
        assert due(outside) == [REF.order_id]

        check(outside)
        assert records(outside) == [("failing", 1), ("resolved", 2), ("failing", 3)]
        assert len({record.document["id"] for record in outside.outlets.records}) == 3
        assert len(outside.outlets.alerts) == 2
        assert held(outside).opened_at == outside.time.now - DAY

    def test_until_then_no_list_shows_it_as_open(self, outside: Outside) -> None:
        dismissed(outside)
        undismiss(outside)
        (order,) = Backlog(outside.ledger.dynamodb.table).followed()
        assert (order.is_open, order.is_good) == (False, False)

    def test_it_owns_its_keys_again(self, outside: Outside) -> None:
        dismissed(outside, HALF_GOOD)
        undismiss(outside)
        check(outside)
        assert outside.ledger.owners == {OTHER_KEY: REF.order_id}

    def test_an_order_that_is_good_by_then_is_told_to_nobody(self, outside: Outside) -> None:
        dismissed(outside)
        undismiss(outside)
        check(outside, GOOD)
        assert len(outside.outlets.records) == 2

    @pytest.mark.parametrize(
        "become",
        [lambda outside: check(outside, KEYLESS), lambda outside: check(outside, GOOD), expired],
        ids=["open", "good", "expired"],
    )
    def test_what_is_not_dismissed_is_not_taken_back(self, outside: Outside, become: Callable[[Outside], None]) -> None:
        become(outside)
        before = held(outside)
        assert undismiss(outside) is ActResult.NOT_OPEN
        assert held(outside) == before
