"""Reports: once, and never lost. Batches run side by side, step by step, and die between any two of them.

What has to hold stands in play.py.
"""

import itertools
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from invoicekey.delivery.queues import FEED, HOOK
from invoicekey.ledger.entries import EXPIRED
from invoicekey.ledger.schedule import FOLLOWED_FOR
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import Conflict, CredentialsRefused, OutOfTime, RateLimited
from invoicekey.work.check import UNREAD_FOR
from tests.fake_dynamodb import LOST_ANSWERS
from tests.fakes_outside import ACCOUNT, GRACE, NOON, unreachable
from tests.property.play import FIRST, SECOND, STATES, VISIBILITY, Invocation, Play

ORDERS = (FIRST, SECOND)
one_of = st.sampled_from

VTEX_TROUBLES: tuple[Callable[[], Exception], ...] = (
    unreachable,
    lambda: CredentialsRefused("VTEX answered 403"),
    lambda: RateLimited("VTEX answered 429", wait=45.0),
    lambda: OutOfTime("the pace allows no more now", wait=3.0),
    lambda: RuntimeError("a bug"),
)
LEDGER_STEPS = (
    "read", "write", "note_recorded", "acquire_alert_quota", "note_alerted", "note_deferred", "note_dismissed",
    "note_backoff", "note_returned",
)  # fmt: skip
SENDING_STEPS = ("send_records", "publish_alerts")
MOST_MOMENTS = 32
"""A batch of one order has no more moments than this before and after its steps."""
A_YEAR_IS_NEAR = NOON + timedelta(days=300)
"""After a year claims of keys end, and the order that showed one first hears of it only when it is read again."""
AFTERWARDS = ("no key", "short key", "good", "canceled", "unknown to VTEX")
"""What may have become of a keyless order that nobody read for a while."""


type Fault = Callable[[Play], None]


def _ledger_refuses(step: str, play: Play) -> None:
    play.outside.steps.before(step, play.unlucky(unreachable()))


def _ledger_gives_no_answer(step: str, play: Play) -> None:
    play.outside.steps.after(step, play.unlucky(unreachable()))


def _another_s_write_is_met(play: Play) -> None:
    """A check that has written meets a conflict nevertheless, and does not know its own report again."""
    play.outside.steps.after("write", play.unlucky(Conflict()))


def _answer_is_lost(lost: Exception, play: Play) -> None:
    """DynamoDB does the next write, and the SDK, which repeats it, hears of it as little as anybody."""
    play.outside.ledger.dynamodb.lose_answer(lost)


def _entries_are_refused(step: str, order_id: str | None, play: Play) -> None:
    play.outside.outlets.refuse(step, order_id)


def _sending_gets_no_answer(step: str, play: Play) -> None:
    play.outside.outlets.lose_answer(step)
    play.outside.steps.after(step, play.unlucky(None))


def _dead_letter_is_refused(play: Play) -> None:
    play.outside.steps.before("send_to_dead_letters", unreachable())


def _dead_letter_gets_no_answer(play: Play) -> None:
    play.outside.steps.after("send_to_dead_letters", unreachable())


def _vtex_fails(trouble: Callable[[], Exception], play: Play) -> None:
    play.outside.vtex.fail(trouble())


def _vtex_refuses_for_long(play: Play) -> None:
    play.outside.vtex.fail(CredentialsRefused("VTEX answered 401"), times=30)


FAULTS: tuple[Fault, ...] = (
    *(partial(fault, step) for fault in (_ledger_refuses, _ledger_gives_no_answer) for step in LEDGER_STEPS),
    _another_s_write_is_met,
    *(partial(_answer_is_lost, lost) for lost in LOST_ANSWERS),
    *(partial(_entries_are_refused, step, order) for step in SENDING_STEPS for order in (None, *ORDERS)),
    *(partial(_sending_gets_no_answer, step) for step in SENDING_STEPS),
    partial(_entries_are_refused, "return_to_queue", None),
    _dead_letter_is_refused,
    _dead_letter_gets_no_answer,
    *(partial(_vtex_fails, trouble) for trouble in VTEX_TROUBLES),
    _vtex_refuses_for_long,
)


class Reports(RuleBasedStateMachine):
    """Anything happens, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play()

    @initialize(states=st.tuples(one_of(sorted(STATES)), one_of(sorted(STATES))))
    def there_are_orders(self, states: tuple[str, str]) -> None:
        for order_id, state in zip(ORDERS, states, strict=True):
            self.play.change(order_id, state)
            self.play.post(order_id)

    @rule(order_id=one_of(ORDERS), state=one_of(sorted(STATES)), delay=one_of([0, 20, 90]))
    def an_order_changes_and_vtex_says_so(self, order_id: str, state: str, delay: float) -> None:
        self.play.change(order_id, state)
        self.play.post(order_id, delay)

    @rule(order_id=one_of(ORDERS), state=one_of(sorted(STATES)), hook=one_of([None, 0, 90]), feed=one_of([0, 60]))
    def an_order_changes_and_the_feed_says_so(self, order_id: str, state: str, hook: float | None, feed: float) -> None:
        self.play.change(order_id, state)
        event = {"last_change": str(next(self.play.numbers))}
        if hook is not None:
            self.play.post(order_id, hook, source=HOOK, **event)
        self.play.post(order_id, feed, source=FEED, **event)

    @rule()
    def what_is_due_is_read_again(self) -> None:
        self.play.recheck()

    @rule()
    def a_digest_goes_out(self) -> None:
        self.play.send_digest()

    @precondition(lambda self: len(self.play.invocations) < len(self.play.environments))
    @rule(order_id=one_of(ORDERS), moments=st.integers(0, 10))
    def a_person_dismisses_an_order(self, order_id: str, moments: int) -> None:
        self.play.go_on(self.play.dismiss(order_id), moments)

    @rule(order_id=one_of([*ORDERS, None]))
    def an_event_comes_once_more(self, order_id: str | None) -> None:
        self.play.post(order_id)

    @precondition(lambda self: self.play.outside.time.now < A_YEAR_IS_NEAR)
    @rule(seconds=one_of([1, 7, 25, 40, 70, 200, 700, 4_000, 90_000, FOLLOWED_FOR.total_seconds()]))
    def time_passes(self, seconds: float) -> None:
        self.play.advance(timedelta(seconds=seconds))

    @precondition(lambda self: self.play.outside.time.now < A_YEAR_IS_NEAR)
    @rule()
    def vtex_refuses_all_until_failures_are_given_up(self) -> None:
        self.play.advance(FOLLOWED_FOR)
        self.play.recheck()
        self.play.advance(UNREAD_FOR)
        _vtex_refuses_for_long(self.play)

    @precondition(lambda self: len(self.play.invocations) < len(self.play.environments) and self.play.visible)
    @rule(size=st.integers(1, 5), moments=st.integers(0, 15))
    def a_batch_begins(self, size: int, moments: int) -> None:
        self.play.go_on(self.play.begin(size), moments)

    @precondition(lambda self: self.play.invocations)
    @rule(which=st.integers(0, 2), moments=st.integers(1, 5))
    def a_batch_goes_on(self, which: int, moments: int) -> None:
        self.play.go_on(self._invocation(which), moments)

    @precondition(lambda self: self.play.invocations)
    @rule(which=st.integers(0, 2))
    def a_batch_ends(self, which: int) -> None:
        self.play.finish(self._invocation(which))

    @precondition(lambda self: self.play.invocations)
    @rule(which=st.integers(0, 2))
    def a_batch_dies(self, which: int) -> None:
        self.play.go_on(self._invocation(which), dies=True)

    @rule(fault=one_of(FAULTS))
    def something_will_fail(self, fault: Fault) -> None:
        fault(self.play)

    @rule()
    def everything_is_drained(self) -> None:
        self.play.drain()

    @invariant()
    def what_always_holds(self) -> None:
        self.play.check_what_always_holds()

    def teardown(self) -> None:
        try:
            self.play.drain()
        finally:
            self.play.close()

    def _invocation(self, which: int) -> Invocation:
        return self.play.invocations[which % len(self.play.invocations)]


TestReports = Reports.TestCase
TestReports.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def _told(state: str) -> Play:
    """Return a play in which an order is in a state, and that is told; no grace is left."""
    play = Play()
    play.change(FIRST, state)
    play.post(FIRST)
    play.finish(play.begin())
    play.advance(GRACE)
    assert not play.queue
    return play


def _left_over(state: str) -> Play:
    """Return a play in which a batch died before it told what an order is like; its lease is over."""
    play = Play()
    play.change(FIRST, state)
    play.post(FIRST)
    invocation = play.begin()
    while "write" not in play.outside.steps.taken:
        play.go_on(invocation)
    play.go_on(invocation, dies=True)
    play.advance(timedelta(seconds=VISIBILITY))
    return play


def _hears_of(play: Play, state: str) -> Invocation:
    """Change the order, and let a batch begin with the event."""
    play.change(FIRST, state)
    play.post(FIRST)
    return play.begin()


@pytest.mark.parametrize(("start", "history"), [(_told, "good"), (_told, "no key"), (_left_over, "no key")])
@pytest.mark.parametrize("state", STATES)
def test_a_batch_may_die_at_any_moment(start: Callable[[str], Play], history: str, state: str) -> None:
    for moment in range(MOST_MOMENTS):
        play = start(history)
        invocation = _hears_of(play, state)
        play.go_on(invocation, moment)
        play.go_on(invocation, dies=True)
        play.drain()
    assert invocation.went_back is not None, "it never came to its end: there are more moments"


@pytest.mark.parametrize("history", [None, "good", "no key"])
@pytest.mark.parametrize("state", STATES)
def test_what_the_feed_alone_knew_is_told_though_a_batch_dies_at_any_moment(history: str | None, state: str) -> None:
    for moment in range(0, MOST_MOMENTS, 2):
        play = _told(history) if history else Play()
        play.change(FIRST, state)
        play.post(FIRST, source=FEED, last_change="now")
        invocation = play.begin()
        play.go_on(invocation, moment)
        play.go_on(invocation, dies=True)
        play.drain()


def _deferral(state: str) -> Play:
    """Return a play in which an order is in a state, of which people are to hear in a digest."""
    play = Play()
    for order_id, found in ((SECOND, "no key"), (FIRST, state)):
        play.change(order_id, found)
        play.post(order_id)
        play.finish(play.begin())
    assert play.outside.ledger.deferred == {FIRST: "failing"}
    return play


@pytest.mark.parametrize("start", [_told, _deferral])
@pytest.mark.parametrize("state", AFTERWARDS)
def test_a_dismissal_may_die_at_any_moment(start: Callable[[str], Play], state: str) -> None:
    for moment in range(MOST_MOMENTS):
        play = start("no key")
        dismissal = play.dismiss(FIRST)
        play.go_on(dismissal, moment)
        play.go_on(dismissal, dies=True)
        play.advance(timedelta(seconds=VISIBILITY))
        play.recheck()
        play.change(FIRST, state)
        play.drain()
    assert dismissal.went_back is not None, "it never came to its end: there are more moments"


@pytest.mark.parametrize("start", [_told, _deferral])
@pytest.mark.parametrize("state", AFTERWARDS)
def test_a_dismissal_and_a_batch_may_overtake_each_other_at_any_moment(
    start: Callable[[str], Play], state: str
) -> None:
    for dismissal_stands, batch_stands in itertools.product(range(0, 10, 2), range(0, 20, 2)):
        play = start("no key")
        dismissal = play.dismiss(FIRST)
        play.go_on(dismissal, dismissal_stands)
        batch = _hears_of(play, state)
        play.go_on(batch, batch_stands)
        play.finish(dismissal)
        play.finish(batch)
        play.check_what_always_holds()
        play.drain()


def _given_up(start: Callable[[str], Play]) -> tuple[Play, Invocation]:
    """Return a play in which a batch is about to give a failure up that it can't read."""
    play = start("no key")
    play.advance(FOLLOWED_FOR)
    play.recheck()
    play.advance(UNREAD_FOR)
    _vtex_refuses_for_long(play)
    return play, play.begin()


@pytest.mark.parametrize("start", [_told, _deferral])
@pytest.mark.parametrize("state", AFTERWARDS)
def test_a_batch_that_gives_up_what_it_cannot_read_may_die_at_any_moment(
    start: Callable[[str], Play], state: str
) -> None:
    for moment in range(MOST_MOMENTS):
        play, batch = _given_up(start)
        play.go_on(batch, moment)
        play.go_on(batch, dies=True)
        play.change(FIRST, state)
        play.drain()
    assert batch.went_back is not None, "it never came to its end: there are more moments"


@pytest.mark.parametrize("is_delivered", [True, False])
@pytest.mark.parametrize("start", [_told, _deferral])
@pytest.mark.parametrize("state", AFTERWARDS)
def test_what_expired_and_ends_is_told_to_machines_though_a_batch_dies_at_any_moment(
    start: Callable[[str], Play], state: str, is_delivered: bool
) -> None:
    for moment in range(0, MOST_MOMENTS, 2):
        play, batch = _given_up(start)
        play.finish(batch)
        assert play.outside.ledger.entries[OrderRef(ACCOUNT, FIRST)].archived == EXPIRED
        if is_delivered:
            play.send_digest()
        play.outside.steps.forget_plans()
        batch = _hears_of(play, state)
        play.go_on(batch, moment)
        play.go_on(batch, dies=True)
        play.drain()


@pytest.mark.parametrize(("history", "state"), [("good", "no key"), ("no key", "good"), ("no key", "canceled")])
def test_any_two_things_may_fail(history: str, state: str) -> None:
    for faults in itertools.combinations(FAULTS, 2):
        play = _told(history)
        for fault in faults:
            fault(play)
        play.finish(_hears_of(play, state))
        play.drain()


@pytest.mark.parametrize(("start", "history"), [(_told, "good"), (_told, "shorter key"), (_left_over, "shorter key")])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("no key", "good"),
        ("good", "no key"),
        ("no key", "short key"),
        ("no key", "canceled"),
        ("no key", "returned"),
        ("no key", "not invoiced"),
        ("no key", "unknown to VTEX"),
        ("canceled", "no key"),
        ("no invoice", "no key"),
    ],
)
def test_two_batches_may_overtake_each_other_at_any_moment(
    start: Callable[[str], Play], history: str, before: str, after: str
) -> None:
    # After a step is as good as before the next one: every second moment will do.
    for first_stands, second_stands in itertools.product(range(0, 20, 2), repeat=2):
        play = start(history)
        first = _hears_of(play, before)
        play.go_on(first, first_stands)
        second = _hears_of(play, after)
        play.go_on(second, second_stands)
        play.finish(first)
        play.drain()
