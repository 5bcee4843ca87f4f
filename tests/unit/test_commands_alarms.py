"""`invoicekey alarms test`: a real alarm rings for a moment, and what CloudWatch did with it is seen.

CloudWatch is a stand-in modelled after its API reference and after what public reports quote of alarms' histories.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from operations.health.alarms import BETWEEN_LOOKS_SECONDS, OVER, REASON, actions, pick, telling, try_alarm
from operations.terminal.findings import Section, State
from tests.operated import EMAIL, Operated, denied, operated

OPERATIONS = "OperationsTopicArn"
NO_POLICY = (
    "CloudWatch Alarms is not authorized to perform: SNS:Publish on resource: arn:aws:sns:us-east-1:1:operations"
)
NO_KEY = "CloudWatch Alarms does not have authorization to access the SNS topic encryption key."
BEGIN = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)


@dataclass
class CloudWatch:
    """Alarms with a state and a history, as AWS keeps them; time passes when somebody sleeps."""

    topic: str
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    refusal: str | None = None
    """Why the topic takes nothing."""
    takes: float = 0.0
    """So many seconds the history is late."""
    seconds: float = 0.0
    meanwhile: Callable[[], object] = lambda: None

    def put(self, name: str, state: str = "OK", **more: Any) -> None:
        usual = {"AlarmActions": [self.topic], "StateReason": "as it is", "Period": 300, "EvaluationPeriods": 1}
        self.alarms[name] = {"AlarmName": name, "StateValue": state, **usual, **more}

    def sleep(self, seconds: float) -> None:
        self.meanwhile()
        self.seconds += seconds

    def clock(self) -> float:
        return self.seconds

    # ---- As boto3 is called

    def describe_alarms(self, **asked: Any) -> dict[str, Any]:
        assert set(asked["AlarmTypes"]) == {"MetricAlarm", "CompositeAlarm"}  # without it composites are left out
        found = [self.alarms[name] for name in asked["AlarmNames"] if name in self.alarms]
        composite = [one for one in found if "AlarmRule" in one]
        return {"MetricAlarms": [one for one in found if one not in composite], "CompositeAlarms": composite}

    def set_alarm_state(self, **asked: Any) -> dict[str, Any]:
        alarm = self.alarms[asked["AlarmName"]]
        before, alarm["StateValue"], alarm["StateReason"] = (
            alarm["StateValue"],
            asked["StateValue"],
            asked["StateReason"],
        )
        if before != "ALARM" and asked["StateValue"] == "ALARM":
            for target in alarm["AlarmActions"]:
                self.act(alarm["AlarmName"], target)
        return {}

    def act(self, name: str, target: str) -> None:
        said = f"Failed to execute action {target}" if self.refusal else f"Successfully executed action {target}"
        data = {
            "actionState": "Failed" if self.refusal else "Succeeded",
            "stateUpdateTimestamp": 1_772_549_641_000,
            "notificationResource": target,
            "publishedMessage": "{}",
            "error": self.refusal,
        }
        self.history.insert(
            0,
            {
                "AlarmName": name,
                "AlarmType": "MetricAlarm",
                "Timestamp": BEGIN + timedelta(seconds=len(self.history)),
                "HistoryItemType": "Action",
                "HistorySummary": f'{said}. Received error: "{self.refusal}"'[:255] if self.refusal else said,
                "HistoryData": json.dumps(data),
                "seen_from": self.seconds + self.takes,
            },
        )

    def describe_alarm_history(self, **asked: Any) -> dict[str, Any]:
        assert asked["HistoryItemType"] == "Action"
        seen = [h for h in self.history if h["AlarmName"] == asked["AlarmName"] and h["seen_from"] <= self.seconds]
        return {"AlarmHistoryItems": seen}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(monkeypatch) as made:
        made.subscribe(OPERATIONS)
        yield made


@pytest.fixture
def watch(stack: Operated) -> CloudWatch:
    watch = CloudWatch(stack.deployment.output(OPERATIONS))
    watch.put("DeadLettersAlarm")
    operations = ("describe_alarms", "set_alarm_state", "describe_alarm_history")
    stack.tell("cloudwatch", **{name: getattr(watch, name) for name in operations})
    return watch


def tried(stack: Operated, watch: CloudWatch, name: str = "DeadLettersAlarm", patience: float = 60.0) -> Section:
    """Try an alarm, with a clock that nobody waits for."""
    chosen = pick(telling(stack.shop), name)
    return try_alarm(stack.shop, chosen, patience, clock=watch.clock, sleep=watch.sleep)


def states(section: Section) -> list[State]:
    return [finding.state for finding in section.findings]


# ---- What comes of it


def test_an_alarm_that_reaches_its_topic_is_well_and_is_put_back(stack: Operated, watch: CloudWatch) -> None:
    assert stack.run("alarms", "test") == 0
    shown = stack.said.out
    assert f"email {EMAIL} is notified" in shown
    assert f"gets a message of DeadLettersAlarm now, with the reason “{REASON}”" in shown
    assert "DeadLettersAlarm rang, and CloudWatch notified OperationsTopicArn" in shown
    assert "DeadLettersAlarm is OK again" in shown
    assert watch.alarms["DeadLettersAlarm"]["StateValue"] == "OK"


def test_whoever_gets_the_message_reads_that_it_is_a_test(stack: Operated, watch: CloudWatch) -> None:
    stack.run("alarms", "test")
    asked = [more for name, more in stack.deployment.told["cloudwatch"].asked if name == "set_alarm_state"]
    assert [(one["StateValue"], one["StateReason"]) for one in asked] == [("ALARM", REASON), ("OK", OVER)]
    assert "test" in REASON
    assert "nothing is wrong" in REASON


@pytest.mark.parametrize(
    ("refusal", "mends"),
    [
        (NO_POLICY, "OperationsTopicPolicy"),
        (NO_KEY, "OperationsKey"),
        ("null (Service: AWSKMS; Status Code: 400; Error Code: AccessDeniedException)", "OperationsKey"),
        ("Topic does not exist", "compare the topic"),
    ],
)
def test_an_alarm_that_reaches_nobody_is_told_with_its_cause_and_what_mends_it(
    refusal: str, mends: str, stack: Operated, watch: CloudWatch
) -> None:
    watch.refusal = refusal
    assert stack.run("alarms", "test") == 3
    shown = stack.said.out
    assert refusal[:40] in shown
    assert mends in shown
    assert watch.alarms["DeadLettersAlarm"]["StateValue"] == "OK"


def test_where_nobody_listens_the_exit_code_says_so(stack: Operated, watch: CloudWatch) -> None:
    stack.unsubscribe(OPERATIONS)
    assert stack.run("alarms", "test") == 3


def test_a_history_that_is_late_is_waited_for(stack: Operated, watch: CloudWatch) -> None:
    watch.takes = 30.0
    assert states(tried(stack, watch)) == [State.WELL, State.WELL]
    assert 30.0 <= watch.seconds <= 30.0 + BETWEEN_LOOKS_SECONDS


def test_patience_ends_and_the_alarm_is_put_back(stack: Operated, watch: CloudWatch) -> None:
    watch.takes = 1000.0
    section = tried(stack, watch, patience=10.0)
    assert states(section) == [State.UNKNOWN, State.WELL]
    assert "--wait 300" in str(section.findings[0].to_do)
    assert watch.seconds <= 10.0 + BETWEEN_LOOKS_SECONDS
    assert watch.alarms["DeadLettersAlarm"]["StateValue"] == "OK"


def test_what_an_earlier_ring_came_to_is_not_taken_for_this_one_s(stack: Operated, watch: CloudWatch) -> None:
    watch.act("DeadLettersAlarm", watch.topic)
    watch.refusal = NO_POLICY
    assert states(tried(stack, watch)) == [State.TO_DO, State.WELL]


# ---- It is put back, whatever happens


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA"])
def test_interrupted_the_alarm_gets_the_state_that_it_had(state: str, stack: Operated, watch: CloudWatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    watch.put("DeadLettersAlarm", state)
    watch.takes, watch.meanwhile = 1000.0, interrupt
    with pytest.raises(KeyboardInterrupt):
        tried(stack, watch)
    assert watch.alarms["DeadLettersAlarm"]["StateValue"] == state


def test_a_history_that_may_not_be_read_leaves_the_alarm_alone(stack: Operated, watch: CloudWatch) -> None:
    stack.tell("cloudwatch", describe_alarm_history=denied("DescribeAlarmHistory"))
    assert states(tried(stack, watch)) == [State.UNKNOWN]
    assert watch.alarms["DeadLettersAlarm"]["StateReason"] == "as it is"


def test_what_cloudwatch_itself_found_meanwhile_stays(stack: Operated, watch: CloudWatch) -> None:
    watch.takes = 10.0
    watch.meanwhile = lambda: watch.put("DeadLettersAlarm", "ALARM", StateReason="Threshold Crossed")
    tried(stack, watch)
    assert watch.alarms["DeadLettersAlarm"]["StateValue"] == "ALARM"


def test_an_alarm_that_cannot_be_put_back_is_told_with_the_command_for_it(stack: Operated, watch: CloudWatch) -> None:
    def once(**asked: Any) -> dict[str, Any]:
        if asked["StateValue"] != "ALARM":
            raise denied("SetAlarmState")
        return watch.set_alarm_state(**asked)

    stack.tell("cloudwatch", set_alarm_state=once)
    (finding,) = tried(stack, watch).findings
    assert finding.state is State.UNKNOWN
    assert "aws cloudwatch set-alarm-state --alarm-name DeadLettersAlarm --state-value OK" in finding.says


def test_who_may_not_set_an_alarm_is_told_so(stack: Operated, watch: CloudWatch) -> None:
    stack.tell("cloudwatch", set_alarm_state=denied("SetAlarmState"))
    assert stack.run("alarms", "test") == 1
    assert "your AWS identity may not do that" in stack.said.out


# ---- Which alarm


def test_of_several_one_is_taken_that_cloudwatch_looks_at_often(stack: Operated, watch: CloudWatch) -> None:
    watch.put("QuietAlarm", AlarmRule='ALARM("a")', Period=None, EvaluationPeriods=1)
    assert [one.name for one in telling(stack.shop)] == ["DeadLettersAlarm", "QuietAlarm"]
    assert pick(telling(stack.shop), None).name == "DeadLettersAlarm"


def test_a_composite_is_tried_by_its_name_and_put_back(stack: Operated, watch: CloudWatch) -> None:
    watch.put("QuietAlarm", AlarmRule='ALARM("a")')
    assert states(tried(stack, watch, "QuietAlarm")) == [State.WELL, State.WELL]
    assert watch.alarms["QuietAlarm"]["StateValue"] == "OK"


def test_the_window_of_an_alarm_of_metric_math_is_that_of_its_metrics(stack: Operated, watch: CloudWatch) -> None:
    metrics = [{"Id": "share", "Expression": "a / b"}, {"Id": "a", "MetricStat": {"Period": 21_600}}]
    watch.put("DeadLettersAlarm", Metrics=metrics, Period=None, EvaluationPeriods=2)
    assert pick(telling(stack.shop), None).window == 43_200


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("--alarm DeadLettersAlarm", "is ringing"),
        ("--alarm NoSuchAlarm", "has no alarm 'NoSuchAlarm'"),
        ("--alarm QuietAlarm", "disabled"),
        ("", "There is no alarm to try"),
    ],
)
def test_an_alarm_that_must_not_be_tried_is_refused(named: str, says: str, stack: Operated, watch: CloudWatch) -> None:
    watch.put("DeadLettersAlarm", "ALARM")
    watch.put("QuietAlarm", ActionsEnabled=False)
    assert stack.run("alarms", "test", *named.split()) == (2 if "NoSuch" in named else 1)
    assert says in stack.said.err
    assert not [name for name, _ in stack.deployment.told["cloudwatch"].asked if name == "set_alarm_state"]


def test_a_part_of_another_alarm_is_not_tried(stack: Operated, watch: CloudWatch) -> None:
    watch.put("DeadLettersAlarm", AlarmActions=[])
    assert telling(stack.shop) == []


def test_a_stack_of_many_pages_is_read_to_its_end(stack: Operated, watch: CloudWatch) -> None:
    watch.put("QuietAlarm", AlarmRule='ALARM("a")')
    stack.list_resources_in_pages()
    assert [one.name for one in telling(stack.shop)] == ["DeadLettersAlarm", "QuietAlarm"]


# ---- Histories as they may be


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"HistorySummary": "Successfully executed action arn:aws:sns:us-east-1:1:t"}, (True, None)),
        ({"HistorySummary": 'Failed to execute action arn:aws:sns:us-east-1:1:t. Received error: "no"'}, (False, "no")),
        (
            {"HistorySummary": "Failed to execute action arn:aws:sns:us-east-1:1:t", "HistoryData": '{"err'},
            (False, None),
        ),
        ({"HistorySummary": "Failed to execute action arn:aws:sns:us-east-1:1:t", "HistoryData": "[]"}, (False, None)),
        ({"HistorySummary": "Alarm action suppressed arn:aws:sns:us-east-1:1:t"}, None),
        ({"HistorySummary": "Successfully executed action"}, None),
        ({}, None),
    ],
)
def test_an_item_says_whether_an_action_was_carried_out_or_is_left_out(
    item: dict[str, str], expected: tuple[bool, str | None] | None, stack: Operated
) -> None:
    stack.tell("cloudwatch", describe_alarm_history={"AlarmHistoryItems": [{**item, "Timestamp": BEGIN}]})

    found = [(action.target, action.is_done, action.why) for action in actions(stack.shop, "DeadLettersAlarm")]

    assert found == ([("arn:aws:sns:us-east-1:1:t", *expected)] if expected else [])
