"""Counting usage: changes of buckets, in whatever batches they come, become totals by window; each counts once.

The changes of a batch are grouped by bucket and window, and a group is one write. An item says which versions of
its bucket it counts (see :mod:`leasegate.coverage`), and its write is conditioned on just that: so what is
repeated, overlaps, comes late or is cut off between two writes is recognised, and counted once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Final

from .. import schema
from ..changes import BucketChange
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
from ..windows import UsagePlan
from . import reading
from .grouping import Group, group_changes

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


def count_usage(changes: Sequence[BucketChange], plan: UsagePlan, now_ms: int, totals: Totals) -> Flow[Counted]:
    """Count changes of buckets, each once.

    One write for each bucket and window; a round trip for 100 of them where this process wrote their totals last,
    one more that reads those it does not know. What could not be counted is among the failures; nothing raises.
    """
    groups = group_changes(changes, plan, now_ms)
    kept = {place for group in groups for place in group.changes}
    counted = Counted(groups=len(groups), expired=len(changes) - len(kept))
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


def _look_up(groups: list[Group], totals: Totals, counted: Counted) -> Flow[list[Group]]:
    """Find out what is counted already: from memory, where it is known; return the groups that could be."""
    unknown: list[Group] = []
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


def _repeated(groups: list[Group]) -> set[int]:
    """Return the places of changes that were counted in every window already, as the last writes found them."""
    fresh = {place for group in groups for place in group.fresh()}
    return {place for group in groups for place in group.changes} - fresh


def _write(group: Group, after: Usage) -> Update:
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


def _judge(group: Group, after: Usage, outcome: Outcome, totals: Totals, counted: Counted) -> bool:
    """Take an outcome in; say whether the group is done with, be it that it failed."""
    match outcome:
        case Applied():
            totals.put(group.key, after)
            return True
        case Refused(item):
            group.known = None if item is None else schema.parse_usage(item)
            if group.known is None:
                totals.pop(group.key)
            else:
                totals.put(group.key, group.known)
            return False
        case Failed(error):
            totals.pop(group.key)
            _fail(group, error, counted)
            return True
        case _:
            raise LeasegateError(f"a count cannot end as {type(outcome).__name__}")


def _fail(group: Group, error: StoreError, counted: Counted) -> None:
    counted.failures |= dict.fromkeys(group.changes, error)


def _added(before: Mapping[str, int], after: Mapping[str, int], attribute: Callable[[str], str]) -> list[Change]:
    differences = {name: count - before.get(name, 0) for name, count in after.items()}
    return [Add(attribute(name), difference) for name, difference in differences.items() if difference]
