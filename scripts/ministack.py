"""MiniStack, the emulator of the embedded stack: started in a folder, found again, ended.

One process on loopback. All it writes lies in its folder. `server.pid` there is locked for as long as the
process lives (see `locks`), so a process number is never mistaken after a crash.
"""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import urllib3

from scripts.locks import try_to_hold
from scripts.processes import StartError, can_bind, free_port, signal_group, tied_to_parent, wait_until_up
from scripts.toolchain import MINISTACK_PYTHON, REGION, emulated_account, require

# Docker's bridge on Linux: how a container of `sam local invoke` reaches this machine.
CONTAINER_GATEWAY = "172.17.0.1"
# Docker Desktop's name for it; it leads to loopback.
CONTAINER_HOST = "host.docker.internal"


@dataclass(frozen=True, slots=True)
class Server:
    """A MiniStack that answers."""

    endpoint_url: str
    container_endpoint_url: str
    """How a container on this machine reaches it."""
    pid: int


def start(folder: Path, *, enforce_iam: bool, outlives_parent: bool, xray_daemon: str | None) -> Server:
    """Start MiniStack with this folder as its only memory.

    It listens on loopback, and at the container gateway if this machine has one by then. `enforce_iam` holds
    the functions to the policies of their roles and lets nobody in but the emulated account.

    Functions send their segments to `xray_daemon`, a host and port, or to nobody.
    """
    require(MINISTACK_PYTHON)
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    hosts = ["127.0.0.1", *([CONTAINER_GATEWAY] if can_bind(CONTAINER_GATEWAY) else [])]
    log = folder / "ministack.log"
    for attempt in range(3):
        held = try_to_hold(folder / "server.pid")
        if held is None:
            raise StartError(f"a MiniStack of {folder} is running already")
        port = free_port(hosts)
        binds = [argument for host in hosts for argument in ("--bind", f"{host}:{port}")]
        # --workers 0: one process, not a supervisor and a child.
        options = ["--workers", "0", "--keep-alive", "75", *binds]
        command = [str(MINISTACK_PYTHON), "-m", "hypercorn", "ministack.app:app", *options]
        environment = {
            **emulated_account(),
            "AUTH": str(enforce_iam).lower(),
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": REGION,
            "STATE_DIR": str(folder / "state"),
            "S3_DATA_DIR": str(folder / "s3"),
            "TMPDIR": str(temporary),
            "HOME": str(temporary),
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
        }
        if xray_daemon is not None:
            environment["AWS_XRAY_DAEMON_ADDRESS"] = xray_daemon
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    command if outlives_parent else tied_to_parent(command),
                    env=environment,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # A group of its own: Ctrl-C reaches us, and we end it when everything else is done.
                    start_new_session=True,
                    pass_fds=[held],
                )
            os.ftruncate(held, 0)
            os.write(held, str(process.pid).encode())
        finally:
            os.close(held)
        endpoint = f"http://127.0.0.1:{port}"
        try:
            wait_until_up(process, partial(serves, endpoint, log), name="MiniStack", log=log)
        except BaseException as error:
            stop(folder)
            if isinstance(error, StartError) and attempt < 2:
                continue
            raise
        # From here on it is found by its lock. Without this, Python warns of a child that nobody waits for.
        process.returncode = 0
        container_host = CONTAINER_GATEWAY if CONTAINER_GATEWAY in hosts else CONTAINER_HOST
        return Server(endpoint, f"http://{container_host}:{port}", process.pid)
    raise AssertionError("unreachable")


def serves(endpoint: str, log: Path) -> bool:
    """Say whether the MiniStack of a log serves an endpoint; another one may have been quicker to the port."""
    return f"Running on {endpoint} " in log.read_text() and answers(endpoint)


def answers(endpoint: str) -> bool:
    """Say whether MiniStack answers at an endpoint."""
    try:
        return urllib3.request("GET", f"{endpoint}/_ministack/health", timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def running_pid(folder: Path) -> int | None:
    """Return the process number of the MiniStack that runs in this folder, or None."""
    path = folder / "server.pid"
    if not path.exists():
        return None
    held = try_to_hold(path)
    if held is not None:
        os.close(held)
        return None
    text = path.read_text()
    return int(text) if text else None


def stop(folder: Path, grace_s: float = 5) -> bool:
    """End the MiniStack of this folder and the functions it runs; say whether there was one."""
    pid = running_pid(folder)
    if pid is None:
        return False
    signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while running_pid(folder) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    # Function processes that outlived it, or the server itself if it hung.
    signal_group(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        # Reap it, if it is a child of this very process.
        os.waitpid(pid, 0)
    return True
