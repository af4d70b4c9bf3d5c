"""One bill in two repositories: the same random operations, metered and throttled, here and in DynamoDB Local."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from leasegate.errors import StoreThrottled
from leasegate.metering import Meter, MeteredRepository
from leasegate.operations import Failed, Item, Key, Operation, Outcome, Put, Scan, Transact
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.repository.memory import MemoryRepository
from leasegate.throttling import PartitionThrottle
from tests.chance import KEYS, PARENTS, Chance

if TYPE_CHECKING:
    from tests.fixtures.dynamodb import Table

START_MS = 1_790_000_000_000
STEPS = 300


def large_item(chance: Chance) -> Put:
    """Draw a write of an item of 0 to 5 KB, with an index entry or without; random changes alone stay small."""
    item: Item = {"x": "." * chance.random.randrange(5_000)}
    if chance.random.random() < 0.5:
        item = {**item, "GSI1PK": chance.random.choice(PARENTS), "GSI1SK": f"ENTITY#{chance.random.random()}"}
    return Put(chance.random.choice(KEYS), item)


def round_trip(chance: Chance) -> tuple[Operation, ...]:
    draw = chance.random.random()
    if draw < 0.1:
        return (large_item(chance),)
    if draw < 0.12:
        return (Scan(0, 1, "", "n", limit=100),)
    return chance.round_trip()


@pytest.mark.parametrize("seed", range(100, 104))
def test_the_same_operations_have_the_same_bill_in_memory_and_in_dynamodb(seed: int, table: Table) -> None:
    chance = Chance(seed)
    memory_meter, dynamodb_meter, observer = Meter(), Meter(), Meter()
    memory = MeteredRepository(MemoryRepository(), memory_meter)
    with DynamoRepository(*table, observer=observer) as inner:
        dynamodb = MeteredRepository(inner, dynamodb_meter)
        for _ in range(STEPS):
            operations = round_trip(chance)
            outcomes = memory.execute(operations, timeout_ms=30_000)
            dynamodb.execute(operations, timeout_ms=30_000)
            chance.see(operations, outcomes)
            assert memory_meter.kinds == dynamodb_meter.kinds, (seed, operations)
    assert dynamodb_meter.kinds == observer.kinds
    assert memory_meter.round_trips == dynamodb_meter.round_trips == STEPS
    assert {"Update", "Put", "Delete", "Transact", "BatchGet", "Get", "Query", "Scan"} <= memory_meter.kinds.keys()
    assert (
        memory_meter.write_units > memory_meter.calls
    )  # large items, transactions and index entries are among them


@pytest.mark.parametrize("seed", range(200, 204))
def test_the_same_operations_are_throttled_in_memory_and_in_dynamodb(seed: int, table: Table) -> None:
    chance = Chance(seed)
    now_ms = START_MS

    def throttle(repository: MemoryRepository | DynamoRepository) -> PartitionThrottle:
        return PartitionThrottle(repository, lambda: now_ms, write_units_per_second=20, read_units_per_second=20)

    memory_meter, dynamodb_meter = Meter(), Meter()
    with DynamoRepository(*table) as inner:
        memory_throttle, dynamodb_throttle = throttle(MemoryRepository()), throttle(inner)
        memory = MeteredRepository(memory_throttle, memory_meter)
        dynamodb = MeteredRepository(dynamodb_throttle, dynamodb_meter)
        for _ in range(STEPS):
            operations = round_trip(chance)
            outcomes = memory.execute(operations, timeout_ms=30_000)
            others = dynamodb.execute(operations, timeout_ms=30_000)
            assert [*map(is_throttled, outcomes)] == [*map(is_throttled, others)], (seed, operations)
            chance.see(operations, outcomes)
            now_ms += 10
    assert memory_throttle.throttled == dynamodb_throttle.throttled > STEPS / 10
    assert memory_meter.kinds == dynamodb_meter.kinds


def test_a_hot_bucket_in_dynamodb_gets_its_units_and_a_transaction_with_it_none(table: Table) -> None:
    with DynamoRepository(*table) as inner:
        repository = PartitionThrottle(inner, lambda: START_MS, write_units_per_second=10)
        hot = Put(KEYS[0], {"n": 1})
        outcomes = [repository.execute((hot,), timeout_ms=30_000)[0] for _ in range(11)]
        both = Transact((Put(Key("BUCKET#c#x", "#STATE"), {}), hot), "throttled")
        outcomes += repository.execute((both,), timeout_ms=30_000)
    assert [*map(is_throttled, outcomes)] == [False] * 10 + [True] * 2


def is_throttled(outcome: Outcome) -> bool:
    return isinstance(outcome, Failed) and isinstance(outcome.error, StoreThrottled)
