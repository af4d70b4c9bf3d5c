"""The errors that Leasegate raises, one tree under :class:`LeasegateError`.

Whoever catches an error decides by its class and its attributes, never by its text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .states import Availability, Refusal


class LeasegateError(Exception):
    """Anything that Leasegate raises on purpose."""


class RateLimitExceeded(LeasegateError):
    """The answer no: at least one limit has too few tokens now.

    Attributes:
        availability: every limit's state, of the entity and of its ancestors.
        refusals: the limits that refused, each with its entity.
        retry_after_ms: when the same request can succeed, in ms from now, if nobody spends meanwhile.
        cached: whether this was answered from what the process remembered, without a round trip.
    """

    def __init__(
        self,
        availability: Availability,
        refusals: tuple[Refusal, ...],
        retry_after_ms: int,
        *,
        cached: bool = False,
    ) -> None:
        """Keep the decision's data; the text is for people only."""
        self.availability = availability
        self.refusals = refusals
        self.retry_after_ms = retry_after_ms
        self.cached = cached
        refused = ", ".join(f"{refusal.state.name} of {refusal.entity_id}" for refusal in refusals)
        super().__init__(f"rate limit exceeded: {refused or 'store unavailable'}; retry in {retry_after_ms} ms")


class InvalidRequest(LeasegateError):
    """The caller can mend it.

    Attributes:
        field: where it is wrong, such as ``"consume.tpm"``.
        reason: what is wrong with it.
        unprocessable: it is well formed but can never be granted, such as a cost above capacity (HTTP 422 in
            place of 400).
    """

    def __init__(self, field: str, reason: str, *, unprocessable: bool = False) -> None:
        """Name the field that is wrong and what is wrong with it."""
        self.field = field
        self.reason = reason
        self.unprocessable = unprocessable
        super().__init__(f"{field}: {reason}")


class NotFound(LeasegateError):
    """What was asked for does not exist."""


class NoLimitsConfigured(NotFound):
    """No level has limits for this entity and resource, and the call gave none.

    Attributes:
        entity_id: who asked.
        resource: what for.
    """

    def __init__(self, entity_id: str, resource: str) -> None:
        """Name the pair that has no limits."""
        self.entity_id = entity_id
        self.resource = resource
        super().__init__(f"no limits are configured for entity {entity_id} and resource {resource}")


class EntityNotFound(NotFound):
    """No entity of this id was created; ``entity_id`` says which."""

    def __init__(self, entity_id: str) -> None:
        """Name the entity that is missing."""
        self.entity_id = entity_id
        super().__init__(f"entity {entity_id} does not exist")


class LimitsNotFound(NotFound):
    """A level has no limits; ``level`` says which."""

    def __init__(self, level: str) -> None:
        """Name the level without limits."""
        self.level = level
        super().__init__(f"{level} has no limits")


class LeaseNotFound(NotFound):
    """There is no such lease, or it is another caller's; ``lease`` is what an error may repeat of its id."""

    def __init__(self, lease: str) -> None:
        """Name the lease."""
        self.lease = lease
        super().__init__(f"lease {lease} does not exist")


class Disabled(LeasegateError):
    """An operator disabled the entity, this resource of it, or the whole resource: nothing may be spent.

    Attributes:
        entity_id: who is disabled; None where the resource is, for everybody.
        resource: what was asked for.
    """

    def __init__(self, entity_id: str | None, resource: str) -> None:
        """Name what is disabled."""
        self.entity_id = entity_id
        self.resource = resource
        super().__init__(
            f"resource {resource} is disabled"
            if entity_id is None
            else f"entity {entity_id} is disabled for resource {resource}"
        )


class Conflict(LeasegateError):
    """What is there does not allow it: an entity that exists already, has children, or is being deleted."""


class EntityExists(Conflict):
    """An entity of this id was created already; ``entity_id`` says which."""

    def __init__(self, entity_id: str) -> None:
        """Name the entity."""
        self.entity_id = entity_id
        super().__init__(f"entity {entity_id} exists already")


class EntityHasChildren(Conflict):
    """An entity with children is not deleted unless they are moved.

    Attributes:
        entity_id: which entity.
        children: how many it has right below.
    """

    def __init__(self, entity_id: str, children: int) -> None:
        """Name the entity and count its children."""
        self.entity_id = entity_id
        self.children = children
        super().__init__(f"entity {entity_id} has children: {children}")


class EntityIsBeingDeleted(Conflict):
    """The deletion of the entity has begun: it can only be carried on. ``entity_id`` says which."""

    def __init__(self, entity_id: str) -> None:
        """Name the entity."""
        self.entity_id = entity_id
        super().__init__(f"entity {entity_id} is being deleted; delete it again to end that")


class LeaseExpired(Conflict):
    """The time of the lease is over, or it has lost its places of a concurrency limit; ``lease`` is its name."""

    def __init__(self, lease: str) -> None:
        """Name the lease."""
        self.lease = lease
        super().__init__(f"lease {lease} has expired")


class IdempotencyConflict(LeasegateError):
    """An operation of this id, or under this key, was done already, and it was another one.

    ``operation_id`` is the id, or the key.
    """

    def __init__(self, operation_id: str) -> None:
        """Name the operation."""
        self.operation_id = operation_id
        super().__init__(f"something else was done under {operation_id} before")


class StoreError(LeasegateError):
    """DynamoDB did not answer, or not with an answer that means anything here.

    Attributes:
        maybe_applied: a write may have happened although its reply never came.
    """

    def __init__(self, message: str, *, maybe_applied: bool = False) -> None:
        """Say what DynamoDB said, for logs."""
        self.maybe_applied = maybe_applied
        super().__init__(message)


class StoreThrottled(StoreError):
    """DynamoDB, or contention for one item, asked to come back later."""


class StoreUnavailable(StoreError):
    """Timeouts, connection failures and 5xx, until the time budget was spent."""


class StoreDenied(StoreError):
    """Credentials or permissions are wrong: somebody has to mend them, waiting does not help."""
