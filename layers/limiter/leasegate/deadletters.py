"""Dead letters of the aggregator: records that could not be counted, as they wait in a queue to be replayed.

Of two kinds. A record that cannot be read is put there by the function, whole. A batch that kept failing is put
there by Lambda, which says only where in the stream it stands; the stream keeps it for a day.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from .errors import LeasegateError
from .stream import StreamRecord

MAX_BYTES: Final = 1_048_576
"""The longest message that a queue takes."""

_REASON: Final = "reason"
_RECORD: Final = "record"


class UnreadableLetter(LeasegateError):
    """A message that is no dead letter of the aggregator."""


@dataclass(frozen=True, slots=True)
class DeadRecord:
    """A record that could not be read, and why."""

    record: StreamRecord
    reason: str


@dataclass(frozen=True, slots=True)
class DeadBatch:
    """Where in the stream a batch stands that kept failing: the sequence numbers of its first and last record.

    ``size`` is how many records the function was sent; those that the filter left out stand between them.
    """

    stream_arn: str
    shard_id: str
    first: str
    last: str
    size: int
    reason: str


def write_dead_record(dead: DeadRecord) -> str:
    """Write a record as a message."""
    return json.dumps({_REASON: dead.reason, _RECORD: dead.record}, separators=(",", ":"))


def read_dead_letter(body: str) -> DeadRecord | DeadBatch:
    """Read a message, the function's or Lambda's; raise :class:`UnreadableLetter` for any other."""
    try:
        message: Any = json.loads(body)
        if _RECORD in message:
            return DeadRecord(message[_RECORD], message[_REASON])
        batch = message["DDBStreamBatchInfo"]
        return DeadBatch(
            stream_arn=batch["streamArn"],
            shard_id=batch["shardId"],
            first=batch["startSequenceNumber"],
            last=batch["endSequenceNumber"],
            size=batch["batchSize"],
            reason=message["requestContext"]["condition"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableLetter(f"no dead letter of the aggregator: {type(error).__name__}: {error}") from error
