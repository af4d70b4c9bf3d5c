"""The writes of buckets: each says what it changes and, as conditions, all that it took for granted.

DynamoDB has no ``max()``, so a spending write carries one of two branches for each limit, guessed from the
last state seen: *busy* adds to a ``tat`` that is not past, *idle* starts one at now. A wrong guess is
refused and the refusal brings the state back.

``ttl`` never lets DynamoDB forget a debt: a write moves it only forward, and every write that makes a bucket
fuller than ``ttl`` covers must move it. A day's grace keeps that down to about one write a day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from .. import bucket as arithmetic
from .. import schema
from ..limits import Limits
from ..operations import (
    Action,
    Add,
    AllOf,
    AnyOf,
    AtLeast,
    AtMost,
    Below,
    Between,
    Change,
    Check,
    Condition,
    Equals,
    Exists,
    Item,
    ItemAbsent,
    ItemExists,
    Key,
    NotEquals,
    NotExists,
    Put,
    Remove,
    Set,
    Update,
    Value,
)
from ..schema import Bucket, StoredLimits
from .reading import EntityReading, Resolved

_GRACE_S: Final = 86_400

type Amounts = Mapping[str, int]
"""Tokens by limit name."""


@dataclass(frozen=True, slots=True)
class Request:
    """What makes a write recognisable when it is repeated, and the clock reading that it carries."""

    id: str
    slot: int
    now_ms: int

    @property
    def attribute(self) -> str:
        """The bucket attribute that remembers the id."""
        return schema.request_attribute(self.slot)

    def was_applied_to(self, state: Bucket) -> bool:
        """Say whether this bucket remembers the request."""
        return state.requests.get(self.attribute) == self.id


# --- spending --------------------------------------------------------------------------------------


def charge(key: Key, state: Bucket, amounts: Amounts, request: Request, *, hold_parent: bool) -> Update:
    """Spend what is there, under the limits and (if the cascade follows it) the parent of ``state``."""
    conditions: list[Condition] = [Equals(schema.STAMP, state.stamp)]
    if hold_parent:
        conditions.append(_holds(schema.PARENT, state.parent_id))
    changes: list[Change] = []
    for name, cost in amounts.items():
        limit = state.limits[name]
        ceiling = request.now_ms * limit.amount + limit.capacity * limit.period_ms
        _spend(changes, conditions, state, name, cost, request, ceiling)
    needed_s = _covering_s(state.limits, request.now_ms)
    if state.expires_at_s >= needed_s:
        conditions.append(AtLeast(schema.EXPIRES_AT, needed_s))
    else:
        _extend(changes, conditions, needed_s + _GRACE_S)
    return _bucket_update(key, changes, conditions, request)


def correct(key: Key, state: Bucket, amounts: Amounts, request: Request) -> Update:
    """Spend (positive amounts, into debt if need be) or give back (negative ones), whatever the stamp.

    Names that the bucket no longer limits are left out.
    """
    conditions: list[Condition] = [Equals(schema.STAMP, state.stamp)]
    changes: list[Change] = []
    kept = {name: tokens for name, tokens in amounts.items() if name in state.limits and tokens}
    covered_s = state.expires_at_s
    needed_s = _covering_s(state.limits, request.now_ms, after_charge(state, kept, request).tats)
    if covered_s >= needed_s:
        conditions.append(AtLeast(schema.EXPIRES_AT, covered_s))
    else:
        covered_s = needed_s + _GRACE_S
        _extend(changes, conditions, covered_s)
    for name, tokens in kept.items():
        limit = state.limits[name]
        if tokens > 0:
            _spend(changes, conditions, state, name, tokens, request, covered_s * 1000 * limit.amount)
            continue
        attribute = schema.tat_attribute(name)
        if name in state.tats:
            changes.append(Add(attribute, tokens * limit.period_ms))
            conditions.append(Exists(attribute))
        else:
            conditions.append(NotExists(attribute))
        changes.append(Add(schema.used_attribute(name), tokens))
    return _bucket_update(key, changes, conditions, request)


def undo(key: Key, state: Bucket, amounts: Amounts, request: Request) -> Update:
    """Give back a charge of which nobody knows whether it was applied: only where the bucket remembers it."""
    changes: list[Change] = [Add(schema.VERSION, 1), Remove(request.attribute)]
    for name, tokens in amounts.items():
        if tokens:
            changes.append(Add(schema.tat_attribute(name), -tokens * state.limits[name].period_ms))
            changes.append(Add(schema.used_attribute(name), -tokens))
    conditions = (Equals(request.attribute, request.id), Equals(schema.STAMP, state.stamp))
    return Update(key, tuple(changes), AllOf(conditions))


def after_charge(state: Bucket, amounts: Amounts, request: Request) -> Bucket:
    """Return the state that a charge leaves if nobody else writes meanwhile."""
    tats = dict(state.tats)
    for name, tokens in amounts.items():
        limit = state.limits[name]
        if tokens >= 0:
            tats[name] = arithmetic.spend(limit, tats.get(name), tokens, request.now_ms)
        elif name in tats:
            tats[name] += tokens * limit.period_ms
    return replace(state, tats=tats, version=state.version + 1)


def can_grant(state: Bucket, amounts: Amounts, now_ms: int) -> bool:
    """Say whether every amount is there now."""
    return all(
        arithmetic.can_grant(state.limits[name], state.tats.get(name), cost, now_ms)
        for name, cost in amounts.items()
    )


# --- creating and changing limits --------------------------------------------------------------------


def assume(resolved: Resolved, parent_id: str | None) -> Bucket:
    """Return the state that a bucket nobody here has seen is guessed to have: idle, under these limits."""
    return Bucket(resolved.stamp, resolved.limits, {}, parent_id, 0, 0, {})


def newborn(resolved: Resolved, parent_id: str | None, amounts: Amounts, request: Request) -> Bucket:
    """Return the state of a bucket that is created by this charge."""
    empty = replace(assume(resolved, parent_id), version=request.now_ms * 1000 - 1)
    state = after_charge(empty, amounts, request)
    expires_at_s = _covering_s(state.limits, request.now_ms, state.tats) + _GRACE_S
    return replace(state, expires_at_s=expires_at_s, requests={request.attribute: request.id})


def create(
    entity_id: str, resource: str, state: Bucket, amounts: Amounts, reading: EntityReading, request: Request
) -> tuple[Action, ...]:
    """Create a bucket if all that its limits were resolved from is still so: the actions of a transaction.

    The first is the bucket's. The others hold the entity's parent, and both of its own limits, as read.
    """
    return (
        Put(schema.bucket_key(entity_id, resource), _bucket_item(state, amounts, request), ItemAbsent()),
        Update(
            schema.entity_key(entity_id),
            (Add(schema.ENTITY_BUCKETS, frozenset({resource})),),
            _holds(schema.ENTITY_PARENT, reading.entity.parent_id),
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
        if name in state.tats and name in state.limits:
            tat = arithmetic.rebase(state.limits[name], limit, state.tats[name], now_ms)
            if tat is not None:
                tats[name] = tat
    return replace(
        state,
        stamp=resolved.stamp,
        limits=resolved.limits,
        tats=tats,
        parent_id=parent_id,
        expires_at_s=_covering_s(resolved.limits, now_ms, tats) + _GRACE_S,
    )


def rebase(key: Key, seen: Bucket, after: Bucket, amounts: Amounts | None, request: Request) -> Update:
    """Turn the very state that was ``seen`` into ``after``, which has other limits and has spent ``amounts``.

    Where ``amounts`` is None nothing was spent, so the bucket must not remember the request.
    """
    changes: list[Change] = [
        Set(schema.STAMP, after.stamp),
        Set(schema.LIMITS, schema.render_limits(after.limits)),
        Set(schema.EXPIRES_AT, after.expires_at_s),
        Set(schema.PARENT, after.parent_id) if after.parent_id is not None else Remove(schema.PARENT),
    ]
    for name in after.limits:
        attribute = schema.tat_attribute(name)
        changes.append(Set(attribute, after.tats[name]) if name in after.tats else Remove(attribute))
        if amounts and amounts.get(name):
            changes.append(Add(schema.used_attribute(name), amounts[name]))
    for name in seen.limits.keys() - after.limits.keys():
        changes += (Remove(schema.tat_attribute(name)), Remove(schema.used_attribute(name)))
    conditions = [Equals(schema.STAMP, seen.stamp), Equals(schema.VERSION, seen.version)]
    changes += (Add(schema.VERSION, 1), Set(schema.WRITTEN_AT, request.now_ms))
    if amounts is not None:
        changes.append(Set(request.attribute, request.id))
    return Update(key, tuple(changes), AllOf(tuple(conditions)))


def mark(key: Key, mark_text: str, only_under: str | None = None) -> Update:
    """Mark a bucket as stale: from then on, every acquire reads the limits before it writes."""
    conditions: list[Condition] = [ItemExists()]
    if only_under is not None:
        conditions.append(Equals(schema.STAMP, only_under))
    return Update(key, (Set(schema.STAMP, mark_text), Add(schema.VERSION, 1)), AllOf(tuple(conditions)))


# --- pieces ----------------------------------------------------------------------------------------


def _spend(
    changes: list[Change],
    conditions: list[Condition],
    state: Bucket,
    name: str,
    cost: int,
    request: Request,
    ceiling: int,
) -> None:
    limit = state.limits[name]
    attribute = schema.tat_attribute(name)
    now = request.now_ms * limit.amount
    weight = cost * limit.period_ms
    tat = state.tats.get(name)
    if tat is None or tat < now:
        conditions.append(AnyOf((NotExists(attribute), Below(attribute, now))))
        if cost:
            changes.append(Set(attribute, now + weight))
    else:
        conditions.append(Between(attribute, now, ceiling - weight))
        if cost:
            changes.append(Add(attribute, weight))
    if cost:
        changes.append(Add(schema.used_attribute(name), cost))


def _extend(changes: list[Change], conditions: list[Condition], expires_at_s: int) -> None:
    changes.append(Set(schema.EXPIRES_AT, expires_at_s))
    conditions.append(AtMost(schema.EXPIRES_AT, expires_at_s))


def _bucket_update(key: Key, changes: list[Change], conditions: list[Condition], request: Request) -> Update:
    conditions.append(NotEquals(request.attribute, request.id))
    changes += (
        Add(schema.VERSION, 1),
        Set(schema.WRITTEN_AT, request.now_ms),
        Set(request.attribute, request.id),
    )
    return Update(key, tuple(changes), AllOf(tuple(conditions)))


def _bucket_item(state: Bucket, amounts: Amounts, request: Request) -> Item:
    item: dict[str, Value] = {
        schema.STAMP: state.stamp,
        schema.LIMITS: schema.render_limits(state.limits),
        schema.VERSION: state.version,
        schema.WRITTEN_AT: request.now_ms,
        schema.EXPIRES_AT: state.expires_at_s,
        request.attribute: request.id,
    }
    if state.parent_id is not None:
        item[schema.PARENT] = state.parent_id
    for name, tat in state.tats.items():
        item[schema.tat_attribute(name)] = tat
    for name, tokens in amounts.items():
        item[schema.used_attribute(name)] = tokens
    return item


def _covering_s(limits: Limits, now_ms: int, tats: Mapping[str, int] | None = None) -> int:
    """Return the second by which every limit is full again, whatever of its capacity (or ``tats``) is spent."""
    full_at_ms = max(now_ms + limit.refill_ms for limit in limits.values())
    for name, tat in (tats or {}).items():
        if name in limits:
            full_at_ms = max(full_at_ms, arithmetic.full_at_ms(limits[name], tat, now_ms))
    return -(-full_at_ms // 1000)


def _holds(attribute: str, value: str | None) -> Condition:
    return NotExists(attribute) if value is None else Equals(attribute, value)


def _as_read(stored: StoredLimits | None) -> Condition:
    return ItemAbsent() if stored is None else Equals(schema.STORED_VERSION, stored.version)
