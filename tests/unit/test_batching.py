"""Many acquires at once: a verdict for each, one write for each bucket, as if they came one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leasegate import (
    AcquireRequest,
    Disabled,
    IdempotencyConflict,
    InvalidRequest,
    Lease,
    Limit,
    Limiter,
    NoLimitsConfigured,
    RateLimitExceeded,
    StoreUnavailable,
    schema,
)
from leasegate.errors import LeasegateError
from leasegate.operations import Key
from tests.fixtures.tables import MemoryTable

type Verdict = Lease | LeasegateError

LIMITS = [Limit.per_day("rpd", 1, burst=10), Limit.per_day("tpd", 1, burst=100)]


def ask(tokens: int, entity_id: str = "key", **options: Any) -> AcquireRequest:  # noqa: ANN401 - as given
    """Ask for some tokens of ``rpd``, and of the resource that all tests spend."""
    return AcquireRequest(entity_id, "gpt-4", {"rpd": tokens}, **options)


def places(count: int, **options: Any) -> AcquireRequest:  # noqa: ANN401 - as given
    return AcquireRequest("key", "gpt-4", {"slots": count}, **options)


def granted(verdicts: Sequence[Verdict]) -> list[bool]:
    return [isinstance(verdict, Lease) for verdict in verdicts]


def leases(verdicts: Sequence[Verdict]) -> list[Lease]:
    return [verdict for verdict in verdicts if isinstance(verdict, Lease)]


def bucket(table: MemoryTable, entity_id: str = "key") -> Mapping[str, object]:
    return table.item(schema.bucket_key(entity_id, "gpt-4"))


@pytest.fixture
def limiter(table: MemoryTable) -> Limiter:
    """A process that knows the buckets of 25 keys, the first of which is the one that most tests spend from."""
    limiter = table.process()
    for entity_id in ("key", *(f"key-{number}" for number in range(1, 25))):
        limiter.set_limits(entity_id, LIMITS)
        limiter.acquire(entity_id, "gpt-4", {"rpd": 0})
    return limiter


def trips_of(
    table: MemoryTable, limiter: Limiter, requests: list[AcquireRequest]
) -> tuple[list[Verdict], list[str]]:
    """Make a batch of acquires; return the verdicts and the round trips."""
    verdicts: list[Verdict] = []
    trips = table.cost(lambda: verdicts.extend(limiter.acquire_many(requests)))
    return verdicts, trips


# --- round trips and writes --------------------------------------------------------------------------


def test_25_known_buckets_are_asked_in_one_round_trip(table: MemoryTable, limiter: Limiter) -> None:
    entity_ids = ["key", *(f"key-{number}" for number in range(1, 25))]
    verdicts, trips = trips_of(table, limiter, [ask(3, entity_id) for entity_id in entity_ids])
    assert trips == ["+".join(["Update"] * 25)]
    assert [verdict.entity_id for verdict in leases(verdicts)] == entity_ids
    assert {bucket(table, entity_id)["u.rpd"] for entity_id in entity_ids} == {3}


def test_what_is_asked_of_one_bucket_is_one_update(table: MemoryTable, limiter: Limiter) -> None:
    requests = [ask(1)] * 5 + [AcquireRequest("key", "gpt-4", {"tpd": 20})] * 5
    verdicts, trips = trips_of(table, limiter, requests)
    assert trips == ["Update"]
    assert [verdict.consumed for verdict in leases(verdicts)] == [{"rpd": 1}] * 5 + [{"tpd": 20}] * 5
    assert (bucket(table)["u.rpd"], bucket(table)["u.tpd"]) == (5, 100)


def test_a_lease_of_many_settles_its_own_tokens_alone(table: MemoryTable, limiter: Limiter) -> None:
    first, second = leases(limiter.acquire_many([ask(4), ask(5)]))
    first.release()
    second.adjust({"rpd": -2})
    second.settle()
    assert bucket(table)["u.rpd"] == 3


def test_a_parent_is_spent_from_once_for_each_of_its_children(table: MemoryTable, limiter: Limiter) -> None:
    limiter.create_entity("project")
    limiter.set_limits("project", LIMITS)
    for entity_id in ("key-1", "key-2"):
        limiter.put_entity(entity_id, "project")
        limiter.acquire(entity_id, "gpt-4", {"rpd": 1})
    verdicts, trips = trips_of(table, limiter, [ask(1, "key-1"), ask(2, "key-2"), ask(1, "key-1")])
    assert trips == ["Update+Update+Update+Update"]
    assert granted(verdicts) == [True, True, True]
    assert bucket(table, "project")["u.rpd"] == 2 + 4


def test_buckets_that_are_not_known_are_read_at_once(table: MemoryTable, limiter: Limiter) -> None:
    stranger = table.process()
    verdicts, trips = trips_of(table, stranger, [ask(1), ask(1, "key-1"), ask(1)])
    assert trips == ["BatchGet", "Update+Update"]
    assert granted(verdicts) == [True, True, True]


# --- what does not fit -------------------------------------------------------------------------------


def test_what_does_not_fit_together_is_granted_in_order_as_far_as_it_fits(
    table: MemoryTable, limiter: Limiter
) -> None:
    verdicts, trips = trips_of(table, limiter, [ask(2), ask(3), ask(4), ask(2), ask(1)])
    assert granted(verdicts) == [True, True, True, False, True]
    assert bucket(table)["u.rpd"] == 10
    # All of it is above the capacity, which is checked first; then what fits, then what does not.
    assert trips == ["BatchGet", "Update", "Update"]
    refusal = verdicts[3]
    assert isinstance(refusal, RateLimitExceeded)
    assert refusal.refusals[0].state.name == "rpd"


def test_what_others_left_over_is_granted_in_order(table: MemoryTable, limiter: Limiter) -> None:
    table.process().acquire("key", "gpt-4", {"rpd": 4})
    verdicts, trips = trips_of(table, limiter, [ask(3), ask(4), ask(3)])
    assert granted(verdicts) == [True, False, True]
    assert bucket(table)["u.rpd"] == 10
    assert trips == ["Update", "Update"], "what does not fit was seen not to"


def test_what_does_not_fit_into_a_new_bucket_is_granted_in_order(table: MemoryTable, limiter: Limiter) -> None:
    limiter.set_limits("new", LIMITS)
    requests = [
        ask(2, "new"),
        ask(7, "new"),
        AcquireRequest("new", "gpt-4", {"rpd": 2, "tpd": 1}),
        ask(1, "new"),
    ]
    verdicts, trips = trips_of(table, limiter, requests)
    assert granted(verdicts) == [True, True, False, True]
    # Read and too much, so the first creates it; then as with any bucket that is known.
    assert trips == ["BatchGet", "BatchGet", "Transact", "Update", "Update"]


def test_what_does_not_fit_a_parent_is_folded_as_far_as_it_fits(table: MemoryTable, limiter: Limiter) -> None:
    limiter.create_entity("project")
    limiter.set_limits("project", [Limit.per_day("rpd", 1, burst=5)])
    limiter.put_entity("key", "project")
    limiter.acquire("key", "gpt-4", {"rpd": 0})
    verdicts, trips = trips_of(table, limiter, [ask(2), ask(1), ask(3), ask(2)])
    assert granted(verdicts) == [True, True, False, True]
    assert (bucket(table)["u.rpd"], bucket(table, "project")["u.rpd"]) == (5, 5)
    # It is too much for one level, so both are read; then comes what fits, and what the parent refuses goes back.
    assert trips == ["BatchGet", "BatchGet", "Update+Update", "Update+Update", "Update"]


def test_what_does_not_fit_a_parent_without_a_bucket_is_granted_in_order(
    table: MemoryTable, limiter: Limiter
) -> None:
    limiter.create_entity("project")
    limiter.set_limits("project", [Limit.per_day("rpd", 1, burst=5)])
    limiter.put_entity("key", "project")
    limiter.acquire("key", "gpt-4", {"tpd": 1})
    verdicts, trips = trips_of(table, limiter, [ask(2), ask(1), ask(3), ask(2)])
    assert granted(verdicts) == [True, True, False, True]
    assert (bucket(table)["u.rpd"], bucket(table, "project")["u.rpd"]) == (5, 5)
    assert trips == [
        *("BatchGet", "BatchGet"),  # too much
        *("BatchGet", "Update+Transact"),  # so the first alone, which creates the parent's bucket
        *("BatchGet", "BatchGet", "Update+Update", "Update+Update", "Update"),  # then as where it is there
    ]


def test_a_cost_above_capacity_is_an_error_of_its_own(table: MemoryTable, limiter: Limiter) -> None:
    verdicts = limiter.acquire_many([ask(11), ask(10)])
    assert isinstance(verdicts[0], InvalidRequest)
    assert (verdicts[0].field, verdicts[0].unprocessable) == ("consume.rpd", True)
    assert granted(verdicts) == [False, True]
    assert bucket(table)["u.rpd"] == 10


def test_sums_above_any_capacity_are_granted_as_far_as_they_fit(table: MemoryTable, limiter: Limiter) -> None:
    limiter.set_limits("key", [Limit.per_day("rpd", 1, burst=10**12)])
    limiter.acquire("key", "gpt-4", {"rpd": 0})
    verdicts = limiter.acquire_many([ask(6 * 10**11), ask(6 * 10**11), ask(4 * 10**11)])
    assert granted(verdicts) == [True, False, True]
    assert bucket(table)["u.rpd"] == 10**12


def test_an_unknown_limit_is_an_error_of_its_own(table: MemoryTable, limiter: Limiter) -> None:
    requests = [ask(1), AcquireRequest("key", "gpt-4", {"rpd": 1, "images": 1}), ask(2)]
    verdicts, trips = trips_of(table, limiter, requests)
    assert granted(verdicts) == [True, False, True]
    assert isinstance(verdicts[1], InvalidRequest)
    assert verdicts[1].field == "consume.images"
    assert bucket(table)["u.rpd"] == 3
    assert trips == ["BatchGet", "Update", "BatchGet"]


def test_an_entity_in_debt_is_refused_even_what_costs_nothing(table: MemoryTable, limiter: Limiter) -> None:
    limiter.adjust("key", "gpt-4", {"rpd": 11})
    requests = [
        ask(0),
        AcquireRequest("key", "gpt-4", {"tpd": 1}),
        AcquireRequest("key", "gpt-4", {"tpd": 2}),
        ask(0),
    ]
    verdicts, trips = trips_of(table, limiter, requests)
    assert granted(verdicts) == [False, True, True, False]
    assert trips == ["Update", "Update"]


def test_what_others_spend_under_the_batch_is_taken_into_account(table: MemoryTable, limiter: Limiter) -> None:
    other = table.process()
    table.before_trip(1, lambda: other.acquire("key", "gpt-4", {"rpd": 4}))
    verdicts, trips = trips_of(table, limiter, [ask(3), ask(3), ask(3)])
    assert granted(verdicts) == [True, True, False]
    assert bucket(table)["u.rpd"] == 10
    assert trips == ["Update", "Update"]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(1, [True, True, False, False]), (2, [False, False, False, False]), (3, [False, False, False, True])],
)
def test_a_batch_that_others_keep_spending_under_takes_what_is_left(
    table: MemoryTable, limiter: Limiter, tokens: int, expected: list[bool]
) -> None:
    others: list[Lease] = []

    def spend_again() -> None:
        made = len(table.trips)
        with suppress(RateLimitExceeded):
            others.append(table.process().acquire("key", "gpt-4", {"rpd": tokens}))
        table.before_trip(made + 2 - len(table.trips), spend_again)

    table.before_trip(1, spend_again)
    verdicts, trips = trips_of(table, limiter, [ask(4), ask(3), ask(2), ask(1)])
    assert granted(verdicts) == expected
    assert bucket(table)["u.rpd"] == sum(lease.consumed["rpd"] for lease in [*others, *leases(verdicts)]) <= 10
    assert len(trips) <= 8


# --- errors ------------------------------------------------------------------------------------------


def test_a_request_that_is_none_has_its_error_in_its_place(table: MemoryTable, limiter: Limiter) -> None:
    verdicts, trips = trips_of(table, limiter, [ask(1, "a#b"), ask(1), ask(-1), ask(1, expires_in=5)])
    assert granted(verdicts) == [False, True, False, False]
    fields = [verdict.field for verdict in verdicts if isinstance(verdict, InvalidRequest)]
    assert fields == ["entity_id", "consume.rpd", "expires_in"]
    assert trips == ["Update"]


def test_nothing_valid_makes_no_round_trip(table: MemoryTable, limiter: Limiter) -> None:
    verdicts, trips = trips_of(table, limiter, [ask(-1), ask(-2)])
    assert (granted(verdicts), trips) == ([False, False], [])


@pytest.mark.parametrize("count", [0, 26])
def test_there_are_1_to_25(limiter: Limiter, count: int) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        limiter.acquire_many([ask(1)] * count)
    assert refusal.value.field == "requests"


def test_whoever_may_not_spend_at_all_keeps_no_other_from_it(table: MemoryTable, limiter: Limiter) -> None:
    limiter.disable_entity("key-1")
    verdicts = limiter.acquire_many([ask(1, "key-1"), ask(1), ask(1, "nobody"), ask(1, "key-1")])
    assert granted(verdicts) == [False, True, False, False]
    assert isinstance(verdicts[0], Disabled)
    assert isinstance(verdicts[2], NoLimitsConfigured)
    assert isinstance(verdicts[3], Disabled)


@pytest.mark.parametrize("entity_id", ["key", "nobody"])
def test_what_holds_for_all_of_a_bucket_is_found_out_once(
    table: MemoryTable, limiter: Limiter, entity_id: str
) -> None:
    limiter.disable_entity("key")
    batch, trips = trips_of(table, table.process(), [ask(1, entity_id)] * 10)
    assert {type(verdict) for verdict in batch} == {Disabled if entity_id == "key" else NoLimitsConfigured}
    assert trips == trips_of(table, table.process(), [ask(1, entity_id)])[1]


def test_without_the_table_every_verdict_is_as_the_limiter_was_told(table: MemoryTable, limiter: Limiter) -> None:
    table.lose_reply(1)
    assert [type(verdict) for verdict in limiter.acquire_many([ask(1), ask(1, "key-1")])] == [StoreUnavailable] * 2
    allowing = Limiter(table, clock=lambda: table.now_ms, on_unavailable="allow")
    table.lose_reply(1)
    verdicts = allowing.acquire_many([ask(1), ask(1), ask(1, "key-1")])
    assert [lease.degraded for lease in leases(verdicts)] == [True, True, True]
    refusing = Limiter(table, clock=lambda: table.now_ms, on_unavailable="refuse")
    table.lose_reply(1)
    assert [type(verdict) for verdict in refusing.acquire_many([ask(1), ask(-1)])] == [
        RateLimitExceeded,
        InvalidRequest,
    ]


# --- durable leases and concurrency limits -------------------------------------------------------------


def test_durable_leases_of_one_bucket_are_transactions_that_follow_each_other(
    table: MemoryTable, limiter: Limiter
) -> None:
    requests = [ask(1, durable=True), ask(2, durable=True), ask(3, "key-1", durable=True), ask(4)]
    verdicts, trips = trips_of(table, limiter, requests)
    assert trips == ["Transact+Transact", "Transact", "Update"]
    first, second, other, plain = leases(verdicts)
    assert len({first.id, second.id, other.id}) == 3
    assert plain.id is None
    limiter.lease(str(second.id)).release()
    assert (bucket(table)["u.rpd"], bucket(table, "key-1")["u.rpd"]) == (5, 3)


def test_a_key_that_comes_twice_is_granted_once(table: MemoryTable, limiter: Limiter) -> None:
    keyed = [ask(3, idempotency_key="once"), ask(3, idempotency_key="once"), ask(4, idempotency_key="once")]
    verdicts = limiter.acquire_many(keyed)
    assert [lease.is_replayed for lease in leases(verdicts)] == [False, True]
    assert isinstance(verdicts[2], IdempotencyConflict)
    assert bucket(table)["u.rpd"] == 3


@pytest.fixture
def holder(table: MemoryTable) -> Limiter:
    """A process that knows a bucket of three places."""
    limiter = table.process()
    limiter.set_limits("key", [Limit.concurrent("slots", 3, 60)])
    limiter.acquire("key", "gpt-4", {"slots": 0})
    return limiter


def test_places_are_taken_together_and_left_one_by_one(table: MemoryTable, holder: Limiter) -> None:
    verdicts, trips = trips_of(table, holder, [places(1), places(2)])
    assert trips == ["Update"]
    assert bucket(table)["k.slots"] == 3
    first, second = leases(verdicts)
    first.release()
    assert bucket(table)["k.slots"] == 2
    second.release()
    assert bucket(table)["k.slots"] == 0


def test_places_that_are_not_there_are_granted_in_order(table: MemoryTable, holder: Limiter) -> None:
    verdicts, _ = trips_of(table, holder, [places(2), places(2), places(1)])
    assert granted(verdicts) == [True, False, True]
    assert bucket(table)["k.slots"] == 3


def test_more_places_than_one_lease_may_take_are_there_for_many(table: MemoryTable, holder: Limiter) -> None:
    holder.set_limits("key", [Limit.concurrent("slots", 60, 60)])
    holder.acquire("key", "gpt-4", {"slots": 0})
    verdicts = holder.acquire_many([places(20), places(26), places(20), places(20), places(1)])
    assert granted(verdicts) == [True, False, True, True, False]
    assert bucket(table)["k.slots"] == 60


def test_more_places_than_one_write_may_take_are_taken_by_several(table: MemoryTable, holder: Limiter) -> None:
    holder.set_limits("key", [Limit.concurrent("slots", 60, 60)])
    holder.acquire("key", "gpt-4", {"slots": 0})
    verdicts, trips = trips_of(table, holder, [places(10)] * 5)
    assert granted(verdicts) == [True] * 5
    # All of it is more than may be taken, which is checked first; then come 20, 20 and 10.
    assert trips == ["BatchGet", "Update", "Update", "Update"]


def test_leases_that_are_durable_if_they_hold_places_are_each_its_own(table: MemoryTable, holder: Limiter) -> None:
    verdicts, trips = trips_of(table, holder, [places(1, durable="if_held"), places(1, durable="if_held")])
    assert trips == ["Transact", "Transact"]
    first, second = leases(verdicts)
    holder.lease(str(first.id)).release()
    assert first.id != second.id
    assert bucket(table)["k.slots"] == 1


def test_leases_that_would_be_durable_and_hold_none_are_folded(table: MemoryTable, limiter: Limiter) -> None:
    verdicts, trips = trips_of(table, limiter, [ask(1, durable="if_held")] * 3)
    assert trips == ["Update"]
    assert [lease.id for lease in leases(verdicts)] == [None, None, None]


# --- the same as one after the other -------------------------------------------------------------------

KINDS = st.builds(
    AcquireRequest,
    entity_id=st.sampled_from(["single", "single", "child", "child", "disabled", "nobody"]),
    resource=st.just("gpt-4"),
    consume=st.just({}),
    limits=st.sampled_from([None, None, None, (Limit.per_day("rpd", 1, burst=7),)]),
    cascade=st.sampled_from([True, True, False, "transaction"]),
    durable=st.sampled_from([False, False, False, True, "if_held"]),
)
"""Requests for nothing yet: only those that are alike in all this can be folded."""
CONSUMED = st.dictionaries(
    st.sampled_from([*["rpd", "tpd", "slots"] * 3, "unknown"]),
    st.sampled_from([0, 1, 1, 1, 2, 2, 3, 7, 30]),
    min_size=1,
    max_size=2,
)


@st.composite
def batches(draw: st.DrawFn) -> list[AcquireRequest]:
    kinds = st.sampled_from(draw(st.lists(KINDS, min_size=1, max_size=3)))
    wanted = draw(st.lists(st.tuples(kinds, CONSUMED), min_size=1, max_size=25))
    return [replace(kind, consume=consume) for kind, consume in wanted]


def world(table: MemoryTable, *, warm: bool) -> Limiter:
    """Prepare entities with limits; a process is warm that has met them before."""
    limiter = table.process()
    limiter.create_entity("parent")
    limiter.set_limits("parent", [Limit.per_day("rpd", 1, burst=12), Limit.concurrent("slots", 4, 60)])
    limiter.create_entity("child", "parent")
    limiter.set_limits("disabled", LIMITS)
    for entity_id in ("child", "single"):
        limiter.set_limits(entity_id, [*LIMITS, Limit.concurrent("slots", 30, 60)])
    limiter.acquire("disabled", "gpt-4", {"rpd": 1})
    limiter.disable_entity("disabled")
    if warm:
        for entity_id in ("child", "single"):
            limiter.acquire(entity_id, "gpt-4", {"rpd": 1, "slots": 1})
    return limiter


def one_by_one(limiter: Limiter, requests: list[AcquireRequest]) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for request in requests:
        fields = {name: getattr(request, name) for name in AcquireRequest.__slots__}
        try:
            verdicts.append(limiter.acquire(**fields))
        except LeasegateError as error:
            verdicts.append(error)
    return verdicts


def described(verdicts: Sequence[Verdict]) -> list[object]:
    return [
        (verdict.consumed, verdict.id is not None)
        if isinstance(verdict, Lease)
        else (type(verdict), getattr(verdict, "field", None))
        for verdict in verdicts
    ]


def charged(table: MemoryTable) -> dict[tuple[Key, str], int]:
    """Return what every bucket says of tokens spent and places held, by attribute; without what is nothing."""
    return {
        (key, name): value
        for key, item in table.memory.items.items()
        for name, value in item.items()
        if key.pk.startswith("BUCKET#") and name.startswith(("u.", "v.", "k.")) and isinstance(value, int)
        # A limit of one token a day is full where its state is the present.
        if value != (table.now_ms if name.startswith("v.") else 0)
    }


@settings(deadline=None)
@given(batches(), st.booleans())
def test_verdicts_and_charges_are_those_of_acquiring_one_after_the_other(
    requests: list[AcquireRequest], warm: bool
) -> None:
    together, apart = MemoryTable(), MemoryTable()
    batch = world(together, warm=warm).acquire_many(requests)
    single = one_by_one(world(apart, warm=warm), requests)
    assert described(batch) == described(single)
    assert charged(together) == charged(apart)


@settings(deadline=None)
@given(batches(), st.booleans())
def test_what_a_batch_was_granted_can_all_be_given_back(requests: list[AcquireRequest], warm: bool) -> None:
    table = MemoryTable()
    limiter = world(table, warm=warm)
    before = spent(table)
    for lease in leases(limiter.acquire_many(requests)):
        lease.release()
    assert spent(table) == before


def spent(table: MemoryTable) -> dict[tuple[Key, str], int]:
    return {where: value for where, value in charged(table).items() if not where[1].startswith("v.")}
