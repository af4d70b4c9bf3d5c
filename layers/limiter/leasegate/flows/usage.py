"""Reading usage: what an entity spent of a resource over time, and who spent the most of it in one window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, cast

from .. import schema
from ..cursors import read_place, write_cursor
from ..operations import BatchGet, Flow, Item, Key, Operation, Page, Position, Query
from ..records import Listing, UsageRecord
from ..windows import Window, count_windows, read_start, window_end_ms, window_start_ms, write_start
from . import reading

type Metric = Literal["tokens", "refused", "grants"]

METRICS: Final[tuple[Metric, ...]] = ("tokens", "refused", "grants")

_FIRST_ENTITIES: Final = 100
_NEXT_ENTITIES: Final = 2_000
"""Entities whose totals are read in a round trip of a ranking: at first, unless its page is longer, and then."""
_MOST_KEYS: Final = 1_000
"""Keys that are read of each partition of the index in a round trip; at some 250 bytes, a page of DynamoDB's."""


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
        first_ms = max(first_ms, window_end_ms(window, read_place(listing, cursor, read_start)))
    if first_ms >= end_ms:
        return Listing((), None)
    # One more than the page has room for tells whether another one follows; but none beyond the end.
    wanted = min(page_size + 1, count_windows(window, first_ms, end_ms))
    after = None
    if first_ms:
        after = Position(schema.usage_key(entity_id, resource, window, window_start_ms(window, first_ms - 1)))
    (outcome,) = yield (Query(partition, prefix, limit=wanted, after=after),)
    page = reading.page(outcome)
    records = [record for record in [_record(key, item) for key, item in page.items] if record.start_ms < end_ms]
    shown = records[:page_size]
    was_cut_short = page.next is not None and len(records) == len(page.items) < wanted
    if len(shown) < len(records) or (shown and was_cut_short):
        return Listing(tuple(shown), write_cursor(listing, write_start(shown[-1].start_ms)))
    return Listing(tuple(shown), None)


@dataclass(frozen=True, slots=True)
class Measure:
    """What usage is ranked by: the tokens or refusals of one limit, or (None) of all together, or the grants."""

    metric: Metric
    limit_name: str | None = None

    def of(self, record: UsageRecord) -> int:
        """Return what a record is ranked by: never more than all that was counted, which the index sorts by."""
        if self.metric == "grants":
            return record.grants
        limits = [limit for name, limit in record.limits.items() if self.limit_name in (None, name)]
        if self.metric == "refused":
            return sum([limit.refused for limit in limits])
        return sum([limit.tokens for limit in limits])


type _Place = tuple[int, str]
"""Where an entity stands in a ranking: its measure, negated, and its id."""


@dataclass(slots=True)
class _Ranking:
    """What is known so far of the entities that are to be ranked: of some all, of some only their magnitude.

    Attributes:
        measure: what they are ranked by.
        below: the place after which the page begins; None for the first page.
        page_size: the most entities of the page.
        unread: the partitions of the index that have more, with the position after what was read of each.
        magnitudes: by the key of their totals, the magnitudes of entities whose totals were not read yet.
        listed: the keys that were met in the index; one may move there meanwhile, and be met again.
        records: what was read, by place: that of the page and of those that follow.
    """

    measure: Measure
    below: _Place | None
    page_size: int
    unread: dict[str, Position | None]
    magnitudes: dict[Key, int] = field(default_factory=dict)
    listed: set[Key] = field(default_factory=set)
    records: dict[_Place, UsageRecord] = field(default_factory=dict)

    def wanted(self, most: int) -> tuple[list[str], list[Key]]:
        """Return what the page still hangs on: partitions to read more of, and at most so many keys of totals.

        Until the page is full, and one more is known that follows, that is whatever has the greatest magnitude.
        From then on it is what may have as much as the last entity of the page: of equals, it may be the first.
        """
        keys = sorted(self.magnitudes, key=lambda key: (-self.magnitudes[key], key))[:most]
        if len(self.records) > self.page_size:
            negated, _ = sorted(self.records)[self.page_size - 1]
            lowest = max(0, -negated).bit_length()
            keys = [key for key in keys if self.magnitudes[key] >= lowest]
        else:
            lowest = self.magnitudes[keys[-1]] if len(keys) == most else 0
        partitions = [
            partition
            for partition, after in self.unread.items()
            if after is None or after.index_sk is None or schema.magnitude_of(after.index_sk) >= lowest
        ]
        return partitions, keys

    def learn_index(self, partition: str, page: Page) -> None:
        """Take a page of the index in."""
        for key, item in page.items:
            if key not in self.listed:
                self.listed.add(key)
                self.magnitudes[key] = schema.magnitude_of(cast("str", item[schema.GSI1SK]))
        if page.next is None:
            del self.unread[partition]
        else:
            self.unread[partition] = page.next

    def learn_totals(self, key: Key, item: Item | None) -> None:
        """Take the totals of an entity in; None where they expired meanwhile."""
        del self.magnitudes[key]
        if item is not None:
            record = _record(key, item)
            place = (-self.measure.of(record), record.entity_id)
            if self.below is None or place > self.below:
                self.records[place] = record


def rank_usage(
    resource: str, window: Window, at_ms: int, measure: Measure, cursor: str | None, page_size: int
) -> Flow[Listing[UsageRecord]]:
    """Read who spent the most of a resource in the window in which ``at_ms`` lies, most first, a page at a time.

    Equals are in the order of their ids. The index lists entities by the bits of all that was counted of them
    (their magnitude), which is never less than one total. So totals are read from the greatest magnitude down,
    until what follows cannot belong to the page: two round trips where the first 100 decide, or as many as the
    page has and one more; else another for each 2,000 that are read. Those before the page are read again.
    """
    start_ms = window_start_ms(window, at_ms)
    listing = f"ranking {resource} {window} {start_ms} {measure.metric} {measure.limit_name or ''}"
    below = None if cursor is None else read_place(listing, cursor, _parse_place)
    shards = range(schema.USAGE_SHARDS)
    partitions = [schema.usage_list_partition(resource, window, start_ms, shard) for shard in shards]
    ranking = _Ranking(measure, below, page_size, dict.fromkeys(partitions))
    most_entities = most_keys = max(_FIRST_ENTITIES, page_size + 1)
    while True:
        partitions, keys = ranking.wanted(most_entities)
        if not partitions and not keys:
            break
        operations: list[Operation] = [
            Query(partition, limit=most_keys, after=ranking.unread[partition], in_index=True, newest_first=True)
            for partition in partitions
        ]
        if keys:
            operations.append(BatchGet(tuple(keys), is_consistent=False))
            most_entities, most_keys = _NEXT_ENTITIES, _MOST_KEYS
        outcomes = yield tuple(operations)
        if keys:
            items = reading.found(outcomes[-1])
            for key in keys:
                ranking.learn_totals(key, items.get(key))
        for partition, outcome in zip(partitions, outcomes, strict=False):
            ranking.learn_index(partition, reading.page(outcome))
    places = sorted(ranking.records)
    shown = tuple([ranking.records[place] for place in places[:page_size]])
    if len(places) <= page_size:
        return Listing(shown, None)
    negated, entity_id = places[page_size - 1]
    return Listing(shown, write_cursor(listing, f"{-negated} {entity_id}"))


def _parse_place(text: str) -> _Place:
    value, entity_id = text.split(" ")
    return -int(value), entity_id


def _record(key: Key, item: Item) -> UsageRecord:
    entity_id, resource, window, start_ms = schema.usage_of(key)
    return UsageRecord.of(entity_id, resource, window, start_ms, schema.parse_usage(item))
