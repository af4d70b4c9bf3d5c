"""What became of a bucket that a crowd asked of, as the table's stream tells it, write by write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from leasegate import Limit, schema
from leasegate.operations import Item, Key
from leasegate.repository.wire import decode_item, decode_key
from leasegate.simulation.ledger import Ledger
from leasegate.stream import StreamRecord


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was granted, what the limit allowed in that time, and whether never more was granted than it allows.

    ``writes`` counts the grants' writes, ``excess`` says what the invariant has to say against them.
    """

    limit: Limit
    granted: int
    writes: int
    elapsed_ms: int
    longest_pause_ms: int
    excess: str | None

    @property
    def allowed(self) -> float:
        """The tokens that there were: those at the beginning, and what flowed back."""
        return self.limit.capacity + self.elapsed_ms * self.limit.amount / self.limit.period_ms

    @property
    def share(self) -> float:
        """How much of what the limit allowed was delivered."""
        return self.granted / self.allowed


def judge(records: Sequence[StreamRecord], key: Key, limit: Limit, ends_ms: int) -> Verdict:
    """Follow a bucket through the table's stream, up to the moment at which nobody asked any more."""
    images = [
        decode_item(record["dynamodb"]["NewImage"])
        for record in records
        if decode_key(record["dynamodb"]["Keys"]) == key and "NewImage" in record["dynamodb"]
    ]
    if not images:
        return Verdict(limit, granted=0, writes=0, elapsed_ms=0, longest_pause_ms=0, excess=None)
    ledger = Ledger()
    excess = None
    try:
        for image in images:
            ledger.follow(key, image)
    except AssertionError as error:
        excess = str(error)
    times_ms = [number(image, schema.WRITTEN_AT) for image in images]
    return Verdict(
        limit,
        granted=number(images[-1], schema.used_attribute(limit.name)),
        writes=len(images),
        elapsed_ms=max(ends_ms, times_ms[-1]) - times_ms[0],
        longest_pause_ms=max((after - before for before, after in pairwise(times_ms)), default=0),
        excess=excess,
    )


def number(item: Item, attribute: str) -> int:
    """Return a number of an item."""
    return cast("int", item.get(attribute, 0))
