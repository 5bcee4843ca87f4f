"""Alarms and settings: no setting switches an alarm off, and none makes one ring without need.

How CloudWatch evaluates is modelled after its documentation, and was not seen: sliding windows, looked at each minute.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from operator import itemgetter
from types import CodeType
from typing import Any

import pytest

from invoicekey.rules.policy import Policy
from invoicekey.runtime.telemetry import LEAST
from invoicekey.work.batch import GIVE_UP_AFTER, LONGEST_RETRY
from tests.fakes_outside import Outside
from tests.unit.test_alarms import Watched, alarms, statistic, watched_by
from tests.unit.test_template import FUNCTIONS, properties, template

AN_HOUR, A_DAY, A_WEEK = 60, 24 * 60, 7 * 24 * 60

# ---- CloudWatch, modelled: each minute an alarm looks at its last periods


type Points = Mapping[str, Sequence[tuple[float, float]]]
"""By metric, when in minutes a value was written, in order, and the value."""


def state_at(alarm: str, points: Points, now: float) -> bool:
    """Say whether an alarm would be in ALARM."""
    one, reads = properties(alarm), watched_by(alarm)
    breaching = 0
    for back in range(one["EvaluationPeriods"]):
        value = _value(one, reads, points, now, back)
        breaching += _is_breaching(one, value)
    return bool(breaching >= one.get("DatapointsToAlarm", one["EvaluationPeriods"]))


def _value(
    alarm: Mapping[str, Any], reads: Mapping[str, Watched], points: Points, now: float, back: int
) -> float | None:
    """Return the value of a period, counted back from now; None where there is no data for it."""
    found: dict[str, float] = {}
    for name, one in reads.items():
        end, series = now - back * one.minutes, points.get(one.name, ())
        first, behind = (bisect_right(series, at, key=itemgetter(0)) for at in (end - one.minutes, end))
        if first == behind:
            return None
        found[name] = statistic(one.statistic, [value for _, value in series[first:behind]])
    if "Metrics" not in alarm:
        return found["share"]
    (expression,) = [metric["Expression"] for metric in alarm["Metrics"] if "Expression" in metric]
    return float(eval(_in_python(expression), {"IF": lambda is_so, then, other: then if is_so else other}, found))


@cache
def _in_python(expression: str) -> CodeType:
    """Return an expression of metric math, of which comparisons, AND, IF and arithmetic are known here."""
    return compile(expression.replace(" AND ", " and "), "<alarm>", "eval")


def _is_breaching(alarm: Mapping[str, Any], value: float | None) -> bool:
    if value is None:
        return bool(alarm["TreatMissingData"] == "breaching")
    if alarm["ComparisonOperator"] == "LessThanThreshold":
        return bool(value < alarm["Threshold"])
    return bool(value >= alarm["Threshold"])


def states(alarm: str, points: Points, begin: int, end: int) -> list[bool]:
    return [state_at(alarm, points, minute + 0.5) for minute in range(begin, end)]


def runs(every: int, until: int) -> list[int]:
    return list(range(0, until, every))


# ---- Alarms and settings: which follow which, evaluated at the ends of what a setting may be

SCHEDULES = (1, 2, 5, 7, 10, 15, 30, 45, 60, 90, 2 * AN_HOUR, 5 * AN_HOUR, 6 * AN_HOUR, A_DAY, 3 * A_DAY, A_WEEK)
"""Minutes between two runs, from the shortest that a schedule can have to a week."""
WRITES_AT_RUN = {
    "DigestPostponedAlarm": "digest_postponed",
    "FeedBehindAlarm": "feed_time_up",
    "FeedFailedAlarm": "feed_failed",
    "GuardFailedAlarm": "guard_failed",
    "CredentialsAlarm": "credentials_refused",
    "HookNotKeptAlarm": "guard_refused",
    "LedgerUnreadableAlarm": "ledger_unreadable",
    "RoundOverdueAlarm": "round_overdue",
    "TopicUnheardAlarm": "topic_unconfirmed",
}
LONGEST_RUN = 4
"""Minutes, by the functions' timeouts: so much later than a run begins its figures are written."""


def of_a_shop_in_trouble(alarm: str, every: int, until: int, *, lasts: float) -> Points:
    """Return what runs write that all meet the trouble."""
    began = runs(every, until)
    return {
        "Invocations": [(at, 1.0) for at in began],
        WRITES_AT_RUN[alarm]: [(at + lasts, 1.0) for at in began],
    }


def window_of(alarm: str) -> int:
    """Return the minutes of one period; it is the same for all that an alarm reads."""
    (minutes,) = {one.minutes for one in watched_by(alarm).values()}
    return minutes


def rings_at_each_run_at_the_latest(alarm: str) -> None:
    """Rings within a run's time, for any schedule; and once, where runs come more often than the window is long."""
    for every in SCHEDULES:
        for lasts in (0, LONGEST_RUN):
            window = window_of(alarm) * properties(alarm)["EvaluationPeriods"]
            begin, until = max(every, window), 3 * max(every, window)
            settled = states(alarm, of_a_shop_in_trouble(alarm, every, until, lasts=lasts), begin, until)
            assert all(any(settled[at : at + every]) for at in range(0, len(settled) - every + 1, every)), every
            if every <= window - LONGEST_RUN and every <= AN_HOUR:
                assert all(settled), f"rings anew at each run, every {every} minutes"


def is_still_while_all_is_well(alarm: str) -> None:
    for every in SCHEDULES:
        until = 3 * max(every, AN_HOUR)
        points = {"Invocations": [(at, 1.0) for at in runs(every, until)]}
        assert not any(states(alarm, points, 0, until))


def one_run_in_an_hour_does_not_ring(alarm: str) -> None:
    """At the default of the schedule, that is; where an hour has one run alone, that one rings."""
    every, window = DEFAULTS[alarm], window_of(alarm)
    began = runs(every, 3 * window)
    once = {"Invocations": [(at, 1.0) for at in began], WRITES_AT_RUN[alarm]: [(window + 1, 1.0)]}
    assert not any(states(alarm, once, window, 2 * window))


DEFAULTS = {"DigestPostponedAlarm": 15, "FeedBehindAlarm": 5, "FeedFailedAlarm": 5, "GuardFailedAlarm": 60}


def a_share_of_runs(alarm: str) -> None:
    rings_at_each_run_at_the_latest(alarm)
    is_still_while_all_is_well(alarm)
    one_run_in_an_hour_does_not_ring(alarm)


def each_run_that_fails_rings(alarm: str) -> None:
    """Any one failure is enough, however rare the runs are."""
    one = properties(alarm)
    assert (one["Statistic"], one["Threshold"], one["EvaluationPeriods"]) == ("Sum", 1, 1)


def waits_are_not_late(alarm: str) -> None:
    """An order in the longest grace there may be is not late; what is stuck after it rings before it is given up."""
    longest = max(template()["Parameters"][name]["MaxValue"] for name in ("InvoiceGraceSeconds", "KeyGraceSeconds"))
    outside = Outside(Policy(affiliate_ids=frozenset({"vvj"}), invoice_grace=timedelta(seconds=longest)))
    assert outside.policy.longest_grace == timedelta(seconds=longest)
    assert longest + properties(alarm)["Threshold"] < GIVE_UP_AFTER.total_seconds()
    assert LEAST["oldest_check_age"] <= properties(alarm)["Threshold"]


def one_try_is_not_two_hours(alarm: str) -> None:
    """A single failure does not ring, whatever the first wait; and an old message is met in each window."""
    assert template()["Parameters"]["RetryBaseSeconds"]["MaxValue"] <= LONGEST_RETRY
    assert properties(alarm)["Threshold"] > LONGEST_RETRY
    assert properties(alarm)["Period"] * properties(alarm)["EvaluationPeriods"] > 2 * LONGEST_RETRY


def quiet_within_what_cloudwatch_can_look_back(_: str) -> None:
    parameter = template()["Parameters"]["QuietAlarmHours"]
    assert properties("NothingHeard")["EvaluationPeriods"] == {"Ref": "QuietAlarmHours"}
    assert parameter["MaxValue"] * properties("NothingHeard")["Period"] <= 7 * 86_400
    assert parameter["MaxValue"] <= 72  # VTEX deletes a hook then


def as_it_is_meant(_: str) -> None:
    """The setting is what the alarm is about: nothing to compute."""


FUNCTION_SCHEDULES = {
    "Recheck": ("RecheckSchedule", "ReminderRecheckSchedule"),
    "Drain": ("FeedSchedule",),
    "Guard": ("GuardSchedule",),
    "Digest": ("DigestSchedule", "ReminderSchedule"),
}
FOLLOWS: dict[tuple[str, str], Callable[[str], None]] = {
    ("FeedFailedAlarm", "FeedSchedule"): a_share_of_runs,
    ("FeedBehindAlarm", "FeedSchedule"): a_share_of_runs,
    ("FeedBehindAlarm", "VtexRequestsPerMinute"): as_it_is_meant,
    ("GuardFailedAlarm", "GuardSchedule"): a_share_of_runs,
    ("DigestPostponedAlarm", "DigestSchedule"): a_share_of_runs,
    ("DigestPostponedAlarm", "ReminderSchedule"): a_share_of_runs,
    ("CredentialsAlarm", "FeedSchedule"): rings_at_each_run_at_the_latest,
    ("CredentialsAlarm", "GuardSchedule"): rings_at_each_run_at_the_latest,
    ("CredentialsAlarm", "VtexAccounts"): as_it_is_meant,
    ("HookNotKeptAlarm", "GuardSchedule"): rings_at_each_run_at_the_latest,
    ("RoundOverdueAlarm", "FeedSchedule"): rings_at_each_run_at_the_latest,
    ("RoundOverdueAlarm", "GuardSchedule"): rings_at_each_run_at_the_latest,
    ("RoundOverdueAlarm", "VtexAccounts"): as_it_is_meant,
    ("TopicUnheardAlarm", "GuardSchedule"): rings_at_each_run_at_the_latest,
    ("TopicUnheardAlarm", "AlertEmail"): as_it_is_meant,
    ("TopicUnheardAlarm", "OperationsEmail"): as_it_is_meant,
    ("LedgerUnreadableAlarm", "RecheckSchedule"): rings_at_each_run_at_the_latest,
    ("LedgerUnreadableAlarm", "DigestSchedule"): rings_at_each_run_at_the_latest,
    ("HookRestoredAlarm", "GuardSchedule"): each_run_that_fails_rings,
    ("HookRestoredAlarm", "WatchedStatuses"): as_it_is_meant,  # a change of it registers anew
    # Over a day, of the events that were read in it; slower runs are looked at on their days.
    ("HookMissesAlarm", "FeedSchedule"): as_it_is_meant,
    # So long the feed's events wait for the hook's: the runbook says when to raise it.
    ("HookMissesAlarm", "RetryBaseSeconds"): as_it_is_meant,
    ("OldestCheckAlarm", "InvoiceGraceSeconds"): waits_are_not_late,
    ("OldestCheckAlarm", "KeyGraceSeconds"): waits_are_not_late,
    ("OldestCheckAlarm", "RetryBaseSeconds"): one_try_is_not_two_hours,
    ("OldestCheckAlarm", "VtexRequestsPerMinute"): as_it_is_meant,
    # What waits is in flight, whatever for; it is SQS's own limit that the alarm is about.
    ("InFlightAlarm", "InvoiceGraceSeconds"): as_it_is_meant,
    ("InFlightAlarm", "KeyGraceSeconds"): as_it_is_meant,
    ("InFlightAlarm", "RetryBaseSeconds"): as_it_is_meant,
    ("QuietAlarm", "QuietAlarmHours"): quiet_within_what_cloudwatch_can_look_back,
    ("QuietAlarm", "VtexAccounts"): as_it_is_meant,  # a refused account's hooks are not counted as received
    ("CnovaSuspectAlarm", "CnovaAffiliateIds"): as_it_is_meant,
    ("CnovaSuspectAlarm", "SkipOtherPrefixes"): as_it_is_meant,
    ("NoCnovaOrderAlarm", "CnovaAffiliateIds"): as_it_is_meant,
    ("NoCnovaOrderAlarm", "WatchedStatuses"): as_it_is_meant,
    **{
        (f"{function}{what}Alarm", schedule): each_run_that_fails_rings
        for function, schedules in FUNCTION_SCHEDULES.items()
        for what in ("Errors", "Throttles")
        for schedule in schedules
    },
}
"""Alarm and setting: those that follow it, and what shows that they do. All other pairs are independent."""
OF_NO_ALARM = {
    "AlertBurst",
    "AlertLanguage",
    "AlertTimezone",
    "AlertWindowMinutes",
    "Architecture",
    "AwsEndpointUrl",  # for the emulator alone, which lacks some: test_alarms.py
    "ChatAlerts",
    "DeskLinks",  # no desk, no alarm about it: test_template.py
    "MaximumConcurrency",
    "Monitoring",  # what alarms watch is written with either: test_alarms.py
    "SellerTaxIds",
    "SummaryOrders",
    "TrackingGraceHours",  # its orders are on a list, and not in the queue
    "VtexBaseUrl",
}
"""Settings on which no alarm depends."""


def test_every_setting_stands_in_the_table_or_concerns_no_alarm() -> None:
    assert {setting for _, setting in FOLLOWS} | OF_NO_ALARM == set(template()["Parameters"])
    assert not {setting for _, setting in FOLLOWS} & OF_NO_ALARM


def test_the_table_names_alarms_that_tell_somebody() -> None:
    telling = {name for name, r in template()["Resources"].items() if "AlarmActions" in r.get("Properties", {})}

    assert {alarm for alarm, _ in FOLLOWS} <= telling


def test_an_alarm_about_a_scheduled_function_stands_in_the_table_with_its_schedules() -> None:
    schedules = {
        function: {s["Properties"]["ScheduleExpression"]["Ref"] for s in properties(function).get("Events", {}).values()
                   if s["Type"] == "ScheduleV2"}
        for function in FUNCTIONS
    }  # fmt: skip
    for name in alarms():
        for one in watched_by(name).values():
            if one.namespace == "AWS/Lambda":
                for schedule in schedules[one.dimensions[0][1]]:
                    assert (name, schedule) in FOLLOWS


SHOWN = {f"{alarm}-{check.__name__}": (alarm, check) for (alarm, _), check in FOLLOWS.items()}


@pytest.mark.parametrize(("alarm", "follows"), SHOWN.values(), ids=SHOWN)
def test_an_alarm_follows_its_settings(alarm: str, follows: Callable[[str], None]) -> None:
    follows(alarm)


# ---- Fifty orders, and none of CNova's


def checks(of_cnova: int, others: int) -> Points:
    values = [1.0] * of_cnova + [0.0] * others
    return {"cnova_order": [(A_DAY + at, value) for at, value in enumerate(values)]}


@pytest.mark.parametrize(
    ("of_cnova", "others", "rings"), [(0, 49, False), (0, 50, True), (1, 49, False), (1, 500, False), (0, 0, False)]
)
def test_fifty_orders_of_which_none_is_cnova_s_ring(of_cnova: int, others: int, *, rings: bool) -> None:
    assert state_at("NoCnovaOrderAlarm", checks(of_cnova, others), A_DAY + 600) is rings


def test_orders_of_more_than_seven_days_ago_do_not_count() -> None:
    assert not state_at("NoCnovaOrderAlarm", checks(0, 500), A_DAY + A_WEEK + 600)
