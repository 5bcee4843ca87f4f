"""How each account of a stack stands, as ledger and secrets know it: VTEX is not asked.

What the checker and the guard have noted is read, so that a thousand accounts are listed in seconds.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from operator import itemgetter

from invoicekey.ledger.accounts import Account
from invoicekey.ledger.activity import Activities, Activity
from invoicekey.ledger.entries import FOLLOWED, ref_of
from invoicekey.ledger.lists import readable
from invoicekey.ledger.registrations import RegistrationState, RegistrationStates
from invoicekey.rules.notification import is_account
from invoicekey.runtime.errors import CredentialsRefused
from invoicekey.runtime.secrets import vtex_credentials
from invoicekey.vtex.subscriptions import UNKNOWN_HOST
from invoicekey.work.guard import HOOK_NOT_SHOWN
from operations.deployment.credentials import credentials_place
from operations.deployment.emails import AccountEmails, Email
from operations.deployment.shop import CREDENTIALS_PREFIX, Shop
from operations.deployment.stack import Trouble
from operations.terminal.findings import Finding, note, to_do
from operations.terminal.side_by_side import side_by_side

REFUSED_OF_LATE = timedelta(hours=6)
"""What VTEX refuses is tried again within the hour, and noted once an hour."""
QUIET_HOURS = 48
"""Of a stack whose guard does not say."""


class Place(StrEnum):
    """Where an account's credentials are."""

    OWN = "own place"
    SECRET = "the stack's secret"
    NONE = "nowhere"


class Standing(StrEnum):
    """How an account stands, the worst first."""

    CORRUPT = "item corrupt"
    WRONG_SETTING = "setting wrong"
    NOT_SERVED = "not in VtexAccounts"
    NO_CREDENTIALS = "credentials missing"
    REFUSED = "credentials refused"
    HOOK_ELSEWHERE = "hook elsewhere"
    NOT_SHOWN = "hook not shown"
    NO_HOOK = "no hook"
    FEED_ELSEWHERE = "feed elsewhere"
    QUIET = "quiet"
    NO_CNOVA = "no CNova order"
    HOOK_MISSES = "hook misses events"
    OFF = "off"
    NEW = "nothing heard yet"
    OK = "ok"

    @property
    def is_trouble(self) -> bool:
        """Say whether somebody has something to do about it."""
        return self not in {Standing.OFF, Standing.NEW, Standing.OK}


_NOTED_TROUBLES = (("no_cnova", Standing.NO_CNOVA), ("feed_found", Standing.HOOK_MISSES))
"""What the guard saw over days, by the names that it notes; the rest is seen here as it is now."""


@dataclass(frozen=True, slots=True)
class Line:
    """One account, as the list shows it."""

    account: str
    standing: Standing
    since: datetime | None
    """Of what is quiet, or refused: since when, as far as is known."""
    hook_at: datetime | None
    """When the hook brought the last event, an hour too old at the most."""
    open: int
    """So many of its failures are open."""
    place: Place
    hook: str
    feed: str
    settings: tuple[str, ...]
    """The names of those that it has of its own."""
    emails: tuple[str, ...]
    """The addresses that get its alerts alone; those that have not confirmed say so."""
    to_do: str | None

    @property
    def state(self) -> str:
        """Say in words how it stands."""
        return self.standing.value


class AccountList:
    """Reads how the accounts of a stack stand."""

    def __init__(self, shop: Shop, now: datetime) -> None:
        self._shop = shop
        self._now = now

    def lines(self) -> list[Line]:
        """Return all accounts, trouble first. Raises RetryLater and Trouble."""
        names = known_accounts(self._shop)
        noted, activities = RegistrationStates(self._shop.table).read(names), Activities(self._shop.table).read(names)
        places, opened = self._places(names), self._opened()
        emails = AccountEmails(self._shop).of(filter(None, self._shop.own.values()), _side_by_side)
        lines = [
            self._line(name, noted[name], activities[name], places[name], opened[name], emails.get(name, ()))
            for name in names
        ]
        order = list(Standing)
        return sorted(lines, key=lambda line: (order.index(line.standing), line.account))

    def odd_names(self) -> list[str]:
        """List the names in the stack's secret that no account can have: nobody reads what stands there."""
        return sorted(name[:63] for name in self._shop.credentials if not is_account(name))

    def _line(
        self,
        name: str,
        noted: RegistrationState,
        activity: Activity,
        place: Place,
        opened: int,
        emails: Sequence[Email],
    ) -> Line:
        own = self._shop.own.get(name, Account(name))
        standing, since = next(self._troubles(name, own, noted, activity, place), (_well(activity), None))
        return Line(
            account=name,
            standing=standing,
            since=since,
            hook_at=activity.hook_at,
            open=opened,
            place=place,
            hook=_hook(noted),
            feed=_feed(noted),
            settings=tuple(sorted(own.settings)) if own else (),
            emails=tuple(email.address + ("" if email.is_confirmed else " (not confirmed)") for email in emails),
            to_do=self._shop.command(_COMMANDS[standing].format(name)) if standing in _COMMANDS else None,
        )

    def _troubles(
        self, name: str, own: Account | None, noted: RegistrationState, activity: Activity, place: Place
    ) -> Iterator[tuple[Standing, datetime | None]]:
        """Yield what is wrong with an account, the worst first, and since when."""
        if own is None:
            yield Standing.CORRUPT, None
            return
        if own.is_off:
            yield Standing.OFF, None
        if not self._has_valid_settings(name):
            yield Standing.WRONG_SETTING, None
        served = self._shop.guard_settings.vtex.accounts
        if served and name not in served:
            yield Standing.NOT_SERVED, None
        if place is Place.NONE:
            yield Standing.NO_CREDENTIALS, None
        refused_at, good_at = activity.refused_at, activity.cnova_at
        if refused_at and self._now - refused_at < REFUSED_OF_LATE and (good_at is None or good_at < refused_at):
            yield Standing.REFUSED, refused_at
        yield from ((standing, None) for standing in _of_registration(noted))
        if activity.hook_at and self._now - activity.hook_at > self._quiet_after:
            yield Standing.QUIET, activity.hook_at
        yield from ((standing, None) for name, standing in _NOTED_TROUBLES if name in activity.troubles)

    def _has_valid_settings(self, name: str) -> bool:
        try:
            self._shop.settings_of(name)
        except Trouble:
            return False
        return True

    @cached_property
    def _quiet_after(self) -> timedelta:
        guard = self._shop.function_environment("GuardHookFunction")
        return timedelta(hours=int(guard.get("QUIET_ALARM_HOURS") or QUIET_HOURS))

    def _places(self, names: Sequence[str]) -> dict[str, Place]:
        stamped = [name for name in names if (own := self._shop.own.get(name)) and own.credentials]
        has_places = bool(stamped) and bool(self._shop.environment.get(CREDENTIALS_PREFIX))
        there = credentials_place(self._shop).exists(stamped) if has_places else set[str]()
        return {name: self._place(name, name in stamped, name in there) for name in names}

    def _place(self, name: str, is_own: bool, is_there: bool) -> Place:
        if is_own:
            return Place.OWN if is_there else Place.NONE
        try:
            vtex_credentials(self._shop.credentials, name)
        except CredentialsRefused:
            return Place.NONE
        return Place.SECRET

    def _opened(self) -> Counter[str]:
        """Count the open failures by account."""
        items = self._shop.table.listed(FOLLOWED, only=("pk", "opened_at", "set_aside"))
        opened = (item for item in items if "opened_at" in item and "set_aside" not in item)
        return Counter(readable(opened, lambda item: ref_of(item["pk"]).account, key=itemgetter("pk")))


def known_accounts(shop: Shop) -> list[str]:
    """List the accounts that have credentials, an item, or were noted by the guard, by name."""
    noted = filter(is_account, shop.backlog.accounts())
    return sorted({*shop.accounts, *shop.own, *noted})


def of_own(shop: Shop, account: str) -> Finding | None:
    """Say what an account's item keeps from being looked at: it is off, corrupt, or has a setting that is wrong."""
    own = shop.own.get(account, Account(account))
    if own is None:
        return to_do("its item in the ledger is corrupt", f"write it anew: {shop.command(f'accounts add {account}')}")
    if own.is_off:
        return note(
            "it is off: nothing of it is checked, guarded or drained", shop.command(f"accounts set {account} --on")
        )
    try:
        shop.settings_of(account)
    except Trouble as trouble:
        return to_do(str(trouble).partition(". Mend it")[0], shop.command(f"accounts set {account} --unset SETTING"))
    return None


_COMMANDS = {
    Standing.CORRUPT: "accounts add {}",
    Standing.WRONG_SETTING: "accounts set {} --unset SETTING",
    Standing.NO_CREDENTIALS: "accounts add {}",
    Standing.REFUSED: "accounts set {} --credentials",
    Standing.HOOK_ELSEWHERE: "hook status --account {}",
    Standing.NOT_SHOWN: "hook status --account {}",
    Standing.NO_HOOK: "hook install --account {}",
    Standing.FEED_ELSEWHERE: "hook status --account {}",
    Standing.QUIET: "doctor --account {}",
    Standing.NO_CNOVA: "doctor --account {}",
    Standing.HOOK_MISSES: "hook status --account {}",
}


def _side_by_side(arns: list[str], read: Callable[[str], Email | None]) -> list[Email | None]:
    return side_by_side(arns, read, "asking SNS") if arns else []


def _well(activity: Activity) -> Standing:
    return Standing.OK if activity.hook_at else Standing.NEW


def _of_registration(noted: RegistrationState) -> Iterator[Standing]:
    if noted.hook_notified:
        yield Standing.NOT_SHOWN if noted.hook_notified.what == HOOK_NOT_SHOWN else Standing.HOOK_ELSEWHERE
    elif not noted.hook_installed:
        yield Standing.NO_HOOK
    if noted.feed_left_alone:
        yield Standing.FEED_ELSEWHERE


def _hook(noted: RegistrationState) -> str:
    match noted.hook_notified:
        case None:
            return "ours" if noted.hook_installed else "none"
        case notified if notified.what == HOOK_NOT_SHOWN:
            return "not shown"
        case notified:
            return "elsewhere" if notified.what == UNKNOWN_HOST else notified.what


def _feed(noted: RegistrationState) -> str:
    if noted.feed_left_alone:
        return "elsewhere"
    return "ours" if noted.feed_installed else "none"
