"""What a cold start imports: a budget of modules for each function, and what is too heavy for those that must be quick.

INIT is billed, and VTEX waits for the receiver's. Modules are counted, of this project and of its layer: unlike seconds
they are the same on every machine. botocore is Lambda's own, and its number that of its version.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from typing import Any

import pytest

from tests.environments import CHECKER
from tests.unit.test_settings import DESK, DIGEST, DRAIN, GUARD, RECEIVER, RECHECK
from tests.unit.test_template import FUNCTIONS, ROOT, template

BUDGET = {
    "ReceiveHookFunction": 70,
    "CheckInvoiceFunction": 272,
    "RecheckFailuresFunction": 96,
    "DrainFeedFunction": 242,
    "GuardHookFunction": 261,
    "SendDigestFunction": 114,
    "DeskFunction": 118,
}
"""So many modules at the most. Who needs more raises the number, and says in the commit what it buys."""
SLACK = 10
"""So far may a function stay below its budget: what was saved is not to be spent again unseen."""
FOR_VTEX_ALONE = {"httpx", "httpcore", "anyio", "throttled", "pydantic", "asyncio"}
WHEN_NEEDED = {"jinja2", "defusedxml"}
"""Imported by whoever renders a page or an alert, or reads XML, and not at the start; so are the records' models."""
FORBIDDEN: Mapping[str, set[str]] = {
    "ReceiveHookFunction": FOR_VTEX_ALONE
    | WHEN_NEEDED
    | {"zoneinfo", "validate_docbr", "itsdangerous", "boto3.dynamodb"},
    "CheckInvoiceFunction": WHEN_NEEDED | {"invoicekey.messages.record"},
    "RecheckFailuresFunction": FOR_VTEX_ALONE | WHEN_NEEDED,
    "DrainFeedFunction": WHEN_NEEDED,
    "GuardHookFunction": WHEN_NEEDED,
    "SendDigestFunction": FOR_VTEX_ALONE | WHEN_NEEDED,
    "DeskFunction": FOR_VTEX_ALONE | WHEN_NEEDED,
}
ENVIRONMENT = {
    **DESK, **DIGEST, **DRAIN, **GUARD, **RECHECK, **RECEIVER, **CHECKER,
    "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
}  # fmt: skip
PROGRAM = """
import gc, importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps({"modules": sorted(sys.modules), "collects_garbage": gc.isenabled(), "frozen": gc.get_freeze_count()}))
"""


@cache
def after_start(function: str) -> dict[str, Any]:
    """Import a function's entry file in an interpreter of its own; return what is imported then, and how it goes on."""
    folder, handler = FUNCTIONS[function]
    places = [ROOT / folder, ROOT / "layers" / "invoicekey" / "python"]
    environment = {**ENVIRONMENT, "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, places))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, handler.removesuffix(".handler")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def modules_of(function: str) -> frozenset[str]:
    """Return the names of all that a start imports."""
    return frozenset(after_start(function)["modules"])


@cache
def in_the_layers() -> frozenset[str]:
    """Return the names of the packages that are deployed."""
    pinned = (ROOT / "layers" / "dependencies" / "requirements.txt").read_text(encoding="utf-8")
    distributions = set(re.findall(r"^([\w.-]+)==", pinned, re.MULTILINE))
    return frozenset(
        package
        for package, names in packages_distributions().items()
        if distributions & {name.lower().replace("_", "-") for name in names}
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_start_imports_no_more_modules_than_its_budget(function: str) -> None:
    ours = {"invoicekey", FUNCTIONS[function][1].removesuffix(".handler"), *in_the_layers()}

    imported = [name for name in modules_of(function) if name.partition(".")[0] in ours]

    assert BUDGET[function] - SLACK <= len(imported) <= BUDGET[function]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_start_imports_nothing_heavy_that_it_does_not_need(function: str) -> None:
    heavy = {name for name in modules_of(function) if name in FORBIDDEN[function]}

    assert heavy == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_start_imports_boto3_beside_botocore(function: str) -> None:
    assert "boto3" not in modules_of(function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_start_imports_the_parts_of_powertools_that_have_prices(function: str) -> None:
    dear = ("event_handler", "utilities.batch", "utilities.data_classes", "utilities.idempotency", "utilities.parser")

    assert [name for name in modules_of(function) if name.removeprefix("aws_lambda_powertools.").startswith(dear)] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_garbage_is_collected_once_a_start_is_over_and_what_it_made_is_left_alone(function: str) -> None:
    start = after_start(function)

    assert start["collects_garbage"]
    assert start["frozen"] > 0


def test_no_function_looks_for_plugins_of_pydantic() -> None:
    assert template()["Globals"]["Function"]["Environment"]["Variables"]["PYDANTIC_DISABLE_PLUGINS"] == "__all__"
