"""`invoicekey`: the operators' command."""

import os
import signal
import sys

if __name__ == "__main__":
    # To import the rest takes a moment, in which nothing is done yet that Ctrl-C could interrupt.
    usual = signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from operations.commands import COMMANDS
from operations.terminal import cli

cli.later |= COMMANDS

if __name__ == "__main__":
    signal.signal(signal.SIGINT, usual)
    sys.exit(cli.run(sys.argv[1:]))
