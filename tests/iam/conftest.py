"""One deployed stack for the campaign, in which one alert alone goes out before others are deferred."""

import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest

from local import events, processes
from local.stack import STACK_NAME, STATE, VTEX_CREDENTIALS, LocalStack
from local.watch import Watch
from operations.deployment.credentials import CredentialsPlace
from tests.iam.statements import Piece
from tests.stack.shop import OWN_PLACE, app_key

PARAMETERS = {
    **events.PARAMETERS,
    "VtexAccounts": f"{events.ACCOUNT},{OWN_PLACE}",
    "AlertBurst": "1",
    "RetryBaseSeconds": "1",
}
_starts = itertools.count()


@dataclass
class Rig:
    """The stack, and what the scenarios do with it."""

    stack: LocalStack
    names: dict[str, str]
    """The physical names of the stack's resources, by their logical ids."""
    stamp: str
    """Of the credentials that are in a place of their own."""
    sound: set[tuple[str, Callable[..., None]]] = field(default_factory=set)
    """The roles and scenarios that pass with all rights: of others, nothing would be shown by a failure."""

    def begin(self, function: str) -> None:
        """Let nothing be in the ledger, and VTEX be well, and a function start anew."""
        self.stack.vtex("DELETE", "faults")
        dynamodb, table = self.stack.client("dynamodb"), self.stack.outputs["LedgerTableName"]
        for item in dynamodb.scan(TableName=table)["Items"]:
            dynamodb.delete_item(TableName=table, Key={"pk": item["pk"]})
        own = {"pk": f"account#{OWN_PLACE}", "list": "accounts", "list_at": OWN_PLACE, "credentials": self.stamp}
        item = {name: {"S": value} for name, value in own.items()} | {"version": {"N": "1"}}
        dynamodb.put_item(TableName=table, Item=item)
        self.begin_again(function)

    def begin_again(self, function: str) -> None:
        """Let a function start anew, without the secrets that it has read."""
        lambdas, name = self.stack.client("lambda"), self.names[function]
        variables = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        environment = {"Variables": variables | {"STARTED": str(next(_starts))}}
        lambdas.update_function_configuration(FunctionName=name, Environment=environment)

    def run(self, function: str, event: Any) -> tuple[Any, list[dict[str, Any]]]:
        """Invoke a function; return its answer, and the lines that it logged."""
        before = len(self.log(function))
        answer = self.stack.invoke(function, event)
        return answer, self.log(function)[before:]

    def log(self, function: str) -> list[dict[str, Any]]:
        """Return what a function has logged."""
        logs, group = self.stack.client("logs"), self.names[function.replace("Function", "Logs")]
        lines: list[dict[str, Any]] = []
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            lines += [json.loads(one["message"]) for one in page["events"] if one["message"].startswith("{")]
        return lines

    def items(self, prefix: str) -> list[dict[str, Any]]:
        """Return the ledger's items of a kind."""
        found = self.stack.client("dynamodb").scan(TableName=self.stack.outputs["LedgerTableName"])["Items"]
        return [item for item in found if item["pk"]["S"].startswith(prefix)]

    @contextmanager
    def without(self, piece: Piece) -> Iterator[None]:
        """Take a piece of a role's rights away for a while."""
        iam, role = self.stack.client("iam"), self.names[piece.role]
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        whole = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        document = json.loads(whole) if isinstance(whole, str) else whole
        less = deepcopy(document)
        piece.take_from(less["Statement"])
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(less))
        try:
            yield
        finally:
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    emulator_port, vtex_port = processes.free_ports(2)
    home = STATE / f"iam-{os.getpid()}"
    with LocalStack(emulator_port, vtex_port, home, PARAMETERS, hook_secret=events.HOOK_SECRET) as stack:
        stack.client("secretsmanager").put_secret_value(
            SecretId=stack.outputs["VtexCredentialsSecretArn"],
            SecretString=json.dumps({events.ACCOUNT: VTEX_CREDENTIALS, OWN_PLACE: VTEX_CREDENTIALS}),
        )
        Watch(stack)  # the alert topic has a subscription, and that of the operators none
        lambdas = stack.client("lambda")
        for source in lambdas.list_event_source_mappings()[
            "EventSourceMappings"
        ]:  # what is queued is not checked besides
            lambdas.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
        resources = stack.client("cloudformation").describe_stack_resources(StackName=STACK_NAME)["StackResources"]
        names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources}
        place = CredentialsPlace(stack.client("ssm"), f"/vtex-credentials/{STACK_NAME}/", names["OperationsKey"])
        yield Rig(stack, names, place.put(OWN_PLACE, app_key(OWN_PLACE), "a-token-of-its-own"))
