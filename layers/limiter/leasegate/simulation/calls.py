"""Who acts in a simulated world: processes with threads, the calls that they make, the messages of a call."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..errors import LeasegateError
from ..flows.counting import Totals
from ..flows.grants import Grant
from ..flows.settle import Correction
from ..flows.spending import Request
from ..knowledge import Knowledge, Recent
from ..operations import Flow, Item, Key, Operation, Outcome
from ..schema import REQUEST_SLOTS

_TOTALS_REMEMBERED: Final = 300
SIGHTS_KEPT: Final = 64


class Violation(AssertionError):
    """Something happened that must not; ``keys`` are the items that it shows in."""

    def __init__(self, message: str, *keys: Key) -> None:
        """Say what, and where to look."""
        self.keys = keys
        super().__init__(message)


@dataclass(slots=True)
class Held:
    """A grant that is no stored lease: only the process that has it can give it back, or correct it.

    Its ``corrections``, and the ``request`` under which they are written, stay the same however often they are
    sent; ``spent`` and ``applied`` are those of all the calls that send them, ``sent_by`` those that have ended.
    """

    grant: Grant
    corrections: list[Correction] = field(default_factory=list)
    request: Request | None = None
    spent: Counter[tuple[Key, str]] = field(default_factory=Counter)
    applied: set[object] = field(default_factory=set)
    sent_by: list[Call] = field(default_factory=list)

    def begin_anew(self) -> None:
        """Forget how far the corrections came, as a process would that sends them again from the beginning."""
        charges = [charge for charge in self.grant.charges if charge.limited]
        self.corrections = [
            replace(charge.reversal(), amounts=correction.amounts)
            for charge, correction in zip(charges, self.corrections, strict=True)
        ]


@dataclass(slots=True)
class Process:
    """What the threads of one process share: what it remembers, its clock, whose turn is which slot.

    ``sights`` are the states of each bucket that it was shown lately, each with the time by its
    clock; ``life`` tells one life of a process from the next.
    """

    number: int
    skew_ms: int
    life: int = 0
    knowledge: Knowledge = field(default_factory=Knowledge)
    totals: Totals = field(default_factory=lambda: Recent(_TOTALS_REMEMBERED))
    held: list[Held] = field(default_factory=list)
    sights: dict[Key, deque[tuple[int, Item]]] = field(default_factory=dict)
    requests: int = 0

    def see(self, key: Key, item: Item, now_ms: int) -> None:
        """Take in the state of a bucket, at a time of the world's."""
        self.sights.setdefault(key, deque(maxlen=SIGHTS_KEPT)).append((now_ms + self.skew_ms, item))

    def request(self, now_ms: int, ends_at_ms: int | None = None) -> Request:
        """Return a new request at this process's clock, in the slot that is next."""
        self.requests += 1
        name = f"{self.number}.{self.life}.{self.requests}"
        return Request(name, self.requests % REQUEST_SLOTS, now_ms + self.skew_ms, ends_at_ms)


@dataclass(slots=True)
class Call:
    """One call of one thread: its flow, the round trip that it is in, how it ended, and what it did meanwhile.

    Attributes:
        kind: what it does. subject: with what, for whoever judges it.
        request: under which it writes; its clock reading is the call's.
        began_step: when; ``began_ms`` by the world's clock.
        outcomes: of the round trip at hand, by place.
        applied: what the table recognises those of its writes by that it applied.
        spent: what its writes changed in buckets, by bucket and limit name.
        seen: the buckets that it was shown last.
        round_trips: how many it made. has_ended: nobody waits for it any more.
        was_forgotten: a write of it was repeated after others had taken its slot.
        was_late: one was applied that it had given up, or had repeated with another outcome.
        was_unanswered: it gave one up.
    """

    kind: str
    subject: Any
    flow: Flow[Any]
    process: Process
    request: Request
    began_step: int
    began_ms: int
    outcomes: list[Outcome | None] = field(default_factory=list)
    applied: set[object] = field(default_factory=set)
    spent: Counter[tuple[Key, str]] = field(default_factory=Counter)
    seen: dict[Key, Item] = field(default_factory=dict)
    round_trips: int = 0
    result: Any = None
    error: LeasegateError | None = None
    has_ended: bool = False
    was_forgotten: bool = False
    was_late: bool = False
    was_unanswered: bool = False

    @property
    def may_differ(self) -> bool:
        """Whether it may have spent otherwise than it said: nothing can be held against what comes late."""
        return self.was_forgotten or self.was_late

    def see(self, key: Key, item: Item, now_ms: int) -> None:
        """Take in that a reply shows an item; only buckets are of interest."""
        if key.pk.startswith("BUCKET#"):
            self.seen[key] = item
            self.process.see(key, item, now_ms)


@dataclass(slots=True)
class Message:
    """An operation on its way to the table, or (with a ``reply``) the answer on its way back.

    ``attempts`` counts those before; ``is_unsure`` tells that one of them may have been applied. ``found`` is what
    a read found so far, or a transaction left. A batch ``is_being_read`` at the table, one key after the other;
    ``unread`` are those to come.
    """

    call: Call
    place: int
    operation: Operation
    reply: Outcome | None = None
    attempts: int = 0
    is_unsure: bool = False
    found: dict[Key, Item] = field(default_factory=dict)
    is_being_read: bool = False
    unread: list[Key] = field(default_factory=list)


@dataclass(slots=True)
class Thread:
    """One thread of a process: the call that it makes, and that call's messages that are under way."""

    number: int
    process: Process
    call: Call | None = None
    messages: list[Message] = field(default_factory=list)
