"""Listings, a page at a time: an entity's limits, its buckets, its children."""

from __future__ import annotations

from .. import schema, stamps
from ..cursors import read_cursor, write_cursor
from ..errors import EntityNotFound
from ..operations import BatchGet, Flow, Key, Position, Query
from ..records import BucketRecord, EntityLimits, Listing
from ..schema import Bucket
from ..states import observe
from . import reading
from .telling import read_entity


def list_limits(entity_id: str, cursor: str | None, page_size: int) -> Flow[Listing[EntityLimits]]:
    """Read a page of an entity's limits. One round trip; limits that were deleted make a page shorter."""
    listing = f"limits {entity_id}"
    partition, prefix = schema.entity_limits_query(entity_id)
    after = (
        None
        if cursor is None
        else Position(Key(partition, prefix + read_cursor(listing, cursor).removeprefix("#")))
    )
    (outcome,) = yield (Query(partition, prefix, limit=page_size, after=after),)
    page = reading.page(outcome)
    found = []
    for key, item in page.items:
        stored = schema.parse_stored_limits(item)
        if stored is not None and stored.limits:
            found.append(EntityLimits(schema.resource_of_limits(key), tuple(stored.limits.values())))
    following = None if page.next is None else write_cursor(listing, f"#{page.next.key.sk.removeprefix(prefix)}")
    return Listing(tuple(found), following)


def list_children(parent_id: str | None, cursor: str | None, page_size: int) -> Flow[Listing[str]]:
    """Read a page of the ids of an entity's children, or (None) of the entities at the top. One round trip."""
    listing = "entities" if parent_id is None else f"children {parent_id}"
    after = None
    if cursor is not None:
        entity_id = read_cursor(listing, cursor)
        index_sk = schema.children_index(parent_id, entity_id)[schema.GSI1SK]
        after = Position(schema.entity_key(entity_id), index_sk)
    (outcome,) = yield (Query(schema.children_partition(parent_id), limit=page_size, after=after, in_index=True),)
    page = reading.page(outcome)
    following = None if page.next is None else write_cursor(listing, schema.entity_of(page.next.key))
    return Listing(tuple(schema.entity_of(key) for key, _ in page.items), following)


def list_buckets(entity_id: str, cursor: str | None, page_size: int, now_ms: int) -> Flow[Listing[BucketRecord]]:
    """Read a page of an entity's buckets, by resource. Two round trips.

    Buckets that DynamoDB deleted, because nobody spent for long, make a page shorter. Raises
    :class:`EntityNotFound`.
    """
    listing = f"buckets {entity_id}"
    last = "" if cursor is None else read_cursor(listing, cursor)
    entity = yield from read_entity(entity_id)
    if not entity.exists:
        raise EntityNotFound(entity_id)
    resources = sorted(resource for resource in entity.buckets if resource > last)
    chunk = resources[:page_size]
    if not chunk:
        return Listing((), None)
    (outcome,) = yield (BatchGet(tuple(schema.bucket_key(entity_id, resource) for resource in chunk)),)
    items = reading.found(outcome)
    found = []
    for resource in chunk:
        bucket = reading.parse_bucket_reading(items, entity_id, resource)
        if bucket is not None:
            states = observe(bucket.limits, bucket.tats, bucket.holders, {}, now_ms)
            found.append(BucketRecord(entity_id, resource, _source(bucket), states))
    is_last = len(chunk) == len(resources)
    return Listing(tuple(found), None if is_last else write_cursor(listing, chunk[-1]))


def _source(bucket: Bucket) -> str:
    return stamps.SOURCES[stamps.scope_of(bucket.stamp)]
