"""A limit: a named token bucket's capacity and refill rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from .errors import InvalidRequest
from .identifiers import MAX_TOKENS, check_integer, check_limit_name

MAX_PERIOD_MS: Final = 366 * 86_400_000
MAX_LIMITS: Final = 16
"""The most limits that one bucket may hold."""

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

type Limits = Mapping[str, Limit]
"""Limits by name, in the order of their names."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``capacity`` tokens at once, refilled evenly by ``amount`` tokens every ``period_ms`` ms.

    All integers; a field out of range raises :class:`InvalidRequest` that names it.
    """

    name: str
    capacity: int
    amount: int
    period_ms: int

    def __post_init__(self) -> None:
        """Refuse what the exact arithmetic and the table cannot hold."""
        check_limit_name("name", self.name)
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

    def describe(self) -> dict[str, str | int]:
        """Write it as JSON would."""
        return {
            "name": self.name,
            "capacity": self.capacity,
            "amount": self.amount,
            "period_ms": self.period_ms,
        }

    @property
    def refill_ms(self) -> int:
        """How long an empty bucket takes to be full again, in ms, rounded up."""
        return -(-self.capacity * self.period_ms // self.amount)


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
