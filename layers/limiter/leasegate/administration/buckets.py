"""Buckets, as an operator handles them: look, fill up, add tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import InvalidRequest
from ..flows import listing, replenishing
from ..identifiers import check_amounts, check_identifier, check_limit_name
from ..records import BucketRecord, Listing
from ..session import DEFAULT_PAGE_SIZE, check_page_size, new_id
from .signing import SigningSession


class BucketAdministration(SigningSession):
    """What entities have left, corrected by hand."""

    def list_buckets(
        self, entity_id: str, *, cursor: str | None = None, page_size: int = DEFAULT_PAGE_SIZE
    ) -> Listing[BucketRecord]:
        """Return a page of an entity's buckets, sorted by resource. Two round trips."""
        check_identifier("entity_id", entity_id)
        flow = listing.list_buckets(entity_id, cursor, check_page_size(page_size), self._clock())
        return self._drive(flow)

    def reset(
        self,
        entity_id: str,
        resource: str,
        limits: Iterable[str] | None = None,
        *,
        operation_id: str | None = None,
        actor: str | None = None,
    ) -> bool:
        """Fill the bucket up, debts forgiven: the limits of these names, or all. Two round trips.

        With an ``operation_id`` (1 to 256 characters of an identifier) it is safe to repeat for 90 days: the same
        operation is done once, another one under its id raises :class:`IdempotencyConflict`. Says whether it was
        done by this call.

        Raises :class:`InvalidRequest` for names that are no limits, and :class:`NoLimitsConfigured`.
        """
        names = None if limits is None else tuple(sorted({check_limit_name("limits", name) for name in limits}))
        if names == ():
            raise InvalidRequest("limits", "must name at least one limit; leave it out for all")
        order = replenishing.Order("reset", *_bucket(entity_id, resource), _operation(operation_id), names=names)
        return self._drive(replenishing.replenish(order, self._sign(actor), self._knowledge))

    def top_up(
        self,
        entity_id: str,
        resource: str,
        tokens: Mapping[str, int],
        *,
        operation_id: str | None = None,
        actor: str | None = None,
    ) -> bool:
        """Add tokens by limit name, never to more than full; as :meth:`reset` otherwise."""
        amounts = check_amounts("tokens", tokens)
        order = replenishing.Order(
            "top_up", *_bucket(entity_id, resource), _operation(operation_id), tokens=amounts
        )
        return self._drive(replenishing.replenish(order, self._sign(actor), self._knowledge))


def _bucket(entity_id: str, resource: str) -> tuple[str, str]:
    return check_identifier("entity_id", entity_id), check_identifier("resource", resource)


def _operation(operation_id: str | None) -> str:
    return new_id() if operation_id is None else check_identifier("operation_id", operation_id)
