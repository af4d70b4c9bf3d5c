"""A warm process obeys a change with its very next acquire, also where what it remembers says no."""

from __future__ import annotations

import pytest

from leasegate import Disabled, InvalidRequest, Limit, Limiter, NoLimitsConfigured, RateLimitExceeded
from tests.fixtures.tables import MemoryTable

RPM = Limit.per_minute("rpm", 60)


def spend(process: Limiter, entity_id: str = "key-1", tokens: int = 1) -> None:
    process.acquire(entity_id, "gpt-4", {"rpm": tokens})


def warm_child(table: MemoryTable, parent_limits: list[Limit]) -> tuple[Limiter, Limiter]:
    """Return an administrator, and a process that knows key-1 as a child of project."""
    admin, spender = table.process(), table.process()
    admin.create_entity("project")
    if parent_limits:
        admin.set_limits("project", parent_limits)
    admin.create_entity("key-1", "project")
    admin.set_limits("key-1", [RPM])
    spend(spender)
    return admin, spender


@pytest.mark.parametrize("parent_limits", [[], [RPM]], ids=["parent without limits", "parent with limits"])
@pytest.mark.parametrize("later_ms", [1_000, 15_000, 31_000, 3_600_000])
def test_an_entity_moved_away_from_a_disabled_parent_spends_again(
    table: MemoryTable, parent_limits: list[Limit], later_ms: int
) -> None:
    admin, spender = warm_child(table, parent_limits)
    admin.disable_entity("project")
    table.now_ms += 31_000
    with pytest.raises(Disabled):
        spend(spender)
    admin.move_entity("key-1", None)
    table.now_ms += later_ms
    spend(spender)


def test_an_entity_moved_away_from_a_small_parent_asks_for_more(table: MemoryTable) -> None:
    admin, spender = warm_child(table, [Limit.per_minute("rpm", 5)])
    admin.move_entity("key-1", None)
    spend(spender, tokens=10)


def test_an_entity_moved_away_from_an_empty_parent_is_not_refused_by_it(table: MemoryTable) -> None:
    admin, spender = table.process(), table.process()
    admin.create_entity("project")
    admin.set_limits("project", [Limit.per_day("rpm", 1)])
    admin.create_entity("key-1", "project")
    admin.set_limits("key-1", [RPM, Limit.per_minute("tpm", 1_000)])
    spender.acquire("key-1", "gpt-4", {"tpm": 1})  # which the project does not limit: its bucket is not touched
    table.process().acquire("project", "gpt-4", {"rpm": 1})
    admin.move_entity("key-1", None)
    spend(spender)


def test_a_parent_and_its_child_change_places(table: MemoryTable) -> None:
    admin, spender = warm_child(table, [])
    admin.move_entity("key-1", None)
    admin.move_entity("project", "key-1")
    table.now_ms += 31_000
    spend(spender)
    admin.move_entity("project", None)
    admin.move_entity("key-1", "project")
    spend(spender)
    assert [x.entity_id for x in spender.available("key-1", "gpt-4").ancestors] == ["project"]


def test_a_parent_and_its_child_change_places_at_once(table: MemoryTable) -> None:
    admin, spender = warm_child(table, [])
    admin.move_entity("key-1", None)
    admin.move_entity("project", "key-1")
    table.process().acquire("project", "gpt-4", {"rpm": 1}, limits=[RPM])
    spender.acquire("project", "gpt-4", {"rpm": 1}, limits=[RPM])
    admin.move_entity("project", None)
    admin.move_entity("key-1", "project")
    spend(spender)


def test_a_disabled_stranger_given_as_parent_disables_nobody(table: MemoryTable) -> None:
    admin, spender = warm_child(table, [])
    admin.disable_entity("project")
    table.now_ms += 31_000
    with pytest.raises(Disabled):
        spend(spender)
    admin.set_limits("key-2", [RPM])
    spender.acquire("key-2", "gpt-4", {"rpm": 1}, parent_id="project")


def test_limits_set_on_an_entity_that_spent_under_the_limits_of_a_call_hold_without_them(
    table: MemoryTable,
) -> None:
    admin, spender = table.process(), table.process()
    spender.acquire("key-1", "gpt-4", {"rpm": 1}, limits=[RPM])
    with pytest.raises(NoLimitsConfigured):
        spend(spender)
    admin.set_limits("key-1", [RPM])
    spend(spender)


def test_limits_set_on_an_entity_in_place_of_deleted_defaults_hold(table: MemoryTable) -> None:
    admin, spender = table.process(), table.process()
    admin.set_system_defaults([RPM])
    spend(spender)
    admin.delete_system_defaults()
    table.now_ms += 31_000
    with pytest.raises(NoLimitsConfigured):
        spend(spender)
    admin.set_limits("key-1", [RPM])
    spend(spender)


def test_limits_set_on_an_entity_allow_more_than_lowered_defaults(table: MemoryTable) -> None:
    admin, spender = table.process(), table.process()
    admin.set_system_defaults([RPM])
    spend(spender)
    table.now_ms += 1
    admin.set_system_defaults([Limit.per_minute("rpm", 5)])
    table.now_ms += 31_000
    spend(spender, "key-2")
    admin.set_limits("key-1", [RPM])
    spend(spender, tokens=10)


def test_what_can_never_be_granted_is_refused_by_what_the_table_says(table: MemoryTable) -> None:
    _admin, spender = warm_child(table, [Limit.per_minute("rpm", 5)])
    with pytest.raises(InvalidRequest) as caught:
        spend(spender, tokens=10)
    assert caught.value.unprocessable
    with pytest.raises(RateLimitExceeded):
        spend(spender, tokens=5)
