"""`make iam`: each right of each role is taken away in turn, and what its function is for fails.

A scenario lets a function do all that it has rights for, and fails at the first thing that is not as it should be: an
answer, what is kept and sent, an error in its log. With all rights every scenario passes.

Some rights no function uses: AWS does, in the name of its role, and the emulator's parts of AWS ask no role. These
scenarios do AWS's part by the role's rights. That AWS asks for just these rights, its documentation says.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from invoicekey.messages.links import Links, Target
from local import events
from local.processes import LOOPBACK
from local.stack import VTEX_CREDENTIALS, StackError
from tests.iam.conftest import Rig
from tests.iam.statements import Piece, pieces
from tests.keys import make_key
from tests.stack.shop import OWN_PLACE
from tests.stack.test_stack import as_role

pytestmark = pytest.mark.stack

ACCOUNT, FIRST, SECOND, OF_ANOTHER = events.ACCOUNT, "VVJ-1-01", "VVJ-2-01", "VVJ-3-01"
KEYS = [make_key(tax_id=events.CNPJ, month=11, number=643797, code=code) for code in (1, 2, 3)]
APP_KEY, OURS = VTEX_CREDENTIALS["app_key"], {"filter": {"type": "FromWorkflow", "status": ["invoiced"]}}
RECEIPTS = "SQS refused a receipt handle; the message returns when its visibility ends"
"""Of messages that are handed to the checker by hand."""
NOT_SHOWN: Mapping[str, str] = dict.fromkeys(
    ("CheckInvoiceRole kms:Decrypt OperationsKey", "DrainFeedRole kms:Decrypt OperationsKey"),
    "Parameter Store uses it, and the emulator's has rights of its own; a call in the role's name is refused with the "
    "right too, for the emulator tells IAM of no encryption context, which the statement's condition looks at",
)
"""What is not shown to be needed, and why."""
type Scenario = Callable[[Rig, str], None]
"""What is done with a role's rights; it fails without them."""


# ---- Scenarios


def receiver(rig: Rig) -> None:
    rig.begin("ReceiveHookFunction")
    assert rig.stack.post_hook(json.dumps(events.notification(FIRST, "invoiced")).encode()) == 200


def checker(rig: Rig) -> None:
    rig.begin("CheckInvoiceFunction")
    put(rig, FIRST, None)
    put(rig, SECOND, None)
    assert check(rig, FIRST, SECOND) == []
    first, second = sorted(rig.items("order#"), key=lambda item: item["pk"]["S"])
    assert (first["report"]["M"]["recorded"], second["report"]["M"]["recorded"]) == ({"BOOL": True}, {"BOOL": True})
    assert len(rig.items("held#")) == 1  # one alert went out, the other is deferred
    put(rig, FIRST, KEYS[0])
    put(rig, SECOND, KEYS[1])
    put(rig, OF_ANOTHER, KEYS[2], OWN_PLACE)
    assert check(rig, FIRST, SECOND) == []
    assert check_bodies(rig, {OF_ANOTHER: body_of(OF_ANOTHER, OWN_PLACE)}) == []
    put(rig, SECOND, KEYS[2])
    assert check(rig, SECOND) == []
    assert len(rig.items("key#")) == 3  # one key was given back
    assert check_body(rig, "{}") == []  # a dead letter
    rig.stack.vtex("POST", "faults", {"kind": "status", "status": 500, "times": 1})
    assert check(rig, SECOND) == [SECOND]  # it goes back


def recheck(rig: Rig) -> None:
    failing(rig)
    rig.begin_again("RecheckFailuresFunction")
    answer, lines = rig.run("RecheckFailuresFunction", {"all": True})
    calm(lines)
    assert (answer["queued"], answer["refused"], answer["is_complete"]) == (2, 0, True)


def drain(rig: Rig) -> None:
    rig.begin("DrainFeedFunction")
    for account in (ACCOUNT, OWN_PLACE):
        change = datetime.now(UTC).isoformat()
        event = {"account": account, "orderId": FIRST, "state": "invoiced", "lastChange": change}
        rig.stack.vtex("POST", "feed-events", event)
    _, lines = rig.run("DrainFeedFunction", {})
    calm(lines)
    assert rig.stack.vtex("GET", "feed-events")["events"] == []


def guard(rig: Rig) -> None:
    rig.begin("GuardHookFunction")
    assert rig.stack.post_hook(b'{"hookConfig": "ping"}') == 200  # VTEX tries the address, and waits for no cold start
    rig.stack.vtex("PUT", "hooks", {APP_KEY: OURS | {"hook": {"url": rig.stack.outputs["HookUrl"], "headers": {}}}})
    look(rig)
    assert {item["pk"]["S"].split("#")[0] for item in rig.items("guard")} == {"guard", "guard_topics"}
    rig.stack.vtex("PUT", "hooks", {APP_KEY: OURS | {"hook": {"url": "https://erp.example/vtex", "headers": {}}}})
    look(rig)  # and tells the operators


def look(rig: Rig) -> None:
    answer, lines = rig.run("GuardHookFunction", {})
    assert set(answer["accounts"]) == {ACCOUNT, OWN_PLACE}
    assert "credentials_refused" not in str(answer)
    calm(lines, "topics have no confirmed subscription", "the hook was registered", "the feed was registered")


def digest(rig: Rig) -> None:
    failing(rig)
    rig.begin_again("SendDigestFunction")
    answer, lines = rig.run("SendDigestFunction", {})
    calm(lines)
    assert (answer, rig.items("held#")) == ({"digests": 1}, [])
    answer, lines = rig.run("SendDigestFunction", {"reminder": True, "scheduled": datetime.now(UTC).isoformat()})
    calm(lines)
    assert answer["reminders"]  # of the account that fails; on Mondays of the other one, too


def desk(rig: Rig) -> None:
    failing(rig)
    rig.begin_again("DeskFunction")
    stored = rig.stack.client("secretsmanager").get_secret_value(SecretId=rig.stack.outputs["DeskSecretArn"])
    links = Links("", [json.loads(stored["SecretString"])["current"]])
    of_list, first, second = (links.token(Target(ACCOUNT, order)) for order in (None, FIRST, SECOND))
    before = len(rig.log("DeskFunction"))
    assert [ask(rig, "GET", token) for token in (of_list, first)] == [200, 200]
    assert [ask(rig, "POST", first, f"act={act}") for act in ("check", "dismiss", "undo")] == [303, 303, 303]
    assert ask(rig, "POST", second, "act=dismiss") == 303
    calm(rig.log("DeskFunction")[before:])
    assert rig.items("held#") == []  # the dismissed one has no place in a digest


# ---- Scenarios of what AWS does in a role's name


def lambda_writes_the_log(rig: Rig, role: str) -> None:
    """Ask IAM's simulator: of a call itself the emulator takes the group for the resource, and AWS its streams."""
    arn = rig.stack.client("iam").get_role(RoleName=rig.names[role])["Role"]["Arn"]
    group = rig.stack.client("logs").describe_log_groups(logGroupNamePrefix=rig.names[role.replace("Role", "Logs")])
    answer = rig.stack.client("iam").simulate_principal_policy(
        PolicySourceArn=arn,
        ActionNames=["logs:CreateLogStream", "logs:PutLogEvents"],
        ResourceArns=[group["logGroups"][0]["logGroupArn"] + ":log-stream:a-stream"],
    )
    assert [result["EvalDecision"] for result in answer["EvaluationResults"]] == ["allowed", "allowed"]


def the_event_source_polls(rig: Rig, role: str) -> None:
    queue = rig.stack.outputs["HookQueueUrl"]
    rig.stack.client("sqs").send_message(QueueUrl=queue, MessageBody="{}")
    sqs = as_role(rig.stack, role, "sqs")
    sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])
    (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def sns_encrypts_what_is_published(rig: Rig, role: str) -> None:
    kms = as_role(rig.stack, role, "kms")
    key = kms.generate_data_key(KeyId=rig.names["OperationsKey"], KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=key["CiphertextBlob"])["Plaintext"] == key["Plaintext"]


BY_AWS: Mapping[str, Scenario] = {
    "logs:CreateLogStream": lambda_writes_the_log,
    "logs:PutLogEvents": lambda_writes_the_log,
    "sqs:ReceiveMessage": the_event_source_polls,
    "sqs:DeleteMessage": the_event_source_polls,
    "sqs:GetQueueAttributes": the_event_source_polls,
    "kms:GenerateDataKey": sns_encrypts_what_is_published,
    "kms:Decrypt": sns_encrypts_what_is_published,
}
"""By action, what AWS does with it."""
SCENARIOS: Mapping[str, Callable[[Rig], None]] = {
    "ReceiveHookRole": receiver,
    "CheckInvoiceRole": checker,
    "RecheckFailuresRole": recheck,
    "DrainFeedRole": drain,
    "GuardHookRole": guard,
    "SendDigestRole": digest,
    "DeskRole": desk,
}


def the_function_does_its_work(rig: Rig, role: str) -> None:
    SCENARIOS[role](rig)


# ---- The campaign


def name_of(piece: Piece) -> str:
    return f"{piece.role} {piece.name}"


def scenario_of(piece: Piece) -> Scenario:
    return BY_AWS.get(piece.name.split()[0], the_function_does_its_work)


PIECES = [*pieces()]
SHOWN = [piece for piece in PIECES if name_of(piece) not in NOT_SHOWN]


each_scenario = pytest.mark.parametrize(
    ("role", "scenario"),
    dict.fromkeys((piece.role, scenario_of(piece)) for piece in SHOWN),
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)


@each_scenario
def test_with_all_rights_what_they_are_for_is_done(rig: Rig, role: str, scenario: Scenario) -> None:
    scenario(rig, role)
    rig.sound.add((role, scenario))


@pytest.mark.parametrize("piece", SHOWN, ids=name_of)
def test_without_one_of_them_it_is_not(rig: Rig, piece: Piece) -> None:
    scenario = scenario_of(piece)
    assert (piece.role, scenario) in rig.sound
    with rig.without(piece), pytest.raises((AssertionError, StackError, ClientError)):
        scenario(rig, piece.role)


@each_scenario
def test_with_all_rights_it_is_done_again(rig: Rig, role: str, scenario: Scenario) -> None:
    """A scenario that fails when it is played once more would show every right to be needed."""
    scenario(rig, role)


def test_what_is_not_shown_is_there() -> None:
    """A reason for what has gone would hide what comes under its name."""
    assert NOT_SHOWN.keys() <= {*map(name_of, PIECES)}


# ---- What the scenarios are made of


def put(rig: Rig, order_id: str, key: str | None, account: str = ACCOUNT) -> None:
    order = events.order_document(events.BY_NAME["key-missing"]) | {"orderId": order_id, "hostname": account}
    order["packageAttachment"]["packages"][0] |= {"invoiceNumber": "643797", "invoiceKey": key}
    rig.stack.vtex("PUT", "orders", order)


def check(rig: Rig, *order_ids: str) -> list[str]:
    return check_bodies(rig, {order_id: body_of(order_id) for order_id in order_ids})


def body_of(order_id: str, account: str = ACCOUNT) -> str:
    return json.dumps(events.notification(order_id, "invoiced", account=account))


def check_body(rig: Rig, body: str) -> list[str]:
    return check_bodies(rig, {"a body": body})


def check_bodies(rig: Rig, bodies: Mapping[str, str]) -> list[str]:
    """Check what these messages are about; return the ids of those that go back."""
    records = [{"messageId": name, "body": body} for name, body in bodies.items()]
    answer, lines = rig.run("CheckInvoiceFunction", {"Records": records})
    calm(lines, RECEIPTS, "a message went to the dead-letter queue")
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def failing(rig: Rig) -> None:
    """Let two orders fail, of which the second one's alert is deferred."""
    rig.begin("CheckInvoiceFunction")
    for order_id in (FIRST, SECOND):
        put(rig, order_id, None)
    assert check(rig, FIRST, SECOND) == []


def calm(lines: list[dict[str, Any]], *expected: str) -> None:
    """Expect no trouble in a log, but for what is to be there."""
    troubles = [line for line in lines if line.get("level") in {"WARNING", "ERROR", "CRITICAL"}]
    other = [line for line in troubles if line["message"] not in expected]
    other = [line for line in other if set(line.get("errors", [""])) != {"ReceiptHandleIsInvalid"}]
    assert [(line["message"], line.get("why")) for line in other] == []


def ask(rig: Rig, method: str, token: str, form: str = "") -> int:
    """Ask the desk, and return the status of its answer."""
    connection = HTTPConnection(LOOPBACK, rig.stack.emulator_port, timeout=30)
    host = urlsplit(rig.stack.outputs["HookUrl"]).netloc
    headers = {"Host": host, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, f"/desk/{token}", form or None, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status
