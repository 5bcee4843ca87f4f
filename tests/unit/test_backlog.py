"""The lists, over a table that evaluates the product's own expressions."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from invoicekey.ledger.entries import DISMISSED, EXPIRED, Deferral, Entry, Ledger, Report, order_key
from invoicekey.ledger.failures import Shown
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


DUE: dict[str, Any] = {
    "first_seen_at": NOW - HOUR,
    "checked_at": NOW - HOUR,
    "outcome": "failing",
    "errors_reported": "f" * 64,
    "errors": (MISSING,),
    "opened_at": NOW - HOUR,
    "recheck_at": NOW,
    "report": REPORT,
}
"""An order with an open failure that is due."""
GOOD: dict[str, Any] = {"outcome": "ok", "errors_reported": None, "errors": (), "opened_at": None}


class Lists(Backlog):
    """The lists, and the table under them."""

    def __init__(self) -> None:
        self.dynamodb = FakeDynamoDb()
        self.ledger = Ledger(self.dynamodb.table)
        super().__init__(self.dynamodb.table)

    def write(self, ref: OrderRef = REF, **changes: Any) -> Entry:
        """Write an order that is due, but for these changes."""
        return self.ledger.write(Entry(ref, **DUE | changes))

    @property
    def due_at(self) -> list[datetime]:
        return [order.due_at for order in self.followed()]

    def defer(self, ref: OrderRef = REF, kind: str = "failing", since: datetime = NOW, *codes: str) -> DeferredAlert:
        """Defer an order's alert, and return it as it is listed."""
        entry = self.ledger.read_one(ref)
        self.ledger.note_deferred(entry if entry.version else self.write(ref), Deferral(kind, since, codes))
        return next(alert for alert in self.deferred()[ref.account] if alert.ref == ref)

    @property
    def alert(self) -> DeferredAlert:
        """The only one that is deferred, as it is listed now."""
        ((alert,),) = self.deferred().values()
        return alert


@pytest.fixture
def lists() -> Lists:
    return Lists()


def refs(orders: Any) -> list[str]:
    return [order.ref.order_id for order in orders]


class TestFollowed:
    def test_an_open_failure_is_followed_with_what_lists_show(self, lists: Lists) -> None:
        lists.write()
        assert list(lists.followed()) == [
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

    def test_a_suggested_key_is_listed_and_stands_where_the_former_version_has_true(self, lists: Lists) -> None:
        """So that the former version reads the item too, when a deployment is rolled back."""
        suggested = replace(MISSING, suggested_key="3526" * 11)
        lists.write(errors=(suggested, MISSING))
        assert [order.errors for order in lists.followed()] == [(suggested, MISSING)]
        (item,) = lists.dynamodb.table.get([order_key(REF)]).values()
        assert item["errors"][0] == {"code": "missing", "invoice_number": "643797", "has_suggestion": "3526" * 11}

    def test_what_is_due_by_a_time_is_found_to_the_microsecond(self, lists: Lists) -> None:
        moment = timedelta(microseconds=1)
        for number, due in enumerate([NOW - moment, NOW, NOW + moment]):
            lists.write(OrderRef("luxstore", f"VVJ-{number}-01"), recheck_at=due)
        assert refs(lists.followed(NOW)) == ["VVJ-0-01", "VVJ-1-01"]

    @pytest.mark.parametrize(
        ("order", "is_open", "is_good"),
        [({}, True, False), (GOOD, False, True), ({"archived": DISMISSED}, False, False)],
        ids=["an open failure", "a good one that may become overdue", "a dismissed one that is read once more"],
    )
    def test_what_is_followed_need_not_be_open(
        self, lists: Lists, order: dict[str, Any], *, is_open: bool, is_good: bool
    ) -> None:
        lists.write(**order)
        assert [(found.is_open, found.is_good) for found in lists.followed()] == [(is_open, is_good)]

    @pytest.mark.parametrize("archived", [DISMISSED, EXPIRED])
    def test_a_failure_that_is_set_aside_is_not_followed(self, lists: Lists, archived: str) -> None:
        lists.write(archived=archived, recheck_at=None)
        assert not list(lists.followed())
        assert [order.archived for order in lists.checked("luxstore", NOW - HOUR)] == [archived]


class TestPostponing:
    def test_a_postponed_order_is_due_later(self, lists: Lists) -> None:
        lists.write()
        lists.postpone(next(lists.followed()), NOW + HOUR)
        assert not list(lists.followed(NOW + HOUR - SECOND))
        assert lists.due_at == [lists.ledger.read_one(REF).recheck_at] == [NOW + HOUR]

    def test_a_check_that_is_under_way_meets_no_conflict(self, lists: Lists) -> None:
        read_by_the_check = lists.write()
        lists.postpone(next(lists.followed()), NOW + HOUR)
        lists.ledger.write(replace(read_by_the_check, checked_at=NOW, recheck_at=NOW + 4 * HOUR))
        assert lists.due_at == [NOW + 4 * HOUR]

    @pytest.mark.parametrize(
        "next_due", [NOW + 4 * HOUR, NOW, None], ids=["another time", "the same time", "it is closed"]
    )
    def test_a_check_that_was_faster_has_the_last_word(self, lists: Lists, next_due: datetime | None) -> None:
        entry = lists.write()
        order = next(lists.followed())
        lists.ledger.write(replace(entry, checked_at=NOW, recheck_at=next_due))
        lists.postpone(order, NOW + HOUR)
        assert lists.due_at == ([next_due] if next_due else [])

    def test_an_order_that_is_gone_is_not_made_anew(self, lists: Lists) -> None:
        lists.write()
        order = next(lists.followed())
        lists.dynamodb.table.delete("order#luxstore#VVJ-1-01")
        lists.postpone(order, NOW + HOUR)
        assert not lists.dynamodb.items("order#")


class TestChecked:
    def test_an_account_s_orders_that_are_done_are_listed_since_a_time(self, lists: Lists) -> None:
        done = GOOD | {"recheck_at": None, "checked_at": NOW, "mended_at": NOW - HOUR}
        lists.write(**done)
        lists.write(OTHER, **done)
        lists.write(OrderRef("luxstore", "VVJ-2-01"), **done | {"checked_at": NOW - HOUR, "mended_at": None})

        assert list(lists.checked("luxstore", NOW)) == [CheckedOrder(REF, "ok", NOW, NOW - HOUR, None)]
        assert [order.mended_at for order in lists.checked("luxstore", NOW - HOUR)] == [None, NOW - HOUR]


class TestHeldBack:
    def test_what_is_held_back_is_listed_by_account_the_oldest_first(self, lists: Lists) -> None:
        lists.defer(REF, "failing", NOW + SECOND, "missing", "reused")
        lists.defer(OTHER, "expired", NOW)
        lists.defer(OrderRef("luxstore", "VVJ-2-01"), "resolved", NOW)
        assert lists.deferred() == {
            "luxstore": [
                DeferredAlert(OrderRef("luxstore", "VVJ-2-01"), "resolved", (), NOW, None),
                DeferredAlert(REF, "failing", (Code.MISSING, Code.REUSED), NOW + SECOND, None),
            ],
            "othershop": [DeferredAlert(OTHER, "expired", (), NOW, None)],
        }

    def test_an_alert_is_listed_with_its_errors_and_kept_with_its_text(self, lists: Lists) -> None:
        errors = (replace(MISSING, suggested_key="3526" * 11), MISSING)
        lists.ledger.note_deferred(lists.write(), Deferral("failing", NOW, ("missing",), errors, "{}"))
        assert lists.alert.errors == errors
        lists.assign(lists.alert, 7)
        assert lists.text_of(lists.alert) == "{}"
        assert lists.text_of(replace(lists.alert, digest=8)) is None

    def test_an_alert_without_a_text_takes_the_one_of_its_order_s_older_one_away(self, lists: Lists) -> None:
        entry = lists.write()
        lists.ledger.note_deferred(entry, Deferral("failing", NOW, (), (MISSING,), "{}"))
        lists.ledger.note_deferred(entry, Deferral("resolved", NOW))
        assert (lists.alert.errors, lists.text_of(lists.alert)) == ((), None)

    def test_an_alert_is_taken_up_as_it_was_listed_and_anew_after_a_dead_run(self, lists: Lists) -> None:
        first = lists.defer()
        assert lists.assign(first, 7)
        second = lists.alert
        assert second == replace(first, digest=7)
        assert lists.assign(second, 9)
        assert lists.alert.digest == 9

    def test_a_write_that_the_sdk_repeats_takes_it_up_once_and_another_run_does_not(self, lists: Lists) -> None:
        lists.defer()
        for number in (7, 9):
            listed = lists.alert
            assert [lists.assign(listed, taken) for taken in (number, number, number + 1)] == [True, True, False]

    @pytest.mark.parametrize(
        ("kind", "since"), [("resolved", NOW), ("failing", NOW + SECOND)], ids=["another kind", "another time"]
    )
    def test_an_alert_that_another_one_has_replaced_is_not_taken_up(
        self, lists: Lists, kind: str, since: datetime
    ) -> None:
        listed = lists.defer()
        lists.defer(REF, kind, since)
        assert not lists.assign(listed, 7)
        assert lists.alert.digest is None

    def test_an_alert_that_is_gone_is_not_taken_up(self, lists: Lists) -> None:
        listed = lists.defer()
        lists.dynamodb.table.delete("held#luxstore#VVJ-1-01")
        assert not lists.assign(listed, 7)
        assert not lists.dynamodb.items("held#")

    def test_what_was_told_is_dropped_and_what_came_meanwhile_is_not(self, lists: Lists) -> None:
        lists.assign(lists.defer(), 7)
        told = lists.alert
        lists.drop(told)
        lists.drop(told)
        assert not lists.deferred()
        lists.defer(REF, "resolved", NOW + SECOND)
        lists.drop(told)
        assert lists.alert.kind == "resolved"


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
    {"errors": [{"code": "no_such_code", "invoice_number": None, "has_suggestion": False}]},
    {"errors": "missing"},
    {"digest": "seven"},
    {"list_at": "2026-03-03T15:00:00"},
    {"pk": "held#luxstore"},
]


def spoil(lists: Lists, key: str, changes: Item) -> None:
    """Put an item beside another one, that is like it but for these changes; None takes an attribute away."""
    item = (lists.dynamodb.item(key) or {}) | {"pk": key.replace("VVJ-1-01", "VVJ-2-01")} | changes
    lists.dynamodb.table.put({name: value for name, value in item.items() if value is not None})


class TestSpoiltItems:
    """Somebody changed them by hand; they are nobody else's trouble."""

    @pytest.mark.parametrize("changes", CORRUPT + SPOILT_FAILURES, ids=str)
    def test_one_of_the_followed_is_left_out(self, lists: Lists, changes: Item) -> None:
        lists.write()
        spoil(lists, "order#luxstore#VVJ-1-01", changes)
        assert refs(lists.followed()) == refs(lists.followed(NOW)) == ["VVJ-1-01"]

    @pytest.mark.parametrize("changes", [*CORRUPT, {"outcome": None}], ids=str)
    def test_one_of_the_checked_is_left_out(self, lists: Lists, changes: Item) -> None:
        lists.write(**GOOD, recheck_at=None)
        spoil(lists, "order#luxstore#VVJ-1-01", changes)
        assert refs(lists.checked("luxstore", NOW - 2 * HOUR)) == ["VVJ-1-01"]

    @pytest.mark.parametrize("changes", SPOILT_ALERTS, ids=str)
    def test_one_of_those_held_back_is_left_out(self, lists: Lists, changes: Item) -> None:
        lists.defer(REF, "failing", NOW, "missing")
        spoil(lists, "held#luxstore#VVJ-1-01", changes)
        assert refs(lists.deferred()["luxstore"]) == ["VVJ-1-01"]

    def test_an_error_of_a_code_that_this_version_does_not_know_is_followed_for_a_check_may_mend_it(
        self, lists: Lists
    ) -> None:
        lists.write(errors=(replace(MISSING, code="no_such_code"),))
        assert refs(lists.followed()) == ["VVJ-1-01"]

    def test_each_is_counted_and_logged_by_its_key_alone(
        self, lists: Lists, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        counted: list[str] = []
        monkeypatch.setattr(telemetry, "count", counted.append)
        lists.write()
        spoil(lists, "order#luxstore#VVJ-1-01", {"checked_at": "Maria da Silva"})
        with caplog.at_level(logging.ERROR):
            assert refs(lists.followed()) == ["VVJ-1-01"]
        (line,) = caplog.records
        assert counted == ["ledger_unreadable"]
        assert (line.__dict__["account"], line.__dict__["order_id"]) == ("luxstore", "VVJ-2-01")
        assert "Maria" not in str(line.__dict__)


def test_of_the_accounts_the_last_note_counts(lists: Lists) -> None:
    assert lists.accounts() == []
    lists.note_accounts(["luxstore", "gone"])
    lists.note_accounts({"othershop", "luxstore"})
    assert lists.accounts() == ["luxstore", "othershop"]
