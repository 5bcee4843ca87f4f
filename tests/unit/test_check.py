import json
import time
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from invoicekey.delivery.queues import RECHECK
from invoicekey.ledger.entries import (
    DISMISSED,
    EXPIRED,
    FOLLOWED,
    KEEP_CLAIMS_DAYS,
    KEEP_NOTES_DAYS,
    MOST_CLAIMS,
    MOST_EVENTS,
    Claim,
    Entry,
    KeyTaken,
    Report,
)
from invoicekey.ledger.failures import Shown
from invoicekey.ledger.schedule import FOLLOWED_FOR
from invoicekey.messages.alert import Style
from invoicekey.rules.notification import OrderRef, own_event
from invoicekey.rules.policy import Policy
from invoicekey.runtime.errors import Conflict, CredentialsRefused, OutOfTime, RateLimited, RetryLater
from invoicekey.work.batch import GIVE_UP_AFTER
from invoicekey.work.check import (
    REPORTING_SECONDS,
    UNREAD_FOR,
    CheckResult,
    Clock,
    DeadLetterReason,
    DeskLink,
    OrderCheck,
    Rules,
    Trigger,
    no_link,
)
from tests.fakes_outside import ACCOUNT, GRACE, LEASE, NOON, ORDER_ID, REF, Outside, message, unreachable
from tests.keys import make_key
from tests.orders import KEY, cnova_order, own_order, returned, sale

SHORT_KEY = KEY[:-1]
SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
NONE = timedelta(0)
TOO_LITTLE = REPORTING_SECONDS / 2 - 0.1

GOOD = cnova_order(sale())
KEYLESS = cnova_order(sale(key=None))
CANCELED = cnova_order(sale(key=None), status="canceled")
RETURNED = cnova_order(sale(key=None), returned())
NOT_INVOICED = cnova_order(status="handling")
NO_INVOICE = cnova_order()
REFUSED = CredentialsRefused("VTEX answered 403")
NEEDS_NO_KEY = [(CANCELED, "canceled"), (RETURNED, "returned"), (NOT_INVOICED, "not_invoiced")]
CLOSES = [(GOOD, "ok"), *NEEDS_NO_KEY, (None, "not_found")]


@pytest.fixture
def outside() -> Outside:
    return Outside()


def check(
    outside: Outside,
    document: dict[str, Any] | None = None,
    heard: timedelta = NONE,
    *,
    events: tuple[str, ...] = (),
    of_hook: tuple[str, ...] = (),
) -> CheckResult:
    """Check the order alone, as far as the ledger; `heard` is how long ago its event was queued."""
    ref = outside.vtex.put(document) if document else REF
    return check_of(outside, ref, Trigger(outside.time.now - heard, events, of_hook, says_invoiced=False))


def check_of(outside: Outside, ref: OrderRef, trigger: Trigger, desk_link: DeskLink = no_link) -> CheckResult:
    order_check = OrderCheck(outside.vtex, outside.ledger, Rules(outside.policy, Style(), LEASE, desk_link))
    return order_check.check(outside.ledger.read_one(ref), trigger, outside.time.clock())


def tell(outside: Outside, *documents: dict[str, Any]) -> None:
    """Check the order as it is at VTEX, or as each document has it, by batches of its own: reports are sent."""
    for document in documents or [None]:
        ref = outside.vtex.put(document) if document else REF
        assert outside.check(outside.message(ref.order_id, account=ref.account)) == set()


def becomes(outside: Outside, document: dict[str, Any] | None) -> None:
    """Check the order as it is by now; None where VTEX does not know it."""
    if document is None:
        outside.vtex.documents.clear()
        tell(outside)
    else:
        tell(outside, document)


def told(outside: Outside) -> list[str]:
    """List the kinds of the records that were sent."""
    return [record.type for record in outside.outlets.records]


def alerted(outside: Outside) -> list[str]:
    """List the kinds of the alerts that were sent."""
    return [alert.type for alert in outside.outlets.alerts]


def held(outside: Outside, ref: OrderRef = REF) -> Entry:
    return outside.ledger.entries[ref]


def report(outside: Outside) -> Report:
    found = held(outside).report
    assert found is not None
    return found


def followed(outside: Outside) -> list[str]:
    """List the orders that are to be read again."""
    return [item["pk"].rpartition("#")[2] for item in outside.ledger.dynamodb.table.listed(FOLLOWED)]


def overdue(outside: Outside, *documents: dict[str, Any]) -> None:
    """Let a failure be open for as long as it is followed, but for its last reading."""
    tell(outside, *(documents or (KEYLESS,)))
    outside.time.advance(FOLLOWED_FOR)


def expire(outside: Outside) -> None:
    """Let a failure be open for as long as it is followed."""
    overdue(outside)
    tell(outside)


def try_in_vain(
    outside: Outside,
    trouble: RetryLater | None = None,
    *,
    tried_for: timedelta = UNREAD_FOR,
    order_id: str = ORDER_ID,
) -> CheckResult:
    """Check an order that can't be read, for a message that was tried for so long; then VTEX is well again."""
    outside.vtex.fail(trouble or REFUSED, times=None)
    finding = check_of(
        outside, OrderRef(ACCOUNT, order_id), Trigger(outside.time.now - tried_for, (), (), says_invoiced=False)
    )
    outside.steps.forget_plans()
    return finding


def too_late(outside: Outside, trouble: RetryLater | None = None) -> None:
    """Let VTEX's answer come so late that nothing can be reported any more."""
    outside.time.left = TOO_LITTLE
    if trouble:
        raise trouble


def archived(outside: Outside, why: str) -> None:
    """Let a failure be archived."""
    tell(outside, KEYLESS)
    outside.ledger.write(replace(held(outside), archived=why, archived_why="told so", recheck_at=None))


class TestOutcomes:
    def test_an_order_with_a_good_key_is_written_down_and_nobody_is_told(self, outside: Outside) -> None:
        tell(outside, GOOD)
        assert (held(outside).outcome, held(outside).first_seen_at) == ("ok", NOON)
        assert held(outside).report is None
        assert told(outside) == alerted(outside) == []

    def test_a_failing_order_is_recorded_and_alerted(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        (record,), (alert,) = outside.outlets.records, outside.outlets.alerts
        assert (record.type, record.number, record.codes) == ("failing", 1, ["missing"])
        assert alert.document["MessageAttributes"]["type"]["StringValue"] == "failing"
        assert held(outside).has_open_failure
        assert report(outside).is_delivered

    def test_an_order_of_another_marketplace_leaves_no_more_than_its_events_for_a_while(self, outside: Outside) -> None:
        finding = check(outside, own_order(sale(key=None), orderId=ORDER_ID), events=("event",))
        assert finding.verdict
        assert finding.verdict.outcome == "other_marketplace"
        (item,) = outside.ledger.dynamodb.items("order#")
        assert item.keys() == {"pk", "version", "written_by", "checked_at", "outcome", "events", "expires_at"}
        assert float(item["expires_at"]) - time.time() == pytest.approx(KEEP_NOTES_DAYS * 86_400, abs=60)

    def test_but_one_that_was_once_reported_is_kept_so_that_its_numbers_do_not_begin_anew(
        self, outside: Outside
    ) -> None:
        tell(outside, KEYLESS, GOOD, own_order(orderId=ORDER_ID))
        outside.ledger.dynamodb.forget_expired(time.time() + (KEEP_NOTES_DAYS + 1) * 86_400)
        tell(outside, KEYLESS)
        assert outside.outlets.records[-1].number == 3

    @pytest.mark.parametrize(("document", "outcome"), NEEDS_NO_KEY)
    def test_one_that_needs_no_key_is_written_all_the_same_so_that_a_slower_check_meets_a_conflict(
        self, outside: Outside, document: dict[str, Any], outcome: str
    ) -> None:
        # The first check has read the order and not yet written when a second one finds it in another state.
        outside.steps.before("write", lambda: tell(outside, document))
        tell(outside, KEYLESS)
        assert told(outside) == alerted(outside) == []

    @pytest.mark.parametrize(("document", "outcome"), NEEDS_NO_KEY)
    def test_no_grace_begins_with_it(self, outside: Outside, document: dict[str, Any], outcome: str) -> None:
        tell(outside, document)
        outside.time.advance(GRACE * 2)
        assert check(outside, NO_INVOICE).wait_until == outside.time.now + GRACE

    def test_an_order_without_invoice_waits_for_the_end_of_its_grace_and_nothing_is_written(
        self, outside: Outside
    ) -> None:
        assert check(outside, NO_INVOICE, heard=SECOND).wait_until == NOON - SECOND + GRACE
        assert not outside.ledger.entries

    @pytest.mark.parametrize(
        ("before", "passed", "heard"),
        [([], NONE, GRACE), ([GOOD], GRACE, NONE), ([KEYLESS], NONE, NONE)],
        ids=["it is over", "it ran from when the ledger first heard of the order", "a failure is open"],
    )
    def test_it_fails_where_no_grace_is_left(
        self, outside: Outside, before: list[dict[str, Any]], passed: timedelta, heard: timedelta
    ) -> None:
        for document in before:
            tell(outside, document)
        outside.time.advance(passed)
        assert check(outside, NO_INVOICE, heard=heard).report is not None
        assert json.loads(report(outside).record)["data"]["problems"][0]["code"] == "no_invoice"

    def test_an_event_older_than_the_ledger_moves_that_back(self, outside: Outside) -> None:
        tell(outside, GOOD)
        check(outside, heard=GRACE)
        assert held(outside).first_seen_at == NOON - GRACE


class TestReportsAgain:
    @pytest.mark.parametrize(
        "changed",
        [
            KEYLESS,
            cnova_order(sale(key=None, courier=None, trackingNumber=None)),
            cnova_order(sale(key=None, invoiceUrl=f"https://nfe.example/{KEY}")),
            cnova_order(sale(key=None), status="shipped"),
            cnova_order(sale(key=None), sale(key=None)),
        ],
        ids=["nothing", "warnings", "a suggestion", "the order's status", "the same error twice"],
    )
    def test_what_is_no_news_is_not_told(self, outside: Outside, changed: dict[str, Any]) -> None:
        tell(outside, KEYLESS, changed)
        assert told(outside) == alerted(outside) == ["failing"]

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
        tell(outside, KEYLESS, changed)
        assert [record.number for record in outside.outlets.records] == [1, 2]
        assert told(outside) == alerted(outside) == ["failing", "failing"]
        assert len({record.document["id"] for record in outside.outlets.records}) == 2

    def test_what_a_former_version_reported_is_no_news(self, outside: Outside) -> None:
        # As every version has written these two errors down: another form of it would tell each open failure anew.
        kept = "2dd22c03516934b79dfc2b79593638ed63b3ae4eab65b23d84abb2766d141c74"
        outside.ledger.write(Entry(REF, errors_reported=kept))
        tell(outside, cnova_order(sale(key=None), sale("643798", SHORT_KEY)))
        assert not outside.outlets.records


class TestClosing:
    def test_a_failure_that_is_mended_is_recorded_and_alerted_as_resolved(self, outside: Outside) -> None:
        tell(outside, KEYLESS, cnova_order(sale(courier=None)))
        record, alert = outside.outlets.records[-1], outside.outlets.alerts[-1]
        assert (record.type, record.number, record.data["reason"]) == ("resolved", 2, "ok")
        assert record.codes == ["courier_missing"]
        assert alert.document["MessageAttributes"]["type"]["StringValue"] == "resolved"
        assert not held(outside).has_open_failure
        assert held(outside).opened_at is None

    @pytest.mark.parametrize(("document", "reason"), CLOSES[1:])
    def test_any_other_close_sends_its_record_and_no_alert(
        self, outside: Outside, document: dict[str, Any] | None, reason: str
    ) -> None:
        tell(outside, KEYLESS)
        becomes(outside, document)
        record = outside.outlets.records[-1]
        assert (record.type, record.data["reason"]) == ("resolved", reason)
        assert (held(outside).mended_at, report(outside).alert) == (None, None)
        assert alerted(outside) == ["failing"]
        assert report(outside).is_delivered

    @pytest.mark.parametrize(("document", "reason"), CLOSES)
    def test_what_is_handed_on_to_be_sent_is_what_the_ledger_holds(
        self, outside: Outside, document: dict[str, Any] | None, reason: str
    ) -> None:
        tell(outside, KEYLESS)
        outside.vtex.documents.clear()
        assert check(outside, document).report == held(outside)

    def test_a_failure_that_comes_back_is_a_new_report(self, outside: Outside) -> None:
        tell(outside, KEYLESS, GOOD, KEYLESS)
        reports = [(record.type, record.number) for record in outside.outlets.records]
        assert reports == [("failing", 1), ("resolved", 2), ("failing", 3)]
        assert len({record.document["id"] for record in outside.outlets.records}) == 3

    def test_a_failure_that_comes_back_is_alerted_as_one(self, outside: Outside) -> None:
        tell(outside, KEYLESS, GOOD, KEYLESS)
        first, _, again = (str(alert.document["Message"]) for alert in outside.outlets.alerts)
        assert "De novo: este pedido" not in first
        assert "De novo: este pedido" in again

    def test_a_failure_that_changes_before_it_is_closed_comes_back_but_once(self, outside: Outside) -> None:
        tell(outside, KEYLESS, GOOD, KEYLESS, cnova_order(sale(key=SHORT_KEY)))
        assert "De novo: este pedido" not in str(outside.outlets.alerts[-1].document["Message"])

    def test_a_failure_that_is_closed_is_not_closed_again(self, outside: Outside) -> None:
        tell(outside, KEYLESS, CANCELED, CANCELED, GOOD)
        assert told(outside) == ["failing", "resolved"]


class TestTheDeskLink:
    """Alerts about an order hold the link to its page on the desk, where the stack has one."""

    @pytest.mark.parametrize(
        ("before", "later", "document"),
        [([], NONE, KEYLESS), ([KEYLESS], NONE, GOOD), ([KEYLESS], FOLLOWED_FOR, KEYLESS)],
        ids=["failing", "resolved", "expired"],
    )
    def test_stands_in_each_of_them(
        self, outside: Outside, before: list[dict[str, Any]], later: timedelta, document: dict[str, Any]
    ) -> None:
        for earlier in before:
            tell(outside, earlier)
        outside.time.advance(later)
        ref = outside.vtex.put(document)
        trigger = Trigger(outside.time.now, (), (), says_invoiced=False)
        check_of(outside, ref, trigger, lambda account, order_id: f"https://desk.example/{account}/{order_id}")
        assert f"https://desk.example/{ACCOUNT}/{ORDER_ID}" in str(report(outside).alert)


class TestNotFound:
    def test_an_order_that_vtex_does_not_know_yet_is_checked_again(self, outside: Outside) -> None:
        finding = check(outside, heard=SECOND)
        assert finding == CheckResult(wait_until=NOON - SECOND + GRACE)

    def test_past_the_grace_it_is_dead_and_written_down_so_that_a_slower_check_meets_a_conflict(
        self, outside: Outside
    ) -> None:
        assert check(outside, heard=GRACE, events=("event",)) == CheckResult(dead=DeadLetterReason.NOT_FOUND)
        assert (held(outside).version, held(outside).first_seen_at, held(outside).events) == (1, None, ("event",))

    @pytest.mark.parametrize("has_failed", [False, True])
    def test_its_message_is_a_dead_letter_then_and_where_a_failure_is_open_at_once(
        self, outside: Outside, *, has_failed: bool
    ) -> None:
        if has_failed:
            tell(outside, KEYLESS)
        else:
            outside.time.advance(GRACE)
        outside.vtex.documents.clear()
        assert outside.check(message()) == set()
        assert [reason for _, reason in outside.outlets.dead_letters] == ["not_found"]


class TestEvents:
    def test_are_remembered_when_the_check_has_ended(self, outside: Outside) -> None:
        check(outside, GOOD, events=("one",))
        check(outside, events=("two", "one"))
        assert held(outside).events == ("one", "two")

    def test_are_remembered_up_to_a_number_the_newest_last(self, outside: Outside) -> None:
        numbers = tuple(map(str, range(MOST_EVENTS + 1)))
        check(outside, GOOD, events=numbers)
        assert held(outside).events == numbers[1:]

    def test_are_not_where_the_check_did_not_end(self, outside: Outside) -> None:
        outside.vtex.fail(unreachable())
        check(outside, GOOD, events=("one",))
        assert not outside.ledger.entries

    @pytest.mark.parametrize("document", [NO_INVOICE, None], ids=["no invoice", "not found"])
    def test_of_an_order_that_waits_are_those_that_the_hook_brought(
        self, outside: Outside, document: dict[str, Any] | None
    ) -> None:
        assert check(outside, document, events=("of the feed", "of both"), of_hook=("of both",)).wait_until
        assert held(outside).events == ("of both",)

    def test_begin_no_grace_and_are_written_once_however_often_the_order_waits(self, outside: Outside) -> None:
        for _ in range(2):
            check(outside, NO_INVOICE, events=("one",), of_hook=("one",))
        assert held(outside).version == 1
        outside.time.advance(GRACE)
        assert check(outside, heard=SECOND).wait_until == outside.time.now - SECOND + GRACE

    def test_of_an_order_that_waits_expire_with_it(self, outside: Outside) -> None:
        check(outside, NO_INVOICE, events=("one",), of_hook=("one",))
        outside.ledger.dynamodb.forget_expired(time.time() + (KEEP_NOTES_DAYS + 1) * 86_400)
        assert not outside.ledger.entries


class TestFollowing:
    """A failure is read again by schedule.py, for VTEX sends no event when a person adds the key."""

    def test_each_check_that_finds_it_as_it_was_puts_off_the_next(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        assert (held(outside).followed_from, held(outside).recheck_at) == (NOON, NOON + 15 * MINUTE)
        for later, next_one in ((15 * MINUTE, HOUR), (20 * MINUTE, HOUR), (HOUR, 5 * HOUR), (4 * DAY, 4 * DAY + HOUR)):
            outside.time.now = NOON + later
            tell(outside)
            assert held(outside).recheck_at == NOON + next_one
        assert held(outside).followed_from == NOON

    def test_a_failure_that_changes_is_followed_anew(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        outside.time.advance(DAY)
        tell(outside, cnova_order(sale(key=SHORT_KEY)))
        assert held(outside).followed_from == NOON + DAY
        assert held(outside).recheck_at == NOON + DAY + 15 * MINUTE
        assert held(outside).opened_at == NOON

    @pytest.mark.parametrize("document", [GOOD, CANCELED, RETURNED, None])
    def test_one_that_is_closed_is_followed_no_longer(self, outside: Outside, document: dict[str, Any] | None) -> None:
        tell(outside, KEYLESS)
        becomes(outside, document)
        assert (held(outside).recheck_at, held(outside).followed_from) == (None, None)
        assert followed(outside) == []

    def test_the_list_shows_what_is_wrong_with_it(self, outside: Outside) -> None:
        tell(outside, cnova_order(sale(key=None, invoiceUrl=KEY), sale("x" * 65, "junk")))
        assert held(outside).errors == (
            Shown("missing", "643797", has_suggestion=True, suggested_key=KEY),
            Shown("malformed", "x" * 63 + "…", has_suggestion=False),
        )

    def test_one_of_the_first_version_is_followed_from_its_next_check_on(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        outside.ledger.write(replace(held(outside), followed_from=None, recheck_at=None))
        outside.time.advance(DAY)
        tell(outside)
        assert (held(outside).followed_from, held(outside).recheck_at) == (NOON + DAY, NOON + DAY + 15 * MINUTE)

    def test_one_of_a_version_that_did_not_keep_the_marketplace_s_number_has_it_from_its_next_check_on(
        self, outside: Outside
    ) -> None:
        tell(outside, KEYLESS)
        outside.ledger.write(replace(held(outside), marketplace_order_id=None))
        tell(outside)
        assert held(outside).marketplace_order_id == "975102-01"


class TestGivingUp:
    """What has not closed after thirty days ends as expired, with one last alert."""

    def test_until_then_it_is_only_read(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        outside.time.advance(FOLLOWED_FOR - SECOND)
        tell(outside)
        assert held(outside).recheck_at == NOON + FOLLOWED_FOR
        assert len(outside.outlets.records) == 1

    def test_then_a_record_and_an_alert_say_so_once(self, outside: Outside) -> None:
        expire(outside)
        assert (held(outside).archived, held(outside).recheck_at, followed(outside)) == (EXPIRED, None, [])
        outside.time.advance(FOLLOWED_FOR)
        tell(outside)
        assert told(outside) == alerted(outside) == ["failing", "expired"]
        record, alert = outside.outlets.records[-1], outside.outlets.alerts[-1]
        assert (record.number, record.codes) == (2, ["missing"])
        assert alert.document["MessageAttributes"]["type"]["StringValue"] == "expired"
        assert report(outside).is_delivered

    def test_what_the_settings_say_is_not_the_shop_s_is_given_up_without_an_alert(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        outside.time.advance(FOLLOWED_FOR - SECOND)
        tell(outside, own_order(sale(key=None), orderId=ORDER_ID))
        assert held(outside).recheck_at == NOON + FOLLOWED_FOR
        outside.time.advance(SECOND)
        tell(outside)
        assert (told(outside), alerted(outside)) == (["failing", "expired"], ["failing"])
        assert held(outside).archived == EXPIRED


@pytest.mark.parametrize("why", [EXPIRED, DISMISSED])
class TestAFailureThatIsSetAside:
    def test_is_not_told_again_as_long_as_its_errors_are_the_same(self, outside: Outside, why: str) -> None:
        archived(outside, why)
        tell(outside, KEYLESS, cnova_order(sale(key=None, courier=None)))
        assert told(outside) == ["failing"]
        assert (held(outside).archived, held(outside).archived_why) == (why, "told so")

    def test_is_open_again_when_its_errors_change(self, outside: Outside, why: str) -> None:
        archived(outside, why)
        outside.time.advance(DAY)
        tell(outside, cnova_order(sale(key=SHORT_KEY)))
        assert [record.number for record in outside.outlets.records] == [1, 2]
        assert held(outside).has_open_failure
        assert (held(outside).archived, held(outside).archived_why) == (None, None)
        assert held(outside).opened_at == held(outside).followed_from == NOON + DAY
        assert followed(outside) == [ORDER_ID]

    def test_is_settled_and_people_hear_nothing_when_it_is_mended(self, outside: Outside, why: str) -> None:
        archived(outside, why)
        tell(outside, GOOD)
        assert alerted(outside) == ["failing"]
        assert (held(outside).errors_reported, held(outside).archived, held(outside).archived_why) == (None, None, None)

    def test_is_told_when_it_fails_anew_after_it_was_mended(self, outside: Outside, why: str) -> None:
        archived(outside, why)
        tell(outside, GOOD, KEYLESS)
        assert told(outside)[-1] == "failing"
        assert alerted(outside) == ["failing", "failing"]

    def test_has_its_grace_again(self, outside: Outside, why: str) -> None:
        archived(outside, why)
        assert check(outside, NO_INVOICE).wait_until == NOON + GRACE


class TestADismissedFailure:
    """Machines were told resolved when it was dismissed."""

    @pytest.mark.parametrize(("document", "reason"), CLOSES)
    def test_ends_without_a_word(self, outside: Outside, document: dict[str, Any] | None, reason: str) -> None:
        archived(outside, DISMISSED)
        outside.time.advance(GRACE)
        becomes(outside, document)
        assert told(outside) == alerted(outside) == ["failing"]

    def test_stays_so_when_the_order_is_canceled_and_comes_back(self, outside: Outside) -> None:
        archived(outside, DISMISSED)
        tell(outside, CANCELED, KEYLESS)
        assert told(outside) == ["failing"]


class TestAnExpiredFailure:
    """Machines keep the highest report, so they have to hear how it ends; people had their last notice."""

    @pytest.mark.parametrize(("document", "reason"), CLOSES)
    def test_is_recorded_as_resolved_with_its_reason_and_alerts_nobody(
        self, outside: Outside, document: dict[str, Any] | None, reason: str
    ) -> None:
        expire(outside)
        becomes(outside, document)
        record = outside.outlets.records[-1]
        assert (record.type, record.number, record.data["reason"]) == ("resolved", 3, reason)
        assert alerted(outside) == ["failing", "expired"]
        assert report(outside).is_delivered
        assert (held(outside).errors_reported, held(outside).archived) == (None, None)

    def test_is_closed_once_and_told_anew_when_the_order_comes_back(self, outside: Outside) -> None:
        expire(outside)
        tell(outside, CANCELED, GOOD, GOOD, KEYLESS)
        assert told(outside) == ["failing", "expired", "resolved", "failing"]

    def test_stays_so_where_the_settings_say_that_it_is_not_the_shop_s(self, outside: Outside) -> None:
        expire(outside)
        tell(outside, own_order(orderId=ORDER_ID))
        assert held(outside).archived == EXPIRED
        assert told(outside) == ["failing", "expired"]


TROUBLES = [REFUSED, RetryLater("VTEX answered 500"), unreachable("VTEX")]


class TestAnOrderThatCannotBeRead:
    """Its failure would be open for ever, and its readings would never end: it expires, too."""

    @pytest.mark.parametrize("trouble", TROUBLES, ids=str)
    def test_is_given_up_when_its_time_is_over(self, outside: Outside, trouble: RetryLater) -> None:
        overdue(outside)
        assert try_in_vain(outside, trouble) == CheckResult(report=held(outside), retry=trouble, is_unread=True)
        assert (held(outside).checked_at, held(outside).events) == (NOON, ())
        assert (report(outside).number, report(outside).type) == (2, "invoicekey.order.expired.v1")
        assert (held(outside).archived, held(outside).has_open_failure) == (EXPIRED, False)
        assert followed(outside) == []

    def test_is_told_so_once_like_any_other(self, outside: Outside) -> None:
        overdue(outside)
        outside.vtex.fail(REFUSED, times=None)
        for _ in range(2):
            outside.check(outside.message(sent_at=(outside.time.now - UNREAD_FOR).timestamp()))
        assert told(outside) == alerted(outside) == ["failing", "expired"]
        assert report(outside).is_delivered

    @pytest.mark.parametrize(
        "document",
        [
            KEYLESS,
            NO_INVOICE,
            cnova_order(
                sale(key=None, invoiceUrl=f"https://nfe.example/{KEY}"), sale("643798", SHORT_KEY, courier=None)
            ),
            cnova_order(sale(key=f"NFe {KEY}"), sale("643798", "<chNFe>")),
            cnova_order(sale(key=[KEY]), sale("643798", {"key": KEY})),
            cnova_order(sale(key=make_key(model="65")), marketplaceOrderId=None),
        ],
        ids=["no key", "no invoice", "suggested", "mangled", "no text", "wrong model"],
    )
    def test_is_told_as_if_it_had_been_read(self, outside: Outside, document: dict[str, Any]) -> None:
        read, unread = Outside(), outside
        for one in (read, unread):
            one.vtex.put(document)
            one.check(one.message(sent_at=(NOON - GRACE).timestamp()))
            one.time.advance(FOLLOWED_FOR)
        assert check(read).report
        assert try_in_vain(unread).report
        assert report(unread).record == report(read).record
        assert report(unread).alert == report(read).alert

    def test_names_the_order_that_owns_its_key(self, outside: Outside) -> None:
        overdue(outside, GOOD, SAME_KEY)
        try_in_vain(outside, order_id=OTHER_ID)
        given_up = held(outside, OTHER).report
        assert given_up
        assert json.loads(given_up.record)["data"]["problems"] == outside.outlets.records[-1].data["problems"]
        assert ORDER_ID in str(given_up.alert)

    def test_that_has_one_key_twice_names_no_other_order(self, outside: Outside) -> None:
        overdue(outside, cnova_order(sale(), sale("643798")))
        try_in_vain(outside)
        problems = json.loads(report(outside).record)["data"]["problems"]
        assert {problem["reused_in"] for problem in problems if problem["code"] == "reused"} == {ORDER_ID}

    def test_whose_key_has_an_owner_that_cannot_be_read_is_given_up_too(self, outside: Outside) -> None:
        overdue(outside, GOOD, SAME_KEY)
        outside.vtex.fail(REFUSED, order_id=ORDER_ID)
        assert check(outside, SAME_KEY, heard=UNREAD_FOR).report
        assert held(outside, OTHER).archived == EXPIRED

    def test_of_a_record_of_the_first_version_is_told_too(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        sent = json.loads(report(outside).record)
        for problem in sent["data"]["problems"]:
            del problem["reused_in"]
        outside.ledger.write(replace(held(outside), report=replace(report(outside), record=json.dumps(sent))))
        outside.time.advance(FOLLOWED_FOR)
        assert try_in_vain(outside).report

    def test_of_which_no_record_was_kept_alerts_nobody(self, outside: Outside) -> None:
        overdue(outside)
        outside.ledger.write(replace(held(outside), report=None))
        try_in_vain(outside)
        assert json.loads(report(outside).record)["data"]["problems"] == []
        assert (report(outside).alert, report(outside).alerted) == (None, True)

    def test_that_was_not_the_shop_s_when_it_was_read_alerts_nobody(self, outside: Outside) -> None:
        overdue(outside, KEYLESS, own_order(sale(key=None), orderId=ORDER_ID))
        assert try_in_vain(outside).report
        assert report(outside).alert is None

    @pytest.mark.parametrize(
        ("after", "tried_for"),
        [(FOLLOWED_FOR - SECOND, UNREAD_FOR), (FOLLOWED_FOR, UNREAD_FOR - SECOND), (FOLLOWED_FOR + DAY, SECOND)],
        ids=["its time is not over", "a passing trouble", "a passing trouble when nobody had looked in time"],
    )
    def test_is_followed_until_then(self, outside: Outside, after: timedelta, tried_for: timedelta) -> None:
        tell(outside, KEYLESS)
        before = held(outside)
        outside.time.advance(after)
        assert try_in_vain(outside, tried_for=tried_for) == CheckResult(retry=REFUSED, is_unread=True)
        assert held(outside) == before

    @pytest.mark.parametrize("trouble", [RateLimited("VTEX answered 429", wait=9), OutOfTime("no turn")], ids=str)
    def test_is_followed_on_where_the_trouble_says_nothing_of_it(self, outside: Outside, trouble: RetryLater) -> None:
        overdue(outside)
        before = held(outside)
        assert try_in_vain(outside, trouble).retry == trouble
        assert held(outside) == before

    def test_that_another_check_has_read_meanwhile_is_not_given_up(self, outside: Outside) -> None:
        overdue(outside)
        outside.steps.before("write", lambda: tell(outside, GOOD))
        outside.vtex.fail(REFUSED)
        finding = check(outside, heard=UNREAD_FOR)
        assert finding.verdict
        assert (finding.verdict.outcome, finding.report) == ("ok", None)
        assert told(outside) == ["failing", "resolved"]

    def test_is_not_given_up_where_too_little_time_is_left_to_tell_it(self, outside: Outside) -> None:
        overdue(outside)
        outside.steps.before("read_order", partial(too_late, outside, REFUSED))
        assert isinstance(check(outside, heard=UNREAD_FOR).retry, OutOfTime)
        assert held(outside).has_open_failure

    def test_of_which_the_ledger_holds_nothing_is_tried_again(self, outside: Outside) -> None:
        assert try_in_vain(outside, tried_for=DAY) == CheckResult(retry=REFUSED, is_unread=True)
        assert not outside.ledger.entries

    def test_and_is_set_aside_needs_no_reading(self, outside: Outside) -> None:
        archived(outside, DISMISSED)
        outside.ledger.write(replace(held(outside), recheck_at=NOON))
        outside.time.advance(FOLLOWED_FOR)
        assert try_in_vain(outside) == CheckResult(retry=REFUSED, is_unread=True)
        assert (held(outside).archived, held(outside).recheck_at) == (DISMISSED, None)


class TestAnEventThatIsAheadOfTheOrder:
    """VTEX may show an order as it was before the event that it sent, and sends no other: it is read once more."""

    @pytest.mark.parametrize("before", [[], [KEYLESS]], ids=["a new order", "a failure that it closes"])
    def test_is_followed_by_a_second_look_that_finds_what_is_failing(
        self, outside: Outside, before: list[dict[str, Any]]
    ) -> None:
        tell(outside, *before, NOT_INVOICED)
        assert (held(outside).outcome, held(outside).recheck_at) == ("not_invoiced", NOON + 15 * MINUTE)
        assert followed(outside) == [ORDER_ID]
        outside.time.advance(15 * MINUTE)
        look_again(outside, KEYLESS)
        assert told(outside) == ["failing", "resolved"] * len(before) + ["failing"]

    @pytest.mark.parametrize("document", [NOT_INVOICED, GOOD, CANCELED])
    def test_and_by_no_third(self, outside: Outside, document: dict[str, Any]) -> None:
        tell(outside, NOT_INVOICED)
        outside.time.advance(15 * MINUTE)
        look_again(outside, document)
        assert held(outside).recheck_at is None
        assert not outside.outlets.records

    @pytest.mark.parametrize("state", ["handling", "unknow", None])
    def test_is_one_that_says_invoiced(self, outside: Outside, state: str | None) -> None:
        ref = outside.vtex.put(NOT_INVOICED)
        outside.check(
            outside.message(body=json.dumps({"OrderId": ORDER_ID, "State": state, "Origin": {"Account": ref.account}}))
        )
        assert held(outside).recheck_at is None


def look_again(outside: Outside, document: dict[str, Any]) -> None:
    """Check the order as it is now, for an event of ours."""
    ref = outside.vtex.put(document)
    outside.check(outside.message(body=own_event(ref), source=RECHECK))


class TestTracking:
    """With TrackingGraceHours set a good key alone is not enough for ever."""

    UNTRACKED = cnova_order(sale(trackingNumber=None, courier=None))

    @pytest.fixture
    def outside(self) -> Outside:
        return Outside(Policy(affiliate_ids=frozenset({"vvj"}), invoice_grace=GRACE, tracking_grace=DAY))

    def test_a_good_order_without_it_is_read_again_when_the_grace_ends(self, outside: Outside) -> None:
        tell(outside, self.UNTRACKED)
        assert (held(outside).outcome, held(outside).recheck_at) == ("ok", NOON + DAY)
        assert followed(outside) == [ORDER_ID]
        assert "expires_at" not in outside.ledger.dynamodb.items("order#")[0]

    def test_one_with_it_is_not(self, outside: Outside) -> None:
        tell(outside, GOOD)
        assert held(outside).recheck_at is None

    def test_it_fails_then(self, outside: Outside) -> None:
        tell(outside, self.UNTRACKED)
        outside.time.advance(DAY)
        tell(outside)
        assert outside.outlets.records[0].codes == ["tracking_missing", "courier_missing"]
        assert held(outside).errors == (Shown("tracking_missing", "643797", has_suggestion=False),)

    @pytest.mark.parametrize("document", [CANCELED, RETURNED, None])
    def test_it_is_not_read_again_for_it_where_there_is_nothing_to_ship(
        self, outside: Outside, document: dict[str, Any] | None
    ) -> None:
        tell(outside, self.UNTRACKED)
        outside.time.advance(DAY)
        becomes(outside, document)
        assert held(outside).recheck_at is None
        assert not outside.outlets.records

    def test_one_that_cannot_be_read_any_more_is_followed_no_longer_and_nobody_is_told(self, outside: Outside) -> None:
        overdue(outside, self.UNTRACKED)
        assert try_in_vain(outside).report is None
        assert followed(outside) == []
        assert not outside.outlets.records

    def test_an_overdue_one_that_cannot_be_read_any_more_is_given_up_as_it_was_told(self, outside: Outside) -> None:
        tell(outside, self.UNTRACKED)
        outside.time.advance(DAY)
        tell(outside)
        outside.time.advance(FOLLOWED_FOR)
        assert try_in_vain(outside).report
        assert json.loads(report(outside).record)["data"]["problems"] == outside.outlets.records[-1].data["problems"]

    def test_a_resolved_alert_names_what_is_still_missing(self, outside: Outside) -> None:
        tell(outside, KEYLESS, self.UNTRACKED)
        assert outside.outlets.records[-1].data["reason"] == "ok"
        assert outside.outlets.records[-1].codes == ["tracking_missing", "courier_missing"]
        assert "rastreio" in json.loads(outside.outlets.alerts[-1].document["Message"])["default"]
        assert held(outside).recheck_at == NOON + DAY


OTHER_ID = "VVJ-2-01"
OTHER = OrderRef(ACCOUNT, OTHER_ID)
OTHER_KEY = make_key(tax_id="11222333000181", month=3, number=643797)
SAME_KEY = cnova_order(sale(), orderId=OTHER_ID)


class TestClaims:
    """The first order that shows a key owns it; another one fails for it."""

    def test_another_one_fails_and_names_the_owner_which_is_read_before(self, outside: Outside) -> None:
        tell(outside, GOOD)
        assert (outside.ledger.owners, set(held(outside).claims)) == ({KEY: ORDER_ID}, {KEY})
        tell(outside, SAME_KEY)
        assert outside.vtex.reads == {REF: 2, OTHER: 1}
        (problem,) = outside.outlets.records[0].data["problems"]
        assert (problem["code"], problem["reused_in"]) == ("reused", ORDER_ID)
        assert ORDER_ID in outside.outlets.alerts[0].document["Message"]
        assert outside.ledger.owners == {KEY: ORDER_ID}
        assert held(outside, OTHER).claims == frozenset()

    @pytest.mark.parametrize(
        "owner",
        [
            CANCELED | {"packageAttachment": GOOD["packageAttachment"]},
            cnova_order(sale(), returned()),
            NOT_INVOICED,
            own_order(sale(), orderId=ORDER_ID),
            cnova_order(sale(key=OTHER_KEY)),
            cnova_order(returned(1, invoiceKey=KEY), sale(key=None)),
            None,
        ],
        ids=["canceled", "returned", "not invoiced", "another marketplace's", "another key", "a return's", "gone"],
    )
    def test_an_owner_that_carries_it_no_longer_loses_it(self, outside: Outside, owner: dict[str, Any] | None) -> None:
        tell(outside, GOOD)
        outside.vtex.documents.clear()
        if owner:
            outside.vtex.put(owner)
        tell(outside, SAME_KEY)
        assert not outside.outlets.records
        assert outside.ledger.owners == {KEY: OTHER_ID}
        assert (set(held(outside).claims), set(held(outside, OTHER).claims)) == (set(), {KEY})

    @pytest.mark.parametrize(
        "owner",
        [cnova_order(sale(), sale("643798", None)), cnova_order(sale(), status="handling")],
        ids=["failing", "not invoiced yet"],
    )
    def test_an_owner_that_still_carries_it_keeps_it_whatever_else(
        self, outside: Outside, owner: dict[str, Any]
    ) -> None:
        tell(outside, GOOD)
        outside.vtex.put(owner)
        tell(outside, SAME_KEY)
        assert outside.ledger.owners == {KEY: ORDER_ID}
        assert outside.outlets.records[0].codes == ["reused"]

    @pytest.mark.parametrize("trouble", [unreachable("VTEX"), None], ids=["no answer", "too late"])
    def test_where_vtex_cannot_say_nothing_is_judged(self, outside: Outside, trouble: RetryLater | None) -> None:
        tell(outside, GOOD)
        outside.steps.after("read_order", trouble or partial(too_late, outside), about=ORDER_ID)
        assert check(outside, SAME_KEY).retry
        assert OTHER not in outside.ledger.entries

    @pytest.mark.parametrize("document", [CANCELED, RETURNED, NOT_INVOICED, KEYLESS, own_order(orderId=ORDER_ID), None])
    def test_an_order_that_shows_its_key_no_longer_owns_it_no_longer(
        self, outside: Outside, document: dict[str, Any] | None
    ) -> None:
        tell(outside, GOOD)
        outside.time.advance(GRACE)
        becomes(outside, document)
        assert outside.ledger.owners == {}
        assert held(outside).claims == frozenset()

    def test_one_that_still_shows_it_keeps_it_whatever_changes(self, outside: Outside) -> None:
        for document in (GOOD, cnova_order(sale(), sale("643798", None)), GOOD, GOOD):
            tell(outside, document)
            assert outside.ledger.owners == {KEY: ORDER_ID}
        assert outside.ledger.dynamodb.calls.count("transact_write_items") == 1

    def test_a_key_that_is_taken_over_by_a_third_meanwhile_is_the_third_one_s(self, outside: Outside) -> None:
        tell(outside, GOOD)
        outside.vtex.put(CANCELED)
        third = cnova_order(sale(), orderId="VVJ-3-01")
        outside.steps.after("read_order", lambda: tell(outside, third), about=ORDER_ID)
        tell(outside, SAME_KEY)
        assert outside.ledger.owners == {KEY: "VVJ-3-01"}
        assert outside.outlets.records[0].data["problems"][0]["reused_in"] == "VVJ-3-01"

    def test_a_claim_ends_after_a_year(self, outside: Outside) -> None:
        tell(outside, GOOD)
        outside.time.advance(KEEP_CLAIMS_DAYS * DAY - SECOND)
        tell(outside, SAME_KEY)
        assert outside.ledger.owners == {KEY: ORDER_ID}
        outside.vtex.reads.clear()
        outside.time.advance(SECOND)
        tell(outside, SAME_KEY)
        assert outside.ledger.owners == {KEY: OTHER_ID}
        assert outside.vtex.reads == {OTHER: 1}

    def test_an_order_claims_no_more_keys_than_a_transaction_takes(self, outside: Outside) -> None:
        keys = [make_key(tax_id="11222333000181", month=3, number=number) for number in range(1, MOST_CLAIMS + 3)]
        tell(outside, cnova_order(*(sale(None, key) for key in keys)))
        assert list(outside.ledger.owners) == sorted(keys[:MOST_CLAIMS])
        others = [make_key(tax_id="11222333000181", month=4, number=number) for number in range(1, MOST_CLAIMS + 3)]
        tell(outside, cnova_order(*(sale(None, key) for key in others)))
        assert sorted(outside.ledger.owners) == sorted(others[:MOST_CLAIMS])

    def test_one_that_was_dismissed_for_its_key_stays_so_as_long_as_the_owner_has_it(self, outside: Outside) -> None:
        tell(outside, GOOD, SAME_KEY)
        outside.ledger.write(replace(held(outside, OTHER), archived=DISMISSED))
        tell(outside, SAME_KEY)
        assert (held(outside, OTHER).outcome, held(outside, OTHER).archived) == ("failing", DISMISSED)
        assert told(outside) == ["failing"]
        tell(outside, CANCELED, SAME_KEY)
        assert (held(outside, OTHER).outcome, held(outside, OTHER).archived) == ("ok", None)
        assert outside.ledger.owners == {KEY: OTHER_ID}

    def test_one_that_is_dismissed_owns_none_of_its_keys_until_its_errors_change(self, outside: Outside) -> None:
        tell(outside, cnova_order(sale(), sale("643798", None)))
        outside.ledger.write(replace(held(outside), archived=DISMISSED, claims=frozenset()))
        tell(outside)
        assert held(outside).claims == frozenset()
        tell(outside, cnova_order(sale(), sale("643798", "junk")))
        assert held(outside).claims == {KEY}

    @pytest.mark.parametrize(("times", "reads"), [(2, 1), (3, 2)])
    def test_an_order_is_judged_anew_as_it_was_read_until_its_key_has_changed_hands_three_times(
        self, outside: Outside, times: int, reads: int
    ) -> None:
        outside.steps.before("write", KeyTaken({KEY: Claim(OTHER_ID, NOON - SECOND)}), times=times)
        tell(outside, GOOD)
        assert held(outside).outcome == "ok"
        assert outside.vtex.reads[REF] == reads


class TestOthersAtWork:
    def test_a_conflict_does_the_whole_check_anew(self, outside: Outside) -> None:
        outside.steps.before("write", Conflict())
        outside.steps.after("read_order", lambda: outside.vtex.put(GOOD))
        tell(outside, KEYLESS)
        assert outside.vtex.reads[REF] == 2
        assert held(outside).outcome == "ok"
        assert not outside.outlets.records

    @pytest.mark.parametrize(
        "conflict",
        [Conflict(), KeyTaken({KEY: Claim("VVJ-2-01", NOON - SECOND)})],
        ids=["its item", "the owner of its key"],
    )
    def test_what_changes_again_and_again_puts_it_off(self, outside: Outside, conflict: Exception) -> None:
        outside.steps.before("write", conflict, times=None)
        finding = check(outside, GOOD)
        assert finding.retry
        assert finding.retry.why == "the order was written by others again and again"
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
        assert (finding.retry.why, finding.retry.wait) == ("another environment is delivering the last report", 1)
        assert (held(outside), outside.vtex.reads[REF]) == (before, 1)

    def test_after_its_lease_that_very_report_is_to_be_sent(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        before = report(outside)
        outside.time.advance(LEASE)
        assert check(outside, GOOD) == CheckResult(report=held(outside), is_unfinished=True)
        assert report(outside) == replace(before, lease_until=NOON + 2 * LEASE)

    def test_an_order_that_is_good_by_then_is_still_told_failing_then_resolved(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        bytes_then = report(outside).record
        outside.time.advance(LEASE)
        tell(outside, GOOD)
        first, second = outside.outlets.records
        assert first.text == bytes_then
        assert (first.type, second.type) == ("failing", "resolved")
        assert alerted(outside) == ["failing", "resolved"]

    @pytest.mark.parametrize(
        "value",
        [
            Rules(Policy(), Style(), LEASE),
            Clock(seconds_left=lambda: 30.0),
            Trigger(NOON, (), (), says_invoiced=False),
            CheckResult(),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_a_check_is_given_and_what_it_gives_cannot_be_changed_by_another(
        self, value: Rules | Clock | Trigger | CheckResult
    ) -> None:
        with pytest.raises(FrozenInstanceError):
            setattr(value, fields(value)[0].name, None)


class TestTime:
    def test_of_an_invocation_five_seconds_are_kept_free_and_a_failure_is_read_for_half_a_message_s_life(self) -> None:
        assert (REPORTING_SECONDS, 2 * UNREAD_FOR) == (5.0, GIVE_UP_AFTER)

    def test_the_reasons_of_dead_letters_are_those_of_the_contract(self) -> None:
        assert [str(reason) for reason in DeadLetterReason] == ["malformed", "not_found", "gave_up", "no_credentials"]

    def test_an_order_is_not_read_where_too_little_time_is_left(self, outside: Outside) -> None:
        outside.time.left = REPORTING_SECONDS + 0.9
        retry = check(outside, GOOD).retry
        assert isinstance(retry, OutOfTime)
        assert retry.why == "too little time is left to read the order"
        assert not outside.vtex.reads

    def test_a_second_besides_what_reporting_takes_is_enough_to_read_it(self, outside: Outside) -> None:
        outside.time.left = REPORTING_SECONDS + 1
        assert check(outside, GOOD).retry is None

    @pytest.mark.parametrize("document", [KEYLESS, None], ids=["failing", "not found"])
    def test_nothing_is_written_where_too_little_is_left_to_tell_it(
        self, outside: Outside, document: dict[str, Any] | None
    ) -> None:
        outside.steps.before("read_order", partial(too_late, outside))
        retry = check(outside, document, heard=GRACE).retry
        assert isinstance(retry, OutOfTime)
        assert retry.why == "too little time is left to write down and report what was found"
        assert not outside.ledger.entries

    def test_two_and_a_half_seconds_are_enough_to_report_what_was_found(self, outside: Outside) -> None:
        outside.steps.before("read_order", partial(setattr, outside.time, "left", 2.5))
        assert check(outside, KEYLESS).report

    def test_an_order_that_never_failed_was_not_mended(self, outside: Outside) -> None:
        tell(outside, GOOD)
        assert held(outside).mended_at is None

    def test_a_failure_that_comes_back_is_open_since_then(self, outside: Outside) -> None:
        tell(outside, KEYLESS)
        tell(outside, GOOD)
        outside.time.advance(DAY)
        tell(outside, KEYLESS)
        assert held(outside).opened_at == NOON + DAY

    def test_a_last_alert_says_since_when_the_failure_is_open(self, outside: Outside) -> None:
        overdue(outside)
        try_in_vain(outside)
        assert "03/03/2026" in str(report(outside).alert).replace("\\", "")

    def test_nothing_is_taken_over_where_too_little_is_left_to_tell_it(self, outside: Outside) -> None:
        check(outside, KEYLESS)
        before = held(outside)
        outside.time.advance(LEASE)
        outside.time.left = TOO_LITTLE
        assert isinstance(check(outside).retry, OutOfTime)
        assert held(outside) == before

    def test_a_write_that_is_refused_tells_nobody(self, outside: Outside) -> None:
        outside.steps.before("write", unreachable("the ledger"))
        finding = check(outside, KEYLESS)
        assert finding.report is None
        assert finding.retry
        assert not finding.is_unread

    def test_a_clock_that_is_told_nothing_else_has_the_time_of_day(self) -> None:
        before = datetime.now(UTC)
        assert before <= Clock(seconds_left=lambda: 30.0).now() <= datetime.now(UTC)


class TestWhatIsKept:
    def test_a_record_holds_no_character_that_sqs_refuses(self, outside: Outside) -> None:
        bad = "3526\uffff\ufffe\x00\x0b"
        check(outside, cnova_order(sale(key=bad)))
        sent = report(outside).record
        assert json.loads(sent)["data"]["problems"][0]["invoice_key"] == bad
        assert not set(sent) & {"\uffff", "\ufffe", "\x00", "\x0b"}

    @pytest.mark.parametrize(
        ("given", "bug"),
        [
            ({"checked_at": NOON - FOLLOWED_FOR}, "^an order is checked only after it was first seen$"),
            ({}, "^a report is written only after a check$"),
        ],
    )
    def test_of_an_open_failure_that_was_never_heard_of_or_checked_is_a_bug(
        self, outside: Outside, given: dict[str, Any], bug: str
    ) -> None:
        outside.ledger.write(Entry(REF, errors_reported="f" * 64, recheck_at=NOON, **given))
        with pytest.raises(ValueError, match=bug):
            try_in_vain(outside)
