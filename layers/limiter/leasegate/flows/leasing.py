"""Durable leases as items: what is stored with a grant, so that it is given once and ended once.

The item is written in the transaction that spends, under a name that an idempotency key and its caller decide. So
a key that was used is met by the write itself, and answered with what was granted then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, cast

from .. import schema
from ..errors import IdempotencyConflict, LeaseExpired, LeaseNotFound
from ..operations import AnyOf, AtLeast, AtMost, Below, Condition, Item, ItemAbsent, NotExists, Put, Value
from ..results import LeaseEnd, LeaseOutcome
from .grants import Grant, GrantedLease, OnExpiry, Terms
from .spending import Amounts
from .tickets import MAX_TICKET_LENGTH, Ticket, read_ticket

KEPT_S: Final = 86_400
"""How long a lease and its key are remembered after the grant, the time at which it expires, and its end."""


@dataclass(frozen=True, slots=True)
class StoredLease:
    """A lease as its item says; ``expires_at_s`` is when it is forgotten."""

    owner: str
    ticket: str
    fingerprint: str
    ends_at_ms: int | None
    on_expiry: OnExpiry
    end: LeaseEnd | None
    expires_at_s: int

    def read(self) -> Ticket:
        """Return what was granted."""
        return read_ticket(self.ticket)

    def is_forgotten(self, now_ms: int) -> bool:
        """Say whether its time is over, though DynamoDB has not deleted it yet."""
        return self.expires_at_s < now_ms // 1000

    def check_key(self, terms: Terms) -> None:
        """Raise :class:`IdempotencyConflict` where something else was done under the key."""
        if self.fingerprint != terms.fingerprint:
            raise IdempotencyConflict(terms.key or terms.lease)

    def check_open(self, name: str, owner: str | None, now_ms: int) -> None:
        """Raise :class:`LeaseNotFound` for another's lease, :class:`LeaseExpired` for one whose time is over."""
        if self.is_forgotten(now_ms) or owner not in (self.owner, None):
            raise LeaseNotFound(name)
        if self.end is not None and self.end.outcome == "adjusted":
            raise LeaseNotFound(name)
        is_over = self.end is None and self.ends_at_ms is not None and self.ends_at_ms <= now_ms
        if owner is not None and (is_over or (self.end is not None and self.end.outcome == "expired")):
            raise LeaseExpired(name)


def kept_until_s(now_ms: int, ends_at_ms: int | None) -> int:
    """Return the second until which a lease is remembered at least."""
    return -(-max(now_ms, ends_at_ms or 0) // 1000) + KEPT_S


def remembered(now_ms: int) -> Condition:
    """Hold a lease to not being forgotten yet, though DynamoDB may not have deleted it."""
    return AtLeast(schema.EXPIRES_AT, now_ms // 1000)


def not_expired(now_ms: int) -> Condition:
    """Hold a lease to not having expired yet."""
    return AnyOf((NotExists(schema.LEASE_EXPIRES_AT), AtLeast(schema.LEASE_EXPIRES_AT, now_ms + 1)))


def expired(now_ms: int) -> Condition:
    """Hold a lease to having expired."""
    return AtMost(schema.LEASE_EXPIRES_AT, now_ms)


def put_lease(terms: Terms, ticket: str, now_ms: int, end: LeaseEnd | None = None) -> Put:
    """Store a lease, unless its key was used before; a lease that is over already only remembers that."""
    item: dict[str, Value] = {
        schema.LEASE_OWNER: terms.owner,
        schema.LEASE_GRANT: ticket,
        schema.LEASE_FINGERPRINT: terms.fingerprint,
        schema.EXPIRES_AT: kept_until_s(now_ms, terms.ends_at_ms),
    }
    if terms.ends_at_ms is not None:
        item |= {schema.LEASE_EXPIRES_AT: terms.ends_at_ms, schema.LEASE_ON_EXPIRY: terms.on_expiry}
        item |= schema.expiry_index(terms.lease, terms.ends_at_ms)
    if end is not None:
        item[schema.LEASE_ENDED] = render_end(end)
    unused = AnyOf((ItemAbsent(), Below(schema.EXPIRES_AT, now_ms // 1000)))
    return Put(schema.lease_key(terms.lease), item, unused)


def parse_lease(item: Item) -> StoredLease:
    """Read the item of a lease."""
    return StoredLease(
        owner=cast("str", item[schema.LEASE_OWNER]),
        ticket=cast("str", item[schema.LEASE_GRANT]),
        fingerprint=cast("str", item[schema.LEASE_FINGERPRINT]),
        ends_at_ms=cast("int | None", item.get(schema.LEASE_EXPIRES_AT)),
        on_expiry=cast("OnExpiry", item.get(schema.LEASE_ON_EXPIRY, "keep")),
        end=_parse_end(item.get(schema.LEASE_ENDED)),
        expires_at_s=cast("int", item[schema.EXPIRES_AT]),
    )


def render_end(end: LeaseEnd) -> Value:
    """Write how a lease ended."""
    return {"outcome": end.outcome, "at_ms": end.at_ms, "consumed": dict(end.consumed)}


def _parse_end(value: Value) -> LeaseEnd | None:
    if value is None:
        return None
    stored = cast("Mapping[str, Value]", value)
    consumed = cast("Amounts", stored["consumed"])
    return LeaseEnd(
        cast("LeaseOutcome", stored["outcome"]), consumed, cast("int", stored["at_ms"]), is_repeated=True
    )


def granted(
    terms: Terms, grant: Grant, ticket: str, ends_at_ms: int | None, *, is_replayed: bool = False
) -> Grant:
    """Return a grant with its lease."""
    name = terms.lease if len(ticket) > MAX_TICKET_LENGTH else f"{terms.lease}.{ticket}"
    kept_s = kept_until_s(grant.now_ms, ends_at_ms)
    return replace(grant, lease=GrantedLease(name, ends_at_ms, kept_s * 1000, is_replayed))


def replay(stored: StoredLease, terms: Terms) -> Grant:
    """Return what was granted under a key before; raise :class:`IdempotencyConflict` if it was something else."""
    stored.check_key(terms)
    ticket = stored.read()
    return granted(terms, ticket.grant, stored.ticket, ticket.ends_at_ms, is_replayed=True)
