"""Windows of time that usage is counted by, in UTC: where they begin, and for how long totals are kept."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from .errors import InvalidRequest
from .identifiers import check_integer
from .limits import DAY_MS, HOUR_MS, MINUTE_MS

type Window = Literal["minute", "hour", "day", "month"]

WINDOWS: Final[tuple[Window, ...]] = ("minute", "hour", "day", "month")
DEFAULT_WINDOWS: Final[tuple[Window, ...]] = ("hour", "day")
DEFAULT_RETENTION_DAYS: Final[Mapping[Window, int]] = {"minute": 3, "hour": 35, "day": 400, "month": 1_830}
"""How long totals are kept after their window ended."""

MAX_RETENTION_DAYS: Final = 36_500
LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: later times have no four-digit year, by which usage sorts."""

_LENGTHS_MS: Final[Mapping[Window, int]] = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FORMAT: Final = "%Y-%m-%dT%H:%MZ"


def check_window(value: object) -> Window:
    """Return ``value`` if it names a window; raise :class:`InvalidRequest` if not."""
    if value not in WINDOWS:
        raise InvalidRequest("window", f"must be one of {', '.join(WINDOWS)}")
    return value


def window_start_ms(window: Window, at_ms: int) -> int:
    """Return the start of the window in which a time lies."""
    if window == "month":
        return to_ms(to_time(at_ms).replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    return at_ms - at_ms % _LENGTHS_MS[window]


def window_end_ms(window: Window, start_ms: int) -> int:
    """Return the end of the window that begins at ``start_ms``: the start of the next one."""
    if window == "month":
        first = to_time(start_ms)
        return start_ms + monthrange(first.year, first.month)[1] * DAY_MS
    return start_ms + _LENGTHS_MS[window]


def count_windows(window: Window, start_ms: int, end_ms: int) -> int:
    """Count the windows that begin from ``start_ms`` on, itself the start of one, until before ``end_ms``."""
    if window == "month":
        first, last = to_time(start_ms), to_time(end_ms - 1)
        return 12 * (last.year - first.year) + last.month - first.month + 1
    return -(-(end_ms - start_ms) // _LENGTHS_MS[window])


def to_time(at_ms: int) -> datetime:
    """Return a time in ms since 1970 as a ``datetime`` in UTC."""
    return _EPOCH + timedelta(milliseconds=at_ms)


def to_ms(time: datetime) -> int:
    """Return a ``datetime`` that has a time zone in ms since 1970."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def write_start(start_ms: int) -> str:
    """Write the start of a window, such that texts sort by time: ``2026-11-21T22:00Z``."""
    return to_time(start_ms).strftime(_FORMAT)


def read_start(text: str) -> int:
    """Read what :func:`write_start` wrote, in ms; raise ``ValueError`` for anything else."""
    return to_ms(datetime.strptime(text, _FORMAT).replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class UsagePlan:
    """Which windows usage is counted by, and for how many days after its end the totals of each are kept.

    Raises :class:`InvalidRequest` for no windows, or days out of range.
    """

    retention_days: Mapping[Window, int]

    def __post_init__(self) -> None:
        if not self.retention_days:
            raise InvalidRequest("windows", f"must name at least one of {', '.join(WINDOWS)}")
        for window, days in self.retention_days.items():
            check_window(window)
            check_integer(f"retention_days.{window}", days, 1, MAX_RETENTION_DAYS)

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows, from the shortest."""
        return tuple([window for window in WINDOWS if window in self.retention_days])

    def expires_at_ms(self, window: Window, start_ms: int) -> int:
        """Return when the totals of a window may be forgotten."""
        return window_end_ms(window, start_ms) + self.retention_days[window] * DAY_MS


DEFAULT_PLAN: Final = UsagePlan({window: DEFAULT_RETENTION_DAYS[window] for window in DEFAULT_WINDOWS})
