"""What calls cost by the rules of DynamoDB, whoever makes them: metered on the wire, by the items themselves.

Replies do not tell, and emulators bill wrongly; so the meter reads every item that a call touches, before the call
and after it. The rules are those of :mod:`leasegate.tariff`, for any indexes: an entry that comes, goes or changes
is a write of its own. A refused write is billed by the item as it stands.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from leasegate.metering import Usage
from leasegate.operations import Item, Key
from leasegate.repository.sizes import halved, item_size, page_units, read_units, write_units
from leasegate.repository.wire import decode_item, decode_key, encode_key
from leasegate.schema import PK, SK

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from scripts.peers.gate import Reply, Request, Send

type Place = tuple[str, Key]
"""A table's name, and a key in it."""

_WRITES: Final = frozenset({"UpdateItem", "PutItem", "DeleteItem"})
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a table: its keys, and whether entries hold all that the item holds."""

    keys: tuple[str, ...]
    holds_all: bool

    def entry(self, item: Item | None) -> Item | None:
        """Return what the index keeps of an item beside its key."""
        if item is None or not all(name in item or name in (PK, SK) for name in self.keys):
            return None
        return item if self.holds_all else {name: item[name] for name in self.keys if name in item}

    def write_units(self, key: Key, before: Item | None, after: Item | None) -> int:
        """Return what a change of an item costs in this index."""
        old, new = self.entry(before), self.entry(after)
        if old == new:
            return 0
        units = [write_units(key, entry) for entry in (old, new) if entry is not None]
        has_moved = old is None or new is None or any(old.get(name) != new.get(name) for name in self.keys)
        return sum(units) if has_moved else max(units)


class WireMeter:
    """The keeper of a gate who bills what goes by, one call after the other."""

    def __init__(self, client: DynamoDBClient) -> None:
        """Read items through a client that does not go by this gate."""
        self._client = client
        self._indexes: dict[str, tuple[Index, ...]] = {}
        self._usage = Usage()
        self._lock = threading.Lock()

    def take(self) -> Usage:
        """Return what was counted since the last time."""
        with self._lock:
            usage, self._usage = self._usage, Usage()
            return usage

    def __call__(self, request: Request, send: Send) -> Reply:
        """Pass a call on, and bill it."""
        body = json.loads(request.body)
        with self._lock:
            writes = list(_written(request.operation, body))
            before = [self._item(place) for place, _ in writes]
            reply = send(request)
            read = self._price_reads(request.operation, body, reply)
            changes = list(zip(writes, before, strict=True)) if _is_billed(reply) else []
            written = sum([self._price_write(place, factor, old) for (place, factor), old in changes])
            self._usage += Usage(1, read, written)
            return reply

    def _price_write(self, place: Place, factor: int, before: Item | None) -> int:
        table, key = place
        after = self._item(place)
        units = factor * max(write_units(key, before), write_units(key, after))
        return units + sum([index.write_units(key, before, after) for index in self._indexes_of(table)])

    def _price_reads(self, operation: str, body: Mapping[str, Any], reply: Reply) -> float:
        if reply.status != _OK:
            return 0
        match operation:
            case "GetItem":
                key = decode_key(body["Key"])
                units = read_units(key, self._item((body["TableName"], key)))
                return units if body.get("ConsistentRead") else halved(units)
            case "BatchGetItem":
                total: float = 0
                for table, asked in body["RequestItems"].items():
                    for key in map(decode_key, asked["Keys"]):
                        units = read_units(key, self._item((table, key)))
                        total += units if asked.get("ConsistentRead") else halved(units)
                return total
            case "Query" if not {"FilterExpression", "ProjectionExpression", "Select"} & body.keys():
                items = json.loads(reply.body)["Items"]
                units = page_units(sum([item_size(decode_key(item), decode_item(item)) for item in items]))
                return units if body.get("ConsistentRead") else halved(units)
            case "TransactWriteItems":
                return 0
            case _ if operation in _WRITES:
                return 0
        raise ValueError(f"the meter has no price for {operation} of {sorted(body)}")

    def _item(self, place: Place) -> Item | None:
        table, key = place
        found = self._client.get_item(TableName=table, Key=encode_key(key), ConsistentRead=True)
        return decode_item(found["Item"]) if "Item" in found else None

    def _indexes_of(self, table: str) -> tuple[Index, ...]:
        if table not in self._indexes:
            described: Any = self._client.describe_table(TableName=table)["Table"]
            self._indexes[table] = tuple(
                [
                    Index(
                        tuple([key["AttributeName"] for key in index["KeySchema"]]),
                        {"ALL": True, "KEYS_ONLY": False}[index["Projection"]["ProjectionType"]],
                    )
                    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
                    for index in described.get(kind, [])
                ]
            )
        return self._indexes[table]


def _is_billed(reply: Reply) -> bool:
    """Say whether a write got as far as its conditions; a mistake in the request, or a conflict, costs nothing."""
    if reply.status == _OK:
        return True
    error = json.loads(reply.body)
    reasons = [error["__type"], *[reason["Code"] for reason in error.get("CancellationReasons", [])]]
    return any("ConditionalCheckFailed" in reason for reason in reasons)


def _written(operation: str, body: Mapping[str, Any]) -> Iterator[tuple[Place, int]]:
    """Name the items that a call may write or check, and how many times it pays for each."""
    if operation in _WRITES:
        yield (body["TableName"], decode_key(body.get("Key") or body["Item"])), 1
    elif operation == "TransactWriteItems":
        for action in body["TransactItems"]:
            (content,) = action.values()
            yield (content["TableName"], decode_key(content.get("Key") or content["Item"])), 2
