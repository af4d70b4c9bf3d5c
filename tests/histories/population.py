"""Who spends: keys that move between two projects, the projects' organisation, and somebody alone."""

from __future__ import annotations

from random import Random
from typing import Final

from leasegate import Limit, Limiter

RESOURCE: Final = "gpt-4"
ORGANISATION: Final = "org"
PROJECTS: Final = ("project-a", "project-b")
KEYS: Final = ("key-1", "key-2", "key-3")
LONE: Final = "lone"
"""Nobody's child, under the resource's defaults."""
SPENDERS: Final = (*KEYS, LONE)
ABOVE: Final = (*PROJECTS, ORGANISATION)
LIMITED: Final = (*KEYS, *ABOVE)
NAMES: Final = ("rpm", "tpm")
OTHER_RESOURCES: Final = tuple(f"resource-{number}" for number in range(4))
"""Resources that only get and lose defaults, for the registry's sake."""


def any_limits(choice: Random, entity_id: str) -> list[Limit]:
    """Return limits that refuse now and then; those above are wider."""
    factor = {ORGANISATION: 4}.get(entity_id, 3 if entity_id in PROJECTS else 1)
    rate, burst = factor * choice.randint(4, 12), factor * choice.randint(4, 12)
    return [Limit.per_second("rpm", rate, burst), Limit.per_second("tpm", 50 * rate, 200 * burst)]


def populate(admin: Limiter, choice: Random) -> None:
    """Create everybody, with limits."""
    admin.create_entity(ORGANISATION)
    for project in PROJECTS:
        admin.create_entity(project, ORGANISATION)
    for number, key in enumerate(KEYS):
        admin.create_entity(key, PROJECTS[number % len(PROJECTS)])
    for entity_id in LIMITED:
        admin.set_limits(entity_id, any_limits(choice, entity_id))
    admin.set_resource_defaults(RESOURCE, any_limits(choice, LONE))
