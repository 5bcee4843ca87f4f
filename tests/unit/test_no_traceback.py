"""Whatever is in the way, a command ends in one line and an exit code of the table, never in a traceback.

Every command of the command line is driven, the next one that is written too, in a process of their own.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer

from local import processes
from operations import command_line as command_line  # noqa: PLC0414 - which adds the commands
from operations.terminal import cli

ROOT = Path(__file__).parents[2]
MADE = (["make deploy"], ["make credentials"])
DRIVER = """
import json, os, sys, tempfile, traceback
from operations import command_line
from operations.deploying import credentials, deploy
from operations.terminal import cli

MAINS = {"make deploy": deploy.main, "make credentials": credentials.main}

def output(kind):
    if kind == "nobody":
        reads, writes = os.pipe()
        os.close(reads)
        return writes
    return os.open({"nothing": "/dev/null", "full disk": "/dev/full"}[kind], os.O_WRONLY)

def end(words):
    try:
        return MAINS[words[0]]() if words[0] in MAINS else cli.run(words)
    except SystemExit as ended:
        return ended.code
    except Exception:
        traceback.print_exc()

ours, ended = os.dup(1), []
for case in json.load(sys.stdin):
    said = tempfile.TemporaryFile()
    os.dup2(output(case["output"]), 1)
    os.dup2(said.fileno(), 2)
    cli.out.quiet = cli.err.quiet = False  # as rich makes them once nobody reads
    code = end(case["words"])
    os.dup2(output("nothing"), 1)
    sys.stdout.flush()
    sys.stderr.flush()
    said.seek(0)
    ended.append([code, said.read().decode()])
os.write(ours, json.dumps(ended).encode())
"""
"""What runs command lines one after the other: what they import is imported once."""


@dataclass(frozen=True)
class Ended:
    """A command, where its output went, and how it ended."""

    line: str
    output: str
    code: int
    err: str


def drive(lines: list[list[str]], endpoint: str, home: Path, *outputs: str) -> list[Ended]:
    """Run each command line with each of these outputs, and say how they ended."""
    cases = [{"words": words, "output": output} for words in lines for output in outputs]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(cases), capture_output=True, text=True, check=False, cwd=home,
        env={**environment(home), "AWS_ENDPOINT_URL": endpoint},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ended = zip(cases, json.loads(done.stdout), strict=True)
    return [Ended(" ".join(case["words"]), str(case["output"]), code, err) for case, (code, err) in ended]


def environment(home: Path) -> dict[str, str]:
    """Return that of somebody with keys of AWS, and without patience."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/invoicekey/python'}",
        "HOME": str(home), "XDG_STATE_HOME": str(home), "COLUMNS": "80",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": processes.LOOPBACK,
    }  # fmt: skip


def every_line(group: Any = None, words: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Yield each command with what it cannot do without, as the command line itself lists them."""
    for name, command in (group or typer.main.get_group(cli.app)).commands.items():
        if hasattr(command, "commands"):
            yield from every_line(command, (*words, name))
        else:
            needs = [
                word
                for parameter in command.params
                if parameter.required
                for word in ([parameter.opts[0], "x"] if parameter.opts[0].startswith("-") else ["VVJ-1-01"])
            ]
            yield [*words, name, *needs, *NEEDED_BESIDES.get((*words, name), [])]


NEEDED_BESIDES: dict[tuple[str, ...], list[str]] = {
    ("recheck",): ["VVJ-1-01"],
    ("snooze",): ["--days", "1"],
    ("backfill",): ["--from", "2026-10-01", "--to", "2026-10-02"],
    ("hook", "remove"): ["--yes"],
    ("accounts", "add"): ["newshop"],
    ("accounts", "set"): ["AlertBurst=9"],
    ("accounts", "remove"): ["--yes"],
    ("alarms", "test"): ["--wait", "1"],
}


class Nonsense(BaseHTTPRequestHandler):
    """Another program, which happens to listen there."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<!doctype html><meta charset=utf-8><p>It works!")

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def another_program() -> Iterator[str]:
    server = ThreadingHTTPServer((processes.LOOPBACK, 0), Nonsense)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{processes.LOOPBACK}:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def nobody_there() -> str:
    (port,) = processes.free_ports(1)
    return f"http://{processes.LOOPBACK}:{port}"


def unlike(ended: list[Ended]) -> list[Ended]:
    """Return what did not end as it should: in its way's exit code, and in one line."""
    return [one for one in ended if (one.code, one.err.count("\n")) != (cli.IN_THE_WAY, 1)]


pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


def test_help_that_cannot_be_written_ends_in_a_line_at_most(nobody_there: str, tmp_path: Path) -> None:
    lines = [[*words, "-h"] for words in every_line()]
    ended = drive(lines, nobody_there, tmp_path, "nobody", "full disk")
    said = {"nobody": "", "full disk": "The output cannot be read or written: No space left on device.\n"}
    assert [one for one in ended if (one.code, one.err) != (cli.IN_THE_WAY, said[one.output])] == []


def test_a_stack_that_gives_no_answer_is_one_line_of_every_command(nobody_there: str, tmp_path: Path) -> None:
    ended = drive([*every_line(), *MADE], nobody_there, tmp_path, "nothing")
    assert unlike(ended) == []


def test_another_program_in_the_stack_s_place_is_one_line_too(another_program: str, tmp_path: Path) -> None:
    ended = drive([*every_line(), *MADE], another_program, tmp_path, "nothing")
    assert unlike(ended) == []


@pytest.mark.parametrize("into", ["> /dev/null", "| true", "> /dev/full"])
def test_make_alone_lists_the_targets_or_ends_quietly(into: str) -> None:
    done = subprocess.run(["sh", "-c", f"make {into}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
