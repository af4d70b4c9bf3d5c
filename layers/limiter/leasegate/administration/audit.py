"""The record of all that administrators did."""

from __future__ import annotations

from ..flows import auditing
from ..records import AuditRecord, Listing
from ..session import DEFAULT_PAGE_SIZE, Session, check_page_size


class AuditReading(Session):
    """Who changed what, and when."""

    def list_audit(
        self, scope: str, *, cursor: str | None = None, page_size: int = DEFAULT_PAGE_SIZE
    ) -> Listing[AuditRecord]:
        """Return a page of the changes of the last 90 days, the latest first.

        ``scope`` is ``"system"``, ``"resource:{id}"`` or ``"entity:{id}"``.
        """
        auditing.check_scope(scope)
        return self._drive(auditing.list_audit(scope, cursor, check_page_size(page_size)))
