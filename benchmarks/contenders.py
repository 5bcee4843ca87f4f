"""The product and its peers as contenders: what each is invoked with, and the orders that they meet.

The peers stand in benchmarks/peers: one function that does everything (webhook.py), the usual worker of a queue
(worker.py), and the HTTP API straight to the queue of the product's own checker (direct.yaml), which needs no handler:
what it takes is the checker's.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks import orders
from benchmarks.functions import checker, hook_event
from benchmarks.runtime import ACCOUNT, BUILD, PEERS, Bench, Contender, Running, child, stub_environment, usual
from local.processes import free_ports
from local.vtex_simulator import VtexSimulator

BATCH = 10
NO_QUOTA = {"ALERT_BURST": "1000"}
"""Alerts are one a failing order, as the peers'."""
NO_PACE = {"VTEX_REQUESTS_PER_MINUTE": "600000"}
"""VTEX is asked as fast as the peers ask it: they keep no pace."""
NAMES = ("webhook", "worker", "product")
"""Those that read orders and tell; the product's receiver stands before its checker."""


def contenders() -> dict[str, Contender]:
    """Return those that have a handler, by name."""
    return {one.name: one for one in (webhook(), worker(), product(), receiver())}


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
    return replace(checker(**NO_QUOTA, **NO_PACE), name="product")


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
    return {"messageId": f"m{number}", "receiptHandle": f"r{number}", "body": body, "attributes": attributes}


@contextmanager
def faulty(vtex: VtexSimulator) -> Iterator[Bench]:
    """Start an AWS that can fail, beside a VTEX with the orders of this module."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "benchmarks.faulty_aws", str(port)]
    with child(command, port, BUILD / "faulty.log", env=stub_environment()):
        put_orders(vtex)
        yield Bench(port, vtex)


def put_orders(vtex: VtexSimulator) -> None:
    """Let VTEX have ten orders of each kind."""
    for number in range(BATCH):
        vtex.put_order(orders.good(f"OK-{number}", number))
        vtex.put_order(orders.with_key(f"BAD-{number}", BATCH + number, None))
        other: dict[str, Any] = {
            "affiliateId": "MLB",
            "customData": None,
            "marketplace": {},
            "marketplaceServicesEndpoint": None,
        }
        for kind in ("OTHER", "MLB"):
            vtex.put_order(orders.with_key(f"{kind}-{number}", 2 * BATCH + number, None) | other)


def named(kind: str, number: int = BATCH) -> list[str]:
    """Name so many orders of a kind."""
    return [f"{kind}-{one}" for one in range(number)]


def fresh(bench: Bench, running: Running, contender: Contender, order_ids: Sequence[str]) -> float:
    """Return the milliseconds that orders take that nobody knows."""
    bench.forget()
    return sum(running.invoke(event)[0] for event in events_of(contender, *order_ids))
