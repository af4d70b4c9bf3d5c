"""What operations cost, by the rules of DynamoDB's price list."""

import pytest

from leasegate.errors import StoreThrottled, StoreUnavailable
from leasegate.metering import Meter, Usage
from leasegate.operations import (
    Add,
    BatchGet,
    Below,
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
    Put,
    Query,
    Remove,
    Scan,
    Set,
    Transact,
    Update,
    Value,
)
from leasegate.repository.memory import MemoryRepository
from leasegate.repository.sizes import item_size, value_size

KEY = Key("p", "s")
OTHER = Key("q", "s")
KEY_BYTES = len("PK") + len("SK") + 2
ENTITY: Item = {"GSI1PK": "PARENT#a", "GSI1SK": "ENTITY#b"}


class Bench:
    """A table in memory and the meter that watches it."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.repository = MemoryRepository(observer=self.meter)

    def cost(self, *operations: Operation) -> Usage:
        """Execute one round trip and return what it alone cost."""
        self.meter.reset()
        self.repository.execute(operations, timeout_ms=100)
        return self.meter.total


@pytest.fixture
def bench() -> Bench:
    return Bench()


def of_bytes(size: int) -> Item:
    """Build an item that has this size together with the key ``KEY``."""
    return {"x": "." * (size - KEY_BYTES - 1)}


# --- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (None, 1),
        (True, 1),
        ("", 0),
        ("abc", 3),
        ("é€", 5),
        (0, 1),
        (7, 2),
        (-7, 3),
        (12, 2),
        (123, 3),
        (1200, 2),
        (12300, 3),
        (10**12, 2),
        (10**38 - 1, 20),
        (1 - 10**38, 21),
        ((), 3),
        ((1, "abc"), 3 + 1 + 2 + 1 + 3),
        ({}, 3),
        ({"ab": 1}, 3 + 1 + 2 + 2),
        (frozenset({"ab", "c"}), 3),
    ],
)
def test_a_value_has_the_size_that_the_developer_guide_gives(value: Value, size: int) -> None:
    assert value_size(value) == size


def test_an_items_size_counts_its_key_and_all_names() -> None:
    assert item_size(Key("ab", "c"), {"née": "x", "n": 1}) == 2 + 2 + 2 + 1 + 4 + 1 + 1 + 2


# --- writes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "units"), [(10, 1), (1024, 1), (1025, 2), (2049, 3)])
def test_a_write_costs_a_unit_for_each_kilobyte_begun(bench: Bench, size: int, units: int) -> None:
    item = of_bytes(size)
    assert item_size(KEY, item) == size
    assert bench.cost(Put(KEY, item)) == Usage(1, write_units=units)


def test_a_write_is_billed_by_the_larger_of_the_item_before_and_after(bench: Bench) -> None:
    bench.cost(Put(KEY, of_bytes(1500)))
    assert bench.cost(Update(KEY, (Set("x", ""),))).write_units == 2
    assert bench.cost(Update(KEY, (Set("x", "."),))).write_units == 1
    assert bench.cost(Update(KEY, (Set("y", "." * 3000),))).write_units == 3


def test_a_failed_condition_costs_what_the_write_would_have(bench: Bench) -> None:
    assert bench.cost(Update(KEY, (Add("n", 1),), ItemExists())).write_units == 1
    assert bench.cost(Put(KEY, of_bytes(1500), ItemExists())).write_units == 2
    bench.cost(Put(KEY, of_bytes(1500)))
    assert bench.cost(Update(KEY, (Remove("x"),), ItemAbsent())).write_units == 2
    assert bench.cost(Update(KEY, (Set("y", "." * 3000),), ItemAbsent())).write_units == 5


def test_a_failed_condition_never_touches_the_index(bench: Bench) -> None:
    assert bench.cost(Put(KEY, ENTITY, ItemExists())).write_units == 1


def test_the_index_costs_a_write_when_its_entry_comes_or_goes_and_two_when_it_moves(bench: Bench) -> None:
    assert bench.cost(Put(KEY, ENTITY)).write_units == 2
    assert bench.cost(Update(KEY, (Set("name", "x"),))).write_units == 1
    assert bench.cost(Update(KEY, (Set("GSI1PK", "PARENT#c"),))).write_units == 3
    assert bench.cost(Update(KEY, (Set("GSI1PK", "PARENT#c"),))).write_units == 1
    assert bench.cost(Update(KEY, (Remove("GSI1PK"),))).write_units == 2
    assert bench.cost(Update(KEY, (Remove("GSI1SK"),))).write_units == 1


def test_an_entity_never_seen_before_pays_no_index_write_for_other_attributes() -> None:
    repository = MemoryRepository()
    repository.execute((Put(KEY, ENTITY),), timeout_ms=100)
    meter = Meter()
    update = Update(KEY, (Set("name", "x"),))
    meter((update,), repository.execute((update,), timeout_ms=100), 0, 0)
    assert meter.write_units == 1


def test_a_deletion_costs_what_the_item_weighed_and_one_unit_where_there_is_none(bench: Bench) -> None:
    assert bench.cost(Delete(KEY)) == Usage(1, write_units=1)
    bench.cost(Put(KEY, of_bytes(1500)))
    assert bench.cost(Delete(KEY, ItemAbsent())).write_units == 2
    assert bench.cost(Delete(KEY, ItemExists())).write_units == 2
    assert bench.cost(Delete(KEY)).write_units == 1


def test_a_deletion_takes_the_index_entry_with_it(bench: Bench) -> None:
    bench.cost(Put(KEY, ENTITY))
    assert bench.cost(Delete(KEY, ItemAbsent())).write_units == 1
    assert bench.cost(Delete(KEY)).write_units == 2
    assert bench.cost(Put(KEY, ENTITY)).write_units == 2


# --- transactions ----------------------------------------------------------------------------------


def test_a_transaction_costs_twice_for_each_action(bench: Bench) -> None:
    actions = (Put(KEY, of_bytes(1500)), Update(OTHER, (Add("n", 1),)), Check(Key("c", "s"), ItemAbsent()))
    assert bench.cost(Transact(actions, "token")) == Usage(1, write_units=4 + 2 + 2)


def test_a_cancelled_transaction_costs_as_much(bench: Bench) -> None:
    actions = (Put(KEY, of_bytes(1500)), Check(OTHER, ItemExists()))
    assert bench.cost(Transact(actions, "token")).write_units == 4 + 2


def test_a_transaction_pays_the_index_once(bench: Bench) -> None:
    assert bench.cost(Transact((Put(KEY, ENTITY), Put(OTHER, {})), "token")).write_units == 2 + 2 + 1


def test_a_transactions_update_is_sized_by_what_was_seen_of_its_item(bench: Bench) -> None:
    bench.cost(Put(KEY, of_bytes(1500)))
    update = Update(KEY, (Set("y", "." * 1000),))
    assert bench.cost(Transact((update,), "one")).write_units == 2 * 3
    assert bench.cost(Transact((Check(KEY, ItemExists()),), "two")).write_units == 2 * 3


def test_a_deletion_in_a_transaction_costs_twice_and_its_index_entry_once(bench: Bench) -> None:
    bench.cost(Put(KEY, {**ENTITY, "x": "." * 1500}))
    assert bench.cost(Transact((Delete(KEY), Delete(OTHER)), "token")).write_units == 2 * 2 + 1 + 2
    assert bench.cost(Transact((Delete(KEY),), "another")).write_units == 2


def test_what_a_transaction_deleted_is_known_to_be_gone(bench: Bench) -> None:
    bench.cost(Transact((Delete(KEY),), "one"))
    bench.cost(Transact((Update(KEY, (Set("x", "." * 1500),)),), "two"))
    assert bench.cost(Transact((Check(KEY, ItemExists()),), "three")).write_units == 2 * 2


# --- reads -----------------------------------------------------------------------------------------


def test_a_consistent_read_costs_a_unit_for_each_four_kilobytes_of_each_key(bench: Bench) -> None:
    bench.cost(Put(KEY, of_bytes(4097)), Put(OTHER, {}))
    keys = (KEY, OTHER, Key("missing", "s"))
    assert bench.cost(BatchGet(keys)) == Usage(1, read_units=2 + 1 + 1)


def test_a_key_asked_for_twice_is_read_once(bench: Bench) -> None:
    assert bench.cost(BatchGet((KEY, KEY))) == Usage(1, read_units=1)


@pytest.mark.parametrize(("keys", "calls"), [(0, 0), (1, 1), (100, 1), (101, 2), (250, 3)])
def test_a_long_batch_is_a_call_for_each_hundred_keys(bench: Bench, keys: int, calls: int) -> None:
    batch = BatchGet(tuple(Key(str(number), "s") for number in range(keys)))
    assert bench.cost(batch) == Usage(calls, read_units=keys)
    assert bench.meter.round_trips == 1


def test_what_was_read_sizes_the_next_write() -> None:
    repository = MemoryRepository()
    repository.execute((Put(KEY, of_bytes(1500)),), timeout_ms=100)
    meter = Meter()
    for operation in (BatchGet((KEY,)), Update(KEY, (Remove("x"),))):
        meter.reset()
        meter((operation,), repository.execute((operation,), timeout_ms=100), 0, 0)
    assert meter.write_units == 2


def test_one_item_costs_a_unit_for_each_four_kilobytes_and_half_of_it_without_consistency(bench: Bench) -> None:
    bench.cost(Put(KEY, of_bytes(4097)))
    assert bench.cost(Get(KEY)) == Usage(1, read_units=2)
    assert bench.cost(Get(KEY, is_consistent=False)) == Usage(1, read_units=1)
    assert bench.cost(Get(OTHER)) == Usage(1, read_units=1)
    assert bench.cost(Get(OTHER, is_consistent=False)) == Usage(1, read_units=0.5)
    assert bench.cost(BatchGet((KEY, OTHER), is_consistent=False)) == Usage(1, read_units=1.5)


def test_units_are_whole_numbers_as_long_as_no_read_costs_a_half(bench: Bench) -> None:
    bench.cost(Put(KEY, of_bytes(4097)))
    assert type(bench.cost(Get(KEY), Get(KEY, is_consistent=False), Query("p")).read_units) is int


def test_a_read_that_may_lag_does_not_unsettle_what_was_seen_before(bench: Bench) -> None:
    bench.cost(Put(KEY, of_bytes(1500)))
    bench.meter((Get(KEY, is_consistent=False),), (Found({}),), 0, 0)
    assert bench.cost(Delete(KEY)).write_units == 2


def test_a_query_costs_the_sum_of_its_items_rounded_up_once(bench: Bench) -> None:
    for number in range(10):
        bench.cost(Put(Key("p", str(number)), of_bytes(1000)))
    assert bench.cost(Query("p")) == Usage(1, read_units=3)
    assert bench.cost(Query("p", limit=1)) == Usage(1, read_units=1)
    assert bench.cost(Query("nothing")) == Usage(1, read_units=1)


def test_a_query_of_the_index_costs_half_and_only_for_what_the_index_holds(bench: Bench) -> None:
    for number in range(100):
        bench.cost(Put(Key("p", str(number)), {**ENTITY, "GSI1SK": f"{number:040}", "x": "." * 1000}))
    entry = item_size(Key("p", "1"), {**ENTITY, "GSI1SK": "." * 40})
    assert 4096 < 100 * entry < 8192
    assert bench.cost(Query("PARENT#a", in_index=True)) == Usage(1, read_units=1)
    assert bench.cost(Query("PARENT#a", in_index=True, limit=1)) == Usage(1, read_units=0.5)
    assert bench.cost(Query("nothing", in_index=True)) == Usage(1, read_units=0.5)


def test_an_index_entry_is_not_taken_for_its_item(bench: Bench) -> None:
    bench.cost(Put(KEY, {**ENTITY, "x": "." * 1500}))
    bench.cost(Query("PARENT#a", in_index=True))
    assert bench.cost(Update(KEY, (Remove("x"),))).write_units == 2


def test_what_a_query_or_a_single_read_found_sizes_the_next_write() -> None:
    for read in (Query("p"), Get(KEY), Get(KEY, is_consistent=False)):
        repository = MemoryRepository()
        repository.execute((Put(KEY, of_bytes(1500)),), timeout_ms=100)
        meter = Meter()
        for operation in (read, Delete(KEY)):
            meter.reset()
            meter((operation,), repository.execute((operation,), timeout_ms=100), 0, 0)
        assert meter.write_units == 2


def test_a_scan_costs_what_it_looks_at_whatever_it_finds(bench: Bench) -> None:
    for number in range(9):
        bench.cost(Put(Key("p", str(number)), of_bytes(1000 + 100 * number)))
    assert bench.cost(Scan(0, 1, "p", "x", limit=99)) == Usage(1, read_units=4)
    assert bench.cost(Scan(0, 1, "p", "nothing", limit=99)) == Usage(1, read_units=4)
    assert bench.cost(Scan(0, 1, "p", "x", limit=3)) == Usage(1, read_units=2)


def test_a_scan_of_what_was_never_seen_takes_each_item_for_a_kilobyte() -> None:
    repository = MemoryRepository()
    repository.execute(tuple(Put(Key("p", str(number)), {}) for number in range(9)), timeout_ms=100)
    meter = Meter()
    for scan in (Scan(0, 1, "", "n", limit=99), Scan(0, 1, "nothing", "n", limit=3)):
        meter((scan,), repository.execute((scan,), timeout_ms=100), 0, 0)
    assert meter.kinds == {"Scan": Usage(2, read_units=3 + 1)}


def test_a_scan_of_nothing_costs_a_unit(bench: Bench) -> None:
    assert bench.cost(Scan(0, 1, "", "n", limit=9)) == Usage(1, read_units=1)


# --- failures --------------------------------------------------------------------------------------


def test_a_throttled_call_is_a_call_and_costs_nothing() -> None:
    meter = Meter()
    meter((Put(KEY, {}),), (Failed(StoreThrottled("busy")),), 0, 0)
    meter((BatchGet((KEY,)),), (Failed(StoreThrottled("busy")),), 0, 0)
    meter((Transact((Put(KEY, {}),), "token"),), (Failed(StoreThrottled("busy")),), 0, 0)
    for operation in (Get(KEY), Query("p"), Scan(0, 1, "", "n", limit=9), Delete(KEY)):
        meter((operation,), (Failed(StoreThrottled("busy")),), 0, 0)
    assert (meter.round_trips, meter.total) == (7, Usage(7))


def test_what_may_have_been_applied_is_billed_as_though_it_was() -> None:
    meter = Meter()
    lost = Failed(StoreUnavailable("lost", maybe_applied=True))
    meter((Put(KEY, ENTITY), Transact((Put(OTHER, {}),), "token")), (lost, lost), 0, 0)
    assert meter.write_units == 2 + 2


# --- totals ----------------------------------------------------------------------------------------


def test_a_round_trip_counts_once_however_many_operations_it_has(bench: Bench) -> None:
    bench.repository.execute(
        (Update(KEY, (Add("n", 1),), Below("n", 1)), Put(OTHER, {}, Equals("n", 1)), BatchGet((KEY, OTHER))),
        timeout_ms=100,
    )
    meter = bench.meter
    assert (meter.round_trips, meter.calls, meter.read_units, meter.write_units) == (1, 3, 2, 2)
    assert meter.kinds == {
        "Update": Usage(1, write_units=1),
        "Put": Usage(1, write_units=1),
        "BatchGet": Usage(1, read_units=2),
    }
