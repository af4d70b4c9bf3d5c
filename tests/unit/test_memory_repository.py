"""The memory repository's semantics, one by one; the parity test compares them all with DynamoDB's."""

import threading
from collections.abc import Mapping
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
    Check,
    Condition,
    Equals,
    Exists,
    Failed,
    Found,
    Item,
    ItemAbsent,
    ItemExists,
    Key,
    NotEquals,
    NotExists,
    Operation,
    Outcome,
    Put,
    Refused,
    Remove,
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
