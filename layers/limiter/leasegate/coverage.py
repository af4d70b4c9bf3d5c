"""Which versions of a bucket are counted, as ranges: so that each counts once, in whatever order they come.

A coverage is a flat tuple ``(after, last, after, last, ...)`` of ascending ranges that do not touch: the versions
above ``after`` up to ``last``, that one included. Records of a stream come in order and without gaps, so there is
nearly always one range.
"""

from __future__ import annotations

from bisect import bisect_left

type Coverage = tuple[int, ...]


def covers(coverage: Coverage, version: int) -> bool:
    """Say whether a version has been counted."""
    # An odd number of bounds is below it where it lies above the "after" of a range and not above its "last".
    return bisect_left(coverage, version) % 2 == 1


def cover(coverage: Coverage, after: int, last: int) -> Coverage:
    """Return the coverage with the versions above ``after`` up to ``last`` in it as well."""
    below: list[int] = []
    above: list[int] = []
    for low, high in zip(coverage[::2], coverage[1::2], strict=True):
        if high < after:
            below += (low, high)
        elif low > last:
            above += (low, high)
        else:
            after, last = min(after, low), max(last, high)
    return (*below, after, last, *above)
