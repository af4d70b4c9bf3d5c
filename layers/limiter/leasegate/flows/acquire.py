"""Acquire: spend tokens of a bucket and of its ancestors' buckets, all or nothing.

Each turn of the loop plans every level from what is known by now, then makes one round trip: the reads that
are missing, else the writes, side by side. It ends when no level has anything left to do, or when one refuses;
then what the others were granted is given back in one more round trip.
"""

from __future__ import annotations

from typing import Final

from .. import schema
from ..errors import (
    Disabled,
    IdempotencyConflict,
    LeasegateError,
    RateLimitExceeded,
    StoreError,
    StoreThrottled,
)
from ..knowledge import Knowledge
from ..operations import BatchGet, Failed, Flow, Key, Operation, Transact, Update
from ..schema import Bucket
from ..states import Refusal, observe_limit
from . import reading, spending
from .climbing import Climb, Path
from .grants import Ask, Charge, Grant, HoldsPlaces, describe
from .learning import Learner
from .leased import LeaseWriter
from .levels import Level, Read, Refuse, Spend, Write
from .planning import Planner
from .refreshing import Belief
from .reporting import Reporter
from .settle import correct
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
        # What was granted under this key before stays granted, whatever has changed since.
        grant = None if isinstance(error, (StoreError, IdempotencyConflict)) else (yield from attempt.recall())
        if grant is not None:
            return grant
        try:
            yield from attempt.give_back()
        except StoreError as second:
            error.add_note(f"tokens of other levels could not be given back: {second}")
        raise


class _Acquire:
    """One acquire on its way: its levels, the planner that decides for them, the learner that takes answers in."""

    def __init__(self, ask: Ask, request: Request, knowledge: Knowledge) -> None:
        self._ask = ask
        self._request = request
        self._knowledge = knowledge
        is_durable = ask.terms is not None and not ask.terms.only_if_held
        self._planner = Planner(
            ask.resource,
            ask.consume,
            ask.limits,
            bool(ask.cascade),
            is_durable or ask.cascade == "transaction",
            ask.parent_id,
            request,
            knowledge,
            Belief(ask.resource, request.now_ms, knowledge),
            ask.grants,
        )
        self._learner = Learner(ask.resource, request, self._planner, knowledge)
        self._climb = Climb(ask, self._planner)
        self._reporter = Reporter(ask.resource, knowledge)
        self._transactions = 0
        self._lease = LeaseWriter(ask.terms, self._learner) if ask.terms is not None and is_durable else None

    def spend(self) -> Flow[Grant]:
        """Make round trips until every level is charged or one refuses."""
        for _ in range(_MAX_ROUND_TRIPS):
            path = self._climb.plan()
            keys = dict.fromkeys([key for _, step in path if isinstance(step, Read) for key in step.keys])
            if keys:
                grant = yield from self._read(path, tuple(keys))
                if grant is not None:
                    return grant
                continue
            if [step for _, step in path if isinstance(step, Refuse)]:
                raise self._refusal(path)
            path = [
                (level, self._planner.write(level, step) if isinstance(step, Spend) else step)
                for level, step in path
            ]
            writes = [(level, step) for level, step in path if isinstance(step, Write)]
            # A write that spends nothing prepares a refusal: do not spend elsewhere only to give it back.
            writes = [write for write in writes if write[1].amounts is None] or writes
            if not writes:
                yield from self._give_back_outside(path)
                return self._grant(path)
            if self._becomes_durable(writes):
                continue
            grant = yield from self._send(path, writes)
            if grant is not None:
                return grant
        raise StoreThrottled(f"bucket of {self._ask.entity_id} is too contended")

    def recall(self) -> Flow[Grant | None]:
        """Return what was granted before under the key; None where nothing was, or that is known already."""
        return None if self._lease is None else (yield from self._lease.recall())

    def give_back(self) -> Flow[None]:
        """Return all that was charged, and all that may have been where the bucket remembers the request."""
        if self._lease is not None and self._lease.is_unsure:
            return
        levels = self._climb.levels.values()
        charged = [level for level in levels if level.charged]
        undos = [
            self._undo(level, level.unsure.after, level.unsure.amounts)
            for level in levels
            if level.unsure is not None and level.unsure.amounts and len(levels) > 1
        ]
        if charged or undos:
            yield from self._return(charged, tuple(undos))

    # --- round trips ---------------------------------------------------------------------------------

    def _read(self, path: Path, keys: tuple[Key, ...]) -> Flow[Grant | None]:
        """Read what the steps need; return what was granted before under the key, if it shows beside it."""
        lease_keys = () if self._lease is None else self._lease.keys
        (outcome,) = yield (BatchGet((*keys, *lease_keys)),)
        items = reading.found(outcome)
        grant = None if self._lease is None else self._lease.find(items)
        if grant is None:
            self._learner.learn_read(path, keys, items)
        return grant

    def _send(self, path: Path, writes: list[tuple[Level, Write]]) -> Flow[Grant | None]:
        """Make the writes, and what there is to report with them; return a grant where that is all of it."""
        writes, report = self._reporter.take_along(writes)
        grant = None
        try:
            if self._lease is not None and all(write.amounts is not None for _, write in writes):
                grant = yield from self._lease.write(self._grant(path), writes, self._token())
            else:
                yield from self._write(writes)
        except LeasegateError:
            if self._lease is None or not self._lease.is_unsure:
                self._reporter.put_back(writes, report)
            raise
        self._reporter.put_back(writes, report)
        return grant

    def _write(self, writes: list[tuple[Level, Write]]) -> Flow[None]:
        belief = self._planner.belief
        refresh = belief.due_refresh()
        groups = [writes] if self._planner.is_atomic else [[write] for write in writes]
        operations = [self._operation(group) for group in groups]
        outcomes = yield (*operations, refresh) if refresh else tuple(operations)
        if refresh:
            belief.learn(refresh, outcomes[-1])
        failures = [self._learner.judge(group, outcome) for group, outcome in zip(groups, outcomes, strict=False)]
        for failure in failures:
            if failure is not None:
                raise failure
        if belief.fresh is not None and belief.fresh.is_disabled:
            raise Disabled(None, self._ask.resource)
        if belief.is_unknown and isinstance(outcomes[-1], Failed):
            raise outcomes[-1].error

    def _operation(self, group: list[tuple[Level, Write]]) -> Operation:
        actions = tuple([action for _, write in group for action in write.actions])
        if len(actions) == 1 and isinstance(actions[0], Update):
            return actions[0]
        return Transact(actions, self._token())

    def _token(self) -> str:
        # Every attempt has a token of its own: a token says "the very same actions".
        self._transactions += 1
        return f"{self._request.id}.{self._transactions}"

    def _becomes_durable(self, writes: list[tuple[Level, Write]]) -> bool:
        """Make the lease durable where it takes places of a concurrency limit, if its terms say so.

        Raises :class:`HoldsPlaces` where it may not take any.
        """
        if self._lease is not None or not [write for level, write in writes if level.own and write.takes_places]:
            return False
        if not self._ask.may_hold:
            raise HoldsPlaces
        if self._ask.terms is None:
            return False
        self._lease = LeaseWriter(self._ask.terms, self._learner)
        self._planner.is_atomic = True
        return True

    # --- endings -------------------------------------------------------------------------------------

    def _refusal(self, path: Path) -> RateLimitExceeded:
        now_ms = self._request.now_ms
        refusals: list[Refusal] = []
        cached = True
        for level, step in path:
            state = level.state
            if not isinstance(step, Refuse) or state is None:
                continue
            cached = cached and step.cached
            if not step.cached:
                self._knowledge.learn_bucket(level.entity_id, self._ask.resource, state, refused_at_ms=now_ms)
            for name, tokens in step.amounts.items():
                seen = observe_limit(
                    state.limits[name], state.tats.get(name), state.holders.get(name, {}), tokens, now_ms
                )
                if seen.retry_after_ms:
                    refusals.append(Refusal(level.entity_id, seen))
        # What other levels were granted is about to be given back: show what is there then.
        charges = [Charge(level.entity_id, {}, self._without_charge(level), level.limited) for level, _ in path]
        return RateLimitExceeded(
            describe(self._ask.resource, self._ask.consume, now_ms, charges),
            tuple(refusals),
            max(refusal.state.retry_after_ms for refusal in refusals),
            cached=cached,
        )

    def _give_back_outside(self, path: Path) -> Flow[None]:
        """Return what was charged to entities that turned out not to be ancestors (any more)."""
        if len(path) == len(self._climb.levels):
            return
        inside = {level.entity_id for level, _ in path}
        outside = [
            level for level in self._climb.levels.values() if level.charged and level.entity_id not in inside
        ]
        if outside:
            yield from self._return(outside, ())

    def _return(self, levels: list[Level], undos: tuple[Update, ...]) -> Flow[None]:
        corrections = [
            level.charge(self._request).reversal(self._ask.grants(level.charged or {})) for level in levels
        ]
        for level in levels:
            level.charged = None
        # The bucket remembers the charge under the request's id, so its return needs another.
        request = Request(f"{self._request.id}-", self._request.slot, self._request.now_ms)
        yield from correct(self._ask.resource, corrections, request, self._knowledge, alongside=undos)

    def _undo(self, level: Level, state: Bucket, amounts: Amounts) -> Update:
        grants = self._ask.grants(amounts)
        return spending.undo(self._bucket_key(level), state, amounts, self._request, grants=grants)

    def _bucket_key(self, level: Level) -> Key:
        return schema.bucket_key(level.entity_id, self._ask.resource)

    def _grant(self, path: Path) -> Grant:
        """Return what was charged at each level, or is about to be, as far as a step writes."""
        charges = tuple(
            [level.charge(self._request, step if isinstance(step, Write) else None) for level, step in path]
        )
        return Grant(self._ask.resource, self._request.now_ms, self._ask.consume, charges)

    def _without_charge(self, level: Level) -> Bucket | None:
        """Return a level's bucket as it will be when what was charged has been given back."""
        if level.state is None or not level.charged:
            return level.state
        back = level.charge(self._request).reversal()
        return spending.after_correction(level.state, back.amounts, back.leaving, self._request)
