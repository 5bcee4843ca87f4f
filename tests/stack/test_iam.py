"""Least privilege: each right of each role ends at its own resource. What each is needed for, `make iam` shows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.stack import LocalStack
from tests.iam.statements import Piece, pieces
from tests.stack.test_stack import as_role

pytestmark = pytest.mark.stack

NEIGHBOUR = "another-system"
KEY = {"pk": {"S": "a"}}
SECRETS = {"HookSecretArn", "VtexCredentialsSecretArn", "DeskSecretArn"}
TOPICS = {"RecordTopicArn", "AlertTopicArn", "OperationsTopicArn"}
MAY_READ = {
    "ReceiveHookRole": {"HookSecretArn"},
    "CheckInvoiceRole": {"VtexCredentialsSecretArn", "DeskSecretArn"},
    "DrainFeedRole": {"VtexCredentialsSecretArn"},
    "GuardHookRole": {"VtexCredentialsSecretArn", "HookSecretArn"},
    "SendDigestRole": {"DeskSecretArn"},
    "DeskRole": {"DeskSecretArn"},
}
MAY_PUBLISH = {
    "CheckInvoiceRole": {"RecordTopicArn", "AlertTopicArn"},
    "GuardHookRole": {"AlertTopicArn", "OperationsTopicArn"},
    "SendDigestRole": {"AlertTopicArn"},
    "DeskRole": {"RecordTopicArn"},
}


@dataclass
class Beside:
    """What lies beside a role's own resources."""

    stack: LocalStack
    key: str

    def index(self, role: str) -> dict[str, str]:
        """Return what may not be queried: the other index for the re-check, the table itself for the others."""
        return {"IndexName": "Failures"} if role == "RecheckFailuresRole" else {}


@pytest.fixture(scope="module")
def beside(stack: LocalStack) -> Iterator[Beside]:
    dynamodb = stack.client("dynamodb")
    dynamodb.create_table(
        TableName=NEIGHBOUR,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    stack.client("logs").create_log_group(logGroupName=NEIGHBOUR)
    yield Beside(stack, stack.client("kms").create_key()["KeyMetadata"]["KeyId"])
    dynamodb.delete_table(TableName=NEIGHBOUR)


TRIED: Mapping[str, Callable[[Any, Beside, str], object]] = {
    "logs:CreateLogStream": lambda logs, _, __: logs.create_log_stream(logGroupName=NEIGHBOUR, logStreamName="s"),
    "logs:PutLogEvents": lambda logs, _, __: logs.put_log_events(
        logGroupName=NEIGHBOUR, logStreamName="s", logEvents=[{"timestamp": 1, "message": "m"}]
    ),
    "sqs:SendMessage": lambda sqs, beside, _: sqs.send_message(
        QueueUrl=beside.stack.outputs["FailureQueueUrl"], MessageBody="{}"
    ),
    "sqs:ReceiveMessage": lambda sqs, beside, _: sqs.receive_message(QueueUrl=beside.stack.outputs["FailureQueueUrl"]),
    "sqs:DeleteMessage": lambda sqs, beside, _: sqs.delete_message(
        QueueUrl=beside.stack.outputs["FailureQueueUrl"], ReceiptHandle="r"
    ),
    "sqs:ChangeMessageVisibility": lambda sqs, beside, _: sqs.change_message_visibility(
        QueueUrl=beside.stack.outputs["FailureQueueUrl"], ReceiptHandle="r", VisibilityTimeout=0
    ),
    "sqs:GetQueueAttributes": lambda sqs, beside, _: sqs.get_queue_attributes(
        QueueUrl=beside.stack.outputs["FailureQueueUrl"], AttributeNames=["All"]
    ),
    "sns:Publish": lambda sns, beside, role: sns.publish(
        TopicArn=beside.stack.outputs[min(TOPICS - MAY_PUBLISH[role])], Message="m"
    ),
    "sns:GetTopicAttributes": lambda sns, beside, role: sns.get_topic_attributes(
        TopicArn=beside.stack.outputs[min(TOPICS - MAY_PUBLISH[role])]
    ),
    "secretsmanager:GetSecretValue": lambda secrets, beside, role: secrets.get_secret_value(
        SecretId=beside.stack.outputs[min(SECRETS - MAY_READ[role])]
    ),
    "ssm:GetParameters": lambda parameters, _, __: parameters.get_parameters(
        Names=["/vtex-credentials/another-stack/ownshop"], WithDecryption=True
    ),
    "kms:GenerateDataKey": lambda kms, beside, _: kms.generate_data_key(KeyId=beside.key, KeySpec="AES_256"),
    "kms:Decrypt": lambda kms, beside, _: kms.decrypt(KeyId=beside.key, CiphertextBlob=b"c"),
    "dynamodb:BatchGetItem": lambda dynamodb, _, __: dynamodb.batch_get_item(RequestItems={NEIGHBOUR: {"Keys": [KEY]}}),
    "dynamodb:PutItem": lambda dynamodb, _, __: dynamodb.put_item(TableName=NEIGHBOUR, Item=KEY),
    "dynamodb:DeleteItem": lambda dynamodb, _, __: dynamodb.delete_item(TableName=NEIGHBOUR, Key=KEY),
    "dynamodb:UpdateItem": lambda dynamodb, _, __: dynamodb.update_item(
        TableName=NEIGHBOUR,
        Key=KEY,
        UpdateExpression="SET a = :a",
        ExpressionAttributeValues={":a": {"S": "a"}},
    ),
    "dynamodb:Query": lambda dynamodb, beside, role: dynamodb.query(
        TableName=beside.stack.outputs["LedgerTableName"],
        **beside.index(role),
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "a"}},
    ),
}
"""Each action, on a resource that is beside the role's own."""


@pytest.mark.parametrize(
    "piece", [piece for piece in pieces() if piece.field == "Action"], ids=lambda piece: f"{piece.role} {piece.name}"
)
def test_a_right_ends_at_its_own_resource(stack: LocalStack, beside: Beside, piece: Piece) -> None:
    action = piece.name.split()[0]
    client = as_role(stack, piece.role, action.partition(":")[0])

    with pytest.raises(ClientError, match=r"AccessDenied|AuthorizationError|not authorized"):
        TRIED[action](client, beside, piece.role)
