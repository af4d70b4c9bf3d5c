"""Reading usage: what an entity spent of a resource over time, and who spent the most of it in one window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from .. import schema
from ..cursors import read_cursor, write_cursor
from ..operations import BatchGet, Flow, Item, Key, Position, Query
from ..records import Listing, UsageRecord
from ..windows import Window, count_windows, window_end_ms, window_start_ms
from . import reading

type Metric = Literal["tokens", "refused", "grants"]

METRICS: Final[tuple[Metric, ...]] = ("tokens", "refused", "grants")

_KEYS_AT_ONCE: Final = 250
"""Keys that are read of each partition of the index in a round trip."""


def read_usage(
    entity_id: str,
    resource: str,
    window: Window,
    start_ms: int,
    end_ms: int,
    cursor: str | None,
    page_size: int,
) -> Flow[Listing[UsageRecord]]:
    """Read the windows that begin in a time, in their order, a page at a time. One round trip.

    ``start_ms`` is rounded down to the window in which it lies; windows without usage are left out.
    """
    listing = f"usage {entity_id} {resource} {window}"
    partition, prefix = schema.usage_partition(entity_id, resource), schema.usage_prefix(window)
    first_ms = window_start_ms(window, start_ms)
    if cursor is not None:
        last_read = Key(partition, prefix + read_cursor(listing, cursor))
        first_ms = max(first_ms, window_end_ms(window, _start_of(last_read)))
    if first_ms >= end_ms:
        return Listing((), None)
    # No window begins twice, so a page of so many items cannot reach past the end.
    wanted = min(page_size, count_windows(window, first_ms, end_ms))
    after = (
        schema.usage_key(entity_id, resource, window, window_start_ms(window, first_ms - 1)) if first_ms else None
    )
    (outcome,) = yield (Query(partition, prefix, limit=wanted, after=None if after is None else Position(after)),)
    page = reading.page(outcome)
    records = [_record(key, item) for key, item in page.items if _start_of(key) < end_ms]
    if page.next is None or len(records) < len(page.items) or (records and _is_last(records[-1], window, end_ms)):
        return Listing(tuple(records), None)
    return Listing(tuple(records), write_cursor(listing, page.next.key.sk.removeprefix(prefix)))


@dataclass(frozen=True, slots=True)
class Measure:
    """What usage is ranked by: the tokens or refusals of one limit, or (None) of all together, or the grants."""

    metric: Metric
    limit: str | None = None

    def of(self, record: UsageRecord) -> int:
        """Return what a record is ranked by: never more than all that was counted, which the index sorts by."""
        if self.metric == "grants":
            return record.grants
        limits = record.limits
        if self.limit is not None:
            limits = {name: limits[name] for name in (self.limit,) if name in limits}
        if self.metric == "refused":
            return sum([limit.refused for limit in limits.values()])
        return sum([max(0, limit.tokens) for limit in limits.values()])


@dataclass(slots=True)
class _Ranking:
    """The entities that were read so far, to be ranked from a place on."""

    measure: Measure
    below: tuple[int, str] | None
    records: dict[str, UsageRecord] = field(default_factory=dict)

    def ranked(self) -> list[UsageRecord]:
        """Return the records below the place, most first; equals are in the order of their ids."""
        places = sorted((-self.measure.of(record), entity_id) for entity_id, record in self.records.items())
        return [self.records[place[1]] for place in places if self.below is None or place > self.below]


def rank_usage(
    resource: str, window: Window, at_ms: int, measure: Measure, cursor: str | None, page_size: int
) -> Flow[Listing[UsageRecord]]:
    """Read who spent the most of a resource in the window in which ``at_ms`` lies, most first, a page at a time.

    The index lists usage by the bits of all that was counted, which is never less than one total of it. So it is
    read from the greatest down, until what follows cannot belong to the page: two round trips where the page is
    among the first 250 of each partition, and two more for each 250 that follow.
    """
    start_ms = window_start_ms(window, at_ms)
    listing = f"ranking {resource} {window} {start_ms} {measure.metric} {measure.limit or ''}"
    below = None if cursor is None else _read_place(read_cursor(listing, cursor))
    partitions = {
        shard: schema.usage_list_partition(resource, window, start_ms, shard)
        for shard in range(schema.USAGE_SHARDS)
    }
    open_after: dict[int, Position | None] = dict.fromkeys(partitions)
    ranking = _Ranking(measure, below)
    while open_after:
        outcomes = yield tuple(
            [
                Query(partitions[shard], limit=_KEYS_AT_ONCE, after=after, in_index=True, newest_first=True)
                for shard, after in open_after.items()
            ]
        )
        pages = dict(zip(open_after, [reading.page(outcome) for outcome in outcomes], strict=True))
        keys = [key for page in pages.values() for key, _ in page.items]
        if keys:
            (outcome,) = yield (BatchGet(tuple(keys)),)
            for key, item in reading.found(outcome).items():
                record = _record(key, item)
                ranking.records[record.entity_id] = record
        open_after = {shard: page.next for shard, page in pages.items() if page.next is not None}
        ranked = ranking.ranked()
        if len(ranked) > page_size and measure.of(ranked[page_size - 1]) > _bound(open_after):
            break
    ranked = ranking.ranked()
    if len(ranked) <= page_size:
        return Listing(tuple(ranked), None)
    last = ranked[page_size - 1]
    return Listing(tuple(ranked[:page_size]), write_cursor(listing, f"{measure.of(last)} {last.entity_id}"))


def _bound(open_after: Mapping[int, Position | None]) -> int:
    """Return a number that no total of what was not read yet exceeds."""
    magnitudes = [
        schema.magnitude_of(after.index_sk)
        for after in open_after.values()
        if after is not None and after.index_sk is not None
    ]
    return (1 << max(magnitudes)) - 1 if magnitudes else 0


def _read_place(place: str) -> tuple[int, str]:
    value, entity_id = place.split(" ")
    return -int(value), entity_id


def _record(key: Key, item: Item) -> UsageRecord:
    entity_id, resource, window, start_ms = schema.usage_of(key)
    return UsageRecord.of(entity_id, resource, window, start_ms, schema.parse_usage(item))


def _start_of(key: Key) -> int:
    return schema.usage_of(key)[3]


def _is_last(record: UsageRecord, window: Window, end_ms: int) -> bool:
    return window_end_ms(window, record.start_ms) >= end_ms
