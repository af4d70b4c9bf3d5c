"""What is measured: a table, the processes that use it, and a call in some situation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from leasegate import Disabled, Knowledge, Limit, Limiter, RateLimitExceeded
from leasegate.metering import Meter
from leasegate.repository.memory import MemoryRepository

if TYPE_CHECKING:
    from leasegate.repository import Repository

START_MS: Final = 4_000_000_000_123
"""Far in the future: DynamoDB Local deletes what is past its time to live by the clock on the wall."""
TIMEOUT_MS: Final = 60_000
"""For a call: a busy machine is to change nothing of what is counted."""
LIMITS: Final = (Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 10_000))


class Row(NamedTuple):
    """One situation, and what a call costs in it."""

    situation: str
    round_trips: int
    calls: int
    write_units: int
    read_units: float


@dataclass
class Table:
    """A table, the meter that observes its repository, and the clock of all processes that use it."""

    repository: Repository
    meter: Meter
    now_ms: int = START_MS

    @classmethod
    def in_memory(cls) -> Table:
        """Return an empty table in memory."""
        meter = Meter()
        return cls(MemoryRepository(observer=meter), meter)

    def process(self, **knowledge: int) -> Limiter:
        """Return a limiter that knows nothing yet, as a process that just started."""
        return Limiter(
            self.repository, clock=lambda: self.now_ms, knowledge=Knowledge(**knowledge), timeout_ms=TIMEOUT_MS
        )

    def family(self, *entity_ids: str, limits: Iterable[Limit] = LIMITS) -> None:
        """Create entities with limits, each the child of the one before, and a bucket for each."""
        admin = self.process()
        for parent_id, entity_id in zip((None, *entity_ids), entity_ids, strict=False):
            admin.create_entity(entity_id, parent_id)
            admin.set_limits(entity_id, limits)
        admin.acquire(entity_ids[-1], "gpt-4", {"rpm": 1})


type Situation = Callable[[Table], Callable[[], object]]
"""Prepares a table and returns the call to measure."""


def spend(limiter: Limiter, entity_id: str = "key-1", **options: str) -> Callable[[], object]:
    """Return an acquire of one request and 500 tokens."""
    return lambda: limiter.acquire(entity_id, "gpt-4", {"rpm": 1, "tpm": 500}, **options)  # type: ignore[arg-type]  # options of one type


def measure(table: Table, call: Callable[[], object]) -> Meter:
    """Make a call, refused or not, and return what it cost."""
    table.meter.reset()
    with suppress(RateLimitExceeded, Disabled):
        call()
    return table.meter
