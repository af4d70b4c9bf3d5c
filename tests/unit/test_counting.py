"""The counting of usage: each change once in each window, in however many pieces, and what is said of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from leasegate import (
    Limit,
    Limiter,
    RateLimitExceeded,
    StoreDenied,
    StoreError,
    StoreThrottled,
    StoreUnavailable,
    schema,
)
from leasegate.aggregator import Aggregator
from leasegate.lease import Lease
from leasegate.operations import BatchGet, Failed, Item, Key, Operation, Outcome, Set, Update
from leasegate.records import UsageRecord
from leasegate.repository.memory import MemoryRepository
from leasegate.requesting import AcquireRequest
from leasegate.stream import StreamRecord
from leasegate.windows import DEFAULT_PLAN, UsagePlan, Window
from tests.stream import StreamedMemory, stream_record

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOON_MS = 20_700 * DAY_MS + 12 * HOUR_MS
PLAN = UsagePlan({"hour": 35, "day": 400})
EVERY = UsagePlan({"minute": 3, "hour": 35, "day": 400, "month": 1_830})
KEY = schema.bucket_key("key-1", "gpt-4")
LIMIT = (100, 100, 60_000)

type Execute = Callable[[Operation], Outcome | None]


class Died(Exception):
    """The function was killed."""


@dataclass
class Totals:
    """The table of totals as one function sees it; ``meet`` may answer an operation in its place.

    Attributes:
        trips: the operations of each round trip by name. writes: every write that was sent.
    """

    memory: MemoryRepository = field(default_factory=MemoryRepository)
    trips: list[str] = field(default_factory=list)
    writes: list[Update] = field(default_factory=list)
    meet: Execute | None = None

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        self.trips.append("+".join(type(operation).__name__ for operation in operations))
        return tuple([self._answer(operation) for operation in operations])

    def _answer(self, operation: Operation) -> Outcome:
        met = None if self.meet is None else self.meet(operation)
        if isinstance(operation, Update):
            self.writes.append(operation)
        return self.memory.execute((operation,), timeout_ms=0)[0] if met is None else met

    def counter(self, plan: UsagePlan = PLAN, now_ms: int = NOON_MS + DAY_MS) -> Aggregator:
        """Return a function that just started."""
        return Aggregator(self, plan=plan, clock=lambda: now_ms)

    def records(self, window: Window = "day", entity_id: str = "key-1") -> list[UsageRecord]:
        reader = Limiter(self.memory, clock=lambda: NOON_MS + 100 * DAY_MS)
        return list(reader.usage(entity_id, "gpt-4", window).items)

    def tokens(self, window: Window = "day", entity_id: str = "key-1") -> list[int]:
        found = [record.limits.get("rpm") for record in self.records(window, entity_id)]
        return [0 if limit is None else limit.tokens for limit in found]

    def item(self, window: Window, start_ms: int) -> Item:
        return self.memory.items[schema.usage_key("key-1", "gpt-4", window, start_ms)]


@pytest.fixture
def totals() -> Totals:
    return Totals()


def bucket(version: int, used: int, at_ms: int = NOON_MS, **attributes: Any) -> Item:  # noqa: ANN401 - any value
    item: dict[str, Any] = {"cfg": "e:1", "lim": {"rpm": LIMIT}, "n": version, "at": at_ms, "ttl": 1}
    return item | {"u.rpm": used, "g": used} | attributes


def life(
    times_ms: Iterable[int], first: int = 1_000, key: Key = KEY, tokens: Sequence[int] | None = None
) -> list[StreamRecord]:
    """Return the records of a bucket that is created at the first of these times, and spends a token at each."""
    records, before, used = [], None, 0
    for number, at_ms in enumerate(times_ms):
        used += 1 if tokens is None else tokens[number]
        after = bucket(first + number, used, at_ms)
        records.append(stream_record(key, before, after, number))
        before = after
    return records


def same_time(count: int) -> list[StreamRecord]:
    return life([NOON_MS] * count)


# --- what a batch makes ------------------------------------------------------------------------------


def test_the_first_acquire_of_a_bucket_counts(totals: Totals) -> None:
    table = StreamedMemory()
    limiter = Limiter(table, clock=lambda: NOON_MS)
    limiter.set_limits("key-1", [Limit.per_minute("rpm", 60)])
    limiter.acquire("key-1", "gpt-4", {"rpm": 3})
    report = totals.counter().count(table.records)
    assert (report.records, report.groups, report.writes, report.lag_ms) == (1, 2, 2, DAY_MS)
    (record,) = totals.records()
    assert (record.limits["rpm"].tokens, record.limits["rpm"].peak, record.grants) == (3, 3, 1)


def test_the_hour_00_and_its_day_are_separate_items(totals: Totals) -> None:
    midnight_ms = NOON_MS + 12 * HOUR_MS
    totals.counter(EVERY).count(life([midnight_ms, midnight_ms + 1, midnight_ms + HOUR_MS]))
    assert sorted(key.sk for key in totals.memory.items) == [
        "day#2026-09-05T00:00Z",
        "hour#2026-09-05T00:00Z",
        "hour#2026-09-05T01:00Z",
        "minute#2026-09-05T00:00Z",
        "minute#2026-09-05T01:00Z",
        "month#2026-09-01T00:00Z",
    ]
    assert (totals.tokens("day"), totals.tokens("hour")) == ([3], [2, 1])


def test_a_group_is_one_write_however_many_records_it_has(totals: Totals) -> None:
    report = totals.counter().count(same_time(500))
    assert (report.groups, report.writes) == (2, 2)
    assert totals.trips == ["BatchGet", "Update+Update"]
    assert totals.tokens() == [500]


def test_what_a_process_wrote_it_need_not_read(totals: Totals) -> None:
    records = same_time(30)
    counter = totals.counter()
    counter.count(records[:10])
    totals.trips.clear()
    assert counter.count(records[10:20]).writes == 2
    assert counter.count(records[20:]).writes == 2
    assert totals.trips == ["Update+Update", "Update+Update"]
    assert totals.tokens() == [30]


def test_nothing_is_asked_of_the_table_where_there_is_nothing_to_count(totals: Totals) -> None:
    report = totals.counter().count([stream_record(KEY, bucket(7, 1), None)])
    assert (report.records, report.groups, report.writes, report.lag_ms) == (1, 0, 0, None)
    assert totals.counter().count([]).records == 0
    assert totals.trips == []


def test_a_mark_of_a_full_bucket_makes_no_totals(totals: Totals) -> None:
    before = bucket(1_000, 5)
    report = totals.counter().count([stream_record(KEY, before, {**before, "cfg": "stale:1", "n": 1_001})])
    assert (report.groups, report.writes, report.duplicates) == (2, 0, 0)
    assert not totals.memory.items


def test_totals_are_kept_from_the_end_of_their_window_on(totals: Totals) -> None:
    totals.counter().count(same_time(1))
    assert totals.item("hour", NOON_MS)["ttl"] == (NOON_MS + HOUR_MS + 35 * DAY_MS) // 1000
    assert totals.item("day", NOON_MS - 12 * HOUR_MS)["ttl"] == (NOON_MS + 12 * HOUR_MS + 400 * DAY_MS) // 1000


def test_more_than_a_hundred_groups_are_a_hundred_at_a_time(totals: Totals) -> None:
    keys = [schema.bucket_key(f"key-{number}", "gpt-4") for number in range(130)]
    records = [record for key in keys for record in life([NOON_MS, NOON_MS + 1], key=key)]
    report = totals.counter().count(records)
    assert (report.groups, report.writes, report.failures) == (260, 260, {})
    assert [trip.count("Update") for trip in totals.trips] == [0, 100, 100, 60]
    assert all(totals.tokens(entity_id=f"key-{number}") == [2] for number in range(130))


def test_what_was_spent_and_came_back_is_nothing(totals: Totals) -> None:
    totals.counter().count(life([NOON_MS] * 3, tokens=[5, -2, -3]))
    assert totals.tokens() == [0]
    totals.counter().count(life([NOON_MS], first=9_000, tokens=[-4]))
    assert totals.tokens() == [-4]


def test_what_comes_back_in_another_window_is_negative_there(totals: Totals) -> None:
    totals.counter().count(life([NOON_MS, NOON_MS + HOUR_MS], tokens=[5, -5]))
    assert (totals.tokens("hour"), totals.tokens("day")) == ([5, -5], [0])


def test_totals_are_listed_by_the_bits_of_all_that_was_counted_and_moved_only_when_these_change(
    totals: Totals,
) -> None:
    counter, before = totals.counter(), 0
    for number, record in enumerate(same_time(20), 1):
        totals.writes.clear()
        counter.count([record])
        bits = (2 * number).bit_length()  # a token and a grant each
        assert totals.item("hour", NOON_MS)["GSI1SK"] == f"{bits:03}#key-1"
        moved = {change.attribute for write in totals.writes for change in write.changes} & {"GSI1PK", "GSI1SK"}
        assert bool(moved) == (bits != before)
        before = bits


# --- repeated, overlapping, in pieces ----------------------------------------------------------------


def test_a_repeated_batch_counts_nothing_twice(totals: Totals) -> None:
    records = same_time(20)
    counter = totals.counter()
    assert counter.count(records).duplicates == 0
    for repeating in (counter, totals.counter()):
        report = repeating.count(records)
        assert (report.duplicates, report.writes, report.failures) == (20, 0, {})
    assert totals.tokens() == [20]


def test_an_overlapping_batch_counts_what_is_new(totals: Totals) -> None:
    records = same_time(20)
    counter = totals.counter()
    counter.count(records[:12])
    report = counter.count(records[5:])
    assert (report.duplicates, report.writes) == (7, 2)
    assert totals.tokens() == [20]


def test_a_record_that_stands_in_a_batch_twice_counts_once(totals: Totals) -> None:
    records = same_time(3)
    report = totals.counter().count([*records, records[1], *reversed(records)])
    assert (report.duplicates, report.writes) == (4, 2)
    assert totals.tokens() == [3]


def test_reversed_records_and_reversed_batches_are_the_same_total(totals: Totals) -> None:
    records = same_time(30)
    for start in (20, 10, 0):
        totals.counter().count(records[start : start + 10][::-1])
    assert totals.tokens() == [30]
    assert totals.item("hour", NOON_MS)["n"] == (999, 1_029)


def test_a_gap_is_not_taken_for_counted(totals: Totals) -> None:
    records = same_time(9)
    counter = totals.counter()
    counter.count([*records[:4], *records[5:]])
    assert totals.item("hour", NOON_MS)["n"] == (999, 1_003, 1_004, 1_008)
    report = counter.count(records[4:5])
    assert (report.duplicates, report.writes, totals.tokens()) == (0, 2, [9])
    assert totals.item("hour", NOON_MS)["n"] == (999, 1_008)


def test_versions_of_other_windows_in_between_leave_no_gap(totals: Totals) -> None:
    one, other = NOON_MS + HOUR_MS - 1, NOON_MS + HOUR_MS + 1
    records = life([one, other] * 6)
    totals.counter().count(records)
    assert totals.item("hour", NOON_MS)["n"] == totals.item("hour", NOON_MS + HOUR_MS)["n"] == (999, 1_011)
    assert totals.tokens("hour") == [6, 6]


def test_versions_that_a_window_took_along_still_count_in_their_own(totals: Totals) -> None:
    """The claim of one window on a version of another must not reach that other's item."""
    one, other = NOON_MS + HOUR_MS - 1, NOON_MS + HOUR_MS + 1
    records = life([one, other, one, other])
    later = schema.usage_key("key-1", "gpt-4", "hour", NOON_MS + HOUR_MS)
    totals.meet = lambda operation: (
        Failed(StoreThrottled("hot")) if isinstance(operation, Update) and operation.key == later else None
    )
    report = totals.counter().count(records)
    assert sorted(report.failures) == [1, 3]
    assert (totals.tokens("hour"), totals.tokens("day")) == ([2], [4])
    totals.meet = None
    report = totals.counter().count([records[1], records[3]])
    assert (report.writes, report.duplicates, report.failures) == (1, 0, {})
    assert (totals.tokens("hour"), totals.tokens("day")) == ([2, 2], [4])


@pytest.mark.parametrize("applied", range(9))
def test_a_batch_that_is_cut_off_between_any_two_writes_is_finished_by_the_next(
    totals: Totals, applied: int
) -> None:
    times = [NOON_MS + number * HOUR_MS for number in (0, 0, 1, 2)]
    records = [*life(times), *life(times, key=schema.bucket_key("key-2", "gpt-4"))]

    def die(operation: Operation) -> None:
        if isinstance(operation, Update) and len(totals.writes) == applied:
            raise Died

    totals.meet = die
    cut_off = totals.counter()
    if applied < 8:
        with pytest.raises(Died):
            cut_off.count(records)
    else:
        cut_off.count(records)
    totals.meet = None
    report = cut_off.count(records)  # the process lives on, and remembers what it had not been answered
    assert report.failures == {}
    assert len(totals.writes) - applied >= 8 - applied
    for entity_id in ("key-1", "key-2"):
        assert (totals.tokens("day", entity_id), totals.tokens("hour", entity_id)) == ([4], [2, 1, 1])


# --- one version twice, another life -----------------------------------------------------------------


def test_one_version_with_two_contents_counts_once_in_a_window(totals: Totals) -> None:
    one, other = stream_record(KEY, None, bucket(1_000, 3)), stream_record(KEY, None, bucket(1_000, 7))
    report = totals.counter().count([one, other])
    assert (report.duplicates, totals.tokens()) == (1, [3])
    assert totals.counter().count([other]).writes == 0


def test_a_bucket_that_is_deleted_and_born_again_in_one_batch_counts_in_both_lives(totals: Totals) -> None:
    before = same_time(3)
    deleted = stream_record(KEY, bucket(1_002, 3), None)
    report = totals.counter().count([*before, deleted, *life([NOON_MS + 5] * 2, first=50_000)])
    assert (report.records, report.writes, report.duplicates) == (6, 2, 0)
    assert totals.tokens() == [5]
    assert totals.item("hour", NOON_MS)["n"] == (999, 1_002, 49_999, 50_001)


def test_a_bucket_that_is_born_again_by_a_slower_clock_counts_in_both_lives(totals: Totals) -> None:
    first, second = life([NOON_MS] * 4, first=50_000), life([NOON_MS - 40] * 3, first=10_000)
    counter = totals.counter()
    counter.count([*first[:2], *second[:1]])
    counter.count([*first[2:], *second[1:]])
    assert totals.tokens() == [7]
    assert totals.item("hour", NOON_MS)["n"] == (49_999, 50_003)
    assert totals.item("hour", NOON_MS - HOUR_MS)["n"] == (9_999, 10_002)


# --- several processes -------------------------------------------------------------------------------


def test_a_process_with_an_old_memory_is_corrected_by_the_refusal(totals: Totals) -> None:
    records = same_time(30)
    old, other = totals.counter(), totals.counter()
    old.count(records[:10])
    other.count(records[10:20])
    totals.trips.clear()
    report = old.count(records[20:])
    assert (report.groups, report.writes, report.duplicates, report.failures) == (2, 4, 0, {})
    assert totals.trips == ["Update+Update", "Update+Update"]
    assert totals.tokens() == [30]


def test_what_another_process_counted_is_a_duplicate_though_this_one_did_not_know(totals: Totals) -> None:
    records = same_time(30)
    old, other = totals.counter(), totals.counter()
    old.count(records[:10])
    other.count(records[10:20])
    report = old.count(records[10:25])
    assert (report.duplicates, report.failures, totals.tokens()) == (10, {}, [25])


def test_processes_that_hold_the_same_batch_count_it_once(totals: Totals) -> None:
    records = same_time(10)
    counters = [totals.counter() for _ in range(3)]
    rivals = iter(counters[1:])

    def overtake(operation: Operation) -> None:
        rival = next(rivals, None) if isinstance(operation, Update) else None
        if rival is not None:
            rival.count(records)

    totals.meet = overtake
    reports = [counters[0].count(records)]
    assert totals.tokens() == [10]
    assert (reports[0].duplicates, reports[0].failures) == (10, {})


def test_a_group_that_others_always_win_is_sent_again_later(totals: Totals) -> None:
    records = same_time(3)
    hour = schema.usage_key("key-1", "gpt-4", "hour", NOON_MS)
    attempts: list[Operation] = []

    def win(operation: Operation) -> None:
        if isinstance(operation, Update) and operation.key == hour:
            attempts.append(operation)
            others = (Set("n", (5 * len(attempts), 5 * len(attempts) + 1)), Set("at", 1))
            totals.memory.execute((Update(hour, others),), timeout_ms=0)

    totals.meet = win
    report = totals.counter().count(records)
    assert len(attempts) == 8
    assert report.failures.keys() == {0, 1, 2}
    assert all(isinstance(error, StoreThrottled) for error in report.failures.values())
    totals.meet = None
    report = totals.counter().count(records)
    assert (report.failures, report.writes, totals.tokens("hour"), totals.tokens("day")) == ({}, 1, [3], [3])


# --- what fails --------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreThrottled("hot"), StoreDenied("no"), StoreUnavailable("away")])
def test_a_write_that_fails_fails_its_own_records_alone(totals: Totals, error: StoreError) -> None:
    other = schema.bucket_key("key-2", "gpt-4")
    records = [*same_time(2), *life([NOON_MS] * 3, key=other)]
    totals.meet = lambda operation: (
        Failed(error) if isinstance(operation, Update) and "key-2" in operation.key.pk else None
    )
    report = totals.counter().count(records)
    assert report.failures == dict.fromkeys((2, 3, 4), error)
    assert totals.tokens() == [2]
    totals.meet = None
    assert totals.counter().count(records[2:]).failures == {}
    assert totals.tokens(entity_id="key-2") == [3]


def test_the_places_of_failures_are_those_of_the_batch(totals: Totals) -> None:
    unreadable: StreamRecord = {"eventName": "MODIFY"}
    deleted = stream_record(schema.bucket_key("key-9", "gpt-4"), bucket(7, 1), None)
    totals.meet = lambda operation: Failed(StoreThrottled("hot")) if isinstance(operation, Update) else None
    report = totals.counter().count([unreadable, *same_time(1), deleted, *same_time(1)])
    assert (sorted(report.failures), sorted(report.unreadable)) == ([1, 3], [0])


def test_a_write_whose_reply_is_lost_counts_once(totals: Totals) -> None:
    records = same_time(4)

    def lose(operation: Operation) -> Outcome | None:
        if not isinstance(operation, Update):
            return None
        totals.memory.execute((operation,), timeout_ms=0)
        return Failed(StoreUnavailable("no answer", maybe_applied=True))

    counter = totals.counter()
    totals.meet = lose
    assert counter.count(records).failures.keys() == {0, 1, 2, 3}
    totals.meet = None
    report = counter.count(records)
    assert (report.duplicates, report.writes, report.failures, totals.tokens()) == (4, 0, {}, [4])


def test_what_cannot_be_looked_up_fails_and_what_is_remembered_is_counted(totals: Totals) -> None:
    records = same_time(6)
    counter = totals.counter()
    counter.count(records[:3])
    totals.meet = lambda operation: Failed(StoreThrottled("hot")) if isinstance(operation, BatchGet) else None
    new = life([NOON_MS], key=schema.bucket_key("key-2", "gpt-4"))
    report = counter.count([*new, *records[3:]])
    assert (sorted(report.failures), report.writes) == ([0], 2)
    assert totals.tokens() == [6]
    totals.meet = None
    assert counter.count(new).failures == {}
    assert totals.tokens(entity_id="key-2") == [1]


def test_after_a_failure_totals_are_read_again(totals: Totals) -> None:
    records = same_time(4)
    counter = totals.counter()
    counter.count(records[:2])
    totals.meet = lambda operation: Failed(StoreThrottled("hot")) if isinstance(operation, Update) else None
    counter.count(records[2:])
    totals.meet = None
    totals.trips.clear()
    counter.count(records[2:])
    assert totals.trips == ["BatchGet", "Update+Update"]


# --- windows that are not kept any more --------------------------------------------------------------


def test_what_is_older_than_all_that_is_kept_is_not_counted(totals: Totals) -> None:
    late = totals.counter(now_ms=NOON_MS + 500 * DAY_MS)
    report = late.count(same_time(3))
    assert (report.expired, report.groups, report.writes, report.duplicates) == (3, 0, 0, 0)
    assert totals.trips == []


def test_a_window_that_expired_is_not_created_again_beside_one_that_is_kept(totals: Totals) -> None:
    late = totals.counter(now_ms=NOON_MS + 100 * DAY_MS)
    report = late.count(same_time(3))
    assert (report.expired, report.groups, report.writes) == (0, 1, 1)
    assert [key.sk[:3] for key in totals.memory.items] == ["day"]


def test_a_window_is_kept_until_its_very_end(totals: Totals) -> None:
    expires_at_ms = PLAN.expires_at_ms("hour", NOON_MS)
    assert totals.counter(now_ms=expires_at_ms).count(same_time(3)).groups == 1
    assert totals.counter(now_ms=expires_at_ms - 1).count(same_time(3)).groups == 2


# --- peaks -------------------------------------------------------------------------------------------


def busy(version: int, in_use: int, used: int) -> Item:
    return bucket(version, used, **{"v.rpm": NOON_MS * 100 + in_use * 60_000})


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
def test_the_peak_is_the_most_that_was_in_use_whatever_comes_first(totals: Totals, order: tuple[int, ...]) -> None:
    items = [None, busy(1, 40, 40), busy(2, 70, 70), busy(3, 20, 20)]
    records = [stream_record(KEY, before, after) for before, after in itertools.pairwise(items) if after]
    for place in order:
        totals.counter().count([records[place]])
    assert [record.limits["rpm"].peak for record in totals.records()] == [70]
    together = Totals()
    together.counter().count([records[place] for place in order])
    assert [record.limits["rpm"].peak for record in together.records()] == [70]


def test_places_that_are_held_into_another_hour_are_its_peak(totals: Totals) -> None:
    table, now_ms = StreamedMemory(), NOON_MS
    limiter = Limiter(table, clock=lambda: now_ms)
    limiter.set_limits("key-1", [Limit.concurrent("slots", 5, 3_600)])
    lease = limiter.acquire("key-1", "gpt-4", {"slots": 2})
    now_ms += HOUR_MS - 1
    lease.renew()
    now_ms += HOUR_MS - 1
    lease.renew()
    for record in table.records:
        totals.counter().count([record])
    assert [record.limits["slots"].peak for record in totals.records("hour")] == [2, 2]
    assert [record.grants for record in totals.records("hour")] == [1, 0]


# --- grants ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folded", [1, 2, 25])
def test_every_acquire_that_is_granted_at_once_is_a_grant_of_each_level(totals: Totals, folded: int) -> None:
    table = StreamedMemory()
    limiter = Limiter(table, clock=lambda: NOON_MS)
    limiter.create_entity("org")
    limiter.create_entity("key-1", "org")
    for entity_id in ("org", "key-1"):
        limiter.set_limits(entity_id, [Limit.per_minute("rpm", 1_000)])
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    request = AcquireRequest("key-1", "gpt-4", {"rpm": 2})
    assert all(isinstance(answer, Lease) for answer in limiter.acquire_many([request] * folded))
    assert DEFAULT_PLAN.windows == PLAN.windows
    totals.counter().count(table.records)
    for entity_id in ("org", "key-1"):
        assert [record.grants for record in totals.records(entity_id=entity_id)] == [1 + folded]
        assert totals.tokens(entity_id=entity_id) == [1 + 2 * folded]


def test_a_cascade_that_another_level_refuses_is_no_grant_in_the_end(totals: Totals) -> None:
    table = StreamedMemory()
    limiter = Limiter(table, clock=lambda: NOON_MS)
    limiter.create_entity("org")
    limiter.create_entity("key-1", "org")
    limiter.set_limits("org", [Limit.per_minute("rpm", 5)])
    limiter.set_limits("key-1", [Limit.per_minute("rpm", 1_000)])
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    Limiter(table, clock=lambda: NOON_MS).acquire("org", "gpt-4", {"rpm": 4})
    with pytest.raises(RateLimitExceeded):
        limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    assert len(table.records) > 4
    totals.counter().count(table.records)
    assert [record.grants for record in totals.records()] == [1]
    assert [record.grants for record in totals.records(entity_id="org")] == [2]


def test_to_settle_to_adjust_and_to_release_are_no_grants(totals: Totals) -> None:
    table = StreamedMemory()
    limiter = Limiter(table, clock=lambda: NOON_MS)
    limiter.set_limits("key-1", [Limit.per_minute("rpm", 100)])
    settled, released = (limiter.acquire("key-1", "gpt-4", {"rpm": 5}) for _ in range(2))
    durable = limiter.acquire("key-1", "gpt-4", {"rpm": 5}, durable=True)
    settled.adjust({"rpm": 2})
    settled.settle()
    released.release()
    limiter.adjust("key-1", "gpt-4", {"rpm": 1})
    limiter.lease(str(durable.id)).settle({"rpm": 1})
    totals.counter().count(table.records)
    assert (totals.tokens(), totals.records()[0].grants) == ([9], 3)
