"""`invoicekey secrets`: the secret that VTEX's hook carries."""

from typing import Annotated

import typer

from operations.tasks.rotation import Rotation
from operations.terminal.cli import app, err, out, shop
from operations.terminal.findings import Section, exit_code, show
from operations.terminal.plain import plainly

secrets = typer.Typer(no_args_is_help=True, help="Change the secret that VTEX's hook carries.")
app.add_typer(secrets, name="secrets")


@secrets.callback()
def among() -> None:
    """Let `rotate` be a command of its own, though it is the only one."""


@secrets.command()
def rotate(
    context: typer.Context,
    guard: Annotated[bool, typer.Option(help="Give VTEX the new secret at once, by running the stack's guard.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Also where VTEX still sends the secret before.")] = False,
) -> int:
    """Make a new secret for the hook; the one before it is accepted until the next rotation.

    No secret is shown. Refused while VTEX still sends the one that would no longer be accepted.

    Exit code 0 where no call is refused, 3 where VTEX may send what is no longer accepted, or where the guard failed.
    """
    rotation = Rotation(shop(context))
    with plainly(), err.status("rotating"):
        rotation.see_what_is_dropped(force=force)
        done = [rotation.write()]
        done += rotation.tell_vtex() if guard else rotation.leave_it_to_guard()
    section = Section("", tuple(done))
    show(out, section)
    return exit_code([section])
