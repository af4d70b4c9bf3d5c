"""Stands before an emulator that never throttles, and refuses what is too much as DynamoDB does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import urllib3

_THROTTLED: Final = {
    "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "message": "The level of configured provisioned throughput for the table was exceeded.",
}


class Throttle(ThreadingHTTPServer):
    """Passes requests on to an endpoint, but for those that it refuses."""

    daemon_threads = True

    def __init__(self, endpoint_url: str) -> None:
        """Listen on a free port of loopback."""
        super().__init__(("127.0.0.1", 0), _Requests)
        self.endpoint_url = endpoint_url
        self.pool = urllib3.PoolManager()
        self._refusals = 0
        self._lock = threading.Lock()

    def refuse(self, count: int) -> None:
        """Refuse so many requests from now on."""
        with self._lock:
            self._refusals = count

    def refuses(self) -> bool:
        """Say whether the request at hand is one of them."""
        with self._lock:
            self._refusals -= 1
            return self._refusals >= 0


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Throttle

    def do_POST(self) -> None:
        """Answer a call of DynamoDB's API."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refuses():
            status, headers, reply = 400, {}, json.dumps(_THROTTLED).encode()
        else:
            answer = self.server.pool.request(
                "POST", self.server.endpoint_url, body=body, headers=dict(self.headers)
            )
            status, headers, reply = answer.status, dict(answer.headers), answer.data
        self.send_response(status)
        for name, value in headers.items():
            if name.lower().startswith("x-amz"):
                self.send_header(name, value)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_message: object) -> None:
        """Say nothing of requests."""


@contextmanager
def throttling(endpoint_url: str) -> Iterator[Throttle]:
    """Stand before an endpoint until the block ends."""
    with Throttle(endpoint_url) as throttle:
        thread = threading.Thread(target=throttle.serve_forever, args=(0.05,), name="throttle")
        thread.start()
        try:
            yield throttle
        finally:
            throttle.shutdown()
            thread.join()
            throttle.pool.clear()
