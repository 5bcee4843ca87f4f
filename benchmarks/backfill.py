"""Measures a backfill of 3,000 orders at the simulator, with 200 ms an answer: which share of its pace does it reach?

`python -m benchmarks.backfill` prints a line a pace; `measure` is for `make bench`. The simulator runs as a process of
its own, as VTEX does; the code is the command's (operations/backfilling.py), all but the ledger's claims.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any

from invoicekey.policy import Policy
from invoicekey.secrets import Credentials
from invoicekey.vtex import Pace, Vtex
from local.processes import LOOPBACK, free_ports, is_listening, stop
from local.stack import ROOT
from operations.backfilling import Backfill, transport

ORDERS = 3000
VTEX_SECONDS = 0.2
PACES = (600, 6000)
"""A tenth of VTEX's 6,000 requests a minute, which is the commands' share by default, and all of it."""
_ACCOUNT = "luxstore"
_BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
_END = datetime(2026, 11, 1, tzinfo=UTC)
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Figure:
    """What a run came to."""

    requests_per_minute: int
    """The pace that it was allowed."""
    orders: int
    requests: int
    """Orders and pages of the list."""
    seconds: float

    @property
    def share(self) -> float:
        """Return the share of the pace that it reached: 1 is all of it."""
        return self.requests / self.seconds * 60 / self.requests_per_minute

    def __str__(self) -> str:
        reached = self.requests / self.seconds * 60
        return (
            f"{self.orders:,} orders at {self.requests_per_minute:,} requests a minute: {self.seconds:.1f} s, "
            f"{reached:,.0f} a minute, {self.share:.1%} of the pace"
        )


def measure(requests_per_minute: int, orders: int = ORDERS, seconds: float = VTEX_SECONDS) -> Figure:
    """Run a backfill of so many orders against a VTEX that takes so many seconds an answer."""
    with _simulator() as url:
        for some in batched(range(orders), 500, strict=False):
            _control(url, "PUT", "orders", [_order(number, orders) for number in some])
        _control(url, "PUT", "latency", {"seconds": seconds})
        began = time.monotonic()
        number = _run(url, requests_per_minute)
        took = time.monotonic() - began
        asked = int(_control(url, "GET", f"requests?account={_ACCOUNT}")["count"])
    if number != orders:
        raise RuntimeError(f"the backfill read {number} of {orders} orders")
    return Figure(requests_per_minute, number, asked, took)


def _run(url: str, requests_per_minute: int) -> int:
    vtex = Vtex(
        url + "/{account}", lambda _: Credentials("key", "token"), Pace(requests_per_minute), transport=transport()
    )
    policy = Policy(affiliate_ids=frozenset({"vvj"}))
    with Backfill(_ACCOUNT, vtex, policy, lambda *_: {}, requests_per_minute=requests_per_minute) as backfill:
        return sum(1 for _ in backfill.read(backfill.pick(_BEGIN, _END).order_ids))


@contextmanager
def _simulator() -> Iterator[str]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "local.vtex_simulator", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while not is_listening(port):
            time.sleep(0.01)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        stop([process.pid])
        process.wait()


def _control(url: str, method: str, route: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with _open(urllib.request.Request(f"{url}/_simulator/{route}", data=data, method=method), timeout=60) as answer:
        return json.loads(answer.read())


def _order(number: int, of: int) -> dict[str, Any]:
    invoiced = (_BEGIN + (_END - _BEGIN) * number / of + timedelta(seconds=1)).isoformat()
    return {
        "orderId": f"VVJ-{number:06}-01",
        "hostname": _ACCOUNT,
        "status": "invoiced",
        "affiliateId": "VVJ",
        "creationDate": invoiced,
        "invoicedDate": invoiced,
        # As large as an order with some items is.
        "items": [{"name": "x" * 400, "price": number} for _ in range(5)],
        "packageAttachment": {"packages": [{"type": "Output", "invoiceNumber": str(number), "invoiceKey": None}]},
    }


def main() -> None:
    """Measure at each pace."""
    for pace in PACES:
        print(measure(pace), flush=True)


if __name__ == "__main__":
    main()
