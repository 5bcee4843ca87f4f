"""What a function's output tells of figures: the line at its end, and the metrics that CloudWatch makes of it."""

import io
import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from invoicekey.runtime.telemetry import LINE, logger

STACK = "invoicekey"


@dataclass(frozen=True)
class Metric:
    """One metric, as CloudWatch reads it out of a line in its embedded format."""

    namespace: str
    name: str
    dimensions: dict[str, str]
    unit: str
    values: tuple[float, ...]


class _Stdout(io.TextIOBase):
    """The standard output of the moment."""

    def write(self, text: str) -> int:
        """Write there."""
        return sys.stdout.write(text)


def hear_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log go where the test captures the output: its handler keeps the one that there was at the import."""
    monkeypatch.setattr(logger.registered_handler, "stream", _Stdout())


def lines_of_figures(out: str) -> list[dict[str, Any]]:
    """Return the lines of figures in what was written to the standard output."""
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("message") == LINE]


def metrics_in(out: str) -> list[Metric]:
    """Return the metrics in what was written: as the format's specification says, by the members that `_aws` names."""
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return [
        Metric(
            directive["Namespace"],
            metric["Name"],
            {name: line[name] for name in dimensions},
            metric["Unit"],
            tuple(line[metric["Name"]]),
        )
        for line in lines
        if "_aws" in line
        for directive in line["_aws"]["CloudWatchMetrics"]
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
    ]
