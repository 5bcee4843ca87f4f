"""A run's round of the accounts: whom it serves, in which order, how far it comes, and when that takes too long."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoicekey.ledger.accounts import Account, Accounts
from invoicekey.ledger.entries import Ledger
from invoicekey.ledger.table import Item
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import LedgerUnavailable, RetryLater
from invoicekey.runtime.settings import DrainSettings, OfAccounts
from invoicekey.work.rounds import (
    AT_ONCE,
    Round,
    Rounds,
    SharedBackoff,
    accounts_named,
    accounts_served,
    settings_by_account,
)
from tests.environments import DRAIN
from tests.fake_dynamodb import FakeDynamoDb
from tests.fakes_outside import NOON, Crash
from tests.fakes_visits import OTHER, SHOP, Figures, a_vtex, accounts

THOUSAND = tuple(f"shop-{number:03}" for number in range(1000))
FIVE = THOUSAND[:5]
PROMISED = timedelta(minutes=30)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Figures:
    figures = Figures()
    monkeypatch.setattr(telemetry, "count", figures)
    return figures


# ---- Whom a run serves


@dataclass
class Stack:
    """The secret, and what accounts have of their own."""

    dynamodb: FakeDynamoDb = field(default_factory=FakeDynamoDb)
    named: tuple[str, ...] = (SHOP,)

    @property
    def accounts(self) -> Accounts:
        return Accounts(self.dynamodb.table)

    def has(self, name: str, **own: Any) -> None:
        self.accounts.write(Account(name, **own))

    def spoil(self, name: str, **attributes: Any) -> None:
        (item,) = self.dynamodb.items(f"account#{name}")
        self.dynamodb.table.put({**item, **attributes})

    def served(self, *within: str) -> list[str]:
        return list(accounts_served({name: {} for name in self.named}, self.accounts, frozenset(within)))


def test_served_are_those_of_the_secret_and_those_whose_credentials_have_a_place_of_their_own() -> None:
    stack = Stack()
    stack.has(OTHER, credentials="v1")
    stack.has("without-credentials", settings={"AlertLanguage": "en"})

    assert stack.served() == sorted([SHOP, OTHER])


def test_an_account_of_the_secret_has_what_its_item_says() -> None:
    stack = Stack()
    stack.has(SHOP, settings={"AlertLanguage": "en"})

    assert accounts_served({SHOP: {}}, stack.accounts)[SHOP].settings == {"AlertLanguage": "en"}


def test_an_account_that_is_off_is_not_served() -> None:
    stack = Stack(named=(SHOP, OTHER))
    stack.has(OTHER, credentials="v1", is_off=True)

    assert stack.served() == [SHOP]


def test_where_accounts_are_set_no_other_is_served() -> None:
    stack = Stack(named=(SHOP, OTHER))
    stack.has("third", credentials="v1")

    assert stack.served("third", OTHER, "unknown") == [OTHER, "third"]


def test_an_account_whose_item_is_corrupt_is_left_out_and_counted_and_no_other_is(
    figures: Figures, caplog: pytest.LogCaptureFixture
) -> None:
    stack = Stack(named=(SHOP, OTHER))
    stack.has(OTHER)
    stack.spoil(OTHER, settings="AlertLanguage=en")

    assert stack.served() == [SHOP]
    assert figures.sums == {"ledger_unreadable": 1}
    assert [vars(record)["account"] for record in caplog.records] == [OTHER]


@pytest.mark.parametrize("name", ["", "Luxstore", "lux.store", "a/b", "-a", "x" * 64, "evil.example/", "lux store"])
def test_a_name_that_could_leave_its_place_in_the_host_name_is_left_out(name: str) -> None:
    assert accounts_named({name: {}, SHOP: {}}) == [SHOP]


def test_without_the_ledger_it_is_not_known_who_is_served() -> None:
    stack = Stack()

    def is_busy(_: str) -> None:
        raise LedgerUnavailable("busy")

    stack.dynamodb.before = is_busy
    with pytest.raises(RetryLater):
        stack.served()


def test_each_account_has_its_own_settings_and_pace() -> None:
    paces: dict[str, int] = {}
    served = accounts(SHOP) | accounts(OTHER, settings={"VtexRequestsPerMinute": "6000", "WatchedStatuses": "handling"})

    settings = settings_by_account(served, OfAccounts(DrainSettings, DRAIN), paces.__setitem__)

    assert {name: one.vtex.watched_statuses for name, one in settings.items()} == {
        SHOP: {"invoiced"},
        OTHER: {"handling"},
    }
    assert paces == {SHOP: 48, OTHER: 240}


def test_an_account_with_a_wrong_setting_is_left_out_and_counted_and_what_was_set_is_in_no_log(
    figures: Figures, caplog: pytest.LogCaptureFixture
) -> None:
    served = accounts(SHOP) | accounts(OTHER, settings={"WatchedStatuses": "HUSH"})

    assert settings_by_account(served, OfAccounts(DrainSettings, DRAIN), lambda *_: None).keys() == {SHOP}
    assert figures.sums == {"ledger_unreadable": 1}
    (record,) = caplog.records
    assert (vars(record)["account"], vars(record)["setting"]) == (OTHER, "WatchedStatuses")
    assert "HUSH" not in str(vars(record))


# ---- Turns


def of_round(names: Sequence[str], at_once: int = AT_ONCE) -> Round:
    return Round(list(names), at_once)


def run(this: Round, *, turns: int | None = None, again: Callable[[str], bool] = lambda _: False) -> list[str]:
    """Let a run have time for so many turns; return who had them, as they ended."""
    left = iter(range(turns)) if turns is not None else None
    had: list[str] = []
    for account, _ in this.turns(lambda account: account, lambda: left is None or next(left, None) is not None):
        had.append(account)
        if again(account):
            this.again(account)
    return had


def test_each_of_a_thousand_accounts_has_one_turn() -> None:
    this = of_round(THOUSAND)

    assert Counter(run(this)) == dict.fromkeys(THOUSAND, 1)
    assert (this.left, this.unreached, this.reached) == ([], 0, list(THOUSAND))


def test_so_many_accounts_have_a_turn_at_once_and_no_more() -> None:
    together = threading.Barrier(AT_ONCE, timeout=10)
    lock, under_way, most = threading.Lock(), 0, 0

    def turn(_: str) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        together.wait()  # would break where fewer came
        with lock:
            under_way -= 1

    list(of_round(THOUSAND[: 3 * AT_ONCE]).turns(turn, lambda: True))

    assert most == AT_ONCE


def test_no_account_has_a_second_turn_before_all_had_their_first() -> None:
    had = run(of_round(FIVE, at_once=1), turns=10, again=lambda _: True)

    assert had == [*FIVE, *FIVE]


def test_no_account_has_two_turns_at_once() -> None:
    under_way: set[str] = set()
    left = dict.fromkeys(THOUSAND[:50], 4)

    def turn(account: str) -> bool:
        is_alone = account not in under_way
        under_way.add(account)
        under_way.remove(account)
        return is_alone

    this = of_round(THOUSAND[:50])
    for account, is_alone in this.turns(turn, lambda: True):
        assert is_alone
        left[account] -= 1
        if left[account]:
            this.again(account)

    assert set(left.values()) == {0}


def test_while_one_account_s_turn_lasts_all_others_have_theirs() -> None:
    others_are_done = threading.Event()

    def turn(account: str) -> bool:
        return account != THOUSAND[0] or others_are_done.wait(10)

    had = []
    for account, in_time in of_round(THOUSAND).turns(turn, lambda: True):
        had.append((account, in_time))
        if len(had) == len(THOUSAND) - 1:
            others_are_done.set()

    assert had[-1] == (THOUSAND[0], True)


def test_when_the_time_is_up_no_turn_is_begun_and_it_is_known_who_had_none() -> None:
    this = of_round(FIVE)

    assert sorted(run(this, turns=3)) == sorted(FIVE[:3])
    assert (this.left, this.unreached, this.reached) == (list(FIVE[3:]), 2, list(FIVE[:3]))


def test_who_waits_for_one_more_turn_when_the_time_is_up_was_reached() -> None:
    this = of_round(FIVE, at_once=1)
    run(this, turns=6, again=lambda account: account in FIVE[:2])
    this.missed(FIVE[0])  # of its second turn

    assert (this.left, this.unreached, this.reached) == ([FIVE[1], FIVE[0]], 0, list(FIVE))


def test_who_had_no_time_for_its_first_turn_was_not_reached() -> None:
    this = of_round(FIVE)
    run(this)
    this.missed(FIVE[2])

    assert (this.unreached, this.reached) == (1, list(FIVE[:2]))


# ---- From one run to the next


@dataclass
class Runs:
    """One run after the other, a minute apart."""

    dynamodb: FakeDynamoDb = field(default_factory=FakeDynamoDb)
    now: datetime = NOON
    at_once: int = AT_ONCE

    @contextmanager
    def beginning(self, names: Collection[str]) -> Iterator[Round]:
        rounds = Rounds(self.dynamodb.table, "drain", PROMISED, at_once=self.at_once, now=lambda: self.now)
        with rounds.of(names) as this:
            yield this

    def go(self, names: Collection[str], **how: Any) -> list[str]:
        with self.beginning(names) as this:
            had = run(this, **how)
        self.now += timedelta(minutes=1)
        return had

    @property
    def item(self) -> Item | None:
        return self.dynamodb.item("round#drain")


@pytest.mark.usefixtures("figures")
@given(total=st.integers(1, 60), turns=st.lists(st.integers(1, 60), min_size=1, max_size=8), at_once=st.integers(1, 30))
def test_runs_reach_every_account_before_any_is_reached_again(total: int, turns: list[int], at_once: int) -> None:
    names, runs = THOUSAND[:total], Runs(at_once=at_once)

    had = [account for some in turns for account in sorted(runs.go(names, turns=some), key=_from(runs, names))]

    laps = [had[begin : begin + total] for begin in range(0, len(had), total)]
    assert all(len(set(lap)) == len(lap) for lap in laps)


def _from(runs: Runs, names: Sequence[str]) -> Callable[[str], int]:
    """Order a run's turns as they were begun: it ended with the account that is noted, or came full circle."""
    last = str((runs.item or {})["last"])
    after = names.index(last) + 1
    return lambda account: (names.index(account) - after) % len(names) if names else 0


@pytest.mark.usefixtures("figures")
@pytest.mark.parametrize("gone", [FIVE[1], "shop-001-and-more", "zzz"])
def test_where_the_last_account_has_gone_the_one_after_its_place_begins(gone: str) -> None:
    runs = Runs(at_once=1)
    runs.dynamodb.table.put({"pk": "round#drain", "last": gone})
    left = [account for account in FIVE if account != gone]

    assert runs.go(left, turns=1) == [min([account for account in left if account > gone] or left)]


@pytest.mark.usefixtures("figures")
def test_the_death_of_a_run_in_the_middle_loses_no_account() -> None:
    runs, had = Runs(), []

    def turn(account: str) -> None:
        had.append(account)
        if account == THOUSAND[500]:
            raise Crash

    with pytest.raises(Crash), runs.beginning(THOUSAND) as this:
        list(this.turns(turn, lambda: True))
    before = set(had)
    after = runs.go(THOUSAND, turns=len(THOUSAND) - len(before))

    assert before & set(after) == set()
    assert before | set(after) == set(THOUSAND)


@pytest.mark.usefixtures("figures")
def test_runs_that_overlap_leave_no_account_out() -> None:
    runs = Runs(at_once=1)
    with runs.beginning(FIVE) as one:
        run(one, turns=1)
        with runs.beginning(FIVE) as other:
            run(other, turns=3)

    assert runs.go(FIVE, turns=4) == [*FIVE[1:]]


@pytest.mark.usefixtures("figures")
def test_runs_that_reach_all_keep_no_lap_and_write_once() -> None:
    runs = Runs()
    for _ in range(3):
        runs.go(FIVE)

    assert runs.item == {"pk": "round#drain", "last": FIVE[-1]}
    assert runs.dynamodb.calls.count("put_item") == 1


def test_how_many_were_not_reached_is_counted(figures: Figures) -> None:
    Runs().go(THOUSAND, turns=300)

    assert figures.sums == {"round_unreached": 700}


# ---- How long a lap takes


def test_a_lap_of_several_runs_is_no_trouble_while_it_ends_in_time(figures: Figures) -> None:
    runs = Runs()
    for _ in range(90):  # minutes, of which a lap takes five
        runs.go(FIVE, turns=1)

    assert "round_overdue" not in figures.sums


def test_a_lap_that_takes_longer_than_promised_is_counted_until_it_ends(figures: Figures) -> None:
    runs, counted = Runs(), []
    for _ in range(36):
        figures.counted.clear()
        runs.go(THOUSAND[:35], turns=1)
        counted.append(figures.sums.get("round_overdue", 0))

    assert counted == [0] * 31 + [1] * 4 + [0]


def test_a_lap_is_overdue_too_where_no_account_is_reached_any_more(figures: Figures) -> None:
    runs = Runs()
    for _ in range(32):
        runs.go(FIVE, turns=0)

    assert figures.sums["round_overdue"] == 1


def test_a_pause_between_runs_that_each_reach_all_is_no_lap(figures: Figures) -> None:
    runs = Runs()
    runs.go(FIVE)
    runs.now += timedelta(days=1)
    runs.go(FIVE)

    assert figures.sums == {}


@pytest.mark.parametrize("corrupt", [{"lap_began": "yesterday", "lap_reached": 1}, {"lap_began": "2026-03-03"}])
def test_a_corrupt_note_of_a_lap_is_none(figures: Figures, corrupt: Item) -> None:
    runs = Runs()
    runs.dynamodb.table.put({"pk": "round#drain", "last": FIVE[1], **corrupt})

    assert sorted(runs.go(FIVE)) == list(FIVE)
    assert runs.item == {"pk": "round#drain", "last": FIVE[1]}


# ---- What all share


def test_answers_are_counted_and_back_offs_shared_while_the_run_goes_on(figures: Figures) -> None:
    dynamodb, vtex = FakeDynamoDb(), a_vtex("http://localhost")
    backoff = SharedBackoff(vtex, Ledger(dynamodb.table), dynamodb.table)
    with backoff.kept_for([SHOP]):
        vtex.answers.append(("429", 0.1))
        vtex._unshared[SHOP] = NOON.timestamp() + 60
        backoff.settle()

        assert [name for name, _ in figures.counted] == ["vtex_429"]
        assert dynamodb.item(f"silence#{SHOP}")
