"""The stream of a table: changes of its buckets, as Lambda delivers them, from a table in memory or a real one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leasegate.aggregator import Aggregator
from leasegate.operations import Delete, Item, Key, Operation, Outcome, Put, Transact, Update
from leasegate.repository.memory import MemoryRepository
from leasegate.repository.wire import encode_item, encode_key
from leasegate.stream import StreamRecord
from leasegate.windows import DEFAULT_PLAN, UsagePlan

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/leasegate/stream/2026-11-21T22:00:00.000"
FIRST_NUMBER = 100_000_000_000_000_000_000
TIME_TO_LIVE = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def stream_record(
    key: Key, before: Item | None, after: Item | None, number: int = 0, created_s: int = 1_790_000_000
) -> StreamRecord:
    """Return the record of one change, in Lambda's shape; ``number`` is its place in the shard."""
    name = "INSERT" if before is None else "REMOVE" if after is None else "MODIFY"
    content: dict[str, Any] = {
        "ApproximateCreationDateTime": float(created_s),
        "Keys": encode_key(key),
        "SequenceNumber": str(FIRST_NUMBER + number),
        "SizeBytes": 400,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    }
    if before is not None:
        content["OldImage"] = encode_item(key, before)
    if after is not None:
        content["NewImage"] = encode_item(key, after)
    record: dict[str, Any] = {
        "eventID": hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest(),
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": content,
        "eventSourceARN": ARN,
    }
    if after is None:
        record["userIdentity"] = TIME_TO_LIVE
    return record


class StreamedMemory(MemoryRepository):
    """A table in memory that keeps the stream of its buckets, one record for each change, in their order.

    Attributes:
        records: the stream so far.
        changes: the same as (key, item before, item after).
        on_change: is told of each change right after it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.records: list[StreamRecord] = []
        self.changes: list[tuple[Key, Item | None, Item | None]] = []
        self.on_change: Callable[[Operation, Key, Item | None, Item | None], object] | None = None

    def delete(self, key: Key) -> None:
        """Delete an item as its time to live would, which the stream reports too."""
        before = self.items.get(key)
        super().delete(key)
        self._emit(Delete(key), key, before, None)

    def _answer(self, operation: Operation) -> Outcome:
        keys = [key for key in _written(operation) if key.pk.startswith("BUCKET#")]
        befores = [self._items.get(key) for key in keys]
        outcome = super()._answer(operation)
        for key, before in zip(keys, befores, strict=True):
            self._emit(operation, key, before, self._items.get(key))
        return outcome

    def _emit(self, operation: Operation, key: Key, before: Item | None, after: Item | None) -> None:
        if before is after or before == after or not key.pk.startswith("BUCKET#"):
            return  # what changes nothing is in no stream
        self.records.append(stream_record(key, before, after, len(self.records)))
        self.changes.append((key, before, after))
        if self.on_change is not None:
            self.on_change(operation, key, before, after)


def _written(operation: Operation) -> list[Key]:
    match operation:
        case Update(key) | Put(key) | Delete(key):
            return [key]
        case Transact(actions):
            return [action.key for action in actions if isinstance(action, Update | Put | Delete)]
    return []


def read_stream(
    client: DynamoDBClient,
    streams: Any,  # noqa: ANN401 - boto3's client of streams, for which no types are installed
    table: str,
    *,
    least: int = 0,
    of: tuple[str, ...] = ("BUCKET#",),
) -> list[StreamRecord]:
    """Read the whole stream of a table, of what its partition keys begin with, until there are enough records.

    Of buckets alone, it is what Lambda's filter lets through.
    """
    arn = client.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    positions: list[str | None] = [
        streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]
        for shard in shards
    ]
    records: list[StreamRecord] = []
    for _ in range(200):
        came = 0
        for place, position in enumerate(positions):
            if position is None:
                continue
            answer = streams.get_records(ShardIterator=position)
            positions[place] = answer.get("NextShardIterator")
            came += len(answer["Records"])
            records += [
                {**record, "eventSourceARN": arn}
                for record in answer["Records"]
                if record["dynamodb"]["Keys"]["PK"]["S"].startswith(of)
            ]
        if not came and len(records) >= least:
            break
    return records


def counting(repository: MemoryRepository, now_ms: int, plan: UsagePlan = DEFAULT_PLAN) -> Aggregator:
    """Return an aggregator that knows nothing yet, as a function that just started."""
    return Aggregator(repository, plan=plan, clock=lambda: now_ms)
