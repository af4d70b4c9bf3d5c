"""How long a month is: 730 hours, as AWS reckons."""

from __future__ import annotations

from typing import Final

HOURS: Final = 730
MINUTES: Final = HOURS * 60
SECONDS: Final = MINUTES * 60
