"""Available: what every limit of an entity and of its ancestors has left, without spending."""

from __future__ import annotations

from collections.abc import Mapping

from .. import schema, stamps
from ..errors import Disabled, InvalidRequest, NoLimitsConfigured
from ..knowledge import Knowledge
from ..limits import Limits
from ..operations import BatchGet, Flow, Item, Key
from ..schema import Bucket
from ..states import Availability
from . import lifecycle, reading
from .grants import Charge, describe
from .reading import Resolved


def available(
    entity_id: str,
    resource: str,
    inline: Limits | None,
    parent_id: str | None,
    now_ms: int,
    knowledge: Knowledge,
) -> Flow[Availability]:
    """Read the state of every level as it is now (strongly consistent) and describe it.

    One round trip where the ancestors are known, remembered or given; one more for each that a read reveals.
    Raises :class:`NoLimitsConfigured` and :class:`Disabled`.
    """
    items: dict[Key, Item] = {}
    read: set[str] = set()
    guessed = _remembered_path(entity_id, resource, parent_id, now_ms, knowledge)
    while True:
        path = _path(entity_id, resource, items, read)
        missing = [name for name in (*guessed, *path) if name not in read]
        if not missing:
            break
        keys = [key for name in missing for key in reading.entity_keys(name, resource)]
        if not read:
            keys += reading.defaults_keys(resource)
        (outcome,) = yield (BatchGet(tuple(dict.fromkeys(keys))),)
        items.update(reading.found(outcome))
        read.update(missing)
        guessed = ()
    defaults = reading.parse_defaults_reading(items, resource)
    knowledge.learn_defaults(resource, defaults, now_ms)
    if defaults.is_disabled:
        raise Disabled(None, resource)
    charges = []
    for name in path:
        entity = reading.parse_entity_reading(items, name, resource)
        if entity.entity.is_disabled(resource):
            raise Disabled(name, resource)
        resolved = entity.resolve()
        if name == entity_id:
            resolved = resolved or reading.resolve_defaults(defaults, inline)
        else:
            reading.learn_ancestor(knowledge, name, resource, entity, now_ms)
        bucket = reading.parse_bucket_reading(items, name, resource)
        if bucket is not None:
            knowledge.learn_bucket(name, resource, bucket)
        state = _state(bucket, resolved, own=name == entity_id, now_ms=now_ms)
        if state is None and name == entity_id:
            raise NoLimitsConfigured(entity_id, resource)
        charges.append(Charge(name, {}, state, limited=state is not None))
    return describe(resource, {}, now_ms, charges)


def _state(bucket: Bucket | None, resolved: Resolved | None, *, own: bool, now_ms: int) -> Bucket | None:
    """Return the bucket as the next acquire would find it: under the limits that hold now."""
    if bucket is None:
        return None if resolved is None else lifecycle.assume(resolved, None)
    if stamps.is_pushed(bucket.stamp):
        return bucket
    if not own and not (stamps.is_stale(bucket.stamp) or stamps.is_off(bucket.stamp)):
        return None
    if resolved is None:
        return bucket if own and stamps.scope_of(bucket.stamp) == stamps.INLINE else None
    return bucket if bucket.stamp == resolved.stamp else lifecycle.rebased(bucket, resolved, None, now_ms)


def _path(entity_id: str, resource: str, items: Mapping[Key, Item], read: set[str]) -> list[str]:
    """Follow the parents, as read, from the entity up to the first that is not read yet."""
    path = [entity_id]
    while path[-1] in read:
        bucket = reading.parse_bucket_reading(items, path[-1], resource)
        parent_id = reading.parse_entity_reading(items, path[-1], resource).entity.parent_id
        if bucket is not None and stamps.is_pushed(bucket.stamp):
            parent_id = bucket.parent_id
        if parent_id is None:
            break
        if parent_id in path or len(path) == schema.MAX_LEVELS:
            raise InvalidRequest("parent_id", f"{entity_id} is its own ancestor, or has too many")
        path.append(parent_id)
    return path


def _remembered_path(
    entity_id: str, resource: str, parent_id: str | None, now_ms: int, knowledge: Knowledge
) -> tuple[str, ...]:
    """Guess the ancestors, so that one read can hold them all."""
    path = [entity_id]
    while len(path) < schema.MAX_LEVELS:
        bucket = knowledge.bucket(path[-1], resource)
        ancestor = knowledge.ancestor(path[-1], resource, now_ms)
        above = bucket.parent_id if bucket else ancestor.parent_id if ancestor else None
        if above is None and len(path) == 1:
            above = parent_id
        if above is None or above in path:
            break
        path.append(above)
    return tuple(path)
