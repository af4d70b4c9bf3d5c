"""What is promised with a grant is kept: how long it is remembered, and what it said."""

from __future__ import annotations

import pytest

from leasegate import AcquireRequest, Limit, Limiter, RateLimitExceeded, StoreUnavailable
from tests.fixtures.tables import MemoryTable

TPM = Limit("tpm", 10_000, 1, 86_400_000)
WEEK_S = 7 * 86_400


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def limiter(table: MemoryTable) -> Limiter:
    limiter = table.process()
    limiter.set_limits("key-1", [TPM, Limit.concurrent("streams", 3, lease_seconds=60)])
    limiter.acquire("key-1", "gpt-4", {"tpm": 0})
    return limiter


@pytest.mark.parametrize("end", ["settle", "release", "renew"])
def test_a_key_is_remembered_as_long_as_was_said_however_soon_its_lease_ends(
    table: MemoryTable, limiter: Limiter, end: str
) -> None:
    def ask() -> bool:
        return limiter.acquire(
            "key-1", "gpt-4", {"tpm": 500}, idempotency_key="request-1", expires_in=WEEK_S
        ).is_replayed

    first = limiter.acquire("key-1", "gpt-4", {"tpm": 500}, idempotency_key="request-1", expires_in=WEEK_S)
    assert first.id is not None
    assert first.kept_until_ms is not None
    durable = table.process().lease(first.id)
    durable.renew(1) if end == "renew" else getattr(durable, end)()
    table.now_ms = first.kept_until_ms
    assert ask()
    table.now_ms += 1_000
    assert not ask()


def test_a_replay_says_what_the_grant_said_though_others_were_about_to_leave(
    table: MemoryTable, limiter: Limiter
) -> None:
    limiter.acquire("key-1", "gpt-4", {"streams": 1})
    table.now_ms += 59_400
    limiter.acquire("key-1", "gpt-4", {"streams": 1})
    table.now_ms += 300
    first = limiter.acquire("key-1", "gpt-4", {"streams": 1}, idempotency_key="request-1")
    assert first.availability["streams"].next_token_ms == 300
    table.now_ms += 400
    lapsed = limiter.acquire("key-1", "gpt-4", {"tpm": 1}, idempotency_key="request-2")
    assert lapsed.availability["streams"].available == 1
    for lease, wanted, key in ((first, {"streams": 1}, "request-1"), (lapsed, {"tpm": 1}, "request-2")):
        again = table.process().acquire("key-1", "gpt-4", wanted, idempotency_key=key)
        assert again.is_replayed
        assert dict(again.availability) == dict(lease.availability)


def test_a_batch_asks_no_longer_for_a_bucket_that_does_not_answer(table: MemoryTable, limiter: Limiter) -> None:
    requests = [AcquireRequest("key-1", "gpt-4", {"tpm": 1}, durable=True) for _ in range(5)]
    table.lose_reply(2)
    asked = len(table.trips)
    verdicts = limiter.acquire_many(requests)
    assert len(table.trips) - asked == 2
    assert [isinstance(verdict, StoreUnavailable) for verdict in verdicts] == [False, True, True, True, True]
    assert not any(isinstance(verdict, RateLimitExceeded) for verdict in verdicts)
