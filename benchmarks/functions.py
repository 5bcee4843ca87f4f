"""The functions on the hook's way: cold and warm starts beside two baselines, batches of ten, calls and memory."""

import json
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks import orders
from benchmarks.figures import READ, WRITE, Figure, at_most, calls
from benchmarks.runtime import ACCOUNT, BASELINES, BUILD, Bench, Contender, cores, usual, without_bytecode
from local.vtex_simulator import Fault

COLD_RUNS = 15
WARM_CALLS = 300
BATCHES = 20
BATCH = 10
VTEX_SECONDS = 0.2
LARGE_ORDER = 200_000
"""Bytes of JSON."""
NO_LIMIT = {"ALERT_BURST": "1000"}
NOTES = (
    "Cold is INIT plus the first real answer, as the caller sees it. The bare handler makes a boto3 SQS client and "
    "sends; the usual stack is a hook's handler made of boto3, httpx, pydantic and Powertools (benchmarks/baselines).",
    "As on Lambda, a start finds only what was deployed and what Lambda's runtime brings, and can write nothing: what "
    "is shipped without bytecode is compiled at each start, and billed. Receiver and checker are what `sam build` "
    "makes of this project, with bytecode. Without it the usual stack is what `sam build` makes of a project that "
    "takes no such care. Python's own library, boto3 and awslambdaric are compiled for all, as Lambda's runtime is "
    "believed to have them: that was not seen.",
    f"A start here has a core for itself. Computed, not measured, is what it takes on the share of one that Lambda "
    f"gives: 512 MB buy {cores(512):.2f} of a core, 1,024 MB {cores(1024):.2f}. VTEX waits five seconds for the "
    "receiver. What Lambda takes to fetch the code and to make room for it comes on top.",
    "Every order is new to the ledger when it is checked, which is the dearer way: an order without fault is written "
    "in one transaction with the claim of its key. From its second check on the write is a PutItem.",
    "Of ten failing orders BatchGetItem is called once for the orders and once for the alert quota; PutItem "
    "once an order and once for the quota; UpdateItem notes what was sent. With AlertBurst at its default of 5, one "
    "PublishBatch holds the records and one five alerts; each of the other five is deferred, in a transaction.",
    f"Memory is the peak of the resident set of the function's process (VmHWM), in {BATCHES} batches of ten orders of "
    f"{LARGE_ORDER // 1000} KB each, half of them failing, VTEX in {VTEX_SECONDS * 1000:.0f} ms.",
)


@dataclass(frozen=True)
class Start:
    """A cold start: as its caller sees it, and what it takes of a core."""

    milliseconds: float
    cpu_seconds: float


def hook_event() -> dict[str, Any]:
    """Return a hook call as the HTTP API hands it over."""
    notification = {"OrderId": "VVJ-1-01", "State": "invoiced", "Origin": {"Account": ACCOUNT, "Key": "k"}}
    return {
        "version": "2.0",
        "rawPath": "/hooks/vtex/orders",
        "headers": {"x-hook-secret": "secret-of-the-benchmark", "content-type": "application/json"},
        "requestContext": {
            "requestId": "r",
            "stage": "$default",
            "http": {"method": "POST", "path": "/hooks/vtex/orders"},
        },
        "body": json.dumps(notification),
        "isBase64Encoded": False,
    }


def check_event(*order_ids: str) -> dict[str, Any]:
    """Return a batch of the hook queue."""
    records = []
    for number, order_id in enumerate(order_ids):
        body = {"OrderId": order_id, "State": "invoiced", "Origin": {"Account": ACCOUNT, "Key": "k"}}
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(time.time() * 1000))}
        records.append({
            "messageId": f"m{number}", "receiptHandle": "r", "body": json.dumps(body), "attributes": attributes,
        })  # fmt: skip
    return {"Records": records}


def ten(prefix: str) -> list[str]:
    """Name ten orders."""
    return [f"{prefix}-{number}" for number in range(BATCH)]


def checker(**environment: str) -> Contender:
    """Return the checker."""
    folder = BUILD / "CheckInvoiceFunction"
    return Contender("checker", folder, "check_invoice.handler", check_event("OK-0"), environment)


def measure_starts(bench: Bench) -> list[Figure]:
    """Measure cold starts, and warm calls of the receiver."""
    _put_orders(bench)
    bare = Contender("bare", BUILD / BASELINES, "bare.handler", hook_event())
    stack = usual("usual", BUILD / BASELINES, "usual.handler", hook_event())
    receiver = Contender("receiver", BUILD / "ReceiveHookFunction", "receive_hook.handler", hook_event())
    print(f"cold starts: {COLD_RUNS} each, in turns", flush=True)
    contenders = [bare, receiver, stack, checker()]
    cold = in_turns(bench, [*contenders, *map(without_bytecode, contenders)])
    print(f"warm calls: {WARM_CALLS} each", flush=True)
    warm_bare, warm_receiver = warm(bench, bare, receiver)
    return [
        beside("receiver cold, to a bare handler", cold["receiver"], cold["bare"], 1.1),
        beside("receiver cold, to itself without bytecode", cold["receiver"], cold["receiver, plain"], 1),
        at_share("receiver cold at 512 MB, computed", cold["receiver"], 512, 2.5),
        at_most("receiver warm, on top of a bare handler", f"{warm_receiver:.1f} - {warm_bare:.1f} ms",
                warm_receiver - warm_bare, 1, " ms"),
        beside("checker cold with one order, to the usual stack, both with bytecode",
               cold["checker"], cold["usual"], 0.8),
        beside("checker cold with one order, to the usual stack without bytecode",
               cold["checker"], cold["usual, plain"], 0.6),
        beside("checker cold with one order, to itself without bytecode",
               cold["checker"], cold["checker, plain"], 0.7),
        at_share("checker cold with one order at 1,024 MB, computed", cold["checker"], 1024, 1.5),
    ]  # fmt: skip


def measure_batches(bench: Bench) -> list[Figure]:
    """Measure batches of ten at a VTEX that takes 200 ms, what they call, and their memory."""
    _put_orders(bench)
    print(f"batches of ten: {BATCHES}", flush=True)
    milliseconds, connections = batches(bench)
    print("calls of a batch", flush=True)
    one = called(bench, checker(), ["OK-1"])
    failing = called(bench, checker(**NO_LIMIT), ten("BAD"))
    deferred = called(bench, checker(), ten("BAD"))
    print(f"memory with orders of {LARGE_ORDER // 1000} KB", flush=True)
    megabytes = memory(bench)
    return [
        at_most("ten orders in one batch, VTEX in 200 ms", f"{milliseconds:.0f} / {VTEX_SECONDS * 1000:.0f} ms",
                milliseconds / VTEX_SECONDS / 1000, 1.1),
        at_most(f"TCP connections to VTEX over {BATCHES} such batches", "", connections, 10),
        calls("one order without fault", one, {"VTEX": 1, READ: 1, WRITE: 1}),
        calls("ten failing orders in one batch, ALERT_BURST 1000", failing, {"PublishBatch": 2}),
        calls("ten failing orders in one batch, five alerts deferred", deferred, {"PublishBatch": 2}),
        at_most("peak memory of the checker, orders of 200 KB", "", megabytes, 160, " MB"),
    ]  # fmt: skip


def beside(what: str, ours: Start, theirs: Start, limit: float) -> Figure:
    """Return what a cold start takes as a share of another."""
    measured = f"{ours.milliseconds:.0f} / {theirs.milliseconds:.0f} ms"
    return at_most(what, measured, ours.milliseconds / theirs.milliseconds, limit)


def at_share(what: str, start: Start, megabytes: int, limit: float) -> Figure:
    """Return the seconds that a cold start takes on the share of a core that comes with so much memory."""
    measured = f"{start.cpu_seconds:.2f} s of a core here"
    return at_most(what, measured, start.cpu_seconds / cores(megabytes), limit, " s")


def in_turns(bench: Bench, contenders: list[Contender]) -> dict[str, Start]:
    """Return the medians of cold starts; the first turn only brings the machine's disks into its memory."""
    taken: dict[str, list[Start]] = {contender.name: [] for contender in contenders}
    for turn in range(COLD_RUNS + 1):
        for contender in contenders:
            bench.forget()
            with bench.running(contender) as running:
                milliseconds, _ = running.invoke(contender.event)
                start = Start(milliseconds, running.cpu_seconds())
            if turn:
                taken[contender.name].append(start)
    return {name: _median(starts) for name, starts in taken.items()}


def warm(bench: Bench, *contenders: Contender) -> list[float]:
    """Return the median milliseconds of a warm call of each."""
    medians = []
    for contender in contenders:
        with bench.running(contender) as running:
            running.invoke(contender.event)
            medians.append(statistics.median(running.invoke(contender.event)[0] for _ in range(WARM_CALLS)))
    return medians


def batches(bench: Bench) -> tuple[float, int]:
    """Return the median milliseconds of a batch of ten new orders at a slow VTEX, and the connections of them all."""
    fault = bench.vtex.fail(Fault("delay", seconds=VTEX_SECONDS))
    connections: set[int] = set()
    times = []
    with bench.running(checker()) as running:
        for _ in range(BATCHES):
            bench.forget()
            times.append(running.invoke(check_event(*ten("OK")))[0])
            connections |= {call.connection for call in bench.vtex.calls()}
    bench.vtex.faults.clear()
    if fault.used != BATCH * BATCHES:
        raise SystemExit(f"VTEX was called {fault.used} times for {BATCH * BATCHES} orders")
    return statistics.median(times[1:]), len(connections)


def called(bench: Bench, contender: Contender, order_ids: list[str]) -> dict[str, int]:
    """Return the calls of AWS and VTEX that one warm batch makes."""
    bench.forget()
    with bench.running(contender) as running:
        running.invoke(check_event("OK-0"))
        bench.aws_calls()
        bench.vtex.requests.clear()
        running.invoke(check_event(*order_ids))
        return {"VTEX": len(bench.vtex.calls()), **dict(sorted(bench.aws_calls().items()))}


def memory(bench: Bench) -> float:
    """Return the most megabytes that the checker held over batches of large orders."""
    items = orders.items_of(LARGE_ORDER)
    for number, order_id in enumerate(ten("LARGE")):
        key = orders.key_of(number) if number % 2 else None
        bench.vtex.put_order(orders.with_key(order_id, number, key, items=items))
    bench.vtex.fail(Fault("delay", seconds=VTEX_SECONDS))
    with bench.running(checker(**NO_LIMIT)) as running:
        for _ in range(BATCHES):
            bench.forget()
            running.invoke(check_event(*ten("LARGE")))
        bench.vtex.faults.clear()
        return running.peak_megabytes()


def _median(starts: Iterable[Start]) -> Start:
    milliseconds, cpu_seconds = zip(*((start.milliseconds, start.cpu_seconds) for start in starts), strict=True)
    return Start(statistics.median(milliseconds), statistics.median(cpu_seconds))


def _put_orders(bench: Bench) -> None:
    for number in range(BATCH):
        bench.vtex.put_order(orders.good(f"OK-{number}", number))
        bench.vtex.put_order(orders.with_key(f"BAD-{number}", BATCH + number, None))
