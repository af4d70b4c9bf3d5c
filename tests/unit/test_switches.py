"""Disabled and enabled: entities, single resources of them, and resources for everybody."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leasegate import Disabled, InvalidRequest, Limit, Limiter, StoreUnavailable, schema
from tests.administered import BUCKET, RPM, refusal, spend, warm
from tests.fixtures.tables import MemoryTable, dies_before_trip

# --- entities and pairs ----------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["entity", "defaults"])
@pytest.mark.parametrize("resource", [None, "gpt-4"])
def test_a_warm_process_is_refused_by_the_very_write_that_would_have_spent(
    table: MemoryTable, admin: Limiter, level: str, resource: str | None
) -> None:
    spender = warm(table, level)
    assert admin.disable_entity("key-1", resource)
    assert table.cost(lambda: spend(spender), raises=Disabled) == ["Update"]
    assert refusal(spender) == ("key-1", "gpt-4")


def test_a_refusal_is_remembered_for_a_second(table: MemoryTable, admin: Limiter) -> None:
    spender = warm(table)
    admin.disable_entity("key-1")
    refusal(spender)
    assert table.cost(lambda: spend(spender), raises=Disabled) == []
    table.now_ms += 999
    assert table.cost(lambda: spend(spender), raises=Disabled) == []
    table.now_ms += 1
    assert len(table.cost(lambda: spend(spender), raises=Disabled)) == 1


@pytest.mark.parametrize("level", ["entity", "defaults"])
@pytest.mark.parametrize("resource", [None, "gpt-4"])
def test_an_enabled_entity_spends_on_where_it_stopped(
    table: MemoryTable, admin: Limiter, level: str, resource: str | None
) -> None:
    spender = warm(table, level)
    admin.disable_entity("key-1", resource)
    refusal(spender)
    assert admin.enable_entity("key-1", resource)
    table.now_ms += 1_000
    with spender.acquire("key-1", "gpt-4", {"rpm": 10}) as lease:
        assert lease.availability["rpm"].available == 50


def test_a_process_that_was_not_refused_spends_right_after_enabling(table: MemoryTable, admin: Limiter) -> None:
    spender = warm(table)
    admin.disable_entity("key-1")
    admin.enable_entity("key-1")
    spend(spender)


def test_switching_says_whether_that_is_new(table: MemoryTable, admin: Limiter) -> None:
    for resource in (None, "gpt-4"):
        assert not admin.enable_entity("key-1", resource)
        assert admin.disable_entity("key-1", resource)
        before = table.memory.items
        assert table.cost(lambda name=resource: admin.disable_entity("key-1", name)) == ["Get"]  # type: ignore[misc]  # mypy cannot infer it
        assert not table.process().disable_entity("key-1", resource)
        assert table.memory.items == before
        assert admin.enable_entity("key-1", resource)


def test_a_pair_is_disabled_for_its_resource_only(table: MemoryTable, admin: Limiter) -> None:
    spender = warm(table)
    spend(spender, resource="gpt-3")
    admin.disable_entity("key-1", "gpt-4")
    spend(spender, resource="gpt-3")
    spend(spender, resource="never-used")
    assert refusal(spender) == ("key-1", "gpt-4")


def test_a_pair_stays_disabled_when_its_entity_is_enabled(table: MemoryTable, admin: Limiter) -> None:
    spender = warm(table)
    spend(spender, resource="gpt-3")
    admin.disable_entity("key-1", "gpt-4")
    admin.disable_entity("key-1")
    admin.enable_entity("key-1")
    spend(spender, resource="gpt-3")
    assert refusal(spender) == ("key-1", "gpt-4")
    assert admin.get_entity("key-1").disabled_resources == {"gpt-4": table.now_ms}


def test_an_entity_stays_disabled_when_one_of_its_pairs_is_enabled(table: MemoryTable, admin: Limiter) -> None:
    spender = warm(table)
    admin.disable_entity("key-1", "gpt-4")
    admin.disable_entity("key-1")
    admin.enable_entity("key-1", "gpt-4")
    assert refusal(spender) == ("key-1", "gpt-4")
    assert admin.get_entity("key-1").disabled_at_ms == table.now_ms


def test_an_entity_that_nobody_knows_can_be_disabled_before_it_comes(table: MemoryTable, admin: Limiter) -> None:
    admin.set_system_defaults([RPM])
    admin.disable_entity("stranger")
    admin.disable_entity("guest", "gpt-4")
    assert refusal(table.process(), "stranger", "anything") == ("stranger", "anything")
    assert refusal(table.process(), "guest") == ("guest", "gpt-4")
    spend(table.process(), "guest", "gpt-3")
    assert BUCKET not in table.memory.items


def test_sixty_buckets_refuse_as_one(table: MemoryTable, admin: Limiter) -> None:
    spender = warm(table)
    names = [f"model-{number}" for number in range(60)]
    for name in names:
        spend(spender, resource=name)
    admin.disable_entity("key-1")
    for name in names:
        assert table.cost(lambda name=name: spend(spender, resource=name), raises=Disabled) == ["Update"]  # type: ignore[misc]  # mypy cannot infer it


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.set_limits("key-1", [Limit.per_minute("rpm", 30)]),
        lambda x: x.set_limits("key-1", [RPM], "gpt-4"),
        lambda x: x.delete_limits("key-1"),
        lambda x: x.put_entity("key-1", "project"),
        lambda x: x.reset("key-1", "gpt-4"),
    ],
    ids=["limits", "limits of the pair", "no limits", "moved", "reset"],
)
def test_no_other_change_enables(table: MemoryTable, admin: Limiter, change: Callable[[Limiter], object]) -> None:
    admin.create_entity("project")
    admin.set_system_defaults([RPM])
    spender = warm(table)
    admin.disable_entity("key-1", "gpt-4")
    table.now_ms += 1
    change(admin)
    for process in (spender, table.process()):
        assert refusal(process) == ("key-1", "gpt-4")
    assert str(table.item(BUCKET)[schema.STAMP]).startswith("off:")


def test_a_bucket_that_dynamodb_deleted_does_not_enable(table: MemoryTable, admin: Limiter) -> None:
    spender = warm(table)
    admin.disable_entity("key-1")
    table.memory.delete(BUCKET)
    for process in (spender, table.process()):
        assert refusal(process) == ("key-1", "gpt-4")
    assert BUCKET not in table.memory.items


@pytest.mark.parametrize(
    "finish",
    [
        lambda x: x.finish_changes("key-1"),
        lambda x: x.disable_entity("key-1"),
        lambda x: x.set_limits("key-1", [RPM]),
    ],
    ids=["finished", "repeated", "another change"],
)
@pytest.mark.parametrize("trip", [3, 4, 5, 6, 7])
def test_a_disabling_whose_process_died_half_way_is_completed(
    table: MemoryTable, finish: Callable[[Limiter], object], trip: int
) -> None:
    spender = warm(table)
    if dies_before_trip(table, trip, lambda: table.process().disable_entity("key-1")):
        assert table.process().get_entity("key-1").has_pending_changes
        finish(table.process())
    assert not table.process().get_entity("key-1").has_pending_changes
    assert table.cost(lambda: spend(spender), raises=Disabled) == ["Update"]


@pytest.mark.parametrize("trip", [3, 4, 5, 6])
def test_an_enabling_whose_process_died_half_way_is_completed(table: MemoryTable, trip: int) -> None:
    spender = warm(table)
    table.process().disable_entity("key-1")
    if dies_before_trip(table, trip, lambda: table.process().enable_entity("key-1")):
        assert not table.process().enable_entity("key-1"), "it is stored already"
    assert not table.process().get_entity("key-1").has_pending_changes
    spend(spender)


def test_a_switch_whose_reply_was_lost_is_completed_by_repeating_it(table: MemoryTable, admin: Limiter) -> None:
    spender = warm(table)
    table.lose_reply(2)
    with pytest.raises(StoreUnavailable):
        admin.disable_entity("key-1")
    assert not admin.disable_entity("key-1")
    assert refusal(spender) == ("key-1", "gpt-4")


# --- what goes on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("adjustment", [5, -1])
def test_leases_are_settled_all_the_same(table: MemoryTable, admin: Limiter, adjustment: int) -> None:
    lease = warm(table).acquire("key-1", "gpt-4", {"rpm": 1})
    admin.disable_entity("key-1")
    lease.adjust({"rpm": adjustment})
    lease.settle()
    admin.enable_entity("key-1")
    assert admin.available("key-1", "gpt-4")["rpm"].available == 58 - adjustment


@pytest.mark.parametrize(
    "disable",
    [
        lambda x: x.disable_entity("key-1"),
        lambda x: x.disable_entity("key-1", "gpt-4"),
        lambda x: x.disable_resource("gpt-4"),
    ],
)
def test_what_is_disabled_has_nothing_available(
    table: MemoryTable, admin: Limiter, disable: Callable[[Limiter], object]
) -> None:
    spender = warm(table)
    disable(admin)
    for process in (spender, table.process()):
        with pytest.raises(Disabled):
            process.available("key-1", "gpt-4")


def test_bad_ids_are_refused_by_name(admin: Limiter) -> None:
    for field, entity_id, resource in (("entity_id", "a#", None), ("resource", "a", "b#"), ("resource", "a", "")):
        for switch in (admin.disable_entity, admin.enable_entity):
            with pytest.raises(InvalidRequest) as caught:
                switch(entity_id, resource)
            assert caught.value.field == field
