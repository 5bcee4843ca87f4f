"""`invoicekey`: the operators' command."""

import sys

from operations.cli import run
from operations.commands import (
    alerts,
    backfill,
    check,
    dismiss,
    doctor,
    explain,
    failures,
    hook,
    redrive,
    secrets,
    setup,
)

__all__ = [
    "alerts",
    "backfill",
    "check",
    "dismiss",
    "doctor",
    "explain",
    "failures",
    "hook",
    "redrive",
    "secrets",
    "setup",
]

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
