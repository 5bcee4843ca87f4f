"""The product beside three peers, in one run: how long, how many requests, how much, and what faults do to each."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from benchmarks import bills, growth, orders, same_faults
from benchmarks.contenders import BATCH, NAMES, contenders, faulty, fresh, named
from benchmarks.figures import Figure, Section, at_most, rows_of
from benchmarks.runtime import Bench, Contender, Running

COLD_RUNS, WARM_CALLS, BATCHES = 9, 100, 7
VTEX_SECONDS = (0.05, 0.2, 0.8)
AIMED = 0.2
"""For this one there is a limit."""
LARGE = 200_000
"""Bytes of an order."""


@dataclass(frozen=True)
class Spread:
    """What was measured again and again."""

    values: Sequence[float]

    @cached_property
    def median(self) -> float:
        """Return the middle one."""
        return statistics.median(self.values)

    def shown(self, unit: str = "") -> str:
        """Tell the median, and between what eight of ten lie."""
        low, *_, high = statistics.quantiles(self.values, n=10, method="inclusive")
        return f"{_short(self.median)}{unit} ({_short(low)}–{_short(high)})"


@dataclass(frozen=True)
class Times:
    """Milliseconds of one contender."""

    cold: Spread
    cold_cpu: float
    """Seconds of a core, of a median start."""
    warm: Spread
    batches: Mapping[float, Spread] = field(default_factory=dict)
    """Of ten orders, by VTEX's seconds."""


def measure_side(bench: Bench) -> list[Figure | Section]:
    """Measure the product beside its peers."""
    with faulty(bench.vtex) as aws:
        print(f"side: starts, warm answers, batches: {COLD_RUNS}, {WARM_CALLS} and {BATCHES} times", flush=True)
        times = measure_times(aws)
        print("side: requests and memory", flush=True)
        takes = {name: bills.measure_events(aws, contender) for name, contender in contenders().items()}
        memory = {name: measure_memory(aws, contender) for name, contender in contenders().items() if name in NAMES}
        print("side: growth", flush=True)
        grown = growth.measure_growth(aws)
        behind = growth.measure_open_failures(aws)
    print(f"side: {len(same_faults.TROUBLES)} faults", flush=True)
    told = same_faults.measure_faults()
    starts = {name: of.cold_cpu for name, of in times.items()}
    table = rows_of(("", *NAMES), [*_time_rows(times), *bills.request_rows(takes), _memory_row(memory)])
    text = [_INTRO, table, _DIRECT, bills.text(starts, takes), same_faults.text(told), growth.text(behind), _GOALS]
    goals = [*_time_goals(times), *bills.goals(starts, takes), *same_faults.goals(told)]
    return [Section("Side by side", "\n\n".join(text), goals, growth.pictures(grown))]


def measure_times(bench: Bench) -> dict[str, Times]:
    """Measure starts, warm answers and batches."""
    cold: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders()}
    for turn in range(COLD_RUNS + 1):
        for name, contender in contenders().items():
            bench.forget()
            with bench.running(contender) as running:
                milliseconds, _ = running.invoke(contender.event)
                if turn:  # the first one only brings the machine's disks into its memory
                    cold[name].append((milliseconds, running.cpu_seconds()))
    times = {}
    for name, contender in contenders().items():
        with bench.running(contender) as running:
            running.invoke(contender.event)
            warm = [fresh(bench, running, contender, ["OK-0"]) for _ in range(WARM_CALLS)]
            slow = VTEX_SECONDS if name in NAMES else ()
            of_batches = {seconds: Spread(_batches(bench, running, contender, seconds)) for seconds in slow}
        starts = Spread([milliseconds for milliseconds, _ in cold[name]])
        cpu = statistics.median(seconds for _, seconds in cold[name])
        times[name] = Times(starts, cpu, Spread(warm), of_batches)
    return times


def _batches(bench: Bench, running: Running, contender: Contender, seconds: float) -> list[float]:
    bench.vtex.latency = seconds
    calls = BATCHES if contender.name == "product" else max(2, BATCHES // 2)  # the others are slow, and vary less
    taken = [fresh(bench, running, contender, named("OK")) for _ in range(calls + 1)]
    bench.vtex.latency = 0
    return taken[1:]


def measure_memory(bench: Bench, contender: Contender) -> float:
    """Return the most megabytes held over batches of ten large orders."""
    items = orders.items_of(LARGE)
    for number in range(BATCH):
        key = orders.key_of(3 * BATCH + number) if number % 2 else None
        bench.vtex.put_order(orders.with_key(f"LARGE-{number}", 3 * BATCH + number, key, items=items))
    with bench.running(contender) as running:
        for _ in range(BATCHES):
            fresh(bench, running, contender, named("LARGE"))
        return running.peak_megabytes()


def _time_rows(times: Mapping[str, Times]) -> Iterator[tuple[str, ...]]:
    yield ("INIT and first answer, ms", *(times[name].cold.shown() for name in NAMES))
    yield ("of the function that answers VTEX, ms", times["webhook"].cold.shown(), "", times["receiver"].cold.shown())
    yield ("one order, warm, ms", *(times[name].warm.shown() for name in NAMES))
    yield ("answer to VTEX, warm, ms", times["webhook"].warm.shown(), "", times["receiver"].warm.shown())
    for seconds in VTEX_SECONDS:
        cells = (_pace(times[name].batches[seconds], seconds) for name in NAMES)
        yield (f"ten orders, VTEX in {seconds * 1000:.0f} ms: orders a second (round trips)", *cells)


def _pace(taken: Spread, seconds: float) -> str:
    return f"{BATCH / taken.median * 1000:.1f} ({taken.median / seconds / 1000:.2f})"


def _memory_row(memory: Mapping[str, float]) -> tuple[str, ...]:
    return (f"peak memory, ten orders of {LARGE // 1000} KB, MB", *(f"{memory[name]:.0f}" for name in NAMES))


def _time_goals(times: Mapping[str, Times]) -> Iterator[Figure]:
    taken = times["product"].batches[AIMED].median
    told = f"{taken:.0f} / {AIMED * 1000:.0f} ms"
    yield at_most(f"ten orders, VTEX in {AIMED * 1000:.0f} ms, to one round trip", told, taken / AIMED / 1000, 1.1)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= BATCH else f"{value:.1f}"


_INTRO = """\
Three peers, as good engineers would write them today, in the same run: `benchmarks/peers/webhook.py`, one function \
that reads the order and tells before it answers VTEX; `worker.py`, the usual worker of a queue (Powertools' batch \
processor, idempotency in DynamoDB, pydantic), one record after the other; and `direct.yaml`, the HTTP API straight to \
the queue of the product's own checker. All judge keys by the product's rules, run with bytecode, and have the same \
stub of AWS and the same VTEX. The peers keep no pace, so the product keeps none here either. Medians, and in brackets \
between what eight of ten lie. An idle virtual machine wakes late: with cores that something else keeps awake, ten \
orders take some 5 ms less."""
_DIRECT = """\
`direct` has no function of its own: what it takes is the product's without the receiver. It cannot compare the secret \
in constant time nor accept a previous one, answer 401, 403, 413 or 400, answer the ping, or pass over states that are \
not watched and ids that cannot be CNova's: each of these is a message, and a place in a batch."""
_GOALS = "### Against the goals"
