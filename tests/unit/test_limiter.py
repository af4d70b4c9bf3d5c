"""The limiter's face: what it accepts, what it answers, and what it does without its table."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from leasegate import (
    AcquireRequest,
    EntityNotFound,
    InvalidRequest,
    Knowledge,
    Limit,
    Limiter,
    NoLimitsConfigured,
    RateLimitExceeded,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    schema,
)
from leasegate.operations import Failed, Operation, Outcome, Update
from leasegate.repository.memory import MemoryRepository

NOW_MS = 1_790_000_000_000
RPM = Limit.per_minute("rpm", 60)


class Clock:
    """The time in a test's hand."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> Limiter:
    return Limiter(MemoryRepository(), clock=clock)


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("entity_id", lambda x: x.acquire("a#b", "gpt-4", {"rpm": 1})),
        ("entity_id", lambda x: x.acquire("a" * 257, "gpt-4", {"rpm": 1})),
        ("resource", lambda x: x.acquire("a", "", {"rpm": 1})),
        ("consume", lambda x: x.acquire("a", "gpt-4", {})),
        ("consume.rpm", lambda x: x.acquire("a", "gpt-4", {"rpm": -1})),
        ("consume.rpm", lambda x: x.acquire("a", "gpt-4", {"rpm": 0.5})),
        ("consume.nope", lambda x: x.acquire("a", "gpt-4", {"nope": 1}, limits=[RPM])),
        ("consume.rpm", lambda x: x.acquire("a", "gpt-4", {"rpm": 61}, limits=[RPM])),
        ("limits", lambda x: x.acquire("a", "gpt-4", {"rpm": 1}, limits=[])),
        ("limits", lambda x: x.acquire("a", "gpt-4", {"rpm": 1}, limits=[RPM] * 2)),
        ("limits", lambda x: x.set_limits("a", [Limit.per_day(f"x{n}", 1) for n in range(17)])),
        ("parent_id", lambda x: x.acquire("a", "gpt-4", {"rpm": 1}, parent_id="a")),
        ("parent_id", lambda x: x.acquire("a", "gpt-4", {"rpm": 1}, parent_id="a/b")),
        ("cascade", lambda x: x.acquire("a", "gpt-4", {"rpm": 1}, cascade="maybe")),
        ("parent_id", lambda x: x.create_entity("a", "a")),
        ("name", lambda x: x.create_entity("a", name="")),
        ("metadata", lambda x: x.create_entity("a", metadata={"": "x"})),
        ("metadata.x", lambda x: x.create_entity("a", metadata={"x": 1})),
        ("on_unavailable", lambda x: Limiter(MemoryRepository(), on_unavailable="ignore")),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_refused_by_the_name_of_its_field(
    limiter: Limiter, field: str, call: Callable[[Limiter], object]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(limiter)
    assert caught.value.field == field


def test_a_cost_above_capacity_is_never_told_to_retry(limiter: Limiter) -> None:
    with pytest.raises(InvalidRequest) as caught:
        limiter.acquire("a", "gpt-4", {"rpm": 61}, limits=[RPM])
    assert caught.value.unprocessable


def test_an_unknown_entity_without_any_limits_has_no_limits_configured(limiter: Limiter) -> None:
    for call in (lambda: limiter.acquire("a", "gpt-4", {"rpm": 1}), lambda: limiter.available("a", "gpt-4")):
        with pytest.raises(NoLimitsConfigured) as caught:
            call()
        assert (caught.value.entity_id, caught.value.resource) == ("a", "gpt-4")


def test_a_refusal_carries_every_limits_state(limiter: Limiter) -> None:
    limits = [RPM, Limit.per_minute("tpm", 10_000)]
    limiter.acquire("a", "gpt-4", {"rpm": 1, "tpm": 9_900}, limits=limits)
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.acquire("a", "gpt-4", {"rpm": 1, "tpm": 600}, limits=limits)
    refusal = caught.value
    assert [(x.entity_id, x.state.name, x.state.requested) for x in refusal.refusals] == [("a", "tpm", 600)]
    assert refusal.retry_after_ms == 3_000
    states = refusal.availability
    assert {name: state.available for name, state in states.items()} == {"rpm": 59, "tpm": 100}
    assert states["rpm"].retry_after_ms == 0


def test_a_new_bucket_lets_its_capacity_through_and_one_more_after_the_retry_time(
    limiter: Limiter, clock: Clock
) -> None:
    limits = [Limit("rpm", 5, 1, 7_001)]
    for _ in range(5):
        limiter.acquire("a", "gpt-4", {"rpm": 1}, limits=limits)
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.acquire("a", "gpt-4", {"rpm": 1}, limits=limits)
    assert caught.value.retry_after_ms == 7_001
    clock.now_ms += 7_000
    with pytest.raises(RateLimitExceeded):
        limiter.acquire("a", "gpt-4", {"rpm": 1}, limits=limits)
    clock.now_ms += 1
    limiter.acquire("a", "gpt-4", {"rpm": 1}, limits=limits)
    with pytest.raises(RateLimitExceeded):
        limiter.acquire("a", "gpt-4", {"rpm": 1}, limits=limits)


def capacity_found(limiter: Limiter, entity_id: str, inline: Limit | None = None) -> int:
    limits = None if inline is None else [inline]
    limiter.acquire(entity_id, "gpt-4", {"rpm": 1}, limits=limits)
    return limiter.available(entity_id, "gpt-4", limits=limits)["rpm"].capacity


def test_the_first_level_that_has_limits_wins_whole(limiter: Limiter) -> None:
    inline = Limit.per_minute("rpm", 1_000)
    assert capacity_found(limiter, "a", inline) == 1_000
    limiter.set_system_defaults([Limit.per_minute("rpm", 500)])
    assert capacity_found(limiter, "a", inline) == 500
    limiter.set_resource_defaults("gpt-4", [Limit.per_minute("rpm", 400)])
    assert capacity_found(limiter, "a", inline) == 400
    limiter.set_limits("a", [Limit.per_minute("rpm", 300)])
    assert capacity_found(limiter, "a", inline) == 300
    limiter.set_limits("a", [Limit.per_minute("rpm", 200)], resource="gpt-4")
    assert capacity_found(limiter, "a", inline) == 200
    assert capacity_found(limiter, "b", inline) == 400


def test_limits_given_with_a_call_hold_also_where_the_bucket_exists(limiter: Limiter) -> None:
    assert capacity_found(limiter, "a", Limit.per_minute("rpm", 10)) == 10
    assert capacity_found(limiter, "a", Limit.per_minute("rpm", 20)) == 20
    assert limiter.available("a", "gpt-4")["rpm"].available == 18


def test_a_default_limits_each_key_and_not_their_project(limiter: Limiter) -> None:
    limiter.create_entity("project")
    limiter.create_entity("key-1", "project")
    limiter.create_entity("key-2", "project")
    limiter.set_system_defaults([Limit.per_day("rpd", 2)])
    limiter.acquire("project", "gpt-4", {"rpd": 2})
    for key in ("key-1", "key-2"):
        limiter.acquire(key, "gpt-4", {"rpd": 2})
    assert limiter.available("key-1", "gpt-4").ancestors[0].entity_id == "project"
    assert dict(limiter.available("key-1", "gpt-4").ancestors[0]) == {}


def test_an_ancestor_spends_only_what_it_limits(limiter: Limiter) -> None:
    limiter.create_entity("project")
    limiter.set_limits("project", [Limit.per_day("tpd", 100)])
    limiter.create_entity("key-1", "project")
    limiter.set_limits("key-1", [RPM, Limit.per_day("tpd", 1_000)])
    limiter.acquire("key-1", "gpt-4", {"rpm": 1, "tpd": 30})
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    assert limiter.available("key-1", "gpt-4").ancestors[0]["tpd"].available == 70
    with pytest.raises(InvalidRequest) as caught:
        limiter.acquire("key-1", "gpt-4", {"tpd": 500})
    assert caught.value.unprocessable


def test_a_refusal_of_an_ancestor_shows_all_that_the_others_have_left(limiter: Limiter) -> None:
    limiter.create_entity("project")
    limiter.set_limits("project", [Limit.per_day("tpd", 100)])
    limiter.create_entity("key-1", "project")
    limiter.set_limits("key-1", [Limit.per_day("tpd", 1_000)])
    limiter.acquire("key-1", "gpt-4", {"tpd": 30})
    for is_cached in (False, True):
        with pytest.raises(RateLimitExceeded) as caught:
            limiter.acquire("key-1", "gpt-4", {"tpd": 80})
        refusal = caught.value
        assert refusal.cached is is_cached
        assert refusal.availability["tpd"].available == 970
        assert refusal.availability.ancestors[0]["tpd"].available == 70


def test_families_have_at_most_four_levels_and_parents_that_exist(limiter: Limiter) -> None:
    for parent_id, entity_id in ((None, "a"), ("a", "b"), ("b", "c"), ("c", "d")):
        limiter.create_entity(entity_id, parent_id)
    with pytest.raises(InvalidRequest) as caught:
        limiter.create_entity("e", "d")
    assert caught.value.field == "parent_id"
    with pytest.raises(EntityNotFound):
        limiter.create_entity("f", "nobody")


def test_a_parent_given_to_an_entity_that_spends_already_limits_it_from_the_next_acquire_on(
    clock: Clock,
) -> None:
    repository = MemoryRepository()
    spender, admin = (Limiter(repository, clock=clock) for _ in range(2))
    admin.set_limits("key-1", [RPM])
    spender.acquire("key-1", "gpt-4", {"rpm": 1})
    admin.create_entity("project")
    admin.set_limits("project", [Limit.per_day("rpm", 1)])
    admin.create_entity("key-1", "project")
    spender.acquire("key-1", "gpt-4", {"rpm": 1})
    with pytest.raises(RateLimitExceeded) as caught:
        spender.acquire("key-1", "gpt-4", {"rpm": 1})
    assert caught.value.refusals[0].entity_id == "project"


def test_a_lowered_default_reaches_every_process_within_the_age_of_its_knowledge(clock: Clock) -> None:
    repository = MemoryRepository()
    processes = [Limiter(repository, clock=clock) for _ in range(4)]
    processes[0].set_system_defaults([Limit.per_minute("rpm", 100)])
    for process in processes:
        process.acquire("a", "gpt-4", {"rpm": 1})
    processes[0].set_system_defaults([Limit.per_minute("rpm", 10)])
    granted = 0
    for second in range(3_600):
        clock.now_ms = NOW_MS + second * 1_000
        for _ in range(3):
            try:
                processes[second % 4].acquire("a", "gpt-4", {"rpm": 1})
                granted += 1
            except RateLimitExceeded:
                pass
    assert granted <= 100 + 10 * 60
    assert granted >= 10 * 59 - 100, "a lowered limit is not a stop"


class DeadRepository:
    """A table that answers nothing."""

    def __init__(self, error: StoreError) -> None:
        self.error = error

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        return tuple(Failed(self.error) for _ in operations)


def test_without_its_table_a_limiter_raises_allows_or_refuses_as_it_was_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dead = DeadRepository(StoreUnavailable("no answer"))
    with pytest.raises(StoreUnavailable):
        Limiter(dead).acquire("a", "gpt-4", {"rpm": 1})
    with caplog.at_level(logging.WARNING, "leasegate"):
        with Limiter(dead, on_unavailable="allow").acquire("a", "gpt-4", {"rpm": 1}) as lease:
            lease.adjust({"rpm": 1})
        assert lease.degraded
        with pytest.raises(RateLimitExceeded) as caught:
            Limiter(dead, on_unavailable="refuse").acquire("a", "gpt-4", {"rpm": 1})
        assert caught.value.refusals == ()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "allow gpt-4 for a without the table: no answer"),
        ("WARNING", "refuse gpt-4 for a without the table: no answer"),
    ]
    assert {(vars(record)["entity_id"], vars(record)["resource"]) for record in caplog.records} == {("a", "gpt-4")}


def test_missing_permissions_are_never_taken_for_unavailability() -> None:
    denied = DeadRepository(StoreDenied("no"))
    for choice in ("raise", "allow", "refuse"):
        limiter = Limiter(denied, on_unavailable=choice)
        with pytest.raises(StoreDenied):
            limiter.acquire("a", "gpt-4", {"rpm": 1})
        asked = [AcquireRequest(entity_id, "gpt-4", {"rpm": 1}) for entity_id in ("a", "a", "b")]
        assert [type(verdict) for verdict in limiter.acquire_many(asked)] == [StoreDenied] * 3


class HalfDeadRepository:
    """A table in memory that does not answer for one entity; it may or may not have applied the write."""

    def __init__(self, entity_id: str, *, applies: bool) -> None:
        self.memory = MemoryRepository()
        self.entity_id = entity_id
        self.applies = applies
        self.failures = 0

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        return tuple(self._execute(operation) for operation in operations)

    def _execute(self, operation: Operation) -> Outcome:
        if not (self.failures and isinstance(operation, Update) and f"#{self.entity_id}#" in operation.key.pk):
            return self.memory.execute((operation,), timeout_ms=0)[0]
        self.failures -= 1
        if self.applies:
            self.memory.execute((operation,), timeout_ms=0)
        return Failed(StoreUnavailable("no answer", maybe_applied=True))


@pytest.mark.parametrize("applies", [True, False])
def test_a_level_that_does_not_answer_leaves_nothing_spent_at_any_level(applies: bool) -> None:
    repository = HalfDeadRepository("project", applies=applies)
    limiter = Limiter(repository, clock=lambda: NOW_MS, knowledge=Knowledge())
    limiter.create_entity("project")
    limiter.create_entity("key-1", "project")
    for entity_id in ("project", "key-1"):
        limiter.set_limits(entity_id, [Limit.per_day("rpd", 10)])
    limiter.acquire("key-1", "gpt-4", {"rpd": 1})
    repository.failures = 1
    with pytest.raises(StoreUnavailable):
        limiter.acquire("key-1", "gpt-4", {"rpd": 1})
    found = limiter.available("key-1", "gpt-4")
    assert (found["rpd"].available, found.ancestors[0]["rpd"].available) == (9, 9)
    items = repository.memory.items
    buckets = [items[schema.bucket_key(entity_id, "gpt-4")] for entity_id in ("key-1", "project")]
    assert [bucket[schema.used_attribute("rpd")] for bucket in buckets] == [1, 1], "nor counted as usage"
