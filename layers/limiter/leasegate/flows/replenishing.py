"""Fill buckets up by hand: whole, or by so many tokens; each operation once, however often it is sent.

The operation's id is stored beside the change, in one transaction, so its repetition is recognised wherever it
arrives. Nothing is asked of the state but that the limits are those that were seen: others go on spending.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from .. import schema
from ..errors import IdempotencyConflict, InvalidRequest, NoLimitsConfigured, StoreThrottled
from ..knowledge import Knowledge
from ..limits import Limits
from ..operations import (
    Action,
    Add,
    AllOf,
    BatchGet,
    Change,
    Check,
    Condition,
    Equals,
    Exists,
    Flow,
    Item,
    ItemAbsent,
    Key,
    Put,
    Remove,
    Set,
    Transact,
    Update,
    Value,
)
from ..schema import Bucket
from ..states import observe
from . import auditing, reading
from .auditing import Signature
from .changing import MAX_ATTEMPTS, is_applied

_FINGERPRINT: Final = "fingerprint"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done to a bucket: reset the limits of these ``names`` (None: all), or add ``tokens``.

    Of token limits: a concurrency limit is freed by the leases that hold it, or by time.
    """

    kind: Literal["reset", "top_up"]
    entity_id: str
    resource: str
    operation_id: str
    names: tuple[str, ...] | None = None
    tokens: Mapping[str, int] | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of all but the id: another order under the same id is a mistake."""
        text = repr((self.kind, self.resource, self.names, sorted((self.tokens or {}).items())))
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    @property
    def key(self) -> Key:
        """The item that remembers the operation."""
        return schema.operation_key(self.entity_id, self.operation_id)

    def check_names(self, limits: Limits) -> None:
        """Raise :class:`InvalidRequest` for names that are not among these limits."""
        known = sorted(limits)
        for name in self.tokens or self.names or ():
            field = f"tokens.{name}" if self.kind == "top_up" else "limits"
            if name not in known:
                raise InvalidRequest(field, f"{name} is no limit of {self.entity_id}; it has {', '.join(known)}")
            if limits[name].is_concurrent:
                raise InvalidRequest(field, f"{name} limits leases at a time: there are no tokens to fill up")


def replenish(order: Order, signature: Signature, knowledge: Knowledge) -> Flow[bool]:
    """Carry an order out, once; say whether this call did. Two round trips.

    Raises :class:`IdempotencyConflict`, :class:`InvalidRequest`, :class:`NoLimitsConfigured`, :class:`StoreError`.
    """
    keys = (
        *reading.entity_keys(order.entity_id, order.resource),
        *reading.defaults_keys(order.resource),
        order.key,
    )
    for attempt in range(MAX_ATTEMPTS):
        (outcome,) = yield (BatchGet(keys),)
        items = reading.found(outcome)
        if order.key in items:
            if items[order.key][_FINGERPRINT] != order.fingerprint:
                raise IdempotencyConflict(order.operation_id)
            return False
        bucket = reading.parse_bucket_reading(items, order.entity_id, order.resource)
        limits = _limits(order, items, bucket)
        order.check_names(limits)
        (outcome,) = yield (_transaction(order, bucket, limits, signature, attempt),)
        if is_applied(outcome):  # if not, the limits changed meanwhile, or somebody else repeats the operation
            knowledge.forget_bucket(order.entity_id, order.resource)
            return True
    raise StoreThrottled(f"bucket of {order.entity_id} is being changed by too many at once")


def _limits(order: Order, items: Mapping[Key, Item], bucket: Bucket | None) -> Limits:
    """Return the limits that the bucket has, and those that it will have."""
    own = reading.parse_entity_reading(items, order.entity_id, order.resource).resolve()
    defaults = reading.parse_defaults_reading(items, order.resource)
    resolved = own or reading.resolve_defaults(defaults, None)
    limits = {**(resolved.limits if resolved else {}), **(bucket.limits if bucket else {})}
    if not limits:
        raise NoLimitsConfigured(order.entity_id, order.resource)
    return limits


def _transaction(
    order: Order, bucket: Bucket | None, limits: Limits, signature: Signature, attempt: int
) -> Transact:
    names = [
        name
        for name, limit in limits.items()
        if name in (order.tokens or order.names or limits) and not limit.is_concurrent
    ]
    before = observe(limits, bucket.tats if bucket else {}, {}, {}, signature.at_ms)
    available = {name: before[name].available for name in names}
    filled: dict[str, Value] = {}
    for name in names:
        capacity = limits[name].capacity
        filled[name] = min(capacity, available[name] + order.tokens[name]) if order.tokens else capacity
    record = auditing.audit(
        auditing.entity_scope(order.entity_id),
        order.kind,
        signature,
        resource=order.resource,
        before={"available": dict(available)},
        after={"available": filled, "operation_id": order.operation_id},
    )
    done: Item = {_FINGERPRINT: order.fingerprint, schema.EXPIRES_AT: signature.expires_at_s}
    remembered = Put(order.key, done, ItemAbsent())
    return Transact((_fill(order, bucket, names, signature), remembered, record), f"{signature.id}.{attempt}")


def _fill(order: Order, bucket: Bucket | None, names: list[str], signature: Signature) -> Action:
    """Return the bucket's part: a missing bucket is full, and so is a limit without state."""
    key = schema.bucket_key(order.entity_id, order.resource)
    if bucket is None:
        return Check(key, ItemAbsent())
    changes: list[Change] = [Add(schema.VERSION, 1), Set(schema.WRITTEN_AT, signature.at_ms)]
    conditions: list[Condition] = [Equals(schema.STAMP, bucket.stamp)]
    for name in names:
        attribute = schema.tat_attribute(name)
        if name not in bucket.tats or name not in bucket.limits:
            continue
        if order.tokens is None:
            changes.append(Remove(attribute))
        elif order.tokens[name]:
            changes.append(Add(attribute, -order.tokens[name] * bucket.limits[name].period_ms))
            conditions.append(Exists(attribute))
    return Update(key, tuple(changes), AllOf(tuple(conditions)))
