"""Connections that are kept, and one request and its answer over them.

They are opened by botocore's own pool, so TLS, its verification, time-outs and socket options are as there; from
then on HTTP is spoken here, as far as it is the plain case. Any other answer is left to ``http.client`` to make
out.
"""

from __future__ import annotations

import select
import weakref
from collections import deque
from http.client import RemoteDisconnected
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

from ..deadlines import waiting

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..deadlines import Deadline

_RECEIVED_AT_ONCE_BYTES: Final = 16_384
_HEAD_MAX_BYTES: Final = 65_536
_BLANK_LINE: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length: "
_CHECKSUM: Final = b"\r\nx-amz-crc32: "
# Looked for by `find`: `in` first takes each for a number, in vain, at five times the cost.
_CODING: Final = b"\r\ntransfer-encoding:"
_LAST: Final = b"\r\nconnection: close"
_PLAIN: Final = (b"HTTP/1.1 200", b"HTTP/1.1 400")


class Answer(NamedTuple):
    """A plain answer: status 200 or 400, of a known length, undamaged.

    ``head`` is all before the blank line, and in ``lowered`` it is in lower case.
    """

    status: int
    head: bytes
    lowered: bytes
    content: bytes


class Unusual(Exception):
    """An answer that is not plain, or is cut off; ``received`` has what came of it, ``connection`` the rest."""

    def __init__(self, received: bytes, connection: Connection) -> None:
        """Keep what was received."""
        super().__init__("the answer is not plain")
        self.received = received
        self.connection = connection


class Connection:
    """A connection to DynamoDB, for one request at a time."""

    __slots__ = ("_opened", "_patience_s", "_poll", "_timeout_s", "sock")

    def __init__(self, opened: Any, patience_s: float | None) -> None:  # noqa: ANN401 - urllib3's
        """Use a connection that urllib3 has opened; ``patience_s`` is the longest wait for the network."""
        self._opened = opened
        self.sock: socket.socket = opened.sock
        self._patience_s = patience_s
        self._timeout_s: float | None = patience_s
        self.sock.settimeout(patience_s)
        self._poll = select.poll()
        self._poll.register(self.sock, select.POLLIN)

    def is_alive(self) -> bool:
        """Say whether the other side has neither closed it nor said anything unasked."""
        return not self._poll.poll(0)

    def exchange(self, message: bytes) -> Answer:
        """Send a request and return its answer.

        Raises :class:`Unusual`, or ``OSError`` where no answer came at all; then the connection is of no more use.
        """
        due = waiting.due
        is_short = self._bound(due)
        self.sock.sendall(message)
        data = self._receive(due) if is_short else self.sock.recv(_RECEIVED_AT_ONCE_BYTES)
        if not data:
            raise RemoteDisconnected("the other side closed the connection without an answer")
        head, blank, content = data.partition(_BLANK_LINE)
        while not blank:
            more = self._receive(due)
            data += more
            if not more or len(data) > _HEAD_MAX_BYTES:
                raise Unusual(data, self)
            head, blank, content = data.partition(_BLANK_LINE)
        lowered = head.lower()
        length = _number_after(_LENGTH, lowered)
        if length is None or not head.startswith(_PLAIN) or lowered.find(_CODING) >= 0:
            raise Unusual(data, self)
        if len(content) != length:
            content = self._rest(content, length, data, due)
        expected = _number_after(_CHECKSUM, lowered)
        if expected is not None and crc32(content) != expected:
            raise Unusual(head + blank + content, self)
        return Answer(200 if head.startswith(_PLAIN[0]) else 400, head, lowered, content)

    def _rest(self, content: bytes, length: int, data: bytes, due: Deadline | None) -> bytes:
        pieces = [content]
        received = len(content)
        while received < length:
            more = self._receive(due)
            if not more:
                break
            pieces.append(more)
            received += len(more)
        if received != length:
            raise Unusual(data[: len(data) - len(content)] + b"".join(pieces), self)
        return b"".join(pieces)

    def _receive(self, due: Deadline | None) -> bytes:
        self._bound(due)
        return self.sock.recv(_RECEIVED_AT_ONCE_BYTES)

    def _bound(self, due: Deadline | None) -> bool:
        """Let the next wait end in time; say whether the one after it might not."""
        timeout_s, is_short = self._patience_s, False
        if due is not None:
            left_s = due.left_s()
            timeout_s = left_s if timeout_s is None or left_s < timeout_s else timeout_s
            is_short = left_s < 2 * timeout_s
        if timeout_s != self._timeout_s:
            self._timeout_s = timeout_s
            self.sock.settimeout(timeout_s)
        return is_short

    def close(self) -> None:
        """End it."""
        self._opened.close()


def _number_after(name: bytes, head: bytes) -> int | None:
    """Return the number in a header, if it is there and is one; ``head`` is in lower case."""
    text = field(name, head, head)
    return int(text) if text is not None and text.isdigit() else None


def field(name: bytes, lowered: bytes, head: bytes) -> bytes | None:
    """Return the value of a header, if it is there; ``name`` is in lower case, between line's end and value."""
    start = lowered.find(name)
    if start < 0:
        return None
    start += len(name)
    end = head.find(b"\r\n", start)
    return head[start:] if end < 0 else head[start:end]


class Connections:
    """The idle connections to one address; threads may share them, for whoever sends has one alone.

    The last one given back is the first one taken, so that as few are kept warm as are needed.
    """

    def __init__(self, new_connection: Callable[[], Any], patience_s: float | None, most: int) -> None:
        """Keep no more than ``most`` idle; ``new_connection`` makes one of urllib3's, which is opened here."""
        self._new_connection = new_connection
        self._patience_s = patience_s
        self._most = most
        self.idle: deque[Connection] = deque()
        """Those that wait for a request."""
        weakref.finalize(self, _close_all, self.idle)

    def take(self) -> Connection:
        """Return a connection that is alive, opened now if none is idle; raises as urllib3 does."""
        while (connection := _pop(self.idle)) is not None:
            if connection.is_alive():
                return connection
            connection.close()
        opened = self._new_connection()
        try:
            opened.connect()
            return Connection(opened, self._patience_s)
        except BaseException:
            opened.close()
            raise

    def give_back(self, connection: Connection, answer: Answer) -> None:
        """Keep a connection for the next request, unless its answer says that there will be none."""
        if answer.lowered.find(_LAST) >= 0 or len(self.idle) >= self._most:
            connection.close()
        else:
            self.idle.append(connection)

    def close(self) -> None:
        """End the idle ones."""
        _close_all(self.idle)


def _close_all(connections: deque[Connection]) -> None:
    while (connection := _pop(connections)) is not None:
        connection.close()


def _pop(connections: deque[Connection]) -> Connection | None:
    """Take the last one; None if there is none, or other threads took them all."""
    try:
        return connections.pop()
    except IndexError:
        return None
