"""What can be done with leases: keys, ends, concurrency, batches, the sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict, Unpack

from leasegate import AcquireRequest, Lease, Limit, Limiter
from leasegate.sweeper import Sweeper
from scripts.costs.tables import LIMITS, Situation, Table, measure

CONSUME = {"rpm": 1, "tpm": 500}
STREAMS = Limit.concurrent("streams", 20, lease_seconds=60)


class Terms(TypedDict, total=False):
    """What makes a lease a durable one."""

    durable: bool
    idempotency_key: str
    expires_in: int


def known(table: Table, *entity_ids: str) -> Limiter:
    """Return a process that knows the buckets of a family, the last of which acquires."""
    table.family(*entity_ids, limits=[*LIMITS, STREAMS])
    limiter = table.process()
    limiter.acquire(entity_ids[-1], "gpt-4", CONSUME)
    return limiter


def granted(*entity_ids: str, **terms: Unpack[Terms]) -> Situation:
    """Prepare a known family and a durable acquire."""

    def prepare(table: Table) -> Callable[[], object]:
        limiter = known(table, *entity_ids)
        return lambda: limiter.acquire(entity_ids[-1], "gpt-4", CONSUME, **terms)

    return prepare


def replayed(*, cold: bool) -> Situation:
    """Prepare a key that was used, and the same request again, by the same process or one that knows nothing."""

    def prepare(table: Table) -> Callable[[], object]:
        limiter = known(table, "key-1")
        limiter.acquire("key-1", "gpt-4", CONSUME, idempotency_key="request-1")
        process = table.process() if cold else limiter
        return lambda: process.acquire("key-1", "gpt-4", CONSUME, idempotency_key="request-1")

    return prepare


def refused(*, before: bool) -> Situation:
    """Prepare a bucket that others emptied, or that refused this process a moment ago."""

    def prepare(table: Table) -> Callable[[], object]:
        limiter = known(table, "key-1")
        table.process().acquire("key-1", "gpt-4", {"tpm": 9_400})
        if before:
            measure(table, lambda: limiter.acquire("key-1", "gpt-4", CONSUME))
        return lambda: limiter.acquire("key-1", "gpt-4", CONSUME, idempotency_key="request-1")

    return prepare


def ended(
    *entity_ids: str, cold: bool = False, repeated: bool = False, expires_in: int | None = None
) -> Situation:
    """Prepare a durable lease and its settlement, by the same process or one that knows nothing."""

    def prepare(table: Table) -> Callable[[], object]:
        limiter = known(table, *entity_ids)
        lease = limiter.acquire(entity_ids[-1], "gpt-4", CONSUME, durable=True, expires_in=expires_in)
        assert lease.id is not None
        durable = (table.process() if cold else limiter).lease(lease.id)
        if repeated:
            durable.settle({"tpm": 312})
        return lambda: durable.settle({"tpm": 312})

    return prepare


def concurrent(act: Callable[[Lease], object] | None = None) -> Situation:
    """Prepare a known bucket, and a lease that takes a place; or, where there is an act, that has one."""

    def prepare(table: Table) -> Callable[[], object]:
        limiter = known(table, "key-1")

        def acquire() -> Lease:
            return limiter.acquire("key-1", "gpt-4", {**CONSUME, "streams": 1})

        if act is None:
            return acquire
        lease = acquire()
        return lambda: act(lease)

    return prepare


def batch(*entity_ids: str) -> Situation:
    """Prepare 25 acquires of buckets that are known."""

    def prepare(table: Table) -> Callable[[], object]:
        admin = table.process()
        for entity_id in entity_ids:
            admin.set_limits(entity_id, LIMITS)
        limiter = table.process()
        requests = [AcquireRequest(entity_ids[n % len(entity_ids)], "gpt-4", {"rpm": 1}) for n in range(25)]
        limiter.acquire_many(requests)
        return lambda: limiter.acquire_many(requests)

    return prepare


def adjusted(*entity_ids: str) -> Situation:
    """Prepare a known family, and an adjustment without a lease."""

    def prepare(table: Table) -> Callable[[], object]:
        limiter = known(table, *entity_ids)
        return lambda: limiter.adjust(entity_ids[-1], "gpt-4", {"tpm": 312})

    return prepare


def swept(*, leases: int) -> Situation:
    """Prepare a sweep that finds so many leases whose time is over."""

    def prepare(table: Table) -> Callable[[], object]:
        limiter = known(table, "key-1")
        for _ in range(leases):
            limiter.acquire("key-1", "gpt-4", CONSUME, durable=True, expires_in=1)
        table.now_ms += 1_000
        sweeper = Sweeper(table.repository, clock=lambda: table.now_ms)
        return lambda: sweeper.sweep(lambda: 60_000)

    return prepare


LEASES: dict[str, Situation] = {
    "grant a durable lease, or one under an idempotency key": granted("key-1", idempotency_key="request-1"),
    "grant one, cascade of 2 levels": granted("project", "key-1", idempotency_key="request-1"),
    "grant one that expires, cascade of 2 levels": granted("project", "key-1", durable=True, expires_in=60),
    "answer a key that was used": replayed(cold=False),
    "answer it, by a process that knows nothing": replayed(cold=True),
    "refuse under a key": refused(before=False),
    "refuse under a key what was refused within 1 s": refused(before=True),
    "settle or release a durable lease": ended("key-1"),
    "settle or release one, cascade of 2 levels, by a process that knows nothing": ended(
        "project", "key-1", cold=True
    ),
    "settle or release one that expires, cascade of 2 levels": ended("project", "key-1", expires_in=60),
    "settle it again": ended("key-1", repeated=True),
    "take a place of a concurrency limit, beside tokens": concurrent(),
    "release that": concurrent(Lease.release),
    "renew that": concurrent(Lease.renew),
    "answer a batch of 25 acquires of 25 buckets": batch(*(f"key-{number}" for number in range(25))),
    "answer a batch of 25 acquires of one bucket": batch("key-1"),
    "adjust what was spent, without a lease": adjusted("key-1"),
    "adjust it, cascade of 2 levels": adjusted("project", "key-1"),
    "sweep, where no lease is due": swept(leases=0),
    "sweep, and end a lease": swept(leases=1),
}
