"""How long a bucket lives: never does it end before it is full again. And how long a default is believed."""

from __future__ import annotations

import pytest

from leasegate import Limit, Limiter, RateLimitExceeded, schema
from leasegate.limits import DAY_MS, HOUR_MS
from leasegate.operations import Set, Update
from tests.fixtures.tables import MemoryTable

KEY = schema.bucket_key("key-1", "gpt-4")
LIMITS = (Limit.per_day("rpd", 100), Limit.per_minute("rpm", 100))
EXPIRY_OF = schema.EXPIRES_AT


def outlives_its_debt(table: MemoryTable) -> bool:
    item = table.item(KEY)
    expires_at_s, tat = item[EXPIRY_OF], item[schema.tat_attribute("rpd")]
    assert isinstance(expires_at_s, int)
    assert isinstance(tat, int)
    return expires_at_s * 1_000 * LIMITS[0].amount >= tat


def shorten_life(table: MemoryTable) -> None:
    """Leave the bucket a second to live, behind everybody's back."""
    table.memory.execute((Update(KEY, (Set(EXPIRY_OF, table.now_ms // 1_000 + 1),)),), timeout_ms=0)


def spend(limiter: Limiter, tokens: int = 30) -> None:
    limiter.acquire("key-1", "gpt-4", {"rpd": tokens, "rpm": 1}, limits=LIMITS)


def test_a_bucket_that_is_spent_from_lives_on(table: MemoryTable) -> None:
    limiter = table.process()
    extended = set()
    for _ in range(20):
        spend(limiter)
        assert outlives_its_debt(table)
        extended.add(table.item(KEY)[EXPIRY_OF])
        table.now_ms += 8 * HOUR_MS
    assert 4 <= len(extended) <= 20 * 8 * HOUR_MS // DAY_MS + 1  # about once a day, not with every write


def test_a_bucket_that_lives_shorter_than_was_believed_is_given_time_by_the_next_charge(
    table: MemoryTable,
) -> None:
    limiter = table.process()
    spend(limiter)
    shorten_life(table)
    assert not outlives_its_debt(table)
    spend(limiter)
    assert outlives_its_debt(table)


def test_a_bucket_that_lives_shorter_than_was_believed_is_given_time_by_a_debt(table: MemoryTable) -> None:
    limiter = table.process()
    with limiter.acquire("key-1", "gpt-4", {"rpd": 1, "rpm": 1}, limits=LIMITS) as lease:
        shorten_life(table)
        lease.adjust({"rpd": 90})
    assert outlives_its_debt(table)


def test_a_process_that_was_idle_does_not_spend_under_a_default_of_long_ago(
    table: MemoryTable, admin: Limiter
) -> None:
    admin.set_resource_defaults("gpt-4", [Limit.per_day("rpd", 100)])
    limiter = table.process()
    limiter.acquire("key-1", "gpt-4", {"rpd": 5})
    admin.set_resource_defaults("gpt-4", [Limit.per_day("rpd", 5)])
    table.now_ms += 30_000
    with pytest.raises(RateLimitExceeded):
        limiter.acquire("key-1", "gpt-4", {"rpd": 1})
