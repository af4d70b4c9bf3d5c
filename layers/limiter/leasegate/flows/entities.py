"""Entities: create them, change them, move them to another parent, read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, cast

from .. import schema
from ..errors import (
    EntityExists,
    EntityIsBeingDeleted,
    EntityNotFound,
    InvalidRequest,
    StoreThrottled,
)
from ..identifiers import check_text
from ..knowledge import Knowledge
from ..operations import (
    Add,
    AllOf,
    Change,
    Condition,
    Flow,
    NotExists,
    Remove,
    Set,
    Transact,
    Update,
    Value,
)
from ..records import EntityRecord
from ..schema import Entity
from . import auditing
from .auditing import Signature
from .changing import MAX_ATTEMPTS, is_applied
from .family import Family, as_counted, read_family
from .reading import as_read
from .telling import pending_note, read_entity, tell_buckets

_MAX_TEXT: Final = 256
_MAX_METADATA: Final = 50


class Unchanged(Enum):
    """Stands for a field that a change leaves as it is."""

    UNCHANGED = auto()


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class EntityChange:
    """What an entity is to be.

    ``must_exist`` says whether it must have been created before (False: must not, None: either); ``merges`` that
    metadata are added to what is there, where None removes. Raises :class:`InvalidRequest`.
    """

    entity_id: str
    parent_id: str | Unchanged | None = UNCHANGED
    name: str | Unchanged | None = UNCHANGED
    metadata: Mapping[str, str | None] | Unchanged | None = UNCHANGED
    must_exist: bool | None = True
    merges: bool = False

    def __post_init__(self) -> None:
        """Refuse what a record cannot hold."""
        if self.parent_id == self.entity_id:
            raise InvalidRequest("parent_id", f"{self.entity_id} would be its own ancestor")
        _check_name(self.name)
        _check_metadata(self.metadata, may_remove=self.merges)

    def apply(self, own: Entity) -> Details:
        """Return what the entity is after the change."""
        metadata: Mapping[str, str | None] = own.metadata
        if self.metadata is None:
            metadata = {}
        elif not isinstance(self.metadata, Unchanged):
            metadata = {**own.metadata, **self.metadata} if self.merges else self.metadata
        kept = {key: value for key, value in metadata.items() if value is not None}
        if len(kept) > _MAX_METADATA:
            raise InvalidRequest("metadata", f"must map at most {_MAX_METADATA} strings to strings")
        return Details(
            own.parent_id if isinstance(self.parent_id, Unchanged) else self.parent_id,
            own.name if isinstance(self.name, Unchanged) else self.name,
            kept,
        )


@dataclass(frozen=True, slots=True)
class Details:
    """The part of a record that people say what it is."""

    parent_id: str | None
    name: str | None
    metadata: Mapping[str, str]

    def describe(self) -> Value:
        """Write it as JSON would."""
        return {"parent_id": self.parent_id, "name": self.name, "metadata": dict(self.metadata)}


def details(own: Entity) -> Details:
    """Take the details out of a record."""
    return Details(own.parent_id, own.name, own.metadata)


def get_entity(entity_id: str) -> Flow[EntityRecord]:
    """Read an entity. One round trip. Raises :class:`EntityNotFound`."""
    own = yield from read_entity(entity_id)
    if not own.exists:
        raise EntityNotFound(entity_id)
    return EntityRecord(
        entity_id=entity_id,
        parent_id=own.parent_id,
        name=own.name,
        metadata=own.metadata,
        created_at_ms=own.created_at_ms,
        disabled_at_ms=own.disabled_at_ms,
        disabled_resources=dict(sorted(own.disabled.items())),
        children=own.descendants[0],
        buckets=len(own.buckets),
        is_being_deleted=own.is_being_deleted,
        has_pending_changes=bool(own.pending),
    )


def change_entity(change: EntityChange, signature: Signature, knowledge: Knowledge) -> Flow[bool]:
    """Create an entity or change it; say whether it was created. Its buckets learn of a new parent.

    Two round trips, one more for each ancestor but the first, three more where buckets must be told. Where
    nothing differs, nothing is written, and only a change that was left pending is carried on. Raises
    :class:`EntityExists`, :class:`EntityNotFound` (for the entity or a parent), :class:`EntityIsBeingDeleted`,
    :class:`InvalidRequest` for a place in its family that cannot be, and :class:`StoreError`.
    """
    for attempt in range(MAX_ATTEMPTS):
        wanted_parent = None if isinstance(change.parent_id, Unchanged) else change.parent_id
        family = yield from read_family(change.entity_id, wanted_parent)
        if family.is_torn:
            continue
        own = family.own
        is_new = own.created_at_ms is None
        _check_existence(change, own)
        after = change.apply(own)
        if not is_new and after == details(own):
            if own.pending:
                yield from tell_buckets(change.entity_id, signature.at_ms)
            return False
        is_moved = after.parent_id != own.parent_id
        if is_moved:
            family.check_place(after.parent_id)
        (outcome,) = yield (_transaction(family, after, signature, attempt),)
        if is_applied(outcome):
            knowledge.forget_ancestor(change.entity_id)
            if own.pending or (is_moved and own.buckets):
                yield from tell_buckets(change.entity_id, signature.at_ms)
            return is_new
    raise StoreThrottled(f"entity {change.entity_id} or its ancestors are being changed by too many at once")


def _transaction(family: Family, after: Details, signature: Signature, attempt: int) -> Transact:
    """Write the record, the counts of its ancestors, and the audit record, if all is still as it was read."""
    own, entity_id = family.own, family.entity_id
    is_new = own.created_at_ms is None
    is_moved = after.parent_id != own.parent_id
    changes: list[Change] = [Set(schema.ENTITY_REVISION, signature.id)]
    conditions = [is_unchanged(own), as_read(schema.ENTITY_CREATED_AT, own.created_at_ms)]
    conditions.append(NotExists(schema.ENTITY_DELETING_AT))
    if is_new:
        changes.append(Set(schema.ENTITY_CREATED_AT, signature.at_ms))
    changes.append(Remove(schema.ENTITY_NAME) if after.name is None else Set(schema.ENTITY_NAME, after.name))
    if after.metadata:
        changes.append(Set(schema.ENTITY_METADATA, cast("Value", after.metadata)))
    else:
        changes.append(Remove(schema.ENTITY_METADATA))
    if is_new or is_moved:
        changes += [Set(*entry) for entry in schema.children_index(after.parent_id, entity_id).items()]
    if is_moved:
        changes.append(
            Remove(schema.ENTITY_PARENT) if after.parent_id is None else Set(schema.ENTITY_PARENT, after.parent_id)
        )
        conditions += as_counted(own)
        if own.buckets:
            changes.append(Add(schema.ENTITY_PENDING, pending_note(signature.id, None)))
        else:
            # A bucket that is created meanwhile would carry the old parent, and nobody would tell it.
            conditions.append(NotExists(schema.ENTITY_BUCKETS))
    record = auditing.audit(
        auditing.entity_scope(entity_id),
        "create_entity" if is_new else "move_entity" if is_moved else "update_entity",
        signature,
        before=None if is_new else details(own).describe(),
        after=after.describe(),
    )
    update = Update(schema.entity_key(entity_id), tuple(changes), AllOf(tuple(conditions)))
    others = family.moves(own.parent_id, after.parent_id) if is_moved else []
    return Transact((update, *others, record), f"{signature.id}.{attempt}")


def is_unchanged(own: Entity) -> Condition:
    """Hold a record to its revision, which every administrative change of it replaces."""
    return as_read(schema.ENTITY_REVISION, own.revision)


def _check_existence(change: EntityChange, own: Entity) -> None:
    if own.is_being_deleted:
        raise EntityIsBeingDeleted(change.entity_id)
    if change.must_exist is True and own.created_at_ms is None:
        raise EntityNotFound(change.entity_id)
    if change.must_exist is False and own.created_at_ms is not None:
        raise EntityExists(change.entity_id)


def _check_name(name: object) -> None:
    if isinstance(name, Unchanged) or name is None:
        return
    check_text("name", name, 1, _MAX_TEXT)


def _check_metadata(metadata: object, *, may_remove: bool) -> None:
    if isinstance(metadata, Unchanged) or metadata is None:
        return
    if not isinstance(metadata, Mapping) or len(metadata) > _MAX_METADATA:
        raise InvalidRequest("metadata", f"must map at most {_MAX_METADATA} strings to strings")
    for key, value in metadata.items():
        name = check_text("metadata", key, 1, _MAX_TEXT)
        if value is not None or not may_remove:
            check_text(f"metadata.{name}", value, 0, _MAX_TEXT)
