"""Tells in one e-mail what was deferred, and reminds of what is open; each account by itself, each once.

A digest is written down before it is sent, like a report. A run assigns the deferred alerts to it, under a number
that no other run has; it keeps that number with the digest's bytes until they are sent, and only then drops the alerts.
So an alert was notified if a digest of its number was written down, and is to be if none was. A lease keeps an account
to one run at a time.

A reminder that is due is noted before anything else is done, and forgotten when every account had it. In between, each
run that sends digests reminds whoever was not reminded yet.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import batched
from zoneinfo import ZoneInfo

from invoicekey.delivery.queues import AlertTopic, alert_entry
from invoicekey.ledger.entries import order_key
from invoicekey.ledger.failures import FailureLists, Shown
from invoicekey.ledger.lists import Backlog, CheckedOrder, DeferredAlert, FollowedOrder, readable
from invoicekey.ledger.table import Table
from invoicekey.messages import summary
from invoicekey.messages.alert import Alert, Style
from invoicekey.rules.notification import OrderRef
from invoicekey.rules.verdict import Code
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import Conflict, OutOfTime, RetryLater, Unforeseen
from invoicekey.runtime.telemetry import logger
from invoicekey.work.figures import WeeklyFigures

PARALLEL = 10
AT_ONCE = 200
SENDING_SECONDS = 20.0
"""Kept free for writing a summary down and sending it; what is not assigned by then is for the next run."""
DROPPING_SECONDS = 5.0
"""With less time left nothing is forgotten any more; the next run does it."""
MOST_SENT = 50
"""So many digests of an account are remembered, far more than it takes the index to show what became of theirs."""
WANTED_FOR = timedelta(hours=6)
"""So long a reminder stays due: the morning's list still helps in the afternoon; the day after, there is a new one."""
MONDAY = 0
DIGEST, REMINDER = "digest", "reminder"
_WEEK = timedelta(days=7)
_DUE = "reminder_due"


@dataclass(frozen=True, slots=True)
class SummaryState:
    """How far the digests, or the reminders, of an account have come; version 0 is an account without any yet."""

    account: str
    kind: str
    version: int = 0
    digests: tuple[int, ...] = ()
    """The last digests that were written down, by the numbers of their runs."""
    at: datetime | None = None
    """When the last one was written down."""
    occasion: str | None = None
    """The scheduled time of the last reminder that had one: the scheduler may call twice for it."""
    alert: str | None = None
    """The bytes of the last one, until they are sent."""
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A reminder that every account is to get."""

    occasion: str | None
    """The scheduled time as text, for which each account is reminded once; None where a person asks, each time anew."""
    at: datetime
    """When it came to be due."""


class SummaryStates:
    """Keeps them in the table; each write is on condition that it is as it was read."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self, account: str, kind: str) -> SummaryState:
        """Read one."""
        key = f"told#{account}#{kind}"
        item = self._table.get([key]).get(key)
        if item is None:
            return SummaryState(account, kind)
        return SummaryState(
            account,
            kind,
            version=int(item["version"]),
            digests=tuple(map(int, item.get("told", ()))),
            at=_moment(item.get("at")),
            occasion=item.get("occasion"),
            alert=item.get("alert"),
            lease_until=_moment(item.get("lease_until")),
        )

    def write(self, state: SummaryState) -> SummaryState:
        """Write one; raise Conflict where another run has written it."""
        written = replace(state, version=state.version + 1)
        item = {
            "pk": f"told#{state.account}#{state.kind}",
            "version": written.version,
            "told": list(state.digests),
            "at": state.at and state.at.isoformat(),
            "occasion": state.occasion,
            "alert": state.alert,
            "lease_until": state.lease_until and state.lease_until.isoformat(),
        }
        condition = "version = :read" if state.version else "attribute_not_exists(pk)"
        values = {"read": state.version} if state.version else {}
        self._table.put({name: value for name, value in item.items() if value is not None}, condition, **values)
        return written

    def note_due(self, due: Due) -> None:
        """Note the reminder that is due, in the place of an earlier one."""
        self._table.put({"pk": _DUE, "occasion": due.occasion, "at": due.at.isoformat()})

    def due(self) -> Due | None:
        """Return the reminder that was noted and not forgotten."""
        item = self._table.get([_DUE]).get(_DUE)
        return Due(item["occasion"], datetime.fromisoformat(item["at"])) if item else None

    def forget_due(self, due: Due) -> None:
        """Forget a reminder that is not due any longer, unless a later one is by now."""
        with suppress(Conflict):
            self._table.delete(_DUE, "occasion = :occasion", occasion=due.occasion)


@dataclass(frozen=True, slots=True)
class _Run:
    now: datetime
    """When it began: before it read any list."""
    seconds_left: Callable[[], float]
    sent: dict[str, list[DeferredAlert]] = field(default_factory=dict)
    """By account, the alerts that a digest has notified of, and that are still to be dropped."""
    postponed: set[str] = field(default_factory=set)
    """The accounts that met trouble, and have their turn in a later run."""
    failed: set[str] = field(default_factory=set)
    """The accounts whose turn failed for something that nobody foresaw."""

    def end(self) -> None:
        """Fail, now that all accounts had their turn, where something failed that nobody foresaw."""
        if self.failed:
            raise Unforeseen(f"{len(self.failed)} accounts could not be notified")


def _ten_threads() -> Executor:
    return ThreadPoolExecutor(PARALLEL, thread_name_prefix="digest")


class Digests:
    """Sends digests and reminders."""

    def __init__(
        self,
        backlog: Backlog,
        states: SummaryStates,
        topic: AlertTopic,
        style_of: Callable[[str], Style],
        lease: timedelta,
        *,
        failures: FailureLists,
        accounts: Iterable[str] = (),
        is_off: Callable[[str], bool] = lambda _account: False,
        desk_link: Callable[[str], str | None] = lambda _account: None,
        make_pool: Callable[[], Executor] = _ten_threads,
    ) -> None:
        """`style_of` and `is_off` raise RetryLater; `desk_link` returns an account's list, where there is a desk."""
        self._backlog = backlog
        self._states = states
        self._topic = topic
        self._style_of = style_of
        self._is_off = is_off
        self._lease = lease
        self._failures = failures
        self._served = sorted(accounts)
        self._desk_link = desk_link
        self._pool = make_pool()

    def send_digests(
        self, seconds_left: Callable[[], float], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> int:
        """Tell what is deferred, and remind of what is still due; return how many digests went out."""
        run = _Run(now(), seconds_left)
        deferred = self._backlog.deferred()
        accounts = list(dict.fromkeys([*deferred, *self._known_accounts()]))  # first whose alerts have waited longest
        self._each(accounts, lambda account: self._send_unfinished(account, run), run)
        sent = self._each(accounts, lambda account: self._send_digest(account, deferred.get(account, []), run), run)
        self._each(accounts, lambda account: self._drop_sent(account, run), run)
        self._send_what_is_due(run)  # comes last, so that nothing that it meets keeps a digest from going out
        run.end()
        return sum(sent.values())

    def send_reminders(
        self,
        seconds_left: Callable[[], float],
        occasion: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> int:
        """Remind of what is open, on Mondays also where nothing is; return how many reminders went out.

        With an occasion, the scheduled time as text, each account is reminded once for it, if need be by a later run of
        the digests; without one always.
        """
        run = _Run(now(), seconds_left)
        due = Due(occasion, run.now)
        if occasion is not None:
            self._states.note_due(due)
        sent = self._remind(due, run)
        run.end()
        return sent

    def _known_accounts(self) -> list[str]:
        return self._served or self._backlog.accounts()

    def _each(self, accounts: Iterable[str], send: Callable[[str], int], run: _Run) -> dict[str, int]:
        """Send for each account by itself, for its trouble is not the others'.

        Return how many summaries went out, by account; those that met trouble, or another run, are not in it.
        """
        sent: dict[str, int] = {}
        for account in accounts:
            try:
                sent[account] = send(account)
            except Conflict:
                logger.info("another run has the account", extra={"account": account})
            except RetryLater as trouble:
                if not run.postponed:
                    telemetry.count("digest_postponed")  # once a run: the alarm looks at the share of the runs
                run.postponed.add(account)
                logger.warning("a summary is not sent yet", extra={"account": account, "why": trouble.why})
            except Exception as fault:  # noqa: BLE001 - raised when the others had their turn
                known = {"account": account} | telemetry.type_and_place(fault)
                logger.error("a summary failed unexpectedly", extra=known)
                run.failed.add(account)
        return sent

    # ---- Digests

    def _send_digest(self, account: str, deferred: Sequence[DeferredAlert], run: _Run) -> int:
        """Send what an earlier run could not send, then what was deferred since; return how many went out."""
        state = self._states.read(account, DIGEST)
        if not (deferred or state.alert):
            return 0
        state = self._begin(state, run)
        sent = 0
        if state.alert:
            state, sent = self._publish(state), 1
        run.sent[account] = [alert for alert in deferred if alert.digest in state.digests]
        assigned = self._assign([alert for alert in deferred if alert.digest not in state.digests], state.version, run)
        if assigned:
            numbers = (*state.digests, state.version)[-MOST_SENT:]
            state = self._publish(self._write_down(replace(state, digests=numbers), self._told(account, assigned), run))
            run.sent[account] += assigned
            sent += 1
        self._end(state)
        return sent

    def _assign(self, deferred: Sequence[DeferredAlert], number: int, run: _Run) -> list[DeferredAlert]:
        """Assign alerts to a digest, the longest deferred first; return those that it is to hold, with the number.

        Raises RetryLater where one gave no answer: it may have the number now, so no digest may be written of it.
        """
        assigned: list[DeferredAlert] = []
        for alerts in batched(deferred, AT_ONCE, strict=False):
            if run.seconds_left() < SENDING_SECONDS:
                break
            are_taken = self._pool.map(lambda alert: self._backlog.assign(alert, number), alerts)
            assigned += [replace(a, digest=number) for a, is_taken in zip(alerts, are_taken, strict=True) if is_taken]
        return assigned

    def _told(self, account: str, assigned: Sequence[DeferredAlert]) -> str:
        """Return what to send: a digest of one is that alert, for those who get such alerts, with all that it says."""
        alone = self._backlog.text_of(assigned[0]) if len(assigned) == 1 else None
        if alone is not None:
            return alone
        orders = [_as_deferred(alert) for alert in assigned]
        style = self._style_of(account)
        return _entry(summary.digest(account, orders, style, desk_link=self._desk_link(account)), style)

    def _drop_sent(self, account: str, run: _Run) -> int:
        for alerts in batched(run.sent.get(account, ()), AT_ONCE, strict=False):
            if run.seconds_left() < DROPPING_SECONDS:
                break
            list(self._pool.map(self._backlog.drop, alerts))
        return 0

    # ---- Reminders

    def _send_what_is_due(self, run: _Run) -> None:
        """Remind where the reminder's own run could not."""
        due = self._states.due()
        if due and run.now < due.at + WANTED_FOR:
            logger.info("a reminder is still due", extra={"occasion": due.occasion})
            self._remind(due, run)

    def _remind(self, due: Due, run: _Run) -> int:
        by_account: dict[str, list[FollowedOrder]] = {account: [] for account in self._known_accounts()}
        for order in self._backlog.followed():
            by_account.setdefault(order.ref.account, []).append(order)
        sent = self._each(by_account, lambda account: self._send_reminder(account, by_account[account], due, run), run)
        if due.occasion is not None and sent.keys() == by_account.keys():
            self._states.forget_due(due)
        return sum(sent.values())

    def _send_reminder(self, account: str, orders: Sequence[FollowedOrder], due: Due, run: _Run) -> int:
        sent = self._send_unfinished(account, run)
        state = self._states.read(account, REMINDER)
        if (due.occasion is not None and state.occasion == due.occasion) or self._is_off(account):
            return sent
        text, style = self._reminder(account, orders, state.at, due, run), self._style_of(account)
        if text is None:
            return sent
        # The lease is taken with the bytes, in one write: it never keeps off others from what is not written down yet.
        state = replace(self._leased(state, run), occasion=due.occasion or state.occasion)
        self._end(self._publish(self._write_down(state, _entry(text, style), run)))
        return sent + 1

    def _send_unfinished(self, account: str, run: _Run) -> int:
        """Send a reminder that an earlier run wrote down, and could not send."""
        state = self._states.read(account, REMINDER)
        if state.alert is None:
            return 0
        self._end(self._publish(self._begin(state, run)))
        return 1

    def _reminder(
        self, account: str, orders: Sequence[FollowedOrder], last_at: datetime | None, due: Due, run: _Run
    ) -> Alert | None:
        snoozed = self._snoozed(account, orders, run.now)
        wanted = [order for order in orders if order.ref not in snoozed]
        open_ones = [order for order in wanted if order.is_open]
        failures = list(readable(open_ones, _as_listed, key=lambda order: order_key(order.ref)))
        put_off = summary.Snoozed(len(snoozed), min(snoozed.values())) if snoozed else None
        style = self._style_of(account)
        is_monday = due.at.astimezone(ZoneInfo(style.timezone)).weekday() == MONDAY
        if failures:
            return summary.reminder(
                account,
                failures,
                now=run.now,
                since_last=self._since(last_at, account, wanted) if last_at else None,
                without_tracking=sum(order.is_good for order in orders),
                last_week=self._last_week(account, run.now, style) if is_monday else None,
                style=style,
                snoozed=put_off,
                desk_link=self._desk_link(account),
            )
        if open_ones or not is_monday:
            return None
        week, link = self._week(account, orders, run.now, style), self._desk_link(account)
        return summary.all_well(account, week, style, snoozed=put_off, desk_link=link)

    def _snoozed(self, account: str, orders: Iterable[FollowedOrder], now: datetime) -> dict[OrderRef, datetime]:
        """Return until when its open failures are put off: those of the index that are still among these."""
        open_ones = {order.ref for order in orders if order.is_open}
        snoozed = self._backlog.snoozed(account, now) if open_ones else {}
        return {ref: until for ref, until in snoozed.items() if ref in open_ones}

    def _since(self, last_at: datetime, account: str, followed: Sequence[FollowedOrder]) -> summary.SinceLast:
        opened = sum(order.is_open and _is_since(last_at, order.opened_at) for order in followed)
        return summary.SinceLast(last_at, opened, _mended(self._backlog.checked(account, last_at), followed, last_at))

    def _week(self, account: str, followed: Sequence[FollowedOrder], now: datetime, style: Style) -> summary.Week:
        begin = now - _WEEK
        orders: list[CheckedOrder | FollowedOrder] = [*self._backlog.checked(account, begin), *followed]
        moments = [order.checked_at for order in orders if order.checked_at >= begin]
        return summary.Week(len(moments), max(moments, default=None), self._last_week(account, now, style))

    def _last_week(self, account: str, now: datetime, style: Style) -> summary.WeekOfFailures:
        """Return the figures of the week that ended last, by the shop's clocks, as the desk shows them."""
        week = WeeklyFigures(self._failures, style.timezone).of(account, now, weeks=2).weeks[0]
        return summary.WeekOfFailures(week.monday, week.opened, week.mended, week.time_to_mend)

    # ---- The steps of both

    def _begin(self, state: SummaryState, run: _Run) -> SummaryState:
        """Take the account for this run."""
        return self._states.write(self._leased(state, run))

    def _leased(self, state: SummaryState, run: _Run) -> SummaryState:
        """Return it with a lease; raise Conflict where another run has the account, and OutOfTime at the run's end."""
        if state.lease_until and run.now < state.lease_until:
            raise Conflict
        if run.seconds_left() < SENDING_SECONDS:
            raise OutOfTime("too little time is left to send it")
        return replace(state, lease_until=run.now + self._lease)

    def _write_down(self, state: SummaryState, entry: str, run: _Run) -> SummaryState:
        return self._states.write(replace(state, at=run.now, alert=entry))

    def _publish(self, state: SummaryState) -> SummaryState:
        """Send what was written down, and note it; who dies in between sends the same once more."""
        self._topic.publish(state.alert or "")
        telemetry.count(f"{state.kind}_published")
        return self._states.write(replace(state, alert=None))

    def _end(self, state: SummaryState) -> None:
        self._states.write(replace(state, lease_until=None))


def _entry(text: Alert, style: Style) -> str:
    return alert_entry(text.subject, text.message(chat=style.chat), text.attributes)


def _as_deferred(alert: DeferredAlert) -> summary.DeferredOrder:
    faults = tuple(map(_fault, alert.errors)) or tuple(map(summary.Fault, alert.codes))
    return summary.DeferredOrder(alert.ref.order_id, alert.kind, faults, alert.since)


def _as_listed(order: FollowedOrder) -> summary.OpenFailure:
    return summary.OpenFailure(
        order.ref.order_id,
        opened_at=order.opened_at or order.checked_at,
        checked_at=order.checked_at,
        faults=tuple(map(_fault, order.errors)) or (summary.Fault(Code.MISSING),),  # the first version kept none
    )


def _fault(error: Shown) -> summary.Fault:
    return summary.Fault(Code(error.code), error.invoice_number, error.suggested_key, error.has_suggestion)


def _mended(checked: Iterable[CheckedOrder], followed: Iterable[FollowedOrder], since: datetime) -> int:
    """Count the orders of which a failure was closed as ok; some are read again, for what may become overdue."""
    closed: list[CheckedOrder | FollowedOrder] = [*checked, *(order for order in followed if not order.is_open)]
    return sum(_is_since(since, order.mended_at) for order in closed)


def _is_since(begin: datetime, moment: datetime | None) -> bool:
    return moment is not None and moment >= begin


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
