"""`doctor --json`: findings that a program can tell apart, and advice that fits the local stack."""

import json
from collections.abc import Iterator

import pytest

from operations.health.local_stack import ANEW, fitted
from operations.terminal.findings import Section, State, identifier, note, to_do, well
from tests.operated import Operated, operated

IDS = [
    "version", "functions", "checkers_way_in", "schedules", "alarms", "clock", "who_is_notified_of_orders",
    "who_is_notified_of_trouble", "hooks_secret", "desks_key", "vtexs_credentials", "hook_queue", "dead_letters",
    "failure_queue", "what_is_open", "last_hook", "feed_v3_and_hook_admin", "list_orders", "view_order",
    "orders_of_seven_days", "cnovaaffiliateids", "vtex",
]  # fmt: skip
"""A program knows a finding by these. One may be added; none changes its name."""


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(monkeypatch) as stack:
        yield stack


def found(stack: Operated) -> list[dict[str, str]]:
    stack.run("doctor", "--json")
    findings: list[dict[str, str]] = json.loads(stack.said.out)["findings"]
    return findings


def test_each_finding_has_an_id_that_is_known(stack: Operated) -> None:
    ids = {finding["id"] for finding in found(stack)}
    assert ids <= set(IDS)
    assert len(ids) > 12


@pytest.mark.parametrize(
    ("what", "expected"), [("the hook's secret", "hooks_secret"), ("View order", "view_order"), ("VTEX", "vtex")]
)
def test_an_id_is_made_of_what_was_looked_at(what: str, expected: str) -> None:
    assert identifier(what) == expected


def test_on_the_local_stack_no_advice_is_about_aws(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.deployment.outputs["Version"] = "0.9.0"
    advice = [finding["to_do"] or "" for finding in found(stack)]
    assert any("make deploy" in one for one in advice)

    monkeypatch.setattr("operations.deployment.stack.Deployment.is_local", True)
    advice = [finding["to_do"] or "" for finding in found(stack)]
    assert not any("make credentials" in one or "make deploy" in one for one in advice)
    assert ANEW in advice


def test_an_address_that_is_not_confirmed_is_no_trouble_on_the_local_stack() -> None:
    section = fitted(
        Section("Who is notified", (to_do("a@example.com has not confirmed", "confirm it"), well("b"), note("c")))
    )
    assert [finding.state for finding in section.findings] == [State.NOTE, State.WELL, State.NOTE]
