"""Puts a distance between functions and an emulator on the same machine: every answer is held for a while.

Without it calls that are sent side by side may end before their neighbours have begun, and the processor's time is
all that is seen. On AWS the network is in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from scripts.loops import running_loop


@contextmanager
def distance(endpoint_url: str, delay_ms: int) -> Iterator[str]:
    """Lead to an endpoint by a detour: what it sends arrives ``delay_ms`` later. The value is the detour's URL."""
    url = urlsplit(endpoint_url)
    assert url.hostname is not None
    assert url.port is not None
    with running_loop("distance") as loop:
        detour = _Detour(url.hostname, url.port, delay_ms / 1000)
        port = asyncio.run_coroutine_threadsafe(detour.open(), loop).result()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            asyncio.run_coroutine_threadsafe(detour.close(), loop).result()


class _Detour:
    """Passes bytes on between its callers and one server."""

    def __init__(self, host: str, port: int, delay_s: float) -> None:
        self._host = host
        self._port = port
        self._delay_s = delay_s
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """Listen on a free port of loopback and return it."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """End all connections."""
        assert self._server is not None
        self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
            with suppress(ConnectionError):
                await asyncio.gather(
                    _pass_on(reader, there_writer, 0), _pass_on(there_reader, writer, self._delay_s)
                )
            there_writer.close()
        except asyncio.CancelledError:
            pass  # a server complains of connections that are cancelled
        finally:
            writer.close()
            self._connections.discard(task)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Write what is read so much later: all pieces by the same delay, so in their order."""
    loop = asyncio.get_running_loop()
    while piece := await reader.read(65_536):
        loop.call_later(delay_s, writer.write, piece)
    loop.call_later(delay_s, writer.close)
