"""What a month costs on AWS, by formulas over prices that are parameters.

    month = bill(Traffic(acquires=10_000_000, limits=2, cascade=Decimal("0.5")))
    month.usd, month.largest, savings(month)

:mod:`~leasegate.pricing.traffic` says what a month is like, :mod:`~leasegate.pricing.quantities` how much of what
that uses, and :mod:`~leasegate.pricing.prices` what it costs. The units of a write are not typed in:
:mod:`~leasegate.pricing.shapes` builds the items as they are written, and sizes them as DynamoDB does. All of it
is arithmetic: nothing is sent anywhere.
"""

from __future__ import annotations

from .bill import Bill, Line, Saving, bill, savings
from .prices import PRICES, REGION, Price, with_prices
from .shapes import Shape
from .traffic import Traffic

__all__ = [
    "PRICES",
    "REGION",
    "Bill",
    "Line",
    "Price",
    "Saving",
    "Shape",
    "Traffic",
    "bill",
    "savings",
    "with_prices",
]
