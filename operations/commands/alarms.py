"""`invoicekey alarms`: whether one that rings reaches anybody."""

from operations.deployment.shop import Shop
from operations.health.alarms import pick, telling, try_alarm, who_hears
from operations.terminal.cli import err, out
from operations.terminal.findings import exit_code, show


def try_one(of: Shop, alarm: str | None, wait: float) -> int:
    """Let a real alarm ring for a moment; return the exit code."""
    chosen = pick(telling(of), alarm)
    hears = who_hears(of, chosen)
    show(out, hears)
    with err.status(f"{chosen.name} rings for a moment"):
        tried = try_alarm(of, chosen, wait)
    show(out, tried)
    return exit_code([hears, tried])
