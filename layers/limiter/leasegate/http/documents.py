"""What an administrator is shown: the library's records as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from ..limits import Limit
from ..records import (
    AuditRecord,
    BucketRecord,
    Deletion,
    EntityLimits,
    EntityRecord,
    Listing,
    Resolution,
    ResourceRecord,
    UsageRecord,
)
from .limits import write_limits, write_states
from .times import write_time

type Document = dict[str, object]


def show_page[T](listing: Listing[T], show: Callable[[T], object] = lambda item: item) -> Document:
    """Show a page: the items, and a cursor where there are more."""
    page: Document = {"items": [show(item) for item in listing.items]}
    return page if listing.cursor is None else {**page, "cursor": listing.cursor}


def show_names(names: Iterable[str]) -> Document:
    """Show all names that there are."""
    return {"items": list(names)}


def show_entity(entity: EntityRecord) -> Document:
    """Show an entity."""
    return {
        "entity_id": entity.entity_id,
        "parent_id": entity.parent_id,
        "name": entity.name,
        "metadata": dict(entity.metadata),
        "created_at_ms": entity.created_at_ms,
        "disabled_at_ms": entity.disabled_at_ms,
        "disabled_resources": dict(entity.disabled_resources),
        "children": entity.children,
        "buckets": entity.buckets,
        "is_being_deleted": entity.is_being_deleted,
        "has_pending_changes": entity.has_pending_changes,
    }


def show_limits(limits: Iterable[Limit]) -> Document:
    """Show the limits of one level, by name."""
    return {"limits": write_limits(sorted(limits, key=attrgetter("name")))}


def show_entity_limits(entity: EntityLimits) -> Document:
    """Show an entity's limits for one resource, or (null) for all."""
    return {"resource": entity.resource, **show_limits(entity.limits)}


def show_resource(resource: ResourceRecord) -> Document:
    """Show a resource."""
    return {
        "resource": resource.resource,
        **show_limits(resource.limits),
        "disabled_at_ms": resource.disabled_at_ms,
    }


def show_bucket(bucket: BucketRecord) -> Document:
    """Show a bucket as it stands."""
    return {"resource": bucket.resource, "source": bucket.source, "limits": write_states(bucket.states)}


def show_resolution(resolution: Resolution) -> Document:
    """Show which limits hold, and why."""
    return {
        "entity_id": resolution.entity_id,
        "resource": resolution.resource,
        "level": resolution.level,
        **show_limits(resolution.limits),
        "levels": {level: write_limits(limits) for level, limits in resolution.levels.items()},
        "reason": resolution.reason,
        "disabled": resolution.is_disabled,
    }


def show_deletion(deletion: Deletion) -> Document:
    """Show how far a deletion has come, in counts of this request."""
    return {"limits": deletion.limits, "buckets": deletion.buckets, "children_moved": deletion.children_moved}


def show_switch(changed: bool, *, disabled: bool) -> Document:
    """Show how a switch stands, and whether it stood otherwise before."""
    return {"disabled": disabled, "changed": changed}


def show_replenishment(done: bool) -> Document:
    """Show whether an operation was done now; if not, it was done before."""
    return {"done": done}


def show_change(change: AuditRecord) -> Document:
    """Show one change."""
    return {
        "scope": change.scope,
        "id": change.id,
        "at_ms": change.at_ms,
        "actor": change.actor,
        "action": change.action,
        "resource": change.resource,
        "before": change.before,
        "after": change.after,
    }


def show_usage(usage: UsageRecord) -> Document:
    """Show what an entity spent in one window, which is named in words and in ms."""
    return {
        "entity_id": usage.entity_id,
        "resource": usage.resource,
        "window": usage.window,
        "start": write_time(usage.start_ms),
        "end": write_time(usage.end_ms),
        "start_ms": usage.start_ms,
        "end_ms": usage.end_ms,
        "grants": usage.grants,
        "limits": {
            name: {"tokens": limit.tokens, "refused": limit.refused, "peak": limit.peak}
            for name, limit in usage.limits.items()
        },
        "counted_at_ms": usage.counted_at_ms,
    }
