"""What comes after the hook: a feed drained, ten thousand open failures read again, a day of orders gone through."""

import json
import os
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from benchmarks import orders
from benchmarks.figures import WRITE, Figure, at_least, at_most, calls
from benchmarks.functions import VTEX_SECONDS, checker
from benchmarks.runtime import ACCOUNT, BUILD, Bench, Contender, Running, cores, http
from benchmarks.stub_aws import LedgerTable
from invoicekey.ledger.entries import Entry, Ledger
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.secrets import Credentials
from invoicekey.runtime.settings import CheckerSettings
from invoicekey.vtex.client import BURST, RateLimiter, Vtex, burst_of
from invoicekey.work.check import Clock, OrderCheck, Rules, Trigger
from local.stack import ROOT
from local.vtex_routes import Feed
from local.vtex_simulator import InvoiceEdit, VtexSimulator
from operations.terminal.cli import FAILING

MISSING, MALFORMED, WRONG_DIGIT, REUSED = 7_000, 2_300, 500, 200
OPEN = MISSING + MALFORMED + WRONG_DIGIT + REUSED
MENDED = 500
"""Of those with a missing key."""
OPENED_BEFORE = timedelta(minutes=20)
"""Their first re-check is due after 15."""
ENVIRONMENTS = 2
"""The event source's MaximumConcurrency."""
BATCH = 10
ALLOWED = 6_000
EACH = ALLOWED * 9 // 10 // ENVIRONMENTS
AT_ONCE = burst_of(EACH, BURST // ENVIRONMENTS)
SHARE = (EACH + AT_ONCE) * ENVIRONMENTS
"""What the checkers allot themselves in a minute: nine tenths, and what each may ask at once."""
LAMBDA_SECONDS = 300
"""RecheckFailuresFunction's timeout."""
LAMBDA_CORES = cores(512)
"""What its memory buys."""
PAGES = 10
LISTED, STUCK = 3_000, 100
DAY = "2026-04-01"
PACES = (3_000, 6_000)
"""Half of what VTEX allows an account, and all of it: the hardest to reach."""
NOTES = (
    f"The feed: one run over {PAGES} full pages. A last read finds the feed empty. The ledger is read three times "
    "a run, once of them for where the last run ended; that is written where it moved.",
    f"The open failures: {MISSING:,} with no key, {MALFORMED:,} malformed, {WRONG_DIGIT:,} with a wrong check digit, "
    f"{REUSED:,} that show a key of another order. The product's own check opened them, with a clock "
    f"{OPENED_BEFORE.seconds // 60} minutes slow; then {MENDED:,} were mended. Measured, at the real pace and with the "
    "deployed functions: one run of RecheckFailuresFunction, then two checkers side by side on what it queued. A "
    "reused key costs a second call, for its owner is read too: the figure holds as long as fewer than 5 in 100 "
    "failures are of that kind.",
    f"Any minute: counted as the calls came in, over all windows of 60 s. The checkers allot themselves nine tenths of "
    f"what is allowed, half of it each, and {AT_ONCE} at once each: {SHARE:,}.",
    f"Computed, not measured: what the queueing takes at the function's 512 MB, which buy {LAMBDA_CORES:.2f} of a "
    f"core, from the seconds of a core that it took here; its timeout is {LAMBDA_SECONDS} s. To that comes the latency "
    "of DynamoDB and SQS, of which the stub has none: at 10 ms a call, ten at once, some 11 s. What one run does not "
    "manage stays due, and the next one takes it.",
    f"The backfill is the very command, `invoicekey backfill --pace {PACES[0]}`, as a process of its own; {STUCK} of "
    "the orders are stuck. Its rate is that of its calls, the pages of the list among them, from the first to the "
    "last. Its usual pace is a twentieth of VtexRequestsPerMinute, which is easier to reach.",
)


@dataclass(frozen=True)
class Queueing:
    """What a run of RecheckFailuresFunction came to."""

    seconds: float
    cpu_seconds: float
    calls: dict[str, int]
    records: list[dict[str, Any]]


def measure_recheck(bench: Bench) -> list[Figure]:
    """Measure the re-check of ten thousand open failures."""
    print(f"{OPEN:,} open failures: opening", flush=True)
    bench.forget()
    open_failures(bench)
    print(f"{OPEN:,} open failures: queueing", flush=True)
    queueing = queue(bench)
    print(f"{OPEN:,} open failures: reading again, about two minutes", flush=True)
    bench.vtex.requests.clear()
    seconds = work_off(bench, queueing.records)
    times = [call.at for call in bench.vtex.calls(route="order")]
    outcomes = Counter(item["outcome"]["S"] for item in _orders(bench) if "recheck_at" in item or "mended_at" in item)
    if outcomes != {"failing": OPEN - MENDED, "ok": MENDED}:
        raise SystemExit(f"the re-check came to {dict(outcomes)}")
    a_minute = len(times) / (times[-1] - times[0]).total_seconds() * 60
    computed = queueing.cpu_seconds / LAMBDA_CORES
    return [
        calls(f"{OPEN:,} re-checks queued by one run, in {queueing.seconds:.0f} s", queueing.calls,
              {"SendMessageBatch": OPEN // BATCH, WRITE: OPEN}),
        at_most("that run at 512 MB, computed", f"{queueing.cpu_seconds:.1f} s of a core here", computed,
                LAMBDA_SECONDS, " s"),
        at_most(f"VTEX calls an order, {OPEN:,} re-checks, {MENDED} of them closed", f"{len(times):,} calls",
                len(times) / OPEN, 1.05),
        at_most(f"the most VTEX calls in any minute of them; the checkers' share is {SHARE:,}",
                f"{a_minute:,.0f} a minute over {seconds:.0f} s", most_in_a_minute(times), ALLOWED),
    ]  # fmt: skip


def measure_feed(bench: Bench) -> list[Figure]:
    """Measure a run over full pages of the feed."""
    print(f"feed: {PAGES} pages", flush=True)
    bench.forget()
    bench.vtex.feeds["key"] = Feed(
        "key", ACCOUNT, {"queue": {}, "filter": {"type": "FromWorkflow", "status": ["invoiced"]}}
    )
    for number in range(PAGES * BATCH):
        bench.vtex.put_feed_event(ACCOUNT, f"VVJ-{number}")
    drain = Contender(
        "drain", BUILD / "DrainFeedFunction", "drain_feed.handler", {}, {"AWS_LAMBDA_FUNCTION_TIMEOUT": "280"}
    )
    bench.aws_calls()
    with bench.running(drain) as running:
        _, drained = running.invoke({})
    if drained["committed"] != PAGES * BATCH:
        raise SystemExit(f"the feed was not drained: {drained}")
    reads, commits = (len(bench.vtex.calls(route=route)) for route in ("feed", "commit"))
    counted = {"feed read": reads, "commit": commits, **bench.aws_calls()}
    limits = {"feed read": PAGES + 1, "SendMessageBatch": PAGES, "commit": PAGES}
    return [calls(f"feed: {PAGES} pages of ten, and the empty one at the end", counted, limits)]


def measure_backfill(bench: Bench) -> list[Figure]:
    """Measure the operators' command over a day of orders at a slow VTEX."""
    for number in range(LISTED):
        key = orders.key_of(number) if number >= STUCK else None
        invoiced_at = f"{DAY}T15:00:00.0000000+00:00"
        bench.vtex.put_order(orders.with_key(f"DAY-{number}", number, key, invoicedDate=invoiced_at))
    return [backfill(bench, pace) for pace in PACES]


def backfill(bench: Bench, pace: int) -> Figure:
    """Run the command at a pace."""
    print(f"backfill: {LISTED:,} orders at {pace:,} requests a minute", flush=True)
    state = BUILD / "backfill-state.json"
    state.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "operations", "--stack", "bench", "backfill", "--from", DAY, "--to", DAY,
        "--pace", str(pace), "--state", str(state), "--format", "csv",
    ]  # fmt: skip
    path = os.pathsep.join(map(str, [ROOT, ROOT / "layers" / "invoicekey" / "python"]))
    environment = {**bench.environment, "PYTHONPATH": path}
    bench.forget()
    bench.vtex.latency = VTEX_SECONDS
    done = subprocess.run(command, cwd=BUILD, env=environment, capture_output=True, text=True, check=False)
    bench.vtex.latency = 0
    stuck = sum(line.startswith("DAY-") for line in done.stdout.splitlines())
    if done.returncode != FAILING or stuck != STUCK:
        raise SystemExit(f"the backfill ended with {done.returncode} and {stuck} stuck orders: {done.stderr[-2000:]}")
    times = [call.at for call in bench.vtex.calls()]
    seconds = (times[-1] - times[0]).total_seconds()
    a_minute = len(times) / seconds * 60
    return at_least(
        f"backfill of {LISTED:,} orders, VTEX in {VTEX_SECONDS * 1000:.0f} ms, --pace {pace}: achieved of allowed",
        f"{len(times):,} calls in {seconds:.0f} s: {a_minute:,.0f} / {pace:,} a minute",
        a_minute / pace * 100,
        95,
        " %",
    )


def open_failures(bench: Bench) -> None:
    """Fill the ledger with failures that are open and due, and VTEX with their orders; then have some mended."""
    items = opened(bench, _owners_then_failing())
    for number in range(MENDED):
        bench.vtex.edit_invoice(InvoiceEdit(f"OPEN-{number}", ACCOUNT, invoice_key=orders.key_of(number)))
    http("PUT", bench.aws_port, "/ledger", json.dumps(items).encode())


def opened(bench: Bench, documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put orders into VTEX, and return what the product's own check writes of them to the ledger, all of it due."""
    dynamodb = LedgerTable()
    settings = CheckerSettings.read(bench.environment)
    ledger = Ledger(dynamodb.table)
    vtex = Vtex(
        settings.vtex_base_url,
        credentials=lambda _: Credentials("key", "token"),
        limiter=RateLimiter(1_000_000),
        transport=httpx.MockTransport(lambda request: _read_order(bench.vtex, request)),
    )
    check = OrderCheck(vtex, ledger, Rules(settings.policy, settings.style, settings.lease))
    opened_at = datetime.now(UTC) - OPENED_BEFORE
    trigger = Trigger(opened_at, events=(), events_of_hook=(), says_invoiced=False)
    for order in documents:
        bench.vtex.put_order(order)
        clock = Clock(seconds_left=lambda: 30.0, now=lambda: opened_at)
        finding = check.check(Entry(OrderRef(ACCOUNT, order["orderId"])), trigger, clock)
        if finding.report:
            ledger.note_recorded(finding.report)
            ledger.note_alerted(finding.report)
    return dynamodb.dump()


def queue(bench: Bench) -> Queueing:
    """Have RecheckFailuresFunction queue what is due."""
    folder, limit = BUILD / "RecheckFailuresFunction", {"AWS_LAMBDA_FUNCTION_TIMEOUT": str(LAMBDA_SECONDS)}
    with bench.running(Contender("recheck", folder, "recheck_failures.handler", {}, limit)) as running:
        bench.aws_calls()
        milliseconds, answer = running.invoke({})
        cpu_seconds = running.cpu_seconds()
    if answer["queued"] != OPEN:
        raise SystemExit(f"not all was queued: {answer}")
    records = json.loads(http("GET", bench.aws_port, "/messages"))
    return Queueing(milliseconds / 1000, cpu_seconds, bench.aws_calls(), records)


def work_off(bench: Bench, records: Sequence[dict[str, Any]]) -> float:
    """Hand records to two checkers, ten at a time, until all are done; what they returned to the queue comes again."""
    left = deque(records)
    began = time.monotonic()
    with ExitStack() as stack, ThreadPoolExecutor(ENVIRONMENTS) as sources:
        environments = [stack.enter_context(bench.running(checker())) for _ in range(ENVIRONMENTS)]
        list(sources.map(lambda running: _feed(running, left), environments))
    return time.monotonic() - began


def most_in_a_minute(times: Sequence[datetime]) -> int:
    """Return how many calls came in the busiest minute, wherever it begins."""
    most, window = 0, deque[datetime]()
    for at in sorted(times):
        window.append(at)
        while at - window[0] >= timedelta(minutes=1):
            window.popleft()
        most = max(most, len(window))
    return most


def _feed(running: Running, left: "deque[dict[str, Any]]") -> None:
    while batch := list(_taken(left, BATCH)):
        _, answer = running.invoke({"Records": batch}, may_leave_some=True)
        back = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        left.extend(record for record in batch if record["messageId"] in back)


def _taken(left: "deque[dict[str, Any]]", most: int) -> Iterator[dict[str, Any]]:
    for _ in range(most):
        try:
            yield left.popleft()
        except IndexError:
            return


def _owners_then_failing() -> Iterator[dict[str, Any]]:
    for number in range(REUSED):
        yield orders.good(f"OWNER-{number}", OPEN + number)
    keys: Iterator[str | None] = iter([
        *[None] * MISSING,
        *(f"NFe {orders.key_of(number)}" for number in range(MISSING, MISSING + MALFORMED)),
        *(_with_wrong_digit(orders.key_of(OPEN + REUSED + number)) for number in range(WRONG_DIGIT)),
        *(orders.key_of(OPEN + number) for number in range(REUSED)),
    ])  # fmt: skip
    for number, key in enumerate(keys):
        yield orders.with_key(f"OPEN-{number}", number, key)


def _with_wrong_digit(key: str) -> str:
    return key[:-1] + str((int(key[-1]) + 1) % 10)


def _read_order(vtex: VtexSimulator, request: httpx.Request) -> httpx.Response:
    document = vtex.document(request.url.path.rpartition("/")[2], ACCOUNT)
    return httpx.Response(200, content=document, headers={"Content-Type": "application/json"})


def _orders(bench: Bench) -> Iterator[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(http("GET", bench.aws_port, "/ledger"))
    return (item for item in items if item["pk"]["S"].startswith("order#"))
