"""Usage as tables with bars, for people, and as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich.bar import Bar
from rich.table import Table

from ..flows.usage import Measure, Metric
from ..http.times import write_time
from ..records import LimitUsage, UsageRecord
from ..windows import Window, to_time
from .output import table

_BAR_WIDTH: Final = 20
_FORMATS: Final[dict[Window, str]] = {
    "minute": "%Y-%m-%d %H:%MZ",
    "hour": "%Y-%m-%d %H:%MZ",
    "day": "%Y-%m-%d",
    "month": "%Y-%m",
}
_NOTHING: Final = LimitUsage(0, 0, 0)
_WHOLE: Final = ("entity_id", "resource", "window", "start", "end", "grants")
_OF_A_LIMIT: Final = ("limit", "tokens", "refused", "peak")


def windows_table(records: Sequence[UsageRecord]) -> Table:
    """Write a limit of a window a row; the bars compare tokens of one limit."""
    return _table("start", records, _start, "tokens", None)


def ranking_table(records: Sequence[UsageRecord], by: Metric, limit_name: str | None) -> Table:
    """Write a limit of an entity a row, or one limit alone; the bars compare what they are ranked by."""
    return _table("entity", records, lambda record: record.entity_id, by, limit_name)


def usage_csv(records: Iterable[UsageRecord], limit_name: str | None = None) -> str:
    """Write a limit of a window and an entity a row, below the names of the columns; or one limit alone."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_WHOLE + _OF_A_LIMIT)
    for record in records:
        whole = [record.entity_id, record.resource, record.window]
        whole += [write_time(record.start_ms), write_time(record.end_ms), str(record.grants)]
        for name, limit in _limits(record, limit_name):
            rows.writerow([*whole, name, limit.tokens, limit.refused, limit.peak])
    return text.getvalue()


def _table(
    first: str,
    records: Sequence[UsageRecord],
    write: Callable[[UsageRecord], str],
    by: Metric,
    limit_name: str | None,
) -> Table:
    made = table(first, "grants#", "limit", "tokens#", "refused#", "peak#", by)
    greatest: dict[str, int] = {}
    for record in records:
        for name, _ in _limits(record, limit_name):
            greatest[name] = max(greatest.get(name, 0), Measure(by, name).of(record))
    for record in records:
        head = (write(record), str(record.grants))
        for name, limit in _limits(record, limit_name):
            bar = Bar(greatest[name], 0, Measure(by, name).of(record), width=_BAR_WIDTH)
            made.add_row(*head, name, str(limit.tokens), str(limit.refused), str(limit.peak), bar)
            head = ("", "")
    return made


def _limits(record: UsageRecord, limit_name: str | None) -> tuple[tuple[str, LimitUsage], ...]:
    """Return what is shown of a record, one row at least."""
    if limit_name is not None:
        return ((limit_name, record.limits.get(limit_name, _NOTHING)),)
    return tuple(record.limits.items()) or (("", _NOTHING),)


def _start(record: UsageRecord) -> str:
    return to_time(record.start_ms).strftime(_FORMATS[record.window])
