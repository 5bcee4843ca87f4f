"""The desk's links: each carries a token that only this stack can sign, and that is over after a while.

A token names what it opens: one order, or an account's list. It proves that somebody got the mail, and not who.

    >>> links = Links("https://api.example.com/desk/", ["a key"])
    >>> links.read(links.token(Target("luxstore", "VVJ-975102-01")), datetime.now(UTC)).order_id
    'VVJ-975102-01'
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from itsdangerous import BadData, URLSafeTimedSerializer

ORDER_LASTS, LIST_LASTS = timedelta(days=30), timedelta(days=7)
LONGEST_TOKEN = 400
"""An account has 63 characters at the most, an order id 64."""


class ForgedToken(Exception):
    """It is none of ours: forged, foreign, or cut on its way."""


class ExpiredToken(Exception):
    """It was one of ours, and is over."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a link opens."""

    account: str
    order_id: str | None = None
    """None: the account's list."""
    until: datetime | None = field(default=None, compare=False)
    """When its link ends. None: when its time is over. An order's link that a list's link shows ends with that."""

    @property
    def lasts(self) -> timedelta:
        """Return how long a link to it works."""
        return ORDER_LASTS if self.order_id else LIST_LASTS


class Links:
    """Writes links, and reads their tokens."""

    def __init__(self, address: str, keys: Sequence[str]) -> None:
        """Take the desk's address, which ends in `/desk/`, and the keys: the last one signs, any may have signed."""
        self._address = address
        self._serializer = URLSafeTimedSerializer(
            list(keys), salt="desk", signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )

    def to(self, target: Target) -> str:
        """Return the address of an order's page, or of an account's list."""
        return self._address + self.token(target)

    def token(self, target: Target) -> str:
        """Sign what a link opens."""
        ends = [int(target.until.timestamp())] if target.until else []
        return str(self._serializer.dumps([target.account, *([target.order_id, *ends] if target.order_id else [])]))

    def read(self, token: str, now: datetime) -> Target:
        """Return what a token opens; raise ForgedToken or ExpiredToken."""
        if len(token) > LONGEST_TOKEN:
            raise ForgedToken
        try:
            named, signed_at = self._serializer.loads(token, return_timestamp=True)
        except BadData as trouble:
            raise ForgedToken from trouble
        account, order_id, ends = (*named, None, None)[:3]
        target = Target(account, order_id)
        until = signed_at + target.lasts
        if ends:
            until = min(until, datetime.fromtimestamp(ends, UTC))
        if now >= until:
            raise ExpiredToken
        return replace(target, until=until)
