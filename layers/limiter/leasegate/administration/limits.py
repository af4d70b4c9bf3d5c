"""Limits on their levels: set, get, delete; and which of them hold."""

from __future__ import annotations

from collections.abc import Iterable

from .. import schema
from ..flows import limits_admin, listing, resolution
from ..identifiers import check_identifier
from ..limits import Limit, index_limits
from ..records import EntityLimits, Listing, Resolution
from ..session import DEFAULT_PAGE_SIZE, check_page_size
from .signing import SigningSession


class LimitsAdministration(SigningSession):
    """Limits of entities, and of the whole system."""

    def set_limits(
        self, entity_id: str, limits: Iterable[Limit], resource: str | None = None, *, actor: str | None = None
    ) -> None:
        """Limit an entity for one resource, or for all that it has no limits for; the next acquire obeys.

        Raises :class:`InvalidRequest`, :class:`EntityIsBeingDeleted`, and a :class:`StoreError` after which the
        limits may be set without every bucket knowing: repeat the call.
        """
        target = _target(entity_id, resource)
        change = limits_admin.set_entity_limits(*target, index_limits(limits), self._sign(actor), self._knowledge)
        self._drive(change)

    def get_limits(self, entity_id: str, resource: str | None = None) -> tuple[Limit, ...]:
        """Return the limits that are set on an entity for one resource, or for all; empty where none are."""
        return self._drive(limits_admin.get_limits(schema.entity_limits_key(*_target(entity_id, resource))))

    def delete_limits(self, entity_id: str, resource: str | None = None, *, actor: str | None = None) -> bool:
        """Delete them, and say whether there were any; the next acquire obeys. Errors as for setting."""
        target = _target(entity_id, resource)
        return self._drive(limits_admin.delete_entity_limits(*target, self._sign(actor), self._knowledge))

    def list_limits(
        self, entity_id: str, *, cursor: str | None = None, page_size: int = DEFAULT_PAGE_SIZE
    ) -> Listing[EntityLimits]:
        """Return a page of all the limits that are set on an entity, those for all resources first."""
        check_identifier("entity_id", entity_id)
        return self._drive(listing.list_limits(entity_id, cursor, check_page_size(page_size)))

    def set_system_defaults(self, limits: Iterable[Limit], *, actor: str | None = None) -> None:
        """Limit whatever no other level limits; obeyed everywhere within the knowledge's age."""
        self._drive(limits_admin.set_system_defaults(index_limits(limits), self._sign(actor), self._knowledge))

    def get_system_defaults(self) -> tuple[Limit, ...]:
        """Return the system's defaults; empty where there are none."""
        return self._drive(limits_admin.get_limits(schema.system_defaults_key()))

    def delete_system_defaults(self, *, actor: str | None = None) -> bool:
        """Delete the system's defaults, obeyed within the knowledge's age; say whether there were any."""
        return self._drive(limits_admin.delete_system_defaults(self._sign(actor), self._knowledge))

    def resolve_limits(self, entity_id: str, resource: str) -> Resolution:
        """Say which limits hold for an entity and a resource, which level they come from, and why.

        One round trip, as strongly consistent as an acquire that reads.
        """
        check_identifier("entity_id", entity_id)
        return self._drive(resolution.resolve(entity_id, check_identifier("resource", resource)))


def _target(entity_id: str, resource: str | None) -> tuple[str, str | None]:
    check_identifier("entity_id", entity_id)
    return entity_id, None if resource is None else check_identifier("resource", resource)
