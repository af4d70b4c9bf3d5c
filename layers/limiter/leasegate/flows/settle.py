"""Corrections: give tokens back, or spend more than is there, at all levels of a grant at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .. import schema, stamps
from ..errors import LeasegateError, StoreError, StoreThrottled
from ..knowledge import Knowledge
from ..limits import Limits
from ..operations import (
    Applied,
    BatchGet,
    Cancelled,
    Failed,
    Flow,
    Found,
    Operation,
    Outcome,
    Refused,
    Transact,
)
from ..schema import Bucket
from . import lifecycle, reading, spending
from .reading import Resolved
from .spending import Amounts, Request

_MAX_ROUND_TRIPS: Final = 16


@dataclass(slots=True)
class Correction:
    """Signed tokens by limit name for one bucket: positive ones are spent (into debt), negative ones returned.

    ``state`` is the bucket as last seen; None where it was never seen. Names it does not limit are left out.
    """

    entity_id: str
    amounts: Amounts
    state: Bucket | None
    absent: bool = False
    limits: Limits | None = None
    parent_id: str | None = None
    done: bool = False


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
    for attempt in range(_MAX_ROUND_TRIPS):
        pending: list[tuple[Correction, Operation]] = []
        for position, correction in enumerate(corrections):
            if not correction.done:
                token = f"{request.id}.{position}.{attempt}"
                operation = _operation(resource, correction, request, token)
                correction.done = operation is None
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
    key = schema.bucket_key(correction.entity_id, resource)
    if correction.state is not None:
        if not any(tokens and name in correction.state.limits for name, tokens in correction.amounts.items()):
            return None
        return spending.correct(key, correction.state, correction.amounts, request)
    if not correction.absent:
        return BatchGet(reading.entity_keys(correction.entity_id, resource))
    limits = correction.limits or {}
    debts = {name: n for name, n in correction.amounts.items() if n > 0 and name in limits}
    if not debts:
        return None
    mark = Resolved(stamps.stale_mark(request.now_ms), limits)
    state = lifecycle.newborn(mark, correction.parent_id, debts, request)
    actions = lifecycle.recreate(correction.entity_id, resource, state, debts, request)
    return Transact(actions, token)


def _judge(
    resource: str, correction: Correction, outcome: Outcome, request: Request, knowledge: Knowledge
) -> StoreError | None:
    """Take an outcome in; return the error that stands in its place, if any."""
    entity_id = correction.entity_id
    match outcome:
        case Applied(item):
            correction.done = True
            if item is not None:
                state = schema.parse_bucket(item, correction.state)
                knowledge.learn_return(entity_id, resource, state)
        case Refused(None):
            assert correction.state is not None
            correction.limits, correction.parent_id = correction.state.limits, correction.state.parent_id
            correction.state, correction.absent = None, True
            knowledge.forget_bucket(entity_id, resource)
        case Refused(item) | Cancelled((Refused(item), *_)) if item is not None:
            correction.state = schema.parse_bucket(item)
            correction.done = request.was_applied_to(correction.state)
        case Cancelled():
            correction.done = True  # the entity was deleted, its debts with it
        case Found(items):
            correction.state = reading.parse_bucket_reading(items, entity_id, resource)
            entity = reading.parse_entity_reading(items, entity_id, resource)
            resolved = entity.resolve()
            correction.absent = correction.state is None
            correction.limits = None if resolved is None else resolved.limits
            correction.parent_id = entity.entity.parent_id
        case Failed(error):
            return error
        case _:
            raise LeasegateError(f"a correction cannot end as {type(outcome).__name__}")
    return None
