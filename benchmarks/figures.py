"""What is measured, beside its limit: the table that `make bench` prints and writes to docs/figures.md."""

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from local.stack import ROOT

READ, WRITE = "ledger read", "ledger write"
_KINDS = {READ: ("BatchGetItem", "Query"), WRITE: ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")}
FILE, PROOF = ROOT / "docs" / "figures.md", ROOT / "docs" / "proof.md"
PICTURES = "pictures"
"""Beside the pages."""
_VERSIONS = ("boto3", "aws-lambda-powertools", "httpx", "pydantic", "awslambdaric")
_INTRO = """\
Written by `make bench`: medians, contenders in turns, under AWS's runtime interface emulator, on a machine with \
{cores} cores. AWS is a stub, VTEX the demo's simulator; both answer at once where no row says otherwise. \
VtexRequestsPerMinute is 6000, RetryBaseSeconds 1; everything else is the template's default unless a row says \
otherwise. One part alone: `make bench PARTS=recheck` (of {parts}); that prints, and leaves these rows as they are. \
The parts side, memory and load write their own sections, below and in [proof](proof.md#load)."""


@dataclass(frozen=True)
class Figure:
    """One row: what was looked at, what was read off, what that comes to, and the limit that it is held against."""

    what: str
    measured: str
    figure: str
    limit: str
    is_met: bool


@dataclass(frozen=True)
class Section:
    """A part of a page that has tables and pictures of its own, above its figures."""

    title: str
    text: str
    figures: Sequence[Figure]
    pictures: Mapping[str, str] = field(default_factory=dict)
    """SVG by file name."""
    page: Path = FILE

    def markdown(self) -> str:
        """Return the section, with the machine that it was measured on."""
        figures = [table(self.figures)] if self.figures else []
        return "\n\n".join([f"## {self.title}", machine(), self.text, *figures]) + "\n"

    def write(self) -> None:
        """Put it into its page, in place of what it said before, and its pictures beside the page."""
        page = self.page.read_text(encoding="utf-8") if self.page.exists() else "# Proof\n"
        self.page.write_text(with_section(page, self.title, self.markdown()), encoding="utf-8")
        for name, svg in self.pictures.items():
            (self.page.parent / PICTURES / name).write_text(svg, encoding="utf-8")


def with_section(page: str, title: str, section: str) -> str:
    """Return a page with this section in place of the one of its title, or at its end."""
    before, _, rest = f"{page}\n".partition(f"\n## {title}\n")
    after = re.search(r"^## ", rest, re.MULTILINE)
    parts = [before.strip(), section.strip(), rest[after.start() :].strip() if after else ""]
    return "\n\n".join(part for part in parts if part) + "\n"


def machine() -> str:
    """Say what it is measured on, and how busy that was."""
    versions = ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
    return (
        f"Measured on {os.cpu_count()} cores ({platform.machine()}, {platform.system()}) under a load of "
        f"{os.getloadavg()[2]:.1f} over the last 15 minutes, with Python {platform.python_version()}, {versions}."
    )


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


def rows_of(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


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
