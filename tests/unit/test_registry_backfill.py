"""The registry and its backfill in memory: what they do, and that nothing leads them astray meanwhile."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leasegate import Limit, schema
from leasegate.administration import Administrator
from leasegate.administration.resources import SHORTEST_STEP_MS
from leasegate.errors import Conflict, InvalidRequest, StoreThrottled
from leasegate.flows.backfill import Pace, Progress, take_step
from leasegate.flows.checkpoint import Plan, report_complete
from leasegate.operations import (
    Add,
    Applied,
    BatchGet,
    Delete,
    Discard,
    Failed,
    Flow,
    Get,
    Item,
    Key,
    Operation,
    Outcome,
    Put,
    Scan,
    Transact,
    Update,
)
from leasegate.records import BackfillReport, ResourceRecord
from leasegate.repository.memory import MemoryRepository
from leasegate.session import ANSWER_MARGIN_MS

RPM: Final = Limit.per_minute("rpm", 60)
OLD: Final = tuple(f"old-{number}" for number in range(7))
"""Resources whose defaults are older than the registry."""
LISTED: Final = ("listed-0", "listed-1")
GONE: Final = ("gone-0", "gone-1", "vanished")
"""Names in the registry whose defaults are gone: no item, a tombstone, an item that is only disabled."""

SMALL: Final = Pace(page_items=4, surveyed_names=3, written_names=2)
PLAN: Final = Plan(prune=True, segments=2)


@pytest.fixture
def memory() -> MemoryRepository:
    return old_table()


@pytest.fixture
def administrator(memory: MemoryRepository) -> Administrator:
    return Administrator(memory)


def old_table() -> MemoryRepository:
    """Return a table with old defaults, and much else that is none."""
    memory = MemoryRepository()
    limits = {schema.STORED_LIMITS: schema.render_limits({"rpm": RPM}), schema.STORED_VERSION: 1}
    for name in (*OLD, *LISTED):
        write(memory, schema.resource_defaults_key(name), limits)
    write(memory, schema.registry_key(), {schema.REGISTRY_RESOURCES: frozenset({*LISTED, *GONE})})
    write(memory, schema.resource_defaults_key("gone-1"), {schema.STORED_VERSION: 5, schema.EXPIRES_AT: 9})
    for name in ("vanished", "only-disabled"):
        write(memory, schema.resource_defaults_key(name), {schema.DISABLED_AT: 5})
    write(memory, schema.resource_defaults_key("tombstone"), {schema.STORED_VERSION: 5, schema.EXPIRES_AT: 9})
    write(memory, schema.system_defaults_key(), limits)
    write(memory, schema.entity_limits_key("key-1", "gpt-4"), limits)
    write(memory, Key("RESOURCE#gpt-4", "#LIMITS#"), limits)
    write(memory, Key("RESOURCE#", "#LIMITS"), limits)
    return memory


def write(memory: MemoryRepository, key: Key, item: Item) -> None:
    assert isinstance(memory.execute((Put(key, item),), timeout_ms=1)[0], Applied)


def registry_of(memory: MemoryRepository) -> set[str]:
    item = memory.items.get(schema.registry_key(), {})
    return set(cast("frozenset[str]", item.get(schema.REGISTRY_RESOURCES, frozenset())))


def defaults_in(memory: MemoryRepository) -> set[str]:
    names = [schema.resource_of_defaults(key) for key, item in memory.items.items() if "limits" in item]
    return {name for name in names if name}


class Killed(BaseException):
    """The process ended here."""


class Watched:
    """A repository that shows every round trip to the test, which may interfere before it or after it."""

    def __init__(
        self,
        memory: MemoryRepository,
        before: Callable[[tuple[Operation, ...]], None] = lambda _: None,
        after: Callable[[tuple[Operation, ...]], None] = lambda _: None,
    ) -> None:
        self.trips: list[tuple[Operation, ...]] = []
        self.timeouts_ms: list[int] = []
        self._memory = memory
        self._before = before
        self._after = after

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        self.trips.append(operations)
        self.timeouts_ms.append(timeout_ms)
        self._before(operations)
        outcomes = self._memory.execute(operations, timeout_ms=timeout_ms)
        self._after(operations)
        return outcomes

    def operations(self, kind: type[Operation]) -> list[Operation]:
        return [operation for trip in self.trips for operation in trip if isinstance(operation, kind)]


class Backfill:
    """One process that backfills, a round trip at a time."""

    def __init__(self, memory: MemoryRepository, name: str, plan: Plan = PLAN, pace: Pace = SMALL) -> None:
        self.reports: list[BackfillReport] = []
        self._memory = memory
        self._plan = plan
        self._pace = pace
        self._attempts = (f"{name}.{number}" for number in itertools.count())
        self.kill()

    def kill(self) -> None:
        """Forget everything but the table."""
        self._progress: Progress | None = None
        self._flow: Flow[Progress] | None = None

    def trip(self) -> None:
        """Make one round trip, and begin again after the end."""
        if self._flow is None:
            self._flow = take_step(self._plan, self._progress, next(self._attempts), self._pace)
            self._operations = next(self._flow)
        outcomes = self._memory.execute(self._operations, timeout_ms=1)
        try:
            self._operations = self._flow.send(outcomes)
        except StopIteration as answer:
            progress: Progress = answer.value
            if progress.is_complete:
                self.reports.append(report_complete(progress.checkpoint))
            self._flow, self._progress = None, None if progress.is_complete else progress

    def finish(self) -> BackfillReport:
        """Go on to the end."""
        seen = len(self.reports)
        for _ in range(1_000):
            if len(self.reports) > seen:
                return self.reports[-1]
            self.trip()
        raise AssertionError("the backfill does not end")


# --- the registry ----------------------------------------------------------------------------------


def test_a_table_without_a_registry_lists_nothing() -> None:
    assert Administrator(MemoryRepository()).list_resources_with_defaults() == []


def test_resources_are_listed_in_order_while_they_have_defaults() -> None:
    administrator = Administrator(MemoryRepository())
    for name in ("tts", "gpt-4", "images"):
        administrator.set_resource_defaults(name, [RPM])
    assert administrator.list_resources_with_defaults() == ["gpt-4", "images", "tts"]
    administrator.delete_resource_defaults("images")
    administrator.set_resource_defaults("tts", [RPM])
    assert administrator.list_resources_with_defaults() == ["gpt-4", "tts"]


@pytest.mark.parametrize("is_consistent", [True, False])
def test_a_list_is_one_read_and_need_not_be_consistent(memory: MemoryRepository, is_consistent: bool) -> None:
    watched = Watched(memory)
    Administrator(watched).list_resources_with_defaults(consistent=is_consistent)
    assert watched.trips == [(Get(schema.registry_key(), is_consistent),)]


def test_a_resource_shows_its_defaults_and_whether_it_is_disabled(memory: MemoryRepository) -> None:
    administrator = Administrator(memory, clock=lambda: 7_000)
    assert administrator.get_resource("old-0") == ResourceRecord("old-0", (RPM,), None)
    assert administrator.get_resource("unheard-of") == ResourceRecord("unheard-of", (), None)
    assert administrator.get_resource("tombstone") == ResourceRecord("tombstone", (), None)
    assert administrator.get_resource("only-disabled") == ResourceRecord("only-disabled", (), 5)
    administrator.disable_resource("old-0")
    assert administrator.get_resource("old-0") == ResourceRecord("old-0", (RPM,), 7_000)


# --- what a backfill does --------------------------------------------------------------------------


def test_old_defaults_are_listed(memory: MemoryRepository, administrator: Administrator) -> None:
    items = len(memory.items)
    report = administrator.backfill_registry()
    assert registry_of(memory) == {*OLD, *LISTED, *GONE}
    assert report == BackfillReport("complete", items + 1, found=9, added=7, removed=0, checkpoint=None)


def test_names_without_defaults_are_taken_out_on_demand(
    memory: MemoryRepository, administrator: Administrator
) -> None:
    report = administrator.backfill_registry(prune=True)
    assert registry_of(memory) == {*OLD, *LISTED} == defaults_in(memory)
    assert (report.found, report.added, report.removed) == (9, 7, 3)


def test_a_dry_run_counts_and_changes_nothing(memory: MemoryRepository, administrator: Administrator) -> None:
    before = memory.items
    report = administrator.backfill_registry(dry_run=True, prune=True)
    assert (report.status, report.found, report.added, report.removed) == ("complete", 9, 7, 3)
    assert memory.items == before


def test_a_dry_run_writes_nothing_but_its_checkpoint(memory: MemoryRepository) -> None:
    watched = Watched(memory)
    Administrator(watched).backfill_registry(dry_run=True, prune=True)
    writes = [
        operation
        for trip in watched.trips
        for operation in trip
        if not isinstance(operation, Get | Scan | BatchGet)
    ]
    assert {type(operation) for operation in writes} == {Put, Delete}
    assert {cast("Put", operation).key for operation in writes} == {schema.backfill_key()}


@pytest.mark.parametrize("prune", [False, True])
def test_a_second_run_changes_nothing(memory: MemoryRepository, administrator: Administrator, prune: bool) -> None:
    administrator.backfill_registry(prune=prune)
    before = memory.items
    report = administrator.backfill_registry(prune=prune)
    assert (report.status, report.found, report.added, report.removed) == ("complete", 9, 0, 0)
    assert memory.items == before


def test_the_backfill_of_an_empty_table_ends() -> None:
    memory = MemoryRepository()
    report = Administrator(memory).backfill_registry(prune=True, segments=32)
    assert report == BackfillReport("complete", 1, 0, 0, 0, checkpoint=None)  # its own checkpoint
    assert not memory.items


@pytest.mark.parametrize("segments", [1, 3, 32])
def test_any_number_of_segments_finds_the_same(memory: MemoryRepository, segments: int) -> None:
    report = Backfill(memory, "a", Plan(prune=True, segments=segments)).finish()
    assert (report.found, report.added, report.removed) == (9, 7, 3)
    assert registry_of(memory) == defaults_in(memory)


def test_more_names_than_a_transaction_takes_are_added_and_removed() -> None:
    memory = MemoryRepository()
    names = {f"resource-{number}" for number in range(250)}
    for name in names:
        write(memory, schema.resource_defaults_key(name), {schema.STORED_LIMITS: {}, schema.STORED_VERSION: 1})
    assert Administrator(memory).backfill_registry(segments=1).added == 250
    assert registry_of(memory) == names
    for name in names:
        memory.delete(schema.resource_defaults_key(name))
    assert Administrator(memory).backfill_registry(prune=True).removed == 250
    assert schema.registry_key() in memory.items
    assert registry_of(memory) == set()


def test_every_transaction_has_a_token_of_its_own(memory: MemoryRepository) -> None:
    tokens: list[str] = []
    for _ in range(3):
        watched = Watched(memory)
        Administrator(watched).backfill_registry(prune=True)
        tokens += [cast("Transact", each).token for each in watched.operations(Transact)]
        write(memory, schema.registry_key(), {})
    assert len(set(tokens)) == len(tokens) == 4  # of the first run two, for only then there is something to remove
    assert all(len(token) <= 36 for token in tokens)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("dry_run", {"dry_run": "false"}),
        ("dry_run", {"dry_run": 1}),
        ("prune", {"prune": None}),
        ("segments", {"segments": 0}),
        ("segments", {"segments": 33}),
        ("segments", {"segments": 4.0}),
        ("segments", {"segments": True}),
    ],
)
def test_a_wrong_option_is_named(memory: MemoryRepository, field: str, options: dict[str, Any]) -> None:
    watched = Watched(memory)
    with pytest.raises(InvalidRequest) as refusal:
        Administrator(watched).backfill_registry(**options)
    assert refusal.value.field == field
    assert not watched.trips


# --- what happens meanwhile ------------------------------------------------------------------------


def just_before_the_first_transaction(action: Callable[[], object]) -> Callable[[tuple[Operation, ...]], None]:
    """Return an observer that acts once: when everything was read, and nothing written."""
    actions = [action]

    def observe(operations: tuple[Operation, ...]) -> None:
        if isinstance(operations[0], Transact) and actions:
            actions.pop()()

    return observe


def test_a_default_deleted_after_it_was_scanned_is_not_added(
    memory: MemoryRepository, administrator: Administrator
) -> None:
    watched = Watched(
        memory, just_before_the_first_transaction(lambda: administrator.delete_resource_defaults("old-3"))
    )
    report = Administrator(watched).backfill_registry()
    assert registry_of(memory) == {*OLD, *LISTED, *GONE} - {"old-3"}
    assert report.added == 6


def test_a_default_set_after_the_scan_stays_listed(memory: MemoryRepository, administrator: Administrator) -> None:
    def set_two() -> None:
        administrator.set_resource_defaults("old-3", [RPM])
        administrator.set_resource_defaults("new", [RPM])

    watched = Watched(memory, just_before_the_first_transaction(set_two))
    Administrator(watched).backfill_registry()
    assert registry_of(memory) == {*OLD, *LISTED, *GONE, "new"}


def test_a_default_set_after_its_name_was_found_without_any_is_not_taken_out(
    memory: MemoryRepository, administrator: Administrator
) -> None:
    administrator.backfill_registry()
    watched = Watched(
        memory, just_before_the_first_transaction(lambda: administrator.set_resource_defaults("gone-1", [RPM]))
    )
    report = Administrator(watched).backfill_registry(prune=True)
    assert registry_of(memory) == {*OLD, *LISTED, "gone-1"} == defaults_in(memory)
    assert report.removed == 2


def test_names_that_are_all_refused_are_all_dropped(
    memory: MemoryRepository, administrator: Administrator
) -> None:
    def delete_all() -> None:
        for name in OLD:
            administrator.delete_resource_defaults(name)

    watched = Watched(memory, just_before_the_first_transaction(delete_all))
    report = Administrator(watched).backfill_registry()
    assert (report.status, report.added) == ("complete", 0)
    assert registry_of(memory) == {*LISTED, *GONE}


# --- two at once, and options that differ ----------------------------------------------------------


def test_two_backfills_in_step_share_the_work_and_count_it_once(memory: MemoryRepository) -> None:
    both = Backfill(memory, "a"), Backfill(memory, "b")
    while not (both[0].reports and both[1].reports):
        for each in both:
            if not each.reports:
                each.trip()
    assert registry_of(memory) == defaults_in(memory)
    reports = [each.reports[0] for each in both]
    assert (7, 3) in [(report.added, report.removed) for report in reports]
    # The other one saw the same run's end, or began one of its own, in which there was nothing left to do.
    assert {(report.added, report.removed) for report in reports} <= {(7, 3), (0, 0)}
    assert schema.backfill_key() not in memory.items


def test_other_options_start_anew(memory: MemoryRepository) -> None:
    first = Backfill(memory, "a", Plan(dry_run=True, segments=2))
    for _ in range(6):
        first.trip()
    assert schema.backfill_key() in memory.items
    report = Backfill(memory, "b", Plan(segments=3)).finish()
    assert (report.found, report.added) == (9, 7)
    assert registry_of(memory) == {*OLD, *LISTED, *GONE}


def test_a_run_whose_place_was_taken_says_so_and_leaves_the_other_alone(memory: MemoryRepository) -> None:
    first, second = Backfill(memory, "a"), Backfill(memory, "b", Plan(dry_run=True, segments=3))
    for _ in range(5):
        first.trip()
    for _ in range(2):
        second.trip()
    with pytest.raises(Conflict):
        first.finish()
    report = second.finish()
    assert report.found == 9


def test_a_run_that_is_over_leaves_the_one_alone_that_took_its_place(memory: MemoryRepository) -> None:
    first = Backfill(memory, "a")
    while not is_over(memory):
        first.trip()
    second = Backfill(memory, "b", Plan(dry_run=True, segments=3))
    for _ in range(2):
        second.trip()
    before = checkpoint_of(memory)
    assert first.finish().added == 7
    assert checkpoint_of(memory) == before


def test_who_stood_still_while_others_ended_and_began_does_not_write_over_them(memory: MemoryRepository) -> None:
    slow = Backfill(memory, "slow")
    for _ in range(4):  # it has read the checkpoint's second version and a page, and is about to write
        slow.trip()
    version = checkpoint_of(memory)[schema.BACKFILL_VERSION]
    assert Backfill(memory, "fast").finish().added == 7
    third = Backfill(memory, "third")
    while schema.backfill_key() not in memory.items or checkpoint_of(memory)[schema.BACKFILL_VERSION] != version:
        third.trip()
    assert [slow.finish().added, third.finish().added] == [0, 0]


def is_over(memory: MemoryRepository) -> bool:
    """Tell whether only the checkpoint's removal is left to do."""
    item = memory.items.get(schema.backfill_key())
    return item is not None and not item[schema.BACKFILL_POSITIONS] and item[schema.BACKFILL_PRUNE_AFTER] is None


def test_a_run_goes_on_where_one_with_the_same_options_stopped(memory: MemoryRepository) -> None:
    alone = Backfill(old_table(), "a").finish()
    stopped = Backfill(memory, "a")
    for _ in range(5):
        stopped.trip()
    scanned = checkpoint_of(memory)[schema.BACKFILL_SCANNED]
    assert 0 < cast("int", scanned) < alone.scanned
    watched = Watched(memory)
    report = Administrator(watched).backfill_registry(prune=True, segments=2)
    assert report == alone
    assert all(cast("Scan", scan).after is not None for scan in watched.operations(Scan))


def checkpoint_of(memory: MemoryRepository) -> Item:
    return memory.items[schema.backfill_key()]


# --- kills -----------------------------------------------------------------------------------------


def killed_at(number: int, moment: Literal["before", "after"]) -> Callable[[MemoryRepository], Watched]:
    """Return what makes a repository that kills at one round trip: before it, or before its reply is seen."""
    numbers = itertools.count()

    def strike(_operations: tuple[Operation, ...]) -> None:
        if next(numbers) == number:
            raise Killed

    return lambda memory: Watched(memory, **{moment: strike})


@pytest.mark.parametrize("options", [{}, {"prune": True}, {"dry_run": True, "prune": True}], ids=str)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_wherever_a_run_is_killed_the_next_one_ends_it(
    moment: Literal["before", "after"], options: dict[str, bool]
) -> None:
    plan = Plan(**options, segments=2)
    untouched = old_table()
    expected = Backfill(untouched, "alone", plan).finish()
    for number in itertools.count():
        memory = old_table()
        watched = killed_at(number, moment)(memory)
        process = Backfill(cast("MemoryRepository", watched), "killed", plan)
        try:
            process.finish()
        except Killed:
            has_ended = schema.backfill_key() not in memory.items and number > 1
            report = Backfill(memory, "next", plan).finish()
            assert memory.items == untouched.items
            if has_ended and not plan.dry_run:
                # Killed after the very last write: what follows is a run in which there is nothing left to do.
                assert (report.added, report.removed) == (0, 0)
            else:
                assert (report.found, report.added, report.removed) == (
                    expected.found,
                    expected.added,
                    expected.removed,
                )
        else:
            assert number > 12
            return


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c"])), max_size=150))
def test_however_three_backfills_are_mixed_and_killed_each_name_is_counted_once(
    events: Iterable[tuple[bool, str]],
) -> None:
    memory = old_table()
    processes = {name: Backfill(memory, name) for name in ("a", "b", "c")}
    for is_kill, name in events:
        if is_kill and name != "c":
            processes[name].kill()
        else:
            processes[name].trip()
    processes["c"].finish()
    counts = [(each.added, each.removed) for process in processes.values() for each in process.reports]
    assert (7, 3) in counts
    assert set(counts) <= {(7, 3), (0, 0)}, "a run that begins when another one has ended finds nothing to do"
    assert registry_of(memory) == defaults_in(memory)


# --- time ------------------------------------------------------------------------------------------


def countdown(*left_ms: int) -> Callable[[], int]:
    """Return a clock that shows these times one after another, and the last one for ever."""
    times = itertools.chain(left_ms, itertools.repeat(left_ms[-1]))
    return lambda: next(times)


def test_without_time_nothing_is_begun_and_the_report_says_that_nothing_is_known(
    memory: MemoryRepository,
) -> None:
    watched = Watched(memory)
    report = Administrator(watched).backfill_registry(time_left_ms=lambda: 100)
    assert report == BackfillReport("in_progress", 0, 0, 0, 0, checkpoint={"segments": 4})
    assert not watched.trips


def test_time_is_asked_for_before_each_step_and_bounds_its_round_trips(memory: MemoryRepository) -> None:
    write_many(memory, 5_000)
    watched = Watched(memory)
    administrator = Administrator(watched, timeout_ms=60_000)
    report = administrator.backfill_registry(segments=2, time_left_ms=countdown(30_000, 5_000, 100))
    # Two steps: the checkpoint is read and written, a page of each segment is read and written; then another.
    kinds = ["+".join(type(operation).__name__ for operation in trip) for trip in watched.trips]
    assert kinds[:3] == ["Get", "Put", "Scan+Scan"]
    assert kinds.count("Scan+Scan") == 2
    first_step = kinds.index("Scan+Scan", 3)
    assert all(timeout_ms <= 30_000 - ANSWER_MARGIN_MS for timeout_ms in watched.timeouts_ms[:first_step])
    assert all(timeout_ms <= 5_000 - ANSWER_MARGIN_MS for timeout_ms in watched.timeouts_ms[first_step:])
    assert (report.status, report.checkpoint) == ("in_progress", {"segments": 2, "segments_done": 0})
    assert report.scanned == 4_000


def test_whatever_the_time_for_one_step_many_calls_come_to_the_end(memory: MemoryRepository) -> None:
    write_many(memory, 5_000)
    administrator = Administrator(memory)
    enough_ms = ANSWER_MARGIN_MS + SHORTEST_STEP_MS
    reports: list[BackfillReport] = []
    while not reports or reports[-1].status == "in_progress":
        assert len(reports) < 20
        report = administrator.backfill_registry(prune=True, time_left_ms=countdown(enough_ms, enough_ms - 1))
        assert not reports or report.scanned >= reports[-1].scanned
        reports.append(report)
    assert (reports[-1].added, reports[-1].removed) == (7, 3)
    assert registry_of(memory) == defaults_in(memory)


def write_many(memory: MemoryRepository, count: int) -> None:
    for number in range(count):
        write(memory, schema.bucket_key(f"key-{number}", "gpt-4"), {schema.VERSION: 1})


# --- errors ----------------------------------------------------------------------------------------


class Failing(Watched):
    """A repository whose store does not answer the n-th round trip, though it may have done what was asked."""

    def __init__(self, memory: MemoryRepository, number: int, *, is_applied: bool) -> None:
        super().__init__(memory)
        self._number = number
        self._is_applied = is_applied

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        if len(self.trips) != self._number:
            return super().execute(operations, timeout_ms=timeout_ms)
        if self._is_applied:
            super().execute(operations, timeout_ms=timeout_ms)
        else:
            self.trips.append(operations)
        return tuple([Failed(StoreThrottled("come back", maybe_applied=True)) for _ in operations])


@pytest.mark.parametrize("is_applied", [False, True])
def test_an_error_of_the_store_is_raised_and_a_repeated_call_goes_on(is_applied: bool) -> None:
    for number in itertools.count():
        memory = old_table()
        failing = Failing(memory, number, is_applied=is_applied)
        administrator = Administrator(failing)
        try:
            administrator.backfill_registry(prune=True)
        except StoreThrottled:
            assert administrator.backfill_registry(prune=True).status == "complete"
            assert registry_of(memory) == defaults_in(memory)
            assert schema.backfill_key() not in memory.items
        else:
            assert number > 5
            return


# --- anything, in any order ------------------------------------------------------------------------

NAMES: Final = (*OLD, *LISTED, *GONE, "new-0", "new-1")

EVENTS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("trip"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("trip"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("kill"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("set"), st.sampled_from(NAMES)),
        st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    ),
    max_size=80,
)


class Truth:
    """Counts, for each run, the names that its applied transactions added and removed."""

    def __init__(self) -> None:
        self.added: Counter[str] = Counter()
        self.removed: Counter[str] = Counter()

    def __call__(
        self, operations: tuple[Operation, ...], outcomes: tuple[Outcome, ...], _start: int, _end: int
    ) -> None:
        for operation, outcome in zip(operations, outcomes, strict=True):
            match operation, outcome:
                case Transact((Put(key, item), Update(_, (change,)), *_)), Applied() if (
                    key == schema.backfill_key()
                ):
                    run = cast("str", item[schema.BACKFILL_RUN])
                    if isinstance(change, Add):
                        self.added[run] += len(cast("frozenset[str]", change.value))
                    if isinstance(change, Discard):
                        self.removed[run] += len(change.members)
                    self.compare(item)
                case Put(key, item), Applied() if key == schema.backfill_key():
                    self.compare(item)

    def compare(self, item: Item) -> None:
        """Check that a checkpoint says exactly what was done when it was written."""
        run = cast("str", item[schema.BACKFILL_RUN])
        assert item[schema.BACKFILL_ADDED] == self.added[run]
        assert item[schema.BACKFILL_REMOVED] == self.removed[run]


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_nothing_that_happens_meanwhile_leads_the_registry_astray(events: Iterable[tuple[str, str]]) -> None:
    memory = MemoryRepository(observer=Truth())
    for key, item in old_table().items.items():
        write(memory, key, item)
    administrator = Administrator(memory)
    processes = {name: Backfill(memory, name) for name in ("a", "b")}
    stale = set(GONE)
    for event, name in events:
        match event:
            case "trip":
                processes[name].trip()
            case "kill":
                processes[name].kill()
            case "set":
                administrator.set_resource_defaults(name, [RPM])
                stale.discard(name)
            case "delete":
                administrator.delete_resource_defaults(name)
        assert registry_of(memory) <= defaults_in(memory) | stale
    Backfill(memory, "last").finish()
    assert registry_of(memory) == defaults_in(memory)
    assert schema.backfill_key() not in memory.items
