"""Histories in which everything changes that decides who may spend: no change is lost, whatever comes between.

Limits are set and deleted, entities moved, disabled, deleted and created again, buckets created and deleted by
DynamoDB, while eight processes acquire; every operation of everybody interleaves with everybody else's, replies
get lost, and changes are broken off half-way and taken up by the next change of that entity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from leasegate import Conflict, Disabled, InvalidRequest, Limit, NotFound, RateLimitExceeded, StoreError, schema
from leasegate.flows import limits_admin, reading, switches
from leasegate.flows.auditing import Signature
from leasegate.flows.deletion import delete_chunk
from leasegate.flows.entities import EntityChange, change_entity
from leasegate.flows.grants import Ask, Charge, Grant
from leasegate.flows.reading import EntityReading
from leasegate.knowledge import DEFAULT_MAX_AGE_MS, DEFAULT_REFUSAL_AGE_MS, Defaults, Knowledge
from leasegate.limits import Limits, index_limits
from leasegate.operations import Flow, Item, Key, Operation, Outcome
from tests.simulation.world import START_MS, Call, Client, Faults, World, seeds

SEEDS = 100
STEPS = 4_000
DAY_MS = 86_400_000
SKEW_MS = 100
AGE_MS = DEFAULT_MAX_AGE_MS + 2 * SKEW_MS
REFUSAL_AGE_MS = DEFAULT_REFUSAL_AGE_MS + 2 * SKEW_MS
RESOURCE = "gpt-4"
PROJECTS = ("project-a", "project-b")
ENTITIES = (*PROJECTS, "key-1", "key-2", "solo", "plain")
DEFAULTS = "the defaults"  # changes of defaults stand under this name
KINDS = (
    "set",
    "set",
    "set",
    "set",
    "delete limits",
    "move",
    "move",
    "switch",
    "switch",
    "delete",
    "delete and reparent",
)


@dataclass
class Standing:
    """What is known of the changes of one entity, or of the defaults.

    ``open`` changes are under way. ``torn`` is true while a change was broken off and none came after that took
    it up: until then nobody can say what holds.
    """

    open: int = 0
    torn_at_step: int | None = None
    changed_at_step: int = -1
    changed_at_ms: int = START_MS

    def is_settled_since(self, call: Call) -> bool:
        """Say whether all that holds was settled before a call began, and stayed so until now."""
        return not self.open and self.torn_at_step is None and self.changed_at_step < call.started_step

    def take_end(self, world: World, call: Call, *, is_own: bool) -> None:
        """Take in the end of a change, of this entity or of another that this one may have been a child of."""
        self.open -= 1
        self.changed_at_step, self.changed_at_ms = world.step, world.now_ms
        if isinstance(call.error, StoreError):
            self.torn_at_step = world.step
        elif is_own and not call.error and self.torn_at_step is not None:
            self.torn_at_step = None if self.torn_at_step < call.started_step else self.torn_at_step


@dataclass
class Changes:
    """Drives acquires and changes; whoever acquires after a change has ended must obey it."""

    world: World = field(init=False)
    standings: dict[str, Standing] = field(default_factory=lambda: {x: Standing() for x in (*ENTITIES, DEFAULTS)})
    endings: Counter[str] = field(default_factory=Counter)
    obeyed: Counter[str] = field(default_factory=Counter)

    def populate(self, world: World) -> None:
        """Create two projects and two keys, and a default for all."""
        setup = Knowledge()
        for entity_id, parent_id in (("project-a", None), ("project-b", None), ("key-1", "project-a")):
            change = EntityChange(entity_id, parent_id)
            world.settle(change_entity(EntityChange(entity_id, parent_id, must_exist=None), _first(change), setup))
        limits = index_limits([Limit.per_second("rpm", 1000)])
        world.settle(limits_admin.set_entity_limits("project-a", None, limits, _first("limits"), setup))
        world.settle(limits_admin.set_system_defaults(limits, _first("system"), setup))

    # --- what clients do -------------------------------------------------------------------------------

    def next_call(self, world: World, client: Client) -> Call:
        """Mostly acquire, now and then change something; let days go by, after which idle buckets are gone."""
        choice = world.random.random()
        if choice > 0.98:
            world.now_ms += AGE_MS
        if choice < 0.01:
            world.now_ms += 3 * DAY_MS
            for key, item in world.repository.items.items():
                expires_at_s = item.get(schema.EXPIRES_AT)
                if isinstance(expires_at_s, int) and expires_at_s * 1000 < world.now_ms:
                    world.repository.delete(key)
        if choice < 0.90:
            hint = world.random.choice((None, None, *PROJECTS))
            entity_id = world.random.choice(ENTITIES)
            return world.acquire(
                client, Ask(entity_id, RESOURCE, {"rpm": 1}, None, None if hint == entity_id else hint)
            )
        client.requests += 1
        signature = Signature("somebody", f"{client.number}-{client.requests}", world.clock(client))
        subject = world.random.choice((*ENTITIES, DEFAULTS))
        kind = world.random.choice(KINDS)
        flow = (
            self._change_defaults(world, signature, client.knowledge)
            if subject == DEFAULTS
            else self._change_entity(world, kind, subject, signature, client.knowledge)
        )
        # Whoever is its child when it comes to that is moved.
        others = ENTITIES if kind == "delete and reparent" and subject != DEFAULTS else ()
        concerned = (subject, *(name for name in others if name != subject))
        for name in concerned:
            self.standings[name].open += 1
        return Call("change", concerned, world.step, world.now_ms, flow)

    def _change_entity(
        self, world: World, kind: str, entity_id: str, signature: Signature, knowledge: Knowledge
    ) -> Flow[Any]:
        resource = world.random.choice((None, RESOURCE))
        match kind:
            case "set":
                return limits_admin.set_entity_limits(entity_id, resource, _limits(world), signature, knowledge)
            case "delete limits":
                return limits_admin.delete_entity_limits(entity_id, resource, signature, knowledge)
            case "move":
                parent_id = world.random.choice((None, *(x for x in ENTITIES if x != entity_id)))
                change = EntityChange(entity_id, parent_id, must_exist=None)
                return change_entity(change, signature, knowledge)
            case "switch":
                off = world.random.random() < 0.25
                return switches.switch_entity(entity_id, resource, signature, knowledge, is_disabled=off)
        return _delete(entity_id, signature, knowledge, may_reparent=kind == "delete and reparent")

    def _change_defaults(self, world: World, signature: Signature, knowledge: Knowledge) -> Flow[Any]:
        match world.random.randrange(10):
            case 0 | 1:
                return limits_admin.set_system_defaults(_limits(world), signature, knowledge)
            case 2 | 3:
                return limits_admin.set_resource_defaults(RESOURCE, _limits(world), signature, knowledge)
            case 4 | 5:
                return limits_admin.delete_resource_defaults(RESOURCE, signature, knowledge)
            case number:
                return switches.switch_resource(RESOURCE, signature, knowledge, is_disabled=number == 6)

    def executed(self, world: World, call: Call, operation: Operation, outcome: Outcome) -> None:
        """Nothing is followed here but how calls end."""

    # --- how calls end ---------------------------------------------------------------------------------

    def ended(self, client: Client, call: Call) -> None:
        """Hold acquires to what was decided before they began."""
        if call.name == "change":
            for name in call.subject:
                self.standings[name].take_end(self.world, call, is_own=name == call.subject[0])
            assert isinstance(call.error, StoreError | Conflict | NotFound | InvalidRequest | None)
            self.endings[f"change: {type(call.error).__name__ if call.error else 'done'}"] += 1
            return
        items = self.world.repository.items
        self.endings[type(call.error).__name__ if call.error else "granted"] += 1
        if isinstance(call.result, Grant):
            self._check_resource(call, items, is_disabled=False)
            for place, charge in enumerate(call.result.charges):
                above = call.result.charges[place + 1].entity_id if place + 1 < len(call.result.charges) else None
                self._check_charge(call, items, charge, above, own=place == 0)
        elif isinstance(call.error, Disabled) and call.error.entity_id is None:
            self._check_resource(call, items, is_disabled=True)
        elif isinstance(call.error, Disabled):
            assert call.error.entity_id is not None
            self._check_disabled(call, items, call.error.entity_id)
        else:
            # An ancestor deleted or moved while an acquire climbs can show it a circle.
            assert isinstance(call.error, RateLimitExceeded | StoreError | InvalidRequest), call.error

    def _check_charge(
        self, call: Call, items: Mapping[Key, Item], charge: Charge, above: str | None, *, own: bool
    ) -> None:
        standing = self.standings[charge.entity_id]
        if not standing.is_settled_since(call):
            return
        truth = reading.parse_entity_reading(items, charge.entity_id, RESOURCE)
        resolved = truth.resolve()
        # Of an ancestor whose bucket was not written nothing was checked: it is believed for a while.
        if not own and not charge.amounts and call.started_ms - standing.changed_at_ms <= AGE_MS:
            return
        assert not truth.entity.is_disabled(RESOURCE), f"{charge.entity_id} is disabled"
        assert above == truth.entity.parent_id, f"{charge.entity_id} is the child of {truth.entity.parent_id}"
        self.obeyed["parents"] += 1
        if not own and resolved is None:
            assert not charge.amounts
            return
        expected = self._expected(call, items, truth)
        if expected is not None:
            assert charge.state is not None
            assert charge.state.limits == expected, f"{charge.entity_id} obeys others than were set"
            self.obeyed["own limits" if resolved else "defaults"] += 1

    def _expected(self, call: Call, items: Mapping[Key, Item], truth: EntityReading) -> Limits | None:
        """Return the limits that this acquire had to obey; None where it may not have known them."""
        own = truth.resolve()
        if own is not None:
            return own.limits
        if not self._knows_defaults(call):
            return None
        resolved = reading.resolve_defaults(self._defaults(items), None)
        assert resolved is not None
        return resolved.limits

    def _check_resource(self, call: Call, items: Mapping[Key, Item], *, is_disabled: bool) -> None:
        if self._knows_defaults(call):
            assert self._defaults(items).is_disabled == is_disabled
            self.obeyed["state of the resource"] += 1

    def _check_disabled(self, call: Call, items: Mapping[Key, Item], entity_id: str) -> None:
        """An entity that was refused as disabled is, or was until lately."""
        standing = self.standings[entity_id]
        age_ms = REFUSAL_AGE_MS if entity_id == call.subject[0].entity_id else AGE_MS
        if standing.is_settled_since(call) and call.started_ms - standing.changed_at_ms > age_ms:
            assert reading.parse_entity_reading(items, entity_id, RESOURCE).entity.is_disabled(RESOURCE)
            self.obeyed["disabled"] += 1
        path = [call.subject[0].entity_id]
        while (above := schema.parse_entity(items.get(schema.entity_key(path[-1]))).parent_id) is not None:
            path.append(above)
        standings = [self.standings[name] for name in (entity_id, *path)]
        if all(x.is_settled_since(call) and call.started_ms - x.changed_at_ms > AGE_MS for x in standings):
            assert entity_id in path, f"{entity_id} is not above {path[0]}"
            self.obeyed["disabled ancestors"] += entity_id != path[0]

    def _knows_defaults(self, call: Call) -> bool:
        standing = self.standings[DEFAULTS]
        return standing.is_settled_since(call) and call.started_ms - standing.changed_at_ms > AGE_MS

    def _defaults(self, items: Mapping[Key, Item]) -> Defaults:
        return reading.parse_defaults_reading(items, RESOURCE)


def _first(name: object) -> Signature:
    return Signature("setup", f"first-{abs(hash(str(name))) % 10**8}", START_MS)


def _limits(world: World) -> Limits:
    return index_limits([Limit.per_second("rpm", world.random.randint(500, 5_000_000))])


def _delete(entity_id: str, signature: Signature, knowledge: Knowledge, *, may_reparent: bool) -> Flow[None]:
    """Delete an entity chunk by chunk, as the library does."""
    for number in range(100):
        part = Signature(signature.actor, f"{signature.id}.{number}", signature.at_ms)
        done = yield from delete_chunk(entity_id, part, knowledge, may_reparent=may_reparent)
        if done.is_complete:
            return
    raise AssertionError("the deletion does not come to its end")


def check_families(items: Mapping[Key, Item]) -> None:
    """Hold the records to what families must be: no circles, four levels, every descendant counted."""
    parents = {
        schema.entity_of(key): schema.parse_entity(item).parent_id
        for key, item in items.items()
        if key == schema.entity_key(schema.entity_of(key))
    }
    below: Counter[tuple[str, int]] = Counter()
    for entity_id in parents:
        above, level = parents[entity_id], 0
        while above is not None:
            assert level < len(schema.DESCENDANTS), f"{entity_id} stands too deep, or in a circle"
            assert above in parents, f"{above}, above {entity_id}, does not exist"
            below[above, level] += 1
            above, level = parents[above], level + 1
    for entity_id in parents:
        counted = schema.parse_entity(items[schema.entity_key(entity_id)]).descendants
        assert counted == tuple(below[entity_id, level] for level in range(3)), entity_id


def run_history(seed: int, steps: int = STEPS) -> Changes:
    """Play one history."""
    changes = Changes()
    world = World(
        seed,
        clients=8,
        faults=Faults(lost_request=0.001, lost_reply_repeated=0.05, lost_reply_unanswered=0.002, skew_ms=SKEW_MS),
        next_call=changes.next_call,
        ended=changes.ended,
        executed=changes.executed,
    )
    changes.world = world
    changes.populate(world)
    world.run(steps)
    check_families(world.repository.items)
    return changes


@pytest.mark.parametrize("group", seeds(SEEDS, 4), ids=lambda group: f"seeds {group.start}-{group.stop - 1}")
def test_whoever_acquires_after_a_change_obeys_it(group: range) -> None:
    endings: Counter[str] = Counter()
    obeyed: Counter[str] = Counter()
    for seed in group:
        changes = run_history(seed)
        endings += changes.endings
        obeyed += changes.obeyed
    assert endings["change: done"] > 500
    assert endings["change: StoreUnavailable"] > 20
    assert obeyed["own limits"] > 5_000
    assert obeyed["parents"] > 5_000
    assert obeyed["defaults"] > 200
    assert obeyed["disabled"] > 100
    assert obeyed["disabled ancestors"] > 20
    assert obeyed["state of the resource"] > 200
