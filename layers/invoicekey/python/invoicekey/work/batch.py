"""A batch of messages of the hook queue: check their orders side by side, send the reports, settle each.

A message that is neither done nor dead goes back to the queue with a wait of its own. Nothing sleeps
here but for the rate limit of VTEX.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from invoicekey.delivery.queues import FEED, HOOK, RECHECK, Message, Outlets
from invoicekey.ledger.accounts import CORRUPT as CORRUPT_ACCOUNT
from invoicekey.ledger.activity import Activities, Sign
from invoicekey.ledger.entries import CORRUPT, Deferral, Entry, Ledger, Snapshot
from invoicekey.messages.fields import RecordType
from invoicekey.rules.notification import (
    AccountRefused,
    ForeignOrderId,
    Malformed,
    OrderRef,
    event_id,
    is_watched,
    order_ref,
    parse,
    says_invoiced,
)
from invoicekey.rules.policy import AlertQuota
from invoicekey.rules.prefixes import NOTHING_KNOWN, Prefixes, ids_of, is_passed_over, prefix_of
from invoicekey.rules.verdict import Outcome, Verdict
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import CredentialsRefused, LedgerUnavailable, NoTurn, OutOfTime, RateLimited, RetryLater
from invoicekey.runtime.settings import WATCHED_STATUSES, CheckerSettings, OfAccounts, SettingsError
from invoicekey.runtime.telemetry import logger
from invoicekey.vtex.client import Vtex
from invoicekey.work.check import (
    CheckResult,
    Clock,
    DeadLetterReason,
    DeskLink,
    OrderCheck,
    Rules,
    Trigger,
    no_link,
)

PARALLEL = 10
PATIENCE_AMONG_OTHERS = 0.0
"""So many seconds at the most is it waited for a turn of an account's rate limit where other accounts' orders come too,
for all of a batch is reported when its last order is done, and the next batch waits (docs/architecture/fairness.md)."""
OTHERS_ARE_ABOUT = timedelta(minutes=5)
"""So long an environment reckons with the accounts whose orders it has had."""
WITHOUT_TURN_SECONDS, LONGEST_WITHOUT_TURN_SECONDS = 5.0, 30.0
"""About so long a message is hidden that had no turn: it doubles with each receive up to the second."""
SECONDS_A_RECEIVE = 1.5
"""With many receives it is so much longer with each, for SQS counts them, and a thousand are the most: in a storm of
days no message comes to that."""
GIVE_UP_AFTER = timedelta(hours=24)
LONGEST_RETRY = 3600.0
DEATHS_OF_POISON = 2
MOST_UNNOTED = 5000
"""So many returns to the queue are kept until the ledger can note them."""
LEAST_HIDDEN_SECONDS = 180.0
"""As the queue hides what it hands out: so long a message that may kill the function is hidden at the least."""
SETTLING_SECONDS = 3.5
"""Kept free at the very end, to send the reports of what did end in time and to return messages to the queue."""
NOTING_SECONDS = 1.0
"""So long is it waited, when all is settled, for the notes of what was seen of the accounts."""


@dataclass(frozen=True, slots=True)
class AccountRules:
    """How an account's orders are checked."""

    order_check: OrderCheck
    alert_quota: AlertQuota
    requests_per_minute: int
    """Of this environment."""
    longest_grace: timedelta = timedelta(0)
    watched_statuses: frozenset[str] | None = None
    """What the account watches of its own; None: whatever has come to the queue is checked."""
    affiliate_ids: frozenset[str] = frozenset()
    """Of CNova, where an order's id may be enough to tell that it is another marketplace's; empty: it never is."""
    prefixes: Prefixes = NOTHING_KNOWN
    """What is known of the account's order ids."""

    def pass_over(self, order: "BatchOrder") -> bool:
        """Say whether an order is not read: never one that the ledger knows, or that somebody asked for."""
        return order.is_of_vtex_alone and is_passed_over(order.ref.order_id, self.prefixes, self.affiliate_ids)


def rules_of(
    own: Mapping[str, str],
    of_accounts: OfAccounts[CheckerSettings],
    vtex: Vtex,
    ledger: Ledger,
    desk_link: DeskLink = no_link,
) -> AccountRules:
    """Return the rules of an account with these settings of its own, raising SettingsError."""
    settings = of_accounts.of(own)
    rules = Rules(settings.policy, settings.style, settings.lease, desk_link)
    return AccountRules(
        OrderCheck(vtex, ledger, rules),
        settings.alert_quota,
        settings.requests_per_minute,
        longest_grace=settings.policy.longest_grace,
        watched_statuses=settings.watched_statuses if WATCHED_STATUSES in own else None,
        affiliate_ids=settings.policy.affiliate_ids if settings.skips_other_prefixes else frozenset(),
    )


@dataclass(slots=True)
class BatchOrder:
    """One order of a batch: its messages and what the ledger holds of it."""

    ref: OrderRef
    messages: list[Message]
    entry: Entry
    is_passed_over: bool = False
    """Its id is enough to tell that it is another marketplace's."""

    @property
    def trigger(self) -> Trigger:
        """Sum up the events that caused the check."""
        first = datetime.fromtimestamp(min(message.sent_at for message in self.messages), UTC)
        events = [(event, message.source) for message in self.messages if (event := _event(message))]
        of_hook = tuple(event for event, source in events if source != FEED)
        is_said = any(says_invoiced(_body(message)) for message in self.messages)
        return Trigger(first, tuple(event for event, _ in events), of_hook, says_invoiced=is_said)

    @property
    def is_known(self) -> bool:
        """Say whether all that is new here is what the feed repeats of events whose checks have ended."""
        is_delivered = self.entry.report is None or self.entry.report.is_delivered
        return is_delivered and all(m.source == FEED and _event(m) in self.entry.events for m in self.messages)

    @property
    def prefix(self) -> str | None:
        """Return what its id tells of its marketplace."""
        return prefix_of(self.ref.order_id)

    @property
    def is_of_vtex_alone(self) -> bool:
        """Say whether VTEX's events are all that there is of it: nobody asked for the check, the ledger has nothing."""
        return not self.entry.version and all(message.source in (HOOK, FEED) for message in self.messages)


@dataclass(slots=True)
class _Waits:
    """The messages of a batch that go back."""

    ids: set[str] = field(default_factory=set)
    due: dict[str, tuple[Message, float]] = field(default_factory=dict)
    """Those that SQS is still to be asked for, and after how many seconds they are to come."""

    def add(self, message: Message, seconds: float) -> None:
        self.ids.add(message.id)
        self.due[message.id] = (message, seconds)

    def take_due(self) -> list[tuple[Message, float]]:
        due, self.due = list(self.due.values()), {}
        return due


def _all_in_secret(_stamps: Mapping[str, str | None]) -> None:
    """Have no account's credentials in a place of its own."""


def _ten_threads() -> Executor:
    return ThreadPoolExecutor(PARALLEL, thread_name_prefix="check")


class BatchCheck:
    """Checks batches, one after the other, in one environment."""

    def __init__(
        self,
        vtex: Vtex,
        ledger: Ledger,
        outlets: Outlets,
        rules_of: Callable[[Mapping[str, str]], AccountRules],
        retry_base: timedelta,
        *,
        activities: Activities,
        keep_credentials: Callable[[Mapping[str, str | None]], None] = _all_in_secret,
        make_pool: Callable[[], Executor] = _ten_threads,
    ) -> None:
        """Put the parts together.

        `rules_of` takes an account's own settings and raises SettingsError. `keep_credentials` takes, of the accounts
        that are about to be asked for, the stamps of what they have in places of their own.
        """
        self._vtex = vtex
        self._ledger = ledger
        self._outlets = outlets
        self._rules_of = rules_of
        self._retry_base = retry_base.total_seconds()
        self._keep_credentials = keep_credentials
        self._activities = activities
        self._met: dict[str, datetime] = {}
        self._unnoted: deque[str] = deque(maxlen=MOST_UNNOTED)
        self._checks = make_pool()
        self._notes = make_pool()  # apart, so that checks that hang do not keep what was sent from being noted

    def check(self, messages: Sequence[Message], clock: Clock) -> set[str]:
        """Check the orders that the messages are about; return the ids of the messages that go back to the queue."""
        waits, rules, signs = _Waits(), dict[str, AccountRules](), dict[str, set[Sign]]()
        orders = self._open_orders(messages, clock, waits, rules)
        self._measure_age(messages, rules, clock)
        if self._is_among_others(orders, clock):
            clock = replace(clock, patience=PATIENCE_AMONG_OTHERS)
        while orders:
            results = self._check_side_by_side(orders, rules, clock)
            delivered = self._send([result.report for result in results if result.report], rules, clock)
            for order, result in zip(orders, results, strict=True):
                self._settle(order, result, delivered, clock, waits)
                signs.setdefault(order.ref.account, set()).update(_signs(order, result))
            unfinished = [
                order for order, found in zip(orders, results, strict=True) if _is_unfinished(found, delivered)
            ]
            self._learn_prefixes(zip(orders, results, strict=True), rules, clock)
            orders = self._read_anew(unfinished, clock, waits)
        self._share_backoffs()
        self._return_to_queue(waits)
        self._note_activity({account: seen for account, seen in signs.items() if seen}, clock.now())
        return waits.ids

    def _is_among_others(self, orders: Iterable[BatchOrder], clock: Clock) -> bool:
        """Say whether this environment has lately had orders of several accounts."""
        now = clock.now()
        met = self._met | dict.fromkeys((order.ref.account for order in orders), now)
        self._met = {account: at for account, at in met.items() if now - at < OTHERS_ARE_ABOUT}
        return len(self._met) > 1

    def _measure_age(self, messages: Sequence[Message], rules: Mapping[str, AccountRules], clock: Clock) -> None:
        """Measure how late the oldest message is; one that waits for its order's grace is not late."""
        graces = [of.longest_grace for of in rules.values()] or [self._rules_of({}).longest_grace]
        oldest = min((message.sent_at for message in messages), default=clock.now().timestamp())
        late = clock.now().timestamp() - oldest - max(graces).total_seconds()
        telemetry.measure_seconds("oldest_check_age", max(0.0, late))

    def _open_orders(
        self, messages: Sequence[Message], clock: Clock, waits: _Waits, rules: dict[str, AccountRules]
    ) -> list[BatchOrder]:
        """Group the messages by order and read the ledger; what can't be a notification is dead-lettered.

        What is about an order that can't be CNova's is done: to keep it would be to keep another marketplace's events.
        So is what an account does not watch, or that is off. `rules` are filled with those of the accounts.
        """
        by_order: dict[OrderRef, list[Message]] = {}
        for message in messages:
            try:
                by_order.setdefault(order_ref(parse(message.body)), []).append(message)
            except (Malformed, AccountRefused):
                self._send_to_dead_letters(message, DeadLetterReason.MALFORMED, waits)
            except ForeignOrderId as foreign:
                telemetry.count("check_foreign_order_id")
                logger.info("an order that cannot be CNova's", extra=_of_foreign(foreign, message))
        if not by_order:
            return []
        self._make_up_for_notes(clock)
        often = [message.id for group in by_order.values() for message in group if _may_be_poison(message)]
        try:
            snapshot = self._ledger.read(by_order, often)
        except RetryLater as trouble:
            self._postpone(by_order, trouble, clock, waits)
            return []
        for account, until in snapshot.backoff_until.items():
            self._vtex.back_off(account, until)
        by_order = self._of_accounts(by_order, snapshot, clock, waits, rules)
        orders = self._orders_of(by_order, snapshot, clock, waits)
        for order in orders:
            order.is_passed_over = rules[order.ref.account].pass_over(order)
            _count_feed(order)
        return self._isolate_poison([order for order in orders if not order.is_known], snapshot, clock, waits)

    def _of_accounts(
        self,
        by_order: Mapping[OrderRef, list[Message]],
        snapshot: Snapshot,
        clock: Clock,
        waits: _Waits,
        rules: dict[str, AccountRules],
    ) -> dict[OrderRef, list[Message]]:
        """Return the messages that their accounts want checked, and learn the rules of these accounts.

        Those of an account whose own settings are corrupt go back: nothing is judged by settings that are not meant.
        """
        wanted: dict[OrderRef, list[Message]] = {}
        corrupt: dict[OrderRef, list[Message]] = {}
        stamps: dict[str, str | None] = {}
        for account, own in snapshot.accounts.items():
            orders = {ref: group for ref, group in by_order.items() if ref.account == account}
            try:
                of_account = self._rules_of(own.settings) if own else None
            except SettingsError as error:
                of_account = None
                name, *_ = str(error).partition(":")  # its text may be a person's CPF
                logger.error("an account's own setting is wrong", extra={"account": account, "setting": name})
            if own and own.is_off:
                telemetry.count("check_account_off", len(_pass_over(orders, "the account is off")))
            elif own is None or of_account is None:
                telemetry.count("ledger_unreadable")
                logger.error("an account's item in the ledger is corrupt: mend it", extra={"account": account})
                corrupt |= orders
            else:
                ids = ids_of(account, of_account.affiliate_ids)
                known = snapshot.prefixes[account].under(ids, clock.now())
                rules[account] = replace(of_account, affiliate_ids=ids, prefixes=known)
                self._vtex.keep_pace(account, of_account.requests_per_minute)
                stamps[account] = own.credentials
                wanted |= _watched(orders, of_account.watched_statuses)
        self._postpone(corrupt, RetryLater(CORRUPT_ACCOUNT), clock, waits)
        self._keep_credentials(stamps)
        return wanted

    def _orders_of(
        self, by_order: Mapping[OrderRef, list[Message]], snapshot: Snapshot, clock: Clock, waits: _Waits
    ) -> list[BatchOrder]:
        """Put messages and ledger together; those of items that are corrupt go back."""
        corrupt = {ref: group for ref, group in by_order.items() if ref not in snapshot.entries}
        self._postpone(corrupt, RetryLater(CORRUPT), clock, waits)
        return [BatchOrder(ref, by_order[ref], entry) for ref, entry in snapshot.entries.items() if ref in by_order]

    def _postpone(
        self, by_order: Mapping[OrderRef, list[Message]], trouble: RetryLater, clock: Clock, waits: _Waits
    ) -> None:
        """Return to the queue the messages of orders that are not checked for something in the ledger."""
        for ref, group in by_order.items():
            order, result = BatchOrder(ref, group, Entry(ref)), CheckResult(retry=trouble)
            _log(order, result)
            self._settle(order, result, set(), clock, waits)

    def _isolate_poison(
        self, orders: list[BatchOrder], snapshot: Snapshot, clock: Clock, waits: _Waits
    ) -> list[BatchOrder]:
        """Where a message has killed the function twice, keep its order alone; the others go back before it is checked.

        It is hidden ever longer in case it kills again: by age it is dead-lettered, never by count.
        """
        poisonous = [order for order in orders if any(_deaths(m, snapshot) >= DEATHS_OF_POISON for m in order.messages)]
        if not poisonous:
            return orders
        isolated = poisonous[0]
        logger.warning("a suspected poison message is isolated: the function died with its order", extra=_ids(isolated))
        for order in orders:
            for message in order.messages if order is not isolated else ():
                waits.add(message, 0)
        self._return_to_queue(waits)
        for message in [m for m in isolated.messages if _deaths(m, snapshot) >= DEATHS_OF_POISON and _is_old(m, clock)]:
            self._send_to_dead_letters(message, DeadLetterReason.GAVE_UP, waits)
            isolated.messages.remove(message)
        self._change_visibility([(m, max(LEAST_HIDDEN_SECONDS, self._growing_wait(m))) for m in isolated.messages])
        return [isolated] if isolated.messages else []

    def _check_side_by_side(
        self, orders: Sequence[BatchOrder], rules: Mapping[str, AccountRules], clock: Clock
    ) -> list[CheckResult]:
        """Check the cases in parallel; what does not end in time goes back, whatever it waits for."""
        futures = [self._begin(order, rules[order.ref.account], clock) for order in orders]
        wait(futures, timeout=max(0.0, clock.seconds_left() - SETTLING_SECONDS))
        results = [_result_of(future, order) for future, order in zip(futures, orders, strict=True)]
        for order, result in zip(orders, results, strict=True):
            _log(order, result)
            _count(result)
            if order.is_passed_over:
                telemetry.count("check_other_prefix")
        while self._vtex.answers:
            telemetry.count_answer(*self._vtex.answers.popleft())
        return results

    def _begin(self, order: BatchOrder, account: AccountRules, clock: Clock) -> "Future[CheckResult]":
        if not order.is_passed_over:
            return self._checks.submit(account.order_check.check, order.entry, order.trigger, clock)
        known: Future[CheckResult] = Future()
        known.set_result(CheckResult(Verdict(Outcome.OTHER_MARKETPLACE)))
        return known

    def _send(self, entries: Sequence[Entry], rules: Mapping[str, AccountRules], clock: Clock) -> set[OrderRef]:
        """Send the records, then the alerts, noting each; return the orders whose reports are delivered."""
        if not entries:
            return set()
        delivered = {entry.ref for entry in entries}
        unrecorded = [entry for entry in entries if entry.report and not entry.report.recorded]
        recorded = self._noted(self._outlets.send_records(unrecorded), self._ledger.note_recorded)
        telemetry.count("report_recorded", len(recorded))
        delivered -= {entry.ref for entry in unrecorded} - recorded
        unalerted = [entry for entry in entries if entry.report and not entry.report.alerted and entry.ref in delivered]
        unannounced = [entry for entry in unalerted if entry.report and entry.report.alert is None]
        announced = [entry for entry in unalerted if entry not in unannounced]
        going_out, deferred = self._apply_quota(announced, rules, clock)
        alerted = self._noted(self._outlets.publish_alerts(going_out), self._ledger.note_alerted)
        telemetry.count("alert_published", len(alerted))
        called_off = self._noted(unannounced, self._ledger.note_alerted)
        noted_deferred = self._noted(deferred, lambda entry: self._ledger.note_deferred(entry, _deferral(entry, clock)))
        delivered -= {entry.ref for entry in unalerted} - alerted - noted_deferred - called_off
        telemetry.count("alert_deferred", len(noted_deferred))
        return delivered

    def _apply_quota(
        self, entries: Sequence[Entry], rules: Mapping[str, AccountRules], clock: Clock
    ) -> tuple[list[Entry], list[Entry]]:
        """Part the alerts that go out now from those that wait for a digest.

        Whose failure stood in a digest is resolved in one too. Without the ledger nothing goes out.
        """
        going_out: list[Entry] = []
        deferred: list[Entry] = []
        kinds: dict[tuple[str, str], list[Entry]] = {}
        for entry in entries:
            if entry.is_in_digests and _kind(entry) != FAILING:
                deferred.append(entry)
            else:
                kinds.setdefault((entry.ref.account, _kind(entry)), []).append(entry)
        for (account, kind), group in kinds.items():
            try:
                quota = rules[account].alert_quota
                granted = self._ledger.acquire_alert_quota(account, kind, len(group), clock.now(), quota)
            except RetryLater as trouble:
                logger.warning("no alert goes out without the ledger", extra={"account": account, "why": trouble.why})
                continue
            going_out += group[:granted]
            deferred += group[granted:]
        return going_out, deferred

    def _noted(self, entries: Iterable[Entry], note: Callable[[Entry], None]) -> set[OrderRef]:
        def try_to_note(entry: Entry) -> OrderRef | None:
            try:
                note(entry)
            except Exception as error:  # noqa: BLE001 - an unnoted report is sent again after its lease, whatever failed
                logger.warning("a report was sent but not noted", extra={"error": type(error).__name__})
                return None
            return entry.ref

        return {ref for ref in self._notes.map(try_to_note, entries) if ref}

    def _settle(
        self, order: BatchOrder, result: CheckResult, delivered: set[OrderRef], clock: Clock, waits: _Waits
    ) -> None:
        """Decide what becomes of the messages of a case: done, dead, or back to the queue.

        What is pending is never dead-lettered, nor what the ledger may hold of it while it gives no answer:
        the message may be all that brings it about.
        """
        now = clock.now()
        is_undelivered = result.report is not None and order.ref not in delivered
        if result.report and is_undelivered:
            trouble = RetryLater("the report could not be delivered", wait=_lease_left(result.report, now))
            result = CheckResult(retry=trouble)
        for message in order.messages:
            if (
                result.retry
                and not is_undelivered
                and _counts_towards_giving_up(result.retry)
                and _is_old(message, clock)
            ):
                self._give_up(order, message, result, waits)
            elif result.dead:
                self._send_to_dead_letters(message, result.dead, waits)
            elif result.retry:
                waits.add(message, self._retry_wait(message, result.retry))
            elif result.wait_until:
                left = max(1.0, (result.wait_until - now).total_seconds() + 1)
                waits.add(message, min(left, self._growing_wait(message)))

    def _give_up(self, order: BatchOrder, message: Message, result: CheckResult, waits: _Waits) -> None:
        """Dead-letter a message after a day of trouble; but a re-check of an order that could not be read just ends.

        It is no event of VTEX's: the list that it came from has the order as long as it is followed, and queues it
        again. With any other trouble a report may be written down that only the message brings about.
        """
        if message.source == RECHECK and result.is_unread:
            telemetry.count("recheck_unread")
            logger.warning("a re-check ends unread; the order's next one is queued in time", extra=_ids(order))
            return
        is_refused = isinstance(result.retry, CredentialsRefused)
        self._send_to_dead_letters(
            message, DeadLetterReason.NO_CREDENTIALS if is_refused else DeadLetterReason.GAVE_UP, waits
        )

    def _retry_wait(self, message: Message, trouble: RetryLater) -> float:
        asked = 0.0 if trouble.wait is None else max(1.0, trouble.wait) * random.uniform(1.0, 1.1)  # noqa: S311
        if isinstance(trouble, NoTurn):
            return max(asked, hidden_without_turn(message.receive_count) * random.uniform(0.5, 1.5))  # noqa: S311
        if isinstance(trouble, OutOfTime):
            return max(1.0, asked)
        return max(asked, self._growing_wait(message))

    def _growing_wait(self, message: Message) -> float:
        """Return a wait that doubles with each receive up to an hour, with jitter."""
        return min(self._retry_base * 2.0 ** _doublings(message), LONGEST_RETRY) * random.uniform(0.5, 1.0)  # noqa: S311

    def _read_anew(self, orders: list[BatchOrder], clock: Clock, waits: _Waits) -> list[BatchOrder]:
        """Read the ledger again for orders whose unfinished report is delivered now: they are still to be checked."""
        by_order = {order.ref: order.messages for order in orders}
        if not by_order:
            return []
        try:
            snapshot = self._ledger.read(by_order)
        except RetryLater as trouble:
            self._postpone(by_order, trouble, clock, waits)
            return []
        return self._orders_of(by_order, snapshot, clock, waits)

    def _learn_prefixes(
        self, read: Iterable[tuple[BatchOrder, CheckResult]], rules: Mapping[str, AccountRules], clock: Clock
    ) -> None:
        """Note what the orders that were read show of their prefixes.

        An order of CNova's whose like are passed over raises the alarm about the affiliate ids.
        """
        news: dict[str, list[tuple[str, bool]]] = {}
        for order, result in read:
            account, prefix = rules[order.ref.account], order.prefix
            if result.verdict is None or prefix is None or prefix in account.affiliate_ids or not account.affiliate_ids:
                continue
            is_other = result.verdict == Verdict(Outcome.OTHER_MARKETPLACE)
            if result.verdict.outcome is not Outcome.OTHER_MARKETPLACE and account.prefixes.is_other(prefix):
                telemetry.count("cnova_suspect")
                logger.error("orders like one of CNova's were passed over", extra=_ids(order) | {"prefix": prefix})
            is_counted = not (is_other and order.entry.version)  # an order that is checked again is no further one
            if is_counted and account.prefixes.is_news(prefix, is_other=is_other):
                news.setdefault(order.ref.account, []).append((prefix, is_other))
        for name, readings in news.items():
            try:
                self._ledger.learn_prefixes(name, readings, rules[name].affiliate_ids, clock.now())
            except RetryLater as trouble:
                logger.warning("what was read of prefixes is not kept", extra={"account": name, "why": trouble.why})

    def _send_to_dead_letters(self, message: Message, reason: DeadLetterReason, waits: _Waits) -> None:
        try:
            self._outlets.send_to_dead_letters(message, reason)
        except RetryLater as trouble:
            waits.add(message, self._retry_wait(message, trouble))
            return
        telemetry.count(f"dead_letter_{reason}")
        logger.error(
            "a message went to the dead-letter queue",
            extra={"reason": reason, "message_id": message.id, "correlation_id": message.correlation_id},
        )

    def _share_backoffs(self) -> None:
        for account, until in self._vtex.take_new_backoffs().items():
            try:
                self._ledger.note_backoff(account, until)
            except RetryLater as trouble:
                logger.warning("a back-off could not be shared", extra={"account": account, "why": trouble.why})

    def _note_activity(self, signs: Mapping[str, set[Sign]], now: datetime) -> None:
        """Note what was seen of the accounts; where that fails, or takes too long, the next batch has it to note."""

        def try_to_note(account: str) -> None:
            try:
                self._activities.note(account, signs[account], now)
            except RetryLater as trouble:
                logger.warning("an account's activity is not noted", extra={"account": account, "why": trouble.why})

        wait([self._notes.submit(try_to_note, account) for account in signs], timeout=NOTING_SECONDS)

    def _return_to_queue(self, waits: _Waits) -> None:
        due = waits.take_due()
        list(self._notes.map(self._note_returned, [message.id for message, _ in due]))
        self._change_visibility(due)

    def _change_visibility(self, waits: Sequence[tuple[Message, float]]) -> None:
        for message in self._outlets.return_to_queue(waits):
            logger.warning(
                "SQS refused a receipt handle; the message returns when its visibility ends",
                extra={"message_id": message.id},
            )

    def _note_returned(self, message_id: str) -> bool:
        try:
            self._ledger.note_returned(message_id)
        except RetryLater as trouble:
            self._unnoted.append(message_id)
            logger.warning(
                "a return to the queue could not be noted", extra={"message_id": message_id, "why": trouble.why}
            )
            return False
        return True

    def _make_up_for_notes(self, clock: Clock) -> None:
        """Note what could not be noted, lest each message that met an outage of the ledger be taken for a poison one.

        One first, then ten at once, as long as the ledger takes them and half of the time is left for the batch.
        """
        if not self._unnoted:
            return
        kept_free, at_once = clock.seconds_left() / 2, 1
        while self._unnoted and clock.seconds_left() > kept_free:
            some = [self._unnoted.popleft() for _ in range(min(at_once, len(self._unnoted)))]
            if not all(list(self._notes.map(self._note_returned, some))):
                break
            at_once = PARALLEL


def hidden_without_turn(receive_count: int) -> float:
    """Return about how many seconds a message is hidden that had no turn of its account's rate limit."""
    longest = max(LONGEST_WITHOUT_TURN_SECONDS, SECONDS_A_RECEIVE * receive_count)
    return min(WITHOUT_TURN_SECONDS * 2.0 ** min(receive_count - 1, 12), longest)


def _doublings(message: Message) -> int:
    return min(message.receive_count - 1, 12)


def _result_of(future: "Future[CheckResult]", order: BatchOrder) -> CheckResult:
    if not future.done():
        future.cancel()
        return CheckResult(retry=RetryLater("the check did not end in time"))
    error = future.exception()
    if error is None:
        return future.result()
    # One order's bad luck must not take the batch with it: its messages are tried again, and dead-lettered after a day.
    logger.error("a check failed unexpectedly", extra=_ids(order) | telemetry.type_and_place(error))
    return CheckResult(retry=RetryLater(f"unexpected {type(error).__name__}"))


def _is_unfinished(result: CheckResult, delivered: set[OrderRef]) -> bool:
    return result.is_unfinished and result.report is not None and result.report.ref in delivered


def _lease_left(entry: Entry, now: datetime) -> float:
    return (entry.report.lease_until - now).total_seconds() + 1 if entry.report else 0.0


def _counts_towards_giving_up(trouble: RetryLater) -> bool:
    """Say whether a day of this trouble is enough: of waiting for our turn, or for the ledger, it is not."""
    return not isinstance(trouble, OutOfTime | LedgerUnavailable)


def _is_old(message: Message, clock: Clock) -> bool:
    return clock.now().timestamp() - message.sent_at >= GIVE_UP_AFTER.total_seconds()


def _may_be_poison(message: Message) -> bool:
    return message.receive_count > DEATHS_OF_POISON


def _deaths(message: Message, snapshot: Snapshot) -> int:
    """Count the receives of a message, before this one, that did not end with a return to the queue on purpose."""
    return message.receive_count - 1 - snapshot.returned.get(message.id, 0) if _may_be_poison(message) else 0


def _event(message: Message) -> str | None:
    return event_id(_body(message))


def _body(message: Message) -> dict[str, Any]:
    try:
        return parse(message.body)
    except Malformed:  # nested to the limit, it could be read where less of the stack was used
        return {}


def _kind(entry: Entry) -> str:
    return _KINDS[entry.report.type] if entry.report else FAILING


def _deferral(entry: Entry, clock: Clock) -> Deferral:
    codes = tuple(dict.fromkeys(error.code for error in entry.errors))
    alert = entry.report.alert if entry.report else None
    return Deferral(_kind(entry), clock.now(), codes, entry.errors, alert)


def _signs(order: BatchOrder, result: CheckResult) -> set[Sign]:
    """Return what an order's check says of its account; a message that comes again says nothing new of its source."""
    sources = {message.source for message in order.messages}
    is_ours = result.verdict is not None and result.verdict.outcome is not Outcome.OTHER_MARKETPLACE
    seen = {
        Sign.HOOK: any(message.source == HOOK and message.receive_count == 1 for message in order.messages),
        Sign.CNOVA: is_ours and not sources.isdisjoint({HOOK, FEED}),
        Sign.FEED_ONLY: any(_only_the_feed_knew(order)),
        Sign.REFUSED: isinstance(result.retry, CredentialsRefused),
    }
    return {sign for sign, is_seen in seen.items() if is_seen}


def _count_feed(order: BatchOrder) -> None:
    """Count, of the feed's events, which ones only the feed knew: the average is the share that the hook missed."""
    for is_news in _only_the_feed_knew(order):
        telemetry.count("feed_only", 1 if is_news else 0)


def _only_the_feed_knew(order: BatchOrder) -> list[bool]:
    """Say of each event of the feed that is here for the first time whether the hook had not brought it.

    Of an order that is passed over nothing is kept, and so nobody knows.
    """
    if order.is_passed_over:
        return []
    known = {*order.entry.events, *(_event(message) for message in order.messages if message.source != FEED)}
    of_feed = (message for message in order.messages if message.source == FEED and message.receive_count == 1)
    return [_event(message) not in known for message in of_feed]


def _watched(
    by_order: Mapping[OrderRef, list[Message]], statuses: frozenset[str] | None
) -> dict[OrderRef, list[Message]]:
    """Return the messages whose state an account watches; the others are done."""
    if statuses is None:
        return dict(by_order)
    watched = {ref: [one for one in group if is_watched(_body(one), statuses)] for ref, group in by_order.items()}
    others = {ref: [one for one in group if one not in watched[ref]] for ref, group in by_order.items()}
    passed_over = _pass_over({ref: group for ref, group in others.items() if group}, "its state is not watched")
    telemetry.count("check_not_watched", len(passed_over))
    return {ref: group for ref, group in watched.items() if group}


def _pass_over(by_order: Mapping[OrderRef, list[Message]], why: str) -> list[Message]:
    """Log messages that their account wants nothing of, and return them."""
    for ref, group in by_order.items():
        logger.info("passed over, as the account wants it", extra=_named(ref, group) | {"why": why})
    return [message for group in by_order.values() for message in group]


def _ids(order: BatchOrder) -> dict[str, object]:
    return _named(order.ref, order.messages)


def _named(ref: OrderRef, messages: Iterable[Message]) -> dict[str, object]:
    correlation_ids = [message.correlation_id for message in messages]
    return {"account": ref.account, "order_id": ref.order_id, "correlation_ids": correlation_ids}


def _of_foreign(foreign: ForeignOrderId, message: Message) -> dict[str, object]:
    correlation_ids = [message.correlation_id]
    return {"account": foreign.account, "order_id": foreign.order_id, "correlation_ids": correlation_ids}


def _log(order: BatchOrder, result: CheckResult) -> None:
    """Log the one line about this decision; `passed_over` is the prefix for which the order was not read."""
    details = _ids(order)
    if order.is_passed_over:
        details["passed_over"] = order.prefix
    details["sources"] = sorted({message.source for message in order.messages})
    if result.verdict:
        details["outcome"] = result.verdict.outcome
        details["problems"] = sorted({problem.code for problem in result.verdict.problems})
        details["is_suspect"] = result.verdict.is_suspect
    if result.retry:
        details["retry"] = result.retry.why
    if result.dead:
        details["dead"] = result.dead
    if result.report and result.report.report:
        details["report"] = result.report.report.number
        details["report_type"] = result.report.report.type
    logger.info("order checked", extra=details)


def _count(result: CheckResult) -> None:
    if result.verdict:
        telemetry.count(f"check_{result.verdict.outcome}")
        telemetry.count("cnova_order", 0 if result.verdict.outcome is Outcome.OTHER_MARKETPLACE else 1)
        for problem in result.verdict.problems:
            telemetry.count(f"problem_{problem.code}")
        if result.verdict.is_suspect:
            telemetry.count("cnova_suspect")
    if result.retry:
        telemetry.count(_RETRY_METRICS.get(type(result.retry), "check_retried"))


FAILING = "failing"
_KINDS: dict[str, str] = {
    RecordType.FAILING: FAILING,
    RecordType.RESOLVED: "resolved",
    RecordType.EXPIRED: "expired",
}

_RETRY_METRICS: dict[type[RetryLater], str] = {
    CredentialsRefused: "credentials_refused",
    RateLimited: "check_rate_limited",
    OutOfTime: "check_postponed",
    NoTurn: "check_postponed",
}
