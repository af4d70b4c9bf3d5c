"""A limit: a named token bucket's capacity and refill rate, or how many leases there may be at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from .errors import InvalidRequest
from .identifiers import MAX_TOKENS, check_integer, check_limit_name

MAX_PERIOD_MS: Final = 366 * 86_400_000
MAX_LIMITS: Final = 16
"""The most limits that one bucket may hold."""

MAX_CONCURRENT: Final = 1_000
"""The most leases that a concurrency limit may allow: each stands in the bucket, which costs more as it grows."""
MAX_LEASE_S: Final = 86_400

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

type Limits = Mapping[str, Limit]
"""Limits by name, in the order of their names."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``capacity`` tokens at once, refilled evenly by ``amount`` tokens every ``period_ms`` ms.

    A concurrency limit (:meth:`concurrent`) has a ``lease_ms`` in place of amount and period: at most ``capacity``
    leases at a time, each for so long unless it is renewed. All integers; a field out of range raises
    :class:`InvalidRequest` that names it.

    Attributes:
        name: 1 to 32 characters of ``a-z 0-9 _ -``.
        capacity: the burst: tokens that can be there at once, 1 to 10^12; or leases at a time, 1 to 1,000.
        amount: tokens that come back in a period, 1 to 10^12; 0 for a concurrency limit.
        period_ms: the period in ms, to 366 days; 0 for a concurrency limit.
        lease_ms: how long a lease keeps its place, in ms, whole seconds to a day; 0 for tokens.
    """

    name: str
    capacity: int
    amount: int
    period_ms: int
    lease_ms: int = 0

    def __post_init__(self) -> None:
        """Refuse what the exact arithmetic and the table cannot hold."""
        check_limit_name("name", self.name)
        if check_integer("lease_ms", self.lease_ms, 0, MAX_LEASE_S * SECOND_MS):
            check_integer("concurrent", self.capacity, 1, MAX_CONCURRENT)
            if self.lease_ms % SECOND_MS:
                raise InvalidRequest("lease_ms", "must be whole seconds")
            check_integer("amount", self.amount, 0, 0)
            check_integer("period_ms", self.period_ms, 0, 0)
            return
        check_integer("capacity", self.capacity, 1, MAX_TOKENS)
        check_integer("amount", self.amount, 1, MAX_TOKENS)
        check_integer("period_ms", self.period_ms, 1, MAX_PERIOD_MS)

    @classmethod
    def per_second(cls, name: str, n: int, burst: int | None = None) -> Limit:
        """Allow ``n`` tokens a second, and ``burst`` (by default ``n``) at once."""
        return cls(name, n if burst is None else burst, n, SECOND_MS)

    @classmethod
    def per_minute(cls, name: str, n: int, burst: int | None = None) -> Limit:
        """Allow ``n`` tokens a minute, and ``burst`` (by default ``n``) at once."""
        return cls(name, n if burst is None else burst, n, MINUTE_MS)

    @classmethod
    def per_hour(cls, name: str, n: int, burst: int | None = None) -> Limit:
        """Allow ``n`` tokens an hour, and ``burst`` (by default ``n``) at once."""
        return cls(name, n if burst is None else burst, n, HOUR_MS)

    @classmethod
    def per_day(cls, name: str, n: int, burst: int | None = None) -> Limit:
        """Allow ``n`` tokens a day, and ``burst`` (by default ``n``) at once."""
        return cls(name, n if burst is None else burst, n, DAY_MS)

    @classmethod
    def concurrent(cls, name: str, n: int, lease_seconds: int) -> Limit:
        """Allow ``n`` leases at a time, 1 to 1,000.

        One that is not renewed loses its place after ``lease_seconds``, to 86,400. The limit is named in
        ``consume`` like any other, with how many of the ``n`` places a lease takes: usually 1.
        """
        check_integer("lease_seconds", lease_seconds, 1, MAX_LEASE_S)
        return cls(name, n, 0, 0, lease_seconds * SECOND_MS)

    @property
    def is_concurrent(self) -> bool:
        """Whether it limits leases at a time, and not tokens over time."""
        return self.lease_ms > 0

    def describe(self) -> dict[str, str | int]:
        """Write it as JSON would."""
        if self.is_concurrent:
            return {
                "name": self.name,
                "concurrent": self.capacity,
                "lease_seconds": self.lease_ms // SECOND_MS,
            }
        return {
            "name": self.name,
            "capacity": self.capacity,
            "amount": self.amount,
            "period_ms": self.period_ms,
        }

    @property
    def refill_ms(self) -> int:
        """How long an empty bucket takes to be full again, in ms, rounded up; of leases, until all have ended."""
        return self.lease_ms or -(-self.capacity * self.period_ms // self.amount)


def index_limits(limits: Iterable[Limit], field: str = "limits") -> Limits:
    """Return the limits by name, in the order of their names.

    Raises :class:`InvalidRequest` if there is none, if there are more than 16, or if two share a name.
    """
    by_name: dict[str, Limit] = {}
    for limit in limits:
        if not isinstance(limit, Limit):
            raise InvalidRequest(field, f"must hold Limit values, not {type(limit).__name__}")
        if limit.name in by_name:
            raise InvalidRequest(field, f"names {limit.name} twice")
        by_name[limit.name] = limit
    if not by_name:
        raise InvalidRequest(field, "must hold at least one limit")
    if len(by_name) > MAX_LIMITS:
        raise InvalidRequest(field, f"must hold at most {MAX_LIMITS} limits, not {len(by_name)}")
    return dict(sorted(by_name.items()))
