"""The stub of AWS with faults on demand, which keeps what was published and counts what DynamoDB would bill.

Besides what stub_aws.py answers::

    PUT faults      [{"operations": ["Publish"], "kind": "reset", "times": 1}]: the first that fits is used
    DELETE faults   none any more
    DELETE hidden   forget for how long messages were returned
    GET sent        what was published: [topic, message]
    DELETE sent     forget that
    GET units       the write and read units of DynamoDB
    DELETE units    begin anew
    PUT later       seconds: forget what expires within
"""

import contextlib
import json
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from threading import Lock
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs

from benchmarks.runtime import ACCOUNT, started_by
from benchmarks.stub_aws import LEDGER, SECRETS, Aws, Handler
from tests.fake_dynamodb import FakeDynamoDb

IDEMPOTENCY = "idempotency"
ACCOUNTS = (ACCOUNT, *(f"shop-{number}" for number in range(1, 10)))
Kind = Literal[
    "throttle",  # refused, and nothing is done
    "error",  # 500, and nothing is done
    "reset",  # done, and the connection closes without an answer
    "kill",  # done, and what the process `emulator` runs is killed before it has an answer
]
_CALLS = {"PutItem": "put_item", "UpdateItem": "update_item", "DeleteItem": "delete_item"}
_UNIT_BYTES = 1024
_IN_INDEXES = (("list", "list_at"), ("failures", "failures_at"))


@dataclass
class AwsFault:
    """One way to fail, for the next `times` calls of these operations, or for one of `every` so many."""

    operations: list[str]
    kind: Kind
    times: int
    topic: str = ""
    """How the topic's address ends; any will do where it is empty."""
    emulator: int = 0
    every: int = 1
    passed: int = 0
    """How many calls it might have befallen and did not, since it last befell one."""

    def fits(self, operation: str, topic: str) -> bool:
        """Say whether it befalls this call."""
        return self.times > 0 and operation in self.operations and topic.endswith(self.topic)

    def befalls(self) -> bool:
        """Count a call that it fits, and say whether this is the one."""
        self.passed = (self.passed + 1) % self.every
        self.times -= not self.passed
        return not self.passed


class FaultyAws(Aws):
    """AWS that fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.idempotency = FakeDynamoDb()
        self.sent: list[tuple[str, str]] = []
        self.units: Counter[str] = Counter()
        self.faults: list[AwsFault] = []
        self._one_takes = Lock()

    def take_fault(self, operation: str, topic: str) -> AwsFault | None:
        """Return what is to befall a call, if anything."""
        with self._one_takes:
            for fault in self.faults:
                if fault.fits(operation, topic) and fault.befalls():
                    return fault
        return None

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Return what AWS would answer to a JSON call."""
        self._count_units(operation, request)
        if request.get("TableName") != IDEMPOTENCY:
            return super().answer(operation, request)
        self.called.append(operation)
        if operation == "GetItem":
            asked = {IDEMPOTENCY: {"Keys": [request["Key"]], "ConsistentRead": True}}
            found = self.idempotency.batch_get_item(RequestItems=asked)["Responses"][IDEMPOTENCY]
            return {"Item": found[0]} if found else {}
        answered: dict[str, Any] = getattr(self.idempotency, _CALLS[operation])(**request)
        return answered

    def answer_form(self, form: dict[str, list[str]]) -> str:
        """Return what SNS would answer to a form, and keep what it says."""
        if form["Action"][0] in {"Publish", "PublishBatch"}:
            texts = (value[0] for name, value in form.items() if name.rpartition(".")[2] == "Message")
            self.sent += [(form["TopicArn"][0], text) for text in texts]
        return super().answer_form(form)

    def tell(self, name: str) -> object:
        """Answer what the benchmark asks."""
        told: dict[str, object] = {"sent": self.sent, "units": self.units}
        return told[name] if name in told else super().tell(name)

    def do(self, method: str, name: str, body: bytes) -> None:
        """Do what the benchmark tells."""
        match method, name:
            case "PUT", "faults":
                self.faults = [AwsFault(**fault) for fault in json.loads(body)]
            case "DELETE", "faults":
                self.faults = []
            case "DELETE", "hidden" | "sent" | "units":
                setattr(self, name, type(getattr(self, name))())
            case "PUT", "later":
                for table in (self.ledger, self.idempotency):
                    table.forget_expired(time.time() + json.loads(body))
            case "DELETE", "ledger":
                self.idempotency = FakeDynamoDb()
                super().do(method, name, body)
            case _:
                super().do(method, name, body)

    def _count_units(self, operation: str, request: Mapping[str, Any]) -> None:
        match operation:
            case "BatchGetItem":
                self.units["read"] += sum(len(asked["Keys"]) for asked in request["RequestItems"].values())
            case "GetItem":
                self.units["read"] += 1
            case "TransactWriteItems":
                writes = [write for one in request["TransactItems"] for write in one.values()]
                self.units["write"] += 2 * sum(map(_units, writes))
            case "PutItem" | "UpdateItem" | "DeleteItem" if request["TableName"] in {LEDGER, IDEMPOTENCY}:
                self.units["write"] += _units(request)


def _units(write: Mapping[str, Any]) -> int:
    """Return the write units of an item, and of the indexes that it stands in."""
    item = write.get("Item", {})
    indexes = sum(all(name in item for name in names) for names in _IN_INDEXES)
    return max(1, math.ceil(len(json.dumps(item)) / _UNIT_BYTES)) + indexes


class FaultyHandler(Handler):
    """Answers as its elder does, but for the faults."""

    aws: ClassVar[FaultyAws] = FaultyAws()

    def do_POST(self) -> None:
        """Answer a call of AWS, or fail it."""
        target, body = self.headers.get("X-Amz-Target"), self._body()
        form = {} if target else parse_qs(body.decode())
        operation = target.split(".")[-1] if target else form["Action"][0]
        fault = self.aws.take_fault(operation, form.get("TopicArn", [""])[0])
        if fault is None:
            self.answer_call(target, body)
        elif fault.kind in {"throttle", "error"}:
            self._refuse(fault.kind, is_json=bool(target))
        else:
            with contextlib.suppress(Exception):  # a condition that does not hold has no effect, and no answer either
                self._act(target, body)
            if fault.kind == "kill":
                os.kill(started_by(fault.emulator), signal.SIGKILL)
            self.close_connection = True

    def _act(self, target: str | None, body: bytes) -> None:
        if target:
            self.aws.answer(target.split(".")[-1], json.loads(body))
        else:
            self.aws.answer_form(parse_qs(body.decode()))

    def _refuse(self, kind: Kind, *, is_json: bool) -> None:
        code = "ThrottlingException" if kind == "throttle" else "InternalFailure"
        status = HTTPStatus.BAD_REQUEST if kind == "throttle" else HTTPStatus.INTERNAL_SERVER_ERROR
        if is_json:
            self._send_json({"__type": f"com.amazonaws#{code}", "Message": "refused"}, status)
        else:
            error = f"<ErrorResponse><Error><Code>{code}</Code><Message>refused</Message></Error></ErrorResponse>"
            self._send(error.encode(), "text/xml", status)


if __name__ == "__main__":
    SECRETS["vtex"] = {account: {"app_key": "key", "app_token": "token"} for account in ACCOUNTS}
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), FaultyHandler).serve_forever()
