"""Many accounts in one stack: how long a batch takes, and whether the simulation of a storm says what a run says.

    PYTHONPATH=layers/invoicekey/python .venv/bin/python -m benchmarks.many_accounts

measures anew how long batches take, which is what the simulation is made of, and writes it to service_times.json.
"""

import json
import platform
from collections.abc import Mapping
from pathlib import Path

from benchmarks import orders
from benchmarks.functions import VTEX_SECONDS, check_event, checker
from benchmarks.runtime import Bench, build, started

SERVICE_TIMES = Path(__file__).parent / "service_times.json"
SIZES = (1, 5, 10)
BATCHES = 60


def measure_service_times(bench: Bench) -> Mapping[str, object]:
    """Measure warm batches of new orders without fault at a slow VTEX, by how many orders they hold; milliseconds."""
    names = [f"OK-{number}" for number in range(max(SIZES))]
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
        SERVICE_TIMES.write_text(json.dumps(measure_service_times(bench)) + "\n", encoding="utf-8")
