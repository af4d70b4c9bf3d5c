"""The memory repository's semantics, one by one; the parity test compares them all with DynamoDB's."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum, StrEnum

import pytest

from leasegate.errors import StoreError
from leasegate.operations import (
    Add,
    AllOf,
    AnyOf,
    Applied,
    AtLeast,
    AtMost,
    BatchGet,
    Below,
    Between,
    Cancelled,
    Change,
    Check,
    Condition,
    Delete,
    Discard,
    Equals,
    Exists,
    Failed,
    Found,
    Get,
    Initialize,
    Item,
    ItemAbsent,
    ItemExists,
    Key,
    NotEquals,
    NotExists,
    Operation,
    Outcome,
    Page,
    Position,
    Put,
    Query,
    Refused,
    Remove,
    Scan,
    Set,
    Transact,
    Update,
    Value,
)
from leasegate.repository import Observer
from leasegate.repository.memory import MemoryRepository

KEY = Key("BUCKET#a#b", "#STATE")
OTHER = Key("BUCKET#c#d", "#STATE")


def repository_with(item: Item, key: Key = KEY) -> MemoryRepository:
    repository = MemoryRepository()
    answer(repository, Put(key, item))
    return repository


def answer(repository: MemoryRepository, operation: Operation) -> Outcome:
    (outcome,) = repository.execute((operation,), timeout_ms=100)
    return outcome


def test_an_update_creates_the_item_that_it_does_not_find() -> None:
    repository = MemoryRepository()
    outcome = answer(repository, Update(KEY, (Add("n", 2), Set("at", 7), Remove("x"))))
    assert outcome == Applied({"n": 2, "at": 7})
    assert repository.items == {KEY: {"n": 2, "at": 7}}


def test_a_refused_write_returns_the_item_that_refused_it_and_changes_nothing() -> None:
    repository = repository_with({"n": 1})
    assert answer(repository, Update(KEY, (Add("n", 1),), Below("n", 1))) == Refused({"n": 1})
    assert answer(repository, Put(KEY, {"n": 9}, ItemAbsent())) == Refused({"n": 1})
    assert answer(repository, Put(OTHER, {"n": 9}, ItemExists())) == Refused(None)
    assert repository.items == {KEY: {"n": 1}}


def test_adding_to_numbers_and_sets_starts_from_nothing() -> None:
    repository = repository_with({"n": -5, "s": frozenset({"x"})})
    outcome = answer(
        repository,
        Update(KEY, (Add("n", 3), Add("m", -1), Add("s", frozenset({"y"})), Add("t", frozenset({"z"})))),
    )
    assert outcome == Applied({"n": -2, "m": -1, "s": frozenset({"x", "y"}), "t": frozenset({"z"})})


@pytest.mark.parametrize(
    ("old", "addend"),
    [("text", 1), (True, 1), (None, 1), (1, frozenset({"x"})), (frozenset({"x"}), 1), (10**38 - 1, 1)],
)
def test_what_dynamodb_cannot_add_fails_as_an_outcome_and_changes_nothing(
    old: Value, addend: int | frozenset[str]
) -> None:
    repository = repository_with({"x": old})
    outcome = answer(repository, Update(KEY, (Set("y", 1), Add("x", addend))))
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is StoreError
    assert repository.items == {KEY: {"x": old}}


def test_an_initial_value_is_given_to_an_attribute_that_has_none() -> None:
    repository = repository_with({"n": None})
    assert answer(repository, Update(KEY, (Initialize("n", 1), Initialize("m", 2)))) == Applied(
        {"n": None, "m": 2}
    )
    assert answer(repository, Update(OTHER, (Initialize("n", 1),))) == Applied({"n": 1})


def test_members_taken_out_of_a_set_leave_the_others_and_the_last_takes_the_set_with_it() -> None:
    repository = repository_with({"s": frozenset({"x", "y"})})
    discard = Update(KEY, (Discard("s", frozenset({"x", "z"})), Discard("t", frozenset({"x"}))))
    assert answer(repository, discard) == Applied({"s": frozenset({"y"})})
    assert answer(repository, Update(KEY, (Discard("s", frozenset({"y"})),))) == Applied({})


@pytest.mark.parametrize("old", ["x", 1, None, ("x",), {"x": 1}])
def test_taking_members_out_of_what_is_no_set_fails_and_changes_nothing(old: Value) -> None:
    repository = repository_with({"s": old})
    outcome = answer(repository, Update(KEY, (Set("y", 1), Discard("s", frozenset({"x"})))))
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is StoreError
    assert repository.items == {KEY: {"s": old}}


@pytest.mark.parametrize("change", [Remove("n"), Discard("s", frozenset({"x"}))])
def test_taking_from_an_item_that_is_not_there_leaves_an_empty_one_as_in_dynamodb_local(change: Change) -> None:
    repository = MemoryRepository()
    assert answer(repository, Update(KEY, (change,))) == Applied({})
    assert repository.items == {KEY: {}}


def test_a_deleted_item_is_gone_and_deleting_it_again_succeeds() -> None:
    repository = repository_with({"n": 1})
    assert answer(repository, Delete(KEY, Equals("n", 1))) == Applied(None)
    assert repository.items == {}
    assert answer(repository, Delete(KEY)) == Applied(None)


def test_a_refused_deletion_returns_the_item_that_refused_it_and_deletes_nothing() -> None:
    repository = repository_with({"n": 1})
    assert answer(repository, Delete(KEY, Equals("n", 2))) == Refused({"n": 1})
    assert answer(repository, Delete(OTHER, ItemExists())) == Refused(None)
    assert repository.items == {KEY: {"n": 1}}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (ItemExists(), True),
        (ItemAbsent(), False),
        (Exists("n"), True),
        (Exists("nothing"), False),
        (NotExists("nothing"), True),
        (NotExists("n"), False),
        (Equals("n", 1), True),
        (Equals("n", True), False),
        (Equals("flag", 1), False),
        (Equals("flag", True), True),
        (Equals("null", None), True),
        (Equals("nothing", None), False),
        (Equals("list", (1, True)), True),
        (Equals("list", (1, 1)), False),
        (Equals("map", {"a": {"b": 1}}), True),
        (Equals("map", {"a": {"b": True}}), False),
        (Equals("map", {"a": {"b": 1}, "c": 1}), False),
        (Equals("set", frozenset({"y", "x"})), True),
        (NotEquals("n", 1), False),
        (NotEquals("n", True), True),
        (NotEquals("nothing", 1), True),
        (Below("n", 2), True),
        (Below("n", 1), False),
        (Below("nothing", 1), False),
        (Below("text", 1), False),
        (Below("flag", 2), False),
        (AtMost("n", 1), True),
        (AtMost("n", 0), False),
        (AtLeast("n", 1), True),
        (AtLeast("n", 2), False),
        (AtLeast("nothing", -1), False),
        (Between("n", 1, 1), True),
        (Between("n", 2, 3), False),
        (Between("n", 2, 0), False),
        (Between("nothing", -1, 1), False),
        (AllOf((Exists("n"), Equals("n", 1))), True),
        (AllOf((Exists("n"), Equals("n", 2))), False),
        (AnyOf((NotExists("n"), Equals("n", 1))), True),
        (AnyOf((NotExists("n"), Equals("n", 2))), False),
    ],
)
def test_conditions_mean_what_they_mean_to_dynamodb(condition: Condition, expected: bool) -> None:
    item: Item = {
        "n": 1,
        "text": "1",
        "flag": True,
        "null": None,
        "list": (1, True),
        "map": {"a": {"b": 1}},
        "set": frozenset({"x", "y"}),
    }
    outcome = answer(repository_with(item), Update(KEY, (Set("at", 1),), condition))
    assert isinstance(outcome, Applied if expected else Refused)


@pytest.mark.parametrize("condition", [NotExists("n"), NotEquals("n", 1), AllOf((NotExists("n"), ItemAbsent()))])
def test_an_absent_item_has_no_attributes(condition: Condition) -> None:
    assert isinstance(answer(MemoryRepository(), Update(KEY, (Set("at", 1),), condition)), Applied)


@pytest.mark.parametrize("condition", [Exists("n"), Equals("n", None), Below("n", 1), ItemExists()])
def test_an_absent_item_refuses_without_an_item(condition: Condition) -> None:
    assert answer(MemoryRepository(), Update(KEY, (Set("at", 1),), condition)) == Refused(None)


def test_a_transaction_applies_all_of_its_actions() -> None:
    repository = repository_with({"n": 1})
    actions = (
        Update(KEY, (Add("n", 1),), Equals("n", 1)),
        Put(OTHER, {"m": 1}),
        Check(Key("x", "y"), ItemAbsent()),
    )
    assert answer(repository, Transact(actions, "token")) == Applied(None)
    assert repository.items == {KEY: {"n": 2}, OTHER: {"m": 1}}


def test_a_transaction_deletes_with_all_of_its_actions_or_not_at_all() -> None:
    repository = repository_with({"n": 1})
    refused = Transact((Delete(KEY, ItemExists()), Delete(OTHER, ItemExists())), "one")
    assert answer(repository, refused) == Cancelled((None, Refused(None)))
    assert repository.items == {KEY: {"n": 1}}
    assert answer(repository, Transact((Delete(KEY, ItemExists()), Put(OTHER, {})), "two")) == Applied(None)
    assert repository.items == {OTHER: {}}


def test_a_cancelled_transaction_changes_nothing_and_says_which_action_refused() -> None:
    repository = repository_with({"n": 1})
    actions = (
        Put(OTHER, {"m": 1}),
        Update(KEY, (Add("n", 1),), Equals("n", 2)),
        Check(Key("x", "y"), ItemExists()),
    )
    assert answer(repository, Transact(actions, "token")) == Cancelled((None, Refused({"n": 1}), Refused(None)))
    assert repository.items == {KEY: {"n": 1}}


def test_a_transaction_repeated_under_its_token_is_applied_once() -> None:
    repository = MemoryRepository()
    transaction = Transact((Update(KEY, (Add("n", 1),)),), "token")
    assert answer(repository, transaction) == answer(repository, transaction) == Applied(None)
    assert repository.items == {KEY: {"n": 1}}


def test_a_token_used_for_other_actions_fails() -> None:
    repository = MemoryRepository()
    answer(repository, Transact((Update(KEY, (Add("n", 1),)),), "token"))
    outcome = answer(repository, Transact((Update(KEY, (Add("n", 2),)),), "token"))
    assert isinstance(outcome, Failed)
    assert repository.items == {KEY: {"n": 1}}


def test_a_cancelled_transaction_may_be_tried_again_under_its_token() -> None:
    repository = MemoryRepository()
    transaction = Transact((Put(OTHER, {"m": 1}), Check(KEY, ItemExists())), "token")
    assert isinstance(answer(repository, transaction), Cancelled)
    answer(repository, Put(KEY, {"n": 1}))
    assert answer(repository, transaction) == Applied(None)


def test_a_batch_holds_the_items_that_exist_and_no_others() -> None:
    repository = repository_with({"n": 1})
    assert answer(repository, BatchGet((KEY, OTHER, KEY))) == Found({KEY: {"n": 1}})


@pytest.mark.parametrize("is_consistent", [True, False])
def test_one_item_is_found_or_not(is_consistent: bool) -> None:
    repository = repository_with({"n": 1})
    assert answer(repository, Get(KEY, is_consistent)) == Found({KEY: {"n": 1}})
    assert answer(repository, Get(OTHER, is_consistent)) == Found({})


# --- pages -----------------------------------------------------------------------------------------


def repository_of(items: Mapping[Key, Item]) -> MemoryRepository:
    repository = MemoryRepository()
    for key, item in items.items():
        answer(repository, Put(key, item))
    return repository


def page(repository: MemoryRepository, operation: Query | Scan) -> Page:
    outcome = answer(repository, operation)
    assert isinstance(outcome, Page)
    return outcome


def sort_keys(repository: MemoryRepository, query: Query) -> list[str]:
    return [key.sk for key, _ in page(repository, query).items]


AUDIT = {Key("AUDIT#a", sk): {"at": sk} for sk in ("2", "10", "1#b", "1#a")}


def test_a_query_lists_its_partition_alone_in_the_order_of_the_sort_keys() -> None:
    repository = repository_of({**AUDIT, Key("AUDIT#b", "0"): {}, Key("AUDIT#", "0"): {}})
    assert sort_keys(repository, Query("AUDIT#a")) == ["1#a", "1#b", "10", "2"]
    assert sort_keys(repository, Query("AUDIT#a", newest_first=True)) == ["2", "10", "1#b", "1#a"]
    assert page(repository, Query("AUDIT#a", "2")) == Page(((Key("AUDIT#a", "2"), {"at": "2"}),), None, 1)


def test_sort_keys_are_ordered_by_their_bytes_in_utf_8() -> None:
    names = ["z", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{REPLACEMENT CHARACTER}", "\N{GRINNING FACE}"]
    repository = repository_of({Key("p", name): {} for name in reversed(names)})
    assert sort_keys(repository, Query("p")) == names == sorted(names, key=str.encode)


def test_a_query_reads_only_sort_keys_that_begin_with_the_prefix() -> None:
    repository = repository_of(AUDIT)
    assert sort_keys(repository, Query("AUDIT#a", "1#")) == ["1#a", "1#b"]
    assert page(repository, Query("AUDIT#a", "3")) == Page((), None, 0)


@pytest.mark.parametrize(
    ("newest_first", "pages"), [(False, [["1#a", "1#b"], ["10"]]), (True, [["10", "1#b"], ["1#a"]])]
)
def test_a_query_goes_on_where_its_last_page_ended(newest_first: bool, pages: list[list[str]]) -> None:
    query = Query("AUDIT#a", "1", limit=2, newest_first=newest_first)
    repository = repository_of(AUDIT)
    first = page(repository, query)
    second = page(repository, replace(query, after=first.next))
    assert [[key.sk for key, _ in each.items] for each in (first, second)] == pages
    assert [first.scanned, second.scanned] == [2, 1]
    assert second.next is None


def test_a_page_goes_on_after_an_item_that_is_no_longer_there() -> None:
    repository = repository_of(AUDIT)
    after = Position(Key("AUDIT#a", "1#aa"))
    assert sort_keys(repository, Query("AUDIT#a", after=after)) == ["1#b", "10", "2"]
    assert sort_keys(repository, Query("AUDIT#a", after=after, newest_first=True)) == ["1#a"]


def test_a_full_page_names_a_next_one_even_where_nothing_follows() -> None:
    repository = repository_of(AUDIT)
    last = page(repository, Query("AUDIT#a", limit=4))
    assert last.next == Position(Key("AUDIT#a", "2"))
    assert page(repository, Query("AUDIT#a", limit=4, after=last.next)) == Page((), None, 0)
    assert page(repository, Query("AUDIT#a", limit=5)).next is None


def child(parent: str, name: str) -> Item:
    return {"GSI1PK": parent, "GSI1SK": name, "n": 1}


def test_the_index_lists_what_carries_both_of_its_keys_and_hands_out_nothing_else() -> None:
    a, b, c, d = (Key(f"ENTITY#{name}", "#META") for name in "abcd")
    repository = repository_of(
        {a: child("P", "2"), b: child("P", "1"), c: child("Q", "1"), d: {"GSI1PK": "P"}, KEY: {"GSI1SK": "1"}}
    )
    entries = ((b, {"GSI1PK": "P", "GSI1SK": "1"}), (a, {"GSI1PK": "P", "GSI1SK": "2"}))
    assert page(repository, Query("P", in_index=True)) == Page(entries, None, 2)
    assert page(repository, Query("P", "2", in_index=True)) == Page(entries[1:], None, 1)
    assert page(repository, Query("P")) == Page((), None, 0)


def test_the_index_goes_on_among_entries_of_one_sort_key() -> None:
    keys = [Key(f"ENTITY#{name}", "#META") for name in "abc"]
    repository = repository_of({key: child("P", "same") for key in keys})
    for newest_first in (False, True):
        query = Query("P", limit=1, in_index=True, newest_first=newest_first)
        found: list[Key] = []
        for _ in keys:
            read = page(repository, query)
            found += [key for key, _ in read.items]
            assert read.next == Position(found[-1], "same")
            query = replace(query, after=read.next)
        assert sorted(found) == keys


def test_a_deleted_item_is_in_the_index_no_longer() -> None:
    repository = repository_of({KEY: child("P", "1")})
    answer(repository, Delete(KEY))
    assert page(repository, Query("P", in_index=True)) == Page((), None, 0)


@pytest.mark.parametrize(
    "operation",
    [
        Query("p", after=Position(Key("q", "s"))),
        Query("p", "s", after=Position(Key("p", "r"))),
        Query("p", after=Position(Key("p", "s"), "x")),
        Query("p", in_index=True, after=Position(Key("p", "s"))),
        Query("p", "s", in_index=True, after=Position(Key("p", "s"), "r")),
        Scan(0, 2, "", "n", limit=9, after=Position(Key("p", "s"))),  # which is in the other
    ],
)
def test_a_page_cannot_begin_outside_of_what_is_asked_for(operation: Query | Scan) -> None:
    outcome = answer(MemoryRepository(), operation)
    assert isinstance(outcome, Failed)
    assert type(outcome.error) is StoreError


def test_a_scan_finds_the_keys_of_items_by_prefix_and_attribute_and_counts_the_others() -> None:
    repository = repository_of({KEY: {"n": 1}, OTHER: {"m": 1}, Key("ENTITY#a", "#META"): {"n": 1}})
    assert page(repository, Scan(0, 1, "BUCKET#", "n", limit=9)) == Page(((KEY, {}),), None, 3)


def test_a_scans_limit_counts_what_is_looked_at() -> None:
    repository = repository_of({Key("a", "1"): {}, Key("a", "2"): {"n": 1}})
    first = page(repository, Scan(0, 1, "", "n", limit=1))
    assert first == Page((), Position(Key("a", "1")), 1)
    second = page(repository, Scan(0, 1, "", "n", limit=1, after=first.next))
    assert second == Page(((Key("a", "2"), {}),), Position(Key("a", "2")), 1)
    assert page(repository, Scan(0, 1, "", "n", limit=1, after=second.next)) == Page((), None, 0)


def test_segments_share_the_table_out_by_partitions_and_alike_in_every_process() -> None:
    keys = [Key(f"BUCKET#{number}", sk) for number in range(50) for sk in ("a", "b")]
    repository = repository_of({key: {"n": 1} for key in keys})
    segments = [page(repository, Scan(segment, 3, "", "n", limit=999)) for segment in range(3)]
    assert sorted(key for each in segments for key, _ in each.items) == sorted(keys)
    partitions = [{key.pk for key, _ in each.items} for each in segments]
    assert sum(map(len, partitions)) == 50
    homes = [number for name in range(8) for number in range(3) if f"BUCKET#{name}" in partitions[number]]
    assert homes == [1, 2, 2, 0, 2, 1, 0, 1]


# --- values ----------------------------------------------------------------------------------------


def test_an_item_handed_out_does_not_change_with_later_writes() -> None:
    repository = repository_with({"n": 1})
    before = answer(repository, BatchGet((KEY,)))
    answer(repository, Update(KEY, (Add("n", 1),)))
    assert before == Found({KEY: {"n": 1}})


def test_an_item_put_does_not_change_with_the_callers_mapping() -> None:
    inner: dict[str, Value] = {"a": 1}
    outer: dict[str, Value] = {"map": inner}
    repository = repository_with(outer)
    inner["a"] = 2
    outer["more"] = 1
    assert repository.items == {KEY: {"map": {"a": 1}}}


def test_enumerations_are_stored_as_plain_values() -> None:
    class Word(StrEnum):
        ONE = "one"

    class Number(IntEnum):
        ONE = 1

    repository = repository_with({"word": Word.ONE, "number": Number.ONE})
    stored: Mapping[str, Value] = repository.items[KEY]
    assert [type(value) for value in stored.values()] == [str, int]
    assert isinstance(answer(repository, Update(KEY, (Add("number", 1),), Equals("word", Word.ONE))), Applied)


def test_an_expired_item_is_gone() -> None:
    repository = repository_with({"n": 1})
    repository.delete(KEY)
    repository.delete(KEY)
    assert repository.items == {}


def test_a_view_of_the_items_is_the_callers_own() -> None:
    repository = repository_with({"n": 1})
    before = repository.items
    repository.delete(KEY)
    assert before == {KEY: {"n": 1}}


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (Update(KEY, ()), ValueError),
        (Update(KEY, (Set("n", 1), Add("n", 1))), ValueError),
        (Update(KEY, (Set("PK", "x"),)), ValueError),
        (Put(KEY, {"SK": "x"}), ValueError),
        (Put(KEY, {"n": 1.5}), TypeError),  # type: ignore[dict-item]
        (Put(KEY, {"n": (1, {"a": [1]})}), TypeError),  # type: ignore[dict-item]
        (Put(KEY, {"s": frozenset()}), ValueError),
        (Put(KEY, {"n": 10**38}), ValueError),
        (Update(KEY, (Add("n", True),)), TypeError),
        (Update(KEY, (Set("n", 1),), AllOf(())), ValueError),
        (Update(KEY, (Set("n", 1),), AnyOf(())), ValueError),
        (Transact((), "token"), ValueError),
        (Transact((Put(KEY, {}), Check(KEY, ItemAbsent())), "token"), ValueError),
        (Transact((Put(KEY, {}),), ""), ValueError),
        (Transact((Put(KEY, {}),), "x" * 37), ValueError),
        (Check(KEY, ItemAbsent()), TypeError),
        (Update(KEY, (Initialize("n", 1.5),)), TypeError),  # type: ignore[arg-type]
        (Update(KEY, (Discard("s", frozenset()),)), ValueError),
        (Update(KEY, (Discard("s", {"x"}),)), TypeError),  # type: ignore[arg-type]
        (Query(""), ValueError),
        (Query("p", limit=0), ValueError),
        (Scan(0, 0, "", "n", limit=9), ValueError),
        (Scan(2, 2, "", "n", limit=9), ValueError),
        (Scan(-1, 2, "", "n", limit=9), ValueError),
        (Scan(0, 1, "", "n", limit=0), ValueError),
        (Scan(0, 1, "", "SK", limit=9), ValueError),
        (Scan(0, 1, "", "", limit=9), ValueError),
    ],
)
def test_what_no_store_could_execute_is_a_mistake_of_the_program(
    operation: Operation, error: type[Exception]
) -> None:
    with pytest.raises(error):
        answer(MemoryRepository(), operation)


def test_the_observer_sees_every_round_trip_once() -> None:
    seen: list[tuple[tuple[Operation, ...], tuple[Outcome, ...]]] = []

    def observe(
        operations: tuple[Operation, ...], outcomes: tuple[Outcome, ...], start_ns: int, end_ns: int
    ) -> None:
        assert 0 < start_ns <= end_ns
        seen.append((operations, outcomes))

    repository = MemoryRepository(observer=observe)
    operations = (Put(KEY, {"n": 1}), BatchGet((OTHER,)))
    outcomes = repository.execute(operations, timeout_ms=100)
    assert seen == [(operations, outcomes)]
    assert outcomes == (Applied({"n": 1}), Found({}))


class Gate(dict[str, Value]):
    """A value that another thread has time to pass while it is compared."""

    def __init__(self, passed: threading.Event) -> None:
        super().__init__(a=1)
        self.reached = threading.Event()
        self.passed = passed
        self.was_passed = False

    def __getitem__(self, name: str) -> Value:
        self.reached.set()
        self.was_passed = self.passed.wait(timeout=0.2)
        return super().__getitem__(name)


@pytest.mark.parametrize("observer", [None, lambda *_round_trip: None])
def test_nothing_comes_between_a_condition_and_its_write(observer: Observer | None) -> None:
    repository = MemoryRepository(observer=observer)
    answer(repository, Put(KEY, {"n": 1, "map": {"a": 1}}))
    passed = threading.Event()
    gate = Gate(passed)

    def add_when_the_gate_is_reached() -> None:
        gate.reached.wait(timeout=10)
        answer(repository, Update(KEY, (Add("n", 1),)))
        passed.set()

    other = threading.Thread(target=add_when_the_gate_is_reached)
    other.start()
    answer(repository, Update(KEY, (Add("n", 1),), Equals("map", gate)))
    other.join()
    assert not gate.was_passed
    assert repository.items[KEY]["n"] == 3
