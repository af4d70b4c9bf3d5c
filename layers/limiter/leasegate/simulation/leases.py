"""What durable leases are held to: each ends once, and the buckets change in the same write, to the token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from .. import schema
from ..concurrency import MAX_TAKEN, holder_ids
from ..errors import LeaseExpired, LeaseNotFound, StoreError
from ..flows import leasing
from ..flows.grants import Grant
from ..flows.leasing import StoredLease
from ..flows.spending import Amounts
from ..operations import Key
from ..results import LeaseEnd, Renewal
from .buckets import GRANTING, Buckets, Leaver
from .calls import Call, Violation
from .ledger import Terms
from .table import Change, SimulatedTable


@dataclass(slots=True)
class Entry:
    """A lease: what it was granted and at which step, how it stands, when it was to expire, and who ended it."""

    grant: Grant
    stored: StoredLease
    step: int
    expiries_ms: list[int | None]
    ended_by: Call | None = None

    @property
    def holders(self) -> set[str]:
        """Those that hold its places."""
        return holders(self.grant)

    def had_expired(self, now_ms: int) -> bool:
        """Say whether its time was over, as it was set at any time."""
        return any(at_ms is not None and at_ms <= now_ms for at_ms in self.expiries_ms)


@dataclass(slots=True)
class Leases:
    """Follows all leases of a table, beside its buckets; ``checked`` counts by what."""

    table: SimulatedTable
    buckets: Buckets
    checked: Counter[str]
    entries: dict[str, Entry] = field(default_factory=dict)

    def follow(
        self,
        call: Call,
        change: Change,
        changes: Sequence[Change],
        spent: Mapping[Key, Amounts],
        adjusts: Amounts,
        step: int,
    ) -> None:
        """Take in one write of a lease, with what it ``spent`` of buckets; an adjustment asks for ``adjusts``."""
        key = change.key
        name = schema.lease_of(key)
        if change.after is None:
            self.entries.pop(name, None)
            return
        stored = leasing.parse_lease(change.after)
        entry = self.entries.get(name)
        now_ms = call.request.now_ms
        if entry is None or entry.stored.ticket != stored.ticket:
            if entry is not None and not entry.stored.is_forgotten(now_ms):
                raise Violation("a lease that is remembered was granted once more", key)
            grant = stored.read().grant
            self.entries[name] = Entry(grant, stored, step, [stored.ends_at_ms])
            is_adjustment = stored.end is not None
            self.checked["keyed adjustments" if is_adjustment else "leases"] += 1
            expected = {
                schema.bucket_key(charge.entity_id, grant.resource): adjusts if is_adjustment else charge.tokens
                for charge in grant.charges
                if charge.limited
            }
            self._check(call, key, expected, changes, spent)
            return
        if entry.stored.end is not None and stored != entry.stored:
            raise Violation("a lease changed that had ended", key)
        was_over = entry.stored.ends_at_ms is not None and entry.stored.ends_at_ms <= now_ms
        if stored.end is None:
            if was_over:
                raise Violation("a lease was renewed, and its time was over", key)
            entry.expiries_ms.append(stored.ends_at_ms)
            self.checked["renewals"] += 1
        elif entry.stored.end is None:
            entry.ended_by = call
            if was_over != (stored.end.outcome == "expired"):
                raise Violation(
                    f"a lease is {stored.end.outcome}, and its time was{'' if was_over else ' not'} over", key
                )
            self._check(call, key, _ending(entry, stored.end), changes, spent)
            self.checked["ends"] += 1
        entry.stored = stored

    def _check(
        self,
        call: Call,
        lease: Key,
        expected: Mapping[Key, Amounts],
        changes: Sequence[Change],
        spent: Mapping[Key, Amounts],
    ) -> None:
        """Hold the buckets of a write to what the lease says of them; one that is gone was full."""
        afters = {change.key: change.after for change in changes}
        for key in expected.keys() | spent.keys():
            wanted, really = expected.get(key, {}), spent.get(key, {})
            item = afters.get(key)
            limits = {} if item is None else cast("Mapping[str, Terms]", item["lim"])
            for name in wanted.keys() | really.keys():
                tokens = wanted.get(name, 0) if name in limits else 0
                if tokens < 0 and _came_with_it(changes, key):
                    tokens = 0  # a bucket that is created is full
                if tokens != really.get(name, 0):
                    raise Violation(
                        f"the lease says {tokens} {name}, the bucket {really.get(name, 0)}", lease, key
                    )
            if item is None:
                self._check_left_out(call, lease, key, wanted)

    def _check_left_out(self, call: Call, lease: Key, key: Key, wanted: Amounts) -> None:
        """Hold a bucket that was not written to having had none of these limits when the call began."""
        bucket = self.table.item(key)
        limits = {} if bucket is None else cast("Mapping[str, Terms]", bucket["lim"])
        for name, tokens in wanted.items():
            if tokens and name in limits and self.buckets.came_step[key, name] < call.began_step:
                raise Violation("a lease changed without a bucket that it spent of", lease, key)

    def check_leavers(self, call: Call, leavers: Sequence[Leaver], others: Sequence[Change]) -> None:
        """Hold a write after which somebody's place is lost, before its time is over, to being its own to give.

        A grant gives back what it took, a correction what it was granted, and a lease that ends what it holds.
        """
        own: set[str] = set()
        if call.kind == "correct":
            own = holders(call.subject.grant)
        elif call.kind in GRANTING:
            requests = {mark[1] for mark in call.applied if isinstance(mark, tuple)} | {call.request.id}
            own = {holder for request in requests for holder in holder_ids(request, MAX_TAKEN)}
        for change in others:
            entry = self.entries.get(schema.lease_of(change.key))
            if change.key.pk.startswith("LEASE#") and entry is not None and entry.stored.end is not None:
                own |= entry.holders if entry.stored.end.outcome != "expired" else set()
        for key, holder in leavers:
            if holder not in own:
                raise Violation(f"{holder} lost its place to {call.kind}", key)
        self.checked["places left"] += len(leavers)

    # --- what calls say ------------------------------------------------------------------------------

    def judge_use(self, call: Call) -> None:
        """Hold how a settlement, a release or a renewal came out to how the lease stands."""
        entry, result, error = self.entries.get(call.subject), call.result, call.error
        key, now_ms = schema.lease_key(call.subject), call.request.now_ms
        self.checked["uses of leases"] += not isinstance(error, StoreError)
        if isinstance(error, LeaseNotFound):
            if entry is not None and entry.step < call.began_step and not entry.stored.is_forgotten(now_ms):
                raise Violation("a lease is said not to exist, and does", key)
        elif isinstance(error, LeaseExpired):
            if entry is not None and not _may_say_expired(entry, call):
                raise Violation("a lease is said to have expired, and has not", key)
        elif isinstance(result, LeaseEnd):
            self._judge_end(call, entry, result, key)
        elif isinstance(result, Renewal) and (entry is None or result.expires_at_ms not in entry.expiries_ms):
            raise Violation(f"a lease is said to go on until {result.expires_at_ms}, and does not", key)

    def _judge_end(self, call: Call, entry: Entry | None, end: LeaseEnd, key: Key) -> None:
        if entry is None or entry.stored.end is None:
            raise Violation(f"a lease was {end.outcome}, and is open", key)
        if replace(end, is_repeated=True) != entry.stored.end:
            raise Violation(f"a lease is said to be {end}, and is {entry.stored.end}", key)
        if not end.is_repeated and entry.ended_by is not call:
            raise Violation("a lease is said to have been ended by a call that did not", key)


def holders(grant: Grant) -> set[str]:
    """Return those that a grant let in, by their ids."""
    return {holder for charge in grant.charges for ids in charge.holders.values() for holder in ids}


def _may_say_expired(entry: Entry, call: Call) -> bool:
    """Say whether a lease is over by anybody's clock, or comes too late to be renewed."""
    end = entry.stored.end
    if end is not None and end.outcome == "expired":
        return True
    if call.kind.startswith("renew") and (end is not None or entry.holders):
        return True
    return entry.had_expired(call.request.now_ms)


def _ending(entry: Entry, end: LeaseEnd) -> dict[Key, Amounts]:
    """Return what the end of a lease changes in buckets."""
    grant = entry.grant
    if end.outcome == "expired" and entry.stored.on_expiry == "keep":
        return {}
    own = grant.charges[0].tokens
    # A settlement counts what it does not name as it was acquired.
    settled = {name: tokens for name, tokens in end.consumed.items() if own.get(name) != tokens}
    return {
        schema.bucket_key(charge.entity_id, grant.resource): (
            {name: tokens - charge.tokens.get(name, 0) for name, tokens in settled.items()}
            if end.outcome == "settled"
            else {name: -tokens for name, tokens in charge.tokens.items()}
        )
        for charge in grant.charges
        if charge.limited
    }


def _came_with_it(changes: Sequence[Change], key: Key) -> bool:
    return any(change.key == key and change.before is None for change in changes)
