"""What lies between threads and the table: requests and replies get lost or late, and the table throttles.

A sender that hears nothing repeats the very same request, as a repository would, or gives up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import StoreThrottled, StoreUnavailable
from ..operations import BatchGet, Failed, Found, Get, Query, Transact
from .calls import Message, Thread, Violation
from .recognition import mark, marks_left, remembers

if TYPE_CHECKING:
    from .world import World

MOST_ATTEMPTS: Final = 4
"""So often a request is sent at most; then its sender has no answer."""

_READS: Final = (BatchGet, Get, Query)


class Network:
    """The way to a world's table and back; ``late`` are requests that will arrive though their senders gave up."""

    def __init__(self, world: World) -> None:
        """Begin with nothing under way."""
        self._world = world
        self._draw = world.chance.random
        self.late: list[Message] = []

    def carry(self, thread: Thread, message: Message) -> None:
        """Go one step on with a message: to the table, one key further in it, or back to its thread."""
        world = self._world
        if message.is_being_read:
            self._read_one(message, message.operation)  # type: ignore[arg-type]  # nothing else is read
        elif message.reply is None:
            self._arrive(thread, message)
        elif self._draw() < world.faults.lost_reply:
            world.tell(message.call, "reply lost", message.operation, message.reply)
            self._miss(thread, message)
        else:
            world.deliver(thread, message, message.reply)

    def arrive_late(self) -> None:
        """Let the table execute what its sender gave up; the answer is for nobody."""
        message = self.late.pop(int(self._draw() * len(self.late)))
        call = message.call
        self._world.tell(call, "arrives late", message.operation, None)
        call.was_late = call.was_late or mark(message.operation) not in call.applied
        self._execute(message)

    def outlive(self, messages: list[Message]) -> None:
        """Let those requests arrive some time whose sender died."""
        self.late += [x for x in messages if x.reply is None and not isinstance(x.operation, _READS)]

    # --- at the table --------------------------------------------------------------------------------

    def _arrive(self, thread: Thread, message: Message) -> None:
        """Let a request reach the table, unless a fault meets it."""
        operation, faults, world = message.operation, self._world.faults, self._world
        of_any_fault = faults.of_a_request
        if self._draw() >= of_any_fault:
            self._execute(message)
            return
        luck = self._draw() * of_any_fault
        if luck < faults.lost_request:
            world.tell(message.call, "request lost", operation, None)
            self._miss(thread, message)
        elif (luck := luck - faults.lost_request) < faults.late_request:
            world.tell(message.call, "request late", operation, None)
            if not isinstance(operation, _READS):
                self.late.append(Message(message.call, message.place, operation))
            self._miss(thread, message)
        elif luck - faults.late_request < faults.throttled or not isinstance(operation, Transact):
            self._put_off(thread, message, "throttled")
        else:
            self._put_off(thread, message, "in conflict")

    def _execute(self, message: Message) -> None:
        operation = message.operation
        if isinstance(operation, BatchGet):
            message.is_being_read = True
            message.unread = message.unread or list(operation.keys)
            self._read_one(message, operation)
            return
        call, world = message.call, self._world
        known_by = mark(operation)
        is_again = known_by in call.applied
        was_remembered = is_again and remembers(world.table, operation)
        call.was_forgotten = call.was_forgotten or (
            is_again and not was_remembered and isinstance(known_by, tuple)
        )
        outcome, changes = world.table.apply(operation)
        world.tell(call, "executes", operation, outcome)
        if changes:
            if was_remembered and any(change.key.pk.startswith("BUCKET#") for change in changes):
                keys = [change.key for change in changes]
                raise Violation("a write was applied twice though the table remembered it", *keys)
            call.applied.add(known_by)
            if isinstance(operation, Transact):
                call.applied.update(marks_left(changes))
                message.found = {change.key: change.after for change in changes if change.after is not None}
            world.judge.applied(world, call, operation, changes)
        message.reply = outcome

    def _read_one(self, message: Message, batch: BatchGet) -> None:
        """Read one key of a batch, which is no snapshot: others may write before the next."""
        draw, unread, world, table = self._draw, message.unread, self._world, self._world.table
        key = unread.pop(int(draw() * len(unread)))
        is_stale = not batch.is_consistent and draw() < world.faults.stale_read
        item = table.former(key) if is_stale else table.item(key)
        if item is not None:
            message.found[key] = item
        if not unread:
            message.is_being_read = False
            message.reply = Found(message.found)
            world.tell(message.call, "reads", batch, message.reply)
        elif draw() < world.faults.unprocessed:
            message.is_being_read = False
            message.attempts += 1
            if message.attempts > MOST_ATTEMPTS:
                message.reply = Failed(StoreThrottled("keys unprocessed"))

    def _miss(self, thread: Thread, message: Message) -> None:
        """Let a thread hear nothing: it repeats the very same request, or gives up."""
        world = self._world
        message.is_unsure = message.is_unsure or not isinstance(message.operation, _READS)
        message.attempts += 1
        message.reply = None
        message.unread, message.found = [], {}
        if message.attempts >= MOST_ATTEMPTS or self._draw() < world.faults.gives_up:
            world.deliver(thread, message, Failed(StoreUnavailable("no reply", maybe_applied=message.is_unsure)))

    def _put_off(self, thread: Thread, message: Message, why: str) -> None:
        """Let the table refuse to look at a request, which is then repeated or given up."""
        world = self._world
        world.tell(message.call, why, message.operation, None)
        message.attempts += 1
        if message.attempts >= MOST_ATTEMPTS or self._draw() < world.faults.gives_up:
            world.deliver(thread, message, Failed(StoreThrottled(why, maybe_applied=message.is_unsure)))
