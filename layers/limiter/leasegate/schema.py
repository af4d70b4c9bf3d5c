"""The table: its keys and attribute names, and how items are read. No other module spells them.

| item | PK | SK |
|---|---|---|
| bucket | ``BUCKET#{entity}#{resource}`` | ``#STATE`` |
| entity | ``ENTITY#{entity}`` | ``#META`` |
| entity limits | ``ENTITY#{entity}`` | ``#LIMITS#{resource}``, or ``#LIMITS#`` for all resources |
| resource defaults | ``RESOURCE#{resource}`` | ``#LIMITS`` |
| system defaults | ``SYSTEM#`` | ``#LIMITS`` |
| resource registry | ``SYSTEM#`` | ``#RESOURCES`` |
| backfill checkpoint | ``SYSTEM#`` | ``#BACKFILL`` |
| lease | ``LEASE#{lease}`` | ``#STATE`` |
| audit record | ``AUDIT#{scope}`` | ``{ms}#{id}`` |
| operation that was done | ``OPERATION#{entity}#{operation}`` | ``#STATE`` |

Deleted limits leave their version behind for a week (a tombstone), so that no version ever names two
different limits. ``GSI1`` lists entity records under their parents, and under no parent those at the top.

A bucket has a partition key of its own, so that a hot one can be split off by DynamoDB and none slows
another down. Names of hot attributes are short: a bucket of four limits stays under 1 KB, one write unit.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from .concurrency import Holders
from .limits import Limit, Limits
from .operations import Item, Key, Value

PK: Final = "PK"
SK: Final = "SK"
RESOURCE_PREFIX: Final = "RESOURCE#"
"""What the partition keys of resources begin with."""
INDEX: Final = "GSI1"
GSI1PK: Final = "GSI1PK"
GSI1SK: Final = "GSI1SK"

STAMP: Final = "cfg"
"""Where a bucket's limits came from; see :mod:`leasegate.stamps`."""
LIMITS: Final = "lim"
PARENT: Final = "par"
VERSION: Final = "n"
WRITTEN_AT: Final = "at"
EXPIRES_AT: Final = "ttl"
"""When DynamoDB may delete the item, in epoch seconds."""

ENTITY_PARENT: Final = "parent_id"
ENTITY_BUCKETS: Final = "buckets"
ENTITY_NAME: Final = "name"
ENTITY_METADATA: Final = "metadata"
ENTITY_CREATED_AT: Final = "created_at"
ENTITY_DELETING_AT: Final = "deleting_at"
ENTITY_REVISION: Final = "revision"
"""The id of the last administrative change of the record: no two states of it share one."""
ENTITY_PENDING: Final = "pending"
"""Changes that not every bucket has been told of; see :mod:`leasegate.flows.telling`."""
DESCENDANTS: Final = ("children", "grandchildren", "great_grandchildren")
"""How many entities are one, two and three levels below: kept exact by every transaction that moves one."""
MAX_LEVELS: Final = 1 + len(DESCENDANTS)
"""An entity and at most three ancestors."""

DISABLED_AT: Final = "disabled_at"
"""On an entity's record and on a resource's limits: when it was disabled, in ms."""

STORED_LIMITS: Final = "limits"
STORED_VERSION: Final = "version"

REGISTRY_RESOURCES: Final = "resources"

BACKFILL_RUN: Final = "run"
"""Tells one run of the backfill from another; with the version, one state of the checkpoint from another."""
BACKFILL_VERSION: Final = "version"
BACKFILL_DRY_RUN: Final = "dry_run"
BACKFILL_PRUNE: Final = "prune"
BACKFILL_SEGMENTS: Final = "segments"
BACKFILL_POSITIONS: Final = "positions"
BACKFILL_PRUNE_AFTER: Final = "prune_after"
BACKFILL_SCANNED: Final = "scanned"
BACKFILL_FOUND: Final = "found"
BACKFILL_ADDED: Final = "added"
BACKFILL_REMOVED: Final = "removed"

AUDIT_ACTOR: Final = "actor"
AUDIT_ACTION: Final = "action"
AUDIT_RESOURCE: Final = "resource"
AUDIT_BEFORE: Final = "before"
AUDIT_AFTER: Final = "after"
AUDIT_AT: Final = "at"

REQUEST_SLOTS: Final = 8
"""How many request ids a bucket remembers; a repeated write is recognised while its id is among them."""

LEASE_OWNER: Final = "owner"
LEASE_GRANT: Final = "grant"
"""What was granted, as a ticket; see :mod:`leasegate.tickets`."""
LEASE_FINGERPRINT: Final = "fingerprint"
"""What was asked under an idempotency key."""
LEASE_EXPIRES_AT: Final = "expires_at"
LEASE_ON_EXPIRY: Final = "on_expiry"
LEASE_ENDED: Final = "ended"
"""How the lease ended, once it has."""

EXPIRY_SHARDS: Final = 16
"""Open leases that expire are listed in so many partitions of the index; one takes 1,000 writes a second."""

_TAT = "v."
_USED = "u."
_REQUEST = "r."
_HELD = "k."
_HOLDER = "h."
_DISABLED = "disabled."
_LIMITS_SK = "#LIMITS#"
_DEFAULTS_SK = "#LIMITS"
_LEASE_PREFIX = "LEASE#"


# --- keys ------------------------------------------------------------------------------------------


def bucket_key(entity_id: str, resource: str) -> Key:
    """Name the item that holds the state of all limits of an entity and a resource."""
    return Key(f"BUCKET#{entity_id}#{resource}", "#STATE")


def entity_key(entity_id: str) -> Key:
    """Name an entity's record."""
    return Key(f"ENTITY#{entity_id}", "#META")


def entity_limits_key(entity_id: str, resource: str | None) -> Key:
    """Name the limits of an entity for one resource, or for all where ``resource`` is None."""
    return Key(f"ENTITY#{entity_id}", f"{_LIMITS_SK}{resource or ''}")


def entity_limits_query(entity_id: str) -> tuple[str, str]:
    """Return the partition and the prefix under which all limits of an entity stand."""
    return f"ENTITY#{entity_id}", _LIMITS_SK


def resource_of_limits(key: Key) -> str | None:
    """Return the resource that an entity's limits are for; None where they are for all."""
    return key.sk.removeprefix(_LIMITS_SK) or None


def resource_defaults_key(resource: str) -> Key:
    """Name the limits of every entity that has none of its own for this resource."""
    return Key(f"{RESOURCE_PREFIX}{resource}", _DEFAULTS_SK)


def resource_of_defaults(key: Key) -> str | None:
    """Return the resource whose defaults a key names; None where it names something else."""
    if key.sk != _DEFAULTS_SK or not key.pk.startswith(RESOURCE_PREFIX):
        return None
    return key.pk.removeprefix(RESOURCE_PREFIX) or None


def system_defaults_key() -> Key:
    """Name the limits that hold where no other level has any."""
    return Key("SYSTEM#", "#LIMITS")


def registry_key() -> Key:
    """Name the set of resources that have defaults."""
    return Key("SYSTEM#", "#RESOURCES")


def backfill_key() -> Key:
    """Name the checkpoint of the registry's backfill."""
    return Key("SYSTEM#", "#BACKFILL")


def audit_partition(scope: str) -> str:
    """Return the partition that holds the audit records of a scope."""
    return f"AUDIT#{scope}"


def audit_key(scope: str, at_ms: int, change_id: str) -> Key:
    """Name the record of one change; they sort by time until the year 2286."""
    return Key(audit_partition(scope), f"{at_ms:013}#{change_id}")


def operation_key(entity_id: str, operation_id: str) -> Key:
    """Name what remembers that an operation on an entity's bucket was done."""
    return Key(f"OPERATION#{entity_id}#{operation_id}", "#STATE")


def lease_key(lease: str) -> Key:
    """Name a lease."""
    return Key(f"{_LEASE_PREFIX}{lease}", "#STATE")


def lease_of(key: Key) -> str:
    """Return the lease that a key names."""
    return key.pk.removeprefix(_LEASE_PREFIX)


def expiry_partition(shard: int) -> str:
    """Return an index partition that lists open leases by the time at which they expire."""
    return f"EXPIRY#{shard}"


def expiry_index(lease: str, expires_at_ms: int) -> dict[str, str]:
    """Return the index attributes that list a lease by the time at which it expires."""
    return {GSI1PK: expiry_partition(zlib.crc32(lease.encode()) % EXPIRY_SHARDS), GSI1SK: f"{expires_at_ms:013}"}


def expiry_of(item: Item) -> int:
    """Return the time that an entry of the index lists a lease by, in ms."""
    return int(cast("str", item[GSI1SK]))


def children_partition(parent_id: str | None) -> str:
    """Return the index partition that lists the children of an entity, or (None) the entities at the top."""
    return f"PARENT#{parent_id or ''}"


def children_index(parent_id: str | None, entity_id: str) -> dict[str, str]:
    """Return the index attributes that list an entity under its parent, or (None) at the top."""
    return {GSI1PK: children_partition(parent_id), GSI1SK: f"ENTITY#{entity_id}"}


def entity_of(key: Key) -> str:
    """Return the entity whose record a key names."""
    return key.pk.removeprefix("ENTITY#")


# --- attributes ------------------------------------------------------------------------------------


def tat_attribute(limit_name: str) -> str:
    """Name the attribute that holds a limit's state (see :mod:`leasegate.bucket`)."""
    return _TAT + limit_name


def used_attribute(limit_name: str) -> str:
    """Name the attribute that holds the tokens spent since the bucket's birth, net of what came back."""
    return _USED + limit_name


def held_attribute(limit_name: str) -> str:
    """Name the attribute that counts the holders of a concurrency limit."""
    return _HELD + limit_name


def holder_attribute(limit_name: str, holder: str) -> str:
    """Name the attribute that says until when a holder has its share of a concurrency limit, in ms."""
    return f"{_HOLDER}{limit_name}.{holder}"


def is_holder_attribute(attribute: str) -> bool:
    """Say whether an attribute belongs to one holder: there are as many names of those as leases."""
    return attribute.startswith(_HOLDER)


def request_attribute(slot: int) -> str:
    """Name the attribute that holds the id of the last request of this slot."""
    return f"{_REQUEST}{slot}"


def disabled_attribute(resource: str | None) -> str:
    """Name the attribute of an entity's record that disables it for one resource, or (None) for all."""
    return DISABLED_AT if resource is None else _DISABLED + resource


# --- items -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class StoredLimits:
    """The limits of one level under their version, the ms of the write that set them; deleted ones are empty."""

    limits: Limits
    version: int


def parse_bucket(item: Item, known: Bucket | None = None) -> Bucket:
    """Read a bucket item; limits under the stamp of a ``known`` state of it are not read twice."""
    stamp = cast("str", item[STAMP])
    tats: dict[str, int] = {}
    requests: dict[str, str] = {}
    holders: dict[str, dict[str, int]] = {}
    for name, value in item.items():
        if name.startswith(_TAT):
            tats[name[2:]] = cast("int", value)
        elif name.startswith(_REQUEST):
            requests[name] = cast("str", value)
        elif name.startswith(_HOLDER):
            _, limit_name, holder = name.split(".")
            holders.setdefault(limit_name, {})[holder] = cast("int", value)
    return Bucket(
        stamp=stamp,
        limits=known.limits if known is not None and known.stamp == stamp else parse_limits(item[LIMITS]),
        tats=tats,
        parent_id=cast("str | None", item.get(PARENT)),
        version=cast("int", item[VERSION]),
        expires_at_s=cast("int", item[EXPIRES_AT]),
        requests=requests,
        holders=holders,
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
            name.removeprefix(_DISABLED): cast("int", at_ms)
            for name, at_ms in item.items()
            if name.startswith(_DISABLED)
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
