"""Reading usage: every window once and in order, every entity once and at its place, and what that costs."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leasegate import InvalidRequest, Limiter, schema
from leasegate.cursors import write_cursor
from leasegate.flows.usage import METRICS, Measure, Metric
from leasegate.metering import Meter
from leasegate.operations import BatchGet, Operation, Outcome, Query
from leasegate.records import LimitUsage, Listing, UsageRecord
from leasegate.repository import Repository
from leasegate.repository.memory import MemoryRepository
from leasegate.windows import WINDOWS, Window, window_end_ms, window_start_ms
from tests.fixtures.tables import MemoryTable
from tests.metered import count_all, spent

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 1_790_000_000_000
TODAY_MS = NOW_MS - NOW_MS % DAY_MS


def all_pages(read: Callable[[str | None], Listing[UsageRecord]], page_size: int) -> list[UsageRecord]:
    """Follow the cursors to the end: none repeats, all but the last are full, none is empty but an only one."""
    listed: set[tuple[str, int]] = set()
    records: list[UsageRecord] = []
    cursor = None
    while True:
        page = read(cursor)
        assert len(page.items) == page_size or page.cursor is None
        assert page.items or cursor is None
        assert not {(one.entity_id, one.start_ms) for one in page.items} & listed
        listed |= {(one.entity_id, one.start_ms) for one in page.items}
        records += page.items
        cursor = page.cursor
        if cursor is None:
            return records


# --- an entity's windows -----------------------------------------------------------------------------


def test_the_totals_of_a_window_are_shown(table: MemoryTable, admin: Limiter) -> None:
    changes = [
        spent("key-1", TODAY_MS + 1, {"rpm": 1, "tpm": 500}, peaks={"rpm": 1, "tpm": 900}),
        spent("key-1", TODAY_MS + 2, {"tpm": -200}, grants=0, refused={"rpm": 3}, peaks={"tpm": 700}),
    ]
    count_all(table, *changes)

    page = admin.usage("key-1", "gpt-4")
    assert page == Listing(
        (
            UsageRecord(
                "key-1",
                "gpt-4",
                "hour",
                TODAY_MS,
                TODAY_MS + HOUR_MS,
                1,
                {"rpm": LimitUsage(1, 3, 1), "tpm": LimitUsage(300, 0, 900)},
                TODAY_MS + 2,
            ),
        ),
        None,
    )
    assert [record.window for record in admin.usage("key-1", "gpt-4", "day").items] == ["day"]


def test_of_what_was_never_spent_there_is_no_usage(admin: Limiter) -> None:
    assert admin.usage("nobody", "gpt-4") == Listing((), None)
    assert admin.resource_usage("nothing") == Listing((), None)


@pytest.mark.parametrize("page_size", range(1, 8))
def test_every_window_is_listed_once_and_in_order(table: MemoryTable, admin: Limiter, page_size: int) -> None:
    hours = [0, 1, 2, 5, 6, 9]
    count_all(table, *[spent("key-1", TODAY_MS - hour * HOUR_MS, {"rpm": 1}) for hour in hours])
    count_all(table, spent("key-1", TODAY_MS, {"rpm": 1}, resource="gpt-3"), spent("key-10", TODAY_MS, {"rpm": 1}))

    records = all_pages(
        lambda cursor: admin.usage("key-1", "gpt-4", cursor=cursor, page_size=page_size), page_size
    )
    assert [(TODAY_MS - record.start_ms) // HOUR_MS for record in records] == sorted(hours, reverse=True)


@settings(deadline=None, max_examples=60)
@given(
    window=st.sampled_from(WINDOWS),
    days=st.lists(st.integers(0, 100), min_size=1, max_size=8),
    start=st.integers(-1, 101),
    length=st.integers(1, 102),
    offset_ms=st.integers(-1, 1),
    page_size=st.integers(1, 5),
)
def test_windows_that_begin_in_a_time_are_those_and_no_others(
    window: Window, days: list[int], start: int, length: int, offset_ms: int, page_size: int
) -> None:
    table = MemoryTable()
    first_ms = TODAY_MS - 100 * DAY_MS
    for day in days:
        count_all(table, spent("key-1", first_ms + day * DAY_MS, {"rpm": 1}), windows=(window,))
    start_ms = first_ms + start * DAY_MS + offset_ms
    end_ms = start_ms + length * DAY_MS
    limiter = table.process()

    records = all_pages(
        lambda cursor: limiter.usage(
            "key-1", "gpt-4", window, start_ms, end_ms, cursor=cursor, page_size=page_size
        ),
        page_size,
    )
    begun = {window_start_ms(window, first_ms + day * DAY_MS) for day in days}
    assert [record.start_ms for record in records] == sorted(
        [begin for begin in begun if window_start_ms(window, start_ms) <= begin < end_ms]
    )
    assert all(record.end_ms == window_end_ms(window, record.start_ms) for record in records)


def test_by_default_windows_are_listed_up_to_now(table: MemoryTable, admin: Limiter) -> None:
    table.now_ms = TODAY_MS
    count_all(table, *[spent("key-1", TODAY_MS + hour * HOUR_MS, {"rpm": 1}) for hour in (-1, 0, 1)])

    assert [record.start_ms - TODAY_MS for record in admin.usage("key-1", "gpt-4").items] == [-HOUR_MS, 0]
    assert admin.usage("key-1", "gpt-4", start_ms=TODAY_MS + HOUR_MS) == Listing((), None)
    latest = admin.usage("key-1", "gpt-4", start_ms=TODAY_MS + 1, end_ms=TODAY_MS + 2 * HOUR_MS)
    assert [record.start_ms - TODAY_MS for record in latest.items] == [0, HOUR_MS]


def test_the_window_that_begins_at_the_end_is_left_out_be_there_others_before_it_or_not(
    table: MemoryTable, admin: Limiter
) -> None:
    count_all(table, *[spent("key-1", TODAY_MS + hour * HOUR_MS, {"rpm": 1}) for hour in (0, 5)])

    for first, hours in ((0, [0]), (2, [])):
        page = admin.usage("key-1", "gpt-4", "hour", TODAY_MS + first * HOUR_MS, TODAY_MS + 5 * HOUR_MS)
        assert [(record.start_ms - TODAY_MS) // HOUR_MS for record in page.items] == hours
        assert page.cursor is None


def test_months_are_listed_across_the_turn_of_a_year(table: MemoryTable, admin: Limiter) -> None:
    times = [datetime(year, month, 15, tzinfo=UTC) for year, month in ((2025, 11), (2025, 12), (2026, 1))]
    changes = [spent("key-1", int(time.timestamp()) * 1000, {"rpm": 1}) for time in times]
    count_all(table, *changes, windows=("month",))

    pages = [
        admin.usage("key-1", "gpt-4", "month", changes[1].at_ms, changes[2].at_ms, page_size=n) for n in (1, 2)
    ]
    assert [[datetime.fromtimestamp(r.start_ms / 1000, UTC).month for r in page.items] for page in pages] == [
        [12],
        [12, 1],
    ]
    assert [page.cursor is None for page in pages] == [False, True]


def test_a_page_of_windows_is_one_round_trip_and_reads_no_more_than_it_may_need(
    table: MemoryTable, admin: Limiter
) -> None:
    count_all(table, *[spent("key-1", TODAY_MS - hour * HOUR_MS, {"rpm": 1}) for hour in range(48)])
    read: list[int] = []
    repository = Watched(table.memory, lambda operations: read.extend(op.limit for op in queries(operations)))
    watched = Limiter(repository, clock=lambda: TODAY_MS)

    assert table.cost(lambda: admin.usage("key-1", "gpt-4")) == ["Query"]
    watched.usage("key-1", "gpt-4", page_size=5)
    watched.usage("key-1", "gpt-4", start_ms=TODAY_MS - 2 * HOUR_MS, end_ms=TODAY_MS + 1)
    assert read == [6, 3]


class CutShort:
    """A table whose pages end early, as DynamoDB's do at 1 MB."""

    def __init__(self, repository: Repository, most: int) -> None:
        self._repository = repository
        self._most = most

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        cut = [
            Query(op.partition, op.prefix, min(op.limit, self._most), op.after, op.in_index, op.newest_first)
            if isinstance(op, Query)
            else op
            for op in operations
        ]
        return self._repository.execute(tuple(cut), timeout_ms=timeout_ms)


def test_a_page_that_dynamodb_cuts_short_leads_on(table: MemoryTable) -> None:
    count_all(table, *[spent("key-1", TODAY_MS - hour * HOUR_MS, {"rpm": 1}) for hour in range(7)])
    count_all(table, *[spent(f"key-{number}", TODAY_MS, {"rpm": number}) for number in range(30)])
    limiter = Limiter(CutShort(table.memory, 2), clock=lambda: TODAY_MS)

    found: list[int] = []
    cursor = None
    while True:
        page = limiter.usage("key-1", "gpt-4", cursor=cursor)
        found += [(TODAY_MS - record.start_ms) // HOUR_MS for record in page.items]
        if (cursor := page.cursor) is None:
            break
    assert found == [6, 5, 4, 3, 2, 1, 0]
    ranked = limiter.resource_usage("gpt-4", "hour", page_size=30)
    assert [record.limits["rpm"].tokens for record in ranked.items[:3]] == [29, 28, 27]
    assert len(ranked.items) == 30


# --- who spent the most --------------------------------------------------------------------------------

# They share two partitions of the index.
NAMES = [name for name in map(str, range(500)) if zlib.crc32(name.encode()) % schema.USAGE_SHARDS < 2]
COUNTS = st.dictionaries(st.sampled_from(["rpm", "tpm"]), st.integers(-5, 40), max_size=2)
SPENT = st.tuples(COUNTS, st.dictionaries(st.sampled_from(["rpm", "tpm"]), st.integers(1, 9)), st.integers(-1, 9))
MEASURES = [
    *[Measure(metric) for metric in METRICS],
    *[Measure(metric, name) for metric in ("tokens", "refused") for name in ("rpm", "tpm", "other")],
]


def rank(
    limiter: Limiter, measure: Measure, cursor: str | None, page_size: int, at_ms: int = TODAY_MS
) -> Listing[UsageRecord]:
    return limiter.resource_usage(
        "gpt-4",
        "day",
        at_ms,
        by=measure.metric,
        limit_name=measure.limit_name,
        cursor=cursor,
        page_size=page_size,
    )


@settings(deadline=None, max_examples=150)
@given(
    usage=st.dictionaries(st.sampled_from(NAMES), SPENT, max_size=40),
    measure=st.sampled_from(MEASURES),
    page_size=st.integers(1, 9),
    first=st.integers(1, 5),
    following=st.integers(1, 5),
)
def test_pages_of_a_ranking_are_a_plain_sort_cut_in_pieces(
    usage: dict[str, tuple[dict[str, int], dict[str, int], int]],
    measure: Measure,
    page_size: int,
    first: int,
    following: int,
) -> None:
    memory = MemoryRepository()
    for entity_id, (tokens, refused, grants) in usage.items():
        change = spent(
            entity_id,
            TODAY_MS,
            {name: number for name, number in tokens.items() if number},
            refused=refused,
            grants=grants,
            peaks={"rpm": 1},
        )
        count_all(memory, change, windows=("day",))
    limiter = Limiter(memory, clock=lambda: TODAY_MS)
    with pytest.MonkeyPatch.context() as small:
        # So few entities would be read at once otherwise.
        small.setattr("leasegate.flows.usage._FIRST_ENTITIES", first)
        small.setattr("leasegate.flows.usage._NEXT_ENTITIES", following)
        small.setattr("leasegate.flows.usage._MOST_KEYS", following)
        pages = all_pages(lambda cursor: rank(limiter, measure, cursor, page_size), page_size)
    expected = sorted([(-total(measure, *spent_by), entity_id) for entity_id, spent_by in usage.items()])
    assert [(-measure.of(record), record.entity_id) for record in pages] == expected


@pytest.mark.parametrize("page_size", [1, 2, 5])
def test_what_a_partition_of_the_index_has_more_is_read_where_it_may_matter(
    page_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_FIRST_ENTITIES", "_NEXT_ENTITIES", "_MOST_KEYS"):
        monkeypatch.setattr(f"leasegate.flows.usage.{name}", 1)
    memory = MemoryRepository()
    chosen = random.Random(page_size)
    tokens = {name: chosen.randint(1, 40) for name in NAMES[:30]}
    count_all(memory, *[spent(name, TODAY_MS, {"rpm": number}) for name, number in tokens.items()])
    limiter = Limiter(memory, clock=lambda: TODAY_MS)

    records = all_pages(lambda cursor: rank(limiter, Measure("tokens"), cursor, page_size), page_size)
    assert [record.entity_id for record in records] == sorted(tokens, key=lambda name: (-tokens[name], name))


def total(measure: Measure, tokens: dict[str, int], refused: dict[str, int], grants: int) -> int:
    """Return what is ranked by, without the code under test."""
    if measure.metric == "grants":
        return grants
    counts = tokens if measure.metric == "tokens" else refused
    return sum(counts.values()) if measure.limit_name is None else counts.get(measure.limit_name, 0)


def test_equals_are_in_the_order_of_their_ids_on_whatever_page(table: MemoryTable, admin: Limiter) -> None:
    names = [f"key-{number:03}" for number in range(50)]
    count_all(table, *[spent(name, TODAY_MS, {"rpm": 8}) for name in reversed(names)])

    pages = all_pages(lambda cursor: rank(admin, Measure("tokens"), cursor, 7), 7)
    assert [record.entity_id for record in pages] == names


def test_what_was_given_back_counts_against_what_was_spent(table: MemoryTable, admin: Limiter) -> None:
    count_all(
        table,
        spent("gave-back", TODAY_MS, {"tpm": -500, "rpm": 400}),
        spent("spent", TODAY_MS, {"tpm": 5}),
        spent("nothing", TODAY_MS, {}, peaks={"tpm": 3}),
    )

    def order(measure: Measure) -> list[str]:
        return [record.entity_id for record in rank(admin, measure, None, 3).items]

    assert order(Measure("tokens")) == ["spent", "nothing", "gave-back"]
    assert order(Measure("tokens", "rpm")) == ["gave-back", "nothing", "spent"]
    assert order(Measure("tokens", "tpm")) == ["spent", "nothing", "gave-back"]


def test_a_ranking_is_of_one_window_and_one_resource(table: MemoryTable, admin: Limiter) -> None:
    count_all(
        table,
        spent("yesterday", TODAY_MS - 1, {"rpm": 3}),
        spent("today", TODAY_MS, {"rpm": 2}),
        spent("elsewhere", TODAY_MS, {"rpm": 1}, resource="gpt-4-mini"),
    )
    table.now_ms = TODAY_MS + DAY_MS - 1

    assert [record.entity_id for record in admin.resource_usage("gpt-4").items] == ["today"]
    assert [record.entity_id for record in admin.resource_usage("gpt-4", at_ms=TODAY_MS - 1).items] == [
        "yesterday"
    ]
    assert admin.resource_usage("gpt-4", "hour").items == ()


def test_an_entity_that_moves_in_the_index_while_it_is_read_is_listed_once(table: MemoryTable) -> None:
    names = [f"key-{number:02}" for number in range(60)]
    count_all(table, *[spent(name, TODAY_MS, {"rpm": 9}) for name in names])
    limiter = Limiter(CutShort(table, 1), clock=lambda: TODAY_MS)

    # Those whose totals were read come once more, behind the others.
    table.before_trip(3, lambda: count_all(table.memory, *[spent(name, TODAY_MS, {"rpm": -7}) for name in names]))
    found = [record.entity_id for record in rank(limiter, Measure("tokens"), None, 60).items]
    assert sorted(found) == names


def test_totals_that_expire_while_they_are_read_are_left_out(table: MemoryTable, admin: Limiter) -> None:
    count_all(table, spent("a", TODAY_MS, {"rpm": 1}), spent("b", TODAY_MS, {"rpm": 2}))
    table.before_trip(2, lambda: table.memory.delete(schema.usage_key("b", "gpt-4", "day", TODAY_MS)))

    assert [record.entity_id for record in rank(admin, Measure("tokens"), None, 5).items] == ["a"]


# --- what a ranking costs --------------------------------------------------------------------------------


class Watched:
    """A table that shows the operations of each round trip."""

    def __init__(self, repository: MemoryRepository, see: Callable[[tuple[Operation, ...]], object]) -> None:
        self._repository = repository
        self._see = see

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        self._see(operations)
        return self._repository.execute(operations, timeout_ms=timeout_ms)


def queries(operations: tuple[Operation, ...]) -> list[Query]:
    return [operation for operation in operations if isinstance(operation, Query)]


def read_totals(operations: tuple[Operation, ...]) -> int:
    return sum([len(operation.keys) for operation in operations if isinstance(operation, BatchGet)])


@pytest.fixture(scope="module")
def skewed() -> MemoryRepository:
    """3,000 entities, of whom few spend nearly everything, and some are refused."""
    memory = MemoryRepository()
    changes = [
        spent(
            f"key-{rank:04}",
            TODAY_MS,
            {"tpm": 10_000_000 // rank, "rpm": 1 + 1_000 // rank},
            refused={"tpm": rank % 7} if rank % 7 else {},
        )
        for rank in range(1, 3_001)
    ]
    count_all(memory, *changes, windows=("day",))
    return memory


class Bill:
    """What reading from a table cost: the totals that each round trip read, the calls and the units of all."""

    def __init__(self, memory: MemoryRepository, read: Callable[[Limiter], object]) -> None:
        self.totals: list[int] = []
        meter = Meter()

        def see(operations: tuple[Operation, ...]) -> None:
            self.totals.append(read_totals(operations))
            outcomes = memory.execute(operations, timeout_ms=0)
            meter(operations, outcomes, 0, 0)

        read(Limiter(Watched(memory, see), clock=lambda: TODAY_MS))
        self.calls, self.units = meter.calls, meter.read_units


def test_the_first_of_many_are_found_without_reading_the_others(skewed: MemoryRepository) -> None:
    bill = Bill(skewed, lambda limiter: rank(limiter, Measure("tokens"), None, 10))

    # 16 partitions of the index; then the 100 greatest, one call; no other may have as much as the tenth.
    assert bill.totals == [0, 100]
    assert bill.calls == 17
    # Half a unit for each of the totals, as many for 4 KB of the index.
    assert bill.units == 50 + 16 * 1.5


def test_a_longer_page_reads_as_many_as_it_has_and_those_who_may_have_as_much(skewed: MemoryRepository) -> None:
    bill = Bill(skewed, lambda limiter: rank(limiter, Measure("tokens"), None, 200))

    # The 200th has 50,000, 16 bits. As many bits, from 32,768 on, have the 104 that follow the 201st.
    assert bill.totals == [0, 201, 104]
    assert bill.calls == 16 + 3 + 2


def test_a_later_page_reads_those_before_it_again_and_not_the_others(skewed: MemoryRepository) -> None:
    third = read_pages(skewed, 3, 10)
    assert third.totals == [0, 100]


def test_a_measure_that_the_index_does_not_sort_by_reads_all_and_still_not_one_by_one(
    skewed: MemoryRepository,
) -> None:
    bill = Bill(skewed, lambda limiter: rank(limiter, Measure("refused"), None, 10))

    assert sum(bill.totals) == 3_000
    assert len(bill.totals) <= 5
    assert bill.totals[-1] > 0


def read_pages(memory: MemoryRepository, number: int, page_size: int) -> Bill:
    """Return the bill of one page."""
    limiter = Limiter(memory, clock=lambda: TODAY_MS)
    cursor = None
    for _ in range(number - 1):
        cursor = rank(limiter, Measure("tokens"), cursor, page_size).cursor
        assert cursor is not None
    return Bill(memory, lambda watched: rank(watched, Measure("tokens"), cursor, page_size))


def test_a_ranking_of_few_reads_them_in_two_round_trips(table: MemoryTable, admin: Limiter) -> None:
    count_all(table, *[spent(f"key-{number}", TODAY_MS, {"rpm": number}) for number in range(20)])

    assert table.cost(lambda: admin.resource_usage("gpt-4", at_ms=TODAY_MS)) == [
        "+".join(["Query"] * 16),
        "BatchGet",
    ]
    assert table.cost(lambda: admin.resource_usage("nothing")) == ["+".join(["Query"] * 16)]


# --- what is asked wrongly ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("entity_id", lambda x: x.usage("a/b", "gpt-4")),
        ("resource", lambda x: x.usage("key-1", "")),
        ("window", lambda x: x.usage("key-1", "gpt-4", "week")),
        ("start_ms", lambda x: x.usage("key-1", "gpt-4", "day", -1)),
        ("start_ms", lambda x: x.usage("key-1", "gpt-4", "day", 1.5)),
        ("end_ms", lambda x: x.usage("key-1", "gpt-4", "day", 5, 5)),
        ("end_ms", lambda x: x.usage("key-1", "gpt-4", "day", None, 10**15)),
        ("page_size", lambda x: x.usage("key-1", "gpt-4", page_size=0)),
        ("cursor", lambda x: x.usage("key-1", "gpt-4", cursor="x")),
        ("resource", lambda x: x.resource_usage("a/b")),
        ("window", lambda x: x.resource_usage("gpt-4", None)),
        ("at_ms", lambda x: x.resource_usage("gpt-4", at_ms="now")),
        ("by", lambda x: x.resource_usage("gpt-4", by="peak")),
        ("limit_name", lambda x: x.resource_usage("gpt-4", limit_name="RPM")),
        ("limit_name", lambda x: x.resource_usage("gpt-4", by="grants", limit_name="rpm")),
        ("page_size", lambda x: x.resource_usage("gpt-4", page_size=1_001)),
        ("cursor", lambda x: x.resource_usage("gpt-4", cursor="x")),
    ],
)
def test_what_cannot_be_is_named(field: str, call: Callable[[Any], object], admin: Limiter) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(admin)
    assert caught.value.field == field


type Read = Callable[[str | None], Listing[UsageRecord]]


def listings(admin: Limiter) -> dict[str, Callable[[str | None], Listing[UsageRecord]]]:
    def windows(entity_id: str, resource: str, window: Window) -> Callable[[str | None], Listing[UsageRecord]]:
        return lambda cursor: admin.usage(entity_id, resource, window, cursor=cursor, page_size=1)

    def ranking(
        window: Window, by: Metric, limit_name: str | None
    ) -> Callable[[str | None], Listing[UsageRecord]]:
        return lambda cursor: admin.resource_usage(
            "gpt-4", window, TODAY_MS, by=by, limit_name=limit_name, cursor=cursor, page_size=1
        )

    return {
        "key-1": windows("key-1", "gpt-4", "hour"),
        "key-2": windows("key-2", "gpt-4", "hour"),
        "by day": windows("key-1", "gpt-4", "day"),
        "gpt-3": windows("key-1", "gpt-3", "hour"),
        "ranking": ranking("day", "tokens", None),
        "ranking by hour": ranking("hour", "tokens", None),
        "ranking by refusals": ranking("day", "refused", None),
        "ranking by a limit": ranking("day", "tokens", "rpm"),
    }


def test_a_listing_takes_its_own_cursors_and_no_others(table: MemoryTable, admin: Limiter) -> None:
    for entity_id in ("key-1", "key-2"):
        for resource in ("gpt-3", "gpt-4"):
            times = (TODAY_MS, TODAY_MS - DAY_MS)
            count_all(table, *[spent(entity_id, at_ms, {"rpm": 1}, resource=resource) for at_ms in times])

    for name, read in listings(admin).items():
        cursor = read(None).cursor
        assert cursor is not None
        for other, read_other in listings(admin).items():
            if other == name:
                assert read_other(cursor).items
                continue
            with pytest.raises(InvalidRequest, match="cursor"):
                read_other(cursor)


@settings(deadline=None)
@given(place=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_a_forged_cursor_is_refused_or_leads_to_a_place_of_its_listing(place: str) -> None:
    table = MemoryTable()
    count_all(table, spent("key-1", TODAY_MS, {"rpm": 1}))
    admin = table.process()
    reads: dict[str, Read] = {
        "usage key-1 gpt-4 hour": lambda cursor: admin.usage("key-1", "gpt-4", cursor=cursor),
        f"ranking gpt-4 day {TODAY_MS} tokens ": lambda cursor: rank(admin, Measure("tokens"), cursor, 1),
    }
    for listing, read in reads.items():
        items: tuple[UsageRecord, ...] = ()
        with suppress(InvalidRequest):
            items = read(write_cursor(listing, place)).items
        assert all(record.entity_id == "key-1" for record in items)
