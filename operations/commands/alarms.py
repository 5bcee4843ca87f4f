"""`invoicekey alarms`: whether one that rings reaches anybody."""

from typing import Annotated

import typer

from operations.health.alarms import PATIENCE_SECONDS, pick, telling, try_alarm, who_hears
from operations.terminal.cli import app, err, out, shop
from operations.terminal.findings import exit_code, show

alarms = typer.Typer(no_args_is_help=True, help="See whether alarms reach anybody.")
app.add_typer(alarms, name="alarms")


@alarms.callback()
def begin() -> None:
    """See whether alarms reach anybody."""


@alarms.command("test")
def try_one(
    context: typer.Context,
    alarm: Annotated[
        str | None, typer.Option(metavar="ALARM", help="One of the stack's, as the runbook names it; else any.")
    ] = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="So many seconds its history is waited for.")
    ] = PATIENCE_SECONDS,
) -> int:
    """Let a real alarm ring for a moment, and see that CloudWatch tells the operations topic.

    Whoever listens gets its message, which says that it is a test. The alarm is put back to OK at once.

    Exit code 0 where it was told, 3 where it was not, or nobody listens, 1 where that cannot be seen.
    """
    of = shop(context)
    chosen = pick(telling(of), alarm)
    hears = who_hears(of, chosen)
    show(out, hears)
    with err.status(f"{chosen.name} rings for a moment"):
        tried = try_alarm(of, chosen, wait)
    show(out, tried)
    return exit_code([hears, tried])
