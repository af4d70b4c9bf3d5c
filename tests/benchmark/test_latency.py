"""How long an acquire takes on DynamoDB Local, next to plain boto3 and to the sequential algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import pytest

from leasegate import Knowledge, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from tests.benchmark.arena import RESOURCE, Arena, is_refused, lasting
from tests.benchmark.turns import BOTO3, SEQUENTIAL, take_turns

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS: Final = 15
CALLS: Final = 20
PERCENTILES: Final = (50, 95, 99)
PLAIN_GATE: Final = 0.60
"""What an acquire may take of the same UpdateItem by plain boto3."""
CASCADE_GATE: Final = 0.15
"""What one of two limits and two levels may take of the sequential algorithm's."""

pytestmark = pytest.mark.benchmark(group="latency")


def compare(
    benchmark: BenchmarkFixture,
    case: str,
    ours: Callable[[], object],
    gates: dict[str, float],
    **others: Callable[[], object],
) -> None:
    compared = take_turns(benchmark, ours, others, rounds=ROUNDS, calls=CALLS)
    if compared is not None:
        benchmark.extra_info |= {"case": case, "gates": gates, **compared.describe(PERCENTILES)}
        for other, gate in gates.items():
            assert compared.ratio_to(other) <= gate


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_known_bucket(benchmark: BenchmarkFixture, on: Arena, count: int) -> None:
    limits = lasting(count)
    consume = dict.fromkeys([limit.name for limit in limits], 1)
    on.store(limits, "key-1")
    sequential = on.sequential()
    others = {
        BOTO3: on.plain_update(limits, "key-2"),
        SEQUENTIAL: lambda: sequential.acquire("key-1", RESOURCE, consume),
    }
    with on.process() as limiter:
        compare(
            benchmark,
            f"known bucket, {count} limit{'s' * (count > 1)}",
            lambda: limiter.acquire("key-1", RESOURCE, consume),
            {BOTO3: PLAIN_GATE},
            **others,
        )


def test_a_cascade(benchmark: BenchmarkFixture, on: Arena) -> None:
    consume = {"rpm": 1, "tpm": 1}
    on.store(lasting(2), "project", "key-1")
    sequential = on.sequential()
    with on.process() as limiter:
        compare(
            benchmark,
            "known, cascade of 2 levels, 2 limits",
            lambda: limiter.acquire("key-1", RESOURCE, consume),
            {SEQUENTIAL: CASCADE_GATE},
            **{SEQUENTIAL: lambda: sequential.acquire("key-1", RESOURCE, consume, cascade=True)},
        )


def test_a_process_that_knows_nothing(benchmark: BenchmarkFixture, on: Arena) -> None:
    consume = {"rpm": 1, "tpm": 1}
    on.store(lasting(2), "key-1")
    sequential = on.sequential()
    with DynamoRepository(on.client, on.table_name) as repository:
        compare(
            benchmark,
            "cold process, 2 limits",
            lambda: Limiter(repository).acquire("key-1", RESOURCE, consume),
            {},
            **{SEQUENTIAL: lambda: sequential.acquire("key-1", RESOURCE, consume)},
        )


@pytest.mark.parametrize(("age_ms", "case"), [(0, "refused"), (60_000, "refused, and remembered")])
def test_a_refusal(benchmark: BenchmarkFixture, on: Arena, age_ms: int, case: str) -> None:
    consume = {"rpm": 1, "tpm": 1}
    on.store(lasting(2, burst=1), "key-1")
    sequential = on.sequential()
    with DynamoRepository(on.client, on.table_name) as repository:
        limiter = Limiter(repository, knowledge=Knowledge(refusal_age_ms=age_ms))

        def ours() -> object:
            return limiter.acquire("key-1", RESOURCE, consume)

        def theirs() -> object:
            return sequential.acquire("key-1", RESOURCE, consume)

        assert [is_refused(call) for call in (ours, ours, theirs, theirs)] == [False, True] * 2
        compare(benchmark, case, lambda: is_refused(ours), {}, **{SEQUENTIAL: lambda: is_refused(theirs)})


def test_a_look(benchmark: BenchmarkFixture, on: Arena) -> None:
    on.store(lasting(2), "key-1")
    with on.process() as limiter:
        limiter.acquire("key-1", RESOURCE, {"rpm": 1})
        compare(benchmark, "available, 2 limits", lambda: limiter.available("key-1", RESOURCE), {})
