"""Listings of entities, of their children and their buckets: page by page, none lost and none twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leasegate import EntityNotFound, InvalidRequest, Limit, Limiter, schema
from tests.fixtures.tables import MemoryTable

RPM = Limit.per_minute("rpm", 60)


def pages(read: Callable[[str | None], tuple[tuple[str, ...], str | None]]) -> list[str]:
    found: list[str] = []
    cursor = None
    for _ in range(20):
        items, cursor = read(cursor)
        found += items
        if cursor is None:
            return found
    raise AssertionError("the listing does not end")


@pytest.mark.parametrize("page_size", range(1, 9))
def test_children_are_listed_page_by_page_none_lost_and_none_twice(admin: Limiter, page_size: int) -> None:
    names = [f"k{number}" for number in range(7)]
    admin.create_entity("project")
    admin.create_entity("other")
    for name in reversed(names):
        admin.create_entity(name, "project")
    admin.create_entity("grandchild", "k0")

    def read(cursor: str | None) -> tuple[tuple[str, ...], str | None]:
        page = admin.list_children("project", cursor=cursor, page_size=page_size)
        assert len(page.items) <= page_size
        return page.items, page.cursor

    assert pages(read) == names


@pytest.mark.parametrize("page_size", range(1, 7))
def test_entities_at_the_top_are_listed_created_limited_or_disabled(admin: Limiter, page_size: int) -> None:
    admin.create_entity("created")
    admin.create_entity("child", "created")
    admin.set_limits("limited", [RPM])
    admin.set_limits("limited-for-one", [RPM], "gpt-4")
    admin.disable_entity("disabled")
    admin.disable_entity("disabled-for-one", "gpt-4")
    admin.set_system_defaults([RPM])
    admin.acquire("spends-under-defaults", "gpt-4", {"rpm": 1})

    def read(cursor: str | None) -> tuple[tuple[str, ...], str | None]:
        page = admin.list_entities(cursor=cursor, page_size=page_size)
        return page.items, page.cursor

    assert pages(read) == ["created", "disabled", "disabled-for-one", "limited", "limited-for-one"]


def test_a_moved_entity_is_listed_under_its_new_parent_only(admin: Limiter) -> None:
    admin.create_entity("a")
    admin.create_entity("b", "a")
    assert admin.list_children("a").items == ("b",)
    admin.move_entity("b", None)
    assert (admin.list_children("a").items, admin.list_entities().items) == ((), ("a", "b"))
    admin.set_limits("b", [RPM])
    admin.move_entity("b", "a")
    admin.set_limits("b", [RPM])
    admin.disable_entity("b")
    assert (admin.list_children("a").items, admin.list_entities().items) == (("b",), ("a",))


@pytest.mark.parametrize("page_size", range(1, 6))
def test_buckets_are_listed_by_resource_with_what_limits_them(
    table: MemoryTable, admin: Limiter, page_size: int
) -> None:
    admin.set_system_defaults([RPM])
    admin.set_limits("key-1", [RPM], "b")
    for resource in ("c", "a", "b", "gone", "off"):
        admin.acquire("key-1", resource, {"rpm": 3})
    admin.disable_entity("key-1", "off")
    admin.acquire("key-10", "a", {"rpm": 1})
    table.memory.delete(schema.bucket_key("key-1", "gone"))

    def read(cursor: str | None) -> tuple[tuple[str, ...], str | None]:
        page = admin.list_buckets("key-1", cursor=cursor, page_size=page_size)
        assert {x.states["rpm"].available for x in page.items} <= {57}
        return tuple(f"{x.resource}: {x.source}" for x in page.items), page.cursor

    assert pages(read) == ["a: system", "b: entity_resource", "c: system", "off: disabled"]
    with pytest.raises(EntityNotFound):
        admin.list_buckets("nobody")


@pytest.mark.parametrize(
    "call",
    [
        lambda x, size: x.list_entities(page_size=size),
        lambda x, size: x.list_children("a", page_size=size),
        lambda x, size: x.list_buckets("a", page_size=size),
        lambda x, size: x.list_audit("system", page_size=size),
    ],
)
def test_page_sizes_out_of_range_are_refused_by_name(
    admin: Limiter, call: Callable[[Limiter, object], object]
) -> None:
    for size in (0, 1_001, -1, "1", None):
        with pytest.raises(InvalidRequest) as caught:
            call(admin, size)
        assert caught.value.field == "page_size"
