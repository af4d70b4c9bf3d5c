"""Ending durable leases: settle, release, expire. Each lease once, with all its tokens, in one transaction.

What a lease spent and holds stands in its id (see :mod:`leasegate.flows.tickets`), so usually nothing is read: the
transaction ends the lease, if it is open and just that was granted, and corrects the buckets, as they are believed
to stand. Whatever is not so comes back with the refusal, and the second try is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .. import schema
from ..errors import Conflict, InvalidRequest, LeasegateError, LeaseNotFound, StoreThrottled
from ..knowledge import Knowledge
from ..operations import (
    Action,
    AllOf,
    Applied,
    BatchGet,
    Cancelled,
    Condition,
    Equals,
    Failed,
    Flow,
    Item,
    Key,
    NotExists,
    Operation,
    Outcome,
    Refused,
    Remove,
    Set,
    Transact,
    Update,
)
from ..results import LeaseEnd, LeaseOutcome
from ..schema import Bucket
from . import leasing, reading, spending
from .grants import Charge, Grant
from .leasing import StoredLease
from .settle import MAX_ROUND_TRIPS, Correction
from .spending import Amounts, Request
from .tickets import Ticket


class LeaseRenewed(Conflict):
    """A lease that was to expire goes on."""


@dataclass(frozen=True, slots=True)
class LeaseRef:
    """A lease as its holder names it: its name in the table, and its ticket, if the id has one that can be read.

    ``owner`` is the digest of who may end it; None for the sweep, which may end any. ``ends_at_ms`` is when it was
    to expire as it was granted.
    """

    name: str
    ticket: str | None
    grant: Grant | None
    owner: str | None
    ends_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a lease is to end: settled to what was ``actual``, released, or expired."""

    lease: LeaseRef
    outcome: LeaseOutcome
    actual: Amounts | None = None
    keeps: bool = False

    def consumed(self, grant: Grant) -> Amounts:
        """Return what the lease's entity will have spent, by limit name."""
        spent = grant.charges[0].tokens
        if self.outcome == "settled":
            return {**spent, **(self.actual or {})}
        return spent if self.keeps else dict.fromkeys(spent, 0)

    def check(self, grant: Grant) -> None:
        """Raise :class:`InvalidRequest` for names that the lease's entity does not limit in tokens."""
        state = grant.charges[0].state
        limits = {} if state is None else state.limits
        for name in self.actual or ():
            if name not in limits:
                known = ", ".join(name for name, limit in limits.items() if not limit.is_concurrent)
                raise InvalidRequest(
                    f"actual.{name}", f"no such limit of {grant.charges[0].entity_id}; it has {known}"
                )
            if limits[name].is_concurrent:
                raise InvalidRequest(f"actual.{name}", "limits leases at a time; ending the lease frees it")

    def corrections(self, grant: Grant, knowledge: Knowledge) -> list[Correction]:
        """Return what is to be corrected at each level."""
        if self.keeps:
            return []
        found = []
        for charge in grant.charges:
            difference = self._difference(charge)
            state = believed(charge, knowledge.bucket(charge.entity_id, grant.resource))
            if state is not None:
                found.append(Correction(charge.entity_id, difference, state, charge.holders))
            elif charge.limited and any(difference.values()):
                # It limits nothing of what was acquired, so its bucket was not seen; but more was used since.
                found.append(Correction(charge.entity_id, difference, None))
        return found

    def _difference(self, charge: Charge) -> Amounts:
        if self.outcome != "settled":
            return charge.reversal().amounts
        return {name: tokens - charge.tokens.get(name, 0) for name, tokens in (self.actual or {}).items()}


def believed(charge: Charge, known: Bucket | None) -> Bucket | None:
    """Return the state that a bucket is believed to have some time after a charge; None where none was seen.

    What is remembered may be older than the charge, so the holders that it let in are there in any case. And it is
    believed only where it has all the limits of the charge, for of what it does not limit it checks nothing.
    """
    granted = charge.state
    if granted is None or not charge.limited:
        return None
    if known is not None and not _has_limits_of(known, granted):
        known = None
    state = granted if known is None else known
    if known is not None and known.stamp == granted.stamp:
        names = (*known.tats, *granted.tats)
        tats = {name: max(known.tats.get(name, 0), granted.tats.get(name, 0)) for name in names}
        expires_at_s = max(known.expires_at_s, granted.expires_at_s)
        state = replace(known, tats=tats, expires_at_s=expires_at_s)
    holders = dict(state.holders)
    for name, ids in charge.holders.items():
        # One that is missing had lapsed, and was cleared away, before its grant was known.
        entered = {holder: until for holder, until in granted.holders.get(name, {}).items() if holder in ids}
        holders[name] = {**holders.get(name, {}), **entered}
    return replace(state, holders=holders)


def _has_limits_of(known: Bucket, granted: Bucket) -> bool:
    return all(
        name in known.limits and known.limits[name].is_concurrent == limit.is_concurrent
        for name, limit in granted.limits.items()
    )


def end_lease(ending: Ending, request: Request, knowledge: Knowledge) -> Flow[LeaseEnd]:
    """End a lease, or say how it ended. One round trip where its id says what was granted.

    One more where it used what it had not acquired, of an ancestor whose bucket it has not seen: that is read.
    Raises :class:`LeaseNotFound`, :class:`LeaseExpired`, :class:`InvalidRequest` naming a field of ``actual``, and
    :class:`StoreError`.
    """
    run = _Run(ending, request, knowledge)
    if ending.lease.grant is None:
        end = yield from run.read()
        if end is not None:
            return end
    for attempt in range(MAX_ROUND_TRIPS):
        unread = run.unread()
        if unread:
            (outcome,) = yield (BatchGet(unread),)
            run.learn_read(reading.found(outcome))
            continue
        (outcome,) = yield (run.plan(attempt),)
        end = run.judge(outcome)
        if end is not None:
            return end
    raise StoreThrottled("the lease, or a bucket of it, is too contended")


class _Run:
    """One lease on its way to its end."""

    def __init__(self, ending: Ending, request: Request, knowledge: Knowledge) -> None:
        self._ending = ending
        self._lease = ending.lease
        self._request = request
        self._knowledge = knowledge
        self._ticket: str | None = None
        self._planned: list[tuple[Correction, tuple[Action, ...]]] = []
        self._corrections: list[Correction] = []
        if self._lease.grant is not None and self._lease.ticket is not None:
            self._take(Ticket(self._lease.grant, self._lease.ends_at_ms), self._lease.ticket)

    def read(self) -> Flow[LeaseEnd | None]:
        """Read the lease; return how it ended, if it has."""
        key = schema.lease_key(self._lease.name)
        (outcome,) = yield (BatchGet((key,)),)
        item = reading.found(outcome).get(key)
        if item is None:
            raise LeaseNotFound(self._lease.name)
        return self._meet(leasing.parse_lease(item))

    def unread(self) -> tuple[Key, ...]:
        """Name what must be read before the lease can end."""
        resource = self._grant.resource
        unread = [correction.entity_id for correction in self._corrections if correction.is_unread]
        return tuple([key for entity_id in unread for key in reading.entity_keys(entity_id, resource)])

    def learn_read(self, items: Mapping[Key, Item]) -> None:
        """Take in what was missing."""
        for correction in self._corrections:
            if correction.is_unread:
                correction.learn_read(self._grant.resource, items)

    def plan(self, attempt: int) -> Operation:
        """Return the write that ends the lease, as things are believed to stand."""
        resource = self._grant.resource
        self._planned = [
            (correction, correction.plan(resource, self._request))
            for correction in self._corrections
            if not correction.done
        ]
        actions = [action for _, actions in self._planned for action in actions]
        end = self._end_update()
        return Transact((end, *actions), f"{self._request.id}.{attempt}") if actions else end

    def judge(self, outcome: Outcome) -> LeaseEnd | None:
        """Take the outcome in; return the end of the lease where it has come."""
        match outcome:
            case Applied():
                self._remember()
                return self._end
            case Refused(item):
                return self._refused(Refused(item))
            case Cancelled((refused, *refusals)):
                end = None if refused is None else self._refused(refused)
                if end is None:
                    learn_refusals(self._grant.resource, self._planned, refusals, self._request, self._knowledge)
                return end
            case Failed(error):
                raise error
        raise LeasegateError(f"the end of a lease cannot end as {type(outcome).__name__}")

    # --- pieces --------------------------------------------------------------------------------------

    def _take(self, ticket: Ticket, text: str) -> None:
        grant = ticket.grant
        self._ending.check(grant)
        self._grant, self._ticket = grant, text
        # As long as was promised with the grant, however soon it ends.
        self._kept_s = leasing.kept_until_s(max(self._request.now_ms, grant.now_ms), ticket.ends_at_ms)
        self._corrections = self._ending.corrections(grant, self._knowledge)
        self._end = LeaseEnd(self._ending.outcome, self._ending.consumed(grant), self._request.now_ms)

    def _end_update(self) -> Update:
        now_ms = self._request.now_ms
        conditions: list[Condition] = [
            NotExists(schema.LEASE_ENDED),
            Equals(schema.LEASE_GRANT, self._ticket),
        ]
        if self._lease.owner is not None:
            conditions.append(Equals(schema.LEASE_OWNER, self._lease.owner))
            conditions += (leasing.not_expired(now_ms), leasing.remembered(now_ms))
        else:
            conditions.append(leasing.expired(now_ms))
        changes = (
            Set(schema.LEASE_ENDED, leasing.render_end(self._end)),
            Set(schema.EXPIRES_AT, self._kept_s),
            Remove(schema.GSI1PK),
            Remove(schema.GSI1SK),
        )
        return Update(schema.lease_key(self._lease.name), changes, AllOf(tuple(conditions)))

    def _refused(self, refused: Refused) -> LeaseEnd | None:
        if refused.item is None:
            raise LeaseNotFound(self._lease.name)
        return self._meet(leasing.parse_lease(refused.item))

    def _meet(self, stored: StoredLease) -> LeaseEnd | None:
        """Take in how the lease stands."""
        stored.check_open(self._lease.name, self._lease.owner, self._request.now_ms)
        if stored.end is not None:
            return stored.end
        if self._lease.owner is None and (stored.ends_at_ms or 0) > self._request.now_ms:
            raise LeaseRenewed(self._lease.name)
        if stored.ticket != self._ticket:
            self._take(stored.read(), stored.ticket)
        return None

    def _remember(self) -> None:
        """Remember what came back: earlier refusals no longer stand."""
        for correction, actions in self._planned:
            known = self._knowledge.bucket(correction.entity_id, self._grant.resource)
            if known is not None and correction.state is not None and actions:
                amounts = spending.correctable(correction.state, correction.amounts)
                after = spending.after_correction(correction.state, amounts, correction.leaving, self._request)
                self._knowledge.learn_return(correction.entity_id, self._grant.resource, after)


def learn_refusals(
    resource: str,
    planned: list[tuple[Correction, tuple[Action, ...]]],
    refusals: list[Refused | None],
    request: Request,
    knowledge: Knowledge,
) -> None:
    """Tell each correction what refused it, out of the refusals of a transaction that held them all."""
    position = 0
    for correction, actions in planned:
        own = refusals[position : position + len(actions)]
        position += len(actions)
        if own and own[0] is not None:
            correction.learn_refusal(resource, own[0], request, knowledge)
        elif any(own):
            correction.done = True  # the entity was deleted, its debts with it
