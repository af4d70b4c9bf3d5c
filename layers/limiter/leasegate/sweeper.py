"""The sweep of leases whose time is over, for the function that a schedule invokes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from .flows.spending import Request
from .flows.sweeping import FIRST_PAGES, most_leases, sweep_pages
from .records import SweepReport
from .schema import REQUEST_SLOTS
from .session import Session, new_id

STEP_MS: Final = 5_000
"""What a step of a sweep may take: pages are only begun where so much time is left."""

_logger = logging.getLogger("leasegate")


class Sweeper(Session):
    """Ends leases whose time is over, on one table. Safe to run beside others of its kind, and all else."""

    def sweep(self, time_left_ms: Callable[[], int]) -> SweepReport:
        """End every lease whose time is over by now, as long as there is time for another step.

        What a lease spent is given back, or stays spent, as its acquire said. A lease that could not be ended is
        logged and counted as failed; the next sweep meets it again. Raises :class:`StoreError` where the leases
        cannot be listed or read.
        """
        released = kept = failed = 0
        coming: list[int] = []
        pages = FIRST_PAGES
        while pages and time_left_ms() >= STEP_MS:
            swept = self._drive(sweep_pages(pages, self._requests(most_leases(pages)), self._knowledge))
            for name, failure in swept.failures.items():
                _logger.warning("lease %s could not be ended: %s", name, failure)
            released, kept = released + swept.released, kept + swept.kept
            failed += len(swept.failures)
            coming += [] if swept.next_at_ms is None else [swept.next_at_ms]
            pages = swept.pages
        return SweepReport(released, kept, failed, not pages, min(coming, default=None))

    def _requests(self, count: int) -> list[Request]:
        now_ms = self._clock()
        return [Request(new_id(), number % REQUEST_SLOTS, now_ms) for number in range(count)]
