"""Which limits hold for an entity and a resource, and which level they come from."""

from __future__ import annotations

from ..limits import Limit
from ..operations import BatchGet, Flow
from ..records import LEVELS, Level, Resolution
from . import reading


def resolve(entity_id: str, resource: str) -> Flow[Resolution]:
    """Read all levels, strongly consistent, and say which one wins. One round trip."""
    keys = (*reading.record_keys(entity_id, resource), *reading.defaults_keys(resource))
    (outcome,) = yield (BatchGet(keys),)
    items = reading.found(outcome)
    own = reading.parse_entity_reading(items, entity_id, resource)
    defaults = reading.parse_defaults_reading(items, resource)
    levels: dict[Level, tuple[Limit, ...]] = {}
    for level, stored in zip(
        LEVELS, (own.for_resource, own.for_all, defaults.resource, defaults.system), strict=True
    ):
        if stored is not None and stored.limits:
            levels[level] = tuple(stored.limits.values())
    winner = next(iter(levels), None)
    return Resolution(
        entity_id=entity_id,
        resource=resource,
        level=winner,
        limits=() if winner is None else levels[winner],
        levels=levels,
        is_disabled=defaults.is_disabled or own.entity.is_disabled(resource),
    )
