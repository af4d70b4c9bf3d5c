"""What one operation costs, and which partition keys pay for it, by the rules of DynamoDB.

Replies do not tell: a failed condition costs a write and reports nothing, and emulators bill wrongly or not at
all. The rules are those of the developer guide (its pages on read and write capacity, item sizes and formats,
global secondary indexes, transactions); that a transaction's factor of two leaves out the index is taken from
its description of index writes as asynchronous, and was not measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

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

_KEYS_IN_A_CALL_MAX: Final = 100
_TRANSACTION_FACTOR: Final = 2


class Partition(NamedTuple):
    """A partition key of the table or of its index: what DynamoDB gives a throughput of its own."""

    pk: str
    in_index: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """Units that one partition key pays; None stands for those, unknown, that a scan comes across."""

    partition: Partition | None
    read_units: float = 0
    write_units: int = 0


class Tariff:
    """Prices operations, by all that it has seen of the items; not to be shared among threads without a lock.

    It remembers the last state it saw of every item, for a write is billed by the larger of the item before and
    after it, and a transaction returns neither. An item that it never saw is taken to be as large as after the
    write, and without an index entry before it. A scan returns next to nothing of what it is billed for: what it
    looked at is taken to be of the mean size of the items remembered, or of 1 KB each where there are none.
    """

    def __init__(self) -> None:
        """Start with no item seen."""
        self._items: dict[Key, Item | None] = {}

    # --- before --------------------------------------------------------------------------------------

    def least(self, operation: Operation) -> tuple[Charge, ...]:
        """Return the least that an operation can cost if it is applied, by what was seen: a unit for each item.

        A scan is left out: which partitions it comes across is not known before.
        """
        match operation:
            case BatchGet(keys):
                return tuple(
                    [_least_read(key, is_consistent=operation.is_consistent) for key in dict.fromkeys(keys)]
                )
            case Get(key):
                return (_least_read(key, is_consistent=operation.is_consistent),)
            case Query():
                return (Charge(_partition_of(operation), read_units=0.5 if operation.in_index else 1),)
            case Scan():
                return ()
            case Transact(actions):
                charges = [self._least_write(action, _TRANSACTION_FACTOR) for action in actions]
                return tuple([charge for each in charges for charge in each])
            case Update() | Put() | Delete():
                return self._least_write(operation, 1)

    def _least_write(self, action: Action, units: int) -> tuple[Charge, ...]:
        return (
            Charge(Partition(action.key.pk), write_units=units),
            *self._index_charges(action, self._written(action)),
        )

    # --- after ---------------------------------------------------------------------------------------

    def price(self, operation: Operation, outcome: Outcome) -> tuple[Charge, ...]:
        """Return what an operation cost that ended so, and remember the items that it shows.

        What certainly was not applied, such as what was throttled, costs nothing; what may have been applied
        counts as though it was.
        """
        match operation:
            case BatchGet(keys):
                return self._price_items(keys, outcome, is_consistent=operation.is_consistent)
            case Get(key):
                return self._price_items((key,), outcome, is_consistent=operation.is_consistent)
            case Query():
                return self._price_query(operation, outcome)
            case Scan():
                return self._price_scan(outcome)
            case Transact(actions):
                return self._price_transaction(actions, outcome)
            case Update() | Put() | Delete():
                return self._price_write(operation, outcome)

    def _price_items(self, keys: Iterable[Key], outcome: Outcome, *, is_consistent: bool) -> tuple[Charge, ...]:
        if not isinstance(outcome, Found):
            return ()
        charges = []
        for key in dict.fromkeys(keys):
            item = outcome.items.get(key)
            if is_consistent or key not in self._items:  # else what was seen before may be newer
                self._items[key] = item
            units = read_units(key, item)
            charges.append(Charge(Partition(key.pk), read_units=units if is_consistent else halved(units)))
        return tuple(charges)

    def _price_query(self, query: Query, outcome: Outcome) -> tuple[Charge, ...]:
        if not isinstance(outcome, Page):
            return ()
        units = page_units(sum([item_size(key, item) for key, item in outcome.items]))
        if not query.in_index:
            self._items.update(outcome.items)
        return (Charge(_partition_of(query), read_units=halved(units) if query.in_index else units),)

    def _price_scan(self, outcome: Outcome) -> tuple[Charge, ...]:
        if not isinstance(outcome, Page):
            return ()
        sizes = [item_size(key, item) for key, item in self._items.items() if item is not None]
        mean_bytes = sum(sizes) / len(sizes) if sizes else WRITE_UNIT_BYTES
        return (Charge(None, read_units=page_units(round(outcome.scanned * mean_bytes))),)

    def _price_write(self, action: Update | Put | Delete, outcome: Outcome) -> tuple[Charge, ...]:
        if _is_free(outcome):
            return ()
        if isinstance(outcome, Refused):
            self._items[action.key] = outcome.item
            return (self._table_charge(action, self._written(action)),)
        after = outcome.item if isinstance(outcome, Applied) else self._written(action)
        charges = (self._table_charge(action, after), *self._index_charges(action, after))
        if isinstance(outcome, Applied):
            self._items[action.key] = after
        return charges

    def _price_transaction(self, actions: tuple[Action, ...], outcome: Outcome) -> tuple[Charge, ...]:
        if _is_free(outcome):
            return ()
        if isinstance(outcome, Cancelled):
            for action, refusal in zip(actions, outcome.refusals, strict=True):
                if refusal is not None:
                    self._items[action.key] = refusal.item
        is_applied = isinstance(outcome, Applied)
        charges = []
        for action in actions:
            after = self._written(action)
            charges.append(self._table_charge(action, after, _TRANSACTION_FACTOR))
            if is_applied and not isinstance(action, Check):
                charges.extend(self._index_charges(action, after))
                if isinstance(action, Put | Delete) or action.key in self._items:
                    self._items[action.key] = after
        return tuple(charges)

    # --- items ---------------------------------------------------------------------------------------

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

    def _table_charge(self, action: Action, after: Item | None, factor: int = 1) -> Charge:
        key = action.key
        units = max(write_units(key, self._items.get(key)), write_units(key, after))
        return Charge(Partition(key.pk), write_units=factor * units)

    def _index_charges(self, action: Action, after: Item | None) -> tuple[Charge, ...]:
        """Return the writes to the keys-only index: an entry less, an entry more, or none while its keys stay."""
        if isinstance(action, Update) and action.key not in self._items and not _touches_index(action):
            return ()
        before_entry = _index_entry(self._items.get(action.key))
        after_entry = _index_entry(after)
        if before_entry == after_entry:
            return ()
        return tuple(
            [
                Charge(
                    Partition(cast("str", entry[schema.GSI1PK]), in_index=True),
                    write_units=write_units(action.key, entry),
                )
                for entry in (before_entry, after_entry)
                if entry is not None
            ]
        )


def calls_of(operation: Operation) -> int:
    """Count the requests that an operation is sent in."""
    if isinstance(operation, BatchGet):
        return -(-len(set(operation.keys)) // _KEYS_IN_A_CALL_MAX)
    return 1


def _is_free(outcome: Outcome) -> bool:
    return isinstance(outcome, Failed) and not outcome.error.maybe_applied


def _partition_of(query: Query) -> Partition:
    return Partition(query.partition, query.in_index)


def _least_read(key: Key, *, is_consistent: bool) -> Charge:
    return Charge(Partition(key.pk), read_units=1 if is_consistent else 0.5)


def _touches_index(update: Update) -> bool:
    return any(change.attribute in (schema.GSI1PK, schema.GSI1SK) for change in update.changes)


def _index_entry(item: Item | None) -> Item | None:
    """Return what the index keeps of an item beside its key: the index's own."""
    if item is None or schema.GSI1PK not in item or schema.GSI1SK not in item:
        return None
    return {schema.GSI1PK: item[schema.GSI1PK], schema.GSI1SK: item[schema.GSI1SK]}
