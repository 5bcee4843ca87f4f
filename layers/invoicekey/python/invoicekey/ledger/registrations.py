"""What the guard notes of its work: beside the orders, one item an account and one about the topics."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched

from invoicekey.ledger.table import Item, Table

TOLD_AGAIN_AFTER = timedelta(days=7)
"""A trouble that lasts is told again."""
_TOPICS = "guard_topics"
_MOST_KEYS = 100


@dataclass(frozen=True, slots=True)
class Told:
    """What people were told of a trouble, and when."""

    what: str
    at: datetime

    def covers(self, what: str, now: datetime) -> bool:
        """Say whether this need not be told again yet."""
        return self.what == what and now - self.at < TOLD_AGAIN_AFTER


@dataclass(frozen=True, slots=True)
class Guarded:
    """What is known of an account's hook and feed besides what VTEX shows."""

    account: str
    app_key: str | None = None
    """The SHA-256 of the appKey that all of this is about."""
    hook_secret: str | None = None
    """The SHA-256 of the secret in the hook's header, as last registered or seen."""
    hook_installed: bool = False
    """Whether the hook has been ours at some time."""
    own_app_key: bool | None = None
    """Whether a hook of ours was there when the appKey was first seen: then its feed is ours too. None before that."""
    feed_installed: bool = False
    """Whether the feed has been ours at some time."""
    feed_left_alone: bool = False
    """Whether the appKey's feed may be another system's: it is neither written nor read."""
    hook_told: Told | None = None
    """The host of another system's hook that people were told of, or that it is not shown."""
    feed_told: Told | None = None

    def of_app_key(self, digest: str) -> "Guarded":
        """Return what is known of this appKey's hook and feed: nothing yet where it is a new one."""
        return self if self.app_key == digest else Guarded(self.account, digest)


class GuardNotes:
    """The items."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self, accounts: Collection[str]) -> dict[str, Guarded]:
        """Return what is noted of each account."""
        items: dict[str, Item] = {}
        for chunk in batched(accounts, _MOST_KEYS, strict=False):
            items |= self._table.get([_key(account) for account in chunk])
        return {account: _guarded(account, items.get(_key(account), {})) for account in accounts}

    def write(self, guarded: Guarded) -> None:
        """Note it."""
        item = {
            "pk": _key(guarded.account),
            "app_key": guarded.app_key,
            "hook_secret": guarded.hook_secret,
            "hook_installed": guarded.hook_installed,
            "own_app_key": guarded.own_app_key,
            "feed_installed": guarded.feed_installed,
            "feed_left_alone": guarded.feed_left_alone,
            "hook_told": _told_item(guarded.hook_told),
            "feed_told": _told_item(guarded.feed_told),
        }
        self._table.put({name: value for name, value in item.items() if value is not None})

    def topics_told(self) -> Told | None:
        """Return what the alert topic was told of the operations topic."""
        return _told(self._table.get([_TOPICS]).get(_TOPICS, {}).get("told"))

    def write_topics_told(self, told: Told | None) -> None:
        """Note it; None where there is no trouble any more."""
        self._table.put({"pk": _TOPICS, "told": _told_item(told)})


def digest(text: str) -> str:
    """Return what is kept of an appKey or a secret: its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def _key(account: str) -> str:
    return f"guard#{account}"


def _guarded(account: str, item: Item) -> Guarded:
    return Guarded(
        account,
        app_key=item.get("app_key"),
        hook_secret=item.get("hook_secret"),
        hook_installed=item.get("hook_installed", False),
        own_app_key=item.get("own_app_key"),
        feed_installed=item.get("feed_installed", False),
        feed_left_alone=item.get("feed_left_alone", False),
        hook_told=_told(item.get("hook_told")),
        feed_told=_told(item.get("feed_told")),
    )


def _told(item: Item | None) -> Told | None:
    return Told(item["what"], datetime.fromisoformat(item["at"])) if item else None


def _told_item(told: Told | None) -> Item | None:
    return {"what": told.what, "at": told.at.isoformat()} if told else None
