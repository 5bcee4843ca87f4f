"""The desk's key, and the links that are written with it.

The key is a secret of the stack. `invoicekey secrets rotate --desk` makes a new one; the former one is accepted until
the last link that it signed is over.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from invoicekey.messages.links import ForgedToken, Links, Target
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.secrets import CachedSecret
from invoicekey.runtime.telemetry import logger


def keys(secret: Mapping[str, Any], now: datetime) -> list[str]:
    """List the keys that a token may be signed with, the one to sign with last; raise RetryLater where there is none.

    The secret is `{"current": "…", "previous": "…", "previous_until": "2026-12-30T…+00:00"}`; the last two are absent
    before the first rotation.
    """
    current, previous = secret.get("current"), secret.get("previous")
    if not isinstance(current, str) or not current:
        raise RetryLater("the desk's secret holds no key")
    if isinstance(previous, str) and previous and now < _until(secret):
        return [previous, current]
    return [current]


def _until(secret: Mapping[str, Any]) -> datetime:
    try:
        return datetime.fromisoformat(secret["previous_until"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return datetime.min.replace(tzinfo=UTC)


class DeskLinks:
    """Links to the desk, for texts; none where the stack has no desk."""

    def __init__(self, address: str = "", secret: CachedSecret | None = None) -> None:
        self._address = address
        self._secret = secret

    def to(self, account: str, order_id: str | None = None) -> str | None:
        """Return the address of an order's page or of an account's list.

        None where there is no desk, or its key can't be had: an alert without a link is worth more than none.
        """
        if self._secret is None:
            return None
        try:
            return self.writer(datetime.now(UTC)).to(Target(account, order_id))
        except RetryLater as trouble:
            telemetry.count("desk_link_missing")
            logger.warning("a text goes out without its link to the desk", extra={"why": trouble.why})
            return None

    def writer(self, now: datetime) -> Links:
        """Return what writes links and reads tokens by the keys of this moment, raising RetryLater."""
        if self._secret is None:
            raise RetryLater("this stack has no desk")
        return Links(self._address, keys(self._secret.value(), now))

    def read(self, token: str, now: datetime) -> Target:
        """Return what a token opens, raising ForgedToken, ExpiredToken or RetryLater.

        One that the kept keys did not sign may be signed with a key that was made a moment ago.
        """
        links = self.writer(now)
        try:
            return links.read(token, now)
        except ForgedToken:
            if self._secret is None:
                raise
            return Links(self._address, keys(self._secret.value_read_again(), now)).read(token, now)
