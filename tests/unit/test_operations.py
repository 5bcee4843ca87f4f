import os
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    ParamValidationError,
    ReadTimeoutError,
    UnauthorizedSSOTokenError,
)
from botocore.stub import Stubber

import operations.deployment.shop
from operations.deploying import credentials, deploy, kept
from operations.deployment.shop import OutcomeUnknown, Shop, shop_of
from operations.deployment.stack import Deployment, Hearing, Subscription, Trouble, explained, from_environment
from tests.dropping import Death, DroppingServer
from tests.fake_cloudformation import FakeCloudFormation

ACCOUNT = "luxstore"
KEPT = {ACCOUNT: {"app_key": "key-of-ours", "app_token": "token-of-ours"}}


class FakeDeployment(Deployment):
    def __init__(self, url: str = "http://127.0.0.1:9/hooks/vtex/orders") -> None:
        super().__init__("invoicekey")
        self.__dict__["outputs"] = {
            "HookUrl": url,
            "DashboardUrl": "https://console.example/dashboard",
            "LedgerTableName": "ledger",
        }
        self.secrets: dict[str, dict[str, Any]] = {
            "VtexCredentialsSecretArn": dict(KEPT),
            "HookSecretArn": {"current": "secret-of-the-hook", "previous": ""},
        }
        self.subscribed: dict[str, list[Subscription]] = {}
        self.in_own_place = False

    def client(self, service: str, patience: Config | None = None) -> Any:
        return SimpleNamespace(get_item=lambda **_: {"Item": {"credentials": {"S": "v1"}} if self.in_own_place else {}})

    def read_secret(self, output: str) -> dict[str, Any]:
        return self.secrets[output]

    def write_secret(self, output: str, secret: dict[str, Any]) -> None:
        self.secrets[output] = secret

    def subscriptions(self, output: str) -> list[Subscription]:
        return self.subscribed.get(output, [])


def answers(monkeypatch: pytest.MonkeyPatch, account: str, *hidden: str) -> None:
    asked = iter(hidden)
    monkeypatch.setattr("builtins.input", lambda _: account)
    monkeypatch.setattr("getpass.getpass", lambda _: next(asked))


def test_credentials_are_added_to_those_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = FakeDeployment()
    answers(monkeypatch, "othershop", " new-key ", "new-token")
    credentials.keep(deployment)
    assert deployment.secrets["VtexCredentialsSecretArn"] == {
        **KEPT,
        "othershop": {"app_key": "new-key", "app_token": "new-token"},
    }


@pytest.mark.parametrize(
    ("account", "hidden"), [("Lux Store", ("k", "t")), (ACCOUNT, ("", "é", "")), (ACCOUNT, ("k", *["with blank"] * 3))]
)
def test_bad_input_changes_nothing(monkeypatch: pytest.MonkeyPatch, account: str, hidden: tuple[str, ...]) -> None:
    deployment = FakeDeployment()
    answers(monkeypatch, account, *hidden)
    with pytest.raises(Trouble):
        credentials.keep(deployment)
    assert deployment.secrets["VtexCredentialsSecretArn"] == KEPT


def test_credentials_in_an_account_s_own_place_are_not_written_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = FakeDeployment()
    deployment.in_own_place = True
    answers(monkeypatch, ACCOUNT, "new-key", "new-token")
    with pytest.raises(Trouble, match=f"accounts set {ACCOUNT} --credentials"):
        credentials.keep(deployment)
    assert deployment.secrets["VtexCredentialsSecretArn"] == KEPT


def test_what_is_malformed_is_asked_again_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, ACCOUNT, "key", "with blank", "token")

    assert credentials.ask_keys() == {"app_key": "key", "app_token": "token"}
    assert (
        "That is no appToken: expected visible ASCII characters without blanks. Once more:" in capsys.readouterr().err
    )


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


# ---- make deploy

BUILD_FOR_ARM = "build --parameter-overrides Architecture=arm64"
BUILD_FOR_X86 = "build --parameter-overrides Architecture=x86_64"
DEPLOY = "deploy --config-env dev --no-fail-on-empty-changeset"
AGREED = f"{DEPLOY} --no-confirm-changeset"
NEW = '[dev.deploy.parameters]\nstack_name = "invoicekey-dev"\n'


class FakeSam:
    """The SAM CLI as make deploy uses it, which fails at what it is told to; and somebody who answers and agrees."""

    def __init__(self, config: Path, cloudformation: FakeCloudFormation) -> None:
        self.config, self.cloudformation = config, cloudformation
        self.did: list[str] = []
        self.answers: dict[str, str] = {}
        self.agreed_to: tuple[str, ...] = ()
        self.is_there = True
        """Whether somebody is at the terminal."""
        self.fails_at: str | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens in CloudFormation while it deploys."""

    def __call__(self, *arguments: str) -> int:
        line = " ".join(arguments)
        self.did.append(line)
        if arguments[0] == "deploy":
            self.meanwhile()
        return int(self.fails_at is not None and self.fails_at in line)

    def keeps(self, written: str) -> None:
        """Have more in samconfig.toml."""
        self.config.write_text(self.config.read_text() + written)

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012"}

    def agree(self, _ask: object, _say: object, *made: str) -> None:
        """Agree to what is to be made."""
        self.agreed_to = made

    def refused(self, match: str = "", profile: str = "dev") -> str:
        """Deploy in vain, and return what is told."""
        with pytest.raises(Trouble, match=match) as trouble:
            deploy.deploy(profile)
        return str(trouble.value)


@pytest.fixture
def sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSam:
    """Put ours in the place of SAM and of CloudFormation, for a stack that is not there yet."""
    fake, as_it_is = FakeSam(tmp_path / "samconfig.toml", FakeCloudFormation()), Deployment.client
    fake.config.write_text(NEW)

    def client(deployment: Deployment, service: str) -> Any:
        ours = {"cloudformation": fake.cloudformation, "sts": fake}
        return ours[service] if service in ours else as_it_is(deployment, service)

    monkeypatch.setattr(Deployment, "client", client)
    monkeypatch.setattr(kept, "CONFIG", fake.config)
    monkeypatch.setattr(deploy, "_sam", fake)
    monkeypatch.setattr(deploy, "ask_settings", lambda *_: fake.answers)
    monkeypatch.setattr(deploy, "ask_to_go_on", fake.agree)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: fake.is_there))
    monkeypatch.delenv("STACK", raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return fake


def test_the_first_deployment_asks_keeps_the_answers_and_makes_what_was_agreed_to(
    sam: FakeSam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STACK", "my-shop")
    sam.answers = {"Architecture": "x86_64", "AlertEmail": "shop@example.com"}
    deployed = deploy.deploy("dev")
    assert sam.did == [BUILD_FOR_X86, AGREED]
    assert sam.agreed_to == ("my-shop", "123456789012", "us-east-1")
    assert (deployed.stack, deployed.region) == ("my-shop", "us-east-1")
    assert kept.answers_of(kept.settings_of("dev")) == sam.answers


def test_where_nobody_is_at_a_terminal_nothing_is_asked(sam: FakeSam) -> None:
    sam.is_there = False
    sam.refused("run it at a terminal")
    assert not sam.did


def test_a_stack_that_is_gone_is_made_anew_once_somebody_agrees(sam: FakeSam) -> None:
    sam.keeps("parameter_overrides = 'ChatAlerts=yes'\n")
    deploy.deploy("dev")
    assert sam.did == [BUILD_FOR_ARM, AGREED]
    assert sam.agreed_to == ("invoicekey-dev", "123456789012", "us-east-1")


@pytest.mark.parametrize(
    "answers",
    [
        '\'DigestSchedule="rate(1 hour)" Architecture="x86_64"\'',
        '["Architecture=x86_64", "CnovaAffiliateIds=VVJ"]',
        '"ParameterKey=Architecture,ParameterValue=x86_64 ChatAlerts=yes"',
        '{Architecture = "x86_64"}',
    ],
    ids=["text", "list", "as-the-aws-cli", "table"],
)
def test_later_deployments_ask_nothing_and_build_for_the_architecture_that_was_answered(
    answers: str, sam: FakeSam
) -> None:
    sam.keeps(f"parameter_overrides = {answers}\n")
    sam.cloudformation.status = "CREATE_COMPLETE"
    deploy.deploy("dev")
    assert sam.did == [BUILD_FOR_X86, DEPLOY]


@pytest.mark.parametrize(
    ("written", "profile", "told"),
    [
        ("[dev.deploy.parameters", "dev", "samconfig.toml.*cannot be read"),
        ('[dev]\ndeploy = "dev"', "dev", "samconfig.toml.*deploy of .* is no table"),
        (f"{NEW}parameter_overrides = 'Architecture=\"x86_64'", "dev", "samconfig.toml.*every quote closed"),
        (f"{NEW}parameter_overrides = [1]", "dev", "samconfig.toml.*a list of such texts"),
        (NEW, "staging", "samconfig.toml has no profile staging"),
    ],
)
def test_a_slip_in_samconfig_is_one_line_and_nothing_is_done(
    written: str, profile: str, told: str, sam: FakeSam
) -> None:
    sam.config.write_text(written)
    assert "\n" not in sam.refused(told, profile)
    assert not sam.did


def test_without_a_region_nothing_is_asked(sam: FakeSam, monkeypatch: pytest.MonkeyPatch) -> None:
    without_aws(monkeypatch)
    sam.refused("AWS_REGION")
    assert not sam.did


@pytest.mark.parametrize(
    ("fails_at", "said"),
    [
        ("build", "Nothing was deployed"),
        ("deploy", r"\[dev\.deploy\.parameters\.parameter_overrides\] of samconfig\.toml.*Then make deploy again"),
    ],
)
def test_a_deployment_that_fails_says_what_to_do(fails_at: str, said: str, sam: FakeSam) -> None:
    sam.fails_at = fails_at
    sam.refused(said)


def test_answers_that_would_be_refused_are_told_a_line_each_and_nothing_is_done(sam: FakeSam) -> None:
    sam.keeps('parameter_overrides = \'AlertEmail="shop@example" FeedSchedule="rate(1 minutes)" Foo="1"\'')
    told = sam.refused(r"Nothing was deployed\.")
    assert [line.partition(":")[0] for line in told.splitlines()[:3]] == ["AlertEmail", "FeedSchedule", "Foo"]
    assert "[dev.deploy.parameters.parameter_overrides] of samconfig.toml" in told
    assert not sam.did


def test_answers_that_do_not_fit_together_are_not_kept(sam: FakeSam) -> None:
    sam.answers = {"WatchedStatuses": "invoicd"}
    sam.refused(r"WatchedStatuses: expected order states of VTEX .* got invoicd")
    assert not sam.did
    assert sam.config.read_text() == NEW


@pytest.mark.parametrize("answers", ["", "parameter_overrides = 'ChatAlerts=yes'"])
def test_a_stack_that_can_only_be_removed_is_told_before_anything_is_built(
    answers: str, sam: FakeSam, capsys: pytest.CaptureFixture[str]
) -> None:
    sam.is_there = False
    sam.keeps(answers or "parameter_overrides = {}")
    sam.cloudformation.fail("AlertEmailSubscription", "Invalid parameter: Email address", "ROLLBACK_COMPLETE")
    sam.refused("aws cloudformation delete-stack --stack-name invoicekey-dev --region us-east-1")
    assert "Invalid parameter: Email address" in capsys.readouterr().out
    assert not sam.did


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("ROLLBACK_COMPLETE", "is ROLLBACK_COMPLETE now. The next make deploy offers a way out of that."),
        ("UPDATE_ROLLBACK_COMPLETE", "is UPDATE_ROLLBACK_COMPLETE now.\n"),
    ],
)
def test_after_a_deployment_that_failed_it_says_what_did_and_why(status: str, said: str, sam: FakeSam) -> None:
    def fail() -> None:
        sam.cloudformation.fail("Feed", "Invalid Schedule Expression", status)
        sam.cloudformation.fail("Guard", "Invalid Schedule Expression", status)

    sam.keeps("parameter_overrides = 'ChatAlerts=yes'")
    sam.cloudformation.fail("Old", "of another day", "UPDATE_ROLLBACK_COMPLETE")
    sam.meanwhile, sam.fails_at = fail, "deploy"

    told = sam.refused("sam deploy failed")

    assert "Feed (T), CREATE_FAILED: Invalid Schedule Expression\n" in told
    assert said in told
    assert "of another day" not in told
    assert "Guard" not in told


@pytest.mark.parametrize(
    ("refuses", "told"),
    [
        (None, r"^sam deploy failed; what it said stands above\."),
        ("DescribeStacks", r"(?s)your AWS identity may not do that.*sam deploy failed"),
    ],
)
def test_where_cloudformation_says_nothing_of_it_sam_s_own_words_stand(
    refuses: str | None, told: str, sam: FakeSam
) -> None:
    sam.keeps("parameter_overrides = 'ChatAlerts=yes'")
    sam.meanwhile = lambda: setattr(sam.cloudformation, "refuses", refuses)
    sam.fails_at = "deploy"
    sam.refused(told)


@pytest.mark.parametrize(
    ("hearing", "said"),
    [
        (Hearing.PENDING, "NOT CONFIRMED: open the e-mail from AWS and confirm, within two days"),
        (Hearing.CONFIRMED, "confirmed"),
        (Hearing.DELETED, "unsubscribed; SNS will soon forget it"),
    ],
)
def test_after_deploying_it_says_who_is_told_and_who_has_unsubscribed_is_nobody(hearing: Hearing, said: str) -> None:
    deployment = FakeDeployment()
    deployment.subscribed = {"AlertTopicArn": [Subscription("email", "shop@example.com", hearing)]}
    lines = deploy.next_steps(deployment, "dev").splitlines()
    assert f"  email shop@example.com: {said}" in lines
    assert ("Alerts about orders:" in lines) == (hearing is not Hearing.DELETED)
    assert [line for line in lines if line.startswith("Trouble of the system: NOBODY is notified")]


def test_after_deploying_the_next_step_depends_on_whether_credentials_are_kept() -> None:
    deployment = FakeDeployment()
    assert "Next: .venv/bin/invoicekey doctor" in deploy.next_steps(deployment, "dev")
    deployment.secrets["VtexCredentialsSecretArn"] = {}
    assert "Next: make setup, then .venv/bin/invoicekey setup" in deploy.next_steps(deployment, "dev")


def test_the_next_steps_lead_to_the_stack_and_the_region_of_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STACK", raising=False)
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    deployment = FakeDeployment()
    assert "--stack" not in deploy.next_steps(deployment, "production")
    assert "--region" not in deploy.next_steps(deployment, "production")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    deployment.stack = "invoicekey-dev"
    assert "invoicekey doctor --stack invoicekey-dev --region sa-east-1" in deploy.next_steps(deployment, "dev")


# ---- A deployed stack


def without_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class StubbedDeployment(Deployment):
    """A deployment whose AWS answers what it is told."""

    def __init__(self) -> None:
        super().__init__("invoicekey", "us-east-1")
        keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
        self._clients: dict[str, Any] = {
            name: boto3.client(name, **keys)  # type: ignore[call-overload]
            for name in ("cloudformation", "lambda", "secretsmanager", "sns")
        }
        self.stubs = {name: Stubber(client) for name, client in self._clients.items()}
        for stub in self.stubs.values():
            stub.activate()

    def client(self, service: str, patience: Config | None = None) -> Any:
        return self._clients[service]

    def has(self, **outputs: str) -> None:
        self.__dict__["outputs"] = outputs


@pytest.fixture
def deployment() -> StubbedDeployment:
    return StubbedDeployment()


def test_a_stack_that_is_not_there_is_said_to_be_elsewhere_or_not_deployed(deployment: StubbedDeployment) -> None:
    deployment.stubs["cloudformation"].add_client_error("describe_stacks", "ValidationError")
    with pytest.raises(Trouble, match=r"invoicekey.*us-east-1.*--stack, --region and --profile"):
        deployment.output("HookUrl")


def test_a_stack_that_never_came_to_be_has_no_outputs(deployment: StubbedDeployment) -> None:
    deployment.has()
    with pytest.raises(Trouble, match="no output HookUrl"):
        deployment.output("HookUrl")


def test_a_right_that_is_missing_is_named(deployment: StubbedDeployment) -> None:
    deployment.has(HookSecretArn="arn:of:the:secret", AlertTopicArn="arn:of:the:topic")
    deployment.stubs["secretsmanager"].add_client_error("get_secret_value", "AccessDeniedException")
    deployment.stubs["secretsmanager"].add_client_error("put_secret_value", "AccessDeniedException")
    deployment.stubs["sns"].add_client_error("list_subscriptions_by_topic", "AuthorizationError")
    with pytest.raises(Trouble, match="AccessDeniedException to GetSecretValue"):
        deployment.read_secret("HookSecretArn")
    with pytest.raises(Trouble, match="is as it was: AWS answered AccessDeniedException to PutSecretValue"):
        deployment.write_secret("HookSecretArn", {})
    with pytest.raises(Trouble, match="AuthorizationError to ListSubscriptionsByTopic"):
        deployment.subscriptions("AlertTopicArn")


@pytest.mark.parametrize(
    ("arn", "hearing"),
    [
        ("arn:aws:sns:us-east-1:123456789012:topic:1", Hearing.CONFIRMED),
        ("PendingConfirmation", Hearing.PENDING),
        ("pending confirmation", Hearing.PENDING),
        ("Deleted", Hearing.DELETED),
    ],
)
def test_what_sns_writes_in_an_arn_s_place_says_whether_it_is_heard(
    arn: str, hearing: Hearing, deployment: StubbedDeployment
) -> None:
    deployment.has(AlertTopicArn="arn:of:the:topic")
    listed = {"Protocol": "email", "Endpoint": "shop@example.com", "SubscriptionArn": arn}
    deployment.stubs["sns"].add_response("list_subscriptions_by_topic", {"Subscriptions": [listed]})
    assert deployment.subscriptions("AlertTopicArn") == [Subscription("email", "shop@example.com", hearing)]


@pytest.mark.parametrize("held", ["{", "[]", "null", "app_key=token"])
def test_a_secret_that_somebody_broke_is_not_shown(deployment: StubbedDeployment, held: str) -> None:
    deployment.has(HookSecretArn="arn:of:the:secret")
    deployment.stubs["secretsmanager"].add_response("get_secret_value", {"SecretString": held})
    with pytest.raises(Trouble, match="mend it in Secrets Manager") as trouble:
        deployment.read_secret("HookSecretArn")
    assert "app_key" not in str(trouble.value)


def test_an_account_that_nothing_names_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    without_aws(monkeypatch)
    with pytest.raises(Trouble, match="aws configure"):
        Deployment("invoicekey").client("sns")


# ---- One client a service


def test_a_service_s_client_is_made_once_whatever_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment, made = Deployment("invoicekey", "us-east-1"), []
    together = threading.Barrier(8)

    def make(_: object, name: str) -> object:
        made.append(name)
        return object()

    def ask(service: str) -> object:
        together.wait()
        return deployment.client(service)

    monkeypatch.setattr(boto3.Session, "client", make)
    with ThreadPoolExecutor(8) as threads:
        clients = list(threads.map(ask, ["sqs", "sns"] * 4))

    assert sorted(made) == ["sns", "sqs"]
    assert len(set(clients)) == 2


def test_a_client_with_another_patience_is_nobody_else_s() -> None:
    deployment = Deployment("invoicekey", "us-east-1")

    patient = deployment.client("lambda", Config(read_timeout=300))

    assert deployment.client("lambda") is not patient
    assert deployment.client("lambda").meta.config.read_timeout == 60


# ---- A function is run once


class GuardedShop(Shop):
    """A shop whose guard may run for so many seconds."""

    seconds = 280.0

    def resource(self, logical_id: str) -> str:
        return logical_id

    def _configuration(self, logical_id: str) -> dict[str, Any]:
        return {"Timeout": self.seconds}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DroppingServer]:
    with DroppingServer() as running:
        settings = {"AWS_ENDPOINT_URL": running.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield running


def test_a_function_is_run_and_its_answer_is_waited_for(server: DroppingServer) -> None:
    answer = GuardedShop(Deployment("invoicekey", "us-east-1")).run("GuardHookFunction")

    assert answer["Payload"].read() == b"{}"
    assert server.asked == ["POST"]


def test_a_function_that_outlasts_all_patience_is_not_started_again(
    server: DroppingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations.deployment.shop, "TO_START", 0.05)
    monkeypatch.setattr(GuardedShop, "seconds", 0.0)
    server.meet(2)

    with pytest.raises(OutcomeUnknown, match=r"no answer in 0\.05 s"):
        GuardedShop(Deployment("invoicekey", "us-east-1")).run("GuardHookFunction")

    assert server.asked == ["POST"]


@pytest.mark.parametrize("death", Death, ids=lambda death: death.name.lower())
def test_a_function_whose_answer_is_lost_on_its_way_is_not_started_again(server: DroppingServer, death: Death) -> None:
    server.newborn_die_by = death

    with pytest.raises(OutcomeUnknown, match="connection to AWS was lost"):
        GuardedShop(Deployment("invoicekey", "us-east-1")).run("GuardHookFunction")

    assert server.asked == ["POST"]


def test_a_function_that_was_not_reached_was_not_started(
    server: DroppingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    with pytest.raises(Trouble, match="Could not connect") as caught:
        GuardedShop(Deployment("invoicekey", "us-east-1")).run("GuardHookFunction")

    assert type(caught.value) is Trouble


# ---- Why AWS was not reached


LOG_IN = "log in again (aws sso login, aws configure), or name another profile (--profile, AWS_PROFILE)."
NOT_ALLOWED = "your AWS identity may not do that; --profile names another."
ANYWHERE = "https://sts.us-east-1.amazonaws.com/"


@pytest.mark.parametrize(
    ("code", "how"),
    [
        *((code, LOG_IN) for code in ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId")),
        *((code, LOG_IN) for code in ("SignatureDoesNotMatch", "UnrecognizedClientException")),
        *((code, NOT_ALLOWED) for code in ("AccessDenied", "AccessDeniedException")),
        *((code, NOT_ALLOWED) for code in ("AuthorizationError", "UnauthorizedOperation")),
    ],
)
def test_what_aws_refuses_is_told_with_what_to_do(code: str, how: str) -> None:
    with pytest.raises(Trouble) as trouble, explained("It cannot be read"):
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetSecretValue")
    assert str(trouble.value) == f"It cannot be read: AWS answered {code} to GetSecretValue: {how}"


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (EndpointConnectionError(endpoint_url=ANYWHERE), "see whether the network is there, and the region is right."),
        (ReadTimeoutError(endpoint_url=ANYWHERE), "see whether the network is there, and the region is right."),
        (UnauthorizedSSOTokenError(), "or run aws configure or aws sso login."),
        (ParamValidationError(report="Invalid length:\n 0"), "or run aws configure or aws sso login."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_hinders_calling_aws_is_one_line_with_what_to_do(
    error: BotoCoreError, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with pytest.raises(Trouble) as trouble, explained("It cannot be read"):
        raise error
    assert str(trouble.value).endswith(how)
    assert "\n" not in str(trouble.value)


def test_where_an_emulator_is_named_it_may_be_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    with pytest.raises(Trouble, match=r"the emulator runs at http://127\.0\.0\.1:4566"), explained():
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")


def test_without_credentials_every_question_gets_the_same_line(monkeypatch: pytest.MonkeyPatch) -> None:
    without_aws(monkeypatch)
    shop = shop_of("invoicekey", None, "us-east-1")
    shop.deployment.__dict__["outputs"] = {"HookSecretArn": "arn:of:the:secret", "AlertTopicArn": "arn:of:the:topic"}
    told = set()
    for question in (
        lambda: shop_of("invoicekey", None, "us-east-1").deployment.outputs,
        lambda: shop.deployment.read_secret("HookSecretArn"),
        lambda: shop.deployment.subscriptions("AlertTopicArn"),
        lambda: shop.resource("GuardHookFunction"),
        lambda: shop.ask("sts", "get_caller_identity"),
    ):
        with pytest.raises(Trouble, match=r"Unable to locate credentials.*aws configure") as trouble:
            question()
        told.add(str(trouble.value))
    assert len(told) == 1


def test_what_a_stack_of_another_version_has_not_is_said_to_be_missing(deployment: StubbedDeployment) -> None:
    deployment.has()
    deployment.stubs["cloudformation"].add_client_error("describe_stack_resource", "ValidationError")
    with pytest.raises(Trouble, match=r"GuardHookFunction of the stack invoicekey cannot be found.*make deploy"):
        Shop(deployment).resource("GuardHookFunction")


def test_a_function_that_may_not_be_looked_at_is_told_with_what_to_do(
    deployment: StubbedDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shop, "resource", lambda *_: "the-guard")
    deployment.stubs["lambda"].add_client_error("get_function_configuration", "AccessDeniedException")
    with pytest.raises(Trouble, match=r"GuardHookFunction cannot be looked at: .*your AWS identity may not do that"):
        Shop(deployment).function_environment("GuardHookFunction")


def test_a_stack_without_a_name_is_none() -> None:
    with pytest.raises(Trouble, match="A stack has a name: --stack NAME"):
        shop_of("", None, None)


# ---- Profiles and regions, as the AWS CLI takes them


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Return a profile that is there, beside other keys in the environment."""
    without_aws(monkeypatch)
    kept = tmp_path / "credentials"
    kept.write_text("[my shop]\naws_access_key_id = the-shop-s\naws_secret_access_key = none\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(kept))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    return "my shop"


def access_key(shop: Shop) -> str:
    """Return the key with which AWS is called."""
    signed = shop.deployment.client("sts").generate_presigned_url("get_caller_identity")
    return str(parse_qs(urlsplit(signed).query)["X-Amz-Credential"][0].partition("/")[0])


def test_a_profile_that_is_given_wins_over_the_keys_of_the_environment(profile: str) -> None:
    assert access_key(shop_of("invoicekey", profile, "us-east-1")) == "the-shop-s"
    assert "AWS_PROFILE" not in os.environ
    assert access_key(shop_of("invoicekey", None, "us-east-1")) == "of-the-environment"


def test_the_profile_of_the_environment_does_not(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", profile)
    assert access_key(shop_of("invoicekey", None, "us-east-1")) == "of-the-environment"


def test_the_variables_that_make_is_told_lead_to_the_profile_s_keys(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = shop_of("invoicekey", profile, "us-east-1").make_credentials
    assert told == "make credentials AWS_PROFILE='my shop' AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID="
    for word in shlex.split(told)[2:]:
        monkeypatch.setenv(*word.split("=", 1))
    assert access_key(Shop(from_environment())) == "the-shop-s"


@pytest.mark.parametrize(
    ("stack", "given", "options", "variables"),
    [
        ("invoicekey", (None, None), "", ""),
        ("invoicekey-dev", (None, None), " --stack invoicekey-dev", " STACK=invoicekey-dev"),
        ("invoicekey", (None, "sa-east-1"), " --region sa-east-1", " AWS_REGION=sa-east-1"),
        (
            "invoicekey-dev",
            ("my shop", "sa-east-1"),
            " --stack invoicekey-dev --profile 'my shop' --region sa-east-1",
            " STACK=invoicekey-dev AWS_PROFILE='my shop' AWS_REGION=sa-east-1 AWS_ACCESS_KEY_ID=",
        ),
    ],
)
def test_a_command_that_people_are_told_to_type_leads_where_this_one_was_led(
    profile: str, monkeypatch: pytest.MonkeyPatch, stack: str, given: tuple[str | None, str | None],
    options: str, variables: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    shop = shop_of(stack, *given)
    assert shop.command("doctor") == f"invoicekey doctor{options}"
    assert shop.make_credentials == f"make credentials{variables}"
    assert shop.deployment.aws_options == options.removeprefix(" --stack invoicekey-dev")


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without_aws(monkeypatch)
    monkeypatch.setenv("AWS_PROFILE", "shop")
    with pytest.raises(Trouble, match=r"\(shop\)"):
        Deployment("invoicekey")


@pytest.mark.parametrize(
    ("environment", "region", "expected"),
    [
        ({"AWS_REGION": "sa-east-1", "AWS_DEFAULT_REGION": "us-east-1"}, None, "sa-east-1"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, None, "us-east-1"),
        ({"AWS_REGION": "us-east-1"}, "sa-east-1", "sa-east-1"),
    ],
)
def test_the_region_is_the_one_that_the_aws_cli_would_take(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], region: str | None, expected: str
) -> None:
    without_aws(monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Deployment("invoicekey", region).region == expected
