"""What an event takes of the product and of its peers, and what a million of them cost by that."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from benchmarks import cost
from benchmarks.contenders import BATCH, NAMES, events_of, named
from benchmarks.figures import Figure, at_most, rows_of
from benchmarks.runtime import ACCOUNT, BUILD, Bench, Contender, cores, http
from invoicekey.ledger.prefixes import learn
from invoicekey.rules.prefixes import PROVEN_BY, READ_ONE_IN
from tests.fake_dynamodb import FakeDynamoDb

type Takes = Mapping[str, Mapping[tuple[str, int], Taken]]
"""By contender, the orders' kind and the batch's size."""

EVENTS = 50
"""Measured of each kind, alone and in batches: seconds of a core are counted in hundredths."""
MEMORY = {"webhook": 512, "receiver": 512, "worker": 512, "checker": 1024}
"""Megabytes: ours as the template has them. A worker that mostly waits is cheapest with little."""
CNOVA, FAILING = 0.30, 0.03
"""Of a shop's events, those of CNova; of CNova's, those that fail."""
COLD_SHARE = 0.01
"""Of the invocations, those that begin with an INIT."""
SNS_REQUEST = 0.50 / cost.MILLION
KINDS: Mapping[str, float] = {
    "MLB": (1 - CNOVA) * (1 - 1 / READ_ONE_IN), "OTHER": (1 - CNOVA) / READ_ONE_IN,
    "OK": CNOVA * (1 - FAILING), "BAD": CNOVA * FAILING,
}  # fmt: skip
"""What the orders' ids begin with, and how many of the events are about such: MLB is known to be another marketplace's,
and of those that begin so the product reads one in fifty (decision 30)."""
VTEX_SECONDS = 0.2
COME: Mapping[int, str] = {1: "events come one by one", BATCH: "ten come together"}
WEBHOOK_EQUAL, WORKER_EQUAL = "webhook with a ledger", "worker with ledger and receiver"


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
    turns = EVENTS // size
    with bench.running(contender) as running:
        for event in events_of(contender, "OK-0", "BAD-0"):  # clients are made, secrets read
            running.invoke(event)
        bench.aws_calls()
        http("DELETE", bench.aws_port, "/units")
        bench.forget()
        _know_prefixes(bench)
        began, logged = running.cpu_seconds(), _logged_bytes()
        for turn in range(turns):
            if turn:
                http("DELETE", bench.aws_port, "/ledger")
                _know_prefixes(bench)
            for event in events_of(contender, *named(kind, size)):
                running.invoke(event)
        cpu_seconds, log_bytes = running.cpu_seconds() - began, _logged_bytes() - logged
    events = turns * size
    calls, units = bench.aws_calls(), json.loads(http("GET", bench.aws_port, "/units"))
    return Taken(
        len(bench.vtex.calls()) / events,
        {name: count / events for name, count in sorted(calls.items())},
        {name: count / events for name, count in units.items()},
        cpu_seconds / events,
        log_bytes / events,
    )


def _logged_bytes() -> int:
    """Return how much was logged so far, less what the runtime emulator says of itself, which Lambda does not."""
    lines = (BUILD / "rie.log").read_bytes().splitlines(keepends=True)
    return sum(len(line) for line in lines if b" (rapid) " not in line)


def _know_prefixes(bench: Bench) -> None:
    """Let the ledger hold what the product has learnt of the account's prefixes before."""
    dynamodb, now = FakeDynamoDb(), datetime.now(UTC)
    learn(dynamodb.table, ACCOUNT, [("mlb", True)] * PROVEN_BY, frozenset({"vvj"}), now)
    http("PUT", bench.aws_port, "/ledger", json.dumps(list(dynamodb._items.values())).encode())


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
        return float(sum(getattr(self, name) for name in PARTS))

    def __add__(self, other: "Bill") -> "Bill":
        return Bill(*(getattr(self, name) + getattr(other, name) for name in PARTS))


PARTS: tuple[str, ...] = Bill.__match_args__
API = Bill(api=cost.API_CALL * cost.MILLION)


def queue_of(size: int) -> Bill:
    """Return what the queue costs: an event is sent by itself, received and deleted with its batch."""
    return Bill(queue=cost.SQS_REQUEST * (1 + 2 / size) * cost.MILLION)


def bill(name: str, start: float, takes: Mapping[tuple[str, int], Taken], size: int) -> Bill:
    """Return one contender's part of what a million events cost, in batches of this size.

    `start` is the seconds of a core that its INIT takes.
    """
    megabytes = MEMORY["checker" if name == "product" else name]
    asked = mixed(takes, size, lambda taken: taken.vtex)
    waits = 1 - (1 - asked) ** size if name == "product" else asked * (1 if name == "webhook" else size)
    busy = mixed(takes, size, lambda taken: taken.cpu_seconds) * size / cores(megabytes)
    init = start / cores(megabytes) * COLD_SHARE
    invocations = cost.MILLION / (1 if name == "webhook" else size)
    per_call = VTEX_SECONDS * waits + (busy / size if name == "webhook" else busy) + init
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


def bills(starts: Mapping[str, float], takes: Takes, size: int) -> dict[str, Bill]:
    """Return what a million events cost each, all parts together: as they are, and with the product's promises."""

    def part(name: str, of_size: int) -> Bill:
        return bill(name, starts[name], takes[name], of_size)

    webhook, worker, checker, receiver = (
        part("webhook", 1),
        part("worker", size),
        part("product", size),
        part("receiver", 1),
    )
    return {
        "webhook": API + webhook,
        "worker": API + queue_of(size) + worker,
        "direct": API + queue_of(size) + checker,
        "product": API + queue_of(size) + checker + receiver,
        WEBHOOK_EQUAL: API + webhook + Bill(table=part("product", 1).table),
        WORKER_EQUAL: API + queue_of(size) + replace(worker, table=checker.table) + receiver,
    }


def _requests_of(taken: Taken) -> str:
    return ", ".join([f"{taken.vtex:g} VTEX", *(f"{count:.3g} {name}" for name, count in taken.calls.items())])


def request_rows(takes: Takes) -> Iterator[tuple[str, ...]]:
    """Yield what an order takes of AWS and VTEX."""
    whats = {"OK": "good", "BAD": "failing", "MLB": "of another marketplace", "OTHER": "of one not met before"}
    for kind, what in whats.items():
        for size in (1, BATCH):
            cells = (_requests_of(takes[name][kind, size]) for name in NAMES)
            yield (f"requests for an order, {what}, {'alone' if size == 1 else 'of ten'}", *cells)


def text(starts: Mapping[str, float], takes: Takes) -> str:
    """Return what is told of costs."""
    rows = []
    for size, come in COME.items():
        of = bills(starts, takes, size)
        rows += [(f"{come}: {part}", *(f"{getattr(one, part):.2f}" for one in of.values())) for part in PARTS]
        rows.append((f"**{come}: in all**", *(f"**{one.total:.2f}**" for one in of.values())))
    header = ("dollars for a million events", *bills(starts, takes, 1))
    return "\n\n".join(["### What a million events cost", _COSTS, rows_of(header, rows)])


def goals(starts: Mapping[str, float], takes: Takes) -> Iterator[Figure]:
    """Yield the product's costs, held against those of the peers at equal promises."""
    for size, come in COME.items():
        of = bills(starts, takes, size)
        for peer in (WORKER_EQUAL, WEBHOOK_EQUAL):
            told = f"${of['product'].total:.2f} / ${of[peer].total:.2f}"
            less = ", which promises less" if peer == WEBHOOK_EQUAL else ""
            yield at_most(f"costs where {come}, to {peer}{less}", told, of["product"].total / of[peer].total, 1.0)


_MEMORY = ", ".join(f"{name} {megabytes:,} MB" for name, megabytes in MEMORY.items())
_COSTS = f"""\
Computed from what was measured, at the list prices of `benchmarks/cost.py` and SNS at 0.50 a million requests: \
{CNOVA:.0%} of the events are CNova's, {FAILING:.0%} of these fail; VTEX takes {VTEX_SECONDS * 1000:.0f} ms; one \
invocation in {1 / COLD_SHARE:.0f} begins with an INIT, which is billed. The shop has run for a while, so the prefixes \
of other marketplaces' ids are known, and the product reads one in {READ_ONE_IN} of their orders \
([decision 30](decisions/0030-prefixes-that-reading-has-proven.md)); the peers read all. Time is what VTEX takes, and \
the seconds of a core on the share that the memory buys: {_MEMORY}. A write into an index is a unit more, one in a \
transaction two. E-mails, alarms, secrets and the queue's empty polls are the same for all, and left out. The worker \
stands behind the API's own integration, the cheapest way to its queue.

At equal promises a worker has the product's ledger in place of its own table, to know news from repetition for longer \
than a day and to follow a failure to its end, and the receiver, to answer as the contract says. A webhook cannot have \
them: with a ledger it still keeps no pace, waits for VTEX while VTEX waits for it, and has no queue for what it could \
not do. It is told of all the same, for it is the cheapest way where events come one by one: what it does not pay is \
the queue, and the {MEMORY["checker"]:,} MB of the checker that waits for VTEX. The checker has them for ten orders at \
once, and for a start: see below what less would save, and how long it would take."""
