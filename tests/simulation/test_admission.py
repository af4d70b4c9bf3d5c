"""Histories of interleaved acquires: never too much, never a refusal too many, nothing charged from nowhere."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import pytest

from leasegate import Limit, RateLimitExceeded, StoreError, schema
from leasegate.flows.auditing import Signature
from leasegate.flows.entities import EntityChange, change_entity
from leasegate.flows.grants import Ask, Cascade, Grant
from leasegate.flows.limits_admin import set_entity_limits, set_resource_defaults
from leasegate.flows.spending import Request
from leasegate.knowledge import Knowledge
from leasegate.limits import index_limits
from leasegate.operations import Applied, Operation, Outcome, Put, Transact, Update
from tests.simulation.oracle import Ledger, lacks
from tests.simulation.world import START_MS, Call, Client, World, seeds

SEEDS = 200
STEPS = 4_000

ENTITIES = ("key-1", "key-2", "key-3", "solo")
ORGANISATION = index_limits([Limit.per_second("tpm", 400, burst=900)])
PROJECT = index_limits([Limit.per_second("rpm", 60, burst=20), Limit.per_minute("tpm", 30_000, burst=500)])
KEY = index_limits([Limit.per_second("rpm", 40, burst=10), Limit.per_second("tpm", 300, burst=400)])
DEFAULTS = index_limits([Limit.per_second("rpm", 25, burst=5), Limit("tpm", 250, 7, 33)])


CASCADES: tuple[Cascade, ...] = (True, True, True, False, "transaction")
CONSUMES = ({"rpm": 1, "tpm": 40}, {"tpm": 100}, {"rpm": 1, "tpm": 0}, {"rpm": 2})


@dataclass
class Admission:
    """Drives acquires over a small family of entities and holds every history to the oracles."""

    ledger: Ledger = field(default_factory=Ledger)
    endings: Counter[str] = field(default_factory=Counter)

    def populate(self, world: World) -> None:
        """Create organisation over project over three keys, and limits on all levels."""
        setup = Knowledge()
        signatures = (Signature("setup", f"setup-{number}", START_MS) for number in itertools.count())
        family = (
            ("org", None),
            ("project", "org"),
            ("key-1", "project"),
            ("key-2", "project"),
            ("key-3", "project"),
        )
        for entity_id, parent_id in family:
            change = EntityChange(entity_id, parent_id, must_exist=False)
            world.settle(change_entity(change, next(signatures), setup))
        for entity_id, limits in (("org", ORGANISATION), ("project", PROJECT), ("key-1", KEY)):
            world.settle(set_entity_limits(entity_id, None, limits, next(signatures), setup))
        world.settle(set_resource_defaults("gpt-4", DEFAULTS, next(signatures), setup))

    def next_call(self, world: World, client: Client) -> Call:
        """Acquire some of a few limits for somebody."""
        consume = world.random.choice(CONSUMES)
        hint = world.random.choice((None, None, "project", "org"))
        cascade: Cascade = world.random.choice(CASCADES)
        ask = Ask(world.random.choice(ENTITIES), "gpt-4", consume, None, hint, cascade)
        return world.acquire(client, ask)

    def executed(self, world: World, call: Call, operation: Operation, outcome: Outcome) -> None:
        """Show every bucket to the ledger as soon as it changed."""
        if isinstance(outcome, Applied):
            actions = operation.actions if isinstance(operation, Transact) else (operation,)
            items = world.repository.items
            for action in actions:
                if isinstance(action, Update | Put) and action.key.pk.startswith("BUCKET#"):
                    for name, tokens in self.ledger.follow(action.key, items.get(action.key)).items():
                        call.spent[action.key, name] += tokens

    def ended(self, client: Client, call: Call) -> None:
        """Hold each call to what it did to the table: all of what it was granted, or nothing."""
        ask, request = cast("tuple[Ask, Request]", call.subject)
        spent = {key: tokens for key, tokens in call.spent.items() if tokens}
        if isinstance(call.result, Grant):
            self.endings["granted"] += 1
            granted = {
                (schema.bucket_key(charge.entity_id, ask.resource), name): tokens
                for charge in call.result.charges
                for name, tokens in charge.amounts.items()
                if tokens
            }
            assert spent == granted or call.unrecognised
        elif isinstance(call.error, RateLimitExceeded):
            self.endings["cached refusal" if call.error.cached else "refused"] += 1
            assert call.round_trips > 0 or call.error.cached
            assert call.error.refusals
            assert call.error.retry_after_ms > 0
            has_residue = hasattr(call.error, "__notes__")  # the table did not answer when it was to take it back
            assert not spent or call.unrecognised or has_residue
            if not call.error.cached:
                check_refusal(call, ask, request, call.error)
        elif isinstance(call.error, StoreError):
            self.endings["unanswered"] += 1
        else:
            raise AssertionError(f"unexpected: {call.error!r}")


def check_refusal(call: Call, ask: Ask, request: Request, error: RateLimitExceeded) -> None:
    """Hold a refusal to the state that the table showed: a sequential bucket would have refused too."""
    shown = 0
    for refusal in error.refusals:
        item = call.seen.get(schema.bucket_key(refusal.entity_id, ask.resource))
        if item is None:
            continue  # this level was answered from memory
        shown += 1
        tat = cast("int | None", item.get(schema.tat_attribute(refusal.state.name)))
        assert lacks(refusal.state.limit, tat, ask.consume[refusal.state.name], request.now_ms)
    assert shown


def run_history(seed: int, steps: int) -> tuple[World, Admission]:
    """Play one history and check it."""
    admission = Admission()
    world = World(seed, next_call=admission.next_call, ended=admission.ended, executed=admission.executed)
    admission.populate(world)
    world.run(steps)
    return world, admission


@pytest.mark.parametrize("group", seeds(SEEDS, 8), ids=lambda group: f"seeds {group.start}-{group.stop - 1}")
def test_no_history_admits_more_than_the_limits_allow(group: range) -> None:
    endings: Counter[str] = Counter()
    for seed in group:
        _, admission = run_history(seed, STEPS)
        endings += admission.endings
    assert endings["granted"] > 1_000
    assert endings["refused"] > 1_000
    assert endings["cached refusal"] > 100
    assert endings["unanswered"] > 100


def test_a_history_replays_exactly_under_its_seed() -> None:
    first, second = (run_history(7, 2_000)[0].repository.items for _ in range(2))
    assert first == second
