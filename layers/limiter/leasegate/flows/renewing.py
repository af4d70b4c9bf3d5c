"""Renewing leases: the time until which they hold their share of concurrency limits, and at which they expire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .. import schema
from ..concurrency import Holders
from ..errors import InvalidRequest, LeaseExpired, LeasegateError, LeaseNotFound, StoreThrottled
from ..knowledge import Knowledge
from ..operations import (
    AllOf,
    Applied,
    BatchGet,
    Cancelled,
    Condition,
    Equals,
    Failed,
    Flow,
    NotExists,
    Operation,
    Outcome,
    Refused,
    Set,
    Transact,
    Update,
)
from ..results import Renewal
from ..schema import Bucket
from . import leasing, reading, spending
from .ending import LeaseRef, believed
from .grants import Grant
from .leasing import StoredLease
from .settle import MAX_ROUND_TRIPS
from .spending import Request
from .tickets import read_ticket


@dataclass(slots=True)
class Keeping:
    """The holders of one bucket that are to stay, and the bucket as last seen."""

    entity_id: str
    holders: Mapping[str, Holders]
    state: Bucket

    def update(self, resource: str, request: Request) -> Update:
        """Return the write that keeps them."""
        return spending.keep(schema.bucket_key(self.entity_id, resource), self.state, self.holders, request)

    def learn_refusal(self, name: str, refused: Refused) -> None:
        """Take in how the bucket stands; raise :class:`LeaseExpired` where a holder is no longer there."""
        if refused.item is None:
            raise LeaseExpired(name)
        self.state = schema.parse_bucket(refused.item)
        for limit_name, holders in self.holders.items():
            if not holders.keys() <= self.state.holders.get(limit_name, {}).keys():
                raise LeaseExpired(name)


def keepings(grant: Grant, ends_at_ms: int | None, request: Request, knowledge: Knowledge) -> list[Keeping]:
    """Return what is to be kept at each level."""
    found = []
    for charge in grant.charges:
        state = believed(charge, knowledge.bucket(charge.entity_id, grant.resource))
        if charge.state is None or state is None:
            continue
        holders: dict[str, Holders] = {}
        for name, ids in charge.holders.items():
            until_ms = spending.holds_until_ms(charge.state.limits[name], request.now_ms, ends_at_ms)
            holders[name] = dict.fromkeys(ids, until_ms)
        if any(holders.values()):
            found.append(Keeping(charge.entity_id, holders, state))
    return found


def held_until_ms(grant: Grant) -> int | None:
    """Return when a lease, as it was granted, loses its share of concurrency limits; None where it has none."""
    return _first(
        [
            charge.state.holders.get(name, {}).get(holder, grant.now_ms)
            for charge in grant.charges
            if charge.state is not None
            for name, ids in charge.holders.items()
            for holder in ids
        ]
    )


def renew_holders(name: str, grant: Grant, request: Request, knowledge: Knowledge) -> Flow[Renewal]:
    """Let a lease that is no item keep its share of concurrency limits: one round trip, a unit for each bucket.

    Raises :class:`LeaseExpired` where it lost it, :class:`StoreError`.
    """
    pending = keepings(grant, None, request, knowledge)
    renewal = Renewal(None, _first(_times(pending)))
    for _ in range(MAX_ROUND_TRIPS):
        if not pending:
            return renewal
        outcomes = yield tuple([keeping.update(grant.resource, request) for keeping in pending])
        left = []
        for keeping, outcome in zip(pending, outcomes, strict=True):
            match outcome:
                case Applied():
                    continue
                case Refused():
                    keeping.learn_refusal(name, outcome)
                    left.append(keeping)
                case Failed(error):
                    raise error
                case _:
                    raise LeasegateError(f"a renewal cannot end as {type(outcome).__name__}")
        pending = left
    raise StoreThrottled("a bucket of the lease is too contended")


def renew_lease(
    lease: LeaseRef, expires_in_ms: int | None, request: Request, knowledge: Knowledge
) -> Flow[Renewal]:
    """Let a durable lease go on, ``expires_in_ms`` from now (None: as long as it was granted for).

    One round trip where its id says what was granted, all in one transaction. Raises :class:`LeaseNotFound`,
    :class:`LeaseExpired`, :class:`InvalidRequest`, :class:`StoreError`.
    """
    run = _Run(lease, expires_in_ms, request, knowledge)
    if lease.grant is None:
        yield from run.read()
    for attempt in range(MAX_ROUND_TRIPS):
        (outcome,) = yield (run.plan(attempt),)
        renewal = run.judge(outcome)
        if renewal is not None:
            return renewal
    raise StoreThrottled("the lease, or a bucket of it, is too contended")


class _Run:
    """One durable lease on its way to going on."""

    def __init__(self, lease: LeaseRef, expires_in_ms: int | None, request: Request, knowledge: Knowledge) -> None:
        self._lease = lease
        self._expires_in_ms = expires_in_ms
        self._request = request
        self._knowledge = knowledge
        self._ticket: str | None = None
        self._keepings: list[Keeping] = []
        if lease.grant is not None and lease.ticket is not None:
            self._take(lease.ticket)

    def read(self) -> Flow[None]:
        """Read the lease."""
        key = schema.lease_key(self._lease.name)
        (outcome,) = yield (BatchGet((key,)),)
        self._refused(Refused(reading.found(outcome).get(key)))

    def plan(self, attempt: int) -> Operation:
        """Return the write that lets everything go on."""
        update = self._lease_update()
        updates = [keeping.update(self._resource, self._request) for keeping in self._keepings]
        return Transact((update, *updates), f"{self._request.id}.{attempt}") if updates else update

    def judge(self, outcome: Outcome) -> Renewal | None:
        """Take the outcome in."""
        match outcome:
            case Applied():
                return Renewal(self._ends_at_ms, _first(_times(self._keepings)))
            case Refused(item):
                self._refused(Refused(item))
            case Cancelled((Refused(item), *_)):
                self._refused(Refused(item))
            case Cancelled((_, *refusals)):
                for keeping, refusal in zip(self._keepings, refusals, strict=True):
                    if refusal is not None:
                        keeping.learn_refusal(self._lease.name, refusal)
            case Failed(error):
                raise error
            case _:
                raise LeasegateError(f"a renewal cannot end as {type(outcome).__name__}")
        return None

    # --- pieces --------------------------------------------------------------------------------------

    def _take(self, text: str) -> None:
        ticket = read_ticket(text)
        now_ms = self._request.now_ms
        self._ends_at_ms = None
        if ticket.ends_at_ms is not None:
            lasts_ms = self._expires_in_ms or ticket.ends_at_ms - ticket.grant.now_ms
            self._ends_at_ms = now_ms + lasts_ms
        elif self._expires_in_ms is not None:
            raise InvalidRequest("expires_in", "the lease does not expire")
        self._ticket, self._resource = text, ticket.grant.resource
        # As long as was promised with the grant, though it may expire earlier now.
        self._kept_s = leasing.kept_until_s(now_ms, max(self._ends_at_ms or 0, ticket.ends_at_ms or 0))
        self._keepings = keepings(ticket.grant, self._ends_at_ms, self._request, self._knowledge)

    def _lease_update(self) -> Update:
        key = schema.lease_key(self._lease.name)
        now_ms = self._request.now_ms
        conditions: tuple[Condition, ...] = (
            NotExists(schema.LEASE_ENDED),
            Equals(schema.LEASE_GRANT, self._ticket),
            Equals(schema.LEASE_OWNER, self._lease.owner),
            leasing.not_expired(now_ms),
            leasing.remembered(now_ms),
        )
        changes = [Set(schema.EXPIRES_AT, self._kept_s)]
        if self._ends_at_ms is not None:
            changes.append(Set(schema.LEASE_EXPIRES_AT, self._ends_at_ms))
            listed = schema.expiry_index(self._lease.name, self._ends_at_ms)
            changes += [Set(attribute, value) for attribute, value in listed.items()]
        return Update(key, tuple(changes), AllOf(conditions))

    def _refused(self, refused: Refused) -> None:
        if refused.item is None:
            raise LeaseNotFound(self._lease.name)
        stored: StoredLease = leasing.parse_lease(refused.item)
        stored.check_open(self._lease.name, self._lease.owner, self._request.now_ms)
        if stored.end is not None:
            raise LeaseExpired(self._lease.name)
        if stored.ticket != self._ticket:
            self._take(stored.ticket)


def _times(pending: list[Keeping]) -> list[int]:
    return [until for keeping in pending for holders in keeping.holders.values() for until in holders.values()]


def _first(times: list[int]) -> int | None:
    return min(times, default=None)
