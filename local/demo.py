"""The whole flow on this machine: `make demo`.

It ends with exit code 1 where something came out otherwise than expected, and with 130 after Ctrl-C. Nothing is left
running, whatever ends it.
"""

import sys


def main() -> int:
    """Run the demo and return its exit code."""
    try:
        # Here, so that Ctrl-C is met even while they are loaded.
        from local.scenes import play
        from local.stack import ALL_STOPPED, run

        return run(lambda progress: 0 if play(progress) else 1, interrupted=ALL_STOPPED)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
