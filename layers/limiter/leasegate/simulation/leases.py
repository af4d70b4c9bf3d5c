"""What durable leases are held to: each ends once, and the buckets change in the same write, to the token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from .. import schema
from ..flows import leasing
from ..flows.grants import Grant
from ..flows.leasing import StoredLease
from ..flows.spending import Amounts
from ..operations import Key
from ..records import LeaseEnd
from .buckets import Buckets, Terms
from .calls import Call, Violation
from .table import Change, SimulatedTable


@dataclass(slots=True)
class Entry:
    """A lease: what it was granted, and how it stands."""

    grant: Grant
    stored: StoredLease


@dataclass(slots=True)
class Leases:
    """Follows all leases of a table, beside its buckets."""

    table: SimulatedTable
    buckets: Buckets
    entries: dict[str, Entry] = field(default_factory=dict)

    def follow(
        self, call: Call, change: Change, changes: Sequence[Change], spent: Mapping[Key, Amounts], adjusts: Amounts
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
            self.entries[name] = Entry(grant, stored)
            is_adjustment = stored.end is not None
            expected = {
                schema.bucket_key(charge.entity_id, grant.resource): adjusts if is_adjustment else charge.tokens
                for charge in grant.charges
                if charge.limited
            }
            self._check(call, key, expected, changes, spent)
            return
        if entry.stored.end is not None and stored != entry.stored:
            raise Violation("a lease changed that had ended", key)
        if stored.end is not None and entry.stored.end is None:
            was_over = entry.stored.ends_at_ms is not None and entry.stored.ends_at_ms <= now_ms
            if was_over != (stored.end.outcome == "expired"):
                raise Violation(
                    f"a lease is {stored.end.outcome}, and its time was{'' if was_over else ' not'} over", key
                )
            self._check(call, key, _ending(entry, stored.end), changes, spent)
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
            if item is None and any(wanted.values()) and self.buckets.changed_step.get(key, -1) < call.began_step:
                bucket = self.table.item(key)
                if bucket is not None and any(
                    tokens and name in cast("Mapping[str, Terms]", bucket["lim"])
                    for name, tokens in wanted.items()
                ):
                    raise Violation("a lease changed without a bucket that it spent of", lease, key)


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
