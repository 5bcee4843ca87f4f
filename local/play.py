"""What `make up` leaves to be played by hand: read what subscribers get, and mend an order at VTEX.

.venv-tools/bin/python -m local.play mail
.venv-tools/bin/python -m local.play mend VVJ-975102-01
"""

import os
import signal
import sys

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # while the rest is imported, as in local.stack

import argparse
import json
from collections.abc import Iterator, Sequence

from local.progress import Progress, columns, wrapped
from local.stack import LocalStack, StackError, run, see_that_it_is_up, silent, standing_stack
from local.watch import Json, Mailbox, Told, Watch

_ISSUED_BY = "35261111222333000181"
"""The state, year, month and CNPJ of the samples' keys."""
_DIGITS = 9


def mail(told: Sequence[Told]) -> Iterator[str]:
    """Yield each message as its readers get it by e-mail, SMS and chat, the oldest first."""
    for one in told:
        yield from _letter(one, "E-mail", f"Subject: {one.subject}\n\n{one.email}")
        yield from _letter(one, "SMS", one.sms)
        if one.chat:
            yield from _letter(one, "Chat (Slack, Teams)", _in_a_chat(one.chat["content"]))
    number = f"{len(told)} message{'' if len(told) == 1 else 's'}"
    yield from wrapped(f"{number}. All that may come: tests/golden/alerts", columns())


def _letter(one: Told, channel: str, text: str) -> Iterator[str]:
    heading = f"── {channel}, {one.kind}, {one.at.astimezone():%H:%M:%S} "
    yield heading.ljust(min(columns(), 80), "─")
    yield from wrapped(text.strip(), columns())
    yield ""


def _in_a_chat(content: Json) -> str:
    """Return a chat message's title, text and steps, as a channel shows them below each other."""
    steps = "\n".join(f"• {step}" for step in content.get("nextSteps", ()))
    return "\n\n".join([content["title"], content["description"], steps])


def mend(stack: LocalStack, watch: Watch, order_id: str) -> Iterator[str]:
    """Put a good key into the invoice of a failing order, as somebody does in VTEX's Admin."""
    # The ledger keeps the last record; in the failure queue it is there only until a program has read it.
    report = watch.ledger_item(order_id).get("report", {"type": "none"})
    if not report["type"].endswith(".failing.v1"):
        raise StackError(f"No failure of {order_id} was reported: .venv/bin/invoicekey failures lists those that were.")
    problem = json.loads(report["record"])["data"]["problems"][0]
    key = problem["suggested_key"] or a_key(problem["invoice_number"] or "")
    stack.vtex("POST", "invoice-key", {"order_id": order_id, "invoice_key": key})
    yield f"The invoice of {order_id} has the key {key} now."
    yield "VTEX sends no event for that, so the stack reads the order again by its schedule. To have it look now:"
    yield f"  .venv/bin/invoicekey recheck {order_id} --stack invoicekey-local"


def a_key(number: str) -> str:
    """Make a good key of an invoice's number, or of another where that is no plain one."""
    plain = int(number) if number.isdigit() and len(number) <= _DIGITS else 1
    begin = f"{_ISSUED_BY}55001{plain:09d}112345678"
    weighted = sum(int(digit) * (2 + place % 8) for place, digit in enumerate(reversed(begin)))
    return f"{begin}{0 if weighted % 11 < 2 else 11 - weighted % 11}"  # noqa: PLR2004 - the tax office's rule (MOC 5.4)


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="local.play", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("mail", help="show what came by e-mail, SMS and chat")
    commands.add_parser("mend", help="put the right keys into an order").add_argument("order", metavar="ORDER")
    given = parser.parse_args()

    def play(progress: Progress) -> int:
        stack = standing_stack(silent)
        see_that_it_is_up(stack)
        for line in mail(Mailbox(stack).told()) if given.command == "mail" else mend(stack, Watch(stack), given.order):
            progress.line(line)
        return 0

    return run(play)


if __name__ == "__main__":
    sys.exit(main())
