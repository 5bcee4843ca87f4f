"""What the guard notes of its work: beside the orders, one item an account and one about the topics."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched

from invoicekey.ledger.table import Item, Table

NOTIFY_AGAIN_AFTER = timedelta(days=7)
"""Of a trouble that lasts people are notified again."""
_TOPICS = "guard_topics"
_MOST_KEYS = 100


@dataclass(frozen=True, slots=True)
class Notified:
    """What trouble people were notified of, and when."""

    what: str
    at: datetime

    def covers(self, what: str, now: datetime) -> bool:
        """Say whether nobody need be notified of this again yet."""
        return self.what == what and now - self.at < NOTIFY_AGAIN_AFTER


@dataclass(frozen=True, slots=True)
class RegistrationState:
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
    hook_notified: Notified | None = None
    """The host of another system's hook that people were notified of, or that it is not shown."""
    feed_notified: Notified | None = None

    def of_app_key(self, digest: str) -> "RegistrationState":
        """Return what is known of this appKey's hook and feed: nothing yet where it is a new one."""
        return self if self.app_key == digest else RegistrationState(self.account, digest)


class RegistrationStates:
    """The items."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self, accounts: Collection[str]) -> dict[str, RegistrationState]:
        """Return what is noted of each account."""
        items: dict[str, Item] = {}
        for chunk in batched(accounts, _MOST_KEYS, strict=False):
            items |= self._table.get([_key(account) for account in chunk])
        return {account: _state(account, items.get(_key(account), {})) for account in accounts}

    def write(self, state: RegistrationState) -> None:
        """Note it."""
        item = {
            "pk": _key(state.account),
            "app_key": state.app_key,
            "hook_secret": state.hook_secret,
            "hook_installed": state.hook_installed,
            "own_app_key": state.own_app_key,
            "feed_installed": state.feed_installed,
            "feed_left_alone": state.feed_left_alone,
            "hook_told": _notified_item(state.hook_notified),
            "feed_told": _notified_item(state.feed_notified),
        }
        self._table.put({name: value for name, value in item.items() if value is not None})

    def topics_notified(self) -> Notified | None:
        """Return what was said on the alert topic of the operations topic."""
        return _notified(self._table.get([_TOPICS]).get(_TOPICS, {}).get("told"))

    def write_topics_notified(self, notified: Notified | None) -> None:
        """Note it; None where there is no trouble any more."""
        self._table.put({"pk": _TOPICS, "told": _notified_item(notified)})


def digest(text: str) -> str:
    """Return what is kept of an appKey or a secret: its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def _key(account: str) -> str:
    return f"guard#{account}"


def _state(account: str, item: Item) -> RegistrationState:
    return RegistrationState(
        account,
        app_key=item.get("app_key"),
        hook_secret=item.get("hook_secret"),
        hook_installed=item.get("hook_installed", False),
        own_app_key=item.get("own_app_key"),
        feed_installed=item.get("feed_installed", False),
        feed_left_alone=item.get("feed_left_alone", False),
        hook_notified=_notified(item.get("hook_told")),
        feed_notified=_notified(item.get("feed_told")),
    )


def _notified(item: Item | None) -> Notified | None:
    return Notified(item["what"], datetime.fromisoformat(item["at"])) if item else None


def _notified_item(notified: Notified | None) -> Item | None:
    return {"what": notified.what, "at": notified.at.isoformat()} if notified else None
