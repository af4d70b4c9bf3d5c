"""The simulator's own traffic meets every oracle often: an oracle that is hardly asked says nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from leasegate.simulation import simulate
from tests.simulation.histories import assert_often, seeds

SEEDS = 32
STEPS = 6_000


@pytest.mark.parametrize("group", seeds(SEEDS, 4), ids=lambda group: f"seeds {group.start}-{group.stop - 1}")
def test_no_history_breaks_what_must_hold_and_everything_is_checked_often(group: range) -> None:
    checked: Counter[str] = Counter()
    for seed in group:
        checked.update(simulate(seed, STEPS).checked)
    assert_often(
        checked,
        {
            "grants": 1_000,
            "batches": 50,
            "refusals": 300,
            "remembered refusals": 100,
            "unanswered": 50,
            "corrections": 300,
            "parents": 1_000,
            "limits": 1_000,
            "ancestors": 300,
            "leases": 200,
            "ends": 100,
            "renewals": 10,
            "uses of leases": 200,
            "keyed adjustments": 40,
            "places left": 20,
            "places": 30,
            "families": 50,
            "registry": 8,
            "usage": 100,
        },
    )


def test_a_history_replays_exactly_under_its_seed() -> None:
    first, second = (simulate(7, 2_000) for _ in range(2))
    assert first == second
