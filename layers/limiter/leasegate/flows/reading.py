"""What a flow reads before it writes, and which level's limits win.

The first level that has any limits wins whole: entity and resource, entity, resource defaults, system
defaults, limits given with the call. An ancestor is limited only by limits set on itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import schema, stamps
from ..errors import LeasegateError
from ..frozen import frozen
from ..knowledge import Ancestor, Defaults, Knowledge
from ..limits import Limits
from ..operations import Condition, Equals, Failed, Found, Item, Key, NotExists, Outcome, Page
from ..schema import Bucket, Entity, StoredLimits


@frozen
class Resolved:
    """The limits that hold, and the stamp that says where they came from."""

    stamp: str
    limits: Limits


@frozen
class EntityReading:
    """An entity's record and its own limits (deleted ones too), as one BatchGetItem returned them: no snapshot."""

    entity: Entity
    for_resource: StoredLimits | None
    for_all: StoredLimits | None

    def resolve(self) -> Resolved | None:
        """Return the limits that are set on the entity itself, if any."""
        if self.for_resource is not None and self.for_resource.limits:
            return Resolved(
                stamps.stamp(stamps.ENTITY_RESOURCE, self.for_resource.version), self.for_resource.limits
            )
        if self.for_all is not None and self.for_all.limits:
            return Resolved(stamps.stamp(stamps.ENTITY, self.for_all.version), self.for_all.limits)
        return None


def resolve_defaults(defaults: Defaults, inline: Limits | None) -> Resolved | None:
    """Return the limits of an entity that has none of its own, if any."""
    if defaults.resource is not None:
        return Resolved(stamps.stamp(stamps.RESOURCE, defaults.resource.version), defaults.resource.limits)
    if defaults.system is not None:
        return Resolved(stamps.stamp(stamps.SYSTEM, defaults.system.version), defaults.system.limits)
    if inline is not None:
        return Resolved(stamps.inline_stamp(inline), inline)
    return None


def entity_keys(entity_id: str, resource: str) -> tuple[Key, ...]:
    """Name the bucket, the record and the own limits of an entity."""
    return (schema.bucket_key(entity_id, resource), *record_keys(entity_id, resource))


def record_keys(entity_id: str, resource: str) -> tuple[Key, ...]:
    """Name the record and the own limits of an entity."""
    return (
        schema.entity_key(entity_id),
        schema.entity_limits_key(entity_id, resource),
        schema.entity_limits_key(entity_id, None),
    )


def defaults_keys(resource: str) -> tuple[Key, ...]:
    """Name the limits of the two levels below an entity's own."""
    return (schema.resource_defaults_key(resource), schema.system_defaults_key())


def parse_entity_reading(items: Mapping[Key, Item], entity_id: str, resource: str) -> EntityReading:
    """Take an entity's record and own limits out of a complete read."""
    return EntityReading(
        entity=schema.parse_entity(items.get(schema.entity_key(entity_id))),
        for_resource=schema.parse_stored_limits(items.get(schema.entity_limits_key(entity_id, resource))),
        for_all=schema.parse_stored_limits(items.get(schema.entity_limits_key(entity_id, None))),
    )


def parse_bucket_reading(items: Mapping[Key, Item], entity_id: str, resource: str) -> Bucket | None:
    """Take a bucket out of a complete read."""
    item = items.get(schema.bucket_key(entity_id, resource))
    return None if item is None else schema.parse_bucket(item)


def parse_defaults_reading(items: Mapping[Key, Item], resource: str) -> Defaults:
    """Take the defaults out of a complete read."""
    item = items.get(schema.resource_defaults_key(resource))
    return Defaults(
        resource=_not_deleted(schema.parse_stored_limits(item)),
        system=_not_deleted(schema.parse_stored_limits(items.get(schema.system_defaults_key()))),
        is_disabled=item is not None and schema.DISABLED_AT in item,
    )


def learn_ancestor(
    knowledge: Knowledge, entity_id: str, resource: str, reading: EntityReading, read_at_ms: int
) -> None:
    """Remember an entity as an ancestor of others."""
    resolved = reading.resolve()
    names = frozenset[str]() if resolved is None else frozenset(resolved.limits)
    ancestor = Ancestor(reading.entity.parent_id, names, reading.entity.is_disabled(resource))
    knowledge.learn_ancestor(entity_id, resource, ancestor, read_at_ms)


def as_read(attribute: str, value: str | int | None) -> Condition:
    """Hold an attribute to what was read; None for not there."""
    return NotExists(attribute) if value is None else Equals(attribute, value)


def page(outcome: Outcome) -> Page:
    """Return the page that was read, or raise the :class:`StoreError` that stands in its place."""
    match outcome:
        case Page():
            return outcome
        case Failed(error):
            raise error
        case _:
            raise LeasegateError(f"a listing cannot end as {type(outcome).__name__}")


def found(outcome: Outcome) -> Mapping[Key, Item]:
    """Return the items of a read, or raise the :class:`StoreError` that stands in their place."""
    match outcome:
        case Found(items):
            return items
        case Failed(error):
            raise error
        case _:
            raise LeasegateError(f"a read cannot end as {type(outcome).__name__}")


def _not_deleted(stored: StoredLimits | None) -> StoredLimits | None:
    return stored if stored is not None and stored.limits else None
