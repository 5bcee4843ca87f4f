"""`recheck`: the stack is played by the desk, which checks what is queued whenever the command waits."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from invoicekey.rules.notification import OrderRef
from local.vtex_simulator import Fault
from operations.tasks import recheck as task
from tests.desk import ACCOUNT, Desk, at_a_desk
from tests.keys import make_key
from tests.orders import sale

AGO = datetime.now(UTC) - timedelta(hours=5)
GOOD, BAD = sale("1", make_key(number=1)), sale("1", None)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        yield desk


@pytest.fixture
def failing(desk: Desk) -> Desk:
    desk.check(desk.invoice("VVJ-1-01", BAD), at=AGO)
    return desk


@pytest.fixture
def plays(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Let the stack check what is queued."""
    waits(monkeypatch, lambda _: desk.check(*(OrderRef(ACCOUNT, one) for one in desk.queued())))
    return desk


def waits(monkeypatch: pytest.MonkeyPatch, sleep: Callable[[float], object]) -> None:
    """Let something happen whenever the command waits."""
    monkeypatch.setattr(task, "ended", partial(task.ended, sleep=sleep))


def test_a_failure_that_is_mended_is_closed(failing: Desk, plays: Desk) -> None:
    failing.invoice("VVJ-1-01", GOOD)
    said = failing.run("recheck 1")
    assert (said.code, said.out) == (0, "VVJ-1-01: closed, for it is good now.\n")


def test_one_that_is_not_says_with_what(failing: Desk, plays: Desk) -> None:
    said = failing.run("recheck VVJ-1-01")
    assert (said.code, said.out) == (3, "VVJ-1-01: still failing: missing (invoice 1).\n")


def test_an_order_that_the_stack_never_saw_is_checked_and_told(plays: Desk) -> None:
    plays.invoice("VVJ-1-01", BAD)
    plays.check(plays.invoice("VVJ-2-01", GOOD))
    said = plays.run("recheck VVJ-1-01 VVJ-2-01", columns=80)
    assert said.code == 3
    assert "VVJ-1-01: failing, and told as usual: missing (invoice 1)." in said.out
    assert "VVJ-2-01: nothing is open; it is good." in said.out


def test_what_is_queued_is_an_event_of_ours_with_a_source_of_its_own(failing: Desk) -> None:
    assert failing.run("recheck VVJ-1-01 --wait 0").code == 1
    (message,) = failing.messages("HookQueueUrl")
    assert json.loads(message["Body"]) == {"OrderId": "VVJ-1-01", "Origin": {"Account": ACCOUNT}}
    assert message["MessageAttributes"]["source"]["StringValue"] == "command"


def test_no_result_in_time_says_how_to_go_on(failing: Desk) -> None:
    said = failing.run("recheck VVJ-1-01 --wait 0")
    assert (said.code, said.out) == (1, "")
    assert "queued, and no result within 0 s. What comes of it: invoicekey explain VVJ-1-01 --account lux" in said.err


def test_one_that_waits_for_its_invoice_is_not_waited_for(desk: Desk) -> None:
    desk.invoice("VVJ-1-01", invoicedDate=datetime.now(UTC).isoformat())
    said = desk.run("recheck VVJ-1-01")
    assert said.code == 0
    assert "VVJ-1-01: waiting until" in said.out
    assert desk.queued() == ["VVJ-1-01"]


def test_one_that_vtex_does_not_know_is_not_queued_to_become_a_dead_letter(desk: Desk) -> None:
    said = desk.run("recheck 9")
    assert (said.code, desk.queued()) == (1, [])
    assert "VTEX does not know VVJ-9-01" in said.err


def test_a_dismissed_one_stays_so(failing: Desk, plays: Desk) -> None:
    failing.run("dismiss 1 --reason done")
    said = failing.run("recheck 1")
    assert said.code == 0
    assert "VVJ-1-01: as it was: dismissed" in said.out


def test_all_open_ones_are_checked(failing: Desk, plays: Desk) -> None:
    failing.check(failing.invoice("VVJ-2-01", BAD), failing.invoice("VVJ-3-01", sale("3", make_key(number=3))), at=AGO)
    failing.invoice("VVJ-1-01", GOOD)
    said = failing.run("recheck --all")
    assert said.code == 3
    assert sorted(line.partition(",")[0].partition(" f")[0] for line in said.out.splitlines()) == [
        "VVJ-1-01: closed",
        "VVJ-2-01: still",
    ]


def test_with_none_open_it_says_so(desk: Desk) -> None:
    said = desk.run("recheck --all")
    assert (said.code, said.out, said.err) == (0, "", "No failure is open.\n")


@pytest.mark.parametrize("options", ["", "VVJ-1-01 --all"])
def test_it_takes_orders_or_all(desk: Desk, options: str) -> None:
    said = desk.run(f"recheck {options}")
    assert (said.code, said.err.count("\n")) == (2, 1)


def test_ctrl_c_ends_the_watching_alone(failing: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(_: float) -> None:
        raise KeyboardInterrupt

    waits(monkeypatch, press)
    said = failing.run("recheck VVJ-1-01")
    assert said.code == 130
    assert "1 order not seen yet. What is queued is checked all the same." in said.err
    assert failing.queued() == ["VVJ-1-01"]


def test_a_queue_that_does_not_take_it_is_told(failing: Desk) -> None:
    failing.deployment.outputs["HookQueueUrl"] += "-gone"
    said = failing.run("recheck VVJ-1-01")
    assert said.code == 1
    assert "The hook queue did not take all of 1 order. Run it again" in said.err


def test_an_item_that_is_corrupt_is_said(failing: Desk) -> None:
    failing.shop.table.update("order#luxstore#VVJ-1-01", "SET version = :none", none="no number")
    said = failing.run("recheck VVJ-1-01")
    assert said.code == 1
    assert "corrupt" in said.err


def test_one_that_vtex_does_not_give_just_now_is_not_queued(desk: Desk) -> None:
    desk.invoice("VVJ-1-01", GOOD)
    desk.vtex.fail(Fault("status", status=500))
    said = desk.run("recheck VVJ-1-01")
    assert (said.code, desk.queued()) == (1, [])
    assert "VVJ-1-01: VTEX answered 500" in said.err
