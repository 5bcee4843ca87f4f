"""`invoicekey secrets`: the secret that VTEX's hook carries."""

from operations.deployment.shop import Shop
from operations.tasks.rotation import Rotation
from operations.terminal.cli import err, out
from operations.terminal.findings import Section, exit_code, show
from operations.terminal.plain import plainly


def rotate(of: Shop, guard: bool, force: bool) -> int:
    """Make a new secret for the hook; return the exit code."""
    rotation = Rotation(of)
    with plainly(), err.status("rotating"):
        rotation.see_what_is_dropped(force=force)
        done = [rotation.write()]
        done += rotation.tell_vtex() if guard else rotation.leave_it_to_guard()
    section = Section("", tuple(done))
    show(out, section)
    return exit_code([section])
