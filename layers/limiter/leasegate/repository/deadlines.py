"""Bounds an attempt at a call by the time that its caller has left, down to each wait for the network.

A client's own timeouts are for one wait each: for one address of a name, for one piece of an answer. So an attempt
that begins in time may end at any time. Connections made here ask for the deadline before each wait, and wait no
longer. There is no thread and no timer: whoever sends sets ``waiting.due`` on the thread that it sends on.

Two things are out of reach, for neither is a wait on a connection: the look-up of a name, which the operating
system bounds, and whatever the SDK does for its credentials before it sends.
"""

from __future__ import annotations

import http.client
import io
import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import allowed_gai_family

from ..frozen import frozen

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_dynamodb import DynamoDBClient

_NS_PER_S: Final = 1_000_000_000

_logger = logging.getLogger("leasegate")


@frozen
class Deadline:
    """A moment of a monotonic clock, in ns, after which nobody waits for an answer any more."""

    ends_ns: int
    monotonic_ns: Callable[[], int]

    def is_over(self) -> bool:
        """Say whether the time is over."""
        return self.monotonic_ns() >= self.ends_ns

    def will_be_over(self, after_s: float) -> bool:
        """Say whether the time will be over when so much more of it has passed."""
        return self.monotonic_ns() + after_s * _NS_PER_S >= self.ends_ns

    def left_s(self) -> float:
        """Return how much time is left; raise ``TimeoutError`` where it is none."""
        left_ns = self.ends_ns - self.monotonic_ns()
        if left_ns <= 0:
            raise TimeoutError("the caller's time is over")
        return left_ns / _NS_PER_S

    def bound(self, sock: socket.socket) -> None:
        """Let the next wait of a socket end in time; raise ``TimeoutError`` where it could not even begin."""
        timeout_s, left_s = sock.gettimeout(), self.left_s()
        if timeout_s is None or timeout_s > left_s:
            sock.settimeout(left_s)


class _OfThread(threading.local):
    due: Deadline | None = None


waiting: Final = _OfThread()
"""``due`` is by when whoever sends on this thread wants an answer; None while there is nobody, or no hurry."""


def bound_attempts(client: DynamoDBClient) -> bool:
    """Let a client's attempts end by the deadline of the thread that makes them; say whether that is so now.

    What other threads send through the client without one, waits as before. A client that is not built as botocore
    builds it is left as it is, which is logged: its attempts may outlast the deadline by its own timeouts.
    """
    try:
        session = client._endpoint.http_session  # type: ignore[attr-defined] # noqa: SLF001 - there is no other way
        classes, manager = session._pool_classes_by_scheme, session._manager  # noqa: SLF001 - as above
        if classes == _BOUNDED_POOLS:
            return True
        if classes == _POOLS:
            classes.update(_BOUNDED_POOLS)
            manager.clear()  # connections made before would not ask
            return True
    except AttributeError:
        pass
    _logger.warning("the client %s is not as expected: an attempt may outlast its deadline", type(client).__name__)
    return False


class _Reader(io.RawIOBase):
    """Reads what was received, then from a socket, no wait longer than the time that is left then."""

    def __init__(self, sock: socket.socket, received: bytes) -> None:
        self._sock = sock
        self._received = received
        self._stream = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        if self._received:
            room = memoryview(buffer).nbytes
            part, self._received = self._received[:room], self._received[room:]
            memoryview(buffer)[: len(part)] = part
            return len(part)
        due = waiting.due
        if due is not None:
            due.bound(self._sock)
        return self._stream.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


class Incoming:
    """A socket to whoever only wants to read from it, what was ``received`` before it first."""

    def __init__(self, sock: socket.socket, received: bytes = b"") -> None:
        """Read from a socket, each wait bounded by the deadline of whoever reads."""
        self._sock = sock
        self._received = received

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what it reads by; of a socket's modes, only this one makes sense."""
        return io.BufferedReader(_Reader(self._sock, self._received))


class _Response(http.client.HTTPResponse):
    """A response that comes in time, or not at all, in however many pieces."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__(Incoming(sock), *arguments, **options)  # type: ignore[arg-type] # it only makes a file of it


class _Connection:
    """What a botocore connection does differently here."""

    response_class = _Response
    _dns_host: str
    timeout: float | None
    host: str
    port: int
    sock: socket.socket | None

    def _new_conn(self) -> socket.socket:
        """Connect to one of the addresses of a name; all of them share the time."""
        due = waiting.due
        if due is None:
            return self._connect()
        host, timeout_s = self._dns_host, self.timeout
        try:
            sock = self._connect_in_time(host, due)
            try:
                due.bound(sock)  # for the handshake of TLS, which comes next
            except TimeoutError:
                sock.close()
                raise
        except TimeoutError as error:
            raise ConnectTimeoutError(self, str(error)) from error
        finally:
            self._dns_host, self.timeout = host, timeout_s
        return sock

    def _connect_in_time(self, host: str, due: Deadline) -> socket.socket:
        addresses = self._addresses(host)
        limit = Deadline(_sooner(due, self.timeout), due.monotonic_ns)
        for others in range(len(addresses) - 1, -1, -1):
            self._dns_host = addresses[-1 - others]
            self.timeout = limit.left_s() / (others + 1)
            try:
                return self._connect()
            except (ConnectTimeoutError, NewConnectionError):
                if not others:
                    raise
        raise NewConnectionError(self, f"{host} has no address")  # type: ignore[arg-type] # a connection it is

    def _addresses(self, host: str) -> list[str]:
        try:
            found = socket.getaddrinfo(host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NewConnectionError(self, f"{host} was not found: {error}") from error  # type: ignore[arg-type] # as above
        return [str(address[0]) for *_, address in found]

    def _connect(self) -> socket.socket:
        return super()._new_conn()  # type: ignore[misc,no-any-return] # urllib3's, which this stands before

    def request(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - handed on
        due = waiting.due
        if due is not None and self.sock is not None:
            due.bound(self.sock)
        super().request(*arguments, **options)  # type: ignore[misc] # urllib3's, which this stands before


def _sooner(due: Deadline, timeout_s: float | None) -> int:
    if timeout_s is None:
        return due.ends_ns
    return min(due.ends_ns, due.monotonic_ns() + int(timeout_s * _NS_PER_S))


class _HTTPConnection(_Connection, AWSHTTPConnection):  # type: ignore[misc] # nor do botocore's own bases agree
    pass


class _HTTPSConnection(_Connection, AWSHTTPSConnection):  # type: ignore[misc] # as above
    pass


class _HTTPPool(AWSHTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(AWSHTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS: Final = {"http": AWSHTTPConnectionPool, "https": AWSHTTPSConnectionPool}
_BOUNDED_POOLS: Final = {"http": _HTTPPool, "https": _HTTPSPool}
