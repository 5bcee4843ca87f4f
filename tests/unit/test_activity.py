"""What is kept of an account's signs of life: few writes, and each attribute by itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from invoicekey.ledger.activity import Activities, Activity, Sign
from invoicekey.runtime.errors import LedgerUnavailable
from tests.fake_dynamodb import FakeDynamoDb
from tests.fakes import UNREACHABLE
from tests.fakes_visits import Figures

SHOP = "luxstore"
NOON = datetime(2026, 3, 3, 12, 0, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def dynamodb() -> FakeDynamoDb:
    return FakeDynamoDb()


@pytest.fixture
def activities(dynamodb: FakeDynamoDb) -> Activities:
    return Activities(dynamodb.table)


def writes(dynamodb: FakeDynamoDb) -> int:
    return dynamodb.calls.count("update_item")


def test_an_account_of_which_nothing_was_seen_has_an_empty_activity(activities: Activities) -> None:
    assert activities.read([SHOP]) == {SHOP: Activity(SHOP)}


def test_all_that_is_seen_at_once_is_one_write(activities: Activities, dynamodb: FakeDynamoDb) -> None:
    activities.note(SHOP, list(Sign), NOON)

    assert writes(dynamodb) == 1
    assert activities.read([SHOP])[SHOP] == Activity(
        SHOP, first_hook_at=NOON, hook_at=NOON, cnova_at=NOON, feed_only_at=NOON, refused_at=NOON
    )


def test_a_sign_is_written_once_an_hour(activities: Activities, dynamodb: FakeDynamoDb) -> None:
    for minutes in range(120):
        activities.note(SHOP, [Sign.HOOK], NOON + minutes * MINUTE)

    assert writes(dynamodb) == 2
    assert activities.read([SHOP])[SHOP].hook_at == NOON + HOUR


def test_another_sign_and_another_account_are_news(activities: Activities, dynamodb: FakeDynamoDb) -> None:
    activities.note(SHOP, [Sign.HOOK], NOON)
    activities.note(SHOP, [Sign.HOOK, Sign.CNOVA], NOON + MINUTE)
    activities.note("other", [Sign.HOOK], NOON + MINUTE)

    assert writes(dynamodb) == 3
    assert activities.read([SHOP])[SHOP].cnova_at == NOON + MINUTE


def test_what_is_seen_together_is_written_together_from_then_on(activities: Activities, dynamodb: FakeDynamoDb) -> None:
    activities.note(SHOP, [Sign.HOOK], NOON)
    for minutes in range(5, 65):
        activities.note(SHOP, [Sign.HOOK, Sign.CNOVA], NOON + minutes * MINUTE)

    assert writes(dynamodb) == 2


def test_the_first_hook_is_kept(activities: Activities) -> None:
    activities.note(SHOP, [Sign.HOOK], NOON)
    activities.note(SHOP, [Sign.HOOK], NOON + 2 * HOUR)

    found = activities.read([SHOP])[SHOP]
    assert (found.first_hook_at, found.hook_at) == (NOON, NOON + 2 * HOUR)


def test_two_environments_do_not_undo_each_other_nor_the_guard(dynamodb: FakeDynamoDb) -> None:
    one, two, guard = (Activities(dynamodb.table) for _ in range(3))

    one.note(SHOP, [Sign.HOOK], NOON)
    guard.note_troubles(SHOP, {"quiet": NOON})
    two.note(SHOP, [Sign.CNOVA], NOON)

    assert guard.read([SHOP])[SHOP] == Activity(
        SHOP, first_hook_at=NOON, hook_at=NOON, cnova_at=NOON, troubles={"quiet": NOON}
    )


def test_a_note_that_failed_is_made_the_next_time(activities: Activities, dynamodb: FakeDynamoDb) -> None:
    def fail(_: str) -> None:
        raise UNREACHABLE

    dynamodb.before = fail
    with pytest.raises(LedgerUnavailable):
        activities.note(SHOP, [Sign.HOOK], NOON)
    dynamodb.before = lambda _: None

    activities.note(SHOP, [Sign.HOOK], NOON + MINUTE)
    assert activities.read([SHOP])[SHOP].hook_at == NOON + MINUTE


@pytest.mark.parametrize(
    "corrupt",
    [
        {"hook_at": "yesterday"},
        {"hook_at": "2026-03-03T12:00:00"},
        {"cnova_at": 1},
        {"troubles": ["quiet"]},
        {"troubles": {"quiet": None}},
    ],
    ids=["no time", "no zone", "a number", "no map", "no text"],
)
def test_a_corrupt_item_is_read_as_empty_and_counted_and_is_nobody_else_s_trouble(
    activities: Activities, dynamodb: FakeDynamoDb, monkeypatch: pytest.MonkeyPatch, corrupt: dict[str, Any]
) -> None:
    figures = Figures()
    monkeypatch.setattr("invoicekey.runtime.telemetry.count", figures)
    dynamodb.table.put({"pk": f"activity#{SHOP}", **corrupt})
    activities.note("other", [Sign.CNOVA], NOON)

    assert activities.read([SHOP, "other"]) == {SHOP: Activity(SHOP), "other": Activity("other", cnova_at=NOON)}
    assert figures.sums == {"ledger_unreadable": 1}


def test_a_thousand_accounts_are_read_a_hundred_at_once(activities: Activities, dynamodb: FakeDynamoDb) -> None:
    assert len(activities.read(f"shop{number}" for number in range(1_000))) == 1_000
    assert dynamodb.calls == ["batch_get_item"] * 10
