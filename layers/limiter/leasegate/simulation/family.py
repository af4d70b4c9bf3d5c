"""Who there is in a simulated world, and which limits they may have: so few that everybody meets everybody."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Final

from ..flows.auditing import Signature
from ..flows.entities import EntityChange, change_entity
from ..flows.limits_admin import set_entity_limits, set_resource_defaults, set_system_defaults
from ..knowledge import Knowledge
from ..limits import Limit, Limits, index_limits

if TYPE_CHECKING:
    from ..flows.spending import Amounts
    from .world import World

RESOURCES: Final = ("gpt-4", "search")
PARENTS: Final[Mapping[str, str | None]] = {
    "org": None,
    "project-a": "org",
    "project-b": "org",
    "key-1": "project-a",
    "key-2": "project-a",
    "key-3": "project-b",
    "solo": None,
    "plain": None,
}
ENTITIES: Final = tuple(PARENTS)
DEFAULTS: Final = "the defaults"
"""Stands among entities for the defaults of resources and of the system, where changes are followed."""
SPENDERS: Final = ("key-1", "key-1", "key-2", "key-3", "solo", "plain", "project-b")
LIMITED: Final = ("org", "project-a", "key-1", "key-3", "solo")
"""Those that have limits of their own from the beginning; the others have the defaults."""

CONSUMES: Final[Sequence[Amounts]] = (
    {"rpm": 1, "tpm": 40},
    {"tpm": 100},
    {"rpm": 1, "tpm": 0},
    {"rpm": 2},
    {"rpm": 1, "tpm": 7},
)
HOLDING_CONSUMES: Final[Sequence[Amounts]] = ({"slots": 1, "tpm": 40}, {"slots": 2}, {"slots": 1, "rpm": 1})
"""What is asked of entities that limit how many leases there may be at a time."""


def draw_limits(entity_id: str | None, chance: random.Random) -> Limits:
    """Draw limits for an entity, or (None) defaults: such that they refuse now and then; ancestors' are wider."""
    wide = 4 if entity_id == "org" else 2 if entity_id in ("project-a", "project-b") else 1
    rate, burst = wide * chance.randint(20, 60), wide * chance.randint(5, 15)
    tpm = Limit("tpm", 40 * burst, 10 * rate, chance.choice((1_000, 1_000, 997)))
    if entity_id == "org":
        return index_limits([tpm])
    limits = [Limit("rpm", burst, rate, 1_000), tpm]
    if entity_id in ("key-1", "key-3", "project-a"):
        limits.append(Limit.concurrent("slots", wide * chance.randint(3, 5), lease_seconds=chance.choice((2, 20))))
    return index_limits(limits)


def populate(world: World) -> None:
    """Create everybody, and limits on all levels."""
    knowledge = Knowledge()
    signatures = (Signature("setup", f"setup-{number}", world.now_ms) for number in count())
    for entity_id, parent_id in PARENTS.items():
        change = EntityChange(entity_id, parent_id, must_exist=False)
        world.settle(change_entity(change, next(signatures), knowledge))
    for entity_id in LIMITED:
        limits = draw_limits(entity_id, world.chance)
        world.settle(set_entity_limits(entity_id, None, limits, next(signatures), knowledge))
    world.settle(set_system_defaults(draw_limits(None, world.chance), next(signatures), knowledge))
    world.settle(set_resource_defaults(RESOURCES[0], draw_limits(None, world.chance), next(signatures), knowledge))
