"""Which resources have defaults, and what stands on one of them."""

from __future__ import annotations

from typing import cast

from .. import schema
from ..operations import Flow
from ..records import ResourceRecord
from .changing import read_item


def list_resources(*, is_consistent: bool) -> Flow[list[str]]:
    """Return the resources that have defaults, sorted. One round trip, however many items the table holds."""
    return sorted((yield from read_registry(is_consistent=is_consistent)))


def get_resource(resource: str) -> Flow[ResourceRecord]:
    """Return a resource's defaults, if any, and when it was disabled, if it was. One round trip."""
    item = (yield from read_item(schema.resource_defaults_key(resource))) or {}
    stored = schema.parse_stored_limits(item)
    return ResourceRecord(
        resource,
        () if stored is None else tuple(stored.limits.values()),
        cast("int | None", item.get(schema.DISABLED_AT)),
    )


def read_registry(*, is_consistent: bool = True) -> Flow[frozenset[str]]:
    """Read the names in the registry. One round trip."""
    item = (yield from read_item(schema.registry_key(), is_consistent=is_consistent)) or {}
    return cast("frozenset[str]", item.get(schema.REGISTRY_RESOURCES, frozenset()))
