"""The desk's entry file, with AWS in this process: an event of the HTTP API in, an answer of it out."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from moto import mock_aws

from invoicekey.ledger.entries import Entry, Ledger, Report
from invoicekey.ledger.failures import Episode, Shown
from invoicekey.ledger.table import Table
from invoicekey.messages.links import Links, Target
from invoicekey.rules.notification import OrderRef
from tests.entries import assert_that_it_does_not_start_without, at_home, start
from tests.figures import hear_the_log, lines_of_figures
from tests.ledger_table import NAME, make_ledger_table

REF = OrderRef("luxstore", "VVJ-975102-01")
ADDRESS = "https://abc123.execute-api.us-east-1.amazonaws.com/desk/"
ENVIRONMENT = {
    "LEDGER_TABLE_NAME": NAME,
    "DESK_URL": ADDRESS,
    "ALERT_LANGUAGE": "pt-BR",
    "ALERT_TIMEZONE": "America/Sao_Paulo",
    "FUNCTION_TIMEOUT_SECONDS": "15",
}
KEEPS_ITS_LINK = {
    "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
}  # fmt: skip


@dataclass
class Stack:
    """The function, what it was given, and a link to an order that fails."""

    ledger: Ledger
    queue: str
    function: ModuleType
    token: str

    def ask(self, method: str = "GET", *, token: str | None = None, **event: Any) -> dict[str, Any]:
        path = {"pathParameters": {"token": self.token if token is None else token}}
        answer: dict[str, Any] = self.function.handler(
            {"version": "2.0", "requestContext": {"http": {"method": method}}, **path, **event}, None
        )
        json.dumps(answer)  # as Lambda hands it on
        return answer

    @property
    def entry(self) -> Entry:
        return self.ledger.read_one(REF)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    at_home(monkeypatch)
    with mock_aws():
        make_ledger_table()
        queue = boto3.client("sqs").create_queue(QueueName="hook")["QueueUrl"]
        topic = boto3.client("sns").create_topic(Name="records")["TopicArn"]
        secret = boto3.client("secretsmanager").create_secret(Name="desk", SecretString='{"current": "a key"}')["ARN"]
        given = {**ENVIRONMENT, "HOOK_QUEUE_URL": queue, "RECORD_TOPIC_ARN": topic, "DESK_SECRET_ARN": secret}
        function = start("desk", monkeypatch, given)
        ledger = Ledger(Table(boto3.client("dynamodb"), NAME))
        ledger.write(failing())
        yield Stack(ledger, queue, function, Links(ADDRESS, ["a key"]).token(Target(REF.account, REF.order_id)))


def failing() -> Entry:
    now = datetime.now(UTC)
    problem = {"code": "missing", "severity": "error", "invoice_number": "643797", "invoice_key": None,
               "suggested_key": None, "suggested_from": None, "message": "…"}  # fmt: skip
    record = {"data": {"problems": [problem], "marketplace_order_id": "975102-01", "order_status": "invoiced"}}
    return Entry(
        REF,
        first_seen_at=now,
        checked_at=now,
        outcome="failing",
        errors_reported="f" * 64,
        errors=(Shown("missing", "643797", has_suggestion=False),),
        opened_at=now,
        recheck_at=now + timedelta(hours=1),
        episodes=(Episode(now, ("missing",)),),
        report=Report(1, "invoicekey.order.failing.v1", json.dumps(record), None, now, recorded=True, alerted=True),
    )


def test_a_link_shows_its_order(stack: Stack) -> None:
    answer = stack.ask()
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"] == "text/html; charset=utf-8"
    assert "A nota 643797 está sem a chave de acesso da NF-e." in answer["body"]


def test_a_scanner_that_asks_for_the_headers_alone_gets_them_alone(stack: Stack) -> None:
    answer = stack.ask("HEAD")
    assert (answer["statusCode"], answer["body"]) == (200, "")


@pytest.mark.parametrize("is_base64", [True, False])
def test_a_form_comes_as_text_or_as_the_api_encodes_it(stack: Stack, is_base64: bool) -> None:
    form = urlencode({"act": "dismiss", "reason": "portal", "note": "atualizei à mão"})
    body = base64.b64encode(form.encode()).decode() if is_base64 else form
    answer = stack.ask("POST", body=body, isBase64Encoded=is_base64)
    assert answer["statusCode"] == 303
    assert answer["headers"]["Location"] == f"{stack.token}?done=dismiss"
    assert "atualizei à mão" in stack.entry.acts[-1]


@pytest.mark.parametrize("body", [None, "", "=", "act", "act=check&act=check", "\x00", "%ff=%fe", "a=b&" * 600])
def test_a_body_without_sense_does_nothing(stack: Stack, body: str | None) -> None:
    before = stack.entry
    assert stack.ask("POST", body=body)["statusCode"] == 400
    assert stack.entry == before


def test_a_body_that_claims_to_be_base64_and_is_not_does_nothing(stack: Stack) -> None:
    assert stack.ask("POST", body="act=check!", isBase64Encoded=True)["statusCode"] == 400


def test_a_look_is_queued_for_the_checker(stack: Stack) -> None:
    assert stack.ask("POST", body="act=check")["statusCode"] == 303
    (message,) = wait_for(stack.queue)
    assert json.loads(message["Body"])["OrderId"] == REF.order_id
    assert message["MessageAttributes"]["source"]["StringValue"] == "desk"


def wait_for(queue: str) -> list[Any]:
    """Receive what is hidden for a second: SQS itself waits for it."""
    answer = boto3.client("sqs").receive_message(
        QueueUrl=queue, WaitTimeSeconds=5, MessageAttributeNames=["All"], MaxNumberOfMessages=10
    )
    return list(answer.get("Messages", []))


@pytest.mark.parametrize(("event", "status"), [({}, 200), ({"token": "x"}, 403), ({"token": ""}, 403)])
def test_every_answer_keeps_its_link_to_itself(stack: Stack, event: dict[str, str], status: int) -> None:
    answer = stack.ask(**event)
    assert answer["statusCode"] == status
    assert answer["headers"].items() >= KEEPS_ITS_LINK.items()
    assert answer["headers"]["Content-Security-Policy"].startswith("default-src 'none'; ")


def test_an_event_without_a_token_is_refused(stack: Stack) -> None:
    answer = stack.function.handler({"requestContext": {"http": {"method": "GET"}}}, None)
    assert answer["statusCode"] == 403


def test_what_is_done_is_counted(
    stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hear_the_log(monkeypatch)
    stack.ask()
    stack.ask(token="x")
    counts = [line["counts"] for line in lines_of_figures(capsys.readouterr().out)]
    assert counts == [{"desk_opened": 1}, {"desk_refused_forged": 1}]


def test_a_wrong_deployment_fails_at_once_and_names_the_variable(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = (*ENVIRONMENT, "HOOK_QUEUE_URL", "RECORD_TOPIC_ARN", "DESK_SECRET_ARN")
    assert_that_it_does_not_start_without(monkeypatch, "desk", *needed)
