"""`invoicekey alerts`: whether they arrive."""

from typing import Annotated

import typer

from operations.health.topics import send_tests
from operations.terminal.cli import app, out, shop
from operations.terminal.findings import exit_code, show

alerts = typer.Typer(no_args_is_help=True, help="See whether alerts arrive.")
app.add_typer(alerts, name="alerts")


@alerts.command("test")
def send_test(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="The VTEX account that the test names.")] = None,
    operations: Annotated[bool, typer.Option("--operations", help="Test the operations topic too.")] = False,
) -> int:
    """Send a test alert, and say whom it goes to.

    Exit code 0 where somebody gets it, 3 where a subscription is not confirmed, or where nobody listens.
    """
    of = shop(context)
    sections = send_tests(of, of.account(account), with_operations=operations)
    show(out, *sections)
    return exit_code(sections)
