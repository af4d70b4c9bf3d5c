"""Telling buckets that something of their entity changed: its limits, its parent, its state.

A change is written first, together with a note on the entity's record that it is *pending*. Then the record is
read, consistently, for the buckets that there are, and each one concerned is marked: no acquire writes to it
again before it has read what holds now. Only then the note is taken off. So whoever comes after a crash sees
what was left to do, and any later change of the entity does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .. import schema, stamps
from ..errors import StoreError
from ..operations import Applied, Discard, Failed, Flow, ItemExists, Update
from ..schema import Entity
from . import lifecycle
from .changing import read_item

_MARKS_AT_ONCE: Final = 100


def pending_note(change_id: str, resource: str | None) -> frozenset[str]:
    """Return the note of a change that concerns the buckets of one resource, or (None) of all."""
    return frozenset({f"{change_id}:{resource or ''}"})


def tell_buckets(entity_id: str, now_ms: int) -> Flow[None]:
    """Mark all buckets that a pending change concerns, and note that it is done.

    Three round trips where there are up to 100 buckets; two where there are none. Raises :class:`StoreError`.
    """
    key = schema.entity_key(entity_id)
    try:
        entity = yield from read_entity(entity_id)
        if not entity.pending:
            return
        marked = yield from _mark(entity_id, _concerned(entity), now_ms)
        if any(entity.is_disabled(resource) for resource in marked):
            yield from _disable(entity_id, marked, now_ms)
        (outcome,) = yield (Update(key, (Discard(schema.ENTITY_PENDING, entity.pending),), ItemExists()),)
        if isinstance(outcome, Failed):
            raise outcome.error
    except StoreError as error:
        error.add_note("the change is stored, but not every bucket knows of it: repeat it")
        raise


def read_entity(entity_id: str) -> Flow[Entity]:
    """Read an entity's record. One round trip."""
    return schema.parse_entity((yield from read_item(schema.entity_key(entity_id))))


def _concerned(entity: Entity) -> frozenset[str]:
    resources = {note.partition(":")[2] for note in entity.pending}
    return entity.buckets if "" in resources else entity.buckets & resources


def _mark(entity_id: str, resources: Iterable[str], now_ms: int) -> Flow[dict[str, int]]:
    """Mark buckets as stale; return the version that each mark was written under."""
    text = stamps.stale_mark(now_ms)
    versions: dict[str, int] = {}
    pending = sorted(resources)
    while pending:
        chunk, pending = pending[:_MARKS_AT_ONCE], pending[_MARKS_AT_ONCE:]
        outcomes = yield tuple(lifecycle.mark(schema.bucket_key(entity_id, name), text) for name in chunk)
        for name, outcome in zip(chunk, outcomes, strict=True):
            match outcome:
                case Failed(error):
                    raise error
                case Applied(item) if item is not None:
                    versions[name] = schema.parse_bucket(item).version
                case _:
                    pass  # DynamoDB deleted the bucket: it needs no mark
    return versions


def _disable(entity_id: str, marked: dict[str, int], now_ms: int) -> Flow[None]:
    """Turn the marks of disabled buckets into refusals, so that acquires need not read to find out.

    The record is read again: what decides a stamp must be read after the mark that it replaces was seen.
    """
    entity = yield from read_entity(entity_id)
    mark = stamps.stale_mark(now_ms)
    updates = [
        lifecycle.disable(schema.bucket_key(entity_id, resource), mark, version, now_ms)
        for resource, version in marked.items()
        if entity.is_disabled(resource)
    ]
    for start in range(0, len(updates), _MARKS_AT_ONCE):
        outcomes = yield tuple(updates[start : start + _MARKS_AT_ONCE])
        for outcome in outcomes:
            if isinstance(outcome, Failed):
                raise outcome.error
