"""Three services, each a month as `leasegate cost` is told it, and what that asks of a table."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import Any, Final

import click

from leasegate.cli.month import month_options, read_month
from leasegate.pricing import Bill, Traffic, bill
from leasegate.pricing.months import SECONDS
from leasegate.pricing.quantities import quantities
from leasegate.pricing.units import Levels
from scripts.markdown import table

KEY_WRITES_A_SECOND: Final = 1_000
"""Write units a second that DynamoDB takes for one partition key."""
_COUNTING: Final = "totals of usage"


@dataclass(frozen=True)
class Scenario:
    """A month, by the options of `leasegate cost`, and how it bunches.

    Attributes:
        options: the month.
        peak: acquires of the busiest second. share: how many of them meet in the busiest bucket, at which level.
    """

    options: str
    peak: int
    share: Decimal
    level: int = 0

    @property
    def traffic(self) -> Traffic:
        """The month, read as the command reads it."""
        found: list[Traffic] = []

        @click.command
        @month_options
        def read(**given: Any) -> None:  # noqa: ANN401 - options of many types
            found.append(read_month(given))

        read.main(shlex.split(self.options), standalone_mode=False)
        return found[0]


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "LLM gateway": Scenario(
        "--acquires 20M --cascade 1 --adjusted 100% --via library --processes 20 --resources 10"
        " --buckets 15k --parents 500",
        peak=100,
        share=Decimal("0.1"),
        level=1,
    ),
    "SaaS API": Scenario(
        "--acquires 100M --refused 5% --remembered 5% --buckets 20k --processes 10 --resources 5",
        peak=400,
        share=Decimal("0.05"),
    ),
    "workers, a job at a time": Scenario(
        "--acquires 200M --missed 20% --refused 5% --via library --processes 64 --buckets 1",
        peak=1_500,
        share=Decimal(1),
    ),
    "workers, 25 jobs at a time": Scenario(
        "--acquires 8M --missed 20% --refused 5% --via library --processes 64 --buckets 1",
        peak=60,
        share=Decimal(1),
    ),
}


def command(scenario: Scenario) -> str:
    """Return what is typed for a month."""
    return f"leasegate cost {scenario.options}"


def write_units_of_an_acquire(traffic: Traffic) -> Decimal:
    """Return the mean write units of an acquire and of what follows it, without the counting of usage."""
    written = [used for used in quantities(traffic) if used.price == "write_unit" and used.what != _COUNTING]
    return sum([used.amount for used in written], Decimal(0)) / traffic.acquires


def busiest_bucket(scenario: Scenario) -> Decimal:
    """Return the write units that the busiest bucket takes in the busiest second."""
    traffic = scenario.traffic
    *_, (_, family) = traffic.families()
    levels = Levels.of(family)
    of_bucket = Decimal(levels.buckets[scenario.level]) / levels.granted
    return write_units_of_an_acquire(traffic) * of_bucket * scenario.share * scenario.peak


def _gb_stored(traffic: Traffic) -> Decimal:
    return next(used.amount for used in quantities(traffic) if used.what == "items stored")


def _instances(scenario: Scenario) -> str:
    traffic = scenario.traffic
    if traffic.via == "library":
        return "none"
    return f"{ceil(Decimal(scenario.peak) * traffic.billed_ms / 1_000 / traffic.per_request):,}"


_CAPACITY: Final[Mapping[str, Callable[[Scenario], str]]] = {
    "acquires a second, on average": lambda each: f"{Decimal(each.traffic.acquires) / SECONDS:,.1f}",
    "in the busiest second": lambda each: f"{each.peak:,}",
    "write units of an acquire and what follows it": lambda each: f"{write_units_of_an_acquire(each.traffic):.2f}",
    "write units in the busiest second": lambda each: (
        f"{write_units_of_an_acquire(each.traffic) * each.peak:,.0f}"
    ),
    "of these in the busiest bucket": lambda each: f"{busiest_bucket(each):,.0f}",
    "which is, of what its key takes": lambda each: _share(busiest_bucket(each) / KEY_WRITES_A_SECOND),
    "instances of the function that are busy then": _instances,
    "stored, with usage": lambda each: f"{_gb_stored(each.traffic):,.2f} GB",
}


def render_capacity() -> str:
    """Render what the scenarios ask of a table as a Markdown table."""
    return _render({what: [say(each) for each in SCENARIOS.values()] for what, say in _CAPACITY.items()})


def render_months() -> str:
    """Render what the scenarios cost as a Markdown table."""
    bills = [bill(each.traffic) for each in SCENARIOS.values()]
    services = dict.fromkeys(service for each in bills for service in each.usd_by_service)
    rows = {
        "acquires": [f"{each.traffic.acquires:,}" for each in bills],
        **{service: [_dollars(each.usd_by_service.get(service)) for each in bills] for service in services},
        "together": [_dollars(each.usd) for each in bills],
        "for a million acquires": [_dollars(each.usd_per_million) for each in bills],
        "the largest line": [_largest(each) for each in bills],
    }
    return _render(rows)


def _render(rows: Mapping[str, list[str]]) -> str:
    return table(["", *SCENARIOS], [[what, *said] for what, said in rows.items()])


def _dollars(usd: Decimal | None) -> str:
    return "" if usd is None else f"${usd:,.2f}"


def _largest(of: Bill) -> str:
    return f"{of.largest.quantity.what}, {_share(of.largest.usd / of.usd)}"


def _share(part: Decimal) -> str:
    return f"{part * 100:.0f} %"
