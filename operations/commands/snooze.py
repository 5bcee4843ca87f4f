"""`invoicekey snooze`: failures of which nobody is to be reminded before a day."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from invoicekey.messages import texts
from invoicekey.rules.notification import OrderRef
from invoicekey.work.acts import LONGEST_SNOOZE, ActResult
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood
from operations.health.story import day as day_told
from operations.tasks.acting import each, no, standing, yes

_DAYS = LONGEST_SNOOZE.days
_DAY = re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})")
_DAY_IN_BRAZIL = re.compile(r"(?P<day>\d{1,2})/(?P<month>\d{1,2})(?:/(?P<year>\d{4}))?")
_TRY_AGAIN = "the stack is writing to it at this moment. Try again in a minute."


def snooze(of: Shop, orders: list[str], *, until: str | None, days: int | None, undo: bool, account: str | None) -> int:
    """Leave open failures out of digests and reminders until a day, or take that back; return the exit code."""
    if [until is not None, days is not None, undo].count(True) != 1:
        raise NotUnderstood("Say until when: --until 2026-12-04, or --days 3; or take it back: --undo.")
    if undo:
        return each(of, account, orders, lambda acts, ref: acts.wake(ref, datetime.now(UTC)), _woken)
    timezone = of.style.timezone
    today = texts.local(datetime.now(UTC), timezone).date()
    last = _checked(until, today, timezone) if until is not None else today + timedelta(days=days or 0)
    moment = datetime.combine(last, time(), ZoneInfo(timezone))
    return each(
        of,
        account,
        orders,
        lambda acts, ref: acts.snooze(ref, moment, datetime.now(UTC)),
        lambda of, ref, result: _snoozed(of, ref, result, moment),
    )


def _checked(text: str, today: date, timezone: str) -> date:
    """Return the day that was named, raising NotUnderstood for one that is none, is over, or is too far away."""
    day = _read(text.strip(), today)
    if day is None:
        raise NotUnderstood(f"{text[:40]!r} is no day. Expected one such as 2026-12-04, or 04/12 (day/month).")
    if not today < day <= today + LONGEST_SNOOZE:
        raise NotUnderstood(
            f"{day} is not within the next {_DAYS} days: today is {today} in {timezone}. "
            f"Name a day from {today + timedelta(days=1)} to {today + LONGEST_SNOOZE}."
        )
    return day


def _read(text: str, today: date) -> date | None:
    """Return a day; one without a year is the next that there is."""
    named = _DAY.fullmatch(text) or _DAY_IN_BRAZIL.fullmatch(text)
    if not named:
        return None
    years = [int(named["year"])] if named["year"] else [today.year, today.year + 1]
    try:
        found = [date(year, int(named["month"]), int(named["day"])) for year in years]
    except ValueError:
        return None
    return next((day for day in found if day > today), found[0])


def _snoozed(of: Shop, ref: OrderRef, result: ActResult, until: datetime) -> bool:
    match result:
        case ActResult.DONE:
            when = day_told(until, of.style.timezone)
            return yes(ref, f"snoozed. No reminder before {when}, unless its errors change.")
        case ActResult.BUSY:
            return no(ref, _TRY_AGAIN)
        case _:
            return no(ref, f"{standing(of, ref, datetime.now(UTC))}; there is nothing to snooze.")


def _woken(of: Shop, ref: OrderRef, result: ActResult) -> bool:
    match result:
        case ActResult.DONE:
            return yes(ref, "no longer snoozed; it is in the reminders again.")
        case ActResult.BUSY:
            return no(ref, _TRY_AGAIN)
        case _:
            return no(ref, f"{standing(of, ref, datetime.now(UTC))}; it is not snoozed.")
