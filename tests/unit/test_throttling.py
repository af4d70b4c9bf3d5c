"""A hot partition key, throttled as DynamoDB throttles it; the clock stands still unless a test moves it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from leasegate import Limit, Limiter, StoreThrottled, schema
from leasegate.metering import Meter, MeteredRepository, Usage
from leasegate.operations import (
    Add,
    Applied,
    BatchGet,
    Check,
    Delete,
    Equals,
    Failed,
    Found,
    Get,
    Item,
    ItemAbsent,
    ItemExists,
    Key,
    Operation,
    Outcome,
    Put,
    Query,
    Refused,
    Scan,
    Set,
    Transact,
    Update,
)
from leasegate.repository.memory import MemoryRepository
from leasegate.throttling import PartitionThrottle

NOW_MS = 1_790_000_000_000
KEY = Key("p", "s")
NEIGHBOUR = Key("p", "t")
OTHER = Key("q", "s")
ADD = Update(KEY, (Add("n", 1),))
ENTITY: Item = {"GSI1PK": "PARENT#a", "GSI1SK": "ENTITY#b"}


class Bench:
    """A throttled table in memory and a clock in the hand of the test."""

    def __init__(self, *, burst_s: int = 0) -> None:
        self.now_ms = NOW_MS
        self.memory = MemoryRepository()
        self.throttle = PartitionThrottle(self.memory, lambda: self.now_ms, burst_s=burst_s)

    def execute(self, operation: Operation) -> Outcome:
        (outcome,) = self.throttle.execute((operation,), timeout_ms=100)
        return outcome

    def admitted(self, operation: Operation, attempts: int) -> int:
        """Try so often, and count the attempts that were not throttled."""
        return sum([not is_throttled(self.execute(operation)) for _ in range(attempts)])

    def leave(self, write_units: int = 0, read_units: int = 0) -> None:
        """Spend from the partition of ``KEY`` until so much is left of a full second."""
        assert self.admitted(ADD, 1000 - write_units) == 1000 - write_units
        assert self.admitted(Get(KEY), 3000 - read_units) == 3000 - read_units


@pytest.fixture
def bench() -> Bench:
    return Bench()


def is_throttled(outcome: Outcome) -> bool:
    return isinstance(outcome, Failed) and isinstance(outcome.error, StoreThrottled)


def kilobytes(number: int) -> Item:
    return {"x": "." * (1024 * number - 20)}


# --- one partition key -----------------------------------------------------------------------------


def test_a_hot_partition_takes_1000_writes_a_second_and_throttles_the_next(bench: Bench) -> None:
    assert bench.admitted(ADD, 1000) == 1000
    outcome = bench.execute(ADD)
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is StoreThrottled
    assert not outcome.error.maybe_applied
    assert bench.throttle.throttled == 1
    assert bench.memory.items == {KEY: {"n": 1000}}


def test_a_partition_that_is_asked_for_more_gets_1000_writes_each_second(bench: Bench) -> None:
    admitted = 0
    for _ in range(5_000):
        admitted += bench.admitted(ADD, 3)
        bench.now_ms += 1
    assert admitted == 1000 + 4_999
    assert bench.memory.items == {KEY: {"n": admitted}}


def test_a_second_later_a_partition_has_1000_writes_again_and_no_more_after_an_hour(bench: Bench) -> None:
    for pause_ms in (1_000, 3_600_000):
        assert bench.admitted(ADD, 1500) == 1000
        bench.now_ms += pause_ms
    assert bench.admitted(ADD, 1500) == 1000


def test_a_partition_reads_3000_units_a_second_and_twice_as_often_without_consistency(bench: Bench) -> None:
    assert bench.admitted(Get(KEY), 3001) == 3000
    assert bench.admitted(Get(OTHER, is_consistent=False), 6001) == 6000


def test_reads_and_writes_do_not_use_up_each_other(bench: Bench) -> None:
    bench.leave(write_units=0, read_units=1)
    assert bench.admitted(Query("p"), 2) == 1


def test_two_partitions_do_not_share(bench: Bench) -> None:
    assert bench.admitted(ADD, 1001) == 1000
    assert bench.admitted(Update(OTHER, (Add("n", 1),)), 1001) == 1000


def test_sort_keys_of_one_partition_share(bench: Bench) -> None:
    assert bench.admitted(ADD, 600) == 600
    assert bench.admitted(Update(NEIGHBOUR, (Add("n", 1),)), 600) == 400


def test_unused_seconds_are_kept_only_where_the_test_says_so() -> None:
    bench = Bench(burst_s=3)
    for seconds, units in ((0, 4_000), (2, 2_000), (60, 4_000)):
        bench.now_ms += 1_000 * seconds
        assert bench.admitted(ADD, 4_500) == units


def test_threads_that_write_at_once_get_no_more_than_there_is(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        admitted = sum(pool.map(lambda _: bench.admitted(ADD, 150), range(8)))
    assert (admitted, bench.throttle.throttled) == (1000, 200)
    assert bench.memory.items == {KEY: {"n": 1000}}


def test_operations_side_by_side_do_not_all_pass_on_the_last_unit(bench: Bench) -> None:
    bench.leave(write_units=2)
    outcomes = bench.throttle.execute((ADD,) * 5, timeout_ms=100)
    assert [is_throttled(outcome) for outcome in outcomes] == [False, False, True, True, True]


# --- what it costs ---------------------------------------------------------------------------------


def test_a_failed_condition_costs_as_much_as_a_write(bench: Bench) -> None:
    refused = Update(KEY, (Add("n", 1),), ItemExists())
    assert bench.execute(refused) == Refused(None)
    assert bench.admitted(refused, 1000) == 999


def test_a_large_item_costs_its_kilobytes(bench: Bench) -> None:
    assert bench.admitted(Put(KEY, kilobytes(5)), 300) == 200


def test_what_is_let_through_runs_into_debt_that_the_next_waits_for(bench: Bench) -> None:
    bench.leave(write_units=1)
    assert bench.admitted(Put(NEIGHBOUR, kilobytes(5)), 1) == 1
    for _ in range(4):
        bench.now_ms += 1
        assert bench.admitted(ADD, 1) == 0
    bench.now_ms += 1
    assert bench.admitted(ADD, 2) == 1


def test_a_transaction_costs_two_units_an_item(bench: Bench) -> None:
    actions = (ADD, Check(NEIGHBOUR, ItemAbsent()))
    outcomes = [bench.execute(Transact(actions, str(number))) for number in range(251)]
    assert [is_throttled(outcome) for outcome in outcomes] == [False] * 250 + [True]


def test_a_transaction_with_one_hot_partition_is_throttled_whole_and_pays_nothing(bench: Bench) -> None:
    bench.leave(write_units=0)
    outcome = bench.execute(Transact((Put(OTHER, {"n": 1}), ADD), "token"))
    assert is_throttled(outcome)
    assert bench.memory.items == {KEY: {"n": 1000}}
    assert bench.admitted(Update(OTHER, (Add("n", 1),)), 1001) == 1000
    bench.now_ms += 2
    assert bench.execute(Transact((Put(OTHER, {"n": 1}), ADD), "token")) == Applied(None)


def test_an_index_entry_is_paid_for_by_the_partition_of_the_index(bench: Bench) -> None:
    keys = [Key(str(number), "s") for number in range(1001)]
    outcomes = [bench.execute(Put(key, {**ENTITY, "GSI1SK": key.pk})) for key in keys]
    assert [is_throttled(outcome) for outcome in outcomes] == [False] * 1000 + [True]
    assert keys[-1] not in bench.memory.items
    assert bench.admitted(Update(keys[0], (Set("name", "x"),)), 1) == 1
    assert bench.admitted(Delete(keys[0]), 1) == 0
    assert bench.admitted(Update(Key("PARENT#a", "s"), (Add("n", 1),)), 1) == 1


def test_a_refused_write_leaves_the_index_its_units(bench: Bench) -> None:
    for number in range(1001):
        assert bench.execute(Put(Key(str(number), "s"), ENTITY, ItemExists())) == Refused(None)
    assert bench.admitted(Put(KEY, ENTITY), 1) == 1


def test_what_dynamodb_rejects_costs_nothing(bench: Bench) -> None:
    bench.memory.execute((Put(KEY, {"n": "text"}),), timeout_ms=100)
    assert bench.admitted(ADD, 1500) == 1500


def test_what_no_store_could_execute_raises_and_costs_nothing(bench: Bench) -> None:
    bench.leave(write_units=1)
    for _ in range(2):
        with pytest.raises(ValueError, match="two changes of one attribute"):
            bench.execute(Update(KEY, (Add("n", 1), Set("n", 1))))
        with pytest.raises(ValueError, match="token has 1 to"):
            bench.execute(Transact((ADD,), ""))
    assert bench.admitted(ADD, 2) == 1


# --- reads -----------------------------------------------------------------------------------------


def test_a_batch_reads_and_pays_for_what_it_may_and_fails_for_the_rest(bench: Bench) -> None:
    bench.leave(read_units=1)
    batch = BatchGet((KEY, NEIGHBOUR, OTHER, KEY))
    assert is_throttled(bench.execute(batch))
    assert is_throttled(bench.execute(batch))
    assert bench.admitted(Get(OTHER), 3000) == 2998
    bench.now_ms += 1000
    assert bench.execute(batch) == Found({KEY: {"n": 1000}})
    assert bench.admitted(Get(KEY), 3000) == 2998


def test_a_key_that_is_throttled_is_never_taken_for_an_item_that_is_not_there(bench: Bench) -> None:
    bench.execute(Put(KEY, {"n": 1}))
    assert bench.admitted(Get(KEY), 3000) == 3000
    assert is_throttled(bench.execute(BatchGet((KEY, OTHER))))
    assert is_throttled(bench.execute(BatchGet((KEY,))))


def test_a_page_is_read_whole_on_the_last_unit_and_its_cost_is_debt(bench: Bench) -> None:
    for number in range(10):
        bench.execute(Put(Key("p", str(number)), kilobytes(4)))
    bench.leave(write_units=40, read_units=1)
    assert bench.admitted(Query("p"), 1) == 1
    bench.now_ms += 3
    assert bench.admitted(Get(KEY), 1) == 0
    bench.now_ms += 1
    assert bench.admitted(Get(KEY), 4) == 3


def test_an_index_is_read_from_its_own_partition_at_half_the_price(bench: Bench) -> None:
    assert bench.admitted(Query("p", in_index=True), 6001) == 6000
    assert bench.admitted(Query("p"), 1) == 1


def test_a_scan_is_never_throttled(bench: Bench) -> None:
    bench.leave(write_units=0, read_units=0)
    assert bench.admitted(Scan(0, 1, "", "n", limit=9), 10) == 10


# --- with others -----------------------------------------------------------------------------------


def test_a_meter_around_it_bills_no_unit_for_what_is_throttled(bench: Bench) -> None:
    meter = Meter()
    repository = MeteredRepository(bench.throttle, meter)
    for _ in range(1200):
        repository.execute((ADD,), timeout_ms=100)
    assert meter.kinds == {"Update": Usage(1200, write_units=1000)}
    assert meter.round_trips == 1200


def test_partitions_that_are_full_again_are_forgotten(bench: Bench) -> None:
    for number in range(30_000):
        bench.execute(Update(Key(str(number), "s"), (Add("n", 1),)))
        bench.now_ms += 1
    assert len(bench.throttle._tats) < 10_000


def test_a_throttled_limiter_says_so_and_admits_what_it_counted(bench: Bench) -> None:
    limiter = Limiter(bench.throttle, clock=lambda: bench.now_ms)
    limiter.set_limits("key-1", [Limit.per_day("rpd", 1_500)], resource="gpt-4")
    key = schema.bucket_key("key-1", "gpt-4")

    def acquired(attempts: int) -> int:
        granted = 0
        for _ in range(attempts):
            try:
                limiter.acquire("key-1", "gpt-4", {"rpd": 1})
            except StoreThrottled:
                continue
            granted += 1
        return granted

    # The transaction that creates the bucket costs its partition two units, every other grant one.
    assert acquired(1_200) == 1 + 998
    assert bench.memory.items[key][schema.used_attribute("rpd")] == 999
    bench.now_ms += 1_000
    assert acquired(501) == 501
    assert limiter.available("key-1", "gpt-4")["rpd"].available == 0


def test_a_throttled_acquire_is_allowed_where_the_limiter_was_told_to(bench: Bench) -> None:
    limiter = Limiter(bench.throttle, clock=lambda: bench.now_ms, on_unavailable="allow")
    limits = [Limit.per_day("rpd", 1_500)]
    leases = [limiter.acquire("key-1", "gpt-4", {"rpd": 1}, limits=limits) for _ in range(1_001)]
    assert [lease.degraded for lease in leases] == [False] * 999 + [True] * 2


def test_a_write_under_a_condition_is_judged_after_the_throttle(bench: Bench) -> None:
    bench.leave(write_units=1)
    claim = Update(KEY, (Set("r", "id"),), Equals("n", 999))
    assert bench.execute(claim) == Applied({"n": 999, "r": "id"})
    assert is_throttled(bench.execute(claim))
