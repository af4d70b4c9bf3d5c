"""Histories of leases: each ends once, with all that it spent and held, whoever ends it and whatever gets lost.

Processes acquire leases under keys and without, settle, release and renew their own and each other's, repeat all
of that, or never come back, while sweeps end what has expired, limits change and entities move. More of it than in
the simulator's own traffic, with places to be taken at every level; judged as that is: after every write the
buckets hold what the leases say, nobody loses a place, and at the end every place can be taken.

Clocks differ by up to 3 s. A lease ends, and a place lapses, by the clock of whoever ends it or takes the place.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from leasegate import Limit
from leasegate.durable import refer
from leasegate.flows.acquire import acquire
from leasegate.flows.adjusting import Adjustment, adjust
from leasegate.flows.auditing import Signature
from leasegate.flows.ending import Ending, end_lease
from leasegate.flows.entities import EntityChange, change_entity
from leasegate.flows.grants import Ask, Cascade, OnExpiry, Terms
from leasegate.flows.limits_admin import set_entity_limits
from leasegate.flows.renewing import renew_holders, renew_lease
from leasegate.flows.settle import correct
from leasegate.flows.spending import Amounts
from leasegate.knowledge import Knowledge
from leasegate.limits import DAY_MS, MAX_PERIOD_MS, SECOND_MS, Limits, index_limits
from leasegate.operations import Flow
from leasegate.simulation import Faults
from leasegate.simulation.calls import Call, Thread
from leasegate.simulation.history import History
from leasegate.simulation.judge import FamilyJudge
from leasegate.simulation.leases import Entry
from leasegate.simulation.traffic import sweep
from leasegate.simulation.world import World
from tests.simulation.histories import assert_often, play, seeds

SEEDS = 8
STEPS = 25_500
KINDS = {
    "limits stay": (False, False),
    "limits change and entities move": (True, False),
    "days go by": (True, True),
}
RESOURCE = "gpt-4"
OWNER = "owner"
PARENTS = {
    "org": None,
    "project-1": "org",
    "project-2": "org",
    "key-1": "project-1",
    "key-2": "project-1",
    "solo": None,
}
SPENDERS = ("key-1", "key-2", "solo", "project-2")
FAULTS = Faults(lost_reply=0.09, gives_up=0.3, death=0.0001, skew_ms=1_500)
CASCADES: tuple[Cascade, ...] = (True, True, True, False)
CONSUMES: Sequence[Amounts] = (
    {"slots": 1, "tpm": 40},
    {"slots": 1, "tpm": 400, "rpm": 1},
    {"slots": 2},
    {"tpm": 100, "rpm": 1},
    {"rpm": 2},
    {"slots": 3, "tpm": 5},
    {"tpm": 10, "images": 1},
)
ADJUSTMENTS: Sequence[Amounts] = ({"tpm": 9}, {"tpm": 700, "rpm": -3}, {"rpm": -2}, {"rpm": 30})
ENDINGS = {
    "done",
    "died",
    "InvalidRequest",
    "LeaseExpired",
    "LeaseNotFound",
    "RateLimitExceeded",
    "StoreThrottled",
    "StoreUnavailable",
}
"""How calls end where nobody is disabled or deleted, and everybody has limits."""
EXPIRIES_S = (None, 1, 5, 20, 60)


def slow(name: str, capacity: int) -> Limit:
    """Return a limit that refills nothing worth mentioning while a history lasts."""
    return Limit(name, capacity, 1, MAX_PERIOD_MS)


def any_limits(world: World, entity_id: str, *, changes: bool) -> Limits:
    """Return limits of the names that an entity always has; key-2 has more of them at some times."""
    chance = world.chance
    images = slow("images", chance.choice((900, 1_000)))
    if entity_id == "project-1":
        return index_limits([images])
    slots = Limit.concurrent("slots", chance.choice((4, 6)) * (2 if entity_id == "org" else 1), 20)
    tpm = slow("tpm", chance.choice((200_000, 300_000)))
    if entity_id == "org":
        return index_limits([slots, tpm])
    limits = [slots, tpm, Limit.per_second("rpm", chance.choice((20, 40)))]
    is_short = changes and entity_id == "key-2" and chance.random() < 0.5
    return index_limits(limits if is_short else [*limits, images])


def populate(world: World, *, changes: bool) -> None:
    """Create an organisation over two projects over two keys, and somebody alone; all have limits."""
    setup = Knowledge()
    signatures = (Signature("setup", f"setup-{number}", world.now_ms) for number in itertools.count())
    for entity_id, parent_id in PARENTS.items():
        change = EntityChange(entity_id, parent_id, must_exist=False)
        world.settle(change_entity(change, next(signatures), setup))
    for entity_id in PARENTS:
        limits = any_limits(world, entity_id, changes=changes)
        world.settle(set_entity_limits(entity_id, None, limits, next(signatures), setup))


class LeaseTraffic:
    """What the processes do; limits change and entities move where it ``changes``, or even ``days`` go by."""

    def __init__(self, history: History, judge: FamilyJudge, *, changes: bool, days: bool) -> None:
        self._history = history
        self._judge = judge
        self._changes = changes
        self._days = days
        kinds: list[tuple[int, Callable[[World, Thread], Call | None]]] = [
            (15, self._sweep),
            (50 if changes else 0, self._change),
            (80, self._adjust),
            (100, self._hold),
            (100, self._use_held),
            (300, self._use_lease),
            (355, self._acquire),
        ]
        self._kinds = [kind for share, kind in kinds for _ in range(share)]

    def next_call(self, world: World, thread: Thread) -> Call | None:
        """Choose what a thread does next; let time go by."""
        luck = world.chance.random()
        if luck < 0.03:
            world.now_ms += world.chance.randint(1, 15) * SECOND_MS
        if self._days and luck < 0.002:
            world.skip(3 * DAY_MS)
            world.expire_items()
        return world.chance.choice(self._kinds)(world, thread) or self._acquire(world, thread)

    # --- spending ------------------------------------------------------------------------------------

    def _acquire(self, world: World, thread: Thread) -> Call:
        """Acquire a durable lease; what got no answer is asked for again under its key."""
        chance, unanswered = world.chance, self._history.unanswered
        request = thread.process.request(world.now_ms)
        if unanswered and chance.random() < 0.5:
            ask = unanswered.pop()
        else:
            name = f"{self._history.next_number()}"
            expires_in_s = chance.choice(EXPIRIES_S)
            on_expiry: OnExpiry = chance.choice(("release", "release", "keep"))
            terms = Terms(
                lease=f"{name:0>22}",
                owner=OWNER,
                fingerprint=name,
                key=chance.choice((None, name)),
                ends_at_ms=None if expires_in_s is None else request.now_ms + expires_in_s * SECOND_MS,
                on_expiry=on_expiry,
            )
            consume, cascade = chance.choice(CONSUMES), chance.choice(CASCADES)
            ask = Ask(chance.choice(SPENDERS), RESOURCE, consume, cascade=cascade, terms=terms)
        assert ask.terms is not None
        request = replace(request, ends_at_ms=ask.terms.ends_at_ms)
        flow = acquire(ask, request, thread.process.knowledge)
        return world.call(thread, "acquire durable", ask, flow, request)

    def _hold(self, world: World, thread: Thread) -> Call:
        """Take places only, without a lease that is stored."""
        chance, request = world.chance, thread.process.request(world.now_ms)
        cascade: Cascade = chance.choice((True, False, "transaction"))
        ask = Ask(chance.choice(SPENDERS), RESOURCE, {"slots": chance.randint(1, 2)}, cascade=cascade)
        return world.call(thread, "acquire", ask, acquire(ask, request, thread.process.knowledge), request)

    def _use_held(self, world: World, thread: Thread) -> Call | None:
        """Let go or keep the places of a lease that is not stored; or leave it for good."""
        chance, process = world.chance, thread.process
        if not process.held:
            return None
        held = chance.choice(process.held)
        luck = chance.random()
        if luck < 0.5:
            request = process.request(world.now_ms)
            keeping = renew_holders("lease", held.grant, request, process.knowledge)
            return world.call(thread, "keep", held, keeping, request)
        process.held.remove(held)
        if luck < 0.6:
            return None
        if held.request is None:
            held.request = process.request(world.now_ms)
            held.corrections = [charge.reversal() for charge in held.grant.charges if charge.limited]
        flow = correct(RESOURCE, held.corrections, held.request, process.knowledge)
        call = world.call(thread, "correct", held, flow, held.request)
        call.spent, call.applied = held.spent, held.applied
        return call

    # --- leases --------------------------------------------------------------------------------------

    def _use_lease(self, world: World, thread: Thread) -> Call | None:
        """End or renew somebody's lease, by an id that may have lost its ticket, or have another's."""
        chance, ids = world.chance, self._history.lease_ids
        if not ids:
            return None
        lease_id = chance.choice(ids)
        name, _, ticket = lease_id.partition(".")
        entry = self._judge.leases.entries.get(name)
        if entry is None:
            ids.remove(lease_id)
            return None
        luck = chance.random()
        if luck < 0.15:
            ticket = ""
        elif luck < 0.2:
            _, _, ticket = chance.choice(ids).partition(".")
        how = "" if ticket in ("", entry.stored.ticket) else " by a wrong ticket"
        lease, request = refer(f"{name}.{ticket}", OWNER), thread.process.request(world.now_ms)
        if chance.random() < 0.3:
            can_say = entry.stored.ends_at_ms is not None
            expires_in_ms = chance.choice((None, 3 * SECOND_MS, 30 * SECOND_MS)) if can_say else None
            renewing = renew_lease(lease, expires_in_ms, request, thread.process.knowledge)
            return world.call(thread, f"renew{how}", name, renewing, request)
        ending = Ending(lease, "released")
        if chance.random() < 0.6:
            ending = Ending(lease, "settled", self._any_actual(world, entry))
        flow = end_lease(ending, request, thread.process.knowledge)
        return world.call(thread, f"end{how}", name, flow, request)

    def _any_actual(self, world: World, entry: Entry) -> Amounts:
        """Say what a lease really used: of some names, among them such as it did not acquire."""
        chance = world.chance
        state = entry.grant.charges[0].state
        assert state is not None
        names = [name for name, limit in state.limits.items() if not limit.is_concurrent]
        return {name: chance.choice((0, 1, 7, 250, 900)) for name in names if chance.random() < 0.4}

    def _adjust(self, world: World, thread: Thread) -> Call:
        """Correct somebody's tokens once, under a key."""
        chance, request = world.chance, thread.process.request(world.now_ms)
        name = f"{self._history.next_number()}"
        terms = Terms(f"{name:0>22}", OWNER, name, name)
        amounts, cascades = chance.choice(ADJUSTMENTS), chance.random() < 0.8
        adjustment = Adjustment(chance.choice(SPENDERS), RESOURCE, amounts, cascades, terms)
        flow = adjust(adjustment, request, thread.process.knowledge)
        return world.call(thread, "adjust", adjustment, flow, request)

    # --- upkeep --------------------------------------------------------------------------------------

    def _sweep(self, world: World, thread: Thread) -> Call:
        """End what has expired."""
        request = thread.process.request(world.now_ms)
        return world.call(thread, "sweep", None, sweep(request, thread.process.knowledge), request)

    def _change(self, world: World, thread: Thread) -> Call:
        """Change somebody's limits, or move an entity."""
        chance, request = world.chance, thread.process.request(world.now_ms)
        signature = Signature("somebody", request.id, request.now_ms)
        entity_id = chance.choice(("org", *SPENDERS, "key-1", "key-2"))
        knowledge = thread.process.knowledge
        flow: Flow[Any]
        if entity_id.startswith("key") and chance.random() < 0.4:
            change = EntityChange(entity_id, chance.choice(("project-1", "project-2", None)))
            flow = change_entity(change, signature, knowledge)
        else:
            limits = any_limits(world, entity_id, changes=self._changes)
            flow = set_entity_limits(entity_id, None, limits, signature, knowledge)
        self._judge.obedience.begin((entity_id,))
        return world.call(thread, "change", (entity_id,), flow, request)


@pytest.mark.parametrize("group", seeds(SEEDS, 4), ids=lambda group: f"seeds {group.start}-{group.stop - 1}")
@pytest.mark.parametrize("kind", KINDS)
def test_every_lease_ends_once_with_all_that_it_spent_and_held(kind: str, group: range) -> None:
    changes, days = KINDS[kind]
    endings: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    for seed in group:
        judge = play(
            seed,
            STEPS,
            FAULTS,
            partial(LeaseTraffic, changes=changes, days=days),
            entities=tuple(PARENTS),
            resources=(RESOURCE,),
            populate=partial(populate, changes=changes),
        )
        endings += judge.endings
        checked += judge.checked
    assert {ending.rpartition(": ")[2] for ending in endings} <= ENDINGS
    assert_often(
        endings,
        {
            "end: done": 200,
            "end: LeaseExpired": 100,
            "renew: done": 40,
            "end by a wrong ticket: done": 4,
            "correct: done": 50,
            "acquire: RateLimitExceeded": 50,
            "sweep: done": 15,
            "acquire durable: StoreUnavailable": 50,
            "end: StoreUnavailable": 20,
        },
    )
    assert_often(
        checked,
        {
            "leases": 850,  # so all histories have more than 10,000
            "ends": 400,
            "renewals": 40,
            "uses of leases": 400,
            "keyed adjustments": 100,
            "places left": 100,
            "places": 50,
        },
    )
