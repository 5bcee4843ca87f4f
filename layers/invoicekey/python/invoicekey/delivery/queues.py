"""Where results go: the record topic, the alert topic, the dead-letter queue, and back to the hook queue.

Batch calls are judged entry by entry: each says which of its entries got through.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from invoicekey.ledger.entries import Entry
from invoicekey.rules.notification import account_of
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.telemetry import logger

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

MOST_ENTRIES = 10
MOST_BYTES = 250_000
"""A little below the 256 KiB that a batch of SNS may hold, and any batch of SQS."""
LONGEST_VISIBILITY = 43_000
"""SQS counts its twelve hours from the receive, which was a while ago."""
LONGEST_DELAY = 900
HOOK, FEED, RECHECK = "hook", "feed", "recheck"
"""Where events come from."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the hook queue."""

    id: str
    body: str
    receipt_handle: str
    sent_at: float
    """In seconds since 1970, as SQS knows it."""
    receive_count: int
    correlation_id: str
    source: str = HOOK
    """Where the event came from."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that may need a check, to be queued: a notification as VTEX sends it, or one of ours in its shape."""

    body: str
    correlation_id: str
    source: str


class Outlets:
    """Sends. The clients are made when they are first needed, for most batches need none."""

    def __init__(
        self,
        sqs: "Callable[[], SQSClient]",
        sns: "Callable[[], SNSClient]",
        *,
        hook_queue: str,
        dead_letters: str,
        records: str,
        alerts: str,
    ) -> None:
        self._make_sqs = sqs
        self._make_sns = sns
        self._hook_queue = hook_queue
        self._dead_letters = dead_letters
        self._records = records
        self._alerts = alerts

    @cached_property
    def _sqs(self) -> "SQSClient":
        return self._make_sqs()

    @cached_property
    def _sns(self) -> "SNSClient":
        return self._make_sns()

    def send_records(self, entries: Sequence[Entry]) -> list[Entry]:
        """Publish the records of these entries' reports, for the failure queue and whoever else subscribed.

        Returns the entries that got through.
        """
        return self._publish(self._records, entries, _record_entry)

    def publish_alerts(self, entries: Sequence[Entry]) -> list[Entry]:
        """Publish the alerts of these entries' reports; return the entries that got through."""
        return self._publish(self._alerts, entries, _alert_entry)

    def _publish(self, topic: str, entries: Sequence[Entry], form: Callable[[Entry], dict[str, Any]]) -> list[Entry]:
        return _in_batches(
            entries,
            form,
            lambda batch: _accepted(self._sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=batch),
        )

    def return_to_queue(self, waits: Sequence[tuple[Message, float]]) -> list[Message]:
        """Make messages visible again after so many seconds; return those whose receipt handle SQS refused."""
        refused: list[Message] = []
        for begin in range(0, len(waits), MOST_ENTRIES):
            chunk = waits[begin : begin + MOST_ENTRIES]
            entries: Any = [
                {
                    "Id": str(number),
                    "ReceiptHandle": message.receipt_handle,
                    "VisibilityTimeout": max(0, min(math.ceil(wait), LONGEST_VISIBILITY)),
                }
                for number, (message, wait) in enumerate(chunk)
            ]
            change = self._sqs.change_message_visibility_batch
            accepted = _accepted(change, QueueUrl=self._hook_queue, Entries=entries)
            refused += [message for number, (message, _) in enumerate(chunk) if str(number) not in accepted]
        return refused

    def send_to_dead_letters(self, message: Message, reason: str) -> None:
        """Send a message to the dead-letter queue with the reason, raising RetryLater where SQS does not take it."""
        attributes: Any = {"reason": _string(reason), "correlation_id": _string(message.correlation_id)}
        try:
            self._sqs.send_message(QueueUrl=self._dead_letters, MessageBody=message.body, MessageAttributes=attributes)
        except (BotoCoreError, ClientError) as error:
            raise RetryLater("the dead-letter queue did not take the message") from error


class HookQueue:
    """The way in: what is queued here is checked."""

    def __init__(self, sqs: "SQSClient", url: str, *, delay: timedelta = timedelta(0)) -> None:
        self._sqs = sqs
        self._url = url
        self._delay = min(int(delay.total_seconds()), LONGEST_DELAY)

    def send(self, events: Sequence[Event]) -> list[Event]:
        """Queue events; return those that SQS took."""
        return _in_batches(
            events,
            self._form,
            lambda batch: _accepted(self._sqs.send_message_batch, QueueUrl=self._url, Entries=batch),
        )

    def _form(self, event: Event) -> dict[str, Any]:
        attributes = {"correlation_id": _string(event.correlation_id), "source": _string(event.source)}
        delay = {"DelaySeconds": self._delay} if self._delay else {}
        account = account_of(event.body)
        # A fair queue: an account with a storm is behind those without (docs/architecture/rate-limit.md).
        group = {"MessageGroupId": account} if account else {}
        return {"MessageBody": event.body, "MessageAttributes": attributes, **group, **delay}


class AlertTopic:
    """The alert topic, for what is not about one order."""

    def __init__(self, sns: "SNSClient", arn: str) -> None:
        self._sns = sns
        self._arn = arn

    def publish(self, entry: str) -> None:
        """Publish what `alert_entry` returned, raising RetryLater where SNS does not take it."""
        try:
            self._sns.publish(TopicArn=self._arn, **json.loads(entry))
        except (BotoCoreError, ClientError) as error:
            raise RetryLater(f"the alert topic did not take it: {_described(error)}") from error


def alert_entry(subject: str, message: str, attributes: dict[str, str | list[str]]) -> str:
    """Return an alert as the JSON of a PublishBatch entry, to be kept in the ledger until it is sent."""
    return json.dumps({
        "Subject": subject,
        "Message": message,
        "MessageStructure": "json",
        "MessageAttributes": {
            name: _string(value) if isinstance(value, str) else _strings(value) for name, value in attributes.items()
        },
    })  # fmt: skip


def _alert_entry(entry: Entry) -> dict[str, Any]:
    alert = entry.report.alert if entry.report else None
    request: dict[str, Any] = json.loads(alert or "{}")
    return request


def _record_entry(entry: Entry) -> dict[str, Any]:
    if entry.report is None:
        raise ValueError("an entry without a report has no record to send")
    codes = list(dict.fromkeys(problem["code"] for problem in json.loads(entry.report.record)["data"]["problems"]))
    return {
        "Message": entry.report.record,
        "MessageAttributes": {
            "type": _string(entry.report.type),
            "account": _string(entry.ref.account),
            **({"codes": _strings(codes)} if codes else {}),
        },
    }


def _string(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def _strings(values: list[str]) -> dict[str, str]:
    return {"DataType": "String.Array", "StringValue": json.dumps(values)}


def _accepted(call: Callable[..., Any], **arguments: Any) -> set[str]:
    """Make a batch call and return the ids of the entries that it took: none where the whole call failed."""
    try:
        answer = call(**arguments)
    except (BotoCoreError, ClientError) as error:
        logger.error("a batch was not taken", extra={"error": _described(error)})
        return set()
    if failed := answer.get("Failed"):
        logger.error("entries of a batch were not taken", extra={"errors": sorted({entry["Code"] for entry in failed})})
    return {entry["Id"] for entry in answer.get("Successful", [])}


def _described(error: BotoCoreError | ClientError) -> str:
    """Name an error and the operation, without the text that may repeat what was sent."""
    if isinstance(error, ClientError):
        return f"{error.operation_name} {error.response.get('Error', {}).get('Code', '')}"
    return type(error).__name__


def _in_batches[T](
    things: Sequence[T], form: Callable[[T], dict[str, Any]], send: Callable[[Any], set[str]]
) -> list[T]:
    """Send things in as few batches as they fit in; return those that got through."""
    through: list[T] = []
    for batch in _batches([(thing, form(thing)) for thing in things]):
        formed = [{"Id": str(number), **request} for number, (_, request) in enumerate(batch)]
        accepted = send(formed)
        through += [thing for number, (thing, _) in enumerate(batch) if str(number) in accepted]
    return through


def _batches[T](formed: Iterable[tuple[T, dict[str, Any]]]) -> Iterator[list[tuple[T, dict[str, Any]]]]:
    """Split what is to be sent by the number of entries and their size, keeping the order."""
    batch: list[tuple[T, dict[str, Any]]] = []
    size = 0
    for thing, request in formed:
        length = len(json.dumps(request))
        if batch and (len(batch) == MOST_ENTRIES or size + length > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((thing, request))
        size += length
    if batch:
        yield batch
