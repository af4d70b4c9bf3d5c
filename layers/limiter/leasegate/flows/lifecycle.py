"""The writes that create a bucket, carry it over to other limits, or mark it as stale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .. import bucket as arithmetic
from .. import schema, stamps
from ..concurrency import Holders
from ..limits import Limits
from ..operations import (
    Action,
    Add,
    AllOf,
    Change,
    Check,
    Condition,
    Equals,
    Item,
    ItemAbsent,
    ItemExists,
    Key,
    Put,
    Remove,
    Set,
    Update,
    Value,
)
from ..schema import Bucket, StoredLimits
from . import holding
from .reading import EntityReading, Resolved, as_read
from .spending import GRACE_S, Amounts, Request, after_charge, covering_s


def assume(resolved: Resolved, parent_id: str | None) -> Bucket:
    """Return the state that a bucket nobody here has seen is guessed to have: idle, under these limits."""
    return Bucket(resolved.stamp, resolved.limits, {}, parent_id, 0, 0, {})


def newborn(resolved: Resolved, parent_id: str | None, amounts: Amounts, request: Request) -> Bucket:
    """Return the state of a bucket that is created by this charge."""
    empty = replace(assume(resolved, parent_id), version=request.now_ms * 1000 - 1)
    state = after_charge(empty, amounts, request)
    expires_at_s = covering_s(state.limits, request.now_ms, state.tats) + GRACE_S
    return replace(state, expires_at_s=expires_at_s, requests={request.attribute: request.id})


def create(
    entity_id: str,
    resource: str,
    state: Bucket,
    amounts: Amounts,
    reading: EntityReading,
    request: Request,
    *,
    grants: int = 0,
) -> tuple[Action, ...]:
    """Create a bucket if all that its limits were resolved from is still so: the actions of a transaction.

    The first is the bucket's. The others hold the entity's record (its parent, its state) to its revision, and
    both of its own limits (deleted ones too) to their version, as read. So a role that creates buckets can be kept
    from writing what matters of a record: IAM takes the attributes of a condition for written ones.
    """
    return (
        Put(schema.bucket_key(entity_id, resource), _bucket_item(state, amounts, request, grants), ItemAbsent()),
        Update(
            schema.entity_key(entity_id),
            (Add(schema.ENTITY_BUCKETS, frozenset({resource})),),
            as_read(schema.ENTITY_REVISION, reading.entity.revision),
        ),
        Check(schema.entity_limits_key(entity_id, resource), _as_read(reading.for_resource)),
        Check(schema.entity_limits_key(entity_id, None), _as_read(reading.for_all)),
    )


def recreate(
    entity_id: str, resource: str, state: Bucket, amounts: Amounts, request: Request
) -> tuple[Action, ...]:
    """Create a bucket for a debt whose bucket is gone: under a mark, so that the next acquire reads its limits."""
    return (
        Put(schema.bucket_key(entity_id, resource), _bucket_item(state, amounts, request), ItemAbsent()),
        Update(
            schema.entity_key(entity_id),
            (Add(schema.ENTITY_BUCKETS, frozenset({resource})),),
            ItemExists(),
        ),
    )


def rebased(state: Bucket, resolved: Resolved, parent_id: str | None, now_ms: int) -> Bucket:
    """Return the state carried over to other limits and another parent."""
    tats: dict[str, int] = {}
    for name, limit in resolved.limits.items():
        if name in state.tats and name in state.limits and not limit.is_concurrent:
            tat = arithmetic.rebase(state.limits[name], limit, state.tats[name], now_ms)
            if tat is not None:
                tats[name] = tat
    return replace(
        state,
        stamp=resolved.stamp,
        limits=resolved.limits,
        tats=tats,
        holders=_kept_holders(state, resolved.limits, now_ms),
        parent_id=parent_id,
        expires_at_s=covering_s(resolved.limits, now_ms, tats) + GRACE_S,
    )


def rebase(
    key: Key, seen: Bucket, after: Bucket, amounts: Amounts | None, request: Request, *, grants: int
) -> Update:
    """Turn the very state that was ``seen`` into ``after``, which has other limits and has spent ``amounts``.

    Where ``amounts`` is None nothing was spent, so the bucket must not remember the request.
    """
    changes: list[Change] = [
        Set(schema.STAMP, after.stamp),
        Set(schema.LIMITS, schema.render_limits(after.limits)),
        Set(schema.EXPIRES_AT, after.expires_at_s),
        Set(schema.PARENT, after.parent_id) if after.parent_id is not None else Remove(schema.PARENT),
    ]
    for name, limit in after.limits.items():
        attribute = schema.tat_attribute(name)
        changes.append(Set(attribute, after.tats[name]) if name in after.tats else Remove(attribute))
        if amounts and amounts.get(name) and not limit.is_concurrent:
            changes.append(Add(schema.used_attribute(name), amounts[name]))
    for name in [name for name in seen.limits if name not in after.limits]:
        attributes = (schema.tat_attribute(name), schema.used_attribute(name), schema.refused_attribute(name))
        changes += [Remove(attribute) for attribute in attributes]
    changes += _holders_carried_over(seen, after)
    conditions = [Equals(schema.STAMP, seen.stamp), Equals(schema.VERSION, seen.version)]
    changes += (Add(schema.VERSION, 1), Set(schema.WRITTEN_AT, request.now_ms))
    if amounts is not None:
        changes += (Set(request.attribute, request.id), Add(schema.GRANTS, grants))
    return Update(key, tuple(changes), AllOf(tuple(conditions)))


def _holders_carried_over(seen: Bucket, after: Bucket) -> list[Change]:
    changes: list[Change] = []
    for name in sorted(seen.holders.keys() | after.holders.keys()):
        before, kept = seen.holders.get(name, {}), after.holders.get(name, {})
        changes += [Remove(schema.holder_attribute(name, holder)) for holder in before if holder not in kept]
        changes += [
            Set(schema.holder_attribute(name, holder), until_ms)
            for holder, until_ms in kept.items()
            if holder not in before
        ]
        count = schema.held_attribute(name)
        changes.append(Set(count, len(kept)) if kept else Remove(count))
    return changes


def clear(key: Key, seen: Bucket, gone: list[tuple[str, str]], request: Request) -> Update:
    """Clear away holders that were seen to be no longer there, without spending."""
    changes: list[Change] = [Add(schema.VERSION, 1), Set(schema.WRITTEN_AT, request.now_ms)]
    conditions: list[Condition] = [Equals(schema.STAMP, seen.stamp)]
    holding.clear(changes, conditions, seen, gone)
    return Update(key, tuple(changes), AllOf(tuple(conditions)))


def mark(key: Key, mark_text: str, only_under: str | None = None) -> Update:
    """Mark a bucket as stale: from then on, every acquire reads the limits before it writes."""
    conditions: list[Condition] = [ItemExists()]
    if only_under is not None:
        conditions.append(Equals(schema.STAMP, only_under))
    return Update(key, (Set(schema.STAMP, mark_text), Add(schema.VERSION, 1)), AllOf(tuple(conditions)))


def disable(key: Key, mark_text: str, version: int, now_ms: int) -> Update:
    """Let a bucket refuse everything, in place of the very mark that was seen before its entity was read."""
    conditions = (Equals(schema.STAMP, mark_text), Equals(schema.VERSION, version))
    return Update(key, (Set(schema.STAMP, stamps.off_stamp(now_ms)), Add(schema.VERSION, 1)), AllOf(conditions))


def _bucket_item(state: Bucket, amounts: Amounts, request: Request, grants: int = 0) -> Item:
    item: dict[str, Value] = {
        schema.STAMP: state.stamp,
        schema.LIMITS: schema.render_limits(state.limits),
        schema.VERSION: state.version,
        schema.WRITTEN_AT: request.now_ms,
        schema.EXPIRES_AT: state.expires_at_s,
        request.attribute: request.id,
    }
    if grants:
        item[schema.GRANTS] = grants
    if state.parent_id is not None:
        item[schema.PARENT] = state.parent_id
    for name, tat in state.tats.items():
        item[schema.tat_attribute(name)] = tat
    for name, tokens in amounts.items():
        if not state.limits[name].is_concurrent:
            item[schema.used_attribute(name)] = tokens
    for name, present in state.holders.items():
        item[schema.held_attribute(name)] = len(present)
        item |= {schema.holder_attribute(name, holder): until_ms for holder, until_ms in present.items()}
    return item


def _kept_holders(state: Bucket, limits: Limits, now_ms: int) -> Mapping[str, Holders]:
    gone: dict[str, tuple[str, ...]] = {}
    for name, holder in holding.clearable(state, limits, now_ms):
        gone[name] = (*gone.get(name, ()), holder)
    return {name: present for name, present in holding.without(state.holders, gone).items() if present}


def _as_read(stored: StoredLimits | None) -> Condition:
    return ItemAbsent() if stored is None else Equals(schema.STORED_VERSION, stored.version)
