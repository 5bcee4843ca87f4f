"""What the shop has set that a verdict depends on."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Policy:
    """The shop's settings, as settings.py reads them."""

    affiliate_ids: frozenset[str] = frozenset()
    """The affiliate ids of CNova: `id` for every account or `account:id` for one; lower case."""
    seller_tax_ids: frozenset[str] = frozenset()
    """The seller's CNPJs (14 characters) and CPFs (11), without punctuation, upper case; empty: any issuer."""
    invoice_grace: timedelta = timedelta(seconds=600)
    """How long an invoiced order may have no sale invoice yet."""
    key_grace: timedelta = timedelta(0)
    """How long `missing` may be the only error before it is a failure."""
    tracking_grace: timedelta | None = None
    """How long a good key may go without tracking number and courier before that is a failure; None: for ever."""

    @property
    def longest_grace(self) -> timedelta:
        """Return how long a message may wait in the queue for an order's grace."""
        return max(self.invoice_grace, self.key_grace)


@dataclass(frozen=True, slots=True)
class AlertQuota:
    """So many alerts of a kind and an account go out at once within the window; the others wait for a digest."""

    alerts: int
    window: timedelta
