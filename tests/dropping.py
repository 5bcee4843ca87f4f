"""A server on this machine whose connections die, as those of a frozen function do.

with DroppingServer() as server:
    client.get(server.url)
    server.forget()  # as a gateway forgets connections: what comes on them now is answered with a reset
    client.get(server.url)
    assert (server.opened, server.answered) == (2, ["GET", "GET"])
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Self

_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)


class Death(Enum):
    """How a connection ends."""

    RESET = auto()
    FIN = auto()


@dataclass(eq=False)
class _Connection:
    writer: asyncio.StreamWriter
    death: Death | None
    """How it dies of its next request; None where that is answered."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def die(self, death: Death) -> None:
        if death is Death.RESET:
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)
        self.writer.transport.abort()


class DroppingServer:
    """Answers every request with 200 and a JSON object, on connections that are kept until it is told otherwise."""

    def __init__(self, body: bytes = b"{}") -> None:
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            len(body),
            body,
        )
        self._connections: list[_Connection] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.url = ""
        self.asked: list[str] = []
        """The methods of all requests, also of those of which a connection died."""
        self.answered: list[str] = []
        self.newborn_die_by: Death | None = None
        """How the connections that are opened from now on die of their first request."""
        self.dies_midway = False
        """Whether a connection that dies does so within the answer, not before it."""
        self.spared = 0
        """So many requests more are answered before any connection dies."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._heard = asyncio.Condition()
        self.meet(1)
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def opened(self) -> int:
        """Return how many connections were ever opened."""
        return len(self._connections)

    def meet(self, number: int) -> None:
        """Let so many requests wait for each other before any is answered."""
        self._do(self._meet(number))

    def forget(self, death: Death = Death.RESET) -> None:
        """Let all connections die of their next request; the client hears nothing of it before."""
        for connection in self._connections:
            connection.death = death

    def close_idle(self, death: Death) -> None:
        """Close all connections now, and return when they are."""
        self._do(self._close_idle(death))

    def wait_until_closed(self, number: int) -> None:
        """Return when the first so many connections have ended."""
        self._do(self._wait_until_closed(number))

    def wait_until_asked(self, number: int) -> None:
        """Return when there were so many requests."""
        self._do(self._wait_until_asked(number))

    def _do[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _meet(self, number: int) -> None:
        self._barrier = asyncio.Barrier(number)

    async def _end(self) -> None:
        self._server.close()
        await self._barrier.abort()
        await self._close_idle(Death.FIN)

    async def _close_idle(self, death: Death) -> None:
        for connection in self._connections:
            connection.die(death)
        await self._wait_until_closed(len(self._connections))

    async def _wait_until_closed(self, number: int) -> None:
        for connection in self._connections[:number]:
            await connection.ended.wait()

    async def _wait_until_asked(self, number: int) -> None:
        async with self._heard:
            await self._heard.wait_for(lambda: len(self.asked) >= number)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer, self.newborn_die_by)
        self._connections.append(connection)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.BrokenBarrierError):
            while True:
                await self._exchange(reader, connection)
        writer.transport.abort()
        connection.ended.set()

    async def _exchange(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = [int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length:")]
        await reader.readexactly(sum(length))
        method = head.split(" ")[0].upper()
        async with self._heard:
            self.asked.append(method)
            self._heard.notify_all()
        if self.spared:
            self.spared -= 1
        elif connection.death:
            if self.dies_midway:
                connection.writer.write(self._answer[:-1])
            connection.die(connection.death)
            raise ConnectionAbortedError
        await self._barrier.wait()
        self.answered.append(method)
        connection.writer.write(self._answer)
        await connection.writer.drain()


@dataclass
class StoppedClock:
    """The time of day, which stands still until a test moves it."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now
