"""CloudFormation with one stack, or none, for what deploys: its events, its statuses, and what it refuses."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

NAME, STACK_ID = "invoicekey-dev", "arn:aws:cloudformation:us-east-1:123456789012:stack/invoicekey-dev/1"
BEGAN = datetime.now(UTC) - timedelta(minutes=7)
OWN = "AWS::CloudFormation::Stack"

type Event = tuple[str, str, str, str]
"""Logical id, type, status, reason."""


@dataclass
class FakeCloudFormation:
    """What is asked of it leads to the next status, at the next pause."""

    status: str | None = None
    events: list[Event] = field(default_factory=list)
    leads_to: list[str | None] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    refuses: str | None = None

    def describe_stacks(self, **named: str) -> Any:
        """Answer as it does; a stack that is not there is a ValidationError."""
        self._refuse("DescribeStacks")
        if self.status is None:
            raise _error("ValidationError", "DescribeStacks", f"Stack with id {named['StackName']} does not exist")
        return {"Stacks": [{"StackId": STACK_ID, "StackStatus": self.status}]}

    def get_paginator(self, operation: str) -> Any:
        """Return what yields events, the newest first, two a page."""
        assert operation == "describe_stack_events"
        return self

    def paginate(self, **_: str) -> Iterator[Any]:
        """Yield the pages."""
        self._refuse("DescribeStackEvents")
        shown = [_shown(number, event) for number, event in enumerate(self.events)][::-1]
        for begin in range(0, len(shown), 2):
            yield {"StackEvents": shown[begin : begin + 2]}

    def delete_stack(self, **_: str) -> None:
        """Begin to delete it."""
        self._refuse("DeleteStack")
        self.did.append("delete_stack")

    def continue_update_rollback(self, **_: str) -> None:
        """Begin to continue."""
        self._refuse("ContinueUpdateRollback")
        self.did.append("continue_update_rollback")

    def pause(self, _: float) -> None:
        """Let time go by."""
        self.status = self.leads_to.pop(0)

    def fail(self, resource: str, reason: str, status: str) -> None:
        """Have something fail in the stack, which has this status then."""
        self.status = status
        self.events.append((resource, "T", "CREATE_FAILED", reason))

    def _refuse(self, operation: str) -> None:
        if self.refuses == operation:
            raise _error("AccessDenied", operation, "not for you")


def _error(code: str, operation: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def _shown(number: int, event: Event) -> dict[str, Any]:
    logical_id, kind, status, reason = event
    return {
        "EventId": str(number),
        "StackId": STACK_ID,
        "LogicalResourceId": logical_id,
        "PhysicalResourceId": STACK_ID if kind == OWN else f"{logical_id}-1",
        "ResourceType": kind,
        "ResourceStatus": status,
        "Timestamp": BEGAN + timedelta(seconds=number),
        **({"ResourceStatusReason": reason} if reason else {}),
    }
