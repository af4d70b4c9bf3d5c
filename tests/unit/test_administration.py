"""Setting limits and creating entities while the table loses replies, or other writers come between."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leasegate import EntityExists, Knowledge, Limit, Limiter, StoreError, StoreUnavailable, schema
from leasegate.flows.acquire import acquire
from leasegate.flows.grants import Ask, Grant
from leasegate.flows.spending import Request
from leasegate.operations import Add, Failed, Operation, Outcome, Set, Update
from leasegate.repository.memory import MemoryRepository

NOW_MS = 1_790_000_000_000
RPM = Limit.per_minute("rpm", 60)


class LossyTable:
    """A table that loses the first reply to every write, so that the write is repeated.

    ``dead_keys`` do not answer at all, and ``before`` is called before each round trip.
    """

    def __init__(self) -> None:
        self.memory = MemoryRepository()
        self.dead_keys: set[str] = set()
        self.before: Callable[[tuple[Operation, ...]], None] = lambda _operations: None

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        self.before(operations)
        return tuple(self._execute(operation) for operation in operations)

    def _execute(self, operation: Operation) -> Outcome:
        if isinstance(operation, Update) and operation.key.pk in self.dead_keys:
            return Failed(StoreUnavailable("no answer", maybe_applied=True))
        self.memory.execute((operation,), timeout_ms=0)
        return self.memory.execute((operation,), timeout_ms=0)[0]


@pytest.fixture
def table() -> LossyTable:
    return LossyTable()


def process(table: LossyTable) -> Limiter:
    return Limiter(table, clock=lambda: NOW_MS, knowledge=Knowledge())


def test_every_administrative_write_may_be_repeated(table: LossyTable) -> None:
    admin = process(table)
    admin.create_entity("project", name="Project", metadata={"team": "a"})
    admin.create_entity("key-1", "project")
    admin.set_system_defaults([RPM])
    admin.set_resource_defaults("gpt-4", [RPM])
    admin.set_limits("key-1", [RPM])
    admin.set_limits("project", [RPM], resource="gpt-4")
    items = table.memory.items
    assert items[schema.system_defaults_key()][schema.STORED_VERSION] == NOW_MS
    assert items[schema.entity_limits_key("key-1", None)][schema.STORED_VERSION] == NOW_MS
    assert items[schema.registry_key()] == {schema.REGISTRY_RESOURCES: frozenset({"gpt-4"})}
    assert items[schema.entity_key("key-1")][schema.GSI1PK] == "PARENT#project"
    process(table).acquire("key-1", "gpt-4", {"rpm": 1})
    assert process(table).available("key-1", "gpt-4").ancestors[0]["rpm"].available == 59


def test_versions_grow_where_the_clock_does_not(table: LossyTable) -> None:
    for burst in (10, 20, 30):
        process(table).set_limits("key-1", [Limit.per_minute("rpm", 60, burst)])
        process(table).set_system_defaults([RPM])
        assert process(table).acquire("key-1", "gpt-4", {"rpm": 1}).availability["rpm"].capacity == burst
    items = table.memory.items
    assert items[schema.entity_limits_key("key-1", None)][schema.STORED_VERSION] == NOW_MS + 2
    assert items[schema.system_defaults_key()][schema.STORED_VERSION] == NOW_MS + 2


def test_a_change_that_could_not_be_told_to_a_bucket_says_so_and_is_done_when_repeated(table: LossyTable) -> None:
    admin, spender = process(table), process(table)
    admin.set_limits("key-1", [RPM])
    spender.acquire("key-1", "gpt-4", {"rpm": 1})
    table.dead_keys = {schema.bucket_key("key-1", "gpt-4").pk}
    with pytest.raises(StoreError) as caught:
        admin.set_limits("key-1", [Limit.per_minute("rpm", 5)])
    assert "repeat" in caught.value.__notes__[0]
    table.dead_keys = set()
    admin.set_limits("key-1", [Limit.per_minute("rpm", 5)])
    assert spender.acquire("key-1", "gpt-4", {"rpm": 1}).availability["rpm"].capacity == 5


def test_many_buckets_are_marked_a_few_at_a_time(table: LossyTable) -> None:
    admin, spender = process(table), process(table)
    admin.set_limits("key-1", [RPM])
    for number in range(130):
        spender.acquire("key-1", f"model-{number}", {"rpm": 1})
    sizes: list[int] = []
    table.before = lambda operations: sizes.append(len(operations))
    admin.set_limits("key-1", [Limit.per_minute("rpm", 5)])
    assert sizes == [1, 1, 100, 30, 1], "written, read; then the marks, and the note that they are done"
    for number in range(130):
        assert spender.acquire("key-1", f"model-{number}", {"rpm": 1}).availability["rpm"].capacity == 5


def test_of_two_who_create_an_entity_at_once_one_is_told_that_it_exists(table: LossyTable) -> None:
    first, second = process(table), process(table)
    rounds: list[int] = []

    def interfere(operations: tuple[Operation, ...]) -> None:
        rounds.append(len(rounds))
        if len(rounds) == 2:  # the first has read, and is about to write
            table.before = lambda _operations: None
            second.create_entity("key-1", name="second")

    table.before = interfere
    with pytest.raises(EntityExists):
        first.create_entity("key-1", name="first")
    assert table.memory.items[schema.entity_key("key-1")][schema.ENTITY_NAME] == "second"


def test_a_bucket_created_while_its_entity_gets_a_parent_learns_of_it(table: LossyTable) -> None:
    admin, spender = process(table), process(table)
    admin.set_system_defaults([RPM])
    admin.create_entity("project")
    admin.set_limits("project", [Limit.per_day("rpm", 9)])
    rounds: list[int] = []

    def interfere(operations: tuple[Operation, ...]) -> None:
        rounds.append(len(rounds))
        if len(rounds) == 2:
            table.before = lambda _operations: None
            spender.acquire("key-1", "gpt-4", {"rpm": 1})

    table.before = interfere
    admin.create_entity("key-1", "project")
    spender.acquire("key-1", "gpt-4", {"rpm": 1})
    assert process(table).available("project", "gpt-4")["rpm"].available == 8


def test_a_mark_that_is_written_again_after_its_reply_was_lost_brings_no_old_limits_back() -> None:
    table = MemoryRepository()
    bucket = schema.bucket_key("key-1", "gpt-4")
    admin, other = (Limiter(table, clock=lambda: NOW_MS, knowledge=Knowledge()) for _ in range(2))
    admin.set_limits("key-1", [RPM])
    knowledge = Knowledge()
    slow = Limiter(table, clock=lambda: NOW_MS, knowledge=knowledge)
    slow.acquire("key-1", "gpt-4", {"rpm": 1})

    admin.set_limits("key-1", [Limit.per_minute("rpm", 20)])
    first_mark = table.items[bucket][schema.STAMP]
    ask = Ask("key-1", "gpt-4", {"rpm": 1})
    flow = acquire(ask, Request("slow", 0, NOW_MS), knowledge)
    operations = next(flow)
    for _ in range(2):  # it is refused by the mark, and reads the limits
        operations = flow.send(table.execute(operations, timeout_ms=0))
    other.acquire("key-1", "gpt-4", {"rpm": 1})
    admin.set_limits("key-1", [Limit.per_minute("rpm", 30)])
    table.execute((Update(bucket, (Set(schema.STAMP, first_mark), Add(schema.VERSION, 1))),), timeout_ms=0)

    with pytest.raises(StopIteration) as end:
        while True:
            operations = flow.send(table.execute(operations, timeout_ms=0))
    grant: Grant = end.value.value
    assert grant.availability["rpm"].capacity == 30
    assert other.acquire("key-1", "gpt-4", {"rpm": 1}).availability["rpm"].capacity == 30
