"""Asks VTEX many questions from several threads, politely: for commands that may run for an hour."""

import random
import threading
import time
from collections.abc import Callable

from invoicekey.runtime.errors import CredentialsRefused, OrderNotFound, OutOfTime, RateLimited, RetryLater
from operations.deployment.stack import Trouble

TRIES = 5
PATIENCE_SECONDS = 60.0
"""So long VTEX may give no good answer at all before the run is ended; it can go on later."""
LONGEST_SILENCE = 60.0
"""Silence grows up to here where VTEX asks for it again and again, and is longer where VTEX says so."""


class Stopped(Exception):
    """The run is being ended; whoever waits is to wait no longer."""


class Asking:
    """Asks VTEX from several threads, politely.

    Keeps the back-off that it asks for, tries again what failed for a moment, and raises Trouble where it stays down.
    """

    def __init__(self, note_backoff_at: Callable[[float], object] = lambda _: None) -> None:
        self._note_backoff = note_backoff_at
        self._stopped = threading.Event()
        self._down: str | None = None
        self._lock = threading.Lock()
        self._backoff_until = self._good_at = time.monotonic()
        self._backoffs = 0

    def stop(self) -> None:
        """End all waiting: what is asked from now on raises Stopped."""
        self._stopped.set()

    def ask[T](self, question: Callable[[], T]) -> T:
        """Ask until there is an answer.

        Raises OrderNotFound and CredentialsRefused as they come, RetryLater after five tries, and Trouble where VTEX
        gave nobody a good answer for a minute.
        """
        tries = 0
        while True:
            self._pause(self._backoff_until - time.monotonic())
            try:
                answer = question()
            except (OrderNotFound, CredentialsRefused):
                self._note_good()
                raise
            except RateLimited as asked:
                self._back_off(asked.wait or 0.0)
            except OutOfTime as trouble:
                self._pause(max(0.1, trouble.wait or 1.0))
            except RetryLater as trouble:
                tries += 1
                self._note_bad(trouble)
                if tries == TRIES:
                    raise
                self._pause(2.0 ** (tries - 1) * random.uniform(0.5, 1.0))
            else:
                self._note_good()
                return answer

    def _pause(self, seconds: float) -> None:
        if self._stopped.wait(max(0.0, seconds)):
            # All who ask say the same, for only one of them is heard.
            raise Trouble(self._down) if self._down else Stopped

    def _back_off(self, asked: float) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._backoff_until:
                return  # another thread has its answer
            wait = max(asked, min(2.0**self._backoffs, LONGEST_SILENCE))
            self._backoffs += 1
            self._backoff_until = self._good_at = now + wait
        self._note_backoff(wait)

    def _note_good(self) -> None:
        with self._lock:
            self._backoffs = 0
            self._good_at = max(self._good_at, time.monotonic())

    def _note_bad(self, trouble: RetryLater) -> None:
        if time.monotonic() - self._good_at > PATIENCE_SECONDS:
            self._down = f"VTEX has given no good answer for a minute ({trouble.why})"
            self.stop()
