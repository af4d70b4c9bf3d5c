"""Calls and capacity units of the public operations, next to the sequential algorithm's: exact in every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from leasegate import Limit
from leasegate.metering import Meter
from leasegate.repository.dynamodb import DynamoRepository
from scripts import costs
from scripts.costs.acquires import NAMES, cold, first_ever, refused, warm, warm_cascade
from scripts.costs.administration import ADMINISTRATION
from scripts.costs.tables import LIMITS, Situation, Table
from scripts.costs.usage import USAGE
from scripts.generate_benchmark_report import DOCS, PAGE, TABLES, render
from scripts.generated import filled_in
from tests.benchmark.baseline import Bill, Counted, as_sequential
from tests.benchmark.sequential.app import SequentialLimiter
from tests.benchmark.turns import OURS, SEQUENTIAL

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from tests.fixtures.dynamodb import Table as LocalTable

type Prepare = Callable[[SequentialLimiter], Callable[[], object]]
"""Prepares the sequential algorithm's table, and returns the call to count."""

BUCKETS: Final = 28
"""An entity with so many buckets is 30 items: the record and the limits are the others."""
EIGHT: Final = tuple([Limit.per_minute(name, 60) for name in NAMES])


class Case(NamedTuple):
    """What is done, and what it costs; and the same by the sequential algorithm, where it can do that."""

    ours: Situation
    costs: Bill
    prepare: Prepare | None = None
    sequential: Bill | None = None


def spends(
    limits: tuple[Limit, ...] = LIMITS, *, cascade: bool = False, before: int = 1, at_once: int = 1
) -> Prepare:
    """Prepare limits of an entity, and of its parent in a cascade; spend before, so many times."""

    def prepare(limiter: SequentialLimiter) -> Callable[[], object]:
        entities = ("project", "key-1") if cascade else ("key-1",)
        for parent_id, entity_id in zip((None, *entities), entities, strict=False):
            limiter.create_entity(entity_id, parent_id)
            limiter.set_limits(as_sequential(limits), entity_id)
        consume = {limit.name: at_once for limit in limits}

        def acquire() -> object:
            return limiter.acquire("key-1", "gpt-4", consume, cascade=cascade)

        for _ in range(before):
            acquire()
        return acquire

    return prepare


def sets_limits(limiter: SequentialLimiter) -> Callable[[], object]:
    return lambda: limiter.set_limits(as_sequential(LIMITS), "key-1")


def deleted(table: Table) -> Callable[[], object]:
    """Prepare an entity of 30 items."""
    admin = table.process()
    admin.create_entity("key-1")
    admin.set_limits("key-1", LIMITS)
    for number in range(BUCKETS):
        admin.acquire("key-1", f"model-{number}", {"rpm": 1})
    return lambda: admin.delete_entity("key-1")


def looks(table: Table) -> Callable[[], object]:
    """Prepare a known bucket, and a look at it."""
    warm(2)(table)
    limiter = table.process()
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    return lambda: limiter.available("key-1", "gpt-4")


CASES: Final = {
    **{
        f"acquire, known bucket, {count} limit{'s' * (count > 1)}": Case(
            warm(count), Bill(1, 0, 1), spends(EIGHT[:count]), Bill(count + 3, count + 1, 2 * count)
        )
        for count in (1, 2, 5, 8)
    },
    "acquire, known, cascade of 2 levels": Case(
        warm_cascade("project", "key-1"), Bill(2, 0, 2), spends(cascade=True), Bill(10, 6.5, 8)
    ),
    "acquire, stored limits, cold process": Case(cold("key-1"), Bill(2, 6, 1), spends(), Bill(5, 3, 4)),
    "acquire, stored limits, cold process, cascade": Case(
        cold("project", "key-1"), Bill(4, 10, 2), spends(cascade=True), Bill(10, 6.5, 8)
    ),
    "acquire, bucket that does not exist yet": Case(first_ever, Bill(2, 6, 8), spends(before=0), Bill(5, 3, 4)),
    "acquire, refused": Case(refused, Bill(1, 0, 1), spends(before=60), Bill(4, 3, 0)),
    "available": Case(looks, Bill(1, 6, 0)),
    "set_limits of an entity with a bucket": Case(
        ADMINISTRATION["set limits that another process set before, and tell the bucket"],
        Bill(5, 1, 14),
        sets_limits,
        Bill(2, 0, 2),
    ),
    "delete_entity, 30 items": Case(deleted, Bill(74, 12, 130)),
    "list_resources_with_defaults": Case(ADMINISTRATION["list the resources that have defaults"], Bill(1, 1, 0)),
    "aggregator, 10,000 records of 40 buckets": Case(USAGE["count the next 10,000"], Bill(80, 0, 240)),
}


@pytest.mark.benchmark(group="capacity")
@pytest.mark.parametrize("name", CASES)
def test_an_operation_costs_exactly_this(benchmark: BenchmarkFixture, table: LocalTable, name: str) -> None:
    case = CASES[name]
    meter = Meter()
    with DynamoRepository(*table, observer=meter) as repository:
        prepared = Table(repository, meter)
        call = case.ours(prepared)
        meter = benchmark.pedantic(costs.tables.measure, (prepared, call))
    bill = Bill(meter.calls, meter.read_units, meter.write_units)
    benchmark.extra_info |= {"case": name, OURS: bill, SEQUENTIAL: case.sequential}
    assert bill == case.costs


def test_the_page_says_so() -> None:
    results = [{"case": name, OURS: case.costs, SEQUENTIAL: case.sequential} for name, case in CASES.items()]
    rendered = render(TABLES["capacity"], {"capacity": results})
    assert filled_in((DOCS / PAGE).read_text(), "benchmarks: capacity").rstrip() == rendered


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.prepare is not None])
def test_the_sequential_algorithm_costs_exactly_this(table: LocalTable, name: str) -> None:
    case = CASES[name]
    assert case.prepare is not None
    call = case.prepare(SequentialLimiter(*table, lambda: 4_000_000_000.0))
    assert Counted(table.client).bill(call) == case.sequential
