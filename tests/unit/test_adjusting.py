"""Adjustments without a lease: at all levels or at none, into debt, and once under a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from leasegate import (
    Adjusted,
    Disabled,
    IdempotencyConflict,
    InvalidRequest,
    Limit,
    Limiter,
    NoLimitsConfigured,
    RateLimitExceeded,
    StoreUnavailable,
    schema,
)
from leasegate.operations import Operation, Outcome, Update
from tests.fixtures.tables import MemoryTable, ProcessDied

RPM, TPM = Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 1_000)
SLOTS = Limit.concurrent("slots", 3, lease_seconds=30)


@pytest.fixture
def process(table: MemoryTable, admin: Limiter) -> Limiter:
    """Return a process that spent 1 rpm and 500 tpm of key-1."""
    admin.set_limits("key-1", [RPM, TPM, SLOTS])
    process = table.process()
    process.acquire("key-1", "gpt-4", {"rpm": 1, "tpm": 500})
    return process


@pytest.fixture
def family(table: MemoryTable, admin: Limiter) -> Limiter:
    """Return a process that spent 1 rpm and 500 tpm of child, and 500 tpm of project."""
    admin.create_entity("project")
    admin.set_limits("project", [Limit.per_minute("tpm", 5_000)])
    admin.create_entity("child", "project")
    admin.set_limits("child", [RPM, TPM])
    process = table.process()
    process.acquire("child", "gpt-4", {"rpm": 1, "tpm": 500})
    return process


def adjust(process: Limiter, delta: dict[str, int], entity_id: str = "key-1", **options: Any) -> Adjusted:  # noqa: ANN401 - as given
    return process.adjust(entity_id, "gpt-4", delta, **options)


def used(table: MemoryTable, entity_id: str = "key-1") -> dict[str, object]:
    item = table.memory.items.get(schema.bucket_key(entity_id, "gpt-4"), {})
    return {name[2:]: value for name, value in item.items() if name.startswith("u.")}


def left(table: MemoryTable, entity_id: str = "key-1") -> dict[str, int]:
    return {name: state.available for name, state in table.process().available(entity_id, "gpt-4").items()}


# --- one bucket --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delta", "rpm", "tpm"),
    [
        ({"tpm": 312}, 1, 812),
        ({"tpm": -400}, 1, 100),
        ({"tpm": -400, "rpm": 2}, 3, 100),
        ({"tpm": 10_000}, 1, 10_500),
    ],
)
def test_a_known_bucket_is_adjusted_in_one_round_trip(
    table: MemoryTable, process: Limiter, delta: dict[str, int], rpm: int, tpm: int
) -> None:
    answers: list[Adjusted] = []
    assert table.cost(lambda: answers.append(adjust(process, delta))) == ["Update"]
    assert used(table) == {"rpm": rpm, "tpm": tpm}
    assert left(table) == {"rpm": 60 - rpm, "tpm": 1_000 - tpm, "slots": 3}
    shown = answers[0].availability
    assert {name: state.available for name, state in shown.items()} == left(table)
    assert not answers[0].is_replayed


def test_a_process_that_knows_nothing_reads_first(table: MemoryTable, process: Limiter) -> None:
    assert table.cost(lambda: adjust(table.process(), {"tpm": -400})) == ["BatchGet", "Update"]
    assert used(table) == {"rpm": 1, "tpm": 100}


def test_a_debt_is_paid_before_the_next_acquire(table: MemoryTable, process: Limiter) -> None:
    adjust(process, {"tpm": 1_500})
    with pytest.raises(RateLimitExceeded) as caught:
        process.acquire("key-1", "gpt-4", {"tpm": 1})
    assert caught.value.retry_after_ms == 60_060
    table.now_ms += 60_060
    process.acquire("key-1", "gpt-4", {"tpm": 1})


def test_tokens_that_come_back_are_there_for_this_process_at_once(table: MemoryTable, process: Limiter) -> None:
    table.cost(lambda: process.acquire("key-1", "gpt-4", {"tpm": 501}), RateLimitExceeded)
    adjust(process, {"tpm": -1})
    process.acquire("key-1", "gpt-4", {"tpm": 501})


def test_more_than_was_spent_makes_a_bucket_no_fuller_than_full(table: MemoryTable, process: Limiter) -> None:
    adjust(process, {"tpm": -10_000})
    assert left(table)["tpm"] == 1_000
    process.acquire("key-1", "gpt-4", {"tpm": 1_000})
    assert left(table)["tpm"] == 0


def test_nothing_is_written_for_nothing(table: MemoryTable, process: Limiter) -> None:
    assert table.cost(lambda: adjust(process, {"tpm": 0})) == []
    assert used(table) == {"rpm": 1, "tpm": 500}


def test_a_bucket_that_is_not_there_is_made_by_a_debt(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-2", [RPM, TPM])
    assert table.cost(lambda: adjust(table.process(), {"tpm": 300, "rpm": -1}, "key-2")) == [
        "BatchGet",
        "Transact",
    ]
    assert used(table, "key-2") == {"tpm": 300}
    assert left(table, "key-2") == {"rpm": 60, "tpm": 700}
    assert table.cost(lambda: admin.acquire("key-2", "gpt-4", {"tpm": 700}))[-1] == "Update"
    admin.set_limits("key-2", [Limit.per_day("tpm", 5)])
    with pytest.raises(InvalidRequest):
        admin.acquire("key-2", "gpt-4", {"tpm": 6})


def test_a_bucket_that_is_not_there_gets_nothing_back(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-2", [RPM, TPM])
    answers: list[Adjusted] = []
    assert table.cost(lambda: answers.append(adjust(table.process(), {"tpm": -300}, "key-2"))) == ["BatchGet"]
    assert answers[0].availability["tpm"].available == 1_000
    assert used(table, "key-2") == {}


def test_a_bucket_that_was_deleted_meanwhile_is_made_anew(table: MemoryTable, process: Limiter) -> None:
    table.memory.delete(schema.bucket_key("key-1", "gpt-4"))
    assert table.cost(lambda: adjust(process, {"tpm": 300})) == ["Update", "BatchGet", "Transact"]
    assert used(table) == {"tpm": 300}


def test_a_bucket_that_others_make_meanwhile_is_adjusted(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-2", [RPM, TPM])
    late = table.process()
    table.before_trip(2, lambda: table.process().acquire("key-2", "gpt-4", {"tpm": 7}))
    adjust(late, {"tpm": 300}, "key-2")
    assert used(table, "key-2") == {"tpm": 307}


def test_defaults_are_adjusted_like_limits_of_ones_own(table: MemoryTable, admin: Limiter) -> None:
    admin.set_system_defaults([TPM])
    adjust(admin, {"tpm": 300}, "anybody")
    adjust(table.process(), {"tpm": 100}, "anybody")
    assert left(table, "anybody") == {"tpm": 600}


# --- cascades ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [{"tpm": 312}, {"tpm": -400}, {"tpm": 1, "rpm": 2}])
def test_every_level_is_adjusted_in_one_transaction(
    table: MemoryTable, family: Limiter, delta: dict[str, int]
) -> None:
    answers: list[Adjusted] = []
    assert table.cost(lambda: answers.append(adjust(family, delta, "child"))) == ["Transact"]
    assert used(table, "child") == {"rpm": 1 + delta.get("rpm", 0), "tpm": 500 + delta["tpm"]}
    assert used(table, "project") == {"tpm": 500 + delta["tpm"]}
    assert answers[0].availability.ancestors[0]["tpm"].available == 4_500 - delta["tpm"]


def test_a_level_that_does_not_limit_it_is_left_alone(table: MemoryTable, family: Limiter) -> None:
    assert table.cost(lambda: adjust(family, {"rpm": 2}, "child")) == ["Update"]
    assert (used(table, "child")["rpm"], used(table, "project")) == (3, {"tpm": 500})


def test_the_ancestors_are_left_alone_without_cascade(table: MemoryTable, family: Limiter) -> None:
    assert table.cost(lambda: adjust(family, {"tpm": 5}, "child", cascade=False)) == ["Update"]
    assert (used(table, "child")["tpm"], used(table, "project")["tpm"]) == (505, 500)


def test_a_cold_process_reads_the_levels_one_after_the_other(table: MemoryTable, family: Limiter) -> None:
    trips = table.cost(lambda: adjust(table.process(), {"tpm": 5}, "child"))
    assert trips == ["BatchGet", "BatchGet", "Transact"]
    assert (used(table, "child")["tpm"], used(table, "project")["tpm"]) == (505, 505)


@pytest.mark.parametrize("gone", ["child", "project"])
def test_a_level_without_a_bucket_gets_one_beside_the_others_adjustment(
    table: MemoryTable, family: Limiter, gone: str
) -> None:
    table.memory.delete(schema.bucket_key(gone, "gpt-4"))
    adjust(table.process(), {"tpm": 5}, "child")
    assert used(table, gone) == {"tpm": 5}
    assert sum(int(str(used(table, entity_id)["tpm"])) for entity_id in ("child", "project")) == 510


def test_where_only_the_ancestor_has_a_bucket_it_is_the_one_that_gets_something_back(
    table: MemoryTable, family: Limiter
) -> None:
    table.memory.delete(schema.bucket_key("child", "gpt-4"))
    late = table.process()
    late.available("child", "gpt-4")
    answers: list[Adjusted] = []
    trips = table.cost(lambda: answers.append(adjust(late, {"tpm": -100}, "child")))
    assert trips[-1] == "Update"
    assert (used(table, "child"), used(table, "project")) == ({}, {"tpm": 400})
    shown = answers[0].availability
    assert (shown["tpm"].available, shown.ancestors[0]["tpm"].available) == (1_000, 4_600)


class Repeating(MemoryTable):
    """A table whose updates are applied, and repeated because the reply got lost."""

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        if any(isinstance(operation, Update) for operation in operations):
            self.memory.execute(operations, timeout_ms=timeout_ms)
        return super().execute(operations, timeout_ms=timeout_ms)


def test_an_adjustment_that_was_repeated_counts_once_and_shows_the_bucket_that_it_changed(
    table: MemoryTable, family: Limiter
) -> None:
    table.memory.delete(schema.bucket_key("child", "gpt-4"))
    repeating = Repeating()
    repeating.memory = table.memory
    answer = adjust(repeating.process(), {"tpm": -100}, "child").availability
    assert (answer["tpm"].available, answer.ancestors[0]["tpm"].available) == (1_000, 4_600)
    assert used(table, "project") == {"tpm": 400}


def test_an_adjustment_that_meets_a_refusal_adjusts_no_level_alone(table: MemoryTable, family: Limiter) -> None:
    table.process().set_limits("project", [Limit.per_minute("tpm", 6_000)])
    before = used(table, "child"), used(table, "project")
    table.die_before_trip(2)
    with pytest.raises(ProcessDied):
        adjust(family, {"tpm": 5}, "child")
    assert (used(table, "child"), used(table, "project")) == before
    adjust(family, {"tpm": 5}, "child")
    assert (used(table, "child")["tpm"], used(table, "project")["tpm"]) == (505, 505)


@pytest.mark.parametrize("is_warm", [True, False])
def test_an_entity_that_has_moved_is_adjusted_under_its_new_parent(
    table: MemoryTable, family: Limiter, is_warm: bool
) -> None:
    family.create_entity("other")
    family.set_limits("other", [Limit.per_minute("tpm", 5_000)])
    process = family if is_warm else table.process()
    table.process().move_entity("child", "other")
    for _ in range(3):
        adjust(process, {"tpm": 5}, "child")
    assert [used(table, entity_id).get("tpm") for entity_id in ("child", "project", "other")] == [515, 500, 15]
    table.process().acquire("child", "gpt-4", {"tpm": 1})
    adjust(process, {"tpm": 5}, "child")
    assert [used(table, entity_id).get("tpm") for entity_id in ("child", "project", "other")] == [521, 500, 21]


def test_an_entity_that_has_moved_and_spent_since_is_adjusted_under_its_new_parent(
    table: MemoryTable, family: Limiter
) -> None:
    other = table.process()
    other.create_entity("other")
    other.set_limits("other", [Limit.per_minute("tpm", 5_000)])
    other.move_entity("child", "other")
    other.acquire("child", "gpt-4", {"tpm": 1})  # so the bucket is under the same limits again
    assert table.cost(lambda: adjust(family, {"tpm": 5}, "child"))[0] == "Transact"
    assert [used(table, entity_id).get("tpm") for entity_id in ("child", "project", "other")] == [506, 500, 6]


def test_a_disabled_entity_that_has_moved_is_adjusted_under_its_new_parent(
    table: MemoryTable, family: Limiter
) -> None:
    family.create_entity("other")
    family.set_limits("other", [Limit.per_minute("tpm", 5_000)])
    family.disable_entity("child")
    family.move_entity("child", "other")
    table.cost(lambda: table.process().acquire("child", "gpt-4", {"tpm": 1}), Disabled)
    for _ in range(2):
        adjust(family, {"tpm": 5}, "child")
    assert [used(table, entity_id).get("tpm") for entity_id in ("child", "project", "other")] == [510, 500, 10]


# --- under a key -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_warm", "trips"), [(True, ["Transact"]), (False, ["BatchGet"])])
def test_under_a_key_an_adjustment_is_made_once(
    table: MemoryTable, process: Limiter, is_warm: bool, trips: list[str]
) -> None:
    assert table.cost(lambda: adjust(process, {"tpm": 5}, idempotency_key="a")) == ["Transact"]
    other = process if is_warm else table.process()
    answers: list[Adjusted] = []
    assert table.cost(lambda: answers.append(adjust(other, {"tpm": 5}, idempotency_key="a"))) == trips
    assert answers[0].is_replayed
    assert answers[0].availability["tpm"].available == 495
    assert used(table) == {"rpm": 1, "tpm": 505}


@pytest.mark.parametrize("delta", [{"tpm": 0}, {"tpm": -5}])
def test_under_a_key_nothing_is_done_once_too(table: MemoryTable, admin: Limiter, delta: dict[str, int]) -> None:
    admin.set_limits("key-1", [RPM, TPM])
    assert not adjust(admin, delta, idempotency_key="a").is_replayed
    admin.acquire("key-1", "gpt-4", {"tpm": 9})
    assert adjust(admin, delta, idempotency_key="a").is_replayed
    assert used(table) == {"tpm": 9}


def test_an_adjustment_whose_reply_was_lost_is_made_once_under_its_key(
    table: MemoryTable, process: Limiter
) -> None:
    table.lose_reply(1)
    with pytest.raises(StoreUnavailable):
        adjust(process, {"tpm": 5}, idempotency_key="a")
    for other in (process, table.process()):
        assert adjust(other, {"tpm": 5}, idempotency_key="a").is_replayed
    assert used(table) == {"rpm": 1, "tpm": 505}


@pytest.mark.parametrize("change", ["limits", "names", "deleted", "disabled"])
def test_what_was_adjusted_under_a_key_stays_so_whatever_changes(
    table: MemoryTable, process: Limiter, change: str
) -> None:
    adjust(process, {"tpm": 5}, idempotency_key="a")
    other = table.process()
    match change:
        case "limits":
            other.set_limits("key-1", [Limit.per_day("tpm", 5)])
        case "names":
            other.set_limits("key-1", [RPM])
        case "deleted":
            other.delete_limits("key-1")
        case _:
            other.disable_entity("key-1")
    for asker in (process, other, table.process()):
        assert adjust(asker, {"tpm": 5}, idempotency_key="a").is_replayed


@pytest.mark.parametrize(
    "other",
    [
        lambda x: adjust(x, {"tpm": 6}, idempotency_key="a"),
        lambda x: adjust(x, {"tpm": 5, "rpm": 0}, idempotency_key="a"),
        lambda x: adjust(x, {"tpm": 5}, idempotency_key="a", cascade=False),
        lambda x: adjust(x, {"tpm": 5}, "key-2", idempotency_key="a"),
        lambda x: x.acquire("key-1", "gpt-4", {"tpm": 5}, idempotency_key="a"),
    ],
)
def test_a_key_stands_for_one_thing_only(
    table: MemoryTable, process: Limiter, other: Callable[[Limiter], object]
) -> None:
    process.set_limits("key-2", [TPM])
    adjust(process, {"tpm": 5}, idempotency_key="a")
    for asker in (process, table.process()):
        with pytest.raises(IdempotencyConflict):
            other(asker)
    assert used(table) == {"rpm": 1, "tpm": 505}


def test_keys_of_different_actors_have_nothing_to_do_with_each_other(table: MemoryTable, process: Limiter) -> None:
    adjust(process, {"tpm": 5}, idempotency_key="a")
    assert not adjust(process, {"tpm": 5}, idempotency_key="a", actor="somebody else").is_replayed


@pytest.mark.parametrize("after_ms", [0, 1, 999, 1_000, 5_000])
def test_a_key_is_forgotten_from_one_second_to_the_next(
    table: MemoryTable, process: Limiter, after_ms: int
) -> None:
    table.now_ms += 1
    adjust(process, {"tpm": 5}, idempotency_key="a")
    (item,) = [item for key, item in table.memory.items.items() if key.pk.startswith("LEASE#")]
    expires_at_s = item[schema.EXPIRES_AT]
    assert isinstance(expires_at_s, int)
    table.now_ms = expires_at_s * 1_000 + after_ms
    assert adjust(process, {"tpm": 5}, idempotency_key="a").is_replayed == (after_ms < 1_000)


# --- what cannot be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delta", "field"),
    [
        ({}, "adjust"),
        ({"images": 1}, "adjust.images"),
        ({"slots": 1}, "adjust.slots"),
        ({"slots": -1}, "adjust.slots"),
        ({"tpm": 1.5}, "adjust.tpm"),
        ({"tpm": True}, "adjust.tpm"),
        ({"tpm": 10**12 + 1}, "adjust.tpm"),
        ({"tpm": -(10**12) - 1}, "adjust.tpm"),
        ({"TPM": 1}, "adjust"),
    ],
)
def test_what_is_no_adjustment_names_its_field(
    table: MemoryTable, process: Limiter, delta: dict[str, int], field: str
) -> None:
    for asker in (process, table.process()):
        with pytest.raises(InvalidRequest) as caught:
            adjust(asker, delta)
        assert caught.value.field == field
    assert used(table) == {"rpm": 1, "tpm": 500}


def test_an_entity_without_limits_has_nothing_to_adjust(table: MemoryTable, admin: Limiter) -> None:
    assert table.cost(lambda: adjust(admin, {"tpm": 1}, "nobody"), NoLimitsConfigured) == ["BatchGet"]


@pytest.mark.parametrize("on_unavailable", ["raise", "allow", "refuse"])
def test_an_adjustment_without_an_answer_says_so_whatever_acquires_do_then(
    table: MemoryTable,
    process: Limiter,
    on_unavailable: Any,  # noqa: ANN401 - one of three
) -> None:
    limiter = Limiter(table, clock=lambda: table.now_ms, on_unavailable=on_unavailable)
    for trip in (1, 2):
        table.lose_reply(trip)
        with pytest.raises(StoreUnavailable) as caught:
            adjust(limiter, {"tpm": 5})
        assert caught.value.maybe_applied


# --- entities that may not spend -----------------------------------------------------------------------


def test_a_bucket_that_an_adjustment_creates_does_not_enable_a_disabled_entity(
    table: MemoryTable, admin: Limiter
) -> None:
    admin.set_limits("key-1", [RPM, TPM])
    admin.disable_entity("key-1")
    assert adjust(table.process(), {"tpm": 40}).availability["tpm"].available == 960
    for process in (table.process(), table.process()):
        with pytest.raises(Disabled):
            process.acquire("key-1", "gpt-4", {"rpm": 1})
    assert used(table) == {"tpm": 40}
    admin.enable_entity("key-1")
    table.process().acquire("key-1", "gpt-4", {"rpm": 1})
    assert used(table) == {"tpm": 40, "rpm": 1}
