"""The commands of `invoicekey`, a file each. Importing one adds it to the command line.

To import all of them takes a second, so the command line imports the one that was typed, and has the others' first
sentences from here.
"""

import importlib
from collections.abc import Mapping

from operations.terminal.cli import Later

_SENTENCES: Mapping[str, tuple[str, str]] = {
    "setup": (
        "setup",
        "Take a shop into operation, step by step: credentials, a look at its orders, hook, test alert, doctor.",
    ),
    "doctor": (
        "doctor",
        "Look at everything that has to be well: each line has a tick, or what to do. Nothing is changed.",
    ),
    "failures": ("failures", "List the open failures, oldest first. The list lags a moment behind."),
    "check": (
        "check",
        "Read orders at VTEX and judge them now, rule by rule. It only looks: nothing is written, nobody is told.",
    ),
    "explain": (
        "explain",
        "Tell an order's story: received, read, judged, reported, notified, re-checked. Nothing is asked of VTEX.",
    ),
    "recheck": (
        "recheck",
        "Have the stack check orders now: what is right by now is closed, what fails is told as usual.",
    ),
    "dismiss": ("dismiss", "Set failures aside that were solved elsewhere, as in the marketplace's back office."),
    "undismiss": ("dismiss", "Take dismissals back: the orders are checked at once, and told anew if they still fail."),
    "snooze": (
        "snooze",
        "Leave open failures out of digests and reminders until a day, at most 14 days ahead.",
    ),
    "desk": (
        "desk",
        "Print a link to an account's list of failures, or to an order's page. It needs no sign-in: mind who gets it.",
    ),
    "redrive": (
        "redrive",
        "List the dead letters; with --yes send them back for another check: all but malformed ones, or those named.",
    ),
    "backfill": (
        "backfill",
        "Read all invoiced CNova orders of a period at VTEX, and list those that are failing. It only lists.",
    ),
    "hook": ("hook", "See, install or remove VTEX's order hook, and the feed behind it."),
    "secrets": ("secrets", "Change the secret that VTEX's hook carries, or the key that signs links to the desk."),
    "alerts": ("alerts", "See whether alerts arrive."),
    "alarms": ("alarms", "See whether alarms reach anybody."),
}
COMMANDS: Mapping[str, Later] = {
    name: Later(f"{__name__}.{module}", sentence) for name, (module, sentence) in _SENTENCES.items()
}


def import_all() -> None:
    """Import every command, for whoever asks the command line about all of them."""
    for command in COMMANDS.values():
        importlib.import_module(command.module)
