"""Connections to VTEX, kept from one request to the next only for as long as they can be trusted.

Lambda drops idle connections while a function is frozen. The monotonic clock, by which httpcore lets them expire,
stands still meanwhile, and nothing is heard of what was dropped: its next use fails, and httpx leaves it at that.
Whether to ask again is for the caller to say, who knows what was asked; known here is that the connection was kept.

Connections are given up together: they lay idle through the same freeze, so one that is dead speaks for the others.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, cast

import httpx

LONGEST_IDLE = 30.0
"""So many seconds of the clock on the wall may connections lie unused; after that they are closed and not tried."""
FRESH = "fresh"
"""A request's extension: true where it is to have a connection on which nothing was asked before."""


class StaleConnection(httpx.TransportError):
    """A connection that was kept from an earlier request failed; maybe it was dead before it was asked."""


@dataclass(slots=True, eq=False)
class _Pool:
    transport: httpx.HTTPTransport
    under_way: int = 0
    """Requests whose answers have not come to their end."""


class Connections(httpx.BaseTransport):
    """What an httpx.Client asks through: `most` connections at once, shared by all threads.

    Raises StaleConnection where one that was kept failed, and for all else what httpx raises.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.time) -> None:
        self._limits = httpx.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=LONGEST_IDLE)
        self._certificates = httpx.create_ssl_context(trust_env=False)  # read once: it takes longer than a request
        self._clock = clock
        self._lock = Lock()
        self._pool = self._new_pool()
        self._given_up: list[_Pool] = []
        self._used_at = clock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and return the answer; its body is still to be read, and the answer to be closed."""
        loan = _Loan(self, self._lend(fresh=bool(request.extensions.get(FRESH))))
        request.extensions = {**request.extensions, "trace": loan.hear}
        try:
            with loan.judged():
                response = loan.pool.transport.handle_request(request)
        except BaseException:
            self.take_back(loan.pool)
            raise
        response.stream = _Body(cast(httpx.SyncByteStream, response.stream), loan)
        return response

    def close(self) -> None:
        """Close the connections; those on which an answer is under way, once it has come."""
        self.give_up(self._pool)

    def give_up(self, pool: _Pool) -> None:
        """Let whoever asks from now on have other connections than this pool's; who asks already goes on."""
        with self._changing():
            if pool is self._pool:
                self._begin_anew()

    def take_back(self, pool: _Pool) -> None:
        """Note that a request on one of the pool's connections has come to its end."""
        with self._changing():
            pool.under_way -= 1
            self._used_at = self._clock()

    def _lend(self, *, fresh: bool) -> _Pool:
        """Choose a request's pool. Of ten threads that begin after a pause the first finds it too old, for them all."""
        with self._changing():
            now = self._clock()
            if not 0 <= now - self._used_at <= LONGEST_IDLE:  # a clock that was set back says nothing of the pause
                self._begin_anew()
            self._used_at = now
            pool = self._pool
            if fresh:
                pool = self._new_pool()
                self._given_up.append(pool)
            pool.under_way += 1
            return pool

    def _begin_anew(self) -> None:
        self._given_up.append(self._pool)
        self._pool = self._new_pool()

    def _new_pool(self) -> _Pool:
        return _Pool(httpx.HTTPTransport(verify=self._certificates, trust_env=False, limits=self._limits))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change something, one thread at a time; then close what is given up and has nothing under way."""
        with self._lock:
            yield
            over = [pool for pool in self._given_up if not pool.under_way]
            self._given_up = [pool for pool in self._given_up if pool.under_way]
        for pool in over:
            pool.transport.close()


class _Loan:
    """One request's use of a pool."""

    def __init__(self, connections: Connections, pool: _Pool) -> None:
        self._connections = connections
        self.pool = pool
        self._is_kept = True

    def hear(self, event: str, _details: dict[str, Any]) -> None:
        """Hear what httpcore tells of the request: it opens a connection only where it has none to use again."""
        if event == "connection.connect_tcp.started":
            self._is_kept = False

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Give up the pool where a kept connection fails, and raise StaleConnection."""
        try:
            yield
        except (httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError) as error:
            if not self._is_kept:
                raise
            self._connections.give_up(self.pool)
            raise StaleConnection(type(error).__name__) from error

    def end(self) -> None:
        """Give the connection back."""
        self._connections.take_back(self.pool)


class _Body(httpx.SyncByteStream):
    """An answer's body, read on a connection that is lent until it is closed."""

    def __init__(self, body: httpx.SyncByteStream, loan: _Loan) -> None:
        self._body = body
        self._loan = loan
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        with self._loan.judged():
            yield from self._body

    def close(self) -> None:
        try:
            self._body.close()
        finally:
            if self._is_open:
                self._is_open = False
                self._loan.end()
