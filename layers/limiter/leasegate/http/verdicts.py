"""The answers to whoever spends: what was granted, what is left, how a lease ended.

What the answers carry of RateLimit fields is of the style that the stack chose.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from ..lease import Lease
from ..results import Adjusted, LeaseEnd, Renewal
from ..states import Availability
from .idempotency import REPLAYED
from .limits import write_availability
from .ratelimit import HeaderStyle, list_policies, write_fields
from .replies import DEGRADED, Reply, reply_with

_OF_THE_WHOLE: Final = "Cache-Control"
"""A header that stands on a batch, and not on each of its verdicts."""


def reply_to_grant(lease: Lease, style: HeaderStyle) -> Reply:
    """Say yes, with what every limit has left, and the lease where it is durable.

    ``available`` is negative in debt; ``retry_after_ms`` tells when the same cost would be there again. A grant
    that is ``degraded`` spent nothing: the table did not answer.
    """
    document = {"granted": True, **write_availability(lease.availability)}
    headers = _fields(lease.availability, style)
    counted = ["Granted"]
    if lease.degraded:
        document["degraded"] = True
        headers[DEGRADED] = "true"
        counted.append("Degraded")
    if lease.id is not None:
        document["lease"] = {
            "id": lease.id,
            "expires_at_ms": lease.expires_at_ms,
            "held_until_ms": lease.held_until_ms,
            "kept_until_ms": lease.kept_until_ms,
        }
    if lease.is_replayed:
        headers[REPLAYED] = "true"
        counted.append("Replayed")
    return reply_with(document, headers=headers, counted=tuple(counted))


def reply_to_batch(replies: Sequence[Reply]) -> Reply:
    """Answer every request of a batch as it would be answered by itself, in their order."""
    results = [
        {
            "status": reply.status,
            "headers": {name: value for name, value in reply.headers.items() if name != _OF_THE_WHOLE},
            "body": json.loads(reply.body),
        }
        for reply in replies
    ]
    return reply_with({"results": results}, counted=tuple([name for reply in replies for name in reply.counted]))


def reply_to_adjustment(adjusted: Adjusted, style: HeaderStyle) -> Reply:
    """Say what is left after an adjustment."""
    headers = _fields(adjusted.availability, style)
    return _done(write_availability(adjusted.availability), headers, "Adjusted", again=adjusted.is_replayed)


def reply_to_availability(availability: Availability, style: HeaderStyle) -> Reply:
    """Say what is left."""
    return reply_with(write_availability(availability), headers=_fields(availability, style))


def reply_to_end(lease_id: str, end: LeaseEnd) -> Reply:
    """Say how a lease ended, now or before."""
    document: dict[str, object] = {
        "lease_id": lease_id,
        "outcome": end.outcome,
        "consumed": dict(sorted(end.consumed.items())),  # a map from the table has no order
        "ended_at_ms": end.at_ms,
    }
    return _done(document, {}, end.outcome.capitalize(), again=end.is_repeated)


def reply_to_renewal(lease_id: str, renewal: Renewal) -> Reply:
    """Say until when a lease goes on."""
    document: dict[str, object] = {
        "lease_id": lease_id,
        "expires_at_ms": renewal.expires_at_ms,
        "held_until_ms": renewal.held_until_ms,
    }
    return reply_with(document, counted=("Renewed",))


def _done(document: dict[str, object], headers: dict[str, str], count: str, *, again: bool) -> Reply:
    """Say that something was done that happens once, now or before."""
    if not again:
        return reply_with(document, headers=headers, counted=(count,))
    return reply_with(document, headers={**headers, REPLAYED: "true"}, counted=(count, "Replayed"))


def _fields(availability: Availability, style: HeaderStyle) -> dict[str, str]:
    return write_fields(list_policies(availability, frozenset()), style)
