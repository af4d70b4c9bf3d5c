"""What an administrator is shown: entities, resources, buckets, changes, and how far long work has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from .errors import StoreError
from .limits import Limit
from .operations import Value
from .schema import Usage
from .states import LimitState
from .windows import Window, window_end_ms

type Level = Literal["entity_resource", "entity", "resource", "system"]

LEVELS: Final[tuple[Level, ...]] = ("entity_resource", "entity", "resource", "system")
"""Where limits stand, in the order in which they win."""


@dataclass(frozen=True, slots=True)
class Listing[T]:
    """One page of a list.

    Attributes:
        items: what is on it.
        cursor: leads to the next page, given to the same method; None says that this is the last.
    """

    items: tuple[T, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class EntityRecord:
    """An entity; times are ms since 1970.

    Attributes:
        entity_id: who.
        parent_id: whose child; None at the top.
        name: what people call it.
        metadata: the caller's own, strings by name.
        created_at_ms: when it was created; None where it only has limits, buckets or a state.
        disabled_at_ms: when it was disabled; None where it is not.
        disabled_resources: when it was disabled for single resources, by resource.
        children: how many entities are right below.
        buckets: how many resources it has buckets for.
        is_being_deleted: its deletion has begun, and not ended.
        has_pending_changes: a change was stored, but not every bucket was told of it: repeat the change.
    """

    entity_id: str
    parent_id: str | None
    name: str | None
    metadata: Mapping[str, str]
    created_at_ms: int | None
    disabled_at_ms: int | None
    disabled_resources: Mapping[str, int]
    children: int
    buckets: int
    is_being_deleted: bool
    has_pending_changes: bool


@dataclass(frozen=True, slots=True)
class EntityLimits:
    """Limits that are set on an entity.

    Attributes:
        resource: what for; None for all resources that it has no other limits for.
        limits: the limits, in the order of their names.
    """

    resource: str | None
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class ResourceRecord:
    """A resource.

    Attributes:
        resource: which.
        limits: its defaults; empty where there are none.
        disabled_at_ms: when it was disabled for everybody, in ms since 1970; None where it is not.
    """

    resource: str
    limits: tuple[Limit, ...]
    disabled_at_ms: int | None


@dataclass(frozen=True, slots=True)
class BucketRecord:
    """A bucket as it stands.

    Attributes:
        entity_id: whose.
        resource: what for.
        source: the level that its limits came from, ``"inline"`` for limits given with a call, ``"stale"`` where
            they changed since it was last used, ``"disabled"`` where it refuses everything.
        states: what each limit has left, by name.
    """

    entity_id: str
    resource: str
    source: str
    states: Mapping[str, LimitState]


@dataclass(frozen=True, slots=True)
class Resolution:
    """Which limits hold for an entity and a resource, and why.

    Attributes:
        entity_id: who.
        resource: what.
        level: the level that wins; None where none has limits, so that those given with a call hold.
        limits: its limits.
        levels: the limits of every level that has any.
        is_disabled: nothing may be spent, whatever the limits say.
    """

    entity_id: str
    resource: str
    level: Level | None
    limits: tuple[Limit, ...]
    levels: Mapping[Level, tuple[Limit, ...]]
    is_disabled: bool

    @property
    def reason(self) -> str:
        """Why this level wins, in a sentence."""
        names: Mapping[Level, str] = {
            "entity_resource": f"entity {self.entity_id} for {self.resource}",
            "entity": f"entity {self.entity_id} for all resources",
            "resource": f"the defaults of {self.resource}",
            "system": "the system's defaults",
        }
        if self.level is None:
            return "no level has limits: those given with a call hold"
        above = LEVELS[: LEVELS.index(self.level)]
        without = f"; none are set on {', '.join([names[level] for level in above])}" if above else ""
        return f"limits are set on {names[self.level]}{without}"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One administrative change.

    Attributes:
        scope: what was changed: ``"system"``, ``"resource:{id}"`` or ``"entity:{id}"``.
        id: names the change among those of the same ms.
        at_ms: when, in ms since 1970.
        actor: who.
        action: what was done, such as ``"set_limits"``.
        resource: the resource of an entity that it was done for; None for all.
        before: what was there, as JSON would hold it; None for nothing.
        after: what is there now.
    """

    scope: str
    id: str
    at_ms: int
    actor: str
    action: str
    resource: str | None
    before: Value
    after: Value


@dataclass(frozen=True, slots=True)
class Deletion:
    """How far the deletion of an entity has come; the counts are those of this call.

    Attributes:
        is_complete: nothing is left of it. If not, call again.
        limits: levels of limits that were deleted.
        buckets: buckets that were deleted.
        children_moved: children that now are its parent's.
    """

    is_complete: bool
    limits: int = 0
    buckets: int = 0
    children_moved: int = 0


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep found among the leases that expire.

    Attributes:
        released: leases whose tokens were given back.
        kept: those whose tokens stay spent.
        failed: those that could not be ended; the next sweep meets them again.
        is_complete: no lease was left over whose time had come.
        next_at_ms: when the next lease expires, of those that were seen; None where there was none.
    """

    released: int = 0
    kept: int = 0
    failed: int = 0
    is_complete: bool = True
    next_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """How far a backfill of the registry has come, all invocations of this run together.

    Attributes:
        status: ``"in_progress"``: call again with the same arguments, to go on from the checkpoint.
        scanned: items looked at.
        found: resources that have defaults.
        added: names that were missing in the registry; in a dry run, that are.
        removed: names without defaults that were taken out; in a dry run, that would be.
        checkpoint: where it goes on: ``segments`` in all, ``segments_done`` of them, which is left out where there
            was no time to look; None when complete.
    """

    status: Literal["complete", "in_progress"]
    scanned: int
    found: int
    added: int
    removed: int
    checkpoint: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """What was spent of one limit.

    Attributes:
        tokens: the tokens spent, net of what was given back; negative where more came back than was spent in this
            window. Always 0 for a concurrency limit.
        refused: how many acquires it refused, as far as that is known: a process reports them with the next grant
            that it writes.
        peak: the most that was in use right after a write: tokens spent and not refilled yet, more than the
            capacity in debt; places held.
    """

    tokens: int
    refused: int
    peak: int


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """What an entity spent of a resource in one window of time, by the clocks of those who spent.

    Attributes:
        entity_id: who.
        resource: what.
        window: ``"minute"``, ``"hour"``, ``"day"`` or ``"month"``, in UTC.
        start_ms: when the window begins, in ms since 1970.
        end_ms: when the next one does.
        grants: how many acquires were granted.
        limits: what was spent of each limit, by name.
        counted_at_ms: the time of the latest change that is counted.
    """

    entity_id: str
    resource: str
    window: Window
    start_ms: int
    end_ms: int
    grants: int
    limits: Mapping[str, LimitUsage]
    counted_at_ms: int

    @classmethod
    def of(cls, entity_id: str, resource: str, window: Window, start_ms: int, usage: Usage) -> UsageRecord:
        """Show the totals of a window."""
        names = sorted(usage.tokens.keys() | usage.refused.keys() | usage.peaks.keys())
        limits = {
            name: LimitUsage(usage.tokens.get(name, 0), usage.refused.get(name, 0), usage.peaks.get(name, 0))
            for name in names
        }
        end_ms = window_end_ms(window, start_ms)
        return cls(entity_id, resource, window, start_ms, end_ms, usage.grants, limits, usage.counted_at_ms)


@dataclass(frozen=True, slots=True)
class CountReport:
    """What became of some records of the table's stream.

    Attributes:
        records: how many there were.
        groups: the buckets and windows that they fell into.
        writes: the writes that were sent for them.
        duplicates: records that had been counted before.
        expired: records that are older than anything that is kept.
        failures: why records could not be counted, by their place; they are to be sent again.
        unreadable: what is wrong with records that are no change of a bucket, by their place.
        lag_ms: how long ago the oldest record was written; None where there was none to count.
    """

    records: int
    groups: int
    writes: int
    duplicates: int
    expired: int
    failures: Mapping[int, StoreError]
    unreadable: Mapping[int, str]
    lag_ms: int | None
