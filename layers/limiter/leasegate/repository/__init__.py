"""What executes operations on the table: the one interface between flows and a store.

``leasegate.repository.dynamodb`` speaks to DynamoDB, ``leasegate.repository.memory`` means the same in memory;
import the one you need from there. This package itself imports neither, so it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..operations import Operation, Outcome

type Observer = Callable[[tuple[Operation, ...], tuple[Outcome, ...], int, int], None]
"""Called once for each round trip: the operations, their outcomes, start and end in ns of a monotonic clock.

It runs on the thread that waited for the round trip, after it; what it raises, the caller gets.
"""


class Repository(Protocol):
    """A store that executes the operations of one round trip side by side."""

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        """Execute one round trip and return its outcomes, in the order of the operations.

        No attempt begins later than ``timeout_ms`` from now, and none goes on past it. What the store answers, or
        fails to answer, never raises: it is the outcome of that operation alone,
        :class:`~leasegate.operations.Failed` at worst, so that what its neighbours were granted is not lost.
        Operations that no store could execute (a float, the same key twice in a transaction) are mistakes in the
        program: they raise ``TypeError`` or ``ValueError``.
        """
        ...
