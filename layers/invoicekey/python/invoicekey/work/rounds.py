"""A scheduled run's round of the accounts: whom it serves, whose turn it is, and the back-offs that all share."""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any

from invoicekey.ledger.accounts import CORRUPT, Account, Accounts
from invoicekey.ledger.entries import Ledger, backoff_key
from invoicekey.ledger.table import Item, Table
from invoicekey.rules.notification import is_account
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.settings import DrainSettings, GuardSettings, OfAccounts, SettingsError
from invoicekey.runtime.telemetry import logger
from invoicekey.vtex.client import Vtex

AT_ONCE = 20
"""So many accounts have a turn side by side, each in a thread: the clients need as many connections."""
_MOST_KEYS = 100
"""So many items are read at once."""


# ---- Whom a run serves


def accounts_served(
    credentials: Mapping[str, Any], accounts: Accounts, within: frozenset[str] = frozenset()
) -> dict[str, Account]:
    """Return the accounts that have credentials and are not off, by name; where `within` is set, those among these.

    Credentials are in the secret, or in a place of the account's own. An account becomes part of a host name: a name
    that no notification could come from is left out. So is an account whose item is corrupt; it is counted.

    Raises RetryLater where the ledger can't be read.
    """
    named, items = accounts_named(credentials), accounts.read(accounts.names())
    known = {*named, *items}
    served: dict[str, Account] = {}
    for name in sorted(known & within if within else known):
        account = items.get(name, Account(name))
        if account is None:
            _report_corrupt(name)
        elif not account.is_off and (name in named or account.credentials):
            served[name] = account
    return served


def accounts_named(credentials: Mapping[str, Any]) -> list[str]:
    """List the accounts that the credentials' secret names."""
    named = [account for account in credentials if is_account(account)]
    if odd := len(credentials) - len(named):
        logger.warning("names in the credentials' secret are no account names", extra={"names": odd})
    return sorted(named)


def settings_by_account[T: GuardSettings | DrainSettings](
    accounts: Mapping[str, Account], settings: OfAccounts[T], keep_pace: Callable[[str, int], None]
) -> dict[str, T]:
    """Return each account's settings, and have its pace kept.

    An account whose own settings are wrong is left out; it is counted.
    """
    read: dict[str, T] = {}
    for name, account in accounts.items():
        try:
            read[name] = settings.of(account.settings)
        except SettingsError as error:
            setting, *_ = str(error).partition(":")  # what was set may be about a person
            _report_corrupt(name, setting=setting)
        else:
            keep_pace(name, read[name].vtex.requests_per_minute)
    return read


def _report_corrupt(account: str, **details: str) -> None:
    telemetry.count("ledger_unreadable")
    logger.error(CORRUPT, extra={"account": account, **details})


# ---- What all share


class SharedBackoff:
    """The back-offs of accounts, shared through the ledger, for who asks VTEX without a message that asks for it."""

    def __init__(self, vtex: Vtex, ledger: Ledger, table: Table) -> None:
        self._vtex = vtex
        self._ledger = ledger
        self._table = table

    @contextmanager
    def kept_for(self, accounts: Collection[str]) -> Iterator[None]:
        """Respect the back-offs of these accounts; share at the end those that VTEX asked for, and count its answers.

        Raises RetryLater where it can't be known who is in back-off.
        """
        for account, until in self._backoffs(accounts):
            self._vtex.back_off(account, until)
        try:
            yield
        finally:
            self.settle()

    def settle(self) -> None:
        """Share the back-offs that VTEX has asked for so far, and count its answers: only so many are kept."""
        for account, until in self._vtex.take_new_backoffs().items():
            try:
                self._ledger.note_backoff(account, until)
            except RetryLater as trouble:
                logger.warning("a back-off could not be shared", extra={"account": account, "why": trouble.why})
        while self._vtex.answers:
            telemetry.count_answer(*self._vtex.answers.popleft())

    def _backoffs(self, accounts: Iterable[str]) -> Iterator[tuple[str, float]]:
        by_key = {backoff_key(account): account for account in accounts}
        for keys in batched(by_key, _MOST_KEYS, strict=False):
            for key, item in self._table.get(keys).items():
                yield by_key[key], float(item["until"])


# ---- Whose turn it is


class Round:
    """The turns of a run: each account has its first one before any has another, and never two at once."""

    def __init__(self, accounts: Sequence[str], at_once: int) -> None:
        self._at_once = at_once
        self._accounts = accounts
        """In the order of their first turns."""
        self._begun = 0
        """So many of them have begun theirs."""
        self._again: deque[str] = deque()
        self._had_one: set[str] = set()
        self._missed: set[str] = set()

    def turns[T](self, take: Callable[[str], T], has_time: Callable[[], bool]) -> Iterator[tuple[str, T]]:
        """Let the accounts take their turns side by side while there is time; yield what came of each as it ends.

        `take` runs in a thread, and is to keep an account's trouble to itself: what it raises ends the run. Whoever
        iterates may let the account have one more turn (`again`), or say that it had no time for it (`missed`).
        """
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="turn") as pool:
            under_way: dict[Future[T], str] = {}
            while True:
                while len(under_way) < self._at_once and self._is_one_left and has_time():
                    account = self._next()
                    under_way[pool.submit(take, account)] = account
                if not under_way:
                    return
                for turn in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(turn), turn.result()

    def again(self, account: str) -> None:
        """Let an account have one more turn after all others."""
        self._had_one.add(account)
        self._again.append(account)

    def missed(self, account: str) -> None:
        """Say that the time was up in an account's turn: where it was its first, the next run is to begin with it."""
        if account not in self._had_one:
            self._missed.add(account)

    @property
    def left(self) -> list[str]:
        """List the accounts that are still to have a turn, their first or one more."""
        return [*self._accounts[self._begun :], *self._again]

    @property
    def unreached(self) -> int:
        """Count the accounts that had no turn, or no time for it."""
        return len(self._accounts) - self._begun + len(self._missed)

    @property
    def reached(self) -> Sequence[str]:
        """List the accounts that had a turn, up to the first that had no time for it.

        Whatever came of a turn, even the death of the run, the account has had it.
        """
        reached = self._accounts[: self._begun]
        return reached[: next((at for at, account in enumerate(reached) if account in self._missed), None)]

    @property
    def _is_one_left(self) -> bool:
        return self._begun < len(self._accounts) or bool(self._again)

    def _next(self) -> str:
        if self._begun == len(self._accounts):
            return self._again.popleft()
        self._begun += 1
        return self._accounts[self._begun - 1]


def report_fault(account: str, fault: Exception) -> None:
    """Log what nobody expected in an account's turn: the error's type and place, for its text may hold anything."""
    logger.error("a turn failed unexpectedly", extra={"account": account} | telemetry.type_and_place(fault))


@dataclass(frozen=True, slots=True)
class _Lap:
    """A passage through all accounts that takes more than one run."""

    began: datetime
    reached: int = 0

    @classmethod
    def in_item(cls, item: Item) -> "_Lap | None":
        try:
            return cls(datetime.fromisoformat(item["lap_began"]).astimezone(UTC), int(item["lap_reached"]))
        except (KeyError, TypeError, ValueError):
            return None


class Rounds:
    """Where a run begins that may not have the time for all accounts: after the one that the last run came to.

    So each account is reached within as many runs as it takes to go through all of them once: a lap. One that takes
    longer than `promised` is counted. Where it can't be kept how far a run came, or two runs overlap, some accounts are
    visited twice and none is left out for good.
    """

    def __init__(
        self,
        table: Table,
        name: str,
        promised: timedelta,
        *,
        at_once: int = AT_ONCE,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._table = table
        self._key = f"round#{name}"
        self._promised = promised
        self._at_once = at_once
        self._now = now

    @contextmanager
    def of(self, accounts: Collection[str]) -> Iterator[Round]:
        """Give a run its turns, and keep at the end how far it came, however it ends.

        Raises RetryLater where the ledger can't be read.
        """
        item = self._table.get([self._key]).get(self._key, {"pk": self._key})
        names = sorted(accounts)
        begin = bisect_right(names, str(item.get("last", "")))  # also where that account has gone
        this, began = Round(names[begin:] + names[:begin], self._at_once), self._now()
        try:
            yield this
        finally:
            telemetry.count("round_unreached", this.unreached)
            lap = _Lap.in_item(item) or _Lap(began)
            if self._now() - lap.began > self._promised:
                telemetry.count("round_overdue")
                logger.warning("an account waits too long", extra={"round": self._key, "since": lap.began.isoformat()})
            self._note(item, this, _next_lap(lap, len(names), len(this.reached), began))

    def _note(self, item: Item, this: Round, lap: _Lap | None) -> None:
        noted: Item = {"pk": self._key}
        if last := (this.reached[-1] if this.reached else item.get("last")):
            noted["last"] = last
        if lap:
            noted |= {"lap_began": lap.began.isoformat(), "lap_reached": lap.reached}
        if noted == item:
            return
        try:
            self._table.put(noted)
        except RetryLater as trouble:
            logger.warning(
                "how far a run came could not be kept; the next one begins where it began",
                extra={"round": self._key, "why": trouble.why},
            )


def _next_lap(lap: _Lap, accounts: int, reached: int, began: datetime) -> _Lap | None:
    """Return the lap as the next run is to find it; None where that is to begin one of its own."""
    beyond = lap.reached + reached - accounts
    if reached == accounts or beyond == 0:
        return None
    return _Lap(began, beyond) if beyond > 0 else _Lap(lap.began, lap.reached + reached)
