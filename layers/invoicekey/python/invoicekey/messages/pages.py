"""The desk's pages: what somebody sees who opens a link, as HTML that needs nothing from elsewhere.

What shops write is never markup: the templates escape it. Style and script stand in the page, and the policy names
them by their hashes, so nothing else runs in it.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from invoicekey.messages.phrases import Words

if TYPE_CHECKING:
    import jinja2

    from invoicekey.messages.charts import Chart

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class ProblemShown:
    """A problem of an invoice."""

    message: str
    invoice_number: str | None
    invoice_key: str | None
    shows_key: bool
    """Whether there may be a key in the field to be shown."""
    is_warning: bool
    suggested_key: str | None = None
    found: str = ""
    """Where the suggested key comes from."""


@dataclass(frozen=True, slots=True)
class MomentShown:
    """Something that happened to an order."""

    at: str
    what: str


@dataclass(frozen=True, slots=True)
class OrderPage:
    """What an order's page shows; every text is in the reader's language."""

    account: str
    order_id: str
    marketplace_order_id: str | None
    order_url: str
    kind: str
    """Its state's name, for the style: open, snoozed, dismissed, expired, closed, waiting."""
    state: str
    checked_at: str
    problems: Sequence[ProblemShown]
    is_in_order: bool
    steps: Sequence[str]
    cautions: Sequence[str]
    can_act: bool
    can_check: bool
    undo_hint: str
    """What an undo would do; empty where there is nothing to undo."""
    report: int
    """The number of the report that is shown."""
    reasons: Sequence[tuple[str, str]]
    first_day: str
    last_day: str
    usual_day: str
    story: Sequence[MomentShown]
    is_checking: bool = False
    is_late: bool = False
    done: str = ""
    """What was done just now."""


@dataclass(frozen=True, slots=True)
class TabShown:
    """A list beside others."""

    label: str
    count: str
    address: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class FaultShown:
    """What is wrong with an invoice, in a few words."""

    invoice: str
    what: str
    suggested_key: str | None = None
    has_suggestion: bool = False


@dataclass(frozen=True, slots=True)
class RowShown:
    """An order in a list."""

    order_id: str
    address: str
    """Of its own page."""
    marketplace_order_id: str | None
    age: str
    """For how long it has been open; empty where that is over."""
    notes: Sequence[str]
    """Since when and why it stands in this list, and that it failed before."""
    faults: Sequence[FaultShown]
    more: str
    """How many further faults there are; empty where there is none."""
    can_act: bool
    report: int
    """The number of the report that is shown; 0 where it is not known."""


@dataclass(frozen=True, slots=True)
class FiltersShown:
    """What a list is narrowed by: the values of its form, as they are sent."""

    state: str
    problem: str
    age: str
    with_key: bool
    sought: str
    problems: Sequence[tuple[str, str]]
    """The values that there are, and their names."""
    ages: Sequence[tuple[str, str]]
    is_narrowed: bool


@dataclass(frozen=True, slots=True)
class ListPage:
    """What an account's list shows; every text is in the reader's language, every address relative to the page's."""

    account: str
    tabs: Sequence[TabShown]
    filters: FiltersShown
    rows: Sequence[RowShown]
    range: str
    """Which of how many rows these are; empty where there is none."""
    none: str
    """Why there is no row."""
    previous: str
    next: str
    all_address: str
    csv_address: str
    acts: Sequence[str]
    """What may be done with them: check, dismiss, snooze, undo."""
    reasons: Sequence[tuple[str, str]]
    first_day: str
    last_day: str
    usual_day: str
    done: Sequence[str] = ()
    """What was done just now."""


def list_page(page: ListPage, words: Words) -> str:
    """Return an account's list."""
    return _render("list", words, page=page)


@dataclass(frozen=True, slots=True)
class TableShown:
    """A table of numbers."""

    caption: str
    headings: Sequence[str]
    """Of its columns, that of the rows' names first."""
    rows: Sequence[tuple[str, Sequence[str]]]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ChartShown:
    """A chart, and its numbers as a table."""

    title: str
    told: str
    """What it shows, for who does not see it."""
    chart: "Chart"
    legend: Sequence[str]
    """The names of its series; empty where there is one alone."""
    table: TableShown


@dataclass(frozen=True, slots=True)
class FiguresShown:
    """An account's figures; all empty where nothing failed."""

    facts: Sequence[tuple[str, str]] = ()
    charts: Sequence[ChartShown] = ()
    tables: Sequence[TableShown] = ()


def figures_page(account: str, figures: FiguresShown, words: Words) -> str:
    """Return the page of an account's figures."""
    return _render("figures_page", words, account=account, figures=figures)


def order_page(page: OrderPage, words: Words) -> str:
    """Return an order's page."""
    return _render("order", words, page=page)


def notice(words: Words, what: str, *, back: str = "") -> str:
    """Return a page that says one thing: `over`, `forged`, `unavailable`, `changed`, `senseless` or such."""
    return _render("notice", words, title=words(f"{what}_title"), text=words(what), back=back)


@cache
def content_security_policy() -> str:
    """Return the policy: the page's own style and script, forms and requests to where it is from, and no more."""
    return "; ".join([
        "default-src 'none'",
        f"style-src '{_hash(_style())}'",
        f"script-src '{_hash(_script())}'",
        "img-src data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ])  # fmt: skip


def _render(template: str, words: Words, **values: object) -> str:
    environment = _environment()
    return environment.get_template(f"desk/{template}.html.j2").render(
        values, words=words, style=_style(), script=_script()
    )


@cache
def _style() -> str:
    return _without_comments((_TEMPLATES / "desk" / "desk.css").read_text(encoding="utf-8"))


@cache
def _script() -> str:
    return _without_comments((_TEMPLATES / "desk" / "desk.js").read_text(encoding="utf-8"))


def _without_comments(text: str) -> str:
    """Return style or script without the lines that only its authors read: they would go out with every page."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("//", "/*")))


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _environment() -> "jinja2.Environment":
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
