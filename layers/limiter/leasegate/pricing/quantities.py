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

from collections.abc import Iterator
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
USAGE_LOG_BYTES: Final = 1_200
SWEEP_LOG_BYTES: Final = 850
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

    def writes(what: str, times: Decimal, units: list[int]) -> Quantity:
        return _table(what, times, _mean(families, units) * times, "write_unit")

    def reads(what: str, times: Decimal, units: list[int]) -> Quantity:
        return _table(what, times, _mean(families, units) * times, "read_unit")

    levels = [levels for _, levels in families]
    expiring = traffic.stored * traffic.expiring
    lasting = traffic.stored - expiring
    yield writes("grants", traffic.granted - traffic.stored, [each.granted for each in levels])
    yield writes("refusals by the table", traffic.acquires * traffic.refused, [each.refused for each in levels])
    yield writes("wrong guesses", traffic.asked * traffic.missed, [each.second_try for each in levels])
    yield writes("durable leases granted", lasting, [each.stored(expires=False) for each in levels])
    yield writes("durable leases ended", lasting, [each.closed(expires=False) for each in levels])
    yield writes("expiring leases granted", expiring, [each.stored(expires=True) for each in levels])
    yield writes("expiring leases ended", expiring, [each.closed(expires=True) for each in levels])
    corrections = [each.adjusted if traffic.via == "http" else each.corrected for each in levels]
    yield writes("settled to real use", traffic.corrected, corrections)
    yield writes("buckets created", Decimal(traffic.created), [each.created for each in levels])
    first = min(Decimal(traffic.created) + traffic.starts, traffic.asked)
    yield reads("reads of new buckets and processes", first, [each.read for each in levels])
    age_s = Decimal(DEFAULT_MAX_AGE_MS) / 2_000
    renewals = min(traffic.processes * traffic.resources * SECONDS / age_s, traffic.asked)
    yield reads("reads of defaults again", renewals, [each.renewed for each in levels])
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


def _mean(families: list[tuple[Decimal, Levels]], units: list[int]) -> Decimal:
    return sum([share * of_family for (share, _), of_family in zip(families, units, strict=True)], Decimal(0))


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
