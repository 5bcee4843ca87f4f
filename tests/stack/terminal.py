"""A person at a terminal: runs a command, answers what it asks, and reads the screen."""

import errno
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local import processes

# The terminal becomes the program's own, as it is in a shell: getpass turns there for what nobody may see.
_TAKE_THE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_QUESTION = re.compile(r"^\s*(?:Parameter )?([^\r\n]+?) [\[(][^\r\n]*[\])]: $", re.MULTILINE)
"""As sam and we ask: `Stack Name [invoicekey-dev]: `, `appKey (not shown): `."""


@dataclass(frozen=True)
class Screen:
    """What could be read when the command had ended, what it had asked, and its exit code."""

    text: str
    asked: list[str]
    code: int


def at_a_terminal(
    command: Sequence[str],
    answers: Mapping[str, str],
    *,
    home: Path,
    environment: Mapping[str, str],
    seconds: float = 180,
) -> Screen:
    """Run a command, and answer each question by its name; with Enter where there is no answer of ours."""
    ours, its = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", _TAKE_THE_TERMINAL, *command],
        cwd=home, env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True,
    )  # fmt: skip
    os.close(its)
    try:
        text, asked = _converse(ours, answers, time.monotonic() + seconds)
        return Screen(text, asked, child.wait(seconds))
    finally:
        processes.stop([child.pid])
        os.close(ours)


def _converse(terminal: int, answers: Mapping[str, str], end: float) -> tuple[str, list[str]]:
    text, asked, read = "", list[str](), 0
    while part := _read(terminal, end, text):
        text = _STYLE.sub("", text + part)
        if question := _QUESTION.search(text, read):
            asked.append(question[1])
            read = len(text)
            os.write(terminal, answers.get(question[1], "").encode() + b"\n")
    return text, asked


def _read(terminal: int, end: float, text: str) -> str:
    """Return what is written next; nothing at the end."""
    readable, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
    assert readable, f"the command did not end; the screen shows:\n{text[-2000:]}"
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError as error:
        if error.errno == errno.EIO:  # Linux's way to say that nobody is at the other side any more
            return ""
        raise
