"""What reading has shown of an account's order ids (rules/prefixes.py): an item an account, `prefixes#luxstore`.

It holds under the affiliate ids that were set when it was learnt, and for ninety days: then all is learnt anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from invoicekey.ledger.table import Item, Table
from invoicekey.rules.prefixes import NOTHING_KNOWN, Prefixes
from invoicekey.runtime.errors import Conflict, RetryLater

KEEP_DAYS = 90
_DAY = 86_400
_TRIES = 5

type Reading = tuple[str, bool]
"""The prefix of an order that was read, and whether the order was another marketplace's."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What an item says; one that is not there, or is corrupt, says nothing."""

    affiliate_ids: str = ""
    """Those of CNova under which it was learnt."""
    until: int = 0
    """In seconds since 1970."""
    prefixes: Prefixes = NOTHING_KNOWN

    def under(self, affiliate_ids: Iterable[str], now: datetime) -> Prefixes:
        """Return what is known now, under these affiliate ids of CNova."""
        holds = self.affiliate_ids == _stamp(affiliate_ids) and now.timestamp() < self.until
        return self.prefixes if holds else NOTHING_KNOWN

    def with_read(self, readings: Iterable[Reading], affiliate_ids: Iterable[str], now: datetime) -> "Learnt":
        """Return what is known with these readings; where nothing was known, for ninety days from now."""
        before = known = self.under(affiliate_ids, now)
        for prefix, is_other in readings:
            known = known.with_read(prefix, is_other=is_other)
        until = int(now.timestamp()) + KEEP_DAYS * _DAY if before == NOTHING_KNOWN else self.until
        return Learnt(_stamp(affiliate_ids), until, known)


def learnt_from(item: Item | None) -> Learnt:
    """Return what an item says."""
    try:
        known = item or {}
        others = {str(prefix): int(number) for prefix, number in known["others"].items()}
        prefixes = Prefixes(others, frozenset(map(str, known["cnova"])))
        return Learnt(str(known["affiliate_ids"]), int(known["expires_at"]), prefixes)
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
        return Learnt()


def learn(
    table: Table, account: str, readings: Iterable[Reading], affiliate_ids: frozenset[str], now: datetime
) -> None:
    """Add to the item what was read, raising RetryLater and its kinds: then it is not learnt, which does no harm."""
    readings = tuple(readings)
    for _ in range(_TRIES):
        item = table.get([prefixes_key(account)]).get(prefixes_key(account))
        try:
            _put(table, account, item, learnt_from(item).with_read(readings, affiliate_ids, now))
        except Conflict:
            continue
        return
    raise RetryLater("other environments learnt again and again")


def _put(table: Table, account: str, before: Item | None, learnt: Learnt) -> None:
    """Write an item, on condition that it is still as it was read; Conflict where somebody else was first."""
    version = (before or {}).get("version")
    item = {
        "pk": prefixes_key(account),
        "version": (version if isinstance(version, Decimal) else 0) + 1,
        "affiliate_ids": learnt.affiliate_ids,
        "others": dict(learnt.prefixes.others),
        "cnova": sorted(learnt.prefixes.cnova),
        "expires_at": learnt.until,
    }
    if version is None:
        table.put(item, "attribute_not_exists(version)")
    else:
        table.put(item, "version = :read", read=version)


def prefixes_key(account: str) -> str:
    """Return the key of an account's item."""
    return f"prefixes#{account}"


def _stamp(affiliate_ids: Iterable[str]) -> str:
    return ",".join(sorted(affiliate_ids))
