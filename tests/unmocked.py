"""Clients that moto does not listen to; once imported, it does to every client of the process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def unmocked(client: DynamoDBClient) -> DynamoDBClient:
    """Return the client, without moto in the way of the direct path."""
    moto = sys.modules.get("moto.core.models")
    if moto is not None:
        client.meta.events.unregister("before-send", moto.botocore_stubber)
    return client
