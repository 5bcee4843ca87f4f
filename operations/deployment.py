"""A deployed stack, as its operators see it: outputs, secrets, topics; with the AWS CLI's profiles and regions."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

DEFAULT_STACK = "invoicekey"


class Trouble(Exception):
    """Something that the operator has to mend first; the message says what and how, in one line."""


class Deployment:
    """One stack, in the AWS account that the environment names and in the region given, else in the environment's."""

    def __init__(self, stack: str, region: str | None = None) -> None:
        self.stack = stack
        # The AWS CLI knows AWS_REGION; boto3 knows AWS_DEFAULT_REGION and the profile's region alone.
        region = region or os.environ.get("AWS_REGION") or None
        with _explained("AWS cannot be called"):
            self._session: Any = boto3.session.Session(region_name=region)

    @property
    def region(self) -> str | None:
        """Return the region; None where nothing names one."""
        region: str | None = self._session.region_name
        return region

    def client(self, service: str) -> Any:
        """Make a client of an AWS service."""
        with _explained("AWS cannot be called"):
            return self._session.client(service)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs."""
        with _explained(f"The stack {self.stack} cannot be described", {"ValidationError": self._where_else()}):
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
        with _explained(f"The secret {arn} cannot be read"):
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
        with _explained(f"The secret {arn} cannot be written, and is as it was"):
            self.client("secretsmanager").put_secret_value(SecretId=arn, SecretString=json.dumps(secret))

    def subscriptions(self, output: str) -> list[tuple[str, str, bool]]:
        """List protocol, endpoint and whether it is confirmed, of a topic's subscriptions."""
        topic = self.output(output)
        with _explained(f"The subscriptions of {topic} cannot be listed"):
            pages = list(self.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic))
        return [
            (entry["Protocol"], entry["Endpoint"], entry["SubscriptionArn"].startswith("arn:"))
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
def _explained(what: str, reasons: dict[str, str] | None = None) -> Iterator[None]:
    """Turn what AWS refuses, and what hinders calling it, into Trouble."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        reason = (reasons or {}).get(code) or f"AWS answered {code} to {error.operation_name}"
        raise Trouble(f"{what}: {reason}.") from None
    except BotoCoreError as error:
        raise Trouble(
            f"{what}: {str(error).rstrip('.')}. Set AWS_PROFILE and AWS_REGION, or run aws configure or aws sso login."
        ) from None
