"""Applying a file to a table, and reading the table as a file: both ways, interrupted or not."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings

from leasegate import Limit, Limiter
from leasegate.declaration import (
    Desired,
    Plan,
    Report,
    apply_plan,
    export_table,
    parse,
    plan_changes,
    read_present,
    write,
)
from leasegate.declaration.changes import FinishChanges
from leasegate.errors import EntityIsBeingDeleted, StoreError, StoreUnavailable
from leasegate.operations import Failed, Operation, Outcome
from leasegate.repository.memory import MemoryRepository
from tests.declarations import declarations

FILE = """
system: {rpm: 60/minute}
resources:
  gpt-4: {limits: {tpm: 10000/minute}, disabled: true}
entities:
  project-1: {name: Project one, metadata: {team: a}, limits: {"*": {tpm: 100000/minute}}}
  key-1: {parent: project-1, disabled: [gpt-3], limits: {gpt-4: {rpm: 1/day}, gpt-3: {rpm: 2/day}}}
  key-2: {parent: key-1, disabled: true}
"""


class Unsteady:
    """A table that stops answering after some round trips, or never."""

    def __init__(self, answers: int | None = None) -> None:
        self.answers = answers
        self._memory = MemoryRepository()
        self._lock = threading.Lock()

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        with self._lock:
            if self.answers == 0:
                return tuple([Failed(StoreUnavailable("no answer")) for _ in operations])
            if self.answers is not None:
                self.answers -= 1
        return self._memory.execute(operations, timeout_ms=timeout_ms)


def plan_of(limiter: Limiter, desired: Desired, *, prune: bool = False) -> Plan:
    return plan_changes(desired, read_present(limiter, desired, prune=prune), prune=prune)


def apply(limiter: Limiter, desired: Desired, *, prune: bool = False) -> Report:
    return apply_plan(limiter, plan_of(limiter, desired, prune=prune))


@pytest.fixture
def limiter() -> Limiter:
    return Limiter(MemoryRepository())


@settings(max_examples=60, deadline=None)
@given(declarations())
def test_what_was_applied_differs_no_more_and_exports_to_the_same(desired: Desired) -> None:
    limiter, copy = Limiter(MemoryRepository()), Limiter(MemoryRepository())

    assert apply(limiter, desired).is_complete
    assert not plan_of(limiter, desired)
    exported = parse(write(export_table(limiter)))
    assert not plan_of(limiter, exported, prune=True)
    assert apply(copy, exported).is_complete
    assert export_table(copy) == exported


def test_an_entity_that_only_has_limits_or_a_state_is_exported_too(limiter: Limiter) -> None:
    limiter.set_limits("limited", [Limit.per_day("rpm", 5)], "gpt-4")
    limiter.disable_entity("disabled", "gpt-4")

    exported = export_table(limiter)

    assert exported == parse("entities: {disabled: {disabled: [gpt-4]}, limited: {limits: {gpt-4: {rpm: 5/day}}}}")
    assert not plan_of(limiter, exported, prune=True)


def test_an_export_has_all_pages_of_all_levels(limiter: Limiter) -> None:
    entities = [f"  top-{number:04}: {{}}" for number in range(1_100)]
    entities += [f"  child-{number}: {{parent: top-0003}}" for number in range(150)]
    desired = parse("entities:\n" + "\n".join(entities))

    apply(limiter, desired)
    seen = []
    exported = export_table(limiter, progress=lambda done, total: seen.append((done, total)))

    assert set(exported.entities) == set(desired.entities)
    assert seen[-1] == (1_250, 1_250)


@pytest.mark.parametrize("answers", range(0, 60, 3))
def test_an_apply_that_was_interrupted_anywhere_is_finished_by_the_next(answers: int) -> None:
    store = Unsteady()
    limiter = Limiter(store, timeout_ms=0)
    desired = parse(FILE)
    plan = plan_of(limiter, desired)

    store.answers = answers
    first = apply_plan(limiter, plan)
    store.answers = None
    second = apply(limiter, desired)

    assert len(first.done) + len(first.failed) + len(first.left) == len(plan.changes)
    assert all(isinstance(failed.error, StoreError) for failed in first.failed)
    assert second.is_complete
    assert export_table(limiter) == export_table(applied(FILE))


def applied(text: str) -> Limiter:
    limiter = Limiter(MemoryRepository())
    assert apply(limiter, parse(text)).is_complete
    return limiter


def test_where_the_table_does_not_answer_nothing_more_is_begun() -> None:
    store = Unsteady()
    limiter = Limiter(store, timeout_ms=0)
    plan = plan_of(limiter, parse("entities:\n" + "\n".join([f"  e-{number}: {{}}" for number in range(100)])))

    store.answers = 0
    report = apply_plan(limiter, plan, threads=4)

    assert 1 <= len(report.failed) <= 4
    assert len(report.failed) + len(report.left) == 100


def test_a_refused_change_ends_the_changes_of_its_entity_and_no_others(limiter: Limiter) -> None:
    limiter.create_entity("gone")
    plan = plan_of(limiter, parse("entities: {gone: {name: G, limits: {a: {rpm: 1/day}}}, stays: {name: S}}"))
    times = iter([10_000, 0])
    assert not limiter.delete_entity("gone", time_left_ms=lambda: next(times)).is_complete

    report = apply_plan(limiter, plan)

    assert [change.path for change in report.done] == ["entities.stays"]
    assert [(failed.change.path, type(failed.error)) for failed in report.failed] == [
        ("entities.gone", EntityIsBeingDeleted)
    ]
    assert [change.path for change in report.left] == ["entities.gone.limits.a"]


def test_an_entity_that_is_being_deleted_is_neither_equal_nor_exported(limiter: Limiter) -> None:
    limiter.create_entity("gone")
    times = iter([10_000, 0])
    limiter.delete_entity("gone", time_left_ms=lambda: next(times))

    assert export_table(limiter) == Desired()
    assert not apply(limiter, parse("entities: {gone: {}}")).is_complete


def test_a_move_waits_for_another_that_makes_room_for_it(limiter: Limiter) -> None:
    apply(limiter, parse("entities: {z: {}, a: {}, b: {parent: a}, c: {parent: b}, d: {parent: c}}"))

    # Before d is gone from below it, a with b and c under z is too deep.
    report = apply(limiter, parse("entities: {z: {}, a: {parent: z}, d: {parent: z}}"))

    assert report.is_complete
    assert limiter.get_entity("a").parent_id == limiter.get_entity("d").parent_id == "z"


def test_a_parent_and_its_child_change_places(limiter: Limiter) -> None:
    apply(limiter, parse("entities: {a: {}, b: {parent: a}, c: {parent: b}}"))

    assert apply(limiter, parse("entities: {b: {parent: null}, a: {parent: b}}")).is_complete
    assert limiter.get_entity("a").parent_id == "b"


def test_apply_finishes_a_change_of_which_not_every_bucket_was_told() -> None:
    store = Unsteady()
    limiter = Limiter(store, timeout_ms=0)
    day = Limit.per_day("rpm", 5)
    limiter.create_entity("key-1")
    limiter.set_limits("key-1", [day])
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    desired = parse("entities: {key-1: {limits: {'*': {rpm: 3/day}}}}")
    plan = plan_of(limiter, desired)
    answers = 0
    while not limiter.get_entity(
        "key-1"
    ).has_pending_changes:  # as soon as the write, but not the telling, goes through
        answers += 1
        assert answers < 10
        store.answers = answers
        apply_plan(limiter, plan)
        store.answers = None

    unfinished = plan_of(limiter, desired)
    report = apply_plan(limiter, unfinished)

    assert unfinished.changes == (FinishChanges("key-1"),)
    assert report.is_complete
    assert not limiter.get_entity("key-1").has_pending_changes


def test_only_what_is_mentioned_is_read(limiter: Limiter) -> None:
    apply(limiter, parse(FILE))

    present = read_present(limiter, parse("entities: {key-1: {parent: project-1}}"))

    assert present.system == ()
    assert present.resources == {}
    assert list(present.entities) == ["key-1"]
    assert present.parents == {"project-1"}
    assert set(read_present(limiter, Desired(), prune=True).resources) == {"gpt-4"}


def test_progress_is_told_of_reading_and_of_changes(limiter: Limiter) -> None:
    read: list[tuple[int, int]] = []
    made: list[tuple[int, int]] = []

    desired = parse(FILE)
    plan = plan_changes(desired, read_present(limiter, desired, progress=lambda *count: read.append(count)))
    apply_plan(limiter, plan, progress=lambda *count: made.append(count))

    assert read == [(done, 4) for done in range(1, 5)]
    assert made == [(done, len(plan.changes)) for done in range(1, len(plan.changes) + 1)]
