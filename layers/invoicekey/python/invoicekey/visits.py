"""A run's visit to VTEX: whom it is for, the silences that others met before, and those that it met itself."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import batched
from typing import Any

from invoicekey import telemetry
from invoicekey.errors import TryAgainLater
from invoicekey.ledger import Ledger, silence_key
from invoicekey.notification import AccountRefused, order_ref
from invoicekey.table import Table
from invoicekey.telemetry import logger
from invoicekey.vtex import Vtex

_MOST_KEYS = 100
"""So many items are read at once."""


def accounts_served(credentials: Mapping[str, Any], accounts: frozenset[str] = frozenset()) -> list[str]:
    """List the accounts that the credentials' secret names and, where `accounts` are set, that are among these.

    An account becomes part of a host name: one that no notification could come from is left out.
    """
    named = [account for account in credentials if _is_well_formed(account)]
    if odd := len(credentials) - len(named):
        logger.warning("names in the credentials' secret are no account names", extra={"names": odd})
    return sorted(account for account in named if not accounts or account in accounts)


class Visits:
    """Visits to VTEX, for who asks it without being asked by a message."""

    def __init__(self, vtex: Vtex, ledger: Ledger, table: Table) -> None:
        self._vtex = vtex
        self._ledger = ledger
        self._table = table

    @contextmanager
    def to(self, accounts: Collection[str]) -> Iterator[None]:
        """Keep the silences of these accounts; share at the end those that VTEX asked for, and count its answers.

        Raises TryAgainLater where it can't be known who wants silence.
        """
        for account, until in self._silences(accounts):
            self._vtex.be_silent(account, until)
        try:
            yield
        finally:
            self._share_silences()
            self._count_answers()

    def _silences(self, accounts: Iterable[str]) -> Iterator[tuple[str, float]]:
        by_key = {silence_key(account): account for account in accounts}
        for keys in batched(by_key, _MOST_KEYS, strict=False):
            for key, item in self._table.get(keys).items():
                yield by_key[key], float(item["until"])

    def _share_silences(self) -> None:
        for account, until in self._vtex.take_new_silences().items():
            try:
                self._ledger.note_silence(account, until)
            except TryAgainLater as trouble:
                logger.warning("a silence could not be shared", extra={"account": account, "why": trouble.why})

    def _count_answers(self) -> None:
        while self._vtex.answers:
            status, seconds = self._vtex.answers.popleft()
            telemetry.count(f"vtex_{status}")
            telemetry.measure_seconds("vtex_latency", seconds)


def _is_well_formed(account: str) -> bool:
    try:
        order_ref({"OrderId": "any", "Origin": {"Account": account}})
    except AccountRefused:
        return False
    return True
