"""Bar charts for the desk's pages: where each bar stands, in a drawing of 336 by 168 units.

A template draws them (templates/desk/chart.svg.j2); colours are the page's style. A library that draws charts puts a
style or a script of its own into the drawing, which the page's policy forbids, and weighs more than the page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

WIDTH, HEIGHT = 336, 168
_TOP, _BOTTOM, _RIGHT = 8, 22, 12
"""Room around the bars, for the labels below: the last one is wider than its bars."""
_DIGIT, _BESIDE_DIGITS = 7, 12
"""Room at the left, for the numbers of the lines."""
_MOST_LINES, _MOST_LABELS = 4, 6
_GAP = 0.25
"""Of a group's width, between it and the next."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A number."""

    series: int
    """Which series it belongs to, from 0 on."""
    x: float
    y: float
    width: float
    height: float
    told: str
    """What it says, for who points at it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across, or a label below: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of one series or more, side by side."""

    bars: Sequence[Bar]
    lines: Sequence[Mark]
    """From the bottom up: the first one is the base."""
    labels: Sequence[Mark]
    left: int
    """Where the lines begin."""
    width: int = WIDTH
    height: int = HEIGHT


def bars(labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]]) -> Chart:
    """Return a chart of named series; each has a number of at least 0 for each label. The last label is shown."""
    highest = max((max(numbers, default=0) for _, numbers in series), default=0)
    step = _step(highest)
    steps = max(1, -(-highest // step))
    left = _BESIDE_DIGITS + _DIGIT * len(str(step * steps))
    room, group = HEIGHT - _TOP - _BOTTOM, (WIDTH - left - _RIGHT) / max(1, len(labels))
    return Chart(
        bars=list(_bars(labels, series, left, room / (step * steps), group)),
        lines=[Mark(_round(_TOP + room * (1 - n / steps)), f"{step * n}") for n in range(steps + 1)],
        labels=[
            Mark(_round(left + group * (number + 0.5)), label)
            for number, label in enumerate(labels)
            if not (len(labels) - 1 - number) % -(-len(labels) // _MOST_LABELS)
        ],
        left=left,
    )


def _bars(
    labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], left: int, unit: float, group: float
) -> Iterator[Bar]:
    width = group * (1 - _GAP) / max(1, len(series))
    for number, label in enumerate(labels):
        for place, (name, numbers) in enumerate(series):
            height = numbers[number] * unit
            x, y = left + group * (number + _GAP / 2) + width * place, HEIGHT - _BOTTOM - height
            told = f"{label}: {name} {numbers[number]}"
            yield Bar(place, _round(x), _round(y), _round(width), _round(height), told)


def _step(highest: int) -> int:
    """Return the distance between two lines: 1, 2 or 5, with as many zeros as it takes."""
    step, factors = 1, cycle((2, 2.5, 2))
    while step * _MOST_LINES < highest:
        step = int(step * next(factors))
    return step


def _round(number: float) -> float:
    return round(number, 1)
