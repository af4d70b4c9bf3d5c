"""Which resources have defaults, and what stands on one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from .. import schema
from ..operations import Flow, Get, Item, Key
from ..records import ResourceRecord
from . import reading


def list_resources(*, is_consistent: bool) -> Flow[list[str]]:
    """Return the resources that have defaults, sorted. One round trip, however many items the table holds."""
    (outcome,) = yield (Get(schema.registry_key(), is_consistent),)
    return sorted(registered(reading.found(outcome)))


def get_resource(resource: str) -> Flow[ResourceRecord]:
    """Return a resource's defaults, if any, and when it was disabled, if it was. One round trip."""
    key = schema.resource_defaults_key(resource)
    (outcome,) = yield (Get(key),)
    item = reading.found(outcome).get(key, {})
    stored = schema.parse_stored_limits(item)
    return ResourceRecord(
        resource,
        () if stored is None else tuple(stored.limits.values()),
        cast("int | None", item.get(schema.DISABLED_AT)),
    )


def registered(items: Mapping[Key, Item]) -> frozenset[str]:
    """Return the names in the registry, out of a read of it."""
    item = items.get(schema.registry_key(), {})
    return cast("frozenset[str]", item.get(schema.REGISTRY_RESOURCES, frozenset()))
