"""The desk: an order's page at a cold start beside the receiver, and warm on top of the ledger's read."""

import json
import statistics
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.figures import READ, Figure, at_most, calls
from benchmarks.functions import COLD_RUNS, WARM_CALLS, hook_event
from benchmarks.runtime import ACCOUNT, BUILD, Bench, Contender, Running, http
from invoicekey.ledger.entries import Entry, Ledger, Report
from invoicekey.ledger.failures import Episode, Shown
from invoicekey.messages.links import Links, Target
from invoicekey.rules.notification import OrderRef
from tests.fake_dynamodb import FakeDynamoDb

ORDER_ID = "VVJ-1-01"
KEY = "secret-of-the-benchmark"
NOTES = (
    "The desk's page is that of a failing order, from the event of the HTTP API to the answer. Warm, what its one "
    "read of the ledger takes is measured by a page that needs nothing else of it, and taken off: the page of an order "
    "that the ledger does not hold.",
)


def page_event(order_id: str = ORDER_ID) -> dict[str, Any]:
    """Return the opening of an order's link as the HTTP API hands it over."""
    token = Links("", [KEY]).token(Target(ACCOUNT, order_id))
    return {
        "version": "2.0",
        "rawQueryString": "",
        "pathParameters": {"token": token},
        "requestContext": {"requestId": "r", "http": {"method": "GET"}},
    }


def measure_page(bench: Bench) -> list[Figure]:
    """Measure them."""
    receiver = Contender("receiver", BUILD / "ReceiveHookFunction", "receive_hook.handler", hook_event())
    desk = Contender("desk", BUILD / "DeskFunction", "desk.handler", page_event())
    print(f"desk: cold starts, {COLD_RUNS} each, in turns", flush=True)
    cold = _cold(bench, [receiver, desk])
    print(f"desk: warm pages, {WARM_CALLS} each", flush=True)
    with bench.running(desk) as running:
        page, empty = _warm(running, page_event()), _warm(running, page_event("VVJ-2-01"))
        bench.aws_calls()
        running.invoke(desk.event)
        called = bench.aws_calls()
    return [
        at_most("desk's page cold, on top of the receiver", f"{cold['desk']:.0f} - {cold['receiver']:.0f} ms",
                cold["desk"] - cold["receiver"], 150, " ms"),
        at_most("desk's page warm, on top of the ledger's read", f"{page:.1f} - {empty:.1f} ms",
                page - empty, 50, " ms"),
        calls("a warm page of the desk", called, {READ: 1}),
    ]  # fmt: skip


def _cold(bench: Bench, contenders: list[Contender]) -> dict[str, float]:
    """Return the median milliseconds of cold starts, in turns; the first turn fills the machine's memory alone."""
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(COLD_RUNS + 1):
        for contender in contenders:
            _fill(bench)
            with bench.running(contender) as running:
                milliseconds, _ = running.invoke(contender.event)
            if turn:
                taken[contender.name].append(milliseconds)
    return {name: statistics.median(times) for name, times in taken.items()}


def _warm(running: Running, event: dict[str, Any]) -> float:
    running.invoke(event)
    return statistics.median(running.invoke(event)[0] for _ in range(WARM_CALLS))


def _fill(bench: Bench) -> None:
    """Let the ledger hold the order that fails."""
    dynamodb, now = FakeDynamoDb(), datetime.now(UTC)
    problem = {"code": "missing", "severity": "error", "invoice_number": "643797", "invoice_key": None,
               "suggested_key": None, "suggested_from": None, "message": "…"}  # fmt: skip
    record = {"data": {"problems": [problem], "marketplace_order_id": "1-01", "order_status": "invoiced"}}
    Ledger(dynamodb.table).write(
        Entry(
            OrderRef(ACCOUNT, ORDER_ID),
            first_seen_at=now,
            checked_at=now,
            outcome="failing",
            errors_reported="f" * 64,
            errors=(Shown("missing", "643797", has_suggestion=False),),
            opened_at=now,
            recheck_at=now + timedelta(hours=1),
            episodes=(Episode(now, ("missing",)),),
            report=Report(1, "invoicekey.order.failing.v1", json.dumps(record), None, now, recorded=True, alerted=True),
        )
    )
    bench.forget()
    http("PUT", bench.aws_port, "/ledger", json.dumps(list(dynamodb._items.values())).encode())
