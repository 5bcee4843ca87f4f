"""The ledger: one item an order, with what was last seen and what was last reported.

It is what makes a report go out once (docs/architecture.md draws its states). Every write is on condition that the item
is still as it was read, so nothing older than the ledger is ever written. Two small kinds of item stand beside the
orders: until when an account at VTEX wants silence, and how often a message was put back on purpose.
"""

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

from invoicekey.errors import Conflict, TryAgainLater
from invoicekey.notification import OrderRef

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEEP_CLOSED_DAYS = 400
KEEP_NOTES_DAYS = 15
"""A day longer than a queue keeps a message."""
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Report:
    """One report and how far it has come. Its bytes are kept until it is told, for they may have to be sent again."""

    number: int
    type: str
    record: str
    """The record as sent to the failure queue."""
    alert: str | None
    """The alert's PublishBatch entry as JSON; None where nobody is to be alerted."""
    lease_until: datetime
    """Until then its writer alone may send it."""
    recorded: bool = False
    alerted: bool = False

    @property
    def is_told(self) -> bool:
        """Say whether nothing is left to be sent."""
        return self.recorded and self.alerted


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger holds of an order; version 0 is an order that it does not hold yet."""

    ref: OrderRef
    version: int = 0
    first_heard_at: datetime | None = None
    checked_at: datetime | None = None
    outcome: str | None = None
    errors_told: str | None = None
    """The fingerprint of the errors that were told and are open; None when no failure is open."""
    opened_at: datetime | None = None
    report: Report | None = None
    """The last report, told or not."""

    @property
    def has_open_failure(self) -> bool:
        """Say whether a failure was told and not yet closed."""
        return self.errors_told is not None

    @property
    def last_report_number(self) -> int:
        """Return the number of the last report, 0 before the first."""
        return self.report.number if self.report else 0


@dataclass(frozen=True, slots=True)
class Page:
    """What one read of the ledger gave."""

    entries: dict[OrderRef, Entry]
    silent_until: dict[str, float]
    """Until when, in seconds since 1970, nothing of an account may be read."""
    put_back: dict[str, int]
    """How often a message was put back on purpose, by its id."""


class Ledger:
    """The DynamoDB table of the ledger. What DynamoDB refuses or leaves unanswered is TryAgainLater."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def read(self, refs: Iterable[OrderRef], message_ids: Iterable[str] = ()) -> Page:
        """Read up to 40 orders, their accounts' silences and the notes of messages, consistently, in one request."""
        orders = {_order_key(ref): ref for ref in refs}
        accounts = {f"silence#{ref.account}": ref.account for ref in orders.values()}
        messages = {f"message#{message_id}": message_id for message_id in message_ids}
        items = self._get([*orders, *accounts, *messages])
        return Page(
            entries={ref: _entry(ref, items.get(key)) for key, ref in orders.items()},
            silent_until={account: float(items[key]["until"]) for key, account in accounts.items() if key in items},
            put_back={message: int(items[key]["put_back"]) for key, message in messages.items() if key in items},
        )

    def write(self, entry: Entry) -> Entry:
        """Write an entry on condition that the ledger holds it as it was read; raise Conflict where it does not."""
        written = replace(entry, version=entry.version + 1)
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if entry.version:
            condition = {
                "ConditionExpression": "version = :read",
                "ExpressionAttributeValues": {":read": {"N": str(entry.version)}},
            }
        self._call("put_item", Item=_serialized(_item(written)), **condition)
        return written

    def note_recorded(self, entry: Entry) -> None:
        """Note that the record of the entry's report was sent."""
        self._note(entry, "recorded")

    def note_alerted(self, entry: Entry) -> None:
        """Note that the alert of the entry's report was sent; its bytes, most of the item, are not kept any longer."""
        self._note(entry, "alerted", "REMOVE report.alert")

    def note_silence(self, account: str, until: float) -> None:
        """Note until when, in seconds since 1970, nothing of an account may be read; a longer silence stays."""
        item = {"pk": f"silence#{account}", "until": int(until) + 1, "expires_at": int(until) + _DAY}
        with contextlib.suppress(Conflict):
            self._call(
                "put_item",
                Item=_serialized(item),
                ConditionExpression="attribute_not_exists(pk) OR #until < :until",
                ExpressionAttributeNames={"#until": "until"},
                ExpressionAttributeValues={":until": {"N": str(item["until"])}},
            )

    def note_put_back(self, message_id: str) -> None:
        """Note that a message was put back on purpose, so that only other receives count as deaths."""
        self._call(
            "update_item",
            Key={"pk": {"S": f"message#{message_id}"}},
            UpdateExpression="ADD put_back :one SET expires_at = :expires",
            ExpressionAttributeValues={
                ":one": {"N": "1"},
                ":expires": {"N": str(int(time.time()) + KEEP_NOTES_DAYS * _DAY)},
            },
        )

    def _note(self, entry: Entry, flag: str, besides: str = "") -> None:
        # The version grows too, so that who read the report as untold can't take it over any more.
        self._call(
            "update_item",
            Key={"pk": {"S": _order_key(entry.ref)}},
            UpdateExpression=f"SET report.{flag} = :yes ADD version :one {besides}".strip(),
            ConditionExpression="report.#number = :number",
            ExpressionAttributeNames={"#number": "number"},
            ExpressionAttributeValues={
                ":yes": {"BOOL": True},
                ":one": {"N": "1"},
                ":number": {"N": str(entry.last_report_number)},
            },
        )

    def _get(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        answer = self._call(
            "batch_get_item",
            RequestItems={self._table: {"Keys": [{"pk": {"S": key}} for key in keys], "ConsistentRead": True}},
        )
        if answer.get("UnprocessedKeys"):
            raise TryAgainLater("the ledger is too busy to be read")
        items = (_deserialized(item) for item in answer["Responses"].get(self._table, []))
        return {item["pk"]: item for item in items}

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation != "batch_get_item":
            arguments["TableName"] = self._table
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "ConditionalCheckFailedException":
                raise Conflict from error
            raise TryAgainLater(f"the ledger answered {code}") from error
        except BotoCoreError as error:
            raise TryAgainLater(f"the ledger gave no answer: {type(error).__name__}") from error
        return answer


def _order_key(ref: OrderRef) -> str:
    return f"order#{ref.account}#{ref.order_id}"


def _item(entry: Entry) -> dict[str, Any]:
    """Return an entry as the table keeps it; what is None is left out."""
    report = entry.report
    item = {
        "pk": _order_key(entry.ref),
        "version": entry.version,
        "first_heard_at": _text(entry.first_heard_at),
        "checked_at": _text(entry.checked_at),
        "outcome": entry.outcome,
        "errors_told": entry.errors_told,
        "opened_at": _text(entry.opened_at),
        "report": report
        and {
            "number": report.number,
            "type": report.type,
            "record": report.record,
            "alert": report.alert,
            "lease_until": _text(report.lease_until),
            "recorded": report.recorded,
            "alerted": report.alerted,
        },
        "expires_at": None if entry.has_open_failure else int(time.time()) + KEEP_CLOSED_DAYS * _DAY,
    }
    return {name: value for name, value in item.items() if value is not None}


def _entry(ref: OrderRef, item: dict[str, Any] | None) -> Entry:
    if item is None:
        return Entry(ref)
    report = item.get("report")
    return Entry(
        ref,
        version=int(item["version"]),
        first_heard_at=_moment(item.get("first_heard_at")),
        checked_at=_moment(item.get("checked_at")),
        outcome=item.get("outcome"),
        errors_told=item.get("errors_told"),
        opened_at=_moment(item.get("opened_at")),
        report=report
        and Report(
            number=int(report["number"]),
            type=report["type"],
            record=report["record"],
            alert=report.get("alert"),
            lease_until=datetime.fromisoformat(report["lease_until"]),
            recorded=report["recorded"],
            alerted=report["alerted"],
        ),
    )


def _text(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _serialized(item: dict[str, Any]) -> dict[str, Any]:
    serializer = TypeSerializer()
    return {name: serializer.serialize(value) for name, value in item.items()}


def _deserialized(item: dict[str, Any]) -> dict[str, Any]:
    deserializer = TypeDeserializer()
    return {name: deserializer.deserialize(value) for name, value in item.items()}
