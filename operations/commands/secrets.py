"""`invoicekey secrets`: the secret that VTEX's hook carries, and the key that signs the links to the desk."""

from datetime import UTC, datetime

from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood, Trouble
from operations.tasks.rotation import DeskRotation, Rotation
from operations.terminal import consent
from operations.terminal.cli import IN_THE_WAY, can_ask, err, out
from operations.terminal.findings import Section, exit_code, show
from operations.terminal.plain import plainly


def rotate(of: Shop, *, guard: bool, force: bool, desk: bool, yes: bool) -> int:
    """Make a new secret for the hook, or with `desk` a new key for the links; return the exit code."""
    if desk:
        if force or not guard:
            raise NotUnderstood("--desk changes nothing at VTEX: --force and --no-guard are about the hook's secret.")
        return _rotate_desk(of, yes=yes)
    if yes:
        raise NotUnderstood("--yes is about --desk; a rotation of the hook's secret has --force.")
    rotation = Rotation(of)
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
