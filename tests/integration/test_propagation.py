"""What one process changes, every other obeys: independent limiters with warm knowledge, on both stores."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leasegate import Disabled, Limit, Limiter
from leasegate.knowledge import DEFAULT_MAX_AGE_MS
from tests.fixtures.stores import Store

PROCESSES = 3


def rpm(n: int) -> list[Limit]:
    return [Limit.per_minute("rpm", n)]


def warm(store: Store) -> list[Limiter]:
    """Return processes that know key-1, its project, and every default; each has just spent."""
    admin = store.process()
    admin.set_system_defaults(rpm(5))
    admin.set_resource_defaults("gpt-4", rpm(20))
    admin.create_entity("project-a")
    admin.create_entity("project-b")
    admin.set_limits("project-a", rpm(1_000))
    admin.set_limits("project-b", rpm(2_000))
    admin.create_entity("key-1", "project-a")
    admin.set_limits("key-1", rpm(60))
    spenders = [store.process() for _ in range(PROCESSES)]
    for spender in spenders:
        for _ in range(2):
            spender.acquire("key-1", "gpt-4", {"rpm": 1})
    return spenders


def capacities(limiter: Limiter) -> dict[str, int]:
    """Spend, and return the capacity of each level that limits it."""
    availability = limiter.acquire("key-1", "gpt-4", {"rpm": 1}).availability
    return {level.entity_id: level["rpm"].capacity for level in (availability, *availability.ancestors) if level}


A = {"project-a": 1_000}
B = {"project-b": 2_000}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: x.set_limits("key-1", rpm(30)), {"key-1": 30} | A),
        (lambda x: x.set_limits("key-1", rpm(40), "gpt-4"), {"key-1": 40} | A),
        (lambda x: x.delete_limits("key-1"), {"key-1": 20} | A),
        (lambda x: (x.delete_limits("key-1"), x.delete_resource_defaults("gpt-4")), {"key-1": 5} | A),
        (lambda x: (x.delete_limits("key-1"), x.set_limits("key-1", rpm(31))), {"key-1": 31} | A),
        (lambda x: x.set_limits("project-a", rpm(999)), {"key-1": 60, "project-a": 999}),
        (lambda x: x.delete_limits("project-a"), {"key-1": 60}),
        (lambda x: x.move_entity("key-1", "project-b"), {"key-1": 60} | B),
        (lambda x: x.move_entity("key-1", None), {"key-1": 60}),
        (lambda x: x.delete_entity("project-a", children="reparent"), {"key-1": 60}),
        (lambda x: x.delete_entity("key-1"), {"key-1": 20}),
    ],
)
def test_the_very_next_acquire_of_every_process_obeys(
    store: Store, change: Callable[[Limiter], object], expected: dict[str, int]
) -> None:
    spenders = warm(store)
    store.now_ms += DEFAULT_MAX_AGE_MS + 1  # defaults are read again; the rest is known for good
    change(store.process())
    assert [capacities(spender) for spender in spenders] == [expected] * PROCESSES


@pytest.mark.parametrize("resource", [None, "gpt-4"])
def test_the_very_next_acquire_of_every_process_is_refused_where_the_entity_is_disabled(
    store: Store, resource: str | None
) -> None:
    spenders = warm(store)
    admin = store.process()
    admin.disable_entity("key-1", resource)
    for spender in spenders:
        with pytest.raises(Disabled):
            spender.acquire("key-1", "gpt-4", {"rpm": 1})
    admin.enable_entity("key-1", resource)
    store.now_ms += 1_000  # a remembered refusal answers so long
    assert [capacities(spender) for spender in spenders] == [{"key-1": 60} | A] * PROCESSES


def test_every_process_obeys_changed_defaults_within_the_age_of_its_knowledge(store: Store) -> None:
    spenders = warm(store)
    admin = store.process()
    admin.delete_limits("key-1")
    assert [capacities(spender)["key-1"] for spender in spenders] == [20] * PROCESSES
    admin.set_resource_defaults("gpt-4", rpm(21))
    store.now_ms += DEFAULT_MAX_AGE_MS
    assert [capacities(spender)["key-1"] for spender in spenders] == [21] * PROCESSES
    admin.delete_resource_defaults("gpt-4")
    store.now_ms += DEFAULT_MAX_AGE_MS
    assert [capacities(spender)["key-1"] for spender in spenders] == [5] * PROCESSES
    admin.set_system_defaults(rpm(6))
    store.now_ms += DEFAULT_MAX_AGE_MS
    assert [capacities(spender)["key-1"] for spender in spenders] == [6] * PROCESSES


def test_every_process_refuses_a_disabled_resource_within_the_age_of_its_knowledge(store: Store) -> None:
    spenders = warm(store)
    admin = store.process()
    admin.disable_resource("gpt-4")
    store.now_ms += DEFAULT_MAX_AGE_MS
    left = admin.list_buckets("key-1").items[0].states["rpm"].available
    for spender in spenders:
        with pytest.raises(Disabled):
            spender.acquire("key-1", "gpt-4", {"rpm": 1})
    assert admin.list_buckets("key-1").items[0].states["rpm"].available == left, "what was spent came back"
    admin.enable_resource("gpt-4")
    store.now_ms += DEFAULT_MAX_AGE_MS
    assert [capacities(spender)["key-1"] for spender in spenders] == [60] * PROCESSES
