"""A rehearsal of what an integration developer does on AWS: deploy, keep credentials, deploy anew, remove.

The commands of the README run as they stand, at a terminal, in a copy of the project; AWS is the emulator. Each fixture is
a step, and takes the one before it for granted.
"""

import json
import os
import re
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local import events, processes
from local.stack import ARCHITECTURE, KEYS, REGION, ROOT, STATE, TOOLS, VTEX_CREDENTIALS, LocalStack
from local.watch import Json, until
from tests.stack.shop import STRANGER, Shop
from tests.stack.terminal import Screen, at_a_terminal

pytestmark = pytest.mark.stack

STACK = "invoicekey-rehearsal"
EMAIL = "shop@example.com"
RETAINED = {"LedgerTable", "HookQueue", "HookDeadLetterQueue", "FailureQueue", "HookSecret", "VtexCredentialsSecret"}
KEPT_BY_SAM = "parameter_overrides|region|profile|s3_prefix|image_repositories"
"""Settings that the project's own samconfig.toml has after its first deployment."""
IN_REAL_TOOLS = ("TOOLS=", f"IN_TOOLS={TOOLS}/")
"""For make: the tools are set up already, and not in the copy."""


@dataclass(frozen=True)
class Developer:
    """Somebody with a checkout of the project, a terminal, and an AWS account."""

    home: Path
    environment: dict[str, str]

    def does(self, command: str, **answers: str) -> Screen:
        """Run a command of the README; questions that are not answered get Enter."""
        words = shlex.split(command)
        line = [*words, *IN_REAL_TOOLS] if words[0] == "make" else [str(TOOLS / words[0]), *words[1:]]
        named = {name.replace("_", " "): answer for name, answer in answers.items()}
        return at_a_terminal(line, named, home=self.home, environment=self.environment)

    @property
    def settings(self) -> Path:
        """Return the file that keeps the answers."""
        return self.home / "samconfig.toml"


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Start an AWS account with nothing in it, and VTEX."""
    empty = LocalStack(*processes.free_ports(2), STATE / "deploying")
    try:
        empty.start()
        yield empty
    finally:
        empty.stop()


@pytest.fixture(scope="module")
def developer(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Developer:
    home = tmp_path_factory.mktemp("work") / "project"
    shutil.copytree(ROOT, home, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    settings = home / "samconfig.toml"
    settings.write_text(re.sub(rf"^({KEPT_BY_SAM}) = .*\n", "", settings.read_text(), flags=re.MULTILINE))
    theirs = {name: value for name, value in os.environ.items() if not re.match(r"AWS_|MAKE|MFLAGS|(ENV|STACK)$", name)}
    account = {
        "AWS_ACCESS_KEY_ID": KEYS["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": stack.endpoint,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": processes.LOOPBACK,
        "no_proxy": processes.LOOPBACK,
        "SAM_CLI_POLL_DELAY": "0.2",
    }
    return Developer(home, {**theirs, **account})


# ---- The steps


@pytest.fixture(scope="module")
def first(developer: Developer, stack: LocalStack) -> Screen:
    screen = developer.does(
        "make deploy",
        Stack_Name=STACK,
        Architecture=ARCHITECTURE,
        VtexBaseUrl=stack.vtex_url + "/{account}",
        CnovaAffiliateIds="VVJ",
        AlertEmail=EMAIL,
        VtexRequestsPerMinute="6000",
        AwsEndpointUrl=stack.endpoint,
    )
    assert screen.code == 0, screen.text
    (deployed,) = stack.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    stack.outputs = {output["OutputKey"]: output["OutputValue"] for output in deployed["Outputs"]}
    stack.hook_secret = secret(stack, "HookSecretArn")["current"]
    return screen


@pytest.fixture(scope="module")
def second(first: Screen, developer: Developer) -> Screen:
    return developer.does("make deploy")


@pytest.fixture(scope="module")
def credentials(first: Screen, developer: Developer) -> Screen:
    (command,) = re.findall(r"\d\. (make credentials.*?)\r?\n", first.text)
    return developer.does(
        command,
        VTEX_account=events.ACCOUNT,
        appKey=VTEX_CREDENTIALS["app_key"],
        appToken=VTEX_CREDENTIALS["app_token"],
    )


@dataclass(frozen=True)
class Update:
    """What was seen of an update, and the answers to the hooks that were posted meanwhile, by order."""

    screen: Screen
    answers: dict[str, int]
    secrets_before: list[Json]
    secrets_after: list[Json]


@pytest.fixture(scope="module")
def update(second: Screen, credentials: Screen, developer: Developer, stack: LocalStack) -> Update:
    answers = developer.settings.read_text()
    developer.settings.write_text(answers.replace('InvoiceGraceSeconds=\\"600\\"', 'InvoiceGraceSeconds=\\"120\\"'))
    before = secrets(stack)
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(post_hooks, Shop(stack), is_over)
        try:
            screen = developer.does("make deploy")
        finally:
            is_over.set()
        return Update(screen, posted.result(), before, secrets(stack))


def post_hooks(shop: Shop, is_over: threading.Event) -> dict[str, int]:
    answers: dict[str, int] = {}
    while not is_over.wait(0.02):
        order_id = shop.invoice()
        (answers[order_id],) = shop.notify(order_id)
    return answers


@dataclass(frozen=True)
class Removal:
    """What was seen of a removal, and what the queues and the secrets held before it."""

    screen: Screen
    messages_before: dict[str, int]
    secrets_before: list[Json]
    order_id: str


@pytest.fixture(scope="module")
def removal(update: Update, developer: Developer, stack: LocalStack) -> Removal:
    shop = Shop(stack)
    shop.notify("VVJ-1-01", account=STRANGER)
    stack.client("sqs").send_message(QueueUrl=stack.outputs["HookQueueUrl"], MessageBody="not a notification")
    expected = {"HookQueueUrl": 1, "HookDeadLetterQueueUrl": 1, "FailureQueueUrl": len(update.answers)}
    until(lambda: messages(stack) == expected, "each queue has something to lose")
    held = secrets(stack)
    return Removal(developer.does("sam delete --config-env dev --no-prompts"), expected, held, next(iter(update.answers)))


def secret(stack: LocalStack, output: str) -> Json:
    answer = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs[output])
    held: Json = json.loads(answer["SecretString"])
    return held


def secrets(stack: LocalStack) -> list[Json]:
    return [secret(stack, "HookSecretArn"), secret(stack, "VtexCredentialsSecretArn")]


def messages(stack: LocalStack) -> dict[str, int]:
    """Count what lies in each queue, in flight or not."""
    return {name: count(stack, url) for name, url in stack.outputs.items() if name.endswith("QueueUrl")}


def count(stack: LocalStack, queue_url: str) -> int:
    numbers = stack.client("sqs").get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    return sum(int(number) for number in numbers["Attributes"].values())


# ---- What came of them


def test_the_first_time_make_deploy_asks_for_the_parameters_and_keeps_them(first: Screen, developer: Developer) -> None:
    kept = developer.settings.read_text()

    assert {"Stack Name", "AWS Region", "CnovaAffiliateIds", "AlertEmail"} < set(first.asked)
    assert f'stack_name = "{STACK}"' in kept
    assert f'AlertEmail=\\"{EMAIL}\\"' in kept
    assert 'InvoiceGraceSeconds=\\"600\\"' in kept


def test_make_deploy_says_who_is_told_and_what_is_next(first: Screen) -> None:
    said = first.text.partition(f"Deployed: {STACK} in {REGION}")[2].replace("\r", "")

    assert f"Alerts about orders:\n  email {EMAIL}: confirmed" in said
    assert f"Trouble of the system:\n  email {EMAIL}: confirmed" in said
    assert f"1. make credentials STACK={STACK}" in said
    assert f"2. make check ACCOUNT=your-account ORDER=an-order-id STACK={STACK}" in said
    assert f"3. make hook ACCOUNT=your-account STACK={STACK}" in said


def test_the_second_time_make_deploy_asks_nothing_and_changes_nothing(second: Screen) -> None:
    assert second.code == 0
    assert second.asked == []
    assert "up to date" in second.text


def test_make_credentials_keeps_what_was_typed_and_shows_none_of_it(credentials: Screen, stack: LocalStack) -> None:
    assert credentials.code == 0
    assert credentials.asked == ["VTEX account", "appKey", "appToken"]
    assert events.ACCOUNT in credentials.text
    assert not [typed for typed in VTEX_CREDENTIALS.values() if typed in credentials.text]
    assert secret(stack, "VtexCredentialsSecretArn") == {events.ACCOUNT: VTEX_CREDENTIALS}


def test_an_update_takes_up_a_changed_parameter(update: Update, stack: LocalStack) -> None:
    functions = stack.client("lambda").list_functions()["Functions"]
    (checker,) = [function for function in functions if "CheckInvoice" in function["FunctionName"]]

    assert update.screen.code == 0
    assert update.screen.asked == []
    assert checker["Environment"]["Variables"]["INVOICE_GRACE_SECONDS"] == "120"


def test_no_event_is_lost_in_an_update(update: Update, stack: LocalStack) -> None:
    taken = {order_id for order_id, answer in update.answers.items() if answer == 200}

    def lost() -> set[str]:
        records = [json.loads(message["Body"]) for message in stack.messages(stack.outputs["FailureQueueUrl"])]
        return taken - {record["subject"] for record in records}

    assert len(taken) > 20
    until(lambda: not lost(), "the record of every event")


def test_secrets_survive_an_update(update: Update) -> None:
    assert update.secrets_after == update.secrets_before


def test_what_holds_data_survives_the_stack(removal: Removal, stack: LocalStack) -> None:
    item = stack.client("dynamodb").get_item(
        TableName=stack.outputs["LedgerTableName"],
        Key={"pk": {"S": f"order#{events.ACCOUNT}#{removal.order_id}"}},
    )

    assert removal.screen.code == 0, removal.screen.text
    assert messages(stack) == removal.messages_before
    assert secrets(stack) == removal.secrets_before
    assert item["Item"]["outcome"]["S"] == "failing"


def test_everything_else_is_removed(removal: Removal, stack: LocalStack) -> None:
    left: dict[str, list[Any]] = {}
    print(left)
