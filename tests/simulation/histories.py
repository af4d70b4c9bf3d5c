"""Histories of other traffic than the simulator's own, judged as it judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from leasegate.simulation import Faults
from leasegate.simulation.family import ENTITIES, RESOURCES, populate
from leasegate.simulation.history import History
from leasegate.simulation.judge import FamilyJudge
from leasegate.simulation.world import Traffic, World


def play(
    seed: int,
    steps: int,
    faults: Faults,
    traffic: Callable[[History, FamilyJudge], Traffic],
    *,
    entities: Sequence[str] = ENTITIES,
    resources: Sequence[str] = RESOURCES,
    populate: Callable[[World], None] = populate,
) -> FamilyJudge:
    """Play one history to its end; a violation of what must hold is raised."""
    history = History()
    judge = FamilyJudge(history, faults.skew_ms, entities, resources)
    world = World(seed, faults, traffic(history, judge), judge)
    judge.watch(world)
    populate(world)
    world.run(steps)
    world.calm_down()
    judge.close(world)
    return judge


def seeds(count: int, groups: int) -> list[range]:
    """Split seeds into groups, so that test workers can share them."""
    size = count // groups
    return [range(start, start + size) for start in range(0, count, size)]


def assert_often(counts: Counter[str], least: dict[str, int]) -> None:
    """Hold counts to being so many at least: what hardly ever happens was hardly tested."""
    rare = {what: counts[what] for what, many in least.items() if counts[what] < many}
    assert not rare, f"too seldom: {rare}"
