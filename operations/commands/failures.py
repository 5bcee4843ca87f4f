"""`invoicekey failures`: the open failures, oldest first."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import batched
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.text import Text

from invoicekey.ledger.entries import DISMISSED, EXPIRED, FOLLOWED, Entry, checked_list, ref_of, shown
from invoicekey.ledger.failures import FailureLists, Shown, State, failure_of
from invoicekey.ledger.lists import readable
from invoicekey.ledger.table import Item
from invoicekey.messages import texts
from invoicekey.messages.fields import order_url, timestamp
from invoicekey.messages.sheet import HEADINGS, Cell, Exact, problem, sheet, state
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.verdict import NOT_ON_ITS_WAY, Code, Severity
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood
from operations.health.story import day
from operations.terminal.cli import FAILING, Format, err, out
from operations.terminal.plain import (
    LANGUAGE,
    as_csv,
    as_json,
    date,
    in_one_cell,
    line,
    plainly,
    short_age,
    show,
    write,
)
from operations.terminal.sheet import save, see_that_it_can_be_written

_AT_ONCE = 25
LOOK_BACK = timedelta(days=90)
"""So far back `--all` looks for failures that are archived: they closed no list, and are found by their last check."""
OPEN, SNOOZED = State.OPEN.value, State.SNOOZED.value
_STATES = (OPEN, SNOOZED, EXPIRED, DISMISSED)
SHEET = tuple(HEADINGS)
COLUMNS = (
    "account", "order", "opened", "age", "codes", "invoices", "suggestion", "next_reading", "link", "state",
    "snoozed_until",
)  # fmt: skip
_ERRORS = [code for code in Code if code.severity is Severity.ERROR or code in NOT_ON_ITS_WAY]
"""The codes that can make an order failing; the last two by TrackingGraceHours alone."""
_DISPENSABLE = ("opened", "next", "suggestion")
"""The columns that are left out, one after the other, where the terminal has no room for all."""
_SPAN = re.compile(r"([0-9]{1,5}) ?(m|min|h|d|w)")
_UNITS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Failure:
    """An order's failure, as the index has it."""

    ref: OrderRef
    opened_at: datetime
    errors: tuple[Shown, ...]
    next_reading: datetime | None
    state: str = OPEN
    """Or snoozed; or why it is archived: dismissed, expired."""
    snoozed_until: datetime | None = None

    @property
    def codes(self) -> list[str]:
        """List the codes of its errors, each once."""
        return list(dict.fromkeys(error.code for error in self.errors))

    @property
    def has_suggestion(self) -> bool:
        """Say whether a key is suggested for one of its invoices."""
        return any(error.has_suggestion for error in self.errors)


def failures(
    of: Shop,
    *,
    account: str | None,
    code: list[str] | None,
    older_than: str | None,
    form: Format,
    csv: Path | None,
    everything: bool,
) -> int:
    """List the failures that are wanted, oldest first; return the exit code."""
    codes, now = _codes(code or []), datetime.now(UTC)
    oldest = now - _span(older_than) if older_than else now
    with plainly():
        if csv:
            see_that_it_can_be_written(csv)
        name = of.account(account) if account else None
        with err.status("reading the ledger"):
            there = _with_snoozes(of, list(_found(of, name, now, everything=everything)), now)
        found = [one for one in there if one.opened_at <= oldest and (not codes or codes.intersection(one.codes))]
        found.sort(key=lambda one: (one.opened_at, one.ref.order_id))
        _write(of, found, form, now, everything=everything)
        if csv:
            save(csv, sheet(SHEET, _sheet_rows(of, found, now), of.style))
            err.print(f"The same for spreadsheets: {csv}", markup=False)
        if not found:
            err.print(_none(len(there), name, everything=everything))
    return FAILING if any(one.state in {OPEN, SNOOZED} for one in found) else 0


def _found(of: Shop, account: str | None, now: datetime, *, everything: bool) -> Iterator[Failure]:
    def is_wanted(item: Item) -> bool:
        is_of_account = account in {None, ref_of(item["pk"]).account}
        # What is followed without a failure is watched for its tracking; what was closed has no opening either.
        return is_of_account and (everything or "set_aside" not in item) and "opened_at" in item

    items = filter(is_wanted, _items(of, account, now, everything=everything))
    return readable(items, _failure, key=itemgetter("pk"))


def _items(of: Shop, account: str | None, now: datetime, *, everything: bool) -> Iterator[Item]:
    yield from of.table.listed(FOLLOWED)
    if everything:
        since = (now - LOOK_BACK).isoformat()
        for name in [account] if account else sorted({*of.backlog.accounts(), *of.accounts}):
            for item in of.table.listed(checked_list(name), since=since):
                if "set_aside" in item:
                    yield item


def _failure(item: Item) -> Failure:
    state = item.get("set_aside")
    return Failure(
        ref=ref_of(item["pk"]),
        opened_at=datetime.fromisoformat(item["opened_at"]),
        errors=tuple(map(shown, item.get("errors", ()))),
        next_reading=None if state else datetime.fromisoformat(item["list_at"]),
        state=state or OPEN,
    )


def _with_snoozes(of: Shop, found: list[Failure], now: datetime) -> list[Failure]:
    """Say of those that are snoozed until when; the list that they were found in does not know."""
    lists, until = FailureLists(of.table), dict[OrderRef, datetime]()
    for account in {one.ref.account for one in found if one.state == OPEN}:
        for snoozed in readable(lists.items(account, [State.SNOOZED]), failure_of, key=itemgetter("pk")):
            if snoozed.is_snoozed(now) and snoozed.snoozed_until:
                until[snoozed.ref] = snoozed.snoozed_until
    return [
        replace(one, state=SNOOZED, snoozed_until=until[one.ref]) if one.state == OPEN and one.ref in until else one
        for one in found
    ]


def _codes(named: Iterable[str]) -> set[str]:
    codes = {name.strip().casefold() for name in named}
    if odd := codes - set(_ERRORS):
        what = "no such problem code" if odd - set(Code) else "a warning, which opens no failure"
        raise NotUnderstood(f"{', '.join(sorted(odd))}: {what}. There are: {', '.join(_ERRORS)}")
    return codes


def _span(text: str) -> timedelta:
    span = _SPAN.fullmatch(text.strip().casefold())
    if not span:
        raise NotUnderstood(f"{text!r} is no span of time. Expected a number and a unit: 30m, 12h, 2d or 1w.")
    return timedelta(**{_UNITS[span[2]]: int(span[1])})


def _write(of: Shop, found: list[Failure], form: Format, now: datetime, *, everything: bool) -> None:
    if form is Format.JSON:
        write(out, as_json([_as_json(one, now) for one in found]))
    elif form is Format.CSV:
        write(out, as_csv(COLUMNS, [_row(one, now) for one in found]))
    elif found:
        _show(of, found, now, everything=everything)
    if found and form is Format.TABLE:
        err.print(_sum(of, found), markup=False)


def _none(number: int, account: str | None, *, everything: bool) -> str:
    """Say that none is listed: of so many, where only the filters leave none."""
    whose = f" of {account}" if account else ""
    if number:
        open_ = "" if everything else "open "
        if number == 1:
            return f"The only {open_}failure{whose} is not like that."
        return f"None of the {number} {open_}failures{whose} is like that."
    return f"No failure{whose} is open{', and none is archived' if everything else ''}."


def _sum(of: Shop, found: list[Failure]) -> str:
    states = [one.state for one in found]
    told = ", ".join(f"{states.count(state)} {state}" for state in _STATES if state in states)
    return f"{told}. Why: {of.command('check ORDER')}. All that happened to one: {of.command('explain ORDER')}."


def _row(failure: Failure, now: datetime) -> dict[str, Any]:
    numbers = dict.fromkeys(error.invoice_number for error in failure.errors if error.invoice_number)
    return {
        "account": failure.ref.account,
        "order": failure.ref.order_id,
        "opened": timestamp(failure.opened_at),
        "age": texts.duration(now - failure.opened_at, LANGUAGE),
        "codes": in_one_cell(failure.codes),
        "invoices": in_one_cell(line(number, 64) for number in numbers),
        "suggestion": "yes" if failure.has_suggestion else "no",
        "next_reading": timestamp(failure.next_reading) if failure.next_reading else "",
        "link": order_url(failure.ref.account, failure.ref.order_id),
        "state": failure.state,
        "snoozed_until": timestamp(failure.snoozed_until) if failure.snoozed_until else "",
    }


def _sheet_rows(of: Shop, found: Iterable[Failure], now: datetime) -> Iterator[dict[str, Cell]]:
    """Yield a row an error; the suggested keys stand in the orders' last records."""
    for some in batched(found, _AT_ONCE, strict=False):
        entries = of.ledger.read([failure.ref for failure in some]).entries
        for failure in some:
            reported = _reported(entries.get(failure.ref))
            for error in failure.errors:
                yield _sheet_row(of, failure, error, reported, now)


def _sheet_row(of: Shop, failure: Failure, error: Shown, reported: Mapping[str, Any], now: datetime) -> dict[str, Cell]:
    keys = {(one["code"], one["invoice_number"]): one["suggested_key"] for one in reported.get("problems", ())}
    return {
        "order": failure.ref.order_id,
        "marketplace_order": Exact(reported.get("marketplace_order_id")),
        "account": failure.ref.account,
        "invoice": Exact(error.invoice_number),
        "problem": problem(error.code, error.invoice_number, of.style),
        "code": error.code,
        "suggested_key": Exact(keys.get((error.code, error.invoice_number))),
        "opened": failure.opened_at,
        "days": (now - failure.opened_at) / timedelta(days=1),
        "next_reading": failure.next_reading,
        "state": state(failure.state, of.style),
        "snoozed_until": failure.snoozed_until,
        "link": order_url(failure.ref.account, failure.ref.order_id),
    }


def _reported(entry: Entry | None) -> Mapping[str, Any]:
    """Return the data of an order's last record; empty where it can't be read."""
    try:
        data: Mapping[str, Any] = dict(json.loads(entry.report.record)["data"]) if entry and entry.report else {}
    except (KeyError, TypeError, ValueError):
        return {}
    return data


def _as_json(failure: Failure, now: datetime) -> dict[str, Any]:
    row = _row(failure, now)
    del row["age"]
    return {
        **row,
        "age_seconds": int((now - failure.opened_at).total_seconds()),
        "codes": failure.codes,
        "invoices": [error.invoice_number for error in failure.errors],
        "suggestion": failure.has_suggestion,
        "next_reading": row["next_reading"] or None,
        "snoozed_until": row["snoozed_until"] or None,
    }


def _show(of: Shop, found: list[Failure], now: datetime, *, everything: bool) -> None:
    has_snoozed = any(one.state == SNOOZED for one in found)
    columns = {
        "order": True, "account": len({one.ref.account for one in found}) > 1, "opened": True, "age": True,
        "problem": True, "invoice": True, "suggestion": True, "next": True,
        "state": everything or has_snoozed, "snoozed until": has_snoozed, "link": not out.is_terminal,
    }  # fmt: skip
    names = [name for name, is_there in columns.items() if is_there]
    if left_out := show(out, names, [_cells(of, one, now) for one in found], _DISPENSABLE):
        err.print(
            f"Left out for want of room: {', '.join(left_out)}. A wider window shows them, and so does --csv FILE."
        )


def _cells(of: Shop, failure: Failure, now: datetime) -> dict[str, Text]:
    url = order_url(failure.ref.account, failure.ref.order_id)
    numbers = dict.fromkeys(line(error.invoice_number) for error in failure.errors)
    told = {
        "account": failure.ref.account,
        "opened": _short(of, failure.opened_at, now) if out.is_terminal else date(failure.opened_at, of),
        "age": short_age(now - failure.opened_at),
        "problem": "\n".join(failure.codes) or "-",
        "invoice": "\n".join(numbers) or "-",
        "suggestion": "yes" if failure.has_suggestion else "no",
        "next": _next(of, failure.next_reading, now),
        "state": failure.state,
        "snoozed until": day(failure.snoozed_until, of.style.timezone) if failure.snoozed_until else "",
        "link": url,
    }
    cells = {name: Text(text) for name, text in told.items()}
    return {**cells, "order": Text(failure.ref.order_id, style=f"link {url}")}


def _next(of: Shop, moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "no more"
    return "due now" if moment <= now else _short(of, moment, now)


def _short(of: Shop, moment: datetime, now: datetime) -> str:
    """Write a moment on the shop's clocks, without what is today's: `14:27`, `3 Mar 11:54`, `28 Dec 2025`."""
    local, today = (texts.local(when, of.style.timezone) for when in (moment, now))
    if local.date() == today.date():
        return texts.time(local, LANGUAGE)
    return f"{local.day} {local:%b %H:%M}" if local.year == today.year else f"{local.day} {local:%b %Y}"
