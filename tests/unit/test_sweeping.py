"""The sweep of leases whose time is over: each ends once, with all its tokens, whoever else is at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leasegate import Knowledge, LeaseExpired, Limit, Limiter, StoreThrottled, StoreUnavailable, schema
from leasegate.flows.spending import Request
from leasegate.flows.sweeping import FIRST_PAGES, most_leases, sweep_pages
from leasegate.lease import Lease
from leasegate.operations import Failed, Operation, Outcome, Set, Transact, Update
from leasegate.records import SweepReport
from leasegate.sweeper import STEP_MS, Sweeper
from tests.fixtures.tables import MemoryTable, Steps

LIST = "+".join(["Query"] * schema.EXPIRY_SHARDS)
"""The round trip that looks into every partition of the index."""
BUCKET = schema.bucket_key("key", "gpt-4")


@pytest.fixture
def holder(table: MemoryTable) -> Limiter:
    """A process that acquires leases under a limit that hardly refills."""
    limiter = table.process()
    limiter.set_limits("key", [Limit.per_day("rpd", 1, burst=1_000)])
    return limiter


def lease(holder: Limiter, tokens: int = 10, **options: object) -> Lease:
    settings = {"durable": True, "expires_in": 5, **options}
    return holder.acquire("key", "gpt-4", {"rpd": tokens}, **settings)  # type: ignore[arg-type]  # as given


def name_of(lease: Lease) -> str:
    return str(lease.id).partition(".")[0]


def sweep(table: MemoryTable, time_left_ms: Callable[[], int] = lambda: 60_000) -> SweepReport:
    """Sweep as a process that just started."""
    return Sweeper(table, clock=lambda: table.now_ms).sweep(time_left_ms)


def used(table: MemoryTable) -> object:
    return table.item(BUCKET)["u.rpd"]


# --- one lease ---------------------------------------------------------------------------------------


def test_an_empty_table_is_swept_in_one_round_trip(table: MemoryTable) -> None:
    assert table.cost(lambda: sweep(table)) == [LIST]
    assert sweep(table) == SweepReport()


def test_a_lease_whose_time_is_over_gives_its_tokens_back(table: MemoryTable, holder: Limiter) -> None:
    lease(holder)
    table.now_ms += 5_000
    reports: list[SweepReport] = []
    assert table.cost(lambda: reports.append(sweep(table))) == [LIST, "BatchGet", "Transact"]
    assert reports == [SweepReport(released=1)]
    assert used(table) == 0
    assert table.process().available("key", "gpt-4")["rpd"].available == 1_000


def test_a_lease_that_keeps_its_tokens_ends_all_the_same(table: MemoryTable, holder: Limiter) -> None:
    ended = lease(holder, on_expiry="keep")
    table.now_ms += 5_000
    reports: list[SweepReport] = []
    assert table.cost(lambda: reports.append(sweep(table))) == [LIST, "BatchGet", "Update"]
    assert reports == [SweepReport(kept=1)]
    assert used(table) == 10
    with pytest.raises(LeaseExpired):
        holder.lease(str(ended.id)).settle()
    assert table.cost(lambda: sweep(table)) == [LIST], "it is listed no more"


def test_a_lease_is_left_alone_until_its_very_time(table: MemoryTable, holder: Limiter) -> None:
    lease(holder)
    lease(holder, expires_in=7)
    table.now_ms += 4_999
    assert table.cost(lambda: sweep(table)) == [LIST]
    assert sweep(table) == SweepReport(next_at_ms=table.now_ms + 1)
    table.now_ms += 1
    assert sweep(table) == SweepReport(released=1, next_at_ms=table.now_ms + 2_000)


def test_a_lease_that_does_not_expire_is_never_swept(table: MemoryTable, holder: Limiter) -> None:
    lease(holder, expires_in=None)
    table.now_ms += 10**9
    assert sweep(table) == SweepReport()
    assert used(table) == 10


def test_all_levels_of_a_cascade_get_their_tokens_back_and_places_become_free(table: MemoryTable) -> None:
    holder = table.process()
    holder.create_entity("project")
    holder.set_limits("project", [Limit.per_day("rpd", 1, burst=100), Limit.concurrent("slots", 2, 60)])
    holder.create_entity("key", "project")
    holder.set_limits("key", [Limit.per_day("rpd", 1, burst=50), Limit.concurrent("slots", 1, 60)])
    holder.acquire("key", "gpt-4", {"rpd": 20, "slots": 1}, durable=True, expires_in=30)
    table.now_ms += 30_000
    assert table.cost(lambda: sweep(table)) == [LIST, "BatchGet", "Transact"]
    left = table.process().available("key", "gpt-4")
    assert [(level["rpd"].available, level["slots"].available) for level in (left, *left.ancestors)] == [
        (50, 1),
        (100, 2),
    ]
    assert not any(name.startswith("h.") for name in table.item(BUCKET)), "nothing is left to clear away"


def test_a_bucket_that_is_gone_was_full_and_stays_gone(table: MemoryTable, holder: Limiter) -> None:
    lease(holder)
    table.memory.delete(BUCKET)
    table.now_ms += 5_000
    reports: list[SweepReport] = []
    assert table.cost(lambda: reports.append(sweep(table))) == [LIST, "BatchGet", "Transact", "Update"]
    assert reports == [SweepReport(released=1)]
    assert BUCKET not in table.memory.items


def test_a_bucket_that_was_carried_over_to_other_limits_is_corrected_as_it_stands(
    table: MemoryTable, holder: Limiter
) -> None:
    lease(holder)
    holder.set_limits("key", [Limit.per_day("rpd", 2, burst=500)])
    holder.acquire("key", "gpt-4", {"rpd": 1})
    table.now_ms += 5_000
    assert table.cost(lambda: sweep(table)) == [LIST, "BatchGet", "Transact", "Transact"]
    assert used(table) == 1
    assert table.process().available("key", "gpt-4")["rpd"].available == 499


# --- others at the same lease ------------------------------------------------------------------------


def test_a_renewed_lease_is_left_alone(table: MemoryTable, holder: Limiter) -> None:
    renewed = lease(holder)
    table.now_ms += 4_999
    renewed.renew()
    table.now_ms += 1
    assert sweep(table) == SweepReport(next_at_ms=table.now_ms + 4_999)
    assert used(table) == 10


UNDER_THE_SWEEP = pytest.mark.parametrize(
    ("trip", "trips"), [(2, [LIST, "BatchGet"]), (3, [LIST, "BatchGet", "Transact"])]
)
"""Others come before the sweep reads the lease, or before it ends it; then its own write is refused."""


@UNDER_THE_SWEEP
def test_a_lease_that_is_renewed_under_the_sweep_goes_on(
    table: MemoryTable, holder: Limiter, trip: int, trips: list[str]
) -> None:
    renewed = lease(holder)
    late = Limiter(table, clock=lambda: table.now_ms - 1)
    table.now_ms += 5_000
    table.before_trip(trip, lambda: late.lease(str(renewed.id)).renew())
    reports: list[SweepReport] = []
    assert table.cost(lambda: reports.append(sweep(table))) == trips
    assert reports == [SweepReport()]
    assert used(table) == 10
    renewed.release()
    assert used(table) == 0


@UNDER_THE_SWEEP
def test_a_settlement_that_comes_before_the_sweep_wins(
    table: MemoryTable, holder: Limiter, trip: int, trips: list[str]
) -> None:
    settled = lease(holder)
    late = Limiter(table, clock=lambda: table.now_ms - 1)
    table.now_ms += 5_000
    table.before_trip(trip, lambda: late.lease(str(settled.id)).settle({"rpd": 3}))
    reports: list[SweepReport] = []
    assert table.cost(lambda: reports.append(sweep(table))) == trips
    assert reports == [SweepReport()]
    assert used(table) == 3


def test_a_settlement_that_comes_after_the_sweep_finds_the_lease_expired(
    table: MemoryTable, holder: Limiter
) -> None:
    settled = lease(holder)
    late = Limiter(table, clock=lambda: table.now_ms - 1)
    table.now_ms += 5_000
    table.before_trip(1, lambda: sweep(table))
    with pytest.raises(LeaseExpired):
        late.lease(str(settled.id)).settle({"rpd": 3})
    assert used(table) == 0


@pytest.mark.parametrize("trip", [2, 3])
def test_a_lease_that_is_forgotten_under_the_sweep_is_none_of_its_own(
    table: MemoryTable, holder: Limiter, trip: int
) -> None:
    forgotten = lease(holder)
    table.now_ms += 5_000
    table.before_trip(trip, lambda: table.memory.delete(schema.lease_key(name_of(forgotten))))
    assert sweep(table) == SweepReport()
    assert used(table) == 10


def test_what_others_spend_meanwhile_is_not_touched(table: MemoryTable, holder: Limiter) -> None:
    lease(holder)
    table.now_ms += 5_000
    table.before_trip(3, lambda: holder.acquire("key", "gpt-4", {"rpd": 7}))
    assert sweep(table) == SweepReport(released=1)
    assert used(table) == 7


def test_two_sweeps_at_once_end_nothing_twice(table: MemoryTable, holder: Limiter) -> None:
    for number in range(10):
        lease(holder, on_expiry="keep" if number == 0 else "release")
    table.now_ms += 5_000
    requests = [Request(f"sweep-{number}", number % 8, table.now_ms) for number in range(2 * 400)]
    first, second = (Steps(table, sweep_pages(FIRST_PAGES, half, Knowledge())) for half in halves(requests))
    for _ in range(2):
        first.step()
        second.step()
    assert [type(operation) for operation in first.next].count(Transact) == 9
    swept = [first.finish(), second.finish()]
    assert [(each.released, each.kept, each.failures) for each in swept] == [(9, 1, {}), (0, 0, {})]
    assert used(table) == 10


def halves(requests: list[Request]) -> tuple[list[Request], list[Request]]:
    middle = most_leases(FIRST_PAGES)
    return requests[:middle], requests[middle:]


# --- many leases -------------------------------------------------------------------------------------


@pytest.fixture
def crowd(table: MemoryTable, holder: Limiter) -> list[int]:
    """500 leases that expire at once; how many there are in each partition, where a page has 25."""
    for number in range(500):
        lease(holder, tokens=1, idempotency_key=f"lease-{number}")
    table.now_ms += 5_000
    partitions = [
        item.get(schema.GSI1PK) for key, item in table.memory.items.items() if key.pk.startswith("LEASE#")
    ]
    return [partitions.count(schema.expiry_partition(shard)) for shard in range(schema.EXPIRY_SHARDS)]


def test_more_leases_than_a_page_are_all_ended(table: MemoryTable, crowd: list[int]) -> None:
    assert sum(crowd) == 500
    assert min(crowd) < 25 <= max(crowd) < 50
    first = sum(min(count, 25) for count in crowd)
    reports: list[SweepReport] = []
    assert [trip.split("+") for trip in table.cost(lambda: reports.append(sweep(table)))] == [
        ["Query"] * 16,
        ["BatchGet"],
        ["Transact"] * first,
        ["Query"] * sum(count >= 25 for count in crowd),
        ["BatchGet"],
        ["Transact"] * (500 - first),
    ]
    assert reports == [SweepReport(released=500)]
    assert used(table) == 0


def test_a_step_is_only_begun_where_there_is_time_for_it(table: MemoryTable, crowd: list[int]) -> None:
    assert sweep(table, lambda: STEP_MS - 1) == SweepReport(is_complete=False)
    looks = iter([STEP_MS, STEP_MS - 1])
    first = sweep(table, lambda: next(looks))
    assert first == SweepReport(released=sum(min(count, 25) for count in crowd), is_complete=False)
    assert sweep(table) == SweepReport(released=500 - first.released)


# --- failures ----------------------------------------------------------------------------------------


class ThrottledTable(MemoryTable):
    """A table that does not answer transactions with items of some partitions."""

    def __init__(self) -> None:
        super().__init__()
        self.throttled: set[str] = set()

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        outcomes: list[Outcome] = []
        self.trips.append("+".join(type(operation).__name__ for operation in operations))
        for operation in operations:
            actions = operation.actions if isinstance(operation, Transact) else ()
            if any(action.key.pk in self.throttled for action in actions):
                outcomes.append(Failed(StoreThrottled("too many")))
            else:
                outcomes += self.memory.execute((operation,), timeout_ms=timeout_ms)
        return tuple(outcomes)


def test_a_lease_that_fails_is_logged_and_the_others_end(caplog: pytest.LogCaptureFixture) -> None:
    table = ThrottledTable()
    holder = table.process()
    holder.set_limits("key", [Limit.per_day("rpd", 1, burst=1_000)])
    leases = [lease(holder) for _ in range(3)]
    table.now_ms += 5_000
    table.throttled = {schema.lease_key(name_of(leases[1])).pk}
    assert sweep(table) == SweepReport(released=2, failed=1)
    assert used(table) == 10
    assert f"lease {name_of(leases[1])} could not be ended: " in caplog.text
    table.throttled = set()
    assert sweep(table) == SweepReport(released=1), "the next one meets it again"
    assert used(table) == 0


def test_a_lease_that_cannot_be_read_keeps_no_other_from_ending(table: MemoryTable, holder: Limiter) -> None:
    foreign = lease(holder)
    lease(holder)
    ticket = Update(schema.lease_key(name_of(foreign)), (Set(schema.LEASE_GRANT, "of-another-release"),))
    table.memory.execute((ticket,), timeout_ms=0)
    table.now_ms += 5_000
    assert sweep(table) == SweepReport(released=1, failed=1)
    assert used(table) == 10


def test_a_lost_reply_ends_nothing_twice(table: MemoryTable, holder: Limiter) -> None:
    lease(holder)
    table.now_ms += 5_000
    table.lose_reply(3)
    assert sweep(table) == SweepReport(failed=1)
    assert sweep(table) == SweepReport()
    assert used(table) == 0


@pytest.mark.parametrize("trip", [1, 2])
def test_leases_that_cannot_be_listed_or_read_fail_the_sweep(
    table: MemoryTable, holder: Limiter, trip: int
) -> None:
    lease(holder)
    table.now_ms += 5_000
    table.lose_reply(trip)
    with pytest.raises(StoreUnavailable):
        sweep(table)
    assert used(table) == 10
