"""Flows side by side: their round trips become one, their errors stay their own."""

from __future__ import annotations

import pytest

from leasegate import StoreThrottled
from leasegate.errors import LeasegateError, LeaseNotFound
from leasegate.flows.abreast import abreast
from leasegate.operations import (
    Applied,
    BatchGet,
    Failed,
    Flow,
    Found,
    Key,
    Operation,
    Outcome,
    Query,
    Set,
    Update,
)
from leasegate.repository.memory import MemoryRepository


def key(name: str) -> Key:
    return Key(f"BUCKET#{name}#r", "#STATE")


def write(*names: str) -> Flow[list[str]]:
    """Write items, each in a round trip of its own; return their names as the table has them."""
    written = []
    for name in names:
        (outcome,) = yield (Update(key(name), (Set("name", name),)),)
        assert isinstance(outcome, Applied)
        assert outcome.item is not None
        written.append(str(outcome.item["name"]))
    return written


def read(*names: str) -> Flow[list[object]]:
    """Read items at once; return what is in them, None for one that is not there."""
    (outcome,) = yield (BatchGet(tuple([key(name) for name in names])),)
    assert isinstance(outcome, Found)
    return [outcome.items[key(name)]["name"] if key(name) in outcome.items else None for name in names]


def fail(trips: int) -> Flow[list[str]]:
    """Fail after some round trips."""
    for number in range(trips):
        yield from write(f"failing-{number}")
    raise LeaseNotFound("of its own")


def drive[T](flow: Flow[T], repository: MemoryRepository) -> tuple[T, list[tuple[Operation, ...]]]:
    """Run a flow; return its answer, and its round trips."""
    trips: list[tuple[Operation, ...]] = []
    try:
        operations = next(flow)
        while True:
            trips.append(operations)
            operations = flow.send(repository.execute(operations, timeout_ms=0))
    except StopIteration as end:
        return end.value, trips


def sizes(trips: list[tuple[Operation, ...]]) -> list[int]:
    return [len(operations) for operations in trips]


@pytest.fixture
def repository() -> MemoryRepository:
    return MemoryRepository()


def test_there_are_as_many_round_trips_as_the_longest_makes(repository: MemoryRepository) -> None:
    ended, trips = drive(abreast([write("a"), write("b", "c", "d"), write("e", "f")]), repository)
    assert ended == [["a"], ["b", "c", "d"], ["e", "f"]]
    assert sizes(trips) == [3, 2, 1]


def test_no_flows_make_no_round_trip(repository: MemoryRepository) -> None:
    assert drive(abreast([]), repository) == ([], [])


def test_a_flow_that_asks_nothing_answers_all_the_same(repository: MemoryRepository) -> None:
    ended, trips = drive(abreast([write(), write("a"), write()]), repository)
    assert ended == [[], ["a"], []]
    assert sizes(trips) == [1]


@pytest.mark.parametrize("failing_after", [0, 1, 2])
def test_an_error_of_one_is_none_of_the_others(repository: MemoryRepository, failing_after: int) -> None:
    flows: list[Flow[list[str]]] = [write("a", "b"), fail(failing_after), write("c", "d", "e")]
    ended, trips = drive(abreast(flows), repository)
    assert ended[0] == ["a", "b"]
    assert isinstance(ended[1], LeaseNotFound)
    assert ended[2] == ["c", "d", "e"]
    assert len(trips) == 3


def test_a_mistake_of_the_program_is_not_an_answer(repository: MemoryRepository) -> None:
    def broken() -> Flow[list[str]]:
        yield from write("a")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        drive(abreast([broken(), write("b")]), repository)


def test_each_flow_gets_its_own_outcomes_in_its_own_order(repository: MemoryRepository) -> None:
    def mixed(*names: str) -> Flow[list[str]]:
        updates = [Update(key(name), (Set("name", name),)) for name in names]
        outcomes = yield (updates[0], BatchGet((key(names[0]),)), Query(key(names[1]).pk), updates[1])
        return [_described(outcome) for outcome in outcomes]

    ended, trips = drive(abreast([mixed("a", "b"), write("c"), mixed("d", "e")]), repository)
    assert ended == [["a", "Found", "Page", "b"], ["c"], ["d", "Found", "Page", "e"]]
    assert sizes(trips) == [1 + 3 + 1 + 3]


def _described(outcome: Outcome) -> str:
    return str((outcome.item or {})["name"]) if isinstance(outcome, Applied) else type(outcome).__name__


def test_reads_in_batches_become_one_that_reads_every_item_once(repository: MemoryRepository) -> None:
    drive(write("a", "b"), repository)
    ended, trips = drive(abreast([read("a", "b"), read("b", "c"), write("d"), read("b")]), repository)
    assert ended == [["a", "b"], ["b", None], ["d"], ["b"]]
    ((batch, update),) = trips
    assert batch == BatchGet((key("a"), key("b"), key("c")))
    assert isinstance(update, Update)


def test_a_read_that_may_lag_does_not_answer_for_one_that_may_not(repository: MemoryRepository) -> None:
    def glance(name: str) -> Flow[bool]:
        (outcome,) = yield (BatchGet((key(name),), is_consistent=False),)
        return isinstance(outcome, Found) and key(name) in outcome.items

    drive(write("a"), repository)
    flows: list[Flow[object]] = [glance("a"), read("a"), glance("b"), read("a")]
    ended, trips = drive(abreast(flows), repository)
    assert ended == [True, ["a"], False, ["a"]]
    assert sizes(trips) == [3]


def test_a_read_that_fails_fails_for_all_who_wait_for_it() -> None:
    def try_to_read(name: str) -> Flow[str]:
        (outcome,) = yield (BatchGet((key(name),)),)
        assert isinstance(outcome, Failed)
        raise outcome.error

    flow = abreast([try_to_read("a"), try_to_read("b")])
    assert next(flow) == (BatchGet((key("a"), key("b"))),)
    with pytest.raises(StopIteration) as end:
        flow.send((Failed(StoreThrottled("too many")),))
    answers: list[str | LeasegateError] = end.value.value
    assert [type(answer) for answer in answers] == [StoreThrottled, StoreThrottled]
