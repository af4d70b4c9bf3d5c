"""What administrative changes are made of: an item that is read, a transaction that is applied or tried again."""

from __future__ import annotations

from typing import Final

from ..errors import LeasegateError
from ..operations import Applied, Cancelled, Failed, Flow, Get, Item, Key, Outcome
from . import reading

MAX_ATTEMPTS: Final = 8
"""How often a change is tried over what others change at the same time."""


def read_item(key: Key, *, is_consistent: bool = True) -> Flow[Item | None]:
    """Read one item; None where there is none. One round trip."""
    (outcome,) = yield (Get(key, is_consistent),)
    return reading.found(outcome).get(key)


def is_applied(outcome: Outcome) -> bool:
    """Say whether a transaction was applied; if not, something was no longer as it was read.

    Raises the :class:`StoreError` that stands in the answer's place.
    """
    match outcome:
        case Applied():
            return True
        case Cancelled():
            return False
        case Failed(error):
            raise error
        case _:
            raise LeasegateError(f"a change cannot end as {type(outcome).__name__}")
