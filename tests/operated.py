"""A deployed stack for the operators' commands: VTEX is the simulator, AWS is moto, and what moto lacks is told here.

def test_a_hook_is_installed(operated: Operated) -> None:
    assert operated.run("hook", "install") == 0
    assert operated.vtex.hooks
"""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import moto.backends
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from invoicekey.ledger.registrations import RegistrationState, RegistrationStates
from local.vtex_simulator import VtexSimulator
from operations import command_line
from operations.deployment.shop import Shop
from operations.deployment.stack import Deployment
from operations.deployment.template import version
from operations.terminal import cli
from tests.desk import CHECKER, DESK_KEY, REGION, STYLE, Said, make_client, terminal
from tests.ledger_table import make_ledger_table
from tests.record_topic import record_topic

COMMANDS = command_line
"""To import it is to add the commands to the app."""
ACCOUNT, APP_KEY, APP_TOKEN = "luxstore", "key-of-ours", "token-of-ours"
KEYS = {"app_key": APP_KEY, "app_token": APP_TOKEN}
CURRENT, PREVIOUS = "the-current-secret", "the-previous-secret"
EMAIL = "shop@example.com"
PREFIX = "/vtex-credentials/a-shop/"
"""Of the accounts' own places for their credentials."""

NO_HEADERS: dict[str, Any] = {"ResponseMetadata": {"HTTPHeaders": {}}}

type Json = dict[str, Any]


def denied(operation: str = "AnyOperation") -> ClientError:
    """Return AWS' answer to who may not."""
    return ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not for you"}}, operation)


class Told:
    """An AWS service that answers what it was told, by operation; an exception is raised, a function is called."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Json]] = []

    def __getattr__(self, operation: str) -> Any:
        def answer(**arguments: Any) -> Any:
            self.asked.append((operation, arguments))
            told = self.answers[operation]
            if isinstance(told, Exception):
                raise told
            return told(**arguments) if callable(told) else told

        return answer


class OperatedDeployment(Deployment):
    """A stack that stands."""

    def __init__(self, stack: str = "invoicekey") -> None:
        super().__init__(stack)
        self.told: dict[str, Told] = {}
        self.patiences: list[tuple[str, Config]] = []

    def client(self, service: str, patience: Config | None = None) -> Any:
        """Return what was told of a service, else moto's client of it."""
        if patience:
            self.patiences.append((service, patience))
        return self.told.get(service) or make_client(service)


@dataclass
class Operated:
    """The stack, and what is around it."""

    shop: Shop
    deployment: OperatedDeployment
    vtex: VtexSimulator
    hook_url: str
    environments: dict[str, dict[str, str]]
    secrets: set[str] = field(default_factory=lambda: {APP_KEY, APP_TOKEN, CURRENT, PREVIOUS, DESK_KEY})
    """What no command may show."""
    said: Said = field(default_factory=lambda: Said(0, "", ""))
    """What the last command said."""

    def run(self, *arguments: str, columns: int | None = None) -> int:
        """Run a command as an operator does, which never shows a secret; each run takes the stack apart anew.

        Into a pipe, or on a terminal of so many columns.
        """
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), terminal(columns) if columns else nullcontext():
            code = cli.run(arguments)
        self.said = Said(code, STYLE.sub("", out.getvalue()), STYLE.sub("", err.getvalue()))
        assert not [secret for secret in self.secrets if secret in self.said.all]
        return code

    def secret(self, output: str) -> Json:
        """Return a secret as it is now."""
        return self.deployment.read_secret(output)

    def keep(self, output: str, secret: Json) -> None:
        """Keep a secret."""
        self.deployment.write_secret(output, secret)

    def tell(self, service: str, **answers: Any) -> Told:
        """Let a service answer otherwise."""
        told = self.deployment.told.setdefault(service, Told())
        told.answers |= answers
        return told

    def list_resources_in_pages(self) -> None:
        """Let CloudFormation list the stack's resources in two pages."""
        listed = self.deployment.told["cloudformation"].answers["list_stack_resources"]
        first, *rest = listed["StackResourceSummaries"]
        pages = {None: {"StackResourceSummaries": [first], "NextToken": "2"}, "2": {"StackResourceSummaries": rest}}
        self.tell("cloudformation", list_stack_resources=lambda **a: {**pages[a.get("NextToken")], **NO_HEADERS})

    @property
    def notes(self) -> RegistrationStates:
        """Return the guard's notes."""
        return RegistrationStates(self.shop.table)

    def noted(self, account: str = ACCOUNT) -> RegistrationState:
        """Return what the guard has noted of an account."""
        return self.notes.read([account])[account]

    def subscribe(self, output: str, endpoint: str = EMAIL, protocol: str = "email") -> None:
        """Subscribe to a topic."""
        sns = self.deployment.client("sns")
        sns.subscribe(TopicArn=self.deployment.output(output), Protocol=protocol, Endpoint=endpoint)

    def unsubscribe(self, output: str) -> None:
        """Leave nobody who hears a topic."""
        sns = self.deployment.client("sns")
        for one in sns.list_subscriptions_by_topic(TopicArn=self.deployment.output(output))["Subscriptions"]:
            sns.unsubscribe(SubscriptionArn=one["SubscriptionArn"])

    def published(self, output: str) -> list[Any]:
        """List what was published to a topic."""
        topics = moto.backends.get_backend("sns")["123456789012"][REGION].topics
        return list(topics[self.deployment.output(output)].sent_notifications)


@contextmanager
def operated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    """Let a stack stand, with one account's credentials."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_REGION", REGION)
    with mock_aws(), VtexSimulator() as vtex, answering_pings() as hook_url:
        made = _operated(vtex, hook_url)
        monkeypatch.setattr(cli, "shop_of", lambda *_: _taken_apart(made))
        yield made


@contextmanager
def answering_pings() -> Iterator[str]:
    """Serve an address that answers 200."""

    class AnswersPings(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), AnswersPings)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hooks/vtex/orders"
    server.shutdown()
    server.server_close()


def _taken_apart(made: Operated) -> Shop:
    """Return the shop as a new command has it: nothing is remembered."""
    made.shop = Shop(made.deployment)
    return made.shop


def _operated(vtex: VtexSimulator, hook_url: str) -> Operated:
    deployment = OperatedDeployment()
    outputs = _resources(deployment, hook_url)
    deployment.__dict__["outputs"] = outputs
    environments = _environments(vtex, hook_url, outputs)
    deployment.told = {
        "cloudformation": Told(
            describe_stack_resource=lambda **named: {
                "StackResourceDetail": {"PhysicalResourceId": named["LogicalResourceId"]}
            },
            list_stack_resources={
                "StackResourceSummaries": [
                    {"LogicalResourceId": name, "PhysicalResourceId": name, "ResourceType": kind}
                    for name, kind in RESOURCES.items()
                ],
                **NO_HEADERS,
            },
        ),
        "lambda": Told(
            get_function_configuration=lambda **named: {
                "Environment": {"Variables": environments.get(named["FunctionName"], {})},
                "Timeout": 280,
                "State": "Active",
                "LastUpdateStatus": "Successful",
            },
            get_event_source_mapping={"State": "Enabled"},
            invoke={"StatusCode": 200, "Payload": io.BytesIO(b"{}")},
        ),
        "scheduler": Told(get_schedule={"State": "ENABLED"}),
        "cloudwatch": Told(
            describe_alarms={"MetricAlarms": []},
            describe_alarm_history={"AlarmHistoryItems": []},
            get_metric_statistics={"Datapoints": []},
        ),
    }
    return Operated(Shop(deployment), deployment, vtex, hook_url, environments)


RESOURCES = {
    "ReceiveHookFunction": "AWS::Lambda::Function",
    "CheckInvoiceFunction": "AWS::Lambda::Function",
    "CheckInvoiceFunctionHookQueue": "AWS::Lambda::EventSourceMapping",
    "GuardHookFunction": "AWS::Lambda::Function",
    "GuardHookFunctionGuard": "AWS::Scheduler::Schedule",
    "DeadLettersAlarm": "AWS::CloudWatch::Alarm",
    "QuietAlarm": "AWS::CloudWatch::CompositeAlarm",
    "LedgerTable": "AWS::DynamoDB::Table",
}


def _resources(deployment: Deployment, hook_url: str) -> dict[str, str]:
    """Make what the commands look at, and return the stack's outputs."""
    sqs, sns, secrets = (deployment.client(name) for name in ("sqs", "sns", "secretsmanager"))
    secret_of = {
        "HookSecretArn": {"current": CURRENT, "previous": ""},
        "VtexCredentialsSecretArn": {ACCOUNT: KEYS},
        "DeskSecretArn": {"current": DESK_KEY},
    }
    queues = {
        name: sqs.create_queue(QueueName=name)["QueueUrl"]
        for name in ("HookQueueUrl", "HookDeadLetterQueueUrl", "FailureQueueUrl", "UndeliveredRecordsQueueUrl")
    }
    make_ledger_table(make_client("dynamodb"))
    return {
        "HookUrl": hook_url,
        "Version": version(),
        "LedgerTableName": "ledger",
        **queues,
        "RecordTopicArn": record_topic(queues["FailureQueueUrl"], client=deployment.client),
        **{name: sns.create_topic(Name=name)["TopicArn"] for name in ("AlertTopicArn", "OperationsTopicArn")},
        **{
            name: secrets.create_secret(Name=name, SecretString=json.dumps(secret))["ARN"]
            for name, secret in secret_of.items()
        },
    }


def _environments(vtex: VtexSimulator, hook_url: str, outputs: dict[str, str]) -> dict[str, dict[str, str]]:
    shared = {
        "VTEX_BASE_URL": vtex.url + "/{account}",
        "VTEX_CREDENTIALS_SECRET_ARN": outputs["VtexCredentialsSecretArn"],
        "VTEX_CREDENTIALS_PREFIX": PREFIX,
        "VTEX_REQUESTS_PER_MINUTE": "60000",
        "VTEX_ACCOUNTS": "",
        "LEDGER_TABLE_NAME": "ledger",
        "ALERT_TOPIC_ARN": outputs["AlertTopicArn"],
        "ALERT_LANGUAGE": "en",
        "POWERTOOLS_SERVICE_NAME": "invoicekey",
    }
    queues = {
        "HOOK_QUEUE_URL": outputs["HookQueueUrl"],
        "HOOK_DEAD_LETTER_QUEUE_URL": outputs["HookDeadLetterQueueUrl"],
        "RECORD_TOPIC_ARN": outputs["RecordTopicArn"],
    }
    guard = {
        "WATCHED_STATUSES": "invoiced",
        "HOOK_URL": hook_url,
        "HOOK_SECRET_ARN": outputs["HookSecretArn"],
        "OPERATIONS_TOPIC_ARN": outputs["OperationsTopicArn"],
        "QUIET_ALARM_HOURS": "48",
    }
    return {"CheckInvoiceFunction": CHECKER | shared | queues, "GuardHookFunction": shared | guard}
