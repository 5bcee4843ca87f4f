"""A new shop is set up at a terminal, as docs/deploying.md says, and the stack is well after it."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from local import events, processes
from local.stack import KEYS, REGION, ROOT, STACK_NAME, VTEX_CREDENTIALS, LocalStack
from local.watch import Json
from tests.stack.shop import STRANGER, WITH_CREDENTIALS, Shop, app_key
from tests.stack.terminal import Screen, at_a_terminal

pytestmark = pytest.mark.stack

ACCOUNT = events.ACCOUNT


@dataclass(frozen=True)
class Operator:
    """Somebody with a terminal and the rights of the AWS account."""

    stack: LocalStack

    def does(self, *words: str, **answers: str) -> Screen:
        """Run `invoicekey`; a question that is not answered gets Enter."""
        named = {name.replace("_", " "): answer for name, answer in answers.items()}
        command = [str(ROOT / ".venv" / "bin" / "invoicekey"), *words, "--stack", STACK_NAME]
        return at_a_terminal(command, named, home=ROOT, environment=self._environment)

    def finds(self) -> Json:
        """Return what doctor finds, by what it says."""
        screen = self.does("doctor", "--json", "--account", ACCOUNT)
        found: Json = json.loads(screen.text[screen.text.index("{") :])
        return found

    @property
    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not re.match(r"AWS_|STACK$|COLUMNS$", name)}
        return {
            **own,
            **KEYS,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.stack.endpoint,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": processes.LOOPBACK,
            "no_proxy": processes.LOOPBACK,
            "TERM": "dumb",
            "COLUMNS": "200",
        }


def secret(stack: LocalStack, output: str) -> str:
    answer = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs[output])
    return str(answer["SecretString"])


@pytest.fixture(scope="module")
def operator(stack: LocalStack) -> Iterator[Operator]:
    """Let the secret that the other tests post with be the current one, and leave all secrets as they were."""
    secrets = {output: secret(stack, output) for output in ("HookSecretArn", "VtexCredentialsSecretArn")}
    keep(stack, "HookSecretArn", json.dumps({"current": events.HOOK_SECRET, "previous": ""}))
    yield Operator(stack)
    for output, held in secrets.items():
        keep(stack, output, held)


def keep(stack: LocalStack, output: str, text: str) -> None:
    stack.client("secretsmanager").put_secret_value(SecretId=stack.outputs[output], SecretString=text)


@pytest.fixture(scope="module")
def set_up(operator: Operator) -> Screen:
    return operator.does(
        "setup", "--account", ACCOUNT,
        **{f"{ACCOUNT}_has_an_appKey_and_an_appToken._Replace_them?": "y"},
        appKey=app_key(ACCOUNT),
        appToken=VTEX_CREDENTIALS["app_token"],
    )  # fmt: skip


def test_setup_asks_step_by_step_and_shows_nothing_that_was_typed(set_up: Screen) -> None:
    assert len(set_up.asked) == 8
    assert set_up.asked[2:4] == ["appKey", "appToken"]
    assert not [typed for typed in (app_key(ACCOUNT), VTEX_CREDENTIALS["app_token"]) if typed in set_up.text]


def test_setup_keeps_the_credentials_beside_the_others_(set_up: Screen, stack: LocalStack) -> None:
    kept = json.loads(secret(stack, "VtexCredentialsSecretArn"))
    assert kept[ACCOUNT] == {**VTEX_CREDENTIALS, "app_key": app_key(ACCOUNT)}
    assert set(WITH_CREDENTIALS) <= set(kept)


def test_setup_installs_hook_and_feed(set_up: Screen, stack: LocalStack) -> None:
    assert stack.vtex("GET", "hooks")[app_key(ACCOUNT)]["hook"]["url"] == stack.outputs["HookUrl"]
    assert stack.vtex("GET", "feeds")[app_key(ACCOUNT)]["filter"]["status"] == ["invoiced"]


def test_doctor_then_finds_what_is_left_to_do(set_up: Screen, operator: Operator) -> None:
    found = operator.finds()["findings"]
    says = [one["says"] for one in found]
    assert "all 7 functions are active" in says
    assert "the feed keeps the same events: invoiced" in says
    assert f"VtexAccounts names {STRANGER}, and it has no credentials" in says
    assert not [one for one in found if one["state"] == "unknown"]


def test_a_rotated_secret_reaches_vtex_and_the_one_before_it_is_accepted(
    set_up: Screen, operator: Operator, stack: LocalStack
) -> None:
    screen = operator.does("secrets", "rotate")
    rotated = json.loads(secret(stack, "HookSecretArn"))
    header = stack.vtex("GET", "hooks")[app_key(ACCOUNT)]["hook"]["headers"]["X-Hook-Secret"]
    assert rotated["previous"] == events.HOOK_SECRET
    assert header == rotated["current"]
    assert f"{ACCOUNT}: VTEX's hook carries the new secret" in screen.text
    assert Shop(stack).notify("VVJ-1-01") == [200]
    assert not [held for held in rotated.values() if held in screen.text]
