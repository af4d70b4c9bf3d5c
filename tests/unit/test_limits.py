"""Limits and identifiers: what is accepted, and errors that name the field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from leasegate import InvalidRequest, Limit
from leasegate.identifiers import MAX_TOKENS, check_amounts, check_identifier
from leasegate.limits import MAX_CONCURRENT, MAX_LEASE_S, MAX_LIMITS, MAX_PERIOD_MS, index_limits
from tests.declarations import concurrency_limits, token_limits


def test_rates_are_given_by_second_minute_hour_and_day() -> None:
    assert Limit.per_second("x", 5) == Limit("x", 5, 5, 1_000)
    assert Limit.per_minute("x", 5) == Limit("x", 5, 5, 60_000)
    assert Limit.per_hour("x", 5, burst=9) == Limit("x", 9, 5, 3_600_000)
    assert Limit.per_day("x", 5, burst=1) == Limit("x", 1, 5, 86_400_000)


def test_the_refill_time_is_rounded_up() -> None:
    assert Limit("x", 10, 3, 1_000).refill_ms == 3_334


def test_a_concurrency_limit_has_a_time_for_its_leases_and_no_rate() -> None:
    streams = Limit.concurrent("streams", 20, 60)
    assert streams == Limit("streams", 20, 0, 0, 60_000)
    assert streams.is_concurrent
    assert streams.refill_ms == 60_000
    assert not Limit("streams", 20, 20, 60_000).is_concurrent


def test_a_concurrency_limit_may_be_as_small_and_as_large_as_this() -> None:
    assert Limit.concurrent("x", 1, 1).lease_ms == 1_000
    assert Limit.concurrent("x", MAX_CONCURRENT, MAX_LEASE_S).lease_ms == 86_400_000


@given(concurrency_limits("streams"))
def test_a_concurrency_limit_is_described_by_what_makes_it(limit: Limit) -> None:
    about = limit.describe()
    assert list(about) == ["name", "concurrent", "lease_seconds"]
    assert Limit.concurrent(str(about["name"]), int(about["concurrent"]), int(about["lease_seconds"])) == limit


@given(token_limits("rpm"))
def test_a_limit_of_tokens_is_described_by_what_makes_it(limit: Limit) -> None:
    about = limit.describe()
    assert list(about) == ["name", "capacity", "amount", "period_ms"]
    assert Limit(**about) == limit  # type: ignore[arg-type]  # the name is the text among them


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("name", ("", 1, 1)),
        ("name", ("a.b", 1, 1)),
        ("concurrent", ("x", 0, 1)),
        ("concurrent", ("x", -1, 1)),
        ("concurrent", ("x", MAX_CONCURRENT + 1, 1)),
        ("concurrent", ("x", True, 1)),
        ("concurrent", ("x", 1.5, 1)),
        ("concurrent", ("x", "1", 1)),
        ("lease_seconds", ("x", 1, 0)),
        ("lease_seconds", ("x", 1, -1)),
        ("lease_seconds", ("x", 1, MAX_LEASE_S + 1)),
        ("lease_seconds", ("x", 1, True)),
        ("lease_seconds", ("x", 1, 0.5)),
        ("lease_seconds", ("x", 1, "60")),
    ],
)
def test_a_bad_concurrency_limit_is_refused_by_the_name_of_its_field(
    field: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Limit.concurrent(*arguments)
    assert caught.value.field == field
    assert caught.value.reason


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("name", ("", 1, 1, 1)),
        ("name", ("UPPER", 1, 1, 1)),
        ("name", ("a" * 33, 1, 1, 1)),
        ("name", ("a.b", 1, 1, 1)),
        ("name", ("é", 1, 1, 1)),
        ("name", (7, 1, 1, 1)),
        ("capacity", ("x", 0, 1, 1)),
        ("capacity", ("x", -1, 1, 1)),
        ("capacity", ("x", 1.5, 1, 1)),
        ("capacity", ("x", True, 1, 1)),
        ("capacity", ("x", MAX_TOKENS + 1, 1, 1)),
        ("amount", ("x", 1, 0, 1)),
        ("amount", ("x", 1, "1", 1)),
        ("period_ms", ("x", 1, 1, 0)),
        ("period_ms", ("x", 1, 1, MAX_PERIOD_MS + 1)),
        ("amount", ("x", 1, 0, 0)),
        ("amount", ("x", 1, 1, 0, 1_000)),
        ("period_ms", ("x", 1, 0, 1, 1_000)),
        ("lease_ms", ("x", 1, 0, 0, 999)),
        ("lease_ms", ("x", 1, 0, 0, -1_000)),
        ("lease_ms", ("x", 1, 0, 0, MAX_LEASE_S * 1_000 + 1)),
    ],
)
def test_a_bad_limit_is_refused_by_the_name_of_its_field(field: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Limit(*arguments)
    assert caught.value.field == field
    assert caught.value.reason


def test_a_bucket_holds_one_to_sixteen_limits_of_different_names() -> None:
    limits = [Limit.per_second(f"limit-{number:02}", 1) for number in range(MAX_LIMITS)]
    assert list(index_limits(reversed(limits))) == [limit.name for limit in limits]
    for bad in ([], [*limits, Limit.per_second("more", 1)], [limits[0], limits[0]], ["rpm"]):
        with pytest.raises(InvalidRequest) as caught:
            index_limits(bad)  # type: ignore[arg-type]  # on purpose
        assert caught.value.field == "limits"


@pytest.mark.parametrize("good", ["a", "A" * 256, "key-1_2.3:4@5+6"])
def test_identifiers_of_allowed_characters_are_returned(good: str) -> None:
    assert check_identifier("entity_id", good) == good


@pytest.mark.parametrize(
    "bad",
    ["", "a" * 257, "a#b", "a/b", "a b", "a\n", "ключ", "a%23b", "\u2044", "a\u0000", None, 5, b"a"],
)
def test_identifiers_that_could_reach_other_keys_are_refused(bad: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_identifier("entity_id", bad)
    assert caught.value.field == "entity_id"


@pytest.mark.parametrize(
    ("field", "amounts"),
    [
        ("consume", {}),
        ("consume", None),
        ("consume", [("rpm", 1)]),
        ("consume", {"RPM": 1}),
        ("consume", {1: 1}),
        ("consume.rpm", {"rpm": -1}),
        ("consume.rpm", {"rpm": 0.5}),
        ("consume.rpm", {"rpm": 1.0}),
        ("consume.rpm", {"rpm": True}),
        ("consume.rpm", {"rpm": "1"}),
        ("consume.rpm", {"rpm": MAX_TOKENS + 1}),
    ],
)
def test_amounts_that_are_no_tokens_are_refused(field: str, amounts: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_amounts("consume", amounts)
    assert caught.value.field == field


def test_a_limit_cannot_be_changed_in_place() -> None:
    with pytest.raises(AttributeError):
        Limit.per_second("x", 1).capacity = 2  # type: ignore[misc]  # on purpose
