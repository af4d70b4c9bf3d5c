"""The backfill of the registry, one bounded step at a time: a flow of at most five round trips.

The table is scanned for defaults, a page of every segment side by side. Names that the registry lacks are added
in transactions that check each one's defaults, so that none deleted meanwhile is added; and that write the
checkpoint under the condition that it is the one that was read, so that it never says more or less than what was
done. Whoever is stopped anywhere goes on from it. Of several who run at once one writes each step, and the others,
refused, go on from what the refusal brings them. Last, names without defaults are taken out in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from .. import schema
from ..errors import Conflict, LeasegateError
from ..operations import (
    Add,
    Applied,
    BatchGet,
    Cancelled,
    Check,
    Delete,
    Discard,
    Exists,
    Failed,
    Flow,
    Item,
    NotExists,
    Outcome,
    Position,
    Put,
    Refused,
    Scan,
    Transact,
    Update,
)
from . import reading
from .changing import read_item
from .checkpoint import Checkpoint, Plan, as_read, first_checkpoint, parse, render
from .registry import read_registry


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a step takes on, at most.

    Attributes:
        page_items: items of each segment that are looked at; DynamoDB ends a page at 1 MB in any case.
        surveyed_names: names of the registry that are checked.
        written_names: of the 100 actions of a transaction, two write the registry and the checkpoint.
    """

    page_items: int = 1_000
    surveyed_names: int = 1_000
    written_names: int = 98


PACE: Final = Pace()


@dataclass(frozen=True, slots=True)
class Batch:
    """What pages showed: names to be written, and the checkpoint as it is once all of them are."""

    names: tuple[str, ...]
    removes: bool
    then: Checkpoint


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: what stands in the table, and what was seen but not written yet."""

    checkpoint: Checkpoint
    batch: Batch | None = None
    is_complete: bool = False


def take_step(plan: Plan, progress: Progress | None, attempt: str, pace: Pace = PACE) -> Flow[Progress]:
    """Do the next part of a run: look at a page of each segment, or of the registry, and write what it shows.

    ``progress`` is what the last step returned; None begins: from the checkpoint, or a run of its own where there
    is none or one of another plan. ``attempt`` (at most 36 characters) names this very call: no other, of anybody,
    has the same. Every step leaves the checkpoint further than it was, unless defaults were changed meanwhile.

    Raises :class:`Conflict` where a run of another plan took this one's place.
    """
    if progress is None:
        progress = yield from _begin(plan, attempt)
    checkpoint, batch = progress.checkpoint, progress.batch
    if batch is None and checkpoint.positions:
        batch = yield from _scan(checkpoint, pace)
    elif batch is None and checkpoint.prune_after is not None:
        batch = yield from _survey(checkpoint, checkpoint.prune_after, pace)
    if batch is None:
        return (yield from _finish(checkpoint))
    return (yield from _write(checkpoint, batch, attempt, pace))


# --- beginning -------------------------------------------------------------------------------------


def _begin(plan: Plan, run: str) -> Flow[Progress]:
    item = yield from read_item(schema.backfill_key())
    standing = None if item is None else parse(item)
    if standing is not None and standing.plan == plan:
        return Progress(standing)
    return (yield from _start(plan, run, standing))


def _start(plan: Plan, run: str, standing: Checkpoint | None) -> Flow[Progress]:
    fresh = first_checkpoint(plan, run)
    (outcome,) = yield (Put(schema.backfill_key(), render(fresh), as_read(standing)),)
    match outcome:
        case Applied():
            return Progress(fresh)
        case Refused(item):
            return (yield from _go_on(plan, run, item))
        case _:
            raise _failure(outcome)


def _go_on(plan: Plan, run: str, item: Item | None) -> Flow[Progress]:
    """Go on from the checkpoint that another backfill wrote; anew where it came to the end and removed it."""
    if item is None:
        return (yield from _start(plan, run, None))
    standing = parse(item)
    if standing.plan != plan:
        raise Conflict("a backfill with other options has begun")
    return Progress(standing)


# --- reading ---------------------------------------------------------------------------------------


def _scan(checkpoint: Checkpoint, pace: Pace) -> Flow[Batch]:
    """Read a page of every segment that has not ended; then, if it shows any defaults, the registry."""
    outcomes = yield tuple(
        Scan(
            segment,
            checkpoint.plan.segments,
            schema.RESOURCE_PREFIX,
            schema.STORED_LIMITS,
            pace.page_items,
            after=position,
        )
        for segment, position in checkpoint.positions.items()
    )
    positions: dict[int, Position] = {}
    found: set[str] = set()
    scanned = 0
    for segment, outcome in zip(checkpoint.positions, outcomes, strict=True):
        page = reading.page(outcome)
        scanned += page.scanned
        names = [schema.resource_of_defaults(key) for key, _ in page.items]
        found |= {name for name in names if name is not None}
        if page.next is not None:
            positions[segment] = page.next
    missing = found - (yield from read_registry()) if found else found
    then = replace(
        checkpoint,
        positions=positions,
        scanned=checkpoint.scanned + scanned,
        found=checkpoint.found + len(found),
    )
    return Batch(tuple(sorted(missing)), removes=False, then=then)


def _survey(checkpoint: Checkpoint, after: str, pace: Pace) -> Flow[Batch]:
    """Look for the next names in the registry that have no defaults."""
    names = sorted(name for name in (yield from read_registry()) if name > after)
    names, others = names[: pace.surveyed_names], names[pace.surveyed_names :]
    then = replace(checkpoint, prune_after=names[-1] if others else None)
    if not names:
        return Batch((), removes=True, then=then)
    keys = {schema.resource_defaults_key(name): name for name in names}
    (outcome,) = yield (BatchGet(tuple(keys)),)
    items = reading.found(outcome)
    gone = tuple(name for key, name in keys.items() if schema.STORED_LIMITS not in items.get(key, {}))
    return Batch(gone, removes=True, then=then)


# --- writing ---------------------------------------------------------------------------------------


def _write(checkpoint: Checkpoint, batch: Batch, attempt: str, pace: Pace) -> Flow[Progress]:
    """Write as many names as a transaction takes, counted in the checkpoint that it writes as well."""
    is_dry = checkpoint.plan.dry_run
    count = len(batch.names) if is_dry else pace.written_names
    names, others = batch.names[:count], batch.names[count:]
    written = replace(
        checkpoint if others else batch.then,
        version=checkpoint.version + 1,
        added=checkpoint.added + (0 if batch.removes else len(names)),
        removed=checkpoint.removed + (len(names) if batch.removes else 0),
    )
    put = Put(schema.backfill_key(), render(written), as_read(checkpoint))
    if is_dry or not names:
        (outcome,) = yield (put,)
    else:
        (outcome,) = yield (Transact((put, _registry_update(names, batch), *_checks(names, batch)), attempt),)
    match outcome:
        case Applied():
            return Progress(written, replace(batch, names=others) if others else None)
        case Refused(item) | Cancelled((Refused(item), *_)):
            return (yield from _go_on(checkpoint.plan, attempt, item))
        case Cancelled((_, _, *verdicts)) if any(verdicts):
            kept = [name for name, refusal in zip(names, verdicts, strict=True) if refusal is None]
            return Progress(checkpoint, replace(batch, names=(*kept, *others)))
        case _:
            raise _failure(outcome)


def _registry_update(names: tuple[str, ...], batch: Batch) -> Update:
    change = Discard if batch.removes else Add
    return Update(schema.registry_key(), (change(schema.REGISTRY_RESOURCES, frozenset(names)),))


def _checks(names: tuple[str, ...], batch: Batch) -> list[Check]:
    """Hold every name to what was seen of it; a condition that nothing exists is true of an absent item."""
    condition = (NotExists if batch.removes else Exists)(schema.STORED_LIMITS)
    return [Check(schema.resource_defaults_key(name), condition) for name in names]


def _finish(checkpoint: Checkpoint) -> Flow[Progress]:
    """Remove the checkpoint of a run that has nothing left to do; if it is not there any more, another one did."""
    (outcome,) = yield (Delete(schema.backfill_key(), as_read(checkpoint)),)
    if not isinstance(outcome, Applied | Refused):
        raise _failure(outcome)
    return Progress(checkpoint, is_complete=True)


def _failure(outcome: Outcome) -> LeasegateError:
    if isinstance(outcome, Failed):
        return outcome.error
    return LeasegateError(f"the registry cannot be backfilled: {outcome}")
