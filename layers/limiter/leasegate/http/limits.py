"""Limits as JSON: tokens read in two forms and written in one, leases in a form of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ..errors import InvalidRequest
from ..identifiers import MAX_TOKENS, check_integer, check_limit_name
from ..limits import (
    DAY_MS,
    HOUR_MS,
    MAX_CONCURRENT,
    MAX_LEASE_S,
    MAX_PERIOD_MS,
    MINUTE_MS,
    SECOND_MS,
    Limit,
)
from ..states import Availability, LimitState
from .bodies import check_object, read_object

PERIODS_MS: Final[Mapping[str, int]] = {
    "second": SECOND_MS,
    "minute": MINUTE_MS,
    "hour": HOUR_MS,
    "day": DAY_MS,
}


def read_limits(path: str, value: object) -> tuple[Limit, ...]:
    """Read an array of limits.

    ::

        [{"name": "rpm", "amount": 60, "period": "minute"},
         {"name": "tpm", "capacity": 20000, "amount": 10000, "period_ms": 60000},
         {"name": "streams", "concurrent": 20, "lease_seconds": 60}]

    A limit is given as to ``Limit.per_minute``, with ``period`` (``second``, ``minute``, ``hour``, ``day``) and
    perhaps ``burst``, or as to ``Limit``, with ``capacity`` and ``period_ms``, or as to ``Limit.concurrent``; not
    as a mixture.
    """
    if not isinstance(value, list):
        raise InvalidRequest(path, "must be an array of limits")
    return tuple([_read_limit(f"{path}[{index}]", limit) for index, limit in enumerate(value)])


def write_limits(limits: Iterable[Limit]) -> list[dict[str, str | int]]:
    """Write limits: tokens in the second form, leases in the third."""
    return [limit.describe() for limit in limits]


def write_states(states: Mapping[str, LimitState]) -> dict[str, dict[str, int]]:
    """Write what limits have left, by name; ``available`` is negative in debt."""
    return {
        name: {
            "available": state.available,
            "capacity": state.capacity,
            "retry_after_ms": state.retry_after_ms,
        }
        for name, state in states.items()
    }


def write_availability(availability: Availability) -> dict[str, object]:
    """Write what an entity and its ancestors have left."""
    return {
        "entity_id": availability.entity_id,
        "resource": availability.resource,
        "limits": write_states(availability),
        "ancestors": [
            {"entity_id": level.entity_id, "limits": write_states(level)} for level in availability.ancestors
        ],
    }


def _read_limit(path: str, value: object) -> Limit:
    given = check_object(path, value)
    if "concurrent" in given or "lease_seconds" in given:
        return _read_concurrent(path, value)
    if "period" in given:
        fields = read_object(path, value, required=("name", "amount", "period"), optional=("burst",))
        period = fields["period"]
        if not isinstance(period, str) or period not in PERIODS_MS:
            raise InvalidRequest(f"{path}.period", f"must be one of {', '.join(PERIODS_MS)}")
        period_ms, burst = PERIODS_MS[period], "burst" if "burst" in fields else "amount"
    else:
        fields = read_object(path, value, required=("name", "capacity", "amount", "period_ms"))
        period_ms = check_integer(f"{path}.period_ms", fields["period_ms"], 1, MAX_PERIOD_MS)
        burst = "capacity"
    return Limit(
        name=check_limit_name(f"{path}.name", fields["name"]),
        capacity=check_integer(f"{path}.{burst}", fields[burst], 1, MAX_TOKENS),
        amount=check_integer(f"{path}.amount", fields["amount"], 1, MAX_TOKENS),
        period_ms=period_ms,
    )


def _read_concurrent(path: str, value: object) -> Limit:
    fields = read_object(path, value, required=("name", "concurrent", "lease_seconds"))
    return Limit.concurrent(
        name=check_limit_name(f"{path}.name", fields["name"]),
        n=check_integer(f"{path}.concurrent", fields["concurrent"], 1, MAX_CONCURRENT),
        lease_seconds=check_integer(f"{path}.lease_seconds", fields["lease_seconds"], 1, MAX_LEASE_S),
    )
