"""The digest's entry file, with AWS in this process: from the table's lists to what subscribers get."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from invoicekey.ledger.entries import Deferral, Entry, Ledger, Report
from invoicekey.ledger.failures import Shown
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.table import Table
from invoicekey.rules.notification import OrderRef
from invoicekey.work.digest import Due, SummaryStates
from tests.entries import a_listening_queue, assert_that_it_does_not_start_without, at_home, received, run, start
from tests.ledger_table import NAME, make_ledger_table

FUNCTION = "send_digest"
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
ENVIRONMENT = {
    "ALERT_LANGUAGE": "pt-BR",
    "ALERT_TIMEZONE": "America/Sao_Paulo",
    "CHAT_ALERTS": "yes",
    "SUMMARY_ORDERS": "20",
    "FUNCTION_TIMEOUT_SECONDS": "60",
    "INVOICE_GRACE_SECONDS": "600",
    "LEDGER_TABLE_NAME": NAME,
    "POWERTOOLS_SERVICE_NAME": "invoicekey",
    "VTEX_ACCOUNTS": "",
}


@dataclass
class Stack:
    """The function, what it was given, and the queue of a subscriber."""

    table: Table
    topic: str
    ear: str
    entry: ModuleType

    def keep(self, order_id: str, **changes: Any) -> Entry:
        now = datetime.now(UTC)
        given: dict[str, Any] = {
            "checked_at": now,
            "outcome": "failing",
            "errors_reported": "f" * 64,
            "errors": (Shown("malformed", "643811", has_suggestion=True),),
            "opened_at": now - DAY,
            "recheck_at": now + HOUR,
            "report": Report(1, "invoicekey.order.failing.v1", "{}", None, now, recorded=True, alerted=True),
        }
        return Ledger(self.table).write(Entry(OrderRef("luxstore", order_id), **given | changes))

    def hold_back(self, order_id: str, kind: str, *codes: str) -> None:
        ledger, ref = Ledger(self.table), OrderRef("luxstore", order_id)
        entry = ledger.read([ref]).entries[ref]
        ledger.note_deferred(entry if entry.version else self.keep(order_id), Deferral(kind, datetime.now(UTC), codes))

    def run(self, **event: Any) -> dict[str, Any]:
        return run(self.entry, event)

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(message["Body"]) for message in received(self.ear)]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    at_home(monkeypatch)
    with mock_aws():
        make_ledger_table()
        topic = boto3.client("sns").create_topic(Name="alerts")["TopicArn"]
        entry = start(FUNCTION, monkeypatch, {**ENVIRONMENT, "ALERT_TOPIC_ARN": topic})
        yield Stack(Table(boto3.client("dynamodb"), NAME), topic, a_listening_queue("ear", topic), entry)


def attributes(heard: dict[str, Any]) -> dict[str, str]:
    return {name: value["Value"] for name, value in heard["MessageAttributes"].items()}


def test_what_is_held_back_is_told_once(stack: Stack) -> None:
    stack.hold_back("VVJ-1-01", "failing", "missing")
    stack.hold_back("VVJ-2-01", "failing", "malformed", "missing")
    stack.hold_back("VVJ-2-01", "resolved")
    assert [stack.run(), stack.run()] == [{"digests": 1}, {"digests": 0}]
    (heard,) = stack.heard()
    assert attributes(heard) == {"type": "digest", "account": "luxstore", "severity": "error", "codes": '["missing"]'}
    assert "VVJ-1-01" in heard["Message"]
    assert "VVJ-2-01" in heard["Message"]
    assert not Backlog(stack.table).deferred()


def test_what_a_run_took_up_is_still_held_back_for_the_next(stack: Stack) -> None:
    backlog = Backlog(stack.table)
    stack.hold_back("VVJ-1-01", "expired", "missing")
    (alert,) = backlog.deferred()["luxstore"]
    assert [backlog.assign(alert, 7), backlog.assign(alert, 7), backlog.assign(alert, 8)] == [True, True, False]
    assert backlog.deferred() == {"luxstore": [replace(alert, digest=7)]}
    assert stack.run() == {"digests": 1}


def test_what_is_open_is_told_once_an_occasion(stack: Stack) -> None:
    stack.keep("VVJ-1-01")
    stack.keep("VVJ-2-01", archived="dismissed")
    occasion = {"reminder": True, "scheduled": "2026-03-09T12:00:00Z"}
    assert [stack.run(**occasion), stack.run(**occasion)] == [{"reminders": 1}, {"reminders": 0}]
    (heard,) = stack.heard()
    assert attributes(heard)["type"] == "reminder"
    assert "1 dia | VVJ-1-01 | nota 643811 | com chave fora do formato, há chave sugerida" in heard["Message"]
    assert "VVJ-2-01" not in heard["Message"]


def test_a_reminder_that_is_due_is_sent_by_the_digest_s_run_and_then_forgotten(stack: Stack) -> None:
    states = SummaryStates(stack.table)
    stack.keep("VVJ-1-01")
    states.note_due(Due("2026-03-09T12:00:00Z", datetime.now(UTC) - HOUR))
    states.forget_due(Due("2026-03-06T12:00:00Z", datetime.now(UTC)))  # an earlier one
    assert [stack.run(), stack.run()] == 2 * [{"digests": 0}]
    (heard,) = stack.heard()
    assert attributes(heard)["type"] == "reminder"
    assert states.due() is None
    assert stack.run(reminder=True, scheduled="2026-03-09T12:00:00Z") == {"reminders": 0}
    assert states.due() is None


def test_by_hand_it_is_told_each_time(stack: Stack) -> None:
    stack.keep("VVJ-1-01")
    assert [stack.run(reminder=True), stack.run(reminder=True)] == 2 * [{"reminders": 1}]


def test_the_index_shows_what_a_reminder_counts(stack: Stack) -> None:
    good = {"outcome": "ok", "errors_reported": None, "errors": (), "opened_at": None}
    stack.keep("VVJ-1-01")
    stack.run(reminder=True)
    stack.heard()
    mended_at = datetime.now(UTC) + SECOND
    stack.keep("VVJ-2-01", **good, checked_at=mended_at, mended_at=mended_at, recheck_at=None)
    stack.keep("VVJ-3-01", **good, checked_at=mended_at, mended_at=mended_at)
    stack.run(reminder=True)
    (heard,) = stack.heard()
    assert ": nenhum entrou na lista, 2 resolvidos." in heard["Message"]
    assert ": 1 pedido." in heard["Message"]


def test_a_topic_that_is_gone_leaves_the_digest_to_the_next_run(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.hold_back("VVJ-1-01", "failing", "missing")
    boto3.client("sns").delete_topic(TopicArn=stack.topic)
    assert stack.run() == {"digests": 0}
    assert Backlog(stack.table).deferred()
    out = capsys.readouterr().out
    (line,) = [json.loads(line) for line in out.splitlines() if '"CloudWatchMetrics"' in line]
    assert line["digest_postponed"] == [1.0]
    assert "VVJ-1-01" not in out


def test_a_wrong_deployment_fails_at_once_and_says_which_variable(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_that_it_does_not_start_without(monkeypatch, FUNCTION, *sorted(ENVIRONMENT.keys() - {"VTEX_ACCOUNTS"}))
