"""What became of leases and corrections: what calls return that spend nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .states import Availability

type LeaseOutcome = Literal["settled", "released", "expired", "adjusted"]


@dataclass(frozen=True, slots=True)
class LeaseEnd:
    """How a durable lease ended.

    Attributes:
        outcome: ``"settled"``, ``"released"`` or ``"expired"``; what an adjustment under a key leaves is
            ``"adjusted"``.
        consumed: the tokens that the lease's entity really spent, by limit name.
        at_ms: when it ended, in ms since 1970.
        is_repeated: it had ended before, and this is how.
    """

    outcome: LeaseOutcome
    consumed: Mapping[str, int]
    at_ms: int
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Renewal:
    """Until when a lease may go on, in ms since 1970.

    Attributes:
        expires_at_ms: when the lease itself expires; None for one that does not.
        held_until_ms: when it loses its share of concurrency limits; None where it has none.
    """

    expires_at_ms: int | None
    held_until_ms: int | None


@dataclass(frozen=True, slots=True)
class Adjusted:
    """What is left after an adjustment.

    Attributes:
        availability: what every limit has left.
        is_replayed: it was made before, under the same key.
    """

    availability: Availability
    is_replayed: bool
