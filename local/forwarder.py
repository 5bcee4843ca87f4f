"""Carries TCP connections from one address to another.

What listens on 127.0.0.1 alone is out of reach for a container on Linux. The forwarder listens for it at the address of
Docker's bridge, which no other machine can reach:

    python -m local.forwarder 172.17.0.1:4566 127.0.0.1:4566
"""

import asyncio
import contextlib
import sys


async def serve(listen: str, target: str) -> None:
    """Forward every connection, until cancelled."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_target, to_target = await asyncio.open_connection(*_address(target))
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, to_target), _copy(from_target, writer))
        to_target.close()
        writer.close()

    server = await asyncio.start_server(forward, *_address(listen))
    async with server:
        await server.serve_forever()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.close()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(*sys.argv[1:]))
