"""What is measured, beside its limit: the table that `make bench` prints and writes to docs/figures.md."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from local.stack import ROOT

READ, WRITE = "ledger read", "ledger write"
_KINDS = {READ: ("BatchGetItem", "Query"), WRITE: ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")}
FILE = ROOT / "docs" / "figures.md"
_INTRO = """\
Written by `make bench`: medians, contenders in turns, under AWS's runtime interface emulator, on a machine with \
{cores} cores. AWS is a stub, VTEX the demo's simulator; both answer at once where no row says otherwise. \
VtexRequestsPerMinute is 6000, RetryBaseSeconds 1; everything else is the template's default unless a row says \
otherwise. One part alone: `make bench PARTS=recheck` (of {parts}); that prints, and leaves this file as it is."""


@dataclass(frozen=True)
class Figure:
    """One row: what was looked at, what was read off, what that comes to, and the limit that it is held against."""

    what: str
    measured: str
    figure: str
    limit: str
    is_met: bool


def at_most(what: str, measured: str, figure: float, limit: float, unit: str = "") -> Figure:
    """Return a figure that is to be no larger than its limit."""
    return Figure(what, measured, _shown(figure, unit), f"≤ {_limit(limit)}{unit}", figure <= limit)


def at_least(what: str, measured: str, figure: float, limit: float, unit: str = "") -> Figure:
    """Return a figure that is to be no smaller than its limit."""
    return Figure(what, measured, _shown(figure, unit), f"≥ {_limit(limit)}{unit}", figure >= limit)


def calls(what: str, counted: Mapping[str, int], limits: Mapping[str, int]) -> Figure:
    """Return how often each operation was called, held against limits by operation, or by READ or WRITE of them."""
    compared = {name: sum(counted.get(one, 0) for one in _KINDS.get(name, (name,))) for name in limits}
    is_met = all(compared[name] <= most for name, most in limits.items())
    return Figure(what, told(counted), told(compared), f"≤ {told(limits)}", is_met)


def told(counted: Mapping[str, int]) -> str:
    """Tell how often each operation was called."""
    return ", ".join(f"{count:,} {name}" for name, count in counted.items())


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| what | measured | figure | limit | |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {f.what} | {f.measured} | {f.figure} | {f.limit} | {'holds' if f.is_met else '**missed**'} |"
        for f in figures
    ]
    return "\n".join(lines)


def document(figures: Iterable[Figure], notes: Iterable[str], parts: Iterable[str]) -> str:
    """Return docs/figures.md."""
    intro = _INTRO.format(cores=os.cpu_count(), parts=", ".join(parts))
    explained = "\n".join(f"- {note}" for note in notes)
    return f"# Figures\n\n{intro}\n\n{table(figures)}\n\n## How to read it\n\n{explained}\n"


def _shown(figure: float, unit: str) -> str:
    if isinstance(figure, int):
        return f"{figure:,}{unit}"
    return f"{figure:.1f}{unit}" if unit else f"{figure:.2f}"


def _limit(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
