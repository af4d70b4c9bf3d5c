"""The roles of the deployed functions, as the emulator enforces them: by action; it knows no condition keys.

``tests/template/test_roles.py`` holds the library to the conditions as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError

from scripts.deployment import client, outputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from scripts.stack import Stack

type Call = Callable[[DynamoDBClient, str], object]

KEY = {"PK": {"S": "ENTITY#role"}, "SK": {"S": "#META"}}
OTHER = {"PK": {"S": "ENTITY#nobody"}, "SK": {"S": "#META"}}
ABSENT = "attribute_not_exists(PK)"

CALLS: dict[str, Call] = {
    "read limits": lambda db, table: db.batch_get_item(RequestItems={table: {"Keys": [KEY]}}),
    "spend": lambda db, table: db.update_item(TableName=table, Key=KEY),
    "create a bucket": lambda db, table: db.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": table, "Item": KEY}},
            {"ConditionCheck": {"TableName": table, "Key": OTHER, "ConditionExpression": ABSENT}},
        ]
    ),
    "read one": lambda db, table: db.get_item(TableName=table, Key=KEY),
    "list limits": lambda db, table: db.query(
        TableName=table,
        KeyConditionExpression="PK = :entity",
        ExpressionAttributeValues={":entity": {"S": "ENTITY#role"}},
    ),
    "use the index": lambda db, table: db.query(
        TableName=table,
        IndexName="GSI1",
        KeyConditionExpression="GSI1PK = :parent",
        ExpressionAttributeValues={":parent": {"S": "PARENT#role"}},
    ),
    "scan": lambda db, table: db.scan(TableName=table),
    "scan the index": lambda db, table: db.scan(TableName=table, IndexName="GSI1"),
    "delete": lambda db, table: db.delete_item(TableName=table, Key=KEY),
    "delete in a transaction": lambda db, table: db.transact_write_items(
        TransactItems=[{"Delete": {"TableName": table, "Key": KEY}}]
    ),
    "delete the table": lambda db, table: db.delete_table(TableName=table),
    "describe the table": lambda db, table: db.describe_table(TableName=table),
}

ALLOWED = {
    "AcquireFunction": {"read limits", "spend", "create a bucket"},
    "AdminFunction": {
        *("read limits", "spend", "create a bucket", "read one", "list limits", "use the index"),
        *("delete", "delete in a transaction"),
    },
    "BackfillFunction": {
        *("read limits", "spend", "create a bucket", "read one", "scan", "delete", "delete in a transaction"),
    },
    "SweepFunction": {"read limits", "spend", "use the index"},
    "AggregatorFunction": {"read limits", "spend"},
}


@pytest.fixture(scope="session")
def names(stack: Stack) -> dict[str, str]:
    """Return the names of the deployed functions by those that template.yaml gives them."""
    found = outputs(stack.endpoint_url)
    return {function: found[f"{function}Name"] for function in ALLOWED}


@pytest.fixture(scope="session")
def roles(stack: Stack, names: dict[str, str]) -> dict[str, DynamoDBClient]:
    """Act as each function: the emulator lets through the actions that its role allows."""
    lambdas, sts = client("lambda", stack.endpoint_url), client("sts", stack.endpoint_url)

    def act_as(function: str) -> DynamoDBClient:
        role = lambdas.get_function_configuration(FunctionName=names[function])["Role"]
        keys = sts.assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]
        return boto3.client(
            "dynamodb",
            endpoint_url=stack.endpoint_url,
            region_name=stack.region,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )

    return {function: act_as(function) for function in ALLOWED}


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.parametrize("function", ALLOWED)
def test_a_role_may_do_what_its_function_does_and_nothing_else(
    roles: dict[str, DynamoDBClient], stack: Stack, function: str, what: str
) -> None:
    if what in ALLOWED[function]:
        CALLS[what](roles[function], stack.table_name)
        return
    with pytest.raises(ClientError) as denied:
        CALLS[what](roles[function], stack.table_name)
    assert denied.value.response["Error"]["Code"] == "AccessDeniedException"


def test_every_function_has_a_role_of_its_own(stack: Stack, names: dict[str, str]) -> None:
    lambdas = client("lambda", stack.endpoint_url)
    roles = {lambdas.get_function_configuration(FunctionName=name)["Role"] for name in names.values()}
    assert len(roles) == len(ALLOWED)
