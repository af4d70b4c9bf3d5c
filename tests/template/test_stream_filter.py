"""What of the table's stream reaches the aggregator: the changes of buckets, and nothing that it writes itself.

The pattern of template.yaml meets real records of everything that Leasegate writes. Two programs that know such
patterns evaluate it, moto's EventBridge and the emulator's mapping. Their operators differ from Lambda's and from
each other's in places, but not in those that the pattern uses.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.events.models import EventPattern

from leasegate import Administrator, Limit, Limiter, RateLimitExceeded
from leasegate.aggregator import Aggregator
from leasegate.repository.dynamodb import DynamoRepository
from leasegate.session import wall_clock_ms
from leasegate.stream import StreamRecord
from leasegate.sweeper import Sweeper
from scripts import template
from scripts.toolchain import MINISTACK_PYTHON
from tests.fixtures.functions import TABLE_NAME

RPD = [Limit.per_day("rpd", 100)]
FILTERING = """
import json, sys
from ministack.services.lambda_svc import _apply_filter_criteria
pattern, records = json.load(sys.stdin)
kept = _apply_filter_criteria(records, {"FilterCriteria": {"Filters": [{"Pattern": pattern}]}})
print(json.dumps([records.index(record) for record in kept]))
"""


@pytest.fixture(scope="module")
def pattern() -> str:
    event = template.load()["Resources"]["AggregatorFunction"]["Properties"]["Events"]["TableChanges"]
    (only,) = event["Properties"]["FilterCriteria"]["Filters"]
    found: str = only["Pattern"]
    return found


@pytest.fixture
def repository(simulated_aws: None) -> Iterator[DynamoRepository]:
    """An empty table of moto, at the address under which moto has its stream too."""
    client = boto3.client("dynamodb", config=Config(account_id_endpoint_mode="disabled"))
    template.create_table(client, TABLE_NAME)
    with DynamoRepository(client, TABLE_NAME) as repository:
        yield repository


def stream() -> list[StreamRecord]:
    """Return the whole stream, each record as Lambda would deliver it."""
    config = Config(account_id_endpoint_mode="disabled")
    arn = boto3.client("dynamodb", config=config).describe_table(TableName=TABLE_NAME)["Table"]["LatestStreamArn"]
    streams: Any = boto3.client("dynamodbstreams", config=config)
    records: list[StreamRecord] = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        position = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while found := (answer := streams.get_records(ShardIterator=position))["Records"]:
            records += [{**record, "eventSourceARN": arn} for record in found]
            position = answer["NextShardIterator"]
    return json.loads(json.dumps(records, default=str))  # type: ignore[no-any-return]


def use_everything(repository: DynamoRepository) -> None:
    """Let every kind of item be written, changed and, where that happens, deleted."""
    limiter = Limiter(repository)
    limiter.create_entity("project")
    limiter.create_entity("key", "project", name="a key")
    limiter.set_limits("project", RPD)
    limiter.set_limits("key", RPD, resource="gpt-4")
    limiter.set_system_defaults(RPD)
    limiter.set_resource_defaults("gpt-4", RPD)
    limiter.set_resource_defaults("gpt-4", [Limit.per_day("rpd", 200)])
    limiter.delete_resource_defaults("gpt-4")
    with limiter.acquire("key", "gpt-4", {"rpd": 10}) as lease:
        lease.adjust({"rpd": -3})
    with suppress(RateLimitExceeded):
        limiter.acquire("key", "gpt-4", {"rpd": 100})
    limiter.acquire("key", "gpt-4", {"rpd": 1}, cascade="transaction")
    limiter.lease(str(limiter.acquire("key", "gpt-4", {"rpd": 1}, durable=True).id)).settle({"rpd": 2})
    past = Limiter(repository, clock=lambda: wall_clock_ms() - 60_000)
    past.acquire("key", "gpt-4", {"rpd": 1}, durable=True, expires_in=5)
    Sweeper(repository).sweep(lambda: 60_000)
    limiter.top_up("key", "gpt-4", {"rpd": 1}, operation_id="a")
    limiter.disable_entity("key")
    limiter.enable_entity("key")
    limiter.backfill_registry()
    Administrator(repository).delete_entity("key")


def kind_of(record: StreamRecord) -> tuple[str, str]:
    return record["dynamodb"]["Keys"]["PK"]["S"].partition("#")[0], record["eventName"]


def passing(pattern: str, records: list[StreamRecord]) -> list[int]:
    """Return the places of the records that pass, in the judgment of both programs."""
    matcher = EventPattern.load(pattern)
    by_moto = [place for place, record in enumerate(records) if matcher.matches_event(record)]  # type: ignore[arg-type]
    emulator = subprocess.run(
        [MINISTACK_PYTHON, "-c", FILTERING],
        input=json.dumps([pattern, records]),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert emulator.returncode == 0, emulator.stderr
    assert json.loads(emulator.stdout.splitlines()[-1]) == by_moto
    return by_moto


def test_changes_of_buckets_reach_the_aggregator_and_nothing_else_does(
    pattern: str, repository: DynamoRepository
) -> None:
    use_everything(repository)
    records = stream()
    aggregator = Aggregator(repository)
    for batch in (records[: len(records) // 2], records):
        buckets = [record for record in batch if kind_of(record)[0] == "BUCKET"]
        assert not aggregator.count(buckets).failures
    written = stream()[len(records) :]

    assert {kind for kind, _ in map(kind_of, written)} == {"USAGE"}
    assert {name for _, name in map(kind_of, written)} == {"INSERT", "MODIFY"}
    assert passing(pattern, written) == []
    kinds = {kind for kind, _ in map(kind_of, records)}
    assert kinds == {"BUCKET", "ENTITY", "RESOURCE", "SYSTEM", "LEASE", "AUDIT", "OPERATION"}
    assert {name for kind, name in map(kind_of, records) if kind == "BUCKET"} == {"INSERT", "MODIFY", "REMOVE"}
    assert passing(pattern, records) == [
        place
        for place, record in enumerate(records)
        if kind_of(record) in {("BUCKET", "INSERT"), ("BUCKET", "MODIFY")}
    ]


def test_the_pattern_looks_at_what_lambda_can_look_at(pattern: str) -> None:
    assert set(json.loads(pattern)) == {"eventName", "dynamodb"}
    assert set(json.loads(pattern)["dynamodb"]) == {"Keys"}
    assert len(pattern) <= 4_096


@pytest.mark.parametrize("sort", ["#META", "hour#2026-11-21T22:00Z", ""])
def test_only_the_state_of_a_bucket_is_a_bucket(pattern: str, sort: str) -> None:
    record = {"eventName": "INSERT", "dynamodb": {"Keys": {"PK": {"S": "BUCKET#key#gpt-4"}, "SK": {"S": sort}}}}
    state = {"eventName": "INSERT", "dynamodb": {"Keys": {"PK": {"S": "BUCKET#key#gpt-4"}, "SK": {"S": "#STATE"}}}}
    assert passing(pattern, [record, state]) == [1]
