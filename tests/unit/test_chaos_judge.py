"""What `make chaos` holds against the deployed stack, on rounds that are made up: it must see what is wrong."""

from pathlib import Path
from typing import Any

import pytest

from local.fault_proxy import Fault, Seen
from tests.chaos import campaign
from tests.chaos.judge import Judge, most_in_a_minute
from tests.chaos.plans import LIVES, Order, plan
from tests.chaos.world import Heard

FAILING, RESOLVED = "invoicekey.order.failing.v1", "invoicekey.order.resolved.v1"
OPEN = {"outcome": {"S": "failing"}, "errors_told": {"S": "f"}}
GOOD = {"outcome": {"S": "ok"}}
DISMISSED = {**OPEN, "set_aside": {"S": "dismissed"}}


def record(number: int = 1, kind: str = FAILING, **data: Any) -> dict[str, Any]:
    problems = [{"code": data.pop("code", "missing")}]
    return {"id": f"id-{number}", "type": kind, "data": {"report": number, "problems": problems, **data}}


def heard(*records: dict[str, Any], alerts: int | None = None) -> Heard:
    return Heard(list(records), [{}] * (len(records) if alerts is None else alerts))


def wrong(kind: str, told: Heard, item: dict[str, Any] | None, *seen: Seen) -> list[str]:
    order = Order(1, "shop", kind)
    return list(Judge({order.id: item} if item else {}, seen).wrong(order, told))


@pytest.mark.parametrize(
    ("kind", "told", "item"),
    [
        ("healthy", heard(), GOOD),
        ("keyless", heard(record()), OPEN),
        ("mended", heard(record(), record(2, RESOLVED)), GOOD),
        ("mended", heard(), GOOD),
        ("dismissed", heard(record(), record(2, RESOLVED, reason="dismissed"), alerts=1), DISMISSED),
    ],
)
def test_what_is_as_it_should_be_is_not_wrong(kind: str, told: Heard, item: dict[str, Any]) -> None:
    assert wrong(kind, told, item) == []


@pytest.mark.parametrize(
    ("kind", "told", "item"),
    [
        ("healthy", heard(), None),
        ("healthy", heard(record()), GOOD),
        ("keyless", heard(), OPEN),
        ("keyless", heard(record(), alerts=0), OPEN),
        ("keyless", heard(record(code="malformed")), OPEN),
        ("mended", heard(record()), GOOD),
        ("mended", heard(), OPEN),
        ("dismissed", heard(record()), DISMISSED),
        ("keyless", heard(record(), record()), OPEN),
        ("keyless", heard(record(), alerts=2), OPEN),
        ("keyless", heard(record(), {**record(), "another": "form"}), OPEN),
        ("canceled", heard(record(), record(2, RESOLVED, reason="canceled"), alerts=2), GOOD),
    ],
)
def test_what_is_lost_made_up_or_told_twice_is_wrong(kind: str, told: Heard, item: dict[str, Any] | None) -> None:
    assert wrong(kind, told, item)


@pytest.mark.parametrize(
    ("fault", "is_explained"),
    [
        (Seen("PublishBatch", Fault.RESET_AFTER, frozenset({"VVJ-1-01"})), True),
        (Seen("UpdateItem", Fault.THROTTLED, frozenset({"VVJ-1-01"})), True),
        (Seen("PublishBatch", Fault.RESET_BEFORE, frozenset({"VVJ-1-01"})), False),
        (Seen("PublishBatch", Fault.RESET_AFTER, frozenset({"VVJ-2-01"})), False),
    ],
)
def test_only_a_fault_that_hit_the_order_between_sending_and_noting_explains_a_second_record(
    fault: Seen, *, is_explained: bool
) -> None:
    assert (wrong("keyless", heard(record(), record(), alerts=1), OPEN, fault) == []) == is_explained


def test_the_busiest_minute_is_counted_wherever_it_begins() -> None:
    times = ["10:00:00", "10:00:50", "10:01:05", "10:01:49", "10:03:00"]
    assert most_in_a_minute([{"at": f"2026-03-03T{time}+00:00"} for time in times]) == 3


def test_a_round_is_drawn_by_its_seed_and_its_changes_come_in_their_order() -> None:
    first, second = (plan("a seed", "shop", iter(range(1, 99))) for _ in range(2))
    assert first.moments == second.moments
    for order in first.orders:
        changes = [one.stage for one in first.moments if one.order == order and one.what == "changes"]
        assert tuple(changes) == LIVES[order.kind].stages


def test_the_figures_are_put_between_the_marks_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "proof.md"
    page.write_text(f"before\n{campaign.BEGIN}old\n{campaign.END}after\n")
    result = campaign.Result(7, rounds=100)
    campaign.write(result, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "Seed 7" in text
    assert "old" not in text
