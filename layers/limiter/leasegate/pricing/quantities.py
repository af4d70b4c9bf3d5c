"""How much of what a month uses: of the table, of the functions and their API, of what watches them.

What a call costs in units is in :mod:`~leasegate.pricing.units`, what counting costs in
:mod:`~leasegate.pricing.counting`. The rest, for a month of HTTP requests:

    GB-seconds    invocations * memory / 1,024 MB * billed time; a cold start is billed too (since 2025-08-01)
    traces        the first of each second, and a share of the others; X-Ray's default rule is one, and 5 %
    logs          what a function writes for each invocation: its metrics, which are log lines
    storage       each item with the 100 bytes that DynamoDB adds, and its entry in the index as another; totals of
                  usage as many as there are when the first of them are deleted
    renewals      what a process knows of a resource is read again at half its age, as long as somebody asks

Left out: data transfer, AWS KMS, the storage of logs, retries, and administration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from .. import schema
from ..flows.leasing import KEPT_S
from ..knowledge import DEFAULT_MAX_AGE_MS
from ..repository.sizes import item_size
from . import counting
from .counting import WINDOWS_A_MONTH, Counted, Total
from .months import MINUTES, SECONDS
from .traffic import Traffic
from .units import Levels

GB: Final = 2**30

ACQUIRE_METRICS: Final = ("RoundTrips", "Granted", "Refused", "CachedRefusals", "GuessesMissed")
USAGE_METRICS: Final = (
    "UsageRoundTrips",
    "UsageRecords",
    "UsageGroups",
    "UsageWrites",
    "UsageDuplicates",
    "UsageExpired",
    "UsageFailed",
    "UsageDeadLetters",
    "UsageLag",
)
SWEEP_METRICS: Final = ("SweepRoundTrips", "LeasesReleased", "LeasesKept", "LeasesFailed")
"""What the functions of a stack at work say; a metric that nobody sends costs nothing."""

ACQUIRE_LOG_BYTES: Final = 251
USAGE_LOG_BYTES: Final = 1_150
SWEEP_LOG_BYTES: Final = 790
"""What an invocation writes to the log."""

ALARMS: Final = 13
DASHBOARDS: Final = 1
"""Of a stack, at work or not."""

_OVERHEAD_BYTES: Final = 100
_SWEEP_READ_UNITS: Final = Decimal(schema.EXPIRY_SHARDS) / 2
"""A look into each list of leases that expire, eventually consistent."""


class Quantity(NamedTuple):
    """So much of something: ``price`` names what it costs, ``times`` is how often it happens."""

    service: str
    what: str
    times: Decimal | None
    amount: Decimal
    price: str


def quantities(traffic: Traffic) -> tuple[Quantity, ...]:
    """Return all that a month uses, without what it does not use."""
    counted = None if traffic.usage is None else counting.count(traffic, traffic.usage)
    found = (
        *_spending(traffic),
        *_counting(counted),
        *_stored(traffic, counted),
        *_functions(traffic, counted),
        *_watching(traffic, counted),
    )
    return tuple([quantity for quantity in found if quantity.amount])


# --- the table ---------------------------------------------------------------------------------------


def _spending(traffic: Traffic) -> Iterator[Quantity]:
    families = [(share, Levels.of(family)) for share, family in traffic.families()]
    durable = traffic.durable

    def writes(what: str, times: Decimal, units: Callable[[Levels], Decimal | int]) -> Quantity:
        return _table(what, times, times * _mean(families, units), "write_unit")

    def reads(what: str, times: Decimal, units: Callable[[Levels], int]) -> Quantity:
        return _table(what, times, times * _mean(families, units), "read_unit")

    def either(levels: Levels, units: int) -> Decimal:
        """Mix what a call costs with what it costs as a durable one, which is a transaction."""
        return units * (1 - durable) + levels.stored(expires=False) * durable

    expiring = traffic.stored * traffic.expiring
    lasting = traffic.stored - expiring
    yield writes("grants", traffic.granted - traffic.stored, lambda each: each.granted)
    refused = traffic.acquires * traffic.refused
    yield writes("refusals by the table", refused, lambda each: either(each, each.refused))
    missed = traffic.asked * traffic.missed
    yield writes("wrong guesses", missed, lambda each: either(each, each.second_try))
    yield writes("durable leases granted", lasting, lambda each: each.stored(expires=False))
    yield writes("durable leases ended", lasting, lambda each: each.closed(expires=False))
    yield writes("expiring leases granted", expiring, lambda each: each.stored(expires=True))
    yield writes("expiring leases ended", expiring, lambda each: each.closed(expires=True))
    over_http = traffic.via == "http"
    yield writes(
        "settled to real use", traffic.corrected, lambda each: each.adjusted if over_http else each.corrected
    )
    yield writes("buckets created", Decimal(traffic.created), lambda each: each.created)
    first = min(Decimal(traffic.created) + traffic.starts, traffic.asked)
    yield reads("reads of new buckets and processes", first, lambda each: each.read)
    age_s = Decimal(DEFAULT_MAX_AGE_MS) / 2_000
    renewals = min(traffic.processes * traffic.resources * SECONDS / age_s, traffic.asked)
    yield reads("reads of defaults again", renewals, lambda each: each.renewed)
    if traffic.sweeps:
        sweeps = Decimal(MINUTES)
        yield _table("sweeps of leases", sweeps, sweeps * _SWEEP_READ_UNITS, "read_unit")


def _counting(counted: Counted | None) -> Iterator[Quantity]:
    if counted is not None:
        yield _table("changes in the stream", counted.changes, counted.changes, "stream_record")
        yield _table("totals of usage", counted.writes, counted.write_units, "write_unit")
        yield _table("looks for totals", counted.read_units * 2, counted.read_units, "read_unit")


def _stored(traffic: Traffic, counted: Counted | None) -> Iterator[Quantity]:
    *_, (_, family) = traffic.families()
    sizes = [item_size(family.shape.key(n), family.fullest_bucket(n)) for n in range(family.levels)]
    items = Decimal(traffic.buckets + traffic.ancestors)
    size_bytes = Decimal((sizes[0] + _OVERHEAD_BYTES) * traffic.buckets)
    if traffic.ancestors:
        size_bytes += Decimal(traffic.ancestors) * (max(sizes[1:]) + _OVERHEAD_BYTES)
    leases = traffic.stored * KEPT_S / SECONDS
    items += leases
    size_bytes += leases * (item_size(*family.lease(expires=False, ended=True)) + _OVERHEAD_BYTES)
    if counted is not None and traffic.usage is not None:
        for window, totals in counted.totals.items():
            of_window = Total.of(family, window, traffic.usage)
            kept = totals * traffic.usage.retention_days[window] / WINDOWS_A_MONTH["day"]
            items += kept
            size_bytes += kept * (of_window.item_bytes + of_window.entry_bytes + 2 * _OVERHEAD_BYTES)
    yield _table("items stored", items, size_bytes / GB, "storage_gb")
    yield _table("recovery to any second", items, size_bytes / GB, "recovery_gb")


def _table(what: str, times: Decimal, amount: Decimal, price: str) -> Quantity:
    return Quantity("DynamoDB", what, times, amount, price)


def _mean(families: list[tuple[Decimal, Levels]], units: Callable[[Levels], Decimal | int]) -> Decimal:
    return sum([share * units(levels) for share, levels in families], Decimal(0))


# --- the functions, and what watches them --------------------------------------------------------------


def _functions(traffic: Traffic, counted: Counted | None) -> Iterator[Quantity]:
    memory_gb = Decimal(traffic.memory_mb) / 1_024
    runs = [("acquires and ends of leases", traffic.requests, traffic.billed_ms)]
    if counted is not None:
        runs.append(("batches of changes", counted.batches, traffic.usage_ms))
    if traffic.sweeps:
        runs.append(("sweeps", Decimal(MINUTES), traffic.billed_ms))
    yield Quantity("API Gateway", "requests", traffic.requests, traffic.requests, "api_request")
    for what, times, billed_ms in runs:
        yield Quantity("Lambda", what, times, times, "invocation")
        yield Quantity("Lambda", f"{what}, time", times, times * memory_gb * billed_ms / 1_000, "gb_second")
    if traffic.via == "http":
        init_s = Decimal(traffic.init_ms) / 1_000
        yield Quantity(
            "Lambda", "cold starts, time", traffic.starts, traffic.starts * memory_gb * init_s, "gb_second"
        )


def _watching(traffic: Traffic, counted: Counted | None) -> Iterator[Quantity]:
    batches = Decimal(0) if counted is None else counted.batches
    sweeps = Decimal(MINUTES if traffic.sweeps else 0)
    invocations = traffic.requests + batches + sweeps
    first = min(invocations, Decimal(SECONDS * traffic.traced_a_second))
    traces = first + (invocations - first) * traffic.traced
    yield Quantity("X-Ray", "traces", invocations, traces, "trace")
    log_bytes = traffic.requests * ACQUIRE_LOG_BYTES + batches * USAGE_LOG_BYTES + sweeps * SWEEP_LOG_BYTES
    yield Quantity("CloudWatch", "logs", invocations, log_bytes / GB, "log_gb")
    metrics = len(ACQUIRE_METRICS) * (traffic.requests > 0)
    metrics += len(USAGE_METRICS) * (batches > 0) + len(SWEEP_METRICS) * traffic.sweeps
    yield Quantity("CloudWatch", "metrics", None, Decimal(metrics), "metric")
    yield Quantity("CloudWatch", "alarms", None, Decimal(ALARMS), "alarm")
    yield Quantity("CloudWatch", "dashboard", None, Decimal(DASHBOARDS), "dashboard")
