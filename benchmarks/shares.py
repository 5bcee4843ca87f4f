"""The checker on the share of a core that its memory buys: how long, and what that costs.

Lambda gives a core to 1,769 MB, and of less its share: a quota in each period, as Linux' cgroups do it, which is what
is done here to the runtime emulator and all that it starts. That the period is 20 ms is an assumption. It needs root,
and cgroups that can be written; without them there is nothing to measure, and the page stays as it is. The figures are
of cgroups' first version; the second's files are written by their documentation, and were not tried.
"""

import os
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cost
from benchmarks.bills import COLD_SHARE, VTEX_SECONDS
from benchmarks.contenders import BATCH, faulty, fresh, named, product
from benchmarks.figures import Figure, Section, rows_of
from benchmarks.runtime import Bench, cores

MEMORIES = (512, 640, 768, 1_024, 1_769)
STARTS, CALLS = 7, 30
PERIOD = 20_000
"""Microseconds."""
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Took:
    """Milliseconds of the checker on one share of a core; medians."""

    cold: float
    """INIT and the first answer, VTEX at once."""
    one: float
    ten: float


def measure_shares(bench: Bench) -> list[Figure | Section]:
    """Measure the checker at several memories; nothing where this machine lets no quota be set."""
    if not _may_set_quotas():
        print(
            f"memory: left out, for no quota of CPU can be set in {_parent()}: root and cgroups are needed", flush=True
        )
        return []
    print(f"memory: {len(MEMORIES)} shares of a core, {STARTS} starts and {CALLS} batches each", flush=True)
    with faulty(bench.vtex) as aws:
        took = {memory: _took(aws, memory) for memory in MEMORIES}
    return [Section("Memory of the checker", f"{_TEXT}\n\n{_table(took)}", [])]


def _took(bench: Bench, memory: int) -> Took:
    cold = [_cold(bench, memory) for _ in range(STARTS)]
    with bench.running(product()) as running, _quota(running.emulator, memory):
        fresh(bench, running, product(), named("OK", 1))
        bench.vtex.latency = VTEX_SECONDS
        warm = {
            size: [fresh(bench, running, product(), named("OK", size)) for _ in range(CALLS + 1)][1:]
            for size in (1, BATCH)
        }
        bench.vtex.latency = 0
    return Took(statistics.median(cold), statistics.median(warm[1]), statistics.median(warm[BATCH]))


def _cold(bench: Bench, memory: int) -> float:
    with bench.running(product()) as running, _quota(running.emulator, memory):
        return fresh(bench, running, product(), named("OK", 1))


@contextmanager
def _quota(pid: int, memory: int) -> Iterator[None]:
    """Give a process, and what it starts from now on, the share of a core that so much memory buys."""
    group, quota = _parent() / f"invoicekey-bench-{os.getpid()}", int(PERIOD * cores(memory))
    group.mkdir()
    try:
        if _is_first_version():
            (group / "cpu.cfs_period_us").write_text(str(PERIOD), encoding="ascii")
            (group / "cpu.cfs_quota_us").write_text(str(quota), encoding="ascii")
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD}", encoding="ascii")
        (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
        yield
    finally:
        for left in (group / "cgroup.procs").read_text(encoding="ascii").split():
            (_parent() / "cgroup.procs").write_text(left, encoding="ascii")
        group.rmdir()


def _may_set_quotas() -> bool:
    if not os.access(_parent(), os.W_OK):
        return False
    return _is_first_version() or "cpu" in (_CGROUPS / "cgroup.subtree_control").read_text(encoding="ascii").split()


def _parent() -> Path:
    return _CGROUPS / "cpu" if _is_first_version() else _CGROUPS


def _is_first_version() -> bool:
    return (_CGROUPS / "cpu").is_dir()


def _table(took: Mapping[int, Took]) -> str:
    rows = [
        (
            f"{memory:,}", f"{cores(memory):.2f}", f"{of.cold:.0f}", f"{of.one:.0f}", f"{of.ten:.0f}",
            f"{_dollars(memory, of, of.one):.2f}", f"{_dollars(memory, of, of.ten, BATCH):.2f}",
        )
        for memory, of in took.items()
    ]  # fmt: skip
    header = ("MB", "of a core", "INIT and first answer, ms", "one order, ms", "ten orders, ms",
              "$ a million events, one by one", "ten by ten")  # fmt: skip
    return rows_of(header, rows)


def _dollars(memory: int, of: Took, milliseconds: float, orders: int = 1) -> float:
    """Return what the function costs for a million events."""
    seconds = (milliseconds + of.cold * COLD_SHARE) / 1_000
    return (seconds * memory / 1_024 * cost.GB_SECOND + cost.CALL) * cost.MILLION / orders


_TEXT = f"""\
Measured with a quota of CPU such as Lambda's memory buys, in periods of {PERIOD // 1000} ms (an assumption). VTEX \
takes {VTEX_SECONDS * 1000:.0f} ms, at a start nothing; every order is new and in order. One start in \
{1 / COLD_SHARE:.0f} invocations. It needs root, and is left out where no quota can be set."""
