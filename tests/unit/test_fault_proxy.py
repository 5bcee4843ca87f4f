"""The proxy's faults, as the SDK meets them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

from invoicekey.runtime import aws
from local import fault_proxy
from local.fault_proxy import Fault, FaultProxy, Seen
from local.processes import LOOPBACK

ONCE = Config(read_timeout=2, retries={"total_max_attempts": 1}, proxies={})
ALERT = {"Message": "VVJ-1-01 has no key", "Subject": "about an order"}
RESULT = "<PublishBatchResult><Successful>{}</Successful><Failed/></PublishBatchResult>"
PUBLISHED = f"<PublishBatchResponse>{RESULT}</PublishBatchResponse>"
NO_ANSWER = [Fault.RESET_BEFORE, Fault.TIME_OUT_BEFORE, Fault.RESET_AFTER, Fault.TIME_OUT_AFTER, Fault.TRUNCATED]
TAKEN = {Fault.RESET_AFTER, Fault.TIME_OUT_AFTER, Fault.TRUNCATED}


class Emulator:
    """It says yes to everything, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        emulator = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = emulator.answer(self.headers.get("X-Amz-Target", ""), body)
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, target: str, body: bytes) -> bytes:
        """Answer a request."""
        if not target:
            self.asked.append(form := dict(parse_qsl(body.decode())))
            ids = [text for name, text in form.items() if name.endswith(".Id")]
            through = "".join(f"<member><Id>{one}</Id><MessageId>m</MessageId></member>" for one in ids)
            return PUBLISHED.format(through).encode()
        self.asked.append(request := json.loads(body))
        took = [{"Id": one["Id"], "MessageId": "m", "MD5OfMessageBody": ""} for one in request.get("Entries", [])]
        keys = request.get("RequestItems", {}).get("ledger", {}).get("Keys", [])
        return json.dumps({"Successful": took, "Responses": {"ledger": keys}}).encode()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    emulator = Emulator()
    yield emulator
    emulator.server.shutdown()
    emulator.server.server_close()


@pytest.fixture
def proxy(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    monkeypatch.setattr(fault_proxy, "CLIENTS_PATIENCE", 0.0)  # so that it gives up before the client does
    with FaultProxy(emulator.server.server_port) as proxy:
        given = {
            "ENDPOINT_URL": proxy.url,
            "DEFAULT_REGION": "us-east-1",
            "ACCESS_KEY_ID": "a",
            "SECRET_ACCESS_KEY": "b",
        }
        for name, text in given.items():
            monkeypatch.setenv(f"AWS_{name}", text)
        yield proxy


def client(service: str) -> Any:
    return aws.client(service, ONCE)


def put() -> None:
    client("dynamodb").put_item(TableName="ledger", Item={"pk": {"S": "order#luxstore#VVJ-1-01"}})


def test_without_a_storm_every_request_gets_through(proxy: FaultProxy, emulator: Emulator) -> None:
    put()
    assert len(emulator.asked) == proxy.passed == 1
    assert not proxy.seen


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("dynamodb", "ProvisionedThroughputExceededException"),
        ("sqs", "RequestThrottled"),
        ("sns", "Throttling"),
        ("secretsmanager", "ThrottlingException"),
    ],
)
def test_each_service_throttles_in_its_own_words(
    proxy: FaultProxy, emulator: Emulator, service: str, code: str
) -> None:
    proxy.storm("seed", 1.0, [Fault.THROTTLED])
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "dynamodb": ("get_item", {"TableName": "ledger", "Key": {"pk": {"S": "one"}}}),
        "sqs": ("send_message", {"QueueUrl": f"{proxy.url}/1/queue", "MessageBody": "{}"}),
        "sns": ("publish", {"TopicArn": "arn:topic", **ALERT}),
        "secretsmanager": ("get_secret_value", {"SecretId": "secret"}),
    }
    operation, arguments = calls[service]
    with pytest.raises(ClientError) as refused:
        getattr(client(service), operation)(**arguments)
    assert refused.value.response["Error"]["Code"] == code
    assert not emulator.asked


@pytest.mark.parametrize("fault", NO_ANSWER)
def test_where_no_answer_comes_the_emulator_did_it_or_not(proxy: FaultProxy, emulator: Emulator, fault: Fault) -> None:
    proxy.storm("seed", 1.0, [fault])
    with pytest.raises(BotoCoreError):
        put()
    assert len(emulator.asked) == (fault in TAKEN)
    assert proxy.seen == [Seen("PutItem", fault, frozenset({"VVJ-1-01"}))]


def test_half_an_answer_is_none_in_xml_either(proxy: FaultProxy) -> None:
    proxy.storm("seed", 1.0, [Fault.TRUNCATED])
    with pytest.raises(IncompleteReadError):
        client("sns").publish_batch(TopicArn="arn:topic", PublishBatchRequestEntries=[{"Id": "0", **ALERT}])


def test_one_alert_of_a_batch_is_refused_and_the_others_are_sent(proxy: FaultProxy, emulator: Emulator) -> None:
    proxy.storm("seed", 1.0, [Fault.ENTRY_REFUSED])
    entries = [{"Id": str(number), **ALERT, "Message": f"VVJ-{number}-01"} for number in range(3)]
    answer = client("sns").publish_batch(TopicArn="arn:topic", PublishBatchRequestEntries=entries)
    (refused,) = (entry["Id"] for entry in answer["Failed"])
    assert {entry["Id"] for entry in answer["Successful"]} == {"0", "1", "2"} - {refused}
    assert sum(name.endswith(".Message") for name in emulator.asked[0]) == 2
    assert proxy.seen[0].about == {f"VVJ-{refused}-01"}


def test_one_message_of_a_batch_is_refused_and_the_others_are_queued(proxy: FaultProxy, emulator: Emulator) -> None:
    proxy.storm("seed", 1.0, [Fault.ENTRY_REFUSED])
    entries = [{"Id": str(number), "ReceiptHandle": "a", "VisibilityTimeout": 1} for number in range(2)]
    answer = client("sqs").change_message_visibility_batch(QueueUrl=f"{proxy.url}/1/q", Entries=entries)
    assert len(answer["Failed"]) == len(answer["Successful"]) == len(emulator.asked[0]["Entries"]) == 1


def test_one_item_of_a_batch_is_left_unread(proxy: FaultProxy) -> None:
    proxy.storm("seed", 1.0, [Fault.ENTRY_REFUSED])
    keys = [{"pk": {"S": name}} for name in ("one", "two")]
    answer = client("dynamodb").batch_get_item(RequestItems={"ledger": {"Keys": keys}})
    assert len(answer["Responses"]["ledger"]) == len(answer["UnprocessedKeys"]["ledger"]["Keys"]) == 1


def test_the_same_seed_spoils_the_same_requests(proxy: FaultProxy) -> None:
    def spoilt() -> list[Fault]:
        proxy.seen.clear()
        proxy.storm("a seed", 0.5, [Fault.THROTTLED, Fault.STATUS_500])
        for _ in range(10):
            try:
                put()
            except ClientError:
                continue
        return [seen.fault for seen in proxy.seen]

    assert spoilt() == spoilt() != []
