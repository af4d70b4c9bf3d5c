"""What a deletion leaves behind: children with another parent, and room for an entity of the same id."""

from __future__ import annotations

import pytest

from leasegate import (
    Deletion,
    EntityHasChildren,
    InvalidRequest,
    Limit,
    Limiter,
    NoLimitsConfigured,
    RateLimitExceeded,
)
from leasegate.simulation.descent import check_families
from tests.administered import RESOURCES, RPM, left_of, populate
from tests.fixtures.tables import MemoryTable, dies_before_trip

# --- children --------------------------------------------------------------------------------------


def family(admin: Limiter, children: int) -> None:
    admin.create_entity("company")
    admin.create_entity("project", "company")
    for number in range(children):
        admin.create_entity(f"key-{number}", "project")


def test_an_entity_with_children_is_not_deleted(table: MemoryTable, admin: Limiter) -> None:
    family(admin, 2)
    before = table.memory.items
    with pytest.raises(EntityHasChildren) as caught:
        admin.delete_entity("project")
    assert (caught.value.entity_id, caught.value.children) == ("project", 2)
    assert table.memory.items == before


@pytest.mark.parametrize("parent_id", [None, "company"])
def test_children_are_given_to_the_parent_of_their_parent(
    table: MemoryTable, admin: Limiter, parent_id: str | None
) -> None:
    family(admin, 60)
    admin.move_entity("project", parent_id)
    assert admin.delete_entity("project", children="reparent") == Deletion(is_complete=True, children_moved=60)
    assert {admin.get_entity(f"key-{number}").parent_id for number in range(60)} == {parent_id}
    assert admin.get_entity("company").children == (60 if parent_id else 0)
    check_families(table.memory.items)


@pytest.mark.parametrize("trip", range(1, 30, 2))
def test_reparenting_that_died_once_is_completed_by_the_next_call(table: MemoryTable, trip: int) -> None:
    family(table.process(), 4)

    def delete() -> Deletion:
        return table.process().delete_entity("project", children="reparent")

    if dies_before_trip(table, trip, delete):
        check_families(table.memory.items)
        assert delete().is_complete
    assert table.process().get_entity("company").children == 4
    check_families(table.memory.items)


def test_a_child_of_a_deleted_parent_spends_without_it(table: MemoryTable, admin: Limiter) -> None:
    family(admin, 1)
    admin.set_limits("project", [Limit.per_day("rpm", 1)])
    admin.set_limits("key-0", [RPM])
    spender = table.process()
    spender.acquire("key-0", "gpt-4", {"rpm": 1})
    admin.delete_entity("project", children="reparent")
    lease = spender.acquire("key-0", "gpt-4", {"rpm": 5})
    assert [x.entity_id for x in lease.availability.ancestors] == ["company"]
    assert left_of(table, "project") == []


def test_a_child_that_comes_while_a_deletion_begins_stops_it(table: MemoryTable, admin: Limiter) -> None:
    family(admin, 0)
    table.before_trip(2, lambda: table.process().create_entity("late", "project"))
    with pytest.raises(EntityHasChildren):
        admin.delete_entity("project")
    assert not admin.get_entity("project").is_being_deleted
    check_families(table.memory.items)


def test_what_is_to_become_of_the_children_is_checked(table: MemoryTable, admin: Limiter) -> None:
    with pytest.raises(InvalidRequest) as caught:
        admin.delete_entity("project", children="drop")  # type: ignore[arg-type]  # that is the test
    assert (caught.value.field, table.trips) == ("children", [])


# --- afterwards ------------------------------------------------------------------------------------


def test_a_deleted_entity_spends_under_the_defaults_like_one_never_seen(
    table: MemoryTable, admin: Limiter
) -> None:
    spender = table.process()
    admin.set_limits("key-1", [Limit.per_day("rpm", 5)])
    spender.acquire("key-1", "gpt-4", {"rpm": 5})
    admin.delete_entity("key-1")
    with pytest.raises(NoLimitsConfigured):
        spender.acquire("key-1", "gpt-4", {"rpm": 1})
    admin.set_system_defaults([RPM])
    table.now_ms += 30_000
    assert spender.acquire("key-1", "gpt-4", {"rpm": 1}).availability["rpm"].available == 59


def test_an_entity_created_again_has_nothing_of_the_one_that_was_deleted(
    table: MemoryTable, admin: Limiter
) -> None:
    populate(admin, RESOURCES[:3])
    admin.disable_entity("key-1", RESOURCES[0])
    admin.delete_entity("key-1")
    admin.create_entity("key-1")
    found = admin.get_entity("key-1")
    assert (found.parent_id, found.buckets, dict(found.disabled_resources)) == (None, 0, {})
    assert admin.list_limits("key-1").items == ()
    admin.set_limits("key-1", [RPM], RESOURCES[1])
    assert admin.acquire("key-1", RESOURCES[1], {"rpm": 1}).availability["rpm"].available == 59


@pytest.mark.parametrize("adjustment", [30, -1])
def test_leases_settled_after_the_deletion_bring_nothing_back(
    table: MemoryTable, admin: Limiter, adjustment: int
) -> None:
    populate(admin, RESOURCES[:2])
    lease = table.process().acquire("key-1", RESOURCES[0], {"rpm": 1})
    admin.delete_entity("key-1")
    lease.adjust({"rpm": adjustment})
    lease.settle()
    assert left_of(table, "key-1") == []


def test_a_deleted_parent_refuses_nobody_any_more(table: MemoryTable, admin: Limiter) -> None:
    family(admin, 1)
    admin.set_limits("project", [Limit.per_day("rpm", 1)])
    admin.set_limits("key-0", [RPM])
    spender = table.process()
    spender.acquire("key-0", "gpt-4", {"rpm": 1})
    with pytest.raises(RateLimitExceeded):
        spender.acquire("key-0", "gpt-4", {"rpm": 1})
    admin.delete_entity("project", children="reparent")
    table.now_ms += 1_000
    spender.acquire("key-0", "gpt-4", {"rpm": 1})
