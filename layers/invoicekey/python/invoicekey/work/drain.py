"""The second source: queues what VTEX's feed knows, and commits what SQS took.

Accounts take turns side by side, a page each, until their feeds are empty or the time is up; the next run goes on after
the account that this one came to. A run that ends midway loses nothing: VTEX hands out again what was not committed,
and the checker knows the events that it has seen.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from uuid import uuid4

from invoicekey.delivery.queues import FEED, Event, HookQueue
from invoicekey.ledger.accounts import Account
from invoicekey.ledger.registrations import RegistrationState, RegistrationStates, digest
from invoicekey.rules.notification import LONGEST_ORDER_ID, ForeignOrderId, Malformed, is_watched, order_ref
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import CredentialsRefused, NoTurn, OutOfTime, RateLimited, RetryLater
from invoicekey.runtime.secrets import Credentials
from invoicekey.runtime.settings import DrainSettings, OfAccounts
from invoicekey.runtime.telemetry import logger
from invoicekey.vtex.feed import Feed, FeedEvent, FeedNotConfigured
from invoicekey.vtex.subscriptions import Configurations, NotShown, feed_differences, is_feed_ours, ownership
from invoicekey.work.rounds import Rounds, SharedBackoff, report_fault, settings_by_account

PROMISED = timedelta(minutes=30)
"""No account is to wait longer for its turn."""
PAGE_SECONDS = 20.0
"""With less time left no page is begun."""
SENDING_SECONDS = 12.0
"""Kept free when a page is read: to queue it and to commit it."""
ENDING_SECONDS = 3.0
"""Kept free at the very end."""


class Ended(StrEnum):
    """Why an account's turns were over."""

    EMPTY = "empty"
    TIME_UP = "time_up"
    NOT_CONFIGURED = "not_configured"
    LEFT_ALONE = "left_alone"
    CREDENTIALS_REFUSED = "credentials_refused"
    CHECK_RATE_LIMITED = "check_rate_limited"
    NOT_QUEUED = "not_queued"
    FAILED = "failed"


class Kind(StrEnum):
    """What an event is, by the rows of the hook's table of answers."""

    WATCHED = "watched"
    NOT_WATCHED = "not_watched"
    FOREIGN = "foreign"
    UNREADABLE = "unreadable"


@dataclass(slots=True)
class Drained:
    """What came of a turn, or of all of a run: events by what became of them, and for which accounts how it ended."""

    read: int = 0
    queued: int = 0
    not_watched: int = 0
    foreign: int = 0
    """Those of orders that cannot be CNova's."""
    unreadable: int = 0
    """Those that name no order."""
    refused: int = 0
    """Those that SQS did not take."""
    committed: int = 0
    ended: dict[str, Ended] = field(default_factory=dict)
    unreached: int = 0
    """So many accounts had no turn, or no time for it; the next run begins with them."""

    def add(self, turn: "Drained") -> None:
        """Add what came of a turn."""
        self.read += turn.read
        self.queued += turn.queued
        self.not_watched += turn.not_watched
        self.foreign += turn.foreign
        self.unreadable += turn.unreadable
        self.refused += turn.refused
        self.committed += turn.committed
        self.ended |= turn.ended


class OwnFeeds:
    """Says which feeds may be drained: what one system commits is gone for the others that use the appKey."""

    def __init__(
        self,
        configurations: Configurations,
        notes: RegistrationStates,
        credentials: Callable[[str], Credentials],
        *,
        hook_url: str,
    ) -> None:
        self._configurations = configurations
        self._notes = notes
        self._credentials = credentials
        self._hook_url = hook_url

    def noted(self, accounts: Collection[str]) -> dict[str, RegistrationState]:
        """Return what the guard knows of these accounts."""
        return self._notes.read(accounts)

    def refusal(self, noted: RegistrationState, statuses: frozenset[str], time_left: float) -> Ended | None:
        """Say why a feed is left alone; None for one that the guard knows as ours, or will know as ours by its look.

        `statuses` are those that the account watches.
        """
        known = noted.of_app_key(digest(self._credentials(noted.account).app_key))
        if known.feed_left_alone or known.feed_installed:
            return Ended.LEFT_ALONE if known.feed_left_alone else None
        config = self._configurations.feed(noted.account, time_left)
        if config is None:
            return Ended.NOT_CONFIGURED
        if isinstance(config, NotShown) or feed_differences(config, statuses):
            return Ended.LEFT_ALONE
        hook = self._configurations.hook(noted.account, time_left)
        whose = ownership(hook, self._hook_url, was_ours=known.hook_installed)
        return None if is_feed_ours(config, statuses, known, whose) else Ended.LEFT_ALONE


class DrainFeed:
    """Drains the accounts' feeds, one run after the other."""

    def __init__(
        self,
        settings: OfAccounts[DrainSettings],
        feed: Feed,
        queue: HookQueue,
        *,
        keep_pace: Callable[[str, int], None],
        backoff: SharedBackoff,
        own_feeds: OwnFeeds,
        rounds: Rounds,
    ) -> None:
        self._settings = settings
        self._feed = feed
        self._queue = queue
        self._keep_pace = keep_pace
        self._backoff = backoff
        self._own_feeds = own_feeds
        self._rounds = rounds

    def run(self, accounts: Mapping[str, Account], seconds_left: Callable[[], float]) -> Drained:
        """Drain the feeds of these accounts; each one's trouble stays its own.

        Raises RetryLater where the ledger can't be read: then it is not known which accounts are in back-off, and
        which feeds are not ours.
        """
        drained = Drained()
        settings = settings_by_account(accounts, self._settings, self._keep_pace)
        noted = self._own_feeds.noted(settings)

        def turn_of(account: str) -> Drained:
            watched = settings[account].vtex.watched_statuses
            return self._turn(account, noted.pop(account, None), watched, seconds_left)

        with self._backoff.kept_for(settings), self._rounds.of(settings) as this, _counted(drained):
            for account, turn in this.turns(turn_of, lambda: seconds_left() >= PAGE_SECONDS):
                drained.add(turn)
                self._backoff.settle()
                if account not in turn.ended:
                    this.again(account)
                elif turn.ended[account] is Ended.TIME_UP and seconds_left() < PAGE_SECONDS and not turn.read:
                    this.missed(account)
            drained.ended |= dict.fromkeys(this.left, Ended.TIME_UP)
            drained.unreached = this.unreached
        return drained

    def _turn(
        self,
        account: str,
        begins: RegistrationState | None,
        watched: frozenset[str],
        seconds_left: Callable[[], float],
    ) -> Drained:
        """Drain a page, the first one only of a feed of ours; say why no other is to follow, where none is."""
        turn = Drained()
        ended: Ended | None
        try:
            time_left = seconds_left() - SENDING_SECONDS
            refusal = self._own_feeds.refusal(begins, watched, time_left) if begins else None
            ended = refusal or self._drain_page(account, watched, turn, seconds_left)
        except FeedNotConfigured:
            logger.warning("the appKey has no feed; the guard will register it", extra={"account": account})
            ended = Ended.NOT_CONFIGURED
        except RetryLater as trouble:
            ended = _ENDED_BY.get(type(trouble), Ended.FAILED)
            logger.warning("a feed was not drained", extra={"account": account, "ended": ended, "why": trouble.why})
        except Exception as fault:  # noqa: BLE001 - one account's bad luck is not to be the others'
            ended = Ended.FAILED
            report_fault(account, fault)
        if ended:
            turn.ended[account] = ended
        return turn

    def _drain_page(
        self, account: str, watched_statuses: frozenset[str], turn: Drained, seconds_left: Callable[[], float]
    ) -> Ended | None:
        page = self._feed.read(account, seconds_left() - SENDING_SECONDS)
        if not page:
            return Ended.EMPTY
        found = [(event, _kind(event, account, watched_statuses)) for event in page]
        kinds = {kind: [event for event, is_what in found if is_what is kind] for kind in Kind}
        watched = kinds[Kind.WATCHED]
        taken = self._send(account, watched)
        turn.read += len(page)
        turn.queued += len(taken)
        turn.refused += len(watched) - len(taken)
        if watched and not taken:
            return Ended.NOT_QUEUED
        done = [event for event in page if event not in watched] + taken
        turn.not_watched += len(kinds[Kind.NOT_WATCHED])
        turn.foreign += len(kinds[Kind.FOREIGN])
        turn.unreadable += len(kinds[Kind.UNREADABLE])
        for event in kinds[Kind.FOREIGN] + kinds[Kind.UNREADABLE]:
            logger.info("feed event passed over", extra={"account": account, "order_id": _order_id(event)})
        self._feed.commit(account, [event.handle for event in done], seconds_left() - ENDING_SECONDS)
        turn.committed += len(done)
        return None

    def _send(self, account: str, events: Sequence[FeedEvent]) -> list[FeedEvent]:
        """Queue events; return those that SQS took."""
        queued = {Event(json.dumps(event.notification(account)), uuid4().hex, FEED): event for event in events}
        taken = self._queue.send(list(queued)) if queued else []
        for event in taken:
            details = {"account": account, "order_id": _order_id(queued[event]), "correlation_id": event.correlation_id}
            logger.info("feed event queued", extra=details)
        return [queued[event] for event in taken]


_ENDED_BY: Mapping[type[RetryLater], Ended] = {
    CredentialsRefused: Ended.CREDENTIALS_REFUSED,
    RateLimited: Ended.CHECK_RATE_LIMITED,
    OutOfTime: Ended.TIME_UP,
    NoTurn: Ended.TIME_UP,
}

_METRICS: Mapping[Ended, str] = {
    Ended.TIME_UP: "feed_time_up",
    Ended.NOT_CONFIGURED: "feed_not_configured",
    Ended.CREDENTIALS_REFUSED: "credentials_refused",
    Ended.CHECK_RATE_LIMITED: "check_rate_limited",
    Ended.FAILED: "feed_failed",
}


def _kind(event: FeedEvent, account: str, watched: frozenset[str]) -> Kind:
    notification = event.notification(account)
    kind = Kind.WATCHED
    try:
        order_ref(notification)
    except Malformed:
        return Kind.UNREADABLE
    except ForeignOrderId:
        kind = Kind.FOREIGN
    return kind if is_watched(notification, watched) else Kind.NOT_WATCHED


def _order_id(event: FeedEvent) -> str:
    return str(event.fields.get("orderId"))[:LONGEST_ORDER_ID].encode("ascii", "backslashreplace").decode()


@contextmanager
def _counted(drained: Drained) -> Iterator[None]:
    """Count in the end what came of a run, whatever ends it."""
    try:
        yield
    finally:
        _count(drained)


def _count(drained: Drained) -> None:
    telemetry.count("feed_read", drained.read)
    telemetry.count("feed_queued", drained.queued)
    telemetry.count("feed_not_watched", drained.not_watched)
    telemetry.count("feed_foreign_order_id", drained.foreign)
    telemetry.count("feed_unreadable", drained.unreadable)
    telemetry.count("feed_refused", drained.refused)
    telemetry.count("feed_committed", drained.committed)
    for ended in sorted(set(drained.ended.values())):  # the alarms count runs
        if ended in _METRICS:
            telemetry.count(_METRICS[ended])
