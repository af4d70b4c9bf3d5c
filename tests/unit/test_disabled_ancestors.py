"""Disabled entities refuse whoever is below them, and only as long as that is so."""

from __future__ import annotations

import pytest

from leasegate import Disabled, Limit, Limiter, RateLimitExceeded
from tests.administered import RPM, refusal, spend, warm
from tests.fixtures.tables import MemoryTable, dies_before_trip

# --- descendants -----------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [[RPM], []], ids=["with limits", "without limits"])
def test_a_disabled_ancestor_refuses_its_descendants(
    table: MemoryTable, admin: Limiter, limits: list[Limit]
) -> None:
    for parent_id, entity_id in ((None, "company"), ("company", "project"), ("project", "key-1")):
        admin.create_entity(entity_id, parent_id)
    if limits:
        admin.set_limits("company", limits)
    spender = warm(table)
    admin.disable_entity("company")
    table.now_ms += 0 if limits else 30_000
    assert refusal(spender) == ("company", "gpt-4")
    assert admin.available("key-2", "gpt-3", limits=[RPM])["rpm"].available == 60
    with pytest.raises(Disabled) as caught:
        spender.available("key-1", "gpt-4")
    assert caught.value.entity_id == "company"
    admin.enable_entity("company")
    table.now_ms += 30_000
    spend(spender)


def test_a_refusal_by_a_disabled_parent_is_remembered_for_a_second(table: MemoryTable, admin: Limiter) -> None:
    admin.create_entity("project")
    admin.create_entity("key-1", "project")
    spender = warm(table)
    admin.disable_entity("project")
    table.now_ms += 30_000
    refusal(spender)
    table.now_ms += 999
    assert table.cost(lambda: spend(spender), raises=Disabled) == []
    table.now_ms += 1
    assert len(table.cost(lambda: spend(spender), raises=Disabled)) == 1


def test_a_refused_descendant_has_spent_nothing(table: MemoryTable, admin: Limiter) -> None:
    admin.create_entity("project")
    admin.set_limits("project", [RPM])
    admin.create_entity("key-1", "project")
    spender = warm(table)
    admin.disable_entity("project")
    refusal(spender)
    admin.enable_entity("project")
    assert admin.available("key-1", "gpt-4")["rpm"].available == 59


def test_a_hint_at_a_disabled_entity_is_not_believed_for_what_another_thread_was_refused(
    table: MemoryTable, admin: Limiter
) -> None:
    admin.set_system_defaults([RPM])
    admin.create_entity("stranger")
    admin.disable_entity("stranger")
    admin.acquire("key-1", "gpt-4", {"rpm": 60})
    process = table.process()
    spend(process, "key-2")

    def another_thread() -> None:
        with pytest.raises(RateLimitExceeded):
            spend(process)

    table.before_trip(1, another_thread)
    with pytest.raises(RateLimitExceeded):
        process.acquire("key-1", "gpt-4", {"rpm": 1}, parent_id="stranger")


def test_what_an_enabled_parent_has_left_is_shown_before_its_buckets_are_told(
    table: MemoryTable, admin: Limiter
) -> None:
    admin.create_entity("project")
    admin.set_limits("project", [RPM])
    admin.create_entity("key-1", "project")
    warm(table)
    admin.disable_entity("project")
    assert dies_before_trip(table, 3, lambda: table.process().enable_entity("project"))
    assert admin.available("key-1", "gpt-4").ancestors[0]["rpm"].available == 59
