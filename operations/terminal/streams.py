"""How a program ends: in an exit code of docs/operating.md#exit-codes and one line, and never in a traceback.

It imports nothing that is slow, and nothing of the product: what runs the stack on this machine ends so too.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from operations.deployment.trouble import Trouble

IN_THE_WAY, INTERRUPTED = 1, 130


_OUTPUT = "The output"


def run(program: Callable[[], int], *, interrupted: str, writes: str = _OUTPUT) -> int:
    """Run a program and return its exit code; what is in the way is told in one line, as is an interruption.

    `writes` is what it writes to: the system does not always say what it refused to write.
    """
    try:
        code = program()
        sys.stdout.flush()
    except Trouble as trouble:
        return _tell(str(trouble), IN_THE_WAY)
    except KeyboardInterrupt:
        return _tell(interrupted, INTERRUPTED)
    except OSError as error:
        return _tell(refused(error, writes), IN_THE_WAY)
    return code


def refused(error: OSError, writes: str = _OUTPUT) -> str:
    """Say what the system refused, as of a full disk; nothing where the reader has left, as `head` does.

    What could not be written to the output is not tried again when the program ends.
    """
    _give_up_what_cannot_be_written(1)
    if isinstance(error, BrokenPipeError):
        return ""
    return f"{error.filename or writes} cannot be read or written: {_reason(error)}."


def _reason(error: OSError) -> str:
    """Return the system's words; of a folder that was to be copied, those about its first file."""
    if error.strerror:
        return error.strerror
    first = error.args[0] if error.args else error
    return str(first[0][-1] if isinstance(first, list) and first else first)


def _tell(what: str, code: int) -> int:
    with suppress(OSError):
        print(what, end="\n" if what else "", file=sys.stderr)
    for descriptor in (1, 2):
        _give_up_what_cannot_be_written(descriptor)
    return code


def _give_up_what_cannot_be_written(descriptor: int) -> None:
    """Let it go nowhere, and what is said from now on as well."""
    try:
        (sys.stdout if descriptor == 1 else sys.stderr).flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
