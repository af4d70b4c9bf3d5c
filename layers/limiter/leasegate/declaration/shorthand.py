"""Limits in words: ``60 per minute``, ``100 per minute burst 200``; shorter ``60/minute``, ``100/minute:200``.

Exact both ways: what :func:`write_limit` wrote, :func:`read_limit` reads as the same limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..errors import InvalidRequest
from ..identifiers import MAX_TOKENS, check_integer, check_limit_name
from ..limits import DAY_MS, HOUR_MS, MAX_PERIOD_MS, MINUTE_MS, SECOND_MS, Limit

FORM: Final = '"60 per minute" or "60/minute", with a burst "60 per minute burst 120" or "60/minute:120"'

UNITS_MS: Final[Mapping[str, int]] = {
    "day": DAY_MS,
    "hour": HOUR_MS,
    "minute": MINUTE_MS,
    "second": SECOND_MS,
    "ms": 1,
}
"""The units of a period, the longest first."""

_SPELLINGS_MS: Final = {**UNITS_MS, **{f"{unit}s": UNITS_MS[unit] for unit in ("day", "hour", "minute", "second")}}
_DIGITS: Final = r"[0-9]+(?:_[0-9]+)*"
_LIMIT: Final = re.compile(
    rf"(?P<amount>{_DIGITS})"
    rf"(?:\s*/\s*|\s+per\s+)"
    rf"(?:(?P<count>{_DIGITS})\s*)?(?P<unit>[a-z]+)"
    rf"(?:(?:\s*:\s*|\s+burst\s+)(?P<burst>{_DIGITS}))?",
    re.ASCII,
)


def read_limit(name: str, text: str, field: str) -> Limit:
    """Read one limit; raise :class:`InvalidRequest` that names the field, or a part of it."""
    check_limit_name(field, name)
    found = _LIMIT.fullmatch(text.strip())
    if found is None:
        raise InvalidRequest(field, f"must be written as {FORM}")
    if found["unit"] not in _SPELLINGS_MS:
        raise InvalidRequest(field, f"must be per {', '.join(reversed(list(UNITS_MS)))}, not per {found['unit']}")
    amount = _read_number(f"{field}.amount", found["amount"], MAX_TOKENS)
    count = 1 if found["count"] is None else _read_number(f"{field}.period", found["count"], MAX_PERIOD_MS)
    period_ms = check_integer(f"{field}.period_ms", count * _SPELLINGS_MS[found["unit"]], 1, MAX_PERIOD_MS)
    burst = amount if found["burst"] is None else _read_number(f"{field}.burst", found["burst"], MAX_TOKENS)
    return Limit(name, burst, amount, period_ms)


def write_limit(limit: Limit) -> str:
    """Write a limit without its name: in the longest unit that its period is a multiple of."""
    unit, unit_ms = next((unit, ms) for unit, ms in UNITS_MS.items() if limit.period_ms % ms == 0)
    count = limit.period_ms // unit_ms
    period = unit if count == 1 else f"{count} {unit}" if unit == "ms" else f"{count} {unit}s"
    burst = "" if limit.capacity == limit.amount else f" burst {limit.capacity}"
    return f"{limit.amount} per {period}{burst}"


def _read_number(field: str, digits: str, high: int) -> int:
    # Numbers of thousands of digits are refused by int(); ten more than allowed is enough to say so.
    return check_integer(field, int(digits.replace("_", "")[:23]), 1, high)
