"""Who holds a share of a concurrency limit, and until when: pure arithmetic, in ms.

A holder has one of the ``n`` places. It leaves when its lease ends, and lapses by itself at its time if nobody
comes to say so; a lapsed one counts no longer, though its attribute stays until somebody needs its place.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

from .limits import Limit

type Holders = Mapping[str, int]
"""The holders of one concurrency limit: when each lapses, in ms, by its id."""

MAX_TAKEN: Final = 25
"""The most places that one acquire may take, of all concurrency limits of a bucket together."""

ASK_AGAIN_MS: Final = 1_000
"""After so long it is worth asking again for a place, for one may be free at any time."""


def holder_ids(request_id: str, count: int) -> tuple[str, ...]:
    """Name the holders that a request lets in; 48 bits of its id tell them from those of others."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=6).digest()
    stem = base64.urlsafe_b64encode(digest).decode()
    return tuple([f"{stem}{number or ''}" for number in range(count)])


def lapsed(holders: Holders, now_ms: int) -> list[str]:
    """List the holders whose time is over, those first that have been so longest."""
    return sorted([holder for holder, until_ms in holders.items() if until_ms <= now_ms], key=holders.__getitem__)


def places_available(limit: Limit, holders: Holders, now_ms: int) -> int:
    """Count the places that can be taken now; negative where the limit was lowered under those who hold one."""
    return limit.capacity - sum(until_ms > now_ms for until_ms in holders.values())


def retry_after_ms(limit: Limit, holders: Holders, count: int, now_ms: int) -> int:
    """Return in how many ms to ask again for so many places: 0 for now.

    That is when enough will have lapsed, but a second at most: holders leave when they like, usually earlier.
    """
    missing = count - places_available(limit, holders, now_ms)
    if missing <= 0:
        return 0
    lapsing = sorted([until_ms for until_ms in holders.values() if until_ms > now_ms])
    return min(lapsing[min(missing, len(lapsing)) - 1] - now_ms, ASK_AGAIN_MS) if lapsing else ASK_AGAIN_MS
