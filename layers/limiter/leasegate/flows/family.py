"""Families: the ancestors of an entity, and how many descendants each of them has.

Four levels in all. So that two moves at once cannot make a cycle, or a fifth level, every transaction that puts
an entity somewhere holds each ancestor, old and new, to its parent as it was read, and counts what is added or
taken away on each. The counts are by level (children, grandchildren, great-grandchildren): they say how deep
a family reaches below an entity, exactly, where the index of children lags behind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .. import schema
from ..errors import EntityNotFound, InvalidRequest
from ..operations import (
    Action,
    Add,
    AllOf,
    AnyOf,
    BatchGet,
    Check,
    Condition,
    Equals,
    Exists,
    Flow,
    NotExists,
    Update,
)
from ..schema import Entity
from . import reading


@dataclass(frozen=True, slots=True)
class Family:
    """The records that one place or another in a family depends on, as they were read one after another."""

    entity_id: str
    records: Mapping[str, Entity]

    @property
    def own(self) -> Entity:
        """The entity's own record."""
        return self.records[self.entity_id]

    def ancestors(self, parent_id: str | None) -> tuple[str, ...]:
        """Return those who are above a child of ``parent_id``, nearest first, as far as records were read."""
        return tuple(_climb(self.records, parent_id))

    @property
    def is_torn(self) -> bool:
        """Whether somebody moved meanwhile, so that what was read one after another cannot have been at once."""
        return self.entity_id in self.ancestors(self.own.parent_id)

    def check_place(self, parent_id: str | None) -> None:
        """Raise unless the entity, with all that is below it, can be a child of ``parent_id``.

        :class:`InvalidRequest` for a cycle or a fifth level, :class:`EntityNotFound` for a parent that was not
        created, or is being deleted.
        """
        above = self.ancestors(parent_id)
        if self.entity_id in above:
            raise InvalidRequest("parent_id", f"{self.entity_id} would be its own ancestor")
        for name in above:
            ancestor = self.records[name]
            if ancestor.created_at_ms is None or ancestor.is_being_deleted:
                raise EntityNotFound(name)
        levels_below = sum(count > 0 for count in self.own.descendants)
        if len(above) + 1 + levels_below > schema.MAX_LEVELS:
            what = f"{self.entity_id} with what is below it" if levels_below else self.entity_id
            raise InvalidRequest("parent_id", f"{what} would reach more than {schema.MAX_LEVELS} levels down")

    def moves(self, old_parent_id: str | None, new_parent_id: str | None) -> list[Action]:
        """Return what is to be done to all ancestors when the entity changes its parent; None is no parent."""
        deltas: dict[str, list[int]] = defaultdict(lambda: [0] * len(schema.DESCENDANTS))
        for sign, parent_id in ((-1, old_parent_id), (1, new_parent_id)):
            for level, name in enumerate(self.ancestors(parent_id)):
                for below, count in enumerate((1, *self.own.descendants)):
                    if level + below < len(schema.DESCENDANTS):
                        deltas[name][level + below] += sign * count
        return [self._count(name, delta) for name, delta in deltas.items()]

    def _count(self, entity_id: str, delta: list[int]) -> Action:
        key = schema.entity_key(entity_id)
        condition = AllOf(
            (
                Exists(schema.ENTITY_CREATED_AT),
                NotExists(schema.ENTITY_DELETING_AT),
                reading.as_read(schema.ENTITY_PARENT, self.records[entity_id].parent_id),
            )
        )
        changes = tuple(Add(name, count) for name, count in zip(schema.DESCENDANTS, delta, strict=True) if count)
        return Update(key, changes, condition) if changes else Check(key, condition)


def read_family(entity_id: str, *parent_ids: str | None) -> Flow[Family]:
    """Read an entity and all ancestors that it has, or would have under one of these parents.

    One round trip, one more for each further level.
    """
    records: dict[str, Entity] = {}
    missing = {entity_id} | {parent_id for parent_id in parent_ids if parent_id is not None}
    while missing:
        keys = tuple(schema.entity_key(name) for name in sorted(missing))
        (outcome,) = yield (BatchGet(keys),)
        items = reading.found(outcome)
        for key in keys:
            records[schema.entity_of(key)] = schema.parse_entity(items.get(key))
        tops = [(*_climb(records, parent_id),)[-1:] for parent_id in (entity_id, *parent_ids)]
        above = {records[top[0]].parent_id for top in tops if top}
        missing = {name for name in above if name is not None and name not in records}
    return Family(entity_id, records)


def as_counted(entity: Entity) -> list[Condition]:
    """Hold the counts of descendants to what was read."""
    return [
        Equals(name, count) if count else _is_zero(name)
        for name, count in zip(schema.DESCENDANTS, entity.descendants, strict=True)
    ]


def has_no_children() -> Condition:
    """Hold an entity to having no children."""
    return _is_zero(schema.DESCENDANTS[0])


def _is_zero(attribute: str) -> Condition:
    return AnyOf((NotExists(attribute), Equals(attribute, 0)))


def _climb(records: Mapping[str, Entity], start: str | None) -> Iterator[str]:
    """Go up from ``start``, itself included, as far as records are known; a circle is gone round once."""
    seen: set[str] = set()
    while start is not None and start in records and start not in seen:
        seen.add(start)
        yield start
        start = records[start].parent_id
