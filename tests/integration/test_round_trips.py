"""Every row of the round-trip table, counted outside the limiter, over both repositories."""

from __future__ import annotations

import pytest

from leasegate import Limit, Limiter, RateLimitExceeded, schema
from leasegate.operations import BatchGet, Found, Operation, Outcome, Set, Update
from scripts.costs.rendering import README, SITUATIONS, measure_situation
from tests.fixtures.stores import Cost, Store

NAMES = ("rpm", "tpm", "rpd", "tpd", "images", "audio", "tools", "batch")
ONE_UPDATE = Cost(("Update",), 1, 0)


def limits(count: int, burst: int = 100) -> list[Limit]:
    return [Limit.per_minute(name, 60, burst) for name in NAMES[:count]]


def known_bucket(store: Store, count: int = 2) -> Limiter:
    """Return a process that has spent from a bucket before."""
    limiter = store.process()
    limiter.set_limits("key-1", limits(count), resource="gpt-4")
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    return limiter


def family(store: Store, *entity_ids: str) -> None:
    """Create entities, each the child of the one before, with limits on all of them."""
    admin = store.process()
    for parent_id, entity_id in zip((None, *entity_ids), entity_ids, strict=False):
        admin.create_entity(entity_id, parent_id)
        admin.set_limits(entity_id, limits(2))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_situation_costs_what_the_readme_says(store: Store, situation: str) -> None:
    row = measure_situation(situation, store)
    assert f"| {' | '.join(map(str, row))} |" in README.read_text().splitlines()


# --- known buckets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_warm_grant_is_one_call_and_one_write_unit_for_any_number_of_limits(store: Store, count: int) -> None:
    limiter = known_bucket(store, count)
    consume = dict.fromkeys(NAMES[:count], 1)
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", consume)) == ONE_UPDATE


def test_a_warm_cascade_is_one_round_trip_of_one_call_for_each_level(store: Store) -> None:
    family(store, "project", "key-1")
    limiter = store.process()
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert cost == Cost(("Update+Update",), 2, 0)


def test_a_warm_cascade_of_four_levels_is_still_one_round_trip(store: Store) -> None:
    family(store, "company", "department", "project", "key-1")
    limiter = store.process()
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert cost == Cost(("Update+Update+Update+Update",), 4, 0)


def test_an_ancestor_without_limits_costs_nothing(store: Store) -> None:
    admin = store.process()
    admin.create_entity("project")
    admin.create_entity("key-1", "project")
    limiter = known_bucket(store)
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1})) == ONE_UPDATE


def test_an_ancestor_whose_limits_are_not_touched_costs_nothing(store: Store) -> None:
    admin = store.process()
    admin.create_entity("project")
    admin.set_limits("project", [Limit.per_day("images", 10)])
    admin.create_entity("key-1", "project")
    limiter = known_bucket(store)
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1})) == ONE_UPDATE
    spender = store.process()
    spender.acquire("project", "gpt-4", {"images": 1})
    spender.acquire("key-1", "gpt-4", {"rpm": 1})
    assert store.cost(lambda: spender.acquire("key-1", "gpt-4", {"rpm": 1})) == ONE_UPDATE


def test_a_call_without_cascade_leaves_the_ancestors_alone(store: Store) -> None:
    family(store, "project", "key-1")
    limiter = store.process()
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}, cascade=False)) == ONE_UPDATE


def test_a_transactional_cascade_is_one_call_at_twice_the_units(store: Store) -> None:
    family(store, "project", "key-1")
    limiter = store.process()
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}, cascade="transaction"))
    assert cost == Cost(("Transact",), 4, 0)


def test_a_transactional_cascade_creates_and_refuses_as_one(store: Store) -> None:
    family(store, "project", "key-1")
    store.process().set_limits("project", [Limit.per_minute("rpm", 60, burst=5)])
    limiter = store.process()
    first = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 5}, cascade="transaction"))
    assert (first.trips[-1], first.write_units) == ("Transact", 16)
    refused = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}, cascade="transaction"))
    assert refused == Cost(("Transact",), 4, 0)
    assert store.refused is not None
    assert [refusal.entity_id for refusal in store.refused.refusals] == ["project"]
    assert limiter.available("key-1", "gpt-4")["rpm"].available == 95


def test_a_refusal_is_one_call_and_the_next_ones_cost_nothing_while_it_holds(store: Store) -> None:
    limiter = known_bucket(store)
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 100})) == ONE_UPDATE
    assert store.refused is not None
    assert not store.refused.cached
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 100})) == Cost((), 0, 0)
    assert store.refused is not None
    assert store.refused.cached
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 99})) == ONE_UPDATE, "it may still fit"
    assert store.refused is None


def test_a_remembered_refusal_is_trusted_for_its_age_only(store: Store) -> None:
    limiter = store.process(refusal_age_ms=1_000)
    limiter.set_limits("key-1", [Limit.per_day("rpd", 1)])
    limiter.acquire("key-1", "gpt-4", {"rpd": 1})
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpd": 1})).round_trips == 1
    store.now_ms += 999
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpd": 1})).round_trips == 0
    store.now_ms += 1
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpd": 1})).round_trips == 1


def test_a_cascade_that_an_ancestor_refuses_gives_back_in_one_more_round_trip(store: Store) -> None:
    family(store, "project", "key-1", "unused")
    admin = store.process()
    admin.set_limits("project", [Limit.per_minute("rpm", 60, burst=5)])
    limiter = store.process()
    limiter.acquire("key-1", "gpt-4", {"rpm": 5})
    cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert cost == Cost(("Update+Update", "Update"), 3, 0)
    assert store.refused is not None
    assert [refusal.entity_id for refusal in store.refused.refusals] == ["project"]
    assert store.refused.availability["rpm"].available == 95
    assert admin.available("key-1", "gpt-4")["rpm"].available == 95
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1})) == Cost((), 0, 0)


def test_a_wrong_guess_is_made_good_by_a_second_try(store: Store) -> None:
    limiter = known_bucket(store)
    store.now_ms += 10_000
    store.process().acquire("key-1", "gpt-4", {"rpm": 1})
    cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert cost == Cost(("Update", "Update"), 2, 0)


# --- buckets that this process never saw ---------------------------------------------------------------


def knowing_the_defaults(store: Store) -> Limiter:
    """Return a process that knows the defaults from spending for somebody else."""
    limiter = store.process()
    limiter.set_resource_defaults("gpt-4", limits(2))
    limiter.acquire("somebody", "gpt-4", {"rpm": 1})
    return limiter


def test_an_unseen_bucket_under_known_defaults_is_tried_at_once(store: Store) -> None:
    limiter = knowing_the_defaults(store)
    other = store.process()
    other.acquire("key-1", "gpt-4", {"rpm": 1})
    store.now_ms += 10_000
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1})) == ONE_UPDATE


def test_an_unseen_bucket_under_its_own_limits_takes_a_second_try(store: Store) -> None:
    limiter = knowing_the_defaults(store)
    other = store.process()
    other.set_limits("key-1", limits(2, burst=7))
    other.acquire("key-1", "gpt-4", {"rpm": 1})
    lease = None

    def acquire() -> None:
        nonlocal lease
        lease = limiter.acquire("key-1", "gpt-4", {"rpm": 1})

    assert store.cost(acquire) == Cost(("Update", "Update"), 2, 0)
    assert lease is not None
    assert lease.availability["rpm"].capacity == 7


def test_a_bucket_that_does_not_exist_yet_takes_two_round_trips_and_eight_write_units_once(store: Store) -> None:
    admin = store.process()
    admin.set_limits("key-1", limits(2), resource="gpt-4")
    limiter = store.process()
    cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert (cost.trips, cost.write_units) == (("BatchGet", "Transact"), 8)
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1})) == ONE_UPDATE


def test_a_bucket_that_does_not_exist_yet_takes_three_when_it_was_tried_under_the_defaults(store: Store) -> None:
    limiter = knowing_the_defaults(store)
    cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert (cost.trips, cost.write_units) == (("Update", "BatchGet", "Transact"), 1 + 8)


def test_a_cold_process_takes_two_round_trips(store: Store) -> None:
    known_bucket(store)
    cold = store.process()
    assert store.cost(lambda: cold.acquire("key-1", "gpt-4", {"rpm": 1})) == Cost(("BatchGet", "Update"), 1, 6)


def test_a_cold_cascade_takes_two_with_the_parent_given_and_three_where_a_read_reveals_it(store: Store) -> None:
    family(store, "project", "key-1")
    store.process().acquire("key-1", "gpt-4", {"rpm": 1})
    told, untold = store.process(), store.process()
    given = store.cost(lambda: told.acquire("key-1", "gpt-4", {"rpm": 1}, parent_id="project"))
    assert given.trips == ("BatchGet", "Update+Update")
    revealed = store.cost(lambda: untold.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert revealed.trips == ("BatchGet", "BatchGet", "Update+Update")


def test_a_wrong_parent_in_a_call_changes_nothing_but_its_cost(store: Store) -> None:
    family(store, "project", "key-1")
    store.process().create_entity("stranger")
    store.process().set_limits("stranger", limits(1, burst=1))
    store.process().acquire("key-1", "gpt-4", {"rpm": 1})
    limiter = store.process()
    limiter.acquire("key-1", "gpt-4", {"rpm": 5}, parent_id="stranger")
    assert limiter.available("project", "gpt-4")["rpm"].available == 94
    assert limiter.available("stranger", "gpt-4")["rpm"].available == 1


def test_a_bucket_deleted_by_its_time_to_live_is_created_again(store: Store) -> None:
    limiter = known_bucket(store)
    store.delete(schema.bucket_key("key-1", "gpt-4"))
    cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert cost.trips == ("Update", "BatchGet", "Transact")


# --- changes -----------------------------------------------------------------------------------------


def test_changed_limits_are_met_once_by_each_bucket_in_three_round_trips(store: Store) -> None:
    limiter = known_bucket(store)
    store.process().set_limits("key-1", limits(2, burst=50), resource="gpt-4")
    cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert (cost.trips, cost.write_units) == (("Update", "BatchGet", "Update"), 2)
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1})) == ONE_UPDATE
    assert limiter.available("key-1", "gpt-4")["rpm"].available == 47


def test_a_cold_process_that_meets_the_mark_in_its_first_read_reads_again(store: Store) -> None:
    known_bucket(store)
    store.process().set_limits("key-1", limits(2, burst=50), resource="gpt-4")
    cold = store.process()
    cost = store.cost(lambda: cold.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert cost.trips == ("BatchGet", "BatchGet", "Update")


def test_changed_limits_that_refuse_are_carried_over_all_the_same(store: Store) -> None:
    limiter = known_bucket(store)
    limiter.acquire("key-1", "gpt-4", {"rpm": 60})
    store.process().set_limits("key-1", limits(2, burst=10), resource="gpt-4")
    cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    assert cost.trips == ("Update", "BatchGet", "Update")
    assert store.refused is not None
    assert store.refused.availability["rpm"].available == -51
    assert store.cost(lambda: store.process().acquire("key-1", "gpt-4", {"rpm": 1})).trips == ("BatchGet",)


def test_an_entitys_unchanged_limits_are_never_read_twice(store: Store) -> None:
    limiter = known_bucket(store)
    for _ in range(50):
        store.now_ms += 20_000
        cost = store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
        assert (cost.round_trips, cost.write_units) == (1, 1)
        own_keys = {key for key in store.keys_read if "key-1" in key.pk}
        assert own_keys == set(), "what is read beside is the resource's state, and its defaults with it"


def test_a_steady_process_never_waits_for_a_refresh_of_defaults(store: Store) -> None:
    limiter = knowing_the_defaults(store)
    refreshes = 0
    for _ in range(100):
        store.now_ms += 2_000
        cost = store.cost(lambda: limiter.acquire("somebody", "gpt-4", {"rpm": 1}))
        assert cost.trips in {("Update",), ("Update+BatchGet",)}
        refreshes += cost.trips == ("Update+BatchGet",)
    assert refreshes == 200 // 16, "once in half the age, which is 15 s"


def test_a_steady_process_never_waits_for_a_refresh_of_ancestors(store: Store) -> None:
    admin = store.process()
    admin.create_entity("project")
    admin.create_entity("key-1", "project")
    limiter = known_bucket(store)
    trips = set()
    for _ in range(50):
        store.now_ms += 2_000
        trips.add(store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1})).trips)
    assert trips == {("Update",), ("Update+BatchGet",)}


def test_limits_set_on_an_ancestor_that_had_none_are_obeyed_within_the_age_of_knowledge(store: Store) -> None:
    admin = store.process()
    admin.create_entity("project")
    admin.create_entity("key-1", "project")
    limiter = known_bucket(store)
    admin.set_limits("project", [Limit.per_day("rpm", 1)])
    for _ in range(16):
        store.now_ms += 2_000
        store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    with pytest.raises(RateLimitExceeded):
        limiter.acquire("key-1", "gpt-4", {"rpm": 1})


def test_limits_set_on_an_ancestor_that_spent_under_defaults_are_obeyed_within_that_age_too(store: Store) -> None:
    admin = store.process()
    admin.create_entity("project")
    admin.create_entity("key-1", "project")
    admin.set_system_defaults([Limit.per_minute("rpm", 600)])
    limiter = known_bucket(store)
    limiter.acquire("project", "gpt-4", {"rpm": 1})
    admin.set_limits("project", [Limit.per_day("rpm", 3)])
    for _ in range(16):  # steadily, so that what is known is renewed beside writes
        store.now_ms += 2_000
        store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1}))
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    assert caught.value.refusals[0].entity_id == "project"


def test_a_newer_default_met_in_a_bucket_is_read_at_once(store: Store) -> None:
    behind = knowing_the_defaults(store)
    ahead = store.process()
    store.now_ms += 1
    ahead.set_resource_defaults("gpt-4", limits(2, burst=50))
    assert store.cost(lambda: ahead.acquire("somebody", "gpt-4", {"rpm": 1})).trips == ("BatchGet", "Update")
    cost = store.cost(lambda: behind.acquire("somebody", "gpt-4", {"rpm": 1}))
    assert cost.trips == ("Update", "BatchGet", "Update")
    assert behind.available("somebody", "gpt-4")["rpm"].capacity == 50


def test_an_older_default_met_in_a_bucket_is_replaced_at_once(store: Store) -> None:
    limiter = knowing_the_defaults(store)
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    store.now_ms += 1
    limiter.set_resource_defaults("gpt-4", limits(2, burst=50))
    limiter.acquire("somebody", "gpt-4", {"rpm": 1})
    assert store.cost(lambda: limiter.acquire("key-1", "gpt-4", {"rpm": 1})) == ONE_UPDATE
    assert limiter.available("key-1", "gpt-4")["rpm"].capacity == 50


def test_a_bucket_that_others_keep_spending_from_is_stopped_before_it_is_carried_over(store: Store) -> None:
    """Whoever keeps losing the race for the state it saw marks the bucket; then nobody spends before reading."""
    behind = knowing_the_defaults(store)
    ahead = store.process()
    store.now_ms += 1
    ahead.set_resource_defaults("gpt-4", limits(2, burst=50))
    ahead.acquire("somebody-else", "gpt-4", {"rpm": 1})
    inner = store.repository.execute
    key = schema.bucket_key("somebody", "gpt-4")

    def execute(operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        (operation,) = operations
        if len(interferences) < 3 and isinstance(operation, Update) and operation.key == key:
            interferences.append(operation)
            inner((Update(key, (Set(schema.VERSION, 10**18 + len(interferences)),)),), timeout_ms=1000)
        return inner(operations, timeout_ms=timeout_ms)

    interferences: list[Update] = []
    store.repository.execute = execute  # type: ignore[method-assign]  # others, between read and write
    cost = store.cost(lambda: ahead.acquire("somebody", "gpt-4", {"rpm": 1}))
    store.repository.execute = inner  # type: ignore[method-assign]
    assert cost.trips[-2:] == ("BatchGet", "Update")
    assert ahead.available("somebody", "gpt-4")["rpm"].capacity == 50
    assert behind.available("somebody", "gpt-4")["rpm"].available == 48


# --- administration and reading ------------------------------------------------------------------------


def test_what_administration_costs(store: Store) -> None:
    limiter = store.process()
    for _ in range(3):  # the first time, and over what this process wrote before
        assert store.cost(lambda: limiter.set_resource_defaults("gpt-4", limits(2))) == Cost(("Transact",), 6, 0)
        assert store.cost(lambda: limiter.set_system_defaults(limits(2))) == Cost(("Transact",), 4, 0)
    other = store.process()
    assert store.cost(lambda: other.set_system_defaults(limits(2))).trips == ("Transact", "Transact")
    assert store.cost(limiter.list_resources_with_defaults) == Cost(("Get",), 0, 1)
    assert store.cost(lambda: limiter.list_resources_with_defaults(consistent=False)) == Cost(("Get",), 0, 0.5)
    assert store.cost(lambda: limiter.set_limits("key-1", limits(2))).trips == ("Transact", "Get", "Update")
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    store.now_ms += 1
    again = store.cost(lambda: limiter.set_limits("key-1", limits(2)))
    assert again.trips == ("Transact", "Get", "Update", "Update"), "the limits, its buckets, their marks, the note"
    assert store.cost(lambda: limiter.create_entity("project")).trips == ("BatchGet", "Transact")
    assert store.cost(lambda: limiter.move_entity("project", None)).trips == ("BatchGet",), "it is there already"


def test_available_is_one_read_for_all_levels_once_they_are_known(store: Store) -> None:
    family(store, "project", "key-1")
    limiter = store.process()
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    assert store.cost(lambda: limiter.available("key-1", "gpt-4")) == Cost(("BatchGet",), 0, 10)
    cold = store.process()
    assert store.cost(lambda: cold.available("key-1", "gpt-4", parent_id="project")).round_trips == 1
    assert store.cost(lambda: store.process().available("key-1", "gpt-4")).round_trips == 2


def test_a_settled_adjustment_is_one_round_trip_for_all_levels(store: Store) -> None:
    family(store, "project", "key-1")
    limiter = store.process()
    lease = limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    lease.adjust({"rpm": 2})
    assert store.cost(lease.settle) == Cost(("Update+Update",), 2, 0)
    assert store.cost(lease.settle) == Cost((), 0, 0)
    assert store.cost(limiter.acquire("key-1", "gpt-4", {"rpm": 1}).settle) == Cost((), 0, 0)


def test_the_writes_of_a_bucket_touch_no_index(store: Store) -> None:
    limiter = known_bucket(store)
    limiter.acquire("key-1", "gpt-4", {"rpm": 1})
    (outcome,) = store.repository.execute((BatchGet((schema.bucket_key("key-1", "gpt-4"),)),), timeout_ms=1000)
    assert isinstance(outcome, Found)
    (item,) = outcome.items.values()
    assert not {schema.GSI1PK, schema.GSI1SK} & item.keys()


YEAR_2100_MS = 4_102_444_800_000


@pytest.mark.parametrize(
    "limit", [Limit("x", 10**12, 10**12, 1), Limit.per_day("x", 1), Limit.per_second("x", 1_000_000)], ids=str
)
def test_the_table_holds_every_number_that_limits_can_reach(store: Store, limit: Limit) -> None:
    store.now_ms = YEAR_2100_MS
    limiter = store.process()
    limiter.set_limits("key-1", [limit])
    limiter.acquire("key-1", "gpt-4", {"x": limit.capacity})
    with limiter.acquire("key-1", "gpt-4", {"x": 0}) as lease:
        lease.adjust({"x": 10**12})
    assert store.process().available("key-1", "gpt-4")["x"].available == -(10**12)
    assert store.process().acquire("key-2", "gpt-4", {"x": 1}, limits=[limit]).availability["x"].requested == 1
