"""Who sends what is asked for: the direct path of a client that has one, else the client's own methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .direct import DirectCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from .direct.requests import Request

type Ask = Callable[[str, Request], Mapping[str, Any]]
"""Makes one attempt at an operation, by its name, and returns the answer in DynamoDB's typed JSON.

It raises what a boto3 client raises.
"""

_METHODS: Final[Mapping[str, str]] = {
    "BatchGetItem": "batch_get_item",
    "DeleteItem": "delete_item",
    "GetItem": "get_item",
    "PutItem": "put_item",
    "Query": "query",
    "Scan": "scan",
    "TransactWriteItems": "transact_write_items",
    "UpdateItem": "update_item",
}
"""A client's methods, by operation."""


def asking(client: DynamoDBClient) -> Ask:
    """Return what sends requests through a client."""
    if isinstance(client, DirectCalls):
        return client.ask

    def ask(operation: str, request: Request) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = getattr(client, _METHODS[operation])(**request.parameters())
        return answer

    return ask
