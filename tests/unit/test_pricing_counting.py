"""The formulas of what counting usage costs, held to the aggregator and to every way that things can fall."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leasegate import Limit, Limiter, RateLimitExceeded
from leasegate.aggregator import TOTALS_REMEMBERED, Aggregator
from leasegate.changes import BucketChange
from leasegate.flows.grouping import group_changes
from leasegate.metering import Meter
from leasegate.pricing.counting import Counted, Total, changes_of, count, taken, write_units_of
from leasegate.pricing.shapes import Family, Shape
from leasegate.pricing.traffic import Traffic
from leasegate.repository.memory import MemoryRepository
from leasegate.windows import DEFAULT_PLAN, UsagePlan
from tests.stream import StreamedMemory

NOON_MS = 4_102_488_000_000
HALF = Decimal("0.5")
HOURLY = UsagePlan({"hour": 35})


def change(entity_id: str, version: int) -> BucketChange:
    return BucketChange(entity_id, "gpt-4", version - 1, version, NOON_MS, {"rpm": 1}, 1, {}, {"rpm": 1})


# --- how many places are taken -----------------------------------------------------------------------


@pytest.mark.parametrize(("places", "things"), [(1, 5), (2, 1), (2, 4), (3, 4), (4, 3), (5, 5)])
def test_the_buckets_of_a_batch_are_as_many_as_in_the_mean_of_all_ways_to_spend(places: int, things: int) -> None:
    groups = [
        len(group_changes([change(f"key-{n}", v) for v, n in enumerate(way, start=1)], HOURLY, NOON_MS))
        for way in product(range(places), repeat=things)
    ]
    mean = Fraction(sum(groups), len(groups))
    assert abs(Fraction(taken(Decimal(places), Decimal(things))) - mean) < Fraction(1, 10**25)


@given(places=st.integers(1, 10**15), things=st.integers(0, 10**15))
def test_no_more_places_are_taken_than_there_are_and_than_things_that_fall(places: int, things: int) -> None:
    found = taken(Decimal(places), Decimal(things))
    assert 0 <= found <= min(places, things)
    assert found >= min(1, things)


# --- writes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [1, 2, 5, 8, 12])
@pytest.mark.parametrize("batches", range(1, 10))
def test_the_writes_of_totals_cost_what_the_formula_says(limits: int, batches: int) -> None:
    names = [f"lim{number:02}" for number in range(limits)]
    table, meter = StreamedMemory(), Meter()
    limiter = Limiter(table, clock=lambda: NOON_MS)
    limiter.set_system_defaults([Limit.per_day(name, 10**9) for name in names])
    totals = MemoryRepository(observer=meter)
    counter = Aggregator(totals, clock=lambda: NOON_MS)
    # All that a batch counts of a bucket is 2^19 - 1: sums of it get another bit as early as can be.
    amounts = dict.fromkeys(names, 1) | {names[0]: 2**19 - 2 - (limits - 1)}
    for batch in range(batches):
        table.records.clear()
        for entity_id in ("key-1", "key-2", "key-3"):
            limiter.acquire(entity_id, "gpt-4", amounts)
        assert counter.count(table.records).writes == 3 * len(DEFAULT_PLAN.windows), batch
    items = 3 * len(DEFAULT_PLAN.windows)
    units = {Total.of(Family(Shape(), limits), window, DEFAULT_PLAN).units for window in DEFAULT_PLAN.windows}
    assert units == {1}
    assert meter.write_units == write_units_of(Decimal(items * batches), Decimal(items), 1)
    assert Decimal(meter.read_units) == items * HALF, "each was looked for once"


def test_an_entry_moves_no_more_often_than_its_total_is_written_again() -> None:
    assert write_units_of(Decimal("1.5"), Decimal(1), 1) == Decimal("1.5") + 1 + 2 * HALF
    assert write_units_of(Decimal(10), Decimal(2), 3) == 10 * 3 + 2 * (1 + 2 * 3)
    assert write_units_of(Decimal(0), Decimal(0), 1) == 0


def test_totals_are_sized_as_they_are_written() -> None:
    shape = Shape()
    total = Total.of(Family(shape, 2), "hour", DEFAULT_PLAN)
    assert total.units == 1
    assert 200 < total.entry_bytes < total.item_bytes < 1_024
    assert Total.of(Family(Shape(ids=256, names=32), 16), "hour", DEFAULT_PLAN).units == 3


# --- changes -------------------------------------------------------------------------------------------


def test_every_change_of_a_bucket_is_one_that_the_formula_knows() -> None:
    table = StreamedMemory()
    limiter = Limiter(table, clock=lambda: NOON_MS)
    for parent_id, entity_id in ((None, "top"), ("top", "middle"), ("middle", "key-2")):
        limiter.create_entity(entity_id, parent_id)
        limiter.set_limits(entity_id, [Limit.per_day("tpm", 10_000)])
    limiter.set_limits("top", [Limit.per_day("tpm", 1_000)])
    limiter.create_entity("key-1")
    limiter.set_limits("key-1", [Limit.per_day("tpm", 1_000)])
    for entity_id in ("key-1", "key-2"):
        for number in range(10):
            lease = limiter.acquire(entity_id, "gpt-4", {"tpm": 10}, durable=number < 5)
            if number < 5:
                lease.release()
            elif number % 2:
                lease.adjust({"tpm": 5})
                lease.settle()
        with pytest.raises(RateLimitExceeded):
            limiter.acquire(entity_id, "gpt-4", {"tpm": 999})
        with pytest.raises(RateLimitExceeded, match="tpm"):
            limiter.acquire(entity_id, "gpt-4", {"tpm": 999}, durable=True)
    traffic = Traffic(
        acquires=24, cascade=HALF, levels=3, refused=Decimal(4) / 24, durable=HALF, adjusted=Decimal("0.6")
    )
    assert (round(traffic.granted), round(traffic.stored), round(traffic.corrected)) == (20, 10, 6)
    assert len(table.records) == round(sum(changes_of(traffic)))


# --- a month -------------------------------------------------------------------------------------------


def month(plan: UsagePlan = HOURLY, **fields: int) -> Counted:
    return count(Traffic(**fields), plan)  # type: ignore[arg-type]  # fields of integers


def test_rare_changes_are_a_batch_and_a_write_each() -> None:
    counted = month(acquires=1_000, buckets=1_000)
    assert (round(counted.batches), round(counted.writes), round(counted.totals["hour"])) == (1_000, 1_000, 999)


def test_fast_changes_fill_their_batches() -> None:
    counted = month(acquires=10**11, buckets=100, usage_batch=1_000, shards=4)
    assert counted.batches == 10**8
    assert round(counted.writes) == 25 * 10**8, "every bucket of a shard is in each of its batches"
    assert round(counted.totals["hour"]) == 100 * 730
    assert round(counted.read_units) == 100 * 730 * 4 / 2


@pytest.mark.parametrize("batch", [1, 10, 100])
def test_no_bucket_is_written_more_often_than_it_changes_nor_a_batch_counted_without_one(batch: int) -> None:
    counted = month(acquires=10**9, buckets=10**6, usage_batch=batch)
    assert counted.batches == 10**9 // batch
    assert 0 < counted.totals["hour"] <= counted.writes <= 10**9
    assert counted.writes >= counted.batches


def test_gathering_for_longer_costs_less() -> None:
    months = [month(acquires=10**7, usage_window_s=seconds) for seconds in (1, 5, 60, 300)]
    assert all(longer.write_units < shorter.write_units for shorter, longer in pairwise(months))
    assert all(longer.batches < shorter.batches for shorter, longer in pairwise(months))


def test_a_batch_that_lasts_longer_than_a_window_is_a_write_for_each() -> None:
    counted = month(UsagePlan({"minute": 3}), acquires=10**7, buckets=10, usage_window_s=300)
    assert counted.writes == counted.totals["minute"] > 10 * 730 * 3_600 / 300


def test_each_window_of_time_is_counted_by_itself() -> None:
    both, hourly, daily = (month(plan, acquires=10**6) for plan in (DEFAULT_PLAN, HOURLY, UsagePlan({"day": 400})))
    assert both.write_units == hourly.write_units + daily.write_units
    assert both.totals == {**hourly.totals, **daily.totals}
    assert both.batches == hourly.batches


def test_totals_that_a_process_cannot_remember_are_looked_for_with_every_write() -> None:
    few, many = (month(acquires=10**8, buckets=number) for number in (TOTALS_REMEMBERED, TOTALS_REMEMBERED + 1))
    assert many.read_units == many.writes / 2
    assert few.read_units < few.writes / 2
