"""Runs of the model: the function's real code on fakes of all that is outside, with the clock in our hands.

A run is drawn by its seed, and ends with everything drained and judged (tests/property/play.py says by what). Of a run
that kills an invocation there is one for each moment before and after each of its calls to the outside: the moments
are found by letting it go on from one to the next until it is over.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from invoicekey.delivery.queues import FEED, HOOK
from invoicekey.ledger.schedule import FOLLOWED_FOR
from invoicekey.runtime.errors import CredentialsRefused, OutOfTime, RateLimited, RetryLater
from tests.fake_dynamodb import LOST_ANSWERS
from tests.fakes_outside import unreachable
from tests.property.play import FIRST, SECOND, STATES, Invocation, Play

ORDERS = (FIRST, SECOND)
ACTS = ("dismiss", "undismiss", "snooze", "wake")
TIMES = (1, 7, 25, 40, 70, 200, 700, 4_000, 90_000, FOLLOWED_FOR.total_seconds())
LONGEST = 200
"""Days that a run may take: after a year claims of keys end, and an order hears of it only when it is read again."""
OFF = {"in step": 0, "a little apart": 14, "two minutes apart": 120}
"""How far an environment's clock may be off, in seconds."""
VTEX_TROUBLES: dict[str, Callable[[], Exception]] = {
    "VTEX gives no answer, or a login page": lambda: RetryLater("VTEX gave no order"),
    "VTEX refuses the credentials": lambda: CredentialsRefused("VTEX answered 403"),
    "VTEX asks for a back-off": lambda: RateLimited("VTEX answered 429", wait=45.0),
    "no turn at VTEX": lambda: OutOfTime("the pace allows no more now", wait=3.0),
    "a bug": lambda: RuntimeError("a bug"),
}
LEDGER_STEPS = (
    "read", "write", "note_recorded", "acquire_alert_quota", "note_alerted", "note_deferred", "note_dismissed",
    "note_backoff", "note_returned",
)  # fmt: skip
SENDING_STEPS = ("send_records", "publish_alerts")
BATCHES = (*SENDING_STEPS, "return_to_queue")
AWAY = {
    "the ledger": LEDGER_STEPS,
    "VTEX": ("read_order",),
    "the topics": SENDING_STEPS,
    "all of it": (*LEDGER_STEPS, "read_order", *BATCHES, "send_to_dead_letters"),
}
"""What an outage takes away."""


@dataclass
class Tally:
    """What was injected, and what came of it."""

    runs: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    told_twice: Counter[str] = field(default_factory=Counter)
    is_killed: bool = False
    """Whether it was ended before its end, where it is one run of `kill_at_each_step`."""

    def add(self, other: "Tally") -> None:
        """Add another's counts."""
        for name in ("runs", "injected", "told", "told_twice"):
            getattr(self, name).update(getattr(other, name))


class Model:
    """A play in which a seed decides what happens next."""

    def __init__(self, seed: str) -> None:
        self.drawn = random.Random(seed)
        self.tally = Tally()
        name = self.drawn.choice(list(OFF))
        off = [timedelta(seconds=self.drawn.choice((-OFF[name], 0, OFF[name]))) for _ in range(3)]
        self.play = Play(off)
        self.tally.injected[f"clocks {name}"] += name != "in step"
        self._began = self.play.outside.time.now
        for order_id in ORDERS:
            self.play.change(order_id, self._state())
            self.play.post(order_id)

    def close(self) -> None:
        """End every thread."""
        self.play.close()

    # ---- What may happen

    def step(self) -> None:
        """Let something happen."""
        happenings: dict[Callable[[], None], int] = {
            self.change: 5, self.repeat: 2, self.redeliver: 1, self.let_time_pass: 3, self.begin: 6, self.go_on: 8,
            self.finish: 3, self.kill: 2, self.act: 3, self.recheck: 1, self.send_digest: 1, self.fail: 5,
        }  # fmt: skip
        self.drawn.choices(list(happenings), list(happenings.values()))[0]()
        self.play.check_what_always_holds()

    def change(self) -> None:
        """Change an order; VTEX says so by hook, by feed, by both or late."""
        order_id, event = self._order(), {"last_change": str(next(self.play.numbers))}
        self.play.change(order_id, self._state())
        ways = self.drawn.choice(((HOOK,), (FEED,), (HOOK, FEED), (FEED, HOOK), (HOOK, HOOK)))
        for way in ways:
            self.play.post(order_id, self.drawn.choice((0, 0, 20, 90)), source=way, **event)
        self.tally.injected["duplicate"] += len(ways) - 1

    def repeat(self) -> None:
        """Let an event come once more, or one that is about nothing."""
        self.play.post(self.drawn.choice((*ORDERS, None)))
        self.tally.injected["duplicate"] += 1

    def redeliver(self) -> None:
        """Let SQS hand out everything once more that is in flight, in any order."""
        queued = list(self.play.queue.items())
        self.drawn.shuffle(queued)
        self.play.queue = dict(queued)
        for _, one in queued:
            one.visible_at = min(one.visible_at, self.play.outside.time.now)
        self.tally.injected["redelivered and reordered"] += len(queued)

    def let_time_pass(self) -> None:
        """Let time pass."""
        if self.play.outside.time.now < self._began + timedelta(days=LONGEST):
            self.play.advance(timedelta(seconds=self.drawn.choice(TIMES)))

    def begin(self) -> None:
        """Let an environment begin with a batch."""
        if self._is_one_free() and self.play.visible:
            self.play.go_on(self.play.begin(self.drawn.randint(1, 5)), self.drawn.randint(0, 15))

    def go_on(self) -> None:
        """Let an invocation go on."""
        if invocation := self._invocation():
            self.tally.injected["two at once"] += len(self.play.invocations) > 1
            self.play.go_on(invocation, self.drawn.randint(1, 5))

    def finish(self) -> None:
        """Let an invocation come to its end."""
        if invocation := self._invocation():
            self.play.finish(invocation)

    def kill(self) -> None:
        """Let an invocation die."""
        if invocation := self._invocation():
            self.play.go_on(invocation, dies=True)
            self.tally.injected["killed"] += 1

    def act(self) -> None:
        """Let somebody at the desk act."""
        if self._is_one_free():
            what = self.drawn.choice(ACTS)
            self.play.go_on(self.play.act(what, self._order()), self.drawn.randint(0, 10))
            self.tally.injected[f"desk: {what}"] += 1

    def recheck(self) -> None:
        """Queue what is due."""
        self.play.recheck(everything=self.drawn.random() < 0.5)

    def send_digest(self) -> None:
        """Send what was deferred."""
        self.play.send_digest()

    def fail(self) -> None:
        """Let something fail, once."""
        steps, outlets = self.play.outside.steps, self.play.outside.outlets
        match self.drawn.randrange(6):
            case 0:
                step = self.drawn.choice(LEDGER_STEPS)
                steps.before(step, self.play.unlucky(unreachable()))
                what = "ledger refuses"
            case 1:
                step = self.drawn.choice(LEDGER_STEPS)
                steps.after(step, self.play.unlucky(unreachable()))
                what = "ledger's answer lost for good"
            case 2:
                self.play.outside.ledger.dynamodb.lose_answer(self.drawn.choice(LOST_ANSWERS))
                what = "answer to a ledger write lost"
            case 3:
                step = self.drawn.choice(BATCHES)
                outlets.refuse(step, self.drawn.choice((None, *ORDERS)) if step in SENDING_STEPS else None)
                what = "entries of a batch refused"
            case 4:
                step = self.drawn.choice(SENDING_STEPS)
                outlets.lose_answer(step)
                steps.after(step, self.play.unlucky(None))
                what = "answer to a sending lost"
            case _:
                what = self.drawn.choice(list(VTEX_TROUBLES))
                self.play.outside.vtex.fail(VTEX_TROUBLES[what]())
        self.tally.injected[what] += 1

    def take_away(self, step: str) -> None:
        """Let every such step fail from now on, as the real classes do: what takes batches refuses all entries."""
        outside = self.play.outside
        gone = partial(outside.outlets.refuse, step) if step in BATCHES else unreachable(step)
        outside.steps.before(step, gone, times=None)

    # ---- How it ends

    def end(self, kind: str) -> Tally:
        """Let everything come to its end, judge it, and count."""
        self.play.drain()
        self.tally.runs[kind] += 1
        self.tally.told["records"] += len(self.play.outside.outlets.records)
        self.tally.told["alerts"] += len(self.play.outside.outlets.alerts)
        self.tally.told_twice.update(self.play.told_twice)
        return self.tally

    def settle(self) -> None:
        """Finish what is under way, and let nothing fail that has not failed yet."""
        for invocation in list(self.play.invocations):
            self.play.finish(invocation)
        self.play.outside.steps.forget_plans()
        self.play.outside.outlets.forget_plans()

    def last_invocation(self) -> Invocation:
        """Let an order change, or somebody act; return the invocation that is to be killed. Nothing is done yet."""
        if self.drawn.random() < 0.25:
            return self.play.act(self.drawn.choice(ACTS), self._order())
        self.change()
        self.play.advance(timedelta(seconds=90))
        return self.play.begin()

    def _state(self) -> str:
        return self.drawn.choice(sorted(STATES))

    def _order(self) -> str:
        return self.drawn.choice(ORDERS)

    def _is_one_free(self) -> bool:
        return len(self.play.invocations) < len(self.play.environments)

    def _invocation(self) -> Invocation | None:
        return self.drawn.choice(self.play.invocations) if self.play.invocations else None


# ---- The runs


def walk(seed: str) -> Iterator[Tally]:
    """Let anything happen, in any order."""
    with closing(Model(seed)) as model:
        for _ in range(model.drawn.randint(20, 80)):
            model.step()
        yield model.end("anything in any order")


def kill_at_each_step(seed: str) -> Iterator[Tally]:
    """Kill an invocation at each of its moments, a run each, after the same beginning."""
    moment, is_over = 0, False
    while not is_over:
        with closing(Model(seed)) as model:
            for _ in range(model.drawn.randint(0, 20)):
                model.step()
            model.settle()
            invocation = model.last_invocation()
            model.play.go_on(invocation, moment)
            is_over = invocation.is_over
            model.play.go_on(invocation, dies=True)
            model.tally.is_killed = not is_over
            model.tally.injected["killed"] += not is_over
            yield model.end("killed at each step")
        moment += 1


def outage(seed: str) -> Iterator[Tally]:
    """Take something away for a day, in which VTEX goes on."""
    with closing(Model(seed)) as model:
        for _ in range(model.drawn.randint(0, 15)):
            model.step()
        model.settle()
        away = model.drawn.choice(list(AWAY))
        for step in AWAY[away]:
            model.take_away(step)
        end = model.play.outside.time.now + timedelta(days=1)
        while model.play.outside.time.now < end:
            if model.drawn.random() < 0.2:
                model.change()
            model.play.advance(timedelta(seconds=model.drawn.choice((60, 600, 3_600))))
            while model.play.visible:
                model.play.finish(model.play.begin())
        model.tally.injected[f"a day without {away}"] += 1
        yield model.end("a day's outage")


type Kind = Callable[[str], Iterator[Tally]]

KINDS: tuple[Kind, ...] = (walk, kill_at_each_step, walk, outage, walk)


def runs(seed: int, number: int) -> Iterator[tuple[str, Iterator[Tally]]]:
    """Yield so many seeds' runs, one kind after the other, each with the seed's name."""
    for one in range(number):
        name = f"{seed}/{one}"
        yield name, KINDS[one % len(KINDS)](name)
