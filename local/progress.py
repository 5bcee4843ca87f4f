"""What is being done, and for how long: a line a step. On a terminal the seconds count while the step lasts."""

import io
import os
import shutil
import sys
import textwrap
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self, TextIO

_TICK = 0.1
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def columns() -> int:
    """Return how wide texts may be: as the terminal, up to 104 columns."""
    return min(104, shutil.get_terminal_size((104, 24)).columns)


def wrapped(text: str, width: int) -> list[str]:
    """Return a text's lines, those that are too long continued on the next; no word is cut."""
    lines = [textwrap.wrap(line, width, break_on_hyphens=False, break_long_words=False) for line in text.splitlines()]
    return [part for parts in lines for part in parts or [""]]


class Progress:
    """Call it with what begins; that ends what was done until then. As a context manager it ends the last step too."""

    def __init__(self, output: TextIO = sys.stdout) -> None:
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="replace")  # an old terminal may lack characters of the alerts
        self._output = output
        self.is_terminal = output.isatty() and os.environ.get("TERM") != "dumb"
        self._step = ""
        self._ended: threading.Event | None = None
        self._ticker: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.end()

    def __call__(self, step: str) -> None:
        """Begin a step."""
        self.end()
        if self.is_terminal:
            self._begin(_in_a_line(step), last="\n")
        else:
            self._write(f"{time.strftime('%H:%M:%S')}  {step}\n")

    def passing(self, step: str) -> None:
        """Begin a step that leaves no line behind, and shows on a terminal alone; or go on with it."""
        if self.is_terminal and step != self._step:
            self.end()
            self._begin(_in_a_line(step), last="\r\x1b[K")

    def end(self) -> None:
        """End the step that is being done, if there is one."""
        if self._ended and self._ticker:
            self._ended.set()
            self._ticker.join()
        self._ended = self._ticker = None
        self._step = ""

    def line(self, text: str = "") -> None:
        """Print something that is no step."""
        self.end()
        self._write(f"{text}\n")

    def styled(self, text: str, *styles: str) -> str:
        """Return the text in colour on a terminal, unless NO_COLOR forbids it, and as it is anywhere else."""
        if not self.is_terminal or os.environ.get("NO_COLOR"):
            return text
        codes = ";".join(_STYLES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def _begin(self, step: str, last: str) -> None:
        self._step, self._ended = step, threading.Event()
        self._ticker = threading.Thread(target=self._tick, args=(step, last, self._ended), daemon=True)
        self._ticker.start()

    def _tick(self, step: str, last: str, ended: threading.Event) -> None:
        began, is_over = time.monotonic(), False
        with suppress(OSError):  # a terminal that is gone is met by what is written next, where somebody handles it
            while not is_over:
                self._write(f"\r{time.monotonic() - began:5.1f} s  {step}")
                is_over = ended.wait(_TICK)
            self._write(f"\r{time.monotonic() - began:5.1f} s  {step}{last}")

    def _write(self, text: str) -> None:
        self._output.write(text)
        self._output.flush()


def _in_a_line(step: str) -> str:
    """Return as much of a step as fits beside its seconds: on two lines it could not be written over."""
    return textwrap.shorten(step, columns() - len("123.4 s  "), placeholder=" …")
