"""A file of many accounts: a CSV with a header, a row an account, read and checked in whole before anything is done.

Columns: account, app_key, app_token, and any named as the settings that an account may have of its own; an empty cell
leaves a setting as it is. What is wrong is told by line and column; no cell is ever repeated, for one that stands in
the wrong column may be a secret.
"""

import csv
import io
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from invoicekey.ledger.accounts import Account
from invoicekey.rules.notification import is_account
from invoicekey.runtime.secrets import Credentials, is_header_value
from invoicekey.runtime.settings import OF_ACCOUNTS
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood
from operations.tasks.accounts import Fault, Wanted, fault_of_settings, see_that_it_is_served

COLUMNS = ("account", "app_key", "app_token")
STANDARD_INPUT = "-"
LARGEST = 8_000_000
"""So many bytes a file may have: some ten thousand accounts."""
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Malformed(NotUnderstood):
    """The file is not what it should be; `faults` says what, a line each. Nothing was done."""

    def __init__(self, faults: Sequence[str]) -> None:
        number = "1 thing is" if len(faults) == 1 else f"{len(faults)} things are"
        super().__init__("\n".join([*faults, f"{number} wrong in the file. Nothing was done."]))
        self.faults = tuple(faults)


def text_of(source: str) -> str:
    """Read a file that its owner alone may read, or the standard input; raises NotUnderstood."""
    if source == STANDARD_INPUT:
        return _decoded(sys.stdin.buffer.read(LARGEST + 1))
    path = Path(source)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & _FOR_OTHERS:
                raise NotUnderstood(
                    f"{source} holds secrets, and others may read it (mode {stat.S_IMODE(mode):03o}). Nothing was "
                    f"done. First: chmod 600 {source}"
                )
            return _decoded(file.read(LARGEST + 1))
    except OSError as error:
        raise NotUnderstood(f"{source} cannot be read: {error.strerror}. Nothing was done.") from None


def accounts_in(text: str, of: Shop, fault: Fault) -> list[Wanted]:
    """Read the accounts of a file's text; raises Malformed with everything that is wrong in it."""
    rows = _rows(text)
    header = _header(rows[0][1] if rows else [])
    found, faults, lines = list[Wanted](), list[str](), dict[str, int]()
    for line, cells in rows[1:]:
        wrong = list(_faults_of_row(cells, header, lines, of, fault))
        faults += [f"line {line}: {what}" for what in wrong]
        row = dict(zip(header, cells, strict=False))
        lines.setdefault(row.get("account", ""), line)
        if not wrong:
            found.append(Wanted(row["account"], Credentials(row["app_key"], row["app_token"]), _settings(row)))
    if not rows[1:]:
        faults.append("line 2: expected an account, and the file ends")
    if faults:
        raise Malformed(faults)
    return found


def _decoded(content: bytes) -> str:
    if len(content) > LARGEST:
        raise NotUnderstood(f"The file is larger than {LARGEST // 1_000_000} MB. Nothing was done.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotUnderstood("The file is no text in UTF-8: save it as CSV UTF-8. Nothing was done.") from None


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Return the rows that are not blank, each with its line. Spreadsheets of some countries write `;`."""
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",")
    rows = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                rows.append((reader.line_num, stripped))
    except csv.Error:
        raise Malformed([f"line {reader.line_num}: this is no CSV"]) from None
    return rows


def _header(cells: Sequence[str]) -> list[str]:
    """Return the header's columns, each setting as the template writes it."""
    known = {name.casefold(): name for name in (*COLUMNS, *OF_ACCOUNTS)}
    header = [known.get(cell.casefold(), "") for cell in cells]
    if missing := [name for name in COLUMNS if name not in header]:
        raise Malformed([f"line 1: the header lacks {', '.join(missing)}; expected {','.join(COLUMNS)},SellerTaxIds,…"])
    odd = [f"line 1: column {place} is no setting" for place, name in enumerate(header, 1) if not name]
    twice = [f"line 1: {name} stands there twice" for name in dict.fromkeys(header) if name and header.count(name) > 1]
    if odd or twice:
        raise Malformed([*odd, *twice, *([f"line 1: settings are {', '.join(OF_ACCOUNTS)}"] if odd else [])])
    return header


def _faults_of_row(
    cells: Sequence[str], header: Sequence[str], lines: Mapping[str, int], of: Shop, fault: Fault
) -> Iterator[str]:
    if len(cells) != len(header):
        yield f"{len(cells)} cells, and the header has {len(header)}"
        return
    row = dict(zip(header, cells, strict=True))
    yield from _faults_of_name(row["account"], lines, of)
    for name in ("app_key", "app_token"):
        if not row[name]:
            yield f"{name}: empty"
        elif not is_header_value(row[name]):
            yield f"{name}: expected visible ASCII characters without blanks"
    before = of.own.get(row["account"]) or Account(row["account"])
    if wrong := fault_of_settings(of, {**before.settings, **_settings(row)}, fault):
        yield wrong.partition(", got ")[0]


def _faults_of_name(account: str, lines: Mapping[str, int], of: Shop) -> Iterator[str]:
    if not is_account(account):
        yield "account: expected the NAME of https://NAME.myvtex.com, in lower-case letters, digits and dashes"
    elif account in lines:
        yield f"account: {account} stands in line {lines[account]} already"
    elif unserved := see_that_it_is_served(of, account):
        yield f"account: {unserved}"


def _settings(row: Mapping[str, str]) -> dict[str, str]:
    return {name: row[name] for name in OF_ACCOUNTS if row.get(name)}
