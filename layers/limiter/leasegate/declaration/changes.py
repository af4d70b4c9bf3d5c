"""What can differ between a file and the table, each a value that says what is to be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .desired import Limitation

type Kind = Literal["add", "change", "delete"]


@dataclass(frozen=True, slots=True)
class Target:
    """What limits or a switch stand on: an entity for one resource or all, a resource, the system."""

    entity_id: str | None = None
    resource: str | None = None

    @property
    def path(self) -> str:
        """Where the file has it."""
        if self.entity_id is not None:
            return f"entities.{self.entity_id}"
        return "system" if self.resource is None else f"resources.{self.resource}"


@dataclass(frozen=True, slots=True)
class ChangeLimits:
    """Set the limits of a level, or delete them where ``after`` is empty."""

    target: Target
    before: Limitation
    after: Limitation

    @property
    def path(self) -> str:
        """Where the file has them."""
        if self.target.entity_id is not None:
            return f"{self.target.path}.limits.{self.target.resource or '*'}"
        return self.target.path if self.target.resource is None else f"{self.target.path}.limits"

    @property
    def kind(self) -> Kind:
        """Whether something comes, changes or goes."""
        return "delete" if not self.after else "change" if self.before else "add"


@dataclass(frozen=True, slots=True)
class CreateEntity:
    """Create an entity."""

    entity_id: str
    parent_id: str | None
    name: str | None
    metadata: Mapping[str, str]
    kind: Kind = "add"

    @property
    def path(self) -> str:
        """Where the file has it."""
        return f"entities.{self.entity_id}"


@dataclass(frozen=True, slots=True)
class Details:
    """What an entity is called, and whose child it is."""

    parent_id: str | None
    name: str | None
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UpdateEntity:
    """Change what an entity is called, or whose child it is."""

    entity_id: str
    before: Details
    after: Details
    kind: Kind = "change"

    @property
    def path(self) -> str:
        """Where the file has it."""
        return f"entities.{self.entity_id}"


@dataclass(frozen=True, slots=True)
class Switch:
    """Disable or enable a resource, or an entity for one resource or all."""

    target: Target
    is_disabled: bool
    kind: Kind = "change"

    @property
    def path(self) -> str:
        """Where the file has it."""
        if self.target.entity_id is None:
            return f"{self.target.path}.disabled"
        return f"{self.target.path}.disabled.{self.target.resource or '*'}"


@dataclass(frozen=True, slots=True)
class FinishChanges:
    """Tell the buckets of an entity what an interrupted change left untold."""

    entity_id: str
    kind: Kind = "change"

    @property
    def path(self) -> str:
        """Where the file has the entity."""
        return f"entities.{self.entity_id}"


type Change = ChangeLimits | CreateEntity | UpdateEntity | Switch | FinishChanges
