"""A stack that cannot be deployed to: what failed in it is told, and the way out is offered."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from botocore.config import Config

from operations.deploying.standing import LONGEST_REASON, Stack, make_ready
from operations.deployment.stack import Deployment, Trouble
from tests.fake_cloudformation import BEGAN, NAME, OWN, Event, FakeCloudFormation

EMAIL, SCHEDULE = "AWS::SNS::Subscription", "AWS::Scheduler::Schedule"

CREATION: list[Event] = [
    (NAME, OWN, "CREATE_IN_PROGRESS", "User Initiated"),
    ("HookQueue", "AWS::SQS::Queue", "CREATE_COMPLETE", ""),
    ("AlertEmailSubscription", EMAIL, "CREATE_FAILED", "Invalid parameter:\n Email address"),
    ("Api", "AWS::ApiGatewayV2::Api", "CREATE_FAILED", "Resource creation cancelled"),
    (NAME, OWN, "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [AlertEmailSubscription, Api]."),
    (NAME, OWN, "ROLLBACK_COMPLETE", ""),
]
UPDATE: list[Event] = [
    (NAME, OWN, "UPDATE_IN_PROGRESS", "User Initiated"),
    ("Feed", SCHEDULE, "UPDATE_FAILED", "Invalid Schedule Expression"),
    (NAME, OWN, "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update: [Feed]."),
    ("LedgerTable", "AWS::DynamoDB::Table", "UPDATE_FAILED", "Too many updates"),
    (NAME, OWN, "UPDATE_ROLLBACK_FAILED", "The following resource(s) failed to update: [LedgerTable]."),
]


class StandingDeployment(Deployment):
    """A deployment whose CloudFormation is ours."""

    def __init__(self, cloudformation: FakeCloudFormation) -> None:
        super().__init__(NAME, "us-east-1")
        self._cloudformation = cloudformation

    def client(self, service: str, patience: Config | None = None) -> Any:
        """Return it."""
        assert service == "cloudformation"
        return self._cloudformation


def stack_of(cloudformation: FakeCloudFormation) -> Stack:
    return Stack(StandingDeployment(cloudformation))


def ready(cloudformation: FakeCloudFormation, advice: str = "") -> None:
    make_ready(stack_of(cloudformation), advice, pause=cloudformation.pause)


type Says = Callable[..., list[str]]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Return what puts somebody at the terminal, who gives these answers; the questions are listed."""

    def sit_down(*answers: str) -> list[str]:
        asked: list[str] = []
        left = list(answers)

        def hear(question: str) -> str:
            asked.append(question)
            return left.pop(0)

        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", hear)
        return asked

    return sit_down


READY = "REVIEW_IN_PROGRESS CREATE_COMPLETE UPDATE_COMPLETE UPDATE_ROLLBACK_COMPLETE IMPORT_COMPLETE"


@pytest.mark.parametrize("status", [None, *READY.split(), "IMPORT_ROLLBACK_COMPLETE"])
def test_a_stack_that_can_be_deployed_to_is_left_as_it_is(
    status: str | None, says: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    cloudformation = FakeCloudFormation(status)
    asked = says()
    ready(cloudformation)
    assert (asked, cloudformation.did, capsys.readouterr().out) == ([], [], "")


# ---- A first deployment that failed


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"])
def test_a_stack_that_can_only_be_removed_is_told_with_what_failed_and_removed_where_somebody_agrees(
    status: str, says: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    cloudformation = FakeCloudFormation(status, CREATION, ["DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS", None])
    asked = says("y")
    ready(cloudformation, "Mend them there.")
    assert cloudformation.did == ["delete_stack"]
    assert asked == ["Remove it, and go on [y/N]: "]
    told = capsys.readouterr().out
    assert f"The stack {NAME} in us-east-1 is {status}: " in told
    assert f"AlertEmailSubscription ({EMAIL}), CREATE_FAILED: Invalid parameter: Email address\n" in told
    assert "Mend them there." in told
    assert "cancelled" not in told


@pytest.mark.parametrize("answer", ["", "n", "no", "what?"])
def test_nothing_is_removed_unless_somebody_says_yes(answer: str, says: Says) -> None:
    cloudformation = FakeCloudFormation("ROLLBACK_COMPLETE", CREATION)
    says(answer)
    with pytest.raises(Trouble, match="Nothing was changed"):
        ready(cloudformation)
    assert cloudformation.did == []


def test_a_removal_that_fails_is_told_and_asked_about_again(says: Says, capsys: pytest.CaptureFixture[str]) -> None:
    failed = [
        *CREATION,
        (NAME, OWN, "DELETE_IN_PROGRESS", "User Initiated"),
        ("Api", "AWS::ApiGatewayV2::Api", "DELETE_FAILED", "Somebody else holds it"),
    ]
    cloudformation = FakeCloudFormation("ROLLBACK_FAILED", failed, ["DELETE_FAILED"])
    says("yes", "no")
    with pytest.raises(Trouble):
        ready(cloudformation)
    told = capsys.readouterr().out
    assert "is DELETE_FAILED: " in told
    assert "Api (AWS::ApiGatewayV2::Api), DELETE_FAILED: Somebody else holds it" in told
    assert "AlertEmailSubscription" not in told


# ---- An update whose way back failed


def test_a_rollback_that_failed_is_continued_where_somebody_agrees(
    says: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    leads_to: list[str | None] = ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"]
    cloudformation = FakeCloudFormation("UPDATE_ROLLBACK_FAILED", UPDATE, leads_to)
    says("Y")
    ready(cloudformation)
    assert cloudformation.did == ["continue_update_rollback"]
    told = capsys.readouterr().out
    assert f"Feed ({SCHEDULE}), UPDATE_FAILED: Invalid Schedule Expression" in told
    assert "LedgerTable (AWS::DynamoDB::Table), UPDATE_FAILED: Too many updates" in told


@pytest.mark.parametrize(
    ("status", "events", "command", "failed"),
    [
        ("ROLLBACK_COMPLETE", CREATION, "delete-stack", "AlertEmailSubscription"),
        ("UPDATE_ROLLBACK_FAILED", UPDATE, "continue-update-rollback", "Feed"),
        ("UPDATE_FAILED", UPDATE, "rollback-stack", ""),
        ("IMPORT_ROLLBACK_FAILED", UPDATE, "rollback-stack", ""),
    ],
)
def test_without_a_terminal_it_says_what_failed_and_which_command_is_the_way_out(
    status: str, events: list[Event], command: str, failed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cloudformation = FakeCloudFormation(status, events)
    with pytest.raises(Trouble, match=f"aws cloudformation {command} --stack-name {NAME} --region us-east-1"):
        ready(cloudformation)
    assert failed in capsys.readouterr().out
    assert cloudformation.did == []


# ---- Busy

BUSY = "CREATE ROLLBACK UPDATE UPDATE_COMPLETE_CLEANUP UPDATE_ROLLBACK UPDATE_ROLLBACK_COMPLETE_CLEANUP DELETE"


@pytest.mark.parametrize("status", [f"{what}_IN_PROGRESS" for what in BUSY.split()])
def test_a_busy_stack_is_waited_for_where_somebody_agrees(
    status: str, says: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    cloudformation = FakeCloudFormation(status, UPDATE[:2], [status, "UPDATE_COMPLETE"])
    asked = says("y")
    ready(cloudformation)
    assert asked == ["Wait for its end [y/N]: "]
    since = re.search(
        rf"is busy: {status} since {BEGAN.astimezone():%H:%M} \((\d+) minutes\)\.", capsys.readouterr().out
    )
    assert since
    assert int(since[1]) >= 7
    assert cloudformation.leads_to == []


def test_without_a_terminal_nobody_waits() -> None:
    cloudformation = FakeCloudFormation("UPDATE_IN_PROGRESS", UPDATE[:1])
    with pytest.raises(Trouble, match="Run make deploy again when it is done"):
        ready(cloudformation)


def test_what_was_waited_for_may_end_badly_and_is_asked_about_then(says: Says) -> None:
    leads_to: list[str | None] = ["ROLLBACK_COMPLETE", "DELETE_IN_PROGRESS", None]
    cloudformation = FakeCloudFormation("ROLLBACK_IN_PROGRESS", CREATION, leads_to)
    asked = says("y", "y")
    ready(cloudformation)
    assert len(asked) == 2
    assert cloudformation.did == ["delete_stack"]


# ---- What failed


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("why \n" * 200, r"Api \(T\), CREATE_FAILED: (why )+.*"),
        ("", r"Api \(T\), CREATE_FAILED: CloudFormation gives no reason"),
    ],
)
def test_a_failure_is_one_line_however_long_its_reason_and_without_one(reason: str, said: str) -> None:
    events: list[Event] = [(NAME, OWN, "CREATE_IN_PROGRESS", ""), ("Api", "T", "CREATE_FAILED", reason)]
    (line,) = stack_of(FakeCloudFormation("CREATE_FAILED", events)).failures()
    assert re.fullmatch(said, line)
    assert len(line) < LONGEST_REASON + 40


def test_what_failed_in_an_earlier_operation_or_before_an_event_is_not_told() -> None:
    events = [*CREATION, (NAME, OWN, "UPDATE_IN_PROGRESS", "")]
    cloudformation = FakeCloudFormation("UPDATE_IN_PROGRESS", events)
    assert stack_of(cloudformation).failures() == []
    cloudformation.events = CREATION
    stack = stack_of(cloudformation)
    assert stack.last_event() == str(len(CREATION) - 1)
    assert stack.failures(after=stack.last_event()) == []


def test_a_stack_that_is_not_there_has_no_last_event() -> None:
    assert stack_of(FakeCloudFormation(None)).last_event() is None


@pytest.mark.parametrize(
    ("status", "refuses", "answers"),
    [
        ("UPDATE_COMPLETE", "DescribeStacks", []),
        ("ROLLBACK_COMPLETE", "DescribeStackEvents", []),
        ("ROLLBACK_COMPLETE", "DeleteStack", ["y"]),
        ("UPDATE_ROLLBACK_FAILED", "ContinueUpdateRollback", ["y"]),
    ],
)
def test_a_right_that_is_missing_is_named(status: str, refuses: str, answers: Sequence[str], says: Says) -> None:
    says(*answers)
    cloudformation = FakeCloudFormation(status, CREATION, refuses=refuses)
    with pytest.raises(Trouble, match=f"AWS answered AccessDenied to {refuses}: your AWS identity may not do that"):
        ready(cloudformation)
