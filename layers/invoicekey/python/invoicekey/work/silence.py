"""Sees, once in a run of the guard, which accounts have a trouble that nobody would notice, and tells it together.

Alarms are the stack's: where one of a thousand accounts falls silent, no sum of theirs changes. What the checker noted
of each account (ledger/activity.py) and what the guard found is judged here, account by account, and what is new goes
to the operations topic in one message. It is published first and noted then: a lost answer tells it twice.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import batched

from invoicekey.delivery.topics import Topics
from invoicekey.ledger.activity import Activities, Activity
from invoicekey.ledger.registrations import NOTIFY_AGAIN_AFTER
from invoicekey.messages import notices
from invoicekey.messages.notices import Trouble
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.settings import GuardSettings
from invoicekey.runtime.telemetry import logger
from invoicekey.work.guard import FEED_LEFT_ALONE, GUARD_FAILED, HOOK_ELSEWHERE, POSTPONED, Watch

TOLD = tuple(trouble for trouble in Trouble if trouble not in {Trouble.HOOK_ELSEWHERE, Trouble.FEED_LEFT_ALONE})
"""What is told here; of the others the guard notifies people itself."""
LEAST_QUIET = timedelta(hours=3)
"""As the stack's alarm: a shorter QuietAlarmHours would take each night's pause for trouble."""
WITHOUT_CNOVA = timedelta(days=7)
REFUSED_FOR = timedelta(hours=3)
"""So long after the last refusal credentials count as refused: a check that is tried again waits an hour at most."""
MISSED_LATELY = timedelta(days=1)
AT_ONCE = 10
"""So many notes are written side by side, as many as the client has connections."""
_CREDENTIALS_REFUSED, _RATE_LIMITED = "credentials_refused", "check_rate_limited"
_NOT_SEEN = frozenset({POSTPONED, _RATE_LIMITED, GUARD_FAILED})
"""Events of a turn that did not come to its end: what it would have found is not known."""
_OF_GUARD: Mapping[Trouble, str] = {
    Trouble.CREDENTIALS_REFUSED: _CREDENTIALS_REFUSED,
    Trouble.HOOK_ELSEWHERE: HOOK_ELSEWHERE,
    Trouble.FEED_LEFT_ALONE: FEED_LEFT_ALONE,
}
"""What the guard's events of a turn say."""


def _few_threads() -> Executor:
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="note")


class AccountWatch:
    """Watches over the accounts, one run of the guard after the other."""

    def __init__(
        self,
        settings: GuardSettings,
        activities: Activities,
        topics: Topics,
        *,
        make_pool: Callable[[], Executor] = _few_threads,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._quiet_after = max(settings.quiet_after, LEAST_QUIET)
        self._activities = activities
        self._topics = topics
        self._make_pool = make_pool
        self._now = now

    def run(self, accounts: Collection[str], watch: Watch) -> None:
        """Tell what is new of the accounts that are served, after what the guard's run found of them.

        Where ledger or topic fail, the next run tells it; the guard's run has failed then.
        """
        try:
            self._run(accounts, watch)
        except RetryLater as trouble:
            watch.fail()
            logger.warning("the accounts were not watched over to the end", extra={"why": trouble.why})

    def _run(self, accounts: Collection[str], watch: Watch) -> None:
        now = self._now()
        activities = self._activities.read(accounts)
        changed: dict[str, Mapping[Trouble, datetime]] = {}
        news: dict[Trouble, list[str]] = {}
        for account, activity in activities.items():
            before = {Trouble(name): at for name, at in activity.troubles.items() if name in Trouble}
            seen = self._troubles(activity, before, watch.accounts.get(account), now)
            due = {trouble for trouble in seen if _is_due(trouble, before, now)}
            after = {trouble: now if trouble in due else before[trouble] for trouble in seen}
            if after != before:
                changed[account] = after
            for trouble in due.intersection(TOLD):
                news.setdefault(trouble, []).append(account)
        self._tell(news, is_alone=len(activities) == 1)
        self._note(changed)

    def _troubles(
        self,
        activity: Activity,
        before: Mapping[Trouble, datetime],
        events: Collection[str] | None,
        now: datetime,
    ) -> set[Trouble]:
        """Return an account's troubles; `events` are those of its turn, None where this run did not reach it."""
        is_seen = events is not None and _NOT_SEEN.isdisjoint(events)
        found = {
            trouble for trouble, event in _OF_GUARD.items()
            if event in (events or ()) or (trouble in before and not is_seen)
        }  # fmt: skip
        cnova_since = activity.cnova_at or activity.first_hook_at
        missed_told = before.get(Trouble.FEED_FOUND)
        judged = {
            Trouble.CREDENTIALS_REFUSED: _is_within(REFUSED_FOR, activity.refused_at, now),
            Trouble.QUIET: activity.hook_at is not None and now - activity.hook_at >= self._quiet_after,
            Trouble.NO_CNOVA: bool(
                activity.hook_at and cnova_since and activity.hook_at - cnova_since >= WITHOUT_CNOVA
            ),
            # A hook that misses one now and then is told of once a week, and not each time.
            Trouble.FEED_FOUND: _is_within(MISSED_LATELY, activity.feed_only_at, now)
            or _is_within(NOTIFY_AGAIN_AFTER, missed_told, now),
        }
        return found | {trouble for trouble, is_so in judged.items() if is_so}

    def _tell(self, news: Mapping[Trouble, list[str]], *, is_alone: bool) -> None:
        """Publish what is new; of an account that is alone the stack's own alarms tell it."""
        if not news:
            return
        logger.warning("accounts are in trouble", extra={"accounts": {name: len(them) for name, them in news.items()}})
        if not is_alone:
            hours = self._quiet_after // timedelta(hours=1)
            notice = notices.accounts_in_trouble(news, hours, self._settings.language, self._settings.stack)
            self._topics.publish(self._settings.operations_topic_arn, notice)

    def _note(self, changed: Mapping[str, Mapping[Trouble, datetime]]) -> None:
        """Note what was told, and forget what is over; an outage of the ledger ends it, and is not waited for again."""
        with self._make_pool() as pool:
            for some in batched(changed.items(), AT_ONCE, strict=False):
                list(pool.map(lambda one: self._activities.note_troubles(*one), some))


def _is_due(trouble: Trouble, before: Mapping[Trouble, datetime], now: datetime) -> bool:
    """Say whether a trouble is new, or lasts for so long that it is told again."""
    return trouble not in before or now - before[trouble] >= NOTIFY_AGAIN_AFTER


def _is_within(time: timedelta, at: datetime | None, now: datetime) -> bool:
    return at is not None and now - at < time
