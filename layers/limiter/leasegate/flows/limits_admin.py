"""Set limits on their four levels, and tell the buckets that carry the old ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .. import schema, stamps
from ..errors import LeasegateError, StoreThrottled
from ..knowledge import Knowledge
from ..limits import Limits
from ..operations import (
    Add,
    AnyOf,
    Applied,
    BatchGet,
    Below,
    Cancelled,
    Failed,
    Flow,
    Item,
    Key,
    NotExists,
    Outcome,
    Refused,
    Set,
    Transact,
    Update,
)
from ..schema import StoredLimits
from . import lifecycle, reading

_MAX_ROUND_TRIPS: Final = 8
_MARKS_AT_ONCE: Final = 25


def set_entity_limits(
    entity_id: str, resource: str | None, limits: Limits, nonce: str, now_ms: int, knowledge: Knowledge
) -> Flow[StoredLimits]:
    """Limit an entity, for one resource or (None) for all; the very next acquire anywhere obeys.

    Three round trips: the limits, then which buckets there are, then a mark on each of those concerned (25 a
    round trip). Where marking fails the limits are set but not yet everywhere known: repeat the call.
    """
    key = schema.entity_limits_key(entity_id, resource)
    # Every entity with limits has a record: it is where buckets are listed.
    record = Update(schema.entity_key(entity_id), (Set(schema.ENTITY_LIMITS_AT, now_ms),))
    stored = yield from _store(key, limits, nonce, now_ms, alongside=record)
    (outcome,) = yield (BatchGet((schema.entity_key(entity_id),)),)
    entity = schema.parse_entity(reading.found(outcome).get(schema.entity_key(entity_id)))
    concerned = entity.buckets if resource is None else entity.buckets & {resource}
    yield from mark_buckets(entity_id, concerned, stored.version)
    knowledge.forget_ancestor(entity_id)
    return stored


def set_resource_defaults(
    resource: str, limits: Limits, nonce: str, now_ms: int, knowledge: Knowledge
) -> Flow[StoredLimits]:
    """Limit every entity that has no limits of its own for a resource, and list the resource. One round trip."""
    listed = Update(schema.registry_key(), (Add(schema.REGISTRY_RESOURCES, frozenset({resource})),))
    key = schema.resource_defaults_key(resource)
    stored = yield from _store(key, limits, nonce, now_ms, alongside=listed)
    knowledge.forget_defaults(resource)
    return stored


def set_system_defaults(limits: Limits, nonce: str, now_ms: int, knowledge: Knowledge) -> Flow[StoredLimits]:
    """Limit every entity and resource that no other level limits. One round trip."""
    stored = yield from _store(schema.system_defaults_key(), limits, nonce, now_ms)
    knowledge.forget_defaults(None)
    return stored


def mark_buckets(entity_id: str, resources: Iterable[str], version: int) -> Flow[None]:
    """Mark an entity's buckets as stale: no acquire writes to them again before it has read the limits."""
    text = stamps.stale_mark(version)
    pending = sorted(resources)
    while pending:
        chunk, pending = pending[:_MARKS_AT_ONCE], pending[_MARKS_AT_ONCE:]
        outcomes = yield tuple(lifecycle.mark(schema.bucket_key(entity_id, name), text) for name in chunk)
        for outcome in outcomes:
            if isinstance(outcome, Failed):  # a refusal is a bucket that DynamoDB deleted: it needs no mark
                outcome.error.add_note("the change is stored, but not every bucket knows of it: repeat it")
                raise outcome.error


def _store(
    key: Key, limits: Limits, nonce: str, now_ms: int, alongside: Update | None = None
) -> Flow[StoredLimits]:
    """Write limits under a version that only grows: the clock's ms, or one more than is there."""
    version = now_ms
    for _ in range(_MAX_ROUND_TRIPS):
        update = Update(
            key,
            (
                Set(schema.STORED_LIMITS, schema.render_limits(limits)),
                Set(schema.STORED_VERSION, version),
                Set(schema.STORED_REQUEST, nonce),
            ),
            AnyOf((NotExists(schema.STORED_VERSION), Below(schema.STORED_VERSION, version))),
        )
        write = update if alongside is None else Transact((update, alongside), f"{nonce}.{version}")
        (outcome,) = yield (write,)
        refused = _refused_item(outcome)
        if refused is None or refused.get(schema.STORED_REQUEST) == nonce:
            return StoredLimits(limits, version)
        stored = schema.parse_stored_limits(refused)
        assert stored is not None
        version = stored.version + 1
    raise StoreThrottled(f"limits of {key.pk} are being changed by too many at once")


def _refused_item(outcome: Outcome) -> Item | None:
    """Return the item that refused, None where the write was applied; raise where there is no answer."""
    match outcome:
        case Applied():
            return None
        case Refused(item) | Cancelled((Refused(item), *_)) if item is not None:
            return item
        case Failed(error):
            raise error
        case _:
            raise LeasegateError(f"limits cannot be stored: {outcome}")
