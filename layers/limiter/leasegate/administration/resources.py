"""Resources: their defaults, the registry of those that have any, and whether they may be spent at all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Final

from .. import schema
from ..flows import limits_admin, registry, switches
from ..flows.backfill import Progress, take_step
from ..flows.checkpoint import Plan, report_complete, report_progress
from ..identifiers import check_identifier
from ..limits import Limit, index_limits
from ..records import BackfillReport, ResourceRecord
from ..session import ANSWER_MARGIN_MS, new_id
from .signing import SigningSession

SHORTEST_STEP_MS: Final = 1_500
"""No step of a backfill is begun with less time than this, beyond what is kept for the answer."""


class ResourceAdministration(SigningSession):
    """Defaults for every entity that has no limits of its own."""

    def set_resource_defaults(self, resource: str, limits: Iterable[Limit], *, actor: str | None = None) -> None:
        """Limit every entity without limits of its own for a resource; obeyed within the knowledge's age.

        One round trip, which lists the resource too; one more where another process set them before.
        """
        check_identifier("resource", resource)
        by_name = index_limits(limits)
        self._drive(limits_admin.set_resource_defaults(resource, by_name, self._sign(actor), self._knowledge))

    def get_resource_defaults(self, resource: str) -> tuple[Limit, ...]:
        """Return a resource's defaults; empty where there are none."""
        key = schema.resource_defaults_key(check_identifier("resource", resource))
        return self._drive(limits_admin.get_limits(key))

    def delete_resource_defaults(self, resource: str, *, actor: str | None = None) -> bool:
        """Delete a resource's defaults and take it off the list; say whether there were any."""
        check_identifier("resource", resource)
        return self._drive(limits_admin.delete_resource_defaults(resource, self._sign(actor), self._knowledge))

    def get_resource(self, resource: str) -> ResourceRecord:
        """Return a resource's defaults and whether it is disabled."""
        return self._drive(registry.get_resource(check_identifier("resource", resource)))

    def list_resources_with_defaults(self, *, consistent: bool = True) -> list[str]:
        """Return the resources that have defaults, sorted.

        One GetItem: a read unit for 4 KB of names, half of it where it need not be ``consistent``.
        """
        return self._drive(registry.list_resources(is_consistent=consistent))

    def disable_resource(self, resource: str, *, actor: str | None = None) -> bool:
        """Let nobody spend a resource, within the knowledge's age; say whether that is new."""
        check_identifier("resource", resource)
        return self._drive(
            switches.switch_resource(resource, self._sign(actor), self._knowledge, is_disabled=True)
        )

    def enable_resource(self, resource: str, *, actor: str | None = None) -> bool:
        """Undo :meth:`disable_resource`, within the knowledge's age; say whether that is new."""
        check_identifier("resource", resource)
        return self._drive(
            switches.switch_resource(resource, self._sign(actor), self._knowledge, is_disabled=False)
        )

    def backfill_registry(
        self,
        *,
        dry_run: bool = False,
        prune: bool = False,
        segments: int = 4,
        time_left_ms: Callable[[], int] | None = None,
    ) -> BackfillReport:
        """List the resources whose defaults are older than the registry. Safe to run, stop and repeat at any time.

        Args:
            dry_run: only count what would change.
            prune: also take out names whose defaults are gone.
            segments: how many parts of the table are scanned side by side, 1 to 32.
            time_left_ms: how much time is left; the call ends before it is over, ``"in_progress"``, and the next
                one with the same arguments goes on. One with other arguments starts anew. None runs to the end.

        Each step has the session's ``timeout_ms``. Raises :class:`InvalidRequest`; :class:`Conflict` where
        somebody began a backfill with other arguments meanwhile; :class:`StoreError`, after which a repeated call
        goes on.
        """
        plan = Plan(dry_run, prune, segments)
        name, numbers = new_id(), itertools.count()
        progress: Progress | None = None
        while (timeout_ms := self._time_for_a_step(time_left_ms)) is not None:
            step = take_step(plan, progress, f"{name}.{next(numbers)}")
            progress = self._drive(step, timeout_ms)
            if progress.is_complete:
                return report_complete(progress.checkpoint)
        return report_progress(plan, None if progress is None else progress.checkpoint)

    def _time_for_a_step(self, time_left_ms: Callable[[], int] | None) -> int | None:
        """Return how long a step's round trips may go on; None where there is no time to begin one."""
        if time_left_ms is None:
            return self._timeout_ms
        left_ms = time_left_ms() - ANSWER_MARGIN_MS
        return None if left_ms < SHORTEST_STEP_MS else min(left_ms, self._timeout_ms)
