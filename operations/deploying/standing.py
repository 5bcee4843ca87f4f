"""How a stack stands with CloudFormation: whether it can be deployed to, what failed in it, and what makes it ready.

The statuses and what may be done in each are those of CloudFormation's documentation ("Stack status codes", "Continue
rolling back an update"); the emulator shows some of them, AWS itself was not asked.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from operations.deployment.stack import Deployment, Trouble, explained
from operations.terminal.consent import is_yes

POLL_SECONDS = 5.0
LONGEST_REASON = 300
_TO_REMOVE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
"""Nothing but to delete it leads out of these."""
_BEGINNINGS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS")
_STACK = "AWS::CloudFormation::Stack"


@dataclass(frozen=True, slots=True)
class Standing:
    """A stack's status."""

    stack_id: str
    status: str

    @property
    def is_ready(self) -> bool:
        """Say whether it can be deployed to; one that is in review has nothing in it yet, and sam makes it."""
        is_over = self.status.endswith("_COMPLETE") and self.status not in _TO_REMOVE
        return is_over or self.status == "REVIEW_IN_PROGRESS"

    @property
    def is_busy(self) -> bool:
        """Say whether CloudFormation is at work on it."""
        return self.status.endswith("_IN_PROGRESS") and not self.is_ready


class Stack:
    """A stack that is to be deployed, or was."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._client = deployment.client("cloudformation")

    @property
    def name(self) -> str:
        """Return its name."""
        return self._deployment.stack

    @property
    def place(self) -> str:
        """Name it and its region, for people."""
        return f"The stack {self.name} in {self._deployment.region}"

    @property
    def options(self) -> str:
        """Return what leads the AWS CLI to it."""
        return f"--stack-name {self.name} --region {self._deployment.region}"

    def standing(self) -> Standing | None:
        """Return how it stands; None where there is none of its name."""
        with explained(f"{self.place} cannot be described"):
            try:
                (stack,) = self._client.describe_stacks(StackName=self.name)["Stacks"]
            except ClientError as error:
                if "does not exist" in error.response["Error"].get("Message", ""):
                    return None
                raise
        return Standing(stack["StackId"], stack["StackStatus"])

    def last_event(self) -> str | None:
        """Return the id of its newest event; None where it has none."""
        return next((event["EventId"] for event in self._events()), None) if self.standing() else None

    def began(self) -> datetime:
        """Return when its last operation began."""
        return min((event["Timestamp"] for event in self._last_operation()), default=datetime.now(UTC))

    def failures(self, after: str | None = None) -> list[str]:
        """Say what failed first in its last operation, and first in the way back: a line each, at most two.

        Of what came later one failure is as good as another, or is another's consequence. `after` names an event that
        is older than what is asked for.
        """
        before_rollback: list[str] = []
        in_rollback: list[str] = []
        told = before_rollback
        for event in reversed(list(self._last_operation(after))):
            if event["ResourceType"] == _STACK and "ROLLBACK_IN_PROGRESS" in event["ResourceStatus"]:
                told = in_rollback
            if _is_failure(event):
                told.append(_line(event))
        return list(dict.fromkeys([*before_rollback[:1], *in_rollback[:1]]))

    def remove(self) -> None:
        """Have it deleted."""
        with explained(f"{self.place} cannot be removed"):
            self._client.delete_stack(StackName=self.name)

    def continue_rollback(self) -> None:
        """Have an update's rollback continued."""
        with explained(f"The rollback of the stack {self.name} cannot be continued"):
            self._client.continue_update_rollback(StackName=self.name)

    def _events(self) -> Iterator[dict[str, Any]]:
        """Yield its events, the newest first."""
        with explained(f"The events of the stack {self.name} cannot be read"):
            for page in self._client.get_paginator("describe_stack_events").paginate(StackName=self.name):
                yield from page["StackEvents"]

    def _last_operation(self, after: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the events of what was done last to it, the newest first."""
        for event in self._events():
            if event["EventId"] == after:
                return
            yield event
            is_its_own = event["ResourceType"] == _STACK and event.get("PhysicalResourceId") == event["StackId"]
            if is_its_own and event["ResourceStatus"] in _BEGINNINGS:
                return


def make_ready(stack: Stack, hint: str = "", pause: Callable[[float], object] = time.sleep) -> None:
    """See that a stack can be deployed to: say what is in the way, and ask whether to clear it away.

    Raises Trouble where it is to stay, and where nobody is there to be asked: the message says which command does it.
    `hint` says where the parameters stand, for whoever has to mend one first.
    """
    while (standing := stack.standing()) is not None and not standing.is_ready:
        if not standing.is_busy:
            _clear(stack, standing, hint)
        elif not _agrees(
            f"{stack.place} is busy: {standing.status} since {_clock(stack.began())}.", "Wait for its end"
        ):
            raise Trouble(f"{stack.place} is busy. Run make deploy again when it is done.")
        _wait(stack, pause)


def _clear(stack: Stack, standing: Standing, hint: str) -> None:
    said = "\n".join([f"{stack.place} is {standing.status}: {_MEANS.get(standing.status, 'an operation failed')}.",
                      *(f"  {line}" for line in stack.failures())])  # fmt: skip
    if standing.status in _TO_REMOVE:
        if not _agrees(f"{said}\n{hint}", "Remove it, and go on"):
            raise Trouble(f"Nothing was changed. To remove it: aws cloudformation delete-stack {stack.options}")
        stack.remove()
    elif standing.status == "UPDATE_ROLLBACK_FAILED":
        if not _agrees(f"{said}\n{hint}", "Continue the rollback, and go on"):
            how = f"aws cloudformation continue-update-rollback {stack.options}"
            raise Trouble(f"Nothing was changed. Once what failed is mended: {how}; then make deploy again")
        stack.continue_rollback()
    else:
        raise Trouble(f"{said}\nTo take it back: aws cloudformation rollback-stack {stack.options}")


_MEANS = {
    "ROLLBACK_COMPLETE": "its first deployment failed. Nothing is left of it, and it can only be removed",
    "ROLLBACK_FAILED": "its first deployment failed, and not all that it had made could be removed again",
    "CREATE_FAILED": "its first deployment failed, and what it had made was left",
    "DELETE_FAILED": "it was to be removed, and not all of it could be. What holds data is kept (docs/runbook.md)",
    "UPDATE_ROLLBACK_FAILED": "an update failed, and so did the way back to what was there before",
}


def _agrees(said: str, question: str) -> bool:
    """Say what is in the way and ask; nobody agrees where nobody is there."""
    print(said.rstrip(), flush=True)
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    return is_yes(input(f"{question} [y/N]: "))


def _wait(stack: Stack, pause: Callable[[float], object]) -> None:
    pause(POLL_SECONDS)  # what was just asked for may not have begun
    while (standing := stack.standing()) is not None and standing.is_busy:
        pause(POLL_SECONDS)


def _is_failure(event: dict[str, Any]) -> bool:
    """Say whether something failed by itself: what CloudFormation broke off is another's consequence."""
    reason = event.get("ResourceStatusReason", "")
    is_broken_off = "cancelled" in reason.casefold() and reason.casefold().startswith("resource ")
    return event["ResourceStatus"].endswith("_FAILED") and not is_broken_off


def _line(event: dict[str, Any]) -> str:
    reason = " ".join(event.get("ResourceStatusReason", "").split()) or "CloudFormation gives no reason"
    reason = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}…"
    return f"{event['LogicalResourceId']} ({event['ResourceType']}), {event['ResourceStatus']}: {reason}"


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M} ({round((datetime.now(UTC) - moment).total_seconds() / 60)} minutes)"
