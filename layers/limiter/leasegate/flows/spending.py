"""The writes that spend tokens or return them: each carries, as conditions, all that it took for granted.

DynamoDB has no ``max()``, so a spending write carries one of two branches for each limit, guessed from the
last state seen: *busy* adds to a ``tat`` that is not past, *idle* starts one at now. A wrong guess is
refused and the refusal brings the state back.

``ttl`` never lets DynamoDB forget a debt: a write moves it only forward, and every write that makes a bucket
emptier than ``ttl`` covers must move it. A day's grace keeps that down to about one write a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from .. import bucket as arithmetic
from .. import concurrency, schema
from ..concurrency import Holders
from ..frozen import frozen
from ..limits import Limit, Limits
from ..operations import (
    Add,
    AllOf,
    AnyOf,
    AtLeast,
    AtMost,
    Below,
    Between,
    Change,
    Condition,
    Equals,
    Exists,
    Key,
    NotEquals,
    NotExists,
    Remove,
    Set,
    Update,
)
from ..schema import Bucket
from . import holding
from .holding import HolderIds
from .reading import as_read

GRACE_S: Final = 86_400
"""How long after it is full again DynamoDB may delete a bucket, in seconds."""

_NEXT_VERSION: Final = Add(schema.VERSION, 1)

type Amounts = Mapping[str, int]
"""Tokens by limit name."""


@frozen
class Request:
    """What makes a write recognisable when it is repeated, and the clock reading that it carries.

    ``ends_at_ms`` is when the lease that it is for ends, if it does: no holder stays longer.
    """

    id: str
    slot: int
    now_ms: int
    ends_at_ms: int | None = None

    @property
    def attribute(self) -> str:
        """The bucket attribute that remembers the id."""
        return schema.request_attribute(self.slot)

    def was_applied_to(self, state: Bucket) -> bool:
        """Say whether this bucket remembers the request."""
        return state.requests.get(self.attribute) == self.id

    def entering(self, limit: Limit, count: int) -> Holders:
        """Return the holders that this request lets in, with the time until which they may stay."""
        until_ms = holds_until_ms(limit, self.now_ms, self.ends_at_ms)
        return dict.fromkeys(concurrency.holder_ids(self.id, count), until_ms)


def holds_until_ms(limit: Limit, now_ms: int, ends_at_ms: int | None) -> int:
    """Return until when a lease holds its share of a concurrency limit, unless it is renewed."""
    until_ms = now_ms + limit.lease_ms
    return until_ms if ends_at_ms is None else min(until_ms, ends_at_ms)


def charge(
    key: Key, state: Bucket, amounts: Amounts, request: Request, *, hold_parent: bool, grants: int
) -> Update:
    """Spend what is there, under the limits and (if the cascade follows it) the parent of ``state``.

    It answers so many acquires at once (``grants``).
    """
    conditions: list[Condition] = [Equals(schema.STAMP, state.stamp)]
    if hold_parent:
        conditions.append(as_read(schema.PARENT, state.parent_id))
    changes: list[Change] = [Add(schema.GRANTS, grants)]
    for name, cost in amounts.items():
        limit = state.limits[name]
        if limit.is_concurrent:
            if cost:
                present = state.holders.get(name, {})
                entering = request.entering(limit, cost)
                holding.let_in(changes, conditions, limit, present, entering, request.now_ms)
            continue
        ceiling = request.now_ms * limit.amount + limit.capacity * limit.period_ms
        _spend(changes, conditions, state, name, cost, request, ceiling)
    needed_s = covering_s(state.limits, request.now_ms)
    if state.expires_at_s >= needed_s:
        conditions.append(AtLeast(schema.EXPIRES_AT, needed_s))
    else:
        _extend(changes, conditions, needed_s + GRACE_S)
    return _bucket_update(key, changes, conditions, request)


def correct(
    key: Key,
    state: Bucket,
    amounts: Amounts,
    leaving: HolderIds,
    request: Request,
    *,
    hold_parent: bool = False,
    grants: int = 0,
) -> Update:
    """Spend tokens (positive amounts, into debt if need be) or give them back (negative ones); let holders go.

    Whatever the stamp; names that the bucket no longer limits are left out. ``grants`` are counted, or (negative)
    no longer.
    """
    conditions: list[Condition] = [Equals(schema.STAMP, state.stamp)]
    if hold_parent:
        conditions.append(as_read(schema.PARENT, state.parent_id))
    changes: list[Change] = [Add(schema.GRANTS, grants)] if grants else []
    kept = correctable(state, amounts)
    for name, ids in leaving.items():
        holding.let_go(changes, conditions, name, state.holders.get(name, {}), ids)
    covered_s = state.expires_at_s
    needed_s = covering_s(state.limits, request.now_ms, after_correction(state, kept, {}, request).tats)
    if covered_s >= needed_s:
        conditions.append(AtLeast(schema.EXPIRES_AT, covered_s))
    else:
        covered_s = needed_s + GRACE_S
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


def keep(key: Key, state: Bucket, leases: Mapping[str, Holders], request: Request) -> Update:
    """Let holders stay until another time, if they are all there still, whatever the stamp."""
    changes: list[Change] = [Add(schema.VERSION, 1), Set(schema.WRITTEN_AT, request.now_ms)]
    conditions: list[Condition] = []
    for name, holders in leases.items():
        holding.keep(changes, conditions, name, holders)
    needed_s = -(-max(until_ms for holders in leases.values() for until_ms in holders.values()) // 1000)
    if state.expires_at_s >= needed_s:
        conditions.append(AtLeast(schema.EXPIRES_AT, needed_s))
    else:
        _extend(changes, conditions, needed_s + GRACE_S)
    return Update(key, tuple(changes), AllOf(tuple(conditions)))


def correctable(state: Bucket, amounts: Amounts) -> Amounts:
    """Return those amounts that a bucket can take: tokens that it limits still."""
    return {
        name: tokens
        for name, tokens in amounts.items()
        if tokens and name in state.limits and not state.limits[name].is_concurrent
    }


def undo(key: Key, state: Bucket, amounts: Amounts, request: Request, *, grants: int) -> Update:
    """Give back a charge of which nobody knows whether it was applied: only where the bucket remembers it."""
    changes: list[Change] = [
        Add(schema.VERSION, 1),
        Set(schema.WRITTEN_AT, request.now_ms),
        Add(schema.GRANTS, -grants),
        Remove(request.attribute),
    ]
    conditions: list[Condition] = [Equals(request.attribute, request.id), Equals(schema.STAMP, state.stamp)]
    for name, tokens in amounts.items():
        limit = state.limits[name]
        if not tokens:
            continue
        if limit.is_concurrent:
            entered = request.entering(limit, tokens)
            holding.let_go(changes, conditions, name, entered, tuple(entered))
            continue
        changes.append(Add(schema.tat_attribute(name), -tokens * limit.period_ms))
        changes.append(Add(schema.used_attribute(name), -tokens))
    return Update(key, tuple(changes), AllOf(tuple(conditions)))


def after_charge(state: Bucket, amounts: Amounts, request: Request) -> Bucket:
    """Return the state that a charge leaves if nobody else writes meanwhile."""
    spent = {name: tokens for name, tokens in amounts.items() if not state.limits[name].is_concurrent}
    entering = {
        name: request.entering(state.limits[name], count)
        for name, count in amounts.items()
        if count and name not in spent
    }
    state = after_correction(state, spent, {}, request)
    if not entering:
        return state
    holders = {name: state.holders.get(name, {}) for name in (*state.holders, *entering)}
    return replace(
        state, holders={name: {**present, **entering.get(name, {})} for name, present in holders.items()}
    )


def after_correction(state: Bucket, amounts: Amounts, leaving: HolderIds, request: Request) -> Bucket:
    """Return the state that a correction leaves if nobody else writes meanwhile."""
    tats = dict(state.tats)
    for name, tokens in amounts.items():
        limit = state.limits[name]
        if tokens >= 0:
            tats[name] = arithmetic.spend(limit, tats.get(name), tokens, request.now_ms)
        elif name in tats:
            tats[name] += tokens * limit.period_ms
    return Bucket(
        stamp=state.stamp,
        limits=state.limits,
        tats=tats,
        parent_id=state.parent_id,
        version=state.version + 1,
        expires_at_s=state.expires_at_s,
        requests=state.requests,
        holders=holding.without(state.holders, leaving) if leaving else state.holders,
    )


def summed(amounts: Iterable[Amounts]) -> dict[str, int]:
    """Add amounts up by name."""
    total: dict[str, int] = {}
    for each in amounts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def can_grant(state: Bucket, amounts: Amounts, now_ms: int) -> bool:
    """Say whether every amount is there now."""
    limits = state.limits
    for name, cost in amounts.items():
        limit = limits[name]
        if limit.is_concurrent:
            if cost > max(0, concurrency.places_available(limit, state.holders.get(name, {}), now_ms)):
                return False
        elif not arithmetic.can_grant(limit, state.tats.get(name), cost, now_ms):
            return False
    return True


def covering_s(limits: Limits, now_ms: int, tats: Mapping[str, int] | None = None) -> int:
    """Return the second by which every limit is full again, whatever of its capacity (or ``tats``) is spent."""
    full_at_ms = now_ms + max([limit.refill_ms for limit in limits.values()])
    if tats:
        for name, tat in tats.items():
            if name in limits:
                full_at_ms = max(full_at_ms, arithmetic.full_at_ms(limits[name], tat, now_ms))
    return -(-full_at_ms // 1000)


# --- pieces --------------------------------------------------------------------------------------


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
    slot = request.attribute
    conditions.append(NotEquals(slot, request.id))
    changes += (_NEXT_VERSION, Set(schema.WRITTEN_AT, request.now_ms), Set(slot, request.id))
    return Update(key, tuple(changes), AllOf(tuple(conditions)))
