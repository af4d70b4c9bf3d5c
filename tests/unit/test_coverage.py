"""Coverage: which versions of a bucket are counted, as ranges, held to the plain set of them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from leasegate.coverage import Coverage, cover, covers

ranges = st.tuples(st.integers(-1, 40), st.integers(1, 12)).map(lambda each: (each[0], each[0] + each[1]))


def versions(coverage: Coverage) -> set[int]:
    """Return the versions one by one."""
    bounds = zip(coverage[::2], coverage[1::2], strict=True)
    return {version for after, last in bounds for version in range(after + 1, last + 1)}


def covering(*added: tuple[int, int]) -> Coverage:
    coverage: Coverage = ()
    for after, last in added:
        coverage = cover(coverage, after, last)
    return coverage


def test_nothing_covers_nothing() -> None:
    assert not covers((), 0)
    assert not covers((), 7)


def test_a_range_covers_what_is_above_its_start_up_to_its_end() -> None:
    coverage = cover((), 10, 13)
    assert [version for version in range(20) if covers(coverage, version)] == [11, 12, 13]


def test_what_follows_without_a_gap_makes_the_range_longer() -> None:
    assert covering((10, 13), (13, 15)) == (10, 15)
    assert covering((13, 15), (10, 13)) == (10, 15)


def test_a_gap_of_one_version_keeps_two_ranges_apart_until_it_is_filled() -> None:
    assert covering((10, 13), (14, 15)) == (10, 13, 14, 15)
    assert covering((10, 13), (14, 15), (13, 14)) == (10, 15)


def test_a_range_swallows_all_that_lie_within_it() -> None:
    assert covering((10, 11), (13, 14), (16, 17), (9, 20)) == (9, 20)


@given(st.lists(ranges, max_size=20))
def test_a_coverage_is_the_set_of_all_that_was_added(added: list[tuple[int, int]]) -> None:
    coverage = covering(*added)
    expected = {version for after, last in added for version in range(after + 1, last + 1)}
    assert versions(coverage) == expected
    assert {version for version in range(-3, 60) if covers(coverage, version)} == expected


@given(st.lists(ranges, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_adding_and_repetitions_change_nothing(added: list[tuple[int, int]], chance: object) -> None:
    shuffled = [*added, *added[::2]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    assert covering(*shuffled) == covering(*added)


@given(st.lists(ranges, max_size=20))
def test_ranges_ascend_and_do_not_touch(added: list[tuple[int, int]]) -> None:
    assert all(one < other for one, other in pairwise(covering(*added)))


@given(st.integers(0, 10**18), st.integers(1, 500))
def test_what_comes_in_order_is_one_range(first: int, count: int) -> None:
    coverage: Coverage = ()
    for version in range(first, first + count):
        assert not covers(coverage, version + 1)
        coverage = cover(coverage, version, version + 1)
    assert coverage == (first, first + count)
