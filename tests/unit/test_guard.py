"""The guard: what it registers, what it never overwrites, what it tells, and how often."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
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
from invoicekey.runtime.settings import GuardSettings, VtexSettings
from invoicekey.vtex.client import Vtex
from invoicekey.vtex.subscriptions import Configurations
from invoicekey.work.guard import HookGuard, Watch
from invoicekey.work.rounds import Rounds, SharedBackoff
from local import vtex_simulator
from local.vtex_simulator import Fault, VtexSimulator
from tests.fakes import REFUSED, UNREACHABLE, FakeSecretsManager
from tests.fakes_visits import OTHER, SHOP, Figures, MemoryTable, MemoryTopics, a_vtex, app_key, credentials, headers

A_MINUTE = 60.0
URL = "https://abc123.execute-api.sa-east-1.amazonaws.com/hooks/vtex/orders"
ELSEWHERE = "https://erp.example.com/vtex"
ALERTS, OPERATIONS = "arn:alerts", "arn:operations"
SETTINGS = GuardSettings(
    vtex=VtexSettings(
        base_url="http://localhost",
        credentials_secret_arn="arn:credentials",
        requests_per_minute=120,
        accounts=frozenset(),
        watched_statuses=frozenset({"invoiced"}),
    ),
    hook_url=URL,
    hook_secret_arn="arn:hook",
    ledger_table="ledger",
    alert_topic_arn=ALERTS,
    operations_topic_arn=OPERATIONS,
    language="en",
    stack="invoicekey",
)
BY_STATUS = {"type": "FromWorkflow", "status": ["invoiced"]}
QUEUE = {"visibilityTimeoutInSeconds": 240, "MessageRetentionPeriodInSeconds": 1_209_600}
OUR_FEED = {"filter": BY_STATUS, "queue": QUEUE}
OTHER_FEED = {"filter": {"type": "FromWorkflow", "status": ["ready-for-handling"]}, "queue": QUEUE}
BOTH_INSTALLED = ["hook_installed", "feed_installed"]


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
    now: datetime = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
    settings: GuardSettings = SETTINGS
    vtex: Vtex = field(init=False)

    def __post_init__(self) -> None:
        self.vtex = a_vtex(self.simulator.url)
        self.rotate("HUSH-1", "")

    def rotate(self, current: object, previous: str = "HUSH-1") -> None:
        self.manager.put("arn:hook", {"current": current, "previous": previous})

    def hook_guard(self, settings: GuardSettings = SETTINGS) -> HookGuard:
        return HookGuard(
            settings,
            CachedSecret(self.manager.client, "arn:hook"),
            Configurations(self.vtex),
            credentials=credentials,
            topics=self.topics,
            notes=RegistrationStates(self.table),
            backlog=Backlog(self.table),
            backoff=SharedBackoff(self.vtex, Ledger(self.table), self.table),
            rounds=Rounds(self.table, "guard"),
            now=lambda: self.now,
        )

    def run(self, *accounts: str, seconds_left: Callable[[], float] = lambda: A_MINUTE) -> Watch:
        self.simulator.requests.clear()
        self.figures.counted.clear()
        self.topics.told.clear()
        self.table.written.clear()
        return self.hook_guard(self.settings).run(accounts or (SHOP,), seconds_left)

    def guard(self, account: str = SHOP) -> list[str]:
        return self.run(account).accounts[account]

    def put_hook(self, config: dict[str, Any], account: str = SHOP) -> None:
        self.simulator.hooks[app_key(account)] = config

    def put_feed(self, config: dict[str, Any], account: str = SHOP) -> None:
        url = f"{self.simulator.url}/{account}/api/orders/feed/config"
        httpx.post(url, json=config, headers=headers(account)).raise_for_status()

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


def test_a_hook_that_is_gone_is_registered_again_and_is_an_alarm(guarded: Shop) -> None:
    guarded.simulator.hooks.clear()

    assert guarded.guard() == ["hook_restored"]
    assert guarded.hook == a_hook()
    assert guarded.figures.sums == {"hook_restored": 1, "configuration_restored": 1}


def test_a_feed_that_is_gone_is_registered_again_and_is_an_alarm(guarded: Shop) -> None:
    guarded.simulator.feeds.clear()

    assert guarded.guard() == ["feed_restored"]
    assert guarded.feed == OUR_FEED
    assert guarded.figures.sums == {"feed_restored": 1, "configuration_restored": 1}


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(a_hook(filter={"type": "FromWorkflow", "status": ["invoice"]}), id="another-status"),
        pytest.param(a_hook(filter={"type": "FromWorkflow", "status": ["invoiced", "handling"]}), id="more-statuses"),
        pytest.param(a_hook(filter={"type": "FromOrders", "expression": "true"}), id="another-type"),
        pytest.param(a_hook(URL.replace("orders", "feeds")), id="another-path"),
        pytest.param(a_hook(secret="HUSH-changed-by-hand"), id="another-header"),
    ],
)
def test_a_hook_of_ours_that_is_different_is_registered_again(guarded: Shop, config: dict[str, Any]) -> None:
    guarded.put_hook(config)

    assert guarded.guard() == ["hook_restored"]
    assert guarded.hook == a_hook()


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(OTHER_FEED, id="another-status"),
        pytest.param({"filter": BY_STATUS, "queue": QUEUE | {"visibilityTimeoutInSeconds": 30}}, id="another-timeout"),
    ],
)
def test_a_feed_of_ours_that_is_different_is_registered_again(guarded: Shop, config: dict[str, Any]) -> None:
    guarded.put_feed(config)

    assert guarded.guard() == ["feed_restored"]
    assert guarded.feed == OUR_FEED


def test_a_hook_of_ours_that_an_operator_registered_is_taken_over(shop: Shop) -> None:
    shop.put_hook(a_hook())
    shop.put_feed(OUR_FEED)

    assert shop.guard() == []
    assert (shop.noted.hook_installed, shop.noted.feed_installed) == (True, True)


def test_a_hook_of_ours_whose_header_is_not_shown_and_not_known_is_registered(shop: Shop) -> None:
    shop.put_hook(a_hook(secret=None))

    assert shop.guard() == BOTH_INSTALLED
    assert shop.hook == a_hook()


def test_a_header_that_is_not_shown_is_the_one_that_was_last_registered(guarded: Shop) -> None:
    guarded.put_hook(a_hook(secret=None))

    assert guarded.guard() == []


def test_a_hook_of_ours_whose_address_is_not_shown_is_ours(guarded: Shop) -> None:
    guarded.put_hook({"filter": BY_STATUS})

    assert guarded.guard() == []


def test_what_is_installed_is_noted_after_vtex_took_it(shop: Shop) -> None:
    shop.simulator.fail(Fault("status", status=500, route="hook_config", times=None))
    shop.simulator.fail(Fault("status", status=500, route="feed_config", times=None))

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


# ---- Rotation


def test_a_new_secret_is_registered_and_is_no_alarm(guarded: Shop) -> None:
    guarded.rotate("HUSH-2")

    assert guarded.guard() == ["hook_secret_updated"]
    assert guarded.hook == a_hook(secret="HUSH-2")
    assert guarded.figures.sums == {"hook_secret_updated": 1}
    assert guarded.guard() == []


def test_a_secret_rotated_moments_after_a_run_is_registered_by_the_next_run(guarded: Shop) -> None:
    guard = guarded.hook_guard()
    guard.run((SHOP,), lambda: A_MINUTE)
    guarded.rotate("HUSH-2")

    guard.run((SHOP,), lambda: A_MINUTE)

    assert guarded.hook == a_hook(secret="HUSH-2")


def test_while_the_secret_cannot_be_read_no_outdated_one_is_registered(guarded: Shop) -> None:
    guard = guarded.hook_guard()
    guard.run((SHOP,), lambda: A_MINUTE)
    guarded.rotate("HUSH-2")
    guarded.put_hook(a_hook(secret="HUSH-2"))
    guarded.manager.trouble = UNREACHABLE

    assert guard.run((SHOP,), lambda: A_MINUTE).accounts[SHOP] == ["guard_failed"]
    assert guarded.hook == a_hook(secret="HUSH-2")


def test_a_new_secret_is_registered_where_vtex_does_not_show_the_header(guarded: Shop) -> None:
    guarded.put_hook(a_hook(secret=None))
    guarded.rotate("HUSH-2")

    assert guarded.guard() == ["hook_secret_updated"]
    assert guarded.hook == a_hook(secret="HUSH-2")


def test_a_new_secret_that_an_operator_registered_is_taken_over(guarded: Shop) -> None:
    guarded.rotate("HUSH-2")
    guarded.put_hook(a_hook(secret="HUSH-2"))

    assert guarded.guard() == []
    guarded.put_hook(a_hook(secret=None))
    assert guarded.guard() == []


def test_a_rotation_of_a_hook_that_is_gone_is_an_alarm(guarded: Shop) -> None:
    guarded.rotate("HUSH-2")
    guarded.simulator.hooks.clear()

    assert guarded.guard() == ["hook_restored"]


@pytest.mark.parametrize("current", [None, "", " ", 7, " HUSH", "HUSH ", "HU\nSH", "HÚSH"], ids=ascii)
def test_a_secret_that_no_header_can_carry_is_never_registered(guarded: Shop, current: object) -> None:
    guarded.rotate(current)

    assert guarded.guard() == ["guard_failed"]
    assert guarded.hook == a_hook()


def test_while_the_secret_cannot_be_read_the_feed_is_guarded_all_the_same(shop: Shop) -> None:
    shop.manager.trouble = UNREACHABLE

    assert shop.guard() == ["guard_failed", "feed_installed"]


# ---- A hook elsewhere


def test_a_hook_at_another_system_is_never_overwritten(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))

    assert shop.guard() == ["hook_elsewhere", "feed_installed"]
    assert shop.hook == a_hook(ELSEWHERE)
    assert ("POST", "hook_config") not in shop.asked()


def test_a_hook_that_was_ours_and_is_another_system_s_is_never_overwritten(guarded: Shop) -> None:
    guarded.put_hook(a_hook(ELSEWHERE))

    assert guarded.guard() == ["hook_elsewhere"]
    assert guarded.hook == a_hook(ELSEWHERE)


def test_a_hook_at_an_address_that_cannot_be_read_is_never_overwritten(shop: Shop) -> None:
    shop.put_hook(a_hook("https://[half/"))

    assert "hook_elsewhere" in shop.guard()
    assert shop.hook == a_hook("https://[half/")
    assert "an address that we cannot read" in shop.topics.told[0][1].body


def test_a_person_is_told_where_the_hook_points(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))

    shop.run(SHOP)

    ((topic, notice, account),) = shop.topics.told
    assert (topic, account) == (OPERATIONS, SHOP)
    assert "erp.example.com" in notice.body
    assert f"invoicekey hook install --account {SHOP}" in notice.body


def test_a_person_is_told_once(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))
    shop.run(SHOP)
    shop.now += timedelta(days=6, hours=23)

    assert shop.guard() == ["hook_elsewhere"]
    assert shop.topics.told == []
    assert shop.figures.sums == {"hook_elsewhere": 1}


def test_a_person_is_told_again_while_it_lasts_after_seven_days(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))
    shop.run(SHOP)
    shop.now += timedelta(days=7)

    shop.run(SHOP)

    assert len(shop.topics.told) == 1


def test_a_person_is_told_again_when_the_host_changes(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))
    shop.run(SHOP)
    shop.put_hook(a_hook("https://other.example.com/vtex"))

    shop.run(SHOP)

    assert "other.example.com" in shop.topics.told[0][1].body


def test_a_person_is_told_again_when_it_happens_again(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))
    shop.run(SHOP)
    shop.put_hook(a_hook())
    shop.run(SHOP)
    shop.put_hook(a_hook(ELSEWHERE))

    shop.run(SHOP)

    assert len(shop.topics.told) == 1


def test_what_could_not_be_told_is_told_at_the_next_run(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))
    shop.topics.trouble = RetryLater("SNS is away")
    assert shop.guard() == ["hook_elsewhere", "guard_failed", "feed_installed"]
    shop.topics.trouble = None

    shop.run(SHOP)

    assert len(shop.topics.told) == 1


# ---- What VTEX does not show

NOT_SHOWN = Fault("empty_object", route="hook_config")


@pytest.mark.parametrize("is_noted", [True, False])
def test_a_hook_that_is_not_shown_is_never_written_not_even_where_ours_was_there(shop: Shop, is_noted: bool) -> None:
    if is_noted:
        shop.run(SHOP)
    shop.put_hook(a_hook(ELSEWHERE))
    shop.simulator.fail(NOT_SHOWN)
    for _ in range(3):
        assert shop.guard()[0] == "hook_not_shown"
        assert ("POST", "hook_config") not in shop.asked()

    assert shop.hook == a_hook(ELSEWHERE)


def test_beside_a_hook_that_is_not_shown_the_feed_is_registered_where_vtex_says_that_there_is_none(shop: Shop) -> None:
    shop.simulator.fail(NOT_SHOWN)

    assert shop.guard() == ["hook_not_shown", "feed_installed"]
    assert shop.feed == OUR_FEED


@pytest.mark.parametrize("feed", [OUR_FEED, OTHER_FEED])
def test_a_feed_that_we_did_not_register_beside_a_hook_that_is_not_shown_is_left_alone(
    shop: Shop, feed: dict[str, Any]
) -> None:
    shop.simulator.fail(NOT_SHOWN)
    shop.put_feed(feed)

    assert shop.guard() == ["hook_not_shown", "feed_left_alone"]
    assert (shop.feed, len(shop.topics.told)) == (feed, 1)


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
    guarded.simulator.fail(Fault("empty_object", route="feed_config"))

    assert guarded.guard() == ["feed_not_shown"]
    assert ("POST", "feed_config") not in guarded.asked()
    assert guarded.noted.feed_installed  # what was ours is drained as before


@pytest.mark.parametrize("routes", [["hook_config"], ["feed_config"], ["hook_config", "feed_config"]])
def test_a_person_is_told_of_what_is_not_shown_once_in_seven_days(guarded: Shop, routes: list[str]) -> None:
    for route in routes:
        guarded.simulator.fail(Fault("empty_object", route=route))

    told = []
    for _ in range(9):
        guarded.run(SHOP)
        told.append([(topic, account) for topic, _, account in guarded.topics.told])
        guarded.now += timedelta(days=1)

    assert told == [[(OPERATIONS, SHOP)], *[[]] * 6, [(OPERATIONS, SHOP)], []]


def test_what_is_not_shown_is_counted(guarded: Shop) -> None:
    guarded.simulator.fail(NOT_SHOWN)
    guarded.simulator.fail(Fault("empty_object", route="feed_config"))

    guarded.run(SHOP)

    assert guarded.figures.sums == {"hook_not_shown": 1, "feed_not_shown": 1}


def test_a_hook_whose_address_is_not_shown_is_not_written_over_though_it_was_ours(guarded: Shop) -> None:
    guarded.rotate("HUSH-2")
    guarded.put_hook({"filter": BY_STATUS})

    assert guarded.guard() == ["hook_not_shown"]
    assert guarded.hook == {"filter": BY_STATUS}


@pytest.mark.parametrize(("watched", "warned"), [({"invoiced"}, []), ({"invoiced", "canceling"}, ["canceling"])])
def test_a_status_that_no_filter_of_vtex_lists_is_warned_of(
    shop: Shop, watched: set[str], warned: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    shop.settings = replace(SETTINGS, vtex=replace(SETTINGS.vtex, watched_statuses=frozenset(watched)))

    shop.run(SHOP)

    told = [vars(record)["watched_statuses"] for record in caplog.records if "watched_statuses" in vars(record)]
    assert told == ([warned] if warned else [])


# ---- A feed that may be another system's


def test_a_feed_unlike_ours_on_a_shared_app_key_is_left_alone(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))
    shop.put_feed(OTHER_FEED)

    assert shop.guard() == ["hook_elsewhere", "feed_left_alone"]
    assert shop.feed == OTHER_FEED
    assert shop.noted.feed_left_alone
    assert len(shop.topics.told) == 1


def test_a_feed_unlike_ours_that_was_there_before_our_hook_is_left_alone(shop: Shop) -> None:
    shop.put_feed(OTHER_FEED)

    assert shop.guard() == ["hook_installed", "feed_left_alone"]
    assert shop.feed == OTHER_FEED
    ((topic, notice, account),) = shop.topics.told
    assert (topic, account) == (OPERATIONS, SHOP)
    assert "feed" in notice.subject


def test_a_feed_that_was_left_alone_stays_so_and_is_told_once_in_seven_days(shop: Shop) -> None:
    shop.put_feed(OTHER_FEED)
    shop.run(SHOP)

    told = []
    for _ in range(8):
        shop.now += timedelta(days=1)
        assert shop.guard() == ["feed_left_alone"]
        told.append(len(shop.topics.told))

    assert told == [0, 0, 0, 0, 0, 0, 1, 0]
    assert shop.feed == OTHER_FEED


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


def test_a_feed_just_like_ours_beside_a_hook_elsewhere_is_left_alone(shop: Shop) -> None:
    shop.put_hook(a_hook(ELSEWHERE))
    shop.put_feed(OUR_FEED)

    assert shop.guard() == ["hook_elsewhere", "feed_left_alone"]
    assert shop.noted.feed_left_alone


def test_a_feed_just_like_ours_is_ours_where_no_other_system_has_the_hook(shop: Shop) -> None:
    shop.put_feed(OUR_FEED)

    assert shop.guard() == ["hook_installed"]
    assert shop.noted.feed_installed


def test_a_feed_that_was_left_alone_and_is_gone_is_registered(shop: Shop) -> None:
    shop.put_feed(OTHER_FEED)
    shop.run(SHOP)
    shop.simulator.feeds.clear()

    assert shop.guard() == ["feed_installed"]
    assert not shop.noted.feed_left_alone


def test_a_feed_unlike_ours_beside_a_hook_of_ours_is_ours(shop: Shop) -> None:
    shop.put_hook(a_hook())
    shop.put_feed(OTHER_FEED)

    assert shop.guard() == ["feed_installed"]
    assert shop.feed == OUR_FEED


def test_a_feed_of_ours_stays_ours_beside_a_hook_elsewhere(guarded: Shop) -> None:
    guarded.put_hook(a_hook(ELSEWHERE))
    guarded.put_feed(OTHER_FEED)

    assert guarded.guard() == ["hook_elsewhere", "feed_restored"]


def test_a_feed_unlike_ours_is_not_judged_before_the_hook_was_seen(shop: Shop) -> None:
    shop.put_feed(OTHER_FEED)
    shop.simulator.fail(Fault("status", status=500, route="hook_config"))

    assert shop.guard() == ["guard_failed", "guard_failed"]
    assert shop.figures.sums["guard_failed"] == 1
    assert shop.feed == OTHER_FEED
    assert not shop.noted.feed_left_alone


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
    ("fault", "event"),
    [
        (Fault("status", status=401, account=SHOP, route="hook_config"), "credentials_refused"),
        (Fault("status", status=403, account=SHOP, route="hook_config"), "credentials_refused"),
        (Fault("status", status=429, account=SHOP, route="hook_config"), "check_rate_limited"),
    ],
    ids=["401", "403", "429"],
)
def test_one_account_s_trouble_ends_its_turn_and_no_other_s(shop: Shop, fault: Fault, event: str) -> None:
    shop.simulator.fail(fault)

    assert shop.run(SHOP, OTHER).accounts == {SHOP: [event], OTHER: BOTH_INSTALLED}
    assert len(shop.simulator.calls(account=SHOP)) == 1


def test_a_silence_that_vtex_asks_for_is_shared_and_kept(shop: Shop) -> None:
    shop.simulator.fail(Fault("status", status=429, retry_after=120, route="hook_config"))
    shop.run(SHOP)

    shop.vtex = a_vtex(shop.simulator.url)

    assert shop.guard() == ["check_rate_limited"]
    assert shop.asked() == []


def test_when_the_time_is_up_the_rest_waits_for_the_next_run(shop: Shop) -> None:
    assert shop.run(SHOP, OTHER, seconds_left=lambda: 19.9).accounts == {
        SHOP: ["guard_postponed"],
        OTHER: ["guard_postponed"],
    }
    assert shop.asked() == []


MANY = tuple(f"shop-{number}" for number in range(5))


def with_time_for(turns: int, shop: Shop) -> Callable[[], float]:
    """Let the time be up once so many accounts' feeds were looked at; a run begins with none."""
    return lambda: A_MINUTE if len(shop.simulator.calls(route="feed_config")) < 2 * turns else 1.0


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_every_account_is_guarded_in_as_many_runs_as_it_takes_to_go_through_all(shop: Shop, turns: int) -> None:
    for _ in range(-(-len(MANY) // turns)):
        shop.run(*MANY, seconds_left=with_time_for(turns, shop))

    assert shop.simulator.hooks.keys() == {app_key(account) for account in MANY}
    assert shop.simulator.feeds.keys() == {app_key(account) for account in MANY}


def test_an_account_whose_turn_the_time_cut_is_the_first_of_the_next_run(shop: Shop) -> None:
    shop.run(*MANY, seconds_left=lambda: A_MINUTE if len(shop.simulator.calls()) < 6 else 1.0)
    assert shop.simulator.feeds.keys() == {app_key(MANY[0])}

    shop.run(*MANY)

    assert list(dict.fromkeys(call.account for call in shop.simulator.calls())) == [*MANY[1:], MANY[0]]


def test_the_accounts_are_noted_for_the_digest(shop: Shop) -> None:
    shop.run(SHOP, OTHER, "another")

    assert shop.table.items["accounts"] == {"pk": "accounts", "names": ["another", "luxstore", "other"]}


def test_no_account_is_no_trouble(shop: Shop) -> None:
    assert shop.hook_guard().run([], lambda: A_MINUTE) == Watch()


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


def test_where_nobody_hears_the_alarms_the_alert_topic_is_told_once_in_seven_days(shop: Shop) -> None:
    shop.topics.listeners[OPERATIONS] = 0

    told = []
    for _ in range(9):
        shop.run(SHOP)
        told.append([topic for topic, _, _ in shop.topics.told])
        shop.now += timedelta(days=1)

    assert told == [[ALERTS], *[[]] * 6, [ALERTS], []]


def test_where_nobody_hears_anything_nobody_is_told(shop: Shop) -> None:
    shop.topics.listeners = {ALERTS: 0, OPERATIONS: 0}

    shop.run(SHOP)

    assert shop.topics.told == []


def test_when_the_alarms_were_heard_in_between_it_is_told_anew(shop: Shop) -> None:
    for listeners in (0, 1):
        shop.topics.listeners[OPERATIONS] = listeners
        shop.run(SHOP)
    shop.topics.listeners = {ALERTS: 0, OPERATIONS: 0}
    shop.run(SHOP)
    shop.topics.listeners = {ALERTS: 1, OPERATIONS: 0}

    shop.run(SHOP)

    assert [topic for topic, _, _ in shop.topics.told] == [ALERTS]


def test_what_the_alert_topic_was_told_is_remembered_while_it_is_not_heard_either(shop: Shop) -> None:
    for alerts in (1, 0, 1):
        shop.topics.listeners = {ALERTS: alerts, OPERATIONS: 0}
        shop.run(SHOP)

    assert shop.topics.told == []


def test_topics_that_do_not_answer_do_not_keep_the_hook_from_being_guarded(shop: Shop) -> None:
    shop.topics.trouble = RetryLater("SNS is away")

    assert shop.run(SHOP) == Watch({SHOP: BOTH_INSTALLED})
    assert shop.figures.sums["guard_failed"] == 1


@pytest.mark.parametrize(("confirmed", "is_confirmed"), [("0", False), ("1", True), (None, False)])
def test_a_topic_is_heard_by_a_confirmed_subscription(confirmed: str | None, is_confirmed: bool) -> None:
    class Sns:
        def get_topic_attributes(self, **_: object) -> dict[str, Any]:
            return {"Attributes": {} if confirmed is None else {"SubscriptionsConfirmed": confirmed}}

    client: Any = Sns()
    assert Topics(client).has_confirmed_subscription(ALERTS) is is_confirmed


@pytest.mark.parametrize("trouble", [REFUSED, UNREACHABLE], ids=["refused", "unreachable"])
def test_a_topic_that_does_not_answer_is_told_so(trouble: Exception) -> None:
    class Sns:
        def get_topic_attributes(self, **_: object) -> dict[str, Any]:
            raise trouble

        publish = get_topic_attributes

    client: Any = Sns()
    with pytest.raises(RetryLater):
        Topics(client).has_confirmed_subscription(ALERTS)
    with pytest.raises(RetryLater):
        Topics(client).publish(ALERTS, notices.operations_unconfirmed("en", "invoicekey"))


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
        notices.hook_elsewhere(account, "erp.example.com", language, "invoicekey"),
        notices.feed_left_alone(account, language, "invoicekey"),
        notices.not_shown(account, language, "invoicekey"),
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
    elsewhere = notices.hook_elsewhere(SHOP, None, language, "invoicekey-dev").body
    left_alone = notices.feed_left_alone(SHOP, language, "invoicekey-dev").body
    not_shown = notices.not_shown(SHOP, language, "invoicekey-dev").body

    for body in (elsewhere, left_alone, not_shown):
        assert "make credentials STACK=invoicekey-dev\n" in body
        assert f"invoicekey hook install --account {SHOP} --stack invoicekey-dev\n" in body
    assert " invoicekey-dev)" in notices.operations_unconfirmed(language, "invoicekey-dev").body
    assert "--stack" not in notices.hook_elsewhere(SHOP, None, language, "invoicekey").body
