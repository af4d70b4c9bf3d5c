"""What an acquire asks for, and what it was granted at each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import InvalidRequest
from ..limits import Limits
from ..schema import Bucket
from ..states import Availability, LimitState, observe
from .spending import Amounts

type Cascade = bool | Literal["transaction"]


def check_cascade(value: object) -> Cascade:
    """Return ``value`` if it says how to cascade; raise :class:`InvalidRequest` if not."""
    if value is True or value is False or value == "transaction":
        return value
    raise InvalidRequest("cascade", 'must be true, false or "transaction"')


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants to spend what. ``limits`` count where no level has any, ``parent_id`` is a hint."""

    entity_id: str
    resource: str
    consume: Amounts
    limits: Limits | None = None
    parent_id: str | None = None
    cascade: Cascade = True


@dataclass(frozen=True, slots=True)
class Charge:
    """What was spent at one level; ``state`` is the bucket after it, ``limited`` whether it has limits at all."""

    entity_id: str
    amounts: Amounts
    state: Bucket | None
    limited: bool


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer yes: the charges of all levels, the acquiring entity's first."""

    resource: str
    now_ms: int
    consume: Amounts
    charges: tuple[Charge, ...]

    @property
    def availability(self) -> Availability:
        """What every limit of every level has left."""
        return describe(self.resource, self.consume, self.now_ms, self.charges)


def describe(resource: str, amounts: Amounts, now_ms: int, charges: Sequence[Charge]) -> Availability:
    """Return the states of all levels, the first with the others as its ancestors."""

    def states(charge: Charge) -> dict[str, LimitState]:
        if charge.state is None or not charge.limited:
            return {}
        return observe(charge.state.limits, charge.state.tats, amounts, now_ms)

    own, *above = charges
    ancestors = tuple(Availability(charge.entity_id, resource, states(charge)) for charge in above)
    return Availability(own.entity_id, resource, states(own), ancestors)
