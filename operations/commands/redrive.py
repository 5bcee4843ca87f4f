"""`invoicekey redrive`: dead letters, by reason, back to the hook queue."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from invoicekey.work.check import DeadLetterReason
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood, Trouble
from operations.tasks.redrive import NO_REASON, DeadLetters, Redrive, Tally, count
from operations.terminal.cli import IN_THE_WAY, INTERRUPTED, app, err, out, shop
from operations.terminal.plain import NOT_SENT, date, plainly, show

MOST_A_SECOND = 100
NEVER_BY_ITSELF = frozenset({DeadLetterReason.MALFORMED})
"""They can never succeed, so they are moved only when they are named."""
REASONS = (*DeadLetterReason, NO_REASON)
_USUAL = set(REASONS) - NEVER_BY_ITSELF
_MEANINGS: Mapping[str, str] = {
    DeadLetterReason.MALFORMED: "no notification: it can never succeed",
    DeadLetterReason.NOT_FOUND: "VTEX did not know the order: mostly the wrong account",
    DeadLetterReason.GAVE_UP: "VTEX or AWS failed for 24 hours",
    DeadLetterReason.NO_CREDENTIALS: "VTEX refused the credentials for 24 hours",
    NO_REASON: "the function died with it 200 times: look for its errors first",
}


@app.command()
def redrive(
    context: typer.Context,
    reason: Annotated[
        list[str] | None, typer.Option(help=f"Of this reason alone ({', '.join(REASONS)}); may be repeated.")
    ] = None,
    rate: Annotated[int, typer.Option(min=1, max=MOST_A_SECOND, help="So many messages a second.")] = 5,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it nothing is moved.")] = False,
) -> int:
    """Send dead letters back for another check: all but malformed ones, or those of the reasons named.

    Without --yes it counts them and changes nothing. Nothing is told twice by it: the ledger knows what was told.
    """
    of = shop(context)
    reasons = _reasons(reason or [])
    with plainly():
        letters = DeadLetters(partial(of.ask, "sqs"), of.deployment.output("HookDeadLetterQueueUrl"))
        if yes:
            return _redrive(of, letters, reasons, rate)
        with err.status("looking at the dead letters"):
            tally = count(letters)
    _tell(of, tally, reasons)
    return 0


def _redrive(of: Shop, letters: DeadLetters, reasons: Collection[str], rate: int) -> int:
    redrive = Redrive(letters, of.hook_queue, rate)
    try:
        with err.status("moving") as status:
            redrive.run(reasons, lambda moved: status.update(f"moved {moved}"))
    except KeyboardInterrupt:
        err.print(f"Interrupted: {_moved(redrive)}. Nothing is lost; the same command goes on with the others.")
        raise typer.Exit(INTERRUPTED) from None
    except Trouble as trouble:
        raise Trouble(f"{trouble} Until then: {_moved(redrive)}. Nothing is lost; run it again.") from None
    out.print(f"{_moved(redrive)}. What comes of them: {of.command('explain ORDER')}", markup=False)
    if redrive.back_again:
        err.print(f"{redrive.back_again} came back as dead letters at once, and stay there.")
    if redrive.refused:
        err.print(
            f"{redrive.refused} were not taken by the hook queue, and stay dead letters. Run it again; {NOT_SENT}.",
            style="red",
        )
        return IN_THE_WAY
    return 0


def _moved(redrive: Redrive) -> str:
    by_reason = ", ".join(f"{number} {reason}" for reason, number in sorted(redrive.moved.items()))
    number = redrive.moved.total()
    return f"{number} message{'' if number == 1 else 's'} moved" + (f" ({by_reason})" if by_reason else "")


def _reasons(named: list[str]) -> set[str]:
    reasons = {name.strip().casefold() for name in named}
    if unknown := reasons - set(REASONS):
        raise NotUnderstood(f"{', '.join(sorted(unknown))}: no such reason. There are: {', '.join(REASONS)}")
    return reasons or _USUAL


def _tell(of: Shop, tally: Tally, reasons: Collection[str]) -> None:
    if not tally.numbers:
        err.print("There are no dead letters.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("messages", justify="right")
    table.add_column("reason", no_wrap=True)
    table.add_column("oldest", no_wrap=True)
    table.add_column("means")
    for name, number in sorted(tally.numbers.items()):
        meaning = _MEANINGS.get(name, "unknown to this version")
        table.add_row(str(number), Text(name), date(tally.oldest[name], of), meaning)
    show(out, table)
    number = sum(count for name, count in tally.numbers.items() if name in reasons)
    named = "" if reasons == _USUAL else "".join(f" --reason {name}" for name in tally.numbers if name in reasons)
    if number:
        err.print(f"Nothing was moved. To move {number}: {of.command(f'redrive{named} --yes')}", markup=False)
    else:
        err.print("None of them would be moved: malformed ones are moved only when named (--reason malformed).")
