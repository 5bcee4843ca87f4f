import json
from collections.abc import Iterator
from dataclasses import replace
from unittest import mock

import pytest

from invoicekey.delivery.queues import Outlets
from invoicekey.ledger.entries import Ledger
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import Conflict, RetryLater
from tests.desk import Desk, at_a_desk
from tests.orders import sale


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        desk.check(*(desk.invoice(f"VVJ-{number}-01", sale(str(number), None)) for number in (1, 2)))
        desk.check(desk.invoice("VVJ-3-01", sale()))
        desk.messages("FailureQueueUrl")
        yield desk


def archived(desk: Desk, order_id: str) -> str | None:
    ref = OrderRef("luxstore", order_id)
    return desk.shop.ledger.read([ref]).entries[ref].archived


def test_each_order_is_dismissed_and_told_in_a_line(desk: Desk) -> None:
    said = desk.run("dismiss VVJ-1-01 VVJ-2-01 --reason 'updated in the portal'")

    assert said.code == 0
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["VVJ-1-01", "VVJ-2-01"]
    assert {archived(desk, "VVJ-1-01"), archived(desk, "VVJ-2-01")} == {"dismissed"}
    reasons = [json.loads(message["Body"])["data"]["reason"] for message in desk.messages("FailureQueueUrl")]
    assert reasons == ["dismissed", "dismissed"]


def test_a_dismissal_whose_record_is_not_sent_yet_is_done_all_the_same(desk: Desk) -> None:
    with mock.patch.object(Outlets, "send_records", return_value=[]):
        said = desk.run("dismiss VVJ-1-01 --reason x")

    assert (said.code, archived(desk, "VVJ-1-01")) == (0, "dismissed")
    assert "the next check of it sends it" in said.out


@pytest.mark.parametrize(
    ("error", "told"),
    [(RetryLater("the ledger answered AccessDeniedException"), "--profile"), (Conflict(), "Try again in a minute")],
    ids=["not-allowed", "busy"],
)
def test_a_ledger_that_cannot_be_written_is_told_with_what_to_do(desk: Desk, error: Exception, told: str) -> None:
    with mock.patch.object(Ledger, "write", side_effect=error):
        said = desk.run("dismiss VVJ-1-01 --reason x")

    assert said.code == 1
    assert told in said.err


def test_what_is_not_failing_or_unknown_is_told_and_the_others_are_done(desk: Desk) -> None:
    said = desk.run("dismiss VVJ-3-01 VVJ-9-01 VVJ-1-01 --reason x")

    assert said.code == 1
    assert "VVJ-3-01: it is not failing" in said.err
    assert "VVJ-9-01: this stack has never seen it" in said.err
    assert archived(desk, "VVJ-1-01") == "dismissed"


def test_a_second_dismissal_says_when_and_why_the_first_one_was(desk: Desk) -> None:
    desk.run("dismiss VVJ-1-01 --reason 'updated in the portal'")
    said = desk.run("dismiss VVJ-1-01 --reason again")
    assert said.code == 1
    assert "updated in the portal" in said.err


def test_a_dismissal_is_taken_back_and_the_order_checked_at_once(desk: Desk) -> None:
    desk.run("dismiss VVJ-1-01 --reason x")

    said = desk.run("undismiss VVJ-1-01 VVJ-2-01")

    assert said.code == 1
    assert "VVJ-1-01: followed again" in said.out
    assert "VVJ-2-01: it is open since" in said.err
    assert archived(desk, "VVJ-1-01") is None
    (message,) = desk.messages("HookQueueUrl")
    assert json.loads(message["Body"])["OrderId"] == "VVJ-1-01"
    assert message["MessageAttributes"]["source"]["StringValue"] == "undismiss"


def test_an_id_that_is_none_stops_it_before_anything_is_done(desk: Desk) -> None:
    said = desk.run("dismiss VVJ-1-01 seq77 --reason x")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert archived(desk, "VVJ-1-01") is None


@pytest.mark.parametrize("reason", [*(["--reason", wrong] for wrong in ("", "  ", "x" * 201, "a\x1bb")), []])
def test_a_reason_is_a_few_visible_words(desk: Desk, reason: list[str]) -> None:
    assert desk.run(["dismiss", "VVJ-1-01", *reason]).code == 2
    assert archived(desk, "VVJ-1-01") is None


def test_a_report_under_way_is_told_busy(desk: Desk) -> None:
    ref = OrderRef("luxstore", "VVJ-1-01")
    ledger = desk.shop.ledger
    entry = ledger.read([ref]).entries[ref]
    assert entry.report
    ledger.write(replace(entry, report=replace(entry.report, alerted=False)))

    assert "being delivered at this moment" in desk.run("dismiss VVJ-1-01 --reason x").err


def test_a_queue_that_takes_nothing_leaves_it_to_the_next_recheck_and_logs_nothing_on_the_screen(desk: Desk) -> None:
    desk.run("dismiss VVJ-1-01 --reason x")
    desk.deployment.outputs["HookQueueUrl"] += "-gone"

    said = desk.run("undismiss VVJ-1-01")

    assert said.code == 0
    assert "the next re-check reads it" in said.out
    assert "{" not in said.all
