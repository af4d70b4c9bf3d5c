"""Free ports, and child processes that end when they should."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn


class StartError(RuntimeError):
    """Something could not be started; the message says what is missing, or what was printed last."""


def free_port(hosts: Iterable[str] = ("127.0.0.1",)) -> int:
    """Find a port that nobody listens on at any of these addresses.

    Another process may take it before it is used, so callers try again when their server ends early.
    """
    first, *others = hosts
    while True:
        with socket.socket() as probe:
            probe.bind((first, 0))
            port: int = probe.getsockname()[1]
            if all(can_bind(host, port) for host in others):
                return port


def can_bind(host: str, port: int = 0) -> bool:
    """Say whether this machine has the address and the port is free there."""
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL}:
                return False
            raise
        return True


def tied_to_parent(command: Sequence[str]) -> list[str]:
    """Wrap a command so that it ends with the process that started it, however that one ends.

    Linux only (`setpriv` of util-linux); elsewhere the command is returned as it is, and a killed parent
    may leave it behind.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else list(command)


def accepts_connections(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether somebody listens on a port."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def wait_until_up(
    process: subprocess.Popen[bytes],
    is_up: Callable[[], bool],
    *,
    name: str,
    log: Path,
    timeout_s: float = 60,
) -> None:
    """Wait for a server to answer; raise `StartError` with the end of its log if it ends or does not."""
    deadline = time.monotonic() + timeout_s
    while not is_up():
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            stop(process)
            what = f"ended with {process.returncode}" if ended else f"did not answer within {timeout_s:g} s"
            raise StartError(f"{name} {what}; its last words, from {log}:\n{last_lines(log)}")
        time.sleep(0.05)


def last_lines(log: Path, count: int = 25) -> str:
    """Return the end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) if log.exists() else ""


def stop(process: subprocess.Popen[bytes], grace_s: float = 5) -> None:
    """End a child: politely first, then by force; it is reaped when this returns."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def signal_group(leader: int, number: signal.Signals) -> bool:
    """Send a signal to a process group; say whether anybody was there to get it."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return False
    return True


def heed_interrupts() -> None:
    """Undo what a shell does to what it runs in the background, and that passes on: not to hear of Ctrl-C.

    For a child that is to be interrupted, between fork and exec.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_like_interrupted() -> None:
    """Let a polite request to end (SIGTERM) clean up as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
