"""Stamps: one short string in each bucket says where its limits came from, so that a write can check it.

``e:{version}`` the entity's limits for the resource, ``d:{version}`` the entity's for all resources,
``r:{version}`` the resource's defaults, ``s:{version}`` the system's, ``i:{digest}`` limits given with the
call; ``stale:{version}`` is a mark: the limits, the parent or the state changed, read them again;
``off:{version}`` says that the entity is disabled for the resource.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from .limits import Limits

ENTITY_RESOURCE: Final = "e"
ENTITY: Final = "d"
RESOURCE: Final = "r"
SYSTEM: Final = "s"
INLINE: Final = "i"
_STALE = "stale"
_OFF = "off"

SOURCES: Final[Mapping[str, str]] = {
    ENTITY_RESOURCE: "entity_resource",
    ENTITY: "entity",
    RESOURCE: "resource",
    SYSTEM: "system",
    INLINE: "inline",
    _STALE: "stale",
    _OFF: "disabled",
}
"""What a stamp's scope is called where people read it."""


def stamp(scope: str, version: int) -> str:
    """Name the limits of a scope as they were set at ``version``."""
    return f"{scope}:{version}"


def inline_stamp(limits: Limits) -> str:
    """Name limits that were given with a call, by what they say."""
    text = ";".join(f"{x.name},{x.capacity},{x.amount},{x.lease_ms or x.period_ms}" for x in limits.values())
    return f"{INLINE}:{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"


def stale_mark(version: int) -> str:
    """Mark a bucket whose limits or parent changed at ``version``."""
    return f"{_STALE}:{version}"


def off_stamp(version: int) -> str:
    """Say that a bucket is disabled, as was found at ``version``."""
    return f"{_OFF}:{version}"


def scope_of(text: str) -> str:
    """Return the scope of a stamp; a mark's is one of its own."""
    return text.partition(":")[0]


def is_stale(text: str) -> bool:
    """Say whether this is a mark: whoever meets it reads the limits again."""
    return text.startswith(_STALE)


def is_off(text: str) -> bool:
    """Say whether the bucket refuses everything, because its entity is disabled."""
    return text.startswith(_OFF)


def is_pushed(text: str) -> bool:
    """Say whether the limits are the entity's own: a change of them changes the bucket."""
    return text.startswith((f"{ENTITY_RESOURCE}:", f"{ENTITY}:"))


def replaces(text: str, other: str) -> bool:
    """Say whether limits under one stamp are known to hold in place of those under another.

    Of one scope the higher version is the later; limits given with a call replace others given with a call.
    Between scopes the versions say nothing, because they were set by other clocks.
    """
    scope, _, version = text.partition(":")
    other_scope, _, other_version = other.partition(":")
    if scope != other_scope:
        return False
    return scope == INLINE or int(version) > int(other_version)
