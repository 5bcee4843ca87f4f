"""AWS in trouble, on this machine: a proxy between the functions and the emulator that spoils some requests.

It knows which operation a request is for, and spoils it as that service would: throttled in the service's own words, a
single entry of a batch refused, the connection reset before the emulator heard of the request or after it did what was
asked. It keeps what it saw, so that whoever finds a message twice can say which fault it was. ::

    with FaultProxy(target_port=4566) as proxy:
        stack = LocalStack(…, parameters={"AwsEndpointUrl": proxy.url})
        proxy.storm("a seed", share=0.3)
        ...
        proxy.heal()

Which fault hits a request is drawn by the seed, the operation, and how many requests for it the storm had before.
"""

import contextlib
import json
import random
import re
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

from local.processes import LOOPBACK

CLIENTS_PATIENCE = 5.5
"""Longer than any of the functions' clients waits for an answer (runtime/aws.py), in seconds."""
SLOWLY = (0.2, 1.5)
TOO_SLOW = 1.8
"""A little below the patience of the clients that wait least, in seconds."""


class Fault(StrEnum):
    """What happens to a request."""

    THROTTLED = "throttled"
    STATUS_500 = "500"
    STATUS_503 = "503"
    RESET_BEFORE = "reset before the effect"
    TIME_OUT_BEFORE = "time-out before the effect"
    RESET_AFTER = "reset after the effect"
    TIME_OUT_AFTER = "time-out after the effect"
    TRUNCATED = "answer truncated"
    SLOW = "slow answer"
    ENTRY_REFUSED = "one entry refused"
    MACHINE_SLOW = "this machine was too slow to answer"
    """Not drawn: the answer came so late that a client may have given up."""


LOSES_ANSWER = frozenset({Fault.RESET_AFTER, Fault.TIME_OUT_AFTER, Fault.TRUNCATED})
"""The emulator did what was asked, and nobody is told."""
_OFTEN = {
    Fault.THROTTLED: 3, Fault.STATUS_500: 3, Fault.STATUS_503: 2, Fault.RESET_BEFORE: 3, Fault.TIME_OUT_BEFORE: 1,
    Fault.RESET_AFTER: 4, Fault.TIME_OUT_AFTER: 1, Fault.TRUNCATED: 3, Fault.SLOW: 2, Fault.ENTRY_REFUSED: 8,
}  # fmt: skip
"""How often each is drawn, compared with the others: time-outs take long."""
BATCHES = frozenset({"SendMessageBatch", "ChangeMessageVisibilityBatch", "PublishBatch", "BatchGetItem"})


@dataclass(frozen=True)
class Call:
    """A request to AWS."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def target(self) -> str:
        """Return the header by which services with JSON name the operation; empty where it is a form."""
        return self.headers.get("X-Amz-Target", "")

    @property
    def operation(self) -> str:
        """Return the operation's name, such as PutItem; the path where it has none."""
        if self.target:
            return self.target.rpartition(".")[2]
        return dict(parse_qsl(self.body.decode(errors="replace"))).get("Action", self.path)

    @property
    def service(self) -> str:
        """Return the service's name in the request's signature, such as dynamodb."""
        found = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", self.headers.get("Authorization", ""))
        return found[1] if found else ""

    def with_body(self, body: bytes) -> "Call":
        """Return the request with another body. Its signature is the emulator's root user's, which nobody checks."""
        headers = {name: text for name, text in self.headers.items() if name.lower() != "x-amz-security-token"}
        signed = re.sub(r"Credential=[^/]+", "Credential=test", headers.get("Authorization", ""))
        return Call(self.path, {**headers, "Authorization": signed}, body)


@dataclass(frozen=True)
class Answer:
    """What comes back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_well(self) -> bool:
        """Say whether the emulator did what was asked."""
        return self.status == HTTPStatus.OK


@dataclass(frozen=True)
class Seen:
    """A request that was spoilt."""

    operation: str
    fault: Fault
    about: frozenset[str]
    """What of it was found by the proxy's pattern; of a refused entry, in that entry."""


@dataclass
class _Storm:
    seed: str
    share: float
    faults: Collection[Fault]
    counted: Counter[str] = field(default_factory=Counter)

    def draw(self, operation: str) -> tuple[Fault | None, random.Random]:
        self.counted[operation] += 1
        drawn = random.Random(f"{self.seed} {operation} {self.counted[operation]}")
        if drawn.random() >= self.share:
            return None, drawn
        fitting = [fault for fault in self.faults if fault is not Fault.ENTRY_REFUSED or operation in BATCHES]
        return (drawn.choices(fitting, [_OFTEN[fault] for fault in fitting])[0] if fitting else None), drawn


class FaultProxy:
    """The proxy, served on 127.0.0.1 between start and close. Port 0 takes a free one."""

    def __init__(self, target_port: int, *, port: int = 0, about: str = r"[A-Z]{3}-\d+-\d\d") -> None:
        self.target_port = target_port
        self.seen: list[Seen] = []
        """The faults so far."""
        self.passed = 0
        """So many requests came through unspoilt."""
        self._about = re.compile(about)
        self._storm: _Storm | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server((LOOPBACK, port), _Handler, self)

    def __enter__(self) -> Self:
        """Start."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def storm(self, seed: str, share: float, faults: Collection[Fault] = tuple(_OFTEN)) -> None:
        """Spoil this share of the requests from now on, by these faults."""
        with self._lock:
            self._storm = _Storm(seed, share, faults)

    def heal(self) -> None:
        """Let every request through from now on."""
        with self._lock:
            self._storm = None

    def named_in(self, text: str) -> list[str]:
        """Return what of a text is found by the proxy's pattern."""
        return self._about.findall(text)

    def answer(self, call: Call, forward: Callable[[Call], Answer]) -> tuple[Answer | None, Fault | None]:
        """Answer a request, with no answer where the connection is to be reset."""
        operation = call.operation
        with self._lock:
            fault, drawn = self._storm.draw(operation) if self._storm else (None, random.Random(0))
            self.passed += fault is None
        if fault is None:
            return self._let_through(call, forward), None
        if fault is Fault.ENTRY_REFUSED:
            answer, refused = _with_an_entry_refused(call, forward, drawn)
            self._keep(operation, fault, refused)
            return answer, fault
        self._keep(operation, fault, call.body)
        return self._spoilt(call, forward, fault, drawn), fault

    def _let_through(self, call: Call, forward: Callable[[Call], Answer]) -> Answer:
        began = time.monotonic()
        answer = forward(call)
        if time.monotonic() - began > TOO_SLOW:
            self._keep(call.operation, Fault.MACHINE_SLOW, call.body)
        return answer

    def _spoilt(
        self, call: Call, forward: Callable[[Call], Answer], fault: Fault, drawn: random.Random
    ) -> Answer | None:
        match fault:
            case Fault.THROTTLED | Fault.STATUS_500 | Fault.STATUS_503:
                return _error(call, fault)
            case Fault.RESET_BEFORE:
                return None
            case Fault.TIME_OUT_BEFORE:
                self._closing.wait(CLIENTS_PATIENCE)
                return None
            case _:
                answer = forward(call)
        if fault is Fault.SLOW:
            self._closing.wait(drawn.uniform(*SLOWLY))
        if fault is Fault.TIME_OUT_AFTER:
            self._closing.wait(CLIENTS_PATIENCE)
        return None if fault in {Fault.RESET_AFTER, Fault.TIME_OUT_AFTER} else answer

    def _keep(self, operation: str, fault: Fault, text: bytes) -> None:
        found = frozenset(self.named_in(text.decode(errors="replace")))
        with self._lock:
            self.seen.append(Seen(operation, fault, found))


# ---- Errors, in each service's own words

_THROTTLED = {
    "dynamodb": "ProvisionedThroughputExceededException", "sqs": "RequestThrottled", "sns": "Throttling",
    "secretsmanager": "ThrottlingException",
}  # fmt: skip
_JSON = {"Content-Type": "application/x-amz-json-1.0"}
_XML = {"Content-Type": "text/xml"}


def _error(call: Call, fault: Fault) -> Answer:
    status = {Fault.THROTTLED: 400, Fault.STATUS_500: 500, Fault.STATUS_503: 503}[fault]
    usual = {500: "InternalFailure", 503: "ServiceUnavailable"}
    code = usual.get(status) or _THROTTLED.get(call.service, "ThrottlingException")
    if call.target:
        return Answer(status, _JSON, json.dumps({"__type": code, "message": "The proxy was told to fail"}).encode())
    text = f"<ErrorResponse><Error><Type>Receiver</Type><Code>{code}</Code><Message>told to fail</Message></Error>"
    return Answer(status, _XML, f"{text}<RequestId>proxy</RequestId></ErrorResponse>".encode())


# ---- A single entry of a batch call


def _with_an_entry_refused(call: Call, forward: Callable[[Call], Answer], drawn: random.Random) -> tuple[Answer, bytes]:
    """Leave an entry out of a batch call, and say in the answer that it was refused; return the entry too."""
    if not call.target:
        return _with_an_alert_refused(call, forward, drawn)
    request = json.loads(call.body)
    if call.operation == "BatchGetItem":
        ((table, asked),) = request["RequestItems"].items()
        refused = asked["Keys"].pop(drawn.randrange(len(asked["Keys"])))
        left: list[Any] = asked["Keys"]
        empty: dict[str, Any] = {"Responses": {table: []}}
        change: dict[str, Any] = {"UnprocessedKeys": {table: {**asked, "Keys": [refused]}}}
    else:
        refused = request["Entries"].pop(drawn.randrange(len(request["Entries"])))
        empty, left = {"Successful": []}, request["Entries"]
        change = {"Failed": [{"Id": refused["Id"], "SenderFault": False, "Code": "InternalError", "Message": ""}]}
    answer = forward(call.with_body(json.dumps(request).encode())) if left else Answer(200, _JSON, b"{}")
    document = {**empty, **json.loads(answer.body), **change} if answer.is_well else json.loads(answer.body)
    return Answer(answer.status, _JSON, json.dumps(document).encode()), json.dumps(refused).encode()


_MEMBER = re.compile(r"(PublishBatchRequestEntries\.member\.)(\d+)(\..+)")


def _with_an_alert_refused(call: Call, forward: Callable[[Call], Answer], drawn: random.Random) -> tuple[Answer, bytes]:
    """Do so with SNS, which takes a form and answers in XML."""
    form = parse_qsl(call.body.decode(), keep_blank_values=True)
    members: dict[int, dict[str, str]] = {}
    for name, text in form:
        if found := _MEMBER.fullmatch(name):
            members.setdefault(int(found[2]), {})[found[3]] = text
    refused = members.pop(drawn.choice(sorted(members)))
    kept = [(name, text) for name, text in form if not _MEMBER.fullmatch(name)]
    for number, member in enumerate(members.values(), start=1):
        kept += [(f"PublishBatchRequestEntries.member.{number}{part}", text) for part, text in member.items()]
    failed = f"<member><Id>{refused['.Id']}</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member>"
    through = ""
    if members:
        answer = forward(call.with_body(urlencode(kept).encode()))
        if not answer.is_well:
            return answer, b""
        through = "".join(re.findall(r"<Successful>(.*?)</Successful>", answer.body.decode(), re.DOTALL))
    result = f"<PublishBatchResult><Successful>{through}</Successful><Failed>{failed}</Failed></PublishBatchResult>"
    text = f'<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">{result}</PublishBatchResponse>'
    return Answer(200, _XML, text.encode()), json.dumps(refused).encode()


# ---- HTTP


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__(address, handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks the DNS for a name that nobody reads

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a client that gave up is what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name: text for name, text in self.headers.items() if name.lower() != "content-length"}
        try:
            answer, fault = self.server.proxy.answer(Call(self.path, headers, body), self._forward)
        except (OSError, HTTPException):
            answer, fault = None, None
        if answer is None:
            self._reset()
            return
        self.send_response(answer.status)
        for name, text in answer.headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        is_cut = fault is Fault.TRUNCATED
        self.wfile.write(answer.body[: len(answer.body) // 2] if is_cut else answer.body)
        if is_cut:
            self._reset()

    def _forward(self, call: Call) -> Answer:
        upstream = HTTPConnection(LOOPBACK, self.server.proxy.target_port, timeout=60)
        with contextlib.closing(upstream):
            upstream.request("POST", call.path, call.body, dict(call.headers))
            answer = upstream.getresponse()
            return Answer(answer.status, {"Content-Type": answer.headers.get("Content-Type", "")}, answer.read())

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
