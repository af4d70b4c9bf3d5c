"""Concurrency limits in writes: let holders in, let them go, keep them, and clear away those that lapsed.

A bucket counts the holders of a limit in one attribute, and keeps for each an attribute of its own with the time
at which it lapses. Both change together or not at all, so nobody is lost or counted twice. A write that lets one
in asks for the count and not for who holds what, so until the limit is reached writers do not get in each other's
way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .. import concurrency, schema
from ..concurrency import Holders
from ..limits import Limit, Limits
from ..operations import (
    Add,
    AnyOf,
    AtMost,
    Change,
    Condition,
    Equals,
    Exists,
    NotExists,
    Remove,
    Set,
)
from ..schema import Bucket

type HolderIds = Mapping[str, tuple[str, ...]]
"""Ids of holders by limit name."""

MAX_CLEARED: Final = 60
"""How many holders one write clears away at most: DynamoDB takes 4 KB and 300 operators in an expression."""


def let_in(
    changes: list[Change],
    conditions: list[Condition],
    limit: Limit,
    present: Holders,
    entering: Mapping[str, int],
    now_ms: int,
) -> None:
    """Let holders in, in place of lapsed ones as far as need be, if the count allows it."""
    room = limit.capacity - len(entering)
    in_the_way = max(0, len(present) - room)
    most = MAX_CLEARED - sum([isinstance(change, Remove) for change in changes])
    leaving = concurrency.lapsed(present, now_ms)[: min(in_the_way, most)]
    for holder in leaving:
        attribute = schema.holder_attribute(limit.name, holder)
        changes.append(Remove(attribute))
        conditions.append(Equals(attribute, present[holder]))
    for holder, until_ms in entering.items():
        attribute = schema.holder_attribute(limit.name, holder)
        changes.append(Set(attribute, until_ms))
        conditions.append(NotExists(attribute))
    count = schema.held_attribute(limit.name)
    changes.append(Add(count, len(entering) - len(leaving)))
    conditions.append(AnyOf((NotExists(count), AtMost(count, room + len(leaving)))))


def let_go(
    changes: list[Change], conditions: list[Condition], name: str, present: Holders, ids: tuple[str, ...]
) -> None:
    """Let holders go; one that is not there any more lapsed and was cleared away."""
    leaving = [holder for holder in ids if holder in present]
    for holder in ids:
        attribute = schema.holder_attribute(name, holder)
        if holder in present:
            changes.append(Remove(attribute))
            conditions.append(Exists(attribute))
        else:
            conditions.append(NotExists(attribute))
    if leaving:
        changes.append(Add(schema.held_attribute(name), -len(leaving)))


def keep(changes: list[Change], conditions: list[Condition], name: str, holders: Holders) -> None:
    """Let holders stay until another time, if they are all there."""
    for holder, until_ms in holders.items():
        attribute = schema.holder_attribute(name, holder)
        changes.append(Set(attribute, until_ms))
        conditions.append(Exists(attribute))


def clearable(state: Bucket, limits: Limits, now_ms: int) -> list[tuple[str, str]]:
    """List the holders that need not be there: they lapsed, or what they hold is none of these ``limits``."""
    found: list[tuple[str, str]] = []
    for name, present in state.holders.items():
        limit = limits.get(name)
        gone = concurrency.lapsed(present, now_ms) if limit is not None and limit.is_concurrent else list(present)
        found += [(name, holder) for holder in gone]
    return found


def clear(changes: list[Change], conditions: list[Condition], state: Bucket, gone: list[tuple[str, str]]) -> None:
    """Clear holders away, if they are as they were seen."""
    counts: dict[str, int] = {}
    for name, holder in gone:
        attribute = schema.holder_attribute(name, holder)
        changes.append(Remove(attribute))
        conditions.append(Equals(attribute, state.holders[name][holder]))
        counts[name] = counts.get(name, 0) + 1
    changes += [Add(schema.held_attribute(name), -count) for name, count in counts.items()]


def must_clear_first(state: Bucket, amounts: Mapping[str, int]) -> bool:
    """Say whether more holders lapsed than a write that lets others in can clear away beside it."""
    in_the_way = 0
    for name, count in amounts.items():
        limit = state.limits[name]
        if limit.is_concurrent:
            in_the_way += max(0, len(state.holders.get(name, {})) + count - limit.capacity)
    return in_the_way > MAX_CLEARED


def takes_too_many(limits: Limits, amounts: Mapping[str, int]) -> bool:
    """Say whether more places would be taken than one acquire may, of all concurrency limits together."""
    taken = 0
    for name, count in amounts.items():
        limit = limits.get(name)
        if limit is not None and limit.is_concurrent:
            taken += count
    return taken > concurrency.MAX_TAKEN


def without(holders: Mapping[str, Holders], gone: HolderIds) -> dict[str, Holders]:
    """Return the holders that are left when some are gone."""
    return {
        name: {holder: until_ms for holder, until_ms in present.items() if holder not in gone.get(name, ())}
        for name, present in holders.items()
    }
