"""What can be seen of a deployed stack from outside: the functions' logs, the ledger, the queues, and the alerts."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from local import events
from local.stack import MAILBOX, STACK_NAME, LocalStack, StackError

type Json = dict[str, Any]

_PAUSE = 0.1


class TooLate(StackError, AssertionError):
    """What was waited for did not come in time."""


def until[T](look: Callable[[], T], what: str, seconds: float = 30) -> T:
    """Look again and again until something true is seen, and return it; raise TooLate after so many seconds."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > end:
            raise TooLate(f"{what}: not within {seconds} s, but {seen!r}")
        time.sleep(_PAUSE)
    return seen


@dataclass(frozen=True)
class Received:
    """A message of a queue: its body, read as JSON where it is, and its attributes."""

    body: Any
    attributes: dict[str, str]


@dataclass(frozen=True)
class Email:
    """An alert as a subscriber reads it."""

    subject: str
    text: str
    attributes: dict[str, Any]

    @property
    def order_id(self) -> str:
        """Return the order that the alert is about: its subject begins with it."""
        return self.subject.partition(":")[0]


@dataclass(frozen=True)
class Told:
    """A message to people as they get it: by e-mail, by SMS, and in a chat where the stack writes that form."""

    at: datetime
    kind: str
    """The attribute `type`: failing, resolved, reminder, …"""
    subject: str
    email: str
    sms: str
    chat: Json | None
    """The custom notification that Amazon Q Developer takes."""


def queue_for(topic: str, name: str, stack: LocalStack) -> tuple[str, str]:
    """Make a queue that takes what a topic sends, and return its address and its ARN."""
    sqs = stack.client("sqs")
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn: str = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return url, arn


class Mailbox:
    """What people get by the alert topic from now on; the emulator sends no e-mail, and puts it here."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._url, _ = queue_for(stack.outputs["AlertTopicArn"], MAILBOX, stack)

    def told(self) -> list[Told]:
        """List the messages, the oldest first."""
        return sorted(
            (_told(json.loads(one["Body"])) for one in self._stack.messages(self._url)), key=lambda one: one.at
        )


def _told(letter: Json) -> Told:
    forms = json.loads(letter["Message"])
    return Told(
        at=datetime.fromisoformat(letter["Timestamp"]),
        kind=letter["MessageAttributes"]["type"]["Value"],
        subject=letter["Subject"],
        email=forms["email"],
        sms=forms["sms"],
        chat=json.loads(forms["https"]) if "https" in forms else None,
    )


class Watch:
    """Looks at a stack. It subscribes to the alerts when it is made, and takes nothing from the stack's own queues."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._seen: dict[str, dict[str, Json]] = {}
        self._logs = stack.client("logs")
        self._inbox = self.subscribe("AlertTopicArn")

    def subscribe(self, output: str) -> str:
        """Subscribe a new queue to the topic of one of the stack's outputs, and return its address."""
        topic = self._stack.outputs[output]
        url, arn = queue_for(topic, f"a-subscriber-of-{output}", self._stack)
        self._stack.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return url

    def checks(self, order_id: str | None = None) -> list[Json]:
        """List what the checker says that it decided, a line a check."""
        lines = self._said("CheckInvoiceLogs", "order checked")
        return [line for line in lines if order_id in (None, line["order_id"])]

    def figures(self) -> list[Json]:
        """List the checker's lines of figures, one an invocation."""
        return self._said("CheckInvoiceLogs", "figures")

    def queued(self) -> list[Json]:
        """List the events that the receiver says it queued."""
        return self._said("ReceiveHookLogs", "hook queued")

    def records(self, order_id: str | None = None) -> list[Json]:
        """List the failure records as they lie in the failure queue."""
        bodies = [received.body for received in self.received(self._stack.outputs["FailureQueueUrl"])]
        return [record for record in bodies if order_id in (None, record["subject"])]

    def dead_letters(self) -> list[Received]:
        """List the dead letters of the hook queue."""
        return self.received(self._stack.outputs["HookDeadLetterQueueUrl"])

    def emails(self, order_id: str | None = None, *, kind: str | None = None) -> list[Email]:
        """List what came by the alert topic, or of it one order's alerts or one type."""
        letters = [received.body for received in self.received(self._inbox)]
        emails = [
            Email(
                letter["Subject"],
                letter["Message"],
                {name: value["Value"] for name, value in letter["MessageAttributes"].items()},
            )
            for letter in letters
        ]
        return [
            email for email in emails if order_id in (None, email.order_id) and kind in (None, email.attributes["type"])
        ]

    def ledger_item(self, order_id: str, account: str = events.ACCOUNT) -> Json:
        """Return what the ledger holds of an order; empty where it holds nothing."""
        from boto3.dynamodb.types import TypeDeserializer

        key = {"pk": {"S": f"order#{account}#{order_id}"}}
        table = self._stack.outputs["LedgerTableName"]
        answer = self._stack.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True)
        read = TypeDeserializer().deserialize
        return {name: read(value) for name, value in answer.get("Item", {}).items()}

    def received(self, queue_url: str) -> list[Received]:
        """List the messages of a queue, those that were taken from it meanwhile too."""
        seen = self._seen.setdefault(queue_url, {})
        seen.update({message["MessageId"]: message for message in self._stack.messages(queue_url)})
        return [_received(message) for message in seen.values()]

    def _said(self, log_group: str, message: str) -> list[Json]:
        pages = self._logs.get_paginator("filter_log_events").paginate(logGroupName=self._log_groups[log_group])
        lines = [event["message"] for page in pages for event in page["events"] if f'"{message}"' in event["message"]]
        return [json.loads(line) for line in lines]

    @cached_property
    def _log_groups(self) -> dict[str, str]:
        resources = self._stack.client("cloudformation").describe_stack_resources(StackName=STACK_NAME)
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources["StackResources"]}


def _received(message: Json) -> Received:
    attributes = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
    with suppress(ValueError):
        return Received(json.loads(message["Body"]), attributes)
    return Received(message["Body"], attributes)
