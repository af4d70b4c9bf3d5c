"""What a caller learns of limits: how much is there, and when there is more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from . import bucket, concurrency
from .concurrency import Holders
from .frozen import frozen
from .limits import Limit, Limits


@frozen
class LimitState:
    """One limit at one moment.

    Attributes:
        limit: the limit itself.
        available: whole tokens that can be spent now, or leases that there may be besides; negative in debt.
        requested: the tokens that were asked for; 1 where nobody asked.
        retry_after_ms: in how many ms ``requested`` tokens will be there; 0 when they are. Of leases, a second at
            most: they may end at any time.
        next_token_ms: in how many ms one more token will be there; None when the bucket is full.
    """

    limit: Limit
    available: int
    requested: int
    retry_after_ms: int
    next_token_ms: int | None

    @property
    def name(self) -> str:
        """The limit's name."""
        return self.limit.name

    @property
    def capacity(self) -> int:
        """The most tokens that can be there at once."""
        return self.limit.capacity


class Refusal(NamedTuple):
    """A limit that refused, and whose it is.

    Attributes:
        entity_id: whose limit: the one that asked, or an ancestor.
        state: the limit, and what it has left.
    """

    entity_id: str
    state: LimitState


class Availability(Mapping[str, LimitState]):
    """The limits of an entity for a resource: a mapping of limit name to :class:`LimitState`.

    Attributes:
        entity_id: whose limits.
        resource: for what.
        ancestors: the same for each level above, nearest first; a level without limits is empty.
    """

    __slots__ = ("_states", "ancestors", "entity_id", "resource")

    def __init__(
        self,
        entity_id: str,
        resource: str,
        states: Mapping[str, LimitState],
        ancestors: tuple[Availability, ...] = (),
    ) -> None:
        """Take the states in the order of their names."""
        self.entity_id = entity_id
        self.resource = resource
        self.ancestors = ancestors
        self._states = states

    def __getitem__(self, name: str) -> LimitState:
        """Return the state of one limit."""
        return self._states[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the limits."""
        return iter(self._states)

    def __len__(self) -> int:
        """Count the limits."""
        return len(self._states)

    def __repr__(self) -> str:
        """Show the tokens by limit."""
        tokens = ", ".join(f"{state.name}={state.available}/{state.capacity}" for state in self.values())
        return f"<Availability {self.entity_id} {self.resource}: {tokens}>"


class Observation(Mapping[str, LimitState]):
    """Every limit of a bucket at one moment, by name: kept as it was found, and described when somebody looks.

    Most callers only want to know whether they may spend; what is there besides costs them nothing.
    """

    __slots__ = ("_amounts", "_holders", "_limits", "_now_ms", "_states", "_tats")

    def __init__(
        self,
        limits: Limits,
        tats: Mapping[str, int],
        holders: Mapping[str, Holders],
        amounts: Mapping[str, int],
        now_ms: int,
    ) -> None:
        """Keep the arguments of :func:`observe`, which nobody changes."""
        self._limits = limits
        self._tats = tats
        self._holders = holders
        self._amounts = amounts
        self._now_ms = now_ms
        self._states: Mapping[str, LimitState] | None = None

    def __getitem__(self, name: str) -> LimitState:
        """Return the state of one limit."""
        if self._states is None:
            self._states = observe(self._limits, self._tats, self._holders, self._amounts, self._now_ms)
        return self._states[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the limits."""
        return iter(self._limits)

    def __len__(self) -> int:
        """Count the limits."""
        return len(self._limits)


def observe(
    limits: Limits,
    tats: Mapping[str, int],
    holders: Mapping[str, Holders],
    amounts: Mapping[str, int],
    now_ms: int,
) -> dict[str, LimitState]:
    """Describe every limit at ``now_ms``, with retry times for the amounts asked for."""
    return {
        name: observe_limit(limit, tats.get(name), holders.get(name, {}), amounts.get(name, 1), now_ms)
        for name, limit in limits.items()
    }


def observe_limit(limit: Limit, tat: int | None, holders: Holders, requested: int, now_ms: int) -> LimitState:
    """Describe one limit at ``now_ms``, with the retry time for the amount asked for."""
    if limit.is_concurrent:
        return _observe_leases(limit, holders, requested, now_ms)
    return LimitState(
        limit=limit,
        available=bucket.tokens_available(limit, tat, now_ms),
        requested=requested,
        retry_after_ms=bucket.retry_after_ms(limit, tat, min(requested, limit.capacity), now_ms) or 0,
        next_token_ms=bucket.next_token_ms(limit, tat, now_ms),
    )


def _observe_leases(limit: Limit, holders: Holders, requested: int, now_ms: int) -> LimitState:
    available = concurrency.places_available(limit, holders, now_ms)
    return LimitState(
        limit=limit,
        available=available,
        requested=requested,
        retry_after_ms=concurrency.retry_after_ms(limit, holders, min(requested, limit.capacity), now_ms),
        next_token_ms=concurrency.retry_after_ms(limit, holders, max(available, 0) + 1, now_ms)
        if available < limit.capacity
        else None,
    )
