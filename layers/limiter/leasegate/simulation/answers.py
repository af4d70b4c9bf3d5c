"""What acquires and corrections are held to: they did all that they say, and nothing else; refused is what lacks.

A call may differ from what it says where a write of it was repeated, and nothing remembered that it had been
applied; or where a bucket was deleted meanwhile, which forgets what was spent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from .. import schema
from ..errors import Disabled, InvalidRequest, RateLimitExceeded, StoreError
from ..flows.adjusting import Adjustment
from ..flows.grants import Ask, Grant
from ..flows.spending import Amounts
from ..knowledge import DEFAULT_REFUSAL_AGE_MS
from ..limits import Limit
from ..operations import Key, Value
from .buckets import Buckets
from .calls import Call, Held, Violation
from .ledger import lacks
from .obedience import Obedience
from .table import SimulatedTable
from .world import World

_KEPT: Final = 12

MAY_REFUSE: Final = (RateLimitExceeded, Disabled, InvalidRequest)
"""How an acquire may be answered but well."""

type Tokens = dict[tuple[Key, str], int]
"""Tokens by bucket and limit name."""


@dataclass(slots=True)
class Answers:
    """Judges what calls say of buckets by what they did to them; ``checked`` counts by what."""

    table: SimulatedTable
    buckets: Buckets
    obedience: Obedience
    checked: Counter[str]

    # --- acquires ------------------------------------------------------------------------------------

    def judge_acquire(self, world: World, call: Call) -> None:
        """Hold an acquire to what it did, and to what was changed before it began."""
        ask = cast("Ask", call.subject)
        error, grant = call.error, call.result
        spent = self._of_those_that_stayed(call, call.spent)
        if isinstance(grant, Grant):
            self._check_granted(call, ask, grant, spent)
            if call.spent or grant.lease is None or not grant.lease.is_replayed:
                self.obedience.check_grant(world, call, grant)  # else it was decided under the limits of then
            _work_out(world, call, grant)
            return
        if isinstance(error, StoreError):
            self._check_bounded(call, ask.consume, spent)
            self.checked["unanswered"] += 1
            return
        if spent and not call.may_differ and not hasattr(error, "__notes__"):
            raise Violation(f"nothing was granted ({error!r}), and {spent} spent", *[key for key, _ in spent])
        if isinstance(error, RateLimitExceeded):
            self._check_refusal(call, ask, error)
        elif isinstance(error, Disabled):
            self.obedience.check_disabled(world, call, error)
        elif isinstance(error, InvalidRequest):
            self.obedience.check_invalid(world, call, error)

    def _check_granted(self, call: Call, ask: Ask, grant: Grant, spent: Tokens) -> None:
        if grant.charges[0].entity_id != ask.entity_id or dict(grant.charges[0].amounts) != dict(ask.consume):
            raise Violation(f"{ask.consume} was asked of {ask.entity_id}, and {grant.charges[0].amounts} granted")
        if (grant.lease is None) != (ask.terms is None):
            raise Violation(f"a lease was{' not' if ask.terms is None else ''} asked for, and came out otherwise")
        granted: Tokens = {}
        for charge in grant.charges:
            key = schema.bucket_key(charge.entity_id, ask.resource)
            for name, tokens in charge.tokens.items():
                if tokens:
                    granted[key, name] = tokens
        if call.may_differ or spent == self._of_those_that_stayed(call, granted):
            self.checked["grants"] += not call.may_differ
            return
        if not spent and grant.lease is not None and grant.lease.is_replayed:
            self.checked["replays"] += 1
            return
        raise Violation(f"{granted} were granted, and {spent} spent", *[key for key, _ in granted | spent])

    def _check_bounded(self, call: Call, asked: Amounts, spent: Tokens) -> None:
        """Hold a call without an answer to having spent once at most."""
        for (key, name), tokens in spent.items():
            if not 0 <= tokens <= asked.get(name, 0) and not call.may_differ:
                raise Violation(f"{asked} was asked for, and {tokens} {name} spent", key)

    def _check_refusal(self, call: Call, ask: Ask, error: RateLimitExceeded) -> None:
        """Hold a refusal to the state that the table showed, or showed lately: the tokens are not there."""
        now_ms = call.request.now_ms
        if error.retry_after_ms <= 0 or not error.refusals:
            raise Violation(f"a refusal says to come back in {error.retry_after_ms} ms")
        shown = 0
        for refusal in error.refusals:
            key = schema.bucket_key(refusal.entity_id, ask.resource)
            if error.cached:
                self._check_remembered(call, key, refusal.state.limit, ask.consume[refusal.state.name])
                continue
            item = call.seen.get(key)
            if item is None:
                continue  # this level was answered from memory
            shown += 1
            if not lacks(item, refusal.state.limit, ask.consume[refusal.state.name], now_ms):
                raise Violation(f"{refusal.state.name} was refused, and there", key)
        if not error.cached and not shown:
            raise Violation("a refusal rests on nothing that was seen", *call.seen)
        self.checked["remembered refusals" if error.cached else "refusals"] += 1

    def _check_remembered(self, call: Call, key: Key, limit: Limit, cost: int) -> None:
        """Hold a remembered refusal to something that the process saw no longer ago than it may believe it.

        What it saw after the call had read its clock is the later for that.
        """
        now_ms = call.request.now_ms
        for seen_ms, item in reversed(call.process.sights.get(key, ())):
            if now_ms - seen_ms < DEFAULT_REFUSAL_AGE_MS and lacks(item, limit, cost, now_ms):
                return
        raise Violation(f"{limit.name} was refused, and nothing seen lately says so", key)

    def judge_many(self, world: World, call: Call) -> None:
        """Hold a batch to the sum of what it granted."""
        if call.result is None:
            return
        charged: Counter[tuple[Key, str]] = Counter()
        is_sure = not call.may_differ
        for ask, verdict in zip(call.subject, call.result, strict=True):
            if isinstance(verdict, Grant):
                _work_out(world, call, verdict)
                for charge in verdict.charges:
                    for name, tokens in charge.tokens.items():
                        charged[schema.bucket_key(charge.entity_id, ask.resource), name] += tokens
            elif isinstance(verdict, StoreError) or hasattr(verdict, "__notes__"):
                is_sure = False
            elif not isinstance(verdict, MAY_REFUSE):
                raise Violation(f"one of many ended with {verdict!r}")
        if not is_sure:
            return
        granted, spent = (self._of_those_that_stayed(call, tokens) for tokens in (charged, call.spent))
        # What was tried for all, and could not be given back for want of an answer, stays spent.
        stays = call.was_unanswered and all(spent.get(what, 0) >= granted.get(what, 0) for what in granted | spent)
        if spent != granted and not stays:
            raise Violation(f"{granted} were granted, and {spent} spent", *[key for key, _ in granted | spent])
        self.checked["batches"] += 1

    def _of_those_that_stayed(self, call: Call, tokens: Mapping[tuple[Key, str], int]) -> Tokens:
        """Return tokens without those of buckets that were deleted meanwhile, which forget what was spent."""
        left_step, began_step = self.buckets.left_step, call.began_step
        return {
            (key, name): count
            for (key, name), count in tokens.items()
            if count and left_step.get(key, -1) < began_step
        }

    # --- corrections ---------------------------------------------------------------------------------

    def judge_correction(self, call: Call) -> None:
        """Hold a correction to what was to be corrected, however often it was sent."""
        held = cast("Held", call.subject)
        held.sent_by.append(call)
        if call.error is None and not any(each.may_differ for each in held.sent_by):
            wanted = [(correction.entity_id, correction.amounts) for correction in held.corrections]
            self._check_corrected(call, held.grant.resource, wanted, held.sent_by[0].began_step)

    def judge_adjustment(self, call: Call) -> None:
        """Hold an adjustment that nothing remembers to what it asked for; under a key, a lease says so."""
        adjustment = cast("Adjustment", call.subject)
        if call.error is None and adjustment.terms is None and not call.may_differ:
            grant = cast("Grant", call.result)
            wanted = [(charge.entity_id, adjustment.amounts) for charge in grant.charges if charge.limited]
            self._check_corrected(call, adjustment.resource, wanted, call.began_step)

    def _check_corrected(
        self, call: Call, resource: str, wanted: Iterable[tuple[str, Amounts]], began_step: int
    ) -> None:
        """Hold each level to its tokens, or to none where its bucket does not limit them, or was not there."""
        for entity_id, amounts in wanted:
            key = schema.bucket_key(entity_id, resource)
            for name, asked in amounts.items():
                tokens = call.spent[key, name]
                if tokens == asked:
                    continue
                is_same = self.buckets.changed_step.get(key, -1) < began_step
                item = self.table.item(key) if tokens or is_same else None
                if item is not None and name in cast("Mapping[str, Any]", item["lim"]):
                    raise Violation(f"{asked} {name} were to be corrected, and {tokens} were", key)
        self.checked["corrections"] += 1


def keep(held: list[Held], grant: Grant) -> None:
    """Keep a grant for its process to correct; the oldest is forgotten where there are many."""
    held.append(Held(grant))
    if len(held) > _KEPT:
        held.pop(0)


def _work_out(world: World, call: Call, grant: Grant) -> None:
    """Let a process see what it has worked out for itself: a transaction does not show what it left."""
    for charge in grant.charges:
        if charge.amounts and charge.state is not None:
            item: dict[str, Value] = {"v." + name: tat for name, tat in charge.state.tats.items()}
            for name, holders in charge.state.holders.items():
                item |= {f"h.{name}.{holder}": until_ms for holder, until_ms in holders.items()}
            call.process.see(schema.bucket_key(charge.entity_id, grant.resource), item, world.now_ms)
