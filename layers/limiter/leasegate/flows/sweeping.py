"""The sweep: leases whose time is over are ended, by the index that lists open ones by their time.

Each lease that is due ends in a transaction of its own, which is refused where its holder ended or renewed it
meanwhile; so a sweep races nobody, and two sweeps end nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .. import schema
from ..errors import LeasegateError, LeaseNotFound
from ..knowledge import Knowledge
from ..operations import BatchGet, Flow, Position, Query
from ..results import LeaseEnd
from . import leasing, reading
from .abreast import abreast
from .ending import Ending, LeaseRef, LeaseRenewed, end_lease
from .leasing import StoredLease
from .spending import Request
from .tickets import InvalidTicket

_PAGE_SIZE: Final = 25
FIRST_PAGES: Final[Mapping[int, Position | None]] = dict.fromkeys(range(schema.EXPIRY_SHARDS))
"""Where a sweep begins: at the first page of every partition of the index."""

_OVERTAKEN: Final = (LeaseRenewed, LeaseNotFound)
"""How a lease ends that its holder renewed in the meantime, or that was forgotten: not by the sweep."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What one page of each partition held.

    ``released`` and ``kept`` count leases that ended; ``failures`` has the errors of those that could not be, by
    their names; ``next_at_ms`` is when the next one expires; ``pages`` are where the partitions go on that have
    more that are due.
    """

    released: int
    kept: int
    failures: Mapping[str, LeasegateError]
    next_at_ms: int | None
    pages: Mapping[int, Position | None]


def sweep_pages(
    pages: Mapping[int, Position | None], requests: Sequence[Request], knowledge: Knowledge
) -> Flow[Swept]:
    """End the leases of some pages whose time is over, all side by side: about three round trips.

    Every lease takes a request of its own from ``requests``, of which there must be enough (:func:`most_leases`).
    Raises :class:`StoreError` where the index or the leases cannot be read.
    """
    now_ms = requests[0].now_ms
    outcomes = yield tuple(
        [
            Query(schema.expiry_partition(shard), limit=_PAGE_SIZE, after=after, in_index=True)
            for shard, after in pages.items()
        ]
    )
    due: list[str] = []
    coming: list[int] = []
    following: dict[int, Position | None] = {}
    for shard, outcome in zip(pages, outcomes, strict=True):
        page = reading.page(outcome)
        times = {schema.lease_of(key): schema.expiry_of(entry) for key, entry in page.items}
        due += [lease for lease, expires_at_ms in times.items() if expires_at_ms <= now_ms]
        coming += [expires_at_ms for expires_at_ms in times.values() if expires_at_ms > now_ms]
        if page.next is not None and not any(expires_at_ms > now_ms for expires_at_ms in times.values()):
            following[shard] = page.next
    leases = (yield from _read(due, now_ms)) if due else {}
    ended = yield from abreast(
        [
            _expire(lease, stored, request, knowledge)
            for (lease, stored), request in zip(leases.items(), requests, strict=False)
        ]
    )
    ends = dict(zip(leases, ended, strict=True))
    done = [name for name, end in ends.items() if isinstance(end, LeaseEnd) and not end.is_repeated]
    kept = [name for name in done if leases[name].on_expiry == "keep"]
    return Swept(
        released=len(done) - len(kept),
        kept=len(kept),
        failures={
            name: end
            for name, end in ends.items()
            if isinstance(end, LeasegateError) and not isinstance(end, _OVERTAKEN)
        },
        next_at_ms=min(coming, default=None),
        pages=following,
    )


def most_leases(pages: Mapping[int, Position | None]) -> int:
    """Return how many leases some pages hold at most."""
    return _PAGE_SIZE * len(pages)


def _read(names: list[str], now_ms: int) -> Flow[dict[str, StoredLease]]:
    """Read leases; those are left out that are gone, or ended or renewed, which the index may learn of later."""
    (outcome,) = yield (BatchGet(tuple([schema.lease_key(name) for name in names])),)
    items = reading.found(outcome)
    found = {name: leasing.parse_lease(items[key]) for name in names if (key := schema.lease_key(name)) in items}
    return {
        name: stored for name, stored in found.items() if stored.end is None and (stored.ends_at_ms or 0) <= now_ms
    }


def _expire(name: str, stored: StoredLease, request: Request, knowledge: Knowledge) -> Flow[LeaseEnd]:
    try:
        said = stored.read()
    except InvalidTicket as error:  # written by another release; it must not keep the others from ending
        raise LeasegateError("what was granted cannot be read") from error
    lease = LeaseRef(name, stored.ticket, said.grant, owner=None, ends_at_ms=said.ends_at_ms)
    ending = Ending(lease, "expired", keeps=stored.on_expiry == "keep")
    return (yield from end_lease(ending, request, knowledge))
