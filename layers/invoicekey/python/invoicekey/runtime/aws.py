"""Clients of AWS' services for the functions: each with its patience, and none that trusts a connection after a freeze.

Nor does one trust an answer that was cut on its way.

Lambda drops idle connections while a function is frozen. What the system has heard of, urllib3 sees before it uses a
connection again; a connection that was dropped unseen costs an attempt, and a pool of them one each, one after the
other. So after a pause, by the clock on the wall, a client begins with new ones.
"""

import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import IncompleteReadError

LONGEST_IDLE = 20.0
"""So many seconds may connections lie unused. Less than lies between two readings of a secret (secrets.py)."""

QUICK = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3, "mode": "standard"})
"""For what is small, and asked beside VTEX."""
PATIENT = Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 3, "mode": "standard"})
"""For pages and batches, in runs that nobody waits for."""
CONNECTIONS = 10
"""That a client has unless told, one a thread."""


def _now() -> float:
    return time.time()


def client(service: str, patience: Config, clock: Callable[[], float] = _now, *, connections: int = CONNECTIONS) -> Any:
    """Make a client; any number of threads may share it, so many of them at once without a wait."""
    config = patience.merge(Config(max_pool_connections=connections))
    made: Any = boto3.client(service, config=config)  # type: ignore[call-overload]
    pause = _Pause(made, clock)
    made.meta.events.register("before-send", pause.end)
    made.meta.events.register("before-parse", _expect_whole)
    return made


def _expect_whole(response_dict: Mapping[str, Any], **_: object) -> None:
    """Raise IncompleteReadError where an answer's end is missing: botocore takes half a document for an empty one."""
    length, body = response_dict["headers"].get("Content-Length"), response_dict["body"]
    if length is not None and isinstance(body, bytes) and len(body) != int(length):
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=length)


class _Pause:
    """Closes what connections a client has left when it is used for the first time in a while."""

    def __init__(self, client: Any, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._lock = Lock()
        self._used_at = clock()

    def end(self, **_: object) -> None:
        """Learn that a request is about to be sent, before it has its connection.

        Of ten threads that begin side by side, the first closes for all. Whoever is being answered goes on: to close a
        client is to forget its idle connections (urllib3's PoolManager.clear), and it makes new ones when it is asked.
        """
        with self._lock:
            now = self._clock()
            if not 0 <= now - self._used_at <= LONGEST_IDLE:
                self._client.close()
            self._used_at = now
