"""The oracles of a simulated history: told of every write and of every call's end, they raise what must not be.

Writes are held to the buckets' own sums (:mod:`~leasegate.simulation.buckets`) and leases to the buckets
(:mod:`~leasegate.simulation.leases`); calls to what they did (all of what was granted, or nothing) and to what was
changed before they began (:mod:`~leasegate.simulation.obedience`); the end to usage, leases and the registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, cast

from .. import schema
from ..changes import read_change
from ..errors import (
    Conflict,
    Disabled,
    IdempotencyConflict,
    InvalidRequest,
    LeaseExpired,
    LeaseNotFound,
    NoLimitsConfigured,
    NotFound,
    RateLimitExceeded,
    StoreError,
)
from ..flows.counting import count_usage
from ..flows.grants import Ask, Grant
from ..flows.spending import Amounts
from ..knowledge import DEFAULT_REFUSAL_AGE_MS, Knowledge, Recent
from ..limits import HOUR_MS, Limit
from ..operations import Item, Key, Operation, Value
from ..records import LeaseEnd
from .buckets import Buckets
from .calls import Call, Held, Violation
from .family import RESOURCES
from .history import History
from .leases import Leases
from .obedience import Obedience, is_torn
from .table import Change
from .traffic import PLAN, sweep
from .world import World

_MAY_END: Final[Mapping[str, tuple[type[Exception], ...]]] = {
    "acquire": (RateLimitExceeded, Disabled, InvalidRequest),
    "acquire durable": (RateLimitExceeded, Disabled, InvalidRequest),
    "acquire many": (),
    "correct": (),
    "keep": (LeaseExpired,),
    "end": (LeaseExpired, LeaseNotFound, InvalidRequest),
    "renew": (LeaseExpired, LeaseNotFound),
    "adjust": (InvalidRequest, NoLimitsConfigured),
    "sweep": (),
    "count": (),
    "change": (Conflict, NotFound, InvalidRequest),
    "replenish": (InvalidRequest, NoLimitsConfigured, IdempotencyConflict),
}
"""How calls may end besides well, and besides without an answer."""

type Tokens = dict[tuple[Key, str], int]
"""Tokens by bucket and limit name."""


class FamilyJudge:
    """Judges the traffic of a small family.

    Attributes:
        endings: how calls ended, by kind.
        obedience: what was checked of changes.
    """

    def __init__(self, history: History, skew_ms: int) -> None:
        """Begin before anything happened."""
        self.endings: Counter[str] = Counter()
        self.obedience = Obedience(skew_ms)
        self.may_differ = 0
        self._history = history
        self._buckets = Buckets(history.stream)
        self._leases: Leases | None = None

    def watch(self, world: World) -> None:
        """Begin to judge a world, in which everybody is there and nobody has spent yet."""
        self._leases = Leases(world.table, self._buckets)

    # --- writes --------------------------------------------------------------------------------------

    def applied(self, world: World, call: Call, operation: Operation, changes: Sequence[Change]) -> None:
        """Hold a write to what it says that it spends."""
        spent: dict[Key, Amounts] = {}
        others: list[Change] = []
        for change in changes:
            if change.key.pk.startswith("BUCKET#"):
                tokens = self._buckets.follow(call, change, world.step, world.now_ms)
                if tokens:
                    spent[change.key] = tokens
                    for name, count in tokens.items():
                        call.spent[change.key, name] += count
            else:
                others.append(change)
        if spent and call.has_ended and not (call.may_differ or call.error is None or is_torn(call)):
            raise Violation(f"a call that ended with {call.error!r} was charged afterwards", *spent)
        for change in others:
            prefix = change.key.pk.partition("#")[0]
            if prefix == "LEASE":
                assert self._leases is not None
                adjusts = call.subject.amounts if call.kind == "adjust" else {}
                self._leases.follow(call, change, changes, spent, adjusts)
            elif prefix in ("RESOURCE", "SYSTEM"):
                self._check_registry(world)

    def _check_registry(self, world: World) -> None:
        """Hold the registry to the resources that have defaults."""
        registry = world.table.item(schema.registry_key()) or {}
        listed = cast("frozenset[str]", registry.get(schema.REGISTRY_RESOURCES, frozenset()))
        having = {
            resource
            for resource in RESOURCES
            if (world.table.item(schema.resource_defaults_key(resource)) or {}).get(schema.STORED_LIMITS)
        }
        if listed != having:
            raise Violation(f"{having} have defaults, and {listed} are listed", schema.registry_key())

    # --- calls ---------------------------------------------------------------------------------------

    def ended(self, world: World, call: Call) -> None:
        """Hold a call to what it did."""
        error = call.error
        self.endings[f"{call.kind}: {type(error).__name__ if error else 'done'}"] += 1
        self.may_differ += call.may_differ
        if error is not None and not isinstance(error, (StoreError, *_MAY_END[call.kind])):
            raise Violation(f"{call.kind} ended with {error!r}")
        match call.kind:
            case "acquire" | "acquire durable":
                self._judge_acquire(world, call)
            case "acquire many":
                self._judge_many(world, call)
            case "correct":
                self._judge_correction(call)
            case "count" if call.result is not None:
                failed = call.result.failures
                self._history.stream.counted.update(
                    [place for number, place in enumerate(call.subject) if number not in failed]
                )
            case "change":
                self.obedience.end(world, call, is_torn=is_torn(call))
            case "end" if isinstance(call.result, LeaseEnd):
                self._judge_end(call)

    def died(self, world: World, call: Call) -> None:
        """Take in that a call broke off."""
        self.endings[f"{call.kind}: died"] += 1
        if call.kind == "change":
            self.obedience.end(world, call, is_torn=True)
        if call.kind == "acquire durable" and call.subject.terms.key is not None:
            self._history.unanswered.append(call.subject)

    def _judge_acquire(self, world: World, call: Call) -> None:
        ask = cast("Ask", call.subject)
        error, grant = call.error, call.result
        spent = self._of_those_that_stayed(call, call.spent)
        if isinstance(grant, Grant):
            self._check_granted(call, ask, grant, spent)
            if grant.lease is None or not grant.lease.is_replayed:
                self.obedience.check_grant(world, call, grant)
            _work_out(world, call, grant)
            if grant.lease is not None:
                self._history.keep_lease(grant.lease.id)
            else:
                keep(call.process.held, grant)
            return
        if isinstance(error, StoreError):
            if ask.terms is not None and ask.terms.key is not None:
                self._history.unanswered.append(ask)
            self._check_bounded(call, ask.consume, spent)
            return
        if spent and not call.may_differ and not hasattr(error, "__notes__"):
            raise Violation(f"nothing was granted ({error!r}), and {spent} spent", *[key for key, _ in spent])
        if isinstance(error, Disabled):
            self.obedience.check_disabled(world, call, error)
        elif isinstance(error, RateLimitExceeded):
            self._judge_refusal(call, ask, error)

    def _check_granted(self, call: Call, ask: Ask, grant: Grant, spent: Tokens) -> None:
        if grant.charges[0].entity_id != ask.entity_id or dict(grant.charges[0].amounts) != dict(ask.consume):
            raise Violation(f"{ask.consume} was asked of {ask.entity_id}, and {grant.charges[0].amounts} granted")
        granted: Tokens = {}
        for charge in grant.charges:
            key = schema.bucket_key(charge.entity_id, ask.resource)
            for name, tokens in charge.tokens.items():
                if tokens:
                    granted[key, name] = tokens
        if call.may_differ or spent == self._of_those_that_stayed(call, granted):
            return
        if not spent and grant.lease is not None and grant.lease.is_replayed:
            return
        raise Violation(f"{granted} were granted, and {spent} spent", *[key for key, _ in granted | spent])

    def _check_bounded(self, call: Call, asked: Amounts, spent: Tokens) -> None:
        """Hold a call without an answer to having spent once at most."""
        for (key, name), tokens in spent.items():
            if not 0 <= tokens <= asked.get(name, 0) and not call.may_differ:
                raise Violation(f"{asked} was asked for, and {tokens} {name} spent", key)

    def _judge_refusal(self, call: Call, ask: Ask, error: RateLimitExceeded) -> None:
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

    def _check_remembered(self, call: Call, key: Key, limit: Limit, cost: int) -> None:
        """Hold a remembered refusal to something that the process saw no longer ago than it may believe it."""
        now_ms = call.request.now_ms
        for seen_ms, item in reversed(call.process.sights.get(key, ())):
            if abs(now_ms - seen_ms) < DEFAULT_REFUSAL_AGE_MS and lacks(item, limit, cost, now_ms):
                return
        raise Violation(f"{limit.name} was refused, and nothing seen lately says so", key)

    def _judge_many(self, world: World, call: Call) -> None:
        """Hold a batch to the sum of what it granted."""
        if call.result is None:
            return
        granted: Counter[tuple[Key, str]] = Counter()
        # What could not be given back before it was asked anew is in no verdict.
        is_sure = not call.may_differ and not call.was_unanswered
        for ask, verdict in zip(call.subject, call.result, strict=True):
            if isinstance(verdict, Grant):
                keep(call.process.held, verdict)
                for charge in verdict.charges:
                    for name, tokens in charge.tokens.items():
                        granted[schema.bucket_key(charge.entity_id, ask.resource), name] += tokens
            elif not isinstance(verdict, (StoreError, *_MAY_END["acquire"])):
                raise Violation(f"one of many ended with {verdict!r}")
        spent = self._of_those_that_stayed(call, call.spent)
        if is_sure and self._of_those_that_stayed(call, granted) != spent:
            raise Violation(
                f"{granted} were granted, and {spent} spent", *[key for key, _ in granted | call.spent]
            )

    def _of_those_that_stayed(self, call: Call, tokens: Mapping[tuple[Key, str], int]) -> Tokens:
        """Return tokens without those of buckets that were deleted meanwhile, which forget what was spent."""
        left_step, began_step = self._buckets.left_step, call.began_step
        return {
            (key, name): count
            for (key, name), count in tokens.items()
            if count and left_step.get(key, -1) < began_step
        }

    def _judge_correction(self, call: Call) -> None:
        held = cast("Held", call.subject)
        if call.error is not None:
            call.process.held.append(held)  # sent again under the same request: it counts once
            return
        for correction in held.corrections:
            key = schema.bucket_key(correction.entity_id, held.grant.resource)
            for name, wanted in correction.amounts.items():
                tokens = call.spent[key, name]
                if call.may_differ or tokens == wanted:
                    continue
                if tokens or self._buckets.changed_step.get(key, -1) < call.began_step:
                    self._check_unlimited(call, key, name, wanted, tokens)

    def _check_unlimited(self, call: Call, key: Key, name: str, wanted: int, tokens: int) -> None:
        assert self._leases is not None
        item = self._leases.table.item(key)
        if item is not None and name in cast("Mapping[str, Any]", item["lim"]):
            raise Violation(f"{wanted} {name} were to be corrected, and {tokens} were", key)

    def _judge_end(self, call: Call) -> None:
        """Hold what a settlement or release returns to how the lease ended."""
        assert self._leases is not None
        entry = self._leases.entries.get(call.subject)
        end = cast("LeaseEnd", call.result)
        if entry is None or entry.stored.end is None:
            raise Violation(f"a lease was {end.outcome}, and is open", schema.lease_key(call.subject))
        stored = entry.stored.end
        if (end.outcome, end.at_ms, dict(end.consumed)) != (stored.outcome, stored.at_ms, dict(stored.consumed)):
            raise Violation(f"a lease is said to be {end}, and is {stored}", schema.lease_key(call.subject))

    # --- the end -------------------------------------------------------------------------------------

    def close(self, world: World) -> None:
        """Let everything come to its end, and hold the table to all that happened."""
        assert self._leases is not None
        world.skip(120_000)
        process = world.processes[0]
        call = Call(
            "sweep",
            None,
            sweep(process.request(world.now_ms), Knowledge()),
            process,
            process.request(world.now_ms),
            0,
            0,
        )
        world.make(world.threads[0], call)
        world.calm_down()
        for name, entry in self._leases.entries.items():
            ends_at_ms = entry.stored.ends_at_ms
            if entry.stored.end is not None or ends_at_ms is None:
                continue
            if ends_at_ms < world.now_ms - 2 * self.obedience.skew_ms:
                raise Violation("a lease is open, and its time long over", schema.lease_key(name))
        self._check_usage(world)

    def _check_usage(self, world: World) -> None:
        """Count what nobody counted; then usage is what the buckets were seen to spend."""
        stream = self._history.stream
        left = [place for place in range(len(stream.changes)) if place not in stream.counted]
        changes = [read_change(*stream.changes[place]) for place in left]  # type: ignore[arg-type]  # none is deleted
        for start in range(0, len(changes), 500):
            counted = world.settle(count_usage(changes[start : start + 500], PLAN, world.now_ms, Recent(300)))
            if counted.failures:
                raise Violation(f"usage was not counted: {counted.failures}")
        found: Counter[tuple[Key, str, int]] = Counter()
        for key, item in world.table.items.items():
            if key.pk.startswith("USAGE#"):
                entity_id, resource, window, start_ms = schema.usage_of(key)
                if window == "hour":
                    bucket, usage = schema.bucket_key(entity_id, resource), schema.parse_usage(item)
                    found[bucket, "", start_ms // HOUR_MS] += usage.grants
                    for name, tokens in usage.tokens.items():
                        found[bucket, name, start_ms // HOUR_MS] += tokens
        for what in found.keys() | self._buckets.usage.keys():
            if found[what] != self._buckets.usage[what]:
                key, name, _ = what
                raise Violation(
                    f"usage says {found[what]} {name}, and {self._buckets.usage[what]} were spent", key
                )


def keep(held: list[Held], grant: Grant) -> None:
    """Keep a grant for its process to correct; the oldest is forgotten where there are many."""
    held.append(Held(grant))
    if len(held) > 12:
        held.pop(0)


def _work_out(world: World, call: Call, grant: Grant) -> None:
    """Let a process see what it has worked out for itself: a transaction does not show what it left."""
    for charge in grant.charges:
        if charge.amounts and charge.state is not None:
            item: dict[str, Value] = {"v." + name: tat for name, tat in charge.state.tats.items()}
            for name, holders in charge.state.holders.items():
                item |= {f"h.{name}.{holder}": until_ms for holder, until_ms in holders.items()}
            call.process.see(schema.bucket_key(charge.entity_id, grant.resource), item, world.now_ms)


def lacks(item: Item, limit: Limit, cost: int, now_ms: int) -> bool:
    """Say, by rational numbers and not by the limiter's own arithmetic, that so much is not there."""
    if limit.is_concurrent:
        prefix = f"h.{limit.name}."
        untils = [cast("int", until) for name, until in item.items() if name.startswith(prefix)]
        return sum([until > now_ms for until in untils]) + cost > limit.capacity
    tat = cast("int | None", item.get("v." + limit.name))
    if tat is None:
        return cost > limit.capacity
    debt = max(Fraction(0), Fraction(tat, limit.amount) - now_ms) * Fraction(limit.amount, limit.period_ms)
    return limit.capacity - debt < cost
