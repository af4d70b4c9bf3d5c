"""Marks: what was read before the last one of them is not written after it, late as a writer may come."""

from __future__ import annotations

from leasegate import (
    Knowledge,
    Limit,
    Limiter,
    schema,
)
from leasegate.flows.limits_admin import delete_entity_limits, set_entity_limits
from leasegate.flows.switches import switch_entity
from leasegate.flows.telling import tell_buckets
from leasegate.limits import index_limits
from leasegate.operations import BatchGet, Transact, Update
from tests.administered import BUCKET, RPM, begin_acquire, sign
from tests.fixtures.tables import MemoryTable, Steps


def spend(process: Limiter) -> int:
    """Spend a token; return the capacity that was found."""
    return process.acquire("key-1", "gpt-4", {"rpm": 1}).availability["rpm"].capacity


def test_a_late_off_is_not_written_over_a_mark_that_was_written_again(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-1", [RPM])
    spender = table.process()
    spend(spender)
    slow = Steps(table, switch_entity("key-1", None, sign(table, "slow"), Knowledge(), is_disabled=True))
    while not (isinstance(slow.next[0], Update) and slow.next[0].key == BUCKET and "off:" in repr(slow.next)):
        slow.step()
    mark = table.item(BUCKET)[schema.STAMP]
    assert admin.enable_entity("key-1")
    assert table.item(BUCKET)[schema.STAMP] == mark, "the same text, for the clock stands still"
    slow.finish()
    assert spend(spender) == 60


def test_a_late_off_of_an_acquire_is_not_written_over_a_later_mark(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-1", [RPM])
    spend(table.process())
    # The mark alone was written, by somebody who died before turning it into an off.
    disabling = Steps(table, switch_entity("key-1", None, sign(table, "dead"), Knowledge(), is_disabled=True))
    while "off:" not in repr(disabling.next):
        disabling.step()
    slow = begin_acquire(table)
    while "off:" not in repr(slow.next):
        slow.step()
    admin.enable_entity("key-1")
    assert slow.finish().availability["rpm"].capacity == 60


def test_limits_read_after_a_mark_are_not_written_over_a_later_mark_of_the_same_ms(
    table: MemoryTable, admin: Limiter
) -> None:
    admin.set_limits("key-1", [RPM])
    spend(table.process())
    admin.set_limits("key-1", [Limit.per_minute("rpm", 7)])
    slow = begin_acquire(table)
    slow.step()
    assert isinstance(slow.next[0], BatchGet), "it met the mark, and reads again"
    slow.step()
    admin.set_limits("key-1", [Limit.per_minute("rpm", 8)])
    assert slow.finish().availability["rpm"].capacity == 8


def test_of_two_changes_in_the_same_ms_the_one_stored_last_holds(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-1", [RPM])
    spender = table.process()
    spend(spender)
    first, second = (
        Steps(
            table,
            set_entity_limits(
                "key-1", None, index_limits([Limit.per_minute("rpm", size)]), sign(table, name), Knowledge()
            ),
        )
        for name, size in (("first", 7), ("second", 8))
    )
    first.step(2)  # it is refused by what is there, and stored by the second try
    second.finish()
    assert spend(spender) == 8
    first.finish()
    assert spend(spender) == 8
    assert admin.get_limits("key-1")[0].capacity == 8


def test_a_deletion_that_meets_a_setting_deletes_what_was_set(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-1", [RPM])
    slow = Steps(table, delete_entity_limits("key-1", None, sign(table, "slow"), Knowledge()))
    slow.until(Transact)
    admin.set_limits("key-1", [Limit.per_minute("rpm", 7)])
    assert slow.finish()
    assert admin.get_limits("key-1") == ()
    actions = [(x.action, x.before) for x in admin.list_audit("entity:key-1").items if x.action == "delete_limits"]
    assert actions == [("delete_limits", ({"name": "rpm", "capacity": 7, "amount": 7, "period_ms": 60_000},))]


def test_whoever_tells_for_another_tells_before_the_other_is_done(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-1", [RPM])
    spender = table.process()
    spend(spender)
    slow = Steps(
        table,
        set_entity_limits(
            "key-1", None, index_limits([Limit.per_minute("rpm", 7)]), sign(table, "s"), Knowledge()
        ),
    )
    slow.step(2)
    helper = Steps(table, tell_buckets("key-1", table.now_ms))
    helper.step(1)  # it has read what is pending, and marks nothing yet
    slow.finish()
    assert spend(spender) == 7
    helper.finish()
    assert spend(spender) == 7
    assert not admin.get_entity("key-1").has_pending_changes


def test_a_change_stored_while_another_is_told_stays_pending(table: MemoryTable, admin: Limiter) -> None:
    admin.set_limits("key-1", [RPM])
    spender = table.process()
    spend(spender)
    slow = Steps(
        table,
        set_entity_limits(
            "key-1", None, index_limits([Limit.per_minute("rpm", 7)]), sign(table, "s"), Knowledge()
        ),
    )
    helper = Steps(table, set_entity_limits("key-1", "gpt-3", index_limits([RPM]), sign(table, "h"), Knowledge()))
    helper.step(2)
    slow.step(2)
    helper.finish()
    assert admin.get_entity("key-1").has_pending_changes
    slow.finish()
    assert spend(spender) == 7
