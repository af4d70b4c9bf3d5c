"""A server that plays a script: what becomes of each request in turn, over whichever connection it comes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from tests.listeners import hangs_up_within, receive, server

type Play = Callable[[socket.socket], bool]
"""Treats a connection on which a request has arrived; says whether the connection goes on."""

PATIENCE_S: Final = 30.0
"""How long a play waits for a client to give up; it never has to."""

ITEM: Final = {"PK": {"S": "a"}, "SK": {"S": "s"}, "n": {"N": "1"}}
ANSWER: Final = json.dumps({"Attributes": ITEM}).encode()
REFUSAL: Final = json.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": ITEM,
    }
).encode()
CANCELLATION: Final = json.dumps(
    {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": [
            {"Code": "None", "Message": None, "Item": None},
            {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": ITEM},
        ],
    }
).encode()


def message(body: bytes, status: str = "200 OK", *more: str, checksum: int | None = None) -> bytes:
    """Write an answer as DynamoDB does."""
    lines = [
        f"HTTP/1.1 {status}",
        "Server: Server",
        "Date: Mon, 30 Nov 2026 12:00:00 GMT",
        "Content-Type: application/x-amz-json-1.0",
        f"Content-Length: {len(body)}",
        "Connection: keep-alive",
        "x-amzn-RequestId: TR40AI1RT31VG7VP7T0P0N2RUVVV4KQNSO5AEMVJF66Q9ASUAAJG",
        f"x-amz-crc32: {zlib.crc32(body) if checksum is None else checksum}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def error(code: str, status: str = "400 Bad Request") -> bytes:
    """Write an error as DynamoDB does."""
    return message(
        json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "no"}).encode(), status
    )


def sends(answer: bytes, *, ends: bool = False) -> Play:
    """Answer, and go on or hang up: then the end comes in the answer's segment, so nobody sees one without it."""

    def play(connection: socket.socket) -> bool:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, ends)
        connection.sendall(answer)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        return not ends

    return play


def trickles(answer: bytes) -> Play:
    """Answer in small pieces, with pauses."""

    def play(connection: socket.socket) -> bool:
        size = max(1, len(answer) // 20)
        for start in range(0, len(answer), size):
            connection.sendall(answer[start : start + size])
            time.sleep(0.002)
        return True

    return play


def hangs_up(_connection: socket.socket) -> bool:
    return False


def half_closes(connection: socket.socket) -> bool:
    """Say that nothing more will come, and listen on."""
    connection.shutdown(socket.SHUT_WR)
    return not hangs_up_within(connection, PATIENCE_S)


def resets(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())
    return False


def hangs(connection: socket.socket) -> bool:
    return not hangs_up_within(connection, PATIENCE_S)


def chunked(body: bytes, *, ends_well: bool = True) -> bytes:
    """Write an answer in chunks, the last of which may be missing."""
    head = message(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    head = head.replace(b"x-amz-crc32: 0", b"x-amz-crc32: %d" % zlib.crc32(body))
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return head + chunks + (b"0\r\n\r\n" if ends_well else b"1f\r\n")


def last(answer: bytes) -> bytes:
    """Make an answer say that it is the last of its connection."""
    return answer.replace(b"Connection: keep-alive", b"Connection: close")


def without_length(body: bytes) -> bytes:
    """Write an answer that ends with its connection."""
    return message(body).replace(b"Content-Length: %d\r\n" % len(body), b"")


PLAYS: Final[dict[str, Play]] = {
    "a reset": resets,
    "the connection is closed": hangs_up,
    "the connection is closed half": half_closes,
    "silence": hangs,
    "500": sends(error("InternalServerError", "500 Internal Server Error")),
    "500 that goes": sends(last(error("InternalServerError", "500 Internal Server Error")), ends=True),
    "503 with a page": sends(message(b"<html><body>no</body></html>", "503 Service Unavailable")),
    "503 without a body": sends(message(b"", "503 Service Unavailable")),
    "throttled": sends(error("ProvisionedThroughputExceededException")),
    "throttled account": sends(error("ThrottlingException")),
    "a conflict": sends(error("TransactionConflictException")),
    "invalid": sends(error("ValidationException")),
    "denied": sends(error("AccessDeniedException")),
    "expired": sends(error("ExpiredTokenException", "403 Forbidden")),
    "no such table": sends(error("ResourceNotFoundException")),
    "400 with a page": sends(message(b"<html></html>", "400 Bad Request")),
    "400 without a body": sends(message(b"", "400 Bad Request")),
    "400 with a list": sends(message(b"[]", "400 Bad Request")),
    "a redirection": sends(message(b"", "307 Temporary Redirect", "Location: http://127.0.0.1:1/")),
    "a wrong checksum": sends(message(ANSWER, checksum=1)),
    "a refusal with a wrong checksum": sends(message(REFUSAL, "400 Bad Request", checksum=1)),
    "a body cut off": sends(message(ANSWER)[:-20], ends=True),
    "a body cut off, and silence": lambda connection: (
        sends(message(ANSWER)[:-20])(connection) and hangs(connection)
    ),
    "a refusal cut off": sends(message(REFUSAL, "400 Bad Request")[:-20], ends=True),
    "a head cut off": sends(message(ANSWER)[:60], ends=True),
    "a status line cut off": sends(b"HTTP/1.1 2", ends=True),
    "half a body that is called whole": sends(message(ANSWER[:20], checksum=zlib.crc32(ANSWER))),
    "a body that is no JSON": sends(message(b"yes")),
    "a body of nothing": sends(message(b"")),
    "a body with more after it": sends(message(ANSWER + b" x")),
    "something else": sends(b"SSH-2.0-OpenSSH_9.2\r\n", ends=True),
    "chunks": sends(chunked(ANSWER)),
    "chunks that end badly": sends(chunked(ANSWER, ends_well=False), ends=True),
    "no length": sends(without_length(ANSWER), ends=True),
    "a length that is none": sends(message(ANSWER).replace(b"Content-Length: ", b"Content-Length: x"), ends=True),
    "a word before": sends(b"HTTP/1.1 100 Continue\r\n\r\n" + message(ANSWER)),
    "HTTP/1.0": sends(message(ANSWER).replace(b"HTTP/1.1", b"HTTP/1.0"), ends=True),
    "201": sends(message(ANSWER, "201 Created")),
    "small pieces": trickles(message(ANSWER)),
    "a refusal in small pieces": trickles(message(REFUSAL, "400 Bad Request")),
    "a refusal": sends(message(REFUSAL, "400 Bad Request")),
    "a cancellation": sends(message(CANCELLATION, "400 Bad Request")),
    "the last of its connection": sends(last(message(ANSWER)), ends=True),
    "well": sends(message(ANSWER)),
}
"""What may become of a request, by name."""


class Stage:
    """Plays a script to whoever comes, the last play again and again, and counts."""

    def __init__(self) -> None:
        """Begin with an empty script: everything goes well."""
        self._lock = threading.Lock()
        self._script: list[Play] = []
        self._open: set[socket.socket] = set()
        self.requests = 0
        self.connections = 0
        self.last_request = b""

    def set(self, *plays: Play) -> None:
        """Begin a script, and count anew."""
        with self._lock:
            self._script = list(plays)
            self.requests = self.connections = 0

    def serve(self, connection: socket.socket) -> None:
        """Treat one connection."""
        with self._lock:
            self.connections += 1
            self._open.add(connection)
        while request := receive(connection):
            with self._lock:
                self.requests += 1
                self.last_request = request
                play = self._script.pop(0) if self._script else PLAYS["well"]
            if not play(connection):
                return

    def end(self) -> None:
        """Hang up on whoever is still there: urllib3 leaves some connections to the garbage collector."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def playing(stage: Stage) -> Iterator[str]:
    """Serve a stage; the value is its endpoint."""
    with server(stage.serve) as endpoint:
        yield endpoint
        stage.end()
