"""Programs that are started here, each with what it starts in turn, and stopped again; and the ports they listen at."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(command: Sequence[str], *, log: Path, environment: Mapping[str, str], home: Path) -> subprocess.Popen[bytes]:
    """Start a program that writes to a log file, in a session of its own: Ctrl-C is for us, and we stop it in order."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def run(command: Sequence[str], *, log: Path, environment: Mapping[str, str], home: Path) -> int:
    """Run a program to its end and return its exit code; an interruption stops it with all that it started."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        with uninterrupted():
            started.append(start(command, log=log, environment=environment, home=home))
        return started[0].wait()
    except BaseException:
        stop([process.pid for process in started])
        raise


def stop(pids: Iterable[int]) -> None:
    """Stop programs with what they started, politely first; each leads its session."""
    left = set(pids)
    for signal_number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 1.0)):
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal_number)
        end = time.monotonic() + patience
        while time.monotonic() < end and (left := {pid for pid in left if _has_members(pid)}):
            time.sleep(0.02)


def end_on_signals() -> None:
    """Let a request to end (SIGTERM, a closed terminal) unwind the program as Ctrl-C does."""
    for number in _ENDINGS:
        if signal.getsignal(number) not in (signal.SIG_IGN, signal.default_int_handler):
            signal.signal(number, _end)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and its like until the block is done, so that nothing is started and not noted."""
    came: list[int] = []
    usual = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def is_running(pid: int, module: str) -> bool:
    """Say whether the process runs that module: a pid noted long ago may be another program's by now."""
    if Path("/proc/self/cmdline").exists():  # Linux, where ps may be missing
        with suppress(OSError):
            return module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return False
    shown = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return module in shown.stdout.split()


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Say whether something accepts connections at the port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((host, port)) == 0


def has_address(host: str) -> bool:
    """Say whether this machine has the address."""
    with socket.socket() as probe, suppress(OSError):
        probe.bind((host, 0))
        return True
    return False


def free_ports(number: int) -> list[int]:
    """Return ports that nothing uses now."""
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.bind((LOOPBACK, 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _end(*_: object) -> None:
    raise KeyboardInterrupt


def _has_members(group: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(group, os.WNOHANG)  # a child of ours that has ended would be counted until it is waited for
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
