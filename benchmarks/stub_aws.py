"""AWS as far as the benchmark needs it: every call is answered at once and counted, so that only our own time shows.

The ledger is kept, and its conditions hold or not (tests/fake_dynamodb.py); so is what comes to the hook queue. Any
other table, and whatever else is called, takes everything and holds nothing. Besides AWS it answers::

    GET, DELETE calls       how often each operation was called
    GET hidden              for how many seconds messages were last returned to the queue, by receipt handle
    PUT environment         that of the deployed functions, for the operators' commands
    GET messages            the hook queue's messages, handed over once, as Lambda's event source shows them
    PUT ledger              items to be kept, in DynamoDB's own form
    GET ledger              the items that are kept
    DELETE ledger           forget them all, and the messages
"""

import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs

from botocore.exceptions import ClientError

from tests.fake_dynamodb import FakeDynamoDb

LEDGER = "ledger"
HOOK_QUEUE = "hooks"
MANY_ACCOUNTS = [f"shop-{number:04}" for number in range(1_000)]
SECRETS: dict[str, Any] = {
    "hook": {"current": "secret-of-the-benchmark", "previous": ""},
    "desk": {"current": "secret-of-the-benchmark"},
    "vtex": {"luxstore": {"app_key": "key", "app_token": "token"}},
    "vtex-storm": {
        name: {"app_key": "key", "app_token": "token"}
        for name in ("luxstore", "storm", *(f"shop-{number}" for number in range(200)))
    },
    "vtex-many": {name: {"app_key": f"key-{name}", "app_token": "token"} for name in MANY_ACCOUNTS},
}
OUTPUTS = {"LedgerTableName": LEDGER, "VtexCredentialsSecretArn": "vtex", "HookSecretArn": "hook"}
_LEDGER_CALLS = {
    "BatchGetItem": "batch_get_item",
    "PutItem": "put_item",
    "UpdateItem": "update_item",
    "DeleteItem": "delete_item",
    "TransactWriteItems": "transact_write_items",
    "Query": "query",
}
_PAGE_BYTES = 1_000_000
_IN_THE_INDEX = (
    "pk", "list", "list_at", "checked_at", "codes", "digest", "errors", "kind", "mended_at", "opened_at", "outcome",
    "set_aside",
)  # fmt: skip


class LedgerTable(FakeDynamoDb):
    """The fake of the tests, with a list that may be ten thousand long: in pages of a megabyte, as the index has it."""

    def load(self, items: list[dict[str, Any]]) -> None:
        """Keep these items."""
        with self._lock:
            self._items.update({item["pk"]["S"]: item for item in items})

    def dump(self) -> list[dict[str, Any]]:
        """List what is kept."""
        with self._lock:
            return list(self._items.values())

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._items.clear()

    def query(self, **request: Any) -> dict[str, Any]:
        """Answer a page of a list."""
        values = request["ExpressionAttributeValues"]
        wanted, since, until = (values[name] for name in (":list", ":since", ":until"))
        after = _place(request["ExclusiveStartKey"]) if "ExclusiveStartKey" in request else ("", "")
        with self._called("query"):
            listed = [item for item in self._items.values() if item.get("list") == wanted]
        between = [item for item in listed if since["S"] <= item["list_at"]["S"] <= until["S"]]
        page: list[dict[str, Any]] = []
        size = 0
        for item in sorted(between, key=_place):
            if _place(item) <= after:
                continue
            page.append({name: item[name] for name in _IN_THE_INDEX if name in item})
            size += len(json.dumps(page[-1]))
            if size > _PAGE_BYTES:
                return {"Items": page, "LastEvaluatedKey": {name: page[-1][name] for name in ("pk", "list", "list_at")}}
        return {"Items": page}


class Aws:
    """What is kept, and what was called."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.ledger = LedgerTable()
        self.messages: list[dict[str, Any]] = []
        self.hidden: dict[str, int] = {}
        self.environment: dict[str, str] = {}

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Return what AWS would answer to a JSON call."""
        self.called.append(operation)
        if operation in _LEDGER_CALLS and _is_about_the_ledger(request):
            request.pop("ClientRequestToken", None)  # boto3's own, for its retries
            answered: dict[str, Any] = getattr(self.ledger, _LEDGER_CALLS[operation])(**request)
            return answered
        match operation:
            case "SendMessage":
                return self._take(request["QueueUrl"], request)
            case "SendMessageBatch":
                entries = request["Entries"]
                return {"Successful": [{"Id": e["Id"], **self._take(request["QueueUrl"], e)} for e in entries]}
            case "ChangeMessageVisibilityBatch":
                self.hidden |= {entry["ReceiptHandle"]: entry["VisibilityTimeout"] for entry in request["Entries"]}
                return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]]}
            case "GetSecretValue":
                return {"ARN": request["SecretId"], "SecretString": json.dumps(SECRETS[request["SecretId"]])}
            case _:
                return {}

    def answer_form(self, form: dict[str, list[str]]) -> str:
        """Return what SNS, or CloudFormation, would answer to a form."""
        action = form["Action"][0]
        self.called.append(action)
        match action:
            case "DescribeStacks":
                outputs = _members({"OutputKey": name, "OutputValue": value} for name, value in OUTPUTS.items())
                stack = "<StackName>bench</StackName><CreationTime>2026-03-03T00:00:00Z</CreationTime>"
                status = "<StackStatus>CREATE_COMPLETE</StackStatus>"
                result = f"<Stacks><member>{stack}{status}<Outputs>{outputs}</Outputs></member></Stacks>"
            case "DescribeStackResource":
                physical = form["LogicalResourceId"][0]
                detail = f"<PhysicalResourceId>{physical}</PhysicalResourceId>"
                result = f"<StackResourceDetail>{detail}</StackResourceDetail>"
            case "GetTopicAttributes":
                entry = "<entry><key>SubscriptionsConfirmed</key><value>1</value></entry>"
                result = f"<Attributes>{entry}</Attributes>"
            case _:
                ids = [value[0] for name, value in form.items() if name.endswith(".Id")]
                result = f"<Successful>{_members({'Id': number, 'MessageId': '1'} for number in ids)}</Successful>"
        return f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"

    def tell(self, name: str) -> object:
        """Answer what the benchmark asks, and what is asked with a GET of AWS: Lambda's GetFunctionConfiguration."""
        match name:
            case "calls":
                return Counter(self.called)
            case "ledger":
                return self.ledger.dump()
            case "hidden":
                return self.hidden
            case "messages":
                handed_over, self.messages = self.messages, []
                return handed_over
            case _:
                return {"Environment": {"Variables": self.environment}}

    def do(self, method: str, name: str, body: bytes) -> None:
        """Do what the benchmark tells."""
        match method, name:
            case "DELETE", "calls":
                self.called.clear()
            case "PUT", "environment":
                self.environment = json.loads(body)
            case "PUT", "ledger":
                self.ledger.load(json.loads(body))
            case "DELETE", "ledger":
                self.ledger.clear()
                self.messages.clear()
                self.hidden.clear()
            case _:
                raise ValueError(f"{method} {name} is nothing that can be done")

    def _take(self, queue_url: str, message: dict[str, Any]) -> dict[str, str]:
        if queue_url.endswith(f"/{HOOK_QUEUE}"):
            self.messages.append(_as_event_source(message, len(self.messages)))
        digest = hashlib.md5(message["MessageBody"].encode(), usedforsecurity=False).hexdigest()
        return {"MessageId": "1", "MD5OfMessageBody": digest}


def _is_about_the_ledger(request: dict[str, Any]) -> bool:
    return "TransactItems" in request or LEDGER in {request.get("TableName"), *request.get("RequestItems", ())}


def _members(members: Iterable[dict[str, str]]) -> str:
    texts = ("".join(f"<{name}>{value}</{name}>" for name, value in member.items()) for member in members)
    return "".join(f"<member>{text}</member>" for text in texts)


def _place(item: dict[str, Any]) -> tuple[str, str]:
    return item["list_at"]["S"], item["pk"]["S"]


def _as_event_source(message: dict[str, Any], number: int) -> dict[str, Any]:
    named = message.get("MessageAttributes", {})
    return {
        "messageId": f"m{number}",
        "receiptHandle": "r",
        "body": message["MessageBody"],
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(time.time() * 1000))},
        "messageAttributes": {
            name: {"stringValue": value["StringValue"], "dataType": value["DataType"]} for name, value in named.items()
        },
    }


def _refusal(error: ClientError) -> dict[str, Any]:
    told: Any = error.response
    reasons = {name: told[name] for name in ("CancellationReasons",) if name in told}
    return {"__type": f"com.amazonaws.dynamodb.v20120810#{told['Error']['Code']}", "Message": "refused", **reasons}


class Handler(BaseHTTPRequestHandler):
    """Answers the JSON protocols by X-Amz-Target, the older ones by their form."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    aws: ClassVar[Aws] = Aws()

    def do_POST(self) -> None:
        """Answer a call of AWS."""
        body = self._body()
        target = self.headers.get("X-Amz-Target")
        if not target:
            self._send(self.aws.answer_form(parse_qs(body.decode())).encode(), "text/xml")
            return
        try:
            self._send_json(self.aws.answer(target.split(".")[-1], json.loads(body)))
        except ClientError as error:
            self._send_json(_refusal(error), HTTPStatus.BAD_REQUEST)

    def do_GET(self) -> None:
        """Tell."""
        self._send_json(self.aws.tell(self.path.strip("/")))

    def do_PUT(self) -> None:
        """Do as told."""
        self.aws.do(self.command, self.path.strip("/"), self._body())
        self._send_json({})

    do_DELETE = do_PUT

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _send_json(self, document: object, status: int = HTTPStatus.OK) -> None:
        self._send(json.dumps(document).encode(), "application/x-amz-json-1.0", status)

    def _send(self, body: bytes, content_type: str, status: int = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
