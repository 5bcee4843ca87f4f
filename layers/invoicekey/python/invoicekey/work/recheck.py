"""Queues the open failures again that are due: VTEX sends no event when a person adds the key, so we look."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched

from invoicekey.delivery.queues import RECHECK, Event, HookQueue
from invoicekey.ledger.lists import Backlog, FollowedOrder
from invoicekey.rules.notification import own_event
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.telemetry import logger

AT_ONCE = 100
PARALLEL = 10
STOP_BEFORE_SECONDS = 15.0
PENDING = timedelta(hours=6)
"""So long an order that was queued is not queued again: the check of it says when it is due next, and may wait."""


@dataclass(frozen=True, slots=True)
class Queued:
    """What a run came to."""

    queued: int = 0
    refused: int = 0
    """SQS did not take them; they stay due."""
    is_complete: bool = True
    """False where the time was up; the rest stays due."""


class Recheck:
    """Reads what is due, and queues it."""

    def __init__(self, backlog: Backlog, queue: HookQueue) -> None:
        self._backlog = backlog
        self._queue = queue

    def run(
        self,
        seconds_left: Callable[[], float],
        *,
        everything: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Queued:
        """Queue what is due, or every order that is followed; an order that SQS does not take stays due.

        A second look is not brought forward: it comes later on purpose.
        """
        began = now()
        followed = self._backlog.followed(None if everything else began)
        due = (order for order in followed if order.due_at <= began or not order.is_second_look)
        queued = refused = 0
        is_complete = True
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="recheck") as pool:
            for orders in batched(_once(due), AT_ONCE, strict=False):
                if seconds_left() < STOP_BEFORE_SECONDS:
                    is_complete = False
                    break
                sent = self._send(orders, pool)
                telemetry.count("recheck_queued", len(sent))
                telemetry.count("recheck_refused", len(orders) - len(sent))
                # Sent first: who dies in between queues them once more, and loses none.
                list(pool.map(lambda order: self._postpone(order, now() + PENDING), sent))
                queued, refused = queued + len(sent), refused + len(orders) - len(sent)
        logger.info("re-checks queued", extra={"queued": queued, "refused": refused, "is_complete": is_complete})
        return Queued(queued, refused, is_complete)

    def _postpone(self, order: FollowedOrder, until: datetime) -> None:
        try:
            self._backlog.postpone(order, until)
        except RetryLater as trouble:
            # It stays due, and is queued once more: that is better than to leave the others.
            logger.warning("a re-check was not noted", extra={"account": order.ref.account, "why": trouble.why})

    def _send(self, orders: Sequence[FollowedOrder], pool: ThreadPoolExecutor) -> list[FollowedOrder]:
        events = {order.ref: Event(own_event(order.ref), str(uuid.uuid4()), RECHECK) for order in orders}
        taken = {
            event.correlation_id
            for some in pool.map(self._queue.send, batched(events.values(), 10, strict=False))
            for event in some
        }
        return [order for order in orders if events[order.ref].correlation_id in taken]


def _once(orders: Iterable[FollowedOrder]) -> Iterator[FollowedOrder]:
    """Yield each order once, though it may be postponed, and so met again, while the list is read."""
    seen = set()
    for order in orders:
        if order.ref not in seen:
            seen.add(order.ref)
            yield order
