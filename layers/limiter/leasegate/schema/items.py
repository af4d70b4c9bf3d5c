"""Items, as they are read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final, cast

from ..concurrency import Holders
from ..frozen import frozen
from ..limits import Limit, Limits
from ..operations import Item, Value
from .attributes import (
    DESCENDANTS,
    DISABLED_AT,
    DISABLED_PREFIX,
    ENTITY_BUCKETS,
    ENTITY_CREATED_AT,
    ENTITY_DELETING_AT,
    ENTITY_METADATA,
    ENTITY_NAME,
    ENTITY_PARENT,
    ENTITY_PENDING,
    ENTITY_REVISION,
    EXPIRES_AT,
    HOLDER_PREFIX,
    LIMITS,
    PARENT,
    REQUEST_PREFIX,
    STAMP,
    STORED_LIMITS,
    STORED_VERSION,
    TAT_PREFIX,
    VERSION,
)


@frozen
class Bucket:
    """The state of all limits of one entity and resource, as its item carried it.

    ``tats`` holds the states of token limits by name (absent: full), ``holders`` those of concurrency limits
    (see :mod:`leasegate.concurrency`), ``requests`` the remembered request ids by slot attribute, ``expires_at_s``
    when DynamoDB may delete the item.
    """

    stamp: str
    limits: Limits
    tats: Mapping[str, int]
    parent_id: str | None
    version: int
    expires_at_s: int
    requests: Mapping[str, str]
    holders: Mapping[str, Holders] = field(default_factory=dict)


@frozen
class Entity:
    """An entity's record; one that does not exist is an entity without anything.

    Attributes:
        parent_id: its parent; None at the top.
        buckets: the resources it has buckets for.
        created_at_ms: when it was created; None where only its limits, buckets or state made the record.
        revision: the id of the last administrative change of the record; None before the first.
        disabled_at_ms: when it was disabled for all resources; None where it is not.
        disabled: when it was disabled for one resource, in ms, by resource.
        descendants: how many entities are one, two and three levels below.
        pending: the changes that not every bucket has been told of.
        is_being_deleted: its deletion has begun.
        exists: there is a record, be it without anything in it.
    """

    parent_id: str | None = None
    buckets: frozenset[str] = frozenset()
    created_at_ms: int | None = None
    revision: str | None = None
    name: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    disabled_at_ms: int | None = None
    disabled: Mapping[str, int] = field(default_factory=dict)
    descendants: tuple[int, ...] = (0, 0, 0)
    pending: frozenset[str] = frozenset()
    is_being_deleted: bool = False
    exists: bool = False

    def is_disabled(self, resource: str) -> bool:
        """Say whether the entity may spend nothing of a resource, whatever its limits say."""
        return self.is_being_deleted or self.disabled_at_ms is not None or resource in self.disabled


NO_ENTITY: Final = Entity()


@frozen
class StoredLimits:
    """The limits of one level under their version, the ms of the write that set them; deleted ones are empty."""

    limits: Limits
    version: int


def parse_bucket(item: Item, known: Bucket | None = None) -> Bucket:
    """Read a bucket item; limits under the stamp of a ``known`` state of it are not read twice."""
    attributes = cast("Mapping[str, Any]", item)  # one cast, for a bucket has many attributes
    stamp: str = attributes[STAMP]
    tats: dict[str, int] = {}
    requests: dict[str, str] = {}
    holders: dict[str, dict[str, int]] = {}
    for name, value in attributes.items():
        prefix = name[:2]  # all that count here are as long
        if prefix == REQUEST_PREFIX:
            requests[name] = value
        elif prefix == TAT_PREFIX:
            tats[name[2:]] = value
        elif prefix == HOLDER_PREFIX:
            _, limit_name, holder = name.split(".")
            holders.setdefault(limit_name, {})[holder] = value
    return Bucket(
        stamp,
        known.limits if known is not None and known.stamp == stamp else parse_limits(attributes[LIMITS]),
        tats,
        attributes.get(PARENT),
        attributes[VERSION],
        attributes[EXPIRES_AT],
        requests,
        holders,
    )


def parse_entity(item: Item | None) -> Entity:
    """Read an entity record."""
    if item is None:
        return NO_ENTITY
    return Entity(
        parent_id=cast("str | None", item.get(ENTITY_PARENT)),
        buckets=cast("frozenset[str]", item.get(ENTITY_BUCKETS, frozenset())),
        created_at_ms=cast("int | None", item.get(ENTITY_CREATED_AT)),
        revision=cast("str | None", item.get(ENTITY_REVISION)),
        name=cast("str | None", item.get(ENTITY_NAME)),
        metadata=cast("Mapping[str, str]", item.get(ENTITY_METADATA, {})),
        disabled_at_ms=cast("int | None", item.get(DISABLED_AT)),
        disabled={
            name.removeprefix(DISABLED_PREFIX): cast("int", at_ms)
            for name, at_ms in item.items()
            if name.startswith(DISABLED_PREFIX)
        },
        descendants=tuple([cast("int", item.get(name, 0)) for name in DESCENDANTS]),
        pending=cast("frozenset[str]", item.get(ENTITY_PENDING, frozenset())),
        is_being_deleted=ENTITY_DELETING_AT in item,
        exists=True,
    )


def parse_stored_limits(item: Item | None) -> StoredLimits | None:
    """Read the limits item of any level; None where the level never had any, or has forgotten them."""
    if item is None or STORED_VERSION not in item:
        return None
    return StoredLimits(parse_limits(item.get(STORED_LIMITS, {})), cast("int", item[STORED_VERSION]))


def render_limits(limits: Limits) -> Value:
    """Write limits as a map of name to (capacity, amount, period_ms); of leases (capacity, 0, lease_ms)."""
    return {
        limit.name: (limit.capacity, limit.amount, limit.lease_ms or limit.period_ms) for limit in limits.values()
    }


def parse_limits(value: Value) -> Limits:
    """Read what :func:`render_limits` wrote, in the order of the names."""
    stored = cast("Mapping[str, tuple[int, int, int]]", value)
    limits: dict[str, Limit] = {}
    for name in sorted(stored):
        capacity, amount, period_ms = stored[name]
        limits[name] = (
            Limit(name, capacity, amount, period_ms) if amount else Limit(name, capacity, 0, 0, period_ms)
        )
    return limits
