"""What can go wrong between a client and DynamoDB, and the dice that decide what does.

Hand-written, and not the proxy ``microburst`` of PyPI: that one draws from the process's own unseeded randomness,
lets one rule alone strike, and cannot leave keys of a BatchGetItem unprocessed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from threading import Lock
from typing import Final


class Fault(Enum):
    """One thing that goes wrong with one request."""

    LOST_REQUEST = "the connection ends before DynamoDB sees the request"
    LOST_REPLY = "the connection ends after DynamoDB has answered, before the client hears of it"
    RESET_REQUEST = "the connection is reset before DynamoDB sees the request"
    RESET_REPLY = "the connection is reset after DynamoDB has answered"
    HUNG_REQUEST = "nothing happens until the client gives up"
    HUNG_REPLY = "DynamoDB answers, and nothing arrives until the client gives up"
    LATE_REQUEST = "DynamoDB sees the request after the client gave up"
    SLOW = "the answer takes its time"
    FAILED = "500, nothing happened"
    FAILED_LATE = "500, and yet DynamoDB had done it"
    UNAVAILABLE = "503, nothing happened"
    THROTTLED = "ProvisionedThroughputExceededException, with its reasons"
    THROTTLED_ACCOUNT = "ThrottlingException, with its reasons"
    CONFLICT = "TransactionConflict: as a cancellation's reason, or as the error of a lone write"
    UNPROCESSED = "some keys of a BatchGetItem come back unanswered"
    BAD_CHECKSUM = "the checksum in the answer's header is not that of its body"
    CUT_BODY = "the answer breaks off in the middle"
    BROKEN_BODY = "half of the answer arrives as if it were all, with the checksum of all"

    @property
    def is_before(self) -> bool:
        """Whether DynamoDB does not see the request, or (``LATE_REQUEST``) not in time."""
        return self in _BEFORE


_BEFORE: Final = frozenset(
    {
        Fault.LOST_REQUEST,
        Fault.RESET_REQUEST,
        Fault.HUNG_REQUEST,
        Fault.LATE_REQUEST,
        Fault.FAILED,
        Fault.UNAVAILABLE,
        Fault.THROTTLED,
        Fault.THROTTLED_ACCOUNT,
        Fault.CONFLICT,
    }
)

WRITES: Final = frozenset({"UpdateItem", "PutItem", "DeleteItem", "TransactWriteItems"})
ONLY_FOR: Final[Mapping[Fault, frozenset[str]]] = {
    Fault.UNPROCESSED: frozenset({"BatchGetItem"}),
    Fault.CONFLICT: WRITES,
}
"""Faults that only some operations know."""

type Rates = Mapping[str, Mapping[Fault, float]]
"""How often each fault strikes, by operation; ``*`` stands for those that are not named."""


class Dice:
    """Draws from one seed what strikes which request, in the order in which they come; safe to share by threads.

    What was told to strike next goes first. ``struck`` counts what has struck, by operation.
    """

    def __init__(self, seed: int = 0, rates: Rates | None = None) -> None:
        self.struck: Counter[tuple[str, Fault]] = Counter()
        self.requests: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._rates = rates or {}
        self._next: list[Fault] = []
        self._lock = Lock()

    def strike_next(self, *faults: Fault) -> None:
        """Let these faults strike the next requests, one each, of those that know it."""
        with self._lock:
            self._next = list(faults)

    def stop(self) -> None:
        """Let nothing go wrong from now on."""
        with self._lock:
            self._rates, self._next = {}, []

    def draw(self, operation: str) -> Fault | None:
        """Return what strikes a request, or None."""
        with self._lock:
            self.requests[operation] += 1
            fault = self._draw(operation)
            if fault is not None:
                self.struck[operation, fault] += 1
            return fault

    def choose(self, count: int) -> list[int]:
        """Choose some of so many places, at least one."""
        with self._lock:
            return sorted(self._random.sample(range(count), self._random.randint(1, count)))

    def times(self, fault: Fault) -> int:
        """Return how often a fault has struck."""
        return sum(count for (_, each), count in self.struck.items() if each is fault)

    def _draw(self, operation: str) -> Fault | None:
        if self._next and operation in ONLY_FOR.get(self._next[0], {operation}):
            return self._next.pop(0)
        luck = self._random.random()
        for fault, rate in self._rates.get(operation, self._rates.get("*", {})).items():
            if operation not in ONLY_FOR.get(fault, {operation}):
                continue
            luck -= rate
            if luck < 0:
                return fault
        return None
