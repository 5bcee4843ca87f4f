"""A Black-Friday hour: bursts at the receiver, measured; and 100,000 events drained, simulated by what was measured.

The simulation of queue and checkers is fairness.py. What it says of a run that fits this machine is held against it.
"""

import math
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from benchmarks import orders
from benchmarks.contenders import body_of, hook, receiver, record
from benchmarks.fairness import STORM, VTEX_SECONDS, Checkers, Outcome, Scenario, share_of
from benchmarks.figures import PICTURES, PROOF, Figure, Section, at_most, rows_of
from benchmarks.follow_up import work_off
from benchmarks.plots import Line, Plot
from benchmarks.runtime import Bench, Running, cores
from local.vtex_simulator import VtexSimulator

ENVIRONMENTS = 2
SLOWEST, LATEST, OFF = 2.0, 1.10, 0.10
"""Seconds of an answer; of the time that the pace allows; the model from a run."""
EVENTS, RUN_EVENTS = 100_000, 2_000
CHECKERS_SHARE = 0.9
"""Of VtexRequestsPerMinute."""
MINUTE = 60.0
SEED = 13


@dataclass(frozen=True)
class Burst:
    """Calls of the hook, at random moments: so many a second on average."""

    name: str
    rate: float
    seconds: float

    def moments(self) -> list[float]:
        """List when each is due."""
        chance = random.Random(SEED)
        return sorted(chance.uniform(0, self.seconds) for _ in range(int(self.rate * self.seconds)))


BURSTS = (Burst("from cold", 20, 5), Burst("busy", 100, 10), Burst("burst", 250, 8))
CORES = cores(1_024)
"""CheckInvoiceFunction's."""
_HOUR = Scenario(
    storm=EVENTS, storm_lasts=3_600, seconds=3_600, events_per_second=1, requests_per_minute=1_200, cores=CORES
)
_AT_ONCE = replace(_HOUR, storm_lasts=60, requests_per_minute=6_000, environments=3)
SCENARIOS: Mapping[str, Scenario] = {
    "hour, 1,200/min": _HOUR,
    "hour, 6,000/min": replace(_HOUR, requests_per_minute=6_000),
    "at once, 6,000/min": _AT_ONCE,
    "the same, alone": replace(_AT_ONCE, others=1, events_per_second=0.001),
}
"""When one account's events come, and its VtexRequestsPerMinute; 200 others have one a second together."""
AS_RUN = Scenario(
    storm=RUN_EVENTS, others=1, events_per_second=1, seconds=1, storm_at=0, storm_lasts=0, requests_per_minute=6_000
)


@dataclass
class Answers:
    """What came of a burst."""

    seconds: list[float] = field(default_factory=list)
    """From when a call was due until its answer, sorted."""
    refused: int = 0
    """Those that were not answered with 200."""


def measure_load(bench: Bench) -> list[Figure | Section]:
    """Measure bursts, simulate the drains, and hold the simulation against a run."""
    print(f"load: {sum(len(burst.moments()) for burst in BURSTS):,} calls of the hook", flush=True)
    answered, queued = measure_bursts(bench)
    print(f"load: {RUN_EVENTS:,} events through {ENVIRONMENTS} checkers", flush=True)
    run_seconds = run(bench)
    print(f"load: {EVENTS:,} events simulated, {len(SCENARIOS)} times", flush=True)
    outcomes = {name: Checkers(scenario).run() for name, scenario in SCENARIOS.items()}
    return [_section(answered, queued, run_seconds, outcomes)]


def measure_bursts(bench: Bench) -> tuple[dict[str, Answers], int]:
    """Call the hook, burst after burst; return the answers, and how many events the queue has in the end."""
    bench.forget()
    with ExitStack() as stack:
        environments = [stack.enter_context(bench.running(receiver())) for _ in range(ENVIRONMENTS)]
        answered = {burst.name: _call(environments, burst) for burst in BURSTS}
    return answered, bench.aws_calls().get("SendMessage", 0)


def _call(environments: Sequence[Running], burst: Burst) -> Answers:
    """Make a burst's calls. As on Lambda an environment has one at a time; here a call waits where none is left."""
    due = deque(burst.moments())
    answers, one_notes, began = Answers(), threading.Lock(), time.monotonic()

    def serve(running: Running) -> None:
        while moment := _next(due):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            answer = running.try_invoke(hook("OK-0"))
            with one_notes:
                answers.seconds.append(time.monotonic() - began - moment)
                answers.refused += answer.get("statusCode") != HTTPStatus.OK

    with ThreadPoolExecutor(len(environments)) as threads:
        list(threads.map(serve, environments))
    answers.seconds.sort()
    return answers


def _next(due: "deque[float]") -> float | None:
    try:
        return due.popleft()
    except IndexError:
        return None


def run(bench: Bench) -> float:
    """Hand events to real checkers, until all are done; return the seconds, without the checkers' starts."""
    put_events(bench.vtex)
    bench.vtex.latency = VTEX_SECONDS
    bench.forget()
    work_off(bench, [record(0, body_of("RUN-0"))])
    bench.forget()
    work_off(bench, [record(number, body_of(f"RUN-{number}")) for number in range(RUN_EVENTS)])
    bench.vtex.latency = 0
    asked = sorted(call.at for call in bench.vtex.calls())
    return (asked[-1] - asked[0]).total_seconds() + VTEX_SECONDS


def put_events(vtex: VtexSimulator) -> None:
    """Let VTEX have the run's orders."""
    for number in range(RUN_EVENTS):
        vtex.put_order(orders.good(f"RUN-{number}", 10_000 + number))


def allowed_seconds(scenario: Scenario) -> float:
    """Return how long a storm takes at the pace that the checkers may keep, if it is there by then."""
    return max(scenario.storm_lasts, scenario.storm / (scenario.requests_per_minute * CHECKERS_SHARE) * MINUTE)


def oldest_ages(outcome: Outcome) -> Line:
    """Return, minute by minute, how old the oldest message is that is not done; minutes both."""
    waiting = sorted(outcome.messages, key=lambda message: message.done_at)
    ages: list[tuple[float, float]] = []
    while waiting:
        at = len(ages) * MINUTE
        waiting = [message for message in waiting if message.done_at > at]
        oldest = min((message.sent_at for message in waiting if message.sent_at <= at), default=at)
        ages.append((at / MINUTE, (at - oldest) / MINUTE))
    return ages


def paces(outcome: Outcome) -> Line:
    """Return, minute by minute, how often VTEX was asked of the storm's account."""
    counted = Counter(int(at / MINUTE) for at in outcome.asked[STORM])
    return [(minute, counted[minute]) for minute in range(max(counted) + 1)]


def _section(
    answered: Mapping[str, Answers], queued: int, run_seconds: float, outcomes: Mapping[str, Outcome]
) -> Section:
    modelled = Checkers(AS_RUN).run()
    pictures = {
        "load-age.svg": Plot(
            "The oldest message, 100,000 events of one account", "minutes", "minutes old",
            {name: oldest_ages(outcome) for name, outcome in outcomes.items()}, has_marks=False,
        ).svg(),
        "load-pace.svg": Plot(
            "Orders of that account read at VTEX, each minute", "minutes", "orders a minute",
            {name: paces(outcome) for name, outcome in outcomes.items()}, has_marks=False,
        ).svg(),
    }  # fmt: skip
    text = "\n\n".join([
        _BURSTS,
        rows_of(("calls of the hook", "how many", "p50, ms", "p99, ms", "p99.9, ms", "slowest, ms", "not 200"),
                _burst_rows(answered)),
        _DRAINS,
        rows_of(("100,000 events", "done after", "the pace allows", "oldest message", "most calls a minute",
                 "others, 99th percentile"), _drain_rows(outcomes)),
        f"![Age of the oldest message]({PICTURES}/load-age.svg)", f"![Orders read a minute]({PICTURES}/load-pace.svg)",
    ])  # fmt: skip
    goals = [*_burst_goals(answered, queued), *_drain_goals(outcomes), _model_goal(run_seconds, modelled)]
    return Section("Load", text, goals, pictures, PROOF)


def _burst_rows(answered: Mapping[str, Answers]) -> Iterator[tuple[str, ...]]:
    for burst in BURSTS:
        of = answered[burst.name]
        shares = [f"{share_of(of.seconds, share) * 1000:.1f}" for share in (0.5, 0.99, 0.999, 1.0)]
        yield (f"{burst.name}: {burst.rate:g} a second", f"{len(of.seconds):,}", *shares, str(of.refused))


def _burst_goals(answered: Mapping[str, Answers], queued: int) -> Iterator[Figure]:
    slowest = max(seconds for of in answered.values() for seconds in of.seconds)
    calls, refused = sum(len(of.seconds) for of in answered.values()), sum(of.refused for of in answered.values())
    yield at_most("the slowest answer of all bursts", "", slowest, SLOWEST, " s")
    yield at_most("answers that were not 200", f"of {calls:,}", refused, 0)
    yield at_most("events answered with 200 that the queue does not have", f"{queued:,} queued",
                  calls - refused - queued, 0)  # fmt: skip


def _drain_rows(outcomes: Mapping[str, Outcome]) -> Iterator[tuple[str, ...]]:
    for name, scenario in SCENARIOS.items():
        outcome = outcomes[name]
        took = outcome.storm_done_at() - scenario.storm_at
        others = outcome.latencies(scenario.storm_at, outcome.storm_done_at())
        yield (
            name,
            f"{took / MINUTE:.1f} min",
            f"{allowed_seconds(scenario) / MINUTE:.1f} min",
            f"{max(age for _, age in oldest_ages(outcome)):.1f} min",
            f"{outcome.most_in_a_minute():,}",
            f"{share_of(others, 0.99):.1f} s" if others else "none",
        )


def _drain_goals(outcomes: Mapping[str, Outcome]) -> Iterator[Figure]:
    for name, scenario in SCENARIOS.items():
        took, allowed = outcomes[name].storm_done_at() - scenario.storm_at, allowed_seconds(scenario)
        what, told = f"100,000 events, {name}: to what the pace allows", f"{took:,.0f} / {allowed:,.0f} s"
        yield at_most(what, told, took / allowed, LATEST)
    undone = sum(math.isnan(message.done_at) for outcome in outcomes.values() for message in outcome.messages)
    yield at_most("events without a verdict, of all that were simulated", "", undone, 0)


def _model_goal(run_seconds: float, modelled: Outcome) -> Figure:
    said = modelled.storm_done_at()
    return at_most(f"{RUN_EVENTS:,} events through {ENVIRONMENTS} checkers: the model from the run",
                   f"{said:.1f} / {run_seconds:.1f} s", abs(said / run_seconds - 1), OFF)  # fmt: skip


_BURSTS = f"""\
**Bursts, measured.** {ENVIRONMENTS} environments of ReceiveHookFunction under AWS's runtime emulator, at random \
moments (seeded). An answer's time counts from the moment at which the call was due. An environment has one call at \
a time; where Lambda would start another, a call waits here, so these figures are of less than Lambda gives. They \
are also of a core to each: the function's 512 MB buy 0.29 of one."""
_DRAINS = f"""\
**Drains, simulated.** `benchmarks/fairness.py`: SQS's fair queue as AWS documents it, checkers with the product's \
rate limit and waits, VTEX in {VTEX_SECONDS * 1000:.0f} ms, and for each batch a time that was measured under the \
runtime emulator (`benchmarks/service_times.json`); what goes beyond VTEX's answer is taken to last so much longer as \
the function has less than a core: 1,024 MB buy {CORES:.2f}. One account has {EVENTS:,} events, in an hour or all \
within a minute; 200 others have one a second together. The checkers may use nine tenths of VtexRequestsPerMinute, \
1,200 unless set and 6,000 at VTEX's own limit. There are two of them, as unless set, and three where 100,000 come at \
once at 6,000 a minute: two would do 72 orders a second where the pace allows 90, and take a fifth longer. Left out: \
empty receives, cold starts, faults. The last row holds the model against a run that fits this machine."""
