"""`invoicekey dismiss` and `undismiss`: failures that a person dealt with elsewhere."""

import uuid
from datetime import UTC, datetime

from invoicekey.delivery.queues import Event
from invoicekey.rules.notification import OrderRef, own_event
from invoicekey.work.acts import ActResult
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood
from operations.tasks.acting import each, no, standing, yes
from operations.terminal.plain import queue

LONGEST_REASON = 200
SOURCE = "undismiss"
"""Where the event comes from by which an order is checked again."""


def dismiss(of: Shop, orders: list[str], reason: str, account: str | None) -> int:
    """Set failures aside that were solved elsewhere; return the exit code."""
    why = _checked(reason)
    return each(of, account, orders, lambda acts, ref: acts.dismiss(ref, why, datetime.now(UTC)), _dismissed)


def undismiss(of: Shop, orders: list[str], account: str | None) -> int:
    """Take dismissals back; return the exit code."""
    return each(of, account, orders, lambda acts, ref: acts.undismiss(ref, datetime.now(UTC)), _undismissed)


def _dismissed(of: Shop, ref: OrderRef, result: ActResult) -> bool:
    if result is ActResult.DONE:
        return yes(ref, "dismissed. No more reminders; it opens again only when its errors change.")
    if result is ActResult.UNSENT:
        return yes(ref, "dismissed. The failure queue did not take its record now; the next check of it sends it.")
    if result is ActResult.BUSY:
        return no(ref, "its last report is being delivered at this moment. Try again in a minute.")
    return no(ref, f"{standing(of, ref, datetime.now(UTC))}; there is nothing to dismiss.")


def _undismissed(of: Shop, ref: OrderRef, result: ActResult) -> bool:
    if result is ActResult.NOT_OPEN:
        return no(ref, f"{standing(of, ref, datetime.now(UTC))}; there is no dismissal to take back.")
    if result is ActResult.BUSY:
        return no(ref, "the stack is writing to it at this moment. Try again in a minute.")
    if queue(of, [Event(own_event(ref), str(uuid.uuid4()), SOURCE)]):
        return yes(ref, "followed again, and queued for a check; it is reported anew if it still fails.")
    return yes(ref, "followed again; the queue took no event just now, so the next re-check reads it.")


def _checked(reason: str) -> str:
    text = " ".join(reason.split())
    if not text or not text.isprintable():
        raise NotUnderstood('Say why, in a few words: --reason "updated in the seller portal".')
    if len(text) > LONGEST_REASON:
        raise NotUnderstood(
            f"The reason has {len(text)} characters; {LONGEST_REASON} are the most. Nothing was changed."
        )
    return text
