"""`invoicekey doctor`: whether everything is as it has to be, and what to do where it is not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from operations.deployment.shop import Shop
from operations.deployment.stack import Trouble
from operations.health.account import AccountHealth
from operations.health.local_stack import fitted
from operations.health.stack import StackHealth
from operations.terminal.cli import app, err, out, shop
from operations.terminal.findings import Section, as_json, exit_code, show, worst
from operations.terminal.plain import as_json as written
from operations.terminal.plain import plainly, write


@app.command()
def doctor(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="One VTEX account alone; else all.")] = None,
    json: Annotated[bool, typer.Option("--json", help="For machines: one object a finding.")] = False,
) -> int:
    """Look at everything that has to be well: each line has a tick, or what to do. Nothing is changed.

    Exit code 0 where all is well, 3 where something is to be done, 1 where something could not be looked at.
    """
    of = shop(context)
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
