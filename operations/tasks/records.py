"""Records that SNS could not deliver: to the failure queue, sent before they are deleted, so that none gets lost."""

from collections.abc import Callable
from typing import Any

from invoicekey.delivery.queues import MOST_ENTRIES
from operations.deployment.stack import Trouble

type Ask = Callable[..., Any]
"""Asks an operation of SQS, and raises Trouble where it gives no answer."""

_HIDDEN_SECONDS = 60


def waiting(ask: Ask, url: str) -> int:
    """Count the messages of a queue, about."""
    answer = ask("get_queue_attributes", QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def move(ask: Ask, source: str, target: str) -> int:
    """Move all records of a queue to another one; return how many were moved."""
    moved = 0
    while messages := _received(ask, source):
        entries = [
            {"Id": str(n), "MessageBody": one["Body"], "MessageAttributes": _attributes(one)}
            for n, one in enumerate(messages)
        ]
        answer = ask("send_message_batch", QueueUrl=target, Entries=entries)
        taken = [messages[int(one["Id"])] for one in answer.get("Successful", [])]
        if taken:
            handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(taken)]
            ask("delete_message_batch", QueueUrl=source, Entries=handles)
        moved += len(taken)
        if len(taken) < len(messages):
            raise Trouble(f"The failure queue took {moved} records and refused others, which stay. Run it again.")
    return moved


def _received(ask: Ask, url: str) -> list[Any]:
    answer = ask(
        "receive_message", QueueUrl=url, MaxNumberOfMessages=MOST_ENTRIES, VisibilityTimeout=_HIDDEN_SECONDS,
        WaitTimeSeconds=1, MessageAttributeNames=["All"],
    )  # fmt: skip
    messages: list[Any] = answer.get("Messages", [])
    return messages


def _attributes(message: Any) -> dict[str, Any]:
    given = message.get("MessageAttributes", {})
    return {name: {"DataType": one["DataType"], "StringValue": one["StringValue"]} for name, one in given.items()}
