"""A lease: what a granted acquire returns, to be corrected to what was really used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from types import TracebackType
from typing import Self

from .durable import DurableLease
from .errors import InvalidRequest, LeasegateError
from .flows.grants import Ask, Charge, Grant
from .flows.renewing import held_until_ms
from .flows.settle import Correction
from .flows.spending import Amounts, Request, summed
from .identifiers import MAX_TOKENS, check_amounts, check_integer
from .results import Renewal
from .states import Availability

type Spend = Callable[[Ask], Grant | None]
"""Spends more; None where the limiter allows without the table."""


@dataclass(slots=True)
class Settlement:
    """What a lease corrects when it ends. ``request`` is made when it is first sent, and kept for repetitions."""

    resource: str
    corrections: list[Correction]
    request: Request | None = None
    is_written: bool = False


type Correct = Callable[[Settlement], None]
"""Writes a settlement."""

type Keep = Callable[[Grant], Renewal]
"""Renews what a grant holds of concurrency limits."""


class Lease:
    """Tokens that were spent, and places that are held, at every level of the cascade.

    As a context manager it settles on exit, and gives everything back where the block raises (cancellation
    included). Without ``with``, call :meth:`settle` or :meth:`release`; a lease that is never settled keeps
    what it spent, and holds its places until they lapse. Safe to share between threads.

    A durable lease (``durable=True``, or under an idempotency key) is stored with what it spent: it has an ``id``
    by which any process of the same actor can end it (:meth:`Spender.lease`), exactly once.

    Attributes:
        entity_id: who spent.
        resource: what.
        degraded: the table did not answer and the limiter was told to allow: nothing was spent.
    """

    def __init__(
        self,
        ask: Ask,
        grant: Grant | None,
        spend: Spend,
        correct: Correct,
        keep: Keep,
        durable: DurableLease | None = None,
    ) -> None:
        """Hold a grant, or none where the limiter allows without the table."""
        self.entity_id = ask.entity_id
        self.resource = ask.resource
        self.degraded = grant is None
        self._ask = ask
        self._grants = [] if grant is None else [grant]
        self._spend = spend
        self._correct = correct
        self._keep = keep
        self._durable = durable
        self._adjustments: dict[str, int] = {}
        self._settlement: Settlement | None = None
        self._lock = Lock()

    @property
    def id(self) -> str | None:
        """What names a durable lease to whoever ends it, opaque; None for any other."""
        return None if self._durable is None else self._durable.id

    @property
    def is_replayed(self) -> bool:
        """Whether this was granted before, under the same idempotency key."""
        return any(grant.lease is not None and grant.lease.is_replayed for grant in self._grants)

    @property
    def expires_at_ms(self) -> int | None:
        """When a durable lease expires, as granted, in ms since 1970; None where it does not."""
        return next((grant.lease.ends_at_ms for grant in self._grants if grant.lease is not None), None)

    @property
    def kept_until_ms(self) -> int | None:
        """Until when a durable lease and its key are remembered at least; None for any other."""
        return next((grant.lease.kept_until_ms for grant in self._grants if grant.lease is not None), None)

    @property
    def held_until_ms(self) -> int | None:
        """When its places under concurrency limits lapse, as granted; None where it holds none."""
        return min((until for grant in self._grants if (until := held_until_ms(grant)) is not None), default=None)

    @property
    def availability(self) -> Availability:
        """What every limit had left right after the last time that this lease spent."""
        if not self._grants:
            return Availability(self.entity_id, self.resource, {})
        return self._grants[-1].availability

    @property
    def consumed(self) -> Mapping[str, int]:
        """The tokens that the acquiring entity spent through this lease, with its adjustments, by limit name."""
        return summed([*[grant.consume for grant in self._grants], self._adjustments])

    def adjust(self, delta: Mapping[str, int]) -> None:
        """Add to what was really used (negative: less was), by limit name; written once, when settled.

        An adjustment upward is never refused: what is not there becomes debt. Raises :class:`InvalidRequest` for
        names that are no limits of tokens, and where more would come back than was spent.
        """
        with self._lock:
            self._check_open()
            self._check_adjustable(delta)
            for name, tokens in delta.items():
                self._adjustments[name] = self._adjustments.get(name, 0) + tokens

    def consume(self, amounts: Mapping[str, int]) -> None:
        """Spend more now, if it is there. Raises :class:`RateLimitExceeded`; what was spent before stays.

        A durable lease cannot: what it spent is stored with it. Adjust it, or acquire once more.
        """
        with self._lock:
            self._check_open()
            if self._durable is not None:
                raise InvalidRequest("consume", "a durable lease spends once; adjust it, or acquire once more")
            grant = self._spend(replace(self._ask, consume=check_amounts("consume", amounts)))
            if grant is not None:
                self._grants.append(grant)

    def renew(self, expires_in: int | None = None) -> Renewal:
        """Hold the places under concurrency limits for another ``lease_seconds`` from now.

        A durable lease that expires does so ``expires_in`` seconds from now, by default as long as it was acquired
        for. Raises :class:`LeaseExpired` where the places have lapsed and were taken, or the lease has expired.
        """
        with self._lock:
            self._check_open()
            if self._durable is not None:
                return self._durable.renew(expires_in)
            if expires_in is not None:
                raise InvalidRequest("expires_in", "the lease does not expire")
            times = [self._keep(grant).held_until_ms for grant in self._grants]
            return Renewal(None, min((until_ms for until_ms in times if until_ms is not None), default=None))

    def settle(self) -> None:
        """Write the adjustments, once; settling again, or after a release, does nothing.

        Raises :class:`StoreError` where the table does not answer; then settle again, nothing is written twice.
        """
        with self._lock:
            self._close(lambda _: self._adjustments, self._settle_durably)

    def release(self) -> None:
        """Give back all that was spent, once; after a settlement it does nothing. Errors as :meth:`settle`."""
        with self._lock:
            self._close(self._returns, self._release_durably)

    def __enter__(self) -> Self:
        """Return the lease itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Settle, or release where the block raised; the block's own error goes first."""
        if exc is None:
            self.settle()
            return
        try:
            self.release()
        except LeasegateError as error:
            exc.add_note(f"the lease could not be given back: {error}")

    def _close(self, amounts: Callable[[Charge], Amounts], end_durably: Callable[[DurableLease], None]) -> None:
        """Correct every level that has limits; a repetition goes on where an earlier try failed."""
        if self._settlement is None:
            self._settlement = self._plan_settlement(amounts)
        if self._settlement.is_written:
            return
        if self._durable is not None:
            end_durably(self._durable)
        elif self._settlement.corrections:
            self._correct(self._settlement)
        self._settlement.is_written = True

    def _settle_durably(self, durable: DurableLease) -> None:
        durable.settle({name: self.consumed[name] for name in self._adjustments})

    def _release_durably(self, durable: DurableLease) -> None:
        durable.release()

    def _plan_settlement(self, amounts: Callable[[Charge], Amounts]) -> Settlement:
        latest = {charge.entity_id: charge for grant in self._grants for charge in grant.charges if charge.limited}
        corrections = []
        for charge in latest.values():
            wanted = {
                name: tokens
                for name, tokens in amounts(charge).items()
                if tokens and (charge.state is None or name in charge.state.limits)
            }
            leaving = self._holders(charge.entity_id)
            if wanted or leaving:
                corrections.append(Correction(charge.entity_id, wanted, charge.state, leaving))
        return Settlement(self.resource, corrections)

    def _charges(self, entity_id: str) -> list[Charge]:
        return [charge for grant in self._grants for charge in grant.charges if charge.entity_id == entity_id]

    def _holders(self, entity_id: str) -> dict[str, tuple[str, ...]]:
        """Return all that this lease let in at the level of an entity."""
        found: dict[str, tuple[str, ...]] = {}
        for charge in self._charges(entity_id):
            for name, ids in charge.holders.items():
                if ids:
                    found[name] = (*found.get(name, ()), *ids)
        return found

    def _returns(self, charge: Charge) -> Amounts:
        """Return, negative, all that this lease spent at the level of a charge."""
        spent = summed([other.tokens for other in self._charges(charge.entity_id)])
        return {name: -tokens for name, tokens in spent.items()}

    def _check_open(self) -> None:
        if self._settlement is not None:
            raise InvalidRequest("lease", "is settled or released already")

    def _check_adjustable(self, delta: Mapping[str, int]) -> None:
        spent = self.consumed
        availability = self.availability
        for name, tokens in delta.items():
            check_integer(f"adjust.{name}", tokens, -MAX_TOKENS, MAX_TOKENS)
            if self.degraded:
                continue
            if name not in availability:
                raise InvalidRequest(f"adjust.{name}", f"no such limit of {self.entity_id}")
            if availability[name].limit.is_concurrent:
                raise InvalidRequest(f"adjust.{name}", "limits leases at a time; ending the lease frees it")
            if spent.get(name, 0) + tokens < 0:
                raise InvalidRequest(f"adjust.{name}", f"gives back more than was spent, {spent.get(name, 0)}")
