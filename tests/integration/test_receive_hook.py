"""The receiver's entry file, with AWS in this process: events of the HTTP API in, messages in the queue out."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.entries import assert_that_it_does_not_start_without, at_home, received, start
from tests.figures import hear_the_log, lines_of_figures, metrics_in

FUNCTION = "receive_hook"
NOTIFICATION = {
    "Domain": "Fulfillment",
    "OrderId": "VVJ-975101-01",
    "State": "invoiced",
    "LastState": "invoice",
    "Origin": {"Account": "luxstore", "Key": "vtexappkey-luxstore-ABCDEF"},
}
SECRET = {"x-hook-secret": "s3cret"}
VTEX_WAITS = 5.0
ANSWERED_WITHIN = 4.0
LONGEST_BACKOFF = 20.0


@dataclass
class Aws:
    """The queue and the secret that the function is given, and the function itself."""

    sqs: Any
    secrets: Any
    queue_url: str
    secret_arn: str
    entry: ModuleType

    def messages(self) -> list[Any]:
        return received(self.queue_url)

    def call(self, event: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.entry.handler(event, None)
        return answer


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    at_home(monkeypatch)
    with mock_aws():
        sqs, secrets = boto3.client("sqs"), boto3.client("secretsmanager")
        queue_url = sqs.create_queue(QueueName="hook")["QueueUrl"]
        stored = json.dumps({"current": "s3cret", "previous": ""})
        secret_arn = secrets.create_secret(Name="hook", SecretString=stored)["ARN"]
        environment = {
            "HOOK_QUEUE_URL": queue_url,
            "HOOK_SECRET_ARN": secret_arn,
            "VTEX_ACCOUNTS": "luxstore",
            "WATCHED_STATUSES": "invoiced",
        }
        yield Aws(sqs, secrets, queue_url, secret_arn, start(FUNCTION, monkeypatch, environment))


def an_event(body: object = NOTIFICATION, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Build an event of payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "POST /hooks/vtex/orders",
        "rawPath": "/hooks/vtex/orders",
        "rawQueryString": "",
        "headers": {"content-type": "application/json"} | (SECRET if headers is None else headers),
        "requestContext": {"requestId": "JKJaXmPLvHcESHA=", "http": {"method": "POST", "path": "/hooks/vtex/orders"}},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def in_base64(event: dict[str, Any]) -> dict[str, Any]:
    return event | {"body": base64.b64encode(event["body"].encode()).decode(), "isBase64Encoded": True}


# ---- Events and their answers


@pytest.mark.parametrize("as_sent", [dict, in_base64], ids=["as-text", "in-base64"])
def test_a_notification_is_in_the_queue_when_vtex_hears_200(aws: Aws, as_sent: Any) -> None:
    assert aws.call(as_sent(an_event())) == {"statusCode": 200}

    (message,) = aws.messages()
    assert json.loads(message["Body"]) == NOTIFICATION
    assert message["MessageAttributes"]["correlation_id"]["StringValue"] == "JKJaXmPLvHcESHA="


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"body": None}, id="no-body"),
        pytest.param({"body": "%%%", "isBase64Encoded": True}, id="base64-that-is-none"),
        pytest.param({"body": '{"OrderId": "\udc80"}'}, id="half-a-character"),
        pytest.param(
            {"body": base64.b64encode(b'{"OrderId": "\xff"}').decode(), "isBase64Encoded": True}, id="no-utf-8"
        ),
    ],
)
def test_a_body_that_is_no_notification_is_answered_400(aws: Aws, changes: dict[str, Any]) -> None:
    event = an_event() | changes

    assert (aws.call(event), aws.messages()) == ({"statusCode": 400}, [])


@pytest.mark.parametrize(("padding", "status"), [(60_000, 200), (65_536, 413)])
def test_a_large_body_counts_as_large_as_it_is_decoded(aws: Aws, padding: int, status: int) -> None:
    event = an_event(NOTIFICATION | {"padding": "x" * padding})

    assert aws.call(in_base64(event)) == {"statusCode": status}


def test_json_that_is_said_to_be_base64_is_taken_for_what_it_is(aws: Aws) -> None:
    event = an_event() | {"isBase64Encoded": True}

    assert (aws.call(event), len(aws.messages())) == ({"statusCode": 200}, 1)


@pytest.mark.parametrize(
    ("absent", "status"), [("headers", 401), ("requestContext", 200), ("body", 400), ("isBase64Encoded", 200)]
)
def test_an_event_that_lacks_something_is_answered_all_the_same(aws: Aws, absent: str, status: int) -> None:
    event = an_event()
    del event[absent]

    assert aws.call(event) == {"statusCode": status}


def test_a_queue_that_is_gone_is_answered_503(aws: Aws) -> None:
    aws.sqs.delete_queue(QueueUrl=aws.queue_url)

    assert aws.call(an_event()) == {"statusCode": 503}


def test_a_secret_that_is_gone_is_answered_503(aws: Aws) -> None:
    aws.secrets.delete_secret(SecretId=aws.secret_arn, ForceDeleteWithoutRecovery=True)

    assert (aws.call(an_event()), aws.messages()) == ({"statusCode": 503}, [])


def test_a_call_is_counted_in_one_line(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.call(an_event())

    out = capsys.readouterr().out
    (line,) = lines_of_figures(out)
    assert line["counts"] == {"hook_received": 1, "hook_queued": 1}
    assert [(metric.name, metric.values) for metric in metrics_in(out)] == [("hook_received", (1.0,))]


def test_a_call_that_writes_no_metric_is_counted_in_one_line_too(
    aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hear_the_log(monkeypatch)
    aws.call(an_event() | {"headers": {}})

    out = capsys.readouterr().out
    (line,) = lines_of_figures(out)
    assert line["counts"] == {"hook_refused_wrong_secret": 1}
    assert metrics_in(out) == []


def test_a_wrong_deployment_fails_at_once_and_says_which_variable(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_that_it_does_not_start_without(
        monkeypatch, FUNCTION, "HOOK_QUEUE_URL", "HOOK_SECRET_ARN", "WATCHED_STATUSES"
    )


# ---- Time: VTEX hears 503 before it stops listening


def longest(client: Any) -> float:
    """Add up what one call of a client can take at the worst: its attempts, and botocore's waits between them."""
    config = client.meta.config
    attempts: int = config.retries["total_max_attempts"]
    waits = [min(2.0**retry, LONGEST_BACKOFF) for retry in range(attempts - 1)]
    return float(attempts * (config.connect_timeout + config.read_timeout) + sum(waits))


def test_at_the_worst_vtex_is_answered_within_four_seconds(aws: Aws) -> None:
    assert longest(aws.entry.secrets_manager) + longest(aws.entry.sqs) < ANSWERED_WITHIN < VTEX_WAITS
