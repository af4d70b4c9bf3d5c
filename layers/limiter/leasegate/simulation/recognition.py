"""What a table recognises a write by that it sees again, and what an outcome shows of buckets."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations import Applied, Cancelled, Found, Operation, Outcome, Refused, Set, Transact, Update
from .calls import Call
from .table import Change, SimulatedTable


def mark(operation: Operation) -> object:
    """Return what a table recognises a write by: the bucket and the id that it leaves there, or its token."""
    if isinstance(operation, Transact):
        return operation.token
    if isinstance(operation, Update) and (slot := _slot(operation)) is not None:
        return operation.key, slot.value
    return id(operation)


def marks_left(changes: Sequence[Change]) -> list[object]:
    """Return what buckets recognise requests by that a transaction left there: they may come back as updates."""
    return [
        (key, value)
        for key, before, after in changes
        for name, value in (after or {}).items()
        if name.startswith("r.") and (before is None or before.get(name) != value)
    ]


def remembers(table: SimulatedTable, operation: Operation) -> bool:
    """Say whether a table can still tell that it applied this operation before."""
    if not isinstance(operation, Update):
        return True  # a transaction has its token
    slot, item = _slot(operation), table.item(operation.key) or {}
    return slot is not None and item.get(slot.attribute) == slot.value


def see(call: Call, operation: Operation, outcome: Outcome, now_ms: int) -> None:
    """Let a call take in the buckets that an outcome shows."""
    kind = type(outcome)
    if kind is Applied or kind is Refused:
        item = outcome.item  # type: ignore[union-attr]  # one of the two
        if item is not None and isinstance(operation, Update):
            call.see(operation.key, item, now_ms)
    elif isinstance(outcome, Found):
        for key, item in outcome.items.items():
            call.see(key, item, now_ms)
    elif isinstance(outcome, Cancelled) and isinstance(operation, Transact):
        for action, refusal in zip(operation.actions, outcome.refusals, strict=True):
            if refusal is not None and refusal.item is not None:
                call.see(action.key, refusal.item, now_ms)


def _slot(update: Update) -> Set | None:
    """Return the change that leaves a request's id in a bucket."""
    for change in reversed(update.changes):
        if isinstance(change, Set) and change.attribute.startswith("r."):
            return change
    return None
