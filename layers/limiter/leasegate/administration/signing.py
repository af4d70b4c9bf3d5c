"""In whose name something is changed: what every part of administration that writes has in common."""

from __future__ import annotations

from ..flows.auditing import Signature
from ..session import Session, check_actor, new_id


class SigningSession(Session):
    """Runs flows that change something, each signed by who makes the change."""

    def _sign(self, actor: str | None) -> Signature:
        """Return who acts now, under a new id; those of one session sort by time even within a ms."""
        change_id = f"{next(self._changes) % 0x10000:04x}{new_id()}"
        return Signature(self._actor if actor is None else check_actor(actor), change_id, self._clock())
