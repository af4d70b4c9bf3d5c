"""One level of a cascade: the acquiring entity or one of its ancestors, and the steps that can be taken for it.

A step is one of five: nothing to do, read these keys, spend from this state, send this write, refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..frozen import frozen
from ..knowledge import KnownBucket
from ..operations import Action, Key
from ..schema import Bucket
from .grants import Charge
from .reading import EntityReading
from .spending import Amounts, Request


@dataclass(slots=True)
class Level:
    """What an acquire knows of one level so far.

    Attributes:
        entity_id: whose level it is; ``own`` for the acquiring entity, whom defaults limit as well.
        parent_id: where the cascade goes on from here, as far as is known.
        state: the bucket as last seen; ``verified`` when this acquire itself saw it, ``refused_at_ms`` when it
            refused somebody, as far as that is remembered with it.
        absent: this acquire asked the table, and there is no bucket.
        reading: the record and limits that this acquire read, after it had met ``mark`` (if any): limits that
            came together with a mark may be older than the mark.
        limited: limits are set here that this acquire or a later correction of it can touch.
        charged: what was spent here, None while nothing was. unsure: a write that may or may not have happened.
    """

    entity_id: str
    own: bool
    parent_id: str | None = None
    state: Bucket | None = None
    refused_at_ms: int | None = None
    verified: bool = False
    absent: bool = False
    reading: EntityReading | None = None
    mark: tuple[str, int] | None = None
    lost_rebases: int = 0
    limited: bool = True
    charged: Amounts | None = None
    unsure: Write | None = None

    def believe(self, known: KnownBucket | None) -> None:
        """Begin with what is remembered of the bucket."""
        if known is not None:
            self.state, self.refused_at_ms = known.state, known.refused_at_ms

    def charge(self, request: Request, write: Write | None = None) -> Charge:
        """Return what a request charged here, or what a write of it is about to charge."""
        amounts = (self.charged if write is None else write.amounts) or {}
        state = self.state if write is None else write.after
        holders: dict[str, tuple[str, ...]] = {}
        if state is not None:
            for name, count in amounts.items():
                limit = state.limits.get(name)
                if limit is not None and limit.is_concurrent:
                    holders[name] = tuple(request.entering(limit, count))
        return Charge(self.entity_id, amounts, state, self.limited, holders)


@frozen
class Nothing:
    """Nothing to write: charged already, or no limits here that this acquire touches."""


@frozen
class Read:
    """Read these keys before anything is written."""

    keys: tuple[Key, ...]


@frozen
class Refuse:
    """The amounts are not there; ``cached`` when memory answered and not the table."""

    amounts: Amounts
    cached: bool


@frozen
class Spend:
    """Spend what is believed to be there; the write is built when it is sent, for another level may refuse."""

    state: Bucket
    amounts: Amounts


@frozen
class Write:
    """Send these actions: one update, or the actions of a transaction of which the first is the bucket's.

    ``before`` is the state that the write builds on (None: no bucket), ``after`` the limits that it leaves and,
    unless the write returns it, the state; ``amounts`` what it spends (None for a write that only prepares one).
    """

    actions: tuple[Action, ...]
    before: Bucket | None
    after: Bucket
    amounts: Amounts | None

    @property
    def takes_places(self) -> bool:
        """Whether it takes places of a concurrency limit."""
        if self.amounts:
            for name, cost in self.amounts.items():
                if cost and self.after.limits[name].is_concurrent:
                    return True
        return False


type Step = Nothing | Read | Refuse | Spend | Write

NOTHING: Final = Nothing()
