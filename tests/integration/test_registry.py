"""The registry of resources: what a list costs, and that it never disagrees with the limits it lists."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from leasegate import Administrator, Knowledge, Limit, StoreError, schema
from leasegate.operations import Key, Put
from leasegate.repository.dynamodb import DynamoRepository
from scripts import dynamodb_local as emulator
from tests.fixtures.stores import Cost
from tests.loading import load

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactGetItemTypeDef

    from tests.fixtures.dynamodb import Table
    from tests.fixtures.stores import Store

RPM: Final = Limit.per_minute("rpm", 60)
NAMES: Final = tuple(f"resource-{number}" for number in range(6))
THREADS: Final = 16
CHANGES_OF_A_THREAD: Final = 12
OTHER_ITEMS: Final = 5_000

pytestmark = pytest.mark.xdist_group("crowded tables")


@pytest.fixture(scope="module")
def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an emulator for these tests alone: one that held so many items is slow from then on."""
    with emulator.running(tmp_path_factory.mktemp("dynamodb-local") / "output.log") as endpoint:
        yield endpoint


# --- what a list costs -----------------------------------------------------------------------------


def fill(store: Store, request: pytest.FixtureRequest) -> None:
    """Put many items into the table that no list has to look at."""
    items = [
        (schema.bucket_key(f"key-{number}", "gpt-4"), {schema.VERSION: number}) for number in range(OTHER_ITEMS)
    ]
    if isinstance(store.repository, DynamoRepository):
        load(request.getfixturevalue("table"), items)
    else:
        store.repository.execute(tuple(Put(*each) for each in items), timeout_ms=1)


def test_a_list_is_one_get_and_one_unit_however_full_the_table(
    store: Store, request: pytest.FixtureRequest
) -> None:
    administrator = Administrator(store.repository)
    for name in ("tts", "gpt-4", "images"):
        administrator.set_resource_defaults(name, [RPM])
    fill(store, request)
    for is_consistent, read_units in ((True, 1), (False, 0.5)):
        cost = store.cost(partial(administrator.list_resources_with_defaults, consistent=is_consistent))
        assert cost == Cost(("Get",), write_units=0, read_units=read_units)
    assert administrator.list_resources_with_defaults() == ["gpt-4", "images", "tts"]


def test_an_empty_list_costs_no_more(store: Store) -> None:
    administrator = Administrator(store.repository)
    cost = store.cost(lambda: administrator.list_resources_with_defaults())
    assert cost == Cost(("Get",), write_units=0, read_units=1)


def test_a_list_follows_what_is_set_and_deleted(store: Store) -> None:
    administrator = Administrator(store.repository)
    for name in NAMES:
        administrator.set_resource_defaults(name, [RPM])
    for name in NAMES[:3]:
        administrator.delete_resource_defaults(name)
    administrator.disable_resource(NAMES[0])
    assert administrator.list_resources_with_defaults() == list(NAMES[3:])
    for name in NAMES[3:]:
        administrator.delete_resource_defaults(name)
    assert administrator.list_resources_with_defaults() == []
    report = administrator.backfill_registry(prune=True)
    assert (report.found, report.added, report.removed) == (0, 0, 0)


# --- racing writers --------------------------------------------------------------------------------


class Snapshots:
    """Reads the registry and all limits at one instant: TransactGetItems is serializable with every write."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._keys: list[Key] = [schema.registry_key(), *map(schema.resource_defaults_key, NAMES)]

    def take(self) -> tuple[set[str], set[str]] | None:
        """Return the names that are listed and those that have limits; None where writers were in the way."""
        gets: list[TransactGetItemTypeDef] = [
            {"Get": {"TableName": self._table.name, "Key": {schema.PK: {"S": pk}, schema.SK: {"S": sk}}}}
            for pk, sk in self._keys
        ]
        try:
            answer = self._table.client.transact_get_items(TransactItems=gets)
        except ClientError as error:
            if error.response["Error"]["Code"] == "TransactionCanceledException":
                return None
            raise
        registry, *limits = [response.get("Item", {}) for response in answer["Responses"]]
        names: Any = registry.get(schema.REGISTRY_RESOURCES, {}).get("SS", [])
        return set(names), {name for name, item in zip(NAMES, limits, strict=True) if schema.STORED_LIMITS in item}


def persistently[T](call: Callable[[], T]) -> T:
    """Repeat a call that contention left no time for; to set and to delete once more does no harm."""
    while True:
        try:
            return call()
        except StoreError:
            time.sleep(0.05)


def change_at_random(administrator: Administrator, seed: int) -> None:
    """Set, delete and list, one after the other, for names that all threads share."""
    dice = random.Random(seed)
    for _ in range(CHANGES_OF_A_THREAD):
        name = dice.choice(NAMES)
        match dice.choice(["set", "set", "delete", "list"]):
            case "set":
                persistently(partial(administrator.set_resource_defaults, name, [RPM]))
            case "delete":
                persistently(partial(administrator.delete_resource_defaults, name))
            case _:
                listed = persistently(administrator.list_resources_with_defaults)
                assert set(listed) <= set(NAMES)
                assert listed == sorted(listed)


def test_sixteen_racing_writers_never_bring_the_registry_and_the_limits_apart(table: Table) -> None:
    snapshots = Snapshots(table)
    is_over = Event()
    seen: list[tuple[set[str], set[str]]] = []

    def watch() -> None:
        while not is_over.is_set():
            snapshot = snapshots.take()
            if snapshot is not None:
                seen.append(snapshot)
            time.sleep(0.01)

    with (
        DynamoRepository(table.client, table.name) as repository,
        ThreadPoolExecutor(THREADS + 1) as pool,
    ):
        watching = pool.submit(watch)
        administrators = [
            Administrator(repository, knowledge=Knowledge(), timeout_ms=10_000) for _ in range(THREADS)
        ]
        racing = [pool.submit(change_at_random, each, seed) for seed, each in enumerate(administrators)]
        try:
            for race in racing:
                race.result()
        finally:
            is_over.set()
        watching.result()

    last = snapshots.take()
    assert last is not None
    assert [snapshot for snapshot in [*seen, last] if snapshot[0] != snapshot[1]] == []
    assert len({frozenset(listed) for listed, _ in seen}) > 3, "the registry was seen to change"
