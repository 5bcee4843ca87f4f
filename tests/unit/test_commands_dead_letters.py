"""Dead letters as `redrive` lists them and as `explain` tells them, and the order in which a story is told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

import pytest

from operations.commands import explain, redrive
from operations.tasks.redrive import DeadLetters
from tests.desk import CREDENTIALS, Desk, at_a_desk
from tests.keys import make_key
from tests.orders import sale

AGO = datetime.now(UTC) - timedelta(hours=5)
WHO: dict[str, Any] = {"account": "luxstore", "order_id": "VVJ-1-01"}


@pytest.fixture
def desk() -> Iterator[Desk]:
    at_once = partial(DeadLetters, wait_seconds=0)
    with (
        at_a_desk() as desk,
        mock.patch.object(redrive, "DeadLetters", at_once),
        mock.patch.object(explain, "DeadLetters", at_once),
    ):
        for group in explain.LOGS:
            desk.log(group, AGO, message="about something else")
        yield desk


@pytest.fixture
def buried(desk: Desk) -> Desk:
    for number, reason in enumerate(("gave_up", "not_found", "no_credentials", "malformed"), 1):
        desk.send_to_dead_letters(f"VVJ-{number}-01", reason=reason, correlation_id=f"c-{number}")
    desk.send_to_dead_letters("VVJ-5-01")
    return desk


def left(desk: Desk) -> int:
    return len(desk.messages("HookDeadLetterQueueUrl"))


# ---- redrive


def test_each_order_is_listed_with_reason_and_age(buried: Desk) -> None:
    rows = [line.split()[:4] for line in buried.run("redrive").out.splitlines()]
    assert ["VVJ-2-01", "luxstore", "not_found", "0"] in rows


@pytest.mark.parametrize(
    ("reason", "steps"),
    [
        ("gave_up", ["redrive --reason gave_up --yes"]),
        (
            "not_found",
            ["check ORDER", "redrive --reason not_found --yes", "redrive --reason not_found --discard --yes"],
        ),
        ("no_credentials", ["doctor", "redrive --reason no_credentials --yes"]),
        ("malformed", ["redrive --reason malformed --discard --yes", "redrive --reason malformed --yes"]),
        ("none", ["redrive --reason none --yes"]),
    ],
)
def test_each_reason_has_what_to_do_as_commands(buried: Desk, reason: str, steps: list[str]) -> None:
    (told,) = [line for line in buried.run("redrive").out.splitlines() if f"1 {reason}: " in line]
    assert [step for step in steps if f"invoicekey {step}" not in told] == []


def test_no_line_is_wider_than_the_terminal(buried: Desk) -> None:
    assert max(map(len, buried.run("redrive", columns=80).out.splitlines())) <= 80


def test_the_oldest_are_shown_and_the_others_counted(desk: Desk) -> None:
    for number in range(52):
        desk.send_to_dead_letters(f"VVJ-{number}-01", reason="gave_up")
    said = desk.run("redrive")
    assert said.out.count("VVJ-") == 50
    assert "The oldest 50 of 52 are shown." in said.err


def test_one_order_s_is_sent_back_alone(buried: Desk) -> None:
    said = buried.run("redrive 4 --yes")
    assert (said.code, buried.queued(), left(buried)) == (0, ["VVJ-4-01"], 4)


def test_what_is_not_about_the_orders_named_is_not_listed(buried: Desk) -> None:
    said = buried.run("redrive VVJ-1-01 VVJ-2-01")
    assert "VVJ-3-01" not in said.out
    assert "To send 2 back: invoicekey redrive VVJ-1-01 VVJ-2-01 --yes" in said.err
    assert "None of the dead letters is about that." in buried.run("redrive VVJ-9-01").err


def test_what_nobody_needs_is_deleted_when_it_is_named(buried: Desk) -> None:
    listed = buried.run("redrive --reason malformed --discard")
    assert "To delete 1: invoicekey redrive --reason malformed --discard --yes" in listed.err
    said = buried.run("redrive --reason malformed --discard --yes")
    assert (said.code, said.out) == (0, "1 message deleted (malformed 1)\n".replace("malformed 1", "1 malformed"))
    assert (buried.queued(), left(buried)) == ([], 4)


def test_nothing_is_deleted_that_is_not_named(buried: Desk) -> None:
    said = buried.run("redrive --discard --yes")
    assert (said.code, left(buried)) == (2, 5)
    assert "Say which are to be deleted" in said.err


def test_what_is_no_notification_is_listed_too(desk: Desk) -> None:
    desk.shop.ask("sqs", "send_message", QueueUrl=desk.deployment.outputs["HookDeadLetterQueueUrl"], MessageBody="x")
    assert desk.run("redrive").out.splitlines()[1].split()[:3] == ["-", "-", "none"]


# ---- explain


def test_an_order_s_dead_letter_is_told_with_what_sends_it_back(buried: Desk) -> None:
    said = buried.run("explain VVJ-1-01")
    assert said.code == 3
    assert "It lies in the dead letters since " in said.out
    assert "because VTEX or AWS failed for 24 hours (gave_up)." in said.out
    assert "Once that is over: invoicekey redrive VVJ-1-01 --account luxstore --yes" in said.out
    assert left(buried) == 5


def test_another_order_s_is_not(buried: Desk) -> None:
    buried.check(buried.invoice("VVJ-9-01", sale()))
    said = buried.run("explain VVJ-9-01")
    assert (said.code, "dead letters" in said.out) == (0, False)


def test_dead_letters_that_cannot_be_read_are_told_after_the_story(desk: Desk) -> None:
    desk.check(desk.invoice("VVJ-1-01", sale()))
    desk.deployment.outputs["HookDeadLetterQueueUrl"] += "-gone"
    said = desk.run("explain VVJ-1-01")
    assert said.code == 1
    assert "It is good" in said.out or "last found ok" in said.out
    assert "The dead letters could not be read" in said.err


def test_a_failure_is_opened_after_the_reading_that_found_it(desk: Desk) -> None:
    """The function notes its time when it judges, and logs when all is sent."""
    desk.check(desk.invoice("VVJ-1-01", sale("1", None)), at=AGO)
    later = AGO + timedelta(seconds=3)
    desk.log("CheckInvoiceLogs", later, message="order checked", outcome="failing", problems=["missing"], **WHO)
    out = desk.run("explain VVJ-1-01").out
    assert out.index("read at VTEX and judged: failing") < out.index("its failure was opened")


def test_it_is_closed_after_the_reading_that_found_it_good(desk: Desk) -> None:
    desk.check(desk.invoice("VVJ-1-01", sale("1", None)), at=AGO - timedelta(hours=1))
    desk.check(desk.invoice("VVJ-1-01", sale("1", make_key(number=1))), at=AGO)
    desk.log("CheckInvoiceLogs", AGO + timedelta(seconds=3), message="order checked", outcome="ok", **WHO)
    out = desk.run("explain VVJ-1-01").out
    assert out.index("judged: ok") < out.index("its failure was closed")


def test_an_alert_that_is_deferred_was_not_sent() -> None:
    with at_a_desk(ALERT_BURST="1") as desk:
        desk.check(*(desk.invoice(f"VVJ-{number}-01", sale(str(number), None)) for number in (1, 2)), at=AGO)
        told = [desk.run(f"explain VVJ-{number}-01").out for number in (1, 2)]
    (deferred,) = [story for story in told if "is deferred to the next digest" in story]
    assert "nobody is notified yet" in deferred
    assert "its alert are sent" not in deferred


def test_a_close_of_which_nobody_is_alerted_says_so(desk: Desk) -> None:
    desk.check(desk.invoice("VVJ-1-01", sale("1", None)), at=AGO)
    desk.run("dismiss 1 --reason done")
    assert "its record is sent; people get no alert of that." in desk.run("explain 1").out


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("hook", "VTEX's hook"),
        ("backfill", "a back-fill"),
        ("command", "the command recheck"),
        ("desk", "the desk"),
        ("anything", "anything"),
    ],
)
def test_what_brought_an_order_in_is_told(desk: Desk, source: str, told: str) -> None:
    desk.check(desk.invoice("VVJ-1-01", sale()), at=AGO)
    later = AGO + timedelta(seconds=1)
    desk.log("CheckInvoiceLogs", later, message="order checked", outcome="ok", sources=[source], **WHO)
    out = desk.run("explain VVJ-1-01").out
    assert f"the stack first saw the order; brought by {told}\n" in out
    assert f"read at VTEX and judged: ok; brought by {told}\n" in out


def test_the_check_s_log_says_where_its_messages_came_from(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.check(desk.invoice("VVJ-1-01", sale()))
    assert [vars(line)["sources"] for line in caplog.records if line.message == "order checked"] == [["hook"]]


def test_an_order_whose_item_is_corrupt_leads_to_the_runbook(desk: Desk) -> None:
    desk.check(desk.invoice("VVJ-1-01", sale()))
    desk.shop.table.update("order#luxstore#VVJ-1-01", "SET version = :none", none="no number")
    said = desk.run("explain 1")
    assert said.code == 1
    assert "docs/runbook.md#ledger-unreadable" in said.err


def test_an_account_without_credentials_has_dead_letters_too(desk: Desk) -> None:
    desk.deployment.secrets["VtexCredentialsSecretArn"]["othershop"] = CREDENTIALS
    desk.send_to_dead_letters("VVJ-1-01", reason="no_credentials")
    assert "None of the dead letters" in desk.run("redrive VVJ-1-01 --account thirdshop").err
