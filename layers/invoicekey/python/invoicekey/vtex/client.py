"""VTEX's API, as politely as its limits ask: one client, one rate limit, back-off where it asks.

Timeouts, the rate limit, the second try where a connection was dead, Retry-After, the content type (a missing
permission can come as a login page with 200), the quoting of ids and the secrecy of credentials live here. Nothing is
ever written to an order: what else there is to write (a feed's commits, the configurations of hook and feed) goes
through `Vtex.call`.
"""

import json
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from throttled import RateLimiterType, Throttled, rate_limiter, store

from invoicekey.rules.notification import OrderRef
from invoicekey.rules.order import Order
from invoicekey.runtime.errors import CredentialsRefused, NoTurn, OrderNotFound, OutOfTime, RateLimited, RetryLater
from invoicekey.runtime.release import VERSION
from invoicekey.runtime.secrets import Credentials
from invoicekey.runtime.telemetry import logger
from invoicekey.vtex.connections import FRESH, Connections, StaleConnection

BURST = 10
BATCH_SECONDS = 0.3
"""About so long a checker takes for a batch. The turns of that time may be taken at once, for they would lapse."""
MOST_ACCOUNTS = 10_000
"""So many accounts' turns are remembered; of more, those that were not asked for longest begin anew."""
MOST_BYTES = 5_000_000
CONNECT_SECONDS = 3.0
REQUEST_SECONDS = 10.0
LONGEST_WAIT = 43_000
"""SQS keeps a message out of sight for twelve hours at the most, so no longer wait is honoured."""

_RATE_LIMITED = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)


class RateLimiter:
    """So many requests a minute to each account, so many at once; shared by all threads of an environment.

    With a fast pace more at once: those of BATCH_SECONDS.
    """

    def __init__(self, requests_per_minute: int, burst: int = BURST) -> None:
        self._usual = requests_per_minute
        self._burst = burst
        self._own: dict[str, int] = {}
        self._throttles: dict[int, Throttled] = {}
        self._one_makes = Lock()

    def keep_pace(self, account: str, requests_per_minute: int) -> None:
        """Allow an account so many requests a minute from now on, where that is not what all have."""
        if requests_per_minute != self._own.get(account, self._usual):
            self._own[account] = requests_per_minute

    def acquire(self, account: str, patience: float) -> None:
        """Wait for a turn, or raise NoTurn at once where it would not come within `patience` seconds."""
        throttle = self._throttle(self._own.get(account, self._usual))
        deadline = time.monotonic() + patience
        while (result := throttle.limit(account)).limited:
            wait = result.state.retry_after
            if time.monotonic() + wait > deadline:
                raise NoTurn("the rate limit of VtexRequestsPerMinute allows no more now", wait=wait)
            time.sleep(wait)

    def _throttle(self, requests_per_minute: int) -> Throttled:
        with self._one_makes:
            if requests_per_minute not in self._throttles:
                self._throttles[requests_per_minute] = Throttled(
                    using=RateLimiterType.GCRA.value,
                    quota=rate_limiter.per_min(requests_per_minute, burst=burst_of(requests_per_minute, self._burst)),
                    store=store.MemoryStore(options={"MAX_SIZE": MOST_ACCOUNTS}),
                )
            return self._throttles[requests_per_minute]


def burst_of(requests_per_minute: int, least: int) -> int:
    """Return how many requests a pace allows at once."""
    return max(least, math.ceil(requests_per_minute / 60 * BATCH_SECONDS))


def no_others(_account: str, _refused: Credentials) -> None:
    """Know of no other credentials of an account than those that VTEX refused."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What VTEX answered. The document shows in no text: it may hold secrets, or be about a person."""

    status: int
    document: Any = field(default=None, repr=False)
    """The body's JSON; None where it holds none."""


class Vtex:
    """Asks VTEX, one question a call; `at_once` threads may do so side by side."""

    def __init__(
        self,
        base_url: str,
        credentials: Callable[[str], Credentials],
        limiter: RateLimiter,
        default_backoff: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        *,
        after_refusal: Callable[[str, Credentials], Credentials | None] = no_others,
        version: str = VERSION,
        at_once: int = BURST,
    ) -> None:
        """Put it together; `after_refusal` returns others that are tried before a refusal counts, or None."""
        self._base_url = base_url
        self._credentials = credentials
        self._after_refusal = after_refusal
        self._limiter = limiter
        self._default_backoff = default_backoff
        self._http = httpx.Client(
            transport=transport or Connections(at_once, clock=_now),
            trust_env=False,
            follow_redirects=False,
            headers={"Accept": "application/json", "User-Agent": f"invoicekey/{version}"},
        )
        self.answers: deque[tuple[str, float]] = deque(maxlen=1000)
        """What came of each call that was sent, and after how many seconds: status or `no_answer`; for the metrics.

        A try on a dead connection is none of VTEX's: of two tries the second one counts, where there is one.
        """
        self._backoff_until: dict[str, float] = {}
        self._unshared: dict[str, float] = {}

    def read_order(self, ref: OrderRef, time_left: float, patience: float = math.inf) -> Order:
        """Read an order (GET /api/oms/pvt/orders/{orderId}) within `time_left` seconds.

        For a turn of the account's rate limit it is waited `patience` seconds at the most.

        Raises OrderNotFound for a 404, CredentialsRefused for 401, 403 and missing credentials, OutOfTime where the
        rate limit leaves no room, RateLimited for 429 and 503 and until their wait is over, and RetryLater for whatever
        else is not a 200 with this order in it.
        """
        path = "/api/oms/pvt/orders/" + quote(ref.order_id, safe="")
        answer = self.call(
            ref.account, "GET", path, time_left=time_left, expects={httpx.codes.NOT_FOUND}, patience=patience
        )
        if answer.status == httpx.codes.NOT_FOUND:
            raise OrderNotFound
        if not isinstance(answer.document, dict) or answer.document.get("orderId") != ref.order_id:
            raise RetryLater("VTEX answered 200 without this order in it")
        return Order.model_validate(answer.document, by_name=False)

    def call(
        self,
        account: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        time_left: float,
        expects: Collection[int] = (),
        patience: float = math.inf,
    ) -> Answer:
        """Ask, within `time_left` seconds. The path's parts are quoted already; the query is quoted here.

        Returns what was asked for: of a GET a 200 with JSON, of anything else a 2xx that is no page. The statuses in
        `expects` are returned too, without a document, such as a 404 that means something to the caller.

        Raises CredentialsRefused for 401, 403 and missing credentials, OutOfTime where the rate limit leaves no room,
        RateLimited for 429 and 503 and until their wait is over, and RetryLater for whatever else came.
        """
        deadline = time.monotonic() + time_left
        self._respect_backoff(account)
        url = self._base_url.replace("{account}", account) + path
        url = f"{url}?{urlencode(query, quote_via=quote)}" if query else url
        content, headers = None, dict[str, str]()
        if body is not None:
            content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}

        def ask(credentials: Credentials) -> Answer:
            own = {"X-VTEX-API-AppKey": credentials.app_key, "X-VTEX-API-AppToken": credentials.app_token}
            request = self._http.build_request(method, url, headers=own | headers, content=content)
            response = self._ask(account, request, deadline, patience)
            try:
                return _answer_in(response, method, expects)
            except RateLimited as asked:
                asked.wait = self._default_backoff if asked.wait is None else asked.wait
                self.back_off(account, until=_now() + asked.wait)
                self._unshared[account] = self._backoff_until[account]
                raise

        credentials = self._credentials(account)
        try:
            return ask(credentials)
        except CredentialsRefused:
            if (others := self._after_refusal(account, credentials)) is None:
                raise
        logger.info("VTEX refused credentials that had been changed; the others are tried", extra={"account": account})
        return ask(others)

    def keep_pace(self, account: str, requests_per_minute: int) -> None:
        """Ask an account so many times a minute at the most from now on."""
        self._limiter.keep_pace(account, requests_per_minute)

    def back_off(self, account: str, until: float) -> None:
        """Read nothing of the account until then (seconds since 1970)."""
        self._backoff_until[account] = max(until, self._backoff_until.get(account, 0.0))

    def take_new_backoffs(self) -> dict[str, float]:
        """Return, once, what VTEX asked for since the last call: until when nothing of an account may be read."""
        new: dict[str, float] = {}
        while self._unshared:  # one by one, for other threads may add to them
            account, until = self._unshared.popitem()
            new[account] = until
        return new

    def _respect_backoff(self, account: str) -> None:
        left = self._backoff_until.get(account, 0.0) - _now()
        if left > 0:
            raise RateLimited("VTEX asked for a back-off a while ago", wait=left)

    def _ask(self, account: str, request: httpx.Request, deadline: float, patience: float) -> httpx.Response:
        """Ask in a turn of the rate limit; a GET once more, on a fresh connection, where one that was kept failed.

        Where the connection was dead, VTEX never heard of the first try; but nobody can tell. So what writes is not
        repeated, and the second try takes a turn of its own, and no more time than is left.
        """
        seconds = self._turn(account, deadline, patience)
        began = time.monotonic()
        try:
            return self._send(request, seconds)
        except StaleConnection as stale:
            tried = "no_answer", time.monotonic() - began
            if request.method != "GET":
                self.answers.append(tried)
                raise RetryLater(f"VTEX gave no answer: {stale} on a kept connection") from None
            try:
                seconds = self._turn(account, deadline, patience)
            except RetryLater:
                self.answers.append(tried)
                raise
        logger.info("a kept connection was dead; VTEX is asked once more", extra={"account": account})
        return self._send(request, seconds, fresh=True)

    def _turn(self, account: str, deadline: float, patience: float) -> float:
        """Wait for a turn of the rate limit, and return how many seconds a request may take then."""
        self._limiter.acquire(account, min(patience, deadline - time.monotonic() - REQUEST_SECONDS / 2))
        self._respect_backoff(account)
        seconds = min(REQUEST_SECONDS, deadline - time.monotonic())
        if seconds <= 0:
            raise OutOfTime("no time is left to ask VTEX")
        return seconds

    def _send(self, request: httpx.Request, seconds: float, *, fresh: bool = False) -> httpx.Response:
        timeout = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
        request.extensions = {"timeout": timeout.as_dict(), FRESH: fresh}
        began = time.monotonic()
        try:
            with closing(self._http.send(request, stream=True)) as response:
                read = _read_body(response, began + seconds)
        except StaleConnection:
            raise  # what comes of the call is not decided yet
        except (httpx.HTTPError, RetryLater) as error:
            self.answers.append(("no_answer", time.monotonic() - began))
            if isinstance(error, RetryLater):
                raise
            raise RetryLater(f"VTEX gave no answer: {type(error).__name__}") from None
        self.answers.append((str(response.status_code), time.monotonic() - began))
        return httpx.Response(
            response.status_code,
            headers=[(k, v) for k, v in response.headers.raw if k.lower() in (b"content-type", b"retry-after")],
            content=read,
        )


def _now() -> float:
    """Return the seconds since 1970: the one clock that goes on while a function is frozen."""
    return time.time()


def _read_body(response: httpx.Response, deadline: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            raise RetryLater("VTEX sent a body over 5 MB")
        if time.monotonic() > deadline:
            raise RetryLater("VTEX took too long to answer")
    return bytes(body)


def _answer_in(response: httpx.Response, method: str, expects: Collection[int]) -> Answer:
    """Return what the caller asked for, or raise what the answer means."""
    status = response.status_code
    if status in expects:
        return Answer(status)
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise CredentialsRefused(f"VTEX answered {status}")
    if not (status == httpx.codes.OK if method == "GET" else response.is_success):
        kind = RateLimited if status in _RATE_LIMITED else RetryLater
        raise kind(f"VTEX answered {status}", wait=retry_after(response.headers.get("retry-after")))
    content_type = response.headers.get("content-type", "").casefold()
    # Of what is written VTEX documents no answer: it may be empty, or a text.
    if "html" in content_type or (method == "GET" and "json" not in content_type):
        raise RetryLater(f"VTEX answered {status} with something else than JSON, perhaps its login page")
    document, is_json = _json(response.content)
    if method == "GET" and not is_json:
        raise RetryLater(f"VTEX answered {status} with JSON that is none, perhaps cut")
    return Answer(status, document)


def _json(body: bytes) -> tuple[Any, bool]:
    """Return what a body holds, and whether that is JSON; an empty one holds nothing, like null."""
    try:
        return (json.loads(body) if body else None), True
    except (ValueError, RecursionError):
        return None, False


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks for, as a number or as a date; None where it says neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), LONGEST_WAIT))
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return min(max((date - (now or datetime.now(UTC))).total_seconds(), 0.0), LONGEST_WAIT)
