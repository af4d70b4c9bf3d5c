"""Servers on loopback that treat every connection as a test wants it."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

type Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def server(serve: Serve, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Listen on a port, a free one by default, and treat every connection alike, each on a thread of its own."""
    connections: list[threading.Thread] = []
    with socket.create_server((host, port)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connections.append(threading.Thread(target=answer, args=[connection], daemon=True))
                    connections[-1].start()

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://{host}:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for each in (thread, *connections):
        each.join()


@contextlib.contextmanager
def full_backlog(host: str = "127.0.0.1") -> Iterator[int]:
    """Listen on a free port where nobody is let in any more; the value is the port."""
    with socket.socket() as listener, contextlib.ExitStack() as callers:
        listener.bind((host, 0))
        listener.listen(0)
        while True:
            caller = callers.enter_context(socket.socket())
            caller.settimeout(0.1)
            try:
                caller.connect(listener.getsockname())
            except TimeoutError:
                break
        yield listener.getsockname()[1]


def receive(connection: socket.socket) -> bytes:
    """Receive one whole request; less, where the caller hangs up."""
    request = b""
    while b"\r\n\r\n" not in request and (piece := connection.recv(65536)):
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length and len(body) < int(length[1]) and (piece := connection.recv(65536)):
        body += piece
    return head + b"\r\n\r\n" + body if head else b""


def hangs_up_within(connection: socket.socket, seconds: float) -> bool:
    """Wait for a caller to hang up; say whether it did."""
    connection.settimeout(seconds)
    try:
        return not connection.recv(65536)
    except TimeoutError:
        return False
    finally:
        connection.settimeout(None)


def http(status: str, body: str, *, ends: bool = True) -> bytes:
    """Write an answer, after which the connection ends or goes on."""
    closing = "Connection: close\r\n" if ends else ""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{closing}\r\n{body}".encode()
