"""The ledger's promises, held against the stand-in that the other tests use and against moto's DynamoDB."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from invoicekey.ledger.accounts import Account, Accounts, CorruptAccount, account_key
from invoicekey.ledger.entries import (
    DEFERRED,
    DISMISSED,
    FOLLOWED,
    KEEP_CLAIMS_DAYS,
    Claim,
    Deferral,
    Entry,
    KeyTaken,
    Ledger,
    Report,
    checked_list,
)
from invoicekey.ledger.failures import Shown
from invoicekey.ledger.prefixes import KEEP_DAYS, prefixes_key
from invoicekey.ledger.table import Table, TransactionRefused
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.policy import AlertQuota
from invoicekey.rules.prefixes import NOTHING_KNOWN, Prefixes
from invoicekey.runtime.errors import Conflict, LedgerUnavailable, RetryLater
from tests.fake_dynamodb import LOST_ANSWERS, FakeDynamoDb
from tests.ledger_table import NAME, make_ledger_table

REF, OTHER, THIRD = (OrderRef("luxstore", f"VVJ-{number}-01") for number in (1, 2, 3))
NOW = datetime(2026, 3, 3, 14, 54, 1, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
REPORT = Report(1, "invoicekey.order.failing.v1", '{"a": "é"}', '{"b": 1}', NOW + timedelta(seconds=60))
FULL = Entry(
    REF,
    first_seen_at=NOW,
    checked_at=NOW,
    outcome="failing",
    events=("one", "two"),
    errors_reported="f" * 64,
    errors=(Shown("missing", None, has_suggestion=True), Shown("reused", "643797", has_suggestion=False)),
    archived_why="told so",
    acts=("2026-03-03T15:00:00+00:00 dismissed by a person: told so",),
    opened_at=NOW,
    followed_from=NOW,
    recheck_at=NOW + 15 * MINUTE,
    mended_at=NOW - DAY,
    report=REPORT,
)
KEY, OTHER_KEY = "3" * 44, "4" * 44
LIMIT = AlertQuota(2, 15 * MINUTE)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    """A client of moto's DynamoDB: to make one takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
            patch.setenv(f"AWS_{name}", value)
        yield boto3.client("dynamodb")


@pytest.fixture(params=["dynamodb", "fake"])
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    if request.param == "fake":
        yield FakeDynamoDb().table
        return
    client = request.getfixturevalue("dynamodb")
    make_ledger_table(client)
    yield Table(client, NAME)
    client.delete_table(TableName=NAME)


@pytest.fixture
def ledger(table: Table) -> Ledger:
    return Ledger(table)


def read(ledger: Ledger, ref: OrderRef = REF) -> Entry:
    return ledger.read([ref]).entries[ref]


def listed(table: Table, name: str, **times: str) -> list[str]:
    return [item["pk"] for item in table.listed(name, **times)]


def owner(table: Table, key: str = KEY) -> str | None:
    """Return which order owns a key, as the table has it."""
    pk = f"key#luxstore#{key}"
    item = table.get([pk]).get(pk)
    return item["order_id"] if item else None


def claiming(ref: OrderRef, *keys: str, **more: Any) -> Entry:
    return Entry(ref, checked_at=NOW, outcome="ok", claims=frozenset(keys), **more)


def alerted(ledger: Ledger, ref: OrderRef = REF, **changes: Any) -> Entry:
    """Write an order whose record was sent, and whose alert was not."""
    return ledger.write(replace(FULL, ref=ref, report=replace(REPORT, recorded=True), **changes))


def test_an_order_that_it_does_not_hold_has_version_zero(ledger: Ledger) -> None:
    assert read(ledger) == Entry(REF)


def test_what_is_written_is_read(ledger: Ledger) -> None:
    assert ledger.write(FULL) == replace(FULL, version=1)
    assert read(ledger) == replace(FULL, version=1)


@pytest.mark.parametrize("is_new", [True, False], ids=["the first write", "a later one"])
@pytest.mark.parametrize("change", [Ledger.write, Ledger.note_recorded, Ledger.note_alerted])
def test_a_write_on_an_older_reading_is_a_conflict(
    ledger: Ledger, change: Callable[[Ledger, Entry], object], *, is_new: bool
) -> None:
    written = ledger.write(FULL)
    change(ledger, written)
    with pytest.raises(Conflict):
        ledger.write(FULL if is_new else written)


def test_what_is_none_again_is_forgotten(ledger: Ledger) -> None:
    written = ledger.write(FULL)
    ledger.write(replace(written, errors_reported=None, opened_at=None))

    assert (read(ledger).has_open_failure, read(ledger).opened_at) == (False, None)


def test_each_half_of_a_report_is_noted_by_itself_and_an_alert_s_bytes_are_kept_until_then(ledger: Ledger) -> None:
    written = ledger.write(FULL)
    ledger.note_recorded(written)
    assert read(ledger).report == replace(REPORT, recorded=True)
    ledger.note_alerted(written)
    assert read(ledger).report == replace(REPORT, recorded=True, alerted=True, alert=None)


def test_a_note_about_another_report_is_a_conflict(ledger: Ledger) -> None:
    written = ledger.write(FULL)
    with pytest.raises(Conflict):
        ledger.note_alerted(replace(written, report=replace(REPORT, number=2)))


def test_a_silence_is_read_with_its_account_s_orders_and_only_grows(ledger: Ledger) -> None:
    ledger.note_backoff("luxstore", 2_000_000_000)
    ledger.note_backoff("luxstore", 1_900_000_000)

    assert ledger.read([REF]).backoff_until == {"luxstore": 2_000_000_001}
    assert ledger.read([OrderRef("othershop", "VVJ-1-01")]).backoff_until == {}


def test_a_silence_or_a_note_that_somebody_spoilt_is_as_good_as_none(ledger: Ledger, table: Table) -> None:
    table.put({"pk": "silence#luxstore", "until": "tomorrow"})
    table.put({"pk": "message#a"})
    written = ledger.write(FULL)

    page = ledger.read([REF], ["a"])

    assert (page.entries, page.backoff_until, page.returned) == ({REF: written}, {}, {})


def test_an_order_that_is_read_anew_and_is_spoilt_by_then_is_for_later(ledger: Ledger, table: Table) -> None:
    written = ledger.write(FULL)
    assert ledger.read_one(REF) == written

    table.update("order#luxstore#VVJ-1-01", "SET checked_at = :corrupt", corrupt="yesterday")
    with pytest.raises(RetryLater, match="mend it"):
        ledger.read_one(REF)


def test_put_backs_are_counted_by_message(ledger: Ledger) -> None:
    ledger.note_returned("a")
    ledger.note_returned("a")

    assert ledger.read([REF], ["a", "b"]).returned == {"a": 2}


def test_an_open_failure_never_expires_and_a_closed_one_does(ledger: Ledger, table: Table) -> None:
    pk = "order#luxstore#VVJ-1-01"
    opened = ledger.write(FULL)
    assert "expires_at" not in table.get([pk])[pk]

    ledger.write(replace(opened, errors_reported=None, recheck_at=None))
    assert "expires_at" in table.get([pk])[pk]


# ---- Claims


def test_a_key_is_claimed_with_the_order_s_item(ledger: Ledger, table: Table) -> None:
    written = ledger.write(claiming(REF, KEY, OTHER_KEY))

    assert (owner(table, KEY), owner(table, OTHER_KEY)) == ("VVJ-1-01", "VVJ-1-01")
    assert read(ledger) == written
    assert read(ledger).claims_held == {KEY, OTHER_KEY}


def test_a_key_whose_owner_is_not_told_is_a_conflict_for_its_claim_was_just_being_made(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise TransactionRefused({1: {}})

    monkeypatch.setattr(table, "transact", refuse)
    with pytest.raises(Conflict):
        Ledger(table).write(claiming(REF, KEY))


def test_a_key_that_another_order_owns_is_refused_with_its_owner_and_nothing_is_written(
    ledger: Ledger, table: Table
) -> None:
    ledger.write(claiming(REF, KEY))
    with pytest.raises(KeyTaken) as taken:
        ledger.write(claiming(OTHER, KEY, OTHER_KEY))

    assert taken.value.claims == {KEY: Claim("VVJ-1-01", NOW + KEEP_CLAIMS_DAYS * DAY)}
    assert (read(ledger, OTHER).version, owner(table, OTHER_KEY)) == (0, None)


def test_all_the_keys_that_others_own_are_told_at_once(ledger: Ledger) -> None:
    ledger.write(claiming(REF, KEY))
    ledger.write(claiming(OTHER, OTHER_KEY))
    with pytest.raises(KeyTaken) as taken:
        ledger.write(claiming(THIRD, KEY, OTHER_KEY))

    assert {key: claim.order_id for key, claim in taken.value.claims.items()} == {
        KEY: "VVJ-1-01",
        OTHER_KEY: "VVJ-2-01",
    }


def test_of_an_account_s_own_keys_no_other_account_hears(ledger: Ledger) -> None:
    ledger.write(claiming(REF, KEY))
    ledger.write(claiming(OrderRef("othershop", "VVJ-2-01"), KEY))


def test_a_key_is_taken_from_its_former_owner_who_loses_it(ledger: Ledger, table: Table) -> None:
    ledger.write(claiming(REF, KEY, OTHER_KEY))
    ledger.write(claiming(OTHER, KEY, claims_from={KEY: "VVJ-1-01"}))

    assert owner(table, KEY) == "VVJ-2-01"
    assert read(ledger).claims == read(ledger).claims_held == {OTHER_KEY}


def test_who_read_the_former_owner_before_meets_a_conflict(ledger: Ledger) -> None:
    older = ledger.write(claiming(REF, KEY))
    ledger.write(claiming(OTHER, KEY, claims_from={KEY: "VVJ-1-01"}))
    with pytest.raises(Conflict):
        ledger.write(older)


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_of_several_former_owners_each_loses_its_key_and_a_forgotten_one_stays_so(
    ledger: Ledger, table: Table, *, is_forgotten: bool
) -> None:
    ledger.write(claiming(REF, KEY))
    ledger.write(claiming(OTHER, OTHER_KEY))
    if is_forgotten:
        table.delete("order#luxstore#VVJ-1-01")  # as DynamoDB does when its time has come
    written = ledger.write(claiming(THIRD, KEY, OTHER_KEY, claims_from={KEY: "VVJ-1-01", OTHER_KEY: "VVJ-2-01"}))

    assert (owner(table, KEY), owner(table, OTHER_KEY)) == ("VVJ-3-01", "VVJ-3-01")
    assert not read(ledger).claims | read(ledger, OTHER).claims
    assert read(ledger, THIRD) == written
    assert (table.get(["order#luxstore#VVJ-1-01"]) == {}) == is_forgotten


def test_a_former_owner_that_is_written_at_the_last_moment_is_a_conflict() -> None:
    dynamodb = FakeDynamoDb()
    ledger = Ledger(dynamodb.table)
    ledger.write(claiming(REF, KEY))
    dynamodb.table.delete("order#luxstore#VVJ-1-01")
    transactions: list[str] = []

    def its_own_check_is_faster(operation: str) -> None:
        transactions.append(operation)
        if len(transactions) == 2:
            ledger.write(claiming(REF, KEY))

    dynamodb.before = its_own_check_is_faster
    with pytest.raises(Conflict):
        ledger.write(claiming(OTHER, KEY, claims_from={KEY: "VVJ-1-01"}))
    assert owner(dynamodb.table) == "VVJ-1-01"
    assert read(ledger).claims == {KEY}


def test_a_key_is_taken_from_nobody_but_the_former_owner(ledger: Ledger) -> None:
    ledger.write(claiming(REF, KEY))
    ledger.write(claiming(THIRD, KEY, claims_from={KEY: "VVJ-1-01"}))
    with pytest.raises(KeyTaken) as taken:
        ledger.write(claiming(OTHER, KEY, claims_from={KEY: "VVJ-1-01"}))

    assert taken.value.claims[KEY].order_id == "VVJ-3-01"


def test_a_key_that_is_shown_no_longer_is_released(ledger: Ledger, table: Table) -> None:
    written = ledger.write(claiming(REF, KEY, OTHER_KEY))
    ledger.write(replace(written, claims=frozenset({KEY})))

    assert (owner(table, KEY), owner(table, OTHER_KEY)) == ("VVJ-1-01", None)
    assert read(ledger).claims == {KEY}


def test_a_claim_that_ran_out_and_is_another_s_by_now_is_not_released(ledger: Ledger, table: Table) -> None:
    written = ledger.write(claiming(REF, KEY, OTHER_KEY))
    table.delete(f"key#luxstore#{KEY}")  # as DynamoDB does when its time has come
    ledger.write(claiming(OTHER, KEY))
    ledger.write(replace(written, claims=frozenset()))

    assert (owner(table, KEY), owner(table, OTHER_KEY)) == ("VVJ-2-01", None)
    assert read(ledger).claims == frozenset()


@pytest.mark.parametrize("keys", [{OTHER_KEY}, set()], ids=["claims", "releases"])
def test_a_write_on_an_older_reading_changes_no_claim(ledger: Ledger, table: Table, keys: set[str]) -> None:
    older = ledger.write(claiming(REF, KEY))
    ledger.write(older)
    with pytest.raises(Conflict):
        ledger.write(replace(older, claims=frozenset(keys)))

    assert (owner(table, KEY), owner(table, OTHER_KEY)) == ("VVJ-1-01", None)


# ---- Lists


def test_an_order_that_is_followed_is_listed_by_when_it_is_read_again(ledger: Ledger, table: Table) -> None:
    for ref, wait in ((REF, 2), (OTHER, 1), (THIRD, 3)):
        ledger.write(replace(FULL, ref=ref, recheck_at=NOW + wait * MINUTE))

    assert listed(table, FOLLOWED) == [f"order#luxstore#VVJ-{number}-01" for number in (2, 1, 3)]
    assert listed(table, FOLLOWED, until=(NOW + 2 * MINUTE).isoformat()) == [
        "order#luxstore#VVJ-2-01",
        "order#luxstore#VVJ-1-01",
    ]
    assert listed(table, FOLLOWED, since=(NOW + 2 * MINUTE + SECOND).isoformat()) == ["order#luxstore#VVJ-3-01"]


def test_one_that_is_not_is_listed_by_its_account_and_when_it_was_checked(ledger: Ledger, table: Table) -> None:
    opened = ledger.write(FULL)
    ledger.write(replace(opened, errors_reported=None, recheck_at=None, outcome="ok"))

    assert listed(table, FOLLOWED) == []
    assert listed(table, checked_list("luxstore")) == ["order#luxstore#VVJ-1-01"]
    assert listed(table, checked_list("luxstore"), since=(NOW + SECOND).isoformat()) == []
    assert listed(table, checked_list("othershop")) == []


@pytest.mark.parametrize("outcome", ["other_marketplace", None], ids=["another marketplace's", "never judged"])
def test_one_that_is_nobody_s_business_is_in_no_list(ledger: Ledger, table: Table, outcome: str | None) -> None:
    ledger.write(Entry(REF, checked_at=NOW, outcome=outcome, events=("one",)))

    assert listed(table, checked_list("luxstore")) == listed(table, FOLLOWED) == []


def test_a_list_of_many_pages_is_read_to_its_end() -> None:
    dynamodb = FakeDynamoDb()
    dynamodb.page = 2
    for number in range(5):
        Ledger(dynamodb.table).write(replace(FULL, ref=OrderRef("luxstore", f"VVJ-{number}-01")))

    assert len(listed(dynamodb.table, FOLLOWED)) == 5
    assert dynamodb.calls.count("query") == 3


# ---- Alerts that go out, and alerts that are deferred


def test_an_alert_that_is_held_back_is_told_and_listed(ledger: Ledger, table: Table) -> None:
    ledger.note_deferred(alerted(ledger), Deferral("failing", NOW, ("missing", "reused")))

    (item,) = table.listed(DEFERRED)
    assert item == {
        "pk": "held#luxstore#VVJ-1-01",
        "kind": "failing",
        "codes": ["missing", "reused"],
        "errors": [],
        "list": DEFERRED,
        "list_at": NOW.isoformat(),
    }
    assert read(ledger).is_in_digests
    assert read(ledger).report == replace(REPORT, recorded=True, alerted=True, alert=None)


def test_where_the_report_is_another_by_now_nothing_is_held_back(ledger: Ledger, table: Table) -> None:
    written = alerted(ledger)
    with pytest.raises(Conflict):
        ledger.note_deferred(replace(written, report=replace(REPORT, number=2)), Deferral("failing", NOW, ("missing",)))

    assert listed(table, DEFERRED) == []


@pytest.mark.parametrize(("kind", "codes"), [("failing", ("malformed",)), ("resolved", ())])
def test_the_newest_of_an_order_s_alerts_is_held_back_in_the_place_of_the_others(
    ledger: Ledger, table: Table, kind: str, codes: tuple[str, ...]
) -> None:
    entry = alerted(ledger)
    ledger.note_deferred(entry, Deferral("failing", NOW, ("missing",)))
    table.update("held#luxstore#VVJ-1-01", "SET digest = :digest", digest=7)
    ledger.note_deferred(entry, Deferral(kind, NOW + SECOND, codes))

    (item,) = table.listed(DEFERRED)
    assert (item["kind"], item["codes"], item["list_at"]) == (kind, [*codes], (NOW + SECOND).isoformat())
    assert "digest" not in item


def test_an_alert_that_goes_out_makes_an_older_one_old_news(ledger: Ledger, table: Table) -> None:
    ledger.note_deferred(alerted(ledger), Deferral("failing", NOW, ("missing",)))
    ledger.note_alerted(read(ledger))

    assert listed(table, DEFERRED) == []
    assert not read(ledger).is_in_digests


def test_what_an_older_reading_says_is_sent_is_not_taken_from_the_digest(ledger: Ledger, table: Table) -> None:
    ledger.note_deferred(alerted(ledger), Deferral("failing", NOW, ("missing",)))
    older = replace(read(ledger), report=replace(REPORT, number=0))
    with pytest.raises(Conflict):
        ledger.note_alerted(older)

    assert listed(table, DEFERRED) == ["held#luxstore#VVJ-1-01"]


def test_a_dismissal_whose_record_was_sent_is_told_and_needs_no_reading(ledger: Ledger, table: Table) -> None:
    ledger.note_deferred(alerted(ledger), Deferral("failing", NOW, ("missing",)))
    dismissed = ledger.write(replace(read(ledger), archived=DISMISSED, report=replace(REPORT, number=2)))
    ledger.note_dismissed(dismissed)

    assert listed(table, DEFERRED) == listed(table, FOLLOWED) == []
    assert listed(table, checked_list("luxstore")) == ["order#luxstore#VVJ-1-01"]
    entry = read(ledger)
    assert (entry.version, entry.recheck_at, entry.is_in_digests) == (dismissed.version + 1, None, False)
    assert entry.report
    assert entry.report.is_delivered
    assert "expires_at" in table.get(["order#luxstore#VVJ-1-01"])["order#luxstore#VVJ-1-01"]


def test_a_dismissal_of_an_order_that_was_written_since_is_not_noted(ledger: Ledger, table: Table) -> None:
    ledger.note_deferred(alerted(ledger), Deferral("failing", NOW, ("missing",)))
    older = read(ledger)
    ledger.write(older)
    with pytest.raises(Conflict):
        ledger.note_dismissed(older)

    assert (listed(table, DEFERRED), listed(table, FOLLOWED)) == (
        ["held#luxstore#VVJ-1-01"],
        ["order#luxstore#VVJ-1-01"],
    )


def acquire(ledger: Ledger, wanted: int = 1, at: datetime = NOW, limit: AlertQuota = LIMIT) -> int:
    return ledger.acquire_alert_quota("luxstore", "failing", wanted, at, limit)


def test_turns_are_given_up_to_the_limit(ledger: Ledger) -> None:
    assert [acquire(ledger, wanted) for wanted in (1, 5, 1)] == [1, 1, 0]


def test_turns_of_other_accounts_and_kinds_are_others(ledger: Ledger) -> None:
    acquire(ledger, 2)

    assert ledger.acquire_alert_quota("luxstore", "resolved", 2, NOW, LIMIT) == 2
    assert ledger.acquire_alert_quota("othershop", "failing", 2, NOW, LIMIT) == 2


def test_a_turn_is_free_again_when_the_window_has_passed(ledger: Ledger) -> None:
    acquire(ledger)
    acquire(ledger, at=NOW + MINUTE)

    assert acquire(ledger, at=NOW + LIMIT.window - SECOND) == 0
    assert acquire(ledger, 2, at=NOW + LIMIT.window) == 1


def test_a_limit_that_was_lowered_gives_none_and_does_not_fail(ledger: Ledger) -> None:
    acquire(ledger, 2)

    assert acquire(ledger, limit=replace(LIMIT, alerts=1)) == 0


@pytest.mark.parametrize("taken_before", [0, 1], ids=["the first", "a later one"])
def test_environments_that_take_turns_at_once_do_not_take_the_same(taken_before: int) -> None:
    dynamodb = FakeDynamoDb()
    ledger = Ledger(dynamodb.table)
    granted: list[int] = []
    acquire(ledger, taken_before)

    def another_is_faster(operation: str) -> None:
        if operation == "put_item" and not granted:
            granted.append(0)
            granted.append(acquire(ledger))

    dynamodb.before = another_is_faster
    granted.append(acquire(ledger, 2))
    assert taken_before + sum(granted) == LIMIT.alerts


def test_who_is_always_slower_takes_no_turn_and_says_so() -> None:
    dynamodb, many = FakeDynamoDb(), replace(LIMIT, alerts=99)
    ledger = Ledger(dynamodb.table)

    def another_is_faster(operation: str) -> None:
        if operation == "put_item":
            dynamodb.before = lambda _: None
            acquire(ledger, limit=many)
            dynamodb.before = another_is_faster

    dynamodb.before = another_is_faster
    with pytest.raises(RetryLater, match="again and again"):
        acquire(ledger, limit=many)


# ---- Answers that are lost


LOST = ["the repeated write meets its own", "no answer comes"]


def losing(lost: Exception) -> FakeDynamoDb:
    """Return one of whose next write nobody hears that it was made."""
    dynamodb = FakeDynamoDb()
    dynamodb.lose_answer(lost)
    return dynamodb


@pytest.mark.parametrize("entry", [FULL, claiming(REF, KEY)], ids=["an item", "an item and a claim"])
@pytest.mark.parametrize("lost", LOST_ANSWERS, ids=LOST)
def test_a_write_whose_answer_is_lost_is_made(entry: Entry, lost: Exception) -> None:
    ledger = Ledger(losing(lost).table)
    assert ledger.write(entry) == read(ledger)


@pytest.mark.parametrize("lost", LOST_ANSWERS, ids=LOST)
def test_a_write_whose_answer_is_lost_is_not_taken_for_another_s(lost: Exception) -> None:
    dynamodb = losing(lost)
    lose = dynamodb.after

    def another_takes_it_over(operation: str) -> None:
        try:
            lose(operation)
        finally:
            Ledger(dynamodb.table).write(read(Ledger(dynamodb.table)))

    dynamodb.after = another_takes_it_over
    with pytest.raises((Conflict, LedgerUnavailable)):
        Ledger(dynamodb.table).write(FULL)


# ---- Trouble


def test_a_table_that_is_not_there_is_trouble_for_later(dynamodb: Any) -> None:
    with pytest.raises(RetryLater, match="ResourceNotFoundException"):
        read(Ledger(Table(dynamodb, "no-such-table")))


def test_no_answer_is_trouble_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    nowhere = boto3.client("dynamodb", region_name="us-east-1", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(RetryLater, match="no answer"):
        read(Ledger(Table(nowhere, "ledger")))


def test_what_dynamodb_left_unread_is_trouble_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    dynamodb = FakeDynamoDb()
    unprocessed: dict[str, Any] = {"Responses": {}, "UnprocessedKeys": {"ledger": {"Keys": []}}}
    monkeypatch.setattr(dynamodb, "batch_get_item", lambda **_: unprocessed)
    with pytest.raises(RetryLater, match="too busy"):
        read(Ledger(dynamodb.table))


def refusing(code: str, *reasons: str, times: int | None = None) -> FakeDynamoDb:
    """Return one that refuses the next calls; of a transaction, with the reason of each of its writes."""
    answer: Any = {"Error": {"Code": code}, "CancellationReasons": [{"Code": reason} for reason in reasons]}
    dynamodb, calls = FakeDynamoDb(), itertools.count()

    def refuse(operation: str) -> None:
        if times is None or next(calls) < times:
            raise ClientError(answer, "AnyOperation")

    dynamodb.before = refuse
    return dynamodb


@pytest.mark.parametrize(
    ("reasons", "meaning"),
    [
        (["None", "TransactionConflict"], Conflict),
        (["ConditionalCheckFailed", "TransactionConflict"], Conflict),
        (["None", "ConditionalCheckFailed"], TransactionRefused),
        (["ThrottlingError", "None"], RetryLater),
        (["ConditionalCheckFailed", "ProvisionedThroughputExceeded"], RetryLater),
        ([], RetryLater),
    ],
    ids=str,
)
def test_a_transaction_that_is_canceled_says_why(reasons: list[str], meaning: type[Exception]) -> None:
    table = refusing("TransactionCanceledException", *reasons).table
    with pytest.raises(meaning):
        table.transact(table.to_put({"pk": "one"}), table.to_put({"pk": "two"}))


@pytest.mark.parametrize(("times", "is_made"), [(1, True), (2, True), (3, False)])
def test_a_write_that_meets_a_transaction_is_tried_again_before_it_is_a_conflict(
    monkeypatch: pytest.MonkeyPatch, times: int, is_made: bool
) -> None:
    monkeypatch.setattr("invoicekey.ledger.table.time.sleep", lambda _: None)
    dynamodb = refusing("TransactionConflictException", times=times)
    with contextlib.nullcontext() if is_made else pytest.raises(Conflict):
        Ledger(dynamodb.table).write(FULL)
    assert dynamodb.calls.count("put_item") == is_made


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerError", "ValidationException"])
def test_what_dynamodb_refuses_is_trouble_for_later(code: str) -> None:
    with pytest.raises(RetryLater, match=code):
        Ledger(refusing(code).table).write(FULL)


# ---- What an account has of its own


SHOP = Account(
    "luxstore",
    settings={"SellerTaxIds": "11222333000181", "AlertLanguage": "en"},
    credentials="a-stamp",
    is_off=True,
    subscriptions=("arn:one", "arn:two"),
)


@pytest.fixture
def accounts(table: Table) -> Accounts:
    return Accounts(table)


def test_an_account_is_read_as_it_was_written(accounts: Accounts) -> None:
    written = accounts.write(SHOP)

    assert accounts.read_one("luxstore") == written == replace(SHOP, version=1)


def test_an_account_without_an_item_has_nothing_of_its_own(accounts: Accounts) -> None:
    accounts.write(SHOP)

    assert accounts.read(["othershop", "luxstore"]) == {
        "othershop": Account("othershop"),
        "luxstore": replace(SHOP, version=1),
    }


def test_more_accounts_are_read_than_one_request_takes(accounts: Accounts) -> None:
    names = [f"shop-{number}" for number in range(101)]
    accounts.write(Account(names[-1], is_off=True))

    assert [name for name, one in accounts.read(names).items() if one and one.is_off] == [names[-1]]


def test_the_orders_of_a_batch_bring_what_their_accounts_have_of_their_own(table: Table, accounts: Accounts) -> None:
    written = accounts.write(SHOP)

    read = Ledger(table).read([REF, OTHER, OrderRef("othershop", "VVJ-1-01")])

    assert read.accounts == {"luxstore": written, "othershop": Account("othershop")}


@pytest.mark.parametrize("before", [Account("luxstore"), SHOP], ids=["new", "known"])
def test_of_two_who_change_an_account_the_second_meets_a_conflict(before: Account, accounts: Accounts) -> None:
    read = accounts.write(before) if before is SHOP else before
    first = accounts.write(replace(read, is_off=False))

    with pytest.raises(Conflict):
        accounts.write(replace(read, credentials="another"))
    assert accounts.read_one("luxstore") == first


def test_an_account_that_somebody_changed_is_not_deleted(accounts: Accounts) -> None:
    read = accounts.write(SHOP)
    changed = accounts.write(replace(read, is_off=False))

    with pytest.raises(Conflict):
        accounts.delete(read)
    assert accounts.read_one("luxstore") == changed


def test_a_deleted_account_has_nothing_of_its_own_and_is_not_named(accounts: Accounts) -> None:
    accounts.delete(accounts.write(SHOP))

    assert (accounts.read_one("luxstore"), accounts.names()) == (Account("luxstore"), [])


def test_to_delete_an_account_that_has_no_item_is_no_trouble(accounts: Accounts) -> None:
    accounts.delete(Account("luxstore"))

    assert accounts.names() == []


def test_the_accounts_are_named_in_order_and_nothing_else_is(table: Table, accounts: Accounts) -> None:
    for name in ("othershop", "luxstore"):
        accounts.write(Account(name))
    Ledger(table).write(FULL)

    assert accounts.names() == ["luxstore", "othershop"]


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "first"},
        {"settings": "none"},
        {"settings": {"AlertBurst": 5}},
        {"credentials": 7},
        {"is_off": "yes"},
        {"subscriptions": [{"arn": "one"}]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_item_that_somebody_corrupted_is_none_and_takes_no_other_with_it(
    changed: dict[str, Any], table: Table, accounts: Accounts
) -> None:
    table.put({"pk": account_key("luxstore"), "version": 1, **changed})
    sound = accounts.write(Account("othershop"))

    assert accounts.read(["luxstore", "othershop"]) == {"luxstore": None, "othershop": sound}
    with pytest.raises(CorruptAccount):
        accounts.read_one("luxstore")


# ---- What reading has shown of an account's order ids


IDS = frozenset({"vvj", "abc"})


def known(ledger: Ledger, ids: frozenset[str] = IDS, now: datetime = NOW) -> Prefixes:
    return ledger.read([REF]).prefixes["luxstore"].under(ids, now)


def test_of_an_account_that_was_never_read_nothing_is_known(ledger: Ledger) -> None:
    assert known(ledger) == NOTHING_KNOWN


def test_what_is_read_of_prefixes_adds_up(ledger: Ledger) -> None:
    ledger.learn_prefixes("luxstore", [("mgl", True), ("mgl", True), ("xyz", False)], IDS, NOW)
    ledger.learn_prefixes("luxstore", [("mgl", True), ("none", True)], IDS, NOW + DAY)

    assert known(ledger) == Prefixes({"mgl": 3, "none": 1}, frozenset({"xyz"}))


def test_it_holds_under_the_affiliate_ids_alone_that_it_was_learnt_under(ledger: Ledger) -> None:
    ledger.learn_prefixes("luxstore", [("mgl", True)], IDS, NOW)
    assert known(ledger, IDS | {"new"}) == NOTHING_KNOWN

    ledger.learn_prefixes("luxstore", [("own", True)], IDS | {"new"}, NOW)
    assert (known(ledger), known(ledger, IDS | {"new"})) == (NOTHING_KNOWN, Prefixes({"own": 1}))


def test_it_holds_for_ninety_days_from_when_the_first_was_learnt(ledger: Ledger) -> None:
    ledger.learn_prefixes("luxstore", [("mgl", True)], IDS, NOW)
    ledger.learn_prefixes("luxstore", [("mgl", True)], IDS, NOW + (KEEP_DAYS - 1) * DAY)
    assert known(ledger, now=NOW + KEEP_DAYS * DAY - SECOND) == Prefixes({"mgl": 2})
    assert known(ledger, now=NOW + KEEP_DAYS * DAY) == NOTHING_KNOWN

    ledger.learn_prefixes("luxstore", [("mgl", True)], IDS, NOW + KEEP_DAYS * DAY)
    assert known(ledger, now=NOW + KEEP_DAYS * DAY) == Prefixes({"mgl": 1})


def test_two_environments_that_learn_at_once_both_do(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Ledger(table), Ledger(table)
    put, is_first = table.put, iter([True])

    def beaten(*arguments: Any, **values: Any) -> None:
        if next(is_first, False):
            other.learn_prefixes("luxstore", [("xyz", False)], IDS, NOW)
        put(*arguments, **values)

    monkeypatch.setattr(table, "put", beaten)
    one.learn_prefixes("luxstore", [("mgl", True)], IDS, NOW)

    assert known(one) == Prefixes({"mgl": 1}, frozenset({"xyz"}))


def test_who_is_beaten_again_and_again_gives_up(ledger: Ledger, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def beaten(*_: object, **__: object) -> None:
        raise Conflict

    monkeypatch.setattr(table, "put", beaten)
    with pytest.raises(RetryLater):
        ledger.learn_prefixes("luxstore", [("mgl", True)], IDS, NOW)


def test_an_item_that_somebody_corrupted_says_nothing_and_is_written_anew(ledger: Ledger, table: Table) -> None:
    table.put({"pk": prefixes_key("luxstore"), "version": "first", "others": {"mgl": "many"}})
    assert known(ledger) == NOTHING_KNOWN

    ledger.learn_prefixes("luxstore", [("mgl", True)], IDS, NOW)
    assert known(ledger) == Prefixes({"mgl": 1})
