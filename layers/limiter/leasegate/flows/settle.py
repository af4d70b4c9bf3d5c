"""Corrections: give tokens back, or spend more than is there, at all levels of a grant at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .. import schema, stamps
from ..errors import LeasegateError, StoreError, StoreThrottled
from ..knowledge import Knowledge
from ..limits import Limits
from ..operations import (
    Action,
    Applied,
    BatchGet,
    Cancelled,
    Failed,
    Flow,
    Found,
    Item,
    Key,
    Operation,
    Outcome,
    Refused,
    Transact,
    Update,
)
from ..schema import Bucket
from . import lifecycle, reading, spending
from .holding import HolderIds
from .reading import Resolved
from .spending import Amounts, Request

MAX_ROUND_TRIPS: Final = 16


@dataclass(slots=True)
class Correction:
    """Signed tokens by limit name for one bucket, positive ones spent (into debt), negative ones returned.

    Besides, the holders that leave, and the ``grants`` that count no longer (negative). ``state`` is the bucket as
    last seen; None where it was never seen. Names it does not limit are left out.
    """

    entity_id: str
    amounts: Amounts
    state: Bucket | None
    leaving: HolderIds = field(default_factory=dict)
    grants: int = 0
    absent: bool = False
    limits: Limits | None = None
    parent_id: str | None = None
    done: bool = False

    def plan(self, resource: str, request: Request) -> tuple[Action, ...]:
        """Return the actions that make the correction as the bucket is believed to be; without any, it is done."""
        actions = self._actions(resource, request)
        self.done = not actions
        return actions

    def _actions(self, resource: str, request: Request) -> tuple[Action, ...]:
        state = self.state
        if state is None:
            return self._create(resource, request)
        holds = any(holder in state.holders.get(name, {}) for name, ids in self.leaving.items() for holder in ids)
        if not holds and not self.grants and not spending.correctable(state, self.amounts):
            return ()
        key = schema.bucket_key(self.entity_id, resource)
        return (spending.correct(key, state, self.amounts, self.leaving, request, grants=self.grants),)

    def _create(self, resource: str, request: Request) -> tuple[Action, ...]:
        limits = self.limits or {}
        debts = {
            name: tokens
            for name, tokens in self.amounts.items()
            if tokens > 0 and name in limits and not limits[name].is_concurrent
        }
        if not debts:
            return ()
        mark = Resolved(stamps.stale_mark(request.now_ms), limits)
        state = lifecycle.newborn(mark, self.parent_id, debts, request)
        return lifecycle.recreate(self.entity_id, resource, state, debts, request)

    @property
    def is_unread(self) -> bool:
        """Whether nothing is known of the bucket, not even that there is none."""
        return self.state is None and not self.absent

    def learn_read(self, resource: str, items: Mapping[Key, Item]) -> None:
        """Take in what a read found of the bucket and, where there is none, of the limits it would have."""
        self.state = reading.parse_bucket_reading(items, self.entity_id, resource)
        entity = reading.parse_entity_reading(items, self.entity_id, resource)
        resolved = entity.resolve()
        self.absent = self.state is None
        self.limits = None if resolved is None else resolved.limits
        self.parent_id = entity.entity.parent_id

    def learn_refusal(self, resource: str, refused: Refused, request: Request, knowledge: Knowledge) -> None:
        """Take in how the bucket stands that refused; it may have been corrected already."""
        if refused.item is None:
            assert self.state is not None
            self.limits, self.parent_id = self.state.limits, self.state.parent_id
            self.state, self.absent = None, True
            knowledge.forget_bucket(self.entity_id, resource)
        else:
            self.state = schema.parse_bucket(refused.item)
            self.done = request.was_applied_to(self.state)


def correct(
    resource: str,
    corrections: list[Correction],
    request: Request,
    knowledge: Knowledge,
    *,
    alongside: tuple[Operation, ...] = (),
) -> Flow[None]:
    """Apply every correction exactly once. Usually one round trip, one write unit for each bucket.

    ``alongside`` goes out with the first round trip, whatever becomes of it. A bucket that DynamoDB deleted was
    full: nothing is returned to it, and a debt creates it again. Raises :class:`StoreError` where the table
    does not answer, after all corrections that it did answer are done.
    """
    for attempt in range(MAX_ROUND_TRIPS):
        pending: list[tuple[Correction, Operation]] = []
        for position, correction in enumerate(corrections):
            if not correction.done:
                operation = _operation(resource, correction, request, f"{request.id}.{position}.{attempt}")
                if operation is not None:
                    pending.append((correction, operation))
        if not pending and not alongside:
            return
        outcomes = yield (*(operation for _, operation in pending), *alongside)
        alongside = ()
        failures = [
            _judge(resource, correction, outcome, request, knowledge)
            for (correction, _), outcome in zip(pending, outcomes, strict=False)
        ]
        for failure in failures:
            if failure is not None:
                raise failure
    raise StoreThrottled("the bucket is too contended")


def _operation(resource: str, correction: Correction, request: Request, token: str) -> Operation | None:
    """Return the next operation for a correction, or None where there is nothing to correct."""
    if correction.is_unread:
        return BatchGet(reading.entity_keys(correction.entity_id, resource))
    actions = correction.plan(resource, request)
    if not actions:
        return None
    return actions[0] if len(actions) == 1 and isinstance(actions[0], Update) else Transact(actions, token)


def _judge(
    resource: str, correction: Correction, outcome: Outcome, request: Request, knowledge: Knowledge
) -> StoreError | None:
    """Take an outcome in; return the error that stands in its place, if any."""
    match outcome:
        case Applied(item):
            correction.done = True
            if item is not None:
                state = schema.parse_bucket(item, correction.state)
                knowledge.learn_return(correction.entity_id, resource, state)
        case Refused() | Cancelled((Refused(), *_)):
            refused = outcome if isinstance(outcome, Refused) else outcome.refusals[0]
            assert refused is not None
            correction.learn_refusal(resource, refused, request, knowledge)
        case Cancelled():
            correction.done = True  # the entity was deleted, its debts with it
        case Found(items):
            correction.learn_read(resource, items)
        case Failed(error):
            return error
        case _:
            raise LeasegateError(f"a correction cannot end as {type(outcome).__name__}")
    return None
