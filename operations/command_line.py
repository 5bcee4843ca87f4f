"""What can be typed: each command's arguments, options and help, in the order in which they are listed.

What a command does stands in operations/commands/, and is imported when it is done: the clients of AWS and VTEX take a
second to load, and help is to be there at once.
"""

from pathlib import Path
from typing import Annotated

import typer

from operations.deployment.trouble import NotUnderstood
from operations.terminal.cli import Account, Format, ListFirst, Order, Orders, app, shop

REASONS = ("malformed", "not_found", "gave_up", "no_credentials", "none")
"""Why something may be a dead letter."""
MOST_A_SECOND = 100
MOST_DAYS = 14
"""So long a failure may be snoozed."""
LOG_DAYS = 30
"""So long the functions' logs are kept."""
HISTORY_SECONDS, RESULT_SECONDS = 60.0, 120.0

AccountOrAll = Annotated[str | None, typer.Option(metavar="NAME", help="One VTEX account alone; else all.")]
HookAccount = Annotated[
    str | None, typer.Option(metavar="NAME", help="The VTEX account; where there is one only, it need not be named.")
]
ThoughNotShown = Annotated[
    bool,
    typer.Option(
        "--though-not-shown", help="Also where VTEX does not show what is there: you know that it is no other system's."
    ),
]


@app.command()
def setup(
    context: typer.Context,
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="The VTEX account; asked for where it is left out.")
    ] = None,
) -> int:
    """Take a shop into operation, step by step: credentials, a look at its orders, hook, test alert, doctor.

    Each step asks first, may be skipped and may be repeated.

    Exit code 0 where nothing is left to do, 3 where something is, 130 where it was interrupted.
    """
    from operations.commands import setup as command

    return command.setup(shop(context), account)


@app.command()
def doctor(
    context: typer.Context,
    account: AccountOrAll = None,
    json: Annotated[bool, typer.Option("--json", help="For machines: one object a finding.")] = False,
) -> int:
    """Look at everything that has to be well: each line has a tick, or what to do. Nothing is changed.

    Exit code 0 where all is well, 3 where something is to be done, 1 where something could not be looked at.
    """
    from operations.commands import doctor as command

    return command.doctor(shop(context), account, json)


@app.command()
def failures(
    context: typer.Context,
    *,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Those of one VTEX account alone.")] = None,
    code: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="Those with this problem code; may be repeated.")
    ] = None,
    older_than: Annotated[str | None, typer.Option(metavar="SPAN", help="Those open for longer: 2d, 12h, 30m.")] = None,
    form: Annotated[Format, typer.Option("--format", help="Table, or plain CSV or JSON.")] = Format.TABLE,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write them to a file for spreadsheets too.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Those too that were dismissed or expired, if checked within 90 days.")
    ] = False,
) -> int:
    """List the open failures, oldest first. The list lags a moment behind.

    Snoozed ones are open too: nobody is reminded of them before their day.

    Exit code 0 where none is open, 3 where one that is listed is.
    """
    from operations.commands import failures as command

    return command.failures(
        shop(context), account=account, code=code, older_than=older_than, form=form, csv=csv, everything=everything
    )


@app.command()
def check(
    context: typer.Context,
    orders: Orders,
    account: Account = None,
    json: Annotated[bool, typer.Option("--json", help="For machines: a list, one object an order.")] = False,
) -> int:
    """Read orders at VTEX and judge them now, rule by rule. It only looks: nothing is written, nobody is told.

    Exit code 0 where none is failing, 3 where one is, 1 where one could not be read.
    """
    from operations.commands import check as command

    return command.check(shop(context), orders, account, json)


@app.command()
def explain(
    context: typer.Context,
    order: Order,
    account: Account = None,
    days: Annotated[
        int, typer.Option(min=1, max=400, metavar="N", help="So many days the logs are searched back.")
    ] = LOG_DAYS,
) -> int:
    """Tell an order's story: received, read, judged, reported, notified, re-checked. Nothing is asked of VTEX.

    Exit code 0 where nothing is to be done, 3 where it is failing or a dead letter, 1 where nobody here knows the
    order, or where its logs or the dead letters could not be read.
    """
    from operations.commands import explain as command

    return command.explain(shop(context), order, account, days)


@app.command()
def recheck(
    context: typer.Context,
    orders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ORDER", help="The order's id, the marketplace's number, or the order's link; any number."
        ),
    ] = None,
    account: Account = None,
    everything: Annotated[bool, typer.Option("--all", help="All open failures, instead of those named.")] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="So long the results are waited for.")
    ] = RESULT_SECONDS,
) -> int:
    """Have the stack check orders now: what is right by now is closed, what fails is told as usual.

    It watches until the ledger shows what came of each. Interrupted, the checks go on.

    Exit code 0 where none is failing, 3 where one is, 1 where no result came in time, or one could not be checked.
    """
    from operations.commands import recheck as command

    return command.recheck(shop(context), orders, account, everything, wait)


@app.command()
def dismiss(
    context: typer.Context,
    orders: Orders,
    reason: Annotated[
        str, typer.Option(metavar="WORDS", help="Why, in a few words. Nobody's name or data, please: it is kept.")
    ],
    account: Account = None,
) -> int:
    """Set failures aside that were solved elsewhere, as in the marketplace's back office.

    No more reminders; machines are told (resolved, dismissed). It opens again only when its errors change.

    Exit code 0 where all are dismissed, 1 where one could not be; the others are.
    """
    from operations.commands import dismiss as command

    return command.dismiss(shop(context), orders, reason, account)


@app.command()
def undismiss(context: typer.Context, orders: Orders, account: Account = None) -> int:
    """Take dismissals back: the orders are checked at once, and told anew if they still fail.

    Exit code 0 where all are taken back, 1 where one was not dismissed; the others are.
    """
    from operations.commands import dismiss as command

    return command.undismiss(shop(context), orders, account)


@app.command()
def snooze(
    context: typer.Context,
    orders: Orders,
    *,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="The day of the next reminder, such as 2026-12-04 or 04/12.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MOST_DAYS, help="The same as so many days from today.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take it back: they are in the reminders again.")] = False,
    account: Account = None,
) -> int:
    """Leave open failures out of digests and reminders until a day, at most 14 days ahead.

    They are re-checked as ever: what is put right is closed, and what fails otherwise is told at once.

    Exit code 0 where all are snoozed, 1 where one could not be; the others are.
    """
    from operations.commands import snooze as command

    return command.snooze(shop(context), orders, until=until, days=days, undo=undo, account=account)


@app.command()
def desk(
    context: typer.Context,
    order: Annotated[
        str | None,
        typer.Argument(metavar="ORDER", help="One order's page: its id, the marketplace's number, or its link."),
    ] = None,
    account: Account = None,
) -> int:
    """Print a link to an account's list of failures, or to an order's page. It needs no sign-in: mind who gets it.

    The list's works for 7 days, an order's for 30.

    Exit code 0 where there is a link, 1 where this stack has no desk, or has never seen the order.
    """
    from operations.commands import desk as command

    return command.desk(shop(context), order, account)


@app.command()
def redrive(
    context: typer.Context,
    *,
    orders: Annotated[
        list[str] | None, typer.Argument(metavar="ORDER", help="Those about these orders alone; else all.")
    ] = None,
    account: Account = None,
    reason: Annotated[
        list[str] | None,
        typer.Option(metavar="REASON", help=f"Of this reason alone ({', '.join(REASONS)}); may be repeated."),
    ] = None,
    rate: Annotated[int, typer.Option(metavar="N", min=1, max=MOST_A_SECOND, help="So many messages a second.")] = 5,
    discard: Annotated[
        bool, typer.Option("--discard", help="Delete those named, for good, instead of sending them back.")
    ] = False,
    records: Annotated[
        bool, typer.Option("--records", help="Records that SNS could not deliver, back to the failure queue, instead.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it they are listed, and nothing is done.")] = False,
) -> int:
    """List the dead letters; with --yes send them back for another check: all but malformed ones, or those named.

    Nothing is told twice by it: the ledger knows what was told.

    Exit code 0 where there are none, or all went back, 3 where dead letters are left to deal with, 1 where the hook
    queue did not take some.
    """
    from operations.commands import redrive as command

    return command.redrive(
        shop(context),
        orders=orders,
        account=account,
        reason=reason,
        rate=rate,
        discard=discard,
        records=records,
        yes=yes,
    )


@app.command()
def backfill(
    context: typer.Context,
    *,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="The first day: 2026-10-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last day, counted in.")] = None,
    account: Account = None,
    open_: Annotated[bool, typer.Option("--open", help="Queue the failing ones: the stack checks and tells them.")] = (
        False
    ),
    form: Annotated[Format, typer.Option("--format", help="Table (and a CSV file), or plain CSV or JSON.")] = (
        Format.TABLE
    ),
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file for spreadsheets that is written beside the list.")
    ] = None,
    pace: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Requests a minute; else a twentieth of the stack's.")
    ] = None,
    every_affiliate: Annotated[
        bool, typer.Option("--every-affiliate", help="Read other affiliates' orders too: some name CNova's app alone.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where its progress is kept until it is done.")
    ] = None,
) -> int:
    """Read all invoiced CNova orders of a period at VTEX, and list those that are failing. It only lists.

    Interrupted, the same command goes on where it stopped; what was read more than a day before is read anew.

    Exit code 0 where none is failing, 3 where some are, 1 where some could not be read.
    """
    from operations.commands import backfill as command

    return command.backfill(
        shop(context),
        first=first,
        last=last,
        account=account,
        open_=open_,
        form=form,
        csv=csv,
        pace=pace,
        every_affiliate=every_affiliate,
        state=state,
    )


hook = typer.Typer(no_args_is_help=True, help="See, install or remove VTEX's order hook, and the feed behind it.")
app.add_typer(hook, name="hook")


@hook.command()
def status(
    context: typer.Context,
    account: AccountOrAll = None,
) -> int:
    """Say how hook and feed stand at VTEX beside what the stack declares.

    Exit code 0 where all is as declared, 3 where something is not, 1 where VTEX gave no answer.
    """
    from operations.commands import hook as command

    return command.status(shop(context), account)


@hook.command()
def install(
    context: typer.Context,
    account: HookAccount = None,
    instead_of: Annotated[
        str | None,
        typer.Option(
            metavar="HOST", help="The host that the hook points at now, where you have decided to overwrite it."
        ),
    ] = None,
    though_not_shown: ThoughNotShown = False,
) -> int:
    """Register hook and feed at VTEX; safe to repeat, and VTEX pings the address anew.

    Another system's hook or feed is not overwritten; where VTEX does not show whether there is one, it asks you.

    Exit code 0 where both are there, 3 where the feed was left alone, 1 where nothing was changed.
    """
    from operations.commands import hook as command

    return command.install(shop(context), account, instead_of, though_not_shown)


@hook.command()
def remove(
    context: typer.Context,
    account: HookAccount = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    though_not_shown: ThoughNotShown = False,
) -> int:
    """Remove hook and feed from VTEX: before the stack is deleted, or to give the appKey to another system.

    Another system's hook or feed is never removed; where VTEX does not show whether there is one, it asks you.

    Exit code 0 where neither is left, 1 where nothing was changed.
    """
    from operations.commands import hook as command

    return command.remove(shop(context), account, yes, though_not_shown)


accounts = typer.Typer(
    cls=ListFirst, help="The VTEX accounts of a stack: list, add, change or remove them. Alone it lists them."
)
app.add_typer(accounts, name="accounts")


def _refuse_token(token: str | None) -> None:
    if token is not None:
        raise NotUnderstood(
            "An appToken is never an argument: others see it in the list of processes. Nothing was done. Make a new "
            "one at VTEX, for this one was seen; then say --token-stdin, and give it on standard input."
        )


AccountName = Annotated[str, typer.Argument(metavar="NAME", help="The NAME of https://NAME.myvtex.com.")]
OwnSettings = Annotated[
    list[str] | None,
    typer.Argument(metavar="SETTING=VALUE", help="Settings of its own, such as SellerTaxIds=11222333000181."),
]
AppKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="For scripts, with --token-stdin; else it is asked for.")
]
TokenStdin = Annotated[bool, typer.Option("--token-stdin", help="For scripts: the appToken comes by standard input.")]
AppToken = Annotated[str | None, typer.Option("--app-token", metavar="TOKEN", hidden=True, callback=_refuse_token)]
AlertEmails = Annotated[
    list[str] | None,
    typer.Option("--alert-email", metavar="ADDRESS", help="Who gets its alerts alone, by e-mail; may be repeated."),
]


@accounts.command("list")
def list_accounts(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For machines: one object an account.")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write them to a file for spreadsheets too.")] = None,
) -> int:
    """List the accounts, trouble first: how each stands, last hook, open failures, credentials, hook and feed.

    As the stack has noted it, a few hours old at the most: VTEX is not asked.

    Exit code 0 where all is well, 3 where one is to be looked at.
    """
    from operations.commands import accounts as command

    return command.list_accounts(shop(context), json=json, csv=csv)


@accounts.command("add")
def add_account(
    context: typer.Context,
    *,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The VTEX account; or --from FILE.")] = None,
    settings: OwnSettings = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="A CSV of many, mode 600 (or - for standard input): account,app_key,app_token, and settings' names.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --from: check it, and say what would be done.")] = (
        False
    ),
    app_key: AppKey = None,
    token_stdin: TokenStdin = False,
    alert_email: AlertEmails = None,
    _: AppToken = None,
) -> int:
    """Add an account, or a file of them: credentials, which VTEX is asked about first, then settings, hook and feed.

    Interrupted, the same command goes on: what is there already is seen, and left. An account that is there already
    gets these credentials and settings; its others stay.

    Exit code 0 where all are there, 3 where something is left to do, 2 where a file is wrong: nothing was done then.
    """
    from operations.commands import accounts as command

    given = command.Given(
        settings=settings or (), alert_emails=alert_email or (), app_key=app_key, token_stdin=token_stdin
    )
    return command.add(shop(context), name, given, source=source, dry_run=dry_run)


@accounts.command("set")
def set_account(
    context: typer.Context,
    *,
    name: AccountName,
    settings: OwnSettings = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="SETTING", help="The stack's again; may be repeated.")
    ] = None,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Off: nothing is checked, guarded or drained.")] = None,
    alert_email: AlertEmails = None,
    no_alert_email: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="Who no longer does; may be repeated.")
    ] = None,
    new_credentials: Annotated[
        bool, typer.Option("--credentials", help="Another appKey and appToken: they are asked for, and not shown.")
    ] = False,
    app_key: AppKey = None,
    token_stdin: TokenStdin = False,
    _: AppToken = None,
) -> int:
    """Change what an account has of its own, and show it before and after. It counts within five minutes.

    Exit code 0 where it is done, 3 where something is left to do, or where somebody else changed it meanwhile.
    """
    from operations.commands import accounts as command

    given = command.Given(
        settings=settings or (),
        unset=unset or (),
        is_off=None if on is None else not on,
        alert_emails=alert_email or (),
        no_alert_emails=no_alert_email or (),
        app_key=app_key,
        token_stdin=token_stdin,
    )
    return command.change(shop(context), name, given, new_credentials=new_credentials)


@accounts.command("remove")
def remove_account(
    context: typer.Context,
    *,
    name: AccountName,
    close_open: Annotated[
        bool | None, typer.Option("--close-open/--keep-open", help="What becomes of its open failures.")
    ] = None,
    without_vtex: Annotated[
        bool, typer.Option("--without-vtex", help="Leave hook and feed there: the shop is closed, or out of reach.")
    ] = False,
    though_not_shown: ThoughNotShown = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """Remove an account: hook and feed at VTEX, where they are ours, credentials, e-mail subscriptions, settings.

    Its open failures are dismissed, or kept in the lists, as you say. Interrupted, the same command goes on.

    Exit code 0 where nothing is left of it, 3 where something is left to do.
    """
    from operations.commands import accounts as command

    return command.remove(
        shop(context),
        name,
        close_open=close_open,
        asks_vtex=not without_vtex,
        though_not_shown=though_not_shown,
        yes=yes,
    )


secrets = typer.Typer(
    no_args_is_help=True, help="Change the secret that VTEX's hook carries, or the key that signs links to the desk."
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
    from operations.commands import secrets as command

    return command.rotate(shop(context), guard=guard, force=force, desk=desk, yes=yes)


alerts = typer.Typer(no_args_is_help=True, help="See whether alerts arrive.")
app.add_typer(alerts, name="alerts")


@alerts.command("test")
def send_test(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="The VTEX account that the test names.")] = None,
    operations: Annotated[bool, typer.Option("--operations", help="Test the operations topic too.")] = False,
) -> int:
    """Send a test alert, and say whom it goes to.

    Exit code 0 where somebody gets it, 3 where a subscription is not confirmed, or where nobody listens.
    """
    from operations.commands import alerts as command

    return command.send_test(shop(context), account, operations)


alarms = typer.Typer(no_args_is_help=True, help="See whether alarms reach anybody.")
app.add_typer(alarms, name="alarms")


@alarms.callback()
def begin() -> None:
    """See whether alarms reach anybody."""


@alarms.command("test")
def try_one(
    context: typer.Context,
    alarm: Annotated[
        str | None, typer.Option(metavar="ALARM", help="One of the stack's, as the runbook names it; else any.")
    ] = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="So many seconds its history is waited for.")
    ] = HISTORY_SECONDS,
) -> int:
    """Let a real alarm ring for a moment, and see that CloudWatch tells the operations topic.

    Whoever listens gets its message, which says that it is a test. The alarm is put back to OK at once.

    Exit code 0 where it was told, 3 where it was not, or nobody listens, 1 where that cannot be seen.
    """
    from operations.commands import alarms as command

    return command.try_one(shop(context), alarm, wait)
