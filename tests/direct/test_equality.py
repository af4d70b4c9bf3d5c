"""The direct path and a plain boto3 client mean the same on DynamoDB Local: in every answer, error and effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from botocore.config import Config

from leasegate.operations import Operation, Scan, Transact
from leasegate.repository.direct import DirectCalls
from scripts import template
from tests.chance import KEYS, Chance
from tests.direct.pair import Said, direct_client, plain_client, requests_of, say

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STEPS: Final = 400
CONFIG: Final = Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=30, connect_timeout=30)
NAMES: Final = ("one-table", "other-one")
"""Of one length, so that what is said of them differs in nothing else."""


@pytest.fixture
def clients(dynamodb_local: str) -> Iterator[tuple[DynamoDBClient, DynamoDBClient]]:
    """Provide a direct and a plain client, each with a table of its own."""
    with direct_client(dynamodb_local, CONFIG) as direct, plain_client(dynamodb_local, CONFIG) as plain:
        for name in NAMES:
            template.create_table(plain, name)
        yield direct, plain
        for name in NAMES:
            plain.delete_table(TableName=name)


def ask_both(clients: tuple[DynamoDBClient, DynamoDBClient], operation: Operation) -> list[tuple[str, Said]]:
    """Ask both clients for an operation; return what both said, with the names of the requests."""
    said: list[list[tuple[str, Said]]] = []
    for client, name in zip(clients, NAMES, strict=True):
        own = (
            replace(operation, token=f"{operation.token}-{name}"[-36:])
            if isinstance(operation, Transact)
            else operation
        )
        said.append(
            [(asked, say(client, asked, request, without=name)) for asked, request in requests_of(own, name)]
        )
    direct, plain = said
    assert direct == plain, operation
    return direct


@pytest.mark.parametrize("seed", range(4))
def test_random_operations_give_the_same_answers_and_errors(
    clients: tuple[DynamoDBClient, DynamoDBClient], seed: int
) -> None:
    chance = Chance(seed)
    met: Counter[str] = Counter()
    for _ in range(STEPS):
        for operation in chance.round_trip():
            for asked, said in ask_both(clients, operation):
                met[asked if said.error is None else said.error.partition(":")[0]] += 1
    for segment in range(2):
        ask_both(clients, Scan(segment, 2, prefix="", attribute="n", limit=100))
    ask_both(clients, Scan(0, 1, prefix="BUCKET", attribute="n", limit=2))

    assert met["UpdateItem"] > 0
    assert met.keys() >= {
        "UpdateItem",
        "PutItem",
        "DeleteItem",
        "GetItem",
        "BatchGetItem",
        "Query",
        "TransactWriteItems",
        "ConditionalCheckFailedException",
        "TransactionCanceledException",
        "ClientError",
    }
    direct, plain = clients
    assert isinstance(direct, DirectCalls)
    assert not isinstance(plain, DirectCalls)
    whole_tables = [
        client.scan(TableName=name, ConsistentRead=True)["Items"]
        for client, name in zip(clients, NAMES, strict=True)
    ]
    assert whole_tables[0] == whole_tables[1]
    assert len(whole_tables[0]) <= len(KEYS)


def test_only_errors_that_are_no_refusal_are_left_to_botocore(
    clients: tuple[DynamoDBClient, DynamoDBClient],
) -> None:
    direct, _ = clients
    assert isinstance(direct, DirectCalls)
    chance = Chance(7)
    left = 0
    for _ in range(STEPS):
        for operation in chance.round_trip():
            for asked, request in requests_of(operation, NAMES[0]):
                said = say(direct, asked, request)
                refused = ("ConditionalCheckFailedException", "TransactionCanceledException")
                left += said.error is not None and not said.error.startswith(refused)
    assert left > 0
    assert direct.direct.take_detours() == left
