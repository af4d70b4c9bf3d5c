"""Stands in for X-Ray's daemon: takes in what functions on this machine send, and hands it out trace by trace.

Functions find it by ``AWS_XRAY_DAEMON_ADDRESS``. The protocol is a datagram for each document, behind a line that
names the format: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from leasegate.tracing import Document, Trace, read_traces

_HEADER: Final = {"format": "json", "version": 1}
_DATAGRAM_BYTES: Final = 65_536
_BUFFER_BYTES: Final = 4 << 20
"""Room for what a batch of calls sends at once; a datagram that finds none is lost."""


class TraceMissing(RuntimeError):
    """A function has sent no trace, or not all of it."""


class Daemon:
    """Listens on loopback; :func:`listening` starts and ends it."""

    def __init__(self, listener: socket.socket) -> None:
        """Hear what comes to a socket that is bound."""
        self._listener = listener
        self._documents: list[Document] = []
        self._news = threading.Condition()

    @property
    def address(self) -> str:
        """The value of ``AWS_XRAY_DAEMON_ADDRESS``."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def listen(self) -> None:
        """Take documents in until the socket is closed."""
        while datagram := self._receive():
            header, _, body = datagram.partition(b"\n")
            if json.loads(header) != _HEADER:
                raise ValueError(f"a datagram of another format: {header!r}")
            with self._news:
                self._documents.append(json.loads(body))
                self._news.notify_all()

    def _receive(self) -> bytes:
        try:
            return self._listener.recv(_DATAGRAM_BYTES)
        except OSError:
            return b""

    def take(self, service: str, timeout_s: float = 10) -> tuple[Trace, Sequence[Document]]:
        """Take out the next trace of a service, once its handler has ended, and the documents it is made of.

        A service is what a function calls itself, by ``POWERTOOLS_SERVICE_NAME``. Its handler's subsegment is the
        last that is sent, so with it all has come. Raises :class:`TraceMissing` after ``timeout_s``.
        """
        deadline = time.monotonic() + timeout_s
        with self._news:
            while (trace_id := self._ended(service)) is None:
                if not self._news.wait(deadline - time.monotonic()):
                    raise TraceMissing(f"{service} has sent no trace within {timeout_s:g} s")
            documents = [document for document in self._documents if document["trace_id"] == trace_id]
            self._documents = [document for document in self._documents if document["trace_id"] != trace_id]
        (trace,) = read_traces(documents)
        return trace, documents

    def collect(self, quiet_s: float = 0.5, timeout_s: float = 10) -> tuple[Trace, ...]:
        """Take out all that has come, once nothing more comes for a while; after ``timeout_s`` in any case."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            while self._news.wait(quiet_s) and time.monotonic() < deadline:
                pass
            documents, self._documents = self._documents, []
        return read_traces(documents)

    def waiting(self) -> Counter[str]:
        """Return how many traces of each service have come, and were not taken out."""
        with self._news:
            return Counter([service for service, _ in self._endings()])

    def _ended(self, service: str) -> str | None:
        return next((trace_id for ended, trace_id in self._endings() if ended == service), None)

    def _endings(self) -> Iterator[tuple[str, str]]:
        """Yield the service and the trace of every handler that has ended."""
        for document in self._documents:
            annotations: Mapping[str, Any] = document.get("annotations", {})
            if "Service" in annotations and "end_time" in document:
                yield annotations["Service"], document["trace_id"]


@contextmanager
def listening() -> Iterator[Daemon]:
    """Listen on a free port of loopback until the block ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        daemon = Daemon(listener)
        thread = threading.Thread(target=daemon.listen, name="xray-daemon")
        thread.start()
        try:
            yield daemon
        finally:
            # An empty datagram: closing a socket does not wake up whoever waits for it.
            listener.sendto(b"", listener.getsockname())
            thread.join()
