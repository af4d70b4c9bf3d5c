"""The table: its keys and attribute names, and how items are read. No other module spells them.

| item | PK | SK |
|---|---|---|
| bucket | ``BUCKET#{entity}#{resource}`` | ``#STATE`` |
| entity | ``ENTITY#{entity}`` | ``#META`` |
| entity limits | ``ENTITY#{entity}`` | ``#LIMITS#{resource}``, or ``#LIMITS#`` for all resources |
| resource defaults | ``RESOURCE#{resource}`` | ``#LIMITS`` |
| system defaults | ``SYSTEM#`` | ``#LIMITS`` |
| resource registry | ``SYSTEM#`` | ``#RESOURCES`` |

A bucket has a partition key of its own, so that a hot one can be split off by DynamoDB and none slows
another down. Names of hot attributes are short: a bucket of four limits stays under 1 KB, one write unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from .limits import Limit, Limits
from .operations import Item, Key, Value

PK: Final = "PK"
SK: Final = "SK"
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
ENTITY_LIMITS_AT: Final = "limits_at"
ENTITY_REQUEST: Final = "request_id"

STORED_LIMITS: Final = "limits"
STORED_VERSION: Final = "version"
STORED_REQUEST: Final = "request_id"

REGISTRY_RESOURCES: Final = "resources"

REQUEST_SLOTS: Final = 8
"""How many request ids a bucket remembers; a repeated write is recognised while its id is among them."""

_TAT = "v."
_USED = "u."
_REQUEST = "r."


# --- keys ------------------------------------------------------------------------------------------


def bucket_key(entity_id: str, resource: str) -> Key:
    """Name the item that holds the state of all limits of an entity and a resource."""
    return Key(f"BUCKET#{entity_id}#{resource}", "#STATE")


def entity_key(entity_id: str) -> Key:
    """Name an entity's record."""
    return Key(f"ENTITY#{entity_id}", "#META")


def entity_limits_key(entity_id: str, resource: str | None) -> Key:
    """Name the limits of an entity for one resource, or for all where ``resource`` is None."""
    return Key(f"ENTITY#{entity_id}", f"#LIMITS#{resource or ''}")


def resource_defaults_key(resource: str) -> Key:
    """Name the limits of every entity that has none of its own for this resource."""
    return Key(f"RESOURCE#{resource}", "#LIMITS")


def system_defaults_key() -> Key:
    """Name the limits that hold where no other level has any."""
    return Key("SYSTEM#", "#LIMITS")


def registry_key() -> Key:
    """Name the set of resources that have defaults."""
    return Key("SYSTEM#", "#RESOURCES")


def children_index(parent_id: str, entity_id: str) -> dict[str, str]:
    """Return the index attributes that list an entity under its parent."""
    return {GSI1PK: f"PARENT#{parent_id}", GSI1SK: f"ENTITY#{entity_id}"}


# --- attributes ------------------------------------------------------------------------------------


def tat_attribute(limit_name: str) -> str:
    """Name the attribute that holds a limit's state (see :mod:`leasegate.bucket`)."""
    return _TAT + limit_name


def used_attribute(limit_name: str) -> str:
    """Name the attribute that holds the tokens spent since the bucket's birth, net of what came back."""
    return _USED + limit_name


def request_attribute(slot: int) -> str:
    """Name the attribute that holds the id of the last request of this slot."""
    return f"{_REQUEST}{slot}"


# --- items -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bucket:
    """The state of all limits of one entity and resource, as its item carried it.

    ``tats`` holds the limits' states by name (absent: full), ``requests`` the remembered request ids by slot
    attribute, ``expires_at_s`` when DynamoDB may delete the item.
    """

    stamp: str
    limits: Limits
    tats: Mapping[str, int]
    parent_id: str | None
    version: int
    expires_at_s: int
    requests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity's record. ``created`` tells a created one from one that only its limits or buckets made."""

    parent_id: str | None
    buckets: frozenset[str]
    created: bool


@dataclass(frozen=True, slots=True)
class StoredLimits:
    """The limits of one level, and the ms of the write that set them."""

    limits: Limits
    version: int


def parse_bucket(item: Item, known: Bucket | None = None) -> Bucket:
    """Read a bucket item; limits under the stamp of a ``known`` state of it are not read twice."""
    stamp = cast("str", item[STAMP])
    tats: dict[str, int] = {}
    requests: dict[str, str] = {}
    for name, value in item.items():
        if name.startswith(_TAT):
            tats[name[2:]] = cast("int", value)
        elif name.startswith(_REQUEST):
            requests[name] = cast("str", value)
    return Bucket(
        stamp=stamp,
        limits=known.limits if known is not None and known.stamp == stamp else parse_limits(item[LIMITS]),
        tats=tats,
        parent_id=cast("str | None", item.get(PARENT)),
        version=cast("int", item[VERSION]),
        expires_at_s=cast("int", item[EXPIRES_AT]),
        requests=requests,
    )


def parse_entity(item: Item | None) -> Entity:
    """Read an entity record; an absent one is an entity without parent and buckets."""
    if item is None:
        return Entity(parent_id=None, buckets=frozenset(), created=False)
    return Entity(
        parent_id=cast("str | None", item.get(ENTITY_PARENT)),
        buckets=cast("frozenset[str]", item.get(ENTITY_BUCKETS, frozenset())),
        created=ENTITY_CREATED_AT in item,
    )


def parse_stored_limits(item: Item | None) -> StoredLimits | None:
    """Read the limits item of any level; None where the level has none."""
    if item is None:
        return None
    return StoredLimits(parse_limits(item[STORED_LIMITS]), cast("int", item[STORED_VERSION]))


def render_limits(limits: Limits) -> Value:
    """Write limits as a map of name to (capacity, amount, period_ms)."""
    return {limit.name: (limit.capacity, limit.amount, limit.period_ms) for limit in limits.values()}


def parse_limits(value: Value) -> Limits:
    """Read what :func:`render_limits` wrote, in the order of the names."""
    stored = cast("Mapping[str, tuple[int, int, int]]", value)
    return {name: Limit(name, *stored[name]) for name in sorted(stored)}
