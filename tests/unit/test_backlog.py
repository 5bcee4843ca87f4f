"""The lists, over a table that evaluates the product's own expressions."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from invoicekey.ledger.entries import DISMISSED, EXPIRED, Deferral, Entry, Ledger, Report, Shown
from invoicekey.ledger.lists import Backlog, CheckedOrder, DeferredAlert, FollowedOrder
from invoicekey.ledger.table import Item
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.verdict import Code
from invoicekey.runtime import telemetry
from tests.fake_dynamodb import FakeDynamoDb

NOW = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
REF, OTHER = OrderRef("luxstore", "VVJ-1-01"), OrderRef("othershop", "VVJ-1-01")
MISSING = Shown("missing", "643797", has_suggestion=True)
REPORT = Report(1, "invoicekey.order.failing.v1", "{}", "{}", NOW, recorded=True, alerted=True)


@pytest.fixture
def dynamodb() -> FakeDynamoDb:
    return FakeDynamoDb()


@pytest.fixture
def backlog(dynamodb: FakeDynamoDb) -> Backlog:
    return Backlog(dynamodb.table)


def write(dynamodb: FakeDynamoDb, ref: OrderRef = REF, **changes: Any) -> Entry:
    """Write an order with an open failure that is due."""
    given: dict[str, Any] = {
        "first_seen_at": NOW - HOUR,
        "checked_at": NOW - HOUR,
        "outcome": "failing",
        "errors_reported": "f" * 64,
        "errors": (MISSING,),
        "opened_at": NOW - HOUR,
        "recheck_at": NOW,
        "report": REPORT,
    }
    return Ledger(dynamodb.table).write(Entry(ref, **given | changes))


def hold_back(
    dynamodb: FakeDynamoDb, ref: OrderRef = REF, kind: str = "failing", since: datetime = NOW, *codes: str
) -> None:
    ledger = Ledger(dynamodb.table)
    entry = ledger.read([ref]).entries[ref]
    if not entry.version:
        entry = write(dynamodb, ref)
    ledger.note_deferred(entry, Deferral(kind, since, codes))


def refs(orders: Any) -> list[str]:
    return [order.ref.order_id for order in orders]


class TestFollowed:
    def test_an_open_failure_is_followed_with_what_lists_show(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        write(dynamodb)
        assert list(backlog.followed()) == [
            FollowedOrder(
                REF,
                due_at=NOW,
                opened_at=NOW - HOUR,
                checked_at=NOW - HOUR,
                outcome="failing",
                mended_at=None,
                archived=None,
                errors=(MISSING,),
            )
        ]

    def test_the_longest_due_comes_first(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        for number, due in enumerate([3, 1, 2]):
            write(dynamodb, OrderRef("luxstore", f"VVJ-{number}-01"), recheck_at=NOW + due * HOUR)
        assert refs(backlog.followed()) == ["VVJ-1-01", "VVJ-2-01", "VVJ-0-01"]

    def test_what_is_due_by_a_time_is_found_to_the_microsecond(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        moment = timedelta(microseconds=1)
        for number, due in enumerate([NOW - moment, NOW, NOW + moment]):
            write(dynamodb, OrderRef("luxstore", f"VVJ-{number}-01"), recheck_at=due)
        assert refs(backlog.followed(NOW)) == ["VVJ-0-01", "VVJ-1-01"]

    def test_all_pages_of_a_list_are_read(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        dynamodb.page = 2
        for number in range(5):
            write(dynamodb, OrderRef("luxstore", f"VVJ-{number}-01"))
        assert len(refs(backlog.followed())) == 5
        assert dynamodb.calls.count("query") == 3

    def test_a_good_order_that_may_become_overdue_is_followed_and_not_open(
        self, dynamodb: FakeDynamoDb, backlog: Backlog
    ) -> None:
        write(dynamodb, outcome="ok", errors_reported=None, errors=(), opened_at=None, mended_at=NOW - HOUR)
        (order,) = backlog.followed()
        assert (order.is_open, order.is_good, order.mended_at, order.errors) == (False, True, NOW - HOUR, ())

    def test_a_dismissed_failure_that_is_read_once_more_is_not_open(
        self, dynamodb: FakeDynamoDb, backlog: Backlog
    ) -> None:
        write(dynamodb, archived=DISMISSED)
        (order,) = backlog.followed()
        assert (order.is_open, order.is_good) == (False, False)

    @pytest.mark.parametrize("archived", [DISMISSED, EXPIRED])
    def test_a_failure_that_is_set_aside_is_not_followed(
        self, dynamodb: FakeDynamoDb, backlog: Backlog, archived: str
    ) -> None:
        write(dynamodb, archived=archived, recheck_at=None)
        assert not list(backlog.followed())
        assert [order.archived for order in backlog.checked("luxstore", NOW - HOUR)] == [archived]

    def test_a_stub_that_only_has_a_version_is_in_no_list(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        dynamodb.table.update("order#luxstore#VVJ-1-01", "ADD version :one", one=1)
        assert Ledger(dynamodb.table).read([REF]).entries[REF].version == 1
        assert not list(backlog.followed())
        assert not list(backlog.checked("luxstore", NOW - HOUR))


class TestPostponing:
    def test_a_postponed_order_is_due_later(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        write(dynamodb)
        backlog.postpone(next(backlog.followed()), NOW + HOUR)
        assert not list(backlog.followed(NOW + HOUR - SECOND))
        assert [order.due_at for order in backlog.followed()] == [NOW + HOUR]
        assert Ledger(dynamodb.table).read([REF]).entries[REF].recheck_at == NOW + HOUR

    def test_a_check_that_is_under_way_meets_no_conflict(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        read_by_the_check = write(dynamodb)
        backlog.postpone(next(backlog.followed()), NOW + HOUR)
        Ledger(dynamodb.table).write(replace(read_by_the_check, checked_at=NOW, recheck_at=NOW + 4 * HOUR))
        assert [order.due_at for order in backlog.followed()] == [NOW + 4 * HOUR]

    @pytest.mark.parametrize("next_due", [NOW + 4 * HOUR, NOW], ids=["another time", "the same time"])
    def test_a_check_that_was_faster_has_the_last_word(
        self, dynamodb: FakeDynamoDb, backlog: Backlog, next_due: datetime
    ) -> None:
        entry = write(dynamodb)
        order = next(backlog.followed())
        Ledger(dynamodb.table).write(replace(entry, checked_at=NOW, recheck_at=next_due))
        backlog.postpone(order, NOW + HOUR)
        assert [order.due_at for order in backlog.followed()] == [next_due]

    def test_an_order_that_is_closed_meanwhile_is_not_followed_again(
        self, dynamodb: FakeDynamoDb, backlog: Backlog
    ) -> None:
        entry = write(dynamodb)
        order = next(backlog.followed())
        Ledger(dynamodb.table).write(replace(entry, checked_at=NOW, recheck_at=None))
        backlog.postpone(order, NOW + HOUR)
        assert not list(backlog.followed())

    def test_an_order_that_is_gone_is_not_made_anew(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        write(dynamodb)
        order = next(backlog.followed())
        dynamodb.table.delete("order#luxstore#VVJ-1-01")
        backlog.postpone(order, NOW + HOUR)
        assert not dynamodb.items("order#")


class TestChecked:
    def test_an_account_s_orders_that_are_done_are_listed_since_a_time(
        self, dynamodb: FakeDynamoDb, backlog: Backlog
    ) -> None:
        done: dict[str, Any] = {
            "outcome": "ok",
            "errors_reported": None,
            "recheck_at": None,
            "checked_at": NOW,
            "mended_at": NOW - HOUR,
        }
        write(dynamodb, **done)
        write(dynamodb, OTHER, **done)
        write(dynamodb, OrderRef("luxstore", "VVJ-2-01"), **done | {"checked_at": NOW - HOUR, "mended_at": None})

        assert list(backlog.checked("luxstore", NOW)) == [CheckedOrder(REF, "ok", NOW, NOW - HOUR, None)]
        assert [order.mended_at for order in backlog.checked("luxstore", NOW - HOUR)] == [None, NOW - HOUR]

    def test_orders_of_other_marketplaces_are_not(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        write(dynamodb, outcome="other_marketplace", errors_reported=None, recheck_at=None)
        assert not list(backlog.checked("luxstore", NOW - 2 * HOUR))


class TestHeldBack:
    def test_what_is_held_back_is_listed_by_account_the_oldest_first(
        self, dynamodb: FakeDynamoDb, backlog: Backlog
    ) -> None:
        hold_back(dynamodb, REF, "failing", NOW + SECOND, "missing", "reused")
        hold_back(dynamodb, OTHER, "expired", NOW)
        hold_back(dynamodb, OrderRef("luxstore", "VVJ-2-01"), "resolved", NOW)
        assert backlog.deferred() == {
            "luxstore": [
                DeferredAlert(OrderRef("luxstore", "VVJ-2-01"), "resolved", (), NOW, None),
                DeferredAlert(REF, "failing", (Code.MISSING, Code.REUSED), NOW + SECOND, None),
            ],
            "othershop": [DeferredAlert(OTHER, "expired", (), NOW, None)],
        }

    def test_an_alert_is_taken_up_as_it_was_listed(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        hold_back(dynamodb)
        (alert,) = backlog.deferred()["luxstore"]
        assert backlog.assign(alert, 7)
        assert backlog.deferred()["luxstore"] == [replace(alert, digest=7)]

    def test_what_a_dead_run_took_up_is_taken_up_by_the_next(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        hold_back(dynamodb)
        backlog.assign(backlog.deferred()["luxstore"][0], 7)
        (alert,) = backlog.deferred()["luxstore"]
        assert backlog.assign(alert, 9)
        assert [alert.digest for alert in backlog.deferred()["luxstore"]] == [9]

    @pytest.mark.parametrize(
        ("kind", "since"), [("resolved", NOW), ("failing", NOW + SECOND)], ids=["another kind", "another time"]
    )
    def test_an_alert_that_another_one_has_replaced_is_not_taken_up(
        self, dynamodb: FakeDynamoDb, backlog: Backlog, kind: str, since: datetime
    ) -> None:
        hold_back(dynamodb)
        (listed,) = backlog.deferred()["luxstore"]
        hold_back(dynamodb, REF, kind, since)
        assert not backlog.assign(listed, 7)
        assert [alert.digest for alert in backlog.deferred()["luxstore"]] == [None]

    def test_an_alert_that_was_taken_up_since_it_was_listed_is_not_taken_up_again(
        self, dynamodb: FakeDynamoDb, backlog: Backlog
    ) -> None:
        hold_back(dynamodb)
        (listed,) = backlog.deferred()["luxstore"]
        backlog.assign(listed, 7)
        (assigned,) = backlog.deferred()["luxstore"]
        assert not backlog.assign(listed, 8)
        backlog.assign(assigned, 9)
        assert not backlog.assign(assigned, 10)

    def test_a_write_that_the_sdk_repeats_takes_it_up_once(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        hold_back(dynamodb)
        for number in (7, 9):
            (listed,) = backlog.deferred()["luxstore"]
            assert [backlog.assign(listed, number), backlog.assign(listed, number)] == [True, True]

    def test_an_alert_that_is_gone_is_not_taken_up(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        hold_back(dynamodb)
        (listed,) = backlog.deferred()["luxstore"]
        dynamodb.table.delete("held#luxstore#VVJ-1-01")
        assert not backlog.assign(listed, 7)
        assert not dynamodb.items("held#")

    def test_what_was_told_is_dropped(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        hold_back(dynamodb)
        backlog.assign(backlog.deferred()["luxstore"][0], 7)
        (told,) = backlog.deferred()["luxstore"]
        backlog.drop(told)
        backlog.drop(told)
        assert not backlog.deferred()

    def test_an_alert_that_came_meanwhile_is_not_dropped(self, dynamodb: FakeDynamoDb, backlog: Backlog) -> None:
        hold_back(dynamodb)
        backlog.assign(backlog.deferred()["luxstore"][0], 7)
        (told,) = backlog.deferred()["luxstore"]
        hold_back(dynamodb, REF, "resolved", NOW + SECOND)
        backlog.drop(told)
        assert [alert.kind for alert in backlog.deferred()["luxstore"]] == ["resolved"]


CORRUPT: list[Item] = [
    {"checked_at": None},
    {"checked_at": "yesterday"},
    {"checked_at": "2026-03-03T15:00:00"},  # in no zone
    {"checked_at": 1772550000},
    {"mended_at": "yesterday"},
    {"pk": "order#luxstore"},
    {"pk": "VVJ-2-01"},
]
SPOILT_FAILURES: list[Item] = [
    {"list_at": "2026-03-03T14:59:59"},
    {"opened_at": "yesterday"},
    {"errors": "missing"},
    {"errors": [{"code": "missing", "invoice_number": "643797"}]},
    {"errors": [{"code": "missing", "invoice_number": 643797, "has_suggestion": False}]},
    {"errors": [{"code": "missing", "invoice_number": None, "has_suggestion": False, "colour": "red"}]},
]
SPOILT_ALERTS: list[Item] = [
    {"kind": None},
    {"kind": "no_such_kind"},
    {"codes": "missing"},
    {"codes": ["no_such_code"]},
    {"digest": "seven"},
    {"list_at": "2026-03-03T15:00:00"},
    {"pk": "held#luxstore"},
]


def spoil(dynamodb: FakeDynamoDb, key: str, changes: Item) -> None:
    """Put an item beside another one, that is like it but for these changes; None takes an attribute away."""
    item = (dynamodb.item(key) or {}) | {"pk": key.replace("VVJ-1-01", "VVJ-2-01")} | changes
    dynamodb.table.put({name: value for name, value in item.items() if value is not None})


class TestSpoiltItems:
    """Somebody changed them by hand; they are nobody else's trouble."""

    @pytest.mark.parametrize("changes", CORRUPT + SPOILT_FAILURES, ids=str)
    def test_one_of_the_followed_is_left_out(self, dynamodb: FakeDynamoDb, backlog: Backlog, changes: Item) -> None:
        write(dynamodb)
        spoil(dynamodb, "order#luxstore#VVJ-1-01", changes)
        assert refs(backlog.followed()) == refs(backlog.followed(NOW)) == ["VVJ-1-01"]

    @pytest.mark.parametrize("changes", [*CORRUPT, {"outcome": None}], ids=str)
    def test_one_of_the_checked_is_left_out(self, dynamodb: FakeDynamoDb, backlog: Backlog, changes: Item) -> None:
        write(dynamodb, outcome="ok", errors_reported=None, errors=(), opened_at=None, recheck_at=None)
        spoil(dynamodb, "order#luxstore#VVJ-1-01", changes)
        assert refs(backlog.checked("luxstore", NOW - 2 * HOUR)) == ["VVJ-1-01"]

    @pytest.mark.parametrize("changes", SPOILT_ALERTS, ids=str)
    def test_one_of_those_held_back_is_left_out(self, dynamodb: FakeDynamoDb, backlog: Backlog, changes: Item) -> None:
        hold_back(dynamodb, REF, "failing", NOW, "missing")
        spoil(dynamodb, "held#luxstore#VVJ-1-01", changes)
        assert refs(backlog.deferred()["luxstore"]) == ["VVJ-1-01"]

    def test_an_error_of_a_code_that_this_version_does_not_know_is_followed_for_a_check_may_mend_it(
        self, dynamodb: FakeDynamoDb, backlog: Backlog
    ) -> None:
        write(dynamodb, errors=(replace(MISSING, code="no_such_code"),))
        assert refs(backlog.followed()) == ["VVJ-1-01"]

    def test_each_is_counted_and_logged_by_its_key_alone(
        self,
        dynamodb: FakeDynamoDb,
        backlog: Backlog,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        counted: list[str] = []
        monkeypatch.setattr(telemetry, "count", counted.append)
        write(dynamodb)
        spoil(dynamodb, "order#luxstore#VVJ-1-01", {"checked_at": "Maria da Silva"})
        with caplog.at_level(logging.ERROR):
            assert refs(backlog.followed()) == ["VVJ-1-01"]
        (line,) = caplog.records
        assert counted == ["ledger_unreadable"]
        assert (line.__dict__["account"], line.__dict__["order_id"]) == ("luxstore", "VVJ-2-01")
        assert "Maria" not in str(line.__dict__)


class TestAccounts:
    def test_none_are_noted_at_first(self, backlog: Backlog) -> None:
        assert backlog.accounts() == []

    def test_the_last_note_counts(self, backlog: Backlog) -> None:
        backlog.note_accounts(["luxstore", "gone"])
        backlog.note_accounts({"othershop", "luxstore"})
        assert backlog.accounts() == ["luxstore", "othershop"]
