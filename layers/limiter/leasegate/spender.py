"""Spending: ask for tokens, end and correct what was granted, see what is left."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from .durable import DurableLease, owner_of
from .errors import InvalidRequest, LeasegateError, RateLimitExceeded, StoreDenied, StoreError
from .flows.acquire import acquire
from .flows.adjusting import Adjustment, adjust
from .flows.available import available
from .flows.batching import acquire_many
from .flows.ending import Ending, LeaseRef, end_lease
from .flows.grants import Ask, Cascade, Grant, OnExpiry
from .flows.renewing import renew_holders, renew_lease
from .flows.settle import correct
from .flows.spending import Request
from .identifiers import check_delta, check_identifier
from .knowledge import Knowledge
from .lease import Lease, Settlement
from .limits import Limit, index_limits
from .requesting import AcquireRequest, Durable, ask_for, keyed_terms
from .results import Adjusted, LeaseEnd, Renewal
from .schema import REQUEST_SLOTS
from .session import DEFAULT_ACTOR, DEFAULT_TIMEOUT_MS, Session, check_actor, new_id, wall_clock_ms
from .states import Availability

if TYPE_CHECKING:
    from .repository import Repository

type OnUnavailable = Literal["raise", "allow", "refuse"]

MAX_BATCH: Final = 25
"""The most acquires that are answered at once."""

_UNAVAILABLE_RETRY_MS: Final = 1_000

_logger = logging.getLogger("leasegate")


class Spender(Session):
    """Spends from one table; it cannot say who may spend what. Remembers what it learns.

    Safe to share between threads; make one for each process.

    Args:
        repository: where the table is, a ``DynamoRepository`` or a ``MemoryRepository``.
        clock: returns the time since 1970 in ms. Clocks that differ by d ms admit at most the refill of d ms more.
        knowledge: what is remembered, how much and how long.
        timeout_ms: the time for all round trips of one call, repetitions included, 2,000 by default; no call
            outlasts it.
        on_unavailable: what an acquire does when the table does not answer in that time: raise the
            :class:`StoreError`, allow (a lease that spent nothing, ``lease.degraded``) or refuse
            (:class:`RateLimitExceeded` without refusals). Allowing and refusing are logged as warnings, with the
            entity and the resource. Missing permissions always raise.
        actor: whose leases and keys are meant where a call does not say so; ``"library"`` by default.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        clock: Callable[[], int] = wall_clock_ms,
        knowledge: Knowledge | None = None,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        on_unavailable: OnUnavailable = "raise",
        actor: str = DEFAULT_ACTOR,
    ) -> None:
        """Start with nothing known; the first call is the first to touch the table."""
        if on_unavailable not in ("raise", "allow", "refuse"):
            raise InvalidRequest("on_unavailable", 'must be "raise", "allow" or "refuse"')
        super().__init__(repository, clock=clock, knowledge=knowledge, timeout_ms=timeout_ms, actor=actor)
        self._on_unavailable: OnUnavailable = on_unavailable
        self._slots = itertools.count(secrets.randbelow(REQUEST_SLOTS))

    def acquire(
        self,
        entity_id: str,
        resource: str,
        consume: Mapping[str, int],
        *,
        limits: Iterable[Limit] | None = None,
        parent_id: str | None = None,
        cascade: Cascade = True,
        idempotency_key: str | None = None,
        durable: Durable = False,
        expires_in: int | None = None,
        on_expiry: OnExpiry | None = None,
        timeout_ms: int | None = None,
        actor: str | None = None,
    ) -> Lease:
        """Spend tokens of an entity for a resource, and of all its ancestors, or raise.

        One round trip where the buckets are known to this process, one write unit for each. A durable lease and
        all that it spends are one transaction: two units for each bucket, and two for the lease.

        Args:
            entity_id: who spends.
            resource: what is spent.
            consume: tokens by limit name, 0 to 10^12 each; of a concurrency limit, how many of its places the
                lease holds, to 25. 0 spends nothing, but is refused in debt. All names must be limits of the
                entity; an ancestor spends those that it limits.
            limits: hold where no level (entity, resource defaults, system defaults) has limits.
            parent_id: a hint for the first read, never trusted.
            cascade: False leaves the ancestors out; ``"transaction"`` spends at all levels atomically, at
                twice the write units, where True spends side by side and gives back what a refusal left over;
                the lease's ``availability`` then rests on what was seen before, for a transaction returns nothing.
            idempotency_key: 1 to 255 printable characters. The same key again, for a day at least, returns what
                was granted first, and spends nothing; a refusal is not remembered. The lease is durable.
            durable: the lease is stored, to be ended by its ``id`` from any process, exactly once; ``"if_held"``
                where it holds places of a concurrency limit of its entity.
            expires_in: the seconds, to 7 days, after which a durable lease ends by itself. One that does not
                expire is forgotten a day after it was granted, and what it spent stays spent.
            on_expiry: what becomes then of the tokens: ``"release"``, the default, gives them back, ``"keep"``
                leaves them spent.
            timeout_ms: in place of the limiter's.
            actor: whose lease and key it is, in place of the limiter's.

        Raises:
            IdempotencyConflict: something else was done under the key.
            RateLimitExceeded: with every limit's state, the refusing ones and ``retry_after_ms``.
            InvalidRequest: naming the field; ``unprocessable`` for a cost above capacity.
            NoLimitsConfigured: no level has limits, and the call gave none.
            Disabled: the entity, an ancestor, or the resource.
            StoreError: the table did not answer, and ``on_unavailable`` is ``"raise"``.
        """
        request = AcquireRequest(
            entity_id,
            resource,
            consume,
            limits,
            parent_id,
            cascade,
            idempotency_key,
            durable,
            expires_in,
            on_expiry,
        )
        ask = ask_for(request, self._name(actor), self._clock())
        return self._lease_of(ask, self._spend(ask, timeout_ms), actor)

    def acquire_many(
        self, requests: Sequence[AcquireRequest], *, timeout_ms: int | None = None, actor: str | None = None
    ) -> list[Lease | LeasegateError]:
        """Answer 1 to 25 acquires side by side; for each the lease, or the error that its acquire would raise.

        One round trip where the buckets are known. What is asked of one bucket is folded into one write if it fits
        together; of what does not, those are granted that fit one after the other, in the order given.
        """
        if not 1 <= len(requests) <= MAX_BATCH:
            raise InvalidRequest("requests", f"must be 1 to {MAX_BATCH}, not {len(requests)}")
        now_ms, name = self._clock(), self._name(actor)
        asks: list[Ask | LeasegateError] = []
        for request in requests:
            try:
                asks.append(ask_for(request, name, now_ms))
            except InvalidRequest as error:
                asks.append(error)
        valid = [ask for ask in asks if isinstance(ask, Ask)]
        flow = acquire_many(valid, self._new_request, self._knowledge)
        verdicts = iter(self._drive(flow, timeout_ms) if valid else [])
        return [
            ask if isinstance(ask, LeasegateError) else self._answer(ask, next(verdicts), actor) for ask in asks
        ]

    def lease(self, lease_id: str, *, actor: str | None = None, timeout_ms: int | None = None) -> DurableLease:
        """Return a durable lease by its id, to settle, release or renew it; it must be the same actor's.

        Raises :class:`LeaseNotFound` for what can be no id; the table is asked when something is done, each time
        for ``timeout_ms`` at most, in place of the limiter's.
        """
        end = partial(self._end, timeout_ms=timeout_ms)
        renew = partial(self._renew, timeout_ms=timeout_ms)
        return DurableLease(lease_id, owner_of(self._name(actor)), end, renew)

    def adjust(
        self,
        entity_id: str,
        resource: str,
        delta: Mapping[str, int],
        *,
        cascade: bool = True,
        idempotency_key: str | None = None,
        timeout_ms: int | None = None,
        actor: str | None = None,
    ) -> Adjusted:
        """Correct what an entity and its ancestors spent: more (what is not there becomes debt), or less.

        One round trip where the buckets are known, and all levels or none. Without a key, an adjustment that is
        repeated counts again; under one it counts once. Raises :class:`InvalidRequest` for names that are no
        limits of tokens, :class:`NoLimitsConfigured`, :class:`IdempotencyConflict`, :class:`StoreError`.
        """
        check_identifier("entity_id", entity_id)
        check_identifier("resource", resource)
        amounts = check_delta("adjust", delta)
        what = ("adjust", entity_id, resource, sorted(amounts.items()), cascade)
        terms = keyed_terms(idempotency_key, what, self._name(actor))
        adjustment = Adjustment(entity_id, resource, amounts, cascade, terms)
        grant = self._drive(adjust(adjustment, self._request(), self._knowledge), timeout_ms)
        return Adjusted(grant.availability, is_replayed=grant.lease is not None and grant.lease.is_replayed)

    def available(
        self,
        entity_id: str,
        resource: str,
        *,
        limits: Iterable[Limit] | None = None,
        parent_id: str | None = None,
    ) -> Availability:
        """Return what every limit has left: a mapping of limit name to state, ``.ancestors`` for the levels above.

        One round trip where the ancestors are known, read units only. Arguments and errors as :meth:`acquire`.
        """
        flow = available(
            check_identifier("entity_id", entity_id),
            check_identifier("resource", resource),
            None if limits is None else index_limits(limits),
            None if parent_id is None else check_identifier("parent_id", parent_id),
            self._clock(),
            self._knowledge,
        )
        return self._drive(flow)

    # --- pieces --------------------------------------------------------------------------------------

    def _spend(self, ask: Ask, timeout_ms: int | None = None) -> Grant | None:
        """Run an acquire; None where the table is unavailable and the limiter allows."""
        try:
            return self._drive(acquire(ask, self._new_request(ask), self._knowledge), timeout_ms)
        except RateLimitExceeded as error:
            self._note_refusal(ask, error)
            raise
        except StoreError as error:
            self._allow_without_table(ask, error)
            return None

    def _answer(self, ask: Ask, verdict: Grant | LeasegateError, actor: str | None) -> Lease | LeasegateError:
        """Return what one of many acquires ended with."""
        if isinstance(verdict, Grant):
            return self._lease_of(ask, verdict, actor)
        if isinstance(verdict, RateLimitExceeded):
            self._note_refusal(ask, verdict)
        if not isinstance(verdict, StoreError):
            return verdict
        try:
            self._allow_without_table(ask, verdict)
        except LeasegateError as error:
            return error
        return self._lease_of(ask, None, actor)

    def _note_refusal(self, ask: Ask, error: RateLimitExceeded) -> None:
        """Remember who refused, to be written down with the next grant; see :mod:`leasegate.flows.reporting`."""
        for refusal in error.refusals:
            self._knowledge.note_refusals(refusal.entity_id, ask.resource, {refusal.state.name: 1})

    def _allow_without_table(self, ask: Ask, error: StoreError) -> None:
        """Return where the limiter was told to allow what the table does not answer; else raise or refuse."""
        if self._on_unavailable == "raise" or isinstance(error, StoreDenied):
            raise error
        subject = {"entity_id": ask.entity_id, "resource": ask.resource}
        _logger.warning(
            "%s %s for %s without the table: %s",
            self._on_unavailable,
            ask.resource,
            ask.entity_id,
            error,
            extra=subject,
        )
        if self._on_unavailable == "refuse":
            empty = Availability(ask.entity_id, ask.resource, {})
            raise RateLimitExceeded(empty, (), _UNAVAILABLE_RETRY_MS) from error

    def _lease_of(self, ask: Ask, grant: Grant | None, actor: str | None) -> Lease:
        durable = None if grant is None or grant.lease is None else self.lease(grant.lease.id, actor=actor)
        return Lease(ask, grant, self._spend, self._settle, self._keep, durable)

    def _settle(self, settlement: Settlement) -> None:
        if settlement.request is None:
            settlement.request = self._request()
        self._drive(correct(settlement.resource, settlement.corrections, settlement.request, self._knowledge))

    def _keep(self, grant: Grant) -> Renewal:
        name = f"of {grant.charges[0].entity_id}"
        return self._drive(renew_holders(name, grant, self._request(), self._knowledge))

    def _end(self, ending: Ending, timeout_ms: int | None) -> LeaseEnd:
        return self._drive(end_lease(ending, self._request(), self._knowledge), timeout_ms)

    def _renew(self, lease: LeaseRef, expires_in_ms: int | None, timeout_ms: int | None) -> Renewal:
        return self._drive(renew_lease(lease, expires_in_ms, self._request(), self._knowledge), timeout_ms)

    def _name(self, actor: str | None) -> str:
        return self._actor if actor is None else check_actor(actor)

    def _new_request(self, ask: Ask) -> Request:
        return self._request(None if ask.terms is None else ask.terms.ends_at_ms)

    def _request(self, ends_at_ms: int | None = None) -> Request:
        # Consecutive slots: requests in flight at once in this process do not share one, up to their number.
        return Request(new_id(), next(self._slots) % REQUEST_SLOTS, self._clock(), ends_at_ms)
