"""What a month costs: docs/costs.md says what the template comes to, and it is at most what was asked for."""

import json
import re
from typing import Any

import pytest

from benchmarks import cost
from invoicekey.runtime.telemetry import METRICS, MORE_METRICS
from tests.unit.test_template import ROOT, template

MOST = 9.00
"""Dollars a month, at list prices."""
MOST_NAMES = 90
"""That Monitoring=full makes metrics of."""

ROWS = list(cost.rows(template()))
TOGETHER = cost.together(template())
PAPER = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")


MOST_OF_AN_IDLE_ACCOUNT = 0.05


def table(begins: str = "| Lambda | rece") -> list[list[str]]:
    begin = PAPER.index(begins)
    lines = PAPER[begin : PAPER.index("\n\n", begin)].split("\n")
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]


def test_ten_thousand_orders_a_month_cost_nine_dollars_at_the_most() -> None:
    assert TOGETHER <= MOST


def test_the_rows_are_those_that_are_computed() -> None:
    written = [row[2] for row in table()]

    assert written == [f"{dollars:.2f}" for dollars in [*(row.dollars for row in ROWS), TOGETHER]]


@pytest.mark.parametrize(("paper", "comma"), [("docs/costs.md", "."), ("README.md", "."), ("README.pt-BR.md", ",")])
def test_the_figure_that_a_paper_names_is_the_computed_one(paper: str, comma: str) -> None:
    amount = f"{TOGETHER:.2f}".replace(".", comma)

    assert re.search(rf"(?<![\d.,]){re.escape(amount)}(?!\d)", (ROOT / paper).read_text(encoding="utf-8"))


def test_the_costs_of_many_accounts_are_the_computed_ones() -> None:
    computed = [
        [f"{number:,}", *(f"{dollars:.2f}" for dollars in costs)] for number, *costs in cost.by_accounts(template())
    ]

    assert table("| 1 | ") == computed


def test_an_idle_account_costs_what_the_page_says_and_five_cents_at_the_most() -> None:
    idle, shop = cost.of_an_idle_account(template()), cost.of_a_shop(template())

    assert idle <= MOST_OF_AN_IDLE_ACCOUNT
    assert f"idle account more costs **${idle:.3f}**" in PAPER
    assert f"shop more costs **${shop:.2f}**" in PAPER
    parts = [float(row[2]) for row in table("| ledger | its item")]
    assert sum(parts) == pytest.approx(idle, abs=0.0002)


def test_it_says_what_it_is_where_the_dashboard_is_charged() -> None:
    assert table()[-1][1].startswith(f"{TOGETHER + cost.DASHBOARD:.2f}")


def test_the_numbers_of_metrics_are_the_template_s() -> None:
    rows = table()
    numbers = {
        -4: [cost.alarm_metrics(template())],
        -3: [len(cost.ALWAYS), len(METRICS - cost.ALWAYS)],
        -2: [cost.dashboard_metrics(template())],
    }

    for row, expected in numbers.items():
        assert [int(number) for number in re.findall(r"\d+", rows[row][1])][: len(expected)] == expected


def test_it_says_what_full_monitoring_adds_at_the_most() -> None:
    text = " ".join(PAPER.split())
    said = text[text.index("Monitoring=full") :]

    assert len(MORE_METRICS) <= MOST_NAMES
    assert f" {MOST_NAMES}" in said
    assert f"{MOST_NAMES * cost.METRIC:.2f}" in said


def test_a_metric_that_is_always_written_is_one_of_those_that_alarms_watch() -> None:
    assert cost.ALWAYS < METRICS


def test_a_dashboard_over_fifty_metrics_is_charged_and_each_metric_of_an_alarm_is() -> None:
    body: Any = {"widgets": [{"properties": {"metrics": [[]] * 51}}]}
    sample = {
        "Parameters": {},
        "Resources": {
            "A": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "a"}},
            "B": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {"Metrics": [{"Expression": "a / b"}, {"MetricStat": {}}, {"MetricStat": {}}]},
            },
            "D": {
                "Type": "AWS::CloudWatch::Dashboard",
                "Properties": {"DashboardBody": {"Fn::Sub": json.dumps(body)}},
            },
        },
    }

    by_name = {row.what: row.dollars for row in cost.rows(sample)}
    assert by_name["alarms"] == pytest.approx(0.30)
    assert by_name["dashboard"] == 3.00


DECISIONS = {path.name[:4]: path.read_text("utf-8") for path in (ROOT / "docs" / "decisions").glob("0*.md")}


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_what_is_saved_by_prefixes_is_what_is_computed(share: float) -> None:
    orders, read, dollars = cost.saved_by_prefix(share)

    row = f"| {share:.0%} | {orders:,} | {orders:,} | {read:,} | {1 - read / orders:.0%} | {dollars:.2f} |"
    assert row.replace("%", " %") in DECISIONS["0030"]


@pytest.mark.parametrize("function", cost.COLD_SECONDS)
def test_what_snapstart_would_cost_is_what_is_computed(function: str) -> None:
    dollars = " | ".join(f"{one:.2f}" for one in cost.snapstart(template(), function))

    assert f"| {function.removesuffix('Function')} | {dollars} |" in DECISIONS["0031"]
