"""An account's hook and feed at VTEX, as an operator sees, installs and removes them.

The rules are those of the stack's guard: what is another system's is neither written nor removed, nor what VTEX does
not show, unless a person who knows says that it is nobody else's. What is done is noted where the guard notes it, so
that its next run knows what it meets.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Semaphore
from typing import Any

from invoicekey.ledger.registrations import RegistrationState, RegistrationStates, digest
from invoicekey.rules.notification import FILTER_STATES
from invoicekey.runtime.secrets import hook_secrets
from invoicekey.runtime.settings import WATCHED_STATUSES
from invoicekey.vtex.client import Vtex
from invoicekey.vtex.subscriptions import (
    UNKNOWN_HOST,
    ConfigurationRefused,
    Configurations,
    Different,
    FeedConfig,
    Filter,
    Gone,
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
from invoicekey.work.guard import PINGS_AT_ONCE
from operations.deployment.shop import HOOK_SECRET, Shop
from operations.deployment.stack import Trouble
from operations.deployment.visit import HOOK_ADMIN, SECONDS, needing
from operations.terminal.findings import Finding, note, to_do, unknown, well

LONGEST_FILTER = 100


class InDoubt(Trouble):
    """VTEX does not show whether there is a hook or a feed; `doubt` says so, for the question to who may know."""

    def __init__(self, doubt: str, way_on: str) -> None:
        super().__init__(f"{doubt} Nothing was changed. If no other system has one on this appKey: {way_on}")
        self.doubt = doubt


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account's hook and feed stand at VTEX, beside how the stack wants them."""

    wanted: WantedHook
    previous_secret: str = field(repr=False)
    noted: RegistrationState
    hook: HookConfig | NotShown | None
    feed: FeedConfig | NotShown | None

    @property
    def whose(self) -> Ownership:
        """Say whose hook it is."""
        return ownership(self.hook, self.wanted.url, was_ours=self.noted.hook_installed)

    @property
    def carries_current_secret(self) -> bool:
        """Say whether our hook carries the current secret, as VTEX shows it, else as it was last registered."""
        if self.hook is None:
            return False
        if isinstance(self.hook, NotShown) or self.hook.secret is None:
            return self.noted.hook_secret == digest(self.wanted.secret)
        return "header" not in hook_differences(self.hook, self.wanted)

    @property
    def feed_is_ours(self) -> bool:
        """Say whether the feed may be written; where there is none, one may be registered."""
        if isinstance(self.feed, NotShown):
            return False
        return self.feed is None or is_feed_ours(self.feed, self.wanted.statuses, self.noted, self.whose)

    @property
    def not_shown(self) -> str | None:
        """Name what VTEX does not show: `hook`, `feed`, `hook and feed`; None where it shows all."""
        hidden = [name for name, it in (("hook", self.hook), ("feed", self.feed)) if isinstance(it, NotShown)]
        return " and ".join(hidden) or None

    @property
    def without_doubt(self) -> "Standing":
        """Return it as it is where a person says that what is not shown is nobody else's."""
        hook = None if isinstance(self.hook, NotShown) else self.hook
        feed = None if isinstance(self.feed, NotShown) else self.feed
        standing = replace(self, hook=hook, feed=feed)
        return replace(standing, noted=first_seen(standing.noted, standing.whose))


class Registration:
    """Reads, installs, removes."""

    def __init__(self, shop: Shop, vtex: Vtex) -> None:
        self._shop = shop
        self._configurations = Configurations(vtex)
        self._notes = RegistrationStates(shop.table)
        self._pings = Semaphore(PINGS_AT_ONCE)

    @cached_property
    def _hook_secret(self) -> dict[str, Any]:
        return self._shop.deployment.read_secret(HOOK_SECRET)

    def read(self, account: str) -> Standing:
        """Look at VTEX; raises Trouble where the appKey may not."""
        secret, settings = self._hook_secret, self._shop.guard_settings_of(account)
        current = secret.get("current")
        if not isinstance(current, str) or not hook_secrets({"current": current}):
            how = self._shop.command("secrets rotate")
            raise Trouble(f"The hook's secret is empty, so no hook is accepted. Make a new one: {how}")
        with needing(HOOK_ADMIN, account):
            hook = self._configurations.hook(account, SECONDS)
            feed = self._configurations.feed(account, SECONDS)
        standing = Standing(
            wanted=WantedHook(
                settings.hook_url,
                current,
                settings.vtex.watched_statuses,
                has_own_statuses=WATCHED_STATUSES in self._shop.own_settings(account),
            ),
            previous_secret=str(secret.get("previous") or ""),
            noted=self._notes.read([account])[account].of_app_key(self._app_key(account)),
            hook=hook,
            feed=feed,
        )
        return replace(standing, noted=first_seen(standing.noted, standing.whose))

    def install(self, account: str, instead_of: str | None = None, *, though_not_shown: bool = False) -> list[Finding]:
        """Register hook and feed, also where they are as they should be; return what was done.

        Another system's hook is overwritten only where a person named its host in `instead_of`. Raises InDoubt where
        VTEX does not show what is there, unless a person said that it is nobody else's.
        """
        standing = self._known(account, "hook install", though_not_shown=though_not_shown).without_doubt
        if isinstance(standing.whose, OtherSystem) and standing.whose.host != instead_of:
            raise Trouble(
                f"{_elsewhere(standing.whose)}. Nothing was changed: {_own_app_key(self._shop, account)}. If that "
                f"host is an old deployment of this very stack: {install_command(self._shop, account)} --instead-of "
                "HOST"
            )
        self._notes.write(standing.noted)  # before a hook of ours is there: it is no proof that the feed is ours
        with needing(HOOK_ADMIN, account):
            self._install_hook(standing)
            done = [well(f"VTEX tells {standing.wanted.url} of the orders that become {_listed(standing)}")]
            feed = self._install_feed(replace(standing, hook=HookConfig(standing.wanted.url)))
            return [*done, feed, *_of_statuses(standing)]

    def whose_is_foreign(self, account: str) -> str | None:
        """Say whose hook the appKey has, where it is another system's; None where it is not."""
        whose = self.read(account).whose
        return _elsewhere(whose) if isinstance(whose, OtherSystem) else None

    def remove(self, account: str, *, though_not_shown: bool = False) -> list[Finding]:
        """Remove hook and feed; return what was done. Raises InDoubt as `install` does."""
        standing = self._known(account, "hook remove", though_not_shown=though_not_shown)
        if isinstance(standing.whose, OtherSystem):
            raise Trouble(f"{_elsewhere(standing.whose)}. Nothing was changed: it is for that system to remove it.")
        with needing(HOOK_ADMIN, account):
            self._configurations.remove_hook(account, SECONDS)
            # The appKey may be another system's from now on, and then so is its feed.
            noted = replace(standing.noted, hook_secret=None, hook_installed=False, own_app_key=False)
            self._notes.write(noted)
            done = [well(_REMOVED.get(type(standing.whose), "the hook is removed"))]
            return [*done, self._remove_feed(standing, noted)]

    def _known(self, account: str, command: str, *, though_not_shown: bool) -> Standing:
        """Look at VTEX; raise InDoubt where it does not show what is there, and no person knows it."""
        standing = self.read(account)
        if standing.not_shown and not though_not_shown:
            way_on = self._shop.command(f"{command} --account {account} --though-not-shown")
            raise InDoubt(_doubt(standing), way_on)
        return standing

    def _install_hook(self, standing: Standing) -> None:
        account = standing.noted.account
        try:
            with self._pings:
                self._configurations.install_hook(account, standing.wanted, SECONDS)
        except ConfigurationRefused as refused:
            raise Trouble(self._refused(refused, standing)) from None
        self._notes.write(_with_hook(standing))

    def _install_feed(self, standing: Standing) -> Finding:
        account = standing.noted.account
        if not standing.feed_is_ours:
            left = "the appKey has a feed that may be another system's; it was left alone"
            return to_do(left, _own_app_key(self._shop, account))
        self._configurations.install_feed(account, standing.wanted.statuses, SECONDS)
        self._notes.write(replace(_with_hook(standing), feed_installed=True, feed_left_alone=False, feed_notified=None))
        return well("VTEX's feed keeps the same events for two weeks, for those that the hook misses")

    def _remove_feed(self, standing: Standing, noted: RegistrationState) -> Finding:
        if standing.feed is None:
            return well("there was no feed")
        is_shown = not isinstance(standing.feed, NotShown)
        if is_shown and not standing.feed_is_ours:
            return note("the appKey's feed may be another system's; it was left alone")
        self._configurations.remove_feed(noted.account, SECONDS)
        self._notes.write(replace(noted, feed_installed=False))
        return well("the feed is removed, with all that it held" if is_shown else "there is no feed any more")

    def _refused(self, refused: ConfigurationRefused, standing: Standing) -> str:
        if "409" in refused.why:
            how = self._shop.command(f"hook remove --account {standing.noted.account}")
            return (
                f"{refused.why}. It documents that for a filter of two types; ours has one, so what it minds is not "
                f"known. Nothing was changed. It may help to remove what is there ({how}) and to install again."
            )
        return (
            f"{refused.why}: its ping of {standing.wanted.url} did not get 200. Nothing was changed. Is the stack "
            f"deployed? {self._shop.command('doctor')} says what is wrong with it."
        )

    def _app_key(self, account: str) -> str:
        return digest(self._shop.credentials_of(account).app_key)


_REMOVED: Mapping[type[Ownership], str] = {Gone: "there was no hook", NotShown: "there is no hook any more"}


def install_command(shop: Shop, account: str) -> str:
    """Return the command that registers an account's hook and feed, for people to type."""
    return shop.command(f"hook install --account {account}")


def findings(standing: Standing, shop: Shop) -> Iterator[Finding]:
    """Tell how hook and feed stand, in words, and what mends them."""
    account = standing.noted.account
    install, own_app_key = install_command(shop, account), _own_app_key(shop, account)
    match standing.whose:
        case Gone():
            yield to_do("there is no hook: VTEX tells us of no order", install)
        case NotShown():
            yield unknown(f"VTEX does not say whether there is a hook{_by_notes(standing)}", install)
        case OtherSystem() as other:
            yield to_do(_elsewhere(other), own_app_key)
        case Different():
            yield to_do("the hook points at this stack's host, but at another path", install)
        case _:
            yield from _of_our_hook(standing, install)
    yield _of_feed(standing, install, own_app_key)
    yield from _of_statuses(standing)


def _doubt(standing: Standing) -> str:
    return (
        f"VTEX does not say whether the appKey of {standing.noted.account} has a {standing.not_shown}: it answered "
        f"with nothing in it{_by_notes(standing)}. To write there would erase what another system has."
    )


def _by_notes(standing: Standing) -> str:
    return " (this stack has registered one before)" if standing.noted.hook_installed else ""


def _of_statuses(standing: Standing) -> Iterator[Finding]:
    if unknown_there := sorted(standing.wanted.statuses - FILTER_STATES):
        yield to_do(
            f"VTEX's filter lists no status {', '.join(unknown_there)}: no event tells of it",
            "take it out of WatchedStatuses in parameter_overrides of samconfig.toml, then make deploy",
        )


def _of_our_hook(standing: Standing, install: str) -> Iterator[Finding]:
    hook = standing.hook if isinstance(standing.hook, HookConfig) else HookConfig()
    shown = "" if hook.url else " (VTEX does not show it; so it was last registered)"
    yield well(f"the hook points at {standing.wanted.url}{shown}")
    yield _of_header(standing, hook, install)
    if hook.filter and not hook.filter.is_for(standing.wanted.statuses):
        yield to_do(f"the hook's filter is {_filter(hook.filter)}, and is to be {_listed(standing)}", install)
    else:
        yield well(f"its filter is by status: {_listed(standing)}{'' if hook.filter else ' (VTEX does not show it)'}")


def _of_header(standing: Standing, hook: HookConfig, install: str) -> Finding:
    if standing.carries_current_secret:
        seen = "as VTEX shows it" if hook.secret else "as last registered; VTEX does not show it"
        return well(f"its header X-Hook-Secret carries the current secret ({seen})")
    carried = standing.noted.hook_secret if hook.secret is None else digest(hook.secret)
    if standing.previous_secret and carried == digest(standing.previous_secret):
        return to_do("its header X-Hook-Secret carries the previous secret, which is still accepted", install)
    if hook.secret is None and carried is None:
        return to_do(
            "VTEX does not show what its header X-Hook-Secret carries, and it was not us who wrote it", install
        )
    return to_do("its header X-Hook-Secret carries neither secret: each call is answered 401", install)


def _of_feed(standing: Standing, install: str, own_app_key: str) -> Finding:
    feed = standing.feed
    if feed is None:
        return to_do("there is no feed, the second source for what the hook misses", install)
    if isinstance(feed, NotShown):
        return unknown("VTEX does not say whether there is a feed", install)
    if not standing.feed_is_ours:
        return to_do(f"the feed ({_filter(feed.filter)}) may be another system's, and is left alone", own_app_key)
    if not feed_differences(feed, standing.wanted.statuses):
        return well(f"the feed keeps the same events: {_listed(standing)}")
    return to_do(f"the feed is {_filter(feed.filter)}, and is to be {_listed(standing)}, kept for 14 days", install)


def _own_app_key(shop: Shop, account: str) -> str:
    where = "VTEX Admin, Account settings, Application keys"
    return (
        f"create an appKey for this system alone ({where}), keep it with {shop.keep_credentials(account)}, then: "
        f"{install_command(shop, account)}"
    )


def _with_hook(standing: Standing) -> RegistrationState:
    secret = digest(standing.wanted.secret)
    return replace(standing.noted, hook_secret=secret, hook_installed=True, hook_notified=None)


def _elsewhere(other: OtherSystem) -> str:
    if other.host == UNKNOWN_HOST:
        return "The hook of this appKey points at an address that cannot be read, so at another system"
    return f"The hook of this appKey points at {other.host}, another system"


def _listed(standing: Standing) -> str:
    return ", ".join(sorted(standing.wanted.statuses))


def _filter(shown: Filter | None) -> str:
    if shown is None:
        return "not shown by VTEX"
    told = f"{shown.type or 'of no type'}: {', '.join(sorted(shown.statuses)) or 'every status'}"
    # Another system's texts may hold anything.
    return "".join(letter if letter.isprintable() else "?" for letter in told[:LONGEST_FILTER])
