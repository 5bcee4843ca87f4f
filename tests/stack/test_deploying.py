"""A rehearsal of what an integration developer does on AWS: deploy, keep credentials, deploy anew, remove.

The commands of docs/deploying.md run as they stand, at a terminal, in a copy of the project; AWS is the emulator. Each
fixture is a step, and takes the one before it for granted.
"""

import json
import os
import re
import shlex
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import events, processes
from local.stack import ARCHITECTURE, KEYS, REGION, ROOT, STATE, TOOLS, VTEX_CREDENTIALS, LocalStack
from local.watch import Json, until
from tests.stack.shop import STRANGER, Shop
from tests.stack.terminal import Screen, at_a_terminal

pytestmark = pytest.mark.stack

STACK = "invoicekey-rehearsal"
EMAIL = "shop@example.com"
KEPT_BY_SAM = "parameter_overrides|region|profile|s3_prefix|image_repositories"
"""Settings that the project's own samconfig.toml has after its own first deployment."""
IN_REAL_TOOLS = ("TOOLS=", f"IN_TOOLS={TOOLS}/")
"""For make: the tools are set up already, and not in the copy."""


# ---- Who does it, and what can be seen of it


@dataclass(frozen=True)
class Developer:
    """Somebody with a checkout of the project, a terminal, and an AWS account."""

    home: Path
    environment: dict[str, str]

    def does(self, command: str, **answers: str) -> Screen:
        """Run a command of make or of the tools; a question that is not answered gets Enter."""
        words = shlex.split(command)
        line = [*words, *IN_REAL_TOOLS] if words[0] == "make" else [str(TOOLS / words[0]), *words[1:]]
        named = {name.replace("_", " "): answer for name, answer in answers.items()}
        return at_a_terminal(line, named, home=self.home, environment=self.environment)

    @property
    def settings(self) -> Path:
        """Return the file that keeps the answers."""
        return self.home / "samconfig.toml"


class Records:
    """The failure records. It remembers what it has seen: who looks into a queue hides for a while what is there."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._seen: set[str] = set()

    @property
    def order_ids(self) -> set[str]:
        """Return the orders that there is a record of."""
        found = self._stack.messages(self._stack.outputs["FailureQueueUrl"])
        self._seen |= {json.loads(message["Body"])["subject"] for message in found}
        return self._seen


def secret(stack: LocalStack, output: str) -> Json:
    answer = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs[output])
    held: Json = json.loads(answer["SecretString"])
    return held


def secrets(stack: LocalStack) -> list[Json]:
    return [secret(stack, "HookSecretArn"), secret(stack, "VtexCredentialsSecretArn")]


def count(stack: LocalStack, queue: str) -> tuple[int, int]:
    """Count what can be received from a queue, and what was received and neither deleted nor returned to the queue."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=stack.outputs[queue], AttributeNames=names)
    visible, in_flight = (int(answer["Attributes"][name]) for name in names)
    return visible, in_flight


def messages(stack: LocalStack) -> dict[str, int]:
    """Count what each queue holds."""
    return {name: sum(count(stack, name)) for name in stack.outputs if name.endswith("QueueUrl")}


def at_rest(stack: LocalStack) -> Callable[[], bool]:
    """Make a look at the hook queue that says whether nothing waits in it and nothing has moved for some looks."""
    looks: deque[tuple[int, int]] = deque(maxlen=15)

    def look() -> bool:
        looks.append(count(stack, "HookQueueUrl"))
        waiting, _ = looks[-1]
        return waiting == 0 and looks.count(looks[-1]) == looks.maxlen

    return look


# ---- The steps


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Start VTEX, and an AWS account with nothing in it."""
    emulator_port, vtex_port = processes.free_ports(2)
    empty = LocalStack(emulator_port, vtex_port, STATE / "deploying")
    try:
        empty.start()
        yield empty
    finally:
        empty.stop()


@pytest.fixture(scope="module")
def records(stack: LocalStack) -> Records:
    return Records(stack)


@pytest.fixture(scope="module")
def developer(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Developer]:
    home = tmp_path_factory.mktemp("work") / "project"
    shutil.copytree(ROOT, home, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    settings = home / "samconfig.toml"
    settings.write_text(re.sub(rf"^({KEPT_BY_SAM}) = .*\n", "", settings.read_text(), flags=re.MULTILINE))
    own = {name: value for name, value in os.environ.items() if not re.match(r"AWS_|MAKE|MFLAGS|(ENV|STACK)$", name)}
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
    yield Developer(home, {**own, **account})
    shutil.rmtree(home)  # with a hundred megabytes of builds


@pytest.fixture(scope="module")
def refused(developer: Developer, stack: LocalStack) -> Screen:
    """Have a first deployment fail at a service, for what the emulator refuses too: a log group that is not there."""
    template = developer.home / "template.yaml"
    as_it_is = template.read_text()
    lost = "  Lost:\n    Type: AWS::Logs::LogStream\n    Properties: { LogGroupName: nowhere }\n"
    template.write_text(as_it_is.replace("\nOutputs:\n", f"\n{lost}\nOutputs:\n"))
    screen = developer.does(
        f"make deploy STACK={STACK}",
        **{"See them one by one?": "s", "Make it?": "sim"},
        Architecture=ARCHITECTURE,
        VtexBaseUrl=stack.vtex_url + "/{account}",
        CnovaAffiliateIds="VVJ",
        AlertEmail=EMAIL,
        VtexRequestsPerMinute="6000",
        AwsEndpointUrl=stack.endpoint,
    )
    template.write_text(as_it_is)
    return screen


@pytest.fixture(scope="module")
def first(refused: Screen, developer: Developer, stack: LocalStack) -> Screen:
    screen = developer.does("make deploy", **{"Remove it, and go on": "y"})
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
    return developer.does(
        f"make credentials STACK={STACK}",
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

    @property
    def taken(self) -> set[str]:
        """Return the orders whose event was answered 200: those must not be lost."""
        return {order_id for order_id, answer in self.answers.items() if answer == 200}


@pytest.fixture(scope="module")
def update(second: Screen, credentials: Screen, developer: Developer, stack: LocalStack) -> Update:
    developer.settings.write_text(developer.settings.read_text() + 'InvoiceGraceSeconds = "120"\n')
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
def removal(update: Update, records: Records, developer: Developer, stack: LocalStack) -> Removal:
    Shop(stack).notify("VVJ-1-01", account=STRANGER)
    stack.client("sqs").send_message(QueueUrl=stack.outputs["HookQueueUrl"], MessageBody="not a notification")
    until(lambda: messages(stack)["HookDeadLetterQueueUrl"] == 1, "a dead letter")
    until(at_rest(stack), "an event that waits for credentials")
    messages_before, secrets_before = messages(stack), secrets(stack)
    screen = developer.does("sam delete --config-env dev --no-prompts")
    return Removal(screen, messages_before, secrets_before, min(records.order_ids))


# ---- What came of them


def test_the_first_time_make_deploy_asks_for_the_parameters_and_keeps_them(
    refused: Screen, developer: Developer
) -> None:
    kept = developer.settings.read_text()

    first, others = refused.asked[:4], refused.asked[4:-1]
    assert first == ["CnovaAffiliateIds", "AlertEmail", "AlertLanguage", "See them one by one?"]
    assert {"KeyGraceSeconds", "Architecture", "VtexAccounts"} < set(others)
    assert refused.asked[-1] == "Make it?"
    assert "region us-east-1" in refused.text
    assert "docs/costs.md" in refused.text
    assert f'\nstack_name = "{STACK}"\nregion = "{REGION}"\n' in kept
    assert f'\nAlertEmail = "{EMAIL}"\n' in kept
    assert "KeyGraceSeconds" not in kept, "what is as the template has it follows the template"


def test_a_first_deployment_that_fails_says_what_failed_and_that_there_is_a_way_out(refused: Screen) -> None:
    said = refused.text.replace("\r", "")

    assert refused.code != 0
    assert re.search(r"\nLost \(AWS::Logs::LogStream\), CREATE_FAILED: .*log group does not exist", said)
    assert f"The stack {STACK} in {REGION} is ROLLBACK_COMPLETE now. The next make deploy offers a way out" in said


def test_the_next_make_deploy_says_it_again_removes_what_is_left_and_goes_on(first: Screen) -> None:
    said = first.text.replace("\r", "")

    assert first.asked == ["Remove it, and go on"]
    assert f"The stack {STACK} in {REGION} is ROLLBACK_COMPLETE: its first deployment failed." in said
    assert re.search(r"\n  Lost \(AWS::Logs::LogStream\), CREATE_FAILED: .*log group does not exist", said)


def test_make_deploy_says_who_is_told_and_what_is_next(first: Screen) -> None:
    said = first.text.partition(f"Deployed: {STACK} in {REGION}")[2].replace("\r", "")

    assert f"Alerts about orders:\n  email {EMAIL}: confirmed" in said
    assert f"Trouble of the system:\n  email {EMAIL}: confirmed" in said
    assert f"Next: make setup, then .venv/bin/invoicekey setup --stack {STACK}" in said


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


def test_no_event_is_lost_in_an_update(update: Update, records: Records, stack: LocalStack) -> None:
    """Each is checked or in flight.

    When a function is updated, the emulator ends its environment in the middle of a batch; AWS lets it finish. Such a
    batch comes again when its visibility timeout is over.
    """
    until(at_rest(stack), "the end of the checks")

    _, in_flight = count(stack, "HookQueueUrl")
    assert len(update.taken) > 20
    assert len(update.taken - records.order_ids) <= in_flight


def test_secrets_survive_an_update(update: Update) -> None:
    assert update.secrets_after == update.secrets_before


def test_what_holds_data_survives_the_stack(removal: Removal, stack: LocalStack) -> None:
    item = stack.client("dynamodb").get_item(
        TableName=stack.outputs["LedgerTableName"],
        Key={"pk": {"S": f"order#{events.ACCOUNT}#{removal.order_id}"}},
    )

    assert removal.screen.code == 0, removal.screen.text
    assert [name for name, held in removal.messages_before.items() if not held] == ["UndeliveredRecordsQueueUrl"]
    assert messages(stack) == removal.messages_before
    assert secrets(stack) == removal.secrets_before
    assert item["Item"]["outcome"]["S"] == "failing"


def test_everything_else_is_removed(removal: Removal, stack: LocalStack) -> None:
    functions, topics, watch, kms = (stack.client(name) for name in ("lambda", "sns", "cloudwatch", "kms"))
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    left = [
        *functions.list_functions()["Functions"],
        *functions.list_layers()["Layers"],
        *functions.list_event_source_mappings()["EventSourceMappings"],
        *stack.client("apigatewayv2").get_apis()["Items"],
        *stack.client("scheduler").list_schedules()["Schedules"],
        *topics.list_topics()["Topics"],
        *topics.list_subscriptions()["Subscriptions"],
        *watch.describe_alarms()["MetricAlarms"],
        *watch.list_dashboards()["DashboardEntries"],
        *stack.client("iam").list_roles()["Roles"],
        *stack.client("logs").describe_log_groups()["logGroups"],
        *(key for key in keys if key["KeyState"] != "PendingDeletion"),
    ]

    assert left == []
