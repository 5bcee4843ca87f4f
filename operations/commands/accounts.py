"""`invoicekey accounts`: the accounts of a stack; list, add, change and remove them."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.text import Text

from invoicekey.ledger.accounts import CORRUPT, Account, CorruptAccount
from invoicekey.messages.alert import Style
from invoicekey.messages.fields import timestamp
from invoicekey.messages.sheet import ACCOUNT_HEADINGS, Cell, of_account, sheet
from invoicekey.runtime.errors import Conflict, RetryLater
from invoicekey.runtime.secrets import Credentials, is_header_value
from invoicekey.vtex.connections import Connections
from operations.commands.hook import install_at_vtex
from operations.deploying import credentials
from operations.deploying.answers import fault
from operations.deployment.credentials import credentials_place
from operations.deployment.emails import AccountEmails, checked_address
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood, Trouble
from operations.deployment.visit import visiting
from operations.health.accounts import AccountList, Line, Standing
from operations.health.registration import InDoubt
from operations.tasks import accounts_file, accounts_removal
from operations.tasks.accounts import (
    Adding,
    Change,
    Outcome,
    Result,
    Wanted,
    changed,
    fault_of_settings,
    known,
    needs_registration,
    see_that_it_is_served,
    setting_named,
    settings_in,
    written,
)
from operations.tasks.accounts_removal import Removal
from operations.terminal.cli import FAILING, INTERRUPTED, can_ask, err, out
from operations.terminal.findings import Finding, Section, exit_code, show, to_do, unknown, well
from operations.terminal.plain import as_json, in_one_cell, plainly, say, short_age, write
from operations.terminal.plain import show as show_table
from operations.terminal.sheet import save, see_that_it_can_be_written
from operations.terminal.side_by_side import AT_ONCE, side_by_side

CHANGED_MEANWHILE = "Somebody else changed it meanwhile: nothing was done; see {}"
LONGEST_TOKEN = 4096
_DISPENSABLE = ("e-mails", "feed", "settings", "credentials", "hook")
"""The columns that are left out, one after the other, where the terminal has no room for all."""


# ---- list


def list_accounts(of: Shop, *, json: bool, csv: Path | None) -> int:
    """List the accounts, trouble first; return the exit code."""
    with plainly():
        if csv:
            see_that_it_can_be_written(csv)
        now = datetime.now(UTC)
        with err.status("reading the ledger"):
            accounts = AccountList(of, now)
            lines, odd = accounts.lines(), accounts.odd_names()
        if csv:
            rows = [_sheet_row(line, of.style) for line in lines]
            save(csv, sheet(list(ACCOUNT_HEADINGS), rows, of.style, ACCOUNT_HEADINGS))
    if json:
        write(out, as_json({"accounts": [_as_json(line) for line in lines], "no_account_names": odd}))
    else:
        say(out, _sum(lines))
        if lines:
            _show(lines, now)
        for name in odd:
            say(err, f"The stack's secret names {name!r}, which is no account's name: nobody reads what stands there.")
    if csv:
        err.print(f"The same for spreadsheets: {csv}", markup=False)
    return FAILING if odd or any(line.standing.is_trouble for line in lines) else 0


def _sum(lines: Sequence[Line]) -> str:
    if not lines:
        return "No account yet: invoicekey accounts add NAME"
    counted = Counter(line.standing for line in lines)
    trouble = sum(count for standing, count in counted.items() if standing.is_trouble)
    others = [f"{counted[one]} {one}" for one in (Standing.OFF, Standing.NEW, Standing.OK) if counted[one]]
    told = ", ".join([*([f"{trouble} to look at"] if trouble else []), *others])
    failures = sum(line.open for line in lines)
    open_ = f"{failures} open failure{'' if failures == 1 else 's'}"
    return f"{len(lines)} account{'' if len(lines) == 1 else 's'}: {told}. {open_}."


def _show(lines: Sequence[Line], now: datetime) -> None:
    columns = ["account", "state", "last hook", "open", "credentials", "hook", "feed", "settings", "e-mails"]
    # What no account has needs no column.
    if not any(line.settings for line in lines):
        columns.remove("settings")
    if not any(line.emails for line in lines):
        columns.remove("e-mails")
    left_out = show_table(out, columns, [_cells(line, now) for line in lines], _DISPENSABLE)
    if left_out:
        err.print(
            f"Left out for want of room: {', '.join(left_out)}. A wider window shows them, and so does --csv FILE."
        )
    advised = [line for line in lines if line.standing.is_trouble and line.to_do]
    for standing, line in {line.standing: line for line in reversed(advised)}.items():
        say(err, f"{standing}: {line.to_do}", indent=0)


def _cells(line: Line, now: datetime) -> dict[str, Text]:
    since = f" for {short_age(now - line.since)}" if line.since else ""
    told = {
        "account": line.account,
        "state": line.state + since,
        "last hook": f"{short_age(now - line.hook_at)} ago" if line.hook_at else "never",
        "open": str(line.open),
        "credentials": line.place,
        "hook": line.hook,
        "feed": line.feed,
        "settings": "\n".join(line.settings) or "-",
        "e-mails": "\n".join(line.emails) or "-",
    }
    return {
        name: Text(text, style="bold red" if name == "state" and line.standing.is_trouble else "")
        for name, text in told.items()
    }


def _as_json(line: Line) -> dict[str, Any]:
    return {
        "account": line.account,
        "state": line.state,
        "is_trouble": line.standing.is_trouble,
        "since": timestamp(line.since) if line.since else None,
        "last_hook": timestamp(line.hook_at) if line.hook_at else None,
        "open": line.open,
        "credentials": line.place,
        "hook": line.hook,
        "feed": line.feed,
        "settings": line.settings,
        "emails": line.emails,
        "to_do": line.to_do,
    }


def _sheet_row(line: Line, style: Style) -> dict[str, Cell]:
    return {
        "account": line.account,
        "state": of_account(line.state, style),
        "since": line.since,
        "last_hook": line.hook_at,
        "open": line.open,
        "credentials": of_account(line.place, style),
        "hook": of_account(line.hook, style),
        "feed": of_account(line.feed, style),
        "settings": in_one_cell(line.settings),
        "emails": in_one_cell(line.emails),
        "to_do": line.to_do,
    }


# ---- Credentials, as a person or a script gives them


def asked(account: str, app_key: str | None, *, token_stdin: bool) -> Credentials:
    """Return the appKey and appToken that are typed unseen, or those of a script: the token by standard input alone."""
    if token_stdin != (app_key is not None):
        raise NotUnderstood(
            "In a script both are needed: --app-key KEY --token-stdin, and the appToken on standard input."
        )
    if app_key is not None:
        return _sendable(app_key.strip(), sys.stdin.read(LONGEST_TOKEN).strip())
    if not can_ask():
        raise NotUnderstood("It asks for appKey and appToken: in a script say --app-key KEY --token-stdin.")
    say(err, f"The appKey and appToken of {account}, as VTEX Admin shows them (Account settings, Application keys):")
    typed = credentials.ask_keys()
    return Credentials(typed["app_key"], typed["app_token"])


def _sendable(app_key: str, app_token: str) -> Credentials:
    for name, value in (("appKey", app_key), ("appToken", app_token)):
        if not is_header_value(value):
            raise NotUnderstood(
                f"That is no {name}: expected visible ASCII characters without blanks. Nothing was changed."
            )
    return Credentials(app_key, app_token)


# ---- add


@dataclass(frozen=True, slots=True)
class Given:
    """What was typed to add or change an account."""

    settings: Sequence[str] = ()
    unset: Sequence[str] = ()
    is_off: bool | None = None
    alert_emails: Sequence[str] = ()
    no_alert_emails: Sequence[str] = ()
    app_key: str | None = None
    token_stdin: bool = False


def add(of: Shop, name: str | None, given: Given, *, source: str | None, dry_run: bool) -> int:
    """Add an account, or those of a file; return the exit code."""
    if source is not None:
        if name is not None or given != Given():
            raise NotUnderstood("Either NAME and its settings, or --from FILE, which has all of them in it.")
        return _add_from(of, source, dry_run=dry_run)
    if name is None or dry_run:
        raise NotUnderstood("Say which account: accounts add NAME; or --from FILE, with --dry-run to see it first.")
    return _add(of, name, given)


def _add(of: Shop, name: str, given: Given) -> int:
    """Try its credentials, keep them, write its item, register hook and feed; return the exit code."""
    account = credentials.checked_account(name)
    settings, addresses = settings_in(given.settings), [checked_address(one) for one in given.alert_emails]
    with plainly():
        before = of.own.get(account) or Account(account)
        wrong = see_that_it_is_served(of, account) or fault_of_settings(of, {**before.settings, **settings}, fault)
        if wrong:
            raise NotUnderstood(f"{wrong}. Nothing was changed.")
        wanted = Wanted(account, asked(account, given.app_key, token_stdin=given.token_stdin), settings)
        section = Section(account, tuple(_added(of, wanted, addresses)))
    show(out, section)
    return exit_code([section])


def _added(of: Shop, wanted: Wanted, addresses: Sequence[str]) -> Iterator[Finding]:
    account = wanted.account
    with visiting(of, [account]) as vtex, err.status("asking VTEX"):
        is_news = Adding(of, vtex, credentials_place(of)).keep(wanted)
    yield well(
        "its credentials and settings are kept" if is_news else "its credentials and settings were there already"
    )
    yield from _subscribed(of, account, addresses)
    yield from _registered(of, account)


def _registered(of: Shop, account: str) -> list[Finding]:
    """Register hook and feed; what is in the way is left to do, and the guard tries it within the hour."""
    if (own := of.own.get(account)) and own.is_off:
        return [to_do("it is off, so hook and feed were left alone", of.command(f"accounts set {account} --on"))]
    how = of.command(f"hook install --account {account}")
    try:
        return install_at_vtex(of, account)
    except InDoubt as doubt:
        return [to_do(doubt.doubt, how)]
    except Trouble as trouble:
        return [to_do(str(trouble), how)]
    except RetryLater as trouble:
        return [to_do(f"hook and feed: {trouble.why}", f"the guard tries again within the hour; or {how}")]


# ---- add --from


def _add_from(of: Shop, source: str, *, dry_run: bool) -> int:
    """Add the accounts of a file, some at once; return the exit code. Repeated, it goes on where it stopped."""
    with plainly():
        place = credentials_place(of)
        text = accounts_file.text_of(source)
        all_wanted = accounts_file.accounts_in(text, of, fault)
        with err.status("reading what is there"):
            of.fetch_credentials([wanted.account for wanted in all_wanted])
        names = [wanted.account for wanted in all_wanted]
        with visiting(of, names, Connections(AT_ONCE)) as vtex:
            adding = Adding(of, vtex, place)
            if dry_run:
                return _planned(adding, all_wanted)
            return _added_all(adding, all_wanted)


def _planned(adding: Adding, all_wanted: Sequence[Wanted]) -> int:
    plans = side_by_side(all_wanted, adding.plan, "comparing")
    to_be_done = [(wanted.account, steps) for wanted, steps in zip(all_wanted, plans, strict=True) if steps]
    told = f"{len(to_be_done)} would be added or changed, {len(plans) - len(to_be_done)} skipped: all is there."
    say(out, f"{_accounts(len(plans))}: {told} Nothing was done.")
    for account, steps in to_be_done:
        say(out, "; ".join(steps), lead=f"{account}: ", indent=2)
    return 0


def _added_all(adding: Adding, all_wanted: Sequence[Wanted]) -> int:
    results: list[Result] = []
    try:
        side_by_side(all_wanted, lambda wanted: results.append(adding.add(wanted)), "adding accounts")
    except KeyboardInterrupt:
        _sum_up(results, len(all_wanted))
        say(err, "Interrupted. Nothing is half done: the same command goes on.")
        return INTERRUPTED
    _sum_up(results, len(all_wanted))
    return FAILING if any(one.outcome in {Outcome.FAILED, Outcome.UNFINISHED} for one in results) else 0


def _sum_up(results: Sequence[Result], total: int) -> None:
    counted = Counter(one.outcome for one in results)
    told = [f"{counted[outcome]} {outcome}" for outcome in Outcome if counted[outcome] or outcome is Outcome.DONE]
    if total > len(results):
        told.append(f"{total - len(results)} left")
    say(out, f"{_accounts(total)}: {', '.join(told)}.")
    for one in sorted(results, key=lambda one: one.account):
        if one.why:
            say(out, one.why, lead=f"{one.account}: {one.outcome}: ", indent=2)


def _accounts(number: int) -> str:
    return f"{number:,} account{'' if number == 1 else 's'}"


# ---- set


def change(of: Shop, name: str, given: Given, *, new_credentials: bool) -> int:
    """Change what an account has of its own; return the exit code."""
    settings, unset = settings_in(given.settings), frozenset(map(setting_named, given.unset))
    if both := sorted(unset & settings.keys()):
        raise NotUnderstood(f"{both[0]}: either a value or --unset. Nothing was changed.")
    addresses = [checked_address(one) for one in given.alert_emails]
    wants_credentials = new_credentials or given.app_key is not None or given.token_stdin
    if not (settings or unset or addresses or given.no_alert_emails or wants_credentials or given.is_off is not None):
        raise NotUnderstood(
            "Say what is to be changed: Setting=value, --unset, --on, --off, --alert-email, --credentials."
        )
    with plainly():
        account = known(of, name)
        before = _read(of, account)
        typed = asked(account, given.app_key, token_stdin=given.token_stdin) if wants_credentials else None
        try:
            after, told = changed(of, before, Change(settings, unset, given.is_off), fault)
        except Conflict:
            return _changed_meanwhile(of)
        findings = [well(one) for one in told]
        if typed:
            findings += _with_new_credentials(of, account, typed)
        findings += _subscribed(of, account, addresses)
        findings += _unsubscribed(of, account, given.no_alert_emails)
        if needs_registration(before, after) or typed:
            findings += _registered(of, account)
    sections = [Section(account, tuple(findings or [well("nothing to change: it is so already")]))]
    show(out, *sections)
    if told or typed:
        say(err, "It counts within five minutes, without a deployment.")
    return exit_code(sections)


def _read(of: Shop, account: str) -> Account:
    try:
        return of.of_accounts.read_one(account)
    except CorruptAccount:
        how = of.command(f"accounts add {account}")
        raise Trouble(f"{account}: {CORRUPT}. Nothing was changed. Write it anew: {how}") from None


def _changed_meanwhile(of: Shop) -> int:
    err.print(CHANGED_MEANWHILE.format(of.command("accounts list")), style="red", markup=False)
    return FAILING


def _with_new_credentials(of: Shop, account: str, typed: Credentials) -> list[Finding]:
    try:
        with visiting(of, [account]) as vtex, err.status("asking VTEX"):
            is_news = Adding(of, vtex, credentials_place(of)).keep(Wanted(account, typed, switches_on=False))
    except RetryLater as trouble:
        return [unknown(f"its credentials stay as they were: {trouble.why}", "try again later")]
    except Trouble as trouble:
        return [
            to_do(f"its credentials stay as they were. {trouble}", of.command(f"accounts set {account} --credentials"))
        ]
    return [
        well(
            "its credentials are replaced; revoke the former at VTEX in five minutes"
            if is_news
            else "these credentials are there already"
        )
    ]


def _subscribed(of: Shop, account: str, addresses: Sequence[str]) -> list[Finding]:
    emails, findings = AccountEmails(of), list[Finding]()
    for address in addresses:
        others = {arn for own in of.own.values() if own for arn in own.subscriptions}
        arn, told = emails.add(account, address, others)
        if arn is not None:
            _note_subscriptions(of, account, add=arn)
        findings.append(well(told))
    return findings


def _unsubscribed(of: Shop, account: str, addresses: Sequence[str]) -> list[Finding]:
    if not addresses:
        return []
    emails, own = AccountEmails(of), of.of_accounts.read_one(account)
    there = {email.address.casefold(): email for email in emails.of([own]).get(account, ())}
    findings: list[Finding] = []
    for address in addresses:
        email = there.get(address.strip().casefold())
        if email is None:
            known_ones = ", ".join(one.address for one in there.values()) or "none"
            findings.append(to_do(f"{address} does not get its alerts alone", f"those who do: {known_ones}"))
            continue
        emails.remove(account, email.arn)
        _note_subscriptions(of, account, remove=email.arn)
        findings.append(well(f"{email.address} is alerted of {account} no more"))
    return findings


def _note_subscriptions(of: Shop, account: str, *, add: str = "", remove: str = "") -> None:
    def noted(now: Account) -> Account:
        arns = {*now.subscriptions, add} - {remove, ""}
        return replace(now, subscriptions=tuple(sorted(arns)))

    of.own[account] = written(of, account, noted)


# ---- remove


def remove(of: Shop, name: str, *, close_open: bool | None, asks_vtex: bool, though_not_shown: bool, yes: bool) -> int:
    """Remove an account; return the exit code."""
    if not yes and not can_ask():
        raise Trouble("It asks first: in a script say --yes. Nothing was changed.")
    with plainly():
        account = known(of, name)
        if close_open is None and (number := len(accounts_removal.open_failures(of, account))):
            raise NotUnderstood(
                f"{account} has {number} open failure{'' if number == 1 else 's'}: say --close-open to dismiss what is "
                "open, or --keep-open to leave it in the lists. Nothing was changed."
            )
        if not yes:
            _confirm(account)
        removal = Removal(
            account, keeps_open=close_open is False, asks_vtex=asks_vtex, though_not_shown=though_not_shown
        )
        section = Section(account, tuple(_removed(of, removal)))
    show(out, section)
    return exit_code([section])


def _removed(of: Shop, removal: Removal) -> Iterator[Finding]:
    """Take the steps; what is in the way of one leaves the others to the next time."""
    again = "mend that, and do the same again: it goes on where it stopped"
    try:
        with err.status("removing"):
            yield from accounts_removal.remove(of, removal)
    except Conflict:
        yield to_do("somebody else is changing it at this moment", again)
    except RetryLater as trouble:
        yield to_do(trouble.why, again)
    except Trouble as trouble:
        yield to_do(str(trouble), again)


def _confirm(account: str) -> None:
    say(err, f"{account}: its hook and feed at VTEX, its credentials, e-mail subscriptions and settings are removed.")
    if input("Type the account's name to go on: ").strip() != account:
        raise Trouble("Nothing was changed.")
