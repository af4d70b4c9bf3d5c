"""Times: read as RFC 3339 or in ms since 1970, written both ways."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from ..errors import InvalidRequest
from ..windows import LAST_MS, to_ms, to_time

FORM: Final = "2026-11-21T22:00Z, 2026-11-21T23:00+01:00, 2026-11-21 (which begins in UTC), or ms since 1970"

_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_DATE: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK: Final = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?"
_OFFSET: Final = r"[+-]([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME: Final = re.compile(
    rf"{_DATE}(?P<time>[Tt ]{_CLOCK}([Zz]|{_OFFSET}))?",
    re.ASCII,
)


def read_time(field: str, text: str) -> int:
    """Return a time in ms since 1970; raise :class:`InvalidRequest` for what is none, or before 1970."""
    at_ms = int(text) if _NUMBER.fullmatch(text) else _read_text(field, text)
    if not 0 <= at_ms <= LAST_MS:
        raise InvalidRequest(field, "must be from 1970 to 9999")
    return at_ms


def write_time(at_ms: int) -> str:
    """Write a time to the second, in UTC: ``2026-11-21T22:00:00Z``."""
    return to_time(at_ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_text(field: str, text: str) -> int:
    wrong = f"must be a time such as {FORM}"
    found = _TIME.fullmatch(text)
    if found is None:
        raise InvalidRequest(field, wrong)
    try:
        time = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise InvalidRequest(field, f"{wrong}: {error}") from error
    return to_ms(time if found["time"] else time.replace(tzinfo=UTC))
