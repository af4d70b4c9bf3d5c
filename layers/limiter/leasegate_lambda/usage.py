"""How usage is counted, as the stack's parameters say."""

from __future__ import annotations

import os
from typing import Final

from leasegate import InvalidRequest
from leasegate.windows import DEFAULT_RETENTION_DAYS, DEFAULT_WINDOWS, UsagePlan, Window, check_window

WINDOWS_VARIABLE: Final = "USAGE_WINDOWS"
"""The windows that usage is counted by: ``hour,day``."""
RETENTION_VARIABLE: Final = "USAGE_RETENTION_DAYS"
"""How many days the totals of a window are kept: ``hour=35,day=400``; of windows that are not counted too."""


def usage_plan() -> UsagePlan:
    """Return the plan of the environment; what it leaves out is as by default. Raises ``ValueError``."""
    days = {**DEFAULT_RETENTION_DAYS, **_retention_days()}
    return UsagePlan({window: days[window] for window in _windows()})


def _windows() -> list[Window]:
    text = os.environ.get(WINDOWS_VARIABLE) or ",".join(DEFAULT_WINDOWS)
    try:
        return [check_window(name.strip()) for name in text.split(",")]
    except InvalidRequest as error:
        raise ValueError(f"{WINDOWS_VARIABLE} is {text!r}: {error}") from error


def _retention_days() -> dict[Window, int]:
    text = os.environ.get(RETENTION_VARIABLE)
    if not text:
        return {}
    try:
        settings = [setting.partition("=") for setting in text.split(",")]
        days = {check_window(name.strip()): int(value) for name, _, value in settings}
        UsagePlan(days)  # the days must be in range, of windows that are not counted too
    except (InvalidRequest, ValueError) as error:
        raise ValueError(f"{RETENTION_VARIABLE} is {text!r}: {error}") from error
    return days
