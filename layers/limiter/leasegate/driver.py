"""Runs a flow against a repository, within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .operations import Failed, Flow

if TYPE_CHECKING:
    from .repository import Repository

_RETURN_MS: Final = 100
_RETURN_SHARE: Final = 5


def drive[T](
    flow: Flow[T], repository: Repository, timeout_ms: int, monotonic_s: Callable[[], float] = time.monotonic
) -> T:
    """Execute every round trip of a flow and return its answer.

    ``timeout_ms`` is for all round trips together. The last 100 ms of it, a fifth where it is short, are kept for
    those after one that failed: they give back what its neighbours were granted. Raises what the flow raises.
    """
    deadline_ms = monotonic_s() * 1000 + timeout_ms
    kept_ms = min(_RETURN_MS, timeout_ms // _RETURN_SHARE)
    try:
        operations = next(flow)
        while True:
            left_ms = max(0, int(deadline_ms - monotonic_s() * 1000) - kept_ms)
            outcomes = repository.execute(operations, timeout_ms=left_ms)
            if any(isinstance(outcome, Failed) for outcome in outcomes):
                kept_ms = 0
            operations = flow.send(outcomes)
    except StopIteration as answer:
        value: T = answer.value
        return value
