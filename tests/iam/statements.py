"""The pieces of the roles' rights: each action of each statement, and each resource where a statement has several."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from operations.deployment.template import template

Statements = list[dict[str, Any]]


@dataclass(frozen=True)
class Piece:
    """What is taken away: an action, or a resource, of a role's statement."""

    role: str
    number: int
    """Of the statement, in the role's one policy."""
    field: str
    """`Action` or `Resource`."""
    index: int
    name: str

    def take_from(self, statements: Statements) -> None:
        """Take it away of a policy's statements as they are deployed."""
        statement = statements[self.number]
        left = [one for index, one in enumerate(_listed(statement[self.field])) if index != self.index]
        if left:
            statement[self.field] = left
        else:
            del statements[self.number]


def pieces() -> Iterator[Piece]:
    """Yield each piece of each role of the template."""
    for role, resource in template()["Resources"].items():
        if resource["Type"] != "AWS::IAM::Role" or "Policies" not in resource["Properties"]:
            continue
        (policy,) = resource["Properties"]["Policies"]
        for number, written in enumerate(policy["PolicyDocument"]["Statement"]):
            yield from _of_statement(role, number, _deployed(written))


def _of_statement(role: str, number: int, statement: dict[str, Any]) -> Iterator[Piece]:
    actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
    target = _name_of(resources[0]) if len(resources) == 1 else "all"
    for index, action in enumerate(actions):
        yield Piece(role, number, "Action", index, f"{action} {target}")
    for index, resource in enumerate(resources if len(resources) > 1 else ()):
        yield Piece(role, number, "Resource", index, f"{', '.join(actions)} {_name_of(resource)}")


def _deployed(statement: dict[str, Any]) -> dict[str, Any]:
    condition: list[Any] = statement.get("Fn::If", [None, statement])
    chosen: dict[str, Any] = condition[1]
    return chosen


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _name_of(resource: Any) -> str:
    """Return the logical id that a resource is written with."""
    named = next(iter(resource.values())) if isinstance(resource, dict) else resource
    text = str(named[0] if isinstance(named, list) else named)
    return (
        text.rpartition("${")[2].replace("}", "").removesuffix(".Arn").removesuffix(".Id")
        if "${" in text
        else text.partition(".")[0]
    )
