"""The backfill of the registry on DynamoDB Local: a full table, kills, and others who do not wait for its end."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import pytest

from leasegate import Administrator, Limit, StoreError, schema
from leasegate.operations import Item, Key, Operation, Outcome
from leasegate.repository.dynamodb import DynamoRepository
from scripts import dynamodb_local as emulator
from tests.loading import load

if TYPE_CHECKING:
    from leasegate.repository import Repository
    from tests.fixtures.dynamodb import Table

RPM: Final = Limit.per_minute("rpm", 60)
ITEMS: Final = 20_000
OLD: Final = tuple(f"old-{number}" for number in range(300))
FEW: Final = OLD[:110]
"""More than are added at once."""
GONE: Final = tuple(f"gone-{number}" for number in range(20))
NEW: Final = tuple(f"new-{number}" for number in range(20))
SEGMENTS: Final = 4
KILLS: Final = 5
SEED: Final = 7

STORED: Final[Item] = {
    schema.STORED_LIMITS: schema.render_limits({RPM.name: RPM}),
    schema.STORED_VERSION: 1_700_000_000_000,
}


pytestmark = pytest.mark.xdist_group("crowded tables")


@pytest.fixture(scope="module")
def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an emulator for these tests alone: one that held so many items is slow from then on."""
    with emulator.running(tmp_path_factory.mktemp("dynamodb-local") / "output.log") as endpoint:
        yield endpoint


class Killed(BaseException):
    """The process ended here."""


class Mortal:
    """A repository whose process dies at one round trip: before it, or when it is done and not yet answered."""

    def __init__(self, repository: Repository, dice: random.Random) -> None:
        self._repository = repository
        self._trips_left = dice.randint(2, 5)
        self._is_done = dice.random() < 0.5

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        self._trips_left -= 1
        if self._trips_left == 0:
            if self._is_done:
                self._repository.execute(operations, timeout_ms=timeout_ms)
            raise Killed
        return self._repository.execute(operations, timeout_ms=timeout_ms)


def old_items(names: tuple[str, ...] = OLD, others: int = 0) -> Iterator[tuple[Key, Item]]:
    """Yield the items of a table that is older than the registry, but for names listed since and forgotten."""
    yield schema.registry_key(), {schema.REGISTRY_RESOURCES: frozenset(GONE)}
    for name in names:
        yield schema.resource_defaults_key(name), STORED
    for number in range(others):
        yield schema.bucket_key(f"key-{number}", "gpt-4"), {schema.VERSION: number}


def registry_in(table: Table) -> set[str]:
    pk, sk = schema.registry_key()
    answer = table.client.get_item(
        TableName=table.name, Key={schema.PK: {"S": pk}, schema.SK: {"S": sk}}, ConsistentRead=True
    )
    names: Any = answer["Item"].get(schema.REGISTRY_RESOURCES, {}).get("SS", [])
    return set(names)


def everything_in(table: Table) -> list[dict[str, Any]]:
    pages = table.client.get_paginator("scan").paginate(TableName=table.name, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def defaults_among(items: list[dict[str, Any]]) -> set[str]:
    keys = [Key(item["PK"]["S"], item["SK"]["S"]) for item in items if schema.STORED_LIMITS in item]
    return {name for key in keys if (name := schema.resource_of_defaults(key)) is not None}


@contextmanager
def changing_defaults(table: Table) -> Iterator[None]:
    """Set and delete defaults all the while, of old, new and forgotten resources."""
    is_over = Event()

    def change(repository: Repository) -> int:
        administrator = Administrator(repository, timeout_ms=10_000)
        dice = random.Random(SEED)
        changes = 0
        while not is_over.is_set():
            name = dice.choice(dice.choice((OLD, NEW, GONE)))
            is_set = dice.random() < 0.5
            call = partial(administrator.set_resource_defaults, name, [RPM])
            try:
                (call if is_set else partial(administrator.delete_resource_defaults, name))()
                changes += 1
            except StoreError:  # the backfill was in the way all the time
                pass
            time.sleep(0.01)
        return changes

    with DynamoRepository(table.client, table.name) as repository, ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change, repository)
        try:
            yield
        finally:
            is_over.set()
        assert changing.result() > KILLS


def test_a_backfill_killed_five_times_while_defaults_change_ends_exactly_right(table: Table) -> None:
    load(table, old_items(others=ITEMS - len(OLD) - 1))
    dice = random.Random(SEED)
    killed = 0
    with DynamoRepository(table.client, table.name) as repository, changing_defaults(table):
        for _ in range(KILLS):
            process = Administrator(Mortal(repository, dice), timeout_ms=30_000)
            try:
                process.backfill_registry(prune=True, segments=SEGMENTS)
            except Killed:
                killed += 1
        process = Administrator(repository, timeout_ms=30_000)
        report = process.backfill_registry(prune=True, segments=SEGMENTS)

    assert killed == KILLS
    items = everything_in(table)
    assert registry_in(table) == defaults_among(items)
    assert report.status == "complete"
    assert ITEMS <= report.scanned <= len(items) + 1, "no page is counted twice; the checkpoint is an item too"
    assert "#BACKFILL" not in {item["SK"]["S"] for item in items}


def test_two_backfills_at_once_end_with_every_name_counted_once(table: Table) -> None:
    load(table, old_items(FEW))
    with DynamoRepository(table.client, table.name) as repository, ThreadPoolExecutor(2) as pool:
        administrators = [Administrator(repository, timeout_ms=30_000) for _ in range(2)]
        running = [pool.submit(each.backfill_registry, prune=True, segments=2) for each in administrators]
        reports = [each.result() for each in running]
    assert registry_in(table) == set(FEW)
    counts = [(report.status, report.found, report.added, report.removed) for report in reports]
    ended = ("complete", len(FEW), len(FEW), len(GONE))
    assert ended in counts
    assert set(counts) <= {ended, ("complete", len(FEW), 0, 0)}


def test_a_dry_run_foresees_what_a_run_does_and_a_second_one_finds_nothing(table: Table) -> None:
    load(table, old_items(FEW))
    with DynamoRepository(table.client, table.name) as repository:
        administrator = Administrator(repository, timeout_ms=30_000)
        foreseen = administrator.backfill_registry(dry_run=True, prune=True)
        assert registry_in(table) == set(GONE)
        assert administrator.backfill_registry(prune=True) == foreseen
        assert (foreseen.found, foreseen.added, foreseen.removed) == (len(FEW), len(FEW), len(GONE))
        before = everything_in(table)
        again = administrator.backfill_registry(prune=True)
        assert (again.found, again.added, again.removed) == (len(FEW), 0, 0)
        assert everything_in(table) == before


def test_with_a_tenth_of_a_second_left_it_answers_without_a_call(table: Table) -> None:
    calls: list[tuple[Operation, ...]] = []
    with DynamoRepository(table.client, table.name, observer=lambda trip, *_: calls.append(trip)) as repository:
        report = Administrator(repository).backfill_registry(time_left_ms=lambda: 100)
    assert report.status == "in_progress"
    assert not calls
