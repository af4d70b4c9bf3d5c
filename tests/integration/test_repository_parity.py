"""One meaning in two repositories: the same random operations through memory and through DynamoDB Local.

Few keys, few attributes and few values, so that conditions hold and fail about equally often.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from leasegate.operations import (
    Action,
    Add,
    AllOf,
    AnyOf,
    Applied,
    AtLeast,
    AtMost,
    BatchGet,
    Below,
    Between,
    Cancelled,
    Change,
    Check,
    Condition,
    Equals,
    Exists,
    Failed,
    Found,
    Item,
    ItemAbsent,
    ItemExists,
    Key,
    NotEquals,
    NotExists,
    Operation,
    Outcome,
    Put,
    Refused,
    Remove,
    Set,
    Transact,
    Update,
    Value,
)
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.repository.memory import MemoryRepository
from leasegate.repository.wire import decode_item, decode_key, encode, encode_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.fixtures.dynamodb import Table

KEYS = tuple(Key(pk, sk) for pk in ("BUCKET#a#x", "BUCKET#b#x") for sk in ("#STATE", "#META"))
ATTRIBUTES = ("v.rpm", "u.rpm", "n", "r.3", "lim")
NUMBERS = (-1, 0, 1, 2, 10**20)
VALUES: tuple[Value, ...] = (
    *NUMBERS,
    "",
    "1",
    True,
    False,
    None,
    (),
    (1, True, "x"),
    (1, 1, "x"),
    {"a": {"b": 1}},
    {"a": {"b": True}},
    frozenset({"x"}),
    frozenset({"x", "y"}),
)
ADDENDS = (-1, 1, 1, 2, 10**20, frozenset({"x"}), frozenset({"y", "z"}))


class Chance:
    """Draws operations from a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed  # in tokens too: DynamoDB knows them beyond one table
        self.random = random.Random(seed)
        self.transactions: list[Transact] = []

    def round_trip(self) -> tuple[Operation, ...]:
        """Draw the operations of one round trip; side by side they must not touch one item."""
        if self.random.random() < 0.8:
            return (self.operation(),)
        keys = self.random.sample(KEYS, 2)
        return (self.write(keys[0]), self.write(keys[1]))

    def operation(self) -> Operation:
        draw = self.random.random()
        if draw < 0.1:
            return BatchGet(tuple(self.random.choices(KEYS, k=3)))
        if draw < 0.25:
            return self.transaction()
        return self.write(self.random.choice(KEYS))

    def transaction(self) -> Transact:
        draw = self.random.random()
        if self.transactions and draw < 0.15:
            return self.random.choice(self.transactions)
        keys = self.random.sample(KEYS, self.random.randint(1, 3))
        actions = tuple(self.action(key) for key in keys)
        if self.transactions and draw < 0.2:
            return Transact(actions, self.random.choice(self.transactions).token)
        transaction = Transact(actions, f"token-{self.seed}-{len(self.transactions)}")
        self.transactions.append(transaction)
        return transaction

    def action(self, key: Key) -> Action:
        return Check(key, self.condition()) if self.random.random() < 0.25 else self.write(key)

    def write(self, key: Key) -> Update | Put:
        condition = self.condition() if self.random.random() < 0.85 else None
        if self.random.random() < 0.2:
            attributes = self.random.sample(ATTRIBUTES, self.random.randint(0, 3))
            return Put(key, {attribute: self.random.choice(VALUES) for attribute in attributes}, condition)
        attributes = self.random.sample(ATTRIBUTES, self.random.randint(1, 3))
        return Update(key, tuple(self.change(attribute) for attribute in attributes), condition)

    def change(self, attribute: str) -> Change:
        draw = self.random.random()
        if draw < 0.2:
            return Remove(attribute)
        if draw < 0.6:
            return Add(attribute, self.random.choice(ADDENDS))
        return Set(attribute, self.random.choice(VALUES))

    def condition(self, depth: int = 2) -> Condition:
        if depth and self.random.random() < 0.4:
            combine = self.random.choice((AllOf, AnyOf))
            return combine(tuple(self.condition(depth - 1) for _ in range(self.random.randint(1, 3))))
        return self.comparison(self.random.choice(ATTRIBUTES))

    def comparison(self, attribute: str) -> Condition:
        number, other = self.random.choices(NUMBERS, k=2)
        value = self.random.choice(VALUES)
        conditions: tuple[Condition, ...] = (
            ItemExists(),
            ItemAbsent(),
            Exists(attribute),
            NotExists(attribute),
            Equals(attribute, value),
            NotEquals(attribute, value),
            Below(attribute, number),
            AtMost(attribute, number),
            AtLeast(attribute, number),
            Between(attribute, number, other),
        )
        return self.random.choice(conditions)


def spelled(outcome: Outcome) -> object:
    """Spell an outcome out with its types, for Python takes True for 1."""
    match outcome:
        case Applied(item):
            return ("applied", spelled_item(item))
        case Refused(item):
            return ("refused", spelled_item(item))
        case Cancelled(refusals):
            return ("cancelled", [refusal and spelled(refusal) for refusal in refusals])
        case Found(items):
            return ("found", {key: spelled_item(item) for key, item in items.items()})
        case Failed(error):
            return ("failed", type(error), error.maybe_applied)


def spelled_item(item: Item | None) -> object:
    return None if item is None else {name: encode(value) for name, value in item.items()}


def table_items(client: DynamoDBClient, name: str) -> dict[Key, object]:
    pages = client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    return {decode_key(item): spelled_item(decode_item(item)) for page in pages for item in page["Items"]}


@pytest.mark.parametrize("seed", range(8))
def test_the_same_operations_have_the_same_outcomes_in_memory_and_in_dynamodb(seed: int, table: Table) -> None:
    client, name = table
    chance = Chance(seed)
    memory = MemoryRepository()
    outcomes: Counter[type[Outcome]] = Counter()
    with DynamoRepository(client, name) as dynamodb:
        for step in range(500):
            if chance.random.random() < 0.03:
                expired = chance.random.choice(KEYS)
                memory.delete(expired)
                client.delete_item(TableName=name, Key=encode_key(expired))
            operations = chance.round_trip()
            expected = memory.execute(operations, timeout_ms=1000)
            actual = dynamodb.execute(operations, timeout_ms=30_000)
            assert [*map(spelled, actual)] == [*map(spelled, expected)], (seed, step, operations)
            outcomes.update(map(type, expected))
    assert table_items(client, name) == {key: spelled_item(item) for key, item in memory.items.items()}
    decided = outcomes[Applied] + outcomes[Refused]
    assert 0.3 < outcomes[Applied] / decided < 0.7
    assert min(outcomes[kind] for kind in (Cancelled, Found, Failed)) > 5


def test_a_missing_attribute_differs_from_every_value(table: Table) -> None:
    client, name = table
    write = Update(KEYS[0], (Set("at", 1),), NotEquals("r.3", "id"))
    for repository in (MemoryRepository(), DynamoRepository(client, name)):
        assert repository.execute((write,), timeout_ms=10_000) == (Applied({"at": 1}),)


def test_a_range_from_high_to_low_holds_nothing_and_is_no_error(table: Table) -> None:
    client, name = table
    write = Update(KEYS[0], (Set("at", 1),), Between("at", 2, 1))
    for repository in (MemoryRepository(), DynamoRepository(client, name)):
        assert repository.execute((write,), timeout_ms=10_000) == (Refused(None),)


def test_a_batch_of_250_keys_with_duplicates_is_complete(table: Table) -> None:
    client, name = table
    keys = tuple(Key(f"BUCKET#e{number}#x", "#STATE") for number in range(250))
    with DynamoRepository(client, name) as repository:
        writes = tuple(Put(key, {"n": number}) for number, key in enumerate(keys) if number % 2)
        repository.execute(writes, timeout_ms=30_000)
        (outcome,) = repository.execute((BatchGet(keys + keys[::3]),), timeout_ms=30_000)
    assert outcome == Found({key: {"n": number} for number, key in enumerate(keys) if number % 2})


def test_a_number_comes_back_exactly_however_dynamodb_writes_it(table: Table) -> None:
    client, name = table
    with DynamoRepository(client, name) as repository:
        for number in (10**37, 10**38 - 1, 1 - 10**38, 9_007_199_254_740_993, 1000):
            outcomes = repository.execute((Put(KEYS[0], {"n": number}), BatchGet((KEYS[1],))), timeout_ms=10_000)
            assert isinstance(outcomes[0], Applied)
            (found,) = repository.execute((BatchGet((KEYS[0],)),), timeout_ms=10_000)
            assert found == Found({KEYS[0]: {"n": number}})


def test_a_missing_table_is_a_failed_outcome(table: Table) -> None:
    client, _ = table
    (outcome,) = DynamoRepository(client, "leasegate-missing").execute((Put(KEYS[0], {"n": 1}),), timeout_ms=1000)
    assert isinstance(outcome, Failed)
