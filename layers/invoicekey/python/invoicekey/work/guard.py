"""Keeps the hook and the feed at VTEX alive: registers them again when they are gone or different, and says so.

VTEX removes a hook without a word after three quiet days, and one appKey's hook can be written by whoever has the
appKey. What is another system's is never overwritten, nor what VTEX does not show: people are asked. The
same goes for a feed that may be another's, for what one system commits is gone for the others. The steps of an
account's turn stand in `_guard`.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from invoicekey.delivery.topics import Topics
from invoicekey.ledger.lists import Backlog
from invoicekey.ledger.registrations import Notified, RegistrationState, RegistrationStates, digest
from invoicekey.messages import notices
from invoicekey.rules.notification import FILTER_STATES
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import CredentialsRefused, NoTurn, OutOfTime, RateLimited, RetryLater
from invoicekey.runtime.secrets import CachedSecret, Credentials
from invoicekey.runtime.settings import GuardSettings
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
from invoicekey.work.rounds import Rounds, SharedBackoff

ACCOUNT_SECONDS = 20.0
"""With less time left no account's turn is begun."""
ENDING_SECONDS = 10.0
"""Kept free at the end, to note what was done."""
HOOK_INSTALLED, HOOK_RESTORED, HOOK_SECRET_UPDATED = "hook_installed", "hook_restored", "hook_secret_updated"
FEED_INSTALLED, FEED_RESTORED = "feed_installed", "feed_restored"
HOOK_ELSEWHERE, FEED_LEFT_ALONE = "hook_elsewhere", "feed_left_alone"
HOOK_NOT_SHOWN, FEED_NOT_SHOWN = "hook_not_shown", "feed_not_shown"
POSTPONED = "guard_postponed"
ALERT, OPERATIONS = "alert", "operations"
"""The topics."""
GUARD_FAILED = "guard_failed"
"""Counted once a run, whatever failed in it: the alarm looks at the share of the runs."""
CONFIGURATION_RESTORED = "configuration_restored"
"""Counted besides, for the alarm: what had been ours was gone or different."""


@dataclass(slots=True)
class Watch:
    """What came of a run."""

    accounts: dict[str, list[str]] = field(default_factory=dict)
    """What was found and done, by account; nothing where all was well."""
    unconfirmed: list[str] = field(default_factory=list)
    """The topics without a confirmed subscription: ALERT, OPERATIONS."""


@dataclass(slots=True)
class _Turn:
    """One account's turn."""

    noted: RegistrationState
    seconds_left: Callable[[], float]
    whose_hook: Ownership | None = None
    """None until the hook was seen."""
    events: list[str] = field(default_factory=list)

    @property
    def account(self) -> str:
        return self.noted.account

    def time_for_vtex(self) -> float:
        return self.seconds_left() - ENDING_SECONDS

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
        settings: GuardSettings,
        secret: CachedSecret,
        configurations: Configurations,
        *,
        credentials: Callable[[str], Credentials],
        topics: Topics,
        notes: RegistrationStates,
        backlog: Backlog,
        backoff: SharedBackoff,
        rounds: Rounds,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._configurations = configurations
        self._credentials = credentials
        self._topics = topics
        self._notes = notes
        self._backlog = backlog
        self._backoff = backoff
        self._rounds = rounds
        self._now = now
        self._is_failed = False

    def run(self, accounts: Collection[str], seconds_left: Callable[[], float]) -> Watch:
        """Guard the hooks and feeds of these accounts, each by itself, and see whether the topics have subscriptions.

        Raises RetryLater where the ledger can't be read or written.
        """
        self._backlog.note_accounts(accounts)
        self._is_failed = False
        watch = Watch(unconfirmed=self._see_to_topics())
        noted = self._notes.read(accounts)
        self._warn_of_statuses()
        with self._backoff.kept_for(accounts), self._rounds.of(accounts) as this:
            while this.left:
                account = this.next()
                watch.accounts[account] = self._guard(_Turn(noted[account], seconds_left))
                if POSTPONED in watch.accounts[account]:
                    this.missed()
        return watch

    def _warn_of_statuses(self) -> None:
        """Say which of WatchedStatuses VTEX's filters do not know: no event will ever come of these."""
        if unknown := self._settings.vtex.watched_statuses - FILTER_STATES:
            logger.warning("VTEX's filter lists no such status", extra={"watched_statuses": sorted(unknown)})

    def _count_failed_run(self) -> None:
        if not self._is_failed:
            telemetry.count(GUARD_FAILED)
        self._is_failed = True

    # ---- One account

    def _guard(self, turn: _Turn) -> list[str]:
        """Take an account's turn: the hook, then the feed; return what was found and done."""
        for step in (self._guard_hook, self._guard_feed):
            try:
                if turn.seconds_left() < ACCOUNT_SECONDS:
                    raise OutOfTime("too little time is left")
                step(turn)
            except RetryLater as trouble:
                kind = type(trouble)
                event = _METRICS.get(kind, GUARD_FAILED)
                turn.happened(event)
                if event == GUARD_FAILED:
                    self._count_failed_run()
                logger.warning("a turn was not finished", extra={"account": turn.account, "why": trouble.why})
                if kind in _ENDS_TURN:
                    break
        if turn.events:
            logger.info("guarded", extra={"account": turn.account, "events": turn.events})
        return turn.events

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
        now, notified = self._now(), turn.noted.hook_notified
        if notified and notified.covers(other.host, now):
            return
        host = None if other.host == UNKNOWN_HOST else other.host
        notice = notices.hook_elsewhere(turn.account, host, self._settings.language, self._settings.stack)
        self._topics.publish(self._settings.operations_topic_arn, notice, turn.account)
        self._note(turn, replace(turn.noted, hook_notified=Notified(other.host, now)))

    def _leave_what_is_not_shown(self, turn: _Turn, event: str) -> None:
        """Leave what VTEX does not show as it is; notify people, as often as of a hook that is another system's."""
        turn.happened(event)
        logger.warning("VTEX does not show what is registered", extra={"account": turn.account, "event": event})
        is_hook, now = event == HOOK_NOT_SHOWN, self._now()
        notified = turn.noted.hook_notified if is_hook else turn.noted.feed_notified
        # Of hook and feed people are notified at once.
        if (notified and notified.covers(event, now)) or (not is_hook and HOOK_NOT_SHOWN in turn.events):
            return
        notice = notices.not_shown(turn.account, self._settings.language, self._settings.stack)
        self._topics.publish(self._settings.operations_topic_arn, notice, turn.account)
        news = Notified(event, now)
        self._note(
            turn, replace(turn.noted, hook_notified=news) if is_hook else replace(turn.noted, feed_notified=news)
        )

    def _keep_hook(self, turn: _Turn, config: HookConfig | None) -> None:
        """Register the hook where there is none, or where it is not as it is to be."""
        wanted = WantedHook(self._settings.hook_url, self._current_secret(), self._settings.vtex.watched_statuses)
        secret = digest(wanted.secret)
        kept = replace(turn.noted, hook_secret=secret, hook_installed=True, hook_notified=None)
        differs = hook_differences(config, wanted) if config else ["gone"]
        if config and config.secret is None and turn.noted.hook_secret != secret:
            differs.append("header")
        if not differs:
            self._note(turn, kept)
            return
        if config and config.url is None:  # ours by our notes alone: enough to leave it, and not to write over it
            self._leave_what_is_not_shown(turn, HOOK_NOT_SHOWN)
            return
        self._configurations.install_hook(turn.account, wanted, turn.time_for_vtex())
        if not turn.noted.hook_installed:
            turn.happened(HOOK_INSTALLED)
        elif differs == ["header"] and turn.noted.hook_secret != secret:
            turn.happened(HOOK_SECRET_UPDATED)
        else:
            turn.happened(HOOK_RESTORED)
        logger.warning("the hook was registered", extra={"account": turn.account, "differed": differs})
        self._note(turn, kept)

    def _guard_feed(self, turn: _Turn) -> None:
        """Register the feed where there is none, or where one of ours is not as it is to be."""
        statuses = self._settings.vtex.watched_statuses
        config = self._configurations.feed(turn.account, turn.time_for_vtex())
        if isinstance(config, NotShown):
            self._leave_what_is_not_shown(turn, FEED_NOT_SHOWN)
            return
        if config and not self._is_feed_ours(turn, config):
            self._leave_feed_alone(turn)
            return
        differs = feed_differences(config, statuses) if config else ["gone"]
        if differs:
            self._configurations.install_feed(turn.account, statuses, turn.time_for_vtex())
            turn.happened(FEED_RESTORED if turn.noted.feed_installed else FEED_INSTALLED)
            logger.warning("the feed was registered", extra={"account": turn.account, "differed": differs})
        self._note(turn, replace(turn.noted, feed_installed=True, feed_left_alone=False, feed_notified=None))

    def _is_feed_ours(self, turn: _Turn, config: FeedConfig) -> bool:
        if turn.noted.feed_installed:
            return True
        if turn.whose_hook is None:
            raise RetryLater("a feed that we did not register is not judged before the hook was seen")
        return is_feed_ours(config, self._settings.vtex.watched_statuses, turn.noted, turn.whose_hook)

    def _leave_feed_alone(self, turn: _Turn) -> None:
        turn.happened(FEED_LEFT_ALONE)
        now = self._now()
        notified, left = turn.noted.feed_notified, replace(turn.noted, feed_left_alone=True)
        # Whose hook points elsewhere, or is not shown, was notified of the same already.
        if not {HOOK_ELSEWHERE, HOOK_NOT_SHOWN} & set(turn.events) and not (
            notified and notified.covers(FEED_LEFT_ALONE, now)
        ):
            notice = notices.feed_left_alone(turn.account, self._settings.language, self._settings.stack)
            self._topics.publish(self._settings.operations_topic_arn, notice, turn.account)
            left = replace(left, feed_notified=Notified(FEED_LEFT_ALONE, now))
        self._note(turn, left)

    def _note(self, turn: _Turn, noted: RegistrationState) -> None:
        """Note what is known now, where that is news."""
        if noted != turn.noted:
            self._notes.write(noted)
            turn.noted = noted

    def _current_secret(self) -> str:
        # Never as it was kept: this run may be the one that follows a rotation, moments after another run.
        secret = self._secret.value_now().get("current")
        if not isinstance(secret, str) or not re.fullmatch(r"[!-~]([ -~]*[!-~])?", secret):
            raise RetryLater("the hook's secret holds no `current` that a header can carry")
        return secret

    # ---- The topics

    def _see_to_topics(self) -> list[str]:
        """Count which topics nobody hears, and return them; say so on the other one where alarms reach nobody."""
        arns = {ALERT: self._settings.alert_topic_arn, OPERATIONS: self._settings.operations_topic_arn}
        try:
            unconfirmed = [name for name, arn in arns.items() if not self._topics.has_confirmed_subscription(arn)]
            telemetry.count("topic_unconfirmed", len(unconfirmed))
            self._notify_of_topics(unconfirmed)
        except RetryLater as trouble:
            self._count_failed_run()
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


_METRICS: Mapping[type[RetryLater], str] = {
    CredentialsRefused: "credentials_refused",
    RateLimited: "check_rate_limited",
    OutOfTime: POSTPONED,
    NoTurn: POSTPONED,
    ConfigurationRefused: "guard_refused",
}
_ENDS_TURN = (CredentialsRefused, RateLimited, OutOfTime, NoTurn)
"""What is no better for the next step."""
