"""The stack's alarms: whether one that rings reaches anybody.

CloudWatch carries an alarm's action out on its own: a topic's policy or a key that leaves it out swallows what rings,
and the alarm's history alone says so. That history's shapes rest on AWS's API reference and on what others were
answered; no emulator writes them.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from invoicekey.messages import texts
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood, Trouble
from operations.health.topics import OPERATIONS, TOPICS, listeners
from operations.terminal.findings import Finding, Section, looked, note, to_do, unknown, well
from operations.terminal.plain import date

KINDS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
PATIENCE_SECONDS = 60.0
"""So long the history is waited for. It mostly has an action within seconds."""
BETWEEN_LOOKS_SECONDS = 2.0
REASON = "This is a test by `invoicekey alarms test`: nothing is wrong, and there is nothing to do."
OVER = "The test by `invoicekey alarms test` is over."
_TYPES = ["MetricAlarm", "CompositeAlarm"]
_RINGING = "ALARM"
_MOST_DESCRIBED = 100
_LONGEST_WHY = 200
_MOST_ACTIONS = 20


@dataclass(frozen=True, slots=True)
class Action:
    """What CloudWatch did when an alarm changed its state: one item of its history."""

    target: str
    """The topic's ARN."""
    at: datetime
    is_done: bool
    why: str | None = None
    """Why it was not carried out, as CloudWatch says."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that tells somebody."""

    name: str
    """As the template has it."""
    physical: str
    state: str
    targets: tuple[str, ...]
    is_enabled: bool
    window: float
    """In seconds; a composite has none, and comes last."""
    description: str = ""

    @property
    def is_ringing(self) -> bool:
        """Say whether it is in ALARM."""
        return self.state == _RINGING


# ---- Which alarms there are


def telling(of: Shop) -> list[Alarm]:
    """Return the stack's alarms that tell somebody; those without an action are parts of others."""
    names = _names(of)
    answers = [
        of.ask("cloudwatch", "describe_alarms", AlarmNames=some, AlarmTypes=_TYPES)
        for some in _by_hundreds(sorted(names))
    ]
    described = [one for a in answers for one in (*a.get("MetricAlarms", ()), *a.get("CompositeAlarms", ()))]
    return sorted((_alarm(one, names) for one in described if one.get("AlarmActions")), key=lambda one: one.name)


def _names(of: Shop) -> dict[str, str]:
    """Return the alarms' names in the template, by their physical ones."""
    found: dict[str, str] = {}
    more: dict[str, str] = {}
    while True:
        answer = of.ask("cloudformation", "list_stack_resources", StackName=of.deployment.stack, **more)
        for one in answer["StackResourceSummaries"]:
            if one["ResourceType"] in KINDS:
                found[one.get("PhysicalResourceId", "")] = one["LogicalResourceId"]
        if "NextToken" not in answer:
            return found
        more = {"NextToken": answer["NextToken"]}


def _by_hundreds(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(names), _MOST_DESCRIBED):
        yield names[begin : begin + _MOST_DESCRIBED]


def _alarm(described: Mapping[str, Any], names: Mapping[str, str]) -> Alarm:
    physical = described["AlarmName"]
    periods = [described.get("Period"), *(m.get("MetricStat", {}).get("Period") for m in described.get("Metrics", ()))]
    period = max((period for period in periods if period), default=float("inf"))
    return Alarm(
        name=names.get(physical, physical),
        physical=physical,
        state=described.get("StateValue", ""),
        targets=tuple(described["AlarmActions"]),
        is_enabled=described.get("ActionsEnabled", True),
        window=period * described.get("EvaluationPeriods", 1),
        description=str(described.get("AlarmDescription") or ""),
    )


def pick(alarms: Sequence[Alarm], named: str | None) -> Alarm:
    """Return the alarm to be tried: the one that is named, else one that CloudWatch looks at often.

    Raises Trouble where it is ringing, for it must not be put back to OK, or where it would tell nobody.
    """
    if named is None:
        still = [one for one in alarms if not one.is_ringing and one.is_enabled]
        if not still:
            raise Trouble("There is no alarm to try: each one is ringing, or its actions are disabled. Run doctor.")
        return min(still, key=lambda one: (one.window, one.state != "OK", one.name))
    found = next((one for one in alarms if named in {one.name, one.physical}), None)
    if found is None:
        known = ", ".join(one.name for one in alarms)
        raise NotUnderstood(f"The stack has no alarm {named[:80]!r} that tells somebody; it has: {known}.")
    if found.is_ringing:
        raise Trouble(f"{found.name} is ringing, and is not tried: see docs/runbook.md, or name another (--alarm).")
    if not found.is_enabled:
        raise Trouble(f"The actions of {found.name} are disabled: aws cloudwatch enable-alarm-actions enables them.")
    return found


# ---- The test


def who_hears(of: Shop, alarm: Alarm) -> Section:
    """Say who gets the message of an alarm that is about to be tried, and what it says."""
    told = note(f"whoever is notified gets a message of {alarm.name} now, with the reason “{REASON}”")
    heard = looked("who listens is not known", lambda: listeners(of, OPERATIONS))
    return Section(TOPICS[OPERATIONS].capitalize(), (*heard, told))


def try_alarm(
    of: Shop,
    alarm: Alarm,
    patience: float = PATIENCE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Section:
    """Let an alarm ring, see in its history what came of that, and put it back as it was, whatever happens."""

    def rung() -> Iterator[Finding]:
        before = set(actions(of, alarm.physical))
        with _ringing(of, alarm):
            deadline = clock() + patience
            while True:
                came = {one.target: one for one in actions(of, alarm.physical) if one not in before}
                if came.keys() >= set(alarm.targets) or clock() >= deadline:
                    break
                sleep(BETWEEN_LOOKS_SECONDS)
        for target in alarm.targets:
            yield _told(of, alarm, target, came.get(target), patience)
        yield well(f"{alarm.name} is {alarm.state} again, as it was")

    return Section("Alarm", tuple(looked(f"{alarm.name} could not be tried", rung)))


@contextmanager
def _ringing(of: Shop, alarm: Alarm) -> Iterator[None]:
    try:
        of.ask("cloudwatch", "set_alarm_state", AlarmName=alarm.physical, StateValue=_RINGING, StateReason=REASON)
        yield
    finally:
        _return_to_queue(of, alarm)


def _return_to_queue(of: Shop, alarm: Alarm) -> None:
    """Give an alarm its former state; but what CloudWatch itself has set meanwhile stays as it is.

    A metric alarm returns at its next evaluation anyway, a composite one only when one of its parts changes. Raises
    Trouble that says how to do it by hand.
    """
    state = {"AlarmName": alarm.physical, "StateValue": alarm.state, "StateReason": OVER}
    try:
        answer = of.ask("cloudwatch", "describe_alarms", AlarmNames=[alarm.physical], AlarmTypes=_TYPES)
        now = [*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ())]
        if any((one.get("StateValue"), one.get("StateReason")) == (_RINGING, REASON) for one in now):
            of.ask("cloudwatch", "set_alarm_state", **state)
    except Trouble as trouble:
        raise Trouble(
            f"{alarm.name} may still be in ALARM by this test. Put it back: aws cloudwatch set-alarm-state "
            f"--alarm-name {alarm.physical} --state-value {alarm.state} --state-reason over"
            f"{of.deployment.aws_options} ({trouble})"
        ) from None


def _told(of: Shop, alarm: Alarm, target: str, action: Action | None, patience: float) -> Finding:
    topic = target.rpartition(":")[2]
    if action is None:
        return unknown(
            f"in {patience:.0f} s the history of {alarm.name} has no action for {topic}",
            f"look once more, with more time: {of.command(f'alarms test --alarm {alarm.name} --wait 300')}",
        )
    if action.is_done:
        return well(f"{alarm.name} rang, and CloudWatch notified {topic}")
    return to_do(f"{alarm.name} rang, and CloudWatch could not tell {topic}: {_said(action)}", _mend(action))


# ---- What the history says


def failed_actions(of: Shop, alarms: Sequence[Alarm]) -> Iterator[Finding]:
    """Say which alarms CloudWatch could tell nobody of when they last rang."""
    for alarm in alarms:
        newest: dict[str, Action] = {}
        for action in actions(of, alarm.physical):
            newest.setdefault(action.target, action)
        for action in newest.values():
            if not action.is_done:
                yield to_do(
                    f"{alarm.name} rang on {date(action.at, of)}, and notified nobody: {_said(action)}",
                    f"{_mend(action)}; then {of.command(f'alarms test --alarm {alarm.name}')}",
                )


def actions(of: Shop, physical: str) -> list[Action]:
    """Return what CloudWatch did for an alarm, the newest first: the history has thirty days."""
    answer = of.ask(
        "cloudwatch", "describe_alarm_history", AlarmName=physical, AlarmTypes=_TYPES, HistoryItemType="Action",
        ScanBy="TimestampDescending", MaxRecords=_MOST_ACTIONS,
    )  # fmt: skip
    read = [_action(item) for item in answer.get("AlarmHistoryItems", ())]
    return [action for action in read if action]


def _action(item: Mapping[str, Any]) -> Action | None:
    """Read an item; None for one that says neither that an action was carried out nor that it was not."""
    summary = str(item.get("HistorySummary") or "")
    data = _data(item.get("HistoryData"))
    is_done = summary.startswith("Successfully executed action") or data.get("actionState") == "Succeeded"
    is_failed = summary.startswith("Failed to execute action") or data.get("actionState") == "Failed"
    found = re.search(r"arn:[^\s\"]+", str(data.get("notificationResource") or summary))
    if not (is_done or is_failed) or found is None:
        return None
    error = data.get("error") or summary.partition("Received error:")[2].strip(' "') or None
    return Action(found[0].rstrip("."), item["Timestamp"], is_done and not is_failed, error and str(error))


def _data(text: object) -> dict[str, Any]:
    try:
        data = json.loads(str(text))
    except ValueError:  # it is cut to 4,095 characters
        return {}
    return data if isinstance(data, dict) else {}


def _said(action: Action) -> str:
    return texts.plain(action.why, _LONGEST_WHY) or "CloudWatch gives no reason"


def _mend(action: Action) -> str:
    why = (action.why or "").lower()
    if "sns:publish" in why:
        how = "let cloudwatch.amazonaws.com publish to the topic (sns:Publish), as OperationsTopicPolicy does"
    elif "kms" in why or "key" in why:
        how = "let cloudwatch.amazonaws.com use the topic's key (kms:Decrypt, kms:GenerateDataKey*): OperationsKey"
    else:
        how = "compare the topic, its policy and its key with the template's"
    return f"{how}; see docs/runbook.md#alarms-that-reach-nobody"
