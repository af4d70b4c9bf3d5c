"""Runs a flow against a repository, within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .operations import Failed, Flow

if TYPE_CHECKING:
    from .repository import Repository

_RETURN_MS: Final = 100


def drive[T](
    flow: Flow[T], repository: Repository, timeout_ms: int, monotonic_s: Callable[[], float] = time.monotonic
) -> T:
    """Execute every round trip of a flow and return its answer.

    ``timeout_ms`` is for all round trips together; but after one that failed, the next has at least 100 ms, for
    it gives back what its neighbours were granted. Raises what the flow raises.
    """
    deadline_s = monotonic_s() + timeout_ms / 1000
    floor_ms = 0
    try:
        operations = next(flow)
        while True:
            left_ms = max(floor_ms, int((deadline_s - monotonic_s()) * 1000))
            outcomes = repository.execute(operations, timeout_ms=left_ms)
            floor_ms = _RETURN_MS if any(isinstance(outcome, Failed) for outcome in outcomes) else 0
            operations = flow.send(outcomes)
    except StopIteration as answer:
        value: T = answer.value
        return value
