"""Acquires as the plan that Leasegate grew from had it: one call after the other. The "before" of docs/traces.md.

An item holds one limit's bucket, or one limit of a level. So an acquire of N limits makes, in this order:

- in a cascade, a GetItem of the entity, which names its parent: 1;
- unless limits are given with the call, a Query for each level until one has limits, 1 to 4: the entity's for the
  resource, the entity's own, the resource's, the system's. Then the same for the parent;
- a GetItem for each bucket: N, and N for the parent;
- if there is enough in all of them, one TransactWriteItems for all: 1.

Without a cascade that makes N+1 with limits that are given, N+2 to N+5 with stored ones; with a cascade, 2N+2, or
2N+4 to 2N+10. Each call waits for the one before, so the sequential depth is the same number. A refusal writes
nothing, which is one less; an acquire that was overtaken by another one begins again.

Nothing is made slower than this algorithm has to be: levels are asked only until one has limits, buckets are read
only if the call spends from them, and the connection is kept from one request to the next.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import boto3
from aws_lambda_powertools import Tracer
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

type Level = tuple[str, str]
"""The partition key and the beginning of the sort keys under which the limits of a level stand."""

ATTEMPTS: Final = 5
"""How often an acquire is tried that others overtake."""

tracer = Tracer(patch_modules=["botocore"])


class Limit(NamedTuple):
    """A token bucket's size, and its refill: ``amount`` tokens every ``period_ms`` ms."""

    name: str
    capacity: int
    amount: int
    period_ms: int


class Bucket(NamedTuple):
    """What one limit has left for one entity, in thousandths of a token; None where there is no item yet."""

    entity_id: str
    limit: Limit
    tokens_milli: int | None
    refilled_ms: int | None

    def refilled(self, now_ms: int) -> int:
        """Return what is in it at a time; a new bucket is full. Less than a thousandth is lost by rounding."""
        _, capacity, amount, period_ms = self.limit
        if self.tokens_milli is None or self.refilled_ms is None:
            return capacity * 1_000
        gained = max(0, now_ms - self.refilled_ms) * amount * 1_000 // period_ms
        return min(capacity * 1_000, self.tokens_milli + gained)


class Overtaken(RuntimeError):
    """Others were quicker, as often as it was tried."""


class SequentialLimiter:
    """Limits on one table, whose keys are ``PK`` and ``SK``."""

    def __init__(self, client: DynamoDBClient, table_name: str, clock: Callable[[], float] = time.time) -> None:
        """Use a client; ``clock`` returns seconds since 1970."""
        self._client = client
        self._table_name = table_name
        self._clock = clock

    def create_entity(self, entity_id: str, parent_id: str | None = None) -> None:
        """Record an entity, and its parent if it has one."""
        item = _entity_key(entity_id) | ({"parent_id": {"S": parent_id}} if parent_id else {})
        self._client.put_item(TableName=self._table_name, Item=item)

    def set_limits(
        self, limits: Sequence[Limit], entity_id: str | None = None, resource: str | None = None
    ) -> None:
        """Store limits for an entity, a resource or both; for neither, the system's."""
        partition, prefix = _level(entity_id, resource)
        for name, *numbers in limits:
            fields = zip(Limit._fields[1:], numbers, strict=True)
            item = {"PK": {"S": partition}, "SK": {"S": prefix + name}}
            self._client.put_item(
                TableName=self._table_name, Item=item | {field: {"N": str(number)} for field, number in fields}
            )

    def acquire(
        self,
        entity_id: str,
        resource: str,
        consume: Mapping[str, int],
        limits: Sequence[Limit] = (),
        *,
        cascade: bool = False,
    ) -> bool:
        """Spend tokens from the entity's buckets, in a cascade also from its parent's: from all, or from none.

        ``limits`` hold for both in place of stored ones. A parent for which no level has limits is not limited.
        """
        for _ in range(ATTEMPTS):
            parent_id = self._parent(entity_id) if cascade else None
            entity_ids = [entity_id] if parent_id is None else [entity_id, parent_id]
            in_force = {one: limits or self._resolve(one, resource) for one in entity_ids}
            unknown = consume.keys() - {limit.name for limit in in_force[entity_id]}
            if unknown:
                raise LookupError(f"{entity_id} has no limit {', '.join(sorted(unknown))}")
            buckets = [
                self._bucket(one, resource, limit)
                for one, its_limits in in_force.items()
                for limit in its_limits
                if limit.name in consume
            ]
            now_ms = int(self._clock() * 1_000)
            if any(bucket.refilled(now_ms) < consume[bucket.limit.name] * 1_000 for bucket in buckets):
                return False
            if self._write([self._spend(bucket, resource, consume, now_ms) for bucket in buckets]):
                return True
        raise Overtaken(f"{entity_id}: {ATTEMPTS} times")

    def _parent(self, entity_id: str) -> str | None:
        item = self._client.get_item(TableName=self._table_name, Key=_entity_key(entity_id)).get("Item", {})
        return item["parent_id"]["S"] if "parent_id" in item else None

    def _resolve(self, entity_id: str, resource: str) -> tuple[Limit, ...]:
        """Return the limits of the first level that has any."""
        for level in (
            _level(entity_id, resource),
            _level(entity_id, None),
            _level(None, resource),
            _level(None, None),
        ):
            if limits := self._stored(level):
                return limits
        return ()

    def _stored(self, level: Level) -> tuple[Limit, ...]:
        partition, prefix = level
        items = self._client.query(
            TableName=self._table_name,
            KeyConditionExpression="PK = :partition AND begins_with(SK, :prefix)",
            ExpressionAttributeValues={":partition": {"S": partition}, ":prefix": {"S": prefix}},
        )["Items"]
        return tuple(
            [
                Limit(
                    item["SK"]["S"].removeprefix(prefix), *[int(item[field]["N"]) for field in Limit._fields[1:]]
                )
                for item in items
            ]
        )

    def _bucket(self, entity_id: str, resource: str, limit: Limit) -> Bucket:
        item = self._client.get_item(
            TableName=self._table_name, Key=_bucket_key(entity_id, resource, limit.name), ConsistentRead=True
        ).get("Item")
        if item is None:
            return Bucket(entity_id, limit, None, None)
        return Bucket(entity_id, limit, int(item["tokens_milli"]["N"]), int(item["refilled_ms"]["N"]))

    def _spend(
        self, bucket: Bucket, resource: str, consume: Mapping[str, int], now_ms: int
    ) -> TransactWriteItemTypeDef:
        """Write a bucket with less in it, if it is still as it was read."""
        left = bucket.refilled(now_ms) - consume[bucket.limit.name] * 1_000
        item = _bucket_key(bucket.entity_id, resource, bucket.limit.name)
        item |= {"tokens_milli": {"N": str(left)}, "refilled_ms": {"N": str(max(now_ms, bucket.refilled_ms or 0))}}
        if bucket.tokens_milli is None:
            return {
                "Put": {
                    "TableName": self._table_name,
                    "Item": item,
                    "ConditionExpression": "attribute_not_exists(PK)",
                }
            }
        return {
            "Put": {
                "TableName": self._table_name,
                "Item": item,
                "ConditionExpression": "tokens_milli = :tokens_milli AND refilled_ms = :refilled_ms",
                "ExpressionAttributeValues": {
                    ":tokens_milli": {"N": str(bucket.tokens_milli)},
                    ":refilled_ms": {"N": str(bucket.refilled_ms)},
                },
            }
        }

    def _write(self, items: Sequence[TransactWriteItemTypeDef]) -> bool:
        """Write all or nothing; say whether nobody was quicker."""
        try:
            self._client.transact_write_items(TransactItems=items)
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            return False
        return True


def _entity_key(entity_id: str) -> dict[str, Any]:
    return {"PK": {"S": f"ENTITY#{entity_id}"}, "SK": {"S": "META"}}


def _bucket_key(entity_id: str, resource: str, limit_name: str) -> dict[str, Any]:
    return {"PK": {"S": f"ENTITY#{entity_id}"}, "SK": {"S": f"BUCKET#{resource}#{limit_name}"}}


def _level(entity_id: str | None, resource: str | None) -> Level:
    if entity_id is None:
        return ("SYSTEM" if resource is None else f"RESOURCE#{resource}"), "LIMIT#"
    return f"ENTITY#{entity_id}", f"LIMIT#{resource or ''}#"


@cache
def limiter() -> SequentialLimiter:
    """Open the table that the environment names, with the first request."""
    client = boto3.client("dynamodb", endpoint_url=os.environ.get("DYNAMODB_ENDPOINT") or None)
    return SequentialLimiter(client, os.environ["TABLE_NAME"])


@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer ``{"entity_id", "resource", "consume", "limits"?, "cascade"?}`` with ``{"granted"}``."""
    granted = limiter().acquire(
        event["entity_id"],
        event["resource"],
        event["consume"],
        [Limit(**limit) for limit in event.get("limits", ())],
        cascade=event.get("cascade", False),
    )
    return {"granted": granted}
