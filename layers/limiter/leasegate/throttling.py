"""A repository that throttles as DynamoDB throttles one hot partition key."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from .bucket import can_grant, give_back, spend
from .errors import StoreThrottled
from .limits import Limit
from .operations import BatchGet, Failed, Operation, Outcome
from .tariff import Charge, Partition, Tariff

if TYPE_CHECKING:
    from .repository import Repository

WRITE_UNITS_PER_SECOND: Final = 1_000
READ_UNITS_PER_SECOND: Final = 3_000
_HALVES: Final = 2
"""Tokens are half units, for an eventually consistent read costs a half."""
_KEPT_UNSWEPT: Final = 10_000


class _Budget(NamedTuple):
    """What one partition key has of one kind of unit."""

    partition: Partition
    is_write: bool


class PartitionThrottle:
    """Executes operations while the partition keys they touch have units left; may be shared among threads.

    Each partition key, of the table and of its index, has 1,000 write units and 3,000 read units a second: a token
    bucket of one second each, by the very arithmetic that the limiter uses. What finds no unit left in any
    partition that it would touch fails with :class:`StoreThrottled` without having been applied: a transaction as
    a whole, and a write whose index entry has no room (the developer guide's pages on partition keys, index
    back-pressure and transactions). A BatchGet reads, and pays for, the keys that are not throttled, and fails
    for the others, as ``DynamoRepository`` reports keys that stay unprocessed. Nothing is repeated here and
    nothing waits: a failure is what the last attempt within the caller's time met.

    What an operation costs is known only after it. So one that finds a unit (half a one for such a read) is let
    through whole, and what it cost beyond is debt, which the next ones wait for. That DynamoDB admits by token
    buckets is in the paper on it (Elhemali et al., USENIX ATC 2022); that it goes into debt is inferred: it
    cannot know sizes before, yet serves a page of 1 MB, 256 units, from whatever is left. The least that an
    operation costs is taken at once, so that those side by side do not all pass on one last unit.

    Left out: scans, whose partitions are unknown; limits of the table and the account; the splitting of a hot
    partition, which moves sort keys apart and so never helps one item, such as a bucket.
    """

    def __init__(
        self,
        repository: Repository,
        clock: Callable[[], int],
        *,
        write_units_per_second: int = WRITE_UNITS_PER_SECOND,
        read_units_per_second: int = READ_UNITS_PER_SECOND,
        burst_s: int = 0,
    ) -> None:
        """Throttle a repository by a clock that returns ms.

        ``burst_s`` seconds of unused units are kept beyond the present second's; a partition starts with all of
        them. DynamoDB keeps up to 300 where it can, but promises none and may spend them itself: by default a
        program must do without.
        """
        self._repository = repository
        self._clock = clock
        self._limits = {
            True: _limit("write-units", write_units_per_second, burst_s),
            False: _limit("read-units", read_units_per_second, burst_s),
        }
        self._lock = threading.Lock()
        self._tariff = Tariff()
        self._tats: dict[_Budget, int | None] = {}
        self._swept_at = _KEPT_UNSWEPT
        self._throttled = 0

    @property
    def throttled(self) -> int:
        """How many operations were throttled so far."""
        return self._throttled

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        """Execute what is admitted of one round trip; see :class:`~leasegate.repository.Repository`."""
        admitted: dict[int, Operation] = {}
        taken: Counter[_Budget] = Counter()
        try:
            with self._lock:
                for place, operation in enumerate(operations):
                    part = self._admit(operation, taken)
                    if part is not None:
                        admitted[place] = part
            answers = self._repository.execute(tuple(admitted.values()), timeout_ms=timeout_ms) if admitted else ()
        except (TypeError, ValueError):  # a mistake of the program: nothing was executed
            with self._lock:
                self._settle(taken, {})
            raise
        outcomes: list[Outcome] = [_throttled(operation) for operation in operations]
        with self._lock:
            cost: Counter[_Budget] = Counter()
            for (place, operation), outcome in zip(admitted.items(), answers, strict=True):
                cost += _tokens(self._tariff.price(operation, outcome))
                if operation is operations[place] or isinstance(outcome, Failed):
                    outcomes[place] = outcome
            self._settle(taken, cost)
            self._sweep()
        return tuple(outcomes)

    def _admit(self, operation: Operation, taken: Counter[_Budget]) -> Operation | None:
        """Take the least it costs of what is let through: the operation, a part of a BatchGet, or None."""
        if not isinstance(operation, BatchGet):
            if self._took_least(operation, taken):
                return operation
            self._throttled += 1
            return None
        distinct = dict.fromkeys(operation.keys)
        keys = tuple([key for key in distinct if self._took_least(replace(operation, keys=(key,)), taken)])
        if len(keys) == len(distinct):
            return operation
        self._throttled += 1
        return replace(operation, keys=keys) if keys else None

    def _took_least(self, operation: Operation, taken: Counter[_Budget]) -> bool:
        now_ms = self._clock()
        least = _tokens(self._tariff.least(operation))
        for budget, tokens in least.items():
            limit, tat = self._limits[budget.is_write], self._tats.get(budget)
            if not can_grant(limit, tat, min(tokens, _HALVES), now_ms):
                return False
        self._settle({}, least)
        taken += least
        return True

    def _settle(self, taken: Mapping[_Budget, int], cost: Mapping[_Budget, int]) -> None:
        """Correct what was taken to what it cost; more may be in other partitions than was foreseen."""
        now_ms = self._clock()
        for each in {**taken, **cost}:
            limit, tat = self._limits[each.is_write], self._tats.get(each)
            more = cost.get(each, 0) - taken.get(each, 0)
            if more > 0:
                self._tats[each] = spend(limit, tat, more, now_ms)
            elif more < 0:
                self._tats[each] = give_back(limit, tat, -more)

    def _sweep(self) -> None:
        """Forget the buckets that are full again, whenever there are twice as many as were left last time."""
        if len(self._tats) < self._swept_at:
            return
        now_ms = self._clock()
        self._tats = {
            each: tat
            for each, tat in self._tats.items()
            if tat is not None and tat > now_ms * self._limits[each.is_write].amount
        }
        self._swept_at = max(_KEPT_UNSWEPT, 2 * len(self._tats))


def _limit(name: str, units_per_second: int, burst_s: int) -> Limit:
    tokens = _HALVES * units_per_second
    return Limit.per_second(name, tokens, tokens * (1 + burst_s))


def _tokens(charges: Iterable[Charge]) -> Counter[_Budget]:
    """Add charges up by partition; those of no known partition are left out."""
    tokens: Counter[_Budget] = Counter()
    for charge in charges:
        if charge.partition is not None:
            if charge.write_units:
                tokens[_Budget(charge.partition, is_write=True)] += _HALVES * charge.write_units
            if charge.read_units:
                tokens[_Budget(charge.partition, is_write=False)] += int(_HALVES * charge.read_units)
    return tokens


def _throttled(operation: Operation) -> Failed:
    kind = type(operation).__name__
    return Failed(StoreThrottled(f"{kind} beyond the throughput of a partition key"))
