"""The library's face: ask for tokens, say who may spend what, see what is left."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal

from .administration import Administrator
from .administration.session import DEFAULT_ACTOR, DEFAULT_TIMEOUT_MS, new_id, wall_clock_ms
from .errors import InvalidRequest, RateLimitExceeded, StoreDenied, StoreError
from .flows.acquire import acquire
from .flows.available import available
from .flows.grants import Ask, Cascade, Grant, check_cascade
from .flows.settle import correct
from .flows.spending import Request
from .identifiers import check_amounts, check_identifier
from .knowledge import Knowledge
from .lease import Lease, Settlement
from .limits import Limit, index_limits
from .schema import REQUEST_SLOTS
from .states import Availability

if TYPE_CHECKING:
    from .repository import Repository

type OnUnavailable = Literal["raise", "allow", "refuse"]

_UNAVAILABLE_RETRY_MS: Final = 1_000

_logger = logging.getLogger("leasegate")


class Limiter(Administrator):
    """Spends from one table, and administers it too; remembers what it learns.

    Safe to share between threads; make one for each process.

    Args:
        repository: where the table is, a ``DynamoRepository`` or a ``MemoryRepository``.
        clock: returns the time since 1970 in ms. Clocks that differ by d ms admit at most the refill of d ms more.
        knowledge: what is remembered, how much and how long.
        timeout_ms: the time for all round trips of one call, repetitions included.
        on_unavailable: what an acquire does when the table does not answer in that time: raise the
            :class:`StoreError`, allow (a lease that spent nothing, ``lease.degraded``) or refuse
            (:class:`RateLimitExceeded` without refusals). Allowing and refusing are logged as warnings. Missing
            permissions always raise.
        actor: who is behind an administrative change that does not say so itself.
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

    # --- spending ------------------------------------------------------------------------------------

    def acquire(
        self,
        entity_id: str,
        resource: str,
        consume: Mapping[str, int],
        *,
        limits: Iterable[Limit] | None = None,
        parent_id: str | None = None,
        cascade: Cascade = True,
        timeout_ms: int | None = None,
    ) -> Lease:
        """Spend tokens of an entity for a resource, and of all its ancestors, or raise.

        One round trip where the buckets are known to this process, one write unit for each.

        Args:
            entity_id: who spends.
            resource: what is spent.
            consume: tokens by limit name, 0 to 10^12 each. 0 spends nothing, but is refused in debt. All names
                must be limits of the entity; an ancestor spends those that it limits.
            limits: hold where no level (entity, resource defaults, system defaults) has limits.
            parent_id: a hint for the first read, never trusted.
            cascade: False leaves the ancestors out; ``"transaction"`` spends at all levels atomically, at
                twice the write units, where True spends side by side and gives back what a refusal left over;
                the lease's ``availability`` then rests on what was seen before, for a transaction returns nothing.
            timeout_ms: in place of the limiter's.

        Raises:
            RateLimitExceeded: with every limit's state, the refusing ones and ``retry_after_ms``.
            InvalidRequest: naming the field; ``unprocessable`` for a cost above capacity.
            NoLimitsConfigured: no level has limits, and the call gave none.
            Disabled: the entity, an ancestor, or the resource.
            StoreError: the table did not answer, and ``on_unavailable`` is ``"raise"``.
        """
        ask = Ask(
            check_identifier("entity_id", entity_id),
            check_identifier("resource", resource),
            check_amounts("consume", consume),
            None if limits is None else index_limits(limits),
            None if parent_id is None else check_identifier("parent_id", parent_id),
            check_cascade(cascade),
        )
        if parent_id == entity_id:
            raise InvalidRequest("parent_id", f"{entity_id} is its own ancestor")
        return Lease(ask, self._spend(ask, timeout_ms), self._spend, self._settle)

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
        request = self._new_request(new_id())
        try:
            return self._drive(acquire(ask, request, self._knowledge), timeout_ms)
        except StoreDenied:
            raise
        except StoreError as error:
            if self._on_unavailable == "raise":
                raise
            _logger.warning("%s without the table: %s", self._on_unavailable, error)
            if self._on_unavailable == "allow":
                return None
            empty = Availability(ask.entity_id, ask.resource, {})
            raise RateLimitExceeded(empty, (), _UNAVAILABLE_RETRY_MS) from error

    def _settle(self, settlement: Settlement) -> None:
        if settlement.request is None:
            settlement.request = self._new_request(new_id())
        self._drive(correct(settlement.resource, settlement.corrections, settlement.request, self._knowledge))

    def _new_request(self, request_id: str) -> Request:
        # Consecutive slots: requests in flight at once in this process do not share one, up to their number.
        return Request(request_id, next(self._slots) % REQUEST_SLOTS, self._clock())
