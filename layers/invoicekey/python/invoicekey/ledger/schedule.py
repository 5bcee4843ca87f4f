"""When an open failure is read again: VTEX sends no event when a person adds the key, so we look."""

from datetime import datetime, timedelta

FOLLOWED_FOR = timedelta(days=30)
"""What has not closed by then expires."""

_FIRST = (timedelta(minutes=15), timedelta(hours=1))
_EVERY_FOUR_HOURS = tuple(timedelta(hours=1 + 4 * number) for number in range(1, 19))
_DAILY = tuple(_EVERY_FOUR_HOURS[-1] + timedelta(days=number) for number in range(1, 27))
READINGS = (*_FIRST, *_EVERY_FOUR_HOURS, *_DAILY, FOLLOWED_FOR)
"""After which times: soon, for somebody is at it; every four hours for three days; then daily to thirty days."""


def next_reading(followed_from: datetime, now: datetime) -> datetime | None:
    """Return when a failure reported at `followed_from` is read next; None where its last reading is past."""
    return next((followed_from + after for after in READINGS if followed_from + after > now), None)
