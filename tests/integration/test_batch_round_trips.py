"""Many acquires at once: what they cost, in memory and on DynamoDB Local."""

from __future__ import annotations

import pytest

from leasegate import AcquireRequest, Lease, Limit, Limiter, schema
from tests.fixtures.stores import Cost, Store

# DynamoDB Local deletes items whose time to live is over by the clock of this machine.
FUTURE_MS = 4_000_000_000_000
KEYS = [f"key-{number}" for number in range(25)]


@pytest.fixture
def limiter(store: Store) -> Limiter:
    """A process that knows the buckets of 25 keys."""
    store.now_ms = FUTURE_MS
    limiter = store.process()
    limits = [Limit.per_day(name, 1, burst=100) for name in ("rpd", "tpd")]
    limiter.set_resource_defaults("gpt-4", limits)
    for key in KEYS:
        limiter.acquire(key, "gpt-4", {"rpd": 1})
    return limiter


def test_25_known_buckets_are_one_round_trip_and_a_write_unit_each(store: Store, limiter: Limiter) -> None:
    verdicts: list[object] = []
    requests = [AcquireRequest(key, "gpt-4", {"rpd": 1, "tpd": 2}) for key in KEYS]
    cost = store.cost(lambda: verdicts.extend(limiter.acquire_many(requests)))
    assert cost == Cost(("+".join(["Update"] * 25),), 25, 0)
    assert [lease.entity_id for lease in verdicts if isinstance(lease, Lease)] == KEYS


def test_25_acquires_of_one_bucket_are_one_write(store: Store, limiter: Limiter) -> None:
    requests = [AcquireRequest("key-0", "gpt-4", {"rpd": 2})] * 25
    assert store.cost(lambda: limiter.acquire_many(requests)) == Cost(("Update",), 1, 0)
    assert store.process().available("key-0", "gpt-4")["rpd"].available == 49


def test_what_does_not_fit_costs_two_writes_more(store: Store, limiter: Limiter) -> None:
    store.process().acquire("key-0", "gpt-4", {"rpd": 60})
    verdicts: list[object] = []
    requests = [AcquireRequest("key-0", "gpt-4", {"rpd": tokens}) for tokens in (20, 20, 19)]
    cost = store.cost(lambda: verdicts.extend(limiter.acquire_many(requests)))
    assert cost == Cost(("Update", "Update"), 2, 0)
    assert [isinstance(verdict, Lease) for verdict in verdicts] == [True, False, True]
    assert store.process().available("key-0", "gpt-4")["rpd"].available == 0


def test_durable_leases_of_different_buckets_are_transactions_side_by_side(store: Store, limiter: Limiter) -> None:
    leases: list[object] = []
    requests = [AcquireRequest(key, "gpt-4", {"rpd": 1}, durable=True) for key in KEYS[:10]]
    cost = store.cost(lambda: leases.extend(limiter.acquire_many(requests)))
    assert cost == Cost(("+".join(["Transact"] * 10),), 40, 0)
    assert len({lease.id for lease in leases if isinstance(lease, Lease)}) == 10


def test_buckets_that_do_not_exist_yet_are_created_side_by_side(store: Store, limiter: Limiter) -> None:
    requests = [AcquireRequest(f"new-{number}", "gpt-4", {"rpd": 1}) for number in range(10)]
    stranger = store.process()
    cost = store.cost(lambda: stranger.acquire_many(requests))
    assert cost.trips == ("BatchGet", "+".join(["Transact"] * 10))
    # The defaults are read once for all; of a new key the bucket, the record, and two levels of limits.
    assert store.keys_read >= {schema.resource_defaults_key("gpt-4"), schema.entity_key("new-9")}
    assert len(store.keys_read) == 2 + 10 * 4
