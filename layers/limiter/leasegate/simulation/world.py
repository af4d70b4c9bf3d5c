"""A deterministic world: processes that share one table, moved on step by step under one seed.

A step is the least that can happen: a call begins, one request reaches the table, one more key of a batch is read,
one reply reaches its thread, a process dies. Whatever else is under way may come between any two of them. Requests
and replies get lost or late, are repeated under the same operation as a repository would, or given up; clocks
differ; days go by, and then DynamoDB deletes what is idle. One seed is one history.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from .. import schema
from ..errors import LeasegateError, StoreThrottled, StoreUnavailable
from ..operations import (
    Applied,
    BatchGet,
    Cancelled,
    Failed,
    Flow,
    Found,
    Get,
    Key,
    Operation,
    Outcome,
    Query,
    Refused,
    Set,
    Transact,
    Update,
)
from .calls import Call, Message, Process, Thread, Violation
from .faults import NONE, Faults
from .table import Change, SimulatedTable

START_MS: Final = 1_790_000_000_000
PROCESSES: Final = 4
THREADS: Final = 4
"""So many of each process."""
MOST_ATTEMPTS: Final = 4
"""So often a request is sent at most; then its sender has no answer."""
_TICKS_MS: Final = (0, 0, 1, 1, 2, 5)
_LATE_ARRIVES: Final = 0.05

_READS: Final = (BatchGet, Get, Query)


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
        self._judge = judge
        self._late: list[Message] = []
        self._of_a_request = faults.of_a_request
        self.processes = [Process(number, self._skew_ms()) for number in range(processes)]
        self.threads = [
            Thread(number, self.processes[number % processes]) for number in range(processes * threads)
        ]

    def run(self, steps: int) -> None:
        """Make so many steps more."""
        draw, threads, ticks = self.chance.random, self.threads, _TICKS_MS
        threads_count, ticks_count, death = len(threads), len(ticks), self.faults.death
        for _ in range(steps):
            self.step += 1
            self.now_ms += ticks[int(draw() * ticks_count)]
            if self._late and draw() < _LATE_ARRIVES:
                self._arrive_late()
            elif death and draw() < death:
                self._kill(threads[int(draw() * threads_count)].process)
            else:
                self._advance(threads[int(draw() * threads_count)])

    def calm_down(self) -> None:
        """Let every call that is under way come to its end, without further faults."""
        self._set_faults(NONE)
        while self._late:
            self._arrive_late()
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

    def make(self, thread: Thread, call: Call) -> None:
        """Let a thread make this call next, which must be idle."""
        thread.call = call
        self._tell(call, "begins", None, None)
        self._resume(thread, call)

    def skip(self, duration_ms: int) -> None:
        """Let every call come to its end, then time go by; what is late by so much never arrives."""
        self._finish_calls()
        self.now_ms += duration_ms
        self._late.clear()

    def expire_items(self) -> None:
        """Delete every item whose time to live is over, as DynamoDB may."""
        now_s = self.now_ms // 1000
        for key, item in self.table.items.items():
            expires_at_s = item.get(schema.EXPIRES_AT)
            if isinstance(expires_at_s, int) and expires_at_s < now_s:
                self._judge.applied(self, NOBODY, _EXPIRY, [self.table.expire(key)])

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
        if message.is_read and message.unread:
            self._read_one(message, message.operation)  # type: ignore[arg-type]  # nothing else is read
        elif message.reply is None:
            self._arrive(thread, message)
        elif self.chance.random() < self.faults.lost_reply:
            self._tell(call, "reply lost", message.operation, message.reply)
            self._miss(thread, message)
        else:
            self._deliver(thread, message, message.reply)

    def _send(self, thread: Thread, call: Call, operations: tuple[Operation, ...]) -> None:
        call.round_trips += 1
        call.outcomes = [None] * len(operations)
        thread.messages = [Message(call, place, operation) for place, operation in enumerate(operations)]
        if not operations:
            self._resume(thread, call)

    def _arrive(self, thread: Thread, message: Message) -> None:
        """Let a request reach the table, unless a fault meets it."""
        operation = message.operation
        if self.chance.random() >= self._of_a_request:
            self._execute(message)
            return
        faults = self.faults
        luck = self.chance.random() * self._of_a_request
        if luck < faults.lost_request:
            self._tell(message.call, "request lost", operation, None)
            self._miss(thread, message)
        elif (luck := luck - faults.lost_request) < faults.late_request:
            self._tell(message.call, "request late", operation, None)
            if not isinstance(operation, _READS):
                self._late.append(Message(message.call, message.place, operation))
            self._miss(thread, message)
        elif luck - faults.late_request < faults.throttled or not isinstance(operation, Transact):
            self._put_off(thread, message, "throttled")
        else:
            self._put_off(thread, message, "in conflict")

    def _execute(self, message: Message) -> None:
        operation = message.operation
        if isinstance(operation, BatchGet):
            message.is_read = True
            message.unread = message.unread or list(operation.keys)
            self._read_one(message, operation)
            return
        call = message.call
        mark = _mark(operation)
        is_again = mark in call.applied
        was_remembered = is_again and self._remembers(operation)
        call.was_forgotten = call.was_forgotten or (is_again and not was_remembered and isinstance(mark, tuple))
        outcome, changes = self.table.apply(operation)
        self._tell(call, "executes", operation, outcome)
        if changes:
            if was_remembered and any(change.key.pk.startswith("BUCKET#") for change in changes):
                keys = [change.key for change in changes]
                raise Violation("a write was applied twice though the table remembered it", *keys)
            call.applied.add(mark)
            if isinstance(operation, Transact):
                call.applied.update(_marks_left(changes, call.request.id))
                message.found = {change.key: change.after for change in changes if change.after is not None}
            self._judge.applied(self, call, operation, changes)
        message.reply = outcome

    def _read_one(self, message: Message, batch: BatchGet) -> None:
        """Read one key of a batch, which is no snapshot: others may write before the next."""
        draw, unread, table = self.chance.random, message.unread, self.table
        key = unread.pop(int(draw() * len(unread)))
        is_stale = not batch.is_consistent and draw() < self.faults.stale_read
        item = table.former(key) if is_stale else table.item(key)
        if item is not None:
            message.found[key] = item
        if not unread:
            message.reply = Found(message.found)
            self._tell(message.call, "reads", batch, message.reply)
        elif draw() < self.faults.unprocessed:
            message.is_read = False
            message.attempts += 1
            if message.attempts > MOST_ATTEMPTS:
                message.reply = Failed(StoreThrottled("keys unprocessed"))

    def _arrive_late(self) -> None:
        """Let the table execute what its sender gave up; the answer is for nobody."""
        message = self._late.pop(int(self.chance.random() * len(self._late)))
        call = message.call
        self._tell(call, "arrives late", message.operation, None)
        call.was_late = call.was_late or _mark(message.operation) not in call.applied
        self._execute(message)

    def _miss(self, thread: Thread, message: Message) -> None:
        """Let a thread hear nothing: it repeats the very same request, or gives up."""
        message.is_unsure = message.is_unsure or not isinstance(message.operation, _READS)
        message.attempts += 1
        message.reply = None
        message.is_read, message.unread, message.found = False, [], {}
        if message.attempts >= MOST_ATTEMPTS or self.chance.random() < self.faults.gives_up:
            self._deliver(thread, message, Failed(StoreUnavailable("no reply", maybe_applied=message.is_unsure)))

    def _put_off(self, thread: Thread, message: Message, why: str) -> None:
        """Let the table refuse to look at a request, which is then repeated or given up."""
        self._tell(message.call, why, message.operation, None)
        message.attempts += 1
        if message.attempts >= MOST_ATTEMPTS or self.chance.random() < self.faults.gives_up:
            self._deliver(thread, message, Failed(StoreThrottled(why, maybe_applied=message.is_unsure)))

    def _deliver(self, thread: Thread, message: Message, outcome: Outcome) -> None:
        call = message.call
        thread.messages.remove(message)
        call.outcomes[message.place] = outcome
        call.was_unanswered = call.was_unanswered or isinstance(outcome, Failed)
        _see(call, message.operation, outcome, self.now_ms)
        if message.found and isinstance(outcome, Applied):
            for key, item in message.found.items():  # it is not shown, but can be worked out
                call.see(key, item, self.now_ms)
        if not thread.messages:
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
        self._tell(call, "ends", None, None)
        self._judge.ended(self, call)

    def _kill(self, process: Process) -> None:
        """End a process; what it had sent may still arrive. Another one takes its place, at a clock of its own."""
        for thread in self.threads:
            if thread.process is process and thread.call is not None:
                self._tell(thread.call, "dies", None, None)
                self._late += [
                    x for x in thread.messages if x.reply is None and not isinstance(x.operation, _READS)
                ]
                thread.call.has_ended = True
                self._judge.died(self, thread.call)
                thread.call, thread.messages = None, []
        fresh = Process(process.number, self._skew_ms(), process.life + 1)
        self.processes[process.number] = fresh
        for thread in self.threads:
            if thread.process is process:
                thread.process = fresh

    # --- pieces --------------------------------------------------------------------------------------

    def _remembers(self, operation: Operation) -> bool:
        """Say whether the table can still tell that it applied this operation before."""
        if not isinstance(operation, Update):
            return True  # a transaction has its token
        item = self.table.item(operation.key) or {}
        slots = [x for x in operation.changes if isinstance(x, Set) and x.attribute.startswith("r.")]
        return bool(slots) and all(item.get(slot.attribute) == slot.value for slot in slots)

    def _skew_ms(self) -> int:
        return self.chance.randint(-self.faults.skew_ms, self.faults.skew_ms)

    def _set_faults(self, faults: Faults) -> None:
        self.faults, self._of_a_request = faults, faults.of_a_request

    def _tell(self, call: Call, what: str, operation: Operation | None, outcome: Outcome | None) -> None:
        if self.listener is not None:
            self.listener(self.step, call, what, operation, outcome)


def _see(call: Call, operation: Operation, outcome: Outcome, now_ms: int) -> None:
    """Note the buckets that an outcome shows."""
    kind = type(outcome)
    if kind is Applied or kind is Refused:
        item = outcome.item  # type: ignore[union-attr]  # one of the two
        if item is not None and isinstance(operation, Update):
            call.see(operation.key, item, now_ms)
    elif isinstance(outcome, Found):
        for key, item in outcome.items.items():
            call.see(key, item, now_ms)
    elif isinstance(outcome, Cancelled) and isinstance(operation, Transact):
        for action, refusal in zip(operation.actions, outcome.refusals, strict=True):
            if refusal is not None and refusal.item is not None:
                call.see(action.key, refusal.item, now_ms)


def _mark(operation: Operation) -> object:
    """Return what a table recognises a write by: the bucket and the id that it leaves there, or its token."""
    if isinstance(operation, Update):
        for change in reversed(operation.changes):
            if isinstance(change, Set) and change.attribute.startswith("r."):
                return operation.key, change.value
        return id(operation)
    return operation.token if isinstance(operation, Transact) else id(operation)


def _marks_left(changes: Sequence[Change], request_id: str) -> list[object]:
    """Return what buckets recognise a request by that a transaction left there: it may come back as an update."""
    return [
        (change.key, request_id)
        for change in changes
        if change.after is not None
        and any(name.startswith("r.") and value == request_id for name, value in change.after.items())
    ]


def _nothing() -> Flow[None]:
    yield ()


_EXPIRY: Final = Get(Key("", ""))
"""Stands for what no operation did."""
NOBODY: Final = Call("nobody", None, _nothing(), Process(-1, 0), Process(-1, 0).request(0), 0, 0)
"""Who deletes what is idle."""
