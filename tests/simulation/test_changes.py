"""Histories in which everything changes that decides who may spend: no change is lost, whatever comes between.

More often than in the simulator's own traffic, ancestors above all, and with more time after which all must know.
"""

from __future__ import annotations

from collections import Counter

import pytest

from leasegate.flows.auditing import Signature
from leasegate.flows.switches import switch_entity
from leasegate.knowledge import DEFAULT_MAX_AGE_MS
from leasegate.simulation import Faults
from leasegate.simulation.calls import Call, Thread
from leasegate.simulation.history import History
from leasegate.simulation.judge import FamilyJudge
from leasegate.simulation.traffic import FamilyTraffic
from leasegate.simulation.world import World
from tests.simulation.histories import assert_often, play, seeds

SEEDS = 24
STEPS = 9_500
FAULTS = Faults(skew_ms=100)
ANCESTORS = ("org", "project-a", "project-b")
AGE_MS = DEFAULT_MAX_AGE_MS + 2 * FAULTS.skew_ms


class Changes:
    """Lets somebody change something, and time go by, besides all that the family does."""

    def __init__(self, history: History, judge: FamilyJudge) -> None:
        self._family = FamilyTraffic(history, judge.obedience)
        self._obedience = judge.obedience

    def next_call(self, world: World, thread: Thread) -> Call | None:
        """Change something, often with nothing after it for so long that everybody must have heard of it."""
        luck = world.chance.random()
        if luck < 0.08:
            return self._family._change(world, thread)
        if luck < 0.10:
            return self._switch_ancestor(world, thread)
        if luck > 0.98:
            world.skip(AGE_MS + 1)
        return self._family.next_call(world, thread)

    def _switch_ancestor(self, world: World, thread: Thread) -> Call:
        """Disable somebody above others, or enable them again."""
        request = thread.process.request(world.now_ms)
        signature = Signature("somebody", request.id, request.now_ms)
        entity_id, is_disabled = world.chance.choice(ANCESTORS), world.chance.random() < 0.3
        flow = switch_entity(entity_id, None, signature, thread.process.knowledge, is_disabled=is_disabled)
        self._obedience.begin((entity_id,))
        return world.call(thread, "change", (entity_id,), flow, request)


@pytest.mark.parametrize("group", seeds(SEEDS, 4), ids=lambda group: f"seeds {group.start}-{group.stop - 1}")
def test_whoever_acquires_after_a_change_obeys_it(group: range) -> None:
    endings: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    for seed in group:
        judge = play(seed, STEPS, FAULTS, Changes)
        endings += judge.endings
        checked += judge.checked
    assert_often(endings, {"change: done": 500, "change: StoreUnavailable": 15})
    assert_often(
        checked,
        {
            "limits": 1_000,
            "parents": 1_000,
            "ancestors": 200,
            "defaults": 100,
            "disabled": 100,
            "disabled ancestors": 20,
            "resources": 200,
            "invalid": 5,
            "families": 100,
            "registry": 50,
        },
    )
