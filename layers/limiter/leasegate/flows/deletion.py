"""Deletion of an entity, its limits and its buckets: a chunk at a time, to be carried on by whoever calls again.

First its children are given away, if that is wanted. Then the record says that it is being deleted: from here on
no child, no limits and no bucket are added to it. Then its limits go, its buckets, and last the record itself. A
bucket leaves the record's list in the transaction that deletes it, so none is forgotten.
"""

from __future__ import annotations

from typing import Final

from .. import schema
from ..errors import EntityHasChildren, EntityNotFound, StoreThrottled
from ..knowledge import Knowledge
from ..operations import (
    Action,
    Add,
    AllOf,
    Delete,
    Discard,
    Exists,
    Flow,
    NotExists,
    Put,
    Query,
    Set,
    Transact,
    Update,
)
from ..records import Deletion
from ..schema import Entity
from . import auditing, reading
from .auditing import Signature
from .changing import is_applied
from .entities import EntityChange, change_entity, details, is_unchanged
from .family import has_no_children, read_family
from .limits_admin import is_as_seen, written_item
from .telling import pending_note, read_entity, tell_buckets

_CHUNK: Final = 25
_CHILDREN_AT_ONCE: Final = 8
"""Each takes some five round trips, one after the other."""

_LIMITS_AT_ONCE: Final = 40
"""Each takes two of a transaction's 100 actions, the limits and the audit record."""

_PAGE: Final = 100


def delete_chunk(
    entity_id: str, signature: Signature, knowledge: Knowledge, *, may_reparent: bool
) -> Flow[Deletion]:
    """Do the next part of a deletion: begin it, move children, or delete limits, buckets or the record.

    Each call takes a signature of its own. Raises :class:`EntityNotFound` where there is nothing (any more),
    :class:`EntityHasChildren`, and :class:`StoreThrottled` where others change the same too often.
    """
    own = yield from read_entity(entity_id)
    if not own.exists:
        raise EntityNotFound(entity_id)
    if own.is_being_deleted:
        if own.pending:
            yield from tell_buckets(entity_id, signature.at_ms)
        return (yield from _delete_something(entity_id, own, signature, knowledge))
    if not own.descendants[0]:
        return (yield from _begin(entity_id, own, signature))
    if not may_reparent:
        raise EntityHasChildren(entity_id, own.descendants[0])
    return (yield from _move_children(entity_id, own, signature, knowledge))


def _begin(entity_id: str, own: Entity, signature: Signature) -> Flow[Deletion]:
    update = Update(
        schema.entity_key(entity_id),
        (
            Set(schema.ENTITY_DELETING_AT, signature.at_ms),
            Set(schema.ENTITY_REVISION, signature.id),
            Add(schema.ENTITY_PENDING, pending_note(signature.id, None)),
        ),
        AllOf((is_unchanged(own), has_no_children())),
    )
    record = _audit(entity_id, "delete_entity_begun", own, signature, after={"is_being_deleted": True})
    (outcome,) = yield (Transact((update, record), signature.id),)
    if is_applied(outcome):  # if not, the record changed: the next chunk reads it again
        yield from tell_buckets(entity_id, signature.at_ms)
    return Deletion(is_complete=False)


def _move_children(entity_id: str, own: Entity, signature: Signature, knowledge: Knowledge) -> Flow[Deletion]:
    (outcome,) = yield (Query(schema.children_partition(entity_id), limit=_CHILDREN_AT_ONCE, in_index=True),)
    moved = 0
    for number, (key, _) in enumerate(reading.page(outcome).items):
        change = EntityChange(schema.entity_of(key), own.parent_id)
        child = yield from read_entity(change.entity_id)
        if child.parent_id == entity_id:  # the index lags behind
            part = Signature(signature.actor, f"{signature.id}{number:02}", signature.at_ms)
            yield from change_entity(change, part, knowledge)
            moved += 1
    if not moved:
        raise StoreThrottled(f"the children of {entity_id} are not listed yet")
    return Deletion(is_complete=False, children_moved=moved)


def _delete_something(entity_id: str, own: Entity, signature: Signature, knowledge: Knowledge) -> Flow[Deletion]:
    limits = yield from _delete_limits(entity_id, signature, knowledge)
    if limits is not None:
        return Deletion(is_complete=False, limits=limits)
    if own.buckets:
        return (yield from _delete_buckets(entity_id, own, signature, knowledge))
    return (yield from _delete_record(entity_id, own, signature, knowledge))


def _delete_limits(entity_id: str, signature: Signature, knowledge: Knowledge) -> Flow[int | None]:
    """Delete the first limits that there are; None where there are none.

    None are set any more while the entity is being deleted. 0 where somebody else deletes them too.
    """
    partition, prefix = schema.entity_limits_query(entity_id)
    after = None
    while True:
        (outcome,) = yield (Query(partition, prefix, limit=_PAGE, after=after),)
        page = reading.page(outcome)
        found = [(key, item) for key, item in page.items if schema.STORED_LIMITS in item][:_LIMITS_AT_ONCE]
        if found or page.next is None:
            break
        after = page.next
    actions: list[Action] = []
    for part, (key, item) in enumerate(found):
        stored = schema.parse_stored_limits(item)
        actions.append(Put(key, written_item({}, item, signature), is_as_seen(item)))
        record = auditing.audit(
            auditing.entity_scope(entity_id),
            "delete_limits",
            signature,
            resource=schema.resource_of_limits(key),
            before=None if stored is None else auditing.describe_limits(stored.limits),
            after=None,
            part=part,
        )
        actions.append(record)
        knowledge.learn_item(key, None)
    if not actions:
        return None
    (outcome,) = yield (Transact(tuple(actions), f"{signature.id}.limits"),)
    return len(found) if is_applied(outcome) else 0


def _delete_buckets(entity_id: str, own: Entity, signature: Signature, knowledge: Knowledge) -> Flow[Deletion]:
    resources = sorted(own.buckets)[:_CHUNK]
    buckets = [Delete(schema.bucket_key(entity_id, resource)) for resource in resources]
    record = Update(
        schema.entity_key(entity_id),
        (Discard(schema.ENTITY_BUCKETS, frozenset(resources)),),
        Exists(schema.ENTITY_DELETING_AT),
    )
    (outcome,) = yield (Transact((record, *buckets), f"{signature.id}.buckets"),)
    for resource in resources:
        knowledge.forget_bucket(entity_id, resource)
    return Deletion(is_complete=False, buckets=len(resources) if is_applied(outcome) else 0)


def _delete_record(entity_id: str, own: Entity, signature: Signature, knowledge: Knowledge) -> Flow[Deletion]:
    family = yield from read_family(entity_id)
    delete = Delete(
        schema.entity_key(entity_id),
        AllOf((Exists(schema.ENTITY_DELETING_AT), NotExists(schema.ENTITY_BUCKETS), is_unchanged(own))),
    )
    record = _audit(entity_id, "delete_entity", own, signature, after=None)
    (outcome,) = yield (Transact((delete, *family.moves(own.parent_id, None), record), f"{signature.id}.record"),)
    knowledge.forget_ancestor(entity_id)
    return Deletion(is_complete=is_applied(outcome))


def _audit(
    entity_id: str, action: str, own: Entity, signature: Signature, *, after: dict[str, bool] | None
) -> Put:
    scope = auditing.entity_scope(entity_id)
    return auditing.audit(scope, action, signature, before=details(own).describe(), after=after)
