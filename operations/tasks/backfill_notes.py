"""What a backfill has found so far, in a file, so that an interrupted one goes on where it stopped.

A line of JSON an order, written as soon as it is judged: the time, ids, codes, invoice numbers and suggested keys;
nothing of a customer.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from operations.deployment.stack import Trouble
from operations.tasks.backfill import UNREAD, Found

FRESH = timedelta(hours=24)
"""An order that was read longer ago is read anew: a person may have mended it since."""


@dataclass(frozen=True, slots=True)
class About:
    """Which backfill it is: another stack, account, period or policy makes another one."""

    stack: str
    region: str
    account: str
    begin: str
    end: str
    policy: str
    """A fingerprint of the settings under which orders are judged."""

    @property
    def file_name(self) -> str:
        """Return the name of its file."""
        name = f"backfill-{self.stack}-{self.region}-{self.account}-{self.begin}-{self.end}"
        return f"{re.sub(r'[^A-Za-z0-9-]+', '_', name)}.jsonl"


@dataclass(slots=True)
class Notes:
    """The file of one backfill, held by one run at a time."""

    path: Path
    found: dict[str, Found] = field(default_factory=dict)
    """What former runs found, by order."""
    why_anew: str | None = None
    """Why what a former run found does not count any more."""
    _file: IO[str] | None = None

    is_worth_keeping: bool = False
    """Whether it holds an order."""

    def add(self, found: Found, read_at: datetime) -> None:
        """Write down what an order came to; one that could not be read is to be read again."""
        if found.outcome != UNREAD:
            self._write({"read_at": read_at.isoformat(), **asdict(found)})
            self.is_worth_keeping = True

    def remove(self) -> None:
        """Remove the file: the backfill is done."""
        self.path.unlink(missing_ok=True)

    def _write(self, document: dict[str, Any]) -> None:
        if self._file is None:
            raise ValueError("the notes are closed")
        self._file.write(json.dumps(document) + "\n")
        self._file.flush()


def usual_folder() -> Path:
    """Return where programs keep their state (XDG)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "invoicekey"


@contextmanager
def opened(path: Path, about: About, now: datetime) -> Iterator[Notes]:
    """Open the notes of a backfill, and hold them; raises Trouble where that can't be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
    except OSError as error:
        raise Trouble(f"{path} cannot be written: {error.strerror}. Name another file: --state FILE") from None
    with file:
        _hold(file, path)
        notes = _read(file, path, about, now)
        notes._file = file
        if not notes.found:
            file.seek(0)
            file.truncate()
            notes._write({"backfill": asdict(about)})
        try:
            yield notes
        finally:
            if not notes.is_worth_keeping:
                notes.remove()


def _hold(file: IO[str], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Trouble(f"Another backfill is at it just now (it holds {path}). Wait until it ends.") from None


def _read(file: IO[str], path: Path, about: About, now: datetime) -> Notes:
    lines = file.read().split("\n")
    if lines == [""]:
        return Notes(path)
    try:
        former = About(**json.loads(lines[0])["backfill"])
    except (ValueError, KeyError, TypeError):
        raise Trouble(f"{path} is no file of a backfill. Name another one: --state FILE") from None
    if former.file_name != about.file_name:
        raise Trouble(
            f"{path} is of another backfill ({former.account}, {former.begin} to {former.end}). Name another file, or "
            "delete it."
        )
    if former.policy != about.policy:
        return Notes(path, why_anew="the stack's settings were changed since")
    found = {one.order_id: one for one in _found(lines[1:], now - FRESH)}
    if not found:
        return Notes(path, why_anew="it is more than a day old" if lines[1:-1] else None)
    if lines[-1]:
        file.write("\n")  # the last line was cut: what follows is not to be glued to it
    return Notes(path, found, is_worth_keeping=True)


def _found(lines: list[str], oldest: datetime) -> Iterator[Found]:
    for line in lines:
        # One may be cut: its order is read once more.
        with suppress(ValueError, KeyError, TypeError):
            kept = json.loads(line)
            if datetime.fromisoformat(kept.pop("read_at")) >= oldest:
                yield Found.read(kept)
