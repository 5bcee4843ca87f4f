"""`invoicekey recheck`: orders checked now by the stack, and closed or told anew while one watches."""

from collections.abc import Iterable

import typer

from invoicekey.ledger.entries import CORRUPT, Entry
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.verdict import Outcome
from invoicekey.runtime.errors import CredentialsRefused, OrderNotFound, RateLimited, RetryLater
from operations.deployment.order_ids import Named, at_vtex, named, unknown_to_vtex
from operations.deployment.shop import Shop
from operations.deployment.stack import NotUnderstood, Trouble
from operations.deployment.visit import SECONDS, VIEW_ORDER, needing, visiting
from operations.health.story import archived, errors
from operations.tasks import recheck as rechecking
from operations.tasks.judging import Judged, Judging, claims_of
from operations.tasks.recheck import Ended
from operations.terminal.cli import FAILING, IN_THE_WAY, INTERRUPTED, err, out
from operations.terminal.plain import NOT_SENT, date, plainly, queue, say, why_not_now
from operations.terminal.plain import orders as number_of


def recheck(of: Shop, orders: list[str] | None, account: str | None, everything: bool, wait: float) -> int:
    """Have the stack check orders, and watch what comes of it; return the exit code."""
    if bool(orders) == everything:
        raise NotUnderstood("Say which orders: invoicekey recheck ORDER…, or --all for all open failures.")
    with plainly():
        watch = Watch(of)
        if everything:
            watch.add(rechecking.open_ones(of.backlog, of.account(account) if account else None))
        else:
            watch.add_named(named(of, account, orders or []))
        watch.run(wait)
    if watch.failing:
        return FAILING
    return IN_THE_WAY if watch.without_result else 0


class Watch:
    """The orders that are checked, and what came of them so far."""

    def __init__(self, of: Shop) -> None:
        self._of = of
        self._before: dict[OrderRef, Entry] = {}
        self._waiting: set[OrderRef] = set()
        self.failing = 0
        self.without_result = 0

    def add(self, refs: list[OrderRef]) -> None:
        """Take orders that the ledger knows; tell those whose items can't be read."""
        self._before |= rechecking.entries(self._of.ledger, refs)
        for ref in refs:
            if ref not in self._before:
                self._no(ref, CORRUPT)

    def add_named(self, orders: Iterable[Named]) -> None:
        """Take orders that somebody named; those without an open failure are looked at first."""
        for one in orders:
            if one.is_known and self._of.ledger.read_one(one.ref).has_open_failure:
                self.add([one.ref])
            else:
                self._look(one)

    def run(self, wait: float) -> None:
        """Queue them, and tell what comes of each until the time is up."""
        events = rechecking.events(self._before)
        if len(queue(self._of, events)) < len(events):
            raise Trouble(f"The hook queue did not take all of {number_of(len(events))}. Run it again; {NOT_SENT}.")
        left = {ref: entry for ref, entry in self._before.items() if ref not in self._waiting}
        try:
            with err.status(_watching(left)) as status:
                for ended in rechecking.ended(self._of.ledger, left, wait):
                    del left[ended.after.ref]
                    self._tell(ended)
                    status.update(_watching(left))
        except KeyboardInterrupt:
            err.print(f"\nInterrupted; {number_of(len(left))} not seen yet. What is queued is checked all the same.")
            raise typer.Exit(INTERRUPTED) from None
        for ref in left:
            self._no(ref, f"queued, and no result within {wait:g} s. What comes of it: {self._explain(ref)}")
        if not self._before and not self.without_result:
            err.print("No failure is open.")

    def _look(self, one: Named) -> None:
        """See that VTEX knows the order, lest a dead letter come of it, and whether it waits for its invoice."""
        of, account = self._of, one.ref.account
        try:
            with visiting(of, [account]) as vtex, needing(VIEW_ORDER, account):
                policy = of.settings_of(account).policy
                judging = Judging(lambda ref: vtex.read_order(ref, SECONDS), claims_of(of.table), policy)
                ref, judged = at_vtex(one, lambda ref: judging.judge(of.ledger.read_one(ref)))
        except OrderNotFound:
            self._no(one.ref, unknown_to_vtex(one))
        except (CredentialsRefused, RateLimited):
            raise
        except RetryLater as trouble:
            self._no(one.ref, why_not_now(trouble))
        else:
            self.add([ref])
            self._note_waiting(judged)

    def _note_waiting(self, judged: Judged) -> None:
        if judged.verdict.outcome is Outcome.WAITING:
            self._waiting.add(judged.ref)
            until = f" until {date(judged.verdict.wait_until, self._of)}" if judged.verdict.wait_until else ""
            say(out, f"{judged.ref.order_id}: waiting{until} for its invoice or key; it is queued, and checked then.")

    def _tell(self, ended: Ended) -> None:
        entry = ended.after
        if ended.is_failing:
            self.failing += 1
            still = "still failing" if ended.before.has_open_failure else "failing, and told as usual"
            say(out, f"{entry.ref.order_id}: {still}: {'; '.join(errors(entry))}.", style="bold red")
        elif ended.is_closed:
            say(out, f"{entry.ref.order_id}: closed, for it is {_found(entry)} now.", style="bold green")
        elif entry.archived:
            told = archived(entry, lambda when: date(when, self._of))
            say(out, f"{entry.ref.order_id}: as it was: {told}.")
        else:
            say(out, f"{entry.ref.order_id}: nothing is open; it is {_found(entry)}.")

    def _no(self, ref: OrderRef, what: str) -> None:
        self.without_result += 1
        say(err, f"{ref.order_id}: {what}", style="red")

    def _explain(self, ref: OrderRef) -> str:
        return self._of.command(f"explain {ref.order_id} --account {ref.account}")


def _found(entry: Entry) -> str:
    return {Outcome.OK: "good", Outcome.OTHER_MARKETPLACE: "not CNova's"}.get(
        Outcome(entry.outcome or Outcome.OK), str(entry.outcome).replace("_", " ")
    )


def _watching(left: Iterable[object]) -> str:
    return f"waiting for the checks: {number_of(len(list(left)))} left"
