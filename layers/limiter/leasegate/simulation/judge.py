"""The oracles of a simulated history: told of every write and of every call's end, they raise what must not be.

Writes are held to the buckets' own sums (:mod:`~leasegate.simulation.buckets`), leases to the buckets
(:mod:`~leasegate.simulation.leases`), families to being trees (:mod:`~leasegate.simulation.descent`). Calls are
held to what they did (:mod:`~leasegate.simulation.answers`) and to what was changed before they began
(:mod:`~leasegate.simulation.obedience`); the end to all of that (:mod:`~leasegate.simulation.closing`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, cast

from .. import schema
from ..errors import (
    Conflict,
    IdempotencyConflict,
    InvalidRequest,
    LeaseExpired,
    LeaseNotFound,
    NoLimitsConfigured,
    NotFound,
    StoreError,
)
from ..flows.grants import Grant
from ..flows.spending import Amounts
from ..operations import Key, Operation
from . import closing
from .answers import MAY_REFUSE, Answers, keep
from .buckets import Buckets
from .calls import Call, Violation
from .descent import check_families, is_kinship
from .family import ENTITIES, RESOURCES
from .history import History
from .leases import Leases
from .obedience import Obedience, is_torn
from .table import Change
from .world import World

_MAY_END: Final[Mapping[str, tuple[type[Exception], ...]]] = {
    "acquire": MAY_REFUSE,
    "acquire durable": MAY_REFUSE,
    "acquire many": (),
    "correct": (),
    "keep": (LeaseExpired,),
    "end": (LeaseExpired, LeaseNotFound),
    "end by a wrong ticket": (LeaseExpired, LeaseNotFound, InvalidRequest),
    "renew": (LeaseExpired, LeaseNotFound),
    "renew by a wrong ticket": (LeaseExpired, LeaseNotFound, InvalidRequest),
    "adjust": (InvalidRequest, NoLimitsConfigured),
    "sweep": (),
    "count": (),
    "change": (Conflict, NotFound, InvalidRequest),
    "replenish": (InvalidRequest, NoLimitsConfigured, IdempotencyConflict),
}
"""How calls may end besides well, and besides without an answer."""

_SPENDING: Final = frozenset({"acquire", "acquire many", "correct", "adjust"})
"""The calls that spend, or give back, by themselves; others only by a lease that says so in the same write."""

_LET_GO_AGAIN: Final = 3
"""Where replies get lost, one correction of so many is sent again though it was answered: it counts once."""


class FamilyJudge:
    """Judges the traffic of a small family.

    Attributes:
        endings: how calls ended, by kind.
        obedience: what was checked of changes.
        checked: what else was checked, and how often.
        leases: all that are in the table.
    """

    leases: Leases
    _answers: Answers

    def __init__(
        self,
        history: History,
        skew_ms: int,
        entities: Sequence[str] = ENTITIES,
        resources: Sequence[str] = RESOURCES,
    ) -> None:
        """Begin before anything happened."""
        self.endings: Counter[str] = Counter()
        self.obedience = Obedience(skew_ms)
        self.checked = self.obedience.checked
        self.may_differ = 0
        self._history = history
        self._entities = entities
        self._resources = resources
        self._buckets = Buckets(history.stream)

    def watch(self, world: World) -> None:
        """Begin to judge a world, in which everybody is there and nobody has spent yet."""
        self.leases = Leases(world.table, self._buckets, self.checked)
        self._answers = Answers(world.table, self._buckets, self.obedience, self.checked)

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
        is_of_lease = False
        for change in others:
            prefix = change.key.pk.partition("#")[0]
            if prefix == "LEASE":
                is_of_lease = True
                adjusts = call.subject.amounts if call.kind == "adjust" else {}
                self.leases.follow(call, change, changes, spent, adjusts, world.step)
            elif prefix == "ENTITY":
                if change.key.sk == schema.entity_key("").sk and is_kinship(change.before, change.after):
                    self._check_families(world)
            elif prefix in ("RESOURCE", "SYSTEM"):
                self._check_registry(world)
        if spent and call.kind not in _SPENDING and not is_of_lease:
            raise Violation(f"{call.kind} spent {spent}", *spent)
        if self._buckets.leavers:
            self.leases.check_leavers(call, self._buckets.leavers, others)
            self._buckets.leavers.clear()

    def _check_families(self, world: World) -> None:
        found = {key: world.table.item(key) for key in map(schema.entity_key, self._entities)}
        check_families({key: item for key, item in found.items() if item is not None})
        self.checked["families"] += 1

    def _check_registry(self, world: World) -> None:
        """Hold the registry to the resources that have defaults."""
        registry = world.table.item(schema.registry_key()) or {}
        listed = cast("frozenset[str]", registry.get(schema.REGISTRY_RESOURCES, frozenset()))
        having = {
            resource
            for resource in self._resources
            if (world.table.item(schema.resource_defaults_key(resource)) or {}).get(schema.STORED_LIMITS)
        }
        if listed != having:
            raise Violation(f"{having} have defaults, and {listed} are listed", schema.registry_key())
        self.checked["registry"] += 1

    # --- calls ---------------------------------------------------------------------------------------

    def ended(self, world: World, call: Call) -> None:
        """Hold a call to what it did, and keep what others may come back to."""
        error = call.error
        self.endings[f"{call.kind}: {type(error).__name__ if error else 'done'}"] += 1
        self.may_differ += call.may_differ
        if error is not None and not isinstance(error, (StoreError, *_MAY_END[call.kind])):
            raise Violation(f"{call.kind} ended with {error!r}")
        match call.kind:
            case "acquire" | "acquire durable":
                self._answers.judge_acquire(world, call)
                self._keep_answer(call)
            case "acquire many":
                self._answers.judge_many(world, call)
                for verdict in call.result or ():
                    if isinstance(verdict, Grant):
                        keep(call.process.held, verdict)
            case "correct":
                self._answers.judge_correction(call)
                if error is not None:
                    call.process.held.append(call.subject)
                elif world.faults.lost_reply and world.step % _LET_GO_AGAIN == 0:
                    call.subject.begin_anew()
                    call.process.held.append(call.subject)
            case "adjust":
                self._answers.judge_adjustment(call)
            case "count" if call.result is not None:
                failed = call.result.failures
                self._history.stream.counted.update(
                    [place for number, place in enumerate(call.subject) if number not in failed]
                )
            case "change":
                self.obedience.end(world, call, is_torn=is_torn(call))
            case "end" | "renew" | "end by a wrong ticket" | "renew by a wrong ticket":
                self.leases.judge_use(call)

    def _keep_answer(self, call: Call) -> None:
        if isinstance(call.result, Grant):
            if call.result.lease is None:
                keep(call.process.held, call.result)
            else:
                self._history.keep_lease(call.result.lease.id)
        elif isinstance(call.error, StoreError) and call.kind == "acquire durable" and call.subject.terms.key:
            self._history.unanswered.append(call.subject)

    def died(self, world: World, call: Call) -> None:
        """Take in that a call broke off."""
        self.endings[f"{call.kind}: died"] += 1
        if call.kind == "change":
            self.obedience.end(world, call, is_torn=True)
        if call.kind == "acquire durable" and call.subject.terms.key is not None:
            self._history.unanswered.append(call.subject)

    # --- the end -------------------------------------------------------------------------------------

    def close(self, world: World) -> None:
        """Let everything come to its end, and hold the table to all that happened."""
        closing.end_all(world)
        closing.check_leases(world, self.leases, self.obedience.skew_ms)
        self.checked["usage"] += closing.check_usage(world, self._history.stream, self._buckets)
        self._check_families(world)
        self.checked["places"] += closing.check_places(world, self.obedience, self._entities, self._resources)
