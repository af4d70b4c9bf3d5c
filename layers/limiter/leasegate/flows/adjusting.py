"""Adjustments: correct what an entity and its ancestors spent, without a lease.

All levels in one transaction, held to the parents that led to them; one level alone is one update. Under an
idempotency key the adjustment leaves a record in the same transaction, and happens once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .. import schema, stamps
from ..errors import InvalidRequest, LeasegateError, NoLimitsConfigured, StoreThrottled
from ..knowledge import Knowledge
from ..limits import Limits
from ..operations import (
    Action,
    Applied,
    BatchGet,
    Cancelled,
    Failed,
    Flow,
    Item,
    Key,
    Operation,
    Outcome,
    Refused,
    Transact,
    Update,
)
from ..results import LeaseEnd
from ..schema import Bucket
from . import leasing, lifecycle, reading, spending
from .grants import Charge, Grant, Terms
from .reading import EntityReading, Resolved
from .settle import MAX_ROUND_TRIPS
from .spending import Amounts, Request
from .tickets import write_ticket

_MAX_READS: Final = 2 * schema.MAX_LEVELS


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Signed tokens of an entity for a resource: positive ones are spent, into debt if need be."""

    entity_id: str
    resource: str
    amounts: Amounts
    cascades: bool = True
    terms: Terms | None = None


@dataclass(slots=True)
class _Level:
    """An entity on the way up, and what is known of it: its bucket, or what there is in place of one."""

    entity_id: str
    state: Bucket | None
    parent_id: str | None
    reading: EntityReading | None = None
    resolved: Resolved | None = None
    limited: bool = True
    after: Bucket | None = None

    @property
    def limits(self) -> Limits:
        """The limits that the bucket has, or would have."""
        if not self.limited:
            return {}
        if self.state is not None:
            return self.state.limits
        return self.resolved.limits if self.resolved is not None else {}


def adjust(adjustment: Adjustment, request: Request, knowledge: Knowledge) -> Flow[Grant]:
    """Correct every level; the grant that is returned spent nothing, and shows what is left.

    One round trip where the buckets are known to this process. Raises :class:`InvalidRequest`,
    :class:`NoLimitsConfigured`, :class:`IdempotencyConflict`, :class:`StoreError`.
    """
    run = _Run(adjustment, request, knowledge)
    levels = run.remembered()
    for attempt in range(MAX_ROUND_TRIPS):
        if levels is None:
            found = yield from run.read()
            if isinstance(found, Grant):
                return found
            levels = found
        operation = run.plan(levels, attempt)
        if operation is None:
            return run.grant(levels)
        (outcome,) = yield (operation,)
        grant = run.judge(levels, outcome)
        if grant is not None:
            return grant
        levels = None  # something was not as believed
    raise StoreThrottled(f"bucket of {adjustment.entity_id} is too contended")


class _Run:
    """One adjustment on its way."""

    def __init__(self, adjustment: Adjustment, request: Request, knowledge: Knowledge) -> None:
        self._adjustment = adjustment
        self._resource = adjustment.resource
        self._request = request
        self._knowledge = knowledge
        self._ticket = ""

    def remembered(self) -> list[_Level] | None:
        """Return all levels as this process remembers them; None where it does not know one."""
        levels: list[_Level] = []
        entity_id: str | None = self._adjustment.entity_id
        while entity_id is not None and (not levels or self._adjustment.cascades):
            if len(levels) == schema.MAX_LEVELS:
                return None
            level = self._remember(entity_id, own=not levels)
            if level is None:
                return None
            levels.append(level)
            entity_id = level.parent_id
        own = levels[0].limits
        return levels if all(name in own for name in self._adjustment.amounts) else None

    def _remember(self, entity_id: str, *, own: bool) -> _Level | None:
        state = self._knowledge.bucket(entity_id, self._resource)
        if state is not None and (stamps.is_stale(state.stamp) or stamps.is_off(state.stamp)):
            return None  # where the entity has moved, the bucket still names its old parent
        if state is not None and (own or stamps.is_pushed(state.stamp)):
            return _Level(entity_id, state, state.parent_id)
        known = None if own else self._knowledge.ancestor(entity_id, self._resource, self._request.now_ms)
        if known is None or not known.limit_names.isdisjoint(self._adjustment.amounts):
            return None
        return _Level(entity_id, None, known.parent_id, limited=False)

    def read(self) -> Flow[list[_Level] | Grant]:
        """Read the levels from the entity up; return what the key stands for, where it was used before."""
        items: dict[Key, Item] = {}
        read: set[str] = set()
        terms = self._adjustment.terms
        extra = reading.defaults_keys(self._resource)
        if terms is not None and terms.key is not None:
            extra += (schema.lease_key(terms.lease),)
        for _ in range(_MAX_READS):
            levels = self._levels(items, read)
            missing = [level.entity_id for level in levels if level.entity_id not in read]
            if not missing:
                return levels
            keys = [key for entity_id in missing for key in reading.entity_keys(entity_id, self._resource)]
            (outcome,) = yield (BatchGet((*keys, *(extra if not read else ()))),)
            items.update(reading.found(outcome))
            read.update(missing)
            if terms is not None and schema.lease_key(terms.lease) in items:
                stored = leasing.parse_lease(items[schema.lease_key(terms.lease)])
                if not stored.is_forgotten(self._request.now_ms):
                    return leasing.replay(stored, terms)
        raise InvalidRequest("entity_id", f"{self._adjustment.entity_id} is its own ancestor")

    def _levels(self, items: Mapping[Key, Item], read: set[str]) -> list[_Level]:
        """Return the levels as far as they were read, and the first that was not."""
        levels: list[_Level] = []
        entity_id: str | None = self._adjustment.entity_id
        while entity_id is not None:
            if any(level.entity_id == entity_id for level in levels) or len(levels) == schema.MAX_LEVELS:
                raise InvalidRequest("entity_id", f"{entity_id} is its own ancestor, or has too many")
            if entity_id not in read:
                levels.append(_Level(entity_id, None, None))
                break
            level = self._read_level(entity_id, items, own=not levels)
            levels.append(level)
            entity_id = level.parent_id if self._adjustment.cascades else None
        return levels

    def _read_level(self, entity_id: str, items: Mapping[Key, Item], *, own: bool) -> _Level:
        entity = reading.parse_entity_reading(items, entity_id, self._resource)
        state = reading.parse_bucket_reading(items, entity_id, self._resource)
        resolved = entity.resolve()
        if own:
            defaults = reading.parse_defaults_reading(items, self._resource)
            self._knowledge.learn_defaults(self._resource, defaults, self._request.now_ms)
            resolved = resolved or reading.resolve_defaults(defaults, None)
            if state is None and resolved is None:
                raise NoLimitsConfigured(entity_id, self._resource)
        else:
            reading.learn_ancestor(self._knowledge, entity_id, self._resource, entity, self._request.now_ms)
        if state is not None:
            self._knowledge.learn_bucket(entity_id, self._resource, state)
        parent_id = entity.entity.parent_id
        if state is not None and stamps.is_pushed(state.stamp):
            parent_id = state.parent_id
        limited = own or resolved is not None
        return _Level(entity_id, state, parent_id, entity, resolved, limited)

    # --- writing -------------------------------------------------------------------------------------

    def plan(self, levels: list[_Level], attempt: int) -> Operation | None:
        """Return the write that corrects every level, or None where there is nothing to correct."""
        self._check(levels[0])
        actions: list[Action] = []
        for level in levels:
            amounts = {name: n for name, n in self._adjustment.amounts.items() if n and name in level.limits}
            level.after = level.state
            if not amounts:
                continue
            if level.state is None:
                actions += self._create(level, {name: tokens for name, tokens in amounts.items() if tokens > 0})
                continue
            key = schema.bucket_key(level.entity_id, self._resource)
            holds_parent = self._adjustment.cascades and level.state.parent_id == level.parent_id
            actions.append(
                spending.correct(key, level.state, amounts, {}, self._request, hold_parent=holds_parent)
            )
            level.after = spending.after_correction(level.state, amounts, {}, self._request)
        terms = self._adjustment.terms
        if terms is not None:
            self._ticket = write_ticket(self._shown(levels), None)
            end = LeaseEnd("adjusted", {}, self._request.now_ms)
            actions.append(leasing.put_lease(terms, self._ticket, self._request.now_ms, end))
        if not actions:
            return None
        if len(actions) == 1 and isinstance(actions[0], Update):
            return actions[0]
        return Transact(tuple(actions), f"{self._request.id}.{attempt}")

    def judge(self, levels: list[_Level], outcome: Outcome) -> Grant | None:
        """Take the outcome in; None where something was not as believed."""
        terms = self._adjustment.terms
        match outcome:
            case Applied(item):
                if item is not None:
                    _show(levels, item)
                for level in levels:
                    if level.after is not None and level.after is not level.state:
                        self._knowledge.learn_return(level.entity_id, self._resource, level.after)
                return self.grant(levels)
            case Refused(item) if item is not None and self._request.was_applied_to(schema.parse_bucket(item)):
                _show(levels, item)
                return self.grant(levels)
            case Cancelled((*_, Refused(item))) if terms is not None and item is not None:
                stored = leasing.parse_lease(item)
                return None if stored.is_forgotten(self._request.now_ms) else leasing.replay(stored, terms)
            case Failed(error):
                raise error
            case Refused() | Cancelled():
                return None
        raise LeasegateError(f"an adjustment cannot end as {type(outcome).__name__}")

    def grant(self, levels: list[_Level]) -> Grant:
        """Return what is left at every level now."""
        shown = self._shown(levels)
        terms = self._adjustment.terms
        return shown if terms is None else leasing.granted(terms, shown, self._ticket, None)

    def _shown(self, levels: list[_Level]) -> Grant:
        charges = tuple(
            [
                Charge(level.entity_id, {}, self._standing(level) if level.limited else None, level.limited)
                for level in levels
            ]
        )
        return Grant(self._resource, self._request.now_ms, {}, charges)

    def _standing(self, level: _Level) -> Bucket | None:
        if level.after is not None or level.resolved is None:
            return level.after
        return lifecycle.assume(level.resolved, level.parent_id)

    def _check(self, own: _Level) -> None:
        for name in self._adjustment.amounts:
            if name not in own.limits:
                known = ", ".join(own.limits)
                raise InvalidRequest(f"adjust.{name}", f"no such limit of {own.entity_id}; it has {known}")
            if own.limits[name].is_concurrent:
                raise InvalidRequest(f"adjust.{name}", "limits leases at a time; ending a lease frees it")

    def _create(self, level: _Level, debts: Amounts) -> tuple[Action, ...]:
        """Create the bucket with its debts; one that is not there is full, so nothing is returned to it."""
        if not debts or level.reading is None or level.resolved is None:
            return ()
        resolved, entity = level.resolved, level.reading.entity
        if entity.is_disabled(self._resource):
            # Nothing in a bucket's limits says so: under a mark, whoever acquires next reads it first.
            resolved = Resolved(stamps.stale_mark(self._request.now_ms), resolved.limits)
        state = lifecycle.newborn(resolved, entity.parent_id, debts, self._request)
        level.after = state
        return lifecycle.create(level.entity_id, self._resource, state, debts, level.reading, self._request)


def _show(levels: list[_Level], item: Item) -> None:
    """Take in the bucket of the one level that was written."""
    level = next(level for level in levels if level.after is not level.state)
    level.after = schema.parse_bucket(item, level.state)
