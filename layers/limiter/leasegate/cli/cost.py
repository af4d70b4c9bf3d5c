"""``leasegate cost``: what a month costs on AWS, line by line, and what would cost less."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import InvalidRequest
from ..pricing import REGION, Bill, Line, Price, Saving, bill, savings, with_prices
from ..pricing.prices import MILLION
from .arguments import PRICE
from .month import month_options, read_month
from .output import Output, plain, table
from .session import Command, Session, named

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_WHOLE_FROM: Final = 100
"""Fewer of anything are shown with two decimals."""


@click.command(cls=Command)
@month_options
@click.option(
    "--price",
    "changes",
    type=PRICE,
    multiple=True,
    metavar="NAME=DOLLARS",
    help="Another price, such as write_unit=0.7. May be given several times.",
)
@click.option("--prices", "lists_prices", is_flag=True, help="List the prices: their names, sources and dates.")
@click.pass_obj
def cost(session: Session, /, changes: tuple[tuple[str, Decimal], ...], lists_prices: bool, **given: Any) -> None:  # noqa: ANN401 - options of many types
    """Compute what a month costs on AWS, line by line, and what would cost less.

    leasegate cost --acquires 10M --limits 2 --cascade 0.5

    It asks nobody: the formulas are those of the guide, the prices parameters, without free tiers and discounts.
    The month is spread evenly over its time and its buckets, which is when counting usage costs most.
    """
    prices = _prices(changes)
    if lists_prices:
        session.output.answer(
            {"region": REGION, "prices": {name: _price_json(price) for name, price in prices.items()}},
            _prices_table(prices),
        )
        return
    if given["acquires"] is None:
        raise click.UsageError("how many acquires a month? Give --acquires, such as 10M")
    month = bill(read_month(given), prices)
    _answer(session.output, month, savings(month, prices))


def _prices(changes: tuple[tuple[str, Decimal], ...]) -> Mapping[str, Price]:
    try:
        return with_prices(named("price", changes))
    except InvalidRequest as error:
        name = error.field.removeprefix("price.")
        reason = error.reason if name == error.field else f"{name} {error.reason}"
        raise click.BadParameter(reason, param_hint="--price") from error


def _answer(output: Output, month: Bill, ways: tuple[Saving, ...]) -> None:
    largest = month.largest
    document = {
        "acquires": month.traffic.acquires,
        "region": REGION,
        "usd": float(month.usd),
        "usd_per_million": None if month.usd_per_million is None else float(month.usd_per_million),
        "usd_by_service": {service: float(usd) for service, usd in month.usd_by_service.items()},
        "lines": [_line_json(line) for line in month.lines],
        "largest": {"service": largest.quantity.service, "what": largest.quantity.what, "usd": float(largest.usd)},
        "savings": [{"way": way.way, "usd": float(way.usd)} for way in ways],
    }
    texts: list[RenderableType] = [_lines_table(month), "", *_summary(month)]
    if ways:
        texts += ["", plain("Each of these by itself would save:"), _savings_table(month, ways)]
    output.answer(document, *texts)


# --- to people ---------------------------------------------------------------------------------------


def _lines_table(month: Bill) -> Table:
    made = table("service", "what", "times#", "used#", "of", "price#", "dollars#")
    for line in month.lines:
        quantity = line.quantity
        times = "" if quantity.times is None else _number(quantity.times)
        made.add_row(
            quantity.service,
            quantity.what,
            times,
            _number(quantity.amount),
            line.price.unit,
            _paid(line),
            f"{line.usd:,.2f}",
        )
    return made


def _summary(month: Bill) -> list[Text]:
    largest = month.largest
    each = "" if month.usd_per_million is None else f", ${month.usd_per_million:,.2f} for a million acquires"
    services = ", ".join([f"{service} ${usd:,.2f}" for service, usd in month.usd_by_service.items()])
    name = f"{largest.quantity.what} ({largest.quantity.service})"
    return [
        plain(f"${month.usd:,.2f} a month{each}: {services}."),
        plain(f"The largest line is {name}: {_share(largest.usd, month)}."),
        plain(f"Prices are those of {REGION}; --prices says from when."),
    ]


def _savings_table(month: Bill, ways: tuple[Saving, ...]) -> Table:
    made = table("way", "dollars#", "share#")
    for way in ways:
        made.add_row(way.way, f"{way.usd:,.2f}", _share(way.usd, month))
    return made


def _prices_table(prices: Mapping[str, Price]) -> Table:
    made = table("name", "price#", "of", "as of", "source")
    for name, price in prices.items():
        made.add_row(name, _asked(price), price.unit, price.as_of, price.source)
        for above, usd in price.above:
            made.add_row("", _per(usd, price.per), f"above {above:,}", "", "")
    return made


def _number(amount: Decimal) -> str:
    return f"{amount:,.0f}" if amount >= _WHOLE_FROM or amount == int(amount) else f"{amount:,.2f}"


def _paid(line: Line) -> str:
    """Write what was asked: the price, or its mean where there was more than its first step is for."""
    return _per(line.rate.quantize(line.price.usd), line.price.per)


def _asked(price: Price) -> str:
    return _per(price.usd, price.per)


def _per(usd: Decimal, per: int) -> str:
    return f"${usd}/M" if per == MILLION else f"${usd}"


def _share(usd: Decimal, month: Bill) -> str:
    return f"{100 * usd / month.usd:.0f} %" if month.usd else "0 %"


# --- to programs -------------------------------------------------------------------------------------


def _line_json(line: Line) -> dict[str, object]:
    quantity = line.quantity
    return {
        "service": quantity.service,
        "what": quantity.what,
        "times": None if quantity.times is None else round(float(quantity.times), 3),
        "used": round(float(quantity.amount), 6),
        "unit": line.price.unit,
        "price": quantity.price,
        "usd": float(line.usd),
    }


def _price_json(price: Price) -> dict[str, object]:
    return {
        "usd": float(price.usd),
        "per": price.per,
        "unit": price.unit,
        "above": [{"quantity": above, "usd": float(usd)} for above, usd in price.above],
        "as_of": price.as_of,
        "source": price.source,
    }
