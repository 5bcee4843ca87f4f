"""Orders checked now by the stack itself, while somebody watches: an event of ours is queued, the ledger shows the end.

The ledger's item says when a check has ended: it has another `checked_at`, and its report, where there is one, is
delivered. What could not be read at VTEX leaves no trace there, nor does what waits for its invoice: hence the look at
VTEX before, where the order has no open failure.
"""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched

from invoicekey.delivery.queues import Event
from invoicekey.ledger.entries import Entry, Ledger
from invoicekey.ledger.lists import Backlog
from invoicekey.rules.notification import OrderRef, own_event

SOURCE = "command"
"""Where the event comes from by which an order is checked."""
SECONDS = 120.0
"""So long a result is waited for, unless somebody says otherwise."""
_BETWEEN = 2.0
_AT_ONCE = 25


@dataclass(frozen=True, slots=True)
class Ended:
    """What the ledger held of an order before and after its check."""

    before: Entry
    after: Entry

    @property
    def is_closed(self) -> bool:
        """Say whether the check closed a failure."""
        return self.before.has_open_failure and self.after.errors_reported is None

    @property
    def is_failing(self) -> bool:
        """Say whether a failure of it is open."""
        return self.after.has_open_failure


def events(refs: Iterable[OrderRef]) -> list[Event]:
    """Return what is queued for the orders."""
    return [Event(own_event(ref), str(uuid.uuid4()), SOURCE) for ref in refs]


def open_ones(backlog: Backlog, account: str | None) -> list[OrderRef]:
    """List the orders with an open failure, the longest due first."""
    return [order.ref for order in backlog.followed() if order.is_open and account in {None, order.ref.account}]


def entries(ledger: Ledger, refs: Sequence[OrderRef]) -> dict[OrderRef, Entry]:
    """Read what the ledger holds of orders; those whose items are corrupt are left out."""
    return {
        ref: entry for some in batched(refs, _AT_ONCE, strict=False) for ref, entry in ledger.read(some).entries.items()
    }


def ended(
    ledger: Ledger,
    before: dict[OrderRef, Entry],
    seconds: float,
    sleep: Callable[[float], object] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Ended]:
    """Yield the orders whose checks ended, as soon as each did, until all have or the time is up."""
    left, until = dict(before), now() + seconds
    while left and now() < until:
        sleep(min(_BETWEEN, max(0.0, until - now())))
        for ref, after in entries(ledger, list(left)).items():
            if _has_ended(left[ref], after):
                yield Ended(left.pop(ref), after)


def _has_ended(before: Entry, after: Entry) -> bool:
    is_delivered = after.report is None or after.report.is_delivered
    return after.checked_at != before.checked_at and is_delivered
