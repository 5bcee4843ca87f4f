"""Nothing in the way on one's own machine: whatever happens ends in plain lines, and leaves nothing running.

`make`'s programs run in a copy of the project, on ports of their own; the build is the one that all stacks share.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import processes
from local.stack import ROOT, STACK_NAME, STATE, TOOLS
from local.watch import until
from operations.terminal import cli
from tests.unit.test_no_traceback import drive, every_line

pytestmark = pytest.mark.stack

TABLE = {0, cli.IN_THE_WAY, cli.NOT_UNDERSTOOD, cli.FAILING, cli.INTERRUPTED}
OF_MAKE = {*TABLE, 2}
"""make itself ends so, whatever its program's code was."""
_STARTS_PYTHON = re.compile(r"^([a-z]+): .*\n\t@.*python -m (?:local|operations)\.", re.MULTILINE)
TARGETS = _STARTS_PYTHON.findall((ROOT / "Makefile").read_text())
ON_TOP = ("local.stack records", "local.play mail", "local.play mend VVJ-975102-01", "local.play mend VVJ-0-01")
NO_INDEX = {"PIP_INDEX_URL": f"http://{processes.LOOPBACK}:9", "PIP_NO_CACHE_DIR": "1"}


@dataclass(frozen=True)
class Machine:
    """Somebody's machine with a checkout of the project."""

    home: Path
    port: int

    @property
    def endpoint(self) -> str:
        return f"http://{processes.LOOPBACK}:{self.port}"

    def begin(self, *line: str) -> subprocess.Popen[str]:
        """Begin a program; its output can be read."""
        return subprocess.Popen(
            line, cwd=self.home, env=self._environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def begin_into(self, output: int, *line: str) -> subprocess.Popen[str]:
        """Begin a program whose output goes there; its errors can be read."""
        try:
            return subprocess.Popen(
                line, cwd=self.home, env=self._environment, text=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE,
            )  # fmt: skip
        finally:
            os.close(output)

    def module(self, words: str) -> list[str]:
        return [str(TOOLS / "python"), "-m", *words.split()]

    def make(self, target: str) -> list[str]:
        return ["make", target, "TOOLS=", f"IN_TOOLS={TOOLS}/"]

    def run(self, words: str) -> subprocess.CompletedProcess[str]:
        """Run a program of Python's to its end."""
        return subprocess.run(
            self.module(words), cwd=self.home, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip

    def left_running(self) -> list[str]:
        """List the processes that were started for it; where there is no /proc, none."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                is_ours = f"{self.home}/.stack".encode() in (process / "environ").read_bytes()
                found += [(process / "cmdline").read_text().replace("\0", " ")] if is_ours else []
            except OSError:
                continue  # another user's, or it has just ended
        return found

    @property
    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not re.match(r"AWS_|MAKE|MFLAGS|STACK$", name)}
        return {**own, **NO_INDEX}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    home = tmp_path_factory.mktemp("machine") / "project"
    shutil.copytree(ROOT, home, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "benchmarks"))
    (home / ".venv-tools").symlink_to(TOOLS.parent)
    (STATE / "builds").mkdir(parents=True, exist_ok=True)
    (home / ".stack").mkdir()
    (home / ".stack" / "builds").symlink_to(STATE / "builds")
    ports = processes.free_ports(2)
    stack = home / "local" / "stack.py"
    stack.write_text(stack.read_text().replace("4566, 8910", f"{ports[0]}, {ports[1]}"))
    machine = Machine(home, ports[0])
    build = subprocess.run(machine.module("local.stack build"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
    yield machine
    machine.run("local.stack down")


def until_it_says(program: subprocess.Popen[str], words: str) -> None:
    assert program.stdout
    while words not in (line := program.stdout.readline()):
        assert line, f"it ended before it said {words}"


def full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def nobody() -> int:
    """Return a pipe whose reader has left."""
    reads, writes = os.pipe()
    os.close(reads)
    return writes


# ---- Where the output cannot go


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("target", TARGETS)
def test_a_target_whose_output_cannot_be_written_ends_in_plain_lines(target: str, machine: Machine) -> None:
    ended = [machine.begin_into(output, *machine.make(target)) for output in (full_disk(), nobody())]
    for program in ended:
        _, said = program.communicate(timeout=60)
        assert program.returncode in OF_MAKE
        assert "Traceback" not in said
    assert machine.left_running() == []


def test_where_no_file_can_be_written_up_says_so(machine: Machine) -> None:
    def fill_the_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    ended = subprocess.run(
        machine.module("local.stack up"), cwd=machine.home, capture_output=True, text=True, check=False,
        preexec_fn=fill_the_disk,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr.count("\n")) == (cli.IN_THE_WAY, 1)
    assert "Traceback" not in ended.stderr
    assert machine.left_running() == []


# ---- Two at once


def test_a_second_demo_says_who_is_there_and_one_whose_reader_leaves_stops_all_it_started(machine: Machine) -> None:
    with machine.begin(*machine.module("local.demo")) as demo:
        until_it_says(demo, "starting")
        second = machine.run("local.demo")
        assert demo.stdout
        demo.stdout.close()
        assert demo.stderr
        said = demo.stderr.read()
    assert second.returncode == cli.IN_THE_WAY
    assert re.fullmatch(
        rf"Another one is running in .stack/demo \(process {demo.pid}, since \S+\): .*\n", second.stderr
    )
    assert (demo.returncode, said) == (cli.IN_THE_WAY, "")
    until(lambda: not machine.left_running(), "the end of all that it started", seconds=5)


def test_down_ends_an_up_that_is_deploying(machine: Machine) -> None:
    with machine.begin(*machine.module("local.stack up")) as up:
        until_it_says(up, "deploying")
        down = machine.run("local.stack down")
        _, said = up.communicate()
    assert (down.returncode, down.stdout) == (0, "The stack is stopped.\n")
    assert (up.returncode, said) == (cli.INTERRUPTED, "interrupted: everything is stopped\n")
    assert machine.left_running() == []


@pytest.fixture(scope="module")
def second_up(machine: Machine) -> str:
    """Return what an up says that was begun while another was deploying; the stack is up then."""
    with machine.begin(*machine.module("local.stack up")) as first:
        until_it_says(first, "deploying")
        second = machine.run("local.stack up")
        first.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    assert "building" not in second.stdout
    return second.stdout.replace(str(first.pid), "PID")


def test_a_second_up_waits_for_the_first_and_takes_what_it_made(second_up: str) -> None:
    assert re.search(
        r"another make up is deploying \(process PID, since \S+\): waiting\nThe stack is up already", second_up
    )


# ---- Against a stack, and against one that is gone


@pytest.mark.usefixtures("second_up")
def test_two_of_each_command_at_once_whose_output_cannot_be_written(machine: Machine, tmp_path: Path) -> None:
    lines = [[*words, "--stack", STACK_NAME] for words in every_line()]

    def at_once(output: str) -> list[str]:
        ended = drive(lines, machine.endpoint, tmp_path, output)
        return [f"{one}" for one in ended if one.code not in TABLE or "Traceback" in one.err]

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(at_once, ("nobody", "full disk"))) == [[], []]


@pytest.mark.usefixtures("second_up")
def test_what_is_left_of_a_stack_that_is_gone_is_said_in_a_line(machine: Machine) -> None:
    running = json.loads((machine.home / ".stack" / "up" / "running.json").read_text())
    os.kill(running["local.emulator"], signal.SIGKILL)
    ended = [machine.run(words) for words in ON_TOP]
    assert [(one.returncode, one.stderr.count("\n")) for one in ended] == [(cli.IN_THE_WAY, 1)] * len(ON_TOP)
    assert machine.run("local.stack down").stdout == "The stack is stopped.\n"
    assert machine.left_running() == []
