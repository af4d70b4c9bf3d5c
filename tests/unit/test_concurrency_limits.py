"""Concurrency limits: so many leases at a time, each until it ends, or until its time is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from leasegate import (
    InvalidRequest,
    Lease,
    LeaseExpired,
    Limit,
    Limiter,
    RateLimitExceeded,
    StoreUnavailable,
    schema,
)
from leasegate.flows.holding import MAX_CLEARED
from leasegate.metering import item_size
from leasegate.operations import Operation, Outcome, Remove, Update
from leasegate.repository.memory import MemoryRepository
from scripts.costs.sizes import crowded_size
from tests.fixtures.tables import MemoryTable

SLOTS = Limit.concurrent("slots", 3, lease_seconds=30)
TPM = Limit.per_day("tpm", 1_000)
BUCKET = schema.bucket_key("key-1", "gpt-4")


@pytest.fixture
def process(table: MemoryTable, admin: Limiter) -> Limiter:
    """Return a process that has spent from the bucket of key-1 before."""
    admin.set_limits("key-1", [SLOTS, TPM])
    process = table.process()
    process.acquire("key-1", "gpt-4", {"tpm": 0})
    return process


def take(process: Limiter, slots: int = 1, entity_id: str = "key-1", **options: Any) -> Lease:  # noqa: ANN401 - as given
    return process.acquire(entity_id, "gpt-4", {"slots": slots}, **options)


def refusal(process: Limiter, consume: Mapping[str, int] | None = None) -> RateLimitExceeded:
    with pytest.raises(RateLimitExceeded) as caught:
        process.acquire("key-1", "gpt-4", consume or {"slots": 1})
    return caught.value


def held(table: MemoryTable, entity_id: str = "key-1", name: str = "slots") -> int:
    """Count the holders of a limit, those that lapsed among them; the item's own count says the same."""
    item = table.item(schema.bucket_key(entity_id, "gpt-4"))
    count = sum(attribute.startswith(f"h.{name}.") for attribute in item)
    assert item.get(schema.held_attribute(name), 0) == count
    return count


def available(table: MemoryTable, entity_id: str = "key-1") -> int:
    return table.process().available(entity_id, "gpt-4")["slots"].available


# --- as many as there may be ---------------------------------------------------------------------------


def test_as_many_leases_hold_a_place_at_once_as_the_limit_says(table: MemoryTable, process: Limiter) -> None:
    for left in (2, 1, 0):
        assert take(process).availability["slots"].available == left
    for other in (process, table.process()):
        error = refusal(other)
        assert [x.state.name for x in error.refusals] == ["slots"]
        assert error.retry_after_ms == 1_000
    assert held(table) == 3


def test_a_place_costs_no_more_than_a_token(table: MemoryTable, process: Limiter) -> None:
    assert table.cost(lambda: process.acquire("key-1", "gpt-4", {"slots": 1, "tpm": 5})) == ["Update"]
    lease = take(process)
    assert table.cost(lease.release) == ["Update"]
    lease = take(process)
    assert table.cost(lease.renew) == ["Update"]
    assert table.cost(lease.settle) == ["Update"]


@pytest.mark.parametrize("end", ["settle", "release"])
def test_a_lease_that_ends_frees_its_place(table: MemoryTable, process: Limiter, end: str) -> None:
    leases = [take(process) for _ in range(3)]
    getattr(leases[1], end)()
    assert held(table) == 2
    take(table.process())
    refusal(table.process())


def test_a_lease_that_ends_twice_frees_its_place_once(table: MemoryTable, process: Limiter) -> None:
    leases = [take(process) for _ in range(3)]
    for _ in range(2):
        leases[0].settle()
        leases[0].release()
    assert held(table) == 2


def test_a_block_holds_its_place_until_it_is_left(table: MemoryTable, process: Limiter) -> None:
    with take(process, 2):
        assert available(table) == 1
    assert available(table) == 3


def test_a_block_that_raises_frees_its_place(table: MemoryTable, process: Limiter) -> None:
    with pytest.raises(KeyboardInterrupt), process.acquire("key-1", "gpt-4", {"slots": 1, "tpm": 5}):
        raise KeyboardInterrupt
    assert available(table) == 3
    assert table.item(BUCKET)["u.tpm"] == 0


def test_a_lease_that_takes_more_frees_it_all(table: MemoryTable, process: Limiter) -> None:
    with process.acquire("key-1", "gpt-4", {"tpm": 5}) as lease:
        lease.consume({"slots": 1})
        lease.consume({"slots": 2})
        assert held(table) == 3
        with pytest.raises(RateLimitExceeded):
            lease.consume({"slots": 1})
    assert held(table) == 0


def test_one_lease_may_hold_several_places(table: MemoryTable, process: Limiter) -> None:
    lease = take(process, 2)
    error = refusal(process, {"slots": 2})
    assert error.refusals[0].state.available == 1
    take(process, 1)
    lease.release()
    assert available(table) == 2


def test_no_place_is_taken_by_a_lease_that_wants_none(table: MemoryTable, process: Limiter) -> None:
    take(process, 3)
    lease = take(process, 0)
    assert lease.held_until_ms is None
    lease.renew()
    lease.release()
    assert held(table) == 3


def test_places_and_tokens_are_had_together_or_not_at_all(table: MemoryTable, process: Limiter) -> None:
    process.acquire("key-1", "gpt-4", {"tpm": 999})
    assert [x.state.name for x in refusal(process, {"slots": 1, "tpm": 2}).refusals] == ["tpm"]
    assert held(table) == 0
    take(process, 3)
    assert [x.state.name for x in refusal(process, {"slots": 1, "tpm": 1}).refusals] == ["slots"]
    assert table.item(BUCKET)["u.tpm"] == 999


def test_more_places_than_there_are_can_never_be_had(table: MemoryTable, process: Limiter) -> None:
    for other in (process, process, table.process()):
        with pytest.raises(InvalidRequest) as caught:
            take(other, 4)
        assert (caught.value.field, caught.value.unprocessable) == ("consume.slots", True)


def test_twenty_five_places_are_the_most_for_one_lease(table: MemoryTable, admin: Limiter) -> None:
    jobs = Limit.concurrent("jobs", 100, lease_seconds=30)
    admin.set_limits("key-1", [Limit.concurrent("slots", 100, lease_seconds=30), jobs])
    leases = [take(admin, 25) for _ in range(4)]
    refusal(admin)
    leases[2].release()
    assert held(table) == 75
    for consume in ({"slots": 26}, {"slots": 13, "jobs": 13}):
        for process in (admin, admin, table.process()):
            with pytest.raises(InvalidRequest) as caught:
                process.acquire("key-1", "gpt-4", consume)
            assert (caught.value.field, caught.value.unprocessable) == ("consume", False)
    assert held(table) == 75


# --- those that lapse ----------------------------------------------------------------------------------


def test_a_place_lapses_after_its_time_and_the_next_lease_takes_it(table: MemoryTable, process: Limiter) -> None:
    lease = take(process, 3)
    assert lease.held_until_ms == table.now_ms + 30_000
    table.now_ms += 29_999
    assert refusal(process).retry_after_ms == 1
    assert available(table) == 0
    table.now_ms += 1
    assert available(table) == 3
    take(process)
    assert held(table) == 3, "only who is in the way is cleared away"
    for _ in range(2):
        take(table.process())
    assert held(table) == 3
    refusal(table.process())


def test_a_renewal_holds_the_place_for_as_long_again(table: MemoryTable, process: Limiter) -> None:
    lease = take(process, 2)
    for _ in range(3):
        table.now_ms += 25_000
        assert lease.renew().held_until_ms == table.now_ms + 30_000
    refusal(process, {"slots": 2})
    table.now_ms += 30_000
    take(process, 3)


def test_a_place_that_lapsed_is_held_again_while_nobody_has_taken_it(table: MemoryTable, process: Limiter) -> None:
    lease = take(process, 3)
    table.now_ms += 40_000
    assert lease.renew().held_until_ms == table.now_ms + 30_000
    refusal(process)


def test_a_place_that_somebody_took_over_is_lost(table: MemoryTable, process: Limiter) -> None:
    lease = take(process, 3)
    table.now_ms += 30_000
    take(table.process())
    for _ in range(2):
        with pytest.raises(LeaseExpired):
            lease.renew()
    lease.release()
    assert held(table) == 1
    assert available(table) == 2


def test_a_lease_of_two_grants_that_lost_one_has_expired(table: MemoryTable, process: Limiter) -> None:
    lease = take(process, 2)
    table.now_ms += 20_000
    lease.consume({"slots": 1})
    table.now_ms += 10_000
    take(table.process(), 2)
    with pytest.raises(LeaseExpired):
        lease.renew()


def test_a_lease_whose_bucket_is_gone_has_expired(table: MemoryTable, process: Limiter) -> None:
    lease = take(process)
    table.memory.delete(BUCKET)
    with pytest.raises(LeaseExpired):
        lease.renew()
    lease.release()


def test_a_lease_that_holds_nothing_of_a_limit_has_no_end_to_choose(process: Limiter) -> None:
    with pytest.raises(InvalidRequest) as caught:
        take(process).renew(expires_in=5)
    assert caught.value.field == "expires_in"


def test_a_renewal_whose_reply_was_lost_may_be_repeated(table: MemoryTable, process: Limiter) -> None:
    lease = take(process)
    table.lose_reply(1)
    with pytest.raises(StoreUnavailable):
        lease.renew()
    assert lease.renew().held_until_ms == table.now_ms + 30_000
    assert held(table) == 1


def test_a_place_that_was_taken_without_an_answer_lapses(table: MemoryTable, process: Limiter) -> None:
    table.lose_reply(1)
    with pytest.raises(StoreUnavailable):
        take(process, 3)
    assert held(table) == 3
    table.now_ms += 30_000
    take(process, 3)


def test_a_bucket_is_kept_for_as_long_as_somebody_holds_a_place(table: MemoryTable, process: Limiter) -> None:
    lease = process.acquire("key-1", "gpt-4", {"slots": 1})
    for _ in range(12):
        table.now_ms += 6 * 3_600_000
        lease.renew()
        expires_at_s = table.item(BUCKET)[schema.EXPIRES_AT]
        assert isinstance(expires_at_s, int)
        assert expires_at_s * 1000 >= table.now_ms + 30_000


# --- known from before ---------------------------------------------------------------------------------


def test_a_refusal_is_remembered_until_a_place_lapses(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-1", [Limit.concurrent("slots", 3, lease_seconds=5)])
    process = table.process()
    take(process, 3)
    table.now_ms += 4_500
    assert table.cost(lambda: take(process), RateLimitExceeded) == ["Update"]
    assert table.cost(lambda: take(process), RateLimitExceeded) == []
    table.now_ms += 500
    assert table.cost(lambda: take(process)) == ["Update"]


def test_a_refusal_is_forgotten_when_this_process_frees_a_place(table: MemoryTable, process: Limiter) -> None:
    lease = take(process, 3)
    assert table.cost(lambda: take(process), RateLimitExceeded) == ["Update"]
    lease.release()
    assert table.cost(lambda: take(process)) == ["Update"]


def test_a_refusal_of_two_places_says_nothing_of_one(table: MemoryTable, process: Limiter) -> None:
    take(process, 2)
    assert table.cost(lambda: take(process, 2), RateLimitExceeded) == ["Update"]
    assert table.cost(lambda: take(process)) == ["Update"]


def test_others_who_lapsed_and_are_not_known_take_one_round_trip_more(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-1", [Limit.concurrent("slots", 3, lease_seconds=5)])
    process = table.process()
    take(process, 0)
    take(table.process(), 3)
    table.now_ms += 5_000
    assert table.cost(lambda: take(process)) == ["Update", "Update"]


# --- many who lapsed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_warm", [True, False])
@pytest.mark.parametrize("count", [59, 60, 61, 200])
def test_a_write_clears_away_no_more_than_an_expression_can_hold(
    table: MemoryTable, admin: Limiter, count: int, is_warm: bool
) -> None:
    admin.set_limits("key-1", [Limit.concurrent("slots", 200, lease_seconds=30)])
    for _ in range(count):
        take(admin)
    admin.set_limits("key-1", [Limit.concurrent("slots", 2, lease_seconds=30)])
    spender = table.process()
    refusal(spender)
    spender = spender if is_warm else table.process()
    table.now_ms += 30_000
    most = most_removed(table, lambda: take(spender))
    assert most == min(count - 1, MAX_CLEARED)
    assert held(table) <= 2 + MAX_CLEARED
    take(spender)
    refusal(spender)
    assert available(table) == 0


def test_a_write_clears_away_no_more_of_all_its_limits_together(table: MemoryTable, admin: Limiter) -> None:
    names = ("jobs", "slots")
    admin.set_limits("key-1", [Limit.concurrent(name, 100, lease_seconds=30) for name in names])
    for name in names * 4:
        admin.acquire("key-1", "gpt-4", {name: 25})
    admin.set_limits("key-1", [Limit.concurrent(name, 2, lease_seconds=30) for name in names])
    spender = table.process()
    refusal(spender)
    table.now_ms += 30_000
    most = most_removed(table, lambda: spender.acquire("key-1", "gpt-4", {"jobs": 2, "slots": 2}))
    assert most == MAX_CLEARED
    assert held(table, name="jobs") + held(table) <= 4 + MAX_CLEARED


@pytest.mark.parametrize("count", [60, 200, 1_000])
def test_a_rebase_clears_away_no_more_than_an_expression_can_hold(
    table: MemoryTable, admin: Limiter, count: int
) -> None:
    admin.set_limits("key-1", [Limit.concurrent("slots", 1_000, lease_seconds=30)])
    for _ in range(count // 20):
        take(admin, 20)
    admin.set_limits("key-1", [TPM])
    spender = table.process()
    assert most_removed(table, lambda: spender.acquire("key-1", "gpt-4", {"tpm": 1})) == MAX_CLEARED
    assert held(table) == 0


def most_removed(table: MemoryTable, call: Callable[[], object]) -> int:
    """Make a call, and return how many holders one write of it cleared away at most."""
    memory = table.memory
    table.memory = watched = Watched(memory)
    call()
    table.memory = memory
    return watched.most_removed


class Watched(MemoryRepository):
    """Passes everything on, and counts what updates remove."""

    def __init__(self, memory: MemoryRepository) -> None:
        super().__init__()
        self._memory = memory
        self.most_removed = 0

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        for operation in operations:
            changes = operation.changes if isinstance(operation, Update) else ()
            removed = [x for x in changes if isinstance(x, Remove) and schema.is_holder_attribute(x.attribute)]
            self.most_removed = max(self.most_removed, len(removed))
        return self._memory.execute(operations, timeout_ms=timeout_ms)


# --- cascades ------------------------------------------------------------------------------------------


@pytest.fixture
def family(table: MemoryTable, admin: Limiter) -> Limiter:
    """Return a process that has spent from the buckets of child, of its sibling, and of project before."""
    admin.create_entity("project")
    admin.set_limits("project", [Limit.concurrent("slots", 4, lease_seconds=20)])
    for entity_id in ("child", "sibling"):
        admin.create_entity(entity_id, "project")
        admin.set_limits(entity_id, [SLOTS, TPM])
    process = table.process()
    for entity_id in ("child", "sibling"):
        take(process, 1, entity_id).release()
    return process


@pytest.mark.parametrize("cascade", [True, "transaction"])
def test_a_place_is_taken_at_every_level_and_freed_at_every_level(
    table: MemoryTable,
    family: Limiter,
    cascade: Any,  # noqa: ANN401 - either
) -> None:
    lease = take(family, 2, "child", cascade=cascade)
    assert (held(table, "child"), held(table, "project")) == (2, 2)
    assert lease.held_until_ms == table.now_ms + 20_000
    lease.renew()
    lease.release()
    assert (held(table, "child"), held(table, "project")) == (0, 0)


@pytest.mark.parametrize("cascade", [True, "transaction"])
def test_a_parent_that_refuses_frees_the_childs_place(
    table: MemoryTable,
    family: Limiter,
    cascade: Any,  # noqa: ANN401 - either
) -> None:
    take(family, 3, "sibling")
    with pytest.raises(RateLimitExceeded) as caught:
        take(family, 2, "child", cascade=cascade)
    assert [x.entity_id for x in caught.value.refusals] == ["project"]
    assert caught.value.availability["slots"].available == 3
    assert (held(table, "child"), held(table, "project")) == (0, 3)
    take(family, 1, "child", cascade=cascade)


def test_a_place_that_only_the_parent_has_lost_has_expired_and_the_childs_is_freed(
    table: MemoryTable, family: Limiter
) -> None:
    lease = take(family, 3, "child")
    table.now_ms += 20_000
    take(table.process(), 2, "sibling")
    with pytest.raises(LeaseExpired):
        lease.renew()
    lease.release()
    assert (held(table, "child"), held(table, "project")) == (0, 2)


def test_a_lease_is_held_beside_the_ancestors_if_it_does_not_cascade(table: MemoryTable, family: Limiter) -> None:
    take(family, 3, "child", cascade=False)
    assert (held(table, "child"), held(table, "project")) == (3, 0)


# --- limits that change --------------------------------------------------------------------------------


def test_a_lowered_limit_lets_nobody_in_until_enough_have_left(table: MemoryTable, process: Limiter) -> None:
    leases = [take(process) for _ in range(3)]
    process.set_limits("key-1", [Limit.concurrent("slots", 1, lease_seconds=30), TPM])
    assert refusal(process).refusals[0].state.available == -2
    for lease in leases[:2]:
        lease.renew()
        lease.release()
        refusal(table.process())
    leases[2].release()
    take(table.process())


def test_a_raised_limit_lets_more_in_at_once(table: MemoryTable, process: Limiter) -> None:
    take(process, 3)
    refusal(process)
    process.set_limits("key-1", [Limit.concurrent("slots", 5, lease_seconds=30), TPM])
    take(table.process(), 2)
    refusal(table.process())


def test_a_limit_with_another_time_holds_those_who_come_or_renew_for_that(
    table: MemoryTable, process: Limiter
) -> None:
    old = take(process)
    process.set_limits("key-1", [Limit.concurrent("slots", 3, lease_seconds=5), TPM])
    new = take(process)
    assert (old.held_until_ms, new.held_until_ms) == (table.now_ms + 30_000, table.now_ms + 5_000)
    table.now_ms += 5_000
    assert available(table) == 2


def test_a_limit_that_is_gone_holds_nobody(table: MemoryTable, process: Limiter) -> None:
    lease = take(process, 3)
    process.set_limits("key-1", [TPM])
    table.process().acquire("key-1", "gpt-4", {"tpm": 1})
    assert held(table) == 0
    with pytest.raises(LeaseExpired):
        lease.renew()
    lease.release()
    process.set_limits("key-1", [SLOTS, TPM])
    take(table.process(), 3)


def test_a_limit_of_another_name_begins_without_holders(table: MemoryTable, process: Limiter) -> None:
    lease = take(process, 3)
    process.set_limits("key-1", [Limit.concurrent("jobs", 3, lease_seconds=30), TPM])
    process.acquire("key-1", "gpt-4", {"jobs": 2})
    assert (held(table), held(table, name="jobs")) == (0, 2)
    lease.release()
    assert held(table, name="jobs") == 2


def test_a_limit_of_leases_may_become_one_of_tokens_and_back(table: MemoryTable, process: Limiter) -> None:
    old = process.acquire("key-1", "gpt-4", {"slots": 3, "tpm": 5})
    process.set_limits("key-1", [Limit.per_day("slots", 10), TPM])
    spent = process.acquire("key-1", "gpt-4", {"slots": 4})
    old.release()
    assert held(table) == 0
    assert available(table) == 6
    process.set_limits("key-1", [SLOTS, TPM])
    take(process, 3)
    spent.release()
    assert held(table) == 3


def test_inline_limits_and_defaults_may_be_of_leases(table: MemoryTable, admin: Limiter) -> None:
    admin.set_resource_defaults("gpt-4", [SLOTS])
    for _ in range(3):
        take(admin)
    refusal(table.process())
    inline = [Limit.concurrent("slots", 1, lease_seconds=5)]
    admin.acquire("key-9", "gpt-5", {"slots": 1}, limits=inline)
    with pytest.raises(RateLimitExceeded):
        table.process().acquire("key-9", "gpt-5", {"slots": 1}, limits=inline)


def test_places_cannot_be_adjusted(process: Limiter) -> None:
    for adjust in (take(process).adjust, lambda x: process.adjust("key-1", "gpt-4", x)):
        with pytest.raises(InvalidRequest) as caught:
            adjust({"slots": 1})
        assert caught.value.field == "adjust.slots"


# --- what it costs -------------------------------------------------------------------------------------


def test_a_bucket_grows_with_those_who_hold_a_place_as_is_published(table: MemoryTable, admin: Limiter) -> None:
    streams = Limit.concurrent("streams", 1_000, lease_seconds=60)
    admin.create_entity("project-1")
    admin.create_entity("key-1", "project-1")
    admin.set_limits("key-1", [Limit.per_minute("rpm", 600), Limit.per_minute("tpm", 100_000), streams])
    table.now_ms += 1_234_567  # no round number, which would be a smaller one
    sizes = []
    for number in range(28):
        if number:
            admin.acquire("key-1", "gpt-4", {"rpm": 1, "tpm": 500, "streams": 1})
        sizes.append(item_size(BUCKET, table.memory.items.get(BUCKET, {})))
    assert held(table, name="streams") == 27
    assert all(
        abs(sizes[count] - crowded_size(count, grants=count, refused=0)) <= 2 for count in range(8, 28)
    )  # by then every slot is taken
    assert sizes[25] <= 1_024 < sizes[26]
