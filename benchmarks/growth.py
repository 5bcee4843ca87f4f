"""How the product and its peers grow: with batch, order, problems, accounts, and with what lies open in the ledger."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import orders
from benchmarks.contenders import BATCH, NAMES, contenders, events_of, fresh, named, product
from benchmarks.faulty_aws import ACCOUNTS
from benchmarks.figures import PICTURES, rows_of
from benchmarks.plots import Line, Plot
from benchmarks.runtime import ACCOUNT, Bench, http

CALLS = 5
SIZES = (5_000, 50_000, 200_000, 1_000_000, 2_000_000)
COUNTS = (1, 2, 5, 10)
PROBLEMS = (1, 2, 5, 10, 20, 50)
OPEN = (0, 1_000, 10_000, 100_000)


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


@dataclass(frozen=True)
class Behind:
    """A batch of ten new orders over a ledger that holds so many open failures."""

    failures: int
    milliseconds: float
    reads: float
    units: float


def measure_growth(bench: Bench) -> list[Mapping[str, Line]]:
    """Measure, for each growth, each contender's median milliseconds step by step."""
    return [_grow(bench, one) for one in GROWTHS]


def _grow(bench: Bench, growth: Growth) -> Mapping[str, Line]:
    lines: dict[str, Line] = {}
    for name in NAMES:
        contender = contenders()[name]
        with bench.running(contender) as running:
            running.invoke(contender.event)
            line = []
            for step in growth.steps:
                ordered = growth.put(bench, step)
                bench.vtex.latency = growth.vtex_seconds
                taken = [fresh(bench, running, contender, ordered) for _ in range(CALLS)]
                bench.vtex.latency = 0
                line.append((float(step), statistics.median(taken[1:])))
            lines[name] = line
    return lines


def pictures(grown: Sequence[Mapping[str, Line]]) -> dict[str, str]:
    """Draw what was measured."""
    return {
        f"bench-{one.name}.svg": Plot(one.title, one.x_label, "milliseconds", lines, one.is_log).svg()
        for one, lines in zip(GROWTHS, grown, strict=True)
    }


def text(behind: Sequence[Behind]) -> str:
    """Return what is told of growth."""
    shown = "\n\n".join(f"![{one.title}]({PICTURES}/bench-{one.name}.svg)" for one in GROWTHS)
    header = ("open failures in the ledger", "ten new orders, ms", "reads a batch", "read units a batch")
    rows = [(f"{one.failures:,}", f"{one.milliseconds:.0f}", f"{one.reads:g}", f"{one.units:g}") for one in behind]
    return "\n\n".join(["### How each grows", shown, _BEHIND, rows_of(header, rows)])


def measure_open_failures(bench: Bench) -> list[Behind]:
    """Measure batches of ten new orders over a ledger that holds ever more open failures."""
    measured, number = list[Behind](), 0
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
            for _ in range(CALLS):
                number += BATCH
                fresh = range(number, number + BATCH)
                for one in fresh:
                    bench.vtex.put_order(orders.good(f"NEW-{one}", 1_000 + one))
                (event,) = events_of(product(), *(f"NEW-{one}" for one in fresh))
                taken.append(running.invoke(event)[0])
            reads = bench.aws_calls().get("BatchGetItem", 0) / CALLS
            units = json.loads(http("GET", bench.aws_port, "/units"))["read"] / CALLS
            measured.append(Behind(failures, statistics.median(taken), reads, units))
        bench.forget()
    return measured


def _open_failure(number: int) -> dict[str, Any]:
    at = f"2026-03-{number % 28 + 1:02}T12:00:00Z"
    of_it = {"pk": f"order#{ACCOUNT}#OPEN-{number}", "list": "recheck", "list_at": at, "failures": "open",
             "failures_at": at, "failure": "x" * 200}  # fmt: skip
    return {name: {"S": value} for name, value in of_it.items()}


_BEHIND = "Ten new orders, however much lies open in the ledger: the checker reads by key."
