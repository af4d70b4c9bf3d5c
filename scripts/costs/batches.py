"""The same 25 questions, asked in several ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from leasegate.spender import MAX_BATCH
from scripts.costs.leases import batch, known
from scripts.costs.tables import Situation, Table


def one_by_one(table: Table) -> Callable[[], object]:
    """Prepare a known bucket, and an acquire for each."""
    limiter = known(table, "key-1")
    return lambda: [limiter.acquire("key-1", "gpt-4", {"rpm": 1}) for _ in range(MAX_BATCH)]


def at_once(table: Table) -> Callable[[], object]:
    """Prepare a known bucket, and one acquire for all."""
    limiter = known(table, "key-1")
    return lambda: limiter.acquire("key-1", "gpt-4", {"rpm": MAX_BATCH})


def at_once_and_settled(table: Table) -> Callable[[], object]:
    """Prepare one acquire for all, of which some come back."""
    limiter = known(table, "key-1")

    def work() -> None:
        with limiter.acquire("key-1", "gpt-4", {"rpm": MAX_BATCH}) as lease:
            lease.adjust({"rpm": -1})

    return work


BATCHES: Final[Mapping[str, Situation]] = {
    "25 acquires of one bucket, one after the other": one_by_one,
    "a batch of 25 buckets: `acquire_many`, `POST /acquire/batch`": batch(*(f"key-{n}" for n in range(MAX_BATCH))),
    "a batch of one bucket, asked 25 times": batch("key-1"),
    "one acquire of 25 tokens": at_once,
    "one acquire of 25 tokens, and what was not used given back": at_once_and_settled,
}
