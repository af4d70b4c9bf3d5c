"""Counting usage, and reading it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from leasegate import Limiter
from leasegate.changes import BucketChange
from leasegate.driver import drive
from leasegate.flows.counting import Totals, count_usage
from leasegate.knowledge import Recent
from leasegate.limits import HOUR_MS
from leasegate.windows import DEFAULT_PLAN
from scripts.costs.tables import Situation, Table

BUCKETS: Final = 40
RECORDS: Final = 10_000
_TIMEOUT_MS: Final = 60_000


def changes(table: Table, *, buckets: int, records: int, batch: int = 0) -> list[BucketChange]:
    """Return the records of a batch: acquires that take turns on some buckets, after those of earlier batches."""
    rounds = records // buckets
    first = table.now_ms // HOUR_MS * HOUR_MS * 1_000 + batch * rounds
    return [
        BucketChange(
            entity_id=f"key-{number}",
            resource="gpt-4",
            after=version,
            version=version + 1,
            at_ms=table.now_ms,
            tokens={"rpm": 1, "tpm": 600 + number},
            grants=1,
            refused={},
            peaks={"rpm": 1, "tpm": 600 + number},
        )
        for version in range(first, first + rounds)
        for number in range(buckets)
    ]


def count(table: Table, batch: list[BucketChange], totals: Totals) -> Callable[[], object]:
    """Return the counting of a batch by a process that remembers some totals."""
    flow = count_usage(batch, DEFAULT_PLAN, table.now_ms, totals)
    return lambda: drive(flow, table.repository, _TIMEOUT_MS)


def counted(*, before: int, knows: bool = True, repeated: bool = False) -> Situation:
    """Prepare a batch after ``before`` others of the hour; the process counted those, or knows nothing."""

    def prepare(table: Table) -> Callable[[], object]:
        totals: Totals = Recent(1_000)
        for number in range(before):
            count(table, changes(table, buckets=BUCKETS, records=RECORDS, batch=number), totals)()
        number = before - 1 if repeated else before
        batch = changes(table, buckets=BUCKETS, records=RECORDS, batch=number)
        return count(table, batch, totals if knows else Recent(1_000))

    return prepare


def read(ask: Callable[[Limiter, int], object], *, entities: int = 1, hours: int = 1) -> Situation:
    """Prepare the usage of some entities in some hours, and a question about it."""

    def prepare(table: Table) -> Callable[[], object]:
        start_ms = table.now_ms
        for _ in range(hours):
            count(table, changes(table, buckets=entities, records=entities), Recent(1_000))()
            table.now_ms += HOUR_MS
        reader = table.process()
        return lambda: ask(reader, start_ms)

    return prepare


USAGE: dict[str, Situation] = {
    "count 10,000 records of 40 buckets, the first of an hour": counted(before=0),
    "count the next 10,000": counted(before=1),
    "count 10,000 that do not double the totals": counted(before=4),
    "count them, by a process that knows no totals": counted(before=4, knows=False),
    "count them again": counted(before=5, repeated=True),
    "read what an entity spent, 24 hours": read(
        lambda reader, _: reader.usage("key-0", "gpt-4", "hour"), hours=24
    ),
    "read who spent the most in an hour, 100 of 200": read(
        lambda reader, start_ms: reader.resource_usage("gpt-4", "hour", start_ms), entities=200
    ),
}
"""What the aggregator does with the stream, and what comes of it; usage by hour and by day."""
