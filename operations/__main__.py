"""`invoicekey`: the operators' command."""

import os
import signal
import sys

if __name__ == "__main__":
    # To import the rest takes a second, in which nothing is done yet that Ctrl-C could interrupt.
    usual = signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from operations.commands import (
    alarms,
    alerts,
    backfill,
    check,
    dismiss,
    doctor,
    explain,
    failures,
    hook,
    recheck,
    redrive,
    secrets,
    setup,
)
from operations.terminal.cli import run

__all__ = [
    "alarms",
    "alerts",
    "backfill",
    "check",
    "dismiss",
    "doctor",
    "explain",
    "failures",
    "hook",
    "recheck",
    "redrive",
    "secrets",
    "setup",
]

if __name__ == "__main__":
    signal.signal(signal.SIGINT, usual)
    sys.exit(run(sys.argv[1:]))
