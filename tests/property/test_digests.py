"""Digests: each alert that is deferred is told once, whatever dies, fails, lags or comes at the same time.

So is each reminder that is due. A run in a play is a thread that goes on only when it is told to, from one moment
before or after a call to the next, so every play can be repeated. What a digest tells is compared with what was held
back, alert by alert; reminders, with the occasions that they were called for.
"""

import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from invoicekey.delivery.queues import alert_entry
from invoicekey.messages import summary
from invoicekey.messages.alert import Alert, Style
from invoicekey.messages.summary import DeferredOrder, OpenFailure
from invoicekey.runtime.errors import RetryLater
from invoicekey.work.digest import DIGEST, REMINDER, WANTED_FOR, Due, SummaryStates
from tests.fakes_digest import LEASE, SHOP, DigestShop, Published, die, fail, repeat
from tests.fakes_outside import Crash

ORDERS = ("VVJ-1-01", "VVJ-2-01", "VVJ-3-01")
KINDS = ("failing", "resolved", "expired")
OPEN = "VVJ-9-01"
"""Has an open failure, and so there always is what to remind of."""
TIMEOUT = LEASE / 2
MOST_RUNS = 3
BETWEEN_SENDING_AND_NOTING = {"after publish", "before put_item"}
ENOUGH_RUNS = 4
"""So many, one after the other with nothing failing, tell and forget whatever is unfinished."""
MOST_MOMENTS = 38
"""A run that tells three alerts has about so many."""

one_of = st.sampled_from
type Told = tuple[str, str, str]
"""An alert that was deferred: its order, kind and time."""


def written_plainly(account: str, held: Sequence[DeferredOrder], style: Style, **_: Any) -> Alert:
    """Write a digest from which a test can read what it tells."""
    told = [(alert.order_id, alert.kind, alert.since.isoformat()) for alert in held]
    return Alert("digest", json.dumps(told), "sms", "digest", {"type": "digest", "account": account})


def reminded_plainly(account: str, failures: Sequence[OpenFailure], *, now: datetime, **_: Any) -> Alert:
    """Write a reminder that no other run writes."""
    return Alert("reminder", now.isoformat(), "sms", "reminder", {"type": "reminder", "account": account})


@dataclass
class Run:
    """A run of the function, in a thread that goes on only when `go_on` says so; with an occasion, one that reminds."""

    shop: DigestShop
    occasion: str | None = None
    began: datetime = field(init=False)
    is_over: bool = False
    error: BaseException | None = None
    is_unlucky: bool = False
    """Something happened to it when it had sent a summary, and not noted that."""

    def __post_init__(self) -> None:
        self.began = self.shop.now
        self._may_go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._happening: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self, happening: Callable[[], None] | None = None) -> None:
        """Let it go on to its next moment, or let something happen to it where it stands."""
        self._happening = happening
        self._may_go.release()
        self._stands.acquire()
        if self.is_over:
            self._thread.join()
        if self.error:
            raise self.error

    def stand(self, moment: str) -> None:
        """Wait, in its own thread, until it may go on."""
        self._stands.release()
        self._may_go.acquire()
        happening = self._happening
        if happening and (happening is not repeat or moment.startswith("after")):
            self.is_unlucky |= moment in BETWEEN_SENDING_AND_NOTING
            happening()

    def _run(self) -> None:
        self._may_go.acquire()
        try:
            if self._happening is None and self.occasion:
                self.shop.digests().send_reminders(self._seconds_left, self.occasion, lambda: self.began)
            elif self._happening is None:
                self.shop.digests().send_digests(self._seconds_left, lambda: self.began)
        except (Crash, RetryLater):
            pass
        except BaseException as error:  # noqa: BLE001 - to be raised where the play is
            self.error = error
        finally:
            self.is_over = True
            self._stands.release()

    def _seconds_left(self) -> float:
        return (self.began + TIMEOUT - self.shop.now).total_seconds()


class Play:
    """A shop, and the runs over it. It asserts what holds at any time."""

    def __init__(self) -> None:
        self.shop = DigestShop()
        self.shop.backlog.note_accounts([SHOP])
        self.shop.keep(OPEN)
        self.shop.dynamodb.catch_up()
        self.shop.dynamodb.lags = True
        self.shop.moments.happens = self._stand
        self.runs: list[Run] = []
        self.current: Run | None = None
        self.held: dict[str, Told] = {}
        """By order, the alert that is still to be told, or was told."""
        self.ever_held: set[Told] = set()
        self.publishers: dict[str, Run] = {}
        self.told: set[Told] = set()
        self.seen = 0
        self.occasions = 0
        self.due: Due | None = None
        """The last reminder that was noted as due."""
        self.reminded: set[str | None] = set()

    def hold_back(self, order: str, kind: str) -> None:
        """Hold an alert back, in the place of an older one of the order."""
        self.shop.now += timedelta(microseconds=1)
        self.held[order] = (order, kind, self.shop.now.isoformat())
        self.ever_held.add(self.held[order])
        alone = written_plainly(SHOP, [DeferredOrder(order, kind, (), self.shop.now)], Style())
        self.shop.hold_back(order, kind, alert=alert_entry(alone.subject, alone.message(), alone.attributes))

    def publish_alert(self, order: str) -> None:
        """Let a newer alert of the order go out at once."""
        self.shop.publish_alert(order)
        del self.held[order]

    def advance(self, time: timedelta) -> None:
        """Let time pass. No run outlives its timeout."""
        self.shop.wait(time)
        for run in list(self.runs):
            if self.shop.now - run.began >= TIMEOUT:
                self.go_on(run, die)

    def begin(self, occasion: str | None = None) -> Run:
        """Let a run begin. Nothing is done yet."""
        self.shop.now += timedelta(microseconds=1)
        run = Run(self.shop, occasion)
        self.runs.append(run)
        return run

    def begin_to_remind(self) -> Run:
        """Let the scheduler call for the next occasion, when the last one's reminder is not wanted any more."""
        self.advance(WANTED_FOR)
        self.occasions += 1
        return self.begin(f"occasion {self.occasions}")

    def go_on(self, run: Run, happening: Callable[[], None] | None = None) -> None:
        """Let a run go on to its next moment, or let something happen to it."""
        self.current = run
        run.go_on(happening)
        self.current = None
        self.due = self.states.due() or self.due
        self._look_at_what_was_told(run)
        if run.is_over:
            self.runs.remove(run)

    def go_far(self, run: Run, moments: int) -> None:
        """Let a run go on for so many moments; not further than to its end."""
        for _ in range(moments):
            if not run.is_over:
                self.go_on(run)

    def finish(self, run: Run) -> None:
        """Let a run go on to its end."""
        while not run.is_over:
            self.go_on(run)

    def drain(self) -> None:
        """Let everything come to its end with nothing failing any more: then all is told and forgotten."""
        for run in list(self.runs):
            self.finish(run)
        self.shop.topic.refused.clear()
        is_too_late = self.due is None or self.shop.now - self.due.at > WANTED_FOR - timedelta(hours=1)
        for _ in range(ENOUGH_RUNS):
            self.advance(timedelta(minutes=15))
            self.shop.dynamodb.catch_up()
            self.finish(self.begin())
        assert set(self.held.values()) <= self.told
        assert not self.shop.held
        assert self.states.read(SHOP, DIGEST).alert is None
        assert self.states.read(SHOP, REMINDER).alert is None
        if self.due and not is_too_late:
            assert self.due.occasion in self.reminded
            assert self.states.due() is None

    @property
    def states(self) -> SummaryStates:
        """Return how far the summaries have come, for a test to look at."""
        return SummaryStates(self.shop.dynamodb.table)

    def close(self) -> None:
        """End every thread."""
        for run in list(self.runs):
            run.go_on(die)

    def _stand(self, moment: str) -> None:
        assert self.current
        self.current.stand(moment)

    def _look_at_what_was_told(self, run: Run) -> None:
        """The same summary comes again only where its sender failed."""
        published = self.shop.topic.published
        for told in published[self.seen :]:
            text = json.dumps(told.entry)
            if text in self.publishers:
                assert self.publishers[text].is_unlucky, "told again, though its sender could note it"
            elif told.type == DIGEST:
                self._look_at_a_digest(told)
            else:
                occasion = self.states.read(SHOP, REMINDER).occasion
                assert occasion not in self.reminded, "reminded twice"
                self.reminded.add(occasion)
            self.publishers[text] = run
        self.seen = len(published)

    def _look_at_a_digest(self, digest: Published) -> None:
        """It tells what was deferred, and was not told yet."""
        alerts = [_as_told(alert) for alert in json.loads(digest.body)]
        assert alerts
        assert len(alerts) == len(set(alerts))
        assert self.ever_held.issuperset(alerts)
        assert self.told.isdisjoint(alerts), "told in two digests"
        self.told.update(alerts)


def _as_told(alert: Any) -> Told:
    order, kind, since = alert
    return order, kind, since


class DigestMachine(RuleBasedStateMachine):
    """Anything happens, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.plainly = patch.multiple(summary, digest=written_plainly, reminder=reminded_plainly)
        self.plainly.start()
        self.play = Play()

    @rule(order=one_of(ORDERS), kind=one_of(KINDS))
    def an_alert_is_held_back(self, order: str, kind: str) -> None:
        self.play.hold_back(order, kind)

    @precondition(lambda self: self.play.held)
    @rule(data=st.data())
    def a_newer_alert_goes_out_at_once(self, data: st.DataObject) -> None:
        self.play.publish_alert(data.draw(one_of(sorted(self.play.held))))

    @rule(order=one_of(ORDERS))
    def the_index_catches_up_with(self, order: str) -> None:
        self.play.shop.dynamodb.catch_up(f"held#{SHOP}#{order}")

    @rule()
    def the_index_catches_up(self) -> None:
        self.play.shop.dynamodb.catch_up()

    @rule(order=one_of(ORDERS))
    def the_index_does_not_show(self, order: str) -> None:
        self.play.shop.dynamodb.hide(f"held#{SHOP}#{order}")

    @rule(seconds=one_of([1, 60, 310, 610, 900]))
    def time_passes(self, seconds: int) -> None:
        self.play.advance(timedelta(seconds=seconds))

    @precondition(lambda self: len(self.play.runs) < MOST_RUNS)
    @rule(moments=st.integers(0, MOST_MOMENTS))
    def a_run_begins(self, moments: int) -> None:
        self.play.go_far(self.play.begin(), moments)

    @rule(moments=st.integers(0, MOST_MOMENTS))
    def a_reminder_is_called_for(self, moments: int) -> None:
        self.play.go_far(self.play.begin_to_remind(), moments)

    @precondition(lambda self: self.play.occasions and len(self.play.runs) < MOST_RUNS)
    @rule(moments=st.integers(0, MOST_MOMENTS))
    def it_is_called_for_again(self, moments: int) -> None:
        self.play.go_far(self.play.begin(f"occasion {self.play.occasions}"), moments)

    @precondition(lambda self: self.play.runs)
    @rule(which=st.integers(0, MOST_RUNS), moments=st.integers(1, 8))
    def a_run_goes_on(self, which: int, moments: int) -> None:
        self.play.go_far(self._run(which), moments)

    @precondition(lambda self: self.play.runs)
    @rule(which=st.integers(0, MOST_RUNS))
    def a_run_ends(self, which: int) -> None:
        self.play.finish(self._run(which))

    @precondition(lambda self: self.play.runs)
    @rule(which=st.integers(0, MOST_RUNS), happening=one_of([die, fail, repeat]))
    def something_happens_to_a_run(self, which: int, happening: Callable[[], None]) -> None:
        self.play.go_on(self._run(which), happening)

    @rule(refused=st.booleans())
    def the_topic_refuses_or_not(self, refused: bool) -> None:
        self.play.shop.topic.refused = {SHOP} if refused else set()

    @rule()
    def everything_is_drained(self) -> None:
        self.play.drain()

    @invariant()
    def what_is_to_be_told_waits_or_was_told(self) -> None:
        waiting = {*self.play.shop.held}
        assert all(order in waiting or alert in self._told_or_written for order, alert in self.play.held.items())

    def teardown(self) -> None:
        try:
            self.play.drain()
        finally:
            self.play.close()
            self.plainly.stop()

    @property
    def _told_or_written(self) -> set[Told]:
        written = self.play.states.read(SHOP, DIGEST).alert
        left = json.loads(json.loads(json.loads(written)["Message"])["default"]) if written else []
        return self.play.told | {_as_told(alert) for alert in left}

    def _run(self, which: int) -> Run:
        return self.play.runs[which % len(self.play.runs)]


TestDigests = DigestMachine.TestCase
TestDigests.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.fixture
def _plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "digest", written_plainly)
    monkeypatch.setattr(summary, "reminder", reminded_plainly)


BEFORE, AFTER = 1, 2
"""After so many moments, or two more, or four more, a run stands before a call, and after one."""
each_happening = pytest.mark.parametrize(
    ("happening", "begin"), [(die, BEFORE), (fail, BEFORE), (fail, AFTER), (repeat, AFTER)]
)


def for_all_moments(begin: int, play: Callable[[int, int], tuple[bool, bool]]) -> None:
    """Play with every two moments, as far as the two runs come: it says whether they came so far."""
    for first in itertools.count(begin, 2):
        for second in itertools.count(begin, 2):
            is_first_reached, is_second_reached = play(first, second)
            if not is_second_reached:
                break
        if not is_first_reached:
            break


@pytest.mark.usefixtures("_plainly")
@each_happening
def test_two_things_may_happen_to_two_runs_at_any_moments(happening: Callable[[], None], begin: int) -> None:
    def played(first: int, second: int) -> tuple[bool, bool]:
        play = Play()
        for order in ORDERS[:2]:
            play.hold_back(order, "failing")
        play.shop.dynamodb.catch_up()
        is_first_reached = _goes_so_far(play, first, happening)
        play.hold_back(ORDERS[2], "failing")
        play.shop.dynamodb.catch_up(f"held#{SHOP}#{ORDERS[2]}")
        play.advance(timedelta(minutes=15))
        is_second_reached = _goes_so_far(play, second, happening)
        play.drain()
        return is_first_reached, is_second_reached

    for_all_moments(begin, played)


@pytest.mark.usefixtures("_plainly")
def test_two_runs_may_overtake_each_other_at_any_moment() -> None:
    def played(first_stands: int, second_stands: int) -> tuple[bool, bool]:
        play = Play()
        play.hold_back(ORDERS[0], "failing")
        play.shop.dynamodb.catch_up()
        first = play.begin()
        play.go_far(first, first_stands)
        play.hold_back(ORDERS[0], "resolved")
        play.hold_back(ORDERS[1], "failing")
        play.shop.dynamodb.catch_up(f"held#{SHOP}#{ORDERS[1]}")
        second, is_first_reached = play.begin(), not first.is_over
        play.go_far(second, second_stands)
        is_second_reached = not second.is_over
        play.finish(first)
        play.drain()
        return is_first_reached, is_second_reached

    for_all_moments(BEFORE, played)


@pytest.mark.usefixtures("_plainly")
@each_happening
def test_a_reminder_and_a_run_of_the_digests_may_meet_at_any_moments(happening: Callable[[], None], begin: int) -> None:
    def played(reminder_stands: int, digest_stands: int) -> tuple[bool, bool]:
        play = Play()
        play.hold_back(ORDERS[0], "failing")
        play.shop.dynamodb.catch_up()
        reminder = play.begin_to_remind()
        play.go_far(reminder, reminder_stands)
        digest = play.begin()
        play.go_far(digest, digest_stands)
        is_reminder_reached, is_digest_reached = not reminder.is_over, not digest.is_over
        if is_reminder_reached:
            play.go_on(reminder, happening)
        play.finish(digest)
        play.finish(reminder)
        play.drain()
        return is_reminder_reached, is_digest_reached

    for_all_moments(begin, played)


def _goes_so_far(play: Play, moments: int, happening: Callable[[], None]) -> bool:
    """Let something happen to a run at a moment, and let it end; say whether it came so far."""
    run = play.begin()
    play.go_far(run, moments)
    is_reached = not run.is_over
    if is_reached:
        play.go_on(run, happening)
    play.finish(run)
    return is_reached
