"""Replies: RateLimit fields that another parser reads, problems, and nothing internal in any of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from http_sfv.list import List
from hypothesis import given
from hypothesis import strategies as st

from leasegate import (
    Availability,
    Disabled,
    EntityExists,
    EntityHasChildren,
    EntityIsBeingDeleted,
    EntityNotFound,
    IdempotencyConflict,
    InvalidRequest,
    LeasegateError,
    Limit,
    Limiter,
    LimitsNotFound,
    NoLimitsConfigured,
    RateLimitExceeded,
    Refusal,
    StoreDenied,
    StoreError,
    StoreThrottled,
    StoreUnavailable,
)
from leasegate.http.ratelimit import HEADER_STYLES, HeaderStyle, list_policies, write_fields
from leasegate.http.replies import (
    Reply,
    reply_to_error,
    reply_with,
    reply_without_content,
    reply_without_route,
)
from leasegate.http.routing import RouteNotFound
from leasegate.http.verdicts import reply_to_availability, reply_to_grant
from leasegate.limits import MAX_PERIOD_MS, index_limits
from leasegate.repository.memory import MemoryRepository
from leasegate.states import observe

NOW_MS = 1_700_000_000_000
BIGGEST = 10**12


def parse_field(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Parse a List of Strings with parameters, as RFC 9651 has it."""
    members = List()
    members.parse(text.encode("ascii"))
    return [(member.value, dict(member.params)) for member in members]


def fields_in(headers: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Parse both RateLimit fields among headers, by policy."""
    stated, left = (dict(parse_field(headers[name])) for name in ("RateLimit-Policy", "RateLimit"))
    return stated, left


def fields_of(reply: Reply) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Parse both RateLimit fields of a reply, by policy."""
    return fields_in(reply.headers)


def body_of(reply: Reply) -> dict[str, Any]:
    """Parse a reply's body."""
    body: dict[str, Any] = json.loads(reply.body)
    return body


def refuse(limiter: Limiter, *arguments: Any, **options: Any) -> RateLimitExceeded:  # noqa: ANN401
    """Acquire, and expect a refusal."""
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.acquire(*arguments, **options)
    return caught.value


@pytest.fixture
def limiter() -> Limiter:
    """A limiter on memory, at one instant."""
    return Limiter(MemoryRepository(), clock=lambda: NOW_MS)


RPM, TPM = Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 10_000)


def test_a_grant_says_what_is_left_in_the_body_and_the_fields(limiter: Limiter) -> None:
    lease = limiter.acquire("key-1", "gpt-4", {"rpm": 57, "tpm": 10_000}, limits=[RPM, TPM])
    reply = reply_to_grant(lease, "standard")
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert reply.headers == {
        "RateLimit-Policy": '"rpm";q=60;w=60,"tpm";q=10000;w=60',
        "RateLimit": '"rpm";r=3;t=1,"tpm";r=0;t=1',
        "Cache-Control": "no-store",
    }
    assert body_of(reply) == {
        "granted": True,
        "entity_id": "key-1",
        "resource": "gpt-4",
        "limits": {
            "rpm": {"available": 3, "capacity": 60, "retry_after_ms": 54_000},
            "tpm": {"available": 0, "capacity": 10_000, "retry_after_ms": 60_000},
        },
        "ancestors": [],
    }


def test_a_refusal_names_the_limits_that_refused_and_when_the_cost_fits(limiter: Limiter) -> None:
    limiter.acquire("key-1", "gpt-4", {"rpm": 57, "tpm": 10_000}, limits=[RPM, TPM])
    reply = reply_to_error(refuse(limiter, "key-1", "gpt-4", {"rpm": 1, "tpm": 1_901}, limits=[RPM, TPM]))
    assert (reply.status, reply.content_type) == (429, "application/problem+json")
    assert reply.headers == {
        "RateLimit-Policy": '"rpm";q=60;w=60,"tpm";q=10000;w=60',
        "RateLimit": '"rpm";r=3;t=1,"tpm";r=0;t=12',
        "Retry-After": "12",
        "Cache-Control": "no-store",
    }
    body = body_of(reply)
    assert body.pop("detail")
    assert body == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "violated-policies": ["tpm"],
        "granted": False,
        "entity_id": "key-1",
        "resource": "gpt-4",
        "retry_after_ms": 11_406,
        "limits": {
            "rpm": {"available": 3, "capacity": 60, "retry_after_ms": 0},
            "tpm": {"available": 0, "capacity": 10_000, "retry_after_ms": 11_406},
        },
        "ancestors": [],
    }


def test_an_ancestor_stands_behind_its_id(limiter: Limiter) -> None:
    limiter.create_entity("project-1")
    limiter.create_entity("key-1", "project-1")
    limiter.set_limits("project-1", [Limit.per_minute("rpm", 1)], resource="gpt-4")
    granted = reply_to_grant(limiter.acquire("key-1", "gpt-4", {"rpm": 1}, limits=[RPM]), "standard")
    assert granted.headers["RateLimit-Policy"] == '"rpm";q=60;w=60,"project-1/rpm";q=1;w=60'
    assert body_of(granted)["ancestors"] == [
        {"entity_id": "project-1", "limits": {"rpm": {"available": 0, "capacity": 1, "retry_after_ms": 60_000}}}
    ]

    refused = reply_to_error(refuse(limiter, "key-1", "gpt-4", {"rpm": 1}, limits=[RPM]))
    assert refused.headers["RateLimit"] == '"rpm";r=59;t=1,"project-1/rpm";r=0;t=60'
    assert body_of(refused)["violated-policies"] == ["project-1/rpm"]


def test_a_full_bucket_has_no_time_until_more(limiter: Limiter) -> None:
    lease = limiter.acquire("key-1", "gpt-4", {"rpm": 1}, limits=[RPM, TPM])
    _, left = fields_of(reply_to_grant(lease, "standard"))
    assert left["tpm"] == {"r": 10_000}


def test_debt_shows_as_zero_until_one_token_shows(limiter: Limiter) -> None:
    lease = limiter.acquire("key-1", "gpt-4", {"rpm": 1, "tpm": 1}, limits=[RPM, TPM])
    lease.adjust({"rpm": 119})
    lease.settle()
    states = limiter.available("key-1", "gpt-4", limits=[RPM, TPM])
    reply = reply_to_availability(states, "standard")
    assert states["rpm"].available == -60
    assert body_of(reply)["limits"]["rpm"]["available"] == -60
    assert fields_of(reply)[1]["rpm"] == {"r": 0, "t": 61}


LIMITS = st.builds(
    Limit,
    st.sampled_from(["rpm", "tpm", "x" * 32]),
    st.integers(1, BIGGEST),
    st.integers(1, BIGGEST),
    st.integers(1, MAX_PERIOD_MS),
)


@given(
    st.lists(LIMITS, min_size=1, max_size=3, unique_by=lambda limit: limit.name),
    st.data(),
    st.integers(0, 4_102_444_800_000),
)
def test_the_fields_say_rounded_up_what_exact_arithmetic_says(
    given_limits: list[Limit], data: st.DataObject, now_ms: int
) -> None:
    limits = index_limits(given_limits)
    spent = {
        name: data.draw(st.fractions(0, 3 * limit.capacity, max_denominator=limit.period_ms), name)
        for name, limit in limits.items()
    }
    tats = {name: now_ms * limit.amount + ceil(spent[name] * limit.period_ms) for name, limit in limits.items()}
    amounts = {name: data.draw(st.integers(0, limit.capacity)) for name, limit in limits.items()}
    states = observe(limits, tats, {}, amounts, now_ms)
    refusals = tuple(Refusal("key-1", state) for state in states.values() if state.retry_after_ms)
    availability = Availability("key-1", "gpt-4", states)
    if refusals:
        retry_after_ms = max(refusal.state.retry_after_ms for refusal in refusals)
        reply = reply_to_error(RateLimitExceeded(availability, refusals, retry_after_ms))
    else:
        reply = reply_to_availability(availability, "standard")
    stated, left = fields_of(reply)

    refused = {refusal.state.name for refusal in refusals}
    longest = 10**15 - 1
    for name, limit in limits.items():
        seconds_a_token = Fraction(limit.period_ms, limit.amount * 1_000)
        assert stated[name] == {
            "q": limit.capacity,
            "w": min(ceil(ceil(limit.capacity * seconds_a_token * 1_000) / Fraction(1_000)), longest),
        }
        tokens = limit.capacity - Fraction(tats[name] - now_ms * limit.amount, limit.period_ms)
        assert left[name]["r"] == max(0, tokens // 1)
        if tokens == limit.capacity and name not in refused:
            assert "t" not in left[name]
            continue
        aim = amounts[name] if name in refused else max(0, tokens // 1) + 1
        if aim <= limit.capacity:
            wait_ms = ceil((aim - tokens) * seconds_a_token * 1_000)
            assert left[name]["t"] == min(ceil(Fraction(wait_ms, 1_000)), longest)
    if refusals:
        assert 1 <= int(reply.headers["Retry-After"]) <= longest
        assert int(reply.headers["Retry-After"]) == max(left[name]["t"] for name in refused)


STREAMS = Limit.concurrent("streams", 20, 60)


@pytest.mark.parametrize(
    ("lapsing_ms", "asked", "left"),
    [
        ([], 1, {"r": 20}),
        ([60_000] * 17, 1, {"r": 3, "t": 1}),
        ([300, *[60_000] * 16], 1, {"r": 3, "t": 1}),
        ([-1, 0, 60_000], 1, {"r": 19, "t": 1}),
        ([60_000] * 20, 1, {"r": 0, "t": 1}),
        ([60_000] * 17, 5, {"r": 3, "t": 1}),
        ([60_000] * 25, 1, {"r": 0, "t": 1}),
    ],
)
def test_a_concurrency_limit_states_its_quota_unit_and_how_many_places_are_left(
    lapsing_ms: list[int], asked: int, left: dict[str, int]
) -> None:
    holders = {f"holder-{number}": NOW_MS + later for number, later in enumerate(lapsing_ms)}
    states = observe({"streams": STREAMS}, {}, {"streams": holders}, {"streams": asked}, NOW_MS)
    refused = frozenset([("key-1", "streams")] if states["streams"].retry_after_ms else [])
    availability = Availability("key-1", "gpt-4", states)
    assert fields_in(write_fields(list_policies(availability, refused))) == (
        {"streams": {"q": 20, "qu": "concurrent-requests"}},
        {"streams": left},
    )


def test_limits_of_both_kinds_stand_in_one_field() -> None:
    states = observe(index_limits([RPM, STREAMS]), {}, {}, {}, NOW_MS)
    fields = write_fields(list_policies(Availability("key-1", "gpt-4", states), frozenset()))
    assert fields["RateLimit-Policy"] == '"rpm";q=60;w=60,"streams";q=20;qu="concurrent-requests"'


# --- the fields that there were before the draft -------------------------------------------------------


def level_of(entity_id: str, *ancestors: Availability, **available: int) -> Availability:
    """Return how a level stands that has so much left of its limits; the cost of all of it is refused below."""
    limits = index_limits([limit for limit in (RPM, STREAMS, TPM) if limit.name in available])
    tats, holders = {}, {}
    for name, limit in limits.items():
        missing = limit.capacity - available[name]
        if limit.is_concurrent:
            holders[name] = {f"holder-{number}": NOW_MS + 60_000 for number in range(missing)}
        else:
            tats[name] = NOW_MS * limit.amount + missing * limit.period_ms
    states = observe(limits, tats, holders, {name: limit.capacity for name, limit in limits.items()}, NOW_MS)
    return Availability(entity_id, "gpt-4", states, ancestors)


def legacy_of(availability: Availability, *refused: tuple[str, str]) -> tuple[int, int, int]:
    """Return what the legacy fields say: limit, remaining, reset."""
    fields = write_fields(list_policies(availability, frozenset(refused)), "legacy")
    assert list(fields) == ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
    limit, remaining, reset = (int(text) for text in fields.values())
    return limit, remaining, reset


def test_the_legacy_fields_tell_of_the_limit_with_the_smallest_share_left() -> None:
    assert legacy_of(level_of("key-1", rpm=30, tpm=4_999)) == (10_000, 4_999, 1)
    assert legacy_of(level_of("key-1", rpm=29, tpm=4_999)) == (60, 29, 1)
    assert legacy_of(level_of("key-1", rpm=30, tpm=5_001, streams=9)) == (20, 9, 1)
    parent = level_of("project-1", tpm=1)
    assert legacy_of(level_of("key-1", parent, rpm=1, tpm=4_000)) == (10_000, 1, 1)


def test_where_shares_are_equal_the_legacy_fields_tell_of_the_nearest_limit() -> None:
    assert legacy_of(level_of("key-1", level_of("project-1", tpm=0), rpm=0)) == (60, 0, 1)


def test_of_limits_that_refused_the_legacy_fields_tell_of_the_one_with_the_longest_wait() -> None:
    parent = level_of("project-1", rpm=57)
    standing = level_of("key-1", parent, rpm=15, tpm=5_000, streams=0)
    everyone = [("key-1", "rpm"), ("key-1", "tpm"), ("key-1", "streams"), ("project-1", "rpm")]
    assert legacy_of(standing, *everyone) == (60, 15, 45)
    assert legacy_of(standing, *everyone[1:]) == (10_000, 5_000, 30)
    assert legacy_of(standing, *everyone[2:]) == (60, 57, 3)
    assert legacy_of(standing, everyone[2]) == (20, 0, 1)


def test_a_full_bucket_resets_in_no_time() -> None:
    assert legacy_of(level_of("key-1", rpm=60)) == (60, 60, 0)
    assert legacy_of(level_of("key-1", streams=20)) == (20, 20, 0)


def test_debt_has_nothing_remaining_in_the_legacy_fields() -> None:
    assert legacy_of(level_of("key-1", rpm=-60, tpm=0)) == (60, 0, 120)


@given(
    st.lists(
        st.tuples(st.integers(-100, 60), st.integers(-100, 10_000), st.integers(0, 20)), min_size=1, max_size=3
    ),
    st.data(),
)
def test_the_legacy_fields_are_those_of_one_limit_in_the_standard_ones(
    left: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    levels = [
        level_of(f"entity-{number}", rpm=rpm, tpm=tpm, streams=streams)
        for number, (rpm, tpm, streams) in enumerate(left)
    ]
    standing = Availability("entity-0", "gpt-4", levels[0], tuple(levels[1:]))
    short = [(level.entity_id, name) for level in levels for name in level if level[name].retry_after_ms]
    refused = frozenset(data.draw(st.sets(st.sampled_from(short))) if short else ())
    stated, still = fields_in(write_fields(list_policies(standing, refused)))
    said = {(stated[name]["q"], still[name]["r"], still[name].get("t", 0)) for name in stated}
    assert legacy_of(standing, *refused) in said


def test_a_style_chooses_the_fields() -> None:
    policies = list_policies(level_of("key-1", rpm=3), frozenset())
    standard = {"RateLimit-Policy": '"rpm";q=60;w=60', "RateLimit": '"rpm";r=3;t=1'}
    legacy = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "1"}
    written = {style: write_fields(policies, style) for style in HEADER_STYLES}
    assert written == {"standard": standard, "legacy": legacy, "both": standard | legacy}
    assert write_fields(policies) == standard


@pytest.mark.parametrize("style", HEADER_STYLES)
def test_where_there_is_no_limit_there_is_no_field_of_any_style(style: HeaderStyle) -> None:
    assert write_fields([], style) == {}


def test_times_longer_than_an_integer_of_fifteen_digits_are_cut_to_one(limiter: Limiter) -> None:
    endless = Limit("x", BIGGEST, 1, MAX_PERIOD_MS)
    limiter.acquire("key-1", "gpt-4", {"x": BIGGEST}, limits=[endless])
    reply = reply_to_error(refuse(limiter, "key-1", "gpt-4", {"x": BIGGEST}, limits=[endless]))
    stated, left = fields_of(reply)
    assert stated["x"] == {"q": BIGGEST, "w": 999_999_999_999_999}
    assert left["x"] == {"r": 0, "t": 999_999_999_999_999}
    assert reply.headers["Retry-After"] == "999999999999999"


def test_more_limits_than_headers_can_hold_leave_the_farthest_out_but_none_that_refused() -> None:
    limits = index_limits([Limit(f"{number:032}", BIGGEST, 1, MAX_PERIOD_MS) for number in range(16)])
    empty = dict.fromkeys(limits, NOW_MS + BIGGEST * MAX_PERIOD_MS)
    ancestors = tuple(
        Availability(letter * 256, "gpt-4", observe(limits, empty if letter == "d" else {}, {}, {}, NOW_MS))
        for letter in "bcd"
    )
    availability = Availability("a" * 256, "gpt-4", observe(limits, {}, {}, {}, NOW_MS), ancestors)
    refusals = (Refusal("d" * 256, ancestors[2]["0" * 31 + "7"]),)
    reply = reply_to_error(RateLimitExceeded(availability, refusals, 1))
    stated, left = fields_of(reply)
    assert list(stated) == list(left)
    assert list(left)[:16] == list(limits)
    assert list(left)[-1] == f"{'d' * 256}/{'0' * 31}7"
    assert sum(len(name) + len(value) for name, value in reply.headers.items()) < 8_000
    assert [len(level["limits"]) for level in body_of(reply)["ancestors"]] == [16, 16, 16]


def test_a_refusal_without_the_table_is_reduced_capacity() -> None:
    reply = reply_to_error(RateLimitExceeded(Availability("key-1", "gpt-4", {}), (), 1_500))
    assert reply.status == 503
    assert reply.headers == {"Retry-After": "2", "Leasegate-Degraded": "true", "Cache-Control": "no-store"}
    assert body_of(reply)["type"].endswith("#temporary-reduced-capacity")
    assert body_of(reply)["retry_after_ms"] == 1_500


class NewInTheTree(LeasegateError):
    """An error that nobody has mapped."""


SECRET = "arn:aws:dynamodb:eu-west-1:123456789012:table/secret"


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (InvalidRequest("consume.rpm", "must be an integer"), 400, None),
        (InvalidRequest("consume.rpm", "is above the capacity", unprocessable=True), 422, None),
        (NoLimitsConfigured("key-1", "gpt-4"), 404, None),
        (EntityNotFound("key-1"), 404, None),
        (LimitsNotFound("resource gpt-4"), 404, None),
        (Disabled("key-1", "gpt-4"), 403, None),
        (Disabled(None, "gpt-4"), 403, None),
        (EntityExists("key-1"), 409, None),
        (EntityHasChildren("key-1", 2), 409, None),
        (EntityIsBeingDeleted("key-1"), 409, None),
        (IdempotencyConflict("refund-1"), 422, None),
        (RouteNotFound(()), 404, None),
        (RouteNotFound(("GET", "PUT")), 405, None),
        (StoreThrottled(SECRET), 503, "1"),
        (StoreUnavailable(SECRET), 503, "1"),
        (StoreUnavailable(SECRET, maybe_applied=True), 503, "1"),
        (StoreDenied(SECRET), 500, None),
        (StoreError(SECRET), 500, None),
        (NewInTheTree(SECRET), 500, None),
        (KeyError(SECRET), 500, None),
        (RuntimeError(SECRET), 500, None),
    ],
    ids=repr,
)
def test_an_error_becomes_a_problem_without_anything_internal(
    error: Exception, status: int, retry_after: str | None
) -> None:
    reply = reply_to_error(error)
    body = body_of(reply)
    assert (reply.status, body["status"]) == (status, status)
    assert reply.content_type == "application/problem+json"
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    assert reply.headers.get("Retry-After") == retry_after
    assert reply.headers["Cache-Control"] == "no-store"
    assert SECRET not in str(reply)


EMPTY = Availability("key-1", "gpt-4", {})


@pytest.mark.parametrize(
    ("reply", "counted"),
    [
        (reply_to_error(RateLimitExceeded(EMPTY, (), 1)), ("Refused", "Degraded")),
        (reply_to_error(Disabled("key-1", "gpt-4")), ("Disabled",)),
        (reply_to_error(EntityNotFound("key-1")), ("Invalid",)),
        (reply_to_error(StoreUnavailable("")), ("Failed", "Unavailable")),
        (reply_to_error(StoreThrottled("")), ("Failed", "Unavailable")),
        (reply_to_error(StoreDenied("")), ("Failed",)),
        (reply_to_error(KeyError("")), ("Failed",)),
        (reply_with({}), ("Answered",)),
        (reply_without_content(), ("Answered",)),
    ],
)
def test_a_reply_says_what_it_counts_as(reply: Reply, counted: tuple[str, ...]) -> None:
    assert reply.counted == counted


def test_a_reply_without_content_has_neither_body_nor_type() -> None:
    reply = reply_without_content()
    assert (reply.status, reply.body, reply.content_type) == (204, "", "")


def test_an_invalid_request_names_the_field_and_what_is_wrong() -> None:
    body = body_of(reply_to_error(InvalidRequest("limits[1].burst", "must be an integer, not float")))
    assert body["field"] == "limits[1].burst"
    assert body["detail"] == "must be an integer, not float"


def test_what_the_caller_sent_is_not_repeated_without_end() -> None:
    assert len(reply_to_error(InvalidRequest("consume.rpm", "9" * 50_000)).body) < 1_000


def test_a_lost_reply_is_not_hidden() -> None:
    details = [
        body_of(reply_to_error(StoreUnavailable("", maybe_applied=doubt)))["detail"] for doubt in (False, True)
    ]
    assert "may have been done" not in details[0]
    assert "may have been done" in details[1]


@pytest.mark.parametrize(
    ("reply", "status", "allow"),
    [(reply_without_route(), 404, None), (reply_without_route(("POST",)), 405, "POST")],
    ids=["no path", "no method"],
)
def test_a_request_that_nothing_answers_is_a_problem_too(reply: Reply, status: int, allow: str | None) -> None:
    assert (reply.status, body_of(reply)["status"], reply.headers.get("Allow")) == (status, status, allow)


@pytest.mark.parametrize(
    "reply", [lambda: reply_to_error(InvalidRequest("\ud800\n", "\ud800")), lambda: reply_without_route(("POST",))]
)
def test_bodies_are_ascii_so_that_lone_surrogates_cannot_break_them(reply: Callable[[], Reply]) -> None:
    assert reply().body.isascii()


def test_round_trips_are_told_in_a_header() -> None:
    assert reply_without_route().with_round_trips(2).headers["Leasegate-Round-Trips"] == "2"
