"""What a month costs, row by row: from the template, and from what a shop of 10,000 invoiced orders a month does.

Of many accounts too, be they such shops or idle: `rows(template, Accounts(active=200, idle=800))`.

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
POLLS, SQS_REQUESTS = 657_000, 43_000
"""Those of Lambda's pollers that find nothing; all others, of an active account."""
WRITES, READS, LEDGER_GB = 117_000, 163_700, 0.3
EMAILS, LOGS_GB, LOOKED_THROUGH_GB = 650, 0.14, 2.0
SECRETS, SECRET_READS = 3, 38_000
ROUND_SECONDS = {"DrainFeedFunction": 0.015, "GuardHookFunction": 0.025, "SendDigestFunction": 0.02}
"""By which one more account makes a run longer, at the function's memory: `make bench PARTS=rounds`; the digest reads
two items of each, one after the other, at 10 ms."""
ROUND_READS = {"DrainFeedFunction": 3.02, "GuardHookFunction": 4.02, "SendDigestFunction": 2.0}
"""Of the ledger, a run and account: its item, its registrations, its back-off, the guard's note of it; and its line of
the list of accounts, of which fifty are one read."""
DECRYPT = 0.03 / 10_000
DECRYPTS, DECRYPTS_OF_CHECKERS = 900, 360
"""Of an account's own credentials: by drain and guard; by the checkers where it has events (decision 27)."""
COMPARED = (1, 10, 300, 1_000)
"""Numbers of accounts that the page tells of."""
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


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts that a stack serves: one by the credentials' secret, more by credentials of their own."""

    active: int = 1
    """Shops as the page's."""
    idle: int = 0
    """Without events."""

    @property
    def more(self) -> int:
        """Return how many there are besides the one that the page's rows hold."""
        return max(0, self.active + self.idle - 1)


ONE_SHOP = Accounts()


def rows(template: Mapping[str, Any], accounts: Accounts = ONE_SHOP) -> Iterator[Row]:
    """Yield the rows, as docs/costs.md has them for one shop."""
    calls = {name: number * (accounts.active if name in CALLS else 1) for name, number in calls_of(template)}
    gb_seconds = sum(_gb_seconds(template, name, number, accounts) for name, number in calls.items())
    api_calls, requests = API_CALLS * accounts.active, POLLS + SQS_REQUESTS * accounts.active
    writes, ledger_gb = WRITES * accounts.active, LEDGER_GB * accounts.active
    reads = READS * accounts.active + accounts.more * sum(calls.get(name, 0) * per for name, per in ROUND_READS.items())
    emails, logs_gb = EMAILS * accounts.active, LOGS_GB * accounts.active
    looked_through_gb = LOOKED_THROUGH_GB * accounts.active
    decrypts = DECRYPTS * (accounts.active + accounts.idle) + DECRYPTS_OF_CHECKERS * accounts.active
    yield Row(
        "Lambda",
        f"{sum(calls.values()):,.0f} calls, {gb_seconds:,.0f} GB-seconds",
        gb_seconds * GB_SECOND + sum(calls.values()) * CALL,
    )
    yield Row("SQS", f"{requests:,} requests", requests * SQS_REQUEST)
    yield Row(
        "HTTP API, DynamoDB, SNS, logs",
        f"{api_calls:,} calls; {writes:,} writes and {reads:,.0f} reads, {ledger_gb:g} GB; "
        f"{emails:,} e-mails; {logs_gb:g} GB, and {looked_through_gb:g} GB looked through",
        api_calls * API_CALL
        + writes * WRITE
        + reads * READ
        + ledger_gb * (GB_KEPT + GB_BACKED_UP)
        + emails * EMAIL
        + logs_gb * LOG_GB
        + looked_through_gb * SCANNED_GB,
    )
    yield Row(
        "Secrets Manager",
        f"{SECRETS} secrets, {SECRET_READS:,} reads",
        SECRETS * SECRET + SECRET_READS * SECRET_READ,
    )
    yield Row("KMS", "one key", KEY + (decrypts * DECRYPT if accounts.more else 0.0))
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


def together(template: Mapping[str, Any], accounts: Accounts = ONE_SHOP) -> float:
    """Return what all rows come to."""
    return sum(row.dollars for row in rows(template, accounts))


def of_an_idle_account(template: Mapping[str, Any]) -> float:
    """Return what one more idle account costs, of a thousand."""
    most = max(COMPARED)
    return (together(template, Accounts(0, most)) - together(template, Accounts(0, 1))) / (most - 1)


def of_a_shop(template: Mapping[str, Any]) -> float:
    """Return what one more shop costs, of a thousand."""
    most = max(COMPARED)
    return (together(template, Accounts(most)) - together(template)) / (most - 1)


def by_accounts(template: Mapping[str, Any]) -> Iterator[tuple[int, float, float, float]]:
    """Yield numbers of accounts, and what they cost together where all are active, a fifth is, or none is."""
    for number in COMPARED:
        all_active, a_fifth, none = (
            together(template, Accounts(active, number - active)) for active in (number, -(-number // 5), 0)
        )
        yield number, all_active, a_fifth, none


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


def _gb_seconds(template: Mapping[str, Any], function: str, calls: float, accounts: Accounts) -> float:
    memory = _of_type(template, "AWS::Serverless::Function")[function]["MemorySize"]
    seconds = SECONDS.get(function, 0.5) + ROUND_SECONDS.get(function, 0.0) * accounts.more
    return float(calls * seconds * memory / 1024)


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
    dollars = sum(row.dollars for row in table)
    print(f"{'together':32}{dollars:6.2f}  {dollars + DASHBOARD:.2f} where the dashboard is not one of the free ones")
    for share in (0.1, 0.5):
        orders, read, saved = saved_by_prefix(share)
        print(f"{f'prefixes, {share:.0%} CNova':32}{-saved:6.2f}  {read:,} of {orders:,} orders are read")
    print(f"{'Monitoring=full':32}{METRIC * len(MORE_METRICS):6.2f}  more, at the most")
    for number, *costs in by_accounts(_template()):
        print(f"{number:5,} accounts: all active {costs[0]:8.2f}, a fifth {costs[1]:8.2f}, none {costs[2]:8.2f}")
    print(f"a shop more {of_a_shop(_template()):.4f}, an idle account more {of_an_idle_account(_template()):.4f}")
