"""The simulator: histories under all faults hold, each is the same on any machine, and one that breaks is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from leasegate.simulation import ALL, NONE, ViolationFound, answers, simulate
from tests.command import Command
from tests.simulation.histories import assert_often

SEEDS = 200
GROUP = 10
STEPS = 20_000

LEAST = {
    "acquire: done": 2_000,
    "acquire: RateLimitExceeded": 700,
    "acquire: Disabled": 100,
    "acquire: StoreUnavailable": 20,
    "acquire: StoreThrottled": 20,
    "acquire: died": 10,
    "acquire durable: done": 200,
    "acquire many: done": 200,
    "adjust: done": 100,
    "change: done": 100,
    "change: died": 1,
    "correct: done": 500,
    "correct: StoreUnavailable": 1,
    "count: done": 80,
    "count: died": 1,
    "end: done": 150,
    "end: LeaseExpired": 50,
    "keep: done": 1,
    "renew: done": 20,
    "replenish: done": 5,
    "sweep: done": 10,
}
"""How often calls end so in ten histories, at least: an oracle that is asked nothing finds nothing."""

CHECKED = {
    "grants": 5_000,
    "batches": 300,
    "refusals": 1_500,
    "remembered refusals": 400,
    "unanswered": 150,
    "corrections": 1_200,
    "parents": 2_000,
    "limits": 1_000,
    "ancestors": 1_000,
    "defaults": 50,
    "disabled": 30,
    "resources": 300,
    "leases": 500,
    "ends": 400,
    "renewals": 50,
    "uses of leases": 800,
    "keyed adjustments": 150,
    "places left": 80,
    "places": 30,
    "families": 100,
    "registry": 10,
    "usage": 250,
}
"""What ten histories are held to, and how often at least."""


@pytest.mark.parametrize("first", range(0, SEEDS, GROUP), ids=lambda first: f"seeds {first}-{first + GROUP - 1}")
def test_no_history_under_all_faults_breaks_what_must_hold(first: int) -> None:
    endings: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    steps = 0
    for seed in range(first, first + GROUP):
        report = simulate(seed, STEPS)
        endings.update(report.endings)
        checked.update(report.checked)
        steps += report.steps
    assert steps >= GROUP * STEPS
    assert_often(endings, LEAST)
    assert_often(checked, CHECKED)


def test_in_a_calm_world_every_call_gets_its_answer() -> None:
    report = simulate(1, 5_000, NONE)
    assert report.endings["acquire: done"] > 200
    assert report.may_differ == 0
    assert not [ending for ending in report.endings if "Store" in ending or "died" in ending]


def test_faults_change_a_history_and_so_does_the_seed() -> None:
    digests = {simulate(seed, 1_000, faults).digest for seed in (1, 2) for faults in (ALL, NONE)}
    assert len(digests) == 4


def test_a_history_replays_exactly_under_its_seed() -> None:
    first, second = (simulate(7, 2_000) for _ in range(2))
    assert first == second


def test_a_seed_is_the_same_history_in_every_process() -> None:
    digests = [in_a_process("--seed", "3", "--steps", "6000", hash_seed=n)["digests"] for n in ("0", "1", "4711")]
    assert digests == [{"3": f"{simulate(3, 6_000).digest:08x}"}] * 3


def in_a_process(*arguments: str, hash_seed: str) -> Any:  # noqa: ANN401 - a JSON document
    """Run the command in a process of its own, in which sets are in an order of their own."""
    command = [sys.executable, "-m", "leasegate.cli", "simulate", *arguments, "--json"]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)


# --- what is told of a history that breaks -------------------------------------------------------------


@pytest.fixture
def broken_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an oracle find every refusal wrong."""
    monkeypatch.setattr(answers, "lacks", lambda *_refusal: False)


@pytest.mark.usefixtures("broken_oracle")
def test_a_history_that_breaks_is_told_by_the_last_steps_of_what_it_shows_in() -> None:
    with pytest.raises(ViolationFound) as found:
        simulate(1, 5_000)
    assert found.value.seed == 1
    assert "was refused, and there" in found.value.reason
    lines = found.value.story.splitlines()
    assert 3 <= len(lines) <= 40
    assert "ends RateLimitExceeded" in lines[-1]
    assert f"{found.value.step:>7} " in lines[-1]
    assert any("cfg=" in line and "v.rpm=" in line for line in lines)


@pytest.mark.usefixtures("broken_oracle")
def test_the_command_ends_with_the_story_of_a_history_that_breaks() -> None:
    answer = Command().json("simulate", "--seed", "1", "--steps", "5000", exit_code=1)
    assert answer["seed"] == 1
    assert "was refused, and there" in answer["reason"]
    assert "ends RateLimitExceeded" in answer["story"][-1]


def test_the_command_counts_how_calls_ended() -> None:
    lines = Command().lines("simulate", "--seeds", "2", "--steps", "1000", "--jobs", "1")
    assert lines[0].split() == ["calls", "done", "no", "no", "answer"]
    assert "2 histories" in lines[-1]
    assert "0 violations" in lines[-1]


def test_the_command_plays_histories_side_by_side() -> None:
    alone = Command().json("simulate", "--seeds", "3", "--steps", "500", "--jobs", "1")
    together = Command().json("simulate", "--seeds", "3", "--steps", "500", "--jobs", "2")
    assert together["digests"] == alone["digests"]
    assert together["endings"] == alone["endings"]
