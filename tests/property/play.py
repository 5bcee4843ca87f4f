"""A play: VTEX, SQS, Lambda, the schedules, the people and the clock, for tests of what batches do side by side.

Each batch in it is a thread that goes on only when it is told to, from one call to the outside to the next, so every
play can be repeated. What has to hold is asked at each step and at the end.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from invoicekey.delivery.queues import HOOK, RECHECK, Message
from invoicekey.ledger.entries import DISMISSED
from invoicekey.ledger.lists import Backlog
from invoicekey.rules.notification import OrderRef, own_event
from invoicekey.rules.policy import AlertQuota
from invoicekey.runtime.errors import RetryLater
from invoicekey.work.acts import ActResult, Acts
from invoicekey.work.batch import BatchCheck
from invoicekey.work.check import Clock
from tests.fakes_outside import ACCOUNT, LEASE, Crash, FakeTime, Outside, Sent, message
from tests.keys import make_key
from tests.orders import cnova_order, returned, sale

ORDERS = FIRST, SECOND, THIRD = ("VVJ-1-01", "VVJ-2-01", "VVJ-3-01")
OWN = {order: make_key(tax_id="11222333000181", month=3, number=643797, code=n) for n, order in enumerate(ORDERS, 1)}
"""A good key for each order."""
TIMEOUT = timedelta(seconds=30)
IN_STEP = LEASE - TIMEOUT
"""Clocks that are no further apart take no report over from an invocation that still runs."""
VISIBILITY = 180.0
PATIENCE = 400
"""So many batches at the most drain what a short play may leave behind."""
LIMIT = AlertQuota(alerts=1, window=timedelta(minutes=15))
"""So that holding back is not rare."""

type Errors = frozenset[tuple[str, str | None, str | None]]
NO_ERRORS: Errors = frozenset()


@dataclass(frozen=True)
class State:
    """What an order may be like at VTEX."""

    document: Callable[[str], dict[str, Any]]
    errors: Callable[[str], Errors] = lambda order: NO_ERRORS
    """What has to be told of it in the end, besides keys that another order owns."""
    shows: Callable[[str], set[str]] = lambda order: set()
    """The good keys that it carries, canceled and returned orders none."""


def _missing(number: str) -> Callable[[str], Errors]:
    return lambda order: frozenset({("missing", number, None)})


def _malformed(cut: int) -> State:
    return State(
        lambda i: cnova_order(sale(key=OWN[i][:-cut]), orderId=i),
        lambda i: frozenset({("malformed", "643797", OWN[i][:-cut])}),
    )


def _own(order: str) -> set[str]:
    return {OWN[order]}


STATES: dict[str, State | None] = {
    "good": State(lambda i: cnova_order(sale(key=OWN[i]), orderId=i), shows=_own),
    "good, with a warning": State(lambda i: cnova_order(sale(key=OWN[i], trackingNumber=None), orderId=i), shows=_own),
    "the first one's key": State(lambda i: cnova_order(sale(key=OWN[FIRST]), orderId=i), shows=lambda i: {OWN[FIRST]}),
    "the first one's key too": State(
        lambda i: cnova_order(sale(key=OWN[i]), sale(key=OWN[FIRST]), orderId=i), shows=lambda i: {OWN[i], OWN[FIRST]}
    ),
    "no key": State(lambda i: cnova_order(sale(key=None), orderId=i), _missing("643797")),
    "no key, with a warning": State(lambda i: cnova_order(sale(key=None, courier=None), orderId=i), _missing("643797")),
    "short key": _malformed(1),
    "shorter key": _malformed(2),
    "no key on the second": State(
        lambda i: cnova_order(sale(key=OWN[i]), sale("643798", None), orderId=i), _missing("643798"), _own
    ),
    "no invoice": State(lambda i: cnova_order(orderId=i), lambda i: frozenset({("no_invoice", None, None)})),
    "canceled": State(lambda i: cnova_order(sale(key=OWN[i]), orderId=i, status="canceled")),
    "returned": State(lambda i: cnova_order(sale(key=OWN[i]), returned(), orderId=i)),
    "not invoiced": State(lambda i: cnova_order(orderId=i, status="handling")),
    "unknown to VTEX": None,
}
"""What an order may be like at VTEX; None where VTEX does not know it."""


@dataclass
class Queued:
    """A message of the hook queue."""

    message: Message
    visible_at: datetime
    receives: int = 0


@dataclass
class Invocation:
    """A batch that is being checked, or a dismissal, in a thread that goes on only when `go_on` says so."""

    work: Callable[[], set[str]]
    began: datetime
    messages: tuple[Message, ...] = ()
    environment: BatchCheck | None = None
    is_over: bool = False
    went_back: set[str] | None = None
    """The ids of the messages that were reported as failed; None where it died."""
    error: BaseException | None = None
    is_unlucky: bool = False
    """It died, or something that it did took effect without its knowing or the other way round."""

    def __post_init__(self) -> None:
        # Locks that are taken and given in turns: a semaphore of Python's costs five times as much.
        self._may_go, self._stands = threading.Lock(), threading.Lock()
        self._may_go.acquire()
        self._stands.acquire()
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
                self.went_back = self.work()
        except Crash:
            pass
        except BaseException as error:  # noqa: BLE001 - to be raised where the play is
            self.error = error
        finally:
            self.is_over = True
            self._stands.release()


class Play:
    """All that is outside of the function, with the function's invocations. It asserts what holds at any time.

    `clocks` are how far each environment's clock is off.
    """

    def __init__(self, clocks: Sequence[timedelta] = (timedelta(0),) * 3) -> None:
        self.clocks = clocks
        self.outside = Outside(limit=LIMIT)
        self.backlog = Backlog(self.outside.ledger.dynamodb.table)
        self.outside.steps.at_each_moment = self._stand
        self.environments = [self.outside.environment() for _ in clocks]
        self.invocations: list[Invocation] = []
        self.current: Invocation | None = None
        self.queue: dict[str, Queued] = {}
        self.posted: set[str] = set()
        self.ended: set[str] = set()
        self.states: dict[str, str] = {}
        self.numbers = itertools.count(1)
        self.seen_returns_to_queue = self.seen_records = self.seen_alerts = 0
        self.senders: dict[tuple[OrderRef, int, str], Invocation] = {}
        self.told_twice: Counter[str] = Counter()
        """Why something was told twice."""
        self.texts: dict[tuple[OrderRef, int, str], str] = {}
        self.last: dict[OrderRef, Sent] = {}
        self.last_failing: dict[OrderRef, Sent] = {}
        self.versions: dict[OrderRef, tuple[int, int]] = {}
        self.heard: set[tuple[OrderRef, int]] = set()
        """The reports of which people heard, by an alert of their own or in a digest."""
        self.called_off: set[str] = set()
        """The orders whose failure somebody put off, or dismissed, before a digest told it: he knows of it."""
        self.last_heard: dict[OrderRef, str] = {}
        """What they heard last of an order: `failing`, `resolved` or `expired`."""

    # ---- What happens at VTEX, in the queue, on schedule and to the clock

    def change(self, order_id: str, state: str) -> None:
        """Change an order at VTEX, of which nobody hears yet."""
        self.outside.vtex.documents.pop(OrderRef(ACCOUNT, order_id), None)
        if like := STATES[state]:
            self.outside.vtex.put(like.document(order_id))
        self.states[order_id] = state

    def post(self, order_id: str | None, delay: float = 0, **given: Any) -> None:
        """Queue an event about an order, or one about nothing."""
        about = {"body": "{}"} if order_id is None else {}
        sent = {"id": self._new_id(), "sent_at": self._time.timestamp(), "source": HOOK}
        self._put(message(order_id or "none", **{**sent, **about, **given}), delay)

    def recheck(self, *, everything: bool = False) -> None:
        """Queue the orders again that are due, or all that are followed."""
        for order in list(self.backlog.followed(None if everything else self._time.now)):
            self.post(order.ref.order_id, body=own_event(order.ref), source=RECHECK)
            self.backlog.postpone(order, self._time.now + timedelta(hours=6))

    def send_digest(self) -> None:
        """Tell people what was deferred."""
        digest = next(self.numbers)
        for alert in itertools.chain.from_iterable(self.backlog.deferred().values()):
            assert self.backlog.assign(alert, digest)
            number = max(number for ref, number in self.outside.ledger.reports_held_back if ref == alert.ref)
            failing = self._last_number(alert.ref, "failing", number)
            if alert.kind == "resolved" and (alert.ref, failing) not in self.heard:
                assert (alert.ref, failing) in self.outside.ledger.reports_held_back
                self._hear(alert.ref, "failing", failing)
            self._hear(alert.ref, alert.kind, number)
            self.backlog.drop(replace(alert, digest=digest))
        assert not self.outside.ledger.deferred

    def advance(self, time: timedelta) -> None:
        """Let time pass. No invocation outlives its timeout: the lease is twice as long."""
        self._time.advance(time)
        for invocation in list(self.invocations):
            if self._time.now - invocation.began >= TIMEOUT:
                self.go_on(invocation, dies=True)

    @property
    def are_clocks_apart(self) -> bool:
        """Say whether an environment may take another's lease for over while that one still runs."""
        return max(self.clocks) - min(self.clocks) > IN_STEP

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
        began, off = self._time.now, self.clocks[self.environments.index(environment)]

        def seconds_left() -> float:
            return (began + TIMEOUT - self._time.now).total_seconds()

        clock = Clock(seconds_left, now=lambda: self._time.now + off)
        messages = tuple(queued.message for queued in batch)
        return self._invoke(Invocation(lambda: environment.check(messages, clock), began, messages, environment))

    def dismiss(self, order_id: str) -> Invocation:
        """Let a person dismiss an order. Nothing is done yet."""
        return self.act("dismiss", order_id)

    def act(self, what: str, order_id: str) -> Invocation:
        """Let a person `dismiss`, `undismiss`, `snooze` or `wake` an order. Nothing is done yet."""
        acts = Acts(self.outside.ledger, self.outside.outlets, LEASE, "pt-BR")
        ref, began = OrderRef(ACCOUNT, order_id), self._time.now
        does: dict[str, Callable[[], ActResult]] = {
            "dismiss": lambda: acts.dismiss(ref, "solved elsewhere", began),
            "undismiss": lambda: acts.undismiss(ref, began),
            "snooze": lambda: acts.snooze(ref, began + timedelta(days=3), began),
            "wake": lambda: acts.wake(ref, began),
        }

        def work() -> set[str]:
            with suppress(RetryLater):
                does[what]()
            return set()

        return self._invoke(Invocation(work, began))

    def _invoke(self, invocation: Invocation) -> Invocation:
        self.invocations.append(invocation)
        return invocation

    def go_on(self, invocation: Invocation, moments: int = 1, *, dies: bool = False) -> None:
        """Let an invocation go on for so many moments, or die; not further than to its end."""
        for _ in range(moments):
            if invocation.is_over:
                return
            self.current = invocation
            deferred = self._deferred_before(invocation)
            is_over = invocation.go_on(dies=dies)
            self.current = None
            self.called_off |= deferred - self.outside.ledger.deferred.keys()
            self._look_at_what_was_sent(invocation)
            self._look_at_the_queue()
            if is_over:
                self._end(invocation)

    def _deferred_before(self, invocation: Invocation) -> set[str]:
        """Return of which orders an alert is deferred, where somebody at the desk may call one off."""
        return set() if invocation.environment else set(self.outside.ledger.deferred)

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
        """Versions and numbers only grow, no message is lost, and orders and keys agree on who owns what.

        No digest is to tell of an order what is not the last that was told of it.
        """
        assert self.posted == self.ended | self.queue.keys()
        assert not self.ended & self.queue.keys()
        for ref, entry in self.outside.ledger.entries.items():
            before = self.versions.get(ref, (0, 0))
            assert entry.version >= before[0]
            assert entry.last_report_number >= before[1]
            self.versions[ref] = (entry.version, entry.last_report_number)
            assert not entry.has_open_failure or entry.recheck_at, "an open failure is followed"
        entries = self.outside.ledger.entries.values()
        owned = [(key, entry.ref.order_id) for entry in entries for key in entry.claims]
        assert sorted(owned) == sorted(self.outside.ledger.owners.items())
        # Of two that report the same at once, one may defer what the other sends.
        deferred = {} if self.are_clocks_apart else self.outside.ledger.deferred
        for order_id, kind in deferred.items():
            entry = self.outside.ledger.entries[OrderRef(ACCOUNT, order_id)]
            assert entry.is_in_digests
            assert entry.report
            assert not entry.report.is_delivered or f".{kind}." in entry.report.type

    def drain(self) -> None:
        """Let everything come to its end with nothing failing any more: then all is told as it is."""
        for invocation in list(self.invocations):
            self.finish(invocation)
        self.outside.steps.forget_plans()
        self.outside.outlets.forget_plans()
        self._empty_the_queue()
        self.recheck(everything=True)
        for ref, entry in self.outside.ledger.entries.items():
            if entry.archived:  # of a key that its owner let go it hears only when it is read for another reason
                self.post(ref.order_id)
        self._empty_the_queue()
        self.check_what_always_holds()
        self.send_digest()
        self.check_what_always_holds()
        self._check_that_all_is_told()
        self._check_that_people_heard()

    def close(self) -> None:
        """End every thread."""
        for invocation in self.invocations:
            if not invocation.is_over:
                invocation.go_on(dies=True)

    def _empty_the_queue(self) -> None:
        for _ in range(PATIENCE):
            self._send_again_what_was_given_up()
            if not self.queue:
                break
            next_one = min(queued.visible_at for queued in self.queue.values())
            self.advance(max(timedelta(0), next_one - self._time.now))
            self.finish(self.begin())
        assert not self.queue
        assert self.ended == self.posted

    def _check_that_all_is_told(self) -> None:
        """Each order as it is, and of the orders that carry a key all but one as failing for it."""
        told = {order_id: self._told_of(order_id) for order_id in self.states}
        carriers: dict[str, set[str]] = {}
        for order_id, state in self.states.items():
            like = STATES[state]
            others = frozenset(error for error in told[order_id] if error[0] != "reused")
            expected = like.errors(order_id) if like else NO_ERRORS
            assert others == expected, f"{order_id} is {state!r} and was told as {set(told[order_id])}"
            for key in like.shows(order_id) if like else ():
                carriers.setdefault(key, set()).add(order_id)
        dismissed = {ref.order_id for ref, entry in self.outside.ledger.entries.items() if entry.archived == DISMISSED}
        for key in OWN.values():
            carrying = carriers.get(key, set()) - dismissed
            reusing = {order_id for order_id in told if ("reused", "643797", key) in told[order_id]} - dismissed
            assert reusing < carrying or not carrying | reusing
            assert len(carrying) - len(reusing) == bool(carrying)
            assert {self.outside.ledger.owners.get(key)} - {None} == carrying - reusing

    def _told_of(self, order_id: str) -> Errors:
        """Return which errors were told of an order, and not closed; one that is dismissed ends without a word."""
        ref = OrderRef(ACCOUNT, order_id)
        last = self.last.get(ref)
        if last is None:
            return NO_ERRORS
        if last.type != "resolved":
            return _errors(last)
        entry = self.outside.ledger.entries[ref]
        fails_still = entry.outcome == "failing" and STATES[self.states[order_id]] is not None
        return _errors(self.last_failing[ref]) if entry.archived == DISMISSED and fails_still else NO_ERRORS

    def _check_that_people_heard(self) -> None:
        """Every alert was published or deferred, and what was heard last of an order is what was told last.

        Of an order that was closed without an alert, what was still deferred is called off. What expired had its last.
        """
        types = {(record.ref, record.number): record.type for record in self.outside.outlets.records}
        alerted = {(alert.ref, alert.number) for alert in self.outside.outlets.alerts}
        deferred = set(self.outside.ledger.reports_held_back)
        last: dict[OrderRef, str] = {}
        closed_silently: set[OrderRef] = set()
        for record in self.outside.outlets.records:
            is_mended = record.type == "resolved" and record.data["reason"] == "ok"
            had_its_last = types.get((record.ref, record.number - 1)) == "expired"
            calls_for_alert = record.type != "resolved" or (is_mended and not had_its_last)
            assert ((record.ref, record.number) in alerted | deferred) == calls_for_alert
            if calls_for_alert:
                last[record.ref] = record.type
                closed_silently.discard(record.ref)
            else:
                closed_silently.add(record.ref)
        closed_silently |= {OrderRef(ACCOUNT, order_id) for order_id in self.called_off}
        heard = {ref: kind for ref, kind in self.last_heard.items() if ref not in closed_silently}
        assert heard == {ref: kind for ref, kind in last.items() if ref not in closed_silently}
        for ref, number in alerted & deferred:
            is_explained = self.senders[ref, number, "alert"].is_unlucky or self.are_clocks_apart
            assert is_explained, "it was told at once and in a digest too"
        for entry in self.outside.ledger.entries.values():
            assert entry.report is None or entry.report.is_delivered

    def _send_again_what_was_given_up(self) -> None:
        """Do as an operator does."""
        for letter, reason in self.outside.outlets.dead_letters:
            assert (letter.source, reason) != (RECHECK, "no_credentials"), "the list has what it follows"
            if reason in {"gave_up", "no_credentials"}:
                self._put(replace(letter, id=self._new_id(), sent_at=self._time.timestamp(), source=HOOK))
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
        returns_to_queue = self.outside.outlets.returns_to_queue
        for back, wait in returns_to_queue[self.seen_returns_to_queue :]:
            queued = self.queue.get(back.id)
            if queued and queued.message.receipt_handle == back.receipt_handle:
                queued.visible_at = self._time.now + timedelta(seconds=wait)
        self.seen_returns_to_queue = len(returns_to_queue)

    def _look_at_what_was_sent(self, invocation: Invocation) -> None:
        records, alerts = self.outside.outlets.records, self.outside.outlets.alerts
        for record in records[self.seen_records :]:
            if self._expect_once(record, "record", invocation):
                self._expect_news(record)
        for alert in alerts[self.seen_alerts :]:
            assert (alert.ref, alert.number, "record") in self.senders, "the record comes first"
            if self._expect_once(alert, "alert", invocation):
                self._hear(alert.ref, alert.type, alert.number)
        self.seen_records, self.seen_alerts = len(records), len(alerts)

    def _expect_once(self, sent: Sent, kind: str, invocation: Invocation) -> bool:
        """The same report has the same bytes, and comes twice only if its sender died or could not note it.

        Or where clocks are so far apart that another environment took it over meanwhile: then even after a later one,
        which those who read it are told to keep. Says whether it is to be looked at as what is told last.
        """
        key = (sent.ref, sent.number, kind)
        assert self.texts.setdefault(key, sent.text) == sent.text
        if key not in self.senders:
            self.senders[key] = invocation
            return True
        is_unlucky = self.senders[key].is_unlucky
        assert is_unlucky or self.are_clocks_apart, f"{key} was told twice"
        self.told_twice["a sender died, or could not note it" if is_unlucky else "clocks are apart"] += 1
        self.senders[key] = invocation
        return not self.are_clocks_apart

    def _last_number(self, ref: OrderRef, kind: str, until: int) -> int:
        """Return the number of an order's last report of a kind, of those until this one."""
        records = self.outside.outlets.records
        return max(one.number for one in records if (one.ref, one.type) == (ref, kind) and one.number <= until)

    def _hear(self, ref: OrderRef, kind: str, number: int) -> None:
        """Nobody is told that something ended of which he was not told; but what was told twice ends twice."""
        if kind == "resolved" and (ref, number) not in self.heard and ref.order_id not in self.called_off:
            assert self.last_heard.get(ref) == "failing", f"{ref.order_id} is told resolved, and was not told failing"
        self.called_off.discard(ref.order_id)
        self.heard.add((ref, number))
        self.last_heard[ref] = kind

    def _expect_news(self, record: Sent) -> None:
        """No report repeats the one before it, comes after a later one, or resolves what never failed."""
        before = self.last.get(record.ref)
        if before is None or record.number != before.number:
            assert record.number == (before.number if before else 0) + 1
            if record.type == "failing":
                assert not before or before.type != "failing" or _errors(before) != _errors(record)
            elif record.type == "expired":
                assert before
                assert (before.type, _errors(before)) == ("failing", _errors(record))
            else:
                assert before
                assert before.type != "resolved"
        self.last[record.ref] = record
        if record.type == "failing":
            self.last_failing[record.ref] = record


def _errors(record: Sent) -> Errors:
    problems = record.data["problems"]
    return frozenset((p["code"], p["invoice_number"], p["invoice_key"]) for p in problems if p["severity"] == "error")
