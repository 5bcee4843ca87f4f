"""What `make mutants` does with a mutant: the tests of its module, until one fails.

poodle starts a Python for each of a thousand mutants, and a second goes by until it has loaded pytest. Here each is a
fork of one that has loaded it; only the mutant and the tests are read anew.
"""

import ast
import gc
import multiprocessing
import os
import sys
from pathlib import Path

# What takes long to load, and neither is the mutant nor loads it.
import _hypothesis_pytestplugin  # noqa: F401
import aws_lambda_powertools.metrics  # noqa: F401
import boto3  # noqa: F401
import defusedxml.ElementTree  # noqa: F401
import erpbrasil.base.fiscal.edoc  # noqa: F401
import httpx  # noqa: F401
import hypothesis.strategies  # noqa: F401
import itsdangerous  # noqa: F401
import jinja2  # noqa: F401
import jsonschema  # noqa: F401
import pydantic  # noqa: F401
import pytest
import throttled  # noqa: F401
import validate_docbr  # noqa: F401
from poodle.data_types import Mutant, MutantTrialResult
from poodle.mutators.constant import StringMutator

# For each module its tests, in the order in which they are run.
TESTS = {
    "access_key": ["tests/unit/test_access_key.py", "tests/property/test_access_key_rules.py"],
    "check": ["tests/unit/test_check.py", "tests/unit/test_episodes.py"],
    "order": ["tests/unit/test_order.py"],
    "reported": ["tests/unit/test_acts.py", "tests/unit/test_check.py", "tests/unit/test_episodes.py"],
    "verdict": ["tests/unit/test_verdict.py", "tests/property/test_verdict.py"],
}
OPTIONS = [
    *("-x", "--quiet", "--assert=plain", "--hypothesis-profile=mutants", "--override-ini=pythonpath=."),
    *("-p_hypothesis_pytestplugin", "-pno:cacheprovider", "-pno:unraisableexception"),
    "-knot in_time and not TestTheRecord",  # long ones, of other modules or of speed
]


class Strings(StringMutator):  # type: ignore[misc]  # poodle has no types
    """poodle's other texts, but none in an annotation, where it plants nothing else either: no run reads those."""

    def visit_Constant(self, node: ast.Constant) -> None:  # noqa: N802 - ast's own name
        """Plant another text."""
        if not self.is_annotation(node):
            super().visit_Constant(node)


gc.freeze()  # what is shared stays so in each fork


def run(*, run_folder: Path, mutant: Mutant, timeout: float | None, **_: object) -> MutantTrialResult:
    """Run the tests of the mutated module, or of all where there is no mutant, with the package in `run_folder`."""
    modules = [mutant.source_file.stem] if mutant.source_file else [*TESTS]
    tests = [path for module in modules for path in TESTS[module]]
    child = multiprocessing.get_context("fork").Process(target=_test, args=(run_folder / mutant.source_folder, tests))
    child.start()
    child.join(timeout)
    if child.exitcode is None:
        child.kill()
        child.join()
        return MutantTrialResult(found=False, reason_code=MutantTrialResult.RC_TIMEOUT)
    code = MutantTrialResult.RC_FOUND if child.exitcode else MutantTrialResult.RC_NOT_FOUND
    return MutantTrialResult(found=child.exitcode != 0, reason_code=code, reason_desc=f"pytest's exit {child.exitcode}")


def _test(package: Path, tests: list[str]) -> None:
    sys.path.insert(0, str(package.resolve()))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    os._exit(next((code for path in tests if (code := pytest.main([*OPTIONS, path]))), 0))
