"""Acquire: spend tokens of a bucket and of its ancestors' buckets, all or nothing.

Each turn of the loop plans every level from what is known by now, then makes one round trip: the reads that
are missing, else the writes, side by side. It ends when no level has anything left to do, or when one refuses;
then what the others were granted is given back in one more round trip.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .. import schema
from ..errors import (
    Disabled,
    LeasegateError,
    RateLimitExceeded,
    StoreError,
    StoreThrottled,
)
from ..knowledge import Knowledge
from ..operations import (
    Applied,
    BatchGet,
    Cancelled,
    Failed,
    Flow,
    Key,
    Operation,
    Outcome,
    Refused,
    Transact,
    Update,
)
from ..schema import Bucket
from ..states import Refusal, observe
from . import reading, spending
from .climbing import Climb, Path
from .grants import Ask, Charge, Grant, describe
from .levels import Level, Read, Refuse, Write
from .planning import Planner
from .refreshing import Belief
from .settle import Correction, correct
from .spending import Amounts, Request

_MAX_ROUND_TRIPS: Final = 24


def acquire(ask: Ask, request: Request, knowledge: Knowledge) -> Flow[Grant]:
    """Spend, or raise :class:`RateLimitExceeded` with nothing spent.

    Round trips: 1 where the buckets are known, 0 where a remembered refusal answers; design table in the
    README. Raises :class:`InvalidRequest`, :class:`NoLimitsConfigured`, :class:`Disabled`, and a
    :class:`StoreError` where the table does not answer; what was spent by then is given back first.
    """
    attempt = _Acquire(ask, request, knowledge)
    try:
        return (yield from attempt.spend())
    except LeasegateError as error:
        try:
            yield from attempt.give_back()
        except StoreError as second:
            error.add_note(f"tokens of other levels could not be given back: {second}")
        raise


class _Acquire:
    """One acquire on its way: its levels, and the planner that decides for them."""

    def __init__(self, ask: Ask, request: Request, knowledge: Knowledge) -> None:
        self._ask = ask
        self._request = request
        self._knowledge = knowledge
        belief = Belief(ask.resource, request.now_ms, knowledge)
        self._planner = Planner(
            ask.resource, ask.consume, ask.limits, ask.cascade, ask.parent_id, request, knowledge, belief
        )
        self._climb = Climb(ask, self._planner)
        self._transactions = 0

    def spend(self) -> Flow[Grant]:
        """Make round trips until every level is charged or one refuses."""
        for _ in range(_MAX_ROUND_TRIPS):
            path = self._climb.plan()
            keys = {key: None for _, step in path if isinstance(step, Read) for key in step.keys}
            if keys:
                yield from self._read(path, BatchGet(tuple(keys)))
                continue
            if any(isinstance(step, Refuse) for _, step in path):
                raise self._refusal(path)
            writes = [(level, step) for level, step in path if isinstance(step, Write)]
            # A write that spends nothing prepares a refusal: do not spend elsewhere only to give it back.
            writes = [write for write in writes if write[1].amounts is None] or writes
            if not writes:
                yield from self._give_back_outside(path)
                return Grant(self._ask.resource, self._request.now_ms, self._ask.consume, _charges(path))
            yield from self._write(writes)
        raise StoreThrottled(f"bucket of {self._ask.entity_id} is too contended")

    def give_back(self) -> Flow[None]:
        """Return all that was charged, and all that may have been where the bucket remembers the request."""
        charged = [level for level in self._climb.levels.values() if level.charged]
        undos = tuple(
            spending.undo(self._bucket_key(level), level.unsure.after, level.unsure.amounts, self._request)
            for level in self._climb.levels.values()
            if level.unsure is not None and level.unsure.amounts and len(self._climb.levels) > 1
        )
        if charged or undos:
            yield from self._return(charged, undos)

    # --- round trips ---------------------------------------------------------------------------------

    def _read(self, path: Path, batch: BatchGet) -> Flow[None]:
        now_ms = self._request.now_ms
        (outcome,) = yield (batch,)
        items = reading.found(outcome)
        if schema.system_defaults_key() in batch.keys:
            defaults = reading.parse_defaults_reading(items, self._ask.resource)
            self._planner.fresh_defaults = defaults
            self._knowledge.learn_defaults(self._ask.resource, defaults, now_ms)
        for level, step in path:
            if not isinstance(step, Read) or schema.entity_key(level.entity_id) not in step.keys:
                continue
            level.reading = reading.parse_entity_reading(items, level.entity_id, self._ask.resource)
            level.state = reading.parse_bucket_reading(items, level.entity_id, self._ask.resource)
            level.verified, level.absent = True, level.state is None
            if not level.own:
                reading.learn_ancestor(self._knowledge, level.entity_id, self._ask.resource, level.reading, now_ms)
            if level.state is not None:
                self._knowledge.learn_bucket(level.entity_id, self._ask.resource, level.state)

    def _write(self, writes: list[tuple[Level, Write]]) -> Flow[None]:
        belief = self._planner.belief
        refresh = belief.due_refresh()
        groups = [writes] if self._ask.cascade == "transaction" else [[write] for write in writes]
        operations = [self._operation(group) for group in groups]
        outcomes = yield (*operations, refresh) if refresh else tuple(operations)
        if refresh:
            belief.learn(refresh, outcomes[-1])
        failures = [self._judge(group, outcome) for group, outcome in zip(groups, outcomes, strict=False)]
        for failure in failures:
            if failure is not None:
                raise failure
        if belief.fresh is not None and belief.fresh.is_disabled:
            raise Disabled(None, self._ask.resource)
        if belief.is_unknown and isinstance(outcomes[-1], Failed):
            raise outcomes[-1].error

    def _operation(self, group: list[tuple[Level, Write]]) -> Operation:
        actions = tuple(action for _, write in group for action in write.actions)
        if len(actions) == 1 and isinstance(actions[0], Update):
            return actions[0]
        # Every attempt has a token of its own: a token says "the very same actions".
        self._transactions += 1
        return Transact(actions, f"{self._request.id}.{self._transactions}")

    # --- outcomes ------------------------------------------------------------------------------------

    def _judge(self, group: list[tuple[Level, Write]], outcome: Outcome) -> StoreError | None:
        """Take an outcome in; return the error that stands in its place, if any."""
        match outcome:
            case Applied(item):
                for level, write in group:
                    state = write.after if item is None else schema.parse_bucket(item, write.after)
                    self._take_applied(level, write, state)
            case Refused():
                ((level, write),) = group
                self._take_refused(level, write, outcome)
            case Cancelled(refusals):
                position = 0
                for level, write in group:
                    own = refusals[position : position + len(write.actions)]
                    position += len(write.actions)
                    if own[0] is not None:
                        self._take_refused(level, write, own[0])
                    elif any(own):
                        # The limits or the parent changed between the read and the creation: read again.
                        level.reading = None
            case Failed(error):
                for level, write in group:
                    level.unsure = write if error.maybe_applied else None
                return error
            case _:
                raise LeasegateError(f"a write cannot end as {type(outcome).__name__}")
        return None

    def _take_applied(self, level: Level, write: Write, state: Bucket) -> None:
        level.state, level.verified, level.absent = state, True, False
        level.charged = write.amounts
        self._knowledge.learn_bucket(level.entity_id, self._ask.resource, state)

    def _take_refused(self, level: Level, write: Write, refused: Refused) -> None:
        if refused.item is None:
            level.state, level.verified, level.absent, level.reading = None, False, True, None
            self._knowledge.forget_bucket(level.entity_id, self._ask.resource)
            return
        state = schema.parse_bucket(refused.item, write.before)
        if self._request.was_applied_to(state):
            self._take_applied(level, write, state)
            return
        if write.before is not None and state.stamp == write.before.stamp:
            level.lost_rebases += write.after.stamp != write.before.stamp
        else:
            self._planner.fresh_defaults = None  # read before this stamp was seen, so perhaps older than it
        level.state, level.verified, level.absent = state, True, False
        self._knowledge.learn_bucket(level.entity_id, self._ask.resource, state)

    # --- endings -------------------------------------------------------------------------------------

    def _refusal(self, path: Path) -> RateLimitExceeded:
        now_ms = self._request.now_ms
        refusals: list[Refusal] = []
        cached = True
        for level, step in path:
            if not isinstance(step, Refuse) or level.state is None:
                continue
            cached = cached and step.cached
            if not step.cached:
                self._knowledge.learn_bucket(
                    level.entity_id, self._ask.resource, level.state, refused_at_ms=now_ms
                )
            states = observe(level.state.limits, level.state.tats, step.amounts, now_ms)
            refusals += [
                Refusal(level.entity_id, states[name]) for name in step.amounts if states[name].retry_after_ms
            ]
        # What other levels were granted is about to be given back: show what is there then.
        charges = [
            replace(
                charge,
                amounts={},
                state=spending.after_charge(charge.state, _negated(charge.amounts), self._request),
            )
            if charge.state is not None
            else charge
            for charge in _charges(path)
        ]
        return RateLimitExceeded(
            describe(self._ask.resource, self._ask.consume, now_ms, charges),
            tuple(refusals),
            max(refusal.state.retry_after_ms for refusal in refusals),
            cached=cached,
        )

    def _give_back_outside(self, path: Path) -> Flow[None]:
        """Return what was charged to entities that turned out not to be ancestors (any more)."""
        inside = {level.entity_id for level, _ in path}
        outside = [
            level for level in self._climb.levels.values() if level.charged and level.entity_id not in inside
        ]
        if outside:
            yield from self._return(outside, ())

    def _return(self, levels: list[Level], undos: tuple[Update, ...]) -> Flow[None]:
        corrections = [Correction(level.entity_id, _negated(level.charged or {}), level.state) for level in levels]
        for level in levels:
            level.charged = None
        # The bucket remembers the charge under the request's id, so its return needs another.
        request = Request(f"{self._request.id}-", self._request.slot, self._request.now_ms)
        yield from correct(self._ask.resource, corrections, request, self._knowledge, alongside=undos)

    def _bucket_key(self, level: Level) -> Key:
        return schema.bucket_key(level.entity_id, self._ask.resource)


def _charges(path: Path) -> tuple[Charge, ...]:
    return tuple(Charge(level.entity_id, level.charged or {}, level.state, level.limited) for level, _ in path)


def _negated(amounts: Amounts) -> Amounts:
    return {name: -tokens for name, tokens in amounts.items()}
