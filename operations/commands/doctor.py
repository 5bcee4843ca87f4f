"""`invoicekey doctor`: whether everything is as it has to be, and what to do where it is not."""

from collections.abc import Iterator
from datetime import UTC, datetime

from operations.deployment.shop import Shop
from operations.deployment.stack import Trouble
from operations.health.account import AccountHealth
from operations.health.local_stack import fitted
from operations.health.stack import StackHealth
from operations.terminal.cli import err, out
from operations.terminal.findings import Section, as_json, exit_code, show, worst
from operations.terminal.plain import as_json as written
from operations.terminal.plain import plainly, write


def doctor(of: Shop, account: str | None, json: bool) -> int:
    """Look at everything that has to be well; return the exit code."""
    if out.is_terminal and not json:
        out.print(f"[bold]{of.deployment.stack}[/] in {of.deployment.region}")
    with plainly():
        sections = examine(of, account, is_quiet=json)
    if json:
        write(out, written(_document(of, sections)))
    return exit_code(sections)


def examine(of: Shop, account: str | None, *, is_quiet: bool = False) -> list[Section]:
    """Look at one place after the other, and show each as soon as it was looked at, unless quiet."""
    looks = _looks(of, of.account(account) if account else None)
    sections: list[Section] = []
    while True:
        with err.status("looking"):
            section = next(looks, None)
        if section is None:
            return sections
        section = fitted(section) if of.deployment.is_local else section
        sections.append(section)
        if not is_quiet:
            show(out, section)


def _looks(of: Shop, account: str | None) -> Iterator[Section]:
    yield from StackHealth(of).sections()
    for name in [account] if account else _accounts(of):
        yield AccountHealth(of, name).section()


def _accounts(of: Shop) -> list[str]:
    try:
        return of.accounts
    except Trouble:  # told already, among the secrets
        return []


def _document(of: Shop, sections: list[Section]) -> dict[str, object]:
    return {
        "stack": of.deployment.stack,
        "region": of.deployment.region,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": worst(sections),
        "findings": as_json(sections),
    }
