"""Requests to the acquire function, as the REST API passes them on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def acquire_event(body: Mapping[str, object]) -> dict[str, Any]:
    """Return the event of ``POST /acquire`` with this body, so far as the function reads it."""
    headers = {"Content-Type": "application/json"}
    return {
        "resource": "/acquire",
        "path": "/acquire",
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "pathParameters": None,
        "requestContext": {"stage": "v1", "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "identity": {}},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
