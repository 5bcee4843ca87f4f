"""The guard: what it registers, what it never overwrites, what it tells, and how often."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any
from unittest.mock import Mock

import pytest

from invoicekey.delivery.topics import Topics
from invoicekey.ledger.entries import Ledger
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.registrations import Notified, RegistrationState, RegistrationStates, digest
from invoicekey.messages import notices
from invoicekey.messages.texts import LANGUAGES
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.secrets import CachedSecret
from invoicekey.runtime.settings import GuardSettings, OfAccounts
from invoicekey.vtex.client import BURST, RateLimiter, Vtex
from invoicekey.vtex.subscriptions import Configurations
from invoicekey.work.guard import PINGS_AT_ONCE, PROMISED, HookGuard, Watch
from invoicekey.work.rounds import Rounds, SharedBackoff
from local import vtex_simulator
from local.vtex_simulator import Fault, VtexSimulator
from tests.environments import GUARD
from tests.fakes import REFUSED, UNREACHABLE, FakeSecretsManager
from tests.fakes_visits import (
    AS_FAST_AS_IT_GOES,
    OTHER,
    SHOP,
    Figures,
    MemoryTable,
    MemoryTopics,
    a_vtex,
    accounts,
    app_key,
    credentials,
    put_feed,
)

A_MINUTE = 60.0
URL = "https://abc123.execute-api.sa-east-1.amazonaws.com/hooks/vtex/orders"
ELSEWHERE = "https://erp.example.com/vtex"
ALERTS, OPERATIONS = "arn:alerts", "arn:operations"
SETTINGS = GuardSettings.read(GUARD)
BY_STATUS = {"type": "FromWorkflow", "status": ["invoiced"]}
QUEUE = {"visibilityTimeoutInSeconds": 240, "MessageRetentionPeriodInSeconds": 1_209_600}
OUR_FEED = {"filter": BY_STATUS, "queue": QUEUE}
OTHER_FEED = {"filter": {"type": "FromWorkflow", "status": ["ready-for-handling"]}, "queue": QUEUE}
BOTH_INSTALLED = ["hook_installed", "feed_installed"]
A_DAY = timedelta(days=1)
NOT_SHOWN, FEED_NOT_SHOWN = (Fault("empty_object", route=route) for route in ("hook_config", "feed_config"))


def a_hook(url: str = URL, secret: str | None = "HUSH-1", **changes: Any) -> dict[str, Any]:
    there = {} if secret is None else {"X-Hook-Secret": secret}
    return {"filter": BY_STATUS, "hook": {"url": url, "headers": there}} | changes


@dataclass
class Shop:
    """A guard, and what stands around it."""

    simulator: VtexSimulator
    figures: Figures
    table: MemoryTable = field(default_factory=MemoryTable)
    topics: MemoryTopics = field(default_factory=lambda: MemoryTopics({ALERTS: 1, OPERATIONS: 1}))
    manager: FakeSecretsManager = field(default_factory=FakeSecretsManager)
    at_once: int = 1
    """One account's turn after the other's, unless told: then it is known who comes when."""
    now: datetime = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
    environment: dict[str, str] = field(
        default_factory=lambda: GUARD | {"VTEX_REQUESTS_PER_MINUTE": str(AS_FAST_AS_IT_GOES)}
    )
    vtex: Vtex = field(init=False)

    def __post_init__(self) -> None:
        self.vtex = a_vtex(self.simulator.url)
        self.rotate("HUSH-1", "")

    def rotate(self, current: object, previous: str = "HUSH-1") -> None:
        self.manager.put("arn:hook", {"current": current, "previous": previous})

    def hook_guard(self) -> HookGuard:
        return HookGuard(
            OfAccounts(GuardSettings, self.environment),
            CachedSecret(self.manager.client, "arn:hook"),
            Configurations(self.vtex),
            credentials=credentials,
            keep_pace=self.vtex.keep_pace,
            topics=self.topics,
            notes=RegistrationStates(self.table),
            backlog=Backlog(self.table),
            backoff=SharedBackoff(self.vtex, Ledger(self.table), self.table),
            rounds=Rounds(self.table, "guard", PROMISED, at_once=self.at_once, now=lambda: self.now),
            now=lambda: self.now,
        )

    def run(self, *names: str, seconds_left: Callable[[], float] = lambda: A_MINUTE, **own: Any) -> Watch:
        self.simulator.requests.clear()
        self.figures.counted.clear()
        self.topics.told.clear()
        self.table.written.clear()
        return self.hook_guard().run(accounts(*(names or (SHOP,)), **own), seconds_left)

    def guard(self, account: str = SHOP, **own: Any) -> list[str]:
        return self.run(account, **own).accounts[account]

    def put_hook(self, config: dict[str, Any], account: str = SHOP) -> None:
        self.simulator.hooks[app_key(account)] = config

    def put_feed(self, config: dict[str, Any]) -> None:
        put_feed(self.simulator, config)

    @property
    def hook(self) -> dict[str, Any] | None:
        return self.simulator.hooks.get(app_key())

    @property
    def feed(self) -> Any:
        feed = self.simulator.feeds.get(app_key())
        return feed and feed.config

    @property
    def noted(self) -> RegistrationState:
        return RegistrationStates(self.table).read([SHOP])[SHOP]

    def asked(self) -> list[tuple[str, str]]:
        return [(call.method, call.route) for call in self.simulator.calls()]


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    figures = Figures()
    monkeypatch.setattr(telemetry, "count", figures)
    monkeypatch.setattr(vtex_simulator, "ping", lambda _: True)
    with VtexSimulator() as simulator:
        yield Shop(simulator, figures)


@pytest.fixture
def guarded(shop: Shop) -> Shop:
    """Return a shop whose hook and feed were registered by the guard."""
    assert shop.guard() == BOTH_INSTALLED
    return shop


# ---- What is registered


def test_a_first_run_registers_hook_and_feed_and_is_no_alarm(shop: Shop) -> None:
    assert shop.guard() == BOTH_INSTALLED
    assert (shop.hook, shop.feed) == (a_hook(), OUR_FEED)
    assert shop.figures.sums == {"hook_installed": 1, "feed_installed": 1}
    assert shop.topics.told == []


def test_where_all_is_well_nothing_is_written(guarded: Shop) -> None:
    assert guarded.guard() == []
    assert guarded.asked() == [("GET", "hook_config"), ("GET", "feed_config")]
    assert guarded.table.written == ["accounts"]  # nor is how far the run came: there is one account
    assert guarded.figures.sums == {}


@pytest.mark.parametrize(("gone", "event"), [("hooks", "hook_restored"), ("feeds", "feed_restored")])
def test_what_is_gone_is_registered_again_and_is_an_alarm(guarded: Shop, gone: str, event: str) -> None:
    getattr(guarded.simulator, gone).clear()

    assert guarded.guard() == [event]
    assert (guarded.hook, guarded.feed) == (a_hook(), OUR_FEED)
    assert guarded.figures.sums == {event: 1, "configuration_restored": 1}


@pytest.mark.parametrize(
    ("config", "event"),
    [
        pytest.param(a_hook(filter={"type": "FromOrders", "expression": "true"}), "hook_restored", id="another-filter"),
        pytest.param(a_hook(URL.replace("orders", "feeds")), "hook_restored", id="another-path"),
        pytest.param(a_hook(secret="HUSH-changed-by-hand"), "hook_restored", id="another-header"),
        pytest.param(OTHER_FEED, "feed_restored", id="feed-of-another-status"),
        pytest.param(OUR_FEED | {"queue": {"visibilityTimeoutInSeconds": 30}}, "feed_restored", id="another-timeout"),
    ],
)
def test_what_is_ours_and_different_is_registered_again(guarded: Shop, config: dict[str, Any], event: str) -> None:
    put = guarded.put_hook if event == "hook_restored" else guarded.put_feed
    put(config)

    assert guarded.guard() == [event]
    assert (guarded.hook, guarded.feed) == (a_hook(), OUR_FEED)


@pytest.mark.parametrize("config", [a_hook(secret=None), {"filter": BY_STATUS}], ids=["header", "address"])
def test_what_vtex_does_not_show_of_our_hook_is_as_we_registered_it(guarded: Shop, config: dict[str, Any]) -> None:
    guarded.put_hook(config)

    assert guarded.guard() == []


def test_a_hook_of_ours_whose_header_is_not_shown_and_not_known_is_registered(shop: Shop) -> None:
    shop.put_hook(a_hook(secret=None))

    assert shop.guard() == BOTH_INSTALLED
    assert shop.hook == a_hook()


def test_what_is_installed_is_noted_after_vtex_took_it(shop: Shop) -> None:
    for route in ("hook_config", "feed_config"):
        shop.simulator.fail(Fault("status", status=500, route=route, times=None))

    assert shop.guard() == ["guard_failed", "guard_failed"]
    assert shop.figures.sums["guard_failed"] == 1
    assert shop.noted == RegistrationState(SHOP)


def test_a_hook_that_cannot_be_read_is_not_written(guarded: Shop) -> None:
    guarded.simulator.fail(Fault("login_page", route="hook_config"))

    assert guarded.guard() == ["guard_failed"]
    assert ("POST", "hook_config") not in guarded.asked()


def test_a_hook_that_fails_its_ping_is_told_and_the_feed_is_registered_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vtex_simulator, "ping", lambda _: False)

    assert shop.guard() == ["guard_refused", "feed_installed"]
    assert (shop.hook, shop.feed) == (None, OUR_FEED)
    assert not shop.noted.hook_installed


# ---- What an account watches of its own

OWN = {"WatchedStatuses": "invoiced, Handling"}
BY_OWN = {"type": "FromWorkflow", "status": ["handling", "invoiced"]}


def test_an_account_with_statuses_of_its_own_has_them_in_filters_and_in_a_header_of_each_call(shop: Shop) -> None:
    assert shop.guard(settings=OWN) == BOTH_INSTALLED

    hook = a_hook(filter=BY_OWN)
    hook["hook"]["headers"]["X-Watched-Statuses"] = "handling,invoiced"
    assert (shop.hook, shop.feed) == (hook, OUR_FEED | {"filter": BY_OWN})
    assert shop.guard(settings=OWN) == []


@pytest.mark.parametrize(("before", "after"), [({}, OWN), (OWN, {}), ({}, {"WatchedStatuses": "invoiced"})])
def test_a_change_of_them_is_registered(shop: Shop, before: dict[str, str], after: dict[str, str]) -> None:
    shop.guard(settings=before)

    assert shop.guard(settings=after)[0] == "hook_restored"
    assert shop.guard(settings=after) == []
    assert shop.hook
    assert ("X-Watched-Statuses" in shop.hook["hook"]["headers"]) is bool(after)


def test_an_account_with_a_wrong_setting_is_not_guarded_and_all_others_are(shop: Shop) -> None:
    both = accounts(SHOP, settings={"WatchedStatuses": "no-such-status"}) | accounts(OTHER)

    assert shop.hook_guard().run(both, lambda: A_MINUTE).accounts == {OTHER: BOTH_INSTALLED}
    assert shop.figures.sums["ledger_unreadable"] == 1


# ---- Rotation


@pytest.mark.parametrize(
    ("at_vtex", "events"),
    [
        pytest.param(a_hook(), ["hook_secret_updated"], id="former-secret"),
        pytest.param(a_hook(secret=None), ["hook_secret_updated"], id="header-not-shown"),
        pytest.param(a_hook(secret="HUSH-2"), [], id="registered-by-an-operator"),
        pytest.param({}, ["hook_restored"], id="gone"),
    ],
)
def test_a_new_secret_is_registered_and_is_no_alarm_but_where_the_hook_is_gone(
    guarded: Shop, at_vtex: dict[str, Any], events: list[str]
) -> None:
    guarded.rotate("HUSH-2")
    guarded.simulator.hooks = {app_key(): at_vtex} if at_vtex else {}

    assert guarded.guard() == events
    assert guarded.hook == a_hook(secret="HUSH-2")
    assert ("configuration_restored" in guarded.figures.sums) is (not at_vtex)
    guarded.put_hook(a_hook(secret=None))
    assert guarded.guard() == []


def test_a_secret_rotated_moments_after_a_run_is_registered_by_the_next_run(guarded: Shop) -> None:
    guard = guarded.hook_guard()
    guard.run(accounts(SHOP), lambda: A_MINUTE)
    guarded.rotate("HUSH-2")

    guard.run(accounts(SHOP), lambda: A_MINUTE)

    assert guarded.hook == a_hook(secret="HUSH-2")


def test_while_the_secret_cannot_be_read_no_outdated_one_is_registered(guarded: Shop) -> None:
    guard = guarded.hook_guard()
    guard.run(accounts(SHOP), lambda: A_MINUTE)
    guarded.rotate("HUSH-2")
    guarded.put_hook(a_hook(secret="HUSH-2"))
    guarded.manager.trouble = UNREACHABLE

    assert guard.run(accounts(SHOP), lambda: A_MINUTE).accounts[SHOP] == ["guard_failed"]
    assert guarded.hook == a_hook(secret="HUSH-2")


@pytest.mark.parametrize("current", [None, "", " ", 7, " HUSH", "HUSH ", "HU\nSH", "HÚSH"], ids=ascii)
def test_a_secret_that_no_header_can_carry_is_never_registered(guarded: Shop, current: object) -> None:
    guarded.rotate(current)

    assert guarded.guard() == ["guard_failed"]
    assert guarded.hook == a_hook()


# ---- A hook elsewhere


@pytest.mark.parametrize(("url", "shown"), [(ELSEWHERE, "erp.example.com"), ("https://[half/", "that we cannot read")])
@pytest.mark.parametrize("was_ours", [False, True])
def test_a_hook_at_another_system_is_never_overwritten(shop: Shop, was_ours: bool, url: str, shown: str) -> None:
    if was_ours:
        shop.run(SHOP)
    shop.put_hook(a_hook(url))

    assert shop.guard()[0] == "hook_elsewhere"
    assert shop.hook == a_hook(url)
    assert ("POST", "hook_config") not in shop.asked()
    assert shown in shop.topics.told[0][1].body


@pytest.mark.parametrize("urls", [(ELSEWHERE, "https://other.example.com/"), (ELSEWHERE, URL, ELSEWHERE)])
def test_a_person_is_told_again_when_the_host_changes_or_it_happens_again(shop: Shop, urls: tuple[str, ...]) -> None:
    for url in urls:
        shop.put_hook(a_hook(url))
        shop.run(SHOP)

    assert len(shop.topics.told) == 1


LASTING: dict[str, Callable[[Shop], object]] = {
    "hook-elsewhere": lambda shop: shop.put_hook(a_hook(ELSEWHERE)),
    "feed-left-alone": lambda shop: shop.put_feed(OTHER_FEED),
    "hook-not-shown": lambda shop: shop.simulator.fail(NOT_SHOWN),
    "feed-not-shown": lambda shop: shop.simulator.fail(FEED_NOT_SHOWN),
    "neither-shown": lambda shop: (shop.simulator.fail(NOT_SHOWN), shop.simulator.fail(FEED_NOT_SHOWN)),
    "nobody-hears-the-alarms": lambda shop: shop.topics.listeners.update({OPERATIONS: 0}),
}


@pytest.mark.parametrize("trouble", LASTING)
def test_people_are_told_once_in_seven_days_and_of_the_alarms_topic_on_the_alert_topic(
    shop: Shop, trouble: str
) -> None:
    LASTING[trouble](shop)

    told = []
    for _ in range(9):
        shop.run(SHOP)
        told.append([(topic, account) for topic, _, account in shop.topics.told])
        shop.now += A_DAY

    once = (ALERTS, None) if trouble == "nobody-hears-the-alarms" else (OPERATIONS, SHOP)
    assert told == [[once], *[[]] * 6, [once], []]


def test_what_could_not_be_told_is_told_at_the_next_run(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))
    shop.topics.trouble = RetryLater("SNS is away")
    assert shop.guard() == ["hook_elsewhere", "feed_installed"]
    assert shop.figures.sums["guard_failed"] == 1
    shop.topics.trouble = None

    shop.run(SHOP)

    assert len(shop.topics.told) == 1


# ---- What VTEX does not show


@pytest.mark.parametrize("is_noted", [True, False])
def test_a_hook_that_is_not_shown_is_never_written_not_even_where_ours_was_there(shop: Shop, is_noted: bool) -> None:
    if is_noted:
        shop.run(SHOP)
    shop.put_hook(a_hook(ELSEWHERE))
    shop.simulator.fail(NOT_SHOWN)
    for _ in range(3):
        assert shop.guard()[0] == "hook_not_shown"
        assert ("POST", "hook_config") not in shop.asked()
        assert shop.figures.sums["hook_not_shown"] == 1

    assert shop.hook == a_hook(ELSEWHERE)


def test_once_the_hook_is_shown_again_all_is_as_before(guarded: Shop) -> None:
    guarded.simulator.fail(replace(NOT_SHOWN, times=1))
    before = guarded.noted

    assert guarded.guard() == ["hook_not_shown"]
    assert guarded.guard() == []
    assert guarded.noted == before


def test_a_feed_that_was_left_alone_for_a_hook_that_was_not_shown_is_ours_once_the_hook_is_seen_to_be(
    shop: Shop,
) -> None:
    shop.put_hook(a_hook())
    shop.put_feed(OUR_FEED)
    shop.simulator.fail(replace(NOT_SHOWN, times=1))
    assert shop.guard() == ["hook_not_shown", "feed_left_alone"]

    assert shop.guard() == []
    assert (shop.noted.feed_installed, shop.noted.feed_left_alone) == (True, False)


def test_a_feed_that_is_not_shown_is_never_written(guarded: Shop) -> None:
    guarded.put_feed(OTHER_FEED)
    guarded.simulator.fail(FEED_NOT_SHOWN)

    assert guarded.guard() == ["feed_not_shown"]
    assert ("POST", "feed_config") not in guarded.asked()
    assert guarded.noted.feed_installed  # what was ours is drained as before
    assert guarded.figures.sums == {"feed_not_shown": 1}


def test_a_hook_whose_address_is_not_shown_is_not_written_over_though_it_was_ours(guarded: Shop) -> None:
    guarded.rotate("HUSH-2")
    guarded.put_hook({"filter": BY_STATUS})

    assert guarded.guard() == ["hook_not_shown"]
    assert guarded.hook == {"filter": BY_STATUS}


@pytest.mark.parametrize(("watched", "warned"), [({"invoiced"}, []), ({"invoiced", "canceling"}, ["canceling"])])
def test_a_status_that_no_filter_of_vtex_lists_is_warned_of(
    shop: Shop, watched: set[str], warned: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    shop.environment["WATCHED_STATUSES"] = ",".join(watched)

    shop.run(SHOP)

    told = [vars(record)["watched_statuses"] for record in caplog.records if "watched_statuses" in vars(record)]
    assert told == ([warned] if warned else [])


# ---- A feed that may be another system's


@pytest.mark.parametrize(
    ("hook", "feed", "events"),
    [
        pytest.param(a_hook(ELSEWHERE), OTHER_FEED, ["hook_elsewhere", "feed_left_alone"], id="unlike-ours-elsewhere"),
        pytest.param(a_hook(ELSEWHERE), OUR_FEED, ["hook_elsewhere", "feed_left_alone"], id="like-ours-elsewhere"),
        pytest.param(a_hook(ELSEWHERE), None, ["hook_elsewhere", "feed_installed"], id="none-elsewhere"),
        pytest.param(NOT_SHOWN, OTHER_FEED, ["hook_not_shown", "feed_left_alone"], id="unlike-ours-not-shown"),
        pytest.param(NOT_SHOWN, OUR_FEED, ["hook_not_shown", "feed_left_alone"], id="like-ours-not-shown"),
        pytest.param(NOT_SHOWN, None, ["hook_not_shown", "feed_installed"], id="none-not-shown"),
        pytest.param(None, OTHER_FEED, ["hook_installed", "feed_left_alone"], id="unlike-ours-before-our-hook"),
        pytest.param(None, OUR_FEED, ["hook_installed"], id="like-ours-before-our-hook"),
        pytest.param(a_hook(), OTHER_FEED, ["feed_installed"], id="unlike-ours-beside-ours"),
        pytest.param(a_hook(), OUR_FEED, [], id="registered-by-an-operator"),
    ],
)
def test_a_feed_is_left_alone_and_a_person_told_where_it_may_be_another_system_s(
    shop: Shop, hook: dict[str, Any] | Fault | None, feed: dict[str, Any] | None, events: list[str]
) -> None:
    if isinstance(hook, Fault):
        shop.simulator.fail(hook)
    elif hook:
        shop.put_hook(hook)
    if feed:
        shop.put_feed(feed)
    is_left = "feed_left_alone" in events

    assert shop.guard() == events
    assert shop.feed == (feed if is_left else OUR_FEED)
    assert (shop.noted.feed_left_alone, shop.noted.feed_installed) == (is_left, not is_left)
    is_told = is_left or "hook_elsewhere" in events or "hook_not_shown" in events
    assert [(topic, account) for topic, _, account in shop.topics.told] == [(OPERATIONS, SHOP)] * is_told


def test_a_feed_that_we_did_not_register_is_not_judged_before_the_hook_was_seen(shop: Shop) -> None:
    shop.put_feed(OTHER_FEED)
    shop.simulator.fail(Fault("status", status=500, route="hook_config"))

    assert shop.guard() == ["guard_failed", "guard_failed"]
    assert (shop.feed, shop.noted) == (OTHER_FEED, RegistrationState(SHOP))


@pytest.mark.parametrize("feed_step", ["feed_config", "hook_config"])
def test_a_first_run_that_fails_midway_makes_no_proof_of_our_own_hook(shop: Shop, feed_step: str) -> None:
    shop.put_feed(OTHER_FEED)
    shop.simulator.fail(Fault("status", status=500, route=feed_step, times=1))
    shop.run(SHOP)

    assert shop.guard()[-1] == "feed_left_alone"
    assert shop.feed == OTHER_FEED


def test_a_hook_whose_registration_gave_no_answer_is_no_proof_either(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = Configurations.install_hook

    def without_an_answer(*given: Any) -> None:
        install(*given)
        raise RetryLater("VTEX gave no answer")

    shop.put_feed(OTHER_FEED)
    with monkeypatch.context() as patch:
        patch.setattr(Configurations, "install_hook", without_an_answer)
        assert shop.guard() == ["guard_failed", "feed_left_alone"]

    assert shop.hook == a_hook()
    assert shop.guard() == ["feed_left_alone"]
    assert shop.feed == OTHER_FEED


@pytest.mark.parametrize("left_alone", [True, False])
def test_what_a_version_before_has_registered_is_no_proof_that_the_feed_is_ours(shop: Shop, left_alone: bool) -> None:
    known = RegistrationState(SHOP, digest(app_key()), hook_installed=True, feed_left_alone=left_alone)
    RegistrationStates(shop.table).write(known)
    shop.put_hook(a_hook())
    shop.put_feed(OTHER_FEED)

    assert shop.guard() == ["feed_left_alone"]
    assert shop.feed == OTHER_FEED


def test_a_feed_that_was_left_alone_and_is_gone_is_registered(shop: Shop) -> None:
    shop.put_feed(OTHER_FEED)
    shop.run(SHOP)
    shop.simulator.feeds.clear()

    assert shop.guard() == ["feed_installed"]
    assert not shop.noted.feed_left_alone


def test_a_feed_of_ours_stays_ours_beside_a_hook_elsewhere(guarded: Shop) -> None:
    guarded.put_hook(a_hook(ELSEWHERE))
    guarded.put_feed(OTHER_FEED)

    assert guarded.guard() == ["hook_elsewhere", "feed_restored"]


# ---- Several accounts with the same trouble


def hooks_elsewhere(shop: Shop) -> None:
    for account in (SHOP, OTHER):
        shop.put_hook(a_hook(ELSEWHERE), account)


def foreign_feeds(shop: Shop) -> None:
    for account in (SHOP, OTHER):
        put_feed(shop.simulator, OTHER_FEED, account)


TROUBLES: dict[str, Callable[[Shop], object]] = {
    "hook_elsewhere": hooks_elsewhere,
    "hook_not_shown": lambda shop: shop.simulator.fail(NOT_SHOWN),
    "feed_not_shown": lambda shop: shop.simulator.fail(FEED_NOT_SHOWN),
    "feed_left_alone": foreign_feeds,
}


def named_in(notice: notices.Notice) -> list[str]:
    (line,) = [line for line in notice.body.splitlines() if line.startswith(("Accounts: ", "Contas: "))]
    return [re.split(r"[ ,(]", one)[0] for one in line.partition(": ")[2].split(", ")]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_several_accounts_with_the_same_trouble_are_told_of_in_one_message_that_names_them(
    shop: Shop, trouble: str
) -> None:
    TROUBLES[trouble](shop)

    shop.run(SHOP, OTHER)

    ((topic, notice, about),) = shop.topics.told
    assert (topic, about) == (OPERATIONS, f"{SHOP}, {OTHER}")
    assert notice.subject.startswith("2 accounts: ")
    assert named_in(notice) == [SHOP, OTHER]
    shop.run(SHOP, OTHER)
    assert shop.topics.told == []


def test_different_troubles_are_different_messages(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))
    put_feed(shop.simulator, OTHER_FEED, OTHER)

    shop.run(SHOP, OTHER)

    assert [about for _, _, about in shop.topics.told] == [SHOP, OTHER]


def test_of_several_accounts_too_what_could_not_be_told_is_told_at_the_next_run(shop: Shop) -> None:
    hooks_elsewhere(shop)
    shop.topics.trouble = RetryLater("SNS is away")
    shop.run(SHOP, OTHER)
    shop.topics.trouble = None

    shop.run(SHOP, OTHER)

    assert len(shop.topics.told) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notice_of_a_thousand_accounts_names_fifty_and_counts_the_others(language: str) -> None:
    names = [f"shop-{number:03}" for number in range(1000)]
    for notice in (
        notices.hook_elsewhere(dict.fromkeys(names, "erp.example.com"), language, "invoicekey"),
        notices.feed_left_alone(names, language, "invoicekey"),
        notices.not_shown(names, language, "invoicekey"),
    ):
        assert named_in(notice) == names[:50]
        assert re.search(r" (e mais 950|and 950 more)$", notice.body, re.MULTILINE)
        assert notice.subject.startswith("1000 ")
        assert notice.subject.isascii()
        assert notice.body.split()[0].strip(",") in {"Crie", "Veja", "Create", "See"}


def test_a_message_about_several_accounts_can_be_filtered_by_each() -> None:
    sns = Mock()
    notice = notices.not_shown([SHOP, OTHER], "en", "invoicekey")

    Topics(sns).publish(OPERATIONS, notice, SHOP, OTHER)

    about = sns.publish.call_args.kwargs["MessageAttributes"]["account"]
    assert about == {"DataType": "String.Array", "StringValue": json.dumps([SHOP, OTHER])}


# ---- Another appKey


def test_what_was_noted_of_one_app_key_says_nothing_of_another(guarded: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes_visits.app_key", lambda account: f"vtexappkey-{account}-NEW")
    shared = "vtexappkey-luxstore-NEW"
    guarded.simulator.hooks[shared] = a_hook(ELSEWHERE)
    guarded.put_feed(OTHER_FEED)

    assert guarded.guard() == ["hook_elsewhere", "feed_left_alone"]
    assert guarded.simulator.feeds[shared].config == OTHER_FEED


def test_a_new_app_key_gets_its_hook_and_feed_and_is_no_alarm(guarded: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes_visits.app_key", lambda account: f"vtexappkey-{account}-NEW")

    assert guarded.guard() == BOTH_INSTALLED
    assert guarded.guard() == []


# ---- Accounts


@pytest.mark.parametrize(
    ("status", "event"), [(401, "credentials_refused"), (403, "credentials_refused"), (429, "check_rate_limited")]
)
def test_one_account_s_trouble_ends_its_turn_and_no_other_s(shop: Shop, status: int, event: str) -> None:
    shop.simulator.fail(Fault("status", status=status, account=SHOP, route="hook_config"))

    assert shop.run(SHOP, OTHER).accounts == {SHOP: [event], OTHER: BOTH_INSTALLED}
    assert len(shop.simulator.calls(account=SHOP)) == 1


def test_a_silence_that_vtex_asks_for_is_shared_and_kept(shop: Shop) -> None:
    shop.simulator.fail(Fault("status", status=429, retry_after=120, route="hook_config"))
    shop.run(SHOP)

    shop.vtex = a_vtex(shop.simulator.url)

    assert shop.guard() == ["check_rate_limited"]
    assert shop.asked() == []


def test_an_account_whose_rate_limit_allows_no_more_waits_for_the_next_run(shop: Shop) -> None:
    shop.environment["VTEX_REQUESTS_PER_MINUTE"] = "1"
    limiter = RateLimiter(1)
    for _ in range(BURST):
        limiter.acquire(SHOP, 0)
    shop.vtex = a_vtex(shop.simulator.url, limiter=limiter)

    assert shop.run(SHOP).accounts == {SHOP: ["guard_postponed"]}
    assert shop.asked() == []


def test_when_the_time_is_up_the_rest_waits_for_the_next_run(shop: Shop) -> None:
    watch = shop.run(SHOP, OTHER, seconds_left=lambda: 19.9)

    assert watch == Watch({SHOP: ["guard_postponed"], OTHER: ["guard_postponed"]}, unreached=2)
    assert shop.figures.sums == {"guard_postponed": 2, "round_unreached": 2}
    assert shop.asked() == []


def test_an_account_whose_turn_fails_unexpectedly_is_no_trouble_of_the_others(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Configurations.hook

    def breaks_for_one(configurations: Configurations, account: str, time_left: float) -> Any:
        if account == SHOP:
            raise ZeroDivisionError("HUSH")
        return read(configurations, account, time_left)

    monkeypatch.setattr(Configurations, "hook", breaks_for_one)

    assert shop.run(SHOP, OTHER).accounts == {SHOP: ["guard_failed", "feed_installed"], OTHER: BOTH_INSTALLED}
    assert shop.figures.sums["guard_failed"] == 1


def test_accounts_that_are_guarded_side_by_side_do_not_mix(shop: Shop) -> None:
    names = [f"shop-{number:02}" for number in range(60)]
    shop.at_once = 20
    for account in names[::2]:
        shop.put_hook(a_hook(ELSEWHERE), account)

    watch = shop.run(*names)

    elsewhere = {account for account, events in watch.accounts.items() if "hook_elsewhere" in events}
    assert (elsewhere, shop.topics.told[0][2]) == (set(names[::2]), ", ".join(names[::2]))
    shop.run(*names)  # what gave no answer, on a busy machine, is the next run's
    assert {name for name in names if shop.simulator.hooks[app_key(name)] == a_hook()} == set(names[1::2])
    assert shop.simulator.feeds.keys() == {app_key(name) for name in names}


def test_few_hooks_are_registered_at_once_for_vtex_pings_each(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    install, lock, under_way, most = Configurations.install_hook, Lock(), 0, 0

    def counted(*given: Any) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        install(*given)
        with lock:
            under_way -= 1

    monkeypatch.setattr(Configurations, "install_hook", counted)
    shop.at_once = 20

    shop.run(*(f"shop-{number}" for number in range(40)))

    assert most <= PINGS_AT_ONCE
    assert len(shop.simulator.hooks) == 40


def test_the_hook_s_secret_is_read_once_where_all_is_well(shop: Shop) -> None:
    shop.run(SHOP, OTHER)
    reads = shop.manager.reads

    shop.run(SHOP, OTHER)

    assert shop.manager.reads == reads + 1


MANY = tuple(f"shop-{number}" for number in range(5))


def test_an_account_whose_turn_the_time_cut_is_the_first_of_the_next_run(shop: Shop) -> None:
    shop.run(*MANY, seconds_left=lambda: A_MINUTE if len(shop.simulator.calls()) < 6 else 1.0)
    assert shop.simulator.feeds.keys() == {app_key(MANY[0])}

    shop.run(*MANY)

    assert list(dict.fromkeys(call.account for call in shop.simulator.calls())) == [*MANY[1:], MANY[0]]


def test_no_account_is_no_trouble(shop: Shop) -> None:
    assert shop.hook_guard().run({}, lambda: A_MINUTE) == Watch()


@pytest.mark.parametrize("operation", ["get", "put"])
def test_without_the_ledger_vtex_is_not_asked(shop: Shop, operation: str) -> None:
    shop.table.trouble[operation] = RetryLater("busy")

    with pytest.raises(RetryLater):
        shop.run(SHOP)

    assert shop.asked() == []


# ---- The topics


@pytest.mark.parametrize(
    ("alerts", "operations", "unconfirmed"),
    [(1, 1, []), (0, 1, ["alert"]), (2, 0, ["operations"]), (0, 0, ["alert", "operations"])],
)
def test_topics_that_nobody_hears_are_counted(shop: Shop, alerts: int, operations: int, unconfirmed: list[str]) -> None:
    shop.topics.listeners = {ALERTS: alerts, OPERATIONS: operations}

    assert shop.run(SHOP).unconfirmed == unconfirmed
    assert shop.figures.sums.get("topic_unconfirmed", 0) == len(unconfirmed)


@pytest.mark.parametrize(
    ("listening", "told"),
    [
        pytest.param(["neither"], [], id="nobody-hears-anything"),
        pytest.param(["alerts", "both", "neither", "alerts"], [ALERTS], id="alarms-were-heard-in-between"),
        pytest.param(["alerts", "neither", "alerts"], [], id="told-before-and-never-heard-since"),
    ],
)
def test_the_alert_topic_is_told_anew_once_the_alarms_were_heard(
    shop: Shop, listening: list[str], told: list[str]
) -> None:
    for topics in listening:
        shop.topics.listeners = {ALERTS: topics != "neither", OPERATIONS: topics == "both"}
        shop.run(SHOP)

    assert [topic for topic, _, _ in shop.topics.told] == told


def test_topics_that_do_not_answer_do_not_keep_the_hook_from_being_guarded(shop: Shop) -> None:
    shop.topics.trouble = RetryLater("SNS is away")

    assert shop.run(SHOP) == Watch({SHOP: BOTH_INSTALLED}, is_failed=True)
    assert shop.figures.sums["guard_failed"] == 1


@pytest.mark.parametrize(("confirmed", "is_confirmed"), [("0", False), ("1", True), (None, False)])
def test_a_topic_is_heard_by_a_confirmed_subscription(confirmed: str | None, is_confirmed: bool) -> None:
    attributes = {} if confirmed is None else {"SubscriptionsConfirmed": confirmed}
    sns: Any = Mock(**{"get_topic_attributes.return_value": {"Attributes": attributes}})

    assert Topics(sns).has_confirmed_subscription(ALERTS) is is_confirmed


@pytest.mark.parametrize("trouble", [REFUSED, UNREACHABLE], ids=["refused", "unreachable"])
def test_a_topic_that_does_not_answer_is_told_so(trouble: Exception) -> None:
    sns: Any = Mock(**{"get_topic_attributes.side_effect": trouble, "publish.side_effect": trouble})

    with pytest.raises(RetryLater):
        Topics(sns).has_confirmed_subscription(ALERTS)
    with pytest.raises(RetryLater):
        Topics(sns).publish(ALERTS, notices.operations_unconfirmed("en", "invoicekey"))


# ---- What is told and noted


def test_no_log_no_note_and_no_message_has_a_secret(
    shop: Shop, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    shop.run(SHOP)
    shop.rotate("HUSH-2")
    shop.run(SHOP)
    shop.put_hook(a_hook(ELSEWHERE, secret="HUSH-of-the-erp"))
    watch = shop.run(SHOP)

    told = f"{shop.table.items} {shop.topics.told} {watch} {caplog.text} {capsys.readouterr().out}"
    assert "HUSH" not in told


def test_what_was_noted_is_read_as_it_was_written() -> None:
    notes = RegistrationStates(MemoryTable())
    told = Notified("erp.example.com", datetime(2026, 3, 3, 15, 0, tzinfo=UTC))
    everything = RegistrationState(SHOP, "key", "digest", True, False, True, True, told, told)

    notes.write(everything)

    assert notes.read([SHOP, OTHER]) == {SHOP: everything, OTHER: RegistrationState(OTHER)}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("account", ["luxstore", "x" * 63])
def test_a_notice_is_short_and_says_first_what_to_do(language: str, account: str) -> None:
    given = [
        notices.hook_elsewhere({account: "erp.example.com"}, language, "invoicekey"),
        notices.feed_left_alone([account], language, "invoicekey"),
        notices.not_shown([account], language, "invoicekey"),
        notices.operations_unconfirmed(language, "invoicekey"),
    ]

    for notice in given:
        assert notice.subject.isascii()
        assert len(notice.subject) < 100
        assert len(notice.body.splitlines()) <= 14
        assert notice.body.split()[0] in {"Crie", "Assine", "Veja", "Create", "Subscribe", "See"}
        assert "{" not in notice.body


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notice_s_commands_lead_to_the_stack_that_sends_it(language: str) -> None:
    for body in (
        notices.hook_elsewhere({SHOP: None}, language, "invoicekey-dev").body,
        notices.feed_left_alone([SHOP], language, "invoicekey-dev").body,
        notices.not_shown([SHOP], language, "invoicekey-dev").body,
    ):
        assert "make credentials STACK=invoicekey-dev\n" in body
        assert f"invoicekey hook install --account {SHOP} --stack invoicekey-dev\n" in body
    assert " invoicekey-dev)" in notices.operations_unconfirmed(language, "invoicekey-dev").body
    assert "--stack" not in notices.hook_elsewhere({SHOP: None}, language, "invoicekey").body
