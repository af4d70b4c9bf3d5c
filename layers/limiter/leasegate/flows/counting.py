"""Counting usage: changes of buckets, in whatever batches they come, become totals by window; each counts once.

The changes of a batch are grouped by bucket and window, and a group is one write. An item says which versions of
its bucket it counts (see :mod:`leasegate.coverage`), and its write is conditioned on just that: so what is
repeated, overlaps, comes late or is cut off between two writes is recognised, and counted once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched
from operator import attrgetter
from typing import Final

from .. import schema
from ..changes import BucketChange
from ..coverage import Coverage, cover, covers
from ..errors import LeasegateError, StoreError, StoreThrottled
from ..knowledge import Recent
from ..operations import (
    Add,
    Applied,
    BatchGet,
    Change,
    Equals,
    Failed,
    Flow,
    ItemAbsent,
    Key,
    Outcome,
    Refused,
    Set,
    Update,
)
from ..schema import Usage
from ..windows import UsagePlan, window_start_ms
from . import reading

type Totals = Recent[Key, Usage]
"""The totals that a process wrote or met last; what is remembered falsely, a write's condition corrects."""

_AT_ONCE: Final = 100
_MAX_WRITES: Final = 8
"""How often a group is written, where others count the same bucket at the same time."""


@dataclass(slots=True)
class Counted:
    """What became of some changes.

    Attributes:
        groups: the buckets and windows that they fell into.
        writes: the writes that were sent for them.
        duplicates: changes that had been counted in every window before.
        expired: changes that are older than anything that is kept.
        failures: why changes could not be counted in every window, by their place; they are to be counted again.
    """

    groups: int = 0
    writes: int = 0
    duplicates: int = 0
    expired: int = 0
    failures: dict[int, StoreError] = field(default_factory=dict)


@dataclass(slots=True)
class _Group:
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
            tokens=_summed([known.tokens, *[change.tokens for change in fresh]]),
            refused=_summed([known.refused, *[change.refused for change in fresh]]),
            peaks=_highest([known.peaks, *[change.peaks for change in fresh]]),
            counted_at_ms=max(known.counted_at_ms, *[change.at_ms for change in fresh]),
        )


def count_usage(changes: Sequence[BucketChange], plan: UsagePlan, now_ms: int, totals: Totals) -> Flow[Counted]:
    """Count changes of buckets, each once.

    One write for each bucket and window; a round trip for 100 of them where this process wrote their totals last,
    one more that reads those it does not know. What could not be counted is among the failures; nothing raises.
    """
    counted = Counted()
    groups = _grouped(changes, plan, now_ms, counted)
    counted.groups = len(groups)
    known = pending = yield from _look_up(groups, totals, counted)
    for _ in range(_MAX_WRITES):
        writes = [(group, after) for group in pending if (after := group.after()) is not None]
        pending = []
        for chunk in batched(writes, _AT_ONCE, strict=False):
            outcomes = yield tuple([_write(group, after) for group, after in chunk])
            counted.writes += len(chunk)
            for (group, after), outcome in zip(chunk, outcomes, strict=True):
                if not _judge(group, after, outcome, totals, counted):
                    pending.append(group)
        if not pending:
            break
    for group in pending:
        _fail(group, StoreThrottled(f"{group.key.pk} is counted by too many at once"), counted)
    counted.duplicates = len(_repeated(known) - counted.failures.keys())
    return counted


def _grouped(changes: Sequence[BucketChange], plan: UsagePlan, now_ms: int, counted: Counted) -> list[_Group]:
    """Group changes by bucket and window, without those whose window is not kept any more."""
    buckets: dict[tuple[str, str], dict[int, BucketChange]] = {}
    for place, change in enumerate(changes):
        buckets.setdefault((change.entity_id, change.resource), {})[place] = change
    groups: dict[Key, _Group] = {}
    kept: set[int] = set()
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
                    group = groups.setdefault(key, _Group(key, expires_at_ms // 1000))
                    group.changes[place] = change
                    group.covered.add(span)
                    kept.add(place)
    counted.expired = len(changes) - len(kept)
    return list(groups.values())


def _runs(places: Mapping[int, BucketChange]) -> Iterable[dict[int, BucketChange]]:
    """Split the changes of one bucket, in the order of their versions, where one is missing between two."""
    run: dict[int, BucketChange] = {}
    last = -1
    for place, change in sorted(places.items(), key=lambda entry: attrgetter("version", "after")(entry[1])):
        if run and change.after > last:
            yield run
            run = {}
        run[place] = change
        last = change.version
    yield run


def _look_up(groups: list[_Group], totals: Totals, counted: Counted) -> Flow[list[_Group]]:
    """Find out what is counted already: from memory, where it is known; return the groups that could be."""
    unknown: list[_Group] = []
    for group in groups:
        group.known = totals.get(group.key)
        if group.known is None:
            unknown.append(group)
    if not unknown:
        return groups
    # What is read need not be the latest: the write is held to it, and its refusal brings the latest.
    (outcome,) = yield (BatchGet(tuple([group.key for group in unknown]), is_consistent=False),)
    if isinstance(outcome, Failed):
        for group in unknown:
            _fail(group, outcome.error, counted)
        return [group for group in groups if group.known is not None]
    items = reading.found(outcome)
    for group in unknown:
        item = items.get(group.key)
        group.known = None if item is None else schema.parse_usage(item)
    return groups


def _repeated(groups: list[_Group]) -> set[int]:
    """Return the places of changes that were counted in every window already, as the last writes found them."""
    fresh = {place for group in groups for place in group.fresh()}
    return {place for group in groups for place in group.changes} - fresh


def _write(group: _Group, after: Usage) -> Update:
    """Write the totals of a group, if they still are what they are known to be."""
    before = group.known or Usage()
    changes: list[Change] = [
        Set(schema.USAGE_COVERAGE, after.coverage),
        Set(schema.USAGE_COUNTED_AT, after.counted_at_ms),
    ]
    if after.grants != before.grants:
        changes.append(Add(schema.USAGE_GRANTS, after.grants - before.grants))
    changes += _added(before.tokens, after.tokens, schema.used_attribute)
    changes += _added(before.refused, after.refused, schema.refused_attribute)
    changes += [
        Set(schema.peak_attribute(name), peak)
        for name, peak in after.peaks.items()
        if peak != before.peaks.get(name, 0)
    ]
    if group.known is None or after.magnitude != before.magnitude:
        index = schema.usage_index(group.key, after.magnitude)
        changes += [Set(attribute, text) for attribute, text in index.items()]
    if group.known is None:
        changes.append(Set(schema.EXPIRES_AT, group.expires_at_s))
        return Update(group.key, tuple(changes), ItemAbsent())
    return Update(group.key, tuple(changes), Equals(schema.USAGE_COVERAGE, before.coverage))


def _judge(group: _Group, after: Usage, outcome: Outcome, totals: Totals, counted: Counted) -> bool:
    """Take an outcome in; say whether the group is done with, be it that it failed."""
    match outcome:
        case Applied():
            totals.merge(group.key, after, lambda _old, _new: False)
            return True
        case Refused(item):
            group.known = None if item is None else schema.parse_usage(item)
            if group.known is None:
                totals.pop(group.key)
            else:
                totals.merge(group.key, group.known, lambda _old, _new: False)
            return False
        case Failed(error):
            totals.pop(group.key)
            _fail(group, error, counted)
            return True
        case _:
            raise LeasegateError(f"a count cannot end as {type(outcome).__name__}")


def _fail(group: _Group, error: StoreError, counted: Counted) -> None:
    counted.failures |= dict.fromkeys(group.changes, error)


def _added(before: Mapping[str, int], after: Mapping[str, int], attribute: Callable[[str], str]) -> list[Change]:
    differences = {name: count - before.get(name, 0) for name, count in after.items()}
    return [Add(attribute(name), difference) for name, difference in differences.items() if difference]


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def _highest(peaks: Iterable[Mapping[str, int]]) -> dict[str, int]:
    highest: dict[str, int] = {}
    for each in peaks:
        for name, peak in each.items():
            highest[name] = max(highest.get(name, 0), peak)
    return highest
