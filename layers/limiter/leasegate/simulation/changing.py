"""Changes that decide who may spend what: of limits on all levels, of families, of what is disabled."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

from ..flows import limits_admin, switches
from ..flows.auditing import Signature
from ..flows.deletion import delete_chunk
from ..flows.entities import EntityChange, change_entity
from ..flows.replenishing import Order, replenish
from ..knowledge import Knowledge
from ..operations import Flow
from .calls import Call, Thread
from .family import DEFAULTS, ENTITIES, PARENTS, RESOURCES, draw_limits

if TYPE_CHECKING:
    from .world import World

_CHANGES: Final = (
    *("set",) * 5,
    *("move",) * 2,
    *("switch",) * 2,
    *("delete limits", "delete", "delete and reparent", "defaults", "defaults", "replenish"),
)


def draw_change(world: World, thread: Thread) -> Call:
    """Draw what a thread changes: its ``subject`` are the entities whose limits or parents may become others."""
    chance, knowledge = world.chance, thread.process.knowledge
    request = thread.process.request(world.now_ms)
    signature = Signature("somebody", request.id, request.now_ms)
    kind, entity_id = chance.choice(_CHANGES), chance.choice(ENTITIES)
    if kind == "replenish":
        return world.call(thread, kind, entity_id, _replenish(world, entity_id, signature, knowledge), request)
    if kind == "defaults":
        return world.call(thread, "change", (DEFAULTS,), _change_defaults(world, signature, knowledge), request)
    flow = _change_entity(world, kind, entity_id, signature, knowledge)
    # Whoever is its child when it comes to that is moved.
    others = [name for name in ENTITIES if name != entity_id] if kind == "delete and reparent" else []
    return world.call(thread, "change", (entity_id, *others), flow, request)


def _replenish(world: World, entity_id: str, signature: Signature, knowledge: Knowledge) -> Flow[bool]:
    tokens = {"tpm": 30} if world.chance.random() < 0.5 else None
    order = Order("top_up" if tokens else "reset", entity_id, RESOURCES[0], signature.id, None, tokens)
    return replenish(order, signature, knowledge)


def _change_entity(
    world: World, kind: str, entity_id: str, signature: Signature, knowledge: Knowledge
) -> Flow[Any]:
    chance = world.chance
    resource = chance.choice((None, RESOURCES[0]))
    match kind:
        case "set":
            limits = draw_limits(entity_id, chance)
            return limits_admin.set_entity_limits(entity_id, resource, limits, signature, knowledge)
        case "delete limits":
            return limits_admin.delete_entity_limits(entity_id, resource, signature, knowledge)
        case "move":
            parents = (None, PARENTS[entity_id], *(name for name in ENTITIES if name != entity_id))
            change = EntityChange(entity_id, chance.choice(parents), must_exist=None)
            return change_entity(change, signature, knowledge)
        case "switch":
            off = chance.random() < 0.12
            return switches.switch_entity(entity_id, resource, signature, knowledge, is_disabled=off)
    return _delete(entity_id, signature, knowledge, may_reparent=kind == "delete and reparent")


def _change_defaults(world: World, signature: Signature, knowledge: Knowledge) -> Flow[Any]:
    chance = world.chance
    resource = chance.choice(RESOURCES)
    match chance.randrange(12):
        case 0 | 1:
            return limits_admin.set_system_defaults(draw_limits(None, chance), signature, knowledge)
        case 2 | 3:
            return limits_admin.set_resource_defaults(resource, draw_limits(None, chance), signature, knowledge)
        case 4:
            return limits_admin.delete_resource_defaults(resource, signature, knowledge)
        case number:
            return switches.switch_resource(resource, signature, knowledge, is_disabled=number == 5)


def _delete(entity_id: str, signature: Signature, knowledge: Knowledge, *, may_reparent: bool) -> Flow[None]:
    """Delete an entity chunk by chunk, as the library does."""
    for number in count():
        part = Signature(signature.actor, f"{signature.id}.{number}", signature.at_ms)
        done = yield from delete_chunk(entity_id, part, knowledge, may_reparent=may_reparent)
        if done.is_complete:
            return
