"""The product beside three peers, in one run: how long, how many requests, how much, and what faults do to each.

The peers stand in benchmarks/peers: one function that does everything (webhook.py), the usual worker of a queue
(worker.py), and the HTTP API straight to the queue of the product's own checker (direct.yaml), which needs no handler:
what it takes is the checker's.
"""

import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from benchmarks import cost, orders
from benchmarks.faulty_aws import ACCOUNTS
from benchmarks.figures import PICTURES, Figure, Section, at_least, at_most, rows_of
from benchmarks.functions import checker, hook_event
from benchmarks.plots import Plot
from benchmarks.runtime import (
    ACCOUNT,
    BUILD,
    PEERS,
    Bench,
    Contender,
    Running,
    child,
    cores,
    http,
    stub_environment,
    usual,
)

from local.processes import free_ports
from local.vtex_simulator import Fault

COLD_RUNS, WARM_CALLS, BATCHES, GROWTH_CALLS = 9, 100, 7, 5
BATCH = 10
VTEX_SECONDS = (0.05, 0.2, 0.8)
MEMORY = {"webhook": 512, "receiver": 512, "worker": 512, "checker": 1024}
"""Megabytes: ours as the template has them. A worker that mostly waits is cheapest with little."""
NO_QUOTA = {"ALERT_BURST": "1000"}
"""Alerts are one a failing order, as the peers'."""
CNOVA, FAILING = 0.30, 0.03
"""Of a shop's events, those of CNova; of CNova's, those that fail."""
COLD_SHARE = 0.01
"""Of the invocations, those that begin with an INIT."""
SIZES = (5_000, 50_000, 200_000, 1_000_000, 2_000_000)
COUNTS = (1, 2, 5, 10)
PROBLEMS = (1, 2, 5, 10, 20, 50)
OPEN = (0, 1_000, 10_000, 100_000)
NAMES = ("webhook", "worker", "product")
SNS_REQUEST = 0.50 / cost.MILLION
KINDS: Mapping[str, float] = {
    "OTHER": 1 - CNOVA, "OK": CNOVA * (1 - FAILING), "BAD": CNOVA * FAILING,
}  # fmt: skip
"""What the orders' ids begin with, and how many of the events are about such."""


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


def webhook() -> Contender:
    """Return the first peer."""
    return usual("webhook", BUILD / PEERS, "benchmarks.peers.webhook.handler", hook("OK-0"))


def worker() -> Contender:
    """Return the second peer."""
    return usual("worker", BUILD / PEERS, "benchmarks.peers.worker.handler", {"Records": [record(0, body_of("OK-0"))]})


def receiver() -> Contender:
    """Return the product's receiver."""
    return Contender("receiver", BUILD / "ReceiveHookFunction", "receive_hook.handler", hook("OK-0"))


def product() -> Contender:
    """Return the product's checker."""
    return replace(checker(**NO_QUOTA), name="product")


def hook(order: str) -> dict[str, Any]:
    """Return the hook call about an order, as the HTTP API hands it over."""
    return hook_event() | {"body": body_of(order)}


def events_of(contender: Contender, *ordered: str) -> list[dict[str, Any]]:
    """Return what a contender is invoked with for these orders: one call each, or a batch."""
    if contender.name in {"webhook", "receiver"}:
        return [hook(order) for order in ordered]
    return [{"Records": [record(number, body_of(order)) for number, order in enumerate(ordered)]}]


def body_of(order: str, change: str = "2026-03-03T14:54:00Z") -> str:
    """Return the notification of an order, `account/id` or an id of the usual account."""
    account, _, order_id = order.rpartition("/")
    origin = {"Account": account or ACCOUNT, "Key": "k"}
    return json.dumps({"OrderId": order_id, "State": "invoiced", "CurrentChange": change, "Origin": origin})


def record(number: int, body: str, receive: int = 1) -> dict[str, Any]:
    """Return a message as the event source shows it."""
    attributes = {"ApproximateReceiveCount": str(receive), "SentTimestamp": str(int(time.time() * 1000))}
    return {"messageId": f"m{number}", "receiptHandle": "r", "body": body, "attributes": attributes}


@contextmanager
def faulty(bench: Bench) -> Iterator[Bench]:
    """Start an AWS that can fail, beside the same VTEX, with the orders of this module."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "benchmarks.faulty_aws", str(port)]
    with child(command, port, BUILD / "faulty.log", env=stub_environment()):
        put_orders(bench)
        yield Bench(port, bench.vtex)


def put_orders(bench: Bench) -> None:
    """Let VTEX have ten orders of each kind."""
    for number in range(BATCH):
        bench.vtex.put_order(orders.good(f"OK-{number}", number))
        bench.vtex.put_order(orders.with_key(f"BAD-{number}", BATCH + number, None))
        other = {"affiliateId": "MLB", "customData": None, "marketplace": {}, "marketplaceServicesEndpoint": None}
        bench.vtex.put_order(orders.with_key(f"OTHER-{number}", 2 * BATCH + number, None) | other)


def named(kind: str, number: int = BATCH) -> list[str]:
    """Name so many orders of a kind."""
    return [f"{kind}-{one}" for one in range(number)]


def measure_side(bench: Bench) -> list[Figure | Section]:
    """Measure the product beside its peers."""
    with faulty(bench) as aws:
        print(f"side: cold {COLD_RUNS} times, warm {WARM_CALLS}", flush=True)
        times = measure_times(aws)
        print("side: requests, memory", flush=True)
        takes = {name: measure_events(aws, contender) for name, contender in contenders().items()}
        memory = {name: measure_memory(aws, contender) for name, contender in contenders().items()}
        print("side: faults", flush=True)
        told = {name: [befall(aws, contender, trouble) for trouble in TROUBLES]
                for name, contender in contenders().items() if name != "receiver"}  # fmt: skip
        print("side: growth", flush=True)
        grown = [grow(aws, growth) for growth in GROWTHS]
        reads = measure_open_failures(aws)
    return [_section(times, takes, memory, told, grown, reads)]


def contenders() -> dict[str, Contender]:
    """Return those that have a handler, by name."""
    return {one.name: one for one in (webhook(), worker(), product(), receiver())}


# ---- How long


@dataclass(frozen=True)
class Times:
    """Milliseconds of one contender."""

    cold: Spread
    cold_cpu: float
    """Seconds of a core, of a median start."""
    warm: Spread
    batches: Mapping[float, Spread] = field(default_factory=dict)
    """Of ten orders, by VTEX's seconds."""


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
            warm = [_fresh(bench, running, contender, ["OK-0"]) for _ in range(WARM_CALLS)]
            of_batches = {} if name == "receiver" else {
                seconds: Spread(_batches(bench, running, contender, seconds)) for seconds in VTEX_SECONDS
            }  # fmt: skip
        starts = Spread([milliseconds for milliseconds, _ in cold[name]])
        cpu = statistics.median(seconds for _, seconds in cold[name])
        times[name] = Times(starts, cpu, Spread(warm), of_batches)
    return times


def _batches(bench: Bench, running: Running, contender: Contender, seconds: float) -> list[float]:
    bench.vtex.latency = seconds
    calls = BATCHES if contender.name == "product" else max(2, BATCHES // 2)  # the others are slow, and vary less
    taken = [_fresh(bench, running, contender, named("OK")) for _ in range(calls + 1)]
    bench.vtex.latency = 0
    return taken[1:]


def _fresh(bench: Bench, running: Running, contender: Contender, order_ids: Sequence[str]) -> float:
    """Return the milliseconds that orders take that nobody knows."""
    bench.forget()
    return sum(running.invoke(event)[0] for event in events_of(contender, *order_ids))


# ---- How many requests, and what they cost


@dataclass(frozen=True)
class Taken:
    """What one event takes of a contender, in batches of one size, as measured."""

    vtex: float
    calls: Mapping[str, float]
    units: Mapping[str, float]
    cpu_seconds: float
    log_bytes: float


def measure_events(bench: Bench, contender: Contender) -> dict[tuple[str, int], Taken]:
    """Measure what an event takes, by the order's kind and the batch's size."""
    return {(kind, size): _taken(bench, contender, kind, size) for kind in KINDS for size in (1, BATCH)}


def _taken(bench: Bench, contender: Contender, kind: str, size: int) -> Taken:
    log, turns = BUILD / "rie.log", 5
    with bench.running(contender) as running:
        for event in events_of(contender, "OK-0", "BAD-0"):  # clients are made, secrets read
            running.invoke(event)
        bench.aws_calls()
        http("DELETE", bench.aws_port, "/units")
        bench.forget()
        began, logged = running.cpu_seconds(), log.stat().st_size
        for turn in range(turns):
            if turn:
                http("DELETE", bench.aws_port, "/ledger")
            for event in events_of(contender, *named(kind, size)):
                running.invoke(event)
        cpu_seconds, log_bytes = running.cpu_seconds() - began, log.stat().st_size - logged
    events = turns * size
    calls, units = bench.aws_calls(), json.loads(http("GET", bench.aws_port, "/units"))
    return Taken(
        len(bench.vtex.calls()) / events,
        {name: count / events for name, count in sorted(calls.items())},
        {name: count / events for name, count in units.items()},
        cpu_seconds / events,
        log_bytes / events,
    )


def mixed(takes: Mapping[tuple[str, int], Taken], size: int, of: Callable[[Taken], float]) -> float:
    """Return a figure an event, over the mix of events."""
    return sum(share * of(takes[kind, size]) for kind, share in KINDS.items())


@dataclass(frozen=True)
class Bill:
    """Dollars for a million events, by what they are paid for."""

    api: float = 0.0
    function: float = 0.0
    queue: float = 0.0
    table: float = 0.0
    topic: float = 0.0
    logs: float = 0.0

    @property
    def total(self) -> float:
        """Return them all."""
        return self.api + self.function + self.queue + self.table + self.topic + self.logs

    def __add__(self, other: "Bill") -> "Bill":
        return Bill(*(getattr(self, name) + getattr(other, name) for name in self.__match_args__))


API = Bill(api=cost.API_CALL * cost.MILLION)


def queue_of(size: int) -> Bill:
    """Return what the queue costs: an event is sent by itself, received and deleted with its batch."""
    return Bill(queue=cost.SQS_REQUEST * (1 + 2 / size) * cost.MILLION)


def bill(name: str, times: Times, takes: Mapping[tuple[str, int], Taken], size: int, vtex_seconds: float) -> Bill:
    """Return what a million events cost, one contender's part, in batches of this size (one: each by itself)."""
    megabytes = MEMORY["checker" if name == "product" else name]
    reads = {"receiver": 0, "webhook": 1, "product": 1}.get(name, size)
    busy = mixed(takes, size, lambda taken: taken.cpu_seconds) * size / cores(megabytes)
    start = times.cold_cpu / cores(megabytes) * COLD_SHARE
    invocations = cost.MILLION / (1 if name == "webhook" else size)
    per_call = vtex_seconds * reads + (busy / size if name == "webhook" else busy) + start
    function = invocations * (per_call * megabytes / 1024 * cost.GB_SECOND + cost.CALL)

    def requests(*names: str) -> float:
        return mixed(takes, size, lambda taken: sum(taken.calls.get(one, 0) for one in names)) * cost.MILLION

    write, read = (mixed(takes, size, lambda taken, u=unit: taken.units.get(u, 0)) for unit in ("write", "read"))  # type: ignore[misc]
    return Bill(
        function=function,
        table=(write * cost.WRITE + read * cost.READ) * cost.MILLION,
        topic=requests("Publish", "PublishBatch") * SNS_REQUEST,
        logs=mixed(takes, size, lambda taken: taken.log_bytes) * cost.MILLION / 1e9 * cost.LOG_GB,
    )


def bills(
    times: Mapping[str, Times], takes: Mapping[str, Mapping[tuple[str, int], Taken]], size: int, seconds: float
) -> dict[str, Bill]:
    """Return what a million events cost each, all parts together."""
    of = {name: bill(name, times[name], takes[name], size if name != "receiver" else 1, seconds) for name in takes}
    return {
        "webhook": API + bill("webhook", times["webhook"], takes["webhook"], 1, seconds),
        "worker": API + queue_of(size) + of["worker"],
        "direct": API + queue_of(size) + of["product"],
        "product": API + queue_of(size) + of["product"] + of["receiver"],
    }


def with_ledger(one: Bill, ledger: Bill) -> Bill:
    """Return a bill with the product's ledger: what tells news from repetition, and follows a failure to its end."""
    return replace(one, table=one.table + ledger.table)


def measure_memory(bench: Bench, contender: Contender) -> float:
    """Return the most megabytes held over batches of ten orders of 200 KB."""
    if contender.name == "receiver":
        with bench.running(contender) as running:
            for _ in range(BATCHES):
                running.invoke(contender.event)
            return running.peak_megabytes()
    items = orders.items_of(200_000)
    for number in range(BATCH):
        key = orders.key_of(3 * BATCH + number) if number % 2 else None
        bench.vtex.put_order(orders.with_key(f"LARGE-{number}", 3 * BATCH + number, key, items=items))
    with bench.running(contender) as running:
        for _ in range(BATCHES):
            _fresh(bench, running, contender, named("LARGE"))
        return running.peak_megabytes()


# ---- The same faults


@dataclass(frozen=True)
class Trouble:
    """A script: what fails, and what comes twice. `aws` is by the operations and kind of faulty_aws.AwsFault."""

    name: str
    aws: tuple[dict[str, Any], ...] = ()
    vtex: Fault | None = None
    outage_receives: int = 0
    """Until every event was received so often, VTEX answers 503."""
    repeats: tuple[str, ...] = ()
    """What comes again once all is done: `same` at once, `later` after two days, `event` as another event."""


_SENDS = ["Publish", "PublishBatch"]
_WRITES = ["PutItem", "TransactWriteItems"]
TROUBLES = (
    Trouble("nothing fails"),
    Trouble("VTEX answers 429 ten times", vtex=Fault("status", status=429, retry_after=1, times=10)),
    Trouble("VTEX answers 500 ten times", vtex=Fault("status", status=500, times=10)),
    Trouble("VTEX answers 503 while each event is received six times", outage_receives=6),
    Trouble("SNS throttles twelve calls", ({"operations": _SENDS, "kind": "throttle", "times": 12},)),
    Trouble("DynamoDB answers 500 twelve times", ({"operations": _WRITES, "kind": "error", "times": 12},)),
    Trouble("a write's answer is lost, its effect is not", ({"operations": _WRITES, "kind": "reset", "times": 1},)),
    Trouble("a message's answer is lost, its effect is not", ({"operations": _SENDS, "kind": "reset", "times": 1},)),
    Trouble("the function is killed after it sent", ({"operations": _SENDS, "kind": "kill", "times": 1},)),
    Trouble("everything comes again, at once", repeats=("same",)),
    Trouble("everything comes again, two days later", repeats=("later",)),
    Trouble("another event of each order, nothing mended", repeats=("event",)),
)
MOST_RECEIVES = {"webhook": 100, "worker": 5, "product": 200}
"""VTEX's patience, the usual maxReceiveCount, and the template's."""
TRIED = 16
"""So many receives are played here, of those that have more."""
TIMEOUT = 10
"""Seconds, of the functions: short, for a lease and a lock last twice as long, and once."""
HIDDEN = 2 * TIMEOUT + 1
PAUSE = 1.5


@dataclass(frozen=True)
class Told:
    """What came of a trouble."""

    lost: int
    """Failing orders without a notice."""
    doubled: int
    """Failing orders told more than once."""
    dead: int
    """Events in a dead-letter queue."""


def befall(bench: Bench, contender: Contender, trouble: Trouble) -> Told:
    """Play a trouble: ten failing orders and five without fault, each with one event."""
    for name in ("sent", "faults"):
        http("DELETE", bench.aws_port, f"/{name}")
    bench.forget()
    limits = {"AWS_LAMBDA_FUNCTION_TIMEOUT": str(TIMEOUT), "FUNCTION_TIMEOUT_SECONDS": str(TIMEOUT)}
    contender = replace(contender, environment={**contender.environment, **limits})
    bodies = [body_of(order_id) for order_id in (*named("BAD"), *named("OK", 5))]
    with bench.running(contender) as running:
        running.invoke(contender.event)
        bench.forget()
        dead = _deliver(bench, running, contender, bodies, trouble)
        for repeat in trouble.repeats:
            if repeat == "later":
                http("PUT", bench.aws_port, "/later", json.dumps(2 * 86_400).encode())
            again = bodies if repeat != "event" else [body_of(one, "2026-03-03T15:30:00Z") for one in named("BAD")]
            dead += _deliver(bench, running, contender, again, Trouble("once more"))
    sent: list[list[str]] = json.loads(http("GET", bench.aws_port, "/sent"))
    alerts = [text for topic, text in sent if topic.endswith(":alerts")]
    counted = Counter({one: sum(f"{one} " in text or f"{one}:" in text for text in alerts) for one in named("BAD")})
    return Told(sum(count == 0 for count in counted.values()), sum(count > 1 for count in counted.values()), dead)


def _deliver(bench: Bench, running: Running, contender: Contender, bodies: Sequence[str], trouble: Trouble) -> int:
    """Hand over events until all are done, as the hook or the queue would; return how many are given up."""
    faults = [{**fault, "pid": running.pid()} for fault in trouble.aws]
    http("PUT", bench.aws_port, "/faults", json.dumps(faults).encode())
    if trouble.vtex:
        bench.vtex.fail(replace(trouble.vtex))
    outage = bench.vtex.fail(Fault("status", status=503)) if trouble.outage_receives else None
    left = list(enumerate(bodies))
    for receive in range(1, min(MOST_RECEIVES[contender.name], TRIED) + 1):
        if outage and receive > trouble.outage_receives:
            bench.vtex.faults.clear()
        died, left = _receive(running, contender, left, receive)
        if not left:
            break
        time.sleep(HIDDEN if died else PAUSE)
    bench.vtex.faults.clear()
    return len(left)


def _receive(
    running: Running, contender: Contender, left: Sequence[tuple[int, str]], receive: int
) -> tuple[bool, list[tuple[int, str]]]:
    """Hand over what is left, once; return whether the function died of it, and what comes again."""
    back, died = [], False
    size = 1 if contender.name == "webhook" else BATCH
    for start in range(0, len(left), size):
        some = left[start : start + size]
        batch = {"Records": [record(*one, receive) for one in some]}
        event = hook_event() | {"body": some[0][1]} if size == 1 else batch
        answer = running.try_invoke(event)
        if "errorMessage" in answer or "errorType" in answer:
            back, died = [*back, *some], died or "exit" in str(answer.get("errorType", "")).lower()
        elif size == 1:
            back += some if answer["statusCode"] >= 500 else []
        else:
            failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
            back += [one for one in some if f"m{one[0]}" in failed]
    return died, back


# ---- How each grows


@dataclass(frozen=True)
class Growth:
    """What grows, how a plot shows it, and the orders of each step."""

    name: str
    title: str
    x_label: str
    steps: Sequence[int]
    put: Callable[[Bench, int], list[str]]
    """Lets VTEX have a step's orders, and names them."""
    vtex_seconds: float = 0.0
    is_log: bool = False


def _put_sized(bench: Bench, size: int) -> list[str]:
    bench.vtex.put_order(orders.good(f"SIZE-{size}", 100, items=orders.items_of(size)))
    return [f"SIZE-{size}"]


def _put_problems(bench: Bench, problems: int) -> list[str]:
    order = orders.with_key(f"MANY-{problems}", 101, None)
    (package,) = order["packageAttachment"]["packages"]
    packages = [package | {"invoiceNumber": str(700_000 + number)} for number in range(problems)]
    bench.vtex.put_order(order | {"packageAttachment": {"packages": packages}})
    return [f"MANY-{problems}"]


def _put_accounts(bench: Bench, accounts: int) -> list[str]:
    ordered = [(ACCOUNTS[number % accounts], f"OF-{accounts}-{number}") for number in range(BATCH)]
    for number, (account, order_id) in enumerate(ordered):
        bench.vtex.put_order(orders.good(order_id, 110 + number, hostname=account))
    return [f"{account}/{order_id}" for account, order_id in ordered]


GROWTHS = (
    Growth("batch", "A batch, by its orders (VTEX in 200 ms)", "orders in the batch", COUNTS,
           lambda _, orders_in_it: named("OK", orders_in_it), vtex_seconds=0.2),
    Growth("size", "One order, by its size (VTEX at once)", "bytes of the order", SIZES, _put_sized, is_log=True),
    Growth("problems", "One failing order, by its problems (VTEX at once)", "problems of the order", PROBLEMS,
           _put_problems),
    Growth("accounts", "Ten orders, by their accounts (VTEX in 200 ms)", "accounts in the batch", COUNTS,
           _put_accounts, vtex_seconds=0.2),
)  # fmt: skip


def grow(bench: Bench, growth: Growth) -> Mapping[str, list[tuple[float, float]]]:
    """Measure each contender step by step; return points of step and median milliseconds."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, contender in contenders().items():
        if name == "receiver":
            continue
        with bench.running(contender) as running:
            running.invoke(contender.event)
            lines[name] = []
            for step in growth.steps:
                ordered = growth.put(bench, step)
                bench.vtex.latency = growth.vtex_seconds
                taken = [_fresh(bench, running, contender, ordered) for _ in range(GROWTH_CALLS)]
                bench.vtex.latency = 0
                lines[name].append((step, statistics.median(taken[1:])))
    return lines


def measure_open_failures(bench: Bench) -> list[tuple[int, float, float, float]]:
    """Measure batches of ten new orders over a ledger that holds ever more open failures.

    Returns for each number the median milliseconds, and the reads and read units of a batch.
    """
    measured, number = [], 0
    with bench.running(product()) as running:
        running.invoke(product().event)
        bench.forget()
        for before, failures in zip((0, *OPEN), OPEN, strict=False):
            for start in range(before, failures, 10_000):
                items = [_open_failure(one) for one in range(start, min(start + 10_000, failures))]
                http("PUT", bench.aws_port, "/ledger", json.dumps(items).encode())
            taken = []
            bench.aws_calls()
            http("DELETE", bench.aws_port, "/units")
            for _ in range(GROWTH_CALLS):
                number += BATCH
                fresh = range(number, number + BATCH)
                for one in fresh:
                    bench.vtex.put_order(orders.good(f"NEW-{one}", 1_000 + one))
                (event,) = events_of(product(), *(f"NEW-{one}" for one in fresh))
                taken.append(running.invoke(event)[0])
            reads = bench.aws_calls().get("BatchGetItem", 0) / GROWTH_CALLS
            units = json.loads(http("GET", bench.aws_port, "/units"))["read"] / GROWTH_CALLS
            measured.append((failures, statistics.median(taken), reads, units))
        bench.forget()
    return measured


def _open_failure(number: int) -> dict[str, Any]:
    at = f"2026-03-{number % 28 + 1:02}T12:00:00Z"
    of_it = {"pk": f"order#{ACCOUNT}#OPEN-{number}", "list": "recheck", "list_at": at, "failures": "open",
             "failures_at": at, "failure": "x" * 200}  # fmt: skip
    return {name: {"S": value} for name, value in of_it.items()}


# ---- What is written


def _section(
    times: Mapping[str, Times],
    takes: Mapping[str, Mapping[tuple[str, int], Taken]],
    memory: Mapping[str, float],
    told: Mapping[str, Sequence[Told]],
    grown: Sequence[Mapping[str, list[tuple[float, float]]]],
    reads: Sequence[tuple[int, float, float, float]],
) -> Section:
    pictures = {
        f"bench-{growth.name}.svg": Plot(growth.title, growth.x_label, "milliseconds", lines, growth.is_log).svg()
        for growth, lines in zip(GROWTHS, grown, strict=True)
    }
    shown = "\n".join(f"![{growth.title}]({PICTURES}/bench-{growth.name}.svg)" for growth in GROWTHS)
    goals = [*_cost_goals(times, takes), *_fault_goals(told)]
    text = "\n\n".join(
        [
            _INTRO,
            rows_of(("", "webhook", "worker", "product"), _table(times, takes, memory)),
            _DIRECT,
            "### What a million events cost",
            _COSTS,
            rows_of(("dollars", "webhook", "worker", "direct", "product"), _cost_rows(times, takes)),
            "### The same faults",
            _FAULTS,
            rows_of(("", "webhook", "worker", "product"), _fault_rows(told)),
            "### How each grows",
            shown,
            "The checker reads the ledger by key, however much is open:",
            rows_of(
                ("open failures in the ledger", "ten new orders, ms", "reads a batch", "read units a batch"),
                [(f"{number:,}", f"{ms:.0f}", f"{calls:.1f}", f"{units:.0f}") for number, ms, calls, units in reads],
            ),
            "### Against the goals",
        ]
    )
    return Section("Side by side", text, goals, pictures)


def _table(
    times: Mapping[str, Times], takes: Mapping[str, Mapping[tuple[str, int], Taken]], memory: Mapping[str, float]
) -> Iterator[tuple[str, ...]]:
    receiver_times = times["receiver"]
    yield ("INIT and first answer, ms", *(times[name].cold.shown() for name in NAMES))
    yield ("the receiver's, ms", "", "", receiver_times.cold.shown())
    yield ("warm, one order, ms", *(times[name].warm.shown() for name in NAMES))
    yield ("warm answer to VTEX, ms (and the order's reading)",
           times["webhook"].warm.shown(), "", receiver_times.warm.shown())  # fmt: skip
    for seconds in VTEX_SECONDS:
        cells = []
        for name in NAMES:
            taken = times[name].batches[seconds]
            a_second = BATCH / taken.median * 1000
            cells.append(f"{a_second:.1f} ({taken.median / seconds / 1000:.2f} round trips)")
        yield (f"orders a second, ten together, VTEX in {seconds * 1000:.0f} ms", *cells)
    for kind, what in (("OK", "good"), ("BAD", "failing"), ("OTHER", "another marketplace's")):
        for size in (1, BATCH):
            yield (f"requests for an order, {what}, {'alone' if size == 1 else 'of ten'}",
                   *(_requests(takes[name][kind, size]) for name in NAMES))  # fmt: skip
    yield ("peak memory, ten orders of 200 KB, MB", *(f"{memory[name]:.0f}" for name in NAMES))


def _requests(taken: Taken) -> str:
    return ", ".join([f"{taken.vtex:g} VTEX", *(f"{count:.3g} {name}" for name, count in taken.calls.items())])


def _cost_rows(
    times: Mapping[str, Times], takes: Mapping[str, Mapping[tuple[str, int], Taken]]
) -> Iterator[tuple[str, ...]]:
    for size in (1, BATCH):
        of = bills(times, takes, size, 0.2)
        together = "events come one by one" if size == 1 else "ten come together"
        for part in Bill.__match_args__:
            yield (f"{together}: {part}", *(f"{getattr(one, part):.2f}" for one in of.values()))
        yield (f"**{together}: in all**", *(f"**{one.total:.2f}**" for one in of.values()))
        equal = _equal(of, takes, times, size)
        yield (
            f"{together}: with the product's ledger",
            *(f"{equal[name]:.2f}" if name in equal else "none" for name in of),
        )


def _equal(
    of: Mapping[str, Bill],
    takes: Mapping[str, Mapping[tuple[str, int], Taken]],
    times: Mapping[str, Times],
    size: int,
) -> dict[str, float]:
    """Return dollars at equal promises: a peer with the ledger of the product, by which it would keep them."""
    ledger = bill("product", times["product"], takes["product"], size, 0.2)
    alone = bill("product", times["product"], takes["product"], 1, 0.2)
    return {
        "webhook": with_ledger(of["webhook"], alone).total,
        "worker": with_ledger(replace(of["worker"], table=0.0), ledger).total,
        "product": of["product"].total,
    }


def _cost_goals(times: Mapping[str, Times], takes: Mapping[str, Mapping[tuple[str, int], Taken]]) -> Iterator[Figure]:
    for size, together in ((1, "one by one"), (BATCH, "ten together")):
        equal = _equal(bills(times, takes, size, 0.2), takes, times, size)
        cheapest = min(("webhook", "worker"), key=lambda name: equal[name])
        yield at_most(
            f"dollars at equal promises, events {together}, to the cheapest peer's",
            f"${equal['product']:.2f} / ${equal[cheapest]:.2f} ({cheapest})",
            equal["product"] / equal[cheapest],
            1.0,
        )


def _fault_rows(told: Mapping[str, Sequence[Told]]) -> Iterator[tuple[str, ...]]:
    for trouble, *each in zip(TROUBLES, *(told[name] for name in NAMES), strict=True):
        yield (trouble.name, *(_came_to(one) for one in each))


def _came_to(told: Told) -> str:
    dead = f", {told.dead} given up" if told.dead else ""
    return "0 / 0" + dead if not (told.lost or told.doubled) else f"**{told.lost} / {told.doubled}**{dead}"


def _fault_goals(told: Mapping[str, Sequence[Told]]) -> Iterator[Figure]:
    peers = [one for name in ("webhook", "worker") for one in told[name]]
    ours = told["product"]
    lost, doubled = sum(one.lost for one in ours), sum(one.doubled for one in ours)
    yield at_most("failing orders without a notice, all faults together",
                  f"peers {sum(one.lost for one in peers)}", lost, 0)  # fmt: skip
    yield at_most("failing orders told twice, all faults together",
                  f"peers {sum(one.doubled for one in peers)}", doubled, 0)  # fmt: skip


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= BATCH else f"{value:.1f}"


_INTRO = """\
Three peers, as good engineers would write them today, in the same run: `benchmarks/peers/webhook.py`, one function that \
reads the order and tells before it answers VTEX; `worker.py`, the usual worker of a queue (Powertools' batch processor, \
idempotency in DynamoDB, pydantic), one record after the other; and `direct.yaml`, the HTTP API straight to the queue of \
the product's own checker. All judge keys by the product's rules, run with bytecode, and have the same stub of AWS and \
the same VTEX. Medians, and in brackets between what eight of ten lie."""
_DIRECT = """\
`direct` has no function of its own: what it takes is the product's without the receiver. It cannot compare the secret \
in constant time nor accept a previous one, answer 401, 403, 413 or 400, answer the ping, or pass over states that are \
not watched and ids that cannot be CNova's: each of these is a message, and a batch's place."""
_COSTS = f"""\
Computed from what was measured, at the list prices of `benchmarks/cost.py` and SNS at 0.50 a million requests: \
{CNOVA:.0%} of the events are CNova's, {FAILING:.0%} of these fail; VTEX takes 200 ms; one invocation in \
{1 / COLD_SHARE:.0f} begins with an INIT, which is billed. Time is what VTEX takes, and the seconds of a core on the share \
that the memory buys: {", ".join(f"{name} {megabytes:,} MB" for name, megabytes in MEMORY.items())}. A write into an index \
is a unit more, a write in a transaction two. E-mails, alarms, secrets and the queue's empty polls are the same for all, \
and left out. The worker stands behind the API's own integration, the cheapest way to its queue. At equal promises means: \
with the product's ledger, by which it would know news from repetition for longer than a day, tell when a failure is \
mended, and follow it to its end (the worker's own table is then not needed)."""
_FAULTS = f"""\
Ten failing orders and five without fault, an event each; **lost / told twice**, of the failing ones. What is not done \
comes again: the hook's call to the webhook, the queue's message to the others. A worker's message is given up after \
{MOST_RECEIVES["worker"]} receives, the usual maxReceiveCount; the product's after a day. Told is what was published to the \
topic of alerts. Where a message's answer is lost or the function dies after it sent, nobody can know: SNS takes no id by \
which it would know a message again. All of them tell twice then; the product's record has the same id both times, for \
machines that keep it."""
