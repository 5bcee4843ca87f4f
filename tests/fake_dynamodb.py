"""A stand-in for DynamoDB that evaluates the product's own expressions, so that its conditions are what is tested.

The real `Table` and all that is built on it run over it, at a few microseconds a call; tests/integration holds it
against moto. What DynamoDB refuses in a request is an AssertionError here: it is a mistake of ours. ::

    dynamodb = FakeDynamoDb()
    ledger = Ledger(dynamodb.table)
"""

import copy
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from types import CodeType
from typing import TYPE_CHECKING, Any, cast

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError, ReadTimeoutError
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from invoicekey.ledger.table import FAILURES, LISTS, Item, Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MOST_KEYS, MOST_WRITES = 100, 100
LOST_ANSWERS = (
    ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, "PutItem"),
    ReadTimeoutError(endpoint_url="the ledger"),
)
"""What a caller gets where an answer is lost: the SDK repeats the write and meets its own; or none of them comes."""
_INDEXES = {LISTS: ("list", "list_at"), FAILURES: ("failures", "failures_at")}
_TOKEN = re.compile(r"<>|<=|>=|[=<>(),+-]|:\w+|[#\w.]+")
_CLAUSE = re.compile(r"\b(SET|REMOVE|ADD|DELETE)\b")
_COMMA = re.compile(r",(?![^()]*\))")
_WORDS = {
    "=": "==", "<>": "!=", "AND": "and", "OR": "or", "NOT": "not", "IN": "in one_of",
    "attribute_exists": "is_there", "attribute_not_exists": "is_not_there", "if_not_exists": "first_of",
}  # fmt: skip
_RESERVED = {word.lower() for word in ReservedKeywords.get_reserved_keywords()}
_serialize, _deserialize = TypeSerializer().serialize, TypeDeserializer().deserialize


class _Absent:
    """An attribute that is not there: no comparison with it holds."""

    def _never(self, other: object) -> bool:
        return False

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _never

    def __hash__(self) -> int:
        return 0


_ABSENT = _Absent()
_FUNCTIONS: dict[str, Any] = {
    "is_there": lambda value: value is not _ABSENT,
    "is_not_there": lambda value: value is _ABSENT,
    "first_of": lambda value, other: other if value is _ABSENT else value,
    "one_of": lambda *values: values,
}


class FakeDynamoDb:
    """A table with the attribute `pk` as its key and the index of the lists; calls are made one after the other."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.before: Callable[[str], object] = lambda operation: None
        """Called before each call with its name; it may raise, or make other calls first."""
        self.after: Callable[[str], object] = lambda operation: None
        """Called after each call that took effect; it may raise: then nobody hears of the effect."""
        self.page = 1_000
        """So many items of a list are in one answer."""
        self._items: dict[str, dict[str, Any]] = {}
        self._lock = threading.RLock()

    @property
    def client(self) -> "DynamoDBClient":
        """Return this fake as what it stands in for."""
        return cast("DynamoDBClient", self)

    @property
    def table(self) -> Table:
        """Return a table over it, as another environment has it."""
        return Table(self.client, "ledger")

    def item(self, key: str) -> Item | None:
        """Return an item as it is now, for a test to look at."""
        return _plain(self._items[key]) if key in self._items else None

    def items(self, prefix: str) -> list[Item]:
        """Return the items whose keys begin so, for a test to look at."""
        return [_plain(item) for key, item in list(self._items.items()) if key.startswith(prefix)]

    def lose_answer(self, lost: Exception) -> None:
        """Do the next write on condition, and let its caller have this instead of an answer."""

        def lose(operation: str) -> None:
            if operation in {"put_item", "transact_write_items"}:
                self.after = lambda _: None
                raise lost

        self.after = lose

    def forget_expired(self, at: float) -> None:
        """Delete what has expired by then, as DynamoDB does sooner or later."""
        expired = [item["pk"] for item in self.items("") if "expires_at" in item and item["expires_at"] <= at]
        for key in expired:
            del self._items[key]

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        with self._called("batch_get_item"):
            ((table, request),) = RequestItems.items()
            keys = [key["pk"]["S"] for key in request["Keys"]]
            assert request["ConsistentRead"]
            assert 0 < len(keys) == len(set(keys)) <= MOST_KEYS, "keys of one read: all different, 100 at the most"
            return {"Responses": {table: [self._items[key] for key in keys if key in self._items]}}

    def put_item(self, **request: Any) -> dict[str, Any]:
        return self._write_one("put_item", "Put", request)

    def update_item(self, **request: Any) -> dict[str, Any]:
        return self._write_one("update_item", "Update", request)

    def delete_item(self, **request: Any) -> dict[str, Any]:
        return self._write_one("delete_item", "Delete", request)

    def transact_write_items(self, *, TransactItems: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        with self._called("transact_write_items"):
            writes = [write for item in TransactItems for write in item.items()]
            keys = [_key(kind, request) for kind, request in writes]
            assert len(keys) == len(set(keys)) <= MOST_WRITES, "items of a transaction: all different, 100 at the most"
            reasons = [self._reason(key, request) for key, (_, request) in zip(keys, writes, strict=True)]
            if any(reason["Code"] != "None" for reason in reasons):
                error: Any = {
                    "Error": {"Code": "TransactionCanceledException", "Message": ""},
                    "CancellationReasons": reasons,
                }
                raise ClientError(error, "TransactWriteItems")
            for kind, request in writes:
                self._write(kind, request)
            return {}

    def query(self, **request: Any) -> dict[str, Any]:
        with self._called("query"):
            list_, at = _INDEXES[request["IndexName"]]
            assert request["KeyConditionExpression"] == "#list = :list AND #at BETWEEN :since AND :until"
            assert request["ExpressionAttributeNames"] == {"#list": list_, "#at": at}
            given = _plain(request["ExpressionAttributeValues"])
            listed = sorted(
                (item for item in self.items("") if item.get(list_) == given[":list"] and at in item),
                key=lambda item: (item[at], item["pk"]),
            )
            after = _plain(request["ExclusiveStartKey"]) if "ExclusiveStartKey" in request else None
            found = [
                item
                for item in listed
                if given[":since"] <= item[at] <= given[":until"]
                and (after is None or (item[at], item["pk"]) > (after[at], after["pk"]))
            ]
            page = [self._items[item["pk"]] for item in found[: self.page]]
            is_last = len(found) <= self.page
            answer: dict[str, Any] = (
                {"Count": len(page)} if is_last else {"Count": len(page), "LastEvaluatedKey": page[-1]}
            )
            if request.get("Select") == "COUNT":
                return answer
            return {"Items": [_projected(item, request.get("ProjectionExpression")) for item in page], **answer}

    @contextmanager
    def _called(self, operation: str) -> Iterator[None]:
        self.before(operation)
        self.calls.append(operation)
        with self._lock:
            yield
        self.after(operation)

    def _write_one(self, operation: str, kind: str, request: Mapping[str, Any]) -> dict[str, Any]:
        with self._called(operation):
            if self._reason(_key(kind, request), request)["Code"] != "None":
                raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, operation)
            self._write(kind, request)
            return {}

    def _reason(self, key: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Say why a write can't be made, as a canceled transaction does."""
        _expect_all_used(request)
        item = self._items.get(key)
        condition = request.get("ConditionExpression")
        if condition is None or _evaluate(_translate(condition), item or {}, request):
            return {"Code": "None"}
        returned = request.get("ReturnValuesOnConditionCheckFailure")
        return {"Code": "ConditionalCheckFailed"} | ({"Item": item} if item and returned == "ALL_OLD" else {})

    def _write(self, kind: str, request: Mapping[str, Any]) -> None:
        key = _key(kind, request)
        if kind == "Put":
            self._items[key] = request["Item"]
        elif kind == "Update":
            self._items[key] = _updated(self._items.get(key, {"pk": {"S": key}}), request)
        else:
            self._items.pop(key, None)


def _key(kind: str, request: Mapping[str, Any]) -> str:
    key: str = (request["Item"] if kind == "Put" else request["Key"])["pk"]["S"]
    return key


def _plain(item: Mapping[str, Any]) -> Item:
    return {name: _deserialize(value) for name, value in item.items()}


def _projected(item: dict[str, Any], expression: str | None) -> dict[str, Any]:
    if expression is None:
        return item
    names = expression.split(", ")
    assert not _RESERVED.intersection(names), f"reserved words in {expression!r}"
    return {name: item[name] for name in names if name in item}


def _expect_all_used(request: Mapping[str, Any]) -> None:
    """Refuse what DynamoDB refuses: names and values that are not given, not used, or not its own to use."""
    expressions = f"{request.get('ConditionExpression', '')} {request.get('UpdateExpression', '')}"
    words = {word for path in _TOKEN.findall(expressions) for word in path.split(".")}
    given = {*request.get("ExpressionAttributeNames", ()), *request.get("ExpressionAttributeValues", ())}
    assert given == {word for word in words if word[0] in "#:"}, f"names and values of {expressions!r}: {given}"
    own = words - given - {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "IN"}
    assert not own & _RESERVED, f"reserved words in {expressions!r}"


@cache
def _translate(expression: str) -> CodeType:
    """Make Python of a condition or of a value in an update."""

    def word(token: str) -> str:
        if token in _WORDS:
            return _WORDS[token]
        if token[0] in "(),+-<>":
            return token
        return f"given({token!r})" if token[0] == ":" else f"at({token!r})"

    return compile(" ".join(map(word, _TOKEN.findall(expression))), expression, "eval")


def _evaluate(code: CodeType, item: Mapping[str, Any], request: Mapping[str, Any]) -> Any:
    def given(name: str) -> Any:
        return _deserialize(request["ExpressionAttributeValues"][name])

    def at(path: str) -> Any:
        place: Any = {"M": item}
        for name in _names(path, request):
            place = place.get("M", {}).get(name)
            if place is None:
                return _ABSENT
        return _deserialize(place)

    return eval(code, {**_FUNCTIONS, "given": given, "at": at})


def _names(path: str, request: Mapping[str, Any]) -> list[str]:
    names = request.get("ExpressionAttributeNames", {})
    return [names.get(name, name) for name in path.split(".")]


def _updated(before: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item with the update made; every value is of the item as it was before."""
    after: dict[str, Any] = copy.deepcopy(dict(before))
    _, *clauses = _CLAUSE.split(request["UpdateExpression"])
    for clause, actions in zip(clauses[::2], clauses[1::2], strict=True):
        for action in map(str.strip, _COMMA.split(actions)):
            path, _, value = action.partition("=" if clause == "SET" else " ")
            *outer, name = _names(path.strip(), request)
            place = after
            for step in outer:
                place = place[step]["M"]
            given = _evaluate(_translate(value), before, request) if value else None
            changed = _changed(clause, _deserialize(place[name]) if name in place else None, given)
            if changed is _ABSENT:
                place.pop(name, None)
            else:
                place[name] = _serialize(changed)
    return after


def _changed(clause: str, held: Any, given: Any) -> Any:
    """Return what becomes of an attribute."""
    if clause == "SET":
        return given
    if clause == "ADD":
        return (held or Decimal()) + given if isinstance(given, Decimal) else (held or set()) | given
    return ((held or set()) - given or _ABSENT) if clause == "DELETE" else _ABSENT
