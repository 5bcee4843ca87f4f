"""What every command has in common: ARNs as they are, streams that cannot take its text, Ctrl-C at the first moment."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from rich.console import Console

from operations.deployment.stack import Trouble
from operations.terminal import cli
from operations.terminal.findings import Section, show, well
from tests.desk import Desk, at_a_desk
from tests.orders import sale

ROOT = Path(__file__).parents[2]
CODE = (ROOT, ROOT / "layers" / "invoicekey" / "python")
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:name"
"""`:secret:` is an emoji's name."""


@pytest.fixture
def desk() -> Iterator[Desk]:
    with at_a_desk() as desk:
        yield desk


def begin(*arguments: str, stdout: int = subprocess.PIPE, first: Path | None = None) -> subprocess.Popen[str]:
    """Begin a command in a process of its own; what lies in the folder `first` is imported before all else."""
    path = os.pathsep.join(map(str, (first, *CODE) if first else CODE))
    return subprocess.Popen(
        [sys.executable, "-m", "operations", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("columns", [None, 80])
def test_an_arn_is_shown_as_it_is(desk: Desk, columns: int | None) -> None:
    desk.deployment.outputs.clear()
    with mock.patch.object(desk.deployment, "read_secret", side_effect=Trouble(f"{ARN} cannot be read")):
        said = desk.run("check VVJ-1-01", columns)
    assert "".join(said.err.split("\n")) == f"{ARN} cannot be read"


@pytest.mark.parametrize("console", [cli.out, cli.err])
def test_nor_is_it_changed_in_a_list(console: Console) -> None:
    said = io.StringIO()
    with mock.patch.object(console, "_file", said), mock.patch.object(console, "_width", 100):
        show(console, Section("", (well(ARN),)))
        with mock.patch.object(console, "_force_terminal", True):
            show(console, Section("", (well(ARN),)))
    assert said.getvalue().count(ARN) == 2


def test_what_a_stream_cannot_show_is_replaced(desk: Desk) -> None:
    desk.invoice("VVJ-1-01", sale())
    old_terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    with mock.patch.object(cli, "shop_of", return_value=desk.shop), contextlib.redirect_stdout(old_terminal):
        assert cli.run(["check", "VVJ-1-01"]) == 0
    old_terminal.seek(0)
    assert "? check digit" in old_terminal.read()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full, begin("--help", stdout=full.fileno()) as command:
        _, err = command.communicate()
    assert (command.returncode, err) == (1, "The output cannot be read or written: No space left on device.\n")


def test_a_reader_that_leaves_early_is_no_trouble() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with begin("--help", stdout=writes) as command:
        os.close(writes)
        _, err = command.communicate()
    assert err == ""


def test_ctrl_c_while_it_starts_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    with begin("--help", first=tmp_path) as command:
        assert command.stdout
        assert command.stdout.readline() == "importing\n"
        command.send_signal(signal.SIGINT)
        out, err = command.communicate()
    assert (command.returncode, out, err) == (130, "", "")
