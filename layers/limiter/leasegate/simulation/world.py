"""A deterministic world: processes that share one table, moved on step by step under one seed.

A step is the least that can happen: a call begins, one request reaches the table, one more key of a batch is read,
one reply reaches its thread, a process dies. Whatever else is under way may come between any two of them. Requests
and replies get lost or late, are repeated under the same operation as a repository would, or given up; clocks
differ; days go by, and then DynamoDB deletes what is idle. One seed is one history.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from .. import schema
from ..errors import LeasegateError
from ..flows.spending import Request
from ..operations import (
    Applied,
    Failed,
    Flow,
    Get,
    Key,
    Operation,
    Outcome,
)
from .calls import Call, Message, Process, Thread
from .faults import NONE, Faults
from .network import Network
from .recognition import see
from .table import Change, SimulatedTable

START_MS: Final = 1_790_000_000_000
PROCESSES: Final = 4
THREADS: Final = 4
"""So many of each process."""
_TICKS_MS: Final = (0, 0, 1, 1, 2, 5)
_LATE_ARRIVES: Final = 0.05


class Traffic(Protocol):
    """Says what idle threads do."""

    def next_call(self, world: World, thread: Thread) -> Call | None:
        """Return the next call of a thread, or None where it rests."""
        ...


class Judge(Protocol):
    """Is told of everything that happens, and raises :class:`Violation` where it must not."""

    def applied(self, world: World, call: Call, operation: Operation, changes: Sequence[Change]) -> None:
        """Take in a write right after the table applied it."""
        ...

    def ended(self, world: World, call: Call) -> None:
        """Take in how a call ended."""
        ...

    def died(self, world: World, call: Call) -> None:
        """Take in that nobody will ever know how a call ended."""
        ...


type Listener = Callable[[int, Call, str, Operation | None, Outcome | None], None]
"""Told of every step: its number, whose call, what happened to it, the operation and what came of it."""


class World:
    """Processes, one table and one clock."""

    def __init__(
        self,
        seed: int,
        faults: Faults,
        traffic: Traffic,
        judge: Judge,
        *,
        processes: int = PROCESSES,
        threads: int = THREADS,
    ) -> None:
        """Begin the history of a seed, with so many processes, and so many threads of each."""
        self.chance = random.Random(seed)  # noqa: S311 - one seed, one history
        self.table = SimulatedTable()
        self.now_ms = START_MS
        self.step = 0
        self.faults = faults
        self.listener: Listener | None = None
        self._traffic = traffic
        self.judge = judge
        self._network = Network(self)
        self.processes = [Process(number, self._skew_ms()) for number in range(processes)]
        self.threads = [
            Thread(number, self.processes[number % processes]) for number in range(processes * threads)
        ]

    def run(self, steps: int) -> None:
        """Make so many steps more."""
        draw, threads, ticks, late = self.chance.random, self.threads, _TICKS_MS, self._network.late
        threads_count, ticks_count, death = len(threads), len(ticks), self.faults.death
        for _ in range(steps):
            self.step += 1
            self.now_ms += ticks[int(draw() * ticks_count)]
            if late and draw() < _LATE_ARRIVES:
                self._network.arrive_late()
            elif death and draw() < death:
                self._kill(threads[int(draw() * threads_count)].process)
            else:
                self._advance(threads[int(draw() * threads_count)])

    def calm_down(self) -> None:
        """Let every call that is under way come to its end, without further faults."""
        self.faults = NONE
        while self._network.late:
            self._network.arrive_late()
        self._finish_calls()

    def settle[T](self, flow: Flow[T]) -> T:
        """Run a flow by itself, without interruption or faults; nobody judges it."""
        try:
            operations = next(flow)
            while True:
                operations = flow.send(self.table.execute(operations, timeout_ms=1000))
        except StopIteration as end:
            value: T = end.value
            return value

    def call(self, thread: Thread, kind: str, subject: object, flow: Flow[Any], request: Request) -> Call:
        """Return a call that a thread may make now."""
        return Call(kind, subject, flow, thread.process, request, self.step, self.now_ms)

    def make(self, thread: Thread, call: Call) -> None:
        """Let a thread make this call next, which must be idle."""
        thread.call = call
        self.tell(call, "begins", None, None)
        self._resume(thread, call)

    def deliver(self, thread: Thread, message: Message, outcome: Outcome) -> None:
        """Give a thread an outcome; it goes on when it has all of its round trip."""
        call = message.call
        thread.messages.remove(message)
        call.outcomes[message.place] = outcome
        call.was_unanswered = call.was_unanswered or isinstance(outcome, Failed)
        see(call, message.operation, outcome, self.now_ms)
        if message.found and isinstance(outcome, Applied):
            for key, item in message.found.items():  # it is not shown, but can be worked out
                call.see(key, item, self.now_ms)
        if not thread.messages:
            self._resume(thread, call)

    def tell(self, call: Call, what: str, operation: Operation | None, outcome: Outcome | None) -> None:
        """Tell whoever listens of something that happened to a call."""
        if self.listener is not None:
            self.listener(self.step, call, what, operation, outcome)

    def skip(self, duration_ms: int) -> None:
        """Let every call come to its end, then time go by; what is late by so much never arrives."""
        self._finish_calls()
        self.now_ms += duration_ms
        self._network.late.clear()

    def expire_items(self) -> None:
        """Delete every item whose time to live is over, as DynamoDB may."""
        now_s = self.now_ms // 1000
        for key, item in self.table.items.items():
            expires_at_s = item.get(schema.EXPIRES_AT)
            if isinstance(expires_at_s, int) and expires_at_s < now_s:
                self.judge.applied(self, NOBODY, _EXPIRY, [self.table.expire(key)])

    def _finish_calls(self) -> None:
        for thread in self.threads:
            while thread.call is not None:
                self.step += 1
                self._advance(thread)

    # --- steps ---------------------------------------------------------------------------------------

    def _advance(self, thread: Thread) -> None:
        call = thread.call
        if call is None:
            call = self._traffic.next_call(self, thread)
            if call is not None:
                self.make(thread, call)
            return
        messages = thread.messages
        message = messages[int(self.chance.random() * len(messages))] if len(messages) > 1 else messages[0]
        self._network.carry(thread, message)

    def _send(self, thread: Thread, call: Call, operations: tuple[Operation, ...]) -> None:
        call.round_trips += 1
        call.outcomes = [None] * len(operations)
        thread.messages = [Message(call, place, operation) for place, operation in enumerate(operations)]
        if not operations:
            self._resume(thread, call)

    def _resume(self, thread: Thread, call: Call) -> None:
        """Let a flow take its outcomes in, of which none are there when it begins, and make a round trip."""
        outcomes = tuple(call.outcomes) if call.round_trips else None
        try:
            operations = call.flow.send(outcomes)  # type: ignore[arg-type]  # all are there by now
        except StopIteration as end:
            call.result = end.value
        except LeasegateError as error:
            call.error = error.with_traceback(None)  # its frames hold the call: a cycle for each error
        else:
            self._send(thread, call, operations)
            return
        self._end(thread, call)

    def _end(self, thread: Thread, call: Call) -> None:
        thread.call = None
        call.has_ended = True
        self.tell(call, "ends", None, None)
        self.judge.ended(self, call)

    def _kill(self, process: Process) -> None:
        """End a process; what it had sent may still arrive. Another one takes its place, at a clock of its own."""
        for thread in self.threads:
            if thread.process is process and thread.call is not None:
                self.tell(thread.call, "dies", None, None)
                self._network.outlive(thread.messages)
                thread.call.has_ended = True
                self.judge.died(self, thread.call)
                thread.call, thread.messages = None, []
        fresh = Process(process.number, self._skew_ms(), process.life + 1)
        self.processes[process.number] = fresh
        for thread in self.threads:
            if thread.process is process:
                thread.process = fresh

    # --- pieces --------------------------------------------------------------------------------------

    def _skew_ms(self) -> int:
        return self.chance.randint(-self.faults.skew_ms, self.faults.skew_ms)


def _nothing() -> Flow[None]:
    yield ()


_EXPIRY: Final = Get(Key("", ""))
"""Stands for what no operation did."""
NOBODY: Final = Call("nobody", None, _nothing(), Process(-1, 0), Process(-1, 0).request(0), 0, 0)
"""Who deletes what is idle."""
