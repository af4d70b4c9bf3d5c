"""Entities: created, replaced, changed and moved; and the counts of their descendants."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from leasegate import EntityExists, EntityNotFound, InvalidRequest, Limit, Limiter, RateLimitExceeded, schema
from leasegate.schema import Entity
from leasegate.simulation.descent import check_families
from tests.fixtures.tables import MemoryTable

RPM = Limit.per_minute("rpm", 60)


def chain(admin: Limiter, *entity_ids: str) -> None:
    """Create entities, each the child of the one before."""
    for parent_id, entity_id in zip((None, *entity_ids), entity_ids, strict=False):
        admin.create_entity(entity_id, parent_id)


def record(table: MemoryTable, entity_id: str) -> Entity:
    return schema.parse_entity(table.item(schema.entity_key(entity_id)))


# --- create ----------------------------------------------------------------------------------------


def test_an_entity_is_read_back_as_it_was_created(table: MemoryTable, admin: Limiter) -> None:
    admin.create_entity("project")
    admin.create_entity("key-1", "project", name="Key 1", metadata={"team": "a"})
    found = admin.get_entity("key-1")
    assert (found.entity_id, found.parent_id, found.name, found.metadata) == (
        "key-1",
        "project",
        "Key 1",
        {"team": "a"},
    )
    assert found.created_at_ms == table.now_ms
    assert (found.children, found.buckets, found.is_being_deleted, found.has_pending_changes) == (
        0,
        0,
        False,
        False,
    )
    assert admin.get_entity("project").children == 1


def test_an_entity_is_created_once(table: MemoryTable, admin: Limiter) -> None:
    admin.create_entity("key-1", name="first")
    before = table.memory.items
    with pytest.raises(EntityExists):
        table.process().create_entity("key-1", name="second")
    assert table.memory.items == before


def test_an_entity_that_only_has_limits_can_be_created(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-1", [RPM])
    assert admin.get_entity("key-1").created_at_ms is None
    admin.create_entity("project")
    admin.create_entity("key-1", "project")
    assert admin.get_entity("key-1").created_at_ms == table.now_ms
    assert admin.get_limits("key-1") == (RPM,)
    assert admin.list_entities().items == ("project",)


@pytest.mark.parametrize("make", [lambda _x: None, lambda x: x.set_limits("parent", [RPM])])
def test_a_parent_must_have_been_created(
    table: MemoryTable, admin: Limiter, make: Callable[[Limiter], object]
) -> None:
    make(admin)
    before = table.memory.items
    with pytest.raises(EntityNotFound) as caught:
        admin.create_entity("key-1", "parent")
    assert caught.value.entity_id == "parent"
    assert table.memory.items == before


def test_there_are_four_levels_and_not_five(admin: Limiter) -> None:
    chain(admin, "a", "b", "c", "d")
    with pytest.raises(InvalidRequest) as caught:
        admin.create_entity("e", "d")
    assert caught.value.field == "parent_id"
    with pytest.raises(EntityNotFound):
        admin.get_entity("e")


# --- replace and change ----------------------------------------------------------------------------


def test_a_put_creates_and_then_replaces_all_of_an_entity(admin: Limiter) -> None:
    admin.create_entity("project")
    assert admin.put_entity("key-1", "project", name="a", metadata={"x": "1"})
    assert not admin.put_entity("key-1", metadata={"y": "2"})
    found = admin.get_entity("key-1")
    assert (found.parent_id, found.name, found.metadata) == (None, None, {"y": "2"})
    assert admin.get_entity("project").children == 0


def test_a_put_that_differs_in_nothing_reads_and_writes_nothing(table: MemoryTable, admin: Limiter) -> None:
    put: Callable[[Limiter], object] = lambda x: x.put_entity("key-1", name="a", metadata={"x": "1"})  # noqa: E731
    put(admin)
    before = table.memory.items
    assert table.cost(lambda: put(table.process())) == ["BatchGet"]
    assert table.memory.items == before


def test_an_update_merges_metadata_and_none_removes(admin: Limiter) -> None:
    admin.create_entity("key-1", name="a", metadata={"x": "1", "y": "2"})
    admin.update_entity("key-1", metadata={"y": None, "z": "3"})
    assert admin.get_entity("key-1").metadata == {"x": "1", "z": "3"}
    admin.update_entity("key-1", metadata={"nothing": None})
    assert admin.get_entity("key-1").metadata == {"x": "1", "z": "3"}
    admin.update_entity("key-1", name=None, metadata=None)
    found = admin.get_entity("key-1")
    assert (found.name, found.metadata) == (None, {})


def test_an_update_leaves_what_is_not_given(admin: Limiter) -> None:
    admin.create_entity("project")
    admin.create_entity("key-1", "project", name="a", metadata={"x": "1"})
    admin.update_entity("key-1", name="b")
    admin.update_entity("key-1", metadata={"y": "2"})
    admin.move_entity("key-1", None)
    found = admin.get_entity("key-1")
    assert (found.name, found.metadata, found.parent_id) == ("b", {"x": "1", "y": "2"}, None)


def test_metadata_do_not_grow_past_fifty_by_merging(admin: Limiter) -> None:
    admin.create_entity("key-1", metadata={f"k{n}": "v" for n in range(50)})
    with pytest.raises(InvalidRequest) as caught:
        admin.update_entity("key-1", metadata={"one-more": "v"})
    assert caught.value.field == "metadata"
    admin.update_entity("key-1", metadata={"one-more": "v", "k0": None})


@pytest.mark.parametrize("make", [lambda _x: None, lambda x: x.set_limits("key-1", [RPM])])
def test_only_an_entity_that_was_created_can_be_updated(admin: Limiter, make: Callable[[Limiter], object]) -> None:
    make(admin)
    with pytest.raises(EntityNotFound):
        admin.update_entity("key-1", name="a")
    with pytest.raises(EntityNotFound):
        admin.move_entity("key-1", None)


def test_what_nobody_created_limited_or_disabled_is_not_found(admin: Limiter) -> None:
    with pytest.raises(EntityNotFound):
        admin.get_entity("nobody")


# --- move ------------------------------------------------------------------------------------------


def test_a_move_takes_all_descendants_along_in_the_counts(table: MemoryTable, admin: Limiter) -> None:
    chain(admin, "a", "b", "c", "d")
    admin.create_entity("c2", "b")
    chain(admin, "x", "y")
    admin.move_entity("b", "x")
    assert record(table, "a").descendants == (0, 0, 0)
    assert record(table, "x").descendants == (2, 2, 1)
    assert record(table, "b").descendants == (2, 1, 0)
    check_families(table.memory.items)


def test_a_move_between_siblings_leaves_their_parents_counts(table: MemoryTable, admin: Limiter) -> None:
    chain(admin, "a", "b", "c")
    admin.create_entity("b2", "a")
    admin.move_entity("c", "b2")
    assert record(table, "a").descendants == (2, 1, 0)
    assert (record(table, "b").descendants, record(table, "b2").descendants) == ((0, 0, 0), (1, 0, 0))


@pytest.mark.parametrize("target", ["b", "c", "d"])
def test_an_entity_is_not_moved_below_itself(table: MemoryTable, admin: Limiter, target: str) -> None:
    chain(admin, "a", "b", "c", "d")
    before = table.memory.items
    with pytest.raises(InvalidRequest) as caught:
        admin.move_entity("a", target)
    assert caught.value.field == "parent_id"
    assert table.memory.items == before


def test_a_family_is_not_moved_so_that_its_lowest_would_be_a_fifth_level(admin: Limiter) -> None:
    chain(admin, "a", "b", "c")
    chain(admin, "x", "y")
    with pytest.raises(InvalidRequest) as caught:
        admin.move_entity("a", "y")
    assert caught.value.field == "parent_id"
    admin.move_entity("a", "x")
    admin.delete_entity("y")
    admin.create_entity("top")
    with pytest.raises(InvalidRequest):
        admin.move_entity("x", "top")
    admin.delete_entity("c")
    admin.move_entity("x", "top")


@pytest.mark.parametrize("seed", range(20))
def test_any_number_of_moves_keeps_every_count_exact(table: MemoryTable, admin: Limiter, seed: int) -> None:
    choose = random.Random(seed)
    names = [f"e{number}" for number in range(9)]
    for _ in range(120):
        entity_id, parent_id = choose.choice(names), choose.choice([None, *names])
        with suppress(EntityNotFound, InvalidRequest):
            if choose.random() < 0.1:
                admin.delete_entity(entity_id, children="reparent")
            elif choose.random() < 0.5:
                admin.put_entity(entity_id, parent_id)
            else:
                admin.move_entity(entity_id, parent_id)
        check_families(table.memory.items)


def test_a_move_is_obeyed_by_the_next_acquire_of_a_warm_process(table: MemoryTable, admin: Limiter) -> None:
    spender = table.process()
    for project in ("one", "two"):
        admin.create_entity(project)
        admin.set_limits(project, [Limit.per_day("rpm", 2)])
    admin.create_entity("key-1", "one")
    admin.set_limits("key-1", [RPM])
    spender.acquire("key-1", "gpt-4", {"rpm": 2})
    admin.move_entity("key-1", "two")
    spender.acquire("key-1", "gpt-4", {"rpm": 2})
    assert [admin.available(project, "gpt-4")["rpm"].available for project in ("one", "two")] == [0, 0]
    with pytest.raises(RateLimitExceeded) as caught:
        spender.acquire("key-1", "gpt-4", {"rpm": 1})
    assert [refusal.entity_id for refusal in caught.value.refusals] == ["two"]
    admin.move_entity("key-1", None)
    table.now_ms += 1_000  # a refusal is remembered that long
    spender.acquire("key-1", "gpt-4", {"rpm": 2})


def test_a_move_is_obeyed_where_only_defaults_limit(table: MemoryTable, admin: Limiter) -> None:
    spender = table.process()
    admin.set_system_defaults([RPM])
    spender.acquire("key-1", "gpt-4", {"rpm": 1})
    admin.create_entity("project")
    admin.set_limits("project", [Limit.per_day("rpm", 1)])
    admin.put_entity("key-1", "project")
    spender.acquire("key-1", "gpt-4", {"rpm": 1})
    assert admin.available("project", "gpt-4")["rpm"].available == 0
