"""The two branches of a charge, where they meet: a bucket that is full again at this very ms, or not quite.

One token every second, so a bucket that spent one is full again 1,000 ms later: ``v`` is that time.
"""

from __future__ import annotations

from leasegate import Limit, schema
from leasegate.operations import Value
from tests.fixtures.tables import NOW_MS, MemoryTable

KEY = schema.bucket_key("key-1", "gpt-4")
LIMITS = (Limit("rps", capacity=3, amount=1, period_ms=1_000),)


def full_again_at(table: MemoryTable) -> Value:
    return table.item(KEY)[schema.tat_attribute("rps")]


def test_a_bucket_that_is_just_full_again_is_spent_from_in_one_round_trip(table: MemoryTable) -> None:
    limiter = table.process()
    limiter.acquire("key-1", "gpt-4", {"rps": 1}, limits=LIMITS)
    table.now_ms += 1_000
    assert full_again_at(table) == table.now_ms
    trips = table.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rps": 1}, limits=LIMITS))
    assert trips == ["Update"]
    assert full_again_at(table) == table.now_ms + 1_000


def test_the_smallest_debt_is_not_forgotten_by_who_believes_the_bucket_idle(table: MemoryTable) -> None:
    old, new = table.process(), table.process()
    old.acquire("key-1", "gpt-4", {"rps": 1}, limits=LIMITS)
    table.now_ms += 5_000
    new.acquire("key-1", "gpt-4", {"rps": 1}, limits=LIMITS)
    table.now_ms += 999
    assert full_again_at(table) == table.now_ms + 1
    old.acquire("key-1", "gpt-4", {"rps": 1}, limits=LIMITS)
    assert full_again_at(table) == NOW_MS + 5_000 + 2_000
