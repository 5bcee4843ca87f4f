"""Stand-ins for SQS and Secrets Manager, for the receiver's side: they keep what they were told and fail on demand."""

import json
from collections.abc import Callable
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
class FakeParameterStore:
    """SecureStrings by name, as text; it keeps which names were asked for together, and raises `trouble`, if any.

    Where one of the names is in `undecryptable`, all that were asked for with it are refused, as AWS does.
    """

    values: dict[str, str] = field(default_factory=dict)
    trouble: Trouble | None = None
    undecryptable: set[str] = field(default_factory=set)
    asked: list[list[str]] = field(default_factory=list)
    while_reading: Callable[[], None] = lambda: None

    def get_parameters(self, *, Names: list[str], WithDecryption: bool) -> dict[str, Any]:  # noqa: N803 - AWS's names
        assert WithDecryption
        assert 1 <= len(Names) <= 10
        self.asked.append(Names)
        self.while_reading()
        if self.trouble:
            raise self.trouble
        if self.undecryptable & set(Names):
            raise REFUSED
        found = [{"Name": name, "Value": self.values[name], "Version": 1} for name in Names if name in self.values]
        return {"Parameters": found, "InvalidParameters": [name for name in Names if name not in self.values]}


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
