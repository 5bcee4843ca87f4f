"""What a backfill came to, for people and machines."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.text import Text

from invoicekey.messages import texts
from invoicekey.messages.alert import Style
from invoicekey.messages.fields import order_url
from invoicekey.rules.verdict import Outcome
from operations.tasks.backfill import NOT_FOUND, UNREAD, Chosen, Found
from operations.tasks.backfill_notes import About
from operations.terminal.plain import BETWEEN, as_csv, in_one_cell, line, orders
from operations.terminal.sheet import Cell, Exact, problem, sheet, state

COLUMNS = ("order", "invoices", "codes", "suggestion", "known", "link")
TABLE = COLUMNS[:-1]
SHEET = ("order", "marketplace_order", "account", "invoice", "problem", "code", "suggested_key", "state", "link")
_MOST_AFFILIATES = 5
_OUTCOMES: Mapping[str, str] = {
    Outcome.FAILING: "failing",
    Outcome.OK: "good",
    Outcome.WAITING: "waiting",
    Outcome.CANCELED: "canceled",
    Outcome.RETURNED: "returned",
    Outcome.NOT_INVOICED: "not invoiced",
    Outcome.OTHER_MARKETPLACE: "not CNova's",
    NOT_FOUND: "unknown to VTEX by now",
    UNREAD: "not read",
}


@dataclass(slots=True)
class Result:
    """What the orders of a period came to."""

    chosen: Chosen
    found: dict[str, Found] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    """Of the failing ones that the stack knows: open, dismissed or expired."""

    @property
    def failing(self) -> list[Found]:
        """List the failing ones, in the list's order."""
        failing = {order_id: one for order_id, one in self.found.items() if one.is_failing}
        return [failing[order_id] for order_id in self.chosen.order_ids if order_id in failing]

    @property
    def outcomes(self) -> Counter[str]:
        """Count the outcomes."""
        return Counter(one.outcome for one in self.found.values())

    @property
    def is_complete(self) -> bool:
        """Say whether every order of the period was read."""
        return not self.chosen.unlisted and not self.outcomes[UNREAD]


def summary(result: Result) -> list[str]:
    """Say in a few lines what was read, what came out and what is missing."""
    outcomes = result.outcomes
    told = [f"{outcomes[name]:,} {words}" for name, words in _OUTCOMES.items() if outcomes[name]]
    lines = [
        f"{orders(len(result.found))} read: {', '.join(told)}." if told else "No order of CNova was invoiced then."
    ]
    if suspects := Counter(one.suspect for one in result.found.values() if one.suspect):
        affiliates = ", ".join(line(name, 30) for name in suspects)
        lines.append(
            f"{orders(suspects.total())} of {affiliates} may be CNova's, by their marketplace: if so, set "
            "CnovaAffiliateIds and deploy."
        )
    if result.chosen.skipped:
        lines.append(
            f"Skipped, for their affiliate is not CNova's by the setting: {_skipped(result.chosen.skipped)}. "
            "--every-affiliate reads those too that have one."
        )
    if result.chosen.unlisted:
        lines.append(
            f"VTEX's list counts {orders(result.chosen.unlisted)} more than it shows: what is listed here is not all. "
            "Run it again."
        )
    if outcomes[UNREAD]:
        why = Counter(one.why for one in result.found.values() if one.outcome == UNREAD).most_common(1)[0][0]
        lines.append(f"Not read: {outcomes[UNREAD]:,} ({why}). The same command reads these alone.")
    return lines


def csv(result: Result, account: str) -> str:
    """Write the failing ones as plain CSV, for programs."""
    return as_csv(COLUMNS, [_row(one, result, account) for one in result.failing])


def spreadsheet(result: Result, account: str, style: Style) -> str:
    """Write the failing ones for people: a row an error, with the suggested key."""
    rows: list[dict[str, Cell]] = [
        {
            "order": one.order_id,
            "marketplace_order": Exact(one.marketplace_order_id),
            "account": account,
            "invoice": Exact(error.invoice_number),
            "problem": problem(error.code, error.invoice_number, style, reused_in=error.reused_in),
            "code": error.code,
            "suggested_key": Exact(error.suggested_key),
            "state": state(result.known.get(one.order_id, ""), style),
            "link": order_url(account, one.order_id),
        }
        for one in result.failing
        for error in one.errors
    ]
    return sheet(SHEET, rows, style)


def document(result: Result, about: About) -> dict[str, Any]:
    """Return it all for machines, suggested keys too."""
    return {
        "account": about.account,
        "from": about.begin,
        "to": about.end,
        "is_complete": result.is_complete,
        "listed": result.chosen.listed,
        "unlisted": result.chosen.unlisted,
        "skipped": dict(result.chosen.skipped),
        "outcomes": dict(result.outcomes),
        "failing": [
            {
                "order_id": one.order_id,
                "problems": [asdict(error) for error in one.errors],
                "known": result.known.get(one.order_id),
                "link": order_url(about.account, one.order_id),
            }
            for one in result.failing
        ],
    }


def cells(result: Result, account: str) -> list[dict[str, Text]]:
    """Return the failing ones as cells of a table with the columns of TABLE."""
    rows = [_row(one, result, account) for one in result.failing]
    return [
        {
            **{name: Text(row[name].replace(BETWEEN, "\n") or "-") for name in TABLE},
            "order": Text(row["order"], style=f"link {row['link']}"),
        }
        for row in rows
    ]


def _row(found: Found, result: Result, account: str) -> dict[str, str]:
    numbers = dict.fromkeys(error.invoice_number for error in found.errors if error.invoice_number)
    sources = dict.fromkeys(error.suggested_from for error in found.errors if error.suggested_from)
    return {
        "order": found.order_id,
        "invoices": in_one_cell(line(number, texts.LONGEST_VALUE) for number in numbers),
        "codes": in_one_cell(dict.fromkeys(error.code for error in found.errors)),
        # Where it was found, and not the key: a spreadsheet makes 3.5E+43 of it, and somebody would paste that.
        "suggestion": in_one_cell(sources),
        "known": result.known.get(found.order_id, ""),
        "link": order_url(account, found.order_id),
    }


def _skipped(skipped: Counter[str]) -> str:
    most = skipped.most_common(_MOST_AFFILIATES)
    told = [f"{number:,} {line(name, 30)}" for name, number in most]
    others = skipped.total() - sum(number for _, number in most)
    return ", ".join(told + ([f"{others:,} others"] if others else []))
