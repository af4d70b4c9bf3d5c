"""What to do next for one level of a cascade.

The planner decides from remembered state where a write will check it, and from what this acquire read itself where
nothing will.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from .. import concurrency, schema, stamps
from ..errors import Disabled, InvalidRequest, NoLimitsConfigured
from ..knowledge import Defaults, Knowledge
from ..limits import Limits
from ..operations import Key
from ..schema import Bucket
from . import holding, lifecycle, reading, spending
from .levels import NOTHING, Level, Nothing, Read, Refuse, Spend, Step, Write
from .reading import EntityReading, Resolved
from .refreshing import Belief
from .spending import Amounts, Request

_LOST_BEFORE_MARKING: Final = 2


@dataclass(slots=True)
class Planner:
    """Plans the levels of one acquire of ``wanted`` tokens.

    ``fresh_defaults`` are those that this acquire read itself, ``parent_hint`` what its caller said;
    ``cascades`` says whether ancestors spend too, ``is_atomic`` whether all levels do in one transaction;
    ``belief`` notes what aged knowledge the plans rest on; ``grants`` counts the acquires that amounts answer.
    """

    resource: str
    wanted: Amounts
    inline: Limits | None
    cascades: bool
    is_atomic: bool
    parent_hint: str | None
    request: Request
    knowledge: Knowledge
    belief: Belief
    grants: Callable[[Amounts], int]
    fresh_defaults: Defaults | None = None

    def plan(self, level: Level) -> Step:
        """Say what to do next for a level, and set where the cascade goes on from it.

        Raises :class:`InvalidRequest` for amounts that can never be granted, and :class:`NoLimitsConfigured`,
        both only from what this acquire saw itself; and :class:`Disabled`.
        """
        if level.charged is not None:
            return NOTHING
        level.limited = True  # unless its record says otherwise, as it may have done in the last turn
        defaults = self._check_resource() if level.own else None
        if level.state is not None and stamps.is_off(level.state.stamp):
            self._check_disabled(level, level.state)
        state = level.state
        if state is None:
            return self._plan_unseen(level) if level.own else self._plan_by_record(level)
        level.parent_id = state.parent_id
        if stamps.is_stale(state.stamp):
            return self._plan_stale(level, state)
        if stamps.is_pushed(state.stamp):
            amounts = self._amounts(level, state.limits)
            return self._charge(level, state, amounts) if amounts else self._plan_by_record(level)
        return self._charge_under_defaults(level, state, defaults) if level.own else self._plan_by_record(level)

    def read(self, level: Level) -> Read:
        """Read all that decides what a level may spend, and where the cascade goes on from it."""
        keys = reading.entity_keys(level.entity_id, self.resource)
        return Read(keys + reading.defaults_keys(self.resource) if level.own else keys)

    def write(self, level: Level, spend: Spend) -> Write:
        """Write what a level is to spend, on the condition that all it was planned from is still so."""
        state, amounts = spend.state, spend.amounts
        key, grants = schema.bucket_key(level.entity_id, self.resource), self.grants(amounts)
        update = spending.charge(key, state, amounts, self.request, hold_parent=self.cascades, grants=grants)
        # A lone update returns what it left; what a transaction leaves can only be expected.
        after = spending.after_charge(state, amounts, self.request) if self.is_atomic else state
        return Write((update,), state, after, amounts)

    # --- buckets that carry believable limits --------------------------------------------------------

    def _charge(self, level: Level, state: Bucket, amounts: Amounts) -> Step:
        """Spend under the limits of ``state``, or refuse where it is known that the tokens are not there."""
        now_ms = self.request.now_ms
        if not level.verified:
            if not _can_ever_grant(state.limits, amounts):
                return self.read(level)
            refuses = self.knowledge.may_refuse(level.refused_at_ms, now_ms)
            if refuses and not spending.can_grant(state, amounts, now_ms):
                return Refuse(amounts, cached=True)
            return self._spend(level, state, amounts)
        self._check(level, state.limits, amounts)
        if not spending.can_grant(state, amounts, now_ms):
            return Refuse(amounts, cached=False)
        return self._spend(level, state, amounts)

    def _charge_under_defaults(self, level: Level, state: Bucket, defaults: Defaults | None) -> Step:
        """Spend from a bucket limited by defaults or by the call, if that is still what limits it."""
        if defaults is None:
            return self._read_defaults()
        resolved = reading.resolve_defaults(defaults, self.inline)
        scope = stamps.scope_of(state.stamp)
        is_fresh = self.fresh_defaults is not None
        if resolved is None:
            if is_fresh or scope == stamps.INLINE:
                raise NoLimitsConfigured(level.entity_id, self.resource)
            return self._read_defaults()
        if resolved.stamp == state.stamp:
            return self._charge(level, state, self.wanted)
        if is_fresh or stamps.replaces(resolved.stamp, state.stamp):
            return self._rebase(level, state, resolved)
        return self._read_defaults()

    def _spend(self, level: Level, state: Bucket, amounts: Amounts) -> Spend | Write:
        if level.verified and holding.must_clear_first(state, amounts):
            key = schema.bucket_key(level.entity_id, self.resource)
            return self._clear(key, state, holding.clearable(state, state.limits, self.request.now_ms))
        return Spend(state, amounts)

    def _clear(self, key: Key, state: Bucket, gone: list[tuple[str, str]]) -> Write:
        some = gone[: holding.MAX_CLEARED]
        return Write((lifecycle.clear(key, state, some, self.request),), state, state, None)

    # --- buckets that were never seen, or are not there ------------------------------------------------

    def _plan_unseen(self, level: Level) -> Step:
        """Create the entity's own bucket if it is known to be missing, else try it under the defaults."""
        if level.reading is not None:
            self._check_enabled(level, level.reading)
            level.parent_id = level.reading.entity.parent_id
            resolved = self._resolve(level, level.reading)
            return self._create(level, resolved, level.reading) if isinstance(resolved, Resolved) else resolved
        level.parent_id = self.parent_hint
        defaults = None if level.absent else self._defaults()
        guessed = None if defaults is None else reading.resolve_defaults(defaults, self.inline)
        if guessed is None or not _can_ever_grant(guessed.limits, self.wanted):
            return self.read(level)
        return self._spend(level, lifecycle.assume(guessed, self.parent_hint), self.wanted)

    def _plan_by_record(self, level: Level) -> Step:
        """Plan an ancestor of which no write will check anything: believe its record for a while."""
        if level.reading is None:
            known = self.knowledge.ancestor(level.entity_id, self.resource, self.request.now_ms)
            if known is None or not known.limit_names.isdisjoint(self.wanted):
                return self.read(level)
            self.belief.ancestors[level.entity_id] = None
            if known.is_disabled:
                raise Disabled(level.entity_id, self.resource)
            level.parent_id = known.parent_id
            level.limited = bool(known.limit_names)
            return NOTHING
        self._check_enabled(level, level.reading)
        level.parent_id = level.reading.entity.parent_id
        resolved = level.reading.resolve()
        level.limited = resolved is not None
        if level.state is not None or resolved is None or not self._amounts(level, resolved.limits):
            return NOTHING
        return self._create(level, resolved, level.reading)

    def _create(self, level: Level, resolved: Resolved, entity: EntityReading) -> Write:
        amounts = self._amounts(level, resolved.limits)
        self._check(level, resolved.limits, amounts)
        state = lifecycle.newborn(resolved, entity.entity.parent_id, amounts, self.request)
        grants = self.grants(amounts)
        actions = lifecycle.create(
            level.entity_id, self.resource, state, amounts, entity, self.request, grants=grants
        )
        return Write(actions, None, state, amounts)

    # --- what is disabled ----------------------------------------------------------------------------

    def _check_resource(self) -> Defaults | None:
        """Return the defaults; refuse where they disable the resource, see to it where they are not known."""
        self.belief.defaults = True
        defaults = self._defaults()
        self.belief.is_unknown = defaults is None
        if defaults is not None and defaults.is_disabled:
            raise Disabled(None, self.resource)
        return defaults

    def _check_disabled(self, level: Level, state: Bucket) -> None:
        """Refuse where a bucket was just seen to be disabled; forget that it was where that is long ago."""
        now_ms = self.request.now_ms
        if level.verified:
            self.knowledge.learn_bucket(level.entity_id, self.resource, state, refused_at_ms=now_ms)
            raise Disabled(level.entity_id, self.resource)
        if self.knowledge.refused_bucket(level.entity_id, self.resource, now_ms) is not None:
            raise Disabled(level.entity_id, self.resource)
        level.state = None

    def _check_enabled(self, level: Level, entity: EntityReading) -> None:
        if entity.entity.is_disabled(self.resource):
            raise Disabled(level.entity_id, self.resource)

    # --- changed limits ------------------------------------------------------------------------------

    def _plan_stale(self, level: Level, state: Bucket) -> Step:
        """Read the limits after the mark was seen, and write them only over that very mark."""
        # The version tells one mark from another of the same text: the same change marks twice where a reply was
        # lost, and the limits may change again between the two.
        mark = (state.stamp, state.version)
        if level.reading is None or level.mark != mark:
            level.mark, level.reading = mark, None
            return self.read(level)
        if level.reading.entity.is_disabled(self.resource):
            key = schema.bucket_key(level.entity_id, self.resource)
            now_ms = self.request.now_ms
            after = replace(state, stamp=stamps.off_stamp(now_ms))
            return Write((lifecycle.disable(key, *mark, now_ms),), state, after, None)
        level.parent_id = level.reading.entity.parent_id
        resolved = self._resolve(level, level.reading)
        return self._rebase(level, state, resolved) if isinstance(resolved, Resolved) else resolved

    def _rebase(self, level: Level, state: Bucket, resolved: Resolved) -> Write:
        """Carry the bucket over to other limits and spend; if the tokens are not there, carry it over alone."""
        key = schema.bucket_key(level.entity_id, self.resource)
        wanted = self._amounts(level, resolved.limits)
        self._check(level, resolved.limits, wanted)
        if level.lost_rebases >= _LOST_BEFORE_MARKING and not stamps.is_stale(state.stamp):
            # Others keep spending under the old limits, so what was seen is always out of date: stop them.
            text = stamps.stale_mark(self.request.now_ms)
            return Write((lifecycle.mark(key, text, state.stamp),), state, state, None)
        gone = holding.clearable(state, resolved.limits, self.request.now_ms)
        if len(gone) > holding.MAX_CLEARED:
            return self._clear(key, state, gone)
        carried = lifecycle.rebased(state, resolved, level.parent_id, self.request.now_ms)
        amounts = wanted if spending.can_grant(carried, wanted, self.request.now_ms) else None
        after = spending.after_charge(carried, amounts or {}, self.request)
        grants = 0 if amounts is None else self.grants(amounts)
        update = lifecycle.rebase(key, state, after, amounts, self.request, grants=grants)
        return Write((update,), state, after, amounts)

    # --- pieces --------------------------------------------------------------------------------------

    def _resolve(self, level: Level, entity: EntityReading) -> Resolved | Read | Nothing:
        own = entity.resolve()
        if own is not None:
            return own
        if not level.own:
            level.limited = False
            return NOTHING
        defaults = self._defaults()
        if defaults is None:
            return self._read_defaults()
        resolved = reading.resolve_defaults(defaults, self.inline)
        if resolved is None:
            raise NoLimitsConfigured(level.entity_id, self.resource)
        return resolved

    def _read_defaults(self) -> Read:
        return Read(reading.defaults_keys(self.resource))

    def _defaults(self) -> Defaults | None:
        if self.fresh_defaults is not None:
            return self.fresh_defaults
        return self.knowledge.defaults(self.resource, self.request.now_ms)

    def _amounts(self, level: Level, limits: Limits) -> Amounts:
        """Return what to spend at a level: all that is wanted, of an ancestor what it limits."""
        if level.own:
            return self.wanted
        return {name: tokens for name, tokens in self.wanted.items() if name in limits}

    def _check(self, level: Level, limits: Limits, amounts: Amounts) -> None:
        for name, cost in amounts.items():
            limit = limits.get(name)
            if limit is None:
                raise InvalidRequest(
                    f"consume.{name}", f"no such limit of {level.entity_id}; it has {', '.join(limits)}"
                )
            if cost > limit.capacity:
                raise InvalidRequest(
                    f"consume.{name}",
                    f"{cost} is above the capacity of {level.entity_id}, {limit.capacity}",
                    unprocessable=True,
                )
        if holding.takes_too_many(limits, amounts):
            raise InvalidRequest(
                "consume", f"takes more than {concurrency.MAX_TAKEN} places of concurrency limits"
            )


def _can_ever_grant(limits: Limits, amounts: Amounts) -> bool:
    for name, cost in amounts.items():
        limit = limits.get(name)
        if limit is None or cost > limit.capacity:
            return False
    return not holding.takes_too_many(limits, amounts)
