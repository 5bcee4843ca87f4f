"""Stand-ins for SQS and Secrets Manager, for the receiver's side: they keep what they were told and fail on demand."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack, cast

from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageRequestTypeDef

Trouble = BotoCoreError | ClientError

REFUSED = ClientError({"Error": {"Code": "AccessDenied", "Message": "not for you"}}, "AnyOperation")
UNREACHABLE = EndpointConnectionError(endpoint_url="https://aws.example")


@dataclass
class FakeSqs:
    """A queue that keeps every message, or raises `trouble` and keeps none."""

    trouble: Trouble | None = None
    sent: list["SendMessageRequestTypeDef"] = field(default_factory=list)

    def send_message(self, **message: Unpack["SendMessageRequestTypeDef"]) -> dict[str, Any]:
        if self.trouble:
            raise self.trouble
        self.sent.append(message)
        return {"MessageId": str(len(self.sent))}

    @property
    def bodies(self) -> list[str]:
        """List the bodies of what was sent."""
        return [message["MessageBody"] for message in self.sent]

    @property
    def client(self) -> "SQSClient":
        """Return this fake as what it stands in for."""
        return cast("SQSClient", self)


@dataclass
class FakeSecretsManager:
    """Secrets by ARN, as text; it counts the reads, and raises `trouble` while there is any."""

    secrets: dict[str, str] = field(default_factory=dict)
    trouble: Trouble | None = None
    reads: int = 0

    def put(self, arn: str, secret: object) -> None:
        """Store a JSON document."""
        self.secrets[arn] = json.dumps(secret)

    def get_secret_value(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        self.reads += 1
        if self.trouble:
            raise self.trouble
        return {"ARN": SecretId} | ({"SecretString": self.secrets[SecretId]} if SecretId in self.secrets else {})

    @property
    def client(self) -> "SecretsManagerClient":
        """Return this fake as what it stands in for."""
        return cast("SecretsManagerClient", self)
