"""Usage is exact: whatever is spent and however its stream is delivered, totals are those of the ledger."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leasegate import Limit, Limiter, RateLimitExceeded, StoreError, schema
from leasegate.flows.acquire import acquire
from leasegate.flows.grants import Ask, Grant
from leasegate.flows.settle import correct
from leasegate.operations import Add, Item, Key, Operation, Put, Set, Transact, Update
from leasegate.repository.memory import MemoryRepository
from leasegate.simulation import Faults
from leasegate.simulation.calls import Call, Thread
from leasegate.simulation.table import Change
from leasegate.simulation.world import World
from leasegate.stream import StreamRecord
from leasegate.windows import UsagePlan
from tests.simulation.delivery import FOREVER, Delivery, Step, random_step, steps
from tests.simulation.economy import STARTS_MS, Action, Economy, Place, Totals, actions, places, random_action
from tests.stream import StreamedMemory, counting, stream_record


def counted(table: MemoryRepository) -> Totals:
    """Return the totals that stand in a table."""
    totals = Totals()
    for key, item in table.items.items():
        entity_id, resource, _, _ = schema.usage_of(key)
        place, usage = Place(entity_id, resource, key.sk), schema.parse_usage(item)
        totals.grants[place] = usage.grants
        totals.tokens.update({(place, name): count for name, count in usage.tokens.items()})
        totals.peaks.update({(place, name): peak for name, peak in usage.peaks.items()})
    return totals


def refused(table: MemoryRepository, window: str) -> Counter[tuple[str, str, str]]:
    """Return the refusals that stand in a table, by entity, resource and limit."""
    found: Counter[tuple[str, str, str]] = Counter()
    for key, item in table.items.items():
        entity_id, resource, length, _ = schema.usage_of(key)
        if length == window:
            for name, count in schema.parse_usage(item).refused.items():
                found[entity_id, resource, name] += count
    return found


type Counts = dict[tuple[object, ...], int]


def differences(found: Counts, expected: Counts) -> dict[tuple[object, ...], tuple[int, int]]:
    """Return what was counted otherwise than expected, and how; all at once is too much to read."""
    return {
        what: (found.get(what, 0), expected.get(what, 0))
        for what in found.keys() | expected.keys()
        if found.get(what, 0) != expected.get(what, 0)
    }


def check_economy(economy: Economy) -> Counts:
    """Hold what the library said to what the items say; return all that is to be counted."""
    said, observed = economy.said.without_zeros(), economy.observed().without_zeros()
    assert not differences(said, {what: count for what, count in observed.items() if what[0] != "peak"})
    return observed


def reported(table: StreamedMemory) -> Counter[tuple[str, str, str]]:
    """Return the refusals that grants took along, as the bucket items say one after the other."""
    found: Counter[tuple[str, str, str]] = Counter()
    for key, before, after in table.changes:
        _, entity_id, resource = key.pk.split("#")
        for name, count in (after or {}).items():
            if name.startswith("x."):
                found[entity_id, resource, name[2:]] += cast("int", count) - cast(
                    "int", (before or {}).get(name, 0)
                )
    return +found


def check_refusals(economy: Economy, table: MemoryRepository) -> None:
    """Hold the refusals that were counted to those that were given, in windows of every length alike."""
    by_month = refused(table, "month")
    assert by_month == reported(economy.table)
    assert by_month == refused(table, "minute") == refused(table, "hour") == refused(table, "day")
    assert all(count <= economy.refused[what] for what, count in by_month.items())


def economy_of(seed: int, count: int, *, clients: int = 3) -> Economy:
    """Return an economy in which so much happened."""
    chance = random.Random(seed)
    economy = Economy(chance.choice(STARTS_MS))
    for _ in range(count):
        action = random_action(chance)
        economy.act(action._replace(client=action.client % clients))
    return economy


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(STARTS_MS),
    st.lists(actions, min_size=1, max_size=40),
    st.lists(steps(most=25), max_size=80),
)
def test_however_the_stream_is_delivered_totals_are_those_of_the_ledger(
    start_ms: int, history: list[Action], course: list[Step]
) -> None:
    economy = Economy(start_ms)
    for action in history:
        economy.act(action)
    expected = check_economy(economy)
    if not economy.table.records:
        return
    delivery = Delivery(economy.table.records, MemoryRepository(), economy.now_ms)
    for step in course:
        delivery.step(step)
    delivery.finish(most=7)
    assert not differences(counted(delivery.table).without_zeros(), expected)
    check_refusals(economy, delivery.table)


@pytest.mark.parametrize("seed", range(4))
def test_long_histories_are_counted_to_the_token(seed: int) -> None:
    economy = economy_of(seed, 700)
    expected = check_economy(economy)
    for ending, least in (("granted", 200), ("refused", 10), ("settle", 25), ("release", 25), ("swept", 3)):
        assert economy.endings[ending] >= least, ending
    chance = random.Random(seed)
    delivery = Delivery(economy.table.records, MemoryRepository(), economy.now_ms)
    for _ in range(1_500):
        delivery.step(random_step(chance, most=60))
    delivery.finish(most=50)
    assert len(economy.table.records) > 600
    assert reported(economy.table).total() > 3
    assert not differences(counted(delivery.table).without_zeros(), expected)
    check_refusals(economy, delivery.table)


# --- what happens to totals and buckets meanwhile ------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_kept_any_more_is_not_counted_and_all_else_is(seed: int) -> None:
    economy = economy_of(seed, 250)
    plan = UsagePlan({"minute": 1, "hour": 2, "day": 60})
    expected = check_economy(economy)
    chance = random.Random(seed)
    delivery = Delivery(economy.table.records, MemoryRepository(), economy.now_ms, plan)
    for number in range(600):
        delivery.step(random_step(chance, most=40))
        if number % 50 == 0:
            delivery.expire(days=2)
    delivery.finish(most=50)
    asked = {cast("Place", what[1]) for what in expected}
    gone = frozenset(place for place in asked if not is_kept(place, plan, delivery.now_ms))
    assert 100 < len(gone) < len(asked)
    stands = counted(delivery.table)
    kept = {what: count for what, count in expected.items() if what[1] not in gone}
    assert not differences(stands.without_zeros(gone), kept)
    delivery.expire(days=0)
    before = delivery.table.items
    report = counting(delivery.table, delivery.now_ms, plan).count(economy.table.records)
    assert (delivery.table.items, report.writes) == (before, 0)
    assert report.expired == sum(
        not any(is_kept(place, plan, delivery.now_ms) for place in places_of(key, after))
        for key, _, after in economy.table.changes
        if after is not None
    )


def is_kept(place: Place, plan: UsagePlan, now_ms: int) -> bool:
    key = Key(schema.usage_partition(place.entity_id, place.resource), place.window)
    _, _, window, start_ms = schema.usage_of(key)
    return window in plan.windows and plan.expires_at_ms(window, start_ms) > now_ms


def places_of(key: Key, item: Item) -> list[Place]:
    _, entity_id, resource = key.pk.split("#")
    return list(places(entity_id, resource, cast("int", item["at"])))


@pytest.mark.parametrize("seed", range(4))
def test_an_item_says_what_it_counts_in_one_range_for_each_life_of_its_bucket(seed: int) -> None:
    economy = economy_of(seed, 500, clients=1)  # one clock, so that a bucket's own times go forward
    table = MemoryRepository()
    aggregator = counting(table, economy.now_ms, FOREVER)
    size = 1 + 13 * seed
    for start in range(0, len(economy.table.records), size):
        report = aggregator.count(economy.table.records[start : start + size])
        assert (report.failures, report.duplicates, report.expired) == ({}, 0, 0)
        assert report.writes <= report.groups
    lives = lives_by_place(economy.table)
    ranges = {place: len(coverage) // 2 for place, coverage in coverages(table).items()}
    assert max(ranges.values()) > 1
    assert all(count <= lives[place] for place, count in ranges.items())


@pytest.mark.parametrize("size", [1, 10, 100])
def test_where_clocks_differ_there_is_a_range_for_each_batch_at_most(size: int) -> None:
    economy = economy_of(11, 500)
    records = economy.table.records
    table = MemoryRepository()
    aggregator = counting(table, economy.now_ms, FOREVER)
    groups: Counter[Place] = Counter()
    for start in range(0, len(records), size):
        aggregator.count(records[start : start + size])
        groups += lives_by_place(economy.table, start, start + size)
    for place, coverage in coverages(table).items():
        assert len(coverage) // 2 <= groups[place]
        assert list(coverage) == sorted(set(coverage))


def coverages(table: MemoryRepository) -> dict[Place, tuple[int, ...]]:
    found: dict[Place, tuple[int, ...]] = {}
    for key, item in table.items.items():
        entity_id, resource, _, _ = schema.usage_of(key)
        found[Place(entity_id, resource, key.sk)] = cast("tuple[int, ...]", item[schema.USAGE_COVERAGE])
    return found


def lives_by_place(table: StreamedMemory, first: int = 0, last: int | None = None) -> Counter[Place]:
    """Count the lives of buckets of which some of the changes lie in a window."""
    number: Counter[Key] = Counter()
    lives: dict[Place, set[int]] = {}
    for key, before, after in table.changes[first:last]:
        number[key] += before is None
        if after is not None:
            for place in places_of(key, after):
                lives.setdefault(place, set()).add(number[key])
    return Counter({place: len(numbers) for place, numbers in lives.items()})


# --- refusals ----------------------------------------------------------------------------------------


def test_refusals_count_in_full_once_their_process_is_granted_again() -> None:
    table = StreamedMemory()
    now_ms = STARTS_MS[0]
    limiters = [Limiter(table, clock=lambda: now_ms) for _ in range(3)]
    limiters[0].set_resource_defaults("gpt-4", [Limit.per_minute("rpm", 5), Limit.per_minute("tpm", 100)])
    limiters[0].acquire("key", "gpt-4", {"rpm": 5})
    given: Counter[str] = Counter()
    for number, limiter in enumerate(limiters):
        for _ in range(10 + number):
            with pytest.raises(RateLimitExceeded) as refusal:
                limiter.acquire("key", "gpt-4", {"rpm": 1, "tpm": 10 if number else 101 - 1})
            given.update(each.state.limit.name for each in refusal.value.refusals)
    assert given == {"rpm": 33}
    for granted, counted_so_far in enumerate((10, 21, 33)):
        now_ms += 60_000
        limiters[granted].acquire("key", "gpt-4", {"rpm": 1})
        totals = MemoryRepository()
        counting(totals, now_ms, FOREVER).count(table.records)
        assert refused(totals, "day") == {("key", "gpt-4", "rpm"): counted_so_far}


# --- lost replies ------------------------------------------------------------------------------------


INTERLEAVED = Faults(
    late_request=0, lost_reply=0.08, throttled=0, conflict=0, gives_up=0.3, death=0, skew_ms=2_500
)


@dataclass
class Interleaved:
    """Processes that acquire and give back at once, whose replies get lost; and what the table applied of it.

    ``applied`` is read from the writes as they were sent: what they add, and the time that they carry.
    """

    records: list[StreamRecord] = field(default_factory=list)
    applied_totals: Totals = field(default_factory=Totals)
    granted: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    grants: list[Grant] = field(default_factory=list)

    def play(self, seed: int, steps: int) -> None:
        world = World(seed, INTERLEAVED, self, self, processes=8, threads=1)
        world.now_ms = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp()) * 1000 - 2_000
        admin = Limiter(world.table, clock=lambda: world.now_ms)
        for entity_id, parent_id in (("org", None), ("a", "org"), ("b", "org")):
            admin.create_entity(entity_id, parent_id)
            admin.set_limits(entity_id, [Limit.per_second("rpm", 40), Limit.per_minute("tpm", 900)])
        world.run(steps)
        world.calm_down()

    def next_call(self, world: World, thread: Thread) -> Call:
        """Acquire, or give something back; seldom forget a bucket."""
        chance, process = world.chance, thread.process
        if chance.random() < 0.002:
            self.forget(world, schema.bucket_key(chance.choice(("org", "a", "b")), "gpt-4"))
        request = process.request(world.now_ms)
        if self.grants and chance.random() < 0.3:
            grant = self.grants.pop(chance.randrange(len(self.grants)))
            flow = correct("gpt-4", [x.reversal() for x in grant.charges], request, process.knowledge)
            return world.call(thread, "give back", grant, flow, request)
        ask = Ask(chance.choice(("a", "b")), "gpt-4", {"rpm": chance.randint(0, 3), "tpm": chance.randint(0, 60)})
        acquiring = acquire(ask, request, process.knowledge)
        return world.call(thread, "acquire", ask, acquiring, request)

    def ended(self, world: World, call: Call) -> None:
        """Note what was granted, and what nobody knows of."""
        assert isinstance(call.error, StoreError | RateLimitExceeded | None)
        if isinstance(call.result, Grant):
            self.grants.append(call.result)
            self.granted.update(charge.entity_id for charge in call.result.charges)
        self.unknown += call.was_forgotten or isinstance(call.error, StoreError)

    def died(self, world: World, call: Call) -> None:
        """Nobody dies."""

    def forget(self, world: World, key: Key) -> None:
        """Let a bucket be deleted, as its time to live would."""
        if world.table.item(key) is not None:
            self.emit(world.table.expire(key))

    def applied(self, world: World, call: Call, operation: Operation, changes: Sequence[Change]) -> None:
        """Take in a write that was applied."""
        for change in changes:
            if change.key.pk.startswith("BUCKET#") and change.before != change.after:
                self.emit(change)
                self.take(operation, change)

    def emit(self, change: Change) -> None:
        """Let the stream report a change."""
        self.records.append(stream_record(*change, len(self.records)))

    def take(self, operation: Operation, change: Change) -> None:
        """Add up what a write says that it adds."""
        key, before, _ = change
        actions = operation.actions if isinstance(operation, Transact) else (operation,)
        (action,) = [each for each in actions if isinstance(each, Update | Put) and each.key == key]
        if isinstance(action, Put):
            added, set_to = action.item, action.item
        else:
            added = {x.attribute: x.value for x in action.changes if isinstance(x, Add)}
            set_to = {x.attribute: x.value for x in action.changes if isinstance(x, Set)}
        at_ms = set_to["at"] if "at" in set_to else (before or {})["at"]
        tokens = {name[2:]: cast("int", value) for name, value in added.items() if name.startswith("u.")}
        _, entity_id, resource = key.pk.split("#")
        grants = cast("int", added.get("g", 0))
        self.applied_totals.spend(entity_id, resource, tokens, cast("int", at_ms), grants)


@pytest.mark.parametrize("seed", range(4))
def test_what_the_table_applied_is_counted_though_its_replies_were_lost(seed: int) -> None:
    history = Interleaved()
    history.play(seed, 5_000)
    assert history.unknown > 10
    delivery = Delivery(history.records, MemoryRepository(), STARTS_MS[-1])
    chance = random.Random(seed)
    for _ in range(600):
        delivery.step(random_step(chance, most=60))
    delivery.finish(most=50)
    totals = counted(delivery.table)
    totals.peaks.clear()
    assert not differences(totals.without_zeros(), history.applied_totals.without_zeros())
    for entity_id, granted in history.granted.items():
        months = sum(n for x, n in totals.grants.items() if x.entity_id == entity_id and x.window[:2] == "mo")
        assert granted <= months <= granted + history.unknown
