"""Lists as files for people: CSV as spreadsheets take it where the shop's language is spoken.

In Brazil that is `;` between cells, a comma in numbers, and days first. Times are the shop's. What a spreadsheet would
turn into a number or a date (of a key it makes 3,5E+43) is written as ="…", which shows, and gives when it is copied,
the characters themselves.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from invoicekey.messages import texts
from invoicekey.messages.alert import Style
from invoicekey.messages.texts import Said
from invoicekey.rules.verdict import Code
from operations.deployment.stack import Trouble
from operations.terminal.plain import cell

HEADINGS: Mapping[str, Said] = {
    "order": Said("Pedido na VTEX", "Order at VTEX"),
    "marketplace_order": Said("Pedido no marketplace", "Order at the marketplace"),
    "account": Said("Conta VTEX", "VTEX account"),
    "invoice": Said("Nota fiscal", "Invoice"),
    "problem": Said("Problema", "Problem"),
    "code": Said("Código do problema", "Problem code"),
    "suggested_key": Said("Chave sugerida", "Suggested key"),
    "opened": Said("Em aberto desde", "Open since"),
    "days": Said("Dias em aberto", "Days open"),
    "next_reading": Said("Próxima leitura", "Next reading"),
    "state": Said("Situação", "State"),
    "snoozed_until": Said("Adiado até", "Snoozed until"),
    "link": Said("Link", "Link"),
}
STATES: Mapping[str, Said] = {
    "open": Said("em aberto", "open"),
    "snoozed": Said("adiado", "snoozed"),
    "dismissed": Said("dispensado", "dismissed"),
    "expired": Said("expirado", "expired"),
    "": Said("ainda não acompanhado", "not followed yet"),
}
_PORTUGUESE = "pt-BR"
_EXACT = re.compile(r"[0-9A-Za-z./-]{1,64}")


@dataclass(frozen=True, slots=True)
class Exact:
    """A text of which no character may change: a key, a number with zeros in front."""

    text: str | None


type Cell = str | float | datetime | Exact | None


def sheet(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]], style: Style) -> str:
    """Write rows as the shop's spreadsheets take them, with a line of headings."""
    written = io.StringIO()
    writer = csv.writer(written, delimiter=";" if style.language == _PORTUGUESE else ",", lineterminator="\n")
    writer.writerow(HEADINGS[name].to(style.language) for name in columns)
    writer.writerows([_written(row.get(name), style) for name in columns] for row in rows)
    return written.getvalue()


def problem(code: str, invoice: str | None, style: Style, *, reused_in: str | None = None) -> str:
    """Say a problem in a few words."""
    number, order = texts.number_shown(invoice), texts.order_shown(reused_in)
    try:
        said = texts.headline(Code(code), number, style.language, reused_in=order)
    except (KeyError, ValueError):  # another version's
        return code
    return said[:1].upper() + said[1:]


def state(name: str, style: Style) -> str:
    """Say how a failure stands."""
    return STATES[name].to(style.language) if name in STATES else name


def see_that_it_can_be_written(path: Path) -> None:
    """Raise Trouble where the file can't be written, before anything is read; leave no file behind."""
    was_there = path.exists()
    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise _unwritable(path, error) from None
    if not was_there:
        with suppress(OSError):
            path.unlink()


def save(path: Path, text: str) -> None:
    """Write a file, raising Trouble."""
    try:
        path.write_text(text, encoding="utf-8-sig")  # without the mark Excel shows no accents
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> Trouble:
    return Trouble(f"{path} cannot be written: {error.strerror}. Name another file: --csv FILE")


def _written(value: Cell, style: Style) -> object:
    is_portuguese = style.language == _PORTUGUESE
    match value:
        case datetime():
            return f"{texts.local(value, style.timezone):{'%d/%m/%Y %H:%M' if is_portuguese else '%Y-%m-%d %H:%M'}}"
        case float():
            return f"{value:.1f}".replace(".", "," if is_portuguese else ".")
        case Exact(text):
            return f'="{text}"' if text and _EXACT.fullmatch(text) else cell(text or "")
        case _:
            return cell(value or "")
