"""What counting usage costs, in memory and on DynamoDB Local: a write for each bucket and window, no more."""

from __future__ import annotations

from functools import cache

import pytest

from leasegate import Limit, Limiter, RateLimitExceeded
from leasegate.aggregator import Aggregator
from leasegate.metering import item_size
from leasegate.records import CountReport
from leasegate.repository.memory import MemoryRepository
from leasegate.stream import StreamRecord
from leasegate.windows import DEFAULT_PLAN, WINDOWS, UsagePlan
from scripts.costs.tables import START_MS
from tests.fixtures.stores import Cost, Store
from tests.stream import StreamedMemory

HOUR_MS = 3_600_000
BUCKETS = 40
RECORDS = 10_000
NOON_MS = START_MS - START_MS % HOUR_MS
EVERY = UsagePlan(dict.fromkeys(WINDOWS, 400))


@cache
def records(count: int = RECORDS, buckets: int = BUCKETS) -> tuple[StreamRecord, ...]:
    """Return what the stream has of so many acquires within a minute, spread evenly over the buckets."""
    table = StreamedMemory()
    now_ms = NOON_MS
    limiter = Limiter(table, clock=lambda: now_ms)
    limiter.set_system_defaults([Limit.per_minute("rpm", 60_000), Limit.per_minute("tpm", 10_000_000)])
    for number in range(count):
        now_ms = NOON_MS + number * 50_000 // count
        limiter.acquire(f"key-{number % buckets}", "gpt-4", {"rpm": 1, "tpm": 100})
    assert len(table.records) == count
    return tuple(table.records)


def count(
    store: Store, batch: tuple[StreamRecord, ...], aggregator: Aggregator, least_trips: int = 1
) -> tuple[CountReport, Cost]:
    reports: list[CountReport] = []
    cost = store.cost(lambda: reports.append(aggregator.count(batch, timeout_ms=60_000)))
    assert len(cost.trips) >= least_trips
    return reports[0], cost


def aggregator(store: Store, plan: UsagePlan = DEFAULT_PLAN) -> Aggregator:
    """Return a function that just started."""
    return Aggregator(store.repository, plan=plan, clock=lambda: NOON_MS + HOUR_MS)


def updates(cost: Cost) -> int:
    return sum(trip.split("+").count("Update") for trip in cost.trips)


@pytest.mark.parametrize("plan", [DEFAULT_PLAN, EVERY], ids=["hour and day", "every window"])
def test_ten_thousand_records_of_forty_buckets_are_a_write_for_each_bucket_and_window(
    store: Store, plan: UsagePlan
) -> None:
    groups = BUCKETS * len(plan.windows)
    report, cost = count(store, records(), aggregator(store, plan))
    assert (report.records, report.groups, report.writes) == (RECORDS, groups, groups)
    assert (report.failures, report.unreadable, report.duplicates) == ({}, {}, 0)
    assert cost.trips[0] == "BatchGet"
    assert len(cost.trips) == 1 + -(-groups // 100)
    # One unit for the item and one for its entry in the index; half a one for each look that finds nothing.
    assert (updates(cost), cost.write_units, cost.read_units) == (groups, 2 * groups, groups / 2)


def test_the_totals_of_ten_thousand_records_are_what_was_granted(store: Store) -> None:
    aggregator(store).count(records(), timeout_ms=60_000)
    reader = Limiter(store.repository, clock=lambda: NOON_MS + HOUR_MS)
    for number in range(BUCKETS):
        for window in DEFAULT_PLAN.windows:
            (record,) = reader.usage(f"key-{number}", "gpt-4", window).items
            assert record.grants == record.limits["rpm"].tokens == RECORDS // BUCKETS
            assert record.limits["tpm"].tokens == 100 * RECORDS // BUCKETS


def test_the_next_batch_of_a_process_is_one_round_trip_without_a_read(store: Store) -> None:
    counter = aggregator(store)
    batch = records(400)
    count(store, batch[:360], counter)
    report, cost = count(store, batch[360:], counter)
    assert (report.writes, cost.trips) == (80, ("+".join(["Update"] * 80),))
    # The bits of what was counted stay the same, so the index is not written.
    assert (cost.write_units, cost.read_units) == (80, 0)


def test_another_magnitude_moves_the_entry_of_the_index_which_is_two_units(store: Store) -> None:
    counter = aggregator(store)
    batch = records(8, 1)
    for first, units in ((0, 4), (1, 6), (2, 6), (3, 2), (4, 2), (5, 6), (6, 2), (7, 2)):
        assert count(store, batch[first : first + 1], counter)[1].write_units == units, first


def test_a_repeated_batch_costs_nothing_where_its_totals_are_remembered(store: Store) -> None:
    counter = aggregator(store)
    batch = records(400)
    count(store, batch, counter)
    report, cost = count(store, batch, counter, least_trips=0)
    assert (report.duplicates, report.writes) == (400, 0)
    assert cost == Cost((), 0, 0)


def test_a_repeated_batch_costs_another_process_one_look(store: Store) -> None:
    batch = records(400)
    count(store, batch, aggregator(store))
    report, cost = count(store, batch, aggregator(store))
    assert (report.duplicates, report.writes) == (400, 0)
    assert cost == Cost(("BatchGet",), 0, 40)


def test_an_old_memory_costs_a_refused_write_for_each_group_once(store: Store) -> None:
    batch = records(400)
    old, other = aggregator(store), aggregator(store)
    count(store, batch[:200], old)
    count(store, batch[200:360], other)
    report, cost = count(store, batch[360:], old)
    assert (report.groups, report.writes, report.failures) == (80, 160, {})
    assert (len(cost.trips), cost.write_units) == (2, 160)


def test_totals_of_four_limits_under_long_names_are_one_unit() -> None:
    names = [f"name-of-16-char{number}" for number in range(4)]
    limits = [Limit.per_minute(name, 10_000_000) for name in names]
    table, totals = StreamedMemory(), MemoryRepository()
    limiter = Limiter(table, clock=lambda: NOON_MS)
    for _ in range(3):
        limiter.acquire("k" * 64, "r" * 64, dict.fromkeys(names, 1_234_567), limits=limits)
    with pytest.raises(RateLimitExceeded):
        limiter.acquire("k" * 64, "r" * 64, dict.fromkeys(names, 9_999_999), limits=limits)
    limiter.acquire("k" * 64, "r" * 64, dict.fromkeys(names, 1_234_567), limits=limits)
    Aggregator(totals, plan=EVERY, clock=lambda: NOON_MS).count(table.records)
    sizes = {key.sk.partition("#")[0]: item_size(key, item) for key, item in totals.items.items()}
    assert sizes.keys() == set(WINDOWS)
    assert max(sizes.values()) < 1_024
