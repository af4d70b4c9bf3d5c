"""What must change so that the table is as a file says: a pure function of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..records import EntityRecord
from .changes import Change, ChangeLimits, CreateEntity, Details, FinishChanges, Kind, Switch, Target, UpdateEntity
from .desired import UNMENTIONED, Desired, DesiredEntity, Limitation, Mentioned
from .present import NO_RESOURCE, Present, PresentEntity
from .problems import InvalidDeclaration, Problem

type Track = tuple[Change, ...]
"""Changes to one thing, in the order in which they must be made."""

type Stage = tuple[Track, ...]
"""Tracks that do not depend on each other."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes, in stages: one is begun when the stage before is done. Parents stand before their children."""

    stages: tuple[Stage, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes in order."""
        return tuple([change for stage in self.stages for track in stage for change in track])

    @property
    def counts(self) -> dict[Kind, int]:
        """How many changes add, change and delete."""
        counts = Counter([change.kind for change in self.changes])
        return {"add": counts["add"], "change": counts["change"], "delete": counts["delete"]}

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.stages)


def plan_changes(desired: Desired, present: Present, *, prune: bool = False) -> Plan:
    """Return what differs; with ``prune`` also what is to be deleted because the file does not mention it.

    That is: the system's limits, the defaults of resources, and limits of entities that stand in the file.
    Entities are never deleted. Raises :class:`InvalidDeclaration` for a parent that is neither in the file nor in
    the table.
    """
    _check_parents(desired, present)
    defaults = [_limits(Target(), present.system, desired.system), *_resource_tracks(desired, present)]
    stages = [_stage(defaults)]
    parents = {entity.mentioned_parent for entity in desired.entities.values()}
    for generation in _generations(desired):
        tracks = [
            _entity_track(
                desired.entities[entity_id],
                present.entities.get(entity_id, PresentEntity(entity_id)),
                is_parent=entity_id in parents,
                prune=prune,
            )
            for entity_id in generation
        ]
        stages.append(_stage(tracks))
    if prune:
        stages.append(_stage(_pruned(desired, present)))
    return Plan(tuple([stage for stage in stages if stage]))


def _stage(tracks: Iterable[Iterable[Change]]) -> Stage:
    return tuple([track for track in map(tuple, tracks) if track])


# --- defaults --------------------------------------------------------------------------------------


def _resource_tracks(desired: Desired, present: Present) -> Iterator[Iterator[Change]]:
    for resource in sorted(desired.resources):
        yield _resource_track(resource, desired, present)


def _resource_track(resource: str, desired: Desired, present: Present) -> Iterator[Change]:
    wanted, found = desired.resources[resource], present.resources.get(resource, NO_RESOURCE)
    target = Target(resource=resource)
    limits = _limits(target, found.limits, wanted.limits)
    if wanted.disabled is UNMENTIONED or wanted.disabled is found.is_disabled:
        yield from limits
    elif wanted.disabled:
        yield Switch(target, is_disabled=True)
        yield from limits
    else:
        yield from limits
        yield Switch(target, is_disabled=False)


def _pruned(desired: Desired, present: Present) -> Iterator[Iterator[Change]]:
    if desired.system is UNMENTIONED:
        yield _limits(Target(), present.system, ())
    for resource, found in sorted(present.resources.items()):
        wanted = desired.resources.get(resource)
        if found.limits and (wanted is None or wanted.limits is UNMENTIONED):
            yield _limits(Target(resource=resource), found.limits, ())


def _limits(target: Target, before: Limitation, after: Mentioned[Limitation]) -> Iterator[Change]:
    if after is not UNMENTIONED and after != before:
        yield ChangeLimits(target, before, after)


# --- entities --------------------------------------------------------------------------------------


def _generations(desired: Desired) -> list[list[str]]:
    """Return the entities by how many ancestors they have in the file: none, one, two, three."""
    generations: dict[int, list[str]] = {}
    for entity_id in sorted(desired.entities):
        above = [name for name in desired.ancestry(entity_id) if name in desired.entities]
        generations.setdefault(len(above), []).append(entity_id)
    return [entity_ids for _, entity_ids in sorted(generations.items())]


def _entity_track(
    wanted: DesiredEntity, found: PresentEntity, *, is_parent: bool, prune: bool
) -> Iterator[Change]:
    """Disable before limits are set, and enable after: what is not to be spent is not, at no time between."""
    entity_id = found.entity_id
    switches = list(_switches(entity_id, wanted, found.disabled))
    yield from _details(wanted, found, must_be_created=is_parent)
    yield from [switch for switch in switches if switch.is_disabled]
    yield from _entity_limits(wanted, found, prune=prune)
    yield from [switch for switch in switches if not switch.is_disabled]
    if found.record is not None and found.record.has_pending_changes:
        yield FinishChanges(entity_id)


def _details(wanted: DesiredEntity, found: PresentEntity, *, must_be_created: bool) -> Iterator[Change]:
    before = Details(None, None, {}) if found.record is None else _details_of(found.record)
    after = Details(
        _or(wanted.parent_id, before.parent_id),
        _or(wanted.name, before.name),
        _or(wanted.metadata, before.metadata),
    )
    if found.is_created:
        if after != before:
            yield UpdateEntity(found.entity_id, before, after)
    # One that has limits, or a state, need not be created as well to be there.
    elif found.record is None or must_be_created or after != before:
        yield CreateEntity(found.entity_id, after.parent_id, after.name, after.metadata)


def _details_of(record: EntityRecord) -> Details:
    return Details(record.parent_id, record.name, record.metadata)


def _switches(entity_id: str, wanted: DesiredEntity, before: frozenset[str | None]) -> Iterator[Switch]:
    if wanted.disabled is UNMENTIONED:
        return
    for resource in sorted(wanted.disabled ^ before, key=_all_first):
        yield Switch(Target(entity_id, resource), is_disabled=resource in wanted.disabled)


def _entity_limits(wanted: DesiredEntity, found: PresentEntity, *, prune: bool) -> Iterator[Change]:
    mentioned = {*wanted.limits, *(found.limits if prune else ())}
    for resource in sorted(mentioned, key=_all_first):
        target = Target(found.entity_id, resource)
        yield from _limits(target, found.limits.get(resource, ()), wanted.limits.get(resource, ()))


def _check_parents(desired: Desired, present: Present) -> None:
    missing = desired.parents_elsewhere - present.parents
    problems = [
        Problem(
            f"entities.{entity_id}.parent",
            f"{entity.mentioned_parent} stands not in the file, and was not created in the table",
        )
        for entity_id, entity in desired.entities.items()
        if entity.mentioned_parent in missing
    ]
    if problems:
        raise InvalidDeclaration(tuple(problems))


def _all_first(resource: str | None) -> tuple[bool, str]:
    return resource is not None, resource or ""


def _or[T](mentioned: Mentioned[T], otherwise: T) -> T:
    return otherwise if mentioned is UNMENTIONED else mentioned
