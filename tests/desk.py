"""An operator's desk for tests: the commands, on a deployed stack made of moto's AWS and the VTEX simulator.

A command is run as from the shell; what it says and its exit code come back::

    with at_a_desk() as desk:
        desk.invoice("VVJ-1-01", sale(key=None))
        assert desk.run("check VVJ-1-01").code == 3
"""

import contextlib
import io
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from unittest import mock

import boto3
from botocore.config import Config
from moto import mock_aws

from invoicekey.delivery.queues import Message
from invoicekey.ledger.activity import Activities
from invoicekey.rules.notification import OrderRef, own_event
from invoicekey.runtime.settings import CheckerSettings, OfAccounts
from invoicekey.work.batch import AccountRules, BatchCheck, rules_of
from invoicekey.work.check import Clock
from local.vtex_simulator import VtexSimulator
from operations import command_line
from operations.deployment.shop import Shop
from operations.deployment.stack import Deployment
from operations.terminal import cli
from tests.ledger_table import make_ledger_table
from tests.orders import cnova_order
from tests.record_topic import record_topic

COMMANDS = command_line
"""To import it is to add the commands to the app."""
ACCOUNT, REGION = "luxstore", "us-east-1"
CREDENTIALS = {"app_key": "vtexappkey-of-ours", "app_token": "token-that-is-never-shown"}
DESK_URL, DESK_KEY = "https://api.example/desk/", "the-key-of-the-desk"
STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x1b]*\x1b\\\\|[^\r\n]*\r(?!\n)")
CHECKER = {
    "VTEX_REQUESTS_PER_MINUTE": "60000",
    "RETRY_BASE_SECONDS": "60",
    "FUNCTION_TIMEOUT_SECONDS": "30",
    "ALERT_LANGUAGE": "pt-BR",
    "ALERT_TIMEZONE": "America/Sao_Paulo",
    "ALERT_BURST": "5",
    "ALERT_WINDOW_MINUTES": "15",
    "MAXIMUM_CONCURRENCY": "2",
    "SKIP_OTHER_PREFIXES": "yes",
    "CHAT_ALERTS": "no",
    "POWERTOOLS_SERVICE_NAME": "invoicekey",
    "CNOVA_AFFILIATE_IDS": "VVJ",
    "SELLER_TAX_IDS": "",
    "INVOICE_GRACE_SECONDS": "600",
    "KEY_GRACE_SECONDS": "0",
    "TRACKING_GRACE_HOURS": "0",
    "WATCHED_STATUSES": "invoiced",
    "DESK_URL": DESK_URL,
    "DESK_SECRET_ARN": "arn:desk",
}
"""What of the checker's environment is the same in every test."""


class FakeDeployment(Deployment):
    """A stack whose outputs and secrets are known; the services are moto's."""

    def __init__(
        self, outputs: dict[str, str], secrets: dict[str, dict[str, Any]], region_given: str | None = None
    ) -> None:
        super().__init__("invoicekey", region_given)
        self.__dict__["outputs"] = outputs
        self.secrets = secrets

    def client(self, service: str, patience: Config | None = None) -> Any:
        return make_client(service)

    def read_secret(self, output: str) -> dict[str, Any]:
        return self.secrets[output]


@cache
def make_client(service: str) -> Any:
    """Make a client once for all tests: to make one takes longer than most tests."""
    make: Any = boto3.client
    return make(service, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


class FakeShop(Shop):
    """A shop whose functions' environments are known."""

    def __init__(self, deployment: FakeDeployment, environment: dict[str, str]) -> None:
        super().__init__(deployment)
        self.variables = environment

    def function_environment(self, logical_id: str) -> dict[str, str]:
        return self.variables

    def resource(self, logical_id: str) -> str:
        return f"/aws/lambda/{logical_id}"


@dataclass
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Return all that was on the screen."""
        return self.out + self.err

    @property
    def json(self) -> Any:
        """Return what was written for machines."""
        return json.loads(self.out)


@dataclass
class Desk:
    """The operator's place."""

    vtex: VtexSimulator
    deployment: FakeDeployment
    environment: dict[str, str]
    shops: list[FakeShop] = field(default_factory=list)

    @property
    def shop(self) -> FakeShop:
        """Return the shop as a command takes it apart: anew, as every run does."""
        return FakeShop(self.deployment, self.environment)

    def run(self, command: str | Sequence[str], columns: int | None = None) -> Said:
        """Run a command line: into a pipe, or on a terminal of so many columns."""
        arguments = shlex.split(command) if isinstance(command, str) else list(command)
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(cli, "shop_of", side_effect=lambda *_: self.shop),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            terminal(columns) if columns else contextlib.nullcontext(),
        ):
            code = cli.run(arguments)
        return Said(code, STYLE.sub("", out.getvalue()), STYLE.sub("", err.getvalue()))

    def is_given(self, region: str) -> None:
        """Let a region be given to each command, though all services stay where they are."""
        self.deployment = FakeDeployment(self.deployment.outputs, self.deployment.secrets, region)

    def invoice(self, order_id: str, *packages: Any, account: str = ACCOUNT, **changes: Any) -> OrderRef:
        """Put an order into VTEX."""
        self.vtex.put_order(cnova_order(*packages, orderId=order_id, hostname=account, **changes))
        return OrderRef(account, order_id)

    def check(self, *refs: OrderRef, at: datetime | None = None) -> None:
        """Let the stack check orders, as its function does."""
        shop = self.shop
        settings, vtex = shop.settings, shop.vtex(6000)
        of_accounts = OfAccounts(CheckerSettings, shop.environment)

        def of_account(own: Mapping[str, str]) -> AccountRules:
            return rules_of(own, of_accounts, vtex, shop.ledger)

        activities = Activities(shop.table)
        batch = BatchCheck(vtex, shop.ledger, shop.outlets, of_account, settings.retry_base, activities=activities)
        clock = Clock(lambda: 30.0, now=lambda: at) if at else Clock(lambda: 30.0)
        messages = [
            Message(f"m-{ref.order_id}", own_event(ref), "handle", clock.now().timestamp(), 1, f"c-{ref.order_id}")
            for ref in refs
        ]
        batch.check(messages, clock)

    def log(self, group: str, at: datetime, **line: Any) -> None:
        """Let a function have logged a line."""
        logs, name = make_client("logs"), f"/aws/lambda/{group}"
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=name)
            logs.create_log_stream(logGroupName=name, logStreamName="s")
        event = {"timestamp": int(at.timestamp() * 1000), "message": json.dumps(line)}
        logs.put_log_events(logGroupName=name, logStreamName="s", logEvents=[event])

    def send_to_dead_letters(self, order_id: str, **attributes: str) -> None:
        """Put a dead letter there."""
        typed = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()}
        url, body = self.deployment.outputs["HookDeadLetterQueueUrl"], own_event(OrderRef(ACCOUNT, order_id))
        make_client("sqs").send_message(QueueUrl=url, MessageBody=body, MessageAttributes=typed)

    def messages(self, output: str) -> list[dict[str, Any]]:
        """Take what a queue holds."""
        sqs = make_client("sqs")
        taken: list[dict[str, Any]] = []
        while batch := sqs.receive_message(
            QueueUrl=self.deployment.outputs[output],
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
        ).get("Messages"):
            taken += batch
        return taken

    def queued(self) -> list[str]:
        """Take what is queued for a check, and list its orders."""
        return [json.loads(message["Body"])["OrderId"] for message in self.messages("HookQueueUrl")]


@contextlib.contextmanager
def at_a_desk(**settings: str) -> Iterator[Desk]:
    """Sit down: nothing is at VTEX, nothing in the ledger."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}
    with mock.patch.dict(os.environ, keys), mock_aws(), VtexSimulator() as vtex:
        outputs = _outputs()
        secrets: dict[str, dict[str, Any]] = {
            "VtexCredentialsSecretArn": {ACCOUNT: CREDENTIALS},
            "HookSecretArn": {"current": "s", "previous": ""},
            "DeskSecretArn": {"current": DESK_KEY},
        }
        yield Desk(vtex, FakeDeployment(outputs, secrets), _environment(outputs, vtex, settings))


@contextlib.contextmanager
def terminal(columns: int) -> Iterator[None]:
    """Let the commands write on a terminal of so many columns."""
    with contextlib.ExitStack() as patched:
        for console in (cli.out, cli.err):
            patched.enter_context(mock.patch.object(console, "_force_terminal", True))
            patched.enter_context(mock.patch.object(console, "_width", columns))
            patched.enter_context(mock.patch.object(console, "_height", 40))
        yield


def _outputs() -> dict[str, str]:
    sqs, sns = make_client("sqs"), make_client("sns")
    queues = {
        name: sqs.create_queue(QueueName=name)["QueueUrl"]
        for name in ("HookQueueUrl", "HookDeadLetterQueueUrl", "FailureQueueUrl", "UndeliveredRecordsQueueUrl")
    }
    make_ledger_table(make_client("dynamodb"))
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    return {
        **queues,
        "RecordTopicArn": record_topic(queues["FailureQueueUrl"], client=make_client),
        "AlertTopicArn": topic,
        "LedgerTableName": "ledger",
        "VtexCredentialsSecretArn": "arn:credentials",
        "HookSecretArn": "arn:hook",
        "DeskSecretArn": "arn:desk",
    }


def _environment(outputs: dict[str, str], vtex: VtexSimulator, settings: dict[str, str]) -> dict[str, str]:
    return {
        "HOOK_QUEUE_URL": outputs["HookQueueUrl"],
        "HOOK_DEAD_LETTER_QUEUE_URL": outputs["HookDeadLetterQueueUrl"],
        "RECORD_TOPIC_ARN": outputs["RecordTopicArn"],
        "ALERT_TOPIC_ARN": outputs["AlertTopicArn"],
        "LEDGER_TABLE_NAME": outputs["LedgerTableName"],
        "VTEX_CREDENTIALS_SECRET_ARN": outputs["VtexCredentialsSecretArn"],
        "VTEX_CREDENTIALS_PREFIX": "/vtex-credentials/a-shop/",
        "VTEX_BASE_URL": vtex.url + "/{account}",
        **CHECKER,
        **settings,
    }
