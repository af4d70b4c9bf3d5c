"""Random histories on DynamoDB Local, behind a network on which everything goes wrong that can.

A seed decides what everybody does and what the dice of the network are; which thread comes first, it does not.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest

from leasegate import Limiter
from leasegate.aggregator import Aggregator
from leasegate.repository.dynamodb import DynamoRepository, client_config, dynamodb_client
from scripts.toolchain import ROOT
from tests.faults.faults import Dice, Fault, Rates
from tests.faults.proxy import FaultyProxy, faulty
from tests.histories.accounts import Account, Spent, without_zeros
from tests.histories.books import FOLLOWED, Balance, Books, balance, batches, check_table, scan
from tests.histories.population import RESOURCE, populate
from tests.histories.process import HUNG_S, Plan, run
from tests.stream import read_stream
from tests.unmocked import unmocked

if TYPE_CHECKING:
    from leasegate.stream import StreamRecord
    from tests.fixtures.dynamodb import Table

WRITES: Final = {
    Fault.LOST_REPLY: 0.05,
    Fault.RESET_REPLY: 0.02,
    Fault.LOST_REQUEST: 0.02,
    Fault.RESET_REQUEST: 0.01,
    Fault.FAILED: 0.01,
    Fault.FAILED_LATE: 0.02,
    Fault.UNAVAILABLE: 0.01,
    Fault.THROTTLED: 0.02,
    Fault.THROTTLED_ACCOUNT: 0.01,
    Fault.CONFLICT: 0.03,
    Fault.HUNG_REPLY: 0.003,
    Fault.HUNG_REQUEST: 0.002,
    Fault.LATE_REQUEST: 0.004,
    Fault.SLOW: 0.05,
    Fault.BAD_CHECKSUM: 0.01,
    Fault.CUT_BODY: 0.01,
    Fault.BROKEN_BODY: 0.01,
}
READS: Final = {Fault.UNPROCESSED: 0.1, Fault.LOST_REPLY: 0.02, Fault.THROTTLED: 0.02, Fault.CUT_BODY: 0.01}
RATES: Final[Rates] = {"BatchGetItem": READS, "GetItem": READS, "Query": READS, "*": WRITES}
SEEDS: Final = (1, 2)
UNSURE: Final = {*WRITES} - {Fault.SLOW, Fault.THROTTLED, Fault.THROTTLED_ACCOUNT, Fault.CONFLICT}


@pytest.fixture
def streams(dynamodb_local: str) -> Iterator[Any]:
    client = boto3.client("dynamodbstreams", endpoint_url=dynamodb_local)
    yield client
    client.close()


def start(plan: Plan) -> subprocess.Popen[str]:
    """Start a process of a history."""
    command = [sys.executable, "-m", "tests.histories.process"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(plan)))
    process.stdin.close()
    process.stdin = None
    return process


def check(
    table: Table,
    streams: Any,  # noqa: ANN401 - boto3 has no types of it
    proxy: FaultyProxy,
    accounts: list[Account],
) -> tuple[Balance, list[StreamRecord]]:
    """Hold everything that the table says to what was told."""
    records = read_stream(table.client, streams, table.name, of=FOLLOWED)
    books = Books()
    books.follow(records)
    check_table(books, scan(table.client, table.name))
    result = balance(books, accounts)
    # A request that comes late is applied though its call was refused, or repeated and answered, long ago.
    assert result.refused_spent <= proxy.dice.times(Fault.LATE_REQUEST)
    assert result.repetitions <= sum(proxy.dice.times(fault) for fault in UNSURE)
    count_usage(table, proxy, records, books.charged())
    return result, records


def count_usage(table: Table, proxy: FaultyProxy, records: list[StreamRecord], charged: Spent) -> None:
    """Count the stream in batches that overlap, on the same network, until each is counted; compare the totals."""
    of_buckets = [record for record in records if record["dynamodb"]["Keys"]["PK"]["S"].startswith("BUCKET#")]
    config = client_config(read_timeout_s=HUNG_S)
    client = unmocked(dynamodb_client(endpoint_url=proxy.url, config=config))
    with DynamoRepository(client, table.name) as repository:
        for number, batch in enumerate(batches(of_buckets, 50, 10)):
            for _ in range(20):
                if not Aggregator(repository, timeout_ms=300 if number % 2 else 20_000).count(batch).failures:
                    break
            else:
                raise AssertionError("a batch was never counted")
    client.close()
    with DynamoRepository(table.client, table.name) as repository:
        limiter = Limiter(repository)
        counted: Spent = Counter()
        for entity_id in {entity_id for entity_id, _ in charged}:
            for window in limiter.usage(entity_id, RESOURCE, "day").items:
                for name, usage in window.limits.items():
                    counted[entity_id, name] += usage.tokens
    assert without_zeros(counted) == charged


@pytest.mark.parametrize("seed", SEEDS)
def test_threads_on_a_network_in_trouble_spend_what_they_are_told(
    table: Table,
    dynamodb_local: str,
    streams: Any,  # noqa: ANN401 - boto3 has no types of it
    seed: int,
) -> None:
    with DynamoRepository(table.client, table.name) as repository:
        populate(Limiter(repository), random.Random(seed))
    with faulty(dynamodb_local, Dice(seed, RATES)) as proxy:
        report = run(Plan(proxy.url, table.name, seed, (0, -150, 120), threads=2, actions=25))
        result, _ = check(table, streams, proxy, report.accounts)
        assert result.granted > 25
        assert report.counts["refused"] > 10
        assert report.counts["unanswered"] > 2
        assert report.counts["refusals checked"] > 5
        assert {fault for _, fault in proxy.dice.struck} > {Fault.LOST_REPLY, Fault.UNPROCESSED, Fault.CONFLICT}


def test_processes_on_a_network_in_trouble_spend_what_they_are_told(
    table: Table,
    dynamodb_local: str,
    streams: Any,  # noqa: ANN401 - boto3 has no types of it
) -> None:
    seed = 4
    with DynamoRepository(table.client, table.name) as repository:
        populate(Limiter(repository), random.Random(seed))
    with faulty(dynamodb_local, Dice(seed, RATES)) as proxy:
        plan = Plan(proxy.url, table.name, seed, (0,), threads=1, actions=25)
        # The two that share keys are of two processes.
        processes = [
            start(replace(plan, skews_ms=(skew_ms,), first_number=number))
            for number, skew_ms in enumerate((0, -150, 120, 30))
        ]
        accounts: list[Account] = []
        counts: Counter[str] = Counter()
        for process in processes:
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 0
            document = json.loads(output)
            accounts += [Account.load(each) for each in document["accounts"]]
            counts += Counter(document["counts"])
        result, _ = check(table, streams, proxy, accounts)
        assert result.granted > 25
        assert counts["refused"] > 10
        assert counts["refusals checked"] > 5
