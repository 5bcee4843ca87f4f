"""What people do with orders, one order after the other; what came of each is told in a line."""

from collections.abc import Callable, Sequence
from datetime import datetime

from invoicekey.ledger.entries import DISMISSED, Entry
from invoicekey.rules.notification import OrderRef
from invoicekey.runtime.errors import Conflict, RetryLater
from invoicekey.work.acts import ActResult, Acts
from operations.deployment.order_ids import named
from operations.deployment.shop import Shop
from operations.health.story import archived, day
from operations.terminal.cli import IN_THE_WAY, err, out
from operations.terminal.plain import date, plainly, why_not_now

_TRIES = 3

type Work = Callable[[Acts, OrderRef], ActResult]
type Tell = Callable[[Shop, OrderRef, ActResult], bool]


def each(of: Shop, account: str | None, orders: Sequence[str], work: Work, tell: Tell) -> int:
    """Do the work for each order, and tell each result in a line; nothing is done where one id is none.

    Returns the exit code: 0 where all went well, 1 where one did not.
    """
    with plainly():
        refs = [one.ref for one in named(of, account, orders)]
        acts = {ref.account: _acts_on(of, ref.account) for ref in refs}
        # A list, so that every order has its turn whatever came of those before.
        went_well = [_one(of, ref, acts[ref.account], work, tell) for ref in refs]
    return 0 if all(went_well) else IN_THE_WAY


def _acts_on(of: Shop, account: str) -> Acts:
    settings = of.settings_of(account)
    return Acts(of.ledger, of.outlets, settings.lease, settings.style.language)


def _one(of: Shop, ref: OrderRef, acts: Acts, work: Work, tell: Tell) -> bool:
    try:
        return tell(of, ref, _tried(lambda: work(acts, ref)))
    except RetryLater as trouble:
        return no(ref, why_not_now(trouble))


def _tried(work: Callable[[], ActResult]) -> ActResult:
    """Do it anew where the stack wrote to the order at the same moment."""
    for _ in range(_TRIES):
        try:
            return work()
        except Conflict:
            continue
    return ActResult.BUSY


def standing(of: Shop, ref: OrderRef, now: datetime) -> str:
    """Say how an order stands that is not as a command needs it."""
    entry = of.ledger.read_one(ref)
    if not entry.version:
        return f"this stack has never seen it in the account {ref.account}"
    if entry.archived == DISMISSED:
        return f"it is archived already ({archived(entry, lambda when: date(when, of))})"
    if entry.archived:
        return f"it is {entry.archived}, and not followed any longer"
    if entry.has_open_failure and entry.opened_at:
        return f"it is open since {date(entry.opened_at, of)}{_snoozed(of, entry, now)}"
    return f"it is not failing (last found {entry.outcome or 'waiting'})"


def _snoozed(of: Shop, entry: Entry, now: datetime) -> str:
    if entry.snoozed_until is None or entry.snoozed_until <= now:
        return ""
    return f", and snoozed until {day(entry.snoozed_until, of.style.timezone)}"


def yes(ref: OrderRef, what: str) -> bool:
    """Tell what was done with an order."""
    out.print(f"{ref.order_id}: {what}", markup=False)
    return True


def no(ref: OrderRef, what: str) -> bool:
    """Tell why nothing was done with an order."""
    err.print(f"{ref.order_id}: {what}", style="red", markup=False)
    return False
