"""What a month costs, row by row: from the template, and from what a shop of 10,000 invoiced orders a month does.

    PYTHONPATH=layers/invoicekey/python .venv/bin/python -m benchmarks.cost

A test holds docs/costs.md to it. List prices of us-east-1 in 2026, in dollars; no free tier is used, but that a
dashboard of up to fifty metrics costs nothing: an account has three of these, for good.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from invoicekey.rules.prefixes import READ_ONE_IN
from invoicekey.runtime.telemetry import METRICS, MORE_METRICS, SHARES

HOURS = 730
"""Of a month."""
MILLION = 1_000_000

GB_SECOND, CALL = 0.0000133334, 0.20 / MILLION
SQS_REQUEST, API_CALL = 0.40 / MILLION, 1.00 / MILLION
WRITE, READ, GB_KEPT, GB_BACKED_UP = 0.625 / MILLION, 0.125 / MILLION, 0.25, 0.20
SECRET, SECRET_READ, KEY = 0.40, 0.05 / 10_000, 1.00
EMAIL, LOG_GB, SCANNED_GB = 2.00 / 100_000, 0.50, 0.005
ALARM_METRIC, COMPOSITE, METRIC, DASHBOARD = 0.10, 0.50, 0.30, 3.00
FREE_DASHBOARD = 50
"""Metrics that a dashboard of the free ones may have."""

CALLS = {"ReceiveHookFunction": 10_000, "CheckInvoiceFunction": 23_000, "DeskFunction": 3_000}
"""Of the functions that no schedule calls; the checker's are hook, feed and re-checks, the desk's ten a failure."""
API_CALLS = CALLS["ReceiveHookFunction"] + CALLS["DeskFunction"]
SECONDS = {"ReceiveHookFunction": 0.25, "CheckInvoiceFunction": 0.6, "DeskFunction": 0.6}
"""Billed by call, cold starts among them; of a scheduled one half a second."""
REMINDERS = 22
SQS_REQUESTS = 700_000
WRITES, READS, LEDGER_GB = 117_000, 163_700, 0.3
EMAILS, LOGS_GB, LOOKED_THROUGH_GB = 650, 0.14, 2.0
SECRETS, SECRET_READS = 3, 38_000
TROUBLE_HOURS = 10
"""In which a metric that is written in trouble alone occurs in a month that is not the best."""
ALWAYS = SHARES | {"hook_received"}
"""Metrics that occur in every ordinary hour."""


SNAPSHOT_GB_SECOND, RESTORED_GB = 0.0000015046, 0.0001397998
"""SnapStart for Python: for each version as long as it can be invoked, and for each start."""
COLD_SECONDS = {"ReceiveHookFunction": 1.0, "CheckInvoiceFunction": 0.9, "DeskFunction": 0.7}
"""INIT and the first answer at the function's memory, computed by `make bench`: more than SnapStart could save."""
CNOVA_ORDERS = 10_000
VTEX_SECONDS, CHECKER_GB = 0.2, 1.0
"""What the reading of an order takes, with an order a batch, and the memory that waits for it."""


def saved_by_prefix(cnova_share: float) -> tuple[int, int, float]:
    """Return the invoiced orders of a month, those of them that are read, and the dollars that the others save.

    With prefixes that are known already, and another marketplace's orders with an id that tells so.
    """
    orders = round(CNOVA_ORDERS / cnova_share)
    passed_over = round((orders - CNOVA_ORDERS) * (1 - 1 / READ_ONE_IN))
    return orders, orders - passed_over, passed_over * (VTEX_SECONDS * CHECKER_GB * GB_SECOND + WRITE)


def snapstart(template: Mapping[str, Any], function: str) -> tuple[float, float, float]:
    """Return the dollars of a month for one version's snapshot, for its starts, and for what these would cost without.

    With every call of the function a cold start, which is the most that SnapStart can have to do.
    """
    gigabytes = _of_type(template, "AWS::Serverless::Function")[function]["MemorySize"] / 1024
    kept = HOURS * 3600 * gigabytes * SNAPSHOT_GB_SECOND
    calls = CALLS[function]
    return kept, calls * gigabytes * RESTORED_GB, calls * COLD_SECONDS[function] * gigabytes * GB_SECOND


@dataclass(frozen=True, slots=True)
class Row:
    """What comes together in a month, and what it costs."""

    what: str
    volume: str
    dollars: float


def rows(template: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows, as docs/costs.md has them."""
    calls = dict(calls_of(template))
    gb_seconds = sum(_gb_seconds(template, name, number) for name, number in calls.items())
    yield Row(
        "Lambda",
        f"{sum(calls.values()):,.0f} calls, {gb_seconds:,.0f} GB-seconds",
        gb_seconds * GB_SECOND + sum(calls.values()) * CALL,
    )
    yield Row("SQS", f"{SQS_REQUESTS:,} requests", SQS_REQUESTS * SQS_REQUEST)
    yield Row(
        "HTTP API, DynamoDB, SNS, logs",
        f"{API_CALLS:,} calls; {WRITES:,} writes and {READS:,} reads, {LEDGER_GB} GB; "
        f"{EMAILS} e-mails; {LOGS_GB} GB, and {LOOKED_THROUGH_GB:g} GB looked through",
        API_CALLS * API_CALL
        + WRITES * WRITE
        + READS * READ
        + LEDGER_GB * (GB_KEPT + GB_BACKED_UP)
        + EMAILS * EMAIL
        + LOGS_GB * LOG_GB
        + LOOKED_THROUGH_GB * SCANNED_GB,
    )
    yield Row(
        "Secrets Manager", f"{SECRETS} secrets, {SECRET_READS:,} reads", SECRETS * SECRET + SECRET_READS * SECRET_READ
    )
    yield Row("KMS", "one key", KEY)
    metrics, composites = alarm_metrics(template), len(_of_type(template, "AWS::CloudWatch::CompositeAlarm"))
    alarms = len(_of_type(template, "AWS::CloudWatch::Alarm"))
    yield Row(
        "alarms",
        f"{alarms} over {metrics} metrics, and {composites} composite",
        metrics * ALARM_METRIC + composites * COMPOSITE,
    )
    in_trouble = METRICS - ALWAYS
    yield Row(
        "custom metrics",
        f"{len(ALWAYS)} in every hour, {len(in_trouble)} in {TROUBLE_HOURS} hours of trouble each",
        METRIC * (len(ALWAYS) + len(in_trouble) * TROUBLE_HOURS / HOURS),
    )
    shown = dashboard_metrics(template)
    yield Row("dashboard", f"{shown} metrics", 0.0 if shown <= FREE_DASHBOARD else DASHBOARD)


def calls_of(template: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield how often each function is called in a month: what a schedule calls by the schedule's default."""
    for name, function in _of_type(template, "AWS::Serverless::Function").items():
        events = function.get("Events", {}).values()
        schedules = [one["Properties"]["ScheduleExpression"] for one in events if one["Type"] == "ScheduleV2"]
        yield name, CALLS[name] if name in CALLS else sum(_times(template, schedule) for schedule in schedules)


def _times(template: Mapping[str, Any], schedule: Any) -> float:
    expression = str(template["Parameters"][_name(schedule)]["Default"])
    if rate := re.fullmatch(r"rate\((\d+) (minute|hour)s?\)", expression):
        return HOURS * 60 / (int(rate[1]) * {"minute": 1, "hour": 60}[rate[2]])
    return REMINDERS


def _gb_seconds(template: Mapping[str, Any], function: str, calls: float) -> float:
    memory = _of_type(template, "AWS::Serverless::Function")[function]["MemorySize"]
    return float(calls * SECONDS.get(function, 0.5) * memory / 1024)


def alarm_metrics(template: Mapping[str, Any]) -> int:
    """Count the metrics that alarms are billed by: of metric math each that it reads, though two may be one."""
    alarms = _of_type(template, "AWS::CloudWatch::Alarm").values()
    return sum(sum("MetricStat" in one for one in alarm["Metrics"]) if "Metrics" in alarm else 1 for alarm in alarms)


def dashboard_metrics(template: Mapping[str, Any]) -> int:
    """Count the metrics that the dashboard shows."""
    (dashboard,) = _of_type(template, "AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(_name(dashboard["DashboardBody"]))["widgets"]
    return sum(len(one["properties"].get("metrics", ())) for one in widgets)


def _of_type(template: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {name: one["Properties"] for name, one in template["Resources"].items() if one["Type"] == kind}


def _name(value: Any) -> str:
    """Return what stands behind a !Ref or a !Sub."""
    return str(next(iter(value.values())))


def _template() -> dict[str, Any]:
    class Loader(yaml.SafeLoader):
        """YAML in which a tag becomes an object with what it stands before."""

    def tagged(loader: Any, tag: str, node: Any) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            return {tag: loader.construct_scalar(node)}
        if isinstance(node, yaml.SequenceNode):
            return {tag: loader.construct_sequence(node, deep=True)}
        return {tag: loader.construct_mapping(node, deep=True)}

    Loader.add_multi_constructor("!", tagged)
    written = (Path(__file__).resolve().parent.parent / "template.yaml").read_text(encoding="utf-8")
    parsed: dict[str, Any] = yaml.load(written, Loader)  # noqa: S506 - a SafeLoader
    return parsed


if __name__ == "__main__":
    table = list(rows(_template()))
    for row in table:
        print(f"{row.what:32}{row.dollars:6.2f}  {row.volume}")
    together = sum(row.dollars for row in table)
    print(f"{'together':32}{together:6.2f}  {together + DASHBOARD:.2f} where the dashboard is not one of the free ones")
    for share in (0.1, 0.5):
        orders, read, saved = saved_by_prefix(share)
        print(f"{f'prefixes, {share:.0%} CNova':32}{-saved:6.2f}  {read:,} of {orders:,} orders are read")
    print(f"{'Monitoring=full':32}{METRIC * len(MORE_METRICS):6.2f}  more, at the most")
