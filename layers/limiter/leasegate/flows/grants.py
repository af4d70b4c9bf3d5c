"""What an acquire asks for, and what it was granted at each level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..errors import Conflict, InvalidRequest
from ..frozen import frozen
from ..limits import Limits
from ..schema import Bucket
from ..states import Availability, LimitState, Observation
from .holding import HolderIds
from .settle import Correction
from .spending import Amounts

type Cascade = bool | Literal["transaction"]
type OnExpiry = Literal["release", "keep"]


def check_cascade(value: object) -> Cascade:
    """Return ``value`` if it says how to cascade; raise :class:`InvalidRequest` if not."""
    if value is True or value is False or value == "transaction":
        return value
    raise InvalidRequest("cascade", 'must be true, false or "transaction"')


@dataclass(frozen=True, slots=True)
class Terms:
    """What a durable lease is granted under.

    Attributes:
        lease: its name in the table.
        owner: a digest of who may end it.
        key: the idempotency key, for errors; None where the caller gave none, and the name is new.
        fingerprint: a digest of all that was asked.
        ends_at_ms: when it expires; None for a lease that does not.
        on_expiry: what becomes then of what was spent.
        only_if_held: the lease is durable only if it holds places of a concurrency limit of its entity.
    """

    lease: str
    owner: str
    fingerprint: str
    key: str | None = None
    ends_at_ms: int | None = None
    on_expiry: OnExpiry = "release"
    only_if_held: bool = False


@frozen
class Ask:
    """Who wants to spend what. ``limits`` count where no level has any, ``parent_id`` is a hint.

    ``terms`` make the grant a durable lease. Without any, it ``may_hold`` places of a concurrency limit of the
    entity, or raises :class:`HoldsPlaces` in place of taking them. Where it stands for several acquires, ``parts``
    are what each of them wants.
    """

    entity_id: str
    resource: str
    consume: Amounts
    limits: Limits | None = None
    parent_id: str | None = None
    cascade: Cascade = True
    terms: Terms | None = None
    may_hold: bool = True
    parts: tuple[Amounts, ...] = ()

    def grants(self, amounts: Amounts) -> int:
        """Count the acquires that are granted where these amounts are spent: an ancestor may not limit all."""
        return sum([not part.keys().isdisjoint(amounts) for part in self.parts]) if self.parts else 1


class HoldsPlaces(Conflict):
    """An acquire would take places of a concurrency limit, and may not."""


@frozen
class Charge:
    """What was spent at one level, or taken of it.

    Attributes:
        amounts: tokens, and places of concurrency limits, by limit name.
        state: the bucket after it.
        limited: whether it has limits at all.
        holders: those that were let in, by limit name.
    """

    entity_id: str
    amounts: Amounts
    state: Bucket | None
    limited: bool
    holders: HolderIds = field(default_factory=dict)

    @property
    def tokens(self) -> Amounts:
        """The amounts that were spent, without the places that are held."""
        return {name: tokens for name, tokens in self.amounts.items() if name not in self.holders}

    def reversal(self, grants: int = 0) -> Correction:
        """Return what takes it all back, and the ``grants`` that it counted."""
        negated = {name: -tokens for name, tokens in self.tokens.items()}
        return Correction(self.entity_id, negated, self.state, self.holders, -grants)


@dataclass(frozen=True, slots=True)
class GrantedLease:
    """A durable lease as it was granted.

    ``id`` names it to whoever ends it; ``ends_at_ms`` is when it expires, ``kept_until_ms`` until when it and its
    key are remembered at least; ``is_replayed`` where the key had been used.
    """

    id: str
    ends_at_ms: int | None
    kept_until_ms: int
    is_replayed: bool


@frozen
class Grant:
    """The answer yes: the charges of all levels, the acquiring entity's first."""

    resource: str
    now_ms: int
    consume: Amounts
    charges: tuple[Charge, ...]
    lease: GrantedLease | None = None

    @property
    def availability(self) -> Availability:
        """What every limit of every level has left."""
        return describe(self.resource, self.consume, self.now_ms, self.charges)


def describe(resource: str, amounts: Amounts, now_ms: int, charges: Sequence[Charge]) -> Availability:
    """Return the states of all levels, the first with the others as its ancestors."""
    own, *above = charges
    ancestors = [
        Availability(charge.entity_id, resource, _describe_level(charge, amounts, now_ms)) for charge in above
    ]
    return Availability(own.entity_id, resource, _describe_level(own, amounts, now_ms), tuple(ancestors))


def _describe_level(charge: Charge, amounts: Amounts, now_ms: int) -> Mapping[str, LimitState]:
    state = charge.state
    if state is None or not charge.limited:
        return {}
    return Observation(state.limits, state.tats, state.holders, amounts, now_ms)
