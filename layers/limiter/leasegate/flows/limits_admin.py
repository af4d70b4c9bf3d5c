"""Set and delete limits on their four levels, and read them.

Each change is one transaction: the limits, the audit record, and what must change with them. It is tried first
with what this process remembers of the limits, and again with what the refusal brought back: so the audit
record's *before* is exact without a read. Versions only grow; deleted limits leave theirs behind for a week.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .. import schema
from ..errors import EntityIsBeingDeleted, LeasegateError, StoreThrottled
from ..knowledge import Knowledge
from ..limits import Limit, Limits
from ..operations import (
    Action,
    Add,
    AllOf,
    Applied,
    Cancelled,
    Condition,
    Discard,
    Equals,
    Failed,
    Flow,
    Initialize,
    Item,
    ItemAbsent,
    Key,
    NotExists,
    Put,
    Refused,
    Transact,
    Update,
    Value,
)
from . import auditing
from .auditing import Signature
from .changing import MAX_ATTEMPTS, read_item
from .telling import pending_note, tell_buckets

TOMBSTONE_KEPT_S: Final = 7 * 86_400
"""How long deleted limits keep their version, in seconds: longer than any two clocks are apart."""

_NO_LIMITS: Final[Limits] = {}


@dataclass(frozen=True, slots=True)
class Target:
    """Limits to change: their key, what the audit says of them, and what changes in the same transaction."""

    key: Key
    scope: str
    action: str
    resource: str | None = None
    alongside: tuple[Action, ...] = field(default=())


def get_limits(key: Key) -> Flow[tuple[Limit, ...]]:
    """Read the limits of a level; empty where it has none. One round trip."""
    stored = schema.parse_stored_limits((yield from read_item(key)))
    return () if stored is None else tuple(stored.limits.values())


def set_entity_limits(
    entity_id: str, resource: str | None, limits: Limits, signature: Signature, knowledge: Knowledge
) -> Flow[None]:
    """Limit an entity, for one resource or (None) for all; the very next acquire anywhere obeys.

    Four round trips for up to 100 buckets: the limits, which buckets there are, a mark on each of those
    concerned, and the note that it is done. Raises :class:`EntityIsBeingDeleted`, and :class:`StoreError`
    after which the change may be stored without every bucket knowing of it: repeat the call.
    """
    target = _entity_target(entity_id, resource, "set_limits", signature)
    yield from _of_entity(entity_id, _change(target, limits, signature, knowledge), signature, knowledge)


def delete_entity_limits(
    entity_id: str, resource: str | None, signature: Signature, knowledge: Knowledge
) -> Flow[bool]:
    """Delete an entity's limits; say whether there were any. One round trip more than setting them, for a read."""
    target = _entity_target(entity_id, resource, "delete_limits", signature)
    return (yield from _of_entity(entity_id, _delete(target, signature, knowledge), signature, knowledge))


def set_resource_defaults(resource: str, limits: Limits, signature: Signature, knowledge: Knowledge) -> Flow[None]:
    """Limit every entity that has no limits of its own for a resource, and list the resource.

    One round trip, one transaction; two where the limits are not those that this process saw last.
    """
    listed = Update(schema.registry_key(), (Add(schema.REGISTRY_RESOURCES, frozenset({resource})),))
    yield from _change(_resource_target(resource, "set_limits", listed), limits, signature, knowledge)
    knowledge.forget_defaults(resource)


def delete_resource_defaults(resource: str, signature: Signature, knowledge: Knowledge) -> Flow[bool]:
    """Delete a resource's defaults and take it off the list; say whether there were any."""
    unlisted = Update(schema.registry_key(), (Discard(schema.REGISTRY_RESOURCES, frozenset({resource})),))
    existed = yield from _delete(_resource_target(resource, "delete_limits", unlisted), signature, knowledge)
    knowledge.forget_defaults(resource)
    return existed


def set_system_defaults(limits: Limits, signature: Signature, knowledge: Knowledge) -> Flow[None]:
    """Limit every entity and resource that no other level limits. Round trips as for a resource's."""
    yield from _change(_system_target("set_limits"), limits, signature, knowledge)
    knowledge.forget_defaults(None)


def delete_system_defaults(signature: Signature, knowledge: Knowledge) -> Flow[bool]:
    """Delete the system's defaults; say whether there were any."""
    existed = yield from _delete(_system_target("delete_limits"), signature, knowledge)
    knowledge.forget_defaults(None)
    return existed


# --- pieces ----------------------------------------------------------------------------------------


class _RefusedAlongside(Exception):
    """What was to change with the limits refused to."""


def _of_entity[T](entity_id: str, change: Flow[T], signature: Signature, knowledge: Knowledge) -> Flow[T]:
    """Change limits of an entity, and tell its buckets."""
    try:
        result = yield from change
    except _RefusedAlongside:
        raise EntityIsBeingDeleted(entity_id) from None
    knowledge.forget_ancestor(entity_id)
    yield from tell_buckets(entity_id, signature.at_ms)
    return result


def _entity_target(entity_id: str, resource: str | None, action: str, signature: Signature) -> Target:
    index = [Initialize(*entry) for entry in schema.children_index(None, entity_id).items()]
    record = Update(
        schema.entity_key(entity_id),
        (Add(schema.ENTITY_PENDING, pending_note(signature.id, resource)), *index),
        NotExists(schema.ENTITY_DELETING_AT),
    )
    key = schema.entity_limits_key(entity_id, resource)
    return Target(key, auditing.entity_scope(entity_id), action, resource, (record,))


def _resource_target(resource: str, action: str, registry: Update) -> Target:
    key = schema.resource_defaults_key(resource)
    return Target(key, auditing.resource_scope(resource), action, resource, (registry,))


def _system_target(action: str) -> Target:
    return Target(schema.system_defaults_key(), auditing.SYSTEM_SCOPE, action)


def _change(target: Target, limits: Limits, signature: Signature, knowledge: Knowledge) -> Flow[None]:
    """Write limits over those remembered, or over those that turn out to be there."""
    seen = knowledge.item(target.key)
    for attempt in range(MAX_ATTEMPTS):
        refused = yield from _write(target, limits, seen, f"{signature.id}.{attempt}", signature, knowledge)
        if refused is None:
            return
        seen = refused.item
    raise _too_many(target)


def _delete(target: Target, signature: Signature, knowledge: Knowledge) -> Flow[bool]:
    """Delete limits if there are any; what is remembered can say yes, but only the table can say no."""
    seen = knowledge.item(target.key)
    for attempt in range(MAX_ATTEMPTS):
        if not _has_limits(seen):
            seen = yield from read_item(target.key)
            if not _has_limits(seen):
                knowledge.learn_item(target.key, seen)
                return False
        refused = yield from _write(target, _NO_LIMITS, seen, f"{signature.id}.{attempt}", signature, knowledge)
        if refused is None:
            return True
        seen = refused.item
    raise _too_many(target)


def _write(
    target: Target, limits: Limits, seen: Item | None, token: str, signature: Signature, knowledge: Knowledge
) -> Flow[Refused | None]:
    """Write limits over the very item that was seen; return the refusal where it is another."""
    stored = schema.parse_stored_limits(seen)
    before = _NO_LIMITS if stored is None else stored.limits
    after = written_item(limits, seen, signature)
    record = auditing.audit(
        target.scope,
        target.action,
        signature,
        resource=target.resource,
        before=auditing.describe_limits(before),
        after=auditing.describe_limits(limits),
    )
    put = Put(target.key, after, is_as_seen(seen))
    (outcome,) = yield (Transact((put, *target.alongside, record), token),)
    match outcome:
        case Applied():
            knowledge.learn_item(target.key, after)
            return None
        case Cancelled((Refused() as refused, *_)):
            return refused
        case Cancelled():
            raise _RefusedAlongside
        case Failed(error):
            raise error
        case _:
            raise LeasegateError(f"limits cannot be stored: {outcome}")


def written_item(limits: Limits, seen: Item | None, signature: Signature) -> Item:
    """Return the item that holds limits in place of what was seen; without limits it keeps its version a while."""
    stored = schema.parse_stored_limits(seen)
    version = signature.at_ms if stored is None else max(signature.at_ms, stored.version + 1)
    item: dict[str, Value] = {schema.STORED_VERSION: version}
    if limits:
        item[schema.STORED_LIMITS] = schema.render_limits(limits)
    if seen is not None and schema.DISABLED_AT in seen:
        item[schema.DISABLED_AT] = seen[schema.DISABLED_AT]
    elif not limits:
        item[schema.EXPIRES_AT] = version // 1000 + TOMBSTONE_KEPT_S
    return item


def is_as_seen(seen: Item | None) -> Condition:
    """Hold a limits item to what was seen of it."""
    if seen is None:
        return ItemAbsent()
    return AllOf(
        tuple(
            Equals(name, seen[name]) if name in seen else NotExists(name)
            for name in (schema.STORED_VERSION, schema.DISABLED_AT)
        )
    )


def _has_limits(item: Item | None) -> bool:
    return item is not None and schema.STORED_LIMITS in item


def _too_many(target: Target) -> StoreThrottled:
    return StoreThrottled(f"limits of {target.key.pk} are being changed by too many at once")
