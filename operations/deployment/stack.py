"""A deployed stack, as its operators see it: outputs, secrets, topics; with the AWS CLI's profiles and regions."""

import json
import os
import shlex
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from operations.deployment.trouble import DEFAULT_STACK as DEFAULT_STACK  # noqa: PLC0414 - for those who need both
from operations.deployment.trouble import NotUnderstood as NotUnderstood  # noqa: PLC0414 - for those who need both
from operations.deployment.trouble import Trouble as Trouble  # noqa: PLC0414 - for those who need both

_SET_UP = (
    "Name a profile and a region (--profile, --region; with make: AWS_PROFILE, AWS_REGION), or run aws configure or "
    "aws sso login"
)
_REFUSED_KEYS = (
    "ExpiredToken", "IncompleteSignature", "InvalidClientTokenId", "InvalidSignature", "MissingAuthenticationToken",
    "RequestExpired", "SignatureDoesNotMatch", "UnrecognizedClient",
)  # fmt: skip
_REFUSED_RIGHTS = ("Denied", "Authoriz", "UnauthorizedOperation")
_NO_WAY_THERE = (
    "ConnectTimeoutError", "ConnectionClosedError", "EndpointConnectionError", "HTTPClientError",
    "ProxyConnectionError", "ReadTimeoutError", "SSLError",
)  # fmt: skip
"""botocore's names; httpx, which asks VTEX, has others."""


class Hearing(StrEnum):
    """Whether a subscription gets what is told."""

    CONFIRMED = "confirmed"
    PENDING = "pending"
    """Nobody has confirmed it: it gets nothing, and SNS drops it after two days."""
    DELETED = "deleted"
    """Somebody has unsubscribed; SNS lists it for a while yet."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is subscribed to a topic, and whether that is heard."""

    protocol: str
    endpoint: str
    hearing: Hearing


class Deployment:
    """One stack, in the AWS account and the region that are given, else in those of the environment."""

    def __init__(self, stack: str, region: str | None = None, profile: str | None = None) -> None:
        if not stack:
            raise NotUnderstood(
                f"A stack has a name: --stack NAME (with make: STACK=NAME), or nothing for {DEFAULT_STACK}."
            )
        self.stack = stack
        self._given = (profile, region)
        # The AWS CLI knows AWS_REGION; boto3 knows AWS_DEFAULT_REGION and the profile's region alone.
        region = region or os.environ.get("AWS_REGION") or None
        with explained():
            # A profile that is given wins over AWS_ACCESS_KEY_ID, as with the AWS CLI; AWS_PROFILE does not.
            self._session: Any = boto3.session.Session(region_name=region, profile_name=profile)
        self._clients: dict[str, Any] = {}
        self._one_makes = (
            threading.Lock()
        )  # to make a client is the one thing that boto3's sessions don't do in threads

    @property
    def region(self) -> str | None:
        """Return the region; None where nothing names one."""
        region: str | None = self._session.region_name
        return region

    @property
    def is_local(self) -> bool:
        """Say whether it stands in an emulator on this machine."""
        return bool(os.environ.get("AWS_ENDPOINT_URL"))

    # ---- What leads here, for the commands that people are told to type

    @property
    def aws_options(self) -> str:
        """Return the options that were given, for the AWS CLI: ` --profile shop --region sa-east-1`, or nothing."""
        profile, region = self._given
        return _written(" --{} {}", profile=profile, region=region)

    @property
    def options(self) -> str:
        """Return the same for a command of ours, with the stack."""
        return _written(" --{} {}", stack=self._other_stack) + self.aws_options

    @property
    def variables(self) -> str:
        """Return the same for make: ` STACK=invoicekey-dev AWS_PROFILE=shop`, or nothing."""
        profile, region = self._given
        variables = _written(" {}={}", STACK=self._other_stack, AWS_PROFILE=profile, AWS_REGION=region)
        # With a key in the environment, AWS_PROFILE would change nothing.
        return f"{variables} AWS_ACCESS_KEY_ID=" if profile and os.environ.get("AWS_ACCESS_KEY_ID") else variables

    @property
    def _other_stack(self) -> str | None:
        return None if self.stack == DEFAULT_STACK else self.stack

    # ---- What it consists of

    def client(self, service: str, patience: Config | None = None) -> Any:
        """Return the client of an AWS service, the same for every thread; with another patience one of its own."""
        with explained(), self._one_makes:
            if patience:
                return self._session.client(service, config=patience)
            if service not in self._clients:
                self._clients[service] = self._session.client(service)
            return self._clients[service]

    @cached_property
    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs."""
        with explained(f"The stack {self.stack} cannot be described", {"ValidationError": self._where_else()}):
            (stack,) = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def output(self, name: str) -> str:
        """Return one of the stack's outputs; a stack that never came to be has none."""
        if name not in self.outputs:
            raise Trouble(
                f"The stack {self.stack} in {self.region} has no output {name}: either its deployment failed "
                "(CloudFormation's events say why; mend that and run make deploy), or it is another system's stack."
            )
        return self.outputs[name]

    def read_secret(self, output: str) -> dict[str, Any]:
        """Return a secret's JSON object."""
        arn = self.output(output)
        with explained(f"The secret {arn} cannot be read"):
            text = self.client("secretsmanager").get_secret_value(SecretId=arn).get("SecretString", "")
        try:
            secret = json.loads(text)
        except ValueError:
            secret = None
        if not isinstance(secret, dict):
            raise Trouble(f"The secret {arn} does not hold a JSON object; mend it in Secrets Manager.")
        return secret

    def write_secret(self, output: str, secret: dict[str, Any]) -> None:
        """Write a secret's JSON object."""
        arn = self.output(output)
        with explained(f"The secret {arn} cannot be written, and is as it was"):
            self.client("secretsmanager").put_secret_value(SecretId=arn, SecretString=json.dumps(secret))

    def subscriptions(self, output: str) -> list["Subscription"]:
        """List a topic's subscriptions, those that have just ended too."""
        topic = self.output(output)
        with explained(f"The subscriptions of {topic} cannot be listed"):
            pages = list(self.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic))
        return [
            Subscription(entry["Protocol"], entry["Endpoint"], _hearing(entry["SubscriptionArn"]))
            for page in pages
            for entry in page["Subscriptions"]
        ]

    def _where_else(self) -> str:
        return (
            f"there is none of that name in {self.region} of this account. --stack, --region and --profile lead "
            "elsewhere (with make: STACK, AWS_REGION, AWS_PROFILE); make deploy makes one"
        )


def from_environment() -> Deployment:
    """Return the deployment that the environment names (STACK, and the AWS CLI's variables)."""
    return Deployment(os.environ.get("STACK") or DEFAULT_STACK)


@contextmanager
def explained(what: str | None = None, reasons: Mapping[str, str] | None = None) -> Iterator[None]:
    """Turn what AWS refuses, and what hinders calling it, into Trouble: what could not be done, why, and what to do.

    `reasons` are those that a code of AWS' has just here.
    """
    said = f"{what}: " if what else ""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        answer = f"AWS answered {code} to {error.operation_name}"
        how = remedy(code)
        why = (reasons or {}).get(code) or (f"{answer}: {how}" if how else answer)
        raise Trouble(f"{said}{why}.") from None
    except ResponseParserError:
        there = os.environ.get("AWS_ENDPOINT_URL", "AWS's address")
        raise Trouble(f"{said}what answers at {there} is not AWS, nor an emulator of it (AWS_ENDPOINT_URL).") from None
    except BotoCoreError as error:
        why = " ".join(str(error).split()).rstrip(".")
        if how := remedy(type(error).__name__):
            raise Trouble(f"{said}{why}: {how}.") from None
        raise Trouble(f"AWS cannot be called: {why}. {_SET_UP}.") from None


def remedy(said: str) -> str | None:
    """Say what to do about what AWS answered, or about what was met on the way to it, by the error's name in a text."""
    if any(name in said for name in _REFUSED_KEYS):
        return "log in again (aws sso login, aws configure), or name another profile (--profile, AWS_PROFILE)"
    if any(name in said for name in _REFUSED_RIGHTS):
        return "your AWS identity may not do that; --profile names another"
    if any(name in said for name in _NO_WAY_THERE):
        emulator = os.environ.get("AWS_ENDPOINT_URL")
        there = f"the emulator runs at {emulator} (AWS_ENDPOINT_URL)" if emulator else "the region is right"
        return f"see whether the network is there, and {there}"
    return None


def time_of(answer: Mapping[str, Any]) -> datetime | None:
    """Return when AWS gave an answer, to the second and by its own clock; None where it does not say."""
    return time_in(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date"))


def time_in(date_header: str | None) -> datetime | None:
    """Return the time in an answer's header Date."""
    try:
        time = parsedate_to_datetime(date_header or "")
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _hearing(subscription_arn: str) -> Hearing:
    """Read what SNS writes in an ARN's place (ListSubscriptionsByTopic): PendingConfirmation, Deleted."""
    if subscription_arn.startswith("arn:"):
        return Hearing.CONFIRMED
    return Hearing.DELETED if subscription_arn == "Deleted" else Hearing.PENDING


def _written(form: str, **given: str | None) -> str:
    """Write what was given as words for a shell."""
    return "".join(form.format(name, shlex.quote(value)) for name, value in given.items() if value)
