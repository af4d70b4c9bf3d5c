"""Where a backfill of the registry stands: what it was asked for, what is left to do, what it did so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from .. import schema
from ..errors import InvalidRequest
from ..identifiers import check_integer
from ..operations import AllOf, Condition, Equals, Item, ItemAbsent, Key, Position, Value
from ..records import BackfillReport

MAX_SEGMENTS: Final = 32


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill is asked for; raises :class:`InvalidRequest` for what it cannot be.

    Attributes:
        dry_run: only count what would change.
        prune: also take names out whose defaults are gone.
        segments: how many parts of the table are scanned side by side, 1 to 32.
    """

    dry_run: bool = False
    prune: bool = False
    segments: int = 4

    def __post_init__(self) -> None:
        """Check every field; callers bring them from outside."""
        for field, value in (("dry_run", self.dry_run), ("prune", self.prune)):
            if not isinstance(value, bool):
                raise InvalidRequest(field, "must be true or false")
        check_integer("segments", self.segments, 1, MAX_SEGMENTS)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One state of a run; the item in the table is always in step with what was added and removed.

    Attributes:
        plan: what was asked for.
        run: tells this run from all others.
        version: grows by one with every write.
        positions: the segments that are not scanned to their end, each with the last position in it; None where it
            was not begun.
        prune_after: the names in the registry after this one are to be checked; None if there are none to check.
        scanned: items looked at. found: defaults among them.
        added: names put into the registry. removed: names taken out.
    """

    plan: Plan
    run: str
    version: int
    positions: Mapping[int, Position | None]
    prune_after: str | None
    scanned: int = 0
    found: int = 0
    added: int = 0
    removed: int = 0


def first_checkpoint(plan: Plan, run: str) -> Checkpoint:
    """Return the state of a run that has done nothing yet."""
    return Checkpoint(plan, run, 1, dict.fromkeys(range(plan.segments)), "" if plan.prune else None)


def as_read(checkpoint: Checkpoint | None) -> Condition:
    """Return the condition that the checkpoint in the table is still this one, or (None) that there is none."""
    if checkpoint is None:
        return ItemAbsent()
    return AllOf(
        (Equals(schema.BACKFILL_RUN, checkpoint.run), Equals(schema.BACKFILL_VERSION, checkpoint.version))
    )


def render(checkpoint: Checkpoint) -> Item:
    """Write a checkpoint as an item."""
    positions: dict[str, Value] = {
        str(segment): None if position is None else tuple(position.key)
        for segment, position in checkpoint.positions.items()
    }
    return {
        schema.BACKFILL_RUN: checkpoint.run,
        schema.BACKFILL_VERSION: checkpoint.version,
        schema.BACKFILL_DRY_RUN: checkpoint.plan.dry_run,
        schema.BACKFILL_PRUNE: checkpoint.plan.prune,
        schema.BACKFILL_SEGMENTS: checkpoint.plan.segments,
        schema.BACKFILL_POSITIONS: positions,
        schema.BACKFILL_PRUNE_AFTER: checkpoint.prune_after,
        schema.BACKFILL_SCANNED: checkpoint.scanned,
        schema.BACKFILL_FOUND: checkpoint.found,
        schema.BACKFILL_ADDED: checkpoint.added,
        schema.BACKFILL_REMOVED: checkpoint.removed,
    }


def parse(item: Item) -> Checkpoint:
    """Read what :func:`render` wrote."""
    positions = cast("Mapping[str, tuple[str, str] | None]", item[schema.BACKFILL_POSITIONS])
    return Checkpoint(
        Plan(
            cast("bool", item[schema.BACKFILL_DRY_RUN]),
            cast("bool", item[schema.BACKFILL_PRUNE]),
            cast("int", item[schema.BACKFILL_SEGMENTS]),
        ),
        run=cast("str", item[schema.BACKFILL_RUN]),
        version=cast("int", item[schema.BACKFILL_VERSION]),
        positions={
            int(segment): None if last is None else Position(Key(*last)) for segment, last in positions.items()
        },
        prune_after=cast("str | None", item[schema.BACKFILL_PRUNE_AFTER]),
        scanned=cast("int", item[schema.BACKFILL_SCANNED]),
        found=cast("int", item[schema.BACKFILL_FOUND]),
        added=cast("int", item[schema.BACKFILL_ADDED]),
        removed=cast("int", item[schema.BACKFILL_REMOVED]),
    )


def report_complete(checkpoint: Checkpoint) -> BackfillReport:
    """Say what a run did that is over."""
    counts = (checkpoint.scanned, checkpoint.found, checkpoint.added, checkpoint.removed)
    return BackfillReport("complete", *counts, checkpoint=None)


def report_progress(plan: Plan, checkpoint: Checkpoint | None) -> BackfillReport:
    """Say how far a run has come; None stands for a checkpoint that there was no time to read."""
    if checkpoint is None:
        return BackfillReport("in_progress", 0, 0, 0, 0, checkpoint={"segments": plan.segments})
    counts = (checkpoint.scanned, checkpoint.found, checkpoint.added, checkpoint.removed)
    segments_done = plan.segments - len(checkpoint.positions)
    where = {"segments": plan.segments, "segments_done": segments_done}
    return BackfillReport("in_progress", *counts, checkpoint=where)
