"""What `make deploy` was answered, looked at before anything is made: what would be refused is told in a line each.

CloudFormation checks the template's patterns and bounds, and says little; a function checks its environment, and says
it when it starts. Here both are asked beforehand. Of what sam itself asks for, the stack's name and the region, the
name's length alone is looked at.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from invoicekey.runtime.settings import (
    CheckerSettings,
    DeskSettings,
    DigestSettings,
    DrainSettings,
    GuardSettings,
    ReceiverSettings,
    RecheckSettings,
    SettingsError,
)
from operations.deployment.template import parameters, template, variables

LONGEST_STACK_NAME = 122
"""The HTTP API's name may have 128 characters, and is the stack's with six more."""
LONGEST_SHOWN = 60
LONGEST_ENVIRONMENT = 4096
"""Lambda's limit, for the JSON of a function's variables: that is the string which its refusal shows as measured."""
MADE_BY_AWS = 150
"""So long, with the stack's name, may be what AWS makes: an ARN, a queue's address, the dashboard's."""
_SHORTER: Mapping[str, str] = {
    "VtexAccounts": "left empty, it takes every account, and those are served that have credentials",
    "CnovaAffiliateIds": "an id that all accounts share is named once, without its account",
    "SellerTaxIds": "CNPJs need no dots, slashes and dashes",
}


class Settings(Protocol):
    """What a function needs of its environment."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> object:
        """Read it, or raise SettingsError."""


READ_BY: Mapping[str, type[Settings]] = {
    "ReceiveHookFunction": ReceiverSettings,
    "CheckInvoiceFunction": CheckerSettings,
    "RecheckFailuresFunction": RecheckSettings,
    "DrainFeedFunction": DrainSettings,
    "GuardHookFunction": GuardSettings,
    "SendDigestFunction": DigestSettings,
    "DeskFunction": DeskSettings,
}


def faults(stack: str, answers: Mapping[str, str]) -> list[str]:
    """Say, a line each, what would keep a stack of this name from being made with these answers, or from running."""
    found = [*_of_name(stack), *(fault for name, value in answers.items() for fault in _of_answer(name, value))]
    if found:
        return found
    environments = {function: _environment(function, stack, answers) for function in READ_BY}
    of_starts = [fault for function, given in environments.items() for fault in _of_start(function, given)]
    of_sizes = [fault for function, given in environments.items() for fault in _of_size(function, given)]
    return [*dict.fromkeys(of_starts), *of_sizes]


def _of_name(stack: str) -> Iterator[str]:
    if len(stack) > LONGEST_STACK_NAME:
        yield f"stack_name: expected {LONGEST_STACK_NAME} characters at most, got {len(stack)}"


def fault(name: str, value: str) -> str | None:
    """Say what is wrong with one answer; None where nothing is."""
    return next(_of_answer(name, value), None)


def _of_answer(name: str, value: str) -> Iterator[str]:
    """Hold an answer to what the template says of the parameter, as CloudFormation does; and a number to be whole."""
    if name not in parameters():
        yield f"{name}: template.yaml has no such parameter, and sam passes over it without a word"
        return
    parameter = parameters()[name]
    expected = _expectation(parameter)
    if not _fits(parameter, value):
        shown = value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}… ({len(value)} characters)"
        yield f"{name}: expected {expected}, got {shown!r}"


def _expectation(parameter: Mapping[str, Any]) -> str:
    if "AllowedValues" in parameter:
        return f"one of {', '.join(parameter['AllowedValues'])}"
    if parameter["Type"] == "Number":
        return f"a whole number from {parameter['MinValue']} to {parameter['MaxValue']}"
    return str(parameter["ConstraintDescription"])


def _fits(parameter: Mapping[str, Any], value: str) -> bool:
    if "AllowedValues" in parameter:
        return value in parameter["AllowedValues"]
    if parameter["Type"] == "Number":  # CloudFormation takes 1.5 and 1e3 too; the functions and CloudWatch do not
        return bool(re.fullmatch("[0-9]{1,9}", value)) and parameter["MinValue"] <= int(value) <= parameter["MaxValue"]
    is_short = len(value) <= parameter.get("MaxLength", len(value))
    return is_short and bool(re.fullmatch(parameter["AllowedPattern"], value))


def _of_start(function: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Start a function's settings with what it would be given, and say what it refuses."""
    try:
        READ_BY[function].read(environment)
    except SettingsError as refused:
        variable, _, why = str(refused).partition(": ")
        yield f"{_parameter_of(variables(function)[variable]) or variable}: {why}"


def _of_size(function: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Measure a function's environment as Lambda does."""
    size = len(json.dumps(environment, separators=(",", ":")))
    if size <= LONGEST_ENVIRONMENT:
        return
    given = {_parameter_of(value): len(environment[name]) for name, value in variables(function).items()}
    longest = max((name for name in given if name), key=lambda name: given[name])
    yield (
        f"{longest}: {given[longest]} characters are too many. The environment of {function} would have {size:,} "
        f"bytes, and Lambda takes {LONGEST_ENVIRONMENT:,}. Shorten it: {_SHORTER.get(longest, 'it is the longest')}"
    )


def _environment(function: str, stack: str, answers: Mapping[str, str]) -> dict[str, str]:
    return {name: _given(value, stack, answers) for name, value in variables(function).items()}


def _given(value: Any, stack: str, answers: Mapping[str, str]) -> str:
    """Return what a variable will hold; where AWS has yet to make that, something as long as it may be."""
    match value:
        case {"Ref": "AWS::StackName"}:
            return stack
        case {"Fn::FindInMap": [mapping, key, name]}:
            return str(template()["Mappings"][mapping][key][name])
        case {"Fn::If": [_, value, _]}:  # one of the emulator's: no longer than what is put in its place
            return _given(value, stack, answers)
        case dict():
            parameter = _parameter_of(value)
            if parameter is None:
                return "x" * (MADE_BY_AWS + len(stack))
            return answers.get(parameter, str(parameters()[parameter]["Default"]))
        case _:
            return str(value)


def _parameter_of(value: Any) -> str | None:
    match value:
        case {"Ref": str(name)} if name in parameters():
            return name
        case _:
            return None
