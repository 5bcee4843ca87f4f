"""What is wrong with an account that nobody would notice: seen of each, told together, once a week."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from invoicekey.ledger.activity import Activities, Sign
from invoicekey.messages.notices import MOST_ACCOUNTS_NAMED, Notice, Trouble, accounts_in_trouble
from invoicekey.messages.texts import LANGUAGES
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.settings import GuardSettings
from invoicekey.work.guard import GUARD_FAILED, Watch
from invoicekey.work.silence import TOLD, AccountWatch
from tests.fake_dynamodb import FakeDynamoDb
from tests.fakes import UNREACHABLE
from tests.fakes_outside import NOON, SameThread
from tests.fakes_visits import OTHER, SHOP, Figures, MemoryTopics
from tests.unit.test_guard import OPERATIONS, SETTINGS

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
QUIET_AFTER = SETTINGS.quiet_after
GOLDEN = Path(__file__).parents[1] / "golden" / "alerts"


@dataclass
class Shops:
    """Two accounts, what is noted of them, and the watch over them."""

    dynamodb: FakeDynamoDb = field(default_factory=FakeDynamoDb)
    topics: MemoryTopics = field(default_factory=MemoryTopics)
    now: datetime = NOON
    accounts: tuple[str, ...] = (SHOP, OTHER)
    settings: GuardSettings = SETTINGS

    def saw(self, *signs: Sign, ago: timedelta = timedelta(0), account: str = SHOP) -> None:
        """Let the checker have noted this so long ago, in an environment of its own."""
        Activities(self.dynamodb.table).note(account, signs, self.now - ago)

    def run(self, **events: list[str]) -> list[Notice]:
        """Let the guard have found these events, or have not reached the account where it is `unreached`."""
        found = {account: events.get(account, []) for account in self.accounts}
        return self.run_after(Watch(found))

    def run_after(self, watch: Watch) -> list[Notice]:
        self.topics.told.clear()
        activities = Activities(self.dynamodb.table)
        watching = AccountWatch(self.settings, activities, self.topics, make_pool=SameThread, now=lambda: self.now)
        watching.run(self.accounts, watch)
        assert {arn for arn, _, _ in self.topics.told} <= {OPERATIONS}
        return [notice for _, notice, _ in self.topics.told]

    def troubles(self, account: str = SHOP) -> set[str]:
        return set(Activities(self.dynamodb.table).read([account])[account].troubles)


@pytest.fixture
def shops() -> Shops:
    return Shops()


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Figures:
    figures = Figures()
    monkeypatch.setattr(telemetry, "count", figures)
    return figures


def is_quiet(shops: Shops) -> None:
    shops.saw(Sign.HOOK, Sign.CNOVA, ago=QUIET_AFTER)


def has_no_cnova(shops: Shops) -> None:
    shops.saw(Sign.HOOK, Sign.CNOVA, ago=WEEK)
    shops.saw(Sign.HOOK)


def never_had_cnova(shops: Shops) -> None:
    shops.saw(Sign.HOOK, ago=WEEK)
    shops.saw(Sign.HOOK)


def was_refused(shops: Shops) -> None:
    shops.saw(Sign.REFUSED, ago=HOUR)


def was_found_by_the_feed(shops: Shops) -> None:
    shops.saw(Sign.FEED_ONLY, ago=HOUR)


# ---- Each trouble


@pytest.mark.parametrize(
    ("happened", "trouble"),
    [
        (is_quiet, Trouble.QUIET),
        (has_no_cnova, Trouble.NO_CNOVA),
        (never_had_cnova, Trouble.NO_CNOVA),
        (was_refused, Trouble.CREDENTIALS_REFUSED),
        (was_found_by_the_feed, Trouble.FEED_FOUND),
    ],
)
def test_each_trouble_is_told_of_its_account_and_no_other(
    shops: Shops, happened: Callable[[Shops], None], trouble: Trouble
) -> None:
    happened(shops)
    (notice,) = shops.run()

    assert notice.subject.startswith(f"{SHOP}: ")
    assert f"\nAccounts: {SHOP}\n" in notice.body
    assert (shops.troubles(), shops.troubles(OTHER)) == ({trouble}, set())


def test_credentials_that_the_guard_saw_refused_are_told(shops: Shops) -> None:
    (notice,) = shops.run(luxstore=["credentials_refused"])

    assert notice.subject == f"{SHOP}: VTEX refuses the credentials"


@pytest.mark.parametrize("event", ["hook_elsewhere", "feed_left_alone"])
def test_what_the_guard_has_a_notice_for_is_noted_and_not_told_again(shops: Shops, event: str) -> None:
    assert shops.run(luxstore=[event]) == []
    assert shops.troubles() == {event}


def all_is_well(shops: Shops) -> None:
    shops.saw(Sign.HOOK, Sign.CNOVA)


def no_hook_came_ever(shops: Shops) -> None:
    shops.saw(Sign.CNOVA, ago=30 * DAY)


def a_hook_came_in_time(shops: Shops) -> None:
    shops.saw(Sign.HOOK, Sign.CNOVA, ago=QUIET_AFTER - HOUR)


def the_last_order_was_cnova_s(shops: Shops) -> None:
    shops.saw(Sign.HOOK, ago=WEEK)
    shops.saw(Sign.HOOK, ago=HOUR)
    shops.saw(Sign.CNOVA, ago=HOUR)


def the_hooks_of_six_days_were_others(shops: Shops) -> None:
    shops.saw(Sign.HOOK, ago=6 * DAY)
    shops.saw(Sign.HOOK)


def it_was_refused_long_ago(shops: Shops) -> None:
    shops.saw(Sign.REFUSED, ago=3 * HOUR)


def the_feed_found_something_long_ago(shops: Shops) -> None:
    shops.saw(Sign.FEED_ONLY, ago=DAY)


@pytest.mark.parametrize(
    "happened",
    [
        all_is_well,
        no_hook_came_ever,
        a_hook_came_in_time,
        the_last_order_was_cnova_s,
        the_hooks_of_six_days_were_others,
        it_was_refused_long_ago,
        the_feed_found_something_long_ago,
    ],
)
def test_what_is_no_trouble_is_not_told(shops: Shops, happened: Callable[[Shops], None]) -> None:
    happened(shops)

    assert shops.run() == []
    assert shops.troubles() == set()


def test_an_account_is_not_quiet_within_three_hours_whatever_is_set(shops: Shops) -> None:
    shops.settings = replace(SETTINGS, quiet_after=HOUR)
    shops.saw(Sign.HOOK, Sign.CNOVA, ago=2 * HOUR)
    assert shops.run() == []

    shops.now += HOUR
    (notice,) = shops.run()
    assert notice.subject == f"{SHOP}: no hook in 3 hours"


# ---- Once, again, and after it was over


def test_a_trouble_is_told_once_and_again_after_seven_days_while_it_lasts(shops: Shops) -> None:
    is_quiet(shops)
    told = []
    for _ in range(15 * 24):
        told += [shops.now - NOON for _ in shops.run()]
        shops.now += HOUR

    assert told == [timedelta(0), WEEK, 2 * WEEK]


def test_a_trouble_that_was_over_is_told_anew(shops: Shops) -> None:
    is_quiet(shops)
    shops.run()
    shops.saw(Sign.HOOK, Sign.CNOVA)
    assert (shops.run(), shops.troubles()) == ([], set())

    shops.now += QUIET_AFTER
    assert len(shops.run()) == 1


def test_another_trouble_of_the_same_account_is_news_alone(shops: Shops) -> None:
    is_quiet(shops)
    shops.run()
    was_refused(shops)

    (notice,) = shops.run()
    assert notice.subject == f"{SHOP}: VTEX refuses the credentials"
    assert shops.troubles() == {"quiet", "credentials_refused"}


def test_a_hook_that_misses_an_event_now_and_then_is_told_of_once_a_week(shops: Shops) -> None:
    told = []
    for day in range(10):
        if day in {0, 3, 5, 8}:
            was_found_by_the_feed(shops)
        told += [day for _ in shops.run()]
        shops.now += DAY

    assert told == [0, 8]


def test_nothing_is_written_while_nothing_changes(shops: Shops) -> None:
    is_quiet(shops)
    shops.run()
    shops.dynamodb.calls.clear()
    shops.now += HOUR

    shops.run()
    assert shops.dynamodb.calls == ["batch_get_item"]


@pytest.mark.parametrize(
    "watch", [Watch(), Watch({SHOP: ["guard_postponed"]}), Watch({SHOP: ["check_rate_limited"]})],
    ids=["not reached", "out of time", "rate limited"],
)  # fmt: skip
def test_what_a_run_did_not_see_stays_as_it_was(shops: Shops, watch: Watch) -> None:
    shops.run(luxstore=["hook_elsewhere", "credentials_refused"])

    assert shops.run_after(watch) == []
    assert shops.troubles() == {"hook_elsewhere", "credentials_refused"}
    assert len(shops.run()) == 0
    assert shops.troubles() == set()


# ---- Many accounts, and one


def test_a_thousand_accounts_with_every_trouble_are_one_message_that_sns_takes(shops: Shops) -> None:
    shops.accounts = tuple(f"{'a' * 55}{number:04}" for number in range(1_000))
    for account in shops.accounts:
        shops.saw(Sign.HOOK, ago=2 * WEEK, account=account)
        shops.saw(Sign.HOOK, ago=WEEK, account=account)
        shops.saw(Sign.FEED_ONLY, Sign.REFUSED, account=account)

    (notice,) = shops.run()
    assert notice.subject == "1000 accounts: VTEX refuses the credentials (and more)"
    assert notice.body.count(" and 950 more\n") == len(TOLD)
    assert notice.body.count(shops.accounts[MOST_ACCOUNTS_NAMED - 1]) == len(TOLD)
    assert len(json.dumps([notice.body, notice.body], ensure_ascii=False).encode()) < 250_000
    assert shops.run() == []


def test_one_account_alone_is_told_by_the_stack_s_own_alarms(shops: Shops) -> None:
    shops.accounts = (SHOP,)
    is_quiet(shops)

    assert shops.run(luxstore=["credentials_refused"]) == []
    assert shops.troubles() == {"quiet", "credentials_refused"}


def test_without_an_account_there_is_nothing_to_tell(shops: Shops) -> None:
    shops.accounts = ()

    assert shops.run() == []
    assert shops.dynamodb.calls == []


# ---- What fails


def test_what_could_not_be_published_is_told_by_the_next_run(shops: Shops, figures: Figures) -> None:
    is_quiet(shops)
    shops.topics.trouble = RetryLater("SNS gave no answer")
    assert (shops.run(), figures.sums) == ([], {"guard_failed": 1})

    shops.topics.trouble = None
    assert len(shops.run()) == 1


def test_a_run_in_which_the_guard_failed_before_counts_as_failed_once(shops: Shops, figures: Figures) -> None:
    is_quiet(shops)
    shops.topics.trouble = RetryLater("SNS gave no answer")
    watch = Watch({SHOP: [GUARD_FAILED], OTHER: []})
    watch.fail()

    assert (shops.run_after(watch), figures.sums) == ([], {"guard_failed": 1})


@pytest.mark.parametrize("operation", ["batch_get_item", "update_item"])
def test_without_the_ledger_it_is_told_by_the_next_run_at_the_latest(
    shops: Shops, figures: Figures, operation: str
) -> None:
    is_quiet(shops)

    def fail(called: str) -> None:
        if called == operation:
            raise UNREACHABLE

    shops.dynamodb.before = fail
    told = shops.run()
    assert figures.sums == {"guard_failed": 1}

    shops.dynamodb.before = lambda _: None
    told += shops.run()
    assert 1 <= len(told) <= 2
    assert shops.run() == []


def test_a_corrupt_item_hides_no_other_account_s_trouble(shops: Shops, figures: Figures) -> None:
    shops.dynamodb.table.put({"pk": f"activity#{OTHER}", "hook_at": "yesterday"})
    is_quiet(shops)

    (notice,) = shops.run()
    assert notice.subject == f"{SHOP}: no hook in 48 hours"
    assert figures.sums == {"ledger_unreadable": 1}


def test_a_trouble_that_a_later_version_noted_is_no_trouble_to_this_one(shops: Shops) -> None:
    Activities(shops.dynamodb.table).note_troubles(SHOP, {"a_later_one": NOON})

    assert shops.run() == []


# ---- What is said


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_message_reads_as_its_golden_file(shops: Shops, language: str) -> None:
    shops.settings = replace(SETTINGS, language=language)
    shops.saw(Sign.REFUSED)
    for account in (OTHER, "thirdshop"):
        shops.saw(Sign.HOOK, ago=3 * WEEK, account=account)
        shops.saw(Sign.HOOK, ago=WEEK, account=account)
    shops.saw(Sign.FEED_ONLY, account="thirdshop")
    shops.accounts = (SHOP, OTHER, "thirdshop")

    (notice,) = shops.run()
    text, file = f"Subject: {notice.subject}\n\n{notice.body}\n", GOLDEN / language / "notices" / "accounts.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    assert text == file.read_text("utf-8")
    assert notice.subject.isascii()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("trouble", TOLD)
def test_the_longest_subject_fits(language: str, trouble: Trouble) -> None:
    for accounts in (["x" * 63], [f"shop{number}" for number in range(1_000)]):
        told = {trouble: accounts, Trouble.FEED_FOUND: accounts}
        subject = accounts_in_trouble(told, 72, language, "invoicekey").subject
        assert subject.isascii()
        assert len(subject) < 100


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_commands_lead_to_the_stack_that_sends_the_message(language: str) -> None:
    body = accounts_in_trouble({trouble: [SHOP] for trouble in TOLD}, 48, language, "invoicekey-dev").body

    commands = [line for line in body.splitlines() if line.startswith(("invoicekey ", "make "))]
    assert len(commands) == 5
    assert all(line.endswith(("--stack invoicekey-dev", "STACK=invoicekey-dev")) for line in commands)
