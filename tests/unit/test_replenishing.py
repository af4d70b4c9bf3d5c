"""Buckets filled up by hand: whole or by so many tokens, each operation once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leasegate import (
    IdempotencyConflict,
    InvalidRequest,
    Limit,
    Limiter,
    NoLimitsConfigured,
    RateLimitExceeded,
    StoreUnavailable,
    schema,
)
from tests.fixtures.tables import MemoryTable

RPD = Limit.per_day("rpd", 60)
TPD = Limit.per_day("tpd", 10_000)
BUCKET = schema.bucket_key("key-1", "gpt-4")


def spent(table: MemoryTable, rpd: int = 50, tpd: int = 9_000) -> Limiter:
    """Return a process that spent from a bucket of two limits."""
    process = table.process()
    process.set_limits("key-1", [RPD, TPD])
    process.acquire("key-1", "gpt-4", {"rpd": rpd, "tpd": tpd})
    return process


def left(table: MemoryTable) -> dict[str, int]:
    return {name: state.available for name, state in table.process().available("key-1", "gpt-4").items()}


def test_a_reset_fills_all_limits_up(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    assert admin.reset("key-1", "gpt-4")
    assert left(table) == {"rpd": 60, "tpd": 10_000}


def test_a_reset_of_some_limits_leaves_the_others(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    assert admin.reset("key-1", "gpt-4", ["tpd"])
    assert left(table) == {"rpd": 10, "tpd": 10_000}


def test_a_reset_of_no_limits_is_refused_and_not_taken_for_all(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    with pytest.raises(InvalidRequest) as caught:
        admin.reset("key-1", "gpt-4", [])
    assert caught.value.field == "limits"
    assert left(table) == {"rpd": 10, "tpd": 1_000}


def test_a_top_up_adds_tokens_to_the_limits_it_names(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    assert admin.top_up("key-1", "gpt-4", {"rpd": 5})
    assert left(table) == {"rpd": 15, "tpd": 1_000}


def test_a_top_up_never_fills_above_the_capacity(table: MemoryTable, admin: Limiter) -> None:
    process = spent(table)
    admin.top_up("key-1", "gpt-4", {"rpd": 10**12}, operation_id="op")
    assert left(table)["rpd"] == 60
    (record, *_) = [x for x in admin.list_audit("entity:key-1").items if x.action == "top_up"]
    assert record.after == {"available": {"rpd": 60}, "operation_id": "op"}
    process.acquire("key-1", "gpt-4", {"rpd": 60})
    with pytest.raises(RateLimitExceeded):
        table.process().acquire("key-1", "gpt-4", {"rpd": 1})


def test_a_top_up_pays_a_debt_first_and_a_reset_forgives_it(table: MemoryTable, admin: Limiter) -> None:
    process = spent(table)
    with process.acquire("key-1", "gpt-4", {"rpd": 1}) as lease:
        lease.adjust({"rpd": 100})
    assert left(table)["rpd"] == -91
    admin.top_up("key-1", "gpt-4", {"rpd": 92})
    assert left(table)["rpd"] == 1
    with process.acquire("key-1", "gpt-4", {"rpd": 1}) as lease:
        lease.adjust({"rpd": 1_000})
    admin.reset("key-1", "gpt-4", ["rpd"])
    assert left(table)["rpd"] == 60


def test_what_was_used_stays_counted(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    used = {schema.used_attribute("rpd"): 50, schema.used_attribute("tpd"): 9_000}
    changes: list[Callable[[], object]] = [
        lambda: admin.top_up("key-1", "gpt-4", {"rpd": 5, "tpd": 5}),
        lambda: admin.reset("key-1", "gpt-4", ["rpd"]),
        lambda: admin.reset("key-1", "gpt-4"),
    ]
    for change in changes:
        version = table.item(BUCKET)[schema.VERSION]
        change()
        item = table.item(BUCKET)
        assert {name: item[name] for name in used} == used
        assert item[schema.VERSION] == version + 1  # type: ignore[operator]  # a version is an integer


def test_a_process_that_was_refused_a_moment_ago_and_filled_up_itself_spends_at_once(table: MemoryTable) -> None:
    process = spent(table)
    with pytest.raises(RateLimitExceeded):
        process.acquire("key-1", "gpt-4", {"rpd": 11})
    process.top_up("key-1", "gpt-4", {"rpd": 1})
    process.acquire("key-1", "gpt-4", {"rpd": 11})


# --- once ------------------------------------------------------------------------------------------


OPERATIONS: list[Callable[[Limiter], bool]] = [
    lambda x: x.reset("key-1", "gpt-4", ["rpd"], operation_id="op"),
    lambda x: x.top_up("key-1", "gpt-4", {"rpd": 5}, operation_id="op"),
]
BOTH = pytest.mark.parametrize("operate", OPERATIONS, ids=["reset", "top_up"])


@BOTH
def test_a_repeated_operation_is_done_once(
    table: MemoryTable, admin: Limiter, operate: Callable[[Limiter], bool]
) -> None:
    process = spent(table)
    assert operate(admin)
    process.acquire("key-1", "gpt-4", {"rpd": 5})
    after = table.memory.items
    for repeater in (admin, table.process(), process):
        assert not operate(repeater)
    table.now_ms += 80 * 86_400_000
    assert not operate(table.process())
    assert table.memory.items == after


@BOTH
def test_an_operation_whose_reply_was_lost_is_done_once(
    table: MemoryTable, admin: Limiter, operate: Callable[[Limiter], bool]
) -> None:
    process = spent(table)
    table.lose_reply(2)
    with pytest.raises(StoreUnavailable):
        operate(admin)
    process.acquire("key-1", "gpt-4", {"rpd": 5})
    before = left(table)
    assert not operate(admin)
    assert left(table) == before
    assert len(admin.list_audit("entity:key-1").items) == 2, "the limits, and this"


@BOTH
def test_of_two_who_do_one_operation_at_once_one_does_it(
    table: MemoryTable, admin: Limiter, operate: Callable[[Limiter], bool]
) -> None:
    spent(table)
    answers: list[bool] = []
    table.before_trip(2, lambda: answers.append(operate(table.process())))
    assert not operate(admin)
    assert answers == [True]
    assert left(table)["rpd"] in (15, 60)


def test_another_operation_under_the_same_id_is_refused(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    admin.top_up("key-1", "gpt-4", {"rpd": 5}, operation_id="op")
    others: list[Callable[[], bool]] = [
        lambda: admin.top_up("key-1", "gpt-4", {"rpd": 6}, operation_id="op"),
        lambda: admin.top_up("key-1", "gpt-4", {"tpd": 5}, operation_id="op"),
        lambda: admin.top_up("key-1", "gpt-3", {"rpd": 5}, operation_id="op"),
        lambda: admin.reset("key-1", "gpt-4", operation_id="op"),
    ]
    after = table.memory.items
    for other in others:
        with pytest.raises(IdempotencyConflict) as caught:
            other()
        assert caught.value.operation_id == "op"
    assert table.memory.items == after


def test_the_order_of_names_makes_no_other_operation(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    assert admin.reset("key-1", "gpt-4", ["rpd", "tpd"], operation_id="a")
    assert not admin.reset("key-1", "gpt-4", ["tpd", "rpd", "tpd"], operation_id="a")
    assert admin.top_up("key-1", "gpt-4", {"rpd": 1, "tpd": 2}, operation_id="b")
    assert not admin.top_up("key-1", "gpt-4", {"tpd": 2, "rpd": 1}, operation_id="b")


def test_entities_have_operations_of_their_own(table: MemoryTable, admin: Limiter) -> None:
    admin.set_system_defaults([RPD])
    for entity_id in ("key-1", "key-2"):
        admin.acquire(entity_id, "gpt-4", {"rpd": 60})
        assert admin.top_up(entity_id, "gpt-4", {"rpd": 5}, operation_id="op")
        assert admin.available(entity_id, "gpt-4")["rpd"].available == 5


def test_without_an_id_every_call_is_an_operation(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    for _ in range(3):
        assert admin.top_up("key-1", "gpt-4", {"rpd": 1})
    assert left(table)["rpd"] == 13


# --- what is there ---------------------------------------------------------------------------------


def test_a_bucket_that_is_not_there_is_full_and_stays_away(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-1", [RPD])
    assert admin.top_up("key-1", "gpt-4", {"rpd": 5}, operation_id="op")
    assert admin.reset("key-1", "gpt-4")
    assert BUCKET not in table.memory.items
    admin.acquire("key-1", "gpt-4", {"rpd": 60})
    assert not admin.top_up("key-1", "gpt-4", {"rpd": 5}, operation_id="op")


def test_a_bucket_that_comes_meanwhile_is_filled_up(table: MemoryTable, admin: Limiter) -> None:
    spender = table.process()
    spender.set_limits("key-1", [RPD])
    table.before_trip(2, lambda: spender.acquire("key-1", "gpt-4", {"rpd": 60}))
    assert admin.top_up("key-1", "gpt-4", {"rpd": 5})
    assert admin.available("key-1", "gpt-4")["rpd"].available == 5


def test_a_bucket_whose_limits_changed_is_filled_up_all_the_same(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    half = Limit.per_day("rpd", 30)
    admin.set_limits("key-1", [half, Limit.per_day("images", 7)])
    admin.top_up("key-1", "gpt-4", {"rpd": 45, "images": 1})
    assert left(table) == {"rpd": 25, "images": 7}
    admin.set_limits("key-1", [RPD])
    admin.reset("key-1", "gpt-4")
    assert left(table) == {"rpd": 60}


def test_limits_that_change_between_read_and_write_are_read_again(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    table.before_trip(2, lambda: table.process().set_limits("key-1", [Limit.per_day("rpd", 100)]))
    assert table.cost(lambda: admin.top_up("key-1", "gpt-4", {"rpd": 5})) == ["BatchGet", "Transact"] * 2
    assert left(table) == {"rpd": 55}


def test_others_who_spend_meanwhile_do_not_hold_a_top_up_off(table: MemoryTable, admin: Limiter) -> None:
    spender = spent(table)
    table.before_trip(2, lambda: spender.acquire("key-1", "gpt-4", {"rpd": 10}))
    assert table.cost(lambda: admin.top_up("key-1", "gpt-4", {"rpd": 5})) == ["BatchGet", "Transact"]
    assert left(table)["rpd"] == 5


# --- refused ---------------------------------------------------------------------------------------


def test_names_that_are_no_limits_are_refused_by_name(table: MemoryTable, admin: Limiter) -> None:
    spent(table)
    before = table.memory.items
    calls: dict[str, Callable[[], object]] = {
        "limits": lambda: admin.reset("key-1", "gpt-4", ["rpd", "nope"], operation_id="op"),
        "tokens.nope": lambda: admin.top_up("key-1", "gpt-4", {"rpd": 1, "nope": 1}, operation_id="op"),
    }
    for field, call in calls.items():
        with pytest.raises(InvalidRequest) as caught:
            call()
        assert caught.value.field == field
    assert table.memory.items == before


def test_what_nobody_limits_cannot_be_filled_up(admin: Limiter) -> None:
    with pytest.raises(NoLimitsConfigured):
        admin.reset("key-1", "gpt-4")
    with pytest.raises(NoLimitsConfigured):
        admin.top_up("key-1", "gpt-4", {"rpd": 1})


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("entity_id", lambda x: x.reset("a#", "gpt-4")),
        ("resource", lambda x: x.top_up("a", "", {"rpd": 1})),
        ("limits", lambda x: x.reset("a", "gpt-4", ["#"])),
        ("tokens", lambda x: x.top_up("a", "gpt-4", {})),
        ("tokens.rpd", lambda x: x.top_up("a", "gpt-4", {"rpd": -1})),
        ("tokens.rpd", lambda x: x.top_up("a", "gpt-4", {"rpd": 10**12 + 1})),
        ("operation_id", lambda x: x.reset("a", "gpt-4", operation_id="a b")),
        ("operation_id", lambda x: x.top_up("a", "gpt-4", {"rpd": 1}, operation_id="")),
        ("actor", lambda x: x.reset("a", "gpt-4", actor="")),
    ],
)
def test_bad_input_is_refused_by_the_name_of_its_field(
    table: MemoryTable, admin: Limiter, field: str, call: Callable[[Limiter], object]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call(admin)
    assert (caught.value.field, table.trips) == (field, [])
