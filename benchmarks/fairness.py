"""A storm of one account among many, simulated: AWS's queue as it is documented, the checker by its own numbers.

    PYTHONPATH=layers/invoicekey/python .venv/bin/python -m benchmarks.fairness

The model, what it leaves out, and how far a run agrees with it: docs/architecture/fairness.md. Times are seconds of
the simulation. One seed makes one outcome.
"""

import json
import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

import simpy

from benchmarks.runtime import environment_of_functions
from invoicekey.runtime.settings import CheckerSettings
from invoicekey.vtex.client import REQUEST_SECONDS, burst_of
from invoicekey.work.batch import OTHERS_ARE_ABOUT, PATIENCE_AMONG_OTHERS, hidden_without_turn
from invoicekey.work.check import REPORTING_SECONDS

SERVICE_TIMES = Path(__file__).parent / "service_times.json"
STORM = "storm"
BATCH = 10
NOISY_IN_FLIGHT, NOISY_SHARE = 30, 0.10
"""From so many messages in flight and such a share of them, or of the time of processing, a group is noisy (AWS)."""
RECENT = 60.0
"""Over so long the time of processing is added up; AWS says "recent"."""
TIMEOUT = 30.0
"""CheckInvoiceFunction's."""
VTEX_SECONDS = 0.2


@dataclass(slots=True)
class Message:
    """An order's event in the queue."""

    account: str
    sent_at: float
    receives: int = 0
    first_received_at: float = math.nan
    received_at: float = math.nan
    done_at: float = math.nan


class Queue:
    """SQS's standard queue; a fair one hands out what is of quiet groups before what is of noisy ones.

    As AWS documents fair queues: a message is in flight from its receipt until it is deleted or visible again. Of
    several noisy groups the one with the least in flight comes first. Where the quiet groups' do not fill a batch, it
    is filled with noisy ones, which AWS does not say: a batch of the quiet alone would be better for them.
    """

    def __init__(self, *, is_fair: bool) -> None:
        self._is_fair = is_fair
        self._visible: dict[str, deque[Message]] = defaultdict(deque)
        self._hidden: list[tuple[float, int, Message]] = []
        self._number = count()
        self._in_flight: Counter[str] = Counter()
        self._processed: deque[tuple[float, str, float]] = deque()
        self._seconds: dict[str, float] = defaultdict(float)

    def __len__(self) -> int:
        return sum(map(len, self._visible.values())) + self._in_flight.total()

    def send(self, message: Message) -> None:
        """Take a message."""
        self._visible[message.account].append(message)

    def receive(self, now: float) -> list[Message]:
        """Hand out a batch."""
        self._show(now)
        noisy = self._noisy(now) if self._is_fair else {}
        batch: list[Message] = []
        while len(batch) < BATCH and self._visible:
            group = min(self._visible, key=lambda one: (noisy.get(one, -1), self._visible[one][0].sent_at))
            batch.append(self._visible[group].popleft())
            if not self._visible[group]:
                del self._visible[group]
        for message in batch:
            message.receives += 1
            message.received_at = now
            if message.receives == 1:
                message.first_received_at = now
            self._in_flight[message.account] += 1
        return batch

    def delete(self, message: Message, now: float) -> None:
        """Forget a message."""
        self._land(message, now)

    def hide(self, message: Message, until: float) -> None:
        """Keep a message in flight until then."""
        heappush(self._hidden, (until, next(self._number), message))

    def in_flight(self) -> int:
        """Say how many messages are in flight; SQS takes no more than 120,000."""
        return self._in_flight.total()

    def next_visible_at(self) -> float:
        """Say when the next hidden message will be visible."""
        return self._hidden[0][0] if self._hidden else math.inf

    def _show(self, now: float) -> None:
        while self._hidden and self._hidden[0][0] <= now:
            until, _, message = heappop(self._hidden)
            self._land(message, until)
            self.send(message)

    def _land(self, message: Message, now: float) -> None:
        self._in_flight[message.account] -= 1
        seconds = now - message.received_at
        self._processed.append((now, message.account, seconds))
        self._seconds[message.account] += seconds

    def _noisy(self, now: float) -> dict[str, int]:
        """Return how much is in flight of each noisy group."""
        while self._processed and self._processed[0][0] < now - RECENT:
            _, group, seconds = self._processed.popleft()
            self._seconds[group] -= seconds
        in_flight, all_seconds = self._in_flight.total(), sum(self._seconds.values())
        crowded = {g for g, n in self._in_flight.items() if n >= NOISY_IN_FLIGHT and n > NOISY_SHARE * in_flight}
        slow = {g for g, seconds in self._seconds.items() if seconds > NOISY_SHARE * all_seconds}
        return {group: self._in_flight[group] for group in crowded | slow}


class Pace:
    """The rate limit of one account in one environment: as vtex.client.RateLimiter, at the time that it is told."""

    def __init__(self, requests_per_minute: int, burst: int) -> None:
        self._interval = 60 / requests_per_minute
        self._room = (burst - 1) * self._interval
        self._arrives_at = -math.inf

    def wait(self, now: float) -> float:
        """Say how long the next turn is to be waited for."""
        return max(0.0, self._arrives_at - now - self._room)

    def take(self, now: float) -> None:
        """Take a turn."""
        self._arrives_at = max(now, self._arrives_at) + self._interval


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a checker does with an order whose account has no turn."""

    among_others: float = PATIENCE_AMONG_OTHERS
    """So long it waits where other accounts' orders come too."""
    remembers: float = OTHERS_ARE_ABOUT.total_seconds()
    """So long it knows that they do; with 0, in that batch alone."""
    alone: float = TIMEOUT - REPORTING_SECONDS - REQUEST_SECONDS / 2
    """So long it waits where all orders are one account's."""
    hidden: Callable[[int], float] = hidden_without_turn
    """About so long the message is hidden, by its receives."""

    def hidden_for(self, message: Message, chance: random.Random) -> float:
        """Return how long a message is hidden."""
        return self.hidden(message.receives) * chance.uniform(0.5, 1.5)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated."""

    storm: int = 20_000
    """Orders of one account, all at once."""
    others: int = 200
    """So many accounts have events; those without have no part in it."""
    events_per_second: float = 5.0
    """Of all others together."""
    seconds: float = 1_500.0
    """So long there are events."""
    storm_at: float = 60.0
    storm_lasts: float = 60.0
    """VTEX's hook calls come in so many seconds."""
    environments: int = 2
    """MaximumConcurrency."""
    cores: float = 1.0
    """Of a core, what each environment has; the batches were measured with a whole one."""
    requests_per_minute: int = 1_200
    """VtexRequestsPerMinute."""
    is_fair: bool = True
    behaviour: Behaviour = field(default_factory=Behaviour)
    seed: int = 12

    def arrivals(self) -> list[tuple[float, str]]:
        """List when an event of which account comes; with a storm and without, those of the others are the same."""
        chance = random.Random(self.seed)
        at, arrivals = 0.0, list[tuple[float, str]]()
        while (at := at + chance.expovariate(self.events_per_second)) < self.seconds:
            arrivals.append((at, f"shop-{chance.randrange(self.others)}"))
        storm = ((self.storm_at + self.storm_lasts * n / self.storm, STORM) for n in range(self.storm))
        return sorted([*arrivals, *storm])


@dataclass(slots=True)
class Outcome:
    """What came of a simulation, or of a run."""

    messages: list[Message] = field(default_factory=list)
    asked: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When VTEX was asked, by account."""
    batches: int = 0
    busy_seconds: float = 0.0
    """Of all environments."""
    most_in_flight: int = 0

    def latencies(self, since: float, until: float) -> list[float]:
        """Return, of the other accounts' events of a time, how long they took from the hook to the verdict."""
        return sorted(m.done_at - m.sent_at for m in self._others(since, until))

    def starts(self, since: float, until: float) -> list[float]:
        """Return, of the other accounts' events of a time, how long they took from the hook to a checker."""
        return sorted(m.first_received_at - m.sent_at for m in self._others(since, until))

    def storm_done_at(self) -> float:
        """Return when the last order of the storm had its verdict."""
        return max((m.done_at for m in self.messages if m.account == STORM), default=0.0)

    def most_in_a_minute(self) -> int:
        """Return the most calls of VTEX in any minute of any account."""
        return max(most_within(60.0, times) for times in self.asked.values())

    def returned(self) -> int:
        """Return how often a message went back to the queue."""
        return sum(m.receives - 1 for m in self.messages)

    def most_receives(self) -> int:
        """Return how often the most received message was."""
        return max(m.receives for m in self.messages)

    def _others(self, since: float, until: float) -> Iterator[Message]:
        return (m for m in self.messages if m.account != STORM and since <= m.sent_at < until)


class Checkers:
    """The environments of CheckInvoiceFunction, and the event source that hands them batches."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._chance = random.Random(scenario.seed + 1)
        self._simulation = simpy.Environment()
        self._queue = Queue(is_fair=scenario.is_fair)
        self._sent = self._simulation.event()
        self._is_over = False
        self.outcome = Outcome()
        settings = checker_settings(scenario)
        burst = burst_of(settings.requests_per_minute, settings.burst)
        self._pace: Callable[[], Pace] = lambda: Pace(settings.requests_per_minute, burst)

    def run(self) -> Outcome:
        """Simulate until all is done."""
        self._simulation.process(self._hook())
        environments = [self._simulation.process(self._environment()) for _ in range(self._scenario.environments)]
        self._simulation.run(simpy.events.AllOf(self._simulation, environments))
        return self.outcome

    def _hook(self) -> Generator[simpy.Event]:
        for at, account in self._scenario.arrivals():
            yield self._simulation.timeout(at - self._simulation.now)
            message = Message(account, at)
            self.outcome.messages.append(message)
            self._queue.send(message)
            self._tell()
        self._is_over = True
        self._tell()

    def _tell(self) -> None:
        self._sent.succeed()
        self._sent = self._simulation.event()

    def _environment(self) -> Generator[simpy.Event]:
        paces: dict[str, Pace] = defaultdict(self._pace)
        met: dict[str, float] = {}
        while len(self._queue) or not self._is_over:
            if batch := self._queue.receive(self._simulation.now):
                done, back, seconds = self._check(batch, paces, met)
                self.outcome.batches += 1
                self.outcome.most_in_flight = max(self.outcome.most_in_flight, self._queue.in_flight())
                self.outcome.busy_seconds += seconds
                yield self._simulation.timeout(seconds)
                self._settle(done, back)
            else:
                left = self._queue.next_visible_at() - self._simulation.now
                timeout = [self._simulation.timeout(left)] if left < math.inf else []
                yield self._simulation.any_of([self._sent, *timeout])
        self._tell()

    def _check(
        self, batch: Sequence[Message], paces: Mapping[str, Pace], met: dict[str, float]
    ) -> tuple[list[Message], list[Message], float]:
        """Return which have a verdict, which go back, and how long it took: all are reported when the last is done."""
        now, behaviour = self._simulation.now, self._scenario.behaviour
        met.update((message.account, now) for message in batch)
        lately = [account for account, at in met.items() if now - at <= behaviour.remembers]
        patience = behaviour.among_others if len(lately) > 1 else behaviour.alone
        done, back, seconds = list[Message](), list[Message](), 0.0
        for message in batch:
            pace = paces[message.account]
            wait = pace.wait(now)
            if wait > patience:
                back.append(message)
                continue
            pace.take(now + wait)
            self.outcome.asked[message.account].append(now + wait)
            done.append(message)
            seconds = max(seconds, wait + VTEX_SECONDS)
        return done, back, seconds + self._chance.choice(overheads(len(batch))) / self._scenario.cores

    def _settle(self, done: Iterable[Message], back: Iterable[Message]) -> None:
        now, behaviour = self._simulation.now, self._scenario.behaviour
        for message in done:
            message.done_at = now
            self._queue.delete(message, now)
        for message in back:
            self._queue.hide(message, now + behaviour.hidden_for(message, self._chance))
        self._tell()


def checker_settings(scenario: Scenario) -> CheckerSettings:
    """Return the settings of one environment."""
    return CheckerSettings.read({
        **environment_of_functions(1, "http://127.0.0.1:2"),
        "VTEX_REQUESTS_PER_MINUTE": str(scenario.requests_per_minute),
        "MAXIMUM_CONCURRENCY": str(scenario.environments),
    })  # fmt: skip


@cache
def overheads(orders: int) -> Sequence[float]:
    """Return the seconds that measured batches of the next size took on top of VTEX's answer."""
    measured = json.loads(SERVICE_TIMES.read_text("utf-8"))
    size = min(size for size in map(int, measured["batches"]) if size >= orders)
    return [(taken - measured["vtex_milliseconds"]) / 1000 for taken in measured["batches"][str(size)]]


def most_within(seconds: float, times: Sequence[float]) -> int:
    """Return how many of these times lie in the busiest stretch of so many seconds, wherever it begins."""
    most, window = 0, deque[float]()
    for at in sorted(times):
        window.append(at)
        while at - window[0] >= seconds:
            window.popleft()
        most = max(most, len(window))
    return most


def share_of(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the sorted values does not exceed."""
    return values[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True)
class Compared:
    """A storm beside the same without it: what the others sent from its beginning until its last order was done."""

    scenario: Scenario
    storm: Outcome
    calm: Outcome

    @property
    def window(self) -> tuple[float, float]:
        """Return when the storm began, and when its last order was done."""
        return self.scenario.storm_at, self.storm.storm_done_at()

    @property
    def storm_seconds(self) -> float:
        """Return how long it took to work the storm off."""
        return self.storm.storm_done_at() - self.scenario.storm_at

    def latency(self, share: float) -> tuple[float, float]:
        """Return what this share of the others took at the most from hook to verdict, with the storm and without."""
        return share_of(self.storm.latencies(*self.window), share), share_of(self.calm.latencies(*self.window), share)

    def slower(self, share: float) -> float:
        """Return how many times as long that is with the storm."""
        with_storm, without = self.latency(share)
        return with_storm / without


def compare(scenario: Scenario) -> Compared:
    """Simulate a storm, and the same without it."""
    return Compared(scenario, Checkers(scenario).run(), Checkers(replace(scenario, storm=0)).run())


PATIENT = Behaviour(among_others=2.0, remembers=0.0, hidden=lambda _receives: 10.0)
"""As the checker waited before this was simulated."""
_ROWS = {
    "plain queue, a checker that waits": Scenario(is_fair=False, behaviour=PATIENT),
    "fair queue, a checker that waits": Scenario(behaviour=PATIENT),
    "fair queue, as it is": Scenario(),
}
SMALLER = (300, 2_000)
"""Orders of smaller storms, whose calls all come within a second."""
SEEDS = range(12, 20)
"""A smaller storm's end hangs on chance; a large one's hardly."""
_COLUMNS = (
    "MaximumConcurrency", "", "others' median, s", "their 99th percentile, s", "their wait for a checker, 99 %, s",
    "storm worked off after, s", "most calls a minute", "returns", "most receives of one",
)  # fmt: skip


def table() -> Iterator[str]:
    """Yield what the page shows: lines of Markdown."""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "| --- " * len(_COLUMNS) + "|"
    for environments in (2, 10):
        for name, scenario in _ROWS.items():
            told = compare(replace(scenario, environments=environments))
            (median, calm), (late, calm_late) = told.latency(0.5), told.latency(0.99)
            cells = (
                f"{environments}", name,
                f"{median:.2f} / {calm:.2f} = {told.slower(0.5):.2f}",
                f"{late:.2f} / {calm_late:.2f} = {told.slower(0.99):.2f}",
                f"{share_of(told.storm.starts(*told.window), 0.99):.1f}", f"{told.storm_seconds:,.0f}",
                f"{told.storm.most_in_a_minute():,}", f"{told.storm.returned():,}", f"{told.storm.most_receives()}",
            )  # fmt: skip
            yield f"| {' | '.join(cells)} |"


def table_of_smaller() -> Iterator[str]:
    """Yield what the page shows of smaller storms, in Markdown."""
    yield "| MaximumConcurrency | orders | a checker that waits: worked off after, s | as it is, s |"
    yield "| --- " * 4 + "|"
    for environments in (2, 10):
        for orders in SMALLER:
            yield row_of_smaller(environments, orders)


def row_of_smaller(environments: int, orders: int) -> str:
    """Return a line of that table: each cell by the first seed, and the range of all."""
    scenario = Scenario(environments=environments, storm=orders, storm_lasts=1.0, seconds=300.0)
    cells = (_worked_off(replace(scenario, behaviour=PATIENT)), _worked_off(scenario))
    return f"| {environments} | {orders:,} | {' | '.join(cells)} |"


def _worked_off(scenario: Scenario) -> str:
    first, *others = (
        Checkers(replace(scenario, seed=seed)).run().storm_done_at() - scenario.storm_at for seed in SEEDS
    )
    return f"{first:.0f} ({min(first, *others):.0f} to {max(first, *others):.0f})"


if __name__ == "__main__":
    for line in (*table_of_smaller(), "", *table()):
        print(line, flush=True)
