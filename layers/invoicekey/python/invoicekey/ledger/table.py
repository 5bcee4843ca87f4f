"""The ledger's DynamoDB table, as plain items: what it refuses or leaves unanswered is an error of our own."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from invoicekey.ledger.values import plain, typed
from invoicekey.runtime.errors import Conflict, LedgerUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type Item = dict[str, Any]
type Write = tuple[str, dict[str, Any]]
"""A part of a transaction: its kind, and its request."""

LISTS, FAILURES = "Lists", "Failures"
"""The indexes. Each holds lists, each list by the time that counts in it (ISO 8601 in UTC)."""
_KEYS = {LISTS: ("list", "list_at"), FAILURES: ("failures", "failures_at")}
"""The attributes that name a list of an index, and its times."""
_TRIES_BESIDE_A_TRANSACTION = 3
_A_TRANSACTION_TAKES_SECONDS = 0.05


class TransactionRefused(Exception):
    """Conditions of a transaction did not hold: by its place in the transaction, the item as it is, where it is."""

    def __init__(self, items: Mapping[int, Item]) -> None:
        super().__init__(f"conditions {sorted(items)} did not hold")
        self.items = items


class Table:
    """The table. A condition that does not hold is Conflict; whatever else keeps an item from us, LedgerUnavailable."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def get(self, keys: Sequence[str]) -> dict[str, Item]:
        """Read up to 100 items consistently, in one request."""
        requested = {self._name: {"Keys": [{"pk": {"S": key}} for key in keys], "ConsistentRead": True}}
        answer = self._call("batch_get_item", RequestItems=requested)
        if answer.get("UnprocessedKeys"):
            raise LedgerUnavailable("the ledger is too busy to be read")
        items = (_plain(item) for item in answer["Responses"].get(self._name, []))
        return {item["pk"]: item for item in items}

    def put(self, item: Item, condition: str | None = None, **values: object) -> None:
        """Write an item; `values` are those of the condition, without their colons."""
        self._call("put_item", **self._put(item, condition, values))

    def update(self, key: str, change: str, condition: str | None = None, **values: object) -> None:
        """Change an item by an update expression; its names may be any, `list` and `until` too."""
        self._call("update_item", **self._update(key, change, condition, values))

    def delete(self, key: str, condition: str | None = None, **values: object) -> None:
        """Delete an item."""
        self._call("delete_item", **self._delete(key, condition, values))

    def transact(self, *writes: Write) -> None:
        """Make several writes (`to_put`, `to_update`, `to_delete`) or none; a condition raises TransactionRefused."""
        returned = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        self._call("transact_write_items", TransactItems=[{kind: {**write, **returned}} for kind, write in writes])

    def to_put(self, item: Item, condition: str | None = None, **values: object) -> Write:
        """Return a write for `transact`."""
        return "Put", self._put(item, condition, values)

    def to_update(self, key: str, change: str, condition: str | None = None, **values: object) -> Write:
        """Return a write for `transact`."""
        return "Update", self._update(key, change, condition, values)

    def to_delete(self, key: str, condition: str | None = None, **values: object) -> Write:
        """Return a write for `transact`."""
        return "Delete", self._delete(key, condition, values)

    def listed(
        self, name: str, *, index: str = LISTS, since: str = "", until: str = "~", only: Sequence[str] = ()
    ) -> Iterator[Item]:
        """Yield what a list of an index holds between two times, oldest first. An index lags a moment behind.

        `only` names the attributes that are wanted: to read ten thousand items takes as long as there are attributes.
        """
        arguments = _query(name, index, since, until) | ({"ProjectionExpression": ", ".join(only)} if only else {})
        for answer in self._pages(arguments):
            yield from map(_plain, answer["Items"])

    def count(self, name: str, *, index: str = LISTS, since: str = "") -> int:
        """Count what a list of an index holds since a time; the items stay where they are."""
        return sum(answer["Count"] for answer in self._pages(_query(name, index, since) | {"Select": "COUNT"}))

    def _pages(self, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
        answer = self._call("query", TableName=self._name, **arguments)
        yield answer
        while last := answer.get("LastEvaluatedKey"):
            answer = self._call("query", TableName=self._name, **arguments, ExclusiveStartKey=last)
            yield answer

    def _put(self, item: Item, condition: str | None, values: Mapping[str, object]) -> dict[str, Any]:
        return {"TableName": self._name, "Item": _typed(item), **_conditions(condition, values)}

    def _update(self, key: str, change: str, condition: str | None, values: Mapping[str, object]) -> dict[str, Any]:
        return {
            "TableName": self._name,
            "Key": _typed({"pk": key}),
            "UpdateExpression": change,
            **_conditions(condition, values, change),
        }

    def _delete(self, key: str, condition: str | None, values: Mapping[str, object]) -> dict[str, Any]:
        return {"TableName": self._name, "Key": _typed({"pk": key}), **_conditions(condition, values)}

    def _call(self, operation: str, tries_left: int = _TRIES_BESIDE_A_TRANSACTION, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            if _code(error) != "TransactionConflictException" or tries_left == 1:
                raise _meaning(error) from error
        except BotoCoreError as error:
            raise LedgerUnavailable(f"the ledger gave no answer: {type(error).__name__}") from error
        else:
            return answer
        # A note of what was sent must not get lost because a transaction has the item just now.
        time.sleep(_A_TRANSACTION_TAKES_SECONDS)
        return self._call(operation, tries_left - 1, **arguments)


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def _meaning(error: ClientError) -> Exception:
    code = _code(error)
    if code in {"ConditionalCheckFailedException", "TransactionConflictException"}:
        return Conflict()
    if code != "TransactionCanceledException":
        return LedgerUnavailable(f"the ledger answered {code}")
    reasons: Any = error.response.get("CancellationReasons", [])
    codes = {reason.get("Code", "None") for reason in reasons} - {"None"}
    if codes == {"ConditionalCheckFailed"}:
        failed = {n: reason for n, reason in enumerate(reasons) if reason.get("Code") == "ConditionalCheckFailed"}
        return TransactionRefused({number: _plain(reason.get("Item", {})) for number, reason in failed.items()})
    if codes and codes <= {"ConditionalCheckFailed", "TransactionConflict"}:
        return Conflict()
    return LedgerUnavailable(f"the ledger refused a transaction: {', '.join(sorted(codes)) or code}")


def _query(name: str, index: str, since: str, until: str = "~") -> dict[str, Any]:
    list_, at = _KEYS[index]
    return {
        "IndexName": index,
        "KeyConditionExpression": "#list = :list AND #at BETWEEN :since AND :until",
        "ExpressionAttributeNames": {"#list": list_, "#at": at},
        "ExpressionAttributeValues": _typed({":list": name, ":since": since or "0", ":until": until}),
    }


def _conditions(condition: str | None, values: Mapping[str, object], change: str = "") -> dict[str, Any]:
    """Return the parts of a request that hold a condition and the values; `#name` stands for the attribute `name`."""
    expressions = f"{condition or ''} {change}".replace("(", " ").replace(")", " ").replace(",", " ").replace(".", " ")
    names = {word: word[1:] for word in expressions.split() if word.startswith("#")}
    parts: dict[str, Any] = {}
    if condition:
        parts["ConditionExpression"] = condition
    if names:
        parts["ExpressionAttributeNames"] = names
    if values:
        parts["ExpressionAttributeValues"] = _typed({f":{name}": value for name, value in values.items()})
    return parts


def _typed(item: Mapping[str, object]) -> dict[str, Any]:
    return {name: typed(value) for name, value in item.items()}


def _plain(item: Mapping[str, Any]) -> Item:
    # Most values are texts, and a list may have ten thousand items.
    return {name: value["S"] if "S" in value else plain(value) for name, value in item.items()}
