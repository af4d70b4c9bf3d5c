"""Histories in which many move, create and delete entities at once: families stay trees of at most four levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from leasegate import Conflict, InvalidRequest, LeasegateError, NotFound, StoreError
from leasegate.flows.auditing import Signature
from leasegate.flows.deletion import delete_chunk
from leasegate.flows.entities import EntityChange, change_entity
from leasegate.knowledge import Knowledge
from leasegate.operations import Flow, Operation
from leasegate.simulation import Faults
from leasegate.simulation.calls import Call, Thread
from leasegate.simulation.descent import check_families
from leasegate.simulation.table import Change
from leasegate.simulation.world import World
from tests.simulation.histories import seeds

SEEDS = 60
STEPS = 6_000
PROCESSES = 6
ENTITIES = tuple(f"entity-{number}" for number in range(9))
FAULTS = Faults(lost_request=0.01, lost_reply=0.05, gives_up=0.1, skew_ms=400)


class Moves:
    """Drives changes of families; what ends is counted by how."""

    def __init__(self) -> None:
        self.endings: Counter[str] = Counter()

    def next_call(self, world: World, thread: Thread) -> Call:
        """Move or create an entity, seldom delete one."""
        process, chance = thread.process, world.chance
        request = process.request(world.now_ms)
        signature = Signature("somebody", request.id, request.now_ms)
        entity_id = chance.choice(ENTITIES)
        flow: Flow[object]
        if chance.random() < 0.1:
            flow = _delete(entity_id, signature, process.knowledge)
        else:
            parent_id = chance.choice((None, *(x for x in ENTITIES if x != entity_id)))
            change = EntityChange(entity_id, parent_id, must_exist=None)
            flow = change_entity(change, signature, process.knowledge)
        return world.call(thread, "change", entity_id, flow, request)

    def applied(self, world: World, call: Call, operation: Operation, changes: Sequence[Change]) -> None:
        """Look at the families after every write."""
        check_families(world.table.items)

    def ended(self, world: World, call: Call) -> None:
        """Count how changes end."""
        assert isinstance(call.error, StoreError | Conflict | NotFound | InvalidRequest | None)
        self.endings[type(call.error).__name__ if call.error else "done"] += 1

    def died(self, world: World, call: Call) -> None:
        """Nothing is to be said of those."""


def _delete(entity_id: str, signature: Signature, knowledge: Knowledge) -> Flow[object]:
    for number in range(20):
        part = Signature(signature.actor, f"{signature.id}.{number}", signature.at_ms)
        done = yield from delete_chunk(entity_id, part, knowledge, may_reparent=True)
        if done.is_complete:
            return None
    raise LeasegateError("the deletion does not come to its end")


@pytest.mark.parametrize("group", seeds(SEEDS, 4), ids=lambda group: f"seeds {group.start}-{group.stop - 1}")
def test_families_stay_trees_of_four_levels_whose_descendants_are_counted(group: range) -> None:
    endings: Counter[str] = Counter()
    for seed in group:
        moves = Moves()
        world = World(seed, FAULTS, moves, moves, processes=PROCESSES, threads=1)
        world.run(STEPS)
        world.calm_down()
        endings += moves.endings
    assert endings["done"] > 1_500
    assert endings["InvalidRequest"] > 250
