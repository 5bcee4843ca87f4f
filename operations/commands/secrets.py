"""`invoicekey secrets`: the secret that VTEX's hook carries, and the key that signs the links to the desk."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood, Trouble
from operations.tasks.rotation import DeskRotation, Rotation
from operations.terminal import consent
from operations.terminal.cli import IN_THE_WAY, app, can_ask, err, out, shop
from operations.terminal.findings import Section, exit_code, show
from operations.terminal.plain import plainly

secrets = typer.Typer(
    no_args_is_help=True,
    help="Change the secret that VTEX's hook carries, or the key that signs links to the desk.",
)
app.add_typer(secrets, name="secrets")


@secrets.callback()
def among() -> None:
    """Let `rotate` be a command of its own, though it is the only one."""


@secrets.command()
def rotate(
    context: typer.Context,
    *,
    guard: Annotated[bool, typer.Option(help="Give VTEX the new secret at once, by running the stack's guard.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Also where VTEX still sends the secret before.")] = False,
    desk: Annotated[
        bool, typer.Option("--desk", help="A new key for the links to the desk, instead of the hook's secret.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --desk: do not ask, though older links end.")] = False,
) -> int:
    """Make a new secret for the hook; the one before it is accepted until the next rotation.

    No secret is shown. Refused while VTEX still sends the one that would no longer be accepted. With --desk it is the
    key that signs links: those already sent work on, up to 30 days.

    Exit code 0 where no call is refused, 3 where VTEX may send what is no longer accepted, or where the guard failed, 1
    where it was not done.
    """
    if desk:
        if force or not guard:
            raise NotUnderstood("--desk changes nothing at VTEX: --force and --no-guard are about the hook's secret.")
        return _rotate_desk(shop(context), yes=yes)
    if yes:
        raise NotUnderstood("--yes is about --desk; a rotation of the hook's secret has --force.")
    rotation = Rotation(shop(context))
    with plainly(), err.status("rotating"):
        rotation.see_what_is_dropped(force=force)
        done = [rotation.write()]
        done += rotation.tell_vtex() if guard else rotation.leave_it_to_guard()
    section = Section("", tuple(done))
    show(out, section)
    return exit_code([section])


def _rotate_desk(of: Shop, *, yes: bool) -> int:
    with plainly():
        rotation = DeskRotation(of, datetime.now(UTC))
        if rotation.cut_short and not yes:
            if not can_ask():
                raise Trouble(f"{rotation.cut_short} Nothing was changed. To do it all the same: --yes")
            err.print(rotation.cut_short, markup=False)
            if not consent.agrees("Rotate all the same?"):
                return IN_THE_WAY
        section = Section("", tuple(rotation.write()))
    show(out, section)
    return exit_code([section])
