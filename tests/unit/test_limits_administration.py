"""Limits on their four levels: set, read, deleted, listed, and which of them hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leasegate import InvalidRequest, Limit, Limiter, NoLimitsConfigured, schema
from leasegate.flows.limits_admin import TOMBSTONE_KEPT_S
from leasegate.operations import Key
from tests.fixtures.tables import MemoryTable

RPM = Limit.per_minute("rpm", 60)
TPM = Limit.per_minute("tpm", 10_000)
LEVELS = ("entity_resource", "entity", "resource", "system")
SENTENCES = {
    "entity_resource": "limits are set on entity key-1 for gpt-4",
    "entity": "limits are set on entity key-1 for all resources; none are set on entity key-1 for gpt-4",
    "resource": "limits are set on the defaults of gpt-4; none are set on entity key-1 for gpt-4,"
    " entity key-1 for all resources",
    "system": "limits are set on the system's defaults; none are set on entity key-1 for gpt-4,"
    " entity key-1 for all resources, the defaults of gpt-4",
}
KEYS: dict[str, Key] = {
    "entity_resource": schema.entity_limits_key("key-1", "gpt-4"),
    "entity": schema.entity_limits_key("key-1", None),
    "resource": schema.resource_defaults_key("gpt-4"),
    "system": schema.system_defaults_key(),
}


def set_on(process: Limiter, level: str, limits: list[Limit]) -> None:
    match level:
        case "entity_resource":
            process.set_limits("key-1", limits, "gpt-4")
        case "entity":
            process.set_limits("key-1", limits)
        case "resource":
            process.set_resource_defaults("gpt-4", limits)
        case _:
            process.set_system_defaults(limits)


def get_from(process: Limiter, level: str) -> tuple[Limit, ...]:
    match level:
        case "entity_resource":
            return process.get_limits("key-1", "gpt-4")
        case "entity":
            return process.get_limits("key-1")
        case "resource":
            return process.get_resource_defaults("gpt-4")
        case _:
            return process.get_system_defaults()


def delete_from(process: Limiter, level: str) -> bool:
    match level:
        case "entity_resource":
            return process.delete_limits("key-1", "gpt-4")
        case "entity":
            return process.delete_limits("key-1")
        case "resource":
            return process.delete_resource_defaults("gpt-4")
        case _:
            return process.delete_system_defaults()


@pytest.mark.parametrize("level", LEVELS)
def test_limits_are_read_back_by_name_as_they_were_set(table: MemoryTable, level: str) -> None:
    assert get_from(table.process(), level) == ()
    set_on(table.process(), level, [TPM, RPM])
    assert get_from(table.process(), level) == (RPM, TPM)
    for other in LEVELS:
        assert (get_from(table.process(), other) == ()) == (other != level)


@pytest.mark.parametrize("level", LEVELS)
def test_limits_replace_those_that_were_there_whole(table: MemoryTable, level: str) -> None:
    set_on(table.process(), level, [RPM])
    set_on(table.process(), level, [TPM])
    assert get_from(table.process(), level) == (TPM,)


@pytest.mark.parametrize("level", LEVELS)
def test_a_deletion_says_whether_there_was_something(table: MemoryTable, level: str) -> None:
    first, second = table.process(), table.process()
    assert not delete_from(first, level)
    set_on(first, level, [RPM])
    assert delete_from(second, level)
    assert not delete_from(first, level), "the first still remembers what it set"
    assert get_from(first, level) == ()
    set_on(second, level, [RPM])
    assert delete_from(first, level), "the first still remembers that nothing was there"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("clock_ms", [1, 0, -3_600_000], ids=["goes on", "stands still", "goes back"])
def test_versions_grow_across_deletions_whatever_the_clock_does(
    table: MemoryTable, level: str, clock_ms: int
) -> None:
    versions = []
    for change in (set_on, delete_from, set_on, delete_from):
        change(table.process(), level, *([[RPM]] if change is set_on else []))
        versions.append(table.item(KEYS[level])[schema.STORED_VERSION])
        table.now_ms += clock_ms
    assert versions == sorted(set(versions))  # type: ignore[type-var]  # versions are integers


@pytest.mark.parametrize("level", LEVELS)
def test_deleted_limits_leave_only_their_version_for_a_week(table: MemoryTable, level: str) -> None:
    admin = table.process()
    set_on(admin, level, [RPM])
    delete_from(admin, level)
    version = table.now_ms + 1
    expected = {schema.STORED_VERSION: version, schema.EXPIRES_AT: version // 1000 + TOMBSTONE_KEPT_S}
    assert table.item(KEYS[level]) == expected
    set_on(table.process(), level, [RPM])
    assert schema.EXPIRES_AT not in table.item(KEYS[level])


@pytest.mark.parametrize("level", LEVELS)
def test_limits_can_be_set_after_their_tombstone_expired(table: MemoryTable, level: str) -> None:
    admin = table.process()
    set_on(admin, level, [RPM])
    delete_from(admin, level)
    table.memory.delete(KEYS[level])
    set_on(admin, level, [TPM])
    assert get_from(admin, level) == (TPM,)


# --- the registry ----------------------------------------------------------------------------------


def test_the_registry_follows_the_defaults_in_the_same_transaction(table: MemoryTable) -> None:
    admin = table.process()
    for resource in ("b", "a"):
        assert table.cost(lambda name=resource: admin.set_resource_defaults(name, [RPM])) == ["Transact"]  # type: ignore[misc]  # mypy cannot infer it
    assert admin.list_resources_with_defaults() == ["a", "b"]
    assert table.cost(lambda: admin.delete_resource_defaults("a")) == ["Transact"]
    assert admin.list_resources_with_defaults() == ["b"]
    admin.delete_resource_defaults("b")
    assert admin.list_resources_with_defaults(consistent=False) == []


def test_limits_of_entities_and_of_the_system_are_not_in_the_registry(table: MemoryTable) -> None:
    admin = table.process()
    admin.set_limits("key-1", [RPM], "gpt-4")
    admin.set_system_defaults([RPM])
    assert admin.list_resources_with_defaults() == []


# --- listings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", range(1, 7))
def test_limits_are_listed_page_by_page_those_for_all_resources_first(table: MemoryTable, page_size: int) -> None:
    admin = table.process()
    for resource in ("c", "a", None, "b", "gone"):
        admin.set_limits("key-1", [RPM], resource)
    admin.delete_limits("key-1", "gone")
    admin.set_limits("key-10", [RPM])
    found, cursor = [], None
    for _ in range(10):
        page = admin.list_limits("key-1", cursor=cursor, page_size=page_size)
        assert len(page.items) <= page_size
        found += [(x.resource, x.limits) for x in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [(None, (RPM,)), ("a", (RPM,)), ("b", (RPM,)), ("c", (RPM,))]


def test_an_entity_without_limits_has_an_empty_list(table: MemoryTable) -> None:
    page = table.process().list_limits("nobody")
    assert (page.items, page.cursor) == ((), None)


# --- which limits hold -----------------------------------------------------------------------------


@pytest.mark.parametrize("winner", LEVELS)
def test_the_level_that_wins_is_named_with_the_reason(table: MemoryTable, winner: str) -> None:
    admin = table.process()
    below = LEVELS[LEVELS.index(winner) :]
    for number, level in enumerate(below):
        set_on(admin, level, [Limit.per_minute("rpm", 60 + number)])
    found = table.process().resolve_limits("key-1", "gpt-4")
    assert (found.level, found.limits) == (winner, (RPM,))
    assert tuple(found.levels) == below
    assert [found.levels[level][0].capacity for level in found.levels] == [60 + n for n in range(len(below))]
    assert found.reason == SENTENCES[winner]
    assert not found.is_disabled


def test_where_no_level_has_limits_those_of_the_call_hold(table: MemoryTable) -> None:
    found = table.process().resolve_limits("key-1", "gpt-4")
    assert (found.level, found.limits, dict(found.levels)) == (None, (), {})
    assert found.reason == "no level has limits: those given with a call hold"


def test_a_deleted_level_does_not_win(table: MemoryTable) -> None:
    admin = table.process()
    for level in LEVELS:
        set_on(admin, level, [RPM])
    for level, following in zip(LEVELS, (*LEVELS[1:], None), strict=True):
        delete_from(admin, level)
        assert admin.resolve_limits("key-1", "gpt-4").level == following


@pytest.mark.parametrize(
    "disable",
    [
        lambda admin: admin.disable_entity("key-1"),
        lambda admin: admin.disable_entity("key-1", "gpt-4"),
        lambda admin: admin.disable_resource("gpt-4"),
    ],
    ids=["entity", "pair", "resource"],
)
def test_a_resolution_tells_that_nothing_may_be_spent(
    table: MemoryTable, disable: Callable[[Limiter], object]
) -> None:
    admin = table.process()
    admin.set_limits("key-1", [RPM])
    disable(admin)
    assert admin.resolve_limits("key-1", "gpt-4").is_disabled
    assert admin.resolve_limits("key-2", "gpt-3").is_disabled is False


# --- obeyed ----------------------------------------------------------------------------------------


def test_limits_deleted_level_by_level_give_way_to_the_next_one(table: MemoryTable) -> None:
    admin, spender = table.process(), table.process(max_age_ms=0)
    for number, level in enumerate(LEVELS):
        set_on(admin, level, [Limit.per_minute("rpm", 60, burst=1_000 + number)])
    for number, level in enumerate(LEVELS):
        lease = spender.acquire("key-1", "gpt-4", {"rpm": 1})
        assert lease.availability["rpm"].capacity == 1_000 + number
        assert lease.availability["rpm"].available == 999, "what was spent before stays spent"
        table.now_ms += 1
        delete_from(admin, level)
    with pytest.raises(NoLimitsConfigured):
        spender.acquire("key-1", "gpt-4", {"rpm": 1})


def test_limits_set_level_by_level_are_obeyed_by_the_next_acquire(table: MemoryTable) -> None:
    admin, spender = table.process(), table.process(max_age_ms=0)
    for number, level in enumerate(reversed(LEVELS)):
        set_on(admin, level, [Limit.per_minute("rpm", 60, burst=1_000 + number)])
        assert spender.acquire("key-1", "gpt-4", {"rpm": 1}).availability["rpm"].capacity == 1_000 + number


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("entity_id", lambda x: x.get_limits("a#b")),
        ("entity_id", lambda x: x.delete_limits("")),
        ("entity_id", lambda x: x.list_limits("a/b")),
        ("entity_id", lambda x: x.resolve_limits(None, "gpt-4")),
        ("resource", lambda x: x.get_limits("a", "")),
        ("resource", lambda x: x.set_limits("a", [RPM], "b#c")),
        ("resource", lambda x: x.resolve_limits("a", "")),
        ("resource", lambda x: x.set_resource_defaults("", [RPM])),
        ("resource", lambda x: x.get_resource_defaults("a b")),
        ("resource", lambda x: x.delete_resource_defaults("a#")),
        ("resource", lambda x: x.get_resource("a#")),
        ("limits", lambda x: x.set_limits("a", [])),
        ("limits", lambda x: x.set_system_defaults([])),
        ("limits", lambda x: x.set_resource_defaults("a", [RPM, RPM])),
        ("limits", lambda x: x.set_system_defaults(["rpm"])),
        ("actor", lambda x: x.set_limits("a", [RPM], actor="")),
        ("actor", lambda x: x.set_system_defaults([RPM], actor="x" * 2_049)),
        ("page_size", lambda x: x.list_limits("a", page_size=0)),
        ("page_size", lambda x: x.list_limits("a", page_size=1_001)),
        ("page_size", lambda x: x.list_limits("a", page_size=True)),
        ("cursor", lambda x: x.list_limits("a", cursor="abc")),
    ],
)
def test_bad_input_is_refused_by_the_name_of_its_field_without_a_round_trip(
    table: MemoryTable, field: str, call: Callable[[Limiter], object]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(table.process())
    assert caught.value.field == field
    assert table.trips == []
