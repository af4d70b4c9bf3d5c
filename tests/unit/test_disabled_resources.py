"""Resources that are disabled for everybody: obeyed within the age of knowledge, whatever limits there are."""

from __future__ import annotations

from contextlib import suppress

import pytest

from leasegate import Disabled, Limit, Limiter, schema
from leasegate.flows.limits_admin import TOMBSTONE_KEPT_S
from tests.fixtures.tables import MemoryTable

RPM = Limit.per_day("rpm", 1_000)
AGE_MS = 30_000


def spend(process: Limiter, entity_id: str = "key-1") -> None:
    process.acquire(entity_id, "gpt-4", {"rpm": 1})


def warm(table: MemoryTable, level: str) -> Limiter:
    """Return a process that spent for key-1 before, under limits of a level."""
    process = table.process()
    match level:
        case "entity":
            process.set_limits("key-1", [RPM])
        case "resource":
            process.set_resource_defaults("gpt-4", [RPM])
        case _:
            process.set_system_defaults([RPM])
    spend(process)
    return process


LEVELS = pytest.mark.parametrize("level", ["entity", "resource", "system"])


@LEVELS
@pytest.mark.parametrize("step_ms", [100, 7_000, 16_000, 40_000])
def test_a_disabled_resource_is_spent_by_nobody_once_knowledge_is_too_old(
    table: MemoryTable, admin: Limiter, level: str, step_ms: int
) -> None:
    spender = warm(table, level)
    assert admin.disable_resource("gpt-4")
    disabled_at_ms = table.now_ms
    while table.now_ms < disabled_at_ms + 3 * AGE_MS:
        table.now_ms += step_ms
        if table.now_ms - disabled_at_ms >= AGE_MS:
            with pytest.raises(Disabled) as caught:
                spend(spender)
            assert (caught.value.entity_id, caught.value.resource) == (None, "gpt-4")
        else:
            with suppress(Disabled):
                spend(spender)


@LEVELS
def test_an_enabled_resource_is_spent_again_within_the_age_of_knowledge(
    table: MemoryTable, admin: Limiter, level: str
) -> None:
    spender = warm(table, level)
    admin.disable_resource("gpt-4")
    table.now_ms += AGE_MS
    with pytest.raises(Disabled):
        spend(spender)
    assert admin.enable_resource("gpt-4")
    table.now_ms += AGE_MS
    spend(spender)


def test_whoever_has_limits_of_its_own_does_not_wait_for_the_read_that_tells(
    table: MemoryTable, admin: Limiter
) -> None:
    spender = warm(table, "entity")
    table.now_ms += AGE_MS
    assert table.cost(lambda: spend(spender)) == ["Update+BatchGet"]
    admin.disable_resource("gpt-4")
    table.now_ms += AGE_MS
    cost = table.cost(lambda: spend(spender), raises=Disabled)
    assert cost == ["Update+BatchGet", "Update"], "what was spent meanwhile is given back"
    assert table.cost(lambda: spend(spender), raises=Disabled) == []


@LEVELS
def test_what_was_spent_before_the_state_was_known_is_given_back(
    table: MemoryTable, admin: Limiter, level: str
) -> None:
    spender = warm(table, level)
    admin.disable_resource("gpt-4")
    for elapsed_ms in (16_000, 31_000):
        table.now_ms += elapsed_ms
        with pytest.raises(Disabled):
            spend(spender)
    admin.enable_resource("gpt-4")
    bucket = schema.bucket_key("key-1", "gpt-4")
    assert table.item(bucket)[schema.used_attribute("rpm")] == 1
    assert table.process().available("key-1", "gpt-4")["rpm"].available == 999


def test_what_was_spent_at_all_levels_is_given_back(table: MemoryTable, admin: Limiter) -> None:
    admin.create_entity("project")
    admin.set_limits("project", [RPM])
    admin.create_entity("key-1", "project")
    spender = warm(table, "entity")
    admin.disable_resource("gpt-4")
    table.now_ms += AGE_MS
    with pytest.raises(Disabled):
        spend(spender)
    admin.enable_resource("gpt-4")
    found = admin.available("key-1", "gpt-4")
    assert (found["rpm"].available, found.ancestors[0]["rpm"].available) == (999, 999)


def test_other_resources_go_on(table: MemoryTable, admin: Limiter) -> None:
    spender = warm(table, "entity")
    admin.disable_resource("gpt-3")
    table.now_ms += AGE_MS
    spend(spender)


def test_a_resource_that_nobody_knows_can_be_disabled(table: MemoryTable, admin: Limiter) -> None:
    admin.disable_resource("gpt-4")
    assert admin.get_resource("gpt-4").disabled_at_ms == table.now_ms
    assert admin.list_resources_with_defaults() == []
    with pytest.raises(Disabled):
        admin.acquire("key-1", "gpt-4", {"rpm": 1}, limits=[RPM])
    assert admin.enable_resource("gpt-4")
    assert schema.resource_defaults_key("gpt-4") not in table.memory.items


def test_switching_says_whether_that_is_new(table: MemoryTable, admin: Limiter) -> None:
    assert not admin.enable_resource("gpt-4")
    assert admin.disable_resource("gpt-4")
    before = table.memory.items
    assert not table.process().disable_resource("gpt-4")
    assert table.memory.items == before
    assert table.process().enable_resource("gpt-4")


def test_a_resource_stays_disabled_when_its_defaults_change(table: MemoryTable, admin: Limiter) -> None:
    stranger = table.process()
    stranger.set_resource_defaults("gpt-4", [RPM])
    admin.disable_resource("gpt-4")
    disabled_at_ms = table.now_ms
    table.now_ms += 1
    for change in (
        lambda: stranger.set_resource_defaults("gpt-4", [RPM, Limit.per_minute("tpm", 5)]),
        lambda: stranger.delete_resource_defaults("gpt-4"),
        lambda: table.process().set_resource_defaults("gpt-4", [RPM]),
    ):
        change()
        assert admin.get_resource("gpt-4").disabled_at_ms == disabled_at_ms
    assert admin.get_resource("gpt-4").limits == (RPM,)


def test_defaults_stay_when_their_resource_is_switched(table: MemoryTable, admin: Limiter) -> None:
    admin.set_resource_defaults("gpt-4", [RPM])
    before = table.item(schema.resource_defaults_key("gpt-4"))
    table.process().disable_resource("gpt-4")
    assert admin.get_resource_defaults("gpt-4") == (RPM,)
    table.process().enable_resource("gpt-4")
    assert table.item(schema.resource_defaults_key("gpt-4")) == before


def test_a_disabled_resource_is_not_forgotten_with_its_defaults(table: MemoryTable, admin: Limiter) -> None:
    key = schema.resource_defaults_key("gpt-4")
    admin.set_resource_defaults("gpt-4", [RPM])
    admin.delete_resource_defaults("gpt-4")
    assert schema.EXPIRES_AT in table.item(key)
    admin.disable_resource("gpt-4")
    assert schema.EXPIRES_AT not in table.item(key)
    admin.enable_resource("gpt-4")
    assert table.item(key)[schema.EXPIRES_AT] == table.now_ms // 1000 + TOMBSTONE_KEPT_S, (
        "only its version is left"
    )


def test_a_resource_whose_switch_lost_a_race_is_switched_all_the_same(table: MemoryTable, admin: Limiter) -> None:
    other = table.process()
    table.before_trip(2, lambda: other.set_resource_defaults("gpt-4", [RPM]))
    assert admin.disable_resource("gpt-4")
    found = admin.get_resource("gpt-4")
    assert (found.limits, found.disabled_at_ms) == ((RPM,), table.now_ms)
