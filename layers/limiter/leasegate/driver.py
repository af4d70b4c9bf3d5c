"""Runs a flow against a repository, within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .operations import Flow

if TYPE_CHECKING:
    from .repository import Repository


def drive[T](
    flow: Flow[T], repository: Repository, timeout_ms: int, monotonic_s: Callable[[], float] = time.monotonic
) -> T:
    """Execute every round trip of a flow and return its answer.

    ``timeout_ms`` is for all round trips together. Raises what the flow raises.
    """
    deadline_s = monotonic_s() + timeout_ms / 1000
    try:
        operations = next(flow)
        while True:
            left_ms = max(0, int((deadline_s - monotonic_s()) * 1000))
            operations = flow.send(repository.execute(operations, timeout_ms=left_ms))
    except StopIteration as answer:
        value: T = answer.value
        return value
