"""`invoicekey redrive`: dead letters, by reason, back to the hook queue."""

import shlex
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

import typer
from rich.text import Text

from invoicekey.rules.notification import OrderRef
from invoicekey.work.check import DeadLetterReason
from operations.deployment.order_ids import checked_account, named
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood, Trouble
from operations.health import story
from operations.tasks import records as undelivered
from operations.tasks.redrive import NO_REASON, Choice, DeadLetter, DeadLetters, Redrive, Tally, count
from operations.terminal.cli import FAILING, IN_THE_WAY, INTERRUPTED, err, out
from operations.terminal.findings import Section, to_do
from operations.terminal.findings import show as show_findings
from operations.terminal.plain import NOT_SENT, date, plainly, short_age, show

NEVER_BY_ITSELF = frozenset({DeadLetterReason.MALFORMED})
"""They can never succeed, so they are moved only when they are named."""
REASONS = (*DeadLetterReason, NO_REASON)
_USUAL = set(REASONS) - NEVER_BY_ITSELF
_REMEDIES: Mapping[str, tuple[str, ...]] = {
    DeadLetterReason.MALFORMED: ("nobody needs it: {discard}", "an older version's, of another marketplace: {again}"),
    DeadLetterReason.NOT_FOUND: (
        "is it there now? {check}",
        "it is: {again}",
        "another account's, or too old: {discard}",
    ),
    DeadLetterReason.GAVE_UP: ("when that is over: {again}",),
    DeadLetterReason.NO_CREDENTIALS: ("see what is wrong: {doctor}", "when it is mended: {again}"),
    NO_REASON: ("see CheckInvoiceFunction's log for its errors", "when they are mended: {again}"),
}
"""What to do about each reason, one step after the other."""
_MOST_SHOWN = 50
_COLUMNS = ("order", "account", "reason", "age", "since")


def redrive(
    of: Shop,
    *,
    orders: list[str] | None,
    account: str | None,
    reason: list[str] | None,
    rate: int,
    discard: bool,
    records: bool,
    yes: bool,
) -> int:
    """List dead letters, send them back, or delete them; return the exit code."""
    if records:
        if orders or account or reason or discard:
            raise NotUnderstood("--records moves all undelivered records: say nothing else but --yes.")
        return _move_records(of, yes=yes)
    reasons = _reasons(reason or [], is_one_named=bool(orders))
    if discard and not (reason or orders):
        raise NotUnderstood("Say which are to be deleted: --reason REASON, or their orders. Nothing was done.")
    with plainly():
        choice = Choice(reasons, _refs(of, account, orders), checked_account(account))
        letters = DeadLetters(partial(of.ask, "sqs"), of.deployment.output("HookDeadLetterQueueUrl"))
        if yes and discard:
            return _discard(of, letters, choice)
        if yes:
            return _redrive(of, letters, choice, rate)
        with err.status("looking at the dead letters"):
            tally = count(letters)
        _tell(of, tally, choice, _as_typed(orders, account, reason, discard=discard))
    return FAILING if tally.numbers else 0


def _move_records(of: Shop, *, yes: bool) -> int:
    ask, source = partial(of.ask, "sqs"), of.deployment.output("UndeliveredRecordsQueueUrl")
    with plainly():
        if yes:
            with err.status("moving"):
                moved = undelivered.move(ask, source, of.deployment.output("FailureQueueUrl"))
            out.print(f"{moved} record{'' if moved == 1 else 's'} moved to the failure queue.", markup=False)
            return 0
        number = undelivered.waiting(ask, source)
    if not number:
        err.print("No record is undelivered.")
        return 0
    out.print(f"{number} undelivered. To move them: {of.command('redrive --records --yes')}", markup=False)
    return FAILING


def _refs(of: Shop, account: str | None, orders: list[str] | None) -> set[OrderRef] | None:
    """Return the orders that are meant, in all the ways they may be written: the ledger knows few of them."""
    if not orders:
        return None
    return {ref for one in named(of, account, orders, in_any_account=True) for ref in one.refs}


def _as_typed(orders: list[str] | None, account: str | None, reason: list[str] | None, *, discard: bool) -> str:
    words = [*(orders or []), *(["--account", account] if account else [])]
    words += [word for name in reason or [] for word in ("--reason", name)]
    return "".join(f" {shlex.quote(word)}" for word in [*words, *(["--discard"] if discard else [])])


def _discard(of: Shop, letters: DeadLetters, choice: Choice) -> int:
    redrive = Redrive(letters, of.hook_queue, 1)
    with err.status("deleting"):
        redrive.discard(choice)
    out.print(_counted(redrive, "deleted", "none was there to delete"), markup=False)
    return 0


def _redrive(of: Shop, letters: DeadLetters, choice: Choice, rate: int) -> int:
    redrive = Redrive(letters, of.hook_queue, rate)
    try:
        with err.status("moving") as status:
            redrive.run(choice, lambda moved: status.update(f"moved {moved}"))
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
    return FAILING if redrive.back_again else 0


def _moved(redrive: Redrive) -> str:
    return _counted(redrive, "moved", "0 messages moved")


def _counted(redrive: Redrive, done: str, none: str) -> str:
    by_reason = ", ".join(f"{number} {reason}" for reason, number in sorted(redrive.moved.items()))
    number = redrive.moved.total()
    return f"{number} message{'' if number == 1 else 's'} {done} ({by_reason})" if number else none


def _reasons(names: list[str], *, is_one_named: bool) -> set[str]:
    reasons = {name.strip().casefold() for name in names}
    if unknown := reasons - set(REASONS):
        raise NotUnderstood(f"{', '.join(sorted(unknown))}: no such reason. There are: {', '.join(REASONS)}")
    return reasons or (set(REASONS) if is_one_named else _USUAL)


def _tell(of: Shop, tally: Tally, choice: Choice, typed: str) -> None:
    if not tally.numbers:
        err.print("There are no dead letters.")
        return
    listed = [letter for letter in tally.letters if choice.is_about(letter)]
    now, oldest = datetime.now(UTC), sorted(listed, key=lambda one: one.sent_at)[:_MOST_SHOWN]
    show(out, _COLUMNS, [_cells(of, letter, now) for letter in oldest])
    if len(listed) > _MOST_SHOWN:
        err.print(f"The oldest {_MOST_SHOWN} of {len(listed):,} are shown.")
    numbers = Counter(letter.reason for letter in listed)
    steps = [to_do(f"{number} {name}: {_meaning(name)}", _remedy(of, name)) for name, number in sorted(numbers.items())]
    show_findings(out, Section("", tuple(steps)))
    number = sum(choice.takes(letter) for letter in listed)
    done = "delete" if "--discard" in typed else "send"
    back = "" if "--discard" in typed else " back"
    if number:
        err.print(f"Nothing was done. To {done} {number}{back}: {of.command(f'redrive{typed} --yes')}", markup=False)
    elif listed:
        err.print("None of them would be moved: malformed ones are moved only when named (--reason malformed).")
    else:
        err.print("None of the dead letters is about that.")


def _cells(of: Shop, letter: DeadLetter, now: datetime) -> dict[str, Text]:
    order, account = (letter.ref.order_id, letter.ref.account) if letter.ref else ("-", "-")
    cells = (order, account, letter.reason, short_age(now - letter.sent_at), date(letter.sent_at, of))
    return dict(zip(_COLUMNS, map(Text, cells), strict=True))


def _meaning(reason: str) -> str:
    return story.REASONS.get(reason, "a reason that this version does not know")


def _remedy(of: Shop, reason: str) -> str:
    again = f"redrive --reason {reason}"
    commands = {
        "again": of.command(f"{again} --yes"),
        "discard": of.command(f"{again} --discard --yes"),
        "check": of.command("check ORDER"),
        "doctor": of.command("doctor"),
    }
    between = "\n→ " if out.is_terminal else "; "
    return between.join(_REMEDIES.get(reason, ("{again}",))).format(**commands)
