"""`invoicekey alerts`: whether they arrive."""

from operations.deployment.shop import Shop
from operations.health.topics import send_tests
from operations.terminal.cli import out
from operations.terminal.findings import exit_code, show


def send_test(of: Shop, account: str | None, operations: bool) -> int:
    """Send a test alert, and say whom it goes to; return the exit code."""
    sections = send_tests(of, of.account(account), with_operations=operations)
    show(out, *sections)
    return exit_code(sections)
