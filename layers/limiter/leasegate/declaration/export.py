"""The whole table as a file says it: system, resources, entities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .crew import THREADS, Progress, counted, side_by_side
from .desired import UNMENTIONED, Desired, DesiredEntity, DesiredResource
from .present import PresentEntity, PresentResource, read_entity, read_pages, read_resource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..administration import Administrator
    from ..records import EntityRecord

_PAGE_SIZE = 1_000


def export_table(
    administrator: Administrator,
    *,
    threads: int = THREADS,
    progress: Progress = lambda done, total: None,
) -> Desired:
    """Read all resources that have defaults, and all entities with their limits, parents before children.

    Two round trips for each entity and one more for each parent, ``threads`` at once. Entities that are being
    deleted are left out, and so are disabled resources without defaults: no list has them. What changes meanwhile
    may be in or not; the index that lists entities follows its table within moments. ``progress`` is told how many
    were read, of those that are known by then.
    """
    names = administrator.list_resources_with_defaults()
    by_resource = side_by_side(lambda name: read_resource(administrator, name), names, threads)
    resources = dict(zip(names, by_resource, strict=True))

    entities: dict[str, PresentEntity] = {}
    generation = list(_top(administrator))
    while generation:
        parents = []
        found_entities = side_by_side(lambda name: read_entity(administrator, name), generation, threads)
        total = len(entities) + len(generation)
        for found in counted(found_entities, progress, total, len(entities)):
            # A move while this runs may show an entity in two places.
            entities.setdefault(found.entity_id, found)
            if found.record is not None and found.record.children:
                parents.append(found.entity_id)
        children = side_by_side(lambda name: list(_children(administrator, name)), parents, threads)
        generation = [name for names in children for name in names if name not in entities]
    return Desired(
        administrator.get_system_defaults() or UNMENTIONED,
        {name: _resource(resource) for name, resource in resources.items()},
        {name: _entity(found.record, found) for name, found in entities.items() if found.record is not None},
    )


def _top(administrator: Administrator) -> Iterable[str]:
    return read_pages(lambda cursor: administrator.list_entities(cursor=cursor, page_size=_PAGE_SIZE))


def _children(administrator: Administrator, entity_id: str) -> Iterable[str]:
    return read_pages(lambda cursor: administrator.list_children(entity_id, cursor=cursor, page_size=_PAGE_SIZE))


def _resource(found: PresentResource) -> DesiredResource:
    return DesiredResource(limits=found.limits or UNMENTIONED, disabled=True if found.is_disabled else UNMENTIONED)


def _entity(record: EntityRecord, found: PresentEntity) -> DesiredEntity:
    return DesiredEntity(
        parent_id=UNMENTIONED if record.parent_id is None else record.parent_id,
        name=UNMENTIONED if record.name is None else record.name,
        metadata=record.metadata or UNMENTIONED,
        limits=found.limits,
        disabled=found.disabled or UNMENTIONED,
    )
