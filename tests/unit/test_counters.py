"""What a bucket counts besides tokens: the grants, and the refusals that grants take along."""

from __future__ import annotations

from contextlib import suppress

import pytest

from leasegate import AcquireRequest, Limit, Limiter, RateLimitExceeded, StoreUnavailable, schema
from leasegate.operations import Failed, Item, Operation, Outcome, Update
from tests.fixtures.tables import MemoryTable

LIMITS = [Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 1_000)]


def bucket(table: MemoryTable, entity_id: str = "key") -> Item:
    return table.item(schema.bucket_key(entity_id, "gpt-4"))


def grants(table: MemoryTable, entity_id: str = "key") -> int:
    count = bucket(table, entity_id).get(schema.GRANTS, 0)
    assert isinstance(count, int)
    return count


def refusals(table: MemoryTable, entity_id: str = "key") -> dict[str, object]:
    item = bucket(table, entity_id)
    prefix = schema.REFUSED_PREFIX
    return {name.removeprefix(prefix): count for name, count in item.items() if name.startswith(prefix)}


def refuse(limiter: Limiter, times: int = 1, amount: int = 1_000, entity_id: str = "key") -> None:
    for _ in range(times):
        with pytest.raises(RateLimitExceeded):
            limiter.acquire(entity_id, "gpt-4", {"tpm": amount})


@pytest.fixture
def limiter(admin: Limiter, table: MemoryTable) -> Limiter:
    """A process that was granted one acquire of the key, which has 900 of its 1,000 tokens left."""
    admin.set_limits("key", LIMITS)
    process = table.process()
    process.acquire("key", "gpt-4", {"rpm": 1, "tpm": 100})
    return process


@pytest.fixture
def family(admin: Limiter, table: MemoryTable) -> Limiter:
    """A process that knows a child and its parent, which limits tokens alone, each granted one acquire."""
    admin.create_entity("parent")
    admin.set_limits("parent", [Limit.per_minute("tpm", 650)])
    admin.create_entity("key", "parent")
    admin.set_limits("key", LIMITS)
    process = table.process()
    process.acquire("key", "gpt-4", {"rpm": 1, "tpm": 100})
    return process


# --- grants ------------------------------------------------------------------------------------------


def test_the_acquire_that_creates_a_bucket_counts(table: MemoryTable, limiter: Limiter) -> None:
    assert grants(table) == 1


def test_every_grant_counts_once_whatever_becomes_of_its_lease(table: MemoryTable, limiter: Limiter) -> None:
    with limiter.acquire("key", "gpt-4", {"tpm": 10}) as lease:
        lease.adjust({"tpm": 5})
    limiter.acquire("key", "gpt-4", {"tpm": 10}).release()
    limiter.adjust("key", "gpt-4", {"tpm": 7})
    assert grants(table) == 3


def test_a_lease_that_takes_more_counts_again(table: MemoryTable, limiter: Limiter) -> None:
    limiter.acquire("key", "gpt-4", {"tpm": 10}).consume({"tpm": 10})
    assert grants(table) == 3


def test_a_grant_that_carries_the_bucket_over_to_other_limits_counts(table: MemoryTable, limiter: Limiter) -> None:
    table.process().set_limits("key", [Limit.per_minute("tpm", 2_000)])
    limiter.acquire("key", "gpt-4", {"tpm": 10})
    assert grants(table) == 2


def test_a_durable_grant_counts_once_however_often_its_key_is_used(table: MemoryTable, limiter: Limiter) -> None:
    for _ in range(3):
        limiter.acquire("key", "gpt-4", {"tpm": 10}, idempotency_key="request-1")
    assert grants(table) == 2


def test_a_debt_that_creates_a_bucket_is_no_grant(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key", LIMITS)
    table.process().adjust("key", "gpt-4", {"tpm": 10})
    assert grants(table) == 0


def test_a_refusal_is_no_grant(table: MemoryTable, limiter: Limiter) -> None:
    refuse(limiter)
    assert grants(table) == 1


def test_all_levels_of_a_cascade_count_a_grant(table: MemoryTable, family: Limiter) -> None:
    family.acquire("key", "gpt-4", {"tpm": 10})
    assert (grants(table), grants(table, "parent")) == (2, 2)


@pytest.mark.parametrize("amount", [0, 10])
def test_a_level_that_does_not_limit_what_is_asked_counts_nothing(
    table: MemoryTable, family: Limiter, amount: int
) -> None:
    family.acquire("key", "gpt-4", {"rpm": amount})
    assert (grants(table), grants(table, "parent")) == (2, 1)


def test_what_another_level_refuses_is_no_grant(table: MemoryTable, family: Limiter) -> None:
    refuse(family, amount=600)
    assert (grants(table), grants(table, "parent")) == (1, 1)


def test_a_grant_of_nothing_that_another_level_refuses_is_none_either(
    table: MemoryTable, family: Limiter, admin: Limiter
) -> None:
    admin.adjust("parent", "gpt-4", {"tpm": 10_000})
    refuse(family, amount=0)
    assert (grants(table), grants(table, "parent")) == (1, 1)


def test_a_grant_whose_reply_is_lost_at_one_level_is_taken_back_at_both(
    table: MemoryTable, family: Limiter
) -> None:
    table.lose_reply(1)
    table.now_ms += 3_600_000
    before = bucket(table, "parent")[schema.WRITTEN_AT]
    with pytest.raises(StoreUnavailable):
        family.acquire("key", "gpt-4", {"rpm": 1, "tpm": 10})
    assert (grants(table), grants(table, "parent")) == (1, 1)
    assert bucket(table, "parent")[schema.WRITTEN_AT] == table.now_ms != before  # the return has a time of its own


def test_acquires_that_are_folded_into_one_write_count_each(table: MemoryTable, limiter: Limiter) -> None:
    limiter.acquire_many([AcquireRequest("key", "gpt-4", {"tpm": 1})] * 25)
    assert grants(table) == 26


def test_of_folded_acquires_a_parent_counts_those_that_it_limits(table: MemoryTable, family: Limiter) -> None:
    wanted = [{"tpm": 1}, {"rpm": 1}, {"rpm": 1, "tpm": 1}]
    family.acquire_many([AcquireRequest("key", "gpt-4", consume) for consume in wanted])
    assert (grants(table), grants(table, "parent")) == (4, 3)


def test_of_folded_acquires_those_that_are_refused_count_nothing(table: MemoryTable, limiter: Limiter) -> None:
    limiter.acquire_many([AcquireRequest("key", "gpt-4", {"tpm": amount}) for amount in (800, 500, 60)])
    assert grants(table) == 3
    assert bucket(table)[schema.used_attribute("tpm")] == 960


# --- refusals ----------------------------------------------------------------------------------------


def test_refusals_are_written_with_the_next_grant_and_no_write_of_their_own(
    table: MemoryTable, limiter: Limiter
) -> None:
    refuse(limiter, times=5)
    assert refusals(table) == {}
    assert table.cost(lambda: limiter.acquire("key", "gpt-4", {"tpm": 10})) == ["Update"]
    assert refusals(table) == {"tpm": 5}


def test_refusals_are_written_once(table: MemoryTable, limiter: Limiter) -> None:
    refuse(limiter)
    for _ in range(3):
        limiter.acquire("key", "gpt-4", {"tpm": 10})
    assert refusals(table) == {"tpm": 1}


def test_refusals_add_up_by_limit(table: MemoryTable, limiter: Limiter) -> None:
    limiter.acquire("key", "gpt-4", {"rpm": 59})
    with pytest.raises(RateLimitExceeded):
        limiter.acquire("key", "gpt-4", {"rpm": 1, "tpm": 1_000})
    refuse(limiter)
    limiter.acquire("key", "gpt-4", {"tpm": 10})
    refuse(limiter)
    limiter.acquire("key", "gpt-4", {"tpm": 10})
    assert refusals(table) == {"rpm": 1, "tpm": 3}


def test_refusals_of_a_batch_are_written_too(table: MemoryTable, limiter: Limiter) -> None:
    limiter.acquire_many([AcquireRequest("key", "gpt-4", {"tpm": amount}) for amount in (800, 500, 400)])
    limiter.acquire("key", "gpt-4", {"tpm": 1})
    assert refusals(table) == {"tpm": 2}


def test_a_refusal_is_that_of_the_level_that_refused(table: MemoryTable, family: Limiter) -> None:
    refuse(family, amount=600)
    family.acquire("key", "gpt-4", {"tpm": 1})
    assert (refusals(table), refusals(table, "parent")) == ({}, {"tpm": 1})


@pytest.mark.parametrize("options", [{"cascade": "transaction"}, {"idempotency_key": "request-1"}])
def test_transactions_take_refusals_along(table: MemoryTable, family: Limiter, options: dict[str, str]) -> None:
    refuse(family, amount=600)
    family.acquire("key", "gpt-4", {"tpm": 1}, **options)  # type: ignore[arg-type]  # one option of one type
    assert refusals(table, "parent") == {"tpm": 1}


def test_a_refusal_that_a_refused_write_carried_waits_for_the_next(table: MemoryTable, limiter: Limiter) -> None:
    refuse(limiter)
    table.process().acquire("key", "gpt-4", {"tpm": 850})
    refuse(limiter, amount=100)  # by the table: this write carried the first refusal
    limiter.acquire("key", "gpt-4", {"tpm": 10})
    assert refusals(table) == {"tpm": 2}


def test_a_wrong_guess_loses_no_refusal(table: MemoryTable, limiter: Limiter) -> None:
    refuse(limiter)
    table.now_ms += 3_600_000
    table.process().acquire("key", "gpt-4", {"tpm": 10})
    assert table.cost(lambda: limiter.acquire("key", "gpt-4", {"tpm": 10})) == ["Update+BatchGet", "Update"]
    assert refusals(table) == {"tpm": 1}


class Throttled:
    """A table whose first updates are throttled, or applied without an answer."""

    def __init__(self, table: MemoryTable, *, maybe_applied: bool) -> None:
        self._table = table
        self._maybe_applied = maybe_applied
        self.failures = 0

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        if self.failures and isinstance(operations[0], Update):
            self.failures -= 1
            if self._maybe_applied:
                self._table.execute(operations, timeout_ms=timeout_ms)
            return (Failed(StoreUnavailable("no answer", maybe_applied=self._maybe_applied)),) * len(operations)
        return self._table.execute(operations, timeout_ms=timeout_ms)


@pytest.mark.parametrize("maybe_applied", [False, True])
def test_a_refusal_whose_write_failed_is_written_later_but_never_twice(
    table: MemoryTable, limiter: Limiter, maybe_applied: bool
) -> None:
    flaky = Throttled(table, maybe_applied=maybe_applied)
    process = Limiter(flaky, clock=lambda: table.now_ms)
    process.acquire("key", "gpt-4", {"tpm": 10})
    refuse(process)
    flaky.failures = 1
    with suppress(StoreUnavailable):
        process.acquire("key", "gpt-4", {"tpm": 10})
    process.acquire("key", "gpt-4", {"tpm": 10})
    assert refusals(table) == {"tpm": 1}


def test_a_refusal_by_a_limit_that_is_no_more_is_forgotten_with_it(table: MemoryTable, limiter: Limiter) -> None:
    refuse(limiter)
    limiter.acquire("key", "gpt-4", {"tpm": 10})
    refuse(limiter)
    table.process().set_limits("key", [Limit.per_minute("rpm", 60)])
    limiter.acquire("key", "gpt-4", {"rpm": 1})
    assert refusals(table) == {}


def test_refusals_without_the_table_are_nobodys(table: MemoryTable, limiter: Limiter) -> None:
    flaky = Throttled(table, maybe_applied=False)
    process = Limiter(flaky, clock=lambda: table.now_ms, on_unavailable="refuse")
    process.acquire("key", "gpt-4", {"tpm": 10})
    flaky.failures = 1
    refuse(process, amount=1)
    process.acquire("key", "gpt-4", {"tpm": 10})
    assert refusals(table) == {}


def test_of_too_many_buckets_the_refusals_of_the_one_that_changed_first_are_dropped(
    table: MemoryTable, admin: Limiter
) -> None:
    process = table.process(max_buckets=2)
    for entity_id in ("a", "b", "c"):
        admin.set_limits(entity_id, LIMITS)
        process.acquire(entity_id, "gpt-4", {"tpm": 10})
    for entity_id in ("a", "b", "c"):
        refuse(process, entity_id=entity_id)
    for entity_id in ("a", "b", "c"):
        process.acquire(entity_id, "gpt-4", {"tpm": 10})
    assert [refusals(table, entity_id) for entity_id in ("a", "b", "c")] == [{}, {"tpm": 1}, {"tpm": 1}]


# --- guesses -----------------------------------------------------------------------------------------


def missed(table: MemoryTable, limiter: Limiter, amount: int = 10) -> int:
    limiter._knowledge.take_missed_guesses()
    with suppress(RateLimitExceeded):
        limiter.acquire("key", "gpt-4", {"tpm": amount})
    return limiter._knowledge.take_missed_guesses()


def test_a_grant_at_the_first_try_misses_nothing(table: MemoryTable, limiter: Limiter) -> None:
    assert missed(table, limiter) == 0


def test_a_wrong_branch_is_a_missed_guess(table: MemoryTable, limiter: Limiter) -> None:
    table.now_ms += 3_600_000
    table.process().acquire("key", "gpt-4", {"tpm": 10})
    assert missed(table, limiter) == 1


def test_a_changed_limit_is_a_missed_guess(table: MemoryTable, limiter: Limiter) -> None:
    table.process().set_limits("key", LIMITS)
    assert missed(table, limiter) == 1


def test_limits_that_others_put_in_place_first_are_a_missed_guess(table: MemoryTable, limiter: Limiter) -> None:
    table.process().set_limits("key", [Limit.per_minute("rpm", 60), Limit.per_minute("images", 5)])
    limiter._knowledge.take_missed_guesses()
    table.before_trip(3, lambda: table.process().acquire("key", "gpt-4", {"images": 1}))
    limiter.acquire("key", "gpt-4", {"images": 1})
    assert limiter._knowledge.take_missed_guesses() == 1


def test_a_mark_that_moved_on_under_the_carrying_over_is_a_missed_guess(
    table: MemoryTable, limiter: Limiter
) -> None:
    table.process().set_limits("key", [Limit.per_minute("rpm", 60), Limit.per_minute("images", 5)])
    limiter._knowledge.take_missed_guesses()
    table.before_trip(3, lambda: table.process().adjust("key", "gpt-4", {"rpm": 1}))
    limiter.acquire("key", "gpt-4", {"images": 1})
    assert limiter._knowledge.take_missed_guesses() == 1


def test_a_bucket_that_is_gone_is_a_missed_guess(table: MemoryTable, limiter: Limiter) -> None:
    table.memory.delete(schema.bucket_key("key", "gpt-4"))
    assert missed(table, limiter) == 1


def test_a_refusal_is_no_missed_guess(table: MemoryTable, limiter: Limiter) -> None:
    table.process().acquire("key", "gpt-4", {"tpm": 850})
    assert missed(table, limiter, 100) == 0
