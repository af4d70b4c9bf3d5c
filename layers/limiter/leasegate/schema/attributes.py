"""The names of attributes."""

from __future__ import annotations

from typing import Final

PK: Final = "PK"
SK: Final = "SK"
INDEX: Final = "GSI1"
GSI1PK: Final = "GSI1PK"
GSI1SK: Final = "GSI1SK"

STAMP: Final = "cfg"
"""Where a bucket's limits came from; see :mod:`leasegate.stamps`."""
LIMITS: Final = "lim"
PARENT: Final = "par"
VERSION: Final = "n"
WRITTEN_AT: Final = "at"
GRANTS: Final = "g"
"""How many acquires a bucket granted since its birth, net of those that another level refused."""
EXPIRES_AT: Final = "ttl"
"""When DynamoDB may delete the item, in epoch seconds."""

ENTITY_PARENT: Final = "parent_id"
ENTITY_BUCKETS: Final = "buckets"
ENTITY_NAME: Final = "name"
ENTITY_METADATA: Final = "metadata"
ENTITY_CREATED_AT: Final = "created_at"
ENTITY_DELETING_AT: Final = "deleting_at"
ENTITY_REVISION: Final = "revision"
"""The id of the last administrative change of the record: no two states of it share one."""
ENTITY_PENDING: Final = "pending"
"""Changes that not every bucket has been told of; see :mod:`leasegate.flows.telling`."""
DESCENDANTS: Final = ("children", "grandchildren", "great_grandchildren")
"""How many entities are one, two and three levels below: kept exact by every transaction that moves one."""
MAX_LEVELS: Final = 1 + len(DESCENDANTS)
"""An entity and at most three ancestors."""

DISABLED_AT: Final = "disabled_at"
"""On an entity's record and on a resource's limits: when it was disabled, in ms."""

STORED_LIMITS: Final = "limits"
STORED_VERSION: Final = "version"

REGISTRY_RESOURCES: Final = "resources"

BACKFILL_RUN: Final = "run"
"""Tells one run of the backfill from another; with the version, one state of the checkpoint from another."""
BACKFILL_VERSION: Final = "version"
BACKFILL_DRY_RUN: Final = "dry_run"
BACKFILL_PRUNE: Final = "prune"
BACKFILL_SEGMENTS: Final = "segments"
BACKFILL_POSITIONS: Final = "positions"
BACKFILL_PRUNE_AFTER: Final = "prune_after"
BACKFILL_SCANNED: Final = "scanned"
BACKFILL_FOUND: Final = "found"
BACKFILL_ADDED: Final = "added"
BACKFILL_REMOVED: Final = "removed"

AUDIT_ACTOR: Final = "actor"
AUDIT_ACTION: Final = "action"
AUDIT_RESOURCE: Final = "resource"
AUDIT_BEFORE: Final = "before"
AUDIT_AFTER: Final = "after"
AUDIT_AT: Final = "at"

REQUEST_SLOTS: Final = 8
"""How many request ids a bucket remembers; a repeated write is recognised while its id is among them."""

LEASE_OWNER: Final = "owner"
LEASE_GRANT: Final = "grant"
"""What was granted, as a ticket; see :mod:`leasegate.tickets`."""
LEASE_FINGERPRINT: Final = "fingerprint"
"""What was asked under an idempotency key."""
LEASE_EXPIRES_AT: Final = "expires_at"
LEASE_ON_EXPIRY: Final = "on_expiry"
LEASE_ENDED: Final = "ended"
"""How the lease ended, once it has."""

TAT_PREFIX: Final = "v."
USED_PREFIX: Final = "u."
REFUSED_PREFIX: Final = "x."
REQUEST_PREFIX: Final = "r."
HELD_PREFIX: Final = "k."
HOLDER_PREFIX: Final = "h."
DISABLED_PREFIX: Final = "disabled."
PEAK_PREFIX: Final = "p."


def tat_attribute(limit_name: str) -> str:
    """Name the attribute that holds a limit's state (see :mod:`leasegate.bucket`)."""
    return TAT_PREFIX + limit_name


def used_attribute(limit_name: str) -> str:
    """Name the attribute that holds the tokens spent since the bucket's birth, net of what came back."""
    return USED_PREFIX + limit_name


def refused_attribute(limit_name: str) -> str:
    """Name the attribute that counts refusals by a limit: of a bucket those reported, of usage all counted."""
    return REFUSED_PREFIX + limit_name


def peak_attribute(limit_name: str) -> str:
    """Name the attribute of usage that holds the most that was in use of a limit."""
    return PEAK_PREFIX + limit_name


def held_attribute(limit_name: str) -> str:
    """Name the attribute that counts the holders of a concurrency limit."""
    return HELD_PREFIX + limit_name


def holder_attribute(limit_name: str, holder: str) -> str:
    """Name the attribute that says until when a holder has its share of a concurrency limit, in ms."""
    return f"{HOLDER_PREFIX}{limit_name}.{holder}"


def is_holder_attribute(attribute: str) -> bool:
    """Say whether an attribute belongs to one holder: there are as many names of those as leases."""
    return attribute.startswith(HOLDER_PREFIX)


def request_attribute(slot: int) -> str:
    """Name the attribute that holds the id of the last request of this slot."""
    return f"{REQUEST_PREFIX}{slot}"


def disabled_attribute(resource: str | None) -> str:
    """Name the attribute of an entity's record that disables it for one resource, or (None) for all."""
    return DISABLED_AT if resource is None else DISABLED_PREFIX + resource
