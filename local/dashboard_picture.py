"""Draws the dashboard as template.yaml defines it, with sample data of one busy afternoon: docs/pictures/dashboard.svg.

CloudWatch draws the real one; this one is for who wants to see it before there is a stack.
"""

import json
import math
import random
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "pictures" / "dashboard.svg"
COLUMN, ROW, MARGIN = 55, 34, 8
POINTS = 48
TWO_COLUMNS = 6
"""So many lines have a legend in two columns; more need three."""
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22")
LEVELS: Mapping[str, Mapping[str, float]] = {
    "1 Hooks": {"received": 42, "calls": 42, "refused": 0.1},
    "2 Queue: waiting and in flight": {"waiting": 3, "in flight": 8},
    "3 Checks": {"orders checked": 42, "CNova's": 15},
    "4 Sent": {"records": 1.3, "alerts, digests, reminders": 1.2},
    "Hooks refused, by reason": {"wrong_secret": 0.1},
    "Oldest check, in seconds": {"oldest in the queue": 45},
    "Checks by outcome": {"ok": 11, "failing": 1.2, "waiting": 2, "canceled": 0.4, "other_marketplace": 27},
    "Returned to the queue, and why": {"trouble": 0.5, "rate_limit_of_vtex": 0.6},
    "VTEX calls by status": {"ok": 40, "refused": 0.2, "too_many": 0.3},
    "Problems found, by code": {"missing": 0.9, "malformed": 0.5, "wrong_model": 0.1, "tracking_missing": 1.1},
    "Runs on schedules": {"re-check": 12, "feed": 12, "guard": 1, "digest": 4},
    "The feed, behind the hook": {"events of the feed": 38, "only the feed knew": 0.4},
    "Configuration at VTEX": {"registered again": 0.05},
    "Deferred, and sent together": {"deferred": 0.6, "digests": 0.15},
}
"""How high a line runs on an ordinary afternoon, by widget and label; any other stays at nought."""
STEADY = ("Runs on schedules",)
"""What these show is the same each time."""


def widgets() -> list[dict[str, Any]]:
    """Return the widgets of the dashboard in template.yaml."""
    template = (ROOT / "template.yaml").read_text()
    body = template.split("DashboardBody: !Sub |\n", 1)[1].split("\n\n", 1)[0]
    found: list[dict[str, Any]] = json.loads(re.sub(r"\$\{[^}]*\}", "sample", body))["widgets"]
    return found


def draw() -> str:
    """Return the picture as SVG."""
    shown = widgets()
    width = 24 * COLUMN + 2 * MARGIN
    height = max(widget["y"] + widget["height"] for widget in shown) * ROW + 2 * MARGIN
    parts = "".join(_widget(widget) for widget in shown)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="10"><rect width="100%" height="100%" fill="#f2f3f3"/>'
        f"{parts}</svg>\n"
    )


def _widget(widget: dict[str, Any]) -> str:
    left, top = MARGIN + widget["x"] * COLUMN, MARGIN + widget["y"] * ROW
    width, height = widget["width"] * COLUMN - 6, widget["height"] * ROW - 6
    series = {label: _sample(widget["properties"]["title"], label) for label in _labels(widget)}
    columns = 3 if len(series) > TWO_COLUMNS else 2
    rows = math.ceil(len(series) / columns)
    chart_top, chart_height = top + 26, height - 40 - 12 * rows
    top_value = _round_top(max(max(values) for values in series.values()))
    parts = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="3" fill="#fff" stroke="#d5dbdb"/>',
        f'<text x="{left + 8}" y="{top + 17}" font-size="12" font-weight="bold">'
        f"{escape(widget['properties']['title'])}</text>",
    ]
    for share in (0.0, 0.5, 1.0):
        y = chart_top + chart_height * (1 - share)
        parts.append(f'<line x1="{left + 34}" x2="{left + width - 8}" y1="{y}" y2="{y}" stroke="#eaeded"/>')
        parts.append(f'<text x="{left + 30}" y="{y + 3}" text-anchor="end" fill="#687078">{top_value * share:g}</text>')
    for number, (label, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        step = (width - 42) / (POINTS - 1)
        points = " ".join(
            f"{left + 34 + index * step:.1f},{chart_top + chart_height * (1 - value / top_value):.1f}"
            for index, value in enumerate(values)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
        x, y = (
            left + 10 + (number % columns) * (width - 16) / columns,
            top + height - 6 - 12 * (rows - 1 - number // columns),
        )
        parts.append(f'<rect x="{x}" y="{y - 8}" width="8" height="8" fill="{colour}"/>')
        parts.append(f'<text x="{x + 12}" y="{y}" fill="#16191f">{escape(label)}</text>')
    return "".join(parts)


def _labels(widget: dict[str, Any]) -> Iterator[str]:
    properties = widget["properties"]
    if widget["type"] == "log":
        yield from re.findall(r" as (\w+)", properties["query"])
    else:
        yield from (metric[-1]["label"] for metric in properties["metrics"])


def _sample(title: str, label: str) -> list[float]:
    level = LEVELS.get(title, {}).get(label, 0.0)
    source = random.Random(title)  # the same for all lines of a widget: what is received is queued
    means = [level * (0.6 + 0.4 * math.sin(index / 9)) for index in range(POINTS)]
    if title in STEADY:
        return [level] * POINTS
    return [float(source.binomialvariate(1000, mean / 1000)) for mean in means]


def _round_top(highest: float) -> float:
    """Return the next of 1, 2, 4, 6, 8, 10, 20 and so on, up or down: half of it is round too."""
    scale = 10.0 ** math.floor(math.log10(highest or 1))
    return next(scale * digit for digit in (1, 2, 4, 6, 8, 10) if scale * digit >= highest)


if __name__ == "__main__":
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(draw())
    print(f"written: {PICTURE.relative_to(ROOT)}")
