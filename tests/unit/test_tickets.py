"""Tickets: they say again what they were told, and whatever else is held against them is no ticket."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leasegate import Limit
from leasegate.concurrency import ASK_AGAIN_MS, MAX_TAKEN, holder_ids
from leasegate.flows.grants import Charge, Grant
from leasegate.flows.spending import holds_until_ms
from leasegate.flows.tickets import MAX_TICKET_LENGTH, InvalidTicket, read_ticket, write_ticket
from leasegate.identifiers import MAX_TOKENS
from leasegate.limits import MAX_LIMITS, MAX_PERIOD_MS
from leasegate.schema import MAX_LEVELS, Bucket

NOW_MS = 1_790_000_000_000
UNHURRIED = settings(deadline=None)

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=32)
identifiers = st.text("ABCxyz019._:@+-", min_size=1, max_size=256).filter(lambda text: text not in (".", ".."))
tokens = st.integers(1, MAX_TOKENS)
token_limits = st.builds(Limit, names, tokens, tokens, st.integers(1, MAX_PERIOD_MS))
place_limits = st.builds(Limit.concurrent, names, st.integers(1, 1_000), st.integers(1, 86_400))
limits = st.lists(token_limits | place_limits, min_size=1, max_size=MAX_LIMITS, unique_by=lambda limit: limit.name)
stamps = st.from_regex(r"[edrsi]:[0-9a-f]{1,24}|stale:[0-9]{13}", fullmatch=True)
times = st.integers(0, 10**15)


@st.composite
def levels(draw: st.DrawFn, entity_id: str, now_ms: int, ends_at_ms: int | None) -> Charge:
    """Draw what was spent at a level: a bucket with limits, one that was not seen, or nothing at all."""
    kind = draw(st.sampled_from(["limited", "limited", "unseen", "unlimited"]))
    if kind != "limited":
        return Charge(entity_id, {}, None, limited=kind == "unseen")
    by_name = {limit.name: limit for limit in sorted(draw(limits), key=lambda limit: limit.name)}
    amounts: dict[str, int] = {}
    tats: dict[str, int] = {}
    ours: dict[str, tuple[str, ...]] = {}
    holders: dict[str, dict[str, int]] = {}
    for name, limit in by_name.items():
        if limit.is_concurrent:
            ids = holder_ids(draw(st.text(max_size=5)), draw(st.integers(0, min(limit.capacity, MAX_TAKEN))))
            others = [str(number) for number in range(draw(st.integers(0, limit.capacity - len(ids))))]
            holders[name] = dict.fromkeys((*ids, *others), holds_until_ms(limit, now_ms, ends_at_ms))
            soon = sorted(draw(st.lists(st.integers(1, ASK_AGAIN_MS - 1), max_size=len(others))))
            holders[name] |= {other: now_ms + left_ms for other, left_ms in zip(others, soon, strict=False)}
            if draw(st.booleans()) or ids:
                ours[name] = ids
                amounts[name] = len(ids)
            continue
        if draw(st.booleans()):
            tats[name] = draw(st.integers(-(10**24), 10**24)) * limit.amount
        if draw(st.booleans()):
            amounts[name] = draw(st.integers(0, MAX_TOKENS))
    bucket = Bucket(draw(stamps), by_name, tats, None, 0, draw(st.integers(0, 10**24)), {}, holders)
    return Charge(entity_id, amounts, bucket, limited=True, holders=ours)


@st.composite
def grants(draw: st.DrawFn) -> tuple[Grant, int | None]:
    now_ms = draw(times)
    ends_at_ms = draw(st.none() | st.integers(now_ms + 1_000, now_ms + 10**12))
    ids = draw(st.lists(identifiers, min_size=1, max_size=MAX_LEVELS, unique=True))
    charges = tuple([draw(levels(entity_id, now_ms, ends_at_ms)) for entity_id in ids])
    return Grant(draw(identifiers), now_ms, charges[0].amounts, charges), ends_at_ms


@UNHURRIED
@given(grants())
def test_a_ticket_says_what_was_granted(granted: tuple[Grant, int | None]) -> None:
    grant, ends_at_ms = granted
    assert read_ticket(write_ticket(grant, ends_at_ms)) == (grant, ends_at_ms)


def charge(name: str, entity_id: str = "key-1") -> Charge:
    bucket = Bucket("e:1790000000000", {name: Limit.per_minute(name, 60)}, {name: NOW_MS * 60}, None, 0, 5, {})
    return Charge(entity_id, {name: 3}, bucket, limited=True)


def test_a_ticket_is_short_and_fits_into_a_path() -> None:
    grant = Grant("gpt-4", NOW_MS, {"rpm": 3}, (charge("rpm"), charge("rpm", "project-1")))
    ticket = write_ticket(grant, None)
    assert len(ticket) < 200
    assert ticket.replace("-", "a").replace("_", "a").isalnum()
    assert 8 * len(ticket) < MAX_TICKET_LENGTH


def test_what_a_ticket_does_not_say_is_left_out_of_the_grant() -> None:
    grant = Grant("gpt-4", NOW_MS, {"rpm": 3}, (charge("rpm"),))
    state = grant.charges[0].state
    assert state is not None
    told = replace(state, parent_id="project-1", version=7, requests={"r.1": "x"})
    richer = replace(grant, charges=(replace(grant.charges[0], state=told),))
    assert read_ticket(write_ticket(richer, None)).grant == grant


# --- garbage -----------------------------------------------------------------------------------------


def sealed(text: bytes) -> str:
    packer = zlib.compressobj(9, wbits=-15)
    return base64.urlsafe_b64encode(packer.compress(text) + packer.flush()).decode().rstrip("=")


def is_ticket(text: str) -> bool:
    """Say whether a text can be read as a ticket; anything but the one error is a defect."""
    try:
        read_ticket(text)
    except InvalidTicket:
        return False
    return True


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["key-1", "e:1", "rpm", "aaaaaaaa"]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)
limit_values = st.lists(json_values, max_size=6) | st.tuples(
    st.integers(0, 9), st.integers(0, 9), st.integers(0, 9_000), st.integers(-9, 9), json_values
)
level_values = json_values | st.tuples(
    st.just("key-1"), st.just("e:1"), json_values, json_values | st.dictionaries(names, limit_values, max_size=3)
)
documents = st.tuples(st.just(1), times, st.none() | times, st.just("gpt-4"), json_values | st.lists(level_values))


@given(st.text() | st.text("abcXYZ019-_"))
def test_any_text_is_a_ticket_or_none(text: str) -> None:
    is_ticket(text)


@given(st.binary())
def test_anything_packed_is_a_ticket_or_none(data: bytes) -> None:
    is_ticket(sealed(data))
    is_ticket(base64.urlsafe_b64encode(data).decode())


@UNHURRIED
@given(json_values | documents)
def test_anything_that_is_json_is_a_ticket_or_none(document: object) -> None:
    is_ticket(sealed(json.dumps(document).encode()))


@UNHURRIED
@given(grants(), st.data())
def test_a_ticket_that_was_changed_somewhere_is_a_ticket_or_none(
    granted: tuple[Grant, int | None], data: st.DataObject
) -> None:
    ticket = write_ticket(*granted)
    place = data.draw(st.integers(0, len(ticket) - 1))
    is_ticket(ticket[:place] + data.draw(st.sampled_from("Aaz09-_=.")) + ticket[place + 1 :])
    is_ticket(ticket[:place])


LEVEL: list[object] = ["key-1", "e:1", 5, {"rpm": [60, 60, 60_000, None, 1]}]


def test_the_level_that_the_next_test_changes_is_fine() -> None:
    assert is_ticket(sealed(json.dumps([1, NOW_MS, None, "gpt-4", [LEVEL]]).encode()))


@pytest.mark.parametrize(
    "level",
    [
        [],
        "key-1",
        {"key-1": 1},
        ["key 1"],
        ["key-1", 0],
        ["key-1", "e:1", 5],
        ["key-1", "e:1", 5, {}],
        ["key-1", "e:1", 5, [1]],
        ["key-1", "e:1", 5, [0, 5]],
        ["key-1", "e:1", 5, "rpm"],
        ["key-1", "e:1", -1, {"rpm": [60, 60, 60_000, None]}],
        ["key-1", "e:1", 10**38, {"rpm": [60, 60, 60_000, None]}],
        ["key-1", "e#1", 5, {"rpm": [60, 60, 60_000, None]}],
        ["key-1", "e:1", 5, {"rpm": []}],
        ["key-1", "e:1", 5, {"rpm": None}],
        ["key-1", "e:1", 5, {"RPM": [60, 60, 60_000, None]}],
        ["key-1", "e:1", 5, {"rpm": [60, 60, 60_000, 1.5]}],
        ["key-1", "e:1", 5, {"rpm": [60, 60, 60_000, 10**38]}],
        ["key-1", "e:1", 5, {"rpm": [60, True, 60_000, None]}],
        ["key-1", "e:1", 5, {"rpm": [60, 60, 60_000, None, -1]}],
        ["key-1", "e:1", 5, {"rpm": [60, 60, 60_000, None, 10**13]}],
        ["key-1", "e:1", 5, {"slots": [5, 0, 0, 0]}],
        ["key-1", "e:1", 5, {"slots": [1_001, 0, 60_000, 0]}],
        ["key-1", "e:1", 5, {"slots": [5, 0, 60_000, 0, ["aaaaaaaa"]]}],
        ["key-1", "e:1", 5, {"slots": [5, 0, 60_000, 1, ["a.aaaaaa"]]}],
        ["key-1", "e:1", 5, {"slots": [5, 0, 60_000, 1, [7]]}],
        ["key-1", "e:1", 5, {"slots": [5, 0, 60_000, 99, ["aaaaaaaa"] * 26]}],
        ["key-1", "e:1", 5, {str(number): [60, 60, 60_000, None] for number in range(17)}],
    ],
)
def test_a_level_that_can_not_be_is_no_ticket(level: object) -> None:
    for found in ([level], [LEVEL, level], level):
        assert not is_ticket(sealed(json.dumps([1, NOW_MS, None, "gpt-4", found]).encode()))


@pytest.mark.parametrize(
    "document",
    [
        [2, NOW_MS, None, "gpt-4", [LEVEL]],
        [1, -1, None, "gpt-4", [LEVEL]],
        [1, NOW_MS, -1, "gpt-4", [LEVEL]],
        [1, 10**30, None, "gpt-4", [LEVEL]],
        [1, NOW_MS, 10**30, "gpt-4", [LEVEL]],
        [1, NOW_MS, None, "gpt 4", [LEVEL]],
        [1, NOW_MS, None, "gpt-4", []],
        [1, NOW_MS, None, "gpt-4", [LEVEL, LEVEL]],
        [1, NOW_MS, None, "gpt-4", [[f"key-{number}"] for number in range(5)]],
        [1, NOW_MS, None, "gpt-4"],
    ],
)
def test_a_document_that_can_not_be_is_no_ticket(document: object) -> None:
    assert not is_ticket(sealed(json.dumps(document).encode()))


@pytest.mark.parametrize(
    "bomb",
    [
        b"[" * 60_000,
        b"[" * 10_000_000,
        b" " * 100_000_000,
        b"9" * 60_000,
        b'[1,1,null,"r",[' + b"[]," * 20_000 + b"[]]]",
    ],
    ids=["deep", "deep and long", "blank", "a number", "many levels"],
)
def test_a_bomb_is_no_ticket(bomb: bytes) -> None:
    assert not is_ticket(sealed(bomb))


def test_a_ticket_that_goes_on_and_on_is_none() -> None:
    document = json.dumps([1, NOW_MS, None, "gpt-4", [LEVEL]]).encode()
    assert is_ticket(sealed(document + b" " * 1_000))
    assert not is_ticket(sealed(document + b" " * 100_000))
