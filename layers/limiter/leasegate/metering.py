"""What the operations of a program cost: round trips, calls and capacity units, counted as DynamoDB bills them.

The rules, and their sources, are in :mod:`leasegate.tariff`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .operations import Operation, Outcome
from .repository.sizes import item_size
from .tariff import Tariff, calls_of

if TYPE_CHECKING:
    from .repository import Repository

__all__ = ["Meter", "MeteredRepository", "Usage", "item_size"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What some operations cost; a call is one request to DynamoDB. Eventually consistent reads cost halves."""

    calls: int = 0
    read_units: float = 0
    write_units: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.read_units + other.read_units,
            self.write_units + other.write_units,
        )


class Meter:
    """An observer of a repository that bills every round trip; may be shared among threads and repositories.

    A repository that takes no observer is metered by :class:`MeteredRepository`. Items are sized by what the
    meter has seen of them; see :class:`~leasegate.tariff.Tariff`. Not seen and not billed: what a repository
    repeats after throttling or lost replies, and the deletions by time to live, which are free.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._tariff = Tariff()
        self._round_trips = 0
        self._kinds: dict[str, Usage] = {}

    @property
    def round_trips(self) -> int:
        """How many times somebody waited for the table."""
        return self._round_trips

    @property
    def calls(self) -> int:
        """How many requests were made."""
        return self.total.calls

    @property
    def read_units(self) -> float:
        """Read units; an ``int`` until a half is among them."""
        return self.total.read_units

    @property
    def write_units(self) -> int:
        """Write units, of the table and its index."""
        return self.total.write_units

    @property
    def total(self) -> Usage:
        """All operations together."""
        return sum(self.kinds.values(), Usage())

    @property
    def kinds(self) -> Mapping[str, Usage]:
        """The operations by the name of their class, such as ``Update``."""
        with self._lock:
            return dict(self._kinds)

    def reset(self) -> None:
        """Count from zero again, without forgetting the items seen."""
        with self._lock:
            self._round_trips = 0
            self._kinds.clear()

    def __call__(
        self, operations: tuple[Operation, ...], outcomes: tuple[Outcome, ...], _start_ns: int, _end_ns: int
    ) -> None:
        """Bill one round trip."""
        with self._lock:
            self._round_trips += 1
            for operation, outcome in zip(operations, outcomes, strict=True):
                kind = type(operation).__name__
                self._kinds[kind] = self._kinds.get(kind, Usage()) + self._bill(operation, outcome)

    def _bill(self, operation: Operation, outcome: Outcome) -> Usage:
        charges = self._tariff.price(operation, outcome)
        return Usage(
            calls_of(operation),
            sum([charge.read_units for charge in charges]),
            sum([charge.write_units for charge in charges]),
        )


class MeteredRepository:
    """Any repository, watched by a meter: what it answers is passed on as it is."""

    def __init__(self, repository: Repository, meter: Meter) -> None:
        """Watch a repository; several may share a meter."""
        self._repository = repository
        self._meter = meter

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        """Execute one round trip and bill it; see :class:`~leasegate.repository.Repository`."""
        start_ns = time.monotonic_ns()
        outcomes = self._repository.execute(operations, timeout_ms=timeout_ms)
        self._meter(operations, outcomes, start_ns, time.monotonic_ns())
        return outcomes
