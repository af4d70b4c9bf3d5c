"""Acquire bodies: what is accepted, and errors that name the field."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leasegate import InvalidRequest, Limit
from leasegate.http.bodies import MAX_BODY_BYTES
from leasegate.http.requests import AcquireRequest, parse_acquire

LEAST = {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpm": 1}}


def body_of(**changes: object) -> str:
    """Write the least body with changed or added fields."""
    return json.dumps({**LEAST, **changes})


def limit_body(**fields: object) -> str:
    """Write a body whose second limit has these fields."""
    return body_of(limits=[{"name": "rpm", "amount": 1, "period": "day"}, fields])


def test_the_least_body_spends_in_cascade_under_stored_limits() -> None:
    assert parse_acquire(json.dumps(LEAST)) == AcquireRequest("key-1", "gpt-4", {"rpm": 1}, None, None, True)


def test_every_field_arrives_as_the_argument_it_is() -> None:
    asked = parse_acquire(
        body_of(
            consume={"rpm": 0, "tpm": 10**12},
            limits=[
                {"name": "rpm", "amount": 60, "period": "minute"},
                {"name": "rps", "amount": 5, "period": "second", "burst": 9},
                {"name": "tpm", "capacity": 20_000, "amount": 10_000, "period_ms": 60_000},
            ],
            parent_id="project-1",
            cascade="transaction",
        )
    )
    limits = (
        Limit.per_minute("rpm", 60),
        Limit.per_second("rps", 5, burst=9),
        Limit("tpm", 20_000, 10_000, 60_000),
    )
    consume = {"rpm": 0, "tpm": 10**12}
    assert asked == AcquireRequest("key-1", "gpt-4", consume, limits, "project-1", "transaction")


@pytest.mark.parametrize(
    ("period", "period_ms"),
    [("second", 1_000), ("minute", 60_000), ("hour", 3_600_000), ("day", 86_400_000)],
)
def test_a_period_may_be_a_word(period: str, period_ms: int) -> None:
    asked = parse_acquire(body_of(limits=[{"name": "rpm", "amount": 7, "period": period}]))
    assert asked.limits == (Limit("rpm", 7, 7, period_ms),)


def test_a_base64_body_is_what_it_encodes() -> None:
    encoded = base64.b64encode(json.dumps(LEAST).encode()).decode()
    assert parse_acquire(encoded, is_base64=True) == parse_acquire(json.dumps(LEAST))


@pytest.mark.parametrize(
    ("field", "body"),
    [
        # not JSON, or no object
        ("body", None),
        ("body", ""),
        ("body", "   "),
        ("body", "entity_id=key-1"),
        ("body", "{'entity_id': 'key-1'}"),
        ("body", json.dumps(LEAST) + "}"),
        ("body", "\ufeff" + json.dumps(LEAST)),
        ("body", "null"),
        ("body", "[]"),
        ("body", '"text"'),
        ("body", '{"entity_id": NaN}'),
        ("body", '{"consume": {"rpm": Infinity}}'),
        ("body", '{"consume": {"rpm": -Infinity}}'),
        ("body", '{"consume": {"rpm": ' + "9" * 5_000 + "}}"),
        ("body", "[" * 60_000),
        ("body", '{"a":' * 10_000),
        ("body", body_of(entity_id="x" * MAX_BODY_BYTES)),
        ("body", body_of() + " " * MAX_BODY_BYTES),
        # fields that are unknown, missing or given twice
        ("tokens", body_of(tokens=1)),
        ("durable", body_of(durable=True)),
        ("Entity_id", body_of(Entity_id="x")),
        ("entity_id", '{"resource": "r", "consume": {"rpm": 1}}'),
        ("resource", '{"entity_id": "e", "consume": {"rpm": 1}}'),
        ("consume", '{"entity_id": "e", "resource": "r"}'),
        ("entity_id", '{"entity_id": "e", "entity_id": "e", "resource": "r", "consume": {"rpm": 1}}'),
        ("consume.rpm", '{"entity_id": "e", "resource": "r", "consume": {"rpm": 1, "tpm": 1, "rpm": 1}}'),
        ("limits[1].burst", limit_body(name="tpm", capacity=2, amount=1, period_ms=1, burst=2)),
        ("limits[1].capacity", limit_body(name="tpm", capacity=2, amount=1, period="day")),
        ("limits[1].period_ms", limit_body(name="tpm", amount=1, period="day", period_ms=1)),
        ("limits[1].capacity", limit_body(name="tpm", amount=1, period_ms=1)),
        ("limits[1].period_ms", limit_body(name="tpm", amount=1, capacity=1)),
        ("limits[1].name", limit_body(amount=1, period="day")),
        ("limits[1].amount", limit_body(name="tpm", period="day")),
        # ids and names
        ("entity_id", body_of(entity_id=7)),
        ("entity_id", body_of(entity_id=None)),
        ("entity_id", body_of(entity_id="")),
        ("entity_id", body_of(entity_id="a#b")),
        ("entity_id", body_of(entity_id="a/b")),
        ("entity_id", body_of(entity_id="x" * 257)),
        ("resource", body_of(resource="a#b")),
        ("resource", body_of(resource=["gpt-4"])),
        ("parent_id", body_of(parent_id="a#b")),
        ("parent_id", body_of(parent_id=None)),
        ("parent_id", body_of(parent_id="x" * 257)),
        ("consume", body_of(consume={"r#m": 1})),
        ("consume", body_of(consume={"x" * 33: 1})),
        ("limits[1].name", limit_body(name="t#m", amount=1, period="day")),
        # amounts
        ("consume", body_of(consume=None)),
        ("consume", body_of(consume={})),
        ("consume", body_of(consume=[1])),
        ("consume", body_of(consume=1)),
        ("consume", body_of(consume={f"limit-{number}": 1 for number in range(17)})),
        ("consume.rpm", body_of(consume={"rpm": -1})),
        ("consume.rpm", body_of(consume={"rpm": 1.5})),
        ("consume.rpm", body_of(consume={"rpm": 1.0})),
        ("consume.rpm", '{"entity_id": "e", "resource": "r", "consume": {"rpm": 1e2}}'),
        ("consume.rpm", body_of(consume={"rpm": "1"})),
        ("consume.rpm", body_of(consume={"rpm": True})),
        ("consume.rpm", body_of(consume={"rpm": None})),
        ("consume.rpm", body_of(consume={"rpm": {}})),
        ("consume.rpm", body_of(consume={"rpm": 10**12 + 1})),
        # limits
        ("limits", body_of(limits=None)),
        ("limits", body_of(limits={"rpm": 60})),
        ("limits[0]", body_of(limits=["rpm"])),
        ("limits[1].amount", limit_body(name="tpm", amount=0, period="day")),
        ("limits[1].amount", limit_body(name="tpm", amount=1.0, period="day")),
        ("limits[1].burst", limit_body(name="tpm", amount=1, period="day", burst=0)),
        ("limits[1].burst", limit_body(name="tpm", amount=1, period="day", burst=None)),
        ("limits[1].capacity", limit_body(name="tpm", capacity="9", amount=1, period_ms=1)),
        ("limits[1].period_ms", limit_body(name="tpm", capacity=1, amount=1, period_ms=0)),
        ("limits[1].period", limit_body(name="tpm", amount=1, period="week")),
        ("limits[1].period", limit_body(name="tpm", amount=1, period=["day"])),
        # cascade
        ("cascade", body_of(cascade="true")),
        ("cascade", body_of(cascade=1)),
        ("cascade", body_of(cascade=None)),
    ],
)
def test_a_mistake_is_refused_by_the_name_of_its_field(field: str, body: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_acquire(body)
    assert caught.value.field == field
    assert not caught.value.unprocessable


@pytest.mark.parametrize("body", ["not base64!", base64.b64encode(b"\xff\xfe").decode(), "eyJ"])
def test_what_claims_to_be_base64_must_be(body: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_acquire(body, is_base64=True)
    assert caught.value.field == "body"


def test_the_size_is_that_of_the_body_behind_base64_and_in_bytes() -> None:
    room = MAX_BODY_BYTES - len(json.dumps(LEAST))
    fits, too_long = json.dumps(LEAST) + " " * room, json.dumps(LEAST) + " " * (room + 1)
    parse_acquire(fits)
    parse_acquire(base64.b64encode(fits.encode()).decode(), is_base64=True)
    with pytest.raises(InvalidRequest):
        parse_acquire(too_long)
    with pytest.raises(InvalidRequest):
        parse_acquire(base64.b64encode(too_long.encode()).decode(), is_base64=True)
    with pytest.raises(InvalidRequest, match="at most 65536 bytes"):
        parse_acquire(json.dumps({**LEAST, "entity_id": "é" * (MAX_BODY_BYTES // 2)}, ensure_ascii=False))


def test_the_name_of_an_unknown_field_is_not_repeated_without_end() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_acquire(json.dumps({**LEAST, "x" * 50_000: 1}))
    assert len(caught.value.field) <= 100


def json_objects(fields: Mapping[str, st.SearchStrategy[object]]) -> st.SearchStrategy[object]:
    return st.fixed_dictionaries({}, optional=dict(fields))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("key-1")
LIMITS = json_objects(
    {"name": SCALARS, "amount": SCALARS, "capacity": SCALARS, "period": SCALARS, "period_ms": SCALARS}
)
BODIES = json_objects(
    {
        "entity_id": SCALARS,
        "resource": SCALARS,
        "consume": st.dictionaries(st.text(max_size=3), SCALARS, max_size=3) | SCALARS,
        "limits": st.lists(LIMITS | SCALARS, max_size=3) | SCALARS,
        "parent_id": SCALARS,
        "cascade": SCALARS,
    }
)


@given(BODIES.map(json.dumps) | st.text(max_size=40))
@example('{"entity_id": "\\ud800", "resource": "r", "consume": {"rpm": 1}}')
@example('{"\ud800": 1}')
def test_any_text_is_read_or_refused_as_invalid(body: str) -> None:
    with suppress(InvalidRequest):
        assert type(parse_acquire(body)) is AcquireRequest
