"""Make calls under an instrument that counts for each process: one makes so many calls, another twice as many.

    python -m tests.benchmark.calls http://127.0.0.1:... [folder]

Prints, for each call, how many are counted and the ids of the two processes. Those are forks of one that has made
each call before, so they differ in nothing but the calls.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

import boto3
import memray

from leasegate.repository.dynamodb import dynamodb_client
from tests.benchmark.workload import CREDENTIALS, pairs

PLAIN: Final = "plain "
"""Stands before the name of an operation that a plain boto3 client is asked for."""
_WARMING: Final = 20
_CALLS: Final = 50
_PLAIN_CALLS: Final = 6


def calls(endpoint_url: str) -> Mapping[str, tuple[Callable[[], object], int]]:
    """Return what is counted, by name, and how many of it."""
    client = dynamodb_client(endpoint_url=endpoint_url, **CREDENTIALS)
    plain = boto3.client("dynamodb", endpoint_url=endpoint_url, **CREDENTIALS)
    found: dict[str, tuple[Callable[[], object], int]] = {}
    for name, ours, theirs in pairs(client, plain):
        found[name] = (ours, _CALLS)
        found[f"{PLAIN}{name}"] = (theirs, _PLAIN_CALLS)
    return found


def fork(call: Callable[[], object], times: int, folder: Path | None) -> int:
    """Call so often in a process of its own; return its id when it has ended."""
    child = os.fork()
    if not child:
        status = 1
        try:
            with nullcontext() if folder is None else allocations(folder / str(os.getpid())):
                for _ in range(times):
                    call()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"a process of calls ended with {status}")
    return child


@contextmanager
def allocations(path: Path) -> Iterator[None]:
    """Let memray write down what the block allocates."""
    with memray.Tracker(path, trace_python_allocators=True):
        sys.setprofile(None)  # memray follows the stack by it, and Python allocates for every step of that
        yield


def main(endpoint_url: str, folder: str | None = None) -> None:
    """Make all calls a few times, then let each be counted; allocations where a folder is named for them."""
    made = calls(endpoint_url)
    for call, times in made.values():
        for _ in range(min(times, _WARMING)):
            call()
    gc.collect()
    gc.freeze()  # a collection of all that there was before would count as many calls, wherever it came
    into = None if folder is None else Path(folder)
    counted = {
        name: (times, fork(call, times, into), fork(call, 2 * times, into)) for name, (call, times) in made.items()
    }
    print(json.dumps(counted))  # noqa: T201 - for whoever started it


if __name__ == "__main__":
    main(*sys.argv[1:])
