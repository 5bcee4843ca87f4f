"""A file that one process holds at a time. It is free as soon as that process has ended, however it did."""

import fcntl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from os import getpid
from pathlib import Path
from typing import IO

_PAUSE = 0.1


@dataclass
class Lock:
    """The lock, whose file notes who holds it: a process id, and since when."""

    path: Path
    _held: IO[bytes] | None = field(default=None, init=False)

    @property
    def is_held(self) -> bool:
        """Say whether it is held by this one."""
        return self._held is not None

    def take(self) -> bool:
        """Take it, where nobody else holds it; say whether it is held by this one now."""
        if self._held:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("ab", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._held = file
        with suppress(OSError):  # on a full disk it is held all the same
            file.truncate(0)
            file.write(f"{getpid()} {time.strftime('%H:%M:%S')}".encode())
        return True

    def wait(self, say: Callable[[str], None], who: str) -> None:
        """Take it, where need be once others have let it go; say then who is waited for."""
        if self.take():
            return
        say(f"{who} ({self.holder()}): waiting")
        while not self.take():
            time.sleep(_PAUSE)

    def release(self) -> None:
        """Let others take it."""
        if self._held:
            self._held.close()
            self._held = None

    def holder(self) -> str:
        """Say who holds it, or held it last, and since when."""
        pid, _, since = self._note()
        return f"process {pid}, since {since}" if pid else "a process that has just begun"

    def holder_pid(self) -> int | None:
        """Return the process that holds it, or held it last; None where that is not known."""
        pid, _, _ = self._note()
        return int(pid) if pid.isdecimal() else None

    def _note(self) -> tuple[str, str, str]:
        with suppress(FileNotFoundError):
            return self.path.read_text().partition(" ")
        return "", "", ""
