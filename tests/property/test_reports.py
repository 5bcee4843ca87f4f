"""Reports: once, and never lost. Batches run side by side, step by step, and die between any two of them.

A play is VTEX, SQS, Lambda and the clock. Each batch in it is a thread that goes on only when it is told to, from one
call to the outside to the next, so every play can be repeated. What has to hold is asked at each step and at the end.
"""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from invoicekey.batch import BatchCheck
from invoicekey.check import Clock
from invoicekey.errors import Conflict, CredentialsRefused, OutOfTime, SilenceAsked
from invoicekey.notification import OrderRef
from invoicekey.outlets import Message
from tests.fakes_outside import ACCOUNT, GRACE, Crash, FakeTime, Outside, Sent, message, unreachable
from tests.orders import KEY, cnova_order, returned, sale

ORDERS = ("VVJ-1-01", "VVJ-2-01")
TIMEOUT = timedelta(seconds=30)
VISIBILITY = 180.0
PATIENCE = 400
"""So many batches at the most drain what a short play may leave behind."""

one_of = st.sampled_from
type Errors = frozenset[tuple[str, str | None, str | None]]
NO_ERRORS: Errors = frozenset()

SHORT_KEY, OTHER_SHORT_KEY = KEY[:-1], KEY[:-2]
STATES: dict[str, tuple[Callable[[str], dict[str, Any]] | None, Errors]] = {
    "good": (lambda i: cnova_order(sale(), orderId=i), NO_ERRORS),
    "good, with a warning": (lambda i: cnova_order(sale(trackingNumber=None), orderId=i), NO_ERRORS),
    "no key": (lambda i: cnova_order(sale(key=None), orderId=i), frozenset({("missing", "643797", None)})),
    "no key, with a warning": (
        lambda i: cnova_order(sale(key=None, courier=None), orderId=i),
        frozenset({("missing", "643797", None)}),
    ),
    "short key": (
        lambda i: cnova_order(sale(key=SHORT_KEY), orderId=i),
        frozenset({("malformed", "643797", SHORT_KEY)}),
    ),
    "shorter key": (
        lambda i: cnova_order(sale(key=OTHER_SHORT_KEY), orderId=i),
        frozenset({("malformed", "643797", OTHER_SHORT_KEY)}),
    ),
    "no key on the second": (
        lambda i: cnova_order(sale(), sale("643798", None), orderId=i),
        frozenset({("missing", "643798", None)}),
    ),
    "no invoice": (lambda i: cnova_order(orderId=i), frozenset({("no_invoice", None, None)})),
    "canceled": (lambda i: cnova_order(sale(key=None), orderId=i, status="canceled"), NO_ERRORS),
    "returned": (lambda i: cnova_order(sale(key=None), returned(), orderId=i), NO_ERRORS),
    "not invoiced": (lambda i: cnova_order(orderId=i, status="handling"), NO_ERRORS),
    "unknown to VTEX": (None, NO_ERRORS),
}
"""What an order may be like at VTEX, and which errors have to be told of it in the end."""

VTEX_TROUBLES: tuple[Callable[[], Exception], ...] = (
    unreachable,
    lambda: CredentialsRefused("VTEX answered 403"),
    lambda: SilenceAsked("VTEX answered 429", wait=45.0),
    lambda: OutOfTime("the pace allows no more now", wait=3.0),
    lambda: RuntimeError("a bug"),
)
LEDGER_STEPS = ("read", "write", "note_recorded", "note_alerted", "note_silence", "note_put_back")
SENDING_STEPS = ("send_records", "publish_alerts")
MOST_MOMENTS = 32
"""A batch of one order has no more moments than this before and after its steps."""


@dataclass
class Queued:
    """A message of the hook queue."""

    message: Message
    visible_at: datetime
    receives: int = 0


@dataclass
class Invocation:
    """A batch that is being checked, in a thread that goes on only when `go_on` says so."""

    environment: BatchCheck
    messages: list[Message]
    began: datetime
    clock: Clock
    is_over: bool = False
    went_back: set[str] | None = None
    """The ids of the messages that were reported as failed; None where it died."""
    error: BaseException | None = None
    is_unlucky: bool = False
    """It died, or something that it did took effect without its knowing or the other way round."""

    def __post_init__(self) -> None:
        self._may_go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._must_die = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self, *, dies: bool = False) -> bool:
        """Let it go on to its next moment, or die where it stands; return whether it is over then."""
        self._must_die = dies
        self.is_unlucky |= dies
        self._may_go.release()
        self._stands.acquire()
        if self.is_over:
            self._thread.join()
        if self.error is not None:
            raise self.error
        return self.is_over

    def stand(self) -> None:
        """Wait, in its own thread, until it may go on."""
        self._stands.release()
        self._may_go.acquire()
        if self._must_die:
            raise Crash

    def _run(self) -> None:
        self._may_go.acquire()
        try:
            if not self._must_die:
                self.went_back = self.environment.check(self.messages, self.clock)
        except Crash:
            pass
        except BaseException as error:  # noqa: BLE001 - to be raised where the play is
            self.error = error
        finally:
            self.is_over = True
            self._stands.release()


class Play:
    """All that is outside of the function, with the function's invocations. It asserts what holds at any time."""

    def __init__(self) -> None:
        self.outside = Outside()
        self.outside.steps.at_each_moment = self._stand
        self.environments = [self.outside.environment() for _ in range(3)]
        self.invocations: list[Invocation] = []
        self.current: Invocation | None = None
        self.queue: dict[str, Queued] = {}
        self.posted: set[str] = set()
        self.ended: set[str] = set()
        self.states: dict[str, str] = {}
        self.numbers = itertools.count(1)
        self.seen_put_backs = self.seen_records = self.seen_alerts = 0
        self.senders: dict[tuple[OrderRef, int, str], Invocation] = {}
        self.texts: dict[tuple[OrderRef, int, str], str] = {}
        self.last: dict[OrderRef, Sent] = {}
        self.versions: dict[OrderRef, tuple[int, int]] = {}

    # ---- What happens at VTEX, in the queue and to the clock

    def change(self, order_id: str, state: str) -> None:
        """Change an order at VTEX, of which nobody hears yet."""
        document, _ = STATES[state]
        self.outside.vtex.documents.pop(OrderRef(ACCOUNT, order_id), None)
        if document is not None:
            self.outside.vtex.put(document(order_id))
        self.states[order_id] = state

    def post(self, order_id: str | None, delay: float = 0) -> None:
        """Queue an event about an order, or one about nothing."""
        about = {"body": "{}"} if order_id is None else {}
        self._put(message(order_id or "none", id=self._new_id(), sent_at=self._time.timestamp(), **about), delay)

    def advance(self, time: timedelta) -> None:
        """Let time pass. No invocation outlives its timeout: the lease is twice as long."""
        self._time.advance(time)
        for invocation in list(self.invocations):
            if self._time.now - invocation.began >= TIMEOUT:
                self.go_on(invocation, dies=True)

    @property
    def visible(self) -> list[Queued]:
        """List the messages that a batch may be made of."""
        return [queued for queued in self.queue.values() if queued.visible_at <= self._time.now]

    # ---- What batches do

    def begin(self, size: int = 10) -> Invocation:
        """Hand out messages to an environment that is free. Nothing is done yet."""
        batch = self.visible[:size]
        for queued in batch:
            count = queued.receives = queued.receives + 1
            queued.message = replace(queued.message, receive_count=count, receipt_handle=f"receive {count}")
            queued.visible_at = self._time.now + timedelta(seconds=VISIBILITY)
        busy = {invocation.environment for invocation in self.invocations}
        environment = next(one for one in self.environments if one not in busy)
        began = self._time.now

        def seconds_left() -> float:
            return (began + TIMEOUT - self._time.now).total_seconds()

        clock = Clock(seconds_left, now=lambda: self._time.now)
        invocation = Invocation(environment, [queued.message for queued in batch], began, clock)
        self.invocations.append(invocation)
        return invocation

    def go_on(self, invocation: Invocation, moments: int = 1, *, dies: bool = False) -> None:
        """Let an invocation go on for so many moments, or die; not further than to its end."""
        for _ in range(moments):
            if invocation.is_over:
                return
            self.current = invocation
            is_over = invocation.go_on(dies=dies)
            self.current = None
            self._look_at_what_was_sent(invocation)
            self._look_at_the_queue()
            if is_over:
                self._end(invocation)

    def finish(self, invocation: Invocation) -> None:
        """Let an invocation go on to its end."""
        while not invocation.is_over:
            self.go_on(invocation)

    # ---- What fails

    def unlucky(self, error: Exception | None) -> Callable[[], None]:
        """Return what lets the invocation fail that it happens to, in a way for which it may tell twice."""

        def happen() -> None:
            assert self.current is not None
            self.current.is_unlucky = True
            if error is not None:
                raise error

        return happen

    # ---- What holds

    def check_what_always_holds(self) -> None:
        """Versions and report numbers only grow, and no message is lost."""
        assert self.posted == self.ended | self.queue.keys()
        assert not self.ended & self.queue.keys()
        for ref, entry in self.outside.ledger.entries.items():
            before = self.versions.get(ref, (0, 0))
            assert entry.version >= before[0]
            assert entry.last_report_number >= before[1]
            self.versions[ref] = (entry.version, entry.last_report_number)

    def drain(self) -> None:
        """Let everything come to its end with nothing failing any more: then all is told as it is."""
        for invocation in list(self.invocations):
            self.finish(invocation)
        self.outside.steps.forget_plans()
        self.outside.outlets.forget_plans()
        for _ in range(PATIENCE):
            self._send_again_what_was_given_up()
            if not self.queue:
                break
            next_one = min(queued.visible_at for queued in self.queue.values())
            self.advance(max(timedelta(0), next_one - self._time.now))
            self.finish(self.begin())
        assert not self.queue
        assert self.ended == self.posted
        self._check_that_all_is_told()

    def close(self) -> None:
        """End every thread."""
        for invocation in self.invocations:
            invocation.go_on(dies=True)

    def _check_that_all_is_told(self) -> None:
        alerted = {(alert.ref, alert.number) for alert in self.outside.outlets.alerts}
        for order_id, state in self.states.items():
            last = self.last.get(OrderRef(ACCOUNT, order_id))
            told = _errors(last) if last and last.type == "failing" else NO_ERRORS
            assert told == STATES[state][1], f"{order_id} is {state!r} and was told as {set(told)}"
        for record in self.outside.outlets.records:
            calls_for_alert = record.type == "failing" or record.data["reason"] == "ok"
            assert ((record.ref, record.number) in alerted) == calls_for_alert
        for entry in self.outside.ledger.entries.values():
            assert entry.report is None or entry.report.is_told

    def _send_again_what_was_given_up(self) -> None:
        """Do as an operator does."""
        for letter, reason in self.outside.outlets.dead_letters:
            if reason in {"gave_up", "no_credentials"}:
                self._put(replace(letter, id=self._new_id(), sent_at=self._time.timestamp()))
        self.outside.outlets.dead_letters.clear()

    # ---- How it is done

    @property
    def _time(self) -> FakeTime:
        return self.outside.time

    def _put(self, posted: Message, delay: float = 0) -> None:
        self.posted.add(posted.id)
        self.queue[posted.id] = Queued(posted, self._time.now + timedelta(seconds=delay))

    def _new_id(self) -> str:
        return f"message-{next(self.numbers)}"

    def _end(self, invocation: Invocation) -> None:
        """Delete its messages but for those that go back, as Lambda does; all stay in the queue where it died."""
        self.invocations.remove(invocation)
        if invocation.went_back is not None:
            for done in {message.id for message in invocation.messages} - invocation.went_back:
                if self.queue.pop(done, None):
                    self.ended.add(done)

    def _stand(self) -> None:
        assert self.current is not None
        self.current.stand()

    def _look_at_the_queue(self) -> None:
        put_backs = self.outside.outlets.put_backs
        for put_back, wait in put_backs[self.seen_put_backs :]:
            queued = self.queue.get(put_back.id)
            if queued and queued.message.receipt_handle == put_back.receipt_handle:
                queued.visible_at = self._time.now + timedelta(seconds=wait)
        self.seen_put_backs = len(put_backs)

    def _look_at_what_was_sent(self, invocation: Invocation) -> None:
        records, alerts = self.outside.outlets.records, self.outside.outlets.alerts
        for record in records[self.seen_records :]:
            self._expect_once(record, "record", invocation)
            self._expect_news(record)
        for alert in alerts[self.seen_alerts :]:
            self._expect_once(alert, "alert", invocation)
            assert (alert.ref, alert.number, "record") in self.senders, "the record comes first"
        self.seen_records, self.seen_alerts = len(records), len(alerts)

    def _expect_once(self, sent: Sent, kind: str, invocation: Invocation) -> None:
        """The same report has the same bytes, and comes twice only if its sender died or could not note it."""
        key = (sent.ref, sent.number, kind)
        assert self.texts.setdefault(key, sent.text) == sent.text
        if key in self.senders:
            assert self.senders[key].is_unlucky, f"{key} was told twice"
        self.senders[key] = invocation

    def _expect_news(self, record: Sent) -> None:
        """No report repeats the one before it, comes after a later one, or resolves what never failed."""
        before = self.last.get(record.ref)
        if before is None or record.number != before.number:
            assert record.number == (before.number if before else 0) + 1
            if record.type == "failing":
                assert not before or before.type != "failing" or _errors(before) != _errors(record)
            else:
                assert before
                assert before.type == "failing"
        self.last[record.ref] = record


def _errors(record: Sent) -> Errors:
    problems = record.data["problems"]
    return frozenset((p["code"], p["invoice_number"], p["invoice_key"]) for p in problems if p["severity"] == "error")


type Fault = Callable[[Play], None]


def _ledger_refuses(step: str, play: Play) -> None:
    play.outside.steps.before(step, play.unlucky(unreachable()))


def _ledger_gives_no_answer(step: str, play: Play) -> None:
    play.outside.steps.after(step, play.unlucky(unreachable()))


def _write_is_repeated(play: Play) -> None:
    """The answer is lost; the SDK writes again and meets what it wrote."""
    play.outside.steps.after("write", play.unlucky(Conflict()))


def _entries_are_refused(step: str, order_id: str | None, play: Play) -> None:
    play.outside.outlets.refuse(step, order_id)


def _sending_gets_no_answer(step: str, play: Play) -> None:
    play.outside.outlets.lose_answer(step)
    play.outside.steps.after(step, play.unlucky(None))


def _dead_letter_is_refused(play: Play) -> None:
    play.outside.steps.before("bury", unreachable())


def _dead_letter_gets_no_answer(play: Play) -> None:
    play.outside.steps.after("bury", unreachable())


def _vtex_fails(trouble: Callable[[], Exception], play: Play) -> None:
    play.outside.vtex.fail(trouble())


FAULTS: tuple[Fault, ...] = (
    *(partial(fault, step) for fault in (_ledger_refuses, _ledger_gives_no_answer) for step in LEDGER_STEPS),
    _write_is_repeated,
    *(partial(_entries_are_refused, step, order) for step in SENDING_STEPS for order in (None, *ORDERS)),
    *(partial(_sending_gets_no_answer, step) for step in SENDING_STEPS),
    partial(_entries_are_refused, "put_back", None),
    _dead_letter_is_refused,
    _dead_letter_gets_no_answer,
    *(partial(_vtex_fails, trouble) for trouble in VTEX_TROUBLES),
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

    @rule(order_id=one_of([*ORDERS, None]))
    def an_event_comes_once_more(self, order_id: str | None) -> None:
        self.play.post(order_id)

    @rule(seconds=one_of([1, 7, 25, 40, 70, 200, 700, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.play.advance(timedelta(seconds=seconds))

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


ONE, _ = ORDERS


def _told(state: str) -> Play:
    """Return a play in which an order is in a state, and that is told; no grace is left."""
    play = Play()
    play.change(ONE, state)
    play.post(ONE)
    play.drain()
    play.advance(GRACE)
    return play


def _left_over(state: str) -> Play:
    """Return a play in which a batch died before it told what an order is like; its lease is over."""
    play = Play()
    play.change(ONE, state)
    play.post(ONE)
    invocation = play.begin()
    while "write" not in play.outside.steps.taken:
        play.go_on(invocation)
    play.go_on(invocation, dies=True)
    play.advance(timedelta(seconds=VISIBILITY))
    return play


def _hears_of(play: Play, state: str) -> Invocation:
    """Change the order, and let a batch begin with the event."""
    play.change(ONE, state)
    play.post(ONE)
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
