"""A default that is lowered holds back everybody: no process keeps the old one alive."""

from __future__ import annotations

import random

import pytest

from leasegate import Knowledge, Limit, Limiter, RateLimitExceeded
from leasegate.repository.memory import MemoryRepository
from leasegate.simulation.world import START_MS

HOUR_MS = 3_600_000
OLD, NEW = Limit.per_minute("rpm", 100), Limit.per_minute("rpm", 10)


@pytest.mark.parametrize("is_drained", [True, False], ids=["drained before", "full before"])
@pytest.mark.parametrize("processes", [1, 4, 16])
def test_lowering_a_system_default_lets_through_no_more_than_the_old_capacity_and_the_new_rate(
    processes: int, is_drained: bool
) -> None:
    table = MemoryRepository()
    now_ms = START_MS
    chance = random.Random(processes)

    def process() -> Limiter:
        return Limiter(table, clock=lambda: now_ms, knowledge=Knowledge())

    spenders = [process() for _ in range(processes)]
    granted = 0

    def spend() -> None:
        nonlocal granted
        try:
            chance.choice(spenders).acquire("key-1", "gpt-4", {"rpm": 1})
        except RateLimitExceeded:
            return
        granted += 1

    process().set_system_defaults([OLD])
    for _ in range(300 if is_drained else 20 * processes):  # by now everybody knows the old default
        now_ms += 100
        spend()
    if not is_drained:
        now_ms += HOUR_MS
        for spender in spenders:
            spender.available("key-1", "gpt-4")

    process().set_system_defaults([NEW])
    granted, end_ms = 0, now_ms + HOUR_MS
    while now_ms < end_ms:
        now_ms += chance.randint(100, 900)
        spend()
    assert granted <= OLD.capacity + 60 * NEW.amount
    assert granted > 45 * NEW.amount, "they did keep acquiring"
