"""The documents' filter policies: who subscribes to the alert topic with one gets these alerts, and no others."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from invoicekey.delivery.queues import AlertTopic, alert_entry
from invoicekey.messages import alert, summary
from invoicekey.messages.alert import Alert, Style
from invoicekey.messages.summary import DeferredOrder, Fault, OpenFailure, Week, WeekOfFailures
from invoicekey.rules.order import Order
from invoicekey.rules.verdict import Code, Problem

ROOT = Path(__file__).parents[2]
REGION = "us-east-1"
_EXAMPLE = re.compile(r"^```json filter-policy\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def policies(document: Path) -> list[dict[str, Any]]:
    return [json.loads(example) for example in _EXAMPLE.findall(document.read_text(encoding="utf-8"))]


SUBSCRIBING = ROOT / "docs" / "subscribing.md"
TRANSLATIONS = sorted((ROOT / "docs").glob("*/subscribing.md"))
POLICIES = policies(SUBSCRIBING)

# ---- What is sent, as the code makes it

LAST_WEEK = WeekOfFailures(date(2026, 2, 23), 5, 4, timedelta(hours=3))

ACCOUNT, OTHER_ACCOUNT, TEST_ACCOUNT = "luxstore", "luxoutlet", "luxstoretest"
KEY = "35260311222333000181550010006437971732194052"
OPENED = datetime(2026, 3, 3, 14, 54, tzinfo=UTC)
NOW = OPENED + timedelta(days=1)
STYLE = Style()
ORDER = Order.model_validate({
    "orderId": "VVJ-975102-01",
    "status": "invoiced",
    "packageAttachment": {"packages": [{"type": "Output"}]},
})  # fmt: skip


def failing(*codes: Code, account: str = ACCOUNT) -> Alert:
    return alert.failing(account, ORDER, [Problem(code, "643797", KEY) for code in codes], STYLE)


def resolved(*warnings: Code) -> Alert:
    lacking = [Problem(code, "643797", KEY) for code in warnings]
    return alert.resolved(ACCOUNT, ORDER, [("643797", KEY)], lacking, opened_at=OPENED, now=NOW, style=STYLE)


def expired(code: Code) -> Alert:
    return alert.expired(ACCOUNT, ORDER, [Problem(code, "643797", KEY)], opened_at=OPENED, now=NOW, style=STYLE)


def digest(kind: str, *codes: Code) -> Alert:
    return summary.digest(ACCOUNT, [DeferredOrder("VVJ-975102-01", kind, tuple(map(Fault, codes)), OPENED)], STYLE)


def reminder(code: Code) -> Alert:
    still_open = OpenFailure("VVJ-975102-01", OPENED, NOW, (Fault(code, "643797"),))
    return summary.reminder(ACCOUNT, [still_open], now=NOW, since_last=None, without_tracking=0, style=STYLE)


SENT: Mapping[str, Alert] = {
    "failing: no key": failing(Code.MISSING, Code.TRACKING_MISSING),
    "failing: another issuer's key": failing(Code.ISSUER_MISMATCH),
    "failing: no key and a key used twice": failing(Code.MISSING, Code.REUSED),
    "failing: no key, of another account": failing(Code.MISSING, account=OTHER_ACCOUNT),
    "failing: no key, of the test account": failing(Code.MISSING, account=TEST_ACCOUNT),
    "resolved": resolved(),
    "resolved: no tracking number yet": resolved(Code.TRACKING_MISSING),
    "expired: no key": expired(Code.MISSING),
    "expired: no NF-e's key": expired(Code.WRONG_MODEL),
    "digest: no key": digest("failing", Code.MISSING),
    "digest: a wrong digit": digest("failing", Code.MISSING, Code.INVALID_CHECK_DIGIT),
    "digest: given up": digest("expired", Code.MISSING),
    "digest: resolved alone": digest("resolved"),
    "reminder: no key": reminder(Code.MISSING),
    "reminder: another issuer's key": reminder(Code.ISSUER_MISMATCH),
    "reminder: all is well": summary.all_well(ACCOUNT, Week(143, NOW, LAST_WEEK), STYLE),
    "reminder: no order was read": summary.all_well(ACCOUNT, Week(0, None, LAST_WEEK), STYLE),
    "test": summary.trial(ACCOUNT, STYLE),
}

# ---- Who gets what

OF_ONE_ORDER = {
    "failing: no key",
    "failing: another issuer's key",
    "failing: no key and a key used twice",
    "failing: no key, of another account",
    "failing: no key, of the test account",
    "expired: no key",
    "expired: no NF-e's key",
}
SUMMARIES = {name for name in SENT if name.startswith(("digest", "reminder"))}
GOOD_NEWS = {"digest: resolved alone", "reminder: all is well"}
OF_OTHERS = {"failing: no key, of another account", "failing: no key, of the test account"}

EXPECTED: Mapping[str, set[str]] = {
    "the back office": OF_ONE_ORDER,
    "whoever has work to do": OF_ONE_ORDER | SUMMARIES - GOOD_NEWS,
    "those of one account": SENT.keys() - OF_OTHERS,
    "those of all accounts but one": SENT.keys() - {"failing: no key, of the test account"},
    "the fiscal team": {
        "failing: another issuer's key",
        "failing: no key and a key used twice",
        "expired: no NF-e's key",
        "digest: a wrong digit",
    },
    "a manager": SUMMARIES,
}
"""In the order of docs/subscribing.md."""


class Subscribers:
    """Queues that are subscribed to a topic, each with a policy."""

    def __init__(self) -> None:
        self._sqs, self._sns = boto3.client("sqs", REGION), boto3.client("sns", REGION)
        self._topic = self._sns.create_topic(Name="alerts")["TopicArn"]
        self._urls = [self._subscribe(f"subscriber-{number}", policy) for number, policy in enumerate(POLICIES)]

    def got(self, told: Alert) -> list[bool]:
        """Publish an alert as the functions do; say for each subscriber whether it came."""
        AlertTopic(self._sns, self._topic).publish(alert_entry(told.subject, told.message(), told.attributes))
        return [self._take(url) for url in self._urls]

    def _subscribe(self, name: str, policy: dict[str, Any]) -> str:
        url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        attributes = {"FilterPolicy": json.dumps(policy)}
        endpoint = answer["Attributes"]["QueueArn"]
        self._sns.subscribe(TopicArn=self._topic, Protocol="sqs", Endpoint=endpoint, Attributes=attributes)
        return url

    def _take(self, url: str) -> bool:
        messages = self._sqs.receive_message(QueueUrl=url).get("Messages", [])
        for message in messages:
            self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bool(messages)


@pytest.fixture(scope="module")
def received() -> Iterator[list[set[str]]]:
    """Publish everything; return what came to each subscriber."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        subscribers = Subscribers()
        came = {name: subscribers.got(told) for name, told in SENT.items()}
        yield [{name for name, got in came.items() if got[number]} for number in range(len(POLICIES))]


@pytest.mark.parametrize("document", [SUBSCRIBING, *TRANSLATIONS], ids=lambda document: str(document.relative_to(ROOT)))
def test_each_language_holds_the_same_policies(document: Path) -> None:
    assert policies(document) == POLICIES


def test_each_policy_has_its_expectation() -> None:
    assert len(POLICIES) == len(EXPECTED)


@pytest.mark.parametrize("number", range(len(EXPECTED)), ids=EXPECTED)
def test_a_policy_lets_through_what_the_document_says(number: int, received: list[set[str]]) -> None:
    assert received[number] == list(EXPECTED.values())[number]
