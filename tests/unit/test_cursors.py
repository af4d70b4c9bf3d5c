"""Cursors: they lead back to their place in their listing, and nothing else is one."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leasegate import InvalidRequest, Limit, Limiter, Listing
from leasegate.cursors import read_cursor, write_cursor
from tests.fixtures.tables import MemoryTable

RPM = Limit.per_minute("rpm", 60)
UNHURRIED = settings(deadline=None)
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS, max_size=300)
PLACES = st.text(CHARACTERS, min_size=1, max_size=250)


def assert_refused(listing: str, cursor: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_cursor(listing, cursor)
    assert caught.value.field == "cursor"


@UNHURRIED
@given(listing=TEXTS, place=PLACES)
def test_a_cursor_leads_back_to_its_place(listing: str, place: str) -> None:
    cursor = write_cursor(listing, place)
    assert read_cursor(listing, cursor) == place
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@UNHURRIED
@given(listing=TEXTS, other=TEXTS, place=PLACES)
def test_a_cursor_of_another_listing_is_none(listing: str, other: str, place: str) -> None:
    assume(listing != other)
    assert_refused(other, write_cursor(listing, place))


@UNHURRIED
@given(place=PLACES, data=st.data())
def test_a_cursor_in_which_one_bit_was_flipped_is_none(place: str, data: st.DataObject) -> None:
    cursor = write_cursor("a", place)
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert_refused("a", base64.urlsafe_b64encode(raw).decode().rstrip("="))


@UNHURRIED
@given(place=PLACES, data=st.data())
def test_a_cursor_in_which_one_character_was_changed_is_none(place: str, data: st.DataObject) -> None:
    cursor = write_cursor("a", place)
    position = data.draw(st.integers(0, len(cursor) - 1))
    character = data.draw(st.characters())
    assume(character != cursor[position])
    assert_refused("a", cursor[:position] + character + cursor[position + 1 :])


@UNHURRIED
@given(place=PLACES, data=st.data())
def test_a_cursor_that_was_cut_is_none(place: str, data: st.DataObject) -> None:
    cursor = write_cursor("a", place)
    start = data.draw(st.integers(0, len(cursor)))
    end = data.draw(st.integers(start, len(cursor)))
    assume((start, end) != (0, len(cursor)))
    assert_refused("a", cursor[start:end])


@UNHURRIED
@given(place=PLACES, more=st.text(min_size=1, max_size=20), before=st.booleans())
def test_a_cursor_to_which_anything_was_added_is_none(place: str, more: str, before: bool) -> None:
    cursor = write_cursor("a", place)
    assert_refused("a", more + cursor if before else cursor + more)


@UNHURRIED
@given(cursor=st.text() | st.binary() | st.integers() | st.none() | st.lists(st.text()))
def test_nothing_that_was_not_written_is_a_cursor(cursor: object) -> None:
    assert_refused("a", cursor)


def test_each_place_has_one_spelling() -> None:
    place = next(x for x in map(str, range(10_000)) if {"-", "_"} & set(write_cursor("a", x)))
    cursor = write_cursor("a", place)
    assert_refused("a", cursor.replace("-", "+").replace("_", "/"))
    assert_refused("a", cursor + "=" * (-len(cursor) % 4 or 4))
    assert_refused("a", f"{cursor}\n")


@pytest.mark.parametrize("place", ["", "x" * 1_001])
def test_a_place_that_no_key_can_have_is_none(place: str) -> None:
    assert_refused("a", write_cursor("a", place))


def test_a_huge_cursor_is_refused() -> None:
    assert_refused("a", "A" * 10_000_000)
    assert_refused("a", "é" * 1_000_000)


# --- in listings -----------------------------------------------------------------------------------


type Call = Callable[[Limiter, str | None], Listing[object]]

LISTINGS: dict[str, Call] = {
    "entities": lambda x, cursor: x.list_entities(cursor=cursor, page_size=1),
    "children of a": lambda x, cursor: x.list_children("a", cursor=cursor, page_size=1),
    "children of b": lambda x, cursor: x.list_children("b", cursor=cursor, page_size=1),
    "limits of a": lambda x, cursor: x.list_limits("a", cursor=cursor, page_size=1),
    "limits of b": lambda x, cursor: x.list_limits("b", cursor=cursor, page_size=1),
    "buckets of a": lambda x, cursor: x.list_buckets("a", cursor=cursor, page_size=1),
    "buckets of b": lambda x, cursor: x.list_buckets("b", cursor=cursor, page_size=1),
    "audit of entity a": lambda x, cursor: x.list_audit("entity:a", cursor=cursor, page_size=1),
    "audit of resource a": lambda x, cursor: x.list_audit("resource:a", cursor=cursor, page_size=1),
    "audit of the system": lambda x, cursor: x.list_audit("system", cursor=cursor, page_size=1),
}


@pytest.fixture(scope="module")
def admin() -> Limiter:
    """Return a limiter whose table has at least two things in every listing."""
    admin = MemoryTable().process()
    for entity_id in ("a", "b"):
        admin.create_entity(entity_id)
        for resource in ("a", "b"):
            admin.create_entity(f"{entity_id}-{resource}", entity_id)
            admin.set_limits(entity_id, [RPM], resource)
            admin.acquire(entity_id, resource, {"rpm": 1})
    for _ in range(2):
        admin.set_resource_defaults("a", [RPM])
        admin.set_system_defaults([RPM])
    return admin


@pytest.mark.parametrize("name", LISTINGS)
def test_a_listing_takes_its_own_cursors_and_no_others(admin: Limiter, name: str) -> None:
    for other, read in LISTINGS.items():
        cursor = read(admin, None).cursor
        assert cursor is not None
        if other == name:
            assert read(admin, cursor).items
            continue
        with pytest.raises(InvalidRequest) as caught:
            LISTINGS[name](admin, cursor)
        assert caught.value.field == "cursor"


@pytest.mark.parametrize(
    ("listing", "name"),
    [("children a", "children of a"), ("entities", "entities"), ("audit entity:a", "audit of entity a")],
)
@UNHURRIED
@given(place=PLACES)
def test_a_forged_cursor_shows_nothing_of_other_listings(
    admin: Limiter, listing: str, name: str, place: str
) -> None:
    own = set()
    cursor = None
    while True:
        page = LISTINGS[name](admin, cursor)
        own |= {repr(x) for x in page.items}
        cursor = page.cursor
        if cursor is None:
            break
    assert {repr(x) for x in LISTINGS[name](admin, write_cursor(listing, place)).items} <= own
