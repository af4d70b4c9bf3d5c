"""The table in memory: for unit tests, for users' own tests, for simulations."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from .. import schema
from ..errors import StoreError
from ..operations import (
    Action,
    Applied,
    BatchGet,
    Cancelled,
    Delete,
    Failed,
    Found,
    Get,
    Item,
    Key,
    Operation,
    Outcome,
    Put,
    Query,
    Refused,
    Scan,
    Transact,
    Update,
)
from .evaluation import changed, holds
from .pages import read_page
from .transactions import check_transaction
from .values import stored

if TYPE_CHECKING:
    from . import Observer

_TOKENS_REMEMBERED: Final = 10_000


class MemoryRepository:
    """Execute operations as DynamoDB would, on items in memory; safe to share among threads.

    ``Limiter(MemoryRepository())`` is a limiter that needs no table, and decides alike: for tests of your own.

    The operations of one round trip are applied one after another under one lock, so a round trip is atomic
    here, which it is not in DynamoDB. Items are replaced, never changed, so outcomes share them without copies;
    whoever receives one must not change it. Transaction tokens are remembered by number (the last 10,000),
    where DynamoDB remembers them for 10 minutes.

    Args:
        observer: called once for each round trip: the operations, their outcomes, start and end in ns.
    """

    def __init__(self, *, observer: Observer | None = None) -> None:
        """Start with an empty table."""
        self._observer = observer
        self._items: dict[Key, Item] = {}
        self._transactions: OrderedDict[str, tuple[Action, ...]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def items(self) -> Mapping[Key, Item]:
        """The whole table as it is now, in a mapping of the caller's own."""
        with self._lock:
            return dict(self._items)

    def delete(self, key: Key) -> None:
        """Delete an item, if there is one, as its time to live would."""
        with self._lock:
            self._items.pop(key, None)

    def execute(self, operations: tuple[Operation, ...], *, timeout_ms: int) -> tuple[Outcome, ...]:
        """Execute one round trip; see :class:`~leasegate.repository.Repository`. It never waits."""
        if self._observer is None:
            with self._lock:
                return tuple([self._answer(operation) for operation in operations])
        start_ns = time.monotonic_ns()
        with self._lock:
            outcomes = tuple([self._answer(operation) for operation in operations])
        self._observer(operations, outcomes, start_ns, time.monotonic_ns())
        return outcomes

    def _answer(self, operation: Operation) -> Outcome:
        # The kinds of operation stand in the order in which a simulation has most of them.
        match operation:
            case Update() | Put():
                return self._write(operation)
            case BatchGet():
                items = self._items
                return Found({key: items[key] for key in operation.keys if key in items})
            case Transact():
                return self._transact(operation)
            case Get(key):
                item = self._items.get(key)
                return Found({} if item is None else {key: item})
            case Delete():
                return self._delete(operation)
            case Query() | Scan():
                try:
                    return read_page(self._items, operation)
                except StoreError as error:
                    return Failed(error)
        raise TypeError(f"not an operation: {operation!r}")

    def _write(self, action: Update | Put) -> Outcome:
        old = self._items.get(action.key)
        if action.condition is not None and not holds(action.condition, old):
            return Refused(old)
        try:
            new = self._written(action, old)
        except StoreError as error:
            return Failed(error)
        self._items[action.key] = new
        return Applied(new)

    def _delete(self, action: Delete) -> Outcome:
        refusal = self._refusal(action)
        if refusal is not None:
            return refusal
        self._items.pop(action.key, None)
        return Applied(None)

    def _transact(self, transaction: Transact) -> Outcome:
        check_transaction(transaction)
        known = self._transactions.get(transaction.token)
        if known is not None:
            if known == transaction.actions:
                return Applied(None)
            return Failed(StoreError("this token was used for other actions"))
        refusals = tuple([self._refusal(action) for action in transaction.actions])
        try:
            written = {
                action.key: self._written(action, self._items.get(action.key))
                for action, refusal in zip(transaction.actions, refusals, strict=True)
                if refusal is None and isinstance(action, (Update, Put))
            }
        except StoreError as error:
            return Failed(error)
        if any(refusals):
            return Cancelled(refusals)
        self._items.update(written)
        for action in transaction.actions:
            if isinstance(action, Delete):
                self._items.pop(action.key, None)
        self._remember(transaction)
        return Applied(None)

    def _refusal(self, action: Action) -> Refused | None:
        item = self._items.get(action.key)
        if action.condition is None or holds(action.condition, item):
            return None
        return Refused(item)

    @staticmethod
    def _written(action: Update | Put, old: Item | None) -> Item:
        if isinstance(action, Update):
            new = changed(old, action.changes)
        else:
            new = {name: stored(value) for name, value in action.item.items()}
        if schema.PK in new or schema.SK in new:
            raise ValueError("the key is not among an item's attributes")
        return new

    def _remember(self, transaction: Transact) -> None:
        """Keep the token of what was applied; a cancelled transaction may be tried again under its token."""
        self._transactions[transaction.token] = transaction.actions
        if len(self._transactions) > _TOKENS_REMEMBERED:
            self._transactions.popitem(last=False)
