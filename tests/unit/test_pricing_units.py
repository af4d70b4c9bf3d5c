"""The formulas of what a call costs, held to what a meter counts of the real flows on a table in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from leasegate import Lease, Limiter, schema
from leasegate.metering import item_size
from leasegate.operations import Set, Update
from leasegate.pricing.quantities import quantities
from leasegate.pricing.shapes import Family, Shape
from leasegate.pricing.traffic import Traffic
from leasegate.pricing.units import Levels
from leasegate.repository.memory import MemoryRepository
from leasegate.sweeper import Sweeper
from scripts.costs.tables import Table, measure

SHAPE = Shape(ids=38)
"""With eleven limits its buckets are two units, but for one that has no parent's id in it."""
LIMITS = (1, 2, 5, 8, 11, 12)
SEVERAL = (2, 3, 4)
OLD = 899_123
"""Counts of a bucket that has lived for long; what is spent in a test leaves them as many digits."""
ROOM = 50
CASES = [(limits, levels) for limits in LIMITS for levels in (1, *SEVERAL)]

each_case = pytest.mark.parametrize(("limits", "levels"), CASES)


@dataclass
class Town:
    """A family with buckets as full as they get, and a process that knows them."""

    limits: int
    levels: int
    table: Table = field(default_factory=Table.in_memory)

    def __post_init__(self) -> None:
        admin = self.table.process()
        for level in reversed(range(self.levels)):
            parent_id = SHAPE.entity(level + 1) if level + 1 < self.levels else None
            admin.create_entity(SHAPE.entity(level), parent_id)
            admin.set_limits(SHAPE.entity(level), SHAPE.limits(self.limits).values())

    @property
    def formula(self) -> Levels:
        return Levels.of(Family(SHAPE, self.limits, self.levels))

    def amounts(self, tokens: int = 1) -> Mapping[str, int]:
        return dict.fromkeys(SHAPE.limits(self.limits), tokens)

    def process(self) -> Limiter:
        """Return a process that has acquired before, from buckets that have lived for long."""
        limiter = self.table.process()
        limiter.acquire(SHAPE.entity(0), SHAPE.resource, self.amounts())
        self.age()
        return limiter

    def age(self) -> None:
        """Let every bucket have counted much, and remember a request in each of its slots."""
        counts: dict[str, str | int] = {schema.GRANTS: OLD}
        for name in SHAPE.limits(self.limits):
            counts |= {schema.used_attribute(name): OLD, schema.refused_attribute(name): OLD}
        counts |= {schema.request_attribute(slot): "x" * 16 for slot in range(schema.REQUEST_SLOTS)}
        changes = tuple([Set(name, value) for name, value in counts.items()])
        updates = [Update(SHAPE.key(level), changes) for level in range(self.levels)]
        self.table.repository.execute(tuple(updates), timeout_ms=0)

    def drain(self, level: int) -> None:
        """Let somebody else spend nearly all that a level has."""
        tokens = self.amounts(SHAPE.tokens - ROOM)
        self.table.process().acquire(SHAPE.entity(level), SHAPE.resource, tokens, cascade=False)
        self.age()

    def units(self, call: Callable[[], object]) -> tuple[int, float]:
        """Make a call, refused or not, and return its write units and read units."""
        meter = measure(self.table, call)
        return meter.write_units, meter.read_units


def spend(limiter: Limiter, town: Town, tokens: int = 1, **terms: bool | int) -> Lease:
    return limiter.acquire(SHAPE.entity(0), SHAPE.resource, town.amounts(tokens), **terms)  # type: ignore[arg-type]  # terms of several types


@each_case
def test_the_buckets_sized_are_those_that_live_long(limits: int, levels: int) -> None:
    town = Town(limits, levels)
    spend(town.process(), town)
    repository = town.table.repository
    assert isinstance(repository, MemoryRepository)
    family = Family(SHAPE, limits, levels)
    for level in range(levels):
        key = SHAPE.key(level)
        sized, real = (item_size(key, item) for item in (family.fullest_bucket(level), repository.items[key]))
        assert real == sized


@each_case
def test_a_grant_costs_what_the_formula_says(limits: int, levels: int) -> None:
    town = Town(limits, levels)
    limiter = town.process()
    assert town.units(lambda: spend(limiter, town)) == (town.formula.granted, 0)


@each_case
def test_a_refusal_costs_what_the_formula_says_whoever_refuses(limits: int, levels: int) -> None:
    formula = Town(limits, levels).formula
    for level in range(levels):
        town = Town(limits, levels)
        limiter = town.process()
        town.drain(level)
        expected = 2 * formula.granted - formula.buckets[level]
        assert town.units(lambda: spend(limiter, town, 2 * ROOM)) == (expected, 0)  # noqa: B023 - called at once
        assert town.units(lambda: spend(limiter, town, 2 * ROOM)) == (0, 0)  # noqa: B023 - as above
    assert formula.refused == max(2 * formula.granted - units for units in formula.buckets)


@each_case
def test_a_refused_durable_lease_costs_what_one_that_is_granted_does(limits: int, levels: int) -> None:
    town = Town(limits, levels)
    limiter = town.process()
    town.drain(levels - 1)
    refused = town.units(lambda: spend(limiter, town, 2 * ROOM, durable=True))
    assert refused == (town.formula.stored(expires=False), 0)


@each_case
def test_a_wrong_guess_adds_one_write_of_one_bucket(limits: int, levels: int) -> None:
    town = Town(limits, levels)
    limiter = town.process()
    town.table.now_ms += 120_000
    town.table.process().acquire(SHAPE.entity(0), SHAPE.resource, town.amounts(), cascade=False)
    town.age()
    units, _ = town.units(lambda: spend(limiter, town))
    assert units == town.formula.granted + town.formula.buckets[0]
    assert town.formula.second_try == max(town.formula.buckets)


@each_case
def test_settling_a_lease_of_the_process_costs_what_the_formula_says(limits: int, levels: int) -> None:
    town = Town(limits, levels)
    lease = spend(town.process(), town)
    lease.adjust(town.amounts())
    assert town.units(lease.settle) == (town.formula.corrected, 0)


@each_case
def test_an_adjustment_without_a_lease_costs_what_the_formula_says(limits: int, levels: int) -> None:
    town = Town(limits, levels)
    limiter = town.process()
    adjusted = town.units(lambda: limiter.adjust(SHAPE.entity(0), SHAPE.resource, town.amounts()))
    assert adjusted == (town.formula.adjusted, 0)


@pytest.mark.parametrize("expires_in", [None, 60])
@each_case
def test_a_durable_lease_costs_what_the_formulas_say(limits: int, levels: int, expires_in: int | None) -> None:
    town = Town(limits, levels)
    limiter = town.process()
    terms = {} if expires_in is None else {"expires_in": expires_in}
    leases = []
    granted = town.units(lambda: leases.append(spend(limiter, town, durable=True, **terms)))
    assert granted == (town.formula.stored(expires=expires_in is not None), 0)
    lease_id = leases[0].id
    assert lease_id is not None
    ended = town.units(lambda: limiter.lease(lease_id).settle(town.amounts(500)))
    assert ended == (town.formula.closed(expires=expires_in is not None), 0)


@each_case
def test_a_lease_that_expires_costs_as_much_if_nobody_ends_it(limits: int, levels: int) -> None:
    town = Town(limits, levels)
    spend(town.process(), town, durable=True, expires_in=1)
    town.table.now_ms += 1_000
    sweeper = Sweeper(town.table.repository, clock=lambda: town.table.now_ms)
    units, _ = town.units(lambda: sweeper.sweep(lambda: 60_000))
    assert units == town.formula.closed(expires=True)


@each_case
def test_a_new_bucket_costs_what_the_formula_says(limits: int, levels: int) -> None:
    town = Town(limits, levels)
    if levels > 1:
        town.table.process().acquire(SHAPE.entity(1), SHAPE.resource, town.amounts())
        above = Town(limits, levels - 1).formula.granted
    else:
        above = 0
    limiter = town.table.process()
    units, reads = town.units(lambda: spend(limiter, town))
    formula = town.formula
    young_above = sum([Levels.of(Family(SHAPE, limits, levels)).newborn] * (levels - 1))
    assert units == formula.created + formula.buckets[0] + young_above
    assert young_above <= above
    assert reads == formula.read


@each_case
def test_a_process_that_knows_nothing_reads_what_the_formula_says(limits: int, levels: int) -> None:
    town = Town(limits, levels)
    town.process()
    cold = town.table.process()
    assert town.units(lambda: spend(cold, town)) == (town.formula.granted, town.formula.read)


def test_what_is_known_of_a_resource_is_renewed_for_what_the_formula_says() -> None:
    town = Town(2, 1)
    limiter = town.process()
    town.table.now_ms += 20_000
    assert town.units(lambda: spend(limiter, town)) == (town.formula.granted, town.formula.renewed)
    town.table.now_ms += 14_000
    assert town.units(lambda: spend(limiter, town))[1] == 0


def test_a_sweep_reads_what_the_formula_says() -> None:
    table = Table.in_memory()
    sweeper = Sweeper(table.repository, clock=lambda: table.now_ms)
    units = measure(table, lambda: sweeper.sweep(lambda: 60_000)).read_units
    (sweeps,) = [used for used in quantities(Traffic(acquires=0)) if used.what == "sweeps of leases"]
    assert sweeps.times is not None
    assert sweeps.amount == sweeps.times * int(units)
    assert sweeps.times == 730 * 60


def test_every_level_of_a_cascade_pays_for_its_own_bucket() -> None:
    assert Levels.of(Family(SHAPE, 11, 4)).buckets == (2, 2, 2, 1)
    assert Levels.of(Family(Shape(ids=256, names=32), 16, 2)).granted > Levels.of(Family(SHAPE, 16, 2)).granted
