"""A deployed stack, as its operators see it: outputs, secrets, topics; with the AWS CLI's profiles and regions."""

import json
import os
from functools import cached_property
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

DEFAULT_STACK = "invoicekey"


class Trouble(Exception):
    """Something that the operator has to mend first; the message says what and how, in one line."""


class Deployment:
    """One stack in the AWS account and region that the environment names."""

    def __init__(self, stack: str) -> None:
        self.stack = stack
        self._session: Any = boto3.session.Session()

    def client(self, service: str) -> Any:
        """Make a client of an AWS service."""
        try:
            return self._session.client(service)
        except BotoCoreError as error:
            raise Trouble(
                f"AWS cannot be called: {error} Set AWS_PROFILE and AWS_REGION, or run aws configure."
            ) from None

    @cached_property
    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs."""
        try:
            (stack,) = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                raise Trouble(f"There is no stack {self.stack} in this account and region. Run make deploy.") from None
            raise Trouble(f"AWS refused to describe the stack: {error.response['Error']['Code']}.") from None
        except BotoCoreError as error:
            raise Trouble(f"AWS cannot be reached: {error}") from None
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def read_secret(self, output: str) -> dict[str, Any]:
        """Return a secret's JSON object."""
        try:
            answer = self.client("secretsmanager").get_secret_value(SecretId=self.outputs[output])
        except ClientError as error:
            raise Trouble(f"The secret cannot be read: {error.response['Error']['Code']}.") from None
        secret = json.loads(answer["SecretString"])
        if not isinstance(secret, dict):
            raise Trouble(f"The secret {self.outputs[output]} does not hold a JSON object; mend it in Secrets Manager.")
        return secret

    def write_secret(self, output: str, secret: dict[str, Any]) -> None:
        """Write a secret's JSON object."""
        try:
            self.client("secretsmanager").put_secret_value(
                SecretId=self.outputs[output], SecretString=json.dumps(secret)
            )
        except ClientError as error:
            raise Trouble(f"The secret cannot be written: {error.response['Error']['Code']}.") from None

    def subscriptions(self, output: str) -> list[tuple[str, str, bool]]:
        """List protocol, endpoint and whether it is confirmed, of a topic's subscriptions."""
        pages = self.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=self.outputs[output])
        return [
            (entry["Protocol"], entry["Endpoint"], entry["SubscriptionArn"].startswith("arn:"))
            for page in pages
            for entry in page["Subscriptions"]
        ]


def from_environment() -> Deployment:
    """Return the deployment that the environment names (STACK, and the AWS CLI's variables)."""
    return Deployment(os.environ.get("STACK") or DEFAULT_STACK)
