"""In whose name something is changed: what every part of administration that writes has in common."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..flows.auditing import Signature
from ..knowledge import Knowledge
from ..session import DEFAULT_ACTOR, DEFAULT_TIMEOUT_MS, Session, check_actor, new_id, wall_clock_ms

if TYPE_CHECKING:
    from ..repository import Repository


class SigningSession(Session):
    """Runs flows that change something, each signed by who makes the change."""

    def __init__(
        self,
        repository: Repository,
        *,
        clock: Callable[[], int] = wall_clock_ms,
        knowledge: Knowledge | None = None,
        timeout_ms: int = DEFAULT_TIMEOUT_MS,
        actor: str = DEFAULT_ACTOR,
    ) -> None:
        """Start with nothing known and nothing signed."""
        super().__init__(repository, clock=clock, knowledge=knowledge, timeout_ms=timeout_ms, actor=actor)
        self._changes = itertools.count()

    def _sign(self, actor: str | None) -> Signature:
        """Return who acts now, under a new id; those of one session sort by time even within a ms."""
        change_id = f"{next(self._changes) % 0x10000:04x}{new_id()}"
        return Signature(self._actor if actor is None else check_actor(actor), change_id, self._clock())
