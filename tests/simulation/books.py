"""The books of a history with leases: they follow every write, and say what the buckets must hold after it.

What a lease was granted is read from the table when its item appears; how it ends, when its item says so. Both
change the buckets in the very same write, so after every single write the tokens of all buckets must be those of
the books, and the holders of concurrency limits those that nobody let go and whose time is not over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from leasegate import LeaseEnd, schema
from leasegate.concurrency import holder_ids
from leasegate.flows import leasing
from leasegate.flows.grants import Grant
from leasegate.flows.leasing import StoredLease
from leasegate.flows.spending import Amounts
from leasegate.operations import Applied, Check, Item, Key, Operation, Outcome, Transact
from leasegate.repository.memory import MemoryRepository

type Holder = tuple[Key, str, str]
"""A bucket, a limit, and who holds a place of it."""


@dataclass
class Entry:
    """What is known of a lease: what it was granted, how it stands, and the times at which it was to expire."""

    name: str
    grant: Grant
    stored: StoredLease
    ends_at_ms: list[int | None]
    ended_by: object = None

    @property
    def end(self) -> LeaseEnd | None:
        """How it ended, if it has."""
        return self.stored.end

    @property
    def is_adjustment(self) -> bool:
        """Whether it is no lease, but remembers an adjustment that was made under a key."""
        return self.end is not None and self.end.outcome == "adjusted"

    def had_expired(self, now_ms: int) -> bool:
        """Say whether its time was over, as it was set at any time."""
        return any(ends_at_ms is not None and ends_at_ms <= now_ms for ends_at_ms in self.ends_at_ms)


@dataclass
class Actor:
    """Who makes a call: the clock reading that it carries, the holders that are its own, what it adjusts by.

    ``began`` is how many writes the books had followed by then.
    """

    now_ms: int
    stem: str
    adjusts: Amounts
    began: int


@dataclass
class Books:
    """Follows a table: leases by name, and of each bucket the item and the tokens that it must have counted.

    ``leases`` counts all that were granted, ``writes`` all writes; ``came`` says which of these gave a bucket a
    limit that it had not had before it.
    """

    memory: MemoryRepository
    entries: dict[str, Entry] = field(default_factory=dict)
    buckets: dict[Key, Item] = field(default_factory=dict)
    used: dict[Key, Counter[str]] = field(default_factory=dict)
    leases: int = 0
    writes: int = 0
    came: dict[tuple[Key, str], int] = field(default_factory=dict)

    def executed(self, actor: Actor, call: object, operation: Operation, outcome: Outcome) -> None:
        """Take in a write that was applied, and check everything that it touched."""
        if not isinstance(outcome, Applied):
            return
        self.writes += 1
        actions = operation.actions if isinstance(operation, Transact) else (operation,)
        keys = [action.key for action in actions if not isinstance(action, Check) and hasattr(action, "key")]
        for key in keys:
            if key.pk.startswith("LEASE#"):
                self._follow_lease(actor, call, key, keys)
        for key in keys:
            if key.pk.startswith("BUCKET#"):
                self._follow_bucket(actor, key)

    def forget(self, key: Key, now_ms: int) -> None:
        """Take in that DynamoDB deleted an item."""
        if key in self.buckets:
            assert all(until_ms <= now_ms for until_ms in holders(key, self.buckets[key]).values())
            del self.buckets[key], self.used[key]
        self.entries.pop(schema.lease_of(key), None)

    # --- leases --------------------------------------------------------------------------------------

    def _follow_lease(self, actor: Actor, call: object, key: Key, written: Sequence[Key]) -> None:
        item = self.memory._items.get(key)
        if item is None:
            return  # a transaction was repeated that had been applied days ago
        stored = leasing.parse_lease(item)
        name = schema.lease_of(key)
        entry = self.entries.get(name)
        if entry is None or entry.stored.ticket != stored.ticket:
            assert entry is None or entry.stored.is_forgotten(actor.now_ms)
            entry = self.entries[name] = Entry(name, stored.read().grant, stored, [stored.ends_at_ms])
            self.leases += not entry.is_adjustment
            self._enter_grant(entry, actor, written)
        elif stored != entry.stored:
            self._enter_change(entry, stored, actor, call, written)

    def _enter_grant(self, entry: Entry, actor: Actor, written: Sequence[Key]) -> None:
        for charge in entry.grant.charges:
            amounts = actor.adjusts if entry.is_adjustment else charge.tokens
            self._enter(schema.bucket_key(charge.entity_id, entry.grant.resource), amounts, actor, written)

    def _enter_change(
        self, entry: Entry, stored: StoredLease, actor: Actor, call: object, written: Sequence[Key]
    ) -> None:
        assert entry.end is None, "what has ended neither ends nor changes again"
        if stored.end is None:
            assert not _is_over(entry.stored, actor.now_ms), "what has expired is not renewed"
            entry.ends_at_ms.append(stored.ends_at_ms)
        else:
            assert _is_over(entry.stored, actor.now_ms) == (stored.end.outcome == "expired")
            entry.ended_by = call
            keeps = stored.end.outcome == "expired" and stored.on_expiry == "keep"
            for charge in entry.grant.charges if not keeps else ():
                if stored.end.outcome == "settled":
                    names = _settled_names(entry.grant, stored.end)
                    difference = {name: stored.end.consumed[name] - charge.tokens.get(name, 0) for name in names}
                else:
                    difference = {name: -tokens for name, tokens in charge.tokens.items()}
                self._enter(schema.bucket_key(charge.entity_id, entry.grant.resource), difference, actor, written)
        entry.stored = stored

    def _enter(self, key: Key, amounts: Amounts, actor: Actor, written: Sequence[Key]) -> None:
        """Book signed tokens of a bucket, those that it limits; one that is not there can only become indebted."""
        item = self.memory._items.get(key)
        used = self.used.setdefault(key, Counter())
        for name, tokens in amounts.items():
            if not tokens or item is None or name not in token_names(item):
                continue
            if key not in written:
                assert self.came[key, name] > actor.began, "what it had all the time is counted"
            elif key in self.buckets or tokens > 0:
                used[name] += tokens

    # --- buckets -------------------------------------------------------------------------------------

    def _follow_bucket(self, actor: Actor, key: Key) -> None:
        item = self.memory._items.get(key)
        before = self.buckets.get(key)
        if item is None or item is before:
            return
        self.buckets[key] = item
        for name in token_names(item) - (token_names(before) if before is not None else set()):
            self.came[key, name] = self.writes
        used = self.used.setdefault(key, Counter())
        for name in used.keys() - token_names(item):
            del used[name]
        counted = {name.removeprefix("u."): tokens for name, tokens in item.items() if name.startswith("u.")}
        assert used == Counter(counted), f"{key} has counted {counted}, and the books {dict(used)}"
        self._check_holders(actor, key, {} if before is None else before, item)

    def _check_holders(self, actor: Actor, key: Key, before: Item, item: Item) -> None:
        were, are = holders(key, before), holders(key, item)
        for holder, until_ms in were.items():
            _, name, holder_id = holder
            if holder not in are and name in _limits(item):
                assert until_ms <= actor.now_ms or holder_id.startswith(actor.stem), f"{holder} lost its place"
        held = Counter(name for _, name, _ in are)
        held_before = Counter(name for _, name, _ in were)
        for name in held.keys() | {x.removeprefix("k.") for x in item if x.startswith("k.")}:
            assert item.get(schema.held_attribute(name), 0) == held[name]
            capacity = _limits(item)[name][0] if name in _limits(item) else 0
            assert held[name] <= max(capacity, held_before[name]), "more than the limit allows"


def holders(key: Key, item: Item) -> dict[Holder, int]:
    """Return until when each holder of a bucket may stay."""
    found: dict[Holder, int] = {}
    for attribute, value in item.items():
        if attribute.startswith("h."):
            _, name, holder = attribute.split(".")
            found[key, name, holder] = cast("int", value)
    return found


def token_names(item: Item) -> set[str]:
    """Return the names of the limits of tokens that a bucket has."""
    return {name for name, (_, amount, _) in _limits(item).items() if amount}


def stem_of(request_id: str) -> str:
    """Return what the ids of all holders begin with that a request lets in."""
    return holder_ids(request_id, 1)[0]


def _limits(item: Item) -> Mapping[str, tuple[int, int, int]]:
    return cast("Mapping[str, tuple[int, int, int]]", item[schema.LIMITS])


def _is_over(stored: StoredLease, now_ms: int) -> bool:
    return stored.ends_at_ms is not None and stored.ends_at_ms <= now_ms


def _settled_names(grant: Grant, end: LeaseEnd) -> list[str]:
    """Return the names that a settlement gave: what it did not give counts as it was acquired."""
    own = grant.charges[0].tokens
    return [name for name, tokens in end.consumed.items() if own.get(name) != tokens]
