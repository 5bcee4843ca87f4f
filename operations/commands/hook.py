"""`invoicekey hook`: VTEX's order hook, and the feed behind it."""

from collections.abc import Callable
from typing import Annotated

import typer

from invoicekey.vtex.connections import Connections
from operations.deployment.shop import Shop
from operations.deployment.stack import Trouble
from operations.deployment.visit import visiting
from operations.health.accounts import of_own
from operations.health.registration import InDoubt, Registration, findings
from operations.terminal import consent
from operations.terminal.cli import can_ask, err, out
from operations.terminal.findings import Finding, Section, exit_code, looked, show, show_accounts
from operations.terminal.plain import plainly, say
from operations.terminal.side_by_side import AT_ONCE, side_by_side

Account = Annotated[
    str | None, typer.Option(metavar="NAME", help="The VTEX account; where there is one only, it need not be named.")
]
ThoughNotShown = typer.Option(
    "--though-not-shown", help="Also where VTEX does not show what is there: you know that it is no other system's."
)


def status(of: Shop, account: str | None) -> int:
    """Say how hook and feed stand at VTEX; return the exit code."""
    accounts = [of.account(account)] if account or not of.accounts else of.accounts
    of.fetch_credentials(accounts)
    with plainly(), visiting(of, accounts, Connections(AT_ONCE)) as vtex:
        registration = Registration(of, vtex)
        sections = side_by_side(accounts, lambda name: _standing(of, registration, name), "asking VTEX")
    show_accounts(out, sections)
    return exit_code(sections)


def install(of: Shop, account: str | None, instead_of: str | None, though_not_shown: bool) -> int:
    """Register hook and feed at VTEX; return the exit code."""
    name = of.account(account)
    with plainly():
        done = install_at_vtex(of, name, instead_of, though_not_shown=though_not_shown)
    section = Section(name, tuple(done))
    show(out, section)
    return exit_code([section])


def install_at_vtex(
    of: Shop, account: str, instead_of: str | None = None, *, though_not_shown: bool = False
) -> list[Finding]:
    """Register hook and feed, and return what was done; ask the person where VTEX leaves a doubt. Raises Trouble."""

    def install(sure: bool) -> list[Finding]:
        with visiting(of, [account]) as vtex, err.status("asking VTEX"):
            return Registration(of, vtex).install(account, instead_of, though_not_shown=sure)

    return _asked_where_in_doubt(install, "Install", sure=though_not_shown)


def _asked_where_in_doubt(act: Callable[[bool], list[Finding]], what: str, *, sure: bool) -> list[Finding]:
    """Act; where VTEX does not show what is there, ask whether to go on, where there is anybody to ask."""
    try:
        return act(sure)
    except InDoubt as doubt:
        if not can_ask():
            raise
        say(err, doubt.doubt)
    if not consent.agrees(f"Are you sure that no other system has one on this appKey? {what}?"):
        raise Trouble("Nothing was changed.")
    return act(True)


def remove(of: Shop, account: str | None, yes: bool, though_not_shown: bool) -> int:
    """Remove hook and feed from VTEX; return the exit code."""
    if not yes and not can_ask():
        raise Trouble("It asks first: in a script say --yes. Nothing was changed.")
    name = of.account(account)
    if not yes:
        say(
            err,
            f"Without hook and feed no event comes of the orders of {name}. The stack's guard registers them again "
            "within the hour, unless the stack is deleted before, or the account taken out of VtexAccounts.",
        )
        if not consent.agrees(f"Remove hook and feed of {name} from VTEX?"):
            raise Trouble("Nothing was changed.")

    def take_away(sure: bool) -> list[Finding]:
        with visiting(of, [name]) as vtex, err.status("asking VTEX"):
            return Registration(of, vtex).remove(name, though_not_shown=sure)

    with plainly():
        done = _asked_where_in_doubt(take_away, "Remove", sure=though_not_shown)
    show(out, Section(name, tuple(done)))
    return 0


def _standing(of: Shop, registration: Registration, account: str) -> Section:
    if keeps := of_own(of, account):
        return Section(account, (keeps,))
    found = looked("hook and feed", lambda: findings(registration.read(account), of))
    return Section(account, tuple(found))
