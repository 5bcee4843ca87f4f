"""What an account has of its own: settings over the stack's, credentials, who is alerted by e-mail.

An item an account, `account#luxstore`, written by people through the operators' command. One shop's stack has none:
then all is as the template's parameters say, and the credentials are those of the stack's secret.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import batched
from types import MappingProxyType
from typing import Any

from invoicekey.ledger.table import Item, Table
from invoicekey.rules.notification import is_account

ACCOUNTS = "accounts"
"""The list of the table's index that holds them, by name."""
CORRUPT = "the account's item in the ledger is corrupt: mend it"
_MOST_KEYS = 100


class CorruptAccount(Exception):
    """The item is not what the command writes."""


@dataclass(frozen=True, slots=True)
class Account:
    """What an account has of its own; version 0 is an account of which the ledger holds no item."""

    name: str
    version: int = 0
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """By the names of the template's parameters, with their texts: settings.OF_ACCOUNTS."""
    credentials: str | None = None
    """Names the version of the credentials in the account's own place; None: they are in the stack's secret."""
    is_off: bool = False
    """Nothing of the account is checked, guarded or drained."""
    subscriptions: tuple[str, ...] = ()
    """The ARNs of the e-mail subscriptions that get its alerts alone."""


class Accounts:
    """The items."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def names(self) -> list[str]:
        """List the accounts that have an item, by name. Raises LedgerUnavailable."""
        keys = (item["pk"].partition("#")[2] for item in self._table.listed(ACCOUNTS, only=("pk",)))
        return sorted(name for name in keys if is_account(name))

    def read(self, names: Iterable[str]) -> dict[str, Account | None]:
        """Read what these accounts have of their own, consistently; None where an item is corrupt."""
        found: dict[str, Account | None] = {}
        for some in batched(names, _MOST_KEYS, strict=False):
            items = self._table.get([account_key(name) for name in some])
            found |= {name: readable_account(name, items.get(account_key(name))) for name in some}
        return found

    def read_one(self, name: str) -> Account:
        """Read one, raising CorruptAccount where its item is corrupt."""
        return account_of(name, self._table.get([account_key(name)]).get(account_key(name)))

    def write(self, account: Account) -> Account:
        """Write it, on condition that it is still as it was read; Conflict where somebody else was first."""
        written = replace(account, version=account.version + 1)
        self._table.put(_item(written), **_as_read(account))
        return written

    def delete(self, account: Account) -> None:
        """Delete its item, on condition that it is still as it was read; Conflict where somebody else was first."""
        if account.version:
            self._table.delete(account_key(account.name), **_as_read(account))


def account_key(name: str) -> str:
    """Return the key of an account's item."""
    return f"account#{name}"


def readable_account(name: str, item: Item | None) -> Account | None:
    """Return what an item says; None where it is corrupt."""
    try:
        return account_of(name, item)
    except CorruptAccount:
        return None


def account_of(name: str, item: Item | None) -> Account:
    """Return what an item says, of an account that has none that it has nothing of its own; or raise CorruptAccount."""
    if item is None:
        return Account(name)
    try:
        return Account(
            name,
            version=int(item["version"]),
            settings=MappingProxyType(dict(_texts(item.get("settings", {})))),
            credentials=_text(item["credentials"]) if "credentials" in item else None,
            is_off=_flag(item.get("is_off", False)),
            subscriptions=tuple(map(_text, item.get("subscriptions", ()))),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise CorruptAccount(f"{CORRUPT} ({type(error).__name__})") from None


def _as_read(account: Account) -> dict[str, Any]:
    if account.version:
        return {"condition": "version = :read", "read": account.version}
    return {"condition": "attribute_not_exists(pk)"}


def _item(account: Account) -> Item:
    item: Item = {
        "pk": account_key(account.name),
        "list": ACCOUNTS,
        "list_at": account.name,
        "version": account.version,
        "settings": dict(account.settings),
        "credentials": account.credentials,
        "is_off": account.is_off or None,
        "subscriptions": list(account.subscriptions),
    }
    return {name: value for name, value in item.items() if value not in (None, [], {})}


def _texts(value: object) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        raise TypeError("expected texts by name")
    for name, text in value.items():
        yield _text(name), _text(text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("expected true or false")
    return value
