"""The counting of usage, for the function that the table's stream invokes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from .changes import BucketChange, UnreadableChange
from .flows.counting import Totals, count_usage
from .knowledge import Recent
from .records import CountReport
from .session import DEFAULT_TIMEOUT_MS, Session, wall_clock_ms
from .stream import StreamRecord, read_record
from .windows import DEFAULT_PLAN, UsagePlan

if TYPE_CHECKING:
    from .repository import Repository

TOTALS_REMEMBERED: Final = 10_000
"""Totals that a process remembers, so as not to read what it wrote; some 1 KB each."""


class Aggregator(Session):
    """Counts usage on one table, from records of its stream: each once, however often and in whatever order.

    Args:
        repository: where the table is.
        plan: the windows that usage is counted by, and how long each is kept.
        clock: returns the time since 1970 in ms.
        timeout_ms: the time for all round trips of one call.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        plan: UsagePlan = DEFAULT_PLAN,
        clock: Callable[[], int] = wall_clock_ms,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
    ) -> None:
        """Start with no totals known."""
        super().__init__(repository, clock=clock, timeout_ms=timeout_ms)
        self._plan = plan
        self._totals: Totals = Recent(TOTALS_REMEMBERED)

    def count(self, records: Sequence[StreamRecord], *, timeout_ms: int | None = None) -> CountReport:
        """Count the records of a batch; those that failed are to be sent again, in any company.

        One write for each bucket and window; one round trip for 100 of them, and one more that reads those totals
        which this process does not know. Nothing that the table answers raises.
        """
        changes: dict[int, BucketChange] = {}
        unreadable: dict[int, str] = {}
        for place, record in enumerate(records):
            try:
                change = read_record(record)
            except UnreadableChange as error:
                unreadable[place] = str(error)
            else:
                if change is not None:
                    changes[place] = change
        now_ms = self._clock()
        counted = self._drive(count_usage(list(changes.values()), self._plan, now_ms, self._totals), timeout_ms)
        places = list(changes)
        return CountReport(
            records=len(records),
            groups=counted.groups,
            writes=counted.writes,
            duplicates=counted.duplicates,
            expired=counted.expired,
            failures={places[place]: error for place, error in sorted(counted.failures.items())},
            unreadable=unreadable,
            lag_ms=_lag_ms(changes, now_ms),
        )


def _lag_ms(changes: Mapping[int, BucketChange], now_ms: int) -> int | None:
    return max(0, now_ms - min([change.at_ms for change in changes.values()])) if changes else None
