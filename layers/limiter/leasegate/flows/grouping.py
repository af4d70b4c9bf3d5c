"""Which changes of buckets become one write, and what that write makes of the totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .. import schema
from ..changes import BucketChange
from ..coverage import Coverage, cover, covers
from ..operations import Key
from ..schema import Usage
from ..windows import UsagePlan, window_start_ms
from .spending import summed


@dataclass(slots=True)
class Group:
    """The changes of one bucket that lie in one window, by their places, and what is known of its totals.

    ``covered`` are the versions that this batch leaves no gap in: of other windows too, which never count here.
    """

    key: Key
    expires_at_s: int
    changes: dict[int, BucketChange] = field(default_factory=dict)
    covered: set[tuple[int, int]] = field(default_factory=set)
    known: Usage | None = None

    def fresh(self) -> dict[int, BucketChange]:
        """Return the changes that are not counted yet; the same one may stand in a batch twice."""
        counted: Coverage = () if self.known is None else self.known.coverage
        fresh: dict[int, BucketChange] = {}
        for place, change in self.changes.items():
            if not covers(counted, change.version):
                fresh[place] = change
                counted = cover(counted, change.version - 1, change.version)
        return fresh

    def after(self) -> Usage | None:
        """Return the totals with all changes in them; None where there is nothing to write."""
        fresh = list(self.fresh().values())
        known = self.known or Usage()
        if not fresh or (self.known is None and not any(change.counts for change in fresh)):
            return None
        coverage = known.coverage
        for after, last in self.covered:
            coverage = cover(coverage, after, last)
        return Usage(
            coverage=coverage,
            grants=known.grants + sum([change.grants for change in fresh]),
            tokens=summed([known.tokens, *[change.tokens for change in fresh]]),
            refused=summed([known.refused, *[change.refused for change in fresh]]),
            peaks=_highest([known.peaks, *[change.peaks for change in fresh]]),
            counted_at_ms=max(known.counted_at_ms, *[change.at_ms for change in fresh]),
        )


def group_changes(changes: Sequence[BucketChange], plan: UsagePlan, now_ms: int) -> list[Group]:
    """Group changes by bucket and window, without those whose window is not kept any more."""
    buckets: dict[tuple[str, str], dict[int, BucketChange]] = {}
    for place, change in enumerate(changes):
        buckets.setdefault((change.entity_id, change.resource), {})[place] = change
    groups: dict[Key, Group] = {}
    for places in buckets.values():
        for run in _runs(places):
            span = (next(iter(run.values())).after, max(change.version for change in run.values()))
            for place, change in run.items():
                for window in plan.windows:
                    start_ms = window_start_ms(window, change.at_ms)
                    expires_at_ms = plan.expires_at_ms(window, start_ms)
                    if expires_at_ms <= now_ms:
                        continue
                    key = schema.usage_key(change.entity_id, change.resource, window, start_ms)
                    group = groups.setdefault(key, Group(key, expires_at_ms // 1000))
                    group.changes[place] = change
                    group.covered.add(span)
    return list(groups.values())


def _runs(places: Mapping[int, BucketChange]) -> Iterable[dict[int, BucketChange]]:
    """Split the changes of one bucket, in the order of their versions, where one is missing between two."""
    run: dict[int, BucketChange] = {}
    last = -1
    for place, change in sorted(places.items(), key=lambda entry: (entry[1].version, entry[1].after)):
        if run and change.after > last:
            yield run
            run = {}
        run[place] = change
        last = change.version
    yield run


def _highest(peaks: Iterable[Mapping[str, int]]) -> dict[str, int]:
    highest: dict[str, int] = {}
    for each in peaks:
        for name, peak in each.items():
            highest[name] = max(highest.get(name, 0), peak)
    return highest
