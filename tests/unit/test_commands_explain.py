from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from invoicekey.rules.notification import OrderRef
from invoicekey.work.acts import Acts
from invoicekey.work.desk_order import LOOK
from operations.commands.explain import LOGS
from tests.desk import Desk, at_a_desk
from tests.keys import make_key
from tests.orders import sale

NOW = datetime.now(UTC)
AGO = NOW - timedelta(hours=5)
WHO: dict[str, Any] = {"account": "luxstore", "order_id": "VVJ-1-01"}


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        for group in LOGS:
            desk.log(group, AGO, message="about something else")
        yield desk


@pytest.fixture
def failing(desk: Desk) -> Desk:
    desk.check(desk.invoice("VVJ-1-01", sale("1", None), sale("2", make_key(number=2))), at=AGO)
    return desk


def test_the_story_is_told_in_time_order(failing: Desk) -> None:
    failing.log("ReceiveHookLogs", AGO - timedelta(seconds=2), message="hook queued", correlation_id="c", **WHO)
    failing.log(
        "CheckInvoiceLogs", AGO - timedelta(seconds=1), message="order checked", retry="VTEX answered 503", **WHO
    )
    failing.log(
        "CheckInvoiceLogs", AGO, message="order checked", outcome="failing", problems=["missing"],
        report=1, report_type="invoicekey.order.failing.v1", **WHO,
    )  # fmt: skip

    said = failing.run("explain VVJ-1-01")

    assert said.code == 3
    parts = (
        "VTEX's hook brought an event",
        "not checked: VTEX answered 503",
        "read at VTEX and judged: failing (missing); reported as number 1 (failing)",
        "its failure was opened",
        "It is open as failing since",
    )
    places = [said.out.index(part) for part in parts]
    assert places == sorted(places)


def test_an_order_that_was_not_read_is_said_to_be_another_marketplace_s_by_its_prefix(failing: Desk) -> None:
    failing.log(
        "CheckInvoiceLogs", AGO - timedelta(days=1), message="order checked", outcome="other_marketplace",
        passed_over="vvj", **WHO,
    )  # fmt: skip

    said = failing.run("explain VVJ-1-01")

    assert "not read: by its prefix (vvj) it is another marketplace's" in said.out


def test_the_ledger_alone_tells_what_the_logs_no_longer_hold(failing: Desk) -> None:
    said = failing.run("explain VVJ-1-01")

    assert "the stack first saw the order" in said.out
    assert "read at VTEX and judged: failing (its last check, by the ledger)" in said.out
    assert "Its errors: missing (invoice 1)." in said.out
    assert "Its last report is number 1 (failing): its record and its alert are sent." in said.out
    assert f"It owns the key {make_key(number=2)}" in said.out


def test_times_are_those_of_the_shops_clocks(failing: Desk) -> None:
    local = AGO - timedelta(hours=3)  # America/Sao_Paulo
    assert f"  {local:%H:%M:%S}  " in failing.run("explain VVJ-1-01").out


def test_a_dismissal_is_part_of_it_and_stays_so_when_it_is_taken_back(failing: Desk) -> None:
    failing.run("dismiss VVJ-1-01 --reason 'updated in the portal'")
    dismissed = failing.run("explain VVJ-1-01").out
    failing.run("undismiss VVJ-1-01")
    taken_back = failing.run("explain VVJ-1-01").out

    assert "dismissed by a person: updated in the portal" in dismissed
    assert "It is archived (dismissed" in dismissed
    assert "dismissed by a person: updated in the portal" in taken_back
    assert "taken back by a person" in taken_back


def test_a_snooze_is_told_with_its_day_in_what_happened_and_in_how_it_stands(failing: Desk) -> None:
    day = (NOW - timedelta(hours=3) + timedelta(days=3)).date()
    failing.run("snooze VVJ-1-01 --days 3")

    said = failing.run("explain VVJ-1-01").out

    assert f"snoozed by a person until {day.day} {day:%b %Y}\n" in said
    assert f", and snoozed: nobody is reminded of it before {day.day} {day:%b %Y}, 00:00" in said


def test_what_was_done_by_a_link_is_told_as_that(failing: Desk) -> None:
    shop = failing.shop
    acts = Acts(shop.ledger, shop.outlets, shop.settings.lease, "en", by="link")
    ref = OrderRef("luxstore", "VVJ-1-01")
    acts.note(ref, LOOK, NOW)
    acts.dismiss(ref, "Already delivered by link", NOW)

    said = failing.run("explain VVJ-1-01").out

    assert "a look was asked for by a link to the desk\n" in said
    assert "dismissed by a link to the desk: Already delivered by link\n" in said


def test_a_failure_before_this_one_is_told_with_its_end(failing: Desk) -> None:
    failing.check(failing.invoice("VVJ-1-01", sale("1", make_key(number=1))), at=AGO + timedelta(hours=1))
    failing.check(failing.invoice("VVJ-1-01", sale("1", None)), at=AGO + timedelta(hours=2))

    said = failing.run("explain VVJ-1-01").out

    assert said.count("its failure was opened") == 2
    assert said.count("its failure was closed: the key was right") == 1
    assert "It failed before: opened" in said
    assert "(the key was right)." in said


def test_an_alert_that_is_held_back_is_told() -> None:
    with at_a_desk(ALERT_BURST="1") as desk:
        desk.check(*(desk.invoice(f"VVJ-{number}-01", sale(str(number), None)) for number in (1, 2)), at=AGO)
        told = [desk.run(f"explain VVJ-{number}-01").out for number in (1, 2)]
    assert sum("is deferred to the next digest" in story for story in told) == 1


def test_a_dead_letter_is_found_by_the_message_that_named_the_order(failing: Desk) -> None:
    failing.log(
        "CheckInvoiceLogs", AGO, message="order checked", retry="VTEX answered 500", correlation_ids=["c"], **WHO
    )
    for correlation in ("c", "of another order"):
        failing.log(
            "CheckInvoiceLogs", NOW, message="a message went to the dead-letter queue", reason="gave_up",
            correlation_id=correlation,
        )  # fmt: skip

    said = failing.run("explain VVJ-1-01")

    assert said.out.count("went to the dead letters: VTEX or AWS failed for 24 hours (gave_up)") == 1


def test_what_was_given_up_without_a_reading_is_told(failing: Desk) -> None:
    failing.log(
        "CheckInvoiceLogs", AGO, message="order checked", retry="VTEX answered 403",
        report=2, report_type="invoicekey.order.expired.v1", **WHO,
    )  # fmt: skip

    told = "not checked: VTEX answered 403; it is tried again; reported as number 2 (expired, its last notice)"
    assert told in " ".join(failing.run("explain VVJ-1-01").out.split())


def test_another_accounts_order_of_the_same_id_is_another_order(failing: Desk) -> None:
    failing.log("ReceiveHookLogs", AGO, message="hook queued", account="othershop", order_id="VVJ-1-01")
    assert "VTEX's hook brought" not in failing.run("explain VVJ-1-01").out


def test_an_order_known_to_the_logs_alone_has_a_story(desk: Desk) -> None:
    desk.log("CheckInvoiceLogs", AGO, message="order checked", retry="VTEX answered 403", **WHO)
    said = desk.run("explain VVJ-1-01")
    assert said.code == 0
    assert "not checked: VTEX answered 403" in said.out


def test_older_lines_are_found_with_more_days_alone(desk: Desk) -> None:
    desk.log("CheckInvoiceLogs", NOW - timedelta(days=3), message="order checked", outcome="ok", **WHO)
    assert desk.run("explain VVJ-1-01 --days 2").code == 1
    assert desk.run("explain VVJ-1-01 --days 4").code == 0


@pytest.mark.parametrize("options", ["", " --account othershop"])
def test_an_order_that_nobody_knows_is_one_line(desk: Desk, options: str) -> None:
    said = desk.run(f"explain VVJ-9-01{options}")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "Nobody here knows the order VVJ-9-01" in said.err


def test_without_the_logs_the_ledgers_part_is_told_and_what_is_in_the_way() -> None:
    with at_a_desk() as desk:
        desk.check(desk.invoice("VVJ-1-01", sale("1", None)))
        said = desk.run("explain VVJ-1-01")
    assert said.code == 3
    assert "It is open as failing" in said.out
    assert "The logs could not be read" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_the_terminal(failing: Desk, columns: int) -> None:
    said = failing.run("explain VVJ-1-01", columns=columns)
    assert max(map(len, said.out.splitlines())) <= columns
