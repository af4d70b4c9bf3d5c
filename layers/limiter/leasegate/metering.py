"""What the operations of a program cost: round trips, calls and capacity units, counted as DynamoDB bills them.

Replies do not tell: a failed condition costs a write and reports nothing, and emulators bill wrongly or not at
all. The rules are those of the developer guide (its pages on read and write capacity, item sizes and formats,
global secondary indexes, transactions); that a transaction's factor of two leaves out the index is taken from
its description of index writes as asynchronous, and was not measured.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from . import schema
from .errors import StoreError
from .operations import (
    Action,
    Applied,
    BatchGet,
    Cancelled,
    Check,
    Delete,
    Failed,
    Found,
    Get,
    Item,
    Key,
    Operation,
    Outcome,
    Page,
    Put,
    Query,
    Refused,
    Scan,
    Transact,
    Update,
)
from .repository.evaluation import changed
from .repository.sizes import WRITE_UNIT_BYTES, halved, item_size, page_units, read_units, write_units

__all__ = ["Meter", "Usage", "item_size"]

_KEYS_IN_A_CALL_MAX: Final = 100
_TRANSACTION_FACTOR: Final = 2


@dataclass(frozen=True, slots=True)
class Usage:
    """What some operations cost; a call is one request to DynamoDB. Eventually consistent reads cost halves."""

    calls: int = 0
    read_units: float = 0
    write_units: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.read_units + other.read_units,
            self.write_units + other.write_units,
        )


class Meter:
    """An observer of a repository that bills every round trip; may be shared among threads and repositories.

    It remembers the last state it saw of every item, for a write is billed by the larger of the item before and
    after it, and a transaction returns neither. An item that it never saw is taken to be as large as after the
    write, and without an index entry before it. A scan returns next to nothing of what it is billed for: what it
    looked at is taken to be of the mean size of the items remembered, or of 1 KB each where there are none. Not
    seen and not billed: what a repository repeats after throttling or lost replies, and the deletions by time to
    live, which are free.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._items: dict[Key, Item | None] = {}
        self._round_trips = 0
        self._kinds: dict[str, Usage] = {}

    @property
    def round_trips(self) -> int:
        """How many times somebody waited for the table."""
        return self._round_trips

    @property
    def calls(self) -> int:
        """How many requests were made."""
        return self.total.calls

    @property
    def read_units(self) -> float:
        """Read units; an ``int`` until a half is among them."""
        return self.total.read_units

    @property
    def write_units(self) -> int:
        """Write units, of the table and its index."""
        return self.total.write_units

    @property
    def total(self) -> Usage:
        """All operations together."""
        return sum(self.kinds.values(), Usage())

    @property
    def kinds(self) -> Mapping[str, Usage]:
        """The operations by the name of their class, such as ``Update``."""
        with self._lock:
            return dict(self._kinds)

    def reset(self) -> None:
        """Count from zero again, without forgetting the items seen."""
        with self._lock:
            self._round_trips = 0
            self._kinds.clear()

    def __call__(
        self, operations: tuple[Operation, ...], outcomes: tuple[Outcome, ...], _start_ns: int, _end_ns: int
    ) -> None:
        """Bill one round trip."""
        with self._lock:
            self._round_trips += 1
            for operation, outcome in zip(operations, outcomes, strict=True):
                kind = type(operation).__name__
                self._kinds[kind] = self._kinds.get(kind, Usage()) + self._bill(operation, outcome)

    def _bill(self, operation: Operation, outcome: Outcome) -> Usage:
        match operation:
            case BatchGet(keys):
                calls = -(-len(set(keys)) // _KEYS_IN_A_CALL_MAX)
                return Usage(calls, read_units=self._bill_batch(operation, outcome))
            case Get():
                return Usage(1, read_units=self._bill_get(operation, outcome))
            case Query():
                return Usage(1, read_units=self._bill_query(operation, outcome))
            case Scan():
                return Usage(1, read_units=self._bill_scan(outcome))
            case Transact(actions):
                return Usage(1, write_units=self._bill_transaction(actions, outcome))
            case Update() | Put() | Delete():
                return Usage(1, write_units=self._bill_write(operation, outcome))

    def _bill_batch(self, batch: BatchGet, outcome: Outcome) -> float:
        if not isinstance(outcome, Found):
            return 0
        return sum([self._bill_item(key, outcome, is_consistent=batch.is_consistent) for key in set(batch.keys)])

    def _bill_get(self, get: Get, outcome: Outcome) -> float:
        if not isinstance(outcome, Found):
            return 0
        return self._bill_item(get.key, outcome, is_consistent=get.is_consistent)

    def _bill_item(self, key: Key, found: Found, *, is_consistent: bool) -> float:
        item = found.items.get(key)
        if is_consistent or key not in self._items:  # else what was seen before may be newer
            self._items[key] = item
        units = read_units(key, item)
        return units if is_consistent else halved(units)

    def _bill_query(self, query: Query, outcome: Outcome) -> float:
        if not isinstance(outcome, Page):
            return 0
        units = page_units(sum([item_size(key, item) for key, item in outcome.items]))
        if query.in_index:
            return halved(units)
        self._items.update(outcome.items)
        return units

    def _bill_scan(self, outcome: Outcome) -> int:
        if not isinstance(outcome, Page):
            return 0
        sizes = [item_size(key, item) for key, item in self._items.items() if item is not None]
        mean_bytes = sum(sizes) / len(sizes) if sizes else WRITE_UNIT_BYTES
        return page_units(round(outcome.scanned * mean_bytes))

    def _bill_write(self, action: Update | Put | Delete, outcome: Outcome) -> int:
        if _is_free(outcome):
            return 0
        if isinstance(outcome, Refused):
            self._items[action.key] = outcome.item
            return self._table_units(action, self._written(action))
        after = outcome.item if isinstance(outcome, Applied) else self._written(action)
        units = self._table_units(action, after) + self._index_units(action, after)
        if isinstance(outcome, Applied):
            self._items[action.key] = after
        return units

    def _bill_transaction(self, actions: tuple[Action, ...], outcome: Outcome) -> int:
        if _is_free(outcome):
            return 0
        if isinstance(outcome, Cancelled):
            for action, refusal in zip(actions, outcome.refusals, strict=True):
                if refusal is not None:
                    self._items[action.key] = refusal.item
        is_applied = isinstance(outcome, Applied)
        units = 0
        for action in actions:
            after = self._written(action)
            units += _TRANSACTION_FACTOR * self._table_units(action, after)
            if is_applied and not isinstance(action, Check):
                units += self._index_units(action, after)
                if isinstance(action, Put | Delete) or action.key in self._items:
                    self._items[action.key] = after
        return units

    def _written(self, action: Action) -> Item | None:
        """Return what the action makes, or would make, of the item as it was last seen."""
        known = self._items.get(action.key)
        match action:
            case Put(_, item):
                return item
            case Update(_, changes):
                try:
                    return changed(known, changes)
                except StoreError:
                    return known
            case Delete():
                return None
            case Check():
                return known

    def _table_units(self, action: Action, after: Item | None) -> int:
        key = action.key
        return max(write_units(key, self._items.get(key)), write_units(key, after))

    def _index_units(self, action: Action, after: Item | None) -> int:
        """Return the writes to the keys-only index: an entry less, an entry more, or none while its keys stay."""
        if isinstance(action, Update) and action.key not in self._items and not _touches_index(action):
            return 0
        before_entry = _index_entry(action.key, self._items.get(action.key))
        after_entry = _index_entry(action.key, after)
        if before_entry == after_entry:
            return 0
        return sum([write_units(*entry) for entry in (before_entry, after_entry) if entry is not None])


def _is_free(outcome: Outcome) -> bool:
    """Tell whether nothing was billed; what may have been applied counts as though it was."""
    return isinstance(outcome, Failed) and not outcome.error.maybe_applied


def _touches_index(update: Update) -> bool:
    return any(change.attribute in (schema.GSI1PK, schema.GSI1SK) for change in update.changes)


def _index_entry(key: Key, item: Item | None) -> tuple[Key, Item] | None:
    """Return what the index keeps of an item: its key and the index's."""
    if item is None or schema.GSI1PK not in item or schema.GSI1SK not in item:
        return None
    return key, {schema.GSI1PK: item[schema.GSI1PK], schema.GSI1SK: item[schema.GSI1SK]}
