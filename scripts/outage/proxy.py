"""A way to the table that can be made dead: refusing connections, dropping them, or hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

from scripts.loops import running_loop

type Trouble = Literal["refusing", "dropping", "hanging"]


@contextmanager
def proxy(endpoint_url: str) -> Iterator[Proxy]:
    """Lead to an endpoint from a free port of loopback, by a thread of its own."""
    url = urlsplit(endpoint_url)
    assert url.hostname is not None
    assert url.port is not None
    with running_loop("proxy") as loop:
        way = Proxy(loop, url.hostname, url.port)
        try:
            way.repair()
            yield way
        finally:
            way.end()


class Proxy:
    """Passes bytes on between its callers and one server, or treats them as a dead one would."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        """Lead to a server; nobody is let in before it is repaired once."""
        self._loop = loop
        self._host = host
        self._port = port
        self._own_port = 0
        self._server: asyncio.Server | None = None
        self._trouble: Trouble | None = None
        self._connections: set[_Connection] = set()

    @property
    def endpoint_url(self) -> str:
        """Where callers find it."""
        return f"http://127.0.0.1:{self._own_port}"

    def break_off(self, trouble: Trouble) -> None:
        """Let no answer through any more, of connections that are open or come.

        ``refusing``: nobody listens. ``hanging``: whatever is sent is lost, and nobody says so. ``dropping``:
        every connection ends as soon as it begins.
        """
        self._run(self._break_off(trouble))

    def repair(self) -> None:
        """Pass on what comes from now on; what was lost stays lost."""
        self._run(self._repair())

    def end(self) -> None:
        """End all connections, and listen no more."""
        self._run(self._break_off("refusing"))
        self._run(self._settle())

    def _run(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()  # type: ignore[arg-type] # coroutines, all of them

    async def _break_off(self, trouble: Trouble) -> None:
        self._trouble = trouble
        for connection in self._connections:
            connection.is_dead = True
            if trouble != "hanging":
                connection.abort()
        if trouble == "refusing":
            self._close()
        else:
            await self._open()

    async def _repair(self) -> None:
        self._trouble = None
        await self._open()

    async def _settle(self) -> None:
        while self._connections:
            await asyncio.sleep(0.01)

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._own_port)
            self._own_port = self._server.sockets[0].getsockname()[1]

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer)
        connection.is_dead = self._trouble is not None
        self._connections.add(connection)
        try:
            if self._trouble in (None, "hanging"):
                await connection.serve(self._host, self._port)
        finally:
            connection.abort()
            self._connections.discard(connection)


class _Connection:
    """One caller's connection, and that to the server on its behalf."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_dead = False
        self._reader = reader
        self._writers = [writer]

    async def serve(self, host: str, port: int) -> None:
        with suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection(host, port)
            self._writers.append(there_writer)
            await asyncio.gather(
                self._pass_on(self._reader, there_writer), self._pass_on(there_reader, self._writers[0])
            )

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            if not self.is_dead:
                writer.write(piece)
        for each in self._writers:
            each.close()

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
