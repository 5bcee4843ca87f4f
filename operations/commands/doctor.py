"""`invoicekey doctor`: whether everything is as it has to be, and what to do where it is not."""

from contextlib import suppress
from datetime import UTC, datetime

from invoicekey.runtime.errors import RetryLater
from operations.deployment.shop import Shop
from operations.deployment.stack import Trouble
from operations.health.account import AccountHealth
from operations.health.local_stack import fitted
from operations.health.stack import StackHealth
from operations.terminal.cli import err, out
from operations.terminal.findings import Section, as_json, exit_code, in_order, show, show_accounts, worst
from operations.terminal.plain import as_json as written
from operations.terminal.plain import plainly, write
from operations.terminal.side_by_side import side_by_side


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
    """Look at one place after the other, and show each as soon as it was looked at, unless quiet.

    The accounts are looked at side by side, and shown together.
    """
    name = of.account(account) if account else None
    looks = StackHealth(of).sections()
    sections: list[Section] = []
    while True:
        with err.status("looking"):
            section = next(looks, None)
        if section is None:
            break
        sections.append(_fitted(of, section))
        if not is_quiet:
            show(out, sections[-1])
    return [*sections, *_examine_accounts(of, [name] if name else _accounts(of), is_quiet=is_quiet)]


def _examine_accounts(of: Shop, accounts: list[str], *, is_quiet: bool) -> list[Section]:
    if not accounts:
        return []
    with suppress(Trouble):  # told of each account that it befalls
        of.fetch_credentials(accounts)
    found = side_by_side(accounts, lambda name: _fitted(of, AccountHealth(of, name).section()), "looking at accounts")
    if not is_quiet:
        show_accounts(out, found)
    return in_order(found)


def _fitted(of: Shop, section: Section) -> Section:
    return fitted(section) if of.deployment.is_local else section


def _accounts(of: Shop) -> list[str]:
    try:
        return of.accounts
    except (Trouble, RetryLater):  # told already, among the secrets and the orders
        return []


def _document(of: Shop, sections: list[Section]) -> dict[str, object]:
    return {
        "stack": of.deployment.stack,
        "region": of.deployment.region,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "state": worst(sections),
        "findings": as_json(sections),
    }
