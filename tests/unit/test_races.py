"""Changes that meet: flows driven round trip by round trip, so that one comes exactly between two of another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leasegate import (
    Disabled,
    EntityNotFound,
    InvalidRequest,
    Limit,
    Limiter,
    NoLimitsConfigured,
    RateLimitExceeded,
)
from leasegate.flows.grants import Grant
from leasegate.flows.levels import Level, Refuse
from leasegate.flows.planning import Planner
from leasegate.flows.refreshing import Belief
from leasegate.flows.spending import Request
from leasegate.operations import Transact
from leasegate.simulation.descent import check_families
from tests.administered import BUCKET, RPM, begin_acquire
from tests.fixtures.tables import MemoryTable, Steps


def spend(process: Limiter) -> int:
    """Spend a token; return the capacity that was found."""
    return process.acquire("key-1", "gpt-4", {"rpm": 1}).availability["rpm"].capacity


# --- moves -----------------------------------------------------------------------------------------


def test_two_moves_at_once_make_no_circle(table: MemoryTable, admin: Limiter) -> None:
    for entity_id in ("a", "b"):
        admin.create_entity(entity_id)
    table.before_trip(2, lambda: table.process().move_entity("b", "a"))
    with pytest.raises(InvalidRequest) as caught:
        admin.move_entity("a", "b")
    assert caught.value.field == "parent_id"
    assert admin.get_entity("b").parent_id == "a"
    check_families(table.memory.items)


def test_three_moves_at_once_make_no_circle(table: MemoryTable, admin: Limiter) -> None:
    for entity_id in ("a", "b", "c"):
        admin.create_entity(entity_id)

    def others() -> None:
        table.process().move_entity("b", "c")
        table.process().move_entity("c", "a")

    table.before_trip(2, others)
    with pytest.raises(InvalidRequest):
        admin.move_entity("a", "b")
    check_families(table.memory.items)


MOVES: dict[str, Callable[[Limiter], object]] = {
    "the new parent goes down": lambda x: x.move_entity("p1", "q2"),
    "its top goes down": lambda x: x.move_entity("p0", "q2"),
    "a child is put below": lambda x: x.create_entity("child", "k"),
    "a child is moved below": lambda x: x.move_entity("q2", "k"),
    "a grandchild is put below": lambda x: (x.put_entity("child", "k"), x.put_entity("grandchild", "child")),
}


@pytest.mark.parametrize("other", MOVES)
def test_two_changes_at_once_make_no_fifth_level(table: MemoryTable, admin: Limiter, other: str) -> None:
    for entity_id, parent_id in (
        ("p0", None),
        ("p1", "p0"),
        ("p2", "p1"),
        ("q0", None),
        ("q1", "q0"),
        ("q2", "q1"),
        ("k", None),
    ):
        admin.create_entity(entity_id, parent_id)
    failures: list[InvalidRequest] = []

    def attempt(move: Callable[[Limiter], object]) -> None:
        try:
            move(table.process())
        except InvalidRequest as error:
            failures.append(error)

    table.before_trip(4, lambda: attempt(MOVES[other]))
    attempt(lambda x: x.move_entity("k", "p2"))
    assert len(failures) == 1
    check_families(table.memory.items)


def test_a_child_of_a_parent_that_moves_meanwhile_is_counted_where_it_comes_to_stand(
    table: MemoryTable, admin: Limiter
) -> None:
    for entity_id, parent_id in (("p0", None), ("p1", "p0"), ("p2", "p1"), ("k", None)):
        admin.create_entity(entity_id, parent_id)
    table.before_trip(4, lambda: table.process().move_entity("p1", None))
    admin.move_entity("k", "p2")
    check_families(table.memory.items)


def test_a_parent_whose_deletion_begins_meanwhile_gets_no_child(table: MemoryTable, admin: Limiter) -> None:
    admin.create_entity("project")
    admin.create_entity("key-1")
    times = iter([10_000, 0])
    table.before_trip(2, lambda: table.process().delete_entity("project", time_left_ms=lambda: next(times)))
    with pytest.raises(EntityNotFound):
        admin.move_entity("key-1", "project")
    assert admin.get_entity("project").is_being_deleted
    check_families(table.memory.items)


def test_a_parent_that_is_deleted_meanwhile_gets_no_child(table: MemoryTable, admin: Limiter) -> None:
    admin.create_entity("project")
    admin.create_entity("key-1")
    table.before_trip(2, lambda: table.process().delete_entity("project"))
    with pytest.raises(EntityNotFound):
        admin.move_entity("key-1", "project")
    check_families(table.memory.items)


def test_a_name_that_is_changed_meanwhile_is_not_lost(table: MemoryTable, admin: Limiter) -> None:
    admin.create_entity("key-1", metadata={"a": "1"})
    table.before_trip(2, lambda: table.process().update_entity("key-1", metadata={"b": "2"}))
    admin.update_entity("key-1", metadata={"c": "3"})
    assert admin.get_entity("key-1").metadata == {"a": "1", "b": "2", "c": "3"}


# --- buckets that are created meanwhile --------------------------------------------------------------


def about_to_create(table: MemoryTable) -> Steps[Grant]:
    """Return an acquire that has read all it needs, and is about to create its bucket."""
    slow = begin_acquire(table)
    slow.until(Transact)
    return slow


def test_a_bucket_is_not_created_under_limits_that_were_deleted_meanwhile(
    table: MemoryTable, admin: Limiter
) -> None:
    admin.set_limits("key-1", [RPM])
    slow = about_to_create(table)
    admin.delete_limits("key-1")
    with pytest.raises(NoLimitsConfigured):
        slow.finish()
    assert BUCKET not in table.memory.items


@pytest.mark.parametrize("resource", [None, "gpt-4"])
def test_a_bucket_is_not_created_under_limits_that_were_replaced_meanwhile(
    table: MemoryTable, admin: Limiter, resource: str | None
) -> None:
    admin.set_limits("key-1", [RPM])
    slow = about_to_create(table)
    admin.set_limits("key-1", [Limit.per_minute("rpm", 7)], resource)
    assert slow.finish().availability["rpm"].capacity == 7


def test_a_bucket_is_not_created_for_an_entity_that_was_disabled_meanwhile(
    table: MemoryTable, admin: Limiter
) -> None:
    admin.set_limits("key-1", [RPM])
    for resource in (None, "gpt-4"):
        slow = about_to_create(table)
        admin.disable_entity("key-1", resource)
        with pytest.raises(Disabled):
            slow.finish()
        assert BUCKET not in table.memory.items
        admin.enable_entity("key-1", resource)


def test_a_bucket_is_not_created_for_an_entity_whose_deletion_began_meanwhile(
    table: MemoryTable, admin: Limiter
) -> None:
    admin.set_limits("key-1", [RPM])
    slow = about_to_create(table)
    times = iter([10_000, 0])
    admin.delete_entity("key-1", time_left_ms=lambda: next(times))
    with pytest.raises(Disabled):
        slow.finish()
    assert BUCKET not in table.memory.items


def test_a_bucket_is_not_created_under_a_parent_that_was_left_meanwhile(
    table: MemoryTable, admin: Limiter
) -> None:
    for project in ("old", "new"):
        admin.create_entity(project)
        admin.set_limits(project, [Limit.per_day("rpm", 1)])
    admin.create_entity("key-1", "old")
    admin.set_limits("key-1", [RPM])
    slow = begin_acquire(table)
    slow.until(Transact)
    admin.move_entity("key-1", "new")
    assert [x.entity_id for x in slow.finish().availability.ancestors] == ["new"]
    assert admin.available("old", "gpt-4")["rpm"].available == 1
    assert admin.available("new", "gpt-4")["rpm"].available == 0


CHANGES: dict[str, Callable[[Limiter], object]] = {
    "limits": lambda x: x.set_limits("key-1", [Limit.per_minute("rpm", 7)]),
    "disabled": lambda x: x.disable_entity("key-1"),
    "moved": lambda x: x.move_entity("key-1", "project"),
    "deleted": lambda x: x.delete_entity("key-1"),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("trip", range(1, 8))
def test_a_bucket_that_is_created_between_any_two_round_trips_of_a_change_obeys_it(
    table: MemoryTable, admin: Limiter, name: str, trip: int
) -> None:
    admin.create_entity("project")
    admin.set_limits("project", [Limit.per_day("rpm", 5)])
    admin.create_entity("key-1")
    admin.set_limits("key-1", [RPM])
    spender = table.process()

    def create() -> None:
        try:
            spend(spender)
        except Disabled:
            assert name in ("disabled", "deleted")

    table.before_trip(trip, create)
    CHANGES[name](admin)
    if name == "disabled":
        with pytest.raises(Disabled):
            spend(spender)
    elif name == "deleted":
        with pytest.raises(NoLimitsConfigured):
            spend(spender)
    elif name == "limits":
        assert spend(spender) == 7
    else:
        lease = spender.acquire("key-1", "gpt-4", {"rpm": 1})
        assert [x.entity_id for x in lease.availability.ancestors] == ["project"]
    check_families(table.memory.items)


# --- threads of one process ------------------------------------------------------------------------


def test_a_refusal_under_other_limits_says_nothing_of_those_that_a_thread_goes_by(
    table: MemoryTable, admin: Limiter
) -> None:
    """One thread has looked the bucket up; before it decides, another is refused under changed limits."""
    admin.set_limits("key-1", [RPM, Limit.concurrent("slots", 3, lease_seconds=30)])
    process = table.process()
    spend(process)
    state = process._knowledge.bucket("key-1", "gpt-4")
    assert state is not None
    admin.set_limits("key-1", [Limit.per_minute("rpm", 1)])
    with pytest.raises(RateLimitExceeded):
        spend(process)
    level = Level("key-1", own=True, state=state)
    request = Request("request", 0, table.now_ms)
    belief = Belief("gpt-4", table.now_ms, process._knowledge)
    planner = Planner(
        "gpt-4", {"slots": 1}, None, True, False, None, request, process._knowledge, belief, lambda _amounts: 1
    )
    assert not isinstance(planner.plan(level), Refuse)
