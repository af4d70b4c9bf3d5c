"""One seed, one history: Python's hash seed, which orders sets of strings, must not show in any operation."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from leasegate import Limit, schema
from leasegate.flows.acquire import acquire
from leasegate.flows.auditing import Signature
from leasegate.flows.entities import EntityChange, change_entity
from leasegate.flows.grants import Ask
from leasegate.flows.limits_admin import set_entity_limits, set_resource_defaults
from leasegate.knowledge import Knowledge
from leasegate.limits import index_limits
from leasegate.operations import Operation, Outcome
from leasegate.simulation import Faults
from leasegate.simulation.calls import Call, Thread
from leasegate.simulation.table import Change
from leasegate.simulation.world import START_MS, World

STEPS = 3_000
FAULTS = Faults(death=0)
PLAY = "from tests.unit.test_hash_seeds import play; print(play())"

TOKENS = [Limit.per_second(f"tokens-{number}", 40) for number in range(6)]
PLACES = [Limit.concurrent(f"places-{number}", 20, 10) for number in range(4)]
LIMITS = (index_limits([*TOKENS, *PLACES]), index_limits([*TOKENS[:1], *PLACES]), index_limits(TOKENS))


@dataclass
class History:
    """An entity whose limits come and go by the handful, under ancestors that have none, and all that was sent."""

    digest: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    count: int = 0

    def play(self, seed: int, steps: int) -> None:
        world = World(seed, FAULTS, self, self, threads=1)
        world.listener = self.hear
        signatures = (Signature("setup", f"setup-{number}", START_MS) for number in itertools.count())
        for entity_id, parent_id in (
            ("org", None),
            ("division", "org"),
            ("project", "division"),
            ("key", "project"),
        ):
            change = EntityChange(entity_id, parent_id, must_exist=False)
            world.settle(change_entity(change, next(signatures), Knowledge()))
        world.settle(set_resource_defaults("gpt-4", LIMITS[0], next(signatures), Knowledge()))
        world.run(steps)

    def next_call(self, world: World, thread: Thread) -> Call:
        chance, process = world.chance, thread.process
        world.now_ms += chance.randint(0, 500)
        if chance.random() < 0.02:
            world.table.delete(schema.bucket_key("key", "gpt-4"))
        request = process.request(world.now_ms)
        if chance.random() < 0.1:
            signature = Signature("somebody", f"change-{request.id}", request.now_ms)
            changing = set_entity_limits("key", None, chance.choice(LIMITS), signature, process.knowledge)
            return world.call(thread, "change", None, changing, request)
        consume = chance.choice(({limit.name: 1 for limit in PLACES}, {TOKENS[0].name: 1}))
        acquiring = acquire(Ask("key", "gpt-4", consume), request, process.knowledge)
        return world.call(thread, "acquire", None, acquiring, request)

    def hear(self, step: int, call: Call, what: str, operation: Operation | None, outcome: Outcome | None) -> None:
        if what in ("executes", "reads"):
            self.digest.update(_write((operation, outcome)).encode())
            self.count += 1

    def applied(self, world: World, call: Call, operation: Operation, changes: Sequence[Change]) -> None:
        """What is sent is heard already."""

    def ended(self, world: World, call: Call) -> None:
        """Whatever becomes of a call, only what it sends is of interest here."""

    def died(self, world: World, call: Call) -> None:
        """Nobody dies."""


def _write(value: object) -> str:
    """Write a value with the members of its sets sorted; everything else keeps the order that it has."""
    match value:
        case frozenset():
            return "{" + ", ".join(sorted([_write(member) for member in value])) + "}"
        case dict():
            return "{" + ", ".join([f"{_write(key)}: {_write(each)}" for key, each in value.items()]) + "}"
        case tuple():
            return "(" + ", ".join([_write(each) for each in value]) + ")"
    names = getattr(value, "__match_args__", None)
    if names is None:
        return repr(value)
    return f"{type(value).__name__}({', '.join([_write(getattr(value, name)) for name in names])})"


def play() -> str:
    """Play a history; digest what was sent, and what was answered."""
    history = History()
    history.play(1, STEPS)
    return f"{history.digest.hexdigest()} of {history.count}"


def test_a_history_sends_the_same_operations_in_the_same_order_under_any_hash_seed() -> None:
    players = [
        subprocess.Popen(
            [sys.executable, "-c", PLAY],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("1", "2")
    ]
    (first, _), (second, _) = (player.communicate() for player in players)
    assert first == second
    digest, _, count = first.partition(" of ")
    assert digest
    assert int(count) > STEPS // 4
