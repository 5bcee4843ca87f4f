"""A period of days on the shop's calendar, as a command line names it."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from invoicekey.messages import texts
from operations.deployment.stack import NotUnderstood

YEARS_KEPT = 2
"""VTEX gives no older orders."""


@dataclass(frozen=True, slots=True)
class Period:
    """Days, both edges counted in."""

    first: date
    last: date
    timezone: str

    @property
    def begin(self) -> datetime:
        """Return the moment at which it begins."""
        return datetime.combine(self.first, time(), ZoneInfo(self.timezone))

    @property
    def end(self) -> datetime:
        """Return the moment at which it ends."""
        return datetime.combine(self.last + timedelta(days=1), time(), ZoneInfo(self.timezone))


def period(first: str | None, last: str | None, timezone: str, now: datetime) -> Period:
    """Read a period, raising NotUnderstood for what is no day, ends before it begins, or VTEX has no orders of."""
    if not first or not last:
        raise NotUnderstood("Say which days: --from 2026-10-01 --to 2026-10-31")
    begin, end = _day(first), _day(last)
    today = texts.local(now, timezone).date()
    oldest = _years_before(today, YEARS_KEPT)
    if begin > end:
        raise NotUnderstood(f"The period ends before it begins: --from {begin} --to {end}")
    if end > today:
        raise NotUnderstood(f"{end} is in the future: today is {today} in {timezone}.")
    if begin < oldest:
        raise NotUnderstood(f"VTEX gives no orders older than {YEARS_KEPT} years: begin with --from {oldest} or later.")
    return Period(begin, end, timezone)


def _day(text: str) -> date:
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise NotUnderstood(f"{text[:40]!r} is no day. Expected year, month and day, such as 2026-10-01.") from None


def _years_before(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February
        return day.replace(year=day.year - years, day=28)
