"""Clients who all want more of one entity than its limit lets through, under a virtual clock.

    python -m scripts.peers.crowd NAME ENDPOINT_URL PER_MINUTE CLIENTS SECONDS

Every call takes exactly ``CALL_S``, half of it before the table acts and half after, and nothing else takes time,
so that neither the emulator's speed nor this machine's decides. The calls are counted at a gate before each
client. The table must be there. Writes the fields of :class:`Outcome` as a JSON object.

Each client has a limiter of its own, as a process of its own would have. All have asked once, and the bucket is
empty, when they begin; from then on they ask again and again, at once after a grant, after a refusal when it says.
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Final

from scripts.peers.contestant import Contestant, contestant
from scripts.peers.gate import Reply, Request, Send, gate
from scripts.peers.virtual_clock import NS_PER_S, VirtualClock

CROWD: Final = "scripts.peers.crowd"
CALL_S: Final = 0.005
LEAST_WAIT_S: Final = 0.001
"""What a client waits at least that was refused; else one that is told 0 s would never let the clock go on."""
RESOURCE: Final = "gpt-4"


@dataclass(slots=True)
class Outcome:
    """What clients were answered while they asked, and the calls of acquires that ended so.

    ``allowed`` is what the limit lets through in that time: the refill, for the bucket was empty.
    """

    granted: int = 0
    refused: int = 0
    calls_of_grants: int = 0
    calls_of_refusals: int = 0
    allowed: int = 0

    @property
    def calls_for_each_grant(self) -> float:
        """All calls, those of acquires that were refused among them."""
        return (self.calls_of_grants + self.calls_of_refusals) / self.granted

    @property
    def calls_below_refusals(self) -> float:
        """The calls for each grant without those of acquires that were refused."""
        return self.calls_of_grants / self.granted

    @property
    def share(self) -> float:
        """How much of what the limit lets through was granted."""
        return self.granted / self.allowed


class Keeper:
    """Counts one client's calls, and lets each take its time."""

    def __init__(self, clock: VirtualClock) -> None:
        """Start at zero; a call takes no time as yet."""
        self.calls = 0
        self.call_s = 0.0
        self._under_way = 0
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self, request: Request, send: Send) -> Reply:
        """Pass a call on. The first under way waits in its client's stead, those beside it are workers too."""
        with self._lock:
            self.calls += 1
            self._under_way += 1
            if self._under_way > 1:
                self._clock.join()
        self._clock.sleep(self.call_s / 2)
        reply = send(request)
        self._clock.sleep(self.call_s / 2)
        with self._lock:
            self._under_way -= 1
            if self._under_way:
                self._clock.leave()
        return reply


class Client:
    """Asks for tokens of an entity, and counts the calls that this takes."""

    def __init__(self, entity_id: str, own: Contestant, keeper: Keeper, clock: VirtualClock) -> None:
        """Ask through a limiter of one's own."""
        self.outcome = Outcome()
        self._entity_id = entity_id
        self._own = own
        self._keeper = keeper
        self._clock = clock

    def take(self, tokens: int) -> None:
        """Be granted tokens. Raises ``RuntimeError`` if it is not."""
        if self._own.ask(self._entity_id, RESOURCE, {"rpm": tokens}) is not None:
            raise RuntimeError("a full bucket refused")

    def ask_until(self, ends_ns: int) -> None:
        """Ask for one token each time, up to a moment; it is a worker of the clock until then."""
        outcome = self.outcome
        self._keeper.call_s = CALL_S
        try:
            while self._clock.time_ns() <= ends_ns:
                before = self._keeper.calls
                wait_s = self._own.ask(self._entity_id, RESOURCE, {"rpm": 1})
                made = self._keeper.calls - before
                if wait_s is None:
                    outcome.granted += 1
                    outcome.calls_of_grants += made
                else:
                    outcome.refused += 1
                    outcome.calls_of_refusals += made
                    self._clock.sleep(max(wait_s, LEAST_WAIT_S))
        finally:
            self._clock.leave()


def ask_at_once(name: str, endpoint_url: str, per_minute: int, number: int, seconds: float) -> Outcome:
    """Let so many clients ask for so long."""
    clock = VirtualClock()
    clock.rule_this_process()
    kind = contestant(name)
    entity_id = f"hot-{per_minute}-{number}"
    kind(endpoint_url).store(entity_id, RESOURCE, {"rpm": per_minute})
    with ExitStack() as stack:
        clients = []
        for _ in range(number):
            keeper = Keeper(clock)
            own = kind(stack.enter_context(gate(endpoint_url, keeper)))
            clients.append(Client(entity_id, own, keeper, clock))
        for client in clients:
            client.take(1)
        clients[0].take(per_minute - number)
        ends_ns = clock.time_ns() + round(seconds * NS_PER_S)
        clock.join(number)
        with ThreadPoolExecutor(number) as pool:
            ended = [pool.submit(client.ask_until, ends_ns) for client in clients]
            clock.leave()
        for each in ended:
            each.result()
    total = Outcome(allowed=int(seconds * per_minute / 60))
    for client in clients:
        total.granted += client.outcome.granted
        total.refused += client.outcome.refused
        total.calls_of_grants += client.outcome.calls_of_grants
        total.calls_of_refusals += client.outcome.calls_of_refusals
    return total


if __name__ == "__main__":
    contestant_name, url, rate, clients_number, length_s = sys.argv[1:]
    result = ask_at_once(contestant_name, url, int(rate), int(clients_number), float(length_s))
    print(json.dumps(asdict(result)))
