import pytest

from invoicekey.runtime import telemetry


@pytest.fixture(autouse=True)
def nothing_is_counted_yet() -> None:
    """Begin with no figures: a test that ran before in the same process may have counted, and written no line."""
    telemetry.figures._tallies.clear()
