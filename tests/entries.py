"""The functions' entry files as Lambda runs them, with AWS in this process: their environment, their context."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

from invoicekey.runtime.settings import SettingsError
from tests.fakes_visits import app_key, import_afresh

FUNCTIONS = Path(__file__).parents[1] / "functions"
REGION = "us-east-1"
BUT_FOR_LOCAL_SERVERS: Any = {"core": {"passthrough": {"urls": [r"http://127\.0\.0\.1.*"]}}}
"""For moto: the simulator of VTEX is asked, and AWS is not."""


@dataclass
class Context:
    """Lambda's context, of a run that has so much time left."""

    seconds_left: float = 60.0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds_left * 1000)


def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clients of AWS be of one region, and meet no emulator."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


def start(function: str, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> ModuleType:
    """Set an environment's variables, and import the function's entry file as a new environment of it does."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return start_again(function)


def start_again(function: str) -> ModuleType:
    """Import a function's entry file as a new environment of it does."""
    return import_afresh(FUNCTIONS / function / f"{function}.py")


def run(entry: ModuleType, event: Mapping[str, Any] | None = None, seconds_left: float = 60.0) -> dict[str, Any]:
    """Call a function's handler; return its answer as Lambda passes it on."""
    answer: dict[str, Any] = json.loads(json.dumps(entry.handler(dict(event or {}), Context(seconds_left))))
    return answer


def assert_that_it_does_not_start_without(monkeypatch: pytest.MonkeyPatch, function: str, *names: str) -> None:
    """Take each variable away: a wrong deployment fails on its first line, and says which."""
    for name in names:
        with monkeypatch.context() as without:
            without.delenv(name)
            with pytest.raises(SettingsError, match=name):
                start_again(function)


def received(queue_url: str, visible_again_after: int = 30) -> list[Any]:
    """Receive what is in a queue, ten messages at the most."""
    answer = boto3.client("sqs").receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        VisibilityTimeout=visible_again_after,
    )
    return list(answer.get("Messages", []))


def a_listening_queue(name: str, topic_arn: str) -> str:
    """Make a queue, subscribe it to a topic, and return its URL."""
    url = boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    endpoint = f"arn:aws:sqs:{REGION}:123456789012:{name}"
    boto3.client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=endpoint)
    return url


def credentials_secret(*accounts: str) -> str:
    """Return the credentials' secret of these accounts, as JSON."""
    return json.dumps({a: {"app_key": app_key(a), "app_token": f"HUSH-{a}"} for a in accounts})
