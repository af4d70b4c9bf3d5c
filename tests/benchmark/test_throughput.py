"""How much a process gets through on DynamoDB Local, and what it takes where many ask for one bucket."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final

import pytest

from leasegate import Limit
from tests.benchmark.arena import RESOURCE, Arena, Watch, is_refused, lasting
from tests.benchmark.baseline import Counted
from tests.benchmark.sequential.app import Overtaken
from tests.benchmark.turns import OURS, SEQUENTIAL, rounds_made, take_turns

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS: Final = 5
THREADS: Final = 8
BATCH: Final = 48
"""How many acquires there are in a round."""
CONSUME: Final = {"rpm": 1, "tpm": 1}
CALLS_MAX: Final = 2.0
"""Calls for each grant, where many ask for one bucket."""


def in_threads(call: Callable[[str], object], entity_ids: list[str], batch: int, pool: ThreadPoolExecutor) -> None:
    """Make so many calls, for the entities in turn."""
    list(pool.map(call, islice(cycle(entity_ids), batch)))


@pytest.mark.benchmark(group="throughput")
@pytest.mark.parametrize(
    ("threads", "entities"),
    [(1, 1), (1, 100), (THREADS, 1), (THREADS, THREADS)],
    ids=["one after the other", "round robin", "threads on one entity", "threads on entities of their own"],
)
def test_grants(
    benchmark: BenchmarkFixture, on: Arena, threads: int, entities: int, request: pytest.FixtureRequest
) -> None:
    batch = BATCH if benchmark.enabled else THREADS
    entity_ids = [f"key-{number}" for number in range(entities if benchmark.enabled else min(entities, THREADS))]
    for entity_id in entity_ids:
        on.store(lasting(2), entity_id)
    sequential = on.sequential()

    def until_granted(entity_id: str) -> None:
        while True:
            try:
                assert sequential.acquire(entity_id, RESOURCE, CONSUME)
            except Overtaken:
                continue
            return

    with on.process() as limiter, ThreadPoolExecutor(threads) as pool:
        compared = take_turns(
            benchmark,
            lambda: in_threads(lambda one: limiter.acquire(one, RESOURCE, CONSUME), entity_ids, batch, pool),
            {SEQUENTIAL: lambda: in_threads(until_granted, entity_ids, batch, pool)},
            rounds=ROUNDS,
        )
        left = {one: limiter.available(one, RESOURCE)["rpm"].available for one in entity_ids}
    if compared is not None:
        benchmark.extra_info |= {"case": request.node.callspec.id, "batch": batch, **compared.describe()}
    assert sum([1_000_000 - tokens for tokens in left.values()]) == batch * rounds_made(benchmark, ROUNDS)


@pytest.mark.benchmark(group="throughput")
def test_refusals(benchmark: BenchmarkFixture, on: Arena) -> None:
    batch = BATCH if benchmark.enabled else THREADS
    on.store(lasting(2, burst=1), "key-1")
    sequential = on.sequential()
    watch = Watch()
    with on.process(watch) as limiter:

        def ours() -> object:
            return limiter.acquire("key-1", RESOURCE, CONSUME)

        def theirs() -> object:
            return sequential.acquire("key-1", RESOURCE, CONSUME)

        assert not is_refused(ours)
        assert not is_refused(theirs)
        compared = take_turns(
            benchmark,
            lambda: [is_refused(ours) for _ in range(batch)],
            {SEQUENTIAL: lambda: [is_refused(theirs) for _ in range(batch)]},
            rounds=ROUNDS,
        )
    if compared is not None:
        benchmark.extra_info |= {"case": "refusals", "batch": batch, **compared.describe()}
    assert watch.refused >= 1


@pytest.mark.benchmark(group="contention")
@pytest.mark.parametrize(
    ("case", "limits"),
    [
        ("idle: a grant is refilled before the next", [Limit.per_second(name, 1_000_000) for name in CONSUME]),
        ("now idle, now busy: some 2,000 a second", [Limit.per_second(name, 2_000) for name in CONSUME]),
        ("busy: next to nothing is refilled", list(lasting(2))),
    ],
)
def test_processes_that_ask_for_one_bucket(
    benchmark: BenchmarkFixture, on: Arena, case: str, limits: list[Limit]
) -> None:
    each = BATCH // THREADS * (10 if benchmark.enabled else 1)
    on.store(limits, "key-1")
    sequential, counted, watch = on.sequential(), Counted(on.plain), Watch()

    def sequentially(_number: int) -> int:
        granted = 0
        for _ in range(each // 6):
            try:
                granted += sequential.acquire("key-1", RESOURCE, CONSUME)
            except Overtaken:
                continue
        return granted

    with ExitStack() as stack, ThreadPoolExecutor(THREADS) as pool:
        processes = [stack.enter_context(on.process(watch)) for _ in range(THREADS)]
        for process in processes:
            process.acquire("key-1", RESOURCE, CONSUME)
        watch.calls = watch.refused = 0

        def concurrently(number: int) -> int:
            for _ in range(each):
                processes[number].acquire("key-1", RESOURCE, CONSUME)
            return each

        granted = sum(benchmark.pedantic(lambda: list(pool.map(concurrently, range(THREADS)))))
        theirs: list[int] = []
        bill = counted.bill(lambda: theirs.extend(pool.map(sequentially, range(THREADS))))
    benchmark.extra_info |= {
        "case": case,
        "grants": granted,
        "missed": watch.refused,
        "calls_for_a_grant": {OURS: watch.calls / granted, SEQUENTIAL: bill.calls / sum(theirs)},
    }
    assert granted == THREADS * each
    assert watch.calls == granted + watch.refused
    assert watch.calls <= CALLS_MAX * granted
