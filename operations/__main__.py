"""`invoicekey`: the operators' command."""

import os
import signal
import sys

if __name__ == "__main__":
    # To import the rest takes a moment, in which nothing is done yet that Ctrl-C could interrupt.
    usual = signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from operations import command_line as command_line  # noqa: PLC0414 - which adds the commands to the command line
from operations.terminal import cli

if __name__ == "__main__":
    signal.signal(signal.SIGINT, usual)
    sys.exit(cli.run(sys.argv[1:]))
