"""A lock that one process holds, and that a dead one does not."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.lock import Lock
from local.stack import silent

ROOT = Path(__file__).parents[2]
HOLD = """
import pathlib, sys
from local.lock import Lock
lock = Lock(pathlib.Path(sys.argv[1]))
print(lock.take(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "up" / "lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the lock until its input ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "True\n"
        yield other
        other.kill()


def test_who_holds_it_is_known_by_process_and_time(path: Path, holder: subprocess.Popen[str]) -> None:
    lock = Lock(path)
    assert not lock.take()
    assert lock.holder_pid() == holder.pid
    assert re.fullmatch(rf"process {holder.pid}, since \d\d:\d\d:\d\d", lock.holder())


def test_who_waits_says_for_whom_and_has_it_then(path: Path, holder: subprocess.Popen[str]) -> None:
    lock, said = Lock(path), list[str]()
    waiting = threading.Thread(target=lock.wait, args=(said.append, "another one is building"))
    waiting.start()
    while not said:
        waiting.join(0.01)
    holder.kill()
    waiting.join()
    assert lock.holder_pid() == os.getpid()
    assert said[0].startswith(f"another one is building (process {holder.pid}, since ")


def test_a_dead_process_holds_nothing(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    Lock(path).wait(silent, "")


def test_what_is_let_go_can_be_taken_and_taking_it_twice_is_once(path: Path) -> None:
    first, second = Lock(path), Lock(path)
    assert first.take()
    assert first.take()
    assert not second.take()
    first.release()
    assert not first.is_held
    assert second.take()


def test_a_lock_of_nobody_yet_says_so(path: Path) -> None:
    assert Lock(path).holder_pid() is None
    assert Lock(path).holder() == "a process that has just begun"
