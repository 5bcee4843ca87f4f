import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from local.vtex_simulator import VtexSimulator
from operations import check, credentials, deploy, hook
from operations.deployment import Deployment, Trouble

ACCOUNT = "luxstore"
KEPT = {ACCOUNT: {"app_key": "key-of-ours", "app_token": "token-of-ours"}}


class FakeDeployment(Deployment):
    def __init__(self, url: str = "http://127.0.0.1:9/hooks/vtex/orders") -> None:
        super().__init__("invoicekey")
        self.__dict__["outputs"] = {"HookUrl": url, "DashboardUrl": "https://console.example/dashboard"}
        self.secrets: dict[str, dict[str, Any]] = {
            "VtexCredentialsSecretArn": dict(KEPT),
            "HookSecretArn": {"current": "secret-of-the-hook", "previous": ""},
        }
        self.subscribed: dict[str, list[tuple[str, str, bool]]] = {}

    def read_secret(self, output: str) -> dict[str, Any]:
        return self.secrets[output]

    def write_secret(self, output: str, secret: dict[str, Any]) -> None:
        self.secrets[output] = secret

    def subscriptions(self, output: str) -> list[tuple[str, str, bool]]:
        return self.subscribed.get(output, [])


@pytest.fixture
def vtex() -> Iterator[VtexSimulator]:
    with VtexSimulator(port=0) as simulator:
        yield simulator


@pytest.fixture
def receiver_url() -> Iterator[str]:
    class AnswersPings(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), AnswersPings)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hooks/vtex/orders"
    server.shutdown()
    server.server_close()


def base(vtex: VtexSimulator) -> str:
    return vtex.url + "/{account}"


def answers(monkeypatch: pytest.MonkeyPatch, account: str, *hidden: str) -> None:
    asked = iter(hidden)
    monkeypatch.setattr("builtins.input", lambda _: account)
    monkeypatch.setattr("getpass.getpass", lambda _: next(asked))


def test_the_hook_is_configured_with_url_secret_and_statuses(vtex: VtexSimulator, receiver_url: str) -> None:
    hook.install(FakeDeployment(receiver_url), ACCOUNT, base(vtex))
    assert vtex.hooks["key-of-ours"] == {
        "filter": {"type": "FromWorkflow", "status": ["invoiced"]},
        "hook": {"url": receiver_url, "headers": {"X-Hook-Secret": "secret-of-the-hook"}},
    }


def test_a_hook_of_our_own_is_configured_again(vtex: VtexSimulator, receiver_url: str) -> None:
    deployment = FakeDeployment(receiver_url)
    hook.install(deployment, ACCOUNT, base(vtex))
    deployment.secrets["HookSecretArn"]["current"] = "a-new-one"
    hook.install(deployment, ACCOUNT, base(vtex))
    assert vtex.hooks["key-of-ours"]["hook"]["headers"] == {"X-Hook-Secret": "a-new-one"}


def test_a_hook_of_another_system_is_left_alone_and_named(vtex: VtexSimulator, receiver_url: str) -> None:
    other = {"filter": {}, "hook": {"url": "https://erp.example/hook", "headers": {}}}
    vtex.hooks["key-of-ours"] = other
    with pytest.raises(Trouble, match=r"erp\.example"):
        hook.install(FakeDeployment(receiver_url), ACCOUNT, base(vtex))
    assert vtex.hooks["key-of-ours"] == other


def test_a_stack_that_does_not_answer_the_ping_is_said_to_be_the_cause(vtex: VtexSimulator) -> None:
    with pytest.raises(Trouble, match="HookUrl"):
        hook.install(FakeDeployment(), ACCOUNT, base(vtex))


def test_an_app_key_without_the_right_is_told_which_resource_it_lacks(vtex: VtexSimulator, receiver_url: str) -> None:
    vtex.refused.add("key-of-ours")
    with pytest.raises(Trouble, match="Feed v3 and Hook Admin"):
        hook.install(FakeDeployment(receiver_url), ACCOUNT, base(vtex))


def test_without_credentials_the_hook_is_not_touched(vtex: VtexSimulator) -> None:
    deployment = FakeDeployment()
    deployment.secrets["VtexCredentialsSecretArn"] = {}
    with pytest.raises(Trouble, match="make credentials"):
        hook.install(deployment, ACCOUNT, base(vtex))
    assert not vtex.calls()


def test_credentials_follow_no_redirect(vtex: VtexSimulator) -> None:
    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{vtex.url}/api/orders/hook/config")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Redirects)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(Trouble, match="302"):
        hook.install(FakeDeployment(), ACCOUNT, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    assert not vtex.calls()


def test_credentials_are_added_to_those_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = FakeDeployment()
    answers(monkeypatch, "othershop", " new-key ", "new-token")
    credentials.keep(deployment)
    assert deployment.secrets["VtexCredentialsSecretArn"] == {
        **KEPT,
        "othershop": {"app_key": "new-key", "app_token": "new-token"},
    }


@pytest.mark.parametrize(
    ("account", "hidden"), [("Lux Store", ("k", "t")), (ACCOUNT, ("", "t")), (ACCOUNT, ("k", "with blank"))]
)
def test_bad_input_changes_nothing(monkeypatch: pytest.MonkeyPatch, account: str, hidden: tuple[str, str]) -> None:
    deployment = FakeDeployment()
    answers(monkeypatch, account, *hidden)
    with pytest.raises(Trouble):
        credentials.keep(deployment)
    assert deployment.secrets["VtexCredentialsSecretArn"] == KEPT


def test_credentials_never_show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(credentials, "from_environment", FakeDeployment)
    answers(monkeypatch, ACCOUNT, "hidden-key", "hidden-token")
    assert credentials.main() == 0
    assert "hidden" not in "".join(capsys.readouterr())


def test_an_interrupted_question_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(credentials, "from_environment", FakeDeployment)
    monkeypatch.setattr("builtins.input", interrupt)
    assert credentials.main() == 130


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ({"outcome": "ok", "problems": []}, "ok; problems: none"),
        ({"outcome": "failing", "problems": ["missing"]}, "failing; problems: missing"),
        ({"outcome": "other_marketplace", "is_suspect": True}, "smells of CNova"),
        ({"retry": "VTEX answered 403"}, "VTEX answered 403"),
        ({"dead": "not_found"}, "not_found"),
        ({}, "does not know this order"),
    ],
)
def test_a_decision_is_said_in_one_line(decision: dict[str, Any], said: str) -> None:
    line = check.told({"account": ACCOUNT, "order_id": "VVJ-1-01", **decision})
    assert said in line
    assert "\n" not in line


def test_after_deploying_an_unconfirmed_subscription_stands_out() -> None:
    deployment = FakeDeployment()
    deployment.subscribed = {"AlertTopicArn": [("email", "shop@example.com", False)]}
    said = deploy.next_steps(deployment)
    assert "shop@example.com: NOT CONFIRMED" in said
    assert "Trouble of the system: NOBODY is told" in said


def test_after_deploying_the_next_step_depends_on_whether_credentials_are_kept() -> None:
    deployment = FakeDeployment()
    assert "make credentials" not in deploy.next_steps(deployment)
    deployment.secrets["VtexCredentialsSecretArn"] = {}
    assert "1. make credentials" in deploy.next_steps(deployment)


def test_an_order_is_named_or_the_command_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main() == 2
    assert "ORDER=" in capsys.readouterr().err
