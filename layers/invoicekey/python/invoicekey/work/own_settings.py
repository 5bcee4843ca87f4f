"""An account's settings, for who needs those of few accounts: read from the ledger, kept for a minute."""

import time
from collections.abc import Callable, Mapping

from invoicekey.ledger.accounts import Accounts, CorruptAccount
from invoicekey.runtime import telemetry
from invoicekey.runtime.settings import SettingsError
from invoicekey.runtime.telemetry import logger

KEPT_SECONDS = 60.0


class OwnSettings[T]:
    """Gives the stack's settings under those that an account has of its own."""

    def __init__(
        self, accounts: Accounts, read: Callable[[Mapping[str, str]], T], clock: Callable[[], float] = time.time
    ) -> None:
        """`read` is `OfAccounts.of`."""
        self._accounts = accounts
        self._read = read
        self._clock = clock
        self._kept: dict[str, tuple[float, T, bool]] = {}

    def of(self, account: str) -> T:
        """Return an account's settings: where what it has of its own is corrupt, the stack's. Raises LedgerUnavailable.

        What is sent or shown by these was found already: the wrong language is better than no word.
        """
        return self._of(account)[1]

    def is_off(self, account: str) -> bool:
        """Say whether an account is off. Raises LedgerUnavailable."""
        return self._of(account)[2]

    def _of(self, account: str) -> tuple[float, T, bool]:
        kept = self._kept.get(account)
        if kept is None or not 0 <= self._clock() - kept[0] < KEPT_SECONDS:
            kept = self._kept[account] = (self._clock(), *self._look_up(account))
        return kept

    def _look_up(self, account: str) -> tuple[T, bool]:
        try:
            own = self._accounts.read_one(account)
            return self._read(own.settings), own.is_off
        except (CorruptAccount, SettingsError):
            telemetry.count("ledger_unreadable")
            logger.error("an account's item in the ledger is corrupt: mend it", extra={"account": account})
            return self._read({}), False
