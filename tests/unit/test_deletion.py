"""Deletion of entities: chunk by chunk, to be carried on wherever it ended, and final."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from leasegate import (
    Deletion,
    Disabled,
    EntityIsBeingDeleted,
    EntityNotFound,
    Limiter,
    schema,
)
from leasegate.simulation.descent import check_families
from tests.administered import RESOURCES, RPM, left_of, populate
from tests.fixtures.tables import MemoryTable, dies_before_trip


def begin(table: MemoryTable, entity_id: str = "key-1") -> None:
    """Begin a deletion, and leave it at that."""
    times = iter([10_000, 0])
    table.process().delete_entity(entity_id, time_left_ms=lambda: next(times))
    assert table.process().get_entity(entity_id).is_being_deleted


# --- whole -----------------------------------------------------------------------------------------


def test_an_entity_goes_with_all_its_limits_and_buckets(table: MemoryTable, admin: Limiter) -> None:
    populate(admin, RESOURCES)
    assert admin.delete_entity("key-1") == Deletion(is_complete=True, limits=120, buckets=120)
    assert left_of(table, "key-1") == []
    assert admin.get_entity("project").children == 0
    check_families(table.memory.items)
    with pytest.raises(EntityNotFound):
        admin.get_entity("key-1")
    with pytest.raises(EntityNotFound):
        admin.delete_entity("key-1")


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.create_entity("key-1"),
        lambda x: x.set_limits("key-1", [RPM]),
        lambda x: x.disable_entity("key-1", "gpt-4"),
        lambda x: x.acquire("key-1", "gpt-4", {"rpm": 1}, limits=[RPM]),
    ],
    ids=["created", "limited", "disabled", "spent"],
)
def test_whatever_there_is_of_an_entity_can_be_deleted(
    table: MemoryTable, admin: Limiter, make: Callable[[Limiter], object]
) -> None:
    make(admin)
    assert admin.delete_entity("key-1").is_complete
    assert left_of(table, "key-1") == []
    assert admin.list_entities().items == ()


def test_the_neighbours_of_an_entity_stay(table: MemoryTable, admin: Limiter) -> None:
    for entity_id in ("key-1", "key-10", "key"):
        admin.set_limits(entity_id, [RPM])
        admin.acquire(entity_id, "gpt-4", {"rpm": 1})
    before = table.memory.items
    admin.delete_entity("key-1")
    for key, item in before.items():
        if key.pk in ("ENTITY#key-10", "ENTITY#key", "BUCKET#key-10#gpt-4", "BUCKET#key#gpt-4"):
            assert table.item(key) == item


# --- carried on ------------------------------------------------------------------------------------


def test_a_deletion_whose_process_dies_before_any_round_trip_is_carried_on(table: MemoryTable) -> None:
    populate(table.process(), RESOURCES[:60])
    deaths = 0
    for trip in range(1, 100):  # each process comes one round trip further than the last
        if not dies_before_trip(table, trip, lambda: table.process().delete_entity("key-1")):
            break
        deaths += 1
    assert 4 < deaths < 99
    assert left_of(table, "key-1") == []
    check_families(table.memory.items)


@pytest.mark.parametrize("trip", range(1, 16))
def test_a_deletion_that_died_once_is_completed_by_the_next_call(table: MemoryTable, trip: int) -> None:
    populate(table.process(), RESOURCES[:30])
    assert dies_before_trip(table, trip, lambda: table.process().delete_entity("key-1"))
    assert table.process().delete_entity("key-1").is_complete
    assert left_of(table, "key-1") == []
    check_families(table.memory.items)


def test_a_call_without_time_does_nothing_and_the_next_one_goes_on(table: MemoryTable, admin: Limiter) -> None:
    populate(admin, RESOURCES)
    times = iter([10_000] * 5 + [2_000])
    stopped = admin.delete_entity("key-1", time_left_ms=lambda: next(times))
    assert stopped == Deletion(is_complete=False, limits=120)
    assert admin.delete_entity("key-1", time_left_ms=lambda: 2_000) == Deletion(is_complete=False)
    assert admin.get_entity("key-1").is_being_deleted
    assert admin.delete_entity("key-1", time_left_ms=lambda: 2_001) == Deletion(is_complete=True, buckets=120)


def test_two_who_delete_at_once_count_what_they_deleted_themselves(table: MemoryTable, admin: Limiter) -> None:
    populate(admin, RESOURCES[:30])
    begin(table)
    others: list[Deletion] = []
    times = iter([10_000, 0])
    # The first has read the limits and is about to delete them.
    table.before_trip(
        3, lambda: others.append(table.process().delete_entity("key-1", time_left_ms=lambda: next(times)))
    )
    assert admin.delete_entity("key-1") == Deletion(is_complete=True, buckets=30)
    assert others == [Deletion(is_complete=False, limits=30)]


def test_whoever_comes_too_late_to_a_deletion_finds_nothing(table: MemoryTable, admin: Limiter) -> None:
    populate(admin, RESOURCES[:30])
    table.before_trip(6, lambda: table.process().delete_entity("key-1"))
    with pytest.raises(EntityNotFound):
        admin.delete_entity("key-1")
    assert left_of(table, "key-1") == []


# --- while it goes on ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.set_limits("key-1", [RPM]),
        lambda x: x.delete_limits("key-1"),
        lambda x: x.create_entity("key-1"),
        lambda x: x.put_entity("key-1", name="new"),
        lambda x: x.update_entity("key-1", name="new"),
        lambda x: x.move_entity("key-1", None),
        lambda x: x.disable_entity("key-1"),
        lambda x: x.enable_entity("key-1", "gpt-4"),
    ],
)
def test_an_entity_that_is_being_deleted_cannot_be_changed(
    table: MemoryTable, admin: Limiter, change: Callable[[Limiter], object]
) -> None:
    populate(admin, RESOURCES[:3])
    begin(table)
    before = table.memory.items
    with pytest.raises(EntityIsBeingDeleted):
        change(admin)
    assert table.memory.items == before


def test_an_entity_that_is_being_deleted_is_nobodys_parent(table: MemoryTable, admin: Limiter) -> None:
    populate(admin, RESOURCES[:3])
    admin.create_entity("key-2")
    begin(table)
    for entity_id in ("child", "key-2"):
        with pytest.raises(EntityNotFound) as caught:
            admin.put_entity(entity_id, "key-1")
        assert caught.value.entity_id == "key-1"


def test_an_entity_that_is_being_deleted_gets_no_new_bucket(table: MemoryTable, admin: Limiter) -> None:
    populate(admin, RESOURCES[:3])
    begin(table)
    for process in (admin, table.process()):
        with pytest.raises(Disabled):
            process.acquire("key-1", "unused", {"rpm": 1})
    assert table.process().delete_entity("key-1").buckets == 3


def test_a_warm_process_is_refused_as_soon_as_a_deletion_has_begun(table: MemoryTable, admin: Limiter) -> None:
    populate(admin, RESOURCES[:3])
    begin(table)
    for resource in RESOURCES[:3]:
        cost = table.cost(partial(admin.acquire, "key-1", resource, {"rpm": 1}), raises=Disabled)
        assert cost == ["Update"]


def test_a_deletion_that_died_before_it_told_its_buckets_tells_them_first(
    table: MemoryTable, admin: Limiter
) -> None:
    populate(admin, RESOURCES[:3])
    assert dies_before_trip(table, 3, lambda: table.process().delete_entity("key-1"))
    assert table.process().get_entity("key-1").has_pending_changes
    times = iter([10_000, 0])
    table.process().delete_entity("key-1", time_left_ms=lambda: next(times))
    assert not table.process().get_entity("key-1").has_pending_changes
    with pytest.raises(Disabled):
        admin.acquire("key-1", RESOURCES[2], {"rpm": 1})


def test_a_debt_of_an_entity_that_is_being_deleted_goes_with_it(table: MemoryTable, admin: Limiter) -> None:
    populate(admin, RESOURCES[:2])
    lease = table.process().acquire("key-1", RESOURCES[0], {"rpm": 1})
    begin(table)
    table.memory.delete(schema.bucket_key("key-1", RESOURCES[0]))
    lease.adjust({"rpm": 30})
    lease.settle()
    with pytest.raises(Disabled):
        table.process().acquire("key-1", RESOURCES[0], {"rpm": 1})
    table.process().delete_entity("key-1")
    assert left_of(table, "key-1") == []
