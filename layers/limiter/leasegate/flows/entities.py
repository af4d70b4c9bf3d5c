"""Entities: who is limited, and whose child they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .. import schema
from ..errors import EntityNotFound, InvalidRequest, LeasegateError, StoreThrottled
from ..knowledge import Knowledge
from ..operations import (
    AllOf,
    Applied,
    BatchGet,
    Cancelled,
    Change,
    Check,
    Condition,
    Equals,
    Exists,
    Failed,
    Flow,
    Item,
    Key,
    NotExists,
    Refused,
    Set,
    Transact,
    Update,
)
from . import reading
from .acquire import MAX_LEVELS
from .limits_admin import mark_buckets

_MAX_ROUND_TRIPS: Final = 8
_MAX_TEXT: Final = 256
_MAX_METADATA: Final = 50


@dataclass(frozen=True, slots=True)
class NewEntity:
    """An entity to create; ``metadata`` is the caller's own, strings by name."""

    entity_id: str
    parent_id: str | None = None
    name: str | None = None
    metadata: Mapping[str, str] | None = None


def check_name(name: object) -> str | None:
    """Return ``name`` if it can be shown as an entity's name (at most 256 characters), or None."""
    if name is not None and not (isinstance(name, str) and 0 < len(name) <= _MAX_TEXT):
        raise InvalidRequest("name", f"must be a string of 1 to {_MAX_TEXT} characters")
    return name


def check_metadata(metadata: object) -> Mapping[str, str] | None:
    """Return ``metadata`` if it maps strings to strings, at most 50, at most 256 characters each; or None."""
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping) or len(metadata) > _MAX_METADATA:
        raise InvalidRequest("metadata", f"must map at most {_MAX_METADATA} strings to strings")
    for key, value in metadata.items():
        if not (isinstance(key, str) and 0 < len(key) <= _MAX_TEXT):
            raise InvalidRequest("metadata", f"has a key that is no string of 1 to {_MAX_TEXT} characters")
        if not (isinstance(value, str) and len(value) <= _MAX_TEXT):
            raise InvalidRequest(f"metadata.{key}", f"must be a string of at most {_MAX_TEXT} characters")
    return dict(metadata)


def create_entity(new: NewEntity, nonce: str, now_ms: int, knowledge: Knowledge) -> Flow[None]:
    """Create an entity, under a parent that exists; its buckets, if it has any already, learn of the parent.

    Two round trips, one more for each further ancestor. Raises :class:`InvalidRequest` where the entity exists,
    is its own ancestor, or would be more than three levels below the top; :class:`EntityNotFound` where the
    parent was not created.
    """
    if new.parent_id == new.entity_id:
        raise InvalidRequest("parent_id", f"{new.entity_id} would be its own ancestor")
    key = schema.entity_key(new.entity_id)
    for attempt in range(_MAX_ROUND_TRIPS):
        ancestors, own = yield from _read_family(new)
        entity = schema.parse_entity(own)
        if entity.created:
            _raise_unless_ours(own, nonce, new)
            return
        # A bucket that is created meanwhile adds to this set and would not know the parent: so hold the set.
        buckets: Condition = (
            Equals(schema.ENTITY_BUCKETS, entity.buckets) if entity.buckets else NotExists(schema.ENTITY_BUCKETS)
        )
        condition = AllOf((NotExists(schema.ENTITY_CREATED_AT), buckets))
        checks = tuple(Check(schema.entity_key(name), _as_read(parent)) for name, parent in ancestors.items())
        update = Update(key, _changes(new, nonce, now_ms), condition)
        (outcome,) = yield (Transact((update, *checks), f"{nonce}.{attempt}"),)
        match outcome:
            case Applied():
                knowledge.forget_ancestor(new.entity_id)
                if new.parent_id is not None:
                    yield from mark_buckets(new.entity_id, entity.buckets, now_ms)
                return
            case Cancelled((Refused(item), *_)) if schema.parse_entity(item).created:
                _raise_unless_ours(item, nonce, new)
                return
            case Cancelled():
                continue
            case Failed(error):
                raise error
            case _:
                raise LeasegateError(f"an entity cannot be created: {outcome}")
    raise StoreThrottled(f"entity {new.entity_id} or its ancestors are being changed by too many at once")


def _read_family(new: NewEntity) -> Flow[tuple[dict[str, str | None], Item | None]]:
    """Read the ancestors, nearest first, with the parent of each; and the entity's own record, if any."""
    ancestors: dict[str, str | None] = {}
    own_key = schema.entity_key(new.entity_id)
    keys: tuple[Key, ...] = (own_key,)
    own: Item | None = None
    above = new.parent_id
    while True:
        if above is not None:
            keys += (schema.entity_key(above),)
        (outcome,) = yield (BatchGet(keys),)
        items = reading.found(outcome)
        own = items.get(own_key, own)
        if above is None:
            return ancestors, own
        entity = schema.parse_entity(items.get(schema.entity_key(above)))
        if not entity.created:
            raise EntityNotFound(above)
        ancestors[above] = entity.parent_id
        if len(ancestors) >= MAX_LEVELS:
            raise InvalidRequest("parent_id", f"{new.entity_id} would have more than {MAX_LEVELS - 1} ancestors")
        above, keys = entity.parent_id, ()
        if above is None:
            return ancestors, own
        if above == new.entity_id or above in ancestors:
            raise InvalidRequest("parent_id", f"{new.entity_id} would be its own ancestor")


def _changes(new: NewEntity, nonce: str, now_ms: int) -> tuple[Change, ...]:
    changes: list[Change] = [Set(schema.ENTITY_CREATED_AT, now_ms), Set(schema.ENTITY_REQUEST, nonce)]
    if new.name is not None:
        changes.append(Set(schema.ENTITY_NAME, new.name))
    if new.metadata:
        changes.append(Set(schema.ENTITY_METADATA, dict(new.metadata)))
    if new.parent_id is not None:
        changes.append(Set(schema.ENTITY_PARENT, new.parent_id))
        changes += [Set(*entry) for entry in schema.children_index(new.parent_id, new.entity_id).items()]
    return tuple(changes)


def _as_read(parent_id: str | None) -> Condition:
    parent: Condition = (
        NotExists(schema.ENTITY_PARENT) if parent_id is None else Equals(schema.ENTITY_PARENT, parent_id)
    )
    return AllOf((Exists(schema.ENTITY_CREATED_AT), parent))


def _raise_unless_ours(item: Item | None, nonce: str, new: NewEntity) -> None:
    """Accept a record that this very call created before its reply was lost."""
    if item is None or item.get(schema.ENTITY_REQUEST) != nonce:
        raise InvalidRequest("entity_id", f"{new.entity_id} exists already")
