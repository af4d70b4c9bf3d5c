"""The keys of items, and the keys that list some of them in the index."""

from __future__ import annotations

import zlib
from typing import Final, cast

from ..operations import Item, Key
from .attributes import GSI1PK, GSI1SK

RESOURCE_PREFIX: Final = "RESOURCE#"
"""What the partition keys of resources begin with."""
EXPIRY_SHARDS: Final = 16
"""Open leases that expire are listed in so many partitions of the index; one takes 1,000 writes a second."""

_LIMITS_SK: Final = "#LIMITS#"
_DEFAULTS_SK: Final = "#LIMITS"
_LEASE_PREFIX: Final = "LEASE#"
_BUCKET_PREFIX: Final = "BUCKET#"
_BUCKET_SK: Final = "#STATE"


def bucket_key(entity_id: str, resource: str) -> Key:
    """Name the item that holds the state of all limits of an entity and a resource."""
    return Key(f"{_BUCKET_PREFIX}{entity_id}#{resource}", _BUCKET_SK)


def bucket_of(key: Key) -> tuple[str, str]:
    """Return the entity and the resource of a bucket; raise ``ValueError`` for the key of anything else."""
    prefix, entity_id, resource = key.pk.split("#") if key.pk.count("#") == 2 else ("", "", "")
    if f"{prefix}#" != _BUCKET_PREFIX or key.sk != _BUCKET_SK or not entity_id or not resource:
        raise ValueError(f"{key.pk} {key.sk} is no bucket")
    return entity_id, resource


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


def shard_of(name: str, shards: int) -> int:
    """Return which of so many partitions of the index lists a name."""
    return zlib.crc32(name.encode()) % shards


def expiry_partition(shard: int) -> str:
    """Return an index partition that lists open leases by the time at which they expire."""
    return f"EXPIRY#{shard}"


def expiry_index(lease: str, expires_at_ms: int) -> dict[str, str]:
    """Return the index attributes that list a lease by the time at which it expires."""
    return {GSI1PK: expiry_partition(shard_of(lease, EXPIRY_SHARDS)), GSI1SK: f"{expires_at_ms:013}"}


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
