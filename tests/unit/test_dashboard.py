"""The dashboard, its picture, and the saved queries of the log."""

import json
import re
from typing import Any

import pytest

from invoicekey.runtime.telemetry import METRICS, MORE_METRICS, NAMESPACE
from local.dashboard_picture import PICTURE, draw
from tests.unit.test_template import ROOT, properties, template


def dashboard() -> list[dict[str, Any]]:
    body = properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    found: list[dict[str, Any]] = json.loads(body)["widgets"]
    return found


def test_the_dashboard_has_fifty_metrics_at_most_for_more_cost_three_dollars() -> None:
    metrics = [metric for one in dashboard() if one["type"] == "metric" for metric in one["properties"]["metrics"]]

    assert len(metrics) <= 50


def test_the_dashboard_s_metrics_are_aws_s_and_those_that_are_always_written() -> None:
    own = {m[1] for one in dashboard() for m in one["properties"].get("metrics", ()) if m[0] == NAMESPACE}

    assert own <= METRICS


def queries() -> dict[str, str]:
    """Return every query of the log, the dashboard's and the saved ones."""
    shown = {one["properties"]["title"]: one["properties"]["query"] for one in dashboard() if one["type"] == "log"}
    return shown | {name: one["QueryString"] for name, one in saved().items()}


def saved() -> dict[str, dict[str, Any]]:
    kept = [r for r in template()["Resources"].values() if r["Type"] == "AWS::Logs::QueryDefinition"]
    return {one["Properties"]["Name"]["Fn::Sub"]: one["Properties"] for one in kept}


@pytest.mark.parametrize("query", queries().values(), ids=queries())
def test_a_query_asks_for_what_the_line_of_figures_holds(query: str) -> None:
    asked = set(re.findall(r"(?:counts|seconds)\.(\w+)", query))

    assert {name for name in asked if not re.fullmatch(r"vtex_\d{3}", name)} <= METRICS | MORE_METRICS


def test_saved_queries_have_the_stack_s_name_for_names_are_unique_in_an_account() -> None:
    assert all(name.startswith("${AWS::StackName}/") for name in saved())


def test_the_runbook_names_every_saved_query_and_no_other() -> None:
    runbook = " ".join((ROOT / "docs" / "runbook.md").read_text(encoding="utf-8").split())
    named = set(re.findall(r"saved query “([^”]+)”", runbook))

    assert named == {name.removeprefix("${AWS::StackName}/") for name in saved()}


def test_the_picture_of_the_dashboard_is_the_dashboard_s() -> None:
    assert PICTURE.read_text(encoding="utf-8") == draw()
