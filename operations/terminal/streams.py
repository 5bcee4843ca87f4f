"""How a program ends: in an exit code of docs/operating.md#exit-codes and one line, and never in a traceback.

It imports nothing that is slow, and nothing of the product: what runs the stack on this machine ends so too.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from operations.deployment.trouble import Trouble

IN_THE_WAY, INTERRUPTED = 1, 130


def run(program: Callable[[], int], *, interrupted: str) -> int:
    """Run a program and return its exit code; what is in the way is told in one line, as is an interruption."""
    try:
        code = program()
        sys.stdout.flush()
    except Trouble as trouble:
        return _tell(str(trouble), IN_THE_WAY)
    except KeyboardInterrupt:
        return _tell(interrupted, INTERRUPTED)
    except OSError as error:
        return _tell(refused(error), IN_THE_WAY)
    return code


def refused(error: OSError) -> str:
    """Say what the system refused, as of a full disk; nothing where the reader has left, as `head` does.

    What could not be written to the output is not tried again when the program ends.
    """
    _give_up(1)
    if isinstance(error, BrokenPipeError):
        return ""
    return f"{error.filename or 'The output'} cannot be read or written: {_reason(error)}."


def _reason(error: OSError) -> str:
    """Return the system's words; of a folder that was to be copied, those about its first file."""
    if error.strerror:
        return error.strerror
    first = error.args[0] if error.args else error
    return str(first[0][-1] if isinstance(first, list) and first else first)


def _tell(what: str, code: int) -> int:
    try:
        if what:
            print(what, file=sys.stderr, flush=True)
    except OSError:
        _give_up(2)
    with suppress(OSError):
        sys.stdout.flush()
        return code
    _give_up(1)
    return code


def _give_up(descriptor: int) -> None:
    """Let what is written from now on go nowhere, where what was written cannot be got rid of."""
    stream = sys.stdout if descriptor == 1 else sys.stderr
    try:
        stream.flush()
    except OSError:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted
            os.dup2(nowhere.fileno(), descriptor)
