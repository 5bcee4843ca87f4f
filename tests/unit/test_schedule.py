"""When an open failure is read again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from invoicekey.ledger.schedule import FOLLOWED_FOR, READINGS, next_reading

TOLD = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def readings() -> Iterator[timedelta]:
    """Yield after which times it is read, each reading a second late."""
    moment = TOLD
    while following := next_reading(TOLD, moment + timedelta(seconds=1)):
        moment = following
        yield moment - TOLD


def test_the_first_readings_come_soon_for_somebody_is_at_it() -> None:
    assert list(readings())[:4] == [HOUR / 4, HOUR, 5 * HOUR, 9 * HOUR]


def test_it_is_read_every_four_hours_for_three_days() -> None:
    within = [after for after in readings() if HOUR <= after <= 3 * DAY + HOUR]
    assert {later - earlier for earlier, later in pairwise(within)} == {4 * HOUR}
    assert within[-1] == 3 * DAY + HOUR


def test_it_is_read_daily_from_then_to_thirty_days() -> None:
    within = [after for after in readings() if after > 3 * DAY]
    assert max(later - earlier for earlier, later in pairwise(within)) == DAY
    assert within[-1] == FOLLOWED_FOR == 30 * DAY


def test_after_the_last_reading_there_is_none() -> None:
    assert next_reading(TOLD, TOLD + FOLLOWED_FOR) is None


def test_the_times_only_grow() -> None:
    assert list(READINGS) == sorted(set(READINGS))


@pytest.mark.parametrize(
    ("late", "after"), [(HOUR / 4, HOUR), (3 * HOUR, 5 * HOUR), (2 * DAY, 2 * DAY + HOUR), (29.9 * DAY, 30 * DAY)]
)
def test_who_reads_late_leaves_out_what_is_past(late: timedelta, after: timedelta) -> None:
    assert next_reading(TOLD, TOLD + late) == TOLD + after
