"""What threads do: they acquire most of the time, use leases, correct, count; and somebody changes everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Final

from .. import schema
from ..changes import read_change
from ..durable import refer
from ..flows.acquire import acquire
from ..flows.adjusting import Adjustment, adjust
from ..flows.batching import acquire_many
from ..flows.counting import count_usage
from ..flows.ending import Ending, end_lease
from ..flows.grants import Ask, Cascade, OnExpiry, Terms
from ..flows.renewing import renew_holders, renew_lease
from ..flows.settle import correct
from ..flows.spending import Request
from ..flows.sweeping import FIRST_PAGES, most_leases, sweep_pages
from ..knowledge import DEFAULT_MAX_AGE_MS, Knowledge
from ..limits import DAY_MS, SECOND_MS
from ..operations import Flow
from ..windows import MAX_RETENTION_DAYS, UsagePlan
from .calls import Call, Thread
from .changing import draw_change
from .family import CONSUMES, HOLDING_CONSUMES, PARENTS, RESOURCES, SPENDERS
from .history import History
from .obedience import Obedience
from .world import World

OWNER: Final = "owner"
PLAN: Final = UsagePlan({"hour": MAX_RETENTION_DAYS, "day": MAX_RETENTION_DAYS})
"""How usage is counted: kept for ever, for days go by in a history."""

_CASCADES: Final[tuple[Cascade, ...]] = (True, True, True, False, "transaction")
_EXPIRIES_S: Final = (None, 1, 5, 20)
_KINDS: Final = (
    *("acquire",) * 60,
    *("acquire durable",) * 7,
    *("acquire many",) * 3,
    *("use held",) * 10,
    *("use lease",) * 6,
    *("adjust",) * 2,
    *("count",) * 2,
    *("change",) * 2,
)
_SWEEPS: Final = 0.003
_WAITS: Final = 0.002
_DAYS_PASS: Final = 0.0002


class FamilyTraffic:
    """The traffic of a small family; what it needs to know of the past stands in the history."""

    def __init__(self, history: History, obedience: Obedience) -> None:
        """Begin without leases."""
        self._history = history
        self._obedience = obedience
        self._kinds: dict[str, Callable[[World, Thread], Call | None]] = {
            "acquire": self._acquire,
            "acquire durable": self._acquire_durable,
            "acquire many": self._acquire_many,
            "use held": self._use_held,
            "use lease": self._use_lease,
            "adjust": self._adjust,
            "count": self._count,
            "change": self._change,
        }

    def next_call(self, world: World, thread: Thread) -> Call | None:
        """Choose what a thread does next; let time go by."""
        luck = world.chance.random()
        if luck < _SWEEPS:
            return self._sweep(world, thread)
        if luck < _SWEEPS + _WAITS:
            world.skip(world.chance.choice((SECOND_MS, 5 * SECOND_MS, DEFAULT_MAX_AGE_MS + SECOND_MS)))
        elif luck < _SWEEPS + _WAITS + _DAYS_PASS:
            world.skip(2 * DAY_MS)
            world.expire_items()
        kind = _KINDS[int(world.chance.random() * len(_KINDS))]
        return self._kinds[kind](world, thread) or self._acquire(world, thread)

    # --- spending ------------------------------------------------------------------------------------

    def _acquire(self, world: World, thread: Thread) -> Call:
        ask = self._ask(world)
        request = thread.process.request(world.now_ms)
        return world.call(thread, "acquire", ask, acquire(ask, request, thread.process.knowledge), request)

    def _ask(self, world: World) -> Ask:
        draw = world.chance.random
        entity_id = SPENDERS[int(draw() * len(SPENDERS))]
        resource = RESOURCES[draw() < 0.25]
        holds = entity_id in ("key-1", "key-3") and draw() < 0.15
        consumes = HOLDING_CONSUMES if holds else CONSUMES
        hint = PARENTS[entity_id] if draw() < 0.5 else "project-b" if draw() < 0.1 else None
        return Ask(
            entity_id,
            resource,
            consumes[int(draw() * len(consumes))],
            parent_id=None if hint == entity_id else hint,
            cascade=_CASCADES[int(draw() * len(_CASCADES))],
        )

    def _acquire_durable(self, world: World, thread: Thread) -> Call:
        """Acquire a durable lease; what got no answer is asked for again under its key, by anybody."""
        chance, unanswered = world.chance, self._history.unanswered
        if unanswered and chance.random() < 0.5:
            ask = unanswered.pop(int(chance.random() * len(unanswered)))
            assert ask.terms is not None
            request = thread.process.request(world.now_ms, ask.terms.ends_at_ms)
        else:
            number = self._history.next_number()
            expires_in_s = chance.choice(_EXPIRIES_S)
            request = thread.process.request(world.now_ms)
            ends_at_ms = None if expires_in_s is None else request.now_ms + expires_in_s * SECOND_MS
            request = replace(request, ends_at_ms=ends_at_ms)
            on_expiry: OnExpiry = chance.choice(("release", "keep"))
            key = chance.choice((None, f"{number}"))
            ask = replace(
                self._ask(world), terms=Terms(f"{number:022}", OWNER, f"{number}", key, ends_at_ms, on_expiry)
            )
        flow = acquire(ask, request, thread.process.knowledge)
        return world.call(thread, "acquire durable", ask, flow, request)

    def _acquire_many(self, world: World, thread: Thread) -> Call:
        process, first = thread.process, thread.process.request(world.now_ms)
        asks = tuple([self._ask(world) for _ in range(world.chance.randint(2, 6))])
        now_ms = world.now_ms

        def new_request(_ask: Ask) -> Request:
            return process.request(now_ms)

        flow = acquire_many(asks, new_request, process.knowledge)
        return world.call(thread, "acquire many", asks, flow, first)

    # --- what comes after ------------------------------------------------------------------------------

    def _use_held(self, world: World, thread: Thread) -> Call | None:
        """Give back what an acquire was granted, or correct it to what was used; or keep its places."""
        process, draw = thread.process, world.chance.random
        if not process.held:
            return None
        held = process.held[int(draw() * len(process.held))]
        knowledge, resource = process.knowledge, held.grant.resource
        if draw() < 0.2 and any(charge.holders for charge in held.grant.charges):
            request = process.request(world.now_ms)
            keeping = renew_holders("lease", held.grant, request, knowledge)
            return world.call(thread, "keep", held, keeping, request)
        process.held.remove(held)
        if held.request is None:
            held.request = process.request(world.now_ms)
            held.corrections = [charge.reversal() for charge in held.grant.charges if charge.limited]
            if draw() < 0.5:
                used = {"tpm": int(draw() * 90) - 20}
                held.corrections = [replace(correction, amounts=used) for correction in held.corrections]
        call = world.call(
            thread, "correct", held, correct(resource, held.corrections, held.request, knowledge), held.request
        )
        call.spent, call.applied = held.spent, held.applied
        return call

    def _use_lease(self, world: World, thread: Thread) -> Call | None:
        """End or renew somebody's lease, by an id that may have lost its ticket."""
        draw, ids = world.chance.random, self._history.lease_ids
        if not ids:
            return None
        place = int(draw() * len(ids))
        lease_id = ids[place]
        if draw() < 0.3:
            ids.pop(place)  # so that not only the oldest are used over and over
        name, _, ticket = lease_id.partition(".")
        lease = refer(f"{name}.{ticket if draw() < 0.85 else ''}", OWNER)
        request, knowledge = thread.process.request(world.now_ms), thread.process.knowledge
        if draw() < 0.25:
            renewing = renew_lease(lease, None, request, knowledge)
            return world.call(thread, "renew", name, renewing, request)
        ending = Ending(lease, "released")
        if draw() < 0.6:
            ending = Ending(lease, "settled", {"tpm": int(draw() * 120)} if draw() < 0.7 else {})
        return world.call(thread, "end", name, end_lease(ending, request, knowledge), request)

    def _adjust(self, world: World, thread: Thread) -> Call:
        """Correct somebody's tokens, under a key or without."""
        draw, request = world.chance.random, thread.process.request(world.now_ms)
        amounts = {"tpm": int(draw() * 60) - 25}
        terms = None
        if draw() < 0.7:
            number = self._history.next_number()
            terms = Terms(f"{number:022}", OWNER, f"{number}", f"{number}")
        entity_id = SPENDERS[int(draw() * len(SPENDERS))]
        adjustment = Adjustment(entity_id, RESOURCES[draw() < 0.25], amounts, draw() < 0.8, terms)
        flow = adjust(adjustment, request, thread.process.knowledge)
        return world.call(thread, "adjust", adjustment, flow, request)

    # --- upkeep --------------------------------------------------------------------------------------

    def _sweep(self, world: World, thread: Thread) -> Call:
        request = thread.process.request(world.now_ms)
        return world.call(thread, "sweep", None, sweep(request, thread.process.knowledge), request)

    def _count(self, world: World, thread: Thread) -> Call | None:
        """Count a batch of the stream: mostly what comes next, now and then what was counted, in any order."""
        stream, chance = self._history.stream, world.chance
        batch = stream.draw_batch(chance)
        if not batch:
            return None
        changes = [read_change(*stream.changes[place]) for place in batch]  # type: ignore[arg-type]  # none is deleted
        request = thread.process.request(world.now_ms)
        flow = count_usage(changes, PLAN, request.now_ms, thread.process.totals)
        return world.call(thread, "count", batch, flow, request)

    def _change(self, world: World, thread: Thread) -> Call:
        """Change something that decides who may spend what."""
        call = draw_change(world, thread)
        if call.kind == "change":
            self._obedience.begin(call.subject)
        return call


def sweep(request: Request, knowledge: Knowledge) -> Flow[None]:
    """End all leases whose time is over, as :class:`leasegate.sweeper.Sweeper` does."""
    pages = FIRST_PAGES
    for number in count():
        names = [f"{request.id}.{number}.{place}" for place in range(most_leases(pages))]
        requests = [
            Request(name, place % schema.REQUEST_SLOTS, request.now_ms) for place, name in enumerate(names)
        ]
        swept = yield from sweep_pages(pages, requests, knowledge)
        if not swept.pages:
            return
        pages = swept.pages
