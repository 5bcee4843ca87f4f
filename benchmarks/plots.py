"""Line plots as SVG, for the docs: a library that draws them weighs more than all that is drawn.

A picture has a white ground of its own, so that it reads on a dark page too. Each line is named at its end, and has a
mark of its own besides its colour.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle, pairwise

WIDTH, HEIGHT = 720, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 56, 48
_COLOURS = ("#0072b2", "#d55e00", "#117755", "#7a4a92", "#555555")
"""Okabe and Ito's, darkened where they are text: they stay apart for who sees no red or green."""
_MARKS = ("circle", "square", "triangle", "circle", "square")
_MOST_TICKS = 5
_APART = 14
_MANY, _MILLION = 10_000, 1_000_000

type Line = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Plot:
    """What is drawn: lines by name, each of points (x, y) with x rising."""

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, Line]
    is_log: bool = False
    """Whether x grows by tens."""
    has_marks: bool = True

    def svg(self) -> str:
        """Return the picture."""
        most = max(y for line in self.lines.values() for _, y in line) or 1.0
        ticks = rounded_ticks(most)
        body = [*self._frame(ticks), *self._x_axis()]
        names = _spread([self._y(line[-1][1], ticks[-1]) for line in self.lines.values()])
        styles = zip(cycle(_COLOURS), cycle(_MARKS), strict=False)
        for (name, line), (colour, mark), at in zip(self.lines.items(), styles, names, strict=False):
            body += self._line(name, [(self._x(x), self._y(y, ticks[-1])) for x, y in line], colour, mark, at)
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(self.title)}" font-family="system-ui, sans-serif" font-size="12">'
        )
        ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        return "\n".join([opening, ground, *body, "</svg>"]) + "\n"

    def _frame(self, ticks: Sequence[float]) -> list[str]:
        lines = [_text(16, 22, self.title, size=14, weight=600)]
        for tick in ticks:
            y = self._y(tick, ticks[-1])
            lines.append(f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" stroke="#ddd"/>')
            lines.append(_text(_LEFT - 8, y + 4, _shown(tick), anchor="end"))
        lines.append(_text(_LEFT, _TOP - 10, self.y_label, colour="#555"))
        lines.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 10, self.x_label, anchor="middle", colour="#555"))
        return lines

    def _x_axis(self) -> list[str]:
        seen = sorted({x for line in self.lines.values() for x, _ in line})
        if len(seen) > _MOST_TICKS + 1:
            seen = [tick for tick in rounded_ticks(seen[-1]) if seen[0] <= tick <= seen[-1]]
        return [_text(self._x(x), HEIGHT - _BOTTOM + 18, _shown(x), anchor="middle") for x in seen]

    def _line(self, name: str, points: Line, colour: str, mark: str, label_at: float) -> list[str]:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        drawn = [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
        if self.has_marks:
            drawn += [_mark(mark, x, y, colour) for x, y in points]
        return [*drawn, _text(WIDTH - _RIGHT + 10, label_at + 4, name, colour=colour, weight=600)]

    def _x(self, x: float) -> float:
        seen = [x for line in self.lines.values() for x, _ in line]
        low, high, at = (math.log10(max(value, 1)) if self.is_log else value for value in (min(seen), max(seen), x))
        return _LEFT + (at - low) / ((high - low) or 1) * (WIDTH - _LEFT - _RIGHT)

    def _y(self, y: float, top: float) -> float:
        return HEIGHT - _BOTTOM - y / top * (HEIGHT - _TOP - _BOTTOM)


def rounded_ticks(most: float) -> list[float]:
    """Return a few round numbers from 0 to `most` or just above."""
    rough = most / _MOST_TICKS
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(step * magnitude for step in (1, 2, 2.5, 5, 10) if step * magnitude >= rough)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def _spread(heights: Sequence[float]) -> list[float]:
    """Return the heights, moved apart where two names would lie on each other, and up where one would lie below."""
    moved = list(heights)
    order = sorted(range(len(moved)), key=lambda number: moved[number])
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + _APART)
    lowest: float = HEIGHT - _BOTTOM
    for number in reversed(order):
        moved[number] = min(moved[number], lowest)
        lowest = moved[number] - _APART
    return moved


def _mark(kind: str, x: float, y: float, colour: str) -> str:
    match kind:
        case "circle":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
        case "square":
            return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}"/>'
        case _:
            return f'<path d="M{x:.1f} {y - 5:.1f}l5 9h-10z" fill="{colour}"/>'


def _text(x: float, y: float, text: str, **style: object) -> str:
    names = {"anchor": "text-anchor", "size": "font-size", "weight": "font-weight", "colour": "fill"}
    attributes = "".join(f' {names[name]}="{value}"' for name, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(text)}</text>'


def _shown(number: float) -> str:
    if number >= _MILLION:
        return f"{number / _MILLION:g} M"
    if number >= _MANY:
        return f"{number / 1000:g} k"
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"
