"""What a sweep costs, in memory and on DynamoDB Local."""

from __future__ import annotations

import pytest

from leasegate import Limit, Limiter, schema
from leasegate.records import SweepReport
from leasegate.requesting import keyed_terms
from leasegate.sweeper import Sweeper
from tests.fixtures.stores import Cost, Store

# DynamoDB Local deletes items whose time to live is over by the clock of this machine.
FUTURE_MS = 4_000_000_000_000
PATIENT_MS = 60_000  # the machine runs other tests meanwhile
LIST = "+".join(["Query"] * schema.EXPIRY_SHARDS)


@pytest.fixture
def holder(store: Store) -> Limiter:
    """A process that acquires leases of a child and its parent."""
    store.now_ms = FUTURE_MS
    limiter = store.process()
    limiter.create_entity("project")
    limiter.set_limits("project", [Limit.per_day("rpd", 1, burst=1_000), Limit.concurrent("slots", 60, 60)])
    limiter.create_entity("key", "project")
    limiter.set_limits("key", [Limit.per_day("rpd", 1, burst=100)])
    limiter.acquire("key", "gpt-4", {"rpd": 0})
    return limiter


def sweep(store: Store) -> tuple[SweepReport, Cost]:
    reports: list[SweepReport] = []
    sweeper = Sweeper(store.repository, clock=lambda: store.now_ms, timeout_ms=PATIENT_MS)
    cost = store.cost(lambda: reports.append(sweeper.sweep(lambda: 60_000)))
    return reports[0], cost


def test_an_idle_table_is_swept_in_one_round_trip_of_reads(store: Store, holder: Limiter) -> None:
    report, cost = sweep(store)
    assert report == SweepReport()
    assert (cost.trips, cost.write_units) == ((LIST,), 0)
    assert cost.read_units <= 0.5 * schema.EXPIRY_SHARDS


def test_an_expired_lease_is_one_transaction_of_all_its_levels(store: Store, holder: Limiter) -> None:
    holder.acquire("key", "gpt-4", {"rpd": 40}, durable=True, expires_in=5)
    store.now_ms += 5_000
    report, cost = sweep(store)
    assert report == SweepReport(released=1)
    assert cost.trips == (LIST, "BatchGet", "Transact")
    # Two units for each of three items, and one for the index that lists the lease no more.
    assert cost.write_units == 7
    assert sweep(store)[1].trips == (LIST,)
    left = store.process().available("key", "gpt-4")
    assert (left["rpd"].available, left.ancestors[0]["rpd"].available) == (100, 1_000)


def test_a_lease_that_keeps_its_tokens_is_one_update(store: Store, holder: Limiter) -> None:
    holder.acquire("key", "gpt-4", {"rpd": 40}, durable=True, expires_in=5, on_expiry="keep")
    store.now_ms += 5_000
    report, cost = sweep(store)
    assert report == SweepReport(kept=1)
    assert cost.trips == (LIST, "BatchGet", "Update")
    assert store.process().available("key", "gpt-4")["rpd"].available == 60


def in_one_partition(key: str) -> bool:
    """Say whether the lease of an idempotency key is listed in the first partition of the index."""
    terms = keyed_terms(key, (), "library")
    assert terms is not None
    return schema.expiry_index(terms.lease, 0)[schema.GSI1PK] == schema.expiry_partition(0)


def test_leases_of_several_pages_are_ended_side_by_side(store: Store, holder: Limiter) -> None:
    for key in [key for number in range(1_000) if in_one_partition(key := f"lease-{number}")][:30]:
        holder.acquire("key", "gpt-4", {"rpd": 1}, durable=True, expires_in=5, idempotency_key=key)
    store.now_ms += 5_000
    report, cost = sweep(store)
    assert report == SweepReport(released=30)
    assert cost.trips == (
        *(LIST, "BatchGet", "+".join(["Transact"] * 25)),
        *("Query", "BatchGet", "+".join(["Transact"] * 5)),
    )
    assert store.process().available("key", "gpt-4")["rpd"].available == 100
