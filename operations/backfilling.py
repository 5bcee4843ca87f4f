"""All invoiced orders of a period: listed window by window, read at a pace, judged, and nothing written.

Everything that it needs is handed in, so that tests and the benchmark run the very code of the command::

    asking = Asking()
    listed = list_orders(lambda begin, end, number: orders.page("luxstore", begin, end, number, SECONDS), ...)
    for found in Reading(judge, Load(600, vtex.answers), asking).run(order_ids):
        ...
"""

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from invoicekey import record
from invoicekey.errors import CredentialsRefused, OrderNotFound, OutOfTime, SilenceAsked, TryAgainLater
from invoicekey.order_list import MOST_ROWS, ROWS_A_PAGE, OrderPage, OrderRow
from invoicekey.verdict import Code, Outcome, Problem
from operations.deployment import Trouble
from operations.judging import Judged, digest_of

MOST_AT_ONCE = 64
SECONDS = 12.0
"""Of one question to VTEX: a little patience for its turn, and the request. Who waits longer waits interruptibly."""
NARROWEST = timedelta(minutes=1)
OVERLAP = timedelta(seconds=1)
"""Windows overlap: where the edges were equal, what was invoiced between two milliseconds would be lost."""
TRIES = 5
PATIENCE_SECONDS = 60.0
"""So long VTEX may give no good answer at all before the run is ended; it can go on later."""
LONGEST_SILENCE = 60.0
"""Silence grows up to here where VTEX asks for it again and again, and is longer where VTEX says so."""
NOT_FOUND, UNREAD = "not_found", "unread"


class Stopped(Exception):
    """The run is being ended; whoever waits is to wait no longer."""


class Asking:
    """Asks VTEX from several threads, politely.

    Keeps the silence that it asks for, tries again what failed for a moment, and raises Trouble where it stays down.
    """

    def __init__(self, tell_silence: Callable[[float], object] = lambda _: None) -> None:
        self._tell_silence = tell_silence
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._silent_until = self._good_at = time.monotonic()
        self._silences = 0

    def stop(self) -> None:
        """End all waiting: what is asked from now on raises Stopped."""
        self._stopped.set()

    def ask[T](self, question: Callable[[], T]) -> T:
        """Ask until there is an answer.

        Raises OrderNotFound and CredentialsRefused as they come, TryAgainLater after five tries, and Trouble where VTEX
        gave nobody a good answer for a minute.
        """
        tries = 0
        while True:
            self._pause(self._silent_until - time.monotonic())
            try:
                answer = question()
            except (OrderNotFound, CredentialsRefused):
                self._note_good()
                raise
            except SilenceAsked as asked:
                self._be_silent(asked.wait or 0.0)
            except OutOfTime as trouble:
                self._pause(max(0.1, trouble.wait or 1.0))
            except TryAgainLater as trouble:
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
            raise Stopped

    def _be_silent(self, asked: float) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._silent_until:
                return  # another thread has heard it
            wait = max(asked, min(2.0**self._silences, LONGEST_SILENCE))
            self._silences += 1
            self._silent_until = self._good_at = now + wait
        self._tell_silence(wait)

    def _note_good(self) -> None:
        with self._lock:
            self._silences = 0
            self._good_at = max(self._good_at, time.monotonic())

    def _note_bad(self, trouble: TryAgainLater) -> None:
        if time.monotonic() - self._good_at > PATIENCE_SECONDS:
            self.stop()
            raise Trouble(f"VTEX has given no good answer for a minute ({trouble.why})")


# ---- Which orders there are


@dataclass(frozen=True, slots=True)
class Listed:
    """The orders of a period, each once."""

    rows: tuple[OrderRow, ...]
    unlisted: int
    """How many VTEX counted and did not show."""


@dataclass(frozen=True, slots=True)
class _Window:
    begin: datetime
    end: datetime
    first: OrderPage

    @property
    def pages(self) -> int:
        return math.ceil(min(self.first.total, MOST_ROWS) / ROWS_A_PAGE)


type Page = Callable[[datetime, datetime, int], OrderPage]


def list_orders(
    page: Page, begin: datetime, end: datetime, pool: ThreadPoolExecutor, tell: Callable[[int], object] = lambda _: None
) -> Listed:
    """List all orders between two times, both counted in; periods of more than 3,000 orders are halved.

    `tell` hears how many rows there are so far.
    """
    windows = list(_windows(page, begin, end))
    rows: dict[str, OrderRow] = {}
    shown = Counts()

    def take(read: OrderPage) -> None:
        rows.update({row.order_id: row for row in read.rows if row.order_id not in rows})
        shown.rows += len(read.rows)
        tell(len(rows))

    for window in windows:
        take(window.first)
    others = [(window, number) for window in windows for number in range(2, window.pages + 1)]
    for read in pool.map(lambda other: page(other[0].begin, other[0].end, other[1]), others):
        take(read)
    counted = sum(window.first.total for window in windows)
    return Listed(tuple(rows.values()), unlisted=max(0, counted - shown.rows))


@dataclass(slots=True)
class Counts:
    """Rows that were shown, with those that several windows share."""

    rows: int = 0


def _windows(page: Page, begin: datetime, end: datetime) -> Iterator[_Window]:
    first = page(begin, end, 1)
    if first.total <= MOST_ROWS or end - begin <= NARROWEST:
        yield _Window(begin, end, first)
        return
    middle = begin + (end - begin) / 2
    yield from _windows(page, begin, middle)
    yield from _windows(page, middle - OVERLAP, end)


# ---- What is thought of them


@dataclass(frozen=True, slots=True)
class FoundProblem:
    """An error of an order, fit to be shown and kept."""

    code: str
    invoice_number: str | None
    suggested_key: str | None
    suggested_from: str | None
    reused_in: str | None

    @classmethod
    def of(cls, problem: Problem, order_id: str) -> "FoundProblem":
        """Take of a problem what is listed."""
        suggestion = problem.suggestion
        return cls(
            problem.code,
            record.shown(problem.invoice_number),
            suggestion.key if suggestion else None,
            suggestion.source if suggestion else None,
            (problem.reused_in or order_id) if problem.code is Code.REUSED else None,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What an order came to: an outcome of the judgement, not_found, or unread."""

    order_id: str
    outcome: str
    errors: tuple[FoundProblem, ...] = ()
    digests: tuple[str, ...] = ()
    """Of the keys that it owns, so that a run that goes on knows them."""
    why: str | None = None
    """Why it could not be read."""

    @classmethod
    def of(cls, judged: Judged) -> "Found":
        """Take of a judgement what is listed."""
        verdict, order_id = judged.verdict, judged.ref.order_id
        errors = verdict.errors if judged.is_failing else ()
        return cls(
            order_id,
            verdict.outcome,
            tuple(FoundProblem.of(error, order_id) for error in errors),
            tuple(map(digest_of, verdict.own_keys)),
        )

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> "Found":
        """Return what asdict wrote as JSON."""
        errors = tuple(FoundProblem(**error) for error in kept["errors"])
        return cls(**{**kept, "errors": errors, "digests": tuple(kept["digests"])})

    @property
    def is_failing(self) -> bool:
        """Say whether it is failing."""
        return self.outcome == Outcome.FAILING


class Load:
    """How many questions to have under way: as many as the pace and VTEX's latency need (Little's law)."""

    def __init__(self, requests_per_minute: int, answers: deque[tuple[str, float]]) -> None:
        self._a_second = requests_per_minute / 60
        self._answers = answers
        self._latency = 0.5

    def at_once(self) -> int:
        """Return it, as VTEX answered of late. Half as many again, and one, are there to take their turn at once."""
        while self._answers:
            _, seconds = self._answers.popleft()
            self._latency += (seconds - self._latency) / 20
        return min(MOST_AT_ONCE, math.ceil(1.5 * self._latency * self._a_second) + 1)


class Reading:
    """Reads and judges orders side by side."""

    def __init__(self, judge: Callable[[str], Judged], load: Load, asking: Asking) -> None:
        self._judge = judge
        self._load = load
        self._asking = asking

    def run(self, order_ids: Iterable[str], pool: ThreadPoolExecutor) -> Iterator[Found]:
        """Yield what each order came to, as soon as it did. Raises CredentialsRefused and Trouble, which end it."""
        under_way: set[Future[Found]] = set()
        try:
            for order_id in order_ids:
                while len(under_way) >= self._load.at_once():
                    ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in ended)
                under_way.add(pool.submit(self._one, order_id))
            while under_way:
                ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        finally:
            for future in under_way:
                future.cancel()

    def _one(self, order_id: str) -> Found:
        try:
            return Found.of(self._judge(order_id))
        except OrderNotFound:
            return Found(order_id, NOT_FOUND)
        except CredentialsRefused:
            raise
        except TryAgainLater as trouble:
            return Found(order_id, UNREAD, why=trouble.why)
