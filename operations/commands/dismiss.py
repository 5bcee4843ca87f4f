"""`invoicekey dismiss` and `undismiss`: failures that a person dealt with elsewhere."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from invoicekey.delivery.queues import Event
from invoicekey.ledger.entries import DISMISSED
from invoicekey.rules.notification import OrderRef, own_event
from invoicekey.runtime.errors import Conflict, RetryLater
from invoicekey.work.acts import ActResult, Acts
from operations.deployment.order_ids import named
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood
from operations.health.story import archived
from operations.terminal.cli import IN_THE_WAY, err, out
from operations.terminal.plain import date, plainly, queue, why_not_now

LONGEST_REASON = 200
SOURCE = "undismiss"
"""Where the event comes from by which an order is checked again."""
_TRIES = 3


def dismiss(of: Shop, orders: list[str], reason: str, account: str | None) -> int:
    """Set failures aside that were solved elsewhere; return the exit code."""
    why = _checked(reason)
    return _each(of, account, orders, lambda all_, ref: all_.dismiss(ref, why, datetime.now(UTC)), _dismissed)


def undismiss(of: Shop, orders: list[str], account: str | None) -> int:
    """Take dismissals back; return the exit code."""
    return _each(of, account, orders, lambda all_, ref: all_.undismiss(ref, datetime.now(UTC)), _undismissed)


def _each(
    of: Shop,
    account: str | None,
    orders: Sequence[str],
    work: Callable[[Acts, OrderRef], ActResult],
    tell: Callable[[Shop, OrderRef, ActResult], bool],
) -> int:
    """Do the work for each order, and tell each result in a line; nothing is done where one id is none."""
    with plainly():
        refs = [one.ref for one in named(of, account, orders)]
        dismissals = Acts(of.ledger, of.outlets, of.settings.lease, of.style.language)
        # A list, so that every order has its turn whatever came of those before.
        went_well = [_one(of, ref, dismissals, work, tell) for ref in refs]
    return 0 if all(went_well) else IN_THE_WAY


def _one(
    of: Shop,
    ref: OrderRef,
    dismissals: Acts,
    work: Callable[[Acts, OrderRef], ActResult],
    tell: Callable[[Shop, OrderRef, ActResult], bool],
) -> bool:
    try:
        return tell(of, ref, _tried(lambda: work(dismissals, ref)))
    except RetryLater as trouble:
        return _no(ref, why_not_now(trouble))


def _tried(work: Callable[[], ActResult]) -> ActResult:
    """Do it anew where the stack wrote to the order at the same moment."""
    for _ in range(_TRIES):
        try:
            return work()
        except Conflict:
            continue
    return ActResult.BUSY


def _dismissed(of: Shop, ref: OrderRef, result: ActResult) -> bool:
    if result is ActResult.DONE:
        return _yes(ref, "dismissed. No more reminders; it opens again only when its errors change.")
    if result is ActResult.UNSENT:
        return _yes(ref, "dismissed. The failure queue did not take its record now; the next check of it sends it.")
    if result is ActResult.BUSY:
        return _no(ref, "its last report is being delivered at this moment. Try again in a minute.")
    return _no(ref, f"{_standing(of, ref)}; there is nothing to dismiss.")


def _undismissed(of: Shop, ref: OrderRef, result: ActResult) -> bool:
    if result is ActResult.NOT_OPEN:
        return _no(ref, f"{_standing(of, ref)}; there is no dismissal to take back.")
    if result is ActResult.BUSY:
        return _no(ref, "the stack is writing to it at this moment. Try again in a minute.")
    if queue(of, [Event(own_event(ref), str(uuid.uuid4()), SOURCE)]):
        return _yes(ref, "followed again, and queued for a check; it is reported anew if it still fails.")
    return _yes(ref, "followed again; the queue took no event just now, so the next re-check reads it.")


def _standing(of: Shop, ref: OrderRef) -> str:
    """Say how an order stands that is not as the command needs it."""
    entry = of.ledger.read_one(ref)
    if not entry.version:
        return f"this stack has never seen it in the account {ref.account}"
    if entry.archived == DISMISSED:
        return f"it is archived already ({archived(entry, lambda when: date(when, of))})"
    if entry.archived:
        return f"it is {entry.archived}, and not followed any longer"
    if entry.has_open_failure and entry.opened_at:
        return f"it is open since {date(entry.opened_at, of)}"
    return f"it is not failing (last found {entry.outcome or 'waiting'})"


def _checked(reason: str) -> str:
    text = " ".join(reason.split())
    if not text or not text.isprintable():
        raise NotUnderstood('Say why, in a few words: --reason "updated in the seller portal".')
    if len(text) > LONGEST_REASON:
        raise NotUnderstood(
            f"The reason has {len(text)} characters; {LONGEST_REASON} are the most. Nothing was changed."
        )
    return text


def _yes(ref: OrderRef, what: str) -> bool:
    out.print(f"{ref.order_id}: {what}", markup=False)
    return True


def _no(ref: OrderRef, what: str) -> bool:
    err.print(f"{ref.order_id}: {what}", style="red", markup=False)
    return False
