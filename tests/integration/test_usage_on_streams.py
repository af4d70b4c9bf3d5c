"""Usage from a real stream: DynamoDB Local's records of real acquires, compared with what these were granted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from leasegate import Limit, Limiter, RateLimitExceeded, schema
from leasegate.aggregator import Aggregator
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.requesting import AcquireRequest
from leasegate.stream import read_record
from scripts.costs.tables import START_MS
from tests.stream import read_stream

if TYPE_CHECKING:
    from tests.fixtures.dynamodb import Table

HOUR_MS = 3_600_000
NOON_MS = START_MS - START_MS % HOUR_MS


@pytest.fixture
def streams(dynamodb_local: str) -> Iterator[Any]:
    client = boto3.client("dynamodbstreams", endpoint_url=dynamodb_local)
    yield client
    client.close()


def test_what_the_stream_says_of_real_acquires_is_what_they_were_granted(table: Table, streams: Any) -> None:  # noqa: ANN401
    client, name = table
    now_ms = NOON_MS
    tokens: Counter[tuple[str, int]] = Counter()
    grants: Counter[tuple[str, int]] = Counter()

    def spent(amount: int, granted: int = 1) -> None:
        for entity_id in ("org", "key"):
            tokens[entity_id, now_ms // HOUR_MS] += amount
            grants[entity_id, now_ms // HOUR_MS] += granted

    with DynamoRepository(client, name) as repository:
        limiter = Limiter(repository, clock=lambda: now_ms)
        for entity_id, parent_id in (("org", None), ("key", "org")):
            limiter.create_entity(entity_id, parent_id)
            limiter.set_limits(entity_id, [Limit.per_minute("rpm", 60)])
        for _ in range(12):
            limiter.acquire("key", "gpt-4", {"rpm": 3})
            spent(3)
            now_ms += 600_000  # so that hours are crossed
        lease = limiter.acquire("key", "gpt-4", {"rpm": 10})
        spent(10)
        now_ms += HOUR_MS
        lease.adjust({"rpm": -4})
        lease.settle()
        spent(-4, granted=0)
        durable = limiter.acquire("key", "gpt-4", {"rpm": 5}, durable=True)
        spent(5)
        limiter.lease(str(durable.id)).release()
        spent(-5, granted=0)
        limiter.acquire_many([AcquireRequest("key", "gpt-4", {"rpm": 2})] * 7)
        spent(14, granted=7)
        with pytest.raises(RateLimitExceeded):
            limiter.acquire("key", "gpt-4", {"rpm": 59})
        for entity_id in ("org", "key"):
            key = schema.bucket_key(entity_id, "gpt-4")
            client.delete_item(TableName=name, Key={"PK": {"S": key.pk}, "SK": {"S": key.sk}})
        now_ms += 60_000
        limiter.acquire("key", "gpt-4", {"rpm": 1})
        spent(1)

        records = read_stream(client, streams, name, least=2 * 19)
        assert [record["eventName"] for record in records].count("REMOVE") == 2
        assert [record["eventName"] for record in records].count("INSERT") == 4
        versions = [change.version for record in records if (change := read_record(record)) is not None]
        assert len(versions) == len(records) - 2
        aggregator = Aggregator(repository, clock=lambda: now_ms)
        for start in range(0, len(records), 9):
            aggregator.count(records[max(0, start - 3) : start + 9])
        again = Aggregator(repository, clock=lambda: now_ms).count(records)
        assert (again.duplicates, again.writes, again.unreadable) == (len(versions), 0, {})
        assert again.failures == {}
        for entity_id in ("org", "key"):
            hours = limiter.usage(entity_id, "gpt-4", "hour").items
            found = {(entity_id, record.start_ms // HOUR_MS): record for record in hours}
            assert {each: record.limits["rpm"].tokens for each, record in found.items()} == {
                each: count for each, count in tokens.items() if each[0] == entity_id
            }
            assert {each: record.grants for each, record in found.items()} == {
                each: count for each, count in grants.items() if each[0] == entity_id
            }
