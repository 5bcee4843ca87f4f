"""How a program ends: an exit code of the table, and one line."""

import errno
import shutil
from collections.abc import Callable

import pytest

from local.watch import TooLate
from operations.deployment.trouble import Trouble
from operations.terminal import streams

FULL = "No space left on device"


def raising(error: BaseException) -> Callable[[], int]:
    def program() -> int:
        raise error

    return program


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Trouble("No AWS region is set."), 1, "No AWS region is set.\n"),
        (TooLate("the reminder: not within 45 s"), 1, "the reminder: not within 45 s\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
        (OSError(errno.ENOSPC, FULL), 1, f"A file of ours cannot be read or written: {FULL}.\n"),
        (OSError(errno.ENOSPC, FULL, "open.csv"), 1, f"open.csv cannot be read or written: {FULL}.\n"),
        (shutil.Error([("a", "b", FULL), ("c", "d", FULL)]), 1, f"A file of ours cannot be read or written: {FULL}.\n"),
    ],
)
def test_whatever_ends_a_program_is_a_code_and_a_line(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert streams.run(raising(error), interrupted="stopped", writes="A file of ours") == code
    assert capsys.readouterr() == ("", said)


def test_a_program_that_is_done_ends_in_its_own_code() -> None:
    assert streams.run(lambda: 3, interrupted="") == 3


def test_a_fault_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        streams.run(raising(ZeroDivisionError()), interrupted="")
