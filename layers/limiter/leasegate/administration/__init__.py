"""Saying who may spend what, and seeing who did: limits, entities, buckets, resources, the audit, usage.

Every change leaves an audit record, written in the same transaction as the change itself.
"""

from __future__ import annotations

from .audit import AuditReading
from .buckets import BucketAdministration
from .entities import EntityAdministration
from .limits import LimitsAdministration
from .resources import ResourceAdministration
from .usage import UsageReading

__all__ = ["Administrator"]


class Administrator(
    LimitsAdministration,
    ResourceAdministration,
    EntityAdministration,
    BucketAdministration,
    AuditReading,
    UsageReading,
):
    """Administers one table; it cannot spend. Safe to share between threads.

    What lists takes a ``page_size`` of 1 to 1,000, 100 by default, and the ``cursor`` of the page before.

    Args:
        repository: where the table is, a ``DynamoRepository`` or a ``MemoryRepository``.
        clock: returns the time since 1970 in ms.
        knowledge: what is remembered.
        timeout_ms: the time for all round trips of one call, repetitions included, 2,000 by default.
        actor: who is behind a change that does not say so itself; ``"library"`` by default.
    """
