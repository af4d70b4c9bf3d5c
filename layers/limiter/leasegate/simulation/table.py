"""The table of a simulated world: in memory, and it tells what every write changed."""

from __future__ import annotations

from typing import NamedTuple

from ..operations import Applied, Delete, Item, Key, Operation, Outcome, Put, Transact, Update
from ..repository.memory import MemoryRepository


class Change(NamedTuple):
    """One item before and after a write; None where there is none."""

    key: Key
    before: Item | None
    after: Item | None


class SimulatedTable(MemoryRepository):
    """A table in memory that remembers the last state but one of each item, for reads that come too early."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._former: dict[Key, Item | None] = {}

    def item(self, key: Key) -> Item | None:
        """Return an item as it is."""
        return self._items.get(key)

    def apply(self, operation: Operation) -> tuple[Outcome, list[Change]]:
        """Execute one operation; return its outcome and what it changed."""
        keys = _written(operation)
        items = self._items
        befores = [items.get(key) for key in keys]
        outcome = self._answer(operation)
        if not isinstance(outcome, Applied):
            return outcome, []
        changes = []
        for key, before in zip(keys, befores, strict=True):
            after = items.get(key)
            if after is not before:
                self._former[key] = before
                changes.append(Change(key, before, after))
        return outcome, changes

    def former(self, key: Key) -> Item | None:
        """Return an item as it was before its last change: what an eventually consistent read may show."""
        return self._former[key] if key in self._former else self._items.get(key)

    def expire(self, key: Key) -> Change:
        """Delete an item as its time to live would."""
        before = self._items.pop(key)
        self._former.pop(key, None)
        return Change(key, before, None)


def _written(operation: Operation) -> tuple[Key, ...]:
    kind = type(operation)
    if kind is Update or kind is Put or kind is Delete:
        return (operation.key,)  # type: ignore[union-attr]  # one of the three
    if isinstance(operation, Transact):
        return tuple([action.key for action in operation.actions if isinstance(action, Update | Put | Delete)])
    return ()
