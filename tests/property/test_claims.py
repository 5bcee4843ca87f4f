"""Claims: however the checks of several orders fall together, a key has one owner, and the others fail for it.

What has to hold stands in play.py: an order and its keys agree on who owns what at any moment, and once all is read
again, exactly one of the orders that carry a key is not told as reusing it.
"""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.property.play import FIRST, ORDERS, SECOND, STATES, Invocation, Play

CANCELED, GONE, KEYLESS, OWN_KEY, SHARED = "canceled", "unknown to VTEX", "short key", "good", "the first one's key"
MOST_MOMENTS = 36
one_of = st.sampled_from
states = one_of(
    [CANCELED, GONE, KEYLESS, OWN_KEY, SHARED, "the first one's key too", "no key on the second", "returned"]
)


class Claims(RuleBasedStateMachine):
    """Orders that share keys change and are checked, in any order; a batch may die at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play()

    @initialize(found=st.tuples(states, states, states))
    def there_are_orders(self, found: tuple[str, str, str]) -> None:
        for order_id, state in zip(ORDERS, found, strict=True):
            self.play.change(order_id, state)
            self.play.post(order_id)

    @rule(order_id=one_of(ORDERS), state=states)
    def an_order_changes(self, order_id: str, state: str) -> None:
        self.play.change(order_id, state)
        self.play.post(order_id)

    @precondition(lambda self: len(self.play.invocations) < len(self.play.environments) and self.play.visible)
    @rule(size=st.integers(1, 2), moments=st.integers(0, 12))
    def a_batch_begins(self, size: int, moments: int) -> None:
        self.play.go_on(self.play.begin(size), moments)

    @precondition(lambda self: self.play.invocations)
    @rule(which=st.integers(0, 2), moments=st.integers(1, 8), dies=one_of([False, False, False, True]))
    def a_batch_goes_on(self, which: int, moments: int, *, dies: bool) -> None:
        self.play.go_on(self.play.invocations[which % len(self.play.invocations)], moments, dies=dies)

    @rule()
    def everything_is_read_again(self) -> None:
        self.play.recheck(everything=True)

    @invariant()
    def what_always_holds(self) -> None:
        self.play.check_what_always_holds()

    def teardown(self) -> None:
        try:
            self.play.drain()
        finally:
            self.play.close()


TestClaims = Claims.TestCase
TestClaims.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def _told(first: str, second: str) -> Play:
    """Return a play in which the two orders are so, and were checked in this order."""
    play = Play()
    for order_id, state in ((FIRST, first), (SECOND, second)):
        play.finish(_hears_of(play, order_id, state))
    assert not play.queue
    return play


def _hears_of(play: Play, order_id: str, state: str) -> Invocation:
    play.change(order_id, state)
    play.post(order_id)
    return play.begin(size=1)


@pytest.mark.parametrize(
    ("history", "change"),
    [
        ((KEYLESS, CANCELED), (OWN_KEY, SHARED)),
        ((OWN_KEY, CANCELED), (CANCELED, SHARED)),
        ((OWN_KEY, CANCELED), (KEYLESS, SHARED)),
        ((OWN_KEY, CANCELED), (GONE, SHARED)),
        ((OWN_KEY, SHARED), (CANCELED, SHARED)),
        ((KEYLESS, SHARED), (OWN_KEY, OWN_KEY)),
        ((KEYLESS, SHARED), (OWN_KEY, CANCELED)),
    ],
    ids=str,
)
def test_two_orders_may_be_checked_at_once_at_any_moment(history: tuple[str, str], change: tuple[str, str]) -> None:
    # After a step is as good as before the next one: every second moment will do.
    for first_stands, second_stands in itertools.product(range(0, 24, 2), repeat=2):
        play = _told(*history)
        first = _hears_of(play, FIRST, change[0])
        play.go_on(first, first_stands)
        second = _hears_of(play, SECOND, change[1])
        play.go_on(second, second_stands)
        play.finish(first)
        play.check_what_always_holds()
        play.drain()


@pytest.mark.parametrize("state", [CANCELED, KEYLESS, GONE])
def test_a_check_of_the_owner_may_be_under_way_when_it_loses_its_key(state: str) -> None:
    for moment in range(MOST_MOMENTS):
        play = _told(OWN_KEY, CANCELED)
        first = _hears_of(play, FIRST, OWN_KEY)
        play.go_on(first, moment)
        play.change(FIRST, state)
        play.finish(_hears_of(play, SECOND, SHARED))
        play.finish(first)
        play.check_what_always_holds()
        play.post(FIRST)
        play.drain()


@pytest.mark.parametrize("state", [state for state in STATES if state != SHARED])
def test_a_batch_that_takes_a_key_over_may_die_at_any_moment(state: str) -> None:
    for moment in range(MOST_MOMENTS):
        play = _told(OWN_KEY, CANCELED)
        play.change(FIRST, state)
        invocation = _hears_of(play, SECOND, SHARED)
        play.go_on(invocation, moment)
        play.go_on(invocation, dies=True)
        play.check_what_always_holds()
        play.post(FIRST)
        play.drain()
    assert invocation.went_back is not None, "it never came to its end: there are more moments"
