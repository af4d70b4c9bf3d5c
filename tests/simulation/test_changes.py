"""Histories in which limits change and DynamoDB deletes idle buckets: no change of an entity's limits is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import cast

import pytest

from leasegate import Limit, RateLimitExceeded, StoreError, schema
from leasegate.flows.entities import NewEntity, create_entity
from leasegate.flows.grants import Ask, Grant
from leasegate.flows.limits_admin import set_entity_limits, set_resource_defaults, set_system_defaults
from leasegate.knowledge import DEFAULT_MAX_AGE_MS, Knowledge
from leasegate.limits import Limits, index_limits
from leasegate.operations import Flow, Operation, Outcome
from leasegate.schema import StoredLimits
from tests.simulation.world import START_MS, Call, Client, Faults, World, seeds

SEEDS = 100
STEPS = 3_000
ENTITIES = ("project", "key-1", "key-2", "solo", "plain")
DEFAULTS = "plain"  # changes of defaults stand under the entity that only they limit
AGE_MS = DEFAULT_MAX_AGE_MS
SKEW_MS = 100
RESOURCE = "gpt-4"


@dataclass(frozen=True)
class Change:
    """A change of an entity's limits, for one resource or (None) for all."""

    entity_id: str
    resource: str | None
    limits: Limits


@dataclass
class Changes:
    """Drives acquires and changes of limits; whoever acquires after a change has ended must obey it."""

    world: World = field(init=False)
    stored: dict[tuple[str, str | None], Limits] = field(default_factory=dict)
    changed_at: dict[str, int] = field(default_factory=dict)
    defaults_changed_at_ms: int = START_MS
    changing: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    obeyed: int = 0
    obeyed_defaults: int = 0

    def populate(self, world: World) -> None:
        """Create a project over two keys; a default for all."""
        setup = Knowledge()
        for entity_id, parent_id in (("project", None), ("key-1", "project"), ("key-2", "project")):
            world.settle(create_entity(NewEntity(entity_id, parent_id), f"new-{entity_id}", START_MS, setup))
        first = index_limits([Limit.per_second("rpm", 1000)])
        world.settle(set_entity_limits("project", None, first, "first", START_MS, setup))
        self.stored["project", None] = first
        world.settle(set_resource_defaults(RESOURCE, first, "defaults", START_MS, setup))
        self.stored[DEFAULTS, RESOURCE] = first

    def next_call(self, world: World, client: Client) -> Call:
        """Mostly acquire; now and then change limits; rarely let days go by, after which idle buckets are gone."""
        choice = world.random.random()
        if choice > 0.98:
            world.now_ms += AGE_MS
        if choice < 0.01:
            world.now_ms += 3 * 86_400_000
            for key, item in world.repository.items.items():
                expires_at_s = item.get(schema.EXPIRES_AT)
                if isinstance(expires_at_s, int) and expires_at_s * 1000 < world.now_ms:
                    world.repository.delete(key)
        entity_id = world.random.choice(ENTITIES)
        if choice < 0.93:
            hint = world.random.choice((None, None, "project"))
            return world.acquire(client, Ask(entity_id, RESOURCE, {"rpm": 1}, None, hint))
        client.requests += 1
        nonce = f"{client.number}-{client.requests}"
        limits = index_limits([Limit.per_second("rpm", world.random.randint(500, 5_000_000))])
        resource = world.random.choice((None, RESOURCE)) if entity_id != "project" else None
        flow: Flow[StoredLimits]
        if entity_id != DEFAULTS:
            flow = set_entity_limits(entity_id, resource, limits, nonce, world.clock(client), client.knowledge)
        elif resource is None:
            flow = set_system_defaults(limits, nonce, world.clock(client), client.knowledge)
        else:
            flow = set_resource_defaults(resource, limits, nonce, world.clock(client), client.knowledge)
        self.changing[entity_id] += 1
        return Call("change", Change(entity_id, resource, limits), world.step, world.now_ms, flow)

    def executed(self, world: World, call: Call, operation: Operation, outcome: Outcome) -> None:
        """Nothing is followed here but how calls end."""

    def ended(self, client: Client, call: Call) -> None:
        """Hold grants to the limits that were set before they began."""
        if call.name == "change":
            self._take_change(call)
        elif isinstance(call.result, Grant):
            self.endings["granted"] += 1
            for charge in call.result.charges:
                self._check_obedience(call, charge.entity_id, charge.state)
        elif isinstance(call.error, RateLimitExceeded):
            self.endings["refused"] += 1
        elif isinstance(call.error, StoreError):
            self.endings["unanswered"] += 1
        else:
            raise AssertionError(f"unexpected: {call.error!r}")

    def _take_change(self, call: Call) -> None:
        change = cast("Change", call.subject)
        if call.error is not None:
            # It may be stored or not, and marked or not: nothing can be asked of this entity any more.
            assert isinstance(call.error, StoreError)
            self.endings["change unanswered"] += 1
            return
        self.endings["changed"] += 1
        self.changing[change.entity_id] -= 1
        self.changed_at[change.entity_id] = self.world.step
        if change.entity_id == DEFAULTS:
            self.defaults_changed_at_ms = self.world.now_ms
        for resource in (RESOURCE, None):
            if change.entity_id != DEFAULTS:
                key = schema.entity_limits_key(change.entity_id, resource)
            else:
                key = schema.resource_defaults_key(RESOURCE) if resource else schema.system_defaults_key()
            item = self.world.repository.items.get(key)
            stored = schema.parse_stored_limits(item)
            if stored is not None:
                self.stored[change.entity_id, resource] = stored.limits

    def _check_obedience(self, call: Call, entity_id: str, state: schema.Bucket | None) -> None:
        expected = self.stored.get((entity_id, RESOURCE)) or self.stored.get((entity_id, None))
        if expected is None or self.changing[entity_id]:
            return
        if entity_id == DEFAULTS:
            known_for_ms = call.started_ms - self.defaults_changed_at_ms
            is_known = known_for_ms > AGE_MS + 2 * SKEW_MS
            self.obeyed_defaults += is_known
        else:
            is_known = self.changed_at.get(entity_id, -1) < call.started_step
        if is_known:
            assert state is not None
            assert state.limits == expected, f"{entity_id} obeys {state.limits}, set were {expected}"
            self.obeyed += 1


def run_history(seed: int, steps: int) -> Changes:
    """Play one history; two changes of one entity at once make its limits unknown, so steps are plenty."""
    changes = Changes()
    world = World(
        seed,
        clients=8,
        faults=Faults(lost_request=0.001, lost_reply_repeated=0.05, lost_reply_unanswered=0.001, skew_ms=SKEW_MS),
        next_call=changes.next_call,
        ended=changes.ended,
        executed=changes.executed,
    )
    changes.world = world
    changes.populate(world)
    world.run(steps)
    return changes


@pytest.mark.parametrize("group", seeds(SEEDS, 4), ids=lambda group: f"seeds {group.start}-{group.stop - 1}")
def test_whoever_acquires_after_a_change_obeys_it(group: range) -> None:
    endings: Counter[str] = Counter()
    obeyed = obeyed_defaults = 0
    for seed in group:
        changes = run_history(seed, STEPS)
        endings += changes.endings
        obeyed += changes.obeyed
        obeyed_defaults += changes.obeyed_defaults
    assert endings["changed"] > 500
    assert obeyed > 5_000
    assert obeyed_defaults > 200
