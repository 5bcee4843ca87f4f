"""`invoicekey alerts test`: what is sent, and who is said to hear it."""

import json
from collections.abc import Iterator

import pytest

from operations.deployment.stack import Hearing, Subscription
from tests.operated import ACCOUNT, EMAIL, Operated, Told, denied, operated

ALERTS, OPERATIONS = "AlertTopicArn", "OperationsTopicArn"


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(monkeypatch) as made:
        yield made


def test_a_test_alert_is_published_as_alerts_are_and_who_hears_it_is_said(stack: Operated) -> None:
    stack.subscribe(ALERTS)
    assert stack.run("alerts", "test") == 0
    assert EMAIL in stack.said.out
    [(_, message, subject, attributes, *_)] = stack.published(ALERTS)
    told = json.loads(message) if isinstance(message, str) and message.startswith("{") else {"default": message}
    assert subject.startswith(f"{ACCOUNT}: ")
    assert "This is a test" in told["default"]
    assert attributes["type"]["Value"] == "test"
    assert attributes["account"]["Value"] == ACCOUNT


def test_the_operations_topic_is_tested_where_it_is_asked_for(stack: Operated) -> None:
    stack.subscribe(ALERTS)
    stack.subscribe(OPERATIONS)
    stack.run("alerts", "test")
    assert not stack.published(OPERATIONS)
    assert stack.run("alerts", "test", "--operations") == 0
    assert len(stack.published(OPERATIONS)) == 1


def test_nobody_listening_is_something_to_do(stack: Operated) -> None:
    assert stack.run("alerts", "test") == 3
    assert "AlertEmail" in stack.said.out


def test_an_unconfirmed_subscription_is_something_to_do(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    subscribed = [Subscription("email", EMAIL, Hearing.PENDING), Subscription("sms", "+55", Hearing.CONFIRMED)]
    monkeypatch.setattr(stack.deployment, "subscriptions", lambda _: subscribed)
    assert stack.run("alerts", "test") == 3
    told = stack.said.out
    assert f"{EMAIL} has not confirmed" in told
    assert "after two days" in told


@pytest.mark.parametrize(
    ("others", "code", "told"),
    [
        ([Subscription("sms", "+55", Hearing.CONFIRMED)], 0, "+55 is notified of"),
        ([], 3, "subscribe the address again in SNS"),
        ([Subscription("sms", "+55", Hearing.PENDING)], 3, "confirm a subscription below"),
    ],
)
def test_who_has_unsubscribed_is_told_and_is_only_something_to_do_where_nobody_else_hears(
    others: list[Subscription],
    code: int,
    told: str,
    stack: Operated,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscribed = [Subscription("email", EMAIL, Hearing.DELETED), *others]
    monkeypatch.setattr(stack.deployment, "subscriptions", lambda _: subscribed)
    assert stack.run("alerts", "test") == code
    said = stack.said.out
    assert f"{EMAIL} has unsubscribed" in said
    assert f"{EMAIL} has not confirmed" not in said
    assert told in said


def test_of_a_web_address_the_host_alone_is_shown(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://hooks.chat.example/services/T0/a-secret"
    subscribed = [Subscription("https", address, Hearing.CONFIRMED)]
    monkeypatch.setattr(stack.deployment, "subscriptions", lambda _: subscribed)
    stack.run("alerts", "test")
    text = stack.said.out
    assert "hooks.chat.example" in text
    assert "a-secret" not in text


def test_who_may_not_publish_is_told_so(stack: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.subscribe(ALERTS)
    monkeypatch.setattr(stack.deployment.client("sns"), "publish", Told(publish=denied("Publish")).publish)
    assert stack.run("alerts", "test") == 1
    text = stack.said.out
    assert "not sent" in text
    assert "may not do that" in text
