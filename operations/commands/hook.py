"""`invoicekey hook`: VTEX's order hook, and the feed behind it."""

from typing import Annotated

import typer

from operations.cli import app, can_ask, err, out, shop
from operations.deployment import Trouble
from operations.findings import Section, exit_code, looked, show
from operations.plain import plainly, say
from operations.registration import Registration, findings
from operations.shop import Shop
from operations.visit import visiting

Account = Annotated[str | None, typer.Option(help="The VTEX account; where there is one only, it need not be named.")]

hook = typer.Typer(no_args_is_help=True, help="See, install or remove VTEX's order hook, and the feed behind it.")
app.add_typer(hook, name="hook")


@hook.command()
def status(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(help="One VTEX account alone; else all.")] = None,
) -> int:
    """Say how hook and feed stand at VTEX beside what the stack declares.

    Exit code 0 where all is as declared, 3 where something is not, 1 where VTEX gave no answer.
    """
    of = shop(context)
    accounts = [of.account(account)] if account or not of.accounts else of.accounts
    with plainly(), visiting(of, accounts) as vtex, err.status("asking VTEX"):
        sections = [_standing(of, Registration(of, vtex), name) for name in accounts]
    show(out, *sections)
    return exit_code(sections)


@hook.command()
def install(
    context: typer.Context,
    account: Account = None,
    instead_of: Annotated[
        str | None, typer.Option(help="The host that the hook points at now, where you have decided to overwrite it.")
    ] = None,
) -> int:
    """Register hook and feed at VTEX; safe to repeat, and VTEX pings the address anew.

    Another system's hook or feed is not overwritten. Exit code 3 where the feed was left alone.
    """
    of = shop(context)
    name = of.account(account)
    with plainly(), visiting(of, [name]) as vtex, err.status("asking VTEX"):
        section = Section(name, tuple(Registration(of, vtex).install(name, instead_of)))
    show(out, section)
    return exit_code([section])


@hook.command()
def remove(
    context: typer.Context,
    account: Account = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Remove hook and feed from VTEX: before the stack is deleted, or to give the appKey to another system.

    Another system's hook or feed is never removed.
    """
    if not yes and not can_ask():
        raise Trouble("It asks first: in a script say --yes. Nothing was changed.")
    of = shop(context)
    name = of.account(account)
    if not yes:
        say(
            err,
            f"Without hook and feed nothing is heard of the orders of {name}. The stack's guard registers them again "
            "within the hour, unless the stack is deleted before, or the account taken out of VtexAccounts.",
        )
        if not typer.confirm(f"Remove hook and feed of {name} from VTEX?", err=True):
            raise Trouble("Nothing was changed.")
    with plainly(), visiting(of, [name]) as vtex, err.status("asking VTEX"):
        section = Section(name, tuple(Registration(of, vtex).remove(name)))
    show(out, section)
    return 0


def _standing(of: Shop, registration: Registration, account: str) -> Section:
    found = looked("hook and feed", lambda: findings(registration.read(account), of))
    return Section(account, tuple(found))
