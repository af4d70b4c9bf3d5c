"""What a month costs, line by line, and what would cost less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from ..limits import MAX_LIMITS
from ..repository.sizes import write_units
from ..windows import UsagePlan
from .prices import MILLION, PRICES, Price
from .quantities import Quantity, quantities
from .shapes import Family
from .traffic import MAX_BATCH, Traffic

LONGEST_WINDOW_S: Final = 300
"""The longest that the stack gathers changes for."""

_FEW_TRACES: Final = Decimal("0.01")
_MICRO_DOLLAR: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the bill: so much of something at a price, in whole micro-dollars.

    ``rate`` is what the price asks on average, which is less than its first step where there is much.
    """

    quantity: Quantity
    price: Price
    rate: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Saving:
    """Another way, and the dollars a month that it saves."""

    way: str
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Bill:
    """What a month of some traffic costs; dollars are whole micro-dollars, so that lines add up."""

    traffic: Traffic
    lines: tuple[Line, ...]

    @property
    def usd(self) -> Decimal:
        """All lines together."""
        return sum([line.usd for line in self.lines], Decimal(0))

    @property
    def usd_by_service(self) -> Mapping[str, Decimal]:
        """The lines together by service, in their order."""
        totals: dict[str, Decimal] = {}
        for line in self.lines:
            service = line.quantity.service
            totals[service] = totals.get(service, Decimal(0)) + line.usd
        return totals

    @property
    def usd_per_million(self) -> Decimal | None:
        """What a million acquires cost; None where there are none."""
        return _rounded(self.usd * MILLION / self.traffic.acquires) if self.traffic.acquires else None

    @property
    def largest(self) -> Line:
        """The line that costs most."""
        return max(self.lines, key=lambda line: line.usd)


def bill(traffic: Traffic, prices: Mapping[str, Price] = PRICES) -> Bill:
    """Return what a month costs. A price with steps is asked for all lines that it is for together.

    Each of those lines pays its share by the quantity.
    """
    used = quantities(traffic)
    amounts: dict[str, Decimal] = {}
    for quantity in used:
        amounts[quantity.price] = amounts.get(quantity.price, Decimal(0)) + quantity.amount
    rates = {name: prices[name].cost(amount) * prices[name].per / amount for name, amount in amounts.items()}
    return Bill(
        traffic,
        tuple(
            [
                Line(quantity, price, rate, _rounded(quantity.amount * rate / price.per))
                for quantity in used
                for price, rate in [(prices[quantity.price], rates[quantity.price])]
            ]
        ),
    )


def savings(of: Bill, prices: Mapping[str, Price] = PRICES) -> tuple[Saving, ...]:
    """Return what would cost less, and how much less, each by itself; what saves most comes first."""
    found = [Saving(way, of.usd - bill(traffic, prices).usd) for way, traffic in _other_ways(of.traffic)]
    return tuple(sorted([saving for saving in found if saving.usd > 0], key=lambda each: each.usd, reverse=True))


def _other_ways(traffic: Traffic) -> Iterator[tuple[str, Traffic]]:
    if traffic.via == "http":
        yield "acquire by the library, without API Gateway", replace(traffic, via="library")
        if traffic.per_request < MAX_BATCH:
            yield f"ask for {MAX_BATCH} acquires in one request", replace(traffic, per_request=MAX_BATCH)
    if traffic.usage is not None:
        yield "do not count usage", replace(traffic, usage=None)
        if len(traffic.usage.windows) > 1:
            longest = traffic.usage.windows[-1]
            only = UsagePlan({longest: traffic.usage.retention_days[longest]})
            yield f"count usage by {longest} alone", replace(traffic, usage=only)
        if traffic.usage_window_s < LONGEST_WINDOW_S:
            yield (
                f"gather changes for {LONGEST_WINDOW_S} s before they are counted",
                replace(traffic, usage_window_s=LONGEST_WINDOW_S),
            )
    if traffic.traced_a_second or traffic.traced > _FEW_TRACES:
        fewer = replace(traffic, traced_a_second=0, traced=min(traffic.traced, _FEW_TRACES))
        yield "trace 1 % at most, without the first of each second", fewer
    if traffic.stored:
        yield "keep no lease durable", replace(traffic, durable=Decimal(0))
    fitting = _most_limits_in_a_unit(traffic)
    if 0 < fitting < traffic.limits:
        yield f"have no more limits than fit into 1 KB: {fitting} a bucket", replace(traffic, limits=fitting)


def _most_limits_in_a_unit(traffic: Traffic) -> int:
    """Return how many limits a bucket of one write unit can have; 0 where its ids and names leave no room."""
    *_, (_, family) = traffic.families()
    fitting = [
        count
        for count in range(1, MAX_LIMITS + 1)
        if write_units(family.shape.key(), Family(family.shape, count, family.levels).fullest_bucket()) == 1
    ]
    return max(fitting, default=0)


def _rounded(usd: Decimal) -> Decimal:
    return usd.quantize(_MICRO_DOLLAR, ROUND_HALF_EVEN)
