"""What AWS asks for what a stack uses: list prices of us-east-1 in dollars, without free tiers and discounts.

Each is a parameter, with the page that it was taken from and the date that the page gives for itself, for prices
change. Other regions ask other prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from ..errors import InvalidRequest

REGION: Final = "us-east-1"
MILLION: Final = 1_000_000

_UNDATED: Final = "undated"


@dataclass(frozen=True, slots=True)
class Price:
    """What ``per`` of a unit cost.

    Attributes:
        usd: the price in dollars.
        per: of how many: prices of small things are told for a million of them.
        unit: of what.
        source: the page that says so. as_of: the date of that page; ``undated`` where it gives none.
        above: what is asked for those beyond so many a month, from the least on.
    """

    usd: Decimal
    per: int
    unit: str
    source: str
    as_of: str
    above: tuple[tuple[int, Decimal], ...] = ()

    def cost(self, quantity: Decimal) -> Decimal:
        """Return the dollars for so many in a month, to the last digit."""
        total = Decimal(0)
        usd, start = self.usd, 0
        for end, next_usd in self.above:
            total += usd * (min(quantity, Decimal(end)) - start)
            if quantity <= end:
                return total / self.per
            usd, start = next_usd, end
        return (total + usd * (quantity - start)) / self.per


_DYNAMODB: Final = "https://airbyte.com/data-engineering-resources/dynamodb-pricing"
_DYNAMODB_BY_AWS: Final = "https://aws.amazon.com/dynamodb/pricing/"
_STREAMS: Final = (
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CostOptimization_StreamsUsage.html"
)
_LAMBDA: Final = "https://cloudchipr.com/blog/aws-lambda-pricing"
_API: Final = (
    "https://docs.aws.amazon.com/whitepapers/latest/best-practices-api-gateway-private-apis-integration/"
    "cost-optimization.html"
)
_METRICS: Final = "https://signoz.io/guides/cloudwatch-pricing"
_CLOUDWATCH: Final = "https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards/"

PRICES: Final[Mapping[str, Price]] = MappingProxyType(
    {
        # On demand, as it is since AWS halved it on 2024-11-01.
        "write_unit": Price(Decimal("0.625"), MILLION, "write units", _DYNAMODB, "2025-07-21"),
        "read_unit": Price(Decimal("0.125"), MILLION, "read units", _DYNAMODB, "2025-07-21"),
        "storage_gb": Price(Decimal("0.25"), 1, "GB-months", _DYNAMODB_BY_AWS, _UNDATED),
        "recovery_gb": Price(
            Decimal("0.20"), 1, "GB-months", "https://finops.com.py/services/dynamodb/backups", _UNDATED
        ),
        # Functions read it for nothing.
        "stream_record": Price(Decimal(0), MILLION, "records", _STREAMS, _UNDATED),
        "invocation": Price(Decimal("0.20"), MILLION, "invocations", _LAMBDA, "2024"),
        "gb_second": Price(
            Decimal("13.3334"),
            MILLION,
            "GB-seconds",
            _LAMBDA,
            "2024",
            ((7_500_000_000, Decimal("12.0001")),),
        ),
        "api_request": Price(
            Decimal("3.50"),
            MILLION,
            "requests",
            _API,
            _UNDATED,
            (
                (333 * MILLION, Decimal("2.80")),
                (1_000 * MILLION, Decimal("2.38")),
                (20_000 * MILLION, Decimal("1.51")),
            ),
        ),
        "trace": Price(Decimal("5.00"), MILLION, "traces", "https://aws.amazon.com/xray/pricing/", _UNDATED),
        "log_gb": Price(Decimal("0.50"), 1, "GB", _CLOUDWATCH, "2026-06-13"),
        "metric": Price(Decimal("0.30"), 1, "metrics", _METRICS, "2026-02-15"),
        "alarm": Price(
            Decimal("0.10"), 1, "alarms", "https://c3x.dev/resources/aws/aws_cloudwatch_metric_alarm", _UNDATED
        ),
        "dashboard": Price(Decimal("3.00"), 1, "dashboards", _CLOUDWATCH, "2026-06-13"),
    }
)
"""The prices by name; Lambda's are those of arm64."""


def with_prices(changes: Mapping[str, Decimal]) -> Mapping[str, Price]:
    """Return the prices with some replaced, for any quantity; raise :class:`InvalidRequest` for unknown names."""
    for name, usd in changes.items():
        if name not in PRICES:
            raise InvalidRequest("price", f"knows no {name}; the prices are {', '.join(PRICES)}")
        if not usd.is_finite() or usd < 0:
            raise InvalidRequest("price", f"of {name} must be an amount of dollars, not {usd}")
    return {
        name: replace(price, usd=changes[name], source="given", as_of="", above=()) if name in changes else price
        for name, price in PRICES.items()
    }
