"""What the table has of that which a file mentions, read side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeGuard

from ..errors import EntityNotFound
from ..records import EntityRecord, Listing
from .crew import THREADS, Progress, counted, side_by_side
from .desired import UNMENTIONED, Desired, Limitation

if TYPE_CHECKING:
    from ..administration import Administrator

_PAGE_SIZE: Final = 100


@dataclass(frozen=True, slots=True)
class PresentResource:
    """A resource's defaults, and whether it is disabled for everybody."""

    limits: Limitation
    is_disabled: bool


NO_RESOURCE: Final = PresentResource((), is_disabled=False)


@dataclass(frozen=True, slots=True)
class PresentEntity:
    """An entity and its limits by resource (None: for all); without a record it does not exist, or is going to."""

    entity_id: str
    record: EntityRecord | None = None
    limits: Mapping[str | None, Limitation] = field(default_factory=dict)

    @property
    def is_created(self) -> bool:
        """Whether it was created, and has not only limits or a state."""
        return self.record is not None and self.record.created_at_ms is not None

    @property
    def disabled(self) -> frozenset[str | None]:
        """The resources that it is disabled for; None for all together."""
        if self.record is None:
            return frozenset()
        everything = frozenset([None] if self.record.disabled_at_ms is not None else [])
        return everything | frozenset(self.record.disabled_resources)


@dataclass(frozen=True, slots=True)
class Present:
    """The table's part of a comparison; ``parents`` are those created entities that the file only refers to."""

    system: Limitation = ()
    resources: Mapping[str, PresentResource] = field(default_factory=dict)
    entities: Mapping[str, PresentEntity] = field(default_factory=dict)
    parents: frozenset[str] = frozenset()


def read_present(
    administrator: Administrator,
    desired: Desired,
    *,
    prune: bool = False,
    threads: int = THREADS,
    progress: Progress = lambda done, total: None,
) -> Present:
    """Read what a file mentions, and with ``prune`` the defaults of all resources and the system.

    Two round trips for each entity, one for each resource; ``threads`` of them at once. Errors as of the
    administrator.
    """
    system = administrator.get_system_defaults() if prune or desired.system is not UNMENTIONED else ()
    resources = sorted({*desired.resources, *(administrator.list_resources_with_defaults() if prune else ())})
    entities = sorted(desired.entities)
    parents = sorted(desired.parents_elsewhere)
    total = len(resources) + len(entities) + len(parents)

    by_resource = side_by_side(lambda name: read_resource(administrator, name), resources, threads)
    found_resources = dict(zip(resources, counted(by_resource, progress, total), strict=True))
    by_entity = side_by_side(lambda name: read_entity(administrator, name), entities, threads)
    found_entities = counted(by_entity, progress, total, len(resources))
    records = side_by_side(lambda name: _read_record(administrator, name), parents, threads)
    return Present(
        system,
        found_resources,
        {found.entity_id: found for found in found_entities},
        frozenset(
            [
                record.entity_id
                for record in counted(records, progress, total, total - len(parents))
                if _can_be_parent(record)
            ]
        ),
    )


def read_resource(administrator: Administrator, resource: str) -> PresentResource:
    """Read one resource."""
    record = administrator.get_resource(resource)
    return PresentResource(record.limits, record.disabled_at_ms is not None)


def read_entity(administrator: Administrator, entity_id: str) -> PresentEntity:
    """Read one entity and all its limits; one that is being deleted counts as gone."""
    record = _read_record(administrator, entity_id)
    if record is None or record.is_being_deleted:
        return PresentEntity(entity_id)
    pages = read_pages(lambda cursor: administrator.list_limits(entity_id, cursor=cursor, page_size=_PAGE_SIZE))
    limits = {stored.resource: stored.limits for stored in pages if stored.limits}
    return PresentEntity(entity_id, record, limits)


def read_pages[T](read: Callable[[str | None], Listing[T]]) -> Iterable[T]:
    """Yield the items of all pages of a listing."""
    cursor = None
    while True:
        page = read(cursor)
        yield from page.items
        cursor = page.cursor
        if cursor is None:
            return


def _read_record(administrator: Administrator, entity_id: str) -> EntityRecord | None:
    try:
        return administrator.get_entity(entity_id)
    except EntityNotFound:
        return None


def _can_be_parent(record: EntityRecord | None) -> TypeGuard[EntityRecord]:
    return record is not None and record.created_at_ms is not None and not record.is_being_deleted
