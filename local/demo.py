"""The whole flow on this machine: `make demo`.

It ends with exit code 1 where something came out otherwise than expected, and with 130 after Ctrl-C. Nothing is left
running, whatever ends it.
"""

import sys


def main() -> int:
    """Run the demo and return its exit code."""
    try:
        # Here, so that Ctrl-C is met even while they are loaded.
        from local import processes
        from local.progress import Progress
        from local.scenes import play
        from local.stack import StackError

        processes.end_on_signals()
        try:
            with Progress() as progress:
                return 0 if play(progress) else 1
        except StackError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        print("\ninterrupted: everything is stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
