"""Many accounts in one stack: a storm of one, simulated, and held against a run that fits on this machine.

    PYTHONPATH=layers/invoicekey/python .venv/bin/python -m benchmarks.many_accounts

measures anew how long batches take, which is what the simulation is made of, and writes it to service_times.json.
"""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Condition
from typing import Any

from benchmarks import fairness, orders
from benchmarks.fairness import Checkers, Message, Outcome, Queue, Scenario, checker_settings, share_of
from benchmarks.figures import Figure, at_most
from benchmarks.functions import VTEX_SECONDS, check_event, checker
from benchmarks.runtime import Bench, Running, build, http, started
from invoicekey.vtex.client import burst_of

SIZES = (1, 5, 10)
BATCHES = 60
SMALL = Scenario(storm=300, others=20, events_per_second=2.0, seconds=25.0, storm_at=5.0, storm_lasts=1.0)
"""What fits: the storm takes some 17 s."""
MOST_TIMES = 1.5
NOTES = (
    "One account alone: all figures above the storm's are of one. Whether many accounts made them worse, this file's "
    "own history says: `git diff <version> docs/figures.md`, both measured on one machine.",
    "A storm: 200 accounts have five events a second together, 800 none; one has 20,000 at once. Simulated "
    "(docs/architecture/fairness.md): AWS's fair queue as it is documented, the checkers by their own constants, and "
    "by batches measured under the runtime emulator (benchmarks/service_times.json), VTEX in 200 ms, "
    f"VtexRequestsPerMinute {Scenario().requests_per_minute:,}. Others: from hook to verdict, with the storm to "
    "without it.",
    f"The run beside the simulation: two deployed checkers under the runtime emulator, the simulator of VTEX in 200 "
    f"ms, and in place of SQS the simulation's queue by the clock on the wall; {SMALL.storm} events at once, and "
    f"{SMALL.events_per_second:g} a second of {SMALL.others} others.",
)


def measure_storm(bench: Bench) -> list[Figure]:
    """Simulate the storm, and run a small one beside its simulation."""
    return [*(figure for environments in (2, 10) for figure in _storm(environments)), *_agreement(bench)]


def _storm(environments: int) -> list[Figure]:
    scenario = Scenario(environments=environments)
    print(f"a storm of {scenario.storm:,}, MaximumConcurrency {environments}: simulating", flush=True)
    told = fairness.compare(scenario)
    settings = checker_settings(scenario)
    share = environments * (settings.requests_per_minute + burst_of(settings.requests_per_minute, settings.burst))
    what = f"storm, simulated, MaximumConcurrency {environments}"
    starts = told.storm.starts(*told.window)
    (median, calm), (late, calm_late) = told.latency(0.5), told.latency(0.99)
    paced = scenario.storm / settings.requests_per_minute / environments * 60
    return [
        at_most(f"{what}: most VTEX calls a minute of any account", f"the checkers' share is {share:,}",
                told.storm.most_in_a_minute(), share),
        at_most(f"{what}: others' median", f"{median:.2f} / {calm:.2f} s", median / calm, MOST_TIMES),
        at_most(f"{what}: others' 99th percentile", f"{late:.2f} / {calm_late:.2f} s", late / calm_late, MOST_TIMES),
        at_most(f"{what}: others wait for a checker, 99th percentile", f"the longest {starts[-1]:.1f} s",
                share_of(starts, 0.99), 5, " s"),
        at_most(f"{what}: worked off, to what the pace allows", f"{told.storm_seconds:,.0f} / {paced:,.0f} s",
                told.storm_seconds / paced, 1.1),
    ]  # fmt: skip


def _agreement(bench: Bench) -> list[Figure]:
    print("a small storm: run, and simulated", flush=True)
    run, simulated = _Run(bench, SMALL).run(), Checkers(SMALL).run()
    median, of_model = (share_of(one.latencies(SMALL.storm_at, SMALL.seconds), 0.5) for one in (run, simulated))
    ended, modelled = (one.storm_done_at() - SMALL.storm_at for one in (run, simulated))
    return [
        at_most("a small storm, run to simulated: others' median", f"{median:.2f} / {of_model:.2f} s",
                median / of_model, 1.25),
        at_most("a small storm, run to simulated: worked off", f"{ended:.1f} / {modelled:.1f} s",
                ended / modelled, 1.25),
    ]  # fmt: skip


class _Run:
    """A scenario with deployed checkers, by the clock on the wall."""

    def __init__(self, bench: Bench, scenario: Scenario) -> None:
        self._bench = bench
        self._scenario = scenario
        self._queue = Queue(is_fair=scenario.is_fair)
        self._changed = Condition()
        self._is_over = False
        self._numbers: dict[int, int] = {}
        self._outcome = Outcome()

    def run(self) -> Outcome:
        arrivals = self._scenario.arrivals()
        for number, (_, account) in enumerate(arrivals):
            self._bench.vtex.put_order(orders.good(f"VVJ-{number}", number, hostname=account))
        self._bench.forget()
        self._bench.vtex.latency = VTEX_SECONDS
        more = {
            "VTEX_CREDENTIALS_SECRET_ARN": "vtex-storm",
            "VTEX_REQUESTS_PER_MINUTE": str(self._scenario.requests_per_minute),
            "MAXIMUM_CONCURRENCY": str(self._scenario.environments),
        }
        with ExitStack() as stack, ThreadPoolExecutor(self._scenario.environments + 1) as threads:
            environments = [
                stack.enter_context(self._bench.running(checker(**more))) for _ in range(self._scenario.environments)
            ]
            for environment in environments:  # cold starts are no part of it
                environment.invoke(check_event("OK-0"), may_leave_some=True)
            self._bench.forget()
            self._began = time.monotonic()
            work = [threads.submit(self._environment, environment) for environment in environments]
            threads.submit(self._hook, arrivals).result()
            for one in work:
                one.result()
        self._bench.vtex.latency = 0
        return self._outcome

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _hook(self, arrivals: Sequence[tuple[float, str]]) -> None:
        for number, (at, account) in enumerate(arrivals):
            time.sleep(max(0.0, at - self._now()))
            message = Message(account, at)
            with self._changed:
                self._numbers[id(message)] = number
                self._outcome.messages.append(message)
                self._queue.send(message)
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _environment(self, running: Running) -> None:
        while batch := self._next():
            numbers = {f"m{self._numbers[id(message)]}": message for message in batch}
            event = {"Records": [_record(name, message) for name, message in numbers.items()]}
            _, answer = running.invoke(event, may_leave_some=True)
            back = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            hidden = json.loads(http("GET", self._bench.aws_port, "/hidden")) if back else {}
            with self._changed:
                now = self._now()
                for name, message in numbers.items():
                    if name in back:
                        self._queue.hide(message, now + hidden.get(name, 0))
                    else:
                        message.done_at = now
                        self._queue.delete(message, now)
                self._changed.notify_all()

    def _next(self) -> list[Message]:
        with self._changed:
            while len(self._queue) or not self._is_over:
                if batch := self._queue.receive(self._now()):
                    return batch
                self._changed.wait(max(0.0, min(1.0, self._queue.next_visible_at() - self._now())))
            return []


def _record(name: str, message: Message) -> dict[str, Any]:
    body = {"OrderId": f"VVJ-{name[1:]}", "State": "invoiced", "Origin": {"Account": message.account, "Key": "k"}}
    attributes = {
        "ApproximateReceiveCount": str(message.receives),
        "SentTimestamp": str(int(time.time() * 1000)),
    }
    return {"messageId": name, "receiptHandle": name, "body": json.dumps(body), "attributes": attributes}


def measure_service_times(bench: Bench) -> Mapping[str, object]:
    """Measure warm batches of new orders without fault at a slow VTEX, by how many orders they hold; milliseconds."""
    names = [f"VVJ-{number}" for number in range(max(SIZES))]
    for number, name in enumerate(names):
        bench.vtex.put_order(orders.good(name, number))
    bench.vtex.latency = VTEX_SECONDS
    taken: dict[str, list[float]] = {}
    with bench.running(checker()) as running:
        running.invoke(check_event(*names))
        for size in SIZES:
            bench.forget()
            running.invoke(check_event(*names[:size]))
            taken[str(size)] = []
            for _ in range(BATCHES):
                bench.forget()
                taken[str(size)].append(round(running.invoke(check_event(*names[:size]))[0], 1))
    bench.vtex.latency = 0
    return {"vtex_milliseconds": VTEX_SECONDS * 1000, "python": platform.python_version(), "batches": taken}


if __name__ == "__main__":
    build()
    with started() as bench:
        times = measure_service_times(bench)
    fairness.SERVICE_TIMES.write_text(json.dumps(times) + "\n", encoding="utf-8")
