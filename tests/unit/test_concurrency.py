"""Holders of a concurrency limit: their ids, how many places are left, and when to ask again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leasegate import Limit
from leasegate.concurrency import MAX_TAKEN, Holders, holder_ids, lapsed, places_available, retry_after_ms

NOW_MS = 1_790_000_000_000
STREAMS = Limit.concurrent("streams", 5, 60)

limits = st.builds(Limit.concurrent, st.just("streams"), st.integers(1, 8), st.integers(1, 86_400))
times = st.integers(-2_000, 2_000).map(lambda later: NOW_MS + later)
holders = st.dictionaries(st.sampled_from("abcdefghij"), times)


def until(*later_ms: int) -> Holders:
    """Return holders that lapse so much later than now, called a, b, c and so on."""
    return {chr(ord("a") + number): NOW_MS + later for number, later in enumerate(later_ms)}


# --- ids -------------------------------------------------------------------------------------------


def test_a_request_lets_in_the_same_holders_whenever_and_wherever_it_is_repeated() -> None:
    assert holder_ids("0198c5a2-7f6e-7c4e-8f44-6f2f0d3a9b11", 3) == ("wNiHQaum", "wNiHQaum1", "wNiHQaum2")


@given(st.text(max_size=40), st.integers(0, MAX_TAKEN))
def test_holders_of_one_request_differ_and_more_of_them_begin_with_the_same(request_id: str, count: int) -> None:
    ids = holder_ids(request_id, count)
    assert len(set(ids)) == len(ids) == count
    assert holder_ids(request_id, MAX_TAKEN)[:count] == ids


@given(st.sets(st.text(max_size=8), min_size=2, max_size=40))
def test_different_requests_let_in_different_holders(request_ids: set[str]) -> None:
    ids = [holder for request_id in request_ids for holder in holder_ids(request_id, MAX_TAKEN)]
    assert len(set(ids)) == len(ids)


@given(st.text(max_size=40))
def test_a_holders_id_is_short_and_fits_behind_a_dot_in_the_name_of_an_attribute(request_id: str) -> None:
    for holder in holder_ids(request_id, MAX_TAKEN):
        assert len(holder) <= 10
        assert holder.isascii()
        assert "." not in holder


# --- places ----------------------------------------------------------------------------------------


def test_a_place_is_free_from_the_very_ms_in_which_its_holder_lapses() -> None:
    assert places_available(STREAMS, {}, NOW_MS) == 5
    assert places_available(STREAMS, until(1, 1, 60_000), NOW_MS) == 2
    assert places_available(STREAMS, until(1, 1, 60_000), NOW_MS + 1) == 4


def test_a_limit_that_was_lowered_under_its_holders_has_less_than_no_place() -> None:
    assert places_available(Limit.concurrent("streams", 1, 60), until(1, 2, 3), NOW_MS) == -2


@given(limits, holders)
def test_whoever_has_not_lapsed_has_a_place(limit: Limit, present: Holders) -> None:
    assert places_available(limit, present, NOW_MS) == limit.capacity - len(present) + len(lapsed(present, NOW_MS))


def test_of_those_who_lapsed_the_first_come_first() -> None:
    assert lapsed(until(-1, 0, -30, 1, -7), NOW_MS) == ["c", "e", "a", "b"]


@given(holders, times)
def test_exactly_those_whose_time_is_over_have_lapsed_and_in_the_order_of_their_times(
    present: Holders, now_ms: int
) -> None:
    gone = lapsed(present, now_ms)
    assert set(gone) == {holder for holder, until_ms in present.items() if until_ms <= now_ms}
    assert [present[holder] for holder in gone] == sorted(present[holder] for holder in gone)


# --- when to ask again -----------------------------------------------------------------------------


def test_it_is_worth_asking_again_when_enough_will_have_lapsed() -> None:
    present = until(100, 300, 200, 60_000, 60_000)
    assert [retry_after_ms(STREAMS, present, count, NOW_MS) for count in (1, 2, 3)] == [100, 200, 300]


def test_or_in_a_second_for_holders_may_leave_at_any_time() -> None:
    assert retry_after_ms(STREAMS, until(*[60_000] * 5), 1, NOW_MS) == 1_000


def test_more_places_than_there_are_give_a_time_all_the_same() -> None:
    assert retry_after_ms(STREAMS, {}, 6, NOW_MS) == 1_000
    assert retry_after_ms(STREAMS, until(10, 20), 6, NOW_MS) == 20
    assert retry_after_ms(Limit.concurrent("streams", 1, 60), until(10, 20, 30), 3, NOW_MS) == 30


@given(limits, holders, st.integers(0, 10))
def test_the_time_is_none_where_the_places_are_there_and_else_a_second_at_most(
    limit: Limit, present: Holders, count: int
) -> None:
    wait_ms = retry_after_ms(limit, present, count, NOW_MS)
    if count <= places_available(limit, present, NOW_MS):
        assert wait_ms == 0
    else:
        assert 1 <= wait_ms <= 1_000


@given(limits, holders, st.data())
def test_before_that_time_nobody_who_only_waits_gets_in_and_then_they_do_if_it_is_no_second(
    limit: Limit, present: Holders, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, limit.capacity))
    wait_ms = retry_after_ms(limit, present, count, NOW_MS)
    if wait_ms:
        assert places_available(limit, present, NOW_MS + wait_ms - 1) < count
    if wait_ms < 1_000:
        assert places_available(limit, present, NOW_MS + wait_ms) >= count
