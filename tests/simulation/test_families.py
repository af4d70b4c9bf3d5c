"""Histories in which many move, create and delete entities at once: families stay trees of at most four levels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from leasegate import Conflict, InvalidRequest, LeasegateError, NotFound, StoreError
from leasegate.flows.auditing import Signature
from leasegate.flows.deletion import delete_chunk
from leasegate.flows.entities import EntityChange, change_entity
from leasegate.knowledge import Knowledge
from leasegate.operations import Flow, Operation, Outcome
from leasegate.simulation.descent import check_families
from tests.simulation.world import Call, Client, Faults, World, seeds

SEEDS = 60
STEPS = 3_000
ENTITIES = tuple(f"entity-{number}" for number in range(9))


@dataclass
class Moves:
    """Drives changes of families; what ends is counted by how."""

    world: World = field(init=False)
    endings: Counter[str] = field(default_factory=Counter)

    def next_call(self, world: World, client: Client) -> Call:
        """Move or create an entity, seldom delete one."""
        client.requests += 1
        signature = Signature("somebody", f"{client.number}-{client.requests}", world.clock(client))
        entity_id = world.random.choice(ENTITIES)
        flow: Flow[object]
        if world.random.random() < 0.1:
            flow = _delete(entity_id, signature, client.knowledge)
        else:
            parent_id = world.random.choice((None, *(x for x in ENTITIES if x != entity_id)))
            change = EntityChange(entity_id, parent_id, must_exist=None)
            flow = change_entity(change, signature, client.knowledge)
        return Call("change", entity_id, world.step, world.now_ms, flow)

    def executed(self, world: World, call: Call, operation: Operation, outcome: Outcome) -> None:
        """Nothing is followed here."""

    def ended(self, client: Client, call: Call) -> None:
        """Count how changes end; and look at the families now and then."""
        assert isinstance(call.error, StoreError | Conflict | NotFound | InvalidRequest | None)
        self.endings[type(call.error).__name__ if call.error else "done"] += 1
        if self.world.random.random() < 0.1:
            check_families(self.world.repository.items)


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
        moves.world = World(
            seed,
            clients=6,
            faults=Faults(lost_request=0.001, lost_reply_repeated=0.05, lost_reply_unanswered=0.005),
            next_call=moves.next_call,
            ended=moves.ended,
            executed=moves.executed,
        )
        moves.world.run(STEPS)
        check_families(moves.world.repository.items)
        endings += moves.endings
    assert endings["done"] > 1_500
    assert endings["InvalidRequest"] > 250
