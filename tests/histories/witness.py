"""Stands beside a repository and notes, thread by thread, under which ids it writes and what it is shown."""

from __future__ import annotations

from collections.abc import Callable
from threading import local

from leasegate import RateLimitExceeded, schema
from leasegate.operations import (
    Applied,
    Cancelled,
    Found,
    Item,
    Key,
    Operation,
    Outcome,
    Put,
    Refused,
    Set,
    Transact,
    Update,
)
from leasegate.simulation.ledger import lacks


class Witness(local):
    """What the present call of this thread wrote under, what it was shown, and at which time it did so."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.now_ms = 0
        self.ids: set[str] = set()
        self.seen: dict[Key, Item] = {}

    def read_clock(self) -> int:
        """Read the clock; the reading that a call takes last is the one that its writes carry."""
        self.now_ms = self.clock()
        return self.now_ms

    def forget(self) -> None:
        """Begin with another call."""
        self.ids, self.seen = set(), {}

    def observe(
        self, operations: tuple[Operation, ...], outcomes: tuple[Outcome, ...], _start_ns: int, _end_ns: int
    ) -> None:
        """Take in a round trip."""
        for operation, outcome in zip(operations, outcomes, strict=True):
            for action in operation.actions if isinstance(operation, Transact) else (operation,):
                self.ids |= request_ids(action)
            self.seen.update(shown(operation, outcome))

    def check_refusal(self, error: RateLimitExceeded, resource: str, consume: dict[str, int]) -> int:
        """Hold a refusal to the state that the table showed: a sequential bucket would have refused too.

        Returns how many limits could be looked at.
        """
        looked_at = 0
        for refusal in error.refusals:
            item = self.seen.get(schema.bucket_key(refusal.entity_id, resource))
            if item is None:
                continue  # this level was answered from memory
            name = refusal.state.name
            limit = schema.parse_bucket(item).limits[name]
            assert lacks(item, limit, consume[name], self.now_ms), f"{refusal} was refused, though it was there"
            looked_at += 1
        return looked_at


def request_ids(action: object) -> set[str]:
    """Return under which id a write makes itself known to a bucket."""
    if isinstance(action, Update) and action.key.pk.startswith("BUCKET#"):
        return {str(x.value) for x in action.changes if isinstance(x, Set) and x.attribute in REQUEST_ATTRIBUTES}
    if isinstance(action, Put) and action.key.pk.startswith("BUCKET#"):
        return {str(value) for name, value in action.item.items() if name in REQUEST_ATTRIBUTES}
    return set()


REQUEST_ATTRIBUTES = frozenset(schema.request_attribute(slot) for slot in range(schema.REQUEST_SLOTS))


def shown(operation: Operation, outcome: Outcome) -> dict[Key, Item]:
    """Return the items that an outcome shows."""
    match operation, outcome:
        case _, Found(items):
            return dict(items)
        case Update(key) | Put(key), Applied(item) | Refused(item) if item is not None:
            return {key: item}
        case Transact(actions), Cancelled(refusals):
            return {
                action.key: refusal.item
                for action, refusal in zip(actions, refusals, strict=True)
                if refusal is not None and refusal.item is not None
            }
    return {}
