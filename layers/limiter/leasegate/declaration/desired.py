"""What a file says that there is to be. What it does not mention has no opinion, and is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Literal

from ..limits import Limit


class Unmentioned(Enum):
    """Stands for what a file does not mention."""

    UNMENTIONED = auto()


UNMENTIONED: Final = Unmentioned.UNMENTIONED

type Mentioned[T] = T | Literal[Unmentioned.UNMENTIONED]
"""A value, if the file gives one."""

type Limitation = tuple[Limit, ...]
"""The limits of one level, in the order of their names; empty: there are to be none."""


@dataclass(frozen=True, slots=True)
class DesiredResource:
    """A resource's defaults, and whether it is disabled for everybody."""

    limits: Mentioned[Limitation] = UNMENTIONED
    disabled: Mentioned[bool] = UNMENTIONED


@dataclass(frozen=True, slots=True)
class DesiredEntity:
    """An entity; a field that is mentioned is made exactly so.

    Attributes:
        parent_id: whose child; None at the top.
        name: what people call it; None for no name.
        metadata: all of them.
        limits: by resource, None for all that it has no limits for; resources that are absent are not mentioned.
        disabled: for which resources, None for all together; empty: for none.
    """

    parent_id: Mentioned[str | None] = UNMENTIONED
    name: Mentioned[str | None] = UNMENTIONED
    metadata: Mentioned[Mapping[str, str]] = UNMENTIONED
    limits: Mapping[str | None, Limitation] = field(default_factory=dict)
    disabled: Mentioned[frozenset[str | None]] = UNMENTIONED

    @property
    def mentioned_parent(self) -> str | None:
        """The parent, if one is mentioned."""
        return None if self.parent_id is UNMENTIONED else self.parent_id


@dataclass(frozen=True, slots=True)
class Desired:
    """All that a file says."""

    system: Mentioned[Limitation] = UNMENTIONED
    resources: Mapping[str, DesiredResource] = field(default_factory=dict)
    entities: Mapping[str, DesiredEntity] = field(default_factory=dict)

    @property
    def parents_elsewhere(self) -> frozenset[str]:
        """The parents that are mentioned, and stand not in the file themselves."""
        parents = {entity.mentioned_parent for entity in self.entities.values()}
        return frozenset([parent for parent in parents if parent is not None and parent not in self.entities])

    def ancestry(self, entity_id: str) -> list[str]:
        """Return an entity and those above it, as far as the file says; a cycle ends with its first member."""
        path = [entity_id]
        while (entity := self.entities.get(path[-1])) is not None and entity.mentioned_parent is not None:
            path.append(entity.mentioned_parent)
            if path[-1] in path[:-1]:
                break
        return path
