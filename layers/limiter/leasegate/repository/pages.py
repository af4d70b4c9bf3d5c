"""Pages of a query or a scan: which ones a store could read at all, and what they hold in memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from ..errors import StoreError
from ..operations import Item, Key, Page, Position, Query, Scan
from ..schema import GSI1PK, GSI1SK, PK, SK


def check_query(query: Query) -> None:
    """Raise ``ValueError`` unless the query names a partition and a page of at least one item."""
    if not query.partition:
        raise ValueError("a partition key is not empty")
    _check_limit(query.limit)


def check_scan(scan: Scan) -> None:
    """Raise ``ValueError`` unless the scan names one of its segments, an attribute and at least one item."""
    if not 0 <= scan.segment < scan.segments:
        raise ValueError(f"{scan.segments} segments have no number {scan.segment}")
    if not scan.attribute or scan.attribute in (PK, SK):
        raise ValueError(f"a scan looks for an attribute, not for {scan.attribute!r}")
    _check_limit(scan.limit)


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise ValueError(f"a page has room for at least one item, not for {limit}")


def read_page(items: Mapping[Key, Item], operation: Query | Scan) -> Page:
    """Read one page of a table in memory; raises :class:`StoreError` for a position that lies outside of it.

    As in DynamoDB, a page of as many items as its limit has a ``next`` even where nothing follows. Entries of
    the index with one sort key stand in the order of their keys; in DynamoDB their order is arbitrary, but the
    same on each reading. An item whose index attributes are no strings is not in the index.
    """
    match operation:
        case Query():
            check_query(operation)
            return _index_page(items, operation) if operation.in_index else _table_page(items, operation)
        case Scan():
            check_scan(operation)
            return _scan_page(items, operation)


def _table_page(items: Mapping[Key, Item], query: Query) -> Page:
    partition, prefix, after = query.partition, query.prefix, query.after
    if after is not None and (
        after.index_sk is not None or after.key.pk != partition or not after.key.sk.startswith(prefix)
    ):
        raise StoreError("the position is not of this partition and prefix")
    positions = [Position(key) for key in items if key.pk == partition and key.sk.startswith(prefix)]
    page, next_position = _page_of(positions, after, query.limit, backwards=query.newest_first)
    return Page(tuple([(key, items[key]) for key, _ in page]), next_position, len(page))


def _index_page(items: Mapping[Key, Item], query: Query) -> Page:
    partition, prefix, after = query.partition, query.prefix, query.after
    if after is not None and (after.index_sk is None or not after.index_sk.startswith(prefix)):
        raise StoreError("the position is not of this index and prefix")
    positions = []
    for key, item in items.items():
        if item.get(GSI1PK) == partition:
            index_sk = item.get(GSI1SK)
            if isinstance(index_sk, str) and index_sk.startswith(prefix):
                positions.append(Position(key, index_sk))
    page, next_position = _page_of(positions, after, query.limit, backwards=query.newest_first)
    entries = tuple([(key, {GSI1PK: partition, GSI1SK: index_sk}) for key, index_sk in page])
    return Page(entries, next_position, len(page))


def _scan_page(items: Mapping[Key, Item], scan: Scan) -> Page:
    segment, segments, after = scan.segment, scan.segments, scan.after
    if after is not None and _segment_of(after.key, segments) != segment:
        raise StoreError("the position is not of this segment")
    positions = [Position(key) for key in items if _segment_of(key, segments) == segment]
    page, next_position = _page_of(positions, after, scan.limit)
    found = [key for key, _ in page if key.pk.startswith(scan.prefix) and scan.attribute in items[key]]
    return Page(tuple([(key, {}) for key in found]), next_position, len(page))


def _page_of(
    positions: Iterable[Position], after: Position | None, limit: int, *, backwards: bool = False
) -> tuple[list[Position], Position | None]:
    """Return the positions of one page, in order, and where to go on."""
    if after is not None:
        start = _order(after)
        positions = [each for each in positions if (_order(each) < start if backwards else _order(each) > start)]
    page = sorted(positions, key=_order, reverse=backwards)[:limit]
    return page, page[-1] if len(page) == limit else None


def _order(position: Position) -> tuple[str, Key]:
    """Return what positions are ordered by: Python orders strings by code points, as UTF-8 orders their bytes."""
    return position.index_sk or "", position.key


def _segment_of(key: Key, segments: int) -> int:
    return zlib.crc32(key.pk.encode()) % segments
