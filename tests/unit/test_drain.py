"""The feed's drain: what is queued and committed, what an interruption leaves, whose trouble is whose."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from invoicekey.delivery.queues import FEED
from invoicekey.ledger.entries import Ledger
from invoicekey.ledger.registrations import RegistrationState, RegistrationStates, digest
from invoicekey.rules.notification import event_id
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.vtex.client import RateLimiter, Vtex
from invoicekey.vtex.feed import Feed
from invoicekey.vtex.subscriptions import Configurations
from invoicekey.work.drain import Drained, DrainFeed, Ended, OwnFeeds
from invoicekey.work.rounds import Rounds, SharedBackoff, accounts_served
from local.vtex_simulator import Fault, VtexSimulator
from tests.fakes_visits import OTHER, SHOP, Figures, MemoryQueue, MemoryTable, a_vtex, app_key, credentials, headers
from tests.vtex_facts import FACTS

A_MINUTE = 60.0


QUEUE = {"visibilityTimeoutInSeconds": 240, "MessageRetentionPeriodInSeconds": 1_209_600}
HOOK_URL = "https://api.example/hooks/vtex/orders"


def own_feeds_of(vtex: Vtex, table: MemoryTable) -> OwnFeeds:
    notes, statuses = RegistrationStates(table), frozenset({"invoiced"})
    return OwnFeeds(Configurations(vtex), notes, credentials, hook_url=HOOK_URL, statuses=statuses)


@dataclass
class Shop:
    """A drain, and what stands around it."""

    simulator: VtexSimulator
    figures: Figures
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    table: MemoryTable = field(default_factory=MemoryTable)
    vtex: Vtex = field(init=False)

    def __post_init__(self) -> None:
        self.vtex = a_vtex(self.simulator.url)

    def configure(
        self, account: str = SHOP, status: tuple[str, ...] = ("invoiced", "handling", "unknow"), **more: Any
    ) -> None:
        config = {"filter": {"type": "FromWorkflow", "status": list(status)}, "queue": {}, **more}
        url = f"{self.simulator.url}/{account}/api/orders/feed/config"
        httpx.post(url, json=config, headers=headers(account)).raise_for_status()

    def drain(self, *accounts: str, seconds_left: Callable[[], float] = lambda: A_MINUTE) -> Drained:
        visits = SharedBackoff(self.vtex, Ledger(self.table), self.table)
        feed, watched = Feed(self.vtex), frozenset({"invoiced"})
        own_feeds = own_feeds_of(self.vtex, self.table)
        rounds = Rounds(self.table, "drain")
        drain = DrainFeed(feed, self.queue, visits, own_feeds, rounds, watched_statuses=watched)
        return drain.run(accounts or (SHOP,), seconds_left)

    def had_turns(self) -> list[str]:
        return list(dict.fromkeys(call.account for call in self.simulator.calls(route="feed")))

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


def test_an_event_is_queued_as_the_hook_s_notification_and_committed(shop: Shop) -> None:
    texts = {"lastChange": "2026-03-03T14:53:39.2550122Z", "currentChange": "2026-03-03T14:54:00.5436574Z"}
    shop.simulator.put_feed_event(SHOP, "VVJ-975101-01", **texts)

    drained = shop.drain()

    assert shop.queue.bodies == [
        {
            "Domain": "Fulfillment",
            "OrderId": "VVJ-975101-01",
            "State": "invoiced",
            "LastState": "invoice",
            "LastChange": "2026-03-03T14:53:39.2550122Z",
            "CurrentChange": "2026-03-03T14:54:00.5436574Z",
            "Origin": {"Account": "luxstore"},
        }
    ]
    assert {event.source for event in shop.queue.events} == {FEED}
    assert shop.left() == []
    assert drained == Drained(read=1, queued=1, committed=1, ended={SHOP: Ended.EMPTY})


def test_an_event_is_known_by_the_id_that_the_hook_s_has(shop: Shop) -> None:
    shop.simulator.put_feed_event(SHOP, "VVJ-1-01", lastChange="2026-03-03T14:53:39.2550122")

    shop.drain()

    hook = {"OrderId": "VVJ-1-01", "State": "invoiced", "LastChange": "2026-03-03T14:53:39.2550122"}
    assert [event_id(body) for body in shop.queue.bodies] == [event_id(hook)]


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


def test_an_unwatched_state_is_committed_and_not_queued(shop: Shop) -> None:
    shop.simulator.put_feed_event(SHOP, "VVJ-1-01", "handling")
    shop.simulator.put_feed_event(SHOP, "VVJ-2-01", "invoiced")

    drained = shop.drain()

    assert (shop.queue.order_ids, shop.left()) == (["VVJ-2-01"], [])
    assert drained == Drained(read=2, queued=1, not_watched=1, committed=2, ended={SHOP: Ended.EMPTY})


def test_a_page_of_unwatched_states_asks_sqs_for_nothing(shop: Shop) -> None:
    put(shop, 2, state="handling")

    assert (shop.drain().committed, shop.queue.batches) == (2, [])


def test_a_state_that_says_nothing_is_queued(shop: Shop) -> None:
    put(shop, 1, state="unknow")

    assert shop.drain().queued == 1


@pytest.mark.parametrize("order_id", ["seq501456", "a/b", "_DBA", "x" * 100, "\ud800"], ids=ascii)
def test_an_order_that_cannot_be_cnova_s_is_committed_counted_and_not_queued(shop: Shop, order_id: str) -> None:
    shop.simulator.put_feed_event(SHOP, order_id)
    shop.simulator.put_feed_event(SHOP, "VVJ-1-01")

    drained = shop.drain()

    assert (shop.queue.order_ids, shop.left()) == (["VVJ-1-01"], [])
    assert drained == Drained(read=2, queued=1, foreign=1, committed=2, ended={SHOP: Ended.EMPTY})
    assert shop.figures.sums["feed_foreign_order_id"] == 1


def test_such_an_order_s_event_of_a_state_that_is_not_watched_counts_as_that(shop: Shop) -> None:
    shop.simulator.put_feed_event(SHOP, "a/b", "handling")

    assert shop.drain() == Drained(read=1, not_watched=1, committed=1, ended={SHOP: Ended.EMPTY})


@pytest.mark.parametrize("order_id", ["", " "])
def test_an_event_that_names_no_order_is_committed_counted_and_not_queued(shop: Shop, order_id: str) -> None:
    shop.simulator.put_feed_event(SHOP, order_id)

    drained = shop.drain()

    assert (shop.queue.events, shop.left()) == ([], [])
    assert drained == Drained(read=1, unreadable=1, committed=1, ended={SHOP: Ended.EMPTY})
    assert shop.figures.sums["feed_unreadable"] == 1


@pytest.mark.parametrize("order_id", FACTS.order_ids)
def test_an_order_id_as_vtex_documents_them_is_queued(shop: Shop, order_id: str) -> None:
    shop.simulator.put_feed_event(SHOP, order_id)

    shop.drain()

    assert shop.queue.order_ids == [order_id]


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


@pytest.mark.parametrize("kind", ["login_page", "login_redirect", "truncated_json", "drop", "status"])
def test_nothing_is_queued_or_committed_when_vtex_fails_to_give_a_page(shop: Shop, kind: Any) -> None:
    put(shop, 3)
    shop.simulator.fail(Fault(kind, status=500, route="feed"))

    drained = shop.drain()

    assert (shop.queue.events, len(shop.left())) == ([], 3)
    assert drained == Drained(ended={SHOP: Ended.FAILED})
    assert shop.figures.sums == {"feed_failed": 1}


@pytest.mark.parametrize("kind", ["login_page", "status"])
def test_what_vtex_did_not_let_us_commit_stays_in_the_feed(shop: Shop, kind: Any) -> None:
    put(shop, 3)
    shop.simulator.fail(Fault(kind, status=500, route="commit", times=1))

    drained = shop.drain()

    assert (drained.queued, drained.committed, len(shop.left())) == (3, 0, 3)
    assert drained.ended == {SHOP: Ended.FAILED}


# ---- Time


def test_when_the_time_is_up_no_page_is_begun(shop: Shop) -> None:
    put(shop, 1)

    drained = shop.drain(seconds_left=lambda: 19.9)

    assert (drained, shop.asked()) == (Drained(ended={SHOP: Ended.TIME_UP}), [])
    assert shop.figures.sums == {"feed_time_up": 1}


def test_a_run_that_is_interrupted_loses_nothing(shop: Shop) -> None:
    put(shop, 25)
    left = iter([A_MINUTE, A_MINUTE, A_MINUTE, A_MINUTE, 19.0])

    drained = shop.drain(seconds_left=lambda: next(left))

    assert drained == Drained(read=10, queued=10, committed=10, ended={SHOP: Ended.TIME_UP})
    assert {*shop.queue.order_ids, *shop.left()} == {f"VVJ-{number}-01" for number in range(25)}


def test_a_page_that_is_queued_when_the_time_is_up_comes_again(shop: Shop) -> None:
    put(shop, 1)
    left = iter([A_MINUTE, A_MINUTE, A_MINUTE, 1.0])

    drained = shop.drain(seconds_left=lambda: next(left))

    assert (drained.queued, drained.committed, drained.ended) == (1, 0, {SHOP: Ended.TIME_UP})
    assert shop.left() == ["VVJ-0-01"]


def test_where_the_pace_leaves_no_room_the_rest_waits_for_the_next_run(shop: Shop) -> None:
    put(shop, 60)
    shop.vtex = a_vtex(shop.simulator.url, limiter=RateLimiter(1))

    drained = shop.drain()

    assert (drained.committed, len(shop.left()), drained.ended) == (50, 10, {SHOP: Ended.TIME_UP})


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

    assert [call.account for call in two.simulator.calls(route="feed")] == [SHOP, OTHER, SHOP, OTHER, SHOP, OTHER]
    assert [body["Origin"]["Account"] for body in two.queue.bodies].count(OTHER) == 15


@pytest.mark.parametrize(
    ("fault", "ended", "metric"),
    [
        (Fault("status", status=401, account=SHOP, route="feed"), Ended.CREDENTIALS_REFUSED, "credentials_refused"),
        (Fault("status", status=403, account=SHOP, route="feed"), Ended.CREDENTIALS_REFUSED, "credentials_refused"),
        (Fault("status", status=429, account=SHOP, route="feed"), Ended.CHECK_RATE_LIMITED, "check_rate_limited"),
        (Fault("status", status=404, account=SHOP, route="feed"), Ended.NOT_CONFIGURED, "feed_not_configured"),
        (Fault("login_page", account=SHOP, route="feed"), Ended.FAILED, "feed_failed"),
    ],
    ids=["401", "403", "429", "404", "login-page"],
)
def test_one_account_s_trouble_does_not_stop_another(two: Shop, fault: Fault, ended: Ended, metric: str) -> None:
    two.simulator.fail(fault)

    drained = two.drain(SHOP, OTHER)

    assert drained.ended == {SHOP: ended, OTHER: Ended.EMPTY}
    assert (len(two.left(SHOP)), two.left(OTHER)) == (15, [])
    assert two.figures.sums[metric] == 1


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
    read_before = len(shop.simulator.calls(route="feed"))
    return lambda: A_MINUTE if len(shop.simulator.calls(route="feed")) < read_before + turns else 10.0


def test_the_next_run_begins_after_the_account_that_had_the_last_turn(many: Shop) -> None:
    many.drain(*MANY, seconds_left=with_time_for(2, many))
    many.drain(*MANY, seconds_left=with_time_for(2, many))
    many.drain(*MANY, seconds_left=with_time_for(2, many))

    assert [call.account for call in many.simulator.calls(route="feed")] == [*MANY, MANY[0]]


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


def test_an_account_whose_turn_ends_the_run_is_not_the_first_of_the_next_one(
    many: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Feed, "read", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            many.drain(*MANY)

    many.drain(*MANY, seconds_left=with_time_for(1, many))

    assert many.had_turns() == [MANY[1]]


def test_an_account_that_the_pace_left_no_room_for_is_the_first_of_the_next_run(many: Shop) -> None:
    three = MANY[:3]
    for account in three:
        put(many, 20, account)
    many.vtex = a_vtex(many.simulator.url, limiter=RateLimiter(1))  # ten calls at once: five pages

    many.drain(*three)
    many.vtex = a_vtex(many.simulator.url)
    many.drain(*three, seconds_left=with_time_for(1, many))

    turns = [call.account for call in many.simulator.calls(route="feed")]
    assert turns == [*three, *three[:2], three[2]]


@pytest.mark.parametrize("trouble", ["put", "none"])
def test_a_run_that_cannot_keep_how_far_it_came_is_no_failure_and_the_next_one_begins_where_it_began(
    many: Shop, trouble: str
) -> None:
    many.table.trouble[trouble] = RetryLater("busy")

    drained = many.drain(*MANY, seconds_left=with_time_for(1, many))
    many.table.trouble.clear()
    many.drain(*MANY, seconds_left=with_time_for(1, many))

    assert drained.queued == 1
    first_again = [MANY[0], MANY[0]] if trouble == "put" else [MANY[0], MANY[1]]
    assert [call.account for call in many.simulator.calls(route="feed")] == first_again


def test_how_far_a_run_came_is_written_once_and_not_at_all_where_it_came_nowhere(many: Shop) -> None:
    many.table.written.clear()
    many.drain(*MANY)
    assert many.table.written == ["round#drain"]

    many.drain(*MANY, seconds_left=lambda: 1.0)
    many.drain(SHOP, seconds_left=lambda: 1.0)
    assert many.table.written == ["round#drain"]


def test_runs_that_overlap_leave_no_account_out(many: Shop) -> None:
    first, second = (Rounds(many.table, "drain").of(MANY) for _ in range(2))
    with first as one, second as other:
        assert [one.next(), other.next(), one.next()] == [MANY[0], MANY[0], MANY[1]]

    many.drain(*MANY, seconds_left=with_time_for(4, many))

    assert many.had_turns() == [MANY[2], MANY[3], MANY[4], MANY[0]]


def test_a_run_whose_time_is_up_counts_once_however_many_accounts_it_has(two: Shop) -> None:
    two.drain(SHOP, OTHER, seconds_left=lambda: 1.0)

    assert two.figures.sums["feed_time_up"] == 1


def test_an_account_without_credentials_does_not_stop_another(two: Shop) -> None:
    assert two.drain("nobody", SHOP).ended == {"nobody": Ended.CREDENTIALS_REFUSED, SHOP: Ended.EMPTY}


def test_a_feed_that_may_be_another_system_s_is_not_read(two: Shop) -> None:
    RegistrationStates(two.table).write(RegistrationState(SHOP, app_key=digest(app_key(SHOP)), feed_left_alone=True))

    drained = two.drain(SHOP, OTHER)

    assert drained.ended == {SHOP: Ended.LEFT_ALONE, OTHER: Ended.EMPTY}
    assert two.asked(SHOP) == []


@pytest.mark.parametrize(
    "known",
    [
        RegistrationState(SHOP),
        RegistrationState(SHOP, app_key=digest("the appKey before this one"), feed_installed=True),
    ],
    ids=["before the guard's first run", "with a new appKey"],
)
def test_a_feed_that_the_guard_has_not_seen_is_read_only_where_it_is_as_ours_would_be(
    shop: Shop, known: RegistrationState
) -> None:
    RegistrationStates(shop.table).write(known)
    put(shop, 3)

    assert shop.drain().ended == {SHOP: Ended.LEFT_ALONE}
    assert len(shop.left()) == 3

    shop.configure(status=("invoiced",), queue=QUEUE)
    assert shop.drain().ended == {SHOP: Ended.EMPTY}
    assert shop.left() == []


def test_a_feed_just_like_ours_is_not_read_beside_another_system_s_hook(shop: Shop) -> None:
    RegistrationStates(shop.table).write(RegistrationState(SHOP))
    shop.configure(status=("invoiced",), queue=QUEUE)
    shop.simulator.hooks[app_key(SHOP)] = {"hook": {"url": "https://production.example/hooks/vtex/orders"}}
    put(shop, 3)

    assert shop.drain().ended == {SHOP: Ended.LEFT_ALONE}
    assert len(shop.left()) == 3


@pytest.mark.parametrize("route", ["hook_config", "feed_config"])
def test_where_vtex_does_not_show_hook_or_feed_the_feed_is_read_if_the_guard_knows_it_as_ours_alone(
    shop: Shop, route: str
) -> None:
    put(shop, 3)
    shop.configure(status=("invoiced",), queue=QUEUE)
    shop.simulator.fail(Fault("empty_object", route=route))
    RegistrationStates(shop.table).write(RegistrationState(SHOP))

    assert shop.drain().ended == {SHOP: Ended.LEFT_ALONE}
    assert len(shop.left()) == 3

    shop.knows_as_ours(SHOP)
    assert shop.drain().ended == {SHOP: Ended.EMPTY}
    assert shop.left() == []


def test_where_there_is_no_feed_yet_nothing_is_read(shop: Shop) -> None:
    RegistrationStates(shop.table).write(RegistrationState(SHOP))
    shop.simulator.feeds.clear()

    assert shop.drain().ended == {SHOP: Ended.NOT_CONFIGURED}
    assert shop.asked() == []


def test_no_account_is_no_trouble(shop: Shop) -> None:
    assert accounts_served({}) == []
    drain = DrainFeed(
        Feed(shop.vtex),
        shop.queue,
        SharedBackoff(shop.vtex, Ledger(shop.table), shop.table),
        own_feeds_of(shop.vtex, shop.table),
        Rounds(shop.table, "drain"),
        watched_statuses=frozenset(),
    )
    assert drain.run([], lambda: A_MINUTE) == Drained()


# ---- Silence


def test_a_silence_that_others_met_is_kept(two: Shop) -> None:
    two.table.items[f"silence#{SHOP}"] = {"pk": f"silence#{SHOP}", "until": int(time.time()) + 60}

    drained = two.drain(SHOP, OTHER)

    assert (two.asked(SHOP), drained.ended) == ([], {SHOP: Ended.CHECK_RATE_LIMITED, OTHER: Ended.EMPTY})


def test_a_silence_that_vtex_asks_for_is_shared(shop: Shop) -> None:
    shop.simulator.fail(Fault("status", status=429, retry_after=120, route="feed"))

    shop.drain()

    assert shop.table.items[f"silence#{SHOP}"]["until"] == pytest.approx(time.time() + 120, abs=5)


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


# ---- Whose feeds


def test_the_accounts_are_those_with_credentials() -> None:
    assert accounts_served({"other": {}, "luxstore": {}}) == ["luxstore", "other"]


def test_where_accounts_are_set_the_others_are_left_out() -> None:
    assert accounts_served({"other": {}, "luxstore": {}}, frozenset({"luxstore", "third"})) == ["luxstore"]


@pytest.mark.parametrize("name", ["", "Luxstore", "lux.store", "a/b", "-a", "x" * 64, "evil.example/", "lux store"])
def test_a_name_that_could_leave_its_place_in_the_host_name_is_left_out(name: str) -> None:
    assert accounts_served({name: {}, "luxstore": {}}) == ["luxstore"]
