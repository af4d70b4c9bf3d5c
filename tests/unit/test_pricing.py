"""Prices, months and bills: arithmetic to the micro-dollar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leasegate import InvalidRequest
from leasegate.pricing import PRICES, Bill, Shape, Traffic, bill, savings, with_prices
from leasegate.pricing.prices import MILLION
from leasegate.pricing.quantities import GB, quantities

HALF = Decimal("0.5")
BARE = Traffic(acquires=MILLION, via="library", usage=None, sweeps=False)
"""A month in which next to nothing happens but acquires."""
FULL = Traffic(
    acquires=10 * MILLION,
    limits=12,
    cascade=HALF,
    levels=3,
    refused=Decimal("0.02"),
    remembered=Decimal("0.01"),
    missed=Decimal("0.03"),
    durable=Decimal("0.1"),
    expiring=HALF,
    adjusted=HALF,
)

shares = st.decimals(0, 1, places=3)
months = st.builds(
    Traffic,
    acquires=st.integers(0, 10**12),
    limits=st.integers(1, 16),
    cascade=shares,
    levels=st.integers(2, 4),
    refused=st.decimals(0, HALF, places=3),
    remembered=st.decimals(0, HALF, places=3),
    missed=shares,
    durable=shares,
    expiring=shares,
    adjusted=shares,
    via=st.sampled_from(["http", "library"]),
    per_request=st.integers(1, 25),
    buckets=st.integers(1, 10**9),
    shards=st.integers(1, 1_000),
    sweeps=st.booleans(),
)


def used(traffic: Traffic) -> Mapping[tuple[str, str], Decimal]:
    return {(quantity.service, quantity.what): quantity.amount for quantity in quantities(traffic)}


# --- prices --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "usd"),
    [(0, "0"), (1, "3.5"), (333, "1165.5"), (334, "1168.3"), (1_000, "3033.1"), (20_001, "48254.61")],
)
def test_a_price_with_steps_asks_less_for_what_is_beyond_each(quantity: int, usd: str) -> None:
    assert PRICES["api_request"].cost(Decimal(quantity * MILLION)) == Decimal(usd)


def test_every_price_says_where_it_was_found_and_from_when_that_is() -> None:
    for name, price in PRICES.items():
        assert price.source.startswith("https://"), name
        assert re.fullmatch(r"20\d\d(-\d\d-\d\d)?|undated", price.as_of), name
        assert price.per in (1, MILLION), name
        assert [above for above, _ in price.above] == sorted(above for above, _ in price.above), name


def test_a_price_may_be_replaced_for_any_quantity() -> None:
    prices = with_prices({"api_request": Decimal("1.00")})
    assert prices["api_request"].cost(Decimal(10**10)) == 10_000
    assert prices["api_request"].source == "given"
    assert prices["write_unit"] == PRICES["write_unit"]


@pytest.mark.parametrize("usd", ["-1", "NaN", "Infinity"])
def test_a_price_is_an_amount_of_dollars(usd: str) -> None:
    with pytest.raises(InvalidRequest, match="amount of dollars"):
        with_prices({"write_unit": Decimal(usd)})


def test_a_price_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(InvalidRequest, match="knows no wcu; the prices are write_unit, read_unit"):
        with_prices({"wcu": Decimal(1)})


# --- months --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("acquires", -1),
        ("limits", 0),
        ("limits", 17),
        ("levels", 1),
        ("levels", 5),
        ("cascade", Decimal("1.01")),
        ("durable", Decimal("-0.1")),
        ("per_request", 26),
        ("buckets", 0),
        ("cold_starts", -1),
        ("usage_window_s", 301),
        ("via", "telegraph"),
    ],
)
def test_a_month_that_cannot_be_names_its_field(field: str, value: object) -> None:
    fields: dict[str, Any] = {"acquires": 1, field: value}
    with pytest.raises(InvalidRequest) as error:
        Traffic(**fields)
    assert error.value.field == field


def test_no_more_can_be_refused_than_is_asked() -> None:
    with pytest.raises(InvalidRequest, match="remembered"):
        Traffic(acquires=1, refused=Decimal("0.6"), remembered=HALF)


def test_a_month_divides_its_acquires_up() -> None:
    assert FULL.asked == Decimal(9_900_000)
    assert FULL.granted == Decimal(9_700_000)
    assert FULL.stored == Decimal(970_000)
    assert FULL.corrected == Decimal(4_365_000)
    assert FULL.requests == Decimal(10_000_000 + 970_000 + 4_365_000)
    assert FULL.starts == FULL.requests / 100
    assert FULL.created == 1_000
    assert FULL.ancestors == 200


def test_the_library_sends_no_requests_and_starts_what_it_is_told() -> None:
    traffic = replace(FULL, via="library", cold_starts=50)
    assert traffic.requests == Decimal(0)
    assert traffic.starts == Decimal(50)


def test_no_more_buckets_are_created_than_acquires_could() -> None:
    assert Traffic(acquires=10, buckets=1_000).created == 10
    assert Traffic(acquires=1_000, buckets=1_000, new_buckets=5).created == 5


# --- what is used ----------------------------------------------------------------------------------------


def test_grants_of_a_million_cost_a_million_units() -> None:
    month = bill(BARE)
    (grants,) = [line for line in month.lines if line.quantity.what == "grants"]
    assert grants.quantity.amount == Decimal(MILLION)
    assert grants.usd == Decimal("0.625")


def test_a_refusal_from_memory_costs_nothing_by_the_library() -> None:
    remembered = used(replace(BARE, remembered=HALF))
    assert remembered["DynamoDB", "grants"] == MILLION // 2
    assert ("DynamoDB", "refusals by the table") not in remembered
    assert used(replace(BARE, refused=HALF))["DynamoDB", "refusals by the table"] == MILLION // 2


def test_what_is_refused_or_guessed_wrongly_of_durable_leases_is_a_transaction_too() -> None:
    durable = used(replace(BARE, refused=HALF, missed=HALF, durable=HALF))
    plain = used(replace(BARE, refused=HALF, missed=HALF))
    for what in ("refusals by the table", "wrong guesses"):
        assert plain["DynamoDB", what] == MILLION // 2
        assert durable["DynamoDB", what] == MILLION // 4 * (1 + 4), what


def test_leases_that_expire_are_a_unit_more_when_they_are_granted_and_ended() -> None:
    found = used(replace(BARE, durable=HALF, expiring=HALF))
    for what in ("granted", "ended"):
        assert found["DynamoDB", f"durable leases {what}"] == MILLION
        assert found["DynamoDB", f"expiring leases {what}"] == MILLION // 4 * 5


def test_new_buckets_and_processes_read_what_they_do_not_know() -> None:
    found = used(replace(BARE, buckets=10, cold_starts=5))
    assert found["DynamoDB", "buckets created"] == 10 * 7
    assert found["DynamoDB", "reads of new buckets and processes"] == 15 * 6
    cascades = used(replace(BARE, buckets=10, cold_starts=5, cascade=HALF, levels=4))
    assert cascades["DynamoDB", "reads of new buckets and processes"] == 15 * (6 + 18) / 2


def test_every_process_reads_its_defaults_again_as_long_as_somebody_asks() -> None:
    rounds = 730 * 3_600 // 15
    for processes, resources in ((1, 1), (2, 2)):
        found = used(replace(BARE, processes=processes, resources=resources))
        assert found["DynamoDB", "reads of defaults again"] == processes * resources * rounds * 2
    assert used(replace(BARE, acquires=7))["DynamoDB", "reads of defaults again"] == 14


def test_settling_a_cascade_is_twice_as_much_over_http() -> None:
    cascades = replace(BARE, cascade=Decimal(1), adjusted=Decimal(1))
    assert used(cascades)["DynamoDB", "settled to real use"] == 2 * MILLION
    assert used(replace(cascades, via="http"))["DynamoDB", "settled to real use"] == 4 * MILLION


def test_functions_pay_for_memory_and_time_and_for_starting() -> None:
    traffic = replace(BARE, via="http", memory_mb=512, billed_ms=20, init_ms=1_000, cold_starts=30)
    found = used(traffic)
    assert found["Lambda", "acquires and ends of leases"] == MILLION
    assert found["Lambda", "acquires and ends of leases, time"] == MILLION * 20 // 2_000
    assert found["Lambda", "cold starts, time"] == 15


def test_a_request_may_hold_many_acquires() -> None:
    assert used(replace(BARE, via="http", per_request=25))["API Gateway", "requests"] == MILLION // 25


def test_traces_are_the_first_of_each_second_and_a_share_of_the_others() -> None:
    seconds = 730 * 3_600
    busy = replace(BARE, via="http", acquires=10 * MILLION)
    assert used(busy)["X-Ray", "traces"] == seconds + (10 * MILLION - seconds) * Decimal("0.05")
    assert used(replace(busy, acquires=1_000))["X-Ray", "traces"] == 1_000
    assert used(replace(busy, traced_a_second=0, traced=HALF))["X-Ray", "traces"] == 5 * MILLION


def test_what_is_stored_is_buckets_leases_and_usage_as_they_are_kept() -> None:
    empty = Traffic(acquires=0, usage=None, sweeps=False, buckets=2, limits=1)
    assert used(empty)["DynamoDB", "items stored"] == Decimal(2 * (362 + 100)) / GB
    more = [
        replace(BARE, durable=HALF),
        replace(BARE, cascade=HALF),
        replace(BARE, usage=FULL.usage),
        replace(BARE, limits=3),
        replace(BARE, shape=Shape(ids=64)),
    ]
    for traffic in more:
        assert used(traffic)["DynamoDB", "items stored"] > used(BARE)["DynamoDB", "items stored"]


# --- bills -----------------------------------------------------------------------------------------------


def test_a_bill_adds_up_in_every_way() -> None:
    month = bill(FULL)
    assert month.usd == sum(line.usd for line in month.lines) == sum(month.usd_by_service.values())
    assert list(month.usd_by_service) == ["DynamoDB", "API Gateway", "Lambda", "X-Ray", "CloudWatch"]
    assert month.usd_per_million == round(month.usd / 10, 6)
    assert month.largest.usd == max(line.usd for line in month.lines)


def test_steps_of_a_price_are_taken_by_all_its_lines_together() -> None:
    month = bill(replace(FULL, acquires=10**12))
    seconds = [line for line in month.lines if line.quantity.price == "gb_second"]
    together = PRICES["gb_second"].cost(sum([line.quantity.amount for line in seconds], Decimal(0)))
    assert abs(sum(line.usd for line in seconds) - together) < Decimal("0.00001")
    assert len(seconds) == 4


def test_a_month_without_acquires_costs_what_stands_there() -> None:
    month = bill(Traffic(acquires=0))
    assert month.usd_per_million is None
    assert {line.quantity.service for line in month.lines} == {"DynamoDB", "Lambda", "X-Ray", "CloudWatch"}


def ways(month: Bill) -> dict[str, Decimal]:
    return {saving.way: saving.usd for saving in savings(month)}


def test_what_another_way_saves_is_the_difference_of_two_bills() -> None:
    found = ways(bill(FULL))
    assert list(found.values()) == sorted(found.values(), reverse=True)
    without_gateway = bill(FULL).usd - bill(replace(FULL, via="library")).usd
    assert found["acquire by the library, without API Gateway"] == without_gateway
    assert found["do not count usage"] == bill(FULL).usd - bill(replace(FULL, usage=None)).usd
    assert found["have no more limits than fit into 1 KB: 11 a bucket"] > 0
    assert len(found) == 8


def test_what_is_done_already_is_no_other_way() -> None:
    assert ways(bill(replace(BARE, traced_a_second=0, traced=Decimal(0)))) == {}


def test_ids_that_leave_no_room_for_a_limit_are_not_told_to_have_fewer() -> None:
    endless = replace(FULL, shape=Shape(ids=256, names=32))
    assert not any("1 KB" in way for way in ways(bill(endless)))


def test_another_price_is_used_for_ways_too() -> None:
    free = with_prices({"api_request": Decimal(0)})
    dear = savings(bill(FULL))
    cheap = savings(bill(FULL, free), free)
    assert dear[0].way == "acquire by the library, without API Gateway"
    assert cheap[0].way != dear[0].way


@settings(deadline=None, max_examples=40)
@given(months)
def test_any_month_has_a_bill(traffic: Traffic) -> None:
    month = bill(traffic)
    assert all(line.usd >= 0 and line.quantity.amount > 0 for line in month.lines)
    assert month.usd > 0
    assert all(0 < saving.usd < month.usd for saving in savings(month))


@settings(deadline=None, max_examples=40)
@given(months)
def test_more_acquires_never_cost_less(traffic: Traffic) -> None:
    assert bill(replace(traffic, acquires=2 * traffic.acquires)).usd >= bill(traffic).usd
