"""One meaning in two repositories: the same random operations through memory and through DynamoDB Local.

Few keys, few attributes and few values, so that conditions hold and fail about equally often. Index entries never
share a sort key, for DynamoDB orders those that do as it likes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from leasegate import schema
from leasegate.errors import StoreError
from leasegate.operations import (
    Add,
    AllOf,
    Applied,
    AtMost,
    BatchGet,
    Between,
    Cancelled,
    Change,
    Discard,
    Equals,
    Failed,
    Found,
    Get,
    Item,
    Key,
    NotEquals,
    NotExists,
    Operation,
    Outcome,
    Page,
    Position,
    Put,
    Query,
    Refused,
    Remove,
    Scan,
    Set,
    Update,
)
from leasegate.repository import Repository
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.repository.memory import MemoryRepository
from leasegate.repository.wire import decode_item, decode_key, encode, encode_key
from tests.chance import KEYS, PARENTS, PARTITIONS, Chance

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.fixtures.dynamodb import Table


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
        case Page(items, next_position, scanned):
            return ("page", [(key, spelled_item(item)) for key, item in items], next_position, scanned)
        case Failed(error):
            return ("failed", type(error), error.maybe_applied)


def spelled_item(item: Item | None) -> object:
    return None if item is None else {name: encode(value) for name, value in item.items()}


def table_items(client: DynamoDBClient, name: str) -> dict[Key, object]:
    pages = client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    return {decode_key(item): spelled_item(decode_item(item)) for page in pages for item in page["Items"]}


def pages[Operation: (Query, Scan)](repository: Repository, operation: Operation) -> list[Page]:
    """Read the pages of a query, or of one segment, to the end."""
    read: list[Page] = []
    after: Position | None = None
    while not read or after is not None:
        (outcome,) = repository.execute((replace(operation, after=after),), timeout_ms=30_000)
        assert isinstance(outcome, Page)
        read.append(outcome)
        after = outcome.next
    return read


def scanned(repository: Repository, scan: Scan) -> tuple[list[Key], int]:
    """Scan all segments; return the keys in an order of their own, and how many items were looked at."""
    segments = [pages(repository, replace(scan, segment=segment)) for segment in range(scan.segments)]
    read = [page for segment in segments for page in segment]
    assert all(len(page.items) <= page.scanned <= scan.limit for page in read)
    assert all(item == {} for page in read for _, item in page.items)
    return sorted(key for page in read for key, _ in page.items), sum(page.scanned for page in read)


def listings() -> list[Query]:
    """Return queries of everything, in both directions, by pages that divide it and pages that do not."""
    return [
        Query(partition, limit=limit, in_index=partition in PARENTS, newest_first=newest_first)
        for partition in PARTITIONS + PARENTS
        for limit in (1, 2, 3)
        for newest_first in (False, True)
    ]


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
            chance.see(operations, expected)
            outcomes.update(map(type, expected))
        for query in listings():
            assert [*map(spelled, pages(dynamodb, query))] == [*map(spelled, pages(memory, query))]
        for attribute, prefix, limit in (("n", "BUCKET#", 1), ("n", "BUCKET#b", 2), ("lim", "", 100)):
            scan = Scan(0, 3, prefix, attribute, limit)
            assert scanned(dynamodb, scan) == scanned(memory, scan)
    assert table_items(client, name) == {key: spelled_item(item) for key, item in memory.items.items()}
    decided = outcomes[Applied] + outcomes[Refused]
    assert 0.3 < outcomes[Applied] / decided < 0.7
    assert min(outcomes[kind] for kind in (Cancelled, Found, Failed, Page)) > 5


def test_a_missing_attribute_differs_from_every_value(table: Table) -> None:
    client, name = table
    write = Update(KEYS[0], (Set("at", 1),), NotEquals("r.3", "id"))
    for repository in (MemoryRepository(), DynamoRepository(client, name)):
        assert repository.execute((write,), timeout_ms=10_000) == (Applied({"at": 1}),)


def test_writes_of_one_shape_each_change_the_holders_that_they_name(table: Table) -> None:
    client, name = table
    count = schema.held_attribute("streams")
    first, second, third = (schema.holder_attribute("streams", holder) for holder in ("a-b_0", "c", "d1"))

    def replace_holder(gone: str, new: str, until_ms: int) -> Update:
        condition = AllOf((Equals(gone, until_ms), NotExists(new), AtMost(count, 1)))
        return Update(KEYS[0], (Remove(gone), Set(new, until_ms), Add(count, 0)), condition)

    dynamodb = DynamoRepository(client, name)
    for repository in (MemoryRepository(), dynamodb):
        repository.execute((Put(KEYS[0], {count: 1, first: 5}),), timeout_ms=10_000)
        for write, outcome in (
            (replace_holder(first, second, 6), Refused({count: 1, first: 5})),
            (replace_holder(first, second, 5), Applied({count: 1, second: 5})),
            (replace_holder(first, second, 5), Refused({count: 1, second: 5})),
            (replace_holder(second, third, 5), Applied({count: 1, third: 5})),
        ):
            assert repository.execute((write,), timeout_ms=10_000) == (outcome,)
    assert dynamodb.compilations == 2  # the item's and the writes'


def test_a_range_from_high_to_low_holds_nothing_and_is_no_error(table: Table) -> None:
    client, name = table
    write = Update(KEYS[0], (Set("at", 1),), Between("at", 2, 1))
    for repository in (MemoryRepository(), DynamoRepository(client, name)):
        assert repository.execute((write,), timeout_ms=10_000) == (Refused(None),)


def test_a_page_as_long_as_its_limit_goes_on_even_where_nothing_follows(table: Table) -> None:
    client, name = table
    puts = tuple(Put(Key("AUDIT#a", sk), {"n": 1}) for sk in ("1", "2", "3", "4"))
    for repository in (MemoryRepository(), DynamoRepository(client, name)):
        repository.execute(puts, timeout_ms=10_000)
        assert [len(page.items) for page in pages(repository, Query("AUDIT#a", limit=2))] == [2, 2, 0]
        assert [len(page.items) for page in pages(repository, Query("AUDIT#a", limit=3))] == [3, 1]
        assert [page.scanned for page in pages(repository, Scan(0, 1, "X#", "n", limit=2))] == [2, 2, 0]


def test_a_page_may_have_fewer_items_than_its_limit_and_still_not_be_the_last(table: Table) -> None:
    client, name = table
    large = {"text": "." * 300_000}
    with DynamoRepository(client, name) as repository:
        for number in range(5):
            repository.execute((Put(Key("AUDIT#a", str(number)), large),), timeout_ms=10_000)
        queried = pages(repository, Query("AUDIT#a"))
        looked_at = pages(repository, Scan(0, 1, "", "text", limit=100))
    assert [len(page.items) for page in queried] == [4, 1]
    assert [page.scanned for page in looked_at] == [4, 1]


START = Position(Key("AUDIT#a", "2"))
INDEX_START = Position(Key("ENTITY#a", "#META"), "ENTITY#a")


@pytest.mark.parametrize(
    "operation",
    [
        Query("AUDIT#b", after=START),
        Query("AUDIT#a", prefix="3", after=START),
        Query("AUDIT#a", after=START._replace(index_sk="2")),
        Query("PARENT#a", in_index=True, after=INDEX_START._replace(index_sk=None)),
        Query("PARENT#a", prefix="X", in_index=True, after=INDEX_START),
    ],
)
def test_a_page_cannot_begin_outside_of_what_is_asked_for(operation: Query, table: Table) -> None:
    client, name = table
    for repository in (MemoryRepository(), DynamoRepository(client, name)):
        (outcome,) = repository.execute((operation,), timeout_ms=10_000)
        assert isinstance(outcome, Failed)
        assert type(outcome.error) is StoreError


def test_a_scan_cannot_begin_in_another_segment(table: Table) -> None:
    client, name = table
    puts = tuple(Put(Key(f"BUCKET#{number}", "#STATE"), {"n": 1}) for number in range(20))
    for repository in (MemoryRepository(), DynamoRepository(client, name)):
        repository.execute(puts, timeout_ms=10_000)
        first, *_ = pages(repository, Scan(0, 2, "", "n", limit=1))
        (outcome,) = repository.execute((Scan(1, 2, "", "n", limit=1, after=first.next),), timeout_ms=10_000)
        assert isinstance(outcome, Failed)
        assert type(outcome.error) is StoreError


def test_segments_share_the_table_out(table: Table) -> None:
    client, name = table
    puts = [
        Put(Key(f"BUCKET#{number % 97}", str(number)), {"n": 1} if number % 3 else {}) for number in range(200)
    ]
    memory = MemoryRepository()
    with DynamoRepository(client, name) as dynamodb:
        for repository in (memory, dynamodb):
            repository.execute(tuple(puts), timeout_ms=30_000)
            expected = sorted(put.key for put in puts if put.item)
            for segments in (1, 4, 150):
                assert scanned(repository, Scan(0, segments, "BUCKET#", "n", limit=7)) == (expected, 200)


@pytest.mark.parametrize("change", [Remove("n"), Discard("s", frozenset({"x"}))])
def test_taking_from_an_item_that_is_not_there_leaves_an_empty_one(change: Change, table: Table) -> None:
    """In DynamoDB Local, that is; see :func:`leasegate.repository.evaluation.changed`."""
    client, name = table
    for repository in (MemoryRepository(), DynamoRepository(client, name)):
        assert repository.execute((Update(KEYS[0], (change,)),), timeout_ms=10_000) == (Applied({}),)
        assert repository.execute((Get(KEYS[0]),), timeout_ms=10_000) == (Found({KEYS[0]: {}}),)


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
