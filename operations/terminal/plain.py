"""What the commands have in common when they speak to people: troubles in one line, times on the shop's clock, lists.

Foreign texts, such as invoice numbers, are whatever somebody's system wrote: they are shown as one line without markup,
and in a CSV never as a formula.
"""

import csv
import io
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from invoicekey.delivery.queues import Event
from invoicekey.messages import texts
from invoicekey.runtime.errors import Conflict, OutOfTime, RateLimited, RetryLater
from invoicekey.runtime.telemetry import logger
from operations.deployment.shop import Shop
from operations.deployment.stack import Trouble, remedy

LANGUAGE = "en"
NOT_SENT = "if that repeats, your AWS identity may not send to it (--profile names another)"
"""What to look at where the hook queue takes nothing."""
BETWEEN = " | "
"""What stands between several texts in one cell."""
_UNBOUNDED = 10_000
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


@contextmanager
def plainly() -> Iterator[None]:
    """Say in one line, as Trouble, what is in the way; and keep the functions' log lines from the operator's screen."""
    level = logger.log_level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except Conflict:
        raise Trouble("The stack wrote to the same order at the same moment. Nothing was changed; try again.") from None
    except RetryLater as trouble:
        raise Trouble(why_not_now(trouble)) from None
    finally:
        logger.setLevel(level)


def why_not_now(trouble: RetryLater) -> str:
    """Say why something cannot be done now, and what to do."""
    match trouble:
        case RateLimited():
            return f"{trouble.why}: it wants to be left alone for {trouble.wait or 60:.0f} s. Try again then."
        case OutOfTime():
            return f"It is not our turn at VTEX: {trouble.why}. Try again in a minute."
        case _:
            how = remedy(trouble.why)
            return f"{trouble.why}: {how}." if how else f"{trouble.why}. Try again later."


def queue(shop: Shop, events: Sequence[Event]) -> list[Event]:
    """Queue events for a check; return those that SQS took."""
    return shop.hook_queue.send(events) if events else []


def date(moment: datetime, shop: Shop) -> str:
    """Write a moment on the shop's clocks: `3 Mar 2026, 11:54`."""
    return texts.date(texts.local(moment, shop.style.timezone), LANGUAGE)


def short_age(span: timedelta) -> str:
    """Write for how long something has been so, in its largest unit: `3 d`, `13 h`, `5 min`."""
    minutes = max(0, int(span.total_seconds())) // 60
    units = {"d": 24 * 60, "h": 60, "min": 1}
    name, size = next(((name, size) for name, size in units.items() if minutes >= size), ("min", 1))
    return f"{minutes // size} {name}"


def orders(number: int) -> str:
    """Write a number of orders."""
    return f"{number:,} order{'' if number == 1 else 's'}"


def line(text: str | None, longest: int = texts.LONGEST_NUMBER) -> str:
    """Return a foreign text as one short line; `-` where there is none."""
    return texts.plain(text, longest) or "-"


def in_one_cell(several: Iterable[str]) -> str:
    """Write several texts as one, and not with `;`: there Excel splits a row in countries that write 1,5."""
    return BETWEEN.join(several)


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Write rows as a CSV with a heading line."""
    written = io.StringIO()
    writer = csv.DictWriter(written, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({name: cell(row.get(name)) for name in columns} for row in rows)
    return written.getvalue()


def as_json(document: Any) -> str:
    """Write JSON for machines and people."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def show(
    console: Console, columns: Sequence[str], rows: Sequence[Mapping[str, Text]], dispensable: Sequence[str] = ()
) -> list[str]:
    """Print rows as a table, and return which columns a narrow terminal has no room for.

    No cell is wrapped or cut. Where that takes too much room, the dispensable columns are left out, one after the
    other; where even that does not help, each row has lines of its own with all of it.
    """
    if not console.is_terminal:
        plain = Console(file=console.file, width=_UNBOUNDED, color_system=None, highlight=False, emoji=False)
        plain.print(_table(columns, rows))
        return []
    for number in range(len(dispensable) + 1):
        left_out = dispensable[:number]
        table = _table([name for name in columns if name not in left_out], rows)
        if console.measure(table, options=console.options.update_width(_UNBOUNDED)).maximum <= console.width:
            console.print(table)
            return [name for name in columns if name in left_out]
    for row in rows:
        first, *others = (Text(", ").join(row[name].split("\n")) for name in columns)
        console.print(first, style="bold")
        told = [Text(f"{name} ") + cell for name, cell in zip(columns[1:], others, strict=True)]
        console.print(Padding(Text("; ").join(told), (0, 0, 0, 2), expand=False))
    return []


def _table(columns: Sequence[str], rows: Iterable[Mapping[str, Text]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table


def say(console: Console, text: str, *, indent: int = 0, style: str = "", lead: str = "") -> None:
    """Print a sentence: on a terminal wrapped below itself, and beside its lead; elsewhere as one line."""
    if not console.is_terminal:
        console.print(f"{' ' * indent}{lead}{text}".rstrip(), markup=False)
        return
    longest = max(map(len, text.split()), default=0)
    if lead and indent + len(lead) + longest > console.width:  # a key as long as a line: below its lead, and whole
        say(console, lead.rstrip(), indent=indent, style=style)
        say(console, text, indent=indent + 2, style=style)
        return
    told: Text | Table = Text(text, style=style)
    if lead:
        told = Table.grid()
        told.add_column(no_wrap=True)
        told.add_column(overflow="fold")
        told.add_row(Text(lead, style=style), Text(text, style=style))
    console.print(Padding(told, (0, 0, 0, indent), expand=False))


def write(console: Console, text: str) -> None:
    """Print a text as it is: neither wrapped nor coloured."""
    console.out(text, end="" if text.endswith("\n") else "\n", highlight=False)


def cell(value: object) -> object:
    """Disarm what a spreadsheet would take for a formula, and for the end of a cell or a row with a formula behind."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.replace(";", ",").split())
    return f"'{text}" if text.startswith(_FORMULA) else text
