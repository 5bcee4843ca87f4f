"""The feed's drain: what is queued and committed, what an interruption leaves, whose trouble is whose."""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

import pytest

from invoicekey.ledger.entries import Ledger
from invoicekey.ledger.registrations import RegistrationState, RegistrationStates, digest
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.settings import DrainSettings, OfAccounts
from invoicekey.vtex.client import Vtex
from invoicekey.vtex.feed import Feed
from invoicekey.vtex.subscriptions import Configurations
from invoicekey.work.drain import PROMISED, Drained, DrainFeed, Ended, OwnFeeds
from invoicekey.work.rounds import Rounds, SharedBackoff
from local.vtex_simulator import Fault, VtexSimulator
from tests.environments import DRAIN
from tests.fakes_outside import NOON, Crash
from tests.fakes_visits import (
    AS_FAST_AS_IT_GOES,
    OTHER,
    SHOP,
    Figures,
    MemoryQueue,
    MemoryTable,
    a_vtex,
    accounts,
    app_key,
    credentials,
    put_feed,
)

A_MINUTE = 60.0


QUEUE = {"visibilityTimeoutInSeconds": 240, "MessageRetentionPeriodInSeconds": 1_209_600}
JUST_LIKE_OURS: dict[str, Any] = {"status": ("invoiced",), "queue": QUEUE}
HOOK_URL = "https://api.example/hooks/vtex/orders"


@dataclass
class Shop:
    """A drain, and what stands around it."""

    simulator: VtexSimulator
    figures: Figures
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    table: MemoryTable = field(default_factory=MemoryTable)
    requests_per_minute: int = AS_FAST_AS_IT_GOES
    now: datetime = NOON
    at_once: int = 1
    """One account's turn after the other's, unless told: then it is known who comes when."""
    vtex: Vtex = field(init=False)

    def __post_init__(self) -> None:
        self.vtex = a_vtex(self.simulator.url)

    def configure(
        self, account: str = SHOP, status: tuple[str, ...] = ("invoiced", "handling", "unknow"), **more: Any
    ) -> None:
        config = {"filter": {"type": "FromWorkflow", "status": list(status)}, "queue": {}, **more}
        put_feed(self.simulator, config, account)

    def drain(self, *names: str, seconds_left: Callable[[], float] = lambda: A_MINUTE, **own: Any) -> Drained:
        return self.drainer().run(accounts(*(names or (SHOP,)), **own), seconds_left)

    def drainer(self) -> DrainFeed:
        return DrainFeed(
            OfAccounts(DrainSettings, DRAIN | {"VTEX_REQUESTS_PER_MINUTE": str(self.requests_per_minute)}),
            Feed(self.vtex),
            self.queue,
            keep_pace=self.vtex.keep_pace,
            backoff=SharedBackoff(self.vtex, Ledger(self.table), self.table),
            own_feeds=OwnFeeds(
                Configurations(self.vtex), RegistrationStates(self.table), credentials, hook_url=HOOK_URL
            ),
            rounds=Rounds(self.table, "drain", PROMISED, at_once=self.at_once, now=lambda: self.now),
        )

    def reads(self) -> list[str]:
        return [call.account for call in self.simulator.calls(route="feed")]

    def had_turns(self) -> list[str]:
        return list(dict.fromkeys(self.reads()))

    def knows_as_ours(self, *accounts: str) -> None:
        for account in accounts:
            known = RegistrationState(account, app_key=digest(app_key(account)), feed_installed=True)
            RegistrationStates(self.table).write(known)

    def left(self, account: str = SHOP) -> list[str]:
        return [event["orderId"] for event in self.simulator.feeds[app_key(account)].uncommitted()]

    def asked(self, account: str | None = None, route: str | None = None) -> list[str]:
        return [
            call.route for call in self.simulator.calls(account=account, route=route) if call.route != "feed_config"
        ]


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    figures = Figures()
    monkeypatch.setattr(telemetry, "count", figures)
    with VtexSimulator() as simulator:
        shop = Shop(simulator, figures)
        shop.configure()
        shop.knows_as_ours(SHOP, OTHER)
        simulator.requests.clear()
        yield shop


def put(shop: Shop, number: int, account: str = SHOP, **fields: Any) -> None:
    for index in range(number):
        shop.simulator.put_feed_event(account, f"VVJ-{index}-01", **fields)


# ---- What is queued


def test_page_after_page_is_read_until_one_is_empty(shop: Shop) -> None:
    put(shop, 25)

    drained = shop.drain()

    assert (drained.queued, drained.committed, shop.left()) == (25, 25, [])
    assert shop.asked() == ["feed", "commit"] * 3 + ["feed"]
    assert shop.queue.batches == [10, 10, 5]


def test_each_event_has_a_correlation_id_of_its_own(shop: Shop) -> None:
    shop.simulator.put_feed_event(SHOP, "VVJ-1-01", lastChange=None, currentChange=None)
    shop.simulator.put_feed_event(SHOP, "VVJ-1-01", lastChange=None, currentChange=None)

    drained = shop.drain()

    assert (len({event.correlation_id for event in shop.queue.events}), drained.queued) == (2, 2)


@pytest.mark.parametrize(
    ("order_id", "state", "is_what", "metric"),
    [
        ("VVJ-2-01", "handling", {"not_watched": 1}, "feed_not_watched"),
        ("a/b", "handling", {"not_watched": 1}, "feed_not_watched"),
        ("a/b", "invoiced", {"foreign": 1}, "feed_foreign_order_id"),
        ("seq501456", "invoiced", {"foreign": 1}, "feed_foreign_order_id"),
        ("x" * 100, "invoiced", {"foreign": 1}, "feed_foreign_order_id"),
        ("\ud800", "invoiced", {"foreign": 1}, "feed_foreign_order_id"),
        ("", "invoiced", {"unreadable": 1}, "feed_unreadable"),
        (" ", "invoiced", {"unreadable": 1}, "feed_unreadable"),
    ],
    ids=ascii,
)
def test_an_event_that_is_not_to_be_checked_is_committed_counted_and_not_queued(
    shop: Shop, order_id: str, state: str, is_what: dict[str, int], metric: str
) -> None:
    shop.simulator.put_feed_event(SHOP, order_id, state)
    shop.simulator.put_feed_event(SHOP, "VVJ-1-01")

    drained = shop.drain()

    assert (shop.queue.order_ids, shop.left()) == (["VVJ-1-01"], [])
    assert drained == Drained(read=2, queued=1, committed=2, ended={SHOP: Ended.EMPTY}, **is_what)
    assert shop.figures.sums[metric] == 1


def test_a_page_of_unwatched_states_asks_sqs_for_nothing(shop: Shop) -> None:
    put(shop, 2, state="handling")

    assert (shop.drain().committed, shop.queue.batches) == (2, [])


# ---- What is committed


def test_only_what_sqs_took_is_committed(shop: Shop) -> None:
    put(shop, 3)
    shop.queue.refused = {"VVJ-1-01"}

    drained = shop.drain()

    assert shop.left() == ["VVJ-1-01"]
    assert drained == Drained(read=3, queued=2, refused=1, committed=2, ended={SHOP: Ended.EMPTY})


def test_a_page_of_which_sqs_took_nothing_is_not_committed_and_ends_the_account_s_turns(shop: Shop) -> None:
    put(shop, 11)
    shop.simulator.put_feed_event(SHOP, "VVJ-11-01", "handling")
    shop.queue.is_down = True

    drained = shop.drain()

    assert (len(shop.left()), shop.asked()) == (12, ["feed"])
    assert drained == Drained(read=10, refused=10, ended={SHOP: Ended.NOT_QUEUED})


def test_what_was_committed_is_queued_before(shop: Shop) -> None:
    put(shop, 1)
    seen: list[list[str]] = []
    shop.queue.meanwhile = lambda: seen.append(shop.left())

    shop.drain()

    assert seen == [["VVJ-0-01"]]


@pytest.mark.parametrize("kind", ["login_page", "status"])
def test_what_vtex_did_not_let_us_commit_stays_in_the_feed(shop: Shop, kind: Any) -> None:
    put(shop, 3)
    shop.simulator.fail(Fault(kind, status=500, route="commit", times=1))

    drained = shop.drain()

    assert (drained.queued, drained.committed, len(shop.left())) == (3, 0, 3)
    assert drained.ended == {SHOP: Ended.FAILED}


# ---- Time


def test_a_run_that_is_interrupted_loses_nothing(shop: Shop) -> None:
    put(shop, 25)
    left = iter([A_MINUTE, A_MINUTE, A_MINUTE, A_MINUTE])

    drained = shop.drain(seconds_left=lambda: next(left, 19.0))

    assert drained == Drained(read=10, queued=10, committed=10, ended={SHOP: Ended.TIME_UP})
    assert {*shop.queue.order_ids, *shop.left()} == {f"VVJ-{number}-01" for number in range(25)}


def test_a_page_that_is_queued_when_the_time_is_up_comes_again_once_the_others_had_their_turn(many: Shop) -> None:
    left = iter([A_MINUTE, A_MINUTE, A_MINUTE])

    drained = many.drain(*MANY, seconds_left=lambda: next(left, 1.0))

    assert (drained.queued, drained.committed, set(drained.ended.values())) == (1, 0, {Ended.TIME_UP})
    assert many.left(MANY[0]) == ["VVJ-0-01"]
    many.drain(*MANY, seconds_left=with_time_for(1, many))
    assert many.reads() == [MANY[0], MANY[1]]


# ---- Accounts


@pytest.fixture
def two(shop: Shop) -> Shop:
    shop.configure(OTHER)
    put(shop, 15)
    put(shop, 15, OTHER)
    shop.simulator.requests.clear()
    return shop


def test_accounts_take_turns(two: Shop) -> None:
    two.drain(SHOP, OTHER)

    assert two.reads() == [SHOP, OTHER] * 3
    assert [body["Origin"]["Account"] for body in two.queue.bodies].count(OTHER) == 15


@pytest.mark.parametrize(
    ("kind", "status", "ended", "metric"),
    [
        ("status", 401, Ended.CREDENTIALS_REFUSED, "credentials_refused"),
        ("status", 403, Ended.CREDENTIALS_REFUSED, "credentials_refused"),
        ("status", 429, Ended.CHECK_RATE_LIMITED, "check_rate_limited"),
        ("status", 404, Ended.NOT_CONFIGURED, "feed_not_configured"),
        ("status", 500, Ended.FAILED, "feed_failed"),
        ("login_page", 500, Ended.FAILED, "feed_failed"),
    ],
)
def test_one_account_s_trouble_does_not_stop_another(
    two: Shop, kind: Any, status: int, ended: Ended, metric: str
) -> None:
    two.simulator.fail(Fault(kind, status=status, account=SHOP, route="feed"))

    drained = two.drain(SHOP, OTHER)

    assert drained.ended == {SHOP: ended, OTHER: Ended.EMPTY}
    assert (len(two.left(SHOP)), two.left(OTHER)) == (15, [])
    assert two.figures.sums[metric] == 1


def test_a_run_in_which_several_feeds_fail_counts_once(two: Shop) -> None:
    two.simulator.fail(Fault("status", status=500, route="feed", times=None))

    assert two.drain(SHOP, OTHER).ended == dict.fromkeys((SHOP, OTHER), Ended.FAILED)
    assert two.figures.sums["feed_failed"] == 1


MANY = tuple(f"shop-{number}" for number in range(5))


@pytest.fixture
def many(shop: Shop) -> Shop:
    for account in MANY:
        shop.configure(account)
        put(shop, 1, account)
    shop.knows_as_ours(*MANY)
    shop.simulator.requests.clear()
    return shop


def with_time_for(turns: int, shop: Shop) -> Callable[[], float]:
    """Let there be too little time for another page once so many have been read."""
    enough = len(shop.reads()) + turns
    return lambda: A_MINUTE if len(shop.reads()) < enough else 10.0


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_every_account_has_a_turn_in_as_many_runs_as_it_takes_to_go_through_all(many: Shop, turns: int) -> None:
    for _ in range(-(-len(MANY) // turns)):
        many.drain(*MANY, seconds_left=with_time_for(turns, many))

    assert sorted(many.had_turns()) == list(MANY)


@pytest.mark.parametrize("gone", [MANY[1], "shop-1-and-more", "zzz"])
def test_where_the_last_account_has_gone_the_one_after_its_place_begins(many: Shop, gone: str) -> None:
    many.table.items["round#drain"] = {"pk": "round#drain", "last": gone}
    left = [account for account in MANY if account != gone]

    many.drain(*left, seconds_left=with_time_for(1, many))

    assert many.had_turns() == [min([account for account in left if account > gone] or left)]


def dies(*_: object) -> NoReturn:
    raise Crash


def test_an_account_whose_turn_ends_the_run_is_not_the_first_of_the_next_one(
    many: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Feed, "read", dies)
        with pytest.raises(Crash):
            many.drain(*MANY)

    many.drain(*MANY, seconds_left=with_time_for(1, many))

    assert many.had_turns() == [MANY[1]]


def test_an_account_whose_turn_fails_unexpectedly_is_no_trouble_of_the_others(
    many: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Feed.read

    def breaks_for_one(feed: Feed, account: str, time_left: float) -> Any:
        if account == MANY[1]:
            raise ZeroDivisionError("HUSH")
        return read(feed, account, time_left)

    monkeypatch.setattr(Feed, "read", breaks_for_one)

    drained = many.drain(*MANY)

    assert drained.ended == dict.fromkeys(MANY, Ended.EMPTY) | {MANY[1]: Ended.FAILED}
    assert (many.left(MANY[1]), many.figures.sums["feed_failed"]) == (["VVJ-0-01"], 1)


def test_each_account_is_read_at_its_own_pace_and_none_waits_for_another_s(many: Shop) -> None:
    three = MANY[:3]
    for account in three:
        put(many, 80, account)
    many.requests_per_minute = 25  # of which the drain has one, and ten at once: five pages

    assert set(many.drain(*three).ended.values()) == {Ended.TIME_UP}
    assert Counter(many.reads()) == dict.fromkeys(three, 5)


def test_a_run_that_cannot_keep_how_far_it_came_is_no_failure_and_the_next_one_begins_where_it_began(
    many: Shop,
) -> None:
    many.table.trouble["put"] = RetryLater("busy")

    assert many.drain(*MANY, seconds_left=with_time_for(1, many)).queued == 1
    many.table.trouble.clear()
    many.drain(*MANY, seconds_left=with_time_for(2, many))

    assert many.reads() == [MANY[0], MANY[0], MANY[1]]


def test_how_far_runs_came_is_written_once_where_each_reaches_all(many: Shop) -> None:
    many.table.written.clear()
    many.drain(*MANY)
    many.drain(*MANY)

    assert many.table.written == ["round#drain"]


def test_when_the_time_is_up_no_page_is_begun_and_the_run_counts_once(two: Shop) -> None:
    drained = two.drain(SHOP, OTHER, seconds_left=lambda: 19.9)

    assert (drained, two.asked()) == (Drained(ended={SHOP: Ended.TIME_UP, OTHER: Ended.TIME_UP}, unreached=2), [])
    assert two.figures.sums == {"feed_time_up": 1, "round_unreached": 2}


def test_an_account_without_credentials_does_not_stop_another(two: Shop) -> None:
    assert two.drain("nobody", SHOP).ended == {"nobody": Ended.CREDENTIALS_REFUSED, SHOP: Ended.EMPTY}


NOT_SEEN = RegistrationState(SHOP)
OF_ANOTHER_KEY = RegistrationState(SHOP, app_key=digest("the appKey before this one"), feed_installed=True)
LEFT_ALONE = RegistrationState(SHOP, app_key=digest(app_key()), feed_left_alone=True)
OURS = RegistrationState(SHOP, app_key=digest(app_key()), feed_installed=True)
ELSEWHERE = {"hook": {"url": "https://production.example/hooks/vtex/orders"}}
NO_ADDRESS = {"filter": {"type": "FromWorkflow"}}


@pytest.mark.parametrize(
    ("known", "is_like_ours", "hook", "is_read"),
    [
        pytest.param(LEFT_ALONE, True, None, False, id="the-guard-left-it-alone"),
        pytest.param(NOT_SEEN, False, None, False, id="unlike-ours-before-the-guard-s-first-run"),
        pytest.param(OF_ANOTHER_KEY, False, None, False, id="unlike-ours-with-a-new-app-key"),
        pytest.param(NOT_SEEN, True, None, True, id="like-ours-before-the-guard-s-first-run"),
        pytest.param(OF_ANOTHER_KEY, True, None, True, id="like-ours-with-a-new-app-key"),
        pytest.param(NOT_SEEN, True, ELSEWHERE, False, id="like-ours-beside-another-system-s-hook"),
        pytest.param(NOT_SEEN, True, NO_ADDRESS, False, id="like-ours-beside-a-hook-whose-address-is-not-shown"),
        pytest.param(NOT_SEEN, True, "hook_config", False, id="like-ours-and-the-hook-is-not-shown"),
        pytest.param(NOT_SEEN, True, "feed_config", False, id="like-ours-and-it-is-not-shown"),
        pytest.param(OURS, True, "hook_config", True, id="ours-and-the-hook-is-not-shown"),
        pytest.param(OURS, True, "feed_config", True, id="ours-and-it-is-not-shown"),
    ],
)
def test_a_feed_is_read_where_the_guard_knows_it_as_ours_or_no_other_system_can_have_it(
    shop: Shop, known: RegistrationState, is_like_ours: bool, hook: dict[str, Any] | str | None, is_read: bool
) -> None:
    RegistrationStates(shop.table).write(known)
    put(shop, 3)
    if is_like_ours:
        shop.configure(**JUST_LIKE_OURS)
    if isinstance(hook, str):
        shop.simulator.fail(Fault("empty_object", route=hook))
    elif hook:
        shop.simulator.hooks[app_key()] = hook

    assert shop.drain().ended == {SHOP: Ended.EMPTY if is_read else Ended.LEFT_ALONE}
    assert len(shop.left()) == (0 if is_read else 3)


def test_where_there_is_no_feed_yet_nothing_is_read(shop: Shop) -> None:
    RegistrationStates(shop.table).write(NOT_SEEN)
    shop.simulator.feeds.clear()

    assert shop.drain().ended == {SHOP: Ended.NOT_CONFIGURED}
    assert shop.asked() == []


def test_an_account_s_own_statuses_are_watched(two: Shop) -> None:
    two.simulator.put_feed_event(SHOP, "VVJ-99-01", "handling")
    two.simulator.put_feed_event(OTHER, "VVJ-99-01", "handling")
    both = accounts(SHOP, settings={"WatchedStatuses": "handling"}) | accounts(OTHER)

    drained = two.drainer().run(both, lambda: A_MINUTE)

    assert [body["Origin"]["Account"] for body in two.queue.bodies if body["State"] == "handling"] == [SHOP]
    assert (drained.queued, drained.not_watched, two.left(), two.left(OTHER)) == (16, 16, [], [])


def test_an_account_with_a_wrong_setting_is_not_drained_and_all_others_are(two: Shop) -> None:
    both = accounts(SHOP, settings={"WatchedStatuses": "no-such-status"}) | accounts(OTHER)

    assert two.drainer().run(both, lambda: A_MINUTE).ended == {OTHER: Ended.EMPTY}
    assert (len(two.left()), two.figures.sums["ledger_unreadable"]) == (15, 1)


def test_accounts_that_are_drained_side_by_side_do_not_mix(shop: Shop) -> None:
    names = [f"shop-{number:02}" for number in range(60)]
    for number, account in enumerate(names):
        shop.configure(account)
        put(shop, number % 13, account)
    shop.knows_as_ours(*names)
    shop.at_once = 20

    drained = shop.drain(*names)

    queued = Counter(body["Origin"]["Account"] for body in shop.queue.bodies)
    assert queued == {account: number % 13 for number, account in enumerate(names) if number % 13}
    assert drained.ended == dict.fromkeys(names, Ended.EMPTY)
    assert drained.read == drained.queued == drained.committed == queued.total()
    assert not any(shop.left(account) for account in names)


def test_no_account_is_no_trouble(shop: Shop) -> None:
    assert shop.drainer().run({}, lambda: A_MINUTE) == Drained()


# ---- Silence


def test_a_silence_between_queue_and_commit_leaves_the_page_in_the_feed(shop: Shop) -> None:
    put(shop, 1)
    shop.simulator.fail(Fault("status", status=429, retry_after=120, route="commit"))

    assert shop.drain().ended == {SHOP: Ended.CHECK_RATE_LIMITED}
    assert (shop.left(), shop.queue.order_ids) == (["VVJ-0-01"], ["VVJ-0-01"])
    assert shop.drain().ended == {SHOP: Ended.CHECK_RATE_LIMITED}
    assert shop.asked() == ["feed", "commit"]


def test_a_silence_that_cannot_be_shared_is_no_trouble_of_the_run(shop: Shop) -> None:
    shop.simulator.fail(Fault("status", status=429, route="feed"))
    shop.table.trouble["put"] = RetryLater("busy")

    assert shop.drain().ended == {SHOP: Ended.CHECK_RATE_LIMITED}


def test_without_the_ledger_vtex_is_not_asked(shop: Shop) -> None:
    shop.table.trouble["get"] = RetryLater("busy")

    with pytest.raises(RetryLater):
        shop.drain()

    assert shop.asked() == []


def test_silences_of_more_accounts_than_dynamodb_reads_at_once_are_kept(shop: Shop) -> None:
    accounts = [f"account-{number}" for number in range(150)]
    until = int(time.time()) + 60
    shop.table.items = {f"silence#{name}": {"pk": f"silence#{name}", "until": until} for name in accounts}

    assert set(shop.drain(*accounts).ended.values()) == {Ended.CHECK_RATE_LIMITED}


# ---- What is told


def test_a_run_is_counted(shop: Shop) -> None:
    put(shop, 3)
    shop.simulator.put_feed_event(SHOP, "VVJ-4-01", "handling")
    shop.queue.refused = {"VVJ-1-01"}

    shop.drain()

    assert shop.figures.sums == {
        "feed_read": 4,
        "feed_queued": 2,
        "feed_not_watched": 1,
        "feed_refused": 1,
        "feed_committed": 3,
    }
    assert [name for name, _ in shop.figures.counted if name.startswith("vtex_")] == ["vtex_2xx", "vtex_200"] * 3


def test_no_log_and_no_message_has_a_handle_or_an_event_s_id(
    shop: Shop, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    put(shop, 2)
    shop.simulator.fail(Fault("status", status=500, route="commit", times=1))
    shop.simulator.feeds[app_key()].configure(
        {
            "filter": {"type": "FromWorkflow", "status": ["invoiced"]},
            "queue": {"visibilityTimeoutInSeconds": 0},
        }
    )
    handed = [item for _ in range(2) for item in shop.simulator.feeds[app_key()].hand_out(10)]

    shop.drain()
    shop.drain()

    told = caplog.text + capsys.readouterr().out + json.dumps(shop.queue.bodies)
    for secret in ("HUSH", "eyJ", *(str(item["eventId"]) for item in handed)):
        assert secret not in told
    assert shop.left() == []
