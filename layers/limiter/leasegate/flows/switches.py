"""Disable and enable: entities, single resources of them, and resources for everybody.

An entity's state stands on its record, and rides in its buckets' stamps, so that a disabled bucket refuses by the
same write that would have spent. A resource's state stands on the item of its defaults, and is believed as long.
"""

from __future__ import annotations

from .. import schema
from ..errors import EntityIsBeingDeleted, StoreThrottled
from ..knowledge import Knowledge
from ..operations import (
    Action,
    Add,
    AllOf,
    Delete,
    Flow,
    Initialize,
    NotExists,
    Put,
    Remove,
    Set,
    Transact,
    Update,
)
from . import auditing
from .auditing import Signature
from .changing import MAX_ATTEMPTS, is_applied, read_item
from .entities import is_unchanged
from .limits_admin import TOMBSTONE_KEPT_S, is_as_seen
from .telling import pending_note, read_entity, tell_buckets


def switch_entity(
    entity_id: str, resource: str | None, signature: Signature, knowledge: Knowledge, *, is_disabled: bool
) -> Flow[bool]:
    """Disable or enable an entity for one resource, or (None) for all; say whether that is new.

    Five round trips where there are buckets to tell, two more to disable them. An entity that nobody created can
    be disabled too.
    Raises :class:`EntityIsBeingDeleted` and :class:`StoreError`, after which the call is to be repeated.
    """
    attribute = schema.disabled_attribute(resource)
    index = [Initialize(*entry) for entry in schema.children_index(None, entity_id).items()]
    scope = auditing.entity_scope(entity_id)
    for attempt in range(MAX_ATTEMPTS):
        own = yield from read_entity(entity_id)
        if own.is_being_deleted:
            raise EntityIsBeingDeleted(entity_id)
        at_ms = own.disabled_at_ms if resource is None else own.disabled.get(resource)
        if (at_ms is not None) == is_disabled:
            if own.pending:
                yield from tell_buckets(entity_id, signature.at_ms)
            return False
        update = Update(
            schema.entity_key(entity_id),
            (
                Set(attribute, signature.at_ms) if is_disabled else Remove(attribute),
                Set(schema.ENTITY_REVISION, signature.id),
                Add(schema.ENTITY_PENDING, pending_note(signature.id, resource)),
                *index,
            ),
            AllOf((is_unchanged(own), NotExists(schema.ENTITY_DELETING_AT))),
        )
        record = _audit(scope, signature, resource, at_ms, is_disabled=is_disabled)
        (outcome,) = yield (Transact((update, record), f"{signature.id}.{attempt}"),)
        if is_applied(outcome):
            knowledge.forget_ancestor(entity_id)
            yield from tell_buckets(entity_id, signature.at_ms)
            return True
    raise StoreThrottled(f"entity {entity_id} is being changed by too many at once")


def switch_resource(resource: str, signature: Signature, knowledge: Knowledge, *, is_disabled: bool) -> Flow[bool]:
    """Disable or enable a resource for everybody; say whether that is new. Two round trips."""
    key = schema.resource_defaults_key(resource)
    for attempt in range(MAX_ATTEMPTS):
        seen = yield from read_item(key)
        at_ms = None if seen is None else seen.get(schema.DISABLED_AT)
        if (at_ms is not None) == is_disabled:
            return False
        kept = {name: value for name, value in (seen or {}).items() if name != schema.DISABLED_AT}
        if is_disabled:
            # The state must outlive a tombstone.
            kept.pop(schema.EXPIRES_AT, None)
            kept[schema.DISABLED_AT] = signature.at_ms
        elif kept and schema.STORED_LIMITS not in kept:
            kept[schema.EXPIRES_AT] = signature.at_ms // 1000 + TOMBSTONE_KEPT_S
        condition = is_as_seen(seen)
        action: Action = Put(key, kept, condition) if kept else Delete(key, condition)
        record = _audit(auditing.resource_scope(resource), signature, resource, at_ms, is_disabled=is_disabled)
        (outcome,) = yield (Transact((action, record), f"{signature.id}.{attempt}"),)
        if is_applied(outcome):
            knowledge.forget_defaults(resource)
            knowledge.learn_item(key, None)
            return True
    raise StoreThrottled(f"resource {resource} is being changed by too many at once")


def _audit(scope: str, signature: Signature, resource: str | None, at_ms: object, *, is_disabled: bool) -> Put:
    return auditing.audit(
        scope,
        "disable" if is_disabled else "enable",
        signature,
        resource=resource,
        before={"disabled": at_ms is not None},
        after={"disabled": is_disabled},
    )
