"""The version stands in one place, template.yaml; whatever shows it shows that one, and CHANGELOG.md knows it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import OrderNotFound
from operations.deployment.template import ROOT, template, variables, version
from tests.desk import at_a_desk
from tests.fakes_visits import a_vtex

REF = OrderRef("luxstore", "VVJ-1-01")
NUMBER = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")
FROM_THE_MAP = {"Fn::FindInMap": ["Release", "This", "Version"]}
FUNCTIONS = sorted(
    name for name, resource in template()["Resources"].items() if resource["Type"] == "AWS::Serverless::Function"
)


def told_by(code: str, environment: Mapping[str, str]) -> Any:
    """Return what a Python of its own prints, which starts as a function does: with this environment."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "layers/invoicekey/python")])
    given = {"PYTHONPATH": path, "POWERTOOLS_SERVICE_NAME": "invoicekey", **environment}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_it_is_a_version_number() -> None:
    assert NUMBER.fullmatch(version())


def test_the_stack_s_output_is_it() -> None:
    assert template()["Outputs"]["Version"]["Value"] == FROM_THE_MAP


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_is_told_it(function: str) -> None:
    assert variables(function)["INVOICEKEY_VERSION"] == FROM_THE_MAP


def test_the_changelog_begins_with_it() -> None:
    released = re.findall(r"^## \[([0-9.]+)\] - \d{4}-\d{2}-\d{2}$", text_of("CHANGELOG.md"), re.MULTILINE)
    assert released[0] == version()
    assert released == sorted(released, key=lambda number: [int(part) for part in number.split(".")], reverse=True)


def test_no_other_file_of_the_product_holds_it() -> None:
    rooms = ("layers/invoicekey", "functions", "operations", "local")
    files = [ROOT / "pyproject.toml", *(file for room in rooms for file in (ROOT / room).rglob("*.py"))]
    written = re.compile(rf"\b{re.escape(version())}\b")
    assert [file for file in files if written.search(file.read_text(encoding="utf-8"))] == []
    assert len(written.findall(text_of("template.yaml"))) == 1


def text_of(file: str) -> str:
    return Path(ROOT / file).read_text(encoding="utf-8")


def test_the_command_tells_it() -> None:
    with at_a_desk() as desk:
        said = desk.run("--version")
        elsewhere = desk.run("--stack of-another-name --version")
    assert (said.code, said.out) == (elsewhere.code, elsewhere.out) == (0, f"invoicekey {version()}\n")


LOG = "from invoicekey.runtime import telemetry; telemetry.logger.info('an order was checked')"
FIGURES = "from invoicekey.runtime import telemetry; telemetry.count({name!r}); telemetry.figures.flush()"


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(LOG, id="a line of the log"),
        pytest.param(FIGURES.format(name="check_ok"), id="the line of figures"),
        pytest.param(FIGURES.format(name="credentials_refused"), id="the line of figures with a metric in it"),
    ],
)
def test_each_line_of_a_function_s_log_has_it(code: str) -> None:
    assert told_by(code, {"INVOICEKEY_VERSION": "3.2.1"})["version"] == "3.2.1"
    assert told_by(code, {})["version"] == "unknown"


def test_it_is_no_dimension_of_a_metric() -> None:
    """With one more dimension, the alarms and everybody's dashboards would look at a metric that ended."""
    line = told_by(FIGURES.format(name="credentials_refused"), {"INVOICEKEY_VERSION": "3.2.1"})
    assert [directive["Dimensions"] for directive in line["_aws"]["CloudWatchMetrics"]] == [[["service"]]]


class NoOrder(httpx.MockTransport):
    """VTEX without an order, that keeps who asked."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.asked_by: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked_by.append(request.headers["user-agent"])
        return httpx.Response(404)


@pytest.mark.parametrize(("given", "name"), [({}, "invoicekey/unknown"), ({"version": "3.2.1"}, "invoicekey/3.2.1")])
def test_vtex_is_asked_under_it(given: dict[str, Any], name: str) -> None:
    vtex = NoOrder()
    with pytest.raises(OrderNotFound):
        a_vtex("http://localhost", transport=vtex, **given).read_order(REF, time_left=10.0)
    assert vtex.asked_by == [name]


def test_a_function_asks_vtex_under_what_it_was_told() -> None:
    code = "import inspect, json; from invoicekey.vtex.client import Vtex\n"
    code += "print(json.dumps(inspect.signature(Vtex).parameters['version'].default))"
    assert told_by(code, {"INVOICEKEY_VERSION": "3.2.1"}) == "3.2.1"


def test_the_command_asks_vtex_under_its_own() -> None:
    vtex = NoOrder()
    with at_a_desk() as desk, pytest.raises(OrderNotFound):
        desk.shop.vtex(transport=vtex).read_order(REF, time_left=10.0)
    assert vtex.asked_by == [f"invoicekey/{version()}"]
