"""`invoicekey alerts test`: what is sent, and who is said to hear it."""

import json
from collections.abc import Iterator

import pytest

from tests.operated import ACCOUNT, EMAIL, Operated, denied, operated

ALERTS, OPERATIONS = "AlertTopicArn", "OperationsTopicArn"


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(monkeypatch) as made:
        yield made


def heard(stack: Operated, *topics: str) -> None:
    for topic in topics:
        stack.subscribe(topic)


def test_a_test_alert_is_published_as_alerts_are(stack: Operated) -> None:
    heard(stack, ALERTS)
    assert stack.run("alerts", "test") == 0
    [(_, message, subject, attributes, *_)] = stack.published(ALERTS)
    told = json.loads(message) if isinstance(message, str) and message.startswith("{") else {"default": message}
    assert subject.startswith(f"{ACCOUNT}: ")
    assert "This is a test" in told["default"]
    assert attributes["type"]["Value"] == "test"
    assert attributes["account"]["Value"] == ACCOUNT


def test_the_operations_topic_is_tested_where_it_is_asked_for(stack: Operated) -> None:
    heard(stack, ALERTS, OPERATIONS)
    stack.run("alerts", "test")
    assert not stack.published(OPERATIONS)
    assert stack.run("alerts", "test", "--operations") == 0
    assert len(stack.published(OPERATIONS)) == 1


def test_who_hears_it_is_said(stack: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    heard(stack, ALERTS)
    stack.run("alerts", "test")
    assert EMAIL in capsys.readouterr().out


def test_nobody_listening_is_something_to_do(stack: Operated, capsys: pytest.CaptureFixture[str]) -> None:
    assert stack.run("alerts", "test") == 3
    assert "AlertEmail" in capsys.readouterr().out


def test_an_unconfirmed_subscription_is_something_to_do(
    stack: Operated, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack.deployment, "subscriptions", lambda _: [("email", EMAIL, False), ("sms", "+55", True)])
    assert stack.run("alerts", "test") == 3
    assert f"{EMAIL} has not confirmed" in capsys.readouterr().out


def test_of_a_web_address_the_host_alone_is_shown(
    stack: Operated, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://hooks.chat.example/services/T0/a-secret"
    monkeypatch.setattr(stack.deployment, "subscriptions", lambda _: [("https", address, True)])
    stack.run("alerts", "test")
    text = capsys.readouterr().out
    assert "hooks.chat.example" in text
    assert "a-secret" not in text


def test_who_may_not_publish_is_told_so(
    stack: Operated, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard(stack, ALERTS)
    monkeypatch.setattr(stack.deployment.client("sns"), "publish", refusing)
    assert stack.run("alerts", "test") == 1
    text = capsys.readouterr().out
    assert "not sent" in text
    assert "may not do that" in text


def refusing(**_: object) -> None:
    raise denied("Publish")
