"""Histories of leases: each ends once, with all that it spent and held, whoever ends it and whatever gets lost.

Processes acquire leases under keys and without, settle, release and renew their own and each other's, repeat all
of that, or never come back, while sweeps end what has expired, limits change and entities move. Every operation
interleaves with everybody else's, and after every write the books balance (:mod:`tests.simulation.books`).

Clocks differ by up to 3 s. A lease ends, and a place lapses, by the clock of whoever ends it or takes the place.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from leasegate import (
    InvalidRequest,
    LeaseEnd,
    LeaseExpired,
    LeaseNotFound,
    Limit,
    RateLimitExceeded,
    Renewal,
    StoreError,
    schema,
)
from leasegate.durable import refer
from leasegate.flows.acquire import acquire
from leasegate.flows.adjusting import Adjustment, adjust
from leasegate.flows.auditing import Signature
from leasegate.flows.ending import Ending, end_lease
from leasegate.flows.entities import EntityChange, change_entity
from leasegate.flows.grants import Ask, Cascade, Grant, OnExpiry, Terms
from leasegate.flows.limits_admin import set_entity_limits
from leasegate.flows.renewing import renew_holders, renew_lease
from leasegate.flows.settle import correct
from leasegate.flows.spending import Amounts, Request
from leasegate.flows.sweeping import FIRST_PAGES, most_leases, sweep_pages
from leasegate.knowledge import Knowledge
from leasegate.limits import DAY_MS, MAX_PERIOD_MS, SECOND_MS, Limits, index_limits
from leasegate.operations import Flow, Operation, Outcome
from tests.simulation.books import Actor, Books, Entry, stem_of
from tests.simulation.world import START_MS, Call, Client, Faults, World, seeds

SEEDS = 8
STEPS = 12_000
KINDS = {
    "limits stay": (False, False),
    "limits change and entities move": (True, False),
    "days go by": (True, True),
}
RESOURCE = "gpt-4"
OWNER = "owner"
PARENTS = {"org": None, "project-1": "org", "project-2": "org", "key-1": "project-1", "key-2": "project-1"}
SPENDERS = ("key-1", "key-2", "solo", "project-2")
FAULTS = Faults(lost_request=0.01, lost_reply_repeated=0.06, lost_reply_unanswered=0.03, skew_ms=1_500)
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
EXPIRIES_S = (None, 1, 5, 20, 60)


def slow(name: str, capacity: int) -> Limit:
    """Return a limit that refills nothing worth mentioning while a history lasts."""
    return Limit(name, capacity, 1, MAX_PERIOD_MS)


@dataclass
class Held:
    """A lease that is no item: what its process was granted, and under which request."""

    client: Client
    grant: Grant
    stem: str
    request: Request | None = None


@dataclass
class Leases:
    """What the processes do, and how it must end.

    Attributes:
        changes: whether limits change and entities move.
        days: whether days go by, after which DynamoDB deletes what is idle.
        ids: leases by what names them, for everybody to end. held: those that only their process can end.
    """

    changes: bool = False
    days: bool = False
    world: World = field(init=False)
    books: Books = field(init=False)
    ids: list[str] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    pending: list[tuple[Ask, Terms]] = field(default_factory=list)
    actors: dict[int, Actor] = field(default_factory=dict)
    endings: Counter[str] = field(default_factory=Counter)
    keys: int = 0

    def play(self, seed: int, steps: int) -> None:
        """Play a history, and check how it ends."""
        self.world = World(seed, faults=FAULTS, next_call=self.next_call, ended=self.ended, executed=self.executed)
        self.books = Books(self.world.repository)
        self.populate()
        self.world.run(steps)
        self.check_end()

    def populate(self) -> None:
        """Create an organisation over two projects over two keys, and somebody alone; most have limits."""
        setup = Knowledge()
        signatures = (Signature("setup", f"setup-{number}", START_MS) for number in itertools.count())
        for entity_id, parent_id in PARENTS.items():
            change = EntityChange(entity_id, parent_id, must_exist=False)
            self.world.settle(change_entity(change, next(signatures), setup))
        for entity_id in ("org", "project-1", *SPENDERS):
            limits = self.any_limits(entity_id)
            self.world.settle(set_entity_limits(entity_id, None, limits, next(signatures), setup))

    def any_limits(self, entity_id: str) -> Limits:
        """Return limits of the names that an entity always has; key-2 has more of them at some times."""
        random = self.world.random
        images = slow("images", random.choice((900, 1_000)))
        if entity_id == "project-1":
            return index_limits([images])
        slots = Limit.concurrent("slots", random.choice((4, 6)) * (2 if entity_id == "org" else 1), 20)
        tpm = slow("tpm", random.choice((200_000, 300_000)))
        if entity_id == "org":
            return index_limits([slots, tpm])
        limits = [slots, tpm, Limit.per_second("rpm", random.choice((20, 40)))]
        is_short = self.changes and entity_id == "key-2" and random.random() < 0.5
        return index_limits(limits if is_short else [*limits, images])

    # --- what processes do -----------------------------------------------------------------------------

    def next_call(self, world: World, client: Client) -> Call:
        """Choose what a process does next; let time go by."""
        luck = world.random.random()
        if luck < 0.03:
            world.now_ms += world.random.randint(1, 15) * SECOND_MS
        if self.days and luck < 0.002:
            self.let_days_pass()
        if len(self.ids) > 100:
            del self.ids[world.random.randrange(len(self.ids))]  # nobody comes back for it
        kinds: list[tuple[float, Callable[[Client], Call | None]]] = [
            (0.015, self.sweep),
            (0.05 if self.changes else 0.0, self.change),
            (0.08, self.adjust),
            (0.10, self.acquire_held),
            (0.10, self.use_held),
            (0.30, self.use_lease),
        ]
        luck = world.random.random()
        for share, kind in kinds:
            if luck < share:
                call = kind(client)
                if call is not None:
                    return call
            luck -= share
        return self.acquire_durable(client)

    def call(
        self,
        name: str,
        subject: object,
        request: Request,
        flow: Flow[Any],
        *,
        stem: str | None = None,
        adjusts: Amounts | None = None,
    ) -> Call:
        """Return a call, known to the books by the holders and the tokens that are its own."""
        actor = Actor(request.now_ms, stem or stem_of(request.id), adjusts or {}, self.books.writes)
        self.actors[id(flow)] = actor
        return Call(name, (subject, request), self.world.step, self.world.now_ms, flow)

    def request(self, client: Client) -> Request:
        client.requests += 1
        now_ms = self.world.clock(client)
        return Request(f"{client.number}-{client.requests}", client.requests % 8, now_ms)

    def acquire_durable(self, client: Client) -> Call:
        """Acquire a durable lease; what got no answer is asked for again under its key."""
        random, request = self.world.random, self.request(client)
        if self.pending and random.random() < 0.5:
            ask, terms = self.pending.pop()
        else:
            self.keys += 1
            expires_in_s = random.choice(EXPIRIES_S)
            on_expiry: OnExpiry = random.choice(("release", "release", "keep"))
            terms = Terms(
                lease=f"{self.keys:022}",
                owner=OWNER,
                fingerprint=f"{self.keys}",
                key=random.choice((None, f"{self.keys}")),
                ends_at_ms=None if expires_in_s is None else request.now_ms + expires_in_s * SECOND_MS,
                on_expiry=on_expiry,
            )
            cascade = random.choice(CASCADES)
            ask = Ask(random.choice(SPENDERS), RESOURCE, random.choice(CONSUMES), cascade=cascade, terms=terms)
        request = replace(request, ends_at_ms=terms.ends_at_ms)
        return self.call("acquire", ask, request, acquire(ask, request, client.knowledge))

    def acquire_held(self, client: Client) -> Call:
        """Take places only, without a lease that is stored."""
        random, request = self.world.random, self.request(client)
        cascade: Cascade = random.choice((True, False, "transaction"))
        ask = Ask(random.choice(SPENDERS), RESOURCE, {"slots": random.randint(1, 2)}, cascade=cascade)
        return self.call("hold", ask, request, acquire(ask, request, client.knowledge))

    def use_held(self, client: Client) -> Call | None:
        """Let go or keep the places of a lease that is not stored; or leave it for good."""
        random = self.world.random
        own = [held for held in self.held if held.client is client]
        if not own:
            return None
        held = random.choice(own)
        choice = random.random()
        if choice < 0.5:
            request = self.request(client)
            keeping = renew_holders("lease", held.grant, request, client.knowledge)
            return self.call("renew held", held, request, keeping, stem=held.stem)
        if choice < 0.6:
            self.held.remove(held)
            return None
        held.request = held.request or self.request(client)
        corrections = [charge.reversal() for charge in held.grant.charges if charge.limited]
        flow = correct(RESOURCE, corrections, held.request, client.knowledge)
        return self.call("let go", held, held.request, flow, stem=held.stem)

    def use_lease(self, client: Client) -> Call | None:
        """End or renew somebody's lease, by an id that may have lost its ticket, or have another's."""
        random = self.world.random
        if not self.ids:
            return None
        lease_id = random.choice(self.ids)
        name, _, ticket = lease_id.partition(".")
        entry = self.books.entries.get(name)
        if entry is None:
            self.ids.remove(lease_id)
            return None
        odd = random.random()
        if odd < 0.15:
            ticket = ""
        elif odd < 0.2:
            _, _, ticket = random.choice(self.ids).partition(".")
        lease, request = refer(f"{name}.{ticket}", OWNER), self.request(client)
        is_real = ticket in ("", entry.stored.ticket)
        stem = next((ids[0] for charge in entry.grant.charges for ids in charge.holders.values() if ids), "none")
        if random.random() < 0.3:
            can_say = entry.stored.ends_at_ms is not None
            expires_in_ms = random.choice((None, 3 * SECOND_MS, 30 * SECOND_MS)) if can_say else None
            renewing = renew_lease(lease, expires_in_ms, request, client.knowledge)
            return self.call("renew", (entry, is_real), request, renewing, stem=stem)
        ending = Ending(lease, "released")
        if random.random() < 0.6:
            ending = Ending(lease, "settled", self.any_actual(entry))
        flow = end_lease(ending, request, client.knowledge)
        return self.call("end", (entry, is_real), request, flow, stem=stem)

    def any_actual(self, entry: Entry) -> Amounts:
        """Say what a lease really used: of some names, among them such as it did not acquire."""
        random = self.world.random
        state = entry.grant.charges[0].state
        assert state is not None
        names = [name for name, limit in state.limits.items() if not limit.is_concurrent]
        return {name: random.choice((0, 1, 7, 250, 900)) for name in names if random.random() < 0.4}

    def adjust(self, client: Client) -> Call:
        """Correct somebody's tokens once, under a key."""
        random, request = self.world.random, self.request(client)
        self.keys += 1
        amounts = random.choice(({"tpm": 9}, {"tpm": 700, "rpm": -3}, {"rpm": -2}, {"rpm": 30}))
        terms = Terms(f"{self.keys:022}", OWNER, f"{self.keys}", f"{self.keys}")
        adjustment = Adjustment(random.choice(SPENDERS), RESOURCE, amounts, random.random() < 0.8, terms)
        flow = adjust(adjustment, request, client.knowledge)
        return self.call("adjust", adjustment, request, flow, adjusts=amounts)

    def sweep(self, client: Client) -> Call:
        """End what has expired."""
        request = self.request(client)
        return self.call("sweep", None, request, sweep(request, client.knowledge), stem="nobody's")

    def change(self, client: Client) -> Call:
        """Change somebody's limits, or move an entity."""
        random, request = self.world.random, self.request(client)
        signature = Signature("somebody", request.id, request.now_ms)
        entity_id = random.choice(("org", *SPENDERS, "key-1", "key-2"))
        flow: Flow[object]
        if entity_id.startswith("key") and random.random() < 0.4:
            change = EntityChange(entity_id, random.choice(("project-1", "project-2", None)))
            flow = change_entity(change, signature, client.knowledge)
        else:
            flow = set_entity_limits(entity_id, None, self.any_limits(entity_id), signature, client.knowledge)
        return self.call("change", None, request, flow)

    def let_days_pass(self) -> None:
        """Move on by days, after which DynamoDB deletes what is over; a sweep was there before."""
        self.sweep_all()
        self.world.now_ms += 3 * DAY_MS
        for key, item in self.world.repository.items.items():
            expires_at_s = item.get(schema.EXPIRES_AT)
            if isinstance(expires_at_s, int) and expires_at_s * 1000 < self.world.now_ms:
                self.world.repository.delete(key)
                self.books.forget(key, self.world.now_ms)

    # --- how it ends -----------------------------------------------------------------------------------

    def executed(self, world: World, call: Call, operation: Operation, outcome: Outcome) -> None:
        """Book every write as soon as it happened."""
        self.books.executed(self.actors[id(call.flow)], call, operation, outcome)

    def ended(self, client: Client, call: Call) -> None:
        """Hold each call to what the books say of it."""
        del self.actors[id(call.flow)]
        subject, request = cast("tuple[Any, Request]", call.subject)
        self.endings[f"{call.name}: {type(call.error or call.result).__name__}"] += 1
        if isinstance(call.error, StoreError):
            if call.name == "acquire" and subject.terms.key is not None:
                self.pending.append((subject, subject.terms))
            return
        match call.name:
            case "acquire":
                assert isinstance(call.error, RateLimitExceeded | InvalidRequest | None)
                if isinstance(call.result, Grant):
                    assert call.result.lease is not None
                    self.ids.append(call.result.lease.id)
            case "hold":
                assert isinstance(call.error, RateLimitExceeded | None), f"unexpected: {call.error!r}"
                if isinstance(call.result, Grant):
                    self.held.append(Held(client, call.result, stem_of(request.id)))
            case "let go":
                assert call.error is None
                if subject in self.held and self.world.random.random() < 0.7:
                    self.held.remove(subject)  # else it is let go once more
            case "renew held":
                assert isinstance(call.error, LeaseExpired | None), f"unexpected: {call.error!r}"
            case "end" | "renew":
                self.check_use(call, request, *subject)
            case _:
                assert isinstance(call.error, InvalidRequest | None), f"unexpected: {call.error!r}"

    def check_use(self, call: Call, request: Request, entry: Entry, is_real: bool) -> None:
        """Hold an end, a renewal or an error to how the lease stands."""
        if isinstance(call.error, LeaseNotFound):
            assert entry.stored.is_forgotten(self.world.now_ms)
        elif isinstance(call.result, LeaseEnd):
            assert entry.end is not None
            assert replace(call.result, is_repeated=True) == entry.end
            assert call.result.is_repeated or entry.ended_by is call
        elif isinstance(call.result, Renewal):
            assert call.result.expires_at_ms in entry.ends_at_ms
        elif isinstance(call.error, InvalidRequest):
            assert not is_real, "what may be said of a lease depends on its ticket"
        else:
            assert isinstance(call.error, LeaseExpired), f"unexpected: {call.error!r}"
            holds = any(ids for charge in entry.grant.charges for ids in charge.holders.values())
            has_expired = entry.end is not None and entry.end.outcome == "expired"  # by another's clock
            is_too_late = call.name == "renew" and (holds or entry.end is not None)
            assert has_expired or is_too_late or entry.had_expired(request.now_ms)

    # --- the end ---------------------------------------------------------------------------------------

    def sweep_all(self) -> None:
        """Sweep until nothing is left, in a process that knows nothing, without faults or interruptions."""
        request = Request(f"last-{self.world.step}", 0, self.world.now_ms)
        flow = sweep(request, Knowledge())
        actor = Actor(request.now_ms, "nobody's", {}, self.books.writes)
        with suppress(StopIteration):
            operations = next(flow)
            while True:
                outcomes: list[Outcome] = []
                for operation in operations:
                    outcomes += self.world.repository.execute((operation,), timeout_ms=1000)
                    self.books.executed(actor, flow, operation, outcomes[-1])
                operations = flow.send(tuple(outcomes))

    def check_end(self) -> None:
        """Let everything lapse and expire; then all is as it was really used, and every place can be taken."""
        self.world.now_ms += 120 * SECOND_MS
        self.sweep_all()
        for entry in self.books.entries.values():
            assert entry.end is not None or entry.stored.ends_at_ms is None
        for key, item in self.books.buckets.items():
            bucket = schema.parse_bucket(item)
            for name, limit in bucket.limits.items():
                is_kept = not self.days and not (self.changes and name == "images")
                if limit.period_ms == MAX_PERIOD_MS and is_kept:
                    weight = max(0, bucket.tats.get(name, 0) - self.world.now_ms)
                    assert -(-weight // limit.period_ms) == max(0, self.books.used[key][name]), f"{name} of {key}"
        for entity_id in ("org", *SPENDERS):
            self.take_all_places(entity_id)

    def take_all_places(self, entity_id: str) -> None:
        """Take every place of an entity, and find that there is none besides."""
        knowledge = Knowledge()

        def take(number: int) -> Grant:
            request = Request(f"place-{number}", number % 8, self.world.now_ms)
            ask = Ask(entity_id, RESOURCE, {"slots": 1}, cascade=False)
            return self.world.settle(acquire(ask, request, knowledge))

        places = take(0).availability["slots"].capacity
        for number in range(1, places):
            take(number)
        with pytest.raises(RateLimitExceeded):
            take(places)


def sweep(request: Request, knowledge: Knowledge) -> Flow[None]:
    """End all leases whose time is over."""
    pages = FIRST_PAGES
    for step in itertools.count():
        names = [f"{request.id}.{step}.{number}" for number in range(most_leases(pages))]
        requests = [Request(name, number % 8, request.now_ms) for number, name in enumerate(names)]
        swept = yield from sweep_pages(pages, requests, knowledge)
        if not swept.pages:
            return
        pages = swept.pages


@pytest.mark.parametrize("group", seeds(SEEDS, 4), ids=lambda group: f"seeds {group.start}-{group.stop - 1}")
@pytest.mark.parametrize("kind", KINDS)
def test_every_lease_ends_once_with_all_that_it_spent_and_held(kind: str, group: range) -> None:
    endings: Counter[str] = Counter()
    leases = 0
    for seed in group:
        history = Leases(*KINDS[kind])
        history.play(seed, STEPS)
        leases += history.books.leases
        endings += history.endings
    assert leases > 850  # so all histories have more than 10,000
    for ending, least in (
        ("end: LeaseEnd", 200),
        ("end: LeaseExpired", 100),
        ("renew: Renewal", 40),
        ("let go: NoneType", 50),
        ("hold: RateLimitExceeded", 50),
        ("sweep: NoneType", 30),
        ("acquire: StoreUnavailable", 50),
        ("end: StoreUnavailable", 20),
    ):
        assert endings[ending] > least, ending
