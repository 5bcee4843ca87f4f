"""`make demo`, as a person runs it, but without a terminal."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.events import ORDERS
from local.scenes import FAILING
from local.stack import ROOT, TOOLS
from local.watch import until

pytestmark = pytest.mark.stack


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    command = [str(TOOLS / "python"), "-m", "local.demo"]
    running = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "COLUMNS": "80"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509 - it takes no lock
    )  # fmt: skip
    with running:
        yield running
        running.send_signal(signal.SIGTERM)


def hear_ctrl_c() -> None:
    """Undo what a shell does to what it runs in the background: a signal that is ignored stays so in all children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_the_demo_shows_every_order_a_record_and_an_alert(demo: subprocess.Popen[str]) -> None:
    told, _ = demo.communicate(timeout=150)

    assert demo.returncode == 0, told
    assert not [case.order_id for case in ORDERS if case.order_id not in told]
    assert '"type": "invoicekey.order.failing.v1"' in told
    assert "Subject: " in told
    assert "\x1b" not in told
    assert max(map(len, told.splitlines())) <= 80
    assert words(*(case.holds for case in ORDERS), *(code for case in FAILING for code in case.codes)) <= words(told)


def words(*texts: str) -> set[str]:
    return {word for text in texts for word in re.split(r"[\s,]+", text)}


def test_an_interrupted_demo_leaves_nothing_running(demo: subprocess.Popen[str]) -> None:
    assert demo.stdout
    while "sam deploy" not in demo.stdout.readline():
        pass

    demo.send_signal(signal.SIGINT)

    told, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert told.strip() == "interrupted: everything is stopped"
    until(lambda: not started_in_its_home(), "the end of all that it started", seconds=5)


def started_in_its_home() -> list[str]:
    """List the processes whose environment names the demo's folder; where there is no /proc, none."""
    processes = [path for path in Path("/proc").glob("[0-9]*/environ") if os.access(path, os.R_OK)]
    found = []
    for path in processes:
        try:
            found += [str(path)] if f"{ROOT}/.stack/demo/tmp".encode() in path.read_bytes() else []
        except OSError:
            continue  # it has just ended
    return found
