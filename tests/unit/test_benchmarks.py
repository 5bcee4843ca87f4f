"""What `make bench` runs the functions with is what they ask for."""

from typing import Any

import pytest

from benchmarks.runtime import environment_of_functions
from invoicekey import settings


@pytest.mark.parametrize(
    "function",
    [
        settings.ReceiverSettings,
        settings.CheckerSettings,
        settings.RecheckSettings,
        settings.DrainSettings,
        settings.DigestSettings,
    ],
)
def test_a_function_s_settings_are_there(function: Any) -> None:
    assert function.read(environment_of_functions(1, "http://127.0.0.1:2"))
