"""Lists for spreadsheets: CSV as they take it where the shop's language is spoken.

In Brazil that is `;` between cells, a comma in numbers, and days first. Times are the shop's. What a spreadsheet would
turn into a number or a date (of a key it makes 3,5E+43) is written as ="…", which shows, and gives when it is copied,
the characters themselves. Foreign texts, such as invoice numbers, are whatever somebody's system wrote: none of them
is a formula.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from invoicekey.messages import texts
from invoicekey.messages.alert import Style
from invoicekey.messages.texts import Said
from invoicekey.rules.verdict import Code

MARK = "\ufeff"
"""To stand in front of a file: without it Excel shows no accents."""
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
    "snoozed_until": Said("Adiado até", "Put off until"),
    "link": Said("Link", "Link"),
}
STATES: Mapping[str, Said] = {
    "open": Said("em aberto", "open"),
    "dismissed": Said("dispensado", "dismissed"),
    "expired": Said("expirado", "expired"),
    "snoozed": Said("adiado", "put off"),
    "closed": Said("resolvido", "resolved"),
    "": Said("ainda não acompanhado", "not followed yet"),
}
ACCOUNT_HEADINGS: Mapping[str, Said] = {
    "account": Said("Conta VTEX", "VTEX account"),
    "state": Said("Situação", "State"),
    "since": Said("Desde", "Since"),
    "last_hook": Said("Último evento do hook", "Last event of the hook"),
    "open": Said("Falhas em aberto", "Open failures"),
    "credentials": Said("Credenciais", "Credentials"),
    "hook": Said("Hook", "Hook"),
    "feed": Said("Feed", "Feed"),
    "settings": Said("Parâmetros próprios", "Settings of its own"),
    "emails": Said("E-mails", "E-mails"),
    "to_do": Said("O que fazer", "What to do"),
}
"""Of the list of accounts."""
ACCOUNT_WORDS: Mapping[str, Said] = {
    "item corrupt": Said("item corrompido", "item corrupt"),
    "setting wrong": Said("parâmetro errado", "setting wrong"),
    "not in VtexAccounts": Said("fora de VtexAccounts", "not in VtexAccounts"),
    "credentials missing": Said("sem credenciais", "credentials missing"),
    "credentials refused": Said("credenciais recusadas", "credentials refused"),
    "hook elsewhere": Said("hook aponta para outro sistema", "hook elsewhere"),
    "hook not shown": Said("hook não mostrado", "hook not shown"),
    "no hook": Said("sem hook", "no hook"),
    "feed elsewhere": Said("feed de outro sistema", "feed elsewhere"),
    "quiet": Said("sem eventos", "quiet"),
    "no CNova order": Said("sem pedidos da CNova", "no CNova order"),
    "hook misses events": Said("hook perde eventos", "hook misses events"),
    "off": Said("desligada", "off"),
    "nothing heard yet": Said("nada recebido ainda", "nothing heard yet"),
    "ok": Said("em ordem", "ok"),
    "own place": Said("lugar próprio", "own place"),
    "the stack's secret": Said("segredo da stack", "the stack's secret"),
    "nowhere": Said("em lugar nenhum", "nowhere"),
    "ours": Said("nosso", "ours"),
    "none": Said("nenhum", "none"),
    "elsewhere": Said("outro sistema", "elsewhere"),
    "not shown": Said("não mostrado", "not shown"),
}
"""How an account stands, where its credentials are, and whose its hook and feed are."""
_PORTUGUESE = "pt-BR"
_EXACT = re.compile(r"[0-9A-Za-z./-]{1,64}")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True)
class Exact:
    """A text of which no character may change: a key, a number with zeros in front."""

    text: str | None


type Cell = str | float | datetime | Exact | None


def sheet(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Cell]],
    style: Style,
    headings: Mapping[str, Said] = HEADINGS,
) -> str:
    """Write rows as the shop's spreadsheets take them, with a line of headings."""
    return "".join(lines(columns, rows, style, headings))


def lines(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Cell]],
    style: Style,
    headings: Mapping[str, Said] = HEADINGS,
) -> Iterator[str]:
    """Yield the line of headings and the rows' lines, each with its end."""
    yield _line([headings[name].to(style.language) for name in columns], style)
    for row in rows:
        yield _line([_written(row.get(name), style) for name in columns], style)


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


def of_account(words: str, style: Style) -> str:
    """Say what the list of accounts says of one."""
    return ACCOUNT_WORDS[words].to(style.language) if words in ACCOUNT_WORDS else words


def cell(value: object) -> object:
    """Disarm what a spreadsheet would take for a formula, and for the end of a cell or a row with a formula behind."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.replace(";", ",").split())
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: Sequence[object], style: Style) -> str:
    written = io.StringIO()
    csv.writer(written, delimiter=";" if style.language == _PORTUGUESE else ",", lineterminator="\n").writerow(cells)
    return written.getvalue()


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
