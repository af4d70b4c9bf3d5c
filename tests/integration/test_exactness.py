"""Threads of several processes at one bucket, on DynamoDB Local: never too much, and hardly less."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, cast

from leasegate import Limit, Limiter, RateLimitExceeded, bucket, schema
from leasegate.operations import Applied, Item, Operation, Outcome, Update
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.session import wall_clock_ms
from leasegate.simulation.ledger import Line

if TYPE_CHECKING:
    from tests.fixtures.dynamodb import Table

PROCESSES = 4
THREADS = 32
SECONDS = 6
LONGEST_SECONDS = 60
LIMIT = Limit.per_second("tpm", 40, burst=200)  # so that a stall of the machine fills no bucket


class AppliedWrites:
    """Keeps the item that every applied write of a bucket left."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._lock = Lock()

    def __call__(
        self, operations: tuple[Operation, ...], outcomes: tuple[Outcome, ...], _start_ns: int, _end_ns: int
    ) -> None:
        for operation, outcome in zip(operations, outcomes, strict=True):
            if (
                isinstance(operation, Update)
                and operation.key.pk.startswith("BUCKET#")
                and isinstance(outcome, Applied)
            ):
                assert outcome.item is not None
                with self._lock:
                    self._items.append(outcome.item)

    def in_order(self) -> list[Item]:
        """Return the items in the order in which the table applied the writes."""
        return sorted(self._items, key=lambda item: cast("int", item[schema.VERSION]))


def left(item: Item) -> int:
    """Count the tokens that a write left behind at its own time."""
    tat = cast("int", item[schema.tat_attribute(LIMIT.name)])
    return bucket.tokens_available(LIMIT, tat, cast("int", item[schema.WRITTEN_AT]))


class Spenders:
    """Threads that acquire one token after the other, coming back when told to.

    They stop when refused some seconds after the first refusal, so that a slow machine only takes longer.
    """

    def __init__(self, limiters: list[Limiter]) -> None:
        self._limiters = limiters
        self._longest_ms = self._end_ms = wall_clock_ms() + LONGEST_SECONDS * 1000
        self._is_burst_over = False

    def count_grants(self, number: int) -> int:
        granted = 0
        while wall_clock_ms() < self._longest_ms:
            try:
                self._limiters[number % PROCESSES].acquire("key-1", "gpt-4", {LIMIT.name: 1}, timeout_ms=10_000)
                granted += 1
            except RateLimitExceeded as refusal:
                if not self._is_burst_over:
                    self._is_burst_over, self._end_ms = True, wall_clock_ms() + SECONDS * 1000
                if wall_clock_ms() >= self._end_ms:
                    break
                time.sleep(min(refusal.retry_after_ms, 50) / 1000)
        return granted


def test_thirty_two_threads_get_what_the_limit_allows_and_no_more(table: Table) -> None:
    applied = AppliedWrites()
    with DynamoRepository(table.client, table.name, observer=applied) as repository:
        limiters = [Limiter(repository) for _ in range(PROCESSES)]
        limiters[0].set_limits("key-1", [LIMIT])
        start_ms = wall_clock_ms()  # not after the first grant, whose own reading nobody tells
        limiters[0].acquire("key-1", "gpt-4", {LIMIT.name: 1})
        with ThreadPoolExecutor(THREADS) as pool:
            granted = 1 + sum(pool.map(Spenders(limiters).count_grants, range(THREADS)))
        items = applied.in_order()

    used = [1] + [cast("int", item[schema.used_attribute(LIMIT.name)]) for item in items]
    at_ms = [start_ms] + [cast("int", item[schema.WRITTEN_AT]) for item in items]
    assert used[-1] == granted, "what the bucket says was spent is what the threads were granted"

    terms = (LIMIT.capacity, LIMIT.amount, LIMIT.period_ms)
    line = Line()
    assert line.spend(terms, 1, start_ms)
    for (before, after), now_ms in zip(pairwise(used), at_ms[1:], strict=True):
        assert line.spend(terms, after - before, now_ms), f"over-admitted at {now_ms}"

    burst_over = next(n for n, item in enumerate(items, 1) if left(item) == 0)
    refilled = (at_ms[-1] - at_ms[burst_over]) * LIMIT.amount // LIMIT.period_ms
    assert refilled > 100
    assert used[-1] - used[burst_over] >= 0.98 * refilled


def test_a_burst_of_threads_gets_exactly_the_capacity_at_one_instant(table: Table) -> None:
    with DynamoRepository(table.client, table.name) as repository:
        now_ms = wall_clock_ms()
        limiters = [Limiter(repository, clock=lambda: now_ms) for _ in range(PROCESSES)]
        limiters[0].set_limits("key-1", [Limit.per_day("rpd", 50)])

        def count_grants(number: int) -> int:
            granted = 0
            for _ in range(5):
                try:
                    limiters[number % PROCESSES].acquire("key-1", "gpt-4", {"rpd": 1}, timeout_ms=10_000)
                    granted += 1
                except RateLimitExceeded:
                    pass
            return granted

        with ThreadPoolExecutor(THREADS) as pool:
            assert sum(pool.map(count_grants, range(THREADS))) == 50
