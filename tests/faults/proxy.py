"""Stands before an emulator that never fails, and lets go wrong what does on the way to DynamoDB."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import urllib3

from tests.faults.answers import Answer, answer, bad_checksum, refusal
from tests.faults.faults import Dice, Fault

SLOW_S: Final = 0.02
"""How long a slow answer takes besides."""


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on to an endpoint of DynamoDB, but for what the dice let go wrong."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, endpoint_url: str, dice: Dice) -> None:
        """Listen on a free port of loopback."""
        super().__init__(("127.0.0.1", 0), _Requests)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.dice = dice
        self.closing = threading.Event()
        self._endpoint_url = endpoint_url
        self._pool = urllib3.PoolManager(maxsize=64, retries=False)

    def pass_on(self, headers: dict[str, str], body: bytes) -> Answer:
        """Let DynamoDB answer."""
        reply = self._pool.request("POST", self._endpoint_url, body=body, headers=headers)
        return Answer(
            reply.status, {name: x for name, x in reply.headers.items() if name.lower()[:5] == "x-amz"}, reply.data
        )

    def close(self) -> None:
        """Let whoever waits go, and end."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._pool.clear()


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one piece
    server: FaultyProxy

    def do_POST(self) -> None:
        """Answer a call of DynamoDB's API."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        fault = self.server.dice.draw(operation)
        if fault is not None and fault.is_before:
            self._fail_before(fault, operation, body)
        elif fault is Fault.UNPROCESSED:
            self._send(self._answer_some(json.loads(body)))
        else:
            self._deliver(fault, operation, self._pass_on(body))

    def _pass_on(self, body: bytes) -> Answer:
        return self.server.pass_on({**self.headers, "Content-Length": str(len(body))}, body)

    def _fail_before(self, fault: Fault, operation: str, body: bytes) -> None:
        match fault:
            case Fault.LOST_REQUEST:
                self._hang_up()
            case Fault.RESET_REQUEST:
                self._reset()
            case Fault.HUNG_REQUEST:
                self._wait_until_given_up()
            case Fault.LATE_REQUEST:
                self._wait_until_given_up()
                self._pass_on(body)
            case _:
                self._send(refusal(fault, operation, json.loads(body)))

    def _deliver(self, fault: Fault | None, operation: str, given: Answer) -> None:
        match fault:
            case Fault.LOST_REPLY:
                self._hang_up()
            case Fault.RESET_REPLY:
                self._reset()
            case Fault.HUNG_REPLY:
                self._wait_until_given_up()
            case Fault.FAILED_LATE:
                self._send(refusal(fault, operation, {}))
            case Fault.BAD_CHECKSUM:
                self._send(bad_checksum(given))
            case Fault.CUT_BODY:
                self._send(given, cut=True)
            case Fault.BROKEN_BODY:
                self._send(Answer(given.status, given.headers, given.body[: len(given.body) // 2]))
            case Fault.SLOW:
                time.sleep(SLOW_S)
                self._send(given)
            case _:
                self._send(given)

    def _answer_some(self, request: dict[str, Any]) -> Answer:
        """Let DynamoDB answer only some keys of a batch, perhaps none."""
        ((table, asked),) = request["RequestItems"].items()
        left_out = set(self.server.dice.choose(len(asked["Keys"])))
        keys: dict[bool, list[Any]] = {True: [], False: []}
        for place, key in enumerate(asked["Keys"]):
            keys[place in left_out].append(key)
        content: dict[str, Any] = {"Responses": {table: []}}
        if keys[False]:
            some = {**request, "RequestItems": {table: {**asked, "Keys": keys[False]}}}
            given = self._pass_on(json.dumps(some).encode())
            if given.status != 200:
                return given
            content = json.loads(given.body)
        return answer(200, {**content, "UnprocessedKeys": {table: {**asked, "Keys": keys[True]}}})

    # --- the connection ------------------------------------------------------------------------------

    def _send(self, given: Answer, *, cut: bool = False) -> None:
        self.send_response(given.status)
        for name, value in given.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(given.body)))
        self.end_headers()
        self.wfile.write(given.body[: len(given.body) // 2] if cut else given.body)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        self.close_connection = True

    def _wait_until_given_up(self) -> None:
        while not self.server.closing.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.05)
            if readable:  # the end of the connection: a client sends nothing while it waits
                break
        self._hang_up()

    def handle(self) -> None:
        """Answer one request after the other; a client that goes away is none of this server's troubles."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def finish(self) -> None:
        """Close what is still open."""
        with suppress(OSError):  # the client has gone, or the connection was reset
            super().finish()

    def log_message(self, *_message: object) -> None:
        """Say nothing of requests."""


@contextmanager
def faulty(endpoint_url: str, dice: Dice | None = None) -> Iterator[FaultyProxy]:
    """Stand before an endpoint until the block ends."""
    proxy = FaultyProxy(endpoint_url, Dice() if dice is None else dice)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), name="faulty proxy")
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
