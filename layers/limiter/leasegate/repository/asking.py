"""Who sends what is asked for, and whose the answer is: a client's direct path, else the client's own methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .direct import DirectCalls
from .wire import decode_item, take_item

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from ..operations import Item
    from .direct.requests import Request

type Ask = Callable[[str, Request], Mapping[str, Any]]
"""Makes one attempt at an operation, by its name, and returns the answer in DynamoDB's typed JSON.

It raises what a boto3 client raises.
"""

METHODS: Final[Mapping[str, str]] = {
    "BatchGetItem": "batch_get_item",
    "DeleteItem": "delete_item",
    "GetItem": "get_item",
    "PutItem": "put_item",
    "Query": "query",
    "Scan": "scan",
    "TransactWriteItems": "transact_write_items",
    "UpdateItem": "update_item",
}
"""A client's methods, by operation: all that is ever asked of DynamoDB."""


class Speaker(NamedTuple):
    """Asks DynamoDB, and reads the items in its answers."""

    ask: Ask
    read: Callable[[dict[str, Any]], Item]


def speaker_for(client: DynamoDBClient, table_name: str) -> Speaker:
    """Return what sends requests for a table through a client.

    What comes by the direct path nobody else has, so it is read in place; another client may keep its answers. A
    table's ARN may be of another account, by which botocore chooses the endpoint of each request anew.
    """
    if isinstance(client, DirectCalls) and not table_name.startswith("arn:"):
        return Speaker(client.ask, take_item)

    def ask(operation: str, request: Request) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = getattr(client, METHODS[operation])(**request.parameters())
        return answer

    return Speaker(ask, decode_item)
