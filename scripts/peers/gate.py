"""The way to the table, and at its gate somebody who sees every request and reply, and may take their time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import perf_counter  # by name: of all clocks, nobody replaces this one
from typing import Final, NamedTuple
from urllib.parse import urlsplit

IDLE_MAX_S: Final = 5.0
"""How long a connection onward is kept that nobody uses; DynamoDB Local ends it after half a minute."""


class Request(NamedTuple):
    """A call of DynamoDB's API as it came."""

    operation: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """What DynamoDB answered."""

    status: int
    headers: dict[str, str]
    body: bytes


type Send = Callable[[Request], Reply]
type Keeper = Callable[[Request, Send], Reply]
"""Sees a request, sends it on, and returns the reply; called on a thread for each connection."""


class Gate(ThreadingHTTPServer):
    """Passes requests on to an endpoint, through its keeper's hands."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, endpoint_url: str, keeper: Keeper) -> None:
        """Listen on a free port of loopback."""
        super().__init__(("127.0.0.1", 0), _Connection)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.keeper = keeper
        self.netloc = urlsplit(endpoint_url).netloc


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one piece
    server: Gate

    def setup(self) -> None:
        super().setup()
        self._onward = HTTPConnection(self.server.netloc)
        self._used_s = perf_counter()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        reply = self.server.keeper(Request(operation, dict(self.headers), body), self._send_on)
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def _send_on(self, request: Request) -> Reply:
        if perf_counter() - self._used_s > IDLE_MAX_S:
            self._onward.close()  # it opens again by itself
        self._onward.request("POST", "/", body=request.body, headers=request.headers)
        reply = self._onward.getresponse()
        answer = Reply(reply.status, dict(reply.getheaders()), reply.read())
        self._used_s = perf_counter()
        return answer

    def finish(self) -> None:
        self._onward.close()
        super().finish()

    def log_message(self, *_message: object) -> None:
        """Say nothing of requests."""


@contextmanager
def gate(endpoint_url: str, keeper: Keeper) -> Iterator[str]:
    """Keep a gate before an endpoint until the block ends; yield the address of the gate."""
    server = Gate(endpoint_url, keeper)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="gate")
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
