"""The whole of it: what `sam deploy` deployed answers through its API Gateway."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from http_sfv.list import List

from leasegate import Limit, Limiter
from leasegate.repository.dynamodb import DynamoRepository
from scripts.deployment import client, deploy, dynamodb_client, outputs
from tests.samples import EVENTS, SAMPLES, load_event, seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from scripts.api import Answer
    from scripts.stack import Stack


@pytest.fixture(scope="session")
def library(stack: Stack) -> Iterator[Limiter]:
    """Open the deployed table with the library, as an administrator would."""
    with DynamoRepository(dynamodb_client(stack.endpoint_url), stack.table_name) as repository:
        yield Limiter(repository)


def acquire(stack: Stack, entity: str, consume: dict[str, int]) -> Answer:
    return stack.api().post("/acquire", {"entity_id": entity, "resource": "gpt-4", "consume": consume})


def test_a_grant_answers_200_with_the_rate_limit_fields(stack: Stack, library: Limiter) -> None:
    library.set_limits("granted", [Limit.per_minute("rpm", 60), Limit.per_minute("tpm", 10_000)], resource="gpt-4")

    answer = acquire(stack, "granted", {"rpm": 1, "tpm": 500})

    assert answer.status == 200
    assert answer.json()["limits"]["rpm"] == {"available": 59, "capacity": 60, "retry_after_ms": 0}
    remaining = structured_list(answer.headers["RateLimit"])
    assert {item.value: item.params["r"] for item in remaining} == {"rpm": 59, "tpm": 9_500}
    policies = structured_list(answer.headers["RateLimit-Policy"])
    assert {item.value: (item.params["q"], item.params["w"]) for item in policies} == {
        "rpm": (60, 60),
        "tpm": (10_000, 60),
    }


def structured_list(field: str) -> Any:  # noqa: ANN401 - the parser has no types
    parsed = List()
    parsed.parse(field.encode())
    return parsed


def test_an_unsigned_request_is_forbidden(stack: Stack) -> None:
    answer = stack.api().post("/acquire", {"entity_id": "a", "resource": "b", "consume": {"rpm": 1}}, signed=False)

    assert answer.status == 403
    assert "RateLimit" not in answer.headers


def test_clients_at_once_get_exactly_the_capacity(stack: Stack, library: Limiter) -> None:
    # One token a day flows back, so none does while the test runs.
    library.set_limits("shared", [Limit.per_day("rpd", 1, burst=12)], resource="gpt-4")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: acquire(stack, "shared", {"rpd": 1}), range(20)))

    assert sorted(answer.status for answer in answers) == [200] * 12 + [429] * 8
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["violated-policies"] == ["rpd"]
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400


@pytest.mark.parametrize("name", sorted(path.stem for path in EVENTS.glob("acquire_*.json")))
def test_every_sample_runs_in_the_deployed_function(stack: Stack, library: Limiter, name: str) -> None:
    seed(library)

    reply = client("lambda", stack.endpoint_url).invoke(
        FunctionName=stack.acquire_function_name, Qualifier="live", Payload=json.dumps(load_event(name))
    )

    assert "FunctionError" not in reply
    assert json.loads(reply["Payload"].read())["statusCode"] == SAMPLES[name].status


@pytest.fixture(scope="session")
def role(stack: Stack) -> DynamoDBClient:
    """Act as the acquire function: the emulator lets through what its role allows."""
    configuration = client("lambda", stack.endpoint_url).get_function_configuration(
        FunctionName=stack.acquire_function_name
    )
    sts = client("sts", stack.endpoint_url)
    keys = sts.assume_role(RoleArn=configuration["Role"], RoleSessionName="tests")["Credentials"]
    return boto3.client(
        "dynamodb",
        endpoint_url=stack.endpoint_url,
        region_name=stack.region,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


type Call = Callable[[DynamoDBClient, str], object]

KEY = {"PK": {"S": "ENTITY#role"}, "SK": {"S": "#META"}}
OTHER = {"PK": {"S": "ENTITY#nobody"}, "SK": {"S": "#META"}}
ABSENT = "attribute_not_exists(PK)"

ALLOWED: dict[str, Call] = {
    "read limits": lambda db, table: db.batch_get_item(RequestItems={table: {"Keys": [KEY]}}),
    "spend": lambda db, table: db.update_item(TableName=table, Key=KEY),
    "create a bucket": lambda db, table: db.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": table, "Item": KEY}},
            {"ConditionCheck": {"TableName": table, "Key": OTHER, "ConditionExpression": ABSENT}},
        ]
    ),
}
DENIED: dict[str, Call] = {
    "read one": lambda db, table: db.get_item(TableName=table, Key=KEY),
    "scan": lambda db, table: db.scan(TableName=table),
    "use the index": lambda db, table: db.query(
        TableName=table,
        IndexName="GSI1",
        KeyConditionExpression="GSI1PK = :parent",
        ExpressionAttributeValues={":parent": {"S": "PARENT#role"}},
    ),
    "delete": lambda db, table: db.delete_item(TableName=table, Key=KEY),
    "delete in a transaction": lambda db, table: db.transact_write_items(
        TransactItems=[{"Delete": {"TableName": table, "Key": KEY}}]
    ),
    "delete the table": lambda db, table: db.delete_table(TableName=table),
}


@pytest.mark.parametrize("what", ALLOWED)
def test_the_functions_role_may(role: DynamoDBClient, stack: Stack, what: str) -> None:
    ALLOWED[what](role, stack.table_name)


@pytest.mark.parametrize("what", DENIED)
def test_the_functions_role_may_not(role: DynamoDBClient, stack: Stack, what: str) -> None:
    with pytest.raises(ClientError) as denied:
        DENIED[what](role, stack.table_name)

    assert denied.value.response["Error"]["Code"] == "AccessDeniedException"


def test_a_change_in_the_layer_alone_reaches_the_alias(stack: Stack) -> None:
    functions = client("lambda", stack.endpoint_url)
    name = stack.acquire_function_name
    before = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    build = Path(stack.build_folder)
    with (build / "LimiterLayer" / "python" / "leasegate" / "__init__.py").open("a") as module:
        module.write("# changed\n")

    deploy(build, stack.endpoint_url, Path(stack.log).with_name("redeployed.log"))

    after = functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
    (layer,) = functions.get_function_configuration(FunctionName=name, Qualifier="live")["Layers"]
    assert int(after) == int(before) + 1
    assert layer["Arn"] == outputs(stack.endpoint_url)["LayerArn"] != stack.layer_arn
