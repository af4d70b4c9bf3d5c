"""What a simulated history remembers of its past: the stream of its buckets, and leases to be ended."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from ..flows.grants import Ask
from .table import Change

_OVERTAKEN = 400
"""How far back a batch of the stream may reach that was counted before."""


@dataclass(slots=True)
class Stream:
    """The changes of buckets in their order, and which of them somebody said to have counted."""

    changes: list[Change] = field(default_factory=list)
    counted: set[int] = field(default_factory=set)
    next_place: int = 0

    def draw_batch(self, chance: random.Random) -> list[int]:
        """Draw the places of a batch, as an adversary delivers: again, with gaps, out of order."""
        luck, length = chance.random(), chance.randint(1, 40)
        start = self.next_place
        if luck < 0.2 or start == len(self.changes):
            start = max(0, start - int(chance.random() * _OVERTAKEN))
        batch = list(range(start, min(start + length, len(self.changes))))
        self.next_place = max(self.next_place, start + len(batch))
        if luck < 0.05:
            chance.shuffle(batch)
        elif luck < 0.10:
            batch += batch
        elif luck < 0.15 and batch:
            batch = chance.sample(batch, -(-len(batch) // 2))
        elif luck < 0.3:
            batch.reverse()
        return batch


@dataclass(slots=True)
class History:
    """What there is to come back to.

    ``lease_ids`` name leases for anybody to end; ``unanswered`` are acquires under a key that got no answer.
    """

    stream: Stream = field(default_factory=Stream)
    lease_ids: list[str] = field(default_factory=list)
    unanswered: list[Ask] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def next_number(self) -> int:
        """Return a number that nobody had."""
        return next(self.numbers)

    def keep_lease(self, lease_id: str) -> None:
        """Keep a lease's id; the oldest is forgotten where there are many."""
        self.lease_ids.append(lease_id)
        if len(self.lease_ids) > 60:
            self.lease_ids.pop(0)
