"""What X-Ray records of counting usage by the built function.

The README counts 10,000 records of 40 buckets. That is 80 writes, more than the repository has threads to send
side by side, so these batches are of fewer buckets, and so are those in memory that they are held to. Each bucket
is two writes, one by the hour and one by the day.
"""

from __future__ import annotations

import time
from typing import Any, Final

import pytest

from leasegate import Limit, Limiter
from leasegate.knowledge import Recent
from scripts.costs.tables import Table, measure
from scripts.costs.usage import changes, count
from tests.samples import load_event
from tests.stream import StreamedMemory
from tests.traces.conftest import MANY_DELAY_MS, Launch
from tests.traces.instances import Instance, Invocation, beside, check
from tests.traces.scenes import Scene

BUCKETS: Final = 4
RECORDS: Final = 3 * BUCKETS
WRITES: Final = beside("UpdateItem", 2 * BUCKETS)
LIMIT: Final = Limit.per_day("requests", 1_000_000)


@pytest.fixture(scope="module")
def counter(launch: Launch) -> Instance:
    """Run an instance that counts one batch after the other."""
    return launch("AggregatorFunction", delay_ms=MANY_DELAY_MS)


def batches(scene: Scene, count: int) -> list[dict[str, Any]]:
    """Return events of the stream, one after the other, each of several changes of every bucket in one hour."""
    memory = StreamedMemory()
    now_ms = int(time.time() * 1_000)
    limiter = Limiter(memory, clock=lambda: now_ms)
    events = []
    for _ in range(count):
        start = len(memory.records)
        for number in range(RECORDS):
            name = scene.entity(f"key-{number % BUCKETS}")
            limiter.acquire(name, scene.resource, {"requests": 1}, limits=[LIMIT])
        events.append({"Records": memory.records[start:]})
    return events


def counted_in_memory(*, batches_before: int, knows_totals: bool = True) -> tuple[int, int]:
    """Return the round trips and calls of a batch in memory, where a round trip is a yield of the flow."""
    table, totals = Table.in_memory(), Recent[Any, Any](1_000)
    *earlier, batch = [
        changes(table, buckets=BUCKETS, records=RECORDS, batch=number) for number in range(batches_before + 1)
    ]
    for records in earlier:
        count(table, records, totals)()
    meter = measure(table, count(table, batch, totals if knows_totals else Recent(1_000)))
    return meter.round_trips, meter.calls


def seen(invocation: Invocation) -> tuple[int, int]:
    """Return the sequential depth and the calls of a trace."""
    return invocation.trace.depth, len(invocation.trace.calls)


def test_the_first_batch_of_an_hour_is_a_read_and_writes_side_by_side(counter: Instance, scene: Scene) -> None:
    (first,) = batches(scene, 1)
    counted = counter.invoke(first)
    assert (counted.answer["writes"], counted.answer["batchItemFailures"]) == (2 * BUCKETS, [])
    check(counted, "BatchGetItem", WRITES)
    assert seen(counted) == counted_in_memory(batches_before=0)


def test_the_next_batch_is_one_step_and_the_same_again_is_no_call(counter: Instance, scene: Scene) -> None:
    first, second = batches(scene, 2)
    counter.invoke(first)
    counted, again = counter.invoke(second), counter.invoke(second)
    check(counted, WRITES)
    assert seen(counted) == counted_in_memory(batches_before=1)
    assert again.answer["duplicates"] == RECORDS
    check(again)


def test_an_instance_that_knows_no_totals_reads_them_first(
    counter: Instance, launch: Launch, scene: Scene
) -> None:
    first, second = batches(scene, 2)
    counter.invoke(first)
    counted = launch("AggregatorFunction", delay_ms=MANY_DELAY_MS).invoke(second)
    check(counted, "BatchGetItem", WRITES)
    assert seen(counted) == counted_in_memory(batches_before=1, knows_totals=False)


def test_the_sample_of_a_batch_is_counted_once(counter: Instance) -> None:
    sample = load_event("aggregator_batch")
    counted, again = counter.invoke(sample), counter.invoke(sample)
    assert counted.answer["writes"] > 0
    check(counted, "BatchGetItem", beside("UpdateItem", counted.answer["writes"]))
    check(again)
