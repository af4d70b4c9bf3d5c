"""Limits in words: ``60 per minute``, ``100 per minute burst 200``; shorter ``60/minute``, ``100/minute:200``.

Leases at a time: ``20 concurrent for 60 seconds``, after which a lease loses its place unless it is renewed.

Exact both ways: what :func:`write_limit` wrote, :func:`read_limit` reads as the same limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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

FORM: Final = (
    '"60 per minute" or "60/minute", with a burst "60 per minute burst 120" or "60/minute:120", '
    'or of leases "20 concurrent for 60 seconds"'
)

UNITS_MS: Final[Mapping[str, int]] = {
    "day": DAY_MS,
    "hour": HOUR_MS,
    "minute": MINUTE_MS,
    "second": SECOND_MS,
    "ms": 1,
}
"""The units of time, the longest first."""

_SPELLINGS_MS: Final = {**UNITS_MS, **{f"{unit}s": UNITS_MS[unit] for unit in ("day", "hour", "minute", "second")}}
_DIGITS: Final = r"[0-9]+(?:_[0-9]+)*"
_LIMIT: Final = re.compile(
    rf"(?P<amount>{_DIGITS})"
    rf"(?:\s*/\s*|\s+per\s+)"
    rf"(?:(?P<count>{_DIGITS})\s*)?(?P<unit>[a-z]+)"
    rf"(?:(?:\s*:\s*|\s+burst\s+)(?P<burst>{_DIGITS}))?",
    re.ASCII,
)
_CONCURRENT: Final = re.compile(
    rf"(?P<concurrent>{_DIGITS})\s+concurrent\s+for\s+(?P<count>{_DIGITS})\s*(?P<unit>[a-z]+)",
    re.ASCII,
)


def read_limit(name: str, text: str, field: str) -> Limit:
    """Read one limit; raise :class:`InvalidRequest` that names the field, or a part of it."""
    check_limit_name(field, name)
    leases = _CONCURRENT.fullmatch(text.strip())
    if leases is not None:
        return _read_concurrent(name, leases, field)
    found = _LIMIT.fullmatch(text.strip())
    if found is None:
        raise InvalidRequest(field, f"must be written as {FORM}")
    unit_ms = _read_unit(field, "per", found["unit"])
    amount = _read_number(f"{field}.amount", found["amount"], MAX_TOKENS)
    count = 1 if found["count"] is None else _read_number(f"{field}.period", found["count"], MAX_PERIOD_MS)
    period_ms = check_integer(f"{field}.period_ms", count * unit_ms, 1, MAX_PERIOD_MS)
    burst = amount if found["burst"] is None else _read_number(f"{field}.burst", found["burst"], MAX_TOKENS)
    return Limit(name, burst, amount, period_ms)


def write_limit(limit: Limit) -> str:
    """Write a limit without its name: in the longest unit that its time is a multiple of."""
    if limit.is_concurrent:
        return f"{limit.capacity} concurrent for {_write_time(limit.lease_ms)}"
    period = _write_time(limit.period_ms).removeprefix("1 ")
    burst = "" if limit.capacity == limit.amount else f" burst {limit.capacity}"
    return f"{limit.amount} per {period}{burst}"


def _read_concurrent(name: str, found: re.Match[str], field: str) -> Limit:
    unit_ms = _read_unit(field, "for", found["unit"])
    concurrent = _read_number(f"{field}.concurrent", found["concurrent"], MAX_CONCURRENT)
    lease_s, rest_ms = divmod(_integer(found["count"]) * unit_ms, SECOND_MS)
    if rest_ms:
        raise InvalidRequest(f"{field}.lease_seconds", "must be whole seconds")
    return Limit.concurrent(name, concurrent, check_integer(f"{field}.lease_seconds", lease_s, 1, MAX_LEASE_S))


def _read_unit(field: str, word: str, unit: str) -> int:
    if unit not in _SPELLINGS_MS:
        units = ", ".join(reversed(list(UNITS_MS)))
        raise InvalidRequest(field, f"must be {word} {units}, not {word} {unit}")
    return _SPELLINGS_MS[unit]


def _read_number(field: str, digits: str, high: int) -> int:
    return check_integer(field, _integer(digits), 1, high)


def _integer(digits: str) -> int:
    # Numbers of thousands of digits are refused by int(); ten more than allowed is enough to say so.
    return int(digits.replace("_", "")[:23])


def _write_time(time_ms: int) -> str:
    unit, unit_ms = next((unit, ms) for unit, ms in UNITS_MS.items() if time_ms % ms == 0)
    count = time_ms // unit_ms
    return f"{count} {unit}" if count == 1 or unit == "ms" else f"{count} {unit}s"
