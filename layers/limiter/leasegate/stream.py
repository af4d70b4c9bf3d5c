"""Records of the table's stream, as Lambda delivers them: which change of a bucket each is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .changes import BucketChange, UnreadableChange, read_change
from .errors import StoreError
from .repository.wire import decode_item, decode_key

type StreamRecord = Mapping[str, Any]
"""``{"eventName", "dynamodb": {"Keys", "NewImage", "OldImage", "SequenceNumber"}, ...}``, in typed JSON."""


def read_record(record: StreamRecord) -> BucketChange | None:
    """Read the change of a bucket that a record reports; None for the deletion of one, which spends nothing.

    Raises :class:`UnreadableChange` for anything else.
    """
    try:
        content = record["dynamodb"]
        key = decode_key(content["Keys"])
        match record["eventName"]:
            case "REMOVE":
                return None
            case "INSERT":
                before = None
            case "MODIFY":
                # Without what was there before, all that was ever spent would count as spent now.
                before = decode_item(content["OldImage"])
            case name:
                raise ValueError(f"{name} is no change of an item")
        return read_change(key, before, decode_item(content["NewImage"]))
    except (AttributeError, KeyError, StoreError, TypeError, ValueError) as error:
        raise UnreadableChange(f"{type(error).__name__}: {error}") from error


def is_named(record: StreamRecord) -> bool:
    """Say whether a record has a sequence number, without which nobody can be told what became of it."""
    try:
        return isinstance(sequence_number(record), str)
    except (KeyError, TypeError):
        return False


def sequence_number(record: StreamRecord) -> str:
    """Return what names a record within its shard. Raises ``KeyError`` or ``TypeError`` where nothing does."""
    number: str = record["dynamodb"]["SequenceNumber"]
    return number
