"""A scheduled run's round of the accounts: whom it serves, who comes first, and the back-offs that all share."""

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched
from typing import Any

from invoicekey.ledger.entries import Ledger, backoff_key
from invoicekey.ledger.table import Table
from invoicekey.rules.notification import is_account
from invoicekey.runtime import telemetry
from invoicekey.runtime.errors import RetryLater
from invoicekey.runtime.telemetry import logger
from invoicekey.vtex.client import Vtex

_MOST_KEYS = 100
"""So many items are read at once."""


def accounts_served(credentials: Mapping[str, Any], accounts: frozenset[str] = frozenset()) -> list[str]:
    """List the accounts that the credentials' secret names and, where `accounts` are set, that are among these.

    An account becomes part of a host name: one that no notification could come from is left out.
    """
    named = [account for account in credentials if is_account(account)]
    if odd := len(credentials) - len(named):
        logger.warning("names in the credentials' secret are no account names", extra={"names": odd})
    return sorted(account for account in named if not accounts or account in accounts)


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
            self._share_backoffs()
            self._count_answers()

    def _backoffs(self, accounts: Iterable[str]) -> Iterator[tuple[str, float]]:
        by_key = {backoff_key(account): account for account in accounts}
        for keys in batched(by_key, _MOST_KEYS, strict=False):
            for key, item in self._table.get(keys).items():
                yield by_key[key], float(item["until"])

    def _share_backoffs(self) -> None:
        for account, until in self._vtex.take_new_backoffs().items():
            try:
                self._ledger.note_backoff(account, until)
            except RetryLater as trouble:
                logger.warning("a back-off could not be shared", extra={"account": account, "why": trouble.why})

    def _count_answers(self) -> None:
        while self._vtex.answers:
            telemetry.count_answer(*self._vtex.answers.popleft())


@dataclass(slots=True)
class Round:
    """The accounts of a run that are still to have a turn."""

    left: deque[str]
    last: str | None = None
    """The account that had the last turn, before any that missed its own; None before the first."""
    _before: str | None = None
    _is_broken: bool = False

    def next(self) -> str:
        """Take the next account; whatever comes of its turn, even the death of the run, it has had it."""
        account = self.left.popleft()
        if not self._is_broken:
            self._before, self.last = self.last, account
        return account

    def again(self, account: str) -> None:
        """Let an account have one more turn after all others."""
        self.left.append(account)

    def missed(self) -> None:
        """Say that the account that was taken last had no time for its turn: the next run is to begin with it."""
        if not self._is_broken:
            self.last, self._is_broken = self._before, True


class Rounds:
    """Where a run begins that may not have the time for all accounts: after the one that the last run came to.

    So each account is reached within as many runs as it takes to go through all of them once. Where that is not kept,
    or two runs overlap, some accounts are visited twice and none is left out for good.
    """

    def __init__(self, table: Table, name: str) -> None:
        self._table = table
        self._key = f"round#{name}"

    @contextmanager
    def of(self, accounts: Collection[str]) -> Iterator[Round]:
        """Give the accounts in turn, and keep at the end how far the run came, however it ends.

        Raises RetryLater where the ledger can't be read.
        """
        before = str(self._table.get([self._key]).get(self._key, {}).get("last", ""))
        names = sorted(accounts)
        begin = bisect_right(names, before)  # also where that account has gone
        this = Round(deque(names[begin:] + names[:begin]))
        try:
            yield this
        finally:
            if this.last not in {None, before}:
                self._note(this.last)

    def _note(self, last: str | None) -> None:
        try:
            self._table.put({"pk": self._key, "last": last})
        except RetryLater as trouble:
            logger.warning(
                "how far a run came could not be kept; the next one begins where it began",
                extra={"round": self._key, "why": trouble.why},
            )
