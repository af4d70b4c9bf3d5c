"""The functions' client: as botocore's own in every region, from less data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore
import pytest
from botocore.loaders import Loader

from leasegate.repository.dynamodb import client_config
from leasegate_lambda.client import dynamodb_client

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ENDPOINTS = json.loads((Path(botocore.__file__).parent / "data" / "endpoints.json").read_text())
REGIONS = sorted({region for partition in ENDPOINTS["partitions"] for region in partition["regions"]})
# As new regions will be called, which botocore does not know yet.
UNKNOWN = ["us-west-9", "cn-east-9"]


def told(client: DynamoDBClient) -> dict[str, Any]:
    """Return where a client sends its requests, and how it signs them."""
    sent: dict[str, Any] = {}

    def note(request: Any, **_event: object) -> None:  # noqa: ANN401 - botocore's
        sent["url"] = request.url
        sent["scope"] = request.headers["Authorization"].decode().partition(", ")[0]
        raise Unsent

    client.meta.events.register("before-send.dynamodb", note)
    with pytest.raises(Unsent):
        client.get_item(TableName="t", Key={"PK": {"S": "p"}, "SK": {"S": "s"}})
    return {
        **sent,
        "endpoint": client.meta.endpoint_url,
        "region": client.meta.region_name,
        "is": client.meta.partition,
    }


class Unsent(Exception):
    """A request was made, which is all that was asked."""


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    """A session that reads botocore's data once."""
    return boto3.Session()


@pytest.mark.parametrize("region", [*REGIONS, *UNKNOWN])
def test_it_speaks_to_the_endpoint_of_its_region(
    region: str, session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    plain = session.client("dynamodb", region_name=region, config=client_config())
    assert told(dynamodb_client(None)) == told(plain)


@pytest.mark.parametrize("setting", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
@pytest.mark.parametrize("name", ["us-east-1", "ca-central-1", "us-gov-west-1"])
def test_it_knows_the_exceptions_too(setting: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", name)
    plain = told(dynamodb_client(None))
    monkeypatch.setenv(setting, "true")
    special = told(dynamodb_client(None))
    assert special == told(boto3.Session().client("dynamodb", config=client_config()))
    assert special != plain


def test_it_is_built_without_a_look_at_other_services(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(Loader.FILE_LOADER_CLASS, "load_file", recording(Loader.FILE_LOADER_CLASS.load_file, read))
    listed: list[str] = []
    monkeypatch.setattr(Loader, "list_available_services", recording(Loader.list_available_services, listed))

    dynamodb_client(None)

    assert listed == []
    assert {Path(path).relative_to(Loader.BUILTIN_DATA_PATH).parts[0] for path in read} == {
        "dynamodb",
        "partitions",
        "sdk-default-configuration",
    }


def recording(function: Any, calls: list[str]) -> Any:  # noqa: ANN401 - functions of botocore's
    """Return the function, which notes what it is asked for."""

    def call(self: object, name: str) -> Any:  # noqa: ANN401 - as above
        calls.append(name)
        return function(self, name)

    return call
