"""Keeps the hook and the feed at VTEX alive: registers them again when they are gone or different, and says so.

VTEX removes a hook without a word after three quiet days, and one appKey's hook can be written by whoever has the
appKey. What is another system's is never overwritten, nor what VTEX does not show: people are asked. The
same goes for a feed that may be another's, for what one system commits is gone for the others. The steps of an
account's turn stand in `_guard`. Accounts take their turns side by side; people are notified at the end, of each
trouble in one message.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Semaphore

from invoicekey.delivery.topics import Topics
from invoicekey.ledger.accounts import Account
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.registrations import Notified, RegistrationState, RegistrationStates, digest
from invoicekey.messages import notices
from invoicekey.rules.notification import FILTER_STATES
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import CredentialsRefused, NoTurn, OutOfTime, RateLimited, RetryLater
from invoicekey.runtime.secrets import CachedSecret, Credentials
from invoicekey.runtime.settings import WATCHED_STATUSES, GuardSettings, OfAccounts
from invoicekey.runtime.telemetry import logger
from invoicekey.vtex.subscriptions import (
    UNKNOWN_HOST,
    ConfigurationRefused,
    Configurations,
    FeedConfig,
    HookConfig,
    NotShown,
    OtherSystem,
    Ownership,
    WantedHook,
    feed_differences,
    first_seen,
    hook_differences,
    is_feed_ours,
    ownership,
)
from invoicekey.work.rounds import AT_ONCE, Rounds, SharedBackoff, report_fault, settings_by_account

PROMISED = timedelta(hours=3)
"""No account is to wait longer for its turn."""
ACCOUNT_SECONDS = 20.0
"""With less time left no account's turn, and no step of one, is begun."""
ENDING_SECONDS = 10.0
"""Kept free at the end, to note what was done."""
PINGS_AT_ONCE = 3
"""So many hooks are registered at once: VTEX pings the address of each, and a new AWS account runs ten functions."""
HOOK_INSTALLED, HOOK_RESTORED, HOOK_SECRET_UPDATED = "hook_installed", "hook_restored", "hook_secret_updated"
FEED_INSTALLED, FEED_RESTORED = "feed_installed", "feed_restored"
HOOK_ELSEWHERE, FEED_LEFT_ALONE = "hook_elsewhere", "feed_left_alone"
HOOK_NOT_SHOWN, FEED_NOT_SHOWN = "hook_not_shown", "feed_not_shown"
POSTPONED = "guard_postponed"
ALERT, OPERATIONS = "alert", "operations"
"""The topics."""
GUARD_FAILED = "guard_failed"
"""A turn's event, and the metric of runs that failed (Watch.fail)."""
CONFIGURATION_RESTORED = "configuration_restored"
"""Counted besides, for the alarm: what had been ours was gone or different."""


@dataclass(slots=True)
class Watch:
    """What came of a run."""

    accounts: dict[str, list[str]] = field(default_factory=dict)
    """What was found and done, by account; nothing where all was well."""
    unconfirmed: list[str] = field(default_factory=list)
    """The topics without a confirmed subscription: ALERT, OPERATIONS."""
    unreached: int = 0
    """So many accounts had no turn, or no time for it; the next run begins with them."""
    is_failed: bool = False

    def fail(self) -> None:
        """Count the run as failed: once, whatever fails in it, for the alarm looks at the share of the runs."""
        if not self.is_failed:
            telemetry.count(GUARD_FAILED)
        self.is_failed = True


@dataclass(slots=True)
class _Turn:
    """One account's turn."""

    noted: RegistrationState
    statuses: frozenset[str]
    has_own_statuses: bool
    seconds_left: Callable[[], float]
    whose_hook: Ownership | None = None
    """None until the hook was seen."""
    events: list[str] = field(default_factory=list)
    news: dict[str, str] = field(default_factory=dict)
    """By event, what people are to be notified of: the host of another system's hook, else the event itself."""

    @property
    def account(self) -> str:
        return self.noted.account

    def time_for_vtex(self) -> float:
        return self.seconds_left() - ENDING_SECONDS

    def see_that_time_is_left(self) -> None:
        """Raise OutOfTime where no step is to be begun."""
        if self.seconds_left() < ACCOUNT_SECONDS:
            raise OutOfTime("too little time is left")

    def happened(self, event: str) -> None:
        self.events.append(event)
        if event != GUARD_FAILED:
            telemetry.count(event)
        if event in {HOOK_RESTORED, FEED_RESTORED}:
            telemetry.count(CONFIGURATION_RESTORED)


class HookGuard:
    """Guards, one run after the other."""

    def __init__(
        self,
        settings: OfAccounts[GuardSettings],
        secret: CachedSecret,
        configurations: Configurations,
        *,
        credentials: Callable[[str], Credentials],
        keep_pace: Callable[[str, int], None],
        topics: Topics,
        notes: RegistrationStates,
        backlog: Backlog,
        backoff: SharedBackoff,
        rounds: Rounds,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._of_accounts = settings
        self._settings = settings.of_stack
        self._secret = secret
        self._configurations = configurations
        self._credentials = credentials
        self._keep_pace = keep_pace
        self._topics = topics
        self._notes = notes
        self._backlog = backlog
        self._backoff = backoff
        self._rounds = rounds
        self._now = now
        self._watch = Watch()
        self._secret_at_first: str | None = None
        self._pings = Semaphore(PINGS_AT_ONCE)

    def run(self, accounts: Mapping[str, Account], seconds_left: Callable[[], float]) -> Watch:
        """Guard the hooks and feeds of these accounts, each by itself, and see whether the topics have subscriptions.

        Raises RetryLater where the ledger can't be read or written.
        """
        self._backlog.note_accounts(accounts)
        self._watch = watch = Watch()
        watch.unconfirmed = self._see_to_topics()
        settings = settings_by_account(accounts, self._of_accounts, self._keep_pace)
        self._warn_of_statuses(one.vtex.watched_statuses for one in [self._settings, *settings.values()])
        noted = self._notes.read(settings)
        self._secret_at_first = self._secret_or_none()

        def turn_of(account: str) -> _Turn:
            statuses, own = settings[account].vtex.watched_statuses, accounts[account].settings
            return self._guard(_Turn(noted[account], statuses, WATCHED_STATUSES in own, seconds_left))

        ended: list[_Turn] = []
        with self._backoff.kept_for(settings), self._rounds.of(settings) as this:
            for account, turn in this.turns(turn_of, lambda: seconds_left() >= ACCOUNT_SECONDS):
                ended.append(turn)
                watch.accounts[account] = turn.events
                self._backoff.settle()
                if POSTPONED in turn.events and seconds_left() < ACCOUNT_SECONDS:
                    this.missed(account)
                if GUARD_FAILED in turn.events:
                    watch.fail()
            watch.accounts |= {account: [POSTPONED] for account in this.left}
            telemetry.count(POSTPONED, len(this.left))
            watch.unreached = this.unreached
        self._notify(ended)
        return watch

    def _warn_of_statuses(self, watched: Iterable[frozenset[str]]) -> None:
        """Say which of WatchedStatuses VTEX's filters do not know: no event will ever come of these."""
        if unknown := frozenset().union(*watched) - FILTER_STATES:
            logger.warning("VTEX's filter lists no such status", extra={"watched_statuses": sorted(unknown)})

    # ---- One account

    def _guard(self, turn: _Turn) -> _Turn:
        """Take an account's turn: the hook, then the feed; return it with what was found and done."""
        for step in (self._guard_hook, self._guard_feed):
            try:
                turn.see_that_time_is_left()
                step(turn)
            except RetryLater as trouble:
                kind = type(trouble)
                turn.happened(_METRICS.get(kind, GUARD_FAILED))
                logger.warning("a turn was not finished", extra={"account": turn.account, "why": trouble.why})
                if kind in _ENDS_TURN:
                    break
            except Exception as fault:  # noqa: BLE001 - one account's bad luck is not to be the others'
                turn.happened(GUARD_FAILED)
                report_fault(turn.account, fault)
        if turn.events:
            logger.info("guarded", extra={"account": turn.account, "events": turn.events})
        return turn

    def _guard_hook(self, turn: _Turn) -> None:
        turn.noted = turn.noted.of_app_key(digest(self._credentials(turn.account).app_key))
        config = self._configurations.hook(turn.account, turn.time_for_vtex())
        whose = ownership(config, self._settings.hook_url, was_ours=turn.noted.hook_installed)
        turn.whose_hook = whose
        # Noted before anything is registered: an answer that is lost must not make our own doing a proof.
        self._note(turn, first_seen(turn.noted, whose))
        if isinstance(config, NotShown):
            self._leave_what_is_not_shown(turn, HOOK_NOT_SHOWN)
        elif isinstance(whose, OtherSystem):
            self._leave_hook_alone(turn, whose)
        else:
            self._keep_hook(turn, config)

    def _leave_hook_alone(self, turn: _Turn, other: OtherSystem) -> None:
        turn.happened(HOOK_ELSEWHERE)
        if not _covers(turn.noted.hook_notified, other.host, self._now()):
            turn.news[HOOK_ELSEWHERE] = other.host

    def _leave_what_is_not_shown(self, turn: _Turn, event: str) -> None:
        """Leave what VTEX does not show as it is; notify people, as often as of a hook that is another system's."""
        turn.happened(event)
        logger.warning("VTEX does not show what is registered", extra={"account": turn.account, "event": event})
        is_hook = event == HOOK_NOT_SHOWN
        notified = turn.noted.hook_notified if is_hook else turn.noted.feed_notified
        # Of hook and feed people are notified at once.
        if not _covers(notified, event, self._now()) and (is_hook or HOOK_NOT_SHOWN not in turn.events):
            turn.news[event] = event

    def _keep_hook(self, turn: _Turn, config: HookConfig | None) -> None:
        """Register the hook where there is none, or where it is not as it is to be."""
        if self._secret_at_first is None:
            raise RetryLater("the hook's secret could not be read")
        wanted = self._wanted_hook(turn, self._secret_at_first)
        differs = _differences(turn, config, wanted)
        if differs:
            # What is registered is never as it was kept: this run may have begun moments before a rotation.
            wanted = self._wanted_hook(turn, self._current_secret())
            differs = _differences(turn, config, wanted)
        secret = digest(wanted.secret)
        kept = replace(turn.noted, hook_secret=secret, hook_installed=True, hook_notified=None)
        if not differs:
            self._note(turn, kept)
            return
        if config and config.url is None:  # ours by our notes alone: enough to leave it, and not to write over it
            self._leave_what_is_not_shown(turn, HOOK_NOT_SHOWN)
            return
        with self._pings:
            self._configurations.install_hook(turn.account, wanted, turn.time_for_vtex())
        if not turn.noted.hook_installed:
            turn.happened(HOOK_INSTALLED)
        elif differs == ["header"] and turn.noted.hook_secret != secret:
            turn.happened(HOOK_SECRET_UPDATED)
        else:
            turn.happened(HOOK_RESTORED)
        logger.warning("the hook was registered", extra={"account": turn.account, "differed": differs})
        self._note(turn, kept)

    def _wanted_hook(self, turn: _Turn, secret: str) -> WantedHook:
        return WantedHook(self._settings.hook_url, secret, turn.statuses, turn.has_own_statuses)

    def _guard_feed(self, turn: _Turn) -> None:
        """Register the feed where there is none, or where one of ours is not as it is to be."""
        config = self._configurations.feed(turn.account, turn.time_for_vtex())
        if isinstance(config, NotShown):
            self._leave_what_is_not_shown(turn, FEED_NOT_SHOWN)
            return
        if config and not self._is_feed_ours(turn, config):
            self._leave_feed_alone(turn)
            return
        differs = feed_differences(config, turn.statuses) if config else ["gone"]
        if differs:
            self._configurations.install_feed(turn.account, turn.statuses, turn.time_for_vtex())
            turn.happened(FEED_RESTORED if turn.noted.feed_installed else FEED_INSTALLED)
            logger.warning("the feed was registered", extra={"account": turn.account, "differed": differs})
        self._note(turn, replace(turn.noted, feed_installed=True, feed_left_alone=False, feed_notified=None))

    def _is_feed_ours(self, turn: _Turn, config: FeedConfig) -> bool:
        if turn.noted.feed_installed:
            return True
        if turn.whose_hook is None:
            raise RetryLater("a feed that we did not register is not judged before the hook was seen")
        return is_feed_ours(config, turn.statuses, turn.noted, turn.whose_hook)

    def _leave_feed_alone(self, turn: _Turn) -> None:
        turn.happened(FEED_LEFT_ALONE)
        self._note(turn, replace(turn.noted, feed_left_alone=True))
        # Whose hook points elsewhere, or is not shown, was notified of the same already.
        is_said = {HOOK_ELSEWHERE, HOOK_NOT_SHOWN} & set(turn.events)
        if not is_said and not _covers(turn.noted.feed_notified, FEED_LEFT_ALONE, self._now()):
            turn.news[FEED_LEFT_ALONE] = FEED_LEFT_ALONE

    def _note(self, turn: _Turn, noted: RegistrationState) -> None:
        """Note what is known now, where that is news."""
        if noted != turn.noted:
            self._notes.write(noted)
            turn.noted = noted

    def _secret_or_none(self) -> str | None:
        try:
            return self._current_secret()
        except RetryLater as trouble:
            logger.warning("the hook's secret was not read", extra={"why": trouble.why})
            return None

    def _current_secret(self) -> str:
        secret = self._secret.value_now().get("current")
        if not isinstance(secret, str) or not re.fullmatch(r"[!-~]([ -~]*[!-~])?", secret):
            raise RetryLater("the hook's secret holds no `current` that a header can carry")
        return secret

    # ---- What people are notified of

    def _notify(self, turns: Sequence[_Turn]) -> None:
        """Notify people of what is new, of each trouble in one message; note it where the message was taken."""
        language, stack = self._settings.language, self._settings.stack
        if hosts := _concerned(turns, HOOK_ELSEWHERE):
            shown = {turn.account: None if host == UNKNOWN_HOST else host for turn, host in hosts}
            self._publish(notices.hook_elsewhere(shown, language, stack), hosts)
        if hidden := _concerned(turns, HOOK_NOT_SHOWN, FEED_NOT_SHOWN):
            self._publish(notices.not_shown(_names(hidden), language, stack), hidden)
        if left := _concerned(turns, FEED_LEFT_ALONE):
            self._publish(notices.feed_left_alone(_names(left), language, stack), left)

    def _publish(self, notice: notices.Notice, concerned: Sequence[tuple[_Turn, str]]) -> None:
        try:
            self._topics.publish(self._settings.operations_topic_arn, notice, *_names(concerned))
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="note") as pool:
                list(pool.map(self._note_notified, concerned))
        except RetryLater as trouble:
            self._watch.fail()
            logger.warning("people were not notified, or that was not noted", extra={"why": trouble.why})

    def _note_notified(self, concerned: tuple[_Turn, str]) -> None:
        turn, what = concerned
        news = Notified(what, self._now())
        is_feed = what in {FEED_NOT_SHOWN, FEED_LEFT_ALONE}
        noted = turn.noted
        self._note(turn, replace(noted, feed_notified=news) if is_feed else replace(noted, hook_notified=news))

    # ---- The topics

    def _see_to_topics(self) -> list[str]:
        """Count which topics nobody hears, and return them; say so on the other one where alarms reach nobody."""
        arns = {ALERT: self._settings.alert_topic_arn, OPERATIONS: self._settings.operations_topic_arn}
        try:
            unconfirmed = [name for name, arn in arns.items() if not self._topics.has_confirmed_subscription(arn)]
            telemetry.count("topic_unconfirmed", len(unconfirmed))
            self._notify_of_topics(unconfirmed)
        except RetryLater as trouble:
            self._watch.fail()
            logger.warning("the topics were not seen to", extra={"why": trouble.why})
            return []
        return unconfirmed

    def _notify_of_topics(self, unconfirmed: list[str]) -> None:
        if unconfirmed:
            logger.warning("topics have no confirmed subscription", extra={"topics": unconfirmed})
        now, notified = self._now(), self._notes.topics_notified()
        if unconfirmed != [OPERATIONS]:
            if notified and OPERATIONS not in unconfirmed:
                self._notes.write_topics_notified(None)
            return
        if not (notified and notified.covers(OPERATIONS, now)):
            notice = notices.operations_unconfirmed(self._settings.language, self._settings.stack)
            self._topics.publish(self._settings.alert_topic_arn, notice)
            self._notes.write_topics_notified(Notified(OPERATIONS, now))


def _differences(turn: _Turn, config: HookConfig | None, wanted: WantedHook) -> list[str]:
    if config is None:
        return ["gone"]
    differs = hook_differences(config, wanted)
    if config.secret is None and turn.noted.hook_secret != digest(wanted.secret):
        differs.append("header")
    return differs


def _covers(notified: Notified | None, what: str, now: datetime) -> bool:
    return notified is not None and notified.covers(what, now)


def _concerned(turns: Iterable[_Turn], *events: str) -> list[tuple[_Turn, str]]:
    """Return the turns of whose trouble people are to be notified, by account, each with what it is."""
    concerned = [(turn, turn.news[event]) for turn in turns for event in events if event in turn.news]
    return sorted(concerned, key=lambda one: one[0].account)


def _names(concerned: Iterable[tuple[_Turn, str]]) -> list[str]:
    return [turn.account for turn, _ in concerned]


_METRICS: Mapping[type[RetryLater], str] = {
    CredentialsRefused: "credentials_refused",
    RateLimited: "check_rate_limited",
    OutOfTime: POSTPONED,
    NoTurn: POSTPONED,
    ConfigurationRefused: "guard_refused",
}
_ENDS_TURN = (CredentialsRefused, RateLimited, OutOfTime, NoTurn)
"""What is no better for the next step."""
