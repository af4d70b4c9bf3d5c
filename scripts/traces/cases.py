"""The situations in which the same question is put to both algorithms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from leasegate import Limit

type Source = Literal["call", "entity and resource", "entity", "resource", "system"]
"""Where limits come from: with the call, or stored on one of four levels."""

LEVELS: Final[tuple[Source, ...]] = ("entity and resource", "entity", "resource", "system")
"""The levels, in the order in which they are asked."""

NAMES: Final = ("rpm", "tpm", "rpd", "tpd", "images", "audio", "tools", "batch")
CAPACITY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Case:
    """A question, and what is known before it is put; ``name`` says so in words."""

    slug: str
    """Names pictures, and what is asked for: no two cases share a bucket or a resource."""
    name: str
    limit_count: int
    source: Source = "entity and resource"
    has_parent: bool = False
    """Whether a cascade spends from a parent too, which has as many limits of its own for the resource."""
    names_parent: bool = False
    is_known: bool = True
    """Whether the instance that is asked has answered the same question before."""
    bucket_exists: bool = True
    is_granted: bool = True
    """Otherwise others have spent everything since."""

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits of each level. A token a day comes back: none while it is asked."""
        return tuple([Limit.per_day(name, 1, burst=CAPACITY) for name in NAMES[: self.limit_count]])

    @property
    def entity_id(self) -> str:
        """Who asks."""
        return f"key-{self.slug}"

    @property
    def parent_id(self) -> str:
        """The parent of whoever asks."""
        return f"project-{self.slug}"

    @property
    def resource(self) -> str:
        """What is asked for."""
        return f"model-{self.slug}"

    @property
    def question(self) -> dict[str, Any]:
        """The question, as the body of ``POST /acquire`` and as the baseline's event."""
        asked: dict[str, Any] = {
            "entity_id": self.entity_id,
            "resource": self.resource,
            "consume": dict.fromkeys(NAMES[: self.limit_count], 1),
            "cascade": self.has_parent,
        }
        if self.source == "call":
            asked["limits"] = [limit.describe() for limit in self.limits]
        return asked | ({"parent_id": self.parent_id} if self.names_parent else {})


def _limits(count: int) -> str:
    return f"{count} limit{'' if count == 1 else 's'}"


# Limits of the system hold for whoever has no others, so those cases come last.
CASES: Final = (
    *[Case(f"call-{n}", f"known bucket, {_limits(n)} given with the call", n, "call") for n in (1, 2, 5, 8)],
    *[Case(f"stored-{n}", f"known bucket, {_limits(n)} of the entity for the resource", n) for n in (1, 2, 5)],
    Case("entity-2", "known bucket, 2 limits of the entity for any resource", 2, "entity"),
    Case("resource-2", "known bucket, 2 defaults of the resource", 2, "resource"),
    Case("refused-2", "known bucket, 2 limits, emptied by others: refused", 2, is_granted=False),
    Case("cold-2", "cold process, 2 limits", 2, is_known=False),
    Case("new-2", "cold process, new bucket, 2 limits", 2, is_known=False, bucket_exists=False),
    *[Case(f"cascade-{n}", f"known, cascade, {_limits(n)} each", n, has_parent=True) for n in (1, 2, 5)],
    Case(
        "cascade-cold-named-2",
        "cold process, cascade, 2 limits each, parent given",
        2,
        has_parent=True,
        names_parent=True,
        is_known=False,
    ),
    Case(
        "cascade-cold-2",
        "cold process, cascade, 2 limits each, parent read first",
        2,
        has_parent=True,
        is_known=False,
    ),
    Case("system-2", "known bucket, 2 defaults of the system", 2, "system"),
    *[
        Case(
            f"cascade-system-{n}",
            f"known, cascade, {n} defaults of the system, {_limits(n)} of the parent",
            n,
            "system",
            has_parent=True,
        )
        for n in (2, 5)
    ],
)
