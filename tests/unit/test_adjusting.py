"""Adjustments without a lease: up and down, into debt, at all levels or none, once under a key."""

from __future__ import annotations

import pytest

from leasegate import (
    IdempotencyConflict,
    InvalidRequest,
    Limit,
    Limiter,
    NoLimitsConfigured,
    RateLimitExceeded,
    StoreUnavailable,
    schema,
)
from tests.fixtures.tables import MemoryTable

TPM = Limit.per_minute("tpm", 10_000)
STREAMS = Limit.concurrent("streams", 2, lease_seconds=60)


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


@pytest.fixture
def limiter(table: MemoryTable) -> Limiter:
    """Return a process that has spent 500 tokens of a key under a project."""
    limiter = table.process()
    limiter.create_entity("project")
    limiter.set_limits("project", [Limit.per_minute("tpm", 100_000)])
    limiter.create_entity("key-1", "project")
    limiter.set_limits("key-1", [Limit.per_minute("rpm", 60), TPM, STREAMS])
    limiter.acquire("key-1", "gpt-4", {"rpm": 1, "tpm": 500})
    return limiter


def left(limiter: Limiter, entity_id: str = "key-1") -> int:
    return limiter.available(entity_id, "gpt-4")["tpm"].available


def used(table: MemoryTable, entity_id: str = "key-1") -> object:
    return table.item(schema.bucket_key(entity_id, "gpt-4"))[schema.used_attribute("tpm")]


def test_more_is_spent_and_less_is_given_back_at_every_level_in_one_round_trip(
    table: MemoryTable, limiter: Limiter
) -> None:
    assert table.cost(lambda: limiter.adjust("key-1", "gpt-4", {"tpm": 312})) == ["Transact"]
    assert (left(limiter), left(limiter, "project")) == (9_188, 99_188)
    assert table.cost(lambda: limiter.adjust("key-1", "gpt-4", {"tpm": -800, "rpm": -1})) == ["Transact"]
    assert (left(limiter), left(limiter, "project")) == (9_988, 99_988)
    assert used(table) == used(table, "project") == 12


def test_what_is_left_is_returned(limiter: Limiter) -> None:
    adjusted = limiter.adjust("key-1", "gpt-4", {"tpm": 312})
    assert adjusted.availability["tpm"].available == 9_188
    assert adjusted.availability.ancestors[0]["tpm"].available == 99_188
    assert not adjusted.is_replayed


def test_one_level_alone_is_one_update(table: MemoryTable, limiter: Limiter) -> None:
    assert table.cost(lambda: limiter.adjust("project", "gpt-4", {"tpm": 312})) == ["Update"]
    assert table.cost(lambda: limiter.adjust("key-1", "gpt-4", {"tpm": 1}, cascade=False)) == ["Update"]
    assert (left(limiter), left(limiter, "project")) == (9_499, 99_188)


def test_a_process_that_knows_nothing_reads_first(table: MemoryTable, limiter: Limiter) -> None:
    trips = table.cost(lambda: table.process().adjust("key-1", "gpt-4", {"tpm": 312}))
    assert trips == ["BatchGet", "BatchGet", "Transact"]
    assert (left(limiter), left(limiter, "project")) == (9_188, 99_188)


def test_what_is_not_there_becomes_debt(limiter: Limiter) -> None:
    limiter.adjust("key-1", "gpt-4", {"tpm": 20_000})
    assert left(limiter) == -10_500
    with pytest.raises(RateLimitExceeded):
        limiter.acquire("key-1", "gpt-4", {"tpm": 1})


def test_no_more_comes_back_than_makes_it_full(limiter: Limiter) -> None:
    limiter.adjust("key-1", "gpt-4", {"tpm": -9_000})
    assert left(limiter) == 10_000


def test_a_return_ends_a_remembered_refusal(table: MemoryTable, limiter: Limiter) -> None:
    limiter.acquire("key-1", "gpt-4", {"tpm": 9_500})
    with pytest.raises(RateLimitExceeded):
        limiter.acquire("key-1", "gpt-4", {"tpm": 500})
    limiter.adjust("key-1", "gpt-4", {"tpm": -500})
    limiter.acquire("key-1", "gpt-4", {"tpm": 500})
    assert left(limiter) == 0


def test_a_debt_creates_the_bucket_that_is_not_there_and_a_return_does_not(table: MemoryTable) -> None:
    limiter = table.process()
    limiter.set_resource_defaults("gpt-4", [TPM])
    assert limiter.adjust("key-9", "gpt-4", {"tpm": -100}).availability["tpm"].available == 10_000
    assert schema.bucket_key("key-9", "gpt-4") not in table.memory.items
    assert limiter.adjust("key-9", "gpt-4", {"tpm": 100}).availability["tpm"].available == 9_900
    assert left(table.process(), "key-9") == 9_900


def test_a_bucket_that_somebody_else_creates_meanwhile_is_met(table: MemoryTable) -> None:
    limiter = table.process()
    limiter.set_resource_defaults("gpt-4", [TPM])
    table.before_trip(2, lambda: table.process().acquire("key-9", "gpt-4", {"tpm": 500}))
    limiter.adjust("key-9", "gpt-4", {"tpm": 100})
    assert left(limiter, "key-9") == 9_400


def test_an_entity_that_was_moved_is_adjusted_under_its_new_parent(table: MemoryTable, limiter: Limiter) -> None:
    admin = table.process()
    admin.create_entity("other")
    admin.set_limits("other", [Limit.per_minute("tpm", 50_000)])
    admin.move_entity("key-1", "other")
    limiter.adjust("key-1", "gpt-4", {"tpm": 300})
    assert left(limiter) == 9_200
    assert (left(limiter, "project"), left(limiter, "other")) == (99_500, 49_700)


def test_an_entity_is_adjusted_though_it_is_disabled(table: MemoryTable, limiter: Limiter) -> None:
    table.now_ms += 1
    table.process().disable_entity("key-1")
    limiter.adjust("key-1", "gpt-4", {"tpm": 300})
    table.process().enable_entity("key-1")
    assert left(limiter) == 9_200


def test_under_a_key_it_happens_once(table: MemoryTable, limiter: Limiter) -> None:
    first = limiter.adjust("key-1", "gpt-4", {"tpm": 300}, idempotency_key="fix-1")
    limiter.acquire("key-1", "gpt-4", {"tpm": 1_000})
    for process in (limiter, table.process()):
        again = process.adjust("key-1", "gpt-4", {"tpm": 300}, idempotency_key="fix-1")
        assert again.is_replayed
        assert dict(again.availability) == dict(first.availability)
    assert (left(limiter), left(limiter, "project")) == (8_200, 98_200)


def test_an_adjustment_whose_answer_is_lost_is_repeated_safely_under_its_key(
    table: MemoryTable, limiter: Limiter
) -> None:
    table.lose_reply(1)
    with pytest.raises(StoreUnavailable):
        limiter.adjust("key-1", "gpt-4", {"tpm": 300}, idempotency_key="fix-1")
    assert limiter.adjust("key-1", "gpt-4", {"tpm": 300}, idempotency_key="fix-1").is_replayed
    assert left(limiter) == 9_200


def test_something_else_under_the_key_is_a_conflict(table: MemoryTable, limiter: Limiter) -> None:
    limiter.adjust("key-1", "gpt-4", {"tpm": 300}, idempotency_key="fix-1")
    for process in (limiter, table.process()):
        with pytest.raises(IdempotencyConflict):
            process.adjust("key-1", "gpt-4", {"tpm": 301}, idempotency_key="fix-1")
        with pytest.raises(IdempotencyConflict):
            process.acquire("key-1", "gpt-4", {"tpm": 300}, idempotency_key="fix-1")
    limiter.acquire("key-1", "gpt-4", {"tpm": 10}, idempotency_key="request-1")
    with pytest.raises(IdempotencyConflict):
        limiter.adjust("key-1", "gpt-4", {"tpm": 10}, idempotency_key="request-1")
    assert left(limiter) == 9_190


def test_a_key_is_its_actors_own(limiter: Limiter) -> None:
    limiter.adjust("key-1", "gpt-4", {"tpm": 300}, idempotency_key="fix-1", actor="ann")
    assert not limiter.adjust("key-1", "gpt-4", {"tpm": 300}, idempotency_key="fix-1", actor="bob").is_replayed
    assert left(limiter) == 8_900


def test_a_key_that_was_forgotten_can_be_used_again(table: MemoryTable, limiter: Limiter) -> None:
    limiter.adjust("key-1", "gpt-4", {"tpm": 300}, idempotency_key="fix-1")
    table.now_ms += 90_000_000
    assert not limiter.adjust("key-1", "gpt-4", {"tpm": 400}, idempotency_key="fix-1").is_replayed
    assert left(limiter) == 9_600


@pytest.mark.parametrize(
    ("field", "delta"),
    [
        ("adjust", {}),
        ("adjust", [("tpm", 1)]),
        ("adjust.tpm", {"tpm": 1.0}),
        ("adjust.tpm", {"tpm": True}),
        ("adjust.tpm", {"tpm": 10**13}),
        ("adjust.nope", {"nope": 1}),
        ("adjust.streams", {"streams": 1}),
        ("adjust", {"No": 1}),
    ],
)
def test_bad_input_is_refused_by_the_name_of_its_field(
    limiter: Limiter, field: str, delta: dict[str, int]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        limiter.adjust("key-1", "gpt-4", delta)
    assert caught.value.field == field
    assert left(limiter) == 9_500


def test_where_nothing_is_limited_there_is_nothing_to_adjust(table: MemoryTable) -> None:
    with pytest.raises(NoLimitsConfigured):
        table.process().adjust("nobody", "gpt-4", {"tpm": 1})
