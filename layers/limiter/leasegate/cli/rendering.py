"""What records look like to people; to programs as over HTTP, see :mod:`leasegate.http.documents`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table

from ..declaration.shorthand import write_limit
from ..http.documents import Document
from ..http.limits import write_states
from ..limits import Limit
from .output import plain, table

if TYPE_CHECKING:
    from ..records import AuditRecord, BucketRecord, EntityRecord
    from ..states import Availability

# --- limits ----------------------------------------------------------------------------------------


def limits_text(limits: Iterable[Limit]) -> str:
    """Write limits in one line."""
    return ", ".join([f"{limit.name} {write_limit(limit)}" for limit in limits]) or "none"


def limits_table(limits: Iterable[Limit]) -> Table:
    """Write a limit a row."""
    made = table("limit", "allows")
    for limit in limits:
        made.add_row(limit.name, write_limit(limit))
    return made


# --- states ----------------------------------------------------------------------------------------


def availability_json(availability: Availability) -> Document:
    """Write what an entity and those above it have left, as the HTTP interface does."""
    return {
        "entity_id": availability.entity_id,
        "resource": availability.resource,
        "limits": write_states(availability),
        "ancestors": [
            {"entity_id": above.entity_id, "limits": write_states(above)} for above in availability.ancestors
        ],
    }


def availability_table(availability: Availability) -> Table:
    """Write a limit a row, the entity's own first."""
    made = table("entity", "limit", "left#", "of#", "allows")
    for level in (availability, *availability.ancestors):
        for state in level.values():
            style = "red" if state.retry_after_ms else ""
            made.add_row(
                level.entity_id,
                state.name,
                plain(str(state.available), style),
                str(state.capacity),
                write_limit(state.limit),
            )
    return made


def buckets_table(buckets: Iterable[BucketRecord]) -> Table:
    """Write a limit a row."""
    made = table("resource", "limits from", "limit", "left#", "of#")
    for bucket in buckets:
        for state in bucket.states.values():
            made.add_row(bucket.resource, bucket.source, state.name, str(state.available), str(state.capacity))
        if not bucket.states:
            made.add_row(bucket.resource, bucket.source, "", "", "")
    return made


# --- entities and resources --------------------------------------------------------------------------


def entity_table(entity: EntityRecord) -> Table:
    """Write a field a row; what is as usual is left out."""
    made = table("field", "value")
    made.add_row("id", entity.entity_id)
    made.add_row("parent", entity.parent_id or "none")
    if entity.name is not None:
        made.add_row("name", plain(entity.name))
    for name, text in sorted(entity.metadata.items()):
        made.add_row(plain(f"metadata.{name}"), plain(text))
    created = (
        "no, only limits, buckets or a state" if entity.created_at_ms is None else moment(entity.created_at_ms)
    )
    made.add_row("created", created)
    if entity.disabled_at_ms is not None:
        made.add_row("disabled", moment(entity.disabled_at_ms))
    for resource, at_ms in entity.disabled_resources.items():
        made.add_row(f"disabled for {resource}", moment(at_ms))
    made.add_row("children", str(entity.children))
    made.add_row("buckets", str(entity.buckets))
    if entity.is_being_deleted:
        made.add_row("is being deleted", "yes: delete it again to end that")
    if entity.has_pending_changes:
        made.add_row("has pending changes", "yes: repeat the change, or apply a file that has the entity")
    return made


# --- audit -----------------------------------------------------------------------------------------


def audit_table(records: Iterable[AuditRecord]) -> Table:
    """Write a change a row."""
    made = table("when", "who", "what", "resource", "before", "after")
    for record in records:
        before, after = plain(_value(record.before)), plain(_value(record.after))
        made.add_row(
            moment(record.at_ms), plain(record.actor), record.action, record.resource or "", before, after
        )
    return made


def moment(at_ms: int) -> str:
    """Write a time to the ms, in UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03}Z"


def _value(value: object) -> str:
    """Write a value of an audit record in one line."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case {"name": str(name), "capacity": int(capacity), "amount": int(amount), "period_ms": int(period_ms)}:
            return f"{name} {write_limit(Limit(name, capacity, amount, period_ms))}"
        case {"name": str(name), "concurrent": int(concurrent), "lease_seconds": int(lease_seconds)}:
            return f"{name} {write_limit(Limit.concurrent(name, concurrent, lease_seconds))}"
        case Mapping():
            given = {name: _value(member) for name, member in value.items()}
            return ", ".join([f"{name} {text}" for name, text in given.items() if text])
        case tuple() | list():
            return ", ".join(map(_value, value))
        case _:
            return str(value)
