"""`leasegate cost`: what it reads, what it answers, and how it says what is wrong."""

from __future__ import annotations

import re
from decimal import Decimal

import click
import pytest

from leasegate.cli.application import leasegate
from leasegate.cli.month import month_options, read_month
from leasegate.pricing import PRICES, Shape, Traffic, bill, savings
from leasegate.windows import UsagePlan
from tests.command import Command

ASK = ("cost", "--acquires", "10M", "--limits", "2", "--cascade", "0.5")
MONTH = bill(Traffic(acquires=10_000_000, cascade=Decimal("0.5"), shape=Shape()))


@pytest.fixture
def command() -> Command:
    """The command, far from any table."""
    return Command()


def month(*arguments: str) -> Traffic:
    """Return the month that options say, by themselves."""

    @click.command
    @month_options
    @click.pass_context
    def read(context: click.Context, /, **given: object) -> None:
        context.obj.append(read_month(given))

    found: list[Traffic] = []
    read.main(arguments, standalone_mode=False, obj=found)
    return found[0]


# --- options -------------------------------------------------------------------------------------------


def test_without_options_a_month_is_what_the_formulas_take_for_granted() -> None:
    assert month("--acquires", "1M") == Traffic(acquires=1_000_000)


@pytest.mark.parametrize(
    ("text", "acquires"),
    [
        ("250k", 250_000),
        ("1.5M", 1_500_000),
        ("2G", 2 * 10**9),
        ("10_000", 10_000),
        ("0", 0),
        (" 7 k ", 7_000),
        ("1000000000000000", 10**15),
    ],
)
def test_numbers_may_be_shortened(text: str, acquires: int) -> None:
    assert month("--acquires", text).acquires == acquires


@pytest.mark.parametrize(("text", "share"), [("0.5", "0.5"), ("50%", "0.5"), ("2.5 %", "0.025"), ("1", "1")])
def test_shares_may_be_percentages(text: str, share: str) -> None:
    assert month("--acquires", "1", "--cascade", text).cascade == Decimal(share)


def test_every_option_reaches_the_month() -> None:
    traffic = month(
        *("--acquires", "10M", "--limits", "12", "--cascade", "50%", "--levels", "3", "--refused", "1%"),
        *("--remembered", "2%", "--missed", "3%", "--durable", "4%", "--expiring", "5%", "--adjusted", "6%"),
        *("--via", "library", "--per-request", "7", "--processes", "8", "--resources", "9"),
        *("--cold-starts", "10", "--buckets", "11k", "--new-buckets", "12", "--parents", "13"),
        *("--id-length", "14", "--name-length", "15", "--tokens", "16k"),
        *("--memory-mb", "512", "--billed-ms", "17", "--init-ms", "18"),
        *("--window", "minute", "--window", "day", "--usage-window-s", "19", "--usage-batch", "20"),
        *("--usage-ms", "21", "--shards", "22", "--no-sweeps", "--traced-a-second", "23", "--traced", "24%"),
    )
    assert traffic == Traffic(
        acquires=10_000_000,
        limits=12,
        shape=Shape(ids=14, names=15, tokens=15_999),
        cascade=Decimal("0.5"),
        levels=3,
        refused=Decimal("0.01"),
        remembered=Decimal("0.02"),
        missed=Decimal("0.03"),
        durable=Decimal("0.04"),
        expiring=Decimal("0.05"),
        adjusted=Decimal("0.06"),
        via="library",
        per_request=7,
        memory_mb=512,
        billed_ms=17,
        init_ms=18,
        cold_starts=10,
        processes=8,
        resources=9,
        buckets=11_000,
        new_buckets=12,
        parents=13,
        usage=UsagePlan({"minute": 3, "day": 400}),
        usage_window_s=19,
        usage_batch=20,
        shards=22,
        usage_ms=21,
        sweeps=False,
        traced_a_second=23,
        traced=Decimal("0.24"),
    )


def test_usage_may_be_left_uncounted() -> None:
    assert month("--acquires", "1", "--no-usage").usage is None


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--acquires", "ten", "must be a whole number such as 250000, 250k, 1.5M or 2G"),
        ("--acquires", "1.5", "must be a whole number"),
        ("--acquires", "-1", "must be a whole number"),
        ("--acquires", "9999999G", "must be from 0 to 1000000000000000"),
        ("--limits", "17", "17 is not in the range 1<=x<=16"),
        ("--levels", "1", "1 is not in the range 2<=x<=4"),
        ("--cascade", "1.5", "must be a share such as 0.25 or 25%"),
        ("--durable", "101%", "must be a share"),
        ("--refused", "half", "must be a share"),
        ("--via", "pigeon", "is not one of 'http', 'library'"),
        ("--buckets", "0", "must be from 1 to"),
        ("--shards", "0", "must be from 1 to"),
        ("--window", "week", "is not one of 'minute', 'hour', 'day', 'month'"),
        ("--price", "write_unit", "must be written as write_unit=0.7, in dollars"),
        ("--price", "write_unit=-1", "must be written as"),
        ("--price", "wcu=1", "knows no wcu; the prices are write_unit, read_unit"),
    ],
)
def test_what_is_wrong_is_told_with_its_option(command: Command, option: str, value: str, reason: str) -> None:
    told = command.refused("cost", "--acquires", "1M", option, value)
    assert option in told
    assert reason in told


def test_shares_that_are_more_than_all_are_told(command: Command) -> None:
    told = command.refused("cost", "--acquires", "1M", "--refused", "60%", "--remembered", "50%")
    assert told.endswith("--remembered: and refused are together more than all")


def test_a_price_is_given_once(command: Command) -> None:
    prices = ("--price", "trace=1", "--price", "trace=2")
    assert command.refused("cost", "--acquires", "1M", *prices).endswith("--price: trace is given twice")


def test_how_many_acquires_must_be_said(command: Command) -> None:
    assert "Give --acquires" in command.refused("cost")


# --- answers -------------------------------------------------------------------------------------------


def test_the_answer_is_the_bill_line_by_line(command: Command) -> None:
    lines = command.lines(*ASK)
    assert lines[0].split() == ["service", "what", "times", "used", "of", "price", "dollars"]
    shown = [re.split(r"\s{2,}", line) for line in lines[2 : 2 + len(MONTH.lines)]]
    for row, line in zip(shown, MONTH.lines, strict=True):
        assert row[0] == line.quantity.service
        assert row[1] == line.quantity.what
        assert row[-1] == f"{line.usd:,.2f}"
    assert f"${MONTH.usd:,.2f} a month, ${MONTH.usd_per_million:,.2f} for a million acquires:" in "\n".join(lines)
    assert "The largest line is requests (API Gateway): 34 %." in lines
    for way in savings(MONTH):
        assert any(line.startswith(way.way) and f"{way.usd:,.2f}" in line for line in lines)


def test_programs_get_the_same_with_every_digit(command: Command) -> None:
    answer = command.json(*ASK)
    assert answer["acquires"] == 10_000_000
    assert answer["region"] == "us-east-1"
    assert Decimal(str(answer["usd"])) == MONTH.usd
    assert Decimal(str(answer["usd_per_million"])) == MONTH.usd_per_million
    assert sum(Decimal(str(line["usd"])) for line in answer["lines"]) == MONTH.usd
    assert answer["lines"][0] == {
        "service": "DynamoDB",
        "what": "grants",
        "times": 10_000_000.0,
        "used": 15_000_000.0,
        "unit": "write units",
        "price": "write_unit",
        "usd": 9.375,
    }
    assert answer["largest"] == {"service": "API Gateway", "what": "requests", "usd": 35.0}
    assert [saving["way"] for saving in answer["savings"]] == [saving.way for saving in savings(MONTH)]
    assert {line["price"] for line in answer["lines"]} <= PRICES.keys()


def test_another_price_changes_what_it_is_for(command: Command) -> None:
    before, after = command.json(*ASK), command.json(*ASK, "--price", "api_request=1.00")
    difference = Decimal(str(before["usd"])) - Decimal(str(after["usd"]))
    assert difference == 25


def test_a_month_without_acquires_has_no_cost_for_a_million(command: Command) -> None:
    assert command.json("cost", "--acquires", "0")["usd_per_million"] is None
    assert not any("a million acquires" in line for line in command.lines("cost", "--acquires", "0"))


def test_a_price_with_steps_is_shown_as_it_was_paid(command: Command) -> None:
    (line,) = [line for line in command.lines("cost", "--acquires", "2G") if line.startswith("API Gateway")]
    assert "$2.71/M" in line
    (line,) = [line for line in command.lines("cost", "--acquires", "1M") if line.startswith("API Gateway")]
    assert "$3.50/M" in line


def test_where_nothing_would_cost_less_nothing_is_said(command: Command) -> None:
    lines = command.lines(
        *("cost", "--acquires", "1M", "--via", "library", "--no-usage", "--traced-a-second", "0", "--traced", "0")
    )
    assert not any("would save" in line for line in lines)
    assert lines[-1].startswith("Prices are those of us-east-1")


def test_all_for_nothing_is_no_division_by_it(command: Command) -> None:
    free = [argument for name in PRICES for argument in ("--price", f"{name}=0")]
    lines = command.lines("cost", "--acquires", "1M", *free)
    assert "The largest line is grants (DynamoDB): 0 %." in lines


def test_the_prices_are_listed_with_where_they_were_found(command: Command) -> None:
    lines = command.lines("cost", "--prices")
    for name, price in PRICES.items():
        (line,) = [line for line in lines if line.split()[0] == name]
        assert price.as_of in line
        assert line.endswith(price.source)
    assert any(line.split() == ["$2.80/M", "above", "333,000,000"] for line in lines)


def test_programs_get_the_prices_too(command: Command) -> None:
    answer = command.json("cost", "--prices", "--price", "trace=4")
    assert answer["prices"].keys() == PRICES.keys()
    assert answer["prices"]["trace"] == {
        "usd": 4.0,
        "per": 1_000_000,
        "unit": "traces",
        "above": [],
        "as_of": "",
        "source": "given",
    }
    assert answer["prices"]["api_request"]["above"][0] == {"quantity": 333_000_000, "usd": 2.8}


def test_no_table_is_reached(command: Command) -> None:
    command(*ASK)
    assert command.settings is None


def test_every_option_is_explained() -> None:
    cost = leasegate.commands["cost"]
    assert all(parameter.help for parameter in cost.params if isinstance(parameter, click.Option))
