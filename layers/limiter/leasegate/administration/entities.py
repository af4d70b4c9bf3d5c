"""Entities: create, change, move, disable, delete, list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from ..errors import InvalidRequest, StoreThrottled
from ..flows import deletion, entities, listing, switches
from ..flows.entities import UNCHANGED, EntityChange, Unchanged
from ..flows.telling import tell_buckets
from ..identifiers import check_identifier
from ..records import Deletion, EntityRecord, Listing
from ..session import DEFAULT_PAGE_SIZE, check_page_size
from .signing import SigningSession

_MAX_FRUITLESS_CHUNKS: Final = 8


class EntityAdministration(SigningSession):
    """Who there is, and whose child."""

    def create_entity(
        self,
        entity_id: str,
        parent_id: str | None = None,
        *,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        actor: str | None = None,
    ) -> None:
        """Create an entity, under a parent that exists. An entity without a parent need not be created to spend.

        Raises :class:`EntityExists`, :class:`EntityNotFound` for the parent, and :class:`InvalidRequest` where it
        would be its own ancestor or have more than three.
        """
        change = EntityChange(
            check_identifier("entity_id", entity_id), _parent(parent_id), name, metadata or {}, must_exist=False
        )
        self._drive(entities.change_entity(change, self._sign(actor), self._knowledge))

    def put_entity(
        self,
        entity_id: str,
        parent_id: str | None = None,
        *,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        actor: str | None = None,
    ) -> bool:
        """Create an entity, or replace all of it: parent, name and metadata. Say whether it was created.

        Where nothing differs nothing is written. Errors as :meth:`update_entity`.
        """
        change = EntityChange(
            check_identifier("entity_id", entity_id), _parent(parent_id), name, metadata or {}, must_exist=None
        )
        return self._drive(entities.change_entity(change, self._sign(actor), self._knowledge))

    def update_entity(
        self,
        entity_id: str,
        *,
        parent_id: str | Unchanged | None = UNCHANGED,
        name: str | Unchanged | None = UNCHANGED,
        metadata: Mapping[str, str | None] | Unchanged | None = UNCHANGED,
        actor: str | None = None,
    ) -> None:
        """Change what is given and leave the rest; metadata are merged, and None removes.

        Raises :class:`EntityNotFound` for the entity or its new parent, :class:`InvalidRequest` where it would be
        its own ancestor or anything below it a fifth level, :class:`EntityIsBeingDeleted`, and a
        :class:`StoreError` after which a move may be stored without every bucket knowing: repeat the call.
        """
        change = EntityChange(
            check_identifier("entity_id", entity_id),
            _parent(parent_id),
            name,
            metadata,
            must_exist=True,
            merges=True,
        )
        self._drive(entities.change_entity(change, self._sign(actor), self._knowledge))

    def move_entity(self, entity_id: str, parent_id: str | None, *, actor: str | None = None) -> None:
        """Give an entity another parent, or (None) none; its next acquire obeys. Errors as for an update."""
        self.update_entity(entity_id, parent_id=parent_id, actor=actor)

    def get_entity(self, entity_id: str) -> EntityRecord:
        """Return an entity. Raises :class:`EntityNotFound`."""
        return self._drive(entities.get_entity(check_identifier("entity_id", entity_id)))

    def list_entities(self, *, cursor: str | None = None, page_size: int = DEFAULT_PAGE_SIZE) -> Listing[str]:
        """Return a page of the ids of the entities without a parent, sorted: created, limited or disabled ones.

        The index that lists them follows its table within moments.
        """
        return self._drive(listing.list_children(None, cursor, check_page_size(page_size)))

    def list_children(
        self, entity_id: str, *, cursor: str | None = None, page_size: int = DEFAULT_PAGE_SIZE
    ) -> Listing[str]:
        """Return a page of the ids of an entity's children, sorted. The index follows its table within moments."""
        check_identifier("entity_id", entity_id)
        return self._drive(listing.list_children(entity_id, cursor, check_page_size(page_size)))

    def disable_entity(self, entity_id: str, resource: str | None = None, *, actor: str | None = None) -> bool:
        """Let an entity spend nothing, of one resource or of all: the next acquire raises :class:`Disabled`.

        So does one of its descendants; where the entity has no limits on what they ask for, within the knowledge's
        age. Says whether that is new.
        """
        return self._switch(entity_id, resource, actor, is_disabled=True)

    def enable_entity(self, entity_id: str, resource: str | None = None, *, actor: str | None = None) -> bool:
        """Undo :meth:`disable_entity`, as far as it went; obeyed once remembered refusals are over (1 s)."""
        return self._switch(entity_id, resource, actor, is_disabled=False)

    def delete_entity(
        self,
        entity_id: str,
        *,
        children: Literal["refuse", "reparent"] = "refuse",
        time_left_ms: Callable[[], int] | None = None,
        actor: str | None = None,
    ) -> Deletion:
        """Delete an entity, its limits and its buckets, a chunk at a time; from the begin on it spends nothing.

        Args:
            entity_id: who.
            children: ``"reparent"`` gives them to the entity's own parent; ``"refuse"`` raises
                :class:`EntityHasChildren`.
            time_left_ms: how much time is left; the call ends before it is over, not complete, and the next one
                goes on. None runs to the end.
            actor: who deletes.

        Raises :class:`EntityNotFound` and :class:`StoreError`; after that, call again to go on.
        """
        check_identifier("entity_id", entity_id)
        if children not in ("refuse", "reparent"):
            raise InvalidRequest("children", 'must be "refuse" or "reparent"')
        may_reparent = children == "reparent"
        total = Deletion(is_complete=False)
        fruitless = 0
        while not total.is_complete and (time_left_ms is None or time_left_ms() > self._timeout_ms):
            chunk = deletion.delete_chunk(entity_id, self._sign(actor), self._knowledge, may_reparent=may_reparent)
            done = self._drive(chunk)
            total = Deletion(
                done.is_complete,
                total.limits + done.limits,
                total.buckets + done.buckets,
                total.children_moved + done.children_moved,
            )
            fruitless = fruitless + 1 if done == Deletion(is_complete=False) else 0
            if fruitless == _MAX_FRUITLESS_CHUNKS:
                raise StoreThrottled(f"entity {entity_id} is being changed by too many at once")
        return total

    def finish_changes(self, entity_id: str) -> None:
        """Tell an entity's buckets of changes that were stored, but of which not every bucket was told.

        That is where a change raised a :class:`StoreError`, or its process died; to repeat it does the same.
        """
        self._drive(tell_buckets(check_identifier("entity_id", entity_id), self._clock()))

    def _switch(self, entity_id: str, resource: str | None, actor: str | None, *, is_disabled: bool) -> bool:
        check_identifier("entity_id", entity_id)
        if resource is not None:
            check_identifier("resource", resource)
        flow = switches.switch_entity(
            entity_id, resource, self._sign(actor), self._knowledge, is_disabled=is_disabled
        )
        return self._drive(flow)


def _parent[T](parent_id: T) -> T:
    if parent_id is not None and not isinstance(parent_id, Unchanged):
        check_identifier("parent_id", parent_id)
    return parent_id
