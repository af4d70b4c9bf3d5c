"""Lambda's side of the Runtime API: gives a runtime its invocations, one after the other, and takes their results.

On the other side is AWS's own code, the runtime interface client ``awslambdaric``. The protocol:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import queue
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_PREFIX: Final = "/2018-06-01/runtime/"
_POLL_S: Final = 0.05

type Event = Any
"""What a function is invoked with, as JSON."""


class InvocationFailed(AssertionError):
    """A function raised, did not start, or gave no answer."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """An event for a function, and the trace in which it is to work."""

    event: Event
    function_arn: str
    timeout_ms: int
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace_id: str = field(default_factory=lambda: f"1-{int(time.time()):08x}-{secrets.token_hex(12)}")
    parent_id: str = field(default_factory=lambda: secrets.token_hex(8))
    """The segment of the function, which on AWS Lambda itself sends."""

    def headers(self) -> dict[str, str]:
        """Return what the runtime is told beside the event."""
        return {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1_000) + self.timeout_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
            "Lambda-Runtime-Trace-Id": f"Root={self.trace_id};Parent={self.parent_id};Sampled=1",
        }


@dataclass(frozen=True, slots=True)
class Result:
    """What a runtime said of an invocation, or of its own start; ``kind`` is the last part of the path."""

    kind: str
    body: Any


class RuntimeApi(ThreadingHTTPServer):
    """Serves one runtime on a free port of loopback."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen, with nothing to do yet."""
        super().__init__(("127.0.0.1", 0), _Calls)
        self.assignments: queue.Queue[Assignment | None] = queue.Queue()
        self.results: queue.Queue[Result] = queue.Queue()

    @property
    def address(self) -> str:
        """The value of ``AWS_LAMBDA_RUNTIME_API``."""
        return f"127.0.0.1:{self.server_port}"

    def invoke(self, assignment: Assignment, is_alive: Callable[[], bool]) -> Any:  # noqa: ANN401 - a function's JSON
        """Have an event handled, and return the answer; raise :class:`InvocationFailed` where there is none."""
        self.assignments.put(assignment)
        deadline = time.monotonic() + 30
        while is_alive() and time.monotonic() < deadline:
            try:
                result = self.results.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if result.kind == "response":
                return result.body
            raise InvocationFailed(json.dumps(result.body, indent=2))
        raise InvocationFailed("no answer within 30 s" if is_alive() else "the runtime has ended")


class _Calls(BaseHTTPRequestHandler):
    """Answers what a runtime asks."""

    protocol_version = "HTTP/1.1"
    server: RuntimeApi

    def do_GET(self) -> None:
        """Hand out the next event, when there is one."""
        if self.path != f"{_PREFIX}invocation/next":
            self._answer(HTTPStatus.NOT_FOUND, b"{}", {})
        elif assignment := self.server.assignments.get():
            self._answer(HTTPStatus.OK, json.dumps(assignment.event).encode(), assignment.headers())
        else:
            self.close_connection = True  # the runtime has ended

    def do_POST(self) -> None:
        """Take in what became of an event, or of the start."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.results.put(Result(self.path.rsplit("/", 1)[1], json.loads(body)))
        self._answer(HTTPStatus.ACCEPTED, b'{"status": "OK"}', {})

    def _answer(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_message: object) -> None:
        """Say nothing of requests."""


@contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    """Serve the Runtime API until the block ends; the runtime must have ended by then."""
    with RuntimeApi() as api:
        thread = threading.Thread(target=api.serve_forever, args=(_POLL_S,), name="runtime-api")
        thread.start()
        try:
            yield api
        finally:
            api.assignments.put(None)  # whoever still waits for an event
            api.shutdown()
            thread.join()
