"""What goes wrong in a simulated world, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances from 0 to 1, each for one message between a process and the table unless it says otherwise.

    Attributes:
        lost_request: it never reaches the table.
        late_request: its sender hears nothing and goes on; it reaches the table all the same, some time later.
        lost_reply: the table did what was asked, and its sender hears nothing.
        throttled: the table refuses to look at it. conflict: the same of a transaction, for another one's sake.
        unprocessed: a batch of keys is broken off, for each key; the rest is asked for again.
        stale_read: an eventually consistent read shows what was there before.
        gives_up: a sender that heard nothing does not ask again.
        death: a process dies, for each step; nobody knows what it knew.
        skew_ms: how far a clock may be off, either way.
    """

    lost_request: float = 0.01
    late_request: float = 0.004
    lost_reply: float = 0.02
    throttled: float = 0.01
    conflict: float = 0.02
    unprocessed: float = 0.03
    stale_read: float = 0.2
    gives_up: float = 0.15
    death: float = 0.0005
    skew_ms: int = 400

    @property
    def of_a_request(self) -> float:
        """The chance that any fault meets a request before the table does."""
        return self.lost_request + self.late_request + self.throttled + self.conflict


ALL: Final = Faults()
"""Everything goes wrong, each thing often enough to meet every other."""

NONE: Final = Faults(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
"""Calm: calls still interleave, and nothing else happens to them."""
