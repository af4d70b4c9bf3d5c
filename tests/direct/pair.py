"""The same request by the direct path and by a plain boto3 client, and what each said to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from leasegate.operations import Operation
from leasegate.repository.asking import speaker_for
from leasegate.repository.calls import Call, Desk
from leasegate.repository.client import dynamodb_client
from leasegate.repository.deadlines import bound_attempts
from leasegate.repository.direct import DirectCalls
from tests.unmocked import unmocked

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from leasegate.repository.direct.requests import Request

_DIFFERS: Final = ("date", "x-amzn-requestid")
"""Headers whose values differ from answer to answer."""


@dataclass(frozen=True)
class Said:
    """What a client answered or raised, without what is never twice the same.

    ``error`` is the class of what it raised, with its text; ``answer`` what DynamoDB said, in an error too.
    """

    error: str | None
    answer: object


@contextmanager
def direct_client(endpoint_url: str, config: Config | None = None, **options: Any) -> Iterator[DynamoDBClient]:  # noqa: ANN401 - boto3's
    """Make a client with the direct path, bounded as in a repository; it must be open."""
    client = unmocked(dynamodb_client(endpoint_url=endpoint_url, direct=True, config=config, **options))
    assert isinstance(client, DirectCalls)
    obstacle = client.direct.obstacle("UpdateItem")
    assert obstacle is None, obstacle
    bound_attempts(client)
    with closing(client):
        yield client


@contextmanager
def plain_client(endpoint_url: str, config: Config, **options: Any) -> Iterator[DynamoDBClient]:  # noqa: ANN401 - boto3's
    """Make a boto3 client as anybody would."""
    client = boto3.client("dynamodb", endpoint_url=endpoint_url, config=config, **options)
    with closing(client):
        yield client


def requests_of(operation: Operation, table_name: str) -> list[tuple[str, Request]]:
    """Return what the repository would send for an operation: each request, with the operation's name."""
    sent: list[tuple[str, Request]] = []
    desk = Desk(_Listener(sent), table_name)  # type: ignore[arg-type] # it only takes requests down
    for call in desk.calls(operation):
        _send(call)
    return sent


class _Stop(Exception):
    pass


class _Listener(DirectCalls):
    """Takes down what it is asked for."""

    def __init__(self, sent: list[tuple[str, Request]]) -> None:
        self._sent = sent

    def ask(self, operation: str, request: Request) -> Mapping[str, Any]:
        self._sent.append((operation, request))
        raise _Stop


def _send(call: Call) -> None:
    try:
        call.send()
    except _Stop:
        return


def say(client: DynamoDBClient, operation: str, request: Request, *, without: str = "") -> Said:
    """Ask a client, and return what it said; the text ``without`` (a table's name) stands for nothing in it."""
    try:
        answer = speaker_for(client, "").ask(operation, request)
    except ClientError as error:
        return Said(_plain(f"{type(error).__name__}: {error}", without), _comparable(error.response, without))
    except Exception as error:  # noqa: BLE001 - whatever it raises is compared
        return Said(_plain(f"{type(error).__module__}.{type(error).__name__}", without), None)
    return Said(None, _comparable(answer, without))


def _comparable(answer: Any, without: str) -> object:  # noqa: ANN401 - a client's answer
    metadata = dict(answer["ResponseMetadata"])
    headers = metadata.pop("HTTPHeaders")
    if "RequestId" in metadata:
        assert metadata["RequestId"] == headers["x-amzn-requestid"]
        metadata["RequestId"] = ""
    kept = {name: "" if name in _DIFFERS else value for name, value in headers.items() if name != "x-amz-crc32"}
    kept.pop("content-length", None)  # of a text in which the table's name stands
    said = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    return json.loads(_plain(json.dumps([said, metadata, kept], sort_keys=True), without))


def _plain(text: str, without: str) -> str:
    return text.replace(without, "") if without else text
