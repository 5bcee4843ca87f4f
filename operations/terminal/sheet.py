"""Lists for spreadsheets as files; what stands in them: invoicekey.messages.sheet."""

from contextlib import suppress
from pathlib import Path

from invoicekey.messages.sheet import MARK
from operations.deployment.stack import Trouble


def see_that_it_can_be_written(path: Path) -> None:
    """Raise Trouble where the file can't be written, before anything is read; leave no file behind."""
    was_there = path.exists()
    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise _unwritable(path, error) from None
    if not was_there:
        with suppress(OSError):
            path.unlink()


def save(path: Path, text: str) -> None:
    """Write a file, raising Trouble."""
    try:
        path.write_text(MARK + text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> Trouble:
    return Trouble(f"{path} cannot be written: {error.strerror}. Name another file: --csv FILE")
