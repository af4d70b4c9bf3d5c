"""Leases: settled once, given back when the block raises, corrected into debt where need be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from leasegate import (
    InvalidRequest,
    Knowledge,
    Lease,
    Limit,
    Limiter,
    RateLimitExceeded,
    StoreError,
    StoreUnavailable,
    schema,
)
from leasegate.operations import Failed, Operation, Outcome
from leasegate.repository.memory import MemoryRepository

NOW_MS = 1_790_000_000_000


class Table:
    """A table in memory whose replies can be lost, and a limiter over it."""

    def __init__(self) -> None:
        self.memory = MemoryRepository()
        self.round_trips = 0
        self.lose_replies = 0
        self.now_ms = NOW_MS
        self.limiter = self.process()

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        self.round_trips += 1
        outcomes = self.memory.execute(operations, timeout_ms=timeout_ms)
        if self.lose_replies:
            self.lose_replies -= 1
            return tuple(Failed(StoreUnavailable("lost", maybe_applied=True)) for _ in outcomes)
        return outcomes

    def process(self) -> Limiter:
        return Limiter(self, clock=lambda: self.now_ms, knowledge=Knowledge())

    def left(self, entity_id: str = "key-1") -> dict[str, int]:
        return {name: state.available for name, state in self.process().available(entity_id, "gpt-4").items()}

    def used(self, name: str) -> object:
        return self.memory.items[schema.bucket_key("key-1", "gpt-4")][schema.used_attribute(name)]


@pytest.fixture
def table() -> Table:
    made = Table()
    made.limiter.set_limits("key-1", [Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 1_000)])
    return made


def acquire(table: Table) -> Lease:
    return table.limiter.acquire("key-1", "gpt-4", {"rpm": 1, "tpm": 500})


def test_tokens_are_spent_when_acquire_is_called(table: Table) -> None:
    acquire(table)
    assert table.left() == {"rpm": 59, "tpm": 500}


def test_adjustments_are_written_once_on_exit(table: Table) -> None:
    with acquire(table) as lease:
        lease.adjust({"tpm": 312})
        lease.adjust({"tpm": -400, "rpm": 1})
        before = table.round_trips
    assert table.round_trips == before + 1
    assert table.left() == {"rpm": 58, "tpm": 588}
    assert lease.consumed == {"rpm": 2, "tpm": 412}
    assert (table.used("rpm"), table.used("tpm")) == (2, 412)


def test_an_adjustment_may_go_into_debt(table: Table) -> None:
    with acquire(table) as lease:
        lease.adjust({"tpm": 2_000})
    assert table.left()["tpm"] == -1_500
    with pytest.raises(RateLimitExceeded) as caught:
        table.limiter.acquire("key-1", "gpt-4", {"tpm": 0})
    assert caught.value.retry_after_ms == 90_000


def test_a_debt_outlives_the_time_to_live_that_its_bucket_had(table: Table) -> None:
    with acquire(table) as lease:
        lease.adjust({"tpm": 10_000_000})
    item = table.memory.items[schema.bucket_key("key-1", "gpt-4")]
    assert item[schema.EXPIRES_AT] > NOW_MS // 1000 + 9_999_000 * 60 // 1_000  # type: ignore[operator]  # a number
    table.limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    assert table.memory.items[schema.bucket_key("key-1", "gpt-4")][schema.EXPIRES_AT] == item[schema.EXPIRES_AT]


def test_settled_twice_is_settled_once(table: Table) -> None:
    lease = acquire(table)
    lease.adjust({"tpm": 100})
    lease.settle()
    lease.settle()
    lease.release()
    assert table.left()["tpm"] == 400


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_exception_of_any_kind_gives_the_tokens_back(table: Table, interruption: type[BaseException]) -> None:
    with pytest.raises(interruption), acquire(table) as lease:
        lease.adjust({"tpm": 100})
        lease.consume({"rpm": 3})
        raise interruption
    assert table.left() == {"rpm": 60, "tpm": 1_000}
    assert table.used("rpm") == 0


def test_consume_takes_more_from_the_bucket_and_not_from_a_copy(table: Table) -> None:
    with acquire(table) as lease:
        table.process().acquire("key-1", "gpt-4", {"tpm": 450})
        lease.consume({"tpm": 50})
        with pytest.raises(RateLimitExceeded):
            lease.consume({"tpm": 1})
    assert table.left()["tpm"] == 0


def test_two_leases_cannot_consume_the_same_last_tokens(table: Table) -> None:
    first, second = acquire(table), table.limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    granted = []

    def consume(lease: Lease) -> None:
        try:
            lease.consume({"tpm": 500})
            granted.append(lease)
        except RateLimitExceeded:
            pass

    threads = [threading.Thread(target=consume, args=(lease,)) for lease in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 1


def test_a_settlement_whose_reply_was_lost_is_written_once_when_repeated(table: Table) -> None:
    lease = acquire(table)
    lease.adjust({"tpm": 100})
    table.lose_replies = 1
    with pytest.raises(StoreError):
        lease.settle()
    lease.settle()
    assert table.left()["tpm"] == 400


def test_a_failed_return_does_not_hide_the_blocks_own_error(table: Table) -> None:
    with pytest.raises(ValueError, match="mine") as caught, acquire(table):
        table.lose_replies = 1
        raise ValueError("mine")
    assert "could not be given back" in caught.value.__notes__[0]


def test_an_adjustment_reaches_every_ancestor_that_limits_it(table: Table) -> None:
    admin = table.limiter
    admin.create_entity("project")
    admin.set_limits("project", [Limit.per_minute("tpm", 5_000)])
    admin.create_entity("child", "project")
    admin.set_limits("child", [Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 1_000)])
    with table.limiter.acquire("child", "gpt-4", {"rpm": 1}) as lease:
        lease.adjust({"tpm": 800})
    assert table.left("child") == {"rpm": 59, "tpm": 200}
    assert table.left("project") == {"tpm": 4_200}
    with table.limiter.acquire("child", "gpt-4", {"rpm": 1, "tpm": 100}) as lease:
        lease.adjust({"tpm": -100})
    assert table.left("project") == {"tpm": 4_200}


def test_a_correction_finds_its_bucket_under_changed_limits(table: Table) -> None:
    lease = acquire(table)
    table.process().set_limits("key-1", [Limit.per_hour("tpm", 600)])
    table.process().acquire("key-1", "gpt-4", {"tpm": 1})
    lease.release()
    assert table.left() == {"tpm": 599}


def test_a_debt_whose_bucket_was_deleted_creates_it_again(table: Table) -> None:
    lease = acquire(table)
    table.now_ms += 10 * 86_400_000
    table.memory.delete(schema.bucket_key("key-1", "gpt-4"))
    lease.adjust({"tpm": 300})
    lease.settle()
    assert table.left() == {"rpm": 60, "tpm": 700}
    table.limiter.acquire("key-1", "gpt-4", {"tpm": 700})
    assert table.left()["tpm"] == 0


def test_tokens_of_a_deleted_bucket_need_no_return(table: Table) -> None:
    lease = acquire(table)
    table.memory.delete(schema.bucket_key("key-1", "gpt-4"))
    lease.release()
    assert table.left() == {"rpm": 60, "tpm": 1_000}


@pytest.mark.parametrize(
    ("field", "use"),
    [
        ("adjust.tpm", lambda lease: lease.adjust({"tpm": 1.5})),
        ("adjust.tpm", lambda lease: lease.adjust({"tpm": True})),
        ("adjust.other", lambda lease: lease.adjust({"other": 1})),
        ("adjust.tpm", lambda lease: lease.adjust({"tpm": -501})),
        ("adjust.tpm", lambda lease: (lease.adjust({"tpm": -300}), lease.adjust({"tpm": -201}))),
        ("consume", lambda lease: lease.consume({})),
        ("consume.tpm", lambda lease: lease.consume({"tpm": -1})),
        ("lease", lambda lease: (lease.settle(), lease.adjust({"tpm": 1}))),
        ("lease", lambda lease: (lease.release(), lease.consume({"tpm": 1}))),
    ],
)
def test_misuse_names_what_is_wrong(table: Table, field: str, use: Callable[[Lease], object]) -> None:
    lease = acquire(table)
    with pytest.raises(InvalidRequest) as caught:
        use(lease)
    assert caught.value.field == field
