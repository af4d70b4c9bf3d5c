"""The delivery of a stream by an adversary: in any order, again and again, to processes that die in between.

Replies get lost, writes are throttled, and reads that are not consistent show the table as it was long before.

What it keeps to is Lambda's promise alone: a record that no process has said it counted is delivered once more.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import strategies as st

from leasegate import StoreThrottled, StoreUnavailable, schema
from leasegate.flows.counting import Counted, Totals, count_usage
from leasegate.knowledge import Recent
from leasegate.operations import BatchGet, Failed, Flow, Found, Operation, Outcome
from leasegate.repository.memory import MemoryRepository
from leasegate.stream import StreamRecord, read_record
from leasegate.windows import WINDOWS, UsagePlan

PROCESSES = 3
ORDERS = ("in order", "in order", "reversed", "shuffled", "twice", "with gaps", "with gaps")
FATES = (
    *("done",) * 86,
    *("late",) * 6,  # a read that shows what was there before
    *("lost",) * 3,
    *("throttled",) * 3,
    *("killed", "timed out"),  # with all that the process remembered, or only with what it was doing
)
MEMORY = 300
FOREVER = UsagePlan(dict.fromkeys(WINDOWS, 36_500))


class Step(NamedTuple):
    """One step of one process: its next operation meets a fate; or, where it is idle, it is given a batch."""

    process: int
    fate: str
    start: int
    length: int
    order: str


def steps(most: int) -> st.SearchStrategy[Step]:
    """Draw steps, of batches of so many records at most."""
    return st.builds(
        Step,
        st.integers(0, PROCESSES - 1),
        st.sampled_from(FATES),
        st.integers(0, 400),
        st.integers(1, most),
        st.sampled_from(ORDERS),
    )


def random_step(chance: random.Random, most: int) -> Step:
    return Step(
        chance.randrange(PROCESSES),
        chance.choice(FATES),
        chance.randrange(1_000_000),
        chance.randint(1, most),
        chance.choice(ORDERS),
    )


@dataclass
class Process:
    """A process that counts: what it remembers, and the batch that it is at, if any."""

    totals: Totals = field(default_factory=lambda: Recent(MEMORY))
    flow: Flow[Counted] | None = None
    batch: list[int] = field(default_factory=list)
    operations: tuple[Operation, ...] = ()
    outcomes: list[Outcome] = field(default_factory=list)


class Delivery:
    """Delivers records to processes that share a table.

    Attributes:
        counted: the places of the records that a process said it had counted.
        now_ms: the clock of all processes.
    """

    def __init__(
        self, records: Sequence[StreamRecord], table: MemoryRepository, now_ms: int, plan: UsagePlan = FOREVER
    ) -> None:
        self.table = table
        self.now_ms = now_ms
        self.counted: set[int] = set()
        self.writes = 0
        self._plan = plan
        self._changes = [read_record(record) for record in records]
        self._processes = [Process() for _ in range(PROCESSES)]
        self._shown = table.items

    def step(self, step: Step) -> None:
        """Let one process make one step."""
        process = self._processes[step.process]
        if process.flow is None:
            self._begin(process, self._batch(step))
        else:
            self._execute(process, step.fate)

    def finish(self, most: int) -> None:
        """Leave what is under way, and deliver what nobody counted, in order, to processes with old memories."""
        for process in self._processes:
            process.flow = None
        left = [place for place in range(len(self._changes)) if place not in self.counted]
        for number, start in enumerate(range(0, len(left), most)):
            process, batch = self._processes[number % PROCESSES], left[start : start + most]
            self._begin(process, batch)
            while process.flow is not None:
                self._execute(process, "done")
            assert self.counted.issuperset(batch)

    def expire(self, days: int) -> None:
        """Let days go by, and all totals whose time to live is over be deleted."""
        self.now_ms += days * 86_400_000
        for key, item in self.table.items.items():
            expires_at_s = item.get(schema.EXPIRES_AT)
            assert isinstance(expires_at_s, int)
            if expires_at_s * 1000 <= self.now_ms:
                self.table.delete(key)

    def _batch(self, step: Step) -> list[int]:
        start = step.start % len(self._changes)
        batch = list(range(start, min(start + step.length, len(self._changes))))
        match step.order:
            case "reversed":
                batch.reverse()
            case "shuffled":
                random.Random(step.start).shuffle(batch)
            case "twice":
                batch += batch
            case "with gaps":
                batch = random.Random(step.start).sample(batch, -(-len(batch) // 2))
        return batch

    def _begin(self, process: Process, batch: list[int]) -> None:
        changes = {number: change for number, place in enumerate(batch) if (change := self._changes[place])}
        process.batch = [batch[number] for number in changes]
        self.counted |= {place for place in batch if self._changes[place] is None}
        process.flow = count_usage(list(changes.values()), self._plan, self.now_ms, process.totals)
        self._go_on(process, None)

    def _execute(self, process: Process, fate: str) -> None:
        operation = process.operations[len(process.outcomes)]
        if fate in ("killed", "timed out"):
            process.flow = None
            if fate == "killed":
                process.totals = Recent(MEMORY)
            return
        if fate == "throttled":
            process.outcomes.append(Failed(StoreThrottled("too much at once")))
        else:
            (outcome,) = self.table.execute((operation,), timeout_ms=0)
            if isinstance(operation, BatchGet):
                if fate == "late" and not operation.is_consistent:
                    outcome = Found({key: self._shown[key] for key in operation.keys if key in self._shown})
                    self._shown = self.table.items
            elif fate == "lost":
                outcome = Failed(StoreUnavailable("no answer", maybe_applied=True))
            process.outcomes.append(outcome)
        self.writes += not isinstance(operation, BatchGet)
        if len(process.outcomes) == len(process.operations):
            self._go_on(process, tuple(process.outcomes))

    def _go_on(self, process: Process, outcomes: tuple[Outcome, ...] | None) -> None:
        assert process.flow is not None
        try:
            process.operations = next(process.flow) if outcomes is None else process.flow.send(outcomes)
            process.outcomes = []
        except StopIteration as end:
            process.flow = None
            self.counted |= {place for n, place in enumerate(process.batch) if n not in end.value.failures}
