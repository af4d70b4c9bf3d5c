"""The record of changes: who did what, when, what was there before and what after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from .. import schema
from ..cursors import read_cursor, write_cursor
from ..errors import InvalidRequest
from ..identifiers import check_identifier
from ..limits import Limits
from ..operations import Flow, Item, Key, Position, Put, Query, Value
from ..records import AuditRecord, Listing
from . import reading

KEPT_S: Final = 90 * 86_400
"""How long a change, and the id of an operation, is remembered, in seconds."""

SYSTEM_SCOPE: Final = "system"


@dataclass(frozen=True, slots=True)
class Signature:
    """Who makes a change, under an id that nobody else has (at most 24 characters), and the clock's ms."""

    actor: str
    id: str
    at_ms: int

    @property
    def expires_at_s(self) -> int:
        """When what was signed may be forgotten."""
        return self.at_ms // 1000 + KEPT_S


def entity_scope(entity_id: str) -> str:
    """Name the scope of changes of an entity."""
    return f"entity:{entity_id}"


def resource_scope(resource: str) -> str:
    """Name the scope of changes of a resource."""
    return f"resource:{resource}"


def check_scope(scope: object) -> str:
    """Return ``scope`` if it names one; raise :class:`InvalidRequest` if not."""
    if not isinstance(scope, str):
        raise InvalidRequest("scope", "must be a string")
    kind, colon, identifier = scope.partition(":")
    if scope != SYSTEM_SCOPE and not (kind in ("entity", "resource") and colon):
        raise InvalidRequest("scope", 'must be "system", "resource:{id}" or "entity:{id}"')
    if colon:
        check_identifier("scope", identifier)
    return scope


def audit(
    scope: str,
    action: str,
    signature: Signature,
    *,
    before: Value,
    after: Value,
    resource: str | None = None,
    part: int | None = None,
) -> Put:
    """Return the write of a record, for the change's transaction; ``part`` counts those of one scope."""
    item: dict[str, Value] = {
        schema.AUDIT_ACTOR: signature.actor,
        schema.AUDIT_ACTION: action,
        schema.AUDIT_BEFORE: before,
        schema.AUDIT_AFTER: after,
        schema.AUDIT_AT: signature.at_ms,
        schema.EXPIRES_AT: signature.expires_at_s,
    }
    if resource is not None:
        item[schema.AUDIT_RESOURCE] = resource
    change_id = signature.id if part is None else f"{signature.id}.{part}"
    return Put(schema.audit_key(scope, signature.at_ms, change_id), item)


def describe_limits(limits: Limits) -> Value:
    """Write limits as JSON would; None where there are none."""
    if not limits:
        return None
    return tuple(limit.describe() for limit in limits.values())


def list_audit(scope: str, cursor: str | None, page_size: int) -> Flow[Listing[AuditRecord]]:
    """Read a page of a scope's records, the latest first. One round trip."""
    listing = f"audit {scope}"
    partition = schema.audit_partition(scope)
    after = None if cursor is None else Position(Key(partition, read_cursor(listing, cursor)))
    (outcome,) = yield (Query(partition, limit=page_size, after=after, newest_first=True),)
    page = reading.page(outcome)
    return Listing(
        tuple(_parse(scope, key, item) for key, item in page.items),
        None if page.next is None else write_cursor(listing, page.next.key.sk),
    )


def _parse(scope: str, key: Key, item: Item) -> AuditRecord:
    text = cast("Mapping[str, str]", item)
    return AuditRecord(
        scope=scope,
        id=key.sk.partition("#")[2],
        at_ms=cast("int", item[schema.AUDIT_AT]),
        actor=text[schema.AUDIT_ACTOR],
        action=text[schema.AUDIT_ACTION],
        resource=text.get(schema.AUDIT_RESOURCE),
        before=item[schema.AUDIT_BEFORE],
        after=item[schema.AUDIT_AFTER],
    )
