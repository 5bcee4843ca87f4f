"""What an order's id tells of its marketplace, and when that is enough not to read the order.

VTEX puts the affiliate id before the id that the marketplace gave ("{affiliate}-{externalId}", Help Center). But by the
contract an order of any affiliate id is CNova's where the connector's app is in it. So no prefix counts as another
marketplace's before orders of it were read, and of what is passed over one in fifty is read all the same.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

PROVEN_BY = 50
"""So many orders of a prefix are read, each another marketplace's, before it is passed over."""
READ_ONE_IN = 50
"""Of the orders whose prefix is passed over, one in so many is read."""
MOST_PREFIXES = 100
"""Of an account; orders of any other are always read."""
OWN_STORE = "none"
"""Stands for the prefix of the store's own orders, which have none: four letters, so that it is no affiliate id."""
_AFFILIATE = re.compile(r"([A-Za-z]{3})-.")
_OF_OWN_STORE = re.compile(r"(?:[0-9]{13}|v[0-9]+[a-z]{3,4})-[0-9]{2}")


def prefix_of(order_id: str) -> str | None:
    """Return the affiliate id that an order's id begins with, in lower case, or OWN_STORE; None where it tells nothing.

    Affiliate ids have three letters (Help Center); the store's own orders are `1172452900788-01` or `v5195004lux-01`.
    """
    if found := _AFFILIATE.match(order_id):
        return found[1].lower()
    return OWN_STORE if _OF_OWN_STORE.fullmatch(order_id) else None


def ids_of(account: str, affiliate_ids: Iterable[str]) -> frozenset[str]:
    """Return the affiliate ids of CNova that hold for an account, from the setting's `id` and `account:id`."""
    parts = [name.rpartition(":") for name in affiliate_ids]
    return frozenset(affiliate for owner, _, affiliate in parts if owner in {"", account})


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What the orders that were read have shown of an account's prefixes."""

    others: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """How many orders of a prefix were read, each another marketplace's; no more than PROVEN_BY are counted."""
    cnova: frozenset[str] = frozenset()
    """The prefixes of which an order was CNova's, or a suspect: they are never passed over."""

    def is_other(self, prefix: str) -> bool:
        """Say whether a prefix is known to be another marketplace's, or the store's own."""
        return prefix not in self.cnova and self.others.get(prefix, 0) >= PROVEN_BY

    def is_news(self, prefix: str, *, is_other: bool) -> bool:
        """Say whether it tells anything that one more order of a prefix was another marketplace's, or was not."""
        if prefix in self.cnova or (is_other and self.is_other(prefix)):
            return False
        return prefix in self.others or len(self.others) + len(self.cnova) < MOST_PREFIXES

    def with_read(self, prefix: str, *, is_other: bool) -> "Prefixes":
        """Return what is known when one more order of a prefix was read."""
        if not self.is_news(prefix, is_other=is_other):
            return self
        others = {name: number for name, number in self.others.items() if is_other or name != prefix}
        if not is_other:
            return Prefixes(others, self.cnova | {prefix})
        return Prefixes({**others, prefix: others.get(prefix, 0) + 1}, self.cnova)


NOTHING_KNOWN = Prefixes()


def is_passed_over(order_id: str, known: Prefixes, affiliate_ids: frozenset[str]) -> bool:
    """Say whether an order's id is enough to tell that it is another marketplace's.

    Never where the account's affiliate ids of CNova are not set, for then the connector's app alone tells its orders.
    """
    prefix = prefix_of(order_id)
    if prefix is None or not affiliate_ids or prefix in affiliate_ids:
        return False
    return known.is_other(prefix) and not is_sample(order_id)


def is_sample(order_id: str) -> bool:
    """Say whether this is one of the orders that are read whatever their prefix: each time the same ones."""
    return int.from_bytes(hashlib.sha256(order_id.encode()).digest()[:4]) % READ_ONE_IN == 0
