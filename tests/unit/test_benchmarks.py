"""What `make bench` runs the functions with is what they ask for, and what Lambda would give them."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.functions import checker
from benchmarks.runtime import BUILD, PLAIN, Refused, environment_of_functions, unwritten, without_bytecode
from invoicekey.runtime import settings


@pytest.mark.parametrize(
    "function",
    [
        settings.ReceiverSettings,
        settings.CheckerSettings,
        settings.RecheckSettings,
        settings.DrainSettings,
        settings.GuardSettings,
        settings.DigestSettings,
    ],
)
def test_a_function_s_settings_are_there(function: Any) -> None:
    assert function.read(environment_of_functions(1, "http://127.0.0.1:2"))


def test_code_is_not_written_to_while_it_is_measured() -> None:
    assert environment_of_functions(1, "http://127.0.0.1:2")["PYTHONDONTWRITEBYTECODE"]


def test_what_was_measured_while_a_cache_was_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "handler.py").touch()

    with pytest.raises(Refused, match=r"handler\.cpython-313\.pyc"), unwritten(tmp_path):
        (tmp_path / "handler.cpython-313.pyc").touch()


def test_what_was_measured_while_nothing_was_written_counts(tmp_path: Path) -> None:
    (tmp_path / "handler.py").touch()

    with unwritten(tmp_path):
        (tmp_path / "handler.py").read_bytes()


def test_a_contender_without_bytecode_finds_none_of_what_was_built_with_it() -> None:
    contender = without_bytecode(checker(ALERT_BURST="7"))

    assert contender.folder == PLAIN / "CheckInvoiceFunction"
    assert not [place for place in contender.environment["PYTHONPATH"].split(":") if BUILD in Path(place).parents]
    assert contender.environment["ALERT_BURST"] == "7"
