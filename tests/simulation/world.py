"""A deterministic world: many clients' flows, interleaved at every operation over one table in memory.

One seed, one history. Each client is a process of its own: its knowledge, its skewed clock. A step lets one
client execute one operation of its round trip (so that operations which run side by side interleave with
everybody else's) or start its next call. Replies get lost: the write is then repeated, or its caller gets no
answer at all.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from leasegate.errors import LeasegateError, StoreUnavailable
from leasegate.flows.acquire import acquire
from leasegate.flows.grants import Ask
from leasegate.flows.spending import Request
from leasegate.knowledge import Knowledge
from leasegate.operations import (
    Applied,
    BatchGet,
    Cancelled,
    Failed,
    Flow,
    Found,
    Get,
    Item,
    Key,
    Operation,
    Outcome,
    Put,
    Query,
    Refused,
    Set,
    Transact,
    Update,
)
from leasegate.repository.memory import MemoryRepository

START_MS = 1_790_000_000_000
READS = (BatchGet, Get, Query)


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong, from 0 to 1, and how far clocks are apart."""

    lost_request: float = 0.01
    lost_reply_repeated: float = 0.05
    lost_reply_unanswered: float = 0.02
    skew_ms: int = 400


@dataclass
class Call:
    """One call of one client: its flow, the round trip it is in, and how it ended.

    ``seen`` holds the items it was shown last, ``spent`` what its writes changed in buckets, by limit;
    ``unrecognised`` tells that an applied write was repeated after others had taken the request's slot.
    """

    name: str
    subject: Any
    started_step: int
    started_ms: int
    flow: Flow[Any]
    operations: tuple[Operation, ...] = ()
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    repeating: set[int] = field(default_factory=set)
    unrecognised: bool = False
    seen: dict[Key, Item] = field(default_factory=dict)
    spent: Counter[tuple[Key, str]] = field(default_factory=Counter)
    round_trips: int = 0
    result: Any = None
    error: LeasegateError | None = None


@dataclass
class Client:
    """A process: what it remembers, how far its clock is off, and the call it is making."""

    number: int
    knowledge: Knowledge
    skew_ms: int
    call: Call | None = None
    requests: int = 0


type Ended = Callable[[Client, Call], None]
type Next = Callable[[World, Client], Call]
type Executed = Callable[[World, Call, Operation, Outcome], None]


class World:
    """Clients, one table and one clock, moved on step by step under one seed.

    ``next_call`` chooses what an idle client does, ``ended`` sees every call that ended, ``executed`` every
    operation right after the table executed it.
    """

    def __init__(
        self,
        seed: int,
        *,
        clients: int = 16,
        faults: Faults | None = None,
        next_call: Next,
        ended: Ended,
        executed: Executed,
    ) -> None:
        self.random = random.Random(seed)
        self.repository = MemoryRepository()
        self.now_ms = START_MS
        self.step = 0
        self._faults = faults or Faults()
        self._next_call = next_call
        self._ended = ended
        self._executed = executed
        self.clients = [
            Client(number, Knowledge(), self.random.randint(-self._faults.skew_ms, self._faults.skew_ms))
            for number in range(clients)
        ]

    def run(self, steps: int) -> None:
        """Make so many steps, then let every call that is under way come to its end without further faults."""
        for _ in range(steps):
            self.now_ms += self.random.choice((0, 0, 1, 1, 2, 5))
            self._advance(self.random.choice(self.clients), self._faults)
        calm = Faults(0, 0, 0)
        for client in self.clients:
            while client.call is not None:
                self._advance(client, calm)

    def settle[T](self, flow: Flow[T]) -> T:
        """Run a flow by itself, without interruption or faults."""
        try:
            operations = next(flow)
            while True:
                operations = flow.send(self.repository.execute(operations, timeout_ms=1000))
        except StopIteration as end:
            value: T = end.value
            return value

    def acquire(self, client: Client, ask: Ask) -> Call:
        """Return an acquire by a client at its own clock."""
        client.requests += 1
        request = Request(f"{client.number}-{client.requests}", client.requests % 8, self.clock(client))
        return Call("acquire", (ask, request), self.step, self.now_ms, acquire(ask, request, client.knowledge))

    def clock(self, client: Client) -> int:
        """Read a client's clock."""
        return self.now_ms + client.skew_ms

    def _advance(self, client: Client, faults: Faults) -> None:
        self.step += 1
        if client.call is None:
            client.call = self._next_call(self, client)
            self._continue(client, client.call, lambda flow: next(flow))
            return
        call = client.call
        waiting = [place for place in range(len(call.operations)) if place not in call.outcomes]
        place = self.random.choice(waiting)
        outcome = self._execute(call, place, faults)
        if outcome is None:
            return
        call.outcomes[place] = outcome
        if len(call.outcomes) == len(call.operations):
            outcomes = tuple(call.outcomes[i] for i in range(len(call.operations)))
            self._continue(client, call, lambda flow: flow.send(outcomes))

    def _execute(self, call: Call, place: int, faults: Faults) -> Outcome | None:
        """Let the table execute an operation; None where the reply is lost and the operation will be repeated."""
        operation = call.operations[place]
        luck = self.random.random()
        if luck < faults.lost_request:
            return Failed(StoreUnavailable("request lost", maybe_applied=not isinstance(operation, READS)))
        if place in call.repeating and not self._remembers(operation):
            call.unrecognised = True
        (outcome,) = self.repository.execute((operation,), timeout_ms=1000)
        self._executed(self, call, operation, outcome)
        call.seen.update(_items(operation, outcome))
        if isinstance(operation, READS):
            return outcome
        luck -= faults.lost_request
        if luck < faults.lost_reply_repeated:
            if isinstance(outcome, Applied):
                call.repeating.add(place)
            return None
        if luck < faults.lost_reply_repeated + faults.lost_reply_unanswered:
            return Failed(StoreUnavailable("reply lost", maybe_applied=True))
        return outcome

    def _remembers(self, operation: Operation) -> bool:
        """Say whether the table can still tell that it applied this operation before."""
        if not isinstance(operation, Update):
            return True  # a transaction has its token
        item = self.repository.items.get(operation.key, {})
        slots = (x for x in operation.changes if isinstance(x, Set) and x.attribute.startswith("r."))
        return all(item.get(slot.attribute) == slot.value for slot in slots)

    def _continue(self, client: Client, call: Call, go: Callable[[Flow[Any]], tuple[Operation, ...]]) -> None:
        try:
            call.operations = go(call.flow)
            call.outcomes, call.repeating = {}, set()
            call.round_trips += 1
            return
        except StopIteration as end:
            call.result = end.value
        except LeasegateError as error:
            call.error = error
        client.call = None
        self._ended(client, call)


def _items(operation: Operation, outcome: Outcome) -> dict[Key, Item]:
    """Return the items that an outcome shows."""
    match operation, outcome:
        case _, Found(items):
            return dict(items)
        case Update(key) | Put(key), Applied(item) | Refused(item) if item is not None:
            return {key: item}
        case Transact(actions), Cancelled(refusals):
            return {
                action.key: refusal.item
                for action, refusal in zip(actions, refusals, strict=True)
                if refusal is not None and refusal.item is not None
            }
    return {}


def seeds(count: int, groups: int) -> list[range]:
    """Split seeds into groups, so that test workers can share them."""
    size = count // groups
    return [range(start, start + size) for start in range(0, count, size)]
