"""What a month is like: how much is asked for, of what kind, and who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from ..errors import InvalidRequest
from ..identifiers import check_integer
from ..limits import MAX_LIMITS
from ..schema import MAX_LEVELS
from ..windows import DEFAULT_PLAN, UsagePlan
from .shapes import Family, Shape

type Via = Literal["http", "library"]

VIAS: Final[tuple[Via, ...]] = ("http", "library")
MAX_ACQUIRES: Final = 10**15
MAX_BATCH: Final = 25
"""How many acquires an HTTP request may hold."""

_COLD_SHARE: Final = Decimal("0.01")
_CHILDREN: Final = 10
_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "acquires": (0, MAX_ACQUIRES),
    "limits": (1, MAX_LIMITS),
    "levels": (2, MAX_LEVELS),
    "per_request": (1, MAX_BATCH),
    "buckets": (1, MAX_ACQUIRES),
    "new_buckets": (0, MAX_ACQUIRES),
    "parents": (1, MAX_ACQUIRES),
    "cold_starts": (0, MAX_ACQUIRES),
    "processes": (0, MAX_ACQUIRES),
    "resources": (1, MAX_ACQUIRES),
    "memory_mb": (128, 10_240),
    "billed_ms": (1, 900_000),
    "init_ms": (0, 900_000),
    "usage_ms": (1, 900_000),
    "usage_window_s": (1, 300),
    "usage_batch": (1, 10_000),
    "shards": (1, MAX_ACQUIRES),
    "traced_a_second": (0, MAX_ACQUIRES),
}
_SHARES: Final = ("cascade", "refused", "remembered", "missed", "durable", "expiring", "adjusted", "traced")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A month, spread evenly over its time and its buckets: that is when counting usage costs most.

    Raises :class:`InvalidRequest` naming a field. Shares are from 0 to 1.

    Attributes:
        acquires: how many are asked for.
        limits: those of a bucket. shape: how long everything in it is.
        cascade: the share that spends from ancestors too. levels: of how many levels those are.
        refused: the share that the table refuses. remembered: the share refused by what a process remembers.
        missed: the share of the others that guess wrongly whether a bucket is busy or idle, and try again.
        durable: the share of grants that are stored, each ended once. expiring: the share of those that expire.
        adjusted: the share of the other grants that is settled to what was really used.
        via: how they are asked for. per_request: how many stand in one HTTP request.
        memory_mb, billed_ms, init_ms: of the functions; an invocation's time, and what a cold start takes besides.
        cold_starts: processes that start; by default one in a hundred requests, or none by the library.
        processes: how many there are at a time. resources: how many each of them is asked for.
        buckets: entities that acquire, each of one resource. new_buckets: those that are created in the month, by
            default all. parents: the ancestors at each level of a cascade, by default a tenth of the buckets.
        usage: the windows by which usage is counted, and how long it is kept; None where it is not.
        usage_window_s, usage_batch: how long changes are gathered, and how many at most; the stack's parameters.
        shards: of the table's stream. usage_ms: how long the counting of a batch takes.
        sweeps: whether leases are swept every minute.
        traced_a_second: the invocations of each second that X-Ray records. traced: the share of the others.
    """

    acquires: int
    limits: int = 2
    shape: Shape = field(default_factory=Shape)
    cascade: Decimal = Decimal(0)
    levels: int = 2
    refused: Decimal = Decimal(0)
    remembered: Decimal = Decimal(0)
    missed: Decimal = Decimal(0)
    durable: Decimal = Decimal(0)
    expiring: Decimal = Decimal(0)
    adjusted: Decimal = Decimal(0)
    via: Via = "http"
    per_request: int = 1
    memory_mb: int = 1_024
    billed_ms: int = 15
    init_ms: int = 800
    cold_starts: int | None = None
    processes: int = 1
    resources: int = 1
    buckets: int = 1_000
    new_buckets: int | None = None
    parents: int | None = None
    usage: UsagePlan | None = DEFAULT_PLAN
    usage_window_s: int = 5
    usage_batch: int = 1_000
    shards: int = 4
    usage_ms: int = 50
    sweeps: bool = True
    traced_a_second: int = 1
    traced: Decimal = Decimal("0.05")

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None:
                check_integer(name, value, low, high)
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidRequest(name, f"must be a share from 0 to 1, not {getattr(self, name)}")
        if self.refused + self.remembered > 1:
            raise InvalidRequest("remembered", "and refused are together more than all")
        if self.via not in VIAS:
            raise InvalidRequest("via", f"must be one of {', '.join(VIAS)}")

    # --- calls -----------------------------------------------------------------------------------------

    @property
    def asked(self) -> Decimal:
        """Acquires that reach the table."""
        return self.acquires * (1 - self.remembered)

    @property
    def granted(self) -> Decimal:
        """Acquires that are granted."""
        return self.asked - self.acquires * self.refused

    @property
    def stored(self) -> Decimal:
        """Durable leases, each granted once and ended once."""
        return self.granted * self.durable

    @property
    def corrected(self) -> Decimal:
        """Other leases that are settled to what was really used."""
        return (self.granted - self.stored) * self.adjusted

    @property
    def requests(self) -> Decimal:
        """HTTP requests: acquires, by so many, and each end and adjustment by itself."""
        if self.via == "library":
            return Decimal(0)
        return Decimal(self.acquires) / self.per_request + self.stored + self.corrected

    @property
    def starts(self) -> Decimal:
        """Processes that start."""
        return self.requests * _COLD_SHARE if self.cold_starts is None else Decimal(self.cold_starts)

    # --- buckets ---------------------------------------------------------------------------------------

    @property
    def created(self) -> int:
        """Buckets that are created: no more than there are, or acquires that could."""
        return min(self.buckets if self.new_buckets is None else self.new_buckets, self.acquires)

    @property
    def ancestors(self) -> int:
        """Buckets of ancestors, of all levels."""
        if not self.cascade:
            return 0
        each = max(1, self.buckets // _CHILDREN) if self.parents is None else self.parents
        return each * (self.levels - 1)

    def families(self) -> tuple[tuple[Decimal, Family], ...]:
        """Return who acquires, each with its share: entities alone, and those that cascade."""
        alone, cascading = Family(self.shape, self.limits), Family(self.shape, self.limits, self.levels)
        shares = ((1 - self.cascade, alone), (self.cascade, cascading))
        return tuple([(share, family) for share, family in shares if share])
