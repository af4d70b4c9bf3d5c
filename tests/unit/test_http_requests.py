"""What is asked of those who spend: bodies, the key in the head, and errors that name the field."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest
from http_sfv.item import Item
from hypothesis import example, given
from hypothesis import strategies as st

from leasegate import AcquireRequest, InvalidRequest, Limit
from leasegate.http.bodies import MAX_BODY_BYTES, read_body
from leasegate.http.limits import read_limits, write_limits
from leasegate.http.requests import Request, read_nothing
from leasegate.http.routes import ROUTES, SPENDING
from leasegate.http.spending import (
    parse_acquire,
    read_acquire,
    read_actual,
    read_adjustment,
    read_batch,
    read_renewal,
)

LEAST = {"entity_id": "key-1", "resource": "gpt-4", "consume": {"rpm": 1}}


def body_of(**changes: object) -> str:
    """Write the least body with changed or added fields."""
    return json.dumps({**LEAST, **changes})


def limit_body(**fields: object) -> str:
    """Write a body whose second limit has these fields."""
    return body_of(limits=[{"name": "rpm", "amount": 1, "period": "day"}, fields])


def test_the_least_body_spends_in_cascade_under_stored_limits() -> None:
    assert parse_acquire(json.dumps(LEAST)) == AcquireRequest(
        "key-1", "gpt-4", {"rpm": 1}, limits=None, parent_id=None, cascade=True, durable="if_held"
    )


def test_every_field_arrives_as_the_argument_it_is() -> None:
    asked = parse_acquire(
        body_of(
            consume={"rpm": 0, "tpm": 10**12},
            limits=[
                {"name": "rpm", "amount": 60, "period": "minute"},
                {"name": "rps", "amount": 5, "period": "second", "burst": 9},
                {"name": "streams", "concurrent": 20, "lease_seconds": 60},
                {"name": "tpm", "capacity": 20_000, "amount": 10_000, "period_ms": 60_000},
            ],
            parent_id="project-1",
            cascade="transaction",
            durable=True,
            expires_in=600,
            on_expiry="keep",
        )
    )
    limits = (
        Limit.per_minute("rpm", 60),
        Limit.per_second("rps", 5, burst=9),
        Limit.concurrent("streams", 20, 60),
        Limit("tpm", 20_000, 10_000, 60_000),
    )
    assert asked == AcquireRequest(
        "key-1",
        "gpt-4",
        {"rpm": 0, "tpm": 10**12},
        limits,
        "project-1",
        "transaction",
        idempotency_key=None,
        durable=True,
        expires_in=600,
        on_expiry="keep",
    )


def test_who_says_that_a_lease_is_not_durable_is_believed() -> None:
    assert parse_acquire(body_of(durable=False)).durable is False


@pytest.mark.parametrize(
    ("period", "period_ms"),
    [("second", 1_000), ("minute", 60_000), ("hour", 3_600_000), ("day", 86_400_000)],
)
def test_a_period_may_be_a_word(period: str, period_ms: int) -> None:
    asked = parse_acquire(body_of(limits=[{"name": "rpm", "amount": 7, "period": period}]))
    assert asked.limits == (Limit("rpm", 7, 7, period_ms),)


def test_what_is_written_of_limits_reads_back() -> None:
    limits = (Limit("tpm", 20_000, 10_000, 90_000), Limit.concurrent("streams", 20, 60))
    written = write_limits(limits)
    assert written[1] == {"name": "streams", "concurrent": 20, "lease_seconds": 60}
    assert read_limits("limits", read_body(json.dumps(written))) == limits


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
        ("body", "[" * 60_000),
        ("body", '{"a":' * 10_000),
        ("body", body_of(entity_id="x" * MAX_BODY_BYTES)),
        ("body", body_of() + " " * MAX_BODY_BYTES),
        # numbers that Python would not read, or not hold
        ("consume.rpm", '{"entity_id": "e", "resource": "r", "consume": {"rpm": ' + "9" * 5_000 + "}}"),
        ("consume.rpm", '{"entity_id": "e", "resource": "r", "consume": {"rpm": -' + "9" * 5_000 + "}}"),
        ("consume.rpm", '{"entity_id": "e", "resource": "r", "consume": {"rpm": 1e400}}'),
        # fields that are unknown, missing or given twice
        ("tokens", body_of(tokens=1)),
        ("idempotency_key", body_of(idempotency_key="a")),
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
        ("limits[1].name", limit_body(concurrent=1, lease_seconds=1)),
        ("limits[1].lease_seconds", limit_body(name="streams", concurrent=1)),
        ("limits[1].concurrent", limit_body(name="streams", lease_seconds=1)),
        ("limits[1].amount", limit_body(name="streams", concurrent=1, lease_seconds=1, amount=1)),
        ("limits[1].capacity", limit_body(name="streams", capacity=1, concurrent=1, lease_seconds=1)),
        ("limits[1].period", limit_body(name="streams", concurrent=1, period="day")),
        ("limits[1].burst", limit_body(name="streams", concurrent=1, lease_seconds=1, burst=1)),
        ("limits[1].lease_ms", limit_body(name="streams", concurrent=1, lease_ms=1_000)),
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
        ("limits[1].amount", limit_body(name="tpm", capacity=1, amount=0, period_ms=1)),
        ("limits[1].name", limit_body(name="Streams", concurrent=1, lease_seconds=1)),
        ("limits[1].concurrent", limit_body(name="streams", concurrent=0, lease_seconds=1)),
        ("limits[1].concurrent", limit_body(name="streams", concurrent=1_001, lease_seconds=1)),
        ("limits[1].concurrent", limit_body(name="streams", concurrent=True, lease_seconds=1)),
        ("limits[1].lease_seconds", limit_body(name="streams", concurrent=1, lease_seconds=0)),
        ("limits[1].lease_seconds", limit_body(name="streams", concurrent=1, lease_seconds=0.5)),
        ("limits[1].lease_seconds", limit_body(name="streams", concurrent=1, lease_seconds=86_401)),
        # cascade
        ("cascade", body_of(cascade="true")),
        ("cascade", body_of(cascade=1)),
        ("cascade", body_of(cascade=None)),
        # durable leases
        ("durable", body_of(durable="true")),
        ("durable", body_of(durable="if_held")),
        ("durable", body_of(durable=1)),
        ("durable", body_of(durable=None)),
        ("expires_in", body_of(expires_in=0)),
        ("expires_in", body_of(expires_in=7 * 86_400 + 1)),
        ("expires_in", body_of(expires_in="60")),
        ("expires_in", body_of(expires_in=60.0)),
        ("expires_in", body_of(expires_in=True)),
        ("expires_in", body_of(expires_in=None)),
        ("on_expiry", body_of(on_expiry="give")),
        ("on_expiry", body_of(on_expiry=["release"])),
        ("on_expiry", body_of(on_expiry=None)),
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
    {
        "name": SCALARS,
        "amount": SCALARS,
        "capacity": SCALARS,
        "period": SCALARS,
        "period_ms": SCALARS,
        "concurrent": SCALARS,
        "lease_seconds": SCALARS,
    }
)
BODIES = json_objects(
    {
        "entity_id": SCALARS,
        "resource": SCALARS,
        "consume": st.dictionaries(st.text(max_size=3), SCALARS, max_size=3) | SCALARS,
        "limits": st.lists(LIMITS | SCALARS, max_size=3) | SCALARS,
        "parent_id": SCALARS,
        "cascade": SCALARS,
        "durable": SCALARS,
        "expires_in": SCALARS,
        "on_expiry": SCALARS,
    }
)


@given(BODIES.map(json.dumps) | st.text(max_size=40))
@example('{"entity_id": "\\ud800", "resource": "r", "consume": {"rpm": 1}}')
@example('{"\ud800": 1}')
def test_any_text_is_read_or_refused_as_invalid(body: str) -> None:
    with suppress(InvalidRequest):
        assert type(parse_acquire(body)) is AcquireRequest


# --- batches ---------------------------------------------------------------------------------------


def request_of(operation: str, body: object, *keys: str) -> Request:
    """Make a request for a route, with the values of its header Idempotency-Key."""
    return Request(
        next(route for route in SPENDING if route.operation == operation),
        path={},
        query={},
        headers={"idempotency-key": keys} if keys else {},
        body=None if body is None else json.dumps(body),
        is_base64=False,
        actor="anonymous",
        caller="anonymous",
        left_ms=lambda: 0,
    )


def test_each_request_of_a_batch_is_read_by_itself() -> None:
    wrong = {**LEAST, "consume": {"rpm": -1}}
    keyed = {**LEAST, "entity_id": "key-2", "idempotency_key": "a b"}
    first, second, third, fourth = read_batch(
        request_of("acquire_batch", {"requests": [LEAST, wrong, 7, keyed]}),
    )
    assert first == parse_acquire(json.dumps(LEAST))
    assert isinstance(second, InvalidRequest)
    assert second.field == "consume.rpm"
    assert isinstance(third, InvalidRequest)
    assert third.field == "body"
    assert isinstance(fourth, AcquireRequest)
    assert (fourth.entity_id, fourth.idempotency_key) == ("key-2", "a b")


@pytest.mark.parametrize("key", ["", "k" * 256, "k\n", "ключ", 7, None])
def test_a_key_in_a_batch_that_cannot_be_is_named_as_it_is_there(key: object) -> None:
    (verdict,) = read_batch(request_of("acquire_batch", {"requests": [{**LEAST, "idempotency_key": key}]}))
    assert isinstance(verdict, InvalidRequest)
    assert verdict.field == "idempotency_key"


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("body", []),
        ("body", None),
        ("requests", {}),
        ("requests", {"requests": []}),
        ("requests", {"requests": LEAST}),
        ("requests", {"requests": None}),
        ("requests", {"requests": [LEAST] * 26}),
        ("more", {"requests": [LEAST], "more": 1}),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(field: str, body: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_batch(request_of("acquire_batch", body))
    assert caught.value.field == field


def test_a_batch_takes_25_requests() -> None:
    assert len(read_batch(request_of("acquire_batch", {"requests": [LEAST] * 25}))) == 25


# --- leases and adjustments ------------------------------------------------------------------------


def test_a_settlement_may_say_what_was_used_or_nothing() -> None:
    assert read_actual(request_of("settle_lease", {"actual": {"tpm": 812, "rpm": 0}})) == {"tpm": 812, "rpm": 0}
    assert read_actual(request_of("settle_lease", {})) is None
    assert read_actual(request_of("settle_lease", None)) is None


def test_a_renewal_may_say_for_how_long_or_nothing() -> None:
    assert read_renewal(request_of("renew_lease", {"expires_in": 60})) == 60
    assert read_renewal(request_of("renew_lease", {})) is None
    assert read_renewal(request_of("renew_lease", None)) is None


def test_an_adjustment_has_signed_tokens_and_may_leave_the_ancestors_alone() -> None:
    least = {"entity_id": "key-1", "resource": "gpt-4", "adjust": {"tpm": 312, "rpm": -1}}
    read = {"entity_id": "key-1", "resource": "gpt-4", "delta": {"tpm": 312, "rpm": -1}}
    assert read_adjustment(request_of("adjust", least)) == read
    assert read_adjustment(request_of("adjust", {**least, "cascade": False})) == {**read, "cascade": False}


ADJUST = {"entity_id": "key-1", "resource": "gpt-4", "adjust": {"tpm": 312}}


@pytest.mark.parametrize(
    ("operation", "field", "body"),
    [
        ("settle_lease", "actual", {"actual": {}}),
        ("settle_lease", "actual", {"actual": None}),
        ("settle_lease", "actual", {"actual": {"TPM": 1}}),
        ("settle_lease", "actual", {"actual": {f"limit-{number}": 1 for number in range(17)}}),
        ("settle_lease", "actual.tpm", {"actual": {"tpm": -1}}),
        ("settle_lease", "actual.tpm", {"actual": {"tpm": 1.0}}),
        ("settle_lease", "consumed", {"consumed": {"tpm": 1}}),
        ("settle_lease", "body", []),
        ("release_lease", "actual", {"actual": {"tpm": 1}}),
        ("release_lease", "body", 7),
        ("renew_lease", "expires_in", {"expires_in": 0}),
        ("renew_lease", "expires_in", {"expires_in": 604_801}),
        ("renew_lease", "expires_in", {"expires_in": None}),
        ("renew_lease", "seconds", {"seconds": 60}),
        ("adjust", "body", None),
        ("adjust", "adjust", {"entity_id": "key-1", "resource": "gpt-4"}),
        ("adjust", "adjust", {**ADJUST, "adjust": {}}),
        ("adjust", "adjust", {**ADJUST, "adjust": {f"limit-{number}": 1 for number in range(17)}}),
        ("adjust", "adjust.tpm", {**ADJUST, "adjust": {"tpm": "1"}}),
        ("adjust", "adjust.tpm", {**ADJUST, "adjust": {"tpm": 10**12 + 1}}),
        ("adjust", "entity_id", {**ADJUST, "entity_id": "a/b"}),
        ("adjust", "resource", {**ADJUST, "resource": ""}),
        ("adjust", "cascade", {**ADJUST, "cascade": "transaction"}),
        ("adjust", "limits", {**ADJUST, "limits": []}),
        ("adjust", "idempotency_key", {**ADJUST, "idempotency_key": "a"}),
    ],
)
def test_a_mistake_about_a_lease_is_refused_by_the_name_of_its_field(
    operation: str, field: str, body: object
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        READERS[operation](request_of(operation, body))
    assert caught.value.field == field


READERS: Mapping[str, Callable[[Request], object]] = {
    "settle_lease": read_actual,
    "release_lease": read_nothing,
    "renew_lease": read_renewal,
    "adjust": read_adjustment,
}


# --- the key in the head ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ('"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        (' "a" ', "a"),
        ("\ta ", "a"),
        ('"a b, c;d=1"', "a b, c;d=1"),
        ("a b, c;d=1", "a b, c;d=1"),
        (r'"say \"hello\" \\"', r'say "hello" ' + "\\"),
        ("k" * 255, "k" * 255),
        ('"' + "k" * 255 + '"', "k" * 255),
        ('a"b', 'a"b'),
        ("a\\b", "a\\b"),
        ('" "', " "),
    ],
)
def test_a_key_is_what_a_string_says_or_stands_bare(value: str, key: str) -> None:
    asked = read_acquire(request_of("acquire", LEAST, value))
    assert asked == replace(parse_acquire(json.dumps(LEAST)), idempotency_key=key)
    assert request_of("adjust", ADJUST, value).idempotency_key == key


def test_without_the_header_there_is_no_key() -> None:
    assert read_acquire(request_of("acquire", LEAST)).idempotency_key is None


@pytest.mark.parametrize(
    "values",
    [
        ("",),
        ("  ",),
        ('""',),
        ('"a',),
        ('"',),
        ('"a"b"',),
        ('"a" b',),
        ('"a";b=1',),
        ('"a", "b"',),
        (r'"a\b"',),
        ('"a\\',),
        ('"ключ"',),
        ("ключ",),
        ('"a\tb"',),
        ("k" * 256,),
        ('"' + "k" * 256 + '"',),
        ("a", "a"),
        ("a", "b"),
    ],
)
def test_a_key_that_cannot_be_names_its_header(values: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_acquire(request_of("acquire", LEAST, *values))
    assert caught.value.field == "Idempotency-Key"


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255))
def test_any_key_can_be_written_as_a_string(key: str) -> None:
    item = Item()
    item.value = key
    assert request_of("acquire", LEAST, str(item)).idempotency_key == key


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12))
def test_what_is_quoted_is_read_as_another_parser_reads_it(text: str) -> None:
    value = f'"{text}"'
    item = Item()
    try:
        item.parse(value.encode())
    except ValueError:
        expected = None
    else:
        expected = item.value if item.value and not item.params else None
    try:
        key = request_of("acquire", LEAST, value).idempotency_key
    except InvalidRequest:
        key = None
    assert key == expected


def test_a_route_that_would_not_keep_the_promise_refuses_the_key() -> None:
    taking = {"acquire", "adjust"}
    refusing = {"acquire_batch": "idempotency_key", "reset": "operation_id", "top_up": "operation_id"}
    assert {route.operation for route in ROUTES if route.headers} == taking
    for route in ROUTES:
        make = partial(
            Request, route, {}, {}, {"idempotency-key": ["a"]}, None, is_base64=False, actor="", caller=""
        )
        if route.operation in refusing:
            with pytest.raises(InvalidRequest, match=refusing[route.operation]) as caught:
                make(left_ms=lambda: 0)
            assert caught.value.field == "Idempotency-Key"
        else:
            make(left_ms=lambda: 0)
