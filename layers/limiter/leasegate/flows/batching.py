"""Many acquires at once, each with a verdict of its own.

Those of one bucket are folded into one write as far as they fit together, in the order given; what does not fit is
asked for by itself. Buckets do not wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from ..concurrency import MAX_TAKEN
from ..errors import Disabled, LeasegateError, NoLimitsConfigured, RateLimitExceeded, StoreError
from ..knowledge import Knowledge
from ..operations import Flow
from ..schema import MAX_LEVELS
from ..states import Availability
from .abreast import abreast
from .acquire import acquire
from .grants import Ask, Charge, Grant, HoldsPlaces, describe
from .spending import Request, summed

type Verdict = Grant | LeasegateError
type NewRequest = Callable[[Ask], Request]
"""Makes the request under which an ask is written."""

_MOST_FOLDS: Final = 3
"""How often what is asked of one bucket is folded anew, because others spent from it meanwhile."""


def acquire_many(asks: Sequence[Ask], new_request: NewRequest, knowledge: Knowledge) -> Flow[list[Verdict]]:
    """Answer every ask, in their order: the grant, or the error that :func:`acquire` raises for it.

    One round trip where the buckets are known and what is asked of each fits. Durable leases are not folded: each
    is a transaction, and those of one bucket follow each other.
    """
    groups: dict[object, list[int]] = {}
    for place, ask in enumerate(asks):
        groups.setdefault((ask.entity_id, ask.resource), []).append(place)
    flows = [_answer([asks[place] for place in places], new_request, knowledge) for places in groups.values()]
    answered = yield from abreast(flows)
    verdicts: dict[int, Verdict] = {}
    for places, answers in zip(groups.values(), answered, strict=True):
        assert not isinstance(answers, LeasegateError)
        verdicts |= dict(zip(places, answers, strict=True))
    return [verdicts[place] for place in range(len(asks))]


def _answer(asks: Sequence[Ask], new_request: NewRequest, knowledge: Knowledge) -> Flow[list[Verdict]]:
    """Answer all that is asked of one bucket, in order: what may be folded together, the others one by one."""
    verdicts: list[Verdict] = []
    for _, run in groupby(enumerate(asks), key=_kind):
        alike = [ask for _, ask in run]
        if verdicts and isinstance(verdicts[-1], StoreError):
            verdicts += [verdicts[-1]] * len(alike)  # there is no time left to ask again
        else:
            verdicts += yield from _fold(alike, new_request, knowledge, _MOST_FOLDS)
    return verdicts


def _kind(numbered: tuple[int, Ask]) -> object:
    """Return what asks must have in common to be folded; a durable lease has nothing in common with any."""
    number, ask = numbered
    if ask.terms is not None and not ask.terms.only_if_held:
        return number
    limits = None if ask.limits is None else tuple(ask.limits.values())
    return (limits, ask.parent_id, ask.cascade, ask.terms is None)


def _fold(
    asks: Sequence[Ask], new_request: NewRequest, knowledge: Knowledge, folds_left: int
) -> Flow[list[Verdict]]:
    """Answer asks that are alike by one write, or by one for those that fit and one for each that does not."""
    if len(asks) == 1 or not folds_left:
        return (yield from _one_by_one(asks, new_request, knowledge))
    merged = _merged(asks)
    try:
        grant = yield from acquire(merged, new_request(merged), knowledge)
        return _split(grant, asks)
    except (StoreError, Disabled, NoLimitsConfigured) as error:
        return [error] * len(asks)
    except HoldsPlaces:
        return (yield from _one_by_one(asks, new_request, knowledge))
    except LeasegateError as error:
        groups = _fitting(asks, _shown(merged, error, new_request, knowledge))
    if groups is None or groups == [list(range(len(asks)))]:
        # Not all is known that stands in the way, such as a bucket that is not there yet: the first will tell.
        first = yield from _alone(asks[0], new_request, knowledge)
        return [first, *(yield from _fold(asks[1:], new_request, knowledge, folds_left - 1))]
    verdicts: dict[int, Verdict] = {}
    for group in groups:
        folded = yield from _fold([asks[place] for place in group], new_request, knowledge, folds_left - 1)
        verdicts |= dict(zip(group, folded, strict=True))
    others = [place for place in range(len(asks)) if place not in verdicts]
    answered = yield from abreast([_alone(asks[place], new_request, knowledge) for place in others])
    for place, answer in zip(others, answered, strict=True):
        verdicts[place] = answer
    return [verdicts[place] for place in range(len(asks))]


def _one_by_one(asks: Sequence[Ask], new_request: NewRequest, knowledge: Knowledge) -> Flow[list[Verdict]]:
    verdicts: list[Verdict] = []
    for ask in asks:
        if verdicts and isinstance(verdicts[-1], StoreError):
            verdicts.append(verdicts[-1])
        else:
            verdicts.append((yield from _alone(ask, new_request, knowledge)))
    return verdicts


def _alone(ask: Ask, new_request: NewRequest, knowledge: Knowledge) -> Flow[Verdict]:
    try:
        return (yield from acquire(ask, new_request(ask), knowledge))
    except LeasegateError as error:
        return error.with_traceback(None)  # a verdict among others, and not raised from here


def _merged(asks: Sequence[Ask]) -> Ask:
    """Return one ask for all of them.

    Leases that are durable only if they hold something are one each: then it may not hold anything.
    """
    parts = tuple([ask.consume for ask in asks])
    return replace(asks[0], consume=summed(parts), terms=None, may_hold=asks[0].terms is None, parts=parts)


def _split(grant: Grant, asks: Sequence[Ask]) -> list[Verdict]:
    """Give each ask its part of what was granted to all."""
    entered = [{name: list(ids) for name, ids in charge.holders.items()} for charge in grant.charges]
    grants: list[Verdict] = []
    for ask in asks:
        charges = []
        for charge, waiting in zip(grant.charges, entered, strict=True):
            amounts = {name: tokens for name, tokens in ask.consume.items() if name in charge.amounts}
            holders = {}
            for name in [name for name in waiting if name in amounts]:
                holders[name] = tuple(waiting[name][: amounts[name]])
                del waiting[name][: amounts[name]]
            charges.append(replace(charge, amounts=amounts, holders=holders))
        grants.append(replace(grant, consume=ask.consume, charges=tuple(charges)))
    return grants


def _shown(
    merged: Ask, error: LeasegateError, new_request: NewRequest, knowledge: Knowledge
) -> Availability | None:
    """Return what is left, as far as a refusal tells, or what was read before it."""
    if isinstance(error, RateLimitExceeded):
        return error.availability
    charges: list[Charge] = []
    entity_id: str | None = merged.entity_id
    while entity_id is not None and len(charges) < MAX_LEVELS:
        state = knowledge.bucket(entity_id, merged.resource)
        if state is None:
            break
        charges.append(Charge(entity_id, {}, state, limited=True))
        entity_id = state.parent_id if merged.cascade else None
    return describe(merged.resource, {}, new_request(merged).now_ms, charges) if charges else None


def _fitting(asks: Sequence[Ask], shown: Availability | None) -> list[list[int]] | None:
    """Choose those that fit one after the other into what is left, by their places, in groups for one write each.

    There is one group, unless they take more places of a concurrency limit than one write may. None where nobody
    knows what is left.
    """
    if shown is None:
        return None
    levels = (shown, *shown.ancestors)
    left = [{name: state.available for name, state in level.items()} for level in levels]
    concurrent = {name for level in levels for name, state in level.items() if state.limit.is_concurrent}
    groups: list[list[int]] = []
    taken = 0
    for place, ask in enumerate(asks):
        places = sum([count for name, count in ask.consume.items() if name in concurrent])
        if not ask.consume.keys() <= left[0].keys() or places > MAX_TAKEN:
            continue
        if any(tokens > level.get(name, tokens) for level in left for name, tokens in ask.consume.items()):
            continue
        for level in left:
            for name in ask.consume.keys() & level.keys():
                level[name] -= ask.consume[name]
        if not groups or taken + places > MAX_TAKEN:
            groups.append([])
            taken = 0
        groups[-1].append(place)
        taken += places
    return groups
