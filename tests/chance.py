"""Operations drawn from a seed: every kind, with the values that stores treat differently."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

from leasegate import schema
from leasegate.operations import (
    Action,
    Add,
    AllOf,
    AnyOf,
    AtLeast,
    AtMost,
    BatchGet,
    Below,
    Between,
    Change,
    Check,
    Condition,
    Delete,
    Discard,
    Equals,
    Exists,
    Get,
    Initialize,
    ItemAbsent,
    ItemExists,
    Key,
    NotEquals,
    NotExists,
    Operation,
    Outcome,
    Page,
    Position,
    Put,
    Query,
    Remove,
    Set,
    Transact,
    Update,
    Value,
)

PARTITIONS = ("BUCKET#a#x", "BUCKET#b#x")
KEYS = tuple(
    Key(pk, sk) for pk in PARTITIONS for sk in ("#STATE", "#STAT\N{LATIN SMALL LETTER E WITH ACUTE}", "#META")
)
PARENTS = ("PARENT#p", "PARENT#q")
INDEX_PREFIXES = ("ENTITY#", "ENTITY#\N{OGHAM SPACE MARK}", "ENTITY#\N{GRINNING FACE}")
ATTRIBUTES = ("v.rpm", "u.rpm", "n", "r.3", "lim", "h.streams.a", "h.streams.b")
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
SETS = (frozenset({"x"}), frozenset({"y", "z"}))
ADDENDS = (-1, 1, 1, 2, 10**20, *SETS)

_numbers = itertools.count()


class Chance:
    """Draws operations from a seed."""

    def __init__(self, seed: int) -> None:
        self.number = next(_numbers)  # in tokens: DynamoDB knows them beyond one table and one test
        self.random = random.Random(seed)
        self.transactions: list[Transact] = []
        self.unfinished: list[Query] = []

    def see(self, operations: tuple[Operation, ...], outcomes: tuple[Outcome, ...]) -> None:
        """Remember the queries that go on."""
        for operation, outcome in zip(operations, outcomes, strict=True):
            if isinstance(operation, Query) and isinstance(outcome, Page) and outcome.next is not None:
                self.unfinished.append(replace(operation, after=outcome.next))

    def round_trip(self) -> tuple[Operation, ...]:
        """Draw the operations of one round trip; side by side they must not touch one item."""
        if self.random.random() < 0.8:
            return (self.operation(),)
        keys = self.random.sample(KEYS, 2)
        return (self.write(keys[0]), self.write(keys[1]))

    def operation(self) -> Operation:
        draw = self.random.random()
        if draw < 0.05:
            return BatchGet(tuple(self.random.choices(KEYS, k=3)), is_consistent=self.random.random() < 0.5)
        if draw < 0.1:
            return Get(self.random.choice(KEYS), is_consistent=self.random.random() < 0.5)
        if draw < 0.25:
            return self.unfinished.pop() if self.unfinished else self.query()
        if draw < 0.4:
            return self.transaction()
        return self.write(self.random.choice(KEYS))

    def query(self) -> Query:
        in_index = self.random.random() < 0.5
        prefixes = INDEX_PREFIXES if in_index else ("#", "#STAT", "#STATE", "#META#")
        return Query(
            self.random.choice(PARENTS if in_index else PARTITIONS),
            self.random.choice(("", *prefixes)),
            limit=self.random.choice((1, 1, 2, 3, 100)),
            after=self.position(in_index) if self.random.random() < 0.4 else None,
            in_index=in_index,
            newest_first=self.random.random() < 0.5,
        )

    def position(self, in_index: bool) -> Position:
        """Draw a position, often of another partition or prefix, or of what is no longer there."""
        key = self.random.choice(KEYS)
        return Position(key, self.index_sk(key) if in_index or self.random.random() < 0.1 else None)

    def index_sk(self, key: Key) -> str:
        return f"{self.random.choice(INDEX_PREFIXES)}{KEYS.index(key)}"

    def transaction(self) -> Transact:
        draw = self.random.random()
        if self.transactions and draw < 0.15:
            return self.random.choice(self.transactions)
        keys = self.random.sample(KEYS, self.random.randint(1, 3))
        actions = tuple(self.action(key) for key in keys)
        if self.transactions and draw < 0.2:
            return Transact(actions, self.random.choice(self.transactions).token)
        transaction = Transact(actions, f"token-{self.number}-{len(self.transactions)}")
        self.transactions.append(transaction)
        return transaction

    def action(self, key: Key) -> Action:
        return Check(key, self.condition()) if self.random.random() < 0.25 else self.write(key)

    def write(self, key: Key) -> Update | Put | Delete:
        condition = self.condition() if self.random.random() < 0.85 else None
        draw = self.random.random()
        if draw < 0.1:
            return Delete(key, condition)
        if draw < 0.3:
            attributes = self.random.sample(ATTRIBUTES, self.random.randint(0, 3))
            item = {attribute: self.random.choice(VALUES) for attribute in attributes}
            return Put(key, item | self.index_entry(key), condition)
        attributes = self.random.sample(ATTRIBUTES, self.random.randint(1, 3))
        changes = tuple(self.change(attribute) for attribute in attributes)
        return Update(key, changes + self.index_changes(key), condition)

    def index_entry(self, key: Key) -> dict[str, Value]:
        if self.random.random() < 0.3:
            return {}
        return {schema.GSI1PK: self.random.choice(PARENTS), schema.GSI1SK: self.index_sk(key)}

    def index_changes(self, key: Key) -> tuple[Change, ...]:
        if self.random.random() < 0.8:
            return ()
        entry = self.index_entry(key)
        return tuple(Set(*each) for each in entry.items()) or (Remove(schema.GSI1PK),)

    def change(self, attribute: str) -> Change:
        draw = self.random.random()
        if draw < 0.2:
            return Remove(attribute)
        if draw < 0.5:
            return Add(attribute, self.random.choice(ADDENDS))
        if draw < 0.6:
            return Discard(attribute, self.random.choice(SETS))
        if draw < 0.7:
            return Initialize(attribute, self.random.choice(VALUES))
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
