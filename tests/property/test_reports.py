"""Reports: once, and never lost. Batches run side by side, step by step, and die between any two of them.

The machine plays VTEX, SQS, Lambda, the clock and everything that fails. Each batch is a thread that goes on only when
it is told to, from one call to the outside to the next; so every run can be replayed.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from invoicekey.batch import BatchCheck
from invoicekey.check import Clock
from invoicekey.errors import Conflict, CredentialsRefused, OutOfTime, SilenceAsked
from invoicekey.notification import OrderRef
from invoicekey.outlets import Message
from tests.fakes_outside import ACCOUNT, LEASE, Crash, Outside, Sent, message, unreachable
from tests.orders import KEY, cnova_order, returned, sale

ORDERS = ("VVJ-1-01", "VVJ-2-01")
TIMEOUT = timedelta(seconds=30)
VISIBILITY = 180.0
A_DAY = timedelta(hours=25)
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
SENDING_STEPS = ("send_records", "publish_alerts", "put_back")


@dataclass
class Queued:
    """A message of the hook queue."""

    message: Message
    visible_at: datetime


@dataclass
class Invocation:
    """A batch that is being checked, in a thread that goes on only when `go_on` says so."""

    environment: BatchCheck
    messages: list[Message]
    began: datetime
    work: Callable[["Invocation"], set[str]]
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

    def go_on(self, *, dies: bool = False) -> None:
        """Let it go on to its next moment, or die where it stands; returns when it stands again or is over."""
        self._must_die = dies
        self.is_unlucky |= dies
        self._may_go.release()
        self._stands.acquire()
        if self.is_over:
            self._thread.join()
        if self.error is not None:
            raise self.error

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
                self.went_back = self.work(self)
        except Crash:
            pass
        except BaseException as error:  # noqa: BLE001 - to be raised where the play is
            self.error = error
        finally:
            self.is_over = True
            self._stands.release()


class Reports(RuleBasedStateMachine):
    """The play. Its invariants are the sentences of the contract about reports."""

    def __init__(self) -> None:
        super().__init__()
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

    # ---- What happens at VTEX and in the queue

    @initialize()
    def orders_are_good(self) -> None:
        for order_id in ORDERS:
            self._change(order_id, "good")

    @rule(order_id=one_of(ORDERS), state=one_of(sorted(STATES)), delay=one_of([0, 20, 90]))
    def an_order_changes_and_vtex_says_so(self, order_id: str, state: str, delay: int) -> None:
        self._change(order_id, state)
        self._post(order_id, delay)

    @rule(order_id=one_of(ORDERS))
    def an_event_comes_once_more(self, order_id: str) -> None:
        self._post(order_id, 0)

    @rule()
    def something_else_comes(self) -> None:
        self._put(message(id=self._new_id(), body="{}", sent_at=self._time.timestamp(), receive_count=0))

    @rule(seconds=one_of([1, 7, 25, 40, 70, 200, 700]))
    def time_passes(self, seconds: int) -> None:
        self._advance(timedelta(seconds=seconds))

    @rule()
    def a_day_passes(self) -> None:
        self._advance(A_DAY)

    # ---- What batches do

    @precondition(lambda self: len(self.invocations) < len(self.environments) and self._visible())
    @rule(size=st.integers(1, 5))
    def a_batch_begins(self, size: int) -> None:
        self._receive(size)

    @precondition(lambda self: self.invocations)
    @rule(which=st.integers(0, 2), moments=st.integers(1, 12))
    def a_batch_goes_on(self, which: int, moments: int) -> None:
        invocation = self.invocations[which % len(self.invocations)]
        for _ in range(moments):
            if not invocation.is_over:
                self._go_on(invocation)

    @precondition(lambda self: self.invocations)
    @rule(which=st.integers(0, 2))
    def a_batch_ends(self, which: int) -> None:
        self._finish(self.invocations[which % len(self.invocations)])

    @precondition(lambda self: self.invocations)
    @rule(which=st.integers(0, 2))
    def a_batch_dies(self, which: int) -> None:
        self._go_on(self.invocations[which % len(self.invocations)], dies=True)

    # ---- What fails

    @rule(step=one_of(LEDGER_STEPS))
    def the_ledger_will_refuse(self, step: str) -> None:
        self.outside.steps.before(step, self._unlucky(unreachable()))

    @rule(step=one_of(LEDGER_STEPS))
    def the_ledger_will_give_no_answer(self, step: str) -> None:
        self.outside.steps.after(step, self._unlucky(unreachable()))

    @rule()
    def a_write_will_be_repeated_by_the_sdk(self) -> None:
        self.outside.steps.after("write", self._unlucky(Conflict()))

    @rule(step=one_of(SENDING_STEPS), order_id=one_of((None, *ORDERS)))
    def entries_will_be_refused(self, step: str, order_id: str | None) -> None:
        self.outside.outlets.refuse(step, None if step == "put_back" else order_id)

    @rule(step=one_of(SENDING_STEPS[:2]))
    def a_sending_will_get_no_answer(self, step: str) -> None:
        self.outside.outlets.lose_answer(step)
        self.outside.steps.after(step, self._unlucky(None))

    @rule(before=st.booleans())
    def the_dead_letter_queue_will_fail(self, before: bool) -> None:
        plan = self.outside.steps.before if before else self.outside.steps.after
        plan("bury", unreachable())

    @rule(trouble=one_of(VTEX_TROUBLES))
    def vtex_will_fail(self, trouble: Callable[[], Exception]) -> None:
        self.outside.vtex.fail(trouble())

    # ---- What holds at any time

    @invariant()
    def numbers_only_grow(self) -> None:
        for ref, entry in self.outside.ledger.entries.items():
            before = self.versions.get(ref, (0, 0))
            now = (entry.version, entry.last_report_number)
            assert now[0] >= before[0]
            assert now[1] >= before[1]
            self.versions[ref] = now

    @invariant()
    def every_message_is_done_or_dead_or_in_the_queue(self) -> None:
        assert self.posted == self.ended | self.queue.keys()
        assert not self.ended & self.queue.keys()

    # ---- What holds in the end

    @rule()
    def everything_is_drained(self) -> None:
        for invocation in list(self.invocations):
            self._finish(invocation)
        self.outside.steps.forget_plans()
        self.outside.outlets.forget_plans()
        for _ in range(PATIENCE):
            self._send_again_what_was_given_up()
            if not self.queue:
                break
            next_one = min(queued.visible_at for queued in self.queue.values())
            self._advance(max(timedelta(0), next_one - self._time.now))
            self._receive(10)
            self._finish(self.invocations[-1])
        assert not self.queue
        assert self.ended == self.posted
        self._expect_that_all_is_told()

    def teardown(self) -> None:
        try:
            self.everything_is_drained()
        finally:
            for invocation in self.invocations:
                invocation.go_on(dies=True)

    def _send_again_what_was_given_up(self) -> None:
        for letter, reason in self.outside.outlets.dead_letters:
            if reason in {"gave_up", "no_credentials"}:
                self._put(replace(letter, id=self._new_id(), sent_at=self._time.timestamp(), receive_count=0))
        self.outside.outlets.dead_letters.clear()

    def _expect_that_all_is_told(self) -> None:
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

    # ---- How the play is run

    @property
    def _time(self) -> Any:
        return self.outside.time

    def _change(self, order_id: str, state: str) -> None:
        document, _ = STATES[state]
        ref = OrderRef(ACCOUNT, order_id)
        self.outside.vtex.documents.pop(ref, None)
        if document is not None:
            self.outside.vtex.put(document(order_id))
        self.states[order_id] = state

    def _post(self, order_id: str, delay: int) -> None:
        self._put(message(order_id, id=self._new_id(), sent_at=self._time.timestamp(), receive_count=0), delay)

    def _put(self, posted: Message, delay: int = 0) -> None:
        self.posted.add(posted.id)
        self.queue[posted.id] = Queued(posted, self._time.now + timedelta(seconds=delay))

    def _new_id(self) -> str:
        return f"message-{next(self.numbers)}"

    def _visible(self) -> list[Queued]:
        return [queued for queued in self.queue.values() if queued.visible_at <= self._time.now]

    def _advance(self, time: timedelta) -> None:
        """Let time pass. A function does not outlive its timeout: the lease is twice as long."""
        self._time.advance(time)
        for invocation in list(self.invocations):
            if self._time.now - invocation.began >= TIMEOUT:
                self._go_on(invocation, dies=True)

    def _receive(self, size: int) -> None:
        batch = self._visible()[:size]
        for queued in batch:
            count = queued.message.receive_count + 1
            queued.message = replace(queued.message, receive_count=count, receipt_handle=f"receive {count}")
            queued.visible_at = self._time.now + timedelta(seconds=VISIBILITY)
        busy = {invocation.environment for invocation in self.invocations}
        environment = next(one for one in self.environments if one not in busy)
        self.invocations.append(self._invocation(environment, [queued.message for queued in batch]))

    def _invocation(self, environment: BatchCheck, messages: list[Message]) -> Invocation:
        def work(invocation: Invocation) -> set[str]:
            def seconds_left() -> float:
                left: timedelta = invocation.began + TIMEOUT - self._time.now
                return left.total_seconds()

            return environment.check(messages, Clock(seconds_left=seconds_left, now=lambda: self._time.now))

        return Invocation(environment, messages, self._time.now, work)

    def _finish(self, invocation: Invocation) -> None:
        while not invocation.is_over:
            self._go_on(invocation)

    def _go_on(self, invocation: Invocation, *, dies: bool = False) -> None:
        with self._playing(invocation):
            invocation.go_on(dies=dies)
        self._look_at_what_was_sent(invocation)
        self._look_at_the_queue()
        if invocation.is_over:
            self.invocations.remove(invocation)
            if invocation.went_back is not None:
                self._delete({message.id for message in invocation.messages} - invocation.went_back)

    @contextmanager
    def _playing(self, invocation: Invocation) -> Iterator[None]:
        self.current = invocation
        yield
        self.current = None

    def _stand(self) -> None:
        assert self.current is not None
        self.current.stand()

    def _unlucky(self, error: Exception | None) -> Callable[[], None]:
        def happen() -> None:
            assert self.current is not None
            self.current.is_unlucky = True
            if error is not None:
                raise error

        return happen

    def _look_at_the_queue(self) -> None:
        put_backs = self.outside.outlets.put_backs
        for put_back, wait in put_backs[self.seen_put_backs :]:
            queued = self.queue.get(put_back.id)
            if queued and queued.message.receipt_handle == put_back.receipt_handle:
                queued.visible_at = self._time.now + timedelta(seconds=wait)
        self.seen_put_backs = len(put_backs)

    def _delete(self, ids: set[str]) -> None:
        self.ended |= ids & self.queue.keys()
        for message_id in ids:
            self.queue.pop(message_id, None)

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


assert LEASE > TIMEOUT

TestReports = Reports.TestCase
TestReports.settings = settings(
    max_examples=100,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
